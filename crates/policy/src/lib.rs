//! Who may see or do what: the law's tables (`tables/*.tsv`) and one pure decision over them.
//!
//! Gather [`Facts`], call [`decide`], obey the [`Decision`]; [`why`] turns it into a sentence for the screen. Nothing
//! here reads a clock, a database or a request. How to change a rule: `docs/access.md`.

mod consent;
mod decide;
mod disaster;
mod explain;
mod facts;
mod office;
mod register;
mod replay;
mod rule;
mod slip;
mod table;
mod tsv;
mod way;
mod withheld;

#[cfg(test)]
mod tests;

pub use consent::{ConsentSubject, ConsentTaker, may_record_withdrawal, may_take_consent};
pub use decide::{Decision, Disclosure, decide};
pub use disaster::{disaster_for_municipality, disaster_for_office};
pub use explain::{Explanation, why};
pub use facts::{Action, Caller, Consent, Disaster, Facts, KindFacts, MunicipalityRelation, OfficeFacts, Opinion};
pub use office::{ServiceTypeRule, class_of, is_care_manager, makes_plans, service_type_rule, service_type_rules};
pub use register::{Writer, may_register, may_write_on_screen};
pub use replay::{NotReplayable, Replayed, replay};
pub use rule::{Reason, Rule};
pub use slip::{SlipAct, SlipDecision, SlipFacts, SlipParty, decide_slip, may_receive_slips};
pub use table::{Audience, Cell, Mark, Row, SharingTable, TableError};
pub use way::{UseCase, Way, way_allows};
pub use withheld::{Treatment, WhereaboutsItem};
