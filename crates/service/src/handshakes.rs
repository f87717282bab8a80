//! Connections refused before anybody could log in: no certificate, expired, revoked, of another CA. Counted by the
//! listener and recorded once a minute per reason and source, so that a flood does not fill the log (decision 0006.28).
//! A certificate of the own authority that nobody registered, and a revoked one that keeps knocking, are told (T-5, T-15).

use crate::caller::fingerprint_bytes;
use crate::notices::Tell;
use crate::{Context, Error, Platform};
use kiban_domain::notice::NoticeKind;
use kiban_domain::{Organization, dates};
use kiban_store::{Entry, Outcome, Tx};

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
    /// Records refused handshakes, one entry each, and raises the notices they call for.
    pub async fn record_refused_handshakes(
        &self,
        refused: &[RefusedHandshakes],
        context: &Context,
    ) -> Result<(), Error> {
        for refusal in refused {
            let entry = Entry::new(context.now, &context.request_id, "tls", "tls.refused", Outcome::Refused);
            let detail = serde_json::json!({ "count": refusal.count, "serial": refusal.serial });
            // Only then did the other side prove that it holds the key.
            let proved = matches!(refusal.reason.as_str(), "revoked" | "office_inactive");
            let presented = refusal.fingerprint.as_deref().filter(|_| proved);
            let bound = presented.and_then(|fingerprint| self.standing().bound_to(fingerprint));
            let entry = Entry {
                organization: bound.map(|organization| organization.to_string()),
                certificate: refusal.fingerprint.as_deref().and_then(fingerprint_bytes),
                rule: Some(refusal.reason.clone()),
                source: Some(refusal.source.clone()),
                detail: Some(detail.to_string()),
                ..entry
            };
            match (refusal.reason.as_str(), refusal.fingerprint.as_deref()) {
                ("unknown_certificate" | "revoked", Some(fingerprint)) => {
                    let mut tx = self.store().begin().await?;
                    self.tell_of_handshake(&mut tx, refusal, fingerprint, bound, context).await?;
                    tx.commit(entry).await?;
                }
                _ => self.store().audit().append(entry).await.map(drop)?,
            }
        }
        Ok(())
    }

    /// The first use of an unregistered certificate of the own authority is told; a revoked one when it keeps knocking.
    async fn tell_of_handshake(
        &self,
        tx: &mut Tx,
        refusal: &RefusedHandshakes,
        fingerprint: &str,
        bound: Option<Organization>,
        context: &Context,
    ) -> Result<(), Error> {
        let day = context.today();
        let kind = match refusal.reason.as_str() {
            "revoked" => NoticeKind::RevokedCertificate,
            _ => NoticeKind::UnknownCertificate,
        };
        if kind == NoticeKind::RevokedCertificate {
            let text = format!("handshakes|{fingerprint}");
            let subject = self.store().platform_keys().await?.digest(text.as_bytes());
            let count = i32::try_from(refusal.count).unwrap_or(i32::MAX);
            if tx.add_mismatches(&subject, day, count).await? < self.inner.config.revoked_handshakes {
                return Ok(());
            }
        }
        let facts = serde_json::json!({
            "organization": bound,
            "serial": refusal.serial,
            "fingerprint": fingerprint,
            "source": refusal.source,
        });
        let once = format!("{fingerprint}|{}", dates::yyyymmdd(day));
        let owner = bound.filter(|organization| *organization != Organization::Operator);
        for to in [Some(Organization::Operator), owner].into_iter().flatten() {
            let administrators = to.office().is_some();
            let facts = facts.clone();
            self.tell(tx, Tell { to, administrators, kind, about: None, facts, once: &once }, context).await?;
        }
        Ok(())
    }
}
