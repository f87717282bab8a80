//! Files in, receipts out: as JSON and as a result file people open in a spreadsheet (P-161, T-20).

use super::{Answer, ok, once};
use crate::caller::Authenticated;
use crate::input::{Files, Incoming, OFFICE_LIMIT, PACKAGE_LIMIT, Query, count_files, files};
use crate::multipart::Event;
use crate::pages::visitor::foreign;
use crate::{App, Problem};
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use kiban_service::{IntakeResult, Upload, Work, digest_of_files};
use serde::Deserialize;
use serde_json::{Value, json};

/// How a package is taken.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Only tried: what it would do is answered, nothing is written.
    #[serde(default)]
    dry_run: bool,
    /// Tried as a package of everything: what it lacks is listed.
    #[serde(default)]
    full: bool,
}

/// Small packages are answered when they are done, others with 202 and their receipt: they are worked on behind it.
pub(crate) async fn package(
    State(app): State<App>,
    who: Authenticated,
    Query(wanted): Query<Wanted>,
    request: Request,
) -> Answer {
    app.platform.may_send_package(&who.caller, &who.context)?;
    let wanted = wanted?;
    if wanted.dry_run {
        let Files(files) = Files::from_request(request, &app).await?;
        return ok(app.platform.dry_run_package(&who.caller, files, wanted.full, &who.context).await?);
    }
    let incoming = Incoming::of(request, PACKAGE_LIMIT)?;
    let upload = app.platform.begin_package(&who.caller, &who.context).await?;
    let received = arrive(upload, incoming, None).await?.finish().await?;
    let clock = || (app.settings.clock)();
    let mut work = Work::new(&clock).impatient();
    let result = if received.is_small {
        app.platform.close_package(&received, &mut work).await?
    } else {
        app.platform.package_so_far(&received).await?
    };
    if result.state == "received" {
        return Ok((StatusCode::ACCEPTED, axum::Json(result)).into_response());
    }
    judged(serde_json::to_value(result).map_err(|error| Problem::internal(error.to_string()))?)
}

/// Hands the files on as they arrive; of a page's form with the token that has to stand before them. What came of a form that was
/// cut is forgotten.
pub(crate) async fn arrive(mut upload: Upload, mut incoming: Incoming, token: Option<&str>) -> Result<Upload, Problem> {
    match hand_on(&mut upload, &mut incoming, token).await {
        Ok(()) => Ok(upload),
        Err(problem) => {
            upload.forget().await?;
            Err(problem)
        }
    }
}

async fn hand_on(upload: &mut Upload, incoming: &mut Incoming, token: Option<&str>) -> Result<(), Problem> {
    let is_foreign = |incoming: &Incoming| token.is_some_and(|token| incoming.form_token() != token.as_bytes());
    let mut files = 0;
    while let Some(events) = incoming.next().await? {
        for event in events {
            match event {
                Event::File(_) if is_foreign(incoming) => return Err(foreign()),
                Event::File(name) => {
                    files += 1;
                    count_files(files)?;
                    upload.file(&name).await?;
                }
                Event::Bytes(bytes) => upload.write(&bytes).await?,
            }
        }
    }
    if is_foreign(incoming) { Err(foreign()) } else { count_files(files) }
}

pub(crate) async fn plans(State(app): State<App>, who: Authenticated, request: Request) -> Answer {
    app.platform.may_send_plans(&who.caller, &who.context)?;
    let files = files(request, OFFICE_LIMIT).await?;
    let context = who.keyed(&digest_of_files(&files))?;
    judged(once(&app, &who, &context, app.platform.import_plans(&who.caller, files, &context)).await?)
}

pub(crate) async fn life(State(app): State<App>, who: Authenticated, request: Request) -> Answer {
    app.platform.may_send_life(&who.caller, &who.context)?;
    let files = files(request, OFFICE_LIMIT).await?;
    let context = who.keyed(&digest_of_files(&files))?;
    judged(once(&app, &who, &context, app.platform.import_life(&who.caller, files, &context)).await?)
}

pub(crate) async fn claims(State(app): State<App>, who: Authenticated, request: Request) -> Answer {
    app.platform.may_send_claims(&who.caller, &who.context)?;
    let Files(files) = Files::from_request(request, &app).await?;
    let context = who.keyed(&digest_of_files(&files))?;
    judged(once(&app, &who, &context, app.platform.import_claims(&who.caller, files, &context)).await?)
}

/// A refused file is a problem document that carries the result (docs/decisions/0001).
pub(super) fn judged(result: Value) -> Answer {
    if result["state"] != "refused" {
        return ok(result);
    }
    let detail = "result.report.problems の内容を直して、もう一度送ってください。受け取った内容は何も反映していません";
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "refused_files", "ファイルを取り込めませんでした", detail)
        .with("result", result))
}

pub(crate) async fn receipts(State(app): State<App>, who: Authenticated) -> Answer {
    ok(json!({ "receipts": app.platform.receipts(&who.caller, &who.context).await? }))
}

pub(crate) async fn receipt(State(app): State<App>, who: Authenticated, Path(receipt): Path<String>) -> Answer {
    ok(app.platform.receipt(&who.caller, &receipt, &who.context).await?)
}

pub(crate) async fn result_file(State(app): State<App>, who: Authenticated, Path(receipt): Path<String>) -> Answer {
    Ok(result_csv(&app.platform.receipt(&who.caller, &receipt, &who.context).await?))
}

/// The result file.
pub(crate) fn result_csv(result: &IntakeResult) -> Response {
    csv_file("result", &result.receipt, result.csv())
}

/// A file people open in a spreadsheet, of something with a number.
pub(crate) fn csv_file(what: &str, number: &str, text: String) -> Response {
    let name = format!("attachment; filename=\"{what}-{number}.csv\"");
    let headers = [(header::CONTENT_TYPE, "text/csv; charset=utf-8"), (header::CONTENT_DISPOSITION, name.as_str())];
    (headers, text).into_response()
}
