//! The journal of the connector: one line per step, on the disk before the next step is taken. A last line without its end
//! is a write that was cut off; it never happened.
//!
//! `時刻(UTC) TAB 段階 TAB 名前 TAB 補足`. No line holds anything about a person: names are those of folders and receipts.

use anyhow::{Context as _, Result};
use kiban_domain::Timestamp;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// A step of one thing on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Taken out of `out/` or `decisions/`.
    Taken,
    /// The platform gave a receipt; its number.
    Received,
    /// The result stands in `results/`.
    Answered,
    /// Nothing more to do.
    Closed,
    /// Complete beside `inbox/`, about to be moved in.
    Delivering,
    /// In `inbox/`, or taken from there.
    Delivered,
    /// Decided by somebody on a screen before it was fetched.
    Passed,
}

impl Step {
    const ALL: [Self; 7] =
        [Self::Taken, Self::Received, Self::Answered, Self::Closed, Self::Delivering, Self::Delivered, Self::Passed];

    fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Received => "received",
            Self::Answered => "answered",
            Self::Closed => "closed",
            Self::Delivering => "delivering",
            Self::Delivered => "delivered",
            Self::Passed => "passed",
        }
    }
}

/// The file, and the last step of everything in it.
pub struct Journal {
    file: File,
    last: HashMap<String, (Step, String)>,
}

impl Journal {
    /// Opens it, cutting off a torn last line.
    pub fn open(path: &Path) -> Result<Self> {
        let cannot = || format!("記録 {} を開けません", path.display());
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o660)
            .open(path)
            .with_context(cannot)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).with_context(cannot)?;
        let sound = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        file.set_len(sound as u64).with_context(cannot)?;
        file.seek(SeekFrom::End(0)).with_context(cannot)?;
        text.truncate(sound);
        let mut last = HashMap::new();
        for line in String::from_utf8_lossy(&text).lines() {
            let mut parts = line.split('\t').skip(1);
            let step = parts.next().and_then(|word| Step::ALL.into_iter().find(|step| step.word() == word));
            if let (Some(step), Some(name)) = (step, parts.next()) {
                last.insert(name.to_owned(), (step, parts.next().unwrap_or_default().to_owned()));
            }
        }
        Ok(Self { file, last })
    }

    /// The last step of something, with its note.
    pub fn last(&self, name: &str) -> Option<(Step, &str)> {
        self.last.get(name).map(|(step, note)| (*step, note.as_str()))
    }

    /// Receipts that were complete and about to be moved into the inbox when the connector ended.
    pub fn delivering(&self) -> Vec<String> {
        let open = self.last.iter().filter(|(_, (step, _))| *step == Step::Delivering);
        open.filter_map(|(name, _)| name.strip_prefix("inbox/").map(str::to_owned)).collect()
    }

    /// Names of everything whose last step is this one, with its note.
    pub fn standing_at(&self, step: Step, prefix: &str) -> Vec<(String, String)> {
        let found = self.last.iter().filter(|(name, (last, _))| *last == step && name.starts_with(prefix));
        found.map(|(name, (_, note))| (name[prefix.len()..].to_owned(), note.clone())).collect()
    }

    /// Writes a step; it is on the disk when this returns.
    pub fn write(&mut self, at: Timestamp, step: Step, name: &str, note: &str) -> Result<()> {
        let plain = |text: &str| text.replace(['\t', '\n', '\r'], " ");
        let line = format!("{at:.3}\t{}\t{}\t{}\n", step.word(), plain(name), plain(note));
        self.file.write_all(line.as_bytes()).context("記録に書けません")?;
        self.file.sync_data().context("記録を保存できません")?;
        self.last.insert(plain(name), (step, plain(note)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_never_happened_and_the_next_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        journal.write(Timestamp::UNIX_EPOCH, Step::Taken, "差分1", "").unwrap();
        journal.write(Timestamp::UNIX_EPOCH, Step::Received, "差分1", "r1").unwrap();
        drop(journal);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"1970\tclosed\tx").unwrap();
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.last("差分1"), Some((Step::Received, "r1")));
        assert_eq!(journal.last("x"), None);
        journal.write(Timestamp::UNIX_EPOCH, Step::Closed, "差分1", "").unwrap();
        drop(journal);
        assert_eq!(Journal::open(&path).unwrap().last("差分1"), Some((Step::Closed, "")));
    }
}
