//! 掲示 (P-220): the operator tells every organisation, or one kind of them, what they have to know — a planned stop, a new form.
//! It says nothing of any person, and a row written into the database by hand is not shown.

use crate::{Caller, Context, Error, ItemFault, Platform, random_id};
use kiban_domain::announcement::{Announcement, Audience};
use kiban_domain::dates::Period;
use kiban_domain::office::OfficeClass;
use kiban_domain::{Date, Organization, Timestamp};
use kiban_policy::{UseCase, Way};
use kiban_store::{Entry, Outcome};
use serde::Serialize;

/// Characters of a title and of a body.
const LONGEST_TITLE: usize = 60;
const LONGEST_BODY: usize = 1_000;
/// Days one announcement may be shown.
const MAX_DAYS: i32 = 366;
/// Announcements of which the operator reads.
const LISTED: i32 = 100;

/// An announcement as it is written.
#[derive(Debug, Clone)]
pub struct NewAnnouncement {
    /// Whom it is for.
    pub audience: Audience,
    /// 見出し
    pub title: String,
    /// 本文
    pub body: String,
    /// First and last day.
    pub period: Period,
}

/// An announcement as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnnouncementLine {
    /// Its id.
    pub announcement: String,
    /// Whom it is for.
    pub audience: Audience,
    /// The same in Japanese.
    pub audience_name: &'static str,
    /// 見出し
    pub title: String,
    /// 本文
    pub body: String,
    /// First day.
    pub from: Date,
    /// Last day.
    pub to: Date,
    /// `planned`, `shown`, `over` or `ended`.
    pub state: &'static str,
    /// The same in Japanese.
    pub state_name: &'static str,
    /// When it was written.
    pub made_at: Timestamp,
    /// When it was taken down.
    pub ended_at: Option<Timestamp>,
}

impl Platform {
    /// What the caller's organisation is told today, newest first; the operator reads all of them, shown or not.
    pub async fn announcements(&self, caller: &Caller, context: &Context) -> Result<Vec<AnnouncementLine>, Error> {
        caller.require_way(UseCase::Notices, self.table_at(context.now)?)?;
        let today = context.today();
        let all = match caller.organization {
            Organization::Operator => self.store().announcements(LISTED).await?,
            _ => self.store().announcements_of(today).await?,
        };
        Ok(all.into_iter().filter(|one| concerns(caller, one.audience)).map(|one| line(one, today)).collect())
    }

    /// What everybody whose terminal has a certificate is told today, before any log-in.
    pub async fn announcements_to_all(&self, context: &Context) -> Result<Vec<AnnouncementLine>, Error> {
        let today = context.today();
        let all = self.store().announcements_of(today).await?;
        Ok(all.into_iter().filter(|one| one.audience == Audience::All).map(|one| line(one, today)).collect())
    }

    /// Puts up an announcement. Only the operator. Its id.
    pub async fn announce<E: From<Error>>(
        &self,
        caller: &Caller,
        new: Result<NewAnnouncement, E>,
        context: &Context,
    ) -> Result<String, E> {
        self.require_announcer(caller, context).await?;
        Ok(self.put_announcement(caller, new?, context).await?)
    }

    async fn put_announcement(
        &self,
        caller: &Caller,
        new: NewAnnouncement,
        context: &Context,
    ) -> Result<String, Error> {
        let mut faults = Vec::new();
        let title = new.title.trim().to_owned();
        let body = new.body.replace("\r\n", "\n").trim().to_owned();
        if title.is_empty() || title.chars().count() > LONGEST_TITLE || title.contains(char::is_control) {
            faults.push(ItemFault::new("title", format!("見出しを{LONGEST_TITLE}文字までで入力してください")));
        }
        if body.is_empty() || body.chars().count() > LONGEST_BODY {
            faults.push(ItemFault::new("body", format!("本文を{LONGEST_BODY}文字までで入力してください")));
        }
        let today = context.today();
        match new.period.to() {
            Some(to) if to < today => faults.push(ItemFault::new("to", "おわりの日は、今日からあとにしてください")),
            Some(to) if (to - new.period.from()).get_days() < MAX_DAYS => {}
            _ => faults.push(ItemFault::new("to", format!("期間は{MAX_DAYS}日までにしてください"))),
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let one = Announcement {
            id: random_id()?,
            audience: new.audience,
            title,
            body,
            period: new.period,
            made_by: caller.staff.id.clone(),
            made_at: context.now,
            ended_at: None,
        };
        let mut tx = self.store().begin().await?;
        tx.put_announcement(&one).await?;
        let detail = serde_json::to_string(&one).map_err(|error| Error::Internal(error.to_string()))?;
        let entry = caller.entry(context, "announcement.put", Outcome::Done);
        let entry = Entry { natural_key: Some(one.id.clone()), detail: Some(detail), ..entry };
        self.commit(tx, entry, &one.id, context).await?;
        Ok(one.id)
    }

    /// Takes an announcement down before its last day. Only the operator.
    pub async fn end_announcement(&self, caller: &Caller, id: &str, context: &Context) -> Result<(), Error> {
        self.require_announcer(caller, context).await?;
        let one = self.store().announcement(id).await?.ok_or(Error::Unknown)?;
        let mut tx = self.store().begin().await?;
        if one.ended_at.is_some() || !tx.end_announcement(id, context.now).await? {
            return Err(Error::Conflict("この掲示は、もう取りやめてあります"));
        }
        let entry = caller.entry(context, "announcement.end", Outcome::Done);
        self.commit(tx, Entry { natural_key: Some(id.to_owned()), ..entry }, &(), context).await
    }

    async fn require_announcer(&self, caller: &Caller, context: &Context) -> Result<(), Error> {
        if caller.organization == Organization::Operator && caller.way == Way::Interactive {
            return Ok(());
        }
        self.store().audit().append(caller.entry(context, "announcement", Outcome::Refused)).await?;
        Err(Error::Unknown)
    }
}

fn concerns(caller: &Caller, audience: Audience) -> bool {
    let class = caller.office.as_ref().map(|(_, class)| *class);
    let writes_opinions =
        matches!(class, Some(OfficeClass::Hospital | OfficeClass::HospitalWithCare | OfficeClass::HealthFacility));
    match (caller.organization, audience) {
        (Organization::Operator, _) | (_, Audience::All) => true,
        (Organization::Municipality(_), Audience::Municipalities) => true,
        (Organization::Office(_), Audience::Offices) => class != Some(OfficeClass::Hospital),
        (Organization::Office(_), Audience::Hospitals) => writes_opinions,
        _ => false,
    }
}

fn line(one: Announcement, today: Date) -> AnnouncementLine {
    let from = one.period.from();
    let to = one.period.to().unwrap_or(from);
    let (state, state_name) = match () {
        () if one.ended_at.is_some() => ("ended", "取りやめ"),
        () if one.is_shown(today) => ("shown", "掲示中"),
        () if today < from => ("planned", "これから"),
        () => ("over", "期間が過ぎた"),
    };
    AnnouncementLine {
        announcement: one.id,
        audience: one.audience,
        audience_name: one.audience.name_ja(),
        title: one.title,
        body: one.body,
        from,
        to,
        state,
        state_name,
        made_at: one.made_at,
        ended_at: one.ended_at,
    }
}
