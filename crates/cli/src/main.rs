//! The one executable, `kiban`.
fn main() {}
