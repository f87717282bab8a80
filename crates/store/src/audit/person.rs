//! The months of each person (本人別の月の木): when a month is over, a tree with one leaf per person of an insurer – how many
//! entries are about the person, and a digest over all of them in order – and an entry of the log that holds its root. With
//! it a person proves offline, with the public key alone, that the own list lacks nothing (decision 0006.4, S-019).

use super::anchor::{PublicKey, hex_bytes};
use super::entry::{Entry, Outcome, Position, StoredEntry};
use super::month::{Month, slow_rows};
use super::proof::{Proof, ShownGroup, Value, field, leaf_of, shown_groups, verify_proof, withhold};
use super::tree::{self, Hash};
use super::{AuditLog, Unreleased, segment};
use crate::StoreError;
use crate::engine::{Committed, Engine, args};
use crate::seal::{hex, random_bytes, sha256};
use kiban_domain::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// After the end of a month so long, in microseconds, nothing of it is still being written.
const GRACE: i64 = 3_600_000_000;
/// People of one question.
const PEOPLE: usize = 500;
/// Number and leaf of a person in `audit_month`.
const WIDTH: usize = 42;
/// What the entry with a root says was done.
const ACTION: &str = "audit.month";

const INSURERS: &str = "SELECT insurer_number FROM receipt_counter WHERE last_number > 0 ORDER BY insurer_number";
const FIRST_RECEIPT: &str = "SELECT MIN(received_at) FROM receipt WHERE insurer_number = $1";
const LAST_SIGNED: &str = "SELECT month FROM audit_month WHERE insurer_number = $1 ORDER BY month DESC LIMIT 1";
const MEMBERS: &str = "SELECT DISTINCT insured_number FROM person WHERE insurer_number = $1";
const UNSEALED: &str = "SELECT 1 FROM audit a LEFT JOIN audit_segment s ON s.writer = a.writer AND s.segment = a.segment \
                        WHERE a.at >= $1 AND a.at < $2 AND s.writer IS NULL LIMIT 1";
/// The leaves of the entries about some people in a span of time, directly or on a list.
macro_rules! leaves {
    ($people:literal) => {
        concat!(
            "SELECT a.insured_number, a.at, a.writer, a.segment, a.n, substr(s.leaves, a.n * 32 + 1, 32) FROM audit a ",
            "JOIN audit_segment s ON s.writer = a.writer AND s.segment = a.segment ",
            "WHERE a.insurer_number = $1 AND a.insured_number ",
            $people,
            " AND a.at >= $3 AND a.at < $4 ",
            "UNION ALL ",
            "SELECT x.insured_number, a.at, a.writer, a.segment, a.n, substr(s.leaves, a.n * 32 + 1, 32) FROM audit_seen x ",
            "JOIN audit a ON a.at = x.at AND a.writer = x.writer AND a.segment = x.segment AND a.n = x.n ",
            "AND a.insurer_number = x.insurer_number ",
            "JOIN audit_segment s ON s.writer = a.writer AND s.segment = a.segment ",
            "WHERE x.insurer_number = $1 AND x.insured_number ",
            $people,
            " AND x.day >= $5 AND x.day < $6"
        )
    };
}
const LEAVES_POSTGRES: &str = leaves!("= ANY(string_to_array($2, ','))");
const LEAVES_SQLITE: &str = leaves!("IN (SELECT value FROM json_each($2))");
const PUT: &str = "INSERT INTO audit_month (insurer_number, month, salt, people, writer, segment, n) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
const TREES: &str =
    "SELECT month, salt, people, writer, segment, n FROM audit_month WHERE insurer_number = $1 ORDER BY month";
const NEXT_TREE: &str = "SELECT insurer_number, month, salt, people, writer, segment, n FROM audit_month \
                         WHERE (insurer_number, month) > ($1, $2) ORDER BY insurer_number, month LIMIT 1";

/// Statements that must never read a whole table.
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[LAST_SIGNED, FIRST_RECEIPT, MEMBERS, PUT, TREES, NEXT_TREE];
/// The same leaves, asked for in the way of each engine.
#[cfg(test)]
pub(crate) const LEAVES: [&str; 2] = [LEAVES_SQLITE, LEAVES_POSTGRES];

