//! The person's own pages on the public listener (ui: いまの状況, だれが見たか, 同意, 事業所): larger type in three sizes, plain words,
//! spaces between phrases. Everything that is known comes from the same use cases as everywhere else.

pub(crate) mod log_in;
pub(crate) mod own;
pub(crate) mod visitor;

use crate::Problem;
use askama::Template;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};

/// Name of the cookie with the size of the type.
const SIZE: &str = "__Host-kiban-size";

/// What every page of the person shows around its content.
#[derive(Default)]
pub(crate) struct MeFrame {
    title: String,
    /// `large`, `largest`, or nothing.
    size: &'static str,
    /// 画面番号
    screen: &'static str,
    menu: &'static [(&'static str, &'static str)],
    here: &'static str,
    form_token: String,
    /// Whose information a proxy is looking at.
    strip: String,
    has_errors: bool,
}

impl MeFrame {
    fn new(title: &str, screen: &'static str, headers: &HeaderMap) -> Self {
        Self { title: title.to_owned(), screen, size: size_of(headers), ..Self::default() }
    }
}

/// The value of the one cookie of this name; none when there are two.
pub(crate) fn cookie_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut ours = pairs.filter(|(given, _)| *given == name).map(|(_, value)| value);
    ours.next().filter(|_| ours.next().is_none())
}

/// A cookie of this host for so many seconds. `Lax`: it must come along when the provider sends the browser back; nothing a GET
/// asks for changes anything, and a form needs our own `Origin` and a token of the log-in besides.
pub(crate) fn cookie(name: &str, value: &str, seconds: i64) -> Option<HeaderValue> {
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax");
    HeaderValue::from_str(&text).ok()
}

fn size_of(headers: &HeaderMap) -> &'static str {
    match cookie_of(headers, SIZE) {
        Some("large") => "large",
        Some("largest") => "largest",
        _ => "",
    }
}

#[derive(Template)]
#[template(path = "me/problem.html")]
struct ProblemPage<'a> {
    page: MeFrame,
    detail: &'a str,
    items: Vec<String>,
    request_id: &'a str,
}

/// A problem the way a person reads it. `None` when that fails: the document then takes its place.
pub(crate) fn problem(problem: &Problem, request_id: &str) -> Option<Response> {
    let (title, detail) = match problem.code {
        "unknown" => ("ページが見つかりません。または、見ることができません。", "はじめの画面から ひらいてください。"),
        "unavailable" => (
            "いま使えません",
            "すこし待ってから、もう一度 お試しください。急ぐときは、市区町村に 電話で たずねてください。",
        ),
        "request_quota" => ("操作が 多すぎます", "すこし待ってから、もう一度 お試しください。"),
        _ => (problem.title.as_str(), problem.detail.as_str()),
    };
    let page = MeFrame { title: title.to_owned(), has_errors: true, ..MeFrame::default() };
    let items = problem.items().into_iter().map(|(_, message)| message).collect();
    let html = ProblemPage { page, detail, items, request_id }.render().ok()?;
    Some((problem.status, Html(html)).into_response())
}
