//! Files that survive a power cut and are read by nobody else.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::Error;
use zeroize::Zeroizing;

/// Turns an I/O error into one that names the file.
pub fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}

/// Creates a folder that only its owner may enter.
pub fn create_private_dir(dir: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at(dir))
}

/// Writes a new file (never over an old one) and waits until it is on the disk. `mode` as in chmod, e.g. 0o600.
pub fn write_new(path: &Path, content: &str, mode: u32) -> Result<(), Error> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(at(path))?;
    file.write_all(content.as_bytes()).map_err(at(path))?;
    file.sync_all().map_err(at(path))
}

/// Writes a file in place of an old one: whole or not at all, whenever the process is killed.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    let draft = beside(path, ".tmp");
    let mut open = OpenOptions::new();
    let mut file = open.write(true).create(true).truncate(true).mode(mode).open(&draft).map_err(at(&draft))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(at(&draft))?;
    fs::rename(&draft, path).map_err(at(path))?;
    sync_dir(parent(path))
}

/// Makes the names inside a folder durable.
pub fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(at(dir))
}

/// Reads a text file.
pub fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(at(path))
}

/// Reads a private key; refuses one that others could have read.
pub fn read_private(path: &Path) -> Result<Zeroizing<String>, Error> {
    let mut file = File::open(path).map_err(at(path))?;
    let facts = file.metadata().map_err(at(path))?;
    if facts.permissions().mode() & 0o077 != 0 {
        return Err(Error::KeyReadableByOthers(path.to_owned()));
    }
    // Room for all of it at once: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(facts.len() as usize + 1));
    file.read_to_string(&mut text).map_err(at(path))?;
    Ok(text)
}

/// `dir` with an ending, beside it.
pub fn beside(dir: &Path, ending: &str) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    dir.with_file_name(name)
}

/// The folder that holds `path`.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
