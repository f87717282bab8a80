//! 閲覧記録: who looked at this person, when, from which office, at which kind, on what ground, also when refused
//! (P-110, S-019). The municipality sees all of its insured; an office its own.

use crate::{Caller, Context, Error, Platform};
use kiban_domain::Timestamp;
use kiban_policy::{SharingTable, UseCase};
use kiban_store::{Entry, Outcome, StoredEntry};
use serde::Serialize;

/// One look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LookUp {
    /// When.
    pub at: Timestamp,
    /// Which organisation.
    pub organization: Option<String>,
    /// Which staff member.
    pub staff: Option<String>,
    /// What was done: `view`, `register`, `consent.record` …
    pub action: String,
    /// Which kind.
    pub kind: Option<String>,
    /// 許可, 拒否, 実施, 失敗
    pub outcome: &'static str,
    /// Rule that settled it.
    pub rule: Option<String>,
    /// Request id of the answer.
    pub request_id: String,
}

const PAGE: u32 = 200;

impl Platform {
    /// Latest looks at a person, newest first.
    pub async fn look_ups(&self, caller: &Caller, handle: &str, context: &Context) -> Result<Vec<LookUp>, Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::LookUpLog, table)?;
        let person = self.person_of(caller, handle).await?;
        let case = self.case(caller, person, context).await?;
        let all = case.is_own_municipality();
        if !case.still_concerns_caller() {
            let entry = caller.entry_about(context, person, "look_ups", Outcome::Refused);
            self.store().audit().append(Entry { rule: Some("not_assigned".to_owned()), ..entry }).await?;
            return Err(Error::Unknown);
        }
        let entries =
            self.store().audit().about_person(person.insurer.as_str(), person.insured.as_str(), PAGE, None).await?;
        let own = caller.organization.to_string();
        let entries = entries.into_iter().filter(|entry| all || entry.organization.as_deref() == Some(own.as_str()));
        let told = |look_up: LookUp| if all { look_up } else { look_up.without_blind_rule(table) };
        let look_ups = entries.map(|entry| look_up(entry).map(told)).collect::<Result<Vec<_>, _>>()?;
        self.store().audit().append(caller.entry_about(context, person, "look_ups", Outcome::Allowed)).await?;
        Ok(look_ups)
    }
}

impl LookUp {
    /// An office reads its own refusals without the rule where the answer had been blind: the log must not tell what the
    /// answer hid (T-36).
    pub(crate) fn without_blind_rule(mut self, table: &SharingTable) -> Self {
        let told = |code: &String| kiban_policy::Rule::parse(code).is_some_and(|rule| table.may_be_told(rule));
        if self.outcome == Outcome::Refused.name_ja() && !self.rule.as_ref().is_some_and(told) {
            self.rule = None;
        }
        self
    }
}

pub(crate) fn look_up(entry: StoredEntry) -> Result<LookUp, Error> {
    Ok(LookUp {
        at: Timestamp::from_microsecond(entry.at).map_err(|error| Error::Internal(error.to_string()))?,
        organization: entry.organization,
        staff: entry.staff,
        action: entry.action,
        kind: entry.kind,
        outcome: Outcome::parse(&entry.outcome).map_or("不明", Outcome::name_ja),
        rule: entry.rule,
        request_id: entry.request_id,
    })
}
