//! Care plans and slips of people with a 居宅介護支援事業所, as its software would write them (CP932, Ver. 4.1).

use crate::application::plus;
use crate::canary;
use crate::offices::{Role, SimOffice};
use crate::people::{Generator, SimPerson};
use jiff::civil::Date;
use kiban_domain::care_plan::{
    CarePlan, CertificationState, ClockTime, Coverage, DailyActivity, HouseworkReason, LongGoal, Need, PlanKind,
    PlannedService, ServiceSlip, ShortGoal, SlipLine, Supplement, Table1, Table2, Table3, Table7Line, WeekRow, Weekday,
    WeeklyService,
};
use kiban_domain::dates::{ServiceMonth, yyyymmdd};
use kiban_domain::insurance_card::CertifiedLevel;
use kiban_domain::{OfficeNumber, PersonKey};
use kiban_formats::Problem;
use kiban_formats::care_plan::{Sending, write_plan_set, write_slip_set};

use crate::files::Files;

/// Services an office of a role provides in every plan.
struct Service {
    role: Role,
    name: &'static str,
    need: &'static str,
    goal: &'static str,
    content: &'static str,
    /// Monday = 1; none means once, on the first day.
    weekdays: &'static [u8],
    from: &'static str,
    to: &'static str,
    code: &'static str,
    units: i32,
    tais_code: &'static str,
    equipment: &'static str,
}

const SERVICES: [Service; 4] = [
    Service {
        role: Role::HomeHelp,
        name: "訪問介護",
        need: "浴室で転ばずに入浴したい",
        goal: "自宅で入浴を続けられる",
        content: "入浴の見守りと一部介助",
        weekdays: &[1, 4],
        from: "1000",
        to: "1045",
        code: "111211",
        units: 387,
        tais_code: "",
        equipment: "",
    },
    Service {
        role: Role::DayCare,
        name: "通所介護",
        need: "人と話す機会がほしい",
        goal: "外出の習慣をもつ",
        content: "機能訓練, 体操と交流活動",
        weekdays: &[2, 5],
        from: "0930",
        to: "1645",
        code: "152442",
        units: 777,
        tais_code: "",
        equipment: "",
    },
    Service {
        role: Role::Equipment,
        name: "福祉用具貸与",
        need: "家の中を安全に移動したい",
        goal: "手すりを使って移動できる",
        content: "手すりの貸与(居室, 廊下)",
        weekdays: &[],
        from: "",
        to: "",
        code: "171007",
        units: 300,
        tais_code: "00001-000010",
        equipment: "置き型手すり見本Ａ",
    },
    Service {
        role: Role::Nursing,
        name: "訪問看護",
        need: "体調の変化に早く気づいてほしい",
        goal: "入院せずに過ごせる",
        content: "病状の観察と服薬の確認",
        weekdays: &[3],
        from: "1400",
        to: "1500",
        code: "131211",
        units: 823,
        tais_code: "",
        equipment: "",
    },
];

/// Both units of one person, from the 居宅介護支援事業所 to the first service office: UP1KYO, UP2KYO, UP3KYO, UPHOSOKU
/// and, for the service month, UPPLAN, UPSIKYU, UPHOSOKU. Nothing for people without such a plan.
pub fn care_plan_files(generator: &Generator, person: &SimPerson, month: ServiceMonth) -> Result<Files, Vec<Problem>> {
    let (Some(plan), Some(slip)) = (care_plan(generator, person), service_slip(generator, person, month)) else {
        return Ok(Files::new());
    };
    let Some(sending) = sending(generator, person, person.n) else { return Ok(Files::new()) };
    write(&[plan], &[slip], sending)
}

/// The same for everybody whose plan an office makes: one unit of plans and one of slips.
pub fn office_plan_files<'p>(
    generator: &Generator,
    office: OfficeNumber,
    people: impl IntoIterator<Item = &'p SimPerson>,
    month: ServiceMonth,
) -> Result<Files, Vec<Problem>> {
    let (mut plans, mut slips, mut sent) = (Vec::new(), Vec::new(), None);
    for person in people.into_iter().filter(|person| person.care.planner == Some(office)) {
        let (Some(plan), Some(slip)) = (care_plan(generator, person), service_slip(generator, person, month)) else {
            continue;
        };
        sent = sent.or_else(|| sending(generator, person, 0));
        plans.push(plan);
        slips.push(slip);
    }
    match sent {
        Some(sending) => write(&plans, &slips, sending),
        None => Ok(Files::new()),
    }
}

