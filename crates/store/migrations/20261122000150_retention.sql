-- 保存期限: housekeeping finds what is past its time without reading a table whole (P-201, P-203).

CREATE INDEX record_original_due ON record_original (purge_after, insurer_number, submission_id);

-- 差し戻したまま出し直されない書類: only those that still have a content.
CREATE INDEX submission_returned ON submission (decided_at, insurer_number, submission_id)
  WHERE state = 'returned' AND payload IS NOT NULL;
