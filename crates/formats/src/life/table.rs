//! 項目表 of LIFE: files, items, code lists and points of scales, all data (`layouts/life*.tsv`). A new version of a form is
//! a new table; nothing here knows a form by name.
//!
//! Of assessment scales only numbers, ids, codes and points are kept, never their wording.

use std::collections::HashMap;
use std::sync::OnceLock;

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// Text.
    Text,
    /// Digits, leading zeros kept.
    Digits,
    /// A number: at most `digits` before the point and `decimals` behind it.
    Number,
    /// `YYYYMMDD`; an unknown day is written 15.
    Date,
    /// `YYYYMMDD` or `YYYYMM00` when the day is unknown.
    DateOrMonth,
    /// `HHmm`.
    Time,
    /// 保険者番号
    Insurer,
    /// 被保険者番号
    Insured,
    /// 事業所番号
    Office,
    /// サービス種類コード
    Service,
}

/// Whether an item must be filled. In a missed record LIFE takes blanks, so only [`Need::Always`] is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// ◎
    Always,
    /// ○ when the file is handed in as final (確定).
    WhenFinal,
    /// ● when final and the condition of the item holds.
    WhenFinalIf,
    /// Optional.
    No,
}

/// One item of a form.
#[derive(Debug, Clone, PartialEq)]
pub struct LifeItem {
    /// Number in the item table.
    pub no: u32,
    /// Physical id, the name of its column.
    pub id: &'static str,
    /// 項目名
    pub name: &'static str,
    /// How it is written.
    pub kind: ValueKind,
    /// Characters, or digits before the point.
    pub max_len: usize,
    /// Digits behind the point.
    pub decimals: usize,
    /// Whether it must be filled.
    pub need: Need,
    /// Codes with their names; a scale's codes have none. Empty: no codes.
    pub codes: Vec<(&'static str, &'static str)>,
    /// When ● asks for it.
    pub condition: Option<Condition>,
    /// Smallest and largest number.
    pub range: Option<(f64, f64)>,
    /// Stays with the office: read and checked, never handed on (names, kana, free text).
    pub local: bool,
}

impl LifeItem {
    /// The same where only its name is known to have stayed.
    fn of_a_newer_form(&self) -> Self {
        let is_key = super::IDENTITY.contains(&self.id) || self.id == "evaluate_date";
        Self { need: if is_key { self.need } else { Need::No }, condition: None, ..self.clone() }
    }
}

/// `a=1 and b in (1,2) or filled (c,d)`: alternatives of conjunctions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition(Vec<Vec<Term>>);

/// A part of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    /// The item has one of the codes.
    Is(&'static str, Vec<&'static str>),
    /// One of the items is filled.
    Filled(Vec<&'static str>),
}

impl Term {
    fn parse(text: &'static str) -> Option<Self> {
        let list = |text: &'static str| Some(text.strip_suffix(')')?.split(',').collect());
        if let Some(items) = text.strip_prefix("filled (") {
            return Some(Self::Filled(list(items)?));
        }
        match text.split_once(" in (") {
            Some((item, codes)) => Some(Self::Is(item, list(codes)?)),
            None => text.split_once('=').map(|(item, code)| Self::Is(item, vec![code])),
        }
    }

    fn holds<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> bool {
        match self {
            Self::Is(item, codes) => value(item).is_some_and(|value| codes.contains(&value)),
            Self::Filled(items) => items.iter().any(|item| value(item).is_some()),
        }
    }

    fn items(&self) -> &[&'static str] {
        match self {
            Self::Is(item, _) => std::slice::from_ref(item),
            Self::Filled(items) => items,
        }
    }
}

impl Condition {
    fn parse(text: &'static str) -> Option<Self> {
        let all = |text: &'static str| text.split(" and ").map(Term::parse).collect::<Option<Vec<_>>>();
        text.split(" or ").map(all).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Whether it holds for the values of a row, of which an empty one is none.
    pub fn holds<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> bool {
        self.0.iter().any(|all| all.iter().all(|term| term.holds(&value)))
    }

    /// Ids of the items it asks.
    pub fn items(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().flatten().flat_map(Term::items).copied()
    }

    /// Values for which it holds, by item id; for a test.
    #[cfg(test)]
    pub(super) fn example(&self) -> Vec<(&'static str, Option<&'static str>)> {
        let value = |term: &Term| match term {
            Term::Is(item, codes) => (*item, codes.first().copied()),
            Term::Filled(items) => (items[0], None),
        };
        self.0[0].iter().map(value).collect()
    }
}

/// What of a form is shared (C1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// 利用者情報: 要介護度 of the sheets.
    User,
    /// 利用者フィードバック票 of 科学的介護推進体制加算.
    Sheet,
    /// Nothing: it is checked and not kept.
    Nothing,
}

/// One of the files.
#[derive(Debug, Clone, PartialEq)]
pub struct LifeForm {
    /// データ種別, the first line of the file.
    pub data_type: &'static str,
    /// 名称
    pub name: &'static str,
    /// Version of its item table.
    pub version: &'static str,
    /// Whether a 明細番号 belongs to the key of a row.
    pub detail: bool,
    /// The form whose items it has, matched by name, as long as its own item table is not public. Then only the key and
    /// 評価日 are asked for, and a value that does not fit is passed over.
    pub like: Option<&'static str>,
    /// What of it is shared.
    pub part: Part,
    /// Items in the order of the table.
    pub items: Vec<LifeItem>,
}

