//! Who asks. [`Authenticated`] in a handler's arguments *is* the check: certificate of the connection, token, account and
//! office are verified for each request, before anything of the request is looked at (T-14, T-28, decision 0006.27, 38).
//!
//! Nothing but the `Authorization` header logs anybody in: cookies are ignored, and no header can name a certificate or an
//! address.

use crate::record::LoggedInAs;
use crate::tls::{PeerCertificate, RemoteAddr};
use crate::{App, Problem};
use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use kiban_service::{Caller, Context, Peer};

/// A caller logged in over a certificate in good standing, or an unattended program with a certificate of its own.
pub(crate) struct Authenticated {
    pub(crate) caller: Caller,
    pub(crate) context: Context,
    pub(crate) token: String,
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
        let (peer, context) = connection(parts)?;
        let (caller, token) = match bearer(parts).map(str::to_owned) {
            Some(token) => (app.platform.authenticate(peer, &token, &context).await?, token),
            // An unattended program has nothing but its certificate (P-165); everybody else must log in.
            None => (app.platform.authenticate_connector(peer, &context).await?, String::new()),
        };
        if let Some(noted) = parts.extensions.get::<LoggedInAs>() {
            noted.note(&caller);
        }
        Ok(Self { caller, context, token })
    }
}

impl FromRequestParts<App> for Certified {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let (peer, context) = connection(parts)?;
        let organization = app.platform.organization_of(&peer, &context)?;
        Ok(Self { peer, context, organization })
    }
}

fn connection(parts: &Parts) -> Result<(Peer, Context), Problem> {
    let context = parts.extensions.get::<Context>().ok_or_else(|| Problem::internal("no context"))?.clone();
    let peer = peer_of(&parts.extensions).ok_or(Problem::unauthenticated("certificate_required"))?;
    Ok((peer, context))
}

/// The other end of the connection of a request, if it has a certificate.
pub(crate) fn peer_of(extensions: &Extensions) -> Option<Peer> {
    let certificate = extensions.get::<PeerCertificate>()?;
    let source = extensions.get::<RemoteAddr>().map(|address| address.0.ip().to_canonical().to_string());
    Some(Peer { fingerprint: certificate.fingerprint.clone(), source: source.unwrap_or_default() })
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
