//! Card reading through the folders of a 連携アプリ, at a real terminal of a real server: `kiban oqs read` on one side, an app
//! that answers with the recorded sample on the other (P-102, P-172).
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as expected")]

mod support;

use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::server::{Place, Server, serve};
use support::terminal::{Body, Terminal};
use support::town::{Town, Who};

const REQUEST: &str = include_str!("../../../examples/outside/oqs/request.xml");
const ANSWER: &str = include_str!("../../../examples/outside/oqs/answer.xml");
const PATIENCE: Duration = Duration::from_secs(60);

struct Desk {
    folder: tempfile::TempDir,
    town: Town,
    server: Server,
    institution: String,
    manager: Terminal,
}

impl Desk {
    /// A town whose operator takes what terminals state, and a terminal of the care manager's office beside the reader.
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join("limits.tsv"), "online_qualification yes\n").unwrap();
        let town = Town::build(&home, None, 60).await;
        let institution = town.organization(Who::Manager).to_string();
        let run = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_kiban"));
            let output = command.args(arguments).args(["--home", home.to_str().unwrap()]).current_dir(&folder).output();
            let output = output.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        run(&["ca", "issue", &institution, "reader"]);
        std::fs::write(folder.path().join("ca.pem"), run(&["ca", "trust"])).unwrap();
        for name in ["req", "res"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let server = serve(&Place { home, database: None, log: folder.path().join("log") }).await;
        let mut manager = town.terminal(Who::Manager);
        manager.connect(server.address).await.unwrap();
        Self { folder, town, server, institution, manager }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, more: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiban"));
        command.args(["oqs", "read"]).arg(self.folder.path()).args(["--institution", &self.institution]);
        command.args(["--url", &format!("https://office.localhost:{}", self.server.address.port())]);
        for (option, name) in [("--certificate", "crt"), ("--key", "key")] {
            command.arg(option).arg(self.path(&format!("{}-reader.{name}", self.institution)));
        }
        command.arg("--ca").arg(self.path("ca.pem")).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The request that appears: its identifier and where its answer belongs.
    fn asked(&self) -> (String, PathBuf) {
        let begun = Instant::now();
        let found = loop {
            assert!(begun.elapsed() < PATIENCE, "no request came");
            let mut files = std::fs::read_dir(self.path("req")).unwrap().map(|entry| entry.unwrap().path());
            if let Some(path) = files.find(|path| path.extension().is_some_and(|end| end == "xml")) {
                break path;
            }
        };
        let name = found.file_name().unwrap().to_str().unwrap().to_owned();
        let identifier = name["OQSkaigo01req_".len()..].trim_end_matches(".xml").to_owned();
        // As recorded, but for day, institution and identifier.
        let text = std::fs::read_to_string(&found).unwrap();
        let day = text.split("Date>").nth(1).unwrap().split('<').next().unwrap();
        let expected = REQUEST.replace("20261122", day).replace("9970000015", &self.institution);
        assert_eq!(text, expected.replace("MIHONMIHONMIHONMIHONMIHO", &identifier));
        (identifier, self.path("res").join(name.replace("req_", "res_")))
    }

    /// The recorded answer about somebody of the town.
    fn answer(&self, identifier: &str) -> String {
        let person = self.town.ordinary_people()[0];
        let (items, identity) = (person.four_items(), &person.insured.identity);
        let answer = ANSWER.replace("MIHONMIHONMIHONMIHONMIHO", identifier).replace("9970000015", &self.institution);
        let answer = answer.replace("00999003", &format!("00{}", items.number.insurer));
        let answer =
            answer.replace("0001234567", items.number.insured.as_str()).replace("カクウ ハナコ", &identity.kana);
        let birth = identity.birth.to_string().replace('-', "");
        answer.replace("19410503", &birth).replace("<Sex>2", &format!("<Sex>{}", identity.sex.code()))
    }
}

