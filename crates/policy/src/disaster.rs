//! 災害時モード: what it replaces (`tables/disaster.tsv`) and whom it covers (P-120…126).

use kiban_domain::assignment::DisasterMode;
use kiban_domain::office::{Office, OfficeClass};
use kiban_domain::{Date, InsurerNumber};

use crate::facts::Disaster;
use crate::table::{TableError, per_stored_row};

/// What a mode replaces for one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct DisasterRule {
    /// The assignment of offices and hospitals (step 4).
    pub(crate) offices: bool,
    /// The relation of the municipality that takes in evacuees.
    pub(crate) host: bool,
    /// Consent (step 5), if the mode was opened without consent.
    pub(crate) without_consent: bool,
}

/// The disaster fact of an office for a person insured in `person_area` (the number on the card, 証記載保険者番号). The
/// office is covered when it stands in the area and is of a kind the mode names (P-121), or is named itself (P-122); the
/// person when insured in the area.
pub fn disaster_for_office(
    modes: &[DisasterMode],
    office: &Office,
    class: OfficeClass,
    person_area: &InsurerNumber,
    today: Date,
) -> Disaster {
    widest(modes, person_area, today, |mode| {
        let kind_fits = mode.classes.is_empty() || mode.classes.contains(&class);
        mode.offices.contains(&office.number) || (kind_fits && mode.areas.contains(&office.municipality))
    })
}

/// The same for a municipality: covered when it is named as host, or when it is the person's own.
pub fn disaster_for_municipality(
    modes: &[DisasterMode],
    municipality: &InsurerNumber,
    person_area: &InsurerNumber,
    today: Date,
) -> Disaster {
    widest(modes, person_area, today, |mode| mode.hosts.contains(municipality) || municipality == person_area)
}

fn widest(
    modes: &[DisasterMode],
    person_area: &InsurerNumber,
    today: Date,
    covers: impl Fn(&DisasterMode) -> bool,
) -> Disaster {
    let mut running =
        modes.iter().filter(|mode| mode.is_open(today) && mode.areas.contains(person_area) && covers(mode)).peekable();
    match (running.peek().is_some(), running.any(|mode| mode.without_consent)) {
        (false, _) => Disaster::None,
        (true, false) => Disaster::Open,
        (true, true) => Disaster::OpenWithoutConsent,
    }
}

pub(crate) fn parse(text: &str) -> Result<Vec<DisasterRule>, TableError> {
    let columns = ["種別", "事業所", "受入市区町村", "同意なし", "要件", "理由"];
    let found = per_stored_row("disaster.tsv", text, &columns, |line| {
        Ok(DisasterRule { offices: line.yes(1)?, host: line.yes(2)?, without_consent: line.yes(3)? })
    })?;
    Ok(found.into_iter().map(Option::unwrap_or_default).collect())
}
