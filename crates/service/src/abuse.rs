//! 不正が疑われる使い方 (P-189): many people in an hour, people at night, people who are not the office's. Each is told to
//! the administrator of the organisation, to the operator and to the municipalities of the people, with the facts; it stops
//! nobody. The figures are data ([`Config`]).
//!
//! Each process counts for itself what it answered, in memory and for one hour, so that no look waits for a counter; what
//! was looked at stands in the audit log whatever is counted here. Notices are raised once a minute, from one process once
//! a day for each member of staff and finding.

use crate::notices::Tell;
use crate::{Answered, Caller, Config, Context, Error, Platform};
use kiban_domain::dates::day_in_japan;
use kiban_domain::notice::NoticeKind;
use kiban_domain::office::StaffId;
use kiban_domain::{InsurerNumber, Organization, Timestamp, dates};
use kiban_policy::Way;
use kiban_store::{Entry, Outcome};
use serde_json::json;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// Hours of the night in Japan: from 22:00 until 5:00.
const NIGHT: [std::ops::Range<i8>; 2] = [0..5, 22..24];
/// Municipalities told of one finding.
const MOST_CITIES: usize = 20;
/// Members of staff counted in an hour by one process; who comes after them is not counted.
const MOST_STAFF: usize = 200_000;

/// What one process has seen in the present hour.
#[derive(Default)]
pub(crate) struct Watch(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// Hours since 1970.
    hour: i64,
    staff: HashMap<StaffId, Looks>,
    findings: Vec<Finding>,
}

/// One member of staff's hour. Handles are worth something to their own organisation only.
#[derive(Default)]
struct Looks {
    people: HashSet<String>,
    refused: HashSet<String>,
    told: Vec<NoticeKind>,
}

/// Something to tell.
struct Finding {
    kind: NoticeKind,
    organization: Organization,
    staff: StaffId,
    limit: i32,
    hour: i64,
    /// Handles of those looked at.
    people: Vec<String>,
}

impl Watch {
    fn note(&self, caller: &Caller, answered: &Answered<'_>, config: &Config, now: Timestamp) {
        let Some(handle) = answered.person else { return };
        let (seen_now, refused) = (answered.status < 400, answered.status == 404);
        if !(seen_now || refused) || caller.way == Way::Connector {
            return;
        }
        let hour = now.as_second().div_euclid(3600);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.hour != hour {
            seen.hour = hour;
            seen.staff.clear();
        }
        if seen.staff.len() >= MOST_STAFF && !seen.staff.contains_key(&caller.staff.id) {
            return;
        }
        let Seen { staff, findings, .. } = &mut *seen;
        let looks = staff.entry(caller.staff.id.clone()).or_default();
        let limits = [
            (NoticeKind::MassViewing, seen_now, many(caller.way, config)),
            (NoticeKind::NightViewing, seen_now && is_night(now), config.night_view_people),
            (NoticeKind::ForeignAttempts, refused, config.foreign_attempts),
        ];
        for (kind, _, limit) in limits.into_iter().filter(|(_, counts, _)| *counts) {
            let handles = if kind == NoticeKind::ForeignAttempts { &mut looks.refused } else { &mut looks.people };
            let most = usize::try_from(limit).unwrap_or(usize::MAX);
            if handles.len() < most {
                handles.insert(handle.to_owned());
            }
            if handles.len() >= most && !looks.told.contains(&kind) {
                looks.told.push(kind);
                let people = handles.iter().cloned().collect();
                let (organization, staff) = (caller.organization, caller.staff.id.clone());
                findings.push(Finding { kind, organization, staff, limit, hour, people });
            }
        }
    }

    fn take(&self) -> Vec<Finding> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).findings)
    }

    fn put_back(&self, findings: Vec<Finding>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).findings.extend(findings);
    }
}

/// People in an hour from which it is told. A program goes through the whole list of its office.
fn many(way: Way, config: &Config) -> i32 {
    if way == Way::Interactive { config.mass_view_people } else { config.mass_view_people_program }
}

fn is_night(now: Timestamp) -> bool {
    NIGHT.iter().any(|hours| hours.contains(&dates::hour_in_japan(now)))
}

impl Platform {
    /// Counts an answer about a person.
    pub(crate) fn watch(&self, answered: &Answered<'_>, context: &Context) {
        if let Some(caller) = answered.caller {
            self.inner.watch.note(caller, answered, &self.inner.config, context.now);
        }
    }

    /// Raises what was found since the last time; called every minute. What could not be told is told the next time.
    pub async fn tell_of_abuse(&self, context: &Context) -> Result<(), Error> {
        let mut findings = self.inner.watch.take();
        while let Some(finding) = findings.pop() {
            if let Err(error) = self.tell_finding(&finding, context).await {
                findings.push(finding);
                self.inner.watch.put_back(findings);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn tell_finding(&self, finding: &Finding, context: &Context) -> Result<(), Error> {
        let Finding { kind, organization, staff, limit, hour, people } = finding;
        let mut cities = BTreeSet::new();
        for handle in people {
            // What is no handle of theirs names nobody.
            if let Ok(person) = self.person_named(*organization, handle).await {
                cities.insert(person.insurer);
            }
        }
        let from = Timestamp::from_second(hour * 3600).map_err(|error| Error::Internal(error.to_string()))?;
        let facts = json!({ "organization": organization, "staff": staff, "limit": limit, "hour_from": from });
        let once = format!("{staff}|{}", dates::yyyymmdd(day_in_japan(from)));
        let mut tx = self.store().begin().await?;
        let own = [(*organization, true), (Organization::Operator, false)];
        let cities =
            cities.into_iter().take(MOST_CITIES).map(|city: InsurerNumber| (Organization::Municipality(city), false));
        for (to, administrators) in own.into_iter().chain(cities.filter(|(city, _)| city != organization)) {
            let (kind, facts) = (*kind, facts.clone());
            self.tell(&mut tx, Tell { to, administrators, kind, about: None, facts, once: &once }, context).await?;
        }
        let entry = Entry::new(context.now, &context.request_id, "server", "abuse.found", Outcome::Done);
        let detail = json!({ "kind": kind, "limit": limit }).to_string();
        let entry = Entry { staff: Some(staff.0.clone()), detail: Some(detail), ..entry };
        Ok(tx.commit(Entry { organization: Some(organization.to_string()), ..entry }).await?)
    }
}
