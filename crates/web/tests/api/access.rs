//! The sweep: every route of the table × everybody who may ask, against a committed table of statuses. A new route
//! without a line fails, and so does a status that changed without anybody looking (T-41).

use crate::slips;
use crate::submissions::plan_request;
use crate::view::opinion;
use crate::world::{
    COLLEAGUE, Client, PASSWORD, Person, ROLES, Reply, Role, World, account, certificate, city, form, later_city,
    package,
};
use axum::body::Body;
use axum::http::Method;
use kiban_web::{Audience, Listener, ROUTES, Route};
use serde_json::{Value, json};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/route_access.txt");

const HEAD: &str = "\
# Status of every route for everybody who may ask about 架空 花子 (made by a test; UPDATE_GOLDEN=1 writes it anew).
# The planner is registered as plan maker, the helper too; the city asked the hospital for an opinion; no consent; no
# disaster. Bodies are right. 404 is the answer of everything a caller may not know of.
";

#[tokio::test]
async fn every_route_answers_everybody_as_the_table_says() {
    let world = World::new().await;
    let mut table = HEAD.to_owned();
    table += &format!("{:<55} {:>7} {:>9}", "# route", "nobody", "no-log-in");
    ROLES.iter().for_each(|role| table += &format!(" {:>14}", format!("{role:?}")));
    table.push('\n');
    for route in ROUTES {
        table += &line(&world, route).await;
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(TABLE, &table).unwrap();
    }
    let committed = std::fs::read_to_string(TABLE).unwrap_or_default();
    let differences: Vec<_> = table.lines().filter(|line| !committed.lines().any(|known| known == *line)).collect();
    assert!(differences.is_empty(), "not in tests/golden/route_access.txt:\n{}", differences.join("\n"));
    assert_eq!(table, committed, "lines without a route in tests/golden/route_access.txt");
    world.verify().await;
}

async fn line(world: &World, route: &Route) -> String {
    let name = format!("{} {}", route.method, route.path);
    if route.listener == Listener::Public {
        let status = world.outside_with(&route.method, route.path, body(world, route.name, Role::Planner)).await.status;
        return format!("{name:<55} {:>7}  (public listener)\n", status.as_u16());
    }
    let line = route.listener == Listener::ClosedLine;
    let at = |client| Client { line, ..client };
    let nobody = ask(world, route, &at(world.nobody()), Role::Planner).await.status.as_u16();
    let without = ask(world, route, &at(world.with_certificate(Role::Planner)), Role::Planner).await.status.as_u16();
    if route.audience.needs_log_in() {
        assert_eq!((nobody, without), (401, 401), "{name}");
    }
    let mut line = format!("{name:<55} {nobody:>7} {without:>9}");
    for role in ROLES {
        let mut client = world.log_in(role).await;
        client.line = route.listener == Listener::ClosedLine;
        if route.name == "log_out" && !role.is_connector() {
            client.token = Some(world.fresh_token(role).await);
        }
        world.assign(Role::Planner, Person::Hanako, true).await;
        world.assign(Role::Helper, Person::Hanako, false).await;
        world.unassign(Role::Hospital, Person::Hanako).await;
        world.unassign(Role::Stranger, Person::Hanako).await;
        let reply = ask(world, route, &client, role).await;
        assert!(!reply.status.is_success() || is_meant_for(route, role), "{name} for {role:?}: {}", reply.status);
        line += &format!(" {:>14}", reply.status.as_u16());
        if matches!(route.name, "change_password" | "prove_again") && reply.status.is_success() {
            world.change(async |tx| tx.put_account(&account(role)).await.unwrap()).await;
            world.forget_log_ins();
        }
    }
    line + "\n"
}

fn is_meant_for(route: &Route, role: Role) -> bool {
    let is_office = role.organization().office().is_some();
    let is_city = matches!(role, Role::City | Role::CityProgram | Role::CityConnector | Role::OtherCity);
    match route.audience {
        Audience::Anyone | Audience::Certificate | Audience::Staff => true,
        Audience::Offices => is_office,
        Audience::Municipalities => is_city,
        Audience::Both => is_office || is_city,
        Audience::Operators => matches!(role, Role::Operator | Role::SecondOperator),
        Audience::CityOrOperator => is_city || matches!(role, Role::Operator | Role::SecondOperator),
        Audience::Person => false,
    }
}

