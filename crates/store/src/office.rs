//! Offices, their certificates and their people: the doors by which somebody comes in (P-012, P-182).

use crate::door::Door;
use crate::engine::{Row, args};
use crate::error::readable;
use crate::standing::{Pages, Standing};
use crate::{Closing, InsurerKeys, Keyring, Store, StoreError, Tx};
use kiban_domain::office::{JobType, Office, Staff, StaffId};
use kiban_domain::{CareManagerNumber, InsurerNumber, OfficeNumber, Organization, ServiceType, Timestamp};
use std::fmt;

const PUT_OFFICE: &str = "INSERT INTO office (office_number, name, municipality, is_hospital, service_types, address, telephone, active, mac)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
     ON CONFLICT (office_number) DO UPDATE SET name = excluded.name, municipality = excluded.municipality, is_hospital = excluded.is_hospital,
       service_types = excluded.service_types, address = excluded.address, telephone = excluded.telephone, active = excluded.active, mac = excluded.mac";
const OFFICE: &str =
    "SELECT office_number, name, municipality, is_hospital, service_types, address, telephone, active, mac
     FROM office WHERE office_number = $1";
const OFFICES: &str =
    "SELECT office_number, name, municipality, is_hospital, service_types, address, telephone, active, mac
     FROM office WHERE office_number > $1 ORDER BY office_number LIMIT $2";
pub(crate) const CHANGED_OFFICES: &str =
    "SELECT office_number, name, municipality, is_hospital, service_types, address, telephone, active, mac, item, number
     FROM standing_change LEFT JOIN office ON office_number = item
     WHERE kind = 'office' AND (number, item) > ($1, $2) ORDER BY number, item LIMIT $3";
const PUT_CERTIFICATE: &str =
    "INSERT INTO certificate (fingerprint, organization, terminal, serial, not_after, revoked_at, mac, revoked_for)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
     ON CONFLICT (fingerprint) DO UPDATE SET revoked_at = excluded.revoked_at, revoked_for = excluded.revoked_for, mac = excluded.mac
     WHERE certificate.organization = excluded.organization AND certificate.not_after = excluded.not_after
       AND certificate.terminal = excluded.terminal AND certificate.serial = excluded.serial";
const CERTIFICATES: &str =
    "SELECT fingerprint, organization, terminal, serial, not_after, revoked_at, mac, revoked_for FROM certificate
     WHERE fingerprint > $1 ORDER BY fingerprint LIMIT $2";
pub(crate) const CHANGED_CERTIFICATES: &str =
    "SELECT fingerprint, organization, terminal, serial, not_after, revoked_at, mac, revoked_for, item, number
     FROM standing_change LEFT JOIN certificate ON fingerprint = item
     WHERE kind = 'certificate' AND (number, item) > ($1, $2) ORDER BY number, item LIMIT $3";
const PUT_STAFF: &str = "INSERT INTO staff (staff_id, organization, job, name, care_manager, password_hash, active, mac, administrator, initial_until, closed_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
     ON CONFLICT (staff_id) DO UPDATE SET job = excluded.job, name = excluded.name, care_manager = excluded.care_manager,
       password_hash = excluded.password_hash, active = excluded.active, mac = excluded.mac,
       administrator = excluded.administrator, initial_until = excluded.initial_until, closed_at = excluded.closed_at
     WHERE staff.organization = excluded.organization";
const STAFF: &str = "SELECT staff_id, organization, job, name, care_manager, password_hash, active, mac, administrator, initial_until, closed_at, CASE WHEN totp IS NULL THEN 0 ELSE 1 END + CASE WHEN has_passkey THEN 2 ELSE 0 END
     FROM staff WHERE staff_id = $1";
const STAFF_OF: &str = "SELECT staff_id, organization, job, name, care_manager, password_hash, active, mac, administrator, initial_until, closed_at, CASE WHEN totp IS NULL THEN 0 ELSE 1 END + CASE WHEN has_passkey THEN 2 ELSE 0 END
     FROM staff WHERE organization = $1 ORDER BY staff_id";
const STAFF_STANDING: &str =
    "SELECT staff_id, organization, job, name, care_manager, password_hash, active, mac, administrator, initial_until, closed_at, CASE WHEN totp IS NULL THEN 0 ELSE 1 END + CASE WHEN has_passkey THEN 2 ELSE 0 END
     FROM staff WHERE staff_id > $1 ORDER BY staff_id LIMIT $2";
