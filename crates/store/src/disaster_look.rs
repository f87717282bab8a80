//! 災害時に見つけた人: a search that found somebody, with its reason. It opens the views of that staff member (P-124).

use crate::door::Door;
use crate::engine::{Row, args};
use crate::error::readable;
use crate::office::instant;
use crate::{InsurerKeys, Store, StoreError, Tx};
use kiban_domain::office::StaffId;
use kiban_domain::{InsuredNumber, InsurerNumber, Organization, PersonKey, Timestamp};

const PUT: &str = "INSERT INTO disaster_look (insurer_number, look_id, insured_number, organization, staff_id, looked_at, modes, reason, viewed_at, mac)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, $9)";
const VIEWED: &str =
    "UPDATE disaster_look SET viewed_at = $3 WHERE insurer_number = $1 AND look_id = $2 AND viewed_at IS NULL";
const LATEST: &str = "SELECT look_id, insured_number, organization, staff_id, looked_at, modes, reason, viewed_at, mac
     FROM disaster_look WHERE insurer_number = $1 AND insured_number = $2 AND organization = $3 AND staff_id = $4
       AND looked_at >= $5 ORDER BY looked_at DESC, look_id DESC LIMIT 1";
const OF_INSURER: &str =
    "SELECT look_id, insured_number, organization, staff_id, looked_at, modes, reason, viewed_at, mac
     FROM disaster_look WHERE insurer_number = $1 AND (looked_at, look_id) < ($2, $3)
     ORDER BY looked_at DESC, look_id DESC LIMIT $4";
const COUNTS: &str =
    "SELECT organization, modes, COUNT(*), COUNT(viewed_at) FROM disaster_look
     WHERE insurer_number = $1 AND looked_at >= $2 AND looked_at < $3 GROUP BY organization, modes ORDER BY organization, modes";
const ONE: &str = "SELECT looked_at FROM disaster_look WHERE insurer_number = $1 AND look_id = $2";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, VIEWED, LATEST, OF_INSURER, COUNTS, ONE];

/// A person found by a search in a disaster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisasterLook {
    /// Random id.
    pub id: String,
    /// Who was found.
    pub person: PersonKey,
    /// By which organisation.
    pub organization: Organization,
    /// By whom.
    pub staff: StaffId,
    /// When.
    pub looked_at: Timestamp,
    /// Ids of the disaster modes that were running for the person's municipality.
    pub modes: Vec<String>,
    /// Why, as typed.
    pub reason: String,
    /// When something of the person was first opened after it.
    pub viewed_at: Option<Timestamp>,
}

/// How often an organisation found somebody of an insurer under the same disaster modes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisasterCounted {
    /// Which organisation.
    pub organization: Organization,
    /// Ids of the modes that were running.
    pub modes: Vec<String>,
    /// People found, each search counted.
    pub found: i64,
    /// Of those how many were opened.
    pub viewed: i64,
}

impl Tx {
    /// Writes down who was found; `viewed_at` is not looked at.
    pub async fn put_disaster_look(&mut self, look: &DisasterLook) -> Result<(), StoreError> {
        let (insurer, insured) = (look.person.insurer.as_str(), look.person.insured.as_str());
        let keys = self.keys_of(insurer).await?;
        let (organization, modes) = (look.organization.to_string(), look.modes.join(","));
        let at = look.looked_at.as_microsecond();
        let reason = with_aad(insurer, &look.id, |aad| keys.seal(aad, look.reason.as_bytes()));
        let mac = door(&look.id, &look.person, (&organization, &look.staff.0), at, &modes).mac(&self.keys);
        self.raw
            .run(PUT, args![insurer, &look.id, insured, &organization, &look.staff.0, at, &modes, &reason, &mac])
            .await?;
        Ok(())
    }

    /// Something of the person was opened; the first time stays.
    pub async fn view_disaster_look(
        &mut self,
        insurer: InsurerNumber,
        id: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.raw.run(VIEWED, args![insurer.as_str(), id, now.as_microsecond()]).await?;
        Ok(())
    }
}

