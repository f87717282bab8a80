//! 試し: a package is read and judged as for real, and nothing is written but the entry that it was done (P-130, P-161). What
//! it would do is told by kind, and, for a package of everything, what the platform holds and the package lacks.

use crate::intake::{PackageReport, natural_key};
use crate::intake_judge::Judged;
use crate::intake_work::{Pass, check, read_blocks, unread};
use crate::{Caller, Context, Error, Platform, intake_kinds};
use kiban_domain::{Date, InsuredNumber, InsurerNumber, Kind, Organization, Timestamp};
use kiban_formats::municipal::{Change, EXPORTED, MunicipalKind, MunicipalRow, MunicipalValue, Source};
use kiban_store::{Entry, Outcome, Receipt, ReceiptCounts, ReceiptProgress, ReceiptState};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::BuildHasher as _;
use std::io::{self, Read};
use std::sync::Arc;

/// Rows by what would become of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RowChanges {
    /// Of a key that is not there.
    pub new: i64,
    /// Of a key that is there with other content.
    pub changed: i64,
    /// That take a key away.
    pub deleted: i64,
    /// There already with the same content.
    pub unchanged: i64,
    /// Refused, each with a problem.
    pub refused: i64,
}

/// What the platform holds and a package of everything lacks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Missing {
    /// How many rows.
    pub total: u64,
    /// The same by 種別.
    pub kinds: BTreeMap<String, u64>,
    /// The first of them, by 被保険者番号: at most 1,000 of a trial, 100 of a package that is taken in.
    pub rows: Vec<MissingRow>,
}

/// A row the platform holds and the package lacks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MissingRow {
    /// 被保険者番号
    pub insured_number: InsuredNumber,
    /// 種別 of the package; `INSURED` is the whole person.
    pub kind: String,
    /// 履歴番号, or what an opinion is known by; empty of a person.
    pub key: String,
}

/// A row in which the platform and a package differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference<'a> {
    /// 種別 of the package; `INSURED` is the whole person.
    pub kind: &'a str,
    /// 被保険者番号
    pub insured_number: InsuredNumber,
    /// 履歴番号, or what an opinion is known by; empty of a person and of an act of consent.
    pub key: &'a str,
    /// `new`, `changed`, `deleted`, or `missing`: what the platform holds and a package of everything lacks.
    pub change: &'static str,
}

/// A row that would change something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SampleRow {
    /// 被保険者番号
    pub insured_number: InsuredNumber,
    /// 履歴番号, or what an opinion is known by; empty of a person and of an act of consent.
    pub key: String,
    /// `new`, `changed` or `deleted`.
    pub change: &'static str,
}

/// What a package would do. Of the shape of its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DryRun {
    /// Empty: nothing was received.
    pub receipt: &'static str,
    /// `would_apply` or `would_refuse`.
    pub state: &'static str,
    /// When it was tried.
    pub received_at: Timestamp,
    /// 基準日; absent when the manifest cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_date: Option<Date>,
    /// Never.
    pub repeated: bool,
    /// As the real one would say.
    pub report: PackageReport,
    /// By 種別.
    pub changes: BTreeMap<String, RowChanges>,
    /// The first 1,000 rows of each 種別 that would change something.
    pub samples: BTreeMap<String, Vec<SampleRow>>,
    /// Of a package of everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
}

/// The same as it is kept.
#[derive(Deserialize)]
struct KeptSample {
    insured_number: InsuredNumber,
    key: String,
    change: String,
}

impl<'de> Deserialize<'de> for SampleRow {
    fn deserialize<D: Deserializer<'de>>(kept: D) -> Result<Self, D::Error> {
        let KeptSample { insured_number, key, change } = KeptSample::deserialize(kept)?;
        let change = ["new", "changed"].into_iter().find(|word| *word == change).unwrap_or("deleted");
        Ok(Self { insured_number, key, change })
    }
}

#[derive(Deserialize)]
struct KeptDryRun {
    state: String,
    received_at: Timestamp,
    #[serde(default)]
    base_date: Option<Date>,
    report: PackageReport,
    changes: BTreeMap<String, RowChanges>,
    samples: BTreeMap<String, Vec<SampleRow>>,
    #[serde(default)]
    missing: Option<Missing>,
}

impl<'de> Deserialize<'de> for DryRun {
    fn deserialize<D: Deserializer<'de>>(kept: D) -> Result<Self, D::Error> {
        let kept = KeptDryRun::deserialize(kept)?;
        let KeptDryRun { state, received_at, base_date, report, changes, samples, missing } = kept;
        let state = if state == "would_apply" { "would_apply" } else { "would_refuse" };
        Ok(Self { receipt: "", state, received_at, base_date, repeated: false, report, changes, samples, missing })
    }
}

