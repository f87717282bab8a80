//! いまの状況, だれが見たか, 同意, 事業所: the person's pages, from the same use cases as everything else (P-001, P-069, P-110).

use super::MeFrame;
use super::log_in::with_cookies;
use super::visitor::{Away, Known, LOG_IN, Looker, Posted, keep};
use crate::input::Query;
use crate::pages::person::{Card, my_cards};
use crate::pages::words;
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use kiban_domain::consent::ConsentAct;
use kiban_domain::{InsurerNumber, Kind, OfficeNumber};
use kiban_service::{EarlierNumber, Error, Looking, MyLook, PortalChoice, PortalGrantView};
use serde::Deserialize;

const MENU: &[(&str, &str)] = &[
    ("/me/now", "いまの状況"),
    ("/me/looks", "だれが見たか"),
    ("/me/consent", "同意"),
    ("/me/offices", "事業所・家族"),
];

#[derive(Template)]
#[template(path = "me/now.html")]
struct NowPage {
    page: MeFrame,
    name: String,
    todo: Vec<String>,
    cards: Vec<Card>,
    may_take_consent: bool,
    handle: String,
    /// Numbers before, in words (P-038).
    earlier: Vec<String>,
    /// Of which number before it is; empty of the present one.
    number: String,
    /// Who looked at it.
    looks: String,
}

#[derive(Template)]
#[template(path = "me/looks.html")]
struct LooksPage {
    page: MeFrame,
    offices: usize,
    looks: Vec<Look>,
    /// Of which number before it is; empty of the present one.
    number: String,
    /// Where the log is to be had.
    log: String,
}

struct Look {
    at: String,
    who: String,
    sentence: String,
    why: String,
    in_disaster: bool,
    was_open: bool,
}

#[derive(Template)]
#[template(path = "me/consent.html")]
struct ConsentPage {
    page: MeFrame,
    given: String,
    withdrawn: String,
    taken_by: String,
    /// Code, name, whether it is refused.
    kinds: Vec<(&'static str, &'static str, bool)>,
    may_act: bool,
}

#[derive(Template)]
#[template(path = "me/offices.html")]
struct OfficesPage {
    page: MeFrame,
    offices: Vec<Office>,
    proxies: Vec<Proxy>,
    refuses_family: bool,
    may_act: bool,
    is_person: bool,
}

struct Office {
    number: String,
    name: String,
    since: String,
    until: String,
    makes_plan: bool,
}

struct Proxy {
    name: String,
    role: &'static str,
    relation: String,
    since: String,
    until: String,
    ended: String,
    /// Sees nothing until the municipality has decided.
    blocked: bool,
}

#[derive(Template)]
#[template(path = "me/whose.html")]
struct WhosePage {
    page: MeFrame,
    choices: Vec<PortalChoice>,
}

#[derive(Template)]
#[template(path = "me/code.html")]
struct CodePage {
    page: MeFrame,
    error: &'static str,
    /// The municipality that has not started, with its day.
    not_started: String,
}

/// Where the one who logged in lives, while that has not started; what is said of it is public.
#[derive(Default, Deserialize)]
pub(crate) struct Lives {
    city: Option<String>,
}

/// The frame of a page about one person; a proxy is told on each whose it is.
async fn frame(
    app: &App,
    looker: &Looker,
    title: &str,
    screen: &'static str,
    here: &'static str,
) -> Result<MeFrame, Away> {
    let context = &looker.known.door.context;
    let strip = match looker.looking.is_proxy() {
        true => {
            let name = app.platform.my_name(&looker.looking, context).await?;
            format!("{name} さんの情報を、{}として 見ています", looker.looking.role_name())
        }
        false => String::new(),
    };
    Ok(MeFrame { menu: MENU, here, strip, ..looker.known.frame(title, screen) })
}

pub(crate) async fn now(State(app): State<App>, looker: Looker) -> Result<Response, Away> {
    let context = &looker.known.door.context;
    let view = app.platform.my_page(&looker.looking, context).await?;
    let page = NowPage {
        page: frame(&app, &looker, "いまの状況", "P-001", "/me/now").await?,
        name: view.person["name"].as_str().unwrap_or_default().to_owned(),
        todo: view.warnings.iter().map(|warning| warning.message.clone()).collect(),
        cards: my_cards(&view, context.today()),
        may_take_consent: false,
        handle: String::new(),
        earlier: app.platform.my_earlier_numbers(&looker.looking, context).await?.iter().map(in_words).collect(),
        number: String::new(),
        looks: "/me/looks".to_owned(),
    };
    looker.known.show(&app, &page).await
}

