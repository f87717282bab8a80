//! Facts and decision of one question: may this caller do this with this kind of information about this person, now?

use crate::caller::Asks;
use crate::{Caller, Context, Error, Platform};
use kiban_domain::{Date, Kind, Organization, PersonKey, dates};
use kiban_policy::{
    Action, Consent, Decision, Disaster, Explanation, Facts, KindFacts, MunicipalityRelation, OfficeFacts, Opinion,
    Rule, SharingTable, decide, disaster_for_municipality, disaster_for_office, is_care_manager, makes_plans, why,
};
use kiban_store::{Asker, DisasterLook, Entry, Outcome, PersonFacts, PortalGrant, UnopenedPerson};

/// People of a list who are looked at together.
pub(crate) const TOGETHER: usize = 16;

/// Everything known about one caller and one person, before a kind is asked for.
pub(crate) struct Case {
    pub(crate) person: PersonKey,
    pub(crate) stored: PersonFacts,
    pub(crate) table: &'static SharingTable,
    caller: kiban_policy::Caller,
    disaster: Disaster,
    /// Ids of the running disaster modes for this person's municipality, recorded with every disaster view (P-124).
    pub(crate) events: Vec<String>,
    /// The search by which this caller found the person, while it opens views.
    pub(crate) look: Option<DisasterLook>,
    started: bool,
    /// 資格を喪失している.
    gone: bool,
    today: Date,
}

impl Platform {
    /// Step 1: facts, in one round trip. A running disaster mode counts only for somebody who found the person by a search and
    /// said why (P-124).
    pub(crate) async fn case(&self, caller: &Caller, person: PersonKey, context: &Context) -> Result<Case, Error> {
        let stored = self.stored_facts(caller, person).await?;
        self.case_of(caller, person, stored, false, context).await
    }

    /// Step 1 with the records of some kinds and the identity beside the facts in the same round trip, still sealed: they are
    /// opened after the decision, or never.
    pub(crate) async fn case_with(
        &self,
        caller: &Caller,
        person: PersonKey,
        (kinds, with_identity): (&[Kind], bool),
        context: &Context,
    ) -> Result<(Case, UnopenedPerson), Error> {
        let (stored, unopened) = self.store().person_facts_with(person, asker(caller), kinds, with_identity).await?;
        Ok((self.case_of(caller, person, stored, false, context).await?, unopened))
    }

    /// Step 1 about many people, at most [`TOGETHER`], in one round trip for those of one insurer; in their order.
    pub(crate) async fn cases_with(
        &self,
        caller: &Caller,
        people: &[PersonKey],
        (kinds, with_identity): (&[Kind], bool),
        context: &Context,
    ) -> Result<Vec<(Case, UnopenedPerson)>, Error> {
        let found = self.store().people_facts_with(people, asker(caller), kinds, with_identity).await?;
        let mut cases = Vec::with_capacity(found.len());
        for (person, (stored, unopened)) in people.iter().zip(found) {
            cases.push((self.case_of(caller, *person, stored, false, context).await?, unopened));
        }
        Ok(cases)
    }

    /// The facts during a disaster search, with the identity: the reason is being given at this moment.
    pub(crate) async fn case_of_search(
        &self,
        caller: &Caller,
        person: PersonKey,
        context: &Context,
    ) -> Result<(Case, UnopenedPerson), Error> {
        let (stored, unopened) = self.store().person_facts_with(person, asker(caller), &[], true).await?;
        Ok((self.case_of(caller, person, stored, true, context).await?, unopened))
    }

    /// The case of somebody at the person's own door, with the records of some kinds and the identity. The registration was checked for
    /// this request.
    pub(crate) async fn case_of_portal(
        &self,
        grant: &PortalGrant,
        kinds: &[Kind],
        context: &Context,
    ) -> Result<(Case, UnopenedPerson), Error> {
        let (person, today) = (grant.person, context.today());
        let asker = Asker { organization: Organization::Municipality(person.insurer), office: None, staff: None };
        let (stored, unopened) = self.store().person_facts_with(person, asker, kinds, true).await?;
        let caller = match grant.role.is_proxy() {
            true => kiban_policy::Caller::Proxy { live: true },
            false => kiban_policy::Caller::Person { bound: true },
        };
        let (started, gone) =
            (stored.start.is_started(today), stored.gone_on.is_some_and(|day| day <= dates::to_number(today)));
        let (table, disaster) = (self.table_at(context.now)?, Disaster::None);
        let case =
            Case { person, stored, table, caller, disaster, events: Vec::new(), look: None, started, gone, today };
        Ok((case, unopened))
    }

