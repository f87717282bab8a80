//! One's own account (P-183, P-185, P-210): the password, the second factor and the log-ins.

use super::qr::Qr;
use super::visitor::{Away, Posted, Visitor, cookie, to};
use super::{Frame, show, words};
use crate::input::Form;
use crate::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use kiban_service::{FactorProof, Mailed, PasskeyLine, PasswordChange, SessionLine};

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage {
    page: Frame,
    /// Whether the password is an initial one: nothing else is open.
    is_initial: bool,
    /// Field and message.
    errors: Vec<(String, String)>,
}

impl PasswordPage {
    fn message(&self, name: &str) -> Option<&str> {
        self.errors.iter().find(|(field, _)| field == name).map(|(_, text)| text.as_str())
    }
}

fn password_page(app: &App, visitor: &Visitor) -> PasswordPage {
    let is_initial = app.platform.must_change_password(&visitor.caller);
    let mut page = Frame { body: "main--read", ..visitor.frame(app, "パスワードを変える", "P-210", "") };
    if is_initial {
        page.menu = &[];
    }
    PasswordPage { page, is_initial, errors: Vec::new() }
}

pub(crate) async fn password_form(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    Ok(show(&password_page(&app, &visitor))?)
}

pub(crate) async fn change_password(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let (new_password, again) = (form.as_typed("new_password").to_owned(), form.as_typed("again"));
    let fault = |item: &str, text: &str| Problem::invalid(vec![kiban_service::ItemFault::new(item, text)]);
    let change = if new_password == again {
        Ok(PasswordChange { old_password: form.as_typed("old_password").to_owned(), new_password })
    } else {
        Err(fault("again", "新しいパスワードと違います。同じものを2回入力してください"))
    };
    let problem = match app.platform.change_password(&visitor.caller, change, &visitor.context).await {
        Ok(session) => {
            let seconds = (session.expires_at.as_second() - visitor.context.now.as_second()).max(0);
            let next = super::login::FIRST_PAGE;
            return Ok(to(next, Some(cookie(&session.token, seconds))));
        }
        Err(problem) => problem,
    };
    let mut html = password_page(&app, &visitor);
    html.errors = problem.items();
    if html.errors.is_empty() {
        return Err(problem.into());
    }
    html.page.has_errors = true;
    let mut response = show(&html)?;
    *response.status_mut() = problem.status;
    Ok(response)
}

#[derive(Template)]
#[template(path = "factor.html")]
struct FactorPage {
    page: Frame,
    is_set: bool,
    /// Codes come by e-mail.
    by_mail: bool,
    /// This installation sends mails.
    mail_offered: bool,
    /// Address a code was sent to, to be proven; empty before.
    address: String,
    /// What became of a mail.
    mailed: String,
    is_required: bool,
    codes_left: i64,
    passkeys: Vec<PasskeyRow>,
    /// The secret in groups of four, for typing; empty when one is set up.
    secret: String,
    qr: Qr,
    errors: Vec<(String, String)>,
}

/// A passkey, in words.
struct PasskeyRow {
    passkey: String,
    name: String,
    made: String,
    used: String,
}

#[derive(Template)]
#[template(path = "recovery.html")]
pub(super) struct RecoveryPage {
    pub(super) page: Frame,
    pub(super) codes: Vec<String>,
}

async fn factor_page(app: &App, visitor: &Visitor) -> Result<FactorPage, Problem> {
    let Visitor { caller, context, .. } = visitor;
    let state = app.platform.factor_state(caller, context).await?;
    let mut page = Frame { body: "main--read", ..visitor.frame(app, "第二要素", "P-210", "") };
    if state.required {
        page.menu = &[];
    }
    let (mut secret, mut qr) = (String::new(), Qr::default());
    let is_set = state.totp || state.mail;
    let mut passkeys = Vec::new();
    if state.passkeys > 0 {
        let row = |line: PasskeyLine| PasskeyRow {
            passkey: line.passkey,
            name: line.name,
            made: words::day(line.made_on),
            used: line.last_used_on.map_or_else(|| "まだ".to_owned(), words::day),
        };
        passkeys = app.platform.passkeys(caller, context).await?.into_iter().map(row).collect();
    }
    if !is_set {
        let offer = app.platform.offer_factor(caller, context).await?;
        qr = Qr::of(&offer.uri)?;
        let signs: Vec<char> = offer.secret.chars().collect();
        secret = signs.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(" ");
    }
    Ok(FactorPage {
        page,
        is_set,
        by_mail: state.mail,
        mail_offered: state.mail_offered,
        address: String::new(),
        mailed: String::new(),
        is_required: state.required,
        codes_left: state.recovery_codes_left,
        passkeys,
        secret,
        qr,
        errors: Vec::new(),
    })
}

