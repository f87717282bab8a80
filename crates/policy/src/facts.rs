//! 事実: everything a decision may depend on, as enums and booleans only (design: the decision sees `Facts` and nothing
//! else). Clock, dates, periods and look-ups have become booleans before.
//!
//! The whole space has [`Facts::COUNT`] values (about 2.4 million: offices alone have seven classes and six
//! independent facts each). The exhaustive tests walk all of it in about a second. An audit entry keeps the facts as
//! 64 bits, so that the decision can be replayed.

use kiban_domain::Kind;
use kiban_domain::office::OfficeClass;

use crate::table::Row;

/// What the caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// View, print, export.
    Read,
    /// Make a new record, or correct an own one.
    Create,
}

/// Whose municipality the caller is (P-049).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MunicipalityRelation {
    /// The person's own insurer.
    Own,
    /// Takes in evacuees and is named by a running disaster mode (P-121).
    HostOfEvacuees,
    /// Any other.
    Other,
}

/// An office or hospital, its staff member and their relation to the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OfficeFacts {
    /// 事業所の区分, from `service_classes.tsv`.
    pub class: OfficeClass,
    /// A live 担当事業所登録 within its 閲覧期限 (P-100, P-108).
    pub assignment_live: bool,
    /// The staff member is a 介護支援専門員 (P-013).
    pub care_manager: bool,
    /// The staff member is named as plan maker on the live assignment (※1, P-042).
    pub plan_maker: bool,
    /// The office's administrator switched this off for the staff member (P-014).
    pub switched_off: bool,
    /// The city confirmed this office for this person under 不開示 (P-037).
    pub confirmed_by_city: bool,
    /// The city sent this office a 主治医意見書作成依頼書 for this person (P-048).
    pub opinion_requested: bool,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    /// 利用者 by the portal.
    Person {
        /// The log-in is bound to exactly this insured person.
        bound: bool,
    },
    /// 家族等, accepted by the city (P-002).
    Proxy {
        /// Accepted, within its period, neither ended nor suspended.
        live: bool,
    },
    /// 市区町村, by a person or its connector.
    Municipality {
        /// To the person asked about.
        relation: MunicipalityRelation,
    },
    /// 事業所 or 医療機関.
    Office(OfficeFacts),
    /// 都道府県: a role without grants (P-009).
    Prefecture,
    /// 運用者: never sees a record (P-010).
    Operator,
}

/// Where a 主治医意見書 stands (step 3b).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opinion {
    /// Sent or drafted, not yet accepted by the city.
    NotAccepted,
    /// Accepted (受理).
    Accepted,
    /// Accepted, but written before 2026-04-01 with the doctor's consent to use in care plans refused.
    DoctorRefused,
}

/// The kind of information, with what the decision needs to know about the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the kinds are described in the catalogue of the domain")]
pub enum KindFacts {
    A1,
    A2(Opinion),
    A3a,
    A3b,
    A3c,
    A4,
    A5,
    /// B1–B2, never stored (※3).
    PlanningClaims,
    /// B3–B8, never stored (※3).
    ServiceClaims,
    C1,
    Cp1,
    Cp2,
    E1,
    E2,
    F1,
    G1,
}

impl KindFacts {
    /// All kinds with all their states.
    pub const ALL: [Self; 18] = [
        Self::A1,
        Self::A2(Opinion::NotAccepted),
        Self::A2(Opinion::Accepted),
        Self::A2(Opinion::DoctorRefused),
        Self::A3a,
        Self::A3b,
        Self::A3c,
        Self::A4,
        Self::A5,
        Self::PlanningClaims,
        Self::ServiceClaims,
        Self::C1,
        Self::Cp1,
        Self::Cp2,
        Self::E1,
        Self::E2,
        Self::F1,
        Self::G1,
    ];

    /// The facts of a kind; `opinion` matters for A2 only. Before a document is chosen, ask with
    /// [`Opinion::Accepted`] whether the kind may be seen at all, then again for each document.
    pub fn of(kind: Kind, opinion: Opinion) -> Self {
        match kind {
            Kind::A1 => Self::A1,
            Kind::A2 => Self::A2(opinion),
            Kind::A3a => Self::A3a,
            Kind::A3b => Self::A3b,
            Kind::A3c => Self::A3c,
            Kind::A4 => Self::A4,
            Kind::A5 => Self::A5,
            Kind::B1 | Kind::B2 => Self::PlanningClaims,
            Kind::B3 | Kind::B4 | Kind::B5 | Kind::B6 | Kind::B7 | Kind::B8 => Self::ServiceClaims,
            Kind::C1 => Self::C1,
            Kind::Cp1 => Self::Cp1,
            Kind::Cp2 => Self::Cp2,
            Kind::E1 => Self::E1,
            Kind::E2 => Self::E2,
            Kind::F1 => Self::F1,
            Kind::G1 => Self::G1,
        }
    }

