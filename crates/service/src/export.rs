//! 書出し: everything the platform holds of a municipality's own data, back in the format in which it came (P-160). Block
//! after block in constant memory; the manifest leaves last, after the entry with the counts is durable, so that a cut
//! export can never be taken for a whole one.
//!
//! What is exported is what was known when the export began: per history number the newest content that is not deleted.
//! People carry their newest identity. With its history it is several packages, one after the other (`export_history`).

use crate::export_history::{Packages, link_revisions, revisions, versions};
use crate::intake::ReportedProblem;
use crate::running::Place;
use crate::{Caller, Context, Error, Platform, random_id};
use kiban_domain::{InsuredNumber, InsurerNumber, Kind, Organization, Timestamp};
use kiban_formats::Problem;
use kiban_formats::municipal::{Change, EXPORTED, MunicipalKind, PackageStream, WrittenFile};
use kiban_policy::{Rule, UseCase};
use kiban_store::{BlockPerson, Entry, Outcome, Pass, StoredConsent, StoredLink, StoredRecord};
use serde::Serialize;
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// What an export hands out, in this order: files, then how it ended.
#[derive(Debug)]
pub enum ExportPart {
    /// One finished file of the package.
    File(WrittenFile),
    /// One finished file of what a package has no place for (`export_others`), in the folder `others/`.
    Other(WrittenFile),
    /// The end: everything was handed out.
    Done(ExportReport),
}

/// What is wanted of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportContents {
    /// What is known now: one package.
    Present,
    /// Everything that was ever known, corrected and deleted rows too: packages to be taken in one after the other.
    WithHistory,
}

/// How it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportOrder {
    /// How much of it.
    pub contents: ExportContents,
    /// The package in JSON instead of CSV.
    pub json: bool,
}

impl From<ExportContents> for ExportOrder {
    fn from(contents: ExportContents) -> Self {
        Self { contents, json: false }
    }
}

/// A package of an export with history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportedPackage {
    /// Its folder: `001`, `002` … in the order in which they are taken in.
    pub folder: String,
    /// 作成日時: when the last of its rows became known here; of the last package when the export began.
    pub made_at: Timestamp,
    /// Its rows.
    pub rows: u64,
}

/// How an export ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ExportReport {
    /// The packages of an export with history, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<ExportedPackage>,
    /// Rows by 種別 of the package.
    pub rows: BTreeMap<String, u64>,
    /// What a package has no place for: `F1`, `CP1`, `registrations`, `originals`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<String, u64>,
    /// What is in no export: the codes of [`NOT_EXPORTED`].
    pub not_included: Vec<&'static str>,
    /// Rows that could not be written, or are damaged on the platform.
    pub left_out: u64,
    /// Why, at most [`MOST_PROBLEMS`].
    pub problems: Vec<ReportedProblem>,
}

/// What the platform holds for a municipality and an export does not contain: a code and its name. A report names all of it.
pub const NOT_EXPORTED: [(&str, &str); 11] = [
    ("inbox", "受信箱の途中の書類（受理していない意見書・届出、差し戻したもの、同意の知らせ）"),
    ("reviews", "担当登録の見直し"),
    ("portal_grants", "本人の入口の登録（本人・代理の方）"),
    ("withheld_lifted", "不開示の解除の記録"),
    ("audit", "監査記録（だれが見たか）"),
    ("receipts", "受付とその結果、送ったパッケージの原本"),
    ("notices", "知らせ"),
    ("disaster_looks", "災害時の検索の記録"),
    ("staff_switches", "職員ごとの閲覧の停止"),
    ("statistics", "集計"),
    ("office_work", "事業所・医療機関の書きかけと、事業所どうしの送信"),
];

/// An export that runs. Dropped, it ends and is recorded as failed.
pub struct Export {
    /// Files and the end; an error ends it.
    pub parts: mpsc::Receiver<Result<ExportPart, Error>>,
}

/// Problems told one by one.
const MOST_PROBLEMS: usize = 1_000;
/// People in memory at a time.
const BLOCK: i32 = 500;

impl Platform {
    /// Begins an export of the caller's own municipality.
    pub async fn export_package<E: From<Error>>(
        &self,
        caller: &Caller,
        order: Result<ExportOrder, E>,
        context: &Context,
    ) -> Result<Export, E> {
        let insurer = self.may_export(caller, context)?;
        let entry = caller.entry(context, "export", Outcome::Allowed);
        Ok(self.begin_export(insurer, order?, entry, context).await?)
    }

