//! Small XML of somebody else, read as hostile: UTF-8 only, no DTD, no entities of its own, a limit on everything. What comes
//! out are the elements that hold text, each with its path and line.

use crate::Problem;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

/// Longest file, bytes.
pub(crate) const LONGEST: usize = 64 << 10;
/// Deepest element.
const DEEPEST: usize = 12;
/// Most elements with text.
const MOST: usize = 500;

/// An element that holds text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// Names from the root, `/` between them.
    pub path: String,
    /// Line on which it begins, 1-based.
    pub line: u64,
    /// Its text, trimmed.
    pub text: String,
}

/// The elements of a file that hold text, in their order. A file that ends before its root does has the rule `cut`.
pub(crate) fn leaves(file: &str, bytes: &[u8]) -> Result<Vec<Leaf>, Box<Problem>> {
    let of_file = |rule, line, text: &str| Box::new(Problem::of_file(file, rule, text).at_line(line));
    if bytes.len() > LONGEST {
        return Err(of_file("too_large", 0, "大きすぎます。64 KiB までのファイルだけを読みます"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = line_at(bytes, error.valid_up_to());
        match error.error_len() {
            None => cut(file, line),
            Some(_) => of_file("encoding", line, "文字コードが UTF-8 ではありません"),
        }
    })?;
    let text = text.trim_start_matches('\u{feff}');
    let mut tree = Tree { file, bytes: text.as_bytes(), open: Vec::new(), leaves: Vec::new(), has_root: false };
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    loop {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        match reader.read_event() {
            Ok(Event::Eof) => return tree.end(),
            Ok(event) => tree.take(&event, at)?,
            Err(quick_xml::Error::Syntax(_)) => return Err(cut(file, line_at(tree.bytes, at))),
            Err(_) => {
                let text = "XML として読めません。開始タグと終了タグを確かめてください";
                return Err(of_file("xml", line_at(tree.bytes, at), text));
            }
        }
    }
}

fn cut(file: &str, line: u64) -> Box<Problem> {
    Box::new(Problem::of_file(file, "cut", "途中で終わっています。書き終わったファイルを置いてください").at_line(line))
}

fn line_at(bytes: &[u8], at: usize) -> u64 {
    bytes.iter().take(at).filter(|byte| **byte == b'\n').count() as u64 + 1
}

/// An element whose end has not come.
struct Open {
    name: String,
    line: u64,
    text: String,
    has_children: bool,
}

struct Tree<'a> {
    file: &'a str,
    bytes: &'a [u8],
    open: Vec<Open>,
    leaves: Vec<Leaf>,
    has_root: bool,
}

impl Tree<'_> {
    fn take(&mut self, event: &Event<'_>, at: usize) -> Result<(), Box<Problem>> {
        match event {
            Event::Start(start) => {
                if self.open.len() >= DEEPEST || self.leaves.len() >= MOST {
                    return Err(self.fault(at, "too_many", "要素が多すぎるか、深すぎます"));
                }
                if self.open.is_empty() && self.has_root {
                    return Err(self.fault(at, "xml", "いちばん外の要素が2つあります"));
                }
                self.has_root = true;
                if let Some(parent) = self.open.last_mut() {
                    parent.has_children = true;
                }
                let name = start.name().0.to_owned();
                let line = line_at(self.bytes, at);
                self.open.push(Open { name, line, text: String::new(), has_children: false });
            }
            Event::End(_) => self.close(),
            Event::Text(text) => self.add(&text.xml10_content(), at)?,
            Event::CData(text) => self.add(&text.xml10_content(), at)?,
            Event::GeneralRef(reference) => {
                let sign = self.sign_of(reference, at)?;
                self.add(sign.encode_utf8(&mut [0; 4]), at)?;
            }
            Event::Decl(declared) => {
                let encoding = declared.encoding().and_then(Result::ok);
                if encoding.is_some_and(|name| !name.eq_ignore_ascii_case("utf-8")) {
                    return Err(self.fault(at, "encoding", "文字コードは UTF-8 だけです"));
                }
            }
            Event::DocType(_) | Event::PI(_) => {
                return Err(self.fault(at, "doctype", "DOCTYPE と処理命令のあるファイルは読みません"));
            }
            Event::Comment(_) | Event::Empty(_) | Event::Eof => {}
        }
        Ok(())
    }

    /// Only the five every XML has and characters by number: an entity of the file's own could be anything, of any size.
    fn sign_of(&self, reference: &BytesRef<'_>, at: usize) -> Result<char, Box<Problem>> {
        let named = match reference.xml10_content().as_ref() {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => None,
        };
        let numbered = || reference.resolve_char_ref().ok().flatten();
        named.or_else(numbered).ok_or_else(|| self.fault(at, "entity", "使えない実体参照があります"))
    }

    fn add(&mut self, text: &str, at: usize) -> Result<(), Box<Problem>> {
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err(self.fault(at, "control", "制御文字が入っています"));
        }
        match self.open.last_mut() {
            Some(open) => open.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err(self.fault(at, "xml", "いちばん外の要素の外に文字があります")),
        }
        Ok(())
    }

    fn close(&mut self) {
        let path = self.open.iter().map(|open| open.name.as_str()).collect::<Vec<_>>().join("/");
        let Some(closed) = self.open.pop() else { return };
        if !closed.has_children {
            self.leaves.push(Leaf { path, line: closed.line, text: closed.text.trim().to_owned() });
        }
    }

    fn end(self) -> Result<Vec<Leaf>, Box<Problem>> {
        if self.open.is_empty() && self.has_root {
            return Ok(self.leaves);
        }
        Err(cut(self.file, line_at(self.bytes, self.bytes.len())))
    }

    fn fault(&self, at: usize, rule: &'static str, text: &str) -> Box<Problem> {
        Box::new(Problem::of_file(self.file, rule, text).at_line(line_at(self.bytes, at)))
    }
}

/// Text as the content of an element.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