fn in_words(earlier: &EarlierNumber) -> String {
    let until = earlier.until.map(|day| format!("。{}に 番号が 変わりました", words::day(day))).unwrap_or_default();
    format!("{}の 被保険者番号 {}{until}", earlier.city, earlier.person.insured)
}

/// The looker at a number before; the place in the list says nothing about anybody.
async fn at_earlier(app: &App, looker: &Looker, place: &str) -> Result<(EarlierNumber, Looking), Problem> {
    let place: usize = place.parse().ok().filter(|place| *place > 0).unwrap_or(usize::MAX);
    let context = &looker.known.door.context;
    Ok(app.platform.at_earlier_number(&looker.looking, place.saturating_sub(1), context).await?)
}

/// The records under a number before.
pub(crate) async fn earlier(
    State(app): State<App>,
    looker: Looker,
    Path(place): Path<String>,
) -> Result<Response, Away> {
    let context = &looker.known.door.context;
    let (earlier, looking) = at_earlier(&app, &looker, &place).await?;
    let view = app.platform.my_page(&looking, context).await?;
    let page = NowPage {
        page: frame(&app, &looker, "前の番号のときの情報", "P-038", "/me/now").await?,
        name: view.person["name"].as_str().unwrap_or_default().to_owned(),
        todo: Vec::new(),
        cards: my_cards(&view, context.today()),
        may_take_consent: false,
        handle: String::new(),
        earlier: Vec::new(),
        number: in_words(&earlier),
        looks: format!("/me/earlier/{place}/looks"),
    };
    looker.known.show(&app, &page).await
}

pub(crate) async fn looks(State(app): State<App>, looker: Looker) -> Result<Response, Away> {
    let page = looks_page(&app, &looker, &looker.looking, String::new(), "/me/looks.json".to_owned()).await?;
    looker.known.show(&app, &page).await
}

/// Who looked under a number before.
pub(crate) async fn earlier_looks(
    State(app): State<App>,
    looker: Looker,
    Path(place): Path<String>,
) -> Result<Response, Away> {
    let (earlier, looking) = at_earlier(&app, &looker, &place).await?;
    let log = format!("/me/earlier/{place}/looks.json");
    let page = looks_page(&app, &looker, &looking, in_words(&earlier), log).await?;
    looker.known.show(&app, &page).await
}

async fn looks_page(
    app: &App,
    looker: &Looker,
    looking: &Looking,
    number: String,
    log: String,
) -> Result<LooksPage, Away> {
    let looks = app.platform.my_looks(looking, &looker.known.door.context).await?;
    let offices: std::collections::BTreeSet<&str> = looks
        .iter()
        .filter(|look| look.was_open && !look.by_proxy && !look.by_person)
        .map(|look| look.who.as_str())
        .collect();
    Ok(LooksPage {
        page: frame(app, looker, "だれが見たか", "P-110", "/me/looks").await?,
        offices: offices.len(),
        looks: looks.iter().map(look).collect(),
        number,
        log,
    })
}

fn look(look: &MyLook) -> Look {
    let what = if look.what.is_empty() { "情報".to_owned() } else { look.what.join("、") };
    let sentence = match look.action.as_str() {
        _ if !look.was_open => format!("{what}を 見ようとしましたが、見られませんでした。"),
        "register" | "register.keep" | "register.confirm" => "担当の事業所として 登録しました。".to_owned(),
        "register.end" | "registration.end" => "担当の登録を 終えました。".to_owned(),
        "consent.record" => "同意について 登録しました。".to_owned(),
        "look_ups" | "look_ups.export" => "「だれが見たか」を 見ました。".to_owned(),
        "portal.code" => "あなたのログインのための 番号を 出しました。".to_owned(),
        "proxy.block" => "代理の方の 閲覧を、決まるまで 止めました。".to_owned(),
        "proxy.unblock" => "代理の方の 閲覧を、また 見られるように しました。".to_owned(),
        "paper_notices.bundle" => "お知らせの紙を 作りました。".to_owned(),
        "proxy.carry" => "前の番号のときの 代理の方についての 決まりを、今の番号に うつしました。".to_owned(),
        "proxy.register" => "代理の方を 登録しました。".to_owned(),
        "portal.login" | "portal.bind" | "portal.choose" => {
            "あなたの情報を 見られるように ログインしました。".to_owned()
        }
        "numbers" if look.what.is_empty() => "前の番号を たしかめました。".to_owned(),
        "list_people" => "利用者の一覧で あなたの名前を 見ました。".to_owned(),
        action if action.starts_with("disaster") => "災害のときの しくみで あなたを 探しました。".to_owned(),
        action if action.starts_with("submission") || action.starts_with("opinion") => {
            "あなたについての書類を 出すか 受け取るか しました。".to_owned()
        }
        "view_identity" if look.what.is_empty() => "名前などを 見ました。".to_owned(),
        _ => format!("{what}を 見ました。"),
    };
    let who = if look.who.is_empty() {
        "担当の事業所（名前は 市区町村で おたずねください）".to_owned()
    } else {
        look.who.clone()
    };
    Look {
        at: words::moment(look.at),
        who,
        sentence,
        why: look.why.clone(),
        in_disaster: look.in_disaster,
        was_open: look.was_open,
    }
}

