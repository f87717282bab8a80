//! The lines of docs/vendor.md, run as somebody would who reads it from the top, against `kiban demo --sandbox`.
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as expected")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

const GUIDE: &str = include_str!("../../../docs/vendor.md");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

const IDENTIFICATION: &str = include_str!("../../../docs/identification.md");

/// The `sh` blocks of a guide in their order.
fn lines_of(guide: &str) -> String {
    let blocks = guide.split("```sh\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    blocks.collect::<Vec<_>>().join("\n")
}

/// A running sandbox on ports of its own.
struct Sandbox {
    child: Child,
    folder: tempfile::TempDir,
    ports: [u16; 3],
}

impl Sandbox {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (cards, home) = (folder.path().join("cards"), folder.path().join("sandbox"));
        let made = Command::new(env!("CARGO_BIN_EXE_kiban")).args(["card", "authority"]).arg(&cards).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        std::fs::create_dir(&home).unwrap();
        std::fs::copy(cards.join("card-authority.crt"), home.join("card-authority.crt")).unwrap();
        let free = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = free.each_ref().map(|listener| listener.local_addr().unwrap().port());
        drop(free);
        let ports_as = ports.map(|port| port.to_string());
        let mut child = Command::new(env!("CARGO_BIN_EXE_kiban"))
            .args(["demo", "--sandbox", "--people", "200", "--keep", folder.path().join("sandbox").to_str().unwrap()])
            .args(["--port", &ports_as[0], "--public-port", &ports_as[1], "--desk-port", &ports_as[2]])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        while !told.contains("準備ができました") {
            assert!(lines.read_line(&mut told).unwrap() > 0, "{told}");
        }
        // What it prints later goes nowhere, but it must not stop at a full pipe.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self { child, folder, ports }
    }

    /// Runs lines of the guide, with this sandbox's folder and ports in place of those of the guide.
    fn sh(&self, lines: &str) -> String {
        let lines = lines
            .replace("sandbox/certificates", self.folder.path().join("sandbox/certificates").to_str().unwrap())
            .replace("--authority cards", &format!("--authority {}", self.folder.path().join("cards").display()))
            .replace("hanako.card", self.folder.path().join("hanako.card").to_str().unwrap())
            .replace("kiban card", &format!("{} card", env!("CARGO_BIN_EXE_kiban")))
            .replace(":8443", &format!(":{}", self.ports[0]))
            .replace(":8480", &format!(":{}", self.ports[2]));
        let output = Command::new("sh").args(["-euc", &lines]).current_dir(ROOT).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && err.is_empty(), "{lines}\n{out}\n{err}");
        out.into_owned()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// What the guide promises at its top: so many lines to start the sandbox, and so many from there to the first call.
#[test]
fn the_first_call_is_as_few_lines_away_as_the_guide_says() {
    let (before, _) = GUIDE.split_once("これが最初の呼出しです").unwrap();
    let commands = |text: &str| text.replace("\\\n", " ").lines().filter(|line| !line.trim().is_empty()).count();
    let (_, start) = before.split_once("```text\n").unwrap();
    let count = [commands(start.split_once("```").unwrap().0), commands(&lines_of(before))];
    let promised = format!("試し場を立てる{}行と、そのあとの{}行", count[0], count[1]);
    assert!(GUIDE.contains(&promised), "{promised}");
}

#[test]
fn the_lines_of_the_guide_lead_from_nothing_to_a_good_report_card_and_back_to_the_beginning() {
    let sandbox = Sandbox::start();
    let guide = lines_of(GUIDE);
    let told = sandbox.sh(&guide);
    for expected in [
        "\"kind\":\"A3a\"",
        "\"copayment_tenths\":",
        "month,from,to,",
        "\n304\n",
        "\"code\":\"refused_files\"",
        "\"state\":\"connected\"",
        "\"state\":\"fetched\"",
        "\"state\":\"withdrawn\"",
    ] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
    let (_, report) = told.split_once("サンドボックスの採点").unwrap();
    let signs = |sign: &str| report.lines().filter(|line| line.starts_with(sign)).count();
    assert_eq!((signs("○ "), signs("× ")), (14, 0), "{report}");
    assert!(report.contains("  view_kind 304  ×1"), "{report}");

    // Back at the beginning: the token is gone, the people are there, nothing has been called.
    let (begin, rest) = guide.split_once("PEOPLE=").unwrap();
    let list = format!("{begin}\nPEOPLE={}", rest.lines().next().unwrap());
    let handle = "printf '%s' \"$PEOPLE\" | grep -o '\"handle\":\"[^\"]*\"' | head -n 1";
    let before = sandbox.sh(&format!("{list}\n{handle}"));
    let reset = "curl -sS -X POST http://127.0.0.1:8480/reset";
    let read = "$CALL -o /dev/null -w '%{http_code}' $B/people -H \"Authorization: Bearer $TOKEN\"";
    let after = sandbox.sh(&format!("{list}\n{read}\n{reset} > /dev/null\n{read}"));
    assert_eq!(after, "200401", "a log-in does not survive");
    let report = sandbox.sh("curl -sS http://127.0.0.1:8480/report");
    assert!(report.contains("呼出し 1件"), "{report}");
    assert_eq!(sandbox.sh(&format!("{list}\n{handle}")), before, "the same person under the same handle");
}

#[test]
fn a_card_is_made_read_and_taken_once_by_the_lines_of_its_guide() {
    let sandbox = Sandbox::start();
    let told = sandbox.sh(&lines_of(IDENTIFICATION));
    let (first, second) = told.split_once('}').unwrap();
    assert!(first.contains("\"handle\":") && first.contains("\"viewable_until\":"), "{told}");
    assert!(second.contains("使用済み") && second.contains("422"), "{told}");
    // The PIN is asked of the card: three wrong ones and it is locked, whatever comes then.
    let read = "printf 'PIN\\n' | kiban card read hanako.card --url https://office.localhost:8443 \\
        --certificate sandbox/certificates/care-manager.crt --key sandbox/certificates/care-manager.key \\
        --ca sandbox/certificates/ca.crt 2>&1 || true";
    for (pin, said) in [("0000", "あと2回"), ("0000", "あと1回"), ("0000", "あと0回"), ("1234", "ロックされています")]
    {
        let told = sandbox.sh(&read.replace("PIN", pin));
        assert!(told.contains(said), "{pin}: {told}");
    }
}
