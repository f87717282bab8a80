//! Rows of the preventive-care files ⇄ domain values: 利用者基本情報 with its 別表 and picture, 支援計画書 with its 別表.
//! One list of items serves both ways.

use super::rows::{begin, person};
use crate::layout::{Fields, FileLayout, Record, RowRef};
use kiban_domain::care_plan::preventive::{
    BasicInformation, BasicItems, CheckAreas, ChecklistResult, ConsultationCount, ConsultationMethod, DayRow,
    EmergencyContact, Entrustment, Housing, Illness, IllnessCourse, LifeArea, Presence, PreventiveIssue,
    PreventiveItems, PreventivePlan, PreventiveProgram, ProgramNeed, SupportLevel, SupportPlan, Ticked,
    TreatingPhysician, UsedService, Whereabouts,
};
use kiban_domain::care_plan::{CertificationState, PlanKind};
use kiban_domain::certification::CareLevel;
use kiban_domain::insured::Sex;
use kiban_domain::physician_opinion::{DementiaIndependence, PhysicalIndependence};
use kiban_domain::{Date, PersonKey};

/// One item, read.
macro_rules! read_item {
    ($fields:ident $key:expr, text) => {
        $fields.text($key)
    };
    ($fields:ident $key:expr, date) => {
        $fields.date($key)
    };
    ($fields:ident $key:expr, number) => {
        $fields.number($key)
    };
    ($fields:ident $key:expr, code($choice:ident)) => {
        $fields.code($key, $choice::from_code)
    };
    ($fields:ident $key:expr, by($read:expr, $write:expr)) => {
        $read($fields, $key)
    };
}

/// The same item, written.
macro_rules! write_item {
    ($record:ident $key:expr, $value:expr, text) => {
        $record.put($key, &$value)
    };
    ($record:ident $key:expr, $value:expr, date) => {
        $record.date($key, $value)
    };
    ($record:ident $key:expr, $value:expr, number) => {
        $record.opt($key, $value)
    };
    ($record:ident $key:expr, $value:expr, code($choice:ident)) => {
        $record.opt($key, $value.map($choice::code))
    };
    ($record:ident $key:expr, $value:expr, by($read:expr, $write:expr)) => {
        $write($record, $key, &$value)
    };
}

/// Both ways through a struct whose fields are named like the items, in the order of the file.
macro_rules! both_ways {
    ($type:ident: $read:ident, $write:ident { $($field:ident: $way:ident $(($($with:tt)*))?,)+ }) => {
        fn $read(fields: &mut Fields<'_>) -> $type {
            $type { $($field: read_item!(fields stringify!($field), $way $(($($with)*))?),)+ }
        }

        fn $write(record: &mut Record<'_>, value: &$type) {
            $(write_item!(record stringify!($field), value.$field, $way $(($($with)*))?);)+
        }
    };
}

both_ways!(BasicItems: read_basic, write_basic {
    program: code(PreventiveProgram),
    entrustment: code(Entrustment),
    author: text,
    method: code(ConsultationMethod),
    method_other: text,
    consultation: code(ConsultationCount),
    previous_on: date,
    whereabouts: code(Whereabouts),
    whereabouts_note: text,
    kana: text,
    name: text,
    sex: code(Sex),
    birth: date,
    address: text,
    telephone: text,
    fax: text,
    physical: by(read_physical, write_physical),
    dementia: by(read_dementia, write_dementia),
    level: code(CareLevel),
    valid_from: date,
    valid_to: date,
    previous_level: code(CareLevel),
    checklist: code(ChecklistResult),
    checklist_on: date,
    disability_physical: code(Ticked),
    disability_intellectual: code(Ticked),
    disability_mental: code(Ticked),
    disability_intractable: code(Ticked),
    disability_note: text,
    housing: code(Housing),
    floor: number,
    home_modified: code(Presence),
    national_pension: code(Ticked),
    employees_pension: code(Ticked),
    disability_pension: code(Ticked),
    public_assistance: code(Ticked),
    income_note: text,
    visitor_name: text,
    visitor_address: text,
    visitor_telephone: text,
    visitor_relation: text,
    contacts: by(read_contacts, write_contacts),
    picture_name: text,
    family: text,
    past_life: text,
    daily_life: text,
    hobbies: text,
    friends: text,
    public_services: text,
    other_services: text,
    agreed_on: date,
    agreed_by: text,
});

