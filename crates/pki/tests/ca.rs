//! The certification authority as its operator sees it: what it issues, what it refuses, what survives.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may stop")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use jiff::{SignedDuration, Timestamp};
use kiban_domain::{InsurerNumber, OfficeNumber, Organization};
use kiban_pki::{Ca, Error, Identity, Purpose, Reason, tls};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;
use x509_parser::prelude::FromDer;

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn office() -> Organization {
    Organization::Office(OfficeNumber::parse("9970000015").unwrap())
}

fn new_ca() -> (TempDir, Ca) {
    let dir = TempDir::new().unwrap();
    let ca = Ca::init(&dir.path().join("ca"), "試験認証局", now()).unwrap();
    (dir, ca)
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

#[test]
fn a_client_certificate_names_its_organisation_and_terminal() {
    let (_dir, ca) = new_ca();
    let issued = ca.issue_client(office(), "相談室パソコン1", 30, now()).unwrap();
    let der = der(&issued.cert_pem);
    assert_eq!(kiban_pki::organization_of(&der), Some(office()));
    assert_eq!(kiban_pki::terminal_of(&der).as_deref(), Some("相談室パソコン1"));
    assert_eq!(kiban_pki::fingerprint(&der), issued.fingerprint);
    assert_eq!(kiban_pki::serial_of(&der), Some(issued.serial));
    assert_eq!(kiban_pki::not_after(&der).unwrap(), issued.not_after);
    assert_eq!(issued.not_after, now() + SignedDuration::from_hours(30 * 24));
}

#[test]
fn every_kind_of_organisation_comes_back_from_its_certificate() {
    let (_dir, ca) = new_ca();
    let city = Organization::Municipality(InsurerNumber::from_code5("13101").unwrap());
    for organization in [office(), city, Organization::parse("13").unwrap(), Organization::Operator] {
        let issued = ca.issue_client(organization, "t", 1, now()).unwrap();
        assert_eq!(kiban_pki::organization_of(&der(&issued.cert_pem)), Some(organization));
    }
}

#[test]
fn a_server_certificate_belongs_to_no_organisation() {
    let (_dir, ca) = new_ca();
    let issued = ca.issue_server(&["kiban.example", "127.0.0.1"], 30, now()).unwrap();
    assert_eq!(kiban_pki::organization_of(&der(&issued.cert_pem)), None);
    assert!(matches!(ca.issue_server(&[], 30, now()), Err(Error::ServerName(_))));
    assert!(matches!(ca.issue_server(&["a\tb"], 30, now()), Err(Error::ServerName(_))));
}

#[test]
fn the_register_knows_what_was_issued_and_revoked_after_reopening() {
    let (dir, ca) = new_ca();
    let first = ca.issue_client(office(), "受付", 30, now()).unwrap();
    let second = ca.issue_server(&["kiban.example"], 30, now()).unwrap();
    let later = now() + SignedDuration::from_hours(1);
    ca.revoke(&first.serial, Reason::KeyCompromise, later).unwrap();
    // The second revocation does not move the first.
    ca.revoke(&first.serial, Reason::Superseded, later + SignedDuration::from_hours(1)).unwrap();

    let list = Ca::open(&dir.path().join("ca")).unwrap().list().unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(list[0].purpose, Purpose::Client { organization: office(), terminal: "受付".into() });
    assert_eq!(list[0].fingerprint, first.fingerprint);
    let revocation = list[0].revoked.unwrap();
    assert_eq!((revocation.at, revocation.reason), (later, Reason::KeyCompromise));
    assert_eq!(list[1].serial, second.serial);
    assert_eq!(list[1].purpose, Purpose::Server { names: vec!["kiban.example".into()] });
    assert!(!list[0].is_live(now()) && list[1].is_live(second.not_after));
    assert!(!list[1].is_live(second.not_after + SignedDuration::from_secs(1)));
}

#[test]
fn revoking_an_unknown_certificate_is_an_error() {
    let (_dir, ca) = new_ca();
    assert!(matches!(ca.revoke("00", Reason::Unspecified, now()), Err(Error::UnknownSerial(_))));
}

#[test]
fn serial_numbers_are_sixteen_random_bytes() {
    let (_dir, ca) = new_ca();
    let mut serials: Vec<_> = (0..20).map(|_| ca.issue_client(office(), "t", 1, now()).unwrap().serial).collect();
    assert!(serials.iter().all(|s| s.len() == 32 && s.bytes().all(|b| b.is_ascii_hexdigit())));
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 20);
}

#[test]
fn the_revocation_list_is_signed_and_names_the_revoked_ones_only() {
    let (_dir, ca) = new_ca();
    let bad = ca.issue_client(office(), "紛失した端末", 30, now()).unwrap();
    ca.issue_client(office(), "手元の端末", 30, now()).unwrap();
    ca.revoke(&bad.serial, Reason::KeyCompromise, now()).unwrap();

    let pem = ca.crl_pem(now()).unwrap();
    let crl_der = rustls::pki_types::CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap();
    let (_, crl) = x509_parser::revocation_list::CertificateRevocationList::from_der(&crl_der).unwrap();
    let (_, issuer) = x509_parser::parse_x509_certificate(ca.certificate_der()).unwrap();
    crl.verify_signature(issuer.public_key()).unwrap();
    let listed: Vec<_> = crl.iter_revoked_certificates().map(|c| format!("{:x}", c.user_certificate)).collect();
    assert_eq!(listed, [bad.serial]);
    let life = crl.next_update().unwrap().timestamp() - crl.last_update().timestamp();
    assert_eq!(life, 24 * 3600);
}

