//! Rows of the municipal package ⇄ domain values, with the rules between the items of a row.

mod application;
mod opinion;
mod survey;
mod usage;

use super::{Change, Entry, MunicipalKind, MunicipalValue};
use crate::layout::{Fields, FileLayout, Record, Row};
use jiff::Timestamp;
use kiban_domain::certification::{ApplicationKind, CareLevel, CertificationProgress, CertificationResult, Closing};
use kiban_domain::consent::{ConsentAct, ConsentRecord, Declarant, Evidence, EvidenceKind, IdentityProof};
use kiban_domain::dates::{Period, age_on, instant_in_japan};
use kiban_domain::insurance_card::{
    BenefitRestriction, CardIssue, CertifiedLevel, CopaymentPeriod, CopaymentRate, CostCeiling, FacilityStay,
    IncomeStage, InsuranceCard, PlanningOffice, RestrictionKind, RoomCeilings, ServiceLimit, Tenths,
};
use kiban_domain::insured::{
    AcquisitionReason, DomicileFacility, Identity, Insured, LinkReason, LossReason, NumberLink, Sex,
};
use kiban_domain::office::StaffId;
use kiban_domain::{Date, InsuredNumber, InsurerNumber, Kind, Organization, PersonKey};

/// A rule between items that a row breaks, told at one item.
#[derive(Debug)]
pub struct RowFault {
    pub key: &'static str,
    pub rule: &'static str,
    pub text: String,
}

/// Instant of a day and `HHMMSS` in Japan.
pub fn instant(day: Date, clock: &str) -> Option<Timestamp> {
    let part = |at: usize| clock.get(at..at + 2)?.parse::<i8>().ok();
    let time = jiff::civil::Time::new(part(0)?, part(2)?, part(4)?, 0).ok()?;
    instant_in_japan(day.to_datetime(time))
}

/// First day of 介護保険. Everybody it insures was 40 on their first day at least, so that nothing can be before a birth that is
/// not before this day.
const INSURANCE_BEGINS: Date = jiff::civil::date(2000, 4, 1);
/// First day on which a 要介護認定 could be applied for.
const APPLICATIONS_BEGIN: Date = jiff::civil::date(1999, 10, 1);

fn is_disordered(earlier: Option<Date>, later: Option<Date>) -> bool {
    matches!((earlier, later), (Some(earlier), Some(later)) if later < earlier)
}

/// Builds the value of a row whose items are sound, and notes which rules between them it breaks.
pub struct Builder<'a> {
    layout: &'static FileLayout,
    f: Fields<'a>,
    pub faults: Vec<RowFault>,
    /// What is possible but worth a second look; told where the row is taken.
    pub notes: Vec<RowFault>,
}

/// Key, 履歴番号, 異動区分 and value.
type Built = (PersonKey, u32, Change, MunicipalValue);

impl<'a> Builder<'a> {
    pub fn new(layout: &'static FileLayout, row: &'a Row) -> Self {
        Self { layout, f: Fields::of(layout, row), faults: Vec::new(), notes: Vec::new() }
    }

    /// None only together with a fault.
    pub fn row(&mut self, kind: MunicipalKind) -> Option<Built> {
        let key = self.f.person()?;
        let history = self.f.number("history")?;
        let change = self.f.code("change", Change::from_code)?;
        if history == 0 {
            self.fault("history", "history", "履歴番号は 1 から始めてください");
        }
        let value = match kind {
            MunicipalKind::Insured => {
                if change == Change::Deleted {
                    let text = "被保険者そのものは削除できません。資格喪失日と喪失事由を入れた行（異動区分 2）を送ってください";
                    self.fault("change", "delete_person", text);
                }
                MunicipalValue::Insured(Box::new(self.insured(key)?))
            }
            MunicipalKind::InsuranceCard => MunicipalValue::InsuranceCard(Box::new(self.card()?)),
            MunicipalKind::CopaymentRate => MunicipalValue::CopaymentRate(self.copayment()?),
            MunicipalKind::CostCeiling => MunicipalValue::CostCeiling(self.ceiling()?),
            MunicipalKind::Progress => MunicipalValue::Progress(Box::new(self.progress()?)),
            MunicipalKind::Application => MunicipalValue::Application(Box::new(self.application()?)),
            MunicipalKind::Survey => MunicipalValue::Survey(Box::new(self.survey()?)),
            MunicipalKind::Opinion => MunicipalValue::Opinion(Box::new(self.opinion(key)?)),
            MunicipalKind::HomeModification => MunicipalValue::HomeModification(Box::new(self.home_modification()?)),
            MunicipalKind::EquipmentPurchase => MunicipalValue::EquipmentPurchase(Box::new(self.equipment_purchase()?)),
            MunicipalKind::Link => MunicipalValue::Link(self.link(key)?),
            MunicipalKind::Consent => {
                if change != Change::New {
                    let text = "同意の記録は訂正・削除できません。撤回は行為区分 2 の新しい行で送ってください";
                    self.fault("change", "change", text);
                }
                MunicipalValue::Consent(Box::new(self.consent(key)?))
            }
        };
        Some((key, history, change, value))
    }