both_ways!(DayRow: read_day, write_day { time: text, own: text, family: text, });

both_ways!(Illness: read_illness, write_illness {
    when: text,
    name: text,
    physician: text,
    treating: code(TreatingPhysician),
    telephone: text,
    course: code(IllnessCourse),
    treatment: text,
});

both_ways!(PreventiveItems: read_plan, write_plan {
    program: code(PreventiveProgram),
    entrustment: code(Entrustment),
    file_number: text,
    name: text,
    certified_on: date,
    valid_from: date,
    valid_to: date,
    kind: code(PlanKind),
    certification_state: code(CertificationState),
    level: code(SupportLevel),
    center_author: text,
    care_manager_name: text,
    office_name: text,
    office_address: text,
    office_telephone: text,
    first_made_on: date,
    center: text,
    goal_of_day: text,
    goal_of_year: text,
    movement: by(read_area, write_area),
    home_life: by(read_area, write_area),
    society: by(read_area, write_area),
    health: by(read_area, write_area),
    health_note: text,
    support_policy: text,
    policy: text,
    checklist: by(read_checklist, write_checklist),
    programs: by(read_programs, write_programs),
    center_opinion: text,
    agreed_on: date,
    agreed_by: text,
});

/// Codes of 障害高齢者の日常生活自立度 in these files, in the order of the choices.
const PHYSICAL: [&str; 9] = ["01", "11", "12", "21", "22", "31", "32", "41", "42"];
/// Codes of 認知症高齢者の日常生活自立度 in these files, in the order of the choices.
const DEMENTIA: [&str; 8] = ["01", "02", "03", "04", "05", "06", "07", "08"];

fn read_physical(f: &mut Fields<'_>, key: &str) -> Option<PhysicalIndependence> {
    f.code(key, |code| choice_of(code, &PHYSICAL, PhysicalIndependence::ALL))
}

fn write_physical(r: &mut Record<'_>, key: &str, value: &Option<PhysicalIndependence>) {
    r.opt(key, value.and_then(|value| code_of(value, &PHYSICAL, PhysicalIndependence::ALL)));
}

fn read_dementia(f: &mut Fields<'_>, key: &str) -> Option<DementiaIndependence> {
    f.code(key, |code| choice_of(code, &DEMENTIA, DementiaIndependence::ALL))
}

fn write_dementia(r: &mut Record<'_>, key: &str, value: &Option<DementiaIndependence>) {
    r.opt(key, value.and_then(|value| code_of(value, &DEMENTIA, DementiaIndependence::ALL)));
}

fn choice_of<T: Copy>(code: &str, codes: &[&str], choices: &[T]) -> Option<T> {
    choices.get(codes.iter().position(|known| *known == code)?).copied()
}

