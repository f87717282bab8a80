//! 災害時の閲覧: each view with its reason and event, how many an organisation may have in an hour, and the review list of
//! the municipality (P-124, T-6).

use crate::decision::Case;
use crate::notices::Tell;
use crate::permits::{Permit, Taken};
use crate::{Caller, Config, Context, Error, Platform};
use kiban_domain::municipality::paying_insurer;
use kiban_domain::notice::NoticeKind;
use kiban_domain::office::StaffId;
use kiban_domain::{InsurerNumber, Organization, PersonKey, Timestamp, dates};
use kiban_policy::UseCase;
use kiban_store::{DisasterLook, Entry, Outcome, Tx};
use serde::Serialize;

/// Somebody found by a disaster search, as the municipality reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeenInDisaster {
    /// Its id.
    pub look: String,
    /// Handle of the person for the municipality.
    pub person: String,
    /// 被保険者番号
    pub insured_number: String,
    /// Who searched.
    pub organization: Organization,
    /// Its staff.
    pub staff: StaffId,
    /// When.
    pub looked_at: Timestamp,
    /// Names of the events.
    pub events: Vec<String>,
    /// Why, as typed at the search.
    pub reason: String,
    /// When something of the person was first opened; none: only found.
    pub viewed_at: Option<Timestamp>,
}

/// What an organisation does so many times an hour.
#[derive(Clone, Copy)]
pub(crate) enum Counted {
    Search,
    View,
}

/// One of them, with its permit.
pub(crate) struct Place {
    what: Counted,
    /// What is counted: which of them, whose, in which hour.
    subject: String,
    digest: [u8; 32],
    permit: Permit,
}

const HOUR: i64 = 3600;

impl Counted {
    fn name(self) -> &'static str {
        match self {
            Self::Search => "searches",
            Self::View => "views",
        }
    }

    /// How often an hour, and what is said beyond.
    fn limit(self, config: &Config) -> (i32, &'static str) {
        match self {
            Self::Search => (config.disaster_searches, "災害時の検索が1時間の上限に達しました"),
            Self::View => (config.disaster_views, "災害時の閲覧が1時間の上限に達しました"),
        }
    }
}

/// After the commit: what was taken counts.
pub(crate) fn keep(taken: Option<Taken>) {
    if let Some(taken) = taken {
        taken.keep();
    }
}

impl Platform {
    /// The search that opens this caller's views of the person: made by the same staff member lately, in an event that is
    /// still running.
    pub(crate) async fn live_look(
        &self,
        caller: &Caller,
        person: PersonKey,
        events: &[String],
        context: &Context,
    ) -> Result<Option<DisasterLook>, Error> {
        if events.is_empty() {
            return Ok(None);
        }
        let since = context.now - jiff::SignedDuration::from_hours(self.inner.config.disaster_reason_hours);
        let look = self.store().disaster_look(person, caller.organization, &caller.staff.id, since).await?;
        Ok(look.filter(|look| look.modes.iter().any(|mode| events.contains(mode))))
    }

    /// Counts and records a view that only the disaster mode allows, with its reason and event, before anything is shown.
    pub(crate) async fn record_disaster_view(
        &self,
        caller: &Caller,
        case: &Case,
        context: &Context,
    ) -> Result<(), Error> {
        let look = case.look.as_ref().ok_or_else(|| Error::Internal("a disaster view without a reason".to_owned()))?;
        let detail = serde_json::json!({ "reason": look.reason, "events": case.events }).to_string();
        let entry = Entry {
            natural_key: Some(look.id.clone()),
            detail: Some(detail),
            ..caller.entry_about(context, case.person, "disaster.view", Outcome::Done)
        };
        let place = self.place_in_disaster(caller, Counted::View, context).await?;
        let mut tx = self.store().begin().await?;
        let (taken, refusal) = self.count_in_disaster(&mut tx, caller, place, context).await?;
        if refusal.is_some() {
            tx.commit(Entry { outcome: Outcome::Refused, rule: Some("quota".to_owned()), ..entry }).await?;
        } else {
            tx.view_disaster_look(case.person.insurer, &look.id, context.now).await?;
            tx.commit(entry).await?;
        }
        keep(taken);
        refusal.map_or(Ok(()), Err)
    }

