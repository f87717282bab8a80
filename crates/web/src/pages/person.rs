//! 利用者のページ (P-214): everything the visitor may see about one person, kind by kind, each with why. What is blank in the
//! table has no block; what lacks consent says so and how to get it.

use super::visitor::{Away, Posted, Visitor, to};
use super::{Frame, show, words};
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use kiban_domain::care_plan::{CarePlan, ClockTime, ServiceSlip, WeeklyService};
use kiban_domain::certification::CertificationProgress;
use kiban_domain::insurance_card::{CardIssue, CopaymentPeriod, CopaymentRate, CostCeiling, InsuranceCard};
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::service_type::service_type;
use kiban_domain::{Date, Kind, Organization, dates};
use kiban_service::{Document, KindView, LabelledItem, PersonPage, PlanMaker, WhyKind, labelled};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::collections::BTreeMap;

#[derive(Template)]
#[template(path = "person.html")]
struct PersonHtml {
    page: Frame,
    back: (&'static str, &'static str),
    handle: String,
    name: String,
    kana: String,
    sex: &'static str,
    age: i16,
    birth: String,
    birth_iso: String,
    city: String,
    number: String,
    address: String,
    warnings: Vec<String>,
    cards: Vec<Card>,
    /// A consent may be taken here now.
    may_take_consent: bool,
    /// Consents are taken, narrowed or withdrawn here at all.
    may_change_consent: bool,
    may_end: bool,
    is_city: bool,
    /// 届出を書く, for those who file them.
    may_file: bool,
    /// `nobody`, `me` or `colleague` makes the person's plan; empty for whoever makes nobody's.
    plan_maker: &'static str,
}

