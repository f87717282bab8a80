//! The person's log-in at an outside provider: an independent one, and one that lies (T-30, T-31, T-37).

use crate::provider::{CALLBACK, CLIENT, Hostile, How, Key, PersonBrowser, State, Token, query_of, settings};
use crate::world::{PUBLIC_HOST, Reply, World};
use axum::http::{StatusCode, header};
use kiban_pki::Ca;
use kiban_web::Provider;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// A world with a door, and the provider behind it.
pub async fn world_with_provider() -> (World, Hostile) {
    let dir = tempfile::TempDir::new().unwrap();
    let now = Arc::new(Mutex::new("2026-11-24T01:00:00Z".parse().unwrap()));
    let (hostile, provider) = Hostile::start(dir.path(), crate::world::clock_of(&now)).await;
    let provider = Arc::new(provider);
    let world = World::at(now, move |settings| settings.provider = Some(Arc::clone(&provider))).await;
    (world, hostile)
}

/// The rule under which the answer was refused, as the log has it.
async fn reason(world: &World, reply: &Reply) -> String {
    let mut entries = crate::recorded::refusals(world, reply).await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.remove(0)
}

/// The rule under which the answer was refused, as the log has it a minute later: anybody can bring about such a one.
async fn counted(world: &World, reply: &Reply) -> String {
    assert!(crate::recorded::refusals(world, reply).await.is_empty(), "none of its own");
    let context = world.context();
    world.platform.record_refused_requests(&context).await.unwrap();
    let mut entries = crate::recorded::refusals_of(world, &context.request_id).await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.remove(0)
}

fn is_not_logged_in(browser: &PersonBrowser, reply: &Reply) {
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
    assert!(!browser.cookies.keys().any(|name| name.contains("me")), "{:?}", browser.cookies);
    assert!(reply.text().contains("ログインできませんでした"));
}

#[tokio::test]
async fn who_comes_back_as_they_left_is_believed() {
    let (world, hostile) = world_with_provider().await;
    let mut browser = PersonBrowser::default();
    let address = browser.begin(&world).await;
    let asked = query_of(&address);
    assert!(address.starts_with(&format!("{}/authorize?", hostile.0.lock().unwrap().issuer)), "{address}");
    assert_eq!((asked["response_type"].as_str(), asked["client_id"].as_str()), ("code", CLIENT));
    assert_eq!((asked["code_challenge_method"].as_str(), asked["redirect_uri"].as_str()), ("S256", CALLBACK));
    assert_eq!(asked["scope"], "openid name address birthdate gender");
    assert!(asked["state"].len() == 64 && asked["nonce"].len() == 64 && asked["state"] != asked["nonce"]);
    let reply = browser.come_back(&world, &hostile.agree("hanako", &address)).await;
    assert!(reply.status.is_success() || reply.status == StatusCode::SEE_OTHER, "{}", reply.text());
    assert!(!browser.cookies.contains_key("__Host-kiban-attempt"), "the attempt is over");
    // Two attempts have nothing in common.
    let again = query_of(&PersonBrowser::default().begin(&world).await);
    assert!(["state", "nonce", "code_challenge"].iter().all(|name| again[*name] != asked[*name]));
    world.verify().await;
}

