//! 理由: why somebody can or cannot see something, in a sentence for the screen.

use crate::decide::{Decision, Disclosure, decide};
use crate::facts::Facts;
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
/// The decision's own order makes its rule the right one to say: what is missing first in the order of the steps, and
/// 同意未取得 only when consent alone is missing (P-056). A test proves this over all facts by counterfactual: set every
/// changeable fact true, put the real ones back one by one, and the first that closes the door is the rule.
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
        Decision::Refuse { rule, disclosure, .. } => {
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
