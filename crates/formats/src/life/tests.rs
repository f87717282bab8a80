use super::*;
use kiban_domain::life::LifeSheet;
use proptest::prelude::*;

/// The file of the examples folder.
fn example(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../../examples/life/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn sound(name: &str) -> LifeFile {
    let (file, problems) = read(name, &example(name), Stage::Draft);
    assert_eq!(problems, [], "{name}");
    file.unwrap()
}

fn set<'r>(row: &'r LifeRow, id: &str) -> Option<&'r str> {
    match row.changes.get(id)? {
        Change::Set(value) => Some(value),
        Change::Clear => None,
    }
}

/// A file of one row with just the key items and one more.
fn adl(extra: &str, value: &str) -> String {
    format!(
        "FORM_0900_2021\r\ncare_facility_id,service_code,insurer_no,insured_no,external_system_management_number,adl_evaluate,{extra}\r\n9970000023,11,999003,0000000101,A-1,20260501,{value}\r\n"
    )
}

fn rules(text: &[u8], stage: Stage) -> Vec<String> {
    read("a.csv", text, stage).1.iter().map(|problem| problem.rule.to_string()).collect()
}

#[test]
fn the_item_tables_have_every_form_and_item_of_the_published_list() {
    let sizes: Vec<(&str, usize)> = published().map(|form| (form.data_type, form.items.len())).collect();
    assert_eq!(sizes.len(), 22);
    let expected = [21, 89, 9, 16, 129, 178, 156, 161, 52, 76, 151, 221, 40, 172, 141, 50, 30, 120, 15, 9, 19, 86];
    assert_eq!(sizes.iter().map(|(_, items)| *items).collect::<Vec<_>>(), expected);
    for form in table::forms() {
        for (at, item) in form.items.iter().enumerate() {
            assert_eq!(item.no as usize, at + 1, "{} {}", form.data_type, item.id);
        }
        for key in IDENTITY {
            let is_needed = key != "external_system_management_detail_number" || form.detail;
            assert!(!is_needed || form.item(key).is_some(), "{} has no {key}", form.data_type);
        }
        // A condition asks only for items of its own form, and every ● has one.
        for item in &form.items {
            assert!(
                item.need != Need::WhenFinalIf || item.condition.is_some(),
                "{} {}: no condition",
                form.data_type,
                item.id
            );
            for asked in item.condition.iter().flat_map(|condition| condition.items()) {
                assert!(form.item(asked).is_some(), "{} {}: {asked}", form.data_type, item.id);
            }
        }
    }
    let needs = |need| published().flat_map(|form| &form.items).filter(|item| item.need == need).count();
    assert_eq!(
        [needs(Need::Always), needs(Need::WhenFinal), needs(Need::WhenFinalIf), needs(Need::No)],
        [138, 556, 259, 988]
    );
}

fn published() -> impl Iterator<Item = &'static LifeForm> {
    table::forms().iter().filter(|form| form.like.is_none())
}

/// A value that fits an item.
fn fitting(item: &LifeItem) -> String {
    if let Some((code, _)) = item.codes.first() {
        return (*code).to_owned();
    }
    let smallest = item.range.map_or(1.0, |(from, _)| from);
    match item.kind {
        ValueKind::Text => "亜".to_owned(),
        ValueKind::Digits | ValueKind::Number => smallest.to_string(),
        ValueKind::Date | ValueKind::DateOrMonth => "20260501".to_owned(),
        ValueKind::Time => "0930".to_owned(),
        ValueKind::Insurer => "999003".to_owned(),
        ValueKind::Insured => "0000000101".to_owned(),
        ValueKind::Office => "9970000023".to_owned(),
        ValueKind::Service => "11".to_owned(),
    }
}

/// A file of one row in which every item is filled, but for what the test changes.
fn filled_file(form: &LifeForm, change: impl Fn(&LifeItem) -> Option<String>) -> String {
    let ids: Vec<&str> = form.items.iter().map(|item| item.id).collect();
    let row: Vec<String> = form.items.iter().map(|item| change(item).unwrap_or_else(|| fitting(item))).collect();
    format!("{}\r\n{}\r\n{}\r\n", form.data_type, ids.join(","), row.join(","))
}

