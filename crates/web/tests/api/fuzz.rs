//! Requests made from the committed description, each a right one with one thing wrong: every route × its parameters and
//! the items of its body × wrong types, nothing, far too much, odd characters. No answer may be the platform's own fault,
//! and each must be one the description promises and have its entry in the log ([`Client::send_raw`] holds it to both).
//! A route gets some of the wrong things in each of its places, the next one others, so that all come up and it ends soon.

use crate::access::{ask_at, body, path};
use crate::world::{Client, Person, Reply, Role, World, form, package};
use axum::body::Body;
use axum::http::{HeaderValue, Method, header};
use kiban_service::Config;
use kiban_web::{Listener, ROUTES, Route, openapi};
use serde_json::{Value, json};

/// Whose request it is: somebody for whom the route is made.
fn asker(route: &Route) -> Role {
    match route.name {
        "submit_opinion" => Role::Hospital,
        _ if route.listener == Listener::ClosedLine => Role::HospitalConnector,
        _ => match route.audience {
            kiban_web::Audience::Municipalities | kiban_web::Audience::CityOrOperator => Role::City,
            kiban_web::Audience::Operators => Role::Operator,
            _ => Role::Planner,
        },
    }
}

/// What no item should be, whatever its type.
fn wrong_values() -> Vec<Value> {
    let deep = (0..60).fold(json!(1), |inner, _| json!([inner]));
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(9_223_372_036_854_775_807i64),
        json!(1e300),
        json!([]),
        json!({}),
        json!([[]]),
        deep,
        json!(""),
        json!(" "),
        json!("\u{0}"),
        json!("\r\n=1+1"),
        json!("'; DROP TABLE person; --"),
        json!("\u{202e}\u{200b}\u{feff}"),
        json!("𠮷野家 ｶﾅ ㍻ が\u{3099}"),
        json!("99999999999999999999"),
        json!("9999-12-31"),
        json!("-9999-01-01"),
        json!("0000-00-00"),
        json!("2026-02-30"),
        json!("a".repeat(70_000)),
        json!("あ".repeat(3_000)),
    ]
}

/// Parts of an address, as they stand in one.
const WRONG_PARTS: [&str; 14] = [
    "",
    "0",
    "-1",
    "null",
    "%00",
    "%ff%fe",
    "%E3%81%82",
    "..%2f..%2fetc%2fpasswd",
    "%27%20OR%201%3D1--",
    "+",
    "A3a%20",
    "18446744073709551616",
    "9999-99-99",
    "%F0%A0%AE%B7",
];

/// Bodies that are wrong as a whole.
fn wrong_bodies() -> Vec<Vec<u8>> {
    vec![
        b"".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"0".to_vec(),
        b"\"x\"".to_vec(),
        b"{".to_vec(),
        b"{}{}".to_vec(),
        b"\xff\xfe{}".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        "[".repeat(5_000).into_bytes(),
        [b"{\"a\":".to_vec(), b" ".repeat(1 << 20), b"1}".to_vec()].concat(),
    ]
}

/// The body with each of its items, at any depth, gone or wrong in some way, and with one too many.
fn mutations(right: &Value, judge: &mut Judge) -> Vec<Value> {
    let (wrong, mut all, mut pointers) = (wrong_values(), Vec::new(), Vec::new());
    collect(right, String::new(), &mut pointers);
    // Of a long document some items are wrong, others each time.
    for pointer in judge.some(&pointers, 8) {
        for wrong in judge.some(&wrong, SOME) {
            let mut changed = right.clone();
            if let Some(item) = changed.pointer_mut(&pointer) {
                *item = wrong;
            }
            all.push(changed);
        }
        let mut without = right.clone();
        if let Some((parent, name)) = pointer.rsplit_once('/')
            && let Some(Value::Object(items)) = without.pointer_mut(parent)
        {
            items.remove(name);
            all.push(without);
        }
    }
    let mut more = right.clone();
    more["余計な項目"] = json!(1);
    all.push(more);
    all
}

fn collect(value: &Value, at: String, pointers: &mut Vec<String>) {
    match value {
        Value::Object(items) => {
            items.iter().for_each(|(name, item)| collect(item, format!("{at}/{name}"), pointers));
        }
        Value::Array(items) => {
            items.iter().take(1).for_each(|item| collect(item, format!("{at}/0"), pointers));
        }
        _ => {}
    }
    if !at.is_empty() {
        pointers.push(at);
    }
}

/// Wrong things that each place of a request gets.
const SOME: usize = 2;

