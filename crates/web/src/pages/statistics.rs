//! 統計 (P-075, P-239): the figures of a day as charts, each with its table, and the same as a file. What may leave the municipality is
//! the variant in full steps.

use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show, words};
use crate::api::csv;
use crate::api::statistics::{day_of, long_table};
use crate::bars::{Bar, bars};
use crate::input::Query;
use crate::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use kiban_domain::Date;
use kiban_service::{Statistics, StatisticsState, Table};
use serde::Deserialize;

const HERE: &str = "/statistics";
/// Days within which an application is to be decided (介護保険法27条11項).
const LAWFUL_DAYS: u64 = 30;

/// Closed words, and a day.
#[derive(Deserialize, Default)]
pub(crate) struct Wanted {
    day: Option<String>,
    /// `yes`: as it may leave the municipality.
    shareable: Option<String>,
}

#[derive(Template)]
#[template(path = "statistics.html")]
struct StatisticsPage {
    page: Frame,
    /// `missing`, `running` or `ready`.
    state: &'static str,
    /// As it was typed, or today.
    day: String,
    iso: String,
    is_today: bool,
    error: String,
    progress: String,
    is_shareable: bool,
    smallest: String,
    people: String,
    damaged: u64,
    made_at: String,
    charts: Vec<Chart>,
    parts: Vec<Part>,
    pending: Vec<(String, String)>,
}

/// A chart and how it is read.
struct Chart {
    name: String,
    lead: String,
    svg: String,
}

/// A table, with its chart when it has one.
struct Part {
    id: String,
    name: String,
    row_label: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<String>)>,
    charts: Vec<Chart>,
}

impl Wanted {
    fn check(&self) -> Result<(Option<Date>, bool), Problem> {
        let day = self.day.as_deref().map(str::trim).filter(|day| !day.is_empty()).map(day_of).transpose()?;
        Ok((day, self.shareable.as_deref() == Some("yes")))
    }
}

pub(crate) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let (today, wanted) = (visitor.context.today(), wanted.unwrap_or_default());
    let (asked, error) = match wanted.check() {
        Ok(asked) => (asked, String::new()),
        Err(problem) => {
            let told = problem.items().into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("。");
            ((None, wanted.shareable.as_deref() == Some("yes")), told)
        }
    };
    let state = app.platform.statistics(&visitor.caller, Ok::<_, Problem>(asked), &visitor.context).await?;
    let day = asked.0.unwrap_or(today);
    let frame = visitor.frame(&app, "統計", "P-239", HERE);
    let mut html = StatisticsPage {
        page: Frame { has_errors: !error.is_empty(), ..frame },
        state: "missing",
        day: words::day(day),
        iso: day.to_string(),
        is_today: day == today,
        error,
        progress: String::new(),
        is_shareable: asked.1,
        smallest: String::new(),
        people: String::new(),
        damaged: 0,
        made_at: String::new(),
        charts: Vec::new(),
        parts: Vec::new(),
        pending: Vec::new(),
    };
    match state {
        StatisticsState::Missing => {}
        StatisticsState::Running { done, total } => {
            html.state = "running";
            html.progress = format!("{}人のうち{}人を数えました。", number(total), number(done));
        }
        StatisticsState::Ready { statistics } => html.fill(&statistics),
    }
    Ok(show(&html)?)
}

fn number(count: u64) -> String {
    words::thousands(u32::try_from(count).unwrap_or(u32::MAX))
}

impl StatisticsPage {
    fn fill(&mut self, statistics: &Statistics) {
        self.state = "ready";
        self.smallest = statistics.smallest.map(number).unwrap_or_default();
        self.people = statistics.people.map(number).unwrap_or_default();
        self.damaged = statistics.damaged;
        self.made_at = words::moment(statistics.made_at);
        self.pending = statistics.pending.iter().map(|one| (one.name.clone(), one.reason.clone())).collect();
        let rate = |rate: &kiban_service::Rate| Bar {
            name: rate.name.clone(),
            length: rate.permille,
            said: rate.permille.map_or_else(|| "出せません".to_owned(), |p| format!("{}.{}%", p / 10, p % 10)),
        };
        let rates: Vec<Bar> = statistics.rates.iter().map(rate).collect();
        self.charts = vec![Chart {
            name: "割合".to_owned(),
            lead: "いちばん長い棒が100%です。".to_owned(),
            svg: bars("割合", &rates, Some(1_000), None),
        }];
        let suppressed = match statistics.smallest {
            Some(step) => format!("{step}人未満"),
            None => "なし".to_owned(),
        };
        self.parts = statistics.tables.iter().map(|table| part(table, &suppressed)).collect();
    }
}

