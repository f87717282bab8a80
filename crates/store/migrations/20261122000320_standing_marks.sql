-- The mark of each of the newest change numbers (decision 0006.27): random, so that a number that was used before in a database whose
-- commit was lost, or that was put back from a copy, is noticed. 4,096 places, each taken again by a later number.
CREATE TABLE standing_mark (
  place   BIGINT  NOT NULL,                                            -- number mod 4096
  number  BIGINT  NOT NULL,
  mark    BIGINT  NOT NULL,                                            -- random
  PRIMARY KEY (place)
) STRICT;
SELECT kiban_distribute('standing_mark', '');
