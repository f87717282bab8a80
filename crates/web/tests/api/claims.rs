//! 給付実績: a month with a claim keeps a registration alive, and nothing else of it is kept (P-108, P-173).

use crate::world::{Client, Person, Role, World, city, day};
use axum::http::StatusCode;
use kiban_domain::{Date, OfficeNumber};
use serde_json::{Value, json};

/// What must be found nowhere afterwards: 摘要, an amount, 介護支援専門員番号.
const SECRETS: [&str; 3] = ["カナリア病名", "77777771", "99123456"];

/// A statement of an office about a person of the city, in CP932 as the federation sends it; of other data as here.
fn statement(office: Role, insured: &str, month: &str) -> (String, Vec<u8>) {
    let office = office.organization();
    let mut basics: Vec<&str> = vec!["7131", "01", month];
    let (office, insurer) = (office.to_string(), format!("00{}", city()));
    basics.extend([&*office, &insurer, insured, "", "", "", "", "", "", "19410503", "2", "22"]);
    basics.extend(["", "", "", "1", "", "", "", "", "", "", "0", "0", "", "90", "0", "0", "0", "2152", SECRETS[1]]);
    basics.resize(56, "0");
    let detail = [
        "7131", "02", month, &office, &insurer, insured, "11", "1111", "244", "8", "0", "0", "0", "1952", "0", "0",
        "0", SECRETS[0],
    ];
    let quoted = |items: &[&str]| items.iter().map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(",");
    let text = format!(
        "1,1,0,2,711,0,000000,{office},00,1,202612,0\r\n2,2,{}\r\n2,3,{}\r\n3,4\r\n",
        quoted(&basics),
        quoted(&detail)
    );
    // 摘要 is not read, so that its encoding does not matter here.
    ("71126120.CSV".to_owned(), text.into_bytes())
}

/// A 給付管理票 of the planner about Hanako, whose plan names the helper: a line of the service and the one of the total.
/// 作成区分: 1 new, 2 corrected, 3 cancelled.
fn sheet(change: &str, month: &str) -> (String, Vec<u8>) {
    let [planner, helper] = [Role::Planner, Role::Helper].map(|role| role.organization().to_string());
    let insurer = format!("00{}", city());
    let line = |number: &str, rest: [&str; 16]| {
        let head = ["8222", month, &insurer, &planner, change, "20270105", "3", number, "0000000001"];
        let about = ["19410503", "2", "22", "202501", "202612"];
        let items: Vec<String> = head.iter().chain(&about).chain(&rest).map(|item| format!("\"{item}\"")).collect();
        items.join(",")
    };
    let mut service = [""; 16];
    (service[1], service[2], service[3], service[4], service[5]) = ("1", &helper, "1", "11", "2152");
    let mut total = [""; 16];
    (total[0], total[1], total[10], total[11]) = ("19705", "1", SECRETS[1], SECRETS[2]);
    let (service, total) = (line("01", service), line("99", total));
    let text = format!("1,1,0,2,821,0,000000,{planner},00,1,202701,0\r\n2,2,{service}\r\n2,3,{total}\r\n3,4\r\n");
    ("82127010.CSV".to_owned(), text.into_bytes())
}

async fn until(world: &World, office: Role) -> Date {
    let office: OfficeNumber = office.organization().office().unwrap();
    let all = world.platform.store().assignments(Person::Hanako.key()).await.unwrap();
    all.iter().find(|assignment| assignment.office == office).unwrap().viewable_until
}

async fn send(client: &Client<'_>, files: &[(String, Vec<u8>)]) -> Value {
    let reply = client.upload("/api/v1/claims", files).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()
}

fn counts(result: &Value) -> [i64; 4] {
    ["read", "applied", "unchanged", "refused"].map(|name| result["report"]["counts"][name].as_i64().unwrap())
}

/// Days of the world: it begins on 2026-11-24.
const DAY: i64 = 86_400;

#[tokio::test]
async fn a_month_with_a_claim_extends_the_office_that_claims_and_only_that_one() {
    let world = World::new().await;
    world.register(Role::Helper, Person::Hanako).await;
    world.register(Role::Planner, Person::Hanako).await;
    assert_eq!(until(&world, Role::Helper).await, day("2027-02-28"));
    world.pass(45 * DAY).await;
    let city = world.log_in(Role::CityConnector).await;
    let files = [statement(Role::Helper, "0000000001", "202612")];
    let result = send(&city, &files).await;
    assert_eq!((counts(&result), &result["repeated"]), ([1, 1, 0, 0], &json!(false)));
    assert_eq!(until(&world, Role::Helper).await, day("2027-03-31"));
    assert_eq!(until(&world, Role::Planner).await, day("2027-02-28"), "who did not claim");
    let log = world.log_about(Person::Hanako.key()).await;
    assert_eq!(log[0].0, "register.extend", "{log:?}");

    let again = send(&city, &files).await;
    assert_eq!((&again["receipt"], &again["repeated"]), (&result["receipt"], &json!(true)));
    // An earlier month takes nothing away.
    assert_eq!(counts(&send(&city, &[statement(Role::Helper, "0000000001", "202609")]).await), [1, 0, 1, 0]);
    assert_eq!(until(&world, Role::Helper).await, day("2027-03-31"));
    world.verify().await;
}

