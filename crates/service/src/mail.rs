//! Mails (P-183): one kind only, the code of a second factor, to an address whose owner has proven it or is about to. The connection
//! to the server is never open, its certificate must be of the name in the settings, and no mail names anybody.

use jiff::Timestamp;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use lettre::Address;

/// Time for one mail, connection and all: somebody waits for the answer.
const TIME: Duration = Duration::from_secs(6);
const SUBJECT: &str = "確認の数字（介護情報基盤）";

/// The file `mail.json` of an installation.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailSettings {
    /// Name of the SMTP server, as in its certificate.
    pub host: String,
    /// Its port: 587 with `starttls`, 465 with `tls` as a rule.
    pub port: u16,
    /// How the connection is protected.
    pub tls: MailTls,
    /// Account at the server, if it asks for one.
    #[serde(default)]
    pub user: Option<String>,
    /// Password of the account.
    #[serde(default)]
    pub password: Option<String>,
    /// Sender.
    pub from: String,
    /// Authorities trusted for the server's certificate, PEM; relative to the folder of the file. Otherwise those of the operating
    /// system.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

/// How the connection is protected; there is no third way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// TLS from the first byte.
    Tls,
    /// The connection becomes TLS before anything is said; a server that cannot is sent nothing.
    Starttls,
}

/// Sends the mails of an installation.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mailer {
    /// By the text of `mail.json` in a folder. The error says in Japanese what to put right.
    pub fn open(text: &str, folder: &Path) -> Result<Self, String> {
        let settings: MailSettings =
            serde_json::from_str(text).map_err(|error| format!("設定を読めません（{}行目）: {error}", error.line()))?;
        let mut parameters = TlsParameters::builder(settings.host.clone());
        if let Some(file) = &settings.ca {
            let file = folder.join(file);
            let pem = std::fs::read(&file).map_err(|error| format!("認証局のファイル {}: {error}", file.display()))?;
            let authority = Certificate::from_pem(&pem);
            let authority = authority.map_err(|_| format!("認証局のファイル {} を読めません", file.display()))?;
            parameters = parameters.certificate_store(CertificateStore::None).add_root_certificate(authority);
        }
        let parameters = parameters.build_rustls().map_err(|error| format!("TLS の設定: {error}"))?;
        let tls = match settings.tls {
            MailTls::Tls => Tls::Wrapper(parameters),
            MailTls::Starttls => Tls::Required(parameters),
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .port(settings.port)
            .tls(tls)
            .timeout(Some(TIME));
        match (settings.user, settings.password) {
            (Some(user), Some(password)) => transport = transport.credentials(Credentials::new(user, password)),
            (None, None) => {}
            // Sent without a log-in although one was meant, or not at all: neither is what whoever wrote it wants.
            _ => return Err("user と password は、両方書くか、両方とも書かないでください".to_owned()),
        }
        let from =
            settings.from.parse().map_err(|_| "from は「基盤 <kiban@example.jp>」の形で書いてください".to_owned())?;
        Ok(Self { transport: transport.build(), from })
    }

    /// Sends a code. The error is for the log: what kind it was, never what the server said, which may hold the address.
    pub(crate) async fn send(&self, to: &Address, code: &str, now: Timestamp) -> Result<(), String> {
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .date(now.into())
            .subject(SUBJECT)
            .body(text_of(code))
            .map_err(|_| "the message was not made".to_owned())?;
        match tokio::time::timeout(TIME, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(kind_of(&error)),
            Err(_) => Err("the server did not answer in time".to_owned()),
        }
    }

    /// Whether the server takes a connection and the log-in; the error as of [`Mailer::send`].
    pub(crate) async fn answers(&self) -> Result<(), String> {
        match tokio::time::timeout(TIME, self.transport.test_connection()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("the server did not answer as it should".to_owned()),
            Ok(Err(error)) => Err(kind_of(&error)),
            Err(_) => Err("the server did not answer in time".to_owned()),
        }
    }
}

fn kind_of(error: &lettre::transport::smtp::Error) -> String {
    if let Some(status) = error.status() {
        return format!("the server answered {status}");
    }
    let kind = if error.is_tls() {
        "TLS failed"
    } else if error.is_timeout() {
        "the server did not answer in time"
    } else if error.is_client() {
        "the server offers no TLS or no log-in"
    } else {
        "no connection"
    };
    kind.to_owned()
}

/// The mail. Nobody's name, organisation or number: whoever else reads it learns a number that is good for ten minutes behind a
/// certificate and a password.
fn text_of(code: &str) -> String {
    format!(
        "介護情報基盤の確認の数字です。

    {code}

10分以内に、いま開いている画面に入力してください。使えるのは一度だけです。
新しい数字を受け取ったときは、前の数字は使えません。

この数字を、電話やメールでお尋ねすることはありません。だれにも伝えないでください。
心当たりがないときは、だれかがあなたのパスワードを知っているかもしれません。
すぐに、所属する機関の管理者に知らせてください。

このメールは自動で送っています。返信しても届きません。
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_log_in_at_the_mail_server_is_refused_at_the_start() {
        let open = |more: &str| {
            let text = format!(r#"{{ "host": "localhost", "port": 465, "tls": "tls", "from": "k@example.jp"{more} }}"#);
            Mailer::open(&text, Path::new(".")).err()
        };
        assert_eq!((open(""), open(r#", "user": "kiban", "password": "x""#)), (None, None));
        for half in [r#", "user": "kiban""#, r#", "password": "x""#, r#", "user": "kiban", "password": null"#] {
            assert!(open(half).is_some_and(|told| told.contains("両方")), "{half}");
        }
    }
}
