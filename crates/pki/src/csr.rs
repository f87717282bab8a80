//! Certificate requests (CSR, PKCS #10): the key is made in the office's terminal and never leaves it (S-004).
//!
//! Only the public key is taken from a request. Names, purposes and validity are the CA's decision, so whatever else
//! a Windows or OpenSSL tool puts into the request is ignored.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SubjectPublicKeyInfo};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo as ParsedKey, X509CertificationRequest};
use x509_parser::public_key::PublicKey;
use zeroize::{Zeroize, Zeroizing};

use crate::{Error, read};

/// RSA keys below this many bits are refused; ring would refuse them in the handshake anyway.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Longest request in PEM, bytes: one of an RSA key of 8192 bits has half of it.
const LONGEST: usize = 8 * 1024;
const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";
const ED25519: &str = "1.3.101.112";
/// P-256 and P-384.
const CURVES: [&str; 2] = ["1.2.840.10045.3.1.7", "1.3.132.0.34"];
/// SHA-1 with RSA, under its two names.
const SHA1: [&str; 2] = ["1.2.840.113549.1.1.5", "1.3.14.3.2.29"];

/// A public key somebody has proved to hold.
pub struct RequestedKey {
    pub(crate) key: SubjectPublicKeyInfo,
    /// SHA-256 of the public key (`SubjectPublicKeyInfo`), 64 lower-case hexadecimal digits.
    pub digest: String,
    /// CN of the subject it asks for.
    pub(crate) common_name: Option<String>,
}

/// The public key of a request in PEM, after its own signature was checked: whoever asks holds the private key. Taken are
/// ECDSA on P-256 and P-384, Ed25519 and RSA from 2048 bits, signed with anything better than SHA-1.
pub fn requested_key(pem: &str) -> Result<RequestedKey, Error> {
    if pem.len() > LONGEST {
        return Err(Error::Request("too long"));
    }
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|_| Error::Request("not PEM"))?;
    let (_, request) = X509CertificationRequest::from_der(&der).map_err(|_| Error::Request("not PKCS #10"))?;
    let key = &request.certification_request_info.subject_pki;
    refuse_weak(key)?;
    if SHA1.contains(&request.signature_algorithm.algorithm.to_id_string().as_str()) {
        return Err(Error::Request("signed with SHA-1"));
    }
    request.verify_signature().map_err(|_| Error::Request("not signed by its own key"))?;
    let name = request.certification_request_info.subject.iter_common_name().next();
    Ok(RequestedKey {
        key: SubjectPublicKeyInfo::from_der(key.raw).map_err(|_| Error::Request("kind of key not supported"))?,
        digest: read::fingerprint(key.raw),
        common_name: name.and_then(|name| name.as_str().ok()).map(str::to_owned),
    })
}

fn refuse_weak(key: &ParsedKey<'_>) -> Result<(), Error> {
    let kind = key.algorithm.algorithm.to_id_string();
    let curve = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok()).map(|oid| oid.to_id_string());
    match (kind.as_str(), key.parsed()) {
        (RSA, Ok(PublicKey::RSA(rsa))) if !RSA_BITS.contains(&rsa.key_size()) => {
            Err(Error::Request("RSA key below 2048 or above 8192 bits"))
        }
        (RSA, Ok(PublicKey::RSA(_))) | (ED25519, _) => Ok(()),
        (EC, _) if curve.as_deref().is_some_and(|curve| CURVES.contains(&curve)) => Ok(()),
        _ => Err(Error::Request("kind of key not supported")),
    }
}

/// A request for a key of one's own, as a program makes it; the authority ignores the name. PEM.
pub fn request_for(key_pem: &str, name: &str) -> Result<String, Error> {
    let mut key = KeyPair::from_pem(key_pem)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let request = params.serialize_request(&key);
    key.zeroize();
    Ok(request?.pem()?)
}

/// A new private key (ECDSA P-256), PKCS #8 in PEM.
pub fn new_key() -> Result<Zeroizing<String>, Error> {
    let mut key = KeyPair::generate()?;
    let pem = Zeroizing::new(key.serialize_pem());
    key.zeroize();
    Ok(pem)
}
