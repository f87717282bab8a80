//! 管理メニュー (P-211): the office with its number and name, printable; the people who use the platform there (P-012, S-011), their
//! yearly review (P-187).

use super::account::SessionRow;
use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show, words};
use crate::api::accounts::care_manager;
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use kiban_domain::Organization;
use kiban_domain::office::JobType;
use kiban_domain::service_type::service_type;
use kiban_service::{AccountLine, InitialPassword, Invitation, ItemFault};

#[derive(Template)]
#[template(path = "admin.html")]
struct AdminPage {
    page: Frame,
    /// Name and value of what is known of the organisation.
    facts: Vec<(&'static str, String)>,
    is_administrator: bool,
    is_operator: bool,
    /// The accounts were not gone through for a year.
    review_due: bool,
}

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage {
    page: Frame,
    rows: Vec<PersonRow>,
    reviewed: String,
    review_due: bool,
}

struct PersonRow {
    account: String,
    name: String,
    job: &'static str,
    may: String,
    state: &'static str,
    state_name: &'static str,
    last: String,
    second_factor: bool,
    own: bool,
}

impl PersonRow {
    fn of(line: AccountLine) -> Self {
        let mut may = vec![match line.job {
            JobType::CareManager => "担当利用者の閲覧、ケアプランを作る人は調査票・意見書も",
            JobType::MunicipalOfficer => "自らの被保険者の閲覧と受理",
            JobType::OperatorStaff => "運用の操作（人の情報は見られない）",
            _ => "担当利用者の閲覧",
        }];
        if line.administrator {
            may.push("管理（人の登録・停止、職員ごとの閲覧の停止）");
        }
        Self {
            account: line.account,
            name: line.name,
            job: line.job_name,
            may: may.join("。"),
            state: line.state,
            state_name: line.state_name,
            last: line.last_log_in.map(words::moment).unwrap_or_default(),
            second_factor: line.second_factor,
            own: line.own,
        }
    }
}

#[derive(Template)]
#[template(path = "invite.html")]
struct InvitePage {
    page: Frame,
    jobs: Vec<(&'static str, &'static str)>,
    typed: Vec<(&'static str, String)>,
    /// Field and message.
    errors: Vec<(String, String)>,
}

impl InvitePage {
    fn typed(&self, name: &str) -> &str {
        self.typed.iter().find(|(field, _)| *field == name).map_or("", |(_, text)| text)
    }

