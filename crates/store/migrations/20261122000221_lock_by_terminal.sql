-- Failed log-ins are counted for an account and the certificate they came over (S-009, T-34): whoever guesses from one terminal closes
-- that terminal for a while, and nobody else. Counts of before begin anew.
DROP TABLE staff_lock;
CREATE TABLE staff_lock (
  organization    TEXT    NOT NULL,
  staff_id        TEXT    NOT NULL,
  fingerprint     TEXT    NOT NULL,                                    -- certificate
  failures        INTEGER NOT NULL,
  last_failure_at BIGINT  NOT NULL,
  PRIMARY KEY (organization, staff_id, fingerprint)
) STRICT;
SELECT kiban_distribute('staff_lock', 'organization');
