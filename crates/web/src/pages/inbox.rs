//! 受信箱 (P-201, P-138, P-219): 意見書・届出・同意 that arrived at the municipality, opened, accepted or returned, one after the other.

use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, opinion, show, words};
use crate::input::Query;
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use kiban_domain::consent::{ConsentAct, ConsentRecord, Declarant};
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::plan_request::{Filer, FilingForm, FilingKind, OtherServices, PlanRequest, SubmissionState};
use kiban_domain::{Date, Kind, Organization, dates};
use kiban_service::{Decide, InboxItem, InboxState};
use serde::Deserialize;
use serde_json::Value;

/// Documents of one page.
const PAGE: i32 = 50;
const HERE: &str = "/inbox";
const SCREEN: &str = "P-219";

/// Reasons for a return that are often needed: closed words and what the sender reads.
const REASONS: [(&str, &str); 5] = [
    ("missing", "記入もれがあります"),
    ("dates", "日付を確かめてください"),
    ("person", "本人の番号か氏名が、申請と合いません"),
    ("application", "この申請の書類ではないようです"),
    ("other", "そのほか（下に書く）"),
];

/// What the list shows: closed word, words, documents.
const STATES: [(&str, &str, InboxState); 3] = [
    ("waiting", "これから決めるもの", InboxState::Waiting),
    ("accepted", "受理したもの", InboxState::Accepted),
    ("returned", "差し戻したもの", InboxState::Returned),
];

#[derive(Template)]
#[template(path = "inbox.html")]
struct ListPage {
    page: Frame,
    states: Vec<(&'static str, &'static str)>,
    chosen: &'static str,
    chosen_name: &'static str,
    done: &'static str,
    rows: Vec<Row>,
    /// The last one, when there may be more.
    next: String,
}

struct Row {
    receipt: String,
    person: String,
    /// 氏名, フリガナ and 住所; empty where they may not be seen.
    name: String,
    kana: String,
    birth: String,
    address: String,
    is_withheld: bool,
    /// Days it has waited; empty once it was decided.
    waits: String,
    kind: &'static str,
    sender: String,
    at: String,
    tag: (&'static str, &'static str),
    is_again: bool,
}

/// Closed words, and the receipt after which the list goes on.
#[derive(Deserialize, Default)]
pub(crate) struct Wanted {
    state: Option<String>,
    after: Option<String>,
    done: Option<String>,
}

/// What was done on the page before.
fn done(wanted: &Wanted) -> &'static str {
    match wanted.done.as_deref() {
        Some("accept") => "受理しました。",
        Some("return") => "差し戻しました。",
        _ => "",
    }
}

pub(crate) async fn list(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let wanted = wanted.unwrap_or_default();
    let chosen = STATES.iter().find(|(word, ..)| Some(*word) == wanted.state.as_deref()).unwrap_or(&STATES[0]);
    let asked = Ok::<_, Problem>((chosen.2, PAGE));
    let items = app.platform.inbox(&visitor.caller, asked, wanted.after.as_deref(), &visitor.context).await?;
    let is_full = items.len() == PAGE as usize;
    let html = ListPage {
        page: visitor.frame(&app, "届いたもの", SCREEN, HERE),
        states: STATES.iter().map(|(word, words, _)| (*word, *words)).collect(),
        chosen: chosen.0,
        chosen_name: chosen.1,
        done: done(&wanted),
        next: items.last().filter(|_| is_full).map(|item| item.receipt.clone()).unwrap_or_default(),
        rows: items.iter().map(|item| row(&app, item, visitor.context.today())).collect(),
    };
    Ok(show(&html)?)
}

fn tag(state: &SubmissionState) -> (&'static str, &'static str) {
    match state {
        SubmissionState::Submitted => ("tag--new", "未開封"),
        SubmissionState::Fetched => ("tag--do", "開封済み"),
        SubmissionState::Accepted => ("tag--ok", "受理"),
        SubmissionState::Returned { .. } => ("", "差戻し"),
    }
}

fn sender(app: &App, organization: Organization) -> String {
    let name =
        organization.office().and_then(|number| app.platform.standing().office(number).map(|one| one.name.clone()));
    name.unwrap_or_else(|| organization.to_string())
}

/// 今日, or how many days ago.
fn waits(days: i32) -> String {
    if days <= 0 { "今日".to_owned() } else { format!("{days}日") }
}

