-- Rows of applied packages that are not in (P-150): refused, or waiting for the person they are about.
CREATE TABLE open_row (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  insured_number  TEXT    NOT NULL,                                    -- 空: 読み取れない番号
  kind            TEXT    NOT NULL,                                    -- 種別 of the package
  history_number  BIGINT  NOT NULL,                                    -- 履歴番号; 読み取れない行は何番目か
  receipt_number  BIGINT  NOT NULL,                                    -- 受付番号
  waits           BOOLEAN NOT NULL,                                    -- 被保険者を待っている
  PRIMARY KEY (insurer_number, insured_number, kind, history_number, receipt_number)
) STRICT;
CREATE INDEX open_row_by_receipt ON open_row (insurer_number, receipt_number);
SELECT kiban_distribute('open_row', 'insurer_number');

-- Rows of packages that are to be read again because of what a later one brought (docs/decisions/0007).
CREATE TABLE row_again (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  due_by          BIGINT  NOT NULL,                                    -- 受付番号 of the package that brought it
  receipt_number  BIGINT  NOT NULL,                                    -- 受付番号 of the package that is read again
  insured_number  TEXT    NOT NULL,
  kind            TEXT    NOT NULL,
  history_number  BIGINT  NOT NULL,
  PRIMARY KEY (insurer_number, due_by, receipt_number, insured_number, kind, history_number)
) STRICT;
SELECT kiban_distribute('row_again', 'insurer_number');

-- A receipt that reads such rows out of the original of another.
CREATE TABLE receipt_again (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  receipt_number  BIGINT  NOT NULL,
  of_receipt      BIGINT  NOT NULL,
  due_by          BIGINT  NOT NULL,
  upload_id       TEXT    NOT NULL,                                    -- 原本
  PRIMARY KEY (insurer_number, receipt_number)
) STRICT;
CREATE INDEX receipt_again_of ON receipt_again (insurer_number, of_receipt);
SELECT kiban_distribute('receipt_again', 'insurer_number');
