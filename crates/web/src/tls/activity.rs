//! Whether a connection is in use: a request counts from its arrival until the last byte of its answer was taken.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::timeout;

/// The requests of one connection.
#[derive(Clone)]
pub struct Activity(Arc<watch::Sender<Requests>>);

#[derive(Clone, Copy, Default)]
struct Requests {
    running: usize,
    any_yet: bool,
}

/// One running request; over when dropped.
pub struct Running(Activity);

impl Activity {
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Requests::default())))
    }

    /// A request has arrived.
    pub fn start(&self) -> Running {
        self.0.send_modify(|requests| {
            requests.running += 1;
            requests.any_yet = true;
        });
        Running(self.clone())
    }

    /// Resolves when there was no request for `first` since the beginning, or for `idle` since the last one ended.
    pub async fn unused(&self, first: Duration, idle: Duration) {
        let mut watch = self.0.subscribe();
        loop {
            let requests = *watch.borrow_and_update();
            let changed = watch.changed();
            let limit = match requests {
                Requests { running: 0, any_yet: false } => first,
                Requests { running: 0, any_yet: true } => idle,
                _ => Duration::MAX,
            };
            if timeout(limit, changed).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.send_modify(|requests| requests.running -= 1);
    }
}

/// An answer's body that keeps its request running until it is sent.
pub struct HeldBody {
    body: Body,
    /// Only its end matters.
    _running: Running,
}

impl HeldBody {
    pub fn new(body: Body, running: Running) -> Self {
        Self { body, _running: running }
    }
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
