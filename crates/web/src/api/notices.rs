//! 知らせ: what the caller's organisation should know (P-149).

use super::{Answer, done, ok};
use crate::App;
use crate::caller::Authenticated;
use crate::input::{Query, lines};
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::json;

/// A page of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    after: Option<String>,
    limit: Option<i64>,
    /// Those already seen too.
    #[serde(default)]
    seen: bool,
}

pub(crate) async fn list(State(app): State<App>, who: Authenticated, Query(page): Query<Page>) -> Answer {
    let Page { after, limit, seen } = page;
    let notices = app.platform.notices(&who.caller, seen, after.as_deref(), lines(limit), &who.context).await?;
    let next = notices.last().map(|notice| notice.notice.clone());
    ok(json!({ "notices": notices, "next": next }))
}

pub(crate) async fn read(State(app): State<App>, who: Authenticated, Path(notice): Path<String>) -> Answer {
    app.platform.read_notice(&who.caller, &notice, &who.context).await?;
    done()
}
