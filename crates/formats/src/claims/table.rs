//! Records of claims and their items: data (`layouts/claims.tsv`, `claim_ids.tsv`).

use std::collections::HashMap;
use std::sync::OnceLock;

/// What an item is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Month,
    Office,
    Insurer,
    Insured,
    /// 作成区分: 3 is 取消.
    Change,
    Count,
    DataKind,
    /// For nothing.
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClaimItem {
    /// Number within the record, from 1.
    pub(super) number: usize,
    pub(super) name: &'static str,
    /// Most bytes.
    pub(super) most: Option<usize>,
    pub(super) usage: Use,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ClaimRecord {
    pub(super) items: Vec<ClaimItem>,
}

/// What is known of an exchange id and record type.
pub(super) enum Found {
    /// Its items are used.
    Record(&'static ClaimRecord),
    /// It is known and not needed.
    PassedOver,
    /// Nobody knows it here.
    Unknown,
    /// What it is cannot be read.
    Unreadable,
}

/// レコード種別 of 基本情報 in a statement.
const BASICS: &str = "01";

/// The record of an exchange id; of a statement only 基本情報 is read.
pub(super) fn record_of(id: &str, record_type: &str) -> Found {
    match ids().get(id) {
        None => Found::Unknown,
        Some(&"statement") if record_type == BASICS => {
            records().get("statement").map_or(Found::PassedOver, Found::Record)
        }
        Some(&"statement") if record_type.len() == 2 && record_type.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            Found::PassedOver
        }
        Some(&"statement") => Found::Unreadable,
        Some(record) => records().get(record).map_or(Found::PassedOver, Found::Record),
    }
}

/// Items of the control record.
pub(super) fn control() -> &'static [ClaimItem] {
    records().get("control").map_or(&[], |record| &record.items)
}

pub(super) fn ids() -> &'static HashMap<&'static str, &'static str> {
    static IDS: OnceLock<HashMap<&'static str, &'static str>> = OnceLock::new();
    IDS.get_or_init(|| {
        let lines = lines(include_str!("../../layouts/claim_ids.tsv"));
        lines.filter_map(|columns| Some((*columns.first()?, *columns.get(1)?))).collect()
    })
}

pub(super) fn records() -> &'static HashMap<&'static str, ClaimRecord> {
    static RECORDS: OnceLock<HashMap<&'static str, ClaimRecord>> = OnceLock::new();
    RECORDS.get_or_init(|| {
        let mut records: HashMap<&'static str, ClaimRecord> = HashMap::new();
        for columns in lines(include_str!("../../layouts/claims.tsv")) {
            let (Some(record), Some(item)) = (columns.first(), item(&columns)) else { continue };
            records.entry(record).or_default().items.push(item);
        }
        records
    })
}

fn lines(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

/// An item of a line of the table; tests hold the tables against gaps.
fn item(columns: &[&'static str]) -> Option<ClaimItem> {
    let [_, number, name, _, most, usage] = *columns else { return None };
    let usage = match usage {
        "month" => Use::Month,
        "office" => Use::Office,
        "insurer" => Use::Insurer,
        "insured" => Use::Insured,
        "change" => Use::Change,
        "count" => Use::Count,
        "data_kind" => Use::DataKind,
        _ => Use::Nothing,
    };
    Some(ClaimItem { number: number.parse().ok()?, name, most: most.parse().ok(), usage })
}