async fn ask(world: &World, route: &Route, client: &Client<'_>, role: Role) -> Reply {
    let path = path(world, route, role).await;
    while route.name == "statistics_file" && client.get("/api/v1/statistics").await.json()["state"] == json!("running")
    {
        tokio::task::yield_now().await;
    }
    ask_at(world, route, client, role, &path).await
}

/// The path of a route with something that is there, for this caller.
pub async fn path(world: &World, route: &Route, role: Role) -> String {
    let mut path = route.path.to_owned();
    let parameter = path.split('{').nth(1).and_then(|rest| rest.split('}').next()).map(str::to_owned);
    if let Some(parameter) = parameter {
        path = path.replace(&format!("{{{parameter}}}"), &first_parameter(world, route, role).await);
    }
    if route.name == "copayment_changes" {
        path += "?day=2026-08-01";
    }
    if route.name == "reachable_office" {
        path += &format!("?office={}", Role::Helper.organization());
    }
    if route.name == "send_slips" {
        let to = if role == Role::Helper { Role::Planner } else { Role::Helper };
        path += &format!("?to={}", to.organization());
    }
    if path.contains("{session}") {
        // A log-in of one's own.
        let session = if role.is_connector() { "0".repeat(32) } else { fresh_session(world, role).await };
        path = path.replace("{account}", role.account()).replace("{session}", &session);
    }
    if path.contains("{registration}") {
        let handle = world.find(Person::Hanako).await;
        let ask = body(world, "register_proxy", Role::City).unwrap();
        let reply = world.log_in(Role::City).await.post(&format!("/api/v1/people/{handle}/proxies"), ask).await;
        path = path.replace("{registration}", reply.json()["id"].as_str().unwrap());
    }
    if path.contains("{block}") {
        let handle = world.find(Person::Hanako).await;
        let (city_hall, proxies) = (world.log_in(Role::City).await, format!("/api/v1/people/{handle}/proxies"));
        let proxy = city_hall.post(&proxies, body(world, "register_proxy", Role::City).unwrap()).await.json();
        let mut ask = body(world, "block_proxies", Role::City).unwrap();
        ask["registration"] = proxy["id"].clone();
        let made = city_hall.post(&format!("/api/v1/people/{handle}/proxy-blocks"), ask).await.json();
        path = path.replace("{block}", made["id"].as_str().unwrap_or_else(|| panic!("{made}")));
    }
    path = path.replace("{kind}", "A3a").replace("{account}", COLLEAGUE);
    if path.contains("{file}") {
        let slip = path.split('/').nth(4).unwrap();
        let sender = world.log_in(Role::Planner).await;
        let slip = sender.get(&format!("/api/v1/slips/{slip}")).await.json();
        path = path.replace("{file}", slip["files"][0]["name"].as_str().unwrap());
    }
    path.replace("{office}", &Role::Stranger.organization().to_string())
}

/// The id of a log-in of somebody that nobody needs.
async fn fresh_session(world: &World, role: Role) -> String {
    let token = world.fresh_log_in(role).await["refresh_token"].as_str().unwrap().to_owned();
    token[..32].to_owned()
}

/// Asks a route with a right body.
pub async fn ask_at(world: &World, route: &Route, client: &Client<'_>, role: Role, path: &str) -> Reply {
    if matches!(route.name, "send_slips" | "print_slips") {
        // Under a key it is the same set each time.
        let serial = client.key.as_ref().map_or_else(slips::serial, |key| 20_261_123_000_000 + key.len() as u64);
        let files = slips_of(role, serial);
        return client.upload(path, &files).await;
    }
    if matches!(route.name, "import_package" | "import_plans" | "import_life" | "import_claims") {
        let media = "multipart/form-data; boundary=x-x-x";
        return client.send(Method::POST, path, media, Body::from(form(&package(world.now())))).await;
    }
    if route.name == "refresh_session" {
        let unknown = json!({ "refresh_token": "0".repeat(96) });
        let log_in = if role.is_connector() { unknown } else { world.fresh_log_in(role).await };
        return client.post(path, json!({ "refresh_token": log_in["refresh_token"] })).await;
    }
    let body = body(world, route.name, role).map_or_else(Body::empty, |body| Body::from(body.to_string()));
    client.send(route.method.clone(), path, "application/json", body).await
}

