//! The server's own words and its end: asked to end under load, every request that was begun is answered and the process ends
//! with 0; its log as JSON is one object a line, and no word of anybody is in it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first thing that is not as expected")]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use support::canary;
use support::terminal::{Body, Lost};
use support::town::{Town, Who};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const PEOPLE: u32 = 40;

async fn serve(home: &Path, log: &Path) -> (Child, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiban"));
    command.arg("serve").arg("--home").arg(home).args(["--listen", "127.0.0.1:0", "--public-listen", "127.0.0.1:0"]);
    command.env("KIBAN_LOG", "json").env("RUST_LOG", "info").stderr(std::fs::File::create(log).unwrap());
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let line = BufReader::new(child.stdout.take().unwrap()).lines().next_line().await.unwrap().unwrap();
    let address = line.split(' ').find_map(|word| word.strip_prefix("organizations=")).unwrap();
    (child, address.parse().unwrap())
}

/// A terminal that asks again and again until nobody answers any more: how many were answered with something else than 200,
/// and whether an answer broke off in the middle.
async fn ask_until_the_end(
    town: Arc<Town>,
    who: Who,
    address: SocketAddr,
    answered: Arc<AtomicU32>,
) -> (u32, Vec<String>) {
    let (mut other, mut broken) = (0, Vec::new());
    loop {
        let mut terminal = town.terminal(who);
        if terminal.connect(address).await.is_err() {
            return (other, broken);
        }
        loop {
            match terminal.send("GET", "/api/v1/people?limit=200", Body::Nothing).await {
                Ok(answer) if answer.status == 200 => {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(_) => other += 1,
                Err(Lost(why)) => {
                    // Closed between two requests: nothing of the next one was read. An answer that began must end.
                    if why.contains("incomplete") || why.contains("body") {
                        broken.push(why);
                    }
                    break;
                }
            }
        }
    }
}

#[test]
fn asked_to_end_under_load_it_answers_what_was_begun_and_its_log_names_nobody() {
    support::run(async {
        let folder = tempfile::tempdir().unwrap();
        let (home, log) = (folder.path().join("home"), folder.path().join("log"));
        let town = Arc::new(Town::build(&home, None, PEOPLE).await);
        let (mut server, address) = serve(&home, &log).await;
        let answered = Arc::new(AtomicU32::new(0));
        let asking: Vec<_> = [Who::Manager, Who::Helper, Who::Stranger]
            .into_iter()
            .flat_map(|who| [who; 3])
            .map(|who| tokio::spawn(ask_until_the_end(Arc::clone(&town), who, address, Arc::clone(&answered))))
            .collect();
        while answered.load(Ordering::Relaxed) < 60 {
            tokio::task::yield_now().await;
        }
        let pid = server.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert_eq!(server.wait().await.unwrap().code(), Some(0));
        for task in asking {
            let (other, broken) = task.await.unwrap();
            assert_eq!((other, broken), (0, Vec::<String>::new()), "a request that was begun was not answered");
        }

        let text = std::fs::read_to_string(&log).unwrap();
        assert!(text.lines().count() > 0, "nothing was logged");
        for line in text.lines() {
            let object: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            for key in ["at", "level", "target", "message"] {
                assert!(object[key].is_string(), "{key} in {line}");
            }
        }
        canary::require_none(&canary::needle(PEOPLE), &log);
        for person in town.ordinary_people() {
            assert!(!text.contains(person.insured.key.insured.as_str()), "an insured number is in the log");
        }
    });
}
