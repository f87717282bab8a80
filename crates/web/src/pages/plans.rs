//! ケアプラン (P-142, P-218): sets of files that went to and came from other offices, sent to an office that can be reached, fetched,
//! answered with results, taken back, and registered once the person has agreed.

use super::visitor::{Away, Posted, Uploaded, Visitor, to};
use super::{Frame, show, words};
use crate::input::Query;
use crate::{App, Problem, slip_page};
use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use kiban_domain::OfficeNumber;
use kiban_domain::dates::{ServiceMonth, parse_typed};
use kiban_domain::office::OfficeClass;
use kiban_domain::slip::{SlipContent, SlipState};
use kiban_service::{ItemFault, Reachable, ReportedProblem, SlipFile, SlipPage, SlipSide, SlipView, SlipWanted};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Messages of one page.
const PAGE: i32 = 100;
const HERE: &str = "/plans";
const SCREEN: &str = "P-218";

/// What a file is, by the beginning of its name.
const FILES: [(&str, &str); 14] = [
    ("UP1KYO", "第1表　居宅サービス計画書(1)"),
    ("UP2KYO", "第2表　居宅サービス計画書(2)"),
    ("UP3KYO", "第3表　週間サービス計画表"),
    ("UPHOSOKU", "利用者補足情報"),
    ("UPPLAN", "第6表　サービス利用票（予定）"),
    ("UPSIKYU", "第7表　サービス利用票別表"),
    ("UPJSK", "第6表　サービス利用票（実績）"),
    ("DLT1KYO", "第1表の取消し"),
    ("DLTPLAN", "第6表（予定）の取消し"),
    ("DLTJSK", "第6表（実績）の取消し"),
    ("UPKIHON_IMAGE", "家族構成の画像"),
    ("UPKIHON", "利用者基本情報"),
    ("UPYOBO", "介護予防サービス・支援計画書"),
    ("DLT", "取消し"),
];

fn name_of_file(name: &str) -> &'static str {
    FILES.iter().find(|(start, _)| name.starts_with(start)).map_or("ファイル", |(_, words)| words)
}

/// Closed words, and the message after which the list goes on.
#[derive(Deserialize, Default)]
pub(crate) struct Wanted {
    side: Option<String>,
    after: Option<String>,
    done: Option<String>,
}

#[derive(Template)]
#[template(path = "plans.html")]
struct ListPage {
    page: Frame,
    is_sent: bool,
    may_send: bool,
    rows: Vec<Row>,
    /// The last one, when there may be more.
    next: String,
}

struct Row {
    slip: String,
    partner: String,
    content: &'static str,
    month: String,
    people: usize,
    sent: String,
    tag: (&'static str, &'static str),
    more: String,
}

pub(crate) async fn list(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    if visitor.caller.office.as_ref().is_none_or(|(_, class)| *class == OfficeClass::Hospital) {
        return Err(Problem::unknown().into());
    }
    let wanted = wanted.unwrap_or_default();
    let is_sent = wanted.side.as_deref() == Some("sent");
    let side = if is_sent { SlipSide::Sent } else { SlipSide::Received };
    let asked = Ok::<_, Problem>(SlipPage { state: None, limit: PAGE });
    let slips = app.platform.slips(&visitor.caller, side, asked, wanted.after.as_deref(), &visitor.context).await?;
    let is_full = slips.len() == PAGE as usize;
    let html = ListPage {
        page: visitor.frame(&app, "ケアプラン", SCREEN, HERE),
        is_sent,
        may_send: app.platform.may_send_slips(&visitor.caller, &visitor.context).is_ok(),
        next: slips.last().filter(|_| is_full).map(|slip| slip.slip.clone()).unwrap_or_default(),
        rows: slips.iter().map(|slip| row(slip, is_sent)).collect(),
    };
    Ok(show(&html)?)
}

/// 令和8年11月分
fn month_of(month: Option<ServiceMonth>) -> String {
    month.map_or_else(String::new, |month| format!("{}分", words::month(month.first_day())))
}

fn partner(name: Option<&str>, number: OfficeNumber) -> String {
    name.map_or_else(|| format!("事業所番号 {number}"), str::to_owned)
}

