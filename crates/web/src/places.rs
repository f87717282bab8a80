//! Who may be served at the same time: so many requests in all and so many with one certificate, so that one organisation
//! never takes the places of the others; uploads have places of their own, and a city's package never those of an office's
//! files (T-32, T-33).

use crate::router::Route;
use crate::tls::places::{Place as Share, Places as Shares};
use crate::{Problem, Settings};
use kiban_service::{Context, Peer, Platform};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of one listener.
pub(crate) struct Places {
    requests: Arc<Semaphore>,
    packages: Arc<Semaphore>,
    files: Arc<Semaphore>,
    sets: Arc<Semaphore>,
    /// Requests by certificate, without one by network, uploads by organisation.
    shares: Arc<Shares<String>>,
    per_certificate: usize,
}

/// A taken place; free again when dropped.
pub(crate) struct Place {
    _of_all: OwnedSemaphorePermit,
    _share: Option<Share<String>>,
}

impl Places {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(settings.in_flight)),
            packages: Arc::new(Semaphore::new(settings.packages)),
            files: Arc::new(Semaphore::new(settings.files)),
            sets: Arc::new(Semaphore::new(settings.sets)),
            shares: Shares::new(),
            per_certificate: settings.per_certificate,
        }
    }

    /// A place for a request, or the problem that it must come back later; nothing of it was read. Who has no certificate
    /// shares with everybody of the same network.
    pub(crate) fn take(
        &self,
        route: Option<&Route>,
        (peer, network): (Option<&Peer>, &str),
        platform: &Platform,
        context: &Context,
    ) -> Result<Place, Problem> {
        let is = |test: fn(&Route) -> bool| route.is_some_and(test);
        let share = match peer {
            Some(peer) if is(Route::is_upload) => Some(self.share_of_uploads(peer, platform, context)?),
            Some(peer) => Some(self.share_of_requests(peer.fingerprint.clone())?),
            None => Some(self.share_of_requests(format!("network {network}"))?),
        };
        let places = match () {
            () if is(Route::is_package) => &self.packages,
            () if is(Route::is_upload) => &self.files,
            () if is(Route::is_set) => &self.sets,
            () => &self.requests,
        };
        let of_all = Arc::clone(places)
            .try_acquire_owned()
            .map_err(|_| Problem::unavailable("too many requests at the same time"))?;
        Ok(Place { _of_all: of_all, _share: share })
    }

    /// A place to make the log a person takes away: one for each log-in.
    pub(crate) fn take_log(&self, log_in: &str) -> Result<Share<String>, Problem> {
        let busy = || Problem::busy("この記録は、いま作っているところです", 10);
        self.shares.take(format!("log {log_in}"), 1).ok_or_else(busy)
    }

    fn share_of_requests(&self, of: String) -> Result<Share<String>, Problem> {
        let busy = || Problem::busy("この端末からの操作が多すぎます", 1);
        self.shares.take(of, self.per_certificate).ok_or_else(busy)
    }

    fn share_of_uploads(&self, peer: &Peer, platform: &Platform, context: &Context) -> Result<Share<String>, Problem> {
        let organization = platform.standing().organization(&peer.fingerprint, context.now);
        let key = organization.map_or_else(|_| peer.fingerprint.clone(), |organization| organization.to_string());
        let busy = || Problem::busy("この機関のほかのファイルを取り込んでいます", 30);
        self.shares.take(format!("upload {key}"), 1).ok_or_else(busy)
    }
}
