//! Writing a municipal package: the exact inverse of reading, used by the simulator and by connectors.

use super::rows::{self, Writable};
use super::{Entry, MANIFEST, MANIFEST_JSON, PROFILE, date_time, file_name, sha256};
use crate::Problem;
use crate::layout::{self, Dialect, Record};
use crate::text::Encoding;
use jiff::Timestamp;
use kiban_domain::certification::CertificationProgress;
use kiban_domain::consent::ConsentRecord;
use kiban_domain::dates::{day_in_japan, yyyymmdd};
use kiban_domain::insurance_card::{CopaymentRate, CostCeiling, InsuranceCard};
use kiban_domain::insured::{Insured, NumberLink};
use kiban_domain::{Date, InsurerNumber};

/// A package being put together. Each call adds one file, so that a large kind can be split into several.
#[derive(Debug)]
pub struct MunicipalPackage {
    insurer: InsurerNumber,
    created_at: Timestamp,
    base_date: Date,
    encoding: Encoding,
    json: bool,
    whole: bool,
    files: Vec<(String, Vec<u8>)>,
    lines: Vec<Line>,
    problems: Vec<Problem>,
}

/// What the manifest will say of a file.
#[derive(Debug)]
struct Line {
    kind: &'static str,
    encoding: &'static str,
    rows: usize,
}

impl MunicipalPackage {
    /// An empty package of this insurer, made at this instant (seconds count), in UTF-8.
    pub fn new(insurer: InsurerNumber, created_at: Timestamp) -> Self {
        Self {
            insurer,
            created_at,
            base_date: day_in_japan(created_at),
            encoding: Encoding::Utf8,
            json: false,
            whole: false,
            files: Vec::new(),
            lines: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// 基準日; the day of making unless told otherwise.
    #[must_use]
    pub fn base_date(mut self, day: Date) -> Self {
        self.base_date = day;
        self
    }

    /// 全件: the package means to hold everything of the kinds in it.
    #[must_use]
    pub fn whole(mut self) -> Self {
        self.whole = true;
        self
    }

    /// Character code of the files added from here on.
    #[must_use]
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Writes the files added from here on, and the manifest, in JSON (UTF-8).
    #[must_use]
    pub fn json(mut self) -> Self {
        self.json = true;
        self.encoding = Encoding::Utf8;
        self
    }

    fn dialect(&self) -> Dialect {
        if self.json { Dialect::MUNICIPAL_JSON } else { Dialect { encoding: self.encoding, ..Dialect::MUNICIPAL } }
    }

    /// Adds a file of 被保険者.
    #[must_use]
    pub fn insured(self, entries: &[Entry<Insured>]) -> Self {
        self.add(entries)
    }

    /// Adds a file of 被保険者証.
    #[must_use]
    pub fn cards(self, entries: &[Entry<InsuranceCard>]) -> Self {
        self.add(entries)
    }

    /// Adds a file of 負担割合証.
    #[must_use]
    pub fn copayment_rates(self, entries: &[Entry<CopaymentRate>]) -> Self {
        self.add(entries)
    }

    /// Adds a file of 負担限度額認定証.
    #[must_use]
    pub fn cost_ceilings(self, entries: &[Entry<CostCeiling>]) -> Self {
        self.add(entries)
    }

    /// Adds a file of 申請・進捗.
    #[must_use]
    pub fn progress(self, entries: &[Entry<CertificationProgress>]) -> Self {
        self.add(entries)
    }

    /// Adds a file of any kind of record.
    #[must_use]
    pub fn records<T: Writable>(self, entries: &[Entry<T>]) -> Self {
        self.add(entries)
    }

    /// Adds a file of 同意.
    #[must_use]
    pub fn consents(self, entries: &[Entry<ConsentRecord>]) -> Self {
        self.add(entries)
    }

    /// Adds a file of 番号異動.
    #[must_use]
    pub fn links(self, entries: &[Entry<NumberLink>]) -> Self {
        self.add(entries)
    }

    fn add<T: Writable>(mut self, entries: &[Entry<T>]) -> Self {
        let kind = T::KIND.code();
        let Some(layout) = layout::municipal().file(kind) else { return self };
        let number = self.lines.iter().filter(|line| line.kind == kind).count() + 1;
        let name = file_name(T::KIND, self.insurer, self.created_at, number);
        let name = if self.json { name.replace(".csv", ".json") } else { name };
        let dialect = self.dialect();
        let records: Vec<Record<'_>> = entries.iter().map(|entry| rows::record(layout, entry)).collect();
        match layout::write(layout, &name, &records, dialect) {
            Ok(bytes) => self.files.push((name, bytes)),
            Err(problems) => {
                self.problems.extend(problems);
                self.files.push((name, Vec::new()));
            }
        }
        let encoding = match self.encoding {
            Encoding::Utf8 => "UTF-8",
            Encoding::Cp932 => "CP932",
        };
        self.lines.push(Line { kind, encoding, rows: entries.len() });
        self
    }

    /// The files with their manifest first, or what could not be written.
    pub fn finish(mut self) -> Result<Vec<(String, Vec<u8>)>, Vec<Problem>> {
        let Some(layout) = layout::municipal().file(MANIFEST.trim_end_matches(".csv")) else { return Ok(Vec::new()) };
        let package = format!("{PROFILE}-{}-{}", self.insurer, date_time(self.created_at));
        let mut records = Vec::new();
        for (line, (name, bytes)) in self.lines.iter().zip(&self.files) {
            let mut r = Record::new(layout);
            r.put("profile", PROFILE)
                .put("insurer", self.insurer)
                .put("package", &package)
                .put("base_date", yyyymmdd(self.base_date))
                .put("created_at", date_time(self.created_at))
                .put("file", name)
                .put("kind", line.kind)
                .put("encoding", line.encoding)
                .put("rows", line.rows)
                .put("sha256", sha256(bytes))
                .put("whole", if self.whole { "1" } else { "" });
            records.push(r);
        }
        let (name, dialect) =
            if self.json { (MANIFEST_JSON, Dialect::MUNICIPAL_JSON) } else { (MANIFEST, Dialect::MUNICIPAL) };
        match layout::write(layout, name, &records, dialect) {
            Ok(bytes) if self.problems.is_empty() => {
                self.files.insert(0, (name.to_owned(), bytes));
                Ok(self.files)
            }
            Ok(_) => Err(self.problems),
            Err(problems) => Err(self.problems.into_iter().chain(problems).collect()),
        }
    }
}
