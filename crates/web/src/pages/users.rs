//! 担当利用者 (P-213, P-140): the page that ends telephone calls to city hall.

use super::visitor::Visitor;
use super::{Frame, show, words};
use crate::App;
use crate::api::{Answer, csv};
use crate::input::Query;
use crate::pages::visitor::Away;
use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use kiban_domain::Date;
use kiban_domain::certification::CertificationProgress;
use kiban_domain::equipment_purchase::fiscal_year;
use kiban_service::{PeoplePage, PersonStatus};
use serde::Deserialize;

/// People of one page.
const PAGE: i32 = 200;
/// Days before an end from which it is marked.
const SOON: i32 = 90;

#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage {
    page: Frame,
    total: usize,
    rows: Vec<Row>,
    /// Value, words and number of people of each filter.
    choices: Vec<(&'static str, &'static str, usize)>,
    chosen: &'static str,
    sort: &'static str,
    order: &'static str,
    has_progress: bool,
    more: bool,
    last: String,
}

struct Row {
    handle: String,
    name: String,
    kana: String,
    city: String,
    number: String,
    not_started: Option<String>,
    progress: Option<Progress>,
    until: String,
    until_iso: String,
    until_tag: String,
    /// `given`, `missing`, `withdrawn`, `not_obtainable`, or empty.
    consent: &'static str,
    may_take_consent: bool,
    view: String,
    view_iso: String,
    view_tag: String,
}

struct Progress {
    wait: String,
    cells: Vec<Cell>,
    result: String,
}

/// One step: its day, or まだ.
struct Cell {
    name: &'static str,
    day: String,
    iso: String,
    /// まだ, and not the next step: left out on a phone.
    is_later: bool,
}

/// Closed words only, so that no address says anything about anybody; `after` is a handle of this office.
#[derive(Deserialize, Default)]
pub(crate) struct Wanted {
    f: Option<String>,
    sort: Option<String>,
    after: Option<String>,
}

/// A filter: value, words, whom it keeps.
type Filter = (&'static str, &'static str, fn(&PersonStatus) -> bool);

static FILTERS: [Filter; 4] = [
    ("all", "すべての人", |_| true),
    ("wait", "結果を待っている人", |one| waiting(one).is_some()),
    ("noconsent", "同意がまだの人", |one| one.consent == Some("missing")),
    ("ending", "90日以内に期限が来る人", |one| one.days_left.is_some_and(|days| days <= SOON)),
];

/// The application that has no result yet.
fn waiting(one: &PersonStatus) -> Option<&CertificationProgress> {
    one.progress.as_ref().filter(|progress| progress.result.is_none() && progress.closing.is_none())
}

/// The filter that was chosen; without one everybody is kept.
fn filter(wanted: &Wanted) -> &'static Filter {
    FILTERS.iter().find(|(value, ..)| Some(*value) == wanted.f.as_deref()).unwrap_or(&FILTERS[0])
}

pub(crate) async fn list(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let wanted = wanted.unwrap_or_default();
    let page = PeoplePage { after: wanted.after.clone(), limit: PAGE };
    let people = app.platform.list_people(&visitor.caller, Ok::<_, crate::Problem>(page), &visitor.context).await?;
    let today = visitor.context.today();
    let chosen = filter(&wanted);
    let choices =
        FILTERS.iter().map(|(value, name, keeps)| (*value, *name, people.iter().filter(|one| keeps(one)).count()));
    let has_progress = people.iter().any(|one| one.progress.is_some());
    let sort = match wanted.sort.as_deref() {
        Some("until") => "until",
        Some("view") => "view",
        _ if has_progress => "wait",
        _ => "until",
    };
    let mut kept: Vec<&PersonStatus> = people.iter().filter(|one| (chosen.2)(one)).collect();
    match sort {
        "until" => kept.sort_by_key(|one| (one.certified_until.is_none(), one.certified_until)),
        "view" => kept.sort_by_key(|one| (one.viewable_until.is_none(), one.viewable_until)),
        _ => kept.sort_by_key(|one| waiting(one).map_or(Date::MAX, |progress| progress.applied_on)),
    }
    let html = UsersPage {
        page: visitor.frame(&app, "担当利用者", "P-213", "/users"),
        total: people.len(),
        rows: kept.into_iter().map(|one| row(one, today)).collect(),
        choices: choices.collect(),
        chosen: chosen.0,
        sort,
        order: match sort {
            "until" => "認定の期限の近い順",
            "view" => "閲覧期限の近い順",
            _ => "待ちの長い順",
        },
        has_progress,
        more: people.len() == PAGE as usize,
        last: people.last().map(|one| one.handle.clone()).unwrap_or_default(),
    };
    let answer: Answer = show(&html);
    Ok(answer?.into_response())
}

