//! LIFE の推移 (P-141): one small chart for each indicator with the finding in a sentence and the values in a table, of what the
//! visitor may see of C1.

use super::visitor::{Away, Visitor};
use super::{Frame, show, words};
use crate::chart::{self, Small};
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use kiban_domain::Organization;

#[derive(Template)]
#[template(path = "life.html")]
struct LifePage {
    page: Frame,
    handle: String,
    charts: Vec<Chart>,
    services: String,
    /// Told of the comparison.
    note: String,
}

struct Chart {
    small: Small,
    /// Day and value, the latest first.
    rows: Vec<(String, String)>,
}

pub(crate) async fn show_life(
    State(app): State<App>,
    visitor: Visitor,
    Path(handle): Path<String>,
) -> Result<Response, Away> {
    let view = app.platform.life_trend(&visitor.caller, &handle, &visitor.context).await.map_err(Problem::from)?;
    let is_office = matches!(visitor.caller.organization, Organization::Office(_));
    let charts = view.trend.indicators.iter().map(|line| {
        let value = |text: &str| format!("{text}{}", line.unit);
        Chart {
            small: chart::small(line, view.trend.reference.fictional),
            rows: line.points.iter().rev().map(|one| (words::day(one.evaluated_on), value(&one.text))).collect(),
        }
    });
    let html = LifePage {
        page: visitor.frame(&app, "LIFEの推移", "P-214", if is_office { "/users" } else { "/insured" }),
        handle,
        charts: charts.collect(),
        services: view.services.values().map(String::as_str).collect::<Vec<_>>().join("、"),
        note: view.trend.reference.note.clone(),
    };
    Ok(show(&html)?)
}
