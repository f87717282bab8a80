//! 作成・登録: who may write which kind, and by what means (`tables/writers.tsv`, P-130…143).

use kiban_domain::office::OfficeClass;

use crate::office::parse_class;
use crate::table::{Row, SharingTable, TableError};
use crate::tsv;

/// Somebody who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Writer {
    /// 利用者 or a proxy.
    Person,
    /// 市区町村, about its own insured.
    Municipality,
    /// An office or hospital of this class.
    Office(OfficeClass),
}

impl Writer {
    pub(crate) fn parse(code: &str) -> Option<Self> {
        match code {
            "person" => Some(Self::Person),
            "municipality" => Some(Self::Municipality),
            class => parse_class(class).map(Self::Office),
        }
    }
}

/// By what means a kind is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Means {
    Screen,
    File,
    Both,
}

/// Whether the sender of an import file may write this kind. Whether the rows are about the sender's own people is
/// the intake's question; a start date is not asked, because data is loaded before sharing starts (P-161).
pub fn may_register(sender: Writer, row: Row, table: &SharingTable) -> bool {
    matches!(table.means(row, sender), Some(Means::File | Means::Both))
}

/// Whether this role writes this kind on a screen or by an interactive call. Whether it may do so for this person is
/// for [`crate::decide`] with [`crate::Action::Create`].
pub fn may_write_on_screen(writer: Writer, row: Row, table: &SharingTable) -> bool {
    matches!(table.means(row, writer), Some(Means::Screen | Means::Both))
}

pub(crate) fn parse(text: &str) -> Result<Vec<(Row, Writer, Means)>, TableError> {
    let mut out: Vec<(Row, Writer, Means)> = Vec::new();
    for line in tsv::lines("writers.tsv", text, &["種別", "作成者", "方法", "要件"])? {
        let (row, writer) = (line.read(0, Row::parse)?, line.read(1, Writer::parse)?);
        if out.iter().any(|(r, w, _)| (*r, *w) == (row, writer)) {
            return Err(line.error(1));
        }
        let means = line.read(2, |text| match text {
            "画面" => Some(Means::Screen),
            "ファイル" => Some(Means::File),
            "両方" => Some(Means::Both),
            _ => None,
        })?;
        out.push((row, writer, means));
    }
    Ok(out)
}
