//! The municipal package, profile `KGKB-1`: what a 介護保険事務システム hands over (P-023, P-025, P-160).
//!
//! **A profile of this project, not the official layout**, which is not public. A package is `MANIFEST.csv` and the
//! files it names. Every row carries 保険者番号, 被保険者番号, 履歴番号 and 異動区分. Rows are read one at a time from a
//! [`Source`]; what is remembered of a package is the keys of one kind (16 bytes a row, 17 to 35 with the free places of the
//! table), to find two rows with one key. How many rows there may be is limited ([`MunicipalKind::most_rows`], [`MOST_ROWS`]).
//!
//! What has happened lies before the package was made: days that the item table calls `past_date` are compared with the day
//! of its 作成日時. Not checked here, because it needs the clock or the store: acts dated in the future (P-071), unknown
//! offices, older history numbers, and whether the sender is this insurer.

mod keys;
mod labelled;
mod rows;
mod source;
mod stream;
mod together;
mod usage;
mod write;

pub use labelled::{LabelledItem, labelled};
pub use rows::Writable;
pub use source::Source;
pub use stream::{EXPORTED, ExportedKind, PackageStream, WrittenFile};
pub use together::Counted;
pub use usage::{Usages, Use};
pub use write::MunicipalPackage;

use keys::{Keys, Seen};

use crate::layout::{self, Dialect, Fields, FileLayout, ItemKind, Row};
use crate::text::{self, Encoding};
use crate::{Problem, Problems, check};
use jiff::Timestamp;
use kiban_domain::application::CertificationApplication;
use kiban_domain::certification::CertificationProgress;
use kiban_domain::consent::ConsentRecord;
use kiban_domain::equipment_purchase::EquipmentPurchase;
use kiban_domain::home_modification::HomeModification;
use kiban_domain::insurance_card::{CopaymentRate, CostCeiling, InsuranceCard};
use kiban_domain::insured::{Insured, NumberLink};
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::survey::CertificationSurvey;
use kiban_domain::{Date, InsuredNumber, InsurerNumber, PersonKey};
use std::io::{self, Read};
use std::sync::Arc;

/// プロファイル版 that is read and written.
pub const PROFILE: &str = "KGKB-1";
/// Name of the manifest.
pub const MANIFEST: &str = "MANIFEST.csv";
/// Its name in JSON; a package has one or the other.
pub const MANIFEST_JSON: &str = "MANIFEST.json";

/// Whether this is the name of a manifest.
pub fn is_manifest(name: &str) -> bool {
    name == MANIFEST || name == MANIFEST_JSON
}

/// The dialect a name tells.
fn dialect_of(name: &str, encoding: Encoding) -> Dialect {
    let dialect = if name.ends_with(".json") { Dialect::MUNICIPAL_JSON } else { Dialect::MUNICIPAL };
    Dialect { encoding, ..dialect }
}

/// What a file of the package holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MunicipalKind {
    /// 被保険者
    Insured,
    /// A3a 被保険者証
    InsuranceCard,
    /// A3b 負担割合証
    CopaymentRate,
    /// A3c 負担限度額認定証
    CostCeiling,
    /// A5 申請・進捗
    Progress,
    /// A4 申請書
    Application,
    /// A1 認定調査票
    Survey,
    /// A2 主治医意見書, past or paper
    Opinion,
    /// E1 住宅改修
    HomeModification,
    /// E2 福祉用具購入
    EquipmentPurchase,
    /// G1 同意
    Consent,
    /// 番号異動
    Link,
}

impl MunicipalKind {
    /// All kinds, in the order in which the files of a package are read and applied.
    pub const ALL: [Self; 12] = [
        Self::Insured,
        Self::InsuranceCard,
        Self::CopaymentRate,
        Self::CostCeiling,
        Self::Progress,
        Self::Application,
        Self::Survey,
        Self::Opinion,
        Self::HomeModification,
        Self::EquipmentPurchase,
        Self::Consent,
        Self::Link,
    ];

    /// 種別 in manifest and file name, and name of the layout.
    pub fn code(self) -> &'static str {
        match self {
            Self::Insured => "INSURED",
            Self::InsuranceCard => "A3A",
            Self::CopaymentRate => "A3B",
            Self::CostCeiling => "A3C",
            Self::Progress => "A5",
            Self::Application => "A4",
            Self::Survey => "A1",
            Self::Opinion => "A2",
            Self::HomeModification => "E1",
            Self::EquipmentPurchase => "E2",
            Self::Consent => "CONSENT",
            Self::Link => "LINK",
        }
    }

    /// Inverse of [`MunicipalKind::code`].
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Rows of this kind that one package may have: what is remembered of each of them while it is checked and applied stays
    /// within 300 MB, however large the package.
    pub fn most_rows(self) -> u64 {
        match self {
            // What counts towards a limit is remembered of every row.
            Self::HomeModification | Self::EquipmentPurchase => 1_000_000,
            _ => 3_600_000,
        }
    }

    fn layout(self) -> Option<&'static FileLayout> {
        layout::municipal().file(self.code())
    }
}

