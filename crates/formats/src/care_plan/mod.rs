//! ケアプランデータ連携標準仕様 Ver. 4.1 (CSVバージョン 202407, and 202208 for service months until 2025-03): 第1・2・3・6・7表,
//! 利用者補足情報, 実績, 介護予防 with the picture of the family, and withdrawals: all 17 files and the JPEG.
//!
//! Files come in units of sending that share a ファイル連番. A unit is taken as a whole or not at all: when one of its
//! files has an error, nothing of it is returned, and every problem of every file is. The plans of facilities, for which the
//! standard has no file, come in a profile of this project (KGSP-1) by the same rules.

mod cross;
mod facility;
mod jpeg;
mod json;
mod name;
mod origin;
mod preventive;
mod rows;
mod rules;

pub use jpeg::MAX_BYTES as MAX_PICTURE_BYTES;
pub use json::{FORMAT as JSON_FORMAT, from_json, is_json, to_json};
pub use name::{CsvVersion, PlanFileKind, PlanFileName, Sending};
pub use origin::{Origin, Sent};

use crate::layout::{self, Dialect, Fields, FileLayout, Record, RowRef};
use crate::record::Rows;
use crate::{Problem, Problems, check, text, too_many_people};
use kiban_domain::care_plan::facility::{FacilityPlan, FacilityService, FacilityTable1, FacilityTable2};
use kiban_domain::care_plan::preventive::{BasicInformation, FamilyPicture, PreventivePlan};
use kiban_domain::care_plan::{
    CarePlan, PlanWithdrawal, PlannedService, ServiceActuals, ServiceSlip, Supplement, Table1, Table2, Table3,
};
use kiban_domain::dates::ServiceMonth;
use kiban_domain::service_type::ServiceCodes;
use kiban_domain::{Date, OfficeNumber, PersonKey};
use rules::ReadFile;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What the files of a message hold, in the order of their serials.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Received {
    /// 第1・2・3表
    pub plans: Vec<Sent<CarePlan>>,
    /// 第6表 予定 and 第7表
    pub slips: Vec<Sent<ServiceSlip>>,
    /// 第6表 実績
    pub actuals: Vec<Sent<ServiceActuals>>,
    /// 利用者基本情報 with its 別表 and picture
    pub basics: Vec<Sent<BasicInformation>>,
    /// 介護予防サービス・支援計画書 with its 別表
    pub preventive_plans: Vec<Sent<PreventivePlan>>,
    /// 施設サービス計画 第1・2・3表
    pub facility_plans: Vec<Sent<FacilityPlan>>,
    /// Withdrawals
    pub withdrawals: Vec<Sent<PlanWithdrawal>>,
    /// サービス事業者コード in 第2・6・7表 and 実績, each where its unit names it first.
    pub offices: Vec<Sent<OfficeNumber>>,
}

/// By what files are read besides the rules of the standard. The default bounds nothing and knows no table of codes.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// Most people of what is read; of more nothing is made.
    pub people: usize,
    /// Most rows of all files; more are not even read.
    pub rows: usize,
    /// The service codes by month, where somebody has them.
    pub codes: Option<&'a ServiceCodes>,
}

impl Default for Reading<'_> {
    fn default() -> Self {
        Self { people: usize::MAX, rows: usize::MAX, codes: None }
    }
}

/// Reads any mix of files of the exchange.
pub fn read_set<N: AsRef<str>, B: AsRef<[u8]>>(files: &[(N, B)]) -> (Received, Vec<Problem>) {
    read_set_by(files, Reading::default())
}

/// The same within bounds, and with the service codes held against a table. The memory of what is read grows with its rows,
/// that of what is made of them with its people too; both are counted before.
pub fn read_set_by<N: AsRef<str>, B: AsRef<[u8]>>(files: &[(N, B)], reading: Reading<'_>) -> (Received, Vec<Problem>) {
    let mut received = Received::default();
    let problems = check_units(files, reading, |unit| take(unit, &mut received));
    (received, problems)
}

/// Reads and checks any mix of files of the exchange by the same rules, without making anything of what they hold.
pub fn check_set<N: AsRef<str>, B: AsRef<[u8]>>(files: &[(N, B)]) -> Vec<Problem> {
    check_units(files, Reading::default(), |_| {})
}