impl LifeForm {
    /// An item by its id.
    pub fn item(&self, id: &str) -> Option<&LifeItem> {
        self.items.iter().find(|item| item.id == id)
    }
}

/// Points of one scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// Id: `barthel`, `dbd13`, `vitality`.
    pub id: &'static str,
    /// Items in order, each with the points of its codes.
    pub items: Vec<(&'static str, HashMap<&'static str, u32>)>,
}

impl Scale {
    /// Sum of points, and how many items of the scale were filled. `None` when no item is.
    pub fn total<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Option<(u32, usize)> {
        let points: Vec<u32> =
            self.items.iter().filter_map(|(item, points)| points.get(value(item)?).copied()).collect();
        (!points.is_empty()).then(|| (points.iter().sum(), points.len()))
    }
}

/// Every form of every version.
pub fn forms() -> &'static [LifeForm] {
    static FORMS: OnceLock<Vec<LifeForm>> = OnceLock::new();
    FORMS.get_or_init(|| {
        let mut forms: Vec<LifeForm> = lines(include_str!("../../layouts/life_files.tsv"))
            .filter_map(|columns| {
                let [data_type, name, version, key, like, part] = columns[..] else { return None };
                let part = match part {
                    "user" => Part::User,
                    "sheet" => Part::Sheet,
                    _ => Part::Nothing,
                };
                let like = (like != "-").then_some(like);
                Some(LifeForm { data_type, name, version, detail: key == "detail", like, part, items: Vec::new() })
            })
            .collect();
        for columns in lines(include_str!("../../layouts/life-2021.tsv")) {
            let Some(form) = forms.iter_mut().find(|form| Some(&form.data_type) == columns.first()) else { continue };
            form.items.extend(item(&columns));
        }
        let known = forms.clone();
        for form in &mut forms {
            if let Some(like) = known.iter().find(|known| Some(known.data_type) == form.like) {
                form.items = like.items.iter().map(LifeItem::of_a_newer_form).collect();
            }
        }
        forms
    })
}

/// A form by its データ種別.
pub fn form(data_type: &str) -> Option<&'static LifeForm> {
    forms().iter().find(|form| form.data_type == data_type)
}

/// Scales with their points.
pub fn scales() -> &'static [Scale] {
    static SCALES: OnceLock<Vec<Scale>> = OnceLock::new();
    SCALES.get_or_init(|| {
        let mut scales: Vec<Scale> = Vec::new();
        for columns in lines(include_str!("../../layouts/life_scales.tsv")) {
            let [id, item, _, code, points] = columns[..] else { continue };
            let Ok(points) = points.parse() else { continue };
            if scales.last().is_none_or(|scale| scale.id != id) {
                scales.push(Scale { id, items: Vec::new() });
            }
            let Some(scale) = scales.last_mut() else { continue };
            if scale.items.last().is_none_or(|(last, _)| *last != item) {
                scale.items.push((item, HashMap::new()));
            }
            if let Some((_, codes)) = scale.items.last_mut() {
                codes.insert(code, points);
            }
        }
        scales
    })
}

/// A scale by its id.
pub fn scale(id: &str) -> Option<&'static Scale> {
    scales().iter().find(|scale| scale.id == id)
}

fn lines(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

/// An item of a line of the table. A line that is none is left out; tests hold the tables against gaps.
fn item(columns: &[&'static str]) -> Option<LifeItem> {
    let [_, no, id, name, kind, max_len, decimals, need, codes, condition, range, local] = *columns else {
        return None;
    };
    let kind = match kind {
        "text" => ValueKind::Text,
        "digits" => ValueKind::Digits,
        "number" => ValueKind::Number,
        "date" => ValueKind::Date,
        "date_or_month" => ValueKind::DateOrMonth,
        "time" => ValueKind::Time,
        "insurer" => ValueKind::Insurer,
        "insured" => ValueKind::Insured,
        "office" => ValueKind::Office,
        "service" => ValueKind::Service,
        _ => return None,
    };
    let need = match need {
        "A" => Need::Always,
        "C" => Need::WhenFinal,
        "K" => Need::WhenFinalIf,
        _ => Need::No,
    };
    let codes = match codes.strip_prefix('@') {
        Some(list) => code_list(list),
        None if codes == "-" => Vec::new(),
        None => codes.split(';').map(|code| code.split_once('=').unwrap_or((code, ""))).collect(),
    };
    let range = range.split_once('-').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    Some(LifeItem {
        no: no.parse().ok()?,
        id,
        name,
        kind,
        max_len: max_len.parse().unwrap_or(usize::MAX),
        decimals: decimals.parse().unwrap_or(0),
        need,
        codes,
        condition: if condition == "-" { None } else { Condition::parse(condition) },
        range,
        local: local == "local",
    })
}

fn code_list(list: &str) -> Vec<(&'static str, &'static str)> {
    lines(include_str!("../../layouts/life_codes.tsv"))
        .filter(|columns| columns.first() == Some(&list))
        .filter_map(|columns| Some((*columns.get(1)?, columns.get(2).copied().unwrap_or_default().trim_matches('-'))))
        .collect()
}
