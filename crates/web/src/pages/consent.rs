//! 同意 (P-060…P-071): taken on the spot where this office may take it, narrowed or withdrawn at any time.

use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show, words};
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use kiban_domain::Kind;
use kiban_domain::consent::{ConsentAct, ConsentState, Declarant, IdentityProof};
use kiban_service::{ConsentRequest, ItemFault};

/// 様式と版 of the words on this page, recorded with each act.
const FORM: &str = "WEB画面の同意 第1版";
/// 説明書と版 (P-065): the text read out on this page.
const LEAFLET: &str = "WEB画面の読み上げ文 第1版";

/// Kinds that may be refused one by one.
const REFUSABLE: [Kind; 6] = [Kind::A1, Kind::A2, Kind::C1, Kind::Cp1, Kind::E1, Kind::E2];

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage {
    page: Frame,
    handle: String,
    name: String,
    errors: Vec<String>,
    /// What was declared so far, in words; empty when nothing was.
    standing: String,
    /// The person said no, or could not be asked.
    is_warning: bool,
    /// Consent is given, so it can be narrowed or withdrawn.
    is_given: bool,
    /// Whether it may be given here.
    may_take: bool,
    /// 市区町村名, who takes it otherwise.
    city: String,
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
    let desk = app.platform.consent_desk(&visitor.caller, &handle, &visitor.context).await?;
    let text = |name: &str| desk.person[name].as_str().unwrap_or_default().to_owned();
    let city = words::city(&text("insurer_number")).unwrap_or_else(|| "市区町村".to_owned());
    let state = desk.state.clone().unwrap_or_default();
    Ok(ConsentPage {
        page: Frame { body: "main--read", ..visitor.frame(app, "同意を登録する", "P-062", "/users") },
        handle,
        name: text("name"),
        errors: Vec::new(),
        standing: standing(&state),
        is_warning: state.given_at.is_none(),
        is_given: state.given_at.is_some(),
        may_take: desk.may_take,
        city,
        kinds: REFUSABLE.map(|kind| (kind.code(), kind.name_ja())).into(),
        // Nobody is taken to agree before they have said so.
        act: String::new(),
        kind: String::new(),
        declarant: String::new(),
        relation: String::new(),
        proof: String::new(),
        remark: String::new(),
    })
}

/// What was declared so far.
fn standing(state: &ConsentState) -> String {
    let refused: Vec<&str> = state.refused.iter().map(|kind| kind.name_ja()).collect();
    let but =
        if refused.is_empty() { String::new() } else { format!("見せないもの：{}。", refused.join("、")) };
    match (state.given_at, state.withdrawn_at) {
        (Some(given), _) => format!("{}から、同意しています。{but}", words::day_of(given)),
        (None, Some(withdrawn)) => format!(
            "{}に、同意をやめました。もう一度同意するという気持ちを確かめたときだけ、「同意する」を選んでください。{but}",
            words::day_of(withdrawn)
        ),
        (None, None) if state.not_obtainable => {
            format!("前に聞いたときは、意思を確かめられませんでした。{but}")
        }
        (None, None) => but,
    }
}

pub(crate) async fn form(
    State(app): State<App>,
    visitor: Visitor,
    Path(handle): Path<String>,
) -> Result<Response, Away> {
    Ok(show(&page(&app, &visitor, handle).await?)?)
}

#[derive(Template)]
#[template(path = "consent_print.html")]
struct PrintPage {
    page: Frame,
    handle: String,
    name: String,
    number: String,
    city: String,
    office: String,
    kinds: Vec<&'static str>,
    today: String,
}

/// 同意書 for the pen (P-064): the same words as read out, for whoever wants them on paper.
pub(crate) async fn print(
    State(app): State<App>,
    visitor: Visitor,
    Path(handle): Path<String>,
) -> Result<Response, Away> {
    let desk = app.platform.consent_desk(&visitor.caller, &handle, &visitor.context).await.map_err(Problem::from)?;
    let text = |name: &str| desk.person[name].as_str().unwrap_or_default().to_owned();
    let office = visitor.caller.office.as_ref().map(|(office, _)| office.name.clone()).unwrap_or_default();
    let html = PrintPage {
        page: Frame { body: "sheet", ..visitor.frame(&app, "同意書", "P-215", "/users") },
        name: text("name"),
        number: text("insured_number"),
        city: words::city(&text("insurer_number")).unwrap_or_else(|| "市区町村".to_owned()),
        office,
        kinds: REFUSABLE.map(Kind::name_ja).into(),
        today: words::day(visitor.context.today()),
        handle,
    };
    Ok(show(&html)?)
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