/// 異動区分 (P-025). Corrections and deletions carry all items of the record they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// 1 新規
    New,
    /// 2 訂正
    Corrected,
    /// 3 削除
    Deleted,
}

impl Change {
    /// `1`, `2`, `3`.
    pub fn code(self) -> &'static str {
        match self {
            Self::New => "1",
            Self::Corrected => "2",
            Self::Deleted => "3",
        }
    }

    /// Inverse of [`Change::code`].
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::New, Self::Corrected, Self::Deleted].into_iter().find(|change| change.code() == code)
    }
}

/// What a row says. Serialised as the record alone, the form in which it is stored.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum MunicipalValue {
    /// 被保険者
    Insured(Box<Insured>),
    /// A3a
    InsuranceCard(Box<InsuranceCard>),
    /// A3b
    CopaymentRate(CopaymentRate),
    /// A3c
    CostCeiling(CostCeiling),
    /// A5
    Progress(Box<CertificationProgress>),
    /// A4
    Application(Box<CertificationApplication>),
    /// A1
    Survey(Box<CertificationSurvey>),
    /// A2
    Opinion(Box<PhysicianOpinion>),
    /// E1
    HomeModification(Box<HomeModification>),
    /// E2
    EquipmentPurchase(Box<EquipmentPurchase>),
    /// G1
    Consent(Box<ConsentRecord>),
    /// 番号異動
    Link(NumberLink),
}

impl MunicipalValue {
    /// Kind of file it stands in.
    pub fn kind(&self) -> MunicipalKind {
        match self {
            Self::Insured(_) => MunicipalKind::Insured,
            Self::InsuranceCard(_) => MunicipalKind::InsuranceCard,
            Self::CopaymentRate(_) => MunicipalKind::CopaymentRate,
            Self::CostCeiling(_) => MunicipalKind::CostCeiling,
            Self::Progress(_) => MunicipalKind::Progress,
            Self::Application(_) => MunicipalKind::Application,
            Self::Survey(_) => MunicipalKind::Survey,
            Self::Opinion(_) => MunicipalKind::Opinion,
            Self::HomeModification(_) => MunicipalKind::HomeModification,
            Self::EquipmentPurchase(_) => MunicipalKind::EquipmentPurchase,
            Self::Consent(_) => MunicipalKind::Consent,
            Self::Link(_) => MunicipalKind::Link,
        }
    }
}

/// One sound row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MunicipalRow {
    /// Physical line, 1-based.
    pub line: u64,
    /// Name of the file.
    pub file: Arc<str>,
    /// 保険者番号 and 被保険者番号.
    pub key: PersonKey,
    /// 履歴番号, from 1.
    pub history: u32,
    /// 異動区分
    pub change: Change,
    /// The record.
    pub value: MunicipalValue,
}

/// A row as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadRow {
    /// A sound one.
    Sound(Box<MunicipalRow>),
    /// One with an error, as far as its key can be read.
    Faulty {
        /// 種別
        kind: MunicipalKind,
        /// 被保険者番号
        insured: Option<InsuredNumber>,
        /// 履歴番号
        history: Option<u32>,
    },
}

impl ReadRow {
    fn faulty(kind: MunicipalKind, row: &Row) -> Self {
        Self::Faulty { kind, insured: InsuredNumber::parse(row.get(1)).ok(), history: row.get(2).parse().ok() }
    }
}

/// One record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    /// 保険者番号 and 被保険者番号.
    pub key: PersonKey,
    /// 履歴番号, from 1.
    pub history: u32,
    /// 異動区分
    pub change: Change,
    /// The record.
    pub value: T,
}

/// One file as the manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// ファイル名
    pub name: String,
    /// Line of the manifest; 0 without one.
    pub line: u64,
    /// 種別
    pub kind: MunicipalKind,
    /// 文字コード
    pub encoding: Encoding,
    /// 件数, header row not counted.
    pub rows: u64,
    /// SHA-256 of the whole file, lower-case hexadecimal.
    pub sha256: String,
}

