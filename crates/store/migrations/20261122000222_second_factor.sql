-- 第二要素 (S-005, P-183): the secret of an authenticator app, sealed; that there is one is in the MAC of the row. What changes with
-- each use lies apart.
ALTER TABLE staff ADD COLUMN totp BYTEA;
CREATE TABLE staff_code (
  organization    TEXT    NOT NULL,
  staff_id        TEXT    NOT NULL,
  last_step       BIGINT  NOT NULL,                                    -- the newest 30 seconds whose code was used
  PRIMARY KEY (organization, staff_id)
) STRICT;
SELECT kiban_distribute('staff_code', 'organization');
-- 回復コード that are left: keyed digests, taken away when used.
CREATE TABLE recovery_code (
  organization    TEXT    NOT NULL,
  staff_id        TEXT    NOT NULL,
  digest          BYTEA   NOT NULL,
  PRIMARY KEY (organization, staff_id, digest)
) STRICT;
SELECT kiban_distribute('recovery_code', 'organization');
-- A log-in that waits for the second factor is good for nothing else; in the MAC when it does.
ALTER TABLE session ADD COLUMN awaits_factor BOOLEAN NOT NULL DEFAULT FALSE;
-- Old failures are forgotten by their time.
CREATE INDEX staff_lock_by_time ON staff_lock (last_failure_at);
