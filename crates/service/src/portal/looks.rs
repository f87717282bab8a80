//! だれが見たか: every look at the own information in words, and the whole log of the signed months to take away, with what proves that
//! nothing was altered or left out (P-110, S-019, decision 0006.4).
//!
//! 認定調査票 and 主治医意見書 are not shown to the person, not even that there are any (P-052). So a look at them reads like one at
//! the course of the certification, here and in the log that is taken away.

use super::Looking;
use crate::{Context, Error, Platform};
use kiban_domain::{Kind, Organization, Timestamp};
use kiban_policy::Rule;
use kiban_store::{Cursor, Outcome, PersonLog, StoredEntry, Value};
use std::collections::BTreeSet;

/// One look, however many kinds it went to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MyLook {
    /// When.
    pub at: Timestamp,
    /// Name of the organisation; empty where a 不開示 person's office would be told.
    pub who: String,
    /// It was a log-in as the person.
    pub by_person: bool,
    /// It was a proxy of the person.
    pub by_proxy: bool,
    /// What, in words.
    pub what: Vec<&'static str>,
    /// What was done, as the log names it.
    pub action: String,
    /// Whether it was allowed or done.
    pub was_open: bool,
    /// Why it was allowed, in Japanese.
    pub why: String,
    /// By a running disaster mode.
    pub in_disaster: bool,
}

/// Days that are shown.
pub const LOOK_DAYS: i64 = 92;
/// Entries that are looked through at most.
const MOST: usize = 2_000;
const PAGE: u32 = 200;

impl Platform {
    /// The looks of the last three months, newest first. Of those as the person only the looks of the present log-in are left out: whoever
    /// logged in with the person's card at another time is seen, with log-ins and acts (T-2). A proxy is not told what the person did.
    pub async fn my_looks(&self, looking: &Looking, context: &Context) -> Result<Vec<MyLook>, Error> {
        let case = self.case_of_portal(&looking.grant, &[], context).await?.0;
        let entries = self.entries_about(looking, context).await?;
        self.store().audit().append(looking.entry(context, "look_ups", Outcome::Allowed)).await?;
        let mut looks: Vec<(String, MyLook)> = Vec::new();
        for entry in entries.iter().filter(|entry| !is_own_look(entry, looking) && is_shown(entry)) {
            let look = self.look_of(entry, case.stored.withheld, context)?;
            match looks.last_mut().filter(|(id, last)| *id == entry.request_id && last.was_open == look.was_open) {
                Some((_, last)) => last.join(look),
                None => looks.push((entry.request_id.clone(), look)),
            }
        }
        Ok(looks.into_iter().map(|(_, look)| look).collect())
    }

    async fn entries_about(&self, looking: &Looking, context: &Context) -> Result<Vec<StoredEntry>, Error> {
        let person = looking.grant.person;
        let oldest = (context.now - jiff::SignedDuration::from_hours(24 * LOOK_DAYS)).as_microsecond();
        let (mut entries, mut before): (Vec<StoredEntry>, Option<Cursor>) = (Vec::new(), None);
        loop {
            let (insurer, insured) = (person.insurer.as_str(), person.insured.as_str());
            let page = self.store().audit().about_person(insurer, insured, PAGE, before).await?;
            let is_last = page.len() < PAGE as usize || page.last().is_none_or(|entry| entry.at < oldest);
            before = page.last().map(StoredEntry::cursor);
            entries.extend(page.into_iter().filter(|entry| entry.at >= oldest));
            if is_last || entries.len() >= MOST {
                return Ok(entries);
            }
        }
    }