/// The manifest of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// 保険者番号: every row belongs to this insurer.
    pub insurer: InsurerNumber,
    /// パッケージID
    pub package: String,
    /// 基準日
    pub base_date: Date,
    /// 作成日時
    pub created_at: Timestamp,
    /// 全件: it means to hold everything of the kinds in it.
    pub whole: bool,
    /// The files in the order of [`MunicipalKind::ALL`], people before what is about them, however the manifest lists them;
    /// those of one kind in its order.
    pub files: Vec<ManifestFile>,
}

/// Reads the manifest. A manifest with an error is no manifest.
pub fn read_manifest(name: &str, bytes: &[u8]) -> (Option<Manifest>, Vec<Problem>) {
    let mut problems = Problems::new(name);
    let Some(layout) = layout::municipal().file("MANIFEST") else { return (None, Vec::new()) };
    let encoding = if std::str::from_utf8(bytes).is_ok() { Encoding::Utf8 } else { Encoding::Cp932 };
    let mut reader = layout::Reader::new(layout, bytes, dialect_of(name, encoding), &mut problems);
    let mut manifest: Option<Manifest> = None;
    while let Some(row) = reader.next_row(&mut problems) {
        let Some(line) = manifest_line(layout, &row) else { continue };
        if row.get(0) != PROFILE {
            let text = format!("プロファイル版は {PROFILE} だけを受け付けます");
            problems.push(located(layout, &row, name, "profile", "version", &text).found(row.get(0)));
        }
        match &mut manifest {
            None => {
                if line.base_date > kiban_domain::dates::day_in_japan(line.created_at) {
                    let text = "作成日時より後の日付です。どの日現在の内容か、作成日時の日までの日付を入れてください";
                    let (key, rule) = ("base_date", "date_order");
                    problems.push(located(layout, &row, name, key, rule, text).found(row.get(3)));
                }
                manifest = Some(line);
            }
            Some(all) => {
                let head = |m: &Manifest| (m.insurer, m.package.clone(), m.base_date, m.created_at, m.whole);
                if head(all) != head(&line) {
                    let text = "保険者番号・パッケージID・基準日・作成日時・全件を全行で同じにしてください";
                    problems.push(located(layout, &row, name, "package", "manifest", text));
                }
                for file in line.files {
                    if all.files.iter().any(|other| other.name == file.name) {
                        let text = "同じファイル名が2回あります。どちらかを取り除いてください";
                        problems.push(located(layout, &row, name, "file", "duplicate_key", text).found(&file.name));
                    }
                    all.files.push(file);
                }
            }
        }
        if let Some(text) = manifest.as_ref().and_then(|all| too_many(&all.files)) {
            problems.push(located(layout, &row, name, "rows", "too_many_rows", &text).found(row.get(8)));
        }
    }
    if let Some(all) = &mut manifest {
        all.files.sort_by_key(|file| file.kind);
    }
    if manifest.is_none() && problems.errors() == 0 {
        problems.push(Problem::of_file(name, "no_rows", "ファイルの行がありません。出力し直してください"));
    }
    let sound = problems.errors() == 0;
    (manifest.filter(|_| sound), problems.finish())
}

fn manifest_line(layout: &FileLayout, row: &Row) -> Option<Manifest> {
    if !row.is_sound() {
        return None;
    }
    let mut f = Fields::of(layout, row);
    f.str("profile");
    let insurer = InsurerNumber::parse(f.str("insurer")).ok()?;
    let package = f.text("package");
    let base_date = f.date("base_date")?;
    let created_at = parse_date_time(f.str("created_at"))?;
    let file = ManifestFile {
        name: f.text("file"),
        line: row.line(),
        kind: f.code("kind", MunicipalKind::from_code)?,
        encoding: if f.str("encoding") == "CP932" { Encoding::Cp932 } else { Encoding::Utf8 },
        rows: f.number("rows")?,
        sha256: f.text("sha256"),
    };
    let whole = f.str("whole") == "1";
    Some(Manifest { insurer, package, base_date, created_at, whole, files: vec![file] })
}

fn parse_date_time(text: &str) -> Option<Timestamp> {
    let day = kiban_domain::dates::parse_yyyymmdd(text.get(..8)?).ok()?;
    rows::instant(day, text.get(8..)?)
}

/// `YYYYMMDDHHMMSS` in Japan.
fn date_time(at: Timestamp) -> String {
    jiff::tz::Offset::constant(9).to_datetime(at).strftime("%Y%m%d%H%M%S").to_string()
}

