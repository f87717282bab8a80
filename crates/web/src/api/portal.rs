//! What a municipality does for its insured's own door: one-time codes and proxies (P-001, P-002).

use super::{Answer, created, done, ok, once};
use crate::App;
use crate::caller::Authenticated;
use crate::input::Json;
use axum::extract::{Path, State};
use kiban_domain::Date;
use kiban_service::ProxyAsk;
use serde::Deserialize;
use serde_json::json;

/// A proxy as accepted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProxyBody {
    role: String,
    name: String,
    birth: Date,
    relation: String,
    document: String,
    document_number: Option<String>,
    document_date: Date,
    ends_on: Date,
}

impl ProxyBody {
    fn read(self) -> ProxyAsk {
        let Self { role, name, birth, relation, document, document_number, document_date, ends_on } = self;
        ProxyAsk { role, name, birth, relation, document, document_number, document_date, ends_on }
    }
}

/// A code is told this once: it is not kept to be given again.
pub(crate) async fn issue_code(State(app): State<App>, who: Authenticated, Path(handle): Path<String>) -> Answer {
    created(app.platform.issue_portal_code(&who.caller, &handle, &who.context).await?)
}

pub(crate) async fn register_proxy(
    State(app): State<App>,
    who: Authenticated,
    Path(handle): Path<String>,
    body: Json<ProxyBody>,
) -> Answer {
    let ask = body.value.map(ProxyBody::read);
    created(app.platform.register_proxy(&who.caller, &handle, ask, &who.context).await?)
}

pub(crate) async fn grants(State(app): State<App>, who: Authenticated, Path(handle): Path<String>) -> Answer {
    let grants = app.platform.portal_grants(&who.caller, &handle, &who.context).await?;
    ok(json!({ "registrations": grants }))
}

pub(crate) async fn end(
    State(app): State<App>,
    who: Authenticated,
    Path((handle, registration)): Path<(String, String)>,
) -> Answer {
    let context = who.keyed(b"")?;
    let ending = app.platform.end_portal_grant(&who.caller, &handle, &registration, &context);
    once(&app, &who, &context, ending).await?;
    done()
}
