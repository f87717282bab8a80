-- A log-in is one row with its two tokens: the access token, and the refresh token that replaces both, once. Log-ins of
-- before lasted an hour and are made again.
DROP TABLE session;
CREATE TABLE session (
  organization    TEXT    NOT NULL,
  session_id      TEXT    NOT NULL,                                    -- stands in the refresh token
  token_digest    BYTEA   NOT NULL,                                    -- of the access token
  refresh_digest  BYTEA   NOT NULL,                                    -- of the refresh token that has not been used
  staff_id        TEXT    NOT NULL,
  fingerprint     TEXT    NOT NULL,                                    -- certificate it was issued over (RFC 8705)
  way             TEXT    NOT NULL,                                    -- interactive / program
  software        TEXT,                                                -- vendor's program
  expires_at      BIGINT  NOT NULL,                                    -- of the access token
  refresh_until   BIGINT  NOT NULL,                                    -- of the log-in
  ended_at        BIGINT,
  mac             BYTEA   NOT NULL,
  PRIMARY KEY (organization, session_id)
) STRICT;
CREATE UNIQUE INDEX session_by_token ON session (organization, token_digest);
SELECT kiban_distribute('session', 'organization');
