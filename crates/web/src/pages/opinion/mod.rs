//! 主治医意見書 (P-134 path ①, P-217): what municipalities ask this hospital for, the form chapter by chapter as on the paper, what is
//! saved on the way, the check before it is sent, and the receipt. Sent is the same document by the same use case as the API's.

mod fields;
mod file;
mod on_paper;
mod work;

pub(crate) use file::{form as file_form, take as take_file};
pub(super) use on_paper::sections;

use self::fields::{CHAPTERS, Field, Shape, Typed};
use self::work::{Heading, Located, Origin, Sheet, city_name, kept, typed_in};
use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show, words};
use crate::input::{Form, Query};
use crate::{App, Problem};
use askama::Template;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::plan_request::SubmissionState;
use kiban_service::{OpinionStep, OpinionWork, Original};
use serde::Deserialize;
use serde_json::json;

/// Item of the menu.
const HERE: &str = "/opinions";
/// 画面番号
const SCREEN: &str = "P-217";

#[derive(Template)]
#[template(path = "opinions.html")]
struct ListPage {
    page: Frame,
    to_do: usize,
    rows: Vec<Row>,
}

/// One request.
struct Row {
    name: String,
    kana: String,
    city: String,
    requested: String,
    requested_iso: String,
    due: String,
    due_iso: String,
    is_late: bool,
    /// Class and words of the tag.
    tag: (&'static str, &'static str),
    more: String,
    /// Where it leads, and in words.
    act: (String, &'static str),
}

pub(crate) async fn list(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    let lines = app.platform.opinion_requests(&visitor.caller, &visitor.context).await.map_err(Problem::from)?;
    let today = visitor.context.today();
    let rows: Vec<Row> = lines.into_iter().map(|line| row(line, today)).collect();
    let html = ListPage {
        page: visitor.frame(&app, "主治医意見書", SCREEN, HERE),
        to_do: rows.iter().filter(|row| !matches!(row.tag.1, "送信済" | "受理")).count(),
        rows,
    };
    Ok(show(&html)?)
}

fn row(line: kiban_service::OpinionLine, today: kiban_domain::Date) -> Row {
    let (tag, more, place, act) = match &line.step {
        OpinionStep::Untouched => (("", "未着手"), String::new(), "/basics", "書き始める"),
        OpinionStep::Draft(at) => {
            (("tag--new", "書きかけ"), format!("{}に保存", words::moment(*at)), "/basics", "続きを書く")
        }
        OpinionStep::Sent => (("", "送信済"), String::new(), "/receipt", "受付を見る"),
        OpinionStep::Accepted => (("tag--ok", "受理"), String::new(), "/receipt", "受付を見る"),
        OpinionStep::Returned(reason) => (("tag--ng", "差戻し"), format!("理由：{reason}"), "/basics", "直す"),
    };
    let is_open = !matches!(line.step, OpinionStep::Sent | OpinionStep::Accepted);
    Row {
        act: (format!("/opinions/{}{place}", line.handle), act),
        name: line.name.unwrap_or_else(|| format!("被保険者番号 {}", line.insured_number)),
        kana: line.kana.unwrap_or_default(),
        city: city_name(&line.insurer_number),
        requested: words::day(line.requested_on),
        requested_iso: line.requested_on.to_string(),
        due: words::day(line.due_on),
        due_iso: line.due_on.to_string(),
        is_late: is_open && line.due_on < today,
        tag,
        more,
    }
}

/// The form of the opinion a handle stands for.
async fn sheet(app: &App, visitor: &Visitor, handle: &str) -> Result<Sheet, Problem> {
    let work: OpinionWork = app.platform.opinion_work(&visitor.caller, handle, &visitor.context).await?;
    let office = visitor.caller.office.as_ref().map_or("", |(office, _)| office.name.as_str());
    Sheet::of(work, office, visitor.context.today())
}

#[derive(Template)]
#[template(path = "opinion.html")]
struct ChapterPage {
    page: Frame,
    head: Heading,
    chapter: &'static str,
    title: &'static str,
    steps: Vec<StepView>,
    /// Whose typing it is: another account saves nothing of it.
    writer: String,
    version: i64,
    /// What the page says about the draft.
    saved: String,
    fields: Vec<FieldView>,
    /// Field and text; the field is empty when it is not on this page.
    errors: Vec<(&'static str, String)>,
    notes: Vec<String>,
    was_checked: bool,
    /// Words of the main button.
    next: String,
}

/// A chapter in the list beside the form.
struct StepView {
    address: &'static str,
    name: &'static str,
    state: String,
    is_bad: bool,
    is_here: bool,
}

struct FieldView {
    name: &'static str,
    label: &'static str,
    head: &'static str,
    hint: &'static str,
    shape: &'static str,
    is_required: bool,
    value: String,
    /// 前回：…
    last: String,
    /// ほかの画面：…
    other: String,
    error: String,
    choices: Vec<ChoiceView>,
}

struct ChoiceView {
    code: &'static str,
    words: &'static str,
    is_set: bool,
}

impl FieldView {
    fn is_choice(&self) -> bool {
        matches!(self.shape, "one" | "many" | "tick")
    }
}

/// Closed words only.
#[derive(Deserialize, Default)]
pub(crate) struct Wanted {
    check: Option<String>,
}

fn known_chapter(name: &str) -> Result<(usize, (&'static str, &'static str)), Problem> {
    let found = CHAPTERS.iter().copied().enumerate().find(|(_, (chapter, _))| *chapter == name);
    found.ok_or_else(Problem::unknown)
}

pub(crate) async fn chapter(
    State(app): State<App>,
    visitor: Visitor,
    Path((handle, name)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let (place, _) = known_chapter(&name)?;
    let sheet = sheet(&app, &visitor, &handle).await?;
    if sheet.work.is_sent() {
        return Ok(to(&format!("/opinions/{handle}/receipt"), None));
    }
    let was_checked = wanted.is_ok_and(|wanted| wanted.check.is_some());
    let typed = sheet.typed(CHAPTERS[place].0);
    let html = chapter_page(&app, &visitor, &handle, &sheet, (place, &typed, was_checked));
    Ok(show(&html)?)
}

fn chapter_page(
    app: &App,
    visitor: &Visitor,
    handle: &str,
    sheet: &Sheet,
    (place, typed, was_checked): (usize, &Typed, bool),
) -> ChapterPage {
    let (chapter, title) = CHAPTERS[place];
    let checked = sheet.check();
    let told: Vec<&Located> = if was_checked { checked.of(chapter).collect() } else { Vec::new() };
    let notes = checked.notes.iter().filter(|note| was_checked && note.chapter == chapter);
    let next = match CHAPTERS.get(place + 1) {
        Some((_, next)) => format!("保存して「{}」へ進む", next.replace('　', " ")),
        None => "保存して、確認へ進む".to_owned(),
    };
    let page = visitor.frame(app, &format!("主治医意見書　{title}"), SCREEN, HERE);
    ChapterPage {
        page: Frame { has_errors: !told.is_empty(), ..page },
        head: sheet.heading(handle),
        chapter,
        title,
        steps: steps(sheet, &checked, Some(chapter)),
        writer: visitor.writer(),
        version: sheet.version(),
        saved: saved_line(sheet),
        fields: fields::fields(chapter).iter().map(|field| view(field, typed, sheet, chapter, &told)).collect(),
        notes: notes.map(|note| note.text.clone()).collect(),
        errors: told.iter().map(|one| (one.field, one.text.clone())).collect(),
        was_checked,
        next,
    }
}

/// When it was saved, and where the contents come from.
fn saved_line(sheet: &Sheet) -> String {
    let saved = match &sheet.work.draft {
        Some(draft) => format!("{}に保存しました。", words::moment(draft.saved_at)),
        None => String::new(),
    };
    let from = match sheet.origin {
        Origin::Returned => "差し戻された意見書の内容が入っています。".to_owned(),
        Origin::Last(day) => {
            format!("前回（{}）の内容を写してあります。変わったところだけ直してください。", words::day(day))
        }
        Origin::Nothing => String::new(),
    };
    saved + &from
}

fn steps(sheet: &Sheet, checked: &work::Checked, here: Option<&str>) -> Vec<StepView> {
    let view = |(address, name): &(&'static str, &'static str)| {
        let (is_saved, faults) = (sheet.is_saved(address), checked.of(address).count());
        let state = match (is_saved, faults, sheet.origin) {
            (true, 0, _) => "入力済み".to_owned(),
            (true, faults, _) => format!("{faults}か所を直す"),
            (false, _, Origin::Nothing) => "まだ".to_owned(),
            (false, _, Origin::Last(_)) => "前回のまま".to_owned(),
            (false, _, Origin::Returned) => "差戻しのまま".to_owned(),
        };
        StepView { address, name, state, is_bad: is_saved && faults > 0, is_here: here == Some(*address) }
    };
    CHAPTERS.iter().map(view).collect()
}

fn view(field: &Field, typed: &Typed, sheet: &Sheet, chapter: &str, told: &[&Located]) -> FieldView {
    let values = typed.get(field.name).cloned().unwrap_or_default();
    let choice = |(code, words): (&'static str, &'static str)| ChoiceView {
        code,
        words,
        is_set: values.iter().any(|value| value == code),
    };
    let choices = match field.shape {
        Shape::Tick => vec![ChoiceView { code: "yes", words: "あり", is_set: !values.is_empty() }],
        _ => field.choices().into_iter().map(choice).collect(),
    };
    FieldView {
        name: field.name,
        label: field.label,
        head: field.head,
        hint: field.hint,
        shape: match field.shape {
            Shape::Line => "line",
            Shape::Text => "text",
            Shape::Day => "day",
            Shape::Measure => "measure",
            Shape::One(_) => "one",
            Shape::Many(_) => "many",
            Shape::Tick => "tick",
        },
        is_required: field.is_required,
        last: sheet.last_time(chapter, field),
        other: String::new(),
        error: told.iter().find(|one| one.field == field.name).map_or_else(String::new, |one| one.text.clone()),
        value: values.first().cloned().unwrap_or_default(),
        choices,
    }
}

/// The draft a form was made from.
fn before(form: &Form) -> Option<i64> {
    form.get("version").parse().ok().filter(|version| *version > 0)
}

/// What somebody typed is not saved under the name of whoever logged in after them in the same browser.
fn other_writer() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "other_writer",
        "別の方がログインしているため、保存していません",
        "この画面に入力した方がログインし直すと、続きから保存できます。ほかの方は、主治医意見書の一覧から開き直してください。",
    )
}

pub(crate) async fn save(
    State(app): State<App>,
    Path((handle, name)): Path<(String, String)>,
    posted: Posted,
) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let (place, (chapter, _)) = known_chapter(&name)?;
    if form.get("writer") != visitor.writer() {
        // Rights before what is wrong with the form.
        sheet(&app, &visitor, &handle).await?;
        return Err(other_writer().into());
    }
    let typed = typed_in(chapter, &form);
    let is_auto = form.get("go") == "auto";
    let Visitor { caller, context, .. } = &visitor;
    let saved = app.platform.save_opinion_draft(caller, &handle, before(&form), (chapter, kept(&typed)), context).await;
    let version = match saved {
        Ok(version) => version,
        Err(error) if error.is_saved_elsewhere() && !is_auto => {
            return saved_elsewhere(&app, &visitor, &handle, (place, typed)).await;
        }
        Err(error) => return Err(Problem::from(error).into()),
    };
    if is_auto {
        let saved = format!("{}に自動で保存しました。", words::moment(context.now));
        return Ok(Json(json!({ "version": version.to_string(), "saved": saved })).into_response());
    }
    let next = CHAPTERS.get(place + 1).map_or("send", |(next, _)| next);
    Ok(match form.get("go") {
        "check" => to(&format!("/opinions/{handle}/{chapter}?check=1"), None),
        "close" => to("/opinions", None),
        _ => to(&format!("/opinions/{handle}/{next}"), None),
    })
}

