//! Log-in of a person at a screen (P-210): the certificate was checked before the page; account and password follow.

use super::kept::{Kept, offer};
use super::passkey::answer_of;
use super::visitor::{Away, Posted, Visitor, cookie, no_cookie, require_own_page, to};
use super::{Frame, Who, show};
use crate::api::Answer;
use crate::caller::Certified;
use crate::input::{Form, Query};
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use kiban_service::{LogIn, LoggedIn, Mailed, Stage};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "login.html")]
pub(super) struct LogInPage {
    page: Frame,
    organization: String,
    account: String,
    error: Option<String>,
    /// The log-in before ended because nobody asked for anything.
    was_idle: bool,
    /// What was typed when that log-in had ended.
    kept: String,
}

/// Why somebody is at the log-in again.
#[derive(Deserialize)]
pub(crate) struct Why {
    why: Option<String>,
}

pub(crate) async fn form(State(app): State<App>, peer: Certified, Query(query): Query<Why>) -> Answer {
    let mut html = log_in_page(&app, &peer, String::new(), None, None);
    html.was_idle = query.is_ok_and(|query| query.why.as_deref() == Some("idle"));
    show(&html)
}

/// The page of the log-in, with what is kept for the time after it.
pub(super) fn log_in_page(
    app: &App,
    peer: &Certified,
    account: String,
    error: Option<String>,
    kept: Option<&Kept>,
) -> LogInPage {
    let who = Who::of(peer.organization, app);
    let organization = who.name.clone();
    let frame = Frame {
        title: "ログイン".to_owned(),
        body: "main--read",
        screen: "P-210",
        who: Some(who),
        public_url: app.settings.public_url.clone(),
        has_errors: error.is_some(),
        ..Frame::default()
    };
    LogInPage { page: frame, organization, account, error, was_idle: false, kept: Kept::text(kept) }
}

pub(crate) async fn log_in(State(app): State<App>, peer: Certified, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    require_own_page(&parts.headers, &parts.uri)?;
    let form = Form::read(&parts.headers, body).await?;
    let account = form.get("account").to_owned();
    let asked = LogIn { account: account.clone(), password: form.as_typed("password").to_owned(), software: None };
    let kept = Kept::of(&form);
    match app.platform.log_in(&peer.peer, asked, &peer.context).await {
        Ok(session) => {
            let seconds = (session.expires_at.as_second() - peer.context.now.as_second()).max(0);
            if let Some(kept) = kept.filter(|_| !session.must_change_password)
                && let Some(response) = go_on(&app, &peer, &session, &kept, seconds).await?
            {
                return Ok(response);
            }
            let next = match (session.awaits_factor, session.mailed) {
                (true, Some(mailed)) => format!("/login/code?mailed={}", mailed.code()),
                (true, None) => "/login/code".to_owned(),
                (false, _) => after(&session).to_owned(),
            };
            Ok(to(&next, Some(cookie(&session.token, seconds))))
        }
        Err(error) => {
            let problem = Problem::from(error);
            if problem.status != StatusCode::UNAUTHORIZED {
                return Err(problem);
            }
            let text = format!("{}。{}", problem.title, problem.detail);
            let mut response: Response = show(&log_in_page(&app, &peer, account, Some(text), kept.as_ref()))?;
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            Ok(response)
        }
    }
}

#[derive(Template)]
#[template(path = "code.html")]
struct CodePage {
    page: Frame,
    error: Option<String>,
    by_mail: bool,
    has_passkey: bool,
    /// An app or e-mail, beside the recovery codes.
    has_code: bool,
    /// What became of the mail, where there was one.
    mailed: String,
    /// What was typed when the log-in before had ended.
    kept: String,
}

/// What became of the mail with the code.
#[derive(Deserialize)]
pub(crate) struct CodeQuery {
    mailed: Option<String>,
}

