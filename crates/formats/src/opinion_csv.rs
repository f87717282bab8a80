//! 主治医意見書 CSV 1.1: the 121 columns that 医見書 software writes for municipalities, one document a row, mostly without a
//! head, in MS932 or UTF-8 (P-134).
//!
//! Every row gives a document or says what is wrong with it, by line, column and item. The bytes of each row are kept as
//! they stand: they are the original of that document and of no other person's.

use crate::problem::INDIVIDUAL_NUMBER;
use crate::text::{self, Encoding, holds_individual_number};
use crate::{Problem, Problems};
use kiban_domain::dates::{PartialDate, parse_typed, parse_yyyymmdd, yyyymmdd};
use kiban_domain::insured::{Identity, Sex};
use kiban_domain::physician_opinion::*;
use kiban_domain::{Date, InsuredNumber, InsurerNumber, OfficeNumber, PersonKey, municipality};
use std::sync::LazyLock;

/// Columns of a row.
pub const COLUMNS: usize = 121;
/// Most documents of a file.
pub const MOST_ROWS: usize = 500;
const VERSION: &str = "1.1";

/// Names of the columns, from 1.
static ITEMS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let lines = include_str!("../layouts/opinion_csv11.tsv").lines();
    let named = lines.filter_map(|line| line.split_once('\t')).filter(|(no, _)| no.parse::<usize>().is_ok());
    named.map(|(_, item)| item).collect()
});

/// A document of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpinionRow {
    /// Physical line on which it begins, 1-based.
    pub line: u64,
    /// The document.
    pub opinion: PhysicianOpinion,
    /// Its bytes in the file, with its line end.
    pub bytes: Vec<u8>,
}

/// Whether it is meant as such a file: the first cell is the version of the format, or the name of that column in a head.
pub fn is_opinions(bytes: &[u8]) -> bool {
    let head = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let head = head.strip_prefix(b"\"").unwrap_or(head);
    [VERSION, ITEMS[0]].iter().any(|cell| {
        head.strip_prefix(cell.as_bytes()).is_some_and(|rest| rest.starts_with(b",") || rest.starts_with(b"\","))
    })
}

/// The head that some programs write: the names of the columns, in MS932 like the documents.
pub fn head() -> Vec<u8> {
    let mut head = Vec::new();
    // Every name is in MS932 (a test reads them back); what is not is left out.
    let _ = text::encode(&ITEMS.join(","), Encoding::Cp932, &mut head);
    head.extend_from_slice(b"\r\n");
    head
}

/// The 医療機関コード in column 7 of the first document that has one.
pub fn institution(bytes: &[u8]) -> Option<OfficeNumber> {
    let text = |cell: &[u8]| std::str::from_utf8(cell).ok().map(|text| text.trim().to_owned());
    rows(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
        .into_iter()
        .flatten()
        .filter_map(|row| OfficeNumber::parse(&text(row.cells.get(6)?)?).ok())
        .next()
}

/// Reads a file. `institution` is who hands it in: column 7 must be empty or name it.
pub fn read(file: &str, bytes: &[u8], institution: OfficeNumber) -> (Vec<OpinionRow>, Vec<Problem>) {
    let mut problems = Problems::new(file);
    let utf8 = bytes.is_ascii() || text::is_utf8_japanese(bytes);
    let encoding = if utf8 { Encoding::Utf8 } else { Encoding::Cp932 };
    let mut found = Vec::new();
    for raw in rows(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)) {
        let row = match raw {
            Ok(row) => row,
            Err(line) => {
                let words = "引用符（\"）が閉じていません。値の中の引用符は2つ続けて書いてください";
                problems.push(Problem::of_file(file, "quote", words).at_line(line));
                break;
            }
        };
        if found.len() >= MOST_ROWS {
            let words = format!("1つのファイルは {MOST_ROWS} 件までです。分けて送ってください");
            problems.push(Problem::of_file(file, "too_many", words).at_line(row.line));
            break;
        }
        found.extend(document(file, &row, encoding, institution, &mut problems));
    }
    if found.is_empty() && problems.errors() == 0 {
        problems.push(Problem::of_file(file, "empty", "意見書が1件もありません。出力し直してください"));
    }
    (found, problems.finish())
}

