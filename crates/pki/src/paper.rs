//! The signed line in the QR code of the notice on paper (P-031): an office scans it instead of typing, and anybody who has
//! the public key can tell without a network that the municipality's platform issued it and that nothing was changed.
//!
//! `KN1.<content>.<key>.<signature>`: content and signature base64, key the first 16 hexadecimal digits of the public
//! key's SHA-256, Ed25519 over everything before the last dot. The content is ten items with tabs between them:
//! 証記載保険者番号, 被保険者番号, カナ氏名, 生年月日 (`YYYYMMDD`), 性別コード, 要介護状態区分コード, 負担割合（割）, first
//! and last day of validity (`YYYYMMDD`), day of issue. Level and rate may be empty.

use crate::{Error, files, read};
use kiban_domain::base64;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use std::path::Path;
use zeroize::Zeroizing;

const LABEL: &str = "KN1";
/// Items of a content.
pub const ITEMS: usize = 10;

/// The key that signs notices.
pub struct NoticeKey(Ed25519KeyPair);

/// Why a scanned line is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PaperFault {
    /// No line of a notice.
    #[error("not a notice")]
    Form,
    /// Signed by nobody known, or changed.
    #[error("not signed by a known key")]
    Signature,
}

impl PaperFault {
    /// The same in Japanese, with what to do.
    pub fn message_ja(self) -> &'static str {
        match self {
            Self::Form => "お知らせのQRコードではありません。介護情報基盤のお知らせのQRコードを読み取ってください",
            Self::Signature => {
                "このQRコードは、市区町村が発行したものと確かめられません。登録には使えません。被保険者証で登録してください"
            }
        }
    }
}

impl NoticeKey {
    /// Reads the key (PKCS #8 in PEM, mode 0600), or makes one when there is none.
    pub fn load_or_create(path: &Path) -> Result<Self, Error> {
        if !path.exists() {
            let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| Error::Random)?;
            let pem = Zeroizing::new(pem::encode(&pem::Pem::new("PRIVATE KEY", pkcs8.as_ref())));
            files::write_new(path, &pem, 0o600)?;
        }
        let pem = pem::parse(&*files::read_private(path)?).map_err(|error| Error::Certificate(error.to_string()))?;
        let pkcs8 = Zeroizing::new(pem.into_contents());
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|error| Error::Certificate(error.to_string()))?;
        Ok(Self(pair))
    }

    /// The public key, for whoever checks notices without asking the platform.
    pub fn public_key(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }

    /// The line for a QR code.
    pub fn sign(&self, items: &[String; ITEMS]) -> String {
        let signed = format!("{LABEL}.{}.{}", base64::encode(items.join("\t").as_bytes()), name_of(&self.public_key()));
        let signature = base64::encode(self.0.sign(signed.as_bytes()).as_ref());
        format!("{signed}.{signature}")
    }
}

/// The items of a line signed by one of the keys.
pub fn check_notice(text: &str, keys: &[Vec<u8>]) -> Result<[String; ITEMS], PaperFault> {
    let (signed, signature) = text.trim().rsplit_once('.').ok_or(PaperFault::Form)?;
    let parts: Vec<&str> = signed.split('.').collect();
    let [LABEL, content, key] = parts[..] else { return Err(PaperFault::Form) };
    let (content, signature) = (base64::decode(content), base64::decode(signature));
    let (content, signature) = (content.ok_or(PaperFault::Form)?, signature.ok_or(PaperFault::Form)?);
    let key = keys.iter().find(|known| name_of(known) == key).ok_or(PaperFault::Signature)?;
    let verified = UnparsedPublicKey::new(&ED25519, key).verify(signed.as_bytes(), &signature);
    verified.map_err(|_| PaperFault::Signature)?;
    let content = String::from_utf8(content).map_err(|_| PaperFault::Form)?;
    let items: Vec<String> = content.split('\t').map(str::to_owned).collect();
    <[String; ITEMS]>::try_from(items).map_err(|_| PaperFault::Form)
}

fn name_of(key: &[u8]) -> String {
    read::fingerprint(key)[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> [String; ITEMS] {
        ["999999", "0000000001", "カクウ ハナコ", "19420408", "2", "22", "1", "20261122", "20270731", "20261122"]
            .map(str::to_owned)
    }

    #[test]
    fn a_notice_is_read_back_by_its_public_key_alone_and_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notice.key");
        let line = NoticeKey::load_or_create(&path).unwrap().sign(&items());
        let public = NoticeKey::load_or_create(&path).unwrap().public_key();
        assert_eq!(check_notice(&format!("{line}\n"), &[vec![0; 32], public]).unwrap(), items());
        assert!(line.len() < 400, "fits a QR code of 40 mm: {}", line.len());
    }

    #[test]
    fn a_changed_or_foreign_notice_is_told_from_noise() {
        let folder = tempfile::tempdir().unwrap();
        let key = NoticeKey::load_or_create(&folder.path().join("a")).unwrap();
        let other = NoticeKey::load_or_create(&folder.path().join("b")).unwrap();
        let keys = [key.public_key()];
        assert_eq!(check_notice(&other.sign(&items()), &keys), Err(PaperFault::Signature));
        let line = key.sign(&items());
        let mut richer = items();
        richer[6] = "3".to_owned();
        let (content, rest) = (key.sign(&richer), line.splitn(3, '.').nth(2).unwrap().to_owned());
        let mixed = format!("KN1.{}.{rest}", content.split('.').nth(1).unwrap());
        assert_eq!(check_notice(&mixed, &keys), Err(PaperFault::Signature));
        for noise in ["", "https://example.jp/", "KN1..", "KN1.あ.b.c", "KN2.a.b.c"] {
            assert_eq!(check_notice(noise, &keys), Err(PaperFault::Form), "{noise}");
        }
    }
}
