//! セキュリティ点検 (P-195, P-197, S-044…S-047): what an office answers about its own terminals and rules once a year, the rules that
//! follow from it and the steps after an accident, both to be printed with number and name of the office.

use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show, words};
use crate::input::{Form, Query};
use crate::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use kiban_domain::Organization;
use kiban_domain::dates::{DateError, parse_typed};
use kiban_service::{CHECK_QUESTIONS, CheckAnswer, CheckMade, CheckQuestion, ItemFault, SELF_CHECK_EDITION};
use serde::Deserialize;
use std::collections::BTreeMap;

const HERE: &str = "/admin";
const SCREEN: &str = "P-195";

/// Closed words.
#[derive(Deserialize, Default)]
pub(crate) struct Wanted {
    done: Option<String>,
}

#[derive(Template)]
#[template(path = "self_check.html")]
struct SelfCheckPage {
    page: Frame,
    edition: &'static str,
    done: bool,
    is_administrator: bool,
    last: Option<Last>,
    groups: Vec<(&'static str, Vec<Asked>)>,
    total: usize,
    example: String,
    /// Field and message.
    errors: Vec<(String, String)>,
}

/// The check before.
struct Last {
    at: String,
    by: String,
    is_due: bool,
    yes: usize,
    /// Number, question, day, whether it has passed, and what to do.
    open: Vec<Open>,
}

struct Open {
    question: &'static CheckQuestion,
    until: String,
    is_late: bool,
}

/// A question with what was answered before and what is typed now.
struct Asked {
    question: &'static CheckQuestion,
    before: String,
    typed: String,
    day: String,
    message: String,
}

fn last_of(made: &CheckMade, today: kiban_domain::Date) -> Last {
    let open = CHECK_QUESTIONS.iter().filter_map(|question| match made.answers.get(question.number) {
        Some(CheckAnswer::NotYet(day)) => Some(Open { question, until: words::day(*day), is_late: *day < today }),
        _ => None,
    });
    Last {
        at: words::day_of(made.made_at),
        by: made.made_by.clone(),
        is_due: made.is_due,
        yes: made.answers.values().filter(|answer| **answer == CheckAnswer::Yes).count(),
        open: open.collect(),
    }
}

async fn build(
    app: &App,
    visitor: &Visitor,
    form: Option<&Form>,
    faults: Vec<(String, String)>,
) -> Result<SelfCheckPage, Problem> {
    let Visitor { caller, context, .. } = visitor;
    let made = app.platform.self_check(caller, context).await?;
    let mut groups: Vec<(&'static str, Vec<Asked>)> = Vec::new();
    for question in CHECK_QUESTIONS.iter() {
        let typed = |prefix: &str| form.map_or("", |form| form.as_typed(&format!("{prefix}{}", question.number)));
        let before = match made.as_ref().and_then(|made| made.answers.get(question.number)) {
            Some(CheckAnswer::Yes) => "前回：はい".to_owned(),
            Some(CheckAnswer::NotYet(day)) => format!("前回：いいえ（{}までに直す）", words::day(*day)),
            None => String::new(),
        };
        let message = faults.iter().find(|(item, _)| item == question.number);
        let asked = Asked {
            question,
            before,
            typed: typed("a.").to_owned(),
            day: typed("d.").to_owned(),
            message: message.map(|(_, text)| text.clone()).unwrap_or_default(),
        };
        match groups.iter_mut().find(|(group, _)| *group == question.group) {
            Some((_, list)) => list.push(asked),
            None => groups.push((question.group, vec![asked])),
        }
    }
    let mut page = visitor.frame(app, "セキュリティ点検", SCREEN, HERE);
    page.has_errors = !faults.is_empty();
    Ok(SelfCheckPage {
        page,
        edition: SELF_CHECK_EDITION,
        done: false,
        is_administrator: caller.staff.administrator,
        last: made.as_ref().map(|made| last_of(made, context.today())),
        groups,
        total: CHECK_QUESTIONS.len(),
        example: words::day(context.today().checked_add(jiff::Span::new().days(30)).unwrap_or(context.today())),
        errors: faults.into_iter().map(|(item, text)| (format!("q-{item}"), text)).collect(),
    })
}

pub(crate) async fn form(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let mut html = build(&app, &visitor, None, Vec::new()).await?;
    html.done = wanted.unwrap_or_default().done.is_some();
    Ok(show(&html)?)
}

/// The answers of a form; a question without one is told by the use case.
fn answers(form: &Form) -> Result<BTreeMap<String, CheckAnswer>, Problem> {
    let (mut answers, mut faults) = (BTreeMap::new(), Vec::new());
    for question in CHECK_QUESTIONS.iter() {
        let number = question.number;
        let fault = |text: String| ItemFault::new(number, format!("{number}：{text}"));
        match form.get(&format!("a.{number}")) {
            "yes" => {
                answers.insert(number.to_owned(), CheckAnswer::Yes);
            }
            "no" => match form.get(&format!("d.{number}")) {
                "" => faults.push(fault("「いいえ」のときは、いつまでに直すかを入れてください".to_owned())),
                typed => match parse_typed(typed).map_err(|error| DateError::message_ja(&error)) {
                    Ok(day) => {
                        answers.insert(number.to_owned(), CheckAnswer::NotYet(day));
                    }
                    Err(text) => faults.push(fault(text)),
                },
            },
            _ => faults.push(ItemFault::new(number, format!("{number} に答えてください"))),
        }
    }
    if faults.is_empty() { Ok(answers) } else { Err(Problem::invalid(faults)) }
}

pub(crate) async fn keep(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let Visitor { caller, context, .. } = &visitor;
    let problem = match app.platform.put_self_check(caller, answers(&form), context).await {
        Ok(()) => return Ok(to("/admin/security?done=kept", None)),
        Err(problem) => problem,
    };
    let faults = problem.items();
    if faults.is_empty() {
        return Err(problem.into());
    }
    let html = build(&app, &visitor, Some(&form), faults).await?;
    let mut response = show(&html)?;
    *response.status_mut() = problem.status;
    Ok(response)
}

#[derive(Template)]
#[template(path = "self_check_rules.html")]
struct RulesSheet {
    page: Frame,
    office: String,
    number: String,
    /// 令和…の点検
    made: String,
    /// Group and its sentences, each with the day from which it holds when it does not yet.
    articles: Vec<(&'static str, Vec<(&'static str, String)>)>,
}

pub(crate) async fn rules(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &visitor;
    let made = app.platform.self_check(caller, context).await.map_err(Problem::from)?;
    let mut articles: Vec<(&'static str, Vec<(&'static str, String)>)> = Vec::new();
    for question in CHECK_QUESTIONS.iter() {
        let from = match made.as_ref().and_then(|made| made.answers.get(question.number)) {
            Some(CheckAnswer::NotYet(day)) => format!("{}までに始める", words::day(*day)),
            _ => String::new(),
        };
        match articles.iter_mut().find(|(group, _)| *group == question.group) {
            Some((_, list)) => list.push((question.rule, from)),
            None => articles.push((question.group, vec![(question.rule, from)])),
        }
    }
    let (office, number) = named(&app, &visitor)?;
    let page =
        Frame { body: "main--read", ..visitor.frame(&app, "安全管理の規程（ひな形）", SCREEN, HERE) };
    let made = made.map(|made| words::day_of(made.made_at)).unwrap_or_default();
    Ok(show(&RulesSheet { page, office, number, made, articles })?)
}

#[derive(Template)]
#[template(path = "self_check_incident.html")]
struct IncidentSheet {
    page: Frame,
    office: String,
    number: String,
}

pub(crate) async fn incident(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    let (office, number) = named(&app, &visitor)?;
    let page =
        Frame { body: "main--read", ..visitor.frame(&app, "事故のときの手順と連絡先", "P-197", HERE) };
    Ok(show(&IncidentSheet { page, office, number })?)
}

/// Name and number of the office.
fn named(app: &App, visitor: &Visitor) -> Result<(String, String), Problem> {
    let Organization::Office(number) = visitor.caller.organization else { return Err(Problem::unknown()) };
    let office = app.platform.standing().office(number).map(|office| office.name.clone());
    Ok((office.unwrap_or_default(), number.to_string()))
}
