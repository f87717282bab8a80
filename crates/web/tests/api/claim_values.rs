//! 請求に要る値: what an office copies into its software, exactly as it is for programs, harmless for spreadsheets (P-175, T-20).

use crate::world::{Person, Role, World, city, day};
use axum::http::StatusCode;
use kiban_domain::certification::CareLevel;
use kiban_domain::dates::Period;
use kiban_domain::insurance_card::{
    BenefitRestriction, CardIssue, CertifiedLevel, CopaymentPeriod, CopaymentRate, CostCeiling, IncomeStage,
    InsuranceCard, PlanningOffice, RoomCeilings, ServiceLimit, Tenths,
};
use kiban_domain::insured::{DomicileFacility, Identity, Insured};
use kiban_domain::{InsurerNumber, ServiceType};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use serde_json::{Value, json};

async fn path(world: &World, role: Role) -> String {
    let handle = world.register(role, Person::Hanako).await;
    format!("/api/v1/people/{handle}/claim-values")
}

#[tokio::test]
async fn one_call_gives_what_a_claim_needs_and_records_each_card() {
    let world = World::new().await;
    let path = path(&world, Role::Planner).await;
    for role in [Role::Planner, Role::Vendor] {
        let reply = world.log_in(role).await.get(&path).await;
        assert_eq!(reply.status, StatusCode::OK, "{role:?} {}", reply.text());
        let values = reply.json();
        assert_eq!((&values["month"], &values["person"]["kana"]), (&json!("202611"), &json!("カクウ ハナコ")));
        let parts = values["parts"].as_array().unwrap();
        assert_eq!(parts.len(), 1, "{parts:?}");
        let part = &parts[0];
        assert_eq!((&part["from"], &part["to"]), (&json!("2026-11-01"), &json!("2026-11-30")));
        assert_eq!((&part["level"], &part["limit_units"]), (&json!("22"), &json!(19_705)));
        assert_eq!((&part["copayment_tenths"], &part["copayment_to"]), (&json!(1), &json!("2027-07-31")));
        assert_eq!(part["income_stage"], json!(null), "no 負担限度額認定証");
    }
    let log = world.log_about(Person::Hanako.key()).await;
    assert_eq!(log.iter().filter(|(action, outcome, _)| action == "claim_values" && outcome == "allowed").count(), 6);
    world.verify().await;
}

#[tokio::test]
async fn a_month_outside_the_certification_has_no_level_and_no_month_is_an_item_to_correct() {
    let world = World::new().await;
    let path = path(&world, Role::Planner).await;
    let planner = world.log_in(Role::Planner).await;
    let part = &planner.get(&format!("{path}?month=202407")).await.json()["parts"][0];
    assert_eq!((&part["level"], &part["copayment_tenths"]), (&json!(null), &json!(null)));
    for wrong in ["2026-11", "202613", "", "0"] {
        let reply = planner.get(&format!("{path}?month={wrong}")).await;
        assert_eq!(reply.refusal(), (422, "invalid".to_owned()), "{wrong}");
    }
    // Whoever may not know of her learns nothing about what was wrong with the month.
    let stranger = world.log_in(Role::Stranger).await;
    let handle = world.stolen_handle(Role::Stranger, Person::Hanako.key()).await;
    let theirs = format!("/api/v1/people/{handle}/claim-values");
    assert_eq!(stranger.get(&format!("{theirs}?month=x")).await.refusal(), (404, "unknown".to_owned()));
    assert_eq!(stranger.get(&format!("{theirs}.csv?month=x")).await.refusal(), (404, "unknown".to_owned()));
}

#[tokio::test]
async fn a_program_gets_every_value_as_it_is_and_a_spreadsheet_no_formula() {
    let world = World::new().await;
    let path = path(&world, Role::Planner).await;
    let evil = "=HYPERLINK(\"http://x\")";
    let hanako = Person::Hanako.insured();
    let identity = Identity { name: evil.to_owned(), ..hanako.identity.clone() };
    let changed = Entry {
        key: Person::Hanako.key(),
        history: 1,
        change: Change::Corrected,
        value: Insured { identity, ..hanako },
    };
    world.pass(1).await;
    let files = MunicipalPackage::new(city(), world.now()).insured(&[changed]).finish().unwrap();
    let sent = world.log_in(Role::City).await.upload("/api/v1/packages", &files).await;
    assert_eq!(sent.status, StatusCode::OK, "{}", sent.text());

    let planner = world.log_in(Role::Planner).await;
    let json = planner.get(&path).await.json();
    assert_eq!(json["person"]["name"], json!(evil));
    let exact = planner.get(&format!("{path}.csv")).await.text();
    let (head, line) = exact.split_once("\r\n").unwrap();
    assert!(head.starts_with("month,from,to,insurer_number,insured_number,name,"), "{head}");
    assert!(line.contains(",\"=HYPERLINK(\"\"http://x\"\")\",カクウ ハナコ,1941-05-03,female,22,"), "{line}");
    let for_people = planner.get(&format!("{path}.csv?people=true")).await.text();
    assert!(for_people.starts_with("\u{feff}対象月,"), "{for_people}");
    assert!(for_people.contains(",\"'=HYPERLINK("), "{for_people}");
    assert_eq!(day("2026-11-24"), world.today());
}