    async fn stored_facts(&self, caller: &Caller, person: PersonKey) -> Result<PersonFacts, Error> {
        let Asker { organization, office, staff } = asker(caller);
        Ok(self.store().person_facts(person, organization, office, staff).await?)
    }

    async fn case_of(
        &self,
        caller: &Caller,
        person: PersonKey,
        stored: PersonFacts,
        searching: bool,
        context: &Context,
    ) -> Result<Case, Error> {
        let today = context.today();
        let standing = self.standing();
        let modes: Vec<_> = standing.disasters().cloned().collect();
        let table = self.table_at(context.now)?;
        let area = stored.card_insurer.unwrap_or(person.insurer);
        let running = modes.iter().filter(|mode| mode.is_open(today) && mode.areas.contains(&area));
        let events: Vec<String> = running.map(|mode| mode.id.clone()).collect();
        let look = if searching { None } else { self.live_look(caller, person, &events, context).await? };
        let said_why = searching || look.is_some();
        let gated = |disaster: Disaster| if said_why { disaster } else { Disaster::None };
        let (policy_caller, disaster) = match (&caller.organization, &caller.office) {
            (Organization::Office(_), Some((office, class))) => {
                let assignment = stored.assignment.as_ref().filter(|assignment| assignment.is_live(today));
                let care_manager = is_care_manager(caller.staff.job);
                let plans = office.service_types.iter().any(|service| makes_plans(service, table));
                let named = assignment.and_then(|a| a.plan_maker.as_ref()) == Some(&caller.staff.id);
                let facts = OfficeFacts {
                    class: *class,
                    assignment_live: assignment.is_some(),
                    care_manager,
                    plan_maker: named && plans && care_manager,
                    switched_off: stored.switched_off,
                    confirmed_by_city: assignment.is_some_and(|a| a.confirmed_by_municipality),
                    opinion_requested: stored.opinion_requested_on.is_some_and(|day| self.is_request_live(day, today)),
                };
                (kiban_policy::Caller::Office(facts), gated(disaster_for_office(&modes, office, *class, &area, today)))
            }
            (Organization::Municipality(number), _) => {
                let disaster = gated(disaster_for_municipality(&modes, number, &area, today));
                // A member city of a 広域連合 sees its own residents only (T-13).
                let relation = if *number == person.insurer || *number == area {
                    MunicipalityRelation::Own
                } else if disaster != Disaster::None {
                    MunicipalityRelation::HostOfEvacuees
                } else {
                    MunicipalityRelation::Other
                };
                (kiban_policy::Caller::Municipality { relation }, disaster)
            }
            (Organization::Prefecture(_), _) => (kiban_policy::Caller::Prefecture, Disaster::None),
            _ => (kiban_policy::Caller::Operator, Disaster::None),
        };
        let started = stored.start.is_started(today);
        let gone = stored.gone_on.is_some_and(|day| day <= dates::to_number(today));
        Ok(Case { person, stored, table, caller: policy_caller, disaster, events, look, started, gone, today })
    }

    /// Whether a 意見書依頼 of that day still lets the hospital view.
    pub(crate) fn is_request_live(&self, requested_on: i32, today: Date) -> bool {
        let months = jiff::Span::new().months(self.inner.config.months_of_opinion_request);
        dates::from_number(requested_on).is_ok_and(|day| day.checked_add(months).is_ok_and(|last| today <= last))
    }

    /// Records a refusal and turns it into the answer the caller may have.
    pub(crate) async fn refuse(
        &self,
        caller: &Caller,
        case: &Case,
        question: Question,
        action: &str,
        context: &Context,
    ) -> Result<Error, Error> {
        let rule = case.decide(question).rule();
        let entry = case.entry(caller, context, action, Outcome::Refused, question, rule);
        self.store().audit().append(entry).await?;
        Ok(case.refusal(question))
    }
}

fn asker(caller: &Caller) -> Asker<'_> {
    Asker { organization: caller.organization, office: caller.organization.office(), staff: Some(&caller.staff.id) }
}

/// An unknown number answers exactly like a person of somebody else. "Not started" and the like depend on the insurer
/// and the caller only, so they may be said for any number.
fn unknown_person(explanation: &Explanation) -> Error {
    match explanation.rule {
        Rule::NotStarted | Rule::SessionInvalid | Rule::NotStored => Error::from_explanation(explanation.clone()),
        _ => Error::Unknown,
    }
}

