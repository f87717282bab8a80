//! お知らせ（紙）の一括作成 (P-036), as one tar file: `0001.html` for the printer and `0001.csv`, its register, of each bundle, and at the end
//! `report.json`.

use super::{Answer, tar};
use crate::App;
use crate::caller::Authenticated;
use crate::input::Query;
use crate::pages::letters::letters_of_bundle;
use crate::pages::notice::Sender;
use axum::extract::State;
use axum::response::Response;
use kiban_domain::{Date, Timestamp};
use kiban_service::{NoticesOrder, NoticesPart, PaperNotices};
use serde::Deserialize;

/// What of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Day as of which they hold.
    day: Option<Date>,
    /// Only of whom a card changed since.
    since: Option<Date>,
    #[serde(default)]
    desk: String,
    #[serde(default)]
    telephone: String,
}

pub(crate) async fn make(State(app): State<App>, who: Authenticated, Query(wanted): Query<Wanted>) -> Answer {
    let (order, sender) = match wanted {
        Ok(Wanted { day, since, desk, telephone }) => (Ok(NoticesOrder { day, since }), Sender { desk, telephone }),
        Err(problem) => (Err(problem), Sender::default()),
    };
    let notices = app.platform.paper_notices(&who.caller, order, &who.context).await?;
    Ok(answer(notices, sender, who.context.now))
}

pub(crate) fn answer(notices: PaperNotices, sender: Sender, at: Timestamp) -> Response {
    tar::answer("letters.tar", at, notices.parts, move |part, tar| match part {
        NoticesPart::Bundle(bundle, notices) => {
            let files = letters_of_bundle(bundle, &notices, &sender);
            let files = files.map_err(|_| std::io::Error::other("a bundle cannot be made"))?;
            files.into_iter().for_each(|(name, content)| tar.add(&name, content));
            Ok(tar::Next::More)
        }
        NoticesPart::Done(report) => {
            tar.add("report.json", serde_json::to_vec_pretty(&report)?);
            Ok(tar::Next::End)
        }
    })
}