/// How a message stands, in the words of the side that looks at it.
fn tag(slip: &SlipView, is_sent: bool) -> (&'static str, &'static str) {
    match (slip.state, is_sent) {
        (SlipState::Sent, true) => ("", "相手はまだ受け取っていません"),
        (SlipState::Sent, false) => ("tag--do", "まだ受け取っていません"),
        (SlipState::Fetched, true) => ("tag--ok", "相手が受け取りました"),
        (SlipState::Fetched, false) => ("tag--ok", "受け取りました"),
        (SlipState::Answered, true) => ("tag--new", "実績が返ってきました"),
        (SlipState::Answered, false) => ("tag--ok", "実績を返しました"),
        (SlipState::Withdrawn, _) => ("tag--off", "取り消しました"),
    }
}

fn row(slip: &SlipView, is_sent: bool) -> Row {
    let (name, number) = if is_sent { (&slip.receiver_name, slip.receiver) } else { (&slip.sender_name, slip.sender) };
    let at = slip.withdrawn_at.or(slip.answered_at).or(slip.fetched_at);
    Row {
        slip: slip.slip.clone(),
        partner: partner(name.as_deref(), number),
        content: slip.content_name,
        month: month_of(slip.month),
        people: slip.people,
        sent: words::moment(slip.sent_at),
        tag: tag(slip, is_sent),
        more: at.map(words::moment).unwrap_or_default(),
    }
}

/// To whom a set is to go.
#[derive(Deserialize, Default)]
pub(crate) struct Aim {
    to: Option<String>,
    reply_to: Option<String>,
}

#[derive(Template)]
#[template(path = "plan_send.html")]
struct SendPage {
    page: Frame,
    /// The number that was asked for.
    to: String,
    reply_to: String,
    /// Name, number and whether it can be reached, once a number is known.
    partner: Option<Reachable>,
    error: String,
    files: Vec<JudgedFile>,
    /// Of the set as a whole.
    others: Vec<String>,
}

/// A file that was chosen, with what is to be put right in it.
struct JudgedFile {
    name: String,
    words: &'static str,
    problems: Vec<ReportedProblem>,
}

fn place(problem: &ReportedProblem) -> String {
    match (problem.line, problem.column) {
        (0, _) => "ファイル全体".to_owned(),
        (line, 0) => format!("{line}行目"),
        (line, column) => format!("{line}行目・{column}列目"),
    }
}

/// What is wrong, without the file and the place, which stand beside it.
fn told(problem: &ReportedProblem) -> String {
    let rest = problem.message.strip_prefix(&problem.file).and_then(|rest| rest.split_once(": "));
    rest.map_or(problem.message.as_str(), |(_, words)| words).to_owned()
}

impl SendPage {
    fn of(app: &App, visitor: &Visitor, aim: &Aim) -> Result<Self, Problem> {
        app.platform.may_send_slips(&visitor.caller, &visitor.context)?;
        let typed = aim.to.as_deref().unwrap_or_default().trim().to_owned();
        let mut page = Self {
            page: Frame {
                body: "main--read", ..visitor.frame(app, "ケアプランのファイルを送る", SCREEN, HERE)
            },
            to: typed.clone(),
            reply_to: aim.reply_to.clone().unwrap_or_default(),
            partner: None,
            error: String::new(),
            files: Vec::new(),
            others: Vec::new(),
        };
        if typed.is_empty() {
            return Ok(page);
        }
        match OfficeNumber::parse(&typed) {
            Ok(number) => {
                let asked = Ok::<_, Problem>(number);
                page.partner = Some(app.platform.reachable(&visitor.caller, asked, &visitor.context)?);
            }
            Err(error) => {
                page.error = error.message_ja();
                page.page.has_errors = true;
            }
        }
        Ok(page)
    }

    fn place(&self, problem: &ReportedProblem) -> String {
        place(problem)
    }

    fn told(&self, problem: &ReportedProblem) -> String {
        told(problem)
    }

    fn to_put_right(&self) -> usize {
        self.files.iter().map(|file| file.problems.len()).sum::<usize>() + self.others.len()
    }

