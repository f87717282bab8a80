//! What is counted: one person after the other goes through [`Counter`], which holds counts only, never a person. Each
//! figure is defined in docs/statistics.md.

use super::function::Functions;
use super::table::Table;
use crate::Standing;
use kiban_domain::certification::{ApplicationKind, CareLevel, CertificationProgress};
use kiban_domain::consent::{ConsentAct, ConsentState};
use kiban_domain::dates::age_on;
use kiban_domain::insurance_card::{CertifiedLevel, CopaymentRate, InsuranceCard};
use kiban_domain::insured::{Insured, normalize_kanji};
use kiban_domain::life::LifeSheet;
use kiban_domain::{Date, Kind, OfficeNumber, Organization, ServiceType, Timestamp, dates};
use kiban_policy::{SharingTable, service_type_rule};
use kiban_store::{BlockPerson, LookCount, Outcome, StoredRecord};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Kinds whose contents are counted.
pub(crate) const KINDS: [Kind; 4] = [Kind::A3a, Kind::A3b, Kind::A5, Kind::C1];

/// Figures that are data: the notices name none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Days before the end of 認定有効期間 from which a renewal is due.
    pub(crate) renewal_days: i32,
    /// Days after its request from which an opinion is late.
    pub(crate) opinion_days: i32,
}

/// Applications and changes of level are counted over so many days.
const WINDOW: i32 = 365;
/// Different areas told apart; the rest is one.
const MOST_AREAS: usize = 500;
/// Longer is counted as this many days.
const LONGEST: i32 = 3_650;

const AGES: [&str; 7] = ["64歳以下", "65〜69歳", "70〜74歳", "75〜79歳", "80〜84歳", "85〜89歳", "90歳以上"];
const STEPS: [&str; 11] = [
    "調査依頼",
    "調査実施",
    "調査票入手",
    "意見書依頼",
    "意見書入手",
    "一次判定",
    "資料送付",
    "審査完了",
    "認定",
    "通知",
    "証交付",
];
const RATES: [&str; 4] = ["なし", "1割", "2割", "3割"];

/// Counts of rows that are known beforehand.
#[derive(Debug, Clone)]
struct Grid<const R: usize, const C: usize>([[u64; C]; R]);

impl<const R: usize, const C: usize> Grid<R, C> {
    fn new() -> Self {
        Self([[0; C]; R])
    }

    fn add(&mut self, row: usize, column: usize) {
        if let Some(cell) = self.0.get_mut(row).and_then(|row| row.get_mut(column)) {
            *cell += 1;
        }
    }

    fn table(&self, names: (&str, &str, &str), rows: [&str; R], columns: [&str; C]) -> Table {
        let rows = rows.into_iter().zip(&self.0).map(|(name, cells)| (name.to_owned(), cells.to_vec())).collect();
        Table::of_counts(names, &columns, rows)
    }
}

/// How often each number of days.
#[derive(Debug, Clone, Default)]
struct Days(BTreeMap<i32, u64>);

impl Days {
    fn add(&mut self, days: i32) {
        *self.0.entry(days.clamp(0, LONGEST)).or_default() += 1;
    }

    fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// The value at which `percent` of the cases are reached, counted from the smallest (nearest rank).
    fn at(&self, percent: u64) -> Option<u64> {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        self.0.iter().find_map(|(days, count)| {
            seen += count;
            (seen >= rank).then(|| u64::try_from(*days).unwrap_or_default())
        })
    }

    fn within(&self, most: i32) -> u64 {
        self.0.range(..=most).map(|(_, count)| count).sum()
    }
}

/// Improved, same, worse.
type Change = [u64; 3];
const CHANGES: [&str; 3] = ["軽くなった", "同じ", "重くなった"];

