//! What an export holds beside the package, because a package has no place for it (P-160): 届出, care plans, LIFE, who is
//! registered, and accepted documents byte for byte. JSON, one object a line, in the folder `others/`; to be read and handed
//! on, not to be taken in.
//!
//! Care plans and LIFE leave only of people with whose consent the city may see them now (P-050): the export opens no more than a view.

use crate::export::{ExportPart, ExportReport, hand_out};
use crate::statistics::consent_of;
use crate::submission::hex;
use crate::{Error, Platform};
use kiban_domain::assignment::Assignment;
use kiban_domain::{Date, InsuredNumber, InsurerNumber, Kind, Timestamp, dates};
use kiban_policy::{Action, Caller, Consent, Disaster, Facts, KindFacts, MunicipalityRelation, Opinion, decide};
use kiban_store::{BlockPerson, Pass, StoredRecord};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// People in memory at a time: of one there may be years of plans.
const BLOCK: i32 = 50;
/// Originals in memory at a time, up to 1 MiB each.
const ORIGINALS: i32 = 20;
/// Bytes after which a file is full.
const FULL: usize = 4 << 20;
/// Kinds that no package carries.
const KINDS: [Kind; 4] = [Kind::F1, Kind::Cp1, Kind::Cp2, Kind::C1];

type Sender = mpsc::Sender<Result<ExportPart, Error>>;

impl Platform {
    pub(crate) async fn export_others(
        &self,
        insurer: InsurerNumber,
        (at, with_history): (Timestamp, bool),
        pass: &Pass,
        (sender, report): (&Sender, &mut ExportReport),
    ) -> Result<(), Error> {
        let mut lines = Lines { sender, open: BTreeMap::new() };
        let unapplied = self.store().unapplied(insurer).await?;
        let mut after: Option<InsuredNumber> = None;
        loop {
            let block = pass.open(self.store().block(insurer, after, BLOCK, &KINDS).await?);
            let Some(last) = block.last else { break };
            after = Some(last);
            report.left_out += block.damaged;
            for person in block.people.iter().filter(|person| !unapplied.contains(&person.header.revision)) {
                for line in person.assignments.iter().map(registration) {
                    lines.add("registrations", &line, report).await?;
                }
                for kind in KINDS {
                    if kind == Kind::F1 || self.may_see(kind, person, at, &unapplied)? {
                        for line in records(person, kind, (at, with_history), &unapplied)? {
                            lines.add(kind.code(), &line, report).await?;
                        }
                    }
                }
            }
        }
        self.export_originals(insurer, &mut lines, report).await?;
        lines.finish().await
    }

    /// The decision for the person's own city, with the consent known when the export began.
    fn may_see(&self, kind: Kind, person: &BlockPerson, at: Timestamp, unapplied: &[i64]) -> Result<bool, Error> {
        let consent = consent_of(person, at, unapplied);
        let today = dates::day_in_japan(at);
        let gone = person.insured.lost.is_some_and(|(day, _)| day <= today);
        let facts = Facts {
            caller: Caller::Municipality { relation: MunicipalityRelation::Own },
            kind: KindFacts::of(kind, Opinion::Accepted),
            action: Action::Read,
            creator: false,
            consent: match consent.given_at {
                _ if person.consent_damaged || consent.refused.contains(&kind) => Consent::RefusedForKind,
                Some(_) if !gone => Consent::Given,
                _ => Consent::NotObtained,
            },
            disaster: Disaster::None,
            session_valid: true,
            insurer_started: true,
            withheld: person.insured.withheld,
        };
        Ok(decide(&facts, self.table_at(at)?).is_allowed())
    }