/// Reads and checks, and hands out each unit that has no error.
fn check_units<N: AsRef<str>, B: AsRef<[u8]>>(
    files: &[(N, B)],
    reading: Reading<'_>,
    mut take: impl FnMut(&[ReadFile<'_>]),
) -> Vec<Problem> {
    if let Some(problem) = too_many_rows(files, reading.rows) {
        return vec![problem];
    }
    let mut problems = Vec::new();
    let mut read = Vec::new();
    for (name, bytes) in files {
        match read_file(name.as_ref(), bytes.as_ref(), reading.codes) {
            Ok(file) => read.push(file),
            Err(problem) => {
                problems.push(*problem);
                if text::bytes_hold_individual_number(bytes.as_ref(), text::Encoding::Cp932) {
                    problems.push(check::individual_number(name.as_ref()));
                }
            }
        }
    }
    let mut units = units(read);
    units.iter_mut().for_each(|unit| rules::check_unit(unit));
    let is_sound = |unit: &&Vec<ReadFile<'_>>| unit.iter().all(|file| file.problems.errors() == 0);
    let people = if reading.people == usize::MAX { 0 } else { people_of(units.iter().filter(is_sound).flatten()) };
    if people <= reading.people {
        units.iter().filter(is_sound).for_each(|unit| take(unit));
    }
    problems.extend(units.into_iter().flatten().flat_map(|file| file.problems.finish()));
    problems.extend(too_many_people(people, reading.people));
    problems
}

/// The problem of files with more rows than these. A line end within a text counts as one: so many there are never.
fn too_many_rows<N: AsRef<str>, B: AsRef<[u8]>>(files: &[(N, B)], most: usize) -> Option<Problem> {
    if files.iter().map(|(_, bytes)| bytes.as_ref().len()).sum::<usize>() <= most {
        return None;
    }
    let rows = |bytes: &[u8]| b"\n\r{".iter().map(|end| text::count(bytes, *end)).max().unwrap_or_default();
    let of_rows =
        files.iter().filter(|(name, _)| PlanFileKind::of_name(name.as_ref()).is_some_and(|kind| kind.has_rows()));
    let rows: usize = of_rows.map(|(_, bytes)| rows(bytes.as_ref())).sum();
    let text = format!("1回に送れるのは{most}行までです（約{rows}行ありました）。分けて送ってください");
    (rows > most).then(|| Problem::of_file("", "too_many_rows", text))
}

/// How many people the rows of files name.
fn people_of<'a, 'f: 'a>(files: impl Iterator<Item = &'a ReadFile<'f>>) -> usize {
    let mut people = HashSet::new();
    for file in files.filter(|file| file.kind.has_rows()) {
        let [insurer, insured] = ["insurer", "insured"].map(|key| file.index(key));
        people.extend(file.rows.iter().map(|row| cross::person(row.get(insurer), row.get(insured))));
    }
    people.len()
}

/// Reads UP1KYO + UP2KYO + UP3KYO + UPHOSOKU into plans.
pub fn read_plan_set<N: AsRef<str>, B: AsRef<[u8]>>(files: &[(N, B)]) -> (Vec<CarePlan>, Vec<Problem>) {
    let (received, problems) = read_set(files);
    (received.plans.into_iter().map(|plan| plan.value).collect(), problems)
}

/// Reads UPPLAN + UPSIKYU + UPHOSOKU into slips.
pub fn read_slip_set<N: AsRef<str>, B: AsRef<[u8]>>(files: &[(N, B)]) -> (Vec<ServiceSlip>, Vec<Problem>) {
    let (received, problems) = read_set(files);
    (received.slips.into_iter().map(|slip| slip.value).collect(), problems)
}

/// Reads one file by the layout its name begins with. Only a file of which nothing can be said is an error here.
fn read_file<'a>(name: &str, bytes: &[u8], codes: Option<&ServiceCodes>) -> Result<ReadFile<'a>, Box<Problem>> {
    if bytes.starts_with(b"PK\x03\x04") {
        let text = "圧縮したファイル(ZIP)は受け付けません。展開して、中のファイルを送ってください";
        return Err(Box::new(Problem::of_file(name, "unsupported_file", text)));
    }
    let parsed = PlanFileName::parse(name);
    let Some(kind) = PlanFileKind::of_name(name) else {
        return Err(parsed
            .err()
            .unwrap_or_else(|| Box::new(Problem::of_file(name, "file_name", name::form(PlanFileKind::Table1)))));
    };
    if !kind.has_rows() {
        return Ok(read_picture(kind, name, parsed?, bytes));
    }
    let version = version_of(bytes);
    let Some(layout) = version.layout(kind) else {
        let text = format!("CSVバージョン {} に {} のファイルはありません", version.code(), kind.prefix());
        return Err(Box::new(Problem::of_file(name, "unsupported_file", text)));
    };
    let mut problems = Problems::new(name);
    let parsed = parsed.and_then(|parsed| check_name(name, parsed, version, &mut problems));
    let parsed = parsed.map_err(|problem| problems.push(*problem)).ok();
    let (rows, seen) = layout::read_rows(layout, bytes, dialect_of(kind, name), &mut problems);
    if seen == 0 {
        let text = "データの行がありません。出力し直してください";
        let problem = Problem::of_file(name, "no_rows", text);
        problems.push(if may_be_empty(kind) { problem.warning() } else { problem });
    }
    let mut file = ReadFile { kind, version, name: parsed, layout, rows, picture: None, problems };
    rules::check_file(&mut file, codes);
    Ok(file)
}

/// How a file is written down, by its name.
fn dialect_of(kind: PlanFileKind, name: &str) -> Dialect {
    let is_json =
        name.len() > 5 && name.is_char_boundary(name.len() - 5) && name[name.len() - 5..].eq_ignore_ascii_case(".json");
    match (kind.is_facility(), is_json) {
        (false, _) => Dialect::CARE_PLAN,
        (true, false) => Dialect::MUNICIPAL,
        (true, true) => Dialect::MUNICIPAL_JSON,
    }
}

/// Tables of a document that may have no row at all.
fn may_be_empty(kind: PlanFileKind) -> bool {
    use PlanFileKind::{BasicDay, BasicIllness, FacilityTable2, FacilityTable3, PreventiveSupport, Table2, Table3};
    matches!(kind, Table2 | Table3 | BasicDay | BasicIllness | PreventiveSupport | FacilityTable2 | FacilityTable3)
}

/// The version by the first value of a file; the current one where there is no telling, so that its rules say what is wrong.
fn version_of(bytes: &[u8]) -> CsvVersion {
    let code = |line: &[u8]| {
        let first = line.split(|b| *b == b',').next()?;
        let first = first.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(first);
        CsvVersion::from_code(std::str::from_utf8(first).ok()?)
    };
    let body = bytes.strip_prefix(text::BOM).unwrap_or(bytes);
    // A header row may stand first.
    body.split(|b| *b == b'\n').take(2).find_map(code).unwrap_or(CsvVersion::V202407)
}

/// A name whose form is that of the version inside; what an official sample does differently warns.
fn check_name(
    name: &str,
    parsed: PlanFileName,
    version: CsvVersion,
    problems: &mut Problems,
) -> Result<PlanFileName, Box<Problem>> {
    if parsed.sending.version() != version {
        let text = match version {
            CsvVersion::V202407 => name::old_form(parsed.kind),
            CsvVersion::V202208 => {
                "CSVバージョン 202208 のファイル名にはサービス種類コードがありません。取り除くか、2025年4月提供分からの 202407 で作り直してください".to_owned()
            }
        };
        return Err(Box::new(Problem::of_file(name, "file_name", text)));
    }
    for service in [parsed.sending.sender_type, parsed.sending.receiver_type].into_iter().flatten() {
        let month = parsed.month.map(|month| month.to_string()).unwrap_or_default();
        let misfit = rules::misfit_of_type(&service.to_string(), &month).filter(|(_, _, is_error)| *is_error);
        if let Some((_, text, _)) = misfit {
            return Err(Box::new(Problem::of_file(name, "file_name", format!("ファイル名の {service}: {text}"))));
        }
    }
    if parsed.types_look_swapped() {
        let text = "送信元と送信先のサービス種類コードが逆のようです。実績はサービス事業所から居宅介護支援(43)・介護予防支援(46)へ、ほかはその逆に送ります。事業所番号のとおりに読みました";
        problems.push(Problem::of_file(name, "file_name", text).warning());
    }
    let standard = parsed.to_string();
    if !parsed.kind.is_facility() && !standard.eq_ignore_ascii_case(name) {
        let text = format!("標準のファイル名は {standard} です。この名前として読みました");
        problems.push(Problem::of_file(name, "file_name", text).warning());
    }
    Ok(parsed)
}

/// 家族構成の画像: judged as a picture, without rows.
fn read_picture<'a>(kind: PlanFileKind, name: &str, parsed: PlanFileName, bytes: &[u8]) -> ReadFile<'a> {
    let mut problems = Problems::new(name);
    let branch = parsed.branch.unwrap_or_default();
    let picture = match jpeg::size(bytes) {
        Ok((width, height)) => {
            let extension = name.rsplit('.').next().unwrap_or_default().to_owned();
            Some(FamilyPicture { branch, extension, width, height, jpeg: bytes.to_vec() })
        }
        Err(text) => {
            problems.push(Problem::of_file(name, "picture", text));
            None
        }
    };
    let version = parsed.sending.version();
    let layout = &rules::NO_LAYOUT;
    ReadFile { kind, version, name: Some(parsed), layout, rows: Rows::default(), picture, problems }
}

/// Which files belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Plan,
    Slip,
    Preventive,
    Facility,
    Alone(PlanFileKind),
}

