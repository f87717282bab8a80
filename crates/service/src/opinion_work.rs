//! 主治医意見書 at a screen: what a hospital is asked for, what it has typed so far, and a file of its document software taken as
//! the beginning (P-134 path ①, P-217). Sending is [`Platform::submit_opinion`], the same as through the API.

use crate::decision::{Case, Question, TOGETHER};
use crate::opinion_file::{self, OpinionFormat};
use crate::submission::{Filed, filed};
use crate::view::{Opening, identity_of, opening, waits};
use crate::{Caller, Context, Error, Platform};
use kiban_domain::dates::{self, day_in_japan};
use kiban_domain::office::OfficeClass;
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::plan_request::SubmissionState;
use kiban_domain::{Date, Kind, OfficeNumber, PersonKey, Timestamp};
use kiban_formats::Problem;
use kiban_policy::UseCase;
use kiban_store::{CoveredBy, Entry, OpinionDraft, Outcome, Submission};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// People looked at in one go.
const PAGE: i32 = 200;

/// How far an opinion that was asked for has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpinionStep {
    /// 未着手
    Untouched,
    /// 書きかけ, last saved at.
    Draft(Timestamp),
    /// 送信済: waits for the municipality, which may have fetched it.
    Sent,
    /// 受理
    Accepted,
    /// 差戻し, with the reason.
    Returned(String),
}

/// One line of the list of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpinionLine {
    /// Handle of the person for this hospital.
    pub handle: String,
    /// 被保険者番号
    pub insured_number: String,
    /// 氏名, where it may be seen.
    pub name: Option<String>,
    /// フリガナ
    pub kana: Option<String>,
    /// 保険者番号 of who asks.
    pub insurer_number: String,
    /// 作成依頼日
    pub requested_on: Date,
    /// 提出の目安
    pub due_on: Date,
    /// Where it stands.
    pub step: OpinionStep,
}

/// The latest opinion this hospital handed in for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerOpinion {
    /// Receipt and state.
    pub filed: Filed,
    /// What it says, of a returned one that is still there.
    pub content: Option<PhysicianOpinion>,
}

/// Everything a hospital needs to write one opinion.
#[derive(Debug, Clone)]
pub struct OpinionWork {
    /// About whom.
    pub person: PersonKey,
    /// The hospital.
    pub office: OfficeNumber,
    /// Number, name, kana, birth, sex; address only where it may be known.
    pub identity: Value,
    /// 作成依頼日, if the municipality asked.
    pub requested_on: Option<Date>,
    /// 提出の目安
    pub due_on: Option<Date>,
    /// 申請日 the request is for.
    pub applied_on: Option<Date>,
    /// What is typed and not sent yet.
    pub draft: Option<OpinionDraft>,
    /// The latest one handed in for this request.
    pub former: Option<FormerOpinion>,
    /// The last one of this hospital that the municipality has accepted.
    pub last: Option<PhysicianOpinion>,
}

impl OpinionWork {
    /// Whether one has been sent and is not returned: then there is nothing to write.
    pub fn is_sent(&self) -> bool {
        let returned = |state: &SubmissionState| matches!(state, SubmissionState::Returned { .. });
        self.former.as_ref().is_some_and(|former| !returned(&former.filed.state))
    }

    /// 差戻しの理由, of one that is to be put right.
    pub fn returned_for(&self) -> Option<&str> {
        match &self.former.as_ref()?.filed.state {
            SubmissionState::Returned { reason } => Some(reason),
            _ => None,
        }
    }
}

impl Platform {
    /// Whether the caller's office is one that writes opinions: a hospital, 老健 or 介護医療院 (P-043). The pages of the work do
    /// not exist for others; about each person the decision is taken anew.
    pub fn writes_opinions(&self, caller: &Caller) -> bool {
        let class = caller.office.as_ref().map(|(_, class)| *class);
        matches!(class, Some(OfficeClass::Hospital | OfficeClass::HospitalWithCare | OfficeClass::HealthFacility))
    }

    fn opinion_office(&self, caller: &Caller, context: &Context) -> Result<OfficeNumber, Error> {
        let office = self.may_send_opinions(caller, context)?;
        if self.writes_opinions(caller) { Ok(office) } else { Err(Error::Unknown) }
    }

