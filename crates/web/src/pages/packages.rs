//! データの取り込み (P-130, P-161): what the municipality has sent and what became of it; a package from the page is kept, tried and
//! looked at, and applied only then.

use super::visitor::{Away, Posted, Visitor, require_own_page, to};
use super::{Frame, show, words};
use crate::api::files::{arrive, csv_file, result_csv};
use crate::input::{Incoming, PACKAGE_LIMIT, Query};
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use kiban_domain::Date;
use kiban_service::{DryRun, IntakeResult, Missing, ReceiptCounts, ReceiptLine, ReportedProblem, Work};
use serde::Deserialize;

/// Problems of one page.
const PAGE: usize = 100;
/// Rows of a 種別 that show what would change; the file names the others.
const EXAMPLES: usize = 10;
const HERE: &str = "/packages";
const SCREEN: &str = "P-219";

/// 種別 of a package in words.
const KINDS: [(&str, &str); 12] = [
    ("INSURED", "被保険者"),
    ("A3A", "被保険者証"),
    ("A3B", "負担割合証"),
    ("A3C", "負担限度額認定証"),
    ("A5", "申請・進捗"),
    ("A4", "申請書"),
    ("A1", "認定調査票"),
    ("A2", "主治医意見書"),
    ("E1", "住宅改修"),
    ("E2", "福祉用具購入"),
    ("CONSENT", "同意"),
    ("LINK", "番号異動"),
];

fn kind_name(code: &str) -> String {
    KINDS.iter().find(|(known, _)| *known == code).map_or(code, |(_, name)| *name).to_owned()
}

/// 12,345
fn number(count: i64) -> String {
    words::thousands(u32::try_from(count).unwrap_or(u32::MAX))
}

fn day(date: Option<Date>) -> String {
    date.map(words::day).unwrap_or_default()
}

#[derive(Template)]
#[template(path = "packages.html")]
struct ListPage {
    page: Frame,
    done: &'static str,
    rows: Vec<Row>,
}

struct Row {
    receipt: String,
    at: String,
    base: String,
    tag: (&'static str, &'static str),
    counts: Counts,
    kinds: Vec<(String, String)>,
    next: String,
}

/// Rows as the pages write them.
struct Counts {
    read: String,
    applied: String,
    unchanged: String,
    refused: String,
}

impl From<ReceiptCounts> for Counts {
    fn from(counts: ReceiptCounts) -> Self {
        Self {
            read: number(counts.read),
            applied: number(counts.applied),
            unchanged: number(counts.unchanged),
            refused: number(counts.refused),
        }
    }
}

/// Closed words and the page of a list of problems.
#[derive(Deserialize, Default)]
pub(crate) struct Wanted {
    done: Option<String>,
    page: Option<usize>,
}

fn tag(state: &str, refused: i64) -> (&'static str, &'static str) {
    match state {
        "applied" if refused > 0 => ("tag--do", "反映済（不採用あり）"),
        "applied" => ("tag--ok", "反映済"),
        "refused" => ("tag--ng", "取込不可"),
        "failed" => ("tag--ng", "後回し"),
        _ => ("tag--new", "処理中"),
    }
}

fn row(line: ReceiptLine) -> Row {
    Row {
        at: words::moment(line.received_at),
        base: day(line.base_date),
        tag: tag(line.state, line.counts.refused),
        counts: line.counts.into(),
        kinds: line.kinds.iter().map(|(kind, counts)| (kind_name(kind), number(counts.read))).collect(),
        next: line.next.to_owned(),
        receipt: line.receipt,
    }
}

pub(crate) async fn list(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let lines = app.platform.receipts(&visitor.caller, &visitor.context).await.map_err(Problem::from)?;
    let done = match wanted.unwrap_or_default().done.as_deref() {
        Some("drop") => "調べたパッケージを消しました。何も反映していません。",
        _ => "",
    };
    let page = visitor.frame(&app, "データの取り込み", SCREEN, HERE);
    Ok(show(&ListPage { page, done, rows: lines.into_iter().map(row).collect() })?)
}