pub(crate) const CHANGED_STAFF: &str =
    "SELECT staff_id, organization, job, name, care_manager, password_hash, active, mac, administrator, initial_until, closed_at, CASE WHEN totp IS NULL THEN 0 ELSE 1 END + CASE WHEN has_passkey THEN 2 ELSE 0 END, item, number
     FROM standing_change LEFT JOIN staff ON staff_id = item
     WHERE kind = 'staff' AND (number, item) > ($1, $2) ORDER BY number, item LIMIT $3";
/// Holds the row until the transaction ends, on either engine.
const HOLD_STAFF: &str = "UPDATE staff SET active = active WHERE staff_id = $1
     RETURNING staff_id, organization, job, name, care_manager, password_hash, active, mac, administrator, initial_until, closed_at, CASE WHEN totp IS NULL THEN 0 ELSE 1 END + CASE WHEN has_passkey THEN 2 ELSE 0 END";
const LOCK: &str =
    "SELECT failures, last_failure_at FROM staff_lock WHERE organization = $1 AND staff_id = $2 AND fingerprint = $3";
const COUNT_FAILURE: &str = "INSERT INTO staff_lock (organization, staff_id, fingerprint, failures, last_failure_at) VALUES ($1, $2, $3, 1, $4)
     ON CONFLICT (organization, staff_id, fingerprint) DO UPDATE SET
       failures = CASE WHEN staff_lock.last_failure_at < $5 THEN 1 ELSE staff_lock.failures + 1 END, last_failure_at = $4";
/// Holds the row, or its place, until the transaction ends, on either engine.
const HOLD_LOCK: &str =
    "INSERT INTO staff_lock (organization, staff_id, fingerprint, failures, last_failure_at) VALUES ($1, $2, $3, 0, 0)
     ON CONFLICT (organization, staff_id, fingerprint) DO UPDATE SET failures = staff_lock.failures
     RETURNING failures, last_failure_at";
const CLEAR_FAILURES: &str = "DELETE FROM staff_lock WHERE organization = $1 AND staff_id = $2";
const CLEAR_TERMINAL: &str = "DELETE FROM staff_lock WHERE organization = $1 AND staff_id = $2 AND fingerprint = $3";
const FORGET_FAILURES: &str = "DELETE FROM staff_lock WHERE last_failure_at < $1";
const PUT_REVIEW: &str = "INSERT INTO account_review (organization, reviewed_at, staff_id) VALUES ($1, $2, $3)
     ON CONFLICT (organization) DO UPDATE SET reviewed_at = excluded.reviewed_at, staff_id = excluded.staff_id";
const REVIEW: &str = "SELECT reviewed_at FROM account_review WHERE organization = $1";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[
    PUT_REVIEW,
    REVIEW,
    PUT_OFFICE,
    OFFICE,
    OFFICES,
    CHANGED_OFFICES,
    PUT_CERTIFICATE,
    CERTIFICATES,
    CHANGED_CERTIFICATES,
    PUT_STAFF,
    STAFF,
    STAFF_OF,
    STAFF_STANDING,
    CHANGED_STAFF,
    HOLD_STAFF,
    LOCK,
    COUNT_FAILURE,
    HOLD_LOCK,
    CLEAR_FAILURES,
    CLEAR_TERMINAL,
    FORGET_FAILURES,
];

/// A certificate of the allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRow {
    /// SHA-256 of the certificate, lower-case hexadecimal.
    pub fingerprint: String,
    /// Whose it is.
    pub organization: Organization,
    /// Terminal it is named after.
    pub terminal: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// End of validity.
    pub not_after: Timestamp,
    /// Revoked since.
    pub revoked_at: Option<Timestamp>,
    /// Why, in the words of RFC 5280 (`key-compromise`); none of one that was revoked before reasons were kept.
    pub revoked_for: Option<String>,
}

/// A staff account with what log-in needs.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The person.
    pub staff: Staff,
    /// Where they work.
    pub organization: Organization,
    /// argon2id, PHC string.
    pub password_hash: String,
    /// Not left, not locked by the administrator.
    pub active: bool,
    /// End of an initial password, which its person must change before anything else (P-185); none of one they chose.
    pub initial_until: Option<Timestamp>,
    /// When the person left; such an account is never opened again.
    pub closed_at: Option<Timestamp>,
    /// Whether an authenticator app or codes by e-mail are set up ([`Tx::set_factor`] changes it).
    pub has_factor: bool,
    /// Whether it has passkeys ([`Tx::put_passkey`], [`Tx::drop_passkey`]).
    pub has_passkey: bool,
}

