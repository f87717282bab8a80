//! Which row of a key of a package holds, where what it wrote does not tell (docs/decisions/0007).

use crate::bulk::number;
use crate::engine::{Arg, args};
use crate::many::ManyRows;
use crate::{Store, StoreError, Tx};
use kiban_domain::{InsuredNumber, InsurerNumber};
use std::collections::HashMap;
use std::sync::LazyLock;

const PUT: &str = "INSERT INTO row_claim (insurer_number, insured_number, kind, natural_key, revision, corrected, deletion)
     VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT (insurer_number, insured_number, kind, natural_key) DO UPDATE SET revision = excluded.revision, corrected = excluded.corrected,
       deletion = excluded.deletion";
static PUT_MANY: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::of(PUT));
pub(crate) const POSTGRES: &str = "SELECT c.* FROM unnest(string_to_array($2, ',')) AS asked(insured_number), LATERAL (
       SELECT insured_number, kind, natural_key, revision, corrected, deletion FROM row_claim
       WHERE insurer_number = $1 AND insured_number = asked.insured_number OFFSET 0) c";
pub(crate) const SQLITE: &str = "SELECT insured_number, kind, natural_key, revision, corrected, deletion FROM row_claim
     WHERE insurer_number = $1 AND insured_number IN (SELECT value FROM json_each($2))";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT];

/// Key of a row: 被保険者番号, 種別 of the package, natural key.
pub type RowKey = (InsuredNumber, String, String);

/// The row that holds a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowClaim {
    /// Receipt that brought it.
    pub revision: i64,
    /// It was a correction or a deletion (異動区分 2, 3).
    pub corrected: bool,
    /// Receipt that brought the latest deletion of the key, if it ever was deleted.
    pub deletion: Option<i64>,
}

impl Tx {
    /// Notes which row holds a key from now on; a key stands once among them.
    pub async fn put_claims(
        &mut self,
        insurer: InsurerNumber,
        claims: &[(RowKey, RowClaim)],
    ) -> Result<(), StoreError> {
        let mut values: Vec<Arg<'_>> = Vec::with_capacity(claims.len() * 7);
        for ((insured, kind, key), claim) in claims {
            values.extend_from_slice(args![
                insurer.as_str(),
                insured.as_str(),
                kind,
                key,
                claim.revision,
                claim.corrected,
                claim.deletion
            ]);
        }
        PUT_MANY.run(&mut self.raw, &values).await.map(drop)
    }
}

impl Store {
    /// What is noted about keys of these people.
    pub async fn claims(
        &self,
        insurer: InsurerNumber,
        people: &[InsuredNumber],
    ) -> Result<HashMap<RowKey, RowClaim>, StoreError> {
        let mut claims = HashMap::new();
        for row in &self.rows_of_people(POSTGRES, SQLITE, insurer, people).await? {
            let claim = RowClaim { revision: row.big(3)?, corrected: row.boolean(4)?, deletion: row.big_or_null(5)? };
            claims.insert((number(row)?, row.text(1)?, row.text(2)?), claim);
        }
        Ok(claims)
    }
}
