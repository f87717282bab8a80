//! Offices and hospitals of the city and the people who work there. Numbers lie in prefecture 99, which does not exist.

use crate::canary;
use kiban_domain::ids::check_digit_2_1;
use kiban_domain::office::{JobType, Office, Staff, StaffId};
use kiban_domain::{CareManagerNumber, InsurerNumber, OfficeNumber, Organization, ServiceType};

/// An office with its staff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimOffice {
    /// As the operator registers it.
    pub office: Office,
    /// What the city uses it for.
    pub role: Role,
    /// Accounts of its staff.
    pub staff: Vec<Staff>,
}

impl SimOffice {
    /// Its number.
    pub fn number(&self) -> OfficeNumber {
        self.office.number
    }

    /// The first member of staff with this 職種.
    pub fn staff_of(&self, job: JobType) -> Option<&Staff> {
        self.staff.iter().find(|staff| staff.job == job)
    }

    /// The service type it is mainly designated for; none for a hospital without care service.
    pub fn service_type(&self) -> Option<ServiceType> {
        self.office.service_types.first().copied()
    }
}

/// What an office does in this city.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// 居宅介護支援
    Planning,
    /// 居宅介護支援, used by the withheld person of the demo only.
    HiddenPlanning,
    /// 地域包括支援センター
    Community,
    /// 訪問介護
    HomeHelp,
    /// 訪問看護
    Nursing,
    /// 通所介護
    DayCare,
    /// 福祉用具貸与
    Equipment,
    /// 介護老人福祉施設
    NursingHome,
    /// 介護老人保健施設
    HealthFacility,
    /// 小規模多機能型居宅介護
    MultiService,
    /// 認知症対応型共同生活介護
    GroupHome,
    /// Hospital or clinic without any care service.
    Hospital,
    /// Hospital that also provides 訪問看護 (みなし指定).
    HospitalWithNursing,
}

/// Number without its last three digits, name, service types, what it is for.
type Row = (&'static str, &'static str, &'static str, Role);

const NAMED: [Row; 17] = [
    ("997000001", "居宅介護支援事業所みほん", "43", Role::Planning),
    ("997000002", "訪問介護みほん", "11", Role::HomeHelp),
    ("997000003", "デイサービスみほん", "15", Role::DayCare),
    ("997000004", "福祉用具みほん", "17", Role::Equipment),
    ("990000005", "地域包括支援センターみほん", "46", Role::Community),
    ("997000006", "特別養護老人ホーム例示園", "51 21", Role::NursingHome),
    ("995000001", "介護老人保健施設想定の里", "52 22", Role::HealthFacility),
    ("999000001", "小規模多機能ホーム見本", "73", Role::MultiService),
    ("991000001", "架空病院", "", Role::Hospital),
    ("991000002", "想定総合病院", "13", Role::HospitalWithNursing),
    ("997000007", "居宅介護支援事業所れいじ", "43", Role::Planning),
    ("997000008", "居宅介護支援事業所かめい", "43", Role::HiddenPlanning),
    ("996000001", "訪問看護ステーション例題", "13", Role::Nursing),
    ("997000009", "訪問介護そうてい", "11", Role::HomeHelp),
    ("999000002", "グループホーム仮想", "32", Role::GroupHome),
    ("991000003", "模擬診療所", "", Role::Hospital),
    ("997000010", "デイサービス試行", "15", Role::DayCare),
];

/// People for whom one more set of offices is opened.
const PEOPLE_PER_SET: u32 = 3_000;

/// Offices opened once more for every [`PEOPLE_PER_SET`] people: third digit of the number, name, type, role.
const SET: [(char, &str, &str, Role); 6] = [
    ('7', "居宅介護支援事業所", "43", Role::Planning),
    ('7', "訪問介護事業所", "11", Role::HomeHelp),
    ('7', "デイサービスセンター", "15", Role::DayCare),
    ('7', "福祉用具センター", "17", Role::Equipment),
    ('7', "特別養護老人ホーム", "51 21", Role::NursingHome),
    ('1', "診療所", "", Role::Hospital),
];

/// Every office of a city of this size: always the seventeen named ones, then more of the same kinds.
pub fn offices(municipality: InsurerNumber, people: u32) -> Vec<SimOffice> {
    let named = NAMED.iter().map(|(body, name, types, role)| (body.to_string(), name.to_string(), *types, *role));
    let sets = (1..=people / PEOPLE_PER_SET).flat_map(|set| {
        SET.iter().enumerate().map(move |(i, (kind, name, types, role))| {
            let body = format!("99{kind}{:06}", 10_000 + set * 10 + i as u32);
            (body, format!("{name}見本第{set}"), *types, *role)
        })
    });
    named
        .chain(sets)
        .zip(1..)
        .filter_map(|((body, name, types, role), serial)| open(municipality, serial, &body, &name, types, role))
        .collect()
}

fn open(
    municipality: InsurerNumber,
    serial: u32,
    body: &str,
    name: &str,
    types: &str,
    role: Role,
) -> Option<SimOffice> {
    let number = OfficeNumber::parse(&format!("{body}{}", check_digit_2_1(body.as_bytes()) as char)).ok()?;
    let office = Office {
        number,
        name: format!("{name} {}", canary::office(serial)),
        address: Some(format!(
            "架空県見本市事業所町{}丁目{}番地 {}",
            serial % 9 + 1,
            serial,
            canary::word("所在地", serial)
        )),
        telephone: Some(format!("0000-9{:02}-{:04}", serial / 10_000, serial % 10_000)),
        municipality,
        is_hospital: matches!(role, Role::Hospital | Role::HospitalWithNursing),
        service_types: types.split_whitespace().filter_map(|code| ServiceType::parse(code).ok()).collect(),
    };
    let staff = staff_of(Organization::Office(number), jobs(role), serial);
    Some(SimOffice { office, role, staff })
}

fn jobs(role: Role) -> &'static [JobType] {
    use JobType::{CareManager, CareWorker, Clerk, Nurse, Physician, SocialWorker, Therapist};
    match role {
        Role::Planning | Role::HiddenPlanning => &[CareManager, CareManager, Clerk],
        Role::Community => &[CareManager, Nurse, SocialWorker],
        Role::HomeHelp | Role::Equipment => &[CareWorker, Clerk],
        Role::Nursing => &[Nurse, Therapist, Clerk],
        Role::DayCare => &[CareWorker, Nurse, SocialWorker],
        Role::NursingHome | Role::MultiService | Role::GroupHome => &[CareManager, Nurse, CareWorker],
        Role::HealthFacility => &[Physician, CareManager, Nurse, Therapist],
        Role::Hospital | Role::HospitalWithNursing => &[Physician, Nurse, SocialWorker, Clerk],
    }
}

