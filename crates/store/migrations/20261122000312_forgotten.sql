-- What is for a while only is found by its time, to be taken away: log-ins at the person's own door, and counts of a day.
CREATE INDEX portal_session_by_end ON portal_session (ends_at);
CREATE INDEX mismatch_by_day ON mismatch (day);