pub(crate) async fn factor_form(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    Ok(show(&factor_page(&app, &visitor).await?)?)
}

fn proof(form: &Form) -> Result<FactorProof, Problem> {
    let address = Some(form.get("address").to_owned()).filter(|address| !address.is_empty());
    Ok(FactorProof {
        password: form.as_typed("password").to_owned(),
        code: form.get("code").to_owned(),
        address,
        passkey: None,
    })
}

/// Shows the recovery codes in its answer: they are told once, so there is no page to come back to.
pub(crate) async fn set_up_factor(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    match app.platform.set_up_factor(&visitor.caller, proof(&form), &visitor.context).await {
        Ok(codes) => {
            let page = Frame { body: "main--read", ..visitor.frame(&app, "回復コード", "P-210", "") };
            Ok(show(&RecoveryPage { page, codes })?)
        }
        Err(problem) => factor_again(&app, &visitor, form.get("address"), problem).await,
    }
}

/// Sends a code: to an address that is to be proven, or to the one that is set up.
pub(crate) async fn factor_mail(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let (Visitor { caller, context, .. }, address) = (&visitor, form.get("address"));
    let mut html = factor_page(&app, &visitor).await?;
    let sent = match html.by_mail {
        true => app.platform.send_code(caller, context).await,
        false => app.platform.offer_mail(caller, Ok(address.to_owned()), context).await,
    };
    match sent {
        Err(error @ kiban_service::Error::Invalid(_)) => {
            return factor_again(&app, &visitor, "", error.into()).await;
        }
        sent => html.mailed = Mailed::of(sent).map_err(Problem::from)?.code().to_owned(),
    }
    if html.mailed == Mailed::Sent.code() {
        html.address = address.to_owned();
    }
    Ok(show(&html)?)
}

pub(crate) async fn remove_factor(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    match app.platform.remove_factor(&visitor.caller, proof(&form), &visitor.context).await {
        Ok(()) => Ok(to("/account/factor", None)),
        Err(problem) => factor_again(&app, &visitor, "", problem).await,
    }
}

async fn factor_again(app: &App, visitor: &Visitor, address: &str, problem: Problem) -> Result<Response, Away> {
    let mut html = factor_page(app, visitor).await?;
    html.address = address.to_owned();
    html.errors = problem.items();
    if html.errors.is_empty() {
        return Err(problem.into());
    }
    html.page.has_errors = true;
    let mut response = show(&html)?;
    *response.status_mut() = problem.status;
    Ok(response)
}

/// What the button of the warning sends.
pub(crate) async fn stay(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    app.platform.stay(&posted.visitor.caller, &posted.visitor.context).await.map_err(Problem::from)?;
    Ok(crate::api::done()?)
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    page: Frame,
    rows: Vec<SessionRow>,
}

/// A log-in, in words.
pub(super) struct SessionRow {
    pub(super) session: String,
    pub(super) terminal: String,
    pub(super) way: String,
    pub(super) opened: String,
    pub(super) ends: String,
    pub(super) own: bool,
}

impl SessionRow {
    pub(super) fn of(line: SessionLine) -> Self {
        let way = match line.software {
            Some(software) => format!("ソフト（{software}）"),
            None => "画面".to_owned(),
        };
        let (opened, ends) = (words::moment(line.opened_at), words::moment(line.ends_at));
        Self { session: line.session, terminal: line.terminal, way, opened, ends, own: line.own }
    }
}

/// Name of the visitor's own account.
fn own_name(visitor: &Visitor) -> String {
    visitor.caller.staff.id.0.rsplit('/').next().unwrap_or_default().to_owned()
}

pub(crate) async fn sessions(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &visitor;
    let lines = app.platform.account_sessions(caller, caller.organization, &own_name(&visitor), context).await;
    let rows = lines.map_err(Problem::from)?.into_iter().map(SessionRow::of).collect();
    let page = visitor.frame(&app, "自分のログイン", "P-211", "/admin");
    Ok(show(&SessionsPage { page, rows })?)
}

pub(crate) async fn end_session(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let (caller, name) = (&visitor.caller, own_name(&visitor));
    let ended =
        app.platform.end_account_session(caller, caller.organization, &name, form.get("session"), &visitor.context);
    ended.await.map_err(Problem::from)?;
    Ok(to("/account/sessions", None))
}
