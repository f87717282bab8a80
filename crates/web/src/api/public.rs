//! What anybody may know besides start dates (`insurers`): health, and the description of the API itself.

use super::{Answer, ok};
use crate::caller::Certified;
use crate::{App, Problem};
use axum::Extension;
use axum::extract::State;
use kiban_service::Context;
use serde_json::json;

/// Healthy means: new work is welcome, and the map of who may come in is recent. A clock that drifts, and a
/// certificate of a listener that nobody renewed, are told before they stop anything.
pub(crate) async fn health(State(app): State<App>, Extension(context): Extension<Context>) -> Answer {
    match app.ready.is_ready() && app.platform.standing().is_fresh(context.now) {
        true => {
            let clock = if app.platform.clock_drift().is_alarming() { "drifting" } else { "ok" };
            let certificate = app.settings.certificates.state(context.now);
            ok(json!({ "status": "ok", "clock": clock, "certificate": certificate }))
        }
        false => Err(Problem::unavailable("not ready")),
    }
}

/// The same question, asked by whoever sends requests here: a database that was restored and not accepted lives and is not
/// ready ([`crate::HeldServer`]).
pub(crate) async fn ready(app: State<App>, context: Extension<Context>) -> Answer {
    health(app, context).await
}

pub(crate) async fn description(_peer: Certified) -> Answer {
    ok(crate::openapi::document())
}
