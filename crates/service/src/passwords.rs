//! Checking passwords: argon2id costs memory on purpose, 19 MiB each time. At most two checks run at a time (decision
//! 0006.29), and nothing of their memory stays with the process.

use crate::Error;
use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use tokio::sync::Semaphore;
use zeroize::{Zeroize as _, Zeroizing};

/// Checks at the same time.
const AT_ONCE: usize = 2;
/// Blocks of 1 KiB set aside for a check, of which it touches only those it needs. An area of more than 32 MiB comes from the
/// operating system and goes back there; a smaller one would stay, 19 MiB each, with the allocator of every thread that ever
/// checked a password.
const SET_ASIDE: usize = 33 * 1024;

/// The places to check a password.
pub(crate) struct Passwords {
    places: Semaphore,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self { places: Semaphore::new(AT_ONCE) }
    }

    /// Whether a password has this argon2id hash (PHC string).
    pub(crate) async fn check(&self, password: Zeroizing<String>, hash: String) -> Result<bool, Error> {
        let internal = |error: &dyn std::fmt::Display| Error::Internal(error.to_string());
        let _place = self.places.acquire().await.map_err(|error| internal(&error))?;
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
}