/// Everything counted so far.
#[derive(Debug, Clone)]
pub(crate) struct Counter {
    at: Timestamp,
    today: Date,
    unapplied: Vec<i64>,
    rules: Rules,
    /// Whose service types the offices have.
    standing: Arc<Standing>,
    /// First day of the year of burden cards that the change of rates is about.
    pub(crate) round: Date,
    /// People seen.
    pub(crate) people: u64,
    consent: Grid<3, 4>,
    refusals: BTreeMap<Kind, u64>,
    levels: Grid<7, 7>,
    offices: Grid<2, 6>,
    decisions: Grid<6, 5>,
    steps: [Days; STEPS.len()],
    opinions: Grid<6, 4>,
    looks: BTreeMap<String, [u64; 4]>,
    change_by_age: Grid<7, 3>,
    change_by_area: BTreeMap<String, Change>,
    change_by_service: BTreeMap<String, Change>,
    change_of_level: Grid<9, 9>,
    copayment: Grid<4, 4>,
    /// ADL, nutrition and mouth.
    functions: Functions,
}

impl Counter {
    pub(crate) fn new(
        (at, today): (Timestamp, Date),
        unapplied: Vec<i64>,
        rules: Rules,
        standing: Arc<Standing>,
    ) -> Self {
        Self {
            at,
            today,
            unapplied,
            rules,
            standing,
            round: round_of(today),
            people: 0,
            consent: Grid::new(),
            refusals: BTreeMap::new(),
            levels: Grid::new(),
            offices: Grid::new(),
            decisions: Grid::new(),
            steps: Default::default(),
            opinions: Grid::new(),
            looks: BTreeMap::new(),
            change_by_age: Grid::new(),
            change_by_area: BTreeMap::new(),
            change_by_service: BTreeMap::new(),
            change_of_level: Grid::new(),
            copayment: Grid::new(),
            functions: Functions::default(),
        }
    }

    /// Counts a person.
    pub(crate) fn person(&mut self, person: &BlockPerson) {
        self.people += 1;
        let cards = certifications(&self.known::<InsuranceCard>(person, Kind::A3a));
        if is_insured(&person.insured, self.today) {
            self.insured(person, &cards);
        }
        for (_, progress) in self.known::<CertificationProgress>(person, Kind::A5) {
            self.application(&progress);
        }
        self.changes(person, &cards);
        self.functions.person(&area_of(&person.insured), self.sheets(person), self.today);
    }

    /// Counts what was done with data of people of a block.
    pub(crate) fn looks(&mut self, looks: &[LookCount]) {
        for look in looks.iter().filter(|look| look.action == "view") {
            let kind = look.kind.as_deref().and_then(Kind::parse);
            let name = kind.map_or_else(|| "その他".to_owned(), |kind| format!("{} {}", kind.code(), kind.name_ja()));
            let by_office = look.organization.as_ref().is_some_and(|code| code.len() == 10);
            let refused = look.outcome != Outcome::Allowed.code();
            let column = if by_office { 0 } else { 2 } + usize::from(refused);
            self.looks.entry(name).or_default()[column] += u64::try_from(look.count).unwrap_or_default();
        }
    }

    fn insured(&mut self, person: &BlockPerson, cards: &[CertifiedLevel]) {
        let certified = live_certification(cards, self.today);
        let due = certified.is_some() && is_due(cards, self.today, self.rules.renewal_days);
        let consent = consent_of(person, self.at, &self.unapplied);
        let row = match (certified, due) {
            (Some(_), true) => 0,
            (Some(_), false) => 1,
            (None, _) => 2,
        };
        self.consent.add(row, column_of(&consent));
        if consent.given_at.is_some() {
            consent.refused.iter().for_each(|kind| *self.refusals.entry(*kind).or_default() += 1);
        }
        if let Some(certified) = certified {
            let level = LEVELS.iter().position(|level| *level == certified.level);
            self.levels.add(level.unwrap_or(usize::MAX), age_band(&person.insured, self.today));
        }
        let live = person.assignments.iter().filter(|assignment| assignment.is_live(self.today)).count();
        self.offices.add(usize::from(certified.is_none()), live.min(5));
        let rates = self.known::<CopaymentRate>(person, Kind::A3b);
        let before = self.round.yesterday().unwrap_or(self.round);
        let column = |day| rate_on(&rates, day).map_or(0, usize::from);
        self.copayment.add(column(before), column(self.round));
    }

