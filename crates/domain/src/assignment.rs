//! 担当事業所登録: the registration of an office for a person, and its 閲覧期限 (P-100…112).

use crate::dates::{Period, ServiceMonth};
use crate::ids::{OfficeNumber, PersonKey};
use crate::office::StaffId;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// How the office confirmed who the person is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityCheck {
    /// Method A: マイナンバーカード (P-102).
    IndividualNumberCard,
    /// Method B: 被保険者証, four items (P-103).
    FourItems,
    /// The signed QR code of the notice on paper (P-031).
    PaperNotice,
    /// マイナンバーカード read by オンライン資格確認 at a terminal of the office, as the terminal states (P-172).
    OnlineQualification,
    /// The municipality named the office for this person (住所地, 届出, 不開示 confirmation).
    Municipality,
}

impl IdentityCheck {
    /// Its word in the log and in answers.
    pub fn code(self) -> &'static str {
        match self {
            Self::IndividualNumberCard => "individual_number_card",
            Self::FourItems => "four_items",
            Self::PaperNotice => "paper_notice",
            Self::OnlineQualification => "online_qualification",
            Self::Municipality => "municipality",
        }
    }
}

/// Why a registration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Ended by the office.
    Office,
    /// Ended by the person or a proxy.
    Person,
    /// Ended by the municipality.
    Municipality,
}

/// One registration. Gives no rights to sister offices (P-112).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// About whom.
    pub person: PersonKey,
    /// Which office.
    pub office: OfficeNumber,
    /// How identity was confirmed.
    pub check: IdentityCheck,
    /// Who confirmed it.
    pub registered_by: StaffId,
    /// When.
    pub registered_at: Timestamp,
    /// 閲覧期限: last day on which the office may view (P-108).
    pub viewable_until: Date,
    /// ※1: the staff member who makes this person's plan, a 介護支援専門員 of this office (P-042).
    pub plan_maker: Option<StaffId>,
    /// The municipality confirmed this office for a person under 不開示 (P-037).
    pub confirmed_by_municipality: bool,
    /// End, if it has ended.
    pub ended: Option<(Timestamp, EndReason)>,
}

/// Months without a claim after which viewing ends (P-108; N is configuration, this is the default).
pub const DEFAULT_MONTHS_WITHOUT_CLAIM: i32 = 3;

impl Assignment {
    /// 閲覧期限 that follows from a service month: the last day of the N-th month after it.
    pub fn viewable_until_after(month: ServiceMonth, months: i32) -> Date {
        month.plus(months).last_day()
    }

    /// Whether the office may view on this day.
    pub fn is_live(&self, today: Date) -> bool {
        self.ended.is_none() && today <= self.viewable_until
    }
}

/// Disaster mode (P-120…126): opened by two named operators for areas, kinds of office and a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisasterMode {
    /// Its id.
    pub id: String,
    /// Name of the event, such as `令和8年見本地震`.
    pub event: String,
    /// Municipalities whose insured may be searched and in which offices are eligible.
    pub areas: Vec<crate::ids::InsurerNumber>,
    /// Kinds of office that are eligible inside the area; empty means every kind (P-121).
    pub classes: Vec<crate::office::OfficeClass>,
    /// Offices named one by one, inside or outside the area (P-122).
    pub offices: Vec<OfficeNumber>,
    /// Municipalities that take in evacuees (P-121).
    pub hosts: Vec<crate::ids::InsurerNumber>,
    /// C1/CP may be shown without consent for this event (P-125).
    pub without_consent: bool,
    /// Days on which it is open, ends included.
    pub period: Period,
    /// The two operators who opened it (S-033).
    pub opened_by: (StaffId, StaffId),
    /// SHA-256 of the certificate over which it was proposed, lower-case hexadecimal; the second operator uses another.
    pub proposed_over: String,
    /// Closed early at this instant.
    pub closed_at: Option<Timestamp>,
}

impl DisasterMode {
    /// Whether it is running.
    pub fn is_open(&self, today: Date) -> bool {
        self.closed_at.is_none() && self.period.contains(today)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn viewing_ends_three_months_after_the_last_service_month() {
        let month = ServiceMonth::parse("202611").unwrap();
        assert_eq!(Assignment::viewable_until_after(month, DEFAULT_MONTHS_WITHOUT_CLAIM), date(2027, 2, 28));
    }
}
