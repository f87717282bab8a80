//! 電子証明書の申込み without a certificate, on the public listener (P-182): somebody asks, sees how it stands under an address
//! that nobody can guess, and takes the file with the 受取番号. The same use cases as the API.

use super::visitor::{require_own_page, to};
use super::{Frame, show, words};
use crate::api::Answer;
use crate::api::certificates::{bytes, organization_of, source};
use crate::input::Form;
use crate::tls::RemoteAddr;
use crate::{App, Problem};
use askama::Template;
use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use kiban_service::{CertificateApplication, CertificateAsk, Context};

const ITEMS: [&str; 4] = ["organization", "terminal", "contact", "csr"];

#[derive(Template)]
#[template(path = "apply.html")]
struct ApplyPage {
    page: Frame,
    typed: Vec<(&'static str, String)>,
    /// Field and message.
    errors: Vec<(String, String)>,
}

impl ApplyPage {
    fn typed(&self, name: &str) -> &str {
        self.typed.iter().find(|(field, _)| *field == name).map_or("", |(_, text)| text)
    }

    fn message(&self, name: &str) -> Option<&str> {
        self.errors.iter().find(|(field, _)| field == name).map(|(_, text)| text.as_str())
    }
}

#[derive(Template)]
#[template(path = "application.html")]
struct ApplicationPage {
    page: Frame,
    application: CertificateApplication,
    made: String,
    /// A file waits for whoever has the 受取番号.
    waits: bool,
    error: String,
}

fn frame(app: &App, title: &str) -> Frame {
    let public_url = app.settings.public_url.clone();
    Frame { title: title.to_owned(), body: "main--read", screen: "P-211", public_url, ..Frame::default() }
}

pub(crate) async fn form(State(app): State<App>) -> Answer {
    show(&ApplyPage { page: frame(&app, "電子証明書の申込み"), typed: Vec::new(), errors: Vec::new() })
}

pub(crate) async fn apply(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    address: Option<Extension<RemoteAddr>>,
    request: Request,
) -> Answer {
    let form = posted(request).await?;
    let text = |name: &str| form.get(name).to_owned();
    let ask = || -> Result<CertificateAsk, Problem> {
        let csr = Some(text("csr")).filter(|csr| !csr.is_empty());
        let organization = organization_of(Some(text("organization")))?;
        Ok(CertificateAsk { organization, terminal: text("terminal"), connector: false, csr, contact: text("contact") })
    };
    let problem = match app.platform.apply_publicly(ask(), &source(address), &context).await {
        Ok(made) => return Ok(to(&format!("/apply/{}", made.application), None)),
        Err(problem) => problem,
    };
    let mut html =
        ApplyPage { page: frame(&app, "電子証明書の申込み"), typed: Vec::new(), errors: problem.items() };
    if html.errors.is_empty() {
        return Err(problem);
    }
    html.typed = ITEMS.map(|name| (name, text(name))).into();
    html.page.has_errors = true;
    let mut response = show(&html)?;
    *response.status_mut() = problem.status;
    Ok(response)
}

pub(crate) async fn application(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    Path(application): Path<String>,
) -> Answer {
    show(&application_page(&app, &application, &context).await?)
}

async fn application_page(app: &App, application: &str, context: &Context) -> Result<ApplicationPage, Problem> {
    let application = app.platform.certificate_application(application, context).await?;
    let waits = application.state == "approved" && application.key_check.is_none();
    let (page, made) = (frame(app, "申込みの状態"), words::moment(application.made_at));
    Ok(ApplicationPage { page, made, waits, error: String::new(), application })
}

/// The file is the answer: it is made once and there is no page to come back to.
pub(crate) async fn pick_up(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    address: Option<Extension<RemoteAddr>>,
    Path(application): Path<String>,
    request: Request,
) -> Answer {
    let code = posted(request).await?.get("code").to_owned();
    let file = app.platform.pick_up_certificate::<Problem>(&application, Ok(code), &source(address), &context).await;
    let problem = match file {
        Ok(file) => return Ok(bytes("terminal.p12", file)),
        Err(problem) => problem,
    };
    let Some((_, message)) = problem.items().into_iter().next() else { return Err(problem) };
    let mut html = application_page(&app, &application, &context).await?;
    html.error = message;
    html.page.has_errors = true;
    let mut response: Response = show(&html)?;
    *response.status_mut() = problem.status;
    Ok(response)
}

/// The form of one of our own pages. Nobody is logged in, so there is nothing another site could make them do; it is refused all
/// the same.
async fn posted(request: Request) -> Result<Form, Problem> {
    let (parts, body) = request.into_parts();
    require_own_page(&parts.headers, &parts.uri)?;
    Form::read(&parts.headers, body).await
}