/// What the entries of one person in one month come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sum {
    count: i32,
    chain: Hash,
}

impl Sum {
    fn of(leaves: impl IntoIterator<Item = Hash>) -> Self {
        let start = Self { count: 0, chain: sha256(&[b"kiban person month 1\n"]) };
        leaves.into_iter().fold(start, |sum, leaf| Self { count: sum.count + 1, chain: sha256(&[&sum.chain, &leaf]) })
    }

    fn leaf(&self, salt: &Hash, insurer: &str, insured: &str, month: Month) -> Hash {
        let (month, count) = (month.number().to_be_bytes(), self.count.to_be_bytes());
        sha256(&[&[0], salt, insurer.as_bytes(), insured.as_bytes(), &month, &count, &self.chain])
    }
}

/// Salts of segments that were read, by writer and segment: a segment is read once, however many entries of a person are in it.
type Salts = BTreeMap<(i64, i32), Hash>;

fn instant(at: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(at).map_err(|_| StoreError::Unreadable("time of an audit entry"))
}

/// Telling one person's salt tells nothing about the others.
fn salt_of(salt: &Hash, insured: &str) -> Hash {
    sha256(&[salt, insured.as_bytes()])
}

/// What the entry of the log says of a tree: month, number of people and root.
fn statement(month: Month, people: usize, root: &Hash) -> String {
    format!("{}-{people}-{}", month.number(), hex(root))
}

/// A row of `audit_month`.
struct Tree {
    month: Month,
    salt: Hash,
    people: Vec<(String, Hash)>,
    signed_at: Position,
}

impl Tree {
    fn read(row: &crate::engine::Row, at: usize) -> Result<Self, StoreError> {
        let broken = || StoreError::Unreadable("audit_month");
        let people = row.blob(at + 2)?;
        let (people, rest) = people.as_chunks::<WIDTH>();
        let person = |bytes: &[u8; WIDTH]| {
            let number = std::str::from_utf8(&bytes[..10]).ok()?.to_owned();
            Some((number, tree::hash_from(&bytes[10..])?))
        };
        Ok(Self {
            month: Month::from_number(row.int(at)?),
            salt: tree::hash_from(&row.blob(at + 1)?).ok_or_else(broken)?,
            people: people.iter().map(person).collect::<Option<_>>().filter(|_| rest.is_empty()).ok_or_else(broken)?,
            signed_at: Position { writer: row.big(at + 3)?, segment: row.int(at + 4)?, n: row.int(at + 5)? },
        })
    }

    fn leaves(&self) -> Vec<Hash> {
        self.people.iter().map(|(_, leaf)| *leaf).collect()
    }

    fn statement(&self) -> String {
        statement(self.month, self.people.len(), &tree::root(&self.leaves()))
    }
}

/// The sums of some people of an insurer in a month.
async fn sums(
    engine: &Engine,
    insurer: &str,
    people: &[String],
    month: Month,
) -> Result<BTreeMap<String, Sum>, StoreError> {
    let ((from, to), (first, after)) = (month.span(), month.days());
    let (sql, set) = if engine.is_postgres() {
        (LEAVES_POSTGRES, people.join(","))
    } else {
        (LEAVES_SQLITE, serde_json::to_string(people).unwrap_or_default())
    };
    let mut found: BTreeMap<String, BTreeMap<(i64, Position), Hash>> = BTreeMap::new();
    for row in slow_rows(engine, sql, args![insurer, &set, from, to, first, after]).await? {
        let place = Position { writer: row.big(2)?, segment: row.int(3)?, n: row.int(4)? };
        let leaf = tree::hash_from(&row.blob(5)?).ok_or(StoreError::Unreadable("audit_segment"))?;
        found.entry(row.text(0)?).or_default().insert((row.big(1)?, place), leaf);
    }
    Ok(people
        .iter()
        .map(|person| (person.clone(), Sum::of(found.remove(person).unwrap_or_default().into_values())))
        .collect())
}

