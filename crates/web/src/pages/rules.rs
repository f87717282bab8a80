//! だれが何を見られるか: the table by which every question is decided, in words, for whoever is logged in (P-010, P-041).

use super::visitor::{Away, Visitor};
use super::{Frame, show, words};
use crate::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use kiban_service::Rules;

#[derive(Template)]
#[template(path = "rules.html")]
struct RulesPage {
    page: Frame,
    from: String,
    rules: Rules,
}

pub(crate) async fn page(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    let rules = app.platform.rules(&visitor.caller, &visitor.context).await.map_err(Problem::from)?;
    let page = visitor.frame(&app, "だれが何を見られるか", "P-010", "/rules");
    Ok(show(&RulesPage { page, from: words::day(rules.from), rules })?)
}
