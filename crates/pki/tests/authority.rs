//! The authority behind the counter: encrypted key, offline root, encrypted hand-over, weak requests. What OpenSSL says of it
//! is asked from the real program where it is installed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may stop")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use jiff::{SignedDuration, Timestamp};
use kiban_domain::{OfficeNumber, Organization};
use kiban_pki::{Ca, Error, Reason, new_key, pkcs12, request_for, requested_key};
use tempfile::TempDir;

const PASSPHRASE: &str = "ためしの合言葉 only for tests";

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn office() -> Organization {
    Organization::Office(OfficeNumber::parse("9970000015").unwrap())
}

/// The real `openssl` (Debian's); the tests that need it fail without it.
fn openssl(arguments: &[&str], input: &[u8]) -> Output {
    let piped = Stdio::piped;
    let mut command = Command::new("openssl");
    let mut child = command.args(arguments).stdin(piped()).stdout(piped()).stderr(piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn at(dir: &Path, name: &str, content: &[u8]) -> String {
    let path = dir.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_key_opens_with_its_passphrase_only_here_and_in_openssl() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("ca");
    let secret = Ca::init_encrypted(&home, "試験認証局", PASSPHRASE, now()).unwrap().secret().unwrap();
    let text = std::fs::read_to_string(home.join("ca.key")).unwrap();
    assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{text}");
    assert!(matches!(Ca::open(&home), Err(Error::KeyEncrypted)));
    assert!(matches!(Ca::open_with(&home, Some("ちがう")), Err(Error::Passphrase)));
    assert_eq!(*Ca::open_with(&home, Some(PASSPHRASE)).unwrap().secret().unwrap(), *secret);
    let pass = format!("pass:{PASSPHRASE}");
    let key = home.join("ca.key").to_str().unwrap().to_owned();
    let output = openssl(&["pkcs8", "-in", &key, "-passin", &pass, "-outform", "DER", "-nocrypt", "-topk8"], b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!openssl(&["pkcs8", "-in", &key, "-passin", "pass:wrong"], b"").status.success());
}

#[test]
fn a_key_in_the_clear_is_encrypted_in_its_place_and_its_passphrase_changes() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("ca");
    let secret = Ca::init(&home, "試験認証局", now()).unwrap().secret().unwrap();
    Ca::encrypt_key(&home, None, PASSPHRASE).unwrap();
    assert!(matches!(Ca::open(&home), Err(Error::KeyEncrypted)));
    assert!(matches!(Ca::encrypt_key(&home, Some("ちがう"), "次の合言葉"), Err(Error::Passphrase)));
    Ca::encrypt_key(&home, Some(PASSPHRASE), "次の合言葉").unwrap();
    assert_eq!(*Ca::open_with(&home, Some("次の合言葉")).unwrap().secret().unwrap(), *secret);
}

#[test]
fn a_root_signs_the_key_in_use_and_old_and_new_certificates_lead_to_it() {
    let dir = TempDir::new().unwrap();
    let (home, offline) = (dir.path().join("ca"), dir.path().join("root"));
    let ca = Ca::init(&home, "試験認証局", now()).unwrap();
    let old = ca.issue_client(office(), "受付", 30, now()).unwrap();
    assert!(matches!(Ca::init_root(&offline, "試験ルート", "", now()), Err(Error::RootWithoutPassphrase)));
    let root = Ca::init_root(&offline, "試験ルート", PASSPHRASE, now()).unwrap();
    let request = ca.request_intermediate().unwrap();
    // An authority that is no root signs none.
    assert!(matches!(ca.sign_intermediate(&request, now()), Err(Error::Intermediate(_))));
    let bundle = root.sign_intermediate(&request, now()).unwrap();
    let stranger = Ca::init(&dir.path().join("other"), "試験認証局", now()).unwrap();
    assert!(matches!(stranger.install_intermediate(&bundle.cert_pem, now()), Err(Error::Intermediate(_))));
    let other_root = Ca::init_root(&dir.path().join("root2"), "試験ルート", PASSPHRASE, now()).unwrap();
    let mixed = bundle.cert_pem.replace(root.certificate_pem(), other_root.certificate_pem());
    assert!(matches!(ca.install_intermediate(&mixed, now()), Err(Error::Intermediate(_))));
    ca.install_intermediate(&bundle.cert_pem, now()).unwrap();

    let ca = Ca::open(&home).unwrap();
    assert_eq!(ca.trusted_pem(), root.certificate_pem());
    let new = ca.issue_client(office(), "相談室", 30, now()).unwrap();
    let chain = kiban_pki::tls::certificates(&new.cert_pem).unwrap();
    assert_eq!(chain.len(), 2, "the certificate and the intermediate");
    let trusted = at(dir.path(), "trusted.pem", ca.trusted_pem().as_bytes());
    let between = at(dir.path(), "between.pem", ca.certificate_pem().as_bytes());
    let day = now().as_second().to_string();
    for issued in [&old, &new] {
        let leaf = at(dir.path(), "leaf.pem", issued.cert_pem.as_bytes());
        let verify = ["verify", "-attime", &day, "-CAfile", &trusted, "-untrusted", &between, &leaf];
        said(&openssl(&verify, b""));
        assert!(!openssl(&["verify", "-attime", &day, "-CAfile", &trusted, &leaf], b"").status.success());
    }
    // The root lists the intermediate it has revoked, in a list of its own.
    root.revoke(&bundle.serial, Reason::KeyCompromise, now()).unwrap();
    let list = at(dir.path(), "root-crl.pem", root.crl_pem(now()).unwrap().as_bytes());
    let text = said(&openssl(&["crl", "-in", &list, "-noout", "-text"], b""));
    assert!(text.to_lowercase().replace(':', "").contains(&bundle.serial) && text.contains("Key Compromise"), "{text}");
}

#[test]
fn no_intermediate_outlives_its_root() {
    let dir = TempDir::new().unwrap();
    let root = Ca::init_root(&dir.path().join("root"), "試験ルート", PASSPHRASE, now()).unwrap();
    let late = now() + SignedDuration::from_hours(24 * 7_000);
    let ca = Ca::init(&dir.path().join("ca"), "試験認証局", late).unwrap();
    let bundle = root.sign_intermediate(&ca.request_intermediate().unwrap(), late).unwrap();
    assert!(bundle.not_after <= root.not_after());
}

#[test]
fn openssl_opens_the_file_with_its_code_and_with_no_other() {
    let dir = TempDir::new().unwrap();
    let ca = Ca::init(&dir.path().join("ca"), "試験認証局", now()).unwrap();
    let issued = ca.issue_client(office(), "受付の端末", 30, now()).unwrap();
    let code = "K7QX-2M4T-9WPA-HF3C";
    let file = pkcs12::file(&issued, "9970000015 受付の端末", code).unwrap();
    assert!(!file.windows(32).any(|window| issued.key_pem.as_bytes().windows(32).any(|key| key == window)));
    let path = at(dir.path(), "terminal.p12", &file);
    let read =
        |code: &str| openssl(&["pkcs12", "-in", &path, "-passin", &format!("pass:{code}"), "-nodes", "-info"], b"");
    let output = read(code);
    let text = said(&output);
    let info = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = |pem: &str| pem.lines().nth(1).unwrap().to_owned();
    assert!(text.contains(&line(&issued.cert_pem)), "{text}");
    let cleared = text.split("-----BEGIN PRIVATE KEY-----").nth(1).unwrap();
    assert!(cleared.contains(&line(&issued.key_pem)));
    assert!(info.contains("MAC: sha256") && info.contains("AES-256-CBC") && info.contains("hmacWithSHA256"), "{info}");
    assert!(!read("K7QX-2M4T-9WPA-HF3D").status.success());
}

#[test]
fn weak_and_foreign_keys_are_refused_whoever_signed_for_them() {
    let dir = TempDir::new().unwrap();
    let key = |name: &str, arguments: &[&str]| {
        let path = dir.path().join(name).to_str().unwrap().to_owned();
        said(&openssl(&[&["genpkey", "-out", &path], arguments].concat(), b""));
        path
    };
    let request = |key: &str, more: &[&str]| {
        said(&openssl(&[&["req", "-new", "-key", key, "-subj", "/O=operator:operator/CN=x"], more].concat(), b""))
    };
    let ec = |curve: &str| ["-algorithm", "EC", "-pkeyopt", curve].map(str::to_owned);
    let bits = |bits: u32| ["-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")].map(str::to_owned);
    let of = |name: &str, arguments: [String; 4]| key(name, &arguments.each_ref().map(String::as_str));
    let p256 = of("p256", ec("ec_paramgen_curve:P-256"));
    let rsa = of("rsa2048", bits(2048));
    let taken = [request(&p256, &[]), request(&rsa, &[]), request(&of("p384", ec("ec_paramgen_curve:P-384")), &[])];
    for pem in &taken {
        requested_key(pem).unwrap();
    }
    let p521 = of("p521", ec("ec_paramgen_curve:P-521"));
    let k256 = of("k256", ec("ec_paramgen_curve:secp256k1"));
    let short = of("rsa1024", bits(1024));
    let refused = [
        (request(&short, &[]), "RSA"),
        (request(&p521, &[]), "kind of key"),
        (request(&k256, &[]), "kind of key"),
        (request(&rsa, &["-sha1"]), "SHA-1"),
        ("x".repeat(9_000), "long"),
    ];
    for (pem, why) in refused {
        match requested_key(&pem) {
            Err(Error::Request(text)) => assert!(text.contains(why), "{text}"),
            other => panic!("{why}: {:?}", other.map(|key| key.digest)),
        }
    }
    // What the request calls itself is nobody's business.
    let ca = Ca::init(&dir.path().join("ca"), "試験認証局", now()).unwrap();
    let signed = ca.issue_client_csr(&taken[0], office(), "受付", 30, now()).unwrap();
    let der = kiban_pki::tls::certificates(&signed.cert_pem).unwrap().remove(0);
    assert_eq!(kiban_pki::organization_of(&der), Some(office()));
    assert_eq!(kiban_pki::key_digest(&der).unwrap(), requested_key(&taken[0]).unwrap().digest);
}

#[test]
fn a_program_makes_its_own_key_and_request() {
    let key = new_key().unwrap();
    let first = requested_key(&request_for(&key, "接続プログラム").unwrap()).unwrap();
    let again = requested_key(&request_for(&key, "別の名前").unwrap()).unwrap();
    assert_eq!(first.digest, again.digest);
    assert_ne!(first.digest, requested_key(&request_for(&new_key().unwrap(), "x").unwrap()).unwrap().digest);
}
