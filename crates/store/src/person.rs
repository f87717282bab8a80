//! 被保険者: sealed identity, search tokens for disasters, nothing readable in the clear but numbers (P-023, P-123).

use crate::door::Door;
use crate::engine::{Arg, Row, args};
use crate::error::readable;
use crate::receipt::open_list;
use crate::{InsurerKeys, Keyring, Store, StoreError, Tx};
use kiban_domain::insured::{Identity, Insured, NORMALIZER_VERSION, Sex, normalize_kana, normalize_kanji};
use kiban_domain::{InsuredNumber, InsurerNumber, PersonKey, dates};

pub(crate) const PUT: &str = "INSERT INTO person (insurer_number, insured_number, history_number, revision, card_insurer, withheld, gone_on, identity, digest, mac)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
     ON CONFLICT (insurer_number, insured_number, history_number, revision) DO UPDATE SET card_insurer = excluded.card_insurer,
       withheld = excluded.withheld, gone_on = excluded.gone_on, identity = excluded.identity, digest = excluded.digest, mac = excluded.mac";
const VERSIONS: &str = "SELECT history_number, revision, card_insurer, withheld, gone_on, identity, digest, mac, lifts,
       (SELECT open_receipts FROM receipt_counter WHERE receipt_counter.insurer_number = $1),
       (SELECT mac FROM receipt_counter WHERE receipt_counter.insurer_number = $1)
     FROM person WHERE insurer_number = $1 AND insured_number = $2 ORDER BY history_number DESC, revision DESC";
/// The version with which a municipality lifts 不開示.
const LIFT: &str = "INSERT INTO person (insurer_number, insured_number, history_number, revision, card_insurer, withheld, gone_on, identity, digest, mac, lifts)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1)";
const DROP_TOKENS: &str = "DELETE FROM person_token WHERE insurer_number = $1 AND insured_number = $2";
/// What another process computed with a newer key meanwhile stays.
pub(crate) const PUT_TOKENS: &str = "INSERT INTO person_token (insurer_number, insured_number, kanji_sex, kanji_birth, kana_sex, kana_birth, version, generation)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
     ON CONFLICT (insurer_number, insured_number) DO UPDATE SET kanji_sex = excluded.kanji_sex, kanji_birth = excluded.kanji_birth,
       kana_sex = excluded.kana_sex, kana_birth = excluded.kana_birth, version = excluded.version, generation = excluded.generation
     WHERE person_token.version <> excluded.version OR person_token.generation < excluded.generation";
/// Holds the row until the transaction ends, on either engine.
const HOLD: &str = "UPDATE person SET revision = revision WHERE insurer_number = $1 AND insured_number = $2";
/// Without an order: for the order of the key SQLite would read every person of the insurer.
const BY_KANJI: &str =
    "SELECT insured_number FROM person_token WHERE insurer_number = $1 AND kanji_sex = $2 LIMIT 1000";
const BY_KANA: &str = "SELECT insured_number FROM person_token WHERE insurer_number = $1 AND kana_sex = $2 LIMIT 1000";
const BY_KANJI_AND_BIRTH: &str = "SELECT insured_number FROM person_token
     WHERE insurer_number = $1 AND kanji_sex IN ($2, $3) AND kanji_birth = $4 LIMIT 1000";
const BY_KANA_AND_BIRTH: &str = "SELECT insured_number FROM person_token
     WHERE insurer_number = $1 AND kana_sex IN ($2, $3) AND kana_birth = $4 LIMIT 1000";
/// Reads every person of the insurer: for its start, its statistics and its exports.
pub(crate) const COUNT: &str = "SELECT count(DISTINCT insured_number) FROM person WHERE insurer_number = $1";
const ANY: &str = "SELECT 1 FROM person WHERE insurer_number = $1 ORDER BY insured_number LIMIT 1";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[
    PUT,
    LIFT,
    VERSIONS,
    HOLD,
    DROP_TOKENS,
    PUT_TOKENS,
    BY_KANJI,
    BY_KANA,
    BY_KANJI_AND_BIRTH,
    BY_KANA_AND_BIRTH,
    COUNT,
    ANY,
];

/// What the store knows of one version of a person before anything is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonHeader {
    /// Receipt that wrote it.
    pub revision: i64,
    /// 履歴番号
    pub history_number: i64,
    /// 不開示 (P-037)
    pub withheld: bool,
    /// Written when the municipality lifted 不開示: what earlier receipts said of it holds no more.
    pub lifts: bool,
    /// Keyed digest of the content, to see whether a new row changes anything.
    pub digest: Vec<u8>,
}

