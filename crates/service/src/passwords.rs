//! Passwords: what one must be like, and checking one. argon2id costs memory on purpose, 19 MiB each time. At most two checks run at a time (decision
//! 0006.29), and nothing of their memory stays with the process.

use crate::{Error, ItemFault};
use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use kiban_domain::office::Staff;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Semaphore;
use zeroize::{Zeroize as _, Zeroizing};

/// Checks at the same time.
const AT_ONCE: usize = 2;
/// Blocks of 1 KiB set aside for a check, of which it touches only those it needs. An area of more than 32 MiB comes from the
/// operating system and goes back there; a smaller one would stay, 19 MiB each, with the allocator of every thread that ever
/// checked a password.
const SET_ASIDE: usize = 33 * 1024;

/// Signs of a password (S-006), beside a second factor too: a program logs in without its code.
const SHORTEST: usize = 13;
/// Longest password; argon2id takes any length, a body does not.
const LONGEST: usize = 256;
/// Different signs in a password: repeating one is no length.
const DIFFERENT: usize = 5;
/// Signs of a name that may not be part of a password.
const NAME: usize = 4;
/// Signs before and after a common password that leave it common.
const MARGIN: usize = 4;

/// What is wrong with a new password of somebody, told of this item (S-006, S-007).
pub(crate) fn faults_of(item: &str, new: &str, old: &str, staff: &Staff) -> Vec<ItemFault> {
    let fault = |text: &str| vec![ItemFault::new(item, text)];
    let length = new.chars().count();
    if length < SHORTEST {
        return fault(&format!("パスワードは{SHORTEST}文字以上にしてください"));
    }
    if length > LONGEST {
        return fault(&format!("パスワードは{LONGEST}文字以内にしてください"));
    }
    if new == old {
        return fault("いまのパスワードと同じです。別のパスワードにしてください");
    }
    let plain = new.to_lowercase();
    let mut signs: Vec<char> = plain.chars().collect();
    signs.sort_unstable();
    signs.dedup();
    if signs.len() < DIFFERENT {
        return fault("同じ文字の繰返しです。いろいろな文字を使ってください");
    }
    if is_guessable(&plain, staff) {
        return fault("アカウント名・機関の番号・氏名は、パスワードに入れられません。ほかの言葉にしてください");
    }
    if is_common(&plain) {
        return fault("多くの人が使うパスワードです。ほかの言葉にしてください");
    }
    Vec::new()
}

/// Whether a password in lower case holds what everybody knows of its account.
fn is_guessable(plain: &str, staff: &Staff) -> bool {
    let name: String = staff.name.split_whitespace().collect();
    let (organization, id) = staff.id.0.split_once('/').unwrap_or_default();
    let known = [id, organization, &name].map(str::to_lowercase);
    known.iter().any(|known| known == plain || (known.chars().count() >= NAME && plain.contains(known.as_str())))
}

/// Whether a password in lower case is one many people chose, or one with a few digits and signs around it.
fn is_common(plain: &str) -> bool {
    static COMMON: OnceLock<Vec<&str>> = OnceLock::new();
    let common = COMMON.get_or_init(|| {
        include_str!("../tables/common_passwords.txt").lines().filter(|line| !line.starts_with('#')).collect()
    });
    let is_listed = |word: &str| common.binary_search(&word).is_ok();
    let core = plain.trim_matches(|c: char| !c.is_ascii_alphabetic());
    is_listed(plain) || (plain.len() - core.len() <= MARGIN && is_listed(core))
}

/// The places to check a password.
pub(crate) struct Passwords {
    places: Semaphore,
    /// argon2id calls since the start.
    computed: AtomicU64,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self { places: Semaphore::new(AT_ONCE), computed: AtomicU64::new(0) }
    }

    /// argon2id calls since the start, each some 19 MiB and a good part of a second of one core.
    pub(crate) fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    /// argon2id hash of a password, as a PHC string.
    pub(crate) async fn hash(&self, password: Zeroizing<String>) -> Result<String, Error> {
        let internal = |error: &dyn std::fmt::Display| Error::Internal(error.to_string());
        let _place = self.places.acquire().await.map_err(|error| internal(&error))?;
        self.computed.fetch_add(1, Ordering::Relaxed);
        let hash = move || crate::hash_password(&password);
        tokio::task::spawn_blocking(hash).await.map_err(|error| internal(&error))?
    }

    /// Whether a password has this argon2id hash (PHC string).
    pub(crate) async fn check(&self, password: Zeroizing<String>, hash: String) -> Result<bool, Error> {
        let internal = |error: &dyn std::fmt::Display| Error::Internal(error.to_string());
        let _place = self.places.acquire().await.map_err(|error| internal(&error))?;
        self.computed.fetch_add(1, Ordering::Relaxed);
        let check = move || fits(password.as_bytes(), &hash).unwrap_or(false);
        tokio::task::spawn_blocking(check).await.map_err(|error| internal(&error))
    }
}

