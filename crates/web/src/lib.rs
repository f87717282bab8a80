//! HTTP and nothing else: two listeners, one table of routes, one kind of error.
//!
//! ```text
//! tls → guard → router → caller → api/* or pages → service
//! ```
//!
//! `guard` is passed by every request, `router` holds every route on one page, `caller` turns certificate and token into a
//! verified caller, `record` sees that no answer leaves without an audit entry, `problem` is the one place where an error
//! becomes a status. No rule of the law is here.

mod api;
mod bars;
mod caller;
mod chart;
pub mod codes;
mod etag;
mod guard;
mod held;
mod input;
mod metrics;
mod multipart;
mod oidc;
pub mod openapi;
mod pages;
mod places;
mod problem;
mod record;
mod router;
mod schema;
mod server;
mod slip_page;
pub mod tls;
mod watch;

pub use held::HeldServer;
pub use metrics::Metrics;
pub use oidc::{ClaimNames, Provider, ProviderSettings};
pub use pages::letters::letters_of_bundle;
pub use pages::notice::Sender as LetterSender;
pub use problem::Problem;
pub use router::{
    Audience, GRAVE, Listener, PAGES, PERSON_PAGES, ROUTES, Route, closed_line_router, organisations_router,
    public_router,
};
pub use server::{Server, Socket};
pub use watch::{Seen, Watch};

use crate::places::Places;
use jiff::Timestamp;
use kiban_service::{PasskeySite, Platform};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

/// Gives the present instant; read once per request.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What an operator sets for one listener.
#[derive(Clone)]
pub struct Settings {
    /// Host names of this listener, without port; any other is answered 421.
    pub hosts: Vec<String>,
    /// The clock.
    pub clock: Clock,
    /// When the certificates of the listeners end, for `/health`; the same for all listeners of a server.
    pub certificates: ServerCertificates,
    /// Where passkeys are used: this listener as browsers name it. Its first host over port 443 unless it is set.
    pub site: PasskeySite,
    /// Address of the public listener for links, such as `https://kiban.example.jp`.
    pub public_url: String,
    /// Requests at the same time. 256.
    pub in_flight: usize,
    /// Of these, with one certificate. 32.
    pub per_certificate: usize,
    /// Packages of municipalities that come in at the same time, one of each. 2.
    pub packages: usize,
    /// Files of offices that come in at the same time (care plans, LIFE, claims), one upload of each; each lies in memory. 2.
    pub files: usize,
    /// Sets of files for other offices at the same time, each of which lies in memory: at most 4 MiB. 32.
    pub sets: usize,
    /// Time for one request. 10 s.
    pub request_time: Duration,
    /// Time for one upload with everything that follows from it. 30 min.
    pub upload_time: Duration,
    /// Who says who a person is, on the public listener; without one the person's door is not there.
    pub provider: Option<Arc<Provider>>,
    /// Who sees every answer, in a sandbox for vendors; otherwise nobody.
    pub watch: Option<Watch>,
    /// What is counted of every answer, the same for all listeners of a server.
    pub metrics: Metrics,
}

impl Settings {
    /// The defaults of the platform for these host names.
    pub fn new(hosts: &[&str], public_url: &str, clock: Clock) -> Self {
        Self {
            hosts: hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            clock,
            certificates: ServerCertificates::default(),
            site: PasskeySite::of(&format!("https://{}", hosts.first().copied().unwrap_or_default())),
            public_url: public_url.to_owned(),
            in_flight: 256,
            per_certificate: 32,
            packages: 2,
            files: 2,
            sets: 32,
            request_time: Duration::from_secs(10),
            upload_time: Duration::from_secs(30 * 60),
            provider: None,
            watch: None,
            metrics: Metrics::default(),
        }
    }
}

/// What the handlers of one listener share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) platform: Platform,
    pub(crate) settings: Arc<Settings>,
    pub(crate) ready: Ready,
    pub(crate) places: Arc<Places>,
}

impl App {
    pub(crate) fn new(platform: Platform, settings: Settings, ready: Ready) -> Self {
        let places = Arc::new(Places::new(&settings));
        Self { platform, settings: Arc::new(settings), ready, places }
    }
}

/// When the first of the listeners' certificates ends. They are renewed thirty days before; closer than fourteen days means
/// that nobody could.
#[derive(Debug, Clone)]
pub struct ServerCertificates(Arc<AtomicI64>);

impl Default for ServerCertificates {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(i64::MAX)))
    }
}

impl ServerCertificates {
    /// Seconds before the end from which it is told.
    const WARNING: i64 = 14 * 86_400;

    /// The first end.
    pub fn set_end(&self, end: Timestamp) {
        self.0.store(end.as_second(), Ordering::Relaxed);
    }

    /// Seconds until the end; none where none is known.
    pub(crate) fn seconds_left(&self, now: Timestamp) -> Option<f64> {
        let end = self.0.load(Ordering::Relaxed);
        (end != i64::MAX).then(|| (end - now.as_second()) as f64)
    }

    /// `ok`, or `ending` within fourteen days of the end and after it.
    pub fn state(&self, now: Timestamp) -> &'static str {
        let end = self.0.load(Ordering::Relaxed);
        if now.as_second() > end.saturating_sub(Self::WARNING) { "ending" } else { "ok" }
    }
}

/// Whether new work is welcome; false from the moment the server is told to stop.
#[derive(Debug, Clone)]
pub struct Ready(Arc<AtomicBool>);

impl Default for Ready {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Ready {
    /// Whether new work is welcome.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// No new work any more.
    pub fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
