//! 本人確認 without typing: a card read at a terminal, the QR code of the notice on paper, and the note of a visit
//! (P-031, P-102, P-105, P-107).

use crate::pages::{Browser, location};
use crate::world::{Client, Person, Reply, Role, World, certificate};
use axum::http::StatusCode;
use kiban_pki::card::{CardAuthority, SoftCard};
use kiban_pki::paper::{NoticeKey, check_notice};
use kiban_pki::{Ca, Identity, fingerprint, reader};
use kiban_service::Config;
use serde_json::{Value, json};

const PIN: &str = "2468";

/// A terminal with a certificate of its own that the platform knows.
async fn terminal(world: &World, role: Role) -> Identity {
    let dir = world.dir.path().join(format!("ca-{}", kiban_service::random_id().unwrap()));
    let issued = Ca::init(&dir, "見本", world.now()).unwrap();
    let issued = issued.issue_client(role.organization(), "読み取り機", 30, world.now()).unwrap();
    let identity = Identity::from_pem(&issued.cert_pem, &issued.key_pem).unwrap();
    let row = certificate(role, &fingerprint(&identity.chain[0]), world.now());
    world.change(async |tx| tx.put_certificate(&row).await.unwrap()).await;
    identity
}

fn card(world: &World, person: Person) -> SoftCard {
    let authority = CardAuthority::open(&world.dir.path().join("cards")).unwrap();
    let items = person.card();
    let text = |name: &str| items[name].as_str().unwrap().to_owned();
    let face =
        [text("insurer_number"), text("insured_number"), text("kana"), text("birth").replace('-', ""), "2".to_owned()];
    authority.issue(&face, PIN, world.now()).unwrap()
}

/// What the app on a terminal of `at` says about a card, after it has asked the platform for something to sign.
pub async fn statement(world: &World, person: Person, at: Role) -> String {
    let terminal = terminal(world, at).await;
    let app = Client { fingerprint: Some(fingerprint(&terminal.chain[0])), ..world.with_certificate(at) };
    let reply = app.post("/api/v1/card-challenges", Value::Null).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let challenge = reply.json()["challenge"].as_str().unwrap().to_owned();
    card(world, person).state(PIN, &challenge, &terminal).unwrap().unwrap()
}

async fn read_card(world: &World, role: Role, statement: &str) -> Reply {
    world.log_in(role).await.post("/api/v1/people/card", json!({ "statement": statement })).await
}

#[tokio::test]
async fn a_card_registers_the_office_like_the_four_items_and_counts_once() {
    let world = World::new().await;
    let statement = statement(&world, Person::Hanako, Role::Planner).await;
    let reply = read_card(&world, Role::Planner, &statement).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let handle = reply.json()["handle"].as_str().unwrap().to_owned();
    let page = world.log_in(Role::Planner).await.get(&format!("/api/v1/people/{handle}/records/A3a")).await;
    assert_eq!(page.status, StatusCode::OK);
    let again = read_card(&world, Role::Planner, &statement).await;
    assert_eq!(again.refusal(), (422, "invalid".to_owned()));
    assert!(again.text().contains("使用済み"), "{}", again.text());
    let log = world.log_about(Person::Hanako.key()).await;
    assert!(log.contains(&("register".to_owned(), "done".to_owned(), "individual_number_card".to_owned())), "{log:?}");
    assert!(log.contains(&("register".to_owned(), "refused".to_owned(), "card_used".to_owned())), "{log:?}");
    world.verify().await;
}

