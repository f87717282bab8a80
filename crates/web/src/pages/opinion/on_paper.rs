//! The opinion as on the paper (P-034).

use super::fields::{self, CHAPTERS, Shape};
use crate::pages::paper::{Part, Row, Section};
use kiban_domain::physician_opinion::PhysicianOpinion;

/// The opinion in the order of the paper: every item with all its choices. What belongs to a finding — its part, its degree — stands
/// beside it.
pub(in crate::pages) fn sections(opinion: &PhysicianOpinion) -> Vec<Section> {
    let chapters = fields::typed_of(opinion);
    let section = |(address, name): &(&str, &str)| {
        let typed = chapters.get(*address).cloned().unwrap_or_default();
        let mut rows: Vec<Row> = Vec::new();
        for field in fields::fields(address) {
            let given = typed.get(field.name).map(Vec::as_slice).unwrap_or_default();
            let choices = match field.shape {
                Shape::Tick => vec![("あり".to_owned(), !given.is_empty())],
                _ => field
                    .choices()
                    .into_iter()
                    .map(|(code, words)| (words.to_owned(), given.iter().any(|one| one == code)))
                    .collect(),
            };
            let text = if choices.is_empty() { field.words(&typed) } else { String::new() };
            let beside = rows.last().and_then(|row| field.label.strip_prefix(&format!("{} ", row.label)));
            if let (Some(caption), Some(row)) = (beside, rows.last_mut().filter(|_| field.head.is_empty())) {
                row.parts.push(Part { caption: caption.to_owned(), choices, text });
                continue;
            }
            if !field.head.is_empty() {
                rows.push(Row::head(field.head));
            }
            rows.push(Row { label: field.label.to_owned(), parts: vec![Part { choices, text, ..Part::default() }] });
        }
        Section { name: (*name).to_owned(), rows }
    };
    CHAPTERS.iter().map(section).collect()
}
