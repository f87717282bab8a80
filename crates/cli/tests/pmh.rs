//! `kiban pmh push` over real HTTPS to a stand-in of PMH: the recorded registration and answer both ways, and answers that nobody
//! should believe (P-171).
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as expected")]

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kiban_pki::{Ca, Identity, server_config_public};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const REGISTRATION: &str = include_str!("../../../examples/outside/pmh/registration.json");
const ANSWER: &str = include_str!("../../../examples/outside/pmh/answer.json");

/// Authorization and body of what came.
type Came = Arc<Mutex<Vec<(String, Value)>>>;

/// Status and body of answers, given in turn.
type Answers = Arc<Mutex<Vec<(u16, Vec<u8>)>>>;

struct Hub {
    folder: tempfile::TempDir,
    port: u16,
    came: Came,
    answers: Answers,
}

impl Hub {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::init(&folder.path().join("ca"), "見本", jiff::Timestamp::now()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.certificate_pem()).unwrap();
        let other = Ca::init(&folder.path().join("other"), "別", jiff::Timestamp::now()).unwrap();
        std::fs::write(folder.path().join("other.pem"), other.certificate_pem()).unwrap();
        let issued = ca.issue_server(&["pmh.localhost"], 2, jiff::Timestamp::now()).unwrap();
        let identity = Identity::from_pem(&issued.cert_pem, &issued.key_pem).unwrap();
        let mut config = (*server_config_public(&identity).unwrap()).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (came, answers): (Came, Answers) = Default::default();
        let (seen, given) = (Arc::clone(&came), Arc::clone(&answers));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, seen, given) = (acceptor.clone(), Arc::clone(&seen), Arc::clone(&given));
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else { return };
                    let serve = service_fn(|request| answer(request, Arc::clone(&seen), Arc::clone(&given)));
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), serve).await;
                });
            }
        });
        let token = folder.path().join("token");
        std::fs::write(&token, "mihon-no-token\n").unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
        Self { folder, port, came, answers }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn answers(&self, status: u16, body: impl Into<Vec<u8>>) {
        self.answers.lock().unwrap().push((status, body.into()));
    }

    /// Whether it went well, and what was said.
    async fn push(&self, ca: &str, package: &str, more: &[&str]) -> (bool, String) {
        let mut kiban = tokio::process::Command::new(env!("CARGO_BIN_EXE_kiban"));
        kiban.args(["pmh", "push"]).arg(format!("{ROOT}/examples/municipal/{package}")).args(more);
        kiban.args(["--url", &format!("https://pmh.localhost:{}/v1/registrations", self.port)]);
        kiban.arg("--ca").arg(self.path(ca)).arg("--token-file").arg(self.path("token"));
        let output = kiban.output().await.unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }
}

