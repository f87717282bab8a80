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
        kiban.env_remove("KIBAN_CA_PASSPHRASE_FILE").env_remove("KIBAN_CA_PIN_FILE");
        kiban.env("SOFTHSM2_CONF", self.at("softhsm.conf"));
        if let Some(path) = passphrase {
            let is_pin = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pin"));
            kiban.env(if is_pin { "KIBAN_CA_PIN_FILE" } else { "KIBAN_CA_PASSPHRASE_FILE" }, path);
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

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A token in files (SoftHSM2 of Debian) with the label and the PIN; `false` when there is none on this machine.
fn token(desk: &Desk, label: &str, pin: &str) -> bool {
    if !Path::new(MODULE).exists() {
        assert!(std::env::var_os("CI").is_none(), "softhsm2 is not installed");
        println!("skipped: softhsm2 is not installed");
        return false;
    }
    std::fs::create_dir_all(desk.at("tokens")).unwrap();
    let settings = format!("directories.tokendir = {}\nlog.level = ERROR\n", desk.at("tokens").display());
    std::fs::write(desk.at("softhsm.conf"), settings).unwrap();
    let mut init = Command::new("softhsm2-util");
    init.env("SOFTHSM2_CONF", desk.at("softhsm.conf")).args(["--init-token", "--free", "--label", label]);
    assert!(init.args(["--so-pin", "11112222", "--pin", pin]).output().unwrap().status.success());
    true
}

/// What openssl says of a file, or nothing where it is not installed.
fn openssl(arguments: &[&str]) -> Option<String> {
    let output = Command::new("openssl").args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn the_key_in_a_token_signs_and_never_leaves_it() {
    let desk = Desk(tempfile::tempdir().unwrap());
    if !token(&desk, "kiban", "24681357") {
        return;
    }
    let (pin, wrong) = (desk.passphrase("pin", "24681357"), desk.passphrase("pin-wrong", "00000000"));
    let init = ["init", "--module", MODULE, "--token", "kiban", "--name", "試験認証局"];
    desk.refused("home", None, &init, "KIBAN_CA_PIN_FILE");
    desk.refused("home", Some(&wrong), &init, "暗証番号が違います");
    let other = ["init", "--module", MODULE, "--token", "ほかの名前"];
    desk.refused("home", Some(&pin), &other, "「ほかの名前」という名前のトークンがありません");
    desk.refused("home", Some(&pin), &["init", "--module", "libsofthsm2.so", "--token", "kiban"], "absolute path");
    assert!(!desk.at("home/ca").exists(), "nothing is left of what was refused");

    assert!(desk.done("home", Some(&pin), &init).contains("鍵はトークン kiban の中"));
    assert!(!desk.at("home/ca/ca.key").exists());
    desk.refused("home", None, &["list"], "KIBAN_CA_PIN_FILE");
    desk.refused("home", Some(&wrong), &["list"], "暗証番号が違います");
    desk.refused("home", Some(&pin), &init, "既にあり");
    let new = desk.passphrase("new", "あたらしい合言葉 0001");
    desk.refused("home", Some(&pin), &["encrypt", new.to_str().unwrap()], "取り出せません");

    let trust = desk.at("trust.pem");
    std::fs::write(&trust, desk.done("home", Some(&pin), &["trust"])).unwrap();
    let out = desk.at("out/of/it");
    desk.done("home", Some(&pin), &["issue", "operator", "terminal", "--out", out.to_str().unwrap()]);
    let (issued, trusted) = (out.join("operator-terminal.crt"), trust.to_str().unwrap());
    let said = openssl(&["verify", "-CAfile", trusted, issued.to_str().unwrap()]);
    assert!(said.is_none_or(|said| said.contains("operator-terminal.crt: OK")), "signed in the token");

    let list = desk.done("home", Some(&pin), &["list"]);
    let serial = list.split('\t').next().unwrap();
    desk.done("home", Some(&pin), &["revoke", serial]);
    let revoked = desk.at("crl.pem");
    std::fs::write(&revoked, desk.done("home", Some(&pin), &["crl"])).unwrap();
    let said = openssl(&["crl", "-noout", "-CAfile", trusted, "-in", revoked.to_str().unwrap()]);
    assert!(said.is_none_or(|said| said.contains("verify OK")));

    // Under a root that is a file elsewhere.
    let root = desk.passphrase("words-of-root", "ルートの合言葉 0001");
    desk.done("root", Some(&root), &["init", "--root", "--name", "試験ルート"]);
    let request = desk.at("request.csr");
    std::fs::write(&request, desk.done("home", Some(&pin), &["intermediate", "request"])).unwrap();
    let bundle = desk.at("bundle.pem");
    let signed = desk.done("root", Some(&root), &["intermediate", "sign", request.to_str().unwrap()]);
    std::fs::write(&bundle, signed).unwrap();
    desk.done("home", Some(&pin), &["intermediate", "install", bundle.to_str().unwrap()]);
    assert_eq!(
        desk.done("home", Some(&pin), &["trust"]),
        desk.done("root", Some(&root), &["trust"]),
        "what it issued leads to the root"
    );
    // Another token in its place is not it.
    std::fs::remove_dir_all(desk.at("tokens")).unwrap();
    assert!(token(&desk, "kiban", "24681357"));
    desk.refused("home", Some(&pin), &["list"], "0 keys of this id");
}