/// Problems with their places, some at a time.
struct Problems {
    rows: Vec<ProblemRow>,
    total: String,
    /// Numbers of the first and the last one shown.
    shown: (usize, usize),
    /// Addresses of the pages before and after; empty at an end.
    before: String,
    after: String,
}

struct ProblemRow {
    tag: (&'static str, &'static str),
    file: String,
    place: String,
    item: String,
    found: String,
    told: String,
}

impl Problems {
    fn of(problems: &[ReportedProblem], page: Option<usize>, here: &str) -> Self {
        let pages = problems.len().div_ceil(PAGE).max(1);
        let page = page.unwrap_or(1).clamp(1, pages);
        let start = (page - 1) * PAGE;
        let rows: Vec<ProblemRow> = problems.iter().skip(start).take(PAGE).map(problem_row).collect();
        let address = |page: usize| format!("{here}?page={page}");
        Self {
            total: number(problems.len() as i64),
            shown: (start + 1, start + rows.len()),
            before: if page > 1 { address(page - 1) } else { String::new() },
            after: if page < pages { address(page + 1) } else { String::new() },
            rows,
        }
    }
}

fn problem_row(problem: &ReportedProblem) -> ProblemRow {
    let place = match (problem.line, problem.column) {
        (0, _) => "ファイル全体".to_owned(),
        (line, 0) => format!("{line}行目"),
        (line, column) => format!("{line}行目・{column}列目"),
    };
    // Of what was judged before the parts were kept there is only the whole sentence.
    let told = if problem.expected.is_empty() { &problem.message } else { &problem.expected };
    ProblemRow {
        tag: if problem.severity == "error" { ("tag--ng", "直すところ") } else { ("tag--do", "確かめる") },
        file: if problem.file.is_empty() { "パッケージ全体".to_owned() } else { problem.file.clone() },
        place,
        item: problem.item.clone(),
        found: problem.found.clone(),
        told: told.clone(),
    }
}

/// What the platform holds and a package of everything lacks.
struct Lacking {
    total: String,
    kinds: Vec<(String, String)>,
    rows: Vec<(String, String, String)>,
}

fn lacking(missing: &Missing) -> Lacking {
    let count = |count: u64| number(i64::try_from(count).unwrap_or(i64::MAX));
    let row = |row: &kiban_service::MissingRow| (row.insured_number.to_string(), kind_name(&row.kind), row.key.clone());
    Lacking {
        total: count(missing.total),
        kinds: missing.kinds.iter().map(|(kind, found)| (kind_name(kind), count(*found))).collect(),
        rows: missing.rows.iter().take(PAGE).map(row).collect(),
    }
}

#[derive(Template)]
#[template(path = "package.html")]
struct ItemPage {
    page: Frame,
    done: &'static str,
    receipt: String,
    tag: (&'static str, &'static str),
    at: String,
    by: String,
    base: String,
    counts: Counts,
    kinds: Vec<(String, Counts)>,
    /// How far it is, while it is worked on.
    progress: String,
    waiting: String,
    continued_by: Vec<String>,
    problems: Problems,
    missing: Option<Lacking>,
}

pub(crate) async fn item(
    State(app): State<App>,
    visitor: Visitor,
    Path(receipt): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let result = app.platform.receipt(&visitor.caller, &receipt, &visitor.context).await.map_err(Problem::from)?;
    require_city(&app, &visitor)?;
    let wanted = wanted.unwrap_or_default();
    let done = match wanted.done.as_deref() {
        Some("apply") => "受け付けました。",
        Some("again") => "同じ内容を前に受け付けています。そのときの結果です。",
        _ => "",
    };
    Ok(show(&item_page(&app, &visitor, &result, done, wanted.page))?)
}

/// An office asks for its receipts where it sends its files.
fn require_city(app: &App, visitor: &Visitor) -> Result<(), Problem> {
    Ok(app.platform.may_send_package(&visitor.caller, &visitor.context)?)
}

