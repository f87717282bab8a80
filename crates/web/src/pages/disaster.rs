//! 災害時の検索 (P-120…P-126): the reason first, then what is known of one person. The page exists only while a mode is open that counts
//! for the visitor.

use super::visitor::{Away, Posted, Visitor};
use super::{Frame, show, words};
use crate::input::{Faults, Form};
use crate::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use kiban_domain::InsurerNumber;
use kiban_domain::dates::{DateError, parse_typed};
use kiban_domain::ids::IdError;
use kiban_domain::insured::Sex;
use kiban_service::{DisasterFound, DisasterQuery, FoundPerson};
use std::collections::BTreeSet;

const HERE: &str = "/disaster";
const SCREEN: &str = "P-212";

/// 場面: closed word, and what is recorded and shown to the person and the city.
const SCENES: [(&str, &str); 3] = [
    ("shelter", "避難所で支援している"),
    ("taken_over", "被災した事業所の利用者を引き受けた"),
    ("from_elsewhere", "よその地域から避難してきた人を受け入れた"),
];

const FIELDS: [&str; 8] = ["scene", "more", "name", "kana", "insurer_number", "address", "birth", "sex"];

#[derive(Template)]
#[template(path = "disaster.html")]
struct SearchPage {
    page: Frame,
    scenes: Vec<(&'static str, &'static str)>,
    /// Municipalities whose mode is open for the visitor: number and name.
    cities: Vec<(String, String)>,
    typed: Vec<(&'static str, String)>,
    errors: Vec<(String, String)>,
    /// What came of a search: nobody or several read the same.
    outcome: &'static str,
    found: Option<Found>,
    not_started: Vec<String>,
}

/// The one person found.
struct Found {
    handle: String,
    name: String,
    kana: String,
    birth: String,
    sex: &'static str,
    address: String,
    reason: String,
}

impl SearchPage {
    fn typed(&self, name: &str) -> &str {
        self.typed.iter().find(|(field, _)| *field == name).map_or("", |(_, text)| text)
    }

    fn message(&self, name: &str) -> &str {
        self.errors.iter().find(|(field, _)| field == name).map_or("", |(_, text)| text)
    }
}

/// The page, where a mode is open for the visitor; otherwise it does not exist.
fn empty(app: &App, visitor: &Visitor) -> Result<SearchPage, Problem> {
    let open = app.platform.open_disasters(&visitor.caller, &visitor.context);
    let areas: BTreeSet<InsurerNumber> = open.into_iter().flat_map(|mode| mode.areas).collect();
    if areas.is_empty() {
        return Err(Problem::unknown());
    }
    // Of one there is nothing to choose.
    let only = areas.first().filter(|_| areas.len() == 1);
    let typed = only.map(|number| ("insurer_number", number.to_string())).into_iter().collect();
    let city = |number: InsurerNumber| (number.to_string(), words::city(number.as_str()).unwrap_or_default());
    Ok(SearchPage {
        page: Frame { body: "main--read", ..visitor.frame(app, "災害時の検索", SCREEN, HERE) },
        scenes: SCENES.to_vec(),
        cities: areas.into_iter().map(city).collect(),
        typed,
        errors: Vec::new(),
        outcome: "",
        found: None,
        not_started: Vec::new(),
    })
}

pub(crate) async fn form(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    Ok(show(&empty(&app, &visitor)?)?)
}

pub(crate) async fn search(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let mut page = empty(&app, &visitor)?;
    page.typed = FIELDS.into_iter().map(|name| (name, form.get(name).to_owned())).collect();
    let reason = reason(&form);
    let query = read(&form, &reason);
    let found = app.platform.search_disaster(&visitor.caller, query, &visitor.context).await;
    let problem = match found {
        Ok(found) => {
            tell(&mut page, found, reason);
            return Ok(show(&page)?);
        }
        Err(problem) => problem,
    };
    let items = problem.items();
    if items.is_empty() {
        return Err(problem.into());
    }
    let field = |item: String| if item == "reason" { "scene".to_owned() } else { item };
    page.errors = items.into_iter().map(|(item, text)| (field(item), text)).collect();
    page.page.has_errors = true;
    let mut response = show(&page)?;
    *response.status_mut() = problem.status;
    Ok(response)
}

/// One person is shown; nobody and several read the same (P-123).
fn tell(page: &mut SearchPage, found: DisasterFound, reason: String) {
    page.not_started = found.not_started.into_iter().map(|one| one.message).collect();
    match <[FoundPerson; 1]>::try_from(found.people) {
        Ok([one]) => {
            page.found = Some(Found {
                handle: one.handle,
                name: one.name,
                kana: one.kana,
                birth: words::day(one.birth),
                sex: one.sex.name_ja(),
                address: one.address.unwrap_or_default(),
                reason,
            });
        }
        Err(_) => {
            page.outcome = "一致する人が一人に決まりません。分かることを足して、もう一度探してください。";
        }
    }
}

/// What is recorded: the scene, and what was added to it.
fn reason(form: &Form) -> String {
    let scene = SCENES.iter().find(|(word, _)| *word == form.get("scene")).map_or("", |(_, words)| words);
    let parts = [scene, form.get("more")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("。")
}

fn read(form: &Form, reason: &str) -> Result<DisasterQuery, Problem> {
    let mut faults = Faults::default();
    let filled = |name: &str| Some(form.get(name).to_owned()).filter(|text| !text.is_empty());
    let insurer = match filled("insurer_number") {
        Some(text) => faults.take("insurer_number", InsurerNumber::parse(&text), IdError::message_ja).map(Some),
        None => Some(None),
    };
    let birth = match filled("birth") {
        Some(text) => faults.take("birth", parse_typed(&text), DateError::message_ja).map(Some),
        None => Some(None),
    };
    let sex = match form.get("sex") {
        "male" => Some(Sex::Male),
        "female" => Some(Sex::Female),
        _ => None,
    };
    let (Some(insurer), Some(birth)) = (insurer, birth) else { return Err(faults.problem()) };
    Ok(DisasterQuery {
        reason: reason.to_owned(),
        insurer,
        name: filled("name"),
        kana: filled("kana"),
        birth,
        sex,
        address: filled("address"),
    })
}
