//! Where the program's own words go: standard error, as text or, with `KIBAN_LOG=json`, one JSON object a line for whoever
//! collects them. Neither holds anything of a person: what may stand in a log is decided where it is written (English words,
//! request ids, names of routes and tables), and the tests search both.

use serde_json::{Map, Value};
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Environment variable that asks for JSON.
const FORM: &str = "KIBAN_LOG";

/// Whether JSON is asked for.
fn wants_json() -> bool {
    std::env::var(FORM).is_ok_and(|form| form == "json")
}

/// Begins to log; warnings and errors unless `RUST_LOG` says otherwise.
pub fn begin() {
    // A panic's text may quote a value; its place is enough.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line())).unwrap_or_default();
        if wants_json() {
            tracing::error!(place, "panic");
        } else {
            eprintln!("panic at {place}");
        }
    }));
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    let text = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if wants_json() {
        text.event_format(Json).init();
    } else {
        text.init();
    }
}

/// One object a line: `at`, `level`, `target`, `message` and the fields of the event.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Line(Map::new());
        event.record(&mut line);
        line.0.insert("at".to_owned(), crate::home::now().to_string().into());
        line.0.insert("level".to_owned(), event.metadata().level().as_str().to_ascii_lowercase().into());
        line.0.insert("target".to_owned(), event.metadata().target().into());
        writeln!(writer, "{}", Value::Object(line.0))
    }
}

struct Line(Map<String, Value>);

impl Visit for Line {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
}