fn item_page(app: &App, visitor: &Visitor, result: &IntakeResult, done: &'static str, page: Option<usize>) -> ItemPage {
    let report = &result.report;
    let progress = result.progress.map(|progress| match (progress.rows_total, progress.seconds_left) {
        (0, _) => "検査しています。".to_owned(),
        (total, 0) => format!("{}行のうち{}行を反映しました。", number(total), number(progress.rows_done)),
        (total, left) => {
            format!(
                "{}行のうち{}行を反映しました。あと約{}秒です。",
                number(total),
                number(progress.rows_done),
                number(left)
            )
        }
    });
    ItemPage {
        page: visitor.frame(app, "取り込みの結果", SCREEN, HERE),
        done,
        receipt: result.receipt.clone(),
        tag: tag(result.state, report.counts.refused),
        at: words::moment(result.received_at),
        by: match result.sent_by.as_deref() {
            Some("connector") => "接続プログラム".to_owned(),
            Some(account) => account.to_owned(),
            None => "基盤（待っていた行の読み直し）か、運用者のコマンド".to_owned(),
        },
        base: day(result.base_date),
        counts: report.counts.into(),
        kinds: report.kinds.iter().map(|(kind, counts)| (kind_name(kind), (*counts).into())).collect(),
        progress: progress.unwrap_or_default(),
        waiting: if result.waiting > 0 { number(result.waiting) } else { String::new() },
        continued_by: result.continued_by.clone(),
        problems: Problems::of(&report.problems, page, &format!("{HERE}/{}", result.receipt)),
        missing: result.missing.as_ref().map(lacking),
    }
}

pub(crate) async fn file(
    State(app): State<App>,
    visitor: Visitor,
    Path(receipt): Path<String>,
) -> Result<Response, Away> {
    require_city(&app, &visitor)?;
    let result = app.platform.receipt(&visitor.caller, &receipt, &visitor.context).await.map_err(Problem::from)?;
    Ok(result_csv(&result))
}

#[derive(Template)]
#[template(path = "package_new.html")]
struct FormPage {
    page: Frame,
    error: String,
}

fn form_page(app: &App, visitor: &Visitor, error: String) -> FormPage {
    let frame = visitor.frame(app, "パッケージを調べる", SCREEN, HERE);
    FormPage { page: Frame { body: "main--read", has_errors: !error.is_empty(), ..frame }, error }
}

pub(crate) async fn form(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    require_city(&app, &visitor)?;
    Ok(show(&form_page(&app, &visitor, String::new()))?)
}

/// Tries what was chosen, keeps it and leads to what it would change. What must not be kept is answered at once.
pub(crate) async fn send(State(app): State<App>, visitor: Visitor, request: Request) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &visitor;
    require_city(&app, &visitor)?;
    require_own_page(request.headers(), request.uri())?;
    let incoming = Incoming::of(request, PACKAGE_LIMIT)?;
    let kept = async {
        let upload = app.platform.begin_package(caller, context).await?;
        let upload = arrive(upload, incoming, Some(&visitor.form_token())).await?;
        Ok::<_, Problem>(app.platform.hold_package(upload, caller, context).await?)
    };
    let problem = match kept.await {
        Ok((Some(held), _)) => return Ok(to(&format!("{HERE}/held/{held}"), None)),
        Ok((None, tried)) => {
            let mut response = show(&held_page(&app, &visitor, String::new(), &tried, None))?;
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            return Ok(response);
        }
        Err(problem) => problem,
    };
    let error = match problem.code {
        "invalid" => problem.items().into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("。"),
        "too_large" | "not_opened" => format!("{}。{}", problem.title, problem.detail),
        _ => return Err(problem.into()),
    };
    let mut response = show(&form_page(&app, &visitor, error))?;
    *response.status_mut() = problem.status;
    Ok(response)
}

#[derive(Template)]
#[template(path = "package_held.html")]
struct HeldPage {
    page: Frame,
    held: String,
    /// When it was tried: what was applied since is not in it.
    tried: String,
    base: String,
    /// Nothing of it can be applied.
    is_refused: bool,
    /// A 個人番号 may be in it: it was not kept, and this is all there is.
    is_gone: bool,
    /// Rows that would change something.
    changes: String,
    has_changes: bool,
    kinds: Vec<KindRow>,
    problems: Problems,
    missing: Option<Lacking>,
}