fn document(
    file: &str,
    row: &Row<'_>,
    encoding: Encoding,
    institution: OfficeNumber,
    problems: &mut Problems,
) -> Option<OpinionRow> {
    let mut cells = Vec::with_capacity(row.cells.len());
    for (at, cell) in row.cells.iter().enumerate() {
        match text::decode(cell, encoding) {
            Ok(text) => cells.push(text.trim().to_owned()),
            Err(fault) => {
                let (column, item) = (at as u32 + 1, ITEMS.get(at).copied().unwrap_or_default());
                let problem = Problem::of_file(file, fault.rule(), fault.message_ja(encoding));
                problems.push(problem.at_line(row.line).at_item(column, item));
                cells.push(String::new());
            }
        }
    }
    // A head is not usual; some programs write one.
    if cells.first().is_some_and(|cell| cell == ITEMS[0]) {
        return None;
    }
    if cells.len() != COLUMNS {
        let words = format!("列の数が {} です。CSV 1.1 は {COLUMNS} 列です。出力の設定を確かめてください", cells.len());
        problems.push(Problem::of_file(file, "columns", words).at_line(row.line));
        return None;
    }
    let before = problems.errors();
    let mut reader = Reader { file, line: row.line, cells: &cells, problems };
    let opinion = reader.opinion(institution);
    let sound = reader.problems.errors() == before;
    opinion.filter(|_| sound).map(|opinion| OpinionRow { line: row.line, opinion, bytes: row.bytes.to_vec() })
}

/// Reads one row by column numbers, from 1.
struct Reader<'a> {
    file: &'a str,
    line: u64,
    cells: &'a [String],
    problems: &'a mut Problems,
}