#[test]
fn each_of_the_published_forms_is_read_whole_in_either_encoding_and_with_any_line_end() {
    assert_eq!(published().count(), 22);
    for form in published() {
        let text = filled_file(form, |_| None);
        let mut cp932 = Vec::new();
        text::encode(&text, Encoding::Cp932, &mut cp932).unwrap();
        let with_mark = [&[0xef, 0xbb, 0xbf], text.as_bytes()].concat();
        let (lf, cr) = (text.replace('\r', ""), text.replace('\n', ""));
        for bytes in [text.as_bytes(), &with_mark, &cp932, lf.as_bytes(), cr.as_bytes()] {
            let (file, problems) = read("a.csv", bytes, Stage::Final);
            assert_eq!(problems, [], "{}", form.data_type);
            let file = file.unwrap();
            assert_eq!((file.form.data_type, file.rows.len()), (form.data_type, 1));
            // Everything but who it is about and what stays with the office, as it was written.
            let kept = form.items.iter().filter(|item| !item.local && !IDENTITY.contains(&item.id));
            let expected: BTreeMap<_, _> = kept.map(|item| (item.id, Change::Set(fitting(item)))).collect();
            assert_eq!(file.rows[0].changes, expected, "{}", form.data_type);
        }
    }
}

/// ● of the published list, all 259: each is asked for by its name when its condition holds and it is blank, and by nothing else.
#[test]
fn every_conditional_item_is_asked_for_when_its_condition_holds_and_only_then() {
    let mut asked = 0;
    for form in published() {
        for item in form.items.iter().filter(|item| item.need == Need::WhenFinalIf) {
            let condition = item.condition.as_ref().unwrap();
            let values = condition.example();
            let text = filled_file(form, |other| match values.iter().find(|(id, _)| *id == other.id) {
                _ if other.id == item.id => Some(String::new()),
                Some((_, Some(code))) => Some((*code).to_owned()),
                _ => None,
            });
            let told = read("a.csv", text.as_bytes(), Stage::Final).1;
            let words: Vec<String> = told.iter().map(Problem::message_ja).collect();
            let name = format!("（{}）。", item.name);
            assert!(words.len() == 1 && words[0].contains(&name), "{} {}: {words:?}", form.data_type, item.id);
            assert_eq!(rules(text.as_bytes(), Stage::Draft), [] as [&str; 0]);
            assert!(!condition.holds(|_| None), "{} {} of a blank row", form.data_type, item.id);
            asked += 1;
        }
    }
    assert_eq!(asked, 259);
    // Of an entry that was not made nothing is asked, of one that was begun its day.
    let form = table::form("FORM_0210_2021").unwrap();
    let is_second = |item: &LifeItem| item.id.contains("_02") && (93..=109).contains(&item.no);
    let without = filled_file(form, |item| is_second(item).then(String::new));
    assert_eq!(rules(without.as_bytes(), Stage::Final), [] as [&str; 0]);
    let begun = filled_file(form, |item| (is_second(item) && item.id != "is_oral_management_02_01").then(String::new));
    let told = read("a.csv", begun.as_bytes(), Stage::Final).1;
    assert!(told.len() == 1 && told[0].message_ja().contains("（記入日）。"), "{told:?}");
}

#[test]
fn rows_of_a_form_with_details_are_told_apart_by_their_detail_number() {
    for form in published().filter(|form| form.detail) {
        let of = |detail: &str| {
            filled_file(form, |item| (item.id == "external_system_management_detail_number").then(|| detail.to_owned()))
        };
        let row = |detail: &str| of(detail).lines().nth(2).unwrap().to_owned() + "\r\n";
        let text = of("1") + &row("2") + &row("1");
        let (file, problems) = read("a.csv", text.as_bytes(), Stage::Final);
        let details: Vec<_> = file.unwrap().rows.into_iter().map(|row| row.key.detail).collect();
        assert_eq!(details, [Some("1".to_owned()), Some("2".to_owned())], "{}", form.data_type);
        let told: Vec<_> = problems.iter().map(|problem| (problem.rule.as_ref(), problem.line)).collect();
        assert_eq!(told, [("duplicate_row", 5)], "{}", form.data_type);
    }
    assert!(published().filter(|form| form.detail).count() >= 3);
}