impl AuditLog {
    /// Signs every month that is over and not yet signed, of every insurer, from the month of its first receipt; how many. A
    /// month with entries that are not sealed yet waits, and so do those after it: none is ever left out in between.
    pub async fn sign_months(&self, now: Timestamp) -> Result<usize, StoreError> {
        let engine = &self.0.engine;
        let last = Month::of(instant(now.as_microsecond() - GRACE)?).plus(-1);
        let (mut sealed, mut signed) = (BTreeMap::new(), 0);
        for row in engine.rows(INSURERS, args![]).await? {
            let insurer = row.text(0)?;
            let Some(first) = self.first_unsigned(&insurer).await? else { continue };
            for month in std::iter::successors(Some(first), |month| Some(month.plus(1))).take_while(|m| *m <= last) {
                if self.is_stopping() {
                    return Ok(signed);
                }
                let is_sealed = match sealed.get(&month) {
                    Some(known) => *known,
                    None => {
                        let (from, to) = month.span();
                        let is_sealed = slow_rows(engine, UNSEALED, args![from, to]).await?.is_empty();
                        sealed.insert(month, is_sealed);
                        is_sealed
                    }
                };
                if !is_sealed {
                    break;
                }
                signed += usize::from(self.sign_month(&insurer, month, now).await?);
            }
        }
        Ok(signed)
    }

    async fn first_unsigned(&self, insurer: &str) -> Result<Option<Month>, StoreError> {
        let engine = &self.0.engine;
        if let Some(row) = engine.rows(LAST_SIGNED, args![insurer]).await?.first() {
            return Ok(Some(Month::from_number(row.int(0)?).plus(1)));
        }
        let rows = engine.rows(FIRST_RECEIPT, args![insurer]).await?;
        let first = rows.first().map(|row| row.big_or_null(0)).transpose()?.flatten();
        first.map(|at| instant(at).map(Month::of)).transpose()
    }

    /// False when another process was faster.
    async fn sign_month(&self, insurer: &str, month: Month, now: Timestamp) -> Result<bool, StoreError> {
        let engine = &self.0.engine;
        let members = slow_rows(engine, MEMBERS, args![insurer]).await?;
        let mut members: Vec<String> = members.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?;
        members.sort_unstable();
        let salt: Hash = random_bytes()?;
        let (mut leaves, mut people) = (Vec::with_capacity(members.len()), Vec::with_capacity(members.len() * WIDTH));
        for block in members.chunks(PEOPLE) {
            for (insured, sum) in sums(engine, insurer, block, month).await? {
                let leaf = sum.leaf(&salt_of(&salt, &insured), insurer, &insured, month);
                people.extend(insured.as_bytes());
                people.extend(leaf);
                leaves.push(leaf);
            }
        }
        let request_id = hex(&random_bytes::<16>()?);
        let entry = Entry {
            insurer: Some(insurer.to_owned()),
            natural_key: Some(statement(month, leaves.len(), &tree::root(&leaves))),
            ..Entry::new(now, &request_id, "cli", ACTION, Outcome::Done)
        };
        let mut tx = engine.begin().await?;
        let slot = self.stage(&mut tx, entry).await?;
        let place = slot.position().ok_or(StoreError::Internal("an entry without a place".to_owned()))?;
        let put = args![insurer, month.number(), &salt, &people, place.writer, place.segment, place.n];
        if tx.run(PUT, put).await? == 0 {
            return Ok(false);
        }
        match tx.commit().await {
            Committed::Done => {
                slot.committed();
                Ok(true)
            }
            Committed::Unknown => {
                slot.unknown();
                Err(StoreError::Unknown)
            }
        }
    }

    /// Everything the log holds about a person in the signed months, with what proves that nothing is left out. What was
    /// done is shown; the sealed part of list views, which names others, is not.
    pub async fn person_log(&self, insurer: &str, insured: &str) -> Result<Unreleased<PersonLog>, StoreError> {
        let engine = &self.0.engine;
        let gone = super::purge::Purged::read(engine, &self.public_key()).await?.months;
        let (mut months, mut salts) = (Vec::new(), Salts::new());
        for row in engine.rows(TREES, args![insurer]).await? {
            let month_tree = Tree::read(&row, 0)?;
            if gone.contains(&month_tree.month) {
                continue;
            }
            let index = month_tree.people.iter().position(|(number, _)| number == insured);
            if let Some(index) = index {
                months.push(self.person_month(insurer, insured, (&month_tree, index), &mut salts).await?);
            }
        }
        let (insurer, insured) = (insurer.to_owned(), insured.to_owned());
        Ok(Unreleased::new(PersonLog { insurer, insured, months }))
    }