/// `KGKB_<種別>_<保険者番号>_<作成日時>_<連番3>.csv`; in JSON it ends in `.json`.
fn file_name(kind: MunicipalKind, insurer: InsurerNumber, created_at: Timestamp, number: usize) -> String {
    format!("KGKB_{}_{insurer}_{}_{number:03}.csv", kind.code(), date_time(created_at))
}

fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn located(layout: &FileLayout, row: &Row, file: &str, key: &str, rule: &'static str, text: &str) -> Problem {
    let (column, name) = layout.column(key);
    Problem::of_file(file, rule, text).at_line(row.line()).at_item(column, name)
}

/// A problem of a row that is known by its kind, file and line, told at an item by its key; at the whole row without one.
pub fn problem_of_row(
    kind: MunicipalKind,
    (file, line): (&str, u64),
    key: &str,
    rule: &'static str,
    text: &str,
) -> Problem {
    let (column, name) = kind.layout().map_or((0, ""), |layout| layout.column(key));
    Problem::of_file(file, rule, text).at_line(line).at_item(column, name)
}

/// What is wrong between the items of a row, with what stands in the one it is told at.
fn quoted(layout: &FileLayout, row: &Row, file: &str, fault: &rows::RowFault) -> Problem {
    let problem = located(layout, row, file, fault.key, fault.rule, &fault.text);
    let found = layout.items.iter().position(|item| item.key == fault.key).map_or("", |at| row.get(at));
    problem.found(found)
}

/// Whether a problem speaks against the package as a whole, so that no row of it should be applied: a manifest that
/// does not fit, a changed or missing file, a header that does not fit (its columns may stand elsewhere), another encoding than stated, a row of
/// another insurer.
pub fn refuses_package(problem: &Problem) -> bool {
    let whole = [
        "digest",
        "count",
        "file_name",
        "file_missing",
        "not_in_manifest",
        "duplicate_file",
        "foreign_insurer",
        "cut",
        "header",
    ];
    let unreadable = problem.line == 0 && problem.rule == "encoding";
    problem.is_error() && (whole.contains(&problem.rule.as_ref()) || unreadable || is_manifest(&problem.file))
}

/// How far the clock of a city may be ahead of whoever takes its package.
pub const AHEAD: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// Problems of a package kept in full; the rest is counted file by file.
const PROBLEMS: usize = 5_000;
/// Rows of all kinds together that one package may have.
pub const MOST_ROWS: u64 = 7_000_000;
/// Longest manifest: a thousand files are a tenth of it.
const LONGEST_MANIFEST: u64 = 4 << 20;

/// A package as it was handed over.
#[derive(Debug)]
pub struct Package<S = Vec<(String, Vec<u8>)>> {
    source: S,
    manifest: Option<Manifest>,
    problems: Vec<Problem>,
}

/// Opens a package of files in memory: the files with their names. Nothing is refused yet; [`Package::check`] tells
/// everything.
pub fn open(files: Vec<(String, Vec<u8>)>) -> Package {
    let (manifest, problems) = match files.iter().find(|(name, _)| is_manifest(name)) {
        Some((name, bytes)) => read_manifest(name, bytes),
        None => (None, vec![no_manifest()]),
    };
    Package { source: files, manifest, problems }
}

/// The same of files that lie somewhere else and may be larger than memory.
pub fn open_source<S: Source>(source: S) -> io::Result<Package<S>> {
    let place = (0..source.files()).find(|file| is_manifest(source.name(*file)));
    let (manifest, problems) = match place {
        Some(place) => {
            let mut bytes = Vec::new();
            let read = source.open(place)?.take(LONGEST_MANIFEST + 1).read_to_end(&mut bytes)? as u64;
            if read > LONGEST_MANIFEST {
                let text = "目録が大きすぎます。4 MiB 以内にしてください";
                (None, vec![Problem::of_file(source.name(place), "manifest", text)])
            } else {
                read_manifest(source.name(place), &bytes)
            }
        }
        None => (None, vec![no_manifest()]),
    };
    Ok(Package { source, manifest, problems })
}

fn no_manifest() -> Problem {
    Problem::of_file(MANIFEST, "file_missing", "MANIFEST.csv がありません。パッケージに加えてください")
}

impl Package {
    /// Reads every file in memory; see [`Package::check_source`].
    pub fn check(&self, take: &mut impl FnMut(MunicipalRow)) -> Vec<Problem> {
        self.check_source(take).unwrap_or_else(|error| vec![Problem::of_file("", "unreadable", error.to_string())])
    }
}

impl<S> Package<S> {
    /// The manifest, if there is a sound one.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }
}

