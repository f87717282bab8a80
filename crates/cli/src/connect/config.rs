//! The configuration file of the connector: `name = value` lines, `#` begins a comment. Everything wrong with it is told at
//! once, in Japanese, with its line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// For whom the connector works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// 市区町村: packages out, the inbox in.
    Municipality,
    /// 医療機関: opinions out, receipts and returns in.
    Hospital,
}

/// A proxy on the way, asked to CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// `host:port`.
    pub address: String,
    /// `user:password` for basic authentication.
    pub credentials: Option<String>,
}

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// For whom.
    pub role: Role,
    /// Host name of the platform, as in its certificate.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Where the host is reached, when its name is not in any directory (closed line).
    pub address: Option<SocketAddr>,
    /// Certificate, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Certificate of the platform's authority, PEM.
    pub ca: PathBuf,
    /// Folder in which the connector works.
    pub folder: PathBuf,
    /// Proxy, if there is one.
    pub proxy: Option<Proxy>,
    /// Seconds between two rounds of the service.
    pub interval: u64,
    /// Whether what was sent stays in `sent/`.
    pub keep_sent: bool,
    /// Kilobytes beyond which the journal is written anew.
    pub journal_kilobytes: u64,
    /// Days for which the journal keeps the last step of what is done.
    pub journal_days: u64,
}

/// Names a file may use; anything else is a misspelling.
const NAMES: [&str; 14] = [
    "role",
    "server",
    "address",
    "certificate",
    "key",
    "ca",
    "folder",
    "proxy",
    "proxy_user",
    "proxy_password_file",
    "interval_seconds",
    "keep_sent",
    "journal_kilobytes",
    "journal_days",
];

impl Config {
    /// Reads a file. Paths in it are relative to its own folder. Each fault is one sentence.
    pub fn read(path: &Path) -> Result<Self, Vec<String>> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| vec![format!("設定ファイル {} を読めません（{error}）", path.display())])?;
        Self::parse(&text, path.parent().unwrap_or(Path::new(".")))
    }

    fn parse(text: &str, base: &Path) -> Result<Self, Vec<String>> {
        let mut lines = Lines::of(text);
        let role = match lines.take("role").as_deref() {
            None | Some("municipality") => Role::Municipality,
            Some("hospital") => Role::Hospital,
            Some(other) => {
                lines.fault(format!("role は municipality か hospital にしてください（{other} は使えません）"));
                Role::Municipality
            }
        };
        let server = lines.needed("server", "接続先を「ホスト名:ポート」で書いてください（例 office.example.jp:8443）");
        let (host, port) = match server.rsplit_once(':').map(|(host, port)| (host.to_owned(), port.parse())) {
            Some((host, Ok(port))) if !host.is_empty() => (host, port),
            _ => {
                if !server.is_empty() {
                    lines.fault(
                        "server は「ホスト名:ポート」の形にしてください（例 office.example.jp:8443）".to_owned(),
                    );
                }
                (String::new(), 0)
            }
        };
        let address = lines.take("address").and_then(|text| match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                lines.fault("address は「IPアドレス:ポート」の形にしてください（例 192.0.2.1:8443）".to_owned());
                None
            }
        });
        let certificate = base.join(lines.needed("certificate", "接続プログラムの証明書（PEM）の場所を書いてください"));
        let key = base.join(lines.needed("key", "証明書の秘密鍵（PEM）の場所を書いてください"));
        let ca = base.join(lines.needed("ca", "基盤の認証局の証明書（PEM）の場所を書いてください"));
        let folder = base.join(lines.needed("folder", "送受信に使うフォルダーを書いてください"));
        let proxy = lines.proxy(base);
        let interval = lines.number("interval_seconds", 1..=86_400, 60);
        let journal_kilobytes = lines.number("journal_kilobytes", 0..=1_048_576, 1_024);
        let journal_days = lines.number("journal_days", 0..=3_650, 35);
        let keep_sent = match lines.take("keep_sent").as_deref() {
            None | Some("yes") => true,
            Some("no") => false,
            Some(_) => {
                lines.fault("keep_sent は yes か no にしてください".to_owned());
                true
            }
        };
        let config = Self {
            role,
            host,
            port,
            address,
            certificate,
            key,
            ca,
            folder,
            proxy,
            interval,
            keep_sent,
            journal_kilobytes,
            journal_days,
        };
        if lines.faults.is_empty() { Ok(config) } else { Err(lines.faults) }
    }
}

