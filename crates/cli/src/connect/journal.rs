//! The journal of the connector: one line per step, on the disk before the next step is taken. A last line without its end
//! is a write that was cut off; it never happened.
//!
//! `時刻(UTC) TAB 段階 TAB 名前 TAB 補足`. No line holds anything about a person: names are those of folders and receipts.
//!
//! When it has grown beyond a bound it is written anew with the last steps that are still needed. The old file stands until
//! the new one is whole on the disk, so that a kill leaves one or the other.

use super::place::sync_folder;
use anyhow::{Context as _, Result, bail};
use kiban_domain::Timestamp;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

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
    path: PathBuf,
    file: File,
    /// Length of the lines that are whole on the disk; the next one begins there.
    bytes: u64,
    last: HashMap<String, Last>,
    /// The folder may not know the file that is written to: nothing more is written.
    is_unsure: bool,
    /// Behind the whole lines may stand a piece of one that could not be written.
    is_torn: bool,
}

/// The last step of one thing.
struct Last {
    step: Step,
    note: String,
    /// None when the time of the line cannot be read.
    at: Option<Timestamp>,
}

impl Journal {
    /// Opens it, cutting off a torn last line.
    pub fn open(path: &Path) -> Result<Self> {
        let cannot = || format!("記録 {} を開けません", path.display());
        let mut file = open_file(path, false).with_context(cannot)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).with_context(cannot)?;
        let sound = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        file.set_len(sound as u64).with_context(cannot)?;
        text.truncate(sound);
        let mut last = HashMap::new();
        for line in String::from_utf8_lossy(&text).lines() {
            let mut parts = line.split('\t');
            let at = parts.next().and_then(|at| at.parse().ok());
            let step = parts.next().and_then(|word| Step::ALL.into_iter().find(|step| step.word() == word));
            if let (Some(step), Some(name)) = (step, parts.next()) {
                let note = parts.next().unwrap_or_default().to_owned();
                last.insert(name.to_owned(), Last { step, note, at });
            }
        }
        Ok(Self { path: path.to_owned(), file, bytes: sound as u64, last, is_unsure: false, is_torn: false })
    }

    /// The last step of something, with its note.
    pub fn last(&self, name: &str) -> Option<(Step, &str)> {
        self.last.get(name).map(|last| (last.step, last.note.as_str()))
    }

    /// Receipts that were complete and about to be moved into the inbox when the connector ended.
    pub fn delivering(&self) -> Vec<String> {
        let open = self.last.iter().filter(|(_, last)| last.step == Step::Delivering);
        open.filter_map(|(name, _)| name.strip_prefix("inbox/").map(str::to_owned)).collect()
    }

    /// Names of everything whose last step is this one, with its note.
    pub fn standing_at(&self, step: Step, prefix: &str) -> Vec<(String, String)> {
        let found = self.last.iter().filter(|(name, last)| last.step == step && name.starts_with(prefix));
        found.map(|(name, last)| (name[prefix.len()..].to_owned(), last.note.clone())).collect()
    }

    /// Writes a step; it is on the disk when this returns.
    pub fn write(&mut self, at: Timestamp, step: Step, name: &str, note: &str) -> Result<()> {
        if self.is_unsure {
            bail!("記録を保存できません。ディスクを確かめ、接続プログラムを起動し直してください");
        }
        let plain = |text: &str| text.replace(['\t', '\n', '\r'], " ");
        let (name, last) = (plain(name), Last { step, note: plain(note), at: Some(at) });
        let line = line(&name, &last);
        if self.is_torn {
            self.file.set_len(self.bytes).context("記録の書きかけの行を消せません")?;
        }
        self.is_torn = true;
        self.file.write_all_at(line.as_bytes(), self.bytes).context("記録に書けません")?;
        self.file.sync_data().context("記録を保存できません")?;
        self.is_torn = false;
        self.bytes += line.len() as u64;
        self.last.insert(name, last);
        Ok(())
    }

    /// Writes it anew when it is larger than `bound` bytes and at least half of it can go: what is `needed` stays, and
    /// every step taken since `since`.
    pub fn compact(&mut self, bound: u64, since: Timestamp, mut needed: impl FnMut(&str, Step) -> bool) -> Result<()> {
        if self.bytes <= bound || self.is_unsure {
            return Ok(());
        }
        let mut kept: Vec<(&String, &Last)> = self.last.iter().collect();
        kept.retain(|(name, last)| last.at.is_none_or(|at| at >= since) || needed(name, last.step));
        kept.sort_by_key(|(name, last)| (last.at, *name));
        let text: String = kept.iter().map(|(name, last)| line(name, last)).collect();
        if text.len() as u64 > self.bytes / 2 {
            return Ok(());
        }
        let kept: Vec<String> = kept.into_iter().map(|(name, _)| name.clone()).collect();
        let cannot = || format!("記録 {} をまとめられません", self.path.display());
        let draft = self.path.with_file_name(".journal.tmp");
        let mut file = open_file(&draft, true).with_context(cannot)?;
        file.write_all(text.as_bytes()).with_context(cannot)?;
        file.sync_all().with_context(cannot)?;
        std::fs::rename(&draft, &self.path).with_context(cannot)?;
        self.file = file;
        self.is_torn = false;
        self.bytes = text.len() as u64;
        let kept: std::collections::HashSet<String> = kept.into_iter().collect();
        self.last.retain(|name, _| kept.contains(name));
        // Until the folder is on the disk, a power cut may bring the old file back without what is written from here on.
        self.is_unsure = true;
        sync_folder(self.path.parent().unwrap_or(Path::new(".")))
            .with_context(|| format!("記録 {} のフォルダーを保存できません", self.path.display()))?;
        self.is_unsure = false;
        Ok(())
    }
}

