//! Where rows about people lie: under their insurer, so that Citus can spread every table by it and a person's rows, and the
//! entries about them, lie together (decision 0006.5, 17, docs/scale.md).

use crate::migrations::STEPS;
use crate::statements;
use sqlx::{Executor as _, Row as _};
use std::collections::BTreeMap;

/// Tables with 被保険者番号 whose key begins with something else, and what is looked for first.
const BEGIN_ELSEWHERE: [(&str, &str); 6] = [
    // A segment of the log is one range of one writer; the key holds the insurer, by which the table is spread.
    ("audit", "writer"),
    // What an office lists and switches off, across insurers.
    ("office_person", "office_number"),
    ("staff_switch", "organization"),
    // What is kept for an organisation: answers to its requests, what it is told.
    ("idempotency", "organization"),
    ("notice", "organization"),
    // The person's own log-in is found by its cookie, before anybody knows who it is.
    ("portal_session", "token"),
];

/// First column of the primary key by table, for tables with 被保険者番号.
type FirstColumns = BTreeMap<String, String>;

fn require_insurer_first(first: &FirstColumns) {
    let listed: BTreeMap<&str, &str> = BEGIN_ELSEWHERE.into_iter().collect();
    for (table, column) in first {
        let wanted = listed.get(table.as_str()).copied().unwrap_or("insurer_number");
        assert_eq!(column, wanted, "first column of the key of {table}");
    }
    for table in listed.keys() {
        assert!(first.contains_key(*table), "{table} is listed and not there");
    }
    assert!(first.len() > 20, "{first:?}");
}

#[tokio::test]
async fn rows_about_a_person_have_keys_that_begin_with_the_insurer() {
    let sql = "SELECT m.name, (SELECT name FROM pragma_table_info(m.name) WHERE pk = 1) FROM sqlite_master m
               WHERE m.type = 'table' AND EXISTS (SELECT 1 FROM pragma_table_info(m.name) WHERE name = 'insured_number')";
    let (_folder, engine, pool) = statements::sqlite().await;
    let rows = pool.fetch_all(sql).await.unwrap();
    require_insurer_first(&rows.iter().map(|row| (row.get(0), row.get(1))).collect());
    engine.close().await;

    let sql = "SELECT c.relname::text, k.attname::text FROM pg_class c
               JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
               JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = i.indkey[0]
               WHERE NOT c.relispartition AND c.relnamespace = current_schema()::regnamespace
                 AND EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'insured_number' AND NOT a.attisdropped)";
    let Some((engine, pool, server, name)) = statements::postgres().await else { return };
    let rows = pool.fetch_all(sql).await.unwrap();
    require_insurer_first(&rows.iter().map(|row| (row.get(0), row.get(1))).collect());
    statements::drop_database(engine, &server, &name).await;
}

#[test]
fn every_table_says_by_what_it_is_spread() {
    let mut tables = 0;
    for (file, text) in STEPS.iter().filter(|(_, text)| !text.starts_with("-- SQLite only")) {
        let made = text.lines().filter_map(|line| line.strip_prefix("CREATE TABLE "));
        // A part of a table lies with it.
        for made in made.filter(|line| !line.contains(" PARTITION OF ")) {
            let name = made.split(' ').next().unwrap();
            let renamed = text.split_once(&format!("ALTER TABLE {name} RENAME TO "));
            let names = [Some(name), renamed.and_then(|(_, after)| after.split(';').next())];
            let says = |name: &str| {
                let said = format!("SELECT kiban_distribute('{name}', '");
                text.lines().any(|line| line.starts_with(&said))
            };
            assert!(names.into_iter().flatten().any(says), "{file}: by what is {name} spread?");
            tables += 1;
        }
    }
    assert!(tables > 50, "{tables}");
}
