//! Rules between rows and between files (docs/requirements.md §16): what the item checks cannot see.

use super::name::{CsvVersion, PlanFileKind, PlanFileName};
use crate::layout::{FileLayout, RowRef};
use crate::record::Rows;
use crate::{Problem, Problems};
use kiban_domain::care_plan::preventive::FamilyPicture;
use kiban_domain::care_plan::{GRAND_TOTAL, is_total};
use kiban_domain::dates::ServiceMonth;
use kiban_domain::service_type::{ServiceCodes, service_type};
use std::cmp::Ordering;
use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, Hash, Hasher};

/// One file read, with its problems so far.
#[derive(Debug)]
pub struct ReadFile<'a> {
    pub kind: PlanFileKind,
    pub version: CsvVersion,
    /// None when the name is wrong.
    pub name: Option<PlanFileName>,
    pub layout: &'a FileLayout,
    pub rows: Rows,
    /// Instead of rows.
    pub picture: Option<FamilyPicture>,
    pub problems: Problems,
}

/// The layout of a file without rows.
pub static NO_LAYOUT: FileLayout = FileLayout { file: "", items: Vec::new() };

impl ReadFile<'_> {
    pub fn index(&self, key: &str) -> usize {
        (self.layout.column(key).0 as usize).saturating_sub(1)
    }

    pub fn problem(&self, row: RowRef<'_>, key: &str, rule: &'static str, text: impl Into<String>) -> Problem {
        let (column, name) = self.layout.column(key);
        Problem::of_file(self.problems.file(), rule, text).at_line(row.line()).at_item(column, name)
    }

    fn push_all(&mut self, problems: Vec<Problem>) {
        problems.into_iter().for_each(|problem| self.problems.push(problem));
    }
}

/// Rules of one file.
pub fn check_file(file: &mut ReadFile<'_>, codes: Option<&ServiceCodes>) {
    check_month(file);
    check_version(file);
    match file.kind {
        PlanFileKind::Table1 => {
            unique(file, &["insurer", "insured", "changed_on"], "changed_on");
            ordered(file, "valid_from", "valid_to");
        }
        PlanFileKind::Table2 => {
            let keys = ["insurer", "insured", "changed_on", "need_no", "goal_no", "service_no"];
            unique(file, &keys, "service_no");
            one_made_on(file);
        }
        PlanFileKind::Supplement => {
            unique(file, &["insurer", "insured", "changed_on", "month"], "changed_on");
            ordered(file, "limit_from", "limit_to");
            supplement_key(file);
            limited_types(file);
        }
        PlanFileKind::Slip | PlanFileKind::Actuals => {
            equipment_code(file);
            service_codes(file, "service_code", codes);
            days_in_month(file);
            identical_rows(file, &["insured", "office", "service_code", "day", "from"]);
        }
        PlanFileKind::Table7 => {
            equipment_code(file);
            service_codes(file, "service_code", codes);
            grand_total(file);
            total_rows(file);
        }
        PlanFileKind::WithdrawPlan => unique(file, &["insurer", "insured", "changed_on"], "changed_on"),
        PlanFileKind::WithdrawSlip => unique(file, &["insurer", "insured", "month"], "month"),
        PlanFileKind::WithdrawActuals => {
            unique(file, &["insurer", "insured", "month", "office", "service"], "service");
            service_codes(file, "service", None);
        }
        PlanFileKind::BasicInformation => {
            unique(file, &["insurer", "insured", "consulted_on"], "consulted_on");
            ordered(file, "valid_from", "valid_to");
        }
        PlanFileKind::FacilityTable1 => {
            unique(file, &["insurer", "insured", "changed_on"], "changed_on");
            ordered(file, "valid_from", "valid_to");
            own_office(file);
        }
        PlanFileKind::FacilityTable2 => {
            let keys = ["insurer", "insured", "changed_on", "need_no", "goal_no", "service_no"];
            unique(file, &keys, "service_no");
            one_made_on(file);
        }
        PlanFileKind::PreventivePlan => {
            unique(file, &["insurer", "insured", "changed_on"], "changed_on");
            ordered(file, "valid_from", "valid_to");
        }
        PlanFileKind::PreventiveSupport => {
            let keys = ["insurer", "insured", "changed_on", "issue_no", "support_no", "service_no"];
            unique(file, &keys, "service_no");
        }
        PlanFileKind::WithdrawBasic => unique(file, &["insurer", "insured", "consulted_on"], "consulted_on"),
        PlanFileKind::WithdrawPreventive | PlanFileKind::WithdrawFacility => {
            unique(file, &["insurer", "insured", "changed_on"], "changed_on")
        }
        PlanFileKind::Table3 | PlanFileKind::FacilityTable3 => {
            one_made_on(file);
            identical_rows(file, &["insured", "service", "activity", "other", "weekday", "service_from"]);
        }
        PlanFileKind::BasicDay => identical_rows(file, &["insured", "time", "own"]),
        PlanFileKind::BasicIllness => identical_rows(file, &["insured", "when", "name"]),
        PlanFileKind::FamilyPicture => {}
    }
}