fn period(from: &str, to: &str) -> Period {
    Period::new(day(from), Some(day(to))).unwrap()
}

/// Everything that her cards can say, with a name that a spreadsheet would run.
fn full_cards(world: &World, restrictions: Vec<BenefitRestriction>) -> Vec<(String, Vec<u8>)> {
    let hanako = Person::Hanako.insured();
    let identity = Identity { name: "=1+1".to_owned(), kana: "@カクウ".to_owned(), ..hanako.identity.clone() };
    let facility = DomicileFacility { name: None, insurer: InsurerNumber::parse("999003").ok() };
    let insured = Insured { identity, domicile_exception: true, domicile_facility: Some(facility), ..hanako };
    let card = InsuranceCard {
        issue: CardIssue::Issued(day("2026-10-01")),
        certified: Some(CertifiedLevel {
            level: CareLevel::Support2,
            decided_on: day("2026-09-20"),
            valid: Some(period("2026-10-01", "2028-09-30")),
            limit_units: Some(10_531),
            limit_period: Some(period("2026-10-01", "2028-09-30")),
            service_limits: vec![ServiceLimit { service: ServiceType::parse("62").unwrap(), units: 4_000 }],
            board_opinion: None,
        }),
        restrictions,
        planning_offices: vec![PlanningOffice {
            office: Role::Planner.organization().office().unwrap(),
            name: "+見本支援".to_owned(),
            filed_on: day("2026-10-02"),
        }],
        facilities: vec![],
    };
    let rate = CopaymentRate {
        issued_on: day("2026-07-15"),
        rows: vec![CopaymentPeriod { rate: Tenths::new(2).unwrap(), period: period("2026-08-01", "2027-07-31") }],
    };
    let ceiling = CostCeiling {
        issued_on: day("2026-07-20"),
        period: period("2026-08-01", "2027-07-31"),
        stage: IncomeStage::ThirdLower,
        meals_facility: 680,
        meals_short_stay: 1_030,
        rooms: RoomCeilings {
            unit_private: 1_370,
            unit_semi_private: 1_371,
            private_welfare: 880,
            private_health: 1_372,
            shared: 430,
        },
    };
    let key = Person::Hanako.key();
    fn entry<T>(key: kiban_domain::PersonKey, history: u32, value: T) -> [Entry<T>; 1] {
        [Entry { key, history, change: Change::New, value }]
    }
    let changed = Entry { key, history: 1, change: Change::Corrected, value: insured };
    MunicipalPackage::new(city(), world.now())
        .insured(&[changed])
        .cards(&entry(key, 21, card))
        .copayment_rates(&entry(key, 22, rate))
        .cost_ceilings(&entry(key, 23, ceiling))
        .finish()
        .unwrap()
}

/// Cells of a CSV line without line breaks inside.
fn cells(line: &str) -> Vec<String> {
    let (mut all, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => all.push(std::mem::take(&mut cell)),
            c => cell.push(c),
        }
    }
    all.push(cell);
    all
}

