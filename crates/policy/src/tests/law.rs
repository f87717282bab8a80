//! One test per rule of the law, each a sentence about care.

use super::{A2, asks, asks_as, city, office, plan_maker, table};
use crate::consent::{ConsentSubject, ConsentTaker, may_record_withdrawal, may_take_consent};
use crate::decide::{Decision, Disclosure, decide};
use crate::disaster::{disaster_for_municipality, disaster_for_office};
use crate::explain::why;
use crate::facts::{
    Action, Caller, Consent, Disaster, Facts, KindFacts as K, MunicipalityRelation as M, OfficeFacts, Opinion,
};
use crate::office::{class_of, is_care_manager, makes_plans};
use crate::register::{Writer, may_register, may_write_on_screen};
use crate::replay::replay_by;
use crate::rule::Rule;
use crate::table::{Mark, Row, SharingTable};
use crate::way::{UseCase, Way, way_allows};
use kiban_domain::assignment::DisasterMode;
use kiban_domain::dates::Period;
use kiban_domain::office::{JobType, Office, OfficeClass as C, StaffId};
use kiban_domain::{Date, InsurerNumber, Kind, OfficeNumber, ServiceType};

const PERSON: Caller = Caller::Person { bound: true };

fn sees(facts: Facts) -> bool {
    decide(&facts, table()).is_allowed()
}

fn refused(facts: Facts) -> (Rule, Disclosure) {
    match decide(&facts, table()) {
        Decision::Refuse { rule, disclosure, .. } => (rule, disclosure),
        allowed => panic!("{allowed:?}"),
    }
}

fn consented(facts: Facts) -> Facts {
    Facts { consent: Consent::Given, ..facts }
}

fn own(facts: Facts) -> Facts {
    Facts { creator: true, ..facts }
}

fn writing(facts: Facts) -> Facts {
    Facts { action: Action::Create, creator: true, ..facts }
}

fn withheld(facts: Facts) -> Facts {
    Facts { withheld: true, ..facts }
}

#[test]
fn p001_a_person_sees_the_own_card_but_nobody_elses() {
    assert!(sees(asks(PERSON, K::A3a)));
    assert_eq!(refused(asks(Caller::Person { bound: false }, K::A3a)), (Rule::NotBound, Disclosure::Blind));
}

#[test]
fn p002_a_proxy_sees_what_the_person_sees_until_the_city_ends_it() {
    assert!(sees(asks(Caller::Proxy { live: true }, K::Cp1)));
    assert_eq!(refused(asks(Caller::Proxy { live: false }, K::Cp1)).0, Rule::ProxyNotLive);
}

#[test]
fn p008_a_community_support_centre_that_plans_sees_the_survey_with_consent() {
    assert!(sees(consented(asks_as(plan_maker(C::CommunitySupport), K::A1))));
}

#[test]
fn p009_p010_prefecture_and_operator_see_nothing_even_in_a_disaster() {
    for caller in [Caller::Prefecture, Caller::Operator] {
        let facts = Facts { disaster: Disaster::OpenWithoutConsent, ..consented(asks(caller, K::A3a)) };
        assert_eq!(refused(facts), (Rule::NoAudience, Disclosure::Blind));
    }
}

#[test]
fn p013_a_plan_maker_who_is_no_longer_a_care_manager_loses_the_survey() {
    let moved = OfficeFacts { care_manager: false, ..plan_maker(C::CarePlanning) };
    assert_eq!(refused(consented(asks_as(moved, K::A1))), (Rule::NotPlanMaker, Disclosure::Told));
    assert!(is_care_manager(JobType::CareManager) && !is_care_manager(JobType::Nurse));
}

#[test]
fn p014_an_office_may_switch_one_of_its_people_off() {
    let off = OfficeFacts { switched_off: true, ..office(C::Service) };
    assert_eq!(refused(asks_as(off, K::A3a)), (Rule::SwitchedOff, Disclosure::Told));
}

