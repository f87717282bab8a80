//! 給付実績, for one purpose only (P-108, P-173): a month in which an office claims for a person keeps its registration alive.
//! Nothing else of a claim is looked at, and nothing of it is kept, neither file nor amount nor diagnosis (※3).
//!
//! Only a municipality may send it, about its own insured: an office that could send claims could extend its own viewing.
//! What has ended stays ended: only a registration that is live on the day is extended, and not while the municipality
//! reviews it (P-111).

use crate::intake::{IntakeResult, PackageReport, bundle, is_safe_name};
use crate::intake_plans::upload_entry;
use crate::{Caller, Context, Error, Platform, elsewhere, random_id};
use kiban_domain::assignment::Assignment;
use kiban_domain::dates::ServiceMonth;
use kiban_domain::{Date, InsurerNumber, OfficeNumber, PersonKey};
use kiban_formats::Problem;
use kiban_formats::claims::{self, ClaimMonth};
use kiban_policy::{Rule, UseCase};
use kiban_store::{Entry, NewReceipt, Outcome, ReceiptCounts, ReceiptState};
use std::collections::{BTreeMap, BTreeSet};

const FOREIGN: &str = "証記載保険者番号が、この市区町村の番号ではありません。自らの被保険者の分だけを送ってください";
const FUTURE: &str = "サービス提供年月が今月より後です。年月を確認してください";

/// People in one transaction.
const BLOCK: usize = 200;

/// The latest month of each office, by person.
type Claims = BTreeMap<PersonKey, BTreeMap<OfficeNumber, ServiceMonth>>;

/// Files, read.
#[derive(Default)]
struct ClaimUpload {
    bytes: Vec<u8>,
    months: BTreeSet<ClaimMonth>,
    problems: Vec<Problem>,
}

impl Platform {
    /// Takes files of claims of the caller's municipality.
    pub async fn import_claims(
        &self,
        caller: &Caller,
        files: Vec<(String, Vec<u8>)>,
        context: &Context,
    ) -> Result<IntakeResult, Error> {
        let insurer = self.claims_insurer(caller, context)?;
        let (platform, today) = (self.clone(), context.today());
        let upload = elsewhere(move || platform.read_claims(insurer, &files, today)).await?;
        let read = i64::try_from(upload.months.len()).unwrap_or(i64::MAX);
        if upload.problems.iter().any(Problem::is_error) {
            let counts = ReceiptCounts { read, refused: read, ..ReceiptCounts::default() };
            let report = PackageReport::of(counts, &upload.problems);
            return self.refuse_upload(caller, insurer, "import.claims", (&upload.bytes, report), context).await;
        }
        let keys = self.store().keys_of(insurer).await?;
        let digest = keys.digest(&[&b"claims"[..], &keys.digest(&upload.bytes)].concat());
        if let Some(before) = self.store().receipt_by_digest(insurer, caller.organization, &digest).await? {
            return self.repeat_upload(caller, insurer, before, context).await;
        }
        let applied = self.extend_registrations(caller, self.latest_of(&upload, context), context).await?;
        let counts = ReceiptCounts { read, applied, unchanged: read - applied, refused: 0 };
        let report = PackageReport::of(counts, &upload.problems);
        let public_id = random_id()?;
        let entry = upload_entry(caller, ("import.claims", &public_id), counts, Outcome::Done, context)?;
        let new = NewReceipt {
            insurer,
            public_id: public_id.clone(),
            sender: caller.organization,
            received_at: context.now,
            original: None,
            digest,
        };
        let json = serde_json::to_vec(&report).map_err(|error| Error::Internal(error.to_string()))?;
        let mut tx = self.store().begin().await?;
        let number = tx.put_receipt(&new).await?;
        tx.finish_receipt(insurer, number, ReceiptState::Applied, counts, &json).await?;
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
        self.commit_under(insurer, tx, vec![entry], &result, context).await?;
        Ok(result)
    }

    /// The municipality that may send claims.
    pub(crate) fn claims_insurer(&self, caller: &Caller, context: &Context) -> Result<InsurerNumber, Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::ImportClaims, table)?;
        caller.municipality().ok_or_else(|| Error::rule(Rule::NotWriter, table))
    }

    /// Of a municipality. It keeps a processor busy.
    fn read_claims(&self, insurer: InsurerNumber, files: &[(String, Vec<u8>)], today: Date) -> ClaimUpload {
        let mut upload = ClaimUpload { bytes: bundle(files), ..ClaimUpload::default() };
        let this_month = ServiceMonth::of(today);
        for (name, bytes) in files {
            if !is_safe_name(name) {
                let text = "ファイル名を短くし、番号を含めないでください";
                upload.problems.push(Problem::of_file(name, "file_name", text));
            }
            let (file, problems) = claims::read(name, bytes);
            upload.problems.extend(problems);
            for (claim, line) in file.into_iter().flat_map(|file| file.months) {
                let at = |rule, text| Problem::of_file(name, rule, text).at_line(line);
                if self.standing().paying_insurer(claim.person.insurer, today) != insurer {
                    upload.problems.push(at("insurer", FOREIGN));
                } else if claim.month > this_month {
                    upload.problems.push(at("future", FUTURE));
                }
                upload.months.insert(claim);
            }
        }
        upload
    }

    fn latest_of(&self, upload: &ClaimUpload, context: &Context) -> Claims {
        let mut latest = Claims::new();
        for claim in &upload.months {
            let insurer = self.standing().paying_insurer(claim.person.insurer, context.today());
            let person = PersonKey { insurer, ..claim.person };
            let month = latest.entry(person).or_default().entry(claim.office).or_insert(claim.month);
            *month = claim.month.max(*month);
        }
        latest
    }

    /// Extends what is live, some people at a time; how many registrations. Done again it changes nothing.
    async fn extend_registrations(&self, caller: &Caller, claims: Claims, context: &Context) -> Result<i64, Error> {
        let mut extended = 0;
        let people: Vec<_> = claims.into_iter().collect();
        for block in people.chunks(BLOCK) {
            let mut entries = Vec::new();
            let mut tx = self.store().begin().await?;
            for (person, offices) in block {
                for before in self.store().assignments(*person).await? {
                    let Some(month) = offices.get(&before.office) else { continue };
                    let until = Assignment::viewable_until_after(*month, self.inner.config.months_without_claim);
                    if !before.is_live(context.today()) || until <= before.viewable_until {
                        continue;
                    }
                    if tx.is_under_review(*person, before.office).await? {
                        continue;
                    }
                    let after = Assignment { viewable_until: until, ..before.clone() };
                    tx.change_assignment(&after, Some(&before)).await?;
                    let detail = serde_json::json!({ "office": before.office, "viewable_until": until });
                    let entry = caller.entry_about(context, *person, "register.extend", Outcome::Done);
                    entries.push(Entry { detail: Some(detail.to_string()), ..entry });
                }
            }
            if !entries.is_empty() {
                extended += i64::try_from(entries.len()).unwrap_or_default();
                tx.commit_all(entries).await?;
            }
        }
        Ok(extended)
    }
}
