//! What people do: one use case per file.
