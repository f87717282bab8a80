//! What an operator does at the platform's own machine: accounts that are stopped and allowed again while a server runs, and
//! a city's own data written as JSON.
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as expected")]

mod support;

use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use support::server::{Place, serve};
use support::terminal::{Body, Terminal};
use support::town::{PASSWORD, Town, Who};

/// Whether it succeeded, and everything it said.
fn kiban(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kiban")).args(arguments).output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// Status of a log-in with the right password.
async fn log_in(terminal: &mut Terminal, address: std::net::SocketAddr, account: &str) -> u16 {
    terminal.token = None;
    terminal.connect(address).await.unwrap();
    let body = Body::Json(json!({ "account": account, "password": PASSWORD }));
    terminal.send("POST", "/api/v1/session", body).await.unwrap().status
}

#[test]
fn an_account_that_is_disabled_cannot_log_in_until_it_is_enabled() {
    support::run(async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let town = Town::build(&home, None, 40).await;
        let server = serve(&Place { home: home.clone(), database: None, log: folder.path().join("log") }).await;
        let (organization, account) = (town.organization(Who::Manager).to_string(), town.account(Who::Manager));
        let switch = |command: &str, account: &str| {
            kiban(&["operate", command, "--home", home.to_str().unwrap(), &organization, account])
        };
        let mut terminal = town.terminal(Who::Manager);
        assert_eq!(log_in(&mut terminal, server.address, &account).await, 200);

        let (good, said) = switch("disable-account", &account);
        assert!(good, "{said}");
        assert_eq!(log_in(&mut terminal, server.address, &account).await, 401);
        // The log-in from before has ended, too.
        let mut before = town.terminal(Who::Manager);
        before.connect(server.address).await.unwrap();
        assert_eq!(before.send("GET", "/api/v1/people", Body::Nothing).await.unwrap().status, 401);
        let mut other = town.terminal(Who::Helper);
        other.connect(server.address).await.unwrap();
        assert_eq!(other.send("GET", "/api/v1/people", Body::Nothing).await.unwrap().status, 200, "nobody else");

        let (good, said) = switch("enable-account", &account);
        assert!(good, "{said}");
        assert_eq!(log_in(&mut terminal, server.address, &account).await, 200);
        let (good, said) = switch("disable-account", "nobody");
        assert!(!good && said.contains("nobody というアカウントはありません"), "{said}");
        assert!(server.stop().await.success());
    });
}

/// Names of the files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_citys_data_is_exported_as_json_that_is_a_good_package_again() {
    support::run(async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let town = Town::build(&home, None, 40).await;
        let insurer = town.city.insurer.to_string();
        let to = folder.path().join("書出し");
        let (home, to_text) = (home.to_str().unwrap(), to.to_str().unwrap());
        let (good, said) = kiban(&["export", "--home", home, "--insurer", &insurer, "--to", to_text, "--json"]);
        assert!(good, "{said}");
        let files = names(&to);
        assert!(files.contains(&"MANIFEST.json".to_owned()), "{files:?}");
        assert!(files.iter().filter(|name| name.contains('.')).all(|name| name.ends_with(".json")), "{files:?}");
        let insured = files.iter().find(|name| name.contains("_INSURED_")).unwrap();
        let rows: serde_json::Value = serde_json::from_slice(&std::fs::read(to.join(insured)).unwrap()).unwrap();
        assert_eq!(rows.as_array().unwrap().len(), 40);
        let (good, said) = kiban(&["check", "--insurer", &insurer, to_text]);
        assert!(good, "{said}");
        // It says what is there already.
        let (good, said) = kiban(&["import", "--home", home, "--insurer", &insurer, to_text]);
        assert!(good && said.contains("反映 0、"), "{said}");
        let (good, said) = kiban(&["export", "--home", home, "--insurer", &insurer, "--to", to_text, "--json"]);
        assert!(!good && said.contains("空ではありません"), "{said}");
    });
}

#[test]
fn a_citys_notices_are_made_in_one_run_into_a_folder_only_its_owner_reads() {
    support::run(async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let town = Town::build(&home, None, 40).await;
        let insurer = town.city.insurer.to_string();
        let to = folder.path().join("お知らせ");
        let (home, to_text) = (home.to_str().unwrap(), to.to_str().unwrap());
        let make = |more: &[&str]| {
            kiban(&[&["notices", "--home", home, "--insurer", &insurer, "--to", to_text], more].concat())
        };
        let (good, said) = make(&["--day", "いつか"]);
        assert!(!good && said.contains("--day: 令和8年4月1日 または"), "{said}");
        assert!(!to.exists());
        let (good, said) = make(&["--desk", "介護保険課"]);
        assert!(good && said.contains("0001.html から順に"), "{said}");
        assert_eq!(names(&to), ["0001.csv", "0001.html", "report.json"]);
        let report: serde_json::Value =
            serde_json::from_slice(&std::fs::read(to.join("report.json")).unwrap()).unwrap();
        let papers = usize::try_from(report["papers"].as_u64().unwrap()).unwrap();
        assert!(papers > 0 && said.contains(&format!("1束 {papers}枚")), "{said}");
        let text = |name: &str| std::fs::read_to_string(to.join(name)).unwrap();
        assert_eq!(
            (text("0001.html").matches("<svg ").count(), text("0001.csv").lines().count()),
            (papers, papers + 1)
        );
        assert_eq!(text("0001.html").matches("介護保険課").count(), papers);
        for name in names(&to) {
            let mode = std::fs::metadata(to.join(&name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let (good, said) = make(&[]);
        assert!(!good && said.contains("空ではありません"), "{said}");
        // Another city's number: nobody, and nothing to print.
        let other = folder.path().join("ほか");
        let (good, said) = kiban(&["notices", "--home", home, "--insurer", "131011", "--to", other.to_str().unwrap()]);
        assert!(good && said.contains("0束 0枚"), "{said}");
        assert_eq!(names(&other), ["report.json"]);
    });
}