    /// The opinions municipalities ask this hospital for: what is to be done first, oldest due first, what is done last.
    pub async fn opinion_requests(&self, caller: &Caller, context: &Context) -> Result<Vec<OpinionLine>, Error> {
        let office = self.opinion_office(caller, context)?;
        let (mut lines, mut after) = (Vec::new(), None);
        let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
        loop {
            let people = self.store().people_of_office(office, after, PAGE).await?;
            let Some(last) = people.last() else { break };
            after = Some(*last);
            for together in people.chunks(TOGETHER) {
                for (person, line) in self.opinion_lines(caller, office, together, context).await? {
                    seen.entry(person.insurer.to_string()).or_default().push(person.insured.to_string());
                    lines.push(line);
                }
            }
        }
        for (insurer, subjects) in seen {
            let entry = caller.entry(context, "opinion.requests", Outcome::Allowed);
            self.store().audit().append(Entry { insurer: Some(insurer), subjects, ..entry }).await?;
        }
        lines.sort_by_key(|line| (place(&line.step), line.due_on, line.handle.clone()));
        Ok(lines)
    }

    /// The lines of those of whom an opinion is asked for, each question of the store about all of them at once.
    async fn opinion_lines(
        &self,
        caller: &Caller,
        office: OfficeNumber,
        people: &[PersonKey],
        context: &Context,
    ) -> Result<Vec<(PersonKey, OpinionLine)>, Error> {
        let mut asked = Vec::new();
        for (case, unopened) in self.cases_with(caller, people, (&[Kind::A3a], true), context).await? {
            let requested = case.stored.opinion_requested_on.filter(|day| self.is_request_live(*day, context.today()));
            let Some(requested_on) = requested.and_then(|day| dates::from_number(day).ok()) else { continue };
            if case.stored.known && case.decide(Question::create(Kind::A2)).is_allowed() {
                asked.push((case, unopened, requested_on));
            }
        }
        let people: Vec<PersonKey> = asked.iter().map(|(case, ..)| case.person).collect();
        // In this order: whoever sees that a draft is gone sees that it was sent.
        let mut drafts = self.store().opinion_drafts(&people, office).await?;
        let filed = self.store().submissions_of(caller.organization, Kind::A2, &people).await?;
        let mut lines = Vec::with_capacity(asked.len());
        for (case, unopened, requested_on) in asked {
            let person = case.person;
            let mut identity = None;
            // Covered by the one entry of the list, made before it is answered.
            if case.decide(Question::read(Kind::A3a)).is_allowed()
                && let Some(insured) = unopened.identity()?
            {
                identity = Some(insured.under(CoveredBy::List).identity);
            }
            let latest = filed.iter().find(|one| one.person == person);
            let draft = going_on(drafts.remove(&person), latest);
            let former = latest.filter(|latest| is_since(latest, Some(requested_on)));
            let line = OpinionLine {
                handle: self.handle_of(caller, person).await?,
                insured_number: person.insured.to_string(),
                name: identity.as_ref().map(|identity| identity.name.clone()),
                kana: identity.map(|identity| identity.kana),
                insurer_number: person.insurer.to_string(),
                requested_on,
                due_on: self.opinion_due(requested_on),
                step: step(former.map(|former| former.state.clone()), draft),
            };
            lines.push((person, line));
        }
        Ok(lines)
    }

    fn opinion_due(&self, requested_on: Date) -> Date {
        requested_on.checked_add(jiff::Span::new().days(self.inner.config.opinion_days)).unwrap_or(Date::MAX)
    }

    /// The latest opinion of the caller's hospital about a person.
    async fn latest_opinion(&self, caller: &Caller, person: PersonKey) -> Result<Option<Submission>, Error> {
        let about = self.store().submissions_about(person).await?;
        Ok(about.into_iter().find(|one| one.kind == Kind::A2 && one.sender == caller.organization))
    }

