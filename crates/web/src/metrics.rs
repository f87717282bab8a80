//! Figures for those who watch over the platform, as Prometheus reads them, on an address of this machine only
//! (`kiban serve --metrics`, docs/metrics.md). Labels are names of routes, classes of status, codes and reasons: nothing of
//! anybody, no organisation, no number.

use crate::tls::Refusal;
use crate::{Clock, Seen, ServerCertificates};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use kiban_service::{Measures, Platform};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;

/// Upper ends of the classes of duration, in milliseconds.
const CLASSES: [u64; 11] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

/// What was counted since the start. Cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<Counted>>);

#[derive(Default)]
struct Counted {
    /// By route and class of status.
    requests: BTreeMap<(&'static str, u16), Durations>,
    /// By status and code of the problem document.
    problems: BTreeMap<(u16, &'static str), u64>,
    /// By reason.
    handshakes: BTreeMap<&'static str, u64>,
}

#[derive(Default)]
struct Durations {
    classes: [u64; CLASSES.len()],
    count: u64,
    microseconds: u64,
}

impl Metrics {
    /// Counts an answer.
    pub(crate) fn answered(&self, seen: &Seen, took: Duration) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let durations = counted.requests.entry((seen.route.unwrap_or("none"), seen.status / 100)).or_default();
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        for (class, end) in durations.classes.iter_mut().zip(CLASSES) {
            *class += u64::from(took <= end * 1_000);
        }
        durations.count += 1;
        durations.microseconds = durations.microseconds.saturating_add(took);
        if let Some(code) = seen.code {
            *counted.problems.entry((seen.status, code)).or_default() += 1;
        }
    }

    /// Counts a refused handshake.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counted.handshakes.entry(refusal.reason.as_str()).or_default() += 1;
    }

    fn write(&self, out: &mut String) {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        head(out, "kiban_request_seconds", "histogram", "duration of answers by route and class of status");
        for ((route, class), durations) in &counted.requests {
            let labels = format!("route=\"{route}\",status=\"{class}xx\"");
            for (end, count) in CLASSES.iter().zip(durations.classes) {
                let end = seconds(*end * 1_000);
                let _ = writeln!(out, "kiban_request_seconds_bucket{{{labels},le=\"{end}\"}} {count}");
            }
            let count = durations.count;
            let _ = writeln!(out, "kiban_request_seconds_bucket{{{labels},le=\"+Inf\"}} {count}");
            let _ = writeln!(out, "kiban_request_seconds_sum{{{labels}}} {}", seconds(durations.microseconds));
            let _ = writeln!(out, "kiban_request_seconds_count{{{labels}}} {count}");
        }
        head(
            out,
            "kiban_problems_total",
            "counter",
            "problem documents by status and code; of 403 the code is the rule",
        );
        for ((status, code), count) in &counted.problems {
            let _ = writeln!(out, "kiban_problems_total{{status=\"{status}\",code=\"{code}\"}} {count}");
        }
        head(out, "kiban_handshakes_refused_total", "counter", "refused TLS handshakes by reason");
        for reason in crate::tls::RefusedHandshake::ALL {
            let count = counted.handshakes.get(reason.as_str()).copied().unwrap_or_default();
            let _ = writeln!(out, "kiban_handshakes_refused_total{{reason=\"{}\"}} {count}", reason.as_str());
        }
    }
}

fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1_000_000.0
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn gauge(out: &mut String, name: &str, help: &str, value: Option<f64>) {
    head(out, name, "gauge", help);
    if let Some(value) = value {
        let _ = writeln!(out, "{name} {value}");
    }
}

/// What the page is made of.
pub(crate) struct Source {
    pub(crate) platform: Platform,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) certificates: ServerCertificates,
}

/// Answers `GET /metrics` over plain HTTP until `stop` resolves. Whoever binds it has seen to it that the address is one of
/// this machine.
pub(crate) async fn serve(tcp: TcpListener, source: Source, stop: impl Future<Output = ()> + Send + 'static) {
    let source = Arc::new(source);
    let router = Router::new().route("/metrics", get(move || page(Arc::clone(&source))));
    if let Err(error) = axum::serve(tcp, router).with_graceful_shutdown(stop).await {
        tracing::error!(%error, "the page of metrics ended");
    }
}

async fn page(source: Arc<Source>) -> Response {
    let now = (source.clock)();
    let mut out = String::new();
    source.metrics.write(&mut out);
    let measured = tokio::time::timeout(Duration::from_secs(5), source.platform.store().measures(now)).await;
    let up = matches!(measured, Ok(Ok(_)));
    gauge(
        &mut out,
        "kiban_database_up",
        "1 when the database answered the questions of this page",
        Some(f64::from(u8::from(up))),
    );
    if let Ok(Ok(measures)) = measured {
        write_measures(&mut out, &measures);
    }
    let ends = source.certificates.seconds_left(now).map(|left| left / 86_400.0);
    gauge(&mut out, "kiban_server_certificate_days", "days until the first certificate of the listeners ends", ends);
    let fresh = source.platform.standing().is_fresh(now);
    gauge(
        &mut out,
        "kiban_standing_fresh",
        "1 while the map of who may come in is recent",
        Some(f64::from(u8::from(fresh))),
    );
    (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], out).into_response()
}

fn write_measures(out: &mut String, measures: &Measures) {
    let (waiting, capacity) = measures.audit_waiting;
    gauge(out, "kiban_audit_queue", "audit entries waiting for a commit", Some(waiting as f64));
    gauge(
        out,
        "kiban_audit_queue_limit",
        "audit entries that may wait; beyond it the answer is 503",
        Some(capacity as f64),
    );
    gauge(
        out,
        "kiban_audit_durable_age_seconds",
        "since the last group of audit entries was durable",
        measures.audit_durable_age,
    );
    gauge(
        out,
        "kiban_outside_anchor_age_seconds",
        "since the newest anchor outside the database was signed",
        measures.outside_anchor_age,
    );
    gauge(
        out,
        "kiban_audit_months_missing",
        "months of the log without a part, of this one and the next two",
        Some(f64::from(measures.months_missing)),
    );
    gauge(out, "kiban_intake_queue", "packages received and not yet applied", Some(measures.intake.0 as f64));
    gauge(out, "kiban_intake_oldest_seconds", "age of the oldest of them", Some(measures.intake.1));
    gauge(
        out,
        "kiban_database_connections",
        "open connections that write",
        measures.connections.map(|(open, _)| f64::from(open)),
    );
    gauge(out, "kiban_database_connections_idle", "of these, idle", measures.connections.map(|(_, idle)| idle as f64));
    gauge(
        out,
        "kiban_synchronous_standbys",
        "synchronous standbys that follow; absent where none is configured",
        measures.standbys.map(|count| count as f64),
    );
    let (bound, revoked, good) = measures.certificates;
    gauge(out, "kiban_certificates_bound", "certificates ever bound to an organisation", Some(bound as f64));
    gauge(out, "kiban_certificates_revoked", "of these, revoked", Some(revoked as f64));
    gauge(out, "kiban_certificates_good", "of these, good now", Some(good as f64));
    gauge(out, "kiban_clock_drift_seconds", "how far the clock is from the database's", Some(measures.clock_drift));
}
