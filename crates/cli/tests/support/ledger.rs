//! The client ledger: one file per client, each line synced to the disk — what is about to be asked before it is sent, what
//! was answered when it has come. The only evidence the checker accepts.

use super::terminal::Answer;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// What a request is meant to do; says what must be found afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum What {
    /// A read covered by one entry.
    Read,
    /// A page: one entry per kind and one for the identity.
    ReadPage,
    /// 原本: a document as it was sent
    ReadOriginal,
    /// 本人確認と担当事業所登録
    Register,
    /// The registration's end.
    EndRegistration,
    /// 同意・撤回
    Consent,
    /// 主治医意見書 or 届出
    Submit,
    /// 差戻し by the city
    Return,
    /// 取得 by the city
    Fetch,
    /// 受理 by the city
    Accept,
    /// A municipal package
    Import,
    /// Care plans of two people
    Plans,
    /// 災害時モードの提案
    Propose,
    /// その承認 by the second operator
    Approve,
    /// その終了
    Close,
    /// 災害時の検索: a read that leaves a row for each person found
    Search,
    /// 職員ごとの閲覧の停止・再開
    Switch,
}

impl What {
    /// Everything that writes.
    pub const WRITES: [Self; 13] = [
        Self::Register,
        Self::EndRegistration,
        Self::Consent,
        Self::Submit,
        Self::Return,
        Self::Fetch,
        Self::Accept,
        Self::Import,
        Self::Plans,
        Self::Propose,
        Self::Approve,
        Self::Close,
        Self::Switch,
    ];

    pub fn is_write(self) -> bool {
        !matches!(self, Self::Read | Self::ReadPage | Self::ReadOriginal | Self::Search)
    }

    /// Writes that are known again by their `Idempotency-Key`; files are by their bytes.
    pub fn takes_key(self) -> bool {
        self.is_write() && !matches!(self, Self::Import | Self::Plans)
    }
}

/// Before the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub n: u64,
    pub caller: String,
    pub what: What,
    pub path: String,
    /// 被保険者番号, or the receipt it is about.
    pub about: String,
    /// `Idempotency-Key`
    pub key: Option<String>,
    /// SHA-256 of the body that was sent.
    pub sent: String,
}

/// After the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    pub n: u64,
    pub status: u16,
    pub request_id: String,
    /// SHA-256 of the body.
    pub digest: String,
    /// 受付番号, or the number of a disaster mode, and state, if the answer has them.
    pub receipt: Option<String>,
    pub state: Option<String>,
    /// Stable code of a problem document.
    pub code: Option<String>,
    pub is_problem: bool,
    /// Kinds shown on a page.
    pub kinds: Option<usize>,
    /// People of a list.
    pub listed: Option<usize>,
}

#[derive(Serialize, Deserialize)]
enum Line {
    Asked(Asked),
    Answered(Answered),
}

/// A request with its answer; without one its outcome is unknown.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub asked: Asked,
    pub answered: Option<Answered>,
}

/// Counts the lines of all ledgers of a run, so that somebody can act after the k-th.
#[derive(Clone)]
pub struct Lines(Arc<watch::Sender<u64>>);

impl Default for Lines {
    fn default() -> Self {
        Self(Arc::new(watch::channel(0).0))
    }
}

impl Lines {
    /// Waits for `more` further lines.
    pub async fn wait_for(&self, more: u64) {
        let mut lines = self.0.subscribe();
        let until = *lines.borrow() + more;
        let _ = lines.wait_for(|count| *count >= until).await;
    }
}

/// The ledger of one client.
pub struct Ledger {
    file: File,
    caller: String,
    next: u64,
    lines: Lines,
}

impl Ledger {
    pub fn create(folder: &Path, caller: &str, lines: &Lines) -> Self {
        let file = File::create(folder.join(format!("{caller}.jsonl"))).unwrap();
        Self { file, caller: caller.to_owned(), next: 0, lines: lines.clone() }
    }

    /// On the disk before the request leaves.
    pub fn asked(&mut self, what: What, path: &str, about: &str, key: Option<&str>, sent: &[u8]) -> u64 {
        let n = self.next;
        self.next += 1;
        let (path, about, key, sent) = (path.to_owned(), about.to_owned(), key.map(str::to_owned), sha256(sent));
        self.write(&Line::Asked(Asked { n, caller: self.caller.clone(), what, path, about, key, sent }));
        n
    }

    /// A key for the next thing that is asked, which nobody has used.
    pub fn new_key(&self) -> String {
        format!("{}-{}", self.caller, self.next)
    }

    /// On the disk before the client does anything with the answer.
    pub fn answered(&mut self, n: u64, answer: &Answer) {
        let digest = sha256(&answer.bytes);
        let body = answer.json();
        let text = |key: &str| body[key].as_str().map(str::to_owned);
        self.write(&Line::Answered(Answered {
            n,
            status: answer.status,
            request_id: answer.request_id.clone(),
            digest,
            receipt: text("receipt").or_else(|| text("id")),
            state: text("state"),
            code: text("code"),
            is_problem: answer.is_problem,
            kinds: body["kinds"].as_array().map(Vec::len),
            listed: body["people"].as_array().map(Vec::len),
        }));
    }

    fn write(&mut self, line: &Line) {
        let mut text = serde_json::to_string(line).unwrap();
        text.push('\n');
        self.file.write_all(text.as_bytes()).unwrap();
        self.file.sync_data().unwrap();
        self.lines.0.send_modify(|count| *count += 1);
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All ledgers of a folder, read from the disk, each in its order.
pub fn read_all(folder: &Path) -> Vec<Exchange> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().flat_map(|path| read(path)).collect()
}

fn read(path: &Path) -> Vec<Exchange> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        match serde_json::from_str(line).unwrap() {
            Line::Asked(asked) => exchanges.push(Exchange { asked, answered: None }),
            Line::Answered(answered) => {
                let exchange = exchanges.iter_mut().rev().find(|e| e.asked.n == answered.n).unwrap();
                exchange.answered = Some(answered);
            }
        }
    }
    exchanges
}
