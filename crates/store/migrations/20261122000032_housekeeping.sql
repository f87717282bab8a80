-- What is kept only for a while is found by its age.
CREATE INDEX idempotency_by_time ON idempotency (recorded_at);
CREATE INDEX notice_by_age ON notice (raised_at);
