-- 災害時検索: one row per person with all tokens, found by a name with the sex, or with the birth date of either sex. Four rows with
-- two indexes each took a quarter of the time of a first load.
CREATE TABLE person_search (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  insured_number  TEXT    NOT NULL CHECK (length(insured_number) = 10),
  kanji_sex       BYTEA,                                               -- 漢字氏名＋性別, 128 bits each (decision 0006.23)
  kanji_birth     BYTEA,                                               -- 漢字氏名＋生年月日
  kana_sex        BYTEA,                                               -- フリガナ＋性別
  kana_birth      BYTEA,                                               -- フリガナ＋生年月日
  version         INTEGER NOT NULL,                                    -- of the normaliser; 0: tokens still to be computed
  generation      INTEGER NOT NULL,                                    -- 索引鍵の世代
  PRIMARY KEY (insurer_number, insured_number)
) STRICT;
SELECT kiban_distribute('person_search', 'insurer_number');
-- Whoever could be found is found again once the tokens are computed, which the next start of a server begins (key_care.rs).
INSERT INTO person_search (insurer_number, insured_number, version, generation)
  SELECT insurer_number, insured_number, 0, min(generation) FROM person_token GROUP BY insurer_number, insured_number;
UPDATE key_state SET normalizer = 0 WHERE EXISTS (SELECT 1 FROM person_token);
DROP TABLE person_token;
ALTER TABLE person_search RENAME TO person_token;
CREATE INDEX person_token_by_kanji ON person_token (insurer_number, kanji_sex, kanji_birth);
CREATE INDEX person_token_by_kana ON person_token (insurer_number, kana_sex, kana_birth);
