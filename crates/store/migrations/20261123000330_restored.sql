-- A database put back from a copy opens no door until two operators have accepted it (docs/decisions/0011). The copy itself
-- carries the row that says so, or the transaction that puts it back does; the newest row without a good signature holds
-- everything. What is signed stays: it also says which anchors outside name entries that are lost.
CREATE TABLE restored (
  number       BIGINT  NOT NULL,                                       -- 1, 2, 3, …
  made_at      BIGINT  NOT NULL,                                       -- when the copy was made, microseconds UTC
  generation   TEXT    NOT NULL,                                       -- name of the copy
  first_lost   BIGINT  NOT NULL DEFAULT 0,                             -- anchors that were outside only; 0: none
  last_lost    BIGINT  NOT NULL DEFAULT 0,
  approved_by  TEXT    NOT NULL DEFAULT '',                            -- two accounts of the operator
  gap          BYTEA,                                                  -- Ed25519 over the lost anchors
  accepted_at  BIGINT  NOT NULL DEFAULT 0,
  accepted     BYTEA,                                                  -- Ed25519 over all of it
  PRIMARY KEY (number)
) STRICT;
SELECT kiban_distribute('restored', '');
