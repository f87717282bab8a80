//! What a request brings: JSON, query and files, each fault named in Japanese. Extractors of this file stand after the
//! caller in a handler's arguments, so nothing is read for somebody who is not logged in (decision 0006.38).

use crate::multipart::{Event, Multipart, malformed};
use crate::router::{Listener, route_of};
use crate::{Problem, schema};
use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use kiban_service::{ItemFault, holds_individual_number, is_hidden, is_private, json_holds_individual_number};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::convert::Infallible;
use std::error::Error as _;
use std::time::Duration;
use tokio::time::Instant;

/// Longest JSON body: 1 MiB.
pub(crate) const JSON_LIMIT: usize = 1 << 20;
/// Longest upload of a municipality that is held in memory: 256 MiB.
pub(crate) const UPLOAD_LIMIT: usize = 256 << 20;
/// Longest upload of an office, of plans or of LIFE: 32 MiB. What is made of it takes some thirty times that.
pub(crate) const OFFICE_LIMIT: usize = 32 << 20;
/// Longest set of the exchange: 4 MiB. It has the time of any other request and places of its own, more than two for a month end.
pub(crate) const SLIP_LIMIT: usize = 4 << 20;
/// Longest package, which is not: 4 GiB.
pub(crate) const PACKAGE_LIMIT: usize = 4 << 30;
/// Time for a JSON body; a body that trickles in would hold a place for ever.
const JSON_TIME: Duration = Duration::from_secs(10);
/// Time a body has to get going before it must keep [`LEAST_SPEED`].
const START_TIME: Duration = Duration::from_secs(10);
/// Slowest body that is waited for, bytes a second on average (T-33).
const LEAST_SPEED: u64 = 1024;
/// Time for an upload: 4 GiB at some 2.4 MB a second.
const UPLOAD_TIME: Duration = Duration::from_secs(30 * 60);
/// Most files of an upload.
const MOST_FILES: usize = 1_000;
/// Bytes of a form of a page that are looked at together.
const PIECE: usize = 16 << 10;

/// A JSON body: what it says, or why it cannot be used. The use case decides when that is told: after the rights.
pub(crate) struct Json<T> {
    pub(crate) value: Result<T, Problem>,
    /// As it came; empty when it could not be received.
    pub(crate) bytes: Vec<u8>,
}

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let shape = request_shape(&request);
        if media_type(request.headers()).as_deref() != Some("application/json") {
            return Ok(Self { value: Err(unsupported("application/json")), bytes: Vec::new() });
        }
        Ok(match read(request.into_body(), JSON_LIMIT, JSON_TIME).await {
            Ok(bytes) => Self { value: from_json(&bytes, shape), bytes },
            Err(problem) => Self { value: Err(problem), bytes: Vec::new() },
        })
    }
}

fn from_json<T: DeserializeOwned>(bytes: &[u8], shape: Option<&'static str>) -> Result<T, Problem> {
    refuse_what_is_not_kept(bytes)?;
    match axum::Json::<T>::from_bytes(bytes) {
        Ok(axum::Json(value)) => Ok(value),
        Err(rejection) => Err(json_problem(&rejection, bytes, shape)),
    }
}

/// Name of the schema of the body this request should have.
fn request_shape(request: &Request) -> Option<&'static str> {
    let route = route_of(Listener::Organisations, request.method(), request.uri().path())?;
    crate::openapi::request_schema(route.name)
}

