-- 提出物: of the documents of one sender with one natural key only one waits for the municipality. NULL once it is decided, and in
-- rows of before.
ALTER TABLE submission ADD COLUMN waits BOOLEAN;
CREATE UNIQUE INDEX submission_waits ON submission (insurer_number, insured_number, sender, kind, natural_key) WHERE waits;

-- 書きかけの主治医意見書: the document of the hospital it follows (受付番号), empty for the first one. What was saved while that
-- document was being sent follows an older one and counts for nothing. NULL in rows of before, which count.
ALTER TABLE opinion_draft ADD COLUMN follows TEXT;
