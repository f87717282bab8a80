//! 窓口 (P-001, P-002): what the municipality does for its insured's own door. The one-time code of the person, and the proxies it
//! accepted, with the slip to hand over. A code is shown once, in the answer to the form.

use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show, words};
use crate::input::Form;
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use kiban_domain::{Date, Timestamp, dates};
use kiban_service::{ItemFault, PortalCode, PortalDesk, PortalGrantView, ProxyAsk, ProxyBlock};

const SCREEN: &str = "P-002";
const HERE: &str = "/insured";

/// 家族・法定代理人・任意後見人, with what makes somebody one.
const ROLES: [(&str, &str, &str); 3] = [
    ("family", "家族", "見るだけです。ご本人は、いつでも断れます。"),
    ("legal", "法定代理人", "成年後見人など。同意と、担当の終了もできます。"),
    ("voluntary", "任意後見人", "監督人が選ばれて、始まっているもの。同意と、担当の終了もできます。"),
];

/// 書類の種類 that are often seen; others are typed.
const DOCUMENTS: [&str; 4] =
    ["登記事項証明書（後見登記）", "家庭裁判所の審判書と確定証明書", "戸籍全部事項証明書", "住民票（続柄のあるもの）"];

/// Fields of the form, in their order.
const FIELDS: [&str; 8] =
    ["role", "name", "birth", "relation", "document", "document_number", "document_date", "ends_on"];

/// Who it is about, on top of each of the pages.
struct About {
    handle: String,
    name: String,
    kana: String,
    birth: String,
    city: String,
    number: String,
}

#[derive(Template)]
#[template(path = "door.html")]
struct DoorPage {
    page: Frame,
    about: About,
    done: &'static str,
    /// 不開示: a code opens knowingly, and no proxy is registered.
    withheld: bool,
    /// What there is of the person's own.
    own: Vec<Row>,
    proxies: Vec<Row>,
    /// Since when the person refuses the family; empty while they do not.
    family_refused: String,
    ended: Vec<Row>,
    blocks: Vec<Block>,
    /// Field and message of the form that blocks or lifts.
    errors: Vec<(String, String)>,
    typed: Vec<(&'static str, String)>,
}

impl DoorPage {
    fn typed(&self, name: &str) -> &str {
        self.typed.iter().find(|(field, _)| *field == name).map_or("", |(_, text)| text)
    }

