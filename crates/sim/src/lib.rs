//! A synthetic municipality from a seed.
