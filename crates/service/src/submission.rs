//! 提出物: 主治医意見書 and 居宅サービス計画作成依頼届出 handed to the municipality, which fetches, accepts or returns them;
//! the sender sees the state (P-133, P-138, P-201).

use crate::decision::{Question, TOGETHER};
use crate::notices::Tell;
use crate::opinion_work::OTHER_APPLICANT;
use crate::plan_offices::PlanChange;
use crate::view::waits;
use crate::{Caller, Context, Error, ItemFault, Platform, random_id};
use kiban_domain::dates::Period;
use kiban_domain::insured::Insured;
use kiban_domain::notice::NoticeKind;
use kiban_domain::physician_opinion::{PhysicianOpinion, Severity};
use kiban_domain::plan_request::{PlanRequest, SubmissionState};
use kiban_domain::{Date, InsurerNumber, Kind, Organization, PersonKey, Timestamp};
use kiban_formats::Severity as ProblemSeverity;
use kiban_formats::municipal::{self, Change, Entry as Row, MunicipalPackage};
use kiban_policy::{Decision, Rule, UseCase, Way};
use kiban_store::{CoveredBy, Entry, NewRecord, NewSubmission, Original, Outcome, StoreError, Submission, Tx};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

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
    /// 受付番号 of the earlier document this one replaces.
    pub replaces: Option<String>,
    /// The content of a returned document is gone from the platform: another one replaced it, or nobody handed it in again in
    /// time.
    pub content_removed: bool,
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
    /// Who it is about, for an officer at a screen who may see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<InboxPerson>,
    /// Who sent it.
    pub sender: Organization,
    /// When.
    pub submitted_at: Timestamp,
    /// State.
    pub state: SubmissionState,
    /// When it was accepted or returned.
    pub decided_at: Option<Timestamp>,
    /// 受付番号 of the sender's earlier document it replaces (出し直し).
    pub replaces: Option<String>,
    /// The file as it was handed in, if there is one; fetched on its own.
    pub original: Option<OriginalInfo>,
    /// Content, once fetched.
    pub content: Option<Value>,
}

/// Whom a document is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InboxPerson {
    /// 氏名
    pub name: String,
    /// フリガナ
    pub kana: String,
    /// 生年月日
    pub birth: Date,
    /// 住所
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// 不開示: nobody outside may learn where the person is.
    pub withheld: bool,
}

/// What the file of a document is, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OriginalInfo {
    /// MIME type.
    pub media: String,
    /// Bytes.
    pub size: usize,
    /// SHA-256 of the bytes, lower-case hexadecimal.
    pub sha256: String,
}

/// Which documents a page of the inbox shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InboxState {
    /// 提出済 and 取得済: not decided yet.
    #[default]
    Waiting,
    /// 提出済
    Submitted,
    /// 取得済
    Fetched,
    /// 受理
    Accepted,
    /// 差戻し
    Returned,
}

impl InboxState {
    /// `waiting`, `submitted`, `fetched`, `accepted` or `returned`.
    pub fn parse(code: &str) -> Option<Self> {
        Some(match code {
            "waiting" => Self::Waiting,
            "submitted" => Self::Submitted,
            "fetched" => Self::Fetched,
            "accepted" => Self::Accepted,
            "returned" => Self::Returned,
            _ => return None,
        })
    }

