-- 第二要素 by e-mail (P-183): the code that was sent last to an account, as a keyed digest over account, address and code; none once it
-- was used. How many were sent within the hour stands with it.
CREATE TABLE mail_code (
  organization    TEXT    NOT NULL,
  staff_id        TEXT    NOT NULL,
  digest          BYTEA,
  sent_at         BIGINT  NOT NULL,
  tries           INTEGER NOT NULL,
  hour_from       BIGINT  NOT NULL,
  in_hour         INTEGER NOT NULL,
  PRIMARY KEY (organization, staff_id)
) STRICT;
SELECT kiban_distribute('mail_code', 'organization');