    fn look_of(&self, entry: &StoredEntry, withheld: bool, context: &Context) -> Result<MyLook, Error> {
        let table = self.table_at(context.now)?;
        let by_proxy = entry.staff.as_deref().is_some_and(|staff| staff.starts_with("proxy:"));
        let organization = entry.organization.as_deref().and_then(|text| Organization::parse(text).ok());
        let by_person = entry.staff.as_deref() == Some("person");
        let who = match organization {
            _ if by_person => "あなたのログイン".to_owned(),
            _ if by_proxy => "代理の方".to_owned(),
            Some(Organization::Office(_)) if withheld => String::new(),
            Some(organization) => self.name_of_organization(organization),
            None if entry.action == "proxy.carry" => "このしくみ（自動）".to_owned(),
            None => "市区町村か運用者".to_owned(),
        };
        let was_open = matches!(Outcome::parse(&entry.outcome), Some(Outcome::Allowed | Outcome::Done));
        let rule = entry.rule.as_deref().and_then(Rule::parse);
        let why =
            rule.filter(|_| was_open).map(|rule| table.reason(reason_told(rule)).reason.clone()).unwrap_or_default();
        let disaster = matches!(rule, Some(Rule::Disaster | Rule::DisasterWithoutConsent));
        Ok(MyLook {
            at: Timestamp::from_microsecond(entry.at).map_err(|error| Error::Internal(error.to_string()))?,
            who,
            by_person,
            by_proxy,
            what: entry.kind.as_deref().and_then(Kind::parse).map(words_of).into_iter().collect(),
            action: entry.action.clone(),
            was_open,
            why,
            in_disaster: disaster || entry.action.starts_with("disaster"),
        })
    }

    /// The log of the signed months as a file that `kiban audit verify-person` takes. Who looked is withheld where 不開示 is set.
    pub async fn my_log(&self, looking: &Looking, context: &Context) -> Result<PersonLog, Error> {
        let case = self.case_of_portal(&looking.grant, &[], context).await?.0;
        let (insurer, insured) = (looking.grant.person.insurer, looking.grant.person.insured);
        let log = self.store().audit().person_log(insurer.as_str(), insured.as_str()).await?;
        let entry = looking.entry(context, "look_ups.export", Outcome::Allowed);
        let mut log = self.store().audit().release(log, entry).await?;
        log.withhold_where("what", |field| tells_of_certification(field));
        if case.stored.withheld {
            log.withhold_offices();
        }
        Ok(log)
    }
}

/// Whether what was done would tell of a 認定調査票 or 主治医意見書; the course of the certification goes with them, so that what is
/// withheld tells nothing.
fn tells_of_certification(field: &dyn Fn(&str) -> Option<Value>) -> bool {
    let text = |name: &str| match field(name) {
        Some(Value::Text(text)) => text,
        _ => String::new(),
    };
    let is_of = |kind: &str| [Kind::A1, Kind::A2, Kind::A5].iter().any(|one| one.code() == kind);
    is_of(&text("kind")) || text("action").contains("opinion") || text("rule") == Rule::OpinionRequest.code()
}

/// That the municipality asked for an opinion is told to nobody but the one it asked: to the person it reads like an office in charge.
fn reason_told(rule: Rule) -> Rule {
    if rule == Rule::OpinionRequest { Rule::AssignedOffice } else { rule }
}

fn is_own_look(entry: &StoredEntry, looking: &Looking) -> bool {
    let is_look = entry.outcome == Outcome::Allowed.code() && entry.at >= looking.since.as_microsecond();
    entry.staff.as_deref() == Some("person") && (looking.is_proxy() || is_look)
}

impl MyLook {
    fn join(&mut self, other: Self) {
        let what: BTreeSet<&str> = self.what.drain(..).chain(other.what).collect();
        self.what = what.into_iter().collect();
        if self.why.is_empty() {
            self.why = other.why;
        }
        self.in_disaster |= other.in_disaster;
    }
}

/// What is worth telling: looks and acts, not the inner steps of an import or the own log.
fn is_shown(entry: &StoredEntry) -> bool {
    !entry.action.starts_with("import.") && !entry.action.starts_with("audit.") && entry.outcome != "void"
}

/// A kind in plain words; 調査票, 意見書 and the course of the certification are the same words.
fn words_of(kind: Kind) -> &'static str {
    match kind {
        Kind::A1 | Kind::A2 | Kind::A5 => "介護の認定の情報",
        Kind::A3a => "被保険者証",
        Kind::A3b => "支払う割合",
        Kind::A3c => "食費や部屋代の上限",
        Kind::A4 => "認定の申請書",
        Kind::C1 => "からだの様子の記録",
        Kind::Cp1 | Kind::Cp2 => "ケアプラン",
        Kind::E1 => "住宅改修の記録",
        Kind::E2 => "福祉用具の記録",
        Kind::F1 => "ケアプランの届出",
        Kind::G1 => "同意のようす",
        _ => "そのほかの情報",
    }
}