/// Accounts of an organisation: `<organisation>/<job><number>`.
fn staff_of(organization: Organization, jobs: &[JobType], serial: u32) -> Vec<Staff> {
    const SURNAMES: [&str; 6] = ["見本", "例示", "想定", "仮名", "模擬", "試行"];
    const GIVEN: [&str; 5] = ["計子", "職太", "務子", "担一", "当美"];
    jobs.iter()
        .enumerate()
        .map(|(i, job)| {
            let same_job = jobs[..i].iter().filter(|other| *other == job).count();
            let surname = SURNAMES[(serial as usize + i) % SURNAMES.len()];
            let given = GIVEN[(serial as usize + 2 * i) % GIVEN.len()];
            let care_manager = (*job == JobType::CareManager)
                .then(|| CareManagerNumber::parse(&format!("99{:05}{}", serial % 100_000, i % 10)).ok())
                .flatten();
            Staff {
                id: StaffId(format!("{organization}/{}{}", job.code(), same_job + 1)),
                name: format!("{surname} {given}"),
                job: *job,
                care_manager,
                administrator: i == 0,
            }
        })
        .collect()
}

/// Officers of the city.
pub fn officers(city: InsurerNumber) -> Vec<Staff> {
    staff_of(Organization::Municipality(city), &[JobType::MunicipalOfficer, JobType::MunicipalOfficer], 90_001)
}

/// Staff of the operator: two, because a disaster mode needs two (S-033).
pub fn operators() -> Vec<Staff> {
    staff_of(Organization::Operator, &[JobType::OperatorStaff, JobType::OperatorStaff], 90_002)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn city() -> InsurerNumber {
        InsurerNumber::parse("999003").unwrap()
    }

    #[test]
    fn the_named_offices_are_the_same_in_every_city_and_have_right_check_digits() {
        let small = offices(city(), 10);
        assert_eq!(small.len(), NAMED.len());
        assert_eq!(small[..], offices(city(), 100_000)[..NAMED.len()]);
        for office in offices(city(), 100_000) {
            assert_eq!(office.number().check_digit_warning(), None, "{}", office.office.name);
        }
        assert_eq!(small[0].number().as_str(), "9970000015");
    }

    #[test]
    fn a_million_people_get_more_offices_all_with_numbers_of_their_own() {
        let many = offices(city(), 1_000_000);
        let numbers: HashSet<_> = many.iter().map(SimOffice::number).collect();
        assert_eq!(numbers.len(), many.len());
        assert_eq!(many.len(), NAMED.len() + 333 * SET.len());
    }

    #[test]
    fn every_account_has_an_id_of_its_own_and_every_care_manager_a_number() {
        let offices = offices(city(), 10_000);
        let mut staff: Vec<Staff> = offices.into_iter().flat_map(|office| office.staff).collect();
        staff.extend(officers(city()));
        staff.extend(operators());
        let ids: HashSet<_> = staff.iter().map(|staff| &staff.id).collect();
        assert_eq!(ids.len(), staff.len());
        for staff in &staff {
            assert_eq!(staff.care_manager.is_some(), staff.job == JobType::CareManager, "{}", staff.id);
        }
        let numbers: HashSet<_> = staff.iter().filter_map(|staff| staff.care_manager).collect();
        assert_eq!(numbers.len(), staff.iter().filter(|staff| staff.care_manager.is_some()).count());
    }

    #[test]
    fn every_kind_of_office_the_demo_needs_is_there() {
        let offices = offices(city(), 10);
        for code in ["43", "11", "15", "17", "51", "52", "73", "46", "13"] {
            let code = ServiceType::parse(code).unwrap();
            assert!(offices.iter().any(|office| office.office.service_types.contains(&code)), "{code}");
        }
        assert!(offices.iter().any(|office| office.office.is_hospital && office.office.service_types.is_empty()));
        assert!(offices.iter().any(|office| office.office.is_hospital && !office.office.service_types.is_empty()));
        for job in [JobType::CareManager, JobType::Nurse, JobType::Clerk, JobType::Physician] {
            assert!(offices.iter().any(|office| office.staff_of(job).is_some()), "{job:?}");
        }
    }
}
