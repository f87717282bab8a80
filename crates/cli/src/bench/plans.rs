//! Care-plan files (ケアプラン標準仕様 4.1, CP932): reading with every check, the same with the records put together, and in the
//! same run what decoding and splitting the same bytes costs at least. One thread, no server, no database.

use super::Options;
use super::report::Report;
use crate::home::now;
use anyhow::{Result, anyhow, bail};
use encoding_rs::SHIFT_JIS;
use kiban_domain::dates::{self, ServiceMonth};
use kiban_formats::Problem;
use kiban_formats::care_plan::{check_set, read_set};
use kiban_sim::{CitySpec, Generator, Role, SimPerson, office_plan_files};
use serde_json::json;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// People whose plans are read, at most: about 500 of each office, a large one.
const PEOPLE: u32 = 1_000;

/// Files of one office.
type Files = Vec<(String, Vec<u8>)>;

/// Measures all on the plans of a synthetic city; the best round of each counts, because whatever else runs only slows.
pub fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let sets = files(options)?;
    let rows: usize = sets.iter().flatten().map(|(_, bytes)| lines(bytes).count()).sum();
    let bytes: usize = sets.iter().flatten().map(|(_, bytes)| bytes.len()).sum();
    let rate = |time: Duration| (rows as f64 / time.as_secs_f64()).round();
    let checked = best(options.time(), || sets.iter().try_for_each(|set| require_none(&check_set(set))))?;
    let files = sets.iter().map(Vec::len).sum::<usize>();
    report.figure("plans", json!({ "rows_per_s": rate(checked), "rows": rows, "bytes": bytes, "files": files }));
    let read = best(options.time(), || sets.iter().try_for_each(read))?;
    report.figure("plan_records", json!({ "rows_per_s": rate(read) }));
    if !options.no_floors {
        let bare = best(options.time(), || {
            split_all(&sets);
            Ok(())
        })?;
        let what = "encoding_rs による復号と、行とコンマでの分割";
        report.floor("decode_and_split", json!({ "rows_per_s": rate(bare), "what": what }));
    }
    Ok(())
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// Reads, checks, and puts the records together.
fn read(set: &Files) -> Result<()> {
    let (received, problems) = read_set(set);
    black_box(received);
    require_none(&problems)
}

fn require_none(problems: &[Problem]) -> Result<()> {
    match problems.first() {
        Some(problem) => bail!("ケアプランの計測用ファイルに誤りがあります: {}", problem.message_ja()),
        None => Ok(()),
    }
}

fn split_all(sets: &[Files]) {
    for (_, bytes) in sets.iter().flatten() {
        let (text, _) = SHIFT_JIS.decode_without_bom_handling(bytes);
        black_box(text.lines().map(|line| line.split(',').map(black_box).count()).sum::<usize>());
    }
}

/// Plans and slips of the city, office by office.
fn files(options: &Options) -> Result<Vec<Files>> {
    let today = dates::day_in_japan(now());
    let people = options.people.min(PEOPLE);
    let spec = CitySpec::sample(options.seed, people, today).map_err(|error| anyhow!(error.message_ja()))?;
    let generator = Generator::new(&spec);
    let people: Vec<SimPerson> = generator.clone().people().collect();
    let mut sets = Vec::new();
    for office in generator.offices().iter().filter(|office| office.role == Role::Planning) {
        let set = office_plan_files(&generator, office.number(), &people, ServiceMonth::of(today));
        sets.push(set.map_err(|found| anyhow!(found.first().map(|one| one.message_ja()).unwrap_or_default()))?);
    }
    Ok(sets)
}

/// The shortest of the rounds that fit into the time; three at least.
fn best(time: Duration, mut round: impl FnMut() -> Result<()>) -> Result<Duration> {
    let (begun, mut shortest, mut rounds) = (Instant::now(), Duration::MAX, 0);
    while rounds < 3 || begun.elapsed() < time {
        let start = Instant::now();
        round()?;
        shortest = shortest.min(start.elapsed());
        rounds += 1;
    }
    Ok(shortest)
}