fn write(plans: &[CarePlan], slips: &[ServiceSlip], sending: Sending) -> Result<Files, Vec<Problem>> {
    let mut files = write_plan_set(plans, &sending)?;
    // The slip is the next unit: an odd serial after the even one of the plan.
    let serial = sending.serial.parse::<u64>().map_or(sending.serial.clone(), |serial| format!("{:014}", serial + 1));
    files.extend(write_slip_set(slips, &Sending { serial, ..sending })?);
    Ok(files)
}

/// From the planning office to the first service office; the serial is the day and a time made of the number, even.
fn sending(generator: &Generator, person: &SimPerson, number: u32) -> Option<Sending> {
    let sender = planner(generator, person)?;
    let receiver = person.care.services.iter().find_map(|number| generator.office(*number))?;
    let seconds = number % 43_200 * 2;
    let clock = format!("{:02}{:02}{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    Some(Sending {
        sender: sender.number(),
        sender_type: Some(sender.service_type()?),
        receiver: receiver.number(),
        receiver_type: Some(receiver.service_type()?),
        serial: format!("{}{clock}", yyyymmdd(plus(generator.spec().today, -1))),
    })
}

fn planner<'g>(generator: &'g Generator, person: &SimPerson) -> Option<&'g SimOffice> {
    let office = generator.office(person.care.planner?)?;
    matches!(office.role, Role::Planning | Role::HiddenPlanning).then_some(office)
}

/// Services of the person with their offices.
fn services<'g>(generator: &'g Generator, person: &SimPerson) -> Vec<(&'static Service, &'g SimOffice)> {
    let offices = person.care.services.iter().filter_map(|number| generator.office(*number));
    offices
        .filter_map(|office| SERVICES.iter().find(|s| s.role == office.role).map(|service| (service, office)))
        .collect()
}

/// Key as it stands in the exchange files: with the number printed on the card.
fn card_key(person: &SimPerson) -> PersonKey {
    PersonKey { insurer: person.insured.card_insurer, insured: person.insured.key.insured }
}

/// 計画作成（変更）日: when the certification was known and had begun.
fn changed_on(generator: &Generator, certified: &CertifiedLevel) -> Date {
    let begun = certified.valid.map_or(certified.decided_on, |valid| valid.from());
    plus(begun.max(certified.decided_on), 4).min(plus(generator.spec().today, -1))
}

/// 第1・2・3表 of a person whose plan a 居宅介護支援事業所 makes; none for others.
pub fn care_plan(generator: &Generator, person: &SimPerson) -> Option<CarePlan> {
    let office = planner(generator, person)?;
    let certified = person.card.certified.as_ref()?;
    let changed_on = changed_on(generator, certified);
    let services = services(generator, person);
    if services.is_empty() || person.insured.lost.is_some() {
        return None;
    }
    Some(CarePlan {
        person: card_key(person),
        changed_on,
        table1: table1(person, office, certified, changed_on),
        table2: Table2 {
            made_on: Some(changed_on),
            needs: services.iter().zip(1..).map(|((service, office), no)| need(person, office, service, no)).collect(),
        },
        table3: Table3 { made_on: Some(changed_on), rows: week(person, &services) },
        supplement: Some(supplement(person, certified, Some(changed_on), None)),
    })
}

fn table1(person: &SimPerson, office: &SimOffice, certified: &CertifiedLevel, changed_on: Date) -> Table1 {
    let (address1, address2) = address(person);
    let office_address = office.office.address.clone().unwrap_or_default();
    let (office_address1, office_address2) = split(&office_address);
    Table1 {
        made_on: changed_on,
        postal_code: person.insured.identity.postal_code.clone().unwrap_or_default(),
        address1,
        address2,
        care_manager_name: care_manager(person),
        office_name: office.office.name.clone(),
        office_postal_code: "000-0000".to_owned(),
        office_address1,
        office_address2,
        office: office.number(),
        first_made_on: plus(changed_on, -365),
        kind: Some(PlanKind::Continued),
        certification_state: Some(CertificationState::Certified),
        certified_on: Some(certified.decided_on),
        valid_from: certified.valid.map(|valid| valid.from()),
        valid_to: certified.valid.and_then(|valid| valid.to()),
        level: Some(certified.level),
        analysis: format!(
            "本人：「これからも家の風呂に入りたい」。\n家族：転倒が心配, 見守りがほしい。\n分析：{}",
            canary::word("意向", person.n)
        ),
        board_opinion: certified.board_opinion.clone().unwrap_or_else(|| "特になし".to_owned()),
        policy: format!("合言葉は\"転ばない暮らし\"。{}", canary::word("方針", person.n)),
        housework_reason: Some(HouseworkReason::LivesAlone),
        housework_other: String::new(),
        updated_by: Some(office.number()),
        marker: String::new(),
    }
}

