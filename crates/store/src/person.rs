//! 被保険者: sealed identity, search tokens for disasters, nothing readable in the clear but numbers (P-023, P-123).

use crate::door::Door;
use crate::engine::{Row, args};
use crate::{InsurerKeys, Keyring, Store, StoreError, Tx};
use kiban_domain::insured::{Identity, Insured, NORMALIZER_VERSION, normalize_kana, normalize_kanji};
use kiban_domain::{InsuredNumber, InsurerNumber, PersonKey, dates};

pub(crate) const PUT: &str = "INSERT INTO person (insurer_number, insured_number, card_insurer, revision, history_number, withheld, gone_on, identity, digest, mac)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
     ON CONFLICT (insurer_number, insured_number) DO UPDATE SET card_insurer = excluded.card_insurer, revision = excluded.revision, history_number = excluded.history_number,
       withheld = excluded.withheld, gone_on = excluded.gone_on, identity = excluded.identity, digest = excluded.digest, mac = excluded.mac";
const ONE: &str = "SELECT revision, history_number, withheld, gone_on, identity, digest, mac, card_insurer FROM person
     WHERE insurer_number = $1 AND insured_number = $2";
const DROP_TOKENS: &str = "DELETE FROM person_token WHERE insurer_number = $1 AND insured_number = $2";
pub(crate) const PUT_TOKEN: &str = "INSERT INTO person_token (insurer_number, token, insured_number, version) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
const BY_TOKEN: &str =
    "SELECT insured_number FROM person_token WHERE insurer_number = $1 AND token = $2 ORDER BY insured_number LIMIT 50";
const COUNT: &str = "SELECT count(*) FROM person WHERE insurer_number = $1";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, ONE, DROP_TOKENS, PUT_TOKEN, BY_TOKEN, COUNT];

/// What the store knows of a person before anything is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonHeader {
    /// Receipt that wrote it.
    pub revision: i64,
    /// 履歴番号
    pub history_number: i64,
    /// 不開示 (P-037)
    pub withheld: bool,
    /// Keyed digest of the content, to see whether a new row changes anything.
    pub digest: Vec<u8>,
}

/// The three ways a person is found in a disaster, as keyed tokens (decision 0006.23).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchTokens {
    /// Kanji name + birth.
    pub kanji_birth: [u8; 16],
    /// Kana name + birth.
    pub kana_birth: [u8; 16],
    /// Kanji name + address up to the 町丁目.
    pub kanji_place: Option<[u8; 16]>,
}

impl SearchTokens {
    /// Tokens of an identity under an insurer's index key.
    pub fn of(keys: &InsurerKeys, identity: &Identity) -> Self {
        let birth = dates::yyyymmdd(identity.birth);
        Self {
            kanji_birth: Self::kanji_birth(keys, &identity.name, &birth),
            kana_birth: Self::kana_birth(keys, &identity.kana, &birth),
            kanji_place: identity
                .address
                .as_deref()
                .and_then(|address| Self::kanji_place(keys, &identity.name, address)),
        }
    }

    /// Token of a kanji name and a birth date `YYYYMMDD`.
    pub fn kanji_birth(keys: &InsurerKeys, name: &str, birth: &str) -> [u8; 16] {
        keys.token("kanji+birth", &format!("{}|{birth}", normalize_kanji(name)))
    }

    /// Token of a kana name and a birth date `YYYYMMDD`.
    pub fn kana_birth(keys: &InsurerKeys, kana: &str, birth: &str) -> [u8; 16] {
        keys.token("kana+birth", &format!("{}|{birth}", normalize_kana(kana)))
    }

