//! 電子カルテのファイルから入れる: 医見書 CSV 1.1 or our JSON becomes the beginning of the form, one draft for each document.

use super::fields::typed_of;
use super::{HERE, SCREEN};
use crate::pages::visitor::{Away, Uploaded, Visitor, to};
use crate::pages::{Frame, show};
use crate::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_service::OpinionFormat;

#[derive(Template)]
#[template(path = "opinion_file.html")]
struct FilePage {
    page: Frame,
    problems: Vec<String>,
}

fn page(app: &App, visitor: &Visitor, problems: Vec<String>) -> FilePage {
    let frame = visitor.frame(app, "ファイルから入れる", SCREEN, HERE);
    FilePage { page: Frame { body: "main--read", has_errors: !problems.is_empty(), ..frame }, problems }
}

pub(crate) async fn form(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    if !app.platform.writes_opinions(&visitor.caller) {
        return Err(Problem::unknown().into());
    }
    Ok(show(&page(&app, &visitor, Vec::new()))?)
}

pub(crate) async fn take(State(app): State<App>, uploaded: Uploaded) -> Result<Response, Away> {
    let Uploaded { visitor, files } = uploaded;
    let Some((name, bytes)) = files.into_iter().find(|(name, _)| !name.is_empty()) else {
        return refused(&app, &visitor, vec!["ファイルを選んでください。".to_owned()]);
    };
    let is_json = name.to_ascii_lowercase().ends_with(".json");
    let format = if is_json { OpinionFormat::Json } else { OpinionFormat::Csv };
    let Visitor { caller, context, .. } = &visitor;
    let content = |opinion: &PhysicianOpinion| serde_json::to_vec(&typed_of(opinion)).unwrap_or_default();
    let begun = app.platform.begin_opinions_from_file(caller, &name, format, &bytes, content, context).await;
    match begun.map_err(Problem::from)? {
        Ok(handles) => match &handles[..] {
            [only] => Ok(to(&format!("/opinions/{only}/send"), None)),
            _ => Ok(to("/opinions", None)),
        },
        Err(problems) => refused(&app, &visitor, problems),
    }
}

fn refused(app: &App, visitor: &Visitor, problems: Vec<String>) -> Result<Response, Away> {
    let mut response = show(&page(app, visitor, problems))?;
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    Ok(response)
}
