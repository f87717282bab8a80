//! `kiban connect`: the unattended program on the side of a municipality or a hospital (P-134, P-162). Packages, decisions and
//! opinions dropped into folders go out; results, the inbox and receipts come back into folders. It may be killed at any
//! moment: nothing is lost and nothing comes twice (docs/municipality.md).

mod check;
mod config;
mod inbox;
mod journal;
mod link;
mod opinions;
mod packages;
mod place;
mod renewal;
mod round;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use config::Config;
use round::{Connector, Outcome};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Args)]
pub struct Options {
    /// 設定ファイル
    #[arg(long, default_value = "/etc/kiban/connect.conf", global = true)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// 待っているものをすべて送受信して終わります（systemd タイマーなどから）。
    /// 終了コード: 0 すべて済んだ、1 残りがある（次の起動で続ける）、3 すべて済んだが、断られたもの・置き場所の違うものがある
    Once,
    /// 動き続け、決めた間隔で送受信します
    Service,
    /// 設定・証明書・時計・通信・フォルダーを調べ、直すところを日本語で示します
    Check,
}

/// Rounds in a row that may fail before `once` gives up; the next start goes on.
const TRIES: u32 = 5;
/// First and longest pause after a round that failed.
const PAUSE: (u64, u64) = (2, 600);
/// Pause while the platform works on a package.
const PENDING: u64 = 10;

pub async fn run(options: Options) -> Result<ExitCode> {
    if matches!(options.command, Command::Check) {
        return check::run(&options.config).await;
    }
    let config = Config::read(&options.config).map_err(|faults| anyhow!("{}", faults.join("\n")))?;
    let interval = config.interval;
    let connector = Connector::open(config)?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let work = async {
        match options.command {
            Command::Service => serve(connector, interval).await,
            _ => once(connector).await,
        }
    };
    // Whatever is cut here is done by the next start, like after a kill.
    tokio::select! {
        code = work => Ok(code),
        _ = terminate.recv() => Ok(ExitCode::SUCCESS),
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
    }
}

/// Exit code of `once` when everything is done and something of it was refused.
const REFUSED: u8 = 3;

/// Until nothing waits, or the same keeps failing.
async fn once(mut connector: Connector) -> ExitCode {
    let (mut failed, mut is_refused, mut teller) = (0, false, Teller::default());
    loop {
        let outcome = connector.round().await;
        teller.tell(&outcome);
        is_refused |= !outcome.refused.is_empty();
        if outcome.pending == 0 && outcome.setbacks.is_empty() {
            return if is_refused { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS };
        }
        failed = if outcome.setbacks.is_empty() { 0 } else { failed + 1 };
        if failed >= TRIES {
            eprintln!("残りは次の起動で続けます");
            return ExitCode::FAILURE;
        }
        tokio::time::sleep(pause(failed, PENDING)).await;
    }
}

async fn serve(mut connector: Connector, interval: u64) -> ExitCode {
    let (mut failed, mut teller) = (0, Teller::default());
    loop {
        let outcome = connector.round().await;
        teller.tell(&outcome);
        failed = if outcome.setbacks.is_empty() { 0 } else { failed + 1 };
        let regular = if outcome.pending > 0 { interval.min(PENDING) } else { interval };
        tokio::time::sleep(pause(failed, regular)).await;
    }
}

/// Doubles with every failure in a row, so that a platform in trouble is not asked more and more.
fn pause(failed: u32, regular: u64) -> Duration {
    let (first, longest) = PAUSE;
    let seconds = match failed {
        0 => regular,
        n => (first << (n - 1).min(16)).min(longest),
    };
    Duration::from_secs(seconds)
}

/// Says what a round could not do; what the round before said as well is not said again.
#[derive(Default)]
struct Teller {
    told: Vec<String>,
}

impl Teller {
    fn tell(&mut self, outcome: &Outcome) {
        self.new_lines(outcome).iter().for_each(|line| eprintln!("{line}"));
    }

    fn new_lines(&mut self, outcome: &Outcome) -> Vec<String> {
        let mut lines = outcome.refused.clone();
        lines.extend(outcome.setbacks.iter().cloned());
        let new = lines.iter().filter(|line| !self.told.contains(line)).cloned().collect();
        self.told = lines;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_round_says_again_is_told_once() {
        let round = |refused: &[&str], setbacks: &[&str]| {
            let texts = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
            Outcome { pending: 0, refused: texts(refused), setbacks: texts(setbacks) }
        };
        let mut teller = Teller::default();
        assert_eq!(teller.new_lines(&round(&["a"], &["b"])), ["a", "b"]);
        assert_eq!(teller.new_lines(&round(&["a"], &["b", "c"])), ["c"]);
        assert!(teller.new_lines(&round(&[], &[])).is_empty());
        assert_eq!(teller.new_lines(&round(&["a"], &[])), ["a"], "it came back");
    }

    #[test]
    fn the_pause_doubles_up_to_ten_minutes_and_ends_with_the_first_success() {
        let seconds: Vec<u64> = (0..12).map(|failed| pause(failed, 60).as_secs()).collect();
        assert_eq!(seconds, [60, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
    }
}