/// Month in the name = 対象年月 of every row; one month per file. Each differing month is told once.
fn check_month(file: &mut ReadFile<'_>) {
    if !file.kind.has_month() {
        return;
    }
    let at = file.index("month");
    let named = file.name.as_ref().map(|name| name.month.map_or("000000".to_owned(), |month| month.to_string()));
    let from_name = named.is_some();
    let Some(expected) = named.or_else(|| file.rows.iter().find(|r| r.is_sound()).map(|row| row.get(at).to_owned()))
    else {
        return;
    };
    let mut told = HashSet::new();
    let mut found = Vec::new();
    for row in file.rows.iter().filter(|row| row.is_sound() && row.get(at) != expected) {
        if told.insert(row.get(at)) {
            let text = if from_name {
                format!(
                    "ファイル名の年月 {expected} と異なります。1つのファイルには1つの年月だけを入れ、ファイル名と合わせてください"
                )
            } else {
                format!("ほかの行の年月 {expected} と異なります。1つのファイルには1つの年月だけを入れてください")
            };
            found.push(file.problem(row, "month", "month_mismatch", text).found(row.get(at)));
        }
    }
    file.push_all(found);
}

/// Rows with the same key.
fn unique(file: &mut ReadFile<'_>, keys: &[&str], told_at: &str) {
    let columns: Vec<usize> = keys.iter().map(|key| file.index(key)).collect();
    let is_whole = |row: &RowRef<'_>| row.is_sound() && columns.iter().all(|at| !row.get(*at).is_empty());
    let order = |a: &RowRef<'_>, b: &RowRef<'_>| {
        let differing = columns.iter().map(|at| a.get(*at).cmp(b.get(*at))).find(|order| order.is_ne());
        differing.unwrap_or(Ordering::Equal)
    };
    // Mostly they are in this order already; rows of one key stay in that of the file.
    let mut rows: Vec<RowRef<'_>> = file.rows.iter().filter(is_whole).collect();
    rows.sort_by(order);
    let mut found = Vec::new();
    for same in rows.chunk_by(|a, b| order(a, b).is_eq()) {
        let Some((first, others)) = same.split_first() else { continue };
        found.extend(others.iter().map(|row| {
            let line = first.line();
            let text = format!("{line}行目と同じキーの行です。どちらかを取り除くか、番号を直してください");
            file.problem(*row, told_at, "duplicate_key", text).found(columns.last().map_or("", |at| row.get(*at)))
        }));
    }
    found.sort_by_key(|problem| problem.line);
    file.push_all(found);
}

/// A row by its values in some columns.
struct By<'a, 'c> {
    row: RowRef<'a>,
    columns: &'c [usize],
}

impl Hash for By<'_, '_> {
    /// Short values in one piece, each with an end: hashed one by one they cost several times as much.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (mut piece, mut held) = ([0xff; 64], 0);
        for at in self.columns {
            let value = self.row.get(*at).as_bytes();
            match piece.get_mut(held..held + value.len() + 1) {
                Some(place) => place[..value.len()].copy_from_slice(value),
                None => {
                    value.hash(state);
                    continue;
                }
            }
            held += value.len() + 1;
        }
        state.write(&piece[..held]);
    }
}

impl PartialEq for By<'_, '_> {
    fn eq(&self, other: &Self) -> bool {
        self.columns.iter().all(|at| self.row.repeats(other.row, *at))
    }
}

impl Eq for By<'_, '_> {}

