//! HTTP and nothing else.