/// Counts what was asked, and stops at what must not be.
#[derive(Default)]
struct Judge {
    asked: usize,
    good: usize,
    /// Where the next place goes on in its list of wrong things.
    turn: usize,
}

impl Judge {
    /// Some of a list, others each time.
    fn some<T: Clone>(&mut self, list: &[T], many: usize) -> Vec<T> {
        let many = many.min(list.len());
        self.turn += many;
        let from = self.turn;
        (0..many).map(|n| list[(from + n) % list.len()].clone()).collect()
    }
}

impl Judge {
    fn look(&mut self, route: &Route, what: &str, reply: &Reply) {
        self.asked += 1;
        self.good += usize::from(reply.status.is_success());
        assert!(reply.status.as_u16() < 500, "{} with {what}: {} {}", route.name, reply.status, reply.text());
    }
}

struct Fuzz<'w> {
    world: &'w World,
    judge: Judge,
}

impl<'w> Fuzz<'w> {
    /// A client in the state in which the route works; a log-in lasts only until somebody logs out.
    async fn client(&self, role: Role) -> Client<'w> {
        self.world.assign(Role::Planner, Person::Hanako, true).await;
        let client = self.world.log_in(role).await;
        if client.token.is_none() || client.get("/api/v1/notices").await.status != 401 {
            return client;
        }
        self.world.forget_log_ins();
        self.world.log_in(role).await
    }

    async fn addresses(&mut self, route: &Route, role: Role, right: &str) {
        let client = self.client(role).await;
        let parts: Vec<&str> = route.path.split('/').collect();
        for (n, _) in parts.iter().enumerate().filter(|(_, part)| part.starts_with('{')) {
            let long = "a".repeat(2_000);
            for wrong in self.judge.some(&[&WRONG_PARTS[..], &[&long]].concat(), SOME) {
                let mut given: Vec<&str> = right.split('?').next().unwrap().split('/').collect();
                given[n] = wrong;
                let reply = ask_at(self.world, route, &client, role, &given.join("/")).await;
                self.judge.look(route, wrong, &reply);
            }
        }
        let method = route.method.as_str().to_ascii_lowercase();
        let described = openapi::document()["paths"][route.path][method]["parameters"].clone();
        let named = described.as_array().unwrap().iter().filter(|one| one["in"] == "query");
        let names: Vec<String> = named.map(|one| one["name"].as_str().unwrap().to_owned()).collect();
        let bare = right.split('?').next().unwrap();
        let more = self.judge.some(&["余計", "%00"], 1);
        for name in names.iter().map(String::as_str).chain(more) {
            let mut queries: Vec<String> =
                self.judge.some(&WRONG_PARTS, SOME).iter().map(|wrong| format!("{name}={wrong}")).collect();
            queries.extend(self.judge.some(&[None, None, Some(format!("{name}=1&{name}=2"))], 1).remove(0));
            for query in queries {
                let reply = ask_at(self.world, route, &client, role, &format!("{bare}?{query}")).await;
                self.judge.look(route, &query, &reply);
            }
        }
    }

    async fn headers(&mut self, route: &Route, role: Role, right: &str) {
        let client = self.client(role).await;
        let headers = [
            ("content-type", ""),
            ("content-type", "text/plain"),
            ("content-type", "multipart/form-data"),
            ("content-type", "application/json; charset=shift_jis"),
            ("idempotency-key", ""),
            ("idempotency-key", "a b"),
            ("if-none-match", "\"\", W/, *"),
            ("accept", "image/png"),
            ("range", "bytes=0-1"),
            ("expect", "200-ok"),
            ("x-http-method-override", "DELETE"),
        ];
        for (name, value) in self.judge.some(&headers, SOME) {
            let request = client.request(route.method.clone(), right).header(name, value);
            let reply = client.send_raw(request.body(Body::from("{}")).unwrap()).await;
            self.judge.look(route, &format!("{name}: {value}"), &reply);
        }
        // Authorization of every wrong kind, which must not get further than 401.
        for value in self.judge.some(&[&b""[..], b"Bearer", b"Bearer x", b"Basic YTpi", b"Bearer \xe9"], 1) {
            let value = HeaderValue::from_bytes(value).unwrap();
            let mut without = client.clone();
            without.token = None;
            let request = without.request(route.method.clone(), right).header(header::AUTHORIZATION, value);
            let reply = without.send_raw(request.body(Body::empty()).unwrap()).await;
            self.judge.look(route, "another Authorization", &reply);
            assert!(!route.audience.needs_log_in() || role.is_connector() || reply.status == 401, "{}", route.name);
        }
    }

    async fn bodies(&mut self, route: &Route, role: Role, right: &str) {
        let client = self.client(role).await;
        let json =
            async |bytes: Vec<u8>| client.send(route.method.clone(), right, "application/json", bytes.into()).await;
        for bytes in self.judge.some(&wrong_bodies(), SOME) {
            let reply = json(bytes.clone()).await;
            self.judge.look(route, &String::from_utf8_lossy(&bytes[..bytes.len().min(20)]), &reply);
        }
        let Some(body) = body(self.world, route.name, role) else { return };
        for changed in mutations(&body, &mut self.judge) {
            let text = changed.to_string();
            let reply = json(text.clone().into_bytes()).await;
            self.judge.look(route, &text.chars().take(400).collect::<String>(), &reply);
        }
    }

    async fn uploads(&mut self, route: &Route, role: Role) {
        let client = self.client(role).await;
        let whole = form(&package(self.world.now()));
        let tenths = (0..10).map(|n| whole[..whole.len() * n / 10].to_vec());
        let odd_names = ["", "..", "a/b", "あ.csv", "MANIFEST.csv\u{0}", &"n".repeat(5_000)];
        let named = odd_names.iter().map(|name| form(&[((*name).to_owned(), b"x".to_vec())]));
        let empty = [form(&[]), form(&[("MANIFEST.csv".to_owned(), vec![])]), b"--x-x-x--".to_vec()];
        let all: Vec<Vec<u8>> = tenths.chain(named).chain(empty).collect();
        for bytes in self.judge.some(&all, 6) {
            let media = "multipart/form-data; boundary=x-x-x";
            let reply = client.send(Method::POST, route.path, media, Body::from(bytes)).await;
            self.judge.look(route, media, &reply);
        }
        for media in ["multipart/form-data; boundary=", "application/zip"] {
            let reply = client.send(Method::POST, route.path, media, Body::from(whole.clone())).await;
            self.judge.look(route, media, &reply);
        }
    }
}

