//! How many requests one organisation may make: a bucket of its own in memory, so that one that floods is told to wait and
//! nobody else notices (decision 0006.29). A search in a disaster has a bucket of its own: neither takes from the other.
//!
//! A bucket holds five minutes' worth and fills up evenly. Each process counts for itself. What was turned away is recorded
//! once a minute, one entry for each organisation, so that a flood does not fill the log.

use crate::caller::fingerprint_bytes;
use crate::{Caller, Config, Context, Error, Peer, Platform};
use kiban_domain::{Organization, Timestamp};
use kiban_store::{Entry, Outcome};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Microseconds of a minute.
const MINUTE: i64 = 60_000_000;
/// Microseconds of a day.
const DAY: i64 = 24 * 60 * MINUTE;
/// What a bucket holds, in minutes of its rate.
const HOLDS: i64 = 5;
/// Buckets remembered before those that are full again are forgotten.
const MANY: usize = 10_000;

/// What a request counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counts {
    /// Any request.
    Request,
    /// 災害時の検索
    DisasterSearch,
    /// Any request at the person's door.
    Portal,
    /// Beginning or finishing a log-in there, or a one-time code.
    PortalLogIn,
    /// A log-in there refused to somebody unknown, by its reason: never a limit, only counted to be recorded.
    PortalReturn(&'static str),
    /// A set of files for another office; a day's worth at once.
    Slips,
}

impl Counts {
    fn name(self) -> &'static str {
        match self {
            Self::Request => "requests",
            Self::DisasterSearch => "disaster_requests",
            Self::Portal => "portal_requests",
            Self::PortalLogIn | Self::PortalReturn(_) => "portal_log_ins",
            Self::Slips => "slip_sets",
        }
    }

    /// What the bucket of this organisation is like.
    fn bucket(self, config: &Config, organization: Option<Organization>) -> Bucket {
        let rate = match (self, organization.and_then(|organization| organization.office())) {
            (Self::DisasterSearch, _) => config.disaster_requests,
            (Self::Portal, _) => config.portal_requests,
            (Self::PortalLogIn | Self::PortalReturn(_), _) => config.portal_log_ins,
            (Self::Slips, _) => {
                return Bucket { each: DAY / i64::from(config.slip_sets.max(1)), holds: DAY };
            }
            (Self::Request, Some(_)) => config.office_requests,
            (Self::Request, None) => config.insurer_requests,
        };
        Bucket { each: MINUTE / i64::from(rate.max(1)), holds: HOLDS * MINUTE }
    }
}

/// How long one takes to come back, and how long the bucket takes to fill up; microseconds.
#[derive(Clone, Copy)]
struct Bucket {
    each: i64,
    holds: i64,
}

/// The organisation's number, or the fingerprint of a certificate that is in no good standing: it empties nobody's bucket. At the
/// person's door the network.
type Key = (Counts, String);

/// The buckets.
#[derive(Default)]
pub(crate) struct Quotas(Mutex<Buckets>);

#[derive(Default)]
struct Buckets {
    /// When each will be full again, microseconds; later than now by at most what it holds.
    full_at: HashMap<Key, i64>,
    /// Requests turned away since the last record.
    refused: HashMap<Key, u64>,
}

impl Quotas {
    /// Takes one out of a bucket; the seconds to wait when it is empty.
    fn take(&self, key: Key, Bucket { each, holds }: Bucket, now: Timestamp) -> Result<(), u64> {
        let now = now.as_microsecond();
        let mut buckets = self.buckets();
        if buckets.full_at.len() >= MANY {
            buckets.full_at.retain(|_, full_at| *full_at > now);
        }
        // A clock that went back makes nobody wait longer than an empty bucket does.
        let before = buckets.full_at.get(&key).copied().unwrap_or(now).clamp(now, now + holds);
        let wait = before + each - (now + holds);
        if wait > 0 {
            // Of a set that is not sent there is an entry of its own.
            if key.0 != Counts::Slips {
                *buckets.refused.entry(key).or_default() += 1;
            }
            return Err(u64::try_from(wait).unwrap_or_default().div_ceil(1_000_000));
        }
        buckets.full_at.insert(key, before + each);
        Ok(())
    }

    fn take_refused(&self) -> HashMap<Key, u64> {
        std::mem::take(&mut self.buckets().refused)
    }

