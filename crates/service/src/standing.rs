//! Who may come in at this moment: certificates, offices, staff and disaster modes in memory, asked at every handshake
//! and every request, so that a revocation works on open connections (decision 0006.27). Read once as a whole, then by what
//! changed.

mod parts;

use crate::{Error, Platform};
use kiban_domain::assignment::DisasterMode;
use kiban_domain::office::{Office, StaffId};
use kiban_domain::{Date, InsurerNumber, OfficeNumber, Organization, Timestamp, municipality};
use kiban_store::{Account, CertificateRow, Connector, StandingNumber, Store, StoredMember};
use parts::Parts;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

/// Seconds after which a map that could not be refreshed is no longer trusted.
const STALE_AFTER_SECONDS: i64 = 60;

/// The map.
#[derive(Debug, Clone)]
pub struct Standing {
    read_at: Timestamp,
    /// Every change up to this one is in it.
    number: StandingNumber,
    rows: Arc<Rows>,
}

/// What stands in the store. Rows whose MAC fails are not there.
#[derive(Debug, Clone, Default)]
struct Rows {
    certificates: Parts<String, CertificateRow>,
    connectors: Parts<String, Connector>,
    /// Active ones.
    offices: Parts<OfficeNumber, Office>,
    accounts: Parts<StaffId, Account>,
    organizations: Parts<Organization, Held>,
    disasters: Vec<DisasterMode>,
    members: Vec<StoredMember>,
}

/// What an organisation has.
#[derive(Debug, Clone, Default)]
struct Held {
    fingerprints: BTreeSet<String>,
    active_accounts: usize,
}

impl Rows {
    async fn read(store: &Store) -> Result<Self, Error> {
        let mut rows = Self::default();
        for row in store.certificates().await? {
            rows.put_certificate(row.fingerprint.clone(), Some(row));
        }
        for row in store.connectors().await? {
            rows.connectors.put(row.fingerprint.clone(), Some(row));
        }
        for office in store.offices().await? {
            rows.put_office(office.0.number, Some(office));
        }
        for account in store.accounts().await? {
            rows.put_account(account.staff.id.clone(), Some(account));
        }
        rows.read_small(store).await?;
        Ok(rows)
    }

    /// The rows that changed after a number.
    async fn read_changed(&mut self, store: &Store, after: i64) -> Result<(), Error> {
        for (fingerprint, row) in store.changed_certificates(after).await? {
            self.put_certificate(fingerprint, row);
        }
        for (fingerprint, row) in store.changed_connectors(after).await? {
            self.connectors.put(fingerprint, row);
        }
        for (number, office) in store.changed_offices(after).await? {
            // Nobody but a forger notes a key that is no number.
            if let Ok(number) = OfficeNumber::parse(&number) {
                self.put_office(number, office);
            }
        }
        for (id, account) in store.changed_accounts(after).await? {
            self.put_account(StaffId(id), account);
        }
        self.read_small(store).await
    }

    /// Tables of a few hundred rows.
    async fn read_small(&mut self, store: &Store) -> Result<(), Error> {
        (self.members, self.disasters) = (store.union_members().await?, store.disasters().await?);
        Ok(())
    }

    fn put_certificate(&mut self, fingerprint: String, row: Option<CertificateRow>) {
        let now = row.as_ref().map(|row| row.organization);
        let before = self.certificates.put(fingerprint.clone(), row).map(|row| row.organization);
        if before == now {
            return;
        }
        if let Some(organization) = before {
            self.organizations.change(organization, |held| {
                held.fingerprints.remove(&fingerprint);
            });
        }
        if let Some(organization) = now {
            self.organizations.change(organization, |held| {
                held.fingerprints.insert(fingerprint);
            });
        }
    }

    fn put_office(&mut self, number: OfficeNumber, row: Option<(Office, bool)>) {
        let active = row.and_then(|(office, active)| active.then_some(office));
        self.offices.put(number, active);
    }

    fn put_account(&mut self, id: StaffId, account: Option<Account>) {
        let active_at = |account: &Account| account.active.then_some(account.organization);
        let now = account.as_ref().and_then(active_at);
        let before = self.accounts.put(id, account).as_ref().and_then(active_at);
        if before == now {
            return;
        }
        if let Some(organization) = before {
            self.organizations.change(organization, |held| held.active_accounts -= 1);
        }
        if let Some(organization) = now {
            self.organizations.change(organization, |held| held.active_accounts += 1);
        }
    }
}