impl DryRun {
    /// 被保険者番号 of everybody whose rows are named, once each.
    pub(crate) fn subjects(&self) -> Vec<String> {
        let missed = self.missing.iter().flat_map(|missing| &missing.rows).map(|row| row.insured_number);
        let sampled = self.samples.values().flatten().map(|row| row.insured_number);
        let subjects: BTreeSet<String> = missed.chain(sampled).map(|number| number.to_string()).collect();
        subjects.into_iter().collect()
    }
}

/// Missing rows told one by one; a sink hears all of them.
const MOST_MISSING: usize = 1_000;
/// The same in the result of a package, which is written again with each of its blocks.
const MOST_KEPT: usize = 100;
/// People looked through at a time.
const BLOCK: i32 = 1_000;
/// Rows of a 種別 that are named; a sink hears all of them.
const MOST_SAMPLES: usize = 1_000;

/// Files in memory that several may read.
#[derive(Clone)]
struct Held(Arc<Vec<(String, Vec<u8>)>>);

impl Source for Held {
    fn files(&self) -> usize {
        self.0.len()
    }

    fn name(&self, file: usize) -> &str {
        self.0.name(file)
    }

    fn open(&self, file: usize) -> io::Result<impl Read> {
        self.0.open(file)
    }
}

impl Platform {
    /// Tries a package of the caller's municipality that lies in memory. `whole`: it is meant to hold everything.
    pub async fn dry_run_package(
        &self,
        caller: &Caller,
        files: Vec<(String, Vec<u8>)>,
        whole: bool,
        context: &Context,
    ) -> Result<DryRun, Error> {
        self.may_send_package(caller, context)?;
        let insurer = caller.municipality().ok_or(Error::Unknown)?;
        let entry = caller.entry(context, "import.dry_run", Outcome::Allowed);
        self.dry_run(insurer, Held(Arc::new(files)), whole, entry, context, &mut |_| {}).await
    }

