//! What everybody does with their own account: the password (P-185, S-006…008).

use crate::accounts::{log_in_entry, new_session};
use crate::passwords::faults_of;
use crate::refresh::NewTokens;
use crate::{Caller, Context, Error, ItemFault, LoggedIn, Platform, random_id};
use kiban_policy::UseCase;
use kiban_store::{Account, Outcome};
use zeroize::Zeroizing;

/// A change of one's own password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordChange {
    /// The one until now, or the initial one.
    pub old_password: String,
    /// The one from now on.
    pub new_password: String,
}

impl Platform {
    /// Changes the own password. Every log-in of the account ends, this one too; it goes on under new tokens (T-31).
    pub async fn change_password<E: From<Error>>(
        &self,
        caller: &Caller,
        change: Result<PasswordChange, E>,
        context: &Context,
    ) -> Result<LoggedIn, E> {
        caller.require_way(UseCase::Accounts, self.table_at(context.now)?)?;
        Ok(self.put_password(caller, change?, context).await?)
    }

    async fn put_password(
        &self,
        caller: &Caller,
        change: PasswordChange,
        context: &Context,
    ) -> Result<LoggedIn, Error> {
        let (old, new) = (Zeroizing::new(change.old_password), Zeroizing::new(change.new_password));
        let (peer, id) = (&caller.peer, &caller.staff.id);
        let checked = self.own_password(caller, old.to_string(), context).await.map_err(|error| match error {
            Error::Invalid(faults) => {
                Error::Invalid(faults.into_iter().map(|fault| ItemFault::new("old_password", fault.message)).collect())
            }
            other => other,
        })?;
        let faults = faults_of("new_password", &new, &old, &checked.staff);
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let password_hash = self.inner.passwords.hash(new).await?;
        let tokens = NewTokens::make(&random_id()?)?;
        let session = new_session(&tokens, peer, id, None, context.now);
        let mut tx = self.store().begin().await?;
        let held = self.hold_same(&mut tx, &checked).await?;
        tx.put_account(&Account { password_hash, initial_until: None, ..held.clone() }).await?;
        tx.end_sessions_of(held.organization, id, context.now).await?;
        // Guesses of codes at this screen stay counted.
        if !held.asks_factor() {
            tx.clear_login_failures(held.organization, id).await?;
        }
        tx.put_session(held.organization, tokens.tokens(), &session).await?;
        tx.commit(log_in_entry(peer, held.organization, Some(id), "password.change", Outcome::Done, context)).await?;
        self.inner.sessions.forget_staff(id);
        self.refresh_standing(context.now).await?;
        Ok(tokens.logged_in(&session, held.staff, held.organization))
    }
}