#[test]
fn scales_carry_points_and_no_wording() {
    let barthel = table::scale("barthel").unwrap();
    assert_eq!(barthel.items.len(), 10);
    let most: u32 = barthel.items.iter().map(|(_, points)| points.values().max().unwrap()).sum();
    assert_eq!(most, 100);
    for scale in table::scales() {
        for (id, points) in &scale.items {
            let item = table::form("FORM_0000_2021").unwrap().item(id).unwrap();
            assert!(item.codes.iter().all(|(code, name)| name.is_empty() && points.contains_key(code)), "{id}");
        }
    }
}

#[test]
fn the_examples_are_read_in_either_encoding_and_with_any_line_end() {
    let users = sound("SERVICE_USER_INFO_1_20261110.csv");
    assert_eq!(users.rows.len(), 3);
    // Names, kana and remarks stay with the office.
    assert!(users.rows.iter().all(|row| set(row, "last_name").is_none() && set(row, "remarks").is_none()));
    assert_eq!(set(&users.rows[0], "care_level"), Some("23"));
    let (carriage, _) = read(
        "cr.csv",
        &example("FORM_0900_2021_1_20261110.csv").iter().filter(|b| **b != b'\n').copied().collect::<Vec<_>>(),
        Stage::Draft,
    );
    let crlf = sound("FORM_0900_2021_1_20261110.csv");
    assert!(!crlf.rows.is_empty());
    // The published sample ends its lines with LF, older programs with CR alone.
    assert_eq!(carriage.map(|file| file.rows), Some(crlf.rows));
    let wounds = sound("FORM_0500_2021_1_20261110.csv");
    assert_eq!(wounds.rows.len(), 1);
}

#[test]
fn barthel_totals_are_those_of_the_worked_example() {
    let barthel = table::scale("barthel").unwrap();
    let file = sound("FORM_0000_2021_1_20261110.csv");
    let mut found: Vec<String> = file
        .rows
        .iter()
        .map(|row| {
            let (total, items) = barthel.total(|id| set(row, id)).unwrap();
            assert_eq!(items, 10);
            format!("{},{},{total}", row.person.insured, set(row, "adl_evaluate").unwrap())
        })
        .collect();
    found.sort();
    let expected = String::from_utf8(example("expected_barthel.csv")).unwrap();
    let mut expected: Vec<String> = expected.lines().skip(1).map(|line| line.trim().to_owned()).collect();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn an_empty_field_keeps_and_a_single_space_clears() {
    let text = adl("first_month,barthel_index_meal", " ,");
    let (file, problems) = read("a.csv", text.as_bytes(), Stage::Draft);
    assert_eq!(problems, []);
    let row = &file.unwrap().rows[0];
    assert_eq!(row.changes.get("first_month"), Some(&Change::Clear));
    assert_eq!(row.changes.get("barthel_index_meal"), None, "kept");
    // Two spaces are a value, and no code.
    assert_eq!(rules(adl("first_month", "  ").as_bytes(), Stage::Draft), ["code"]);
    sound("FORM_0600_2021_update_clear.csv");
}

#[test]
fn columns_are_found_by_name_in_any_order() {
    let swapped = "FORM_0900_2021\ninsured_no,insurer_no,barthel_index_meal,adl_evaluate,external_system_management_number,service_code,care_facility_id\n0000000101,999003,2,20260501,A-1,11,9970000023\n";
    let (file, problems) = read("a.csv", swapped.as_bytes(), Stage::Draft);
    assert_eq!(problems, []);
    assert_eq!(set(&file.unwrap().rows[0], "barthel_index_meal"), Some("2"));
}

#[test]
fn a_file_that_does_not_begin_with_its_type_is_refused_and_says_why() {
    let (file, problems) = read("bad_no_type_line.csv", &example("bad_no_type_line.csv"), Stage::Draft);
    assert_eq!(file, None);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message_ja().contains("1行目はデータ種別だけ"), "{}", problems[0].message_ja());
    let (file, problems) = read("a.csv", b"FORM_0000_2029\r\ncare_facility_id\r\n", Stage::Draft);
    assert!(file.is_none() && problems[0].message_ja().contains("FORM_0000_2021"));
}

