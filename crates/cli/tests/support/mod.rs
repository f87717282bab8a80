//! What the fault tests share: a town with a platform of its own, a server as a real process, terminals that speak HTTPS
//! with client certificates, the ledger each of them keeps, and the checker that compares ledger, store and audit log.
//!
//! The ledger is the only evidence: it is written by the clients, each line on the disk before the next step is taken.
//! What the server says of itself proves nothing.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod canary;
pub mod check;
pub mod database;
#[path = "../../src/home.rs"]
pub mod home;
#[path = "../../src/lane.rs"]
pub mod lane;
pub mod ledger;
pub mod parties;
pub mod postgres;
pub mod relay;
pub mod server;
pub mod terminal;
pub mod town;

/// Runs a future on a runtime of its own.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

/// A number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Numbers that look random and are the same for the same seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}
