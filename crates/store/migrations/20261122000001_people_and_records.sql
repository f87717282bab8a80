-- People, records, doors and files. Every person-bound table begins its key with insurer_number, the distribution column;
-- numbers are TEXT of fixed length, days INTEGER yyyymmdd (open end 99991231), instants BIGINT microseconds UTC.

-- 保険者: one row per municipality or union. Start of use decides whether anything is shared (P-150).
CREATE TABLE insurer (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6), -- 保険者番号
  start_state     TEXT    NOT NULL,                                    -- 未定 undecided / 調整中 coordinating / 予定 planned / 開始 started
  start_on        INTEGER,                                             -- 利用開始日
  mac             BYTEA   NOT NULL,                                    -- 扉MAC
  PRIMARY KEY (insurer_number)
) STRICT;
SELECT kiban_distribute('insurer', '');

-- 受付番号 of an insurer: the last one given. It is also the revision of what the receipt wrote (decision 0006.20).
CREATE TABLE receipt_counter (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  last_number     BIGINT  NOT NULL,
  PRIMARY KEY (insurer_number)
) STRICT;
SELECT kiban_distribute('receipt_counter', 'insurer_number');

-- Whoever applies a package of an insurer holds its row until the end; apart from receipt_counter, so that consents and
-- documents of the insurer get their numbers meanwhile.
CREATE TABLE import_lock (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  taken           BIGINT  NOT NULL,                                    -- how often it was held
  PRIMARY KEY (insurer_number)
) STRICT;
SELECT kiban_distribute('import_lock', 'insurer_number');

-- 事業所・医療機関 as registered by the operator.
CREATE TABLE office (
  office_number   TEXT    NOT NULL CHECK (length(office_number) = 10), -- 事業所番号
  name            TEXT    NOT NULL,                                    -- 名称
  municipality    TEXT    NOT NULL CHECK (length(municipality) = 6),   -- 所在市区町村
  is_hospital     BOOLEAN NOT NULL,                                    -- 医療機関か
  service_types   TEXT    NOT NULL,                                    -- サービス種類コード, comma separated
  address         TEXT,                                                -- 所在地
  telephone       TEXT,                                                -- 電話番号
  active          BOOLEAN NOT NULL,                                    -- 指定・登録が有効か
  mac             BYTEA   NOT NULL,
  PRIMARY KEY (office_number)
) STRICT;
SELECT kiban_distribute('office', '');

-- クライアント証明書: allow-list by fingerprint, bound to an organisation; several per office, one per terminal (P-182).
CREATE TABLE certificate (
  fingerprint     TEXT    NOT NULL CHECK (length(fingerprint) = 64),   -- SHA-256, hexadecimal
  organization    TEXT    NOT NULL,                                    -- 事業所番号 / 保険者番号 / 都道府県 / operator
  terminal        TEXT    NOT NULL,                                    -- 端末名
  serial          TEXT    NOT NULL,                                    -- 証明書シリアル番号
  not_after       BIGINT  NOT NULL,                                    -- 有効期限
  revoked_at      BIGINT,                                              -- 失効日時
  mac             BYTEA   NOT NULL,
  PRIMARY KEY (fingerprint)
) STRICT;
SELECT kiban_distribute('certificate', '');

-- 職員アカウント: one per person, never shared (P-012, P-185).
CREATE TABLE staff (
  staff_id        TEXT    NOT NULL,                                    -- 組織コード/アカウント
  organization    TEXT    NOT NULL,
  job             TEXT    NOT NULL,                                    -- 職種
  name            BYTEA   NOT NULL,                                    -- 氏名 (sealed)
  care_manager    TEXT,                                                -- 介護支援専門員番号
  password_hash   TEXT    NOT NULL,                                    -- argon2id
  active          BOOLEAN NOT NULL,
  mac             BYTEA   NOT NULL,
  PRIMARY KEY (staff_id)
) STRICT;
SELECT kiban_distribute('staff', '');