    /// What was wrong with the set, file by file.
    fn judge(&mut self, names: &[String], problems: Vec<ReportedProblem>) {
        let mut of: BTreeMap<String, Vec<ReportedProblem>> = BTreeMap::new();
        for one in problems.into_iter().filter(|one| one.severity == "error") {
            of.entry(one.file.clone()).or_default().push(one);
        }
        // Two files of one name stand there once with what is wrong.
        let mut judged = |name: &String| {
            let (words, problems) = (name_of_file(name), of.remove(name).unwrap_or_default());
            JudgedFile { name: name.clone(), words, problems }
        };
        self.files = names.iter().map(&mut judged).collect();
        self.others.extend(of.into_values().flatten().map(|one| one.message));
        self.page.has_errors = true;
    }
}

pub(crate) async fn send_form(
    State(app): State<App>,
    visitor: Visitor,
    Query(aim): Query<Aim>,
) -> Result<Response, Away> {
    Ok(show(&SendPage::of(&app, &visitor, &aim.unwrap_or_default())?)?)
}

pub(crate) async fn send(State(app): State<App>, Query(aim): Query<Aim>, uploaded: Uploaded) -> Result<Response, Away> {
    let Uploaded { visitor, files } = uploaded;
    let aim = aim.unwrap_or_default();
    let mut page = SendPage::of(&app, &visitor, &aim)?;
    let files: Vec<_> = files.into_iter().filter(|(name, _)| !name.is_empty()).collect();
    let Visitor { caller, context, .. } = &visitor;
    let problem = if files.is_empty() {
        Problem::invalid(vec![ItemFault::new("files", "ファイルを選んでください。")])
    } else {
        app.platform.admit_slips(caller, context).await.map_err(Problem::from)?;
        let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
        let number = OfficeNumber::parse(page.to.as_str());
        let no_office = |_| Problem::invalid(vec![ItemFault::new("to", "宛先の事業所番号を確かめてください。")]);
        let reply_to = Some(page.reply_to.clone()).filter(|reply| !reply.is_empty());
        let wanted = number.map(|to| SlipWanted { to, reply_to }).map_err(no_office);
        match app.platform.send_slips(caller, wanted, &Arc::new(files), context).await {
            Ok(sent) => return Ok(to(&format!("/plans/{}?done=send", sent.slip.slip), None)),
            Err(problem) => {
                page.judge(&names, problem.files());
                problem
            }
        }
    };
    if page.to_put_right() == 0 {
        let told: Vec<String> = problem.items().into_iter().map(|(_, text)| text).collect();
        page.others = match (problem.code, told.is_empty()) {
            (_, false) => told,
            // What the sender can act on is said here; anything else is the page of its own.
            ("conflict", _) => vec![problem.title.clone()],
            ("not_connected", _) => vec![problem.detail.clone()],
            _ => return Err(problem.into()),
        };
        page.page.has_errors = true;
    }
    let mut response = show(&page)?;
    *response.status_mut() = if problem.status.is_client_error() { problem.status } else { StatusCode::CONFLICT };
    Ok(response)
}

