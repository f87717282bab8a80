//! Files of a `multipart/form-data` body (RFC 7578) as they arrive: bytes go on to the platform piece by piece, so that an
//! upload costs the same memory whatever its size.

use crate::Problem;
use axum::http::StatusCode;

/// Longest headers of a part.
const HEADERS: usize = 8 * 1024;

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A file of this name begins.
    File(String),
    /// More bytes of it.
    Bytes(Vec<u8>),
}

/// Reads a body piece by piece. Parts that are no file are left out.
pub(crate) struct Multipart {
    delimiter: Vec<u8>,
    held: Vec<u8>,
    state: State,
    /// What stands in the field `form_token`.
    token: Vec<u8>,
}

/// Longest form token.
const TOKEN: usize = 64;

/// What a part is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    File,
    Token,
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Begin,
    /// Just behind a boundary.
    Boundary,
    /// In the headers of a part.
    Headers,
    /// In the content of a part.
    Content(Part),
    /// Behind the last boundary.
    End,
}

impl Multipart {
    pub(crate) fn new(boundary: &str) -> Self {
        Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            held: Vec::new(),
            state: State::Begin,
            token: Vec::new(),
        }
    }

    /// What came so far in the field that proves that a form is of a page of ours; empty without it.
    pub(crate) fn form_token(&self) -> &[u8] {
        &self.token
    }

    /// Whether the last boundary was there: without it the body was cut.
    pub(crate) fn is_whole(&self) -> bool {
        self.state == State::End
    }

    /// Takes the next bytes; what they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Problem> {
        self.held.extend_from_slice(bytes);
        let mut events = Vec::new();
        while self.step(&mut events)? {}
        Ok(events)
    }

    /// One step; false when more bytes are needed.
    fn step(&mut self, events: &mut Vec<Event>) -> Result<bool, Problem> {
        match self.state {
            State::Begin => {
                let first = &self.delimiter[2..];
                if self.held.len() < first.len() {
                    return if first.starts_with(&self.held) { Ok(false) } else { Err(malformed()) };
                }
                if !self.held.starts_with(first) {
                    return Err(malformed());
                }
                self.held.drain(..first.len());
                self.state = State::Boundary;
                Ok(true)
            }
            State::Boundary => {
                if self.held.len() < 2 {
                    return Ok(false);
                }
                self.state = match &self.held[..2] {
                    b"--" => State::End,
                    b"\r\n" => State::Headers,
                    _ => return Err(malformed()),
                };
                // The line end stays: headers may be missing altogether.
                if self.state == State::End {
                    self.held.clear();
                }
                Ok(true)
            }
            State::Headers => match find(&self.held, b"\r\n\r\n") {
                Some(end) => {
                    let headers = std::str::from_utf8(&self.held[..end]).map_err(|_| malformed())?;
                    let name = file_name(headers);
                    self.state = State::Content(match name {
                        Some(_) => Part::File,
                        None if headers.contains("name=\"form_token\"") => Part::Token,
                        None => Part::Other,
                    });
                    events.extend(name.map(Event::File));
                    self.held.drain(..end + 4);
                    Ok(true)
                }
                None if self.held.len() > HEADERS => Err(malformed()),
                None => Ok(false),
            },
            State::Content(part) => {
                let end = find(&self.held, &self.delimiter);
                let safe = end.unwrap_or(self.held.len().saturating_sub(self.delimiter.len()));
                let bytes: Vec<u8> = self.held.drain(..safe).collect();
                match part {
                    Part::File if !bytes.is_empty() => events.push(Event::Bytes(bytes)),
                    Part::Token if self.token.len() + bytes.len() > TOKEN => return Err(malformed()),
                    Part::Token => self.token.extend(bytes),
                    Part::File | Part::Other => {}
                }
                if end.is_some() {
                    self.held.drain(..self.delimiter.len());
                    self.state = State::Boundary;
                }
                Ok(end.is_some())
            }
            State::End => {
                self.held.clear();
                Ok(false)
            }
        }
    }
}

pub(crate) fn malformed() -> Problem {
    let detail = "multipart/form-data の区切りが正しくありません。ファイルを選び直して、もう一度送ってください";
    Problem::new(StatusCode::BAD_REQUEST, "bad_multipart", "送られた内容を読めません", detail)
}

/// `filename="…"` of a part, without any folder in front.
fn file_name(headers: &str) -> Option<String> {
    let disposition =
        headers.split("\r\n").find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
    let (_, after) = disposition.split_once("filename=\"")?;
    let (name, _) = after.split_once('"')?;
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    (!name.is_empty()).then(|| name.replace("%22", "\""))
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = hay.get(from..)?.iter().position(|b| *b == first) {
        let at = from + at;
        if hay.get(at..)?.starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "--x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"C:\\送信\\UP1KYO.csv\"\r\nContent-Type: text/csv\r\n\r\na,b\r\n\r\n--y\r\n--x\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nno file\r\n--x\r\n\r\nno headers\r\n--x\r\nContent-Disposition: form-data; filename=\"empty\"\r\n\r\n\r\n--x--\r\n";

    type Files = Vec<(String, Vec<u8>)>;

    fn files(body: &[u8], piece: usize) -> Option<Files> {
        let mut multipart = Multipart::new("x");
        let mut files: Files = Vec::new();
        for bytes in body.chunks(piece) {
            for event in multipart.push(bytes).ok()? {
                match event {
                    Event::File(name) => files.push((name, Vec::new())),
                    Event::Bytes(bytes) => files.last_mut()?.1.extend(bytes),
                }
            }
        }
        multipart.is_whole().then_some(files)
    }

    #[test]
    fn files_of_a_form_are_found_byte_for_byte_however_they_arrive() {
        let expected = [("UP1KYO.csv".to_owned(), b"a,b\r\n\r\n--y".to_vec()), ("empty".to_owned(), Vec::new())];
        for piece in 1..BODY.len() {
            assert_eq!(files(BODY.as_bytes(), piece).unwrap(), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn the_token_of_a_form_is_there_before_its_first_file_however_it_arrives_and_a_long_one_is_refused() {
        let body = "--x\r\nContent-Disposition: form-data; name=\"form_token\"\r\n\r\n0123abc\r\n--x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a\"\r\n\r\nbytes\r\n--x--\r\n";
        for piece in 1..body.len() {
            let mut multipart = Multipart::new("x");
            let mut seen = Vec::new();
            for bytes in body.as_bytes().chunks(piece) {
                let events = multipart.push(bytes).unwrap();
                if events.iter().any(|event| matches!(event, Event::File(_))) {
                    seen = multipart.form_token().to_vec();
                }
            }
            assert_eq!(seen, b"0123abc", "in pieces of {piece}");
        }
        let mut multipart = Multipart::new("x");
        let long = body.replace("0123abc", &"0".repeat(TOKEN + 1));
        assert!(multipart.push(long.as_bytes()).is_err());
    }

    #[test]
    fn a_form_cut_anywhere_before_its_last_boundary_is_refused() {
        let end = BODY.rfind("--\r\n").unwrap() + 2;
        for cut in 0..end {
            assert!(files(&BODY.as_bytes()[..cut], 7).is_none(), "cut at {cut}");
        }
    }

    #[test]
    fn headers_without_end_are_not_kept() {
        let mut multipart = Multipart::new("x");
        multipart.push(b"--x\r\n").unwrap();
        let mut long = (0..100).map(|_| multipart.push(&[b'h'; 1024]));
        assert!(long.any(|pushed| pushed.is_err()));
    }
}
