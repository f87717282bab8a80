-- PostgreSQL only. The audit log by months of Japan, so that a month is dropped whole when its time is over (decision 0006.8).
-- Names end in the month, yyyymm; what no month takes lies in audit_rest and audit_seen_rest until its month is made.

-- First instant of a month, microseconds UTC: midnight in Japan, which is always nine hours ahead.
CREATE FUNCTION kiban_month_start(month INTEGER) RETURNS BIGINT LANGUAGE sql IMMUTABLE AS $$
  SELECT ((make_date(month / 100, month % 100, 1) - DATE '1970-01-01')::BIGINT * 86400 - 32400) * 1000000
$$;

CREATE FUNCTION kiban_month_after(month INTEGER) RETURNS INTEGER LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN month % 100 = 12 THEN month + 89 ELSE month + 1 END
$$;

CREATE TABLE audit_by_month (
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
    PRIMARY KEY (writer, segment, n, insurer_number, at)
) PARTITION BY RANGE (at);
CREATE INDEX audit_by_month_person ON audit_by_month (insurer_number, insured_number, at, writer, segment, n);
CREATE INDEX audit_by_month_organization ON audit_by_month (organization, at, writer, segment, n);

CREATE TABLE audit_seen_by_month (
    insurer_number TEXT NOT NULL CHECK (length(insurer_number) = 6), -- 保険者番号
    insured_number TEXT NOT NULL CHECK (length(insured_number) = 10), -- 被保険者番号
    organization TEXT NOT NULL,                                      -- 機関番号
    day INTEGER NOT NULL,                                            -- 日 (日本時間, yyyymmdd)
    at BIGINT NOT NULL,                                              -- 日時 of the entry: it leads to the entry's month
    writer BIGINT NOT NULL,                                          -- 記録者番号 of the entry
    segment INTEGER NOT NULL,                                        -- 区間番号 of the entry
    n INTEGER NOT NULL,                                              -- 区間内の番号 of the entry
    PRIMARY KEY (insurer_number, insured_number, organization, day)
) PARTITION BY RANGE (day);

CREATE TABLE audit_rest PARTITION OF audit_by_month DEFAULT;
CREATE TABLE audit_seen_rest PARTITION OF audit_seen_by_month DEFAULT;
INSERT INTO audit_by_month SELECT insurer_number, writer, segment, n, at, request_id, insured_number, organization, staff, certificate,
    way, action, kind, natural_key, outcome, rule, policy_version, facts, subjects, detail FROM audit;
INSERT INTO audit_seen_by_month SELECT s.insurer_number, s.insured_number, s.organization, s.day, a.at, s.writer, s.segment, s.n
    FROM audit_seen s JOIN audit a ON a.writer = s.writer AND a.segment = s.segment AND a.n = s.n AND a.insurer_number = s.insurer_number;
DROP TABLE audit;
DROP TABLE audit_seen;
ALTER TABLE audit_by_month RENAME TO audit;
ALTER TABLE audit_seen_by_month RENAME TO audit_seen;
ALTER INDEX audit_by_month_person RENAME TO audit_by_person;
ALTER INDEX audit_by_month_organization RENAME TO audit_by_organization;
SELECT kiban_distribute('audit', 'insurer_number');
SELECT kiban_distribute('audit_seen', 'insurer_number');

-- Makes the months from first_month to last_month that are not there yet; how many. Whoever writes the log may call it
-- without owning the tables. Rows that had come before their month move into it.
CREATE FUNCTION kiban_make_audit_months(first_month INTEGER, last_month INTEGER) RETURNS INTEGER
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  month INTEGER := first_month;
  following INTEGER;
  made INTEGER := 0;
BEGIN
  -- Whoever may call it can fill the catalogue with no more than a few years.
  IF last_month - first_month > 300 THEN
    RAISE EXCEPTION 'too many months at once';
  END IF;
  WHILE month <= last_month LOOP
    following := kiban_month_after(month);
    IF to_regclass(format('audit_%s', month)) IS NULL THEN
      -- One process at a time; the second finds the month there.
      PERFORM pg_advisory_xact_lock(7235938);
    END IF;
    IF to_regclass(format('audit_%s', month)) IS NULL THEN
      EXECUTE format('CREATE TABLE audit_%s (LIKE audit INCLUDING ALL)', month);
      EXECUTE format('WITH moved AS (DELETE FROM audit_rest WHERE at >= %s AND at < %s RETURNING *) INSERT INTO audit_%s SELECT * FROM moved',
        kiban_month_start(month), kiban_month_start(following), month);
      EXECUTE format('ALTER TABLE audit ATTACH PARTITION audit_%s FOR VALUES FROM (%s) TO (%s)',
        month, kiban_month_start(month), kiban_month_start(following));
      EXECUTE format('CREATE TABLE audit_seen_%s (LIKE audit_seen INCLUDING ALL)', month);
      EXECUTE format('WITH moved AS (DELETE FROM audit_seen_rest WHERE day >= %s AND day < %s RETURNING *) INSERT INTO audit_seen_%s SELECT * FROM moved',
        month * 100, following * 100, month);
      EXECUTE format('ALTER TABLE audit_seen ATTACH PARTITION audit_seen_%s FOR VALUES FROM (%s) TO (%s)',
        month, month * 100, following * 100);
      made := made + 1;
    END IF;
    month := following;
  END LOOP;
  RETURN made;
END $$;

-- Drops a month that ended more than five years ago, for good. Whoever may call it owns nothing and can delete nothing younger.
CREATE FUNCTION kiban_drop_audit_month(month INTEGER) RETURNS VOID
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  following INTEGER := kiban_month_after(month);
BEGIN
  IF kiban_month_start(following + 500) > extract(epoch FROM clock_timestamp()) * 1000000 THEN
    RAISE EXCEPTION 'the audit log of % must be kept', month;
  END IF;
  EXECUTE format('DROP TABLE IF EXISTS audit_%s, audit_seen_%s', month, month);
  DELETE FROM audit_rest WHERE at >= kiban_month_start(month) AND at < kiban_month_start(following);
  DELETE FROM audit_seen_rest WHERE day >= month * 100 AND day < following * 100;
END $$;

REVOKE EXECUTE ON FUNCTION kiban_make_audit_months(INTEGER, INTEGER), kiban_drop_audit_month(INTEGER) FROM PUBLIC;
-- Whoever calls them must not slip tables of his own under these names.
DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION kiban_make_audit_months(INTEGER, INTEGER) SET search_path = %I, pg_temp', current_schema());
  EXECUTE format('ALTER FUNCTION kiban_drop_audit_month(INTEGER) SET search_path = %I, pg_temp', current_schema());
END $$;
