//! No word of an invented person in any file of the platform.

use kiban_sim::{Needle, canaries};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Begins the policy of every care plan that is uploaded; the number of the upload follows.
pub const PLAN: &str = "カナリア計画";

/// Every word of every person up to number `people`, and what begins the word of every uploaded plan.
pub fn needle(people: u32) -> Needle {
    let words = (1..=people).flat_map(canaries);
    Needle::new(&words.chain([PLAN.to_owned()]).collect::<Vec<_>>())
}

/// Searches a file, or every file below a folder. Returns files and bytes searched.
pub fn require_none(needle: &Needle, path: &Path) -> (u64, u64) {
    let mut searched = (0, 0);
    for file in files_below(path) {
        // A running database removes files between listing and opening.
        let Ok(open) = File::open(&file) else { continue };
        searched.0 += 1;
        searched.1 += open.metadata().map_or(0, |meta| meta.len());
        if let Some(hit) = needle.find_in(open).unwrap() {
            panic!("{} holds {} as {} at byte {}", file.display(), hit.canary, hit.form, hit.at);
        }
    }
    searched
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    let entries = entries.filter_map(Result::ok);
    entries
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir() || t.is_file()))
        .flat_map(|e| files_below(&e.path()))
        .collect()
}
