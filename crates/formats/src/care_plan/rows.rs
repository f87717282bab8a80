//! Rows of the exchange files ⇄ domain values, item by item.

use super::rules::NO_OFFICE;
use crate::layout::{Fields, FileLayout, Record, RowRef};
use kiban_domain::care_plan::{
    CertificationState, ClockTime, Coverage, DailyActivity, HouseworkReason, LongGoal, Need, PlanKind, PlanWithdrawal,
    PlannedService, ServiceTypeLimit, ShortGoal, SlipLine, Supplement, Table1, Table7Line, WeekRow, Weekday,
    WeeklyService,
};
use kiban_domain::certification::CareLevel;
use kiban_domain::dates::ServiceMonth;
use kiban_domain::insured::Sex;
use kiban_domain::{Date, OfficeNumber, PersonKey};

pub fn begin<'a>(layout: &'a FileLayout, person: &PersonKey) -> Record<'a> {
    let mut record = Record::new(layout);
    let version = layout.items.first().and_then(|item| item.codes.first()).map_or("", |(code, _)| code);
    record.put("version", version).put("insurer", person.insurer).put("insured", person.insured);
    record
}

pub fn person(fields: &mut Fields<'_>) -> Option<PersonKey> {
    fields.str("version");
    fields.person()
}

/// Person, 計画作成（変更）日 and the table.
pub fn table1(f: &mut Fields<'_>) -> Option<(PersonKey, Date, Table1)> {
    let person = person(f)?;
    let made_on = f.date("made_on")?;
    let postal_code = f.text("postal_code");
    let address1 = f.text("address1");
    let address2 = f.text("address2");
    let care_manager_name = f.text("care_manager_name");
    let office_name = f.text("office_name");
    let office_postal_code = f.text("office_postal_code");
    let office_address1 = f.text("office_address1");
    let office_address2 = f.text("office_address2");
    let office = f.office("office")?;
    let changed_on = f.date("changed_on")?;
    let table = Table1 {
        made_on,
        postal_code,
        address1,
        address2,
        care_manager_name,
        office_name,
        office_postal_code,
        office_address1,
        office_address2,
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
        housework_reason: f.code("housework_reason", HouseworkReason::from_code),
        housework_other: f.text("housework_other"),
        updated_by: f.office("updated_by"),
        marker: f.text("marker"),
    };
    Some((person, changed_on, table))
}

/// Inverse of [`table1`].
pub fn write_table1<'a>(layout: &'a FileLayout, person: &PersonKey, changed_on: Date, t: &Table1) -> Record<'a> {
    let mut r = begin(layout, person);
    r.date("made_on", t.made_on)
        .put("postal_code", &t.postal_code)
        .put("address1", &t.address1)
        .put("address2", &t.address2)
        .put("care_manager_name", &t.care_manager_name)
        .put("office_name", &t.office_name)
        .put("office_postal_code", &t.office_postal_code)
        .put("office_address1", &t.office_address1)
        .put("office_address2", &t.office_address2)
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
        .opt("housework_reason", t.housework_reason.map(HouseworkReason::code))
        .put("housework_other", &t.housework_other)
        .opt("updated_by", t.updated_by)
        .put("marker", &t.marker);
    r
}

/// One line of 第2表 before the tree is built.
#[derive(Debug)]
pub struct Table2Row<S = PlannedService> {
    pub made_on: Option<Date>,
    need_no: Option<u8>,
    need: String,
    goal_no: Option<u8>,
    long_goal: String,
    short_goal: String,
    long_period: String,
    short_period: String,
    /// 援助内容ＮＯ
    pub service_no: Option<u8>,
    /// None on a line that holds goals only.
    pub service: Option<S>,
}

impl<S> Table2Row<S> {
    /// The items from 課題ＮＯ to 短期期間; the service is still to come.
    pub fn goals(made_on: Option<Date>, f: &mut Fields<'_>) -> Self {
        Self {
            made_on,
            need_no: f.number("need_no"),
            need: f.text("need"),
            goal_no: f.number("goal_no"),
            long_goal: f.text("long_goal"),
            short_goal: f.text("short_goal"),
            long_period: f.text("long_period"),
            short_period: f.text("short_period"),
            service_no: None,
            service: None,
        }
    }
}