    pub(crate) fn may_export(&self, caller: &Caller, context: &Context) -> Result<InsurerNumber, Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::Export, table)?;
        if !caller.may_export {
            return Err(Error::rule(Rule::NotThisWay, table));
        }
        caller.municipality().ok_or_else(|| Error::rule(Rule::NotWriter, table))
    }

    /// The same for the command line on the platform's own machine.
    pub async fn export_package_locally(
        &self,
        insurer: InsurerNumber,
        order: impl Into<ExportOrder>,
        context: &Context,
    ) -> Result<Export, Error> {
        let entry = Entry::new(context.now, &context.request_id, "cli", "export", Outcome::Allowed);
        let entry = Entry { organization: Some(Organization::Municipality(insurer).to_string()), ..entry };
        self.begin_export(insurer, order.into(), entry, context).await
    }

    async fn begin_export(
        &self,
        insurer: InsurerNumber,
        order: ExportOrder,
        entry: Entry,
        context: &Context,
    ) -> Result<Export, Error> {
        let busy = "この市区町村の書出しがほかに動いています。終わってからもう一度行ってください";
        let place = self.running().take("export", insurer).ok_or(Error::Conflict(busy))?;
        let id = random_id()?;
        let entry = Entry { insurer: Some(insurer.to_string()), natural_key: Some(id), ..entry };
        let started = Entry { action: "export.started".to_owned(), ..entry.clone() };
        let pass = self.store().audit().begin_pass(started).await?;
        let (sender, parts) = mpsc::channel(1);
        let (platform, at) = (self.clone(), context.now);
        tokio::spawn(async move {
            let ended = platform.run_export(insurer, (at, order), &pass, &entry, (&sender, &place)).await;
            if ended.is_err() {
                let failed = Entry { action: "export.failed".to_owned(), outcome: Outcome::Failed, ..entry };
                if platform.store().audit().append(failed).await.is_err() {
                    tracing::error!("a failed export could not be recorded");
                }
            }
            // Free before the end is heard of: who hears it may begin the next one.
            drop(place);
            let _ = sender.send(ended.map(ExportPart::Done)).await;
        });
        Ok(Export { parts })
    }

    async fn run_export(
        &self,
        insurer: InsurerNumber,
        (at, ExportOrder { contents, json }): (Timestamp, ExportOrder),
        pass: &Pass,
        entry: &Entry,
        (sender, place): (&mpsc::Sender<Result<ExportPart, Error>>, &Place),
    ) -> Result<ExportReport, Error> {
        place.set_total(u64::try_from(self.store().count_people(insurer).await?).unwrap_or_default());
        let kinds: Vec<Kind> = EXPORTED.iter().map(|exported| exported.kind).collect();
        // Receipts that were not applied when the export began stay invisible in it, even when they are applied meanwhile.
        let unapplied = self.store().unapplied(insurer).await?;
        let packages = match contents {
            ExportContents::Present => Packages::one((insurer, json), at),
            ExportContents::WithHistory => Packages::with_history(self, (insurer, json), at).await?,
        };
        let with_history = contents == ExportContents::WithHistory;
        let not_included = NOT_EXPORTED.iter().map(|(code, _)| *code).collect();
        let mut written = Written { packages, report: ExportReport { not_included, ..ExportReport::default() } };
        let mut after: Option<InsuredNumber> = None;
        loop {
            let block = pass.open(self.store().block(insurer, after, BLOCK, &kinds).await?);
            let Some(last) = block.last else { break };
            let links = self.store().links_between(insurer, after, last).await?;
            let links: Vec<_> = links.into_iter().filter(|link| !unapplied.contains(&link.revision)).collect();
            let links = if with_history { links } else { self.standing_links(links).await? };
            after = Some(last);
            written.report.left_out += block.damaged;
            place.add(block.people.len() as u64 + block.damaged);
            // A person whose newest row belongs to a load that is still going on is not there yet.
            let open = self.store().unapplied(insurer).await?;
            for person in block.people.into_iter().filter(|person| !open.contains(&person.header.revision)) {
                let key = person.insured.key;
                let links = links.iter().filter(|link| link.person == key).cloned().collect();
                let full = if with_history {
                    written.history(person, links, at, &unapplied)
                } else {
                    written.person(person, links, at, &unapplied)
                };
                for file in full {
                    hand_out(sender, ExportPart::File(file)).await?;
                }
            }
        }
        let Written { packages, mut report } = written;
        self.export_others(insurer, (at, with_history), pass, (sender, &mut report)).await?;
        let files;
        (files, report.packages) = packages.finish().map_err(|problems| unwritable(&problems))?;
        let detail = serde_json::json!({
            "rows": report.rows, "others": report.others, "left_out": report.left_out, "with_history": with_history,
        });
        let detail = detail.to_string();
        let done = Entry { action: "export.done".to_owned(), detail: Some(detail), ..entry.clone() };
        self.store().audit().append(done).await?;
        for file in files {
            hand_out(sender, ExportPart::File(file)).await?;
        }
        Ok(report)
    }
}

