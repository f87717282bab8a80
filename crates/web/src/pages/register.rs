//! 利用者を登録 (P-102, P-103, P-106): the four items of the card. Which of them did not fit is never said.

use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show};
use crate::api::people::Registration;
use crate::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::Response;

const ITEMS: [&str; 5] = ["insurer_number", "insured_number", "kana", "birth", "sex"];
/// Their names on the page.
const NAMES: [&str; 5] = ["保険者番号", "被保険者番号", "カナ氏名", "生年月日", "性別"];

#[derive(Template)]
#[template(path = "register.html")]
struct RegisterPage {
    page: Frame,
    summary: String,
    /// Field and message.
    errors: Vec<(String, String)>,
    /// The same for the summary, in the order of the page, each with the name of its field.
    lines: Vec<(String, String)>,
    typed: Vec<(&'static str, String)>,
    may_make_plan: bool,
}

impl RegisterPage {
    fn typed(&self, name: &str) -> &str {
        self.typed.iter().find(|(field, _)| *field == name).map_or("", |(_, text)| text)
    }

    fn has(&self, name: &str) -> bool {
        self.errors.iter().any(|(field, _)| field == name)
    }

    fn message(&self, name: &str) -> &str {
        self.errors.iter().find(|(field, _)| field == name).map_or("", |(_, text)| text)
    }
}

fn empty(app: &App, visitor: &Visitor) -> Result<RegisterPage, Problem> {
    Ok(RegisterPage {
        page: Frame { body: "main--read", ..visitor.frame(app, "利用者を登録", "P-212", "/users/new") },
        summary: String::new(),
        errors: Vec::new(),
        lines: Vec::new(),
        typed: Vec::new(),
        may_make_plan: app.platform.may_make_plans(&visitor.caller, &visitor.context)?,
    })
}

pub(crate) async fn form(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    if visitor.caller.office.is_none() {
        return Err(Problem::unknown().into());
    }
    Ok(show(&empty(&app, &visitor)?)?)
}

pub(crate) async fn register(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let typed = |name: &str| form.get(name).to_owned();
    let request = Registration::typed(ITEMS.map(typed), form.get("makes_plan") == "yes");
    let problem = match app.platform.register_office(&visitor.caller, request, &visitor.context).await {
        Ok(registered) => {
            let next = if super::consent::is_taker(&app, &visitor)? { "/consent" } else { "" };
            return Ok(to(&format!("/p/{}{next}", registered.handle), None));
        }
        Err(problem) => problem,
    };
    let mut page = empty(&app, &visitor)?;
    page.errors = problem.items();
    page.summary = match (problem.code, page.errors.len()) {
        ("not_matched", _) => "入力した内容と一致する人が見つかりません".to_owned(),
        (_, 0) => return Err(problem.into()),
        (_, count) => format!("直すところが{count}つあります"),
    };
    if problem.code == "not_matched" {
        let text = "被保険者証をもう一度見て、すべての項目を確かめてください。合っているときは、市区町村に電話で確かめてください。";
        page.errors = vec![(String::new(), text.to_owned())];
    }
    page.lines = lines(&page.errors);
    page.typed = [&ITEMS[..], &["makes_plan"][..]].concat().into_iter().map(|name| (name, typed(name))).collect();
    page.page.has_errors = true;
    let mut response = show(&page)?;
    *response.status_mut() = problem.status;
    Ok(response)
}

fn lines(errors: &[(String, String)]) -> Vec<(String, String)> {
    let place = |field: &str| ITEMS.iter().position(|item| *item == field);
    let mut sorted: Vec<&(String, String)> = errors.iter().collect();
    sorted.sort_by_key(|(field, _)| place(field).unwrap_or(ITEMS.len()));
    let named = sorted.into_iter().map(|(field, message)| match place(field).and_then(|at| NAMES.get(at)) {
        Some(name) => (field.clone(), format!("{name}：{message}")),
        None => (field.clone(), message.clone()),
    });
    named.collect()
}