    /// The same for a command on the platform's own machine. `told` hears every difference; of a first load, where every row is new,
    /// none.
    pub async fn dry_run_locally<S: Source + Clone + Send + Sync + 'static>(
        &self,
        insurer: InsurerNumber,
        source: S,
        whole: bool,
        context: &Context,
        told: &mut (dyn FnMut(Difference<'_>) + Send),
    ) -> Result<DryRun, Error> {
        let entry = Entry::new(context.now, &context.request_id, "cli", "import.dry_run", Outcome::Allowed);
        let entry = Entry { organization: Some(Organization::Municipality(insurer).to_string()), ..entry };
        self.dry_run(insurer, source, whole, entry, context, told).await
    }

    pub(crate) async fn dry_run<S: Source + Clone + Send + Sync + 'static>(
        &self,
        insurer: InsurerNumber,
        source: S,
        whole: bool,
        entry: Entry,
        context: &Context,
        told: &mut (dyn FnMut(Difference<'_>) + Send),
    ) -> Result<DryRun, Error> {
        self.require_opened(insurer, &entry).await?;
        let read = source.clone();
        let now = context.now;
        let checked = tokio::task::spawn_blocking(move || check(read, insurer, now)).await;
        let checked = checked.map_err(|error| Error::Internal(error.to_string()))?;
        let checked = checked.map_err(|error| Error::Unavailable(error.to_string()))?;
        let is_initial = !self.store().has_people(insurer).await?;
        let mut pass = Pass::new(checked.report, checked.rows, is_initial, checked.made_at);
        let (changes, samples) = (BTreeMap::new(), BTreeMap::new());
        let mut trial = Trial { insurer, is_initial, changes, samples, acts: HashSet::new(), told };
        let mut keys = (whole || checked.is_whole).then(|| PackageKeys::of(checked.rows));
        if !checked.is_refused {
            let mut judge = self.judge(&no_receipt(context.now, insurer), insurer, &pass).await?;
            let mut blocks = read_blocks(source, self.block(), 0, checked.rows);
            while let Some(block) = blocks.recv().await {
                let block = block.map_err(|error| Error::Unavailable(error.to_string()))?;
                keys.iter_mut().for_each(|keys| keys.take(&block.rows));
                let judged = judge.block(block.rows, block.faulty).await?;
                self.try_block(&mut trial, &judged, &mut pass).await?;
            }
        }
        let report = pass.report.closed();
        let Trial { mut changes, samples, told, .. } = trial;
        for (kind, counts) in &report.kinds {
            let of_kind = changes.entry(kind.clone()).or_default();
            (of_kind.unchanged, of_kind.refused) = (counts.unchanged, counts.refused);
        }
        let missing = match keys.filter(|_| !checked.is_refused) {
            Some(keys) => Some(self.missing(insurer, &keys, &report, told).await?),
            None => None,
        };
        let state = if checked.is_refused { "would_refuse" } else { "would_apply" };
        let detail = serde_json::json!({
            "state": state, "changes": changes, "missing": missing.as_ref().map(|missing| missing.total),
        });
        let (received_at, base_date) = (context.now, checked.base_date);
        let tried =
            DryRun { receipt: "", state, received_at, base_date, repeated: false, report, changes, samples, missing };
        let (insurer, subjects) = (Some(insurer.to_string()), tried.subjects());
        self.store().audit().append(Entry { insurer, subjects, detail: Some(detail.to_string()), ..entry }).await?;
        Ok(tried)
    }

    /// What the platform holds and a package of everything that arrived lacks; before anything of it is applied.
    pub(crate) async fn missing_from<S: Source + Send + 'static>(
        &self,
        insurer: InsurerNumber,
        source: S,
        rows: u64,
        report: &PackageReport,
    ) -> Result<Missing, Error> {
        if !self.store().has_people(insurer).await? {
            return Ok(Missing::default());
        }
        let mut keys = PackageKeys::of(rows);
        let mut blocks = read_blocks(source, self.block(), 0, rows);
        while let Some(block) = blocks.recv().await {
            keys.take(&block.map_err(unread)?.rows);
        }
        let mut missing = self.missing(insurer, &keys, report, &mut |_| {}).await?;
        missing.rows.truncate(MOST_KEPT);
        Ok(missing)
    }

    /// Counts what a judged block would do.
    async fn try_block(&self, trial: &mut Trial<'_>, judged: &Judged, pass: &mut Pass) -> Result<(), Error> {
        for problem in &judged.problems {
            pass.report.tell(problem);
        }
        for (kind, counts) in &judged.counts {
            pass.add(kind, *counts);
        }
        let people = judged.people.iter().map(|person| person.insured.key.insured);
        let documents = judged.records.iter().map(|record| record.person.insured);
        let mut numbers: Vec<InsuredNumber> = people.chain(documents).collect();
        let mut consenting: Vec<InsuredNumber> = judged.consents.iter().map(|(_, act)| act.person.insured).collect();
        for list in [&mut numbers, &mut consenting] {
            list.sort();
            list.dedup();
            if trial.is_initial {
                list.clear();
            }
        }
        let (insurer, store) = (trial.insurer, self.store());
        let mut kinds: Vec<Kind> = judged.records.iter().map(|record| record.kind).collect();
        kinds.sort();
        kinds.dedup();
        let versions = store.present_people(insurer, &numbers).await?;
        let records = store.present_records(insurer, &numbers, &kinds).await?;
        let acts = store.present_acts(insurer, &consenting).await?;
        for person in &judged.people {
            let versions = versions.get(&person.insured.key.insured).map_or(&[][..], Vec::as_slice);
            let is_there = versions.iter().any(|version| version.history_number == person.history_number);
            trial.count(MunicipalKind::Insured.code(), (person.insured.key.insured, ""), false, is_there);
        }
        for record in &judged.records {
            let key = (record.person.insured, record.kind, record.natural_key.clone());
            let is_there = records.get(&key).is_some_and(|present| !present.deleted);
            let row = (record.person.insured, record.natural_key.trim_start_matches('0'));
            trial.count(file_of(record.kind), row, record.deleted, is_there);
        }
        for link in &judged.links {
            let before = store.links_of(link.person).await?;
            let last = before.iter().rfind(|known| known.history_number == link.history_number);
            let is_there = last.is_some_and(|last| !last.deleted);
            let key = link.history_number.to_string();
            trial.count(MunicipalKind::Link.code(), (link.person.insured, &key), link.deleted, is_there);
        }
        // Those of a 同意欄 are counted with their application.
        trial.acts.extend(judged.columns.iter().map(|(id, _)| id.clone()));
        for (id, act) in &judged.consents {
            let known = acts.get(&act.person.insured).map_or(&[][..], Vec::as_slice);
            let is_new = !known.iter().any(|known| known.id == *id) && trial.acts.insert(id.clone());
            let (applied, unchanged) = if is_new { (1, 0) } else { (0, 1) };
            pass.add(MunicipalKind::Consent.code(), ReceiptCounts { applied, unchanged, ..ReceiptCounts::default() });
            if is_new {
                trial.count(MunicipalKind::Consent.code(), (act.person.insured, ""), false, false);
            }
        }
        Ok(())
    }

    /// What the platform holds of the kinds of a package and the package lacks. Acts of consent and 番号異動 are not compared: a
    /// city need not have those that others took.
    async fn missing(
        &self,
        insurer: InsurerNumber,
        keys: &PackageKeys,
        report: &PackageReport,
        told: &mut (dyn FnMut(Difference<'_>) + Send),
    ) -> Result<Missing, Error> {
        let unapplied = self.store().unapplied(insurer).await?;
        let kinds = EXPORTED.iter().filter(|exported| report.kinds.contains_key(exported.file.code()));
        let kinds: Vec<Kind> = kinds.map(|exported| exported.kind).collect();
        let mut missing = Missing::default();
        let mut after = None;
        loop {
            let numbers = self.store().numbers_after(insurer, after, BLOCK).await?;
            let Some(last) = numbers.last() else { return Ok(missing) };
            after = Some(*last);
            let people = self.store().present_people(insurer, &numbers).await?;
            let records = self.store().present_records(insurer, &numbers, &kinds).await?;
            let mut found = Vec::new();
            let mut gone = HashSet::new();
            for (number, versions) in people {
                let counts = versions.iter().any(|version| !unapplied.contains(&version.revision));
                let is_compared = report.kinds.contains_key(MunicipalKind::Insured.code());
                if counts && is_compared && !keys.holds(MunicipalKind::Insured.code(), number, "") {
                    gone.insert(number);
                    let kind = MunicipalKind::Insured.code().to_owned();
                    found.push(MissingRow { insured_number: number, kind, key: String::new() });
                }
            }
            for ((number, kind, key), present) in records {
                let kind = file_of(kind);
                let is_there = !present.deleted && !unapplied.contains(&present.revision) && !gone.contains(&number);
                if is_there && report.kinds.contains_key(kind) && !keys.holds(kind, number, &key) {
                    let key = key.trim_start_matches('0').to_owned();
                    found.push(MissingRow { insured_number: number, kind: kind.to_owned(), key });
                }
            }
            found.sort();
            for row in found {
                let MissingRow { kind, insured_number, key } = &row;
                told(Difference { kind, insured_number: *insured_number, key, change: "missing" });
                missing.total += 1;
                *missing.kinds.entry(row.kind.clone()).or_default() += 1;
                if missing.rows.len() < MOST_MISSING {
                    missing.rows.push(row);
                }
            }
        }
    }
}

/// A trial so far.
struct Trial<'t> {
    insurer: InsurerNumber,
    is_initial: bool,
    changes: BTreeMap<String, RowChanges>,
    samples: BTreeMap<String, Vec<SampleRow>>,
    /// Acts of consent of the package.
    acts: HashSet<String>,
    told: &'t mut (dyn FnMut(Difference<'_>) + Send),
}

