//! The little of JOSE that is needed: signed tokens of a provider (ES256, RS256 and nothing else) against its published keys, and our
//! own signature under a client assertion (RFC 7515, 7517, 7523).
//!
//! A token never chooses how it is checked: its `alg` must be one of two, and only keys of exactly that type are tried, so
//! neither `none` nor an HMAC over a public key is ever looked at (T-37).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value;

/// Longest token that is looked at, in bytes.
const LONGEST_TOKEN: usize = 32 << 10;

/// The two algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Es256,
    Rs256,
}

/// A published key: RSA, or P-256.
#[derive(Debug, Clone, Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// The keys a provider publishes. Those of other types are not kept.
#[derive(Debug, Clone)]
pub(crate) struct KeySet(Vec<Jwk>);

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenFault {
    /// Not three parts of base64url, or no JSON in them.
    Malformed,
    /// Signed by no algorithm of ours, or not at all.
    Algorithm,
    /// By a key that is not published; it may be a new one.
    UnknownKey,
    /// The signature does not fit.
    Signature,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl KeySet {
    /// Reads a JWK set; keys that cannot be read are as good as not there.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(text).ok()?;
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        Some(Self(keys.filter(Jwk::is_for_signing).collect()))
    }

    /// The payload of a compact token that one of the keys signed.
    pub(crate) fn verify(&self, token: &str) -> Result<Vec<u8>, TokenFault> {
        let parts: Vec<&str> = token.split('.').collect();
        let [header, payload, signature] = parts[..] else { return Err(TokenFault::Malformed) };
        if token.len() > LONGEST_TOKEN {
            return Err(TokenFault::Malformed);
        }
        let decoded = (decode(header), decode(payload), decode(signature));
        let (Some(header), Some(payload), Some(signature)) = decoded else { return Err(TokenFault::Malformed) };
        let header: Header = serde_json::from_slice(&header).map_err(|_| TokenFault::Malformed)?;
        let algorithm = match header.alg.as_str() {
            "ES256" => Algorithm::Es256,
            "RS256" => Algorithm::Rs256,
            _ => return Err(TokenFault::Algorithm),
        };
        if header.crit.is_some() {
            return Err(TokenFault::Algorithm);
        }
        let signed = token.rsplit_once('.').map_or("", |(signed, _)| signed).as_bytes();
        let named = |key: &&Jwk| header.kid.is_none() || key.kid == header.kid;
        let mut keys = self.0.iter().filter(|key| key.algorithm() == Some(algorithm)).filter(named).peekable();
        if keys.peek().is_none() {
            return Err(TokenFault::UnknownKey);
        }
        if keys.any(|key| key.fits(signed, &signature)) { Ok(payload) } else { Err(TokenFault::Signature) }
    }
}

impl Jwk {
    fn is_for_signing(&self) -> bool {
        self.algorithm().is_some() && self.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
    }

    fn algorithm(&self) -> Option<Algorithm> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some("P-256")) => Some(Algorithm::Es256),
            ("RSA", _) => Some(Algorithm::Rs256),
            _ => None,
        }
    }

    fn fits(&self, signed: &[u8], signature: &[u8]) -> bool {
        let part = |text: &Option<String>| text.as_deref().and_then(decode);
        match self.algorithm() {
            Some(Algorithm::Es256) => {
                let (Some(x), Some(y)) = (part(&self.x), part(&self.y)) else { return false };
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature).is_ok()
            }
            Some(Algorithm::Rs256) => {
                let (Some(n), Some(e)) = (part(&self.n), part(&self.e)) else { return false };
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature).is_ok()
            }
            None => false,
        }
    }
}

/// The key of this installation at the provider.
pub(crate) enum ClientKey {
    /// P-256, signs ES256.
    Ec(Box<EcdsaKeyPair>),
    /// RSA of 2048 bits and more, signs RS256.
    Rsa(Box<RsaKeyPair>),
}

impl ClientKey {
    /// Of a PKCS #8 document.
    pub(crate) fn of(pkcs8: &[u8]) -> Option<Self> {
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new());
        match ec {
            Ok(pair) => Some(Self::Ec(Box::new(pair))),
            Err(_) => RsaKeyPair::from_pkcs8(pkcs8).ok().map(|pair| Self::Rsa(Box::new(pair))),
        }
    }

    /// A compact token with these claims. `None`: no random numbers.
    pub(crate) fn sign(&self, key_id: Option<&str>, claims: &Value) -> Option<String> {
        let mut header = serde_json::json!({ "alg": self.algorithm(), "typ": "JWT" });
        if let Some(id) = key_id {
            header["kid"] = Value::from(id);
        }
        let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Ec(pair) => pair.sign(&random, signed.as_bytes()).ok()?.as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).ok()?;
                signature
            }
        };
        Some(format!("{signed}.{}", encode(&signature)))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ec(_) => "ES256",
            Self::Rsa(_) => "RS256",
        }
    }
}

/// base64url without padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
