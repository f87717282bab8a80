//! Who asks, by which way, when: a [`Caller`] exists only after certificate, account and lock were verified.

use crate::Error;
use crate::once::OnceKey;
use kiban_domain::office::{Office, OfficeClass, Staff};
use kiban_domain::{Date, Organization, PersonKey, Timestamp, dates};
use kiban_policy::{SharingTable, UseCase, Way, way_allows};
use kiban_store::{Entry, Outcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The circumstances of one request.
#[derive(Debug, Clone)]
pub struct Context {
    /// The clock, read once at the edge.
    pub now: Timestamp,
    /// Random id, in the answer and in its audit entry.
    pub request_id: String,
    /// Whether an audit entry was made for the request; shared by all copies (S-014).
    has_entry: Arc<AtomicBool>,
    /// The key under which its caller wants it done once.
    pub(crate) once: Option<Arc<OnceKey>>,
}

impl Context {
    /// A context with a fresh request id.
    pub fn new(now: Timestamp) -> Result<Self, Error> {
        Ok(Self { now, request_id: crate::random_id()?, has_entry: Arc::default(), once: None })
    }

    /// Notes that an entry is made for this request.
    pub(crate) fn note_entry(&self) {
        self.has_entry.store(true, Ordering::Release);
    }

    pub(crate) fn has_entry(&self) -> bool {
        self.has_entry.load(Ordering::Acquire)
    }

    /// Today in Japan.
    pub fn today(&self) -> Date {
        dates::day_in_japan(self.now)
    }
}

/// The other end of a connection, before anybody logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// SHA-256 of its client certificate, lower-case hexadecimal.
    pub fingerprint: String,
    /// Its address.
    pub source: String,
}

/// A verified caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its organisation, by its certificate.
    pub organization: Organization,
    /// The office and its class, if the organisation is one.
    pub office: Option<(Office, OfficeClass)>,
    /// The staff member logged in.
    pub staff: Staff,
    /// How the request arrives.
    pub way: Way,
    /// The connection.
    pub peer: Peer,
    /// Name of the vendor's program.
    pub software: Option<String>,
    /// Id of the log-in; empty for an unattended program.
    pub(crate) session: String,
    /// When the log-in was opened: when its password, and the second factor, were last proven.
    pub(crate) opened_at: Timestamp,
    /// The second factor has not come yet.
    pub(crate) awaits_factor: bool,
    /// Whether it may export its whole municipality where its way in is open for that: an unattended program may when the
    /// operator has said so, since its certificate is all it has.
    pub(crate) may_export: bool,
}

/// Whoever asks about a person, as far as an entry and the creator of a document need it: a caller of an organisation, or somebody at
/// the person's own door.
pub(crate) trait Asks {
    /// The organisation, if it is one.
    fn organization(&self) -> Option<Organization>;
    /// An entry about a person.
    fn entry_about(&self, context: &Context, person: PersonKey, action: &str, outcome: Outcome) -> Entry;
}

impl Asks for Caller {
    fn organization(&self) -> Option<Organization> {
        Some(self.organization)
    }

    fn entry_about(&self, context: &Context, person: PersonKey, action: &str, outcome: Outcome) -> Entry {
        Self::entry_about(self, context, person, action, outcome)
    }
}

impl Caller {
    /// Closed to this way in: refused before anything is looked up (P-165, P-166).
    pub(crate) fn require_way(&self, use_case: UseCase, table: &SharingTable) -> Result<(), Error> {
        if way_allows(self.way, use_case, table) {
            Ok(())
        } else {
            Err(Error::rule(kiban_policy::Rule::NotThisWay, table))
        }
    }

    /// The municipality the caller works for.
    pub(crate) fn municipality(&self) -> Option<kiban_domain::InsurerNumber> {
        if let Organization::Municipality(number) = self.organization { Some(number) } else { None }
    }

    /// An audit entry of this caller.
    pub(crate) fn entry(&self, context: &Context, action: &str, outcome: Outcome) -> Entry {
        let way = match self.way {
            Way::Interactive => "interactive",
            Way::VendorProgram | Way::CityProgram => "program",
            Way::Connector => "connector",
        };
        context.note_entry();
        Entry {
            organization: Some(self.organization.to_string()),
            staff: Some(self.staff.id.0.clone()),
            certificate: fingerprint_bytes(&self.peer.fingerprint),
            software: self.software.clone(),
            source: Some(self.peer.source.clone()),
            ..Entry::new(context.now, &context.request_id, way, action, outcome)
        }
    }

    /// An audit entry of this caller about a person.
    pub(crate) fn entry_about(&self, context: &Context, person: PersonKey, action: &str, outcome: Outcome) -> Entry {
        Entry {
            insurer: Some(person.insurer.to_string()),
            insured: Some(person.insured.to_string()),
            ..self.entry(context, action, outcome)
        }
    }
}

/// A fingerprint as bytes.
pub(crate) fn fingerprint_bytes(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0u8; 32];
    if text.len() != 64 {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(bytes)
}
