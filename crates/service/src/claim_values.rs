//! 請求に要る値: what an office copies from the cards into its software for a month's claims, in one call (P-175): number,
//! level and its periods, limit, burden rate, ceilings, planning office. It shows nothing that the cards would not, under
//! one audit entry for each card.

use crate::decision::Question;
use crate::eligibility::CARDS;
use crate::view::{KindView, open_this_way, with_companions};
use crate::{Caller, Context, Error, Platform, WhyKind};
use kiban_domain::dates::{Period, ServiceMonth};
use kiban_domain::insurance_card::{
    BenefitRestriction, CertifiedLevel, CopaymentPeriod, CopaymentRate, CostCeiling, PlanningOffice, ServiceLimit,
};
use kiban_domain::{Date, Kind, OfficeNumber, Timestamp};
use kiban_store::StoredRecord;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The values of one person for one month.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClaimValues {
    /// Month, `YYYYMM`.
    pub month: ServiceMonth,
    /// Who it is, as on the card page; only with the 被保険者証.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<Value>,
    /// The month in parts, in each of which all values are the same; most months have one.
    pub parts: Vec<ClaimPart>,
    /// The cards the caller would be entitled to, with what is missing.
    pub hidden: Vec<WhyKind>,
}

/// A run of days with the same values. What is absent is not registered for these days, or may not be seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClaimPart {
    /// First day.
    pub from: Date,
    /// Last day.
    pub to: Date,
    /// The values.
    #[serde(flatten)]
    pub values: DayValues,
}

/// What holds on a day.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DayValues {
    /// 要介護状態区分コード
    pub level: Option<&'static str>,
    /// 要介護状態区分
    pub level_name: Option<&'static str>,
    /// 認定年月日
    pub decided_on: Option<Date>,
    /// 認定有効期間の開始日
    pub certified_from: Option<Date>,
    /// 認定有効期間の終了日
    pub certified_to: Option<Date>,
    /// 区分支給限度基準額, units a month.
    pub limit_units: Option<u32>,
    /// First day of its period.
    pub limit_from: Option<Date>,
    /// Last day of its period.
    pub limit_to: Option<Date>,
    /// 利用者負担の割合, tenths.
    pub copayment_tenths: Option<u8>,
    /// First day of its period.
    pub copayment_from: Option<Date>,
    /// Last day of its period.
    pub copayment_to: Option<Date>,
    /// 給付制限, in the words of the card.
    pub restriction: Option<String>,
    /// 給付率 in percent while it lasts.
    pub benefit_percent: Option<u8>,
    /// 利用者負担段階: `1`, `2`, `3-1`, `3-2`.
    pub income_stage: Option<&'static str>,
    /// First day of the 負担限度額認定証.
    pub ceiling_from: Option<Date>,
    /// Its last day.
    pub ceiling_to: Option<Date>,
    /// 食費の負担限度額（施設）, yen a day.
    pub meals_facility: Option<u32>,
    /// 食費の負担限度額（短期入所）, yen a day.
    pub meals_short_stay: Option<u32>,
    /// ユニット型個室, yen a day.
    pub room_unit_private: Option<u32>,
    /// ユニット型個室的多床室, yen a day.
    pub room_unit_semi_private: Option<u32>,
    /// 従来型個室（特養等）, yen a day.
    pub room_private_welfare: Option<u32>,
    /// 従来型個室（老健・医療院等）, yen a day.
    pub room_private_health: Option<u32>,
    /// 多床室, yen a day.
    pub room_shared: Option<u32>,
    /// 居宅介護支援事業所番号
    pub planning_office: Option<OfficeNumber>,
    /// 居宅介護支援事業所の名称
    pub planning_office_name: Option<String>,
    /// 届出年月日
    pub planning_office_filed_on: Option<Date>,
    /// 保険給付率 in percent: what the burden rate leaves, or that of a 給付制限 while it lasts. None where a restriction has no
    /// rate (償還払い) and where the burden rate is not known.
    pub insurance_percent: Option<u8>,
    /// 居宅サービス計画作成区分: `1` by 居宅介護支援, `3` by 介護予防支援 (要支援 and 事業対象者). None without a 届出.
    pub planning_kind: Option<&'static str>,
    /// 種類支給限度基準額, units a month by サービス種類.
    pub service_limits: Vec<ServiceLimit>,
}