/// A question to the search under every index key in use, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchToken {
    name: Name,
    asked: Vec<Asked>,
}

/// Which name is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Kanji,
    Kana,
}

/// The tokens of a question under one index key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    /// Of a name and a sex.
    Sex([u8; 16]),
    /// Of a name and a birth date, and of the name with either sex, by which people lie in the index.
    Birth([[u8; 16]; 2], [u8; 16]),
}

/// What happens to the search tokens of a person when a version is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenChange {
    /// Nobody is there yet: they are added.
    Add,
    /// The version becomes the present one: they are written anew.
    Replace,
    /// The person is withheld: never found in a disaster search (T-1 e).
    Remove,
    /// The version is a past one: they stay.
    Keep,
}

/// A version of a person about to be written.
#[derive(Debug, Clone)]
pub struct NewPerson {
    /// 履歴番号
    pub history_number: i64,
    /// The content.
    pub insured: Insured,
    /// Its search tokens.
    pub tokens: TokenChange,
}

impl NewPerson {
    /// The first version of somebody.
    pub fn first(history_number: i64, insured: Insured) -> Self {
        Self { history_number, insured, tokens: TokenChange::Add }
    }
}

/// The four ways a person is found in a disaster, as keyed tokens (P-123, decision 0006.23). Where they live is compared
/// with what is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchTokens {
    /// Kanji name + birth.
    pub kanji_birth: [u8; 16],
    /// Kana name + birth.
    pub kana_birth: [u8; 16],
    /// Kanji name + sex.
    pub kanji_sex: [u8; 16],
    /// Kana name + sex.
    pub kana_sex: [u8; 16],
}

impl SearchTokens {
    /// The values of a row of `PUT_TOKENS`.
    pub(crate) fn row<'a>(&'a self, key: &'a PersonKey, generation: i32) -> [Arg<'a>; 8] {
        *args![
            key.insurer.as_str(),
            key.insured.as_str(),
            &self.kanji_sex,
            &self.kanji_birth,
            &self.kana_sex,
            &self.kana_birth,
            i32::from(NORMALIZER_VERSION),
            generation
        ]
    }

    /// Tokens of an identity under an insurer's index key.
    pub fn of(keys: &InsurerKeys, identity: &Identity) -> Self {
        let (birth, sex) = (dates::yyyymmdd(identity.birth), identity.sex.code());
        Self {
            kanji_birth: keys.token(KANJI_BIRTH, &joined(&normalize_kanji(&identity.name), &birth)),
            kana_birth: keys.token(KANA_BIRTH, &joined(&normalize_kana(&identity.kana), &birth)),
            kanji_sex: keys.token(KANJI_SEX, &joined(&normalize_kanji(&identity.name), sex)),
            kana_sex: keys.token(KANA_SEX, &joined(&normalize_kana(&identity.kana), sex)),
        }
    }

    /// Asks for a kanji name and a birth date `YYYYMMDD`.
    pub fn kanji_birth(keys: &InsurerKeys, name: &str, birth: &str) -> SearchToken {
        let asked = by_birth(keys, (KANJI_SEX, KANJI_BIRTH), &normalize_kanji(name), birth);
        SearchToken { name: Name::Kanji, asked }
    }

    /// Asks for a kana name and a birth date `YYYYMMDD`.
    pub fn kana_birth(keys: &InsurerKeys, kana: &str, birth: &str) -> SearchToken {
        let asked = by_birth(keys, (KANA_SEX, KANA_BIRTH), &normalize_kana(kana), birth);
        SearchToken { name: Name::Kana, asked }
    }

    /// Asks for a kanji name and a sex.
    pub fn kanji_sex(keys: &InsurerKeys, name: &str, sex: Sex) -> SearchToken {
        let asked = by_sex(keys, KANJI_SEX, &normalize_kanji(name), sex).into_iter();
        SearchToken { name: Name::Kanji, asked: asked.map(Asked::Sex).collect() }
    }

    /// Asks for a kana name and a sex.
    pub fn kana_sex(keys: &InsurerKeys, kana: &str, sex: Sex) -> SearchToken {
        let asked = by_sex(keys, KANA_SEX, &normalize_kana(kana), sex).into_iter();
        SearchToken { name: Name::Kana, asked: asked.map(Asked::Sex).collect() }
    }
}

const KANJI_BIRTH: &str = "kanji+birth";
const KANA_BIRTH: &str = "kana+birth";
const KANJI_SEX: &str = "kanji+sex";
const KANA_SEX: &str = "kana+sex";

/// A normalised name with what tells people of that name apart.
fn joined(name: &str, other: &str) -> String {
    format!("{name}|{other}")
}

