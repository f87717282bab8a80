//! The master key: the one secret outside the database that opens everything in it (decision 0006.21).
//!
//! It changes in steps, each of which may be the last before a kill: a successor is written beside the file, one transaction
//! wraps every data key anew and notes the successor's id, the successor takes the file's place. In between both files are
//! there and the id in the database says which of the two counts, so a home opens at every moment.

use crate::StoreError;
use crate::seal::{MacKey, create_secret_file, file_error, hex, key_of, random_key, read_secret_file, unhex};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const MASTER_FILE_LABEL: &str = "kiban-master-key-1";

/// The key that wraps all others: 32 random bytes in a file outside the database, and its successor while it is changed.
pub struct MasterKey {
    current: OneKey,
    next: Option<OneKey>,
    path: PathBuf,
}

/// One master key.
#[derive(Clone)]
pub(crate) struct OneKey(Zeroizing<[u8; 32]>);

impl OneKey {
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Tells master keys apart without telling anything of them; kept in the database.
    pub(crate) fn id(&self) -> String {
        hex(&MacKey::new(&self.0).sign_bytes(b"kiban master key id")[..8])
    }

    fn check_value(&self) -> String {
        hex(&MacKey::new(&self.0).sign_bytes(b"kiban master key check")[..8])
    }

    fn create(&self, path: &Path) -> Result<(), StoreError> {
        let digits = Zeroizing::new(hex(&self.0[..]));
        let text = Zeroizing::new(format!("{MASTER_FILE_LABEL} {} {}\n", *digits, self.check_value()));
        create_secret_file(path, text.as_bytes())
    }

    fn read(path: &Path) -> Result<Self, StoreError> {
        let text = read_secret_file(path)?;
        let broken = || StoreError::File(format!("{} is not a whole master key file", path.display()));
        let mut words = text.split_whitespace();
        let (Some(MASTER_FILE_LABEL), Some(key), Some(check), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(broken());
        };
        let bytes = Zeroizing::new(unhex(key).ok_or_else(broken)?);
        let key = Self(key_of(&bytes).ok_or_else(broken)?);
        if key.check_value() == check { Ok(key) } else { Err(broken()) }
    }
}

impl MasterKey {
    /// Reads the file, or creates it (mode 0600, synced) when there is none.
    pub fn load_or_create(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            OneKey(random_key()?).create(path)?;
        }
        Self::load(path)
    }

    /// Reads the file; refuses one that is cut or altered, or that others than its owner can read.
    pub fn load(path: &Path) -> Result<Self, StoreError> {
        let next = beside(path, ".new");
        // The successor first: were it read second, it could take the file's place in between and be missed.
        let next = if next.exists() { OneKey::read(&next).map(Some) } else { Ok(None) };
        let current = OneKey::read(path)?;
        let next = match next {
            Err(_) if !beside(path, ".new").exists() => None,
            other => other?,
        };
        Ok(Self { current, next, path: path.to_owned() })
    }

    /// Writes a key that was put together from its shares; refuses to replace a file that is there.
    pub fn restore(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let key = OneKey(key_of(bytes).ok_or(StoreError::Unreadable("master key"))?);
        if path.exists() {
            return Err(StoreError::File(format!("{} が既にあります。置き換えません", path.display())));
        }
        key.create(path)
    }

    /// The key itself, to be split into shares and nothing else.
    pub fn secret(&self) -> Zeroizing<[u8; 32]> {
        self.current.0.clone()
    }

    /// Whether a change of the master key was begun and not ended.
    pub fn is_changing(&self) -> bool {
        self.next.is_some()
    }

    /// Makes the successor that a change of the master key needs, unless an earlier change left one.
    pub fn make_successor(path: &Path) -> Result<(), StoreError> {
        let next = beside(path, ".new");
        if next.exists() { Ok(()) } else { OneKey(random_key()?).create(&next) }
    }

    /// Puts the successor in the file's place once the database belongs to it; the old key stays beside under its id, for
    /// backups made before. `id` is that of the key the database belongs to. True when there was something to do.
    pub fn settle(path: &Path, id: &str) -> Result<bool, StoreError> {
        let keys = Self::load(path)?;
        let Some(next) = keys.next.filter(|next| next.id() == id) else { return Ok(false) };
        let (from, kept) = (beside(path, ".new"), beside(path, &format!(".old-{}", keys.current.id())));
        let failed = |error: std::io::Error| file_error(path, &error);
        if next.id() != keys.current.id() {
            match fs::hard_link(path, &kept) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(error)),
                _ => sync_folder(path)?,
            }
        }
        fs::rename(&from, path).map_err(failed)?;
        sync_folder(path)?;
        Ok(true)
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn current(&self) -> &OneKey {
        &self.current
    }

    pub(crate) fn successor(&self) -> Option<&OneKey> {
        self.next.as_ref()
    }

    /// The key of the file and its successor.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &OneKey> {
        [Some(&self.current), self.next.as_ref()].into_iter().flatten()
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| file_error(folder, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_master_key_file_is_private_and_a_cut_or_altered_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/master.key");
        assert!(MasterKey::load(&path).is_err());
        let first = MasterKey::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            first.current.id(),
            MasterKey::load_or_create(&path).unwrap().current.id(),
            "an existing key is kept"
        );
        for mode in [0o640, 0o604, 0o660, 0o700 | 0o010] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = MasterKey::load(&path).unwrap_err().to_string();
            assert!(refused.contains("chmod 600") && refused.contains(&format!("{mode:o}")), "{refused}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        MasterKey::load(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        assert!(matches!(MasterKey::load(&path), Err(StoreError::File(_))));
        let digit = MASTER_FILE_LABEL.len() + 1;
        let other = if &text[digit..=digit] == "0" { "1" } else { "0" };
        fs::write(&path, format!("{}{other}{}", &text[..digit], &text[digit + 1..])).unwrap();
        assert!(matches!(MasterKey::load_or_create(&path), Err(StoreError::File(_))));
    }

    #[test]
    fn a_successor_takes_the_place_of_the_key_only_when_the_database_belongs_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let old = MasterKey::load_or_create(&path).unwrap().current.id();
        assert!(!MasterKey::settle(&path, &old).unwrap(), "nothing to do");
        MasterKey::make_successor(&path).unwrap();
        let new = MasterKey::load(&path).unwrap().next.unwrap().id();
        MasterKey::make_successor(&path).unwrap();
        assert_eq!(MasterKey::load(&path).unwrap().next.unwrap().id(), new, "the one that is there is used");
        assert!(!MasterKey::settle(&path, &old).unwrap());
        assert_eq!(MasterKey::load(&path).unwrap().current.id(), old);
        // A kill between keeping the old key and replacing it.
        fs::hard_link(&path, beside(&path, &format!(".old-{old}"))).unwrap();
        assert!(MasterKey::settle(&path, &new).unwrap());
        let keys = MasterKey::load(&path).unwrap();
        assert!(keys.current.id() == new && keys.next.is_none());
        let kept = beside(&path, &format!(".old-{old}"));
        assert_eq!(MasterKey::load(&kept).unwrap().current.id(), old);
        for file in [&path, &kept] {
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(!MasterKey::settle(&path, &new).unwrap());
    }
}
