//! The way to the provider and back (P-001). The only address a browser is ever sent to is the one the provider publishes, and
//! pages of ours by name; nothing in a request names another (T-30).

use super::visitor::{Away, LOG_IN, keep};
use super::{MeFrame, SIZE, cookie, cookie_of};
use crate::api::Answer;
use crate::input::Query;
use crate::oidc::{Callback, Fault, Provider};
use crate::pages::show;
use crate::tls::{RemoteAddr, network_of};
use crate::{App, Problem};
use askama::Template;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Redirect, Response};
use kiban_service::{Context, PortalNext};
use std::sync::Arc;

/// Name of the cookie of an attempt.
const ATTEMPT: &str = "__Host-kiban-attempt";
/// How long it is kept, in seconds.
const ATTEMPT_TIME: i64 = 600;

/// Somebody at the person's door, where there is one.
pub(crate) struct AtDoor {
    pub(crate) context: Context,
    /// Where the request comes from; one network counts as one.
    pub(crate) network: String,
    pub(crate) headers: HeaderMap,
    pub(crate) provider: Arc<Provider>,
}

impl FromRequestParts<App> for AtDoor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let provider = app.settings.provider.clone().ok_or_else(Problem::unknown)?;
        let context = parts.extensions.get::<Context>().ok_or_else(|| Problem::internal("no context"))?.clone();
        let address = parts.extensions.get::<RemoteAddr>();
        let network = address.map(|address| network_of(address.0.ip()).to_string()).unwrap_or_default();
        Ok(Self { context, network, headers: parts.headers.clone(), provider })
    }
}

#[derive(Template)]
#[template(path = "me/entrance.html")]
struct EntrancePage {
    page: MeFrame,
    provider: String,
}

pub(crate) async fn entrance(State(app): State<App>, door: AtDoor) -> Answer {
    if app.platform.at_portal(cookie_of(&door.headers, LOG_IN), &door.network, &door.context).await.is_ok() {
        return Ok(Redirect::to("/me/now").into_response());
    }
    let page = MeFrame::new("はじめの画面", "P-001", &door.headers);
    show(&EntrancePage { page, provider: door.provider.name().to_owned() })
}

/// 標準・大・特大, kept in the browser only.
pub(crate) async fn size(_door: AtDoor, Path(size): Path<String>) -> Answer {
    let seconds = match size.as_str() {
        "standard" => 0,
        "large" | "largest" => 365 * 86_400,
        _ => return Err(Problem::unknown()),
    };
    Ok(with_cookies(Redirect::to("/me").into_response(), &[(SIZE, &size, seconds)]))
}

/// Sends the browser to the provider.
pub(crate) async fn begin(State(app): State<App>, door: AtDoor) -> Answer {
    let attempt = app.platform.begin_person_log_in(&door.context).await?;
    let address = match door.provider.address_of(&attempt, &redirect_uri(&app)).await {
        Ok(address) => address,
        Err(fault) => {
            let error = app.platform.count_refused_log_in("oidc:unavailable", &door.network, &door.context);
            return Err(match fault {
                Fault::Unavailable(log) => Problem::unavailable(log),
                Fault::Refused(_) => error.into(),
            });
        }
    };
    Ok(with_cookies(Redirect::to(&address).into_response(), &[(ATTEMPT, &attempt.cookie, ATTEMPT_TIME)]))
}

/// The browser comes back.
pub(crate) async fn come_back(
    State(app): State<App>,
    door: AtDoor,
    Query(callback): Query<Callback>,
) -> Result<Response, Away> {
    // A parameter that comes twice is none.
    let callback = callback.unwrap_or_default();
    let cookie = cookie_of(&door.headers, ATTEMPT);
    let (context, network) = (&door.context, door.network.as_str());
    if callback.error.is_some() {
        return Err(app.platform.count_refused_log_in("oidc:denied", network, context).into());
    }
    let state = callback.state.as_deref();
    let attempt = app.platform.resume_person_log_in(cookie, state, network, context).await?;
    match door.provider.finish(&attempt, &callback, &redirect_uri(&app)).await {
        Ok(claims) => {
            let former = cookie_of(&door.headers, LOG_IN);
            let (at, next) = app.platform.open_portal_session(&claims, former, network, context).await?;
            let page = match next {
                PortalNext::Own => "/me/now".to_owned(),
                PortalNext::Choose => "/me/whose".to_owned(),
                PortalNext::Code(None) => "/me/code".to_owned(),
                PortalNext::Code(Some(city)) => format!("/me/code?city={city}"),
            };
            let response = with_cookies(Redirect::to(&page).into_response(), &[(ATTEMPT, "", 0)]);
            keep(&app, &door, &at, response).await
        }
        Err(fault) => Err(refused(&app, &door, fault).await.into()),
    }
}

async fn refused(app: &App, door: &AtDoor, fault: Fault) -> Problem {
    let (reason, log) = match fault {
        Fault::Refused(reason) => (reason, None),
        Fault::Unavailable(log) => ("oidc:unavailable", Some(log)),
    };
    match app.platform.refuse_person_log_in(reason, &door.network, &door.context).await {
        Ok(error) => log.map_or_else(|| Problem::from(error), Problem::unavailable),
        Err(error) => Problem::from(error),
    }
}

fn redirect_uri(app: &App) -> String {
    format!("{}/me/callback", app.settings.public_url)
}

/// An answer with cookies: name, value, seconds.
pub(crate) fn with_cookies(mut response: Response, cookies: &[(&str, &str, i64)]) -> Response {
    for (name, value, seconds) in cookies {
        let name_of_header: HeaderName = SET_COOKIE;
        if let Some(value) = cookie(name, value, *seconds) {
            response.headers_mut().append(name_of_header, value);
        }
    }
    response
}
