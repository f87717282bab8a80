//! 結果ファイル: what became of a file, as people open it in a spreadsheet (P-161, T-20).

use crate::{Difference, DryRun, IntakeResult, MissingRow, ReportedProblem, SampleRow};
use kiban_domain::Date;
use kiban_formats::text::FORMULA_STARTS;

impl IntakeResult {
    /// UTF-8 with a byte order mark, so that spreadsheets know it; the first line is the result, then one line per kind, per insurer
    /// and per problem.
    pub fn csv(&self) -> String {
        csv(self)
    }
}

fn csv(result: &IntakeResult) -> String {
    let counts = &result.report.counts;
    let state = match result.state {
        "applied" => "取り込みました",
        "refused" => "取り込めませんでした",
        "failed" => "処理できず、取り分けました",
        _ => "処理中です",
    };
    let summary = format!(
        "受付番号 {} {state}。{}全 {} 件、反映 {} 件、変更なし {} 件、不採用 {} 件",
        result.receipt,
        as_of(result.base_date),
        counts.read,
        counts.applied,
        counts.unchanged,
        counts.refused
    );
    let mut out = String::from("\u{feff}区分,ファイル,行,列,項目,規則,内容\r\n");
    out.push_str(&line(["結果", "", "", "", "", "", &summary]));
    if result.waiting > 0 {
        let text = format!(
            "不採用のうち {} 件は、被保険者を待っています。被保険者の行が届けば基盤が反映します（送り直さなくてかまいません）",
            result.waiting
        );
        out.push_str(&line(["待ち", "", "", "", "", "", &text]));
    }
    for receipt in &result.continued_by {
        let text = format!("待っていた行を、受付番号 {receipt} として読み直しました");
        out.push_str(&line(["続き", "", "", "", "", "", &text]));
    }
    for (kind, counts) in &result.report.kinds {
        let text = format!(
            "種別 {kind}: 全 {} 件、反映 {} 件、変更なし {} 件、不採用 {} 件",
            counts.read, counts.applied, counts.unchanged, counts.refused
        );
        out.push_str(&line(["種別", "", "", "", "", "", &text]));
    }
    for (insurer, counts) in &result.report.insurers {
        let text = format!(
            "保険者 {insurer}: 全 {} 件、反映 {} 件、変更なし {} 件、不採用 {} 件",
            counts.read, counts.applied, counts.unchanged, counts.refused
        );
        out.push_str(&line(["保険者", "", "", "", "", "", &text]));
    }
    for problem in &result.report.problems {
        out.push_str(&problem_line(problem));
    }
    if let Some(missing) = &result.missing {
        for (kind, count) in &missing.kinds {
            let text = format!("基盤にあり、この全件のパッケージにない記録: {count} 件");
            out.push_str(&line(["不足", kind, "", "", "", "missing", &text]));
        }
        out.extend(missing.rows.iter().map(missing_line));
        if missing.total > missing.rows.len() as u64 {
            let text = format!(
                "並べたのは先頭の {} 件です。すべては kiban import --dry-run --full --result で出せます",
                missing.rows.len()
            );
            out.push_str(&line(["不足", "", "", "", "", "missing", &text]));
        }
    }
    out
}

impl DryRun {
    /// The same of a package that was only tried, with a line for each difference that was told while it was (of
    /// [`Difference::line`]).
    pub fn csv(&self, differences: &str) -> String {
        let words = if self.state == "would_apply" { "反映されます" } else { "取り込めません" };
        let summary = format!("試しただけです（何も反映していません）。{}{words}", as_of(self.base_date));
        let mut out = String::from("\u{feff}区分,ファイル,行,列,項目,規則,内容\r\n");
        out.push_str(&line(["結果", "", "", "", "", "", &summary]));
        for (kind, changes) in &self.changes {
            let text = format!(
                "種別 {kind}: 新規 {} 件、変更 {} 件、削除 {} 件、変更なし {} 件、不採用 {} 件",
                changes.new, changes.changed, changes.deleted, changes.unchanged, changes.refused
            );
            out.push_str(&line(["種別", "", "", "", "", "", &text]));
        }
        for problem in &self.report.problems {
            out.push_str(&problem_line(problem));
        }
        out.push_str(differences);
        out
    }

    /// The same with the differences that are named in it, and how many are not.
    pub fn csv_of_named(&self) -> String {
        let mut lines = String::new();
        for (kind, rows) in &self.samples {
            let of_row = |row: &SampleRow| {
                let SampleRow { insured_number, key, change } = row;
                Difference { kind, insured_number: *insured_number, key, change }.line()
            };
            lines.extend(rows.iter().map(of_row));
            let total = self.changes.get(kind).map_or(0, |one| one.new + one.changed + one.deleted);
            lines.push_str(&rest("変わる行", kind, u64::try_from(total).unwrap_or_default(), rows.len()));
        }
        if let Some(missing) = &self.missing {
            lines.extend(missing.rows.iter().map(missing_line));
            lines.push_str(&rest("不足", "", missing.total, missing.rows.len()));
        }
        self.csv(&lines)
    }
}

impl Difference<'_> {
    /// Its line in the result of a trial.
    pub fn line(&self) -> String {
        let (section, words) = match self.change {
            "new" => ("新規", "基盤にない行です"),
            "changed" => ("変更", "基盤の内容と異なります"),
            "deleted" => ("削除", "基盤から消える行です"),
            _ => ("不足", "基盤にあり、このパッケージにありません"),
        };
        let text = format!("{words}: 被保険者番号 {} {}", self.insured_number, self.key);
        line([section, self.kind, "", "", "", self.change, text.trim_end()])
    }
}

/// Says how many rows are not named; nothing where all are.
fn rest(section: &str, kind: &str, total: u64, named: usize) -> String {
    if total <= named as u64 {
        return String::new();
    }
    let text = format!(
        "並べたのは {total} 件のうち先頭の {named} 件です。すべては kiban import --dry-run --result で出せます"
    );
    line([section, kind, "", "", "", "", &text])
}

/// 基準日 as a sentence, where it is known.
fn as_of(base_date: Option<Date>) -> String {
    base_date.map_or_else(String::new, |day| format!("基準日 {day}。"))
}

fn missing_line(row: &MissingRow) -> String {
    let MissingRow { kind, insured_number, key } = row;
    Difference { kind, insured_number: *insured_number, key, change: "missing" }.line()
}

fn problem_line(problem: &ReportedProblem) -> String {
    let severity = if problem.severity == "error" { "エラー" } else { "注意" };
    let number = |n: u64| if n == 0 { String::new() } else { n.to_string() };
    let (row, column) = (number(problem.line), number(problem.column.into()));
    line([severity, &problem.file, &row, &column, &problem.item, &problem.rule, &problem.message])
}

fn line(cells: [&str; 7]) -> String {
    let cells: Vec<String> = cells.into_iter().map(cell).collect();
    cells.join(",") + "\r\n"
}

/// A cell a spreadsheet takes as text: one that could be a formula gets a leading apostrophe.
pub fn cell(text: &str) -> String {
    let is_formula = text.starts_with(FORMULA_STARTS);
    let text = format!("{}{text}", if is_formula { "'" } else { "" });
    if text.contains([',', '"', '\r', '\n', '\'']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_in_a_spreadsheet() {
        for text in ["=HYPERLINK(\"http://x\")", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠x"]
        {
            assert!(cell(text).trim_start_matches('"').starts_with('\''), "{text:?}");
        }
        assert_eq!(cell("氏名,カナ"), "\"氏名,カナ\"");
        assert_eq!(cell("UP1KYO.csv"), "UP1KYO.csv");
    }
}
