//! アクセス判断: the nine steps of docs/access.md as one pure function.
//!
//! A caller may stand in several columns of the sharing table (a hospital that is also a care office, a care manager
//! of a facility, ※1). Each column is asked on its own and the best permit wins, so no refusal in one column takes away
//! what another column of the same office gives. Consent is asked last although it is step 5: 同意未取得 may be said
//! only to somebody who lacks nothing else (P-056). Step 9, the audit entry, belongs to the caller of this function.

use crate::facts::{Action, Caller, Consent, Disaster, Facts, KindFacts, MunicipalityRelation, OfficeFacts, Opinion};
use crate::office::{CarePlanningColumn, ServiceColumn};
use crate::register::Writer;
use crate::rule::Rule;
use crate::table::{Audience, Mark, Row, SharingTable};
use crate::withheld::is_closed;
use kiban_domain::office::OfficeClass;

/// How a refusal is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disclosure {
    /// Exactly like a record that does not exist (P-041).
    Blind,
    /// The reason may be said.
    Told,
}

/// The outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Yes.
    Allow {
        /// Mark of the cell.
        mark: Mark,
        /// Column in which the caller stands.
        audience: Audience,
        /// Step 4: why this person concerns the caller. [`Rule::Disaster`] asks for the reason to be recorded (P-124).
        ground: Rule,
        /// The rule that settled it: consent where the cell is ◎, else the ground.
        rule: Rule,
        /// The items of `whereabouts.tsv` must be masked (P-037).
        whereabouts_hidden: bool,
    },
    /// No.
    Refuse {
        /// The rule against it.
        rule: Rule,
        /// Number of the step in docs/access.md.
        step: u8,
        /// How it is answered.
        disclosure: Disclosure,
    },
}

impl Decision {
    /// Whether it is a yes.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }

    /// The rule that settled it.
    pub fn rule(&self) -> Rule {
        match self {
            Self::Allow { rule, .. } | Self::Refuse { rule, .. } => *rule,
        }
    }
}

/// Decides.
pub fn decide(facts: &Facts, table: &SharingTable) -> Decision {
    decide_with(facts, table, Steps::default())
}

/// Decides with a step disabled or inverted; only the mutation check passes anything but the default.
pub(crate) fn decide_with(facts: &Facts, table: &SharingTable, steps: Steps) -> Decision {
    let case = Case { facts, table, steps, row: facts.kind.row() };
    match case.best_permit() {
        Ok(permit) => permit,
        Err(rule) => Decision::Refuse { rule, step: table.reason(rule).step, disclosure: disclosure(rule) },
    }
}

impl SharingTable {
    /// Whether a refusal by this rule may be told to the caller.
    pub fn may_be_told(&self, rule: Rule) -> bool {
        disclosure(rule) == Disclosure::Told
    }
}

/// Refusals that may be told: they say something about the caller, the city or the kind, never about what exists.
fn disclosure(rule: Rule) -> Disclosure {
    match rule {
        Rule::SessionInvalid
        | Rule::NotStarted
        | Rule::NotStored
        | Rule::NotWriter
        | Rule::NotPlanMaker
        | Rule::SwitchedOff
        | Rule::ConsentMissing
        | Rule::KindRefused => Disclosure::Told,
        _ => Disclosure::Blind,
    }
}

/// One question under decision.
struct Case<'a> {
    facts: &'a Facts,
    table: &'a SharingTable,
    steps: Steps,
    row: Row,
}

