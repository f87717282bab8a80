//! 利用者フィードバック: what LIFE knows of a person, over time and beside a comparison (P-141). It is a view of C1 and nothing
//! more: whoever may not see C1 may not see its trend.

use crate::{Caller, Context, Error, Platform};
use kiban_domain::Kind;
use kiban_domain::life::LifeSheet;
use kiban_domain::life_trend::{LifeTrend, trend};
use kiban_policy::service_type_rule;
use serde::Serialize;
use std::collections::BTreeMap;

/// The trend of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LifeTrendView {
    /// Indicators and comparison.
    #[serde(flatten)]
    pub trend: LifeTrend,
    /// Names of the service types of the evaluations, by code.
    pub services: BTreeMap<String, String>,
}

impl Platform {
    /// The trend of what the caller may see of C1, recorded as a look at each of its sheets.
    pub async fn life_trend(&self, caller: &Caller, handle: &str, context: &Context) -> Result<LifeTrendView, Error> {
        let view = self.view_kind::<Error>(caller, handle, Kind::C1, Ok(None), context).await?;
        let sheets: Vec<LifeSheet> =
            view.documents.into_iter().filter_map(|document| serde_json::from_value(document.content).ok()).collect();
        let table = self.table_at(context.now)?;
        let name = |sheet: &LifeSheet| {
            let name = service_type_rule(&sheet.service, table).map(|rule| rule.name.clone());
            (sheet.service.to_string(), name.unwrap_or_default())
        };
        let services = sheets.iter().map(name).collect();
        Ok(LifeTrendView { trend: trend(sheets, &self.inner.config.life_reference), services })
    }
}
