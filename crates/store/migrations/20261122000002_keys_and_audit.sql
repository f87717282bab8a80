-- Data keys (データ鍵) and the audit log (監査ログ・アクセス記録, P-188). One text for both engines.
-- Instants are microseconds since 1970-01-01T00:00:00Z. '000000' is the pseudo-insurer of what belongs to nobody's insurer.

-- データ鍵: random keys per insurer and purpose, wrapped by the master key that lives outside the database.
CREATE TABLE data_key (
    insurer_number TEXT NOT NULL CHECK (length(insurer_number) = 6), -- 保険者番号; '000000' = the platform itself
    purpose TEXT NOT NULL CHECK (length(purpose) BETWEEN 1 AND 16),  -- 用途: seal, index, digest; audit and door for '000000'
    generation INTEGER NOT NULL CHECK (generation >= 1),             -- 世代: counts up with each rotation
    wrapped BYTEA NOT NULL,                                          -- 封印された鍵: AES-256-GCM under the master key
    created_at BIGINT NOT NULL,                                      -- 作成日時
    closed_at BIGINT,                                                -- 書込終了日時: from then on it only opens
    PRIMARY KEY (insurer_number, purpose, generation)
) STRICT;
SELECT kiban_distribute('data_key', '');

-- 記録者: one row per process start (and after each commit without a clear answer). Not part of the proof.
CREATE TABLE audit_writer (
    writer BIGINT NOT NULL PRIMARY KEY,                              -- 記録者番号: random, positive
    opened_at BIGINT NOT NULL,                                       -- 開始日時
    alive_until BIGINT NOT NULL,                                     -- 生存期限: renewed while its process lives
    state TEXT NOT NULL CHECK (state IN ('live', 'closing', 'ended', 'anchored')) -- 状態: closing = dead, takes no more entries; ended = all segments closed; anchored = and signed
) STRICT;
SELECT kiban_distribute('audit_writer', '');

-- 監査ログ: insert-only, one row per look, refusal, write and administrative act. Only numbers and codes in clear.
-- The key begins with the writer so that a segment is one range; it holds insurer_number so that the table can be spread.
CREATE TABLE audit (
    insurer_number TEXT NOT NULL CHECK (length(insurer_number) = 6), -- 保険者番号; '000000' = no insured person
    writer BIGINT NOT NULL,                                          -- 記録者番号
    segment INTEGER NOT NULL CHECK (segment >= 0),                   -- 区間番号 within the writer
    n INTEGER NOT NULL CHECK (n >= 0),                               -- 区間内の番号, without holes
    at BIGINT NOT NULL,                                              -- 日時; never decreases within a writer
    request_id TEXT NOT NULL,                                        -- 要求番号: random, also in the answer
    insured_number TEXT CHECK (length(insured_number) = 10),         -- 被保険者番号: whose data
    organization TEXT,                                               -- 機関番号: who (事業所・医療機関・保険者)
    staff TEXT,                                                      -- 職員番号
    certificate BYTEA CHECK (length(certificate) = 32),              -- 証明書のSHA-256
    way TEXT NOT NULL,                                               -- 経路: page, api, file, cli, portal, …
    action TEXT NOT NULL,                                            -- 操作: view, register, consent.record, import, login, …
    kind TEXT,                                                       -- 情報種別
    natural_key TEXT,                                                -- 履歴番号など: which one of the kind
    outcome TEXT NOT NULL CHECK (outcome IN ('allowed', 'refused', 'done', 'failed', 'void')), -- 結果; void = 取り消された書込の欠番
    rule TEXT,                                                       -- 適用規則
    policy_version TEXT,                                             -- 共有表の版
    facts BIGINT NOT NULL,                                           -- 判断に使った事実 as bits, for replay
    subjects INTEGER NOT NULL CHECK (subjects >= 0),                 -- 一覧に含まれた人数
    detail BYTEA,                                                    -- 詳細: sealed (software, source address, free text, subjects)
    PRIMARY KEY (writer, segment, n, insurer_number)
) STRICT;
SELECT kiban_distribute('audit', 'insurer_number');

-- 本人の開示用: who looked at me.
CREATE INDEX audit_by_person ON audit (insurer_number, insured_number, at, writer, segment, n);
-- 機関の点検用: what did this organisation do.
CREATE INDEX audit_by_organization ON audit (organization, at, writer, segment, n);

-- 区間の封: one row per closed segment of a writer.
CREATE TABLE audit_segment (
    writer BIGINT NOT NULL,                                          -- 記録者番号
    segment INTEGER NOT NULL CHECK (segment >= 0),                   -- 区間番号, without holes
    entries INTEGER NOT NULL CHECK (entries >= 0),                   -- 件数
    leaves BYTEA NOT NULL,                                           -- 各記録の要約値: 32 bytes each; zeros = hole of a dead writer
    root BYTEA NOT NULL CHECK (length(root) = 32),                   -- マークル根
    previous BYTEA NOT NULL CHECK (length(previous) = 32),           -- 前の区間の見出しの要約値; zeros for the first
    salt BYTEA NOT NULL CHECK (length(salt) = 32),                   -- 乱数: goes into every leaf
    closed_at BIGINT NOT NULL,                                       -- 封をした日時
    closed_late BOOLEAN NOT NULL,                                    -- 代行封印: closed by another process after the writer died
    header BYTEA NOT NULL CHECK (length(header) = 32),               -- 見出しの要約値
    PRIMARY KEY (writer, segment)
) STRICT;
SELECT kiban_distribute('audit_segment', 'writer');

-- 署名: Ed25519 over the last headers of the writers and the previous anchor; also kept outside the database.
CREATE TABLE audit_anchor (
    number BIGINT NOT NULL PRIMARY KEY,                              -- 署名番号: 1, 2, 3, …
    at BIGINT NOT NULL,                                              -- 署名日時
    previous BYTEA NOT NULL CHECK (length(previous) = 32),           -- 前の署名の要約値; zeros for the first
    heads BYTEA NOT NULL,                                            -- 各記録者の最終区間: writer 8, segment 4, header 32 bytes each
    signature BYTEA NOT NULL CHECK (length(signature) = 64)          -- 署名値
) STRICT;
SELECT kiban_distribute('audit_anchor', '');

-- 証明の作成用: which anchors can cover an entry.
CREATE INDEX audit_anchor_by_time ON audit_anchor (at, number);

-- 一覧閲覧の索引: a person was on a list that an organisation saw that day; points to the first such entry.
CREATE TABLE audit_seen (
    insurer_number TEXT NOT NULL CHECK (length(insurer_number) = 6), -- 保険者番号
    insured_number TEXT NOT NULL CHECK (length(insured_number) = 10), -- 被保険者番号
    organization TEXT NOT NULL,                                      -- 機関番号
    day INTEGER NOT NULL,                                            -- 日 (日本時間, yyyymmdd)
    writer BIGINT NOT NULL,                                          -- 記録者番号 of the entry
    segment INTEGER NOT NULL,                                        -- 区間番号 of the entry
    n INTEGER NOT NULL,                                              -- 区間内の番号 of the entry
    PRIMARY KEY (insurer_number, insured_number, organization, day)
) STRICT;
SELECT kiban_distribute('audit_seen', 'insurer_number');
