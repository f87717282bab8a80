//! Who may come in at this moment: certificates, offices, staff and disaster modes in memory, asked at every handshake
//! and every request, so that a revocation works on open connections (decision 0006.27).

use crate::Error;
use kiban_domain::assignment::DisasterMode;
use kiban_domain::office::{Office, StaffId};
use kiban_domain::{Date, InsurerNumber, OfficeNumber, Organization, Timestamp, municipality};
use kiban_store::{Account, CertificateRow, Connector, Store, StoredMember};
use std::collections::{HashMap, HashSet};

/// Seconds after which a map that could not be refreshed is no longer trusted.
const STALE_AFTER_SECONDS: i64 = 60;

/// The map.
#[derive(Debug)]
pub struct Standing {
    read_at: Timestamp,
    certificates: HashMap<String, CertificateRow>,
    connectors: HashMap<String, Connector>,
    offices: HashMap<OfficeNumber, Office>,
    accounts: HashMap<StaffId, Account>,
    disasters: Vec<DisasterMode>,
    members: Vec<StoredMember>,
    reachable: HashSet<OfficeNumber>,
}

impl Standing {
    /// Reads it from the store. Rows whose MAC fails are not there.
    pub async fn read(store: &Store, now: Timestamp) -> Result<Self, Error> {
        let certificates: HashMap<_, _> =
            store.certificates().await?.into_iter().map(|row| (row.fingerprint.clone(), row)).collect();
        let offices: HashMap<OfficeNumber, Office> =
            store.offices().await?.into_iter().filter(|(_, active)| *active).map(|(o, _)| (o.number, o)).collect();
        let accounts: HashMap<StaffId, Account> =
            store.accounts().await?.into_iter().map(|account| (account.staff.id.clone(), account)).collect();
        let connectors: HashMap<_, _> =
            store.connectors().await?.into_iter().map(|row| (row.fingerprint.clone(), row)).collect();
        let members = store.union_members().await?;
        let staffed: HashSet<Organization> =
            accounts.values().filter(|account| account.active).map(|account| account.organization).collect();
        let reachable = certificates
            .values()
            .filter(|row: &&CertificateRow| row.not_after > now && row.revoked_at.is_none_or(|at| at > now))
            .filter(|row| !connectors.contains_key(&row.fingerprint) && staffed.contains(&row.organization))
            .filter_map(|row| row.organization.office().filter(|number| offices.contains_key(number)))
            .collect();
        Ok(Self {
            reachable,
            members,
            read_at: now,
            certificates,
            connectors,
            offices,
            accounts,
            disasters: store.disasters().await?,
        })
    }

    /// The organisation of a certificate that is in good standing now, or the reason against it.
    pub fn organization(&self, fingerprint: &str, now: Timestamp) -> Result<Organization, &'static str> {
        let certificate = self.certificates.get(fingerprint).ok_or("certificate_unknown")?;
        if certificate.revoked_at.is_some_and(|at| at <= now) {
            return Err("certificate_revoked");
        }
        if certificate.not_after <= now {
            return Err("certificate_expired");
        }
        match certificate.organization.office() {
            Some(number) if !self.offices.contains_key(&number) => Err("office_inactive"),
            _ => Ok(certificate.organization),
        }
    }

    /// The organisation a certificate is bound to, whether or not it is in good standing.
    pub fn bound_to(&self, fingerprint: &str) -> Option<Organization> {
        self.certificates.get(fingerprint).map(|certificate| certificate.organization)
    }

    /// The certificate of an unattended program of the organisation it is bound to: nobody logs in over it (P-165).
    pub fn connector(&self, fingerprint: &str) -> Option<(&CertificateRow, &Connector)> {
        let (certificate, connector) = (self.certificates.get(fingerprint)?, self.connectors.get(fingerprint)?);
        (connector.organization == certificate.organization).then_some((certificate, connector))
    }

    /// Whether a certificate is good on the closed line only: that of an office's unattended program, which hands in
    /// opinions and nothing else (P-134, P-194).
    pub fn is_for_closed_line(&self, fingerprint: &str) -> bool {
        self.connectors.get(fingerprint).is_some_and(|connector| connector.organization.office().is_some())
    }

    /// 保険者番号 of the paying insurer for a number on a card, on a day: the 広域連合 the operator registered for it, else what
    /// the master of municipalities says (P-038).
    pub fn paying_insurer(&self, card: InsurerNumber, on: Date) -> InsurerNumber {
        let own = municipality::find(card).and_then(|found| found.parent).unwrap_or(card);
        let member = self.members.iter().find(|row| row.member == own && row.period.contains(on));
        member.map_or_else(|| municipality::paying_insurer(card, on), |row| row.union)
    }

    /// Whether the map is recent enough to be trusted.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now.as_second() - self.read_at.as_second() <= STALE_AFTER_SECONDS
    }

    /// An active office.
    pub fn office(&self, number: OfficeNumber) -> Option<&Office> {
        self.offices.get(&number)
    }

    /// Whether somebody of an active office can come in: a certificate in good standing and an account (P-142).
    pub fn is_reachable(&self, number: OfficeNumber) -> bool {
        self.reachable.contains(&number)
    }

    /// An account, active or not.
    pub fn account(&self, id: &StaffId) -> Option<&Account> {
        self.accounts.get(id)
    }

    /// Disaster modes approved by two operators.
    pub fn disasters(&self) -> impl Iterator<Item = &DisasterMode> {
        self.disasters.iter().filter(|mode| !mode.opened_by.1.0.is_empty())
    }

    /// A certificate, in good standing or not.
    pub fn certificate(&self, fingerprint: &str) -> Option<&CertificateRow> {
        self.certificates.get(fingerprint)
    }

    /// Every certificate.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateRow> {
        self.certificates.values()
    }

    /// Certificates of an organisation.
    pub fn certificates_of(&self, organization: Organization) -> impl Iterator<Item = &CertificateRow> {
        self.certificates.values().filter(move |row| row.organization == organization)
    }
}