-- What changes at every log-in, apart from the nearly read-only account (decision 0006.13).
CREATE TABLE staff_lock (
  organization    TEXT    NOT NULL,
  staff_id        TEXT    NOT NULL,
  failures        INTEGER NOT NULL,                                    -- 連続失敗回数
  last_failure_at BIGINT  NOT NULL,
  PRIMARY KEY (organization, staff_id)
) STRICT;
SELECT kiban_distribute('staff_lock', 'organization');

-- Log-ins: only the keyed digest of the token is kept.
CREATE TABLE session (
  organization    TEXT    NOT NULL,
  token_digest    BYTEA   NOT NULL,
  staff_id        TEXT    NOT NULL,
  fingerprint     TEXT    NOT NULL,                                    -- certificate it was issued over (RFC 8705)
  way             TEXT    NOT NULL,                                    -- interactive / program
  software        TEXT,                                                -- vendor's program
  expires_at      BIGINT  NOT NULL,
  ended_at        BIGINT,
  mac             BYTEA   NOT NULL,
  PRIMARY KEY (organization, token_digest)
) STRICT;
SELECT kiban_distribute('session', 'organization');

-- The switch of an office: this staff member does not see this person (P-014).
CREATE TABLE staff_switch (
  organization    TEXT    NOT NULL,
  staff_id        TEXT    NOT NULL,
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  insured_number  TEXT    NOT NULL CHECK (length(insured_number) = 10),
  hidden          BOOLEAN NOT NULL,
  mac             BYTEA   NOT NULL,
  PRIMARY KEY (organization, staff_id, insurer_number, insured_number)
) STRICT;
SELECT kiban_distribute('staff_switch', 'organization');

-- 受付: one file package or one written document. Rows of an unapplied receipt are invisible everywhere.
CREATE TABLE receipt (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  receipt_number  BIGINT  NOT NULL,                                    -- 受付番号 (inner)
  public_id       TEXT    NOT NULL,                                    -- 受付番号 (shown; random)
  sender          TEXT    NOT NULL,                                    -- 送信した組織
  received_at     BIGINT  NOT NULL,                                    -- 受付日時
  digest          BYTEA   NOT NULL,                                    -- HMAC of the bytes: the same bytes give the same receipt
  state           TEXT    NOT NULL,                                    -- received / refused / applied
  rows_read       BIGINT  NOT NULL,
  rows_applied    BIGINT  NOT NULL,
  rows_unchanged  BIGINT  NOT NULL,
  rows_refused    BIGINT  NOT NULL,
  result          BYTEA,                                               -- 結果ファイル (sealed)
  original        BYTEA,                                               -- 原本 (sealed)
  PRIMARY KEY (insurer_number, receipt_number)
) STRICT;
CREATE UNIQUE INDEX receipt_by_digest ON receipt (insurer_number, sender, digest);
CREATE INDEX receipt_open ON receipt (insurer_number, state, receipt_number);
SELECT kiban_distribute('receipt', 'insurer_number');

-- 被保険者.
CREATE TABLE person (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  insured_number  TEXT    NOT NULL CHECK (length(insured_number) = 10),
  card_insurer    TEXT    NOT NULL CHECK (length(card_insurer) = 6),   -- 証記載保険者番号
  revision        BIGINT  NOT NULL,                                    -- 受付番号 that wrote it
  history_number  BIGINT  NOT NULL,                                    -- 履歴番号
  withheld        BOOLEAN NOT NULL,                                    -- 不開示
  gone_on         INTEGER,                                             -- 資格喪失日
  identity        BYTEA   NOT NULL,                                    -- 氏名・住所等 (sealed)
  digest          BYTEA   NOT NULL,
  mac             BYTEA   NOT NULL,
  PRIMARY KEY (insurer_number, insured_number)
) STRICT;
SELECT kiban_distribute('person', 'insurer_number');

-- 災害時検索 tokens, 128 bits each (decision 0006.23).
CREATE TABLE person_token (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  token           BYTEA   NOT NULL,
  insured_number  TEXT    NOT NULL CHECK (length(insured_number) = 10),
  version         INTEGER NOT NULL,                                    -- of the normaliser
  PRIMARY KEY (insurer_number, token, insured_number)
) STRICT;
CREATE INDEX person_token_by_person ON person_token (insurer_number, insured_number);
SELECT kiban_distribute('person_token', 'insurer_number');