    /// What is needed to write one opinion: who it is, the draft, the one handed in before, and the last accepted one.
    pub async fn opinion_work(&self, caller: &Caller, handle: &str, context: &Context) -> Result<OpinionWork, Error> {
        let office = self.opinion_office(caller, context)?;
        let person = self.person_of(caller, handle).await?;
        self.allowed_to_create(caller, person, Kind::A2, UseCase::SubmitOpinion, context).await?;
        let (case, unopened) = self.case_with(caller, person, (&[Kind::A2], true), context).await?;
        let opened = self.open_kinds(caller, (&case, &unopened), &[Kind::A2], "view", context).await?;
        let kinds = self.store().audit().release_all(opened.shown).await?;
        let day = |number: Option<i32>| number.and_then(|number| dates::from_number(number).ok());
        let requested_on = day(case.stored.opinion_requested_on);
        // In this order: whoever sees that a draft is gone sees that it was sent.
        let draft = self.store().opinion_draft(person, office).await?;
        let latest = self.latest_opinion(caller, person).await?;
        let draft = going_on(draft, latest.as_ref());
        let former = latest.filter(|latest| is_since(latest, requested_on));
        let entry = caller.entry_about(context, person, "opinion.open", Outcome::Allowed);
        let identity = self.work_identity(&case, unopened, Entry { kind: Some("A2".to_owned()), ..entry }).await?;
        Ok(OpinionWork {
            person,
            office,
            identity,
            requested_on,
            due_on: requested_on.map(|day| self.opinion_due(day)),
            applied_on: day(case.stored.opinion_applied_on),
            draft,
            former: former.map(former_opinion),
            last: kinds.into_iter().flatten().flat_map(|kind| kind.documents).find_map(|document| {
                let own = document.creator == Some(caller.organization);
                serde_json::from_value(document.content).ok().filter(|_| own)
            }),
        })
    }

    /// Who it is, once the look is recorded. Whoever may write about a person may know the name on the request.
    async fn work_identity(
        &self,
        case: &Case,
        unopened: kiban_store::UnopenedPerson,
        entry: Entry,
    ) -> Result<Value, Error> {
        let sees: Option<Opening> = opening(case, Kind::A3a);
        match unopened.identity()?.filter(|_| sees.is_some()) {
            Some(identity) => {
                Ok(self.store().audit().release(identity.map(|one| identity_of(case, &one)), entry).await?)
            }
            None => {
                self.store().audit().append(entry).await?;
                Ok(serde_json::json!({
                    "insurer_number": case.person.insurer,
                    "insured_number": case.person.insured,
                }))
            }
        }
    }

    /// Saves what is typed into one chapter over the version it was made from; the new version. A conflict when somebody else
    /// saved meanwhile, or when the opinion has been sent.
    pub async fn save_opinion_draft(
        &self,
        caller: &Caller,
        handle: &str,
        before: Option<i64>,
        (chapter, typed): (&str, Value),
        context: &Context,
    ) -> Result<i64, Error> {
        let office = self.opinion_office(caller, context)?;
        let person = self.person_of(caller, handle).await?;
        self.allowed_to_create(caller, person, Kind::A2, UseCase::SubmitOpinion, context).await?;
        let there = self.store().opinion_draft(person, office).await?;
        let latest = self.latest_opinion(caller, person).await?;
        let over = there.as_ref().map(|draft| draft.version);
        let mine = going_on(there, latest.as_ref());
        if mine.as_ref().map(|draft| draft.version) != before {
            return Err(Error::Conflict(SAVED_ELSEWHERE));
        }
        let internal = |error: serde_json::Error| Error::Internal(error.to_string());
        let mut chapters: BTreeMap<String, Value> = match mine {
            Some(draft) => serde_json::from_slice(&draft.content).map_err(internal)?,
            None => BTreeMap::new(),
        };
        chapters.insert(chapter.to_owned(), typed);
        let content = serde_json::to_vec(&chapters).map_err(internal)?;
        let mut tx = self.store().begin().await?;
        let draft = draft_after(latest.as_ref(), content, context)?;
        if !tx.save_opinion_draft(person, office, over, &draft).await? {
            return Err(Error::Conflict(SAVED_ELSEWHERE));
        }
        self.commit_repeatable(tx, draft_entry(caller, person, context), context).await?;
        Ok(draft.version)
    }

    /// Throws away what was typed.
    pub async fn drop_opinion_draft(&self, caller: &Caller, handle: &str, context: &Context) -> Result<(), Error> {
        let office = self.opinion_office(caller, context)?;
        let person = self.person_of(caller, handle).await?;
        self.allowed_to_create(caller, person, Kind::A2, UseCase::SubmitOpinion, context).await?;
        let mut tx = self.store().begin().await?;
        tx.drop_opinion_draft(person, office).await?;
        let entry = caller.entry_about(context, person, "opinion.discard", Outcome::Done);
        self.commit_repeatable(tx, Entry { kind: Some("A2".to_owned()), ..entry }, context).await
    }

