//! Applications for certificates at the operator's screen (P-182): two operators vouch for each, over two terminals.

use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show, words};
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use kiban_domain::Organization;
use kiban_service::CertificateApplication;

#[derive(Template)]
#[template(path = "applications.html")]
struct ApplicationsPage {
    page: Frame,
    rows: Vec<Row>,
}

struct Row {
    application: String,
    number: String,
    /// Empty for an office that is not registered.
    name: String,
    terminal: String,
    connector: bool,
    key_check: String,
    made: String,
    state: &'static str,
    is_open: bool,
}

#[derive(Template)]
#[template(path = "handover.html")]
struct HandoverPage {
    page: Frame,
    organization: String,
    terminal: String,
    code: String,
}

impl Row {
    fn of(application: CertificateApplication, app: &App) -> Self {
        let name = match application.organization {
            Organization::Office(number) => {
                app.platform.standing().office(number).map(|office| office.name.clone()).unwrap_or_default()
            }
            Organization::Municipality(number) => words::city(number.as_str()).unwrap_or_else(|| "市区町村".to_owned()),
            Organization::Prefecture(_) => "都道府県".to_owned(),
            Organization::Operator => "運用者".to_owned(),
        };
        Self {
            number: application.organization.to_string(),
            name,
            terminal: application.terminal,
            connector: application.connector,
            key_check: application.key_check.unwrap_or_default(),
            made: words::moment(application.made_at),
            state: application.state_name,
            is_open: matches!(application.state, "waiting" | "checked"),
            application: application.application,
        }
    }
}

pub(crate) async fn list(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &visitor;
    let found = app.platform.certificate_applications(caller, context).await.map_err(Problem::from)?;
    let rows = found.into_iter().map(|application| Row::of(application, &app)).collect();
    let page = visitor.frame(&app, "電子証明書の申込み", "P-211", "/admin");
    Ok(show(&ApplicationsPage { page, rows })?)
}

/// Shows the 受取番号 in its answer: it is told once, so there is no page to come back to.
pub(crate) async fn act(
    State(app): State<App>,
    Path(application): Path<String>,
    posted: Posted,
) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let Visitor { caller, context, .. } = &visitor;
    match form.get("act") {
        "approve" => {
            let approved = app.platform.approve_certificate(caller, &application, context).await;
            let approved = approved.map_err(Problem::from)?;
            if let Some(code) = approved.code {
                let page = Frame { body: "main--read", ..visitor.frame(&app, "受取番号", "P-211", "/admin") };
                let (organization, terminal) =
                    (approved.application.organization.to_string(), approved.application.terminal);
                return Ok(show(&HandoverPage { page, organization, terminal, code })?);
            }
        }
        "refuse" => app.platform.refuse_certificate(caller, &application, context).await.map_err(Problem::from)?,
        _ => return Err(Problem::unknown().into()),
    }
    Ok(to("/admin/applications", None))
}
