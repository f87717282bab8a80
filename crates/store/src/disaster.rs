//! 災害時モード as opened, approved and closed (P-121, S-033).

use crate::door::Door;
use crate::engine::{Row, args};
use crate::error::readable;
use crate::office::instant;
use crate::record::{period, period_numbers};
use crate::standing::Standing;
use crate::{Closing, Store, StoreError, Tx};
use kiban_domain::assignment::DisasterMode;
use kiban_domain::ids::IdError;
use kiban_domain::office::{OfficeClass, StaffId};
use kiban_domain::{InsurerNumber, OfficeNumber, Timestamp};

const PUT: &str = "INSERT INTO disaster_mode (mode_id, event, areas, classes, offices, hosts, without_consent, open_from, open_to, proposed_by, approved_by, closed_at,
       mac, proposed_over)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
     ON CONFLICT (mode_id) DO UPDATE SET approved_by = excluded.approved_by, closed_at = excluded.closed_at, mac = excluded.mac
     WHERE disaster_mode.event = excluded.event AND disaster_mode.areas = excluded.areas AND disaster_mode.classes = excluded.classes AND disaster_mode.offices = excluded.offices
       AND disaster_mode.hosts = excluded.hosts AND disaster_mode.without_consent = excluded.without_consent
       AND disaster_mode.open_from = excluded.open_from AND disaster_mode.open_to = excluded.open_to
       AND disaster_mode.proposed_by = excluded.proposed_by AND disaster_mode.proposed_over = excluded.proposed_over
       AND disaster_mode.closed_at IS NULL AND (disaster_mode.approved_by IS NULL OR disaster_mode.approved_by = excluded.approved_by)";
pub(crate) const MODES: &str = "SELECT mode_id, event, areas, classes, offices, hosts, without_consent, open_from, open_to, proposed_by, approved_by, closed_at, mac, proposed_over
     FROM disaster_mode ORDER BY open_from DESC, mode_id";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, MODES];

impl Tx {
    /// Writes a mode: proposed (`opened_by.1` empty), approved, or closed. What was proposed and approved stays as it was,
    /// and a closed mode stays closed; anything else is a conflict.
    pub async fn put_disaster(&mut self, mode: &DisasterMode) -> Result<(), StoreError> {
        let (from, to) = period_numbers(&mode.period);
        let (areas, offices, hosts) = (joined(&mode.areas), joined(&mode.offices), joined(&mode.hosts));
        let classes = mode.classes.iter().map(|class| class.code()).collect::<Vec<_>>().join(",");
        let approved = (!mode.opened_by.1.0.is_empty()).then_some(mode.opened_by.1.0.as_str());
        let closed = mode.closed_at.map(Timestamp::as_microsecond);
        let mac = door(
            (&mode.id, &mode.event),
            &[&areas, &classes, &offices, &hosts],
            mode.without_consent,
            (from, to),
            (&mode.opened_by.0.0, &mode.proposed_over),
            approved,
            closed,
        )
        .mac(&self.keys);
        let changed = self
            .raw
            .run(
                PUT,
                args![
                    &mode.id,
                    &mode.event,
                    &areas,
                    &classes,
                    &offices,
                    &hosts,
                    mode.without_consent,
                    from,
                    to,
                    &mode.opened_by.0.0,
                    approved,
                    closed,
                    &mac,
                    &mode.proposed_over
                ],
            )
            .await?;
        if changed != 1 {
            return Err(StoreError::Conflict("the mode was approved or closed meanwhile, or is another than proposed"));
        }
        self.note_standing(Standing::DisasterMode, &mode.id);
        if let Some(at) = mode.closed_at {
            self.note_closing(Closing::Disaster { mode: mode.id.clone(), at });
        }
        Ok(())
    }
}

