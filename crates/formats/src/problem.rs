//! What is wrong with a file, where, and what to do: located, collected, for the sender (docs/files.md).

use crate::text;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write;

/// Whether the file can be taken in spite of the problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The row, or the unit it belongs to, is not taken.
    Error,
    /// It is taken; somebody should look.
    Warning,
}

/// One problem of one file. Holds quoted values: for the sender only, never for a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// Name of the file, control characters escaped.
    pub file: String,
    /// Physical line (1-based) on which the row begins; 0 when the problem is of the whole file.
    pub line: u64,
    /// Column (1-based, the item number of the layout); 0 when the problem is of the whole row.
    pub column: u32,
    /// 項目名; empty when none.
    pub item: String,
    /// What was found, safe to show: controls escaped, cut to 40 characters, never a 個人番号.
    pub found: String,
    /// What is expected and what to do, a Japanese sentence.
    pub expected: String,
    /// Stable code of the rule, such as `required` or `check_digit`.
    pub rule: Cow<'static, str>,
}

impl Problem {
    /// A problem of a whole file.
    pub fn of_file(file: &str, rule: &'static str, expected: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: text::show(file, 120),
            line: 0,
            column: 0,
            item: String::new(),
            found: String::new(),
            expected: expected.into(),
            rule: Cow::Borrowed(rule),
        }
    }

    /// The same on a line.
    #[must_use]
    pub fn at_line(mut self, line: u64) -> Self {
        self.line = line;
        self
    }

    /// The same in a column.
    #[must_use]
    pub fn at_item(mut self, column: u32, item: &str) -> Self {
        self.column = column;
        self.item = item.to_owned();
        self
    }

    /// The same quoting what was found. The value is made safe here; there is no other way in.
    #[must_use]
    pub fn found(mut self, value: &str) -> Self {
        self.found = text::show(value, 40);
        self
    }

    /// The same as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The same as an error.
    #[must_use]
    pub fn error(mut self) -> Self {
        self.severity = Severity::Error;
        self
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Whether the file may hold a 個人番号, so that its bytes must not be kept (P-026, P-039).
    pub fn forbids_keeping(&self) -> bool {
        self.rule == INDIVIDUAL_NUMBER
    }

    /// One Japanese sentence: file, line, column, item, what was found, what to do.
    pub fn message_ja(&self) -> String {
        let mut out = self.file.clone();
        if self.line > 0 {
            let _ = write!(out, " {}行目", self.line);
        }
        if self.column > 0 {
            let _ = write!(out, " {}列", self.column);
        }
        if !self.item.is_empty() {
            let _ = write!(out, "「{}」", self.item);
        }
        out.push_str(": ");
        if self.rule == "required" {
            out.push_str("空です。");
        } else if !self.found.is_empty() {
            let _ = write!(out, "「{}」となっています。", self.found);
        }
        out.push_str(&self.expected);
        out
    }
}

/// Rule of a possible 個人番号.
pub(crate) const INDIVIDUAL_NUMBER: &str = "individual_number";

/// The problem of an upload with more people than one may have: all of them lie in one transaction.
pub fn too_many_people(people: usize, most: usize) -> Option<Problem> {
    let text = format!("1回に送れるのは{most}人までです（{people}人でした）。分けて送ってください");
    (people > most).then(|| Problem::of_file("", "too_many_people", text))
}

/// Problems of one file, at most [`Problems::LIMIT`] of them in full; the rest is counted. Of every rule the first one is
/// always kept, so that nobody misses a 個人番号 or a row of another insurer behind a thousand smaller faults.
#[derive(Debug)]
pub struct Problems {
    file: String,
    list: Vec<Problem>,
    rules: HashSet<Cow<'static, str>>,
    limit: usize,
    dropped: u64,
    errors: u64,
}

impl Problems {
    /// Problems kept in full for one file.
    pub const LIMIT: usize = 1_000;

    /// An empty list for this file.
    pub fn new(file: &str) -> Self {
        Self::at_most(file, Self::LIMIT)
    }

