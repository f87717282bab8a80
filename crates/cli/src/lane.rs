//! An open HTTP/1.1 connection that always answers: also a request that is handed over while the connection ends.

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::rt::{Read, Write};
use hyper::{Request, Response};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::watch;

/// The connection, one request after the other.
pub struct Lane<B> {
    requests: SendRequest<B>,
    /// Its sender goes with the task that drives the connection.
    open: watch::Receiver<()>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Broken {
    /// What hyper says.
    Exchange(hyper::Error),
    /// The connection ended and said nothing of the request.
    Ended,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exchange(error) => error.fmt(f),
            Self::Ended => f.write_str("the connection ended before the answer"),
        }
    }
}

impl std::error::Error for Broken {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Exchange(error) => error.source(),
            Self::Ended => None,
        }
    }
}

impl From<hyper::Error> for Broken {
    fn from(error: hyper::Error) -> Self {
        Self::Exchange(error)
    }
}

impl<B> Lane<B>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    /// HTTP over a stream that is connected.
    pub async fn over(stream: impl Read + Write + Unpin + Send + 'static) -> Result<Self, hyper::Error> {
        let (requests, connection) = hyper::client::conn::http1::handshake(stream).await?;
        let (driven, open) = watch::channel(());
        tokio::spawn(async move {
            let _ = connection.await;
            drop(driven);
        });
        Ok(Self { requests, open })
    }

    /// Whether the other side, or an error, has ended it.
    pub fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    /// Waits until the next request may be sent; false when it is closed.
    pub async fn is_ready(&mut self) -> bool {
        self.requests.ready().await.is_ok()
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// hyper passes requests to the connection through an unbounded channel of tokio, and such a channel keeps a message
    /// that is sent in the moment in which its receiver is dropped (seen with tokio 1.54): the answer to it would be waited
    /// for without end. A server that refuses the certificate ends the connection in just that moment, so the end of the
    /// connection is waited for too.
    pub async fn send(&mut self, request: Request<B>) -> Result<Response<Incoming>, Broken> {
        let mut answer = pin!(self.requests.send_request(request));
        let answer = tokio::select! {
            biased;
            answer = answer.as_mut() => Ok(answer),
            // What the connection still said before it ended is there by now.
            _ = self.open.changed() => tokio::time::timeout(Duration::ZERO, answer).await,
        };
        Ok(answer.map_err(|_| Broken::Ended)??)
    }
}