    fn application(&mut self, progress: &CertificationProgress) {
        let age = (self.today - progress.applied_on).get_days();
        if !(0..WINDOW).contains(&age) {
            return;
        }
        let row = ApplicationKind::ALL.iter().position(|kind| *kind == progress.kind).unwrap_or(usize::MAX);
        let decided_on = progress.result.as_ref().map(|result| result.decided_on);
        let column = match (decided_on, &progress.closing) {
            (Some(day), _) if day <= progress.due_on() => 0,
            (Some(_), _) => 1,
            (None, Some(_)) => 4,
            (None, None) if self.today <= progress.due_on() => 2,
            (None, None) => 3,
        };
        self.decisions.add(row, column);
        let steps = [
            progress.survey_requested_on,
            progress.survey_done_on,
            progress.survey_received_on,
            progress.opinion_requested_on,
            progress.opinion_received_on,
            progress.first_judged_on,
            progress.papers_sent_on,
            progress.board_done_on,
            decided_on,
            progress.result.as_ref().and_then(|result| result.notified_on),
            progress.result.as_ref().and_then(|result| result.card_issued_on),
        ];
        for (days, day) in self.steps.iter_mut().zip(steps) {
            if let Some(day) = day {
                days.add((day - progress.applied_on).get_days());
            }
        }
        self.opinion(row, progress);
    }

    fn opinion(&mut self, row: usize, progress: &CertificationProgress) {
        let Some(requested) = progress.opinion_requested_on else { return };
        let late = |day: Date| (day - requested).get_days() > self.rules.opinion_days;
        match progress.opinion_received_on {
            Some(received) => self.opinions.add(row, usize::from(late(received))),
            // Nobody waits for it any more once there is a result or the application ended.
            None if progress.result.is_some() || progress.closing.is_some() => {}
            None => self.opinions.add(row, 2 + usize::from(late(self.today))),
        }
    }

    /// Consecutive certifications of which the later was decided within the window.
    fn changes(&mut self, person: &BlockPerson, cards: &[CertifiedLevel]) {
        let insured = &person.insured;
        for pair in cards.windows(2) {
            let [before, after] = pair else { continue };
            if !(0..WINDOW).contains(&(self.today - after.decided_on).get_days()) {
                continue;
            }
            let change = match after.level.cmp(&before.level) {
                std::cmp::Ordering::Less => 0,
                std::cmp::Ordering::Equal => 1,
                std::cmp::Ordering::Greater => 2,
            };
            self.change_by_age.add(age_band(insured, after.decided_on), change);
            let area = area_of(insured);
            let known = self.change_by_area.len() < MOST_AREAS || self.change_by_area.contains_key(&area);
            let area = if known { area } else { "（その他の地域）".to_owned() };
            self.change_by_area.entry(area).or_default()[change] += 1;
            for service in self.services_on(person, after.decided_on) {
                self.change_by_service.entry(service).or_default()[change] += 1;
            }
            let place =
                |level: CareLevel| CareLevel::ALL.iter().position(|other| *other == level).unwrap_or(usize::MAX);
            self.change_of_level.add(place(before.level), place(after.level));
        }
    }

    /// Service types of the offices that were registered for a person on a day, each once.
    fn services_on(&self, person: &BlockPerson, day: Date) -> BTreeSet<String> {
        let mut services = BTreeSet::new();
        for registration in &person.assignments {
            let from = dates::day_in_japan(registration.registered_at);
            let ended = registration.ended.map(|(at, _)| dates::day_in_japan(at));
            if from <= day && day <= registration.viewable_until && ended.is_none_or(|ended| day <= ended) {
                services.extend(self.services_of(registration.office));
            }
        }
        if services.is_empty() {
            services.insert("（担当の登録なし）".to_owned());
        }
        services
    }

    fn services_of(&self, office: OfficeNumber) -> Vec<String> {
        let Some(office) = self.standing.office(office) else { return Vec::new() };
        match office.service_types.is_empty() {
            true => vec!["医療機関（介護サービスなし）".to_owned()],
            false => office.service_types.iter().map(|code| self.service_label(code)).collect(),
        }
    }

    /// A service type with its name.
    fn service_label(&self, code: &ServiceType) -> String {
        let rule = SharingTable::at(self.today).ok().and_then(|table| service_type_rule(code, table));
        rule.map_or_else(|| code.to_string(), |rule| format!("{code} {}", rule.name))
    }