#[test]
fn p037_a_withheld_persons_card_is_read_without_the_address_unless_the_city_confirmed_the_office() {
    let hidden = |facts| matches!(decide(&facts, table()), Decision::Allow { whereabouts_hidden: true, .. });
    let confirmed = OfficeFacts { confirmed_by_city: true, ..office(C::Service) };
    assert!(hidden(withheld(asks_as(office(C::Service), K::A3a))));
    assert!(!hidden(withheld(asks_as(confirmed, K::A3a))) && sees(withheld(asks_as(confirmed, K::A3a))));
    assert!(!hidden(withheld(asks(city(M::Own), K::A3a))));
    assert!(table().whereabouts(Row::A3a).any(|item| item.item == "address"));
}

#[test]
fn p037_free_text_about_a_withheld_person_stays_with_the_city_and_confirmed_offices() {
    assert_eq!(refused(withheld(asks_as(office(C::Service), K::Cp1))), (Rule::Withheld, Disclosure::Blind));
    assert!(sees(withheld(asks_as(OfficeFacts { confirmed_by_city: true, ..office(C::Service) }, K::Cp1))));
    assert!(sees(withheld(own(asks_as(office(C::Hospital), A2)))), "the doctor still has the own letter");
}

#[test]
fn p037_setting_the_flag_suspends_proxies_and_no_disaster_finds_the_person() {
    assert!(!sees(withheld(asks(Caller::Proxy { live: true }, K::A3a))));
    let stranger = OfficeFacts { assignment_live: false, ..office(C::Service) };
    let facts = Facts { disaster: Disaster::Open, ..withheld(asks_as(stranger, K::A3a)) };
    assert_eq!(refused(facts), (Rule::NotAssigned, Disclosure::Blind));
}

#[test]
fn p041_a_blank_cell_answers_in_the_words_of_an_unknown_number() {
    let blank = why(&asks_as(office(C::Service), K::A1), table());
    let stranger = OfficeFacts { assignment_live: false, ..office(C::Service) };
    let unknown = why(&asks_as(stranger, K::A3a), table());
    assert_eq!((blank.reason, blank.next, blank.mark), (unknown.reason, unknown.next, unknown.mark));
}

#[test]
fn p042_the_care_manager_of_a_nursing_home_sees_the_survey_of_the_resident_whose_plan_she_makes() {
    assert!(sees(consented(asks_as(plan_maker(C::ResidentialService), K::A1))));
    let colleague = OfficeFacts { care_manager: true, ..office(C::ResidentialService) };
    assert_eq!(refused(consented(asks_as(colleague, K::A1))), (Rule::BlankCell, Disclosure::Blind));
    assert!(!sees(consented(asks_as(plan_maker(C::Service), K::A1))), "a day service makes no plans");
}

#[test]
fn p042_what_an_office_is_follows_from_its_service_types() {
    let class = |codes: &[&str], hospital| {
        let types: Vec<_> = codes.iter().map(|code| ServiceType::parse(code).unwrap()).collect();
        class_of(&types, hospital, table())
    };
    assert_eq!(class(&["43"], false), C::CarePlanning);
    assert_eq!(class(&["11", "43"], false), C::CarePlanning);
    assert_eq!(class(&["AF"], false), C::CommunitySupport);
    assert_eq!(class(&["52", "22"], false), C::HealthFacility);
    assert_eq!(class(&["73"], false), C::ResidentialService);
    assert_eq!(class(&["15"], false), C::Service);
    assert_eq!(class(&[], false), C::Service);
    assert_eq!(class(&["13"], true), C::HospitalWithCare);
    assert_eq!(class(&[], true), C::Hospital);
    assert!(makes_plans(&ServiceType::parse("55").unwrap(), table()));
    assert!(!makes_plans(&ServiceType::parse("79").unwrap(), table()));
}

#[test]
fn p043_a_health_facility_may_write_the_opinion_a_nursing_home_may_not() {
    assert!(sees(writing(asks_as(office(C::HealthFacility), A2))));
    assert!(sees(own(asks_as(office(C::HealthFacility), A2))));
    assert_eq!(refused(writing(asks_as(office(C::ResidentialService), A2))).0, Rule::NotOpinionWriter);
    assert!(!sees(own(asks_as(office(C::ResidentialService), A2))));
}

