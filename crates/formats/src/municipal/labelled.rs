//! The content of a record as people read it: name and value of every item that is filled, in the order of the layout.

use super::EXPORTED;
use crate::layout::{self, Item, ItemKind};
use crate::municipal::Change;
use kiban_domain::dates::{parse_yyyymmdd, wareki};
use kiban_domain::{InsuredNumber, InsurerNumber, Kind, PersonKey};

/// Items before the content of a row: 保険者番号, 被保険者番号, 履歴番号, 異動区分.
const FRAME: usize = 4;

/// One filled item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledItem {
    /// Key of the item in its layout, such as `q1_7`.
    pub key: &'static str,
    /// 項目名
    pub name: &'static str,
    /// Its value: codes by their names, days in 和暦.
    pub value: String,
}

/// The filled items of a stored content. `None`: not a kind of the municipal package, or not of its shape.
pub fn labelled(kind: Kind, content: &[u8]) -> Option<Vec<LabelledItem>> {
    let exported = EXPORTED.iter().find(|exported| exported.kind == kind)?;
    let layout = layout::municipal().file(exported.file.code())?;
    // The row needs a person; the items of the person are left out again.
    let key =
        PersonKey { insurer: InsurerNumber::parse("999003").ok()?, insured: InsuredNumber::parse("0000000000").ok()? };
    let record = (exported.row)(layout, key, (1, Change::New), content)?;
    let filled = layout.items.iter().zip(record.values()).skip(FRAME).filter(|(_, value)| !value.is_empty());
    let items = filled.map(|(item, value)| LabelledItem { key: item.key, name: item.name, value: words(item, value) });
    Some(items.filter(|item| !item.value.is_empty()).collect())
}

fn words(item: &Item, value: &str) -> String {
    match item.kind {
        ItemKind::Code => item.codes.iter().find(|(code, _)| *code == value).map_or(value, |(_, name)| name).to_owned(),
        ItemKind::Date | ItemKind::PastDate | ItemKind::DateOrZero => {
            parse_yyyymmdd(value).map_or_else(|_| String::new(), wareki)
        }
        ItemKind::Time => {
            value.split_at_checked(2).map_or_else(String::new, |(hour, minute)| format!("{hour}時{minute}分"))
        }
        ItemKind::Flags => ticked(item, value),
        _ => value.to_owned(),
    }
}

/// Names of what is ticked, as the remark of the item lists them.
fn ticked(item: &Item, value: &str) -> String {
    let listed = item.note.split_once(": ").map_or("", |(_, listed)| listed).split('。').next().unwrap_or_default();
    let ticked = listed.split('、').zip(value.chars()).filter(|(_, tick)| *tick == 'o').map(|(name, _)| name);
    ticked.collect::<Vec<_>>().join("、")
}
