//! ケアプランの第1〜3表・第6・7表 of a person in the paper's own order, a page each (P-214): earlier versions and other months are a link
//! away. Every page is a look at the plan, as the person's page is.

use super::visitor::{Away, Visitor};
use super::{Frame, show, words};
use crate::input::Query;
use crate::slip_page::{sheet6, sheet7};
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use kiban_domain::care_plan::{CarePlan, ClockTime, ServiceActuals, ServiceSlip, SlipLine, Table1, Weekday};
use kiban_domain::dates::ServiceMonth;
use kiban_domain::{Kind, Organization};
use kiban_service::Document;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Number in the address, name on the paper.
const TABLES: [(&str, &str); 5] = [
    ("1", "第1表　居宅サービス計画書（1）"),
    ("2", "第2表　居宅サービス計画書（2）"),
    ("3", "第3表　週間サービス計画表"),
    ("6", "第6表　サービス利用票"),
    ("7", "第7表　サービス利用票別表"),
];

/// Which version or month.
#[derive(Deserialize, Default)]
pub(crate) struct Wanted {
    /// Place among the versions, the latest is 0.
    version: Option<usize>,
    /// `YYYYMM`
    month: Option<String>,
}

#[derive(Template)]
#[template(path = "plan_tables.html")]
struct PlanTablesPage {
    page: Frame,
    handle: String,
    table: &'static str,
    title: &'static str,
    tables: [(&'static str, &'static str); 5],
    /// Versions or months: address, name, whether it is this one.
    others: Vec<(String, String, bool)>,
    content: Content,
    /// What is different from the version before, where there is one.
    changes: Option<Changes>,
}

/// 前の計画との違い
struct Changes {
    /// Day of the version before.
    since: String,
    /// Item, as it was, as it is.
    rows: Vec<[String; 3]>,
}

