//! 主治医意見書 handed in by a program, without a screen (P-134, path ②): a file of the document software, CSV 1.1 or our
//! JSON. Each document has a receipt that follows from its bytes, so a file sent again is the same documents again.

use crate::intake::ReportedProblem;
use crate::opinion_work::OTHER_APPLICANT;
use crate::submission::{Filed, Filing, filed, hex, judge_opinion};
use crate::{Caller, Context, Error, ItemFault, Platform};
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::{InsurerNumber, Kind, OfficeNumber, PersonKey};
use kiban_formats::{Problem, opinion_csv};
use kiban_policy::{Rule, UseCase};
use kiban_store::{Entry, Original, Outcome};
use serde::Serialize;
use std::collections::HashMap;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpinionFormat {
    /// 医見書 CSV 1.1.
    Csv,
    /// One document, as the API takes it.
    Json,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpinionFileReport {
    /// `filed`: every document has a receipt. `refused`: none was taken. `partly`: some wait already in another version.
    pub state: &'static str,
    /// Documents with a receipt, in the order of the file.
    pub documents: Vec<FiledOpinion>,
    /// What is wrong, located.
    pub problems: Vec<ReportedProblem>,
}

/// A document of a file that has a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FiledOpinion {
    /// Line on which it begins; 0 in JSON.
    pub line: u64,
    /// The same bytes had been handed in before.
    pub repeated: bool,
    /// Receipt and state.
    #[serde(flatten)]
    pub filed: Filed,
}

/// A document of a file, read.
struct Read {
    line: u64,
    opinion: PhysicianOpinion,
    bytes: Vec<u8>,
}

/// What is to be done about a document.
enum Plan {
    /// The same bytes were handed in before.
    Known(Filed),
    /// Filed, after the one with this receipt.
    New(Box<Filing>, Option<String>),
}

const TWICE: &str = "同じ意見書（申請日・作成回数）が、このファイルの前の行にもあります。1件だけにしてください";

const JSON: &str = "application/json";
const CSV: &str = "text/csv";