fn care_manager(person: &SimPerson) -> String {
    person.care.care_manager.as_ref().map(|staff| staff.name.clone()).unwrap_or_default()
}

fn address(person: &SimPerson) -> (String, String) {
    split(person.insured.identity.address.as_deref().unwrap_or_default())
}

fn split(address: &str) -> (String, String) {
    let (street, house) = address.split_once(' ').unwrap_or((address, ""));
    (street.to_owned(), house.to_owned())
}

fn need(person: &SimPerson, office: &SimOffice, service: &Service, number: u8) -> Need {
    let planned =
        |number, content: String, coverage, kind: &str, office: Option<&SimOffice>, name: String| PlannedService {
            number: Some(number),
            content,
            coverage: Some(coverage),
            kind: kind.to_owned(),
            office: office.map(SimOffice::number),
            office_name: name,
            frequency: if service.weekdays.is_empty() {
                "毎日".to_owned()
            } else {
                format!("週{}回", service.weekdays.len())
            },
            period: "6か月".to_owned(),
            updated_by: None,
            marker: String::new(),
        };
    let content = format!("{} {}", service.content, canary::word("援助", person.n));
    let mut services =
        vec![planned(1, content, Coverage::Covered, service.name, Some(office), office.office.name.clone())];
    if number == 1 {
        let family = "着替えの声かけ".to_owned();
        services.push(planned(2, family, Coverage::NotCovered, "家族", None, "長女".to_owned()));
    }
    Need {
        number: Some(number),
        text: format!("{} {}", service.need, canary::word("課題", person.n)),
        long_goals: vec![LongGoal {
            number: Some(1),
            text: format!("{} {}", service.goal, canary::word("目標", person.n)),
            period: "1年".to_owned(),
            short_goals: vec![ShortGoal {
                text: "見守りがあれば一人でできる".to_owned(),
                period: "6か月".to_owned(),
                services,
            }],
        }],
    }
}

fn week(person: &SimPerson, services: &[(&Service, &SimOffice)]) -> Vec<WeekRow> {
    let mut rows = Vec::new();
    for (service, _) in services {
        rows.extend(service.weekdays.iter().map(|day| WeekRow {
            service: Some(WeeklyService {
                content: service.name.to_owned(),
                weekday: Weekday::from_code(&day.to_string()),
                from: ClockTime::parse(service.from),
                to: ClockTime::parse(service.to),
            }),
            ..WeekRow::default()
        }));
    }
    for (content, from, to) in [("起床", "0630", "0630"), ("昼食", "1200", "1230"), ("就寝", "2130", "2130")] {
        let activity = DailyActivity {
            content: format!("{content} {}", canary::word("週間", person.n)),
            from: ClockTime::parse(from),
            to: ClockTime::parse(to),
        };
        rows.push(WeekRow { activity: Some(activity), ..WeekRow::default() });
    }
    rows.push(WeekRow { other: "通院(月１回, 見本診療所)".to_owned(), ..WeekRow::default() });
    rows
}

fn supplement(
    person: &SimPerson,
    certified: &CertifiedLevel,
    changed_on: Option<Date>,
    month: Option<ServiceMonth>,
) -> Supplement {
    let identity = &person.insured.identity;
    let (address1, address2) = address(person);
    Supplement {
        changed_on,
        month,
        kana: identity.kana.clone(),
        name: identity.name.clone(),
        sex: Some(identity.sex),
        birth: Some(identity.birth),
        postal_code: identity.postal_code.clone().unwrap_or_default(),
        address1,
        address2,
        telephone: identity.telephone.clone().unwrap_or_default(),
        certified_on: Some(certified.decided_on),
        limit_from: certified.limit_period.map(|period| period.from()),
        limit_to: certified.limit_period.and_then(|period| period.to()),
        certification_state: Some(CertificationState::Certified),
        level_changed_on: None,
        level: Some(certified.level),
        limit_units: certified.limit_units.and_then(|units| i32::try_from(units).ok()),
        service_limits: Vec::new(),
        total_over_units: None,
        stay_days_before: Some(0),
        stay_days_total: Some(0),
        previous_level: None,
        consent_office: None,
        updated_by: person.care.planner,
        marker: String::new(),
    }
}