impl Case<'_> {
    fn best_permit(&self) -> Result<Decision, Rule> {
        self.require(Step::Session, self.facts.session_valid, Rule::SessionInvalid)?; // step 1
        self.require(Step::Started, self.facts.insurer_started, Rule::NotStarted)?; // step 2
        let mut best: Result<Decision, Rule> = Err(Rule::NoAudience);
        for audience in self.columns().into_iter().flatten() {
            best = better(best, self.permit(audience));
        }
        best
    }

    /// Steps 3 to 8 for one column.
    fn permit(&self, audience: Audience) -> Result<Decision, Rule> {
        let (f, row) = (self.facts, self.row);
        let cell = self.table.cell(row, audience);
        let mark = cell.mark;
        let writing = f.action == Action::Create;

        // Step 3: the cell.
        self.require(Step::Cell, mark != Mark::Blank, Rule::BlankCell)?;
        self.require(Step::Stored, row.is_stored(), Rule::NotStored)?;
        let may_be_author = mark != Mark::Creator || !is_creator_half(audience) || self.writes();
        self.require(Step::OpinionWriter, may_be_author, Rule::NotOpinionWriter)?;
        self.require(Step::Writer, !writing || (mark == Mark::Creator && self.writes()), Rule::NotWriter)?;
        self.require(Step::OwnFiling, !cell.own_only || self.is_author(), Rule::NotOwnFiling)?;
        // Step 7: P-045. It narrows the cell, so it is asked with the cell and answered like a blank one.
        let card_for_care = matches!(row, Row::A3b | Row::A3c);
        let without_care = self.office().is_some_and(|o| o.class == OfficeClass::Hospital);
        self.require(Step::HospitalCare, !(card_for_care && without_care), Rule::HospitalWithoutCare)?;
        // Step 3b: an opinion reaches the 居宅 column only once the city accepted it.
        if let (Audience::CarePlanning, KindFacts::A2(opinion)) = (audience, f.kind) {
            self.require(Step::OpinionAccepted, opinion != Opinion::NotAccepted, Rule::OpinionNotAccepted)?;
            self.require(Step::DoctorAgreed, opinion != Opinion::DoctorRefused, Rule::DoctorRefused)?;
        }
        // Steps 4 and 8: what makes this person the caller's business.
        let ground = self.ground(audience, mark)?;
        self.require(Step::OnlyCreatorWrites, !writing || f.creator, Rule::NotCreator)?;
        // Step 6: 職種, and the office's own switch.
        let narrowed = audience == Audience::CarePlanning && self.table.is_plan_maker_only(row);
        self.require(Step::PlanMaker, !narrowed || self.is_plan_maker(), Rule::NotPlanMaker)?;
        self.require(Step::Switch, !self.office().is_some_and(|o| o.switched_off), Rule::SwitchedOff)?;
        // P-037: whereabouts.
        let whereabouts_hidden = !self.sees_whereabouts(ground);
        let closed = whereabouts_hidden && is_closed(row, self.table) && !writing && !self.is_author();
        self.require(Step::WithheldKind, !closed, Rule::Withheld)?;
        // Step 5, last: consent.
        let rule = match mark {
            Mark::OnConsent => self.consent(audience)?,
            _ if writing => Rule::Writer,
            _ => ground,
        };
        Ok(Decision::Allow { mark, audience, ground, rule, whereabouts_hidden })
    }

    /// In which columns the caller may stand (P-004…006, ※1).
    fn columns(&self) -> [Option<Audience>; 3] {
        let office = match self.facts.caller {
            Caller::Person { .. } | Caller::Proxy { .. } => return [Some(Audience::Person), None, None],
            Caller::Municipality { .. } => return [Some(Audience::Municipality), None, None],
            Caller::Prefecture | Caller::Operator => {
                let none = self.steps.holds(Step::NoColumnForOperators, false);
                return [none.then_some(Audience::Municipality), None, None];
            }
            Caller::Office(office) => office,
        };
        let class = self.table.class(office.class);
        let planning = match class.care_planning {
            CarePlanningColumn::ByClass => true,
            CarePlanningColumn::ByPlanMaker => {
                self.steps.holds(Step::PlanMakerColumn, self.is_plan_maker()) || self.reads_own_plan()
            }
            CarePlanningColumn::Never => false,
        };
        // A new record is by definition the caller's own.
        let own = self.facts.creator || self.facts.action == Action::Create;
        let service = if own { Audience::ServiceCreator } else { Audience::ServiceOther };
        let hospital = if own { Audience::HospitalCreator } else { Audience::HospitalOther };
        let stands_in_service = match class.service {
            ServiceColumn::Always => true,
            ServiceColumn::OwnOnly => own && self.writes(),
            ServiceColumn::Never => false,
        };
        [
            planning.then_some(Audience::CarePlanning),
            stands_in_service.then_some(service),
            class.hospital.then_some(hospital),
        ]
    }

    /// Step 4, with the disaster mode of step 8 in its place.
    fn ground(&self, audience: Audience, mark: Mark) -> Result<Rule, Rule> {
        let f = self.facts;
        let disaster = self.table.disaster(self.row);
        match f.caller {
            Caller::Person { bound } => self.require(Step::Bound, bound, Rule::NotBound).map(|()| Rule::OwnInformation),
            Caller::Proxy { live } => {
                self.require(Step::ProxyLive, live, Rule::ProxyNotLive)?;
                self.require(Step::ProxySuspended, !f.withheld, Rule::ProxyNotLive).map(|()| Rule::Proxy)
            }
            Caller::Municipality { relation: MunicipalityRelation::Own } => Ok(Rule::OwnMunicipality),
            Caller::Municipality { relation } => {
                let host = relation == MunicipalityRelation::HostOfEvacuees && self.in_disaster() && disaster.host;
                self.require(Step::OtherCity, host, Rule::OtherMunicipality).map(|()| Rule::Disaster)
            }
            Caller::Office(office) if office.assignment_live => Ok(Rule::AssignedOffice),
            Caller::Office(_) if self.is_ground_of_author(mark) => Ok(Rule::Author),
            Caller::Office(office) if self.asked_for_opinion(office, audience) => Ok(Rule::OpinionRequest),
            Caller::Office(_) if self.in_disaster() && disaster.offices => Ok(Rule::Disaster),
            Caller::Office(_) => {
                self.require(Step::Assignment, false, Rule::NotAssigned).map(|()| Rule::AssignedOffice)
            }
            Caller::Prefecture | Caller::Operator => Err(Rule::NoAudience),
        }
    }

    /// P-054: an office reads on what it wrote itself, even after its assignment ended. Writing needs more.
    fn is_ground_of_author(&self, mark: Mark) -> bool {
        let author = self.steps.holds(Step::AuthorGround, self.is_author());
        author && mark == Mark::Creator && self.facts.action == Action::Read
    }

    /// P-048: the city's request concerns a hospital as a hospital, and a 老健/医療院 for its own opinion (※2).
    fn asked_for_opinion(&self, office: OfficeFacts, audience: Audience) -> bool {
        let as_hospital = matches!(audience, Audience::HospitalCreator | Audience::HospitalOther);
        let as_writer = audience == Audience::ServiceCreator && self.row == Row::A2 && self.writes();
        self.steps.holds(Step::OpinionRequest, office.opinion_requested) && (as_hospital || as_writer)
    }

    /// A running mode counts for reading only (P-126), and never finds a 不開示 person (P-037).
    fn in_disaster(&self) -> bool {
        self.steps.holds(Step::DisasterRuns, self.facts.disaster != Disaster::None)
            && self.steps.holds(Step::DisasterReadsOnly, self.facts.action == Action::Read)
            && self.steps.holds(Step::DisasterNotWithheld, !self.facts.withheld)
    }

    /// P-037: the person's city, and registered offices it has confirmed.
    fn sees_whereabouts(&self, ground: Rule) -> bool {
        let confirmed = self.office().is_some_and(|o| o.confirmed_by_city) && ground == Rule::AssignedOffice;
        let may = !self.facts.withheld || ground == Rule::OwnMunicipality || confirmed;
        self.steps.holds(Step::WithheldMask, may)
    }

    /// Step 5. A refusal of the kind outlives even a mode opened without consent.
    fn consent(&self, audience: Audience) -> Result<Rule, Rule> {
        if self.steps.holds(Step::OwnConsent, audience == Audience::Person) {
            return Ok(Rule::OwnConsentNotNeeded);
        }
        let waived = self.facts.disaster == Disaster::OpenWithoutConsent
            && self.in_disaster()
            && self.table.disaster(self.row).without_consent;
        if self.steps.holds(Step::ConsentGiven, self.facts.consent == Consent::Given) {
            return Ok(Rule::Consented);
        }
        let refused = self.facts.consent == Consent::RefusedForKind;
        if self.steps.holds(Step::ConsentWaiver, waived) && self.steps.holds(Step::KindNotRefused, !refused) {
            return Ok(Rule::DisasterWithoutConsent);
        }
        Err(if refused { Rule::KindRefused } else { Rule::ConsentMissing })
    }

    fn office(&self) -> Option<OfficeFacts> {
        match self.facts.caller {
            Caller::Office(office) => Some(office),
            _ => None,
        }
    }

    /// ※1: a 介護支援専門員 who is named as this person's plan maker on the live assignment.
    fn is_plan_maker(&self) -> bool {
        self.office().is_some_and(|o| {
            self.steps.holds(Step::CareManager, o.care_manager)
                && self.steps.holds(Step::PlanMakerNamed, o.plan_maker)
                && self.steps.holds(Step::PlanMakerLive, o.assignment_live)
        })
    }

    /// A facility stands in the 居宅 column for the plans it wrote itself (a reading note of the published table).
    fn reads_own_plan(&self) -> bool {
        self.steps.holds(Step::OwnPlanRead, self.facts.action == Action::Read)
            && self.steps.holds(Step::OwnPlanKind, matches!(self.row, Row::Cp1 | Row::Cp2))
            && self.steps.holds(Step::OwnPlanAuthor, self.is_author())
    }

    /// The office created the document and is of a class that writes this kind.
    fn is_author(&self) -> bool {
        self.facts.creator && self.office().is_some() && self.writes()
    }

    /// Whether the caller's role writes this kind at all (`writers.tsv`, ※2).
    fn writes(&self) -> bool {
        let writer = match self.facts.caller {
            Caller::Person { .. } | Caller::Proxy { .. } => Writer::Person,
            Caller::Municipality { .. } => Writer::Municipality,
            Caller::Office(office) => Writer::Office(office.class),
            Caller::Prefecture | Caller::Operator => return false,
        };
        self.table.means(self.row, writer).is_some()
    }

    fn require(&self, step: Step, condition: bool, rule: Rule) -> Result<(), Rule> {
        if self.steps.holds(step, condition) { Ok(()) } else { Err(rule) }
    }
}

