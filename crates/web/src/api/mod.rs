//! The API's handlers, one file per concern: read the request, call one use case, write the answer. Wire types of
//! requests stand beside their handler; answers are the use cases' own, held to `openapi/` by a test.

pub(crate) mod consent;
pub(crate) mod csv;
pub(crate) mod disaster;
pub(crate) mod export;
pub(crate) mod files;
pub(crate) mod insurers;
pub(crate) mod notices;
pub(crate) mod opinions;
pub(crate) mod people;
pub(crate) mod public;
pub(crate) mod session;
pub(crate) mod statistics;
pub(crate) mod submissions;
pub(crate) mod view;

use crate::Problem;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// What a handler answers.
pub(crate) type Answer = Result<Response, Problem>;

/// 200 with a JSON body.
pub(crate) fn ok(value: impl Serialize) -> Answer {
    Ok(axum::Json(value).into_response())
}

/// 201 with a JSON body.
pub(crate) fn created(value: impl Serialize) -> Answer {
    Ok((StatusCode::CREATED, axum::Json(value)).into_response())
}

/// 204.
pub(crate) fn done() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}
