//! What the operator looks at: municipalities, offices, the newest anchor of the audit log. Nothing about any person.

use super::{Answer, ok};
use crate::App;
use crate::caller::Authenticated;
use crate::input::Query;
use axum::extract::State;
use serde::Deserialize;
use serde_json::json;

/// Whose name or number holds this; everybody's without it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(default)]
    q: String,
}

pub(crate) async fn insurers(State(app): State<App>, who: Authenticated, Query(wanted): Query<Wanted>) -> Answer {
    ok(app.platform.insurer_lines(&who.caller, &wanted?.q, &who.context).await?)
}

pub(crate) async fn offices(State(app): State<App>, who: Authenticated, Query(wanted): Query<Wanted>) -> Answer {
    ok(app.platform.office_lines(&who.caller, &wanted?.q, &who.context).await?)
}

pub(crate) async fn audit_heads(State(app): State<App>, who: Authenticated) -> Answer {
    ok(json!({ "anchor": app.platform.audit_heads(&who.caller, &who.context).await? }))
}