/// Person, 計画作成（変更）日 and the line.
pub fn table2(f: &mut Fields<'_>) -> Option<(PersonKey, Date, Table2Row)> {
    let person = person(f)?;
    let made_on = f.date("made_on");
    let changed_on = f.date("changed_on")?;
    let mut line = Table2Row::goals(made_on, f);
    let service = PlannedService {
        number: f.number("service_no"),
        content: f.text("content"),
        coverage: f.code("coverage", Coverage::from_code),
        kind: f.text("service_kind"),
        office: f.office("office"),
        office_name: f.text("office_name"),
        frequency: f.text("frequency"),
        period: f.text("period"),
        updated_by: f.office("updated_by"),
        marker: f.text("marker"),
    };
    line.service_no = service.number;
    line.service = Some(service).filter(|service| *service != blank_service());
    Some((person, changed_on, line))
}

/// Builds the tree. Text stands where it first appears and holds for the rows below of the same number; a text that
/// differs opens a new branch, a text repeated does not (docs/requirements.md §16).
pub fn build_needs<S>(mut rows: Vec<Table2Row<S>>) -> Vec<Need<S>> {
    let number = |row: &Table2Row<S>| Some((row.need_no?, row.goal_no?, row.service_no?));
    if rows.iter().all(|row| number(row).is_some()) {
        rows.sort_by_key(number);
    }
    let mut needs: Vec<Need<S>> = Vec::new();
    for row in rows {
        add_row(&mut needs, row);
    }
    needs
}

fn differs(new: &str, old: &str) -> bool {
    !new.is_empty() && new != old
}

fn add_row<S>(needs: &mut Vec<Need<S>>, row: Table2Row<S>) {
    if needs.last().is_none_or(|last| last.number != row.need_no || differs(&row.need, &last.text)) {
        needs.push(Need { number: row.need_no, text: row.need, long_goals: Vec::new() });
    }
    let Some(need) = needs.last_mut() else { return };
    let opens_goal = need.long_goals.last().is_none_or(|last| {
        last.number != row.goal_no || differs(&row.long_goal, &last.text) || differs(&row.long_period, &last.period)
    });
    if opens_goal {
        need.long_goals.push(LongGoal {
            number: row.goal_no,
            text: row.long_goal,
            period: row.long_period,
            short_goals: Vec::new(),
        });
    }
    let Some(goal) = need.long_goals.last_mut() else { return };
    let opens_short = goal
        .short_goals
        .last()
        .is_none_or(|last| differs(&row.short_goal, &last.text) || differs(&row.short_period, &last.period));
    if opens_short {
        goal.short_goals.push(ShortGoal { text: row.short_goal, period: row.short_period, services: Vec::new() });
    }
    let Some(short) = goal.short_goals.last_mut() else { return };
    short.services.extend(row.service);
}

/// A line of 第2表 without a service.
pub fn blank_service() -> PlannedService {
    PlannedService {
        number: None,
        content: String::new(),
        coverage: None,
        kind: String::new(),
        office: None,
        office_name: String::new(),
        frequency: String::new(),
        period: String::new(),
        updated_by: None,
        marker: String::new(),
    }
}

