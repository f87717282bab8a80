//! 第二要素 of an account (P-183, S-005): the sealed secret of an authenticator app with the newest code that was used, or the sealed
//! address codes are mailed to with the digest of the last one; and the recovery codes that are left.

use crate::engine::{RawTx, args};
use crate::{Account, InsurerKeys, NO_INSURER, Store, StoreError, Tx};
use kiban_domain::office::StaffId;
use kiban_domain::{Organization, Timestamp};
use zeroize::Zeroizing;

const SECRET: &str = "SELECT totp FROM staff WHERE staff_id = $1 AND totp IS NOT NULL";
const SET_SECRET: &str = "UPDATE staff SET totp = $2 WHERE staff_id = $1";
/// Of two with one code at the same moment, one finds it unused.
const USE_STEP: &str = "INSERT INTO staff_code (organization, staff_id, last_step) VALUES ($1, $2, $3)
     ON CONFLICT (organization, staff_id) DO UPDATE SET last_step = excluded.last_step
     WHERE staff_code.last_step < excluded.last_step";
const LAST_STEP: &str = "SELECT last_step FROM staff_code WHERE organization = $1 AND staff_id = $2";
const ADD_CODE: &str = "INSERT INTO recovery_code (organization, staff_id, digest) VALUES ($1, $2, $3)";
const USE_CODE: &str = "DELETE FROM recovery_code WHERE organization = $1 AND staff_id = $2 AND digest = $3";
const DROP_CODES: &str = "DELETE FROM recovery_code WHERE organization = $1 AND staff_id = $2";
const CODES_LEFT: &str = "SELECT count(*) FROM recovery_code WHERE organization = $1 AND staff_id = $2";
/// In place of the code before at the same terminal, unless as many as may be were sent within the hour.
const PUT_MAIL: &str = "INSERT INTO mail_code (organization, staff_id, fingerprint, digest, sent_at, tries, hour_from, in_hour)
     VALUES ($1, $2, $7, $3, $4, 0, $4, 1)
     ON CONFLICT (organization, staff_id, fingerprint) DO UPDATE SET digest = excluded.digest, sent_at = excluded.sent_at, tries = 0,
       in_hour = CASE WHEN mail_code.hour_from <= $5 THEN 1 ELSE mail_code.in_hour + 1 END,
       hour_from = CASE WHEN mail_code.hour_from <= $5 THEN excluded.hour_from ELSE mail_code.hour_from END
     WHERE mail_code.hour_from <= $5 OR mail_code.in_hour < $6";
/// Of two with one code at the same moment, one finds it unused.
const USE_MAIL: &str =
    "UPDATE mail_code SET digest = NULL WHERE organization = $1 AND staff_id = $2 AND fingerprint = $6
       AND digest = $3 AND sent_at > $4 AND tries < $5";
const TRY_MAIL: &str =
    "UPDATE mail_code SET tries = tries + 1 WHERE organization = $1 AND staff_id = $2 AND fingerprint = $3";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[
    SECRET, SET_SECRET, USE_STEP, LAST_STEP, ADD_CODE, USE_CODE, DROP_CODES, CODES_LEFT, PUT_MAIL, USE_MAIL, TRY_MAIL,
];

/// A second factor as it is set up.
#[derive(Clone, PartialEq, Eq)]
pub enum SecondFactor {
    /// An authenticator app with this secret of 20 bytes.
    App(Zeroizing<Vec<u8>>),
    /// Codes by e-mail to this address.
    Mail(Zeroizing<String>),
}

/// An address is filled up to so many bytes: the length of what is sealed tells nothing of it, and is never that of a secret.
const ADDRESS_BYTES: usize = 320;

impl SecondFactor {
    fn plain(&self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::App(secret) => secret.clone(),
            Self::Mail(address) => {
                let mut bytes = Zeroizing::new(address.as_bytes().to_vec());
                bytes.resize(ADDRESS_BYTES, 0);
                bytes
            }
        }
    }

    /// Which of the two purposes a factor is sealed for.
    fn purpose<'a>(&self, staff: &'a str) -> [&'a [u8]; 2] {
        let [app, mail] = purposes(staff);
        if matches!(self, Self::App(_)) { app } else { mail }
    }

    /// Of what is sealed. Addresses of before stand under the purpose of a secret and are known by their length.
    pub(crate) fn open(keys: &InsurerKeys, staff: &str, sealed: &[u8]) -> Result<Self, StoreError> {
        let [app, mail] = purposes(staff);
        let plain = match keys.open(&app, sealed) {
            Ok(secret) if secret.len() != ADDRESS_BYTES => return Ok(Self::App(Zeroizing::new(secret))),
            Ok(address) => address,
            Err(StoreError::Unreadable(_)) => keys.open(&mail, sealed)?,
            Err(other) => return Err(other),
        };
        let plain = Zeroizing::new(plain);
        let address = plain.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = std::str::from_utf8(address).map_err(|_| StoreError::Unreadable("staff"))?;
        Ok(Self::Mail(Zeroizing::new(text.to_owned())))
    }
}

/// Sealed with a secret and with an address, so that each is good for its account only, and for nothing else.
pub(crate) fn purposes(staff: &str) -> [[&[u8]; 2]; 2] {
    [[b"totp", staff.as_bytes()], [b"mail_factor", staff.as_bytes()]]
}

/// What is digested of a recovery code: it is good for its account only.
fn code_text(staff: &StaffId, code: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(format!("recovery_code|{}|{code}", staff.0).into_bytes())
}

