//! 証: 被保険者証, 負担割合証 and 負担限度額認定証 as the city issues them.

use crate::application::plus;
use crate::canary;
use crate::offices::Role;
use crate::people::{Generator, SimPerson, Sketch, burden_year, opinion_of};
use crate::random::Random;
use jiff::civil::Date;
use kiban_domain::certification::{CareLevel, CertificationResult};
use kiban_domain::dates::{Period, age_on};
use kiban_domain::insurance_card::{
    BenefitRestriction, CardIssue, CertifiedLevel, CopaymentPeriod, CopaymentRate, CostCeiling, FacilityStay,
    IncomeStage, InsuranceCard, PlanningOffice, RestrictionKind, RoomCeilings, Tenths,
};
use kiban_domain::limits::{CostItem, ceiling, limit_units};

/// No card yet (P-035).
pub(crate) fn never_issued() -> InsuranceCard {
    InsuranceCard {
        issue: CardIssue::NeverIssued,
        certified: None,
        restrictions: Vec::new(),
        planning_offices: Vec::new(),
        facilities: Vec::new(),
    }
}

/// The card everybody of 65 used to get: nothing on it but the person.
pub(crate) fn issue_blank(person: &mut SimPerson, seed: u64) {
    let days = Random::new(seed, person.n, "blank card").between(0, 20);
    person.card.issue = CardIssue::Issued(plus(person.insured.acquired_on, -days));
}

/// Prints a certification on the card, with the other cards that follow from it.
pub(crate) fn certify(generator: &Generator, person: &mut SimPerson, sketch: &Sketch, result: &CertificationResult) {
    let mut random = Random::new(sketch.seed, person.n, "cards");
    let issued_on = result.notified_on.unwrap_or(result.decided_on);
    let limit = result.valid.and_then(|valid| limit_units(result.level, valid.from().min(generator.spec().today)));
    person.card = InsuranceCard {
        issue: if sketch.card_is_lost { CardIssue::Lost(issued_on) } else { CardIssue::Issued(issued_on) },
        certified: Some(CertifiedLevel {
            level: result.level,
            decided_on: result.decided_on,
            valid: result.valid,
            limit_units: limit,
            limit_period: result.valid.filter(|_| limit.is_some()),
            service_limits: Vec::new(),
            board_opinion: opinion_of(person.n, result),
        }),
        restrictions: restriction(person.n, sketch, issued_on).into_iter().collect(),
        planning_offices: planning(generator, person, issued_on).into_iter().collect(),
        facilities: stay(generator, person, &mut random, issued_on).into_iter().collect(),
    };
    if !sketch.on_public_aid {
        let as_of = sketch.as_of(generator.spec().today);
        person.copayment = copayment(&mut random, person, as_of, issued_on);
        person.ceiling = cost_ceiling(generator, &mut random, person, as_of);
    }
}

/// 事業対象者: found by the 基本チェックリスト, without a period.
pub(crate) fn project_target(generator: &Generator, person: &mut SimPerson, sketch: &Sketch) {
    let mut random = Random::new(sketch.seed, person.n, "project target");
    let today = sketch.as_of(generator.spec().today);
    let decided_on = plus(today, -random.between(10, 700));
    person.card.issue = CardIssue::Issued(decided_on);
    person.card.certified = Some(CertifiedLevel {
        level: CareLevel::ProjectTarget,
        decided_on,
        valid: None,
        limit_units: limit_units(CareLevel::ProjectTarget, decided_on),
        limit_period: Period::new(decided_on, None).ok(),
        service_limits: Vec::new(),
        board_opinion: None,
    });
    if let Some(center) = generator.one_of(&mut random, Role::Community) {
        person.care.planner = Some(center.number());
        person.card.planning_offices = planning(generator, person, decided_on).into_iter().collect();
    }
    person.copayment = copayment(&mut random, person, today, decided_on);
}