fn code_of<T: PartialEq>(choice: T, codes: &[&'static str], choices: &[T]) -> Option<&'static str> {
    codes.get(choices.iter().position(|known| *known == choice)?).copied()
}

fn read_contacts(f: &mut Fields<'_>, _: &str) -> Vec<EmergencyContact> {
    let mut contacts = Vec::new();
    for n in 1..=4 {
        contacts.push(EmergencyContact {
            name: f.text(&format!("contact{n}_name")),
            relation: f.text(&format!("contact{n}_relation")),
            address: f.text(&format!("contact{n}_address")),
            telephone: f.text(&format!("contact{n}_telephone")),
        });
    }
    while contacts.last().is_some_and(|contact| *contact == EmergencyContact::default()) {
        contacts.pop();
    }
    contacts
}

fn write_contacts(r: &mut Record<'_>, _: &str, contacts: &[EmergencyContact]) {
    let none = EmergencyContact::default();
    for n in 1..=4 {
        let contact = contacts.get(n - 1).unwrap_or(&none);
        r.put(&format!("contact{n}_name"), &contact.name)
            .put(&format!("contact{n}_relation"), &contact.relation)
            .put(&format!("contact{n}_address"), &contact.address)
            .put(&format!("contact{n}_telephone"), &contact.telephone);
    }
}

fn read_area(f: &mut Fields<'_>, area: &str) -> LifeArea {
    LifeArea {
        now: f.text(&format!("{area}_now")),
        wish: f.text(&format!("{area}_wish")),
        has_issue: f.code(&format!("{area}_has_issue"), Presence::from_code),
        issue: f.text(&format!("{area}_issue")),
    }
}

fn write_area(r: &mut Record<'_>, area: &str, value: &LifeArea) {
    r.put(&format!("{area}_now"), &value.now)
        .put(&format!("{area}_wish"), &value.wish)
        .opt(&format!("{area}_has_issue"), value.has_issue.map(Presence::code))
        .put(&format!("{area}_issue"), &value.issue);
}

fn read_areas<T>(mut read: impl FnMut(&str) -> Option<T>) -> CheckAreas<T> {
    CheckAreas {
        exercise: read("exercise"),
        nutrition: read("nutrition"),
        oral: read("oral"),
        seclusion: read("seclusion"),
        memory: read("memory"),
        depression: read("depression"),
    }
}

fn write_areas<T: Copy>(areas: &CheckAreas<T>, mut write: impl FnMut(&str, Option<T>)) {
    write("exercise", areas.exercise);
    write("nutrition", areas.nutrition);
    write("oral", areas.oral);
    write("seclusion", areas.seclusion);
    write("memory", areas.memory);
    write("depression", areas.depression);
}

fn read_checklist(f: &mut Fields<'_>, key: &str) -> CheckAreas<i32> {
    read_areas(|area| f.number(&format!("{key}_{area}")))
}

fn write_checklist(r: &mut Record<'_>, key: &str, areas: &CheckAreas<i32>) {
    write_areas(areas, |area, count| {
        r.opt(&format!("{key}_{area}"), count);
    });
}

fn read_programs(f: &mut Fields<'_>, key: &str) -> CheckAreas<ProgramNeed> {
    read_areas(|area| f.code(&format!("{key}_{area}"), ProgramNeed::from_code))
}

fn write_programs(r: &mut Record<'_>, key: &str, areas: &CheckAreas<ProgramNeed>) {
    write_areas(areas, |area, need| {
        r.opt(&format!("{key}_{area}"), need.map(ProgramNeed::code));
    });
}

/// 利用者基本情報 without what stands in its other files.
pub fn basic_information(layout: &FileLayout, row: RowRef<'_>) -> Option<BasicInformation> {
    let mut f = Fields::of(layout, row);
    let person = person(&mut f)?;
    let consulted_on = f.date("consulted_on")?;
    let items = read_basic(&mut f);
    Some(BasicInformation { person, consulted_on, items, day: Vec::new(), illnesses: Vec::new(), picture: None })
}

/// Inverse of [`basic_information`].
pub fn write_basic_information<'a>(layout: &'a FileLayout, basic: &BasicInformation) -> Record<'a> {
    let mut r = begin(layout, &basic.person);
    r.date("consulted_on", basic.consulted_on);
    write_basic(&mut r, &basic.items);
    r
}

/// Person, 相談日 and the row of 別表1.
pub fn day_row(layout: &FileLayout, row: RowRef<'_>) -> Option<(PersonKey, Date, DayRow)> {
    let mut f = Fields::of(layout, row);
    Some((person(&mut f)?, f.date("consulted_on")?, read_day(&mut f)))
}

/// Person, 相談日 and the row of 別表2.
pub fn illness(layout: &FileLayout, row: RowRef<'_>) -> Option<(PersonKey, Date, Illness)> {
    let mut f = Fields::of(layout, row);
    Some((person(&mut f)?, f.date("consulted_on")?, read_illness(&mut f)))
}

/// Inverse of [`day_row`], all of them.
pub fn write_days<'a>(layout: &'a FileLayout, basic: &BasicInformation) -> Vec<Record<'a>> {
    let record = |day: &DayRow| {
        let mut r = begin(layout, &basic.person);
        r.date("consulted_on", basic.consulted_on);
        write_day(&mut r, day);
        r
    };
    basic.day.iter().map(record).collect()
}

/// Inverse of [`illness`], all of them.
pub fn write_illnesses<'a>(layout: &'a FileLayout, basic: &BasicInformation) -> Vec<Record<'a>> {
    let record = |illness: &Illness| {
        let mut r = begin(layout, &basic.person);
        r.date("consulted_on", basic.consulted_on);
        write_illness(&mut r, illness);
        r
    };
    basic.illnesses.iter().map(record).collect()
}