fn part(table: &Table, suppressed: &str) -> Part {
    let cell = |cell: &Option<u64>| cell.map_or_else(|| suppressed.to_owned(), number);
    Part {
        id: table.id.clone(),
        name: table.name.clone(),
        row_label: table.row_label.clone(),
        columns: table.columns.clone(),
        rows: table.rows.iter().map(|row| (row.name.clone(), row.cells.iter().map(cell).collect())).collect(),
        charts: charts(table, suppressed),
    }
}

/// The charts of the tables that have one: what is asked first.
fn charts(table: &Table, suppressed: &str) -> Vec<Chart> {
    let chart = |name: &str, lead: &str, bars_of: Vec<Bar>, mark| Chart {
        name: name.to_owned(),
        lead: lead.to_owned(),
        svg: bars(name, &bars_of, None, mark),
    };
    match table.id.as_str() {
        "steps" => {
            let mark = Some((LAWFUL_DAYS, "30日"));
            let median = "破線は30日です。半分の申請が、この日数までに着きました。";
            let most = "破線は30日です。10件のうち9件が、この日数までに着きました。";
            vec![
                chart("申請から各段階までの日数（中央値）", median, of_column(table, 1, "日", "なし"), mark),
                chart("申請から各段階までの日数（90パーセンタイル）", most, of_column(table, 2, "日", "なし"), mark),
            ]
        }
        "consent" => {
            vec![chart("同意の状態（資格のある人すべて）", "人数です。", of_sums(table, "人", suppressed), None)]
        }
        "levels" => vec![
            chart("要介護度ごとの人数", "すべての年齢の合計です。", of_totals(table, "人", suppressed), None),
            chart("年齢ごとの人数", "要支援・要介護の人の合計です。", of_sums(table, "人", suppressed), None),
        ],
        "decisions" => {
            vec![chart("申請のいまの状態", "過去1年の申請の件数です。", of_sums(table, "件", suppressed), None)]
        }
        "opinions" => vec![chart("主治医意見書", "過去1年の依頼の件数です。", of_sums(table, "件", suppressed), None)],
        "offices" => vec![chart(
            "担当する事業所の数ごとの人数",
            "0は、担当の登録がない人です。",
            of_sums(table, "人", suppressed),
            None,
        )],
        "looks" => vec![chart(
            "閲覧の回数",
            "過去30日の回数です。人の数ではありません。",
            of_sums(table, "回", suppressed),
            None,
        )],
        _ => Vec::new(),
    }
}

fn bar(name: &str, cell: Option<u64>, unit: &str, suppressed: &str) -> Bar {
    let said = cell.map_or_else(|| suppressed.to_owned(), |value| format!("{}{unit}", number(value)));
    Bar { name: name.to_owned(), length: cell, said }
}

/// A bar for each row, of one column.
fn of_column(table: &Table, column: usize, unit: &str, suppressed: &str) -> Vec<Bar> {
    let rows = table.rows.iter();
    rows.map(|row| bar(&row.name, row.cells.get(column).copied().flatten(), unit, suppressed)).collect()
}

/// A bar for each row of an additive table but the sums: its total.
fn of_totals(table: &Table, unit: &str, suppressed: &str) -> Vec<Bar> {
    let last = table.columns.len().saturating_sub(1);
    let mut bars = of_column(table, last, unit, suppressed);
    bars.pop();
    bars
}

/// A bar for each column of an additive table but the sums: its total.
fn of_sums(table: &Table, unit: &str, suppressed: &str) -> Vec<Bar> {
    let Some(sums) = table.rows.last() else { return Vec::new() };
    let columns = table.columns.iter().zip(&sums.cells).take(table.columns.len().saturating_sub(1));
    columns.map(|(name, cell)| bar(name, *cell, unit, suppressed)).collect()
}

/// Begins to count today's figures.
pub(crate) async fn count(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &posted.visitor;
    app.platform.count_statistics(caller, context).await.map_err(Problem::from)?;
    Ok(to(HERE, None))
}

/// The same figures as a file.
pub(crate) async fn file(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let asked = wanted.unwrap_or_default().check();
    match app.platform.statistics(&visitor.caller, asked, &visitor.context).await? {
        StatisticsState::Ready { statistics } => {
            Ok(csv::file(&format!("statistics-{}.csv", statistics.day), long_table(&statistics)))
        }
        _ => Err(Problem::unknown().into()),
    }
}