#[test]
fn p044_claims_are_not_stored_and_the_screen_says_where_they_are() {
    let said = why(&asks(PERSON, K::ServiceClaims), table());
    assert_eq!((said.rule, said.disclosure), (Rule::NotStored, Disclosure::Told));
    assert!(said.next.contains("電子請求"));
    assert_eq!(refused(asks_as(office(C::Hospital), K::PlanningClaims)).1, Disclosure::Blind);
}

#[test]
fn p045_a_clinic_without_care_service_sees_the_card_but_neither_rate_nor_ceiling() {
    assert!(sees(asks_as(office(C::Hospital), K::A3a)));
    for kind in [K::A3b, K::A3c] {
        assert_eq!(refused(asks_as(office(C::Hospital), kind)), (Rule::HospitalWithoutCare, Disclosure::Blind));
        assert!(sees(asks_as(office(C::HospitalWithCare), kind)));
    }
}

#[test]
fn p046_a_registered_hospital_reads_the_card_without_consent() {
    assert!(sees(asks_as(office(C::Hospital), K::A3a)));
}

#[test]
fn p048_a_hospital_asked_for_an_opinion_needs_no_registration() {
    let asked = OfficeFacts { assignment_live: false, opinion_requested: true, ..office(C::Hospital) };
    assert!(sees(asks_as(asked, K::A3a)));
    assert!(sees(writing(asks_as(asked, A2))));
    assert!(!sees(asks_as(OfficeFacts { class: C::Service, ..asked }, K::A3a)), "a request opens nothing for others");
}

#[test]
fn p049_a_city_sees_its_own_people_only() {
    assert!(sees(asks(city(M::Own), K::A1)));
    assert_eq!(refused(asks(city(M::Other), K::A3a)), (Rule::OtherMunicipality, Disclosure::Blind));
}

#[test]
fn p050_a_city_needs_consent_to_open_one_persons_life_data_or_plan() {
    for kind in [K::C1, K::Cp1, K::Cp2] {
        assert_eq!(refused(asks(city(M::Own), kind)), (Rule::ConsentMissing, Disclosure::Told));
        assert!(sees(consented(asks(city(M::Own), kind))));
    }
}

#[test]
fn p051_a_person_needs_no_consent_of_the_own_to_see_the_own_life_data() {
    for consent in [Consent::NotObtained, Consent::RefusedForKind, Consent::Given] {
        let decision = decide(&Facts { consent, ..asks(PERSON, K::C1) }, table());
        assert_eq!((decision.is_allowed(), decision.rule()), (true, Rule::OwnConsentNotNeeded));
    }
}

#[test]
fn p052_a_person_sees_neither_survey_nor_opinion() {
    for kind in [K::A1, A2] {
        assert_eq!(refused(consented(asks(PERSON, kind))), (Rule::BlankCell, Disclosure::Blind));
    }
}

#[test]
fn step_3b_an_opinion_reaches_the_plan_maker_only_after_the_city_accepted_it() {
    let reads = |state| consented(asks_as(plan_maker(C::CarePlanning), K::A2(state)));
    assert!(sees(reads(Opinion::Accepted)));
    assert_eq!(refused(reads(Opinion::NotAccepted)), (Rule::OpinionNotAccepted, Disclosure::Blind));
    assert_eq!(refused(reads(Opinion::DoctorRefused)), (Rule::DoctorRefused, Disclosure::Blind));
    assert!(sees(asks(city(M::Own), K::A2(Opinion::NotAccepted))), "the city must read it to accept it");
}

#[test]
fn p054_an_office_goes_on_reading_what_it_wrote_after_its_registration_ended_but_writes_no_more() {
    let ended = |class| OfficeFacts { assignment_live: false, ..office(class) };
    assert!(sees(own(asks_as(ended(C::CarePlanning), K::Cp1))));
    assert!(sees(own(asks_as(ended(C::ResidentialService), K::Cp2))));
    assert!(sees(own(asks_as(ended(C::Service), K::C1))));
    assert!(!sees(writing(asks_as(ended(C::CarePlanning), K::Cp1))));
    assert!(!sees(own(asks_as(ended(C::Service), K::A3a))));
}

