//! 利用開始 (P-131, P-150, P-220): the state of a municipality, the load it would be started on, and the switch-over, confirmed on a page of
//! its own by somebody who has just proven who they are. The municipality does it for itself, the operator for each.

use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show, words};
use crate::input::{Form, Query};
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use kiban_domain::dates::{DateError, parse_typed};
use kiban_domain::municipality::StartState;
use kiban_domain::{Date, InsurerNumber, Organization};
use kiban_service::{ItemFault, Reconciliation, StartChange, StartView};
use serde::Deserialize;

/// Closed words.
#[derive(Deserialize, Default)]
pub(crate) struct Wanted {
    done: Option<String>,
}

#[derive(Template)]
#[template(path = "start.html")]
struct StartPage {
    page: Frame,
    /// Its own address, which the forms go to.
    here: String,
    is_operator: bool,
    done: &'static str,
    city: String,
    number: String,
    state: &'static str,
    state_name: &'static str,
    tag: &'static str,
    day: String,
    /// The load, once there is one.
    load: Option<Load>,
    needed: String,
    needs_reason: bool,
    today: String,
    typed: Typed,
    /// Field and message.
    errors: Vec<(String, String)>,
}

/// What a start would rest on.
struct Load {
    receipt: String,
    base: String,
    read: String,
    refused: String,
    people: String,
    packages: Vec<(String, String)>,
}

/// What was typed.
#[derive(Default)]
struct Typed {
    act: String,
    date: String,
    reason: String,
}

#[derive(Template)]
#[template(path = "start_confirm.html")]
struct ConfirmPage {
    page: Frame,
    here: String,
    city: String,
    from: String,
    to: String,
    act: &'static str,
    button: &'static str,
    what: &'static str,
    undo: &'static str,
    people: String,
    refused: String,
    seen: String,
    typed: Typed,
}

/// Which loads were on the page when a start was confirmed, so that it is not given for others.
fn seen(load: Option<&Reconciliation>) -> String {
    load.map(|load| format!("{}.{}.{}", load.receipt, load.people, load.refused)).unwrap_or_default()
}

impl StartPage {
    fn message(&self, name: &str) -> Option<&str> {
        self.errors.iter().find(|(field, _)| field == name).map(|(_, text)| text.as_str())
    }
}

/// Whose start it is, and the address of its page.
fn insurer_of(visitor: &Visitor, given: Option<&str>) -> Result<(InsurerNumber, String), Problem> {
    match (visitor.caller.organization, given) {
        (Organization::Municipality(own), None) => Ok((own, "/start".to_owned())),
        (Organization::Operator, Some(given)) => {
            let number = InsurerNumber::parse(given).map_err(|_| Problem::unknown())?;
            Ok((number, format!("/operator/insurers/{number}")))
        }
        _ => Err(Problem::unknown()),
    }
}

fn city(number: InsurerNumber) -> String {
    words::city(number.as_str()).unwrap_or_else(|| format!("保険者番号 {number}"))
}

fn number(count: i64) -> String {
    words::thousands(u32::try_from(count).unwrap_or(u32::MAX))
}

fn said(start: StartState) -> String {
    let day = start.date().map(|day| format!("　{}", words::day(day))).unwrap_or_default();
    format!("{}{day}", start.name_ja())
}

async fn start_page(app: &App, visitor: &Visitor, insurer: InsurerNumber, here: &str) -> Result<StartPage, Problem> {
    let Visitor { caller, context, .. } = visitor;
    let StartView { start, state_name, reconciliation, needed, .. } =
        app.platform.view_start(caller, insurer, context).await?;
    let is_operator = caller.organization == Organization::Operator;
    let load = reconciliation.map(|load| Load {
        receipt: load.receipt,
        base: load.base_date.map(words::day).unwrap_or_default(),
        read: number(load.read),
        refused: number(load.refused),
        people: number(load.people),
        packages: load.packages.into_iter().map(|one| (one.receipt, number(one.refused))).collect(),
    });
    let menu = if is_operator { "/operator" } else { "/start" };
    Ok(StartPage {
        page: Frame { body: "main--read", ..visitor.frame(app, "利用開始", "P-220", menu) },
        here: here.to_owned(),
        is_operator,
        done: "",
        city: city(insurer),
        number: insurer.to_string(),
        state: start.code(),
        state_name,
        tag: match start {
            StartState::Started(_) => "tag--ok",
            StartState::Planned(_) => "tag--new",
            StartState::Coordinating => "tag--do",
            StartState::Undecided => "tag--off",
        },
        day: start.date().map(words::day).unwrap_or_default(),
        needs_reason: load.as_ref().is_some_and(|load| !load.packages.is_empty()),
        load,
        needed: needed.unwrap_or_default(),
        today: words::day(context.today()),
        typed: Typed::default(),
        errors: Vec::new(),
    })
}

pub(crate) async fn own(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    view(&app, &visitor, None, wanted.unwrap_or_default()).await
}

pub(crate) async fn of_operator(
    State(app): State<App>,
    visitor: Visitor,
    Path(insurer): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    view(&app, &visitor, Some(&insurer), wanted.unwrap_or_default()).await
}

