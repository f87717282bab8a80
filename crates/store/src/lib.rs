//! Remember and find. All SQL of the platform lives in this crate; above it nobody sees a row or a table.

#[macro_use]
mod engine;
mod error;

pub use error::StoreError;
