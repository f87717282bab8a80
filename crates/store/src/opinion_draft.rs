//! 書きかけの主治医意見書: what a hospital has typed into the form and not sent yet, sealed under the key of the person's insurer.

use crate::engine::args;
use crate::office::instant;
use crate::{Store, StoreError, Tx};
use kiban_domain::{OfficeNumber, PersonKey, Timestamp};

const PUT: &str =
    "INSERT INTO opinion_draft (insurer_number, insured_number, office_number, version, saved_at, content)
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
const SET: &str = "UPDATE opinion_draft SET version = $4, saved_at = $5, content = $6
     WHERE insurer_number = $1 AND insured_number = $2 AND office_number = $3 AND version = $7";
const ONE: &str = "SELECT version, saved_at, content FROM opinion_draft
     WHERE insurer_number = $1 AND insured_number = $2 AND office_number = $3";
const DROP: &str = "DELETE FROM opinion_draft WHERE insurer_number = $1 AND insured_number = $2 AND office_number = $3";
const FORGET: &str = "DELETE FROM opinion_draft WHERE saved_at < $1";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, SET, ONE, DROP, FORGET];

/// An opinion that is being written.
#[derive(Clone, PartialEq, Eq)]
pub struct OpinionDraft {
    /// Another number each time it is saved.
    pub version: i64,
    /// When it was saved last.
    pub saved_at: Timestamp,
    /// What was typed.
    pub content: Vec<u8>,
}

/// Without the content: it may end up in a log.
impl std::fmt::Debug for OpinionDraft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpinionDraft").field("version", &self.version).field("saved_at", &self.saved_at).finish()
    }
}

impl Tx {
    /// Saves a draft over the version it was made from, `None` for a new one. `false` when another one is there: nothing is
    /// written then.
    pub async fn save_opinion_draft(
        &mut self,
        person: PersonKey,
        office: OfficeNumber,
        before: Option<i64>,
        draft: &OpinionDraft,
    ) -> Result<bool, StoreError> {
        let (insurer, insured) = (person.insurer.as_str(), person.insured.as_str());
        let keys = self.keys_of(insurer).await?;
        let sealed = keys.seal(&aad(insurer, insured, office.as_str()), &draft.content);
        let (version, at) = (draft.version, draft.saved_at.as_microsecond());
        let saved = match before {
            None => self.raw.run(PUT, args![insurer, insured, office.as_str(), version, at, &sealed]).await?,
            Some(before) => {
                self.raw.run(SET, args![insurer, insured, office.as_str(), version, at, &sealed, before]).await?
            }
        };
        Ok(saved == 1)
    }

    /// Takes a draft away; `false` when there is none.
    pub async fn drop_opinion_draft(&mut self, person: PersonKey, office: OfficeNumber) -> Result<bool, StoreError> {
        let row = args![person.insurer.as_str(), person.insured.as_str(), office.as_str()];
        Ok(self.raw.run(DROP, row).await? == 1)
    }

    /// Takes the drafts away that were last saved before an instant; how many.
    pub async fn forget_opinion_drafts(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.raw.run(FORGET, args![before.as_microsecond()]).await
    }
}

impl Store {
    /// The draft of a hospital about a person.
    pub async fn opinion_draft(
        &self,
        person: PersonKey,
        office: OfficeNumber,
    ) -> Result<Option<OpinionDraft>, StoreError> {
        let (insurer, insured) = (person.insurer.as_str(), person.insured.as_str());
        let rows = self.engine.rows(ONE, args![insurer, insured, office.as_str()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let keys = self.keys.keys_for(insurer, &rows, &[2]).await?;
        let content = keys.open(&aad(insurer, insured, office.as_str()), &row.blob(2)?)?;
        Ok(Some(OpinionDraft { version: row.big(0)?, saved_at: instant(row.big(1)?)?, content }))
    }
}

pub(crate) fn aad<'a>(insurer: &'a str, insured: &'a str, office: &'a str) -> [&'a [u8]; 4] {
    [b"opinion_draft", insurer.as_bytes(), insured.as_bytes(), office.as_bytes()]
}
