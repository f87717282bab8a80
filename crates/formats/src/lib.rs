//! Bytes to domain and back for every outside file.