#[tokio::test]
async fn no_request_made_from_the_description_is_answered_with_a_fault_of_the_platform() {
    let plenty = 10_000_000;
    let figures = Config {
        office_requests: plenty,
        insurer_requests: plenty,
        disaster_requests: plenty,
        login_failures: 1_000_000,
        ..Config::default()
    };
    let world = World::of(figures, |_| {}).await;
    let mut fuzz = Fuzz { world: &world, judge: Judge::default() };
    for route in ROUTES.iter().filter(|route| route.listener != Listener::Public) {
        let role = asker(route);
        fuzz.client(role).await;
        let right = path(&world, route, role).await;
        // A password that is changed is another one for all that follow, and so is a token.
        if !matches!(route.name, "change_password" | "prove_again") {
            fuzz.addresses(route, role, &right).await;
        }
        fuzz.headers(route, role, &right).await;
        let method = route.method.as_str().to_ascii_lowercase();
        let content = &openapi::document()["paths"][route.path][method]["requestBody"]["content"];
        match route.name {
            _ if content.get("multipart/form-data").is_some() => fuzz.uploads(route, role).await,
            _ if route.method == Method::GET => {}
            // Each wrong password costs one argon2, and a right one is another from then on; their items are plain texts.
            "log_in" | "log_in_program" | "change_password" | "prove_again" => {
                for body in fuzz.judge.some(&wrong_bodies(), 4) {
                    let client = world.with_certificate(role);
                    let reply = client.send(Method::POST, &right, "application/json", body.into()).await;
                    fuzz.judge.look(route, "a wrong body", &reply);
                }
            }
            _ => fuzz.bodies(route, role, &right).await,
        }
    }
    let Judge { asked, good, .. } = fuzz.judge;
    assert!(asked > 900 && good > 50, "{asked} asked, {good} good: does it still ask?");
    world.verify().await;
}

#[tokio::test]
async fn what_strangers_send_to_the_public_pages_is_never_a_fault_either() {
    let world = World::new().await;
    for route in ROUTES.iter().filter(|route| route.listener == Listener::Public) {
        for name in ["prefecture", "state", "name", "x"] {
            for wrong in WRONG_PARTS {
                let status = world.outside(&format!("{}?{name}={wrong}", route.path)).await.status;
                assert!(status.as_u16() < 500, "{} {name}={wrong}: {status}", route.path);
            }
        }
    }
}
