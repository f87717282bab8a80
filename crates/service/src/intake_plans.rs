//! 取込み of care plans (CP1: 第1–3表, 第6・7表, 実績, 介護予防 and withdrawals) from a care manager's software, ケアプラン標準仕様 4.1,
//! and of the plans of facilities (CP2), in a profile of this project (P-142, P-143).
//!
//! The sender named in the files must be the caller's office (with 実績 also the receiver), and each person must be
//! registered for it with the caller's office as 居宅介護支援 (or plan maker, ※1). An upload is taken whole or not at all: all
//! its people in one transaction, with one 受付番号 and one report. Where they belong to several insurers, a receipt of
//! that number with that report lies with each of them.

use crate::decision::{Case, Question};
use crate::intake::{IntakeResult, PackageReport, answer, bundle, is_safe_name, may_import};
use crate::plan_documents::{PlanChanges, PlanDocument, PresentPlans, documents};
use crate::{Caller, Context, Error, Platform, elsewhere, random_id};
use kiban_domain::office::Office;
use kiban_domain::{Date, InsurerNumber, Kind, OfficeNumber, Organization, PersonKey, municipality};
use kiban_formats::care_plan::{PlanFileKind, PlanFileName, Reading, Received, Sent, read_set_by};
use kiban_formats::{Problem, too_many_people};
use kiban_policy::{UseCase, Writer};
use kiban_store::{Entry, InsurerKeys, NewReceipt, Outcome, Receipt, ReceiptCounts, ReceiptState, Tx};
use std::collections::{BTreeMap, btree_map};
use std::sync::Arc;

const NOT_ASSIGNED: &str = "この利用者は、この事業所の担当利用者として登録されていません。番号を確認し、先に本人確認と担当事業所登録をしてください";
const UNKNOWN_OFFICE: &str = "この事業所は基盤に登録されていません。番号を確認してください。正しければ、このままで登録できます（登録のない事業所は閲覧できません）";
const FOREIGN: &str = "ファイル名の送信元事業所番号が、ログインしている事業所の番号と違います";
const NOTHING: &str = "取り込めるケアプランのファイルがありません（UP1KYO・UP2KYO・UP3KYO・UPHOSOKU・UPPLAN・UPSIKYU・UPJSK・UPKIHON・UPYOBO・KGSP1・DLT1KYO・DLTPLAN・DLTJSK・DLTKIHON・DLTYOBO・KGSPD）";

/// One upload, read.
struct PlanUpload {
    /// The files as one run of bytes.
    bytes: Vec<u8>,
    agreed_on: Option<Date>,
    documents: Vec<PlanDocument>,
    problems: Vec<Problem>,
}

/// Those of one upload about the people of one insurer.
struct InsurerPart {
    keys: Arc<InsurerKeys>,
    digest: [u8; 32],
}

type Parts = BTreeMap<InsurerNumber, InsurerPart>;

/// Everybody's case, for each kind of plan that is sent.
type Cases = BTreeMap<(PersonKey, Kind), Case>;

/// An upload with everybody's case, all of whom the office may register plans for.
struct Entitled<'a> {
    upload: &'a PlanUpload,
    cases: Cases,
    parts: Parts,
}

impl Platform {
    /// Takes a set of 4.1 files.
    pub async fn import_plans(
        &self,
        caller: &Caller,
        files: Vec<(String, Vec<u8>)>,
        context: &Context,
    ) -> Result<IntakeResult, Error> {
        self.import_agreed_plans(caller, files, None, context).await
    }

