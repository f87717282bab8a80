//! Documents people of the city need in a story: a 主治医意見書 and a 居宅サービス計画作成依頼届出.

use crate::canary;
use crate::people::{Generator, SimPerson};
use jiff::civil::Date;
use kiban_domain::certification::CareLevel;
use kiban_domain::office::JobType;
use kiban_domain::physician_opinion::{OpinionCount, PhysicianOpinion};
use kiban_domain::plan_request::{Filer, FilingForm, FilingKind, PlanRequest};

/// The opinion that the hospital asked for the running application would write; none when none was asked.
pub fn physician_opinion(generator: &Generator, person: &SimPerson, written_on: Date) -> Option<PhysicianOpinion> {
    let progress = person.applications.last()?;
    let hospital = generator.office(progress.opinion_requested_from?)?;
    let mut opinion = PhysicianOpinion::example(person.insured.key, hospital.number(), written_on);
    opinion.applied_on = progress.applied_on;
    opinion.count = OpinionCount::First;
    opinion.request.card_insurer = person.insured.card_insurer;
    opinion.request.insurer_name = Some(generator.spec().name.clone());
    opinion.request.requested_on = progress.opinion_requested_on;
    opinion.basics.applicant = person.insured.identity.clone();
    opinion.basics.age = u8::try_from(kiban_domain::dates::age_on(person.insured.identity.birth, written_on)).ok();
    opinion.basics.physician_name = hospital.staff_of(JobType::Physician)?.name.clone();
    opinion.basics.institution_name = hospital.office.name.clone();
    opinion.basics.institution_address = hospital.office.address.clone();
    opinion.basics.institution_telephone = hospital.office.telephone.clone();
    opinion.basics.institution_fax = None;
    opinion.remarks = Some(format!("見守りがあれば在宅で生活できる。{}", canary::word("特記", person.n)));
    Some(opinion)
}

/// The filing of the office that makes the person's plan; none for people without one.
pub fn plan_request(generator: &Generator, person: &SimPerson, filed_on: Date) -> Option<PlanRequest> {
    let office = generator.office(person.care.planner?)?;
    let manager = person.care.care_manager.as_ref()?;
    let result = person.applications.iter().rev().find_map(|application| application.result.as_ref());
    let form = match result.map(|result| result.level) {
        Some(CareLevel::ProjectTarget | CareLevel::Support1 | CareLevel::Support2) => {
            FilingForm::Preventive { commission: None }
        }
        _ => FilingForm::HomeCare,
    };
    Some(PlanRequest {
        person: person.insured.key,
        filing: FilingKind::New,
        form,
        office: office.number(),
        office_name: office.office.name.clone(),
        office_address: office.office.address.clone(),
        office_telephone: office.office.telephone.clone(),
        care_manager_name: manager.name.clone(),
        care_manager: manager.care_manager,
        starts_on: filed_on,
        filed_on,
        filer: Some(Filer::Person { address: None, telephone: person.insured.identity.telephone.clone() }),
        person_agrees: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CitySpec, cast};
    use jiff::civil::date;
    use kiban_domain::physician_opinion::Severity;

    #[test]
    fn the_documents_of_the_cast_have_no_fault_and_carry_the_word_of_the_person() {
        let today = date(2026, 11, 22);
        let spec = CitySpec::sample(1, 5, today).unwrap();
        let generator = Generator::new(&spec);
        let cast = cast(&spec).unwrap();
        let opinion = physician_opinion(&generator, &cast.applying, today).unwrap();
        let faults: Vec<_> = opinion.problems().into_iter().filter(|p| p.severity == Severity::Fault).collect();
        assert!(faults.is_empty(), "{faults:?}");
        assert!(opinion.remarks.unwrap().contains(&canary::word("特記", 3)));
        assert!(canary::canaries(3).contains(&canary::word("特記", 3)));
        let request = plan_request(&generator, &cast.consenting, today).unwrap();
        assert_eq!(request.problems(), []);
        assert_eq!(plan_request(&generator, &cast.applying, today), None);
    }
}
