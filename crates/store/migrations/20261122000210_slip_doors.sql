-- PostgreSQL only. Sealed bytes of messages between offices do not get smaller: they are stored as they are, without trying. On both
-- engines the MAC of a message covers its times and answers from this step on; the program gives it to those from before.
DO $$
BEGIN
  -- Citus spreads the tables and takes no such statement for them.
  IF NOT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus') THEN
    ALTER TABLE slip ALTER COLUMN files SET STORAGE EXTERNAL;
    ALTER TABLE slip ALTER COLUMN about SET STORAGE EXTERNAL;
  END IF;
END $$;
