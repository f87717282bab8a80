-- 書きかけの主治医意見書: what a hospital has typed and not sent yet. One for each person and hospital; gone when the opinion is sent or
-- nobody wrote on it for a while.
CREATE TABLE opinion_draft (
  insurer_number  TEXT    NOT NULL CHECK (length(insurer_number) = 6),
  insured_number  TEXT    NOT NULL CHECK (length(insured_number) = 10),
  office_number   TEXT    NOT NULL CHECK (length(office_number) = 10), -- the hospital
  version         BIGINT  NOT NULL,                                    -- random, another one each time it is saved
  saved_at        BIGINT  NOT NULL,
  content         BYTEA   NOT NULL,                                    -- 書いたもの (sealed)
  PRIMARY KEY (insurer_number, insured_number, office_number)
) STRICT;
CREATE INDEX opinion_draft_by_age ON opinion_draft (saved_at);
SELECT kiban_distribute('opinion_draft', 'insurer_number');