async fn answer(request: Request<Incoming>, came: Came, answers: Answers) -> Result<Response<Full<Bytes>>, Infallible> {
    let token = request.headers()["authorization"].to_str().unwrap().to_owned();
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/registrations"));
    let body = request.into_body().collect().await.unwrap().to_bytes();
    came.lock().unwrap().push((token, serde_json::from_slice(&body).unwrap()));
    let (status, body) = answers.lock().unwrap().remove(0);
    let answer = Response::builder().status(status).header("location", "https://evil.example/");
    Ok(answer.body(Full::new(Bytes::from(body))).unwrap())
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

fn show(package: &str, more: &[&str]) -> (bool, String) {
    let mut kiban = Command::new(env!("CARGO_BIN_EXE_kiban"));
    let output = kiban.args(["pmh", "show"]).arg(format!("{ROOT}/examples/municipal/{package}")).args(more).output();
    let output = output.unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn the_certificates_of_a_package_are_registered_and_what_is_rejected_is_told() {
    run(async {
        let hub = Hub::open().await;
        hub.answers(200, ANSWER);
        let (good, said) = hub.push("ca.pem", "valid/small", &[]).await;
        assert!(!good && said.contains("断られました 0001234567 A3B: 期間が重なっています"), "{said}");
        assert!(said.contains("登録 3件、断られたもの 1件"), "{said}");
        let expected: Value = serde_json::from_str(REGISTRATION).unwrap();
        assert_eq!(*hub.came.lock().unwrap(), [("Bearer mihon-no-token".to_owned(), expected.clone())]);
        let accepted: Vec<Value> = (0..4).map(|index| json!({ "index": index, "status": "accepted" })).collect();
        hub.answers(201, json!(accepted).to_string());
        let (good, said) = hub.push("ca.pem", "valid/small", &[]).await;
        assert!(good && said.contains("登録 4件、断られたもの 0件"), "{said}");
        let (good, shown) = show("valid/small", &[]);
        assert!(good && serde_json::from_str::<Value>(&shown).unwrap() == expected, "{shown}");
    });
}

#[test]
fn where_a_withheld_person_is_and_individual_numbers_are_never_sent_whatever_a_mapping_says() {
    let (good, shown) = show("valid/city", &[]);
    assert!(good, "{shown}");
    let all: Vec<Value> = serde_json::from_str(&shown).unwrap();
    let of = |number: &str| all.iter().filter(|one| one["medicalSubsidyRecipientNumber"] == number).collect::<Vec<_>>();
    let (open, hidden) = (of("0001000001"), of("0001000004"));
    assert!(!open.is_empty() && open.iter().all(|one| one["basicFiveInfo"]["address"].is_string()));
    assert!(!hidden.is_empty() && hidden.iter().all(|one| one["isNotDisclosed"] == true));
    assert!(hidden.iter().all(|one| one["basicFiveInfo"].get("address").is_none()), "{hidden:?}");
    let street = "例示町5丁目10番18号";
    let package = std::fs::read_dir(format!("{ROOT}/examples/municipal/valid/city")).unwrap();
    let files = package.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    assert!(files.into_iter().any(|text| text.contains(street)) && !shown.contains(street));
    let folder = tempfile::tempdir().unwrap();
    let mapping = folder.path().join("mapping.tsv");
    for (line, told) in [
        ("*\tmyNumber\t=1", "2行目"),
        ("*\tperson.MYNUMBER\tinsured", "2行目"),
        ("*\tx\tsurvey", "2行目"),
        ("A9\tx\tname", "2行目"),
        ("*\tx\tname\nA3A\tx.y\tkana", "3行目"),
    ] {
        std::fs::write(&mapping, format!("certificate\tfield\tvalue\n{line}\n")).unwrap();
        let (good, said) = show("valid/city", &["--mapping", mapping.to_str().unwrap()]);
        assert!(!good && said.contains(told), "{line}: {said}");
    }
    std::fs::write(&mapping, "certificate\tfield\tvalue\n*\twhere\taddress\nA3A\tcode\tlevel_code\n").unwrap();
    let (good, shown) = show("valid/city", &["--mapping", mapping.to_str().unwrap()]);
    assert!(good && shown.contains("\"where\"") && shown.contains("\"code\"") && !shown.contains(street), "{shown}");
}

#[test]
fn an_answer_that_nobody_should_believe_registers_nothing() {
    run(async {
        let hub = Hub::open().await;
        let huge = format!("[{}]", " ".repeat(5 << 20));
        for (status, body, told) in [
            (302, "[]".to_owned(), "302"),
            (401, "{}".to_owned(), "401"),
            (500, String::new(), "500"),
            (200, "<html>".to_owned(), "答えを読めません"),
            (200, "[]".to_owned(), "1件目の結果がありません"),
            (200, "[{\"index\":9,\"status\":\"accepted\"}]".to_owned(), "送っていない番号"),
            (
                200,
                "[{\"index\":0,\"status\":\"accepted\"},{\"index\":0,\"status\":\"accepted\"}]".to_owned(),
                "2度目の番号",
            ),
            (200, "[{\"index\":0,\"status\":\"perhaps\"}]".to_owned(), "答えを読めません"),
            (200, huge, "大きすぎ"),
        ] {
            hub.answers(status, body);
            let (good, said) = hub.push("ca.pem", "valid/small", &[]).await;
            assert!(!good && said.contains(told) && said.contains("二重にはなりません"), "{told}: {said}");
            assert!(!said.contains("登録 "), "{said}");
        }
        // A message cannot move the cursor of whoever reads it.
        hub.answers(200, ANSWER.replace("期間が", "\\u001b[2J期間が"));
        assert!(!hub.push("ca.pem", "valid/small", &[]).await.1.contains('\u{1b}'));
        let before = hub.came.lock().unwrap().len();
        let (good, said) = hub.push("other.pem", "valid/small", &[]).await;
        assert!(!good, "{said}");
        let (good, said) = hub.push("ca.pem", "bad/date-order", &[]).await;
        assert!(!good && said.contains("何も送りません") && said.contains("行目"), "{said}");
        std::fs::set_permissions(hub.path("token"), std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(hub.push("ca.pem", "valid/small", &[]).await.1.contains("chmod 600"));
        assert_eq!(hub.came.lock().unwrap().len(), before, "nothing left this side");
    });
}

#[test]
fn somebody_is_never_deleted_and_who_has_left_has_no_certificate_at_pmh() {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(format!("{ROOT}/examples/municipal/valid/small")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let change = |name: &str, from: &str, to: &str| {
        let path = folder.path().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    };
    let people = "KGKB_INSURED_999003_20260401090000_001.csv";
    let sum = |name: &str| {
        let bytes = std::fs::read(folder.path().join(name)).unwrap();
        let sum = ring::digest::digest(&ring::digest::SHA256, &bytes);
        sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let show = || {
        let output =
            Command::new(env!("CARGO_BIN_EXE_kiban")).args(["pmh", "show"]).arg(folder.path()).output().unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let of_hanako = |said: &str| {
        let all: Vec<Value> = serde_json::from_str(said).unwrap_or_else(|_| panic!("{said}"));
        let of = all.into_iter().filter(|one| one["medicalSubsidyRecipientNumber"] == "0001234567");
        of.map(|one| one["isDeleted"].clone()).collect::<Vec<_>>()
    };
    let before = of_hanako(&show().1);
    assert!(!before.is_empty() && before.iter().all(|deleted| *deleted == false));
    let old = sum(people);
    // 異動区分 3: nobody is deleted from a register; nothing is sent in part.
    change(people, "999003,0001234567,1,1,", "999003,0001234567,2,3,");
    change("MANIFEST.csv", &old, &sum(people));
    let (good, said) = show();
    assert!(!good && said.contains("何も送りません") && said.contains("資格喪失日と喪失事由"), "{said}");
    let wrong = sum(people);
    change(people, "999003,0001234567,2,3,", "999003,0001234567,2,2,");
    change(people, ",0,20060502,,,0,", ",0,20060502,20260401,1,0,");
    change("MANIFEST.csv", &wrong, &sum(people));
    assert_eq!(of_hanako(&show().1), vec![json!(true); before.len()]);
}
