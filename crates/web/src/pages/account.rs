//! One's own account (P-185, P-210): the password.

use super::visitor::{Away, Posted, Visitor, cookie, to};
use super::{Frame, show};
use crate::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use kiban_service::PasswordChange;

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage {
    page: Frame,
    /// Whether the password is an initial one: nothing else is open.
    is_initial: bool,
    /// Field and message.
    errors: Vec<(String, String)>,
}

impl PasswordPage {
    fn message(&self, name: &str) -> Option<&str> {
        self.errors.iter().find(|(field, _)| field == name).map(|(_, text)| text.as_str())
    }
}

fn password_page(app: &App, visitor: &Visitor) -> PasswordPage {
    let is_initial = app.platform.must_change_password(&visitor.caller);
    let mut page = Frame { body: "main--read", ..visitor.frame(app, "パスワードを変える", "P-210", "") };
    if is_initial {
        page.menu = &[];
    }
    PasswordPage { page, is_initial, errors: Vec::new() }
}

pub(crate) async fn password_form(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    Ok(show(&password_page(&app, &visitor))?)
}

pub(crate) async fn change_password(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let (new_password, again) = (form.as_typed("new_password").to_owned(), form.as_typed("again"));
    let fault = |item: &str, text: &str| Problem::invalid(vec![kiban_service::ItemFault::new(item, text)]);
    let change = if new_password == again {
        Ok(PasswordChange { old_password: form.as_typed("old_password").to_owned(), new_password })
    } else {
        Err(fault("again", "新しいパスワードと違います。同じものを2回入力してください"))
    };
    let problem = match app.platform.change_password(&visitor.caller, change, &visitor.context).await {
        Ok(session) => {
            let seconds = (session.expires_at.as_second() - visitor.context.now.as_second()).max(0);
            let next = super::login::first_page(visitor.caller.organization);
            return Ok(to(next, Some(cookie(&session.token, seconds))));
        }
        Err(problem) => problem,
    };
    let mut html = password_page(&app, &visitor);
    html.errors = problem.items();
    if html.errors.is_empty() {
        return Err(problem.into());
    }
    html.page.has_errors = true;
    let mut response = show(&html)?;
    *response.status_mut() = problem.status;
    Ok(response)
}
