//! 再判断: a decision of the past taken again from what its audit entry keeps, by the table of that time (P-188,
//! decision 0006.9).

use crate::decide::{Decision, decide};
use crate::facts::Facts;
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

/// The decision on the facts of an entry ([`Facts::to_bits`]) by the table of its version ([`SharingTable::version`]).
pub fn replay(facts: u64, version: &str) -> Result<Decision, NotReplayable> {
    let table = SharingTable::of_version(version).map_err(NotReplayable::Table)?.ok_or(NotReplayable::Version)?;
    let facts = Facts::from_bits(facts).ok_or(NotReplayable::Facts)?;
    Ok(decide(&facts, table))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::table;

    #[test]
    fn a_decision_taken_again_is_the_decision() {
        let version = table().version();
        for facts in Facts::all().step_by(97) {
            assert_eq!(replay(facts.to_bits(), &version), Ok(decide(&facts, table())));
        }
        let facts = Facts::all().next().unwrap().to_bits();
        assert_eq!(replay(facts, "2019-04"), Err(NotReplayable::Version));
        assert_eq!(replay(0, &version), Err(NotReplayable::Facts));
    }
}