enum Content {
    Nothing,
    /// Something is there, of which items were taken out that would tell where the person is.
    Partly,
    /// 第1表: name and text of each part.
    First(Vec<(&'static str, String)>),
    /// 第2表: the cells of each line.
    Second(Vec<[String; 11]>),
    Third(Week),
    /// 第6・7表, as they are printed.
    Sheet(String),
}

/// 第3表
struct Week {
    days: Vec<&'static str>,
    /// Hours, and what there is on each day of the week.
    rows: Vec<(String, [String; 7])>,
    /// 主な日常生活上の活動
    activities: Vec<(String, String)>,
    /// 週単位以外のサービス
    others: Vec<String>,
}

pub(crate) async fn table(
    State(app): State<App>,
    visitor: Visitor,
    Path((handle, table)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let (table, title) = *TABLES.iter().find(|(number, _)| *number == table).ok_or_else(Problem::unknown)?;
    let known_on = Ok::<_, Problem>(None);
    let view = app.platform.view_kind(&visitor.caller, &handle, Kind::Cp1, known_on, &visitor.context).await?;
    let wanted = wanted.unwrap_or_default();
    let (part, (others, content, changes)) = match table {
        "6" | "7" => ("slip", sheet(table, &view.documents, wanted.month.as_deref())),
        _ => ("plan", plan(table, &view.documents, wanted.version.unwrap_or_default())),
    };
    let content = match content {
        Content::Nothing if view.documents.iter().any(|one| one.content.get(part).is_some()) => Content::Partly,
        content => content,
    };
    let is_office = matches!(visitor.caller.organization, Organization::Office(_));
    let here = if is_office { "/users" } else { "/insured" };
    let html = PlanTablesPage {
        page: Frame { body: "slips", ..visitor.frame(&app, title, "P-214", here) },
        handle,
        table,
        title,
        tables: TABLES,
        others,
        content,
        changes,
    };
    Ok(show(&html)?)
}

/// The documents that hold such a part, the latest first.
fn parts<T: DeserializeOwned>(documents: &[Document], name: &str) -> Vec<T> {
    let read = |one: &Document| serde_json::from_value(one.content.get(name)?.clone()).ok();
    documents.iter().filter_map(read).collect()
}

/// Versions or months: address, name, whether it is this one.
type Others = Vec<(String, String, bool)>;

type Shown = (Others, Content, Option<Changes>);

fn plan(table: &str, documents: &[Document], version: usize) -> Shown {
    let plans: Vec<CarePlan> = parts(documents, "plan");
    let place = version.min(plans.len().saturating_sub(1));
    let name = |place: usize, plan: &CarePlan| {
        let which = if place == 0 { "いまの計画" } else { "以前の計画" };
        format!("{which}　{}", words::day(plan.changed_on))
    };
    let others = plans.iter().enumerate();
    let others = others.map(|(n, plan)| (format!("?version={n}"), name(n, plan), n == place)).collect();
    let content = match (plans.get(place), table) {
        (None, _) => Content::Nothing,
        (Some(plan), "1") => Content::First(first(&plan.table1)),
        (Some(plan), "2") => Content::Second(second(plan)),
        (Some(plan), _) => Content::Third(week(plan)),
    };
    let changes = plans.get(place).zip(plans.get(place + 1)).map(|(now, before)| Changes {
        since: words::day(before.changed_on),
        rows: match table {
            "1" => changed_items(first(&before.table1), first(&now.table1)),
            "2" => changed_lines(&need_lines(before), &need_lines(now)),
            _ => changed_lines(&week_lines(before), &week_lines(now)),
        },
    });
    (others, content, changes)
}

/// Items that say something else, in the order of the paper, those that are gone at the end.
fn changed_items(mut before: Vec<(&'static str, String)>, now: Vec<(&'static str, String)>) -> Vec<[String; 3]> {
    let mut rows = Vec::new();
    for (name, text) in now {
        let was = before.iter().position(|(earlier, _)| *earlier == name).map(|place| before.remove(place).1);
        let was = was.unwrap_or_default();
        if was != text {
            rows.push([name.to_owned(), was, text]);
        }
    }
    rows.extend(before.into_iter().map(|(name, was)| [name.to_owned(), was, String::new()]));
    rows
}

/// Lines that were added, and lines that are gone: what they are about, and their text.
fn changed_lines(before: &[(String, String)], now: &[(String, String)]) -> Vec<[String; 3]> {
    let gone = before.iter().filter(|line| !now.contains(line));
    let gone = gone.map(|(about, text)| [about.clone(), text.clone(), String::new()]);
    let new = now.iter().filter(|line| !before.contains(line));
    gone.chain(new.map(|(about, text)| [about.clone(), String::new(), text.clone()])).collect()
}

/// The lines of 第2表: the need, and the rest.
fn need_lines(plan: &CarePlan) -> Vec<(String, String)> {
    let rest = |row: &[String; 11]| {
        let parts = row.iter().skip(1).filter(|text| !text.is_empty());
        parts.map(String::as_str).collect::<Vec<_>>().join("　")
    };
    second(plan).iter().map(|row| (row[0].clone(), rest(row))).collect()
}

/// The lines of 第3表: the hours, and what there is on which day.
fn week_lines(plan: &CarePlan) -> Vec<(String, String)> {
    let week = week(plan);
    let of_days = week.rows.iter().flat_map(|(hours, cells)| {
        let on_days = week.days.iter().zip(cells).filter(|(_, text)| !text.is_empty());
        on_days.map(move |(day, text)| (format!("{day}　{hours}"), text.clone()))
    });
    let activities =
        week.activities.iter().map(|(hours, text)| (format!("主な日常生活上の活動　{hours}"), text.clone()));
    let others = week.others.iter().map(|text| ("週単位以外のサービス".to_owned(), text.clone()));
    of_days.chain(activities).chain(others).collect()
}

fn first(table: &Table1) -> Vec<(&'static str, String)> {
    let day = |day: Option<kiban_domain::Date>| day.map(words::day).unwrap_or_default();
    let valid = match (table.valid_from, table.valid_to) {
        (Some(from), to) => words::period(from, to),
        (None, to) => day(to),
    };
    let reason = [table.housework_reason.map_or("", |reason| reason.name_ja()), &table.housework_other];
    let lines = vec![
        ("作成年月日", words::day(table.made_on)),
        ("計画書区分", table.kind.map_or("", |kind| kind.name_ja()).to_owned()),
        ("認定状況", table.certification_state.map_or("", |state| state.name_ja()).to_owned()),
        ("居宅サービス計画作成者", table.care_manager_name.clone()),
        ("居宅介護支援事業者", format!("{}（{}）", table.office_name, table.office)),
        ("事業所の所在地", format!("{}{}", table.office_address1, table.office_address2)),
        ("初回居宅サービス計画作成日", words::day(table.first_made_on)),
        ("認定日", day(table.certified_on)),
        ("認定の有効期間", valid),
        ("要介護状態区分", table.level.map_or("", |level| level.name_ja()).to_owned()),
        ("利用者及び家族の生活に対する意向を踏まえた課題分析の結果", table.analysis.clone()),
        ("介護認定審査会の意見及びサービスの種類の指定", table.board_opinion.clone()),
        ("総合的な援助の方針", table.policy.clone()),
        ("生活援助中心型の算定理由", reason.concat()),
    ];
    lines.into_iter().filter(|(_, text)| !text.trim().is_empty()).collect()
}

fn second(plan: &CarePlan) -> Vec<[String; 11]> {
    let mut rows = Vec::new();
    for need in &plan.table2.needs {
        for long in &need.long_goals {
            for short in &long.short_goals {
                for service in &short.services {
                    let covered = service.coverage.map_or("", |coverage| coverage.name_ja());
                    rows.push([
                        need.text.clone(),
                        long.text.clone(),
                        long.period.clone(),
                        short.text.clone(),
                        short.period.clone(),
                        service.content.clone(),
                        covered.to_owned(),
                        service.kind.clone(),
                        service.office_name.clone(),
                        service.frequency.clone(),
                        service.period.clone(),
                    ]);
                }
            }
        }
    }
    rows
}

fn week(plan: &CarePlan) -> Week {
    let clock = |time: ClockTime| format!("{}:{:02}", time.minutes() / 60, time.minutes() % 60);
    let hours = |from: Option<ClockTime>, to: Option<ClockTime>| match (from, to) {
        (Some(from), Some(to)) if from != to => format!("{}〜{}", clock(from), clock(to)),
        (Some(time), _) | (None, Some(time)) => clock(time),
        (None, None) => "時刻なし".to_owned(),
    };
    let mut undated = Vec::new();
    let mut rows: BTreeMap<(Option<ClockTime>, Option<ClockTime>), [String; 7]> = BTreeMap::new();
    for service in plan.table3.services() {
        let Some(day) = service.weekday else {
            undated.push(format!("{}　{}（曜日の記録なし）", hours(service.from, service.to), service.content));
            continue;
        };
        let cells = rows.entry((service.from, service.to)).or_default();
        for (cell, _) in cells.iter_mut().zip(Weekday::ALL).filter(|(_, one)| **one == day) {
            cell.push_str(if cell.is_empty() { "" } else { "、" });
            cell.push_str(&service.content);
        }
    }
    let mut activities: Vec<_> = plan.table3.activities().collect();
    activities.sort_by_key(|one| (one.from, one.to));
    Week {
        days: Weekday::ALL.iter().map(|day| day.name_ja()).collect(),
        rows: rows.into_iter().map(|((from, to), cells)| (hours(from, to), cells)).collect(),
        activities: activities.into_iter().map(|one| (hours(one.from, one.to), one.content.clone())).collect(),
        others: undated.into_iter().chain(plan.table3.others().map(str::to_owned)).collect(),
    }
}

fn sheet(table: &str, documents: &[Document], month: Option<&str>) -> Shown {
    let mut slips: Vec<ServiceSlip> = parts(documents, "slip");
    slips.sort_by_key(|slip| std::cmp::Reverse(slip.month));
    let wanted = month.and_then(|month| ServiceMonth::parse(month).ok());
    let this = slips.iter().position(|slip| Some(slip.month) == wanted).unwrap_or_default();
    let others = slips.iter().enumerate().map(|(n, slip)| {
        let number = slip.month.number();
        (format!("?month={number}"), words::month(slip.month.first_day()), n == this)
    });
    let others = others.collect();
    let Some(slip) = slips.get(this) else { return (others, Content::Nothing, None) };
    let actuals: Vec<ServiceActuals> = parts(documents, "actuals");
    let done: Vec<SlipLine> =
        actuals.into_iter().filter(|one| one.month == slip.month).flat_map(|one| one.lines).collect();
    (others, Content::Sheet(if table == "6" { sheet6(slip, &done) } else { sheet7(slip) }), None)
}