    fn put_back(&self, key: Key, count: u64) {
        *self.buckets().refused.entry(key).or_default() += count;
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Platform {
    /// Counts a request of the other side, before anything of it is read. The error is the seconds to wait when its
    /// organisation has made as many as it may.
    pub fn admit_request(&self, peer: &Peer, counts: Counts, context: &Context) -> Result<(), u64> {
        let organization = self.standing().organization(&peer.fingerprint, context.now).ok();
        let key = organization.map_or_else(|| peer.fingerprint.clone(), |organization| organization.to_string());
        let bucket = counts.bucket(&self.inner.config, organization);
        self.inner.quotas.take((counts, key), bucket, context.now)
    }

    /// Counts a set of files the caller's office is about to send, before any of it is received.
    pub async fn admit_slips(&self, caller: &Caller, context: &Context) -> Result<(), Error> {
        let bucket = Counts::Slips.bucket(&self.inner.config, Some(caller.organization));
        let key = (Counts::Slips, caller.organization.to_string());
        let Err(seconds) = self.inner.quotas.take(key, bucket, context.now) else { return Ok(()) };
        let entry = Entry { rule: Some("quota".to_owned()), ..caller.entry(context, "slip.send", Outcome::Refused) };
        self.store().audit().append(entry).await?;
        Err(Error::Quota("この事業所が1日に送れる数に達しました", seconds))
    }

    /// The same at the person's door, where nobody has a certificate: counted for the network the request comes from.
    pub fn admit_network(&self, network: &str, counts: Counts, context: &Context) -> Result<(), u64> {
        let bucket = counts.bucket(&self.inner.config, None);
        self.inner.quotas.take((counts, network.to_owned()), bucket, context.now)
    }

    /// Counts what was refused for another reason than a limit.
    pub(crate) fn count_refused(&self, counts: Counts, network: &str) {
        self.inner.quotas.put_back((counts, network.to_owned()), 1);
    }

    /// Records what was turned away since the last time, one entry for each organisation and limit. What could not be
    /// recorded is counted again.
    pub async fn record_refused_requests(&self, context: &Context) -> Result<(), Error> {
        let mut result = Ok(());
        for ((counts, whose), count) in self.inner.quotas.take_refused() {
            let is_portal = matches!(counts, Counts::Portal | Counts::PortalLogIn | Counts::PortalReturn(_));
            let (rule, detail) = match counts {
                Counts::PortalReturn(reason) => (reason, serde_json::json!({ "count": count })),
                _ => ("quota", serde_json::json!({ "limit": counts.name(), "count": count })),
            };
            let detail = detail.to_string();
            let entry = Entry {
                organization: Organization::parse(&whose).ok().map(|organization| organization.to_string()),
                certificate: fingerprint_bytes(&whose),
                source: is_portal.then(|| whose.clone()),
                rule: Some(rule.to_owned()),
                detail: Some(detail),
                ..Entry::new(context.now, &context.request_id, "server", "requests.refused", Outcome::Refused)
            };
            if let Err(error) = self.store().audit().append(entry).await {
                self.inner.quotas.put_back((counts, whose), count);
                result = Err(error.into());
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_emptied_fills_up_evenly_and_is_its_own() {
        let quotas = Quotas::default();
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let bucket = Bucket { each: MINUTE / 12, holds: HOLDS * MINUTE };
        let take = |key: &str, second| quotas.take((Counts::Request, key.to_owned()), bucket, at(second));
        assert!((0..60).all(|_| take("a", 0).is_ok()));
        assert_eq!(take("a", 0), Err(5));
        assert_eq!(take("a", 3), Err(2));
        assert_eq!(take("b", 3), Ok(()));
        assert_eq!((take("a", 5), take("a", 5)), (Ok(()), Err(5)));
        // After an hour it is full and not fuller; a clock that goes back adds no wait.
        assert_eq!((0..100).filter(|_| take("a", 3_600).is_ok()).count(), 60);
        assert_eq!(take("a", 600), Err(5));
        assert_eq!(quotas.take_refused()[&(Counts::Request, "a".to_owned())], 3 + 40 + 1);
        assert!(quotas.take_refused().is_empty());
    }

    #[test]
    fn buckets_that_are_full_again_are_forgotten() {
        let quotas = Quotas::default();
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let bucket = Bucket { each: MINUTE / 12, holds: HOLDS * MINUTE };
        for i in 0..MANY {
            quotas.take((Counts::Request, i.to_string()), bucket, at(0)).unwrap();
        }
        quotas.take((Counts::Request, "next".to_owned()), bucket, at(60)).unwrap();
        assert_eq!(quotas.buckets().full_at.len(), 1);
    }
}
