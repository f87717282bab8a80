//! PMH (Public Medical Hub): the certificates that the portal shows, as JSON for its registration (P-171). **Unofficial**: no
//! form for 介護保険 is public; which field holds what is data (`layouts/pmh-unofficial.tsv`).
//!
//! The 個人番号 under which PMH keeps people is not known here and is never written.

use crate::municipal::{Change, MunicipalKind, MunicipalRow, MunicipalValue};
use crate::{Problem, text};
use kiban_domain::insured::Insured;
use kiban_domain::{Date, InsuredNumber};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};

/// The mapping that comes with the program.
pub const BUILT_IN: &str = include_str!("../layouts/pmh-unofficial.tsv");
/// Longest answer that is read, bytes.
pub const LONGEST_ANSWER: usize = 4 << 20;
/// What a value of the mapping may be taken from, beside `=` and a constant.
const SOURCES: [&str; 18] = [
    "insurer",
    "insurer8",
    "insured",
    "history",
    "deleted",
    "withheld",
    "disclosed",
    "name",
    "kana",
    "address",
    "birth",
    "sex",
    "level",
    "level_code",
    "copayment_tenths",
    "stage",
    "valid_from",
    "valid_to",
];
/// The one number that is never written, whatever a mapping says.
const NEVER: &str = "mynumber";

/// Which field holds what.
#[derive(Debug, Clone)]
pub struct Mapping(Vec<Field>);

#[derive(Debug, Clone)]
struct Field {
    /// `A3A`, `A3B`, `A3C` or `*`.
    certificate: String,
    path: Vec<String>,
    value: String,
}

/// One certificate of one person, ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// Whose.
    pub insured: InsuredNumber,
    /// Which card.
    pub kind: MunicipalKind,
    /// As it is sent.
    pub json: Value,
}

/// One that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Place in what was sent, from 0.
    pub index: usize,
    /// Why, safe to show.
    pub message: String,
}

impl Mapping {
    /// The mapping in a text: three columns with tabs between them after a head; `#` begins a comment.
    pub fn parse(file: &str, text: &str) -> Result<Self, Box<Problem>> {
        let mut fields: Vec<Field> = Vec::new();
        let lines = text.lines().zip(1u64..).filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
        for (line, number) in lines.skip(1) {
            let fault = |text: &str| Box::new(Problem::of_file(file, "mapping", text).at_line(number).found(line));
            let columns: Vec<&str> = line.split('\t').collect();
            let [certificate, field, value] = columns[..] else {
                return Err(fault("3つの欄（certificate、field、value）をタブで区切ってください"));
            };
            if !matches!(certificate, "A3A" | "A3B" | "A3C" | "*") {
                return Err(fault("certificate は A3A・A3B・A3C・* のどれかです"));
            }
            if !value.starts_with('=') && value != "key" && !SOURCES.contains(&value) {
                return Err(fault("value は = で始まる文字列か、決められた名前です"));
            }
            let path: Vec<String> = field.split('.').map(str::to_owned).collect();
            if path.iter().any(String::is_empty) || field.to_ascii_lowercase().contains(NEVER) {
                return Err(fault("field が正しくありません。個人番号の項目は書けません"));
            }
            let overlaps = |one: &Field| {
                let same = one.certificate == certificate || one.certificate == "*" || certificate == "*";
                same && one.path.iter().zip(&path).all(|(a, b)| a == b)
            };
            if fields.iter().any(overlaps) {
                return Err(fault("同じ項目が2度あります"));
            }
            fields.push(Field { certificate: certificate.to_owned(), path, value: value.to_owned() });
        }
        Ok(Self(fields))
    }

    fn json(&self, part: &Part<'_>) -> Value {
        let mut root = Map::new();
        for field in self.0.iter().filter(|field| field.certificate == "*" || field.certificate == part.kind.code()) {
            if let Some(value) = part.value(&field.value) {
                put(&mut root, &field.path, value);
            }
        }
        Value::Object(root)
    }
}

fn put(object: &mut Map<String, Value>, path: &[String], value: Value) {
    let Some((name, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        object.insert(name.clone(), value);
        return;
    }
    let child = object.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(child) = child {
        put(child, rest, value);
    }
}

/// Rows of a package on their way to registrations: of each person and card the newest counts.
#[derive(Default)]
pub struct Portal {
    people: HashMap<InsuredNumber, (u32, Insured)>,
    cards: BTreeMap<(String, MunicipalKind), MunicipalRow>,
}

impl Portal {
    /// Takes a row; what the portal does not show as a certificate is passed over.
    pub fn take(&mut self, row: MunicipalRow) {
        match &row.value {
            MunicipalValue::Insured(insured) => {
                let newest = self.people.get(&row.key.insured).is_none_or(|(history, _)| *history <= row.history);
                if newest {
                    self.people.insert(row.key.insured, (row.history, (**insured).clone()));
                }
            }
            MunicipalValue::InsuranceCard(_) | MunicipalValue::CopaymentRate(_) | MunicipalValue::CostCeiling(_) => {
                let place = (row.key.insured.to_string(), row.value.kind());
                if self.cards.get(&place).is_none_or(|before| before.history <= row.history) {
                    self.cards.insert(place, row);
                }
            }
            _ => {}
        }
    }

    /// What is to be registered, by person and card, and the rows of people the package does not know.
    pub fn registrations(&self, mapping: &Mapping) -> (Vec<Registration>, Vec<Problem>) {
        let (mut out, mut problems) = (Vec::new(), Vec::new());
        for row in self.cards.values() {
            let Some((_, person)) = self.people.get(&row.key.insured) else {
                let text = "この人の行（INSURED）がパッケージにありません。全件のパッケージを使ってください";
                problems.push(Problem::of_file(&row.file, "no_person", text).at_line(row.line));
                continue;
            };
            for part in Part::of(row, person) {
                out.push(Registration { insured: row.key.insured, kind: part.kind, json: mapping.json(&part) });
            }
        }
        (out, problems)
    }
}

/// A certificate, or one of its periods.
struct Part<'a> {
    row: &'a MunicipalRow,
    person: &'a Insured,
    kind: MunicipalKind,
    number: usize,
    from: Option<Date>,
    to: Option<Date>,
    level: Option<(&'static str, &'static str)>,
    tenths: Option<u8>,
    stage: Option<&'static str>,
}

