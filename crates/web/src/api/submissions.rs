//! 提出物: handing over an opinion or a 届出, and the municipality's inbox (P-133, P-138).

use super::people::Page;
use super::{Answer, created, ok, once};
use crate::caller::Authenticated;
use crate::input::{Json, Query, lines};
use crate::{App, Problem};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::plan_request::{FilingFaults, PlanRequest, PlanRequestForm};
use kiban_service::{Decide, InboxState, ItemFault, Original};
use serde::Deserialize;
use serde_json::json;

pub(crate) async fn opinion(
    State(app): State<App>,
    who: Authenticated,
    Path(handle): Path<String>,
    body: Json<PhysicianOpinion>,
) -> Answer {
    let context = who.keyed(&body.bytes)?;
    let original = json_original(body.bytes);
    let act = app.platform.submit_opinion(&who.caller, &handle, body.value, original, &context);
    created(once(&app, &who, &context, act).await?)
}

pub(crate) async fn plan_request(
    State(app): State<App>,
    who: Authenticated,
    Path(handle): Path<String>,
    body: Json<PlanRequestForm>,
) -> Answer {
    let context = who.keyed(&body.bytes)?;
    let original = json_original(body.bytes);
    let request = body.value.and_then(|form| PlanRequest::try_from(form).map_err(not_together));
    let act = app.platform.file_plan_request(&who.caller, &handle, request, original, &context);
    created(once(&app, &who, &context, act).await?)
}

/// Items of a 届出 that belong to another form.
fn not_together(faults: FilingFaults) -> Problem {
    Problem::invalid(faults.0.into_iter().map(|fault| ItemFault::new(fault.item, fault.text)).collect())
}

fn json_original(bytes: Vec<u8>) -> Original {
    Original { media: "application/json".to_owned(), bytes }
}

pub(crate) async fn filed(State(app): State<App>, who: Authenticated, Path(handle): Path<String>) -> Answer {
    ok(json!({ "submissions": app.platform.filed(&who.caller, &handle, &who.context).await? }))
}

/// A page of the inbox.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InboxPage {
    state: Option<String>,
    after: Option<String>,
    limit: Option<i64>,
}

fn inbox_state(code: Option<String>) -> Result<InboxState, Problem> {
    let Some(code) = code else { return Ok(InboxState::default()) };
    InboxState::parse(&code).ok_or_else(|| {
        let words = "waiting、submitted、fetched、accepted、returned のどれかにしてください";
        Problem::invalid(vec![ItemFault::new("state", words)])
    })
}

pub(crate) async fn inbox(State(app): State<App>, who: Authenticated, Query(page): Query<InboxPage>) -> Answer {
    let (asked, after) = match page {
        Ok(page) => (inbox_state(page.state).and_then(|state| Ok((state, lines(page.limit)?))), page.after),
        Err(problem) => (Err(problem), None),
    };
    let items = app.platform.inbox(&who.caller, asked, after.as_deref(), &who.context).await?;
    let next = items.last().map(|item| item.receipt.clone());
    ok(json!({ "items": items, "next": next }))
}

pub(crate) async fn original(State(app): State<App>, who: Authenticated, Path(receipt): Path<String>) -> Answer {
    let original = app.platform.submission_original(&who.caller, &receipt, &who.context).await?;
    let ending = if original.media == "text/csv" { "csv" } else { "json" };
    // To be saved, never shown: it is what somebody else's program wrote.
    let name = format!("attachment; filename=\"{receipt}.{ending}\"");
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CONTENT_DISPOSITION, name.as_str())];
    Ok((headers, original.bytes).into_response())
}

pub(crate) async fn reviews(State(app): State<App>, who: Authenticated, Query(page): Query<Page>) -> Answer {
    let (limit, after) = match page {
        Ok(page) => (lines(page.limit), page.after),
        Err(problem) => (Err(problem), None),
    };
    let reviews = app.platform.reviews(&who.caller, after.as_deref(), limit, &who.context).await?;
    let next = reviews.last().map(|review| review.id.clone());
    ok(json!({ "reviews": reviews, "next": next }))
}

pub(crate) async fn fetch(State(app): State<App>, who: Authenticated, Path(receipt): Path<String>) -> Answer {
    let context = who.keyed(b"")?;
    ok(once(&app, &who, &context, app.platform.fetch_submission(&who.caller, &receipt, &context)).await?)
}

pub(crate) async fn accept(State(app): State<App>, who: Authenticated, Path(receipt): Path<String>) -> Answer {
    let context = who.keyed(b"")?;
    let accept: Result<_, Problem> = Ok(Decide::Accept);
    ok(once(&app, &who, &context, app.platform.decide_submission(&who.caller, &receipt, accept, &context)).await?)
}

/// Why a document goes back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    reason: String,
}

pub(crate) async fn give_back(
    State(app): State<App>,
    who: Authenticated,
    Path(receipt): Path<String>,
    body: Json<Reason>,
) -> Answer {
    let (context, reason) = (who.keyed(&body.bytes)?, body.value.map(|body| Decide::Return(body.reason)));
    ok(once(&app, &who, &context, app.platform.decide_submission(&who.caller, &receipt, reason, &context)).await?)
}
