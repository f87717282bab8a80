//! やりとり: sets of the care-plan exchange between two offices (P-142, P-143, P-166).

use super::{Answer, created, ok, once};
use crate::caller::Authenticated;
use crate::input::{Json, Query, SLIP_LIMIT, files, lines};
use crate::{App, Problem, slip_page};
use axum::extract::{Path, Request, State};
use axum::http::header;
use axum::response::IntoResponse;
use kiban_domain::dates::parse_typed;
use kiban_domain::slip::SlipState;
use kiban_domain::{Date, OfficeNumber};
use kiban_service::{ItemFault, SlipPage, SlipSide, SlipWanted, digest_of_files};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// To whom a set goes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    to: Option<String>,
    reply_to: Option<String>,
}

impl Wanted {
    fn read(self) -> Result<SlipWanted, Problem> {
        Ok(SlipWanted { to: office("to", self.to.as_deref())?, reply_to: self.reply_to })
    }
}

fn office(item: &str, number: Option<&str>) -> Result<OfficeNumber, Problem> {
    OfficeNumber::parse(number.unwrap_or_default())
        .map_err(|_| Problem::invalid(vec![ItemFault::new(item, "宛先の事業所番号を10桁で指定してください")]))
}

pub(crate) async fn send(
    State(app): State<App>,
    who: Authenticated,
    Query(wanted): Query<Wanted>,
    request: Request,
) -> Answer {
    app.platform.may_send_slips(&who.caller, &who.context)?;
    app.platform.admit_slips(&who.caller, &who.context).await?;
    let files = Arc::new(files(request, SLIP_LIMIT).await?);
    let wanted = wanted.and_then(Wanted::read);
    let asked = wanted.as_ref().map_or_else(|_| Vec::new(), |w| format!("{} {:?} ", w.to, w.reply_to).into_bytes());
    let context = who.keyed(&[asked, digest_of_files(&files)].concat())?;
    let act = app.platform.send_slips(&who.caller, wanted, &files, &context);
    let sent: Value = once(&app, &who, &context, act).await?;
    if sent["repeated"] == json!(true) { ok(sent) } else { created(sent) }
}

/// A page of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    state: Option<String>,
    after: Option<String>,
    limit: Option<i64>,
}

fn page_of(page: Page) -> Result<SlipPage, Problem> {
    let words = "sent、fetched、answered、withdrawn のどれかにしてください";
    let unknown = || Problem::invalid(vec![ItemFault::new("state", words)]);
    let state = page.state.map(|code| SlipState::parse(&code).ok_or_else(unknown)).transpose()?;
    Ok(SlipPage { state, limit: lines(page.limit)? })
}

async fn list(app: App, who: Authenticated, side: SlipSide, page: Result<Page, Problem>) -> Answer {
    let (page, after) = match page {
        Ok(mut page) => {
            let after = page.after.take();
            (page_of(page), after)
        }
        Err(problem) => (Err(problem), None),
    };
    let slips = app.platform.slips(&who.caller, side, page, after.as_deref(), &who.context).await?;
    let next = slips.last().map(|slip| slip.slip.clone());
    ok(json!({ "slips": slips, "next": next }))
}

pub(crate) async fn sent(State(app): State<App>, who: Authenticated, Query(page): Query<Page>) -> Answer {
    list(app, who, SlipSide::Sent, page).await
}

pub(crate) async fn received(State(app): State<App>, who: Authenticated, Query(page): Query<Page>) -> Answer {
    list(app, who, SlipSide::Received, page).await
}

pub(crate) async fn view(State(app): State<App>, who: Authenticated, Path(slip): Path<String>) -> Answer {
    ok(app.platform.slip(&who.caller, &slip, &who.context).await?)
}

pub(crate) async fn fetch(State(app): State<App>, who: Authenticated, Path(slip): Path<String>) -> Answer {
    let context = who.keyed(b"")?;
    ok(once(&app, &who, &context, app.platform.fetch_slip(&who.caller, &slip, &context)).await?)
}

pub(crate) async fn file(
    State(app): State<App>,
    who: Authenticated,
    Path((slip, name)): Path<(String, String)>,
) -> Answer {
    let bytes = app.platform.slip_file(&who.caller, &slip, &name, &who.context).await?;
    // To be saved under its name, never shown: it is what somebody else's program wrote. The name was read: ASCII, no quotes.
    let name = format!("attachment; filename=\"{name}\"");
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CONTENT_DISPOSITION, name.as_str())];
    Ok((headers, bytes).into_response())
}

pub(crate) async fn withdraw(State(app): State<App>, who: Authenticated, Path(slip): Path<String>) -> Answer {
    let context = who.keyed(b"")?;
    ok(once(&app, &who, &context, app.platform.withdraw_slip(&who.caller, &slip, &context)).await?)
}

/// When the person agreed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Agreement {
    agreed_on: String,
}

fn agreed_on(body: Agreement) -> Result<Date, Problem> {
    parse_typed(&body.agreed_on)
        .map_err(|error| Problem::invalid(vec![ItemFault::new("agreed_on", error.message_ja())]))
}

pub(crate) async fn register(
    State(app): State<App>,
    who: Authenticated,
    Path(slip): Path<String>,
    body: Json<Agreement>,
) -> Answer {
    let context = who.keyed(&body.bytes)?;
    let day = body.value.and_then(agreed_on);
    super::files::judged(
        once(&app, &who, &context, app.platform.register_slip(&who.caller, &slip, day, &context)).await?,
    )
}

pub(crate) async fn confirm(State(app): State<App>, who: Authenticated, Path(_): Path<String>) -> Answer {
    app.platform.confirm_plan(&who.caller, &who.context)?;
    super::done()
}

pub(crate) async fn print(State(app): State<App>, who: Authenticated, request: Request) -> Answer {
    app.platform.may_send_slips(&who.caller, &who.context)?;
    let files = Arc::new(files(request, SLIP_LIMIT).await?);
    slip_page::page(&app.platform.print_slips(&who.caller, &files, &who.context).await?)
}

pub(crate) async fn print_one(State(app): State<App>, who: Authenticated, Path(slip): Path<String>) -> Answer {
    slip_page::page(&app.platform.print_slip(&who.caller, &slip, &who.context).await?)
}

/// Of whom it is asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Partner {
    office: Option<String>,
}

pub(crate) async fn reachable(State(app): State<App>, who: Authenticated, Query(partner): Query<Partner>) -> Answer {
    let number = partner.and_then(|partner| office("office", partner.office.as_deref()));
    ok(app.platform.reachable(&who.caller, number, &who.context)?)
}