impl<S: Source> Package<S> {
    /// The problem of a package whose manifest says that it was made after this instant. Nothing that is made later would
    /// hold over its rows until then.
    pub fn made_after(&self, limit: Timestamp) -> Option<Problem> {
        let made_at = self.manifest.as_ref().map(|manifest| manifest.created_at).filter(|made_at| *made_at > limit)?;
        let text = "作成日時が受付より1日以上あとになっています。送るシステムの時計を確かめ、正しい作成日時でパッケージを作り直してください";
        Some(self.of_manifest("created_at", "made_in_future", text)?.found(&date_time(made_at)))
    }

    /// The problem of a package that another insurer sends than the one its manifest names (T-13).
    pub fn not_sent_by(&self, sender: InsurerNumber) -> Option<Problem> {
        let named = self.manifest.as_ref().map(|manifest| manifest.insurer).filter(|named| *named != sender)?;
        let text = format!(
            "目録の保険者番号が、送信した市区町村の番号（{sender}）と違います。送信先・送信元を確認してください"
        );
        Some(self.of_manifest("insurer", "foreign_insurer", &text)?.found(&named.to_string()))
    }

    /// A problem of what the manifest says of the whole package.
    fn of_manifest(&self, key: &str, rule: &'static str, text: &str) -> Option<Problem> {
        let name = self.manifest_name()?;
        let (column, item) = layout::municipal().file("MANIFEST")?.column(key);
        // The first row: behind the header, in JSON behind the bracket.
        Some(Problem::of_file(name, rule, text).at_line(2).at_item(column, item))
    }

    /// The manifest by its name.
    fn manifest_name(&self) -> Option<&str> {
        (0..self.source.files()).map(|file| self.source.name(file)).find(|name| is_manifest(name))
    }

    /// Reads every file, hands each sound row to `take`, and returns all problems. Rows of a file that is not the one
    /// the manifest names (digest, name) are judged but not handed out; without a manifest no row is. Fails only when
    /// the source cannot be read.
    pub fn check_source(&self, take: &mut impl FnMut(MunicipalRow)) -> io::Result<Vec<Problem>> {
        self.check_with(&mut Keys::new(), &mut |row| {
            if let ReadRow::Sound(row) = row {
                take(*row);
            }
        })
    }

    /// The same for whoever wants the rows with an error, too; those of the same files.
    pub fn read_source(&self, take: &mut impl FnMut(ReadRow)) -> io::Result<Vec<Problem>> {
        self.check_with(&mut Keys::new(), take)
    }

    fn check_with(&self, keys: &mut Keys, take: &mut impl FnMut(ReadRow)) -> io::Result<Vec<Problem>> {
        let mut problems = self.problems.clone();
        for entry in self.named() {
            let left = PROBLEMS.saturating_sub(problems.len());
            keys.turn_to(entry.kind, rows_of(self.named(), entry.kind));
            match self.place_of(entry) {
                Some(file) => problems.extend(self.check_file(entry, file, left, keys, take)?),
                None => problems.push(missing(entry)),
            }
        }
        self.check_unnamed(&mut problems)?;
        Ok(problems)
    }

    /// The files that the manifest names.
    fn named(&self) -> &[ManifestFile] {
        self.manifest.as_ref().map_or(&[][..], |manifest| &manifest.files)
    }

    fn place_of(&self, entry: &ManifestFile) -> Option<usize> {
        (0..self.source.files()).find(|file| self.source.name(*file) == entry.name)
    }

    /// The files that it does not name.
    fn check_unnamed(&self, problems: &mut Vec<Problem>) -> io::Result<()> {
        let names: Vec<&str> = (0..self.source.files()).map(|file| self.source.name(file)).collect();
        let named = self.named();
        for (i, name) in names.iter().enumerate() {
            if text::holds_individual_number(name) {
                problems.push(check::individual_number(name));
            }
            if names[..i].contains(name) || is_manifest(name) && names[..i].iter().any(|other| is_manifest(other)) {
                let text = "同じ名前のファイルが2つあります。どちらかを取り除いてください";
                problems.push(Problem::of_file(name, "duplicate_file", text));
                continue;
            }
            if is_manifest(name) || named.iter().any(|entry| entry.name == *name) {
                continue;
            }
            if self.manifest.is_some() {
                let text = "MANIFEST.csv にないファイルです。MANIFEST.csv に加えるか、取り除いてください";
                problems.push(Problem::of_file(name, "not_in_manifest", text));
                if text::source_holds_individual_number(self.source.open(i)?, Encoding::Utf8)? {
                    problems.push(check::individual_number(name));
                }
            } else {
                let left = PROBLEMS.saturating_sub(problems.len());
                problems.extend(judge_alone(&self.source, name, i, left, Frame::default(), &mut drop)?);
            }
        }
        Ok(())
    }

