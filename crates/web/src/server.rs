//! Both listeners as one server: who may come in by the standing map, refused handshakes counted and recorded once a
//! minute, the map read again every two seconds, and an orderly end (decision 0006.27–29).

use crate::tls::{self, Clients, Door, Limits, Network, PeerCertificate, Refusal, RefusedHandshake, Standing};
use crate::{
    Clock, Listener, Metrics, Ready, Settings, closed_line_router, metrics, organisations_router, public_router,
};
use arc_swap::ArcSwap;
use kiban_service::{Context, Error, Platform, RefusedHandshakes, Work};
use rustls::ServerConfig;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

/// A bound socket with its TLS settings; store new ones into `tls` at any time.
pub struct Socket {
    /// Where connections arrive.
    pub tcp: TcpListener,
    /// TLS settings for new connections.
    pub tls: Arc<ArcSwap<ServerConfig>>,
    /// Host names, clock, limits of requests.
    pub settings: Settings,
}

/// The server, ready to run.
pub struct Server {
    /// Behind client certificates.
    pub organisations: Socket,
    /// Open to everybody.
    pub public: Socket,
    /// The closed line of hospitals, on an address of its own, if there is one (P-134, P-194).
    pub closed_line: Option<Socket>,
    /// Limits of connections, for each.
    pub limits: Limits,
    /// Load balancers that name the client by PROXY v2, for all of them; none by default (decision 0006.28).
    pub proxies: Arc<[Network]>,
    /// Where figures are told over plain HTTP, an address of this machine; nowhere by default (docs/metrics.md).
    pub metrics: Option<TcpListener>,
}

/// How often the standing map is read again.
const REFRESH: Duration = Duration::from_secs(2);
/// How often everything of the standing map is read again; each server begins at another moment of that time.
const REREAD: Duration = Duration::from_secs(3600);
/// How often refused handshakes are recorded.
const RECORD: Duration = Duration::from_secs(60);
/// How often what is past its time is deleted.
const CLEAN: Duration = Duration::from_secs(3600);
/// Different pairs of reason and source counted at most in that time; the rest counts as `others`.
const MOST_SOURCES: usize = 2_000;

impl Server {
    /// Serves until `stop` resolves: then health says not ready, no connection is accepted, running requests end, what
    /// was counted is recorded and the store is closed. Returns the number of connections that had to be cut.
    pub async fn run(self, platform: Platform, stop: impl Future<Output = ()>) -> Result<usize, Error> {
        let Self { organisations, public, closed_line, limits, proxies, metrics } = self;
        let (ready, counters) = (Ready::default(), Arc::new(Counters::default()));
        let clock = Arc::clone(&organisations.settings.clock);
        let (stopping, _) = watch::channel(false);
        let counted = organisations.settings.metrics.clone();
        let told = metrics.map(|tcp| {
            let source = metrics::Source {
                platform: platform.clone(),
                clock: Arc::clone(&clock),
                metrics: counted.clone(),
                certificates: organisations.settings.certificates.clone(),
            };
            tokio::spawn(metrics::serve(tcp, source, stopped(stopping.subscribe())))
        });
        let door = |socket: &Socket, clients: Clients| Door {
            config: Arc::clone(&socket.tls),
            clients,
            limits: limits.clone(),
            proxies: Arc::clone(&proxies),
            refused: counters.callback(counted.clone()),
        };
        let certified = door(&organisations, Clients::Certified(standing(&platform, &clock, Listener::Organisations)));
        let line = closed_line.map(|socket| {
            let door = door(&socket, Clients::Certified(standing(&platform, &clock, Listener::ClosedLine)));
            let router = closed_line_router(platform.clone(), socket.settings, ready.clone());
            tokio::spawn(tls::serve(socket.tcp, router, door, stopped(stopping.subscribe())))
        });
        let anyone = door(&public, Clients::Anyone);
        let inside = organisations_router(platform.clone(), organisations.settings, ready.clone());
        let outside = public_router(platform.clone(), public.settings, ready.clone());
        let inside = tokio::spawn(tls::serve(organisations.tcp, inside, certified, stopped(stopping.subscribe())));
        let outside = tokio::spawn(tls::serve(public.tcp, outside, anyone, stopped(stopping.subscribe())));
        let house =
            tokio::spawn(keep_house(platform.clone(), Arc::clone(&clock), Arc::clone(&counters), stopping.subscribe()));

        let reread = tokio::spawn(reread_standing(platform.clone(), Arc::clone(&clock), stopping.subscribe()));
        let work = tokio::spawn(work_on_packages(platform.clone(), Arc::clone(&clock), stopping.subscribe()));

        stop.await;
        ready.end();
        stopping.send_replace(true);
        let lost = |error: tokio::task::JoinError| Error::Internal(error.to_string());
        let mut cut = inside.await.map_err(lost)? + outside.await.map_err(lost)?;
        if let Some(line) = line {
            cut += line.await.map_err(lost)?;
        }
        house.await.map_err(lost)?;
        work.await.map_err(lost)?;
        reread.await.map_err(lost)?;
        if let Some(told) = told {
            told.await.map_err(lost)?;
        }
        record(&platform, &clock, &counters).await;
        record_requests(&platform, &clock).await;
        platform.store().clone().close().await?;
        Ok(cut)
    }
}

