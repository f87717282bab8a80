//! `kiban audit replay`: every decision of a period is taken again from the facts its entry keeps, by the table of that time, and
//! held against what the entry says came of it (decision 0006.9).

use crate::home::Home;
use anyhow::{Context as _, Result, anyhow};
use kiban_domain::{Date, Timestamp, dates};
use kiban_policy::replay;
use kiban_store::{Decided, Outcome, StoredEntry};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// What was found so far.
#[derive(Default)]
struct Tally {
    /// Entries by version of the table: allowed or done, refused.
    versions: BTreeMap<String, (u64, u64)>,
    differences: u64,
}

pub async fn run(home: &Home, from: Option<&str>, to: Option<&str>) -> Result<ExitCode> {
    let from = from.map(day).transpose()?.map_or(Ok(i64::MIN), start_of)?;
    let last = to.map(day).transpose()?;
    let until = last.map(|day| start_of(day.tomorrow()?)).transpose()?.unwrap_or(i64::MAX);
    let mut decided = Decided::open(home.database(), from, until).await?;
    let tally = replay_all(&mut decided).await;
    decided.close().await;
    let tally = tally?;
    for (version, (allowed, refused)) in &tally.versions {
        println!("共有表 {version} 版: 許可・実施 {allowed}件 拒否 {refused}件を判断し直しました");
    }
    println!(
        "{}",
        match (tally.versions.is_empty(), tally.differences) {
            (true, _) => "再判断の結果: この期間に、判断の事実を残した記録はありません".to_owned(),
            (false, 0) => "再判断の結果: すべて記録のとおりです".to_owned(),
            (false, count) => format!("再判断の結果: {count}件が記録と違います"),
        }
    );
    Ok(if tally.differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn replay_all(decided: &mut Decided) -> Result<Tally> {
    let mut tally = Tally::default();
    loop {
        let page = decided.next_page().await?;
        if page.is_empty() {
            return Ok(tally);
        }
        for entry in &page {
            let count = tally.versions.entry(version(entry).to_owned()).or_default();
            if entry.outcome == Outcome::Refused.code() {
                count.1 += 1;
            } else {
                count.0 += 1;
            }
            if let Some(difference) = difference(entry) {
                tally.differences += 1;
                let place = entry.position;
                println!("相違: {:016x}/{}/{} {difference}", place.writer, place.segment, place.n);
            }
        }
    }
}

fn version(entry: &StoredEntry) -> &str {
    entry.policy_version.as_deref().unwrap_or("なし")
}

/// How the entry differs from its decision taken again, without anything about the person.
fn difference(entry: &StoredEntry) -> Option<String> {
    let decision = match replay(entry.facts, version(entry)) {
        Ok(decision) => decision,
        Err(why) => return Some(why.to_string()),
    };
    let recorded = Outcome::parse(&entry.outcome);
    let same_outcome = match recorded {
        Some(Outcome::Allowed | Outcome::Done) => decision.allowed,
        Some(Outcome::Refused) => !decision.allowed,
        _ => false,
    };
    let rule = entry.rule.as_deref().unwrap_or("なし");
    if same_outcome && rule == decision.rule.code() {
        return None;
    }
    let recorded = recorded.map_or("不明", Outcome::name_ja);
    let again = if decision.allowed { Outcome::Allowed } else { Outcome::Refused };
    Some(format!("記録 {recorded} {rule} 再判断 {} {}", again.name_ja(), decision.rule.code()))
}

/// A day as a person types it.
fn day(text: &str) -> Result<Date> {
    text.parse().with_context(|| format!("{text} は日付ではありません。2026-11-22 のように指定してください"))
}

/// Midnight in Japan, microseconds UTC.
fn start_of(day: Date) -> Result<i64> {
    let start = dates::instant_in_japan(day.at(0, 0, 0, 0)).map(Timestamp::as_microsecond);
    start.ok_or_else(|| anyhow!("{day} は扱えない日付です"))
}