#[test]
fn p056_an_entitled_care_manager_is_told_that_consent_is_missing_and_what_to_do() {
    let said = why(&asks_as(plan_maker(C::CarePlanning), K::A1), table());
    assert_eq!((said.rule, said.disclosure), (Rule::ConsentMissing, Disclosure::Told));
    assert!(said.reason.contains("同意未取得") && said.next.contains("同意"));
    let clerk = why(&asks_as(office(C::CarePlanning), K::A1), table());
    assert_eq!(clerk.rule, Rule::NotPlanMaker, "consent alone would not help the clerk");
}

#[test]
fn p061_one_consent_opens_every_consent_kind_for_every_registered_office() {
    for kind in [K::A1, A2, K::C1, K::E1, K::E2] {
        assert!(sees(consented(asks_as(plan_maker(C::CarePlanning), kind))));
    }
    assert!(sees(consented(asks_as(office(C::Service), K::C1))));
    assert!(sees(consented(asks_as(office(C::Hospital), K::Cp1))));
}

#[test]
fn p062_p063_who_may_take_consent() {
    let table = table();
    let before_renewal = ConsentSubject { certified: true, asked_by_municipality: false };
    let after_renewal = ConsentSubject { certified: true, asked_by_municipality: true };
    let new_applicant = ConsentSubject { certified: false, asked_by_municipality: false };
    let by = |class, job, assignment_live| ConsentTaker::Office { class, job, assignment_live };
    for person in [before_renewal, after_renewal, new_applicant] {
        assert_eq!(may_take_consent(ConsentTaker::Municipality, person, table), Ok(()));
        for class in [C::Service, C::Hospital, C::HospitalWithCare, C::CommunitySupport] {
            assert_eq!(
                may_take_consent(by(class, JobType::CareManager, true), person, table),
                Err(Rule::ConsentNotTaker)
            );
        }
    }
    for class in [C::CarePlanning, C::HealthFacility, C::ResidentialService] {
        let taker = by(class, JobType::CareManager, true);
        assert_eq!(may_take_consent(taker, before_renewal, table), Ok(()));
        assert_eq!(may_take_consent(taker, after_renewal, table), Err(Rule::ConsentByMunicipality));
        assert_eq!(may_take_consent(taker, new_applicant, table), Err(Rule::ConsentByMunicipality));
        assert_eq!(may_take_consent(by(class, JobType::Clerk, true), before_renewal, table), Err(Rule::NotCareManager));
        let stranger = by(class, JobType::CareManager, false);
        assert_eq!(may_take_consent(stranger, before_renewal, table), Err(Rule::NotAssigned));
    }
}

#[test]
fn p069_a_withdrawal_is_recorded_anywhere_the_person_is_known_and_one_kind_may_be_refused() {
    let day_service = ConsentTaker::Office { class: C::Service, job: JobType::CareWorker, assignment_live: true };
    assert_eq!(may_record_withdrawal(day_service), Ok(()));
    assert_eq!(may_record_withdrawal(ConsentTaker::Municipality), Ok(()));
    let stranger = ConsentTaker::Office { class: C::Service, job: JobType::CareWorker, assignment_live: false };
    assert_eq!(may_record_withdrawal(stranger), Err(Rule::NotAssigned));
    let refusing = Facts { consent: Consent::RefusedForKind, ..asks_as(office(C::Service), K::C1) };
    assert_eq!(refused(refusing).0, Rule::KindRefused);
    let (kind, all) = (why(&refusing, table()), why(&asks_as(office(C::Service), K::C1), table()));
    assert_eq!(kind.reason, all.reason, "the office does not learn which of the two it was");
}

#[test]
fn p074_without_consent_the_card_check_and_the_filing_still_work() {
    assert!(sees(asks_as(office(C::CarePlanning), K::A3a)));
    assert!(sees(asks_as(office(C::CarePlanning), K::A5)));
    assert!(sees(writing(asks_as(office(C::CarePlanning), K::F1))));
}

