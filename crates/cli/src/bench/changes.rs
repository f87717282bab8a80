//! What a city sends after the first load: a package of differences, and the 負担割合 of everybody for a new year, over HTTPS
//! into the running server, from the first byte sent until its receipt is applied.

use super::city::World;
use super::report::Report;
use super::server::Child;
use super::{HOST, Job, Options};
use crate::client::Client;
use crate::home::now;
use anyhow::{Result, anyhow, bail};
use kiban_domain::dates;
use kiban_sim::CitySpec;
use kiban_sim::files::Stopped;
use serde_json::json;
use std::convert::Infallible;
use std::time::{Duration, Instant};

/// One in so many people changes.
const DIFFERENCES: u32 = 100;
/// How often the receipt is asked for.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Measures what was asked for.
pub async fn all(world: &World, server: &Child, options: &Options, report: &mut Report) -> Result<()> {
    let wanted: Vec<Job> =
        [Job::Differences, Job::Burden].into_iter().filter(|job| options.only.contains(job)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    server.forget_peak();
    for job in wanted {
        // The day of the second one is later: each package is made after the one before.
        let (name, package) = match job {
            Job::Differences => (
                "differences",
                files(&world.spec, |spec, sink| {
                    kiban_sim::write_differences_streaming(spec, dates::day_in_japan(now()), DIFFERENCES, sink)
                })?,
            ),
            _ => (
                "burden",
                files(&world.spec, |spec, sink| {
                    kiban_sim::write_burden_streaming(spec, dates::day_in_japan(now()), sink)
                })?,
            ),
        };
        send(name, package, world, server, report).await?;
    }
    report.memory("server_rss_peak_import_mb", server.memory()?.1);
    Ok(())
}

type Files = Vec<(String, Vec<u8>)>;
type Sink<'a> = dyn FnMut(&str, &[u8]) -> std::result::Result<(), Infallible> + 'a;

/// The files of a package that the simulator streams.
fn files(
    spec: &CitySpec,
    write: impl FnOnce(&CitySpec, &mut &mut Sink<'_>) -> std::result::Result<(), Stopped<Infallible>>,
) -> Result<Files> {
    let mut files = Files::new();
    let mut keep = |name: &str, bytes: &[u8]| {
        files.push((name.to_owned(), bytes.to_vec()));
        Ok(())
    };
    let mut sink: &mut Sink<'_> = &mut keep;
    write(spec, &mut sink).map_err(|stopped| match stopped {
        Stopped::Unwritable(problems) => {
            anyhow!("{}", problems.first().map(|problem| problem.message_ja()).unwrap_or_default())
        }
        Stopped::Sink(never) => match never {},
    })?;
    Ok(files)
}

async fn send(name: &str, package: Files, world: &World, server: &Child, report: &mut Report) -> Result<()> {
    let officer = &world.officer;
    let mut client = Client::new(server.address, HOST, &world.root, Some(&officer.identity))?;
    client.log_in(&officer.account, officer.password).await?.expect(200, "ログイン")?;
    let bytes: usize = package.iter().map(|(_, bytes)| bytes.len()).sum();
    let begun = Instant::now();
    let mut answer = client.upload("/api/v1/packages", &package).await?;
    let sent = begun.elapsed();
    drop(package);
    while answer.body["state"] == "received" {
        tokio::time::sleep(ASK_EVERY).await;
        let receipt = answer.text("receipt")?.to_owned();
        answer = client.send("GET", &format!("/api/v1/receipts/{receipt}"), None).await?;
    }
    let took = begun.elapsed();
    let counts = &answer.body["report"]["counts"];
    if answer.body["state"] != "applied" || counts["refused"] != 0 {
        bail!("{name}: パッケージを取り込めませんでした: {}", answer.body);
    }
    let rows = counts["applied"].as_u64().unwrap_or_default();
    report.figure(
        name,
        json!({
            "seconds": (took.as_secs_f64() * 1e3).round() / 1e3,
            "seconds_sending": (sent.as_secs_f64() * 1e3).round() / 1e3,
            "rows": rows,
            "rows_per_s": (rows as f64 / took.as_secs_f64()).round(),
            "megabytes": bytes as f64 / 1e6,
            "people": world.loaded,
        }),
    );
    Ok(())
}
