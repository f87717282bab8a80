//! The register of issued and revoked certificates (証明書台帳): one text file, only ever appended to.
//!
//! Every line is on the disk before the certificate it names is handed out. So a crash may leave a line whose
//! certificate nobody received, never the reverse. A last line without its line end is a write that was cut off: its
//! certificate was never handed out; it is ignored, reported, and removed by the next append. A damaged line anywhere
//! else is not repaired: the file is refused.
//!
//! One line per act, fields separated by tabs, times in UTC:
//! `issued <time> <serial> <fingerprint> client <organisation> <terminal> <not after>`
//! `issued <time> <serial> <fingerprint> server <names, comma-separated> - <not after>`
//! `issued <time> <serial> <fingerprint> authority <name> - <not after>`
//! `revoked <time> <serial> <reason>`

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use kiban_domain::Organization;

use crate::{Error, files};

/// One certificate of the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Serial number, 32 lower-case hexadecimal digits.
    pub serial: String,
    /// SHA-256 of the certificate, 64 lower-case hexadecimal digits.
    pub fingerprint: String,
    /// For whom.
    pub purpose: Purpose,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// The last second at which it is valid.
    pub not_after: Timestamp,
    /// Set once it was revoked.
    pub revoked: Option<Revocation>,
}

impl Entry {
    /// Neither revoked nor expired at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && now <= self.not_after
    }
}

/// For whom a certificate was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// A terminal of an organisation (EKU clientAuth).
    Client {
        /// The organisation the certificate is bound to.
        organization: Organization,
        /// Name of the terminal.
        terminal: String,
    },
    /// A server of the platform (EKU serverAuth).
    Server {
        /// Host names and addresses.
        names: Vec<String>,
    },
    /// An authority below this one, which then is a root.
    Authority {
        /// Its name.
        name: String,
    },
}

/// When and why a certificate was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// When the CA was told.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// Why a certificate is revoked (失効理由), as RFC 5280 names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// 端末・鍵の紛失、盗難.
    KeyCompromise,
    /// 新しい証明書への置き換え.
    Superseded,
    /// 事業の廃止・休止.
    CessationOfOperation,
    /// 法人・事業所の変更.
    AffiliationChanged,
    /// 利用資格の取り消し.
    PrivilegeWithdrawn,
    /// その他.
    Unspecified,
}

impl Reason {
    /// All, in the order a screen offers them.
    pub const ALL: [Self; 6] = [
        Self::KeyCompromise,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::AffiliationChanged,
        Self::PrivilegeWithdrawn,
        Self::Unspecified,
    ];

    /// The word in the register and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyCompromise => "key-compromise",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::AffiliationChanged => "affiliation-changed",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
            Self::Unspecified => "unspecified",
        }
    }

    /// Reads the word of [`Self::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// The file.
#[derive(Debug)]
pub struct Register {
    path: PathBuf,
}

/// What the file says: the entries in order of issue, and the text of a cut-off last line.
pub struct Contents {
    pub entries: Vec<Entry>,
    pub torn_line: Option<String>,
}

impl Register {
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads everything. Other processes may append at any time, so nothing is kept in memory.
    pub fn read(&self) -> Result<Contents, Error> {
        let mut file = File::open(&self.path).map_err(files::at(&self.path))?;
        file.lock_shared().map_err(files::at(&self.path))?;
        read_all(&mut file, &self.path)
    }

    /// Records that a certificate was made; returns when the line is on the disk.
    pub fn append_issued(&self, entry: &Entry) -> Result<(), Error> {
        append(&mut self.locked()?, &issued_line(entry)).map_err(files::at(&self.path))
    }

    /// Records a revocation; returns when the line is on the disk. A second revocation changes nothing: the first
    /// one stands.
    pub fn append_revoked(&self, serial: &str, revocation: Revocation) -> Result<(), Error> {
        let mut file = self.locked()?;
        let entries = read_all(&mut file, &self.path)?.entries;
        let entry = entries.iter().find(|e| e.serial == serial).ok_or_else(|| Error::UnknownSerial(serial.into()))?;
        if entry.revoked.is_some() {
            // It may have been written by a process that died before its sync.
            return file.sync_all().map_err(files::at(&self.path));
        }
        append(&mut file, &revoked_line(serial, revocation)).map_err(files::at(&self.path))
    }

