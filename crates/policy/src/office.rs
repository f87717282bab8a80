//! 事業所の区分: service types reduced to the classes the sharing table needs (P-004…008, P-013).

use kiban_domain::ServiceType;
use kiban_domain::office::{JobType, OfficeClass};

use crate::facts::CLASSES;
use crate::table::{SharingTable, TableError, class_index};
use crate::tsv;

/// How a class reaches the 居宅介護支援 column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CarePlanningColumn {
    /// The class alone suffices; A1/A2 are narrowed by step 6.
    ByClass,
    /// Only the plan maker of the person (※1).
    ByPlanMaker,
    /// Never.
    Never,
}

/// How a class reaches the 介護事業所 column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServiceColumn {
    /// As writer and as other.
    Always,
    /// Only for what it wrote itself, when the same number also offers other services.
    OwnOnly,
    /// Never.
    Never,
}

/// In which columns a class may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClassRule {
    pub(crate) name_ja: String,
    pub(crate) care_planning: CarePlanningColumn,
    pub(crate) service: ServiceColumn,
    pub(crate) hospital: bool,
}

/// One サービス種類 of `service_classes.tsv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceTypeRule {
    /// Two-character code.
    pub code: String,
    /// 名称
    pub name: String,
    /// Class of a care office that offers it.
    pub class: OfficeClass,
    /// Its care managers make the plans of its users (※1).
    pub makes_plans: bool,
    /// First day, yyyymmdd.
    pub from: String,
    /// Last day, yyyymmdd; empty while it goes on.
    pub to: String,
}

/// The class of an office with these service types. Where several apply, the one that may do more wins, in the order
/// facility, planning, community support, residential, other: what it may do is narrowed per staff and person later.
/// Unknown codes count as an ordinary service.
pub fn class_of(service_types: &[ServiceType], is_hospital: bool, table: &SharingTable) -> OfficeClass {
    if is_hospital {
        return if service_types.is_empty() { OfficeClass::Hospital } else { OfficeClass::HospitalWithCare };
    }
    const ORDER: [OfficeClass; 4] = [
        OfficeClass::HealthFacility,
        OfficeClass::CarePlanning,
        OfficeClass::CommunitySupport,
        OfficeClass::ResidentialService,
    ];
    let classes: Vec<OfficeClass> =
        service_types.iter().filter_map(|code| service_type_rule(code, table)).map(|rule| rule.class).collect();
    ORDER.into_iter().find(|class| classes.contains(class)).unwrap_or(OfficeClass::Service)
}

/// Whether the care managers of this service make its users' plans, so that one of them can be named plan maker (※1).
pub fn makes_plans(service_type: &ServiceType, table: &SharingTable) -> bool {
    service_type_rule(service_type, table).is_some_and(|rule| rule.makes_plans)
}

/// The line of a service type, if the code is known.
pub fn service_type_rule<'a>(service_type: &ServiceType, table: &'a SharingTable) -> Option<&'a ServiceTypeRule> {
    table.service_types.iter().find(|rule| rule.code == service_type.as_str())
}

/// Every line of the service types.
pub fn service_type_rules(table: &SharingTable) -> &[ServiceTypeRule] {
    &table.service_types
}

/// Whether a 職種 counts as 介護支援専門員 in step 6 (P-013).
pub fn is_care_manager(job: JobType) -> bool {
    job == JobType::CareManager
}

const CODES: [&str; 7] = [
    "care_planning",
    "community_support",
    "health_facility",
    "residential_service",
    "service",
    "hospital_with_care",
    "hospital",
];

/// Class of a code in the tables.
pub(crate) fn parse_class(code: &str) -> Option<OfficeClass> {
    CODES.iter().position(|known| *known == code).map(|at| CLASSES[at])
}

pub(crate) fn parse_classes(text: &str) -> Result<Vec<ClassRule>, TableError> {
    const FILE: &str = "office_classes.tsv";
    let columns = ["区分", "名称", "居宅介護支援の欄", "介護事業所の欄", "医療機関の欄", "要件", "理由"];
    let mut found: Vec<Option<ClassRule>> = vec![None; CLASSES.len()];
    for line in tsv::lines(FILE, text, &columns)? {
        let slot = &mut found[class_index(line.read(0, parse_class)?)];
        if slot.is_some() {
            return Err(line.error(0));
        }
        let care_planning = line.read(2, |text| match text {
            "○" => Some(CarePlanningColumn::ByClass),
            "計画担当" => Some(CarePlanningColumn::ByPlanMaker),
            "–" => Some(CarePlanningColumn::Never),
            _ => None,
        })?;
        let service = line.read(3, |text| match text {
            "○" => Some(ServiceColumn::Always),
            "自作のみ" => Some(ServiceColumn::OwnOnly),
            "–" => Some(ServiceColumn::Never),
            _ => None,
        })?;
        *slot = Some(ClassRule { name_ja: line.text(1)?.to_owned(), care_planning, service, hospital: line.yes(4)? });
    }
    let missing = || TableError::new(FILE, 0, "a class has no line".to_owned());
    found.into_iter().map(|rule| rule.ok_or_else(missing)).collect()
}

pub(crate) fn parse_service_types(text: &str) -> Result<Vec<ServiceTypeRule>, TableError> {
    let columns = ["コード", "名称", "区分", "計画作成", "適用開始", "適用終了"];
    let mut out: Vec<ServiceTypeRule> = Vec::new();
    for line in tsv::lines("service_classes.tsv", text, &columns)? {
        let code = line.read(0, |code| ServiceType::parse(code).ok())?;
        if out.iter().any(|known| known.code == code.as_str()) {
            return Err(line.error(0));
        }
        out.push(ServiceTypeRule {
            code: code.as_str().to_owned(),
            name: line.text(1)?.to_owned(),
            class: line.read(2, parse_class)?,
            makes_plans: line.yes(3)?,
            from: line.text(4)?.to_owned(),
            to: line.cell(5).to_owned(),
        });
    }
    Ok(out)
}
