//! HTTP and nothing else.

pub mod tls;
