//! The law once more, in lists written by hand from the published table and its notes, and asked through the functions
//! that the platform calls. The mutation check holds every changed line against them, so that a change is noticed
//! because an answer is wrong and not only because a printed table looks different.

use super::golden::use_cases;
use super::{A2, asks, asks_as, city, office, plan_maker, table};
use crate::consent::{ConsentSubject, ConsentTaker, may_take_consent_with};
use crate::decide::{Decision, Disclosure, Steps, decide_with};
use crate::facts::{Action, CLASSES, Caller, Consent, Facts, KindFacts as K, MunicipalityRelation as M, OfficeFacts};
use crate::office::{class_of, makes_plans, service_type_rule};
use crate::register::{Writer, may_register, may_write_on_screen};
use crate::rule::Rule;
use crate::table::{Audience, Mark, Row, SharingTable};
use crate::way::{UseCase, Way, way_allows};
use kiban_domain::ServiceType;
use kiban_domain::office::{JobType, OfficeClass as C};

/// The published table: a line per kind in the order of [`Row::ALL`], a sign per column in that of [`Audience::ALL`].
const MARKS: [&str; 16] = [
    "–★◎––––",
    "–○◎★–★–",
    "○★○○○○○",
    "○★○○○○○",
    "○★○○○○○",
    "★○–––––",
    "○★○––––",
    "○○★––––",
    "○○★★–––",
    "◎◎◎★◎◎◎",
    "○◎★○○◎◎",
    "○◎★○○◎◎",
    "◎★◎––––",
    "◎★◎––––",
    "○○★––––",
    "★★○○○○○",
];

/// What the published table says.
pub(super) fn law(row: Row, audience: Audience) -> Mark {
    let sign = MARKS[row as usize].chars().nth(audience as usize).unwrap();
    Mark::parse(&sign.to_string()).unwrap()
}

/// The columns in which a hospital stands.
pub(super) fn is_hospital_column(audience: Audience) -> bool {
    matches!(audience, Audience::HospitalCreator | Audience::HospitalOther)
}

/// The halves of the table for those who made the document.
pub(super) fn is_creators_half(audience: Audience) -> bool {
    matches!(audience, Audience::ServiceCreator | Audience::HospitalCreator)
}

fn kind(row: Row) -> K {
    if row == Row::A2 { A2 } else { K::ALL.into_iter().find(|kind| kind.row() == row).unwrap() }
}

/// Whoever stands in this column and, as far as that can be, in no other.
fn plainest(row: Row, audience: Audience) -> Facts {
    let caller = match audience {
        Audience::Person => Caller::Person { bound: true },
        Audience::Municipality => city(M::Own),
        Audience::CarePlanning => Caller::Office(plan_maker(C::CarePlanning)),
        Audience::ServiceCreator if row == Row::A2 => Caller::Office(office(C::HealthFacility)),
        Audience::ServiceCreator | Audience::ServiceOther => Caller::Office(office(C::Service)),
        Audience::HospitalCreator | Audience::HospitalOther => Caller::Office(office(C::Hospital)),
    };
    let own_filing = row == Row::F1 && audience == Audience::CarePlanning;
    Facts { creator: is_creators_half(audience) || own_filing, ..asks(caller, kind(row)) }
}

fn refuses(decision: &Decision, expected: Rule, how: Disclosure) -> bool {
    matches!(decision, Decision::Refuse { rule, disclosure, .. } if *rule == expected && *disclosure == how)
}

fn shows(decision: &Decision, expected: Mark) -> bool {
    matches!(decision, Decision::Allow { mark, .. } if *mark == expected)
}

/// Whether the plainest caller of a column is answered as the published table says.
fn cell_holds(row: Row, audience: Audience, table: &SharingTable, steps: Steps) -> bool {
    let facts = plainest(row, audience);
    let without = decide_with(&facts, table, steps);
    let with = decide_with(&Facts { consent: Consent::Given, ..facts }, table, steps);
    let mark = law(row, audience);
    if mark == Mark::Blank {
        return refuses(&with, Rule::BlankCell, Disclosure::Blind);
    }
    if !row.is_stored() {
        return refuses(&with, Rule::NotStored, Disclosure::Told);
    }
    if matches!(row, Row::A3b | Row::A3c) && is_hospital_column(audience) {
        let caring = Facts { caller: Caller::Office(office(C::HospitalWithCare)), ..facts };
        return refuses(&with, Rule::HospitalWithoutCare, Disclosure::Blind)
            && shows(&decide_with(&caring, table, steps), mark);
    }
    match mark {
        Mark::OnConsent if audience == Audience::Person => {
            shows(&without, mark) && without.rule() == Rule::OwnConsentNotNeeded
        }
        Mark::OnConsent => {
            refuses(&without, Rule::ConsentMissing, Disclosure::Told)
                && shows(&with, mark)
                && with.rule() == Rule::Consented
        }
        _ => shows(&without, mark),
    }
}

