//! 今日の仕事: what needs whoever logged in now, one line and one link each (P-140, P-149, P-213). It asks the same use cases as the
//! pages it leads to, and shows nothing they would not.

use super::announcements::Board;
use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show, words};
use crate::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use kiban_domain::notice::NoticeKind;
use kiban_domain::office::OfficeClass;
use kiban_domain::slip::SlipState;
use kiban_domain::{Date, Kind, Organization};
use kiban_service::{
    InboxState, NoticePage, NoticeView, OpinionLine, OpinionStep, PeoplePage, PersonStatus, SlipPage, SlipSide,
};

/// People and documents looked at.
const PAGE: i32 = 200;
/// Days for which a result is news.
const NEWS: i32 = 30;
/// Days before an end from which it is urgent, and from which it is told at all.
const URGENT: i32 = 30;
const SOON: i32 = 90;

#[derive(Template)]
#[template(path = "today.html")]
struct TodayPage {
    page: Frame,
    day: String,
    iso: String,
    /// What the operator tells.
    board: Vec<Board>,
    /// 利用者を登録する, for those who do.
    registers: bool,
    tasks: Vec<Task>,
    quiet: Vec<(String, String)>,
}

/// One line.
struct Task {
    /// The more urgent the smaller.
    rank: u8,
    /// Where it leads, and in words.
    link: (String, String),
    why: String,
    tag: (&'static str, String),
    /// A notice that goes once somebody says so.
    notice: String,
}

impl Task {
    fn new(rank: u8, to: String, text: String, why: String, tag: (&'static str, &str)) -> Self {
        Self { rank, link: (to, text), why, tag: (tag.0, tag.1.to_owned()), notice: String::new() }
    }
}

pub(crate) async fn page(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &visitor;
    let today = context.today();
    let (mut tasks, mut quiet) = (Vec::new(), Vec::new());
    if caller.office.is_some() {
        let asked = Ok::<_, Problem>(PeoplePage { after: None, limit: PAGE });
        let people = app.platform.list_people(caller, asked, context).await?;
        // Who only treats somebody does not lead them through the renewal.
        let class = caller.office.as_ref().map(|(_, class)| *class);
        let guides = !matches!(class, Some(OfficeClass::Hospital | OfficeClass::HospitalWithCare));
        tasks.extend(people.iter().flat_map(|one| of_person(one, guides, today)));
        quiet.extend(waiting(&people));
    }
    if app.platform.writes_opinions(caller) {
        let lines = app.platform.opinion_requests(caller, context).await.map_err(Problem::from)?;
        tasks.extend(lines.iter().filter_map(|line| of_opinion(line, today)));
    }
    if matches!(caller.organization, Organization::Municipality(_)) {
        let asked = Ok::<_, Problem>((InboxState::Waiting, PAGE));
        let arrived = app.platform.inbox(caller, asked, None, context).await?;
        let kinds: Vec<Kind> = arrived.iter().map(|item| item.kind).collect();
        tasks.extend(of_inbox(&kinds));
    }
    if caller.office.as_ref().is_some_and(|(_, class)| *class != OfficeClass::Hospital) {
        let page = Ok::<_, Problem>(SlipPage { state: Some(SlipState::Sent), limit: PAGE });
        let arrived = app.platform.slips(caller, SlipSide::Received, page, None, context).await?;
        tasks.extend(of_slips(arrived.len()));
    }
    let asked = Ok::<_, Problem>(NoticePage { after: None, seen: false, limit: PAGE });
    let notices = app.platform.notices(caller, asked, context).await?;
    tasks.extend(notices.iter().map(|notice| of_notice(notice, caller.staff.administrator)));
    tasks.sort_by_key(|task| task.rank);
    let board = app.platform.announcements(caller, context).await.map_err(Problem::from)?;
    let html = TodayPage {
        board: board.into_iter().filter(|one| one.state == "shown").map(Board::of).collect(),
        page: visitor.frame(&app, "今日の仕事", "P-213", "/today"),
        day: words::day(today),
        iso: today.to_string(),
        registers: caller.office.is_some() && !app.platform.writes_opinions(caller),
        tasks,
        quiet,
    };
    Ok(show(&html)?)
}

/// Somebody has read a notice.
pub(crate) async fn seen(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &posted.visitor;
    app.platform.read_notice(caller, posted.form.get("notice"), context).await.map_err(Problem::from)?;
    Ok(to("/today", None))
}

fn of_person(one: &PersonStatus, guides: bool, today: Date) -> Vec<Task> {
    let name = one.name.clone().unwrap_or_else(|| format!("被保険者番号 {}", one.insured_number));
    let page = format!("/p/{}", one.handle);
    let result = one.progress.as_ref().and_then(|progress| progress.result.as_ref());
    let is_waiting = one.progress.as_ref().is_some_and(|one| one.result.is_none() && one.closing.is_none());
    let mut tasks = Vec::new();
    if let Some(result) = result.filter(|result| (today - result.decided_on).get_days() <= NEWS) {
        let why = format!("{}。{}に決まりました。", result.level.name_ja(), words::day(result.decided_on));
        let text = format!("{name} さんの認定結果を見る");
        tasks.push(Task::new(0, page.clone(), text, why, ("tag--new", "結果が出ました")));
    }
    if let Some((days, until)) =
        one.days_left.zip(one.certified_until).filter(|(days, _)| guides && *days <= SOON && !is_waiting)
    {
        let rank = if days <= URGENT { 2 } else { 5 };
        let why = format!("認定の期限は{}です。更新申請はまだ登録されていません。", words::day(until));
        let text = format!("{name} さんの更新申請を案内する");
        tasks.push(Task::new(rank, page.clone(), text, why, ("tag--do", &left(days))));
    }
    if one.may_take_consent && one.consent == Some("missing") && one.days_left.is_some_and(|days| days <= SOON) {
        let why = "認定の期限が近いため、次の更新申請までに同意をとってください。".to_owned();
        tasks.push(Task::new(
            3,
            format!("{page}/consent"),
            format!("{name} さんの同意をとる"),
            why,
            ("tag--do", "同意未取得"),
        ));
    }
    if let Some(until) = one.viewable_until.filter(|until| (*until - today).get_days() <= URGENT) {
        let why = format!("{}を過ぎると、この人の情報を見られなくなります。", words::day(until));
        let text = format!("{name} さんの閲覧期限を確かめる");
        tasks.push(Task::new(4, page, text, why, ("tag--do", &left((until - today).get_days()))));
    }
    tasks
}

/// あと28日
fn left(days: i32) -> String {
    match days {
        ..0 => "過ぎました".to_owned(),
        0 => "今日まで".to_owned(),
        days => format!("あと{days}日"),
    }
}

/// Who waits for a result, and how long the longest.
fn waiting(people: &[PersonStatus]) -> Option<(String, String)> {
    let open = |one: &&PersonStatus| {
        one.progress.as_ref().is_some_and(|progress| progress.result.is_none() && progress.closing.is_none())
    };
    let count = people.iter().filter(open).count();
    (count > 0).then(|| ("/users?f=wait".to_owned(), format!("結果を待っている人　{count}人")))
}

fn of_opinion(line: &OpinionLine, today: Date) -> Option<Task> {
    let name = line.name.clone().unwrap_or_else(|| format!("被保険者番号 {}", line.insured_number));
    let page = format!("/opinions/{}/basics", line.handle);
    let is_late = line.due_on < today;
    let due = format!("提出の目安は{}です{}。", words::day(line.due_on), if is_late { "（過ぎています）" } else { "" });
    let rank = if is_late { 2 } else { 3 };
    match &line.step {
        OpinionStep::Returned(reason) => {
            let text = format!("{name} さんの意見書を直す");
            Some(Task::new(1, page, text, format!("差戻しの理由：{reason}"), ("tag--ng", "差戻し")))
        }
        OpinionStep::Untouched => {
            Some(Task::new(rank, page, format!("{name} さんの意見書を書く"), due, ("tag--do", "未着手")))
        }
        OpinionStep::Draft(_) => {
            Some(Task::new(rank, page, format!("{name} さんの意見書の続きを書く"), due, ("tag--new", "書きかけ")))
        }
        OpinionStep::Sent | OpinionStep::Accepted => None,
    }
}

fn of_inbox(kinds: &[Kind]) -> Vec<Task> {
    let task = |kind: Kind| {
        let count = kinds.iter().filter(|one| **one == kind).count();
        let more = if kinds.len() == PAGE as usize { "以上" } else { "" };
        let text = format!("届いた{}を確かめる　{count}件{more}", kind.name_ja());
        let why = "開いて確かめ、受理するか差し戻します。".to_owned();
        (count > 0).then(|| Task::new(1, "/inbox".to_owned(), text, why, ("tag--new", "届いたもの")))
    };
    [Kind::A2, Kind::F1, Kind::G1].into_iter().filter_map(task).collect()
}

/// Sets of other offices that nobody has fetched yet.
fn of_slips(count: usize) -> Option<Task> {
    let more = if count == PAGE as usize { "以上" } else { "" };
    let text = format!("届いたケアプランを受け取る　{count}件{more}");
    let why = "受け取ると、送った事業所に日時が伝わります。".to_owned();
    (count > 0).then(|| Task::new(4, "/plans".to_owned(), text, why, ("tag--new", "届いたもの")))
}

fn of_notice(notice: &NoticeView, is_administrator: bool) -> Task {
    let place = match (&notice.person, notice.kind) {
        (Some(handle), _) => format!("/p/{handle}"),
        // The list of what was handed in says why it came back and opens the form again.
        (None, NoticeKind::SubmissionReturned) if notice.facts["kind"] == "A2" => "/opinions".to_owned(),
        (None, NoticeKind::SubmissionReturned) => "/requests".to_owned(),
        (None, NoticeKind::CertificateEnding | NoticeKind::CertificateRenewed) => "/admin/certificates".to_owned(),
        (
            None,
            NoticeKind::MassViewing
            | NoticeKind::NightViewing
            | NoticeKind::ForeignAttempts
            | NoticeKind::PasskeyCopied,
        ) if is_administrator => "/admin/people".to_owned(),
        (None, _) => "/admin".to_owned(),
    };
    let why = format!("{}。{}", words::moment(notice.raised_at), notice.next);
    let task = Task::new(1, place, notice.kind_name.to_owned(), why, ("", "知らせ"));
    Task { notice: notice.notice.clone(), ..task }
}