/// The fields of a form a page sent, in their order.
#[derive(Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Longest form: 256 KiB.
    const LIMIT: usize = 256 << 10;

    /// Reads the body of a form; a 個人番号 in it is refused like in every other body.
    pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Self, Problem> {
        const MEDIA: &str = "application/x-www-form-urlencoded";
        if media_type(headers).as_deref() != Some(MEDIA) {
            return Err(unsupported(MEDIA));
        }
        let bytes = read(body, Self::LIMIT, JSON_TIME).await?;
        let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(&bytes).map_err(|_| {
            let detail = "前の画面に戻って読み込み直し、もう一度送ってください。";
            Problem::new(StatusCode::BAD_REQUEST, "bad_form", "送られた内容を読めません", detail)
        })?;
        let mut faults = Faults::default();
        for (name, text) in fields.iter().filter(|(name, _)| name != "form_token") {
            look_for_what_is_not_kept(&Value::String(text.clone()), name, &mut faults);
        }
        if faults.0.is_empty() { Ok(Self(fields)) } else { Err(faults.problem()) }
    }

    /// All fields as typed, in their order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// A field without spaces around it; empty when there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.as_typed(name).trim()
    }

    /// Everything given under a name, as typed; what is empty is left out.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let given = self.0.iter().filter(|(given, text)| given == name && !text.trim().is_empty());
        given.map(|(_, text)| text.clone()).collect()
    }

    /// A field as typed; empty when there is none.
    pub(crate) fn as_typed(&self, name: &str) -> &str {
        self.0.iter().find(|(given, _)| given == name).map_or("", |(_, text)| text)
    }
}

/// A query string: what it says, or why it cannot be used.
pub(crate) struct Query<T>(pub(crate) Result<T, Problem>);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = axum::extract::Query::try_from_uri(&parts.uri).map(|query| query.0);
        Ok(Self(query.map_err(|rejection| {
            let text = rejection.source().map(ToString::to_string).unwrap_or_default();
            Problem::invalid(vec![item_fault(&text)])
        })))
    }
}

/// Lines of a page unless asked otherwise.
const LINES: i32 = 50;
/// Most lines of a page.
const MOST_LINES: i64 = 200;

/// `limit` of a list: 1 to 200, 50 when it is absent.
pub(crate) fn lines(limit: Option<i64>) -> Result<i32, Problem> {
    match limit {
        None => Ok(LINES),
        Some(limit @ 1..=MOST_LINES) => Ok(i32::try_from(limit).unwrap_or(LINES)),
        Some(_) => {
            let fault = ItemFault::new("limit", "行数は 1 から 200 までの数で指定してください");
            Err(Problem::invalid(vec![fault]))
        }
    }
}

/// Files of a `multipart/form-data` body: names and contents, in their order. Parts that are no file are ignored.
pub(crate) struct Files(pub(crate) Vec<(String, Vec<u8>)>);

impl<S: Sync> FromRequest<S> for Files {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        files(request, UPLOAD_LIMIT).await.map(Self)
    }
}

/// The files of a form a page sent, of at most so many bytes in all; `token` has to stand in its field `form_token`.
pub(crate) async fn files_of_page(
    request: Request,
    token: &str,
    limit: usize,
) -> Result<Option<Vec<(String, Vec<u8>)>>, Problem> {
    let Some(boundary) = boundary(request.headers()) else { return Err(malformed()) };
    let bytes = read(request.into_body(), limit, JSON_TIME).await?;
    // Nobody but a page of this log-in knows the token, wherever in the form it stands.
    let field = format!("name=\"form_token\"\r\n\r\n{token}\r\n");
    if !bytes.windows(field.len()).any(|part| part == field.as_bytes()) {
        return Ok(None);
    }
    let mut multipart = Multipart::new(&boundary);
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    // In pieces, as from a connection: what is left of one is moved at each step.
    for piece in bytes.chunks(PIECE) {
        keep(&mut files, multipart.push(piece)?)?;
    }
    if multipart.is_whole() { Ok(Some(files)) } else { Err(cut()) }
}

/// Puts what came next with the files there are, while they are not too many.
fn keep(files: &mut Vec<(String, Vec<u8>)>, events: Vec<Event>) -> Result<(), Problem> {
    for event in events {
        match (event, files.last_mut()) {
            (Event::File(name), _) => files.push((name, Vec::new())),
            (Event::Bytes(bytes), Some((_, file))) => file.extend(bytes),
            (Event::Bytes(_), None) => {}
        }
    }
    if files.is_empty() { Ok(()) } else { count_files(files.len()) }
}