    fn check_file(
        &self,
        entry: &ManifestFile,
        file: usize,
        limit: usize,
        keys: &mut Keys,
        take: &mut impl FnMut(ReadRow),
    ) -> io::Result<Vec<Problem>> {
        let mut problems = Problems::at_most(&entry.name, limit.min(Problems::LIMIT));
        let Some(manifest) = &self.manifest else { return Ok(Vec::new()) };
        check_name(entry, manifest, &mut problems);
        let listed = format!("{} {}行目", self.manifest_name().unwrap_or(MANIFEST), entry.line);
        let sha256 = self.source.sha256(file)?;
        if sha256 != entry.sha256 {
            let text = format!(
                "{listed}のSHA-256（{}）と一致しません。送付の途中で変わっていないか確認し、作り直してください",
                entry.sha256
            );
            problems.push(Problem::of_file(&entry.name, "digest", text).found(&sha256));
        }
        let trusted = problems.errors() == 0;
        let source = self.source.open(file)?;
        let made_on = kiban_domain::dates::day_in_japan(manifest.created_at);
        let frame = Frame { insurer: Some(manifest.insurer), made_on: Some(made_on) };
        let rows = read_file(entry, frame, source, &mut problems, (keys, file), &mut |row| {
            if trusted {
                take(row);
            }
        })?;
        if rows != entry.rows {
            let text = format!("{listed}の件数は{}件です。件数を確認して作り直してください", entry.rows);
            problems.push(Problem::of_file(&entry.name, "count", text).found(&format!("{rows}件")));
        }
        Ok(problems.finish())
    }
}

/// Rows of a kind, as a manifest says.
fn rows_of(files: &[ManifestFile], kind: MunicipalKind) -> u64 {
    sum_of(files.iter().filter(|file| file.kind == kind))
}

fn sum_of<'a>(files: impl Iterator<Item = &'a ManifestFile>) -> u64 {
    files.fold(0, |sum, file| sum.saturating_add(file.rows))
}

/// What is wrong when the last of the files is the one with which there are too many rows.
fn too_many(files: &[ManifestFile]) -> Option<String> {
    let (last, before) = files.split_last()?;
    let (of_kind, most) = (rows_of(before, last.kind), last.kind.most_rows());
    let part = "市区町村の側で、いくつかのパッケージに分けて送ってください（被保険者を先に）";
    if of_kind <= most && of_kind.saturating_add(last.rows) > most {
        return Some(format!("種別 {} は、1つのパッケージに {most} 行までです。{part}", last.kind.code()));
    }
    let all = sum_of(before.iter());
    let passes = all <= MOST_ROWS && all.saturating_add(last.rows) > MOST_ROWS;
    passes.then(|| format!("1つのパッケージは、合わせて {MOST_ROWS} 行までです。{part}"))
}

fn missing(entry: &ManifestFile) -> Problem {
    let text = "MANIFEST.csv にあるファイルがありません。パッケージに加えてください";
    Problem::of_file(&entry.name, "file_missing", text)
}

/// Whether the beginning of a file is that of a file of rows of this profile, whatever its name: the items with which every row
/// begins stand there as a header or as the keys of the first row.
pub fn begins_like_rows(head: &[u8]) -> bool {
    let Some(layout) = MunicipalKind::Insured.layout() else { return false };
    let names: Vec<&str> = layout.items.iter().take(3).map(|item| item.name).collect();
    let header = names.join(",") + ",";
    let mut in_cp932 = Vec::new();
    let has_cp932 = text::encode(&header, Encoding::Cp932, &mut in_cp932).is_ok();
    let body = head.strip_prefix(text::BOM).unwrap_or(head);
    let bare: Vec<u8> = body.iter().copied().filter(|b| *b != b'"').take(header.len()).collect();
    let is_json = body.starts_with(b"[") && {
        let text = String::from_utf8_lossy(body);
        names.iter().all(|name| text.contains(&format!("\"{name}\"")))
    };
    is_json || bare.starts_with(header.as_bytes()) || has_cp932 && bare.starts_with(&in_cp932)
}

