//! Who is at the person's door: logged in by a cookie of its own, forms only from our own pages of the same log-in (T-28, T-31). With every
//! answer the cookie is written anew, so that a log-in nobody uses is over after fifteen minutes (S-013).

use super::log_in::{AtDoor, with_cookies};
use super::{MeFrame, cookie_of};
use crate::input::Form;
use crate::pages::show;
use crate::pages::visitor::{foreign, require_own_page};
use crate::{App, Problem};
use askama::Template;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use kiban_service::{AtPortal, Looking};
use ring::digest::{SHA256, digest};

/// Name of the cookie of a log-in.
pub(crate) const LOG_IN: &str = "__Host-kiban-me";

/// Somebody logged in, whoever's information is being looked at.
pub(crate) struct Known {
    pub(crate) door: AtDoor,
    pub(crate) at: AtPortal,
}

/// Somebody who looks at one person's information.
pub(crate) struct Looker {
    pub(crate) known: Known,
    pub(crate) looking: Looking,
}

/// A form that a page of this log-in sent.
pub(crate) struct Posted<T> {
    pub(crate) who: T,
    pub(crate) form: Form,
}

/// Why nothing is shown.
pub(crate) enum Away {
    /// Nobody is logged in: to the entrance; the cookie goes.
    Entrance,
    /// Nobody's information is chosen, or it may not be looked at any more.
    Choice,
    /// As it says.
    Problem(Box<Problem>),
}

impl From<Problem> for Away {
    fn from(problem: Problem) -> Self {
        match problem.code {
            "person_session" => Self::Entrance,
            "person_choice" => Self::Choice,
            _ => Self::Problem(Box::new(problem)),
        }
    }
}

impl From<kiban_service::Error> for Away {
    fn from(error: kiban_service::Error) -> Self {
        Problem::from(error).into()
    }
}

impl IntoResponse for Away {
    fn into_response(self) -> Response {
        match self {
            Self::Entrance => with_cookies(Redirect::to("/me").into_response(), &[(LOG_IN, "", 0)]),
            Self::Choice => Redirect::to("/me/whose").into_response(),
            Self::Problem(problem) => problem.into_response(),
        }
    }
}

impl FromRequestParts<App> for Known {
    type Rejection = Away;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Away> {
        let door = AtDoor::from_request_parts(parts, app).await?;
        let at = app.platform.at_portal(cookie_of(&door.headers, LOG_IN), &door.network, &door.context).await?;
        Ok(Self { door, at })
    }
}

impl FromRequestParts<App> for Looker {
    type Rejection = Away;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Away> {
        let known = Known::from_request_parts(parts, app).await?;
        let looking = app.platform.looking(&known.at, &known.door.context).await?;
        Ok(Self { known, looking })
    }
}

impl AsRef<Known> for Known {
    fn as_ref(&self) -> &Known {
        self
    }
}

impl AsRef<Known> for Looker {
    fn as_ref(&self) -> &Known {
        &self.known
    }
}

impl<T: FromRequestParts<App, Rejection = Away> + AsRef<Known> + Send> FromRequest<App> for Posted<T> {
    type Rejection = Away;

    async fn from_request(request: Request, app: &App) -> Result<Self, Away> {
        let (mut parts, body) = request.into_parts();
        let who = T::from_request_parts(&mut parts, app).await?;
        require_own_page(&parts.headers, &parts.uri)?;
        let form = Form::read(&parts.headers, body).await?;
        if form.get("form_token") != who.as_ref().form_token() {
            return Err(foreign().into());
        }
        Ok(Self { who, form })
    }
}

impl Known {
    /// Stands in every form of this log-in and nowhere else.
    pub(crate) fn form_token(&self) -> String {
        let sum = digest(&SHA256, format!("form of {}", self.at.form_secret()).as_bytes());
        sum.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn frame(&self, title: &str, screen: &'static str) -> MeFrame {
        MeFrame { form_token: self.form_token(), ..MeFrame::new(title, screen, &self.door.headers) }
    }

    /// The answer, with the cookie of a log-in that was used just now.
    pub(crate) async fn answer(&self, app: &App, response: Response) -> Result<Response, Away> {
        keep(app, &self.door, &self.at, response).await
    }

    pub(crate) async fn show(&self, app: &App, page: &impl Template) -> Result<Response, Away> {
        self.answer(app, show(page)?).await
    }
}

/// An answer with the cookie of a log-in.
pub(crate) async fn keep(app: &App, door: &AtDoor, at: &AtPortal, response: Response) -> Result<Response, Away> {
    let value = app.platform.portal_cookie(at, &door.context).await?;
    let seconds = at.ends_at().as_second() - door.context.now.as_second();
    Ok(with_cookies(response, &[(LOG_IN, &value, seconds.max(1))]))
}