fn family(file: &ReadFile<'_>) -> Family {
    match file.kind {
        PlanFileKind::Table1 | PlanFileKind::Table2 | PlanFileKind::Table3 => Family::Plan,
        PlanFileKind::Slip | PlanFileKind::Table7 => Family::Slip,
        PlanFileKind::FacilityTable1 | PlanFileKind::FacilityTable2 | PlanFileKind::FacilityTable3 => Family::Facility,
        PlanFileKind::BasicInformation
        | PlanFileKind::BasicDay
        | PlanFileKind::BasicIllness
        | PlanFileKind::FamilyPicture
        | PlanFileKind::PreventivePlan
        | PlanFileKind::PreventiveSupport => Family::Preventive,
        PlanFileKind::Supplement => {
            let month = file.layout.column("month").0 as usize - 1;
            let with_plan = match &file.name {
                Some(name) => name.month.is_none(),
                None => file.rows.iter().next().is_none_or(|row| row.get(month) == "000000"),
            };
            if with_plan { Family::Plan } else { Family::Slip }
        }
        kind => Family::Alone(kind),
    }
}

/// Files by sending and family, in the order of their serials. A file whose name is wrong is put where a file of its
/// kind is missing, so that one wrong name is told once.
fn units(files: Vec<ReadFile<'_>>) -> Vec<Vec<ReadFile<'_>>> {
    let mut units: BTreeMap<(String, Sending, Family), Vec<ReadFile<'_>>> = BTreeMap::new();
    let mut stray = Vec::new();
    for file in files {
        match file.name.as_ref().map(|name| name.sending.clone()) {
            Some(sending) => {
                units.entry((sending.serial.clone(), sending, family(&file))).or_default().push(file);
            }
            None => stray.push(file),
        }
    }
    let mut alone: Vec<Vec<ReadFile<'_>>> = Vec::new();
    for file in stray {
        let own = family(&file);
        let open = units
            .iter_mut()
            .filter(|((_, _, family), unit)| *family == own && unit.iter().all(|other| other.kind != file.kind))
            .map(|(_, unit)| unit)
            .next();
        match open {
            Some(unit) => unit.push(file),
            None => match alone.iter_mut().find(|unit| unit.first().is_some_and(|first| family(first) == own)) {
                Some(unit) => unit.push(file),
                None => alone.push(vec![file]),
            },
        }
    }
    units.into_values().chain(alone).collect()
}

/// Turns the sound rows of a unit into values.
fn take(unit: &[ReadFile<'_>], received: &mut Received) {
    let mut files: Vec<&ReadFile<'_>> = unit.iter().collect();
    // The file that names a document comes before those that belong to it.
    files.sort_by_key(|file| file.kind);
    let mut plans: ByKey<(PersonKey, Date), PlanParts> = ByKey::new();
    let mut facilities: ByKey<(PersonKey, Date), FacilityParts> = ByKey::new();
    let mut facility_order = Vec::new();
    let mut plan_order = Vec::new();
    let mut slips: ByKey<(PersonKey, ServiceMonth), Sent<ServiceSlip>> = ByKey::new();
    let mut actuals: ByKey<(PersonKey, ServiceMonth), Sent<ServiceActuals>> = ByKey::new();
    let mut basics: ByKey<(PersonKey, Date), Sent<BasicInformation>> = ByKey::new();
    let mut preventive: ByKey<(PersonKey, Date), Sent<PreventivePlan>> = ByKey::new();
    let mut supplements: Vec<(PersonKey, Supplement, Origin)> = Vec::new();
    for file in &files {
        let layout = file.layout;
        let mut fields = Fields::of_file(layout);
        let day = file.index("day");
        let mut before: Option<RowRef<'_>> = None;
        for row in file.rows.iter() {
            fields.begin(row);
            let next_day = before.replace(row).is_some_and(|before| row.repeats_but(before, day));
            let origin = || Origin::of(file, row);
            match file.kind {
                PlanFileKind::Table1 => {
                    if let Some((person, day, table)) = rows::table1(&mut fields) {
                        plans.of((person, day), PlanParts::default).table1 = Some(table);
                        plan_order.push(((person, day), origin()));
                    }
                }
                PlanFileKind::Table2 => {
                    if let Some((person, day, line)) = rows::table2(&mut fields) {
                        plans.of((person, day), PlanParts::default).table2.push(line);
                    }
                }
                PlanFileKind::Table3 => {
                    if let Some((person, day, made_on, week)) = rows::table3(&mut fields) {
                        let parts = plans.of((person, day), PlanParts::default);
                        parts.table3.made_on = parts.table3.made_on.or(made_on);
                        parts.table3.rows.push(week);
                    }
                }
                PlanFileKind::Supplement => {
                    let read = rows::supplement(&mut fields);
                    supplements.extend(read.map(|(person, supplement)| (person, supplement, origin())));
                }
                PlanFileKind::Slip => {
                    if next_day && let Some(slip) = slips.last() {
                        fields.go_to(day);
                        rows::add_next_day(&mut fields, &mut slip.value.lines);
                    } else if let Some((person, month, line)) = rows::slip_line(&mut fields) {
                        slip_of(&mut slips, person, month, origin).lines.push(line);
                    }
                }
                PlanFileKind::Table7 => {
                    if let Some((person, month, line)) = rows::table7(&mut fields) {
                        slip_of(&mut slips, person, month, origin).table7.push(line);
                    }
                }
                PlanFileKind::Actuals => {
                    if next_day && let Some(one) = actuals.last() {
                        fields.go_to(day);
                        rows::add_next_day(&mut fields, &mut one.value.lines);
                    } else if let Some((person, month, line)) = rows::slip_line(&mut fields) {
                        actuals_of(&mut actuals, person, month, origin).lines.push(line);
                    }
                }
                PlanFileKind::WithdrawPlan
                | PlanFileKind::WithdrawSlip
                | PlanFileKind::WithdrawActuals
                | PlanFileKind::WithdrawBasic
                | PlanFileKind::WithdrawPreventive
                | PlanFileKind::WithdrawFacility => {
                    let read = rows::withdrawal(layout, row);
                    received.withdrawals.extend(read.map(|value| Sent { value, origin: origin() }));
                }
                PlanFileKind::BasicInformation => {
                    if let Some(value) = preventive::basic_information(layout, row) {
                        basics.of((value.person, value.consulted_on), || Sent { value, origin: origin() });
                    }
                }
                PlanFileKind::BasicDay => {
                    if let Some((person, day, row)) = preventive::day_row(layout, row)
                        && let Some(basic) = basics.find((person, day))
                    {
                        basic.value.day.push(row);
                    }
                }
                PlanFileKind::BasicIllness => {
                    if let Some((person, day, illness)) = preventive::illness(layout, row)
                        && let Some(basic) = basics.find((person, day))
                    {
                        basic.value.illnesses.push(illness);
                    }
                }
                PlanFileKind::PreventivePlan => {
                    if let Some(value) = preventive::preventive_plan(layout, row) {
                        preventive.of((value.person, value.changed_on), || Sent { value, origin: origin() });
                    }
                }
                PlanFileKind::PreventiveSupport => {
                    if let Some((person, day, row)) = preventive::support_row(layout, row)
                        && let Some(plan) = preventive.find((person, day))
                    {
                        preventive::add_support(&mut plan.value.issues, row);
                    }
                }
                PlanFileKind::FacilityTable1 => {
                    if let Some((person, day, table)) = facility::table1(&mut fields) {
                        facilities.of((person, day), FacilityParts::default).table1 = Some(table);
                        facility_order.push(((person, day), origin()));
                    }
                }
                PlanFileKind::FacilityTable2 => {
                    if let Some((person, day, line)) = facility::table2(&mut fields) {
                        facilities.of((person, day), FacilityParts::default).table2.push(line);
                    }
                }
                PlanFileKind::FacilityTable3 => {
                    if let Some((person, day, made_on, week)) = rows::table3(&mut fields) {
                        let parts = facilities.of((person, day), FacilityParts::default);
                        parts.table3.made_on = parts.table3.made_on.or(made_on);
                        parts.table3.rows.push(week);
                    }
                }
                PlanFileKind::FamilyPicture => {}
            }
        }
    }
    let pictures = files.iter().filter_map(|file| Some((file.problems.file().to_lowercase(), file.picture.as_ref()?)));
    let mut pictures: HashMap<String, &FamilyPicture> = pictures.collect();
    for basic in basics.iter_mut() {
        if let Some(picture) = pictures.remove(&basic.value.items.picture_name.to_lowercase()) {
            basic.value.picture = Some(picture.clone());
            basic.value.items.picture_name.clear();
        }
    }
    for (person, supplement, origin) in supplements {
        match (supplement.changed_on, supplement.month) {
            (Some(day), _) => plans.of((person, day), PlanParts::default).supplement = Some(supplement),
            (None, Some(month)) => slip_of(&mut slips, person, month, || origin).supplement = Some(supplement),
            (None, None) => {}
        }
    }
    for (key, origin) in plan_order {
        let plan = std::mem::take(plans.of(key, PlanParts::default)).finish(key);
        received.plans.extend(plan.map(|value| Sent { value, origin }));
    }
    for (key, origin) in facility_order {
        let plan = std::mem::take(facilities.of(key, FacilityParts::default)).finish_facility(key);
        received.facility_plans.extend(plan.map(|value| Sent { value, origin }));
    }
    received.slips.extend(slips.into_values());
    received.actuals.extend(actuals.into_values());
    received.basics.extend(basics.into_values());
    received.preventive_plans.extend(preventive.into_values());
    received.offices.append(&mut origin::named_offices(&files));
}

fn slip_of(
    slips: &mut ByKey<(PersonKey, ServiceMonth), Sent<ServiceSlip>>,
    person: PersonKey,
    month: ServiceMonth,
    origin: impl FnOnce() -> Origin,
) -> &mut ServiceSlip {
    let new = || {
        let value = ServiceSlip { person, month, lines: Vec::new(), table7: Vec::new(), supplement: None };
        Sent { value, origin: origin() }
    };
    &mut slips.of((person, month), new).value
}

fn actuals_of(
    all: &mut ByKey<(PersonKey, ServiceMonth), Sent<ServiceActuals>>,
    person: PersonKey,
    month: ServiceMonth,
    origin: impl FnOnce() -> Origin,
) -> &mut ServiceActuals {
    let new = || Sent { value: ServiceActuals { person, month, lines: Vec::new() }, origin: origin() };
    &mut all.of((person, month), new).value
}

/// Values by key, in the order in which they came. Rows of one document follow one another and the files of a unit name the
/// documents in the same order, so the last one and the next one are looked at first.
struct ByKey<K, V> {
    values: Vec<(K, V)>,
    places: BTreeMap<K, usize>,
    at: usize,
}

impl<K: Ord + Copy, V> ByKey<K, V> {
    fn new() -> Self {
        Self { values: Vec::new(), places: BTreeMap::new(), at: 0 }
    }

    /// The value of a key, a new one where there is none.
    fn of(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        self.at = self.place(&key).unwrap_or_else(|| {
            self.values.push((key, new()));
            self.places.insert(key, self.values.len() - 1);
            self.values.len() - 1
        });
        &mut self.values[self.at].1
    }

    /// The value of a key, if there is one.
    fn find(&mut self, key: K) -> Option<&mut V> {
        self.at = self.place(&key)?;
        self.last()
    }

    fn place(&self, key: &K) -> Option<usize> {
        let near = [self.at, self.at + 1].into_iter().find(|at| self.values.get(*at).is_some_and(|(k, _)| k == key));
        near.or_else(|| self.places.get(key).copied())
    }

    /// The value asked for last.
    fn last(&mut self) -> Option<&mut V> {
        self.values.get_mut(self.at).map(|(_, value)| value)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.values.iter_mut().map(|(_, value)| value)
    }

    fn into_values(self) -> impl Iterator<Item = V> {
        self.values.into_iter().map(|(_, value)| value)
    }
}

/// A plan being put together.
#[derive(Debug)]
struct PlanParts<T = Table1, S = PlannedService> {
    table1: Option<T>,
    table2: Vec<rows::Table2Row<S>>,
    table3: Table3,
    supplement: Option<Supplement>,
}

/// The same of a facility.
type FacilityParts = PlanParts<FacilityTable1, FacilityService>;

impl<T, S> Default for PlanParts<T, S> {
    fn default() -> Self {
        let table3 = Table3 { made_on: None, rows: Vec::new() };
        Self { table1: None, table2: Vec::new(), table3, supplement: None }
    }
}

impl PlanParts {
    fn finish(self, (person, changed_on): (PersonKey, Date)) -> Option<CarePlan> {
        let made_on = self.table2.iter().find_map(|row| row.made_on);
        Some(CarePlan {
            person,
            changed_on,
            table1: self.table1?,
            table2: Table2 { made_on, needs: rows::build_needs(self.table2) },
            table3: self.table3,
            supplement: self.supplement,
        })
    }
}

impl FacilityParts {
    fn finish_facility(self, (person, changed_on): (PersonKey, Date)) -> Option<FacilityPlan> {
        let made_on = self.table2.iter().find_map(|row| row.made_on);
        Some(FacilityPlan {
            person,
            changed_on,
            table1: self.table1?,
            table2: FacilityTable2 { made_on, needs: rows::build_needs(self.table2) },
            table3: self.table3,
        })
    }
}

/// Files of one unit: name and bytes.
pub type Files = Vec<(String, Vec<u8>)>;

/// Writes plans as one unit: UP1KYO, UP2KYO, UP3KYO, UPHOSOKU. Every plan needs its supplement.
pub fn write_plan_set(plans: &[CarePlan], sending: &Sending) -> Result<Files, Vec<Problem>> {
    let mut unit = Writer::new(sending, None);
    unit.file(PlanFileKind::Table1, |layout| {
        plans.iter().map(|plan| rows::write_table1(layout, &plan.person, plan.changed_on, &plan.table1)).collect()
    });
    unit.file(PlanFileKind::Table2, |layout| {
        let needs = |plan: &CarePlan| {
            let made_on = plan.table2.made_on.unwrap_or(plan.table1.made_on);
            let days = (plan.changed_on, made_on);
            rows::write_needs(
                layout,
                &plan.person,
                days,
                &plan.table2.needs,
                (rows::blank_service(), rows::write_service),
            )
        };
        plans.iter().flat_map(needs).collect()
    });
    let has_week = plans.iter().any(|plan| !plan.table3.rows.is_empty());
    if has_week || sending.version() != CsvVersion::V202208 {
        unit.file(PlanFileKind::Table3, |layout| {
            let mut records = Vec::new();
            for plan in plans {
                let made_on = plan.table3.made_on.unwrap_or(plan.table1.made_on);
                let week = plan.table3.rows.iter();
                records.extend(week.map(|row| rows::write_table3(layout, &plan.person, plan.changed_on, made_on, row)));
            }
            records
        });
    }
    unit.file(PlanFileKind::Supplement, |layout| {
        let with = plans.iter().filter_map(|plan| plan.supplement.as_ref().map(|s| (&plan.person, s)));
        with.map(|(person, supplement)| rows::write_supplement(layout, person, supplement)).collect()
    });
    unit.finish()
}

/// Writes slips of one month as one unit: UPPLAN, UPSIKYU, UPHOSOKU.
pub fn write_slip_set(slips: &[ServiceSlip], sending: &Sending) -> Result<Files, Vec<Problem>> {
    let mut unit = Writer::new(sending, slips.first().map(|slip| slip.month));
    unit.file(PlanFileKind::Slip, |layout| {
        let lines = |slip: &ServiceSlip| -> Vec<Record<'_>> {
            slip.lines.iter().map(|line| rows::write_slip_line(layout, &slip.person, slip.month, line)).collect()
        };
        slips.iter().flat_map(lines).collect()
    });
    unit.file(PlanFileKind::Table7, |layout| {
        let lines = |slip: &ServiceSlip| -> Vec<Record<'_>> {
            slip.table7.iter().map(|line| rows::write_table7(layout, &slip.person, slip.month, line)).collect()
        };
        slips.iter().flat_map(lines).collect()
    });
    unit.file(PlanFileKind::Supplement, |layout| {
        let with = slips.iter().filter_map(|slip| slip.supplement.as_ref().map(|s| (&slip.person, s)));
        with.map(|(person, supplement)| rows::write_supplement(layout, person, supplement)).collect()
    });
    unit.finish()
}

