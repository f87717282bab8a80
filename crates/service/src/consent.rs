//! 同意の登録: taken by the municipality, or on its behalf by 居宅介護支援 and 施設・居住系 (P-062, P-063); withdrawn or
//! narrowed at any time, effective on the next view (P-069). On screen only (P-072).

use crate::decision::{Case, Question};
use crate::view::latest;
use crate::{Caller, Context, Error, ItemFault, Platform, random_id};
use kiban_domain::certification::CertificationProgress;
use kiban_domain::consent::{ConsentAct, ConsentRecord, ConsentState, Declarant, Evidence, IdentityProof};
use kiban_domain::insurance_card::InsuranceCard;
use kiban_domain::{Date, Kind, dates};
use kiban_policy::{ConsentSubject, ConsentTaker, UseCase, may_record_withdrawal, may_take_consent};
use kiban_store::{CoveredBy, Entry, NewSubmission, Outcome, StoredRecord};
use serde_json::Value;

/// What was declared on screen. The time of the act is the server's (T-7).
#[derive(Debug, Clone)]
pub struct ConsentRequest {
    /// What was done.
    pub act: ConsentAct,
    /// Who declared it.
    pub declarant: Declarant,
    /// How the declarant was identified.
    pub proof: IdentityProof,
    /// 様式と版
    pub form: String,
    /// 説明書と版 (P-065)
    pub leaflet: Option<String>,
    /// Where what proves it is kept (P-066).
    pub evidence: Option<Evidence>,
    /// Reason or remark.
    pub remark: Option<String>,
}

/// What is known before somebody's consent is taken.
#[derive(Debug, Clone)]
pub struct ConsentDesk {
    /// Number, name, kana, birth, sex; address only where it may be known.
    pub person: Value,
    /// What was declared so far, for whoever may see it.
    pub state: Option<ConsentState>,
    /// Whether a consent may be given, given again or widened here. Withdrawing and narrowing is always possible (P-069).
    pub may_take: bool,
}

/// What follows from an act that was recorded.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ConsentTaken {
    /// What all acts of the person mean now.
    #[serde(flatten)]
    pub state: ConsentState,
    /// That the municipality has not started, and its day (P-150): the act is kept, and nothing is shared before that.
    pub not_started: Option<String>,
}

impl Platform {
    /// Records an act and tells the municipality when an office took it (P-073).
    pub async fn record_consent<E: From<Error>>(
        &self,
        caller: &Caller,
        handle: &str,
        request: Result<ConsentRequest, E>,
        context: &Context,
    ) -> Result<ConsentTaken, E> {
        let case = self.case_of_consent(caller, handle, context).await?;
        Ok(self.take_consent(caller, &case, request?, context).await?)
    }

    /// Whether this caller takes consents of anybody at all (P-062, P-063): 市区町村, and the offices that may for it.
    pub fn takes_consents(&self, caller: &Caller, context: &Context) -> Result<bool, Error> {
        let table = self.table_at(context.now)?;
        let taker = match (&caller.office, caller.municipality()) {
            (Some((_, class)), _) => {
                ConsentTaker::Office { class: *class, job: caller.staff.job, assignment_live: true }
            }
            (None, Some(_)) => ConsentTaker::Municipality,
            (None, None) => return Ok(false),
        };
        let someone = ConsentSubject { certified: true, asked_by_municipality: false };
        let is_open = caller.require_way(UseCase::RecordConsent, table).is_ok();
        Ok(is_open && may_take_consent(taker, someone, table).is_ok())
    }

