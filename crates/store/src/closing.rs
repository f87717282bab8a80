//! The closing journal: every act that closes a door is also kept, sealed, in a file beside the anchors, before it is
//! acknowledged (decision 0006.33, T-11). A database put back from a copy forgets what was closed after it; the journal does
//! not, and `restore accept` closes those doors again before anybody is let in.
//!
//! A line is written after the entry has its number and before COMMIT, so a write that was cut off may stand here although it
//! was never done: closing that door too is the safe side, and it is told. Lines are chained, and sealed under a key derived
//! from the door key, which is in every copy and is never changed.

use crate::audit::Position;
use crate::seal::{Aes, file_error, hex, sha256, unhex};
use crate::{Keyring, StoreError};
use kiban_domain::assignment::EndReason;
use kiban_domain::consent::{ConsentAct, ConsentRecord};
use kiban_domain::{OfficeNumber, PersonKey, Timestamp};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Name of the file in the folder of the anchors.
pub const CLOSINGS: &str = "closings.jsonl";

/// A door that was closed, with what is needed to close it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "door", rename_all = "snake_case")]
pub enum Closing {
    /// A consent was withdrawn, or refused for a kind.
    Consent {
        /// Id of the act.
        act_id: String,
        /// When the platform recorded it.
        recorded_at: Timestamp,
        /// The act.
        record: Box<ConsentRecord>,
    },
    /// The registration of an office ended, or ends earlier.
    Assignment {
        /// About whom.
        person: PersonKey,
        /// Whose registration.
        office: OfficeNumber,
        /// Last day of viewing, yyyymmdd.
        viewable_until: i32,
        /// When and why it ended.
        ended: Option<(Timestamp, EndReason)>,
    },
    /// A hospital is no longer asked for an opinion.
    Opinion {
        /// About whom.
        person: PersonKey,
        /// Natural key of the request's record.
        natural_key: String,
    },
    /// 不開示 was set.
    Withheld {
        /// About whom.
        person: PersonKey,
    },
    /// Somebody no longer acts for a person.
    Proxy {
        /// For whom.
        person: PersonKey,
        /// Id of the registration.
        grant: String,
        /// Why, as it was recorded.
        why: String,
        /// When.
        at: Timestamp,
    },
    /// The person wants no family to look, or the municipality lets proxies see nothing until it has decided (T-2).
    ProxyRefusal {
        /// About whom.
        person: PersonKey,
        /// Id of the refusal or the block.
        grant: String,
        /// Which of the two, by code.
        role: String,
        /// What a block says.
        about: String,
        /// By whom.
        made_by: String,
        /// When.
        made_at: Timestamp,
    },
    /// An office no longer lets one of its staff see a person.
    Switch {
        /// The office.
        organization: String,
        /// The account.
        staff: String,
        /// The person.
        person: PersonKey,
        /// The kinds that are hidden; none: everything.
        kinds: Option<String>,
        /// Since when and by whom.
        changed: Option<(Timestamp, String)>,
    },
    /// A certificate was revoked.
    Certificate {
        /// SHA-256, hexadecimal.
        fingerprint: String,
        /// Whose it was.
        organization: String,
        /// Terminal it is named after.
        terminal: String,
        /// Serial number.
        serial: String,
        /// End of validity.
        not_after: Timestamp,
        /// When it was revoked.
        at: Timestamp,
        /// Why.
        reason: Option<String>,
    },
    /// An account was stopped or closed, or its password or job is another.
    Account {
        /// The account.
        staff: String,
        /// Whether it may still log in.
        active: bool,
        /// When its person left.
        closed_at: Option<Timestamp>,
        /// Whether it still administers.
        administrator: bool,
        /// Job, by code.
        job: String,
        /// argon2id of the password it has since.
        password_hash: String,
        /// End of an initial password.
        initial_until: Option<Timestamp>,
    },
    /// An office no longer takes part.
    Office {
        /// Its number.
        number: OfficeNumber,
    },
    /// An unattended program may no longer export.
    Export {
        /// SHA-256 of its certificate.
        fingerprint: String,
    },
    /// 災害時モード was closed.
    Disaster {
        /// Id of the mode.
        mode: String,
        /// When.
        at: Timestamp,
    },
}

impl Closing {
    /// Whether an act of consent closes something.
    pub(crate) fn is_closed_by(act: ConsentAct) -> bool {
        match act {
            ConsentAct::Withdrawn | ConsentAct::KindRefused(_) | ConsentAct::NotObtainable => true,
            ConsentAct::Given | ConsentAct::KindAllowed(_) => false,
        }
    }