/// Inverse of [`build_needs`]: one row per service, text only where it first appears.
pub fn write_needs<'a, S>(
    layout: &'a FileLayout,
    person: &PersonKey,
    (changed_on, made_on): (Date, Date),
    needs: &[Need<S>],
    (blank, write): (S, impl Fn(&mut Record<'_>, &S)),
) -> Vec<Record<'a>> {
    let mut records = Vec::new();
    let blank = [blank];
    for need in needs {
        let mut first_of_need = true;
        for goal in &need.long_goals {
            let mut first_of_goal = true;
            for short in &goal.short_goals {
                let services = if short.services.is_empty() { &blank[..] } else { &short.services[..] };
                for (i, service) in services.iter().enumerate() {
                    let shown = |show: bool, text: &str| if show { text.to_owned() } else { String::new() };
                    let mut r = begin(layout, person);
                    r.date("made_on", made_on)
                        .date("changed_on", changed_on)
                        .opt("need_no", need.number)
                        .put("need", shown(first_of_need, &need.text))
                        .opt("goal_no", goal.number)
                        .put("long_goal", shown(first_of_goal, &goal.text))
                        .put("short_goal", shown(i == 0, &short.text))
                        .put("long_period", shown(first_of_goal, &goal.period))
                        .put("short_period", shown(i == 0, &short.period));
                    write(&mut r, service);
                    records.push(r);
                    first_of_need = false;
                    first_of_goal = false;
                }
            }
        }
    }
    records
}

/// The items of a service, behind those of its goals.
pub fn write_service(r: &mut Record<'_>, service: &PlannedService) {
    r.opt("service_no", service.number)
        .put("content", &service.content)
        .opt("coverage", service.coverage.map(Coverage::code))
        .put("service_kind", &service.kind)
        .opt("office", service.office)
        .put("office_name", &service.office_name)
        .put("frequency", &service.frequency)
        .put("period", &service.period)
        .opt("updated_by", service.updated_by)
        .put("marker", &service.marker);
}

/// Person, 計画作成（変更）日, 作成年月日 and the row of 第3表.
pub fn table3(f: &mut Fields<'_>) -> Option<(PersonKey, Date, Option<Date>, WeekRow)> {
    let person = person(f)?;
    let made_on = f.date("made_on");
    let changed_on = f.date("changed_on")?;
    let service = WeeklyService {
        content: f.text("service"),
        weekday: f.code("weekday", Weekday::from_code),
        from: f.time("service_from"),
        to: f.time("service_to"),
    };
    let activity =
        DailyActivity { content: f.text("activity"), from: f.time("activity_from"), to: f.time("activity_to") };
    let has_service =
        !service.content.is_empty() || service.weekday.is_some() || service.from.is_some() || service.to.is_some();
    let has_activity = !activity.content.is_empty() || activity.from.is_some() || activity.to.is_some();
    let week = WeekRow {
        service: has_service.then_some(service),
        activity: has_activity.then_some(activity),
        other: f.text("other"),
    };
    Some((person, changed_on, made_on, week))
}

/// Inverse of [`table3`].
pub fn write_table3<'a>(
    layout: &'a FileLayout,
    person: &PersonKey,
    changed_on: Date,
    made_on: Date,
    week: &WeekRow,
) -> Record<'a> {
    let service = week.service.as_ref();
    let activity = week.activity.as_ref();
    let mut r = begin(layout, person);
    r.date("made_on", made_on)
        .date("changed_on", changed_on)
        .opt("service", service.map(|s| &s.content))
        .opt("weekday", service.and_then(|s| s.weekday).map(Weekday::code))
        .opt("service_from", service.and_then(|s| s.from))
        .opt("service_to", service.and_then(|s| s.to))
        .opt("activity", activity.map(|a| &a.content))
        .opt("activity_from", activity.and_then(|a| a.from))
        .opt("activity_to", activity.and_then(|a| a.to))
        .put("other", &week.other);
    r
}

