//! Issue, revoke, list and check client certificates (P-180 to P-182, S-001 to S-003).
//!
//! - [`Ca`]: the operator's own certification authority, one folder with key, certificate and register;
//! - [`tls`]: the only TLS settings of the platform: 1.3, client certificate, no resumption;
//! - [`card`]: what an identification app on a terminal states about a card it has read;
//! - [`paper`]: the signed line in the QR code of the notice on paper;
//! - [`passkey`]: what an authenticator says when a passkey is made and used;
//! - [`pkcs12`]: certificate and key in one encrypted file;
//! - [`read`]: what a certificate says about itself.
//!
//! A certificate alone opens nothing: the server keeps a list of the fingerprints it knows, and a certificate that
//! chains to this CA but is on no list is a sign of a stolen CA key. That list is the store's business, not this crate's.

mod ca;
pub mod card;
mod cbor;
mod csr;
mod der;
mod error;
mod files;
pub mod paper;
pub mod passkey;
pub mod pkcs12;
pub mod read;
pub mod reader;
mod register;
mod sealed_key;
pub mod tls;
mod token;

pub use ca::{Ca, Issued, Signed};
pub use csr::{RequestedKey, new_key, request_for, requested_key};
pub use error::Error;
pub use read::{fingerprint, key_digest, not_after, organization_of, serial_of, terminal_of};
pub use register::{Entry, Purpose, Reason, Revocation};
pub use tls::{Identity, client_config, server_config_organizations, server_config_public};
pub use token::Place;
