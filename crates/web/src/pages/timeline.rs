//! 時系列 (P-139): certification, plan, LIFE and slips of one person in one list, newest first. It shows what the person's page shows,
//! by its days.

use super::visitor::{Away, Visitor};
use super::{Frame, show, words};
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use kiban_domain::care_plan::{CarePlan, ServiceSlip};
use kiban_domain::certification::CertificationProgress;
use kiban_domain::{Date, Kind, Organization};
use kiban_service::{Document, PersonPage};
use serde::de::DeserializeOwned;
use serde_json::Value;

#[derive(Template)]
#[template(path = "timeline.html")]
struct TimelinePage {
    page: Frame,
    handle: String,
    name: String,
    months: Vec<Month>,
    /// Lanes that hold nothing for lack of consent, with what to do.
    shut: Vec<(&'static str, String)>,
}

struct Month {
    name: String,
    events: Vec<Event>,
}

/// Something that happened on a day, or in a month.
struct Event {
    on: Date,
    lane: Lane,
    /// The day; empty for what is of the whole month.
    day: String,
    text: String,
}

/// What an event belongs to, in the order of the page.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Certification,
    Plan,
    Life,
    Slip,
    Home,
}

impl Lane {
    fn name(self) -> &'static str {
        match self {
            Self::Certification => "認定",
            Self::Plan => "ケアプラン",
            Self::Life => "LIFE",
            Self::Slip => "利用票",
            Self::Home => "住宅改修・福祉用具",
        }
    }

    /// Class of its bar.
    fn class(self) -> &'static str {
        match self {
            Self::Certification => "lane--a",
            Self::Plan => "lane--b",
            Self::Life => "lane--c",
            Self::Slip => "lane--d",
            Self::Home => "lane--e",
        }
    }
}

pub(crate) async fn show_timeline(
    State(app): State<App>,
    visitor: Visitor,
    Path(handle): Path<String>,
) -> Result<Response, Away> {
    let view = app.platform.view_person(&visitor.caller, &handle, &visitor.context).await.map_err(Problem::from)?;
    let is_office = matches!(visitor.caller.organization, Organization::Office(_));
    let mut events = events(&view);
    events.sort_by_key(|event| (std::cmp::Reverse(event.on), event.lane));
    let mut months: Vec<Month> = Vec::new();
    for event in events {
        let name = words::month(event.on);
        match months.last_mut().filter(|month| month.name == name) {
            Some(month) => month.events.push(event),
            None => months.push(Month { name, events: vec![event] }),
        }
    }
    let shut = [(Kind::Cp1, "ケアプラン"), (Kind::C1, "LIFE"), (Kind::E1, "住宅改修・福祉用具")];
    let shut = shut.into_iter().filter_map(|(kind, name)| {
        let hidden = view.hidden.iter().find(|one| one.kind == kind)?;
        Some((name, hidden.next.clone()))
    });
    let html = TimelinePage {
        page: visitor.frame(&app, "時系列", "P-214", if is_office { "/users" } else { "/insured" }),
        name: view.person["name"].as_str().unwrap_or_default().to_owned(),
        months,
        shut: shut.collect(),
        handle,
    };
    Ok(show(&html)?)
}

fn read<T: DeserializeOwned>(content: &Value) -> Option<T> {
    serde_json::from_value(content.clone()).ok()
}

fn events(view: &PersonPage) -> Vec<Event> {
    let of = |kind: Kind| view.kinds.iter().filter(move |one| one.kind == kind).flat_map(|one| &one.documents);
    let mut all = Vec::new();
    for document in of(Kind::A5) {
        certification(&mut all, document, view.opinion_accepted_on);
    }
    for document in of(Kind::Cp1) {
        plan(&mut all, document);
    }
    for document in of(Kind::C1) {
        all.push(on_day(document.valid_from, Lane::Life, "LIFE の評価".to_owned()));
    }
    for (kind, what) in [(Kind::E1, "住宅改修"), (Kind::E2, "福祉用具の購入")] {
        all.extend(of(kind).map(|document| on_day(document.valid_from, Lane::Home, what.to_owned())));
    }
    for document in of(Kind::F1) {
        let office = document.content["office_name"].as_str().unwrap_or_default();
        all.push(on_day(
            document.valid_from,
            Lane::Plan,
            format!("居宅サービス計画作成依頼の届出が受理された　{office}"),
        ));
    }
    all
}

fn on_day(on: Date, lane: Lane, text: String) -> Event {
    Event { on, lane, day: words::day(on), text }
}

fn certification(all: &mut Vec<Event>, document: &Document, accepted_on: Option<Date>) {
    let Some(progress) = read::<CertificationProgress>(&document.content) else { return };
    let opinion = progress.opinion_received_on.or(accepted_on.filter(|_| progress.result.is_none()));
    let days = [
        (Some(progress.applied_on), "申請"),
        (progress.survey_received_on, "調査票が届いた"),
        (opinion, "意見書が届いた"),
        (progress.board_done_on, "審査会"),
    ];
    all.extend(days.into_iter().filter_map(|(day, text)| Some(on_day(day?, Lane::Certification, text.to_owned()))));
    if let Some(result) = &progress.result {
        let valid = result.valid.as_ref().map(|valid| words::period(valid.from(), valid.to()));
        let text = format!("認定の結果　{}　{}", result.level.name_ja(), valid.unwrap_or_default());
        all.push(on_day(result.decided_on, Lane::Certification, text));
    }
}

fn plan(all: &mut Vec<Event>, document: &Document) {
    if let Some(plan) = read::<CarePlan>(&document.content["plan"]) {
        let text = format!("ケアプランを作った・変えた　{}", plan.table1.office_name);
        all.push(on_day(plan.changed_on, Lane::Plan, text));
    }
    let Some(slip) = read::<ServiceSlip>(&document.content["slip"]) else { return };
    let used = slip.lines.iter().filter(|line| line.count > 0);
    let mut offices: Vec<&str> = used.clone().map(|line| line.office_name.as_str()).collect();
    offices.sort_unstable();
    offices.dedup();
    let text = format!("{}回　{}", used.map(|line| line.count).sum::<i32>(), offices.join("、"));
    all.push(Event { on: slip.month.first_day(), lane: Lane::Slip, day: String::new(), text });
}
