//! 認定調査票と主治医意見書を、紙の様式の順に (P-034): every item with all its choices, the chosen ones ticked, to be read or printed on A4.
//! Each page is a look at the document, as the person's page is.

use super::visitor::{Away, Visitor};
use super::{Frame, show, words};
use crate::input::Query;
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use kiban_domain::insured::Identity;
use kiban_domain::physician_opinion::{DementiaIndependence, PhysicalIndependence, PhysicianConsent, PhysicianOpinion};
use kiban_domain::survey::{CertificationSurvey, SurveyFacilityKind, SurveyPlace, SurveyService, items};
use kiban_domain::{Kind, Organization};
use kiban_service::Document;
use serde::Deserialize;

/// Which document.
#[derive(Deserialize, Default)]
pub(crate) struct Wanted {
    /// Place among them, the latest is 0.
    version: Option<usize>,
}

#[derive(Template)]
#[template(path = "paper.html")]
struct PaperPage {
    page: Frame,
    handle: String,
    form: &'static str,
    title: &'static str,
    /// Address, day, whether it is this one.
    others: Vec<(String, String, bool)>,
    /// The number the paper carries at its head.
    number: String,
    sections: Vec<Section>,
    /// Why there is nothing.
    nothing: &'static str,
}

/// A part of the paper under its heading.
pub(super) struct Section {
    pub(super) name: String,
    pub(super) rows: Vec<Row>,
}

/// An item; a heading when it has no parts.
pub(super) struct Row {
    pub(super) label: String,
    pub(super) parts: Vec<Part>,
}

/// An answer: all choices, or what was written.
#[derive(Default)]
pub(super) struct Part {
    pub(super) caption: String,
    /// Words, and whether it is chosen.
    pub(super) choices: Vec<(String, bool)>,
    pub(super) text: String,
}

impl Row {
    pub(super) fn head(label: &str) -> Self {
        Self { label: label.to_owned(), parts: Vec::new() }
    }

    fn text(label: &str, text: impl Into<String>) -> Self {
        Self { label: label.to_owned(), parts: vec![Part { text: text.into(), ..Part::default() }] }
    }

    fn chosen<'a>(label: &str, choices: impl IntoIterator<Item = (&'a str, bool)>) -> Self {
        let choices = choices.into_iter().map(|(name, is_chosen)| (name.to_owned(), is_chosen)).collect();
        Self { label: label.to_owned(), parts: vec![Part { choices, ..Part::default() }] }
    }

    fn and(mut self, caption: &str, text: impl Into<String>) -> Self {
        self.parts.push(Part { caption: caption.to_owned(), text: text.into(), ..Part::default() });
        self
    }
}

const NONE: &str = "まだ登録されていません。";
const PARTLY: &str = "居所が分かるおそれのある項目を除いているため、紙の様式では表示できません。市区町村がこの事業所を確認すると、表示されます。";