#[test]
fn each_fault_names_line_column_item_and_what_to_do() {
    let told = |text: String| {
        let (file, problems) = read("a.csv", text.as_bytes(), Stage::Draft);
        assert!(file.is_none_or(|file| file.rows.is_empty()), "{text}");
        problems.iter().map(Problem::message_ja).collect::<Vec<_>>().join("\n")
    };
    let code = told(adl("barthel_index_meal", "7"));
    assert!(code.starts_with("a.csv 3行目 7列「食事」: 「7」となっています。次のいずれか"), "{code}");
    let date = told(adl("barthel_index_meal", "1").replace("20260501", "20260231"));
    assert!(date.contains("3行目 6列") && date.contains("YYYYMMDD"), "{date}");
    let columns = told(adl("barthel_index_meal", "1,1"));
    assert!(columns.contains("7列のはずが8列"), "{columns}");
    let insurer = told(adl("barthel_index_meal", "1").replace("999003", "999004"));
    assert!(insurer.contains("3列「保険者番号」"), "{insurer}");
    let missing = told(adl("barthel_index_meal", "1").replace("A-1", ""));
    assert!(missing.contains("「外部システム管理番号」: 空です"), "{missing}");
    let header = told(adl("barthel_index_meal", "1").replace("insured_no,", "person,"));
    assert!(header.contains("insured_no"), "{header}");
}

#[test]
fn an_unknown_column_is_told_and_passed_over() {
    let (file, problems) = read("a.csv", adl("own_remark", "x").as_bytes(), Stage::Draft);
    assert_eq!(file.unwrap().rows.len(), 1);
    assert!(!problems[0].is_error() && problems[0].message_ja().contains("この列は使いません"));
}

#[test]
fn a_final_file_is_asked_for_more_but_never_refused_for_it() {
    let text = adl("barthel_index_meal", "1");
    assert_eq!(rules(text.as_bytes(), Stage::Draft), [] as [&str; 0]);
    let asked = read("a.csv", text.as_bytes(), Stage::Final);
    assert_eq!(asked.0.unwrap().rows.len(), 1);
    assert!(asked.1.iter().all(|problem| !problem.is_error() && problem.rule == "required"));
    let told: Vec<String> = asked.1.iter().map(Problem::message_ja).collect();
    assert!(told.len() == 1 && told[0].contains("3行目") && told[0].contains("椅子とベッド間の移乗"), "{told:?}");
}

#[test]
fn an_item_is_asked_for_only_when_its_condition_holds() {
    let form = table::form("FORM_0000_2021").unwrap();
    let condition = form.item("departure").unwrap().condition.as_ref().unwrap();
    assert!(condition.holds(|id| (id == "remote_working").then_some("2")));
    assert!(!condition.holds(|id| (id == "remote_working").then_some("1")));
    assert!(!condition.holds(|_| None));
}

fn sheet_of(file: &LifeFile) -> LifeSheet {
    let row = &file.rows[0];
    let mut sheet = LifeSheet::new(row.person, row.key.service, sheet::evaluated_on(row).unwrap());
    sheet::apply(&mut sheet, row);
    sheet
}

