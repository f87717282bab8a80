//! The folder of one installation: keys, certificates, anchors and, by default, the embedded database. The clock of the
//! whole program is read here.

use anyhow::{Context as _, Result};
use kiban_domain::Timestamp;
use kiban_domain::life_trend::Reference;
use kiban_domain::service_type::ServiceCodes;
use kiban_pki::paper::NoticeKey;
use kiban_pki::{Ca, tls};
use kiban_service::{Config, Identification, Mailer, Platform};
use kiban_store::{AuditSettings, MasterKey, SigningKey, Store, StoreError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use zeroize::Zeroizing;

/// Where everything of an installation lies.
#[derive(Debug, Clone)]
pub struct Home {
    dir: PathBuf,
    database: String,
}

/// Environment variable that names the file with the passphrase of the authority's key, such as
/// `/run/credentials/kiban.service/ca` or `/dev/stdin`.
pub const PASSPHRASE_FILE: &str = "KIBAN_CA_PASSPHRASE_FILE";

/// The same for the PIN of the token that keeps the authority's key.
pub const PIN_FILE: &str = "KIBAN_CA_PIN_FILE";

/// The passphrase of the authority's key, if one was given. Read once: it may come through a pipe.
pub fn passphrase() -> Result<Option<&'static str>> {
    static PASSPHRASE: OnceLock<Option<Zeroizing<String>>> = OnceLock::new();
    once(&PASSPHRASE, PASSPHRASE_FILE, read_passphrase)
}

/// The PIN of the token that keeps the authority's key, if one was given.
pub fn pin() -> Result<Option<&'static str>> {
    static PIN: OnceLock<Option<Zeroizing<String>>> = OnceLock::new();
    once(&PIN, PIN_FILE, |path| read_secret("暗証番号", path))
}

fn once(
    known: &'static OnceLock<Option<Zeroizing<String>>>,
    name: &str,
    read: impl Fn(&Path) -> Result<Zeroizing<String>>,
) -> Result<Option<&'static str>> {
    if let Some(known) = known.get() {
        return Ok(known.as_ref().map(|text| text.as_str()));
    }
    let read = std::env::var_os(name).map(|path| read(Path::new(&path))).transpose()?;
    Ok(known.get_or_init(|| read).as_ref().map(|text| text.as_str()))
}

/// A passphrase of 12 characters or more, see [`read_secret`].
pub fn read_passphrase(path: &Path) -> Result<Zeroizing<String>> {
    let line = read_secret("合言葉", path)?;
    if line.chars().count() < 12 {
        anyhow::bail!("認証局の鍵の合言葉は12文字以上にしてください（{}）", path.display());
    }
    Ok(line)
}

/// The first line of a file that nobody else may read.
fn read_secret(what: &str, path: &Path) -> Result<Zeroizing<String>> {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::fs::PermissionsExt as _;
    let cannot = || format!("{what}のファイル {} を読めません", path.display());
    let file = std::fs::File::open(path).with_context(cannot)?;
    let facts = file.metadata().with_context(cannot)?;
    if facts.is_file() && facts.permissions().mode() & 0o077 != 0 {
        anyhow::bail!("{what}のファイル {} をほかの利用者も読めます。chmod 600 にしてください", path.display());
    }
    let mut line = Zeroizing::new(String::with_capacity(1024));
    BufReader::new(file).read_line(&mut line).with_context(cannot)?;
    let kept = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(kept);
    Ok(line)
}

/// The present instant.
pub fn now() -> Timestamp {
    Timestamp::now()
}

impl Home {
    /// A folder that is there; `database` overrides the embedded one inside it. A mistyped path must not become a second
    /// installation.
    pub fn open(dir: &Path, database: Option<&str>) -> Result<Self> {
        if !dir.is_dir() {
            anyhow::bail!(
                "設置フォルダー {} がありません。--home を確かめてください（新しく作るときは kiban ca init から始めます）",
                dir.display()
            );
        }
        let database = database.map_or_else(|| format!("sqlite:{}", dir.join("kiban.db").display()), str::to_owned);
        Ok(Self { dir: dir.to_owned(), database })
    }