    fn codes(self) -> &'static [&'static str] {
        match self {
            Self::Waiting => &["submitted", "fetched"],
            Self::Submitted => &["submitted"],
            Self::Fetched => &["fetched"],
            Self::Accepted => &["accepted"],
            Self::Returned => &["returned"],
        }
    }
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
    pub async fn submit_opinion<E: From<Error>>(
        &self,
        caller: &Caller,
        handle: &str,
        opinion: Result<PhysicianOpinion, E>,
        original: Original,
        context: &Context,
    ) -> Result<Filed, E> {
        let person = self.person_of(caller, handle).await?;
        self.allowed_to_create(caller, person, Kind::A2, UseCase::SubmitOpinion, context).await?;
        Ok(self.file_opinion(caller, person, opinion?, original, context).await?)
    }

    async fn file_opinion(
        &self,
        caller: &Caller,
        person: PersonKey,
        opinion: PhysicianOpinion,
        original: Original,
        context: &Context,
    ) -> Result<Filed, Error> {
        let mut faults = Vec::new();
        if opinion.person != person {
            faults.push(ItemFault::new("person", "意見書の被保険者番号が、開いている利用者と違います"));
        }
        let (more, notes) = judge_opinion(caller, &opinion, context.now);
        faults.extend(more);
        if faults.is_empty() && !self.is_applicant(caller, &opinion, context).await? {
            faults.push(ItemFault::new("basics.applicant", OTHER_APPLICANT));
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let payload = serde_json::to_vec(&opinion).map_err(|error| Error::Internal(error.to_string()))?;
        let natural_key = opinion.natural_key();
        let filing = Filing { id: random_id()?, person, kind: Kind::A2, natural_key, payload, original, notes };
        self.file(caller, filing, context).await
    }

    /// The care manager files a 居宅サービス計画作成依頼届出 with the person's agreement.
    pub async fn file_plan_request<E: From<Error>>(
        &self,
        caller: &Caller,
        handle: &str,
        request: Result<PlanRequest, E>,
        original: Original,
        context: &Context,
    ) -> Result<Filed, E> {
        let person = self.person_of(caller, handle).await?;
        self.allowed_to_create(caller, person, Kind::F1, UseCase::FilePlanRequest, context).await?;
        Ok(self.file_request(caller, person, request?, original, context).await?)
    }

    async fn file_request(
        &self,
        caller: &Caller,
        person: PersonKey,
        request: PlanRequest,
        original: Original,
        context: &Context,
    ) -> Result<Filed, Error> {
        let mut faults: Vec<ItemFault> =
            request.problems().into_iter().map(|fault| ItemFault::new(fault.item, fault.text)).collect();
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
        let natural_key = format!("{}-{}", kiban_domain::dates::yyyymmdd(request.starts_on), request.office);
        let (kind, notes) = (Kind::F1, Vec::new());
        let filing = Filing { id: random_id()?, person, kind, natural_key, payload, original, notes };
        self.file(caller, filing, context).await
    }

    pub(crate) async fn allowed_to_create(
        &self,
        caller: &Caller,
        person: PersonKey,
        kind: Kind,
        use_case: UseCase,
        context: &Context,
    ) -> Result<(), Error> {
        let case = self.case(caller, person, context).await?;
        caller.require_way(use_case, case.table)?;
        match case.decide(Question::create(kind)) {
            Decision::Allow { .. } => Ok(()),
            Decision::Refuse { .. } => {
                Err(self.refuse(caller, &case, Question::create(kind), "submit", context).await?)
            }
        }
    }

    /// Puts a document into the municipality's inbox. One that was sent back or accepted may be followed by another, which
    /// names it; one that waits may not.
    pub(crate) async fn file(&self, caller: &Caller, filing: Filing, context: &Context) -> Result<Filed, Error> {
        let before = self.document_before(caller, &filing).await?;
        let mut tx = self.store().begin().await?;
        let (filed, entry) = self.put_filing(&mut tx, caller, (filing, before), context).await?;
        self.commit(tx, entry, &filed, context).await?;
        Ok(filed)
    }

    /// 受付番号 of the latest document a new one follows, if there is one; a conflict while one waits.
    pub(crate) async fn document_before(&self, caller: &Caller, filing: &Filing) -> Result<Option<String>, Error> {
        let about = self.store().submissions_about(filing.person).await?;
        let mut same = about.into_iter().filter(|s| {
            s.kind == filing.kind && s.natural_key == filing.natural_key && s.sender == caller.organization
        });
        let before = same.next();
        if before.as_ref().is_some_and(|before| waits(&before.state)) || same.any(|earlier| waits(&earlier.state)) {
            return Err(Error::Conflict(WAITS));
        }
        Ok(before.map(|before| before.id))
    }

    /// Writes a document and what goes with it; the answer, and the entry to commit it with. Of two at the same moment the store
    /// takes one.
    pub(crate) async fn put_filing(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        (filing, replaces): (Filing, Option<String>),
        context: &Context,
    ) -> Result<(Filed, Entry), Error> {
        let Filing { id, person, kind, natural_key, payload, original, notes } = filing;
        let new = NewSubmission {
            id: id.clone(),
            person,
            kind,
            sender: caller.organization,
            submitted_by: caller.staff.id.clone(),
            submitted_at: context.now,
            natural_key,
            payload,
            original: Some(original),
            replaces: replaces.clone(),
        };
        tx.put_submission(&new).await.map_err(|error| match error {
            StoreError::Conflict(_) => Error::Conflict(WAITS),
            other => other.into(),
        })?;
        // What was being written at a screen has been sent, here or by the hospital's program.
        if let (Kind::A2, Some(office)) = (kind, caller.organization.office()) {
            tx.drop_opinion_draft(person, office).await?;
        }
        if let Some(before) = &replaces {
            tx.drop_returned_content(person.insurer, before).await?;
        }
        let entry = caller.entry_about(context, person, "submit", Outcome::Done);
        let entry = Entry { kind: Some(kind.code().to_owned()), natural_key: Some(id.clone()), ..entry };
        let state = SubmissionState::Submitted;
        let filed = Filed {
            receipt: id,
            state_name: state.name_ja(),
            state,
            submitted_at: context.now,
            decided_at: None,
            replaces,
            content_removed: false,
            notes,
        };
        Ok((filed, entry))
    }

    /// State of the documents the caller's organisation handed over about a person.
    pub async fn filed(&self, caller: &Caller, handle: &str, context: &Context) -> Result<Vec<Filed>, Error> {
        caller.require_way(UseCase::FilePlanRequest, self.table_at(context.now)?)?;
        let person = self.person_of(caller, handle).await?;
        let stored = self.case(caller, person, context).await?.stored;
        if stored.switched_off {
            let rule = Some(Rule::SwitchedOff.code().to_owned());
            let refused = caller.entry_about(context, person, "filed", Outcome::Refused);
            self.store().audit().append(Entry { rule, ..refused }).await?;
            return Err(Error::Unknown);
        }
        let submissions = self.store().submissions_about(person).await?;
        let is_shown =
            |one: &Submission| one.sender == caller.organization && !stored.switched_off_kinds.contains(&one.kind);
        let filed = submissions.into_iter().filter(is_shown).map(filed).collect();
        self.store().audit().append(caller.entry_about(context, person, "filed", Outcome::Allowed)).await?;
        Ok(filed)
    }

    /// A page of the caller's municipality's inbox without contents, oldest first; `after` is the receipt of the last item
    /// of the page before.
    pub async fn inbox<E: From<Error>>(
        &self,
        caller: &Caller,
        page: Result<(InboxState, i32), E>,
        after: Option<&str>,
        context: &Context,
    ) -> Result<Vec<InboxItem>, E> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::Inbox, table)?;
        let Some(insurer) = caller.municipality() else { return Err(Error::Unknown.into()) };
        let (state, limit) = page?;
        Ok(self.inbox_page(caller, insurer, state, after, limit, context).await?)
    }

    async fn inbox_page(
        &self,
        caller: &Caller,
        insurer: InsurerNumber,
        state: InboxState,
        after: Option<&str>,
        limit: i32,
        context: &Context,
    ) -> Result<Vec<InboxItem>, Error> {
        let last = match after {
            Some(id) => Some(self.store().submission(insurer, id).await?.ok_or(Error::Unknown)?),
            None => None,
        };
        let after = last.as_ref().map(|last| (last.submitted_at, last.id.as_str()));
        let mut page = Vec::new();
        for code in state.codes() {
            page.extend(self.store().inbox_page(insurer, code, after, limit).await?);
        }
        page.sort_by(|a, b| (a.submitted_at, &a.id).cmp(&(b.submitted_at, &b.id)));
        page.truncate(limit as usize);
        let named = self.inbox_people(caller, page.iter().map(|one| one.person), context).await?;
        let item = |one: Submission| InboxItem { person: named.get(&one.person).cloned(), ..inbox_item(one, false) };
        let items: Vec<InboxItem> = page.into_iter().map(item).collect();
        let subjects: Vec<String> = items.iter().map(|item| item.insured_number.clone()).collect();
        let entry = caller.entry(context, "inbox", Outcome::Allowed);
        self.store().audit().append(Entry { insurer: Some(insurer.to_string()), subjects, ..entry }).await?;
        Ok(items)
    }

    /// Who the documents are about, for an officer at a screen; the entry that covers it is the caller's to make.
    async fn inbox_people(
        &self,
        caller: &Caller,
        people: impl Iterator<Item = PersonKey>,
        context: &Context,
    ) -> Result<HashMap<PersonKey, InboxPerson>, Error> {
        let mut found = HashMap::new();
        if caller.way != Way::Interactive {
            return Ok(found);
        }
        let people: Vec<PersonKey> = people.collect::<BTreeSet<_>>().into_iter().collect();
        for together in people.chunks(TOGETHER) {
            for (case, unopened) in self.cases_with(caller, together, (&[], true), context).await? {
                if case.decide(Question::read(Kind::A3a)).is_allowed()
                    && let Some(insured) = unopened.identity()?
                {
                    let Insured { identity, withheld, .. } = insured.under(CoveredBy::List);
                    let person = InboxPerson {
                        name: identity.name,
                        kana: identity.kana,
                        birth: identity.birth,
                        address: identity.address,
                        withheld,
                    };
                    found.insert(case.person, person);
                }
            }
        }
        Ok(found)
    }

    /// The bytes a document was handed in with: of one that waits the transit copy, of an accepted one the formal copy.
    pub async fn submission_original(&self, caller: &Caller, id: &str, context: &Context) -> Result<Original, Error> {
        let submission = self.own_submission(caller, id, context).await?;
        let original = match submission.original.clone() {
            Some(original) => Some(original),
            None => self.store().kept_original(submission.person.insurer, id).await?,
        };
        let outcome = if original.is_some() { Outcome::Allowed } else { Outcome::Refused };
        let entry = self.submission_entry(caller, &submission, "inbox.original", context);
        self.store().audit().append(Entry { outcome, ..entry }).await?;
        original.ok_or(Error::Unknown)
    }

    /// The municipality fetches a document; the sender sees 取得済. Fetched again, it is decided, read and recorded anew.
    pub async fn fetch_submission(&self, caller: &Caller, id: &str, context: &Context) -> Result<InboxItem, Error> {
        let mut submission = self.own_submission(caller, id, context).await?;
        let to = submission.state.clone().fetch();
        let mut tx = self.store().begin().await?;
        if to != submission.state {
            tx.move_submission(&submission, &to, context.now).await?;
        }
        let entry = self.submission_entry(caller, &submission, "inbox.fetch", context);
        submission.state = to;
        self.commit_repeatable(tx, entry, context).await?;
        Ok(inbox_item(submission, true))
    }

    /// A document as the municipality has it now, without moving it on: the content only of one that was fetched.
    pub async fn see_submission(&self, caller: &Caller, id: &str, context: &Context) -> Result<InboxItem, Error> {
        let submission = self.own_submission(caller, id, context).await?;
        let entry = self.submission_entry(caller, &submission, "inbox.look", context);
        self.store().audit().append(Entry { outcome: Outcome::Allowed, ..entry }).await?;
        let is_open = submission.state != SubmissionState::Submitted;
        let key = submission.person;
        let person = self.inbox_people(caller, std::iter::once(key), context).await?.remove(&key);
        Ok(InboxItem { person, ..inbox_item(submission, is_open) })
    }

    /// The municipality accepts a document, which makes it a record, or returns it with a reason.
    pub async fn decide_submission<E: From<Error>>(
        &self,
        caller: &Caller,
        id: &str,
        decide: Result<Decide, E>,
        context: &Context,
    ) -> Result<InboxItem, E> {
        let submission = self.own_submission(caller, id, context).await?;
        Ok(self.settle_submission(caller, submission, decide?, context).await?)
    }

    async fn settle_submission(
        &self,
        caller: &Caller,
        mut submission: Submission,
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
        if submission.kind == Kind::G1 && reason.is_some() {
            return Err(Error::Conflict(
                "同意の知らせは差し戻せません。受け取るときは受理し、同意を取り消すときは「同意の登録・撤回」で撤回してください",
            ));
        }
        let to =
            submission.state.clone().decide(reason).map_err(|_| Error::Conflict("すでに受理または差戻し済みです"))?;
        let accepts = to == SubmissionState::Accepted && to != submission.state;
        let plans = if accepts { self.plan_change(&submission, context).await? } else { PlanChange::default() };
        let mut tx = self.store().begin().await?;
        if accepts && submission.kind != Kind::G1 {
            let revision = tx.next_receipt_number(submission.person.insurer).await?;
            let record = record_of(&submission, context.today())?;
            tx.put_record(revision, context.now, &record).await?;
            tx.keep_original(&submission, revision, record.purge_after).await?;
            plans.write(&mut tx).await?;
            self.open_reviews(&mut tx, &plans, context).await?;
        }
        if matches!(to, SubmissionState::Returned { .. }) && to != submission.state {
            let facts = serde_json::json!({ "receipt": submission.id, "kind": submission.kind.code() });
            let tell = Tell {
                to: submission.sender,
                administrators: false,
                kind: NoticeKind::SubmissionReturned,
                about: None,
                facts,
                once: &submission.id,
            };
            self.tell(&mut tx, tell, context).await?;
        }
        if to != submission.state {
            tx.move_submission(&submission, &to, context.now).await?;
        }
        let action = if to == SubmissionState::Accepted { "inbox.accept" } else { "inbox.return" };
        let entry = self.submission_entry(caller, &submission, action, context);
        let entry = Entry { detail: plans.detail(), ..entry };
        if accepts {
            submission.payload = None;
            submission.original = None;
        }
        if to != submission.state {
            submission.decided_at = Some(context.now);
        }
        submission.state = to;
        let item = inbox_item(submission, false);
        self.commit(tx, entry, &item, context).await?;
        Ok(item)
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

/// Told when the same document waits for the municipality already.
const WAITS: &str = "同じ書類を提出済みで、市区町村の受理を待っています。修正する場合は差戻しを依頼してください";

/// A document about to be put into the inbox.
pub(crate) struct Filing {
    pub(crate) id: String,
    pub(crate) person: PersonKey,
    pub(crate) kind: Kind,
    pub(crate) natural_key: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) original: Original,
    pub(crate) notes: Vec<String>,
}

