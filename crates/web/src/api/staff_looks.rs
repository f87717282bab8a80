//! 職員の閲覧記録: what the own staff looked at, for the administrator (P-188, P-189).

use super::{Answer, ok};
use crate::App;
use crate::caller::Authenticated;
use crate::input::{Query, lines};
use axum::extract::State;
use kiban_domain::Date;
use kiban_service::StaffLooksAsk;
use serde::Deserialize;

/// Days, account, and where the list goes on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    from: Option<Date>,
    to: Option<Date>,
    account: Option<String>,
    after: Option<String>,
    limit: Option<i64>,
}

pub(crate) async fn list(State(app): State<App>, who: Authenticated, Query(wanted): Query<Wanted>) -> Answer {
    let ask = wanted.and_then(|wanted| {
        let Wanted { from, to, account, after, limit } = wanted;
        Ok(StaffLooksAsk { from, to, account, after, limit: lines(limit)? })
    });
    ok(app.platform.staff_looks(&who.caller, ask, &who.context).await?)
}
