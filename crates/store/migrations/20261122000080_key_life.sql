-- The life of keys (decision 0006.21, 23): when a sealing key ends, under which key and normaliser a search token was made.

-- 封印した件数, counted in blocks; the key ends at a limit.
ALTER TABLE data_key ADD COLUMN messages BIGINT NOT NULL DEFAULT 0;

-- 索引鍵の世代 of a search token.
ALTER TABLE person_token ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;

-- 鍵の状態: one row, written by the first start.
CREATE TABLE key_state (
  id              INTEGER NOT NULL CHECK (id = 1),
  epoch           BIGINT  NOT NULL,                                    -- counts every change of data keys
  master_id       TEXT    NOT NULL,                                    -- 主鍵の識別子
  normalizer      INTEGER NOT NULL,                                    -- every search token is of this version of the normaliser, or newer
  PRIMARY KEY (id)
) STRICT;
SELECT kiban_distribute('key_state', '');
