-- 掲示 (P-220): what the operator tells every organisation, or one kind of them; never about a person.
CREATE TABLE announcement (
  announcement_id TEXT    NOT NULL PRIMARY KEY,                        -- random
  audience        TEXT    NOT NULL,                                    -- all, offices, hospitals, municipalities
  title           TEXT    NOT NULL,
  body            TEXT    NOT NULL,
  shown_from      INTEGER NOT NULL,                                    -- yyyymmdd
  shown_to        INTEGER NOT NULL,                                    -- yyyymmdd
  made_by         TEXT    NOT NULL,
  made_at         BIGINT  NOT NULL,
  ended_at        BIGINT,                                              -- 取りやめた日時
  mac             BYTEA   NOT NULL
) STRICT;
CREATE INDEX announcement_shown ON announcement (shown_to);
CREATE INDEX announcement_made ON announcement (made_at, announcement_id);
SELECT kiban_distribute('announcement', '');

-- セキュリティ点検 (P-195, S-046, S-047): what an organisation answered about its own terminals and rules, each time anew.
CREATE TABLE self_check (
  organization    TEXT    NOT NULL,
  made_at         BIGINT  NOT NULL,
  made_by         TEXT    NOT NULL,
  edition         TEXT    NOT NULL,                                    -- of the questions
  answers         TEXT    NOT NULL,                                    -- JSON
  PRIMARY KEY (organization, made_at)
) STRICT;
SELECT kiban_distribute('self_check', 'organization');
