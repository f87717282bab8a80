//! `kiban serve` as a real process, started plainly or under `strace` that kills it, or makes a call fail, at the N-th of
//! some system calls. Every process ends with the test that started it.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// A start that takes longer has failed.
const START: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(30);

/// What happens at the N-th call, counted per thread.
#[derive(Debug, Clone)]
pub struct Injection {
    /// System calls, comma separated.
    pub calls: &'static str,
    /// `signal=SIGKILL` or `error=EIO`.
    pub what: &'static str,
    pub n: u64,
}

/// A start, however it went.
#[expect(clippy::large_enum_variant, reason = "one at a time")]
pub enum Start {
    Serving(Server),
    /// It ended before it listened.
    Ended(ExitStatus),
}

/// A server that listens.
pub struct Server {
    child: Child,
    traced: bool,
    pub address: SocketAddr,
}

/// Where a server keeps its things.
#[derive(Debug, Clone)]
pub struct Place {
    pub home: PathBuf,
    /// Overrides the embedded database.
    pub database: Option<String>,
    /// Everything the server says on its standard error.
    pub log: PathBuf,
}

impl Place {
    pub fn address(&self) -> String {
        self.database.clone().unwrap_or_else(|| format!("sqlite:{}", self.home.join("kiban.db").display()))
    }
}

/// Whether `strace` may follow processes here, and kills them when told to.
pub fn can_trace() -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    let run = std::process::Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=write", "-e", "inject=write:signal=SIGKILL:when=1"])
        .args(["echo", "not killed"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let can = run.is_ok_and(|status| status.signal() == Some(9));
    assert!(
        can || std::env::var_os("CI").is_none(),
        "continuous integration must not skip the faults: strace cannot follow"
    );
    can
}

/// Starts the server.
pub async fn start(place: &Place, injection: Option<&Injection>) -> Start {
    let mut command = match injection {
        None => Command::new(env!("CARGO_BIN_EXE_kiban")),
        Some(injection) => {
            let mut strace = Command::new("strace");
            // Not --seccomp-bpf: strace 6.1 does not inject with it.
            strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "signal=none"]);
            strace.args(["-e", &format!("trace={}", injection.calls)]);
            strace.args(["-e", &format!("inject={}:{}:when={}", injection.calls, injection.what, injection.n)]);
            strace.arg(env!("CARGO_BIN_EXE_kiban"));
            strace
        }
    };
    command.arg("serve").arg("--home").arg(&place.home);
    command.args(["--listen", "127.0.0.1:0", "--public-listen", "127.0.0.1:0"]);
    if let Some(database) = &place.database {
        command.args(["--db", database]);
    }
    let log = OpenOptions::new().create(true).append(true).open(&place.log).unwrap();
    command.env("RUST_LOG", "info").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = tokio::time::timeout(START, lines.next_line()).await;
    let Ok(Ok(Some(line))) = first else {
        assert!(first.is_ok(), "the server neither listened nor ended within {START:?}");
        return Start::Ended(ended(&mut child).await);
    };
    let address = line.split_whitespace().find_map(|word| word.strip_prefix("organizations=")).unwrap();
    Start::Serving(Server { child, traced: injection.is_some(), address: address.parse().unwrap() })
}

/// Starts the server and expects it to listen.
pub async fn serve(place: &Place) -> Server {
    match start(place, None).await {
        Start::Serving(server) => server,
        Start::Ended(status) => panic!("the server did not start ({status}): {}", last_words(&place.log)),
    }
}

/// The last lines of a log.
pub fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

impl Server {
    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Id of the server's own process while it runs.
    pub fn process(&self) -> u32 {
        self.pid().unwrap()
    }

    fn pid(&self) -> Option<u32> {
        let own = self.child.id()?;
        if !self.traced {
            return Some(own);
        }
        let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        children.split_whitespace().next().and_then(|pid| pid.parse().ok())
    }

    /// SIGKILL to the server itself. True if it was still running.
    pub async fn kill(&mut self) -> bool {
        let Some(pid) = self.pid() else {
            ended(&mut self.child).await;
            return false;
        };
        // It may have ended by itself a moment ago.
        let killed = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).output().unwrap();
        ended(&mut self.child).await;
        killed.status.success()
    }

    /// Asks it to stop, as an operator does.
    pub async fn stop(mut self) -> ExitStatus {
        if let Some(pid) = self.pid() {
            std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap();
        }
        ended(&mut self.child).await
    }

    /// Waits for its own end.
    pub async fn ended(&mut self) -> ExitStatus {
        ended(&mut self.child).await
    }
}

async fn ended(child: &mut Child) -> ExitStatus {
    tokio::time::timeout(END, child.wait()).await.expect("the process did not end").unwrap()
}