impl Reader<'_> {
    fn opinion(&mut self, institution: OfficeNumber) -> Option<PhysicianOpinion> {
        self.refuse_individual_numbers();
        if self.cell(1) != VERSION {
            self.fault(1, "version", "FormatVersion が 1.1 のファイルだけ読めます。1.1 で出力してください");
        }
        if !matches!(OfficeNumber::parse(self.cell(7)), Ok(number) if number == institution) && !self.cell(7).is_empty()
        {
            self.fault(7, "institution", "送信する医療機関の番号と違います。空欄にするか、その番号にしてください");
        }
        let card_insurer = self.parsed(4, InsurerNumber::parse, |error| error.message_ja());
        let insured = self.parsed(6, InsuredNumber::parse, |error| error.message_ja());
        let (applied_on, written_on) = (self.needed_date(8), self.needed_date(14));
        let count = self.choice(31, OpinionCount::ALL, OpinionCount::code, OpinionCount::name_ja);
        if count.is_none() && matches!(self.cell(31), "" | "0") {
            self.fault(31, "required", "意見書作成回数を選んでください");
        }
        let request = self.request(card_insurer);
        let basics = self.basics(written_on);
        let consent = self.choice(29, PhysicianConsent::ALL, PhysicianConsent::code, PhysicianConsent::name_ja);
        let (illness, special_care) = (self.illness(), self.special_care());
        let (condition, daily_life) = (self.condition(), self.daily_life());
        let (applied_on, written_on) = (applied_on?, written_on?);
        let insurer = municipality::paying_insurer(card_insurer?, applied_on);
        let form = if written_on < REVISED_ON {
            OpinionForm::Form2006 { physician_consent: consent }
        } else {
            OpinionForm::Form2026
        };
        Some(PhysicianOpinion {
            person: PersonKey { insurer, insured: insured? },
            institution,
            applied_on,
            count: count?,
            form,
            request: request?,
            basics: basics?,
            illness,
            special_care,
            condition,
            daily_life,
            remarks: self.text(121),
        })
    }

    fn request(&mut self, card_insurer: Option<InsurerNumber>) -> Option<OpinionRequest> {
        Some(OpinionRequest {
            software: self.text(2),
            file_key: self.text(3),
            requested_on: self.date(9),
            sent_on: self.date(10),
            setting: self.choice(13, Setting::ALL, Setting::code, Setting::name_ja),
            card_insurer: card_insurer?,
            insurer_name: self.text(5),
            request_number: self.text(11),
            physician_number: self.text(12),
        })
    }

    fn basics(&mut self, written_on: Option<Date>) -> Option<Basics> {
        let (kana, name) = (self.needed(15), self.needed(16));
        let birth = self.needed_date(17);
        let sex = Sex::from_code(self.cell(19));
        if sex.is_none() {
            self.fault(19, "code", "性別を 1（男）か 2（女）にしてください");
        }
        let age = self.number(18);
        let (physician, institution) = (self.needed(23), self.needed(24));
        let last_examined_on = self.date(30);
        let other_departments = self.presence(32);
        let departments = self.bits(33, Department::ALL);
        Some(Basics {
            written_on: written_on?,
            applicant: Identity {
                name: name?,
                kana: kana?,
                birth: birth?,
                sex: sex?,
                postal_code: self.text(20),
                address: self.text(21),
                telephone: self.text(22),
            },
            age,
            physician_name: physician?,
            institution_name: institution?,
            institution_postal_code: self.text(25),
            institution_address: self.text(26),
            institution_telephone: self.text(27),
            institution_fax: self.text(28),
            last_examined_on,
            other_departments,
            departments,
            other_department: self.text(34),
        })
    }

    fn illness(&mut self) -> Illness {
        let diagnosis = |name: Option<String>, onset: Option<String>| {
            name.map(|name| Diagnosis { name, onset: onset.map(PartialDate::of_text) })
        };
        Illness {
            diagnoses: [35, 37, 39].map(|column| diagnosis(self.text(column), self.text(column + 1))),
            stability: self.choice(41, Stability::ALL, Stability::code, Stability::name_ja),
            instability: self.text(42),
            course: self.text(43),
        }
    }

    fn special_care(&mut self) -> SpecialCare {
        SpecialCare {
            treatments: self.bits(44, MedicalTreatment::ALL),
            responses: self.bits(45, SpecialResponse::ALL),
            catheter: self.bit(46),
        }
    }

    fn condition(&mut self) -> Condition {
        Condition {
            physical: self.choice(
                47,
                PhysicalIndependence::ALL,
                PhysicalIndependence::code,
                PhysicalIndependence::name_ja,
            ),
            dementia: self.choice(
                48,
                DementiaIndependence::ALL,
                DementiaIndependence::code,
                DementiaIndependence::name_ja,
            ),
            short_term_memory: self.choice(49, ShortTermMemory::ALL, ShortTermMemory::code, ShortTermMemory::name_ja),
            decision_making: self.choice(50, DecisionMaking::ALL, DecisionMaking::code, DecisionMaking::name_ja),
            communication: self.choice(51, Communication::ALL, Communication::code, Communication::name_ja),
            behavioral: self.presence(52),
            behavioral_symptoms: self.bits(53, BehavioralSymptom::ALL),
            behavioral_other: self.text(54),
            psychiatric: self.presence(55),
            psychiatric_name: self.text(56),
            specialist: self.presence(57),
            specialist_department: self.text(58),
            body: self.body(),
        }
    }

    fn body(&mut self) -> Body {
        Body {
            handedness: self.choice(59, Side::ALL, Side::code, Side::name_ja),
            height_cm: self.measure(60),
            weight_kg: self.measure(61),
            weight_change: self.choice(62, WeightChange::ALL, WeightChange::code, WeightChange::name_ja),
            limb_loss: Finding { is_marked: self.bit(63), part: self.text(64), degree: None },
            palsy: Palsy {
                is_marked: self.bit(65),
                right_arm: self.limb(66),
                left_arm: self.limb(68),
                right_leg: self.limb(70),
                left_leg: self.limb(72),
                other: self.finding(74),
            },
            muscle_weakness: self.finding(77),
            contracture: self.finding(80),
            joint_pain: self.finding(83),
            ataxia: Ataxia {
                is_marked: self.bit(86),
                arms: self.bits(87, Side::ALL),
                legs: self.bits(88, Side::ALL),
                trunk: self.bits(89, Side::ALL),
            },
            pressure_ulcer: self.finding(90),
            skin_disease: self.finding(93),
        }
    }

    fn daily_life(&mut self) -> DailyLife {
        DailyLife {
            outdoor_walking: self.choice(96, OutdoorWalking::ALL, OutdoorWalking::code, OutdoorWalking::name_ja),
            wheelchair: self.choice(97, Wheelchair::ALL, Wheelchair::code, Wheelchair::name_ja),
            walking_aids: self.bits(98, WalkingAid::ALL),
            eating: self.choice(99, Eating::ALL, Eating::code, Eating::name_ja),
            nutrition: self.choice(100, Nutrition::ALL, Nutrition::code, Nutrition::name_ja),
            nutrition_note: self.text(101),
            risks: self.bits(102, Risk::ALL),
            other_risk: self.text(103),
            risk_policy: self.text(104),
            outlook: self.choice(105, Outlook::ALL, Outlook::code, Outlook::name_ja),
            medical_needs: self.medical_needs(106),
            other_medical_need: self.text(107),
            precautions: Precautions {
                blood_pressure: self.precaution(108),
                eating: self.precaution(110),
                swallowing: self.precaution(112),
                mobility: self.precaution(114),
                exercise: self.precaution(116),
                other: self.text(118),
                nothing_particular: false,
            },
            infection: self.choice(119, Infection::ALL, Infection::code, Infection::name_ja),
            infection_name: self.text(120),
        }
    }

    fn cell(&self, column: usize) -> &str {
        self.cells.get(column - 1).map_or("", String::as_str)
    }

    fn text(&self, column: usize) -> Option<String> {
        Some(self.cell(column).to_owned()).filter(|text| !text.is_empty())
    }

    fn needed(&mut self, column: usize) -> Option<String> {
        let text = self.text(column);
        if text.is_none() {
            self.fault(column, "required", "必ず入力してください");
        }
        text
    }

    fn date(&mut self, column: usize) -> Option<Date> {
        let text = self.text(column)?;
        match parse_yyyymmdd(&text).or_else(|_| parse_typed(&text)) {
            Ok(date) => Some(date),
            Err(error) => {
                self.fault(column, "date", error.message_ja());
                None
            }
        }
    }

    fn needed_date(&mut self, column: usize) -> Option<Date> {
        self.needed(column).and_then(|_| self.date(column))
    }

    fn parsed<T, E>(
        &mut self,
        column: usize,
        parse: impl Fn(&str) -> Result<T, E>,
        words: impl Fn(&E) -> String,
    ) -> Option<T> {
        let text = self.needed(column)?;
        parse(&text).map_err(|error| self.fault(column, "number", words(&error))).ok()
    }

    fn number(&mut self, column: usize) -> Option<u8> {
        let text = self.text(column)?;
        let number = text.parse().ok();
        if number.is_none() {
            self.fault(column, "number", "数字で入力してください");
        }
        number
    }

    fn measure(&mut self, column: usize) -> Option<Measure> {
        let text = self.text(column)?;
        let measure = Measure::parse(&text);
        if measure.is_none() {
            self.fault(column, "number", "5文字以内の数で入力してください（例 152.5）");
        }
        measure
    }

    /// A choice by its code. Empty and `0` are no answer.
    fn choice<T: Copy>(
        &mut self,
        column: usize,
        all: &[T],
        code: impl Fn(T) -> &'static str,
        name: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let text = self.text(column).filter(|text| text != "0")?;
        let found = all.iter().copied().find(|choice| code(*choice) == text);
        if found.is_none() {
            let choices: Vec<String> =
                all.iter().map(|choice| format!("{} {}", code(*choice), name(*choice))).collect();
            self.fault(column, "code", format!("次のどれかの番号にしてください: {}", choices.join("、")));
        }
        found
    }

    fn presence(&mut self, column: usize) -> Option<Presence> {
        self.choice(column, Presence::ALL, Presence::code, Presence::name_ja)
    }

    fn bit(&mut self, column: usize) -> bool {
        match self.cell(column) {
            "1" => true,
            "" | "0" => false,
            _ => {
                self.fault(column, "code", "印があるときは 1、ないときは 0 にしてください");
                false
            }
        }
    }

    /// One character per choice.
    fn bits<T: Copy>(&mut self, column: usize, all: &[T]) -> Vec<T> {
        let Some(text) = self.text(column) else { return Vec::new() };
        if text.len() != all.len() || !text.bytes().all(|b| matches!(b, b'0' | b'1')) {
            self.fault(column, "code", format!("0 と 1 の {} 文字にしてください（1 が選択）", all.len()));
            return Vec::new();
        }
        all.iter().copied().zip(text.bytes()).filter(|(_, bit)| *bit == b'1').map(|(choice, _)| choice).collect()
    }

    fn medical_needs(&mut self, column: usize) -> Vec<MedicalNeed> {
        let on_form: Vec<MedicalService> =
            MedicalService::ALL.iter().copied().filter(|service| service.is_on_form_2006()).collect();
        let Some(text) = self.text(column) else { return Vec::new() };
        if text.len() != on_form.len() || !text.bytes().all(|b| matches!(b, b'0'..=b'2')) {
            let words = format!("0（なし）、1（あり）、2（あり・下線）の {} 文字にしてください", on_form.len());
            self.fault(column, "code", words);
            return Vec::new();
        }
        let marked = on_form.into_iter().zip(text.bytes()).filter(|(_, mark)| *mark != b'0');
        marked.map(|(service, mark)| MedicalNeed { service, is_underlined: mark == b'2' }).collect()
    }

    fn precaution(&mut self, column: usize) -> Precaution {
        let need = self.choice(column, PrecautionNeed::ALL, PrecautionNeed::code, PrecautionNeed::name_ja);
        Precaution { need, text: self.text(column + 1) }
    }

    fn degree(&mut self, column: usize) -> Option<Degree> {
        self.choice(column, Degree::ALL, Degree::code, Degree::name_ja)
    }

    fn limb(&mut self, column: usize) -> LimbPalsy {
        LimbPalsy { is_marked: self.bit(column), degree: self.degree(column + 1) }
    }

    /// Box, part and degree in three columns.
    fn finding(&mut self, column: usize) -> Finding {
        Finding { is_marked: self.bit(column), part: self.text(column + 1), degree: self.degree(column + 2) }
    }

    /// P-026: refused wherever it stands, never repeated.
    fn refuse_individual_numbers(&mut self) {
        for column in 1..=COLUMNS {
            if holds_individual_number(self.cell(column)) {
                let words = "個人番号（マイナンバー）の可能性がある番号が入っています。取り除いて送り直してください";
                self.fault(column, INDIVIDUAL_NUMBER, words);
            }
        }
    }

    fn fault(&mut self, column: usize, rule: &'static str, words: impl Into<String>) {
        let item = ITEMS.get(column - 1).copied().unwrap_or_default();
        let problem = Problem::of_file(self.file, rule, words).at_line(self.line).at_item(column as u32, item);
        let found = self.cell(column).to_owned();
        self.problems.push(problem.found(&found));
    }
}

