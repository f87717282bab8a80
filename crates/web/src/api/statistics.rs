//! Counts and reports for the municipality: statistics of the day, people due for renewal without consent, changed burden
//! rates (P-033, P-075, P-239).

use super::people::Page;
use super::{Answer, csv, ok};
use crate::caller::Authenticated;
use crate::input::{Faults, Query, lines};
use crate::{App, Problem};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use hyper::body::Frame;
use kiban_domain::Date;
use kiban_domain::dates::{DateError, parse_typed};
use kiban_service::{Lines, LinesPart, Once, Statistics, StatisticsState};
use serde::Deserialize;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pub(crate) async fn count(State(app): State<App>, who: Authenticated) -> Answer {
    let context = who.keyed(b"")?;
    match app.platform.once(&who.caller, &context).await? {
        // Asked again, it tells how far the figures of that day are.
        Once::Before(day) => {
            let day = day.as_str().map(day_of).transpose();
            ok(app.platform.statistics(&who.caller, day.map(|day| (day, false)), &who.context).await?)
        }
        Once::Now(_running) => ok(app.platform.count_statistics(&who.caller, &context).await?),
    }
}

/// Which figures.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    day: Option<String>,
    #[serde(default)]
    shareable: bool,
}

impl Wanted {
    fn check(self) -> Result<(Option<Date>, bool), Problem> {
        Ok((self.day.as_deref().map(day_of).transpose()?, self.shareable))
    }
}

async fn state_of(app: &App, who: &Authenticated, wanted: Result<Wanted, Problem>) -> Result<StatisticsState, Problem> {
    app.platform.statistics(&who.caller, wanted.and_then(Wanted::check), &who.context).await
}

pub(crate) fn day_of(text: &str) -> Result<Date, Problem> {
    let mut faults = Faults::default();
    faults.take("day", parse_typed(text), DateError::message_ja).ok_or_else(|| faults.problem())
}

pub(crate) async fn view(State(app): State<App>, who: Authenticated, Query(wanted): Query<Wanted>) -> Answer {
    ok(state_of(&app, &who, wanted).await?)
}

pub(crate) async fn file(State(app): State<App>, who: Authenticated, Query(wanted): Query<Wanted>) -> Answer {
    match state_of(&app, &who, wanted).await? {
        StatisticsState::Ready { statistics } => {
            Ok(csv::file(&format!("statistics-{}.csv", statistics.day), long_table(&statistics)))
        }
        _ => {
            let detail = "POST /api/v1/statistics で集計を始め、終わってからもう一度受け取ってください";
            Err(Problem::new(StatusCode::CONFLICT, "conflict", "この日の集計はまだありません", detail))
        }
    }
}

/// One line for each cell, so that a spreadsheet can turn it as it likes; a suppressed cell is `＊`.
pub(crate) fn long_table(statistics: &Statistics) -> String {
    let mut body = csv::begin("集計日,表,表の名前,行,列,値");
    let day = statistics.day.to_string();
    for rate in &statistics.rates {
        let value = rate.permille.map_or_else(|| "＊".to_owned(), |p| format!("{}.{}", p / 10, p % 10));
        body += &csv::line([&*day, &rate.id, &rate.name, "", "％", &value]);
    }
    for table in &statistics.tables {
        for row in &table.rows {
            for (column, cell) in table.columns.iter().zip(&row.cells) {
                let value = cell.map_or_else(|| "＊".to_owned(), |value| value.to_string());
                body += &csv::line([&*day, &table.id, &table.name, &row.name, column, &value]);
            }
        }
    }
    body
}

pub(crate) async fn renewals(State(app): State<App>, who: Authenticated, Query(page): Query<Page>) -> Answer {
    let (limit, after) = match page {
        Ok(page) => (lines(page.limit), page.after),
        Err(problem) => (Err(problem), None),
    };
    ok(app.platform.renewals_without_consent(&who.caller, after.as_deref(), limit, &who.context).await?)
}

/// The day of the change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Day {
    day: String,
}

pub(crate) async fn copayment(State(app): State<App>, who: Authenticated, Query(day): Query<Day>) -> Answer {
    let day = day.and_then(|day| day_of(&day.day));
    let lines = app.platform.copayment_changes(&who.caller, day.clone(), &who.context).await?;
    let day = day?;
    let name = format!("attachment; filename=\"copayment-{day}.csv\"");
    let headers = [(header::CONTENT_TYPE, "text/csv; charset=utf-8"), (header::CONTENT_DISPOSITION, name.as_str())];
    let begin = csv::begin("被保険者番号,変更前（割）,変更後（割）,適用開始,適用終了");
    Ok((headers, Body::new(Sheet { lines, begin: Some(begin), ended: false })).into_response())
}

/// A CSV file that is sent while it is made.
struct Sheet {
    lines: Lines,
    begin: Option<String>,
    ended: bool,
}

impl hyper::body::Body for Sheet {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if let Some(begin) = self.begin.take() {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from(begin)))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        match ready!(self.lines.rows.poll_recv(context)) {
            Some(Ok(LinesPart::Rows(rows))) => {
                let text: String = rows.into_iter().map(csv::line).collect();
                Poll::Ready(Some(Ok(Frame::data(Bytes::from(text)))))
            }
            Some(Ok(LinesPart::End)) => {
                self.ended = true;
                Poll::Ready(None)
            }
            // A list that ends without its end is a cut body, which the client sees as an error.
            Some(Err(_)) | None => Poll::Ready(Some(Err(std::io::Error::other("the list ended early")))),
        }
    }
}
