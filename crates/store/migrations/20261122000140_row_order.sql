-- Which row of a key of a package holds, where what it wrote does not tell (docs/decisions/0007): a correction, a deletion,
-- or the same content in a package made at another time. A key without a row here is held by a new row of its revision.
CREATE TABLE row_claim (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  insured_number  TEXT    NOT NULL CHECK (length(insured_number) = 10),
  kind            TEXT    NOT NULL,                                    -- 種別 of the package
  natural_key     TEXT    NOT NULL,                                    -- as in record; 履歴番号 of INSURED and LINK
  revision        BIGINT  NOT NULL,                                    -- 受付番号 whose row holds
  corrected       BOOLEAN NOT NULL,                                    -- 異動区分 訂正 or 削除
  deletion        BIGINT,                                              -- 受付番号 of the latest 削除 of the key
  PRIMARY KEY (insurer_number, insured_number, kind, natural_key)
) STRICT;
SELECT kiban_distribute('row_claim', 'insurer_number');
