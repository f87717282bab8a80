//! 届出 (P-138): 居宅サービス計画作成依頼（変更）届出 for a person, written, confirmed, sent to the municipality, and put right when it comes
//! back.

use super::inbox::{Part, plan_request};
use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show, words};
use crate::input::{Faults, Form};
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use kiban_domain::dates::{DateError, parse_typed};
use kiban_domain::ids::IdError;
use kiban_domain::plan_request::{
    Commission, Filer, FilingCode, FilingEntry, FormCode, PlanRequest, PlanRequestForm, SubmissionState,
};
use kiban_domain::{CareManagerNumber, Date, OfficeNumber, ServiceType};
use kiban_service::{Filed, Original, RequestLine, RequestWork};

const HERE: &str = "/requests";
const SCREEN: &str = "P-216";

/// 様式: closed word, words.
const FORMS: [(&str, &str, FormCode); 4] = [
    ("home_care", "居宅サービス計画作成依頼（変更）届出書", FormCode::HomeCare),
    ("preventive", "介護予防サービス計画作成・介護予防ケアマネジメント依頼（変更）届出書", FormCode::Preventive),
    ("small", "（看護）小規模多機能型居宅介護の届出書", FormCode::SmallMultifunctional),
    ("preventive_small", "介護予防小規模多機能型居宅介護の届出書", FormCode::PreventiveSmallMultifunctional),
];

/// 区分: closed word, words.
const FILINGS: [(&str, &str, FilingCode); 3] = [
    ("new", "新規", FilingCode::New),
    ("change", "変更（事業所を変えるとき）", FilingCode::Change),
    ("end", "終了", FilingCode::End),
];

/// Everything the form asks.
const FIELDS: [&str; 19] = [
    "form",
    "filing",
    "starts_on",
    "reason",
    "changed_on",
    "care_manager_name",
    "care_manager",
    "office_address",
    "office_telephone",
    "who",
    "filer_name",
    "relation",
    "address",
    "telephone",
    "commission_office",
    "commission_name",
    "commission_from",
    "other_services",
    "agrees",
];

#[derive(Template)]
#[template(path = "requests.html")]
struct ListPage {
    page: Frame,
    rows: Vec<Row>,
    returned: usize,
}

struct Row {
    name: String,
    kana: String,
    city: String,
    sent: String,
    tag: (&'static str, &'static str),
    more: String,
    act: (String, &'static str),
}

pub(crate) async fn list(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    let lines = app.platform.plan_requests(&visitor.caller, &visitor.context).await.map_err(Problem::from)?;
    let is_returned = |line: &&RequestLine| matches!(line.filed.state, SubmissionState::Returned { .. });
    let html = ListPage {
        page: visitor.frame(&app, "届出", SCREEN, HERE),
        returned: lines.iter().filter(is_returned).count(),
        rows: lines.iter().map(row).collect(),
    };
    Ok(show(&html)?)
}

fn city(insurer: &str) -> String {
    words::city(insurer).unwrap_or_else(|| "市区町村".to_owned())
}

fn tag(state: &SubmissionState) -> (&'static str, &'static str) {
    match state {
        SubmissionState::Submitted => ("tag--new", "提出"),
        SubmissionState::Fetched => ("tag--new", "市区町村が確かめています"),
        SubmissionState::Accepted => ("tag--ok", "受理"),
        SubmissionState::Returned { .. } => ("tag--ng", "差戻し"),
    }
}

fn row(line: &RequestLine) -> Row {
    let base = format!("/p/{}/request", line.handle);
    let (more, act) = match &line.filed.state {
        SubmissionState::Returned { reason } => (format!("差戻しの理由：{reason}"), (base, "届出を直す")),
        _ => (String::new(), (format!("{base}/{}", line.filed.receipt), "受付を見る")),
    };
    Row {
        name: line.name.clone().unwrap_or_else(|| format!("被保険者番号 {}", line.insured_number)),
        kana: line.kana.clone().unwrap_or_default(),
        city: city(&line.insurer_number),
        sent: words::moment(line.filed.submitted_at),
        tag: tag(&line.filed.state),
        more,
        act,
    }
}

#[derive(Template)]
#[template(path = "request.html")]
struct FormPage {
    page: Frame,
    handle: String,
    name: String,
    about: String,
    city: String,
    office: String,
    /// 差戻しの理由, of one that is to be put right.
    returned: String,
    /// One that waits for the municipality: there is nothing to write until it is decided.
    waits: String,
    forms: Vec<(&'static str, &'static str)>,
    filings: Vec<(&'static str, &'static str)>,
    typed: Vec<(&'static str, String)>,
    /// Field and message, in the order of the page.
    errors: Vec<(String, String)>,
}

impl FormPage {
    fn typed(&self, name: &str) -> &str {
        self.typed.iter().find(|(field, _)| *field == name).map_or("", |(_, text)| text)
    }

