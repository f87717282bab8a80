-- Figures of a municipality by day (集計, P-075, P-239): counts only, never people.
CREATE TABLE statistics (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6), -- 保険者番号
  day             INTEGER NOT NULL,                                    -- 集計した日 (日本時間, yyyymmdd)
  made_at         BIGINT  NOT NULL,                                    -- 集計日時
  content         BYTEA   NOT NULL,                                    -- 結果 (sealed JSON)
  PRIMARY KEY (insurer_number, day)
) STRICT;
SELECT kiban_distribute('statistics', 'insurer_number');
