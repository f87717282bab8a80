//! 電子証明書 of the own organisation (P-182, P-211): the list, the renewal of the one in use, revocation, and the application for a
//! further terminal. The same use cases as the API.

use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show, words};
use crate::tls::PeerCertificate;
use crate::{App, Problem};
use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use kiban_domain::Organization;
use kiban_service::{CertificateApplication, CertificateAsk, CertificateLine, ItemFault, RENEWAL_DAYS, RevocationAsk};

/// Reasons as RFC 5280 and people name them, the most pressing first.
const REASONS: [(&str, &str); 6] = [
    ("key-compromise", "端末の紛失・盗難、またはその疑い"),
    ("superseded", "新しい証明書に替えた"),
    ("cessation-of-operation", "端末を使わなくなった・廃止"),
    ("affiliation-changed", "法人・事業所が変わった"),
    ("privilege-withdrawn", "使う資格がなくなった"),
    ("unspecified", "その他"),
];

#[derive(Template)]
#[template(path = "certificates.html")]
struct CertificatesPage {
    page: Frame,
    rows: Vec<Row>,
    /// Whether the visitor answers for the certificates.
    is_administrator: bool,
    renewal: Renewal,
    typed: Vec<(&'static str, String)>,
    /// Field and message.
    errors: Vec<(String, String)>,
}

impl CertificatesPage {
    fn typed(&self, name: &str) -> &str {
        self.typed.iter().find(|(field, _)| *field == name).map_or("", |(_, text)| text)
    }

    fn message(&self, name: &str) -> Option<&str> {
        self.errors.iter().find(|(field, _)| field == name).map(|(_, text)| text.as_str())
    }
}

/// How the certificate in use stands with its renewal.
#[derive(Default)]
struct Renewal {
    terminal: String,
    /// Its last day; empty where it is not in the list.
    until: String,
    /// The first day it can be renewed; empty when that is so.
    from: String,
    days: i64,
}

struct Row {
    terminal: String,
    serial: String,
    until: String,
    state: &'static str,
    connector: bool,
    own: bool,
    /// Neither revoked nor past its end.
    is_good: bool,
}

#[derive(Template)]
#[template(path = "certificate.html")]
struct CertificatePage {
    page: Frame,
    row: Row,
    reasons: &'static [(&'static str, &'static str)],
    errors: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "renewed.html")]
struct RenewedPage {
    page: Frame,
    application: CertificateApplication,
    /// Last day of the new one.
    until: String,
    /// Last day of the old one.
    old_until: String,
}

impl Row {
    fn of(line: &CertificateLine) -> Self {
        Self {
            terminal: line.terminal.clone(),
            serial: line.serial.clone(),
            until: words::day_of(line.not_after),
            state: line.state_name,
            connector: line.connector,
            own: line.own,
            is_good: matches!(line.state, "good" | "ending"),
        }
    }
}

async fn lines(app: &App, visitor: &Visitor) -> Result<Vec<CertificateLine>, Problem> {
    let lines = app.platform.certificates::<Problem>(&visitor.caller, Ok(None), &visitor.context).await?;
    Ok(lines.certificates)
}

fn may_care(visitor: &Visitor) -> bool {
    visitor.caller.staff.administrator || visitor.caller.organization == Organization::Operator
}

async fn list_page(app: &App, visitor: &Visitor) -> Result<CertificatesPage, Problem> {
    let lines = lines(app, visitor).await?;
    let renewal = |line: &CertificateLine| Renewal {
        terminal: line.terminal.clone(),
        until: words::day_of(line.not_after),
        from: match line.renewable_from > visitor.context.now {
            true => words::day_of(line.renewable_from),
            false => String::new(),
        },
        days: RENEWAL_DAYS,
    };
    Ok(CertificatesPage {
        page: visitor.frame(app, "電子証明書", "P-211", "/admin"),
        renewal: lines.iter().find(|line| line.own).map(renewal).unwrap_or_default(),
        rows: lines.iter().map(Row::of).collect(),
        is_administrator: may_care(visitor),
        typed: Vec::new(),
        errors: Vec::new(),
    })
}

pub(crate) async fn list(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    Ok(show(&list_page(&app, &visitor).await?)?)
}