impl Platform {
    /// Whether the caller may hand in files of opinions at all: asked before any of it is received (T-33).
    pub fn may_send_opinions(&self, caller: &Caller, context: &Context) -> Result<OfficeNumber, Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::SubmitOpinion, table)?;
        caller.organization.office().ok_or_else(|| Error::rule(Rule::NotWriter, table))
    }

    /// Hands in every document of a file, or none if one of them is wrong. The receipt of a document follows from its bytes,
    /// so a file sent again hands in nothing twice; under a key it is judged and recorded anew and only the same file is taken.
    pub async fn submit_opinion_file(
        &self,
        caller: &Caller,
        name: &str,
        format: OpinionFormat,
        bytes: &[u8],
        context: &Context,
    ) -> Result<OpinionFileReport, Error> {
        let office = self.may_send_opinions(caller, context)?;
        // The key is for the whole file, not for one document of it.
        let (context, keyed) = (&context.without_key(), context);
        let (read, mut problems) = read_file(name, format, bytes, office);
        let mut notes = Vec::with_capacity(read.len());
        for document in &read {
            let (found, remarks) = self.judged(caller, name, document, context).await?;
            problems.extend(found);
            notes.push(remarks);
        }
        if problems.iter().any(Problem::is_error) {
            let entry = caller.entry(context, "submit.file", Outcome::Refused);
            self.store().audit().append(entry).await?;
            return Ok(report("refused", Vec::new(), &problems));
        }
        let media = if format == OpinionFormat::Csv { CSV } else { JSON };
        let (name, read) = ((name, media), read.into_iter().zip(notes).collect::<Vec<_>>());
        let filed = match self.file_read(caller, name, &read, context).await {
            // The same bytes may have been filed between the look and the write, by the request that is repeated here.
            Err(Error::Conflict(_)) => self.file_read(caller, name, &read, context).await?,
            filed => filed?,
        };
        let (documents, waiting) = (filed.0, filed.1.len());
        problems.extend(filed.1);
        let state = match (documents.len(), waiting) {
            (_, 0) => "filed",
            (0, _) => "refused",
            _ => "partly",
        };
        if keyed.has_key() && state != "refused" {
            let entry = caller.entry(keyed, "submit.file", Outcome::Done);
            self.commit_repeatable(self.store().begin().await?, entry, keyed).await?;
        }
        Ok(report(state, documents, &problems))
    }

    /// May this office hand in this document, and is anything wrong with it?
    async fn judged(
        &self,
        caller: &Caller,
        name: &str,
        document: &Read,
        context: &Context,
    ) -> Result<(Vec<Problem>, Vec<String>), Error> {
        let at = |problem: Problem| problem.at_line(document.line);
        let place = (name, document.line);
        if let Some(problem) = self.not_to_be_written(caller, place, document.opinion.person, context).await? {
            return Ok((vec![problem], Vec::new()));
        }
        let (mut faults, notes) = judge_opinion(caller, &document.opinion, context.now);
        if faults.is_empty() && !self.is_applicant(caller, &document.opinion, context).await? {
            faults.push(ItemFault::new("basics.applicant", OTHER_APPLICANT));
        }
        let located = |fault: ItemFault| at(Problem::of_file(name, "item", fault.message)).at_item(0, &fault.item);
        Ok((faults.into_iter().map(located).collect(), notes))
    }

    /// Why this office may not hand in an opinion about this person, if it may not.
    pub(crate) async fn not_to_be_written(
        &self,
        caller: &Caller,
        (name, line): (&str, u64),
        person: PersonKey,
        context: &Context,
    ) -> Result<Option<Problem>, Error> {
        let at = |rule, words: String| Ok(Some(Problem::of_file(name, rule, words).at_line(line)));
        match self.allowed_to_create(caller, person, Kind::A2, UseCase::SubmitOpinion, context).await {
            Ok(()) => Ok(None),
            // It depends on the municipality alone, so it may be said of any number (P-150).
            Err(Error::Refused(refusal)) if refusal.start.is_some() => {
                at(refusal.rule.code(), format!("{}。{}", refusal.reason, refusal.next))
            }
            // One answer for every number that is not theirs, whether or not there is such a person.
            Err(Error::Unknown | Error::Refused(_)) => {
                let words = "この被保険者の意見書は受け付けられません。保険者番号・被保険者番号と、市区町村からの作成依頼を確かめてください";
                at("not_requested", words.to_owned())
            }
            Err(error) => Err(error),
        }
    }

    /// Files what a file holds in one transaction, all of it but what waits in another version: the documents with a receipt in the
    /// order of the file, and what waits.
    async fn file_read(
        &self,
        caller: &Caller,
        (name, media): (&str, &str),
        read: &[(Read, Vec<String>)],
        context: &Context,
    ) -> Result<(Vec<FiledOpinion>, Vec<Problem>), Error> {
        let (mut plans, mut waiting) = (Vec::new(), Vec::new());
        let mut in_file: HashMap<(PersonKey, String), String> = HashMap::new();
        for (document, notes) in read {
            let filing = self.filing_of(caller, document, media, notes.clone()).await?;
            let first = in_file.entry((filing.person, filing.natural_key.clone())).or_insert_with(|| filing.id.clone());
            let is_another = *first != filing.id;
            match self.plan(caller, filing, is_another, context).await {
                Ok(plan) => plans.push((document.line, plan)),
                Err(Error::Conflict(words)) => {
                    waiting.push(Problem::of_file(name, "waiting", words).at_line(document.line));
                }
                Err(error) => return Err(error),
            }
        }
        Ok((self.file_plans(caller, plans, context).await?, waiting))
    }

    /// What is to be done about a document; a conflict when another version waits, `is_another` one in the same file.
    async fn plan(&self, caller: &Caller, filing: Filing, is_another: bool, context: &Context) -> Result<Plan, Error> {
        if let Some(known) = self.known(caller, filing.person, &filing.id, context).await? {
            return Ok(Plan::Known(known));
        }
        let before = self.document_before(caller, &filing).await?;
        if is_another { Err(Error::Conflict(TWICE)) } else { Ok(Plan::New(Box::new(filing), before)) }
    }

    async fn file_plans(
        &self,
        caller: &Caller,
        plans: Vec<(u64, Plan)>,
        context: &Context,
    ) -> Result<Vec<FiledOpinion>, Error> {
        let (mut documents, mut entries): (Vec<FiledOpinion>, _) = (Vec::new(), Vec::new());
        let mut tx = self.store().begin().await?;
        for (line, plan) in plans {
            let (repeated, filed) = match plan {
                Plan::Known(filed) => (true, filed),
                Plan::New(filing, before) => {
                    let receipt = format!("{}-{}", filing.person.insurer, filing.id);
                    match documents.iter().find(|one| one.filed.receipt == receipt) {
                        Some(same) => (true, same.filed.clone()),
                        None => {
                            let insurer = filing.person.insurer;
                            let (filed, entry) = self.put_filing(&mut tx, caller, (*filing, before), context).await?;
                            entries.push(entry);
                            (false, named(insurer, filed))
                        }
                    }
                }
            };
            documents.push(FiledOpinion { line, repeated, filed });
        }
        if !entries.is_empty() {
            tx.commit_all(entries).await?;
        }
        Ok(documents)
    }

    /// A document about to be filed; its receipt follows from its bytes.
    async fn filing_of(
        &self,
        caller: &Caller,
        document: &Read,
        media: &str,
        notes: Vec<String>,
    ) -> Result<Filing, Error> {
        let person = document.opinion.person;
        let id = self.receipt_of_bytes(caller, person, &document.bytes).await?;
        let payload = serde_json::to_vec(&document.opinion).map_err(|error| Error::Internal(error.to_string()))?;
        let original = Original { media: media.to_owned(), bytes: document.bytes.clone() };
        Ok(Filing { id, person, kind: Kind::A2, natural_key: document.opinion.natural_key(), payload, original, notes })
    }

    async fn known(
        &self,
        caller: &Caller,
        person: PersonKey,
        id: &str,
        context: &Context,
    ) -> Result<Option<Filed>, Error> {
        let known = self.store().submission(person.insurer, id).await?;
        let Some(known) = known.filter(|known| known.sender == caller.organization) else { return Ok(None) };
        let entry = caller.entry_about(context, person, "submit.repeated", Outcome::Allowed);
        self.store().audit().append(Entry { natural_key: Some(id.to_owned()), ..entry }).await?;
        Ok(Some(named(person.insurer, filed(known))))
    }

    async fn receipt_of_bytes(&self, caller: &Caller, person: PersonKey, bytes: &[u8]) -> Result<String, Error> {
        let keys = self.store().keys_of(person.insurer).await?;
        let text = format!("opinion|{}|{}|", caller.organization, person.insured);
        Ok(hex(&keys.digest(&[text.as_bytes(), bytes].concat())[..16]))
    }

    /// Where a document stands, for the office that handed it in.
    pub async fn opinion_state(&self, caller: &Caller, receipt: &str, context: &Context) -> Result<Filed, Error> {
        self.may_send_opinions(caller, context)?;
        let found = match receipt.split_once('-').map(|(insurer, id)| (InsurerNumber::parse(insurer), id)) {
            Some((Ok(insurer), id)) => self.store().submission(insurer, id).await?,
            _ => None,
        };
        let found = found.filter(|found| found.sender == caller.organization && found.kind == Kind::A2);
        let Some(found) = found else {
            self.store().audit().append(caller.entry(context, "filed", Outcome::Refused)).await?;
            return Err(Error::Unknown);
        };
        self.store().audit().append(caller.entry_about(context, found.person, "filed", Outcome::Allowed)).await?;
        Ok(named(found.person.insurer, filed(found)))
    }
}

