//! What belongs to one person beside the page: who looked, the end of a registration, and how a city opens an own insured.

use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show, words};
use crate::api::people::Number;
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use kiban_domain::{Kind, OfficeNumber, Organization};
use kiban_service::{ItemFault, LookUp, OfficeAccess};

#[derive(Template)]
#[template(path = "looks.html")]
struct LooksPage {
    page: Frame,
    handle: String,
    lead: &'static str,
    rows: Vec<Row>,
}

/// What somebody did with one request.
struct Row {
    at: String,
    organization: String,
    staff: String,
    /// What was done in it, and of which kinds.
    actions: Vec<String>,
    kinds: Vec<&'static str>,
    outcomes: Vec<&'static str>,
}

#[derive(Template)]
#[template(path = "end.html")]
struct EndPage {
    page: Frame,
    handle: String,
}

#[derive(Template)]
#[template(path = "insured.html")]
struct InsuredPage {
    page: Frame,
    number: String,
    error: String,
}

fn is_city(visitor: &Visitor) -> bool {
    matches!(visitor.caller.organization, Organization::Municipality(_))
}

fn here(visitor: &Visitor) -> &'static str {
    if matches!(visitor.caller.organization, Organization::Office(_)) { "/users" } else { "/insured" }
}

pub(crate) async fn looks(
    State(app): State<App>,
    visitor: Visitor,
    Path(handle): Path<String>,
) -> Result<Response, Away> {
    let looks = app.platform.look_ups(&visitor.caller, &handle, &visitor.context).await.map_err(Problem::from)?;
    let html = LooksPage {
        page: visitor.frame(&app, "だれが見たか", "P-110", here(&visitor)),
        handle,
        lead: if is_city(&visitor) {
            "すべての機関の記録です。"
        } else {
            "この事業所の記録です。ほかの事業所の記録は、本人と市区町村が見られます。"
        },
        rows: looks
            .chunk_by(|one, next| one.request_id == next.request_id)
            .filter_map(|looks| row(looks, &app))
            .collect(),
    };
    Ok(show(&html)?)
}

/// The looks of one request as one row: a page of a person is recorded kind by kind.
fn row(looks: &[LookUp], app: &App) -> Option<Row> {
    let mut row = first(looks.first()?, app);
    for look in looks.iter().rev() {
        let kind = look.kind.as_deref().and_then(Kind::parse).map(Kind::name_ja);
        let (action, outcome) = (words_of(&look.action).to_owned(), look.outcome);
        row.actions.extend((!row.actions.contains(&action)).then_some(action));
        row.kinds.extend(kind.filter(|kind| !row.kinds.contains(kind)));
        row.outcomes.extend((!row.outcomes.contains(&outcome)).then_some(outcome));
    }
    Some(row)
}

fn first(look: &LookUp, app: &App) -> Row {
    let office = look.organization.as_deref().and_then(|text| OfficeNumber::parse(text).ok());
    let name = office.and_then(|number| app.platform.standing().office(number).map(|office| office.name.clone()));
    Row {
        at: words::moment(look.at),
        organization: name
            .or_else(|| look.organization.clone())
            .or_else(|| own_door(look.staff.as_deref()))
            .unwrap_or_default(),
        staff: look
            .staff
            .as_deref()
            .and_then(|staff| staff.rsplit_once('/'))
            .map_or_else(String::new, |(_, name)| name.to_owned()),
        actions: Vec::new(),
        kinds: Vec::new(),
        outcomes: Vec::new(),
    }
}

/// Who looks at the person's own door is no organisation.
fn own_door(staff: Option<&str>) -> Option<String> {
    let staff = staff?;
    let name = if staff == "person" { "本人" } else { "代理の方" };
    (staff == "person" || staff.starts_with("proxy:")).then(|| name.to_owned())
}

/// What was done, in words; what has none stays as the log names it.
pub(super) fn words_of(action: &str) -> &str {
    match action {
        "view" | "view_page" => "見た",
        "view_identity" => "氏名などを見た",
        "why" => "見られる理由を確かめた",
        "look_ups" => "この記録を見た",
        "register" => "担当事業所として登録した",
        "identity.visual" => "訪問で顔を見て本人を確かめた",
        "register.plan_maker" => "ケアプランを作る人を変えた",
        "register.end" | "registration.end" => "担当を終えた",
        "consent.record" => "同意を登録した",
        "list_people" | "opinion.requests" => "一覧で見た",
        "opinion.open" => "意見書を書くために開いた",
        "opinion.draft" => "意見書の下書きを保存した",
        "opinion.discard" => "意見書の下書きを消した",
        "submit" => "書類を提出した",
        "request.list" => "届出の一覧で見た",
        "request.open" => "届出を書くために開いた",
        "filed" => "提出した書類の状態を見た",
        "inbox" => "届いたものの一覧で見た",
        "inbox.look" | "inbox.fetch" | "inbox.original" => "届いた書類を見た",
        "inbox.accept" => "届いた書類を受理した",
        "inbox.return" => "届いた書類を差し戻した",
        "find" | "find_insured" => "番号で開いた",
        "counter" => "窓口の手続きを開こうとした",
        "slip.view" => "送られたケアプランの知らせを見た",
        "slip.fetch" => "送られたケアプランを取得した",
        "slip.file" | "slip.print" => "送られたケアプランを見た",
        "slip.register" => "送られたケアプランを交付用として登録した",
        "disaster.search" => "災害時に探した",
        "person.access" => "だれが見られるかを確かめた",
        "renewals.list" => "同意がまだの人の一覧で見た",
        "import.trial" => "調べた取り込みの結果で番号を見た",
        "import.dry_run" => "取り込みを調べたときに番号を見た",
        other => other,
    }
}

