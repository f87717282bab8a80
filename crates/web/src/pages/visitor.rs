//! Who is at a page. The log-in of a browser lives in one cookie that is bound to the certificate it was opened over
//! (T-31); forms are taken only from a page of the same log-in on the same host (T-28).

use super::kept::Kept;
use super::{Banner, Frame, Who, kept, proof, words};
use crate::caller::{connection, stage_of};
use crate::input::{Form, JSON_LIMIT, SLIP_LIMIT, files_of_page};
use crate::record::LoggedInAs;
use crate::router::{Listener, Route, route_of};
use crate::{App, Problem};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use kiban_domain::office::OfficeClass;
use kiban_domain::{InsurerNumber, Organization, Timestamp};
use kiban_service::{Caller, Context, LoggedIn, Stage, Way};
use ring::digest::{SHA256, digest};
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

/// Name of the cookie. `__Host-`: only this host, only over TLS, for every path.
const COOKIE: &str = "__Host-kiban";

/// Somebody logged in at a screen.
pub(crate) struct Visitor {
    pub(crate) caller: Caller,
    pub(crate) context: Context,
    pub(crate) token: String,
    frame_of: Organization,
}

/// A form that a page of this log-in sent.
pub(crate) struct Posted {
    pub(crate) visitor: Visitor,
    pub(crate) form: Form,
}

/// Files that a page of this log-in sent: names and contents.
pub(crate) struct Uploaded {
    pub(crate) visitor: Visitor,
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

/// Why nothing is shown: nobody is logged in, the log-in lacks something yet, or a problem.
pub(crate) enum Away {
    /// To the page where one logs in. The cookie stays: by the time of the answer the browser may hold that of a newer log-in, and a dead
    /// one opens nothing.
    LogIn,
    /// There, because nobody asked for anything for a while.
    Idle,
    /// To the page of what the log-in still lacks.
    Next(&'static str),
    /// A page that asks who is there, in the answer: it holds what was typed.
    Page(Box<Response>),
    /// As it says.
    Problem(Box<Problem>),
}

impl From<Problem> for Away {
    fn from(problem: Problem) -> Self {
        match problem.code {
            "login_required" => Self::LogIn,
            "idle" => Self::Idle,
            "second_factor_required" => Self::Next("/login/code"),
            "password_change_required" => Self::Next("/account/password"),
            "second_factor_setup_required" => Self::Next("/account/factor"),
            _ => Self::Problem(Box::new(problem)),
        }
    }
}

impl IntoResponse for Away {
    fn into_response(self) -> Response {
        match self {
            Self::LogIn => to("/login", None),
            Self::Idle => to("/login?why=idle", None),
            Self::Next(page) => to(page, None),
            Self::Page(page) => *page,
            Self::Problem(problem) => problem.into_response(),
        }
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Away;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Away> {
        let (peer, context) = connection(parts, app)?;
        let Some(token) = token(&parts.headers) else {
            app.platform.organization_of(&peer, &context).map_err(Problem::from)?;
            return Err(Away::LogIn);
        };
        // What was typed comes back with the question whether they are still there: `proof` asks it once the form was read.
        let stage = stage_of(parts).min(Stage::Through);
        let caller = app.platform.authenticate_at_screen(stage, peer, &token, &context).await.map_err(Problem::from)?;
        if let Some(noted) = parts.extensions.get::<LoggedInAs>() {
            noted.note(&caller);
        }
        // What a program may not do (P-165) it does not do through pages either.
        if caller.way != Way::Interactive {
            return Err(Away::LogIn);
        }
        Ok(Self::of(caller, context, token))
    }
}

impl FromRequest<App> for Posted {
    type Rejection = Away;

    async fn from_request(request: Request, app: &App) -> Result<Self, Away> {
        let (mut parts, body) = request.into_parts();
        let mut visitor = match Visitor::from_request_parts(&mut parts, app).await {
            Err(away @ (Away::LogIn | Away::Idle)) => return Err(kept::keep(app, &mut parts, body, away).await),
            visitor => visitor?,
        };
        require_own_page(&parts.headers, &parts.uri)?;
        let form = Form::read(&parts.headers, body).await?;
        if form.get("form_token") != visitor.form_token() {
            let earlier = Kept::typed(&parts, &form).filter(|kept| kept.is_of(&visitor));
            return Err(match earlier {
                Some(kept) => kept::offer_in_answer(app, &visitor, &kept)?,
                None => foreign().into(),
            });
        }
        let route = route_of(Listener::Organisations, &parts.method, parts.uri.path());
        let beside =
            route.is_some_and(Route::is_grave_beside_factors) && app.platform.has_second_factor(&visitor.caller);
        if stage_of(&parts) > Stage::Through || beside {
            proof::require(app, &parts, &mut visitor, &form).await?;
        }
        Ok(Self { visitor, form })
    }
}

impl FromRequest<App> for Uploaded {
    type Rejection = Away;