/// One block of the page.
#[derive(Default)]
pub(in crate::pages) struct Card {
    pub(in crate::pages) id: &'static str,
    pub(in crate::pages) name: &'static str,
    /// Closed for lack of consent.
    pub(in crate::pages) is_shut: bool,
    pub(in crate::pages) tag: String,
    pub(in crate::pages) texts: Vec<String>,
    pub(in crate::pages) values: Vec<Value>,
    pub(in crate::pages) steps: Vec<Step>,
    pub(in crate::pages) tables: Vec<Table>,
    pub(in crate::pages) folds: Vec<Fold>,
    pub(in crate::pages) why: String,
    /// A page with more of it, and in words.
    pub(in crate::pages) more: Option<(String, &'static str)>,
}

pub(in crate::pages) struct Value {
    pub(in crate::pages) name: String,
    pub(in crate::pages) text: String,
    pub(in crate::pages) sub: String,
    pub(in crate::pages) is_big: bool,
}

pub(in crate::pages) struct Step {
    pub(in crate::pages) name: &'static str,
    pub(in crate::pages) day: String,
    pub(in crate::pages) iso: String,
    pub(in crate::pages) more: String,
    pub(in crate::pages) is_now: bool,
}

pub(in crate::pages) struct Table {
    pub(in crate::pages) title: String,
    /// Closed until it is asked for.
    pub(in crate::pages) is_folded: bool,
    pub(in crate::pages) heads: Vec<&'static str>,
    /// Head of the column, and what stands in it.
    pub(in crate::pages) rows: Vec<Vec<(&'static str, String)>>,
}

impl Table {
    fn new(title: String, heads: &[&'static str], rows: Vec<Vec<String>>) -> Self {
        let row = |row: Vec<String>| heads.iter().copied().zip(row).collect();
        Self { title, is_folded: false, heads: heads.to_vec(), rows: rows.into_iter().map(row).collect() }
    }
}

/// More of a block, closed until it is asked for unless it is what the block is opened for.
pub(in crate::pages) struct Fold {
    pub(in crate::pages) title: String,
    pub(in crate::pages) values: Vec<Value>,
    pub(in crate::pages) is_open: bool,
}

fn fold(title: impl Into<String>, values: Vec<Value>) -> Fold {
    Fold { title: title.into(), values, is_open: false }
}

/// Anchor, heading, kinds.
type Block = (&'static str, &'static str, &'static [Kind]);

/// The blocks of the page in their order, each with the kinds in it.
const BLOCKS: [Block; 10] = [
    ("card", "証", &[Kind::A3a, Kind::A3b, Kind::A3c]),
    ("survey", "認定調査票", &[Kind::A1]),
    ("opinion", "主治医意見書", &[Kind::A2]),
    ("progress", "進捗", &[Kind::A5]),
    ("application", "認定申請書", &[Kind::A4]),
    ("plan", "ケアプラン", &[Kind::Cp1, Kind::Cp2]),
    ("life", "LIFE", &[Kind::C1]),
    ("home", "住宅改修・福祉用具", &[Kind::E1, Kind::E2]),
    ("request", "居宅サービス計画作成依頼届出", &[Kind::F1]),
    ("consent", "同意", &[Kind::G1]),
];

/// What the person sees, in plain words and in the order of the person's day; 調査票 and 意見書 have no block (P-052).
const MY_BLOCKS: [Block; 8] = [
    ("card", "介護の認定と 支払う割合", &[Kind::A3a, Kind::A3b, Kind::A3c]),
    ("progress", "申請の進み", &[Kind::A5]),
    ("application", "認定の申請書", &[Kind::A4]),
    ("plan", "ケアプラン", &[Kind::Cp1, Kind::Cp2]),
    ("life", "からだの様子の記録", &[Kind::C1]),
    ("home", "住宅改修・福祉用具", &[Kind::E1, Kind::E2]),
    ("request", "ケアプランの届出", &[Kind::F1]),
    ("consent", "あなたの同意", &[Kind::G1]),
];

/// The blocks of the person's own page; why the own information may be seen need not be explained.
pub(in crate::pages) fn my_cards(view: &PersonPage, today: Date) -> Vec<Card> {
    let cards = MY_BLOCKS.into_iter().filter_map(|block| card(block, view, today));
    cards.map(in_plain_words).collect()
}

/// The course of the certification names no document the person does not see (P-052).
fn in_plain_words(mut card: Card) -> Card {
    for step in &mut card.steps {
        step.name = match step.name {
            "調査票" => "調査",
            "意見書" => "医師の書類",
            "審査会" => "審査",
            name => name,
        };
    }
    // What is done on which day comes first; the goals, a long table on a telephone, are opened.
    for table in card.tables.iter_mut().filter(|table| table.title.starts_with("第2表")) {
        table.is_folded = true;
    }
    Card { why: String::new(), ..card }
}

/// Told when items that would tell where a 不開示 person is were taken out of a content.
const PARTLY: &str = "居所が分かるおそれのある項目を除いているため、この画面では表示していません。市区町村がこの事業所を確認すると、表示されます。";

pub(crate) async fn show_person(
    State(app): State<App>,
    visitor: Visitor,
    Path(handle): Path<String>,
) -> Result<Response, Away> {
    let view = app.platform.view_person(&visitor.caller, &handle, &visitor.context).await.map_err(Problem::from)?;
    let today = visitor.context.today();
    let text = |name: &str| view.person[name].as_str().unwrap_or_default().to_owned();
    let birth: Date = text("birth").parse().map_err(|_| Problem::internal("a day of birth is not readable"))?;
    let is_office = matches!(visitor.caller.organization, Organization::Office(_));
    let is_taker = super::consent::is_taker(&app, &visitor)?;
    let city = words::city(&text("insurer_number")).unwrap_or_else(|| format!("保険者番号 {}", text("insurer_number")));
    let mut cards: Vec<Card> = BLOCKS.into_iter().filter_map(|block| card(block, &view, today)).collect();
    if is_taker && !view.offers.takes_consent {
        for shut in cards.iter_mut().filter(|card| card.is_shut && card.tag.is_empty()) {
            shut.texts.truncate(1);
            shut.texts.push(format!("{city}が、申請のときに同意をとります。この事業所では登録できません。"));
        }
    }
    let has_life = view.kinds.iter().any(|one| one.kind == Kind::C1 && !one.documents.is_empty());
    for life in cards.iter_mut().filter(|card| card.id == "life" && has_life) {
        life.more = Some((format!("/p/{handle}/life"), "LIFEの推移を図で見る"));
    }
    let has_plan = view.kinds.iter().any(|one| one.kind == Kind::Cp1 && !one.documents.is_empty());
    for plan in cards.iter_mut().filter(|card| card.id == "plan" && has_plan) {
        plan.more = Some((format!("/p/{handle}/plan/1"), "第1表から第7表までを、表の形で見る"));
    }
    for (id, kind, form) in [("survey", Kind::A1, "survey"), ("opinion", Kind::A2, "opinion")] {
        let has = view.kinds.iter().any(|one| one.kind == kind && !one.documents.is_empty());
        for card in cards.iter_mut().filter(|card| card.id == id && has) {
            card.more = Some((format!("/p/{handle}/paper/{form}"), "紙の様式で見る・印刷する"));
        }
    }
    let here = if is_office { "/users" } else { "/insured" };
    let html = PersonHtml {
        page: visitor.frame(&app, "利用者のページ", "P-214", here),
        back: if is_office { ("/users", "担当利用者") } else { ("/insured", "被保険者") },
        name: text("name"),
        kana: text("kana"),
        sex: if view.person["sex"] == "male" { "男" } else { "女" },
        age: dates::age_on(birth, today),
        birth: words::day(birth),
        birth_iso: birth.to_string(),
        city,
        number: text("insured_number"),
        address: text("address"),
        warnings: view.warnings.iter().map(|warning| warning.message.clone()).collect(),
        cards,
        may_take_consent: view.offers.takes_consent,
        may_change_consent: is_taker,
        may_end: view.offers.ends_registration,
        is_city: matches!(visitor.caller.organization, Organization::Municipality(_)),
        may_file: app.platform.files_requests(&visitor.caller, &visitor.context).map_err(Problem::from)?,
        plan_maker: match view.offers.plan_maker {
            Some(PlanMaker::Nobody) => "nobody",
            Some(PlanMaker::Caller) => "me",
            Some(PlanMaker::Colleague) => "colleague",
            None => "",
        },
        handle,
    };
    Ok(show(&html)?)
}

/// ※1 (P-042): the visitor makes the person's plan, or no longer does.
pub(crate) async fn set_plan_maker(
    State(app): State<App>,
    Path(handle): Path<String>,
    posted: Posted,
) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &posted.visitor;
    let makes_plan = Ok::<_, Problem>(posted.form.get("makes_plan") == "yes");
    app.platform.set_plan_maker(caller, &handle, makes_plan, context).await?;
    Ok(to(&format!("/p/{handle}"), None))
}

/// A block, if one of its kinds is there or lacks nothing but consent.
fn card((id, name, kinds): Block, view: &PersonPage, today: Date) -> Option<Card> {
    let shown: Vec<&KindView> = view.kinds.iter().filter(|one| kinds.contains(&one.kind)).collect();
    let mut card = Card { id, name, ..Card::default() };
    if shown.is_empty() {
        let hidden = view.hidden.iter().find(|one| kinds.contains(&one.kind))?;
        card.is_shut = true;
        if hidden.rule == "switched_off" {
            card.tag = "止めています".to_owned();
        }
        card.texts = vec![hidden.reason.clone(), hidden.next.clone()];
        return Some(card);
    }
    for one in &shown {
        fill(&mut card, one, view.opinion_accepted_on, today);
    }
    if card.values.is_empty() && card.tables.is_empty() && card.folds.is_empty() && card.steps.is_empty() {
        card.texts.push("まだ登録されていません。".to_owned());
    }
    card.why = view.why.iter().filter(|one| kinds.contains(&one.kind)).map(why).next().unwrap_or_default();
    Some(card)
}

fn why(one: &WhyKind) -> String {
    format!("{}　規則 {}", one.reason, one.requirement)
}

fn fill(card: &mut Card, view: &KindView, accepted_on: Option<Date>, today: Date) {
    // What is left of a limit is told also, and most of all, when nothing was used.
    if matches!(view.kind, Kind::E1 | Kind::E2) {
        return allowance(card, view);
    }
    let Some(latest) = view.documents.first() else {
        if view.kind == Kind::A3a {
            card.values.push(value("証の交付", "記録がありません", "被保険者証のない人もいます"));
        }
        return card.values.extend(view.provisional_planning_office.as_ref().and_then(provisional_office));
    };
    match view.kind {
        Kind::A3a => {
            insurance_card(card, latest, today);
            earlier(card, "これまでの被保険者証", &view.documents, |insurance: &InsuranceCard| {
                let Some(certified) = &insurance.certified else {
                    return vec![
                        ("認定の有効期間", String::new()),
                        ("要介護状態区分", "認定されていません".to_owned()),
                    ];
                };
                let valid = certified.valid.as_ref().map(|valid| words::period(valid.from(), valid.to()));
                vec![
                    ("認定の有効期間", valid.unwrap_or_default()),
                    ("要介護状態区分", certified.level.name_ja().to_owned()),
                ]
            });
        }
        Kind::A3b => {
            copayment(card, latest, today);
            earlier(card, "これまでの負担割合", &view.documents, |rate: &CopaymentRate| {
                let period = |row: &CopaymentPeriod| words::period(row.period.from(), row.period.to());
                let rows = rate.rows.iter().map(|row| format!("{}割（{}）", row.rate.get(), period(row)));
                vec![("負担割合", rows.collect::<Vec<_>>().join("、"))]
            });
        }
        Kind::A3c => {
            ceiling(card, latest, today);
            earlier(card, "これまでの負担限度額", &view.documents, |ceiling: &CostCeiling| {
                let period = words::period(ceiling.period.from(), ceiling.period.to());
                vec![("期間", period), ("段階", ceiling.stage.name_ja().to_owned())]
            });
        }
        Kind::A1 => survey(card, &view.documents),
        Kind::A2 => opinions(card, &view.documents),
        Kind::A5 => progress(card, latest, accepted_on, today),
        Kind::Cp1 => plan(card, &view.documents),
        Kind::G1 => consent(card, latest),
        Kind::F1 => request(card, &view.documents),
        // Its course over time is what LIFE is looked at for.
        Kind::C1 => card.texts.push(format!(
            "{}件の評価があります（最新 {}）。",
            view.documents.len(),
            words::day(latest.valid_from)
        )),
        _ => listed(card, view),
    }
}

fn value(name: &str, text: impl Into<String>, sub: impl Into<String>) -> Value {
    Value { name: name.to_owned(), text: text.into(), sub: sub.into(), is_big: false }
}

fn big(name: &str, text: impl Into<String>, sub: impl Into<String>) -> Value {
    Value { is_big: true, ..value(name, text, sub) }
}

fn read<T: DeserializeOwned>(document: &Document) -> Option<T> {
    serde_json::from_value(document.content.clone()).ok()
}

/// What a document of CP1 holds under its name.
fn read_part<T: DeserializeOwned>(document: &Document, name: &str) -> Option<T> {
    serde_json::from_value(document.content.get(name)?.clone()).ok()
}

fn insurance_card(card: &mut Card, document: &Document, today: Date) {
    let mut content = document.content.clone();
    let provisional = provisional_office(&content["provisional_planning_office"]);
    // Lists that would tell where a 不開示 person is are not there.
    let hides = content.get("planning_offices").is_none();
    for list in ["restrictions", "planning_offices", "facilities"] {
        if content.get(list).is_none() {
            content[list] = Json::Array(Vec::new());
        }
    }
    let Ok(insurance) = serde_json::from_value::<InsuranceCard>(content) else {
        return card.texts.push(PARTLY.to_owned());
    };
    match &insurance.certified {
        Some(certified) => {
            let valid =
                certified.valid.as_ref().map_or_else(String::new, |valid| words::period(valid.from(), valid.to()));
            card.values.push(big("要介護状態区分", certified.level.name_ja(), valid));
            if let Some(units) = certified.limit_units {
                card.values.push(value("区分支給限度基準額", format!("{} 単位／月", words::thousands(units)), ""));
            }
        }
        None => card.values.push(big("要介護状態区分", "認定されていません", "")),
    }
    card.values.push(issue(insurance.issue));
    let in_force = insurance.restrictions.iter().filter(|one| one.period.contains(today));
    let restrictions: Vec<String> = in_force
        .map(|one| format!("{}（{}）", one.content, words::period(one.period.from(), one.period.to())))
        .collect();
    let none = if restrictions.is_empty() { "なし".to_owned() } else { restrictions.join("、") };
    card.values.push(value("給付制限", none, ""));
    if let Some(office) = provisional {
        card.values.push(office);
    } else if let Some(office) = insurance.planning_offices.iter().max_by_key(|office| office.filed_on) {
        card.values.push(value("居宅介護支援事業者", &office.name, format!("{}届出", words::day(office.filed_on))));
    } else if !hides {
        card.values.push(value("居宅介護支援事業者", "届出はありません", ""));
    }
}

/// Whether the person holds a card: one who never had any is told apart from one who lost it (P-035).
fn issue(issue: CardIssue) -> Value {
    let sub = match issue {
        CardIssue::NeverIssued => "証を一度も交付していません".to_owned(),
        CardIssue::Issued(day) => format!("{}交付", words::day(day)),
        CardIssue::Lost(day) => format!("{}に交付した証を、なくしたと届出がありました", words::day(day)),
    };
    value("証の交付", issue.name_ja(), sub)
}

/// The office of an accepted 届出 until the city's own row names it (P-138).
fn provisional_office(office: &Json) -> Option<Value> {
    let name = office["name"].as_str()?;
    let filed = office["filed_on"].as_str().and_then(|day| day.parse().ok()).map(words::day).unwrap_or_default();
    let what = if office["filing"]["kind"] == "end" { "終了の届出" } else { "届出" };
    let sub = format!("暫定（{filed}{what}を受理。市区町村の行を待っています）");
    Some(value("居宅介護支援事業者", name, sub))
}

/// The versions before the one that holds, the latest first, folded.
fn earlier<T: DeserializeOwned>(
    card: &mut Card,
    title: &str,
    documents: &[Document],
    cells: impl Fn(&T) -> Vec<(&'static str, String)>,
) {
    let row = |document: &Document| {
        let since = ("いつからの記録", words::day(document.valid_from));
        Some([since].into_iter().chain(cells(&read::<T>(document)?)).collect::<Vec<_>>())
    };
    let rows: Vec<Vec<(&'static str, String)>> = documents.iter().skip(1).filter_map(row).collect();
    let Some(first) = rows.first() else { return };
    let heads = first.iter().map(|(head, _)| *head).collect();
    card.tables.push(Table { title: title.to_owned(), heads, rows, is_folded: true });
}

fn copayment(card: &mut Card, document: &Document, today: Date) {
    let Some(rate) = read::<CopaymentRate>(document) else { return };
    for row in rate.rows.iter().filter(|row| row.period.to().is_none_or(|to| to >= today)) {
        let is_next = row.period.from() > today;
        let name = if is_next {
            format!("負担割合（{}から）", words::day(row.period.from()))
        } else {
            "負担割合".to_owned()
        };
        let period = words::period(row.period.from(), row.period.to());
        card.values.push(big(&name, format!("{}割", row.rate.get()), period));
    }
}

fn ceiling(card: &mut Card, document: &Document, today: Date) {
    let Some(ceiling) = read::<CostCeiling>(document) else { return };
    let is_past = ceiling.period.to().is_some_and(|to| to < today);
    let meals = format!("食費 日額{}円（施設）", words::thousands(ceiling.meals_facility));
    let text = format!("{}　{meals}", ceiling.stage.name_ja());
    let period = words::period(ceiling.period.from(), ceiling.period.to());
    card.values.push(value("負担限度額", text, if is_past { format!("{period}（過ぎました）") } else { period }));
}

/// What changed since the last survey first, then everything.
fn survey(card: &mut Card, documents: &[Document]) {
    let items: Vec<Vec<LabelledItem>> = documents.iter().filter_map(|one| items_of(Kind::A1, one)).collect();
    let Some(latest) = items.first() else { return card.texts.push(PARTLY.to_owned()) };
    card.tag = documents.first().map(|one| format!("{}の調査", words::day(one.valid_from))).unwrap_or_default();
    if let Some(before) = items.get(1) {
        let was = |key: &str| before.iter().find(|item| item.key == key).map(|item| item.value.clone());
        let changed = latest.iter().filter(|item| is_answer(item)).filter_map(|now| {
            let was = was(now.key).unwrap_or_default();
            (was != now.value).then(|| vec![now.name.to_owned(), was, now.value.clone()])
        });
        let rows: Vec<Vec<String>> = changed.collect();
        if rows.is_empty() {
            card.texts.push("前回の調査から変わった項目はありません。".to_owned());
        } else {
            let title = format!("前回から変わった項目　{}つ", rows.len());
            card.tables.push(Table::new(title, &["項目", "前回", "今回"], rows));
        }
    }
    let mut group = |title: &str, keep: &dyn Fn(&LabelledItem) -> bool| {
        let kept = latest.iter().filter(|item| keep(item));
        let values: Vec<Value> = kept.map(|item| value(item.name, &item.value, "")).collect();
        if !values.is_empty() {
            card.folds.push(fold(title, values));
        }
    };
    for (number, title) in [
        (1, "第1群　身体機能・起居動作"),
        (2, "第2群　生活機能"),
        (3, "第3群　認知機能"),
        (4, "第4群　精神・行動障害"),
        (5, "第5群　社会生活への適応"),
        (6, "特別な医療"),
    ] {
        group(title, &|item| item.key.starts_with(&format!("q{number}_")));
    }
    group("日常生活自立度", &|item| matches!(item.key, "physical" | "dementia"));
    group("特記事項", &|item| item.key.starts_with("note"));
    group("概況調査など", &|item| !is_answer(item) && !item.key.starts_with("note"));
}

/// One of the 74 items, 特別な医療 or 自立度.
fn is_answer(item: &LabelledItem) -> bool {
    item.key.starts_with('q') || matches!(item.key, "physical" | "dementia")
}

fn items_of(kind: Kind, document: &Document) -> Option<Vec<LabelledItem>> {
    labelled(kind, &serde_json::to_vec(&document.content).ok()?)
}

/// Every document of a kind as the list of its items, the newest open to the eye.
fn listed(card: &mut Card, view: &KindView) {
    for (place, document) in view.documents.iter().enumerate() {
        let Some(items) = items_of(view.kind, document) else {
            if place == 0 {
                card.texts.push(PARTLY.to_owned());
            }
            continue;
        };
        let values: Vec<Value> = items.iter().map(|item| value(item.name, &item.value, "")).collect();
        let title = format!("{}　{}", view.name, words::day(document.valid_from));
        if place == 0 {
            card.tag = words::day(document.valid_from);
        }
        card.folds.push(fold(title, values));
    }
}

/// The newest opinion chapter by chapter, as its writer knows it, the one about the illness open; each earlier one as a whole.
fn opinions(card: &mut Card, documents: &[Document]) {
    for (place, document) in documents.iter().enumerate() {
        let Some(opinion) = read::<PhysicianOpinion>(document) else {
            if place == 0 {
                card.texts.push(PARTLY.to_owned());
            }
            continue;
        };
        let parts = super::opinion::parts(&opinion);
        let values = |part: super::inbox::Part| -> Vec<Value> {
            part.values.into_iter().map(|(name, text)| value(&name, text, "")).collect()
        };
        let written = words::day(document.valid_from);
        if place > 0 {
            let all = parts.into_iter().flat_map(values).collect();
            card.folds.push(fold(format!("以前の意見書　{written}"), all));
            continue;
        }
        card.tag = written;
        // Who the person is stands above.
        for part in parts.into_iter().skip(1) {
            // What the illness is comes before who wrote it, and when.
            let is_open = part.name.starts_with('1');
            card.folds.push(Fold { is_open, ..fold(part.name.clone(), values(part)) });
        }
    }
}

fn progress(card: &mut Card, document: &Document, accepted_on: Option<Date>, today: Date) {
    let Some(progress) = read::<CertificationProgress>(document) else {
        return card.texts.push(PARTLY.to_owned());
    };
    let result = progress.result.as_ref();
    let days = [
        ("申請", Some(progress.applied_on), String::new()),
        ("調査票", progress.survey_received_on, String::new()),
        ("意見書", progress.opinion_received_on.or(accepted_on), String::new()),
        ("審査会", progress.board_done_on, planned(&progress)),
        (
            "結果",
            result.map(|one| one.decided_on),
            result.map_or_else(String::new, |one| one.level.name_ja().to_owned()),
        ),
    ];
    let now = days.iter().rposition(|(_, day, _)| day.is_some());
    card.steps = days
        .into_iter()
        .enumerate()
        .map(|(place, (name, day, more))| Step {
            name,
            day: day.map(words::day).unwrap_or_default(),
            iso: day.map(|day| day.to_string()).unwrap_or_default(),
            more,
            is_now: Some(place) == now,
        })
        .collect();
    if let Some(until) = progress.delay_expected.as_ref().and_then(|period| period.to()) {
        let reason = progress.delay_reason.as_deref().unwrap_or_default();
        card.texts.push(format!("結果は延期されています（{}まで）。{reason}", words::day(until)));
    }
    if result.is_none() && progress.closing.is_none() {
        card.texts.push(format!("申請から{}日たっています。", (today - progress.applied_on).get_days()));
    }
    if progress.closing.is_some() {
        card.texts.push("この申請は、取下げ・却下などで終わりました。".to_owned());
    }
}

fn planned(progress: &CertificationProgress) -> String {
    match (progress.board_done_on, progress.board_planned_on) {
        (None, Some(day)) => format!("予定 {}", words::day(day)),
        _ => String::new(),
    }
}

fn plan(card: &mut Card, documents: &[Document]) {
    let plans: Vec<(&Document, CarePlan)> =
        documents.iter().filter_map(|one| Some((one, read_part(one, "plan")?))).collect();
    let slips: Vec<ServiceSlip> = documents.iter().filter_map(|one| read_part(one, "slip")).collect();
    if plans.is_empty() && slips.is_empty() {
        return card.texts.push(PARTLY.to_owned());
    }
    if let Some((_, latest)) = plans.first() {
        card.tag = format!("{}の計画", words::day(latest.changed_on));
        let first = &latest.table1;
        card.values.push(value("利用者及び家族の生活に対する意向を踏まえた課題分析の結果", &first.analysis, ""));
        card.values.push(value("総合的な援助の方針", &first.policy, ""));
        let made = format!("{}　{}", first.office_name, first.care_manager_name);
        card.values.push(value("作成", made, words::day(first.made_on)));
        let heads = ["課題", "長期目標", "短期目標", "サービス内容", "種別・事業所", "頻度・期間"];
        card.tables.push(Table::new("第2表　課題・目標・サービス".to_owned(), &heads, goals(latest)));
        week(card, latest);
    }
    for (document, earlier) in plans.iter().skip(1) {
        let values = vec![
            value("課題分析の結果", &earlier.table1.analysis, ""),
            value("総合的な援助の方針", &earlier.table1.policy, ""),
            value("登録", words::day_of(document.recorded_at), ""),
        ];
        card.folds.push(fold(format!("以前の計画　{}", words::day(earlier.changed_on)), values));
    }
    for slip in &slips {
        card.folds.push(fold(format!("利用票　{}", month(&slip.month.to_string())), uses(slip)));
    }
}

/// 第3表: the services of the week from Monday to Sunday and by the hour, then what is done every day and what is not weekly.
fn week(card: &mut Card, plan: &CarePlan) {
    let mut services: Vec<_> = plan.table3.services().collect();
    services.sort_by_key(|one| (one.weekday.is_none(), one.weekday, one.from, one.to));
    let row = |one: &&WeeklyService| {
        let day = one.weekday.map_or("", |day| day.name_ja());
        vec![day.to_owned(), hours(one.from, one.to), one.content.clone()]
    };
    let rows: Vec<Vec<String>> = services.iter().map(row).collect();
    if !rows.is_empty() {
        card.tables.push(Table::new("第3表　週間の予定".to_owned(), &["曜日", "時刻", "内容"], rows));
    }
    let mut activities: Vec<_> = plan.table3.activities().collect();
    activities.sort_by_key(|one| (one.from, one.to));
    let daily = activities.into_iter().map(|one| value(&hours(one.from, one.to), &one.content, ""));
    let others = plan.table3.others().map(|text| value("週単位以外のサービス", text, ""));
    let values: Vec<Value> = daily.chain(others).collect();
    if !values.is_empty() {
        card.folds.push(fold("第3表　主な日常生活上の活動・週単位以外のサービス", values));
    }
}

/// 10時から11時30分まで; a point in time when both are the same.
fn hours(from: Option<ClockTime>, to: Option<ClockTime>) -> String {
    let hour = |time: ClockTime| match time.minutes() % 60 {
        0 => format!("{}時", time.minutes() / 60),
        minutes => format!("{}時{minutes:02}分", time.minutes() / 60),
    };
    match (from, to) {
        (Some(from), Some(to)) if from != to => format!("{}から{}まで", hour(from), hour(to)),
        (Some(time), _) | (None, Some(time)) => hour(time),
        (None, None) => String::new(),
    }
}

/// 令和8年11月, of YYYYMM or YYYY-MM.
fn month(text: &str) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let first = dates::parse_yyyymmdd(&format!("{digits}01"));
    first.map_or_else(|_| text.to_owned(), words::month)
}

/// 訪問介護（111111）: a code of a service with the name of its type.
fn service_name(code: &str) -> String {
    let kind = code.get(..2).and_then(service_type);
    kind.map_or_else(|| code.to_owned(), |kind| format!("{}（{code}）", kind.name_ja))
}

/// Days of a month by office and service code.
fn uses(slip: &ServiceSlip) -> Vec<Value> {
    let mut days: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for line in slip.lines.iter().filter(|line| line.count > 0) {
        days.entry((line.office_name.as_str(), line.service_code.as_str()))
            .or_default()
            .push(line.day.day().to_string());
    }
    let written = days.iter().map(|((office, code), days)| {
        value(&format!("{office}　{}", service_name(code)), format!("{}日", days.join("・")), "")
    });
    written.collect()
}

fn goals(plan: &CarePlan) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for need in &plan.table2.needs {
        for long in &need.long_goals {
            for short in &long.short_goals {
                for service in &short.services {
                    rows.push(vec![
                        need.text.clone(),
                        format!("{}　{}", long.text, long.period),
                        format!("{}　{}", short.text, short.period),
                        service.content.clone(),
                        format!("{}　{}", service.kind, service.office_name),
                        format!("{}　{}", service.frequency, service.period),
                    ]);
                }
            }
        }
    }
    rows
}

fn allowance(card: &mut Card, view: &KindView) {
    if let Some(left) = &view.allowance {
        let what = if view.kind == Kind::E1 { "住宅改修の残り" } else { "福祉用具の購入の残り" };
        let of = format!("{}円のうち（{}）", words::thousands(left.limit), left.counted_in);
        card.values.push(big(what, format!("{} 円", words::thousands(left.remaining)), of));
    }
    listed(card, view);
    card.tag.clear();
}

fn request(card: &mut Card, documents: &[Document]) {
    for document in documents {
        let office = document.content["office_name"].as_str().unwrap_or("（表示できません）");
        card.values.push(value("居宅介護支援事業者", office, format!("{}から", words::day(document.valid_from))));
    }
}

fn consent(card: &mut Card, document: &Document) {
    let given = document.content["given_at"].as_str().is_some();
    let text = if given { "同意しています" } else { "同意をやめました" };
    card.values.push(big("同意", text, words::day_of(document.recorded_at)));
    let refused: Vec<Kind> = serde_json::from_value(document.content["refused"].clone()).unwrap_or_default();
    if !refused.is_empty() {
        let names: Vec<&str> = refused.iter().map(|kind| kind.name_ja()).collect();
        card.values.push(value("本人の希望で見せないもの", names.join("、"), ""));
    }
}
