//! 知らせ: raised in the transaction of what they tell about, read and marked as seen by their addressee (P-149, T-1, T-4,
//! T-15). A notice shows nothing its reader could not look up.

use crate::plan_offices::hide_whereabouts;
use crate::{Caller, Context, Error, Platform, random_id};
use kiban_domain::notice::NoticeKind;
use kiban_domain::office::StaffId;
use kiban_domain::{Organization, PersonKey, Timestamp};
use kiban_policy::UseCase;
use kiban_store::{Entry, NewNotice, Notice, Outcome, Tx, WhichNotices};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A notice as its addressee reads it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NoticeView {
    /// Its id.
    pub notice: String,
    /// What it is about.
    pub kind: NoticeKind,
    /// The same in Japanese.
    pub kind_name: &'static str,
    /// What to do, in Japanese.
    pub next: &'static str,
    /// When it was raised.
    pub raised_at: Timestamp,
    /// Handle of the person it is about, for the caller's organisation.
    pub person: Option<String>,
    /// 被保険者番号 of that person.
    pub insured_number: Option<String>,
    /// What happened: items by kind.
    pub facts: Value,
    /// When it was marked as seen.
    pub read_at: Option<Timestamp>,
    /// By whom.
    pub read_by: Option<StaffId>,
}

/// Which notices are asked for.
#[derive(Debug, Clone, Default)]
pub struct NoticePage {
    /// The last one of the page before.
    pub after: Option<String>,
    /// Those already seen too.
    pub seen: bool,
    /// Most of them.
    pub limit: i32,
}

/// Something to tell.
pub(crate) struct Tell<'a> {
    pub(crate) to: Organization,
    /// Only to the organisation's administrators.
    pub(crate) administrators: bool,
    pub(crate) kind: NoticeKind,
    pub(crate) about: Option<PersonKey>,
    /// Numbers and codes, no names.
    pub(crate) facts: Value,
    /// What is told only once: the same text again to the same addressee is no new notice. Empty: always new.
    pub(crate) once: &'a str,
}

impl Platform {
    /// Raises a notice in a running transaction.
    pub(crate) async fn tell(&self, tx: &mut Tx, tell: Tell<'_>, context: &Context) -> Result<(), Error> {
        self.tell_at(tx, tell, context.now).await
    }

    /// The same without a request.
    pub(crate) async fn tell_at(&self, tx: &mut Tx, tell: Tell<'_>, now: Timestamp) -> Result<(), Error> {
        let id =
            if tell.once.is_empty() { random_id()? } else { self.notice_once(tell.to, tell.kind, tell.once).await? };
        let Tell { to, administrators, kind, about, facts, .. } = tell;
        let facts = facts.to_string().into_bytes();
        tx.put_notice(&NewNotice { id, to, administrators, kind, raised_at: now, about, facts }).await?;
        Ok(())
    }

    /// Takes back what was told once, because it is no longer so.
    pub(crate) async fn untell(
        &self,
        tx: &mut Tx,
        to: Organization,
        (kind, once): (NoticeKind, &str),
    ) -> Result<(), Error> {
        let id = self.notice_once(to, kind, once).await?;
        Ok(tx.take_notice_back(to, &id).await?)
    }

