//! Figures of a municipality, kept for the day for which they were counted (docs/statistics.md). Counts only, sealed like
//! everything else about its people.

use crate::engine::args;
use crate::{Store, StoreError, Tx};
use kiban_domain::{InsurerNumber, Timestamp};

const PUT: &str = "INSERT INTO statistics (insurer_number, day, made_at, content) VALUES ($1, $2, $3, $4)
     ON CONFLICT (insurer_number, day) DO UPDATE SET made_at = excluded.made_at, content = excluded.content";
const ONE: &str = "SELECT made_at, content FROM statistics WHERE insurer_number = $1 AND day = $2";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, ONE];

impl Tx {
    /// Keeps the figures of a day (`yyyymmdd`).
    pub async fn put_statistics(
        &mut self,
        insurer: InsurerNumber,
        day: i32,
        made_at: Timestamp,
        content: &[u8],
    ) -> Result<(), StoreError> {
        let keys = self.keys_of(insurer.as_str()).await?;
        let made_at = made_at.as_microsecond();
        let sealed = keys.seal(&aad(insurer.as_str(), &day.to_be_bytes(), &made_at.to_be_bytes()), content);
        self.raw.run(PUT, args![insurer.as_str(), day, made_at, &sealed]).await?;
        Ok(())
    }
}

impl Store {
    /// The figures of a day (`yyyymmdd`), if they were counted.
    pub async fn statistics(&self, insurer: InsurerNumber, day: i32) -> Result<Option<Vec<u8>>, StoreError> {
        let rows = self.engine.rows(ONE, args![insurer.as_str(), day]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let keys = self.keys.keys_for(insurer.as_str(), &rows, &[1]).await?;
        let made_at = row.big(0)?.to_be_bytes();
        keys.open(&aad(insurer.as_str(), &day.to_be_bytes(), &made_at), &row.blob(1)?).map(Some)
    }
}

pub(crate) fn aad<'a>(insurer: &'a str, day: &'a [u8; 4], made_at: &'a [u8; 8]) -> [&'a [u8]; 4] {
    [b"statistics", insurer.as_bytes(), day, made_at]
}
