-- ケアプランの取込み: a receipt is found by the number its sender knows, whichever insurer it lies with, and what was made
-- earlier and arrives later changes nothing.

CREATE INDEX receipt_by_public_id ON receipt (public_id, sender);

-- 送信の順序: of each plan, slip and report of actuals the ファイル連番 that was taken last.
CREATE TABLE plan_serial (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  insured_number  TEXT    NOT NULL CHECK (length(insured_number) = 10),
  natural_key     TEXT    NOT NULL,                                    -- as in record
  serial          BIGINT  NOT NULL,                                    -- ファイル連番 YYYYMMDDHHMMSS
  PRIMARY KEY (insurer_number, insured_number, natural_key)
) STRICT;
SELECT kiban_distribute('plan_serial', 'insurer_number');
