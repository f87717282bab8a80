//! The API's handlers, one file per concern: read the request, call one use case, write the answer. Wire types of
//! requests stand beside their handler; answers are the use cases' own, held to `openapi/` by a test.

pub(crate) mod accounts;
pub(crate) mod announcements;
pub(crate) mod certificates;
pub(crate) mod claim_values;
pub(crate) mod consent;
pub(crate) mod csv;
pub(crate) mod disaster;
pub(crate) mod export;
pub(crate) mod files;
pub(crate) mod identification;
pub(crate) mod insurers;
pub(crate) mod life;
pub(crate) mod notices;
pub(crate) mod operator;
pub(crate) mod opinions;
pub(crate) mod paper_notices;
pub(crate) mod people;
pub(crate) mod portal;
pub(crate) mod public;
pub(crate) mod session;
pub(crate) mod slips;
pub(crate) mod staff_looks;
pub(crate) mod statistics;
pub(crate) mod submissions;
pub(crate) mod tar;
pub(crate) mod view;

use crate::caller::Authenticated;
use crate::{App, Problem};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kiban_service::{Context, Once};
use serde::Serialize;
use serde_json::Value;

/// What a handler answers.
pub(crate) type Answer = Result<Response, Problem>;

/// Does a write, unless it was done before under the same `Idempotency-Key`; what it answers, or answered then.
pub(crate) async fn once<T: Serialize, E: Into<Problem>>(
    app: &App,
    who: &Authenticated,
    context: &Context,
    act: impl Future<Output = Result<T, E>>,
) -> Result<Value, Problem> {
    match app.platform.once(&who.caller, context).await? {
        Once::Before(answer) => Ok(answer),
        Once::Now(_running) => {
            let answer = act.await.map_err(Into::into)?;
            serde_json::to_value(answer).map_err(|error| Problem::internal(error.to_string()))
        }
    }
}

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