/// What would become of the rows of a kind.
struct KindRow {
    name: String,
    new: String,
    changed: String,
    deleted: String,
    unchanged: String,
    refused: String,
    /// 被保険者番号, 履歴番号 and what would happen.
    samples: Vec<(String, String, &'static str)>,
}

pub(crate) async fn held(
    State(app): State<App>,
    visitor: Visitor,
    Path(held): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &visitor;
    let tried = app.platform.held_package(caller, &held, context).await.map_err(Problem::from)?;
    Ok(show(&held_page(&app, &visitor, held, &tried, wanted.unwrap_or_default().page))?)
}

/// The same as a file, with the rows that would change.
pub(crate) async fn held_file(
    State(app): State<App>,
    visitor: Visitor,
    Path(held): Path<String>,
) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &visitor;
    let tried = app.platform.held_package(caller, &held, context).await.map_err(Problem::from)?;
    Ok(csv_file("differences", &held, tried.csv_of_named()))
}

fn held_page(app: &App, visitor: &Visitor, held: String, tried: &DryRun, page: Option<usize>) -> HeldPage {
    let changes: i64 = tried.changes.values().map(|one| one.new + one.changed + one.deleted).sum();
    let kinds = tried.changes.iter().map(|(kind, one)| {
        let samples = tried.samples.get(kind).map(Vec::as_slice).unwrap_or_default();
        let sample = |row: &kiban_service::SampleRow| {
            let words = match row.change {
                "new" => "新しく入る",
                "changed" => "内容が変わる",
                _ => "消える",
            };
            (row.insured_number.to_string(), row.key.clone(), words)
        };
        KindRow {
            name: kind_name(kind),
            new: number(one.new),
            changed: number(one.changed),
            deleted: number(one.deleted),
            unchanged: number(one.unchanged),
            refused: number(one.refused),
            samples: samples.iter().take(EXAMPLES).map(sample).collect(),
        }
    });
    let is_gone = tried.report.problems.iter().any(ReportedProblem::forbids_keeping);
    let is_refused = is_gone || tried.state == "would_refuse";
    let mut problems = Problems::of(&tried.report.problems, page, &format!("{HERE}/held/{held}"));
    if is_gone {
        problems.after.clear();
    }
    HeldPage {
        page: visitor.frame(app, "反映すると変わること", SCREEN, HERE),
        tried: words::moment(tried.received_at),
        base: day(tried.base_date),
        is_refused,
        is_gone,
        changes: number(changes),
        has_changes: changes > 0,
        kinds: kinds.collect(),
        problems,
        missing: tried.missing.as_ref().map(lacking),
        held,
    }
}

pub(crate) async fn act(State(app): State<App>, Path(held): Path<String>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let Visitor { caller, context, .. } = &visitor;
    match form.get("act") {
        "drop" => {
            app.platform.forget_held_package(caller, &held, context).await.map_err(Problem::from)?;
            Ok(to("/packages?done=drop", None))
        }
        "apply" => {
            let received = match app.platform.apply_held_package(caller, &held, context).await.map_err(Problem::from) {
                Ok(received) => received,
                // Sent twice: the first receipt.
                Err(problem) if problem.code == "unknown" => {
                    let known = app.platform.receipt(caller, &held, context).await.map_err(Problem::from)?;
                    return Ok(to(&format!("{HERE}/{}?done=again", known.receipt), None));
                }
                Err(problem) => return Err(problem.into()),
            };
            if received.is_small {
                let clock = || (app.settings.clock)();
                let mut work = Work::new(&clock).impatient();
                app.platform.close_package(&received, &mut work).await.map_err(Problem::from)?;
            }
            let done = if received.repeated { "again" } else { "apply" };
            Ok(to(&format!("{HERE}/{}?done={done}", received.receipt), None))
        }
        _ => Err(Problem::unknown().into()),
    }
}
