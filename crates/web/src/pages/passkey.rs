//! パスキー at a screen (P-183, P-210): a script asks the browser for one and puts what it says into the form; without it the other second
//! factors remain.

use super::account::RecoveryPage;
use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show};
use crate::api::accounts::{NewPasskeyBody, PasskeyAnswerBody};
use crate::api::{Answer, ok};
use crate::input::Form;
use crate::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use kiban_service::PasskeyAnswer;

/// Names of the fields of an answer.
pub(super) const FIELDS: [&str; 5] = ["credential", "client_data", "authenticator_data", "signature", "user_handle"];

#[derive(Template)]
#[template(path = "passkey.html")]
struct PasskeyPage {
    page: Frame,
    name: String,
    errors: Vec<(String, String)>,
}

/// The answer of a passkey in a form; none where there is none.
pub(super) fn answer_of(form: &Form) -> Result<Option<PasskeyAnswer>, Problem> {
    let [credential, client_data, authenticator_data, signature, user_handle] =
        FIELDS.map(|name| form.get(name).to_owned());
    if credential.is_empty() {
        return Ok(None);
    }
    let user_handle = Some(user_handle).filter(|told| !told.is_empty());
    PasskeyAnswerBody { credential, client_data, authenticator_data, signature, user_handle }.read().map(Some)
}

/// The script that says when a log-in is about to end.
pub(crate) async fn idle_script() -> Answer {
    let text = include_str!("../../assets/idle.js");
    Ok(([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], text).into_response())
}

/// The script of the pages that use a passkey.
pub(crate) async fn script() -> Answer {
    let text = include_str!("../../assets/passkey.js");
    Ok(([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], text).into_response())
}

/// What the script asks before a passkey answers, at the log-in and to prove it again.
pub(crate) async fn question(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &posted.visitor;
    let question = app.platform.ask_passkey(caller, &app.settings.site, context).await.map_err(Problem::from)?;
    Ok(ok(question)?)
}

/// What the script asks before a passkey is made.
pub(crate) async fn offer(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &posted.visitor;
    let offer = app.platform.offer_passkey(caller, &app.settings.site, context).await.map_err(Problem::from)?;
    Ok(ok(offer)?)
}

fn page(app: &App, visitor: &Visitor, name: &str, errors: Vec<(String, String)>) -> PasskeyPage {
    let mut page = Frame { body: "main--read", ..visitor.frame(app, "パスキーを作る", "P-210", "") };
    page.has_errors = !errors.is_empty();
    if app.platform.must_set_up_factor(&visitor.caller) {
        page.menu = &[];
    }
    PasskeyPage { page, name: name.to_owned(), errors }
}

/// The page that makes one, and what it sends. Beside another second factor `visitor` has asked for it before.
pub(crate) async fn make(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    if form.get("attestation").is_empty() {
        return Ok(show(&page(&app, &visitor, "", Vec::new()))?);
    }
    let name = form.get("name").to_owned();
    let body = NewPasskeyBody {
        name: name.clone(),
        password: form.as_typed("own_password").to_owned(),
        client_data: form.get("made_client_data").to_owned(),
        attestation: form.get("attestation").to_owned(),
    };
    match app.platform.add_passkey(&visitor.caller, body.read(), &app.settings.site, &visitor.context).await {
        Ok(codes) if codes.is_empty() => Ok(to("/account/factor", None)),
        Ok(codes) => {
            let page = Frame { body: "main--read", ..visitor.frame(&app, "回復コード", "P-210", "") };
            Ok(show(&RecoveryPage { page, codes })?)
        }
        Err(problem) if problem.items().is_empty() => Err(problem.into()),
        Err(problem) => {
            let mut response = show(&page(&app, &visitor, &name, problem.items()))?;
            *response.status_mut() = problem.status;
            Ok(response)
        }
    }
}

pub(crate) async fn remove(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &posted.visitor;
    let removed = app.platform.remove_passkey(caller, posted.form.get("passkey"), context).await;
    removed.map_err(Problem::from)?;
    Ok(to("/account/factor", None))
}
