//! 取込み of care plans (CP1: 第1–3表, 第6・7表) from a care manager's software, ケアプラン標準仕様 4.1 (P-142, P-143).
//!
//! The sender named in the files must be the caller's office, and each person must be registered for it with the caller's
//! office as 居宅介護支援 (or plan maker, ※1). A unit of sending is taken whole or not at all.

use crate::decision::Question;
use crate::intake::{IntakeResult, PackageReport, answer, bundle, is_safe_name, may_import};
use crate::submission::{RETENTION_YEARS, years_after};
use crate::{Caller, Context, Error, Platform, Standing, random_id};
use kiban_domain::care_plan::{CarePlan, ServiceSlip};
use kiban_domain::dates::{Period, yyyymmdd};
use kiban_domain::office::Office;
use kiban_domain::{InsurerNumber, Kind, Organization, PersonKey, municipality};
use kiban_formats::Problem;
use kiban_formats::care_plan::{PlanFileName, read_set};
use kiban_policy::{UseCase, Writer};
use kiban_store::{Entry, NewReceipt, NewRecord, Outcome, ReceiptCounts, ReceiptState};
use std::collections::{BTreeMap, BTreeSet};

impl Platform {
    /// Takes a set of 4.1 files.
    pub async fn import_plans(
        &self,
        caller: &Caller,
        files: Vec<(String, Vec<u8>)>,
        context: &Context,
    ) -> Result<IntakeResult, Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::ExchangePlan, table)?;
        let Some((office, class)) = &caller.office else {
            return Err(Error::rule(kiban_policy::Rule::NotWriter, table));
        };
        if !may_import(Kind::Cp1, Writer::Office(*class), table) {
            return Err(Error::rule(kiban_policy::Rule::NotWriter, table));
        }
        let (received, mut problems) = read_set(&files);
        for (name, _) in &files {
            let foreign = PlanFileName::parse(name).is_ok_and(|parsed| parsed.sending.sender != office.number);
            if foreign || !is_safe_name(name) {
                let text = "ファイル名の送信元事業所番号が、ログインしている事業所の番号と違います";
                problems.push(Problem::of_file(name, "sender", text));
            }
        }
        let bytes = bundle(&files);
        let keep = !problems.iter().any(Problem::forbids_keeping);
        let mut people: BTreeMap<PersonKey, Vec<NewRecord>> = BTreeMap::new();
        let standing = self.standing();
        for plan in &received.plans {
            let record = plan_record(plan, caller.organization, &standing, context)?;
            people.entry(record.person).or_default().push(record);
        }
        for slip in &received.slips {
            let record = slip_record(slip, caller.organization, &standing, context)?;
            people.entry(record.person).or_default().push(record);
        }
        let mut counts = ReceiptCounts {
            read: people.values().map(|records| records.len() as i64).sum(),
            ..ReceiptCounts::default()
        };
        if people.is_empty() && problems.is_empty() {
            problems.push(Problem::of_file(
                "",
                "empty",
                "取り込めるケアプランのファイルがありません（UP1KYO・UP2KYO・UP3KYO・UPPLAN・UPSIKYU・UPHOSOKU）",
            ));
        }
        if problems.iter().any(Problem::is_error) {
            counts.refused = counts.read;
            return self.refuse_plans(caller, office, &bytes, report(counts, &problems), context).await;
        }
        // Whole or not at all: everybody in it must be a registered person of the office before anything is written.
        for person in people.keys() {
            let case = self.case(caller, *person, context).await?;
            if !case.decide(Question::create(Kind::Cp1)).is_allowed() {
                self.refuse(caller, &case, Question::create(Kind::Cp1), "import.plan", context).await?;
                // The same words for an unknown number and for somebody else's user.
                let text = "担当利用者として登録されていない利用者が含まれています。先に本人確認と担当事業所登録をしてください";
                problems.push(Problem::of_file(files.first().map_or("", |(name, _)| name), "not_assigned", text));
            }
        }
        if problems.iter().any(Problem::is_error) {
            counts.refused = counts.read;
            return self.refuse_plans(caller, office, &bytes, report(counts, &problems), context).await;
        }
        // The original lies under one insurer's key, so it is kept only when everybody in it belongs to that insurer.
        let one_insurer = people.keys().map(|person| person.insurer).collect::<BTreeSet<_>>().len() == 1;
        let upload = Upload { public_id: random_id()?, bytes, keep: keep && one_insurer };
        let (mut receipt, mut original) = (None, upload.keep);
        for (person, records) in people {
            let given = self.store_plans(caller, person, records, &upload, original, &mut counts, context).await?;
            receipt.get_or_insert(given);
            original = false;
        }
        let receipt = receipt.ok_or_else(|| Error::Internal("plans of nobody".to_owned()))?;
        self.answer_plans(caller, office, receipt, report(counts, &problems), context).await
    }

    #[expect(clippy::too_many_arguments, reason = "one private step of one upload")]
    /// Stores the plans of one person.
    async fn store_plans(
        &self,
        caller: &Caller,
        person: PersonKey,
        records: Vec<NewRecord>,
        upload: &Upload,
        with_original: bool,
        counts: &mut ReceiptCounts,
        context: &Context,
    ) -> Result<String, Error> {
        let case = self.case(caller, person, context).await?;
        let present = self.store().present_records(person.insurer, &[person.insured]).await?;
        let keys = self.store().keys_of(person.insurer).await?;
        let digest = keys.digest(&[person.insured.as_str().as_bytes(), &upload.bytes[..]].concat());
        if let Some(before) = self.store().receipt_by_digest(person.insurer, caller.organization, &digest).await? {
            counts.unchanged += records.len() as i64;
            self.store()
                .audit()
                .append(caller.entry_about(context, person, "import.repeated", Outcome::Allowed))
                .await?;
            return Ok(before.public_id);
        }
        let public_id = upload.public_id.clone();
        let mut tx = self.store().begin().await?;
        let new = NewReceipt {
            insurer: person.insurer,
            public_id: public_id.clone(),
            sender: caller.organization,
            received_at: context.now,
            original: with_original.then_some(&upload.bytes[..]),
            digest,
        };
        let number = tx.put_receipt(&new).await?;
        let mut applied = 0;
        for record in &records {
            let same = present.get(&(person.insured, record.kind, record.natural_key.clone()));
            if same.is_some_and(|p| !p.deleted && p.digest == keys.digest(&record.payload)) {
                counts.unchanged += 1;
                continue;
            }
            tx.put_record(number, context.now, record).await?;
            applied += 1;
        }
        counts.applied += applied;
        let own = ReceiptCounts { read: records.len() as i64, applied, ..ReceiptCounts::default() };
        let result = serde_json::to_vec(&PackageReport { counts: own, ..PackageReport::default() })
            .map_err(|error| Error::Internal(error.to_string()))?;
        tx.finish_receipt(person.insurer, number, ReceiptState::Applied, own, &result).await?;
        let entry = case.entry(
            caller,
            context,
            "import.plan",
            Outcome::Done,
            Question::create(Kind::Cp1),
            case.decide(Question::create(Kind::Cp1)).rule(),
        );
        tx.commit(Entry { natural_key: Some(public_id.clone()), ..entry }).await?;
        Ok(public_id)
    }

    async fn answer_plans(
        &self,
        caller: &Caller,
        office: &Office,
        receipt: String,
        report: PackageReport,
        context: &Context,
    ) -> Result<IntakeResult, Error> {
        let entry = plans_entry(caller, &receipt, report.counts, Outcome::Done, context)?;
        let result = IntakeResult {
            receipt,
            state: ReceiptState::Applied.code(),
            received_at: context.now,
            repeated: report.counts.applied == 0,
            report,
            progress: None,
        };
        self.record_plans(home_of(office, context), entry, &result, context).await?;
        Ok(result)
    }

    /// Records an upload of plans that has no effect of its own, and remembers its answer if it came under a key.
    async fn record_plans(
        &self,
        insurer: InsurerNumber,
        entry: Entry,
        result: &IntakeResult,
        context: &Context,
    ) -> Result<(), Error> {
        if context.once.is_some() {
            return self.commit_under(insurer, self.store().begin().await?, entry, result, context).await;
        }
        Ok(self.store().audit().append(entry).await.map(drop)?)
    }

    /// Nothing of it was taken: the receipt with every problem lies with the municipality where the office stands, without
    /// the files. The same files with the same problems have the same receipt; judged anew each time, because a person may
    /// have been registered meanwhile.
    async fn refuse_plans(
        &self,
        caller: &Caller,
        office: &Office,
        bytes: &[u8],
        report: PackageReport,
        context: &Context,
    ) -> Result<IntakeResult, Error> {
        let insurer = home_of(office, context);
        let result = serde_json::to_vec(&report).map_err(|error| Error::Internal(error.to_string()))?;
        let keys = self.store().keys_of(insurer).await?;
        let digest = keys.digest(&[&b"refused plans"[..], &keys.digest(bytes), &result].concat());
        if let Some(before) = self.store().receipt_by_digest(insurer, caller.organization, &digest).await? {
            let entry = plans_entry(caller, &before.public_id, report.counts, Outcome::Refused, context)?;
            let result = answer(before, true)?;
            self.record_plans(insurer, entry, &result, context).await?;
            return Ok(result);
        }
        let public_id = random_id()?;
        let entry = plans_entry(caller, &public_id, report.counts, Outcome::Refused, context)?;
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
            repeated: false,
            report,
            progress: None,
        };
        self.commit_under(insurer, tx, entry, &result, context).await?;
        Ok(result)
    }
}