-- Every stored kind. A later history number is another key, a correction another revision: nothing is overwritten.
CREATE TABLE record (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  insured_number  TEXT    NOT NULL CHECK (length(insured_number) = 10),
  kind            TEXT    NOT NULL,                                    -- 情報種別
  natural_key     TEXT    NOT NULL,                                    -- 履歴番号 or natural key
  revision        BIGINT  NOT NULL,                                    -- 受付番号
  creator         TEXT    NOT NULL,                                    -- 作成した組織
  valid_from      INTEGER NOT NULL,
  valid_to        INTEGER NOT NULL,
  recorded_at     BIGINT  NOT NULL,                                    -- 登録日時
  deleted         BOOLEAN NOT NULL,                                    -- 異動区分 削除
  purge_after     INTEGER NOT NULL,                                    -- 保存期限 (P-200)
  payload         BYTEA   NOT NULL,                                    -- 内容 (sealed; clear columns are in its AAD)
  digest          BYTEA   NOT NULL,                                    -- keyed digest of the content
  PRIMARY KEY (insurer_number, insured_number, kind, natural_key, revision)
) STRICT;
SELECT kiban_distribute('record', 'insurer_number');

-- 同意 acts, insert-only (S-032).
CREATE TABLE consent_act (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  insured_number  TEXT    NOT NULL CHECK (length(insured_number) = 10),
  act_id          TEXT    NOT NULL,                                    -- random, or derived from the row of a file
  act             TEXT    NOT NULL,                                    -- given / withdrawn / kind_refused / kind_allowed / not_obtainable
  kind            TEXT,                                                -- kind, when one kind is refused or allowed
  acted_at        BIGINT  NOT NULL,                                    -- 同意・撤回の日時
  recorded_at     BIGINT  NOT NULL,
  revision        BIGINT  NOT NULL,                                    -- 受付番号
  taken_by        TEXT    NOT NULL,                                    -- 取得した組織
  detail          BYTEA   NOT NULL,                                    -- 同意者・確認方法・様式 (sealed)
  mac             BYTEA   NOT NULL,
  PRIMARY KEY (insurer_number, insured_number, act_id)
) STRICT;
SELECT kiban_distribute('consent_act', 'insurer_number');

-- 担当事業所登録: this row alone decides access.
CREATE TABLE assignment (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  insured_number  TEXT    NOT NULL CHECK (length(insured_number) = 10),
  office_number   TEXT    NOT NULL CHECK (length(office_number) = 10),
  identity_check  TEXT    NOT NULL,                                    -- 本人確認の方法
  registered_by   TEXT    NOT NULL,                                    -- 登録した職員
  registered_at   BIGINT  NOT NULL,
  viewable_until  INTEGER NOT NULL,                                    -- 閲覧期限
  plan_maker      TEXT,                                                -- ※1 計画作成者
  confirmed       BOOLEAN NOT NULL,                                    -- 市区町村の確認 (不開示)
  ended_at        BIGINT,
  end_reason      TEXT,
  mac             BYTEA   NOT NULL,
  PRIMARY KEY (insurer_number, insured_number, office_number)
) STRICT;
SELECT kiban_distribute('assignment', 'insurer_number');

-- What an office lists across insurers; membership only (decision 0006.14).
CREATE TABLE office_person (
  office_number   TEXT    NOT NULL CHECK (length(office_number) = 10),
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  insured_number  TEXT    NOT NULL CHECK (length(insured_number) = 10),
  PRIMARY KEY (office_number, insurer_number, insured_number)
) STRICT;
SELECT kiban_distribute('office_person', 'office_number');

