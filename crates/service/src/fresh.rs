//! 確かめ直し (S-013): what weighs much — consents, an insurer's whole data, the disaster mode, accounts, certificates — is done by a
//! log-in whose password, and second factor if there is one, were proven a short while ago. The log-in itself counts. Programs are
//! not asked: nobody sits there, and what they may do is narrow (P-165).

use crate::second_factor::FactorProof;
use crate::{Caller, Context, Error, LoggedIn, Platform};
use kiban_policy::{UseCase, Way};
use kiban_store::{Entry, Outcome, PasskeyPurpose};

impl Platform {
    /// Whether whoever is logged in proved it a short while ago.
    pub fn is_fresh(&self, caller: &Caller, context: &Context) -> bool {
        let since = context.now - jiff::SignedDuration::from_mins(self.inner.config.proof_minutes);
        caller.way != Way::Interactive || caller.opened_at >= since
    }

    /// Refuses what needs that; recorded.
    pub async fn require_fresh(&self, caller: &Caller, context: &Context) -> Result<(), Error> {
        if self.is_fresh(caller, context) {
            return Ok(());
        }
        let code = "fresh_proof_required";
        let entry = caller.entry(context, "session.proof", Outcome::Refused);
        self.store().audit().append(Entry { rule: Some(code.to_owned()), ..entry }).await?;
        Err(Error::Unauthenticated(code))
    }

    /// Whether proving it takes the second factor too.
    pub fn has_second_factor(&self, caller: &Caller) -> bool {
        self.standing().account(&caller.staff.id).is_some_and(|account| account.asks_factor())
    }

    /// Takes the password, and a code where a second factor is set up, once more: this log-in ends and goes on under new tokens
    /// (T-31). What is wrong counts like a wrong log-in.
    pub async fn prove_again<E: From<Error>>(
        &self,
        caller: &Caller,
        proof: Result<FactorProof, E>,
        context: &Context,
    ) -> Result<LoggedIn, E> {
        caller.require_way(UseCase::Accounts, self.table_at(context.now)?)?;
        Ok(self.put_proof(caller, proof?, context).await?)
    }

    async fn put_proof(&self, caller: &Caller, proof: FactorProof, context: &Context) -> Result<LoggedIn, Error> {
        let account = self.own_password(caller, proof.password, context).await?;
        let mut tx = match (account.asks_factor(), &proof.passkey) {
            (true, Some((answer, site))) => {
                self.use_passkey(caller, PasskeyPurpose::Prove, answer, site, context).await?.0
            }
            (true, None) => {
                self.use_code(&caller.peer, (caller.organization, &caller.staff.id), &proof.code, context).await?.0
            }
            (false, _) => self.store().begin().await?,
        };
        let held = self.hold_same(&mut tx, &account).await?;
        let entry = caller.entry(context, "session.proof", Outcome::Done);
        self.go_on((tx, held), caller, entry, context).await
    }
}
