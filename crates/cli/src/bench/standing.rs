//! The standing map at the size of a region: reading the whole of it, and what changed (decision 0006.27).

use super::report::Report;
use crate::home::{Home, now};
use anyhow::{Context as _, Result};
use kiban_domain::office::{JobType, Office, Staff, StaffId};
use kiban_domain::{InsurerNumber, OfficeNumber, Organization, ServiceType};
use kiban_service::{Context, Platform};
use kiban_store::{Account, Entry, Outcome};
use serde_json::json;
use std::time::{Duration, Instant};

/// Offices.
const OFFICES: usize = 50_000;
/// Accounts of each.
const ACCOUNTS: usize = 4;
/// Rows written at once.
const WRITE: usize = 5_000;
/// How often each way of reading is measured; the median counts.
const TIMES: usize = 5;

/// Fills the installation with offices and accounts, and reads them both ways.
pub async fn measure(home: &Home, insurer: InsurerNumber, report: &mut Report) -> Result<()> {
    let platform = home.platform().await?;
    let offices = offices(insurer)?;
    eprintln!("事業所 {}か所、職員 {}人を登録します", offices.len(), offices.len() * ACCOUNTS);
    for some in offices.chunks(WRITE) {
        platform.put_offices(some, true, &Context::new(now())?).await?;
        put_accounts(&platform, some, "0").await?;
    }
    let (mut whole, mut nothing, mut one, mut many) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..TIMES {
        let begun = Instant::now();
        platform.reread_standing(now()).await?;
        whole.push(begun.elapsed());
        refreshed(&platform).await?;
        nothing.push(refreshed(&platform).await?);
        for (times, count) in [(&mut one, 1), (&mut many, 250)] {
            // By this process itself, but past its own refresh: as another server would find it.
            put_accounts(&platform, &offices[..count.min(offices.len())], &round.to_string()).await?;
            times.push(refreshed(&platform).await?);
        }
    }
    let [whole, nothing, one, many] = [whole, nothing, one, many].map(median_ms);
    report.figure(
        "standing",
        json!({
            "offices": offices.len(),
            "accounts": offices.len() * ACCOUNTS,
            "whole_ms": whole,
            "unchanged_ms": nothing,
            "changed_4_ms": one,
            "changed_1000_ms": many,
        }),
    );
    platform.store().clone().close().await?;
    Ok(())
}

async fn refreshed(platform: &Platform) -> Result<Duration> {
    let begun = Instant::now();
    platform.refresh_standing(now()).await?;
    Ok(begun.elapsed())
}

fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort();
    (times[times.len() / 2].as_secs_f64() * 10_000.0).round() / 10.0
}

/// Invented offices with numbers of no prefecture.
fn offices(insurer: InsurerNumber) -> Result<Vec<Office>> {
    let service = ServiceType::parse("43").context("service type")?;
    let number = |n: usize| (0..10).find_map(|digit| OfficeNumber::parse(&format!("99{n:07}{digit}")).ok());
    let office = |number: OfficeNumber| Office {
        number,
        name: format!("計測事業所 {number}"),
        address: None,
        telephone: None,
        municipality: insurer,
        is_hospital: false,
        service_types: vec![service],
    };
    Ok((2_000_000..).filter_map(number).map(office).take(OFFICES).collect())
}

/// Accounts nobody can log in with.
async fn put_accounts(platform: &Platform, offices: &[Office], round: &str) -> Result<()> {
    let mut tx = platform.store().begin().await?;
    for office in offices {
        for n in 0..ACCOUNTS {
            let staff = Staff {
                id: StaffId(format!("{}/keisoku{n}", office.number)),
                name: format!("計測 {n}号 {round}"),
                job: JobType::CareManager,
                care_manager: None,
                administrator: false,
            };
            let organization = Organization::Office(office.number);
            tx.put_account(&Account {
                staff,
                organization,
                password_hash: "$argon2id$v=19$m=19456,t=2,p=1$keisoku$keisoku".to_owned(),
                active: true,
                initial_until: None,
                closed_at: None,
                has_factor: false,
                has_passkey: false,
            })
            .await?;
        }
    }
    let context = Context::new(now())?;
    tx.commit(Entry::new(context.now, &context.request_id, "cli", "bench.accounts", Outcome::Done)).await?;
    Ok(())
}
