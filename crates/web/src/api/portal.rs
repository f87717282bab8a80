//! What a municipality does for its insured's own door: one-time codes and proxies (P-001, P-002).

use super::{Answer, created, done, ok, once};
use crate::App;
use crate::caller::Authenticated;
use crate::input::Json;
use axum::extract::{Path, State};
use kiban_domain::Date;
use kiban_service::{ProxyAsk, ProxyBlock};
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

/// Why proxies see nothing until the municipality has decided (T-2).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BlockBody {
    registration: Option<String>,
    reason: String,
    document: String,
    document_date: Date,
}

impl BlockBody {
    fn read(self) -> ProxyBlock {
        let Self { registration, reason, document, document_date } = self;
        ProxyBlock { registration, reason, document, document_date }
    }
}

pub(crate) async fn block(
    State(app): State<App>,
    who: Authenticated,
    Path(handle): Path<String>,
    body: Json<BlockBody>,
) -> Answer {
    let (context, ask) = (who.keyed(&body.bytes)?, body.value.map(BlockBody::read));
    let blocking = app.platform.block_proxies(&who.caller, &handle, ask, &context);
    created(once(&app, &who, &context, blocking).await?)
}

/// What was decided.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LiftBody {
    reason: String,
}

pub(crate) async fn lift(
    State(app): State<App>,
    who: Authenticated,
    Path((handle, block)): Path<(String, String)>,
    body: Json<LiftBody>,
) -> Answer {
    let (context, reason) = (who.keyed(&body.bytes)?, body.value.map(|body| body.reason));
    let lifting = app.platform.lift_block(&who.caller, &handle, &block, reason, &context);
    once(&app, &who, &context, lifting).await?;
    done()
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