/// 支援計画書 without its 別表.
pub fn preventive_plan(layout: &FileLayout, row: RowRef<'_>) -> Option<PreventivePlan> {
    let mut f = Fields::of(layout, row);
    let person = person(&mut f)?;
    let changed_on = f.date("changed_on")?;
    let items = read_plan(&mut f);
    Some(PreventivePlan { person, changed_on, items, issues: Vec::new() })
}

/// Inverse of [`preventive_plan`].
pub fn write_preventive_plan<'a>(layout: &'a FileLayout, plan: &PreventivePlan) -> Record<'a> {
    let mut r = begin(layout, &plan.person);
    r.date("changed_on", plan.changed_on);
    write_plan(&mut r, &plan.items);
    r
}

/// One line of the 別表 of 支援計画書 before the tree is built: an issue with one support with at most one service.
pub fn support_row(layout: &FileLayout, row: RowRef<'_>) -> Option<(PersonKey, Date, PreventiveIssue)> {
    let mut f = Fields::of(layout, row);
    let person = person(&mut f)?;
    let changed_on = f.date("changed_on")?;
    let mut issue = PreventiveIssue {
        number: f.number("issue_no"),
        text: f.text("issue"),
        proposal: f.text("proposal"),
        wish: f.text("wish"),
        goal: f.text("goal"),
        supports: Vec::new(),
    };
    let mut support = SupportPlan {
        number: f.number("support_no"),
        points: f.text("points"),
        self_care: f.text("self_care"),
        insured: f.text("insured_help"),
        services: Vec::new(),
    };
    let service = UsedService {
        number: f.number("service_no"),
        kind: f.text("service_kind"),
        office: f.text("service_office"),
        period: f.text("service_period"),
    };
    support.services.extend(Some(service).filter(|service| *service != no_service()));
    issue.supports.push(support);
    Some((person, changed_on, issue))
}

fn no_service() -> UsedService {
    UsedService { number: None, kind: String::new(), office: String::new(), period: String::new() }
}

/// Puts a line under the issues before it: text stands where it first appears, as in 第2表 (docs/requirements.md §16).
pub fn add_support(issues: &mut Vec<PreventiveIssue>, row: PreventiveIssue) {
    let differs = |new: &str, old: &str| !new.is_empty() && new != old;
    let same_issue = |last: &PreventiveIssue| {
        last.number == row.number
            && !differs(&row.text, &last.text)
            && !differs(&row.proposal, &last.proposal)
            && !differs(&row.wish, &last.wish)
            && !differs(&row.goal, &last.goal)
    };
    let Some(issue) = issues.last_mut().filter(|last| same_issue(last)) else { return issues.push(row) };
    for support in row.supports {
        let same_support = |last: &SupportPlan| {
            last.number == support.number
                && !differs(&support.points, &last.points)
                && !differs(&support.self_care, &last.self_care)
                && !differs(&support.insured, &last.insured)
        };
        match issue.supports.last_mut().filter(|last| same_support(last)) {
            Some(last) => last.services.extend(support.services),
            None => issue.supports.push(support),
        }
    }
}

/// Inverse of [`support_row`] and [`add_support`]: one row per service, text only where it first appears.
pub fn write_supports<'a>(layout: &'a FileLayout, plan: &PreventivePlan) -> Vec<Record<'a>> {
    let mut records = Vec::new();
    let none = [no_service()];
    for issue in &plan.issues {
        let mut first_of_issue = true;
        for support in &issue.supports {
            let services = if support.services.is_empty() { &none[..] } else { &support.services[..] };
            for (i, service) in services.iter().enumerate() {
                let shown = |show: bool, text: &str| if show { text.to_owned() } else { String::new() };
                let mut r = begin(layout, &plan.person);
                r.date("changed_on", plan.changed_on)
                    .opt("issue_no", issue.number)
                    .put("issue", shown(first_of_issue, &issue.text))
                    .put("proposal", shown(first_of_issue, &issue.proposal))
                    .put("wish", shown(first_of_issue, &issue.wish))
                    .put("goal", shown(first_of_issue, &issue.goal))
                    .opt("support_no", support.number)
                    .put("points", shown(i == 0, &support.points))
                    .put("self_care", shown(i == 0, &support.self_care))
                    .put("insured_help", shown(i == 0, &support.insured))
                    .opt("service_no", service.number)
                    .put("service_kind", &service.kind)
                    .put("service_office", &service.office)
                    .put("service_period", &service.period);
                records.push(r);
                first_of_issue = false;
            }
        }
    }
    records
}