/// The receipt a program gets names the insurer too, so that its state is found without asking every insurer.
fn named(insurer: InsurerNumber, filed: Filed) -> Filed {
    let name = |id: String| format!("{insurer}-{id}");
    Filed { receipt: name(filed.receipt), replaces: filed.replaces.map(name), ..filed }
}

fn report(state: &'static str, documents: Vec<FiledOpinion>, problems: &[Problem]) -> OpinionFileReport {
    OpinionFileReport { state, documents, problems: problems.iter().map(ReportedProblem::of).collect() }
}

/// The documents of a file with their lines, and what is wrong with the file itself.
pub(crate) fn documents(
    name: &str,
    format: OpinionFormat,
    bytes: &[u8],
    office: OfficeNumber,
) -> (Vec<(u64, PhysicianOpinion)>, Vec<Problem>) {
    let (read, problems) = read_file(name, format, bytes, office);
    (read.into_iter().map(|document| (document.line, document.opinion)).collect(), problems)
}

fn read_file(name: &str, format: OpinionFormat, bytes: &[u8], office: OfficeNumber) -> (Vec<Read>, Vec<Problem>) {
    match format {
        OpinionFormat::Csv => csv(name, bytes, office),
        OpinionFormat::Json => json(name, bytes),
    }
}

fn csv(name: &str, bytes: &[u8], office: OfficeNumber) -> (Vec<Read>, Vec<Problem>) {
    let (rows, problems) = opinion_csv::read(name, bytes, office);
    let read = |row: opinion_csv::OpinionRow| Read { line: row.line, opinion: row.opinion, bytes: row.bytes };
    (rows.into_iter().map(read).collect(), problems)
}

/// One document; the file is its original.
fn json(name: &str, bytes: &[u8]) -> (Vec<Read>, Vec<Problem>) {
    let refused = |rule, words: String| (Vec::new(), vec![Problem::of_file(name, rule, words)]);
    if kiban_formats::json_holds_individual_number(bytes) {
        let words = "個人番号（マイナンバー）の可能性がある番号が入っています。取り除いて送り直してください";
        return refused("individual_number", words.to_owned());
    }
    match serde_json::from_slice::<PhysicianOpinion>(bytes) {
        Ok(opinion) => (vec![Read { line: 0, opinion, bytes: bytes.to_vec() }], Vec::new()),
        Err(error) if error.is_data() => {
            // The text of the error may quote a value; its place is enough.
            let (line, column) = (error.line(), error.column());
            let words = format!(
                "{line}行 {column}文字目の近くに、足りない項目か使えない値があります。API の説明の PhysicianOpinion と見比べてください"
            );
            refused("bad_item", words)
        }
        Err(_) => {
            refused("bad_json", "JSON として読めません。文字コードを UTF-8 にし、書き方を確かめてください".to_owned())
        }
    }
}