/// The lines of a file not yet asked for, and what is wrong so far.
struct Lines {
    values: Vec<(String, String)>,
    faults: Vec<String>,
}

impl Lines {
    /// A number within its bounds; `default` when it is not named.
    fn number(&mut self, name: &str, bounds: std::ops::RangeInclusive<u64>, default: u64) -> u64 {
        match self.take(name).map(|text| text.parse::<u64>()) {
            None => default,
            Some(Ok(number)) if bounds.contains(&number) => number,
            Some(_) => {
                self.fault(format!("{name} は {}〜{} の数にしてください", bounds.start(), bounds.end()));
                default
            }
        }
    }

    fn of(text: &str) -> Self {
        let mut lines = Self { values: Vec::new(), faults: Vec::new() };
        for (i, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let n = i + 1;
            let Some((name, value)) = line.split_once('=').map(|(name, value)| (name.trim(), unquoted(value))) else {
                lines.faults.push(format!("{n}行目: 「項目 = 値」の形ではありません"));
                continue;
            };
            if !NAMES.contains(&name) {
                lines
                    .faults
                    .push(format!("{n}行目: {name} という項目はありません（使える項目: {}）", NAMES.join("、")));
            } else if lines.values.iter().any(|(known, _)| known == name) {
                lines.faults.push(format!("{n}行目: {name} が2回あります。1つにしてください"));
            } else if !value.is_empty() {
                lines.values.push((name.to_owned(), value));
            }
        }
        lines
    }

    fn fault(&mut self, text: String) {
        self.faults.push(text);
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.values.iter().position(|(known, _)| known == name)?;
        Some(self.values.remove(at).1)
    }

    fn needed(&mut self, name: &str, words: &str) -> String {
        self.take(name).unwrap_or_else(|| {
            self.fault(format!("{name} がありません。{words}"));
            String::new()
        })
    }

    fn proxy(&mut self, base: &Path) -> Option<Proxy> {
        let (address, user) = (self.take("proxy"), self.take("proxy_user"));
        let file = self.take("proxy_password_file");
        let address = address?;
        let address = address.trim_start_matches("http://").trim_end_matches('/').to_owned();
        if address.contains('@') || address.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            self.fault(
                "proxy は「http://ホスト名:ポート」の形にし、利用者名は proxy_user、パスワードは proxy_password_file に書いてください"
                    .to_owned(),
            );
        }
        let password = file.map(|file| match std::fs::read_to_string(base.join(&file)) {
            Ok(text) => text.trim_end_matches(['\r', '\n']).to_owned(),
            Err(error) => {
                self.fault(format!("proxy_password_file {file} を読めません（{error}）"));
                String::new()
            }
        });
        let credentials = user.map(|user| format!("{user}:{}", password.unwrap_or_default()));
        Some(Proxy { address, credentials })
    }
}

/// A value without the quotes some people put around it.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_file_is_enough_and_paths_are_relative_to_it() {
        let text = "# 接続\nserver = office.example.jp:8443\ncertificate = c.crt\nkey = \"c.key\"\nca = ca.crt\nfolder = /srv/kiban\n";
        let config = Config::parse(text, Path::new("/etc/kiban")).unwrap();
        assert_eq!((config.role, config.host.as_str(), config.port), (Role::Municipality, "office.example.jp", 8443));
        assert_eq!((config.key, config.folder), ("/etc/kiban/c.key".into(), "/srv/kiban".into()));
        assert_eq!((config.interval, config.keep_sent, config.proxy), (60, true, None));
        assert_eq!((config.journal_kilobytes, config.journal_days), (1_024, 35));
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let text =
            "role = 市\nserver = office\nfolders = x\nfolder\nproxy = http://u:p@proxy:8080\ninterval_seconds = 0";
        let faults = Config::parse(text, Path::new("/")).unwrap_err().join("\n");
        for part in [
            "role は",
            "server は",
            "folders という項目",
            "4行目",
            "certificate がありません",
            "proxy_user",
            "interval_seconds は",
        ] {
            assert!(faults.contains(part), "{part} in {faults}");
        }
    }
}
