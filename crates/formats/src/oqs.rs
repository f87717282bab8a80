//! オンライン資格確認 at a terminal: the request and the answer that the 連携アプリ exchanges through two folders (P-172).
//! **Unofficial**: the form for 介護保険 is not public; what stands where is data (`layouts/oqs-unofficial.tsv`) and can be
//! replaced without a program.

use crate::Problem;
use crate::text::holds_individual_number;
use crate::xml::{self, Leaf};
use kiban_domain::insured::Sex;
use kiban_domain::{Date, InsuredNumber, InsurerNumber, dates};

/// The mapping that comes with the program.
pub const BUILT_IN: &str = include_str!("../layouts/oqs-unofficial.tsv");
/// Longest answer that is read, bytes.
pub const LONGEST_ANSWER: usize = xml::LONGEST;
/// Longest name in kana.
const LONGEST_KANA: usize = 100;

/// What stands where in request and answer.
#[derive(Debug, Clone)]
pub struct Mapping {
    request: Vec<Line>,
    answer: Vec<Line>,
}

#[derive(Debug, Clone)]
struct Line {
    means: String,
    path: String,
    form: String,
}

/// What identifies a request, in the request and in its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Day of the confirmation.
    pub day: Date,
    /// 医療機関コード or 事業所番号 of the terminal, 10 digits.
    pub institution: String,
    /// 任意のファイル識別子: letters, chosen anew for each request.
    pub identifier: String,
}

/// Whose card it was, as the answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// 証記載保険者番号
    pub insurer: InsurerNumber,
    /// 被保険者番号
    pub insured: InsuredNumber,
    /// カナ氏名
    pub kana: String,
    /// 生年月日
    pub birth: Date,
    /// 性別
    pub sex: Sex,
}

/// Uses of a request and of an answer, each of which a mapping must name once (`constant` any number of times).
const REQUEST: [&str; 3] = ["day", "institution", "identifier"];
const ANSWER: [&str; 8] = ["institution", "identifier", "state", "insurer", "insured", "kana", "birth", "sex"];

impl Mapping {
    /// The mapping in a text: four columns with tabs between them after a head; `#` begins a comment.
    pub fn parse(file: &str, text: &str) -> Result<Self, Box<Problem>> {
        let (mut request, mut answer) = (Vec::new(), Vec::new());
        let lines = text.lines().zip(1u64..).filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
        for (line, number) in lines.skip(1) {
            let fault = |text: &str| Box::new(Problem::of_file(file, "mapping", text).at_line(number).found(line));
            let columns: Vec<&str> = line.split('\t').collect();
            let [message, means, path, form] = columns[..] else {
                return Err(fault("4つの欄（message、use、path、form）をタブで区切ってください"));
            };
            let (list, uses) = match message {
                "request" => (&mut request, &REQUEST[..]),
                "answer" => (&mut answer, &ANSWER[..]),
                _ => return Err(fault("message は request か answer です")),
            };
            let is_known = uses.contains(&means) || (message == "request" && means == "constant");
            if !is_known || !is_path(path) {
                return Err(fault("use か path が正しくありません"));
            }
            list.push(Line { means: means.to_owned(), path: path.to_owned(), form: form.to_owned() });
        }
        for (list, uses) in [(&request, &REQUEST[..]), (&answer, &ANSWER[..])] {
            if let Some(missing) = uses.iter().find(|name| list.iter().filter(|line| line.means == **name).count() != 1)
            {
                let text = format!("use の {missing} の行が、ちょうど1つ要ります");
                return Err(Box::new(Problem::of_file(file, "mapping", text)));
            }
        }
        Ok(Self { request, answer })
    }

    /// The request file: UTF-8, elements in the order of the mapping.
    pub fn request(&self, ask: &Ask) -> String {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\n");
        let mut open: Vec<&str> = Vec::new();
        for line in &self.request {
            let names: Vec<&str> = line.path.split('/').collect();
            let Some((leaf, parents)) = names.split_last() else { continue };
            let same = open.iter().zip(parents).take_while(|(a, b)| a == b).count();
            close(&mut out, &mut open, same);
            for name in &parents[same..] {
                out += &format!("{}<{name}>\n", "  ".repeat(open.len()));
                open.push(name);
            }
            let value = match line.means.as_str() {
                "day" => dates::yyyymmdd(ask.day),
                "institution" => ask.institution.clone(),
                "identifier" => ask.identifier.clone(),
                _ => line.form.clone(),
            };
            out += &format!("{}<{leaf}>{}</{leaf}>\n", "  ".repeat(open.len()), xml::escape(&value));
        }
        close(&mut out, &mut open, 0);
        out
    }

