//! Where a value is opened ahead of its audit entry (decision 0006.1): named here, so that a new place is a decision.

use std::path::Path;

/// File and how often. In each the entry is durable before anything of the value is answered.
const PLACES: [(&str, usize); 7] = [
    ("consent.rs", 1),
    ("disaster.rs", 1),
    ("opinion_work.rs", 2),
    ("people.rs", 2),
    ("request_work.rs", 1),
    ("submission.rs", 1),
    ("switches.rs", 1),
];

#[test]
fn values_are_opened_ahead_of_their_entry_in_the_named_places_only() {
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let count = text.matches(concat!(".und", "er(CoveredBy::")).count();
            if count > 0 {
                found.push((path.strip_prefix(&root).unwrap().display().to_string(), count));
            }
        }
    }
    found.sort();
    let named: Vec<_> = PLACES.map(|(file, count)| (file.to_owned(), count)).to_vec();
    assert_eq!(found, named);
}
