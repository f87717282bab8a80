//! Two operators who approve a command on the platform's own machine prove who they are, each by themselves (T-10): to accept a
//! restored database, and to delete what nobody has to keep. One shell user who types two names is one person.

use crate::passwords::Passwords;
use crate::totp::step_of;
use crate::{Context, Error, Platform};
use kiban_domain::Timestamp;
use kiban_domain::office::StaffId;
use kiban_store::{Entry, Outcome, SecondFactor};
use zeroize::Zeroizing;

/// What an operator types. No `Debug`.
pub struct OperatorProof {
    /// The password.
    pub password: Zeroizing<String>,
    /// The code of the authenticator app; empty where none is set up.
    pub code: Zeroizing<String>,
}

impl OperatorProof {
    /// By what it proves whoever has this password and this second factor: `password` or `password+totp`; none: it does not. A factor
    /// that is mailed, and a passkey, cannot be asked for at a terminal.
    pub async fn proves(
        &self,
        password_hash: &str,
        factor: Option<&SecondFactor>,
        now: Timestamp,
    ) -> Result<Option<&'static str>, Error> {
        if !Passwords::new().check(self.password.clone(), password_hash.to_owned()).await? {
            return Ok(None);
        }
        Ok(match factor {
            Some(SecondFactor::App(secret)) => step_of(secret, self.code.trim(), now).map(|_| "password+totp"),
            Some(SecondFactor::Mail(_)) | None => Some("password"),
        })
    }
}

impl Platform {
    /// Whether the operators who approve a deletion of the log are who they say; one who is not is refused and recorded. Nobody is asked
    /// where there are no two operators: that the deletion refuses itself.
    pub async fn prove_purge<E: From<Error>>(
        &self,
        approvers: &[String],
        ask: impl FnOnce(&[String]) -> Result<Vec<OperatorProof>, E>,
        context: &Context,
    ) -> Result<(), E> {
        if self.require_two_operators(approvers).await.is_err() {
            return Ok(());
        }
        Ok(self.require_proofs(approvers, &ask(approvers)?, context).await?)
    }

    async fn require_proofs(
        &self,
        approvers: &[String],
        proofs: &[OperatorProof],
        context: &Context,
    ) -> Result<(), Error> {
        for (approver, proof) in approvers.iter().zip(proofs) {
            let id = StaffId(approver.clone());
            let account = self.store().account(&id).await?.ok_or(Error::Unknown)?;
            let factor = self.store().second_factor(&id).await?;
            if proof.proves(&account.password_hash, factor.as_ref(), context.now).await?.is_none() {
                let entry = Entry::new(context.now, &context.request_id, "cli", "audit.purge", Outcome::Refused);
                let rule = Some("wrong_password".to_owned());
                self.store().audit().append(Entry { staff: Some(approver.clone()), rule, ..entry }).await?;
                return Err(Error::item("approve", format!("{approver} のパスワードか、第二要素の数字が違います")));
            }
        }
        Ok(())
    }
}