/// What keeps an opinion from being handed over by this caller, and remarks that do not.
pub(crate) fn judge_opinion(
    caller: &Caller,
    opinion: &PhysicianOpinion,
    now: Timestamp,
) -> (Vec<ItemFault>, Vec<String>) {
    let (mut faults, mut notes) = (Vec::new(), Vec::new());
    if Some(opinion.institution) != caller.organization.office() {
        faults.push(ItemFault::new("institution", "意見書の医療機関が、ログインしている医療機関と違います"));
    }
    for problem in opinion.problems() {
        match problem.severity {
            Severity::Fault => faults.push(ItemFault::new(problem.item.clone(), problem.message_ja())),
            Severity::Note => notes.push(problem.message_ja()),
        }
    }
    if faults.is_empty() {
        faults = unwritable(opinion, now);
    }
    (faults, notes)
}

/// What the municipality's package could not carry: what was accepted must go out with its insurer's data and come in again.
fn unwritable(opinion: &PhysicianOpinion, now: Timestamp) -> Vec<ItemFault> {
    let entry = Row { key: opinion.person, history: 1, change: Change::New, value: opinion.clone() };
    let problems = match MunicipalPackage::new(opinion.person.insurer, now).records(&[entry]).finish() {
        Ok(files) => municipal::open(files).check(&mut |_| {}),
        Err(problems) => problems,
    };
    let faults = problems.into_iter().filter(|problem| problem.severity == ProblemSeverity::Error);
    faults
        .map(|problem| ItemFault::new(problem.item.clone(), format!("{}：{}", problem.item, problem.expected)))
        .collect()
}

const RETURNED_AND_REMOVED: &str = "差戻し（出し直されたか期限が過ぎ、内容は基盤から消えています）";

/// A document as its sender sees it.
pub(crate) fn filed(submission: Submission) -> Filed {
    let returned = matches!(submission.state, SubmissionState::Returned { .. });
    let content_removed = returned && submission.payload.is_none();
    Filed {
        receipt: submission.id,
        content_removed,
        state_name: if content_removed { RETURNED_AND_REMOVED } else { submission.state.name_ja() },
        state: submission.state,
        submitted_at: submission.submitted_at,
        decided_at: submission.decided_at,
        replaces: submission.replaces,
        notes: Vec::new(),
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
        person: None,
        sender: submission.sender,
        submitted_at: submission.submitted_at,
        state: submission.state,
        decided_at: submission.decided_at,
        replaces: submission.replaces,
        original: submission.original.map(|original| OriginalInfo {
            sha256: hex(ring::digest::digest(&ring::digest::SHA256, &original.bytes).as_ref()),
            size: original.bytes.len(),
            media: original.media,
        }),
        content: submission.payload.filter(|_| with_content).and_then(|payload| serde_json::from_slice(&payload).ok()),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