impl Trial<'_> {
    fn count(&mut self, kind: &str, (insured_number, key): (InsuredNumber, &str), deletes: bool, is_there: bool) {
        let changes = self.changes.entry(kind.to_owned()).or_default();
        let (count, change) = match (deletes, is_there) {
            (true, _) => (&mut changes.deleted, "deleted"),
            (false, true) => (&mut changes.changed, "changed"),
            (false, false) => (&mut changes.new, "new"),
        };
        *count += 1;
        if !self.is_initial {
            (self.told)(Difference { kind, insured_number, key, change });
        }
        let samples = self.samples.entry(kind.to_owned()).or_default();
        if samples.len() < MOST_SAMPLES {
            samples.push(SampleRow { insured_number, key: key.to_owned(), change });
        }
    }
}

/// Keys of a package, hashed: 64 bits each.
struct PackageKeys {
    hasher: RandomState,
    keys: HashSet<u64>,
}

impl PackageKeys {
    /// Of a package with so many sound rows; it never has to grow.
    fn of(rows: u64) -> Self {
        Self { hasher: RandomState::new(), keys: HashSet::with_capacity(rows as usize) }
    }

    fn take(&mut self, rows: &[MunicipalRow]) {
        for row in rows.iter().filter(|row| row.change != Change::Deleted) {
            let key = match &row.value {
                MunicipalValue::Insured(_) => String::new(),
                value => intake_kinds::natural_key_of(value).unwrap_or_else(|| natural_key(row.history)),
            };
            let hash = self.hash(row.value.kind().code(), row.key.insured, &key);
            self.keys.insert(hash);
        }
    }

    fn holds(&self, kind: &str, number: InsuredNumber, key: &str) -> bool {
        self.keys.contains(&self.hash(kind, number, key))
    }

    fn hash(&self, kind: &str, number: InsuredNumber, key: &str) -> u64 {
        self.hasher.hash_one((kind, number, key))
    }
}

/// 種別 of the package that carries a kind of record.
fn file_of(kind: Kind) -> &'static str {
    EXPORTED.iter().find(|exported| exported.kind == kind).map_or("", |exported| exported.file.code())
}

/// Stands for the receipt there would be; its number is nobody's.
fn no_receipt(now: Timestamp, insurer: InsurerNumber) -> Receipt {
    Receipt {
        number: 0,
        public_id: String::new(),
        sender: Organization::Municipality(insurer),
        received_at: now,
        state: ReceiptState::Received,
        counts: ReceiptCounts::default(),
        result: None,
        progress: ReceiptProgress::default(),
        made_at: None,
        base_date: None,
        failure: None,
    }
}
