//! 利用開始: the public list of all municipalities, and the switch-over by the municipality or the operator.

use super::{Answer, csv, ok};
use crate::caller::Authenticated;
use crate::input::{Faults, Json, Query};
use crate::{App, Problem};
use axum::extract::{Path, State};
use kiban_domain::InsurerNumber;
use kiban_domain::dates::{DateError, parse_typed};
use kiban_domain::municipality::StartState;
use kiban_service::{Once, StartChange, StartFilter};
use serde::Deserialize;
use serde_json::json;

/// Which part of the list is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    prefecture: Option<String>,
    state: Option<String>,
}

impl From<Wanted> for StartFilter {
    fn from(wanted: Wanted) -> Self {
        Self { prefecture: wanted.prefecture, state: wanted.state }
    }
}

pub(crate) async fn list(State(app): State<App>, Query(wanted): Query<Wanted>) -> Answer {
    ok(json!({ "insurers": app.platform.starts(&wanted?.into()).await? }))
}

pub(crate) async fn file(State(app): State<App>, Query(wanted): Query<Wanted>) -> Answer {
    let mut body = csv::begin("保険者番号,都道府県コード,都道府県,市区町村,状態,日付");
    for one in app.platform.starts(&wanted?.into()).await? {
        let day = one.start.date().map(|day| day.to_string()).unwrap_or_default();
        let number = one.insurer_number.to_string();
        body += &csv::line([&*number, &one.prefecture_code, &one.prefecture, &one.name, one.state_name, &day]);
    }
    Ok(csv::file("insurers.csv", body))
}

pub(crate) async fn view_start(State(app): State<App>, who: Authenticated, Path(insurer): Path<String>) -> Answer {
    let insurer = InsurerNumber::parse(&insurer).map_err(|_| Problem::unknown())?;
    ok(app.platform.view_start(&who.caller, insurer, &who.context).await?)
}

/// A change of the start.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    state: String,
    date: Option<String>,
    reason: Option<String>,
}

impl Change {
    fn check(self) -> Result<StartChange, Problem> {
        let mut faults = Faults::default();
        let typed = self.date.as_deref().map(parse_typed).transpose();
        let Some(date) = faults.take("date", typed, DateError::message_ja) else { return Err(faults.problem()) };
        match StartState::from_code(&self.state, date) {
            Some(start) => Ok(StartChange { start, reason: self.reason }),
            None => {
                let text = "undecided・coordinating（日付なし）、planned・started（日付あり）のどれかにしてください";
                faults.add("state", text);
                Err(faults.problem())
            }
        }
    }
}

pub(crate) async fn change_start(
    State(app): State<App>,
    who: Authenticated,
    Path(insurer): Path<String>,
    body: Json<Change>,
) -> Answer {
    let insurer = InsurerNumber::parse(&insurer).map_err(|_| Problem::unknown())?;
    let (context, change) = (who.keyed(&body.bytes)?, body.value.and_then(Change::check));
    match app.platform.once(&who.caller, &context).await? {
        // Asked again, it tells how things stand.
        Once::Before(_) => ok(app.platform.view_start(&who.caller, insurer, &who.context).await?),
        Once::Now(_running) => ok(app.platform.change_start(&who.caller, insurer, change, &context).await?),
    }
}