    /// Its line in the sharing table.
    pub fn row(self) -> Row {
        match self {
            Self::A1 => Row::A1,
            Self::A2(_) => Row::A2,
            Self::A3a => Row::A3a,
            Self::A3b => Row::A3b,
            Self::A3c => Row::A3c,
            Self::A4 => Row::A4,
            Self::A5 => Row::A5,
            Self::PlanningClaims => Row::PlanningClaims,
            Self::ServiceClaims => Row::ServiceClaims,
            Self::C1 => Row::C1,
            Self::Cp1 => Row::Cp1,
            Self::Cp2 => Row::Cp2,
            Self::E1 => Row::E1,
            Self::E2 => Row::E2,
            Self::F1 => Row::F1,
            Self::G1 => Row::G1,
        }
    }
}

/// The person's consent as it applies to this kind (P-061, P-069).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Consent {
    /// Never given, withdrawn, or not obtainable.
    NotObtained,
    /// 包括同意 is live and does not exclude this kind.
    Given,
    /// This kind was refused.
    RefusedForKind,
}

/// Whether a running disaster mode covers both this caller and this person (P-121).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disaster {
    /// No.
    None,
    /// Yes; consent as ever.
    Open,
    /// Yes, and the mode was opened with "C1/CP without consent" (P-125).
    OpenWithoutConsent,
}

/// Everything a decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Who asks.
    pub caller: Caller,
    /// About which kind.
    pub kind: KindFacts,
    /// To do what.
    pub action: Action,
    /// The caller's organisation (or the person) created this document, or creates it by this act.
    pub creator: bool,
    /// Consent for this kind.
    pub consent: Consent,
    /// Disaster mode.
    pub disaster: Disaster,
    /// Certificate, office, account and session are all valid (step 1).
    pub session_valid: bool,
    /// The person's municipality has reached its 利用開始日 (step 2).
    pub insurer_started: bool,
    /// 不開示 is set for the person (P-037).
    pub withheld: bool,
}

pub(crate) const CLASSES: [OfficeClass; 7] = [
    OfficeClass::CarePlanning,
    OfficeClass::CommunitySupport,
    OfficeClass::HealthFacility,
    OfficeClass::ResidentialService,
    OfficeClass::Service,
    OfficeClass::HospitalWithCare,
    OfficeClass::Hospital,
];
const RELATIONS: [MunicipalityRelation; 3] =
    [MunicipalityRelation::Own, MunicipalityRelation::HostOfEvacuees, MunicipalityRelation::Other];
const OPINIONS: [Opinion; 3] = [Opinion::NotAccepted, Opinion::Accepted, Opinion::DoctorRefused];
pub(crate) const CONSENTS: [Consent; 3] = [Consent::RefusedForKind, Consent::NotObtained, Consent::Given];
pub(crate) const DISASTERS: [Disaster; 3] = [Disaster::None, Disaster::Open, Disaster::OpenWithoutConsent];
/// Version of the bit layout, kept in the four highest bits; a replay of an older layout needs its own reader.
const LAYOUT: u64 = 1;

impl Facts {
    /// How many values there are.
    pub const COUNT: usize = Caller::COUNT * KindFacts::ALL.len() * 2 * 2 * 3 * 3 * 2 * 2 * 2;