/// The first cell whose caller is not answered as the published table says.
pub(super) fn wrong_cell(table: &SharingTable, steps: Steps) -> Option<String> {
    for row in Row::ALL {
        for audience in Audience::ALL {
            if !cell_holds(row, audience, table, steps) {
                return Some(format!("{} {}", row.code(), audience.name_ja()));
            }
        }
    }
    let other_filing = asks_as(plan_maker(C::CarePlanning), K::F1);
    let decision = decide_with(&other_filing, table, steps);
    (!refuses(&decision, Rule::NotOwnFiling, Disclosure::Blind)).then(|| "F1 of another office".to_owned())
}

/// 職種: through the 居宅 column only A1 and A2 are for the plan maker alone (P-013).
pub(super) fn wrong_job(table: &SharingTable, steps: Steps) -> Option<String> {
    let narrowed = |row: &Row| {
        let facts =
            Facts { creator: *row == Row::F1, consent: Consent::Given, ..asks_as(office(C::CarePlanning), kind(*row)) };
        refuses(&decide_with(&facts, table, steps), Rule::NotPlanMaker, Disclosure::Told)
    };
    let found: Vec<_> = Row::ALL.into_iter().filter(narrowed).map(Row::code).collect();
    (found != ["A1", "A2"]).then(|| format!("narrowed: {found:?}"))
}

/// A facility stands in the 居宅 column for the plans it wrote itself, to read them, and for nothing else.
pub(super) fn wrong_own_plan(table: &SharingTable, steps: Steps) -> Option<String> {
    let past = OfficeFacts { assignment_live: false, ..office(C::HealthFacility) };
    let own = decide_with(&Facts { creator: true, ..asks_as(past, K::Cp2) }, table, steps);
    if !matches!(own, Decision::Allow { mark: Mark::Creator, audience: Audience::CarePlanning, .. }) {
        return Some(format!("the own plan of a facility: {own:?}"));
    }
    let others = decide_with(&asks_as(office(C::HealthFacility), K::Cp2), table, steps);
    if !matches!(others, Decision::Allow { mark: Mark::Shared, audience: Audience::ServiceOther, .. }) {
        return Some(format!("the plan of another office: {others:?}"));
    }
    let written = Facts { action: Action::Create, creator: true, ..asks_as(office(C::HealthFacility), K::Cp2) };
    if decide_with(&written, table, steps).is_allowed() {
        return Some("a facility writes a plan without its plan maker".to_owned());
    }
    let filing = Facts { creator: true, ..asks_as(office(C::ResidentialService), K::F1) };
    let filing = decide_with(&filing, table, steps);
    filing.is_allowed().then(|| "a filing read through the 居宅 column without the plan maker".to_owned())
}

/// Who writes what: on a screen, by a file.
fn means(row: Row, writer: Writer) -> (bool, bool) {
    use Writer::{Municipality, Office, Person};
    match (row, writer) {
        (Row::A4 | Row::G1, Person) => (true, false),
        (Row::A5 | Row::G1, Municipality) => (true, true),
        (Row::A1 | Row::A2 | Row::A3a | Row::A3b | Row::A3c | Row::A4 | Row::E1 | Row::E2, Municipality) => {
            (false, true)
        }
        (Row::A2, Office(C::Hospital | C::HospitalWithCare | C::HealthFacility)) => (true, false),
        (Row::C1, Office(class)) => (false, class != C::Hospital),
        (Row::Cp1, Office(C::CarePlanning | C::CommunitySupport | C::ResidentialService)) => (true, true),
        (Row::Cp2, Office(C::HealthFacility | C::ResidentialService)) => (true, true),
        (Row::F1, Office(C::CarePlanning | C::CommunitySupport | C::ResidentialService)) => (true, false),
        _ => (false, false),
    }
}

/// Everybody who may write anything.
pub(super) fn writers() -> impl Iterator<Item = Writer> {
    [Writer::Person, Writer::Municipality].into_iter().chain(CLASSES.map(Writer::Office))
}

/// The first kind and writer whose means are not those of the law.
pub(super) fn wrong_writer(table: &SharingTable) -> Option<String> {
    for row in Row::ALL {
        for writer in writers() {
            if (may_write_on_screen(writer, row, table), may_register(writer, row, table)) != means(row, writer) {
                return Some(format!("{} {writer:?}", row.code()));
            }
        }
    }
    None
}

/// P-062, P-063 in other words.
fn may_take(taker: ConsentTaker, person: ConsentSubject) -> Result<(), Rule> {
    let ConsentTaker::Office { class, job, assignment_live } = taker else { return Ok(()) };
    if !matches!(class, C::CarePlanning | C::HealthFacility | C::ResidentialService) {
        Err(Rule::ConsentNotTaker)
    } else if !assignment_live {
        Err(Rule::NotAssigned)
    } else if job != JobType::CareManager {
        Err(Rule::NotCareManager)
    } else if person.asked_by_municipality || !person.certified {
        Err(Rule::ConsentByMunicipality)
    } else {
        Ok(())
    }
}