/// 第6・7表 of a service month; none for people without a plan of a 居宅介護支援事業所.
pub fn service_slip(generator: &Generator, person: &SimPerson, month: ServiceMonth) -> Option<ServiceSlip> {
    let office = planner(generator, person)?;
    let certified = person.card.certified.as_ref()?;
    let services = services(generator, person);
    if services.is_empty() || person.insured.lost.is_some() {
        return None;
    }
    let made_on = plus(month.first_day(), -4).min(plus(generator.spec().today, -1));
    let mut lines = Vec::new();
    let mut totals = Vec::new();
    for (service, provider) in &services {
        let days = days(service, month);
        totals.push((*service, *provider, days.len() as i32));
        lines.extend(days.into_iter().map(|day| slip_line(person, office, service, provider, made_on, day)));
    }
    Some(ServiceSlip {
        person: card_key(person),
        month,
        lines,
        table7: table7(person, made_on, &totals),
        supplement: Some(supplement(person, certified, None, Some(month))),
    })
}

/// Days of the month on which a service is given.
fn days(service: &Service, month: ServiceMonth) -> Vec<Date> {
    let first = month.first_day();
    let all = (0..31).map(|days| plus(first, days)).take_while(|day| ServiceMonth::of(*day) == month);
    let on = |day: &Date| service.weekdays.contains(&(day.weekday().to_monday_one_offset() as u8));
    if service.weekdays.is_empty() { vec![first] } else { all.filter(on).collect() }
}

fn slip_line(
    person: &SimPerson,
    office: &SimOffice,
    service: &Service,
    provider: &SimOffice,
    made_on: Date,
    day: Date,
) -> SlipLine {
    SlipLine {
        made_on,
        planner: Some(office.number()),
        planner_name: care_manager(person),
        units: Some(service.units),
        short_stay_days_before: None,
        day,
        prorated_days: String::new(),
        from: ClockTime::parse(service.from),
        to: ClockTime::parse(service.to),
        count: 1,
        service_code: service.code.to_owned(),
        tais_code: service.tais_code.to_owned(),
        equipment_code: String::new(),
        equipment_name: equipment(person, service),
        detail_number: None,
        office: provider.number(),
        office_name: provider.office.name.clone(),
        satellite: String::new(),
        over_30_days: false,
        updated_by: Some(office.number()),
        marker: String::new(),
    }
}

fn equipment(person: &SimPerson, service: &Service) -> String {
    if service.equipment.is_empty() {
        return String::new();
    }
    format!("{} {}", service.equipment, canary::word("用具", person.n))
}

/// One row a service and the grand total; 10.00 yen a unit.
fn table7(person: &SimPerson, made_on: Date, totals: &[(&Service, &SimOffice, i32)]) -> Vec<Table7Line> {
    let percent =
        person.copayment.as_ref().and_then(|rate| rate.rows.last()).map(|row| 100 - 10 * i32::from(row.rate.get()));
    let cost = |units: i32| (units * 10, percent.map(|percent| units * percent / 10));
    let mut lines = Vec::new();
    let mut sum = 0;
    for (service, provider, count) in totals {
        let units = service.units * count;
        sum += units;
        lines.push(Table7Line {
            office_name: provider.office.name.clone(),
            service_code: service.code.to_owned(),
            tais_code: service.tais_code.to_owned(),
            equipment_name: equipment(person, service),
            units: service.units,
            count: *count,
            unit_price: "10.00".to_owned(),
            benefit_percent: percent,
            ..table7_line(person, made_on, provider.number(), units, cost(units))
        });
    }
    if let Ok(nobody) = OfficeNumber::parse("9999999999") {
        lines.push(Table7Line {
            service_code: "999999".to_owned(),
            ..table7_line(person, made_on, nobody, sum, cost(sum))
        });
    }
    lines
}

fn table7_line(
    person: &SimPerson,
    made_on: Date,
    office: OfficeNumber,
    units: i32,
    (cost, claimed): (i32, Option<i32>),
) -> Table7Line {
    Table7Line {
        made_on,
        office_name: String::new(),
        office,
        satellite: String::new(),
        service_code: String::new(),
        tais_code: String::new(),
        equipment_code: String::new(),
        equipment_name: String::new(),
        units: 0,
        discount_percent: None,
        discounted_units: None,
        count: 0,
        service_units: Some(units),
        managed_units: Some(units),
        over_type_limit: Some(0),
        within_type_limit: Some(units),
        over_limit: Some(0),
        within_limit: Some(units),
        unit_price: String::new(),
        total_cost: Some(cost),
        benefit_percent: None,
        claimed,
        fixed_copayment: None,
        copayment: claimed.map(|claimed| cost - claimed),
        paid_in_full: Some(0),
        days_before: None,
        days_planned: None,
        days_total: None,
        over_30_days: false,
        office_fixed: OfficeNumber::parse("9999999999").ok(),
        entered_by: OfficeNumber::parse("9999999999").ok(),
        updated_by: person.care.planner,
        marker: String::new(),
    }
}