/// Writes actuals of one month as UPJSK.
pub fn write_actuals(actuals: &[ServiceActuals], sending: &Sending) -> Result<Files, Vec<Problem>> {
    let mut unit = Writer::new(sending, actuals.first().map(|one| one.month));
    unit.file(PlanFileKind::Actuals, |layout| {
        let lines = |one: &ServiceActuals| -> Vec<Record<'_>> {
            one.lines.iter().map(|line| rows::write_slip_line(layout, &one.person, one.month, line)).collect()
        };
        actuals.iter().flat_map(lines).collect()
    });
    unit.finish()
}

/// Writes 利用者基本情報 and 支援計画書 as one unit: UPKIHON with its 別表 and pictures, UPYOBO with its 別表. Each kind may
/// be absent; a 別表 without rows is left out.
pub fn write_preventive_set(
    basics: &[BasicInformation],
    plans: &[PreventivePlan],
    sending: &Sending,
) -> Result<Files, Vec<Problem>> {
    use PlanFileKind::{BasicDay, BasicIllness, BasicInformation, PreventiveSupport};
    let mut unit = Writer::new(sending, None);
    if !basics.is_empty() {
        let named: Vec<_> = basics.iter().map(|basic| unit.picture(basic)).collect();
        unit.file(BasicInformation, |layout| {
            named.iter().map(|basic| preventive::write_basic_information(layout, basic)).collect()
        });
    }
    if basics.iter().any(|basic| !basic.day.is_empty()) {
        unit.file(BasicDay, |layout| basics.iter().flat_map(|basic| preventive::write_days(layout, basic)).collect());
    }
    if basics.iter().any(|basic| !basic.illnesses.is_empty()) {
        unit.file(BasicIllness, |layout| {
            basics.iter().flat_map(|basic| preventive::write_illnesses(layout, basic)).collect()
        });
    }
    if !plans.is_empty() {
        unit.file(PlanFileKind::PreventivePlan, |layout| {
            plans.iter().map(|plan| preventive::write_preventive_plan(layout, plan)).collect()
        });
    }
    if plans.iter().any(|plan| !plan.issues.is_empty()) {
        unit.file(PreventiveSupport, |layout| {
            plans.iter().flat_map(|plan| preventive::write_supports(layout, plan)).collect()
        });
    }
    unit.finish()
}