    /// The same with another limit: the files of a package share one.
    pub fn at_most(file: &str, limit: usize) -> Self {
        let (list, rules) = (Vec::new(), HashSet::new());
        Self { file: file.to_owned(), list, rules, limit, dropped: 0, errors: 0 }
    }

    /// Name of the file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.errors += u64::from(problem.is_error());
        if self.list.len() < self.limit || !self.rules.contains(&problem.rule) {
            self.rules.insert(problem.rule.clone());
            self.list.push(problem);
        } else {
            self.dropped += 1;
        }
    }

    /// Takes over what another list of the same file holds.
    pub(crate) fn append(&mut self, other: Self) {
        self.dropped += other.dropped;
        self.errors += other.errors - other.list.iter().filter(|problem| problem.is_error()).count() as u64;
        other.list.into_iter().for_each(|problem| self.push(problem));
    }

    /// Whether a problem of this rule was told.
    pub(crate) fn has(&self, rule: &str) -> bool {
        self.rules.contains(rule)
    }

    /// Number of errors so far, those counted only included.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// How many are kept so far; for [`Problems::forget_row`].
    pub(crate) fn kept(&self) -> usize {
        self.list.len()
    }

    /// Takes back what was told of the items of a row after the first `kept`: a row of another insurer is not quoted.
    pub(crate) fn forget_row(&mut self, kept: usize, line: u64) {
        let tail = self.list.split_off(kept.min(self.list.len()));
        for problem in tail {
            if problem.line == line && problem.column > 0 && !problem.forbids_keeping() {
                self.errors -= u64::from(problem.is_error());
            } else {
                self.list.push(problem);
            }
        }
    }

    /// The list, in the order of the file, with a last entry for what was only counted.
    pub fn finish(mut self) -> Vec<Problem> {
        self.list.sort_by_key(|problem| problem.line);
        if self.dropped > 0 {
            let rest =
                format!("ほか {} 件の問題があります。上の問題を直してから、もう一度確認してください", self.dropped);
            let last = Problem::of_file(&self.file, "more", rest);
            self.list.push(if self.errors > 0 { last } else { last.warning() });
        }
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_where_what_and_what_to_do() {
        let problem = Problem::of_file("UP1KYO_x.CSV", "required", "8桁の日付(YYYYMMDD)を入れてください")
            .at_line(3)
            .at_item(14, "居宅サービス計画作成（変更）日");
        assert_eq!(
            problem.message_ja(),
            "UP1KYO_x.CSV 3行目 14列「居宅サービス計画作成（変更）日」: 空です。8桁の日付(YYYYMMDD)を入れてください"
        );
    }

    #[test]
    fn a_quoted_value_is_harmless_on_a_terminal_and_never_a_my_number() {
        let problem = Problem::of_file("a\u{1b}[2J\u{202e}.csv", "code", "直してください").found("x\u{1b}[31m\0");
        assert_eq!(problem.file, "a\\u{1b}[2J\\u{202e}.csv");
        assert_eq!(problem.found, "x\\u{1b}[31m\\u{0}");
        for number in ["123456789018", "氏名 1234-5678-9018 様", "１２３４５６７８９０１８"] {
            let problem = Problem::of_file("a", "code", "").found(number);
            assert!(!problem.message_ja().contains("5678") && !problem.message_ja().contains("５６７８"), "{number}");
        }
    }

    #[test]
    fn a_million_problems_are_counted_not_kept() {
        let mut problems = Problems::new("a.csv");
        for line in 1..=3_000 {
            problems.push(Problem::of_file("a.csv", "columns", "").at_line(line));
        }
        let list = problems.finish();
        assert_eq!(list.len(), Problems::LIMIT + 1);
        assert!(list[Problems::LIMIT].message_ja().contains("ほか 2000 件"));
    }

    #[test]
    fn the_first_problem_of_a_rule_is_never_only_counted() {
        let mut problems = Problems::new("a.csv");
        for line in 1..=3_000 {
            let rule = if line == 2_500 { INDIVIDUAL_NUMBER } else { "columns" };
            problems.push(Problem::of_file("a.csv", rule, "").at_line(line));
        }
        assert!(problems.finish().iter().any(Problem::forbids_keeping));
    }
}