    /// What whoever takes a consent must know before: who it is, what was declared so far, and whether a consent may be taken here
    /// at all. For those who take consents; unknown to others.
    pub async fn consent_desk(&self, caller: &Caller, handle: &str, context: &Context) -> Result<ConsentDesk, Error> {
        if !self.takes_consents(caller, context)? {
            return Err(Error::Unknown);
        }
        let case = self.case_of_consent(caller, handle, context).await?;
        let person = self.view_identity(caller, handle, context).await?;
        let question = Question::read(Kind::G1);
        let decision = case.decide(question);
        let outcome = if decision.is_allowed() { Outcome::Allowed } else { Outcome::Refused };
        let entry = case.entry(caller, context, "view", outcome, question, decision.rule());
        self.store().audit().append(entry).await?;
        let may_take = self.may_open_consent(caller, &case, context).await?;
        Ok(ConsentDesk { person, state: decision.is_allowed().then(|| case.stored.consent.clone()), may_take })
    }

    /// Whether this caller may take this person's consent now (P-063).
    pub(crate) async fn may_open_consent(
        &self,
        caller: &Caller,
        case: &Case,
        context: &Context,
    ) -> Result<bool, Error> {
        let subject = self.consent_subject(case, context).await?;
        Ok(may_take_consent(taker_of(caller, case), subject, case.table).is_ok())
    }

    /// The person, if the caller is registered for them or their municipality.
    async fn case_of_consent(&self, caller: &Caller, handle: &str, context: &Context) -> Result<Case, Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::RecordConsent, table)?;
        let person = self.person_of(caller, handle).await?;
        let case = self.case(caller, person, context).await?;
        if !(case.is_assigned() || case.is_own_municipality()) {
            let refused = Entry {
                rule: Some("not_assigned".to_owned()),
                ..caller.entry_about(context, person, "consent.record", Outcome::Refused)
            };
            self.store().audit().append(refused).await?;
            return Err(Error::Unknown);
        }
        Ok(case)
    }

    async fn take_consent(
        &self,
        caller: &Caller,
        case: &Case,
        request: ConsentRequest,
        context: &Context,
    ) -> Result<ConsentTaken, Error> {
        let (person, table) = (case.person, case.table);
        let taker = taker_of(caller, case);
        let opens = matches!(request.act, ConsentAct::Given | ConsentAct::KindAllowed(_) | ConsentAct::NotObtainable);
        let allowed = if opens {
            may_take_consent(taker, self.consent_subject(case, context).await?, table)
        } else {
            may_record_withdrawal(taker)
        };
        if let Err(rule) = allowed {
            let refused = Entry {
                rule: Some(rule.code().to_owned()),
                ..caller.entry_about(context, person, "consent.record", Outcome::Refused)
            };
            self.store().audit().append(refused).await?;
            return Err(Error::rule(rule, table));
        }
        check(&request)?;
        // A closing act on screen is the latest word, whatever time a file or another server's clock gave an earlier act.
        let before = self.store().consents(person).await?;
        let latest = before.iter().map(|consent| consent.record.acted_at).max();
        let acted_at = if opens { context.now } else { latest.map_or(context.now, |latest| latest.max(context.now)) };
        let record = ConsentRecord {
            person,
            act: request.act,
            acted_at,
            declarant: request.declarant,
            proof: request.proof,
            taken_by: caller.organization,
            staff: Some(caller.staff.id.clone()),
            form: request.form,
            remark: request.remark,
            leaflet: request.leaflet,
            evidence: request.evidence,
        };
        let id = random_id()?;
        let mut tx = self.store().begin().await?;
        let revision = tx.next_receipt_number(person.insurer).await?;
        tx.put_consent(&id, revision, context.now, &record).await?;
        if caller.office.is_some() {
            tx.put_submission(&NewSubmission {
                id: id.clone(),
                person,
                kind: Kind::G1,
                sender: caller.organization,
                submitted_by: caller.staff.id.clone(),
                submitted_at: context.now,
                natural_key: id.clone(),
                payload: serde_json::to_vec(&record).map_err(|error| Error::Internal(error.to_string()))?,
                original: None,
                replaces: None,
            })
            .await?;
        }
        let detail = serde_json::json!({ "act": record.act }).to_string();
        let entry = caller.entry_about(context, person, "consent.record", Outcome::Done);
        let entry = Entry { kind: Some("G1".to_owned()), natural_key: Some(id), detail: Some(detail), ..entry };
        let acts = before.iter().map(|consent| &consent.record).chain([&record]);
        let state = ConsentState::of(acts.map(|record| (&record.act, record.acted_at)));
        let not_started = crate::start::not_started(case.stored.start, context.today());
        let taken = ConsentTaken { state, not_started };
        self.commit(tx, entry, &taken, context).await?;
        Ok(taken)
    }

    /// P-063: certified, and not yet asked by the municipality itself since its start.
    async fn consent_subject(&self, case: &Case, context: &Context) -> Result<ConsentSubject, Error> {
        let (now, unapplied) = (context.now, &case.stored.unapplied);
        let started_on = case.stored.start.date();
        // Only two truths leave the records here; the audit entry of the act itself covers them.
        let certified = self.store().records(case.person, Kind::A3a).await?.map(|records: Vec<StoredRecord>| {
            let card: Option<InsuranceCard> = latest(records, now, unapplied);
            card.is_some_and(|card| is_certified(&card, dates::day_in_japan(now)))
        });
        let asked = self.store().records(case.person, Kind::A5).await?.map(|records: Vec<StoredRecord>| {
            asked_since(&StoredRecord::as_known(records, now, unapplied), started_on)
        });
        let (certified, asked) = certified.zip(asked).under(CoveredBy::Act);
        Ok(ConsentSubject { certified, asked_by_municipality: asked })
    }
}