    fn fault(&mut self, key: &str, rule: &'static str, text: impl Into<String>) {
        let key = self.layout.items.iter().find(|item| item.key == key).map_or("", |item| item.key);
        self.faults.push(RowFault { key, rule, text: text.into() });
    }

    /// Name of an item, for messages.
    fn name(&self, key: &str) -> &'static str {
        self.layout.column(key).1
    }

    /// A value that must be there because `because` is.
    fn needed<T>(&mut self, value: Option<T>, key: &str, because: &str) -> Option<T> {
        if value.is_none() {
            let text = format!("「{}」があるときは必ず入れてください", self.name(because));
            self.fault(key, "required", text);
        }
        value
    }

    /// A period from the next two items.
    fn period(&mut self, from: &str, to: &str) -> Option<Period> {
        let (start, end) = (self.f.date(from), self.f.date(to));
        match (start, end) {
            (Some(start), end) => match Period::new(start, end) {
                Ok(period) => Some(period),
                Err(_) => {
                    let text = format!("「{}」より前の日付です。期間を確認してください", self.name(from));
                    self.fault(to, "date_order", text);
                    None
                }
            },
            (None, Some(_)) => self.needed(None, from, to),
            (None, None) => None,
        }
    }

    /// Two days that cannot stand the other way round, told at the later one; of several such faults there the first.
    fn order(&mut self, earlier: Option<Date>, earlier_key: &str, later: Option<Date>, later_key: &str) {
        if is_disordered(earlier, later) && !self.is_faulty(later_key) {
            let text = format!("「{}」より前の日付です。日付を確認してください", self.name(earlier_key));
            self.fault(later_key, "date_order", text);
        }
    }

    /// Two days that seldom stand the other way round: the row is taken, somebody should look.
    fn doubt(&mut self, earlier: Option<Date>, earlier_key: &str, later: Option<Date>, later_key: &str) {
        if is_disordered(earlier, later) {
            let text = format!("「{}」より前の日付です。間違いがないか確認してください", self.name(earlier_key));
            self.note(later_key, "date_order", text);
        }
    }

    /// The same told at the earlier one, where that is the one to look at.
    fn doubt_after(&mut self, earlier: Option<Date>, earlier_key: &str, later: Option<Date>, later_key: &str) {
        if is_disordered(earlier, later) {
            let text = format!("「{}」より後の日付です。間違いがないか確認してください", self.name(later_key));
            self.note(earlier_key, "date_order", text);
        }
    }

    /// Nothing of the insurance is older than the insurance; and so nothing is older than anybody whom it insures.
    fn since(&mut self, first: Date, on: Date, key: &str) {
        if on < first {
            let text = format!("介護保険が始まる前（{first} より前）の日付です。日付を確認してください");
            self.fault(key, "date_order", text);
        }
    }

    fn is_faulty(&self, key: &str) -> bool {
        self.faults.iter().any(|fault| fault.key == key)
    }

    fn note(&mut self, key: &str, rule: &'static str, text: String) {
        let key = self.layout.items.iter().find(|item| item.key == key).map_or("", |item| item.key);
        self.notes.push(RowFault { key, rule, text });
    }

    /// 氏名 to 電話番号, the next seven items.
    fn identity(&mut self) -> Option<Identity> {
        Some(Identity {
            name: self.f.text("name"),
            kana: self.f.text("kana"),
            birth: self.f.date("birth")?,
            sex: self.f.code("sex", Sex::from_code)?,
            postal_code: self.f.opt_text("postal_code"),
            address: self.f.opt_text("address"),
            telephone: self.f.opt_text("telephone"),
        })
    }

    /// Nobody is insured before 40, and nobody is known to have come into a register after 110.
    fn plausible_age(&mut self, birth: Date, acquired_on: Date) {
        let age = age_on(birth, acquired_on);
        if acquired_on >= birth && !(40..=110).contains(&age) {
            let text = format!("生年月日から数えると資格取得日に {age} 歳です。どちらの日付も確認してください");
            self.note("acquired_on", "age", text);
        }
    }

    fn insured(&mut self, key: PersonKey) -> Option<Insured> {
        let card_insurer = InsurerNumber::parse(self.f.str("card_insurer")).ok()?;
        let identity = self.identity()?;
        let birth = identity.birth;
        let withheld = self.f.flag("withheld");
        let acquired_on = self.f.date("acquired_on")?;
        let lost_on = self.f.date("lost_on");
        let reason = self.f.code("loss_reason", loss_reason);
        let domicile_exception = self.f.flag("domicile_exception");
        let acquired_because = self.f.code("acquired_because", AcquisitionReason::from_code);
        let domicile_facility = self.domicile_facility(domicile_exception);
        let lost = match (lost_on, reason) {
            (Some(day), Some(reason)) => Some((day, reason)),
            (Some(_), None) => self.needed(None, "loss_reason", "lost_on"),
            (None, Some(_)) => self.needed(None, "lost_on", "loss_reason"),
            (None, None) => None,
        };
        self.order(Some(birth), "birth", Some(acquired_on), "acquired_on");
        self.plausible_age(birth, acquired_on);
        self.order(Some(acquired_on), "acquired_on", lost_on, "lost_on");
        Some(Insured {
            key,
            card_insurer,
            identity,
            withheld,
            acquired_on,
            lost,
            domicile_exception,
            acquired_because,
            domicile_facility,
        })
    }

    fn domicile_facility(&mut self, is_exception: bool) -> Option<DomicileFacility> {
        let name = self.f.opt_text("domicile_facility");
        let insurer = InsurerNumber::parse(self.f.str("domicile_insurer")).ok();
        let key = if name.is_some() { "domicile_facility" } else { "domicile_insurer" };
        if !is_exception && (name.is_some() || insurer.is_some()) {
            self.fault(key, "conflict", "住所地特例が 0（該当しない）のときは空にしてください");
        }
        (name.is_some() || insurer.is_some()).then_some(DomicileFacility { name, insurer })
    }

    fn card(&mut self) -> Option<InsuranceCard> {
        let state = self.f.str("issue");
        let issued_on = self.f.date("issued_on");
        let issue = match (state, issued_on) {
            ("0", None) => CardIssue::NeverIssued,
            ("0", Some(_)) => {
                self.fault("issued_on", "conflict", "交付状況が 0（未交付）のときは空にしてください");
                CardIssue::NeverIssued
            }
            (_, None) => {
                self.fault("issued_on", "required", "交付状況が 1・2 のときは必ず入れてください");
                CardIssue::NeverIssued
            }
            ("2", Some(day)) => CardIssue::Lost(day),
            (_, Some(day)) => CardIssue::Issued(day),
        };
        let certified = self.certified();
        let mut card = InsuranceCard {
            issue,
            certified,
            restrictions: Vec::new(),
            planning_offices: Vec::new(),
            facilities: Vec::new(),
        };
        let mut restricted = [false; 3];
        for (n, is_there) in (1..).zip(&mut restricted) {
            let restriction = self.restriction(n);
            *is_there = restriction.is_some();
            card.restrictions.extend(restriction);
        }
        for n in 1..=3 {
            card.planning_offices.extend(self.planner(n));
        }
        for n in 1..=2 {
            card.facilities.extend(self.facility(n));
        }
        self.restriction_kinds(&mut card.restrictions, restricted);
        Some(card)
    }

    fn certified(&mut self) -> Option<CertifiedLevel> {
        let level = self.f.code("level", CareLevel::from_code);
        let decided_on = self.f.date("decided_on");
        let valid = self.period("valid_from", "valid_to");
        let limit_units = self.f.number("limit_units");
        let limit_period = self.period("limit_from", "limit_to");
        let mut service_limits = Vec::new();
        for n in 1..=9 {
            let service_key = self.f.key(0, format_args!("limit{n}_service"));
            let units_key = self.f.key(1, format_args!("limit{n}_units"));
            let service = self.f.service(service_key);
            let units = self.f.number(units_key);
            match (service, units) {
                (Some(service), Some(units)) => service_limits.push(ServiceLimit { service, units }),
                (Some(_), None) => drop(self.needed::<u32>(None, units_key, service_key)),
                (None, Some(_)) => drop(self.needed::<u32>(None, service_key, units_key)),
                (None, None) => {}
            }
        }
        let board_opinion = self.f.opt_text("board_opinion");
        let Some(level) = level else {
            let anything = decided_on.is_some()
                || valid.is_some()
                || limit_units.is_some()
                || limit_period.is_some()
                || board_opinion.is_some()
                || !service_limits.is_empty();
            if anything {
                self.fault("level", "required", "認定の項目があるときは必ず入れてください");
            }
            return None;
        };
        let decided_on = self.needed(decided_on, "decided_on", "level")?;
        self.doubt(Some(decided_on), "decided_on", valid.and_then(|valid| valid.to()), "valid_to");
        Some(CertifiedLevel { level, decided_on, valid, limit_units, limit_period, service_limits, board_opinion })
    }

    fn restriction(&mut self, n: usize) -> Option<BenefitRestriction> {
        let key = |ahead, part: &str| self.f.key(ahead, format_args!("restriction{n}_{part}"));
        let (content_key, from, to, percent_key) = (key(0, "content"), key(1, "from"), key(2, "to"), key(3, "percent"));
        let content = self.f.opt_text(content_key);
        let period = self.period(from, to);
        let percent: Option<u32> = self.f.number(percent_key);
        if percent.is_some_and(|percent| percent > 100) {
            self.fault(percent_key, "range", "0 から 100 の百分率を入れてください");
        }
        let benefit_percent = percent.and_then(|percent| u8::try_from(percent).ok());
        if content.is_none() && period.is_none() && benefit_percent.is_none() {
            return None;
        }
        let content = self.needed(content, content_key, from);
        let period =
            if period.is_none() && self.faults.is_empty() { self.needed(None, from, content_key) } else { period };
        Some(BenefitRestriction { content: content?, period: period?, benefit_percent, kind: None })
    }

    /// The kinds of the restrictions that are there, of three.
    fn restriction_kinds(&mut self, restrictions: &mut [BenefitRestriction], is_there: [bool; 3]) {
        let mut restrictions = restrictions.iter_mut();
        for (n, is_there) in (1..).zip(is_there) {
            let key = self.f.key(0, format_args!("restriction{n}_kind"));
            let kind = self.f.code(key, RestrictionKind::from_code);
            match if is_there { restrictions.next() } else { None } {
                Some(restriction) => restriction.kind = kind,
                None if kind.is_some() && self.faults.is_empty() => {
                    self.fault(key, "conflict", format!("給付制限{n}内容が空のときは空にしてください"));
                }
                None => {}
            }
        }
    }

    fn planner(&mut self, n: usize) -> Option<PlanningOffice> {
        let key = |ahead, part: &str| self.f.key(ahead, format_args!("planner{n}_{part}"));
        let (office_key, name_key, filed_key) = (key(0, "office"), key(1, "name"), key(2, "filed_on"));
        let office = self.f.office(office_key);
        let name = self.f.opt_text(name_key);
        let filed_on = self.f.date(filed_key);
        if office.is_none() && name.is_none() && filed_on.is_none() {
            return None;
        }
        let office = self.needed(office, office_key, name_key);
        let name = self.needed(name, name_key, office_key);
        let filed_on = self.needed(filed_on, filed_key, office_key);
        Some(PlanningOffice { office: office?, name: name?, filed_on: filed_on? })
    }

    fn facility(&mut self, n: usize) -> Option<FacilityStay> {
        let key = |ahead, part: &str| self.f.key(ahead, format_args!("facility{n}_{part}"));
        let (kind_key, name_key, from, to) = (key(0, "kind"), key(1, "name"), key(2, "from"), key(3, "to"));
        let kind = self.f.opt_text(kind_key);
        let name = self.f.opt_text(name_key);
        let stay = self.period(from, to);
        if kind.is_none() && name.is_none() && stay.is_none() {
            return None;
        }
        let kind = self.needed(kind, kind_key, name_key);
        let name = self.needed(name, name_key, kind_key);
        let stay = if stay.is_none() && self.faults.is_empty() { self.needed(None, from, name_key) } else { stay };
        Some(FacilityStay { kind: kind?, name: name?, stay: stay? })
    }

    fn copayment(&mut self) -> Option<CopaymentRate> {
        let issued_on = self.f.date("issued_on")?;
        let mut rows = Vec::new();
        for n in 1..=2 {
            let key = |ahead, part: &str| self.f.key(ahead, format_args!("rate{n}{part}"));
            let (rate_key, from, to) = (key(0, ""), key(1, "_from"), key(2, "_to"));
            let rate = self.f.code(rate_key, |code| code.parse().ok().and_then(Tenths::new));
            let period = self.period(from, to);
            match (rate, period) {
                (Some(rate), Some(period)) => rows.push(CopaymentPeriod { rate, period }),
                (Some(_), None) if self.faults.is_empty() => drop(self.needed::<u8>(None, from, rate_key)),
                (None, Some(_)) => drop(self.needed::<u8>(None, rate_key, from)),
                _ => {}
            }
        }
        if let [first, second] = &rows[..]
            && first.period.to().is_none_or(|end| second.period.from() <= end)
        {
            self.fault("rate2_from", "date_order", "適用期間1と重なっています。期間を確認してください");
        }
        Some(CopaymentRate { issued_on, rows })
    }

    fn ceiling(&mut self) -> Option<CostCeiling> {
        let issued_on = self.f.date("issued_on")?;
        let period = self.period("valid_from", "valid_to");
        let stage = self.f.code("stage", IncomeStage::from_code)?;
        let meals_facility = self.f.number("meals_facility")?;
        let meals_short_stay = self.f.number("meals_short_stay")?;
        let rooms = RoomCeilings {
            unit_private: self.f.number("unit_private")?,
            unit_semi_private: self.f.number("unit_semi_private")?,
            private_welfare: self.f.number("private_welfare")?,
            private_health: self.f.number("private_health")?,
            shared: self.f.number("shared")?,
        };
        Some(CostCeiling { issued_on, period: period?, stage, meals_facility, meals_short_stay, rooms })
    }

    fn progress(&mut self) -> Option<CertificationProgress> {
        let mut progress =
            CertificationProgress::apply(self.f.date("applied_on")?, self.f.code("kind", ApplicationKind::from_code)?);
        progress.survey_requested_on = self.f.date("survey_requested_on");
        progress.survey_done_on = self.f.date("survey_done_on");
        progress.survey_received_on = self.f.date("survey_received_on");
        progress.opinion_requested_on = self.f.date("opinion_requested_on");
        progress.opinion_requested_from = self.f.office("opinion_requested_from");
        progress.opinion_received_on = self.f.date("opinion_received_on");
        progress.first_judged_on = self.f.date("first_judged_on");
        progress.board_planned_on = self.f.date("board_planned_on");
        progress.board_done_on = self.f.date("board_done_on");
        progress.delay_notified_on = self.f.date("delay_notified_on");
        progress.delay_reason = self.f.opt_text("delay_reason");
        progress.result = self.result();
        progress.closing = self.closing();
        progress.survey_planned_on = self.f.date("survey_planned_on");
        progress.survey_commissioned_to = self.f.office("survey_commissioned_to");
        progress.opinion_urged_on = self.f.date("opinion_urged_on");
        progress.board_number = self.f.opt_text("board_number");
        progress.papers_sent_on = self.f.date("papers_sent_on");
        progress.delay_decided_on = self.f.date("delay_decided_on");
        progress.delay_expected = self.period("delay_expected_from", "delay_expected_to");
        self.card_issued(&mut progress);
        if progress.result.is_some() && progress.closing.is_some() {
            self.fault("closing", "conflict", "結果が出た申請では空にしてください");
        }
        let closed_on = progress.closing.as_ref().map(|closing| match closing {
            Closing::Withdrawn(day) | Closing::Rejected(day) | Closing::Lapsed(day) => *day,
        });
        let applied_on = Some(progress.applied_on);
        self.since(APPLICATIONS_BEGIN, progress.applied_on, "applied_on");
        self.order(applied_on, "applied_on", closed_on, "closed_on");
        for text in progress.disorder() {
            let item = self
                .layout
                .items
                .iter()
                .find(|item| text.strip_prefix(item.name).is_some_and(|rest| rest.starts_with('が')));
            let key = item.map_or("applied_on", |item| item.key);
            if !self.is_faulty(key) {
                self.fault(key, "date_order", format!("{text}。日付を確認してください"));
            }
        }
        self.doubt(applied_on, "applied_on", progress.opinion_received_on, "opinion_received_on");
        let valid = progress.result.as_ref().and_then(|result| result.valid);
        // 職権 has no application, and 転入 holds from the day of the move.
        if !matches!(progress.kind, ApplicationKind::ExOfficio | ApplicationKind::Transfer) {
            self.doubt(applied_on, "applied_on", valid.map(|valid| valid.from()), "valid_from");
        }
        let decided_on = progress.result.as_ref().map(|result| result.decided_on);
        self.doubt(decided_on, "decided_on", valid.and_then(|valid| valid.to()), "valid_to");
        Some(progress)
    }

    fn card_issued(&mut self, progress: &mut CertificationProgress) {
        let issued_on = self.f.date("card_issued_on");
        match &mut progress.result {
            Some(result) => result.card_issued_on = issued_on,
            None if issued_on.is_some() => {
                self.fault("card_issued_on", "conflict", "結果が出ていない申請では空にしてください");
            }
            None => {}
        }
    }

    fn result(&mut self) -> Option<CertificationResult> {
        let level = self.f.code("level", CareLevel::from_code);
        let decided_on = self.f.date("decided_on");
        let valid = self.period("valid_from", "valid_to");
        let months = self.f.number("months");
        let board_opinion = self.f.opt_text("board_opinion");
        let reason = self.f.opt_text("reason");
        let notified_on = self.f.date("notified_on");
        let Some(level) = level else {
            let anything = decided_on.is_some()
                || valid.is_some()
                || months.is_some()
                || board_opinion.is_some()
                || reason.is_some()
                || notified_on.is_some();
            if anything {
                self.fault("level", "required", "認定日などの結果の項目があるときは必ず入れてください");
            }
            return None;
        };
        let decided_on = self.needed(decided_on, "decided_on", "level")?;
        Some(CertificationResult {
            level,
            decided_on,
            valid,
            months,
            board_opinion,
            reason,
            notified_on,
            card_issued_on: None,
        })
    }

    fn closing(&mut self) -> Option<Closing> {
        let code = self.f.str("closing");
        let day = self.f.date("closed_on");
        if code.is_empty() {
            return if day.is_some() { self.needed(None, "closing", "closed_on") } else { None };
        }
        let day = self.needed(day, "closed_on", "closing")?;
        Some(match code {
            "1" => Closing::Withdrawn(day),
            "2" => Closing::Rejected(day),
            _ => Closing::Lapsed(day),
        })
    }

    fn consent(&mut self, person: PersonKey) -> Option<ConsentRecord> {
        let act = self.f.str("act");
        let kind = self.f.code("kind", Kind::parse);
        let act = match (act, kind) {
            ("3" | "4", None) => {
                self.fault("kind", "required", "行為区分が 3・4 のときは必ず入れてください");
                ConsentAct::NotObtainable
            }
            ("3", Some(kind)) => ConsentAct::KindRefused(kind),
            ("4", Some(kind)) => ConsentAct::KindAllowed(kind),
            (_, Some(_)) => {
                self.fault("kind", "conflict", "行為区分が 3・4 でないときは空にしてください");
                ConsentAct::NotObtainable
            }
            ("1", None) => ConsentAct::Given,
            ("2", None) => ConsentAct::Withdrawn,
            (_, None) => ConsentAct::NotObtainable,
        };
        let day = self.f.date("acted_on")?;
        self.since(INSURANCE_BEGINS, day, "acted_on");
        let clock = self.f.str("acted_time");
        // P-071: without a time an opening act counts from the first second of the day, a closing one from the last.
        let clock = match act {
            _ if !clock.is_empty() => clock,
            ConsentAct::Withdrawn | ConsentAct::KindRefused(_) => "235959",
            _ => "000000",
        };
        let acted_at = instant(day, clock)?;
        let is_person = self.f.str("declarant") == "1";
        let relation = self.f.opt_text("relation");
        let declarant = if is_person {
            if relation.is_some() {
                self.fault("relation", "conflict", "申告者区分が 1（本人）のときは空にしてください");
            }
            Declarant::Person
        } else {
            Declarant::Representative { relation: self.needed(relation, "relation", "declarant")? }
        };
        Some(ConsentRecord {
            person,
            act,
            acted_at,
            declarant,
            proof: self.f.code("proof", proof)?,
            taken_by: Organization::parse(self.f.str("taken_by")).ok()?,
            staff: self.f.opt_text("staff").map(StaffId),
            form: self.f.text("form"),
            remark: self.f.opt_text("remark"),
            leaflet: self.f.opt_text("leaflet"),
            evidence: self.evidence(),
        })
    }

    fn evidence(&mut self) -> Option<Evidence> {
        let kind = self.f.code("evidence_kind", EvidenceKind::from_code);
        let reference = self.f.opt_text("evidence_reference");
        let sha256 = self.f.opt_text("evidence_sha256");
        let Some(kind) = kind else {
            if reference.is_some() || sha256.is_some() {
                self.fault("evidence_kind", "required", "証跡参照または証跡SHA-256があるときは必ず入れてください");
            }
            return None;
        };
        let reference = self.needed(reference, "evidence_reference", "evidence_kind")?;
        let evidence = Evidence { kind, reference, sha256 };
        if let Some(text) = evidence.problem() {
            self.fault("evidence_reference", "format", text);
        }
        Some(evidence)
    }
}

