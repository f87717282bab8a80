-- A package that cannot be worked on is set aside, so that those behind it go on; a half-sent upload is forgotten when nothing came
-- for a day.
ALTER TABLE receipt ADD COLUMN failures     BIGINT NOT NULL DEFAULT 0; -- 同じ理由で続けて失敗した回数
ALTER TABLE receipt ADD COLUMN failure      TEXT;                      -- その理由の符号
ALTER TABLE receipt ADD COLUMN failed_at    BIGINT;                    -- 最後に数えた失敗の日時
ALTER TABLE receipt ADD COLUMN set_aside_at BIGINT;                    -- 後回しにした日時
CREATE INDEX receipt_set_aside ON receipt (insurer_number, set_aside_at);

ALTER TABLE upload ADD COLUMN arriving_at BIGINT;                      -- 最後に届いた日時; 受付番号が出たら空
UPDATE upload SET arriving_at = begun_at WHERE NOT EXISTS
  (SELECT 1 FROM receipt WHERE receipt.insurer_number = upload.insurer_number AND receipt.public_id = upload.upload_id);
CREATE INDEX upload_arriving ON upload (arriving_at);
DROP INDEX upload_by_time;
