-- 本人の入口 (P-001, P-002): who may see one insured's information at the person's own door, and log-ins there.

-- 本人・代理の方の登録: made when a log-in's 基本4情報 fit one insured, or by the municipality with a one-time code; for a proxy with
-- the document it accepted. Never deleted: its end stands in it. The subject is the keyed digest of what the provider calls somebody.
CREATE TABLE portal_grant (
  insurer_number   TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  insured_number   TEXT    NOT NULL CHECK (length(insured_number) = 10),
  grant_id         TEXT    NOT NULL,                                   -- random
  role             TEXT    NOT NULL,                                   -- person / family / legal / voluntary / family_refused
  about            BYTEA   NOT NULL,                                   -- 代理の方の氏名・続柄・書類 (sealed)
  code             BYTEA,                                              -- keyed digest of the one-time code
  code_until       BIGINT,                                             -- last instant of the code
  despite_withheld BOOLEAN NOT NULL,                                   -- issued by the municipality while 不開示 was set
  ends_on          INTEGER NOT NULL,                                   -- last day, 99991231: none
  made_by          TEXT    NOT NULL,                                   -- staff of the municipality, or portal
  made_at          BIGINT  NOT NULL,
  subject          BYTEA,                                              -- whose log-in; none until the code is used
  bound_at         BIGINT,
  ended_at         BIGINT,
  ended_for        TEXT,                                               -- person / municipality / replaced / expired
  mac              BYTEA   NOT NULL,
  PRIMARY KEY (insurer_number, insured_number, grant_id)
) STRICT;
SELECT kiban_distribute('portal_grant', 'insurer_number');
CREATE INDEX portal_grant_by_subject ON portal_grant (subject);
CREATE INDEX portal_grant_by_code ON portal_grant (code);

-- ログイン: only the keyed digest of its token is stored; what a one-time code is compared with is a keyed digest too.
CREATE TABLE portal_session (
  token            BYTEA   NOT NULL,
  subject          BYTEA   NOT NULL,
  birth_and_sex    BYTEA   NOT NULL,                                   -- keyed digest
  name_and_birth   BYTEA   NOT NULL,                                   -- keyed digest
  insurer_number   TEXT,                                               -- whose information is being looked at
  insured_number   TEXT,
  grant_id         TEXT,
  opened_at        BIGINT  NOT NULL,
  ends_at          BIGINT  NOT NULL,
  ended_at         BIGINT,
  mac              BYTEA   NOT NULL,
  PRIMARY KEY (token)
) STRICT;
SELECT kiban_distribute('portal_session', 'token');