    fn message(&self, name: &str) -> Option<&str> {
        self.errors.iter().find(|(field, _)| field == name).map(|(_, text)| text.as_str())
    }
}

#[derive(Template)]
#[template(path = "initial.html")]
struct InitialPage {
    page: Frame,
    account: String,
    password: String,
    until: String,
}

#[derive(Template)]
#[template(path = "colleague.html")]
struct ColleaguePage {
    page: Frame,
    /// Its people can be hidden from somebody.
    is_office: bool,
    row: PersonRow,
    sessions: Vec<SessionRow>,
}

pub(crate) async fn menu(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &visitor;
    let mut facts = Vec::new();
    if let Some((office, _)) = &caller.office {
        let named = |code: &str| match service_type(code) {
            Some(known) => format!("{code} {}", known.name_ja),
            None => code.to_owned(),
        };
        let services: Vec<String> = office.service_types.iter().map(|kind| named(kind.as_str())).collect();
        facts = vec![
            ("事業所番号", office.number.to_string()),
            ("名称", office.name.clone()),
            ("所在地", office.address.clone().unwrap_or_default()),
            ("電話番号", office.telephone.clone().unwrap_or_default()),
            ("サービス種類", services.join("、")),
            ("この画面の日付", words::moment(context.now)),
        ];
        facts.retain(|(_, value)| !value.is_empty());
    }
    let is_administrator = caller.staff.administrator;
    let review_due = match is_administrator {
        true => app.platform.accounts(caller, caller.organization, context).await.map_err(Problem::from)?.review_due,
        false => false,
    };
    let page = visitor.frame(&app, "管理メニュー", "P-211", "/admin");
    let is_operator = caller.organization == Organization::Operator;
    let html = AdminPage { page, facts, is_administrator, is_operator, review_due };
    Ok(show(&html)?)
}

pub(crate) async fn people(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &visitor;
    let list = app.platform.accounts(caller, caller.organization, context).await.map_err(Problem::from)?;
    let html = PeoplePage {
        page: visitor.frame(&app, "利用する人", "P-211", "/admin"),
        rows: list.accounts.into_iter().map(PersonRow::of).collect(),
        reviewed: list.reviewed_at.map(words::day_of).unwrap_or_default(),
        review_due: list.review_due,
    };
    Ok(show(&html)?)
}

pub(crate) async fn review(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &posted.visitor;
    app.platform.review_accounts(caller, caller.organization, context).await.map_err(Problem::from)?;
    Ok(to("/admin/people", None))
}

fn invite_page(app: &App, visitor: &Visitor) -> InvitePage {
    let organization = visitor.caller.organization;
    let jobs = JobType::ALL.into_iter().filter(|job| kiban_service::is_job_of(organization, *job));
    InvitePage {
        page: Frame { body: "main--read", ..visitor.frame(app, "人を登録", "P-211", "/admin") },
        jobs: jobs.map(|job| (job.code(), job.name_ja())).collect(),
        typed: Vec::new(),
        errors: Vec::new(),
    }
}

pub(crate) async fn invite_form(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    if !visitor.caller.staff.administrator {
        return Err(Problem::unknown().into());
    }
    Ok(show(&invite_page(&app, &visitor))?)
}

/// Shows the initial password in its answer: it is told once, so there is no page to come back to.
pub(crate) async fn invite(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let text = |name: &str| form.get(name).to_owned();
    let invitation = || -> Result<Invitation, Problem> {
        let fault = || Problem::invalid(vec![ItemFault::new("job", "職種を選んでください")]);
        Ok(Invitation {
            account: text("account"),
            name: text("name"),
            job: JobType::parse(form.get("job")).ok_or_else(fault)?,
            care_manager: care_manager(form.get("care_manager"))?,
            administrator: form.get("administrator") == "yes",
        })
    };
    let Visitor { caller, context, .. } = &visitor;
    let problem = match app.platform.invite(caller, caller.organization, invitation(), context).await {
        Ok(told) => return Ok(initial_page(&app, &visitor, told)?),
        Err(problem) => problem,
    };
    let mut html = invite_page(&app, &visitor);
    html.errors = match problem.code {
        "conflict" => vec![("account".to_owned(), problem.title.clone())],
        _ => problem.items(),
    };
    if html.errors.is_empty() {
        return Err(problem.into());
    }
    html.typed = ["account", "name", "job", "care_manager", "administrator"].map(|name| (name, text(name))).into();
    html.page.has_errors = true;
    let mut response = show(&html)?;
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    Ok(response)
}

fn initial_page(app: &App, visitor: &Visitor, told: InitialPassword) -> Result<Response, Problem> {
    let page = Frame { body: "main--read", ..visitor.frame(app, "仮のパスワード", "P-211", "/admin") };
    let until = words::moment(told.valid_until);
    show(&InitialPage { page, account: told.account, password: told.initial_password, until })
}

pub(crate) async fn person(
    State(app): State<App>,
    visitor: Visitor,
    Path(account): Path<String>,
) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &visitor;
    let organization = caller.organization;
    let list = app.platform.accounts(caller, organization, context).await.map_err(Problem::from)?;
    let line = list.accounts.into_iter().find(|line| line.account == account).ok_or_else(Problem::unknown)?;
    let sessions = app.platform.account_sessions(caller, organization, &account, context).await;
    let html = ColleaguePage {
        is_office: caller.office.is_some(),
        page: visitor.frame(&app, "利用する人", "P-211", "/admin"),
        row: PersonRow::of(line),
        sessions: sessions.map_err(Problem::from)?.into_iter().map(SessionRow::of).collect(),
    };
    Ok(show(&html)?)
}

pub(crate) async fn act(State(app): State<App>, Path(account): Path<String>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let (caller, context) = (&visitor.caller, &visitor.context);
    let organization = caller.organization;
    let back = format!("/admin/people/{account}");
    match form.get("act") {
        "reset" => {
            let lost = form.get("second_factor") == "yes";
            let told = app.platform.reset_password(caller, organization, (&account, lost), context).await;
            return Ok(initial_page(&app, &visitor, told.map_err(Problem::from)?)?);
        }
        "stop" | "resume" => {
            let active = Ok::<_, Problem>(form.get("act") == "resume");
            app.platform.switch_account(caller, organization, &account, active, context).await?;
        }
        "leave" => {
            app.platform.close_account(caller, organization, &account, context).await.map_err(Problem::from)?;
        }
        "end" => {
            let ended = app.platform.end_account_session(caller, organization, &account, form.get("session"), context);
            ended.await.map_err(Problem::from)?;
        }
        _ => return Err(Problem::unknown().into()),
    }
    Ok(to(&back, None))
}
