//! The switch of an office's administrator (P-014): what of one person one of the staff does not see. It closes only, inside what the
//! law allows: nothing is opened by it.

use crate::door::Door;
use crate::engine::{Row, args};
use crate::office::instant;
use crate::{Closing, Keyring, Store, StoreError, Tx};
use kiban_domain::office::StaffId;
use kiban_domain::{InsuredNumber, InsurerNumber, Kind, Organization, PersonKey, Timestamp};
use std::collections::BTreeSet;

const PUT: &str = "INSERT INTO staff_switch (organization, staff_id, insurer_number, insured_number, hidden, kinds, changed_at, changed_by, mac)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
     ON CONFLICT (organization, staff_id, insurer_number, insured_number) DO UPDATE SET hidden = excluded.hidden, kinds = excluded.kinds,
       changed_at = excluded.changed_at, changed_by = excluded.changed_by, mac = excluded.mac";
const OF_ORGANIZATION: &str =
    "SELECT staff_id, insurer_number, insured_number, hidden, kinds, changed_at, changed_by, mac FROM staff_switch
     WHERE organization = $1 AND (staff_id, insurer_number, insured_number) > ($2, $3, $4)
     ORDER BY staff_id, insurer_number, insured_number LIMIT $5";
const OF_STAFF: &str =
    "SELECT staff_id, insurer_number, insured_number, hidden, kinds, changed_at, changed_by, mac FROM staff_switch
     WHERE organization = $1 AND staff_id = $2 AND (insurer_number, insured_number) > ($3, $4)
     ORDER BY insurer_number, insured_number LIMIT $5";
/// Rows read at a time at least: those that hide nothing any more stay in the table.
const BLOCK: i32 = 200;
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, OF_ORGANIZATION, OF_STAFF];

/// What is hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hides {
    /// Nothing any more.
    Nothing,
    /// These kinds; not empty.
    Kinds(BTreeSet<Kind>),
    /// The whole person.
    Everything,
}

/// One switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaffSwitch {
    /// From whom.
    pub staff: StaffId,
    /// Who is hidden.
    pub person: PersonKey,
    /// What of it.
    pub hides: Hides,
    /// Since when and by whom; absent in a row of before these were kept, and in a damaged one.
    pub changed: Option<(Timestamp, String)>,
}

impl Hides {
    fn columns(&self) -> (bool, Option<String>) {
        match self {
            Self::Nothing => (false, None),
            Self::Kinds(kinds) => (true, Some(kinds.iter().map(|kind| kind.code()).collect::<Vec<_>>().join(","))),
            Self::Everything => (true, None),
        }
    }

    /// What the columns of a row say. One that was altered outside the platform hides everything: the office wanted something hidden.
    pub(crate) fn of(hidden: bool, kinds: Option<&str>) -> Self {
        let all: Option<BTreeSet<Kind>> = kinds.map(|text| text.split(',').filter_map(Kind::parse).collect());
        match (hidden, all) {
            (false, _) => Self::Nothing,
            (true, Some(kinds)) if !kinds.is_empty() => Self::Kinds(kinds),
            (true, _) => Self::Everything,
        }
    }
}

/// The columns of a switch the way both readers have them.
pub(crate) struct SwitchColumns<'a> {
    pub(crate) staff: &'a str,
    pub(crate) person: &'a PersonKey,
    pub(crate) hidden: bool,
    pub(crate) kinds: Option<&'a str>,
    pub(crate) changed_at: Option<i64>,
    pub(crate) changed_by: Option<&'a str>,
}

impl SwitchColumns<'_> {
    fn door(&self) -> Door {
        let Self { staff, person, .. } = self;
        let door = Door::new("staff_switch").text(staff).text(person.insurer.as_str()).text(person.insured.as_str());
        let door = door.flag(self.hidden);
        // Added later: a row without them keeps its MAC.
        match (self.kinds, self.changed_at, self.changed_by) {
            (None, None, None) => door,
            (kinds, at, by) => door.maybe_text(kinds).maybe_number(at).maybe_text(by),
        }
    }

    /// What it hides, and whether the row is as it was written.
    pub(crate) fn read(&self, keys: &Keyring, mac: &[u8]) -> (Hides, bool) {
        match self.door().fits(keys, mac) {
            true => (Hides::of(self.hidden, self.kinds), true),
            false => (Hides::Everything, false),
        }
    }
}

