//! What every request passes on its way in and every answer on its way out: request id, host name, quotas, back-pressure, tags, time
//! limit, panics, problem documents, security headers (decision 0006.28, 29; T-28, T-32).

use crate::caller::peer_of;
use crate::etag::Read;
use crate::pages::Reader;
use crate::pages::visitor::Renewed;
use crate::record::Recorder;
use crate::router::{Listener, Route, route_of};
use crate::tls::{RemoteAddr, network_of};
use crate::{App, Problem, Seen, pages};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kiban_service::{Context, Counts};
use std::time::Instant;

/// Header that names the request in the answer, in the audit log and in the log.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::STRICT_TRANSPORT_SECURITY, "max-age=63072000"),
    // With `no-referrer` browsers name no origin for the forms of our own pages; to other hosts nothing is told either way.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Of the pages that have a script.
const WITH_SCRIPT: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The outermost layer of both routers.
pub(crate) async fn guard(State((app, listener)): State<(App, Listener)>, request: Request, next: Next) -> Response {
    let settings = app.settings.clone();
    let context = match Context::new((settings.clock)()) {
        Ok(context) => context,
        Err(error) => {
            let response = Problem::from(error).into_response();
            return finish(response, "00000000000000000000000000000000", None, &settings.public_url);
        }
    };
    let request_id = context.request_id.clone();
    let reader = reader_of(listener, &request);
    let (watch, metrics) = (&settings.watch, &settings.metrics);
    let (seen, began) = (Seen::asked(listener, &request), Instant::now());
    let response = pass(app, listener, context, request, next).await.unwrap_or_else(Problem::into_response);
    let seen = seen.answered(&response);
    metrics.answered(&seen, began.elapsed());
    if let Some(watch) = watch {
        watch(seen);
    }
    finish(response, &request_id, reader, &settings.public_url)
}

/// Who waits for the answer in front of a browser, so that a problem is a page.
fn reader_of(listener: Listener, request: &Request) -> Option<Reader> {
    let mut accepted = request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let path = request.uri().path();
    let is_page = !path.starts_with("/api/") && accepted.any(|media| media.contains("text/html"));
    let is_person = listener == Listener::Public && (path == "/me" || path.starts_with("/me/"));
    is_page.then_some(if is_person { Reader::Person } else { Reader::Staff })
}

async fn pass(
    app: App,
    listener: Listener,
    context: Context,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if app.platform.clock_drift().is_refused() {
        return Err(Problem::unavailable("the clock is more than 30 s from the database's"));
    }
    let route = route_of(listener, request.method(), request.uri().path());
    let (peer, upload) = (peer_of(request.extensions()), route.is_some_and(Route::is_upload));
    if let Some(peer) = &peer {
        let counts = route.map_or(Counts::Request, Route::counts);
        let admitted = app.platform.admit_request(peer, counts, &context);
        admitted.map_err(|seconds| Problem::too_many_requests(counts, seconds))?;
    }
    let counts = route.map_or(Counts::Request, Route::counts);
    let address = request.extensions().get::<RemoteAddr>();
    let network = address.map(|address| network_of(address.0.ip()).to_string()).unwrap_or_default();
    if matches!(counts, Counts::Portal | Counts::PortalLogIn) {
        let admitted = app.platform.admit_network(&network, counts, &context);
        admitted.map_err(|seconds| Problem::too_many_requests(counts, seconds))?;
    }
    let place = app.places.take(route, (peer.as_ref(), &network), &app.platform, &context)?;
    let recorder = Recorder::of(&app, listener, &context, &mut request);
    if !is_own_host(request.uri(), request.headers(), &app.settings.hosts) {
        return Ok(settle(recorder, wrong_host().into_response()).await);
    }
    let limit = if upload { app.settings.upload_time } else { app.settings.request_time };
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    request.extensions_mut().insert(context);
    request.extensions_mut().insert(listener);
    let recorder_of_panic = recorder.clone();
    let (read, renewed) = (Read::of(&app, &request), Renewed::default());
    request.extensions_mut().insert(renewed.clone());
    // A task of its own: a client that goes away, or a time limit, never cuts a write or its entry in the middle.
    let running = tokio::spawn(async move {
        let response = renewed.add_to(settle(recorder, as_problem(next.run(request).await)).await);
        drop(place);
        match read {
            Some(read) => read.answer(response).await,
            None => response,
        }
    });
    match tokio::time::timeout(limit, running).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(_)) => Ok(settle(recorder_of_panic, Problem::internal("a handler panicked").into_response()).await),
        Err(_) if changes => Err(Problem::outcome_unknown()),
        Err(_) => Err(Problem::unavailable("the request took too long")),
    }
}