    async fn from_request(request: Request, app: &App) -> Result<Self, Away> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, app).await?;
        require_own_page(&parts.headers, &parts.uri)?;
        let route = route_of(Listener::Organisations, &parts.method, parts.uri.path());
        let limit = if route.is_some_and(Route::is_set) { SLIP_LIMIT } else { JSON_LIMIT };
        let files = files_of_page(Request::from_parts(parts, body), &visitor.form_token(), limit).await?;
        Ok(Self { files: files.ok_or_else(foreign)?, visitor })
    }
}

impl Visitor {
    /// Who has just logged in.
    pub(crate) fn of(caller: Caller, context: Context, token: String) -> Self {
        Self { frame_of: caller.organization, caller, context, token }
    }

    /// Stands in every form of this log-in and nowhere else; its second half is [`Visitor::writer`].
    pub(crate) fn form_token(&self) -> String {
        half(&format!("form of {}", self.token)) + &self.writer()
    }

    /// Stands for the account in forms whose typing outlives a log-in; the same in each of its log-ins.
    pub(crate) fn writer(&self) -> String {
        half(&format!("writer {}", self.caller.staff.id.0))
    }

    /// The frame of a page. `here` is the address of its item in the menu.
    pub(crate) fn frame(&self, app: &App, title: &str, screen: &'static str, here: &'static str) -> Frame {
        let staff = &self.caller.staff;
        let who = Who { staff: format!("{}（{}）", staff.name, staff.job.name_ja()), ..Who::of(self.frame_of, app) };
        Frame {
            title: title.to_owned(),
            screen,
            who: Some(who),
            banner: banner(self, app),
            menu: menu(&self.caller),
            here,
            form_token: self.form_token(),
            idle_minutes: app.platform.idle_warning(&self.caller),
            public_url: app.settings.public_url.clone(),
            ..Frame::default()
        }
    }
}

/// Half of a form token: 32 hexadecimal digits.
fn half(of: &str) -> String {
    digest(&SHA256, of.as_bytes()).as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// What is told while a disaster mode is open for the visitor.
fn banner(visitor: &Visitor, app: &App) -> Option<Banner> {
    let open = app.platform.open_disasters(&visitor.caller, &visitor.context);
    let until = open.iter().filter_map(|mode| mode.until).max()?;
    let events: Vec<&str> = open.iter().map(|mode| mode.event.as_str()).collect();
    let areas: BTreeSet<_> = open.iter().flat_map(|mode| &mode.areas).copied().collect();
    let name = |number: InsurerNumber| words::city(number.as_str()).unwrap_or_else(|| format!("保険者番号 {number}"));
    let areas: Vec<String> = areas.into_iter().map(name).collect();
    Some(Banner { events: events.join("、"), areas: areas.join("・"), until: words::day(until) })
}

/// Where the cookie of a log-in is noted that takes the place of the one that came; the guard adds it to the answer.
#[derive(Clone, Default)]
pub(crate) struct Renewed(Arc<OnceLock<HeaderValue>>);

impl Renewed {
    /// Notes the cookie of this log-in.
    pub(crate) fn note(&self, session: &LoggedIn, now: Timestamp) {
        let seconds = (session.expires_at.as_second() - now.as_second()).max(0);
        let _ = self.0.set(cookie(&session.token, seconds));
    }

    /// An answer with it, unless it brings a cookie of its own.
    pub(crate) fn add_to(&self, mut response: Response) -> Response {
        if let Some(cookie) = self.0.get() {
            response.headers_mut().entry(header::SET_COOKIE).or_insert_with(|| cookie.clone());
        }
        response
    }
}

/// Where the pages of an organisation lead.
fn menu(caller: &Caller) -> &'static [(&'static str, &'static str)] {
    let class = caller.office.as_ref().map(|(_, class)| *class);
    match (caller.organization, class) {
        (Organization::Office(_), Some(OfficeClass::Hospital)) => &[
            ("/today", "今日の仕事"),
            ("/opinions", "主治医意見書"),
            ("/users", "担当患者"),
            ("/users/new", "患者を登録"),
            ("/admin", "管理メニュー"),
        ],
        (Organization::Office(_), Some(OfficeClass::HospitalWithCare)) => &[
            ("/today", "今日の仕事"),
            ("/opinions", "主治医意見書"),
            ("/users", "担当患者"),
            ("/users/new", "患者を登録"),
            ("/plans", "ケアプラン"),
            ("/admin", "管理メニュー"),
        ],
        (Organization::Office(_), Some(OfficeClass::HealthFacility)) => &[
            ("/today", "今日の仕事"),
            ("/users", "担当利用者"),
            ("/users/new", "利用者を登録"),
            ("/plans", "ケアプラン"),
            ("/opinions", "主治医意見書"),
            ("/admin", "管理メニュー"),
        ],
        (
            Organization::Office(_),
            Some(OfficeClass::CarePlanning | OfficeClass::CommunitySupport | OfficeClass::ResidentialService),
        ) => &[
            ("/today", "今日の仕事"),
            ("/users", "担当利用者"),
            ("/users/new", "利用者を登録"),
            ("/requests", "届出"),
            ("/plans", "ケアプラン"),
            ("/admin", "管理メニュー"),
        ],
        (Organization::Office(_), _) => &[
            ("/today", "今日の仕事"),
            ("/users", "担当利用者"),
            ("/users/new", "利用者を登録"),
            ("/plans", "ケアプラン"),
            ("/admin", "管理メニュー"),
        ],
        (Organization::Municipality(_), _) => &[
            ("/today", "今日の仕事"),
            ("/inbox", "届いたもの"),
            ("/packages", "データの取り込み"),
            ("/insured", "被保険者"),
            ("/renewals", "同意がまだの人"),
            ("/statistics", "統計"),
            ("/start", "利用開始"),
            ("/admin", "管理メニュー"),
        ],
        (Organization::Operator, _) => &[("/today", "今日の仕事"), ("/operator", "運用"), ("/admin", "管理メニュー")],
        (Organization::Prefecture(_), _) => &[("/today", "今日の仕事"), ("/admin", "管理メニュー")],
    }
}

/// The token of the one cookie of ours.
fn token(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut ours = pairs.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value);
    let token = ours.next()?;
    let fits = token.len() == 64 && token.bytes().all(|b| b.is_ascii_hexdigit());
    (fits && ours.next().is_none()).then(|| token.to_owned())
}