impl Tx {
    /// Sets the switch of one of the staff for a person.
    pub async fn put_switch(&mut self, organization: Organization, switch: &StaffSwitch) -> Result<(), StoreError> {
        let (hidden, kinds) = switch.hides.columns();
        let (changed_at, changed_by) =
            switch.changed.as_ref().map(|(at, by)| (at.as_microsecond(), by.as_str())).unzip();
        let StaffSwitch { staff, person, .. } = switch;
        let columns =
            SwitchColumns { staff: &staff.0, person, hidden, kinds: kinds.as_deref(), changed_at, changed_by };
        let mac = columns.door().mac(&self.keys);
        let (insurer, insured) = (person.insurer.as_str(), person.insured.as_str());
        let organization = organization.to_string();
        let kinds = kinds.as_deref();
        let args = args![&organization, &staff.0, insurer, insured, hidden, kinds, changed_at, changed_by, &mac];
        self.raw.run(PUT, args).await?;
        if switch.hides != Hides::Nothing {
            let kinds = kinds.map(str::to_owned);
            let (staff, person, changed) = (staff.0.clone(), *person, switch.changed.clone());
            self.note_closing(Closing::Switch { organization, staff, person, kinds, changed });
        }
        Ok(())
    }
}

impl Store {
    /// The switches of an office, or of one account of it, that hide something, by staff and person, after one of them; a damaged one
    /// hides everything.
    pub async fn switches_of(
        &self,
        organization: Organization,
        only: Option<&StaffId>,
        after: Option<(&StaffId, PersonKey)>,
        limit: i32,
    ) -> Result<Vec<StaffSwitch>, StoreError> {
        let organization = organization.to_string();
        let place = |(staff, person): (&StaffId, PersonKey)| {
            (staff.0.clone(), person.insurer.to_string(), person.insured.to_string())
        };
        let statement = if only.is_some() { OF_STAFF } else { OF_ORGANIZATION };
        let begin = || (only.map(|only| only.0.clone()).unwrap_or_default(), String::new(), String::new());
        let mut after = after.map(place);
        let block = limit.max(BLOCK);
        let mut found = Vec::new();
        loop {
            let (staff, insurer, insured) = after.take().unwrap_or_else(begin);
            let args = args![&organization, &staff, &insurer, &insured, block];
            let rows = self.engine.rows(statement, args).await?;
            for row in &rows {
                let switch = switch_row(&self.keys, row)?;
                if switch.hides != Hides::Nothing {
                    found.push(switch);
                }
                if found.len() == limit as usize {
                    return Ok(found);
                }
            }
            match rows.last() {
                // Those that hide nothing any more are passed over, so a page is short only at the end.
                Some(last) if rows.len() == block as usize => {
                    after = Some((last.text(0)?, last.text(1)?, last.text(2)?));
                }
                _ => return Ok(found),
            }
        }
    }
}

const UNREADABLE: StoreError = StoreError::Unreadable("staff_switch");

fn switch_row(keys: &Keyring, row: &Row) -> Result<StaffSwitch, StoreError> {
    let person = PersonKey {
        insurer: InsurerNumber::parse(&row.text(1)?).map_err(|_| UNREADABLE)?,
        insured: InsuredNumber::parse(&row.text(2)?).map_err(|_| UNREADABLE)?,
    };
    let (staff, kinds, changed_by) = (row.text(0)?, row.text_or_null(4)?, row.text_or_null(6)?);
    let columns = SwitchColumns {
        staff: &staff,
        person: &person,
        hidden: row.boolean(3)?,
        kinds: kinds.as_deref(),
        changed_at: row.big_or_null(5)?,
        changed_by: changed_by.as_deref(),
    };
    let (hides, is_whole) = columns.read(keys, &row.blob(7)?);
    let at = columns.changed_at.filter(|_| is_whole).map(instant).transpose()?;
    Ok(StaffSwitch { changed: at.zip(changed_by), staff: StaffId(staff), person, hides })
}
