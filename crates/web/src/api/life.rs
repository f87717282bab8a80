//! 利用者フィードバック: what LIFE knows of a person over time, as JSON and as a chart (P-141).

use super::{Answer, ok};
use crate::caller::Authenticated;
use crate::{App, chart};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;

pub(crate) async fn trend(State(app): State<App>, who: Authenticated, Path(handle): Path<String>) -> Answer {
    ok(app.platform.life_trend(&who.caller, &handle, &who.context).await?)
}

pub(crate) async fn chart(State(app): State<App>, who: Authenticated, Path(handle): Path<String>) -> Answer {
    let view = app.platform.life_trend(&who.caller, &handle, &who.context).await?;
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], chart::life_trend(&view)).into_response())
}
