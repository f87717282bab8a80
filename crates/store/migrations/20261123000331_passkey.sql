-- パスキー (P-183, S-005): name, credential, public key, counter and days of each, sealed; that an account has one is in the MAC of its row.
ALTER TABLE staff ADD COLUMN has_passkey BOOLEAN NOT NULL DEFAULT FALSE;
CREATE TABLE passkey (
  organization    TEXT    NOT NULL,
  staff_id        TEXT    NOT NULL,
  passkey_id      TEXT    NOT NULL,                                    -- ours, random
  content         BYTEA   NOT NULL,
  PRIMARY KEY (organization, staff_id, passkey_id)
) STRICT;
SELECT kiban_distribute('passkey', 'organization');
-- The question that is open in a log-in for each purpose: taken away by the first answer, whatever it is.
CREATE TABLE passkey_challenge (
  organization    TEXT    NOT NULL,
  session_id      TEXT    NOT NULL,
  purpose         TEXT    NOT NULL,                                    -- make, log_in, prove
  nonce           BYTEA   NOT NULL,                                    -- random; the challenge is its keyed digest
  made_at         BIGINT  NOT NULL,
  PRIMARY KEY (organization, session_id, purpose)
) STRICT;
SELECT kiban_distribute('passkey_challenge', 'organization');
CREATE INDEX passkey_challenge_by_time ON passkey_challenge (made_at);