/// Resolves when the server stops; an error means that the sender is gone, so it is over too.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// The standing map as the listener asks it.
fn standing(platform: &Platform, clock: &Clock, listener: Listener) -> Standing {
    let (platform, clock) = (platform.clone(), Arc::clone(clock));
    Arc::new(move |certificate: &PeerCertificate| {
        let (standing, now) = (platform.standing(), clock());
        if !standing.is_fresh(now) {
            return Err(RefusedHandshake::StandingUnknown);
        }
        match standing.organization(&certificate.fingerprint, now) {
            Ok(_) if listener != Listener::ClosedLine && standing.is_for_closed_line(&certificate.fingerprint) => {
                Err(RefusedHandshake::ClosedLineOnly)
            }
            Ok(_) => Ok(()),
            Err("certificate_revoked") => Err(RefusedHandshake::Revoked),
            Err("certificate_expired") => Err(RefusedHandshake::Expired),
            Err("office_inactive") => Err(RefusedHandshake::OfficeInactive),
            Err(_) => Err(RefusedHandshake::Unknown),
        }
    })
}

/// Reads what changed of the map and records refusals until the server stops.
async fn keep_house(platform: Platform, clock: Clock, counters: Arc<Counters>, stopping: watch::Receiver<bool>) {
    let mut stopping = pin!(stopped(stopping));
    let (mut refresh, mut minute, mut hour) = (interval(REFRESH), interval(RECORD), interval(CLEAN));
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = &mut stopping => return,
            _ = refresh.tick() => {
                // The map's own question tells when the database does not answer.
                let _ = platform.compare_clocks(clock()).await;
                // A failure leaves the old map; after a minute nobody trusts it any more.
                if let Err(error) = platform.refresh_standing(clock()).await {
                    tracing::error!(problem = crate::Problem::from(error).code, "standing map not refreshed");
                }
            }
            _ = minute.tick() => {
                record(&platform, &clock, &counters).await;
                record_requests(&platform, &clock).await;
                tell_of_abuse(&platform, &clock).await;
                tend_certificates(&platform, &clock).await;
            }
            _ = hour.tick() => clean(&platform, &clock).await,
        }
    }
}

/// Reads the whole of the standing map again each hour, until the server stops, while it goes on being refreshed.
async fn reread_standing(platform: Platform, clock: Clock, stopping: watch::Receiver<bool>) {
    let mut stopping = pin!(stopped(stopping));
    let mut hour = interval_at(Instant::now() + part_of(REREAD), REREAD);
    hour.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = &mut stopping => return,
            _ = hour.tick() => {}
        }
        tokio::select! {
            () = &mut stopping => return,
            read = platform.reread_standing(clock()) => {
                if let Err(error) = read {
                    tracing::error!(%error, "the whole standing map was not read again, trying in an hour");
                }
            }
        }
    }
}

/// A random part of a time.
fn part_of(whole: Duration) -> Duration {
    let random = kiban_service::random_id().ok().and_then(|id| u32::from_str_radix(&id[..8], 16).ok());
    whole.mul_f64(f64::from(random.unwrap_or_default()) / f64::from(u32::MAX))
}

