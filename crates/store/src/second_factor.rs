//! 第二要素 of an account (P-183, S-005): the sealed secret of an authenticator app, the newest code that was used, and the
//! recovery codes that are left.

use crate::engine::args;
use crate::{Account, NO_INSURER, Store, StoreError, Tx};
use kiban_domain::Organization;
use kiban_domain::office::StaffId;
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
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[SECRET, SET_SECRET, USE_STEP, LAST_STEP, ADD_CODE, USE_CODE, DROP_CODES, CODES_LEFT];

/// Sealed with the secret, so that it is good for its account only.
pub(crate) fn purpose(staff: &str) -> [&[u8]; 2] {
    [b"totp", staff.as_bytes()]
}

/// What is digested of a recovery code: it is good for its account only.
fn code_text(staff: &StaffId, code: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(format!("recovery_code|{}|{code}", staff.0).into_bytes())
}

impl Tx {
    /// Sets up a second factor with its recovery codes in place of the one before, or takes it away. `account` as it was held in
    /// this transaction.
    pub async fn set_totp(
        &mut self,
        account: &Account,
        secret: Option<&[u8]>,
        recovery_codes: &[Zeroizing<String>],
    ) -> Result<(), StoreError> {
        let (id, organization) = (&account.staff.id, account.organization.to_string());
        let keys = self.keys_of(NO_INSURER).await?;
        let sealed = secret.map(|secret| keys.seal(&purpose(&id.0), secret));
        self.put_account(&Account { has_totp: secret.is_some(), ..account.clone() }).await?;
        self.raw.run(SET_SECRET, args![&id.0, sealed.as_deref()]).await?;
        self.raw.run(DROP_CODES, args![&organization, &id.0]).await?;
        for code in recovery_codes {
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

    /// Takes a recovery code away; false when there is no such one.
    pub async fn use_recovery_code(
        &mut self,
        organization: Organization,
        staff: &StaffId,
        code: &str,
    ) -> Result<bool, StoreError> {
        let digest = self.keys_of(NO_INSURER).await?.digest(&code_text(staff, code));
        Ok(self.raw.run(USE_CODE, args![&organization.to_string(), &staff.0, &digest]).await? == 1)
    }
}

impl Store {
    /// The secret of an account's authenticator app; none without one.
    pub async fn totp_secret(&self, staff: &StaffId) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let rows = self.engine.rows(SECRET, args![&staff.0]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let keys = self.keys.keys_for(NO_INSURER, &rows, &[0]).await?;
        Ok(Some(Zeroizing::new(keys.open(&purpose(&staff.0), &row.blob(0)?)?)))
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