/// Writes plans of a facility as one unit of the profile of this project: KGSP1, KGSP2, KGSP3 in UTF-8. The sender is the
/// facility, the receiver is not named.
pub fn write_facility_set(plans: &[FacilityPlan], sending: &Sending) -> Result<Files, Vec<Problem>> {
    write_facility(plans, Writer::new(sending, None))
}

/// The same as the JSON files of the profile.
pub fn write_facility_json_set(plans: &[FacilityPlan], sending: &Sending) -> Result<Files, Vec<Problem>> {
    write_facility(plans, Writer { json: true, ..Writer::new(sending, None) })
}

fn write_facility(plans: &[FacilityPlan], mut unit: Writer<'_>) -> Result<Files, Vec<Problem>> {
    unit.file(PlanFileKind::FacilityTable1, |layout| {
        let row = |plan: &FacilityPlan| facility::write_table1(layout, &plan.person, plan.changed_on, &plan.table1);
        plans.iter().map(row).collect()
    });
    unit.file(PlanFileKind::FacilityTable2, |layout| {
        let needs = |plan: &FacilityPlan| {
            let days = (plan.changed_on, plan.table2.made_on.unwrap_or(plan.table1.made_on));
            let service = (facility::blank_service(), facility::write_service);
            rows::write_needs(layout, &plan.person, days, &plan.table2.needs, service)
        };
        plans.iter().flat_map(needs).collect()
    });
    unit.file(PlanFileKind::FacilityTable3, |layout| {
        let mut records = Vec::new();
        for plan in plans {
            let made_on = plan.table3.made_on.unwrap_or(plan.table1.made_on);
            let week = plan.table3.rows.iter();
            records.extend(week.map(|row| rows::write_table3(layout, &plan.person, plan.changed_on, made_on, row)));
        }
        records
    });
    unit.finish()
}

