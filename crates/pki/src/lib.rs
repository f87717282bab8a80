//! Issue, revoke, list and check client certificates.
