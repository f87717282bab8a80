-- 基準日 of a municipality's package, as its manifest says it: the day as of which its contents hold (yyyymmdd). None of what is no
-- package, of one whose manifest could not be read, and of those that came before.
ALTER TABLE receipt ADD COLUMN base_date INTEGER;
