//! Connections refused before anybody could log in: no certificate, expired, revoked, of another CA. Counted by the
//! listener and recorded once a minute per reason and source, so that a flood does not fill the log (decision 0006.28).

use crate::caller::fingerprint_bytes;
use crate::{Context, Error, Platform};
use kiban_store::{Entry, Outcome};

/// Refusals of one reason from one source since the last record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedHandshakes {
    /// Why, such as `revoked`.
    pub reason: String,
    /// From which address; `others` when too many addresses were seen.
    pub source: String,
    /// How often.
    pub count: u64,
    /// SHA-256 of the last certificate presented, lower-case hexadecimal.
    pub fingerprint: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
}

impl Platform {
    /// Records refused handshakes, one entry each.
    pub async fn record_refused_handshakes(
        &self,
        refused: &[RefusedHandshakes],
        context: &Context,
    ) -> Result<(), Error> {
        for refusal in refused {
            let entry = Entry::new(context.now, &context.request_id, "tls", "tls.refused", Outcome::Refused);
            let detail = serde_json::json!({ "count": refusal.count, "serial": refusal.serial });
            let entry = Entry {
                certificate: refusal.fingerprint.as_deref().and_then(fingerprint_bytes),
                rule: Some(refusal.reason.clone()),
                source: Some(refusal.source.clone()),
                detail: Some(detail.to_string()),
                ..entry
            };
            self.store().audit().append(entry).await?;
        }
        Ok(())
    }
}