/// The log of the signed months, to keep and to check without this platform.
pub(crate) async fn log(State(app): State<App>, looker: Looker) -> Result<Response, Away> {
    log_of(&app, &looker, &looker.looking).await
}

/// The same of a number before.
pub(crate) async fn earlier_log(
    State(app): State<App>,
    looker: Looker,
    Path(place): Path<String>,
) -> Result<Response, Away> {
    let (_, looking) = at_earlier(&app, &looker, &place).await?;
    log_of(&app, &looker, &looking).await
}

async fn log_of(app: &App, looker: &Looker, looking: &Looking) -> Result<Response, Away> {
    // Held until it is made: a person who asks again waits for the first.
    let _place = app.places.take_log(&looker.known.form_token())?;
    let log = app.platform.my_log(looking, &looker.known.door.context).await?;
    let text = serde_json::to_vec(&log).map_err(|error| Problem::internal(error.to_string()))?;
    let name = "attachment; filename=\"kiban-looks.json\"";
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CONTENT_DISPOSITION, name)];
    looker.known.answer(app, (headers, text).into_response()).await
}

pub(crate) async fn consent(State(app): State<App>, looker: Looker) -> Result<Response, Away> {
    let consent = app.platform.my_consent(&looker.looking, &looker.known.door.context).await?;
    // 調査票 and 意見書 are named to nobody who did not refuse them by name (P-052).
    let offered = [Kind::C1, Kind::Cp1, Kind::Cp2, Kind::E1, Kind::E2];
    let mut kinds: Vec<Kind> = offered.into();
    kinds.extend(consent.state.refused.iter().filter(|kind| !offered.contains(kind)));
    let page = ConsentPage {
        page: frame(&app, &looker, "同意", "P-069", "/me/consent").await?,
        given: consent.state.given_at.map(words::day_of).unwrap_or_default(),
        withdrawn: consent.state.withdrawn_at.map(words::day_of).unwrap_or_default(),
        taken_by: consent.taken_by,
        kinds: kinds
            .into_iter()
            .map(|kind| (kind.code(), plain_name(kind), consent.state.refused.contains(&kind)))
            .collect(),
        may_act: looker.looking.may_act(),
    };
    looker.known.show(&app, &page).await
}

fn plain_name(kind: Kind) -> &'static str {
    match kind {
        Kind::C1 => "からだの様子の記録",
        Kind::Cp1 => "ケアプラン（家で使うサービス）",
        Kind::Cp2 => "ケアプラン（施設）",
        Kind::E1 => "住宅改修の記録",
        Kind::E2 => "福祉用具の記録",
        other => other.name_ja(),
    }
}

pub(crate) async fn act_on_consent(State(app): State<App>, posted: Posted<Looker>) -> Result<Response, Away> {
    let Posted { who, form } = posted;
    let kind = Kind::parse(form.get("kind")).filter(|kind| kind.is_stored());
    let act = match (form.get("act"), kind) {
        ("given", _) => ConsentAct::Given,
        ("withdrawn", _) => ConsentAct::Withdrawn,
        ("refused", Some(kind)) => ConsentAct::KindRefused(kind),
        ("allowed", Some(kind)) => ConsentAct::KindAllowed(kind),
        _ => return Err(Problem::unknown().into()),
    };
    let door = &who.known.door;
    app.platform.act_on_my_consent(&who.looking, act, door.provider.proof(), &door.context).await?;
    who.known.answer(&app, Redirect::to("/me/consent").into_response()).await
}

pub(crate) async fn offices(State(app): State<App>, looker: Looker) -> Result<Response, Away> {
    let context = &looker.known.door.context;
    let offices = app.platform.my_offices(&looker.looking, context).await?;
    let grants = app.platform.my_proxies(&looker.looking, context).await?;
    let refuses_family = grants.iter().any(|grant| grant.role == "family_refused" && grant.ended_at.is_none());
    let page = OfficesPage {
        page: frame(&app, &looker, "事業所・家族", "P-110", "/me/offices").await?,
        offices: offices
            .into_iter()
            .map(|office| Office {
                number: office.number.to_string(),
                name: office.name,
                since: words::day_of(office.since),
                until: words::day(office.until),
                makes_plan: office.makes_plan,
            })
            .collect(),
        proxies: grants.into_iter().filter(|grant| grant.role != "family_refused").map(proxy).collect(),
        refuses_family,
        may_act: looker.looking.may_act(),
        is_person: looker.looking.is_person(),
    };
    looker.known.show(&app, &page).await
}