/// A right set of somebody who takes part in the exchange; for others the planner's.
fn slips_of(role: Role, serial: u64) -> Vec<(String, Vec<u8>)> {
    match role {
        Role::Helper => slips::results(Role::Helper, Role::Planner, serial),
        Role::Stranger => slips::set(Role::Stranger, Role::Helper, serial),
        _ => slips::set(Role::Planner, Role::Helper, serial),
    }
}

/// A handle made for the caller, or the number of something that is there.
async fn first_parameter(world: &World, route: &Route, role: Role) -> String {
    if route.path.starts_with("/api/v1/people") {
        return world.stolen_handle(role, Person::Hanako.key()).await;
    }
    if route.path.starts_with("/api/v1/slips/{slip}") {
        return slips::message(world).await;
    }
    let number = |reply: Reply, name: &str| {
        let text = reply.json()[name].as_str().map(str::to_owned);
        text.unwrap_or_else(|| panic!("{}: {}", route.path, reply.text()))
    };
    if route.path.starts_with("/api/v1/inbox") {
        // Later than whatever was handed in before, so that it is the last.
        world.pass(1).await;
        let handle = world.stolen_handle(Role::Hospital, Person::Hanako.key()).await;
        let mut opinion = opinion(world);
        // Another application each time, so that none is a repetition.
        let day = world.today() - jiff::Span::new().days(30);
        opinion["applied_on"] = json!(day);
        let path = format!("/api/v1/people/{handle}/opinions");
        let reply = world.log_in(Role::Hospital).await.post(&path, opinion).await;
        if reply.status.is_success() {
            return number(reply, "receipt");
        }
        let inbox = world.log_in(Role::City).await.get("/api/v1/inbox").await.json();
        let waits = |item: &&Value| item["kind"] == "A2" && item["decided_at"].is_null();
        let waiting = inbox["items"].as_array().unwrap().iter().rfind(waits).unwrap();
        return waiting["receipt"].as_str().unwrap().to_owned();
    }
    if route.path.starts_with("/api/v1/opinions") {
        let connector = world.log_in(Role::HospitalConnector).await;
        let mut opinion = opinion(world);
        opinion["applied_on"] = json!(world.today() - jiff::Span::new().days(40));
        return connector.post("/api/v1/opinions", opinion).await.json()["documents"][0]["receipt"]
            .as_str()
            .unwrap()
            .to_owned();
    }
    if route.path.starts_with("/api/v1/receipts") {
        return number(
            world.log_in(Role::City).await.upload("/api/v1/packages", &package(world.now())).await,
            "receipt",
        );
    }
    if route.path.starts_with("/api/v1/announcements") {
        let operator = world.log_in(Role::Operator).await;
        let ask = body(world, "announce", Role::Operator).unwrap();
        return number(operator.post("/api/v1/announcements", ask).await, "announcement");
    }
    if route.path.starts_with("/api/v1/notices") {
        // Somebody types the card of a 不開示 person; the city is told once a day.
        world.log_in(Role::Helper).await.post("/api/v1/people", Person::Hidden.card()).await;
        let notices = world.log_in(Role::City).await.get("/api/v1/notices?seen=true").await.json();
        return notices["notices"][0]["notice"].as_str().unwrap().to_owned();
    }
    if route.path.starts_with("/api/v1/insurers") {
        return if role == Role::OtherCity { crate::world::other_city() } else { city() }.to_string();
    }
    if route.path.starts_with("/api/v1/organizations") {
        let is_operator = matches!(role, Role::Operator | Role::SecondOperator) && !route.path.contains("{session}");
        return if is_operator { Role::Helper } else { role }.organization().to_string();
    }
    if route.path.starts_with("/api/v1/account/passkeys") {
        // Nobody has one.
        return "0".repeat(32);
    }
    if route.path.starts_with("/api/v1/certificates") {
        // A terminal nobody needs any more.
        let fingerprint = kiban_service::random_id().unwrap().repeat(2);
        let row = certificate(role, &fingerprint, world.now());
        world.change(async |tx| tx.put_certificate(&row).await.unwrap()).await;
        return row.serial;
    }
    let operator = world.log_in(Role::Operator).await;
    if route.path.starts_with("/api/v1/certificate-applications") {
        let body = body(world, "apply_for_certificate", Role::Operator).unwrap();
        return number(operator.post("/api/v1/certificate-applications", body).await, "application");
    }
    number(operator.post("/api/v1/disasters", body(world, "propose_disaster", Role::Operator).unwrap()).await, "id")
}

