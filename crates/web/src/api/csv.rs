//! CSV answers. Those that people open in a spreadsheet: UTF-8 with a byte order mark, cells that could be a formula as
//! text. Those that programs read: the values as they are (T-20).

use axum::http::header;
use axum::response::{IntoResponse, Response};
use kiban_service::csv_cell as cell;

/// A file of this name; the first line is the header.
pub(crate) fn file(name: &str, body: String) -> Response {
    let name = format!("attachment; filename=\"{name}\"");
    let headers = [(header::CONTENT_TYPE, "text/csv; charset=utf-8"), (header::CONTENT_DISPOSITION, name.as_str())];
    (headers, body).into_response()
}

/// The beginning of a file with its header.
pub(crate) fn begin(header: &str) -> String {
    format!("\u{feff}{header}\r\n")
}

/// One line for programs: cells are exactly the values, quoted only where RFC 4180 asks for it.
pub(crate) fn exact_line(cells: impl IntoIterator<Item = String>) -> String {
    let quoted = |text: String| {
        if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    };
    cells.into_iter().map(quoted).collect::<Vec<_>>().join(",") + "\r\n"
}

/// One line.
pub(crate) fn line<T: AsRef<str>>(cells: impl IntoIterator<Item = T>) -> String {
    let cells: Vec<String> = cells.into_iter().map(|text| cell(text.as_ref())).collect();
    cells.join(",") + "\r\n"
}
