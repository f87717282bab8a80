//! A PostgreSQL of the test's own that may be stopped, frozen and searched. It is started by the script that the whole test
//! run uses; where no PostgreSQL is installed the tests that need one say so and end.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A private instance; stopped and removed at the end.
pub struct Postgres {
    folder: tempfile::TempDir,
    /// Address of its first database.
    pub address: String,
}

impl Postgres {
    /// Starts one; `None` when none is installed.
    pub fn start() -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("kiban-pg-").tempdir_in("/tmp").unwrap();
        let address = script("start", folder.path())?;
        Some(Self { folder, address })
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        let folder = self.address.split_once("host=").map_or("/tmp", |(_, host)| host);
        Path::new(folder).join(".s.PGSQL.5432")
    }

    /// Its folder: data, write-ahead log and server log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it again after [`Postgres::crash`].
    pub fn start_again(&self) {
        assert!(script("start", self.folder()).is_some());
    }

    /// Ends it as a crash does: no checkpoint, every connection cut.
    pub fn crash(&self) {
        let data = self.folder().join("data");
        let mut command = as_postgres(&self.folder().join("data"));
        command.arg(program("pg_ctl")).arg("-D").arg(data).args(["-m", "immediate", "-w", "stop"]);
        assert!(command.output().unwrap().status.success());
    }

    /// Stops every process of it where it stands: connections stay open and nothing answers.
    pub fn freeze(&self) {
        signal("STOP", &self.processes());
    }

    /// Its disk fails: the n-th sync of each of its processes answers EIO, until the guard is dropped. `None` where processes
    /// may not be followed.
    pub fn fail_syncs(&self, n: u64) -> Option<FailingDisk> {
        self.fail("fsync,fdatasync", &format!("error=EIO:when={n}"))
    }

    /// The same for its writes, from the n-th of each process on: with ENOSPC the disk is full.
    pub fn fail_writes(&self, error: &str, n: u64) -> Option<FailingDisk> {
        self.fail("pwrite64,pwritev,pwritev2", &format!("error={error}:when={n}+"))
    }

    fn fail(&self, calls: &str, how: &str) -> Option<FailingDisk> {
        let processes = self.processes();
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e", &format!("trace={calls}")]);
        strace.args(["-e", &format!("inject={calls}:{how}")]);
        for process in &processes {
            strace.args(["-p", process]);
        }
        let mut strace = strace.stderr(std::process::Stdio::null()).spawn().ok()?;
        // Attached when the last process names its tracer; one that has ended meanwhile has none to name.
        while processes.iter().any(|process| has_tracer(process) == Some(false)) {
            if strace.try_wait().unwrap().is_some() {
                return None;
            }
            std::thread::yield_now();
        }
        Some(FailingDisk(strace))
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    /// Ends it if it still runs, however it stands, and starts it again on a disk that works.
    pub fn recover(&self) {
        let mut command = as_postgres(&self.folder().join("data"));
        command.arg(program("pg_ctl")).arg("-D").arg(self.folder().join("data")).args([
            "-m",
            "immediate",
            "-w",
            "stop",
        ]);
        // It may have ended by itself.
        let _ = command.output().unwrap();
        self.start_again();
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        signal("CONT", &self.processes());
    }

    /// The postmaster, then its children.
    fn processes(&self) -> Vec<String> {
        let pid_file = self.folder().join("data/postmaster.pid");
        let Ok(text) = std::fs::read_to_string(pid_file) else { return Vec::new() };
        let postmaster = text.lines().next().unwrap().trim().to_owned();
        let children = std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
        let children = children.unwrap_or_default();
        std::iter::once(postmaster).chain(children.split_whitespace().map(str::to_owned)).collect()
    }
}

/// While it lives, syncs fail.
pub struct FailingDisk(std::process::Child);

impl Drop for FailingDisk {
    fn drop(&mut self) {
        // Asked to end, it lets go of every process first.
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).output();
        let _ = self.0.wait();
    }
}

/// Whether a process is being followed; `None` when it is gone.
fn has_tracer(process: &str) -> Option<bool> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    Some(tracer.trim() != "0")
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.thaw();
        script("stop", self.folder.path());
    }
}

fn signal(name: &str, processes: &[String]) {
    if !processes.is_empty() {
        // One that has just ended is no fault.
        let _ = Command::new("kill").arg(format!("-{name}")).args(processes).output();
    }
}

fn script(action: &str, folder: &Path) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/postgres-for-tests.sh");
    let output = Command::new(path).arg(action).arg(folder).output().unwrap();
    if !output.status.success() {
        println!("PostgreSQL: {}", String::from_utf8_lossy(&output.stderr).trim());
        return None;
    }
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A program of the newest PostgreSQL there is.
pub fn program(name: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.filter_map(Result::ok).map(|version| version.path().join("bin").join(name)).collect())
        .unwrap_or_default();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().unwrap_or_else(|| PathBuf::from(name))
}

/// PostgreSQL refuses root; the owner of its data may.
fn as_postgres(data: &Path) -> Command {
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata(data).unwrap();
    let own = std::fs::metadata("/proc/self").unwrap().uid();
    if owner.uid() == own {
        return Command::new("env");
    }
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={}", owner.uid()), format!("--regid={}", owner.gid()), "--clear-groups".to_owned()]);
    command
}
