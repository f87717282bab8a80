//! Values for claims (P-175): as JSON, as a CSV for programs whose cells are exactly the values, and as one for people,
//! in which no cell is a formula (T-20).

use super::{Answer, csv, ok};
use crate::caller::Authenticated;
use crate::input::{Faults, Query};
use crate::{App, Problem};
use axum::extract::{Path, State};
use kiban_domain::dates::ServiceMonth;
use kiban_service::ClaimValues;
use serde::Deserialize;

/// The month, and whom a file is for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Month {
    month: Option<String>,
}

/// The same of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MonthOfFile {
    month: Option<String>,
    #[serde(default)]
    people: bool,
}

fn month_of(text: Option<String>) -> Result<Option<ServiceMonth>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let mut faults = Faults::default();
    let words = |_: &_| "202611 の形（西暦4桁と月2桁）で指定してください".to_owned();
    faults.take("month", ServiceMonth::parse(&text), words).map(Some).ok_or_else(|| faults.problem())
}

pub(crate) async fn values(
    State(app): State<App>,
    who: Authenticated,
    Path(handle): Path<String>,
    Query(month): Query<Month>,
) -> Answer {
    let month = month.and_then(|query| month_of(query.month));
    ok(app.platform.claim_values(&who.caller, &handle, month, &who.context).await?)
}

pub(crate) async fn file(
    State(app): State<App>,
    who: Authenticated,
    Path(handle): Path<String>,
    Query(query): Query<MonthOfFile>,
) -> Answer {
    let (month, for_people) = match query {
        Ok(query) => (month_of(query.month), query.people),
        Err(problem) => (Err(problem), false),
    };
    let values = app.platform.claim_values(&who.caller, &handle, month, &who.context).await?;
    let lines = std::iter::once(ClaimValues::columns(for_people).map(str::to_owned).to_vec()).chain(values.rows());
    let body: String = match for_people {
        true => std::iter::once("\u{feff}".to_owned()).chain(lines.map(csv::line)).collect(),
        false => lines.map(csv::exact_line).collect(),
    };
    Ok(csv::file(&format!("claim-values-{}.csv", values.month), body))
}