fn row(app: &App, item: &InboxItem, today: Date) -> Row {
    let person = item.person.as_ref();
    let since = dates::day_in_japan(item.submitted_at);
    Row {
        receipt: item.receipt.clone(),
        person: item.insured_number.clone(),
        name: person.map(|one| one.name.clone()).unwrap_or_default(),
        kana: person.map(|one| one.kana.clone()).unwrap_or_default(),
        birth: person.map(|one| words::day(one.birth)).unwrap_or_default(),
        address: person.and_then(|one| one.address.clone()).unwrap_or_default(),
        is_withheld: person.is_some_and(|one| one.withheld),
        waits: if item.decided_at.is_none() { waits((today - since).get_days()) } else { String::new() },
        kind: item.kind_name,
        sender: sender(app, item.sender),
        at: words::moment(item.submitted_at),
        tag: tag(&item.state),
        is_again: item.replaces.is_some(),
    }
}

#[derive(Template)]
#[template(path = "inbox_item.html")]
struct ItemPage {
    page: Frame,
    done: &'static str,
    item: Row,
    state: &'static str,
    decided: String,
    /// 差戻しの理由, of one that was returned.
    returned_for: String,
    is_new: bool,
    /// May be accepted or returned.
    is_open: bool,
    may_return: bool,
    replaces: String,
    parts: Vec<Part>,
    error: String,
    reasons: Vec<(&'static str, &'static str)>,
    chosen: String,
    reason: String,
}

/// A part of a document, in words.
pub(super) struct Part {
    pub(super) name: String,
    pub(super) values: Vec<(String, String)>,
}

pub(crate) async fn item(
    State(app): State<App>,
    visitor: Visitor,
    Path(receipt): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let item = app.platform.see_submission(&visitor.caller, &receipt, &visitor.context).await.map_err(Problem::from)?;
    let html = item_page(&app, &visitor, &item, done(&wanted.unwrap_or_default()));
    Ok(show(&html)?)
}

fn item_page(app: &App, visitor: &Visitor, item: &InboxItem, done: &'static str) -> ItemPage {
    let is_open = item.state == SubmissionState::Fetched;
    ItemPage {
        page: visitor.frame(app, "届いたもの", SCREEN, HERE),
        done,
        item: row(app, item, visitor.context.today()),
        state: item.state.name_ja(),
        decided: item.decided_at.map(words::moment).unwrap_or_default(),
        returned_for: match &item.state {
            SubmissionState::Returned { reason } => reason.clone(),
            _ => String::new(),
        },
        is_new: item.state == SubmissionState::Submitted,
        is_open,
        // A consent holds from the moment it was given.
        may_return: is_open && item.kind != Kind::G1,
        replaces: item.replaces.clone().unwrap_or_default(),
        parts: item.content.as_ref().map(|content| parts(item.kind, content)).unwrap_or_default(),
        error: String::new(),
        reasons: REASONS.to_vec(),
        chosen: String::new(),
        reason: String::new(),
    }
}