    /// Token of a kanji name and a place; none for an address that names no place: it would stand for every place.
    pub fn kanji_place(keys: &InsurerKeys, name: &str, address: &str) -> Option<[u8; 16]> {
        let place = place_of(address)?;
        Some(keys.token("kanji+place", &format!("{}|{place}", normalize_kanji(name))))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &[u8; 16]> {
        [&self.kanji_birth, &self.kana_birth].into_iter().chain(self.kanji_place.as_ref())
    }
}

/// Address up to the 町丁目: everything before the first digit of the 番地, variants folded. Kanji numerals stay: they are
/// part of names (三重県, 八幡町).
fn place_of(address: &str) -> Option<String> {
    let folded = normalize_kanji(address);
    let place = folded.split(|c: char| c.is_ascii_digit()).next().unwrap_or_default();
    (!place.is_empty()).then(|| place.to_owned())
}

impl Tx {
    /// Writes a person as known now. A withheld person gets no search token: never found in a disaster search (T-1 e).
    pub async fn put_person(
        &mut self,
        revision: i64,
        history_number: i64,
        insured: &Insured,
    ) -> Result<(), StoreError> {
        let (insurer, number) = (insured.key.insurer, insured.key.insured);
        let keys = self.keys_of(insurer.as_str()).await?;
        let content = content_of(insured)?;
        let sealed = keys.seal(&identity_aad(&insured.key, &revision.to_be_bytes()), &content);
        let gone_on = insured.lost.map(|(day, _)| dates::to_number(day));
        let mac = person_door(&insured.key, insured.card_insurer.as_str(), revision, insured.withheld, gone_on)
            .mac(&self.keys);
        let digest = keys.digest(&content);
        self.raw
            .run(
                PUT,
                args![
                    insurer.as_str(),
                    number.as_str(),
                    insured.card_insurer.as_str(),
                    revision,
                    history_number,
                    insured.withheld,
                    gone_on,
                    &sealed,
                    &digest,
                    &mac
                ],
            )
            .await?;
        self.raw.run(DROP_TOKENS, args![insurer.as_str(), number.as_str()]).await?;
        if !insured.withheld {
            for token in SearchTokens::of(&keys, &insured.identity).all() {
                let version = i32::from(NORMALIZER_VERSION);
                self.raw.run(PUT_TOKEN, args![insurer.as_str(), token, number.as_str(), version]).await?;
            }
        }
        Ok(())
    }
}

impl Store {
    /// A person with their identity opened.
    pub async fn person(&self, key: PersonKey) -> Result<Option<(PersonHeader, Insured)>, StoreError> {
        let rows = self.engine.rows(ONE, args![key.insurer.as_str(), key.insured.as_str()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let keys = self.keys.keys_of(key.insurer.as_str()).await?;
        opened_person(&self.keys, &keys, &key, row)
    }

    /// The digest a person's row would have, to see whether a new one changes anything.
    pub async fn person_digest(&self, insured: &Insured) -> Result<[u8; 32], StoreError> {
        let keys = self.keys.keys_of(insured.key.insurer.as_str()).await?;
        Ok(keys.digest(&content_of(insured)?))
    }

    /// Numbers of the people a token finds, at most 50.
    pub async fn find_by_token(
        &self,
        insurer: InsurerNumber,
        token: &[u8; 16],
    ) -> Result<Vec<InsuredNumber>, StoreError> {
        let rows = self.engine.rows(BY_TOKEN, args![insurer.as_str(), token]).await?;
        rows.iter()
            .map(|row| InsuredNumber::parse(&row.text(0)?).map_err(|_| StoreError::Unreadable("person_token")))
            .collect()
    }

    /// How many people of an insurer are loaded.
    pub async fn count_people(&self, insurer: InsurerNumber) -> Result<i64, StoreError> {
        let rows = self.engine.rows(COUNT, args![insurer.as_str()]).await?;
        rows.first().map_or(Ok(0), |row| row.big(0))
    }

    /// Opens a sealed identity that belongs to nobody, so that an unknown number costs what a known one does (T-4).
    pub async fn open_dummy_identity(&self, key: PersonKey) -> Result<(), StoreError> {
        let keys = self.keys.keys_of(key.insurer.as_str()).await?;
        let sealed = keys.seal(&identity_aad(&key, &[0; 8]), &[b' '; 400]);
        keys.open(&identity_aad(&key, &[0; 8]), &sealed).map(drop)
    }
}

/// A person from the columns of `ONE`; `None` when the MAC fails.
pub(crate) fn opened_person(
    keyring: &Keyring,
    keys: &InsurerKeys,
    key: &PersonKey,
    row: &Row,
) -> Result<Option<(PersonHeader, Insured)>, StoreError> {
    let (revision, withheld) = (row.big(0)?, row.boolean(2)?);
    if !person_door(key, &row.text(7)?, revision, withheld, row.int_or_null(3)?).fits(keyring, &row.blob(6)?) {
        return Ok(None);
    }
    let plain = keys.open(&identity_aad(key, &revision.to_be_bytes()), &row.blob(4)?)?;
    let insured: Insured = serde_json::from_slice(&plain).map_err(|_| StoreError::Unreadable("person"))?;
    let header = PersonHeader { revision, history_number: row.big(1)?, withheld, digest: row.blob(5)? };
    Ok(Some((header, insured)))
}

pub(crate) fn content_of(insured: &Insured) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(insured).map_err(|error| StoreError::Internal(error.to_string()))
}

pub(crate) fn identity_aad<'a>(key: &'a PersonKey, revision: &'a [u8; 8]) -> [&'a [u8]; 4] {
    [b"person", key.insurer.as_str().as_bytes(), key.insured.as_str().as_bytes(), revision]
}

pub(crate) fn person_door(
    key: &PersonKey,
    card_insurer: &str,
    revision: i64,
    withheld: bool,
    gone_on: Option<i32>,
) -> Door {
    Door::new("person")
        .text(key.insurer.as_str())
        .text(key.insured.as_str())
        .text(card_insurer)
        .number(revision)
        .flag(withheld)
        .maybe_number(gone_on)
}