impl Builder<'_> {
    fn link(&mut self, person: PersonKey) -> Option<NumberLink> {
        let insurer = InsurerNumber::parse(self.f.str("before_insurer")).ok();
        let insured = InsuredNumber::parse(self.f.str("before_insured")).ok();
        let (insurer, insured) = (insurer?, insured?);
        let before = PersonKey { insurer, insured };
        let changed_on = self.f.date("changed_on")?;
        let reason = self.f.code("reason", LinkReason::from_code)?;
        self.since(INSURANCE_BEGINS, changed_on, "changed_on");
        if before == person {
            self.fault("before_insured", "conflict", "新しい番号と同じです。番号が変わる前の番号を入れてください");
        }
        Some(NumberLink { before, changed_on, reason })
    }
}

fn loss_reason(code: &str) -> Option<LossReason> {
    Some(match code {
        "1" => LossReason::MovedOut,
        "2" => LossReason::Died,
        "9" => LossReason::Other,
        _ => return None,
    })
}

fn proof(code: &str) -> Option<IdentityProof> {
    Some(match code {
        "1" => IdentityProof::IndividualNumberCard,
        "2" => IdentityProof::InsuranceCard,
        "3" => IdentityProof::ApplicationForm,
        "4" => IdentityProof::OtherDocument,
        _ => return None,
    })
}

