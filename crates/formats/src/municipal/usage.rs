//! E1 and E2 over all rows of a person: more used of a limit than it allows, the same 種目 bought again in a 年度. Told only,
//! with the rows that count together: a city may know why, and what was paid was paid (docs/requirements.md §15.10).

use super::{Change, MunicipalKind, MunicipalRow, MunicipalValue, problem_of_row};
use crate::Problem;
use kiban_domain::InsuredNumber;
use kiban_domain::allowance::OverLimit;
use kiban_domain::equipment_purchase::{self, CountedPurchase};
use kiban_domain::home_modification::{self, CountedWork};
use std::collections::HashMap;
use std::sync::Arc;

/// What of a record counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// E1
    Work(CountedWork),
    /// E2
    Purchase(CountedPurchase),
}

impl Use {
    /// Of a row; none of other kinds.
    pub fn of(value: &MunicipalValue) -> Option<Self> {
        match value {
            MunicipalValue::HomeModification(work) => Some(Self::Work(work.counted())),
            MunicipalValue::EquipmentPurchase(purchase) => Some(Self::Purchase(purchase.counted())),
            _ => None,
        }
    }

    fn kind(self) -> MunicipalKind {
        match self {
            Self::Work(_) => MunicipalKind::HomeModification,
            Self::Purchase(_) => MunicipalKind::EquipmentPurchase,
        }
    }
}

/// Where a record that counts is found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Row {
        file: Arc<str>,
        line: u64,
    },
    /// Recorded before, under this number of the person.
    Recorded,
}

#[derive(Debug, Clone)]
struct Counted {
    /// Number under which it is, and 履歴番号.
    key: (InsuredNumber, u32),
    what: Use,
    origin: Origin,
}

impl Counted {
    /// Whether both are the same record.
    fn is_same(&self, other: &Self) -> bool {
        self.key == other.key && self.what.kind() == other.what.kind()
    }
}

/// What is known to count, by person, of one kind at a time: E1 and E2 have limits of their own. About 100 bytes a row and 70 a
/// person.
#[derive(Debug, Default)]
pub struct Usages {
    kind: Option<MunicipalKind>,
    of: HashMap<InsuredNumber, Vec<Counted>>,
}

impl Usages {
    /// Notes what is recorded already: under the person's number, or one they had before (P-038).
    /// What a row said of the same record holds over it.
    pub fn note(&mut self, person: InsuredNumber, number: InsuredNumber, history: u32, what: Use) {
        let counted = Counted { key: (number, history), what, origin: Origin::Recorded };
        let all = self.of_person(person, what);
        if !all.iter().any(|other| other.is_same(&counted)) {
            all.push(counted);
        }
    }

    /// What is known of a person; of the other kind it is forgotten. Most people have one record.
    fn of_person(&mut self, person: InsuredNumber, what: Use) -> &mut Vec<Counted> {
        if self.kind.replace(what.kind()) != Some(what.kind()) {
            self.of = HashMap::new();
        }
        self.of.entry(person).or_insert_with(|| Vec::with_capacity(1))
    }

    /// Notes a row without judging it.
    pub fn remember(&mut self, row: &MunicipalRow) -> bool {
        let Some(what) = Use::of(&row.value) else { return false };
        let (person, key) = (row.key.insured, (row.key.insured, row.history));
        if row.change == Change::Deleted {
            let gone = Counted { key, what, origin: Origin::Recorded };
            self.of_person(person, what).retain(|counted| !counted.is_same(&gone));
            return false;
        }
        let origin = Origin::Row { file: Arc::clone(&row.file), line: row.line };
        let counted = Counted { key, what, origin };
        // The newest comes last.
        let all = self.of_person(person, what);
        all.retain(|other| !other.is_same(&counted));
        all.push(counted);
        true
    }

    /// Notes a row and tells what it brings about with those before.
    pub fn take(&mut self, row: &MunicipalRow) -> Vec<Problem> {
        if !self.remember(row) {
            return Vec::new();
        }
        let Some(all) = self.of.get(&row.key.insured) else { return Vec::new() };
        let Some(this) = all.last() else { return Vec::new() };
        let same: Vec<&Counted> = all.iter().filter(|counted| counted.what.kind() == this.what.kind()).collect();
        let one = same.len() - 1;
        let told = Told { row, same: &same, one };
        match this.what {
            Use::Work(_) => {
                let works: Vec<_> = same.iter().filter_map(|counted| work(counted.what)).collect();
                told.over(home_modification::over_limit(&works, one)).into_iter().collect()
            }
            Use::Purchase(_) => {
                let purchases: Vec<_> = same.iter().filter_map(|counted| purchase(counted.what)).collect();
                let over = told.over(equipment_purchase::over_limit(&purchases, one));
                over.into_iter().chain(told.again(&equipment_purchase::bought_again(&purchases, one))).collect()
            }
        }
    }
}

fn work(what: Use) -> Option<CountedWork> {
    if let Use::Work(work) = what { Some(work) } else { None }
}

fn purchase(what: Use) -> Option<CountedPurchase> {
    if let Use::Purchase(purchase) = what { Some(purchase) } else { None }
}

/// A row among all that count of its kind.
struct Told<'a> {
    row: &'a MunicipalRow,
    same: &'a [&'a Counted],
    one: usize,
}

impl Told<'_> {
    fn over(&self, over: Option<OverLimit>) -> Option<Problem> {
        let over = over?;
        let others = self.names(&over.of);
        let with = if others.is_empty() { "この行".to_owned() } else { format!("この行と {others}") };
        let text = format!(
            "{} の支給対象額の合計 {} 円が、支給限度基準額 {} 円を超えています（{with}）。金額に誤りがないか確認してください",
            over.counted_in, over.used, over.limit
        );
        Some(self.warning("eligible", "over_allowance", &text))
    }

    fn again(&self, again: &[usize]) -> Option<Problem> {
        let others = self.names(again);
        let text = format!(
            "同じ種目が同じ年度に購入されています（{others}）。理由があるときは「同じ種目を再び購入した理由」を入れてください"
        );
        (!again.is_empty()).then(|| self.warning("item", "bought_again", &text))
    }

    fn warning(&self, key: &str, rule: &'static str, text: &str) -> Problem {
        problem_of_row(self.row.value.kind(), (&self.row.file, self.row.line), key, rule, text).warning()
    }

    /// The other rows by name.
    fn names(&self, of: &[usize]) -> String {
        let others = of.iter().filter(|at| **at != self.one).filter_map(|at| self.same.get(*at));
        others.map(|counted| self.name(counted)).collect::<Vec<_>>().join("、")
    }

    fn name(&self, counted: &Counted) -> String {
        let history = counted.key.1;
        match &counted.origin {
            Origin::Row { file, line } if **file == *self.row.file => format!("{line}行目"),
            Origin::Row { file, line } => format!("{file} {line}行目"),
            Origin::Recorded if counted.key.0 == self.row.key.insured => format!("登録済みの履歴番号 {history}"),
            Origin::Recorded => format!("前の番号の履歴番号 {history}"),
        }
    }
}
