//! Who asks. [`Authenticated`] in a handler's arguments *is* the check: certificate of the connection, token, account and
//! office are verified for each request, before anything of the request is looked at (T-14, T-28, decision 0006.27, 38).
//!
//! In the API nothing but the `Authorization` header logs anybody in: cookies are for the pages (`pages/visitor`), and no header
//! can name a certificate or an address.

use crate::record::LoggedInAs;
use crate::router::{Route, route_of};
use crate::tls::{PeerCertificate, RemoteAddr};
use crate::{App, Listener, Problem};
use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use kiban_service::{Caller, Context, Peer, Stage};

/// A caller logged in over a certificate in good standing, or an unattended program with a certificate of its own.
pub(crate) struct Authenticated {
    pub(crate) caller: Caller,
    pub(crate) context: Context,
    pub(crate) token: String,
    /// `Idempotency-Key`, as sent; two headers are as wrong as one that is no text.
    key: Option<String>,
    /// Method and path.
    route: String,
}

impl Authenticated {
    /// The context of a write with this body: under its `Idempotency-Key`, if it was sent with one.
    pub(crate) fn keyed(&self, body: &[u8]) -> Result<Context, Problem> {
        match &self.key {
            Some(key) => Ok(self.context.under_key(&self.caller, key, &[self.route.as_bytes(), body])?),
            None => Ok(self.context.clone()),
        }
    }
}

/// The other side of a connection whose certificate is in good standing; nobody is logged in.
pub(crate) struct Certified {
    pub(crate) peer: Peer,
    pub(crate) context: Context,
    pub(crate) organization: kiban_domain::Organization,
}

impl FromRequestParts<App> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let (peer, context) = connection(parts, app)?;
        let (caller, token) = match bearer(parts).map(str::to_owned) {
            Some(token) => (app.platform.authenticate_at(stage_of(parts), peer, &token, &context).await?, token),
            // An unattended program has nothing but its certificate (P-165); everybody else must log in.
            None => (app.platform.authenticate_connector(peer, &context).await?, String::new()),
        };
        if let Some(noted) = parts.extensions.get::<LoggedInAs>() {
            noted.note(&caller);
        }
        let route = format!("{} {}", parts.method, parts.uri.path());
        Ok(Self { caller, context, token, key: idempotency_key(parts), route })
    }
}

impl FromRequestParts<App> for Certified {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let (peer, context) = connection(parts, app)?;
        let organization = app.platform.organization_of(&peer, &context)?;
        Ok(Self { peer, context, organization })
    }
}

/// How far a log-in must have come for the route of a request.
pub(crate) fn stage_of(parts: &Parts) -> Stage {
    route_of(Listener::Organisations, &parts.method, parts.uri.path()).map_or(Stage::Through, Route::stage)
}

/// The connection of a request and its circumstances, whoever is logged in over it.
pub(crate) fn connection(parts: &Parts, app: &App) -> Result<(Peer, Context), Problem> {
    let context = parts.extensions.get::<Context>().ok_or_else(|| Problem::internal("no context"))?.clone();
    let peer = peer_of(&parts.extensions).ok_or(Problem::unauthenticated("certificate_required"))?;
    // The handshake said so already, unless the certificate was made one of a program after it.
    let line = parts.extensions.get::<Listener>() == Some(&Listener::ClosedLine);
    if !line && app.platform.standing().is_for_closed_line(&peer.fingerprint) {
        return Err(Problem::unauthenticated("closed_line_only"));
    }
    Ok((peer, context))
}

/// The other end of the connection of a request, if it has a certificate.
pub(crate) fn peer_of(extensions: &Extensions) -> Option<Peer> {
    let certificate = extensions.get::<PeerCertificate>()?;
    let source = extensions.get::<RemoteAddr>().map(|address| address.0.ip().to_canonical().to_string());
    Some(Peer { fingerprint: certificate.fingerprint.clone(), source: source.unwrap_or_default() })
}

/// The key of a write. Anything but one readable header becomes an empty key, which is refused.
fn idempotency_key(parts: &Parts) -> Option<String> {
    let mut values = parts.headers.get_all("idempotency-key").iter();
    let value = values.next()?.to_str().unwrap_or_default();
    Some(if values.next().is_some() { String::new() } else { value.to_owned() })
}

/// The one token of the one `Authorization` header.
fn bearer(parts: &Parts) -> Option<&str> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    let fits = token.len() == 64 && token.bytes().all(|b| b.is_ascii_hexdigit());
    (scheme.eq_ignore_ascii_case("bearer") && fits).then_some(token)
}