#[test]
fn a_form_that_is_not_known_yet_keeps_only_its_own_file_out() {
    let known = adl("barthel_index_meal", "1");
    let newer = known.replace("FORM_0900_2021", "FORM_0900_2024");
    let of = |files: &[(&str, &String)]| {
        let (read, problems) = read_set(files, Stage::Draft);
        let told: Vec<_> =
            problems.iter().map(|p| (p.file.clone(), p.rule.to_string(), p.line, p.is_error())).collect();
        (read.iter().map(|(name, file)| ((*name).to_owned(), file.rows.len())).collect::<Vec<_>>(), told)
    };
    let (read, told) = of(&[("new.csv", &newer), ("old.csv", &known)]);
    assert_eq!(read, [("old.csv".to_owned(), 1)]);
    assert_eq!(told, [("new.csv".to_owned(), "unknown_form".to_owned(), 1, false)]);
    // Alone there is nothing to take, and what is no id of a form is a fault.
    assert!(of(&[("new.csv", &newer)]).1[0].3);
    let other = known.replace("FORM_0900_2021", "FORM");
    assert_eq!(of(&[("x.csv", &other), ("old.csv", &known)]).1[0].1, "data_type");
}

#[test]
fn a_newer_form_is_read_by_the_names_of_its_items() {
    let text = "FORM_0000_2024\nevaluate_date,care_facility_id,service_code,insurer_no,insured_no,external_system_management_number,barthel_index_meal,bedsore,new_item\n20261101,9970000023,51,999003,0000000101,A-1,2,9,x\n";
    let (file, problems) = read("a.csv", text.as_bytes(), Stage::Final);
    let file = file.unwrap();
    assert_eq!(file.rows.len(), 1, "{problems:?}");
    // A code nobody knows here and an item of the new table are told and passed over, no row is lost.
    let told: Vec<_> = problems.iter().map(|problem| (problem.rule.as_ref(), problem.is_error())).collect();
    assert_eq!(told, [("unknown_item", false), ("code", false)]);
    let sheet = sheet_of(&file);
    assert_eq!((sheet.adl.barthel.get(&1), sheet.nutrition.bedsore), (Some(&10), None));
    let without_day = text.replace("evaluate_date,", "day,");
    assert_eq!(read("a.csv", without_day.as_bytes(), Stage::Final).0, None);
}

#[test]
fn what_a_row_leaves_empty_stays_on_the_sheet_and_what_it_clears_goes() {
    let mut sheet = sheet_of(&sound("FORM_0000_2021_1_20261110.csv"));
    let before = sheet.clone();
    assert_eq!(sheet.barthel(), Some(45));
    assert!(sheet.nutrition.weight.is_some() && sheet.physical.is_some(), "{sheet:?}");
    let text = "FORM_0000_2021\ncare_facility_id,service_code,insurer_no,insured_no,external_system_management_number,facility_outpatient_category,evaluate_date,barthel_index_meal,weight,height\n9970000023,51,999003,0000000101,A-1,1,20261101, ,44.0,\n";
    let (file, _) = read("a.csv", text.as_bytes(), Stage::Draft);
    sheet::apply(&mut sheet, &file.unwrap().rows[0]);
    assert_eq!((sheet.adl.barthel.get(&1), sheet.adl.barthel.get(&2)), (None, before.adl.barthel.get(&2)));
    assert_eq!(sheet.nutrition.weight.as_ref().unwrap().as_str(), "44.0");
    assert_eq!((sheet.nutrition.height, sheet.physical), (before.nutrition.height, before.physical));
    assert_eq!(sheet.evaluated_on, jiff::civil::date(2026, 11, 1));
}

#[test]
fn of_two_rows_with_one_key_the_later_counts() {
    let mut text = adl("barthel_index_meal", "1");
    text.push_str("9970000023,11,999003,0000000101,A-1,20260501,2\r\n");
    let (file, problems) = read("a.csv", text.as_bytes(), Stage::Draft);
    let rows = file.unwrap().rows;
    assert_eq!((rows.len(), set(&rows[0], "barthel_index_meal")), (1, Some("2")));
    assert_eq!(problems.iter().map(|p| p.rule.as_ref()).collect::<Vec<_>>(), ["duplicate_row"]);
}

