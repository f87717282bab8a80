//! The person's log-in at an outside provider: OpenID Connect, authorisation code with PKCE S256, state, nonce and
//! `private_key_jwt` (P-001, T-37). What is secret of one attempt is made and checked by the service; here is what is said to the
//! provider, and what of its answers is believed.

mod fetch;
mod jose;
mod settings;

pub use settings::{AnyAcr, ClaimNames, ProviderSettings, WantedAcr};

use crate::Clock;
use fetch::{Answer, Ask, Client};
use hyper::{Method, StatusCode};
use jose::{ClientKey, KeySet, TokenFault, encode};
use kiban_domain::consent::IdentityProof;
use kiban_service::{LogInAttempt, PersonClaims};
use ring::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Clocks may differ by so many seconds.
const SKEW: i64 = 60;
/// A token is taken at most so many seconds after it was made.
const OLDEST_TOKEN: i64 = 600;
/// Our assertion holds for so many seconds.
const ASSERTION: i64 = 60;
/// What the provider publishes is read again after so many seconds.
const KEEP: i64 = 3_600;
/// … and when a key is missing, or it could not be read, at most once in so many.
const REREAD: i64 = 60;

/// Why nobody is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What the browser or the provider brought is not believed; a code for the log.
    Refused(&'static str),
    /// The provider does not answer as it should; for the log.
    Unavailable(String),
}

/// One provider, with what it publishes.
pub struct Provider {
    settings: ProviderSettings,
    key: ClientKey,
    client: Client,
    clock: Clock,
    published: Mutex<Option<Published>>,
    /// Held by the one who reads; when it was last tried in vain.
    reading: tokio::sync::Mutex<Option<i64>>,
}

/// The provider's description and keys, as last read.
#[derive(Clone)]
struct Published {
    metadata: Arc<Metadata>,
    keys: Arc<KeySet>,
    read_at: i64,
}

/// What is needed of the description (OpenID Connect Discovery 1.0).
#[derive(Debug, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: Option<String>,
    jwks_uri: String,
    /// RFC 9207: the answer names its issuer.
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// What comes back with the browser.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Callback {
    pub(crate) code: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) iss: Option<String>,
    pub(crate) error: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    token_type: String,
    id_token: String,
}

