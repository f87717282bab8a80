//! Files in, receipts out: as JSON and as a result file people open in a spreadsheet (P-161, T-20).

use super::{Answer, ok};
use crate::caller::Authenticated;
use crate::input::Files;
use crate::{App, Problem};
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use kiban_service::{IntakeResult, ReportedProblem};

pub(crate) async fn package(State(app): State<App>, who: Authenticated, request: Request) -> Answer {
    app.platform.may_send_package(&who.caller, &who.context)?;
    let Files(files) = Files::from_request(request, &app).await?;
    judged(app.platform.import_package(&who.caller, files, &who.context).await?)
}

pub(crate) async fn plans(State(app): State<App>, who: Authenticated, request: Request) -> Answer {
    app.platform.may_send_plans(&who.caller, &who.context)?;
    let Files(files) = Files::from_request(request, &app).await?;
    judged(app.platform.import_plans(&who.caller, files, &who.context).await?)
}

/// A refused file is a problem document that carries the result (docs/decisions/0001).
fn judged(result: IntakeResult) -> Answer {
    if result.state != "refused" {
        return ok(result);
    }
    let detail = "result.report.problems の内容を直して、もう一度送ってください。受け取った内容は何も反映していません";
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "refused_files", "ファイルを取り込めませんでした", detail)
        .with("result", result))
}

pub(crate) async fn receipt(State(app): State<App>, who: Authenticated, Path(receipt): Path<String>) -> Answer {
    ok(app.platform.receipt(&who.caller, &receipt, &who.context).await?)
}

pub(crate) async fn result_file(State(app): State<App>, who: Authenticated, Path(receipt): Path<String>) -> Answer {
    let result = app.platform.receipt(&who.caller, &receipt, &who.context).await?;
    let name = format!("attachment; filename=\"result-{}.csv\"", result.receipt);
    let headers = [(header::CONTENT_TYPE, "text/csv; charset=utf-8"), (header::CONTENT_DISPOSITION, name.as_str())];
    Ok((headers, csv(&result)).into_response())
}

/// UTF-8 with a byte order mark, so that spreadsheets know it; the first line is the result, then one line per problem.
fn csv(result: &IntakeResult) -> String {
    let counts = &result.report.counts;
    let state = match result.state {
        "applied" => "取り込みました",
        "refused" => "取り込めませんでした",
        _ => "処理中です",
    };
    let summary = format!(
        "受付番号 {} {state}。全 {} 件、反映 {} 件、変更なし {} 件、不採用 {} 件",
        result.receipt, counts.read, counts.applied, counts.unchanged, counts.refused
    );
    let mut out = String::from("\u{feff}区分,ファイル,行,列,項目,規則,内容\r\n");
    out.push_str(&line(["結果", "", "", "", "", "", &summary]));
    for problem in &result.report.problems {
        out.push_str(&problem_line(problem));
    }
    out
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
pub(crate) fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let text = format!("{}{text}", if is_formula { "'" } else { "" });
    if text.contains([',', '"', '\r', '\n', '\'']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_in_a_spreadsheet() {
        for text in ["=HYPERLINK(\"http://x\")", "+1", "-1", "@x", "\t=1", "＝1"] {
            assert!(cell(text).trim_start_matches('"').starts_with('\''), "{text}");
        }
        assert_eq!(cell("氏名,カナ"), "\"氏名,カナ\"");
        assert_eq!(cell("UP1KYO.csv"), "UP1KYO.csv");
    }
}
