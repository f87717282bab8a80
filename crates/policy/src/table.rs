//! 共有範囲の表: the sharing table of the law as data, with the side tables a decision needs (P-040).
//!
//! Versions are files with a start date; [`SharingTable::at`] gives the one in force on a day. A broken table is a
//! [`TableError`], found by the tests and by a self-test at start, never a panic.

use std::fmt;
use std::sync::LazyLock;

use kiban_domain::Date;
use kiban_domain::dates::parse_yyyymmdd;
use kiban_domain::office::OfficeClass;

use crate::consent::{self, TakerRule};
use crate::disaster::{self, DisasterRule};
use crate::facts::CLASSES;
use crate::office::{self, ClassRule, ServiceTypeRule};
use crate::register::{self, Means, Writer};
use crate::rule::{self, Reason, Rule};
use crate::slip::{self, SlipAct, SlipClass, SlipParty, SlipRule};
use crate::tsv;
use crate::way::{self, WayRule};
use crate::withheld::{self, WhereaboutsItem};

/// A line of the sharing table: a kind, with the claims in the two groups of the law's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the kinds are described in the catalogue of the domain")]
pub enum Row {
    A1,
    A2,
    A3a,
    A3b,
    A3c,
    A4,
    A5,
    PlanningClaims,
    ServiceClaims,
    C1,
    Cp1,
    Cp2,
    E1,
    E2,
    F1,
    G1,
}

impl Row {
    /// All lines, in the order of the table. The order is part of the audit bit layout: append only.
    pub const ALL: [Self; 16] = [
        Self::A1,
        Self::A2,
        Self::A3a,
        Self::A3b,
        Self::A3c,
        Self::A4,
        Self::A5,
        Self::PlanningClaims,
        Self::ServiceClaims,
        Self::C1,
        Self::Cp1,
        Self::Cp2,
        Self::E1,
        Self::E2,
        Self::F1,
        Self::G1,
    ];

    /// Code in the tables.
    pub fn code(self) -> &'static str {
        const CODES: [&str; 16] =
            ["A1", "A2", "A3a", "A3b", "A3c", "A4", "A5", "B1-B2", "B3-B8", "C1", "CP1", "CP2", "E1", "E2", "F1", "G1"];
        CODES[self as usize]
    }

    /// Inverse of [`Row::code`].
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|row| row.code() == code)
    }

    /// Whether the platform stores it (※3).
    pub fn is_stored(self) -> bool {
        !matches!(self, Self::PlanningClaims | Self::ServiceClaims)
    }
}

/// A column of the sharing table: in which capacity somebody looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Audience {
    /// 利用者
    Person,
    /// 市区町村
    Municipality,
    /// 居宅介護支援 (※1)
    CarePlanning,
    /// 介護事業所、作成者
    ServiceCreator,
    /// 介護事業所、作成者以外
    ServiceOther,
    /// 医療機関、作成者
    HospitalCreator,
    /// 医療機関、作成者以外
    HospitalOther,
}

impl Audience {
    /// All columns, in the order of the table.
    pub const ALL: [Self; 7] = [
        Self::Person,
        Self::Municipality,
        Self::CarePlanning,
        Self::ServiceCreator,
        Self::ServiceOther,
        Self::HospitalCreator,
        Self::HospitalOther,
    ];

    /// Name in the tables and on screens.
    pub fn name_ja(self) -> &'static str {
        const NAMES: [&str; 7] = [
            "利用者",
            "市区町村",
            "居宅介護支援",
            "介護事業所作成者",
            "介護事業所以外",
            "医療機関作成者",
            "医療機関以外",
        ];
        NAMES[self as usize]
    }

    /// Inverse of [`Audience::name_ja`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|audience| audience.name_ja() == name)
    }
}

/// 印: what a cell says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// – not shared, not even existence.
    Blank,
    /// ◎ shared, in principle on the person's consent.
    OnConsent,
    /// ○ shared.
    Shared,
    /// ★ creator.
    Creator,
}

impl Mark {
    /// All marks.
    pub const ALL: [Self; 4] = [Self::Blank, Self::OnConsent, Self::Shared, Self::Creator];

