//! The server of a benchmark: `kiban serve` as a process of its own, watched from outside through `/proc`.

use crate::home::Home;
use anyhow::{Context as _, Result, anyhow};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child as Process, Command};

/// Clock ticks a second in `/proc/PID/stat`; 100 on every Linux that Debian builds.
const TICKS: f64 = 100.0;

/// A running server.
pub struct Child {
    process: Process,
    id: u32,
    /// Address of the organisations' listener.
    pub address: SocketAddr,
}

impl Child {
    /// Starts it over the installation and waits until it listens.
    pub async fn start(home: &Home) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["serve", "--listen", "127.0.0.1:0", "--public-listen", "127.0.0.1:0", "--home"])
            .arg(home.dir())
            .args(["--db", home.database()])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let id = process.id().context("no process id")?;
        let mut lines = BufReader::new(process.stdout.take().context("no output")?).lines();
        let wait = tokio::time::timeout(Duration::from_secs(60), lines.next_line());
        let line = wait.await.context("サーバーが60秒以内に起動しません")??.context("サーバーがすぐに終わりました")?;
        let address = line.split_whitespace().find_map(|word| word.strip_prefix("organizations="));
        let address = address.and_then(|address| address.parse().ok()).ok_or_else(|| anyhow!("{line}"))?;
        Ok(Self { process, id, address })
    }

    /// Resident memory now and at its peak, in megabytes.
    pub fn memory(&self) -> Result<(f64, f64)> {
        memory_of(&self.id.to_string())
    }

    /// Forgets the peak so far, where the system can: what follows has a peak of its own.
    pub fn forget_peak(&self) {
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.id), "5");
    }

    /// CPU seconds used so far, user and system.
    pub fn cpu(&self) -> Result<f64> {
        cpu_of(&self.id.to_string())
    }

    /// Ends it in order.
    pub async fn stop(mut self) -> Result<()> {
        Command::new("kill").args(["-TERM", &self.id.to_string()]).status().await?;
        if tokio::time::timeout(Duration::from_secs(40), self.process.wait()).await.is_err() {
            self.process.kill().await?;
        }
        Ok(())
    }
}

/// CPU seconds of a process so far, user and system.
pub fn cpu_of(process: &str) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let ticks = |i: usize| fields.get(i).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    Ok((ticks(11) + ticks(12)) / TICKS)
}

/// CPU seconds at one moment: what an operation costs says more than how many fit into a second on a shared machine.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    /// The server.
    pub server: f64,
    /// Every session of PostgreSQL on the benchmark's database.
    pub database: f64,
    /// This process, which makes the load.
    pub client: f64,
    /// Everything on the machine.
    pub machine: f64,
}

impl Cpu {
    /// What was used since an earlier moment.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            server: self.server - earlier.server,
            database: self.database - earlier.database,
            client: self.client - earlier.client,
            machine: self.machine - earlier.machine,
        }
    }
}

impl Child {
    /// CPU seconds of everybody who takes part.
    pub fn moment(&self, database: Option<&str>) -> Result<Cpu> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        let all: Vec<f64> = stat.lines().next().unwrap_or_default().split_whitespace().flat_map(str::parse).collect();
        // user, nice, system, idle, iowait, irq, softirq: all but the two idle ones.
        let busy = all.iter().take(7).sum::<f64>() - all.get(3..5).map_or(0.0, |idle| idle.iter().sum());
        let database = database.map_or(0.0, |name| sessions_of(name).iter().filter_map(|id| cpu_of(id).ok()).sum());
        Ok(Cpu { server: self.cpu()?, database, client: cpu_of("self")?, machine: busy / TICKS })
    }
}

/// Processes of PostgreSQL that serve a database: their title names it.
fn sessions_of(database: &str) -> Vec<String> {
    let named = format!(" {database} ");
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.map(|entry| entry.file_name().to_string_lossy().into_owned());
    ids.filter(|id| id.bytes().all(|b| b.is_ascii_digit()))
        .filter(|id| {
            let title = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let title = String::from_utf8_lossy(&title);
            title.starts_with("postgres: ") && title.contains(&named)
        })
        .collect()
}

/// Resident memory now and at its peak of a process, in megabytes.
pub fn memory_of(process: &str) -> Result<(f64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()).and_then(|text| text.parse::<f64>().ok());
        kilobytes.unwrap_or_default() * 1024.0 / 1e6
    };
    Ok((value("VmRSS:"), value("VmHWM:")))
}
