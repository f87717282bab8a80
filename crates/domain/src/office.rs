//! 事業所 and 医療機関, their service types, and the people who log in there (P-004…014).

use crate::ids::{CareManagerNumber, InsurerNumber, OfficeNumber, ServiceType};
use serde::{Deserialize, Serialize};

/// 事業所 or 医療機関 as registered by the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Office {
    /// 事業所番号 or 医療機関コード.
    pub number: OfficeNumber,
    /// 名称
    pub name: String,
    /// 所在地
    pub address: Option<String>,
    /// 電話番号
    pub telephone: Option<String>,
    /// Municipality in which it stands (card number of that municipality); decides whether it lies in a disaster area.
    pub municipality: InsurerNumber,
    /// Hospital or clinic rather than a care office (P-006).
    pub is_hospital: bool,
    /// サービス種類コード it is designated for. A hospital with none provides no care service (P-045).
    pub service_types: Vec<ServiceType>,
}

/// What an office is to the sharing table, reduced from its service types by `policy/tables/service_classes.tsv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfficeClass {
    /// 居宅介護支援事業所 (43).
    CarePlanning,
    /// 地域包括支援センター, 介護予防支援 (46, AF), P-008.
    CommunitySupport,
    /// 介護老人保健施設 or 介護医療院: may write 主治医意見書 (※2) and makes plans for its residents.
    HealthFacility,
    /// Other offices whose care managers make plans: 特養, 居住系, 小規模多機能 … (※1).
    ResidentialService,
    /// Every other 介護サービス事業所.
    Service,
    /// 医療機関 that also provides a care service (みなし指定を含む).
    HospitalWithCare,
    /// 医療機関 without any care service (P-045).
    Hospital,
}

impl OfficeClass {
    /// All classes.
    pub const ALL: [Self; 7] = [
        Self::CarePlanning,
        Self::CommunitySupport,
        Self::HealthFacility,
        Self::ResidentialService,
        Self::Service,
        Self::HospitalWithCare,
        Self::Hospital,
    ];

    /// Code under which it is stored and named in tables.
    pub fn code(self) -> &'static str {
        match self {
            Self::CarePlanning => "care_planning",
            Self::CommunitySupport => "community_support",
            Self::HealthFacility => "health_facility",
            Self::ResidentialService => "residential_service",
            Self::Service => "service",
            Self::HospitalWithCare => "hospital_with_care",
            Self::Hospital => "hospital",
        }
    }

    /// Inverse of [`OfficeClass::code`].
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.code() == code)
    }
}

/// 職種 of a staff account (P-013).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobType {
    /// 介護支援専門員
    CareManager,
    /// 医師
    Physician,
    /// 看護職員
    Nurse,
    /// リハビリテーション専門職
    Therapist,
    /// 介護職員
    CareWorker,
    /// 生活相談員・支援相談員・医療ソーシャルワーカー
    SocialWorker,
    /// 事務職員
    Clerk,
    /// 市区町村職員
    MunicipalOfficer,
    /// 運用者の職員
    OperatorStaff,
}

impl JobType {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 9] = [
        Self::CareManager,
        Self::Physician,
        Self::Nurse,
        Self::Therapist,
        Self::CareWorker,
        Self::SocialWorker,
        Self::Clerk,
        Self::MunicipalOfficer,
        Self::OperatorStaff,
    ];

    /// Code under which it is stored.
    pub fn code(self) -> &'static str {
        match self {
            Self::CareManager => "care_manager",
            Self::Physician => "physician",
            Self::Nurse => "nurse",
            Self::Therapist => "therapist",
            Self::CareWorker => "care_worker",
            Self::SocialWorker => "social_worker",
            Self::Clerk => "clerk",
            Self::MunicipalOfficer => "municipal_officer",
            Self::OperatorStaff => "operator_staff",
        }
    }

    /// Inverse of [`JobType::code`].
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|job| job.code() == code)
    }

    /// Name on screens.
    pub fn name_ja(self) -> &'static str {
        match self {
            Self::CareManager => "介護支援専門員",
            Self::Physician => "医師",
            Self::Nurse => "看護職員",
            Self::Therapist => "リハビリテーション専門職",
            Self::CareWorker => "介護職員",
            Self::SocialWorker => "相談員",
            Self::Clerk => "事務職員",
            Self::MunicipalOfficer => "市区町村職員",
            Self::OperatorStaff => "運用者職員",
        }
    }
}

/// Staff id: unique in the whole platform, `<organisation code>/<account>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StaffId(pub String);

impl std::fmt::Display for StaffId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One person's account in an organisation; never shared (P-012, P-185).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staff {
    /// Its id.
    pub id: StaffId,
    /// Name shown to colleagues.
    pub name: String,
    /// 職種
    pub job: JobType,
    /// 介護支援専門員番号, for care managers.
    pub care_manager: Option<CareManagerNumber>,
    /// 管理者 of the organisation: decides who of its staff sees whom (P-014) and reads its notices.
    #[serde(default)]
    pub administrator: bool,
}
