//! 災害時モード: opened by two operators, searched by exact match, read-only, everything recorded (P-120…126, S-033).

use crate::decision::{Case, Question};
use crate::disaster_looks::{Counted, keep};
use crate::disaster_query::{DisasterQuery, district};
use crate::start::not_started;
use crate::{Caller, Context, Error, ItemFault, Platform, random_id};
use kiban_domain::assignment::DisasterMode;
use kiban_domain::dates::Period;
use kiban_domain::insured::{Insured, Sex};
use kiban_domain::office::{OfficeClass, StaffId};
use kiban_domain::{Date, InsurerNumber, Kind, OfficeNumber, Organization, PersonKey};
use kiban_policy::UseCase;
use kiban_store::{CoveredBy, DisasterLook, Entry, Outcome, UnopenedPerson};
use serde::Serialize;
use std::collections::BTreeSet;

/// A mode as proposed by the first operator.
#[derive(Debug, Clone)]
pub struct DisasterProposal {
    /// 災害名
    pub event: String,
    /// Municipalities under 災害救助法.
    pub areas: Vec<InsurerNumber>,
    /// Kinds of office eligible inside the area; empty means every kind.
    pub classes: Vec<OfficeClass>,
    /// Offices named one by one.
    pub offices: Vec<OfficeNumber>,
    /// Municipalities that take in evacuees.
    pub hosts: Vec<InsurerNumber>,
    /// C1/CP without consent for this event.
    pub without_consent: bool,
    /// First and last day.
    pub period: Period,
}

/// A person found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundPerson {
    /// Handle of the person for the caller's organisation.
    pub handle: String,
    /// 氏名
    pub name: String,
    /// フリガナ
    pub kana: String,
    /// 生年月日
    pub birth: Date,
    /// 性別
    pub sex: Sex,
    /// 町丁目までの住所
    pub address: Option<String>,
}

/// What a search shows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DisasterFound {
    /// The people.
    pub people: Vec<FoundPerson>,
    /// Searched municipalities that share nothing yet: that nobody of them is found says nothing (P-150).
    pub not_started: Vec<NotStarted>,
}

/// A mode that runs, as far as it counts for a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenDisaster {
    /// 災害名
    pub event: String,
    /// Municipalities whose people may be searched.
    pub areas: Vec<InsurerNumber>,
    /// Last day.
    pub until: Option<Date>,
}

/// A municipality that shares nothing yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotStarted {
    /// 保険者番号
    pub insurer_number: InsurerNumber,
    /// 未開始 with its day, in words.
    pub message: String,
}

/// Longest period one act may open (T-6).
const MAX_DAYS: i32 = 14;

/// Most people one search shows of a municipality: namesakes are told apart by more items, not by browsing (P-123).
const MAX_FOUND: usize = 20;

/// A search of one municipality, to be recorded.
struct Search<'a> {
    city: InsurerNumber,
    query: &'a DisasterQuery,
    covered: bool,
    too_many: bool,
    counts: bool,
}

impl Platform {
    /// The first operator proposes a mode. Nothing opens yet.
    pub async fn propose_disaster<E: From<Error>>(
        &self,
        caller: &Caller,
        proposal: Result<DisasterProposal, E>,
        context: &Context,
    ) -> Result<String, E> {
        self.require_operator(caller, context).await?;
        Ok(self.put_proposal(caller, proposal?, context).await?)
    }