async fn settle(recorder: Option<Recorder>, response: Response) -> Response {
    match recorder {
        Some(recorder) => recorder.settle(response).await,
        None => response,
    }
}

/// What the router itself refuses, such as a path that is no text, is nothing there.
fn as_problem(response: Response) -> Response {
    let (status, marks) = (response.status(), response.extensions());
    let is_marked = marks.get::<Problem>().is_some() || marks.get::<pages::IsPage>().is_some();
    let is_ours = is_marked || status.is_success() || status == StatusCode::SEE_OTHER;
    if is_ours { response } else { Problem::unknown().into_response() }
}

fn wrong_host() -> Problem {
    Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "wrong_host",
        "宛先のホスト名が違います",
        "接続先のアドレスを確かめて、接続し直してください",
    )
}

/// Every name the request gives for its host must be ours (HTTP/2 gives it in the URI).
fn is_own_host(uri: &Uri, headers: &HeaderMap, hosts: &[String]) -> bool {
    let in_headers = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or(""));
    let mut given = uri.authority().map(|authority| authority.as_str()).into_iter().chain(in_headers).peekable();
    given.peek().is_some() && given.all(|given| hosts.contains(&without_port(given)))
}

fn without_port(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.to_ascii_lowercase()
}

/// Writes the problem document if there is one, and the headers.
fn finish(mut response: Response, request_id: &str, reader: Option<Reader>, public_url: &str) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        if let Some(log) = problem.for_log() {
            tracing::error!(request_id, status = problem.status.as_u16(), code = problem.code, error = log, "problem");
        }
        let allow = response.headers_mut().remove(header::ALLOW);
        let (page, wait) =
            (reader.and_then(|reader| pages::problem(&problem, reader, request_id, public_url)), problem.wait());
        response = page.unwrap_or_else(|| problem.render(request_id));
        if let Some(wait) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    let has_script = response.extensions().get::<pages::HasScript>().is_some();
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if has_script {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(WITH_SCRIPT));
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ready, Settings};
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use kiban_service::{Config, Platform};
    use kiban_store::{AuditSettings, MasterKey, SigningKey, Store};
    use std::sync::Arc;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_panic_is_answered_without_its_words_and_the_next_request_is_served() {
        let dir = tempfile::TempDir::new().unwrap();
        let clock: crate::Clock = Arc::new(|| jiff::Timestamp::UNIX_EPOCH);
        let audit = AuditSettings {
            signing_key: SigningKey::load_or_create(&dir.path().join("audit.key")).unwrap(),
            anchor_dir: dir.path().join("anchors"),
            clock: Arc::clone(&clock),
        };
        let address = format!("sqlite:{}", dir.path().join("kiban.db").display());
        let master = MasterKey::load_or_create(&dir.path().join("master.key")).unwrap();
        let store = Store::open(&address, master, audit).await.unwrap();
        let platform = Platform::open(store, Config::default(), clock()).await.unwrap();
        let mut settings = Settings::new(&["kiban.test"], "https://www.kiban.test", clock);
        settings.in_flight = 1;
        let app = App::new(platform, settings, Ready::default());
        let router: Router = Router::new()
            .route("/panic", get(async || -> &'static str { panic!("架空 花子") }))
            .route("/calm", get(async || "calm"))
            .layer(axum::middleware::from_fn_with_state((app, Listener::Organisations), guard));
        let ask = async |path: &str| {
            let request = Request::get(path).header(header::HOST, "kiban.test").body(Body::empty()).unwrap();
            router.clone().oneshot(request).await.unwrap()
        };
        let answer = ask("/panic").await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(answer.into_body(), 4096).await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("花子"));
        assert_eq!(ask("/calm").await.status(), StatusCode::OK);
    }
}
