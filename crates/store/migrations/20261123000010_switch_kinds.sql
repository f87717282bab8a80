-- The switch of an office by kind, since when and by whom (P-014). A switch of before hides everything, and says neither.
ALTER TABLE staff_switch ADD COLUMN kinds TEXT;
ALTER TABLE staff_switch ADD COLUMN changed_at BIGINT;
ALTER TABLE staff_switch ADD COLUMN changed_by TEXT;
