//! What was typed when a log-in had ended: the form a page of that log-in sent is not carried out, but goes with the questions of
//! the next log-in and is offered again after it. It is held by the browser alone, in the pages between.

use super::login::log_in_page;
use super::visitor::{Away, Visitor, require_own_page, to_pages_of};
use super::{Frame, show};
use crate::caller::Certified;
use crate::input::Form;
use crate::router::{Listener, Route, route_of};
use crate::{App, Problem};
use askama::Template;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};

/// The field of the pages of a log-in that holds what is kept.
pub(crate) const FIELD: &str = "kept";

/// A form that waits for a log-in.
#[derive(Serialize, Deserialize)]
pub(crate) struct Kept {
    path: String,
    /// Whose log-in it was typed in: [`Visitor::writer`].
    writer: String,
    fields: Vec<(String, String)>,
}

impl Kept {
    /// What was typed into a form of ours; nothing where nothing was, or where the form stands before a log-in. What is asked for
    /// anew is not in it.
    pub(crate) fn typed(parts: &Parts, form: &Form) -> Option<Self> {
        let token = form.get("form_token");
        let writer = token.get(token.len() / 2..).filter(|_| token.len() == 64)?.to_owned();
        let typed = form.fields().filter(|(name, _)| !super::proof::is_own(name));
        let fields = typed.map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        Self { path: parts.uri.path().to_owned(), writer, fields }.checked()
    }

    /// What a page of a log-in brought along; nothing when it is no form of ours.
    pub(crate) fn of(form: &Form) -> Option<Self> {
        serde_json::from_str::<Self>(form.as_typed(FIELD)).ok()?.checked()
    }

    fn checked(self) -> Option<Self> {
        (!self.fields.is_empty() && route(&self.path).is_some()).then_some(self)
    }

    /// As the field holds it; empty when nothing is kept.
    pub(crate) fn text(kept: Option<&Self>) -> String {
        kept.and_then(|kept| serde_json::to_string(kept).ok()).unwrap_or_default()
    }

    /// Whether they typed it.
    pub(crate) fn is_of(&self, visitor: &Visitor) -> bool {
        self.writer == visitor.writer()
    }
}

/// The route of a form that may wait. Log-in, passwords and second factors begin anew.
fn route(path: &str) -> Option<&'static Route> {
    let waits = !["/login", "/logout", "/account"].iter().any(|begin| path.starts_with(begin));
    route_of(Listener::Organisations, &Method::POST, path).filter(|route| waits && !route.path.starts_with("/api/"))
}

/// Answers the form of a log-in that ended with the log-in, if a page of ours sent it and something was typed.
pub(crate) async fn keep(app: &App, parts: &mut Parts, body: Body, away: Away) -> Away {
    // A script that saves by itself asks for JSON, holds what was typed and says so itself.
    let by_script = parts.headers.get(header::ACCEPT).is_some_and(|accept| accept == "application/json");
    let is_own = !by_script && require_own_page(&parts.headers, &parts.uri).is_ok();
    let (true, Some(_), Ok(peer)) = (is_own, route(parts.uri.path()), Certified::from_request_parts(parts, app).await)
    else {
        return away;
    };
    let form = match Form::read(&parts.headers, body).await {
        Ok(form) => form,
        Err(problem) => return problem.into(),
    };
    let Some(kept) = Kept::typed(parts, &form) else { return away };
    match show(&log_in_page(app, &peer, String::new(), None, Some(&kept))) {
        Ok(response) => in_answer(response, StatusCode::UNAUTHORIZED),
        Err(problem) => problem.into(),
    }
}

fn in_answer(mut response: Response, status: StatusCode) -> Away {
    *response.status_mut() = status;
    Away::Page(Box::new(response))
}

/// Offers what was typed in an earlier log-in of the same account: another window logged in anew meanwhile.
pub(crate) fn offer_in_answer(app: &App, visitor: &Visitor, kept: &Kept) -> Result<Away, Problem> {
    Ok(in_answer(offer(app, visitor, kept)?, StatusCode::CONFLICT))
}

#[derive(Template)]
#[template(path = "kept.html")]
struct KeptPage<'a> {
    page: Frame,
    kept: &'a Kept,
    what: &'static str,
    /// The page the form stands on.
    back: &'a str,
}

/// The page after the log-in: the form, to be sent or not.
pub(crate) fn offer(app: &App, visitor: &Visitor, kept: &Kept) -> Result<Response, Problem> {
    let frame = visitor.frame(app, "入力の続き", "P-210", "");
    show(&KeptPage {
        page: Frame { body: "main--read", ..frame },
        what: route(&kept.path).map_or("", |route| route.summary),
        back: to_pages_of(&kept.path),
        kept,
    })
}