/// Writes withdrawals of one kind and, for slips and actuals, of one month.
pub fn write_withdrawals(withdrawals: &[PlanWithdrawal], sending: &Sending) -> Result<Files, Vec<Problem>> {
    let (kind, month) = match withdrawals.first() {
        Some(PlanWithdrawal::Slip { month, .. }) => (PlanFileKind::WithdrawSlip, Some(*month)),
        Some(PlanWithdrawal::Actuals { month, .. }) => (PlanFileKind::WithdrawActuals, Some(*month)),
        Some(PlanWithdrawal::BasicInformation { .. }) => (PlanFileKind::WithdrawBasic, None),
        Some(PlanWithdrawal::FacilityPlan { .. }) => (PlanFileKind::WithdrawFacility, None),
        Some(PlanWithdrawal::PreventivePlan { .. }) => (PlanFileKind::WithdrawPreventive, None),
        Some(PlanWithdrawal::Plan { .. }) | None => (PlanFileKind::WithdrawPlan, None),
    };
    let mut unit = Writer::new(sending, month);
    unit.file(kind, |layout| withdrawals.iter().map(|withdrawal| rows::write_withdrawal(layout, withdrawal)).collect());
    unit.finish()
}

/// Files of a unit being written. What has been written is checked before it is handed out, so that nothing leaves that a
/// receiver need not take: what is an error in reading (a missing supplement, two months in one file), and of what is read with
/// a warning a blank that the standard very probably forbids, a service out of scope, 第7表 without its grand total, a
/// picture that is named and not there (docs/files.md).
struct Writer<'a> {
    sending: &'a Sending,
    month: Option<ServiceMonth>,
    /// Files of the facility profile as JSON.
    json: bool,
    files: Files,
    problems: Vec<Problem>,
}

