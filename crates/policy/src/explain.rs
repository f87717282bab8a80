//! 理由: why somebody can or cannot see something, in a sentence for the screen, by counterfactual.

use crate::decide::{Decision, Disclosure, decide};
use crate::facts::{Caller, Consent, Facts, KindFacts, Opinion};
use crate::rule::Rule;
use crate::table::{Mark, SharingTable};

/// A decision in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Mark of the cell; absent when the answer must be like an unknown record.
    pub mark: Option<Mark>,
    /// The rule, for the audit entry. Never shown when the disclosure is blind.
    pub rule: Rule,
    /// How it is answered; an allowed view may always be explained.
    pub disclosure: Disclosure,
    /// P-number of what is said.
    pub requirement: String,
    /// Source of what is said.
    pub source: String,
    /// Why, in Japanese.
    pub reason: String,
    /// What to do next, in Japanese.
    pub next: String,
}

/// Explains the decision on these facts.
///
/// A refusal is explained by what would have to be different: if nothing that can change would open the door, it is
/// the cell or the role; else the first fact, in the order of the steps, that closes it. 同意未取得 comes last, hence only
/// when consent alone is missing (P-056).
pub fn why(facts: &Facts, table: &SharingTable) -> Explanation {
    match decide(facts, table) {
        Decision::Allow { mark, audience, rule, .. } => {
            let (cell, reason) = (table.cell(facts.kind.row(), audience), table.reason(rule));
            Explanation {
                allowed: true,
                mark: Some(mark),
                rule,
                disclosure: Disclosure::Told,
                requirement: cell.requirement.clone(),
                source: cell.source.clone(),
                reason: format!("{}。{}", cell.reason, reason.reason),
                next: reason.next.clone(),
            }
        }
        Decision::Refuse { disclosure, .. } => {
            let rule = missing(facts, table);
            // A blind answer says the same words whatever lies behind it.
            let said = table.reason(if disclosure == Disclosure::Told { rule } else { Rule::BlankCell });
            Explanation {
                allowed: false,
                mark: None,
                rule,
                disclosure,
                requirement: said.requirement.clone(),
                source: said.source.clone(),
                reason: said.reason.clone(),
                next: said.next.clone(),
            }
        }
    }
}

/// The first fact in step order that turns an otherwise open door into a closed one.
fn missing(facts: &Facts, table: &SharingTable) -> Rule {
    let mut trial = opened(facts);
    if let Decision::Refuse { rule, .. } = decide(&trial, table) {
        return rule;
    }
    for close in CHANGEABLE {
        close(&mut trial, facts);
        if let Decision::Refuse { rule, .. } = decide(&trial, table) {
            return rule;
        }
    }
    decide(facts, table).rule()
}

/// The facts with everything true that people can change: not who somebody is, nor what the document is.
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
        KindFacts::A2(_) => KindFacts::A2(Opinion::Accepted),
        other => other,
    };
    let consent = Consent::Given;
    Facts { caller, kind, consent, session_valid: true, insurer_started: true, withheld: false, ..*facts }
}

/// Each puts one real fact back, in the order of the steps; consent last.
const CHANGEABLE: [fn(&mut Facts, &Facts); 9] = [
    |trial, real| trial.session_valid = real.session_valid,
    |trial, real| trial.insurer_started = real.insurer_started,
    |trial, real| trial.kind = real.kind,
    |trial, real| match (&mut trial.caller, real.caller) {
        (Caller::Office(trial), Caller::Office(real)) => trial.assignment_live = real.assignment_live,
        (trial, real) => *trial = real,
    },
    |trial, real| with_offices(trial, real, |t, r| t.care_manager = r.care_manager),
    |trial, real| with_offices(trial, real, |t, r| t.plan_maker = r.plan_maker),
    |trial, real| with_offices(trial, real, |t, r| t.switched_off = r.switched_off),
    |trial, real| trial.withheld = real.withheld,
    |trial, real| trial.consent = real.consent,
];

fn with_offices(
    trial: &mut Facts,
    real: &Facts,
    change: impl Fn(&mut crate::facts::OfficeFacts, &crate::facts::OfficeFacts),
) {
    if let (Caller::Office(trial), Caller::Office(real)) = (&mut trial.caller, real.caller) {
        change(trial, &real);
    }
}
