//! Who may see a person at this moment, and on what ground (P-100, P-108, P-110, P-048): for the municipality about its own insured. The
//! grounds are those of the decision, in the words of the policy table.

use crate::{Caller, Context, Error, Platform};
use kiban_domain::assignment::Assignment;
use kiban_domain::certification::CertificationProgress;
use kiban_domain::consent::ConsentState;
use kiban_domain::{Date, Kind, OfficeNumber, dates};
use kiban_policy::{Rule, UseCase};
use kiban_store::{Entry, Outcome, StoredRecord};
use serde::Serialize;
use std::collections::BTreeMap;

/// Who may see the person, and what holds of consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PersonAccess {
    /// Offices with access now; those whose access ends first on top.
    pub offices: Vec<OfficeAccess>,
    /// Offices whose registration ended or ran out, the latest first; at most twenty.
    pub former: Vec<FormerOffice>,
    /// 包括同意 and what follows from it.
    pub consent: ConsentState,
    /// Who took the act of consent that came last; empty without one.
    pub consent_taken_by: String,
    /// Names of the disaster modes that run for the municipality: during them whoever finds the person by a search may see a part.
    pub disasters: Vec<String>,
    /// 不開示: only offices the municipality confirmed see where the person is.
    pub withheld: bool,
}

/// An office that may see the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfficeAccess {
    /// 事業所番号
    pub office: OfficeNumber,
    /// 名称
    pub name: String,
    /// Rule of the policy table.
    pub rule: &'static str,
    /// P-number of the rule.
    pub requirement: String,
    /// The ground, in Japanese.
    pub reason: String,
    /// First day.
    pub since: Date,
    /// Last day.
    pub until: Date,
    /// How identity was confirmed; absent where an opinion was asked for.
    pub check: Option<&'static str>,
    /// A 介護支援専門員 of the office makes the plan (※1).
    pub makes_plan: bool,
    /// Confirmed by the municipality for a person under 不開示.
    pub confirmed: bool,
}

/// An office that could see the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FormerOffice {
    /// 事業所番号
    pub office: OfficeNumber,
    /// 名称
    pub name: String,
    /// First day.
    pub since: Date,
    /// Last day.
    pub until: Date,
}

/// Former offices told.
const FORMER: usize = 20;

impl Platform {
    /// Who may see an own insured of the caller's municipality, and why.
    pub async fn person_access(&self, caller: &Caller, handle: &str, context: &Context) -> Result<PersonAccess, Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::LookUpLog, table)?;
        let person = self.person_of(caller, handle).await?;
        let case = self.case(caller, person, context).await?;
        let entry = caller.entry_about(context, person, "person.access", Outcome::Allowed);
        if !case.is_own_municipality() {
            let rule = Some(Rule::OtherMunicipality.code().to_owned());
            self.store().audit().append(Entry { outcome: Outcome::Refused, rule, ..entry }).await?;
            return Err(Error::Unknown);
        }
        let today = context.today();
        let assignments = self.store().assignments(person).await?;
        let acts = self.store().consents(person).await?;
        // What the hospitals were asked for stands in the course of the applications.
        let applications = self.store().records(person, Kind::A5).await?;
        let applications = self.store().audit().release(applications, entry).await?;
        let (live, gone): (Vec<_>, Vec<_>) = assignments.into_iter().partition(|one| one.is_live(today));
        let ground = |rule: Rule| {
            let reason = table.reason(rule);
            (rule.code(), reason.requirement.clone(), reason.reason.clone())
        };
        let mut offices: Vec<OfficeAccess> =
            live.iter().map(|one| self.registered(one, ground(Rule::AssignedOffice))).collect();
        for (office, requested_on) in requests(&applications, &case.stored.unapplied) {
            let is_live = self.is_request_live(dates::to_number(requested_on), today);
            if is_live && !offices.iter().any(|one| one.office == office) {
                offices.push(self.asked(office, requested_on, ground(Rule::OpinionRequest)));
            }
        }
        offices.sort_by_key(|one| (one.until, one.office));
        let mut former: Vec<FormerOffice> = gone.iter().map(|one| self.former(one)).collect();
        former.sort_by_key(|one| std::cmp::Reverse(one.until));
        former.truncate(FORMER);
        let latest = acts.iter().max_by_key(|act| act.record.acted_at);
        let standing = self.standing();
        let area = case.stored.card_insurer.unwrap_or(person.insurer);
        let running = standing.disasters().filter(|mode| mode.is_open(today) && mode.areas.contains(&area));
        Ok(PersonAccess {
            offices,
            former,
            consent: case.stored.consent.clone(),
            consent_taken_by: latest.map(|act| self.name_of_organization(act.record.taken_by)).unwrap_or_default(),
            disasters: running.map(|mode| mode.event.clone()).collect(),
            withheld: case.stored.withheld,
        })
    }

    fn office_name(&self, number: OfficeNumber) -> String {
        self.standing().office(number).map_or_else(|| format!("事業所番号 {number}"), |office| office.name.clone())
    }

    fn registered(
        &self,
        assignment: &Assignment,
        (rule, requirement, reason): (&'static str, String, String),
    ) -> OfficeAccess {
        OfficeAccess {
            office: assignment.office,
            name: self.office_name(assignment.office),
            rule,
            requirement,
            reason,
            since: dates::day_in_japan(assignment.registered_at),
            until: assignment.viewable_until,
            check: Some(assignment.check.code()),
            makes_plan: assignment.plan_maker.is_some(),
            confirmed: assignment.confirmed_by_municipality,
        }
    }

    fn asked(
        &self,
        office: OfficeNumber,
        requested_on: Date,
        (rule, requirement, reason): (&'static str, String, String),
    ) -> OfficeAccess {
        let months = jiff::Span::new().months(self.inner.config.months_of_opinion_request);
        OfficeAccess {
            office,
            name: self.office_name(office),
            rule,
            requirement,
            reason,
            since: requested_on,
            until: requested_on.checked_add(months).unwrap_or(Date::MAX),
            check: None,
            makes_plan: false,
            confirmed: false,
        }
    }

    fn former(&self, assignment: &Assignment) -> FormerOffice {
        let ended = assignment.ended.map(|(at, _)| dates::day_in_japan(at));
        FormerOffice {
            office: assignment.office,
            name: self.office_name(assignment.office),
            since: dates::day_in_japan(assignment.registered_at),
            until: ended.map_or(assignment.viewable_until, |day| day.min(assignment.viewable_until)),
        }
    }
}

/// The hospitals that were asked for an opinion, each with the latest day, by the newest revision of each application.
fn requests(records: &[StoredRecord], unapplied: &[i64]) -> BTreeMap<OfficeNumber, Date> {
    let mut newest: BTreeMap<&str, &StoredRecord> = BTreeMap::new();
    for record in records.iter().filter(|record| !unapplied.contains(&record.header.revision)) {
        let known = newest.entry(&record.header.natural_key).or_insert(record);
        if known.header.revision < record.header.revision {
            *known = record;
        }
    }
    let mut asked: BTreeMap<OfficeNumber, Date> = BTreeMap::new();
    for record in newest.values().filter(|record| !record.header.deleted) {
        let Ok(progress) = serde_json::from_slice::<CertificationProgress>(&record.payload) else { continue };
        if let (Some(office), Some(day)) = (progress.opinion_requested_from, progress.opinion_requested_on) {
            asked.entry(office).and_modify(|known| *known = day.max(*known)).or_insert(day);
        }
    }
    asked
}
