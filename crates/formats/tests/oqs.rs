//! The files of オンライン資格確認: the recorded samples both ways, and what is refused, where and why (P-172).
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as expected")]

use kiban_formats::Problem;
use kiban_formats::oqs::{Ask, BUILT_IN, Mapping};
use proptest::prelude::*;

const REQUEST: &str = include_str!("../../../examples/outside/oqs/request.xml");
const ANSWER: &str = include_str!("../../../examples/outside/oqs/answer.xml");

fn mapping() -> Mapping {
    Mapping::parse("oqs-unofficial.tsv", BUILT_IN).unwrap()
}

fn ask() -> Ask {
    Ask {
        day: "2026-11-22".parse().unwrap(),
        institution: "9970000015".to_owned(),
        identifier: "MIHONMIHONMIHONMIHONMIHO".to_owned(),
    }
}

fn faults(bytes: &[u8]) -> Vec<Problem> {
    mapping().answer("res.xml", bytes, &ask()).unwrap_err()
}

/// Line and rule of the first fault of the sample after a change.
fn fault(from: &str, to: &str) -> (u64, String) {
    assert!(ANSWER.contains(from), "{from}");
    let faults = faults(ANSWER.replace(from, to).as_bytes());
    let shown: String = faults.iter().map(Problem::message_ja).collect();
    assert!(!shown.contains("ハナコ") && !shown.contains("0001234567"), "nothing of the person is repeated: {shown}");
    (faults[0].line, faults[0].rule.to_string())
}

#[test]
fn the_recorded_request_is_written_and_the_recorded_answer_read() {
    assert_eq!(mapping().request(&ask()), REQUEST);
    let reading = mapping().answer("res.xml", ANSWER.as_bytes(), &ask()).unwrap();
    assert_eq!(reading.items(), ["999003", "0001234567", "カクウ ハナコ", "19410503", "2"]);
    let with_signs =
        ANSWER.replace("カクウ ハナコ", "<![CDATA[カクウ]]>&#x20;ハナ&#12467;<!-- x -->").replace('\n', "\r\n");
    let same = mapping().answer("res.xml", format!("\u{feff}{with_signs}").as_bytes(), &ask()).unwrap();
    assert_eq!(same, reading);
}

#[test]
fn what_is_wrong_with_an_answer_is_told_with_its_line() {
    for (from, to, line, rule) in [
        ("MIHONMIHONMIHONMIHONMIHO", "OTHER", 7, "other"),
        ("9970000015", "9970000023", 6, "other"),
        (">1</Proc", ">2</Proc", 10, "state"),
        ("00999003", "01999003", 13, "value"),
        ("0001234567", "12", 14, "value"),
        ("19410503", "19410230", 17, "value"),
        ("<Sex>2", "<Sex>9", 18, "value"),
        ("カクウ ハナコ", "", 16, "value"),
        ("<Sex>2</Sex>", "", 0, "required"),
        ("<Sex>2</Sex>", "<Sex>2</Sex><Sex>1</Sex>", 18, "twice"),
        ("架空　花子", "123456789018", 15, "individual_number"),
    ] {
        assert_eq!(fault(from, to), (line, rule.to_owned()), "{from} → {to}");
    }
    let two = ANSWER.replace("<Sex>2", "<Sex>9").replace("19410503", "0");
    assert_eq!(faults(two.as_bytes()).len(), 2, "all at once");
}

#[test]
fn hostile_xml_is_refused_before_anything_is_made_of_it() {
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]>\n<XmlMsg>";
    for (from, to, rule) in [
        ("<XmlMsg>", bomb, "doctype"),
        ("<XmlMsg>", "<!DOCTYPE x SYSTEM \"file:///etc/passwd\">\n<XmlMsg>", "doctype"),
        ("<XmlMsg>", "<?php x ?>\n<XmlMsg>", "doctype"),
        ("架空　花子", "&name;", "entity"),
        ("架空　花子", "&#0;", "entity"),
        ("架空　花子", "\u{7}", "control"),
        ("encoding=\"UTF-8\"", "encoding=\"UTF-16\"", "encoding"),
        ("</ResultList>", "</Result>", "xml"),
        ("</XmlMsg>", "</XmlMsg><XmlMsg></XmlMsg>", "xml"),
        ("<Sex>2", "<a><a><a><a><a><a><a><a><a><Sex>2", "too_many"),
    ] {
        assert_eq!(fault(from, to).1, rule, "{to}");
    }
    let cp932 = [&ANSWER.as_bytes()[..700], &[0x83, 0x4a, 0x83, 0x4e][..], &ANSWER.as_bytes()[700..]].concat();
    assert!(matches!(&*faults(&cp932)[0].rule, "encoding" | "xml"), "{:?}", faults(&cp932));
    let huge = ANSWER.replace("架空　花子", &"あ".repeat(30_000));
    assert_eq!(faults(huge.as_bytes())[0].rule, "too_large");
    let wide = ANSWER.replace("<Sex>2", &format!("{}<Sex>2", "<x></x>".repeat(600)));
    assert_eq!(faults(wide.as_bytes())[0].rule, "too_many");
}

#[test]
fn a_half_written_file_is_told_apart_from_a_wrong_one_wherever_it_ends() {
    let end = ANSWER.trim_end().len();
    for at in 0..end {
        let found = faults(&ANSWER.as_bytes()[..at]);
        assert_eq!((found.len(), &*found[0].rule), (1, "cut"), "after {at} bytes: {found:?}");
    }
}

#[test]
fn a_mapping_is_replaced_without_a_program_and_a_faulty_one_is_located() {
    let other = BUILT_IN.replace("NameKana", "KanaShimei");
    let mapping = Mapping::parse("m.tsv", &other).unwrap();
    assert!(mapping.answer("res.xml", ANSWER.replace("NameKana", "KanaShimei").as_bytes(), &ask()).is_ok());
    for (from, to, line) in [
        ("request\tday", "request\tnight", 6),
        ("request\tday", "letter\tday", 6),
        ("answer\tsex\t", "answer\tsex ", 17),
        ("XmlMsg/MessageBody/ProcessingResultStatus", "../etc", 12),
        ("answer\tbirth\tXmlMsg/MessageBody/ResultList/ResultOfQualificationConfirmation/Birthdate\tdate8\n", "", 0),
    ] {
        assert!(BUILT_IN.contains(from), "{from}");
        assert_eq!(Mapping::parse("m.tsv", &BUILT_IN.replace(from, to)).unwrap_err().line, line, "{to}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..900) {
        let _ = mapping().answer("res.xml", &bytes, &ask());
        let at = at.min(ANSWER.len());
        let mixed = [&ANSWER.as_bytes()[..at], &bytes, &ANSWER.as_bytes()[at..]].concat();
        let _ = mapping().answer("res.xml", &mixed, &ask());
    }
}
