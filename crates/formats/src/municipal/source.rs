//! Where the bytes of a package lie: in memory, in a folder, in the platform's sealed spool. Read piece by piece, so that
//! memory does not depend on the size of the package.

use std::io::{self, Read};

/// The files of a package.
pub trait Source {
    /// How many there are.
    fn files(&self) -> usize;

    /// Name of a file, 0-based.
    fn name(&self, file: usize) -> &str;

    /// The bytes of a file from its beginning.
    fn open(&self, file: usize) -> io::Result<impl Read>;

    /// SHA-256 of a file, lower-case hexadecimal; read once more unless it is known.
    fn sha256(&self, file: usize) -> io::Result<String> {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        let mut source = self.open(file)?;
        let mut piece = vec![0; 64 * 1024];
        loop {
            match source.read(&mut piece)? {
                0 => break,
                read => context.update(&piece[..read]),
            }
        }
        Ok(super::hex(context.finish().as_ref()))
    }
}

impl Source for Vec<(String, Vec<u8>)> {
    fn files(&self) -> usize {
        self.len()
    }

    fn name(&self, file: usize) -> &str {
        self.get(file).map_or("", |(name, _)| name)
    }

    fn open(&self, file: usize) -> io::Result<impl Read> {
        self.get(file).map(|(_, bytes)| &bytes[..]).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn sha256(&self, file: usize) -> io::Result<String> {
        Ok(self.get(file).map_or_else(String::new, |(_, bytes)| super::sha256(bytes)))
    }
}
