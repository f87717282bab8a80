//! 同意 (P-060…P-071): taken on the spot where this office may take it, narrowed or withdrawn at any time.

use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show};
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use kiban_domain::Kind;
use kiban_domain::consent::{ConsentAct, Declarant, IdentityProof};
use kiban_service::{ConsentRequest, ItemFault};

/// 様式と版 of the words on this page, recorded with each act.
const FORM: &str = "WEB画面の同意 第1版";
/// 説明書と版 (P-065): the text read out on this page.
const LEAFLET: &str = "WEB画面の読み上げ文 第1版";

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage {
    page: Frame,
    handle: String,
    name: String,
    errors: Vec<String>,
    /// Kinds that may be refused one by one.
    kinds: Vec<(&'static str, &'static str)>,
    act: String,
    kind: String,
    declarant: String,
    relation: String,
    proof: String,
    remark: String,
}

/// Whether the visitor takes consents of anybody at all: otherwise the page does not exist for them.
pub(crate) fn is_taker(app: &App, visitor: &Visitor) -> Result<bool, Problem> {
    Ok(app.platform.takes_consents(&visitor.caller, &visitor.context)?)
}

async fn page(app: &App, visitor: &Visitor, handle: String) -> Result<ConsentPage, Problem> {
    if !is_taker(app, visitor)? {
        return Err(Problem::unknown());
    }
    let person = app.platform.view_identity(&visitor.caller, &handle, &visitor.context).await?;
    let kinds = [Kind::A1, Kind::A2, Kind::C1, Kind::Cp1, Kind::E1, Kind::E2];
    Ok(ConsentPage {
        page: Frame { body: "main--read", ..visitor.frame(app, "同意を登録する", "P-062", "/users") },
        handle,
        name: person["name"].as_str().unwrap_or_default().to_owned(),
        errors: Vec::new(),
        kinds: kinds.map(|kind| (kind.code(), kind.name_ja())).into(),
        act: "given".to_owned(),
        kind: String::new(),
        declarant: String::new(),
        relation: String::new(),
        proof: String::new(),
        remark: String::new(),
    })
}

pub(crate) async fn form(
    State(app): State<App>,
    visitor: Visitor,
    Path(handle): Path<String>,
) -> Result<Response, Away> {
    Ok(show(&page(&app, &visitor, handle).await?)?)
}

pub(crate) async fn record(
    State(app): State<App>,
    Path(handle): Path<String>,
    posted: Posted,
) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let request = asked(&form);
    let problem = match app.platform.record_consent(&visitor.caller, &handle, request, &visitor.context).await {
        Ok(_) => return Ok(to(&format!("/p/{handle}"), None)),
        Err(problem) => problem,
    };
    let errors: Vec<String> = problem.items().into_iter().map(|(_, message)| message).collect();
    if errors.is_empty() {
        return Err(problem.into());
    }
    let mut page = page(&app, &visitor, handle).await?;
    page.errors = errors;
    page.page.has_errors = true;
    let typed = |name: &str| form.get(name).to_owned();
    page.act = typed("act");
    page.kind = typed("kind");
    page.declarant = typed("declarant");
    page.relation = typed("relation");
    page.proof = typed("proof");
    page.remark = typed("remark");
    let mut response = show(&page)?;
    *response.status_mut() = problem.status;
    Ok(response)
}

fn asked(form: &crate::input::Form) -> Result<ConsentRequest, Problem> {
    let fault = |item: &str, text: &str| Problem::invalid(vec![ItemFault::new(item, text)]);
    let kind = || Kind::parse(form.get("kind")).ok_or_else(|| fault("kind", "どの情報かを選んでください"));
    let act = match form.get("act") {
        "given" => ConsentAct::Given,
        "withdrawn" => ConsentAct::Withdrawn,
        "kind_refused" => ConsentAct::KindRefused(kind()?),
        "kind_allowed" => ConsentAct::KindAllowed(kind()?),
        "not_obtainable" => ConsentAct::NotObtainable,
        _ => return Err(fault("act", "本人の気持ちを選んでください")),
    };
    let declarant = match form.get("declarant") {
        "person" => Declarant::Person,
        "representative" => Declarant::Representative { relation: form.get("relation").to_owned() },
        _ => return Err(fault("declarant", "だれの意思かを選んでください")),
    };
    let proof = match form.get("proof") {
        "insurance_card" => IdentityProof::InsuranceCard,
        "individual_number_card" => IdentityProof::IndividualNumberCard,
        "other_document" => IdentityProof::OtherDocument,
        _ => return Err(fault("proof", "確かめ方を選んでください")),
    };
    let remark = Some(form.get("remark").to_owned()).filter(|text| !text.is_empty());
    let (form, leaflet) = (FORM.to_owned(), Some(LEAFLET.to_owned()));
    Ok(ConsentRequest { act, declarant, proof, form, remark, leaflet, evidence: None })
}
