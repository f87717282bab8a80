-- PostgreSQL only. Sealed bytes do not get smaller: large ones are stored as they are, without trying.
DO $$
BEGIN
  -- Citus spreads the tables and takes no such statement for them.
  IF NOT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus') THEN
    ALTER TABLE record ALTER COLUMN payload SET STORAGE EXTERNAL;
    ALTER TABLE upload_piece ALTER COLUMN content SET STORAGE EXTERNAL;
  END IF;
END $$;
