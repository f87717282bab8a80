//! What a sandbox for vendors sees of each answer: the route and how it was asked and answered, nothing of what it was
//! about.

use crate::Problem;
use crate::openapi::takes_key;
use crate::router::{Listener, Route, route_of};
use axum::extract::Request;
use axum::http::header::IF_NONE_MATCH;
use axum::response::Response;
use std::sync::Arc;

/// Sees every answer.
pub type Watch = Arc<dyn Fn(Seen) + Send + Sync>;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Name of the route; `None`: there is none.
    pub route: Option<&'static str>,
    /// HTTP status of the answer.
    pub status: u16,
    /// Code of the problem, if it is one.
    pub code: Option<&'static str>,
    /// Whether it is a write that takes an `Idempotency-Key`.
    pub takes_key: bool,
    /// Whether it came with one.
    pub has_key: bool,
    /// Whether it came with `If-None-Match`.
    pub asks_if_changed: bool,
}

impl Seen {
    /// Of a request; its answer is still to come.
    pub(crate) fn asked(listener: Listener, request: &Request) -> Self {
        let route = route_of(listener, request.method(), request.uri().path());
        Self {
            route: route.map(|route: &Route| route.name),
            status: 0,
            code: None,
            takes_key: route.is_some_and(takes_key),
            has_key: request.headers().contains_key("idempotency-key"),
            asks_if_changed: request.headers().contains_key(IF_NONE_MATCH),
        }
    }

    pub(crate) fn answered(self, response: &Response) -> Self {
        let code = response.extensions().get::<Problem>().map(|problem| problem.code);
        Self { status: response.status().as_u16(), code, ..self }
    }
}
