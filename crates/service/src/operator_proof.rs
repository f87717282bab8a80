//! Two operators who approve a command on the platform's own machine prove who they are, each by themselves (T-10): to accept a
//! restored database, and to delete what nobody has to keep. One shell user who types two names is one person.

use crate::passwords::Passwords;
use crate::second_factor::plain;
use crate::totp::step_of;
use crate::{Context, Error, Platform};
use kiban_domain::office::StaffId;
use kiban_domain::{Organization, Timestamp};
use kiban_store::{Entry, Operator, Outcome, SecondFactor};
use zeroize::Zeroizing;

/// What an operator types. No `Debug`.
pub struct OperatorProof {
    /// The password.
    pub password: Zeroizing<String>,
    /// The code of the authenticator app or a recovery code; empty where no second factor is set up.
    pub code: Zeroizing<String>,
}

/// By what somebody proved to be an operator. No `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum OperatorProved {
    /// The password alone: no second factor is set up.
    Password,
    /// The password and the code of the app.
    App,
    /// The password, and this as a recovery code, if it is one of the account and gets used up.
    Recovery(Zeroizing<String>),
}

impl OperatorProved {
    /// As it stands in the log.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::App => "password+totp",
            Self::Recovery(_) => "password+recovery_code",
        }
    }
}

impl OperatorProof {
    /// By what it proves this operator; none: it does not. Neither a mail nor a passkey reaches a terminal: whose second factor is one
    /// of them gives a recovery code, and so does whoever has no app at hand.
    pub async fn proves(&self, operator: &Operator, now: Timestamp) -> Result<Option<OperatorProved>, Error> {
        if !Passwords::new().check(self.password.clone(), operator.password_hash.clone()).await? {
            return Ok(None);
        }
        let code = plain(&self.code);
        let by_app = match &operator.factor {
            Some(SecondFactor::App(secret)) => step_of(secret, &code, now).is_some(),
            Some(SecondFactor::Mail(_)) | None => false,
        };
        let has_factor = operator.factor.is_some() || operator.has_passkey;
        Ok(match (has_factor, by_app, code.is_empty()) {
            (false, _, _) => Some(OperatorProved::Password),
            (true, true, _) => Some(OperatorProved::App),
            (true, false, true) => None,
            (true, false, false) => Some(OperatorProved::Recovery(code)),
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
            let operator = Operator {
                password_hash: account.password_hash,
                factor: self.store().second_factor(&id).await?,
                has_passkey: account.has_passkey,
            };
            let proved = proof.proves(&operator, context.now).await?;
            let entry = |outcome| {
                let entry = Entry::new(context.now, &context.request_id, "cli", "audit.purge", outcome);
                let organization = Some(Organization::Operator.to_string());
                Entry { organization, staff: Some(approver.clone()), ..entry }
            };
            let is_proved = match proved {
                Some(OperatorProved::Recovery(code)) => {
                    let mut tx = self.store().begin().await?;
                    let is_one = tx.use_recovery_code(Organization::Operator, &id, &code).await?;
                    if is_one {
                        let rule = Some("recovery_code".to_owned());
                        tx.commit(Entry { rule, ..entry(Outcome::Allowed) }).await?;
                    }
                    is_one
                }
                proved => proved.is_some(),
            };
            if !is_proved {
                let rule = Some("wrong_password".to_owned());
                self.store().audit().append(Entry { rule, ..entry(Outcome::Refused) }).await?;
                return Err(Error::item(
                    "approve",
                    format!("{approver} のパスワードか、第二要素の数字・回復コードが違います"),
                ));
            }
        }
        Ok(())
    }
}
