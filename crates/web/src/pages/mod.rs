//! The WEB service in a browser: pages rendered by the server, forms that need no script (P-210…P-222).
//!
//! `visitor` knows who asks (a cookie over a certificate) and takes forms only from our own pages; each other file is one
//! part of the service and calls the same use cases as the API. Every value is escaped by the templates
//! (`crates/web/templates`). No address, title or log holds a person's number or name.

pub(crate) mod account;
pub(crate) mod admin;
pub(crate) mod announcements;
pub(crate) mod applications;
pub(crate) mod apply;
pub(crate) mod certificates;
pub(crate) mod consent;
pub(crate) mod disaster;
pub(crate) mod door;
pub(crate) mod help;
pub(crate) mod inbox;
mod kept;
pub(crate) mod letters;
pub(crate) mod life;
pub(crate) mod login;
pub(crate) mod look;
pub(crate) mod me;
pub(crate) mod notice;
pub(crate) mod operator;
pub(crate) mod opinion;
pub(crate) mod packages;
pub(crate) mod paper;
pub(crate) mod passkey;
pub(crate) mod person;
pub(crate) mod plan_tables;
pub(crate) mod plans;
mod proof;
pub(crate) mod public;
mod qr;
pub(crate) mod register;
pub(crate) mod renewals;
pub(crate) mod requests;
pub(crate) mod rules;
pub(crate) mod self_check;
pub(crate) mod selftest;
pub(crate) mod staff_looks;
pub(crate) mod start;
pub(crate) mod statistics;
pub(crate) mod switches;
pub(crate) mod timeline;
pub(crate) mod today;
pub(crate) mod users;
pub(crate) mod visitor;
mod words;

use crate::api::Answer;
use crate::{App, Problem};
use askama::Template;
use axum::Extension;
use axum::response::{Html, IntoResponse, Response};
use kiban_domain::Organization;

/// What every page shows around its content.
#[derive(Default)]
pub(crate) struct Frame {
    title: String,
    /// Classes of the content.
    body: &'static str,
    /// 画面番号, what the help desk asks for first.
    screen: &'static str,
    who: Option<Who>,
    /// Stays on every page while a disaster mode is open for the visitor (P-120).
    banner: Option<Banner>,
    menu: &'static [(&'static str, &'static str)],
    /// The item of the menu the page belongs to.
    here: &'static str,
    /// Proves that a form comes from a page of this log-in; empty without one.
    form_token: String,
    /// Minutes after which a log-in nobody uses ends, for the page to say so before; 0 where it does not.
    idle_minutes: i64,
    public_url: String,
    has_errors: bool,
}

/// 災害時モード　運用中: what happened, for whom and until when.
struct Banner {
    events: String,
    areas: String,
    until: String,
}

/// Whose page it is, on every screen and every print (P-211).
struct Who {
    code_name: &'static str,
    code: String,
    name: String,
    /// 氏名（職種）
    staff: String,
}

impl Who {
    fn of(organization: Organization, app: &App) -> Self {
        let (code_name, code, name) = match organization {
            Organization::Office(number) => {
                let office = app.platform.standing().office(number).map(|office| office.name.clone());
                ("事業所番号", number.to_string(), office.unwrap_or_default())
            }
            Organization::Municipality(number) => {
                ("保険者番号", number.to_string(), words::city(number.as_str()).unwrap_or_default())
            }
            Organization::Prefecture(code) => ("都道府県コード", code.to_string(), String::new()),
            Organization::Operator => ("", String::new(), "運用者".to_owned()),
        };
        Self { code_name, code, name, staff: String::new() }
    }
}

/// In front of which pages somebody sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Those of an organisation, and the public ones.
    Staff,
    /// The person's own.
    Person,
}

/// Marks an answer as a page of ours whatever its status is, such as a form that comes back with what is to be put right.
#[derive(Clone, Copy)]
pub(crate) struct IsPage;

/// Marks a page with a script: no other page may run one.
#[derive(Clone, Copy)]
pub(crate) struct HasScript;

fn show(template: &impl Template) -> Answer {
    match template.render() {
        // What somebody typed is escaped, so that only our own templates have one.
        Ok(html) if html.contains("<script src=\"/") => {
            Ok((Extension(HasScript), Extension(IsPage), Html(html)).into_response())
        }
        Ok(html) => Ok((Extension(IsPage), Html(html)).into_response()),
        Err(error) => Err(Problem::internal(format!("a page was not rendered: {error}"))),
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    page: Frame,
    detail: &'a str,
    items: Vec<String>,
    is_log_in: bool,
    request_id: &'a str,
}

/// A problem the way a browser shows it. `None` when that fails: the document then takes its place.
pub(crate) fn problem(problem: &Problem, reader: Reader, request_id: &str, public_url: &str) -> Option<Response> {
    if reader == Reader::Person {
        return me::problem(problem, request_id);
    }
    let (title, detail) = match problem.code {
        // One answer for what is not there and what may not be known.
        "unknown" => ("ページが見つかりません。または、見ることができません。", "担当利用者の一覧から開いてください。"),
        _ => (problem.title.as_str(), problem.detail.as_str()),
    };
    let page = Frame {
        title: title.to_owned(),
        body: "main--read",
        has_errors: true,
        public_url: public_url.to_owned(),
        ..Frame::default()
    };
    let items = problem.items().into_iter().map(|(_, message)| message).collect();
    let is_log_in = matches!(problem.code, "login_required" | "binding");
    let html = ProblemPage { page, detail, items, is_log_in, request_id }.render().ok()?;
    Some((problem.status, Html(html)).into_response())
}