/// 請求に要る値: each item of 基本情報, 給付管理票, 居宅介護支援 and 特定入所者 that stands on a card, in JSON and in both files.
#[tokio::test]
async fn every_value_of_a_claim_that_a_card_has_is_there_in_all_three_forms() {
    let world = World::new().await;
    let path = path(&world, Role::Planner).await;
    world.pass(1).await;
    let reduced = BenefitRestriction {
        content: "-給付額の減額".to_owned(),
        period: period("2026-11-11", "2027-11-10"),
        benefit_percent: Some(70),
        kind: None,
    };
    let sent = world.log_in(Role::City).await.upload("/api/v1/packages", &full_cards(&world, vec![reduced])).await;
    assert_eq!(sent.status, StatusCode::OK, "{}", sent.text());
    assert_eq!(sent.json()["report"]["counts"]["refused"], json!(0), "{}", sent.text());
    let planner = world.log_in(Role::Planner).await;
    let values = planner.get(&path).await.json();
    let exact = planner.get(&format!("{path}.csv")).await.text();
    let for_people = planner.get(&format!("{path}.csv?people=true")).await.text();
    let lines = |text: &str| text.trim_start_matches('\u{feff}').lines().map(cells).collect::<Vec<_>>();
    let (exact, for_people) = (lines(&exact), lines(&for_people));
    assert_eq!((values["parts"].as_array().unwrap().len(), exact.len(), for_people.len()), (2, 3, 3), "{values}");
    // Name, where in the JSON, the cell of the first part and that of the second.
    let office = Role::Planner.organization().to_string();
    for (name, at, first, second) in [
        ("month", "/month", "202611", "202611"),
        ("from", "/parts/#/from", "2026-11-01", "2026-11-11"),
        ("to", "/parts/#/to", "2026-11-10", "2026-11-30"),
        ("insurer_number", "/person/insurer_number", "990010", "990010"),
        ("insured_number", "/person/insured_number", "0000000001", "0000000001"),
        ("name", "/person/name", "=1+1", "=1+1"),
        ("kana", "/person/kana", "@カクウ", "@カクウ"),
        ("birth", "/person/birth", "1941-05-03", "1941-05-03"),
        ("sex", "/person/sex", "female", "female"),
        ("level", "/parts/#/level", "13", "13"),
        ("level_name", "/parts/#/level_name", "要支援２", "要支援２"),
        ("decided_on", "/parts/#/decided_on", "2026-09-20", "2026-09-20"),
        ("certified_from", "/parts/#/certified_from", "2026-10-01", "2026-10-01"),
        ("certified_to", "/parts/#/certified_to", "2028-09-30", "2028-09-30"),
        ("limit_units", "/parts/#/limit_units", "10531", "10531"),
        ("limit_from", "/parts/#/limit_from", "2026-10-01", "2026-10-01"),
        ("limit_to", "/parts/#/limit_to", "2028-09-30", "2028-09-30"),
        ("copayment_tenths", "/parts/#/copayment_tenths", "2", "2"),
        ("copayment_from", "/parts/#/copayment_from", "2026-08-01", "2026-08-01"),
        ("copayment_to", "/parts/#/copayment_to", "2027-07-31", "2027-07-31"),
        ("restriction", "/parts/#/restriction", "", "-給付額の減額"),
        ("benefit_percent", "/parts/#/benefit_percent", "", "70"),
        ("income_stage", "/parts/#/income_stage", "3-1", "3-1"),
        ("ceiling_from", "/parts/#/ceiling_from", "2026-08-01", "2026-08-01"),
        ("ceiling_to", "/parts/#/ceiling_to", "2027-07-31", "2027-07-31"),
        ("meals_facility", "/parts/#/meals_facility", "680", "680"),
        ("meals_short_stay", "/parts/#/meals_short_stay", "1030", "1030"),
        ("room_unit_private", "/parts/#/room_unit_private", "1370", "1370"),
        ("room_unit_semi_private", "/parts/#/room_unit_semi_private", "1371", "1371"),
        ("room_private_welfare", "/parts/#/room_private_welfare", "880", "880"),
        ("room_private_health", "/parts/#/room_private_health", "1372", "1372"),
        ("room_shared", "/parts/#/room_shared", "430", "430"),
        ("planning_office", "/parts/#/planning_office", &office, &office),
        ("planning_office_name", "/parts/#/planning_office_name", "+見本支援", "+見本支援"),
        ("planning_office_filed_on", "/parts/#/planning_office_filed_on", "2026-10-02", "2026-10-02"),
        ("domicile_exception", "/person/domicile_exception", "true", "true"),
        ("insurance_percent", "/parts/#/insurance_percent", "80", "70"),
        ("planning_kind", "/parts/#/planning_kind", "3", "3"),
        ("service_limits", "/parts/#/service_limits", "62=4000", "62=4000"),
        ("domicile_facility_insurer", "/person/domicile_facility/insurer", "999003", "999003"),
    ] {
        let column =
            exact[0].iter().position(|head| head == name).unwrap_or_else(|| panic!("{name} in {:?}", exact[0]));
        for (part, expected) in [first, second].into_iter().enumerate() {
            let found = values.pointer(&at.replace('#', &part.to_string())).cloned().unwrap_or_default();
            let text = match found {
                Value::Null => String::new(),
                Value::String(text) => text,
                Value::Array(limits) => {
                    limits.iter().map(|l| format!("{}={}", l["service"].as_str().unwrap(), l["units"])).collect()
                }
                other => other.to_string(),
            };
            assert_eq!(text, expected, "{name} of part {part} in JSON: {values}");
            assert_eq!(exact[part + 1][column], expected, "{name} of part {part} for programs");
            let harmless = match expected.starts_with(['=', '@', '+', '-']) {
                true => format!("'{expected}"),
                false => expected.to_owned(),
            };
            assert_eq!(for_people[part + 1][column], harmless, "{name} of part {part} for people");
        }
    }
    assert_eq!(exact[0].len(), 40, "a column without a line in this test");
}

/// While the insurance pays only afterwards (償還払い) there is no rate to claim with.
#[tokio::test]
async fn a_restriction_without_a_rate_leaves_no_rate_to_claim_with() {
    let world = World::new().await;
    let path = path(&world, Role::Planner).await;
    world.pass(1).await;
    let changed = BenefitRestriction {
        content: "支払方法の変更".to_owned(),
        period: period("2026-11-11", "2027-11-10"),
        benefit_percent: None,
        kind: None,
    };
    let sent = world.log_in(Role::City).await.upload("/api/v1/packages", &full_cards(&world, vec![changed])).await;
    assert_eq!(sent.status, StatusCode::OK, "{}", sent.text());
    let values = world.log_in(Role::Planner).await.get(&path).await.json();
    let rates: Vec<_> = (0..2).map(|part| values["parts"][part]["insurance_percent"].clone()).collect();
    assert_eq!(rates, [json!(80), json!(null)], "{values}");
}
