//! What a certificate says about itself. Nothing here checks a signature: that was the TLS handshake's job.
//!
//! The subject is `O=<kind>:<code>, CN=<terminal>`, kind one of `office`, `municipality`, `prefecture`, `operator`:
//! a certificate belongs to an organisation (P-182) and is named after one terminal, so that each can be revoked alone
//! (S-004).

use jiff::Timestamp;
use kiban_domain::Organization;
use x509_parser::prelude::X509Certificate;

use crate::Error;

/// SHA-256 of the certificate, 64 lower-case hexadecimal digits: the name under which the store knows it.
pub fn fingerprint(der: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, der).as_ref())
}

/// The organisation in the subject; `None` when the certificate names none (a server's, or a foreign CA's).
pub fn organization_of(der: &[u8]) -> Option<Organization> {
    let certificate = parse(der).ok()?;
    let text = certificate.subject().iter_organization().next()?.as_str().ok()?;
    organization_from_subject(text)
}

/// The terminal name in the subject.
pub fn terminal_of(der: &[u8]) -> Option<String> {
    let certificate = parse(der).ok()?;
    certificate.subject().iter_common_name().next()?.as_str().ok().map(str::to_owned)
}

/// The serial number, lower-case hexadecimal without leading zero bytes.
pub fn serial_of(der: &[u8]) -> Option<String> {
    let certificate = parse(der).ok()?;
    let bytes = certificate.raw_serial();
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    Some(hex(&bytes[zeros..]))
}

/// The last second at which the certificate is valid.
pub fn not_after(der: &[u8]) -> Result<Timestamp, Error> {
    let seconds = parse(der)?.validity().not_after.timestamp();
    Timestamp::from_second(seconds).map_err(|_| Error::Time)
}

/// SHA-256 of the public key, 64 lower-case hexadecimal digits.
pub fn key_digest(der: &[u8]) -> Result<String, Error> {
    Ok(fingerprint(parse(der)?.public_key().raw))
}

/// `office:9970000015` and its like.
pub(crate) fn organization_to_subject(organization: &Organization) -> String {
    format!("{}:{organization}", kind(organization))
}

fn organization_from_subject(text: &str) -> Option<Organization> {
    let (kind_found, code) = text.split_once(':')?;
    let organization = Organization::parse(code).ok()?;
    (kind(&organization) == kind_found).then_some(organization)
}

fn kind(organization: &Organization) -> &'static str {
    match organization {
        Organization::Office(_) => "office",
        Organization::Municipality(_) => "municipality",
        Organization::Prefecture(_) => "prefecture",
        Organization::Operator => "operator",
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Bytes of hexadecimal digits.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
    pairs.collect()
}

pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Error> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(Error::Certificate("bytes after the certificate".into())),
        Err(_) => Err(Error::Certificate("not X.509".into())),
    }
}
