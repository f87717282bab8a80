//! No answer without an audit entry (S-014): what the use case did not record is recorded here, after it has answered and
//! before the answer leaves.
//!
//! Not recorded are the public listener, connections without a certificate (the TLS layer counts those), requests turned
//! away for lack of a place or by their organisation's quota (counted, and recorded once a minute), before anything of
//! them was read, and the two documents every certificate may read, which
//! hold nothing about anybody: the first page and the description of the API. A refusal of those two is recorded.

use crate::caller::peer_of;
use crate::router::{Audience, Listener, Route, route_of};
use crate::{App, Problem};
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use kiban_service::{Answered, Caller, Context, Peer, Platform};
use std::sync::{Arc, OnceLock};

/// Where the caller is noted as soon as somebody is known to be logged in.
#[derive(Clone, Default)]
pub(crate) struct LoggedInAs(Arc<OnceLock<Caller>>);

impl LoggedInAs {
    pub(crate) fn note(&self, caller: &Caller) {
        let _ = self.0.set(caller.clone());
    }

    /// Who is logged in; empty when nobody is.
    pub(crate) fn name(&self) -> String {
        self.0.get().map(|caller| caller.staff.id.0.clone()).unwrap_or_default()
    }
}

/// Sees to the entry of one request.
#[derive(Clone)]
pub(crate) struct Recorder {
    platform: Platform,
    context: Context,
    peer: Peer,
    caller: LoggedInAs,
    route: Option<&'static Route>,
    /// Handle in the address.
    person: Option<String>,
}

impl Recorder {
    /// The recorder of a request, if its answer must be recorded.
    pub(crate) fn of(app: &App, listener: Listener, context: &Context, request: &mut Request) -> Option<Self> {
        if listener == Listener::Public {
            return None;
        }
        let peer = peer_of(request.extensions())?;
        let caller = LoggedInAs::default();
        request.extensions_mut().insert(caller.clone());
        let route = route_of(listener, request.method(), request.uri().path());
        let person = route.and_then(|route| route.person_in(request.uri().path())).map(str::to_owned);
        Some(Self { platform: app.platform.clone(), context: context.clone(), peer, caller, route, person })
    }

    /// Gives the answer back once it is recorded, or 503 in its place.
    pub(crate) async fn settle(self, response: Response) -> Response {
        let status = response.status();
        if status.is_success() && self.route.is_some_and(is_open) {
            return response;
        }
        let answered = Answered {
            caller: self.caller.0.get(),
            peer: &self.peer,
            action: self.route.map_or("no_such_route", |route| route.name),
            status: status.as_u16(),
            problem: response.extensions().get::<Problem>().map(|problem| problem.code),
            person: self.person.as_deref(),
        };
        match self.platform.record_answer(&answered, &self.context).await {
            Ok(()) => response,
            // It says already that nothing was given; what it says about a write stays.
            Err(_) if status == StatusCode::SERVICE_UNAVAILABLE => response,
            Err(error) => Problem::unavailable(error.to_string()).into_response(),
        }
    }
}

fn is_open(route: &Route) -> bool {
    route.audience == Audience::Certificate && route.method == Method::GET
}