/// Judges files by their names alone, each for itself, as somebody does who has no whole package yet. The 保険者番号 of a
/// file's name must be that of its rows.
pub fn check_files<S: Source>(source: &S, take: &mut impl FnMut(MunicipalRow)) -> io::Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for file in 0..source.files() {
        let name = source.name(file).to_owned();
        let made_at = name.split('_').nth(3).and_then(parse_date_time);
        let frame = Frame {
            insurer: name.split('_').nth(2).and_then(|number| InsurerNumber::parse(number).ok()),
            made_on: made_at.map(kiban_domain::dates::day_in_japan),
        };
        let left = PROBLEMS.saturating_sub(problems.len());
        if text::holds_individual_number(&name) {
            problems.push(check::individual_number(&name));
        }
        if name.split('_').nth(1).and_then(MunicipalKind::from_code).is_none() {
            let text = "ファイル名から種別が分かりません。「KGKB_種別_保険者番号_作成日時14桁_連番3桁.csv」の形にしてください（種別は大文字）";
            problems.push(Problem::of_file(&name, "file_name", text));
        } else if !is_whole_name(&name) {
            let text =
                "ファイル名を「KGKB_種別_保険者番号_作成日時14桁_連番3桁.csv」（JSON は .json）の形にしてください";
            problems.push(Problem::of_file(&name, "file_name", text));
        }
        problems.extend(judge_alone(source, &name, file, left, frame, take)?);
    }
    Ok(problems)
}

/// Judges a file without manifest by its name.
fn judge_alone<S: Source>(
    source: &S,
    name: &str,
    file: usize,
    limit: usize,
    frame: Frame,
    take: &mut impl FnMut(MunicipalRow),
) -> io::Result<Vec<Problem>> {
    let mut head = Vec::new();
    source.open(file)?.take(64 * 1024).read_to_end(&mut head)?;
    let is_utf8 = std::str::from_utf8(text::whole_characters(&head)).is_ok();
    let encoding = if is_utf8 { Encoding::Utf8 } else { Encoding::Cp932 };
    let Some(kind) = name.split('_').nth(1).and_then(MunicipalKind::from_code) else {
        let found = text::source_holds_individual_number(source.open(file)?, encoding)?;
        return Ok(if found { vec![check::individual_number(name)] } else { Vec::new() });
    };
    let entry = ManifestFile { name: name.to_owned(), line: 0, kind, encoding, rows: 0, sha256: String::new() };
    let mut problems = Problems::at_most(name, limit.min(Problems::LIMIT));
    let mut take = |row| {
        if let ReadRow::Sound(row) = row {
            take(*row);
        }
    };
    read_file(&entry, frame, source.open(file)?, &mut problems, (&mut Keys::new(), file), &mut take)?;
    Ok(problems.finish())
}

/// Whether a name has every part, as a manifest would have it; not whether it fits one.
fn is_whole_name(name: &str) -> bool {
    let stem = name.strip_suffix(".csv").or_else(|| name.strip_suffix(".json"));
    let parts: Vec<&str> = stem.unwrap_or_default().split('_').collect();
    let ["KGKB", _, insurer, made_at, number] = parts[..] else { return false };
    let is_number = number.len() == 3 && number.bytes().all(|b| b.is_ascii_digit());
    is_number && InsurerNumber::parse(insurer).is_ok() && made_at.len() == 14 && parse_date_time(made_at).is_some()
}

fn check_name(entry: &ManifestFile, manifest: &Manifest, problems: &mut Problems) {
    let first = file_name(entry.kind, manifest.insurer, manifest.created_at, 1);
    let start = first.trim_end_matches("001.csv");
    let rest = entry.name.strip_prefix(start);
    let number = rest.and_then(|rest| rest.strip_suffix(".csv").or_else(|| rest.strip_suffix(".json")));
    if number.is_none_or(|number| number.len() != 3 || !number.bytes().all(|b| b.is_ascii_digit())) {
        let text = format!(
            "ファイル名を「{start}連番3桁.csv」（JSON は .json）の形にしてください（種別・保険者番号・作成日時をMANIFEST.csvと合わせます）"
        );
        problems.push(Problem::of_file(&entry.name, "file_name", text));
    }
}

/// What every row of a file keeps to, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
struct Frame {
    insurer: Option<InsurerNumber>,
    /// Day on which the package was made: what has happened did so by then.
    made_on: Option<Date>,
}

/// Tells the days of a row that lie after the package was made though they say what has happened; whether there is one.
fn tell_future_days(layout: &FileLayout, row: &Row, file: &str, made_on: Date, problems: &mut Problems) -> bool {
    let last = kiban_domain::dates::yyyymmdd(made_on);
    let mut is_told = false;
    for (at, item) in layout.items.iter().enumerate() {
        // Days of eight digits follow each other as their texts do.
        if item.kind != ItemKind::PastDate || row.get(at) <= last.as_str() {
            continue;
        }
        is_told = true;
        let text = format!(
            "パッケージの作成日時の日（{last}）より後の日付です。すでにあったことの日付なので、その日までの日付を入れてください"
        );
        problems.push(located(layout, row, file, item.key, "date_order", &text).found(row.get(at)));
    }
    is_told
}