    /// A file of the document software taken as the beginning of drafts, all of its documents or none. Faults of single items
    /// stay in the draft, where they are put right; `content` writes a document the way the form keeps it. The handles of the
    /// people, or what is wrong, in Japanese.
    pub async fn begin_opinions_from_file(
        &self,
        caller: &Caller,
        name: &str,
        format: OpinionFormat,
        bytes: &[u8],
        content: impl Fn(&PhysicianOpinion) -> Vec<u8>,
        context: &Context,
    ) -> Result<Result<Vec<String>, Vec<String>>, Error> {
        let office = self.opinion_office(caller, context)?;
        let (documents, mut problems) = opinion_file::documents(name, format, bytes, office);
        let mut people = BTreeSet::new();
        for (line, opinion) in &documents {
            problems.extend(self.may_begin(caller, office, (name, *line), opinion, context).await?);
            if !people.insert(opinion.person) {
                let words = "同じ方の意見書が、このファイルにもう1件あります。1件だけにしてください";
                problems.push(Problem::of_file(name, "twice", words).at_line(*line));
            }
        }
        if documents.is_empty() || problems.iter().any(Problem::is_error) {
            let entry = caller.entry(context, "opinion.file", Outcome::Refused);
            self.store().audit().append(entry).await?;
            return Ok(Err(problems.iter().map(Problem::message_ja).collect()));
        }
        let mut drafts = Vec::with_capacity(documents.len());
        for (_, opinion) in &documents {
            let latest = self.latest_opinion(caller, opinion.person).await?;
            let over = self.store().opinion_draft(opinion.person, office).await?.map(|draft| draft.version);
            drafts.push((opinion.person, over, draft_after(latest.as_ref(), content(opinion), context)?));
        }
        let mut tx = self.store().begin().await?;
        for (person, over, draft) in &drafts {
            if !tx.save_opinion_draft(*person, office, *over, draft).await? {
                return Err(Error::Conflict(SAVED_ELSEWHERE));
            }
        }
        tx.commit_all(drafts.iter().map(|(person, ..)| draft_entry(caller, *person, context)).collect()).await?;
        let mut handles = Vec::with_capacity(drafts.len());
        for (person, ..) in drafts {
            handles.push(self.handle_of(caller, person).await?);
        }
        Ok(Ok(handles))
    }

    /// What keeps a document of a file from becoming a draft.
    async fn may_begin(
        &self,
        caller: &Caller,
        office: OfficeNumber,
        (name, line): (&str, u64),
        opinion: &PhysicianOpinion,
        context: &Context,
    ) -> Result<Option<Problem>, Error> {
        let at = |rule: &'static str, words: &str| Some(Problem::of_file(name, rule, words).at_line(line));
        if let Some(problem) = self.not_to_be_written(caller, (name, line), opinion.person, context).await? {
            return Ok(Some(problem));
        }
        if opinion.institution != office {
            return Ok(at("institution", "意見書の医療機関が、ログインしている医療機関と違います"));
        }
        if opinion.is_refused_by_physician() {
            let words = "「医師の同意なし」の意見書です。画面の様式にはこの項目がないため、接続プログラムか API で送ってください";
            return Ok(at("physician_consent", words));
        }
        if !self.is_applicant(caller, opinion, context).await? {
            return Ok(at("applicant", OTHER_APPLICANT));
        }
        let latest = self.latest_opinion(caller, opinion.person).await?;
        if latest.as_ref().is_some_and(|one| waits(&one.state)) {
            return Ok(at("waiting", "この方の意見書は送信済みで、市区町村の受理を待っています"));
        }
        Ok(match going_on(self.store().opinion_draft(opinion.person, office).await?, latest.as_ref()) {
            Some(_) => at("draft", "この方の書きかけがもうあります。その書きかけを送るか消してから、入れてください"),
            None => None,
        })
    }
}

