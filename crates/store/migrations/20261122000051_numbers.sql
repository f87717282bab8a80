-- 番号異動 (P-038): new and old number of one person. Gives nobody rights.
CREATE TABLE person_link (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  insured_number  TEXT    NOT NULL CHECK (length(insured_number) = 10), -- 新しい番号
  history_number  BIGINT  NOT NULL,                                    -- 履歴番号
  revision        BIGINT  NOT NULL,                                    -- 受付番号
  before_insurer  TEXT    NOT NULL CHECK (length(before_insurer) = 6), -- 旧保険者番号
  before_insured  TEXT    NOT NULL CHECK (length(before_insured) = 10), -- 旧被保険者番号
  changed_on      INTEGER NOT NULL,                                    -- 異動日
  reason          TEXT    NOT NULL,                                    -- 異動事由
  deleted         BOOLEAN NOT NULL,
  mac             BYTEA   NOT NULL,
  PRIMARY KEY (insurer_number, insured_number, history_number, revision)
) STRICT;
CREATE INDEX person_link_before ON person_link (before_insurer, before_insured);
SELECT kiban_distribute('person_link', 'insurer_number');

-- 広域連合の構成市町村, as the operator knows them: whose cards the union pays for.
CREATE TABLE union_member (
  member          TEXT    NOT NULL CHECK (length(member) = 6),         -- 証記載保険者番号 of the member
  valid_from      INTEGER NOT NULL,                                    -- 加入日
  valid_to        INTEGER NOT NULL,                                    -- 脱退の前日, 99991231 while a member
  union_number    TEXT    NOT NULL CHECK (length(union_number) = 6),   -- 広域連合の保険者番号
  mac             BYTEA   NOT NULL,
  PRIMARY KEY (member, valid_from)
) STRICT;
SELECT kiban_distribute('union_member', '');