    fn locked(&self) -> Result<File, Error> {
        let file = OpenOptions::new().read(true).write(true).open(&self.path).map_err(files::at(&self.path))?;
        file.lock().map_err(files::at(&self.path))?;
        Ok(file)
    }
}

/// Removes a cut-off last line, appends `line`, waits for the disk. The caller holds the lock.
fn append(file: &mut File, line: &str) -> std::io::Result<()> {
    let end = end_of_last_line(file)?;
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

/// Position just after the last line end; the file's length unless its last line was cut off.
fn end_of_last_line(file: &mut File) -> std::io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut byte = [0u8];
    while end > 0 {
        file.seek(SeekFrom::Start(end - 1))?;
        file.read_exact(&mut byte)?;
        if byte == *b"\n" {
            break;
        }
        end -= 1;
    }
    Ok(end)
}

fn read_all(file: &mut File, path: &Path) -> Result<Contents, Error> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes)).map_err(files::at(path))?;
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let torn_line = (whole < bytes.len()).then(|| String::from_utf8_lossy(&bytes[whole..]).into_owned());
    Ok(Contents { entries: entries(&bytes[..whole])?, torn_line })
}

fn entries(bytes: &[u8]) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    let mut position = std::collections::HashMap::new();
    for (i, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let damaged = || Error::RegisterDamaged { line: i + 1 };
        let text = std::str::from_utf8(line).map_err(|_| damaged())?.trim_end_matches('\n');
        match parse_line(text).ok_or_else(damaged)? {
            Line::Issued(entry) => {
                if position.insert(entry.serial.clone(), entries.len()).is_some() {
                    return Err(damaged());
                }
                entries.push(entry);
            }
            Line::Revoked(serial, revocation) => {
                let index = *position.get(&serial).ok_or_else(damaged)?;
                let entry: &mut Entry = &mut entries[index];
                entry.revoked.get_or_insert(revocation);
            }
        }
    }
    Ok(entries)
}

enum Line {
    Issued(Entry),
    Revoked(String, Revocation),
}

fn parse_line(text: &str) -> Option<Line> {
    match text.split('\t').collect::<Vec<_>>()[..] {
        ["issued", at, serial, fingerprint, usage, who, terminal, not_after] => Some(Line::Issued(Entry {
            serial: serial.to_owned(),
            fingerprint: fingerprint.to_owned(),
            purpose: parse_purpose(usage, who, terminal)?,
            issued_at: at.parse().ok()?,
            not_after: not_after.parse().ok()?,
            revoked: None,
        })),
        ["revoked", at, serial, reason] => {
            let revocation = Revocation { at: at.parse().ok()?, reason: Reason::parse(reason)? };
            Some(Line::Revoked(serial.to_owned(), revocation))
        }
        _ => None,
    }
}

fn parse_purpose(usage: &str, who: &str, terminal: &str) -> Option<Purpose> {
    match usage {
        "client" => {
            let organization = Organization::parse(who).ok()?;
            Some(Purpose::Client { organization, terminal: terminal.to_owned() })
        }
        "server" => Some(Purpose::Server { names: who.split(',').map(str::to_owned).collect() }),
        "authority" => Some(Purpose::Authority { name: who.to_owned() }),
        _ => None,
    }
}

fn issued_line(entry: &Entry) -> String {
    let (usage, who, terminal) = match &entry.purpose {
        Purpose::Client { organization, terminal } => ("client", organization.to_string(), terminal.as_str()),
        Purpose::Server { names } => ("server", names.join(","), "-"),
        Purpose::Authority { name } => ("authority", name.clone(), "-"),
    };
    let Entry { serial, fingerprint, issued_at, not_after, .. } = entry;
    format!("issued\t{issued_at}\t{serial}\t{fingerprint}\t{usage}\t{who}\t{terminal}\t{not_after}\n")
}

fn revoked_line(serial: &str, revocation: Revocation) -> String {
    format!("revoked\t{}\t{serial}\t{}\n", revocation.at, revocation.reason.as_str())
}