    /// The sign in the table.
    pub fn sign(self) -> &'static str {
        ["–", "◎", "○", "★"][self as usize]
    }

    /// Inverse of [`Mark::sign`].
    pub fn parse(sign: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mark| mark.sign() == sign)
    }
}

/// One cell with its grounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// 印
    pub mark: Mark,
    /// Under ★: only the office's own documents, not those of others in the column.
    pub own_only: bool,
    /// P-number.
    pub requirement: String,
    /// Short name of the source.
    pub source: String,
    /// Why, in Japanese, for the screen.
    pub reason: String,
}

/// Where and why a table is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableError {
    file: &'static str,
    line: usize,
    message: String,
}

impl TableError {
    pub(crate) fn new(file: &'static str, line: usize, message: String) -> Self {
        Self { file, line, message }
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}: {}", self.file, self.line, self.message)
    }
}

impl std::error::Error for TableError {}

/// The sharing table in force from a day, with its side tables.
#[derive(Debug, Clone)]
pub struct SharingTable {
    /// 適用開始: first day on which it is in force.
    pub from: Date,
    cells: Vec<Cell>,
    reasons: Vec<Reason>,
    classes: Vec<ClassRule>,
    pub(crate) service_types: Vec<ServiceTypeRule>,
    plan_maker_only: Vec<bool>,
    writers: Vec<(Row, Writer, Means)>,
    takers: Vec<TakerRule>,
    disaster: Vec<DisasterRule>,
    whereabouts: Vec<WhereaboutsItem>,
    ways: Vec<WayRule>,
    slips: Vec<SlipRule>,
    slip_classes: Vec<SlipClass>,
}

/// The text of one version.
struct Texts {
    sharing: &'static str,
    reasons: &'static str,
    classes: &'static str,
    service_types: &'static str,
    jobs: &'static str,
    writers: &'static str,
    takers: &'static str,
    disaster: &'static str,
    whereabouts: &'static str,
    ways: &'static str,
    slips: &'static str,
    slip_classes: &'static str,
}

const V2025_07: Texts = Texts {
    sharing: include_str!("../tables/2025-07.tsv"),
    reasons: include_str!("../tables/reasons.tsv"),
    classes: include_str!("../tables/office_classes.tsv"),
    service_types: include_str!("../tables/service_classes.tsv"),
    jobs: include_str!("../tables/job_service.tsv"),
    writers: include_str!("../tables/writers.tsv"),
    takers: include_str!("../tables/consent_takers.tsv"),
    disaster: include_str!("../tables/disaster.tsv"),
    whereabouts: include_str!("../tables/whereabouts.tsv"),
    ways: include_str!("../tables/ways.tsv"),
    slips: include_str!("../tables/slips.tsv"),
    slip_classes: include_str!("../tables/slip_classes.tsv"),
};

/// Every version, oldest first. A new version of the law is one more entry.
static VERSIONS: LazyLock<Result<Vec<SharingTable>, TableError>> = LazyLock::new(|| {
    SharingTable::in_order([V2025_07].iter().map(SharingTable::parse).collect::<Result<Vec<_>, _>>()?)
});

