-- 災害時に見つけた人 (P-124): who found whom in which event and why. It opens the views of that staff member for a while,
-- and is the municipality's review list.
CREATE TABLE disaster_look (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  look_id         TEXT    NOT NULL,                                    -- random
  insured_number  TEXT    NOT NULL CHECK (length(insured_number) = 10),
  organization    TEXT    NOT NULL,                                    -- 検索した組織
  staff_id        TEXT    NOT NULL,                                    -- 検索した職員
  looked_at       BIGINT  NOT NULL,                                    -- 検索した日時
  modes           TEXT    NOT NULL,                                    -- 災害時モードの番号, comma separated
  reason          BYTEA   NOT NULL,                                    -- 理由 (sealed)
  viewed_at       BIGINT,                                              -- はじめて情報を開いた日時
  mac             BYTEA   NOT NULL,
  PRIMARY KEY (insurer_number, look_id)
) STRICT;
CREATE INDEX disaster_look_by_person ON disaster_look (insurer_number, insured_number, looked_at);
CREATE INDEX disaster_look_by_time ON disaster_look (insurer_number, looked_at, look_id);
SELECT kiban_distribute('disaster_look', 'insurer_number');
