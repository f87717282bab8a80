//! A municipality's own data back, as one tar file: `package/` holds the package with its manifest last (with history
//! `package/001/` and so on), `others/` what a package has no place for, `report.json` what was written. It is made while it is sent; cut in the middle it has no manifest and cannot be taken in.

use super::Answer;
use crate::caller::Authenticated;
use crate::input::Query;
use crate::{App, Problem};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use hyper::body::Frame;
use kiban_service::{Export, ExportContents, ExportOrder, ExportPart, ItemFault};
use serde::Deserialize;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// What of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Earlier contents too.
    #[serde(default)]
    history: bool,
    /// `csv` (default) or `json`.
    format: Option<String>,
}

impl Wanted {
    fn order(self) -> Result<ExportOrder, Problem> {
        let contents = if self.history { ExportContents::WithHistory } else { ExportContents::Present };
        let json = match self.format.as_deref() {
            None | Some("csv") => false,
            Some("json") => true,
            Some(_) => {
                let text = "csv か json を指定してください";
                return Err(Problem::invalid(vec![ItemFault::new("format", text)]));
            }
        };
        Ok(ExportOrder { contents, json })
    }
}

pub(crate) async fn package(State(app): State<App>, who: Authenticated, Query(wanted): Query<Wanted>) -> Answer {
    let order = wanted.and_then(Wanted::order);
    let export = app.platform.export_package(&who.caller, order, &who.context).await?;
    let made_at = u64::try_from(who.context.now.as_second()).unwrap_or_default();
    let headers = [
        (header::CONTENT_TYPE, "application/x-tar"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"export.tar\""),
    ];
    Ok((headers, Body::new(Tar { export, made_at, ready: VecDeque::new(), ended: false })).into_response())
}

/// The files of an export as they come, in ustar format.
struct Tar {
    export: Export,
    /// Seconds since 1970, for the time of the files.
    made_at: u64,
    ready: VecDeque<Bytes>,
    ended: bool,
}

impl Tar {
    fn add(&mut self, name: &str, content: Vec<u8>) {
        let padding = content.len().next_multiple_of(BLOCK) - content.len();
        self.ready.push_back(Bytes::from(head(name, content.len(), self.made_at).to_vec()));
        self.ready.push_back(Bytes::from(content));
        self.ready.push_back(Bytes::from(vec![0; padding]));
    }

    fn take(&mut self, part: ExportPart) -> Result<(), std::io::Error> {
        match part {
            ExportPart::File((name, content)) => self.add(&format!("package/{name}"), content),
            ExportPart::Other((name, content)) => self.add(&name, content),
            ExportPart::Done(report) => {
                self.add("report.json", serde_json::to_vec_pretty(&report)?);
                self.ready.push_back(Bytes::from_static(&[0; 2 * BLOCK]));
                self.ended = true;
            }
        }
        Ok(())
    }
}

impl hyper::body::Body for Tar {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        loop {
            match self.ready.pop_front() {
                Some(bytes) if bytes.is_empty() => continue,
                Some(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                None if self.ended => return Poll::Ready(None),
                None => {}
            }
            // An export that ends without its end is a cut body, which the client sees as an error.
            let cut = || std::io::Error::other("the export ended early");
            let part = match ready!(self.export.parts.poll_recv(context)) {
                Some(Ok(part)) => part,
                Some(Err(_)) | None => return Poll::Ready(Some(Err(cut()))),
            };
            self.take(part)?;
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