    /// The same with the day on which the person agreed to the plan, if it is known (交付用登録).
    pub(crate) async fn import_agreed_plans(
        &self,
        caller: &Caller,
        files: Vec<(String, Vec<u8>)>,
        agreed_on: Option<Date>,
        context: &Context,
    ) -> Result<IntakeResult, Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::ExchangePlan, table)?;
        let Some((office, class)) = &caller.office else {
            return Err(Error::rule(kiban_policy::Rule::NotWriter, table));
        };
        if ![Kind::Cp1, Kind::Cp2].iter().any(|kind| may_import(*kind, Writer::Office(*class), table)) {
            return Err(Error::rule(kiban_policy::Rule::NotWriter, table));
        }
        let (platform, organization, number) = (self.clone(), caller.organization, office.number);
        let today = context.today();
        let read = elsewhere(move || platform.read_plans(organization, number, &files, today)).await?;
        let mut upload = read?;
        if let Some(agreed_on) = agreed_on {
            upload.agree(agreed_on)?;
        }
        if upload.has_errors() {
            return self.refuse_plans(caller, office, &upload, context).await;
        }
        let (cases, problems) = self.cases_of_plans(caller, &upload.documents, context).await?;
        upload.problems.extend(problems);
        if upload.has_errors() {
            return self.refuse_plans(caller, office, &upload, context).await;
        }
        let parts = self.parts_of_plans(&upload).await?;
        let entitled = Entitled { upload: &upload, cases, parts };
        match self.store_or_answer(caller, office, &entitled, context).await? {
            Ok(result) => Ok(result),
            Err(problems) => {
                upload.problems.extend(problems);
                self.refuse_plans(caller, office, &upload, context).await
            }
        }
    }

    /// The problem of an upload with more people than one may have: all of them lie in one transaction.
    pub(crate) fn too_many_people(&self, people: usize) -> Option<Problem> {
        too_many_people(people, self.reading().people)
    }

    /// By what files of the exchange are read: within the bounds of an upload, with the service codes of the installation.
    pub(crate) fn reading(&self) -> Reading<'_> {
        let config = &self.inner.config;
        let most = |figure: i32| usize::try_from(figure).unwrap_or(usize::MAX);
        let (people, rows) = (most(config.upload_people), most(config.upload_rows));
        Reading { people, rows, codes: config.service_codes.as_deref() }
    }

    /// For an organization and its office. It keeps a processor busy.
    fn read_plans(
        &self,
        organization: Organization,
        office: OfficeNumber,
        files: &[(String, Vec<u8>)],
        today: Date,
    ) -> Result<PlanUpload, Error> {
        let (received, mut problems) = read_set_by(files, self.reading());
        for (name, _) in files {
            let foreign = PlanFileName::parse(name).is_ok_and(|parsed| !may_send(&parsed, office));
            if foreign || !is_safe_name(name) {
                problems.push(Problem::of_file(name, "sender", FOREIGN));
            }
        }
        problems.extend(self.unknown_offices_of(&received));
        let standing = self.standing();
        let paying =
            |person: PersonKey| PersonKey { insurer: standing.paying_insurer(person.insurer, today), ..person };
        let documents = documents(&received, organization, &paying)?;
        if documents.is_empty() && !problems.iter().any(Problem::is_error) {
            problems.push(Problem::of_file("", "empty", NOTHING));
        }
        Ok(PlanUpload { bytes: bundle(files), agreed_on: None, documents, problems })
    }

    /// Services may be provided by an office that does not take part, so this is only said.
    fn unknown_offices_of(&self, received: &Received) -> Vec<Problem> {
        let standing = self.standing();
        let unknown = received.offices.iter().filter(|named| standing.office(named.value).is_none());
        let problem = |named: &Sent<OfficeNumber>| {
            let number = named.value.to_string();
            named.origin.problem("office", &number, "unknown_office", UNKNOWN_OFFICE).warning()
        };
        unknown.map(problem).collect()
    }

    /// Everybody in it must be a registered person of the office before anything is written. Each document of somebody who
    /// is not is told where it stands, in the same words for an unknown number and for somebody else's user.
    async fn cases_of_plans(
        &self,
        caller: &Caller,
        documents: &[PlanDocument],
        context: &Context,
    ) -> Result<(Cases, Vec<Problem>), Error> {
        let (mut cases, mut refused, mut problems) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for document in documents {
            let key = (document.person(), document.kind());
            if !cases.contains_key(&key) && !refused.contains_key(&key) {
                let question = Question::create(document.kind());
                let case = self.case(caller, document.person(), context).await?;
                if case.decide(question).is_allowed() {
                    cases.insert(key, case);
                } else {
                    let why = self.refuse(caller, &case, question, "import.plan", context).await?;
                    refused.insert(key, told(&why));
                }
            }
            if let Some((rule, text)) = refused.get(&key) {
                problems.push(document.person_problem(rule, text));
            }
        }
        Ok((cases, problems))
    }

    /// The insurers of an upload with its digest at each: the same files about the same insurers' people have the same
    /// receipt.
    async fn parts_of_plans(&self, upload: &PlanUpload) -> Result<Parts, Error> {
        let mut parts = Parts::new();
        for document in &upload.documents {
            let insurer = document.person().insurer;
            if let btree_map::Entry::Vacant(place) = parts.entry(insurer) {
                let keys = self.store().keys_of(insurer).await?;
                place.insert(InsurerPart { keys, digest: [0; 32] });
            }
        }
        let insurers: Vec<&str> = parts.keys().map(InsurerNumber::as_str).collect();
        let agreed_on = upload.agreed_on.map_or_else(String::new, |day| format!(" agreed on {day}"));
        let label = format!("plans of {}{agreed_on}", insurers.join(","));
        for part in parts.values_mut() {
            part.digest = part.keys.digest(&[label.as_bytes(), &part.keys.digest(&upload.bytes)].concat());
        }
        Ok(parts)
    }

    /// Stores it, unless the same files were stored before: then the answer is that of the first time.
    async fn store_or_answer(
        &self,
        caller: &Caller,
        office: &Office,
        entitled: &Entitled<'_>,
        context: &Context,
    ) -> Result<Result<IntakeResult, Vec<Problem>>, Error> {
        if let Some(before) = self.plans_before(caller, &entitled.parts).await? {
            return self.repeat_upload(caller, home_of(office, context), before, context).await.map(Ok);
        }
        match self.store_plans(caller, office, entitled, context).await {
            // Somebody sent the same files at the same time.
            Err(Error::Conflict(text)) => match self.plans_before(caller, &entitled.parts).await? {
                Some(before) => self.repeat_upload(caller, home_of(office, context), before, context).await.map(Ok),
                None => Err(Error::Conflict(text)),
            },
            other => other,
        }
    }

    async fn plans_before(&self, caller: &Caller, parts: &Parts) -> Result<Option<Receipt>, Error> {
        let Some((insurer, part)) = parts.first_key_value() else { return Ok(None) };
        Ok(self.store().receipt_by_digest(*insurer, caller.organization, &part.digest).await?)
    }

    pub(crate) async fn repeat_upload(
        &self,
        caller: &Caller,
        insurer: InsurerNumber,
        before: Receipt,
        context: &Context,
    ) -> Result<IntakeResult, Error> {
        let id = before.public_id.clone();
        let result = answer(before, true)?;
        let entry = upload_entry(caller, ("import.repeated", &id), result.report.counts, Outcome::Allowed, context)?;
        self.record_upload(insurer, entry, &result, context).await?;
        Ok(result)
    }

    /// Records an upload that has no effect of its own, and remembers its answer if it came under a key.
    async fn record_upload(
        &self,
        insurer: InsurerNumber,
        entry: Entry,
        result: &IntakeResult,
        context: &Context,
    ) -> Result<(), Error> {
        if context.has_key() {
            let tx = self.store().begin().await?;
            return self.commit_under(insurer, tx, vec![entry], result, context).await;
        }
        Ok(self.store().audit().append(entry).await.map(drop)?)
    }

    /// Everything in one transaction, or the problems for which nothing was written. The receipts come first: each holds the
    /// others of its insurer back, so that what is judged is what stands.
    async fn store_plans(
        &self,
        caller: &Caller,
        office: &Office,
        entitled: &Entitled<'_>,
        context: &Context,
    ) -> Result<Result<IntakeResult, Vec<Problem>>, Error> {
        let Entitled { upload, cases, parts } = entitled;
        let public_id = random_id()?;
        let mut tx = self.store().begin().await?;
        let numbers = put_receipts(&mut tx, caller, &public_id, entitled, context).await?;
        let mut present = PresentPlans::new();
        for (person, kind) in cases.keys() {
            present.entry(*person).or_default().extend(tx.present_plans(*person, *kind).await?);
        }
        let mut changes = BTreeMap::new();
        for (insurer, part) in parts {
            let own = upload.documents.iter().filter(|document| document.person().insurer == *insurer);
            changes.insert(*insurer, PlanChanges::judge(own, &present, |bytes| part.keys.digest(bytes)));
        }
        let problems: Vec<Problem> = changes.values().flat_map(|change| change.problems.iter().cloned()).collect();
        if problems.iter().any(Problem::is_error) {
            return Ok(Err(problems));
        }
        let report = report_of(upload, &changes, &problems);
        let json = serde_json::to_vec(&report).map_err(|error| Error::Internal(error.to_string()))?;
        for (insurer, change) in &changes {
            let Some(number) = numbers.get(insurer) else { continue };
            tx.put_records(*number, context.now, &change.records).await?;
            for (person, key, serial) in &change.serials {
                tx.set_plan_serial(*person, key, *serial).await?;
            }
            tx.finish_receipt(*insurer, *number, ReceiptState::Applied, change.counts, &json).await?;
        }
        let mut entries =
            vec![upload_entry(caller, ("import.plans", &public_id), report.counts, Outcome::Done, context)?];
        entries.extend(
            cases.iter().map(|((_, kind), case)| person_entry(caller, (*kind, case), &changes, &public_id, context)),
        );
        let result = IntakeResult {
            receipt: public_id,
            state: ReceiptState::Applied.code(),
            received_at: context.now,
            sent_by: None,
            base_date: None,
            repeated: false,
            report,
            progress: None,
            waiting: 0,
            continued_by: Vec::new(),
            missing: None,
        };
        self.commit_under(home_of(office, context), tx, entries, &result, context).await?;
        Ok(Ok(result))
    }

    /// Nothing of it was taken: the receipt with every problem lies with the municipality where the office stands, without
    /// the files. The same files with the same problems have the same receipt; judged anew each time, because a person may
    /// have been registered meanwhile.
    async fn refuse_plans(
        &self,
        caller: &Caller,
        office: &Office,
        upload: &PlanUpload,
        context: &Context,
    ) -> Result<IntakeResult, Error> {
        let home = home_of(office, context);
        self.refuse_upload(caller, home, "import.plans", (&upload.bytes, upload.refused()), context).await
    }

    /// The same for any upload: with which insurer its receipt lies, its bytes and the report of what is wrong.
    pub(crate) async fn refuse_upload(
        &self,
        caller: &Caller,
        insurer: InsurerNumber,
        action: &str,
        (bytes, report): (&[u8], PackageReport),
        context: &Context,
    ) -> Result<IntakeResult, Error> {
        let result = serde_json::to_vec(&report).map_err(|error| Error::Internal(error.to_string()))?;
        let keys = self.store().keys_of(insurer).await?;
        let label = format!("refused {action}");
        let digest = keys.digest(&[label.as_bytes(), &keys.digest(bytes), &result].concat());
        if let Some(before) = self.store().receipt_by_digest(insurer, caller.organization, &digest).await? {
            let action = (action, before.public_id.as_str());
            let entry = upload_entry(caller, action, report.counts, Outcome::Refused, context)?;
            let result = answer(before, true)?;
            self.record_upload(insurer, entry, &result, context).await?;
            return Ok(result);
        }
        let public_id = random_id()?;
        let entry = upload_entry(caller, (action, &public_id), report.counts, Outcome::Refused, context)?;
        let new = NewReceipt {
            insurer,
            public_id: public_id.clone(),
            sender: caller.organization,
            received_at: context.now,
            original: None,
            digest,
        };
        let mut tx = self.store().begin().await?;
        let number = tx.put_receipt(&new).await?;
        tx.finish_receipt(insurer, number, ReceiptState::Refused, report.counts, &result).await?;
        let state = ReceiptState::Refused.code();
        let result = IntakeResult {
            receipt: public_id,
            state,
            received_at: context.now,
            sent_by: None,
            base_date: None,
            repeated: false,
            report,
            progress: None,
            waiting: 0,
            continued_by: Vec::new(),
            missing: None,
        };
        self.commit_under(insurer, tx, vec![entry], &result, context).await?;
        Ok(result)
    }
}