-- 主治医意見書作成依頼: the ground on which a hospital may view (P-048). One row per A5 record that names a hospital.
CREATE TABLE opinion_request (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  insured_number  TEXT    NOT NULL CHECK (length(insured_number) = 10),
  natural_key     TEXT    NOT NULL,                                    -- 履歴番号 of the A5 record
  office_number   TEXT    NOT NULL CHECK (length(office_number) = 10), -- 医療機関コード
  requested_on    INTEGER NOT NULL,                                    -- 意見書依頼日
  applied_on      INTEGER NOT NULL,                                    -- 申請日
  revision        BIGINT  NOT NULL,
  mac             BYTEA   NOT NULL,
  PRIMARY KEY (insurer_number, insured_number, natural_key)
) STRICT;
SELECT kiban_distribute('opinion_request', 'insurer_number');

-- 提出物: a document on its way to the municipality (P-133, P-138). The payload goes after receipt (P-201).
CREATE TABLE submission (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  submission_id   TEXT    NOT NULL,                                    -- 受付番号 (random)
  insured_number  TEXT    NOT NULL CHECK (length(insured_number) = 10),
  kind            TEXT    NOT NULL,                                    -- A2 / F1 / G1
  sender          TEXT    NOT NULL,
  submitted_by    TEXT    NOT NULL,                                    -- 職員
  submitted_at    BIGINT  NOT NULL,
  state           TEXT    NOT NULL,                                    -- submitted / fetched / accepted / returned
  reason          BYTEA,                                               -- 差戻しの理由 (sealed)
  decided_at      BIGINT,
  natural_key     TEXT    NOT NULL,
  payload         BYTEA,                                               -- 内容 (sealed)
  digest          BYTEA   NOT NULL,
  mac             BYTEA   NOT NULL,
  PRIMARY KEY (insurer_number, submission_id)
) STRICT;
CREATE INDEX submission_by_state ON submission (insurer_number, state, submitted_at);
CREATE INDEX submission_by_person ON submission (insurer_number, insured_number);
SELECT kiban_distribute('submission', 'insurer_number');

-- 災害時モード (P-120…126).
CREATE TABLE disaster_mode (
  mode_id         TEXT    NOT NULL,
  event           TEXT    NOT NULL,                                    -- 災害名
  areas           TEXT    NOT NULL,                                    -- 市区町村, comma separated
  classes         TEXT    NOT NULL,                                    -- 対象の事業所の区分, empty = all
  offices         TEXT    NOT NULL,                                    -- 個別に指定した事業所
  hosts           TEXT    NOT NULL,                                    -- 避難者を受け入れる市区町村
  without_consent BOOLEAN NOT NULL,
  open_from       INTEGER NOT NULL,
  open_to         INTEGER NOT NULL,
  proposed_by     TEXT    NOT NULL,                                    -- 1人目の運用者
  proposed_over   TEXT    NOT NULL,                                    -- 1人目の証明書のSHA-256
  approved_by     TEXT,                                                -- 2人目の運用者; not open before
  closed_at       BIGINT,
  mac             BYTEA   NOT NULL,
  PRIMARY KEY (mode_id)
) STRICT;
SELECT kiban_distribute('disaster_mode', '');

-- Mismatches at 本人確認, counted per day and per keyed digest: of HMAC(kana, birth, sex), of office + insurer, of the
-- vendor's program (decision 0006.37). Never per person: a lock must not hit the person.
CREATE TABLE mismatch (
  subject         BYTEA   NOT NULL,
  day             INTEGER NOT NULL,
  count           INTEGER NOT NULL,
  PRIMARY KEY (subject, day)
) STRICT;
SELECT kiban_distribute('mismatch', 'subject');

-- Answers to writes already done, by the caller's idempotency key.
CREATE TABLE idempotency (
  organization    TEXT    NOT NULL,
  key_digest      BYTEA   NOT NULL,                                    -- HMAC of staff + key
  request_digest  BYTEA   NOT NULL,
  answer          BYTEA   NOT NULL,                                    -- sealed
  recorded_at     BIGINT  NOT NULL,
  PRIMARY KEY (organization, key_digest)
) STRICT;
SELECT kiban_distribute('idempotency', 'organization');
