//! Sessions seen a moment ago. Every request names its session; asking the database each time would be a third of what a
//! read costs. What is remembered here is believed for two seconds, as the standing map is (decision 0006.27): a log-out
//! works at once in this process and within two seconds in every other.

use kiban_domain::office::StaffId;
use kiban_domain::{Organization, Timestamp};
use kiban_store::Session;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Microseconds for which a session is believed.
const BELIEVED: i64 = 2_000_000;
/// Sessions remembered; beyond that all are asked again.
const MOST: usize = 20_000;

type Key = (Organization, [u8; 32]);

/// By organisation and keyed digest of the token; no token is kept.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<Key, (Session, Timestamp)>>);

impl Sessions {
    /// A session read from the store less than two seconds before `now`.
    pub(crate) fn get(&self, key: &Key, now: Timestamp) -> Option<Session> {
        let all = self.all();
        let (session, read_at) = all.get(key)?;
        let age = now.as_microsecond() - read_at.as_microsecond();
        (0..BELIEVED).contains(&age).then(|| session.clone())
    }

    pub(crate) fn put(&self, key: Key, session: Session, now: Timestamp) {
        let mut all = self.all();
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(key, (session, now));
    }

    pub(crate) fn forget(&self, key: &Key) {
        self.all().remove(key);
    }

    /// Forgets every session of an account.
    pub(crate) fn forget_staff(&self, staff: &StaffId) {
        self.all().retain(|_, (session, _)| session.staff != *staff);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Key, (Session, Timestamp)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiban_store::SessionWay;

    #[test]
    fn a_session_is_believed_for_two_seconds_and_not_after_it_was_forgotten() {
        let at = |micros| Timestamp::from_microsecond(micros).unwrap();
        let session = Session {
            id: "0a1b".to_owned(),
            staff: StaffId("operator/a".to_owned()),
            fingerprint: "f".repeat(64),
            way: SessionWay::Interactive,
            software: None,
            opened_at: at(1),
            expires_at: at(60_000_000),
            refresh_until: at(60_000_000),
            ended_at: None,
            awaits_factor: false,
        };
        let (sessions, key) = (Sessions::default(), (Organization::Operator, [1; 32]));
        sessions.put(key, session.clone(), at(5_000_000));
        assert_eq!(sessions.get(&key, at(6_999_999)), Some(session.clone()));
        assert_eq!(sessions.get(&key, at(7_000_000)), None, "asked again");
        assert_eq!(sessions.get(&key, at(4_000_000)), None, "a clock that went back proves nothing");
        assert_eq!(sessions.get(&(Organization::Operator, [2; 32]), at(5_000_000)), None);
        sessions.put(key, session, at(8_000_000));
        sessions.forget(&key);
        assert_eq!(sessions.get(&key, at(8_000_000)), None);
    }
}