/// Person and the supplement.
pub fn supplement(f: &mut Fields<'_>) -> Option<(PersonKey, Supplement)> {
    let person = person(f)?;
    let mut s = Supplement {
        changed_on: f.date("changed_on"),
        month: None,
        kana: f.text("kana"),
        name: f.text("name"),
        sex: f.code("sex", Sex::from_code),
        birth: f.date("birth"),
        postal_code: f.text("postal_code"),
        address1: f.text("address1"),
        address2: f.text("address2"),
        telephone: f.text("telephone"),
        certified_on: f.date("certified_on"),
        limit_from: f.date("limit_from"),
        limit_to: f.date("limit_to"),
        certification_state: f.code("certification_state", CertificationState::from_code),
        level_changed_on: f.date("level_changed_on"),
        level: f.code("level", CareLevel::from_code),
        limit_units: f.number("limit_units"),
        service_limits: Vec::new(),
        total_over_units: None,
        stay_days_before: None,
        stay_days_total: None,
        previous_level: None,
        consent_office: None,
        updated_by: None,
        marker: String::new(),
    };
    for slot in 1..=9 {
        let [service, limit, total, over] = [
            f.key(0, format_args!("limit{slot}_service")),
            f.key(1, format_args!("limit{slot}_units")),
            f.key(2, format_args!("limit{slot}_total")),
            f.key(3, format_args!("limit{slot}_over")),
        ];
        s.service_limits.push(ServiceTypeLimit {
            service: f.service(service),
            limit_units: f.number(limit),
            total_units: f.number(total),
            over_units: f.number(over),
        });
    }
    while s.service_limits.last().is_some_and(|slot| *slot == ServiceTypeLimit::default()) {
        s.service_limits.pop();
    }
    s.total_over_units = f.number("total_over_units");
    s.stay_days_before = f.number("stay_days_before");
    s.stay_days_total = f.number("stay_days_total");
    s.previous_level = f.code("previous_level", CareLevel::from_code);
    s.consent_office = f.office("consent_office");
    s.updated_by = f.office("updated_by");
    s.marker = f.text("marker");
    s.month = f.month("month");
    Some((person, s))
}

/// Inverse of [`supplement`].
pub fn write_supplement<'a>(layout: &'a FileLayout, person: &PersonKey, s: &Supplement) -> Record<'a> {
    let mut r = begin(layout, person);
    r.put("changed_on", s.changed_on.map_or("00000000".to_owned(), kiban_domain::dates::yyyymmdd))
        .put("kana", &s.kana)
        .put("name", &s.name)
        .opt("sex", s.sex.map(Sex::code))
        .date("birth", s.birth)
        .put("postal_code", &s.postal_code)
        .put("address1", &s.address1)
        .put("address2", &s.address2)
        .put("telephone", &s.telephone)
        .date("certified_on", s.certified_on)
        .date("limit_from", s.limit_from)
        .date("limit_to", s.limit_to)
        .opt("certification_state", s.certification_state.map(CertificationState::code))
        .date("level_changed_on", s.level_changed_on)
        .opt("level", s.level.map(CareLevel::code))
        .opt("limit_units", s.limit_units);
    for slot in 1..=9 {
        let limit = s.service_limits.get(slot - 1).cloned().unwrap_or_default();
        r.opt(&format!("limit{slot}_service"), limit.service)
            .opt(&format!("limit{slot}_units"), limit.limit_units)
            .opt(&format!("limit{slot}_total"), limit.total_units)
            .opt(&format!("limit{slot}_over"), limit.over_units);
    }
    r.opt("total_over_units", s.total_over_units)
        .opt("stay_days_before", s.stay_days_before)
        .opt("stay_days_total", s.stay_days_total)
        .opt("previous_level", s.previous_level.map(CareLevel::code))
        .opt("consent_office", s.consent_office)
        .opt("updated_by", s.updated_by)
        .put("marker", &s.marker)
        .put("month", s.month.map_or("000000".to_owned(), |month| month.to_string()));
    r
}

/// Person, month and the line of 第6表 (予定 or 実績).
pub fn slip_line(f: &mut Fields<'_>) -> Option<(PersonKey, ServiceMonth, SlipLine)> {
    let person = person(f)?;
    let made_on = f.date("made_on")?;
    let month = f.month("month")?;
    let line = SlipLine {
        made_on,
        planner: f.office("planner"),
        planner_name: f.text("planner_name"),
        units: f.number("units"),
        short_stay_days_before: f.number("short_stay_days_before"),
        day: f.date("day")?,
        prorated_days: f.text("prorated_days"),
        from: f.time("from"),
        to: f.time("to"),
        count: f.number("count")?,
        service_code: f.text("service_code"),
        tais_code: f.text_if_there("tais_code"),
        equipment_code: f.text_if_there("equipment_code"),
        equipment_name: f.text_if_there("equipment_name"),
        detail_number: f.number("detail_number"),
        office: f.office("office")?,
        office_name: f.text("office_name"),
        satellite: f.text("satellite"),
        over_30_days: f.flag("over_30_days"),
        updated_by: f.office("updated_by"),
        marker: f.text("marker"),
    };
    Some((person, month, line))
}

