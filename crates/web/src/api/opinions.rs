//! 主治医意見書 from the document software of a hospital, on the closed line and without a screen (P-134, path ②).

use super::{Answer, ok, once};
use crate::caller::Authenticated;
use crate::input::document;
use crate::{App, Problem};
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use kiban_service::OpinionFormat;
use serde_json::json;

const CSV: &str = "text/csv";
const JSON: &str = "application/json";
/// Stands for the file in messages; what the sender calls it is not asked.
const NAME: &str = "意見書ファイル";

/// Tells a program that it has come to the right place.
pub(crate) async fn entrance(State(app): State<App>, who: Authenticated) -> Answer {
    let office = app.platform.may_send_opinions(&who.caller, &who.context)?;
    ok(json!({ "organization": office, "formats": [CSV, JSON] }))
}

pub(crate) async fn hand_in(State(app): State<App>, who: Authenticated, request: Request) -> Answer {
    app.platform.may_send_opinions(&who.caller, &who.context)?;
    let (media, bytes) = document(request, &[CSV, JSON]).await?;
    let format = if media == CSV { OpinionFormat::Csv } else { OpinionFormat::Json };
    let context = who.keyed(&[media.as_bytes(), b"\n", &bytes[..]].concat())?;
    let act = app.platform.submit_opinion_file(&who.caller, NAME, format, &bytes, &context);
    let report = once(&app, &who, &context, act).await?;
    if report["state"] != "refused" {
        return ok(report);
    }
    let detail = "report.problems の内容を直して、もう一度送ってください。受け取った内容は何も登録していません";
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "refused_files", "意見書を受け付けられませんでした", detail)
        .with("report", report))
}

pub(crate) async fn state(State(app): State<App>, who: Authenticated, Path(receipt): Path<String>) -> Answer {
    ok(app.platform.opinion_state(&who.caller, &receipt, &who.context).await?)
}
