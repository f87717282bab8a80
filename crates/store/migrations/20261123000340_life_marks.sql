-- A LIFE sheet lies under `sheet-YYYYMMDD-` and the mark of its number; the same number again overwrites, whoever it is about then.
CREATE INDEX record_life_mark ON record (insurer_number, creator, substr(natural_key, 16)) WHERE kind = 'C1';