/// What a shown 被保険者証 says; lists that would tell where a 不開示 person is are not there.
#[derive(Deserialize)]
struct ShownCard {
    certified: Option<CertifiedLevel>,
    #[serde(default)]
    restrictions: Vec<BenefitRestriction>,
    #[serde(default)]
    planning_offices: Vec<PlanningOffice>,
}

/// The cards as they are shown, newest first.
struct Cards {
    cards: Vec<ShownCard>,
    rates: Vec<CopaymentRate>,
    ceilings: Vec<CostCeiling>,
}

impl Platform {
    /// The values of a person for a month; of the present one when none is named.
    pub async fn claim_values<E: From<Error>>(
        &self,
        caller: &Caller,
        handle: &str,
        month: Result<Option<ServiceMonth>, E>,
        context: &Context,
    ) -> Result<ClaimValues, E> {
        let person = self.person_of(caller, handle).await?;
        let asked = open_this_way(caller, &CARDS, self.table_at(context.now)?)?;
        let (case, unopened) = self.case_with(caller, person, (&with_companions(&asked), true), context).await?;
        if !asked.iter().any(|kind| case.decide(Question::read(*kind)).is_allowed()) {
            return Err(self.refuse(caller, &case, Question::read(Kind::A3a), "claim_values", context).await?.into());
        }
        let month = month?.unwrap_or_else(|| ServiceMonth::of(context.today()));
        let page = self.cards_of(caller, (&case, &unopened), &asked, "claim_values", context).await?;
        let parts = parts(month, &Cards::of(&page.kinds));
        Ok(ClaimValues { month, person: page.person, parts, hidden: page.hidden })
    }
}

/// What holds on a day by records of the three cards, as known at an instant; for the insurer's own papers, which show all of it.
pub(crate) fn values_on(day: Date, records: Vec<StoredRecord>, (at, unapplied): (Timestamp, &[i64])) -> DayValues {
    let of = |kind: Kind| records.iter().filter(move |record| record.header.kind == kind).cloned().collect();
    let cards = Cards {
        cards: contents(StoredRecord::as_known(of(Kind::A3a), at, unapplied)),
        rates: contents(StoredRecord::as_known(of(Kind::A3b), at, unapplied)),
        ceilings: contents(StoredRecord::as_known(of(Kind::A3c), at, unapplied)),
    };
    cards.on(day)
}

fn contents<T: serde::de::DeserializeOwned>(records: Vec<StoredRecord>) -> Vec<T> {
    records.iter().filter_map(|record| serde_json::from_slice(&record.payload).ok()).collect()
}

impl Cards {
    fn of(kinds: &[KindView]) -> Self {
        Self { cards: shown(kinds, Kind::A3a), rates: shown(kinds, Kind::A3b), ceilings: shown(kinds, Kind::A3c) }
    }

    fn on(&self, day: Date) -> DayValues {
        let mut values = DayValues::default();
        self.level_on(day, &mut values);
        self.costs_on(day, &mut values);
        let newest = self.cards.first();
        let restriction = newest.and_then(|card| card.restrictions.iter().find(|one| one.period.contains(day)));
        values.restriction = restriction.map(|one| one.content.clone());
        values.benefit_percent = restriction.and_then(|one| one.benefit_percent);
        values.insurance_percent = match restriction {
            Some(one) => one.benefit_percent,
            None => values.copayment_tenths.map(|tenths| 100 - 10 * tenths),
        };
        let filed = newest.into_iter().flat_map(|card| &card.planning_offices).filter(|office| office.filed_on <= day);
        if let Some(office) = filed.max_by_key(|office| office.filed_on) {
            values.planning_office = Some(office.office);
            values.planning_office_name = Some(office.name.clone());
            values.planning_office_filed_on = Some(office.filed_on);
            values.planning_kind = values.level.map(|code| if matches!(code, "06" | "12" | "13") { "3" } else { "1" });
        }
        values
    }

