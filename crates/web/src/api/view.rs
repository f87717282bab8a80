//! Viewing: the page of a person, one kind, why, and who looked.

use super::{Answer, ok};
use crate::caller::Authenticated;
use crate::input::{Faults, Query};
use crate::{App, Problem};
use axum::extract::{Path, State};
use kiban_domain::{Date, Kind, Timestamp, dates};
use serde::Deserialize;
use serde_json::json;

pub(crate) async fn page(State(app): State<App>, who: Authenticated, Path(handle): Path<String>) -> Answer {
    ok(app.platform.view_person(&who.caller, &handle, &who.context).await?)
}

/// As known at this instant or at the end of this day in Japan (P-024).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    known_on: Option<String>,
}

impl Known {
    fn instant(self) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.known_on else { return Ok(None) };
        let mut faults = Faults::default();
        let words = |_: &()| "2026-11-22 または 2026-11-22T09:00:00+09:00 の形で指定してください".to_owned();
        match faults.take("known_on", text.parse().or_else(|_| end_of_day(&text).ok_or(())), words) {
            Some(instant) => Ok(Some(instant)),
            None => Err(faults.problem()),
        }
    }
}

fn end_of_day(text: &str) -> Option<Timestamp> {
    let next = text.parse::<Date>().ok()?.tomorrow().ok()?;
    let midnight = dates::instant_in_japan(next.at(0, 0, 0, 0))?;
    midnight.checked_sub(jiff::SignedDuration::from_micros(1)).ok()
}

pub(crate) async fn kind(
    State(app): State<App>,
    who: Authenticated,
    Path((handle, kind)): Path<(String, String)>,
    known: Query<Known>,
) -> Answer {
    let kind = Kind::parse(&kind).ok_or_else(Problem::unknown)?;
    let known_on = known.0.and_then(Known::instant);
    ok(app.platform.view_kind(&who.caller, &handle, kind, known_on, &who.context).await?)
}

pub(crate) async fn why(State(app): State<App>, who: Authenticated, Path(handle): Path<String>) -> Answer {
    ok(json!({ "kinds": app.platform.why(&who.caller, &handle, &who.context).await? }))
}

pub(crate) async fn look_ups(State(app): State<App>, who: Authenticated, Path(handle): Path<String>) -> Answer {
    ok(json!({ "look_ups": app.platform.look_ups(&who.caller, &handle, &who.context).await? }))
}

pub(crate) async fn access(State(app): State<App>, who: Authenticated, Path(handle): Path<String>) -> Answer {
    ok(app.platform.person_access(&who.caller, &handle, &who.context).await?)
}

pub(crate) async fn rules(State(app): State<App>, who: Authenticated) -> Answer {
    ok(app.platform.rules(&who.caller, &who.context).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_means_until_its_last_moment_in_japan() {
        let known = Known { known_on: Some("2026-11-22".to_owned()) };
        assert_eq!(known.instant().unwrap().unwrap().to_string(), "2026-11-22T14:59:59.999999Z");
        assert!(Known { known_on: Some("きのう".to_owned()) }.instant().is_err());
    }
}
