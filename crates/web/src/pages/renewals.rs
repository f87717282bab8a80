//! 同意がまだの人 (P-033, P-075): the municipality's own insured who are due for renewal and have not consented, those whose
//! certification ends first on top, and the same as a file.

use super::visitor::{Away, Visitor};
use super::{Frame, show, words};
use crate::api::csv;
use crate::input::Query;
use crate::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use kiban_service::RenewalDue;
use serde::Deserialize;

/// People of one page at most, and questions asked for it: each looks through some thousand people.
const PAGE: usize = 200;
const MOST_ASKED: usize = 6;
const HERE: &str = "/renewals";

/// Orders: closed word, words, what is compared.
type Order = (&'static str, &'static str, fn(&RenewalDue, &RenewalDue) -> std::cmp::Ordering);
static ORDERS: [Order; 4] = [
    ("until", "認定の期限の近い順", |a, b| (a.until, &a.kana).cmp(&(b.until, &b.kana))),
    ("kana", "カナ氏名の順", |a, b| a.kana.cmp(&b.kana)),
    ("number", "被保険者番号の順", |a, b| a.insured_number.cmp(&b.insured_number)),
    ("consent", "同意の状態の順", |a, b| (a.consent, a.until).cmp(&(b.consent, b.until))),
];

#[derive(Template)]
#[template(path = "renewals.html")]
struct RenewalsPage {
    page: Frame,
    rows: Vec<Row>,
    sort: &'static str,
    order: &'static str,
    /// Where the list goes on.
    next: String,
    is_first: bool,
    after: String,
}

struct Row {
    handle: String,
    name: String,
    kana: String,
    number: String,
    level: &'static str,
    until: String,
    iso: String,
    left: String,
    consent: &'static str,
}

/// Closed words, and a handle of this municipality.
#[derive(Deserialize, Default)]
pub(crate) struct Wanted {
    sort: Option<String>,
    after: Option<String>,
}

fn order(wanted: &Wanted) -> &'static Order {
    ORDERS.iter().find(|(word, ..)| Some(*word) == wanted.sort.as_deref()).unwrap_or(&ORDERS[0])
}

/// A page of the list and where the next begins.
async fn people(app: &App, visitor: &Visitor, wanted: &Wanted) -> Result<(Vec<RenewalDue>, Option<String>), Problem> {
    let (mut people, mut next) = (Vec::new(), wanted.after.clone().filter(|after| !after.is_empty()));
    for _ in 0..MOST_ASKED {
        let limit = i32::try_from(PAGE - people.len()).unwrap_or(1);
        let asked = Ok::<_, Problem>(limit);
        let page =
            app.platform.renewals_without_consent(&visitor.caller, next.as_deref(), asked, &visitor.context).await?;
        people.extend(page.people);
        next = page.next;
        if next.is_none() || people.len() >= PAGE {
            break;
        }
    }
    people.sort_by(order(wanted).2);
    Ok((people, next))
}

pub(crate) async fn list(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let wanted = wanted.unwrap_or_default();
    let (found, next) = people(&app, &visitor, &wanted).await?;
    let (sort, order, _) = order(&wanted);
    let html = RenewalsPage {
        page: visitor.frame(&app, "同意がまだの人", "P-219", HERE),
        rows: found.iter().map(row).collect(),
        sort,
        order,
        next: next.unwrap_or_default(),
        is_first: wanted.after.is_none(),
        after: wanted.after.unwrap_or_default(),
    };
    Ok(show(&html)?)
}

fn consent(code: &str) -> &'static str {
    match code {
        "withdrawn" => "やめました",
        "not_obtainable" => "とれない（理由あり）",
        _ => "未取得",
    }
}

fn left(days: i32) -> String {
    match days {
        ..0 => "過ぎました".to_owned(),
        0 => "今日まで".to_owned(),
        days => format!("あと{days}日"),
    }
}

fn row(line: &RenewalDue) -> Row {
    Row {
        handle: line.handle.clone(),
        name: line.name.clone(),
        kana: line.kana.clone(),
        number: line.insured_number.clone(),
        level: line.care_level,
        until: words::day(line.until),
        iso: line.until.to_string(),
        left: left(line.days_left),
        consent: consent(line.consent),
    }
}

/// The same people as a file, in the order of the page.
pub(crate) async fn file(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let (found, _) = people(&app, &visitor, &wanted.unwrap_or_default()).await?;
    let lines = found.iter().map(|line| {
        let (until, days) = (line.until.to_string(), line.days_left.to_string());
        let cells = [&*line.insured_number, &line.name, &line.kana, line.care_level, &until, &days];
        csv::line(cells.into_iter().chain([consent(line.consent)]))
    });
    let begin = csv::begin("被保険者番号,氏名,カナ氏名,要介護度,認定の期限,あと（日）,同意");
    Ok(csv::file("renewals-without-consent.csv", begin + &lines.collect::<String>()))
}