#[derive(Template)]
#[template(path = "plan.html")]
struct ItemPage {
    page: Frame,
    done: &'static str,
    error: String,
    row: Row,
    is_sent: bool,
    serial: String,
    /// A file's name, in words and as it is.
    files: Vec<(&'static str, String, usize)>,
    warnings: Vec<(String, String)>,
    reply_to: String,
    answer: String,
    /// The addressee may fetch it.
    may_fetch: bool,
    /// The bytes are there for the visitor.
    has_files: bool,
    may_print: bool,
    may_withdraw: bool,
    may_register: bool,
    /// Number of the sender, to whom results go back; empty where there is nothing to answer.
    answers: String,
    today: String,
}

async fn item_page(app: &App, visitor: &Visitor, slip: &str) -> Result<ItemPage, Problem> {
    let slip = app.platform.slip(&visitor.caller, slip, &visitor.context).await?;
    let is_sent = Some(slip.sender) == visitor.caller.organization.office();
    let is_plan = slip.content == SlipContent::Plan;
    let fetched = matches!(slip.state, SlipState::Fetched | SlipState::Answered);
    let has_files = fetched || (is_sent && slip.state == SlipState::Sent);
    let has = |start: &str| slip.files.iter().any(|file| file.name.starts_with(start));
    let warning = |one: &ReportedProblem| (format!("{}　{}", name_of_file(&one.file), place(one)), told(one));
    let file = |file: &SlipFile| (name_of_file(&file.name), file.name.clone(), file.size);
    Ok(ItemPage {
        page: visitor.frame(app, "ケアプラン", SCREEN, HERE),
        done: "",
        error: String::new(),
        row: row(&slip, is_sent),
        is_sent,
        files: slip.files.iter().map(file).collect(),
        warnings: slip.warnings.iter().map(warning).collect(),
        reply_to: slip.reply_to.clone().unwrap_or_default(),
        answer: slip.answer.clone().unwrap_or_default(),
        may_fetch: !is_sent && slip.state == SlipState::Sent,
        has_files,
        may_print: has_files && has("UPPLAN"),
        may_withdraw: is_sent && slip.state == SlipState::Sent,
        may_register: is_sent && is_plan && has_files && (has("UP1KYO") || has("UPYOBO")),
        answers: if !is_sent && is_plan && slip.state == SlipState::Fetched && has("UPPLAN") {
            slip.sender.to_string()
        } else {
            String::new()
        },
        serial: slip.serial,
        today: words::day(visitor.context.today()),
    })
}

pub(crate) async fn item(
    State(app): State<App>,
    visitor: Visitor,
    Path(slip): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let mut page = item_page(&app, &visitor, &slip).await?;
    page.done = match wanted.unwrap_or_default().done.as_deref() {
        Some("send") => "送りました。相手が受け取ると、この画面と一覧に日時が出ます。",
        Some("fetch") => "受け取りました。送った事業所に、受け取った日時が伝わりました。",
        Some("withdraw") => "取り消しました。内容は残っていません。",
        Some("register") => "本人に渡した計画として登録しました。",
        _ => "",
    };
    Ok(show(&page)?)
}

pub(crate) async fn act(State(app): State<App>, Path(slip): Path<String>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let Visitor { caller, context, .. } = &visitor;
    let (word, result) = match form.get("act") {
        "fetch" => ("fetch", app.platform.fetch_slip(caller, &slip, context).await.map(drop).map_err(Problem::from)),
        "withdraw" => {
            ("withdraw", app.platform.withdraw_slip(caller, &slip, context).await.map(drop).map_err(Problem::from))
        }
        "register" => {
            let day = parse_typed(form.get("agreed_on"))
                .map_err(|error| Problem::invalid(vec![ItemFault::new("agreed_on", error.message_ja())]));
            let result = app.platform.register_slip(caller, &slip, day, context).await;
            ("register", result.and_then(judged))
        }
        _ => return Err(Problem::unknown().into()),
    };
    let problem = match result {
        Ok(()) => return Ok(to(&format!("/plans/{slip}?done={word}"), None)),
        Err(problem) => problem,
    };
    let told: Vec<String> = problem.items().into_iter().map(|(_, text)| text).collect();
    let error = match (problem.code, told.is_empty()) {
        (_, false) => told.join("。"),
        ("conflict", _) => problem.title.clone(),
        _ => return Err(problem.into()),
    };
    let mut page = item_page(&app, &visitor, &slip).await?;
    page.error = error;
    page.page.has_errors = true;
    let mut response = show(&page)?;
    *response.status_mut() = problem.status;
    Ok(response)
}

/// A registration that took nothing says why.
fn judged(result: kiban_service::IntakeResult) -> Result<(), Problem> {
    let errors = result.report.problems.iter().filter(|one| one.severity == "error");
    let faults: Vec<ItemFault> = errors.map(|one| ItemFault::new("files", &one.message)).collect();
    if faults.is_empty() { Ok(()) } else { Err(Problem::invalid(faults)) }
}

pub(crate) async fn file(
    State(app): State<App>,
    visitor: Visitor,
    Path((slip, name)): Path<(String, String)>,
) -> Result<Response, Away> {
    let bytes = app.platform.slip_file(&visitor.caller, &slip, &name, &visitor.context).await.map_err(Problem::from)?;
    // To be saved under its name, never shown: it is what somebody else's program wrote. The name was read: ASCII, no quotes.
    let name = format!("attachment; filename=\"{name}\"");
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CONTENT_DISPOSITION, name.as_str())];
    Ok((headers, bytes).into_response())
}

pub(crate) async fn print(
    State(app): State<App>,
    visitor: Visitor,
    Path(slip): Path<String>,
) -> Result<Response, Away> {
    let printed = app.platform.print_slip(&visitor.caller, &slip, &visitor.context).await.map_err(Problem::from)?;
    Ok(slip_page::page(&printed)?)
}
