//! 利用者ハンドル: how a person is named in an address. No insured number stands in a URL (P-191); a handle is the number
//! sealed for one organisation, so it cannot be guessed and is worth nothing to anybody else.

use crate::{Caller, Error, Platform};
use kiban_domain::{InsuredNumber, InsurerNumber, Organization, PersonKey};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

impl Platform {
    /// The handle of a person for the caller's organisation; the same each time.
    pub async fn handle_of(&self, caller: &Caller, person: PersonKey) -> Result<String, Error> {
        let (key, owner) = (self.handle_key().await?, caller.organization.to_string());
        let mut text = format!("{}{}", person.insurer, person.insured).into_bytes();
        // The nonce follows from what is sealed, so it repeats only for the same handle.
        let keys = self.store().platform_keys().await?;
        let nonce: [u8; 12] = first(&keys.digest(&[b"handle nonce", owner.as_bytes(), &text].concat()));
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(owner.as_bytes()), &mut text)
            .map_err(|_| Error::Internal("handle".to_owned()))?;
        Ok(nonce.iter().chain(&text).map(|b| format!("{b:02x}")).collect())
    }

    /// The person of a handle; unknown for anything that is not a handle of this organisation.
    pub(crate) async fn person_of(&self, caller: &Caller, handle: &str) -> Result<PersonKey, Error> {
        self.person_named(caller.organization, handle).await
    }

    /// The same for an organisation.
    pub(crate) async fn person_named(&self, organization: Organization, handle: &str) -> Result<PersonKey, Error> {
        let bytes = unhex(handle).filter(|bytes| bytes.len() == 12 + 16 + 16).ok_or(Error::Unknown)?;
        let (key, owner) = (self.handle_key().await?, organization.to_string());
        let (nonce, sealed) = bytes.split_at(12);
        let mut sealed = sealed.to_vec();
        let plain = key
            .open_in_place(Nonce::assume_unique_for_key(first(nonce)), Aad::from(owner.as_bytes()), &mut sealed)
            .map_err(|_| Error::Unknown)?;
        let text = std::str::from_utf8(plain).map_err(|_| Error::Unknown)?;
        let (insurer, insured) = text.split_at(6);
        Ok(PersonKey {
            insurer: InsurerNumber::parse(insurer).map_err(|_| Error::Unknown)?,
            insured: InsuredNumber::parse(insured).map_err(|_| Error::Unknown)?,
        })
    }

    async fn handle_key(&self) -> Result<LessSafeKey, Error> {
        let bytes = self.store().platform_keys().await?.digest(b"handle key 1");
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| Error::Internal("handle key".to_owned()))?;
        Ok(LessSafeKey::new(key))
    }
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0u8; N];
    out.copy_from_slice(&bytes[..N]);
    out
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect()
}
