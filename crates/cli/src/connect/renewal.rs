//! The connector renews its own certificate before it ends (P-182): new key, request over the certificate in use, new pair in
//! the place of the old one. It may be killed at any moment: the new key is on the disk before it is asked for, the same
//! request is answered with the same certificate, and a pair that is complete is put into its place by the next start.

use super::check;
use super::config::Config;
use super::link::{Content, Link};
use super::place::{Place, sync_folder};
use super::round::Connector;
use crate::ca::{write_secret, write_secrets};
use crate::home::now;
use anyhow::{Context as _, Result, anyhow};
use kiban_domain::Timestamp;
use kiban_pki::{Identity, client_config, key_digest, new_key, not_after, request_for, requested_key};
use kiban_service::RENEWAL_DAYS;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Seconds between two attempts.
const PAUSE: i64 = 3600;
/// Folder of what is under way.
pub const PART: &str = "state/renewal";

fn file(place: &Place, name: &str) -> PathBuf {
    place.part(PART).join(name)
}

/// Puts a new pair that is complete into its place; called before certificate and key are read. Where that cannot be done (a
/// folder that cannot be written), both stay as they are: each is written beside its place first, and none is put there before both are whole.
pub fn finish(config: &Config, place: &Place) -> Result<()> {
    let (key, certificate) = (file(place, "next.key"), file(place, "next.crt"));
    if !certificate.exists() {
        return Ok(());
    }
    // Both are whole: the certificate is written last. Cut anywhere here, this is done again until the new key, which must
    // never be asked for twice, is gone.
    if key.exists() {
        // One without the other would be no pair.
        check::replaceable(config)
            .map_err(|(folder, error)| anyhow!("{} に書けません（{error}）", folder.display()))?;
        let (new_key, new_certificate) = (read(&key)?, read(&certificate)?);
        write_secrets(&[(&config.key, new_key.as_bytes()), (&config.certificate, new_certificate.as_bytes())])?;
        std::fs::remove_file(&key).with_context(|| format!("{} を消せません", key.display()))?;
        sync_folder(&place.part(PART))?;
    }
    std::fs::remove_file(&certificate).with_context(|| format!("{} を消せません", certificate.display()))?;
    Ok(sync_folder(&place.part(PART))?)
}

fn read(path: &Path) -> Result<Zeroizing<String>> {
    std::fs::read_to_string(path).map(Zeroizing::new).with_context(|| format!("{} を読めません", path.display()))
}

fn first(pem: &str) -> Result<rustls::pki_types::CertificateDer<'static>> {
    let chain = kiban_pki::tls::certificates(pem).map_err(ja)?;
    chain.into_iter().next().context("証明書がありません")
}

fn ja(error: kiban_pki::Error) -> anyhow::Error {
    anyhow!(error.message_ja())
}

impl Connector {
    /// Renews within sixty days of the end, at most one attempt an hour. What fails is told and does not stop the round: the
    /// certificate in use is good until its end.
    pub(super) async fn renew_when_due(&mut self) {
        if self.tried_renewal.is_some_and(|at| now().as_second() - at.as_second() < PAUSE) {
            return;
        }
        self.tried_renewal = Some(now());
        match self.renew(now()).await {
            Ok(None) => {}
            Ok(Some(end)) => {
                println!("証明書を更新しました（新しい期限 {}）", kiban_domain::dates::day_in_japan(end));
            }
            Err(error) => eprintln!("証明書を更新できませんでした。1時間後にもう一度試します: {error:#}"),
        }
    }

    /// The new end, if it was renewed.
    async fn renew(&mut self, now: Timestamp) -> Result<Option<Timestamp>> {
        let end = not_after(&first(&read(&self.config.certificate)?)?).map_err(ja)?;
        if now < end - jiff::SignedDuration::from_hours(24 * RENEWAL_DAYS) {
            return Ok(None);
        }
        let key = self.next_key()?;
        let csr = request_for(&key, "connector").map_err(ja)?;
        let body = serde_json::json!({ "csr": csr }).to_string().into_bytes();
        let content = Content::Bytes("application/json", body);
        let answer = self.link.send("POST", "/api/v1/certificate/renewal", content).await?;
        if answer.status != 200 {
            return Err(anyhow!("{}", answer.words()));
        }
        let answer = answer.json();
        let Some(certificate) = answer["certificate"].as_str() else {
            return Err(anyhow!("基盤がまだ発行していません（{}）", answer["state_name"].as_str().unwrap_or_default()));
        };
        let own = first(certificate)?;
        if key_digest(&own).map_err(ja)? != requested_key(&csr).map_err(ja)?.digest {
            return Err(anyhow!("受け取った証明書が新しい鍵のものではありません"));
        }
        // Nothing is replaced by what could not be used.
        client_config(&[], Some(&Identity::from_pem(certificate, &key).map_err(ja)?)).map_err(ja)?;
        write_secret(&file(&self.place, "next.crt"), certificate.as_bytes())?;
        finish(&self.config, &self.place)?;
        self.link = Link::new(&self.config)?;
        Ok(Some(not_after(&own).map_err(ja)?))
    }

    /// The key that is asked for, the same until its certificate is in place.
    fn next_key(&self) -> Result<Zeroizing<String>> {
        let path = file(&self.place, "next.key");
        if !path.exists() {
            write_secret(&path, new_key().map_err(ja)?.as_bytes())?;
        }
        read(&path)
    }
}