/// The files of a form of at most so many bytes.
pub(crate) async fn files(request: Request, limit: usize) -> Result<Vec<(String, Vec<u8>)>, Problem> {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    let mut incoming = Incoming::of(request, limit)?;
    while let Some(events) = incoming.next().await? {
        keep(&mut files, events)?;
    }
    count_files(files.len())?;
    Ok(files)
}

/// Whether there is a sensible number of files.
pub(crate) fn count_files(files: usize) -> Result<(), Problem> {
    let fault = |text| Err(Problem::invalid(vec![ItemFault::new("files", text)]));
    match files {
        0 => fault("ファイルがありません。1つ以上のファイルを送ってください"),
        n if n > MOST_FILES => fault("ファイルが多すぎます。1,000個以内にしてください"),
        _ => Ok(()),
    }
}

/// Files as they arrive.
pub(crate) struct Incoming {
    body: Paced,
    multipart: Multipart,
}

impl Incoming {
    /// Of a request, which must be a form.
    pub(crate) fn of(request: Request, limit: usize) -> Result<Self, Problem> {
        let boundary = match media_type(request.headers()).as_deref() {
            Some("multipart/form-data") => boundary(request.headers()),
            _ => None,
        };
        let boundary = boundary.ok_or_else(|| unsupported("multipart/form-data"))?;
        Ok(Self { body: Paced::new(request.into_body(), limit, UPLOAD_TIME), multipart: Multipart::new(&boundary) })
    }

    /// What came next; `None` at the end of a whole form.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Event>>, Problem> {
        match self.body.next().await? {
            Some(bytes) => self.multipart.push(&bytes).map(Some),
            None if self.multipart.is_whole() => Ok(None),
            None => Err(malformed()),
        }
    }

    /// What stands in the field `form_token`, as far as it has come.
    pub(crate) fn form_token(&self) -> &[u8] {
        self.multipart.form_token()
    }
}

/// A body of one of these media types, with its type.
pub(crate) async fn document<'a>(request: Request, types: &[&'a str]) -> Result<(&'a str, Vec<u8>), Problem> {
    let given = media_type(request.headers()).unwrap_or_default();
    let Some(media) = types.iter().copied().find(|media| *media == given) else {
        return Err(unsupported(&types.join(" か ")));
    };
    Ok((media, read(request.into_body(), JSON_LIMIT, JSON_TIME).await?))
}

/// Collects faults of single items, so that all are told at once.
#[derive(Default)]
pub(crate) struct Faults(Vec<ItemFault>);

impl Faults {
    /// The value, or a fault of this item in the words of the error.
    pub(crate) fn take<T, E>(&mut self, item: &str, read: Result<T, E>, words: impl Fn(&E) -> String) -> Option<T> {
        read.map_err(|error| self.0.push(ItemFault::new(item, words(&error)))).ok()
    }

    /// A fault of an item.
    pub(crate) fn add(&mut self, item: &str, text: &str) {
        self.0.push(ItemFault::new(item, text));
    }

    /// What was collected.
    pub(crate) fn problem(self) -> Problem {
        Problem::invalid(self.0)
    }
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn unsupported(expected: &str) -> Problem {
    let detail = format!("Content-Type を {expected} にして、もう一度送ってください");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", "この形式では受け取れません", &detail)
}

async fn read(body: Body, limit: usize, time: Duration) -> Result<Vec<u8>, Problem> {
    let mut paced = Paced::new(body, limit, time);
    let mut bytes = Vec::new();
    while let Some(more) = paced.next().await? {
        bytes.extend_from_slice(&more);
    }
    Ok(bytes)
}

/// A body that must keep a pace and end in time.
struct Paced {
    body: Body,
    start: Instant,
    limit: usize,
    time: Duration,
    come: usize,
}

impl Paced {
    fn new(body: Body, limit: usize, time: Duration) -> Self {
        Self { body, start: Instant::now(), limit, time, come: 0 }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let paced = START_TIME + Duration::from_secs(self.come as u64 / LEAST_SPEED);
            let frame = match tokio::time::timeout_at(self.start + paced.min(self.time), self.body.frame()).await {
                Err(_) => return Err(slow()),
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => frame.map_err(|_| cut())?,
            };
            let Ok(data) = frame.into_data() else { continue };
            self.come += data.len();
            if self.come > self.limit {
                return Err(too_large(self.limit));
            }
            return Ok(Some(data));
        }
    }
}