impl Account {
    /// Whether a log-in at a screen takes a second factor.
    pub fn asks_factor(&self) -> bool {
        self.has_factor || self.has_passkey
    }
}

/// Without name and hash: it may end up in a log.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("staff", &self.staff.id)
            .field("organization", &self.organization)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

/// Failed log-ins of an account over one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LockState {
    /// Failures in a row.
    pub failures: i32,
    /// The last one.
    pub last_failure_at: Option<Timestamp>,
}

impl Tx {
    /// Registers an office or changes it.
    pub async fn put_office(&mut self, office: &Office, active: bool) -> Result<(), StoreError> {
        let types = office.service_types.iter().map(ServiceType::as_str).collect::<Vec<_>>().join(",");
        let (number, municipality) = (office.number.to_string(), office.municipality.to_string());
        let mac = office_door(&number, &municipality, office.is_hospital, &types, active).mac(&self.keys);
        let (address, telephone) = (office.address.as_deref(), office.telephone.as_deref());
        self.raw
            .run(
                PUT_OFFICE,
                args![
                    &number,
                    &office.name,
                    &municipality,
                    office.is_hospital,
                    &types,
                    address,
                    telephone,
                    active,
                    &mac
                ],
            )
            .await?;
        self.note_standing(Standing::Office, &number);
        if !active {
            self.note_closing(Closing::Office { number: office.number });
        }
        Ok(())
    }

    /// Binds a certificate to an organisation, or records its revocation.
    pub async fn put_certificate(&mut self, row: &CertificateRow) -> Result<(), StoreError> {
        let organization = row.organization.to_string();
        let (not_after, revoked) = (row.not_after.as_microsecond(), row.revoked_at.map(Timestamp::as_microsecond));
        let named = (row.terminal.as_str(), row.serial.as_str());
        let reason = row.revoked_for.as_deref();
        let mac =
            certificate_door(&row.fingerprint, &organization, named, not_after, (revoked, reason)).mac(&self.keys);
        let changed = self
            .raw
            .run(
                PUT_CERTIFICATE,
                args![&row.fingerprint, &organization, &row.terminal, &row.serial, not_after, revoked, &mac, reason],
            )
            .await?;
        if changed != 1 {
            return Err(StoreError::Conflict("the certificate is bound to somebody else"));
        }
        self.note_standing(Standing::Certificate, &row.fingerprint);
        if let Some(at) = row.revoked_at {
            self.note_closing(Closing::Certificate {
                fingerprint: row.fingerprint.clone(),
                organization,
                terminal: row.terminal.clone(),
                serial: row.serial.clone(),
                not_after: row.not_after,
                at,
                reason: row.revoked_for.clone(),
            });
        }
        Ok(())
    }

    /// Adds a staff account or changes it.
    pub async fn put_account(&mut self, account: &Account) -> Result<(), StoreError> {
        let keys = self.keys_of(crate::NO_INSURER).await?;
        let (id, organization) = (account.staff.id.0.as_str(), account.organization.to_string());
        let name = keys.seal(&[b"staff", id.as_bytes()], account.staff.name.as_bytes());
        let job = account.staff.job.code();
        let care_manager = account.staff.care_manager.map(|n| n.to_string());
        let initial_until = account.initial_until.map(Timestamp::as_microsecond);
        let closed_at = account.closed_at.map(Timestamp::as_microsecond);
        let mac = account_door(account).mac(&self.keys);
        let before = readable("staff", self.hold_account(&account.staff.id).await)?;
        let changed = self
            .raw
            .run(
                PUT_STAFF,
                args![
                    id,
                    &organization,
                    job,
                    &name,
                    care_manager.as_deref(),
                    &account.password_hash,
                    account.active,
                    &mac,
                    account.staff.administrator,
                    initial_until,
                    closed_at
                ],
            )
            .await?;
        if changed != 1 {
            return Err(StoreError::Conflict("the account belongs to another organisation"));
        }
        self.note_standing(Standing::Staff, id);
        if before.is_some_and(|before| is_narrowed(&before, account)) {
            self.note_closing(Closing::Account {
                staff: id.to_owned(),
                active: account.active,
                closed_at: account.closed_at,
                administrator: account.staff.administrator,
                job: job.to_owned(),
                password_hash: account.password_hash.clone(),
                initial_until: account.initial_until,
            });
        }
        Ok(())
    }