    /// Id of a notice that is raised once.
    async fn notice_once(&self, to: Organization, kind: NoticeKind, once: &str) -> Result<String, Error> {
        let text = format!("notice|{to}|{}|{once}", kind.code());
        let digest = self.store().platform_keys().await?.digest(text.as_bytes());
        Ok(digest[..16].iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Notices of the caller's organisation, newest first.
    pub async fn notices<E: From<Error>>(
        &self,
        caller: &Caller,
        page: Result<NoticePage, E>,
        context: &Context,
    ) -> Result<Vec<NoticeView>, E> {
        caller.require_way(UseCase::Notices, self.table_at(context.now)?)?;
        Ok(self.page_of_notices(caller, page?, context).await?)
    }

    async fn page_of_notices(
        &self,
        caller: &Caller,
        page: NoticePage,
        context: &Context,
    ) -> Result<Vec<NoticeView>, Error> {
        let after = match page.after {
            Some(id) => Some(self.own_notice(caller, &id).await.map(|notice| (notice.raised_at, notice.id))?),
            None => None,
        };
        let which = WhichNotices { administrators: caller.staff.administrator, seen: page.seen, after };
        let found = self.store().notices(caller.organization, &which, page.limit).await?;
        let mut views = Vec::with_capacity(found.len());
        let mut people: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for notice in found {
            let shown = self.shown_person(caller, notice.about, context).await?;
            if let Some((person, _)) = shown {
                people.entry(person.insurer.to_string()).or_default().push(person.insured.to_string());
            }
            views.push(self.notice_view(caller, notice, shown).await?);
        }
        let entry = || caller.entry(context, "notices", Outcome::Allowed);
        if people.is_empty() {
            self.store().audit().append(entry()).await?;
        }
        for (insurer, subjects) in people {
            let entry = Entry { insurer: Some(insurer), subjects, ..entry() };
            self.store().audit().append(entry).await?;
        }
        Ok(views)
    }

    /// Marks a notice as seen. Again is harmless: the first who saw it stays.
    pub async fn read_notice(&self, caller: &Caller, id: &str, context: &Context) -> Result<(), Error> {
        caller.require_way(UseCase::Notices, self.table_at(context.now)?)?;
        let notice = self.own_notice(caller, id).await?;
        let mut tx = self.store().begin().await?;
        tx.read_notice(caller.organization, id, &caller.staff.id, context.now).await?;
        let entry = match notice.about {
            Some(person) => caller.entry_about(context, person, "notice.read", Outcome::Done),
            None => caller.entry(context, "notice.read", Outcome::Done),
        };
        self.commit(tx, Entry { natural_key: Some(notice.id), ..entry }, &(), context).await
    }

    /// A notice the caller may read; unknown otherwise.
    async fn own_notice(&self, caller: &Caller, id: &str) -> Result<Notice, Error> {
        let notice = self.store().notice(caller.organization, id).await?;
        notice.filter(|notice| !notice.administrators || caller.staff.administrator).ok_or(Error::Unknown)
    }

    /// The person of a notice, if the caller may know of them at this moment, and whether where they are stays hidden (P-037).
    async fn shown_person(
        &self,
        caller: &Caller,
        about: Option<PersonKey>,
        context: &Context,
    ) -> Result<Option<(PersonKey, bool)>, Error> {
        let Some(person) = about else { return Ok(None) };
        let case = self.case(caller, person, context).await?;
        let may_know = case.is_own_municipality() || (case.is_assigned() && !case.stored.switched_off);
        let confirmed = case.stored.assignment.as_ref().is_some_and(|a| a.confirmed_by_municipality);
        let hides = case.stored.withheld && !case.is_own_municipality() && !confirmed;
        Ok(may_know.then_some((person, hides)))
    }

    async fn notice_view(
        &self,
        caller: &Caller,
        notice: Notice,
        shown: Option<(PersonKey, bool)>,
    ) -> Result<NoticeView, Error> {
        let person = shown.map(|(person, _)| person);
        // About somebody the caller may no longer know of: that it was raised stays, what it told does not.
        let hidden = notice.about.is_some() && person.is_none();
        let mut facts = if hidden { Value::Null } else { serde_json::from_slice(&notice.facts).unwrap_or_default() };
        if shown.is_some_and(|(_, hides)| hides) && notice.kind == NoticeKind::RegistrationReview {
            hide_whereabouts(&mut facts);
        }
        let handle = match person {
            Some(person) => Some(self.handle_of(caller, person).await?),
            None => None,
        };
        Ok(NoticeView {
            notice: notice.id,
            kind: notice.kind,
            kind_name: notice.kind.name_ja(),
            next: notice.kind.next_ja(),
            raised_at: notice.raised_at,
            person: handle,
            insured_number: person.map(|person| person.insured.to_string()),
            facts,
            read_at: notice.read.as_ref().map(|(at, _)| *at),
            read_by: notice.read.map(|(_, by)| by),
        })
    }
}
