//! The SQL in the sources of this crate, found by reading them: a statement that is in no list of [`crate::statements`]
//! would be prepared by no test and its plan seen by none (decision 0006.11).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Files whose statements no request waits for: the keeping and proving of the log, its end, the care of keys, the start of
/// a process, migrations, roles and the move. They are prepared like all others, and stand in no list.
const BESIDE_REQUESTS: [&str; 16] = [
    "audit/anchor.rs",
    "audit/log.rs",
    "audit/month.rs",
    "audit/person.rs",
    "audit/purge.rs",
    "audit/segment.rs",
    "audit/verify.rs",
    "backup.rs",
    "clock.rs",
    "engine.rs",
    "key_care.rs",
    "measures.rs",
    "migrations.rs",
    "relocate.rs",
    "restored.rs",
    "roles.rs",
];

/// Names that only one engine knows.
const POSTGRES: [&str; 11] = [
    "FOR SHARE",
    "FOR KEY SHARE",
    "clock_timestamp",
    "SELECT kiban_",
    "pg_",
    "current_setting",
    "to_regclass",
    "has_table_privilege",
    "ANY(",
    "unnest(",
    "current_schema",
];
const SQLITE: [&str; 4] = ["sqlite_master", "unixepoch", "pragma_", "json_each"];

/// The engine a statement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    Both,
    Postgres,
    Sqlite,
}

/// A statement as it stands in a file; one that is put together from parts is not among them.
pub(crate) struct Written {
    pub(crate) file: String,
    pub(crate) sql: String,
}

impl Written {
    pub(crate) fn engine(&self) -> For {
        let names = |words: &[&str]| words.iter().any(|word| self.sql.contains(word));
        match (names(&POSTGRES), names(&SQLITE)) {
            (true, _) => For::Postgres,
            (_, true) => For::Sqlite,
            _ => For::Both,
        }
    }
}

/// Every whole statement of the crate.
pub(crate) fn written() -> Vec<Written> {
    sources()
        .iter()
        .flat_map(|(file, text)| statements_in(text).map(move |sql| Written { file: file.clone(), sql }))
        .collect()
}

/// Files of the crate without their tests.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths: Vec<PathBuf> = Vec::new();
    for folder in [root.clone(), root.join("audit")] {
        paths.extend(std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    }
    paths.sort();
    let tests = ["audit/tests.rs", "durable.rs", "keys_of_tables.rs", "statements.rs", "written.rs"];
    let named = paths.iter().filter(|path| path.extension().is_some_and(|end| end == "rs")).map(|path| {
        let text = std::fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
        (path.strip_prefix(&root).unwrap().display().to_string(), text)
    });
    named.filter(|(file, _)| !tests.contains(&file.as_str())).collect()
}

fn statements_in(text: &str) -> impl Iterator<Item = String> {
    text.match_indices('"').filter_map(|(at, _)| {
        let rest = &text[at + 1..];
        let begins = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "].iter().any(|word| rest.starts_with(word));
        // A part of a statement: in `concat!`, or with a place for a name.
        let since = text[..at].rfind(';').map_or(0, |end| end);
        if !begins || text[since..at].contains("concat!(") {
            return None;
        }
        let sql = unescaped(rest);
        (!sql.contains('{') && sql.contains(' ') && !sql.ends_with(' ') && sql.split(' ').count() > 2).then_some(sql)
    })
}

/// The text up to the end of its literal, as the compiler reads it.
fn unescaped(literal: &str) -> String {
    let (mut text, mut chars) = (String::new(), literal.chars().peekable());
    while let Some(next) = chars.next() {
        match next {
            '"' => break,
            '\\' if chars.peek() == Some(&'\n') => while chars.next_if(|c| c.is_whitespace()).is_some() {},
            '\\' => text.extend(chars.next()),
            other => text.push(other),
        }
    }
    text
}

/// Names of texts that a macro puts together, and everything that stands in a list, of one file.
fn built_and_listed(text: &str) -> (Vec<&str>, BTreeSet<&str>) {
    let (mut built, mut listed) = (Vec::new(), BTreeSet::new());
    for after in text.split("const ").skip(1) {
        let Some((head, value)) = after.split_once('=') else { continue };
        let (name, kind) = head.split_once(':').unwrap_or((head, ""));
        let (kind, value) = (kind.trim(), value.trim_start());
        let macro_call =
            value.split_once('!').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        if kind == "&str" && macro_call {
            built.push(name.trim());
        } else if kind.contains("&str]") || kind.contains("&str;") {
            let list = value.split(';').next().unwrap_or_default();
            listed.extend(list.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')));
        }
    }
    (built, listed)
}

#[test]
fn every_statement_of_a_request_stands_in_a_list() {
    let listed: BTreeSet<&str> = crate::statements::listed().into_iter().collect();
    let written = written();
    assert!(written.len() > 250, "the sources were not read: {}", written.len());
    for Written { file, sql } in &written {
        let beside = BESIDE_REQUESTS.contains(&file.as_str());
        assert!(beside || listed.contains(sql.as_str()), "{file}: in no list: {sql}");
    }
}

#[test]
fn every_statement_that_is_put_together_stands_in_a_list() {
    let mut found = 0;
    for (file, text) in sources() {
        let (built, listed) = built_and_listed(&text);
        for name in built {
            assert!(listed.contains(name), "{file}: {name} is in no list");
            found += 1;
        }
    }
    assert!(found > 8, "{found}");
}