    /// An account as it is at this moment, held until the transaction ends: whoever changes it meanwhile waits. None when
    /// there is no such one or its MAC fails.
    pub async fn hold_account(&mut self, id: &StaffId) -> Result<Option<Account>, StoreError> {
        let rows = self.raw.rows(HOLD_STAFF, args![&id.0]).await?;
        let keys = self.keys.keys_for(crate::NO_INSURER, &rows, &[3]).await?;
        Ok(rows.first().map(|row| account_row(&self.keys, row, &keys)).transpose()?.flatten())
    }

    /// Disables an account as it is at this moment, or enables it again: a change of the account made meanwhile is kept. The
    /// account, or none when there is no such one or its MAC fails.
    pub async fn set_account_active(&mut self, id: &StaffId, active: bool) -> Result<Option<Account>, StoreError> {
        let Some(account) = self.hold_account(id).await? else { return Ok(None) };
        let account = Account { active, ..account };
        self.put_account(&account).await?;
        Ok(Some(account))
    }

    /// Notes that somebody went through the accounts of the organisation (P-187).
    pub async fn put_account_review(
        &mut self,
        organization: Organization,
        by: &StaffId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.raw.run(PUT_REVIEW, args![&organization.to_string(), now.as_microsecond(), &by.0]).await?;
        Ok(())
    }

    /// Counts a failed log-in over a certificate; when the last one is older than `since`, the count starts anew.
    pub async fn count_login_failure(
        &mut self,
        organization: Organization,
        staff: &StaffId,
        fingerprint: &str,
        now: Timestamp,
        since: Timestamp,
    ) -> Result<(), StoreError> {
        let (now, since) = (now.as_microsecond(), since.as_microsecond());
        self.raw.run(COUNT_FAILURE, args![&organization.to_string(), &staff.0, fingerprint, now, since]).await?;
        Ok(())
    }

    /// Failed log-ins of an account over a certificate as they are at this moment: whoever tries meanwhile waits until this
    /// transaction ends. Holds the account first if it holds both.
    pub async fn hold_lock_state(
        &mut self,
        organization: Organization,
        staff: &StaffId,
        fingerprint: &str,
    ) -> Result<LockState, StoreError> {
        let rows = self.raw.rows(HOLD_LOCK, args![&organization.to_string(), &staff.0, fingerprint]).await?;
        lock_row(&rows)
    }

    /// A log-in over a certificate succeeded: its count starts anew.
    pub async fn clear_terminal_failures(
        &mut self,
        organization: Organization,
        staff: &StaffId,
        fingerprint: &str,
    ) -> Result<(), StoreError> {
        self.raw.run(CLEAR_TERMINAL, args![&organization.to_string(), &staff.0, fingerprint]).await?;
        Ok(())
    }

    /// Forgets failures of before an instant; how many counts.
    pub async fn forget_login_failures(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.raw.run(FORGET_FAILURES, args![before.as_microsecond()]).await
    }

    /// The account has another password: the counts of all its terminals start anew.
    pub async fn clear_login_failures(
        &mut self,
        organization: Organization,
        staff: &StaffId,
    ) -> Result<(), StoreError> {
        self.raw.run(CLEAR_FAILURES, args![&organization.to_string(), &staff.0]).await?;
        Ok(())
    }
}

impl Store {
    /// An office, if it is registered and its row is intact; with whether it is active.
    pub async fn office(&self, number: OfficeNumber) -> Result<Option<(Office, bool)>, StoreError> {
        let rows = self.engine.rows(OFFICE, args![number.as_str()]).await?;
        rows.first().map(|row| self.office_row(row)).transpose().map(Option::flatten)
    }

    /// All offices; rows whose MAC fails or that cannot be read are left out.
    pub async fn offices(&self) -> Result<Vec<(Office, bool)>, StoreError> {
        let (mut pages, mut all) = (Pages::of(OFFICES), Vec::new());
        while let Some(rows) = pages.next(&self.engine).await? {
            for row in &rows {
                all.extend(readable("office", self.office_row(row))?);
            }
        }
        Ok(all)
    }

