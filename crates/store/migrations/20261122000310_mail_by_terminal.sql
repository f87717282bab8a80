-- メールの数字 (P-183) for each terminal (certificate) of its own, with its own count of the hour: whoever knows a password at another
-- terminal neither replaces the code of its owner nor uses up the owner's mails. Codes of before, ten minutes old at most, go.
DROP TABLE mail_code;
CREATE TABLE mail_code (
  organization    TEXT    NOT NULL,
  staff_id        TEXT    NOT NULL,
  fingerprint     TEXT    NOT NULL,                                    -- of the terminal's certificate
  digest          BYTEA,
  sent_at         BIGINT  NOT NULL,
  tries           INTEGER NOT NULL,
  hour_from       BIGINT  NOT NULL,
  in_hour         INTEGER NOT NULL,
  PRIMARY KEY (organization, staff_id, fingerprint)
) STRICT;
SELECT kiban_distribute('mail_code', 'organization');