/// Rows of tables without a key that say the same twice: both are kept, and told. `keys` are those in which rows mostly differ,
/// the two last of them in order; rows are looked at whole only where these are the same. Where they differ and their hashes do
/// not, that costs time alone.
fn identical_rows(file: &mut ReadFile<'_>, keys: &[&str]) {
    let few: Vec<usize> = keys.iter().map(|key| file.index(key)).collect();
    if are_in_order(file, &few) {
        return;
    }
    let all: Vec<usize> = (0..file.layout.items.len()).collect();
    let hasher = RandomState::new();
    let sound = file.rows.iter().enumerate().filter(|(_, row)| row.is_sound());
    let mut hashes: Vec<(u64, usize)> = sound.map(|(n, row)| (hasher.hash_one(By { row, columns: &few }), n)).collect();
    hashes.sort_unstable();
    let alike = hashes.chunk_by(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1);
    let mut alike: Vec<usize> = alike.flatten().map(|(_, n)| *n).collect();
    alike.sort_unstable();
    let mut first: HashMap<By<'_, '_>, u64> = HashMap::with_capacity(alike.len());
    let mut found = Vec::new();
    for row in alike.into_iter().filter_map(|n| file.rows.row(n)) {
        match first.entry(By { row, columns: &all }) {
            Entry::Vacant(new) => {
                new.insert(row.line());
            }
            Entry::Occupied(first) => {
                let line = first.get();
                let text = format!(
                    "{line}行目とまったく同じ行です。二重に入っていないか確認してください（両方とも読みました）"
                );
                found.push(file.problem(row, "insured", "identical_row", text).found(row.get(few[0])).warning());
            }
        }
    }
    file.push_all(found);
}

/// Whether rows that are the same in all keys but the two last follow one another, and in these two each comes behind the one
/// before: as most files are written. Then no two are the same in all.
fn are_in_order(file: &ReadFile<'_>, keys: &[usize]) -> bool {
    let (group, growing) = keys.split_at(keys.len() - 2);
    let (hasher, mut groups) = (RandomState::new(), Vec::new());
    let mut last: Option<RowRef<'_>> = None;
    let do_grow = file.rows.iter().filter(|row| row.is_sound()).all(|row| {
        let before = last.replace(row).filter(|last| group.iter().all(|at| row.repeats(*last, *at)));
        match before {
            Some(last) => growing.iter().map(|at| row.get(*at)).gt(growing.iter().map(|at| last.get(*at))),
            None => {
                groups.push(hasher.hash_one(By { row, columns: group }));
                true
            }
        }
    });
    groups.sort_unstable();
    do_grow && groups.windows(2).all(|two| two[0] != two[1])
}