impl PlanUpload {
    fn has_errors(&self) -> bool {
        self.problems.iter().any(Problem::is_error)
    }

    /// The person agreed to what it holds on this day.
    fn agree(&mut self, on: Date) -> Result<(), Error> {
        self.agreed_on = Some(on);
        self.documents.iter_mut().try_for_each(|document| document.agree(on))
    }

    /// The report when nothing of it is taken.
    fn refused(&self) -> PackageReport {
        let mut report = PackageReport::of(ReceiptCounts::default(), &self.problems);
        for document in &self.documents {
            for counts in [&mut report.counts, report.kinds.entry(document.file_kind().to_owned()).or_default()] {
                counts.read += 1;
                counts.refused += 1;
            }
        }
        report
    }
}

/// The insurer of the municipality where an office stands: what concerns its whole upload lies there.
pub(crate) fn home_of(office: &Office, context: &Context) -> InsurerNumber {
    municipality::paying_insurer(office.municipality, context.today())
}

/// A receipt with each insurer, in the order of their numbers, so that no two uploads wait for each other. The bytes are
/// kept once, sealed with the first.
async fn put_receipts(
    tx: &mut Tx,
    caller: &Caller,
    public_id: &str,
    entitled: &Entitled<'_>,
    context: &Context,
) -> Result<BTreeMap<InsurerNumber, i64>, Error> {
    let mut numbers = BTreeMap::new();
    for (insurer, part) in &entitled.parts {
        let new = NewReceipt {
            insurer: *insurer,
            public_id: public_id.to_owned(),
            sender: caller.organization,
            received_at: context.now,
            original: numbers.is_empty().then_some(&entitled.upload.bytes[..]),
            digest: part.digest,
        };
        numbers.insert(*insurer, tx.put_receipt(&new).await?);
    }
    Ok(numbers)
}

