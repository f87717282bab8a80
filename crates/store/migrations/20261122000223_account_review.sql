-- 権限の見直し (P-187): when an administrator last went through the accounts of the organisation. Who did before stands in the log.
CREATE TABLE account_review (
  organization    TEXT    NOT NULL,
  reviewed_at     BIGINT  NOT NULL,
  staff_id        TEXT    NOT NULL,
  PRIMARY KEY (organization)
) STRICT;
SELECT kiban_distribute('account_review', 'organization');
