//! The figures for those who watch: there when they are asked for, on this machine only, with nothing of anybody in them; and
//! every alert is made of figures that are there.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first thing that is not as expected")]

mod support;

use serde_json::json;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use support::canary;
use support::database;
use support::terminal::{Body, Terminal};
use support::town::{Town, Who};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const PEOPLE: u32 = 40;

async fn serve(home: &Path, database: Option<&str>) -> (Child, SocketAddr, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiban"));
    command.arg("serve").arg("--home").arg(home).args(["--listen", "127.0.0.1:0", "--public-listen", "127.0.0.1:0"]);
    command.args(["--metrics", "127.0.0.1:0"]);
    if let Some(database) = database {
        command.args(["--db", database]);
    }
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let line = BufReader::new(child.stdout.take().unwrap()).lines().next_line().await.unwrap().unwrap();
    let of = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name)).unwrap().parse().unwrap();
    (child, of("organizations="), of("metrics="))
}

/// Status line and body.
async fn http(address: SocketAddr, path: &str) -> (String, String) {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(format!("GET {path} HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut text = String::new();
    tcp.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

async fn status(terminal: &mut Terminal, address: SocketAddr, method: &str, path: &str, body: Body) -> u16 {
    terminal.connect(address).await.unwrap();
    terminal.send(method, path, body).await.unwrap().status
}

/// The value of a line.
#[track_caller]
fn value(page: &str, line: &str) -> f64 {
    let found = page.lines().find_map(|one| one.strip_prefix(line)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {line} in\n{page}")).parse().unwrap()
}

async fn figures(folder: &Path, database: Option<&str>) {
    let home = folder.join("home");
    let town = Town::build(&home, database, PEOPLE).await;
    let (mut server, address, metrics) = serve(&home, database).await;
    let mut manager = town.terminal(Who::Manager);
    let person = town.ordinary_people()[0];
    let identity = &person.insured.identity;
    let items = json!({
        "insurer_number": town.city.insurer, "insured_number": person.insured.key.insured, "kana": identity.kana,
        "birth": identity.birth, "sex": identity.sex, "makes_plan": false,
    });
    assert!(status(&mut manager, address, "POST", "/api/v1/people", Body::Json(items.clone())).await < 300);
    for _ in 0..3 {
        assert_eq!(status(&mut manager, address, "GET", "/api/v1/people", Body::Nothing).await, 200);
    }
    let wrong = json!({ "insurer_number": town.city.insurer, "insured_number": person.insured.key.insured,
        "kana": "カコウ ベツジン", "birth": identity.birth, "sex": identity.sex, "makes_plan": false });
    assert_eq!(status(&mut manager, address, "POST", "/api/v1/people", Body::Json(wrong)).await, 404);
    assert_eq!(status(&mut manager, address, "GET", "/nowhere/0000012345", Body::Nothing).await, 404);

    let (head, page) = http(metrics, "/metrics").await;
    assert!(head.contains("200"), "{head}");
    assert_eq!(value(&page, "kiban_request_seconds_count{route=\"list_people\",status=\"2xx\"}"), 3.0);
    assert_eq!(value(&page, "kiban_request_seconds_bucket{route=\"list_people\",status=\"2xx\",le=\"+Inf\"}"), 3.0);
    assert_eq!(value(&page, "kiban_problems_total{status=\"404\",code=\"not_matched\"}"), 1.0);
    assert_eq!(value(&page, "kiban_request_seconds_count{route=\"none\",status=\"4xx\"}"), 1.0);
    assert_eq!(value(&page, "kiban_database_up"), 1.0);
    assert_eq!(value(&page, "kiban_audit_months_missing"), 0.0);
    assert_eq!(value(&page, "kiban_certificates_bound"), 7.0);
    assert!(value(&page, "kiban_audit_durable_age_seconds") < 600.0);
    assert!(value(&page, "kiban_outside_anchor_age_seconds") < 600.0);
    assert!(value(&page, "kiban_server_certificate_days") > 80.0);
    assert_eq!(value(&page, "kiban_handshakes_refused_total{reason=\"unknown_certificate\"}"), 0.0);

    // Nothing of anybody: no word of a person, no number, no organisation, no account; and labels of four kinds.
    assert!(canary::needle(PEOPLE).find_in(page.as_bytes()).unwrap().is_none());
    let mut secret: Vec<String> = Who::ALL.iter().map(|who| town.account(*who)).collect();
    secret.extend(Who::ALL.iter().map(|who| town.organization(*who).to_string()).filter(|name| name != "operator"));
    secret.extend([town.city.insurer.to_string(), person.insured.key.insured.to_string(), "127.0.0.1".to_owned()]);
    for word in secret {
        assert!(!page.contains(&word), "{word}");
    }
    let labels: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.split_once('{')?.1.split_once('}'))
        .flat_map(|(labels, _)| labels.split(',').filter_map(|label| label.split_once('=')))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(labels, BTreeSet::from(["code", "le", "reason", "route", "status"]));
    require_alerts_are_of(&page);

    // Nowhere else.
    assert!(http(metrics, "/").await.0.contains("404"));
    assert_eq!(status(&mut manager, address, "GET", "/metrics", Body::Nothing).await, 404);
    let pid = server.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(server.wait().await.unwrap().success());
}

/// Every figure an alert asks for is one that the page tells of.
fn require_alerts_are_of(page: &str) {
    let told: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/prometheus/kiban-alerts.yml");
    let rules = std::fs::read_to_string(path).unwrap();
    let mut asked = 0;
    for expression in rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")) {
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for name in words.filter(|word| word.starts_with("kiban_")) {
            let plain = name.trim_end_matches("_count").trim_end_matches("_bucket").trim_end_matches("_sum");
            assert!(told.contains(plain), "{name} of an alert is told nowhere");
            asked += 1;
        }
    }
    assert!(asked >= 14, "{asked}");
}

#[test]
fn figures_tell_how_the_platform_does_and_nothing_of_anybody() {
    support::run(async {
        let folder = tempfile::tempdir().unwrap();
        figures(folder.path(), None).await;
    });
}

#[test]
fn figures_tell_how_the_platform_does_on_postgresql() {
    let Ok(server) = std::env::var("KIBAN_TEST_POSTGRES") else {
        println!("PostgreSQL leg skipped: KIBAN_TEST_POSTGRES not set");
        return;
    };
    support::run(async {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("kiban_figures_{}", std::process::id());
        let database = database::create(&server, &name, None).await;
        figures(folder.path(), Some(&database)).await;
        database::drop_database(&server, &name).await;
    });
}

#[test]
fn figures_are_told_to_this_machine_only() {
    let folder = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:9464", "192.0.2.10:9464", "9464"] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kiban"));
        let output = command.args(["serve", "--metrics", address, "--home"]).arg(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("127.0.0.1"), "{address}: {said}");
    }
}
