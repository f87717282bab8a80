//! ※1 (P-042): which care manager makes a person's plan, said or taken back at any time after the registration. 認定調査票 and
//! 主治医意見書 are open to the plan maker alone.

use crate::decision::Case;
use crate::view::PlanMaker;
use crate::{Caller, Context, Error, Platform};
use kiban_domain::assignment::Assignment;
use kiban_policy::UseCase;
use kiban_store::{Entry, Outcome};

impl Platform {
    /// Makes the caller the maker of the person's plan, in the place of a colleague if there is one, or takes that back. For a
    /// care manager of an office that makes plans and is registered for the person (P-042).
    pub async fn set_plan_maker<E: From<Error>>(
        &self,
        caller: &Caller,
        handle: &str,
        makes_plan: Result<bool, E>,
        context: &Context,
    ) -> Result<(), E> {
        let case = self.case_of_plan_maker(caller, handle, context).await?;
        Ok(self.put_plan_maker(caller, &case, makes_plan?, context).await?)
    }

    async fn case_of_plan_maker(&self, caller: &Caller, handle: &str, context: &Context) -> Result<Case, Error> {
        caller.require_way(UseCase::Eligibility, self.table_at(context.now)?)?;
        let person = self.person_of(caller, handle).await?;
        let case = self.case(caller, person, context).await?;
        if case.is_assigned() && !case.stored.switched_off {
            return Ok(case);
        }
        let refused = caller.entry_about(context, person, "register.plan_maker", Outcome::Refused);
        self.store().audit().append(Entry { rule: Some("not_assigned".to_owned()), ..refused }).await?;
        Err(Error::Unknown)
    }

    async fn put_plan_maker(
        &self,
        caller: &Caller,
        case: &Case,
        makes_plan: bool,
        context: &Context,
    ) -> Result<(), Error> {
        if !self.may_make_plans(caller, context)? {
            let text = "計画作成者になれるのは、計画を作成するサービスの事業所の介護支援専門員だけです（※1）";
            return Err(Error::item("makes_plan", text));
        }
        let Some(before) = case.stored.assignment.clone() else { return Err(Error::Unknown) };
        let own = before.plan_maker.as_ref() == Some(&caller.staff.id);
        let plan_maker = match (makes_plan, own) {
            (true, _) => Some(caller.staff.id.clone()),
            (false, true) => None,
            (false, false) => before.plan_maker.clone(),
        };
        let after = Assignment { plan_maker, ..before.clone() };
        let mut tx = self.store().begin().await?;
        if after != before {
            tx.change_assignment(&after, Some(&before)).await?;
        }
        let detail = serde_json::json!({ "makes_plan": makes_plan }).to_string();
        let entry = caller.entry_about(context, case.person, "register.plan_maker", Outcome::Done);
        self.commit(tx, Entry { detail: Some(detail), ..entry }, &(), context).await
    }

    /// Who makes the plan of a person of the caller's office, for those who may.
    pub(crate) fn plan_maker_of(
        &self,
        caller: &Caller,
        case: &Case,
        context: &Context,
    ) -> Result<Option<PlanMaker>, Error> {
        if !case.is_assigned() || !self.may_make_plans(caller, context)? {
            return Ok(None);
        }
        let maker = case.stored.assignment.as_ref().and_then(|assignment| assignment.plan_maker.as_ref());
        Ok(Some(match maker {
            None => PlanMaker::Nobody,
            Some(staff) if *staff == caller.staff.id => PlanMaker::Caller,
            Some(_) => PlanMaker::Colleague,
        }))
    }
}
