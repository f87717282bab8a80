//! 職員ごとの閲覧の停止 (P-014): what an administrator of an office hides from one of the staff, person by person and kind by kind, and
//! the list of all of it.

use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show, words};
use crate::input::Query;
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use kiban_domain::Kind;
use kiban_service::{Hides, PeoplePage, SwitchAsk, SwitchLine};
use serde::Deserialize;
use std::collections::BTreeMap;

/// People or switches of one page.
const PAGE: i32 = 100;
const SCREEN: &str = "P-211";

#[derive(Template)]
#[template(path = "switches.html")]
struct ListPage {
    page: Frame,
    rows: Vec<Row>,
    next: String,
}

struct Row {
    account: String,
    staff: String,
    handle: String,
    person: String,
    what: String,
    since: String,
    by: String,
}

#[derive(Template)]
#[template(path = "sees.html")]
struct SeesPage {
    page: Frame,
    account: String,
    staff: String,
    rows: Vec<Seen>,
    next: String,
}

/// A person of the office, and what of it the member of the staff does not see.
struct Seen {
    handle: String,
    name: String,
    hidden: String,
}

#[derive(Template)]
#[template(path = "switch.html")]
struct FormPage {
    page: Frame,
    account: String,
    staff: String,
    handle: String,
    name: String,
    /// Whether the whole person is hidden.
    hides_all: bool,
    /// Code, name, whether it is shown.
    kinds: Vec<(&'static str, &'static str, bool)>,
}

#[derive(Deserialize, Default)]
pub(crate) struct Wanted {
    after: Option<String>,
}

fn what(kinds: &[Kind]) -> String {
    match kinds.is_empty() {
        true => "すべて".to_owned(),
        false => kinds.iter().map(|kind| kind.name_ja()).collect::<Vec<_>>().join("、"),
    }
}

fn person(line: &SwitchLine) -> String {
    let number = || match &line.insured_number {
        Some(number) => format!("被保険者番号 {number}"),
        None => "あなたには見せないことになっている人".to_owned(),
    };
    line.name.clone().unwrap_or_else(number)
}

pub(crate) async fn list(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let asked = Ok::<_, Problem>((wanted.unwrap_or_default().after, PAGE));
    let lines = app.platform.switches(&visitor.caller, None, asked, &visitor.context).await?;
    let next = lines.last().filter(|_| lines.len() == PAGE as usize);
    let html = ListPage {
        page: visitor.frame(&app, "職員ごとの閲覧の停止", SCREEN, "/admin"),
        next: next.map(|line| format!("{}.{}", line.handle, line.account)).unwrap_or_default(),
        rows: lines
            .iter()
            .map(|line| Row {
                account: line.account.clone(),
                staff: line.staff_name.clone(),
                handle: line.handle.clone(),
                person: person(line),
                what: what(&line.kinds),
                since: line.since.map(words::moment).unwrap_or_default(),
                by: line.by.clone().unwrap_or_default(),
            })
            .collect(),
    };
    Ok(show(&html)?)
}

/// The name of one of the staff; unknown for everybody but an administrator of the office, and for oneself.
async fn colleague(app: &App, visitor: &Visitor, account: &str) -> Result<String, Problem> {
    let (caller, context) = (&visitor.caller, &visitor.context);
    if caller.office.is_none() {
        return Err(Problem::unknown());
    }
    let list = app.platform.accounts(caller, caller.organization, context).await?;
    let line = list.accounts.into_iter().find(|line| line.account == account && !line.own);
    line.map(|line| line.name).ok_or_else(Problem::unknown)
}

pub(crate) async fn sees(
    State(app): State<App>,
    visitor: Visitor,
    Path(account): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let (caller, context) = (&visitor.caller, &visitor.context);
    let staff = colleague(&app, &visitor, &account).await?;
    let mut hidden = BTreeMap::new();
    let mut after = None;
    loop {
        let asked = Ok::<_, Problem>((after.take(), PAGE));
        let lines = app.platform.switches(caller, Some(&account), asked, context).await?;
        let last = lines.last().map(|line| format!("{}.{}", line.handle, line.account));
        let is_full = lines.len() == PAGE as usize;
        hidden.extend(lines.into_iter().map(|line| (line.handle.clone(), (person(&line), what(&line.kinds)))));
        if !is_full {
            break;
        }
        after = last;
    }
    let wanted = wanted.unwrap_or_default();
    let page = Ok::<_, Problem>(PeoplePage { after: wanted.after.clone(), limit: PAGE });
    let people = app.platform.list_people(caller, page, context).await?;
    let next = people.last().filter(|_| people.len() == PAGE as usize).map(|one| one.handle.clone());
    let mut rows = Vec::with_capacity(people.len());
    for one in people {
        rows.push(Seen {
            hidden: hidden.get(&one.handle).map(|(_, what)| what.clone()).unwrap_or_default(),
            name: one.name.unwrap_or_else(|| format!("被保険者番号 {}", one.insured_number)),
            handle: one.handle,
        });
    }
    let page = visitor.frame(&app, "この人に見せる情報", SCREEN, "/admin");
    Ok(show(&SeesPage { page, account, staff, rows, next: next.unwrap_or_default() })?)
}

pub(crate) async fn form(
    State(app): State<App>,
    visitor: Visitor,
    Path((account, handle)): Path<(String, String)>,
) -> Result<Response, Away> {
    let desk = app.platform.switch_desk(&visitor.caller, &handle, &account, &visitor.context).await;
    let desk = desk.map_err(Problem::from)?;
    let is_shown = |kind: &Kind| match &desk.hides {
        Hides::Kinds(kinds) => !kinds.contains(kind),
        // Whoever shows the person again begins with everything.
        Hides::Nothing | Hides::Everything => true,
    };
    let html = FormPage {
        page: Frame { body: "main--read", ..visitor.frame(&app, "見せる情報を選ぶ", SCREEN, "/admin") },
        name: desk.person["name"].as_str().unwrap_or_default().to_owned(),
        staff: desk.staff_name,
        hides_all: desk.hides == Hides::Everything,
        kinds: desk.kinds.iter().map(|kind| (kind.code(), kind.name_ja(), is_shown(kind))).collect(),
        account,
        handle,
    };
    Ok(show(&html)?)
}

/// What is ticked is shown; what stood on the page without a tick is hidden. Kinds that were hidden before and did not stand there stay
/// hidden: the page never opens what it did not ask about.
pub(crate) async fn set(
    State(app): State<App>,
    Path((account, handle)): Path<(String, String)>,
    posted: Posted,
) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let (caller, context) = (&visitor.caller, &visitor.context);
    let desk = app.platform.switch_desk(caller, &handle, &account, context).await.map_err(Problem::from)?;
    let ticked: Vec<Kind> = form.all("shown").iter().filter_map(|code| Kind::parse(code)).collect();
    let before = match &desk.hides {
        Hides::Kinds(kinds) => kinds.iter().filter(|kind| !desk.kinds.contains(kind)).copied().collect(),
        _ => Vec::new(),
    };
    let mut kinds: Vec<Kind> = desk.kinds.iter().filter(|kind| !ticked.contains(kind)).copied().collect();
    kinds.extend(before);
    let ask = match form.get("person") {
        "hidden" => SwitchAsk { hidden: true, kinds: Vec::new() },
        "shown" => SwitchAsk { hidden: !kinds.is_empty(), kinds },
        _ => return Err(Problem::unknown().into()),
    };
    app.platform.set_switch(caller, &handle, &account, Ok::<_, Problem>(ask), context).await?;
    Ok(to(&format!("/admin/people/{account}/sees"), None))
}