/// The whole of an upload, in all and by file and by insurer.
fn report_of(
    upload: &PlanUpload,
    changes: &BTreeMap<InsurerNumber, PlanChanges>,
    problems: &[Problem],
) -> PackageReport {
    let told: Vec<Problem> = upload.problems.iter().chain(problems).cloned().collect();
    let mut report = PackageReport::of(ReceiptCounts::default(), &told);
    for (insurer, change) in changes {
        add(&mut report.counts, change.counts);
        for (kind, counts) in &change.kinds {
            add(report.kinds.entry((*kind).to_owned()).or_default(), *counts);
        }
        report.insurers.insert(insurer.to_string(), change.counts);
    }
    report
}

pub(crate) fn add(to: &mut ReceiptCounts, more: ReceiptCounts) {
    to.read += more.read;
    to.applied += more.applied;
    to.unchanged += more.unchanged;
    to.refused += more.refused;
}

/// An office sends its own files; 実績 it may also have received.
fn may_send(name: &PlanFileName, office: OfficeNumber) -> bool {
    let with_actuals = matches!(name.kind, PlanFileKind::Actuals | PlanFileKind::WithdrawActuals);
    name.sending.sender == office || (with_actuals && name.sending.receiver == office)
}

/// Why an office may not register plans of somebody, as far as it may be told.
pub(crate) fn told(why: &Error) -> (&'static str, String) {
    match why {
        Error::Refused(refusal) => (refusal.rule.code(), format!("{}。{}", refusal.reason, refusal.next)),
        _ => ("not_assigned", NOT_ASSIGNED.to_owned()),
    }
}