/// `None` for a hash that is not argon2id.
fn fits(password: &[u8], hash: &str) -> Option<bool> {
    let hash = PasswordHash::new(hash).ok().filter(|hash| hash.algorithm == ARGON2ID_IDENT)?;
    let (salt, expected) = (hash.salt.as_ref()?, hash.hash.as_ref()?);
    let params = Params::try_from(&hash).ok()?;
    let mut area = Vec::with_capacity(params.block_count().max(SET_ASIDE));
    area.resize(params.block_count(), Block::default());
    let mut found = Zeroizing::new(vec![0; expected.as_bytes().len()]);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let done = argon2.hash_password_into_with_memory(password, salt, &mut found, area.as_mut_slice());
    // What was derived from the password does not stay.
    area.iter_mut().for_each(Block::zeroize);
    done.ok()?;
    // Compared in constant time.
    Some(Output::new(&found).ok()? == *expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiban_domain::office::{JobType, StaffId};

    #[test]
    fn a_short_a_guessable_or_a_common_password_is_refused() {
        let id = StaffId("4370100017/mihon".to_owned());
        let name = "架空 花子太郎".to_owned();
        let staff = Staff { id, name, job: JobType::CareManager, care_manager: None, administrator: false };
        let refused =
            |new: &str| faults_of("new_password", new, "mae-no-aikotoba-9", &staff).pop().map(|fault| fault.message);
        let told = |new: &str, why: &str| {
            let message = refused(new).unwrap_or_default();
            assert!(message.contains(why), "{new}: {message}");
        };
        told("juuni-no-kot", "13文字以上");
        told(&"あいうえおか".repeat(50), "256文字以内");
        told("mae-no-aikotoba-9", "同じ");
        told("ababababababa", "繰返し");
        told("watashi-MIHON-da-yo", "アカウント名");
        told("4370100017-himitsu", "アカウント名");
        told("架空花子太郎-no-himitsu", "アカウント名");
        told("1q2w3e4r5t6y7u8i9o0p", "多くの人");
        told("Administrator-26", "多くの人");
        assert_eq!(refused("juusan-no-kotoba"), None);
        assert_eq!(refused("administrator-no-neko-42"), None);
    }

    #[tokio::test]
    async fn a_password_fits_its_own_argon2id_hash_only() {
        let passwords = Passwords::new();
        let hashes = ["kakuu-no-aikotoba", "betsu-no-aikotoba"].map(|word| crate::hash_password(word).unwrap());
        let word = || Zeroizing::new("kakuu-no-aikotoba".to_owned());
        for (hash, fits) in hashes.iter().zip([true, false]) {
            assert_eq!(passwords.check(word(), hash.clone()).await.unwrap(), fits);
        }
        assert!(!passwords.check(word(), "no hash".to_owned()).await.unwrap());
        let of_another_kind = hashes[0].replace("argon2id", "argon2i");
        assert!(!passwords.check(word(), of_another_kind).await.unwrap());
    }

    #[tokio::test]
    async fn only_two_passwords_are_checked_at_a_time() {
        let passwords = Passwords::new();
        let hash = crate::hash_password("kakuu-no-aikotoba").unwrap();
        let check = || Box::pin(passwords.check(Zeroizing::new("kakuu-no-aikotoba".to_owned()), hash.clone()));
        let mut checks = [check(), check(), check()];
        for (begun, left) in checks.iter_mut().zip([1, 0, 0]) {
            // Begun: it takes a place, or waits for one.
            std::future::poll_fn(|cx| std::task::Poll::Ready(begun.as_mut().poll(cx).is_pending())).await;
            assert_eq!(passwords.places.available_permits(), left);
        }
        let [first, second, mut third] = checks;
        let is_waiting = std::future::poll_fn(|cx| std::task::Poll::Ready(third.as_mut().poll(cx).is_pending())).await;
        assert!(is_waiting, "a third is checked beside two");
        assert!(first.await.unwrap() && second.await.unwrap() && third.await.unwrap());
        assert_eq!(passwords.places.available_permits(), 2);
    }
}
