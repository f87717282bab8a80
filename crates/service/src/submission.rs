//! 提出物: 主治医意見書 and 居宅サービス計画作成依頼届出 handed to the municipality, which fetches, accepts or returns them;
//! the sender sees the state (P-133, P-138, P-201).

use crate::decision::Question;
use crate::view::waits;
use crate::{Caller, Context, Error, ItemFault, Platform, random_id};
use kiban_domain::dates::Period;
use kiban_domain::physician_opinion::{PhysicianOpinion, Severity};
use kiban_domain::plan_request::{PlanRequest, SubmissionState};
use kiban_domain::{Date, Kind, Organization, PersonKey, Timestamp};
use kiban_policy::{Decision, UseCase};
use kiban_store::{Entry, NewRecord, NewSubmission, Outcome, Submission};
use serde::Serialize;
use serde_json::Value;

/// A document just handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Filed {
    /// 受付番号
    pub receipt: String,
    /// State.
    pub state: SubmissionState,
    /// State in Japanese.
    pub state_name: &'static str,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When the municipality decided.
    pub decided_at: Option<Timestamp>,
    /// Remarks that do not prevent it, in Japanese.
    pub notes: Vec<String>,
}

/// A document waiting for the municipality.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InboxItem {
    /// 受付番号
    pub receipt: String,
    /// 情報種別
    pub kind: Kind,
    /// Its name.
    pub kind_name: &'static str,
    /// 被保険者番号
    pub insured_number: String,
    /// Who sent it.
    pub sender: Organization,
    /// When.
    pub submitted_at: Timestamp,
    /// State.
    pub state: SubmissionState,
    /// Content, once fetched.
    pub content: Option<Value>,
}

/// What the municipality decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decide {
    /// 受理
    Accept,
    /// 差戻し, with its reason.
    Return(String),
}

/// Years a record is kept after its completion (P-200, P-202).
pub(crate) const RETENTION_YEARS: i32 = 5;

