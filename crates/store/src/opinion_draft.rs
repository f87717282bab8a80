//! 書きかけの主治医意見書: what a hospital has typed into the form and not sent yet, sealed under the key of the person's insurer.

use crate::engine::{Arg, Row, args};
use crate::many::sixteens;
use crate::office::instant;
use crate::{InsurerKeys, Store, StoreError, Tx};
use kiban_domain::{InsuredNumber, OfficeNumber, PersonKey, Timestamp};
use std::collections::HashMap;

const PUT: &str =
    "INSERT INTO opinion_draft (insurer_number, insured_number, office_number, version, saved_at, content, follows)
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
const SET: &str = "UPDATE opinion_draft SET version = $4, saved_at = $5, content = $6, follows = $7
     WHERE insurer_number = $1 AND insured_number = $2 AND office_number = $3 AND version = $8";
const ONE: &str = "SELECT version, saved_at, content, follows FROM opinion_draft
     WHERE insurer_number = $1 AND insured_number = $2 AND office_number = $3";
const OF_PEOPLE: &str = "SELECT version, saved_at, content, follows, insured_number FROM opinion_draft WHERE insurer_number = $1
       AND insured_number IN ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) AND office_number = $18";
const DROP: &str = "DELETE FROM opinion_draft WHERE insurer_number = $1 AND insured_number = $2 AND office_number = $3";
const FORGET: &str = "DELETE FROM opinion_draft WHERE saved_at < $1";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, SET, ONE, OF_PEOPLE, DROP, FORGET];

/// An opinion that is being written.
#[derive(Clone, PartialEq, Eq)]
pub struct OpinionDraft {
    /// Another number each time it is saved.
    pub version: i64,
    /// When it was saved last.
    pub saved_at: Timestamp,
    /// What was typed.
    pub content: Vec<u8>,
    /// 受付番号 of the hospital's document about the person that was the latest then, empty without one; `None` in a row of before.
    pub follows: Option<String>,
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
        let (office, follows) = (office.as_str(), draft.follows.as_deref());
        let saved = match before {
            None => self.raw.run(PUT, args![insurer, insured, office, version, at, &sealed, follows]).await?,
            Some(before) => {
                self.raw.run(SET, args![insurer, insured, office, version, at, &sealed, follows, before]).await?
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
        let keys = self.keys.keys_for(insurer, &rows, &[2]).await?;
        rows.first().map(|row| opened(row, &keys, (insurer, insured, office.as_str()))).transpose()
    }

    /// The drafts of a hospital about these people.
    pub async fn opinion_drafts(
        &self,
        people: &[PersonKey],
        office: OfficeNumber,
    ) -> Result<HashMap<PersonKey, OpinionDraft>, StoreError> {
        let mut drafts = HashMap::new();
        for (insurer, numbers) in sixteens(people) {
            let mut args = vec![Arg::from(insurer.as_str())];
            args.extend(numbers.iter().map(|number| Arg::from(number.as_str())));
            args.push(Arg::from(office.as_str()));
            let rows = self.engine.rows(OF_PEOPLE, &args).await?;
            let keys = self.keys.keys_for(insurer.as_str(), &rows, &[2]).await?;
            for row in &rows {
                let number = row.text(4)?;
                let draft = opened(row, &keys, (insurer.as_str(), &number, office.as_str()))?;
                let insured = InsuredNumber::parse(&number).map_err(|_| StoreError::Unreadable("opinion_draft"))?;
                drafts.insert(PersonKey { insurer, insured }, draft);
            }
        }
        Ok(drafts)
    }
}

fn opened(
    row: &Row,
    keys: &InsurerKeys,
    (insurer, insured, office): (&str, &str, &str),
) -> Result<OpinionDraft, StoreError> {
    let content = keys.open(&aad(insurer, insured, office), &row.blob(2)?)?;
    let (version, saved_at, follows) = (row.big(0)?, instant(row.big(1)?)?, row.text_or_null(3)?);
    Ok(OpinionDraft { version, saved_at, content, follows })
}

pub(crate) fn aad<'a>(insurer: &'a str, insured: &'a str, office: &'a str) -> [&'a [u8]; 4] {
    [b"opinion_draft", insurer.as_bytes(), insured.as_bytes(), office.as_bytes()]
}
