//! What the city has kept of the certifications of a person: applications (A4), surveys (A1), opinions of the past and on
//! paper (A2), works (E1) and purchases (E2). About a dozen documents of a certified person, cards and progress included.

use crate::application::plus;
use crate::canary;
use crate::offices::SimOffice;
use crate::people::{Generator, SimPerson};
use crate::random::Random;
use jiff::civil::Date;
use kiban_domain::application::{CertificationApplication, ConsentColumn};
use kiban_domain::certification::{ApplicationKind, CareLevel};
use kiban_domain::consent::ConsentAct;
use kiban_domain::dates::{age_on, day_in_japan};
use kiban_domain::equipment_purchase::EquipmentPurchase;
use kiban_domain::home_modification::HomeModification;
use kiban_domain::office::JobType;
use kiban_domain::physician_opinion::{DementiaIndependence, OpinionCount, PhysicalIndependence, PhysicianOpinion};
use kiban_domain::survey::{CertificationSurvey, GroupNote, items};

/// Documents of one person, oldest first; the history number is the position from 1.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// A4
    pub applications: Vec<CertificationApplication>,
    /// A1
    pub surveys: Vec<CertificationSurvey>,
    /// A2
    pub opinions: Vec<PhysicianOpinion>,
    /// E1
    pub works: Vec<HomeModification>,
    /// E2
    pub purchases: Vec<EquipmentPurchase>,
}

/// Certifications before the ones whose progress is kept.
const EARLIER: i32 = 2;

/// One certification: when it was asked for and what of it is there.
struct Round {
    applied_on: Date,
    kind: ApplicationKind,
    surveyed_on: Option<Date>,
    written_on: Option<Date>,
}

/// The documents of a person; the same for the same person.
pub fn history(generator: &Generator, person: &SimPerson) -> History {
    let mut history = History::default();
    let mut random = Random::new(generator.spec().seed, person.n, "history");
    for (at, round) in rounds(person).into_iter().enumerate() {
        history.applications.push(application(person, &round));
        if let Some(day) = round.surveyed_on {
            history.surveys.push(survey(person, &round, day, at, &mut random));
        }
        if let Some(day) = round.written_on {
            history.opinions.extend(opinion(generator, person, &round, day, at));
        }
    }
    if let Some(level) = person.level().filter(|level| *level >= CareLevel::Support1) {
        let today = person.insured.lost.map_or(generator.spec().today, |(day, _)| day);
        benefits(&mut history, person, level, today, &mut random);
    }
    history
}

/// Earlier certifications a year apart, then those of which the city keeps the progress.
fn rounds(person: &SimPerson) -> Vec<Round> {
    let mut rounds = Vec::new();
    let first = person.applications.first().filter(|_| person.level().is_some_and(|l| l >= CareLevel::Support1));
    for back in (1..=EARLIER).rev().filter(|_| first.is_some()) {
        let applied_on = first.map_or(Date::MIN, |first| plus(first.applied_on, -365 * back));
        rounds.push(Round {
            applied_on,
            kind: if back == EARLIER { ApplicationKind::New } else { ApplicationKind::Renewal },
            surveyed_on: Some(plus(applied_on, 7)),
            written_on: Some(plus(applied_on, 9)),
        });
    }
    rounds.extend(person.applications.iter().map(|progress| Round {
        applied_on: progress.applied_on,
        kind: progress.kind,
        surveyed_on: progress.survey_received_on.and(progress.survey_done_on),
        written_on: progress.opinion_received_on.map(|day| plus(day, -1).max(progress.applied_on)),
    }));
    // Nobody applies before the age of 40.
    rounds.retain(|round| age_on(person.insured.identity.birth, round.applied_on) >= 40);
    rounds
}

fn application(person: &SimPerson, round: &Round) -> CertificationApplication {
    let identity = person.insured.identity.clone();
    let mut application = CertificationApplication::example(identity, round.applied_on, round.kind);
    application.change_reason = application.change_reason.map(|text| text + &canary::word("理由", person.n));
    application.consent = column(person, round.applied_on);
    application
}

/// 同意欄 ticked when the city took a consent on the day of this application.
fn column(person: &SimPerson, applied_on: Date) -> Option<ConsentColumn> {
    let taken = person.consents.iter().find(|record| {
        record.act == ConsentAct::Given
            && record.taken_by.office().is_none()
            && day_in_japan(record.acted_at) == applied_on
    })?;
    Some(ConsentColumn { on: applied_on, declarant: taken.declarant.clone() })
}

/// How heavy a level is, 1 to 7.
fn weight(level: Option<CareLevel>) -> u32 {
    let at = level.and_then(|level| CareLevel::ALL.iter().position(|other| *other == level));
    at.map_or(1, |at| at.saturating_sub(1).max(1) as u32)
}