#[test]
fn an_individual_number_is_refused_and_not_repeated() {
    for text in [adl("record_staff_job_category", "123456789018"), "123456789018,x\r\n".to_owned()] {
        let (_, problems) = read("a.csv", text.as_bytes(), Stage::Draft);
        assert!(problems.iter().any(Problem::forbids_keeping), "{problems:?}");
        assert!(problems.iter().all(|problem| !problem.message_ja().contains("123456789018")));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read("a.csv", &bytes, Stage::Final);
    }

    /// Whatever is done to a sound file of any form: each of its rows is read as a plain reader reads it, or something is told of
    /// that row or of the whole file; and nothing is read that does not stand there.
    #[test]
    fn a_changed_file_says_the_same_as_it_reads_or_every_fault_has_its_line(
        form in 0usize..22,
        changes in prop::collection::vec((0usize..100_000, 0usize..100_000, byte(), 0u8..10), 0..4),
    ) {
        let form = published().nth(form).unwrap();
        let mut bytes = three_rows(form).into_bytes();
        for (at, other, byte, how) in changes {
            change(&mut bytes, (at, other), byte, how);
        }
        let (file, problems) = read("a.csv", &bytes, Stage::Draft);
        for problem in &problems {
            prop_assert!(problem.line > 0 || problem.rule == "no_rows", "without a line: {problem:?}");
            prop_assert!(!problem.message_ja().chars().any(char::is_control), "{problem:?}");
        }
        let read: Vec<_> = file.iter().flat_map(|file| file.rows.iter().map(values_of)).collect();
        let Some((form, rows)) = plainly(&bytes) else {
            prop_assert!(problems.iter().any(Problem::is_error), "taken for sound: {:?}", String::from_utf8_lossy(&bytes));
            return Ok(());
        };
        let is_told = |line: u64| problems.iter().any(|problem| problem.line == line);
        let is_refused = file.is_none() && problems.iter().any(|problem| problem.is_error() && problem.line <= 2);
        let is_double = problems.iter().any(|problem| problem.rule == "duplicate_row");
        prop_assert!(form.is_some() || is_refused || is_told(1), "{problems:?}");
        for (line, row) in &rows {
            let is_read = row.as_ref().is_some_and(|row| read.contains(&(*line, row.clone())));
            prop_assert!(is_read || is_refused || is_told(*line) || is_double, "line {line}: {row:?}, read {read:?}");
        }
        for (line, row) in &read {
            prop_assert!(rows.contains(&(*line, Some(row.clone()))), "line {line}: {row:?} of {rows:?}");
        }
    }
}

/// Bytes that matter to a reader more often than others.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![any::<u8>(), prop::sample::select(b"\",\r\n 0129A\0\x1b\xef".to_vec())]
}

/// A sound file of three rows, each with a number of its own.
fn three_rows(form: &LifeForm) -> String {
    let row = |number: &str| {
        filled_file(form, |item| (item.id == "external_system_management_number").then(|| number.to_owned()))
    };
    let third = |text: String| text.lines().nth(2).map(|line| format!("{line}\r\n")).unwrap_or_default();
    row("A-1") + &third(row("A-2")) + &third(row("A-3"))
}

/// One byte, one line or one value of a line replaced, put in, doubled, emptied, swapped or taken out.
fn change(bytes: &mut Vec<u8>, (at, other): (usize, usize), byte: u8, how: u8) {
    if bytes.is_empty() {
        return;
    }
    let place = at % bytes.len();
    match how {
        0 => bytes[place] = byte,
        1 => bytes.insert(place, byte),
        2 => drop(bytes.remove(place)),
        _ => {
            let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
            let (a, b) = (at % lines.len(), other % lines.len());
            let mut columns: Vec<Vec<u8>> = lines[a].split(|b| *b == b',').map(<[u8]>::to_vec).collect();
            let (c, d) = (other % columns.len(), at % columns.len());
            match how {
                3 => drop(lines.remove(a)),
                4 => lines.insert(b, lines[a].clone()),
                5 => lines.swap(a, b),
                how => {
                    match how {
                        6 => drop(columns.remove(c)),
                        7 => columns[c] = b" ".to_vec(),
                        8 => columns[c].clear(),
                        _ => columns.swap(c, d),
                    }
                    lines[a] = columns.join(&b","[..]);
                }
            }
            *bytes = lines.concat();
        }
    }
}