    /// The person it is about.
    pub fn person(&self) -> Option<PersonKey> {
        match self {
            Self::Consent { record, .. } => Some(record.person),
            Self::Assignment { person, .. }
            | Self::Opinion { person, .. }
            | Self::Withheld { person }
            | Self::Proxy { person, .. }
            | Self::ProxyRefusal { person, .. }
            | Self::Switch { person, .. } => Some(*person),
            _ => None,
        }
    }

    /// What was closed, for an operator.
    pub fn name_ja(&self) -> &'static str {
        match self {
            Self::Consent { .. } => "同意の撤回・種別の拒否",
            Self::Assignment { .. } => "担当の終了",
            Self::Opinion { .. } => "意見書作成依頼の終わり",
            Self::Withheld { .. } => "不開示",
            Self::Proxy { .. } => "代理の終了",
            Self::ProxyRefusal { .. } => "代理の閲覧の停止・家族のお断り",
            Self::Switch { .. } => "職員ごとの閲覧の停止",
            Self::Certificate { .. } => "電子証明書の失効",
            Self::Account { .. } => "アカウントの停止・変更",
            Self::Office { .. } => "事業所の利用の停止",
            Self::Export { .. } => "書出しの許可の取消し",
            Self::Disaster { .. } => "災害時モードの終了",
        }
    }
}

/// What one commit closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The entry of the commit; whether it is in a database says whether the doors are closed there.
    pub(crate) entry: Position,
    /// The doors. None: a database that holds `entry` has had everything before this line closed again.
    pub(crate) closings: Vec<Closing>,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    number: i64,
    /// Microseconds UTC.
    at: i64,
    /// SHA-256 of the line before; empty for the first.
    previous: String,
    sealed: String,
}

/// The journal of one folder.
pub(crate) struct Journal {
    path: PathBuf,
    key: Aes,
}

impl Journal {
    pub(crate) fn new(folder: &Path, keys: &Keyring) -> Result<Self, StoreError> {
        Self::of_file(folder.join(CLOSINGS), keys)
    }

    pub(crate) fn of_file(path: PathBuf, keys: &Keyring) -> Result<Self, StoreError> {
        Ok(Self { path, key: Aes::new(&keys.door().sign("closing journal", &[]))? })
    }

    /// Appends and syncs; a line cut by a kill was never acknowledged and is cut off.
    pub(crate) fn append(&self, at: i64, kept: &Kept) -> Result<(), StoreError> {
        let failed = |error: std::io::Error| file_error(&self.path, &error);
        let is_new = !self.path.exists();
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&self.path).map_err(failed)?;
        file.lock().map_err(failed)?;
        let last = last_line(&mut file).map_err(failed)?;
        let (number, previous) = match &last {
            Some(last) => (self.parse(last)?.number + 1, hex(&sha256(&[last]))),
            None => (1, String::new()),
        };
        let plain = serde_json::to_vec(kept).map_err(|error| StoreError::Internal(error.to_string()))?;
        let sealed = hex(&self.key.seal(1, &aad(number, at, &previous), &plain));
        let mut text = serde_json::to_vec(&Line { number, at, previous, sealed })
            .map_err(|error| StoreError::Internal(error.to_string()))?;
        text.push(b'\n');
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
        if is_new {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        Ok(())
    }

    /// Every whole line in order, with its time. A line that was altered, taken out or put in is an error with its number.
    pub(crate) fn all(&self) -> Result<Vec<(i64, Kept)>, StoreError> {
        let bytes = match std::fs::read(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|error| file_error(&self.path, &error))?,
        };
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &bytes[..end]);
        let (mut all, mut previous, mut number) = (Vec::new(), String::new(), 0);
        for text in whole.split(|byte| *byte == b'\n').filter(|text| !text.is_empty()) {
            number += 1;
            let broken =
                || StoreError::File(format!("{}: line {number} is not as it was written", self.path.display()));
            let line: Line = serde_json::from_slice(text).map_err(|_| broken())?;
            if line.number != number || line.previous != previous {
                return Err(broken());
            }
            let sealed = unhex(&line.sealed).ok_or_else(broken)?;
            let plain = self.key.open(&aad(number, line.at, &previous), &sealed).ok_or_else(broken)?;
            all.push((line.at, serde_json::from_slice(&plain).map_err(|_| broken())?));
            previous = hex(&sha256(&[text]));
        }
        Ok(all)
    }

    fn parse(&self, line: &[u8]) -> Result<Line, StoreError> {
        let broken = |_| StoreError::File(format!("{} ends with a line that is no closing", self.path.display()));
        serde_json::from_slice(line).map_err(broken)
    }
}