impl Platform {
    /// A hospital, 老健 or 介護医療院 hands over an opinion (★, ※2).
    pub async fn submit_opinion(
        &self,
        caller: &Caller,
        handle: &str,
        opinion: PhysicianOpinion,
        context: &Context,
    ) -> Result<Filed, Error> {
        let person = self.allowed_to_create(caller, handle, Kind::A2, UseCase::SubmitOpinion, context).await?;
        let mut faults = Vec::new();
        if opinion.person != person {
            faults.push(ItemFault::new("person", "意見書の被保険者番号が、開いている利用者と違います"));
        }
        if Some(opinion.institution) != caller.organization.office() {
            faults.push(ItemFault::new("institution", "意見書の医療機関が、ログインしている医療機関と違います"));
        }
        let mut notes = Vec::new();
        for problem in opinion.problems() {
            match problem.severity {
                Severity::Fault => faults.push(ItemFault::new(problem.item.clone(), problem.message_ja())),
                Severity::Note => notes.push(problem.message_ja()),
            }
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let payload = serde_json::to_vec(&opinion).map_err(|error| Error::Internal(error.to_string()))?;
        self.file(caller, person, Kind::A2, opinion.natural_key(), payload, notes, context).await
    }

    /// The care manager files a 居宅サービス計画作成依頼届出 with the person's agreement.
    pub async fn file_plan_request(
        &self,
        caller: &Caller,
        handle: &str,
        request: PlanRequest,
        context: &Context,
    ) -> Result<Filed, Error> {
        let person = self.allowed_to_create(caller, handle, Kind::F1, UseCase::FilePlanRequest, context).await?;
        let mut faults: Vec<ItemFault> =
            request.problems().into_iter().map(|text| ItemFault::new("plan_request", text)).collect();
        if request.person != person {
            faults.push(ItemFault::new("person", "届出の被保険者番号が、開いている利用者と違います"));
        }
        if Some(request.office) != caller.organization.office() {
            faults.push(ItemFault::new("office", "届出の事業所番号が、ログインしている事業所と違います"));
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let payload = serde_json::to_vec(&request).map_err(|error| Error::Internal(error.to_string()))?;
        let key = format!("{}-{}", kiban_domain::dates::yyyymmdd(request.starts_on), request.office);
        self.file(caller, person, Kind::F1, key, payload, Vec::new(), context).await
    }

    async fn allowed_to_create(
        &self,
        caller: &Caller,
        handle: &str,
        kind: Kind,
        use_case: UseCase,
        context: &Context,
    ) -> Result<PersonKey, Error> {
        let person = self.person_of(caller, handle).await?;
        let case = self.case(caller, person, context).await?;
        caller.require_way(use_case, case.table)?;
        match case.decide(Question::create(kind)) {
            Decision::Allow { .. } => Ok(person),
            Decision::Refuse { .. } => {
                Err(self.refuse(caller, &case, Question::create(kind), "submit", context).await?)
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one private step shared by the two documents")]
    async fn file(
        &self,
        caller: &Caller,
        person: PersonKey,
        kind: Kind,
        natural_key: String,
        payload: Vec<u8>,
        notes: Vec<String>,
        context: &Context,
    ) -> Result<Filed, Error> {
        let id = random_id()?;
        let waiting = self.store().submissions_about(person).await?;
        let same = waiting.iter().find(|s| {
            s.kind == kind && s.natural_key == natural_key && s.sender == caller.organization && waits(&s.state)
        });
        if same.is_some() {
            return Err(Error::Conflict(
                "同じ書類を提出済みで、市区町村の受理を待っています。修正する場合は差戻しを依頼してください",
            ));
        }
        let mut tx = self.store().begin().await?;
        tx.put_submission(&NewSubmission {
            id: id.clone(),
            person,
            kind,
            sender: caller.organization,
            submitted_by: caller.staff.id.clone(),
            submitted_at: context.now,
            natural_key,
            payload,
        })
        .await?;
        let entry = caller.entry_about(context, person, "submit", Outcome::Done);
        tx.commit(Entry { kind: Some(kind.code().to_owned()), natural_key: Some(id.clone()), ..entry }).await?;
        let state = SubmissionState::Submitted;
        Ok(Filed {
            receipt: id,
            state_name: state.name_ja(),
            state,
            submitted_at: context.now,
            decided_at: None,
            notes,
        })
    }

    /// State of the documents the caller's organisation handed over about a person.
    pub async fn filed(&self, caller: &Caller, handle: &str, context: &Context) -> Result<Vec<Filed>, Error> {
        caller.require_way(UseCase::FilePlanRequest, self.table_at(context.now)?)?;
        let person = self.person_of(caller, handle).await?;
        let submissions = self.store().submissions_about(person).await?;
        let own = submissions.into_iter().filter(|submission| submission.sender == caller.organization);
        let filed = own
            .map(|submission| Filed {
                receipt: submission.id,
                state_name: submission.state.name_ja(),
                state: submission.state,
                submitted_at: submission.submitted_at,
                decided_at: submission.decided_at,
                notes: Vec::new(),
            })
            .collect();
        self.store().audit().append(caller.entry_about(context, person, "filed", Outcome::Allowed)).await?;
        Ok(filed)
    }

    /// What waits for the caller's municipality, without contents.
    pub async fn inbox(&self, caller: &Caller, context: &Context) -> Result<Vec<InboxItem>, Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::Inbox, table)?;
        let Some(insurer) = caller.municipality() else { return Err(Error::Unknown) };
        let items: Vec<InboxItem> =
            self.store().inbox(insurer, 200).await?.into_iter().map(|s| inbox_item(s, false)).collect();
        let subjects: Vec<String> = items.iter().map(|item| item.insured_number.clone()).collect();
        let entry = caller.entry(context, "inbox", Outcome::Allowed);
        self.store().audit().append(Entry { insurer: Some(insurer.to_string()), subjects, ..entry }).await?;
        Ok(items)
    }

    /// The municipality fetches a document; the sender sees 取得済.
    pub async fn fetch_submission(&self, caller: &Caller, id: &str, context: &Context) -> Result<InboxItem, Error> {
        let mut submission = self.own_submission(caller, id, context).await?;
        let to = submission.state.clone().fetch();
        let mut tx = self.store().begin().await?;
        if to != submission.state {
            tx.move_submission(&submission, &to, context.now).await?;
        }
        tx.commit(self.submission_entry(caller, &submission, "inbox.fetch", context)).await?;
        submission.state = to;
        Ok(inbox_item(submission, true))
    }

    /// The municipality accepts a document, which makes it a record, or returns it with a reason.
    pub async fn decide_submission(
        &self,
        caller: &Caller,
        id: &str,
        decide: Decide,
        context: &Context,
    ) -> Result<InboxItem, Error> {
        let reason = match decide {
            Decide::Accept => None,
            Decide::Return(reason) if reason.trim().is_empty() => {
                return Err(Error::item("reason", "差戻しの理由を入力してください"));
            }
            Decide::Return(reason) => Some(reason),
        };
        let mut submission = self.own_submission(caller, id, context).await?;
        let to =
            submission.state.clone().decide(reason).map_err(|_| Error::Conflict("すでに受理または差戻し済みです"))?;
        let mut tx = self.store().begin().await?;
        if to != submission.state {
            if to == SubmissionState::Accepted && submission.kind != Kind::G1 {
                let revision = tx.next_receipt_number(submission.person.insurer).await?;
                tx.put_record(revision, context.now, &record_of(&submission, context.today())?).await?;
            }
            tx.move_submission(&submission, &to, context.now).await?;
        }
        let action = if to == SubmissionState::Accepted { "inbox.accept" } else { "inbox.return" };
        tx.commit(self.submission_entry(caller, &submission, action, context)).await?;
        submission.state = to;
        Ok(inbox_item(submission, false))
    }

    async fn own_submission(&self, caller: &Caller, id: &str, context: &Context) -> Result<Submission, Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::Inbox, table)?;
        let Some(insurer) = caller.municipality() else { return Err(Error::Unknown) };
        match self.store().submission(insurer, id).await? {
            Some(submission) => Ok(submission),
            None => {
                let entry = Entry {
                    insurer: Some(insurer.to_string()),
                    ..caller.entry(context, "inbox.fetch", Outcome::Refused)
                };
                self.store().audit().append(entry).await?;
                Err(Error::Unknown)
            }
        }
    }

    fn submission_entry(&self, caller: &Caller, submission: &Submission, action: &str, context: &Context) -> Entry {
        Entry {
            kind: Some(submission.kind.code().to_owned()),
            natural_key: Some(submission.id.clone()),
            ..caller.entry_about(context, submission.person, action, Outcome::Done)
        }
    }
}

/// The record an accepted document becomes: the formal copy, made by its sender (★ stays with the author).
fn record_of(submission: &Submission, today: Date) -> Result<NewRecord, Error> {
    let payload =
        submission.payload.clone().ok_or(Error::Internal("an undecided document without content".to_owned()))?;
    let valid = Period::new(today, None).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(NewRecord {
        person: submission.person,
        kind: submission.kind,
        natural_key: submission.natural_key.clone(),
        creator: submission.sender,
        valid,
        deleted: false,
        purge_after: years_after(today, RETENTION_YEARS),
        payload,
    })
}

/// The same day some years later.
pub(crate) fn years_after(day: Date, years: i32) -> Date {
    day.checked_add(jiff::Span::new().years(years)).unwrap_or(Date::MAX)
}

fn inbox_item(submission: Submission, with_content: bool) -> InboxItem {
    InboxItem {
        receipt: submission.id,
        kind: submission.kind,
        kind_name: submission.kind.name_ja(),
        insured_number: submission.person.insured.to_string(),
        sender: submission.sender,
        submitted_at: submission.submitted_at,
        state: submission.state,
        content: submission.payload.filter(|_| with_content).and_then(|payload| serde_json::from_slice(&payload).ok()),
    }
}