/// The first taker who may take consent, or not, against the law.
pub(super) fn wrong_taker(table: &SharingTable, steps: Steps) -> Option<String> {
    let mut takers = vec![ConsentTaker::Municipality];
    for class in CLASSES {
        for job in [JobType::CareManager, JobType::Clerk] {
            takers.extend([true, false].map(|assignment_live| ConsentTaker::Office { class, job, assignment_live }));
        }
    }
    for taker in takers {
        for (certified, asked_by_municipality) in [(false, false), (true, false), (true, true), (false, true)] {
            let person = ConsentSubject { certified, asked_by_municipality };
            if may_take_consent_with(taker, person, table, steps) != may_take(taker, person) {
                return Some(format!("{taker:?} {person:?}"));
            }
        }
    }
    None
}

/// P-165, P-166 in other words.
fn is_open(way: Way, use_case: UseCase) -> bool {
    use UseCase as U;
    match way {
        // Not offered at all (P-144).
        _ if use_case == U::ConfirmPlan => false,
        Way::Interactive => true,
        // Whoever holds a certificate renews it (P-182).
        _ if use_case == U::RenewCertificate => true,
        Way::VendorProgram => match use_case {
            U::ListPeople | U::ExchangePlan | U::ImportLife => true,
            U::View(row) => {
                matches!(row, Row::A1 | Row::A2 | Row::A3a | Row::A3b | Row::A3c | Row::A5 | Row::E1 | Row::E2)
            }
            _ => false,
        },
        Way::CityProgram => matches!(use_case, U::ImportPackage | U::ImportClaims | U::Inbox | U::Notices | U::Export),
        Way::Connector => {
            matches!(use_case, U::SubmitOpinion | U::ImportPackage | U::ImportClaims | U::Inbox | U::Export)
        }
    }
}

/// The first way in that is open or closed against the law.
pub(super) fn wrong_way(table: &SharingTable) -> Option<String> {
    for use_case in use_cases() {
        for way in [Way::Interactive, Way::VendorProgram, Way::CityProgram, Way::Connector] {
            if way_allows(way, use_case, table) != is_open(way, use_case) {
                return Some(format!("{way:?} {use_case:?}"));
            }
        }
    }
    None
}

/// Service types whose care managers make the plans (※1), by class; every other known one is an ordinary service.
const PLANNERS: [(C, &str); 4] = [
    (C::CarePlanning, "43"),
    (C::CommunitySupport, "46 AF"),
    (C::HealthFacility, "52 55"),
    (C::ResidentialService, "32 33 35 36 37 51 53 54 73 75 77"),
];
const SERVICES: &str = "11 12 13 14 15 16 17 21 22 23 24 25 26 27 28 2A 2B 31 34 38 39 41 42 44 45 59 61 62 63 64 \
                        65 66 67 68 69 71 72 74 76 78 79 A1 A2 A3 A4 A5 A6 A7 A8 A9 AA AB AC AD AE";

/// The first service type that is not what the law makes of it.
pub(super) fn wrong_service_type(table: &SharingTable) -> Option<String> {
    let expected =
        PLANNERS.into_iter().map(|(class, codes)| (class, codes, true)).chain([(C::Service, SERVICES, false)]);
    for (class, codes, plans) in expected {
        for code in codes.split_whitespace() {
            let code_of = ServiceType::parse(code).unwrap();
            let known = service_type_rule(&code_of, table).map(|rule| rule.class);
            let alone = class_of(std::slice::from_ref(&code_of), false, table);
            if (known, alone, makes_plans(&code_of, table)) != (Some(class), class, plans) {
                return Some(code.to_owned());
            }
        }
    }
    None
}

#[test]
fn the_table_and_everything_beside_it_answer_as_the_law_says() {
    let (table, steps) = (table(), Steps::default());
    for row in Row::ALL {
        for audience in Audience::ALL {
            let cell = table.cell(row, audience);
            assert_eq!(cell.mark, law(row, audience), "{} {}", row.code(), audience.name_ja());
            assert_eq!(cell.own_only, (row, audience) == (Row::F1, Audience::CarePlanning));
        }
    }
    assert_eq!(wrong_cell(table, steps), None);
    assert_eq!(wrong_job(table, steps), None);
    assert_eq!(wrong_own_plan(table, steps), None);
    assert_eq!(wrong_writer(table), None);
    assert_eq!(wrong_taker(table, steps), None);
    assert_eq!(wrong_way(table), None);
    assert_eq!(wrong_service_type(table), None);
}