fn is_creator_half(audience: Audience) -> bool {
    matches!(audience, Audience::ServiceCreator | Audience::HospitalCreator)
}

/// The better of two columns: a permit before a refusal, full sight before masked, the stronger mark; of two refusals
/// the one that got further.
fn better(a: Result<Decision, Rule>, b: Result<Decision, Rule>) -> Result<Decision, Rule> {
    let rank = |result: &Result<Decision, Rule>| match result {
        Ok(Decision::Allow { mark, whereabouts_hidden, .. }) => (2, !whereabouts_hidden, *mark as usize),
        Ok(Decision::Refuse { .. }) => (0, false, 0),
        Err(rule) => (1, false, progress(*rule)),
    };
    if rank(&b) > rank(&a) { b } else { a }
}

/// How far the evaluation of a column got before this rule stopped it.
fn progress(rule: Rule) -> usize {
    const ORDER: [Rule; 19] = [
        Rule::NoAudience,
        Rule::BlankCell,
        Rule::NotStored,
        Rule::NotOpinionWriter,
        Rule::NotWriter,
        Rule::NotOwnFiling,
        Rule::HospitalWithoutCare,
        Rule::OpinionNotAccepted,
        Rule::DoctorRefused,
        Rule::NotBound,
        Rule::ProxyNotLive,
        Rule::OtherMunicipality,
        Rule::NotAssigned,
        Rule::NotCreator,
        Rule::NotPlanMaker,
        Rule::SwitchedOff,
        Rule::Withheld,
        Rule::ConsentMissing,
        Rule::KindRefused,
    ];
    ORDER.iter().position(|known| *known == rule).unwrap_or(0)
}