impl Store {
    /// Every mode whose row is intact, newest first. One that waits for the second operator has an empty second name.
    pub async fn disasters(&self) -> Result<Vec<DisasterMode>, StoreError> {
        let rows = self.engine.rows(MODES, args![]).await?;
        rows.iter().filter_map(|row| readable("disaster_mode", self.mode_row(row)).transpose()).collect()
    }

    fn mode_row(&self, row: &Row) -> Result<Option<DisasterMode>, StoreError> {
        let (id, event, areas, classes) = (row.text(0)?, row.text(1)?, row.text(2)?, row.text(3)?);
        let (offices, hosts) = (row.text(4)?, row.text(5)?);
        let (without_consent, from, to) = (row.boolean(6)?, row.int(7)?, row.int(8)?);
        let (proposed, approved, closed) = (row.text(9)?, row.text_or_null(10)?, row.big_or_null(11)?);
        let over = row.text(13)?;
        let door = door(
            (&id, &event),
            &[&areas, &classes, &offices, &hosts],
            without_consent,
            (from, to),
            (&proposed, &over),
            approved.as_deref(),
            closed,
        );
        if !door.fits(&self.keys, &row.blob(12)?) {
            return Ok(None);
        }
        Ok(Some(DisasterMode {
            id,
            event,
            areas: parts(&areas, InsurerNumber::parse)?,
            classes: classes
                .split(',')
                .filter(|code| !code.is_empty())
                .map(|code| OfficeClass::parse(code).ok_or(StoreError::Unreadable("disaster_mode")))
                .collect::<Result<_, _>>()?,
            offices: parts(&offices, OfficeNumber::parse)?,
            hosts: parts(&hosts, InsurerNumber::parse)?,
            without_consent,
            period: period(from, to)?,
            opened_by: (StaffId(proposed), StaffId(approved.unwrap_or_default())),
            proposed_over: over,
            closed_at: closed.map(instant).transpose()?,
        }))
    }
}

fn joined<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn parts<T>(text: &str, parse: fn(&str) -> Result<T, IdError>) -> Result<Vec<T>, StoreError> {
    text.split(',')
        .filter(|part| !part.is_empty())
        .map(|part| parse(part).map_err(|_| StoreError::Unreadable("disaster_mode")))
        .collect()
}

/// The door of a row of [`MODES`] as it is, and as it was before the event was in it.
pub(crate) fn doors_of(row: &Row) -> Result<[Door; 2], StoreError> {
    let (areas, classes, offices, hosts) = (row.text(2)?, row.text(3)?, row.text(4)?, row.text(5)?);
    let (proposed, over, approved) = (row.text(9)?, row.text(13)?, row.text_or_null(10)?);
    let before = door_before(
        &row.text(0)?,
        &[&areas, &classes, &offices, &hosts],
        row.boolean(6)?,
        (row.int(7)?, row.int(8)?),
        (&proposed, &over),
        approved.as_deref(),
        row.big_or_null(11)?,
    );
    Ok([before.clone().text(&row.text(1)?), before])
}

/// The event is in it: the page on which the second operator approves shows it.
fn door(
    (id, event): (&str, &str),
    lists: &[&str; 4],
    without_consent: bool,
    period: (i32, i32),
    proposed: (&str, &str),
    approved: Option<&str>,
    closed: Option<i64>,
) -> Door {
    door_before(id, lists, without_consent, period, proposed, approved, closed).text(event)
}

fn door_before(
    id: &str,
    lists: &[&str; 4],
    without_consent: bool,
    period: (i32, i32),
    proposed: (&str, &str),
    approved: Option<&str>,
    closed: Option<i64>,
) -> Door {
    Door::new("disaster_mode")
        .text(id)
        .text(lists[0])
        .text(lists[1])
        .text(lists[2])
        .text(lists[3])
        .flag(without_consent)
        .number(period.0)
        .number(period.1)
        .text(proposed.0)
        .text(proposed.1)
        .maybe_text(approved)
        .maybe_number(closed)
}
