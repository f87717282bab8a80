//! 市区町村: start of use (P-131, P-150), and finding an own insured by number.

use crate::{Caller, Context, Error, Platform};
use kiban_domain::municipality::{StartState, municipalities};
use kiban_domain::{InsuredNumber, InsurerNumber, Organization, PersonKey};
use kiban_policy::UseCase;
use kiban_store::{Entry, Outcome};
use serde::Serialize;
use std::collections::HashMap;

/// A municipality and when it begins to share; public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InsurerStart {
    /// 保険者番号 on the card.
    pub insurer_number: InsurerNumber,
    /// 都道府県
    pub prefecture: String,
    /// 名称
    pub name: String,
    /// State and day.
    pub start: StartState,
    /// 未定, 調整中, 予定 or 開始.
    pub state_name: &'static str,
}

impl Platform {
    /// All 1,741 municipalities of the master with their start; public, nobody is recorded.
    pub async fn starts(&self) -> Result<Vec<InsurerStart>, Error> {
        let recorded: HashMap<InsurerNumber, StartState> = self.store().starts().await?.into_iter().collect();
        let of = |number| recorded.get(&number).copied().unwrap_or_default();
        let mut list: Vec<InsurerStart> = municipalities()
            .iter()
            .filter(|municipality| municipality.is_municipality())
            .map(|municipality| InsurerStart {
                insurer_number: municipality.card_number,
                prefecture: municipality.prefecture_name.to_owned(),
                name: municipality.name.to_owned(),
                start: of(municipality.card_number),
                state_name: of(municipality.card_number).name_ja(),
            })
            .collect();
        let known: std::collections::HashSet<_> = list.iter().map(|entry| entry.insurer_number).collect();
        // Invented municipalities of a demonstration stand at the end, outside the master.
        let others = recorded.iter().filter(|(number, _)| !known.contains(number));
        list.extend(others.map(|(number, start)| InsurerStart {
            insurer_number: *number,
            prefecture: "架空県".to_owned(),
            name: format!("保険者 {number}"),
            start: *start,
            state_name: start.name_ja(),
        }));
        Ok(list)
    }

    /// Sets the start of use of an insurer; an act of the operator.
    pub async fn set_start(
        &self,
        insurer: InsurerNumber,
        start: StartState,
        by: &str,
        context: &Context,
    ) -> Result<(), Error> {
        let mut tx = self.store().begin().await?;
        tx.set_start(insurer, start).await?;
        let entry = Entry::new(context.now, &context.request_id, by, "insurer.start", Outcome::Done);
        let detail = serde_json::to_string(&start).map_err(|error| Error::Internal(error.to_string()))?;
        tx.commit(Entry {
            insurer: Some(insurer.to_string()),
            organization: Some("operator".to_owned()),
            detail: Some(detail),
            ..entry
        })
        .await?;
        Ok(())
    }

    /// Handle of an own insured of the caller's municipality by number. Any other number is unknown.
    pub async fn find_insured(
        &self,
        caller: &Caller,
        insured: InsuredNumber,
        context: &Context,
    ) -> Result<String, Error> {
        caller.require_way(UseCase::Eligibility, self.table_at(context.now)?)?;
        let Organization::Municipality(insurer) = caller.organization else { return Err(Error::Unknown) };
        let person = PersonKey { insurer, insured };
        let case = self.case(caller, person, context).await?;
        let outcome = if case.is_own_municipality() { Outcome::Allowed } else { Outcome::Refused };
        self.store().audit().append(caller.entry_about(context, person, "find", outcome)).await?;
        if outcome == Outcome::Refused { Err(Error::Unknown) } else { self.handle_of(caller, person).await }
    }
}