/// The offices of a 給付管理票 are planned, they have not claimed: only who makes it is extended, and by none that is cancelled.
#[tokio::test]
async fn a_sheet_extends_the_office_that_makes_the_plan_and_not_the_ones_it_lists() {
    let world = World::new().await;
    world.register(Role::Helper, Person::Hanako).await;
    world.register(Role::Planner, Person::Hanako).await;
    world.pass(45 * DAY).await;
    let city = world.log_in(Role::CityConnector).await;
    let cancelled = send(&city, &[sheet("3", "202612")]).await;
    assert_eq!(counts(&cancelled), [0, 0, 0, 0]);
    for office in [Role::Planner, Role::Helper] {
        assert_eq!(until(&world, office).await, day("2027-02-28"), "cancelled: {office:?}");
    }
    assert_eq!(counts(&send(&city, &[sheet("1", "202612")]).await), [1, 1, 0, 0]);
    assert_eq!(until(&world, Role::Planner).await, day("2027-03-31"));
    assert_eq!(until(&world, Role::Helper).await, day("2027-02-28"), "only planned");
    // A correction is a claim of its month as well.
    assert_eq!(counts(&send(&city, &[sheet("2", "202701")]).await), [1, 1, 0, 0]);
    assert_eq!(until(&world, Role::Planner).await, day("2027-04-30"));
    assert_eq!(until(&world, Role::Helper).await, day("2027-02-28"));
    world.verify().await;
}

#[tokio::test]
async fn what_has_ended_or_is_under_review_is_not_brought_back() {
    let world = World::new().await;
    world.register(Role::Helper, Person::Hanako).await;
    world.pass(45 * DAY).await;
    let city = world.log_in(Role::CityConnector).await;
    let office = Role::Helper.organization().office().unwrap();
    let review = kiban_store::RegistrationReview {
        id: "r-1".to_owned(),
        person: Person::Hanako.key(),
        office,
        cause: kiban_store::ReviewCause::Facility,
        source: "見本".to_owned(),
        opened_at: world.now(),
        closed_at: None,
    };
    world
        .change(async |tx| {
            tx.open_review(&review).await.unwrap();
        })
        .await;
    let december = [statement(Role::Helper, "0000000001", "202612")];
    assert_eq!(counts(&send(&city, &december).await), [1, 0, 1, 0]);
    let now = world.now();
    world.change(async |tx| tx.close_reviews(Person::Hanako.key(), office, now).await.unwrap()).await;
    world.pass(60 * DAY).await;
    assert!(until(&world, Role::Helper).await < world.today());
    assert_eq!(counts(&send(&city, &[statement(Role::Helper, "0000000001", "202702")]).await), [1, 0, 1, 0]);
    assert_eq!(until(&world, Role::Helper).await, day("2027-02-28"), "it has ended: four items again");
    // Nobody's, and of an office that is not registered.
    assert_eq!(counts(&send(&city, &[statement(Role::Helper, "0000000099", "202701")]).await), [1, 0, 1, 0]);
    assert_eq!(counts(&send(&city, &[statement(Role::Stranger, "0000000001", "202701")]).await), [1, 0, 1, 0]);
    world.verify().await;
}

#[tokio::test]
async fn only_the_city_sends_claims_and_only_its_own_up_to_this_month() {
    let world = World::new().await;
    world.register(Role::Helper, Person::Hanako).await;
    let files = [statement(Role::Helper, "0000000001", "202611")];
    for (role, code) in [(Role::Helper, "not_writer"), (Role::Operator, "not_writer"), (Role::Vendor, "not_this_way")] {
        let reply = world.log_in(role).await.upload("/api/v1/claims", &files).await;
        assert_eq!(reply.refusal(), (403, code.to_owned()), "{role:?}");
    }
    let refused = async |role: Role, files: &[(String, Vec<u8>)]| {
        let reply = world.log_in(role).await.upload("/api/v1/claims", files).await;
        assert_eq!(reply.refusal(), (422, "refused_files".to_owned()), "{}", reply.text());
        reply.json()["result"]["report"]["problems"][0]["rule"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused(Role::OtherCity, &files).await, "insurer");
    assert_eq!(refused(Role::City, &[statement(Role::Helper, "0000000001", "202612")]).await, "future");
    let (name, bytes) = statement(Role::Helper, "0000000001", "202611");
    assert_eq!(refused(Role::City, &[(name, bytes[..bytes.len() - 5].to_vec())]).await, "end");
    assert_eq!(until(&world, Role::Helper).await, day("2027-02-28"));
    world.verify().await;
}

/// ※3: B is not stored.
#[tokio::test]
async fn nothing_of_a_claim_is_kept_but_the_end_of_viewing() {
    let world = World::new().await;
    world.register(Role::Helper, Person::Hanako).await;
    world.pass(45 * DAY).await;
    let city = world.log_in(Role::City).await;
    let before = world.platform.store().record_headers(Person::Hanako.key()).await.unwrap();
    let files = [statement(Role::Helper, "0000000001", "202612")];
    let result = send(&city, &files).await;
    // Also of files that were refused.
    let mut broken = files[0].clone();
    broken.1.truncate(broken.1.len() - 5);
    let reply = city.upload("/api/v1/claims", &[broken]).await;
    assert_eq!(reply.refusal().0, 422);
    let answers = result.to_string() + &reply.text();
    assert_eq!(world.platform.store().record_headers(Person::Hanako.key()).await.unwrap(), before);
    let store = world.platform.store();
    for result in [&result, &reply.json()["result"]] {
        let id = result["receipt"].as_str().unwrap();
        let number = store.receipt(crate::world::city(), id).await.unwrap().unwrap().number;
        assert_eq!(store.original(crate::world::city(), number).await.unwrap(), None, "the file itself");
    }
    for secret in SECRETS {
        assert!(!answers.contains(secret), "{secret}: {answers}");
    }
    // And nowhere on disk, sealed or not: nothing of that length in clear.
    for file in
        std::fs::read_dir(world.dir.path()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
    {
        let bytes = std::fs::read(&file).unwrap();
        for secret in SECRETS {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} in {}", file.display());
        }
    }
    world.verify().await;
}