    fn message(&self, name: &str) -> &str {
        self.errors.iter().find(|(field, _)| field == name).map_or("", |(_, text)| text)
    }
}

async fn work(app: &App, visitor: &Visitor, handle: &str) -> Result<RequestWork, Problem> {
    Ok(app.platform.request_work(&visitor.caller, handle, &visitor.context).await?)
}

fn form_page(app: &App, visitor: &Visitor, handle: &str, work: &RequestWork) -> FormPage {
    let text = |name: &str| work.identity[name].as_str().unwrap_or_default().to_owned();
    let (returned, waits) = match &work.former {
        Some((filed, _)) => match &filed.state {
            SubmissionState::Returned { reason } => (reason.clone(), String::new()),
            SubmissionState::Accepted => (String::new(), String::new()),
            _ => (String::new(), filed.receipt.clone()),
        },
        None => (String::new(), String::new()),
    };
    FormPage {
        page: Frame { body: "main--read", ..visitor.frame(app, "届出を書く", SCREEN, HERE) },
        handle: handle.to_owned(),
        name: text("name"),
        about: format!("{}　被保険者番号 {}", text("kana"), text("insured_number")),
        city: city(work.person.insurer.as_str()),
        office: format!("{}（{}）", work.office.name, work.office.number),
        returned,
        waits,
        forms: FORMS.iter().map(|(word, words, _)| (*word, *words)).collect(),
        filings: FILINGS.iter().map(|(word, words, _)| (*word, *words)).collect(),
        typed: beginning(visitor, work),
        errors: Vec::new(),
    }
}

/// What stands in the form at first: the one that came back, or what is known.
fn beginning(visitor: &Visitor, work: &RequestWork) -> Vec<(&'static str, String)> {
    let is_returned = |filed: &Filed| matches!(filed.state, SubmissionState::Returned { .. });
    if let Some((filed, Some(request))) = &work.former
        && is_returned(filed)
    {
        return again(request);
    }
    let staff = &visitor.caller.staff;
    let number = staff.care_manager.as_ref().map(ToString::to_string);
    let known = [
        ("form", "home_care".to_owned()),
        ("filing", "new".to_owned()),
        ("starts_on", words::day(visitor.context.today())),
        ("care_manager_name", staff.name.clone()),
        ("care_manager", number.unwrap_or_default()),
        ("office_address", work.office.address.clone().unwrap_or_default()),
        ("office_telephone", work.office.telephone.clone().unwrap_or_default()),
        ("who", "person".to_owned()),
    ];
    known.into()
}

/// A 届出 as it was typed.
fn again(request: &PlanRequest) -> Vec<(&'static str, String)> {
    let form = PlanRequestForm::from(request.clone());
    let word = FORMS.iter().find(|(.., code)| *code == form.form).map_or("", |(word, ..)| word);
    let filing = FILINGS.iter().find(|(.., code)| *code == form.filing.kind).map_or("", |(word, ..)| word);
    let codes = form.other_services.as_ref().map(|services| {
        let codes: Vec<&str> = services.iter().map(ServiceType::as_str).collect();
        if codes.is_empty() { "なし".to_owned() } else { codes.join("、") }
    });
    let commission = form.commission.as_ref();
    let mut typed = vec![
        ("form", word.to_owned()),
        ("filing", filing.to_owned()),
        ("starts_on", words::day(form.starts_on)),
        ("reason", form.filing.reason.clone().unwrap_or_default()),
        ("changed_on", form.filing.changed_on.map(words::day).unwrap_or_default()),
        ("care_manager_name", form.care_manager_name.clone()),
        ("care_manager", form.care_manager.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("office_address", form.office_address.clone().unwrap_or_default()),
        ("office_telephone", form.office_telephone.clone().unwrap_or_default()),
        ("commission_office", commission.map(|one| one.office.to_string()).unwrap_or_default()),
        ("commission_name", commission.map(|one| one.office_name.clone()).unwrap_or_default()),
        ("commission_from", commission.map(|one| words::day(one.starts_on)).unwrap_or_default()),
        ("other_services", codes.unwrap_or_default()),
    ];
    match &form.filer {
        Some(Filer::Representative { name, relation, address, telephone }) => typed.extend([
            ("who", "representative".to_owned()),
            ("filer_name", name.clone()),
            ("relation", relation.clone()),
            ("address", address.clone()),
            ("telephone", telephone.clone().unwrap_or_default()),
        ]),
        _ => typed.push(("who", "person".to_owned())),
    }
    typed
}

pub(crate) async fn form(
    State(app): State<App>,
    visitor: Visitor,
    Path(handle): Path<String>,
) -> Result<Response, Away> {
    let work = work(&app, &visitor, &handle).await?;
    Ok(show(&form_page(&app, &visitor, &handle, &work))?)
}

#[derive(Template)]
#[template(path = "request_send.html")]
struct ConfirmPage {
    page: Frame,
    handle: String,
    name: String,
    city: String,
    part: Part,
    typed: Vec<(&'static str, String)>,
}

pub(crate) async fn act(State(app): State<App>, Path(handle): Path<String>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let work = work(&app, &visitor, &handle).await?;
    let mut page = form_page(&app, &visitor, &handle, &work);
    page.typed = FIELDS.into_iter().map(|name| (name, form.get(name).to_owned())).collect();
    if form.get("act") == "edit" {
        return Ok(show(&page)?);
    }
    let request = match read(&form, &work, visitor.context.today()) {
        Ok(request) => request,
        Err(errors) => return Ok(put_right(page, errors)?),
    };
    if form.get("act") != "send" {
        let html = ConfirmPage {
            page: Frame { body: "main--read", ..visitor.frame(&app, "届出の確認", SCREEN, HERE) },
            name: page.name,
            city: page.city,
            part: plan_request(&request),
            typed: page.typed,
            handle,
        };
        return Ok(show(&html)?);
    }
    let bytes = serde_json::to_vec(&request).map_err(|error| Problem::internal(error.to_string()))?;
    let original = Original { media: "application/json".to_owned(), bytes };
    // Sent twice: the first one waits and says the same, and its receipt is the answer.
    let twice = work.former.as_ref().filter(|(former, content)| {
        let waits = matches!(former.state, SubmissionState::Submitted | SubmissionState::Fetched);
        waits && content.as_ref() == Some(&request)
    });
    let sent = Ok::<_, Problem>(request);
    let filed = app.platform.file_plan_request(&visitor.caller, &handle, sent, original, &visitor.context).await;
    let receipt = match (filed, twice) {
        (Ok(filed), _) => filed.receipt,
        (Err(problem), Some((former, _))) if problem.code == "conflict" => former.receipt.clone(),
        (Err(problem), None) if problem.code == "conflict" => {
            let mut response = put_right(page, vec![(String::new(), problem.title.clone())])?;
            *response.status_mut() = problem.status;
            return Ok(response);
        }
        (Err(problem), _) if !problem.items().is_empty() => return Ok(put_right(page, fields(problem.items()))?),
        (Err(problem), _) => return Err(problem.into()),
    };
    Ok(to(&format!("/p/{handle}/request/{receipt}"), None))
}

fn put_right(mut page: FormPage, errors: Vec<(String, String)>) -> Result<Response, Problem> {
    let place = |field: &str| FIELDS.iter().position(|one| *one == field).unwrap_or(FIELDS.len());
    page.errors = errors;
    page.errors.sort_by_key(|(field, _)| place(field));
    page.page.has_errors = true;
    let mut response = show(&page)?;
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    Ok(response)
}

/// Faults by the field of the page instead of the item of the JSON.
fn fields(items: Vec<(String, String)>) -> Vec<(String, String)> {
    let field = |item: &str| match item {
        "filing.reason" => "reason",
        "filing.changed_on" => "changed_on",
        "filer" => "filer_name",
        "commission" | "commission.office" => "commission_office",
        "commission.office_name" => "commission_name",
        "person_agrees" => "agrees",
        other => FIELDS.iter().find(|one| **one == other).copied().unwrap_or(""),
    };
    items.into_iter().map(|(item, text)| (field(&item).to_owned(), text)).collect()
}

/// The 届出 of what was typed, or field and message of everything that is wrong.
fn read(form: &Form, work: &RequestWork, today: Date) -> Result<PlanRequest, Vec<(String, String)>> {
    let mut faults = Faults::default();
    let filled = |name: &str| Some(form.get(name).to_owned()).filter(|text| !text.is_empty());
    let kind = FORMS.iter().find(|(word, ..)| *word == form.get("form")).map(|(.., code)| *code);
    let filing = FILINGS.iter().find(|(word, ..)| *word == form.get("filing")).map(|(.., code)| *code);
    if kind.is_none() {
        faults.add("form", "様式を選んでください");
    }
    if filing.is_none() {
        faults.add("filing", "区分を選んでください");
    }
    let starts_on = faults.take("starts_on", parse_typed(form.get("starts_on")), DateError::message_ja);
    let is_change = filing == Some(FilingCode::Change);
    let changed_on = match filled("changed_on").filter(|_| is_change) {
        Some(text) => faults.take("changed_on", parse_typed(&text), DateError::message_ja),
        None => None,
    };
    let care_manager = match filled("care_manager") {
        Some(text) => faults.take("care_manager", CareManagerNumber::parse(&text), IdError::message_ja),
        None => None,
    };
    let commission = commission(form, kind, &mut faults);
    let is_small = matches!(kind, Some(FormCode::SmallMultifunctional | FormCode::PreventiveSmallMultifunctional));
    let other_services = filled("other_services").filter(|_| is_small).map(|text| services(&text, &mut faults));
    let filer = match form.get("who") {
        "person" => Some(Filer::Person { address: None, telephone: None }),
        "representative" => Some(Filer::Representative {
            name: form.get("filer_name").to_owned(),
            relation: form.get("relation").to_owned(),
            address: form.get("address").to_owned(),
            telephone: filled("telephone"),
        }),
        _ => None,
    };
    let written = starts_on.zip(kind).zip(filing).map(|((starts_on, form_code), filing)| PlanRequestForm {
        person: work.person,
        filing: FilingEntry { kind: filing, reason: is_change.then(|| form.get("reason").to_owned()), changed_on },
        form: form_code,
        commission,
        other_services,
        office: work.office.number,
        office_name: work.office.name.clone(),
        office_address: filled("office_address"),
        office_telephone: filled("office_telephone"),
        care_manager_name: form.get("care_manager_name").to_owned(),
        care_manager,
        starts_on,
        filed_on: today,
        filer,
        person_agrees: form.get("agrees") == "yes",
    });
    let mut errors = fields(faults.problem().items());
    let request = written.map(PlanRequest::try_from);
    let found = match &request {
        Some(Ok(request)) => request.problems(),
        Some(Err(faults)) => faults.0.clone(),
        None => Vec::new(),
    };
    errors.extend(fields(found.into_iter().map(|one| (one.item.to_owned(), one.text.to_owned())).collect()));
    match request {
        Some(Ok(request)) if errors.is_empty() => Ok(request),
        _ => Err(errors),
    }
}

/// 委託先, if one is named.
fn commission(form: &Form, kind: Option<FormCode>, faults: &mut Faults) -> Option<Commission> {
    let names = ["commission_office", "commission_name", "commission_from"];
    if kind != Some(FormCode::Preventive) || names.iter().all(|name| form.get(name).is_empty()) {
        return None;
    }
    let number = OfficeNumber::parse(form.get("commission_office"));
    let office = faults.take("commission_office", number, IdError::message_ja);
    let from = faults.take("commission_from", parse_typed(form.get("commission_from")), DateError::message_ja);
    let office_name = form.get("commission_name").to_owned();
    office.zip(from).map(|(office, starts_on)| Commission { office, office_name, starts_on })
}

/// Codes of two characters between whatever separates them; none of them for なし.
fn services(text: &str, faults: &mut Faults) -> Vec<ServiceType> {
    if text == "なし" {
        return Vec::new();
    }
    let parts = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let read: Vec<_> = parts.map(ServiceType::parse).collect();
    let all: Option<Vec<ServiceType>> = read.into_iter().map(Result::ok).collect();
    all.filter(|all| !all.is_empty()).unwrap_or_else(|| {
        faults.add("other_services", "「なし」か、サービス種類の2けたの番号を書いてください（例：11、15）");
        Vec::new()
    })
}

#[derive(Template)]
#[template(path = "request_receipt.html")]
struct ReceiptPage {
    page: Frame,
    handle: String,
    name: String,
    city: String,
    receipt: String,
    sent: String,
    decided: String,
    state: &'static str,
    /// `waits`, `accepted` or `returned`.
    step: &'static str,
    reason: String,
}

pub(crate) async fn receipt(
    State(app): State<App>,
    visitor: Visitor,
    Path((handle, receipt)): Path<(String, String)>,
) -> Result<Response, Away> {
    let work = work(&app, &visitor, &handle).await?;
    let all = app.platform.filed(&visitor.caller, &handle, &visitor.context).await.map_err(Problem::from)?;
    let filed = all.into_iter().find(|one| one.receipt == receipt).ok_or_else(Problem::unknown)?;
    let (step, reason) = match &filed.state {
        SubmissionState::Accepted => ("accepted", String::new()),
        SubmissionState::Returned { reason } => ("returned", reason.clone()),
        _ => ("waits", String::new()),
    };
    let html = ReceiptPage {
        page: Frame { body: "main--read", ..visitor.frame(&app, "届出の受付", SCREEN, HERE) },
        handle,
        name: work.identity["name"].as_str().unwrap_or_default().to_owned(),
        city: city(work.person.insurer.as_str()),
        receipt,
        sent: words::moment(filed.submitted_at),
        decided: filed.decided_at.map(words::moment).unwrap_or_default(),
        state: filed.state_name,
        step,
        reason,
    };
    Ok(show(&html)?)
}