#[test]
fn p100_p112_an_office_without_its_own_registration_sees_nothing() {
    let sister = OfficeFacts { assignment_live: false, ..plan_maker(C::CarePlanning) };
    for kind in [K::A1, A2, K::A3a, K::A5, K::C1, K::Cp1, K::E1, K::G1] {
        assert_eq!(refused(consented(asks_as(sister, kind))), (Rule::NotAssigned, Disclosure::Blind));
    }
}

#[test]
fn p121_the_host_city_reads_during_the_disaster_and_not_a_day_longer() {
    let host = asks(city(M::HostOfEvacuees), K::A3a);
    assert!(sees(Facts { disaster: Disaster::Open, ..host }) && !sees(host));
    assert!(!sees(Facts { disaster: Disaster::Open, ..asks(city(M::HostOfEvacuees), K::A1) }));
}

#[test]
fn p122_who_is_covered_by_a_disaster_mode() {
    let number = |code5| InsurerNumber::from_code5(code5).unwrap();
    let (stricken, host, far) = (number("13101"), number("13102"), number("13103"));
    let office = |code: &str, municipality| Office {
        number: OfficeNumber::parse(code).unwrap(),
        name: "見本事業所".to_owned(),
        address: None,
        telephone: None,
        municipality,
        is_hospital: false,
        service_types: vec![],
    };
    let day = |d| Date::constant(2026, 11, d);
    let mut mode = DisasterMode {
        id: "d1".to_owned(),
        event: "令和8年見本地震".to_owned(),
        areas: vec![stricken],
        classes: Vec::new(),
        offices: vec![OfficeNumber::parse("1370000003").unwrap()],
        hosts: vec![host],
        without_consent: false,
        period: Period::new(day(1), Some(day(14))).unwrap(),
        opened_by: (StaffId("op/1".to_owned()), StaffId("op/2".to_owned())),
        proposed_over: "ab".repeat(32),
        closed_at: None,
    };
    let inside = office("1370000001", stricken);
    let named = office("1370000003", far);
    let outside = office("1370000002", far);
    let covers = |mode: &DisasterMode, office: &Office, area, today| {
        disaster_for_office(std::slice::from_ref(mode), office, C::Service, area, today)
    };
    assert_eq!(covers(&mode, &inside, &stricken, day(14)), Disaster::Open);
    assert_eq!(covers(&mode, &named, &stricken, day(1)), Disaster::Open);
    assert_eq!(covers(&mode, &outside, &stricken, day(1)), Disaster::None);
    assert_eq!(covers(&mode, &inside, &far, day(1)), Disaster::None, "people of other cities are not found");
    assert_eq!(covers(&mode, &inside, &stricken, day(15)), Disaster::None, "ends by itself");
    mode.classes = vec![C::Hospital];
    assert_eq!(covers(&mode, &inside, &stricken, day(14)), Disaster::None, "of a kind the mode does not name");
    assert_eq!(covers(&mode, &named, &stricken, day(1)), Disaster::Open, "named one by one, whatever its kind");
    mode.classes = Vec::new();
    let of_city =
        |mode: &DisasterMode, city| disaster_for_municipality(std::slice::from_ref(mode), city, &stricken, day(3));
    assert_eq!((of_city(&mode, &host), of_city(&mode, &far)), (Disaster::Open, Disaster::None));
    mode.without_consent = true;
    assert_eq!(covers(&mode, &inside, &stricken, day(1)), Disaster::OpenWithoutConsent);
}

#[test]
fn p125_a_disaster_stands_in_for_the_registration_only() {
    let helper = |class| OfficeFacts { assignment_live: false, ..office(class) };
    let during = |facts| Facts { disaster: Disaster::Open, ..facts };
    let card = decide(&during(asks_as(helper(C::Service), K::A3a)), table());
    assert!(matches!(card, Decision::Allow { mark: Mark::Shared, ground: Rule::Disaster, .. }));
    assert_eq!(refused(during(asks_as(helper(C::Service), K::C1))).0, Rule::ConsentMissing);
    let opened = |kind| Facts { disaster: Disaster::OpenWithoutConsent, ..asks_as(helper(C::Service), kind) };
    assert_eq!(decide(&opened(K::C1), table()).rule(), Rule::DisasterWithoutConsent);
    assert!(!sees(Facts { consent: Consent::RefusedForKind, ..opened(K::C1) }), "a refusal outlives the mode");
    let planner = OfficeFacts { assignment_live: false, ..plan_maker(C::CarePlanning) };
    assert!(!sees(consented(during(asks_as(planner, K::A1)))), "A1 stays as ever");
}

