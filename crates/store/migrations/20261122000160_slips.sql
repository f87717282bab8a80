-- やりとり (P-142, P-150): a message from one office to exactly one other, holding one set of files. Neither a record nor a door
-- to anybody's records; it needs no registration, no consent and no start of a municipality.
CREATE TABLE slip (
  receiver        TEXT    NOT NULL CHECK (length(receiver) = 10),      -- 宛先の事業所番号
  slip_id         TEXT    NOT NULL,                                    -- random
  sender          TEXT    NOT NULL CHECK (length(sender) = 10),        -- 送信元の事業所番号
  serial          BIGINT  NOT NULL,                                    -- ファイル連番 YYYYMMDDHHMMSS
  content         TEXT    NOT NULL,                                    -- plan (予定) / actuals (実績)
  month           TEXT,                                                -- 対象年月 YYYYMM; none for 第1–3表
  state           TEXT    NOT NULL,                                    -- sent / fetched / answered / withdrawn
  sent_at         BIGINT  NOT NULL,
  sent_by         TEXT    NOT NULL,                                    -- 送信した職員
  fetched_at      BIGINT,
  fetched_by      TEXT,
  withdrawn_at    BIGINT,
  reply_to        TEXT,                                                -- 実績返信のとき、返信する相手の送信
  answered_at     BIGINT,
  answer          TEXT,                                                -- 最後に返信された実績の送信
  digest          BYTEA   NOT NULL,                                    -- keyed, of the files
  mac             BYTEA   NOT NULL,
  about           BYTEA   NOT NULL,                                    -- ファイル名・件数・警告 (sealed)
  files           BYTEA,                                               -- ファイル (sealed); gone when withdrawn
  PRIMARY KEY (receiver, slip_id)
) STRICT;
CREATE INDEX slip_received ON slip (receiver, state, sent_at, slip_id);
CREATE INDEX slip_sent ON slip (sender, state, sent_at, slip_id);
CREATE INDEX slip_by_sender ON slip (sender, slip_id);
CREATE INDEX slip_replies ON slip (receiver, reply_to);
CREATE INDEX slip_by_age ON slip (sent_at);
-- One set once: the serial names it between two offices.
CREATE UNIQUE INDEX slip_serial ON slip (receiver, sender, serial) WHERE state <> 'withdrawn';
SELECT kiban_distribute('slip', 'receiver');

-- Which documents a message holds, by blind index: a plan, a slip of a month, results of a month, each of one person. Sent
-- again it is an update, in the order of the serials.
CREATE TABLE slip_document (
  receiver        TEXT    NOT NULL CHECK (length(receiver) = 10),
  slip_id         TEXT    NOT NULL,
  token           BYTEA   NOT NULL,                                    -- keyed digest of sender, receiver, person, document
  serial          BIGINT  NOT NULL,
  withdraws       BOOLEAN NOT NULL,                                    -- 削除のファイル
  sent_at         BIGINT  NOT NULL,
  PRIMARY KEY (receiver, slip_id, token)
) STRICT;
CREATE INDEX slip_document_by_token ON slip_document (receiver, token);
CREATE INDEX slip_document_by_age ON slip_document (sent_at);
SELECT kiban_distribute('slip_document', 'receiver');