pub fn body(world: &World, name: &str, role: Role) -> Option<Value> {
    let today = world.today();
    Some(match name {
        "log_in" => json!({ "account": role.account(), "password": PASSWORD }),
        "log_in_program" => json!({ "account": role.account(), "password": PASSWORD, "software": "みほんソフト 1.0" }),
        "register_office" => Person::Hanako.card(),
        "register_by_card" => json!({ "statement": "まだ読み取っていない" }),
        "register_by_notice" => json!({ "notice": "まだ読み取っていない" }),
        "eligibility" => {
            json!({ "insurer_number": city(), "insured_number": Person::Hanako.key().insured })
        }
        "find_insured" => json!({ "insured_number": Person::Hanako.key().insured }),
        "lift_withheld" => json!({ "insured_number": Person::Hanako.key().insured, "reason": "本人の申出" }),
        "decide_office" => json!({ "decision": "confirm" }),
        "set_plan_maker" => json!({ "makes_plan": true }),
        "set_switch" => json!({ "hidden": false }),
        "switch_account" => json!({ "active": true }),
        "invite_account" => {
            let (id, operator) =
                (kiban_service::random_id().unwrap(), role.organization() == Role::Operator.organization());
            json!({ "account": id, "name": "見本 新子", "job": "clerk", "administrator": operator })
        }
        "offer_mail" => json!({ "address": "mihon@example.jp" }),
        "prove_again" => json!({ "password": PASSWORD }),
        "answer_factor" => json!({ "code": "000000" }),
        // Nobody's app: right is only the password.
        "set_up_factor" => json!({ "password": PASSWORD, "code": "000000" }),
        "remove_factor" => json!({ "password": PASSWORD, "code": "000000" }),
        "add_passkey" => json!({ "name": "見本", "password": PASSWORD, "client_data": "AAAA", "attestation": "AAAA" }),
        "change_password" => json!({ "old_password": PASSWORD, "new_password": "aoi-sora-to-neko-7" }),
        "register_proxy" => json!({
            "role": "legal", "name": "架空 長子", "birth": "1970-01-02", "relation": "成年後見人",
            "document": "登記事項証明書", "document_date": "2026-11-01", "ends_on": "2027-11-01",
        }),
        "block_proxies" => {
            json!({ "reason": "長男と長女の申立て", "document": "申立書の写し", "document_date": "2026-11-20" })
        }
        "lift_proxy_block" => json!({ "reason": "家庭裁判所の審判による" }),
        "record_consent" => {
            json!({ "act": "withdrawn", "declarant": "person", "proof": "insurance_card", "form": "第1版" })
        }
        "submit_opinion" => opinion(world),
        "submit_opinion_file" => {
            // An application of its own, whichever opinions the routes before have decided.
            let mut opinion = opinion(world);
            opinion["applied_on"] = json!(world.today() - jiff::Span::new().days(50));
            opinion
        }
        "file_plan_request" => plan_request(world),
        "change_start" => json!({ "state": "started", "date": "2026-04-01" }),
        "register_slip" => json!({ "agreed_on": today }),
        "apply_for_certificate" => {
            json!({ "organization": role.organization(), "terminal": "2台目の端末", "contact": "000-000-0000" })
        }
        "renew_certificate" => json!({ "csr": "まだ見られない" }),
        "revoke_certificate" => json!({ "reason": "superseded" }),
        "pick_up_certificate" => json!({ "code": "AAAA-BBBB-CCCC-DDDD" }),
        "return_submission" => json!({ "reason": "記載もれがあります" }),
        // Of another city, so that a mode approved here opens nothing for the rest of the sweep.
        "announce" => {
            json!({ "audience": "all", "title": "見本の停止", "body": "見本", "from": today, "to": today })
        }
        "propose_disaster" => json!({ "event": "見本地震", "areas": [later_city()], "from": today, "to": today }),
        "search_disaster" => {
            json!({ "reason": "安否確認", "insurer_number": city(), "kana": "カクウ ハナコ", "birth": "1941-05-03" })
        }
        _ => return None,
    })
}