/// Works on packages that wait, also those that a process before this one left unfinished. When the server stops, the block
/// under way is ended; whoever starts next goes on behind it.
async fn work_on_packages(platform: Platform, clock: Clock, stopping: watch::Receiver<bool>) {
    let mut stopping = pin!(stopped(stopping));
    let mut tick = interval(REFRESH);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = &mut stopping => return,
            _ = tick.tick() => {}
        }
        let now = || clock();
        let mut work = Work::new(&now).impatient();
        let stop = Arc::clone(&work.stop);
        let mut working = pin!(platform.work_on_packages(&mut work));
        let ended = tokio::select! {
            ended = &mut working => ended,
            () = &mut stopping => {
                stop.store(true, Ordering::Release);
                let _ = working.await;
                return;
            }
        };
        if let Err(error) = ended {
            tracing::error!(%error, "packages are not worked on, trying again");
        }
    }
}

/// Deletes what is past its time; what could not be deleted waits for the next hour.
async fn clean(platform: &Platform, clock: &Clock) {
    let Ok(context) = Context::new(clock()) else { return };
    if let Err(error) = platform.keep_house(&context).await {
        tracing::error!(problem = crate::Problem::from(error).code, "what is past its time was not deleted");
    }
}

/// Signs what waits for the authority's key, if this process has it; what failed waits for the next minute.
async fn tend_certificates(platform: &Platform, clock: &Clock) {
    let Ok(context) = Context::new(clock()) else { return };
    if let Err(error) = platform.tend_certificates(&context).await {
        tracing::error!(%error, "certificates were not tended, trying again in a minute");
    }
}

/// Records the requests turned away because their organisation made too many.
async fn record_requests(platform: &Platform, clock: &Clock) {
    let Ok(context) = Context::new(clock()) else { return };
    if platform.record_refused_requests(&context).await.is_err() {
        tracing::error!("refused requests not recorded, trying again in a minute");
    }
}

async fn tell_of_abuse(platform: &Platform, clock: &Clock) {
    let Ok(context) = Context::new(clock()) else { return };
    if platform.tell_of_abuse(&context).await.is_err() {
        tracing::error!("a finding of misuse not told, trying again in a minute");
    }
}

/// Records what was counted; what could not be recorded is counted again.
async fn record(platform: &Platform, clock: &Clock, counters: &Counters) {
    let refused = counters.take();
    if refused.is_empty() {
        return;
    }
    let Ok(context) = Context::new(clock()) else { return counters.put_back(refused) };
    if platform.record_refused_handshakes(&refused, &context).await.is_err() {
        tracing::error!("refused handshakes not recorded, trying again in a minute");
        counters.put_back(refused);
    }
}

/// Refused handshakes by reason and source.
#[derive(Default)]
struct Counters(Mutex<HashMap<(String, String), RefusedHandshakes>>);

impl Counters {
    fn callback(self: &Arc<Self>, counted: Metrics) -> Arc<dyn Fn(Refusal) + Send + Sync> {
        let counters = Arc::clone(self);
        Arc::new(move |refusal| {
            counted.refused(&refusal);
            counters.add(RefusedHandshakes {
                reason: refusal.reason.as_str().to_owned(),
                source: refusal.source.to_string(),
                count: 1,
                fingerprint: refusal.fingerprint,
                serial: refusal.serial,
            });
        })
    }

    fn add(&self, mut refusal: RefusedHandshakes) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (refusal.reason.clone(), refusal.source.clone());
        if counted.len() >= MOST_SOURCES && !counted.contains_key(&key) {
            refusal.source = "others".to_owned();
            key.1.clone_from(&refusal.source);
        }
        match counted.entry(key) {
            Entry::Occupied(mut known) => {
                refusal.count += known.get().count;
                known.insert(refusal);
            }
            Entry::Vacant(place) => {
                place.insert(refusal);
            }
        }
    }

    fn take(&self) -> Vec<RefusedHandshakes> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_values().collect()
    }

    fn put_back(&self, refused: Vec<RefusedHandshakes>) {
        refused.into_iter().for_each(|refusal| self.add(refusal));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_from_many_addresses_stays_one_short_list() {
        let counters = Counters::default();
        for i in 0..10_000u32 {
            let source = std::net::Ipv4Addr::from(i).to_string();
            let (reason, fingerprint, serial) = ("revoked".to_owned(), None, None);
            counters.add(RefusedHandshakes { reason, source, count: 1, fingerprint, serial });
        }
        let refused = counters.take();
        assert_eq!(refused.len(), MOST_SOURCES + 1);
        assert_eq!(refused.iter().map(|r| r.count).sum::<u64>(), 10_000);
        assert!(counters.take().is_empty());
    }
}