fn done(child: Child) -> (Output, String) {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn a_card_is_read_through_the_folders_and_registers_once() {
    support::run(async {
        let mut desk = Desk::open().await;
        let reading = desk.read(&[]);
        let (identifier, place) = desk.asked();
        let answer = desk.answer(&identifier);
        // The app writes as slowly as it likes.
        std::fs::write(&place, &answer[..answer.len() / 2]).unwrap();
        std::fs::write(&place, &answer).unwrap();
        let (output, said) = done(reading);
        assert!(output.status.success(), "{said}");
        let statement = String::from_utf8(output.stdout).unwrap();
        assert!(statement.starts_with("KO1."), "{statement}");
        assert!(is_empty(&desk.path("req")) && is_empty(&desk.path("res")), "nothing of the person stays");
        let body = || Body::Json(json!({ "statement": statement }));
        let registered = desk.manager.send("POST", "/api/v1/people/card", body()).await.unwrap();
        assert_eq!(registered.status, 200, "{}", registered.json());
        let handle = registered.text("handle").unwrap();
        let card = format!("/api/v1/people/{handle}/records/A3a");
        assert_eq!(desk.manager.send("GET", &card, Body::Nothing).await.unwrap().status, 200);
        let again = desk.manager.send("POST", "/api/v1/people/card", body()).await.unwrap();
        assert!(again.status == 422 && again.json().to_string().contains("使用済み"), "{}", again.json());
        assert!(desk.server.stop().await.success());
    });
}

#[test]
fn what_the_app_should_never_write_is_refused_with_its_place() {
    support::run(async {
        let desk = Desk::open().await;
        let other = "MIHONMIHONMIHONMIHONMIHO";
        for (change, told) in [
            (
                &(|answer: &str| answer.replace("<XmlMsg>", "<!DOCTYPE x SYSTEM \"file:///etc/passwd\">\n<XmlMsg>"))
                    as &dyn Fn(&str) -> String,
                "2行目: DOCTYPE",
            ),
            (&|answer| answer.replace("<Name>", "<Name>&x;"), "使えない実体参照"),
            (&|answer| answer.replace("<Sex>", &format!("<Sex>{}", "9".repeat(70_000))), "大きすぎます"),
            (&|_| desk.answer(other), "別の要求への答え"),
            (&|answer| answer.replace("Status>1", "Status>9"), "資格を確認できませんでした"),
        ] {
            let reading = desk.read(&[]);
            let (identifier, place) = desk.asked();
            std::fs::write(&place, change(&desk.answer(&identifier))).unwrap();
            let (output, said) = done(reading);
            assert!(!output.status.success() && said.contains(told), "{told}: {said}");
            assert!(output.stdout.is_empty() && is_empty(&desk.path("res")));
        }
        // A link to elsewhere is not followed.
        std::fs::write(desk.path("secret"), "secret").unwrap();
        let reading = desk.read(&[]);
        std::os::unix::fs::symlink(desk.path("secret"), desk.asked().1).unwrap();
        let (output, said) = done(reading);
        assert!(!output.status.success() && said.contains("普通のファイルではありません"), "{said}");
        assert_eq!(std::fs::read_to_string(desk.path("secret")).unwrap(), "secret", "only the link goes");
        // Half an answer, and none at all.
        let reading = desk.read(&["--wait", "1"]);
        let (identifier, place) = desk.asked();
        std::fs::write(&place, &desk.answer(&identifier)[..300]).unwrap();
        assert!(done(reading).1.contains("途中で終わっています"));
        let (output, said) = done(desk.read(&["--wait", "1"]));
        assert!(!output.status.success() && said.contains("答えが来ません"), "{said}");
        assert!(is_empty(&desk.path("req")) && is_empty(&desk.path("res")));
        // An answer that came after nobody waited any more goes with the next reading; one that somebody may wait for, and what is
        // not ours, stays.
        let late = desk.path("res").join("OQSkaigo01res_KLMNOPQRSTUVKLMNOPQRSTUV.xml");
        let fresh = desk.path("res").join("OQSkaigo01res_LLMNOPQRSTUVKLMNOPQRSTUV.xml");
        let others = desk.path("res").join("OQSsiquc01res_20261122.xml");
        for path in [&late, &fresh, &others] {
            std::fs::write(path, desk.answer(other)).unwrap();
        }
        for path in [&late, &others] {
            let then = std::time::SystemTime::now() - Duration::from_secs(11 * 60);
            std::fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
        }
        done(desk.read(&["--wait", "1"]));
        assert_eq!((late.exists(), fresh.exists(), others.exists()), (false, true, true));
        assert!(desk.server.stop().await.success());
    });
}
