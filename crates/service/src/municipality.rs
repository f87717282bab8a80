//! 市区町村: finding an own insured by number. Its start of use is in `start`.

use crate::{Caller, Context, Error, Platform};
use kiban_domain::{InsuredNumber, Organization, PersonKey};
use kiban_policy::UseCase;
use kiban_store::Outcome;

impl Platform {
    /// Handle of an own insured of the caller's municipality by number. Any other number is unknown.
    pub async fn find_insured<E: From<Error>>(
        &self,
        caller: &Caller,
        insured: Result<InsuredNumber, E>,
        context: &Context,
    ) -> Result<String, E> {
        caller.require_way(UseCase::Eligibility, self.table_at(context.now)?)?;
        let Organization::Municipality(insurer) = caller.organization else { return Err(Error::Unknown.into()) };
        Ok(self.open_by_number(caller, PersonKey { insurer, insured: insured? }, context).await?)
    }

    async fn open_by_number(&self, caller: &Caller, person: PersonKey, context: &Context) -> Result<String, Error> {
        let case = self.case(caller, person, context).await?;
        let outcome = if case.is_own_municipality() { Outcome::Allowed } else { Outcome::Refused };
        self.store().audit().append(caller.entry_about(context, person, "find", outcome)).await?;
        if outcome == Outcome::Refused { Err(Error::Unknown) } else { self.handle_of(caller, person).await }
    }
}