/// What a provider or somebody in between may do, and the reason in the log.
#[tokio::test]
async fn no_lie_of_a_provider_logs_anybody_in() {
    let (world, hostile) = world_with_provider().await;
    let claim = |name: &'static str, value: Value| {
        move |state: &mut State| state.token = Box::new(move |token: &mut Token| token.claims[name] = value.clone())
    };
    let header = |name: &'static str, value: &'static str, how: How| {
        move |state: &mut State| {
            state.token = Box::new(move |token: &mut Token| {
                token.header[name] = json!(value);
                token.how = how;
            });
        }
    };
    let now = world.now().as_second();
    type Lie = (&'static str, Box<dyn FnOnce(&mut State)>);
    let lies: Vec<Lie> = vec![
        ("oidc:nonce", Box::new(claim("nonce", json!("0".repeat(64))))),
        ("oidc:nonce", Box::new(claim("nonce", Value::Null))),
        ("oidc:audience", Box::new(claim("aud", json!("RP00000002")))),
        ("oidc:audience", Box::new(claim("aud", json!([CLIENT, "RP00000002"])))),
        ("oidc:azp", Box::new(claim("azp", json!("RP00000002")))),
        ("oidc:issuer", Box::new(claim("iss", json!("https://localhost:1")))),
        ("oidc:expired", Box::new(claim("exp", json!(now - 61)))),
        ("oidc:issued_at", Box::new(claim("iat", json!(now - 3_600)))),
        ("oidc:issued_at", Box::new(claim("iat", json!(now + 3_600)))),
        ("oidc:not_before", Box::new(claim("nbf", json!(now + 3_600)))),
        ("oidc:at_hash", Box::new(claim("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA")))),
        ("oidc:acr", Box::new(claim("acr", json!("password")))),
        ("oidc:acr", Box::new(claim("acr", Value::Null))),
        ("oidc:subject", Box::new(claim("sub", json!("")))),
        ("oidc:token", Box::new(claim("exp", json!("later")))),
        ("oidc:alg", Box::new(header("alg", "none", How::Unsigned))),
        ("oidc:alg", Box::new(header("alg", "HS256", How::HmacOfPublicKey))),
        ("oidc:alg", Box::new(header("crit", "x", How::Own))),
        ("oidc:signature", Box::new(header("alg", "ES256", How::OtherKey))),
        ("oidc:signature", Box::new(header("alg", "ES256", How::Unsigned))),
        ("oidc:key", Box::new(header("alg", "RS256", How::Own))),
        ("oidc:key", Box::new(header("kid", "k2", How::Own))),
        ("oidc:token_type", Box::new(|state| state.tokens = Box::new(|tokens| tokens["token_type"] = json!("DPoP")))),
        ("oidc:token", Box::new(|state| state.tokens = Box::new(|tokens| tokens["id_token"] = json!("a.b")))),
        ("oidc:userinfo_subject", Box::new(|state| state.userinfo = Box::new(|claims| claims["sub"] = json!("jiro")))),
    ];
    for (n, (expected, lie)) in lies.into_iter().enumerate() {
        hostile.be_honest();
        hostile.change(lie);
        let mut browser = PersonBrowser::default();
        let address = browser.begin(&world).await;
        let reply = browser.come_back(&world, &hostile.agree("hanako", &address)).await;
        is_not_logged_in(&browser, &reply);
        assert_eq!(reason(&world, &reply).await, expected, "lie {n}");
    }
    // An unknown key is looked for once a minute at most, however often somebody names one.
    assert_eq!(hostile.0.lock().unwrap().read_keys, 1);
    world.verify().await;
}

