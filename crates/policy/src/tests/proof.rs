//! Exhaustive proof: every value of `Facts` is walked and held against invariants written without the tables.

use super::table;
use crate::decide::{Decision, Disclosure, Steps, decide_with};
use crate::explain::why;
use crate::facts::{
    Action, CONSENTS, Caller, Consent, DISASTERS, Disaster, Facts, KindFacts, MunicipalityRelation, OfficeFacts,
    Opinion,
};
use crate::rule::Rule;
use crate::table::SharingTable;
use KindFacts as K;
use OfficeClass as C;
use kiban_domain::office::OfficeClass;

/// An invariant of the law: its name, and whether facts and decision agree with it.
type Invariant = (&'static str, fn(&Facts, &Decision) -> bool);

/// Each reads: whoever is allowed, … (a refusal always agrees unless stated).
const INVARIANTS: &[Invariant] = &[
    ("nobody is allowed without a ground", |f, d| !d.is_allowed() || has_ground(f)),
    ("nothing without a valid session in a city that has started", |f, d| {
        !d.is_allowed() || (f.session_valid && f.insurer_started)
    }),
    ("operator and prefecture never see or write a record", |f, d| {
        !matches!(f.caller, Caller::Operator | Caller::Prefecture) || !d.is_allowed()
    }),
    ("claims are never shown", |f, d| !is_claims(f) || !d.is_allowed()),
    ("no ◎ cell for an office, hospital or city without consent", |f, d| {
        !d.is_allowed() || !needs_consent(f) || f.consent == Consent::Given || consent_waived(f)
    }),
    ("A1 and A2 never reach the person or a proxy", |f, d| {
        !(is_a1(f) || is_a2(f)) || !matches!(f.caller, Caller::Person { .. } | Caller::Proxy { .. }) || !d.is_allowed()
    }),
    ("A1 reaches an office only through the plan maker of this person", |f, d| match f.caller {
        Caller::Office(o) if is_a1(f) && d.is_allowed() => makes_this_plan(o),
        _ => true,
    }),
    ("A2 reaches an office only through the plan maker or its writer (※1, ※2)", |f, d| match f.caller {
        Caller::Office(o) if is_a2(f) && d.is_allowed() => {
            makes_this_plan(o) && f.action == Action::Read
                || writes_opinions(o.class) && (f.creator || f.action == Action::Create)
        }
        _ => true,
    }),
    ("A2 reaches a plan maker only after the city accepted it, never against the doctor's refusal", |f, d| {
        match (f.caller, f.kind) {
            (Caller::Office(o), K::A2(state)) if d.is_allowed() => {
                state == Opinion::Accepted || writes_opinions(o.class) && f.creator
            }
            _ => true,
        }
    }),
    ("A3b and A3c never reach a hospital without care service", |f, d| {
        let card = matches!(f.kind, K::A3b | K::A3c);
        !(card && matches!(f.caller, Caller::Office(o) if o.class == C::Hospital) && d.is_allowed())
    }),
    ("A4 reaches no office; A5 and E only those who plan; F1 only the office that filed", |f, d| {
        let Caller::Office(o) = f.caller else { return true };
        !d.is_allowed()
            || match f.kind {
                K::A4 => false,
                K::A5 | K::E1 | K::E2 => plans_by_class(o.class) || makes_this_plan(o),
                K::F1 => f.creator && (plans_by_class(o.class) || makes_this_plan(o)),
                _ => true,
            }
    }),
    ("the office's own switch closes everything", |f, d| {
        !matches!(f.caller, Caller::Office(o) if o.switched_off) || !d.is_allowed()
    }),
    ("only the creator writes, and only what its role writes", |f, d| {
        f.action == Action::Read || !d.is_allowed() || (f.creator && role_writes(f))
    }),
    ("an office writes only about people it is registered for or was asked about", |f, d| match f.caller {
        Caller::Office(o) if f.action == Action::Create && d.is_allowed() => {
            o.assignment_live || (o.opinion_requested && is_a2(f))
        }
        _ => true,
    }),
    ("a disaster never finds a withheld person and never writes", |f, d| match d {
        Decision::Allow { ground, rule, .. } if [ground, rule].iter().any(|r| is_disaster(**r)) => {
            !f.withheld && f.action == Action::Read && !is_a1(f) && !is_a2(f)
        }
        _ => true,
    }),
    ("whereabouts of a withheld person reach only the city and offices it confirmed", |f, d| match d {
        Decision::Allow { whereabouts_hidden, .. } => *whereabouts_hidden == (f.withheld && !may_know_where(f)),
        Decision::Refuse { .. } => true,
    }),
    ("free text about a withheld person reaches only those and its own writer", |f, d| {
        let free_text = matches!(f.kind, K::A1 | K::A2(_) | K::A4 | K::Cp1 | K::Cp2 | K::F1);
        let own = f.creator && matches!(f.caller, Caller::Office(_));
        !(f.withheld && free_text && f.action == Action::Read && d.is_allowed()) || may_know_where(f) || own
    }),
    ("a proxy is suspended while the person is withheld", |f, d| {
        !(f.withheld && matches!(f.caller, Caller::Proxy { .. }) && d.is_allowed())
    }),
    ("another city never sees anybody; a host city only in a disaster", |f, d| match f.caller {
        Caller::Municipality { relation: MunicipalityRelation::Other } => !d.is_allowed(),
        Caller::Municipality { relation: MunicipalityRelation::HostOfEvacuees } => {
            !d.is_allowed() || f.disaster != Disaster::None && f.action == Action::Read
        }
        _ => true,
    }),
    ("the reasons that may be told say nothing about what exists", |f, d| match d {
        Decision::Refuse { rule, disclosure: Disclosure::Told, .. } => may_be_told(f, *rule),
        _ => true,
    }),
    ("a blank cell is answered blindly", |f, d| {
        let ready = f.session_valid && f.insurer_started;
        !(ready && blank_by_law(f)) || matches!(d, Decision::Refuse { disclosure: Disclosure::Blind, .. })
    }),
    ("the person, the city, the assigned office and the writer do see what is theirs", |f, d| {
        !surely_open(f) || d.is_allowed()
    }),
];

/// The first invariant broken by the policy, if any.
pub(super) fn broken(table: &SharingTable, steps: Steps) -> Option<(&'static str, Facts)> {
    for facts in Facts::all() {
        let decision = decide_with(&facts, table, steps);
        if let Some((name, _)) = INVARIANTS.iter().find(|(_, holds)| !holds(&facts, &decision)) {
            return Some((name, facts));
        }
        if let Decision::Allow { whereabouts_hidden, .. } = decision {
            let opens = |more: Facts| match decide_with(&more, table, steps) {
                Decision::Allow { whereabouts_hidden: hidden, .. } => !hidden || whereabouts_hidden,
                Decision::Refuse { .. } => false,
            };
            if let Some(more) = wider(&facts).into_iter().flatten().find(|more| !opens(*more)) {
                return Some(("an opening fact never closes a door", more));
            }
        }
    }
    None
}

#[test]
fn every_value_of_facts_obeys_every_invariant_and_no_opening_fact_closes_a_door() {
    assert_eq!(broken(table(), Steps::default()), None);
    println!("{} values, {} invariants and monotonicity", Facts::COUNT, INVARIANTS.len());
}

#[test]
fn consent_is_named_as_missing_exactly_when_consent_alone_is_missing() {
    let table = table();
    for facts in Facts::all().filter(|f| f.consent != Consent::Given) {
        let rule = decide_with(&facts, table, Steps::default()).rule();
        let given = Facts { consent: Consent::Given, ..facts };
        let opens = !decide_with(&facts, table, Steps::default()).is_allowed()
            && decide_with(&given, table, Steps::default()).is_allowed();
        assert_eq!(matches!(rule, Rule::ConsentMissing | Rule::KindRefused), opens, "{facts:?}");
    }
}

#[test]
fn the_explanation_agrees_with_the_decision_and_a_blind_one_always_says_the_same_words() {
    let table = table();
    let unknown = &table.reason(Rule::BlankCell).reason;
    // A prime stride visits every combination of neighbouring fields without building millions of texts.
    for facts in Facts::all().step_by(11) {
        let (decision, said) = (decide_with(&facts, table, Steps::default()), why(&facts, table));
        assert_eq!(said.allowed, decision.is_allowed());
        if let Decision::Refuse { rule, disclosure, .. } = decision {
            assert_eq!(said.disclosure, disclosure, "{facts:?}");
            match disclosure {
                Disclosure::Told => {
                    assert_eq!(said.rule, rule);
                    assert_eq!(missing(&facts, table), rule, "{facts:?}");
                }
                Disclosure::Blind => assert_eq!((&said.reason, said.mark), (unknown, None), "{facts:?}"),
            }
        }
    }
}

#[test]
fn facts_survive_as_bits_for_the_audit() {
    let mut seen = std::collections::HashSet::with_capacity(Facts::COUNT);
    for facts in Facts::all() {
        let bits = facts.to_bits();
        assert_eq!(Facts::from_bits(bits), Some(facts));
        assert!(seen.insert(bits), "two facts share the bits {bits:x}");
    }
    assert_eq!(seen.len(), Facts::COUNT);
    for wrong in [0, u64::MAX, 6 | 1 << 60, 1 << 28 | 1 << 60] {
        assert_eq!(Facts::from_bits(wrong), None, "{wrong:x}");
    }
}

/// The bits of an entry written today must mean the same in five years.
#[test]
fn the_bit_layout_is_fixed() {
    let facts = super::asks_as(super::plan_maker(C::CarePlanning), super::A2);
    assert_eq!(format!("{:016x}", facts.to_bits()), "10000000062211c3");
}

// ---- why not, by counterfactual ----

/// The first fact in step order that turns an otherwise open door into a closed one.
fn missing(facts: &Facts, table: &SharingTable) -> Rule {
    let mut trial = opened(facts);
    if let Decision::Refuse { rule, .. } = decide_with(&trial, table, Steps::default()) {
        return rule;
    }
    for close in CHANGEABLE {
        close(&mut trial, facts);
        if let Decision::Refuse { rule, .. } = decide_with(&trial, table, Steps::default()) {
            return rule;
        }
    }
    decide_with(facts, table, Steps::default()).rule()
}

/// The facts with everything true that can change between this caller and this person: not who somebody is, nor what
/// the document is, nor the session and the start of the city, which come before the person is looked at.
fn opened(facts: &Facts) -> Facts {
    let caller = match facts.caller {
        Caller::Person { .. } => Caller::Person { bound: true },
        Caller::Proxy { .. } => Caller::Proxy { live: true },
        Caller::Office(mut office) => {
            (office.assignment_live, office.care_manager, office.plan_maker) = (true, true, true);
            office.switched_off = false;
            Caller::Office(office)
        }
        other => other,
    };
    let kind = match facts.kind {
        K::A2(_) => K::A2(Opinion::Accepted),
        other => other,
    };
    let consent = Consent::Given;
    let creator = facts.creator || facts.action == Action::Create;
    Facts { caller, kind, consent, creator, withheld: false, ..*facts }
}

/// Each puts one real fact back, in the order of the steps; consent last.
const CHANGEABLE: [fn(&mut Facts, &Facts); 8] = [
    |trial, real| trial.kind = real.kind,
    |trial, real| match (&mut trial.caller, real.caller) {
        (Caller::Office(trial), Caller::Office(real)) => trial.assignment_live = real.assignment_live,
        (trial, real) => *trial = real,
    },
    |trial, real| with_offices(trial, real, |t, r| t.care_manager = r.care_manager),
    |trial, real| with_offices(trial, real, |t, r| t.plan_maker = r.plan_maker),
    |trial, real| with_offices(trial, real, |t, r| t.switched_off = r.switched_off),
    |trial, real| trial.creator = real.creator,
    |trial, real| trial.withheld = real.withheld,
    |trial, real| trial.consent = real.consent,
];

fn with_offices(trial: &mut Facts, real: &Facts, change: impl Fn(&mut OfficeFacts, &OfficeFacts)) {
    if let (Caller::Office(trial), Caller::Office(real)) = (&mut trial.caller, real.caller) {
        change(trial, &real);
    }
}

// ---- the law in other words, without the tables ----

fn has_ground(f: &Facts) -> bool {
    match f.caller {
        Caller::Person { bound } => bound,
        Caller::Proxy { live } => live,
        Caller::Municipality { relation } => match relation {
            MunicipalityRelation::Own => true,
            MunicipalityRelation::HostOfEvacuees => disaster_reading(f),
            MunicipalityRelation::Other => false,
        },
        Caller::Office(o) => {
            o.assignment_live
                || f.creator
                || o.opinion_requested && (is_hospital(o.class) || o.class == C::HealthFacility && is_a2(f))
                || disaster_reading(f)
        }
        Caller::Prefecture | Caller::Operator => false,
    }
}

fn disaster_reading(f: &Facts) -> bool {
    f.disaster != Disaster::None && f.action == Action::Read && !f.withheld
}

fn needs_consent(f: &Facts) -> bool {
    let writing_own = f.creator || f.action == Action::Create;
    match (f.caller, f.kind) {
        (Caller::Municipality { .. }, K::C1 | K::Cp1 | K::Cp2) => true,
        (Caller::Office(_), K::A1 | K::E1 | K::E2) => true,
        (Caller::Office(_), K::A2(_)) => !writing_own,
        (Caller::Office(o), K::C1) => !writing_own || o.class == C::Hospital,
        (Caller::Office(o), K::Cp1 | K::Cp2) => o.class == C::Hospital,
        _ => false,
    }
}

fn consent_waived(f: &Facts) -> bool {
    f.disaster == Disaster::OpenWithoutConsent
        && disaster_reading(f)
        && f.consent == Consent::NotObtained
        && matches!(f.kind, K::C1 | K::Cp1 | K::Cp2)
}

fn may_know_where(f: &Facts) -> bool {
    match f.caller {
        Caller::Municipality { relation } => relation == MunicipalityRelation::Own,
        Caller::Office(o) => o.confirmed_by_city && o.assignment_live,
        _ => false,
    }
}

fn role_writes(f: &Facts) -> bool {
    match f.caller {
        Caller::Person { .. } | Caller::Proxy { .. } => matches!(f.kind, K::A4 | K::G1),
        Caller::Municipality { relation } => {
            relation == MunicipalityRelation::Own
                && matches!(f.kind, K::A1 | K::A3a | K::A3b | K::A3c | K::A5 | K::E1 | K::E2 | K::G1)
        }
        Caller::Office(o) => match f.kind {
            K::A2(_) => writes_opinions(o.class),
            K::C1 => o.class != C::Hospital,
            K::Cp1 | K::Cp2 | K::F1 => plans_by_class(o.class) || makes_this_plan(o),
            _ => false,
        },
        Caller::Prefecture | Caller::Operator => false,
    }
}

fn may_be_told(f: &Facts, rule: Rule) -> bool {
    match rule {
        Rule::SessionInvalid => !f.session_valid,
        Rule::NotStarted => !f.insurer_started,
        Rule::NotStored => is_claims(f),
        Rule::NotWriter => f.action == Action::Create,
        Rule::NotPlanMaker => matches!(f.caller, Caller::Office(o) if o.assignment_live && plans_by_class(o.class)),
        Rule::SwitchedOff => matches!(f.caller, Caller::Office(o) if o.switched_off) && has_ground(f),
        Rule::ConsentMissing | Rule::KindRefused => f.consent != Consent::Given && has_ground(f),
        _ => false,
    }
}

/// Callers who could not read this kind whatever changed about the person.
fn blank_by_law(f: &Facts) -> bool {
    f.action == Action::Read
        && match f.caller {
            Caller::Person { .. } | Caller::Proxy { .. } => is_a1(f) || is_a2(f),
            Caller::Municipality { .. } => false,
            Caller::Prefecture | Caller::Operator => true,
            Caller::Office(o) => match f.kind {
                K::A4 => true,
                K::A1 | K::A5 | K::E1 | K::E2 | K::F1 | K::PlanningClaims => {
                    matches!(o.class, C::Service | C::Hospital | C::HospitalWithCare)
                }
                K::A2(_) => o.class == C::Service || is_hospital(o.class) && !f.creator,
                K::A3b | K::A3c | K::ServiceClaims => o.class == C::Hospital,
                _ => false,
            },
        }
}

/// Plain cases that must be open, so that the proof cannot be passed by refusing everybody.
fn surely_open(f: &Facts) -> bool {
    if !f.session_valid || !f.insurer_started || f.withheld || f.action == Action::Create || is_claims(f) {
        return false;
    }
    let consented = f.consent == Consent::Given;
    match f.caller {
        Caller::Person { bound: true } | Caller::Proxy { live: true } => !is_a1(f) && !is_a2(f),
        Caller::Municipality { relation: MunicipalityRelation::Own } => {
            consented || !matches!(f.kind, K::C1 | K::Cp1 | K::Cp2)
        }
        Caller::Office(o) if !o.switched_off && o.assignment_live => match f.kind {
            K::A3a | K::G1 => true,
            K::A3b | K::A3c => o.class != C::Hospital,
            K::A1 | K::A2(Opinion::Accepted) => makes_this_plan(o) && consented,
            K::A5 => plans_by_class(o.class) || makes_this_plan(o),
            K::E1 | K::E2 => (plans_by_class(o.class) || makes_this_plan(o)) && consented,
            K::Cp1 | K::Cp2 => consented || o.class != C::Hospital,
            K::C1 => consented,
            _ => false,
        },
        _ => false,
    }
}

/// The facts with one more opening fact, or one closing fact less.
fn wider(f: &Facts) -> [Option<Facts>; 12] {
    let caller = |caller| Some(Facts { caller, ..*f });
    let with = |change: fn(&mut OfficeFacts)| match f.caller {
        Caller::Office(mut o) => {
            change(&mut o);
            caller(Caller::Office(o))
        }
        _ => None,
    };
    let promoted = match f.caller {
        Caller::Person { .. } => caller(Caller::Person { bound: true }),
        Caller::Proxy { .. } => caller(Caller::Proxy { live: true }),
        Caller::Municipality { relation: MunicipalityRelation::Other } => {
            caller(Caller::Municipality { relation: MunicipalityRelation::HostOfEvacuees })
        }
        Caller::Municipality { .. } => caller(Caller::Municipality { relation: MunicipalityRelation::Own }),
        Caller::Office(o) if o.class == C::Hospital => {
            caller(Caller::Office(OfficeFacts { class: C::HospitalWithCare, ..o }))
        }
        _ => None,
    };
    let next = |all: &[Consent], value| all.iter().skip_while(|c| **c != value).nth(1).copied();
    [
        promoted,
        with(|o| o.assignment_live = true),
        with(|o| o.care_manager = true),
        with(|o| o.plan_maker = true),
        with(|o| o.switched_off = false),
        with(|o| o.confirmed_by_city = true),
        with(|o| o.opinion_requested = true),
        Some(Facts { creator: true, ..*f }),
        next(&CONSENTS, f.consent).map(|consent| Facts { consent, ..*f }),
        DISASTERS.iter().skip_while(|d| **d != f.disaster).nth(1).map(|d| Facts { disaster: *d, ..*f }),
        Some(Facts { withheld: false, ..*f }),
        matches!(f.kind, K::A2(_)).then_some(Facts { kind: K::A2(Opinion::Accepted), ..*f }),
    ]
}

fn is_a1(f: &Facts) -> bool {
    f.kind == K::A1
}

fn is_a2(f: &Facts) -> bool {
    matches!(f.kind, K::A2(_))
}

fn is_claims(f: &Facts) -> bool {
    matches!(f.kind, K::PlanningClaims | K::ServiceClaims)
}

fn is_disaster(rule: Rule) -> bool {
    matches!(rule, Rule::Disaster | Rule::DisasterWithoutConsent)
}

fn is_hospital(class: OfficeClass) -> bool {
    matches!(class, C::Hospital | C::HospitalWithCare)
}

fn writes_opinions(class: OfficeClass) -> bool {
    is_hospital(class) || class == C::HealthFacility
}

fn plans_by_class(class: OfficeClass) -> bool {
    matches!(class, C::CarePlanning | C::CommunitySupport)
}

/// ※1: the named care manager of an office that makes plans.
fn makes_this_plan(o: OfficeFacts) -> bool {
    let plans = plans_by_class(o.class) || matches!(o.class, C::HealthFacility | C::ResidentialService);
    plans && o.assignment_live && o.care_manager && o.plan_maker
}
