-- What stays of the audit log month by month: the trees that prove to each person that the own list is whole (decision 0006.4),
-- and the certificates of what was deleted when its time was over (decision 0006.8). Months are of Japan, yyyymm.

-- 月ごとの本人別の木: one leaf per person of the insurer, signed by an entry of the log that holds the root.
CREATE TABLE audit_month (
    insurer_number TEXT NOT NULL CHECK (length(insurer_number) = 6), -- 保険者番号
    month INTEGER NOT NULL,                                          -- 月
    salt BYTEA NOT NULL CHECK (length(salt) = 32),                   -- 乱数: goes into every leaf
    people BYTEA NOT NULL,                                           -- 被保険者番号 10 bytes and leaf 32 bytes each, by number
    writer BIGINT NOT NULL,                                          -- 記録者番号 of the entry with the root
    segment INTEGER NOT NULL,                                        -- 区間番号 of that entry
    n INTEGER NOT NULL,                                              -- 区間内の番号 of that entry
    PRIMARY KEY (insurer_number, month)
) STRICT;
SELECT kiban_distribute('audit_month', 'insurer_number');

-- 廃棄証明: a month whose entries were deleted, signed with the key of the anchors.
CREATE TABLE audit_purge (
    month INTEGER NOT NULL PRIMARY KEY,                              -- 月
    at BIGINT NOT NULL,                                              -- 廃棄日時
    entries BIGINT NOT NULL,                                         -- 件数
    approved_by TEXT NOT NULL,                                       -- 承認した職員
    runs BYTEA NOT NULL,                                             -- 記録者ごとの範囲: writer 8, first segment 4 and number 4, last segment 4 and number 4
    signature BYTEA NOT NULL CHECK (length(signature) = 64)          -- 署名値
) STRICT;
SELECT kiban_distribute('audit_purge', '');