#[tokio::test]
async fn an_answer_that_belongs_to_another_attempt_browser_or_issuer_is_refused() {
    let (world, hostile) = world_with_provider().await;
    let set = |query: &mut Vec<(String, String)>, name: &str, value: &str| {
        query.iter_mut().filter(|(known, _)| known == name).for_each(|(_, known)| *known = value.to_owned());
    };
    type Twist = fn(&mut Vec<(String, String)>);
    let twists: [(&str, Twist); 4] = [
        ("oidc:iss", |query| query.retain(|(name, _)| name != "iss")),
        ("oidc:denied", |query| query[0] = ("error".to_owned(), "access_denied".to_owned())),
        ("oidc:no_code", |query| query.retain(|(name, _)| name != "code")),
        ("oidc:state", |query| query.push(("state".to_owned(), "0".repeat(64)))),
    ];
    for (expected, twist) in twists {
        let mut browser = PersonBrowser::default();
        let address = browser.begin(&world).await;
        let mut query = hostile.agree("hanako", &address);
        twist(&mut query);
        let reply = browser.come_back(&world, &query).await;
        is_not_logged_in(&browser, &reply);
        let found = match expected {
            "oidc:denied" | "oidc:state" => counted(&world, &reply).await,
            _ => reason(&world, &reply).await,
        };
        assert_eq!(found, expected);
    }
    // Mix-up: the code goes to nobody.
    let mut browser = PersonBrowser::default();
    let address = browser.begin(&world).await;
    let mut query = hostile.agree("hanako", &address);
    set(&mut query, "iss", "https://other.example.jp");
    let reply = browser.come_back(&world, &query).await;
    assert_eq!(reason(&world, &reply).await, "oidc:iss");
    // The code of one browser's attempt in another browser: the verifier does not fit.
    let (mut thief, mut victim) = (PersonBrowser::default(), PersonBrowser::default());
    let stolen = hostile.agree("hanako", &victim.begin(&world).await);
    let mut own = hostile.agree("jiro", &thief.begin(&world).await);
    set(&mut own, "code", &stolen[0].1);
    let reply = thief.come_back(&world, &own).await;
    is_not_logged_in(&thief, &reply);
    assert_eq!(reason(&world, &reply).await, "oidc:code");
    // The address of somebody else's return, opened in a browser that began nothing, or something else.
    let (mut nobody, mut other) = (PersonBrowser::default(), PersonBrowser::default());
    let foreign = hostile.agree("jiro", &victim.begin(&world).await);
    let reply = nobody.come_back(&world, &foreign).await;
    assert_eq!(counted(&world, &reply).await, "oidc:no_attempt");
    other.begin(&world).await;
    let reply = other.come_back(&world, &foreign).await;
    is_not_logged_in(&other, &reply);
    assert_eq!(counted(&world, &reply).await, "oidc:state");
    world.verify().await;
}

#[tokio::test]
async fn an_attempt_is_finished_once_and_not_later_than_ten_minutes() {
    let (world, hostile) = world_with_provider().await;
    let mut browser = PersonBrowser::default();
    let query = hostile.agree("hanako", &browser.begin(&world).await);
    let before = browser.clone();
    assert!(!browser.come_back(&world, &query).await.status.is_client_error());
    let mut again = before;
    let reply = again.come_back(&world, &query).await;
    is_not_logged_in(&again, &reply);
    assert_eq!(reason(&world, &reply).await, "oidc:replayed");
    let mut slow = PersonBrowser::default();
    let query = hostile.agree("hanako", &slow.begin(&world).await);
    world.pass(601).await;
    let reply = slow.come_back(&world, &query).await;
    assert_eq!(counted(&world, &reply).await, "oidc:no_attempt");
    world.verify().await;
}

#[tokio::test]
async fn nothing_in_a_request_names_where_a_browser_is_sent() {
    let (world, hostile) = world_with_provider().await;
    let issuer = hostile.0.lock().unwrap().issuer.clone();
    for path in
        ["/me/login?next=//evil.example", "/me/login?redirect_uri=https://evil.example&iss=https://evil.example"]
    {
        let reply = PersonBrowser::default().get(&world, path).await;
        let location = reply.headers[header::LOCATION].to_str().unwrap().to_owned();
        assert!(location.starts_with(&format!("{issuer}/authorize?")) && !location.contains("evil"), "{location}");
    }
    let reply = PersonBrowser::default().post(&world, "/me/login", &[("next", "//evil.example")]).await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    for size in ["standard", "large", "//evil.example", "%2f%2fevil.example"] {
        let reply = PersonBrowser::default().get(&world, &format!("/me/size/{size}")).await;
        let location = reply.headers.get(header::LOCATION).map_or("/me", |value| value.to_str().unwrap());
        assert_eq!(location, "/me", "{size}");
    }
    world.verify().await;
}