    /// The sheets of LIFE as known when the pass began, each with who made it.
    fn sheets(&self, person: &BlockPerson) -> Vec<(Organization, LifeSheet)> {
        let of_kind = person.records.iter().filter(|record| record.header.kind == Kind::C1).cloned().collect();
        StoredRecord::as_known(of_kind, self.at, &self.unapplied)
            .into_iter()
            .filter_map(|record| Some((record.header.creator, serde_json::from_slice(&record.payload).ok()?)))
            .collect()
    }

    /// Contents of a kind as known when the pass began, newest history number first.
    fn known<T: DeserializeOwned>(&self, person: &BlockPerson, kind: Kind) -> Vec<(String, T)> {
        known(person, kind, self.at, &self.unapplied)
    }

    /// The tables.
    pub(crate) fn tables(&self) -> Vec<Table> {
        let mut tables = self.tables_of_certification();
        tables.extend(self.functions.tables(|service| self.service_label(service)));
        tables
    }

    fn tables_of_certification(&self) -> Vec<Table> {
        let due = format!("要支援・要介護（{}日以内に期限）", self.rules.renewal_days);
        let kinds = ApplicationKind::ALL.map(ApplicationKind::name_ja);
        let late = format!("{}日超で入手", self.rules.opinion_days);
        let in_time = format!("{}日以内に入手", self.rules.opinion_days);
        let waiting = format!("依頼中（{}日以内）", self.rules.opinion_days);
        let overdue = format!("依頼中（{}日超）", self.rules.opinion_days);
        let before = format!("{} の前日の割合", self.round);
        vec![
            self.consent.table(
                ("consent", "同意の状態", "認定の状態"),
                [&due, "要支援・要介護（その他）", "認定なし"],
                ["同意あり", "撤回", "取得不能", "記録なし"],
            ),
            Table::of_measures(
                ("refusals", "同意した人のうち、種別を個別に拒否した人", "種別"),
                &["人数"],
                self.refusals
                    .iter()
                    .map(|(kind, count)| (format!("{} {}", kind.code(), kind.name_ja()), vec![Some(*count)]))
                    .collect(),
            ),
            self.levels.table(("levels", "要介護度と年齢", "要介護度"), LEVELS.map(CareLevel::name_ja), AGES),
            self.decisions.table(
                ("decisions", "申請から認定まで（過去1年の申請）", "申請区分"),
                kinds,
                ["30日以内に認定", "30日超で認定", "審査中（30日以内）", "審査中（30日超）", "取下げ・却下等"],
            ),
            Table::of_measures(
                ("steps", "申請から各段階までの日数（過去1年の申請）", "段階"),
                &["件数", "中央値（日）", "90パーセンタイル（日）", "30日以内の件数"],
                STEPS
                    .iter()
                    .zip(&self.steps)
                    .map(|(name, days)| {
                        ((*name).to_owned(), vec![Some(days.count()), days.at(50), days.at(90), Some(days.within(30))])
                    })
                    .collect(),
            ),
            self.opinions.table(
                ("opinions", "主治医意見書の依頼から入手まで（過去1年の申請）", "申請区分"),
                kinds,
                [&in_time, &late, &waiting, &overdue],
            ),
            self.offices.table(
                ("offices", "1人を担当する事業所の数", "認定の状態"),
                ["要支援・要介護", "認定なし"],
                ["0", "1", "2", "3", "4", "5以上"],
            ),
            Table::of_counts(
                ("looks", "閲覧の回数（過去30日）", "種別"),
                &["事業所等の閲覧", "事業所等への拒否", "市区町村等の閲覧", "市区町村等への拒否"],
                self.looks.iter().map(|(name, cells)| (name.clone(), cells.to_vec())).collect(),
            ),
            self.change_by_age.table(("change_by_age", "要介護度の変化と年齢（過去1年の認定）", "年齢"), AGES, CHANGES),
            Table::of_counts(
                ("change_by_area", "要介護度の変化と地域（過去1年の認定）", "地域"),
                &CHANGES,
                self.change_by_area.iter().map(|(name, cells)| (name.clone(), cells.to_vec())).collect(),
            ),
            Table::of_counts(
                ("change_by_service", "要介護度の変化とサービスの種類（過去1年の認定、延べ）", "サービスの種類"),
                &CHANGES,
                self.change_by_service.iter().map(|(name, cells)| (name.clone(), cells.to_vec())).collect(),
            ),
            self.change_of_level.table(
                ("change_of_level", "前回と今回の要介護度（過去1年の認定）", "前回"),
                CareLevel::ALL.map(CareLevel::name_ja),
                CareLevel::ALL.map(CareLevel::name_ja),
            ),
            self.copayment.table(("copayment", "負担割合の変更", &before), RATES, RATES),
        ]
    }
}

