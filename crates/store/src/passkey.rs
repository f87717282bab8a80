//! パスキー of an account (P-183, S-005), each sealed as a whole, and the question that is open in a log-in: good once.

use crate::engine::{Row, args};
use crate::error::readable;
use crate::{Account, InsurerKeys, NO_INSURER, Store, StoreError, Tx};
use kiban_domain::office::StaffId;
use kiban_domain::{Organization, Timestamp};
use serde::{Deserialize, Serialize};

const PUT: &str = "INSERT INTO passkey (organization, staff_id, passkey_id, content) VALUES ($1, $2, $3, $4)
     ON CONFLICT (organization, staff_id, passkey_id) DO UPDATE SET content = excluded.content";
const OF: &str =
    "SELECT passkey_id, content FROM passkey WHERE organization = $1 AND staff_id = $2 ORDER BY passkey_id";
const DROP: &str = "DELETE FROM passkey WHERE organization = $1 AND staff_id = $2 AND passkey_id = $3";
const DROP_ALL: &str = "DELETE FROM passkey WHERE organization = $1 AND staff_id = $2";
const SET_FLAG: &str = "UPDATE staff SET has_passkey = $2 WHERE staff_id = $1";
/// In place of the question before.
const ASK: &str =
    "INSERT INTO passkey_challenge (organization, session_id, purpose, nonce, made_at) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (organization, session_id, purpose) DO UPDATE SET nonce = excluded.nonce, made_at = excluded.made_at";
/// Of two with one answer at the same moment, one finds it taken.
const TAKE: &str = "DELETE FROM passkey_challenge WHERE organization = $1 AND session_id = $2 AND purpose = $3
     RETURNING nonce, made_at";
const FORGET: &str = "DELETE FROM passkey_challenge WHERE made_at < $1";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, OF, DROP, DROP_ALL, SET_FLAG, ASK, TAKE, FORGET];

/// A passkey of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passkey {
    /// Ours, random.
    #[serde(skip)]
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// By which an authenticator finds it.
    pub credential: Vec<u8>,
    /// Public key, as COSE writes it.
    pub key: Vec<u8>,
    /// Counter of the last answer; 0 where it has none.
    pub counter: u32,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it was used last.
    pub used_at: Option<Timestamp>,
}

/// What a question to a passkey is for; the answer is good for nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasskeyPurpose {
    /// To make one.
    Make,
    /// The second step of a log-in.
    LogIn,
    /// 確かめ直し.
    Prove,
}

impl PasskeyPurpose {
    fn code(self) -> &'static str {
        match self {
            Self::Make => "make",
            Self::LogIn => "log_in",
            Self::Prove => "prove",
        }
    }
}

/// Sealed with a passkey, so that it is good for its account only.
pub(crate) fn purpose<'a>(staff: &'a str, id: &'a str) -> [&'a [u8]; 3] {
    [b"passkey", staff.as_bytes(), id.as_bytes()]
}

/// The challenge of a question: nobody who only writes into the database makes one that was answered before.
fn challenge_of(keys: &InsurerKeys, session: &str, purpose: PasskeyPurpose, nonce: &[u8]) -> [u8; 32] {
    let about = format!("passkey_challenge|{}|{session}|", purpose.code());
    keys.digest(&[about.as_bytes(), nonce].concat())
}

fn passkey_row(keys: &InsurerKeys, staff: &StaffId, row: &Row) -> Result<Option<Passkey>, StoreError> {
    let id = row.text(0)?;
    let content = keys.open(&purpose(&staff.0, &id), &row.blob(1)?)?;
    let passkey: Passkey = serde_json::from_slice(&content).map_err(|_| StoreError::Unreadable("passkey"))?;
    Ok(Some(Passkey { id, ..passkey }))
}

/// The oldest first; one that does not open is none, and the others stay good.
fn passkeys(keys: &InsurerKeys, staff: &StaffId, rows: &[Row]) -> Result<Vec<Passkey>, StoreError> {
    let one = |row| readable("passkey", passkey_row(keys, staff, row)).transpose();
    let mut all: Vec<Passkey> = rows.iter().filter_map(one).collect::<Result<_, _>>()?;
    all.sort_by_key(|passkey| passkey.made_at);
    Ok(all)
}

