//! 知らせ: what the caller's organisation should know (P-149).

use super::{Answer, done, ok, once};
use crate::App;
use crate::caller::Authenticated;
use crate::input::{Query, lines};
use axum::extract::{Path, State};
use kiban_service::NoticePage;
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
    let page = page.and_then(|page| Ok(NoticePage { after: page.after, seen: page.seen, limit: lines(page.limit)? }));
    let notices = app.platform.notices(&who.caller, page, &who.context).await?;
    let next = notices.last().map(|notice| notice.notice.clone());
    ok(json!({ "notices": notices, "next": next }))
}

pub(crate) async fn read(State(app): State<App>, who: Authenticated, Path(notice): Path<String>) -> Answer {
    let context = who.keyed(b"")?;
    once(&app, &who, &context, app.platform.read_notice(&who.caller, &notice, &context)).await?;
    done()
}
