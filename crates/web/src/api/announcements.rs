//! 掲示: what the operator tells organisations (P-220).

use super::{Answer, created, done, ok, once};
use crate::caller::Authenticated;
use crate::input::{Faults, Json};
use crate::{App, Problem};
use axum::extract::{Path, State};
use kiban_domain::announcement::Audience;
use kiban_domain::dates::{DateError, Period, parse_typed};
use kiban_service::NewAnnouncement;
use serde::Deserialize;
use serde_json::json;

/// An announcement as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    pub(crate) audience: Audience,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Draft {
    pub(crate) fn check(self) -> Result<NewAnnouncement, Problem> {
        let mut faults = Faults::default();
        let from = faults.take("from", parse_typed(&self.from), DateError::message_ja);
        let to = faults.take("to", parse_typed(&self.to), DateError::message_ja);
        let period =
            from.zip(to).and_then(|(from, to)| faults.take("to", Period::new(from, Some(to)), DateError::message_ja));
        let Some(period) = period else { return Err(faults.problem()) };
        let Self { audience, title, body, .. } = self;
        Ok(NewAnnouncement { audience, title, body, period })
    }
}

pub(crate) async fn list(State(app): State<App>, who: Authenticated) -> Answer {
    ok(json!({ "announcements": app.platform.announcements(&who.caller, &who.context).await? }))
}

pub(crate) async fn put(State(app): State<App>, who: Authenticated, body: Json<Draft>) -> Answer {
    let (context, draft) = (who.keyed(&body.bytes)?, body.value.and_then(Draft::check));
    let id = once(&app, &who, &context, app.platform.announce(&who.caller, draft, &context)).await?;
    created(json!({ "announcement": id }))
}

pub(crate) async fn end(State(app): State<App>, who: Authenticated, Path(announcement): Path<String>) -> Answer {
    let context = who.keyed(b"")?;
    once(&app, &who, &context, app.platform.end_announcement(&who.caller, &announcement, &context)).await?;
    done()
}