/// Somebody saved in another window: both are shown, and saving again keeps this one.
async fn saved_elsewhere(
    app: &App,
    visitor: &Visitor,
    handle: &str,
    (place, typed): (usize, Typed),
) -> Result<Response, Away> {
    let sheet = sheet(app, visitor, handle).await?;
    let chapter = CHAPTERS[place].0;
    let there = sheet.typed(chapter);
    let mut html = chapter_page(app, visitor, handle, &sheet, (place, &typed, false));
    let all = fields::fields(chapter);
    for (field, view) in all.iter().zip(&mut html.fields) {
        if there.get(field.name) != typed.get(field.name) {
            let words = field.words(&there);
            view.other = if words.is_empty() { "空です".to_owned() } else { words };
        }
    }
    let text = "ほかの画面で先に保存されています。ちがうところに「ほかの画面」の内容を並べました。この画面の内容でよければ、もう一度保存してください。";
    html.errors = vec![("", text.to_owned())];
    html.page.has_errors = true;
    let mut response = show(&html)?;
    *response.status_mut() = StatusCode::CONFLICT;
    Ok(response)
}

#[derive(Template)]
#[template(path = "opinion_send.html")]
struct SendPage {
    page: Frame,
    head: Heading,
    steps: Vec<StepView>,
    version: i64,
    /// Told above everything else.
    told: String,
    /// Chapter, field and text.
    errors: Vec<Located>,
    notes: Vec<Located>,
    chapters: Vec<ChapterView>,
    may_send: bool,
    has_draft: bool,
}