    fn message(&self, name: &str) -> Option<&str> {
        self.errors.iter().find(|(field, _)| field == name).map(|(_, text)| text.as_str())
    }
}

/// What is blocked until the municipality has decided.
struct Block {
    id: String,
    /// Who sees nothing.
    who: String,
    reason: String,
    document: String,
    since: String,
}

struct Row {
    id: String,
    /// 本人, 家族…
    role: &'static str,
    name: String,
    relation: String,
    document: String,
    until: String,
    made: String,
    state: String,
    tag: &'static str,
}

#[derive(Template)]
#[template(path = "door_proxy.html")]
struct ProxyPage {
    page: Frame,
    about: About,
    roles: [(&'static str, &'static str, &'static str); 3],
    documents: [&'static str; 4],
    /// Field and message.
    errors: Vec<(String, String)>,
    typed: Vec<(&'static str, String)>,
    years: i64,
}

impl ProxyPage {
    fn typed(&self, name: &str) -> &str {
        self.typed.iter().find(|(field, _)| *field == name).map_or("", |(_, text)| text)
    }

    fn message(&self, name: &str) -> Option<&str> {
        self.errors.iter().find(|(field, _)| field == name).map(|(_, text)| text.as_str())
    }
}

#[derive(Template)]
#[template(path = "door_slip.html")]
struct SlipPage {
    page: Frame,
    about: About,
    /// Whom it is handed to: the person or the proxy.
    holder: String,
    /// 本人 or what the proxy is.
    role: &'static str,
    is_proxy: bool,
    code: String,
    until: String,
    ends_on: String,
    entrance: String,
    today: String,
}

/// What was done on the page before.
#[derive(serde::Deserialize, Default)]
pub(crate) struct Wanted {
    done: Option<String>,
}

fn about(desk: &PortalDesk, handle: &str) -> About {
    let text = |name: &str| desk.person[name].as_str().unwrap_or_default().to_owned();
    About {
        handle: handle.to_owned(),
        name: text("name"),
        kana: text("kana"),
        birth: text("birth").parse::<Date>().map(words::day).unwrap_or_default(),
        city: words::city(&text("insurer_number")).unwrap_or_else(|| "市区町村".to_owned()),
        number: text("insured_number"),
    }
}

async fn desk(app: &App, visitor: &Visitor, handle: &str) -> Result<PortalDesk, Problem> {
    Ok(app.platform.portal_desk(&visitor.caller, handle, &visitor.context).await?)
}

pub(crate) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Path(handle): Path<String>,
    crate::input::Query(wanted): crate::input::Query<Wanted>,
) -> Result<Response, Away> {
    let done = match wanted.unwrap_or_default().done.as_deref() {
        Some("end") => "終えました。次の要求から、見られません。",
        Some("block") => "止めました。次の要求から、見られません。ご本人は、これまでどおり見られます。",
        Some("lift") => "止めるのをやめました。次の要求から、また見られます。",
        _ => "",
    };
    Ok(show(&DoorPage { done, ..door_page(&app, &visitor, &handle).await? })?)
}

async fn door_page(app: &App, visitor: &Visitor, handle: &str) -> Result<DoorPage, Problem> {
    let now = visitor.context.now;
    let desk = desk(app, visitor, handle).await?;
    let grants = &desk.grants;
    let refusal = grants.iter().find(|grant| is_refusal(grant) && grant.ended_at.is_none());
    let family_refused = refusal.map(|grant| words::day_of(grant.made_at)).unwrap_or_default();
    let is_shown = |grant: &&PortalGrantView| grant.ended_at.is_none() && !is_refusal(grant) && !is_block(grant);
    let rows = |own: bool| {
        let these = grants.iter().filter(is_shown).filter(move |grant| grant.proxy.is_none() == own);
        these.map(|grant| row(grant, now)).collect::<Vec<_>>()
    };
    let is_live_block = |grant: &&PortalGrantView| is_block(grant) && grant.ended_at.is_none();
    let name = |id: &str| grants.iter().find(|grant| grant.id == id).and_then(|grant| grant.proxy.as_ref());
    let blocks = grants.iter().filter(is_live_block).map(|grant| {
        let block = grant.block.as_ref();
        let only = block.and_then(|block| block.registration.as_deref());
        Block {
            id: grant.id.clone(),
            who: match only.map(name) {
                Some(Some(proxy)) => format!("{} さん（{}）", proxy.name, proxy.relation),
                // Whose it was is not known any more, so it holds for everybody.
                Some(None) | None => "すべての代理の方".to_owned(),
            },
            reason: block.map_or_else(
                || "止めた記録が読めません。書類を確かめ、運用者に知らせてください".to_owned(),
                |block| block.reason.clone(),
            ),
            document: block.map_or_else(
                || "読めません".to_owned(),
                |block| format!("{}（{}）", block.document, words::day(block.document_date)),
            ),
            since: words::moment(grant.made_at),
        }
    });
    Ok(DoorPage {
        page: visitor.frame(app, "本人の画面の番号と代理", SCREEN, HERE),
        about: about(&desk, handle),
        done: "",
        withheld: desk.withheld,
        own: rows(true),
        proxies: rows(false),
        family_refused,
        ended: grants.iter().rev().filter(|grant| grant.ended_at.is_some()).map(|grant| row(grant, now)).collect(),
        blocks: blocks.collect(),
        errors: Vec::new(),
        typed: Vec::new(),
    })
}

fn is_block(grant: &PortalGrantView) -> bool {
    grant.role == "blocked"
}

fn is_refusal(grant: &PortalGrantView) -> bool {
    grant.role == "family_refused"
}

fn row(grant: &PortalGrantView, now: Timestamp) -> Row {
    let about = grant.proxy.as_ref();
    let (tag, state) = state(grant, now);
    let document = about.map(|proxy| {
        let number = proxy.document_number.as_ref().map(|number| format!("　{number}")).unwrap_or_default();
        format!("{}{number}（{}）", proxy.document, words::day(proxy.document_date))
    });
    Row {
        id: grant.id.clone(),
        role: grant.role_name,
        name: about.map(|proxy| proxy.name.clone()).unwrap_or_default(),
        relation: about.map(|proxy| proxy.relation.clone()).unwrap_or_default(),
        document: document.unwrap_or_default(),
        until: about.map(|proxy| words::day(proxy.ends_on)).unwrap_or_default(),
        made: words::moment(grant.made_at),
        state,
        tag,
    }
}

/// What became of a registration: class of the tag, and words.
fn state(grant: &PortalGrantView, now: Timestamp) -> (&'static str, String) {
    if let Some(at) = grant.ended_at {
        let who = match grant.ended_for.as_deref() {
            Some("person") if is_refusal(grant) => "ご本人が、家族に見せることにした",
            Some("person") => "ご本人が終えた",
            Some("municipality") if is_block(grant) => "市区町村が、止めるのをやめた",
            Some("replaced") if is_block(grant) => "止めていた代理の方が終わった",
            Some("municipality") => "市区町村が終えた",
            Some("replaced") => "新しい番号かログインに代わった",
            _ => "終わった",
        };
        return ("tag--off", format!("{who}（{}）", words::moment(at)));
    }
    let is_past = |proxy: &ProxyAsk| proxy.ends_on < dates::day_in_japan(now);
    match (grant.bound_at, grant.code_until) {
        _ if grant.blocked => ("tag--off", "市区町村が決めるまで、見られない".to_owned()),
        _ if grant.proxy.as_ref().is_some_and(is_past) => ("tag--off", "終わりの日を過ぎた".to_owned()),
        (Some(at), _) => ("tag--ok", format!("{}から、ログインと結び付いている", words::moment(at))),
        (None, Some(until)) if until < now => ("tag--off", format!("番号の期限が切れた（{}）", words::moment(until))),
        (None, Some(until)) => ("tag--do", format!("番号はまだ使われていない（{}まで）", words::moment(until))),
        (None, None) => ("", String::new()),
    }
}

/// The answer holds the code: it is told once, so there is no page to come back to.
pub(crate) async fn issue_code(
    State(app): State<App>,
    Path(handle): Path<String>,
    posted: Posted,
) -> Result<Response, Away> {
    let visitor = posted.visitor;
    let (caller, context) = (&visitor.caller, &visitor.context);
    let told = app.platform.issue_portal_code(caller, &handle, context).await.map_err(Problem::from)?;
    let about = about(&desk(&app, &visitor, &handle).await?, &handle);
    let (holder, slip) = (about.name.clone(), ("本人", String::new()));
    Ok(slip_page(&app, &visitor, about, holder, slip, told)?)
}

fn slip_page(
    app: &App,
    visitor: &Visitor,
    about: About,
    holder: String,
    (role, ends_on): (&'static str, String),
    told: PortalCode,
) -> Result<Response, Problem> {
    show(&SlipPage {
        page: Frame { body: "sheet", ..visitor.frame(app, "番号を渡す紙", SCREEN, HERE) },
        about,
        holder,
        role,
        is_proxy: !ends_on.is_empty(),
        code: told.code,
        until: words::moment(told.code_until),
        ends_on,
        entrance: format!("{}/me", app.settings.public_url),
        today: words::day(visitor.context.today()),
    })
}

async fn proxy_page(app: &App, visitor: &Visitor, handle: &str) -> Result<ProxyPage, Problem> {
    let desk = desk(app, visitor, handle).await?;
    let mut errors = Vec::new();
    if desk.withheld {
        errors.push(("role".to_owned(), "不開示の方には、代理の方を登録できません。".to_owned()));
    } else if desk.grants.iter().any(|grant| is_refusal(grant) && grant.ended_at.is_none()) {
        let text = "ご本人が、家族には見せないと決めています。家族の登録はできません。".to_owned();
        errors.push(("role".to_owned(), text));
    }
    Ok(ProxyPage {
        page: Frame { body: "main--read", ..visitor.frame(app, "代理の方を登録する", SCREEN, HERE) },
        about: about(&desk, handle),
        roles: ROLES,
        documents: DOCUMENTS,
        errors,
        typed: Vec::new(),
        years: desk.proxy_years,
    })
}

pub(crate) async fn proxy_form(
    State(app): State<App>,
    visitor: Visitor,
    Path(handle): Path<String>,
) -> Result<Response, Away> {
    Ok(show(&proxy_page(&app, &visitor, &handle).await?)?)
}

pub(crate) async fn register_proxy(
    State(app): State<App>,
    Path(handle): Path<String>,
    posted: Posted,
) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let ask = asked(&form);
    let slip = ask.as_ref().ok().map(|ask| (ask.name.clone(), words::day(ask.ends_on)));
    let problem = match app.platform.register_proxy(&visitor.caller, &handle, ask, &visitor.context).await {
        Ok(told) => {
            let (holder, ends_on) = slip.unwrap_or_default();
            let role = ROLES.iter().find(|role| role.0 == form.get("role")).map_or("", |role| role.1);
            let about = about(&desk(&app, &visitor, &handle).await?, &handle);
            return Ok(slip_page(&app, &visitor, about, holder, (role, ends_on), told)?);
        }
        Err(problem) => problem,
    };
    let errors = match problem.code {
        "conflict" => vec![("role".to_owned(), problem.title.clone())],
        _ => problem.items(),
    };
    if errors.is_empty() {
        return Err(problem.into());
    }
    let mut html = proxy_page(&app, &visitor, &handle).await?;
    html.errors = errors;
    html.typed = FIELDS.map(|name| (name, form.get(name).to_owned())).into();
    html.page.has_errors = true;
    let mut response = show(&html)?;
    *response.status_mut() = problem.status;
    Ok(response)
}

/// What was typed; all days that are none at once.
fn asked(form: &Form) -> Result<ProxyAsk, Problem> {
    let mut faults = Vec::new();
    let mut day = |name: &'static str| match dates::parse_typed(form.get(name)) {
        Ok(day) => day,
        Err(_) => {
            faults.push(ItemFault::new(name, "日付を、令和8年11月1日 や 2026-11-01 のように入れてください"));
            Date::default()
        }
    };
    let (birth, document_date, ends_on) = (day("birth"), day("document_date"), day("ends_on"));
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    let text = |name: &str| form.get(name).to_owned();
    Ok(ProxyAsk {
        role: text("role"),
        name: text("name"),
        birth,
        relation: text("relation"),
        document: text("document"),
        document_number: Some(text("document_number")).filter(|text| !text.is_empty()),
        document_date,
        ends_on,
    })
}

pub(crate) async fn end(State(app): State<App>, Path(handle): Path<String>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let (caller, context) = (&visitor.caller, &visitor.context);
    let ended = app.platform.end_portal_grant(caller, &handle, form.get("registration"), context).await;
    ended.map_err(Problem::from)?;
    Ok(to(&format!("/p/{handle}/door?done=end"), None))
}

pub(crate) async fn block(
    State(app): State<App>,
    Path(handle): Path<String>,
    posted: Posted,
) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let day = dates::parse_typed(form.get("document_date")).map_err(|_| {
        let text = "日付を、令和8年11月1日 や 2026-11-01 のように入れてください";
        Problem::invalid(vec![ItemFault::new("document_date", text)])
    });
    let text = |name: &str| form.get(name).to_owned();
    let ask = day.map(|document_date| ProxyBlock {
        registration: Some(text("registration")).filter(|id| id != "all"),
        reason: text("reason"),
        document: text("document"),
        document_date,
    });
    let blocked = app.platform.block_proxies(&visitor.caller, &handle, ask, &visitor.context).await;
    after(&app, &visitor, &form, &handle, blocked.map(|_| "block")).await
}

pub(crate) async fn lift(State(app): State<App>, Path(handle): Path<String>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let reason = Ok::<_, Problem>(form.get("lifted_for").to_owned());
    let lifted = app.platform.lift_block(&visitor.caller, &handle, form.get("block"), reason, &visitor.context).await;
    after(&app, &visitor, &form, &handle, lifted.map(|()| "lift")).await
}

/// Back to the page, or the page with what is to be put right and what was typed.
async fn after(
    app: &App,
    visitor: &Visitor,
    form: &Form,
    handle: &str,
    done: Result<&'static str, Problem>,
) -> Result<Response, Away> {
    let problem = match done {
        Ok(done) => return Ok(to(&format!("/p/{handle}/door?done={done}"), None)),
        Err(problem) => problem,
    };
    let errors = match problem.code {
        "conflict" => vec![("registration".to_owned(), problem.title.clone())],
        _ => problem.items(),
    };
    if errors.is_empty() {
        return Err(problem.into());
    }
    let mut html = door_page(app, visitor, handle).await?;
    // Both forms ask for a reason.
    let is_lift = !form.get("block").is_empty();
    let field = |item: String| if is_lift && item == "reason" { "lifted_for".to_owned() } else { item };
    html.errors = errors.into_iter().map(|(item, text)| (field(item), text)).collect();
    let fields = ["registration", "reason", "document", "document_date", "lifted_for"];
    html.typed = fields.map(|name| (name, form.get(name).to_owned())).into();
    html.page.has_errors = true;
    let mut response = show(&html)?;
    *response.status_mut() = problem.status;
    Ok(response)
}