impl SharingTable {
    /// The table in force on this day; before the first version, the first. Live access passes today, a replay the
    /// day of the audit entry.
    pub fn at(day: Date) -> Result<&'static Self, TableError> {
        let current = Self::pick(VERSIONS.as_ref().map_err(Clone::clone)?, day);
        current.ok_or_else(|| TableError::new("tables", 0, "no version".to_owned()))
    }

    /// Versions oldest first. An entry of the log names the version it was decided by, so no two have one name.
    pub(crate) fn in_order(mut versions: Vec<Self>) -> Result<Vec<Self>, TableError> {
        versions.sort_by_key(|table| table.from);
        match versions.windows(2).find(|two| two[0].version() == two[1].version()) {
            Some(two) => Err(TableError::new("tables", 0, format!("two versions begin in {}", two[0].version()))),
            None => Ok(versions),
        }
    }

    /// Of versions in order the one in force on a day.
    pub(crate) fn pick(versions: &[Self], day: Date) -> Option<&Self> {
        versions.iter().rev().find(|table| table.from <= day).or_else(|| versions.first())
    }

    /// Of versions the one of a name.
    pub(crate) fn named<'a>(versions: &'a [Self], name: &str) -> Option<&'a Self> {
        versions.iter().find(|table| table.version() == name)
    }

    /// The table of a version by its name, if there is one.
    pub fn of_version(name: &str) -> Result<Option<&'static Self>, TableError> {
        Ok(Self::named(VERSIONS.as_ref().map_err(Clone::clone)?, name))
    }

    /// Name of the version: year and month from which it holds.
    pub fn version(&self) -> String {
        format!("{:04}-{:02}", self.from.year(), self.from.month())
    }

    /// A cell.
    pub fn cell(&self, row: Row, audience: Audience) -> &Cell {
        &self.cells[row as usize * Audience::ALL.len() + audience as usize]
    }

    /// What a rule says for itself.
    pub fn reason(&self, rule: Rule) -> &Reason {
        &self.reasons[rule as usize]
    }

    /// 区分の名称, for screens.
    pub fn class_name(&self, class: OfficeClass) -> &str {
        &self.class(class).name_ja
    }

    pub(crate) fn class(&self, class: OfficeClass) -> &ClassRule {
        &self.classes[class_index(class)]
    }

    /// Step 6: through the 居宅 column, only for plan makers.
    pub(crate) fn is_plan_maker_only(&self, row: Row) -> bool {
        self.plan_maker_only[row as usize]
    }

    pub(crate) fn means(&self, row: Row, writer: Writer) -> Option<Means> {
        self.writers.iter().find(|(r, w, _)| *r == row && *w == writer).map(|(_, _, means)| *means)
    }

    pub(crate) fn taker(&self, writer: Writer) -> Option<&TakerRule> {
        self.takers.iter().find(|taker| taker.who == writer)
    }

    pub(crate) fn disaster(&self, row: Row) -> DisasterRule {
        self.disaster[row as usize]
    }

    /// Items that tell where a 不開示 person is (P-037), to be masked when a decision says so.
    pub fn whereabouts(&self, row: Row) -> impl Iterator<Item = &WhereaboutsItem> {
        self.whereabouts.iter().filter(move |item| item.row == row)
    }

    pub(crate) fn way_rule(&self, code: &str) -> Option<&WayRule> {
        self.ways.iter().find(|rule| rule.code == code)
    }

    pub(crate) fn slip_rule(&self, act: SlipAct, party: SlipParty) -> Option<&SlipRule> {
        self.slips.iter().find(|rule| (rule.act, rule.party) == (act, party))
    }

    pub(crate) fn slip_class(&self, class: OfficeClass) -> SlipClass {
        self.slip_classes[class_index(class)]
    }

    fn parse(texts: &Texts) -> Result<Self, TableError> {
        Ok(Self {
            from: start_date(texts.sharing)?,
            cells: parse_cells(texts.sharing)?,
            reasons: rule::parse(texts.reasons)?,
            classes: office::parse_classes(texts.classes)?,
            service_types: office::parse_service_types(texts.service_types)?,
            plan_maker_only: parse_jobs(texts.jobs)?,
            writers: register::parse(texts.writers)?,
            takers: consent::parse(texts.takers)?,
            disaster: disaster::parse(texts.disaster)?,
            whereabouts: withheld::parse(texts.whereabouts)?,
            ways: way::parse(texts.ways)?,
            slips: slip::parse(texts.slips)?,
            slip_classes: slip::parse_classes(texts.slip_classes)?,
        })
    }
}

/// Position of a class in the tables.
pub(crate) fn class_index(class: OfficeClass) -> usize {
    CLASSES.iter().position(|other| *other == class).unwrap_or(CLASSES.len() - 1)
}

/// Reads the remark that names the first day, `YYYYMMDD` after a tab.
fn start_date(text: &str) -> Result<Date, TableError> {
    let error = || TableError::new("sharing", 0, "no valid line '# 適用開始'".to_owned());
    let value = text.lines().find_map(|line| line.strip_prefix("# 適用開始\t")).ok_or_else(error)?;
    parse_yyyymmdd(value.trim()).map_err(|_| error())
}

