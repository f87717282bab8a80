//! 不開示 is lifted (P-037): an act of the municipality itself, about one person, with the number typed once more and a reason.
//! No file lifts it, whenever it was made; a row that says 不開示 and arrives afterwards sets it again.

use crate::{Caller, Context, Error, ItemFault, Platform, random_id};
use kiban_domain::{InsuredNumber, PersonKey};
use kiban_store::{Entry, Outcome};

/// A request to lift 不開示.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiftWithheld {
    /// 被保険者番号 of the person, typed once more: a slip of the hand must not show where somebody is.
    pub insured: InsuredNumber,
    /// Why, in Japanese, at most 500 characters; stays on record.
    pub reason: String,
}

/// Longest reason, in characters.
const LONGEST_REASON: usize = 500;
const STILL_OPEN: &str = "取込みの終わっていないパッケージがあります。その中に不開示の行があるかもしれないので、終わってから解除してください";
const NOT_WITHHELD: &str = "この被保険者は不開示ではありません";

impl Platform {
    /// Lifts 不開示 of a person of the caller's municipality. Whoever sees the person's whereabouts is then decided as for anybody
    /// else, from the next request on.
    pub async fn lift_withheld<E: From<Error>>(
        &self,
        caller: &Caller,
        handle: &str,
        request: Result<LiftWithheld, E>,
        context: &Context,
    ) -> Result<(), E> {
        let person = self.own_insured(caller, handle, context).await?;
        Ok(self.lift(caller, person, &request?, context).await?)
    }

    async fn lift(
        &self,
        caller: &Caller,
        person: PersonKey,
        request: &LiftWithheld,
        context: &Context,
    ) -> Result<(), Error> {
        let reason = request.reason.trim();
        let mut faults = Vec::new();
        if request.insured != person.insured {
            let text = "開いている被保険者の番号と違います。解除する被保険者の番号を確かめてください";
            faults.push(ItemFault::new("insured_number", text));
        }
        if reason.is_empty() || reason.chars().count() > LONGEST_REASON {
            let text = format!("解除する理由を{LONGEST_REASON}文字以内で入力してください。理由は記録に残ります");
            faults.push(ItemFault::new("reason", text));
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let mut tx = self.store().begin().await?;
        // Nothing is being applied meanwhile: a row of a package on its way may say 不開示.
        let lease = tx.take_lease(person.insurer, &random_id()?, context.now).await?;
        tx.give_lease_back(&lease.ok_or(Error::Conflict(STILL_OPEN))?).await?;
        if self.store().open_package(person.insurer).await?.is_some() {
            return Err(Error::Conflict(STILL_OPEN));
        }
        let present = self.store().person(person).await?;
        let (header, insured) = present.filter(|(header, _)| header.withheld).ok_or(Error::Conflict(NOT_WITHHELD))?;
        let revision = tx.next_receipt_number(person.insurer).await?;
        tx.lift_withheld(revision, header.history_number, &insured).await?;
        let entry = caller.entry_about(context, person, "withheld.lift", Outcome::Done);
        let detail = serde_json::json!({ "reason": reason }).to_string();
        self.commit(tx, Entry { detail: Some(detail), ..entry }, &(), context).await
    }
}