/// Writes documents as such a file: MS932, CRLF, no head. `Err` is a character MS932 does not have.
pub fn write<'a>(opinions: impl IntoIterator<Item = &'a PhysicianOpinion>) -> Result<Vec<u8>, char> {
    let mut out = Vec::new();
    for opinion in opinions {
        let cells: Vec<String> = cells(opinion).iter().map(|cell| quoted(cell)).collect();
        text::encode(&cells.join(","), Encoding::Cp932, &mut out)?;
        out.extend_from_slice(b"\r\n");
    }
    Ok(out)
}

fn quoted(cell: &str) -> String {
    let needs = cell.contains([',', '"', '\r', '\n']);
    if needs { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

/// The 121 cells of a document, in order.
fn cells(opinion: &PhysicianOpinion) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(COLUMNS);
    let (request, basics) = (&opinion.request, &opinion.basics);
    out.extend([
        VERSION.to_owned(),
        or_empty(&request.software),
        or_empty(&request.file_key),
        request.card_insurer.to_string(),
        or_empty(&request.insurer_name),
        opinion.person.insured.to_string(),
        opinion.institution.to_string(),
        yyyymmdd(opinion.applied_on),
        day(request.requested_on),
        day(request.sent_on),
        or_empty(&request.request_number),
        or_empty(&request.physician_number),
        code(request.setting, Setting::code),
    ]);
    put_basics(basics, opinion, &mut out);
    let illness = &opinion.illness;
    for diagnosis in &illness.diagnoses {
        out.push(diagnosis.as_ref().map(|diagnosis| diagnosis.name.clone()).unwrap_or_default());
        let onset = diagnosis.as_ref().and_then(|diagnosis| diagnosis.onset.as_ref());
        out.push(onset.map(|onset| onset.text.clone()).unwrap_or_default());
    }
    out.push(code(illness.stability, Stability::code));
    out.extend([or_empty(&illness.instability), or_empty(&illness.course)]);
    let care = &opinion.special_care;
    out.extend([bits(&care.treatments, MedicalTreatment::ALL), bits(&care.responses, SpecialResponse::ALL)]);
    out.push(flag(care.catheter));
    put_condition(&opinion.condition, &mut out);
    put_body(&opinion.condition.body, &mut out);
    put_daily_life(&opinion.daily_life, &mut out);
    out.push(or_empty(&opinion.remarks));
    out
}

fn put_basics(basics: &Basics, opinion: &PhysicianOpinion, out: &mut Vec<String>) {
    let person = &basics.applicant;
    let consent = match opinion.form {
        OpinionForm::Form2006 { physician_consent } => code(physician_consent, PhysicianConsent::code),
        OpinionForm::Form2026 => String::new(),
    };
    out.extend([
        yyyymmdd(basics.written_on),
        person.kana.clone(),
        person.name.clone(),
        yyyymmdd(person.birth),
        basics.age.map(|age| age.to_string()).unwrap_or_default(),
        person.sex.code().to_owned(),
        or_empty(&person.postal_code),
        or_empty(&person.address),
        or_empty(&person.telephone),
        basics.physician_name.clone(),
        basics.institution_name.clone(),
        or_empty(&basics.institution_postal_code),
        or_empty(&basics.institution_address),
        or_empty(&basics.institution_telephone),
        or_empty(&basics.institution_fax),
        consent,
        day(basics.last_examined_on),
        opinion.count.code().to_owned(),
        code(basics.other_departments, Presence::code),
        bits(&basics.departments, Department::ALL),
        or_empty(&basics.other_department),
    ]);
}

fn put_condition(condition: &Condition, out: &mut Vec<String>) {
    out.extend([
        code(condition.physical, PhysicalIndependence::code),
        code(condition.dementia, DementiaIndependence::code),
        code(condition.short_term_memory, ShortTermMemory::code),
        code(condition.decision_making, DecisionMaking::code),
        code(condition.communication, Communication::code),
        code(condition.behavioral, Presence::code),
        bits(&condition.behavioral_symptoms, BehavioralSymptom::ALL),
        or_empty(&condition.behavioral_other),
        code(condition.psychiatric, Presence::code),
        or_empty(&condition.psychiatric_name),
        code(condition.specialist, Presence::code),
        or_empty(&condition.specialist_department),
    ]);
}

fn put_body(body: &Body, out: &mut Vec<String>) {
    let measure = |measure: &Option<Measure>| measure.as_ref().map(|m| m.as_str().to_owned()).unwrap_or_default();
    out.extend([
        code(body.handedness, Side::code),
        measure(&body.height_cm),
        measure(&body.weight_kg),
        code(body.weight_change, WeightChange::code),
        flag(body.limb_loss.is_marked),
        or_empty(&body.limb_loss.part),
        flag(body.palsy.is_marked),
    ]);
    for limb in [body.palsy.right_arm, body.palsy.left_arm, body.palsy.right_leg, body.palsy.left_leg] {
        out.extend([flag(limb.is_marked), code(limb.degree, Degree::code)]);
    }
    let findings = [&body.palsy.other, &body.muscle_weakness, &body.contracture, &body.joint_pain];
    findings.into_iter().for_each(|finding| put_finding(finding, out));
    out.push(flag(body.ataxia.is_marked));
    out.extend([&body.ataxia.arms, &body.ataxia.legs, &body.ataxia.trunk].map(|sides| bits(sides, Side::ALL)));
    [&body.pressure_ulcer, &body.skin_disease].into_iter().for_each(|finding| put_finding(finding, out));
}

fn put_finding(finding: &Finding, out: &mut Vec<String>) {
    out.extend([flag(finding.is_marked), or_empty(&finding.part), code(finding.degree, Degree::code)]);
}

fn put_daily_life(life: &DailyLife, out: &mut Vec<String>) {
    let needs = MedicalService::ALL.iter().filter(|service| service.is_on_form_2006()).map(|service| {
        let need = life.medical_needs.iter().find(|need| need.service == *service);
        need.map_or('0', |need| if need.is_underlined { '2' } else { '1' })
    });
    out.extend([
        code(life.outdoor_walking, OutdoorWalking::code),
        code(life.wheelchair, Wheelchair::code),
        bits(&life.walking_aids, WalkingAid::ALL),
        code(life.eating, Eating::code),
        code(life.nutrition, Nutrition::code),
        or_empty(&life.nutrition_note),
        bits(&life.risks, Risk::ALL),
        or_empty(&life.other_risk),
        or_empty(&life.risk_policy),
        code(life.outlook, Outlook::code),
        needs.collect(),
        or_empty(&life.other_medical_need),
    ]);
    let lines = &life.precautions;
    for line in [&lines.blood_pressure, &lines.eating, &lines.swallowing, &lines.mobility, &lines.exercise] {
        out.extend([code(line.need, PrecautionNeed::code), or_empty(&line.text)]);
    }
    out.extend([or_empty(&lines.other), code(life.infection, Infection::code), or_empty(&life.infection_name)]);
}

fn or_empty(text: &Option<String>) -> String {
    text.clone().unwrap_or_default()
}

fn day(date: Option<Date>) -> String {
    date.map(yyyymmdd).unwrap_or_default()
}

fn code<T: Copy>(choice: Option<T>, code: impl Fn(T) -> &'static str) -> String {
    choice.map(code).unwrap_or_default().to_owned()
}

fn flag(marked: bool) -> String {
    if marked { "1" } else { "0" }.to_owned()
}

fn bits<T: Copy + PartialEq>(chosen: &[T], all: &[T]) -> String {
    all.iter().map(|choice| if chosen.contains(choice) { '1' } else { '0' }).collect()
}

/// A row of cells, still bytes. In MS932 as in UTF-8 a quote, a comma or a line end is never part of another character.
struct Row<'a> {
    line: u64,
    bytes: &'a [u8],
    cells: Vec<Vec<u8>>,
}

