-- Packages at national size: the sealed spool of what is sent, one lease per insurer, how far a package is, and every
-- version of a person.

-- 送信の途中と原本: the files of a package as they came, in sealed pieces. A receipt is given when the last one is there.
CREATE TABLE upload (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  upload_id       TEXT    NOT NULL,                                    -- random; the 受付番号 shown, once it is given
  begun_at        BIGINT  NOT NULL,                                    -- 送信を始めた日時
  PRIMARY KEY (insurer_number, upload_id)
) STRICT;
CREATE INDEX upload_by_time ON upload (insurer_number, begun_at);
SELECT kiban_distribute('upload', 'insurer_number');

CREATE TABLE upload_file (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  upload_id       TEXT    NOT NULL,
  file_number     INTEGER NOT NULL,                                    -- ファイルの順番, 0 から
  head            BYTEA   NOT NULL,                                    -- ファイル名・大きさ・SHA-256 (sealed)
  PRIMARY KEY (insurer_number, upload_id, file_number)
) STRICT;
SELECT kiban_distribute('upload_file', 'insurer_number');

CREATE TABLE upload_piece (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  upload_id       TEXT    NOT NULL,
  file_number     INTEGER NOT NULL,
  piece_number    INTEGER NOT NULL,                                    -- 0 から、1 MiB ごと
  content         BYTEA   NOT NULL,                                    -- 内容 (sealed)
  PRIMARY KEY (insurer_number, upload_id, file_number, piece_number)
) STRICT;
SELECT kiban_distribute('upload_piece', 'insurer_number');

-- Who works on the packages of an insurer. The fence number rises with every holder; each block is written under it, so
-- that a process that slept past its lease writes nothing more (decision 0006.35).
CREATE TABLE import_lease (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  holder          TEXT    NOT NULL,                                    -- random
  fence           BIGINT  NOT NULL,
  lease_until     BIGINT  NOT NULL,
  PRIMARY KEY (insurer_number)
) STRICT;
SELECT kiban_distribute('import_lease', 'insurer_number');
DROP TABLE import_lock;

-- 取込みの進み具合.
ALTER TABLE receipt ADD COLUMN made_at    BIGINT;                      -- 目録の作成日時
ALTER TABLE receipt ADD COLUMN rows_total BIGINT NOT NULL DEFAULT 0;   -- 反映する行（検査のあと分かる）
ALTER TABLE receipt ADD COLUMN rows_done  BIGINT NOT NULL DEFAULT 0;   -- そのうち確定した行
ALTER TABLE receipt ADD COLUMN is_initial INTEGER NOT NULL DEFAULT 0;  -- 初期移行なら 1
ALTER TABLE receipt ADD COLUMN begun_at   BIGINT;                      -- 反映を始めた、または再開した日時
ALTER TABLE receipt ADD COLUMN begun_rows BIGINT NOT NULL DEFAULT 0;   -- そのとき確定していた行
ALTER TABLE receipt ADD COLUMN touched_at BIGINT;                      -- 最後に確定した日時
CREATE INDEX receipt_by_made ON receipt (insurer_number, made_at);
CREATE INDEX receipt_waiting ON receipt (state, insurer_number);

-- 被保険者: every 履歴番号 and every correction stays. The present one is the highest 履歴番号, of that the latest receipt.
CREATE TABLE person_version (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  insured_number  TEXT    NOT NULL CHECK (length(insured_number) = 10),
  history_number  BIGINT  NOT NULL,                                    -- 履歴番号
  revision        BIGINT  NOT NULL,                                    -- 受付番号 that wrote it
  card_insurer    TEXT    NOT NULL CHECK (length(card_insurer) = 6),   -- 証記載保険者番号
  withheld        BOOLEAN NOT NULL,                                    -- 不開示
  gone_on         INTEGER,                                             -- 資格喪失日
  identity        BYTEA   NOT NULL,                                    -- 氏名・住所等 (sealed)
  digest          BYTEA   NOT NULL,
  mac             BYTEA   NOT NULL,
  PRIMARY KEY (insurer_number, insured_number, history_number, revision)
) STRICT;
SELECT kiban_distribute('person_version', 'insurer_number');
INSERT INTO person_version (insurer_number, insured_number, history_number, revision, card_insurer, withheld, gone_on, identity, digest, mac)
  SELECT insurer_number, insured_number, history_number, revision, card_insurer, withheld, gone_on, identity, digest, mac FROM person;
DROP TABLE person;
ALTER TABLE person_version RENAME TO person;
