-- 事業所の管理者: may set the switches of P-014 and reads the office's notices. In the MAC of the row only when true, so
-- that rows written before stay intact.
ALTER TABLE staff ADD COLUMN administrator BOOLEAN NOT NULL DEFAULT FALSE;