fn proxy(grant: PortalGrantView) -> Proxy {
    let about = grant.proxy.as_ref();
    Proxy {
        name: about.map(|proxy| proxy.name.clone()).unwrap_or_default(),
        role: grant.role_name,
        relation: about.map(|proxy| proxy.relation.clone()).unwrap_or_default(),
        since: words::day_of(grant.made_at),
        until: about.map(|proxy| words::day(proxy.ends_on)).unwrap_or_default(),
        ended: grant.ended_at.map(words::day_of).unwrap_or_default(),
        blocked: grant.blocked,
    }
}

pub(crate) async fn end_office(State(app): State<App>, posted: Posted<Looker>) -> Result<Response, Away> {
    let Posted { who, form } = posted;
    let office = OfficeNumber::parse(form.get("office")).map_err(|_| Problem::unknown())?;
    app.platform.end_my_office(&who.looking, office, &who.known.door.context).await?;
    who.known.answer(&app, Redirect::to("/me/offices").into_response()).await
}

pub(crate) async fn family(State(app): State<App>, posted: Posted<Looker>) -> Result<Response, Away> {
    let Posted { who, form } = posted;
    let refuse = match form.get("family") {
        "refuse" => true,
        "allow" => false,
        _ => return Err(Problem::unknown().into()),
    };
    app.platform.refuse_family(&who.looking, refuse, &who.known.door.context).await?;
    who.known.answer(&app, Redirect::to("/me/offices").into_response()).await
}

/// 「どなたの情報を見ますか」; with nobody to choose from, the one-time code is asked for.
pub(crate) async fn whose(State(app): State<App>, known: Known) -> Result<Response, Away> {
    let choices = app.platform.portal_choices(&known.at, &known.door.context).await?;
    if choices.is_empty() {
        return known.answer(&app, Redirect::to("/me/code").into_response()).await;
    }
    let page = WhosePage { page: known.frame("どなたの情報を見ますか", "P-002"), choices };
    known.show(&app, &page).await
}

pub(crate) async fn choose(State(app): State<App>, posted: Posted<Known>) -> Result<Response, Away> {
    let Posted { who, form } = posted;
    let at = app.platform.choose_portal(&who.at, form.get("whose"), &who.door.context).await?;
    keep(&app, &who.door, &at, Redirect::to("/me/now").into_response()).await
}

const WRONG_CODE: &str = "この番号は つかえません。番号と、番号の期限を たしかめてください。わからないときは、市区町村の窓口に おたずねください。";
const MANY_CODES: &str = "まちがいが 続いたため、きょうは もう 入力できません。市区町村の窓口に おたずねください。";

pub(crate) async fn code(State(app): State<App>, known: Known, Query(lives): Query<Lives>) -> Result<Response, Away> {
    let city = lives.unwrap_or_default().city.and_then(|city| InsurerNumber::parse(&city).ok());
    let not_started = match city {
        Some(city) => app.platform.start_in_words(city, &known.door.context).await?,
        None => None,
    };
    let not_started = not_started.unwrap_or_default();
    known.show(&app, &CodePage { page: known.frame("市区町村の番号", "P-001"), error: "", not_started }).await
}

pub(crate) async fn use_code(State(app): State<App>, posted: Posted<Known>) -> Result<Response, Away> {
    let Posted { who, form } = posted;
    let error = match app.platform.use_portal_code(&who.at, form.get("code"), &who.door.context).await {
        Ok(at) => return keep(&app, &who.door, &at, Redirect::to("/me/now").into_response()).await,
        Err(Error::NotMatched) => WRONG_CODE,
        Err(Error::TooMany(_)) => MANY_CODES,
        Err(error) => return Err(error.into()),
    };
    let page = MeFrame { has_errors: true, ..who.frame("市区町村の番号", "P-001") };
    let mut response = who.show(&app, &CodePage { page, error, not_started: String::new() }).await?;
    *response.status_mut() = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
    Ok(response)
}

pub(crate) async fn log_out(State(app): State<App>, posted: Posted<Known>) -> Result<Response, Away> {
    let Known { door, at } = &posted.who;
    app.platform.close_portal(at, &door.context).await?;
    let mut response = with_cookies(Redirect::to("/me").into_response(), &[(LOG_IN, "", 0)]);
    // A browser that others use keeps nothing.
    let all = axum::http::HeaderValue::from_static("\"cache\", \"storage\"");
    response.headers_mut().insert("clear-site-data", all);
    Ok(response)
}
