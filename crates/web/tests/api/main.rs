//! Whole requests through the routers: fresh embedded database, fixed clock, no network (style: tests).
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as expected")]

mod registration;
mod view;
mod world;