fn by_sex(keys: &InsurerKeys, purpose: &str, name: &str, sex: Sex) -> Vec<[u8; 16]> {
    keys.tokens(purpose, &joined(name, sex.code())).collect()
}

fn by_birth(keys: &InsurerKeys, (of_sex, of_birth): (&str, &str), name: &str, birth: &str) -> Vec<Asked> {
    let sexes = by_sex(keys, of_sex, name, Sex::Male).into_iter().zip(by_sex(keys, of_sex, name, Sex::Female));
    let name_and_birth = joined(name, birth);
    let births = keys.tokens(of_birth, &name_and_birth);
    sexes.zip(births).map(|((male, female), birth)| Asked::Birth([male, female], birth)).collect()
}

impl Tx {
    /// Writes one version of a person, whose search tokens become those of this version.
    pub async fn put_person(
        &mut self,
        revision: i64,
        history_number: i64,
        insured: &Insured,
    ) -> Result<(), StoreError> {
        let person = NewPerson { history_number, insured: insured.clone(), tokens: TokenChange::Replace };
        self.put_people(revision, std::slice::from_ref(&person)).await
    }

    /// Writes the version with which a municipality lifts 不開示: the content of `history_number` once more, without it. What any
    /// receipt before this one said about it holds no more; a later one may set it again.
    pub async fn lift_withheld(
        &mut self,
        revision: i64,
        history_number: i64,
        insured: &Insured,
    ) -> Result<(), StoreError> {
        let keys = self.keys_of(insured.key.insurer.as_str()).await?;
        let insured = Insured { withheld: false, ..insured.clone() };
        let new = NewPerson { history_number, insured, tokens: TokenChange::Keep };
        let row = SealedPerson::seal(&self.keys, &keys, revision, &new)?;
        let version = Version { history_number, revision, withheld: false, gone_on: row.gone_on, lifts: true };
        let mac = version.door(&row.key, row.card_insurer.as_str()).mac(&self.keys);
        let values = args![
            row.key.insurer.as_str(),
            row.key.insured.as_str(),
            history_number,
            revision,
            row.card_insurer.as_str(),
            false,
            row.gone_on,
            &row.identity,
            &row.digest,
            &mac
        ];
        self.raw.run(LIFT, values).await?;
        self.renew_tokens(row.key).await
    }

    /// Forgets the search tokens of people of one insurer.
    pub(crate) async fn drop_tokens(&mut self, people: &[PersonKey]) -> Result<(), StoreError> {
        for key in people {
            self.raw.run(DROP_TOKENS, args![key.insurer.as_str(), key.insured.as_str()]).await?;
        }
        Ok(())
    }

    /// Computes the search tokens of a person as stored anew, from the newest version, also one that is not applied yet: what
    /// the package put there. A person whose rows cannot be used has none, a withheld one neither (T-1 e).
    pub(crate) async fn renew_tokens(&mut self, key: PersonKey) -> Result<(), StoreError> {
        let who = args![key.insurer.as_str(), key.insured.as_str()];
        self.raw.run(HOLD, who).await?;
        let rows = self.raw.rows(VERSIONS, who).await?;
        let keys = self.keys_of(key.insurer.as_str()).await?;
        let rows: Vec<&Row> = rows.iter().collect();
        let versions = readable("person", standing_versions(&self.keys, &keys, &key, &rows, &[]))?.unwrap_or_default();
        let Some((_, insured)) = versions.first().filter(|(header, _)| !header.withheld) else {
            return self.drop_tokens(&[key]).await;
        };
        let tokens = SearchTokens::of(&keys, &insured.identity);
        self.raw.run(PUT_TOKENS, &tokens.row(&key, keys.index_generation())).await.map(drop)
    }
}

/// The columns of a version as they are stored.
pub(crate) struct SealedPerson {
    pub(crate) key: PersonKey,
    pub(crate) card_insurer: InsurerNumber,
    pub(crate) history_number: i64,
    pub(crate) withheld: bool,
    pub(crate) gone_on: Option<i32>,
    pub(crate) identity: Vec<u8>,
    pub(crate) digest: [u8; 32],
    pub(crate) mac: [u8; 32],
    /// Tokens to add.
    pub(crate) tokens: Option<SearchTokens>,
    /// Of the index key they are made with.
    pub(crate) generation: i32,
}

