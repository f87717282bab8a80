//! What the store promises, asked of every engine: SQLite always, PostgreSQL when `KIBAN_TEST_POSTGRES` names a server
//! (scripts/postgres-for-tests.sh). People are invented. Each test has a database of its own.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod audit_months;
mod block;
mod board;
mod bulk;
mod doors;
mod drafts;
mod facts;
mod files;
mod gather;
mod keys;
mod life;
mod logins;
mod looks;
mod notices;
mod passkeys;
mod people;
mod portal;
mod records;
mod relocate;
mod roles;
mod second_factor;
mod slips;
mod standing;
mod world;