    /// Whose card it was. Everything that is wrong with the answer is told; a file that is still being written has the rule
    /// `cut`. No value of the person is repeated.
    pub fn answer(&self, file: &str, bytes: &[u8], ask: &Ask) -> Result<Reading, Vec<Problem>> {
        let leaves = xml::leaves(file, bytes).map_err(|problem| vec![*problem])?;
        let mut answer = Answer { mapping: self, file, leaves: &leaves, problems: Vec::new() };
        answer.refuse_individual_numbers();
        answer.is("identifier", &ask.identifier, "別の要求への答えです。カードをもう一度読み取ってください");
        answer.is("institution", &ask.institution, "別の機関への答えです。設定の機関の番号を確かめてください");
        answer.state();
        let insurer = answer.number("insurer").and_then(|(leaf, text)| {
            answer.read(leaf, "保険者番号", InsurerNumber::parse(&text), |error| error.message_ja())
        });
        let insured = answer.number("insured").and_then(|(leaf, text)| {
            answer.read(leaf, "被保険者番号", InsuredNumber::parse(&text), |error| error.message_ja())
        });
        let birth = answer.leaf("birth").and_then(|leaf| {
            answer.read(leaf, "生年月日", dates::parse_yyyymmdd(&leaf.text), |error| error.message_ja())
        });
        let sex = answer.leaf("sex").and_then(|leaf| {
            let read = Sex::from_code(&leaf.text).ok_or(());
            answer.read(leaf, "性別", read, |()| "1（男）か 2（女）にしてください".to_owned())
        });
        let kana = answer.leaf("kana").and_then(|leaf| {
            let fits =
                (1..=LONGEST_KANA).contains(&leaf.text.chars().count()) && !leaf.text.contains(['\t', '\n', '\r']);
            let read = fits.then(|| leaf.text.clone()).ok_or(());
            answer.read(leaf, "カナ氏名", read, |()| "1〜100文字の1行にしてください".to_owned())
        });
        match (insurer, insured, kana, birth, sex) {
            (Some(insurer), Some(insured), Some(kana), Some(birth), Some(sex)) if answer.problems.is_empty() => {
                Ok(Reading { insurer, insured, kana, birth, sex })
            }
            _ => Err(answer.problems),
        }
    }
}

impl Reading {
    /// The five items of a statement: 証記載保険者番号, 被保険者番号, カナ氏名, 生年月日 (`YYYYMMDD`), 性別コード.
    pub fn items(&self) -> [String; 5] {
        let birth = dates::yyyymmdd(self.birth);
        let (insurer, insured) = (self.insurer.to_string(), self.insured.to_string());
        [insurer, insured, self.kana.clone(), birth, self.sex.code().to_owned()]
    }
}

/// An answer that is being read.
struct Answer<'a> {
    mapping: &'a Mapping,
    file: &'a str,
    leaves: &'a [Leaf],
    problems: Vec<Problem>,
}

impl<'a> Answer<'a> {
    fn line(&self, means: &str) -> Option<&'a Line> {
        self.mapping.answer.iter().find(|line| line.means == means)
    }

    /// The one element of a use; none and several are told.
    fn leaf(&mut self, means: &str) -> Option<&'a Leaf> {
        let line = self.line(means)?;
        let mut found = self.leaves.iter().filter(|leaf| leaf.path == line.path);
        let (first, second) = (found.next(), found.next());
        match (first, second) {
            (Some(leaf), None) => return Some(leaf),
            (None, _) => self.tell(0, &line.path, "required", "この要素がありません"),
            (_, Some(second)) => {
                self.tell(second.line, &line.path, "twice", "同じ要素が2つあります。1人分にしてください")
            }
        }
        None
    }

    /// An element that holds a number, without the zeros before it where the mapping says so.
    fn number(&mut self, means: &str) -> Option<(&'a Leaf, String)> {
        let leaf = self.leaf(means)?;
        let is_padded = self.line(means).is_some_and(|line| line.form == "pad8");
        let number = leaf.text.strip_prefix("00").filter(|rest| is_padded && rest.len() == 6).unwrap_or(&leaf.text);
        Some((leaf, number.to_owned()))
    }

    fn read<T, E>(&mut self, leaf: &Leaf, name: &str, read: Result<T, E>, words: impl Fn(E) -> String) -> Option<T> {
        read.map_err(|error| self.tell(leaf.line, name, "value", &words(error))).ok()
    }

    fn is(&mut self, means: &str, expected: &str, text: &str) {
        if let Some(leaf) = self.leaf(means).filter(|leaf| leaf.text != expected) {
            self.tell(leaf.line, &leaf.path, "other", text);
        }
    }

    fn state(&mut self) {
        let good = self.line("state").map(|line| line.form.clone()).unwrap_or_default();
        if let Some(leaf) = self.leaf("state").filter(|leaf| leaf.text != good) {
            let text = "資格を確認できませんでした。被保険者証で登録してください";
            self.problems.push(self.problem(leaf.line, &leaf.path, "state", text).found(&leaf.text));
        }
    }

    fn refuse_individual_numbers(&mut self) {
        for leaf in self.leaves.iter().filter(|leaf| holds_individual_number(&leaf.text)) {
            let text = "個人番号（マイナンバー）の可能性がある番号が入っています。取り除いてください";
            self.tell(leaf.line, &leaf.path, "individual_number", text);
        }
    }

    fn tell(&mut self, line: u64, item: &str, rule: &'static str, text: &str) {
        self.problems.push(self.problem(line, item, rule, text));
    }

    fn problem(&self, line: u64, item: &str, rule: &'static str, text: &str) -> Problem {
        Problem::of_file(self.file, rule, text).at_line(line).at_item(0, item)
    }
}

fn is_path(path: &str) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    path.split('/').count() > 1 && path.split('/').all(is_name)
}

fn close(out: &mut String, open: &mut Vec<&str>, keep: usize) {
    while open.len() > keep {
        let Some(name) = open.pop() else { break };
        *out += &format!("{}</{name}>\n", "  ".repeat(open.len()));
    }
}