/// Adds the line of a row that is like the one before, the last of these, but for its day.
pub fn add_next_day(f: &mut Fields<'_>, lines: &mut Vec<SlipLine>) {
    if let (Some(day), Some(before)) = (f.date("day"), lines.last()) {
        let line = SlipLine { day, ..before.clone() };
        lines.push(line);
    }
}

/// Inverse of [`slip_line`].
pub fn write_slip_line<'a>(
    layout: &'a FileLayout,
    person: &PersonKey,
    month: ServiceMonth,
    l: &SlipLine,
) -> Record<'a> {
    let time = |time: Option<ClockTime>| time.map_or("9999".to_owned(), |time| time.to_string());
    let mut r = begin(layout, person);
    r.date("made_on", l.made_on)
        .put("month", month)
        .opt("planner", l.planner)
        .put("planner_name", &l.planner_name)
        .opt("units", l.units)
        .opt("short_stay_days_before", l.short_stay_days_before)
        .date("day", l.day)
        .put("prorated_days", &l.prorated_days)
        .put("from", time(l.from))
        .put("to", time(l.to))
        .put("count", l.count)
        .put("service_code", &l.service_code)
        .put_if_there("tais_code", &l.tais_code)
        .put_if_there("equipment_code", &l.equipment_code)
        .put_if_there("equipment_name", &l.equipment_name)
        .opt("detail_number", l.detail_number)
        .put("office", l.office)
        .put("office_name", &l.office_name)
        .put("satellite", &l.satellite)
        .flag("over_30_days", l.over_30_days)
        .opt("updated_by", l.updated_by)
        .put("marker", &l.marker);
    r
}

/// Person, month and the line of 第7表.
pub fn table7(f: &mut Fields<'_>) -> Option<(PersonKey, ServiceMonth, Table7Line)> {
    let person = person(f)?;
    let made_on = f.date("made_on")?;
    let month = f.month("month")?;
    let line = Table7Line {
        made_on,
        office_name: f.text("office_name"),
        office: f.office("office")?,
        satellite: f.text("satellite"),
        service_code: f.text("service_code"),
        tais_code: f.text_if_there("tais_code"),
        equipment_code: f.text_if_there("equipment_code"),
        equipment_name: f.text_if_there("equipment_name"),
        units: f.number("units")?,
        discount_percent: f.number("discount_percent"),
        discounted_units: f.number("discounted_units"),
        count: f.number("count")?,
        service_units: f.number("service_units"),
        managed_units: f.number("managed_units"),
        over_type_limit: f.number("over_type_limit"),
        within_type_limit: f.number("within_type_limit"),
        over_limit: f.number("over_limit"),
        within_limit: f.number("within_limit"),
        unit_price: f.text("unit_price"),
        total_cost: f.number("total_cost"),
        benefit_percent: f.number("benefit_percent"),
        claimed: f.number("claimed"),
        fixed_copayment: f.number("fixed_copayment"),
        copayment: f.number("copayment"),
        paid_in_full: f.number("paid_in_full"),
        days_before: f.number("days_before"),
        days_planned: f.number("days_planned"),
        days_total: f.number("days_total"),
        over_30_days: f.flag("over_30_days"),
        office_fixed: f.office("office_fixed"),
        entered_by: f.office("entered_by"),
        updated_by: f.office("updated_by"),
        marker: f.text("marker"),
    };
    Some((person, month, line))
}