/// 作成年月日 is one for all rows of a plan: that of the first row that has one is kept. Each differing row is told.
fn one_made_on(file: &mut ReadFile<'_>) {
    let (plan, made_on) = (link(file, "changed_on"), file.index("made_on"));
    let mut first: HashMap<[&str; 3], &str> = HashMap::new();
    let mut found = Vec::new();
    // Rows of one plan follow one another.
    let mut last: Option<(RowRef<'_>, &str)> = None;
    for row in file.rows.iter().filter(|row| row.is_sound() && !row.get(made_on).is_empty()) {
        let same = last.filter(|(last, _)| plan.iter().all(|at| row.repeats(*last, *at)));
        let kept = same.map(|(_, kept)| kept);
        let kept = kept.unwrap_or_else(|| first.entry(plan.map(|at| row.get(at))).or_insert(row.get(made_on)));
        last = Some((row, kept));
        if kept != row.get(made_on) {
            let text = format!("同じ計画のほかの行の作成年月日 {kept} と異なります。{kept} として読みました");
            let problem = file.problem(row, "made_on", "made_on_differs", text).found(row.get(made_on));
            found.push(problem.warning());
        }
    }
    file.push_all(found);
}

/// An end before its start. Days of eight digits compare as text.
fn ordered(file: &mut ReadFile<'_>, from: &str, to: &str) {
    let (from_at, to_at) = (file.index(from), file.index(to));
    let wrong = file.rows.iter().filter(|row| {
        let (from, to) = (row.get(from_at), row.get(to_at));
        row.is_sound() && !from.is_empty() && !to.is_empty() && to < from
    });
    let text = "終了日が開始日より前になっています。日付を確認してください";
    let found = wrong.map(|row| file.problem(row, to, "date_order", text).found(row.get(to_at))).collect();
    file.push_all(found);
}

/// A facility hands in its own plans.
fn own_office(file: &mut ReadFile<'_>) {
    let at = file.index("office");
    let Some(sender) = file.name.as_ref().map(|name| name.sending.sender) else { return };
    let wrong = file.rows.iter().filter(|row| row.is_sound() && row.get(at) != sender.as_str());
    let text = format!(
        "ファイル名の事業所番号 {sender} と異なります。施設サービス計画は、つくった施設のものだけを入れてください"
    );
    let found = wrong.map(|row| file.problem(row, "office", "sender", text.as_str()).found(row.get(at))).collect();
    file.push_all(found);
}

/// 利用者補足情報 goes with the plan tables or with the slip, never with both or none.
fn supplement_key(file: &mut ReadFile<'_>) {
    let (day, month) = (file.index("changed_on"), file.index("month"));
    let text = "1〜3表に添えるときは計画作成（変更）日を入れて対象年月を 000000 に、6表・7表に添えるときは計画作成（変更）日を 00000000 にして対象年月を入れてください";
    let wrong = file.rows.iter().filter(|row| {
        let has_day = !matches!(row.get(day), "" | "00000000");
        row.is_sound() && has_day == (row.get(month) != "000000")
    });
    let found = wrong.map(|row| file.problem(row, "changed_on", "supplement_key", text)).collect();
    file.push_all(found);
}

/// 福祉用具貸与 (17, 67) needs a TAISコード or a 届出コード.
fn equipment_code(file: &mut ReadFile<'_>) {
    if file.version == CsvVersion::V202208 {
        return;
    }
    let (code, tais, equipment) = (file.index("service_code"), file.index("tais_code"), file.index("equipment_code"));
    let text = "福祉用具貸与(17・67)の行には、TAISコードか福祉用具届出コードのどちらかを入れてください";
    let wrong = file.rows.iter().filter(|row| {
        let service = row.get(code);
        let is_lent = (service.starts_with("17") || service.starts_with("67")) && !is_total(service);
        row.is_sound() && is_lent && row.get(tais).is_empty() && row.get(equipment).is_empty()
    });
    let found = wrong.map(|row| file.problem(row, "tais_code", "equipment_code", text)).collect();
    file.push_all(found);
}

/// First service month of CSVバージョン 202407.
const V202407_FROM: &str = "202504";

/// The version is that of the service month, in a file without one that of 計画作成（変更）日: a plan of the old form made later is
/// refused. A newer version than needed only warns, and of a plan nothing is said: it may be for the month that follows.
fn check_version(file: &mut ReadFile<'_>) {
    let month = file.kind.has_month().then(|| file.index("month"));
    let day = file.layout.items.iter().position(|item| item.key == "changed_on");
    let (stands_at, is_month) = match (month, day) {
        (Some(at), _) if file.rows.iter().any(|row| row.is_sound() && row.get(at) != "000000") => (at, true),
        (_, Some(at)) => (at, false),
        _ => return,
    };
    let is_late = |row: &RowRef<'_>| row.get(stands_at) >= V202407_FROM;
    let is_dated = |row: &RowRef<'_>| row.is_sound() && !matches!(row.get(stands_at), "000000" | "00000000");
    let mut rows = file.rows.iter().filter(is_dated);
    let row = if is_month { rows.next() } else { rows.find(is_late) };
    let Some(row) = row else { return };
    let found = file.version.code();
    let problem = match (file.version, is_late(&row)) {
        (CsvVersion::V202208, true) => {
            let text = if is_month {
                "2025年4月提供分からは CSVバージョン 202407 です。新しい版で出力し直してください"
            } else {
                "計画作成（変更）日が2025年4月1日からの計画は CSVバージョン 202407 です。新しい版で出力し直してください"
            };
            file.problem(row, "version", "version", text).found(found)
        }
        (CsvVersion::V202407, false) if is_month => {
            let text = "2025年3月提供分までは CSVバージョン 202208 です。202407 として読みました";
            file.problem(row, "version", "version", text).found(found).warning()
        }
        _ => return,
    };
    file.problems.push(problem);
}

/// Six characters that begin with a サービス種類 given in the month, one that is exchanged, and where there is a table of codes a
/// code of the month; in 第7表 also the marks of totals. Each code is told once.
fn service_codes(file: &mut ReadFile<'_>, key: &str, codes: Option<&ServiceCodes>) {
    let (code, month) = (file.index(key), file.index("month"));
    let mut judged = HashSet::new();
    let mut found = Vec::new();
    let mut last = "";
    for row in file.rows.iter().filter(|row| row.is_sound()) {
        let service = row.get(code);
        if service == last || !judged.insert(service) {
            last = service;
            continue;
        }
        last = service;
        let misfit = match (key, file.kind) {
            ("service", _) => misfit_of_type(service, row.get(month)),
            (_, PlanFileKind::Table7) if service == GRAND_TOTAL => None,
            (_, PlanFileKind::Table7) if is_total(service) => misfit_of_type(&service[..2], row.get(month)),
            _ => misfit_of_code(service, row.get(month), codes),
        };
        let Some((rule, text, is_error)) = misfit else { continue };
        let problem = file.problem(row, key, rule, text).found(service);
        found.push(if is_error { problem } else { problem.warning() });
    }
    file.push_all(found);
}

/// サービス種類 of the limits by type of 利用者補足情報, 1 to 9. Whether it is exchanged is not asked.
fn limited_types(file: &mut ReadFile<'_>) {
    let month = file.index("month");
    let mut found = Vec::new();
    for key in (1..=9).map(|n| format!("limit{n}_service")) {
        let at = file.index(&key);
        for row in file.rows.iter().filter(|row| row.is_sound() && !row.get(at).is_empty()) {
            let misfit = misfit_of_type(row.get(at), row.get(month)).filter(|(rule, ..)| *rule != OUT_OF_SCOPE);
            found.extend(misfit.map(|(rule, text, _)| file.problem(row, &key, rule, text).found(row.get(at))));
        }
    }
    found.sort_by_key(|problem| problem.line);
    file.push_all(found);
}

/// Rule of a service that the standard does not exchange.
pub const OUT_OF_SCOPE: &str = "out_of_scope";

/// Rules of what is read with a warning, because real software sends it, and never written: a receiver need not take it.
const NEVER_WRITTEN: [&str; 5] = [OUT_OF_SCOPE, "required", "total_row", "picture", "no_table7"];

/// Whether a problem is one of them.
pub fn is_never_written(problem: &Problem) -> bool {
    NEVER_WRITTEN.contains(&problem.rule.as_ref())
}

/// Rule, what to do, and whether it is an error.
type Misfit = (&'static str, String, bool);

fn misfit_of_code(code: &str, month: &str, codes: Option<&ServiceCodes>) -> Option<Misfit> {
    let error = |text: &str| Some(("service_code", text.to_owned(), true));
    if code.len() != 6 || !code.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()) {
        return error("サービスコードは半角の英大文字と数字6文字（種類2桁と項目4桁）で入れてください");
    }
    if is_total(code) {
        return error(
            "合計の行の印（TTAAAA・TTEEEE・TTZZZZ・999999）は、第7表だけのものです。サービスコードを入れるか、行を取り除いてください",
        );
    }
    misfit_of_type(code.get(..2)?, month).or_else(|| {
        let text = codes?.misfit(code, ServiceMonth::parse(month).ok()?)?;
        Some(("service_code", text, true))
    })
}

/// The same of the サービス種類, the first two characters. Without a month only whether there is such a type.
pub fn misfit_of_type(code: &str, month: &str) -> Option<Misfit> {
    let Some(entry) = service_type(code) else {
        let text = "このサービス種類コードはありません。先頭2桁を確認してください";
        return Some(("service_code", text.to_owned(), true));
    };
    if ServiceMonth::parse(month).is_ok_and(|month| !entry.is_in_force(month)) {
        let text = format!("{}は、対象年月 {month} には使えないサービス種類です", entry.name_ja);
        return Some(("service_code", text, true));
    }
    if !entry.exchanged {
        let text = "データ連携の対象外のサービス種類です。この行は送らないでください";
        return Some((OUT_OF_SCOPE, text.to_owned(), false));
    }
    None
}

fn days_in_month(file: &mut ReadFile<'_>) {
    let (day, month) = (file.index("day"), file.index("month"));
    let wrong = file.rows.iter().filter(|row| row.is_sound() && !row.get(day).starts_with(row.get(month)));
    let text = "サービス利用日が対象年月の外にあります。日付を確認してください";
    let found = wrong.map(|row| file.problem(row, "day", "day_outside_month", text).found(row.get(day))).collect();
    file.push_all(found);
}

/// Rows of 第7表 that sum up others have 単位数 0 and no 割引後率・割引後単位数, and the grand total names no office.
fn total_rows(file: &mut ReadFile<'_>) {
    let [code, office, units, percent, discounted] =
        ["service_code", "office", "units", "discount_percent", "discounted_units"].map(|key| file.index(key));
    let mut found = Vec::new();
    for row in file.rows.iter().filter(|row| row.is_sound() && is_total(row.get(code))) {
        let is_zero = row.get(units).bytes().all(|b| b == b'0');
        let wrong = [
            (!is_zero, "units", "合計の行の単位数は 0 にしてください"),
            (!row.get(percent).is_empty(), "discount_percent", "合計の行の割引後率は空にしてください"),
            (!row.get(discounted).is_empty(), "discounted_units", "合計の行の割引後単位数は空にしてください"),
            (
                row.get(code) == GRAND_TOTAL && row.get(office) != NO_OFFICE,
                "office",
                "総合計の行のサービス事業所コードは 9999999999 にしてください",
            ),
        ];
        for (_, key, text) in wrong.into_iter().filter(|(is_wrong, ..)| *is_wrong) {
            found.push(file.problem(row, key, "total_row", text).found(row.get(file.index(key))).warning());
        }
    }
    file.push_all(found);
}

/// Stands in 第7表 where there is no office: サービス事業所コード of the grand total, 事業所コード and 入力者コード of every row.
pub const NO_OFFICE: &str = "9999999999";

/// Each person of 第7表 has one grand total row.
fn grand_total(file: &mut ReadFile<'_>) {
    let (insured, code) = (file.index("insured"), file.index("service_code"));
    let totals = file.rows.iter().filter(|row| row.get(code) == GRAND_TOTAL);
    let mut total = Keys::of(totals.map(|row| row.get(insured)));
    let mut told = HashSet::new();
    let text = "この利用者の総合計の行(サービスコード 999999)がありません。加えてください";
    let wrong = file
        .rows
        .iter()
        .filter(|row| row.is_sound() && !total.contains(&row.get(insured)) && told.insert(row.get(insured)));
    let found = wrong.map(|row| file.problem(row, "service_code", "total_row", text).warning()).collect();
    file.push_all(found);
}

/// Documents and the files that belong to them, with the item that links their rows beside the person.
const LINKS: [(PlanFileKind, &str, &[PlanFileKind]); 5] = {
    use PlanFileKind::{
        BasicDay, BasicIllness, BasicInformation, FacilityTable1, FacilityTable2, FacilityTable3, PreventivePlan,
        PreventiveSupport, Slip, Supplement, Table1, Table2, Table3, Table7,
    };
    [
        (FacilityTable1, "changed_on", &[FacilityTable2, FacilityTable3]),
        (Table1, "changed_on", &[Table2, Table3, Supplement]),
        (Slip, "month", &[Table7, Supplement]),
        (BasicInformation, "consulted_on", &[BasicDay, BasicIllness]),
        (PreventivePlan, "changed_on", &[PreventiveSupport]),
    ]
};

/// Rules of one unit of sending: every part present once, every child with its parent.
pub fn check_unit(files: &mut [ReadFile<'_>]) {
    let kinds: Vec<PlanFileKind> = files.iter().map(|file| file.kind).collect();
    let version = files.first().map_or(CsvVersion::V202407, |file| file.version);
    let mut parts = parts_of(&kinds);
    parts.retain(|kind| version.layout(*kind).is_some());
    let missing: Vec<&str> = parts.iter().filter(|kind| !kinds.contains(kind)).map(|kind| kind.prefix()).collect();
    if !missing.is_empty() {
        let all: Vec<&str> = parts.iter().map(|kind| kind.prefix()).collect();
        let text = format!(
            "同じファイル連番の {} がありません。{} をそろえて送ってください",
            missing.join("・"),
            all.join("・")
        );
        let first = &mut files[0].problems;
        first.push(Problem::of_file(first.file(), "unit", text));
    }
    for i in 1..files.len() {
        if kinds[i].has_rows() && kinds[..i].contains(&kinds[i]) {
            let text = "同じファイル連番に同じ種類のファイルが2つあります。どちらかを取り除いてください";
            let problems = &mut files[i].problems;
            problems.push(Problem::of_file(problems.file(), "unit", text));
        }
    }
    one_month(files);
    pictures(files);
    if files.iter().all(|file| file.problems.errors() == 0) {
        super::cross::check(files);
    }
    for (parent, key, children) in LINKS {
        check_parents(files, parent, key, children);
    }
    supplements(files, PlanFileKind::Table1, "changed_on");
    supplements(files, PlanFileKind::Slip, "month");
    second_sheets(files);
}

/// Every document has its 利用者補足情報, in a set of several people too: without it nothing says for whom it is and up to what
/// limit.
fn supplements(files: &mut [ReadFile<'_>], parent: PlanFileKind, key: &str) {
    let text = "この利用者の利用者補足情報（UPHOSOKU）の行がありません。保険者番号・被保険者番号・日付（年月）が同じ行を加えてください";
    let tell = |file: &ReadFile<'_>, row: RowRef<'_>| {
        Some(file.problem(row, "insured", "supplement_missing", text).found(row.get(file.index("insured"))))
    };
    without(files, (parent, key, PlanFileKind::Supplement), tell);
}

/// Every person of 第6表 stands in 第7表 too, but for 居宅療養管理指導 (31, 34), which counts against no limit.
fn second_sheets(files: &mut [ReadFile<'_>]) {
    let text = "この利用者の行が第7表（UPSIKYU）にありません。第7表も出力して加えてください";
    let tell = |file: &ReadFile<'_>, row: RowRef<'_>| {
        let (insured, code) = (row.get(file.index("insured")), row.get(file.index("service_code")));
        let counts = !(code.starts_with("31") || code.starts_with("34"));
        counts.then(|| file.problem(row, "insured", "no_table7", text).found(insured).warning())
    };
    without(files, (PlanFileKind::Slip, "month", PlanFileKind::Table7), tell);
}

/// Tells each document, at the first of its rows of which something is to be told, that another sound file of the unit has no
/// row for.
fn without(
    files: &mut [ReadFile<'_>],
    (parent, key, child): (PlanFileKind, &str, PlanFileKind),
    tell: impl Fn(&ReadFile<'_>, RowRef<'_>) -> Option<Problem>,
) {
    let at = |kind| files.iter().position(|file| file.kind == kind && file.problems.errors() == 0);
    let (Some(parent), Some(child)) = (at(parent), at(child)) else { return };
    let of_child = link(&files[child], key);
    let mut there = Keys::of(files[child].rows.iter().map(|row| of_child.map(|at| row.get(at))));
    let file = &files[parent];
    let of_parent = link(file, key);
    let mut told = HashSet::new();
    let mut found = Vec::new();
    for row in file.rows.iter() {
        let keys = of_parent.map(|at| row.get(at));
        if there.contains(&keys) || told.contains(&keys) {
            continue;
        }
        if let Some(problem) = tell(file, row) {
            told.insert(keys);
            found.push(problem);
        }
    }
    files[parent].push_all(found);
}

/// The files without which these are no unit.
fn parts_of(kinds: &[PlanFileKind]) -> Vec<PlanFileKind> {
    use PlanFileKind::{
        BasicDay, BasicIllness, BasicInformation, FacilityTable1, FacilityTable2, FacilityTable3, FamilyPicture,
        PreventivePlan, PreventiveSupport, Slip, Supplement, Table1, Table2, Table3, Table7,
    };
    let any = |wanted: &[PlanFileKind]| kinds.iter().any(|kind| wanted.contains(kind));
    if any(&[FacilityTable1, FacilityTable2, FacilityTable3]) {
        return vec![FacilityTable1, FacilityTable2, FacilityTable3];
    }
    if any(&[Slip, Table7]) {
        return vec![Slip, Table7, Supplement];
    }
    if any(&[Table1, Table2, Table3, Supplement]) {
        return vec![Table1, Table2, Table3, Supplement];
    }
    let mut parts = Vec::new();
    for (document, children) in
        [(BasicInformation, &[BasicDay, BasicIllness, FamilyPicture][..]), (PreventivePlan, &[PreventiveSupport])]
    {
        if any(children) {
            parts.push(document);
        }
    }
    parts
}

/// The files of a slip are of one month.
fn one_month(files: &mut [ReadFile<'_>]) {
    let month = |file: &ReadFile<'_>| file.name.as_ref().and_then(|name| name.month);
    let Some(first) = files.iter().find_map(month) else { return };
    for file in files.iter_mut().filter(|f| f.problems.errors() == 0 && month(f).is_some_and(|month| month != first)) {
        let text =
            format!("同じファイル連番のほかのファイルは {first} です。一つの送付単位には1つの年月だけを入れてください");
        file.problems.push(Problem::of_file(file.problems.file(), "month_mismatch", text));
    }
}

/// Every picture is named by 利用者基本情報, and every picture named is there; either way the rest can be read.
fn pictures(files: &mut [ReadFile<'_>]) {
    let sent: HashSet<String> =
        files.iter().filter(|file| !file.kind.has_rows()).map(|file| file.problems.file().to_lowercase()).collect();
    let mut named = HashSet::new();
    for file in files.iter_mut().filter(|file| file.kind == PlanFileKind::BasicInformation) {
        let at = file.index("picture_name");
        let mut found = Vec::new();
        for row in file.rows.iter().filter(|row| row.is_sound() && !row.get(at).is_empty()) {
            let name = row.get(at).to_lowercase();
            if !sent.contains(&name) {
                let text = "この名前の画像が同じファイル連番にありません。画像を添えて送ってください";
                found.push(file.problem(row, "picture_name", "picture", text).found(row.get(at)).warning());
            } else if !named.insert(name) {
                let text = "同じ画像がほかの利用者の欄にも書かれています。画像の名前を確認してください";
                found.push(file.problem(row, "picture_name", "picture", text).found(row.get(at)));
            }
        }
        file.push_all(found);
    }
    let is_unnamed =
        |file: &&mut ReadFile<'_>| !file.kind.has_rows() && !named.contains(&file.problems.file().to_lowercase());
    for file in files.iter_mut().filter(is_unnamed) {
        let text = "この画像の名前が利用者基本情報の「家族構成 画像ファイル名」にないため、登録しません";
        file.problems.push(Problem::of_file(file.problems.file(), "picture", text).warning());
    }
}

/// Every row has a parent row with the same person and day (or month). A parent file that is missing or faulty has
/// been told already, so nothing more is said then.
fn check_parents(files: &mut [ReadFile<'_>], parent: PlanFileKind, key: &str, children: &[PlanFileKind]) {
    let mut parents = Vec::new();
    for file in files.iter().filter(|file| file.kind == parent) {
        if file.problems.errors() > 0 {
            return;
        }
        let columns = link(file, key);
        let mut last: Option<RowRef<'_>> = None;
        for row in file.rows.iter() {
            if !last.replace(row).is_some_and(|last| columns.iter().all(|at| row.repeats(last, *at))) {
                parents.push(columns.map(|at| row.get(at)));
            }
        }
    }
    if !files.iter().any(|file| file.kind == parent) {
        return;
    }
    let mut parents = Keys::of(parents.into_iter());
    let orphans: Vec<(usize, Vec<Problem>)> = files
        .iter()
        .enumerate()
        .filter(|(_, file)| children.contains(&file.kind))
        .map(|(at, file)| (at, orphans_of(file, &mut parents, parent, key)))
        .collect();
    orphans.into_iter().for_each(|(at, found)| files[at].push_all(found));
}

/// The rows of a file that have no parent, each of them told once.
fn orphans_of<'f>(
    file: &'f ReadFile<'_>,
    parents: &mut Keys<[&'f str; 3]>,
    parent: PlanFileKind,
    key: &str,
) -> Vec<Problem> {
    let columns = link(file, key);
    let mut told = HashSet::new();
    let mut found = Vec::new();
    // Rows of one document follow one another.
    let mut last: Option<RowRef<'_>> = None;
    for row in file.rows.iter().filter(|row| row.is_sound()) {
        let repeats = last.replace(row).is_some_and(|last| columns.iter().all(|at| row.repeats(last, *at)));
        let keys = columns.map(|at| row.get(at));
        if repeats || parents.contains(&keys) || !told.insert(keys) {
            continue;
        }
        let text = format!(
            "同じ保険者番号・被保険者番号・{}の行が{}にありません。番号と日付を確認してください",
            file.layout.column(key).1,
            parent.prefix()
        );
        found.push(file.problem(row, key, "parent", text).found(row.get(file.index(key))));
    }
    found
}

/// The columns of the person and of the item that links two files.
fn link(file: &ReadFile<'_>, key: &str) -> [usize; 3] {
    [file.index("insurer"), file.index("insured"), file.index(key)]
}

/// Keys that are asked for nearly in their order: the files of a unit name people in the same one.
struct Keys<K> {
    sorted: Vec<K>,
    at: usize,
}

impl<K: Ord> Keys<K> {
    fn of(keys: impl Iterator<Item = K>) -> Self {
        let mut sorted: Vec<K> = keys.collect();
        sorted.sort();
        sorted.dedup();
        Self { sorted, at: 0 }
    }

    fn contains(&mut self, key: &K) -> bool {
        let near = [self.at, self.at + 1].into_iter().find(|at| self.sorted.get(*at) == Some(key));
        let found = near.or_else(|| self.sorted.binary_search(key).ok());
        self.at = found.unwrap_or(self.at);
        found.is_some()
    }
}
