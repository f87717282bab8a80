use super::*;
use proptest::prelude::*;

fn example(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../../examples/claims/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Month, office and person of each claim.
fn claims(file: &ClaimFile) -> Vec<String> {
    let words = |claim: &ClaimMonth| format!("{} {} {}", claim.month, claim.office, claim.person.insured);
    file.months.keys().map(words).collect()
}

#[test]
fn the_tables_have_every_item_of_the_published_records_and_take_who_when_and_where() {
    let sizes = |name| table::records()[name].items.len();
    assert_eq!(["control", "statement", "planning", "sheet"].map(sizes), [12, 56, 24, 27]);
    for (name, record) in table::records() {
        for (at, item) in record.items.iter().enumerate() {
            assert_eq!(item.number, at + 1, "{name} {}", item.name);
        }
        let has = |usage| record.items.iter().any(|item| item.usage == usage);
        assert!(
            *name == "control" || [Use::Month, Use::Office, Use::Insurer, Use::Insured].into_iter().all(has),
            "{name}"
        );
    }
    let records = ["-", "statement", "planning", "sheet"];
    assert!(table::ids().len() >= 22 && table::ids().values().all(|record| records.contains(record)));
}

#[test]
fn a_statement_a_planning_claim_and_a_sheet_tell_who_was_served_where_and_when() {
    let sound = |name| {
        let (file, problems) = read(name, &example(&format!("valid/{name}")));
        assert_eq!(problems, [], "{name}");
        claims(&file.unwrap())
    };
    assert_eq!(sound("71126110.CSV"), ["202610 9970000029 0000000001", "202610 9970000029 0000000002"]);
    assert_eq!(sound("81226110.CSV"), ["202610 9970000011 0000000001"]);
    // A plan that names a provider is no claim of that provider, and what was cancelled is no claim.
    assert_eq!(sound("82126110.CSV"), ["202610 9970000011 0000000001"]);
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_never_with_an_amount() {
    let (file, problems) = read("71126110.CSV", &example("bad/71126110.CSV"));
    assert_eq!(claims(&file.unwrap()), [] as [&str; 0]);
    let told: Vec<String> = problems.iter().map(Problem::message_ja).collect();
    let all = told.join("\n");
    for part in [
        "2行目 5列「サービス提供年月」",
        "3行目 8列「被保険者番号」",
        "4行目 3列「交換情報識別番号」",
        "5行目 7列「証記載保険者番号」",
        "エンドレコード",
        "件数は9件",
    ] {
        assert!(all.contains(part), "{part} in\n{all}");
    }
    assert!(!all.contains("22078") && !all.contains("2152"), "{all}");
    let (_, problems) = read("53126110.CSV", &example("bad/53126110.CSV"));
    assert_eq!(problems.iter().map(|p| p.rule.as_ref()).collect::<Vec<_>>(), ["data_kind"]);
    assert_eq!(read("a.csv", b"UP1KYO").0, None);
}

#[test]
fn items_may_stand_without_quotes_and_a_later_layout_may_append_some() {
    let bytes = example("valid/71126110.CSV");
    let text = String::from_utf8_lossy(&bytes).replace('"', "");
    assert_eq!(claims(&read("a", text.as_bytes()).0.unwrap()).len(), 2);
    let longer: Vec<String> =
        text.lines().map(|l| if l.starts_with("2,") { format!("{l},9,9") } else { l.to_owned() }).collect();
    let (file, problems) = read("a", longer.join("\r\n").as_bytes());
    assert_eq!((claims(&file.unwrap()).len(), problems), (2, Vec::new()));
}

#[test]
fn a_statement_whose_record_type_cannot_be_read_is_told_and_not_passed_over() {
    let text =
        String::from_utf8_lossy(&example("valid/71126110.CSV")).replacen("\"7131\",\"01", "\"7131\",\"01\u{b}", 1);
    let (_, problems) = read("a.csv", text.as_bytes());
    let told = problems.iter().find(|problem| problem.item == "レコード種別").unwrap();
    assert_eq!((told.line, told.column), (3, 4));
}

#[test]
fn an_individual_number_is_refused_and_not_repeated() {
    let text = String::from_utf8_lossy(&example("valid/81226110.CSV")).replace("99123456", "123456789018");
    let (_, problems) = read("a.csv", text.as_bytes());
    assert!(problems.iter().any(Problem::forbids_keeping), "{problems:?}");
    assert!(problems.iter().all(|problem| !problem.message_ja().contains("123456789018")));
}

/// The parts of a text between signs that stand in no quotes.
fn parts(text: &str, between: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |sign| {
        quoted ^= sign == '"';
        sign == between && !quoted
    })
}

/// The claims of a file by splitting it at lines and commas; a cancelled one is none.
fn plainly(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut found = std::collections::BTreeSet::new();
    for line in parts(&text, '\n') {
        let items: Vec<&str> = parts(line, ',').map(|item| item.trim().trim_matches('"').trim()).collect();
        let item = |at: usize| items.get(at).copied().unwrap_or_default();
        let table::Found::Record(record) = table::record_of(item(2), item(3)) else { continue };
        let of = |usage: Use| record.items.iter().find(|one| one.usage == usage).map_or("", |one| item(one.number + 1));
        if item(0) == "2" && of(Use::Change) != "3" {
            let insurer = of(Use::Insurer).strip_prefix("00").unwrap_or_default();
            found.insert(format!("{} {} {insurer} {}", of(Use::Month), of(Use::Office), of(Use::Insured)));
        }
    }
    found.into_iter().collect()
}

proptest! {
    #[test]
    fn a_changed_file_reads_as_what_stands_there_or_every_fault_is_told_with_its_line(
        name in prop::sample::select(vec!["71126110.CSV", "81226110.CSV", "82126110.CSV"]),
        place in any::<usize>(),
        other in any::<usize>(),
        byte in prop_oneof![any::<u8>(), prop::sample::select(b"\",\r\n0123".to_vec())],
        how in 0u8..6,
    ) {
        let mut bytes = example(&format!("valid/{name}"));
        let at = place % bytes.len();
        let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        let (a, b) = (place % lines.len(), other % lines.len());
        match how {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            4 => {
                lines.remove(a);
                bytes = lines.concat();
            }
            _ => {
                let copy = lines[a].clone();
                lines.insert(b, copy);
                bytes = lines.concat();
            }
        }
        let (file, problems) = read(name, &bytes);
        // The whole file has no line: that it has no end.
        prop_assert!(problems.iter().all(|problem| problem.line > 0 || problem.rule == "end"), "{problems:?}");
        let Some(file) = file else {
            prop_assert!(!problems.is_empty());
            return Ok(());
        };
        if problems.is_empty() {
            let words = |claim: &ClaimMonth| {
                format!("{} {} {} {}", claim.month, claim.office, claim.person.insurer, claim.person.insured)
            };
            let mut read: Vec<String> = file.months.keys().map(words).collect();
            read.sort();
            prop_assert_eq!(read, plainly(&bytes));
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read("a.csv", &bytes);
        let _ = read("a.csv", &[&b"1,1,0,1,711,0,0,0,0,1,202611,0\r\n2,2,7131,01,"[..], &bytes].concat());
    }
}