#[test]
fn the_key_stays_private() {
    let (dir, ca) = new_ca();
    let folder = dir.path().join("ca");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.join("ca.key")), 0o600);
    assert_eq!(mode(&folder), 0o700);

    let issued = ca.issue_client(office(), "t", 1, now()).unwrap();
    let identity = Identity::from_pem(&issued.cert_pem, &issued.key_pem).unwrap();
    let printed = format!("{ca:?} {issued:?} {identity:?}");
    let secret = issued.key_pem.lines().nth(1).unwrap();
    assert!(!printed.contains(secret) && !printed.contains("PRIVATE"));
    let register = fs::read_to_string(folder.join("register.tsv")).unwrap();
    assert!(!register.contains(secret));

    fs::set_permissions(folder.join("ca.key"), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Ca::open(&folder), Err(Error::KeyReadableByOthers(_))));
}

#[test]
fn a_second_ca_never_overwrites_the_first() {
    let (dir, ca) = new_ca();
    let again = Ca::init(&dir.path().join("ca"), "別の認証局", now());
    assert!(matches!(again, Err(Error::AlreadyThere(_))));
    assert_eq!(Ca::open(&dir.path().join("ca")).unwrap().certificate_pem(), ca.certificate_pem());
}

#[test]
fn what_a_killed_set_up_left_does_not_stop_the_next() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("ca.half-made")).unwrap();
    fs::write(dir.path().join("ca.half-made/ca.key"), "half").unwrap();
    Ca::init(&dir.path().join("ca"), "試験認証局", now()).unwrap();
    assert!(!dir.path().join("ca.half-made").exists());
}

#[test]
fn another_cas_key_is_noticed() {
    let (dir, _ca) = new_ca();
    let (other, _other_ca) = new_ca();
    fs::copy(other.path().join("ca/ca.key"), dir.path().join("ca/ca.key")).unwrap();
    assert!(matches!(Ca::open(&dir.path().join("ca")), Err(Error::KeyMismatch)));
}

#[test]
fn no_certificate_outlives_the_ca() {
    let (_dir, ca) = new_ca();
    assert!(matches!(ca.issue_client(office(), "t", 3651, now()), Err(Error::BeyondCa { .. })));
    assert!(ca.list().unwrap().is_empty());
}

#[test]
fn terminal_names_that_would_break_the_register_are_refused() {
    let (_dir, ca) = new_ca();
    for name in ["", "a\tb", "a\nissued", &"長".repeat(65)] {
        assert!(matches!(ca.issue_client(office(), name, 1, now()), Err(Error::TerminalName(_))), "{name:?}");
    }
    ca.issue_client(office(), &"長".repeat(64), 1, now()).unwrap();
}

#[test]
fn from_a_request_only_the_public_key_is_taken() {
    let (_dir, ca) = new_ca();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut wish = rcgen::CertificateParams::new(vec!["kiban.example".into()]).unwrap();
    wish.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    wish.distinguished_name.push(rcgen::DnType::OrganizationName, "operator:operator");
    wish.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 311, 1], vec![5, 0])];
    let csr = wish.serialize_request(&key).unwrap().pem().unwrap();

    let signed = ca.issue_client_csr(&csr, office(), "訪問用タブレット", 30, now()).unwrap();
    let der = der(&signed.cert_pem);
    assert_eq!(kiban_pki::organization_of(&der), Some(office()));
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert!(!certificate.is_ca());
    assert!(certificate.subject_alternative_name().unwrap().is_none());
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth);
    // Only the holder of the terminal's key can use it.
    let roots = tls::certificates(ca.certificate_pem()).unwrap();
    let own = Identity::from_pem(&signed.cert_pem, &key.serialize_pem()).unwrap();
    kiban_pki::client_config(&roots, Some(&own)).unwrap();
}

#[test]
fn a_request_not_signed_by_its_own_key_is_refused() {
    let (_dir, ca) = new_ca();
    let key = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
    let mut bytes = request.der().to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let forged = pem_of(&bytes);
    assert!(matches!(ca.issue_client_csr(&forged, office(), "t", 1, now()), Err(Error::Request(_))));
    assert!(matches!(ca.issue_client_csr("no request", office(), "t", 1, now()), Err(Error::Request(_))));
    assert!(ca.list().unwrap().is_empty());
}

fn pem_of(der: &[u8]) -> String {
    use std::fmt::Write;
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE REQUEST-----\n");
    for group in der.chunks(3) {
        let n = group.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - group.len()));
        for i in 0..4 {
            let c = if i <= group.len() { ALPHABET[(n >> (18 - 6 * i)) as usize & 63] } else { b'=' };
            write!(text, "{}", c as char).unwrap();
        }
    }
    text + "\n-----END CERTIFICATE REQUEST-----\n"
}

#[test]
fn a_configuration_with_the_wrong_key_is_refused_before_it_is_used() {
    let (_dir, ca) = new_ca();
    let roots = tls::certificates(ca.certificate_pem()).unwrap();
    let one = ca.issue_server(&["localhost"], 1, now()).unwrap();
    let other = ca.issue_server(&["localhost"], 1, now()).unwrap();
    let mixed = Identity::from_pem(&one.cert_pem, &other.key_pem).unwrap();
    assert!(matches!(kiban_pki::server_config_public(&mixed), Err(Error::KeyMismatch)));
    assert!(matches!(kiban_pki::server_config_organizations(&mixed, &roots, |_| {}), Err(Error::KeyMismatch)));
}

#[test]
fn a_certificate_file_cut_at_any_line_is_refused() {
    let (_dir, ca) = new_ca();
    let issued = ca.issue_server(&["localhost"], 1, now()).unwrap();
    let lines: Vec<_> = issued.cert_pem.lines().collect();
    for cut in 0..lines.len() {
        assert!(Identity::from_pem(&lines[..cut].join("\n"), &issued.key_pem).is_err(), "cut before line {cut}");
    }
}