/// The list with what is to be put right; any other problem as it is.
async fn again(
    app: &App,
    visitor: &Visitor,
    typed: Vec<(&'static str, String)>,
    errors: Vec<(String, String)>,
    problem: Problem,
) -> Result<Response, Away> {
    if errors.is_empty() {
        return Err(problem.into());
    }
    let mut html = CertificatesPage { typed, errors, ..list_page(app, visitor).await? };
    html.page.has_errors = true;
    let mut response = show(&html)?;
    *response.status_mut() = problem.status;
    Ok(response)
}

/// Shows the new certificate in its answer; the same request again is answered with the same one.
pub(crate) async fn renew(
    State(app): State<App>,
    certificate: Option<Extension<PeerCertificate>>,
    posted: Posted,
) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let Visitor { caller, context, .. } = &visitor;
    // Whoever is logged in came with one.
    let Extension(certificate) = certificate.ok_or_else(Problem::unknown)?;
    let csr = form.get("csr").to_owned();
    let renewed = app.platform.renew_certificate::<Problem>(caller, Ok(csr.clone()), &certificate.key_digest, context);
    let application = match renewed.await {
        Ok(application) => application,
        Err(problem) => return again(&app, &visitor, vec![("csr", csr)], problem.items(), problem).await,
    };
    let old = lines(&app, &visitor).await?.into_iter().find(|line| line.own);
    let html = RenewedPage {
        page: Frame { body: "main--read", ..visitor.frame(&app, "新しい電子証明書", "P-211", "/admin") },
        until: application.not_after.map(words::day_of).unwrap_or_default(),
        old_until: old.map(|line| words::day_of(line.not_after)).unwrap_or_default(),
        application,
    };
    Ok(show(&html)?)
}

/// Applies for a further terminal; how it stands, and the file of one without a key of its own, are at the public address.
pub(crate) async fn apply(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let text = |name: &str| form.get(name).to_owned();
    let csr = Some(text("new_csr")).filter(|csr| !csr.is_empty());
    let ask = CertificateAsk {
        organization: None,
        terminal: text("terminal"),
        connector: false,
        csr,
        contact: text("contact"),
    };
    match app.platform.apply_for_certificate::<Problem>(&visitor.caller, Ok(ask), &visitor.context).await {
        Ok(application) => {
            let page = Frame { body: "main--read", ..visitor.frame(&app, "申し込みました", "P-211", "/admin") };
            let html = RenewedPage { page, application, until: String::new(), old_until: String::new() };
            Ok(show(&html)?)
        }
        Err(problem) => {
            let typed = ["terminal", "contact", "new_csr"].map(|name| (name, text(name))).into();
            let place =
                |(item, message): (String, String)| (if item == "csr" { "new_csr".to_owned() } else { item }, message);
            let errors = problem.items().into_iter().map(place).collect();
            again(&app, &visitor, typed, errors, problem).await
        }
    }
}

async fn one_page(app: &App, visitor: &Visitor, serial: &str) -> Result<CertificatePage, Problem> {
    let line = lines(app, visitor).await?.into_iter().find(|line| line.serial == serial);
    let row = line.as_ref().map(Row::of).filter(|row| row.is_good && may_care(visitor)).ok_or_else(Problem::unknown)?;
    let page = Frame { body: "main--read", ..visitor.frame(app, "電子証明書の失効", "P-211", "/admin") };
    Ok(CertificatePage { page, row, reasons: &REASONS, errors: Vec::new() })
}

pub(crate) async fn one(
    State(app): State<App>,
    Path(serial): Path<String>,
    visitor: Visitor,
) -> Result<Response, Away> {
    Ok(show(&one_page(&app, &visitor, &serial).await?)?)
}

pub(crate) async fn revoke(
    State(app): State<App>,
    Path(serial): Path<String>,
    posted: Posted,
) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let with_renewed = (form.get("keep_renewed") == "yes").then_some(false);
    let why = match REASONS.iter().find(|(word, _)| *word == form.get("reason")) {
        Some((word, _)) => Ok(RevocationAsk { reason: (*word).to_owned(), with_renewed }),
        None => Err(Problem::invalid(vec![ItemFault::new("reason", "失効の理由を選んでください")])),
    };
    match app.platform.revoke_as(&visitor.caller, &serial, why, &visitor.context).await {
        Ok(()) => Ok(to("/admin/certificates", None)),
        Err(problem) => {
            let errors = problem.items();
            if errors.is_empty() {
                return Err(problem.into());
            }
            let mut html = CertificatePage { errors, ..one_page(&app, &visitor, &serial).await? };
            html.page.has_errors = true;
            let mut response = show(&html)?;
            *response.status_mut() = problem.status;
            Ok(response)
        }
    }
}
