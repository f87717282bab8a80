//! `kiban doctor`: an installation in order is told so, and each thing that is wrong is named with what to do, without anything being
//! made or changed in its place.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

fn kiban(home: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kiban")).args(arguments).arg("--home").arg(home).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

#[track_caller]
fn require(home: &Path, is_fit: bool, line: &str) {
    let (fit, text) = kiban(home, &["doctor"]);
    assert!(fit == is_fit && text.contains(line), "{line}: {text}");
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_is_in_order_is_told_and_what_is_not_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    assert!(kiban(&home, &["ca", "init"]).0);
    assert!(kiban(&home, &["operate", "start", "999003", "coordinating"]).0);
    require(&home, true, "問題なし　　データベース: sqlite を開けました");
    require(&home, true, "問題なし　　認証局: 期限は ");
    require(&home, true, "確かめる　　メール: 設定していません");

    let anchor = home.join("anchor.key");
    mode(&anchor, 0o644);
    require(&home, false, &format!("→ chmod 600 {}", anchor.display()));
    mode(&anchor, 0o600);

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mail = home.join("mail.json");
    let settings = format!(r#"{{"host":"localhost","port":{closed},"tls":"tls","from":"kiban@example.jp"}}"#);
    fs::write(&mail, settings).unwrap();
    mode(&mail, 0o600);
    require(&home, false, "直すところ　メール: 送信サーバーにつながりません");
    fs::remove_file(&mail).unwrap();

    let (authority, away) = (home.join("ca"), home.join("away"));
    fs::rename(&authority, &away).unwrap();
    require(&home, false, "直すところ　認証局: ");
    fs::rename(&away, &authority).unwrap();

    let master = home.join("master.key");
    fs::rename(&master, &away).unwrap();
    require(&home, false, "直すところ　鍵のファイル: 主鍵 ");
    assert!(!master.exists(), "a new key was made in place of the one that is missing");
    fs::rename(&away, &master).unwrap();

    let (fit, text) = kiban(&home, &["doctor", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(fit && found.as_array().unwrap().len() >= 7, "{text}");
    assert!(found.as_array().unwrap().iter().all(|one| one["state"] != "mend"), "{text}");
}