#[test]
fn p126_a_disaster_never_lets_anybody_write() {
    let helper = OfficeFacts { assignment_live: false, ..office(C::CarePlanning) };
    assert!(!sees(Facts { disaster: Disaster::OpenWithoutConsent, ..writing(asks_as(helper, K::Cp1)) }));
}

#[test]
fn p130_a_city_imports_its_kinds_and_nobody_elses() {
    let table = table();
    for kind in Kind::ALL {
        let row = K::of(*kind, Opinion::Accepted).row();
        let expected = ["A1", "A2", "A3a", "A3b", "A3c", "A4", "A5", "E1", "E2", "G1"].contains(&kind.code());
        assert_eq!(may_register(Writer::Municipality, row, table), expected, "{kind}");
    }
    assert!(may_register(Writer::Office(C::CarePlanning), Row::Cp1, table));
    assert!(!may_register(Writer::Office(C::CarePlanning), Row::Cp2, table));
    assert!(!may_register(Writer::Office(C::CarePlanning), Row::A3a, table));
    assert!(may_write_on_screen(Writer::Office(C::Hospital), Row::A2, table));
}

#[test]
fn p138_an_office_sees_its_own_filing_and_not_that_of_another() {
    assert!(sees(own(asks_as(office(C::CarePlanning), K::F1))));
    assert_eq!(refused(asks_as(office(C::CarePlanning), K::F1)), (Rule::NotOwnFiling, Disclosure::Blind));
    assert!(sees(asks(city(M::Own), K::F1)));
}

#[test]
fn p150_before_the_city_starts_everybody_is_told_so() {
    let facts = Facts { insurer_started: false, ..asks(PERSON, K::A3a) };
    assert_eq!(refused(facts), (Rule::NotStarted, Disclosure::Told));
}

#[test]
fn p165_a_vendors_program_reads_cards_certification_progress_and_allowances_only() {
    let table = table();
    let open: Vec<_> = Row::ALL
        .into_iter()
        .filter(|row| way_allows(Way::VendorProgram, UseCase::View(*row), table))
        .map(Row::code)
        .collect();
    assert_eq!(open, ["A1", "A2", "A3a", "A3b", "A3c", "A5", "E1", "E2"]);
    for closed in [UseCase::Eligibility, UseCase::RecordConsent, UseCase::FilePlanRequest, UseCase::Disaster] {
        assert!(!way_allows(Way::VendorProgram, closed, table) && way_allows(Way::Interactive, closed, table));
    }
    assert!(way_allows(Way::VendorProgram, UseCase::ExchangePlan, table));
    for way in [Way::CityProgram, Way::Connector] {
        assert!(Row::ALL.into_iter().all(|row| !way_allows(way, UseCase::View(row), table)));
        assert!(way_allows(way, UseCase::ImportPackage, table) && way_allows(way, UseCase::Inbox, table));
    }
    assert!(!way_allows(Way::Connector, UseCase::Notices, table));
}

#[test]
fn p141_p173_offices_send_life_and_only_a_municipality_sends_claims() {
    let open = |use_case| {
        let ways = [Way::Interactive, Way::VendorProgram, Way::CityProgram, Way::Connector];
        ways.map(|way| way_allows(way, use_case, table()))
    };
    assert_eq!(open(UseCase::ImportLife), [true, true, false, false]);
    assert_eq!(open(UseCase::ImportClaims), [true, false, true, true]);
}

#[test]
fn p180_without_a_valid_session_nothing_is_looked_at() {
    let facts = Facts { session_valid: false, ..asks(Caller::Operator, K::A3a) };
    assert_eq!(refused(facts), (Rule::SessionInvalid, Disclosure::Told));
}

