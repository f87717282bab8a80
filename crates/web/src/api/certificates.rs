//! 電子証明書: applications (also from those who have no certificate yet), approval, hand-over, renewal, list, revocation (P-182).

use super::{Answer, created, done, ok, once};
use crate::caller::Authenticated;
use crate::input::{Faults, Json, Query};
use crate::tls::{PeerCertificate, RemoteAddr, network_of};
use crate::{App, Problem};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use kiban_domain::Organization;
use kiban_domain::ids::IdError;
use kiban_service::{CertificateAsk, Context, RevocationAsk};
use serde::Deserialize;
use serde_json::json;

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ask {
    organization: Option<String>,
    terminal: String,
    #[serde(default)]
    connector: bool,
    csr: Option<String>,
    contact: String,
}

impl Ask {
    fn check(self) -> Result<CertificateAsk, Problem> {
        let Self { organization, terminal, connector, csr, contact } = self;
        let organization = organization_of(organization)?;
        Ok(CertificateAsk { organization, terminal, connector, csr, contact })
    }
}

pub(crate) fn organization_of(number: Option<String>) -> Result<Option<Organization>, Problem> {
    let mut faults = Faults::default();
    let parsed = number.as_deref().map(Organization::parse).transpose();
    faults.take("organization", parsed, IdError::message_ja).ok_or_else(|| faults.problem())
}

/// Where a request on the public listener comes from: one network counts as one.
pub(crate) fn source(address: Option<Extension<RemoteAddr>>) -> String {
    address.map(|Extension(address)| network_of(address.0.ip()).to_string()).unwrap_or_default()
}

pub(crate) async fn apply_publicly(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    address: Option<Extension<RemoteAddr>>,
    body: Json<Ask>,
) -> Answer {
    let ask = body.value.and_then(Ask::check);
    created(app.platform.apply_publicly(ask, &source(address), &context).await?)
}

pub(crate) async fn application(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    Path(application): Path<String>,
) -> Answer {
    ok(app.platform.certificate_application(&application, &context).await?)
}

/// The 受取番号 as typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Code {
    code: String,
}

pub(crate) async fn pick_up(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    address: Option<Extension<RemoteAddr>>,
    Path(application): Path<String>,
    body: Json<Code>,
) -> Answer {
    let code = body.value.map(|body| body.code);
    let file = app.platform.pick_up_certificate(&application, code, &source(address), &context).await?;
    Ok(bytes("terminal.p12", file))
}

pub(crate) async fn revocation_list(State(app): State<App>) -> Answer {
    Ok(bytes("crl.der", app.platform.revocation_list().await?))
}

pub(crate) fn bytes(name: &str, bytes: Vec<u8>) -> Response {
    let name = format!("attachment; filename=\"{name}\"");
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CONTENT_DISPOSITION, name.as_str())];
    (headers, bytes).into_response()
}

pub(crate) async fn apply(State(app): State<App>, who: Authenticated, body: Json<Ask>) -> Answer {
    let (context, ask) = (who.keyed(&body.bytes)?, body.value.and_then(Ask::check));
    created(once(&app, &who, &context, app.platform.apply_for_certificate(&who.caller, ask, &context)).await?)
}

pub(crate) async fn applications(State(app): State<App>, who: Authenticated) -> Answer {
    let applications = app.platform.certificate_applications(&who.caller, &who.context).await?;
    ok(json!({ "applications": applications }))
}

pub(crate) async fn approve(State(app): State<App>, who: Authenticated, Path(application): Path<String>) -> Answer {
    let context = who.keyed(b"")?;
    ok(once(&app, &who, &context, app.platform.approve_certificate(&who.caller, &application, &context)).await?)
}

pub(crate) async fn refuse(State(app): State<App>, who: Authenticated, Path(application): Path<String>) -> Answer {
    let context = who.keyed(b"")?;
    once(&app, &who, &context, app.platform.refuse_certificate(&who.caller, &application, &context)).await?;
    done()
}

/// A request for the new key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Renewal {
    csr: String,
}

pub(crate) async fn renew(
    State(app): State<App>,
    who: Authenticated,
    Extension(certificate): Extension<PeerCertificate>,
    body: Json<Renewal>,
) -> Answer {
    let csr = body.value.map(|body| body.csr);
    ok(app.platform.renew_certificate(&who.caller, csr, &certificate.key_digest, &who.context).await?)
}

/// Whose list is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    organization: Option<String>,
}

pub(crate) async fn list(State(app): State<App>, who: Authenticated, Query(wanted): Query<Wanted>) -> Answer {
    let organization = wanted.and_then(|wanted| organization_of(wanted.organization));
    ok(app.platform.certificates(&who.caller, organization, &who.context).await?)
}

/// Why, in the words of RFC 5280.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Why {
    reason: String,
    with_renewed: Option<bool>,
}

pub(crate) async fn revoke(
    State(app): State<App>,
    who: Authenticated,
    Path(serial): Path<String>,
    body: Json<Why>,
) -> Answer {
    let context = who.keyed(&body.bytes)?;
    let why = body.value.map(|Why { reason, with_renewed }| RevocationAsk { reason, with_renewed });
    once(&app, &who, &context, app.platform.revoke_as(&who.caller, &serial, why, &context)).await?;
    done()
}