impl Platform {
    /// Whether the applicant of a document is the person of its number, as far as this office may know who that is. The entry of
    /// what is written, or of its refusal, covers the look.
    pub(crate) async fn is_applicant(
        &self,
        caller: &Caller,
        opinion: &PhysicianOpinion,
        context: &Context,
    ) -> Result<bool, Error> {
        let (case, unopened) = self.case_with(caller, opinion.person, (&[], true), context).await?;
        let sees: Option<Opening> = opening(&case, Kind::A3a);
        let Some(insured) = unopened.identity()?.filter(|_| sees.is_some()) else { return Ok(true) };
        let told = (opinion.basics.applicant.birth, opinion.basics.applicant.sex);
        let insured = insured.under(CoveredBy::Act);
        Ok((insured.identity.birth, insured.identity.sex) == told)
    }
}

/// Told of an opinion about somebody else: it would be filed among this person's papers.
pub(crate) const OTHER_APPLICANT: &str =
    "意見書の生年月日か性別が、この被保険者番号の方のものと違います。被保険者番号を確かめてください";

/// Told when a draft was saved elsewhere since the page was opened.
const SAVED_ELSEWHERE: &str = "ほかの画面で先に保存されています";

impl Error {
    /// Whether a draft was saved elsewhere since the page was opened.
    pub fn is_saved_elsewhere(&self) -> bool {
        matches!(self, Self::Conflict(SAVED_ELSEWHERE))
    }
}

/// Whether a document was handed in for a request of this day.
fn is_since(submission: &Submission, day: Option<Date>) -> bool {
    day.is_none_or(|day| day_in_japan(submission.submitted_at) >= day)
}

/// The draft there is to go on with. One that was saved while the latest document was being sent follows an older one: what it
/// holds has been sent, and counts no more.
fn going_on(draft: Option<OpinionDraft>, latest: Option<&Submission>) -> Option<OpinionDraft> {
    let latest = latest.map_or("", |latest| latest.id.as_str());
    draft.filter(|draft| draft.follows.as_deref().is_none_or(|follows| follows == latest))
}

/// A draft of what is typed now; none while a document waits for the municipality.
fn draft_after(latest: Option<&Submission>, content: Vec<u8>, context: &Context) -> Result<OpinionDraft, Error> {
    if latest.is_some_and(|one| waits(&one.state)) {
        return Err(Error::Conflict("この意見書は送信済みです。市区町村の受理を待っています"));
    }
    let follows = Some(latest.map_or_else(String::new, |latest| latest.id.clone()));
    Ok(OpinionDraft { version: random_version()?, saved_at: context.now, content, follows })
}

fn draft_entry(caller: &Caller, person: PersonKey, context: &Context) -> Entry {
    let entry = caller.entry_about(context, person, "opinion.draft", Outcome::Done);
    Entry { kind: Some("A2".to_owned()), ..entry }
}

/// A number nobody has seen, more than zero.
fn random_version() -> Result<i64, Error> {
    let text = crate::random_id()?;
    let number = text.get(..15).and_then(|digits| i64::from_str_radix(digits, 16).ok());
    number.map(|number| number.max(1)).ok_or_else(|| Error::Internal("a random number".to_owned()))
}

/// In the list: what is to be put right, what is to be written, what waits, what is done.
fn place(step: &OpinionStep) -> u8 {
    match step {
        OpinionStep::Returned(_) => 0,
        OpinionStep::Untouched | OpinionStep::Draft(_) => 1,
        OpinionStep::Sent => 2,
        OpinionStep::Accepted => 3,
    }
}

fn step(former: Option<SubmissionState>, draft: Option<OpinionDraft>) -> OpinionStep {
    match (former, draft) {
        (Some(SubmissionState::Submitted | SubmissionState::Fetched), _) => OpinionStep::Sent,
        (Some(SubmissionState::Accepted), _) => OpinionStep::Accepted,
        (Some(SubmissionState::Returned { reason }), _) => OpinionStep::Returned(reason),
        (None, Some(draft)) => OpinionStep::Draft(draft.saved_at),
        (None, None) => OpinionStep::Untouched,
    }
}

fn former_opinion(submission: Submission) -> FormerOpinion {
    let content = submission.payload.as_deref().and_then(|payload| serde_json::from_slice(payload).ok());
    let returned = matches!(submission.state, SubmissionState::Returned { .. });
    FormerOpinion { content: content.filter(|_| returned), filed: filed(submission) }
}