/// A kind of record that can be written.
pub trait Writable {
    /// Its file.
    const KIND: MunicipalKind;
    /// Fills the items behind the four key items.
    fn fill(&self, record: &mut Record<'_>);
}

/// The row of an entry.
pub fn record<'l, T: Writable>(layout: &'l FileLayout, entry: &Entry<T>) -> Record<'l> {
    let mut r = Record::new(layout);
    r.put("insurer", entry.key.insurer)
        .put("insured", entry.key.insured)
        .put("history", entry.history)
        .put("change", entry.change.code());
    entry.value.fill(&mut r);
    r
}

fn put_period(r: &mut Record<'_>, from: &str, to: &str, period: Option<&Period>) {
    r.date(from, period.map(Period::from)).date(to, period.and_then(Period::to));
}

fn put_identity(r: &mut Record<'_>, identity: &Identity) {
    r.put("name", &identity.name)
        .put("kana", &identity.kana)
        .date("birth", identity.birth)
        .put("sex", identity.sex.code())
        .opt("postal_code", identity.postal_code.as_ref())
        .opt("address", identity.address.as_ref())
        .opt("telephone", identity.telephone.as_ref());
}

impl Writable for Insured {
    const KIND: MunicipalKind = MunicipalKind::Insured;

    fn fill(&self, r: &mut Record<'_>) {
        let reason = self.lost.map(|(_, reason)| match reason {
            LossReason::MovedOut => "1",
            LossReason::Died => "2",
            LossReason::Other => "9",
        });
        r.put("card_insurer", self.card_insurer);
        put_identity(r, &self.identity);
        r.flag("withheld", self.withheld)
            .date("acquired_on", self.acquired_on)
            .date("lost_on", self.lost.map(|(day, _)| day))
            .opt("loss_reason", reason)
            .flag("domicile_exception", self.domicile_exception)
            .opt("acquired_because", self.acquired_because.map(AcquisitionReason::code));
        let facility = self.domicile_facility.as_ref();
        r.opt("domicile_facility", facility.and_then(|facility| facility.name.as_ref()))
            .opt("domicile_insurer", facility.and_then(|facility| facility.insurer));
    }
}