/// The insurer of the municipality where an office stands: what concerns its whole upload lies there.
fn home_of(office: &Office, context: &Context) -> InsurerNumber {
    municipality::paying_insurer(office.municipality, context.today())
}

/// The entry of a whole upload.
fn plans_entry(
    caller: &Caller,
    receipt: &str,
    counts: ReceiptCounts,
    outcome: Outcome,
    context: &Context,
) -> Result<Entry, Error> {
    let detail = serde_json::to_string(&counts).map_err(|error| Error::Internal(error.to_string()))?;
    let entry = caller.entry(context, "import.plans", outcome);
    Ok(Entry { natural_key: Some(receipt.to_owned()), detail: Some(detail), ..entry })
}

fn report(counts: ReceiptCounts, problems: &[Problem]) -> PackageReport {
    PackageReport::of(counts, problems)
}

/// One upload: all people in it share the receipt number shown to the sender.
struct Upload {
    public_id: String,
    bytes: Vec<u8>,
    keep: bool,
}

/// 第1–3表: a changed plan has a new 計画作成（変更）日, hence a new key; the old one stays as history.
fn plan_record(
    plan: &CarePlan,
    creator: Organization,
    standing: &Standing,
    context: &Context,
) -> Result<NewRecord, Error> {
    let made_on = plan.changed_on;
    new_record(
        paying(plan.person, standing, context),
        format!("plan-{}-{creator}", yyyymmdd(made_on)),
        creator,
        Period::new(made_on, None),
        made_on,
        serde_json::to_vec(&serde_json::json!({ "plan": plan })),
    )
}