/// Goes on with what is kept: the question for the second factor, or the form itself. What somebody else typed is let go.
async fn go_on(
    app: &App,
    peer: &Certified,
    session: &LoggedIn,
    kept: &Kept,
    seconds: i64,
) -> Result<Option<Response>, Problem> {
    let (stage, peer, context) = (Stage::Code, peer.peer.clone(), peer.context.clone());
    let caller = app.platform.authenticate_at_screen(stage, peer, &session.token, &context).await?;
    let visitor = Visitor::of(caller, context, session.token.clone());
    if !kept.is_of(&visitor) {
        return Ok(None);
    }
    let mut response = if session.awaits_factor {
        let mut html = code_page(app, &visitor, None).await?;
        html.mailed = session.mailed.map(|mailed| mailed.code().to_owned()).unwrap_or_default();
        html.kept = Kept::text(Some(kept));
        show(&html)?
    } else {
        offer(app, &visitor, kept)?
    };
    response.headers_mut().insert(SET_COOKIE, cookie(&session.token, seconds));
    Ok(Some(response))
}

/// Where a log-in leads that has come the whole way.
fn after(session: &LoggedIn) -> &'static str {
    if session.must_change_password { "/account/password" } else { FIRST_PAGE }
}

async fn code_page(app: &App, visitor: &Visitor, error: Option<String>) -> Result<CodePage, Problem> {
    let frame = visitor.frame(app, "数字の入力", "P-210", "");
    let page = Frame { body: "main--read", menu: &[], has_errors: error.is_some(), ..frame };
    let by_mail = app.platform.factor_is_mail(&visitor.caller).await?;
    let (has_passkey, has_code) =
        (app.platform.has_passkey(&visitor.caller), app.platform.has_code_factor(&visitor.caller));
    Ok(CodePage { page, error, by_mail, has_passkey, has_code, mailed: String::new(), kept: String::new() })
}

pub(crate) async fn code_form(State(app): State<App>, visitor: Visitor, Query(query): Query<CodeQuery>) -> Answer {
    let mut html = code_page(&app, &visitor, None).await?;
    html.mailed = query.ok().and_then(|query| query.mailed).unwrap_or_default();
    show(&html)
}

/// Sends another code.
pub(crate) async fn send_code(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let sent = app.platform.send_code(&visitor.caller, &visitor.context).await;
    let mailed = Mailed::of(sent).map_err(Problem::from)?;
    if let Some(kept) = Kept::of(&form) {
        let mut html = code_page(&app, &visitor, None).await?;
        html.mailed = mailed.code().to_owned();
        html.kept = Kept::text(Some(&kept));
        return Ok(show(&html)?);
    }
    Ok(to(&format!("/login/code?mailed={}", mailed.code()), None))
}

pub(crate) async fn answer_code(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let kept = Kept::of(&form);
    let answered = match answer_of(&form)? {
        Some(answer) => {
            app.platform.answer_passkey(&visitor.caller, &answer, &app.settings.site, &visitor.context).await
        }
        None => app.platform.answer_factor(&visitor.caller, form.get("code"), &visitor.context).await,
    };
    match answered {
        Ok(session) => {
            let seconds = (session.expires_at.as_second() - visitor.context.now.as_second()).max(0);
            if let Some(kept) = kept.filter(|kept| kept.is_of(&visitor) && !session.must_change_password) {
                let visitor = Visitor::of(visitor.caller, visitor.context, session.token.clone());
                let mut response = offer(&app, &visitor, &kept)?;
                response.headers_mut().insert(SET_COOKIE, cookie(&session.token, seconds));
                return Ok(response);
            }
            Ok(to(after(&session), Some(cookie(&session.token, seconds))))
        }
        Err(error) => {
            let problem = Problem::from(error);
            if !matches!(problem.code, "wrong_code" | "wrong_passkey" | "locked") {
                return Err(problem.into());
            }
            let text = format!("{}。{}", problem.title, problem.detail);
            let mut html = code_page(&app, &visitor, Some(text)).await?;
            html.kept = Kept::text(kept.as_ref());
            let mut response = show(&html)?;
            *response.status_mut() = problem.status;
            Ok(response)
        }
    }
}

pub(crate) async fn log_out(State(app): State<App>, posted: Posted) -> Answer {
    let Visitor { caller, token, context, .. } = &posted.visitor;
    app.platform.log_out(caller, token, context).await?;
    Ok(to("/login", Some(no_cookie())).into_response())
}

/// The page the day begins with.
pub(crate) const FIRST_PAGE: &str = "/today";
