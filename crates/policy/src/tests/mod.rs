//! The nets under the policy: proof by exhaustion, golden table, mutation, and one named test per rule of the law.

mod golden;
mod law;
mod mutation;
mod proof;
mod rules;

use crate::facts::{Action, Caller, Consent, Disaster, Facts, KindFacts, MunicipalityRelation, OfficeFacts, Opinion};
use crate::table::SharingTable;
use kiban_domain::Date;
use kiban_domain::office::OfficeClass;

/// The table of the time these tests were written.
pub(crate) fn table() -> &'static SharingTable {
    SharingTable::at(Date::constant(2026, 11, 1)).unwrap()
}

/// An assigned office whose staff member is nobody special.
pub(crate) fn office(class: OfficeClass) -> OfficeFacts {
    OfficeFacts {
        class,
        assignment_live: true,
        care_manager: false,
        plan_maker: false,
        switched_off: false,
        confirmed_by_city: false,
        opinion_requested: false,
    }
}

/// The same office, seen by the care manager who makes this person's plan.
pub(crate) fn plan_maker(class: OfficeClass) -> OfficeFacts {
    OfficeFacts { care_manager: true, plan_maker: true, ..office(class) }
}

/// A wish to read, on an ordinary day, of an ordinary person without consent, in a city that has started.
pub(crate) fn asks(caller: Caller, kind: KindFacts) -> Facts {
    Facts {
        caller,
        kind,
        action: Action::Read,
        creator: false,
        consent: Consent::NotObtained,
        disaster: Disaster::None,
        session_valid: true,
        insurer_started: true,
        withheld: false,
    }
}

/// The same as an office.
pub(crate) fn asks_as(office: OfficeFacts, kind: KindFacts) -> Facts {
    asks(Caller::Office(office), kind)
}

/// 市区町村
pub(crate) fn city(relation: MunicipalityRelation) -> Caller {
    Caller::Municipality { relation }
}

/// An opinion the city has accepted.
pub(crate) const A2: KindFacts = KindFacts::A2(Opinion::Accepted);