impl Platform {
    /// Who may come in at this moment.
    pub fn standing(&self) -> Arc<Standing> {
        Arc::clone(&self.inner.standing.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads what changed of who may come in; called every two seconds and after each own change.
    pub async fn refresh_standing(&self, now: Timestamp) -> Result<(), Error> {
        let mut read_anew = self.inner.reading_standing.lock().await;
        let base = read_anew.clone().unwrap_or_else(|| Standing::clone(&self.standing()));
        let standing = Arc::new(base.refreshed(self.store(), now).await?);
        *read_anew = None;
        *self.inner.standing.write().unwrap_or_else(PoisonError::into_inner) = standing;
        Ok(())
    }

    /// Reads everything again, which also finds rows that were changed or deleted past the store; called about every hour. The
    /// map goes on being refreshed meanwhile, and its next refresh stands on what was read here.
    pub async fn reread_standing(&self, now: Timestamp) -> Result<(), Error> {
        let standing = Standing::read(self.store(), now).await?;
        *self.inner.reading_standing.lock().await = Some(standing);
        Ok(())
    }
}

impl Standing {
    /// Reads it as a whole.
    pub(crate) async fn read(store: &Store, now: Timestamp) -> Result<Self, Error> {
        // Before the rows: what changes while they are read is read once more.
        let (number, _) = store.standing_number(StandingNumber::default()).await?;
        Ok(Self { read_at: now, number, rows: Arc::new(Rows::read(store).await?) })
    }

    /// The same with what changed since.
    async fn refreshed(&self, store: &Store, now: Timestamp) -> Result<Self, Error> {
        let (number, is_same_history) = store.standing_number(self.number).await?;
        if !is_same_history {
            tracing::error!("change numbers are those of another or an older database; everything is read again");
            return Self::read(store, now).await;
        }
        let mut rows = Arc::clone(&self.rows);
        if number != self.number {
            Arc::make_mut(&mut rows).read_changed(store, self.number.number).await?;
        }
        Ok(Self { read_at: now, number, rows })
    }

    /// The organisation of a certificate that is in good standing now, or the reason against it.
    pub fn organization(&self, fingerprint: &str, now: Timestamp) -> Result<Organization, &'static str> {
        let certificate = self.rows.certificates.get(fingerprint).ok_or("certificate_unknown")?;
        if certificate.revoked_at.is_some_and(|at| at <= now) {
            return Err("certificate_revoked");
        }
        if certificate.not_after <= now {
            return Err("certificate_expired");
        }
        match certificate.organization.office() {
            Some(number) if self.rows.offices.get(&number).is_none() => Err("office_inactive"),
            _ => Ok(certificate.organization),
        }
    }

    /// The organisation a certificate is bound to, whether or not it is in good standing.
    pub fn bound_to(&self, fingerprint: &str) -> Option<Organization> {
        self.rows.certificates.get(fingerprint).map(|certificate| certificate.organization)
    }

    /// The certificate of an unattended program of the organisation it is bound to: nobody logs in over it (P-165).
    pub fn connector(&self, fingerprint: &str) -> Option<(&CertificateRow, &Connector)> {
        let (certificate, connector) =
            (self.rows.certificates.get(fingerprint)?, self.rows.connectors.get(fingerprint)?);
        (connector.organization == certificate.organization).then_some((certificate, connector))
    }

    /// Whether a certificate is good on the closed line only: that of an office's unattended program, which hands in
    /// opinions and nothing else (P-134, P-194).
    pub fn is_for_closed_line(&self, fingerprint: &str) -> bool {
        self.rows.connectors.get(fingerprint).is_some_and(|connector| connector.organization.office().is_some())
    }

    /// 保険者番号 of the paying insurer for a number on a card, on a day: the 広域連合 the operator registered for it, else what
    /// the master of municipalities says (P-038).
    pub fn paying_insurer(&self, card: InsurerNumber, on: Date) -> InsurerNumber {
        let own = municipality::find(card).and_then(|found| found.parent).unwrap_or(card);
        let member = self.rows.members.iter().find(|row| row.member == own && row.period.contains(on));
        member.map_or_else(|| municipality::paying_insurer(card, on), |row| row.union)
    }

    /// Whether the map is recent enough to be trusted.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now.as_second() - self.read_at.as_second() <= STALE_AFTER_SECONDS
    }

    /// An active office.
    pub fn office(&self, number: OfficeNumber) -> Option<&Office> {
        self.rows.offices.get(&number)
    }

    /// Every active office.
    pub fn offices(&self) -> impl Iterator<Item = &Office> {
        self.rows.offices.values()
    }

    /// Whether somebody of an active office can come in: a certificate in good standing and an account (P-142).
    pub fn is_reachable(&self, number: OfficeNumber) -> bool {
        let organization = Organization::Office(number);
        let is_staffed = self.rows.organizations.get(&organization).is_some_and(|held| held.active_accounts > 0);
        let opens = |row: &CertificateRow| {
            row.not_after > self.read_at
                && row.revoked_at.is_none_or(|at| at > self.read_at)
                && self.rows.connectors.get(&row.fingerprint).is_none()
        };
        is_staffed && self.office(number).is_some() && self.certificates_of(organization).any(opens)
    }

    /// An account, active or not.
    pub fn account(&self, id: &StaffId) -> Option<&Account> {
        self.rows.accounts.get(id)
    }

    /// Disaster modes approved by two operators.
    pub fn disasters(&self) -> impl Iterator<Item = &DisasterMode> {
        self.rows.disasters.iter().filter(|mode| !mode.opened_by.1.0.is_empty())
    }

    /// A certificate, in good standing or not.
    pub fn certificate(&self, fingerprint: &str) -> Option<&CertificateRow> {
        self.rows.certificates.get(fingerprint)
    }

    /// Every certificate.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateRow> {
        self.rows.certificates.values()
    }

    /// Certificates of an organisation.
    pub fn certificates_of(&self, organization: Organization) -> impl Iterator<Item = &CertificateRow> {
        let held = self.rows.organizations.get(&organization);
        let fingerprints = held.into_iter().flat_map(|held| &held.fingerprints);
        fingerprints.filter_map(move |fingerprint| self.certificate(fingerprint))
    }
}