    /// The same, created with mode 0700 when it is missing.
    pub fn create(dir: &Path, database: Option<&str>) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        if !dir.exists() {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.with_context(|| format!("フォルダー {} を作れません", dir.display()))?;
        }
        Self::open(dir, database)
    }

    /// Folder of the installation.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Address of the database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Folder of the certification authority.
    pub fn ca_dir(&self) -> PathBuf {
        self.dir.join("ca")
    }

    /// The certification authority.
    pub fn ca(&self) -> Result<Ca> {
        let secret = if Ca::is_in_token(&self.ca_dir()) { pin()? } else { passphrase()? };
        let opened = Ca::open_with(&self.ca_dir(), secret);
        opened.map_err(|error| anyhow::anyhow!(error.message_ja()))
    }

    /// Folder of the anchors outside the database.
    pub fn anchor_dir(&self) -> PathBuf {
        self.dir.join("anchors")
    }

    /// File of the master key.
    pub fn master_key(&self) -> PathBuf {
        self.dir.join("master.key")
    }

    /// File of the key that signs the anchors.
    pub fn anchor_key(&self) -> PathBuf {
        self.dir.join("anchor.key")
    }

    /// What the audit log needs of this installation.
    pub fn audit_settings(&self) -> Result<AuditSettings> {
        Ok(AuditSettings { signing_key: self.signing_key()?, anchor_dir: self.anchor_dir(), clock: Arc::new(now) })
    }

    /// Key that signs the anchors.
    pub fn signing_key(&self) -> Result<SigningKey> {
        Ok(SigningKey::load_or_create(&self.anchor_key())?)
    }

    /// The figures of the platform: the defaults, changed by `limits.tsv`, `life_reference.tsv` and `service_codes.tsv` of the
    /// installation if they are there.
    pub fn limits(&self) -> Result<Config> {
        let mut config = Config::default();
        if let Some((path, text)) = self.text_of("limits.tsv")? {
            config = config.changed_by(&text).map_err(|fault| anyhow::anyhow!("{} の{fault}", path.display()))?;
        }
        if let Some((path, text)) = self.text_of("life_reference.tsv")? {
            let reference = Reference::parse(&text);
            let reference = reference.map_err(|fault| anyhow::anyhow!("{} の{fault}", path.display()))?;
            config.life_reference = Arc::new(reference);
        }
        if let Some((path, text)) = self.text_of("service_codes.tsv")? {
            let codes = ServiceCodes::parse(&text);
            let codes = codes.map_err(|fault| anyhow::anyhow!("{} の{fault}", path.display()))?;
            config.service_codes = Some(Arc::new(codes));
        }
        Ok(config)
    }

    /// A file of the installation, if it is there.
    fn text_of(&self, name: &str) -> Result<Option<(PathBuf, String)>> {
        let path = self.dir.join(name);
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("{} を読めません", path.display()))?;
        Ok(Some((path, text)))
    }

    /// Checks cards of the authority in `card-authority.crt`, if it is there, and signs notices with `notice.key`, made when
    /// it is missing; `notice-keys.txt` holds public keys of earlier ones, a line of hexadecimal digits each.
    fn identification(&self) -> Result<Identification> {
        let named = |error: kiban_pki::Error| anyhow::anyhow!(error.message_ja());
        let card_authority = match self.text_of("card-authority.crt")? {
            Some((_, pem)) => {
                tls::certificates(&pem).map_err(named)?.into_iter().next().map(|certificate| certificate.to_vec())
            }
            None => None,
        };
        let earlier_notice_keys = match self.text_of("notice-keys.txt")? {
            Some((path, text)) => public_keys(&text)
                .with_context(|| format!("{} は、64桁の16進数を1行に1つ書いてください", path.display()))?,
            None => Vec::new(),
        };
        let notice_key = Some(NoticeKey::load_or_create(&self.dir.join("notice.key")).map_err(named)?);
        Ok(Identification { card_authority, notice_key, earlier_notice_keys })
    }

    /// What sends mails, if `mail.json` is there; it may hold a password.
    fn mailer(&self) -> Result<Option<Mailer>> {
        use std::os::unix::fs::PermissionsExt as _;
        let Some((path, text)) = self.text_of("mail.json")? else { return Ok(None) };
        if std::fs::metadata(&path)?.permissions().mode() & 0o077 != 0 {
            anyhow::bail!("{} をほかの利用者も読めます。chmod 600 にしてください", path.display());
        }
        let mailer = Mailer::open(&text, &self.dir);
        Ok(Some(mailer.map_err(|fault| anyhow::anyhow!("{} の{fault}", path.display()))?))
    }

    /// Opens the platform: migrates the database, starts the audit log.
    pub async fn platform(&self) -> Result<Platform> {
        let master = MasterKey::load_or_create(&self.master_key())?;
        let audit = self.audit_settings()?;
        let store = match Store::open(&self.database, master, audit).await {
            Err(StoreError::Held(generation)) => anyhow::bail!(
                "控え {generation} から復元したデータベースで、まだ受け入れられていません。kiban restore accept を実行してください"
            ),
            opened => opened.with_context(|| "データベースを開けません")?,
        };
        let platform = Platform::open(store, self.limits()?, now()).await?;
        platform.seat_identification(self.identification()?);
        if let Some(mailer) = self.mailer()? {
            platform.seat_mailer(mailer);
        }
        if platform.compare_clocks(now()).await?.is_refused() {
            anyhow::bail!(
                "この機械の時計がデータベースの時計と30秒より離れています。時刻の同期（NTP）を直してから、もう一度実行してください"
            );
        }
        Ok(platform)
    }
}

