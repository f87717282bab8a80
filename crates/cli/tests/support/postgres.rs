//! A PostgreSQL of the test's own that may be stopped, frozen and searched.
