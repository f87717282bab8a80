//! Which provider says who somebody is, as data: one file for each installation.

use kiban_domain::insured::Sex;
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;

/// The file, JSON. Paths in it are relative to the folder it lies in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSettings {
    /// Issuer, exactly as it stands in its tokens; `https://…` without a slash at the end.
    pub issuer: String,
    /// Name of this installation at the provider.
    pub client_id: String,
    /// Our private key, PKCS #8 in PEM: P-256 signs ES256, RSA signs RS256.
    pub key: PathBuf,
    /// `kid` of our key, where the provider wants one.
    #[serde(default)]
    pub key_id: Option<String>,
    /// Authorities trusted for the provider's TLS, PEM: its own one, or the file of the operating system.
    #[serde(default = "system_authorities")]
    pub ca: PathBuf,
    /// What is asked for.
    #[serde(default = "scope")]
    pub scope: String,
    /// `acr_values` to ask for.
    #[serde(default)]
    pub acr_values: Option<String>,
    /// Values of `acr` one of which the token must say; `"any"`: not looked at, and an act of consent is not recorded as proved by the
    /// card (P-065).
    pub acr: WantedAcr,
    /// `aud` of our assertion when it is not the address of the token endpoint.
    #[serde(default)]
    pub assertion_audience: Option<String>,
    /// Name of the provider on pages.
    #[serde(default = "provider_name")]
    pub name: String,
    /// Where the 基本4情報 stand.
    #[serde(default)]
    pub claims: ClaimNames,
}

/// How surely the provider must have known somebody.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum WantedAcr {
    /// However it was.
    Any(AnyAcr),
    /// As one of these says.
    OneOf(Vec<String>),
}

/// The word for it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnyAcr {
    /// `"any"`
    Any,
}

/// Where the 基本4情報 stand in the claims, as JSON pointers (RFC 6901).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimNames {
    /// 氏名
    pub name: String,
    /// 住所: a text, or an object with `formatted`.
    pub address: String,
    /// 生年月日, `YYYY-MM-DD`.
    pub birth: String,
    /// 性別
    pub sex: String,
    /// Values that mean 男.
    pub male: Vec<String>,
    /// Values that mean 女.
    pub female: Vec<String>,
}

impl Default for ClaimNames {
    fn default() -> Self {
        let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        Self {
            name: "/name".to_owned(),
            address: "/address".to_owned(),
            birth: "/birthdate".to_owned(),
            sex: "/gender".to_owned(),
            male: list(&["male", "1", "男"]),
            female: list(&["female", "2", "女"]),
        }
    }
}

fn system_authorities() -> PathBuf {
    PathBuf::from("/etc/ssl/certs/ca-certificates.crt")
}

fn scope() -> String {
    "openid name address birthdate gender".to_owned()
}

fn provider_name() -> String {
    "マイナンバーカード".to_owned()
}

impl ClaimNames {
    /// A text that is there.
    pub(crate) fn text<'a>(&self, claims: &'a Value, pointer: &str) -> Option<&'a str> {
        let value = claims.pointer(pointer)?;
        let text = value.as_str().or_else(|| value.get("formatted")?.as_str())?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// 性別 as the provider says it.
    pub(crate) fn sex_of(&self, claims: &Value) -> Option<Sex> {
        let said = match claims.pointer(&self.sex)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        if self.male.contains(&said) { Some(Sex::Male) } else { self.female.contains(&said).then_some(Sex::Female) }
    }
}
