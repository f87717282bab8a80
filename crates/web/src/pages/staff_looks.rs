//! 職員の閲覧記録 (P-188, P-189): who of the own staff looked at whom, for the administrator; by days and by one of the staff, and as a file.

use super::look::words_of;
use super::visitor::{Away, Visitor};
use super::{Frame, show, words};
use crate::api::csv;
use crate::input::Query;
use crate::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kiban_domain::{Date, Kind, dates};
use kiban_service::{ItemFault, StaffLook, StaffLooks, StaffLooksAsk};
use serde::Deserialize;

/// Lines of a page.
const PAGE: i32 = 100;
/// Lines read at a time for the file, and the most in it.
const BLOCK: i32 = 200;
const MOST: usize = 5_000;
/// Reads for one file at most: where few of many entries are asked for, it is the days that must be fewer.
const ROUNDS: usize = 40;
const SCREEN: &str = "P-211";

#[derive(Template)]
#[template(path = "staff_looks.html")]
struct ListPage {
    page: Frame,
    error: String,
    from: String,
    to: String,
    /// Account and 氏名 of the staff, to choose from.
    staff: Vec<(String, String)>,
    account: String,
    rows: Vec<Row>,
    /// Query of the same days, for the file and the rest of the list.
    query: String,
    next: String,
}

struct Row {
    at: String,
    staff: String,
    person: String,
    action: String,
    kind: &'static str,
    outcome: &'static str,
    reason: String,
}

/// Days as typed, an account, and where the list goes on.
#[derive(Deserialize, Default)]
pub(crate) struct Wanted {
    from: Option<String>,
    to: Option<String>,
    account: Option<String>,
    after: Option<String>,
}

impl Wanted {
    fn ask(&self, limit: i32) -> Result<StaffLooksAsk, Problem> {
        let day = |item: &'static str, typed: &Option<String>| match typed.as_deref().map(str::trim) {
            None | Some("") => Ok(None),
            Some(typed) => dates::parse_typed(typed).map(Some).map_err(|_| {
                let text = "日付を、令和8年11月1日 や 2026-11-01 のように入れてください";
                Problem::invalid(vec![ItemFault::new(item, text)])
            }),
        };
        Ok(StaffLooksAsk {
            from: day("from", &self.from)?,
            to: day("to", &self.to)?,
            account: self.account.clone().filter(|account| !account.is_empty()),
            after: self.after.clone(),
            limit,
        })
    }
}

pub(crate) async fn list(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let wanted = wanted.unwrap_or_default();
    let (caller, context) = (&visitor.caller, &visitor.context);
    let (looks, error, status) = match app.platform.staff_looks(caller, wanted.ask(PAGE), context).await {
        Ok(looks) => (Some(looks), String::new(), StatusCode::OK),
        Err(problem) => match problem.items().into_iter().next() {
            Some((_, text)) => (None, text, problem.status),
            None => return Err(problem.into()),
        },
    };
    let accounts = app.platform.accounts(caller, caller.organization, context).await.map_err(Problem::from)?.accounts;
    let typed = |text: &Option<String>| text.clone().unwrap_or_default();
    let day = |day: Option<Date>, typed: String| day.map_or(typed, |day| day.to_string());
    let (from, to) = (
        day(looks.as_ref().map(|looks| looks.from), typed(&wanted.from)),
        day(looks.as_ref().map(|looks| looks.to), typed(&wanted.to)),
    );
    let account = typed(&wanted.account);
    let query = serde_urlencoded::to_string([("from", &from), ("to", &to), ("account", &account)]).unwrap_or_default();
    let mut page = visitor.frame(&app, "職員の閲覧記録", SCREEN, "/admin");
    page.has_errors = !error.is_empty();
    let html = ListPage {
        page,
        error,
        from,
        to,
        staff: accounts.into_iter().map(|line| (line.account, line.name)).collect(),
        account,
        rows: looks.iter().flat_map(|looks| &looks.look_ups).map(row).collect(),
        query,
        next: looks.and_then(|looks| looks.next).unwrap_or_default(),
    };
    let mut response = show(&html)?;
    *response.status_mut() = status;
    Ok(response)
}

fn row(look: &StaffLook) -> Row {
    Row {
        at: words::moment(look.look.at),
        staff: look.staff_name.clone().unwrap_or_else(|| "ログインしていない端末".to_owned()),
        person: person(look),
        action: words_of(&look.look.action).to_owned(),
        kind: kind(look),
        outcome: look.look.outcome,
        reason: look.reason.clone().unwrap_or_default(),
    }
}

fn kind(look: &StaffLook) -> &'static str {
    look.look.kind.as_deref().and_then(Kind::parse).map_or("", Kind::name_ja)
}

/// Whom it was about: a name where it may be seen, else the number that was typed; of a list how many.
fn person(look: &StaffLook) -> String {
    match (&look.name, &look.insured_number) {
        (Some(name), Some(number)) => format!("{name}（{number}）"),
        (_, Some(number)) => format!("被保険者番号 {number}"),
        _ if look.people > 0 => format!("{}人の一覧", look.people),
        _ => String::new(),
    }
}

const HEADER: &str =
    "日時,アカウント,職員,保険者番号,被保険者番号,利用者,一覧の人数,したこと,情報,結果,理由,規則,要求番号";

/// All of the chosen days as a file that a spreadsheet opens: no cell of it is a formula (T-20).
pub(crate) async fn file(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let wanted = Wanted { after: None, ..wanted.unwrap_or_default() };
    let (caller, context) = (&visitor.caller, &visitor.context);
    let (mut body, mut lines, mut after) = (csv::begin(HEADER), 0, None);
    let narrower = |text: String| Problem::invalid(vec![ItemFault::new("from", text)]);
    for _ in 0..ROUNDS {
        let ask = wanted.ask(BLOCK).map(|ask| StaffLooksAsk { after: after.take(), ..ask });
        let StaffLooks { look_ups, next, .. } = app.platform.staff_looks(caller, ask, context).await?;
        lines += look_ups.len();
        body.extend(look_ups.iter().map(|look| csv::line(line(look))));
        if lines > MOST {
            let text = format!("{MOST}件を超えます。日か人をしぼってから、保存してください");
            return Err(narrower(text).into());
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(csv::file("staff-looks.csv", body)),
        }
    }
    Err(narrower("この期間の記録は多すぎて、一度に調べられません。日をしぼってから、保存してください".to_owned())
        .into())
}

fn line(look: &StaffLook) -> [String; 13] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        words::moment(look.look.at),
        text(&look.account),
        text(&look.staff_name),
        text(&look.insurer_number),
        text(&look.insured_number),
        text(&look.name),
        if look.people > 0 { look.people.to_string() } else { String::new() },
        words_of(&look.look.action).to_owned(),
        kind(look).to_owned(),
        look.look.outcome.to_owned(),
        text(&look.reason),
        text(&look.look.rule),
        look.look.request_id.clone(),
    ]
}
