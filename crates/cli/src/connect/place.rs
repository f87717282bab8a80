//! The folder in which the connector works. What is moved between its parts is moved by rename, so each thing is whole and
//! in one place at any moment.

use anyhow::{Context as _, Result, anyhow};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The parts of the folder.
#[derive(Debug, Clone)]
pub struct Place {
    root: PathBuf,
}

/// Parts that others write into or read from, then the connector's own.
pub const PARTS: [&str; 10] = [
    "out",
    "results",
    "inbox",
    "decisions",
    "sent",
    "failed",
    "state/sending",
    "state/deciding",
    "state/staging",
    super::renewal::PART,
];

impl Place {
    /// The folder with all its parts, made where they are missing (for the owner and the group only).
    pub fn create(root: &Path) -> Result<Self> {
        for part in PARTS {
            make_folder(&root.join(part))?;
        }
        Ok(Self { root: root.to_owned() })
    }

    /// A part, such as `out`.
    pub fn part(&self, part: &str) -> PathBuf {
        self.root.join(part)
    }

    /// Keeps a second connector out for as long as the file is held.
    pub fn lock(&self) -> Result<File> {
        let path = self.root.join("state/lock");
        let file = File::create(&path).with_context(|| format!("{} を作れません", path.display()))?;
        file.try_lock().map_err(|_| {
            anyhow!("別の接続プログラムがこのフォルダーを使っています。1つだけ動かしてください（{}）", path.display())
        })?;
        Ok(file)
    }
}

/// Makes a folder and those above it, for the owner and the group only.
pub fn make_folder(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o770).create(path);
    made.with_context(|| format!("フォルダー {} を作れません", path.display()))
}

/// What somebody has finished putting into a folder: names that begin with a dot or end in `.tmp` or `.part` are still being
/// written. In the order of their names.
pub fn finished(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("フォルダー {} を読めません", folder.display()))?
    {
        let entry = entry?;
        // A name that is no text cannot be told in a result; it is left where it is.
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !(name.starts_with('.') || name.ends_with(".tmp") || name.ends_with(".part")) {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// Writes a file for the owner and the group, whole or not at all; it is on the disk when this returns.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let cannot = || format!("{} に書けません", path.display());
    let name = path.file_name().with_context(cannot)?.to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.tmp"));
    let mut open = OpenOptions::new();
    let mut file = open.write(true).create(true).truncate(true).mode(0o660).open(&draft).with_context(cannot)?;
    file.write_all(content).with_context(cannot)?;
    file.sync_all().with_context(cannot)?;
    move_whole(&draft, path)
}

/// Renames; both folders are on the disk when this returns.
pub fn move_whole(from: &Path, to: &Path) -> Result<()> {
    let cannot = || format!("{} を {} に移せません", from.display(), to.display());
    std::fs::rename(from, to).with_context(cannot)?;
    for path in [to, from] {
        sync_folder(path.parent().unwrap_or(Path::new("."))).with_context(cannot)?;
    }
    Ok(())
}

/// What was made or removed in a folder is on the disk.
pub fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes a file or a folder with everything in it.
pub fn remove(path: &Path) -> Result<()> {
    let cannot = || format!("{} を消せません", path.display());
    if path.is_dir() {
        std::fs::remove_dir_all(path).with_context(cannot)
    } else {
        std::fs::remove_file(path).with_context(cannot)
    }
}