impl<'a> Writer<'a> {
    fn new(sending: &'a Sending, month: Option<ServiceMonth>) -> Self {
        Self { sending, month, json: false, files: Vec::new(), problems: Vec::new() }
    }

    fn file(&mut self, kind: PlanFileKind, records: impl FnOnce(&'static FileLayout) -> Vec<Record<'static>>) {
        let name = self.name(kind, None);
        let Some(layout) = self.sending.version().layout(kind) else {
            let text = format!("CSVバージョン {} では {} を書けません", self.sending.version().code(), kind.prefix());
            return self.problems.push(Problem::of_file(&name, "unsupported_file", text));
        };
        match layout::write(layout, &name, &records(layout), dialect_of(kind, &name)) {
            Ok(bytes) => self.files.push((name, bytes)),
            Err(problems) => self.problems.extend(problems),
        }
    }

    fn name(&self, kind: PlanFileKind, branch: Option<u16>) -> String {
        let name = PlanFileName { kind, month: self.month, sending: self.sending.clone(), branch }.to_string();
        if self.json { name.replace(".csv", ".json") } else { name }
    }

    /// Adds the picture of 利用者基本情報 and answers the latter with the name of the file.
    fn picture(&mut self, basic: &BasicInformation) -> BasicInformation {
        let mut basic = basic.clone();
        if let Some(picture) = basic.picture.take() {
            let name = self.name(PlanFileKind::FamilyPicture, Some(picture.branch));
            basic.items.picture_name = name.replace(".jpg", &format!(".{}", picture.extension));
            self.files.push((basic.items.picture_name.clone(), picture.jpeg));
        }
        basic
    }

    fn finish(mut self) -> Result<Files, Vec<Problem>> {
        if self.problems.is_empty() {
            let refused = |problem: &Problem| problem.is_error() || rules::is_never_written(problem);
            self.problems = check_set(&self.files).into_iter().filter(refused).map(Problem::error).collect();
        }
        if self.problems.is_empty() { Ok(self.files) } else { Err(self.problems) }
    }
}
