//! A municipality's own data back, as one tar file: `package/` holds the package with its manifest last (with history
//! `package/001/` and so on), `others/` what a package has no place for, `report.json` what was written. It is made while it is sent; cut in the middle it has no manifest and cannot be taken in.

use super::{Answer, tar};
use crate::caller::Authenticated;
use crate::input::Query;
use crate::{App, Problem};
use axum::extract::State;
use kiban_service::{ExportContents, ExportOrder, ExportPart, ItemFault};
use serde::Deserialize;

/// What of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Earlier contents too.
    #[serde(default)]
    history: bool,
    /// `csv` (default) or `json`.
    format: Option<String>,
}

impl Wanted {
    fn order(self) -> Result<ExportOrder, Problem> {
        let contents = if self.history { ExportContents::WithHistory } else { ExportContents::Present };
        let json = match self.format.as_deref() {
            None | Some("csv") => false,
            Some("json") => true,
            Some(_) => {
                let text = "csv か json を指定してください";
                return Err(Problem::invalid(vec![ItemFault::new("format", text)]));
            }
        };
        Ok(ExportOrder { contents, json })
    }
}

pub(crate) async fn package(State(app): State<App>, who: Authenticated, Query(wanted): Query<Wanted>) -> Answer {
    let order = wanted.and_then(Wanted::order);
    let export = app.platform.export_package(&who.caller, order, &who.context).await?;
    Ok(tar::answer("export.tar", who.context.now, export.parts, add))
}

fn add(part: ExportPart, tar: &mut tar::Files) -> Result<tar::Next, std::io::Error> {
    match part {
        ExportPart::File((name, content)) => tar.add(&format!("package/{name}"), content),
        ExportPart::Other((name, content)) => tar.add(&name, content),
        ExportPart::Done(report) => {
            tar.add("report.json", serde_json::to_vec_pretty(&report)?);
            return Ok(tar::Next::End);
        }
    }
    Ok(tar::Next::More)
}