impl SealedPerson {
    pub(crate) fn seal(
        keyring: &Keyring,
        keys: &InsurerKeys,
        revision: i64,
        person: &NewPerson,
    ) -> Result<Self, StoreError> {
        let (insured, history_number) = (&person.insured, person.history_number);
        let content = content_of(insured)?;
        let gone_on = insured.lost.map(|(day, _)| dates::to_number(day));
        let door = Version { history_number, revision, withheld: insured.withheld, gone_on, lifts: false }
            .door(&insured.key, insured.card_insurer.as_str());
        let (history, receipt) = (history_number.to_be_bytes(), revision.to_be_bytes());
        let adds = matches!(person.tokens, TokenChange::Add | TokenChange::Replace) && !insured.withheld;
        Ok(Self {
            key: insured.key,
            card_insurer: insured.card_insurer,
            history_number,
            withheld: insured.withheld,
            gone_on,
            identity: keys.seal(&identity_aad(&insured.key, &history, &receipt), &content),
            digest: keys.digest(&content),
            mac: door.mac(keyring),
            tokens: adds.then(|| SearchTokens::of(keys, &insured.identity)),
            generation: keys.index_generation(),
        })
    }
}

/// The clear columns of a version on which access depends, but for the key and 証記載保険者番号.
pub(crate) struct Version {
    pub(crate) history_number: i64,
    pub(crate) revision: i64,
    pub(crate) withheld: bool,
    pub(crate) gone_on: Option<i32>,
    /// Written when the municipality lifted 不開示.
    pub(crate) lifts: bool,
}

impl Version {
    pub(crate) fn door(&self, key: &PersonKey, card_insurer: &str) -> Door {
        let door = self.door_before(key, card_insurer).number(self.history_number);
        if self.lifts { door.text("lifts") } else { door }
    }

    /// As it was before there were versions, without the 履歴番号.
    pub(crate) fn door_before(&self, key: &PersonKey, card_insurer: &str) -> Door {
        Door::new("person")
            .text(key.insurer.as_str())
            .text(key.insured.as_str())
            .text(card_insurer)
            .number(self.revision)
            .flag(self.withheld)
            .maybe_number(self.gone_on)
    }

    /// Whether the MAC fits.
    pub(crate) fn fits(&self, keys: &Keyring, key: &PersonKey, card_insurer: &str, mac: &[u8]) -> bool {
        self.door(key, card_insurer).fits(keys, mac)
    }
}

impl Store {
    /// A person as known now, with their identity opened. A version of a receipt that is not applied yet does not count,
    /// but for its 不開示: what any version says about that holds (T-1 c). A damaged version hides the whole person.
    pub async fn person(&self, key: PersonKey) -> Result<Option<(PersonHeader, Insured)>, StoreError> {
        Ok(self.person_versions(key).await?.into_iter().next())
    }

    /// Every version of a person that counts, the present one first; its 不開示 is that of all of them.
    pub async fn person_versions(&self, key: PersonKey) -> Result<Vec<(PersonHeader, Insured)>, StoreError> {
        let rows = self.engine.rows(VERSIONS, args![key.insurer.as_str(), key.insured.as_str()]).await?;
        let Some(first) = rows.first() else { return Ok(Vec::new()) };
        let keys = self.keys.keys_for(key.insurer.as_str(), &rows, &[5]).await?;
        let open = match first.text_or_null(9)? {
            Some(open) => open_list(&self.keys, key.insurer, &open, &first.blob_or_null(10)?.unwrap_or_default()),
            None => Some(Vec::new()),
        };
        // With an altered list of open receipts nothing counts as applied.
        let Some(open) = open else { return Ok(Vec::new()) };
        let rows: Vec<&Row> = rows.iter().collect();
        Ok(standing_versions(&self.keys, &keys, &key, &rows, &open)?.unwrap_or_default())
    }

    /// The digest a person's row would have, to see whether a new one changes anything.
    pub async fn person_digest(&self, insured: &Insured) -> Result<[u8; 32], StoreError> {
        let keys = self.keys.keys_of(insured.key.insurer.as_str()).await?;
        Ok(keys.digest(&content_of(insured)?))
    }