impl Writable for InsuranceCard {
    const KIND: MunicipalKind = MunicipalKind::InsuranceCard;

    fn fill(&self, r: &mut Record<'_>) {
        let (state, day) = match self.issue {
            CardIssue::NeverIssued => ("0", None),
            CardIssue::Issued(day) => ("1", Some(day)),
            CardIssue::Lost(day) => ("2", Some(day)),
        };
        r.put("issue", state).date("issued_on", day);
        let c = self.certified.as_ref();
        r.opt("level", c.map(|c| c.level.code())).date("decided_on", c.map(|c| c.decided_on));
        put_period(r, "valid_from", "valid_to", c.and_then(|c| c.valid.as_ref()));
        r.opt("limit_units", c.and_then(|c| c.limit_units));
        put_period(r, "limit_from", "limit_to", c.and_then(|c| c.limit_period.as_ref()));
        for n in 1..=9 {
            let limit = c.and_then(|c| c.service_limits.get(n - 1));
            r.opt(&format!("limit{n}_service"), limit.map(|l| l.service));
            r.opt(&format!("limit{n}_units"), limit.map(|l| l.units));
        }
        r.opt("board_opinion", c.and_then(|c| c.board_opinion.as_ref()));
        for n in 1..=3 {
            let key = |part: &str| format!("restriction{n}_{part}");
            let one = self.restrictions.get(n - 1);
            r.opt(&key("content"), one.map(|one| &one.content));
            put_period(r, &key("from"), &key("to"), one.map(|one| &one.period));
            r.opt(&key("percent"), one.and_then(|one| one.benefit_percent));
        }
        for n in 1..=3 {
            let key = |part: &str| format!("planner{n}_{part}");
            let one = self.planning_offices.get(n - 1);
            r.opt(&key("office"), one.map(|one| one.office))
                .opt(&key("name"), one.map(|one| &one.name))
                .date(&key("filed_on"), one.map(|one| one.filed_on));
        }
        for n in 1..=2 {
            let key = |part: &str| format!("facility{n}_{part}");
            let one = self.facilities.get(n - 1);
            r.opt(&key("kind"), one.map(|one| &one.kind)).opt(&key("name"), one.map(|one| &one.name));
            put_period(r, &key("from"), &key("to"), one.map(|one| &one.stay));
        }
        for n in 1..=3 {
            let kind = self.restrictions.get(n - 1).and_then(|one| one.kind);
            r.opt(&format!("restriction{n}_kind"), kind.map(RestrictionKind::code));
        }
    }
}