/// The same list as a file, of the people the chosen filter keeps, in the order of the page (P-213).
pub(crate) async fn file(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let wanted = wanted.unwrap_or_default();
    let page = PeoplePage { after: wanted.after.clone(), limit: PAGE };
    let people = app.platform.list_people(&visitor.caller, Ok::<_, crate::Problem>(page), &visitor.context).await?;
    let chosen = filter(&wanted);
    let kept = people.iter().filter(|one| (chosen.2)(one));
    let lines: String = kept.map(|one| csv::line(line(one))).collect();
    Ok(csv::file("users.csv", csv::begin(HEADER) + &lines))
}

const HEADER: &str =
    "氏名,カナ氏名,被保険者番号,市区町村,申請日,調査票,意見書,審査会の予定,審査の完了,結果,認定の期限,同意,閲覧期限";

/// A person of the file.
fn line(one: &PersonStatus) -> [String; 13] {
    let day = |day: Option<Date>| day.map(|day| day.to_string()).unwrap_or_default();
    let progress = one.progress.as_ref();
    let of = |read: fn(&CertificationProgress) -> Option<Date>| day(progress.and_then(read));
    let result = progress.and_then(|one| one.result.as_ref()).map(|result| result.level.name_ja());
    let consent = match one.consent {
        Some("given") => "あり",
        Some("withdrawn") => "やめました",
        Some("not_obtainable") => "とれない",
        Some("missing") => "未取得",
        _ => "",
    };
    [
        one.name.clone().unwrap_or_default(),
        one.kana.clone().unwrap_or_default(),
        one.insured_number.clone(),
        words::city(&one.insurer_number).unwrap_or_else(|| one.insurer_number.clone()),
        of(|one| Some(one.applied_on)),
        of(|one| one.survey_received_on),
        of(|one| one.opinion_received_on),
        of(|one| one.board_planned_on),
        of(|one| one.board_done_on),
        result.unwrap_or_default().to_owned(),
        day(one.certified_until),
        consent.to_owned(),
        day(one.viewable_until),
    ]
}

fn row(one: &PersonStatus, today: Date) -> Row {
    let (until, until_iso) = written(one.certified_until, today);
    let (view, view_iso) = written(one.viewable_until, today);
    let view_left = one.viewable_until.map(|day| (day - today).get_days());
    Row {
        handle: one.handle.clone(),
        name: one.name.clone().unwrap_or_else(|| format!("被保険者番号 {}", one.insured_number)),
        kana: one.kana.clone().unwrap_or_default(),
        city: words::city(&one.insurer_number).unwrap_or_else(|| format!("保険者番号 {}", one.insurer_number)),
        number: one.name.as_ref().map(|_| one.insured_number.clone()).unwrap_or_default(),
        not_started: one.not_started.clone(),
        progress: one.progress.as_ref().filter(|progress| is_current(progress, today)).map(|one| steps(one, today)),
        until,
        until_iso,
        until_tag: one.days_left.map_or_else(String::new, |days| left(days, SOON)),
        consent: one.consent.unwrap_or_default(),
        may_take_consent: one.may_take_consent,
        view,
        view_iso,
        view_tag: view_left.map_or_else(String::new, |days| left(days, 30)),
    }
}

/// An application is told until its result is this many days old.
const TOLD: i32 = 90;

fn is_current(progress: &CertificationProgress, today: Date) -> bool {
    progress.result.as_ref().is_none_or(|result| (today - result.decided_on).get_days() <= TOLD)
}

/// あと28日, within so many days of the end.
fn left(days: i32, soon: i32) -> String {
    match days {
        ..0 => "過ぎました".to_owned(),
        0 => "今日まで".to_owned(),
        days if days <= soon => format!("あと{days}日"),
        _ => String::new(),
    }
}

fn steps(progress: &CertificationProgress, today: Date) -> Progress {
    let days = [
        ("調査票", progress.survey_received_on),
        ("意見書", progress.opinion_received_on),
        ("審査会の予定", progress.board_planned_on),
        ("審査の完了", progress.board_done_on),
    ];
    let mut is_open = true;
    let cells = days.map(|(name, day)| {
        let (text, iso) = written(day, today);
        // 調査票 and 意見書 are waited for at the same time, and everybody asks for the day of the board.
        let is_next = is_open || matches!(name, "意見書" | "審査会の予定");
        is_open &= day.is_some();
        Cell { name, day: text, iso, is_later: day.is_none() && !is_next }
    });
    let result = match (&progress.result, &progress.closing) {
        (Some(result), _) => format!("{}　{}", result.level.name_ja(), written(Some(result.decided_on), today).0),
        (None, Some(_)) => "終了（取下げ・却下など）".to_owned(),
        (None, None) => String::new(),
    };
    let wait =
        if result.is_empty() { format!("{}日", (today - progress.applied_on).get_days()) } else { String::new() };
    Progress { wait, cells: cells.into(), result }
}

/// 11月20日 within the present 年度, else with its year; and for machines.
fn written(day: Option<Date>, today: Date) -> (String, String) {
    let Some(day) = day else { return (String::new(), String::new()) };
    let text = if fiscal_year(day) == fiscal_year(today) {
        format!("{}月{}日", day.month(), day.day())
    } else {
        words::day(day)
    };
    (text, day.to_string())
}
