//! 運用 (P-182, P-220, P-120, S-016, S-033): municipalities and their start, offices, disaster modes, the newest anchor of the audit log.
//! Nothing about any person stands on these pages.

use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show, words};
use crate::api::disaster::Proposal;
use crate::input::{Form, Query};
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use kiban_domain::InsurerNumber;
use kiban_domain::office::OfficeClass;
use kiban_service::{AuditHeads, DisasterLine, InsurerLine, ItemFault, OfficeLine};
use serde::Deserialize;

const HERE: &str = "/operator";
const SCREEN: &str = "P-220";

/// What is looked for: the name or number of a municipality or an office, and closed words.
#[derive(Deserialize, Default)]
pub(crate) struct Wanted {
    q: Option<String>,
    done: Option<String>,
}

#[derive(Template)]
#[template(path = "operator.html")]
struct InsurersPage {
    page: Frame,
    tab: &'static str,
    q: String,
    total: usize,
    states: Vec<(&'static str, usize)>,
    rows: Vec<InsurerRow>,
}

struct InsurerRow {
    number: String,
    name: String,
    prefecture: String,
    tag: &'static str,
    state: &'static str,
    day: String,
    package: String,
    base: String,
    refused: i64,
    /// 広域連合 that pays, when there is one.
    union: String,
    certificates: usize,
}

fn insurer_row(line: InsurerLine) -> InsurerRow {
    let (start, package) = (line.start, line.last_package);
    let is_member = line.paying_insurer != start.insurer_number;
    InsurerRow {
        tag: match start.start.code() {
            "started" => "tag--ok",
            "planned" => "tag--new",
            "coordinating" => "tag--do",
            _ => "tag--off",
        },
        state: start.state_name,
        day: start.start.date().map(words::day).unwrap_or_default(),
        number: start.insurer_number.to_string(),
        name: start.name,
        prefecture: start.prefecture,
        package: package.as_ref().map(|one| words::moment(one.received_at)).unwrap_or_default(),
        base: package.as_ref().and_then(|one| one.base_date).map(words::day).unwrap_or_default(),
        refused: package.map_or(0, |one| one.refused),
        union: if is_member { city(line.paying_insurer) } else { String::new() },
        certificates: line.certificates,
    }
}

fn city(number: InsurerNumber) -> String {
    words::city(number.as_str()).unwrap_or_else(|| format!("保険者番号 {number}"))
}

pub(crate) async fn insurers(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let q = wanted.unwrap_or_default().q.unwrap_or_default().trim().to_owned();
    let lines = app.platform.insurer_lines(&visitor.caller, &q, &visitor.context).await.map_err(Problem::from)?;
    let html = InsurersPage {
        page: visitor.frame(&app, "運用", SCREEN, HERE),
        tab: "insurers",
        q,
        total: lines.total,
        states: ["未定", "調整中", "予定", "開始"].into_iter().zip(lines.states).collect(),
        rows: lines.insurers.into_iter().map(insurer_row).collect(),
    };
    Ok(show(&html)?)
}

#[derive(Template)]
#[template(path = "operator_offices.html")]
struct OfficesPage {
    page: Frame,
    tab: &'static str,
    q: String,
    total: usize,
    rows: Vec<OfficeLine>,
}

pub(crate) async fn offices(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let q = wanted.unwrap_or_default().q.unwrap_or_default().trim().to_owned();
    let lines = app.platform.office_lines(&visitor.caller, &q, &visitor.context).await.map_err(Problem::from)?;
    let page = visitor.frame(&app, "事業所", SCREEN, HERE);
    Ok(show(&OfficesPage { page, tab: "offices", q, total: lines.total, rows: lines.offices })?)
}

#[derive(Template)]
#[template(path = "operator_disasters.html")]
struct DisastersPage {
    page: Frame,
    tab: &'static str,
    done: &'static str,
    rows: Vec<DisasterRow>,
    classes: Vec<(&'static str, String, bool)>,
    today: String,
    typed: Vec<(&'static str, String)>,
    without_consent: bool,
    /// Field and message.
    errors: Vec<(String, String)>,
}

impl DisastersPage {
    fn typed(&self, name: &str) -> &str {
        self.typed.iter().find(|(field, _)| *field == name).map_or("", |(_, text)| text)
    }

    fn message(&self, name: &str) -> Option<&str> {
        self.errors.iter().find(|(field, _)| field == name).map(|(_, text)| text.as_str())
    }
}

struct DisasterRow {
    id: String,
    event: String,
    areas: String,
    classes: String,
    offices: String,
    hosts: String,
    without_consent: bool,
    period: String,
    tag: &'static str,
    state: &'static str,
    state_name: &'static str,
    proposed_by: String,
    approved_by: String,
    closed: String,
}

/// Names of the kinds of office, from the table by which is decided.
async fn class_names(app: &App, visitor: &Visitor) -> Result<Vec<(OfficeClass, String)>, Problem> {
    let rules = app.platform.rules(&visitor.caller, &visitor.context).await?;
    Ok(OfficeClass::ALL.into_iter().zip(rules.classes).map(|(class, named)| (class, named.name)).collect())
}

fn disaster_row(line: DisasterLine, names: &[(OfficeClass, String)]) -> DisasterRow {
    let joined = |parts: Vec<String>| parts.join("、");
    let class = |class: &OfficeClass| {
        names.iter().find(|(known, _)| known == class).map(|(_, name)| name.clone()).unwrap_or_default()
    };
    DisasterRow {
        areas: joined(line.areas.iter().map(|area| city(*area)).collect()),
        classes: match line.classes.is_empty() {
            true => "すべての種類".to_owned(),
            false => joined(line.classes.iter().map(class).collect()),
        },
        offices: joined(line.offices.iter().map(ToString::to_string).collect()),
        hosts: joined(line.hosts.iter().map(|host| city(*host)).collect()),
        without_consent: line.without_consent,
        period: words::period(line.from, line.to),
        tag: match line.state {
            "open" => "tag--ng",
            "proposed" => "tag--do",
            "planned" => "tag--new",
            _ => "",
        },
        state: line.state,
        state_name: line.state_name,
        proposed_by: line.proposed_by,
        approved_by: line.approved_by.unwrap_or_default(),
        closed: line.closed_at.map(words::moment).unwrap_or_default(),
        id: line.id,
        event: line.event,
    }
}

async fn disasters_page(app: &App, visitor: &Visitor) -> Result<DisastersPage, Problem> {
    let lines = app.platform.disaster_lines(&visitor.caller, &visitor.context).await?;
    let names = class_names(app, visitor).await?;
    Ok(DisastersPage {
        page: visitor.frame(app, "災害時モード", "P-120", HERE),
        tab: "disasters",
        done: "",
        rows: lines.into_iter().map(|line| disaster_row(line, &names)).collect(),
        classes: names.into_iter().map(|(class, name)| (class.code(), name, false)).collect(),
        today: words::day(visitor.context.today()),
        typed: Vec::new(),
        without_consent: false,
        errors: Vec::new(),
    })
}

pub(crate) async fn disasters(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let mut html = disasters_page(&app, &visitor).await?;
    html.done = match wanted.unwrap_or_default().done.as_deref() {
        Some("propose") => "提案しました。まだ開いていません。別の運用者が、別の端末から承認すると開きます。",
        _ => "",
    };
    Ok(show(&html)?)
}

/// Numbers as they are typed: one a line, or with spaces or commas between them.
fn numbers(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '、' | '，'));
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// A kind of office that is none of ours would leave fewer kinds, and none at all means all of them.
fn proposal(form: &Form) -> Result<Proposal, Problem> {
    let classes: Option<Vec<OfficeClass>> = form.all("classes").iter().map(|code| OfficeClass::parse(code)).collect();
    let Some(classes) = classes else {
        return Err(Problem::invalid(vec![ItemFault::new("classes", "事業所の種類を、もう一度選んでください")]));
    };
    Ok(Proposal {
        event: form.get("event").to_owned(),
        areas: numbers(form.get("areas")),
        classes,
        offices: numbers(form.get("offices")),
        hosts: numbers(form.get("hosts")),
        without_consent: form.get("without_consent") == "yes",
        from: form.get("from").to_owned(),
        to: form.get("to").to_owned(),
    })
}

const FIELDS: [&str; 6] = ["event", "areas", "offices", "hosts", "from", "to"];

pub(crate) async fn propose(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let proposal = proposal(&form).and_then(|proposal| proposal.check());
    let problem = match app.platform.propose_disaster(&visitor.caller, proposal, &visitor.context).await {
        Ok(_) => return Ok(to("/operator/disasters?done=propose", None)),
        Err(problem) => problem,
    };
    let faults = problem.items();
    if faults.is_empty() {
        return Err(problem.into());
    }
    let mut html = disasters_page(&app, &visitor).await?;
    // `areas[0]` is told at the field, and the period at its end.
    let field = |item: String| match item.split('[').next().unwrap_or_default() {
        "period" => "to".to_owned(),
        name => name.to_owned(),
    };
    html.errors = faults.into_iter().map(|(item, text)| (field(item), text)).collect();
    html.typed = FIELDS.map(|name| (name, form.as_typed(name).to_owned())).into();
    html.without_consent = form.get("without_consent") == "yes";
    let chosen = form.all("classes");
    html.classes.iter_mut().for_each(|(code, _, is_chosen)| *is_chosen = chosen.iter().any(|one| one == code));
    html.page.has_errors = true;
    let mut response = show(&html)?;
    *response.status_mut() = problem.status;
    Ok(response)
}

#[derive(Template)]
#[template(path = "operator_disaster.html")]
struct DisasterPage {
    page: Frame,
    done: &'static str,
    error: String,
    row: DisasterRow,
    /// The visitor proposed it: somebody else approves.
    is_own: bool,
    found: i64,
    viewed: i64,
    /// Name, found and opened.
    organizations: Vec<(String, i64, i64)>,
}

async fn disaster_page(app: &App, visitor: &Visitor, id: &str) -> Result<DisasterPage, Problem> {
    let report = app.platform.disaster_report(&visitor.caller, id, &visitor.context).await?;
    let names = class_names(app, visitor).await?;
    let own = visitor.caller.staff.id.0.rsplit_once('/').map(|(_, name)| name.to_owned());
    Ok(DisasterPage {
        page: Frame { body: "main--read", ..visitor.frame(app, "災害時モード", "P-120", HERE) },
        done: "",
        error: String::new(),
        is_own: own.as_deref() == Some(report.mode.proposed_by.as_str()),
        row: disaster_row(report.mode, &names),
        found: report.found,
        viewed: report.viewed,
        organizations: report.organizations.into_iter().map(|one| (one.name, one.found, one.viewed)).collect(),
    })
}

pub(crate) async fn disaster(
    State(app): State<App>,
    visitor: Visitor,
    Path(disaster): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let mut html = disaster_page(&app, &visitor, &disaster).await?;
    html.done = match wanted.unwrap_or_default().done.as_deref() {
        Some("approve") => "承認しました。期間のあいだ、開いています。",
        Some("close") => "終えました。下が終了の報告です。",
        _ => "",
    };
    Ok(show(&html)?)
}

pub(crate) async fn act(
    State(app): State<App>,
    Path(disaster): Path<String>,
    posted: Posted,
) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let Visitor { caller, context, .. } = &visitor;
    let (done, word) = match form.get("act") {
        "approve" => (app.platform.approve_disaster(caller, &disaster, context).await, "approve"),
        "close" => (app.platform.close_disaster(caller, &disaster, context).await, "close"),
        _ => return Err(Problem::unknown().into()),
    };
    let problem = match done.map_err(Problem::from) {
        Ok(()) => return Ok(to(&format!("/operator/disasters/{disaster}?done={word}"), None)),
        Err(problem) if problem.code == "conflict" => problem,
        Err(problem) => return Err(problem.into()),
    };
    let mut html = disaster_page(&app, &visitor, &disaster).await?;
    html.error.clone_from(&problem.title);
    html.page.has_errors = true;
    let mut response = show(&html)?;
    *response.status_mut() = problem.status;
    Ok(response)
}

#[derive(Template)]
#[template(path = "operator_audit.html")]
struct AuditPage {
    page: Frame,
    tab: &'static str,
    heads: Option<AuditHeads>,
    at: String,
    version: String,
    from: String,
}

pub(crate) async fn audit(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &visitor;
    let heads = app.platform.audit_heads(caller, context).await.map_err(Problem::from)?;
    let rules = app.platform.rules(caller, context).await.map_err(Problem::from)?;
    let html = AuditPage {
        page: visitor.frame(&app, "監査", "P-110", HERE),
        tab: "audit",
        at: heads.as_ref().map(|heads| words::moment(heads.at)).unwrap_or_default(),
        heads,
        version: rules.version,
        from: words::day(rules.from),
    };
    Ok(show(&html)?)
}