impl Writable for CopaymentRate {
    const KIND: MunicipalKind = MunicipalKind::CopaymentRate;

    fn fill(&self, r: &mut Record<'_>) {
        r.date("issued_on", self.issued_on);
        for n in 1..=2 {
            let one = self.rows.get(n - 1);
            r.opt(&format!("rate{n}"), one.map(|one| one.rate.get()));
            put_period(r, &format!("rate{n}_from"), &format!("rate{n}_to"), one.map(|one| &one.period));
        }
    }
}

impl Writable for CostCeiling {
    const KIND: MunicipalKind = MunicipalKind::CostCeiling;

    fn fill(&self, r: &mut Record<'_>) {
        r.date("issued_on", self.issued_on);
        put_period(r, "valid_from", "valid_to", Some(&self.period));
        r.put("stage", self.stage.code())
            .put("meals_facility", self.meals_facility)
            .put("meals_short_stay", self.meals_short_stay)
            .put("unit_private", self.rooms.unit_private)
            .put("unit_semi_private", self.rooms.unit_semi_private)
            .put("private_welfare", self.rooms.private_welfare)
            .put("private_health", self.rooms.private_health)
            .put("shared", self.rooms.shared);
    }
}

impl Writable for CertificationProgress {
    const KIND: MunicipalKind = MunicipalKind::Progress;