/// What is asked about a person.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    pub(crate) kind: Kind,
    pub(crate) opinion: Opinion,
    pub(crate) action: Action,
    pub(crate) creator: bool,
}

impl Question {
    /// May the kind be read at all?
    pub(crate) fn read(kind: Kind) -> Self {
        Self { kind, opinion: Opinion::Accepted, action: Action::Read, creator: false }
    }

    /// The same for a document of the caller's own organisation.
    pub(crate) fn by_creator(self) -> Self {
        Self { creator: true, ..self }
    }

    /// May the caller make one?
    pub(crate) fn create(kind: Kind) -> Self {
        Self { action: Action::Create, creator: true, ..Self::read(kind) }
    }
}

impl Case {
    pub(crate) fn facts(&self, question: Question) -> Facts {
        // A refusal is asked first: it holds whether or not the comprehensive consent was ever given, also in a disaster.
        // A damaged act may have been a refusal of any kind. Consent ends with the insurance (P-070).
        let consent = if self.stored.consent_damaged || self.stored.consent.refused.contains(&question.kind) {
            Consent::RefusedForKind
        } else if self.stored.consent.given_at.is_none() || self.gone {
            Consent::NotObtained
        } else {
            Consent::Given
        };
        Facts {
            caller: self.asking(question.kind),
            kind: KindFacts::of(question.kind, question.opinion),
            action: question.action,
            creator: question.creator,
            consent,
            disaster: self.disaster,
            session_valid: true,
            insurer_started: self.started,
            withheld: self.stored.withheld,
        }
    }

    /// Who asks, for a kind: the office may hide some of the kinds only (P-014).
    fn asking(&self, kind: Kind) -> kiban_policy::Caller {
        match self.caller {
            kiban_policy::Caller::Office(office) if self.stored.switched_off_kinds.contains(&kind) => {
                kiban_policy::Caller::Office(OfficeFacts { switched_off: true, ..office })
            }
            caller => caller,
        }
    }

    /// Step 2: the decision. Nobody may do anything with a person who is not known here.
    pub(crate) fn decide(&self, question: Question) -> Decision {
        let decision = decide(&self.facts(question), self.table);
        if decision.is_allowed() && !self.stored.known {
            return Decision::Refuse { rule: Rule::NotAssigned, step: 4, disclosure: kiban_policy::Disclosure::Blind };
        }
        decision
    }

    /// Why, in words.
    pub(crate) fn why(&self, question: Question) -> Explanation {
        why(&self.facts(question), self.table)
    }

    /// The answer to a refused question, as far as the caller may know why. The refusal is recorded elsewhere.
    pub(crate) fn refusal(&self, question: Question) -> Error {
        let explanation = self.why(question);
        let error = if self.stored.known { Error::from_explanation(explanation) } else { unknown_person(&explanation) };
        error.with_start(self.stored.start, self.today)
    }

    /// The audit entry of this question, with the decision's facts for replay. Where only an unknown number stood against it the
    /// table did not decide, and no facts are kept.
    pub(crate) fn entry(
        &self,
        caller: &impl Asks,
        context: &Context,
        action: &str,
        outcome: Outcome,
        question: Question,
        rule: Rule,
    ) -> Entry {
        let facts = self.facts(question);
        let by_table = self.stored.known || !decide(&facts, self.table).is_allowed();
        Entry {
            kind: Some(question.kind.code().to_owned()),
            rule: Some(rule.code().to_owned()),
            policy_version: Some(self.table.version()),
            facts: if by_table { facts.to_bits() } else { 0 },
            ..caller.entry_about(context, self.person, action, outcome)
        }
    }

    /// Whether a live registration of the calling office exists.
    pub(crate) fn is_assigned(&self) -> bool {
        matches!(self.caller, kiban_policy::Caller::Office(facts) if facts.assignment_live) && self.stored.known
    }

    /// Whether the person still concerns the caller: in its charge, asked about in a live 意見書依頼, or its own insured.
    pub(crate) fn still_concerns_caller(&self) -> bool {
        let asked = matches!(self.caller, kiban_policy::Caller::Office(facts) if facts.opinion_requested);
        self.is_assigned() || self.is_own_municipality() || (asked && self.stored.known)
    }

    /// Whether the caller is the person's own municipality.
    pub(crate) fn is_own_municipality(&self) -> bool {
        self.caller == kiban_policy::Caller::Municipality { relation: MunicipalityRelation::Own } && self.stored.known
    }
}