impl Store {
    /// The latest search since an instant by which this staff member found this person; `None` also when its MAC fails.
    pub async fn disaster_look(
        &self,
        person: PersonKey,
        organization: Organization,
        staff: &StaffId,
        since: Timestamp,
    ) -> Result<Option<DisasterLook>, StoreError> {
        let (insurer, insured) = (person.insurer.as_str(), person.insured.as_str());
        let (organization, since) = (organization.to_string(), since.as_microsecond());
        let rows = self.engine.rows(LATEST, args![insurer, insured, &organization, &staff.0, since]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let keys = self.keys.keys_for(insurer, &rows, &[6]).await?;
        readable("disaster_look", self.look_row(person.insurer, row, &keys))
    }

    /// How often people of an insurer were found from one instant until another, by organisation. Counted as the rows stand; what proves each of them is the log.
    pub async fn disaster_counts(
        &self,
        insurer: InsurerNumber,
        (from, until): (Timestamp, Timestamp),
    ) -> Result<Vec<DisasterCounted>, StoreError> {
        let values = args![insurer.as_str(), from.as_microsecond(), until.as_microsecond()];
        let rows = self.engine.rows(COUNTS, values).await?;
        let counted = |row: &Row| {
            Ok(DisasterCounted {
                organization: Organization::parse(&row.text(0)?)
                    .map_err(|_| StoreError::Unreadable("disaster_look"))?,
                modes: row.text(1)?.split(',').map(str::to_owned).collect(),
                found: row.big(2)?,
                viewed: row.big(3)?,
            })
        };
        rows.iter().map(counted).collect()
    }

    /// The searches that found people of an insurer, newest first; `after`: older than this one.
    pub async fn disaster_looks(
        &self,
        insurer: InsurerNumber,
        after: Option<&str>,
        limit: i32,
    ) -> Result<Vec<DisasterLook>, StoreError> {
        let (at, id) = match after {
            Some(id) => {
                let rows = self.engine.rows(ONE, args![insurer.as_str(), id]).await?;
                let Some(row) = rows.first() else { return Ok(Vec::new()) };
                (row.big(0)?, id)
            }
            None => (i64::MAX, ""),
        };
        let rows = self.engine.rows(OF_INSURER, args![insurer.as_str(), at, id, limit]).await?;
        let keys = self.keys.keys_for(insurer.as_str(), &rows, &[6]).await?;
        rows.iter()
            .filter_map(|row| readable("disaster_look", self.look_row(insurer, row, &keys)).transpose())
            .collect()
    }

    fn look_row(
        &self,
        insurer: InsurerNumber,
        row: &Row,
        keys: &InsurerKeys,
    ) -> Result<Option<DisasterLook>, StoreError> {
        const UNREADABLE: StoreError = StoreError::Unreadable("disaster_look");
        let (id, insured, organization) = (row.text(0)?, row.text(1)?, row.text(2)?);
        let (staff, at, modes) = (row.text(3)?, row.big(4)?, row.text(5)?);
        let person = PersonKey { insurer, insured: InsuredNumber::parse(&insured).map_err(|_| UNREADABLE)? };
        if !door(&id, &person, (&organization, &staff), at, &modes).fits(&self.keys, &row.blob(8)?) {
            return Ok(None);
        }
        let sealed = row.blob(6)?;
        let reason = with_aad(insurer.as_str(), &id, |aad| keys.open(aad, &sealed))?;
        Ok(Some(DisasterLook {
            person,
            organization: Organization::parse(&organization).map_err(|_| UNREADABLE)?,
            staff: StaffId(staff),
            looked_at: instant(at)?,
            modes: modes.split(',').map(str::to_owned).collect(),
            reason: String::from_utf8(reason).map_err(|_| UNREADABLE)?,
            viewed_at: row.big_or_null(7)?.map(instant).transpose()?,
            id,
        }))
    }
}

fn door(id: &str, person: &PersonKey, (organization, staff): (&str, &str), at: i64, modes: &str) -> Door {
    Door::new("disaster_look")
        .text(id)
        .text(person.insurer.as_str())
        .text(person.insured.as_str())
        .text(organization)
        .text(staff)
        .number(at)
        .text(modes)
}

pub(crate) fn with_aad<T>(insurer: &str, id: &str, act: impl FnOnce(&[&[u8]]) -> T) -> T {
    act(&[b"disaster look", insurer.as_bytes(), id.as_bytes()])
}
