-- SQLite only. The same column as on PostgreSQL, where it leads to the month of the entry.
CREATE TABLE audit_seen_new (
    insurer_number TEXT NOT NULL CHECK (length(insurer_number) = 6), -- 保険者番号
    insured_number TEXT NOT NULL CHECK (length(insured_number) = 10), -- 被保険者番号
    organization TEXT NOT NULL,                                      -- 機関番号
    day INTEGER NOT NULL,                                            -- 日 (日本時間, yyyymmdd)
    at BIGINT NOT NULL,                                              -- 日時 of the entry
    writer BIGINT NOT NULL,                                          -- 記録者番号 of the entry
    segment INTEGER NOT NULL,                                        -- 区間番号 of the entry
    n INTEGER NOT NULL,                                              -- 区間内の番号 of the entry
    PRIMARY KEY (insurer_number, insured_number, organization, day)
) STRICT;
INSERT INTO audit_seen_new SELECT s.insurer_number, s.insured_number, s.organization, s.day, a.at, s.writer, s.segment, s.n
    FROM audit_seen s JOIN audit a ON a.writer = s.writer AND a.segment = s.segment AND a.n = s.n AND a.insurer_number = s.insurer_number;
DROP TABLE audit_seen;
ALTER TABLE audit_seen_new RENAME TO audit_seen;