    /// Numbers of the people a token finds, at most 1,000.
    pub async fn find_by_token(
        &self,
        insurer: InsurerNumber,
        token: &SearchToken,
    ) -> Result<Vec<InsuredNumber>, StoreError> {
        let mut found = Vec::new();
        for asked in &token.asked {
            let rows = match (token.name, asked) {
                (Name::Kanji, Asked::Sex(token)) => self.engine.rows(BY_KANJI, args![insurer.as_str(), token]).await,
                (Name::Kana, Asked::Sex(token)) => self.engine.rows(BY_KANA, args![insurer.as_str(), token]).await,
                (name, Asked::Birth([male, female], birth)) => {
                    let sql = if name == Name::Kanji { BY_KANJI_AND_BIRTH } else { BY_KANA_AND_BIRTH };
                    self.engine.rows(sql, args![insurer.as_str(), male, female, birth]).await
                }
            };
            for row in rows? {
                found.push(InsuredNumber::parse(&row.text(0)?).map_err(|_| StoreError::Unreadable("person_token"))?);
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// How many people of an insurer are loaded.
    pub async fn count_people(&self, insurer: InsurerNumber) -> Result<i64, StoreError> {
        let rows = self.engine.rows(COUNT, args![insurer.as_str()]).await?;
        rows.first().map_or(Ok(0), |row| row.big(0))
    }

    /// Whether anybody of an insurer is loaded.
    pub async fn has_people(&self, insurer: InsurerNumber) -> Result<bool, StoreError> {
        Ok(!self.engine.rows(ANY, args![insurer.as_str()]).await?.is_empty())
    }

    /// Opens a sealed identity that belongs to nobody, so that an unknown number costs what a known one does (T-4).
    pub async fn open_dummy_identity(&self, key: PersonKey) -> Result<(), StoreError> {
        let keys = self.keys.keys_of(key.insurer.as_str()).await?;
        let sealed = keys.seal(&identity_aad(&key, &[0; 8], &[0; 8]), &[b' '; 400]);
        keys.open(&identity_aad(&key, &[0; 8], &[0; 8]), &sealed).map(drop)
    }
}

/// What versions of a person say about 不開示, in whatever order they are noted: any of them that says so holds until the
/// municipality lifts it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Withheld {
    /// The latest receipts that set and that lifted it.
    set: Option<i64>,
    lifted: Option<i64>,
}

impl Withheld {
    pub(crate) fn note(&mut self, version: &Version) {
        if version.withheld {
            self.set = self.set.max(Some(version.revision));
        }
        if version.lifts {
            self.lifted = self.lifted.max(Some(version.revision));
        }
    }

    pub(crate) fn holds(&self) -> bool {
        self.set > self.lifted
    }
}

/// Versions of one person in the order of `VERSIONS`, whose columns come first in each row. Those of receipts in `open` do not
/// count but for their 不開示. `None` when one is damaged.
pub(crate) fn standing_versions(
    keyring: &Keyring,
    keys: &InsurerKeys,
    key: &PersonKey,
    rows: &[&Row],
    open: &[i64],
) -> Result<Option<Vec<(PersonHeader, Insured)>>, StoreError> {
    let (mut versions, mut withheld) = (Vec::with_capacity(rows.len()), Withheld::default());
    for row in rows {
        let (history_number, revision) = (row.big(0)?, row.big(1)?);
        let (flag, gone_on, lifts) = (row.boolean(3)?, row.int_or_null(4)?, row.int(8)? == 1);
        let version = Version { history_number, revision, withheld: flag, gone_on, lifts };
        if !version.fits(keyring, key, &row.text(2)?, &row.blob(7)?) {
            return Ok(None);
        }
        withheld.note(&version);
        if open.contains(&revision) {
            continue;
        }
        let insured = open_identity(keys, key, (history_number, revision), row.blob_ref(5)?)?;
        let header = PersonHeader { revision, history_number, withheld: flag, lifts, digest: row.blob(6)? };
        versions.push((header, insured));
    }
    if let Some((header, insured)) = versions.first_mut() {
        header.withheld = withheld.holds();
        insured.withheld = withheld.holds();
    }
    Ok(Some(versions))
}

/// The identity of a version (履歴番号 and receipt). Those from before there were versions are sealed without the 履歴番号.
pub(crate) fn open_identity(
    keys: &InsurerKeys,
    key: &PersonKey,
    (history_number, revision): (i64, i64),
    sealed: &[u8],
) -> Result<Insured, StoreError> {
    let (history, receipt) = (history_number.to_be_bytes(), revision.to_be_bytes());
    let aad = identity_aad(key, &history, &receipt);
    let plain = keys.open(&aad, sealed).or_else(|_| keys.open(&aad[..4], sealed))?;
    serde_json::from_slice(&plain).map_err(|_| StoreError::Unreadable("person"))
}

pub(crate) fn content_of(insured: &Insured) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(insured).map_err(|error| StoreError::Internal(error.to_string()))
}

/// The 履歴番号 comes last: rows from before there were versions are sealed without it.
pub(crate) fn identity_aad<'a>(key: &'a PersonKey, history: &'a [u8; 8], revision: &'a [u8; 8]) -> [&'a [u8]; 5] {
    [b"person", key.insurer.as_str().as_bytes(), key.insured.as_str().as_bytes(), revision, history]
}
