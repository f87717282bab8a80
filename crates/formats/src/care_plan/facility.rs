//! Rows of the facility profile ⇄ domain values: 施設サービス計画 第1・2・3表. **A profile of this project**: the standard has no
//! file for the plans of facilities.

use super::rows::{Table2Row, begin, person};
use crate::layout::{Fields, FileLayout, Record};
use kiban_domain::care_plan::facility::{FacilityService, FacilityTable1};
use kiban_domain::care_plan::{CertificationState, PlanKind};
use kiban_domain::certification::CareLevel;
use kiban_domain::{Date, PersonKey};

/// Person, 計画作成（変更）日 and the table.
pub fn table1(f: &mut Fields<'_>) -> Option<(PersonKey, Date, FacilityTable1)> {
    let person = person(f)?;
    let made_on = f.date("made_on")?;
    let name = f.text("name");
    let address = f.text("address");
    let author = f.text("author");
    let author_job = f.text("author_job");
    let office_name = f.text("office_name");
    let office_address = f.text("office_address");
    let office = f.office("office")?;
    let changed_on = f.date("changed_on")?;
    let table = FacilityTable1 {
        made_on,
        name,
        address,
        author,
        author_job,
        office_name,
        office_address,
        office,
        first_made_on: f.date("first_made_on")?,
        kind: f.code("kind", PlanKind::from_code),
        certification_state: f.code("certification_state", CertificationState::from_code),
        certified_on: f.date("certified_on"),
        valid_from: f.date("valid_from"),
        valid_to: f.date("valid_to"),
        level: f.code("level", CareLevel::from_code),
        analysis: f.text("analysis"),
        board_opinion: f.text("board_opinion"),
        policy: f.text("policy"),
        agreed_on: f.date("agreed_on"),
    };
    Some((person, changed_on, table))
}

/// Inverse of [`table1`].
pub fn write_table1<'a>(
    layout: &'a FileLayout,
    person: &PersonKey,
    changed_on: Date,
    t: &FacilityTable1,
) -> Record<'a> {
    let mut r = begin(layout, person);
    r.date("made_on", t.made_on)
        .put("name", &t.name)
        .put("address", &t.address)
        .put("author", &t.author)
        .put("author_job", &t.author_job)
        .put("office_name", &t.office_name)
        .put("office_address", &t.office_address)
        .put("office", t.office)
        .date("changed_on", changed_on)
        .date("first_made_on", t.first_made_on)
        .opt("kind", t.kind.map(PlanKind::code))
        .opt("certification_state", t.certification_state.map(CertificationState::code))
        .date("certified_on", t.certified_on)
        .date("valid_from", t.valid_from)
        .date("valid_to", t.valid_to)
        .opt("level", t.level.map(CareLevel::code))
        .put("analysis", &t.analysis)
        .put("board_opinion", &t.board_opinion)
        .put("policy", &t.policy)
        .date("agreed_on", t.agreed_on);
    r
}

/// Person, 計画作成（変更）日 and the line of 第2表.
pub fn table2(f: &mut Fields<'_>) -> Option<(PersonKey, Date, Table2Row<FacilityService>)> {
    let person = person(f)?;
    let made_on = f.date("made_on");
    let changed_on = f.date("changed_on")?;
    let mut line = Table2Row::goals(made_on, f);
    let service = FacilityService {
        number: f.number("service_no"),
        content: f.text("content"),
        staff: f.text("staff"),
        frequency: f.text("frequency"),
        period: f.text("period"),
    };
    line.service_no = service.number;
    line.service = Some(service).filter(|service| *service != blank_service());
    Some((person, changed_on, line))
}

/// A line of 第2表 without a service.
pub fn blank_service() -> FacilityService {
    let text = String::new;
    FacilityService { number: None, content: text(), staff: text(), frequency: text(), period: text() }
}

/// The items of a service, behind those of its goals.
pub fn write_service(r: &mut Record<'_>, service: &FacilityService) {
    r.opt("service_no", service.number)
        .put("content", &service.content)
        .put("staff", &service.staff)
        .put("frequency", &service.frequency)
        .put("period", &service.period);
}
