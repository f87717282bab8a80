//! 届出 at a screen (P-138): what the office handed in about its people and where each stands, and what is needed to write one.
//! Handing in is [`Platform::file_plan_request`], the same as through the API.

use crate::decision::{Question, TOGETHER};
use crate::submission::{Filed, filed};
use crate::view::waits;
use crate::{Caller, Context, Error, Platform};
use kiban_domain::office::Office;
use kiban_domain::plan_request::{PlanRequest, SubmissionState};
use kiban_domain::{Kind, PersonKey};
use kiban_policy::{KindFacts, Opinion, UseCase, Writer, may_write_on_screen};
use kiban_store::{CoveredBy, Entry, Outcome, Submission};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// People looked at in one go.
const PAGE: i32 = 200;

/// One 届出 of the office.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLine {
    /// Handle of the person for this office.
    pub handle: String,
    /// 被保険者番号
    pub insured_number: String,
    /// 氏名, where it may be seen.
    pub name: Option<String>,
    /// フリガナ
    pub kana: Option<String>,
    /// 保険者番号 of who receives it.
    pub insurer_number: String,
    /// Receipt and state.
    pub filed: Filed,
}

/// What is needed to write a 届出 about one person.
#[derive(Debug, Clone)]
pub struct RequestWork {
    /// About whom.
    pub person: PersonKey,
    /// The office that files it.
    pub office: Office,
    /// Number, name, kana, birth, sex; address only where it may be known.
    pub identity: Value,
    /// The latest one of this office about the person, with what it says while that is there.
    pub former: Option<(Filed, Option<PlanRequest>)>,
}

impl Platform {
    /// Whether the caller's office files 届出 at all; about each person it is decided anew.
    pub fn files_requests(&self, caller: &Caller, context: &Context) -> Result<bool, Error> {
        let table = self.table_at(context.now)?;
        let Some((_, class)) = caller.office.as_ref() else { return Ok(false) };
        let is_open = caller.require_way(UseCase::FilePlanRequest, table).is_ok();
        let row = KindFacts::of(Kind::F1, Opinion::Accepted).row();
        Ok(is_open && may_write_on_screen(Writer::Office(*class), row, table))
    }

    /// The 届出 the office handed in about people it is registered for: those sent back first, then those that wait, the newest first;
    /// one that was followed by another is left out.
    pub async fn plan_requests(&self, caller: &Caller, context: &Context) -> Result<Vec<RequestLine>, Error> {
        if !self.files_requests(caller, context)? {
            return Err(Error::Unknown);
        }
        let Some((office, _)) = caller.office.as_ref() else { return Err(Error::Unknown) };
        let (mut lines, mut after) = (Vec::new(), None);
        let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        loop {
            let people = self.store().people_of_office(office.number, after, PAGE).await?;
            let Some(last) = people.last() else { break };
            after = Some(*last);
            for together in people.chunks(TOGETHER) {
                for (person, line) in self.request_lines(caller, together, context).await? {
                    seen.entry(person.insurer.to_string()).or_default().insert(person.insured.to_string());
                    lines.push(line);
                }
            }
        }
        for (insurer, subjects) in seen {
            let subjects = subjects.into_iter().collect();
            let entry = caller.entry(context, "request.list", Outcome::Allowed);
            self.store().audit().append(Entry { insurer: Some(insurer), subjects, ..entry }).await?;
        }
        lines.sort_by_key(|line| (place(&line.filed.state), std::cmp::Reverse(line.filed.submitted_at)));
        Ok(lines)
    }

    async fn request_lines(
        &self,
        caller: &Caller,
        people: &[PersonKey],
        context: &Context,
    ) -> Result<Vec<(PersonKey, RequestLine)>, Error> {
        let sent = self.store().submissions_of(caller.organization, Kind::F1, people).await?;
        let followed: BTreeSet<String> = sent.iter().filter_map(|one| one.replaces.clone()).collect();
        let with: Vec<PersonKey> =
            people.iter().copied().filter(|person| sent.iter().any(|one| one.person == *person)).collect();
        let mut lines = Vec::new();
        for (case, unopened) in self.cases_with(caller, &with, (&[Kind::A3a], true), context).await? {
            let hides = case.stored.switched_off || case.stored.switched_off_kinds.contains(&Kind::F1);
            if !case.is_assigned() || hides {
                continue;
            }
            let mut identity = None;
            // Covered by the one entry of the list, made before it is answered.
            if case.decide(Question::read(Kind::A3a)).is_allowed()
                && let Some(insured) = unopened.identity()?
            {
                identity = Some(insured.under(CoveredBy::List).identity);
            }
            let handle = self.handle_of(caller, case.person).await?;
            let own = sent.iter().filter(|one| one.person == case.person && !followed.contains(&one.id));
            for one in own {
                let line = RequestLine {
                    handle: handle.clone(),
                    insured_number: case.person.insured.to_string(),
                    name: identity.as_ref().map(|identity| identity.name.clone()),
                    kana: identity.as_ref().map(|identity| identity.kana.clone()),
                    insurer_number: case.person.insurer.to_string(),
                    filed: filed(one.clone()),
                };
                lines.push((case.person, line));
            }
        }
        Ok(lines)
    }

    /// What is needed to write a 届出: who it is, the office, and the latest one of this office.
    pub async fn request_work(&self, caller: &Caller, handle: &str, context: &Context) -> Result<RequestWork, Error> {
        let person = self.person_of(caller, handle).await?;
        self.allowed_to_create(caller, person, Kind::F1, UseCase::FilePlanRequest, context).await?;
        let Some((office, _)) = caller.office.clone() else { return Err(Error::Unknown) };
        let identity = self.view_identity(caller, handle, context).await?;
        let about = self.store().submissions_about(person).await?;
        let latest = about.into_iter().find(|one| one.kind == Kind::F1 && one.sender == caller.organization);
        let entry = caller.entry_about(context, person, "request.open", Outcome::Allowed);
        self.store().audit().append(Entry { kind: Some("F1".to_owned()), ..entry }).await?;
        Ok(RequestWork { person, office, identity, former: latest.map(former) })
    }
}

fn former(submission: Submission) -> (Filed, Option<PlanRequest>) {
    let content = submission.payload.as_deref().and_then(|payload| serde_json::from_slice(payload).ok());
    (filed(submission), content)
}

fn place(state: &SubmissionState) -> u8 {
    match state {
        SubmissionState::Returned { .. } => 0,
        state if waits(state) => 1,
        _ => 2,
    }
}