/// The rows of a file; the last item is `Err(line)` when a quote is never closed. Empty lines are passed over.
fn rows(bytes: &[u8]) -> Vec<Result<Row<'_>, u64>> {
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1u64);
    while at < bytes.len() {
        let (start, first_line) = (at, line);
        let (mut cells, mut cell, mut quoted, mut ended) = (Vec::new(), Vec::new(), false, false);
        while at < bytes.len() && !ended {
            let byte = bytes[at];
            at += 1;
            line += u64::from(byte == b'\n');
            match byte {
                b'"' if quoted && bytes.get(at) == Some(&b'"') => {
                    at += 1;
                    cell.push(b'"');
                }
                b'"' if quoted => quoted = false,
                b'"' if cell.is_empty() => quoted = true,
                b',' if !quoted => cells.push(std::mem::take(&mut cell)),
                b'\r' if !quoted && matches!(bytes.get(at), Some(b'\n') | None) => {}
                b'\n' if !quoted => ended = true,
                byte => cell.push(byte),
            }
        }
        if quoted {
            found.push(Err(first_line));
            return found;
        }
        cells.push(cell);
        if cells.iter().any(|cell| !cell.is_empty()) {
            found.push(Ok(Row { line: first_line, bytes: &bytes[start..at], cells }));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn example(insured: &str) -> PhysicianOpinion {
        let insurer = InsurerNumber::from_code5("99001").unwrap();
        let person = PersonKey { insurer, insured: InsuredNumber::parse(insured).unwrap() };
        let mut opinion = PhysicianOpinion::example(person, institution(), date(2026, 11, 20));
        opinion.illness.course = Some("脳梗塞後、\"内服\", 経過良好\r\n次の診察は12月".to_owned());
        opinion
    }

    fn institution() -> OfficeNumber {
        OfficeNumber::parse("9910000034").unwrap()
    }

    #[test]
    fn there_is_a_name_for_every_column() {
        assert_eq!(ITEMS.len(), COLUMNS);
    }

    #[test]
    fn what_is_written_is_read_back_whole_and_each_row_keeps_its_own_bytes() {
        let opinions = [example("0000000001"), example("0000000002")];
        let bytes = write(&opinions).unwrap();
        let (rows, problems) = read("iken.csv", &bytes, institution());
        assert_eq!(problems, []);
        assert_eq!(rows.iter().map(|row| &row.opinion).collect::<Vec<_>>(), opinions.iter().collect::<Vec<_>>());
        // The line break inside the first document counts.
        assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(rows.iter().flat_map(|row| row.bytes.clone()).collect::<Vec<_>>(), bytes);
        // The same in UTF-8 with a mark and a head.
        let mut utf8 = b"\xef\xbb\xbf".to_vec();
        utf8.extend(format!("{}\r\n", ITEMS.join(",")).bytes());
        utf8.extend(text::decode(&bytes, Encoding::Cp932).unwrap().bytes());
        let (rows, problems) = read("iken.csv", &utf8, institution());
        assert_eq!((rows.len(), problems), (2, vec![]));
    }

    #[test]
    fn an_opinion_before_the_revision_keeps_the_physicians_word_on_its_use() {
        let mut old = example("0000000001");
        old.basics.written_on = date(2026, 3, 20);
        old.form = OpinionForm::Form2006 { physician_consent: Some(PhysicianConsent::Refuses) };
        let (rows, problems) = read("iken.csv", &write([&old]).unwrap(), institution());
        assert_eq!(problems, []);
        assert!(rows[0].opinion.is_refused_by_physician());
    }

    #[test]
    fn every_fault_is_told_with_line_column_and_item() {
        let mut cells = cells(&example("0000000001"));
        for (column, wrong) in
            [(1, "1.0"), (4, "990011"), (8, "20261399"), (31, ""), (33, "01"), (41, "9"), (60, "高い")]
        {
            cells[column - 1] = wrong.to_owned();
        }
        let text = cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",");
        let (rows, problems) = read("iken.csv", text.as_bytes(), institution());
        assert!(rows.is_empty());
        let places: Vec<_> = problems.iter().map(|p| (p.line, p.column, &*p.rule)).collect();
        let expected =
            [(1, "version"), (4, "number"), (8, "date"), (31, "required"), (33, "code"), (41, "code"), (60, "number")];
        assert_eq!(places.len(), expected.len(), "{problems:?}");
        for (column, rule) in expected {
            assert!(places.contains(&(1, column, rule)), "{column} {rule} in {places:?}");
        }
    }

    #[test]
    fn a_short_row_an_open_quote_and_an_individual_number_are_refused() {
        let (rows, problems) = read("iken.csv", b"1.1,x,y\r\n1.1,\"open", institution());
        assert!(rows.is_empty());
        assert_eq!(problems.iter().map(|p| (p.line, &*p.rule)).collect::<Vec<_>>(), [(1, "columns"), (2, "quote")]);
        let mut opinion = example("0000000001");
        opinion.remarks = Some("番号 1234 5678 9018".to_owned());
        let (rows, problems) = read("iken.csv", &write([&opinion]).unwrap(), institution());
        assert!(rows.is_empty());
        assert_eq!((problems[0].column, &*problems[0].rule), (121, INDIVIDUAL_NUMBER));
        assert!(!problems[0].message_ja().contains("9018"));
        assert_eq!(read("iken.csv", b"", institution()).1[0].rule, "empty");
    }

    #[test]
    fn an_onset_is_known_as_far_as_it_was_written() {
        let known = |text: &str| PartialDate::of_text(text.to_owned()).known;
        assert_eq!(known("平成20年5月10日"), (Some(2008), Some(5), Some(10)));
        assert_eq!(known("平成20年5月"), (Some(2008), Some(5), None));
        assert_eq!(known("平成20年頃"), (Some(2008), None, None));
        assert_eq!(known("不詳"), (None, None, None));
    }

    #[test]
    fn no_bytes_make_the_reader_fail() {
        let bytes = write([&example("0000000001")]).unwrap();
        for cut in 0..bytes.len() {
            let _ = read("iken.csv", &bytes[..cut], institution());
            let mut broken = bytes.clone();
            broken[cut] ^= 0x5a;
            let _ = read("iken.csv", &broken, institution());
        }
    }
}