    /// The level certified last of those in force.
    fn level_on(&self, day: Date, values: &mut DayValues) {
        let certified = self.cards.iter().filter_map(|card| card.certified.as_ref());
        let in_force = certified.filter(|one| one.valid.is_none_or(|valid| valid.contains(day)));
        // Of one day the first, which is the newest.
        let Some(level) = in_force.rev().max_by_key(|one| one.decided_on) else { return };
        values.level = Some(level.level.code());
        values.level_name = Some(level.level.name_ja());
        values.decided_on = Some(level.decided_on);
        (values.certified_from, values.certified_to) = ends(level.valid);
        if level.limit_period.is_none_or(|period| period.contains(day)) {
            values.limit_units = level.limit_units;
            (values.limit_from, values.limit_to) = ends(level.limit_period);
            values.service_limits.clone_from(&level.service_limits);
        }
    }

    fn costs_on(&self, day: Date, values: &mut DayValues) {
        let mut rows = self.rates.iter().flat_map(|rate| &rate.rows);
        if let Some(CopaymentPeriod { rate, period }) = rows.find(|row| row.period.contains(day)) {
            values.copayment_tenths = Some(rate.get());
            (values.copayment_from, values.copayment_to) = ends(Some(*period));
        }
        let Some(ceiling) = self.ceilings.iter().find(|ceiling| ceiling.period.contains(day)) else { return };
        values.income_stage = Some(ceiling.stage.code());
        (values.ceiling_from, values.ceiling_to) = ends(Some(ceiling.period));
        values.meals_facility = Some(ceiling.meals_facility);
        values.meals_short_stay = Some(ceiling.meals_short_stay);
        values.room_unit_private = Some(ceiling.rooms.unit_private);
        values.room_unit_semi_private = Some(ceiling.rooms.unit_semi_private);
        values.room_private_welfare = Some(ceiling.rooms.private_welfare);
        values.room_private_health = Some(ceiling.rooms.private_health);
        values.room_shared = Some(ceiling.rooms.shared);
    }
}

fn shown<T: serde::de::DeserializeOwned>(kinds: &[KindView], kind: Kind) -> Vec<T> {
    let documents = kinds.iter().filter(|view| view.kind == kind).flat_map(|view| &view.documents);
    documents.filter_map(|document| serde_json::from_value(document.content.clone()).ok()).collect()
}

fn ends(period: Option<Period>) -> (Option<Date>, Option<Date>) {
    (period.map(|period| period.from()), period.and_then(|period| period.to()))
}

/// The days of the month, those with the same values together.
fn parts(month: ServiceMonth, cards: &Cards) -> Vec<ClaimPart> {
    let mut parts: Vec<ClaimPart> = Vec::new();
    let days = month.first_day().series(jiff::Span::new().days(1));
    for day in days.take_while(|day| *day <= month.last_day()) {
        let values = cards.on(day);
        match parts.last_mut().filter(|part| part.values == values) {
            Some(part) => part.to = day,
            None => parts.push(ClaimPart { from: day, to: day, values }),
        }
    }
    parts
}

/// Names of the columns of [`ClaimValues::rows`], for programs and for people.
/// Columns that came later stand at the end.
const COLUMNS: [(&str, &str); 40] = [
    ("month", "対象月"),
    ("from", "期間の開始日"),
    ("to", "期間の終了日"),
    ("insurer_number", "保険者番号"),
    ("insured_number", "被保険者番号"),
    ("name", "氏名"),
    ("kana", "氏名カナ"),
    ("birth", "生年月日"),
    ("sex", "性別"),
    ("level", "要介護状態区分コード"),
    ("level_name", "要介護状態区分"),
    ("decided_on", "認定年月日"),
    ("certified_from", "認定有効期間の開始日"),
    ("certified_to", "認定有効期間の終了日"),
    ("limit_units", "区分支給限度基準額（単位）"),
    ("limit_from", "限度額の適用開始日"),
    ("limit_to", "限度額の適用終了日"),
    ("copayment_tenths", "負担割合（割）"),
    ("copayment_from", "負担割合の適用開始日"),
    ("copayment_to", "負担割合の適用終了日"),
    ("restriction", "給付制限"),
    ("benefit_percent", "給付率（％）"),
    ("income_stage", "利用者負担段階"),
    ("ceiling_from", "負担限度額の適用開始日"),
    ("ceiling_to", "負担限度額の有効期限"),
    ("meals_facility", "食費（施設）"),
    ("meals_short_stay", "食費（短期入所）"),
    ("room_unit_private", "ユニット型個室"),
    ("room_unit_semi_private", "ユニット型個室的多床室"),
    ("room_private_welfare", "従来型個室（特養等）"),
    ("room_private_health", "従来型個室（老健・医療院等）"),
    ("room_shared", "多床室"),
    ("planning_office", "居宅介護支援事業所番号"),
    ("planning_office_name", "居宅介護支援事業所の名称"),
    ("planning_office_filed_on", "届出年月日"),
    ("domicile_exception", "住所地特例"),
    ("insurance_percent", "保険給付率（％）"),
    ("planning_kind", "居宅サービス計画作成区分"),
    ("service_limits", "種類支給限度基準額（種類=単位）"),
    ("domicile_facility_insurer", "施設所在保険者番号"),
];