pub(crate) async fn hand_out(sender: &mpsc::Sender<Result<ExportPart, Error>>, part: ExportPart) -> Result<(), Error> {
    sender.send(Ok(part)).await.map_err(|_| Error::Unavailable("the receiver of the export went away".to_owned()))
}

fn unwritable(problems: &[Problem]) -> Error {
    Error::Internal(format!("the manifest cannot be written: {} problems", problems.len()))
}

/// What is written so far.
struct Written {
    packages: Packages,
    report: ExportReport,
}

impl Written {
    /// Writes a person with everything known about them; files that became full.
    fn person(
        &mut self,
        person: BlockPerson,
        links: Vec<StoredLink>,
        at: Timestamp,
        unapplied: &[i64],
    ) -> Vec<WrittenFile> {
        let key = person.insured.key;
        let history = u32::try_from(person.header.history_number).unwrap_or(u32::MAX);
        let mut full = Vec::new();
        let insured = person.insured;
        let row = (history, Change::New);
        full.extend(self.row(MunicipalKind::Insured, 0, |stream| stream.insured(row, insured)));
        for exported in EXPORTED {
            let of_kind = person.records.iter().filter(|record| record.header.kind == exported.kind).cloned().collect();
            let mut records = StoredRecord::as_known(of_kind, at, unapplied);
            records.reverse();
            for (place, record) in (1..).zip(records) {
                // An opinion is known by application, institution and 作成回数; its 履歴番号 is only its place in the file.
                let row = (record.header.natural_key.parse().unwrap_or(place), Change::New);
                full.extend(self.row(exported.file, 0, |stream| stream.record(exported, key, row, &record.payload)));
            }
        }
        full.extend(self.consents(person.consents, at, unapplied));
        for link in links {
            let row = (u32::try_from(link.history_number).unwrap_or(u32::MAX), Change::New);
            full.extend(self.row(MunicipalKind::Link, 0, |stream| stream.link(key, row, link.link)));
        }
        full
    }

    /// The same with everything that was ever known.
    fn history(
        &mut self,
        mut person: BlockPerson,
        links: Vec<StoredLink>,
        at: Timestamp,
        unapplied: &[i64],
    ) -> Vec<WrittenFile> {
        let key = person.insured.key;
        let mut full = Vec::new();
        for version in versions(&mut person, unapplied) {
            let write = |stream: &mut PackageStream| stream.insured(version.row, version.value);
            full.extend(self.row(MunicipalKind::Insured, version.revision, write));
        }
        for exported in EXPORTED {
            let of_kind = person.records.iter().filter(|record| record.header.kind == exported.kind).cloned();
            for one in revisions(of_kind, at, unapplied) {
                let write = |stream: &mut PackageStream| stream.record(exported, key, one.row, &one.value.payload);
                full.extend(self.row(exported.file, one.revision, write));
            }
        }
        full.extend(self.consents(person.consents, at, unapplied));
        for one in link_revisions(links) {
            let write = |stream: &mut PackageStream| stream.link(key, one.row, one.value.link);
            full.extend(self.row(MunicipalKind::Link, one.revision, write));
        }
        full
    }

    /// Every act of 同意, which nothing corrects.
    fn consents(&mut self, acts: Vec<StoredConsent>, at: Timestamp, unapplied: &[i64]) -> Vec<WrittenFile> {
        let acts = acts.into_iter().filter(|act| act.recorded_at <= at && !unapplied.contains(&act.revision));
        let mut full = Vec::new();
        for (number, act) in (1..).zip(acts) {
            full.extend(self.row(MunicipalKind::Consent, act.revision, |stream| stream.consent(number, act.record)));
        }
        full
    }

    /// Writes a row of a receipt and counts it; a file that became full.
    fn row(
        &mut self,
        kind: MunicipalKind,
        revision: i64,
        write: impl FnOnce(&mut PackageStream) -> Result<Option<WrittenFile>, Vec<Problem>>,
    ) -> Option<WrittenFile> {
        match self.packages.write(revision, write) {
            Ok(full) => {
                *self.report.rows.entry(kind.code().to_owned()).or_default() += 1;
                full
            }
            Err(problems) => {
                self.report.left_out += 1;
                let left = MOST_PROBLEMS.saturating_sub(self.report.problems.len());
                self.report.problems.extend(problems.iter().take(left).map(ReportedProblem::of));
                None
            }
        }
    }
}