macro_rules! steps {
    ($($step:ident,)+) => {
        /// Every single check of the decision, so that a test can take each away or turn it round and see that it is
        /// missed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Step { $($step,)+ }

        impl Step {
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$step,)+];
        }
    };
}

steps! {
    Session, Started, NoColumnForOperators, PlanMakerColumn, Cell, Stored, OpinionWriter, Writer, OwnFiling,
    OpinionAccepted, DoctorAgreed, Bound, ProxyLive, ProxySuspended, OtherCity, AuthorGround, OpinionRequest, Assignment,
    DisasterRuns, DisasterReadsOnly, DisasterNotWithheld, OnlyCreatorWrites, PlanMaker, CareManager, PlanMakerNamed,
    PlanMakerLive, OwnPlanRead, OwnPlanKind, OwnPlanAuthor, Switch, HospitalCare, WithheldMask, WithheldKind, OwnConsent,
    ConsentGiven, ConsentWaiver, KindNotRefused, ConsentTaker, ConsentAssigned, ConsentCareManager, ConsentCertified,
    ConsentBeforeRenewal,
}

/// What a mutated step does instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "only the mutation check changes steps"))]
pub(crate) enum Fault {
    /// Always passes.
    Skipped,
    /// Passes exactly when it should not.
    Inverted,
}

/// The steps in force; the default is all of them, unchanged.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Steps {
    pub(crate) fault: Option<(Step, Fault)>,
}

impl Steps {
    #[inline]
    pub(crate) fn holds(self, step: Step, condition: bool) -> bool {
        match self.fault {
            Some((faulty, fault)) if faulty == step => fault == Fault::Skipped || !condition,
            _ => condition,
        }
    }
}
