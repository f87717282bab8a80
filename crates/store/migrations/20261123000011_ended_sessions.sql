-- Log-ins that are over are found by their end, to be taken away.
CREATE INDEX session_by_end ON session (refresh_until);