impl ClaimValues {
    /// Names of the columns: those of the JSON, or Japanese ones for people.
    pub fn columns(for_people: bool) -> [&'static str; 40] {
        COLUMNS.map(|(name, for_them)| if for_people { for_them } else { name })
    }

    /// One row for each part, cells in the order of the columns, empty where there is no value.
    pub fn rows(&self) -> Vec<Vec<String>> {
        self.parts.iter().map(|part| self.row(part)).collect()
    }

    fn row(&self, part: &ClaimPart) -> Vec<String> {
        let limits = part.values.service_limits.iter().map(|limit| format!("{}={}", limit.service, limit.units));
        let limits = limits.collect::<Vec<_>>().join(";");
        let part = serde_json::to_value(part).unwrap_or_default();
        let person = self.person.clone().unwrap_or_default();
        let cell = |(name, _): (&str, &str)| match (name, &part[name], &person[name]) {
            ("month", ..) => self.month.to_string(),
            ("service_limits", ..) => limits.clone(),
            ("domicile_facility_insurer", ..) => {
                person["domicile_facility"]["insurer"].as_str().unwrap_or_default().to_owned()
            }
            (_, Value::String(text), _) | (_, Value::Null, Value::String(text)) => text.clone(),
            (_, Value::Null, Value::Null) => String::new(),
            (_, Value::Null, value) | (_, value, _) => value.to_string(),
        };
        COLUMNS.into_iter().map(cell).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiban_domain::certification::CareLevel;
    use kiban_domain::insurance_card::Tenths;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn certified(level: CareLevel, decided_on: &str, from: &str, to: &str) -> ShownCard {
        let valid = Period::new(day(from), Some(day(to))).ok();
        let certified = CertifiedLevel {
            level,
            decided_on: day(decided_on),
            valid,
            limit_units: Some(19_705),
            limit_period: valid,
            service_limits: vec![],
            board_opinion: None,
        };
        ShownCard { certified: Some(certified), restrictions: vec![], planning_offices: vec![] }
    }

    fn rate(tenths: u8, from: &str, to: &str) -> CopaymentRate {
        let period = Period::new(day(from), Some(day(to))).unwrap();
        let rows = vec![CopaymentPeriod { rate: Tenths::new(tenths).unwrap(), period }];
        CopaymentRate { issued_on: day(from), rows }
    }

    #[test]
    fn a_month_in_which_the_level_changes_has_a_part_for_each_level() {
        let cards = Cards {
            cards: vec![
                certified(CareLevel::Care3, "2026-11-20", "2026-11-11", "2027-10-31"),
                certified(CareLevel::Care2, "2025-12-15", "2026-01-01", "2026-12-31"),
            ],
            rates: vec![rate(2, "2026-08-01", "2027-07-31")],
            ceilings: vec![],
        };
        let parts = parts(ServiceMonth::parse("202611").unwrap(), &cards);
        let shown: Vec<_> = parts.iter().map(|p| (p.from, p.to, p.values.level, p.values.copayment_tenths)).collect();
        assert_eq!(
            shown,
            [
                (day("2026-11-01"), day("2026-11-10"), Some("22"), Some(2)),
                (day("2026-11-11"), day("2026-11-30"), Some("23"), Some(2)),
            ]
        );
        assert_eq!(parts[1].values.certified_from, Some(day("2026-11-11")));
    }

    #[test]
    fn a_rate_that_ends_within_the_month_leaves_days_without_one() {
        let cards = Cards { cards: vec![], rates: vec![rate(1, "2025-08-01", "2026-07-31")], ceilings: vec![] };
        let parts = parts(ServiceMonth::parse("202608").unwrap(), &cards);
        assert_eq!(parts.len(), 1);
        assert_eq!((parts[0].values.copayment_tenths, parts[0].values.level), (None, None));
    }
}