fn slow() -> Problem {
    let detail = "通信の状態を確かめて、もう一度送ってください。何も行っていません";
    Problem::new(StatusCode::REQUEST_TIMEOUT, "slow", "送信に時間がかかりすぎました", detail)
}

fn cut() -> Problem {
    let detail = "途中で切れています。もう一度送ってください";
    Problem::new(StatusCode::BAD_REQUEST, "cut", "送られた内容を最後まで受け取れませんでした", detail)
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("{} MiB 以内に分けて、もう一度送ってください", limit >> 20);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "送られた内容が大きすぎます", &detail)
}

/// A 個人番号 in any text of a body, in names of items too, is refused before the body is used, and never repeated (P-026). So
/// are characters that no file could carry on.
/// What is secret is not kept, so it may look like anything.
fn refuse_what_is_not_kept(bytes: &[u8]) -> Result<(), Problem> {
    // What is no JSON at all is told by the parser of the body.
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return Ok(()) };
    let mut faults = Faults::default();
    look_for_what_is_not_kept(&value, "", &mut faults);
    // The body is kept as the original of what it says: of a name that stands twice it holds both values.
    if faults.0.is_empty()
        && !SECRET.iter().any(|name| value.get(*name).is_some())
        && json_holds_individual_number(bytes)
    {
        faults.add("body", INDIVIDUAL_NUMBER);
    }
    if faults.0.is_empty() { Ok(()) } else { Err(faults.problem()) }
}

const INDIVIDUAL_NUMBER: &str =
    "個人番号（マイナンバー）の可能性がある番号が入っています。取り除いて、もう一度送ってください";

/// Items that are secret or random, as the challenge and the signatures of a card's statement are: they may look like an individual
/// number and are none. Nothing of them is kept.
const SECRET: [&str; 5] = ["password", "old_password", "new_password", "refresh_token", "statement"];

const UNREADABLE_CHARACTER: &str =
    "外字か、目に見えない文字が入っています。常用の文字かひらがなに直して、もう一度送ってください";

fn look_for_what_is_not_kept(value: &Value, at: &str, faults: &mut Faults) {
    let fault = INDIVIDUAL_NUMBER;
    let own = if at.is_empty() { "body" } else { at };
    match value {
        Value::String(_) if SECRET.contains(&at) => {}
        Value::String(text) if holds_individual_number(text) => faults.add(own, fault),
        Value::String(text) if text.chars().any(|c| is_hidden(c) || is_private(c)) => {
            faults.add(own, UNREADABLE_CHARACTER);
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(i, item)| look_for_what_is_not_kept(item, &format!("{at}[{i}]"), faults));
        }
        Value::Object(items) => {
            for (name, item) in items {
                if holds_individual_number(name) {
                    faults.add(own, fault);
                    continue;
                }
                let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                look_for_what_is_not_kept(item, &at, faults);
            }
        }
        _ => {}
    }
}