/// As whom a caller takes a person's consent.
pub(crate) fn taker_of(caller: &Caller, case: &Case) -> ConsentTaker {
    match &caller.office {
        Some((_, class)) => {
            ConsentTaker::Office { class: *class, job: caller.staff.job, assignment_live: case.is_assigned() }
        }
        None => ConsentTaker::Municipality,
    }
}

/// Whether a certification is in force on a day.
pub(crate) fn is_certified(card: &InsuranceCard, on: Date) -> bool {
    card.certified.as_ref().and_then(|certified| certified.valid).is_some_and(|valid| valid.contains(on))
}

/// Whether the municipality has handled an application since its start, by the records of 進捗.
pub(crate) fn asked_since(progress: &[StoredRecord], started_on: Option<Date>) -> bool {
    let applied = |record: &StoredRecord| {
        serde_json::from_slice::<CertificationProgress>(&record.payload).ok().map(|progress| progress.applied_on)
    };
    progress.iter().filter_map(applied).any(|day| started_on.is_some_and(|start| day >= start))
}

fn check(request: &ConsentRequest) -> Result<(), Error> {
    let mut faults = Vec::new();
    let mut fault = |item: &str, text: &str| faults.push(ItemFault::new(item, text));
    if request.form.trim().is_empty() {
        fault("form", "同意を取った様式と版を入力してください（例: 同意様式 第1版）");
    }
    if request.leaflet.as_deref().is_some_and(|leaflet| leaflet.trim().is_empty()) {
        fault("leaflet", "説明書と版が空です。用いていないときは項目ごと省いてください");
    }
    if let Some(text) = request.evidence.as_ref().and_then(Evidence::problem) {
        fault("evidence", text);
    }
    if matches!(&request.declarant, Declarant::Representative { relation } if relation.trim().is_empty()) {
        fault("declarant", "代理人等の続柄・資格を入力してください（例: 長女、成年後見人）");
    }
    if request.act == ConsentAct::NotObtainable && request.remark.as_deref().is_none_or(|text| text.trim().is_empty()) {
        fault("remark", "同意を取得できない理由を入力してください");
    }
    if let ConsentAct::KindRefused(kind) | ConsentAct::KindAllowed(kind) = request.act
        && !kind.is_stored()
    {
        fault("kind", "この情報は基盤に保存されていません（※3）");
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
}