impl<'a> Part<'a> {
    fn of(row: &'a MunicipalRow, person: &'a Insured) -> Vec<Self> {
        let empty = |number| {
            let kind = row.value.kind();
            Self { row, person, kind, number, from: None, to: None, level: None, tenths: None, stage: None }
        };
        match &row.value {
            // Without a certification there is nothing for the portal to show of it.
            MunicipalValue::InsuranceCard(card) => card
                .certified
                .iter()
                .map(|certified| {
                    let (valid, level) =
                        (certified.valid.as_ref(), (certified.level.code(), certified.level.name_ja()));
                    let (from, to) = (valid.map(|period| period.from()), valid.and_then(|period| period.to()));
                    Self { from, to, level: Some(level), ..empty(1) }
                })
                .collect(),
            MunicipalValue::CopaymentRate(rate) => rate
                .rows
                .iter()
                .zip(1..)
                .map(|(rate, number)| {
                    let (from, to) = (Some(rate.period.from()), rate.period.to());
                    Self { from, to, tenths: Some(rate.rate.get()), ..empty(number) }
                })
                .collect(),
            MunicipalValue::CostCeiling(ceiling) => {
                let (from, to) = (Some(ceiling.period.from()), ceiling.period.to());
                vec![Self { from, to, stage: Some(ceiling.stage.code()), ..empty(1) }]
            }
            _ => Vec::new(),
        }
    }

    /// What a name of the mapping stands for; none is left out.
    fn value(&self, of: &str) -> Option<Value> {
        let (identity, key) = (&self.person.identity, &self.row.key);
        let day = |day: Option<Date>| day.map(|day| day.to_string());
        let gone = self.person.lost.is_some() || self.row.change == Change::Deleted;
        let text = match of {
            "insurer" => Some(self.person.card_insurer.to_string()),
            "insurer8" => Some(format!("00{}", self.person.card_insurer)),
            "insured" => Some(key.insured.to_string()),
            "history" => Some(self.row.history.to_string()),
            "key" => Some(format!("{}-{}-{}-{}", key.insurer, key.insured, self.kind.code(), self.number)),
            "name" => Some(identity.name.clone()),
            "kana" => Some(identity.kana.clone()),
            // Where they are reaches nobody (P-037).
            "address" => identity.address.clone().filter(|_| !self.person.withheld),
            "birth" => Some(identity.birth.to_string()),
            "sex" => Some(identity.sex.code().to_owned()),
            "level_code" => self.level.map(|(code, _)| code.to_owned()),
            "level" => self.level.map(|(_, name)| name.to_owned()),
            "copayment_tenths" => self.tenths.map(|tenths| tenths.to_string()),
            "stage" => self.stage.map(str::to_owned),
            "valid_from" => day(self.from),
            "valid_to" => day(self.to),
            "deleted" => return Some(Value::Bool(gone)),
            "withheld" => return Some(Value::Bool(self.person.withheld)),
            "disclosed" => return Some(Value::Bool(!self.person.withheld)),
            constant => constant.strip_prefix('=').map(str::to_owned),
        };
        text.filter(|text| !text.is_empty()).map(Value::String)
    }
}

/// What the answer says of each.
#[derive(Deserialize)]
struct Line {
    index: usize,
    status: Status,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Status {
    Accepted,
    Rejected,
}

/// Reads the answer to so many registrations: a list with a line for each, `index` from 0, `status` `accepted` or `rejected`, and
/// a `message`. Anything else is no answer: nothing may count as registered that was not named.
pub fn read_answer(sent: usize, bytes: &[u8]) -> Result<Vec<Rejected>, String> {
    let lines: Vec<Line> = serde_json::from_slice(bytes).map_err(|error| {
        format!(
            "答えを読めません（{}行 {}文字目の近く）。対応する版か、宛先を確かめてください",
            error.line(),
            error.column()
        )
    })?;
    let mut seen = vec![false; sent];
    let mut rejected = Vec::new();
    for line in lines {
        match seen.get_mut(line.index) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(format!("答えに、送っていない番号か2度目の番号（{}）があります", line.index)),
        }
        if line.status == Status::Rejected {
            rejected.push(Rejected { index: line.index, message: text::show(&line.message, 120) });
        }
    }
    match seen.iter().position(|seen| !seen) {
        Some(missing) => Err(format!("答えに、{}件目の結果がありません", missing + 1)),
        None => Ok(rejected),
    }
}
