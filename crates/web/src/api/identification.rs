//! 本人確認 by a card read at a terminal or by the QR code of the notice on paper (P-031, P-102, P-105, P-107).

use super::{Answer, done, ok, once};
use crate::caller::{Authenticated, Certified};
use crate::input::{Faults, Json};
use crate::{App, Problem};
use axum::extract::{Path, State};
use kiban_service::Scanned;
use serde::Deserialize;
use serde_json::json;

/// What the identification app says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statement {
    statement: String,
    #[serde(default)]
    makes_plan: bool,
}

/// What the QR code says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoticeText {
    notice: String,
    #[serde(default)]
    makes_plan: bool,
}

/// What was scanned, if anything was.
pub(crate) fn scanned(item: &str, text: String, makes_plan: bool) -> Result<Scanned, Problem> {
    let mut faults = Faults::default();
    if text.trim().is_empty() {
        faults.add(item, "読み取った内容が空です。もう一度読み取ってください");
        return Err(faults.problem());
    }
    Ok(Scanned { text, makes_plan })
}

pub(crate) async fn challenge(State(app): State<App>, peer: Certified) -> Answer {
    ok(app.platform.card_challenge(&peer.peer, peer.organization, &peer.context).await?)
}

pub(crate) async fn by_card(State(app): State<App>, who: Authenticated, body: Json<Statement>) -> Answer {
    let context = who.keyed(&body.bytes)?;
    let scanned = body.value.and_then(|body| scanned("statement", body.statement, body.makes_plan));
    ok(once(&app, &who, &context, app.platform.register_by_card(&who.caller, scanned, &context)).await?)
}

pub(crate) async fn by_notice(State(app): State<App>, who: Authenticated, body: Json<NoticeText>) -> Answer {
    let context = who.keyed(&body.bytes)?;
    let scanned = body.value.and_then(|body| scanned("notice", body.notice, body.makes_plan));
    ok(once(&app, &who, &context, app.platform.register_by_notice(&who.caller, scanned, &context)).await?)
}

pub(crate) async fn visual_check(State(app): State<App>, who: Authenticated, Path(handle): Path<String>) -> Answer {
    let context = who.keyed(&[])?;
    once(&app, &who, &context, app.platform.note_visual_check(&who.caller, &handle, &context)).await?;
    done()
}

pub(crate) async fn notice_line(State(app): State<App>, who: Authenticated, Path(handle): Path<String>) -> Answer {
    ok(app.platform.notice_line(&who.caller, &handle, &who.context).await?)
}

/// Public keys, for whoever checks a notice without a network at that moment.
pub(crate) async fn notice_keys(State(app): State<App>) -> Answer {
    let keys = app.platform.notice_keys().into_iter().map(|key| {
        let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({ "algorithm": "Ed25519", "public_key": text })
    });
    ok(json!({ "keys": keys.collect::<Vec<_>>() }))
}