fn public_keys(text: &str) -> Option<Vec<Vec<u8>>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let bytes = |line: &str| {
        let pairs = line.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        pairs.collect::<Option<Vec<u8>>>().filter(|key| key.len() == 32)
    };
    lines.map(bytes).collect()
}

/// A use case's error in the words of the person at the command line.
pub fn explain(error: kiban_service::Error) -> anyhow::Error {
    use kiban_service::Error;
    match error {
        Error::Invalid(items) => {
            let lines: Vec<_> = items.iter().map(|item| format!("{}: {}", item.item, item.message)).collect();
            anyhow::anyhow!("{}", lines.join("\n"))
        }
        Error::Unknown => anyhow::anyhow!("該当するものがありません"),
        Error::Refused(refusal) => anyhow::anyhow!("{} {}（{}）", refusal.reason, refusal.next, refusal.requirement),
        Error::NotOpened(text) => anyhow::anyhow!("{text}"),
        Error::Conflict(text) if !text.is_ascii() => anyhow::anyhow!("{text}"),
        Error::OutcomeUnknown => {
            anyhow::anyhow!("結果を確認できませんでした。同じ操作をもう一度行ってください（二重にはなりません）")
        }
        Error::Unavailable(text) => anyhow::anyhow!("データベースまたは監査記録が使えません: {text}"),
        other => anyhow::Error::from(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# title: 全国の平均（試験の値）\n# fictional: no\nindicator\tservice\tlevel\tmean\tp25\tp50\tp75\nbarthel\t*\t*\t61\t40\t60\t80\n";

    #[test]
    fn a_table_of_comparison_in_the_folder_is_taken_instead_of_the_built_in_one() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path(), None).unwrap();
        assert_eq!(*home.limits().unwrap().life_reference, Reference::sample());
        let path = folder.path().join("life_reference.tsv");
        std::fs::write(&path, TABLE).unwrap();
        let taken = home.limits().unwrap().life_reference;
        assert_eq!(*taken, Reference::parse(TABLE).unwrap());
        assert_ne!(*taken, Reference::sample());
        // サービスコード表 is there or not.
        assert_eq!(home.limits().unwrap().service_codes, None);
        let codes = folder.path().join("service_codes.tsv");
        let text = "# title: 見本\n# months: 202404-202703\ncode\tname\tfrom\tto\n111211\t身体\t202404\t\n";
        std::fs::write(&codes, text).unwrap();
        assert_eq!(home.limits().unwrap().service_codes.map(|codes| codes.count()), Some(1));
        std::fs::write(&codes, format!("{text}1112\t身体\t202404\t\n")).unwrap();
        let fault = home.limits().unwrap_err().to_string();
        assert!(fault.contains("service_codes.tsv") && fault.contains("5行目"), "{fault}");
        std::fs::remove_file(&codes).unwrap();
        // One that cannot be read is named, with its line; the built-in one does not stand in for it.
        std::fs::write(&path, format!("{TABLE}barthel\tx\n")).unwrap();
        let fault = home.limits().unwrap_err().to_string();
        assert!(fault.contains("life_reference.tsv") && fault.contains("5行目"), "{fault}");
    }
}
