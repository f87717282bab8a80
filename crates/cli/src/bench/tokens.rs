//! What the check of a token costs: the certificate's standing, the log-in behind the token, its account and office, as on every
//! request. A process keeps a log-in in mind for two seconds (docs/serve.md), so the database is asked once in that time.

use super::Options;
use super::city::Login;
use super::report::Report;
use super::server::cpu_of;
use crate::home::{Home, explain, now};
use anyhow::{Context as _, Result};
use kiban_pki::fingerprint;
use kiban_service::{Context, LogIn, Peer};
use serde_json::json;
use std::time::Instant;

/// Checks between two looks at the clock.
const ROUND: u32 = 100;

/// Checks one token over and over, alone in this process.
pub async fn measure(home: &Home, who: &Login, options: &Options, report: &mut Report) -> Result<()> {
    let platform = home.platform().await?;
    let own = who.identity.chain.first().context("no certificate")?;
    let peer = Peer { fingerprint: fingerprint(own), source: "127.0.0.1".to_owned() };
    let asked = LogIn { account: who.account.clone(), password: who.password.to_owned(), software: None };
    let session = platform.log_in(&peer, asked, &Context::new(now())?).await.map_err(explain)?;
    let (begin, before, mut done) = (Instant::now(), cpu_of("self")?, 0u32);
    while begin.elapsed() < options.time() {
        let context = Context::new(now())?;
        for _ in 0..ROUND {
            platform.authenticate(peer.clone(), &session.token, &context).await.map_err(explain)?;
        }
        done += ROUND;
    }
    let each = (cpu_of("self")? - before) * 1e6 / f64::from(done);
    report.figure("token", json!({ "cpu_us": (each * 10.0).round() / 10.0, "checks": done }));
    platform.store().clone().close().await?;
    Ok(())
}
