//! Whole requests through the routers: fresh embedded database, fixed clock, no network (style: tests).
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as expected")]

mod access;
mod accounts;
mod canaries;
mod certificate_life;
mod certificates;
mod claim_values;
mod claims;
mod connectors;
mod description;
mod disaster;
mod eligibility;
mod etag;
mod files;
mod hosts;
mod http;
mod identification;
mod kinds;
mod life;
mod notices;
mod once;
mod opinions;
mod order;
mod pages;
mod person_log_in;
mod provider;
mod quota;
mod recorded;
mod registration;
mod session;
mod slips;
mod submissions;
mod tls;
mod tokens;
mod view;
mod world;
