//! 提出物: handing over an opinion or a 届出, and the municipality's inbox (P-133, P-138).

use super::{Answer, created, ok};
use crate::App;
use crate::caller::Authenticated;
use crate::input::Json;
use axum::extract::{Path, State};
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::plan_request::PlanRequest;
use kiban_service::Decide;
use serde::Deserialize;
use serde_json::json;

pub(crate) async fn opinion(
    State(app): State<App>,
    who: Authenticated,
    Path(handle): Path<String>,
    Json(opinion): Json<PhysicianOpinion>,
) -> Answer {
    created(app.platform.submit_opinion(&who.caller, &handle, opinion, &who.context).await?)
}

pub(crate) async fn plan_request(
    State(app): State<App>,
    who: Authenticated,
    Path(handle): Path<String>,
    Json(request): Json<PlanRequest>,
) -> Answer {
    created(app.platform.file_plan_request(&who.caller, &handle, request, &who.context).await?)
}

pub(crate) async fn filed(State(app): State<App>, who: Authenticated, Path(handle): Path<String>) -> Answer {
    ok(json!({ "submissions": app.platform.filed(&who.caller, &handle, &who.context).await? }))
}

pub(crate) async fn inbox(State(app): State<App>, who: Authenticated) -> Answer {
    ok(json!({ "items": app.platform.inbox(&who.caller, &who.context).await? }))
}

pub(crate) async fn fetch(State(app): State<App>, who: Authenticated, Path(receipt): Path<String>) -> Answer {
    ok(app.platform.fetch_submission(&who.caller, &receipt, &who.context).await?)
}

pub(crate) async fn accept(State(app): State<App>, who: Authenticated, Path(receipt): Path<String>) -> Answer {
    ok(app.platform.decide_submission(&who.caller, &receipt, Decide::Accept, &who.context).await?)
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
    Json(body): Json<Reason>,
) -> Answer {
    ok(app.platform.decide_submission(&who.caller, &receipt, Decide::Return(body.reason), &who.context).await?)
}