#[tokio::test]
async fn a_statement_of_another_offices_terminal_or_of_long_ago_registers_nobody() {
    let world = World::new().await;
    let foreign = statement(&world, Person::Hanako, Role::Helper).await;
    let reply = read_card(&world, Role::Planner, &foreign).await;
    assert_eq!(reply.refusal(), (422, "invalid".to_owned()));
    let late = statement(&world, Person::Hanako, Role::Planner).await;
    world.pass(121).await;
    let reply = read_card(&world, Role::Planner, &late).await;
    assert_eq!(reply.refusal(), (422, "invalid".to_owned()));
    assert!(reply.text().contains("時間がたっています"), "{}", reply.text());
    // What one terminal was given is signed at another of the same office.
    let asked = terminal(&world, Role::Planner).await;
    let app = Client { fingerprint: Some(fingerprint(&asked.chain[0])), ..world.with_certificate(Role::Planner) };
    let given = app.post("/api/v1/card-challenges", Value::Null).await.json()["challenge"].as_str().unwrap().to_owned();
    let other = terminal(&world, Role::Planner).await;
    let moved = card(&world, Person::Hanako).state(PIN, &given, &other).unwrap().unwrap();
    assert_eq!(read_card(&world, Role::Planner, &moved).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    // Not even at the office whose terminal it was, when it asked another challenge than the platform's.
    let terminal = terminal(&world, Role::Planner).await;
    let invented = card(&world, Person::Hanako).state(PIN, &"0".repeat(64), &terminal).unwrap().unwrap();
    assert_eq!(read_card(&world, Role::Planner, &invented).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    world.verify().await;
}

#[tokio::test]
async fn the_card_of_a_withheld_person_answers_like_that_of_somebody_unknown() {
    let world = World::new().await;
    let hidden = statement(&world, Person::Hidden, Role::Planner).await;
    let reply = read_card(&world, Role::Planner, &hidden).await;
    assert_eq!(reply.refusal(), (404, "not_matched".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn a_citys_notice_registers_until_its_day_and_a_forged_one_never() {
    let world = World::new().await;
    let handle = world.find(Person::Hanako).await;
    let reply = world.log_in(Role::City).await.get(&format!("/api/v1/people/{handle}/notice-line")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let notice = reply.json()["text"].as_str().unwrap().to_owned();
    let until = reply.json()["valid_to"].as_str().unwrap().to_owned();
    assert_eq!(until, "2026-12-31", "the certification ends before the burden rate");
    // Anybody can check it with the public key alone.
    let keys = world.outside("/notice-keys").await.json();
    let digits = keys["keys"][0]["public_key"].as_str().unwrap();
    let key: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect();
    let items = check_notice(&notice, &[key]).unwrap();
    assert_eq!((items[1].as_str(), items[5].as_str(), items[6].as_str()), ("0000000001", "22", "1"));

    let post = async |text: &str| {
        world.log_in(Role::Planner).await.post("/api/v1/people/notice", json!({ "notice": text })).await
    };
    let forger = NoticeKey::load_or_create(&world.dir.path().join("forged.key")).unwrap();
    let forged = post(&forger.sign(&items)).await;
    assert_eq!(forged.refusal(), (422, "invalid".to_owned()));
    assert!(forged.text().contains("市区町村が発行したものと確かめられません"), "{}", forged.text());
    assert_eq!(post(&notice).await.status, StatusCode::OK);
    let log = world.log_about(Person::Hanako.key()).await;
    assert!(log.contains(&("register".to_owned(), "done".to_owned(), "paper_notice".to_owned())), "{log:?}");

    world.pass(40 * 24 * 3600).await;
    let mut planner = world.with_certificate(Role::Planner);
    planner.token = Some(world.fresh_token(Role::Planner).await);
    let late = planner.post("/api/v1/people/notice", json!({ "notice": notice })).await;
    assert_eq!(late.refusal(), (422, "invalid".to_owned()));
    assert!(late.text().contains("令和8年12月31日"), "{}", late.text());
    world.verify().await;
}

#[tokio::test]
async fn only_the_persons_own_city_makes_a_notice_and_for_a_withheld_person_nobody() {
    let world = World::new().await;
    let hidden = world.find(Person::Hidden).await;
    let reply = world.log_in(Role::City).await.get(&format!("/api/v1/people/{hidden}/notice-line")).await;
    assert_eq!(reply.refusal(), (409, "conflict".to_owned()));
    let handle = world.stolen_handle(Role::OtherCity, Person::Hanako.key()).await;
    let reply = world.log_in(Role::OtherCity).await.get(&format!("/api/v1/people/{handle}/notice-line")).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    world.verify().await;
}

/// The dark squares of a QR code with this text, as the paper draws them.
fn squares(text: &str) -> String {
    let code = qrcode::QrCode::new(text).unwrap();
    let (width, dark) = (code.width(), qrcode::Color::Dark);
    let at = (0..width * width).map(|at| (at % width, at / width)).filter(|at| code[*at] == dark);
    at.map(|(x, y)| format!("M{} {}h1v1h-1z", x + 4, y + 4)).collect()
}

#[tokio::test]
async fn a_city_prints_what_changes_of_a_card_and_the_paper_says_what_the_code_does() {
    let world = World::new().await;
    let handle = world.find(Person::Hanako).await;
    let line = world.log_in(Role::City).await.get(&format!("/api/v1/people/{handle}/notice-line")).await.json();
    let officer = Browser::logged_in(&world, Role::City).await;
    let person = officer.get(&format!("/p/{handle}")).await.text();
    assert!(person.contains(&format!("href=\"/p/{handle}/notice\"")), "{person}");
    let page =
        officer.get(&format!("/p/{handle}/notice?desk=%E9%AB%98%E9%BD%A2%E8%AA%B2&telephone=000-0000-0000")).await;
    assert_eq!(page.status, StatusCode::OK);
    let page = page.text();
    for text in [
        "架空 花子 様",
        "0000000001（保険者番号 990010）",
        "<b>要介護２</b>",
        "令和8年12月31日まで",
        "<b>1割</b>",
        "給付制限",
        "高齢課",
        "000-0000-0000",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    // What the office scans is what anybody may check.
    assert!(page.contains(&squares(line["text"].as_str().unwrap())), "{page}");
    let log = world.log_about(Person::Hanako.key()).await;
    assert!(log.iter().any(|(action, outcome, _)| action == "claim_values" && outcome == "allowed"), "{log:?}");

    // Of somebody under 不開示 the paper has no code and no address, and nobody but the city has one at all.
    let hidden = world.find(Person::Hidden).await;
    let page = officer.get(&format!("/p/{hidden}/notice")).await.text();
    assert!(page.contains("不開示の方です") && !page.contains("<svg") && !page.contains('〒'), "{page}");
    assert!(!page.contains("架空県架空市"), "{page}");
    let other = Browser::logged_in(&world, Role::OtherCity).await;
    let stolen = world.stolen_handle(Role::OtherCity, Person::Hanako.key()).await;
    assert_eq!(other.get(&format!("/p/{stolen}/notice")).await.status, StatusCode::NOT_FOUND);
    let planner = Browser::logged_in(&world, Role::Planner).await;
    let own = world.register(Role::Planner, Person::Hanako).await;
    assert!(planner.get(&format!("/p/{own}/notice")).await.status.is_client_error());
    world.verify().await;
}

#[tokio::test]
async fn a_visit_is_noted_by_the_assigned_office_and_the_city_sees_it() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let path = |handle: &str| format!("/api/v1/people/{handle}/visual-check");
    assert_eq!(
        world.log_in(Role::Planner).await.post(&path(&handle), Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    let stolen = world.stolen_handle(Role::Stranger, Person::Hanako.key()).await;
    assert_eq!(
        world.log_in(Role::Stranger).await.post(&path(&stolen), Value::Null).await.status,
        StatusCode::NOT_FOUND
    );
    let at_city = world.find(Person::Hanako).await;
    let looks = world.log_in(Role::City).await.get(&format!("/api/v1/people/{at_city}/look-ups")).await.json();
    let noted = looks["look_ups"].as_array().unwrap().iter().filter(|look| look["action"] == "identity.visual");
    assert_eq!(noted.filter(|look| look["outcome"] == "実施").count(), 1, "{looks}");
    world.verify().await;
}

#[tokio::test]
async fn a_browser_takes_what_the_reader_says_and_shows_what_to_do_when_it_does_not_fit() {
    let world = World::new().await;
    let mut browser = Browser::logged_in(&world, Role::Planner).await;
    let choose = browser.get("/users/new").await.text();
    assert!(choose.contains("href=\"/users/new/card\"") && choose.contains("href=\"/users/new/qr\""), "{choose}");
    let empty = browser.submit("/users/new/card", "/users/new/card", &[("statement", "")]).await;
    assert_eq!(empty.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        empty.text().contains("エラー：") && empty.text().contains("もう一度読み取ってください"),
        "{}",
        empty.text()
    );
    let statement = statement(&world, Person::Hanako, Role::Planner).await;
    let reply = browser.submit("/users/new/card", "/users/new/card", &[("statement", &statement)]).await;
    assert!(location(&reply).ends_with("/consent"));

    let handle = world.find(Person::Hanako).await;
    let line = world.log_in(Role::City).await.get(&format!("/api/v1/people/{handle}/notice-line")).await.json();
    let mut helper = Browser::logged_in(&world, Role::Helper).await;
    let notice = line["text"].as_str().unwrap();
    let wrong = helper.submit("/users/new/qr", "/users/new/qr", &[("notice", &notice.replace("KN1", "KN2"))]).await;
    assert!(wrong.text().contains("お知らせのQRコードではありません"), "{}", wrong.text());
    let reply = helper.submit("/users/new/qr", "/users/new/qr", &[("notice", notice)]).await;
    assert!(location(&reply).starts_with("/p/"));
    world.verify().await;
}

/// A platform whose operator takes the word of a terminal about what オンライン資格確認 read.
async fn world_with_readers() -> World {
    World::of(Config { online_qualification: true, ..Config::default() }, |_| {}).await
}

fn items(person: Person) -> [String; 5] {
    let card = person.card();
    let text = |name: &str| card[name].as_str().unwrap().to_owned();
    [text("insurer_number"), text("insured_number"), text("kana"), text("birth").replace('-', ""), "2".to_owned()]
}

/// What the terminal states after it has asked the platform for a challenge.
async fn reader_statement(world: &World, items: &[String; 5], at: Role) -> String {
    let terminal = terminal(world, at).await;
    let app = Client { fingerprint: Some(fingerprint(&terminal.chain[0])), ..world.with_certificate(at) };
    let reply = app.post("/api/v1/card-challenges", Value::Null).await;
    reader::state(items, reply.json()["challenge"].as_str().unwrap(), &terminal).unwrap()
}

#[tokio::test]
async fn what_a_terminal_states_of_the_qualification_system_registers_like_the_four_items_and_counts_once() {
    let world = world_with_readers().await;
    let statement = reader_statement(&world, &items(Person::Hanako), Role::Planner).await;
    let reply = read_card(&world, Role::Planner, &statement).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let again = read_card(&world, Role::Planner, &statement).await;
    assert!(again.status == StatusCode::UNPROCESSABLE_ENTITY && again.text().contains("使用済み"), "{}", again.text());
    let log = world.log_about(Person::Hanako.key()).await;
    assert!(log.contains(&("register".to_owned(), "done".to_owned(), "online_qualification".to_owned())), "{log:?}");
    // All items must match, nobody is told which did not, and it is counted like typing.
    let mut wrong = items(Person::Hanako);
    wrong[3] = "19410504".to_owned();
    for _ in 0..5 {
        let statement = reader_statement(&world, &wrong, Role::Helper).await;
        assert_eq!(read_card(&world, Role::Helper, &statement).await.refusal(), (404, "not_matched".to_owned()));
    }
    let mut browser = Browser::logged_in(&world, Role::Helper).await;
    let statement = reader_statement(&world, &wrong, Role::Helper).await;
    let page = browser.submit("/users/new/card", "/users/new/card", &[("statement", &statement)]).await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS, "{}", page.text());
    let hidden = reader_statement(&world, &items(Person::Hidden), Role::Planner).await;
    assert_eq!(read_card(&world, Role::Planner, &hidden).await.refusal(), (404, "not_matched".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn the_random_digits_of_a_statement_are_not_taken_for_an_individual_number() {
    let world = world_with_readers().await;
    let mut browser = Browser::logged_in(&world, Role::Planner).await;
    for label in ["KC1", "KO1"] {
        let statement = format!("{label}.ab123456789018cd.AAAA.AAAA.AAAA");
        let reply = read_card(&world, Role::Planner, &statement).await;
        assert!(reply.status == 422 && !reply.text().contains("個人番号"), "{}", reply.text());
        let page = browser.submit("/users/new/card", "/users/new/card", &[("statement", &statement)]).await;
        assert!(page.status == 422 && !page.text().contains("個人番号"), "{}", page.text());
    }
    world.verify().await;
}

#[tokio::test]
async fn a_statement_of_the_qualification_system_is_no_back_door() {
    let world = world_with_readers().await;
    let refused = async |statement: &str| {
        let reply = read_card(&world, Role::Planner, statement).await;
        assert_eq!(reply.refusal(), (422, "invalid".to_owned()), "{}", reply.text());
    };
    refused(&reader_statement(&world, &items(Person::Hanako), Role::Helper).await).await;
    let statement = reader_statement(&world, &items(Person::Hanako), Role::Planner).await;
    let other = reader_statement(&world, &items(Person::Hidden), Role::Planner).await;
    let (ours, theirs): (Vec<_>, Vec<_>) = (statement.split('.').collect(), other.split('.').collect());
    for part in 1..ours.len() {
        let mut mixed = ours.clone();
        mixed[part] = theirs[part];
        refused(&mixed.join(".")).await;
    }
    // What the platform never gave, and what it gave too long ago.
    let terminal = terminal(&world, Role::Planner).await;
    refused(&reader::state(&items(Person::Hanako), &"0".repeat(64), &terminal).unwrap()).await;
    world.pass(121).await;
    refused(&statement).await;
    // Where the operator has not allowed it, it is not taken, and a card's own statement is none of these.
    let closed = World::new().await;
    let statement = reader_statement(&closed, &items(Person::Hanako), Role::Planner).await;
    let reply = read_card(&closed, Role::Planner, &statement).await;
    assert_eq!(reply.refusal(), (422, "invalid".to_owned()));
    assert!(reply.text().contains("まだこの読み取りを使えません"), "{}", reply.text());
    world.verify().await;
    closed.verify().await;
}