    fn fill(&self, r: &mut Record<'_>) {
        r.date("applied_on", self.applied_on)
            .put("kind", self.kind.code())
            .date("survey_requested_on", self.survey_requested_on)
            .date("survey_done_on", self.survey_done_on)
            .date("survey_received_on", self.survey_received_on)
            .date("opinion_requested_on", self.opinion_requested_on)
            .opt("opinion_requested_from", self.opinion_requested_from)
            .date("opinion_received_on", self.opinion_received_on)
            .date("first_judged_on", self.first_judged_on)
            .date("board_planned_on", self.board_planned_on)
            .date("board_done_on", self.board_done_on)
            .date("delay_notified_on", self.delay_notified_on)
            .opt("delay_reason", self.delay_reason.as_ref());
        let result = self.result.as_ref();
        r.opt("level", result.map(|x| x.level.code())).date("decided_on", result.map(|x| x.decided_on));
        put_period(r, "valid_from", "valid_to", result.and_then(|x| x.valid.as_ref()));
        r.opt("months", result.and_then(|x| x.months))
            .opt("board_opinion", result.and_then(|x| x.board_opinion.as_ref()))
            .opt("reason", result.and_then(|x| x.reason.as_ref()))
            .date("notified_on", result.and_then(|x| x.notified_on));
        let closing = self.closing.as_ref().map(|closing| match closing {
            Closing::Withdrawn(day) => ("1", *day),
            Closing::Rejected(day) => ("2", *day),
            Closing::Lapsed(day) => ("3", *day),
        });
        r.opt("closing", closing.map(|(code, _)| code)).date("closed_on", closing.map(|(_, day)| day));
        r.date("survey_planned_on", self.survey_planned_on)
            .opt("survey_commissioned_to", self.survey_commissioned_to)
            .date("opinion_urged_on", self.opinion_urged_on)
            .opt("board_number", self.board_number.as_ref())
            .date("papers_sent_on", self.papers_sent_on)
            .date("delay_decided_on", self.delay_decided_on);
        put_period(r, "delay_expected_from", "delay_expected_to", self.delay_expected.as_ref());
        r.date("card_issued_on", result.and_then(|x| x.card_issued_on));
    }
}