fn open_file(path: &Path, empty: bool) -> std::io::Result<File> {
    OpenOptions::new().create(true).truncate(empty).read(true).write(true).mode(0o660).open(path)
}

fn line(name: &str, last: &Last) -> String {
    let at = last.at.map(|at| format!("{at:.3}")).unwrap_or_default();
    format!("{at}\t{}\t{name}\t{}\n", last.step.word(), last.note)
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

    #[test]
    fn a_step_that_could_not_be_written_whole_leaves_the_next_one_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        let write = |journal: &mut Journal, step, name: &str| journal.write(Timestamp::UNIX_EPOCH, step, name, "");
        write(&mut journal, Step::Taken, "out/差分1").unwrap();
        for piece in ["1970-01-01T00:00:00.000Z\tclo", "1970-01-01T00:00:00.000Z\tclosed\tout/差分1\t\n"] {
            // The disk is full: a piece of the line is there, or all of it, and the step did not happen.
            let sound = std::mem::replace(&mut journal.file, File::open(&path).unwrap());
            assert!(write(&mut journal, Step::Closed, "out/差分1").is_err());
            OpenOptions::new().append(true).open(&path).unwrap().write_all(piece.as_bytes()).unwrap();
            assert_eq!(journal.last("out/差分1"), Some((Step::Taken, "")));
            // There is room again, and the program goes on.
            journal.file = sound;
            write(&mut journal, Step::Taken, "x").unwrap();
            let known = Journal::open(&path).unwrap();
            assert_eq!((known.last("out/差分1"), known.last("x")), (Some((Step::Taken, "")), Some((Step::Taken, ""))));
        }
    }

    #[test]
    fn a_journal_written_anew_keeps_what_is_needed_and_what_is_recent_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        for n in 0..200 {
            for step in [Step::Taken, Step::Received, Step::Answered, Step::Closed] {
                journal.write(at(n), step, &format!("out/差分{n}"), "受付").unwrap();
            }
        }
        let size = || std::fs::metadata(&path).unwrap().len();
        let before = size();
        let needed = |name: &str, _: Step| name == "out/差分7";
        journal.compact(before, at(190), needed).unwrap();
        assert_eq!(size(), before, "it is not too large yet");
        journal.compact(before - 1, at(190), needed).unwrap();
        assert!(size() < before / 20, "{} of {before}", size());
        journal.write(at(300), Step::Taken, "out/次", "").unwrap();
        drop(journal);
        let journal = Journal::open(&path).unwrap();
        let known = |name: &str| journal.last(name).map(|(step, _)| step);
        assert_eq!(known("out/差分7"), Some(Step::Closed));
        assert_eq!(known("out/差分8"), None);
        assert_eq!(known("out/差分195"), Some(Step::Closed));
        assert_eq!(known("out/次"), Some(Step::Taken));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_journal_of_which_everything_is_needed_is_not_written_again_and_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        for n in 0..50 {
            journal.write(Timestamp::UNIX_EPOCH, Step::Received, &format!("opinion/{n}"), "").unwrap();
        }
        let inode = || std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&path).unwrap());
        let before = inode();
        journal.compact(0, Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(1), |_, _| true).unwrap();
        assert_eq!(inode(), before);
    }
}