/// Inverse of [`table7`]. Which of 事業所コード and 入力者コード is fixed to 9999999999 is not certain, so both are where they are blank.
pub fn write_table7<'a>(layout: &'a FileLayout, person: &PersonKey, month: ServiceMonth, l: &Table7Line) -> Record<'a> {
    let fixed = |office: Option<OfficeNumber>| office.map_or(NO_OFFICE.to_owned(), |office| office.to_string());
    let mut r = begin(layout, person);
    r.date("made_on", l.made_on)
        .put("month", month)
        .put("office_name", &l.office_name)
        .put("office", l.office)
        .put("satellite", &l.satellite)
        .put("service_code", &l.service_code)
        .put_if_there("tais_code", &l.tais_code)
        .put_if_there("equipment_code", &l.equipment_code)
        .put_if_there("equipment_name", &l.equipment_name)
        .put("units", l.units)
        .opt("discount_percent", l.discount_percent)
        .opt("discounted_units", l.discounted_units)
        .put("count", l.count)
        .opt("service_units", l.service_units)
        .opt("managed_units", l.managed_units)
        .opt("over_type_limit", l.over_type_limit)
        .opt("within_type_limit", l.within_type_limit)
        .opt("over_limit", l.over_limit)
        .opt("within_limit", l.within_limit)
        .put("unit_price", &l.unit_price)
        .opt("total_cost", l.total_cost)
        .opt("benefit_percent", l.benefit_percent)
        .opt("claimed", l.claimed)
        .opt("fixed_copayment", l.fixed_copayment)
        .opt("copayment", l.copayment)
        .opt("paid_in_full", l.paid_in_full)
        .opt("days_before", l.days_before)
        .opt("days_planned", l.days_planned)
        .opt("days_total", l.days_total)
        .flag("over_30_days", l.over_30_days)
        .put("office_fixed", fixed(l.office_fixed))
        .put("entered_by", fixed(l.entered_by))
        .opt("updated_by", l.updated_by)
        .put("marker", &l.marker);
    r
}

/// What a 削除 file withdraws, told apart by the layout.
pub fn withdrawal(layout: &FileLayout, row: RowRef<'_>) -> Option<PlanWithdrawal> {
    let mut f = Fields::of(layout, row);
    let person = person(&mut f)?;
    Some(match layout.file {
        "DLT1KYO" => PlanWithdrawal::Plan { person, changed_on: f.date("changed_on")? },
        "DLTPLAN" => PlanWithdrawal::Slip { person, month: f.month("month")? },
        "DLTKIHON" => PlanWithdrawal::BasicInformation { person, consulted_on: f.date("consulted_on")? },
        "KGSPD" => PlanWithdrawal::FacilityPlan { person, changed_on: f.date("changed_on")? },
        "DLTYOBO" => PlanWithdrawal::PreventivePlan { person, changed_on: f.date("changed_on")? },
        _ => PlanWithdrawal::Actuals {
            person,
            month: f.month("month")?,
            office: f.office("office")?,
            service: f.service("service")?,
        },
    })
}

/// Inverse of [`withdrawal`].
pub fn write_withdrawal<'a>(layout: &'a FileLayout, withdrawal: &PlanWithdrawal) -> Record<'a> {
    match withdrawal {
        PlanWithdrawal::Plan { person, changed_on }
        | PlanWithdrawal::PreventivePlan { person, changed_on }
        | PlanWithdrawal::FacilityPlan { person, changed_on } => {
            let mut r = begin(layout, person);
            r.date("changed_on", *changed_on);
            r
        }
        PlanWithdrawal::BasicInformation { person, consulted_on } => {
            let mut r = begin(layout, person);
            r.date("consulted_on", *consulted_on);
            r
        }
        PlanWithdrawal::Slip { person, month } => {
            let mut r = begin(layout, person);
            r.put("month", month);
            r
        }
        PlanWithdrawal::Actuals { person, month, office, service } => {
            let mut r = begin(layout, person);
            r.put("month", month).put("office", office).put("service", service);
            r
        }
    }
}
