//! The authority's key and its root as the operator handles them on the command line (docs/certificates.md, 4).
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as expected")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Desk(tempfile::TempDir);

impl Desk {
    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn passphrase(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at(name);
        std::fs::write(&path, format!("{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn ca(&self, home: &str, passphrase: Option<&Path>, arguments: &[&str]) -> Output {
        let mut kiban = Command::new(env!("CARGO_BIN_EXE_kiban"));
        kiban.env_remove("KIBAN_CA_PASSPHRASE_FILE");
        if let Some(path) = passphrase {
            kiban.env("KIBAN_CA_PASSPHRASE_FILE", path);
        }
        kiban.arg("ca").args(arguments).arg("--home").arg(self.at(home)).output().unwrap()
    }

    fn done(&self, home: &str, passphrase: Option<&Path>, arguments: &[&str]) -> String {
        let output = self.ca(home, passphrase, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, home: &str, passphrase: Option<&Path>, arguments: &[&str], words: &str) {
        let output = self.ca(home, passphrase, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn the_ceremony_encrypts_the_key_and_puts_it_under_a_root_that_stays_elsewhere() {
    let desk = Desk(tempfile::tempdir().unwrap());
    let (first, second) =
        (desk.passphrase("first", "はじめの合言葉 0001"), desk.passphrase("second", "つぎの合言葉 00002"));
    // An authority as it was before: its key in the clear.
    assert!(desk.done("home", None, &["init"]).contains("暗号化していません"));
    let before = desk.done("home", None, &["trust"]);
    desk.done("home", None, &["encrypt", first.to_str().unwrap()]);
    desk.refused("home", None, &["list"], "KIBAN_CA_PASSPHRASE_FILE");
    desk.refused("home", Some(&second), &["list"], "合言葉が違います");
    desk.done("home", Some(&first), &["encrypt", second.to_str().unwrap()]);
    desk.refused("home", Some(&first), &["list"], "合言葉が違います");
    desk.done("home", Some(&second), &["list"]);
    // Nobody else may read a passphrase, and a short one is none.
    let open = desk.passphrase("open", "だれでも読める合言葉 1");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    desk.refused("home", Some(&open), &["list"], "chmod 600");
    let short = desk.passphrase("short", "みじかい");
    desk.refused("home", None, &["encrypt", short.to_str().unwrap()], "12文字以上");

    desk.refused("root", None, &["init", "--root", "--name", "試験ルート"], "合言葉なしでは作れません");
    desk.done("root", Some(&first), &["init", "--root", "--name", "試験ルート"]);
    let request = desk.at("request.csr");
    std::fs::write(&request, desk.done("home", Some(&second), &["intermediate", "request"])).unwrap();
    let bundle = desk.at("bundle.pem");
    let signed = desk.done("root", Some(&first), &["intermediate", "sign", request.to_str().unwrap()]);
    std::fs::write(&bundle, signed).unwrap();
    desk.done("home", Some(&second), &["intermediate", "install", bundle.to_str().unwrap()]);
    let after = desk.done("home", Some(&second), &["trust"]);
    assert_eq!(after, desk.done("root", Some(&first), &["trust"]));
    assert_ne!(after, before);
    // The root knows what it signed, and can take it back.
    let list = desk.done("root", Some(&first), &["list"]);
    assert!(list.contains("中間認証局 kaigo-kiban CA"), "{list}");
    assert_eq!(std::fs::read_to_string(desk.at("home/ca/self-signed.pem")).unwrap(), before);
}