fn json_problem(rejection: &JsonRejection, bytes: &[u8], shape: Option<&'static str>) -> Problem {
    let text = rejection.source().map(ToString::to_string).unwrap_or_default();
    match rejection {
        // The reader stops at the first fault; the description of the API knows the others.
        JsonRejection::JsonDataError(_) => {
            let mut faults = shape.map(|shape| schema::faults(shape, bytes)).unwrap_or_default();
            if faults.is_empty() {
                faults.push(item_fault(&text));
            }
            Problem::invalid(faults)
        }
        _ => {
            let place = text.rsplit_once(" at line ").map(|(_, place)| place.replace(" column ", "行 "));
            let place = place.map_or_else(String::new, |place| format!("（{place}文字目の近く）"));
            let detail = format!("JSON の書き方を確かめてください{place}。文字コードは UTF-8 です");
            Problem::new(StatusCode::BAD_REQUEST, "bad_json", "JSON として読めません", &detail)
        }
    }
}

/// An item and what is wrong with it, from `path: message` of the deserializer. The value itself is not repeated.
fn item_fault(text: &str) -> ItemFault {
    let (path, message) = text.split_once(": ").unwrap_or(("", text));
    let (path, message) = if path.contains(' ') { ("", text) } else { (path, message) };
    let named = message.split('`').nth(1).unwrap_or_default();
    let child = match path {
        "" | "." => named.to_owned(),
        path => format!("{path}.{named}"),
    };
    let own = if matches!(path, "" | ".") { named.to_owned() } else { path.to_owned() };
    let (item, words) = match message {
        m if m.starts_with("missing field") => (child, "必須の項目です。入力してください"),
        m if m.starts_with("unknown field") => (own, "この名前の項目はありません。項目名を確かめてください"),
        m if m.starts_with("duplicate field") => (own, "同じ項目が2つあります。1つにしてください"),
        m if m.starts_with("invalid type") => (own, "値の型が違います。文字・数・真偽の別を確かめてください"),
        m if m.starts_with("unknown variant") => (own, "使えない値です。決められた値のどれかにしてください"),
        _ => (own, "値が正しくありません。桁数や日付などの書き方を確かめてください"),
    };
    ItemFault::new(if item.is_empty() { "body".to_owned() } else { item }, words)
}

fn boundary(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let parameter = value.split(';').skip(1).map(str::trim).find_map(|p| p.strip_prefix("boundary="))?;
    let boundary = parameter.trim_matches('"');
    (1..=70).contains(&boundary.len()).then(|| boundary.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::task::Poll;
    use tokio::time::{Sleep, sleep};

    #[test]
    fn a_fault_names_its_item_and_never_repeats_the_value() {
        let fault = |text: &str| item_fault(text).item;
        assert_eq!(fault("missing field `kana` at line 1 column 2"), "kana");
        assert_eq!(fault("basics: missing field `age` at line 1 column 2"), "basics.age");
        assert_eq!(fault("sex: unknown variant `f`, expected `male` or `female` at line 1 column 9"), "sex");
        assert_eq!(fault("birth: invalid type: integer `5`, expected a string"), "birth");
        assert!(!item_fault("kana: invalid value: string \"カクウ\"").message.contains("カクウ"));
    }

    /// A body of which nothing ever comes.
    struct Silent;

    impl axum::body::HttpBody for Silent {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let problem = read(Body::new(Silent), JSON_LIMIT, JSON_TIME).await.unwrap_err();
        assert_eq!((problem.status, problem.code), (StatusCode::REQUEST_TIMEOUT, "slow"));
    }

    /// One byte each second.
    struct Trickle(Pin<Box<Sleep>>);

    impl axum::body::HttpBody for Trickle {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            std::task::ready!(self.0.as_mut().poll(context));
            self.0 = Box::pin(sleep(Duration::from_secs(1)));
            Poll::Ready(Some(Ok(hyper::body::Frame::data(Bytes::from_static(b"x")))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_that_trickles_in_is_given_up_after_ten_seconds_not_half_an_hour() {
        let start = Instant::now();
        let problem = read(Body::new(Trickle(Box::pin(sleep(Duration::ZERO)))), UPLOAD_LIMIT, UPLOAD_TIME).await;
        assert_eq!(problem.unwrap_err().code, "slow");
        assert!(start.elapsed() < Duration::from_secs(12));
    }
}