    /// A permit for one of what an organisation may do so often in an hour. Asked before the transaction in which it is done.
    pub(crate) async fn place_in_disaster(
        &self,
        caller: &Caller,
        what: Counted,
        context: &Context,
    ) -> Result<Place, Error> {
        let hour = context.now.as_second().div_euclid(HOUR);
        let subject = format!("disaster|{}|{}|{hour}", what.name(), caller.organization);
        let digest = self.store().platform_keys().await?.digest(subject.as_bytes());
        let permit = self.inner.permits.permit(digest, hour).await;
        Ok(Place { what, subject, digest, permit })
    }

    /// Counts it, if this process has to take permits for that; the refusal when the organisation had as many in this hour as
    /// it may, and who must know is told. What was taken is kept ([`keep`]) once the transaction is committed.
    pub(crate) async fn count_in_disaster(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        Place { what, subject, digest, permit }: Place,
        context: &Context,
    ) -> Result<(Option<Taken>, Option<Error>), Error> {
        let (limit, text) = what.limit(&self.inner.config);
        let taken = match permit {
            Permit::Given => return Ok((None, None)),
            Permit::None => None,
            Permit::Take(pool) => Some(Taken::take(pool, tx, (&digest, context.today()), limit).await?),
        };
        if taken.as_ref().is_some_and(|taken| !taken.is_nothing()) {
            return Ok((taken, None));
        }
        let facts = serde_json::json!({ "organization": caller.organization, "limit": what.name(), "per_hour": limit });
        let own = (caller.organization, caller.organization.office().is_some());
        for (to, administrators) in [(Organization::Operator, false), own] {
            let (kind, facts) = (NoticeKind::DisasterLimit, facts.clone());
            self.tell(tx, Tell { to, administrators, kind, about: None, facts, once: &subject }, context).await?;
        }
        let left = HOUR - context.now.as_second().rem_euclid(HOUR);
        Ok((taken, Some(Error::Quota(text, u64::try_from(left).unwrap_or(1)))))
    }

    /// The city is told once a day and organisation that its people were found.
    pub(crate) async fn tell_city_of_looks(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        city: InsurerNumber,
        context: &Context,
    ) -> Result<(), Error> {
        let tell = Tell {
            to: Organization::Municipality(city),
            administrators: false,
            kind: NoticeKind::DisasterLooks,
            about: None,
            facts: serde_json::json!({ "organization": caller.organization }),
            once: &format!("{}|{}", caller.organization, dates::yyyymmdd(context.today())),
        };
        self.tell(tx, tell, context).await
    }

    /// Who found the caller's insured in a disaster, in which event and why, newest first.
    pub async fn disaster_looks<E: From<Error>>(
        &self,
        caller: &Caller,
        after: Option<&str>,
        limit: Result<i32, E>,
        context: &Context,
    ) -> Result<Vec<SeenInDisaster>, E> {
        caller.require_way(UseCase::LookUpLog, self.table_at(context.now)?)?;
        let Some(city) = caller.municipality() else { return Err(Error::Unknown.into()) };
        Ok(self.page_of_looks(caller, city, after, limit?, context).await?)
    }

    async fn page_of_looks(
        &self,
        caller: &Caller,
        city: InsurerNumber,
        after: Option<&str>,
        limit: i32,
        context: &Context,
    ) -> Result<Vec<SeenInDisaster>, Error> {
        let insurer = paying_insurer(city, context.today());
        let mut seen = Vec::new();
        for look in self.store().disaster_looks(insurer, after, limit).await? {
            // A member city of a 広域連合 sees its own residents only (T-13).
            if self.case(caller, look.person, context).await?.is_own_municipality() {
                seen.push(self.seen(caller, look).await?);
            }
        }
        let subjects = seen.iter().map(|look| look.insured_number.clone()).collect();
        let entry = caller.entry(context, "disaster.looks", Outcome::Allowed);
        self.store().audit().append(Entry { insurer: Some(insurer.to_string()), subjects, ..entry }).await?;
        Ok(seen)
    }

    async fn seen(&self, caller: &Caller, look: DisasterLook) -> Result<SeenInDisaster, Error> {
        let standing = self.standing();
        let modes = standing.disasters().filter(|mode| look.modes.contains(&mode.id));
        Ok(SeenInDisaster {
            events: modes.map(|mode| mode.event.clone()).collect(),
            person: self.handle_of(caller, look.person).await?,
            insured_number: look.person.insured.to_string(),
            look: look.id,
            organization: look.organization,
            staff: look.staff,
            looked_at: look.looked_at,
            reason: look.reason,
            viewed_at: look.viewed_at,
        })
    }
}
