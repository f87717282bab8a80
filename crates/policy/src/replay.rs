//! 再判断: a decision of the past taken again from what its audit entry keeps, by the table of that time (P-188,
//! decision 0006.9).

use crate::decide::decide;
use crate::facts::Facts;
use crate::rule::Rule;
use crate::slip::{SlipFacts, decide_slip};
use crate::table::{SharingTable, TableError};
use std::fmt;

/// Why a decision cannot be taken again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReplayable {
    /// The bits are those of no facts.
    Facts,
    /// This program does not know the version of the table.
    Version,
    /// The tables themselves are broken.
    Table(TableError),
}

impl fmt::Display for NotReplayable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Facts => f.write_str("判断の事実を読めません"),
            Self::Version => f.write_str("共有表の版を知りません"),
            Self::Table(error) => write!(f, "共有表を読めません: {error}"),
        }
    }
}

impl std::error::Error for NotReplayable {}

/// A decision taken again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// Whether it is a yes.
    pub allowed: bool,
    /// The rule that settled it.
    pub rule: Rule,
}

/// The decision on the facts of an entry ([`Facts::to_bits`], [`SlipFacts::to_bits`]) by the table of its version
/// ([`SharingTable::version`]).
pub fn replay(facts: u64, version: &str) -> Result<Replayed, NotReplayable> {
    replay_by(SharingTable::of_version(version).map_err(NotReplayable::Table)?.ok_or(NotReplayable::Version)?, facts)
}

pub(crate) fn replay_by(table: &SharingTable, facts: u64) -> Result<Replayed, NotReplayable> {
    if let Some(facts) = SlipFacts::from_bits(facts) {
        let decision = decide_slip(&facts, table);
        return Ok(Replayed { allowed: decision.is_allowed(), rule: decision.rule() });
    }
    let facts = Facts::from_bits(facts).ok_or(NotReplayable::Facts)?;
    let decision = decide(&facts, table);
    Ok(Replayed { allowed: decision.is_allowed(), rule: decision.rule() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::table;

    #[test]
    fn a_decision_taken_again_is_the_decision() {
        let version = table().version();
        for facts in Facts::all().step_by(97) {
            let decision = decide(&facts, table());
            let again = Replayed { allowed: decision.is_allowed(), rule: decision.rule() };
            assert_eq!(replay(facts.to_bits(), &version), Ok(again));
        }
        for facts in SlipFacts::all() {
            let decision = decide_slip(&facts, table());
            let again = Replayed { allowed: decision.is_allowed(), rule: decision.rule() };
            assert_eq!(replay(facts.to_bits(), &version), Ok(again));
        }
        let facts = Facts::all().next().unwrap().to_bits();
        assert_eq!(replay(facts, "2019-04"), Err(NotReplayable::Version));
        assert_eq!(replay(0, &version), Err(NotReplayable::Facts));
    }
}