    /// Every value there is, each once.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self::nth)
    }

    /// Mixed-radix reading of an index.
    fn nth(index: usize) -> Self {
        let mut rest = index;
        let mut take = |radix: usize| {
            let digit = rest % radix;
            rest /= radix;
            digit
        };
        Self {
            withheld: take(2) == 1,
            insurer_started: take(2) == 1,
            session_valid: take(2) == 1,
            disaster: DISASTERS[take(3)],
            consent: CONSENTS[take(3)],
            creator: take(2) == 1,
            action: if take(2) == 0 { Action::Read } else { Action::Create },
            kind: KindFacts::ALL[take(KindFacts::ALL.len())],
            caller: Caller::nth(take(Caller::COUNT)),
        }
    }

    /// The facts as bits, for the audit entry. Layout 1, from the lowest bit: caller 12, kind 5, opinion 2, action 1,
    /// creator 1, consent 2, disaster 2, session 1, started 1, withheld 1; layout number in bits 60–63.
    pub fn to_bits(&self) -> u64 {
        let (row, opinion) = match self.kind {
            KindFacts::A2(opinion) => (Row::A2, position(&OPINIONS, &opinion)),
            other => (other.row(), 0),
        };
        LAYOUT << 60
            | self.caller.to_bits()
            | (row as u64) << 12
            | opinion << 17
            | u64::from(self.action == Action::Create) << 19
            | u64::from(self.creator) << 20
            | position(&CONSENTS, &self.consent) << 21
            | position(&DISASTERS, &self.disaster) << 23
            | u64::from(self.session_valid) << 25
            | u64::from(self.insurer_started) << 26
            | u64::from(self.withheld) << 27
    }

    /// Inverse of [`Facts::to_bits`]; `None` for bits no facts have.
    pub fn from_bits(bits: u64) -> Option<Self> {
        let field = |from: u32, width: u32| ((bits >> from) & ((1 << width) - 1)) as usize;
        let row = *Row::ALL.get(field(12, 5))?;
        let opinion = *OPINIONS.get(field(17, 2))?;
        let kind = match row {
            Row::A2 => KindFacts::A2(opinion),
            _ => KindFacts::ALL.into_iter().find(|kind| kind.row() == row)?,
        };
        let facts = Self {
            caller: Caller::from_bits(bits)?,
            kind,
            action: if field(19, 1) == 0 { Action::Read } else { Action::Create },
            creator: field(20, 1) == 1,
            consent: *CONSENTS.get(field(21, 2))?,
            disaster: *DISASTERS.get(field(23, 2))?,
            session_valid: field(25, 1) == 1,
            insurer_started: field(26, 1) == 1,
            withheld: field(27, 1) == 1,
        };
        (facts.to_bits() == bits).then_some(facts)
    }
}

impl Caller {
    /// How many values there are.
    const COUNT: usize = 2 + 2 + 3 + 7 * 64 + 2;

    fn nth(index: usize) -> Self {
        match index {
            0 | 1 => Self::Person { bound: index == 1 },
            2 | 3 => Self::Proxy { live: index == 3 },
            4..=6 => Self::Municipality { relation: RELATIONS[index - 4] },
            7 => Self::Prefecture,
            8 => Self::Operator,
            _ => {
                let (class, flags) = ((index - 9) / 64, (index - 9) % 64);
                Self::Office(OfficeFacts::new(CLASSES[class], flags as u64))
            }
        }
    }

    /// Bits 0–2 say who, bits 3–11 what about them.
    fn to_bits(self) -> u64 {
        match self {
            Self::Person { bound } => u64::from(bound) << 3,
            Self::Proxy { live } => 1 | u64::from(live) << 3,
            Self::Municipality { relation } => 2 | position(&RELATIONS, &relation) << 3,
            Self::Office(office) => 3 | position(&CLASSES, &office.class) << 3 | office.flags() << 6,
            Self::Prefecture => 4,
            Self::Operator => 5,
        }
    }

    fn from_bits(bits: u64) -> Option<Self> {
        let about = (bits >> 3) & 0x1ff;
        Some(match bits & 7 {
            0 => Self::Person { bound: about == 1 },
            1 => Self::Proxy { live: about == 1 },
            2 => Self::Municipality { relation: *RELATIONS.get(about as usize)? },
            3 => Self::Office(OfficeFacts::new(*CLASSES.get((about & 7) as usize)?, about >> 3)),
            4 => Self::Prefecture,
            5 => Self::Operator,
            _ => return None,
        })
    }
}

impl OfficeFacts {
    /// From six flags in the order of the fields.
    fn new(class: OfficeClass, flags: u64) -> Self {
        Self {
            class,
            assignment_live: flags & 1 != 0,
            care_manager: flags & 2 != 0,
            plan_maker: flags & 4 != 0,
            switched_off: flags & 8 != 0,
            confirmed_by_city: flags & 16 != 0,
            opinion_requested: flags & 32 != 0,
        }
    }

    fn flags(self) -> u64 {
        u64::from(self.assignment_live)
            | u64::from(self.care_manager) << 1
            | u64::from(self.plan_maker) << 2
            | u64::from(self.switched_off) << 3
            | u64::from(self.confirmed_by_city) << 4
            | u64::from(self.opinion_requested) << 5
    }
}

/// Position in a list that holds every value of its type.
fn position<T: PartialEq>(all: &[T], value: &T) -> u64 {
    all.iter().position(|other| other == value).unwrap_or(0) as u64
}
