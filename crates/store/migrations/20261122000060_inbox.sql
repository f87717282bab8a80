-- 提出物: the file as it was handed in while it is on its way, the document it replaces, and the pages of a state.
ALTER TABLE submission ADD COLUMN media TEXT;
ALTER TABLE submission ADD COLUMN original BYTEA;
ALTER TABLE submission ADD COLUMN replaces TEXT;
CREATE INDEX submission_page ON submission (insurer_number, state, submitted_at, submission_id);

-- 受理した書類の原本: with the record the formal copy (P-201). The row of the inbox keeps nothing of it.
CREATE TABLE record_original (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  submission_id   TEXT    NOT NULL,                                    -- 受付番号 (shown)
  insured_number  TEXT    NOT NULL CHECK (length(insured_number) = 10),
  kind            TEXT    NOT NULL,                                    -- 情報種別
  natural_key     TEXT    NOT NULL,                                    -- of the record
  revision        BIGINT  NOT NULL,                                    -- of the record
  media           TEXT    NOT NULL,                                    -- 形式 (MIME)
  content         BYTEA   NOT NULL,                                    -- 原本 (sealed)
  purge_after     INTEGER NOT NULL,                                    -- 保存期限 (P-200)
  PRIMARY KEY (insurer_number, submission_id)
) STRICT;
SELECT kiban_distribute('record_original', 'insurer_number');

-- 担当事業所登録の見直し (P-111): what the municipality still has to look at.
CREATE TABLE registration_review (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  review_id       TEXT    NOT NULL,                                    -- random
  insured_number  TEXT    NOT NULL CHECK (length(insured_number) = 10),
  office_number   TEXT    NOT NULL CHECK (length(office_number) = 10), -- whose registration
  cause           TEXT    NOT NULL,                                    -- plan_request / plan_end
  source          TEXT    NOT NULL,                                    -- 受付番号 of what caused it
  opened_at       BIGINT  NOT NULL,
  waiting         BOOLEAN NOT NULL,
  closed_at       BIGINT,
  PRIMARY KEY (insurer_number, review_id)
) STRICT;
CREATE INDEX registration_review_page ON registration_review (insurer_number, waiting, opened_at, review_id);
CREATE INDEX registration_review_by_person ON registration_review (insurer_number, insured_number, office_number);
SELECT kiban_distribute('registration_review', 'insurer_number');

-- 接続プログラムの証明書: this certificate is no terminal at which somebody logs in, but an unattended program (P-165).
CREATE TABLE connector (
  fingerprint     TEXT    NOT NULL CHECK (length(fingerprint) = 64),   -- SHA-256, hexadecimal
  organization    TEXT    NOT NULL,
  bound_at        BIGINT  NOT NULL,
  mac             BYTEA   NOT NULL,
  PRIMARY KEY (fingerprint)
) STRICT;
SELECT kiban_distribute('connector', '');