impl Tx {
    /// Adds a passkey or keeps what became of it. `account` as it was held in this transaction.
    pub async fn put_passkey(&mut self, account: &Account, passkey: &Passkey) -> Result<(), StoreError> {
        let (id, organization) = (&account.staff.id.0, account.organization.to_string());
        let content = serde_json::to_vec(passkey).map_err(|error| StoreError::Internal(error.to_string()))?;
        let sealed = self.keys_of(NO_INSURER).await?.seal(&purpose(id, &passkey.id), &content);
        self.raw.run(PUT, args![&organization, id, &passkey.id, &sealed]).await?;
        if account.has_passkey { Ok(()) } else { self.flag_passkeys(account, true).await }
    }

    /// The passkeys of an account that is held in this transaction.
    pub async fn passkeys(&mut self, account: &Account) -> Result<Vec<Passkey>, StoreError> {
        let organization = account.organization.to_string();
        let rows = self.raw.rows(OF, args![&organization, &account.staff.id.0]).await?;
        let keys = self.keys.keys_for(NO_INSURER, &rows, &[1]).await?;
        passkeys(&keys, &account.staff.id, &rows)
    }

    /// Takes a passkey away; `is_last`: the account has none from now on.
    pub async fn drop_passkey(&mut self, account: &Account, id: &str, is_last: bool) -> Result<bool, StoreError> {
        let organization = account.organization.to_string();
        let is_gone = self.raw.run(DROP, args![&organization, &account.staff.id.0, id]).await? == 1;
        if is_gone && is_last {
            self.flag_passkeys(account, false).await?;
        }
        Ok(is_gone)
    }

    /// Takes all of them away.
    pub async fn drop_passkeys(&mut self, account: &Account) -> Result<(), StoreError> {
        self.raw.run(DROP_ALL, args![&account.organization.to_string(), &account.staff.id.0]).await?;
        self.flag_passkeys(account, false).await
    }

    async fn flag_passkeys(&mut self, account: &Account, has_passkey: bool) -> Result<(), StoreError> {
        self.put_account(&Account { has_passkey, ..account.clone() }).await?;
        self.raw.run(SET_FLAG, args![&account.staff.id.0, has_passkey]).await?;
        Ok(())
    }

    /// Keeps a question in place of the one before of this log-in and purpose; its challenge. `nonce` is random.
    pub async fn ask_passkey(
        &mut self,
        (organization, session): (Organization, &str),
        purpose: PasskeyPurpose,
        nonce: [u8; 32],
        now: Timestamp,
    ) -> Result<[u8; 32], StoreError> {
        let keys = self.keys_of(NO_INSURER).await?;
        let organization = organization.to_string();
        let args = args![&organization, session, purpose.code(), &nonce, now.as_microsecond()];
        self.raw.run(ASK, args).await?;
        Ok(challenge_of(&keys, session, purpose, &nonce))
    }

    /// Takes the question that is open away, and tells its challenge if it was asked after `since`.
    pub async fn take_passkey_challenge(
        &mut self,
        (organization, session): (Organization, &str),
        purpose: PasskeyPurpose,
        since: Timestamp,
    ) -> Result<Option<[u8; 32]>, StoreError> {
        let keys = self.keys_of(NO_INSURER).await?;
        let rows = self.raw.rows(TAKE, args![&organization.to_string(), session, purpose.code()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let is_young = row.big(1)? > since.as_microsecond();
        Ok(is_young.then_some(challenge_of(&keys, session, purpose, &row.blob(0)?)))
    }

    /// Takes questions away that were asked before an instant; how many.
    pub async fn forget_passkey_challenges(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.raw.run(FORGET, args![before.as_microsecond()]).await
    }
}

impl Store {
    /// The passkeys of an account, the oldest first.
    pub async fn passkeys(&self, organization: Organization, staff: &StaffId) -> Result<Vec<Passkey>, StoreError> {
        let rows = self.engine.rows(OF, args![&organization.to_string(), &staff.0]).await?;
        let keys = self.keys.keys_for(NO_INSURER, &rows, &[1]).await?;
        passkeys(&keys, staff, &rows)
    }
}
