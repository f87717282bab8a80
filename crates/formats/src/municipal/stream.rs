//! Writing a package of any size in constant memory: rows come one at a time, each file leaves as soon as it is full, the
//! manifest comes last. What is written is what [`super::open`] reads.

use super::rows::{self, Writable};
use super::{Change, Entry, MANIFEST, MANIFEST_JSON, MunicipalKind, PROFILE, date_time, file_name, sha256};
use crate::Problem;
use crate::layout::{self, Dialect, FileLayout, Record};
use jiff::Timestamp;
use kiban_domain::application::CertificationApplication;
use kiban_domain::certification::CertificationProgress;
use kiban_domain::consent::ConsentRecord;
use kiban_domain::dates::{day_in_japan, yyyymmdd};
use kiban_domain::equipment_purchase::EquipmentPurchase;
use kiban_domain::home_modification::HomeModification;
use kiban_domain::insurance_card::{CopaymentRate, CostCeiling, InsuranceCard};
use kiban_domain::insured::{Insured, NumberLink};
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::survey::CertificationSurvey;
use kiban_domain::{Date, InsurerNumber, Kind, PersonKey};
use serde::de::DeserializeOwned;

/// Kinds of record that leave in a package, each with its file. A new kind is exported by adding its line here.
pub static EXPORTED: &[ExportedKind] = &[
    ExportedKind::of::<InsuranceCard>(Kind::A3a),
    ExportedKind::of::<CopaymentRate>(Kind::A3b),
    ExportedKind::of::<CostCeiling>(Kind::A3c),
    ExportedKind::of::<CertificationProgress>(Kind::A5),
    ExportedKind::of::<CertificationApplication>(Kind::A4),
    ExportedKind::of::<CertificationSurvey>(Kind::A1),
    ExportedKind::of::<PhysicianOpinion>(Kind::A2),
    ExportedKind::of::<HomeModification>(Kind::E1),
    ExportedKind::of::<EquipmentPurchase>(Kind::E2),
];

/// A kind of record and how its content becomes a row.
pub struct ExportedKind {
    /// 情報種別
    pub kind: Kind,
    /// Its file.
    pub file: MunicipalKind,
    pub(super) row: RowOfContent,
}

/// Row of a stored content: layout, person, 履歴番号 with 異動区分, content.
type RowOfContent = fn(&'static FileLayout, PersonKey, (u32, Change), &[u8]) -> Option<Record<'static>>;

impl ExportedKind {
    const fn of<T: Writable + DeserializeOwned>(kind: Kind) -> Self {
        Self { kind, file: T::KIND, row: row_of_content::<T> }
    }
}

fn row_of_content<T: Writable + DeserializeOwned>(
    layout: &'static FileLayout,
    key: PersonKey,
    (history, change): (u32, Change),
    content: &[u8],
) -> Option<Record<'static>> {
    let value: T = serde_json::from_slice(content).ok()?;
    Some(rows::record(layout, &Entry { key, history, change, value }))
}

/// A finished file: name and bytes.
pub type WrittenFile = (String, Vec<u8>);

/// Bytes after which a file is full.
const FULL: usize = 4 << 20;
/// How an array of rows is written in JSON: one row a line.
const ARRAY_BEGINS: &[u8] = b"[\n";
const NEXT_ROW: &[u8] = b",\n";
const ARRAY_ENDS: &[u8] = b"\n]\n";
/// Files of one kind; the last one takes what is left.
const MOST_FILES: usize = 999;

/// A package being written.
pub struct PackageStream {
    insurer: InsurerNumber,
    created_at: Timestamp,
    base_date: Date,
    full: usize,
    json: bool,
    open: Vec<Part>,
    lines: Vec<Line>,
}

/// A file that is still growing.
struct Part {
    kind: MunicipalKind,
    number: usize,
    bytes: Vec<u8>,
    rows: u64,
}

/// What the manifest says of a finished file.
struct Line {
    kind: MunicipalKind,
    number: usize,
    name: String,
    rows: u64,
    sha256: String,
}

impl PackageStream {
    /// A package of this insurer, made at this instant (seconds count), as at that day; UTF-8.
    pub fn new(insurer: InsurerNumber, created_at: Timestamp) -> Self {
        let base_date = day_in_japan(created_at);
        Self { insurer, created_at, base_date, full: FULL, json: false, open: Vec::new(), lines: Vec::new() }
    }

    /// Another size at which a file is full, in bytes.
    #[must_use]
    pub fn full_at(mut self, bytes: usize) -> Self {
        self.full = bytes;
        self
    }

    /// Writes the files and the manifest in JSON instead of CSV.
    #[must_use]
    pub fn json(mut self) -> Self {
        self.json = true;
        self
    }

    /// Adds a 被保険者 with its 履歴番号 and 異動区分; a file that became full by it.
    pub fn insured(&mut self, row: (u32, Change), value: Insured) -> Result<Option<WrittenFile>, Vec<Problem>> {
        self.value(value.key, row, value)
    }

    /// Adds an act of 同意.
    pub fn consent(&mut self, history: u32, value: ConsentRecord) -> Result<Option<WrittenFile>, Vec<Problem>> {
        self.value(value.person, (history, Change::New), value)
    }

