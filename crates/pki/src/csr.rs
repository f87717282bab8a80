//! Certificate requests (CSR, PKCS #10): the key is made in the office's terminal and never leaves it (S-004).
//!
//! Only the public key is taken from a request. Names, purposes and validity are the CA's decision, so whatever else
//! a Windows or OpenSSL tool puts into the request is ignored.

use rcgen::SubjectPublicKeyInfo;
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509CertificationRequest};
use x509_parser::public_key::PublicKey;

use crate::Error;

/// RSA keys below this many bits are refused; ring would refuse them in the handshake anyway.
const RSA_BITS: usize = 2048;

/// The public key of a request in PEM, after its own signature was checked: whoever asks holds the private key.
pub fn public_key(pem: &str) -> Result<SubjectPublicKeyInfo, Error> {
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|_| Error::Request("not PEM"))?;
    let (_, request) = X509CertificationRequest::from_der(&der).map_err(|_| Error::Request("not PKCS #10"))?;
    request.verify_signature().map_err(|_| Error::Request("not signed by its own key"))?;
    let key = &request.certification_request_info.subject_pki;
    if let Ok(PublicKey::RSA(rsa)) = key.parsed()
        && rsa.key_size() < RSA_BITS
    {
        return Err(Error::Request("RSA key below 2048 bits"));
    }
    SubjectPublicKeyInfo::from_der(key.raw).map_err(|_| Error::Request("kind of key not supported"))
}
