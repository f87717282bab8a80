//! 災害時モード: two operators open it, helpers search by exact match (P-120…126).

use super::{Answer, created, done, ok, once};
use crate::caller::Authenticated;
use crate::input::{Faults, Json, Query, lines};
use crate::{App, Problem};
use axum::extract::{Path, State};
use kiban_domain::dates::{DateError, Period, parse_typed};
use kiban_domain::ids::IdError;
use kiban_domain::insured::Sex;
use kiban_domain::office::OfficeClass;
use kiban_domain::{InsurerNumber, OfficeNumber};
use kiban_service::{DisasterProposal, DisasterQuery};
use serde::Deserialize;
use serde_json::json;

/// A mode as proposed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proposal {
    pub(crate) event: String,
    pub(crate) areas: Vec<String>,
    #[serde(default)]
    pub(crate) classes: Vec<OfficeClass>,
    #[serde(default)]
    pub(crate) offices: Vec<String>,
    #[serde(default)]
    pub(crate) hosts: Vec<String>,
    #[serde(default)]
    pub(crate) without_consent: bool,
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Proposal {
    pub(crate) fn check(self) -> Result<DisasterProposal, Problem> {
        let mut faults = Faults::default();
        let areas = all(&mut faults, "areas", &self.areas, InsurerNumber::parse);
        let hosts = all(&mut faults, "hosts", &self.hosts, InsurerNumber::parse);
        let offices = all(&mut faults, "offices", &self.offices, OfficeNumber::parse);
        let from = faults.take("from", parse_typed(&self.from), DateError::message_ja);
        let to = faults.take("to", parse_typed(&self.to), DateError::message_ja);
        let period =
            from.zip(to).and_then(|(from, to)| faults.take("to", Period::new(from, Some(to)), DateError::message_ja));
        match (areas, hosts, offices, period) {
            (Some(areas), Some(hosts), Some(offices), Some(period)) => Ok(DisasterProposal {
                event: self.event,
                areas,
                classes: self.classes,
                offices,
                hosts,
                without_consent: self.without_consent,
                period,
            }),
            _ => Err(faults.problem()),
        }
    }
}

/// All numbers of a list, or a fault for each that is none.
fn all<T>(faults: &mut Faults, item: &str, texts: &[String], parse: fn(&str) -> Result<T, IdError>) -> Option<Vec<T>> {
    let read = texts
        .iter()
        .enumerate()
        .map(|(i, text)| faults.take(&format!("{item}[{i}]"), parse(text), IdError::message_ja));
    let read: Vec<Option<T>> = read.collect();
    read.into_iter().collect()
}

pub(crate) async fn propose(State(app): State<App>, who: Authenticated, body: Json<Proposal>) -> Answer {
    let (context, proposal) = (who.keyed(&body.bytes)?, body.value.and_then(Proposal::check));
    let id = once(&app, &who, &context, app.platform.propose_disaster(&who.caller, proposal, &context)).await?;
    created(json!({ "id": id }))
}

pub(crate) async fn approve(State(app): State<App>, who: Authenticated, Path(id): Path<String>) -> Answer {
    let context = who.keyed(b"")?;
    once(&app, &who, &context, app.platform.approve_disaster(&who.caller, &id, &context)).await?;
    done()
}

pub(crate) async fn close(State(app): State<App>, who: Authenticated, Path(id): Path<String>) -> Answer {
    let context = who.keyed(b"")?;
    once(&app, &who, &context, app.platform.close_disaster(&who.caller, &id, &context)).await?;
    done()
}

/// What a helper knows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    reason: String,
    insurer_number: Option<String>,
    name: Option<String>,
    kana: Option<String>,
    birth: Option<String>,
    sex: Option<Sex>,
    address: Option<String>,
}

impl Search {
    fn check(self) -> Result<DisasterQuery, Problem> {
        let mut faults = Faults::default();
        let insurer = match &self.insurer_number {
            Some(text) => faults.take("insurer_number", InsurerNumber::parse(text), IdError::message_ja).map(Some),
            None => Some(None),
        };
        let birth = match &self.birth {
            Some(text) => faults.take("birth", parse_typed(text), DateError::message_ja).map(Some),
            None => Some(None),
        };
        let (Some(insurer), Some(birth)) = (insurer, birth) else { return Err(faults.problem()) };
        let Self { reason, name, kana, sex, address, .. } = self;
        Ok(DisasterQuery { reason, insurer, name, kana, birth, sex, address })
    }
}

pub(crate) async fn search(State(app): State<App>, who: Authenticated, body: Json<Search>) -> Answer {
    let query = body.value.and_then(Search::check);
    ok(app.platform.search_disaster(&who.caller, query, &who.context).await?)
}

/// A page of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    after: Option<String>,
    limit: Option<i64>,
}

pub(crate) async fn looks(State(app): State<App>, who: Authenticated, Query(page): Query<Page>) -> Answer {
    let (after, limit) = match page {
        Ok(page) => (page.after, lines(page.limit)),
        Err(problem) => (None, Err(problem)),
    };
    let looks = app.platform.disaster_looks(&who.caller, after.as_deref(), limit, &who.context).await?;
    let next = looks.last().map(|look| look.look.clone());
    ok(json!({ "looks": looks, "next": next }))
}

pub(crate) async fn list(State(app): State<App>, who: Authenticated) -> Answer {
    ok(json!({ "disasters": app.platform.disaster_lines(&who.caller, &who.context).await? }))
}

pub(crate) async fn report(State(app): State<App>, who: Authenticated, Path(id): Path<String>) -> Answer {
    ok(app.platform.disaster_report(&who.caller, &id, &who.context).await?)
}
