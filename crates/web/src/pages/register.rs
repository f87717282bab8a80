//! 利用者を登録 (P-102, P-103, P-106): the four items of the card. Which of them did not fit is never said.

use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show};
use crate::api::identification::scanned;
use crate::api::people::Registration;
use crate::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use kiban_service::Registered;

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
    reads_cards: bool,
}

/// The same without typing: one line that was scanned.
#[derive(Template)]
#[template(path = "scan.html")]
struct ScanPage {
    page: Frame,
    words: &'static ScanWords,
    error: String,
    makes_plan: bool,
    may_make_plan: bool,
}

/// What differs between the two.
struct ScanWords {
    path: &'static str,
    /// Name of the field, and of the item in problems.
    item: &'static str,
    title: &'static str,
    lead: &'static str,
    steps: &'static [&'static str],
    label: &'static str,
}

const CARD: ScanWords = ScanWords {
    path: "/users/new/card",
    item: "statement",
    title: "マイナンバーカードを読み取る",
    lead: "本人の顔を目で見て確かめてから、カードを読み取ります。暗証番号とマイナンバーは、この画面に入りません。",
    steps: &[
        "カードをカードリーダーに置き、読み取りアプリを開きます。",
        "本人に暗証番号を入れてもらいます（アプリの中だけで使います）。",
        "アプリの「読み取り結果」を、下の欄に入れます。2分以内に、一度だけ使えます。",
    ],
    label: "読み取り結果",
};

const QR: ScanWords = ScanWords {
    path: "/users/new/qr",
    item: "notice",
    title: "お知らせのQRコードを読み取る",
    lead: "本人の顔を目で見て確かめてから、市区町村が送ったお知らせの QRコードを読み取ります。",
    steps: &[
        "下の欄をえらび、QRコードリーダーをお知らせの QRコードに向けます。",
        "リーダーが欄に文字を入れます。スマートフォンのカメラで読んだときは、読み取った文字を貼り付けます。",
    ],
    label: "QRコードの内容",
};

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
        reads_cards: app.platform.reads_cards(),
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
        Ok(registered) => return next(&app, &visitor, &registered),
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

/// To the consent where this office takes it, else to the page of the person.
fn next(app: &App, visitor: &Visitor, registered: &Registered) -> Result<Response, Away> {
    let next = if super::consent::is_taker(app, visitor)? { "/consent" } else { "" };
    Ok(to(&format!("/p/{}{next}", registered.handle), None))
}

pub(crate) async fn card_form(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    if !app.platform.reads_cards() {
        return Err(Problem::unknown().into());
    }
    scan_form(&app, &visitor, &CARD)
}

pub(crate) async fn qr_form(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    scan_form(&app, &visitor, &QR)
}

fn scan_form(app: &App, visitor: &Visitor, words: &'static ScanWords) -> Result<Response, Away> {
    if visitor.caller.office.is_none() {
        return Err(Problem::unknown().into());
    }
    Ok(show(&scan(app, visitor, words, false)?)?)
}

fn scan(app: &App, visitor: &Visitor, words: &'static ScanWords, makes_plan: bool) -> Result<ScanPage, Problem> {
    Ok(ScanPage {
        page: Frame { body: "main--read", ..visitor.frame(app, words.title, "P-212", "/users/new") },
        words,
        error: String::new(),
        makes_plan,
        may_make_plan: app.platform.may_make_plans(&visitor.caller, &visitor.context)?,
    })
}

pub(crate) async fn by_card(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let makes_plan = form.get("makes_plan") == "yes";
    let scanned = scanned(CARD.item, form.get(CARD.item).to_owned(), makes_plan);
    let registered = app.platform.register_by_card(&visitor.caller, scanned, &visitor.context).await;
    after_scan(&app, &visitor, &CARD, (registered, makes_plan))
}

pub(crate) async fn by_qr(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let makes_plan = form.get("makes_plan") == "yes";
    let scanned = scanned(QR.item, form.get(QR.item).to_owned(), makes_plan);
    let registered = app.platform.register_by_notice(&visitor.caller, scanned, &visitor.context).await;
    after_scan(&app, &visitor, &QR, (registered, makes_plan))
}

fn after_scan(
    app: &App,
    visitor: &Visitor,
    words: &'static ScanWords,
    (registered, makes_plan): (Result<Registered, Problem>, bool),
) -> Result<Response, Away> {
    let problem = match registered {
        Ok(registered) => return next(app, visitor, &registered),
        Err(problem) => problem,
    };
    let error = match problem.code {
        "not_matched" => {
            "読み取った内容と一致する人が見つかりません。被保険者証を見て入力するか、市区町村に電話で確かめてください。"
                .to_owned()
        }
        _ => match problem.items().into_iter().next() {
            Some((_, message)) => message,
            None => return Err(problem.into()),
        },
    };
    let mut page = scan(app, visitor, words, makes_plan)?;
    page.error = error;
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