    async fn export_originals(
        &self,
        insurer: InsurerNumber,
        lines: &mut Lines<'_>,
        report: &mut ExportReport,
    ) -> Result<(), Error> {
        let mut after = String::new();
        loop {
            let (kept, damaged, last) = self.store().kept_originals(insurer, &after, ORIGINALS).await?;
            report.left_out += damaged;
            for one in kept {
                let sender = self.store().submission(insurer, &one.id).await?;
                let name = format!("others/originals/{}.{}", one.id, ending(&one.original.media));
                let digest = ring::digest::digest(&ring::digest::SHA256, &one.original.bytes);
                let line = json!({
                    "receipt": one.id,
                    "insured_number": one.person.insured,
                    "kind": one.kind.code(),
                    "natural_key": one.natural_key,
                    "sender": sender.as_ref().map(|document| document.sender.to_string()),
                    "submitted_at": sender.as_ref().map(|document| document.submitted_at),
                    "decided_at": sender.as_ref().and_then(|document| document.decided_at),
                    "media": one.original.media,
                    "size": one.original.bytes.len(),
                    "sha256": hex(digest.as_ref()),
                    "file": name,
                });
                hand_out(lines.sender, ExportPart::Other((name, one.original.bytes))).await?;
                lines.add("originals", &line, report).await?;
            }
            match last {
                Some(id) => after = id,
                None => return Ok(()),
            }
        }
    }
}

fn ending(media: &str) -> &'static str {
    match media.split(';').next().unwrap_or_default().trim() {
        "text/csv" => "csv",
        "application/json" => "json",
        _ => "bin",
    }
}

fn registration(one: &Assignment) -> Value {
    json!({
        "insured_number": one.person.insured,
        "office": one.office,
        "identity_check": one.check,
        "registered_by": one.registered_by,
        "registered_at": one.registered_at,
        "viewable_until": one.viewable_until,
        "plan_maker": one.plan_maker,
        "confirmed": one.confirmed_by_municipality,
        "ended_at": one.ended.map(|(at, _)| at),
        "end_reason": one.ended.map(|(_, reason)| reason),
    })
}

/// Per key the newest content that is not deleted, or with history every revision, the oldest first.
fn records(
    person: &BlockPerson,
    kind: Kind,
    (at, with_history): (Timestamp, bool),
    unapplied: &[i64],
) -> Result<Vec<Value>, Error> {
    let of_kind: Vec<StoredRecord> = person.records.iter().filter(|r| r.header.kind == kind).cloned().collect();
    let mut records = if with_history {
        let known = |r: &StoredRecord| r.header.recorded_at <= at && !unapplied.contains(&r.header.revision);
        of_kind.into_iter().filter(known).collect()
    } else {
        StoredRecord::as_known(of_kind, at, unapplied)
    };
    records.sort_by_key(|record| (record.header.natural_key.clone(), record.header.revision));
    records.iter().map(|record| line_of(person.insured.key.insured, record)).collect()
}

fn line_of(insured: InsuredNumber, record: &StoredRecord) -> Result<Value, Error> {
    let header = &record.header;
    let content: Value = serde_json::from_slice(&record.payload).map_err(|error| Error::Internal(error.to_string()))?;
    let (from, to): (Date, Option<Date>) = (header.valid.from(), header.valid.to());
    Ok(json!({
        "insured_number": insured,
        "kind": header.kind.code(),
        "natural_key": header.natural_key,
        "creator": header.creator.to_string(),
        "valid_from": from,
        "valid_to": to,
        "recorded_at": header.recorded_at,
        "deleted": header.deleted,
        "content": content,
    }))
}

/// Files of lines that are still growing, by what they hold.
struct Lines<'a> {
    sender: &'a Sender,
    open: BTreeMap<&'static str, (usize, Vec<u8>)>,
}

impl Lines<'_> {
    async fn add(&mut self, what: &'static str, line: &Value, report: &mut ExportReport) -> Result<(), Error> {
        let (number, bytes) = self.open.entry(what).or_insert((1, Vec::new()));
        bytes.extend_from_slice(line.to_string().as_bytes());
        bytes.push(b'\n');
        *report.others.entry(what.to_owned()).or_default() += 1;
        if bytes.len() < FULL {
            return Ok(());
        }
        let file = (name(what, *number), std::mem::take(bytes));
        *number += 1;
        hand_out(self.sender, ExportPart::Other(file)).await
    }

    async fn finish(self) -> Result<(), Error> {
        for (what, (number, bytes)) in self.open {
            if !bytes.is_empty() {
                hand_out(self.sender, ExportPart::Other((name(what, number), bytes))).await?;
            }
        }
        Ok(())
    }
}

fn name(what: &str, number: usize) -> String {
    format!("others/{what}_{number:03}.jsonl")
}
