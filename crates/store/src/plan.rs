//! Care plans, slips and actuals as their office sent them: what stands under each key, and which ファイル連番 was taken last.

use crate::engine::{Row, args};
use crate::{StoreError, Tx};
use kiban_domain::{Kind, PersonKey};
use std::collections::HashMap;

const PRESENT: &str = "SELECT r.natural_key, r.deleted, r.digest, s.serial FROM record r
     LEFT JOIN plan_serial s ON s.insurer_number = r.insurer_number AND s.insured_number = r.insured_number
       AND s.natural_key = r.natural_key
     WHERE r.insurer_number = $1 AND r.insured_number = $2 AND r.kind = $3 ORDER BY r.revision";
const SET_SERIAL: &str =
    "INSERT INTO plan_serial (insurer_number, insured_number, natural_key, serial) VALUES ($1, $2, $3, $4)
     ON CONFLICT (insurer_number, insured_number, natural_key) DO UPDATE SET serial = excluded.serial";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PRESENT, SET_SERIAL];

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentPlan {
    /// It was withdrawn.
    pub deleted: bool,
    /// Keyed digest of its content.
    pub digest: Vec<u8>,
    /// ファイル連番 taken last, as a number; none when it came before serials were kept.
    pub serial: Option<i64>,
}

impl Tx {
    /// What a person has of a kind that is sent with serials, by natural key. Read behind [`Tx::put_receipt`], so that
    /// nobody else of the insurer changes it before this is committed.
    pub async fn present_plans(
        &mut self,
        person: PersonKey,
        kind: Kind,
    ) -> Result<HashMap<String, PresentPlan>, StoreError> {
        let values = args![person.insurer.as_str(), person.insured.as_str(), kind.code()];
        let rows = self.raw.rows(PRESENT, values).await?;
        // The latest revision comes last and stays.
        rows.iter().map(|row| Ok((row.text(0)?, present(row)?))).collect()
    }

    /// Notes which serial was taken for a key.
    pub async fn set_plan_serial(
        &mut self,
        person: PersonKey,
        natural_key: &str,
        serial: i64,
    ) -> Result<(), StoreError> {
        let values = args![person.insurer.as_str(), person.insured.as_str(), natural_key, serial];
        self.raw.run(SET_SERIAL, values).await.map(drop)
    }
}

fn present(row: &Row) -> Result<PresentPlan, StoreError> {
    Ok(PresentPlan { deleted: row.boolean(1)?, digest: row.blob(2)?, serial: row.big_or_null(3)? })
}