    /// Adds a 番号異動.
    pub fn link(
        &mut self,
        key: PersonKey,
        row: (u32, Change),
        value: NumberLink,
    ) -> Result<Option<WrittenFile>, Vec<Problem>> {
        self.value(key, row, value)
    }

    /// Adds a record by its stored content (JSON of its domain type).
    pub fn record(
        &mut self,
        exported: &ExportedKind,
        key: PersonKey,
        row: (u32, Change),
        content: &[u8],
    ) -> Result<Option<WrittenFile>, Vec<Problem>> {
        let unreadable = || {
            let text = "保存された内容を読み取れないため、書き出せません。運用者に連絡してください";
            vec![Problem::of_file(exported.file.code(), "unreadable", text)]
        };
        let layout = exported.file.layout().ok_or_else(unreadable)?;
        let record = (exported.row)(layout, key, row, content).ok_or_else(unreadable)?;
        self.add(exported.file, layout, &record)
    }

    fn value<T: Writable>(
        &mut self,
        key: PersonKey,
        (history, change): (u32, Change),
        value: T,
    ) -> Result<Option<WrittenFile>, Vec<Problem>> {
        let Some(layout) = T::KIND.layout() else { return Ok(None) };
        let record = rows::record(layout, &Entry { key, history, change, value });
        self.add(T::KIND, layout, &record)
    }

    fn add(
        &mut self,
        kind: MunicipalKind,
        layout: &'static FileLayout,
        record: &Record<'_>,
    ) -> Result<Option<WrittenFile>, Vec<Problem>> {
        let number = self.lines.iter().filter(|line| line.kind == kind).count() + 1;
        let at = match self.open.iter().position(|part| part.kind == kind) {
            Some(at) => at,
            None => {
                self.open.push(Part { kind, number, bytes: Vec::new(), rows: 0 });
                self.open.len() - 1
            }
        };
        let part = &mut self.open[at];
        let name = file_name(kind, self.insurer, self.created_at, part.number);
        if self.json {
            let name = name.replace(".csv", ".json");
            let whole = layout::write(layout, &name, [record], Dialect::MUNICIPAL_JSON)?;
            let object = whole.strip_prefix(ARRAY_BEGINS).and_then(|rest| rest.strip_suffix(ARRAY_ENDS));
            part.bytes.extend_from_slice(if part.bytes.is_empty() { ARRAY_BEGINS } else { NEXT_ROW });
            part.bytes.extend_from_slice(object.unwrap_or_default());
        } else {
            // The header stands before the first row only.
            let dialect = Dialect { header: part.bytes.is_empty(), ..Dialect::MUNICIPAL };
            part.bytes.extend(layout::write(layout, &name, [record], dialect)?);
        }
        part.rows += 1;
        if part.bytes.len() < self.full || part.number >= MOST_FILES {
            return Ok(None);
        }
        let part = self.open.swap_remove(at);
        Ok(Some(self.finish_part(part)))
    }

    fn finish_part(&mut self, mut part: Part) -> WrittenFile {
        let mut name = file_name(part.kind, self.insurer, self.created_at, part.number);
        if self.json {
            name = name.replace(".csv", ".json");
            part.bytes.extend_from_slice(ARRAY_ENDS);
        }
        let sha256 = sha256(&part.bytes);
        let line = Line { kind: part.kind, number: part.number, name: name.clone(), rows: part.rows, sha256 };
        self.lines.push(line);
        (name, part.bytes)
    }

    /// The files that were not full, and at the very end the manifest: without it nothing of the package can be taken in.
    /// A package without any row has no file, and so no manifest.
    pub fn finish(mut self) -> Result<Vec<WrittenFile>, Vec<Problem>> {
        let mut open = std::mem::take(&mut self.open);
        // One of which no row could be written is no file: there is nothing in it that anybody could read.
        open.retain(|part| part.rows > 0);
        let mut files: Vec<WrittenFile> = open.into_iter().map(|part| self.finish_part(part)).collect();
        // People first: a row about somebody who is not there yet would be refused.
        self.lines.sort_by_key(|line| (line.kind, line.number));
        if !self.lines.is_empty() {
            let name = if self.json { MANIFEST_JSON } else { MANIFEST };
            files.push((name.to_owned(), self.manifest(name)?));
        }
        Ok(files)
    }

    fn manifest(&self, name: &str) -> Result<Vec<u8>, Vec<Problem>> {
        let Some(layout) = layout::municipal().file("MANIFEST") else { return Ok(Vec::new()) };
        let package = format!("{PROFILE}-{}-{}", self.insurer, date_time(self.created_at));
        let records: Vec<Record<'_>> =
            self.lines.iter().map(|line| self.manifest_row(layout, &package, line)).collect();
        let dialect = if self.json { Dialect::MUNICIPAL_JSON } else { Dialect::MUNICIPAL };
        layout::write(layout, name, &records, dialect)
    }

    fn manifest_row(&self, layout: &'static FileLayout, package: &str, line: &Line) -> Record<'static> {
        let mut r = Record::new(layout);
        r.put("profile", PROFILE)
            .put("insurer", self.insurer)
            .put("package", package)
            .put("base_date", yyyymmdd(self.base_date))
            .put("created_at", date_time(self.created_at))
            .put("file", &line.name)
            .put("kind", line.kind.code())
            .put("encoding", "UTF-8")
            .put("rows", line.rows)
            .put("sha256", &line.sha256)
            .put("whole", "");
        r
    }
}
