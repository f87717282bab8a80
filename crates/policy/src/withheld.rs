//! 不開示: which items tell where a person is, as data (`tables/whereabouts.tsv`, P-037).

use crate::table::{Row, SharingTable, TableError};
use crate::tsv;

/// How an item is kept from those who must not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// The item alone is masked.
    Mask,
    /// The item cannot be told apart from the rest: the whole kind stays closed.
    Close,
}

/// One item that tells where a person is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhereaboutsItem {
    /// Its kind.
    pub row: Row,
    /// What is done with it.
    pub treatment: Treatment,
    /// Short name, such as `address`, `facility`, `file_bytes`.
    pub item: String,
    /// 名称
    pub name_ja: String,
}

/// Whether the kind as a whole stays closed for a 不開示 person.
pub(crate) fn is_closed(row: Row, table: &SharingTable) -> bool {
    table.whereabouts(row).any(|item| item.treatment == Treatment::Close)
}

pub(crate) fn parse(text: &str) -> Result<Vec<WhereaboutsItem>, TableError> {
    tsv::lines("whereabouts.tsv", text, &["種別", "扱い", "項目", "名称"])?
        .iter()
        .map(|line| {
            Ok(WhereaboutsItem {
                row: line.read(0, |code| Row::parse(code).filter(|row| row.is_stored()))?,
                treatment: line.read(1, |text| match text {
                    "mask" => Some(Treatment::Mask),
                    "close" => Some(Treatment::Close),
                    _ => None,
                })?,
                item: line.text(2)?.to_owned(),
                name_ja: line.text(3)?.to_owned(),
            })
        })
        .collect()
}