pub(crate) async fn form(
    State(app): State<App>,
    visitor: Visitor,
    Path((handle, form)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Away> {
    let (form, kind, title) = match form.as_str() {
        "survey" => ("survey", Kind::A1, "認定調査票"),
        "opinion" => ("opinion", Kind::A2, "主治医意見書"),
        _ => return Err(Problem::unknown().into()),
    };
    let known_on = Ok::<_, Problem>(None);
    let view = app.platform.view_kind(&visitor.caller, &handle, kind, known_on, &visitor.context).await?;
    let last = view.documents.len().saturating_sub(1);
    let version = wanted.unwrap_or_default().version.unwrap_or_default().min(last);
    let other = |(place, one): (usize, &Document)| {
        let address = if place == 0 { String::new() } else { format!("?version={place}") };
        (address, words::day(one.valid_from), place == version)
    };
    let document = view.documents.get(version);
    let read = document.and_then(|one| match kind {
        Kind::A1 => serde_json::from_value(one.content.clone()).ok().map(|one| (String::new(), survey(&one))),
        _ => serde_json::from_value(one.content.clone())
            .ok()
            .map(|one: PhysicianOpinion| (one.person.insured.to_string(), opinion(&one))),
    });
    let (number, sections) = read.unwrap_or_default();
    let is_office = matches!(visitor.caller.organization, Organization::Office(_));
    let here = if is_office { "/users" } else { "/insured" };
    let html = PaperPage {
        page: Frame { body: "slips", ..visitor.frame(&app, title, "P-034", here) },
        handle,
        form,
        title,
        others: view.documents.iter().enumerate().map(other).collect(),
        number,
        nothing: match document {
            _ if !sections.is_empty() => "",
            Some(_) => PARTLY,
            None => NONE,
        },
        sections,
    };
    Ok(show(&html)?)
}

fn subject(identity: &Identity) -> Vec<Row> {
    let given = |text: &Option<String>| text.clone().unwrap_or_default();
    vec![
        Row::text("氏名", &*identity.name).and("ふりがな", &*identity.kana),
        Row::text("生年月日", words::day(identity.birth)).and("性別", identity.sex.name_ja()),
        Row::text("住所", format!("{}　{}", given(&identity.postal_code), given(&identity.address)).trim().to_owned())
            .and("電話", given(&identity.telephone)),
    ]
}

fn survey(one: &CertificationSurvey) -> Vec<Section> {
    let section = |name: &str, rows: Vec<Row>| Section { name: name.to_owned(), rows };
    let given = |text: &Option<String>| text.clone().unwrap_or_default();
    let conducted = &one.conducted;
    let at = conducted.at.map(|at| format!("　{}時{:02}分", at.minutes() / 60, at.minutes() % 60)).unwrap_or_default();
    let elsewhere = match &conducted.survey_place {
        SurveyPlace::Home => String::new(),
        SurveyPlace::Elsewhere(name) => name.clone(),
    };
    let at_home = matches!(conducted.survey_place, SurveyPlace::Home);
    let mut first = vec![
        Row::text("申請日", words::day(one.applied_on)),
        Row::text("実施日時", format!("{}{at}", words::day(conducted.on))),
        Row::chosen("実施場所", [("自宅内", at_home), ("自宅外", !at_home)]).and("", elsewhere),
        Row::text("記入者氏名", &*conducted.surveyor).and("所属機関", &*conducted.organization),
    ];
    first.push(Row::head("Ⅱ　調査対象者"));
    let before = one.previous.as_ref();
    let level = before.and_then(|one| one.level).map(|level| level.name_ja()).unwrap_or_default();
    let decided = before.and_then(|one| one.decided_on).map(words::day).unwrap_or_default();
    first.push(
        Row::chosen("過去の認定", [("初回", before.is_none()), ("2回目以降", before.is_some())])
            .and("前回認定日", decided)
            .and("前回認定結果", level),
    );
    first.extend(subject(&one.subject));
    if let Some(contact) = &one.contacts {
        first.push(
            Row::text("家族等連絡先", &*contact.name)
                .and("関係", given(&contact.relation))
                .and("住所", given(&contact.address))
                .and("電話", given(&contact.telephone)),
        );
    }
    let mut services: Vec<Row> = SurveyService::ALL
        .iter()
        .copied()
        .map(|service| {
            let used = one.services.used.iter().find(|used| used.service == service);
            let amount = used.map(|used| format!("{}{}", used.amount, service.unit())).unwrap_or_default();
            Row::chosen(service.name_ja(), [("利用", used.is_some())]).and("", amount)
        })
        .collect();
    let modified = one.services.home_modified;
    services.push(Row::chosen("住宅改修", [("あり", modified == Some(true)), ("なし", modified == Some(false))]));
    services.push(Row::text("市町村特別給付", given(&one.services.municipal_benefit)));
    services.push(Row::text("介護保険給付外の在宅サービス", given(&one.services.other)));
    let facility = one.facility.as_ref();
    let kinds = SurveyFacilityKind::ALL.iter().copied();
    let is_kind = |kind| facility.is_some_and(|one| one.kind == kind);
    services.push(
        Row::chosen("施設等利用", kinds.map(|kind| (kind.name_ja(), is_kind(kind))))
            .and("名称", facility.map(|one| given(&one.name)).unwrap_or_default())
            .and("住所", facility.map(|one| given(&one.address)).unwrap_or_default())
            .and("電話", facility.map(|one| given(&one.telephone)).unwrap_or_default()),
    );
    let around = &one.surroundings;
    let around = vec![
        Row::text("家族状況", given(&around.family)),
        Row::text("居住環境", given(&around.housing)),
        Row::text("日常的に使用する機器・器械の有無等", given(&around.equipment)),
    ];
    let mut sections = vec![
        section("概況調査　Ⅰ　調査実施者", first),
        section("概況調査　Ⅲ　現在受けているサービスの状況", services),
        section("概況調査　Ⅳ　置かれている環境", around),
    ];
    let groups = [
        (1, "基本調査　第1群　身体機能・起居動作"),
        (2, "基本調査　第2群　生活機能"),
        (3, "基本調査　第3群　認知機能"),
        (4, "基本調査　第4群　精神・行動障害"),
        (5, "基本調査　第5群　社会生活への適応"),
        (6, "基本調査　特別な医療（過去14日間に受けたもの）"),
    ];
    for (group, name) in groups {
        let rows = items().iter().filter(|item| item.group == group).map(|item| {
            let answer = one.answers.get(item.code);
            let choices = item.choices.iter().map(|(code, words)| (*words, answer == Some(*code)));
            Row::chosen(&format!("{}　{}", item.code, item.name), choices)
        });
        sections.push(section(name, rows.collect()));
    }
    sections.push(section(
        "基本調査　日常生活自立度",
        vec![
            Row::chosen(
                "障害高齢者の日常生活自立度（寝たきり度）",
                PhysicalIndependence::ALL.iter().copied().map(|grade| (grade.name_ja(), one.physical == Some(grade))),
            ),
            Row::chosen(
                "認知症高齢者の日常生活自立度",
                DementiaIndependence::ALL.iter().copied().map(|grade| (grade.name_ja(), one.dementia == Some(grade))),
            ),
        ],
    ));
    let of_groups = one.notes.iter().map(|note| Row::text(&format!("{}群", note.group), &*note.text));
    let of_items = one.item_notes.iter().map(|note| Row::text(&note.item, &*note.text));
    sections.push(section("特記事項", of_groups.chain(of_items).collect()));
    sections
}

fn opinion(one: &PhysicianOpinion) -> Vec<Section> {
    let mut sections = super::opinion::sections(one);
    let mut rows = vec![Row::head("申請者")];
    rows.extend(subject(&one.basics.applicant));
    // The box was on the paper until 2026-03 only.
    if let Some(consent) = one.physician_consent() {
        let agrees = consent == PhysicianConsent::Agrees;
        rows.push(Row::chosen(
            "この意見書が介護サービス計画作成などに利用されることに",
            [("同意する", agrees), ("同意しない", !agrees)],
        ));
    }
    if let Some(first) = sections.first_mut() {
        rows.append(&mut first.rows);
        first.rows = rows;
    }
    sections
}