pub(crate) async fn end_form(
    State(app): State<App>,
    visitor: Visitor,
    Path(handle): Path<String>,
) -> Result<Response, Away> {
    if visitor.caller.office.is_none() {
        return Err(Problem::unknown().into());
    }
    let page = Frame { body: "main--read", ..visitor.frame(&app, "担当を終える", "P-214", "/users") };
    Ok(show(&EndPage { page, handle })?)
}

pub(crate) async fn end(State(app): State<App>, Path(handle): Path<String>, posted: Posted) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &posted.visitor;
    app.platform.end_registration(caller, &handle, context).await.map_err(Problem::from)?;
    Ok(to("/users", None))
}

fn insured_page(app: &App, visitor: &Visitor) -> InsuredPage {
    let page = Frame { body: "main--read", ..visitor.frame(app, "被保険者", "P-214", "/insured") };
    InsuredPage { page, number: String::new(), error: String::new() }
}

pub(crate) async fn insured_form(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    if !is_city(&visitor) {
        return Err(Problem::unknown().into());
    }
    Ok(show(&insured_page(&app, &visitor))?)
}

pub(crate) async fn insured(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let typed = form.get("insured_number").trim();
    let number = if typed.is_empty() {
        Err(Problem::invalid(vec![ItemFault::new("insured_number", "被保険者番号を入れてください。")]))
    } else {
        Number::typed(typed)
    };
    let problem = match app.platform.find_insured(&visitor.caller, number, &visitor.context).await {
        Ok(handle) => return Ok(to(&format!("/p/{handle}"), None)),
        Err(problem) => problem,
    };
    let mut html = insured_page(&app, &visitor);
    html.error = match problem.items().into_iter().next() {
        Some((_, message)) => message,
        None if problem.code == "unknown" && is_city(&visitor) => {
            "この番号の被保険者はいません。番号を確かめてください。".to_owned()
        }
        None => return Err(problem.into()),
    };
    html.number = form.get("insured_number").to_owned();
    html.page.has_errors = true;
    let mut response = show(&html)?;
    *response.status_mut() = problem.status;
    Ok(response)
}

#[derive(Template)]
#[template(path = "access.html")]
struct AccessPage {
    page: Frame,
    handle: String,
    name: String,
    number: String,
    withheld: bool,
    disasters: Vec<String>,
    offices: Vec<AccessRow>,
    consent: &'static str,
    consent_since: String,
    taken_by: String,
    refused: Vec<&'static str>,
    /// Name, first and last day.
    former: Vec<(String, String, String)>,
}

/// An office with access, and why.
struct AccessRow {
    name: String,
    number: String,
    reason: String,
    requirement: String,
    check: &'static str,
    since: String,
    until: String,
    makes_plan: bool,
    confirmed: bool,
}

fn access_row(one: OfficeAccess) -> AccessRow {
    AccessRow {
        name: one.name,
        number: one.office.to_string(),
        reason: format!("{}。", one.reason),
        requirement: one.requirement,
        check: match one.check {
            Some("individual_number_card") => "マイナンバーカード",
            Some("four_items") => "被保険者証の4項目",
            Some("paper_notice") => "お知らせのQRコード",
            Some("online_qualification") => "オンライン資格確認",
            Some("municipality") => "市区町村の登録",
            _ => "",
        },
        since: words::day(one.since),
        until: words::day(one.until),
        makes_plan: one.makes_plan,
        confirmed: one.confirmed,
    }
}

/// Who may see an own insured at this moment, and on what ground.
pub(crate) async fn access(
    State(app): State<App>,
    visitor: Visitor,
    Path(handle): Path<String>,
) -> Result<Response, Away> {
    let access = app.platform.person_access(&visitor.caller, &handle, &visitor.context).await.map_err(Problem::from)?;
    let person = app.platform.view_identity(&visitor.caller, &handle, &visitor.context).await.map_err(Problem::from)?;
    let text = |name: &str| person[name].as_str().unwrap_or_default().to_owned();
    let state = access.consent;
    let (consent, since) = match (state.given_at, state.withdrawn_at, state.not_obtainable) {
        (Some(at), ..) => ("同意あり", state.confirmed_at.or(Some(at))),
        (_, Some(at), _) => ("やめました", Some(at)),
        (_, _, true) => ("いまは意思を確かめられない", None),
        _ => ("まだ", None),
    };
    let former = access.former.into_iter().map(|one| (one.name, words::day(one.since), words::day(one.until)));
    Ok(show(&AccessPage {
        page: visitor.frame(&app, "だれが見られるか", "P-110", "/insured"),
        handle,
        name: text("name"),
        number: text("insured_number"),
        withheld: access.withheld,
        disasters: access.disasters,
        offices: access.offices.into_iter().map(access_row).collect(),
        consent,
        consent_since: since.map(words::moment).unwrap_or_default(),
        taken_by: access.consent_taken_by,
        refused: state.refused.iter().map(|kind| kind.name_ja()).collect(),
        former: former.collect(),
    })?)
}