    async fn person_month(
        &self,
        insurer: &str,
        insured: &str,
        (month_tree, index): (&Tree, usize),
        salts: &mut Salts,
    ) -> Result<PersonMonth, StoreError> {
        let mut entries = Vec::new();
        for entry in self.entries_of_month(insurer, insured, month_tree.month).await? {
            let Position { writer, segment, .. } = entry.position;
            let salt = match salts.get(&(writer, segment)) {
                Some(known) => *known,
                None => {
                    let stored = segment::read_segment(&self.0.engine, writer, segment).await?;
                    let salt = stored.ok_or(StoreError::Unreadable("audit_segment"))?.salt;
                    salts.insert((writer, segment), salt);
                    salt
                }
            };
            let mut groups = shown_groups(&entry, &salt);
            withhold(&mut groups, "detail");
            entries.push(groups);
        }
        Ok(PersonMonth {
            month: month_tree.month,
            entries,
            salt: salt_of(&month_tree.salt, insured),
            index: index as u32,
            people: month_tree.people.len() as u32,
            path: tree::path(&month_tree.leaves(), index).as_flattened().to_vec(),
            signed: self.proof(month_tree.signed_at).await?,
        })
    }

    /// Oldest first.
    async fn entries_of_month(
        &self,
        insurer: &str,
        insured: &str,
        month: Month,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        const PAGE: u32 = 500;
        let (from, to) = month.span();
        let mut before = Some(super::query::earlier_than(to));
        let mut entries = Vec::new();
        loop {
            let page = self.about_person(insurer, insured, PAGE, before).await?;
            before = page.last().map(StoredEntry::cursor);
            let is_last = page.len() < PAGE as usize || page.last().is_some_and(|entry| entry.at < from);
            entries.extend(page.into_iter().filter(|entry| entry.at >= from));
            if is_last {
                entries.reverse();
                return Ok(entries);
            }
        }
    }
}

/// The list of one person, to be kept and checked offline (JSON).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonLog {
    /// 保険者番号.
    pub insurer: String,
    /// 被保険者番号.
    pub insured: String,
    /// Signed months, without a hole.
    pub months: Vec<PersonMonth>,
}

/// One month of a person's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonMonth {
    /// The month, yyyymm.
    pub month: Month,
    /// The entries in order, each as the groups of a [`Proof`].
    pub entries: Vec<Vec<ShownGroup>>,
    /// Salt of the person's leaf.
    #[serde(with = "hex_bytes")]
    pub salt: Hash,
    /// The person's place in the tree.
    pub index: u32,
    /// People in the tree.
    pub people: u32,
    /// Hashes from the leaf to the root, 32 bytes each.
    #[serde(with = "hex_bytes")]
    pub path: Vec<u8>,
    /// The entry of the log that holds the root.
    pub signed: Proof,
}

impl PersonMonth {
    /// A shown field of an entry.
    pub fn field(&self, entry: usize, name: &str) -> Option<&Value> {
        field(self.entries.get(entry)?, name)
    }
}

impl PersonLog {
    /// Withholds a group of the entries of which a predicate holds; it is given the shown fields by name.
    pub fn withhold_where(&mut self, group: &str, holds: impl Fn(&dyn Fn(&str) -> Option<Value>) -> bool) {
        for groups in self.months.iter_mut().flat_map(|month| &mut month.entries) {
            if holds(&|name| field(groups, name).cloned()) {
                withhold(groups, group);
            }
        }
    }

    /// Withholds the offices, for a copy that goes to somebody else than the person (不開示).
    pub fn withhold_offices(&mut self) {
        self.months.iter_mut().flat_map(|month| &mut month.entries).for_each(|groups| withhold(groups, "who"));
    }
}