/// What a row says by item, but for what stays with the office.
type Values = BTreeMap<String, String>;

fn values_of(row: &LifeRow) -> (u64, Values) {
    let mut values: Values = row
        .changes
        .iter()
        .map(|(id, change)| {
            let value = if let Change::Set(value) = change { value } else { " " };
            ((*id).to_owned(), value.to_owned())
        })
        .collect();
    let key = [
        row.key.office.to_string(),
        row.key.service.to_string(),
        row.key.number.clone(),
        row.key.detail.clone().unwrap_or_default(),
        row.person.insurer.to_string(),
        row.person.insured.to_string(),
    ];
    values.extend(IDENTITY.iter().map(|id| (*id).to_owned()).zip(key).filter(|(_, value)| !value.is_empty()));
    (row.line, values)
}

type PlainRows = Vec<(u64, Option<Values>)>;

/// The rows of a file with their lines, read in the plainest way; a row whose columns are not those of the head has no values, and
/// a file that is no CSV at all no rows.
fn plainly(bytes: &[u8]) -> Option<(Option<&'static LifeForm>, PlainRows)> {
    let body = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes);
    let text = match std::str::from_utf8(body) {
        Ok(text) => text.to_owned(),
        Err(_) if body.len() < bytes.len() => return None,
        Err(_) => text::decode(body, Encoding::Cp932).ok()?.into_owned(),
    };
    let text = if text.contains('\n') { text } else { text.replace('\r', "\n") };
    let mut lines = fields(&text)?.into_iter();
    let (_, first) = lines.next()?;
    let form = table::form(first.first()?.trim()).filter(|_| first.len() == 1);
    let ids: Vec<String> = lines.next()?.1.iter().map(|id| id.trim().to_owned()).collect();
    let kept = |id: &str| {
        let item = form.and_then(|form| form.item(id));
        item.is_some_and(|item| !item.local)
    };
    let rows = lines.filter(|(_, fields)| fields[..] != [String::new()]);
    let rows = rows.map(|(line, fields)| {
        let values = ids.iter().cloned().zip(fields.iter().cloned());
        let values = values.filter(|(id, value)| kept(id) && !value.is_empty()).collect();
        (line, (fields.len() == ids.len()).then_some(values))
    });
    Some((form, rows.collect()))
}

/// The fields of each line; none where quotes stand where they may not.
fn fields(text: &str) -> Option<Vec<(u64, Vec<String>)>> {
    let mut all = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while !rest.is_empty() {
        let begins = line;
        let mut row = Vec::new();
        loop {
            let value = match rest.strip_prefix('"') {
                Some(quoted) => {
                    let mut value = String::new();
                    rest = quoted;
                    loop {
                        let (part, after) = rest.split_once('"')?;
                        value += part;
                        line += part.matches('\n').count() as u64;
                        rest = after;
                        let Some(after) = rest.strip_prefix('"') else { break };
                        value.push('"');
                        rest = after;
                    }
                    value
                }
                None => {
                    let end = rest.find([',', '\n']).unwrap_or(rest.len());
                    let (value, after) = rest.split_at(end);
                    rest = after;
                    let value = if rest.starts_with(',') { value } else { value.strip_suffix('\r').unwrap_or(value) };
                    if value.contains('"') {
                        return None;
                    }
                    value.to_owned()
                }
            };
            row.push(value);
            if let Some(after) = rest.strip_prefix(',') {
                rest = after;
                continue;
            }
            if !rest.is_empty() {
                rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n'))?;
            }
            line += 1;
            break;
        }
        all.push((begins, row));
    }
    Some(all)
}