fn aad(number: i64, at: i64, previous: &str) -> Vec<u8> {
    let mut aad = b"kiban closing 1\n".to_vec();
    aad.extend(number.to_be_bytes());
    aad.extend(at.to_be_bytes());
    aad.extend(previous.as_bytes());
    aad
}

/// The last whole line without its end; what follows it is cut off.
fn last_line(file: &mut File) -> std::io::Result<Option<Vec<u8>>> {
    let length = file.metadata()?.len();
    let mut tail_length = 64 * 1024;
    loop {
        let start = length.saturating_sub(tail_length);
        file.seek(SeekFrom::Start(start))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else {
            if start == 0 {
                file.set_len(0)?;
                return Ok(None);
            }
            tail_length *= 4;
            continue;
        };
        let begin = tail[..end].iter().rposition(|byte| *byte == b'\n').map(|end| end + 1);
        let Some(begin) = begin.or((start == 0).then_some(0)) else {
            tail_length *= 4;
            continue;
        };
        if end + 1 < tail.len() {
            file.set_len(start + end as u64 + 1)?;
        }
        return Ok(Some(tail[begin..end].to_vec()));
    }
}

/// Keeps what a commit closes, from async code.
pub(crate) async fn keep(folder: PathBuf, keys: Keyring, kept: Kept) -> Result<(), StoreError> {
    let at = keys.now().as_microsecond();
    let kept = tokio::task::spawn_blocking(move || Journal::new(&folder, &keys)?.append(at, &kept)).await;
    kept.map_err(|_| StoreError::Internal("closing journal task".to_owned()))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyLimits, MasterKey, engine::Engine, migrations};
    use std::sync::Arc;

    async fn keys(folder: &Path) -> (Engine, Keyring) {
        let engine = Engine::open(&format!("sqlite:{}", folder.join("kiban.db").display())).await.unwrap();
        migrations::migrate(&engine, None).await.unwrap();
        let master = MasterKey::load_or_create(&folder.join("master.key")).unwrap();
        let keys = Keyring::open(&engine, master, Arc::new(Timestamp::now), KeyLimits::default()).await.unwrap();
        (engine, keys)
    }

    fn kept(n: i32) -> Kept {
        let closings = vec![Closing::Disaster { mode: format!("見本水害{n}"), at: Timestamp::UNIX_EPOCH }];
        Kept { entry: Position { writer: 7, segment: 0, n }, closings }
    }

    #[tokio::test]
    async fn what_was_closed_is_read_back_and_its_words_are_in_no_byte_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (engine, keys) = keys(folder.path()).await;
        let journal = Journal::new(folder.path(), &keys).unwrap();
        assert!(journal.all().unwrap().is_empty());
        for n in 0..3 {
            journal.append(i64::from(n), &kept(n)).unwrap();
        }
        let path = folder.path().join(CLOSINGS);
        // A line that a kill cut off was never acknowledged; the next one takes its place.
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend(b"{\"number\":4,");
        std::fs::write(&path, torn).unwrap();
        assert_eq!(journal.all().unwrap().len(), 3);
        journal.append(3, &kept(3)).unwrap();
        let all: Vec<Kept> = journal.all().unwrap().into_iter().map(|(_, kept)| kept).collect();
        assert_eq!(all, (0..4).map(kept).collect::<Vec<_>>());
        assert!(!String::from_utf8(std::fs::read(&path).unwrap()).unwrap().contains("見本水害"));
        engine.close().await;
    }

    #[tokio::test]
    async fn a_line_that_is_changed_taken_out_or_moved_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (engine, keys) = keys(folder.path()).await;
        let journal = Journal::new(folder.path(), &keys).unwrap();
        for n in 0..3 {
            journal.append(i64::from(n), &kept(n)).unwrap();
        }
        let path = folder.path().join(CLOSINGS);
        let whole = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = whole.lines().collect();
        let altered = |lines: &[&str], named: &str| {
            std::fs::write(&path, lines.join("\n") + "\n").unwrap();
            let Err(StoreError::File(why)) = journal.all() else { panic!("{lines:?} was taken") };
            assert!(why.contains(named), "{why}");
        };
        altered(&[lines[0], lines[2]], "line 2");
        altered(&[lines[1], lines[0], lines[2]], "line 1");
        altered(&[lines[0], &lines[1].replace("\"at\":1", "\"at\":2"), lines[2]], "line 2");
        engine.close().await;
    }
}