async fn view(app: &App, visitor: &Visitor, given: Option<&str>, wanted: Wanted) -> Result<Response, Away> {
    let (insurer, here) = insurer_of(visitor, given)?;
    let mut html = start_page(app, visitor, insurer, &here).await?;
    html.done = match wanted.done.as_deref() {
        Some("announce") => "登録しました。利用開始日の一覧に出ます。",
        Some("start") => "利用を開始しました。",
        Some("undo") => "利用開始を取り消しました。",
        _ => "",
    };
    Ok(show(&html)?)
}

pub(crate) async fn change_own(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    change(&app, posted, None).await
}

pub(crate) async fn change_of_operator(
    State(app): State<App>,
    Path(insurer): Path<String>,
    posted: Posted,
) -> Result<Response, Away> {
    change(&app, posted, Some(insurer)).await
}

/// What a form asks for: closed word, the state it leads to.
fn wanted_start(form: &Form, today: Date) -> Result<(&'static str, StartState), Problem> {
    let fault = |item: &str, text: &str| Problem::invalid(vec![ItemFault::new(item, text)]);
    let day = |item: &str| parse_typed(form.get(item)).map_err(|error: DateError| fault(item, &error.message_ja()));
    match form.get("act") {
        "coordinating" => Ok(("coordinating", StartState::Coordinating)),
        "planned" if form.get("date").is_empty() => Err(fault("date", "開始を予定する日を入れてください。")),
        "planned" => Ok(("planned", StartState::Planned(day("date")?))),
        "start" => Ok(("start", StartState::Started(today))),
        "undo" if form.get("reason").is_empty() => {
            Err(fault("reason", "利用開始を取り消す理由を入力してください。取消は記録に残ります。"))
        }
        "undo" => Ok(("undo", StartState::Coordinating)),
        _ => Err(Problem::unknown()),
    }
}

/// Whether what is asked was confirmed with the data in view that are there now.
async fn is_sure(app: &App, visitor: &Visitor, insurer: InsurerNumber, form: &Form) -> Result<bool, Problem> {
    if form.get("sure") != "yes" {
        return Ok(false);
    }
    let view = app.platform.view_start(&visitor.caller, insurer, &visitor.context).await?;
    Ok(form.get("act") != "start" || form.get("seen") == seen(view.reconciliation.as_ref()))
}

async fn change(app: &App, posted: Posted, given: Option<String>) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let (insurer, here) = insurer_of(&visitor, given.as_deref())?;
    let Visitor { caller, context, .. } = &visitor;
    let text = |name: &str| form.get(name).to_owned();
    let typed = || Typed { act: text("act"), date: text("date"), reason: text("reason") };
    let problem = match wanted_start(&form, context.today()) {
        // The big ones are looked at once more before they are done.
        Ok((act @ ("start" | "undo"), start)) if !is_sure(app, &visitor, insurer, &form).await? => {
            return confirm(app, &visitor, (insurer, &here), (act, start), typed()).await;
        }
        Ok((act, start)) => {
            let reason = Some(text("reason")).filter(|reason| !reason.is_empty());
            let change = Ok::<_, Problem>(StartChange { start, reason });
            match app.platform.change_start(caller, insurer, change, context).await {
                Ok(_) => {
                    let done = if matches!(act, "start" | "undo") { act } else { "announce" };
                    return Ok(to(&format!("{here}?done={done}"), None));
                }
                Err(problem) => problem,
            }
        }
        Err(problem) => problem,
    };
    let mut html = start_page(app, &visitor, insurer, &here).await?;
    html.errors = match problem.code {
        "conflict" => vec![("start".to_owned(), problem.title.clone())],
        "invalid" => problem.items(),
        _ => return Err(problem.into()),
    };
    html.typed = typed();
    html.page.has_errors = true;
    let mut response = show(&html)?;
    *response.status_mut() =
        if problem.status.is_client_error() { problem.status } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok(response)
}

async fn confirm(
    app: &App,
    visitor: &Visitor,
    (insurer, here): (InsurerNumber, &str),
    (act, start): (&'static str, StartState),
    typed: Typed,
) -> Result<Response, Away> {
    let view = app.platform.view_start(&visitor.caller, insurer, &visitor.context).await.map_err(Problem::from)?;
    let menu = if here == "/start" { "/start" } else { "/operator" };
    let (button, what, undo) = match act {
        "start" => (
            "利用を開始する",
            "担当の事業所・医療機関・本人が、表の決まりの範囲で、この市区町村の被保険者の情報を見られるようになります。",
            "取り消せます。取り消すと、すぐに見られなくなります。見られた記録は残ります。",
        ),
        _ => (
            "利用開始を取り消す",
            "担当の事業所・医療機関・本人は、この市区町村の被保険者の情報を、すぐに見られなくなります。",
            "もう一度、開始できます。取り消したことは記録に残ります。",
        ),
    };
    let load = view.reconciliation.as_ref();
    Ok(show(&ConfirmPage {
        page: Frame { body: "main--read", ..visitor.frame(app, "利用開始の確認", "P-220", menu) },
        here: here.to_owned(),
        city: city(insurer),
        from: said(view.start),
        to: said(start),
        act,
        button,
        what,
        undo,
        people: load.map(|load| number(load.people)).unwrap_or_default(),
        refused: load.map(|load| number(load.refused)).unwrap_or_default(),
        seen: seen(load),
        typed,
    })?)
}
