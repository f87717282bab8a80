//! お知らせの掲示 (P-220): the operator writes what every organisation, or one kind of them, finds on its first page.

use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show, words};
use crate::api::announcements::Draft;
use crate::input::{Form, Query};
use crate::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use kiban_domain::announcement::Audience;
use kiban_service::{AnnouncementLine, ItemFault};
use serde::Deserialize;

const HERE: &str = "/operator/announcements";

/// Closed words.
#[derive(Deserialize, Default)]
pub(crate) struct Wanted {
    done: Option<String>,
}

/// An announcement on somebody's first page.
pub(crate) struct Board {
    pub(crate) title: String,
    pub(crate) paragraphs: Vec<String>,
    pub(crate) period: String,
}

impl Board {
    pub(crate) fn of(line: AnnouncementLine) -> Self {
        Self {
            title: line.title,
            paragraphs: line.body.lines().filter(|text| !text.trim().is_empty()).map(str::to_owned).collect(),
            period: words::period(line.from, Some(line.to)),
        }
    }
}

#[derive(Template)]
#[template(path = "operator_announcements.html")]
struct AnnouncementsPage {
    page: Frame,
    tab: &'static str,
    done: &'static str,
    rows: Vec<Row>,
    audiences: Vec<(&'static str, &'static str, bool)>,
    today: String,
    typed: Vec<(&'static str, String)>,
    /// Field and message.
    errors: Vec<(String, String)>,
}

struct Row {
    id: String,
    board: Board,
    audience: &'static str,
    tag: &'static str,
    state_name: &'static str,
    can_end: bool,
}

impl AnnouncementsPage {
    fn typed(&self, name: &str) -> &str {
        self.typed.iter().find(|(field, _)| *field == name).map_or("", |(_, text)| text)
    }

    fn message(&self, name: &str) -> Option<&str> {
        self.errors.iter().find(|(field, _)| field == name).map(|(_, text)| text.as_str())
    }
}

const FIELDS: [&str; 4] = ["title", "body", "from", "to"];

async fn build(app: &App, visitor: &Visitor) -> Result<AnnouncementsPage, Problem> {
    let Visitor { caller, context, .. } = visitor;
    let lines = app.platform.announcements(caller, context).await?;
    let row = |line: AnnouncementLine| Row {
        id: line.announcement.clone(),
        audience: line.audience_name,
        tag: match line.state {
            "shown" => "tag--ok",
            "planned" => "tag--new",
            _ => "tag--off",
        },
        state_name: line.state_name,
        can_end: matches!(line.state, "shown" | "planned"),
        board: Board::of(line),
    };
    Ok(AnnouncementsPage {
        page: visitor.frame(app, "お知らせの掲示", "P-220", "/operator"),
        tab: "announcements",
        done: "",
        rows: lines.into_iter().map(row).collect(),
        audiences: Audience::ALL.map(|one| (one.code(), one.name_ja(), one == Audience::All)).into(),
        today: words::day(context.today()),
        typed: Vec::new(),
        errors: Vec::new(),
    })
}

/// Nobody but the operator has the page; others read their own on 今日の仕事.
fn require_operator(visitor: &Visitor) -> Result<(), Problem> {
    match visitor.caller.organization {
        kiban_domain::Organization::Operator => Ok(()),
        _ => Err(Problem::unknown()),
    }
}

pub(crate) async fn list(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    require_operator(&visitor)?;
    let mut html = build(&app, &visitor).await?;
    html.done = match wanted.unwrap_or_default().done.as_deref() {
        Some("put") => "掲示しました。期間のあいだ、対象の機関の「今日の仕事」に出ます。",
        Some("end") => "取りやめました。",
        _ => "",
    };
    Ok(show(&html)?)
}

fn draft(form: &Form) -> Result<Draft, Problem> {
    let Some(audience) = Audience::parse(form.get("audience")) else {
        return Err(Problem::invalid(vec![ItemFault::new("audience", "だれに知らせるかを選んでください")]));
    };
    let text = |name| form.as_typed(name).to_owned();
    Ok(Draft {
        audience,
        title: text("title"),
        body: text("body"),
        from: form.get("from").to_owned(),
        to: form.get("to").to_owned(),
    })
}

pub(crate) async fn act(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let Visitor { caller, context, .. } = &visitor;
    let (done, word) = match form.get("end") {
        "" => {
            let draft = draft(&form).and_then(Draft::check);
            (app.platform.announce(caller, draft, context).await.map(|_| ()), "put")
        }
        id => (app.platform.end_announcement(caller, id, context).await.map_err(Problem::from), "end"),
    };
    let problem = match done {
        Ok(()) => return Ok(to(&format!("{HERE}?done={word}"), None)),
        Err(problem) => problem,
    };
    let faults = problem.items();
    if faults.is_empty() {
        return Err(problem.into());
    }
    let mut html = build(&app, &visitor).await?;
    html.errors = faults;
    html.typed = FIELDS.map(|name| (name, form.as_typed(name).to_owned())).into();
    let chosen = form.get("audience");
    html.audiences.iter_mut().for_each(|(code, _, is_chosen)| *is_chosen = *code == chosen);
    html.page.has_errors = true;
    let mut response = show(&html)?;
    *response.status_mut() = problem.status;
    Ok(response)
}