/// Takes a recovery code away, also in a database that is not served; false when there is no such one.
pub(crate) async fn use_recovery_code(
    raw: &mut RawTx,
    keys: &InsurerKeys,
    organization: Organization,
    staff: &StaffId,
    code: &str,
) -> Result<bool, StoreError> {
    let digest = keys.digest(&code_text(staff, code));
    Ok(raw.run(USE_CODE, args![&organization.to_string(), &staff.0, &digest]).await? == 1)
}

impl Tx {
    /// Sets up a second factor with its recovery codes in place of the one before, or takes it away, and the codes with it unless they are
    /// good for passkeys too. `account` as it was held in this transaction.
    pub async fn set_factor(
        &mut self,
        account: &Account,
        factor: Option<&SecondFactor>,
        recovery_codes: &[Zeroizing<String>],
    ) -> Result<(), StoreError> {
        let id = &account.staff.id;
        let keys = self.keys_of(NO_INSURER).await?;
        let sealed = factor.map(|factor| keys.seal(&factor.purpose(&id.0), &factor.plain()));
        self.put_account(&Account { has_factor: factor.is_some(), ..account.clone() }).await?;
        self.raw.run(SET_SECRET, args![&id.0, sealed.as_deref()]).await?;
        if factor.is_none() && account.has_passkey {
            return Ok(());
        }
        self.set_recovery_codes(account, recovery_codes).await
    }

    /// Gives an account recovery codes in place of those before.
    pub async fn set_recovery_codes(
        &mut self,
        account: &Account,
        codes: &[Zeroizing<String>],
    ) -> Result<(), StoreError> {
        let (id, organization) = (&account.staff.id, account.organization.to_string());
        let keys = self.keys_of(NO_INSURER).await?;
        self.raw.run(DROP_CODES, args![&organization, &id.0]).await?;
        for code in codes {
            let digest = keys.digest(&code_text(id, code));
            self.raw.run(ADD_CODE, args![&organization, &id.0, &digest]).await?;
        }
        Ok(())
    }

    /// Notes that the code of a step of 30 seconds is used; false when it, or a later one, was before.
    pub async fn use_step(
        &mut self,
        organization: Organization,
        staff: &StaffId,
        step: i64,
    ) -> Result<bool, StoreError> {
        Ok(self.raw.run(USE_STEP, args![&organization.to_string(), &staff.0, step]).await? == 1)
    }

    /// Keeps the keyed digest of a code that is about to be mailed, over its account and address: the one before of the same terminal is
    /// good for nothing from then on. False when `most` were sent for that terminal since `hour`.
    pub async fn put_mail_code(
        &mut self,
        (organization, staff, fingerprint): (Organization, &StaffId, &str),
        text: &str,
        now: Timestamp,
        (hour, most): (Timestamp, i32),
    ) -> Result<bool, StoreError> {
        let digest = self.keys_of(NO_INSURER).await?.digest(text.as_bytes());
        let (organization, now, hour) = (organization.to_string(), now.as_microsecond(), hour.as_microsecond());
        let args = args![&organization, &staff.0, &digest, now, hour, most, fingerprint];
        Ok(self.raw.run(PUT_MAIL, args).await? == 1)
    }

    /// Uses up a code mailed for a terminal that was sent after `since` and tried less often than `tries`; false when it is not that
    /// one, which counts as a try.
    pub async fn use_mail_code(
        &mut self,
        (organization, staff, fingerprint): (Organization, &StaffId, &str),
        text: &str,
        (since, tries): (Timestamp, i32),
    ) -> Result<bool, StoreError> {
        let digest = self.keys_of(NO_INSURER).await?.digest(text.as_bytes());
        let (organization, since) = (organization.to_string(), since.as_microsecond());
        if self.raw.run(USE_MAIL, args![&organization, &staff.0, &digest, since, tries, fingerprint]).await? == 1 {
            return Ok(true);
        }
        self.raw.run(TRY_MAIL, args![&organization, &staff.0, fingerprint]).await?;
        Ok(false)
    }

    /// Takes a recovery code away; false when there is no such one.
    pub async fn use_recovery_code(
        &mut self,
        organization: Organization,
        staff: &StaffId,
        code: &str,
    ) -> Result<bool, StoreError> {
        let keys = self.keys_of(NO_INSURER).await?;
        use_recovery_code(&mut self.raw, &keys, organization, staff, code).await
    }
}

impl Store {
    /// The second factor of an account; none without one.
    pub async fn second_factor(&self, staff: &StaffId) -> Result<Option<SecondFactor>, StoreError> {
        let rows = self.engine.rows(SECRET, args![&staff.0]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let keys = self.keys.keys_for(NO_INSURER, &rows, &[0]).await?;
        SecondFactor::open(&keys, &staff.0, &row.blob(0)?).map(Some)
    }

    /// The newest step of 30 seconds whose code was used; 0 when none ever was.
    pub async fn last_step(&self, organization: Organization, staff: &StaffId) -> Result<i64, StoreError> {
        let rows = self.engine.rows(LAST_STEP, args![&organization.to_string(), &staff.0]).await?;
        rows.first().map_or(Ok(0), |row| row.big(0))
    }

    /// How many recovery codes of an account are left.
    pub async fn recovery_codes_left(&self, organization: Organization, staff: &StaffId) -> Result<i64, StoreError> {
        let rows = self.engine.rows(CODES_LEFT, args![&organization.to_string(), &staff.0]).await?;
        rows.first().map_or(Ok(0), |row| row.big(0))
    }
}
