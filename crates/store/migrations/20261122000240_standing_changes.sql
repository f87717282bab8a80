-- What changed of who may come in (decision 0006.27): servers keep offices, certificates, connectors and accounts in memory and ask
-- only for what changed since. A write takes its number as the last thing before its commit and holds the row of the counter until
-- then, so that numbers become visible in their order.
CREATE TABLE standing_counter (
  scope   TEXT    NOT NULL,                                            -- 'standing'
  number  BIGINT  NOT NULL,                                            -- of the newest change
  PRIMARY KEY (scope)
) STRICT;
SELECT kiban_distribute('standing_counter', '');

-- The newest change of each row; rows of before this step have none, a server reads everything once at its start.
CREATE TABLE standing_change (
  kind    TEXT    NOT NULL,                                            -- table
  item    TEXT    NOT NULL,                                            -- its key there
  number  BIGINT  NOT NULL,
  PRIMARY KEY (kind, item)
) STRICT;
SELECT kiban_distribute('standing_change', '');
CREATE INDEX standing_change_by_number ON standing_change (kind, number, item);