/// The claims of an ID token that are checked; a name that comes twice is an error.
#[derive(Deserialize)]
struct IdToken {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nbf: Option<i64>,
    nonce: Option<String>,
    acr: Option<String>,
    at_hash: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Provider {
    /// Reads the file of settings and what it names; the error is in Japanese and says what to do.
    pub fn open(file: &Path, clock: Clock) -> Result<Self, String> {
        let fault = |path: &Path, what: &str| format!("{}: {what}", path.display());
        let text = std::fs::read(file).map_err(|error| fault(file, &format!("読めません（{error}）")))?;
        let settings: ProviderSettings = serde_json::from_slice(&text)
            .map_err(|error| fault(file, &format!("本人のログインの設定として読めません（{error}）")))?;
        if !settings.issuer.starts_with("https://") || settings.issuer.ends_with('/') {
            return Err(fault(file, "issuer は https:// で始まり、/ で終わらないように書いてください"));
        }
        if matches!(&settings.acr, WantedAcr::OneOf(wanted) if wanted.is_empty()) {
            return Err(fault(
                file,
                "acr に、受け入れる値を1つ以上書いてください。見ないときは \"any\" と書いてください",
            ));
        }
        let folder = file.parent().unwrap_or(Path::new("."));
        let (key, ca) = (folder.join(&settings.key), folder.join(&settings.ca));
        let der = PrivatePkcs8KeyDer::from_pem_file(&key)
            .map_err(|_| fault(&key, "PKCS #8 の秘密鍵（PEM、BEGIN PRIVATE KEY）として読めません"))?;
        let key = ClientKey::of(der.secret_pkcs8_der())
            .ok_or_else(|| fault(&key, "P-256 か 2048 ビット以上の RSA の鍵にしてください"))?;
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(&ca)
            .map_err(|error| fault(&ca, &format!("認証局の証明書を読めません（{error}）")))?;
        roots.add_parsable_certificates(certificates.flatten());
        if roots.is_empty() {
            return Err(fault(&ca, "認証局の証明書（PEM）がありません"));
        }
        let client = Client::new(roots).ok_or_else(|| "TLS を設定できません".to_owned())?;
        Ok(Self { settings, key, client, clock, published: Mutex::new(None), reading: tokio::sync::Mutex::new(None) })
    }

    /// Name of the provider on pages.
    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    fn now(&self) -> i64 {
        (self.clock)().as_second()
    }

    /// Where the browser is sent.
    pub(crate) async fn address_of(&self, attempt: &LogInAttempt, redirect_uri: &str) -> Result<String, Fault> {
        let metadata = self.published(KEEP).await?.metadata;
        let challenge = encode(digest(&SHA256, attempt.verifier.as_bytes()).as_ref());
        let mut query = vec![
            ("response_type", "code"),
            ("client_id", &self.settings.client_id),
            ("redirect_uri", redirect_uri),
            ("scope", &self.settings.scope),
            ("state", &attempt.state),
            ("nonce", &attempt.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        if let Some(values) = &self.settings.acr_values {
            query.push(("acr_values", values));
        }
        let joint = if metadata.authorization_endpoint.contains('?') { '&' } else { '?' };
        Ok(format!("{}{joint}{}", metadata.authorization_endpoint, form(&query)?))
    }

    /// Who came back. The attempt is the one of this browser and this state, and was never finished before.
    pub(crate) async fn finish(
        &self,
        attempt: &LogInAttempt,
        callback: &Callback,
        redirect_uri: &str,
    ) -> Result<PersonClaims, Fault> {
        let published = self.published(KEEP).await?;
        let metadata = &published.metadata;
        // Mix-up: an answer of another issuer goes nowhere, its code to nobody (RFC 9207).
        match &callback.iss {
            Some(issuer) if *issuer != self.settings.issuer => return Err(Fault::Refused("oidc:iss")),
            None if metadata.authorization_response_iss_parameter_supported => {
                return Err(Fault::Refused("oidc:iss"));
            }
            _ => {}
        }
        let code = callback.code.as_deref().filter(|code| !code.is_empty()).ok_or(Fault::Refused("oidc:no_code"))?;
        let tokens = self.tokens(metadata, attempt, code, redirect_uri).await?;
        let (token, claims) = self.verified(&tokens.id_token, published.clone()).await?;
        self.check(&token, &tokens.access_token, &attempt.nonce)?;
        let claims = match &metadata.userinfo_endpoint {
            Some(_) if self.has_all(&claims) => claims,
            Some(endpoint) => merge(claims, self.userinfo(endpoint, &tokens.access_token, &token.sub).await?),
            None => claims,
        };
        Ok(self.person_of(token.sub, &claims))
    }

    /// Exchanges the code, as ourselves.
    async fn tokens(
        &self,
        metadata: &Metadata,
        attempt: &LogInAttempt,
        code: &str,
        redirect_uri: &str,
    ) -> Result<Tokens, Fault> {
        let now = self.now();
        let audience = self.settings.assertion_audience.as_ref().unwrap_or(&metadata.token_endpoint);
        let jti = kiban_service::random_id().map_err(|error| Fault::Unavailable(error.to_string()))?;
        let claims = serde_json::json!({
            "iss": self.settings.client_id, "sub": self.settings.client_id, "aud": audience,
            "jti": jti, "iat": now, "exp": now + ASSERTION,
        });
        let assertion = self.key.sign(self.settings.key_id.as_deref(), &claims);
        let assertion = assertion.ok_or_else(|| Fault::Unavailable("our assertion was not signed".to_owned()))?;
        let form = form(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("client_id", &self.settings.client_id),
            ("code_verifier", &attempt.verifier),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &assertion),
        ])?;
        let ask =
            Ask { method: Method::POST, address: &metadata.token_endpoint, authorization: None, form: Some(form) };
        let answer = self.client.ask(ask).await.map_err(Fault::Unavailable)?;
        // The code was used, is another client's, or is made up.
        if answer.status.is_client_error() {
            return Err(Fault::Refused("oidc:code"));
        }
        let tokens: Tokens = json(answer, "token endpoint")?;
        if !tokens.token_type.eq_ignore_ascii_case("bearer") {
            return Err(Fault::Refused("oidc:token_type"));
        }
        Ok(tokens)
    }

    /// The claims of a token that the provider signed; with a key that is not known yet the keys are read again, at most once a
    /// minute.
    async fn verified(&self, token: &str, mut published: Published) -> Result<(IdToken, Value), Fault> {
        let mut payload = published.keys.verify(token);
        if payload == Err(TokenFault::UnknownKey) && self.now() - published.read_at >= REREAD {
            published = self.published(REREAD).await?;
            payload = published.keys.verify(token);
        }
        let payload = payload.map_err(|fault| {
            Fault::Refused(match fault {
                TokenFault::Malformed => "oidc:token",
                TokenFault::Algorithm => "oidc:alg",
                TokenFault::UnknownKey => "oidc:key",
                TokenFault::Signature => "oidc:signature",
            })
        })?;
        let malformed = |_| Fault::Refused("oidc:token");
        Ok((serde_json::from_slice(&payload).map_err(malformed)?, serde_json::from_slice(&payload).map_err(malformed)?))
    }

    fn check(&self, token: &IdToken, access_token: &str, nonce: &str) -> Result<(), Fault> {
        let (own, now) = (&self.settings.client_id, self.now());
        let is_ours = match &token.aud {
            Audience::One(audience) => audience == own,
            // Nobody else is trusted with it.
            Audience::Many(all) => all.len() == 1 && all.first() == Some(own),
        };
        let half = digest(&SHA256, access_token.as_bytes());
        let at_hash = encode(half.as_ref().get(..16).unwrap_or_default());
        let checks = [
            (token.iss == self.settings.issuer, "oidc:issuer"),
            (is_ours, "oidc:audience"),
            (token.azp.as_ref().is_none_or(|azp| azp == own), "oidc:azp"),
            (token.exp > now - SKEW, "oidc:expired"),
            (token.iat > now - OLDEST_TOKEN && token.iat < now + SKEW, "oidc:issued_at"),
            (token.nbf.is_none_or(|from| from <= now + SKEW), "oidc:not_before"),
            (token.nonce.as_deref() == Some(nonce), "oidc:nonce"),
            (token.at_hash.as_ref().is_none_or(|said| *said == at_hash), "oidc:at_hash"),
            (self.is_strong_enough(token.acr.as_deref()), "oidc:acr"),
            (!token.sub.is_empty() && token.sub.len() <= 255 && token.sub.is_ascii(), "oidc:subject"),
        ];
        match checks.iter().find(|(holds, _)| !holds) {
            Some((_, code)) => Err(Fault::Refused(code)),
            None => Ok(()),
        }
    }

    fn is_strong_enough(&self, acr: Option<&str>) -> bool {
        match &self.settings.acr {
            WantedAcr::Any(AnyAcr::Any) => true,
            WantedAcr::OneOf(wanted) => acr.is_some_and(|said| wanted.iter().any(|wanted| wanted == said)),
        }
    }

    /// How who logged in here is known: by the card only where the token must say so.
    pub(crate) fn proof(&self) -> IdentityProof {
        match &self.settings.acr {
            WantedAcr::Any(AnyAcr::Any) => IdentityProof::OtherDocument,
            WantedAcr::OneOf(_) => IdentityProof::IndividualNumberCard,
        }
    }

    async fn userinfo(&self, endpoint: &str, access_token: &str, subject: &str) -> Result<Value, Fault> {
        let authorization = Some(format!("Bearer {access_token}"));
        let ask = Ask { method: Method::GET, address: endpoint, authorization, form: None };
        let answer = self.client.ask(ask).await.map_err(Fault::Unavailable)?;
        let claims: Value = json(answer, "userinfo endpoint")?;
        // Otherwise somebody else's access token was slipped in.
        if claims.get("sub").and_then(Value::as_str) == Some(subject) {
            Ok(claims)
        } else {
            Err(Fault::Refused("oidc:userinfo_subject"))
        }
    }

    fn has_all(&self, claims: &Value) -> bool {
        let names = &self.settings.claims;
        [&names.name, &names.address, &names.birth].iter().all(|pointer| names.text(claims, pointer).is_some())
            && claims.pointer(&names.sex).is_some()
    }

    fn person_of(&self, subject: String, claims: &Value) -> PersonClaims {
        let names = &self.settings.claims;
        let text = |pointer: &str| names.text(claims, pointer).map(str::to_owned);
        PersonClaims {
            issuer: self.settings.issuer.clone(),
            subject,
            name: text(&names.name),
            address: text(&names.address),
            birth: text(&names.birth).and_then(|day| day.parse().ok()),
            sex: names.sex_of(claims),
        }
    }

    /// What the provider publishes, not older than so many seconds; when it does not answer, as last read. One reads, the others wait for
    /// it; while the provider does not answer, it is tried once a minute and everybody else is answered at once.
    async fn published(&self, newest: i64) -> Result<Published, Fault> {
        if let Some(known) = self.known(newest) {
            return Ok(known);
        }
        let mut tried_in_vain_at = self.reading.lock().await;
        if let Some(known) = self.known(newest) {
            return Ok(known);
        }
        let fault = if tried_in_vain_at.is_some_and(|at| (0..REREAD).contains(&(self.now() - at))) {
            Fault::Unavailable("it did not answer a moment ago".to_owned())
        } else {
            match self.read_published().await {
                Ok(published) => {
                    *self.remembered() = Some(published.clone());
                    return Ok(published);
                }
                Err(fault) => {
                    *tried_in_vain_at = Some(self.now());
                    fault
                }
            }
        };
        let known = self.remembered().clone().ok_or_else(|| fault.clone())?;
        tracing::warn!(?fault, "the provider's keys were not read again, the last ones are used");
        Ok(known)
    }

    /// As last read, not older than so many seconds.
    fn known(&self, newest: i64) -> Option<Published> {
        self.remembered().clone().filter(|known| self.now() - known.read_at < newest)
    }

    fn remembered(&self) -> MutexGuard<'_, Option<Published>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read_published(&self) -> Result<Published, Fault> {
        let get = async |address: &str| {
            let ask = Ask { method: Method::GET, address, authorization: None, form: None };
            self.client.ask(ask).await.map_err(Fault::Unavailable)
        };
        let address = format!("{}/.well-known/openid-configuration", self.settings.issuer);
        let metadata: Metadata = json(get(&address).await?, "description")?;
        if metadata.issuer != self.settings.issuer {
            return Err(Fault::Unavailable(format!("the description is of {}", metadata.issuer)));
        }
        let addresses = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
        if !addresses.iter().all(|address| address.starts_with("https://")) {
            return Err(Fault::Unavailable("the description names an address that is not https".to_owned()));
        }
        let answer = get(&metadata.jwks_uri).await?;
        let keys = Some(answer).filter(|answer| answer.status == StatusCode::OK);
        let keys = keys.and_then(|answer| KeySet::read(&answer.body));
        let keys = keys.ok_or_else(|| Fault::Unavailable("the keys cannot be read".to_owned()))?;
        Ok(Published { metadata: Arc::new(metadata), keys: Arc::new(keys), read_at: self.now() })
    }
}

/// A JSON answer that says everything is well.
fn json<T: serde::de::DeserializeOwned>(answer: Answer, whose: &str) -> Result<T, Fault> {
    if answer.status != StatusCode::OK || answer.media != "application/json" {
        return Err(Fault::Unavailable(format!("{whose}: {} {}", answer.status, answer.media)));
    }
    serde_json::from_slice(&answer.body).map_err(|error| Fault::Unavailable(format!("{whose}: {error}")))
}

fn form(fields: &[(&str, &str)]) -> Result<String, Fault> {
    serde_urlencoded::to_string(fields).map_err(|error| Fault::Unavailable(error.to_string()))
}

/// The claims of the token with those of userinfo; what the token says, which is signed, stays.
fn merge(mut token: Value, more: Value) -> Value {
    if let (Value::Object(known), Value::Object(more)) = (&mut token, more) {
        for (name, value) in more {
            known.entry(name).or_insert(value);
        }
    }
    token
}