    pub(crate) fn office_row(&self, row: &Row) -> Result<Option<(Office, bool)>, StoreError> {
        let (number, municipality, types) = (row.text(0)?, row.text(2)?, row.text(4)?);
        let (is_hospital, active) = (row.boolean(3)?, row.boolean(7)?);
        if !office_door(&number, &municipality, is_hospital, &types, active).fits(&self.keys, &row.blob(8)?) {
            return Ok(None);
        }
        let unreadable = |_| StoreError::Unreadable("office");
        let office = Office {
            number: OfficeNumber::parse(&number).map_err(unreadable)?,
            name: row.text(1)?,
            address: row.text_or_null(5)?,
            telephone: row.text_or_null(6)?,
            municipality: InsurerNumber::parse(&municipality).map_err(unreadable)?,
            is_hospital,
            service_types: types
                .split(',')
                .filter(|t| !t.is_empty())
                .map(ServiceType::parse)
                .collect::<Result<_, _>>()
                .map_err(unreadable)?,
        };
        Ok(Some((office, active)))
    }

    /// The whole allow-list; rows whose MAC fails or that cannot be read are left out.
    pub async fn certificates(&self) -> Result<Vec<CertificateRow>, StoreError> {
        let (mut pages, mut all) = (Pages::of(CERTIFICATES), Vec::new());
        while let Some(rows) = pages.next(&self.engine).await? {
            for row in &rows {
                all.extend(readable("certificate", self.certificate_row(row))?);
            }
        }
        Ok(all)
    }

    pub(crate) fn certificate_row(&self, row: &Row) -> Result<Option<CertificateRow>, StoreError> {
        let (fingerprint, organization) = (row.text(0)?, row.text(1)?);
        let (terminal, serial) = (row.text(2)?, row.text(3)?);
        let (not_after, revoked, reason) = (row.big(4)?, row.big_or_null(5)?, row.text_or_null(7)?);
        let revocation = (revoked, reason.as_deref());
        let door = certificate_door(&fingerprint, &organization, (&terminal, &serial), not_after, revocation);
        if !door.fits(&self.keys, &row.blob(6)?) {
            return Ok(None);
        }
        Ok(Some(CertificateRow {
            fingerprint,
            organization: Organization::parse(&organization).map_err(|_| StoreError::Unreadable("certificate"))?,
            terminal,
            serial,
            not_after: instant(not_after)?,
            revoked_at: revoked.map(instant).transpose()?,
            revoked_for: reason,
        }))
    }

    /// A staff account; `None` also when its MAC fails.
    pub async fn account(&self, id: &StaffId) -> Result<Option<Account>, StoreError> {
        let rows = self.engine.rows(STAFF, args![&id.0]).await?;
        match rows.first() {
            Some(row) => account_row(&self.keys, row, &*self.keys.keys_for(crate::NO_INSURER, &rows, &[3]).await?),
            None => Ok(None),
        }
    }

    /// The accounts of an organisation, those of people who left too, by id; rows whose MAC fails or that cannot be read are left out.
    pub async fn accounts_of(&self, organization: Organization) -> Result<Vec<Account>, StoreError> {
        let rows = self.engine.rows(STAFF_OF, args![&organization.to_string()]).await?;
        let keys = self.keys.keys_for(crate::NO_INSURER, &rows, &[3]).await?;
        rows.iter().filter_map(|row| readable("staff", account_row(&self.keys, row, &keys)).transpose()).collect()
    }

    /// When somebody last went through the accounts of an organisation.
    pub async fn account_review(&self, organization: Organization) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.engine.rows(REVIEW, args![&organization.to_string()]).await?;
        rows.first().map(|row| instant(row.big(0)?)).transpose()
    }

    /// Every account, for the standing map; rows whose MAC fails or that cannot be read are left out.
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let (mut pages, mut all) = (Pages::of(STAFF_STANDING), Vec::new());
        while let Some(rows) = pages.next(&self.engine).await? {
            let keys = self.keys.keys_for(crate::NO_INSURER, &rows, &[3]).await?;
            for row in &rows {
                all.extend(readable("staff", account_row(&self.keys, row, &keys))?);
            }
        }
        Ok(all)
    }

    /// Failed log-ins of an account over a certificate.
    pub async fn lock_state(
        &self,
        organization: Organization,
        staff: &StaffId,
        fingerprint: &str,
    ) -> Result<LockState, StoreError> {
        let rows = self.engine.rows(LOCK, args![&organization.to_string(), &staff.0, fingerprint]).await?;
        lock_row(&rows)
    }
}