/// The cookie of a log-in that holds so many seconds.
pub(crate) fn cookie(token: &str, seconds: i64) -> HeaderValue {
    let text = format!("{COOKIE}={token}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict");
    HeaderValue::from_str(&text).unwrap_or_else(|_| no_cookie())
}

/// Takes the cookie away.
pub(crate) fn no_cookie() -> HeaderValue {
    HeaderValue::from_static("__Host-kiban=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict")
}

/// To another page of ours; the browser asks for it with GET, so going back sends nothing twice.
pub(crate) fn to(path: &str, cookie: Option<HeaderValue>) -> Response {
    let mut response = Redirect::to(path).into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// The page a form stands on, by the address it is sent to.
pub(crate) fn to_pages_of(path: &str) -> &str {
    let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
    if route_of(Listener::Organisations, &Method::GET, path).is_some() { path } else { parent }
}

/// A form comes from one of our pages: browsers name the origin of every form they send.
pub(crate) fn require_own_page(headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
    let own = uri.authority().map(|authority| authority.as_str());
    let own = own.or_else(|| headers.get(header::HOST).and_then(|host| host.to_str().ok())).unwrap_or_default();
    let mut origins = headers.get_all(header::ORIGIN).iter().map(|origin| origin.to_str().unwrap_or_default());
    let is_own = origins.next().and_then(|origin| origin.strip_prefix("https://")) == Some(own);
    if is_own && origins.next().is_none() && !own.is_empty() { Ok(()) } else { Err(foreign()) }
}

pub(crate) fn foreign() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "foreign_form",
        "この画面からは送れません",
        "ほかの画面から開き直したか、ログインし直したためです。前の画面に戻って読み込み直し、もう一度送ってください。",
    )
}