/// A chapter as it will be sent.
struct ChapterView {
    address: &'static str,
    name: &'static str,
    /// 前回のまま, where nobody has saved it.
    tag: String,
    values: Vec<(&'static str, String)>,
}

pub(crate) async fn confirm(
    State(app): State<App>,
    visitor: Visitor,
    Path(handle): Path<String>,
) -> Result<Response, Away> {
    let sheet = sheet(&app, &visitor, &handle).await?;
    if sheet.work.is_sent() {
        return Ok(to(&format!("/opinions/{handle}/receipt"), None));
    }
    Ok(show(&send_page(&app, &visitor, &handle, &sheet, ""))?)
}

fn send_page(app: &App, visitor: &Visitor, handle: &str, sheet: &Sheet, told: &str) -> SendPage {
    let checked = sheet.check();
    let steps = steps(sheet, &checked, None);
    let chapters = CHAPTERS.iter().zip(&steps).map(|((address, name), step)| {
        let typed = sheet.typed(address);
        let values = fields::fields(address).into_iter().map(|field| (field.label, field.words(&typed)));
        let tag = if sheet.is_saved(address) { String::new() } else { step.state.clone() };
        ChapterView { address, name, tag, values: values.filter(|(_, words)| !words.is_empty()).collect() }
    });
    let page = visitor.frame(app, "主治医意見書の確認", SCREEN, HERE);
    SendPage {
        page: Frame { has_errors: !checked.faults.is_empty() || !told.is_empty(), ..page },
        head: sheet.heading(handle),
        version: sheet.version(),
        told: told.to_owned(),
        chapters: chapters.collect(),
        may_send: checked.faults.is_empty() && checked.opinion.is_some(),
        errors: checked.faults,
        notes: checked.notes,
        has_draft: sheet.work.draft.is_some(),
        steps,
    }
}

pub(crate) async fn send(State(app): State<App>, Path(handle): Path<String>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let Visitor { caller, context, .. } = &visitor;
    if form.get("act") == "discard" {
        app.platform.drop_opinion_draft(caller, &handle, context).await.map_err(Problem::from)?;
        return Ok(to("/opinions", None));
    }
    if form.get("act") != "send" {
        return Err(Problem::unknown().into());
    }
    let sheet = sheet(&app, &visitor, &handle).await?;
    let receipt = format!("/opinions/{handle}/receipt");
    // Sent twice, by a second press or from another window: the first receipt is the answer.
    if sheet.work.is_sent() {
        return Ok(to(&receipt, None));
    }
    let checked = sheet.check();
    let stale = "この画面を開いたあとに、書き直されています。もう一度、内容を確かめてください。";
    let told = if before(&form).unwrap_or_default() == sheet.version() { "" } else { stale };
    let opinion = match checked.opinion {
        Some(opinion) if checked.faults.is_empty() && told.is_empty() => opinion,
        _ => {
            let mut response = show(&send_page(&app, &visitor, &handle, &sheet, told))?;
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            return Ok(response);
        }
    };
    let bytes = serde_json::to_vec(&opinion).map_err(|error| Problem::internal(error.to_string()))?;
    let original = Original { media: "application/json".to_owned(), bytes };
    let filed = app.platform.submit_opinion(caller, &handle, Ok::<_, Problem>(opinion), original, context).await;
    match filed {
        Ok(_) => Ok(to(&receipt, None)),
        // Two at the same moment: the other one was first.
        Err(problem) if problem.code == "conflict" => Ok(to(&receipt, None)),
        Err(problem) => Err(problem.into()),
    }
}

#[derive(Template)]
#[template(path = "opinion_receipt.html")]
struct ReceiptPage {
    page: Frame,
    head: Heading,
    number: String,
    sent: String,
    state: &'static str,
    decided: String,
    is_accepted: bool,
}

pub(crate) async fn receipt(
    State(app): State<App>,
    visitor: Visitor,
    Path(handle): Path<String>,
) -> Result<Response, Away> {
    let sheet = sheet(&app, &visitor, &handle).await?;
    let Some(former) = &sheet.work.former else { return Err(Problem::unknown().into()) };
    let filed = &former.filed;
    let html = ReceiptPage {
        page: Frame { body: "main--read", ..visitor.frame(&app, "主治医意見書の受付", SCREEN, HERE) },
        head: sheet.heading(&handle),
        number: filed.receipt.clone(),
        sent: words::moment(filed.submitted_at),
        state: filed.state_name,
        decided: filed.decided_at.map(words::moment).unwrap_or_default(),
        is_accepted: filed.state == SubmissionState::Accepted,
    };
    Ok(show(&html)?)
}

/// An opinion in words, chapter by chapter, for whoever it was sent to.
pub(super) fn parts(opinion: &PhysicianOpinion) -> Vec<super::inbox::Part> {
    let applicant = &opinion.basics.applicant;
    let named = [
        ("氏名", applicant.name.clone()),
        ("ふりがな", applicant.kana.clone()),
        ("生年月日", words::day(applicant.birth)),
    ];
    let mut all = vec![super::inbox::Part {
        name: "申請者".to_owned(),
        values: named.into_iter().map(|(name, text)| (name.to_owned(), text)).collect(),
    }];
    let chapters = fields::typed_of(opinion);
    all.extend(CHAPTERS.iter().map(|(address, name)| {
        let typed = chapters.get(*address).cloned().unwrap_or_default();
        let values = fields::fields(address).into_iter().map(|field| (field.label.to_owned(), field.words(&typed)));
        super::inbox::Part { name: (*name).to_owned(), values: values.filter(|(_, text)| !text.is_empty()).collect() }
    }));
    all.retain(|part| !part.values.is_empty());
    all
}