fn survey(person: &SimPerson, round: &Round, day: Date, at: usize, random: &mut Random) -> CertificationSurvey {
    let weight = weight(person.level());
    let answer = |item: usize, choices: usize| {
        let rare = items().get(item).is_some_and(|item| matches!(item.group, 4 | 6));
        let chance = if rare { 20 * weight } else { 90 * weight };
        if random.chance(chance) { 1 + random.below(choices as u32 - 1) as usize } else { 0 }
    };
    let mut survey = CertificationSurvey::example(person.insured.identity.clone(), round.applied_on, answer);
    survey.conducted.on = day;
    if at == 0 {
        survey.previous = None;
    }
    let step = |count: usize| (weight as usize + 1).min(count - 1);
    survey.physical = PhysicalIndependence::ALL.get(step(PhysicalIndependence::ALL.len())).copied();
    survey.dementia = DementiaIndependence::ALL.get(step(DementiaIndependence::ALL.len() - 1)).copied();
    survey.notes.push(GroupNote {
        group: 7, text: format!("日中は居間で過ごす。{}", canary::word("特記", person.n))
    });
    survey
}

fn opinion(generator: &Generator, person: &SimPerson, round: &Round, day: Date, at: usize) -> Option<PhysicianOpinion> {
    let hospital = generator.office(person.care.hospital?)?;
    let mut opinion = PhysicianOpinion::example(person.insured.key, hospital.number(), day);
    opinion.applied_on = round.applied_on;
    opinion.count = if at == 0 { OpinionCount::First } else { OpinionCount::Repeated };
    opinion.request.card_insurer = person.insured.card_insurer;
    opinion.request.insurer_name = Some(generator.spec().name.clone());
    opinion.request.requested_on = Some(round.applied_on);
    opinion.basics.applicant = person.insured.identity.clone();
    opinion.basics.age = u8::try_from(age_on(person.insured.identity.birth, day)).ok();
    fill_hospital(&mut opinion, hospital);
    opinion.remarks = Some(format!("見守りがあれば在宅で生活できる。{}", canary::word("特記", person.n)));
    Some(opinion)
}

fn fill_hospital(opinion: &mut PhysicianOpinion, hospital: &SimOffice) {
    if let Some(physician) = hospital.staff_of(JobType::Physician) {
        opinion.basics.physician_name.clone_from(&physician.name);
    }
    opinion.basics.institution_name.clone_from(&hospital.office.name);
    opinion.basics.institution_address.clone_from(&hospital.office.address);
    opinion.basics.institution_telephone.clone_from(&hospital.office.telephone);
    opinion.basics.institution_fax = None;
}

/// Works and purchases of a third of the certified who live at home.
fn benefits(history: &mut History, person: &SimPerson, level: CareLevel, today: Date, random: &mut Random) {
    if person.care.facility.is_some() {
        return;
    }
    let identity = &person.insured.identity;
    if random.chance(350) {
        let mut work = HomeModification::example(plus(today, -random.between(60, 700)), level);
        work.address = identity.address.clone().unwrap_or(work.address);
        work.owner = Some(identity.name.clone());
        work.owner_relation = Some("本人".to_owned());
        let eligible = random.between(2, 20) as u32 * 10_000;
        (work.cost, work.eligible, work.paid) = (eligible + eligible / 10, eligible, eligible / 10 * 9);
        work.copayment = Some(work.cost - work.paid);
        history.works.push(work);
    }
    if random.chance(350) {
        let mut purchase = EquipmentPurchase::example(plus(today, -random.between(60, 700)));
        let eligible = random.between(8, 60) as u32 * 1_000;
        (purchase.cost, purchase.eligible, purchase.paid) = (eligible, eligible, eligible / 10 * 9);
        purchase.need = Some(format!("立ったまま体を洗えないため。{}", canary::word("用具", person.n)));
        history.purchases.push(purchase);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CitySpec;
    use jiff::civil::date;

    #[test]
    fn a_certified_person_has_about_a_dozen_documents_and_nobody_has_an_opinion_that_is_still_asked_for() {
        let spec = CitySpec::sample(1, 3_000, date(2026, 11, 22)).unwrap();
        let generator = Generator::new(&spec);
        let (mut documents, mut certified) = (0, 0);
        for person in generator.clone().people() {
            let history = history(&generator, &person);
            let waiting = person.applications.iter().filter(|p| p.opinion_received_on.is_none()).map(|p| p.applied_on);
            for applied_on in waiting {
                assert!(history.opinions.iter().all(|opinion| opinion.applied_on != applied_on));
            }
            let keys: std::collections::HashSet<String> =
                history.opinions.iter().map(PhysicianOpinion::natural_key).collect();
            assert_eq!(keys.len(), history.opinions.len());
            if person.level().is_some_and(|level| level >= CareLevel::Support1) {
                certified += 1;
                documents += 1
                    + usize::from(person.copayment.is_some())
                    + usize::from(person.ceiling.is_some())
                    + person.applications.len()
                    + history.applications.len()
                    + history.surveys.len()
                    + history.opinions.len()
                    + history.works.len()
                    + history.purchases.len();
            }
        }
        let share = documents * 10 / certified;
        assert!((115..145).contains(&share), "{share} tenths of a document each");
    }
}
