-- The life of an account (P-012, P-185): until when an initial password may be used, which its person must change first, and when
-- somebody left. Both are in the MAC of the row only when there is a value, so that rows written before stay intact.
ALTER TABLE staff ADD COLUMN initial_until BIGINT;
ALTER TABLE staff ADD COLUMN closed_at BIGINT;
CREATE INDEX staff_of_organization ON staff (organization, staff_id);
-- When a log-in began; in the MAC when it is known.
ALTER TABLE session ADD COLUMN opened_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX session_of_staff ON session (organization, staff_id, opened_at);
