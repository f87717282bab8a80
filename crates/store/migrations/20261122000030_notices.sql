-- 知らせ: what an organisation should know, or do something about, without having asked (P-149). One row per addressee.
CREATE TABLE notice (
  organization    TEXT    NOT NULL,                                    -- 宛先の組織
  notice_id       TEXT    NOT NULL,                                    -- random, or the keyed digest of what may be told only once
  administrators  BOOLEAN NOT NULL,                                    -- 事業所の管理者だけが読む
  kind            TEXT    NOT NULL,                                    -- 知らせの種類
  raised_at       BIGINT  NOT NULL,                                    -- 発生日時
  insurer_number  TEXT             CHECK (length(insurer_number) = 6), -- 保険者番号, when it is about a person
  insured_number  TEXT             CHECK (length(insured_number) = 10),
  facts           BYTEA   NOT NULL,                                    -- 内容 (sealed)
  read_at         BIGINT,                                              -- 確認した日時
  read_by         TEXT,                                                -- 確認した職員
  PRIMARY KEY (organization, notice_id)
) STRICT;
CREATE INDEX notice_by_time ON notice (organization, raised_at, notice_id);
SELECT kiban_distribute('notice', 'organization');