pub(crate) async fn act(State(app): State<App>, Path(receipt): Path<String>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let Visitor { caller, context, .. } = &visitor;
    let here = format!("/inbox/{receipt}");
    if form.get("act") == "fetch" {
        app.platform.fetch_submission(caller, &receipt, context).await.map_err(Problem::from)?;
        return Ok(to(&here, None));
    }
    let (decide, word) = match form.get("act") {
        "accept" => (Decide::Accept, "accept"),
        "return" => (Decide::Return(reason(&form)), "return"),
        _ => return Err(Problem::unknown().into()),
    };
    let problem = match app.platform.decide_submission(caller, &receipt, Ok::<_, Problem>(decide), context).await {
        Ok(_) => return next(&app, &visitor, word).await,
        Err(problem) => problem,
    };
    match problem.code {
        // Decided meanwhile, here or by the municipality's program: the page says how.
        "conflict" => Ok(to(&here, None)),
        "invalid" => {
            let item = app.platform.see_submission(caller, &receipt, context).await.map_err(Problem::from)?;
            let mut html = item_page(&app, &visitor, &item, "");
            html.error = problem.items().into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("。");
            html.chosen = form.get("why").to_owned();
            html.reason = form.get("reason").to_owned();
            html.page.has_errors = true;
            let mut response = show(&html)?;
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
        _ => Err(problem.into()),
    }
}

/// What the sender reads: the chosen words and what was written.
fn reason(form: &crate::input::Form) -> String {
    let chosen = REASONS.iter().find(|(word, _)| *word == form.get("why") && *word != "other");
    let parts = [chosen.map_or("", |(_, words)| words), form.get("reason")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("。")
}

/// To the next one that waits, or to the empty list.
async fn next(app: &App, visitor: &Visitor, word: &str) -> Result<Response, Away> {
    let asked = Ok::<_, Problem>((InboxState::Waiting, 1));
    let waiting = app.platform.inbox(&visitor.caller, asked, None, &visitor.context).await?;
    Ok(match waiting.first() {
        Some(next) => to(&format!("/inbox/{}?done={word}", next.receipt), None),
        None => to(&format!("/inbox?done={word}"), None),
    })
}

/// The content of a document in words, as its kind has them.
fn parts(kind: Kind, content: &Value) -> Vec<Part> {
    fn of<T: serde::de::DeserializeOwned>(content: &Value) -> Option<T> {
        serde_json::from_value(content.clone()).ok()
    }
    let parts = match kind {
        Kind::A2 => of::<PhysicianOpinion>(content).map(|opinion| opinion::parts(&opinion)),
        Kind::F1 => of::<PlanRequest>(content).map(|request| vec![plan_request(&request)]),
        Kind::G1 => of::<ConsentRecord>(content).map(|record| vec![consent(&record)]),
        _ => None,
    };
    parts.unwrap_or_default()
}

fn part(name: &str, values: Vec<(&str, String)>) -> Part {
    let filled = values.into_iter().filter(|(_, text)| !text.is_empty());
    Part { name: name.to_owned(), values: filled.map(|(name, text)| (name.to_owned(), text)).collect() }
}

pub(super) fn plan_request(request: &PlanRequest) -> Part {
    let (filing, reason, changed) = match &request.filing {
        FilingKind::New => ("新規", String::new(), String::new()),
        FilingKind::Change { reason, changed_on } => ("変更", reason.clone(), words::day(*changed_on)),
        FilingKind::End => ("終了", String::new(), String::new()),
    };
    let form = match &request.form {
        FilingForm::HomeCare => "居宅サービス計画作成依頼（変更）届出書",
        FilingForm::Preventive { .. } => "介護予防サービス計画作成・介護予防ケアマネジメント依頼（変更）届出書",
        FilingForm::SmallMultifunctional { .. } => "（看護）小規模多機能型居宅介護",
        FilingForm::PreventiveSmallMultifunctional { .. } => "介護予防小規模多機能型居宅介護",
    };
    let commission = match &request.form {
        FilingForm::Preventive { commission: Some(one) } => {
            format!("{}（{}）　{}から", one.office_name, one.office, words::day(one.starts_on))
        }
        _ => String::new(),
    };
    let others = match &request.form {
        FilingForm::SmallMultifunctional { other_services }
        | FilingForm::PreventiveSmallMultifunctional { other_services } => match other_services {
            OtherServices::Unused => "無".to_owned(),
            OtherServices::Used(services) => {
                let codes: Vec<String> = services.iter().map(ToString::to_string).collect();
                format!("有（サービス種類 {}）", codes.join("、"))
            }
            OtherServices::Untold => String::new(),
        },
        _ => String::new(),
    };
    let filer = match &request.filer {
        Some(Filer::Person { .. }) => "本人".to_owned(),
        Some(Filer::Representative { name, relation, address, .. }) => {
            format!("{name}（{relation}）　{address}")
        }
        None => String::new(),
    };
    let values = vec![
        ("様式", form.to_owned()),
        ("区分", filing.to_owned()),
        ("変更の事由", reason),
        ("変更年月日", changed),
        ("事業所", format!("{}（{}）", request.office_name, request.office)),
        ("所在地", request.office_address.clone().unwrap_or_default()),
        ("電話", request.office_telephone.clone().unwrap_or_default()),
        ("介護支援専門員", request.care_manager_name.clone()),
        ("介護支援専門員番号", request.care_manager.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("サービス開始（終了）年月日", words::day(request.starts_on)),
        ("届出日", words::day(request.filed_on)),
        ("届出者", filer),
        ("委託先", commission),
        ("同月の居宅サービス等の利用", others),
        ("利用者の同意", if request.person_agrees { "あり" } else { "なし" }.to_owned()),
    ];
    part("居宅サービス計画作成依頼届出", values)
}

fn consent(record: &ConsentRecord) -> Part {
    let act = match record.act {
        ConsentAct::Given => "同意する".to_owned(),
        ConsentAct::Withdrawn => "同意をやめる".to_owned(),
        ConsentAct::KindRefused(kind) => format!("この情報だけは見せない（{}）", kind.name_ja()),
        ConsentAct::KindAllowed(kind) => format!("見せるように戻す（{}）", kind.name_ja()),
        ConsentAct::NotObtainable => "いまは意思を確かめられない".to_owned(),
    };
    let declarant = match &record.declarant {
        Declarant::Person => "本人".to_owned(),
        Declarant::Representative { relation } => format!("代理の人（{relation}）"),
    };
    let values = vec![
        ("内容", act),
        ("日時", words::moment(record.acted_at)),
        ("だれの意思か", declarant),
        ("様式", record.form.clone()),
        ("説明書", record.leaflet.clone().unwrap_or_default()),
        ("理由・覚え書き", record.remark.clone().unwrap_or_default()),
    ];
    part("同意", values)
}