const LEVELS: [CareLevel; 7] = [
    CareLevel::Support1,
    CareLevel::Support2,
    CareLevel::Care1,
    CareLevel::Care2,
    CareLevel::Care3,
    CareLevel::Care4,
    CareLevel::Care5,
];

/// Contents of a kind as known at an instant, newest history number first, each with its key.
pub(crate) fn known<T: DeserializeOwned>(
    person: &BlockPerson,
    kind: Kind,
    at: Timestamp,
    unapplied: &[i64],
) -> Vec<(String, T)> {
    let of_kind = person.records.iter().filter(|record| record.header.kind == kind).cloned().collect();
    StoredRecord::as_known(of_kind, at, unapplied)
        .into_iter()
        .filter_map(|record| Some((record.header.natural_key, serde_json::from_slice(&record.payload).ok()?)))
        .collect()
}

/// 資格がある: acquired and not lost on this day.
pub(crate) fn is_insured(insured: &Insured, today: Date) -> bool {
    insured.acquired_on <= today && insured.lost.is_none_or(|(day, _)| today < day)
}

/// Certifications in the order of their decisions; of one day the card with the highest history number counts.
pub(crate) fn certifications(cards: &[(String, InsuranceCard)]) -> Vec<CertifiedLevel> {
    let mut all: Vec<(&str, &CertifiedLevel)> =
        cards.iter().filter_map(|(key, card)| Some((key.as_str(), card.certified.as_ref()?))).collect();
    all.sort_by_key(|(key, certified)| (certified.decided_on, *key));
    let mut one_a_day: Vec<CertifiedLevel> = Vec::new();
    for (_, certified) in all {
        match one_a_day.last_mut() {
            Some(last) if last.decided_on == certified.decided_on => *last = certified.clone(),
            _ => one_a_day.push(certified.clone()),
        }
    }
    one_a_day
}

/// The 要支援・要介護 certification in force on a day; the latest decision counts.
pub(crate) fn live_certification(cards: &[CertifiedLevel], today: Date) -> Option<&CertifiedLevel> {
    let in_force = |one: &&CertifiedLevel| one.valid.is_some_and(|valid| valid.contains(today));
    cards.iter().rev().find(in_force).filter(|one| one.level >= CareLevel::Support1)
}

/// Last day that is covered by any decision known.
pub(crate) fn covered_until(cards: &[CertifiedLevel]) -> Option<Date> {
    cards.iter().filter_map(|one| one.valid.and_then(|valid| valid.to())).max()
}

/// Whether the end of all that was decided is at most so many days away.
pub(crate) fn is_due(cards: &[CertifiedLevel], today: Date, days: i32) -> bool {
    covered_until(cards).is_some_and(|until| (0..=days).contains(&(until - today).get_days()))
}

/// The consent that follows from the acts known at an instant; none at all when an act is damaged. As in every decision,
/// what opens waits for its whole receipt and what closes does not.
pub(crate) fn consent_of(person: &BlockPerson, at: Timestamp, unapplied: &[i64]) -> ConsentState {
    if person.consent_damaged {
        return ConsentState::default();
    }
    let closes = |act: ConsentAct| matches!(act, ConsentAct::Withdrawn | ConsentAct::KindRefused(_));
    let known = person
        .consents
        .iter()
        .filter(|act| act.recorded_at <= at && (closes(act.record.act) || !unapplied.contains(&act.revision)));
    ConsentState::of(known.map(|act| (&act.record.act, act.record.acted_at)))
}

fn column_of(consent: &ConsentState) -> usize {
    match (consent.given_at, consent.withdrawn_at, consent.not_obtainable) {
        (Some(_), _, _) => 0,
        (None, Some(_), _) => 1,
        (None, None, true) => 2,
        (None, None, false) => 3,
    }
}