/// The entry of a whole upload: action and receipt.
pub(crate) fn upload_entry(
    caller: &Caller,
    (action, receipt): (&str, &str),
    counts: ReceiptCounts,
    outcome: Outcome,
    context: &Context,
) -> Result<Entry, Error> {
    let detail = serde_json::to_string(&counts).map_err(|error| Error::Internal(error.to_string()))?;
    let entry = caller.entry(context, action, outcome);
    Ok(Entry { natural_key: Some(receipt.to_owned()), detail: Some(detail), ..entry })
}

/// The entry each person finds: what was registered and what was withdrawn.
fn person_entry(
    caller: &Caller,
    (kind, case): (Kind, &Case),
    changes: &BTreeMap<InsurerNumber, PlanChanges>,
    receipt: &str,
    context: &Context,
) -> Entry {
    let question = Question::create(kind);
    let own = changes.get(&case.person.insurer).map_or(&[][..], |change| &change.records[..]);
    let keys = |deleted: bool| -> Vec<&str> {
        let own = own
            .iter()
            .filter(|record| record.person == case.person && record.kind == kind && record.deleted == deleted);
        own.map(|record| record.natural_key.as_str()).collect()
    };
    let detail = serde_json::json!({ "registered": keys(false), "withdrawn": keys(true) }).to_string();
    let rule = case.decide(question).rule();
    let entry = case.entry(caller, context, "import.plan", Outcome::Done, question, rule);
    Entry { natural_key: Some(receipt.to_owned()), detail: Some(detail), ..entry }
}