#[test]
fn a_hospital_that_is_also_a_care_office_keeps_what_either_side_gives() {
    assert!(sees(asks_as(office(C::HospitalWithCare), K::Cp1)), "as care office, without consent");
    assert!(sees(own(asks_as(office(C::HospitalWithCare), K::C1))), "its own rehabilitation data");
    assert!(sees(own(asks_as(office(C::HospitalWithCare), A2))), "its own opinion");
}

#[test]
fn only_the_creator_writes() {
    assert_eq!(
        refused(Facts { creator: false, ..writing(asks_as(office(C::CarePlanning), K::Cp1)) }).0,
        Rule::NotCreator
    );
    assert!(sees(writing(asks_as(office(C::CarePlanning), K::Cp1))));
    assert_eq!(refused(writing(asks_as(office(C::Service), K::A3a))).0, Rule::NotWriter);
}

#[test]
fn the_table_in_force_is_chosen_by_the_day() {
    let first = Date::constant(2025, 7, 28);
    assert_eq!(table().from, first);
    assert_eq!(SharingTable::at(Date::constant(2020, 1, 1)).unwrap().from, first);

    // The next version of the law takes the survey from the care manager.
    let next = Date::constant(2027, 4, 1);
    let versions = SharingTable::in_order(vec![version_from("20270401", "–"), version_from("20250728", "◎")]).unwrap();
    let in_force = |day| SharingTable::pick(&versions, day).unwrap().from;
    assert_eq!([in_force(next.yesterday().unwrap()), in_force(next)], [first, next]);
    let survey = consented(asks_as(plan_maker(C::CarePlanning), K::A1));
    let sees_on = |day| decide(&survey, SharingTable::pick(&versions, day).unwrap()).is_allowed();
    assert!(sees_on(next.yesterday().unwrap()) && !sees_on(next));

    // What was decided before is taken again by the version of its entry, not by the one of today.
    let again = |name| replay_by(SharingTable::named(&versions, name).unwrap(), survey.to_bits()).unwrap().allowed;
    assert!(again("2025-07") && !again("2027-04"));
    assert!(SharingTable::named(&versions, "2026-04").is_none());
}

#[test]
fn no_two_versions_of_the_table_have_one_name() {
    let twice = SharingTable::in_order(vec![version_from("20270401", "–"), version_from("20270415", "◎")]);
    assert!(twice.unwrap_err().to_string().contains("2027-04"));
}

/// The table from a day on, with a mark for the care manager's view of the survey.
fn version_from(day: &str, mark: &str) -> SharingTable {
    let text = include_str!("../../tables/2025-07.tsv");
    let text = text.replace("適用開始\t20250728", &format!("適用開始\t{day}"));
    let changed = text.replace("A1\t居宅介護支援\t◎", &format!("A1\t居宅介護支援\t{mark}"));
    SharingTable::parse_with_sharing(changed.leak()).unwrap()
}

/// docs/decisions/0010: three things beside P-165 and P-166.
#[test]
fn the_software_of_a_vendor_may_do_p165_p166_and_three_things_more() {
    let lines = include_str!("../../tables/ways.tsv").lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let open: Vec<_> = lines.filter(|line| line.get(3) == Some(&"○")).map(|line| line[0]).collect();
    let read = ["view:A1", "view:A2", "view:A3a", "view:A3b", "view:A3c", "view:A5", "view:E1", "view:E2"];
    let more = ["list_people", "exchange_plan", "import_life", "renew_certificate"];
    assert_eq!(open, [&more[..], &read[..]].concat());
}

#[test]
fn every_rule_and_every_cell_has_its_number_source_and_sentence() {
    for rule in Rule::ALL {
        assert_eq!(Rule::parse(rule.code()), Some(*rule));
        assert!(table().reason(*rule).requirement.starts_with("P-"));
    }
    for row in Row::ALL {
        for audience in crate::Audience::ALL {
            assert!(table().cell(row, audience).requirement.starts_with("P-"));
        }
    }
    assert_eq!(table().service_types.len(), 71);
}