/// The row of [`LOCK`] or [`HOLD_LOCK`]; no failure when there is none.
fn lock_row(rows: &[Row]) -> Result<LockState, StoreError> {
    match rows.first() {
        Some(row) if row.int(0)? > 0 => {
            Ok(LockState { failures: row.int(0)?, last_failure_at: Some(instant(row.big(1)?)?) })
        }
        _ => Ok(LockState::default()),
    }
}

/// An account; `None` when its MAC fails.
/// Whether somebody who could log in before cannot do so any more, or not as before.
fn is_narrowed(before: &Account, after: &Account) -> bool {
    !after.active
        || after.closed_at.is_some()
        || before.password_hash != after.password_hash
        || before.staff.job != after.staff.job
        || before.staff.administrator && !after.staff.administrator
}

pub(crate) fn account_row(ring: &Keyring, row: &Row, keys: &InsurerKeys) -> Result<Option<Account>, StoreError> {
    let unreadable = || StoreError::Unreadable("staff");
    let (id, care_manager) = (row.text(0)?, row.text_or_null(4)?);
    let staff = Staff {
        id: StaffId(id),
        name: String::new(),
        job: JobType::parse(&row.text(2)?).ok_or_else(unreadable)?,
        care_manager: care_manager.map(|n| CareManagerNumber::parse(&n)).transpose().map_err(|_| unreadable())?,
        administrator: row.boolean(8)?,
    };
    let mut account = Account {
        staff,
        organization: Organization::parse(&row.text(1)?).map_err(|_| unreadable())?,
        password_hash: row.text(5)?,
        active: row.boolean(6)?,
        initial_until: row.big_or_null(9)?.map(instant).transpose()?,
        closed_at: row.big_or_null(10)?.map(instant).transpose()?,
        has_factor: row.int(11)? & 1 != 0,
        has_passkey: row.int(11)? & 2 != 0,
    };
    if !account_door(&account).fits(ring, &row.blob(7)?) {
        return Ok(None);
    }
    let name = keys.open(&[b"staff", account.staff.id.0.as_bytes()], &row.blob(3)?)?;
    account.staff.name = String::from_utf8(name).map_err(|_| unreadable())?;
    Ok(Some(account))
}

/// Microseconds of the store as an instant.
pub(crate) fn instant(microseconds: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(microseconds).map_err(|_| StoreError::Unreadable("instant"))
}

fn office_door(number: &str, municipality: &str, is_hospital: bool, types: &str, active: bool) -> Door {
    Door::new("office").text(number).text(municipality).flag(is_hospital).text(types).flag(active)
}

/// Terminal and serial are in it: by them the operator revokes and the log names a machine.
fn certificate_door(
    fingerprint: &str,
    organization: &str,
    (terminal, serial): (&str, &str),
    not_after: i64,
    (revoked, reason): (Option<i64>, Option<&str>),
) -> Door {
    let door = Door::new("certificate")
        .text(fingerprint)
        .text(organization)
        .text(terminal)
        .text(serial)
        .number(not_after)
        .maybe_number(revoked);
    // Added later: a row without a reason keeps its MAC.
    match reason {
        Some(reason) => door.text(reason),
        None => door,
    }
}

fn account_door(account: &Account) -> Door {
    let care_manager = account.staff.care_manager.map(|number| number.to_string());
    let mut door = Door::new("staff")
        .text(&account.staff.id.0)
        .text(&account.organization.to_string())
        .text(account.staff.job.code())
        .maybe_text(care_manager.as_deref())
        .text(&account.password_hash)
        .flag(account.active);
    // Added later: a row without them keeps its MAC.
    if account.staff.administrator {
        door = door.text("administrator");
    }
    if let Some(until) = account.initial_until {
        door = door.text("initial").number(until.as_microsecond());
    }
    if let Some(at) = account.closed_at {
        door = door.text("closed").number(at.as_microsecond());
    }
    if account.has_factor {
        door = door.text("totp");
    }
    if account.has_passkey { door.text("passkey") } else { door }
}