fn restriction(n: u32, sketch: &Sketch, issued_on: Date) -> Option<BenefitRestriction> {
    let (kind, percent) = match n % 3 {
        0 => (RestrictionKind::BenefitReduced, Some(70)),
        1 => (RestrictionKind::PaymentMethodChanged, None),
        _ => (RestrictionKind::PaymentSuspended, None),
    };
    let content = kind.name_ja();
    sketch.restricted.then(|| Period::new(issued_on, Some(plus(issued_on, 364))).ok()).flatten().map(|period| {
        BenefitRestriction {
            content: format!("{content} {}", canary::word("制限", n)),
            period,
            benefit_percent: percent,
            kind: Some(kind),
        }
    })
}

fn planning(generator: &Generator, person: &SimPerson, issued_on: Date) -> Option<PlanningOffice> {
    let planner = generator.office(person.care.planner?)?;
    let filed_on = plus(issued_on, 3).min(generator.spec().today);
    Some(PlanningOffice { office: planner.number(), name: planner.office.name.clone(), filed_on })
}

fn stay(generator: &Generator, person: &SimPerson, random: &mut Random, issued_on: Date) -> Option<FacilityStay> {
    let home = generator.office(person.care.facility?)?;
    let kind = match home.role {
        Role::NursingHome => "介護老人福祉施設",
        Role::HealthFacility => "介護老人保健施設",
        _ => "認知症対応型共同生活介護",
    };
    let from = plus(issued_on, -random.between(0, 900));
    Some(FacilityStay { kind: kind.to_owned(), name: home.office.name.clone(), stay: Period::new(from, None).ok()? })
}

/// 1割 for nine in ten; nobody under 65 pays more (docs/requirements.md §15.3).
fn copayment(random: &mut Random, person: &SimPerson, today: Date, issued_on: Date) -> Option<CopaymentRate> {
    let is_first_insured = age_on(person.insured.identity.birth, today) >= 65;
    let tenths = if is_first_insured { [1, 2, 3][random.weighted(&[920, 50, 30])] } else { 1 };
    let year = burden_year(today, issued_on)?;
    let mut rows = vec![CopaymentPeriod { rate: Tenths::new(tenths)?, period: year }];
    // 所得更正: a few change inside the year, from the first of a month.
    if tenths == 2 && random.chance(60) && year.from().month() == 8 {
        let change = kiban_domain::dates::ServiceMonth::of(year.from()).plus(2).first_day();
        rows[0].period = Period::new(year.from(), Some(plus(change, -1))).ok()?;
        rows.push(CopaymentPeriod { rate: Tenths::new(1)?, period: Period::new(change, year.to()).ok()? });
    }
    let posted =
        Date::new(year.from().year(), 7, 18).ok().filter(|_| year.from().month() == 8 && year.from().day() == 1);
    Some(CopaymentRate { issued_on: posted.unwrap_or(issued_on).max(issued_on.min(year.from())), rows })
}

/// Some residents of 特養 and 老健 have a 負担限度額認定証.
fn cost_ceiling(generator: &Generator, random: &mut Random, person: &SimPerson, as_of: Date) -> Option<CostCeiling> {
    let home = generator.office(person.care.facility?)?;
    let shared = match home.role {
        Role::NursingHome => CostItem::SharedWelfare,
        Role::HealthFacility => CostItem::SharedHealth,
        _ => return None,
    };
    if !random.chance(600) {
        return None;
    }
    let stage = IncomeStage::ALL[random.weighted(&[120, 330, 250, 300])];
    let period = burden_year(as_of, Date::MIN)?;
    let yen = |item| ceiling(stage, item, period.from());
    Some(CostCeiling {
        issued_on: plus(period.from(), -12),
        period,
        stage,
        meals_facility: yen(CostItem::MealsFacility)?,
        meals_short_stay: yen(CostItem::MealsShortStay)?,
        rooms: RoomCeilings {
            unit_private: yen(CostItem::UnitPrivate)?,
            unit_semi_private: yen(CostItem::UnitSemiPrivate)?,
            private_welfare: yen(CostItem::PrivateWelfare)?,
            private_health: yen(CostItem::PrivateHealth)?,
            shared: yen(shared)?,
        },
    })
}