impl Writable for ConsentRecord {
    const KIND: MunicipalKind = MunicipalKind::Consent;

    fn fill(&self, r: &mut Record<'_>) {
        let (act, kind) = match self.act {
            ConsentAct::Given => ("1", None),
            ConsentAct::Withdrawn => ("2", None),
            ConsentAct::KindRefused(kind) => ("3", Some(kind)),
            ConsentAct::KindAllowed(kind) => ("4", Some(kind)),
            ConsentAct::NotObtainable => ("5", None),
        };
        let at = jiff::tz::Offset::constant(9).to_datetime(self.acted_at);
        let (declarant, relation) = match &self.declarant {
            Declarant::Person => ("1", None),
            Declarant::Representative { relation } => ("2", Some(relation)),
        };
        let proof = match self.proof {
            IdentityProof::IndividualNumberCard => "1",
            IdentityProof::InsuranceCard => "2",
            IdentityProof::ApplicationForm => "3",
            IdentityProof::OtherDocument => "4",
        };
        r.put("act", act)
            .opt("kind", kind)
            .date("acted_on", at.date())
            .put("acted_time", at.strftime("%H%M%S"))
            .put("declarant", declarant)
            .opt("relation", relation)
            .put("proof", proof)
            .put("taken_by", self.taken_by)
            .opt("staff", self.staff.as_ref())
            .put("form", &self.form)
            .opt("remark", self.remark.as_ref())
            .opt("leaflet", self.leaflet.as_ref())
            .opt("evidence_kind", self.evidence.as_ref().map(|evidence| evidence.kind.code()))
            .opt("evidence_reference", self.evidence.as_ref().map(|evidence| &evidence.reference))
            .opt("evidence_sha256", self.evidence.as_ref().and_then(|evidence| evidence.sha256.as_ref()));
    }
}

impl Writable for NumberLink {
    const KIND: MunicipalKind = MunicipalKind::Link;

    fn fill(&self, r: &mut Record<'_>) {
        r.put("before_insurer", self.before.insurer)
            .put("before_insured", self.before.insured)
            .date("changed_on", self.changed_on)
            .put("reason", self.reason.code());
    }
}