    async fn put_proposal(
        &self,
        caller: &Caller,
        proposal: DisasterProposal,
        context: &Context,
    ) -> Result<String, Error> {
        let mut faults = Vec::new();
        if proposal.event.trim().is_empty() {
            faults.push(ItemFault::new("event", "災害名を入力してください"));
        }
        if proposal.areas.is_empty() {
            faults.push(ItemFault::new("areas", "対象の市区町村を1つ以上指定してください"));
        }
        let days = proposal.period.to().map(|to| (to - proposal.period.from()).get_days() + 1);
        if days.is_none_or(|days| days > MAX_DAYS) {
            faults.push(ItemFault::new(
                "period",
                format!("期間は{MAX_DAYS}日以内にしてください。必要なら期間の終わりに開き直します"),
            ));
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let id = random_id()?;
        let mode = DisasterMode {
            id: id.clone(),
            event: proposal.event,
            areas: proposal.areas,
            classes: proposal.classes,
            offices: proposal.offices,
            hosts: proposal.hosts,
            without_consent: proposal.without_consent,
            period: proposal.period,
            opened_by: (caller.staff.id.clone(), StaffId(String::new())),
            proposed_over: caller.peer.fingerprint.clone(),
            closed_at: None,
        };
        self.write_mode(caller, &mode, "disaster.propose", &id, context).await?;
        Ok(id)
    }

    /// A second operator approves it: another account over another certificate.
    pub async fn approve_disaster(&self, caller: &Caller, id: &str, context: &Context) -> Result<(), Error> {
        self.require_operator(caller, context).await?;
        let mut mode = self.mode(id).await?;
        if !mode.opened_by.1.0.is_empty() || mode.closed_at.is_some() {
            return Err(Error::Conflict("この災害時モードは承認済みか終了済みです"));
        }
        if mode.opened_by.0 == caller.staff.id || mode.proposed_over == caller.peer.fingerprint {
            return Err(Error::Conflict("提案した人とは別の運用者が、別の端末（電子証明書）から承認してください"));
        }
        mode.opened_by.1 = caller.staff.id.clone();
        self.write_mode(caller, &mode, "disaster.approve", &(), context).await
    }

    /// One operator suffices to close.
    pub async fn close_disaster(&self, caller: &Caller, id: &str, context: &Context) -> Result<(), Error> {
        self.require_operator(caller, context).await?;
        let mut mode = self.mode(id).await?;
        mode.closed_at = Some(context.now);
        self.write_mode(caller, &mode, "disaster.close", &(), context).await
    }

    /// Finds people by exact match. Nothing found and nobody withheld look the same.
    pub async fn search_disaster<E: From<Error>>(
        &self,
        caller: &Caller,
        query: Result<DisasterQuery, E>,
        context: &Context,
    ) -> Result<DisasterFound, E> {
        caller.require_way(UseCase::Disaster, self.table_at(context.now)?)?;
        if self.covered_areas(caller, context).is_empty() {
            let refused = caller.entry(context, "disaster.search", Outcome::Refused);
            self.store().audit().append(refused).await.map_err(Error::from)?;
            return Err(Error::Unknown.into());
        }
        Ok(self.find_by_name(caller, query?, context).await?)
    }

    async fn find_by_name(
        &self,
        caller: &Caller,
        query: DisasterQuery,
        context: &Context,
    ) -> Result<DisasterFound, Error> {
        query.check()?;
        let cities = query.insurer.map_or_else(|| self.covered_areas(caller, context), |city| BTreeSet::from([city]));
        let mut found = DisasterFound::default();
        for (i, city) in cities.into_iter().enumerate() {
            found.people.extend(self.find_in(caller, city, &query, i == 0, context).await?);
            let start = self.store().start_of(self.standing().paying_insurer(city, context.today())).await?;
            let message = not_started(start, context.today());
            found.not_started.extend(message.map(|message| NotStarted { insurer_number: city, message }));
        }
        Ok(found)
    }

    /// Searches one municipality and records it there; `counts` when this is the first of the search.
    async fn find_in(
        &self,
        caller: &Caller,
        city: InsurerNumber,
        query: &DisasterQuery,
        counts: bool,
        context: &Context,
    ) -> Result<Vec<FoundPerson>, Error> {
        // Without a running mode nothing is looked up, whatever else the caller may see.
        let covered = self.is_covered(caller, city, context);
        let mut hits = if covered { self.hits(caller, city, query, context).await? } else { Vec::new() };
        let too_many = hits.len() > MAX_FOUND;
        if too_many {
            hits.clear();
        }
        let (found, looks): (Vec<_>, Vec<_>) = hits.into_iter().unzip();
        let search = Search { city, query, covered, too_many, counts };
        self.record_search(caller, &search, &looks, context).await?;
        if too_many {
            return Err(Error::Invalid(vec![ItemFault::new(
                if query.birth.is_none() { "birth" } else { "address" },
                "同じ氏名の人が多いため表示できません。生年月日と住所（町名まで）も入力してください",
            )]));
        }
        if covered { Ok(found) } else { Err(Error::Unknown) }
    }

    /// The people of a municipality whom the query fits and a running mode opens to the caller.
    async fn hits(
        &self,
        caller: &Caller,
        city: InsurerNumber,
        query: &DisasterQuery,
        context: &Context,
    ) -> Result<Vec<(FoundPerson, DisasterLook)>, Error> {
        let insurer = self.standing().paying_insurer(city, context.today());
        let keys = self.store().keys_of(insurer).await?;
        let mut numbers = BTreeSet::new();
        for token in query.tokens(&keys) {
            numbers.extend(self.store().find_by_token(insurer, &token).await?);
        }
        let mut hits = Vec::new();
        for insured in numbers {
            let person = PersonKey { insurer, insured };
            let (case, unopened) = self.case_of_search(caller, person, context).await?;
            if case.stored.withheld || !case.decide(Question::read(Kind::A3a)).is_allowed() {
                continue;
            }
            let Some(insured) = identity_of_search(&unopened)? else { continue };
            // Without a typed municipality each is searched for its own residents, so that nobody is found twice.
            if query.fits(&insured) && (query.insurer.is_some() || insured.card_insurer == city) {
                let look = look_of(caller, &case, query, context)?;
                hits.push((self.found(caller, person, &insured).await?, look));
            }
        }
        Ok(hits)
    }

    /// Counts and records a search, found or not, with who was found and why.
    async fn record_search(
        &self,
        caller: &Caller,
        search: &Search<'_>,
        looks: &[DisasterLook],
        context: &Context,
    ) -> Result<(), Error> {
        let insurer = self.standing().paying_insurer(search.city, context.today());
        let facts =
            serde_json::json!({ "reason": search.query.reason, "found": looks.len(), "too_many": search.too_many });
        let outcome = if search.covered { Outcome::Allowed } else { Outcome::Refused };
        let entry = Entry {
            insurer: Some(insurer.to_string()),
            detail: Some(facts.to_string()),
            ..caller.entry(context, "disaster.search", outcome)
        };
        let place = match search.counts {
            true => Some(self.place_in_disaster(caller, Counted::Search, context).await?),
            false => None,
        };
        let mut tx = self.store().begin().await?;
        let (taken, refusal) = match place {
            Some(place) => self.count_in_disaster(&mut tx, caller, place, context).await?,
            None => (None, None),
        };
        if let Some(refusal) = refusal {
            let rule = Some("quota".to_owned());
            tx.commit(Entry { outcome: Outcome::Refused, rule, ..entry }).await?;
            keep(taken);
            return Err(refusal);
        }
        for look in looks {
            tx.put_disaster_look(look).await?;
        }
        if !looks.is_empty() {
            self.tell_city_of_looks(&mut tx, caller, search.city, context).await?;
        }
        let subjects = looks.iter().map(|look| look.person.insured.to_string()).collect();
        tx.commit(Entry { subjects, ..entry }).await?;
        keep(taken);
        Ok(())
    }

    /// The modes that run today and let the caller search somebody, with the areas they do so for (P-122).
    pub fn open_disasters(&self, caller: &Caller, context: &Context) -> Vec<OpenDisaster> {
        let covered = self.covered_areas(caller, context);
        let standing = self.standing();
        let running = standing.disasters().filter(|mode| mode.is_open(context.today()));
        let open = running.filter_map(|mode| {
            let areas: Vec<InsurerNumber> = mode.areas.iter().copied().filter(|area| covered.contains(area)).collect();
            (!areas.is_empty()).then(|| OpenDisaster { event: mode.event.clone(), areas, until: mode.period.to() })
        });
        open.collect()
    }

    /// The municipalities whose people a running mode lets the caller search.
    fn covered_areas(&self, caller: &Caller, context: &Context) -> BTreeSet<InsurerNumber> {
        let standing = self.standing();
        let open = standing.disasters().filter(|mode| mode.is_open(context.today()));
        let areas: BTreeSet<_> = open.flat_map(|mode| &mode.areas).copied().collect();
        areas.into_iter().filter(|area| self.is_covered(caller, *area, context)).collect()
    }

    /// Whether a running mode covers the caller for people of this insurer.
    fn is_covered(&self, caller: &Caller, insurer: InsurerNumber, context: &Context) -> bool {
        let standing = self.standing();
        let modes: Vec<_> = standing.disasters().cloned().collect();
        let disaster = match (&caller.office, caller.organization) {
            (Some((office, class)), _) => {
                kiban_policy::disaster_for_office(&modes, office, *class, &insurer, context.today())
            }
            (None, Organization::Municipality(number)) => {
                kiban_policy::disaster_for_municipality(&modes, &number, &insurer, context.today())
            }
            _ => kiban_policy::Disaster::None,
        };
        disaster != kiban_policy::Disaster::None
    }

    async fn found(&self, caller: &Caller, person: PersonKey, insured: &Insured) -> Result<FoundPerson, Error> {
        let identity = &insured.identity;
        Ok(FoundPerson {
            handle: self.handle_of(caller, person).await?,
            name: identity.name.clone(),
            kana: identity.kana.clone(),
            birth: identity.birth,
            sex: identity.sex,
            address: identity.address.as_deref().map(district),
        })
    }

    async fn require_operator(&self, caller: &Caller, context: &Context) -> Result<(), Error> {
        if caller.organization == Organization::Operator && caller.way == kiban_policy::Way::Interactive {
            return Ok(());
        }
        self.store().audit().append(caller.entry(context, "disaster", Outcome::Refused)).await?;
        Err(Error::Unknown)
    }

    async fn mode(&self, id: &str) -> Result<DisasterMode, Error> {
        self.store().disasters().await?.into_iter().find(|mode| mode.id == id).ok_or(Error::Unknown)
    }

    async fn write_mode(
        &self,
        caller: &Caller,
        mode: &DisasterMode,
        action: &str,
        answer: &impl Serialize,
        context: &Context,
    ) -> Result<(), Error> {
        let mut tx = self.store().begin().await?;
        tx.put_disaster(mode).await?;
        let detail = serde_json::to_string(mode).map_err(|error| Error::Internal(error.to_string()))?;
        let entry = Entry {
            natural_key: Some(mode.id.clone()),
            detail: Some(detail),
            ..caller.entry(context, action, Outcome::Done)
        };
        self.commit(tx, entry, answer, context).await?;
        self.refresh_standing(context.now).await
    }
}

/// Who it is, to compare with what was typed; who is found leaves with the entry of the search.
fn identity_of_search(unopened: &UnopenedPerson) -> Result<Option<Insured>, Error> {
    Ok(unopened.identity()?.map(|insured| insured.under(CoveredBy::Search)))
}

/// What the city finds in its review list.
fn look_of(caller: &Caller, case: &Case, query: &DisasterQuery, context: &Context) -> Result<DisasterLook, Error> {
    Ok(DisasterLook {
        id: random_id()?,
        person: case.person,
        organization: caller.organization,
        staff: caller.staff.id.clone(),
        looked_at: context.now,
        modes: case.events.clone(),
        reason: query.reason.trim().to_owned(),
        viewed_at: None,
    })
}