/// 第6・7表 of a month: sent again it replaces what the same key had.
fn slip_record(
    slip: &ServiceSlip,
    creator: Organization,
    standing: &Standing,
    context: &Context,
) -> Result<NewRecord, Error> {
    let (first, last) = (slip.month.first_day(), slip.month.last_day());
    new_record(
        paying(slip.person, standing, context),
        format!("slip-{}-{creator}", slip.month),
        creator,
        Period::new(first, Some(last)),
        last,
        serde_json::to_vec(&serde_json::json!({ "slip": slip })),
    )
}

fn new_record(
    person: PersonKey,
    natural_key: String,
    creator: Organization,
    valid: Result<Period, kiban_domain::dates::DateError>,
    completed: kiban_domain::Date,
    payload: Result<Vec<u8>, serde_json::Error>,
) -> Result<NewRecord, Error> {
    Ok(NewRecord {
        person,
        kind: Kind::Cp1,
        natural_key,
        creator,
        valid: valid.map_err(|error| Error::Internal(error.to_string()))?,
        deleted: false,
        purge_after: years_after(completed, RETENTION_YEARS),
        payload: payload.map_err(|error| Error::Internal(error.to_string()))?,
    })
}

/// The files carry the number printed on the card; records belong to the paying insurer (P-038).
fn paying(person: PersonKey, standing: &Standing, context: &Context) -> PersonKey {
    PersonKey { insurer: standing.paying_insurer(person.insurer, context.today()), ..person }
}
