//! Tags of answers (ETag): a keyed digest of who reads what and of the answer.

use crate::once::joined;
use crate::{Error, Platform};

impl Platform {
    /// The tag of an answer to this reader: 128 bits in hexadecimal, the same for the same bytes in every process.
    pub async fn tag_of(&self, reader: &[&[u8]], answer: &[u8]) -> Result<String, Error> {
        let parts = joined(&[b"tag of an answer", &joined(reader), answer]);
        let digest = self.store().platform_keys().await?.digest(&parts);
        Ok(digest[..16].iter().map(|byte| format!("{byte:02x}")).collect())
    }
}