/// Reads the rows of a file; returns how many there were, sound or not. `keys` are those of the package so far, with the
/// place of this file in it.
fn read_file(
    entry: &ManifestFile,
    frame: Frame,
    source: impl Read,
    problems: &mut Problems,
    (keys, place): (&mut Keys, usize),
    take: &mut impl FnMut(ReadRow),
) -> io::Result<u64> {
    let Some(layout) = entry.kind.layout() else { return Ok(0) };
    let dialect = dialect_of(&entry.name, entry.encoding);
    let mut reader = layout::Reader::new(layout, source, dialect, problems);
    let file: Arc<str> = Arc::from(entry.name.as_str());
    let mut told = 0;
    loop {
        let kept = problems.kept();
        let Some(row) = reader.next_row(problems) else { break };
        told += 1;
        if frame.insurer.is_some_and(|insurer| is_foreign(&row, insurer)) {
            problems.forget_row(kept, row.line());
            let text = "ほかの保険者の行です。取り除いて作り直してください（番号は表示しません）";
            problems.push(located(layout, &row, &entry.name, "insurer", "foreign_insurer", text));
            continue;
        }
        if !row.is_sound() {
            take(ReadRow::faulty(entry.kind, &row));
            continue;
        }
        let is_ahead = frame.made_on.is_some_and(|day| tell_future_days(layout, &row, &entry.name, day, problems));
        let mut built = rows::Builder::new(layout, &row);
        let value = built.row(entry.kind);
        // Which of two days is the wrong one has been told.
        built.faults.retain(|fault| !is_ahead || fault.rule != "date_order");
        for fault in &built.faults {
            problems.push(quoted(layout, &row, &entry.name, fault));
        }
        if is_ahead || !built.faults.is_empty() {
            take(ReadRow::faulty(entry.kind, &row));
            continue;
        }
        for note in &built.notes {
            problems.push(quoted(layout, &row, &entry.name, note).warning());
        }
        let Some((key, history, change, value)) = value else {
            let text = "この行を読み取れませんでした。項目表と照らし合わせてください";
            problems.push(located(layout, &row, &entry.name, "history", "value", text));
            take(ReadRow::faulty(entry.kind, &row));
            continue;
        };
        match keys.insert(entry.kind, place, &row) {
            Seen::New if entry.kind == MunicipalKind::Opinion && !keys.insert_opinion(&row) => {
                let text =
                    "申請日・医療機関・作成回数が同じ意見書がパッケージにもう一つあります。どちらか一つにしてください";
                problems.push(located(layout, &row, &entry.name, "applied_on", "duplicate_key", text));
                take(ReadRow::faulty(entry.kind, &row));
            }
            Seen::New => {
                let (line, file) = (row.line(), file.clone());
                take(ReadRow::Sound(Box::new(MunicipalRow { line, file, key, history, change, value })));
            }
            Seen::Same(line) => {
                keys.repeat(entry.kind);
                let text = format!("{line}行目とまったく同じ行です。1行にしてください");
                problems.push(located(layout, &row, &entry.name, "history", "duplicate_row", &text).warning());
            }
            Seen::Elsewhere => {
                let text = format!(
                    "履歴番号 {} の行がパッケージの別のファイルにもあります。どちらか一つにしてください",
                    row.get(2)
                );
                problems.push(located(layout, &row, &entry.name, "history", "duplicate_key", &text));
                take(ReadRow::faulty(entry.kind, &row));
            }
            Seen::Other(line) => {
                let text = format!(
                    "{line}行目と同じ被保険者番号・履歴番号ですが内容が違います。新しい履歴番号を付けてください"
                );
                problems.push(located(layout, &row, &entry.name, "history", "duplicate_key", &text).found(row.get(2)));
                take(ReadRow::faulty(entry.kind, &row));
            }
        }
    }
    // Those whose columns cannot be told apart.
    for _ in told..reader.rows_seen() {
        take(ReadRow::Faulty { kind: entry.kind, insured: None, history: None });
    }
    match reader.take_error() {
        Some(error) => Err(error),
        None => Ok(reader.rows_seen()),
    }
}

/// A well-formed number of another insurer. A number that is no insurer's has been told as such.
fn is_foreign(row: &Row, insurer: InsurerNumber) -> bool {
    InsurerNumber::parse(row.get(0)).is_ok_and(|found| found != insurer)
}