/// Every row × column exactly once.
fn parse_cells(text: &str) -> Result<Vec<Cell>, TableError> {
    let columns = ["種別", "立場", "印", "自作のみ", "要件", "典拠", "理由"];
    let mut found: Vec<Option<Cell>> = vec![None; Row::ALL.len() * Audience::ALL.len()];
    for line in tsv::lines("sharing", text, &columns)? {
        let (row, audience) = (line.read(0, Row::parse)?, line.read(1, Audience::parse)?);
        let slot = &mut found[row as usize * Audience::ALL.len() + audience as usize];
        if slot.is_some() {
            return Err(line.error(1));
        }
        *slot = Some(Cell {
            mark: line.read(2, Mark::parse)?,
            own_only: line.yes(3)?,
            requirement: line.text(4)?.to_owned(),
            source: line.text(5)?.to_owned(),
            reason: line.text(6)?.to_owned(),
        });
    }
    let missing = || TableError::new("sharing", 0, "a cell has no line".to_owned());
    found.into_iter().map(|cell| cell.ok_or_else(missing)).collect()
}

/// `job_service.tsv`: every stored row once; claims are never narrowed because they are never shown.
fn parse_jobs(text: &str) -> Result<Vec<bool>, TableError> {
    let found = per_stored_row("job_service.tsv", text, &["種別", "条件", "要件", "理由"], |line| {
        line.read(1, |text| match text {
            "計画担当" => Some(true),
            "制限なし" => Some(false),
            _ => None,
        })
    })?;
    Ok(found.into_iter().map(|value| value.unwrap_or(false)).collect())
}

/// Reads a table with exactly one line per stored row; the rows not stored stay `None`.
pub(crate) fn per_stored_row<T: Clone>(
    file: &'static str,
    text: &str,
    columns: &[&str],
    read: impl Fn(&tsv::Line<'_>) -> Result<T, TableError>,
) -> Result<Vec<Option<T>>, TableError> {
    let mut found: Vec<Option<T>> = vec![None; Row::ALL.len()];
    for line in tsv::lines(file, text, columns)? {
        let row = line.read(0, |code| Row::parse(code).filter(|row| row.is_stored()))?;
        if found[row as usize].is_some() {
            return Err(line.error(0));
        }
        found[row as usize] = Some(read(&line)?);
    }
    match Row::ALL.into_iter().find(|row| row.is_stored() && found[*row as usize].is_none()) {
        Some(row) => Err(TableError::new(file, 0, format!("no line for {}", row.code()))),
        None => Ok(found),
    }
}

/// Changing a table in place, for the mutation check only.
#[cfg(test)]
impl SharingTable {
    pub(crate) fn cell_mut(&mut self, row: Row, audience: Audience) -> &mut Cell {
        &mut self.cells[row as usize * Audience::ALL.len() + audience as usize]
    }

    pub(crate) fn classes_mut(&mut self) -> &mut [ClassRule] {
        &mut self.classes
    }

    pub(crate) fn plan_maker_only_mut(&mut self, row: Row) -> &mut bool {
        &mut self.plan_maker_only[row as usize]
    }

    pub(crate) fn writers_mut(&mut self) -> &mut Vec<(Row, Writer, Means)> {
        &mut self.writers
    }

    pub(crate) fn disaster_mut(&mut self, row: Row) -> &mut DisasterRule {
        &mut self.disaster[row as usize]
    }

    pub(crate) fn whereabouts_mut(&mut self) -> &mut Vec<WhereaboutsItem> {
        &mut self.whereabouts
    }

    pub(crate) fn takers_mut(&mut self) -> &mut Vec<TakerRule> {
        &mut self.takers
    }

    pub(crate) fn ways_mut(&mut self) -> &mut Vec<WayRule> {
        &mut self.ways
    }

    /// Parses the current version with one text replaced.
    pub(crate) fn parse_with_sharing(sharing: &'static str) -> Result<Self, TableError> {
        Self::parse(&Texts { sharing, ..V2025_07 })
    }
}
