//! Remember and find; all SQL lives here.
