//! Answers that are one tar file, made while it is sent: whatever cuts them is seen as a cut body.

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use kiban_domain::Timestamp;
use kiban_service::Error;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;

/// Whether a part was the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// There is more.
    More,
    /// Nothing is missing.
    End,
}

/// Files as they come, in ustar format.
pub(crate) struct Files {
    /// Seconds since 1970, for the time of the files.
    made_at: u64,
    ready: VecDeque<Bytes>,
}

impl Files {
    pub(crate) fn add(&mut self, name: &str, content: Vec<u8>) {
        let padding = content.len().next_multiple_of(BLOCK) - content.len();
        self.ready.push_back(Bytes::from(head(name, content.len(), self.made_at).to_vec()));
        self.ready.push_back(Bytes::from(content));
        self.ready.push_back(Bytes::from(vec![0; padding]));
    }
}

struct Tar<P, F> {
    parts: mpsc::Receiver<Result<P, Error>>,
    add: F,
    files: Files,
    ended: bool,
}

/// An answer of this name: `add` makes files of each part that comes.
pub(crate) fn answer<P, F>(name: &str, at: Timestamp, parts: mpsc::Receiver<Result<P, Error>>, add: F) -> Response
where
    P: Send + 'static,
    F: FnMut(P, &mut Files) -> Result<Next, std::io::Error> + Send + Unpin + 'static,
{
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers = [(header::CONTENT_TYPE, "application/x-tar"), (header::CONTENT_DISPOSITION, disposition.as_str())];
    let files = Files { made_at: u64::try_from(at.as_second()).unwrap_or_default(), ready: VecDeque::new() };
    (headers, Body::new(Tar { parts, add, files, ended: false })).into_response()
}

impl<P, F> hyper::body::Body for Tar<P, F>
where
    F: FnMut(P, &mut Files) -> Result<Next, std::io::Error> + Unpin,
{
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let this = &mut *self;
        loop {
            match this.files.ready.pop_front() {
                Some(bytes) if bytes.is_empty() => continue,
                Some(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                None if this.ended => return Poll::Ready(None),
                None => {}
            }
            // What ends without its end is a cut body, which the client sees as an error.
            let cut = || std::io::Error::other("it ended early");
            let part = match ready!(this.parts.poll_recv(context)) {
                Some(Ok(part)) => part,
                Some(Err(_)) | None => return Poll::Ready(Some(Err(cut()))),
            };
            if (this.add)(part, &mut this.files)? == Next::End {
                this.files.ready.push_back(Bytes::from_static(&[0; 2 * BLOCK]));
                this.ended = true;
            }
        }
    }
}

/// Size of a block of a tar file, bytes.
const BLOCK: usize = 512;

/// Header of a file (POSIX.1-1988 ustar).
fn head(name: &str, size: usize, made_at: u64) -> [u8; BLOCK] {
    let mut head = [0; BLOCK];
    let mut put = |at: usize, text: &str| {
        for (place, byte) in head[at..].iter_mut().zip(text.bytes()) {
            *place = byte;
        }
    };
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, &format!("{made_at:011o}\0"));
    put(148, "        0");
    put(257, "ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    for (place, byte) in head[148..156].iter_mut().zip(format!("{sum:06o}\0 ").bytes()) {
        *place = byte;
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_what_tar_writes() {
        let head = head("package/MANIFEST.csv", 1_234, 1_700_000_000);
        assert_eq!(&head[..20], b"package/MANIFEST.csv");
        assert_eq!(&head[124..136], b"00000002322\0");
        assert_eq!((head[156], &head[257..265]), (b'0', &b"ustar\x0000"[..]));
        let mut blank = head;
        blank[148..156].fill(b' ');
        let sum: u32 = blank.iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(&head[148..156], format!("{sum:06o}\0 ").as_bytes());
    }
}