/// 負担割合 that applies on a day, tenths: of the newest card that says anything about the day.
pub(crate) fn rate_on(rates: &[(String, CopaymentRate)], day: Date) -> Option<u8> {
    let on_day = |rate: &CopaymentRate| rate.rows.iter().find(|row| row.period.contains(day)).map(|row| row.rate.get());
    rates.iter().find_map(|(_, rate)| on_day(rate))
}

/// 1 August of the round of burden cards: the coming one from June on, when its cards are sent, else the last one.
pub(crate) fn round_of(today: Date) -> Date {
    let year = if today.month() >= 6 { today.year() } else { today.year() - 1 };
    Date::new(year, 8, 1).unwrap_or(today)
}

fn age_band(insured: &Insured, day: Date) -> usize {
    let age = age_on(insured.identity.birth, day);
    usize::try_from((age - 60).max(0) / 5).unwrap_or_default().min(AGES.len() - 1)
}

/// 町字: the address before its first digit. Where a withheld person lives is not counted anywhere.
fn area_of(insured: &Insured) -> String {
    if insured.withheld {
        return "（不開示）".to_owned();
    }
    if insured.domicile_exception {
        return "（住所地特例）".to_owned();
    }
    let address = normalize_kanji(insured.identity.address.as_deref().unwrap_or_default());
    let area: String = address.chars().take_while(|c| !c.is_ascii_digit()).take(60).collect();
    if area.is_empty() { "（住所なし）".to_owned() } else { area }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut days = Days::default();
        assert_eq!((days.at(50), days.count()), (None, 0));
        for value in [28, 30, 31, 45] {
            days.add(value);
        }
        assert_eq!((days.at(50), days.at(90), days.within(30)), (Some(30), Some(45), 2));
        (0..96).for_each(|_| days.add(20));
        assert_eq!((days.at(50), days.at(90)), (Some(20), Some(20)));
    }

    #[test]
    fn the_round_of_burden_cards_turns_in_june() {
        assert_eq!(round_of(date(2027, 5, 31)), date(2026, 8, 1));
        assert_eq!(round_of(date(2027, 6, 1)), date(2027, 8, 1));
        assert_eq!(round_of(date(2027, 12, 1)), date(2027, 8, 1));
    }

    #[test]
    fn people_of_one_neighbourhood_are_counted_together_and_nobody_where_they_must_not_be_found() {
        let of = |address: Option<&str>, withheld, domicile_exception| {
            let insurer = kiban_domain::InsurerNumber::parse("999003").unwrap();
            let insured = kiban_domain::InsuredNumber::parse("0000000001").unwrap();
            area_of(&Insured {
                key: kiban_domain::PersonKey { insurer, insured },
                card_insurer: insurer,
                identity: kiban_domain::insured::Identity {
                    name: "架空 花子".into(),
                    kana: "カクウ ハナコ".into(),
                    birth: date(1941, 5, 3),
                    sex: kiban_domain::insured::Sex::Female,
                    postal_code: None,
                    address: address.map(str::to_owned),
                    telephone: None,
                },
                withheld,
                acquired_on: date(2006, 5, 2),
                lost: None,
                domicile_exception,
                acquired_because: None,
                domicile_facility: None,
            })
        };
        let here = of(Some("架空県見本市例示町1-2-3"), false, false);
        assert_eq!(here, "架空県見本市例示町");
        assert_eq!(
            of(Some("架空県見本市例示町４番５号 例示ハイツ６"), false, false),
            here,
            "full-width digits are digits"
        );
        assert_ne!(of(Some("架空県見本市見本町1-2-3"), false, false), here);
        assert_eq!(of(Some("架空県見本市例示町1-2-3"), true, false), "（不開示）");
        assert_eq!(of(Some("架空県見本市例示町1-2-3"), true, true), "（不開示）");
        assert_eq!(of(Some("架空県別荘市想定町4-5"), false, true), "（住所地特例）");
        assert_eq!(of(None, false, false), "（住所なし）");
        assert_eq!(of(Some("1-2-3"), false, false), "（住所なし）");
    }
}