#[tokio::test]
async fn without_a_provider_there_is_no_door_and_a_silent_one_gives_503() {
    let world = World::new().await;
    for path in ["/me", "/me/login", "/me/callback?code=1&state=2"] {
        assert_eq!(PersonBrowser::default().get(&world, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let (world, hostile) = world_with_provider().await;
    hostile.change(|state| state.metadata = Box::new(|metadata| metadata["issuer"] = json!("https://other.example")));
    let reply = PersonBrowser::default().get(&world, "/me/login").await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(counted(&world, &reply).await, "oidc:unavailable");
    hostile.be_honest();
    world.pass(60).await;
    PersonBrowser::default().begin(&world).await;
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_asked_once_a_minute_by_one_and_nobody_else_waits() {
    let (world, hostile) = world_with_provider().await;
    let begin = async || {
        PersonBrowser::default().begin(&world).await;
    };
    let read = || hostile.0.lock().unwrap().read_description;
    tokio::join!(begin(), begin(), begin());
    assert_eq!(read(), 1, "three at once, one reads");
    hostile.change(|state| state.metadata = Box::new(|metadata| metadata["issuer"] = json!("https://other.example")));
    for reads in [2, 3] {
        world.pass(3_600).await;
        tokio::join!(begin(), begin(), begin());
        begin().await;
        assert_eq!(read(), reads);
    }
    hostile.be_honest();
    begin().await;
    assert_eq!(read(), 3, "not within a minute");
    world.pass(60).await;
    begin().await;
    begin().await;
    assert_eq!(read(), 4);
}

#[tokio::test]
async fn how_surely_a_person_must_be_known_is_said_by_the_installation() {
    let dir = tempfile::TempDir::new().unwrap();
    let ca = Ca::init(&dir.path().join("ca"), "認証事業者の認証局", jiff::Timestamp::now()).unwrap();
    let opens = |acr: Value| {
        let file = settings(dir.path(), "https://auth.example.jp", &Key::new().pem(), ca.certificate_pem(), acr);
        Provider::open(&file, Arc::new(jiff::Timestamp::now)).map(drop)
    };
    for wrong in [Value::Null, json!([]), json!("some")] {
        assert!(opens(wrong.clone()).unwrap_err().contains("provider.json"), "{wrong}");
    }
    assert_eq!((opens(json!("any")), opens(json!(["card"]))), (Ok(()), Ok(())));
}

#[tokio::test]
async fn one_network_that_floods_the_door_waits_and_is_told_to() {
    let (world, _hostile) = world_with_provider().await;
    let mut browser = PersonBrowser::default();
    // Five minutes' worth at once.
    for n in 0..150 {
        assert_eq!(browser.get(&world, "/me/login").await.status, StatusCode::SEE_OTHER, "{n}");
    }
    let reply = browser.get(&world, "/me/login").await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.headers[header::RETRY_AFTER], "2");
    assert_eq!(browser.get(&world, "/me").await.status, StatusCode::OK, "what costs little is counted apart");
    world.pass(2).await;
    assert_eq!(browser.get(&world, "/me/login").await.status, StatusCode::SEE_OTHER);
}

/// The independent provider: npm `oidc-provider`, installed into the target directory.
struct Independent {
    _process: tokio::process::Child,
    /// Open, so that it may go on writing.
    _lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    issuer: String,
}

/// A folder in the target directory with a script of ours and the npm package it needs; none where there is no npm.
pub fn npm_folder(name: &str, script: &str, package: &str) -> Option<PathBuf> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one = INSTALLING.lock().unwrap();
    let required = std::env::var_os("CI").is_some();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["package.json", script] {
        std::fs::copy(scripts.join(name), folder.join(name)).unwrap();
    }
    if folder.join("node_modules").join(package).exists() {
        return Some(folder);
    }
    let run = std::process::Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--silent", "--ignore-scripts"])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .output();
    match run {
        Ok(output) if output.status.success() => Some(folder),
        other => {
            assert!(!required, "npm could not install {package}: {other:?}");
            eprintln!("skipped: what is tried against {package} needs node and npm (apt-get install nodejs npm)");
            None
        }
    }
}

impl Independent {
    async fn start(folder: &Path, dir: &Path, client: &Key, alg: &str, people: &Value) -> (Self, Ca) {
        let now = jiff::Timestamp::now();
        let ca = Ca::init(&dir.join("ca"), "認証事業者の認証局", now).unwrap();
        let issued = ca.issue_server(&["localhost"], 30, now).unwrap();
        std::fs::write(dir.join("cert.pem"), &issued.cert_pem).unwrap();
        std::fs::write(dir.join("key.pem"), &issued.key_pem).unwrap();
        let settings = json!({
            "cert": dir.join("cert.pem"), "key": dir.join("key.pem"), "people": people, "alg": alg,
            "client": { "client_id": CLIENT, "redirect_uri": CALLBACK, "alg": "ES256", "jwk": client.jwk("own") },
        });
        let mut process = tokio::process::Command::new("node")
            .arg("provider.mjs")
            .current_dir(folder)
            .env("PROVIDER_SETTINGS", settings.to_string())
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap().expect("the provider ended before it was ready");
            if let Some(port) = line.strip_prefix("ready ") {
                break port.to_owned();
            }
        };
        (Self { _process: process, _lines: lines, issuer: format!("https://localhost:{port}") }, ca)
    }

    /// Logs in there as a browser does: follows every redirect, keeps cookies, and stops at the way back.
    async fn log_in(&self, ca: &Ca, account: &str, address: &str) -> String {
        let (mut cookies, mut address) = (std::collections::HashMap::new(), address.to_owned());
        for _ in 0..8 {
            let (location, set) = ask(ca, &address, account, &cookies).await;
            cookies.extend(set);
            if location.starts_with(CALLBACK) {
                return location;
            }
            address = if location.starts_with('/') { format!("{}{location}", self.issuer) } else { location };
        }
        panic!("the provider never sent the browser back");
    }
}

type Cookies = std::collections::HashMap<String, String>;

async fn ask(ca: &Ca, address: &str, account: &str, cookies: &Cookies) -> (String, Cookies) {
    use http_body_util::BodyExt as _;
    let uri: axum::http::Uri = address.parse().unwrap();
    let tcp = tokio::net::TcpStream::connect(("127.0.0.1", uri.port_u16().unwrap())).await.unwrap();
    let config = kiban_pki::client_config(&[ca.certificate_der().clone()], None).unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(tls)).await.unwrap();
    tokio::spawn(connection);
    let pairs: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let request = axum::http::Request::get(uri.path_and_query().unwrap().as_str())
        .header(header::HOST, uri.authority().unwrap().as_str())
        .header(header::COOKIE, pairs.join("; "))
        .header("x-account", account)
        .body(http_body_util::Empty::<axum::body::Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let text = body.collect().await.unwrap().to_bytes();
    let location = parts.headers.get(header::LOCATION).map(|value| value.to_str().unwrap().to_owned());
    let location = location.unwrap_or_else(|| panic!("{}: {}", parts.status, String::from_utf8_lossy(&text)));
    let set = parts.headers.get_all(header::SET_COOKIE).iter().filter_map(|value| {
        let (name, value) = value.to_str().ok()?.split(';').next()?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    (location, set.collect())
}

/// The whole way against a provider nobody here wrote: with ES256 and with RS256 over its tokens.
#[tokio::test]
async fn an_independent_provider_is_understood_and_understands() {
    let Some(folder) = npm_folder("provider", "provider.mjs", "oidc-provider") else { return };
    for alg in ["ES256", "RS256"] {
        let (dir, client) = (tempfile::TempDir::new().unwrap(), Key::new());
        let people = json!({ "hanako": {
            "name": "架空 花子", "address": { "formatted": "見本県見本市架空町1-1" },
            "birthdate": "1941-05-03", "gender": "female",
        } });
        let (independent, ca) = Independent::start(&folder, dir.path(), &client, alg, &people).await;
        let file = settings(dir.path(), &independent.issuer, &client.pem(), ca.certificate_pem(), json!("any"));
        // The provider lives in the time of the machine.
        let provider = Arc::new(Provider::open(&file, Arc::new(jiff::Timestamp::now)).unwrap());
        let world = World::with(move |settings| settings.provider = Some(Arc::clone(&provider))).await;
        let mut browser = PersonBrowser::default();
        let address = browser.begin(&world).await;
        let back = independent.log_in(&ca, "hanako", &address).await;
        let path = back.strip_prefix(&format!("https://{PUBLIC_HOST}")).unwrap();
        let reply = browser.get(&world, path).await;
        assert!(reply.status.is_success() || reply.status == StatusCode::SEE_OTHER, "{alg}: {}", reply.text());
        // The same return once more.
        let reply = browser.get(&world, path).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        world.verify().await;
    }
}