/// Why a person's list does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PersonRefused {
    /// It covers no signed month.
    #[error("no signed month")]
    Empty,
    /// Between two of its months one is missing.
    #[error("month {0} is missing")]
    MonthMissing(Month),
    /// An entry is missing, added, altered or of somebody else.
    #[error("the entries of {0} are not all those that were signed")]
    Entries(Month),
    /// The root is not signed by the key.
    #[error("the root of {0} is not signed by this key")]
    Signature(Month),
}

/// Checks a person's list with the public key alone: the months and how many entries each has.
pub fn verify_person(log: &PersonLog, key: &PublicKey) -> Result<Vec<(Month, usize)>, PersonRefused> {
    let mut checked: Vec<(Month, usize)> = Vec::new();
    for month in &log.months {
        if let Some(missing) = checked.last().map(|(last, _)| last.plus(1)).filter(|next| *next != month.month) {
            return Err(PersonRefused::MonthMissing(missing));
        }
        let root = root_of(log, month).ok_or(PersonRefused::Entries(month.month))?;
        let said = statement(month.month, month.people as usize, &root);
        let says = |field: &str, text: &str| month.signed.field(field) == Some(&Value::Text(text.to_owned()));
        if !says("natural_key", &said) || !says("action", ACTION) || !says("insurer_number", &log.insurer) {
            return Err(PersonRefused::Entries(month.month));
        }
        verify_proof(&month.signed, key).map_err(|_| PersonRefused::Signature(month.month))?;
        checked.push((month.month, month.entries.len()));
    }
    if checked.is_empty() { Err(PersonRefused::Empty) } else { Ok(checked) }
}

/// The root that the entries of a month lead to.
fn root_of(log: &PersonLog, month: &PersonMonth) -> Option<Hash> {
    let leaves = month.entries.iter().map(|groups| leaf_of(groups)).collect::<Option<Vec<_>>>()?;
    let leaf = Sum::of(leaves).leaf(&month.salt, &log.insurer, &log.insured, month.month);
    let (path, rest) = month.path.as_chunks::<32>();
    if !rest.is_empty() {
        return None;
    }
    tree::root_by_path(&leaf, month.index as usize, month.people as usize, path)
}

/// What the verification of the whole log finds wrong with the trees: an entry with another root, or a leaf that the entries
/// of a person do not lead to.
pub(crate) async fn differences(engine: &Engine, purged: &[Month]) -> Result<(u64, Vec<String>), StoreError> {
    let (mut trees, mut found) = (0, Vec::new());
    let mut last = (String::new(), 0);
    while let Some(row) = engine.rows(NEXT_TREE, args![&last.0, last.1]).await?.first() {
        let (insurer, month_tree) = (row.text(0)?, Tree::read(row, 1)?);
        last = (insurer.clone(), month_tree.month.number());
        trees += 1;
        let month = month_tree.month;
        if purged.contains(&month) {
            continue;
        }
        let Position { writer, segment, n } = month_tree.signed_at;
        let entries = segment::read_entries(engine, writer, segment).await?;
        let said = entries.iter().find(|entry| entry.position.n == n && entry.action == ACTION);
        if said.and_then(|entry| entry.natural_key.as_deref()) != Some(&month_tree.statement()) {
            found.push(format!("tree of {month} of insurer {insurer} is not the one that was signed"));
        }
        let wrong = wrong_people(engine, &insurer, &month_tree).await?;
        if wrong > 0 {
            found.push(format!("tree of {month} of insurer {insurer} differs from the entries of {wrong} people"));
        }
    }
    Ok((trees, found))
}

async fn wrong_people(engine: &Engine, insurer: &str, month_tree: &Tree) -> Result<usize, StoreError> {
    let mut wrong = month_tree.people.windows(2).filter(|pair| pair[0].0 >= pair[1].0).count();
    for block in month_tree.people.chunks(PEOPLE) {
        let numbers: Vec<String> = block.iter().map(|(number, _)| number.clone()).collect();
        let sums = sums(engine, insurer, &numbers, month_tree.month).await?;
        let is_right = |(insured, leaf): &&(String, Hash)| {
            let salt = salt_of(&month_tree.salt, insured);
            sums.get(insured).is_some_and(|sum| sum.leaf(&salt, insurer, insured, month_tree.month) == *leaf)
        };
        wrong += block.iter().filter(|person| !is_right(person)).count();
    }
    Ok(wrong)
}
