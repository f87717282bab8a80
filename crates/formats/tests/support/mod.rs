//! Files of `examples/` at the top of the repository, for the tests.
#![allow(dead_code, clippy::unwrap_used, reason = "test support; each test file uses its own part")]

use kiban_formats::text::{Encoding, encode};
use std::fs;
use std::path::{Path, PathBuf};

/// Name and bytes of each.
pub type Files = Vec<(String, Vec<u8>)>;

/// A folder of the examples.
pub fn examples(sub: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(sub)
}

/// The files of a folder by their names, without what is expected to be told of them.
pub fn files_in(folder: &Path) -> Files {
    let mut files: Files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() != "expected.txt")
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// Those of a folder of the examples.
pub fn folder(sub: &str) -> Files {
    files_in(&examples(sub))
}

/// Those of a valid example of care plans.
pub fn care_plan(sub: &str) -> Files {
    files_in(&examples("care-plan/valid").join(sub))
}

/// A text as the care-plan files hold it.
pub fn cp932(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(text, Encoding::Cp932, &mut bytes).unwrap();
    bytes
}
