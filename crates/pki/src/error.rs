//! What can go wrong with certificates, by meaning.

use std::path::PathBuf;

/// Why a certificate could not be made, read or revoked. The text is for logs and never holds a key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder already holds a CA.
    #[error("\"{}\" already exists and is not empty", .0.display())]
    AlreadyThere(PathBuf),
    /// A file could not be read or written.
    #[error("\"{}\": {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others than the owner may read the private key.
    #[error("private key \"{}\" may be read by others than its owner", .0.display())]
    KeyReadableByOthers(PathBuf),
    /// The private key of the CA is encrypted and no passphrase was given.
    #[error("the private key of the CA is encrypted")]
    KeyEncrypted,
    /// The passphrase is another.
    #[error("the passphrase does not open the private key")]
    Passphrase,
    /// The authority's key lies in a token and is never given out.
    #[error("the private key of the CA lies in a token")]
    InToken,
    /// No PIN was given for the token.
    #[error("the private key of the CA lies in a token and no PIN was given")]
    PinMissing,
    /// The PIN is another. Most tokens lock themselves after a few.
    #[error("the PIN does not open the token")]
    Pin,
    /// The token has locked itself.
    #[error("the token is locked")]
    PinLocked,
    /// Not exactly one token of this label is there.
    #[error("{found} tokens with the label \"{token}\"")]
    NoToken {
        /// The label.
        token: String,
        /// How many.
        found: usize,
    },
    /// The token, or the library of its maker, refused.
    #[error("token: {0}")]
    Token(String),
    /// The root must not lie on a disk in the clear.
    #[error("a root key is kept under a passphrase only")]
    RootWithoutPassphrase,
    /// An intermediate certificate that does not belong to this CA or is not signed by the root beside it.
    #[error("not an intermediate certificate of this CA: {0}")]
    Intermediate(&'static str),
    /// Certificate and private key do not belong together.
    #[error("certificate and private key do not belong together")]
    KeyMismatch,
    /// A line of the register, not the last, is damaged: somebody edited it or the disk failed.
    #[error("line {line} of the certificate register is damaged")]
    RegisterDamaged {
        /// 1-based line.
        line: usize,
    },
    /// The register knows no certificate with this serial number.
    #[error("no certificate with serial number \"{0}\"")]
    UnknownSerial(String),
    /// A terminal name that a certificate cannot hold.
    #[error("terminal name \"{0}\" must have 1 to 64 characters and no control characters")]
    TerminalName(String),
    /// A server name that a certificate cannot hold, or none at all.
    #[error("\"{0}\" is not a server name or address")]
    ServerName(String),
    /// The certificate would live longer than the CA.
    #[error("the certificate would end {wanted}, after the CA itself ({ca_ends})")]
    BeyondCa {
        /// End of the wanted certificate.
        wanted: jiff::Timestamp,
        /// End of the CA.
        ca_ends: jiff::Timestamp,
    },
    /// The request for a certificate is not one, or is not signed by its own key.
    #[error("not a valid certificate request: {0}")]
    Request(&'static str),
    /// Bytes that are no certificate, or none this platform can use.
    #[error("not a usable certificate or key: {0}")]
    Certificate(String),
    /// The time is outside what a certificate can express.
    #[error("time is outside what a certificate can express")]
    Time,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

impl Error {
    /// The same in Japanese, telling the operator what to do.
    pub fn message_ja(&self) -> String {
        match self {
            Self::AlreadyThere(path) => {
                format!("{} は既にあり、空ではありません。別のフォルダを指定してください", path.display())
            }
            Self::File { path, source } => {
                format!("{} を読み書きできません（{source}）。権限と空き容量を確認してください", path.display())
            }
            Self::KeyReadableByOthers(path) => format!(
                "秘密鍵 {path} が所有者以外にも読める状態です。chmod 600 {path} を実行してください",
                path = path.display()
            ),
            Self::KeyEncrypted => {
                "認証局の鍵は暗号化されています。合言葉のファイルを環境変数 KIBAN_CA_PASSPHRASE_FILE に指定してください".into()
            }
            Self::Passphrase => "認証局の鍵の合言葉が違います。KIBAN_CA_PASSPHRASE_FILE のファイルを確かめてください".into(),
            Self::InToken => "認証局の鍵はトークン（HSM）の中にあり、取り出せません。暗号化も分割保管もトークンの側で行ってください".into(),
            Self::PinMissing => {
                "認証局の鍵はトークン（HSM）の中にあります。暗証番号のファイルを環境変数 KIBAN_CA_PIN_FILE に指定してください".into()
            }
            Self::Pin => {
                "トークンの暗証番号が違います。KIBAN_CA_PIN_FILE のファイルを確かめてください（何度も間違えると、多くのトークンは使えなくなります）".into()
            }
            Self::PinLocked => "トークンの暗証番号が止められています。トークンの管理者の手順で解除してください".into(),
            Self::NoToken { token, found: 0 } => {
                format!("「{token}」という名前のトークンがありません。つながっているか、名前（ラベル）を確かめてください")
            }
            Self::NoToken { token, .. } => {
                format!("「{token}」という名前のトークンが2つ以上あります。1つだけつなぐか、名前（ラベル）を分けてください")
            }
            Self::Token(said) => {
                format!("トークン（PKCS #11）を使えません（{said}）。つながりと、ca.token の内容を確かめ、サーバーは起動し直してください")
            }
            Self::RootWithoutPassphrase => {
                "ルート認証局の鍵は合言葉なしでは作れません。KIBAN_CA_PASSPHRASE_FILE に合言葉のファイルを指定してください".into()
            }
            Self::Intermediate(_) => {
                "この認証局の中間証明書ではありません。kiban ca intermediate request の出力にルートで署名したファイルを指定してください".into()
            }
            Self::KeyMismatch => "証明書と秘密鍵の組が合いません。同じ発行分のファイルを指定してください".into(),
            Self::RegisterDamaged { line } => {
                format!("証明書台帳の{line}行目が壊れています。発行と失効を止め、控えの台帳から復元してください")
            }
            Self::UnknownSerial(serial) => {
                format!("シリアル番号 {serial} の証明書は台帳にありません。kiban ca list で確認してください")
            }
            Self::TerminalName(name) => {
                format!("端末名「{name}」は使えません。1〜64文字で、改行やタブを含まない名前にしてください")
            }
            Self::ServerName(name) => format!("「{name}」はサーバ名またはIPアドレスではありません"),
            Self::BeyondCa { ca_ends, .. } => {
                format!("認証局の有効期限（{ca_ends}）を超える証明書は発行できません。日数を減らしてください")
            }
            Self::Request(_) => {
                "証明書署名要求（CSR）を読めません。作り直してください（ECDSA P-256、または RSA 2048ビット以上）".into()
            }
            Self::Certificate(_) => "証明書または秘密鍵を読めません。PEM形式のファイルを指定してください".into(),
            Self::Time => "有効期間が証明書で表せる範囲を超えています。日数を減らしてください".into(),
            Self::Random => "乱数を得られません。システムの状態を確認してください".into(),
        }
    }
}

impl From<rcgen::Error> for Error {
    fn from(error: rcgen::Error) -> Self {
        match error {
            rcgen::Error::RemoteKeyError => Self::Token("it did not sign".to_owned()),
            other => Self::Certificate(other.to_string()),
        }
    }
}

impl From<rustls::Error> for Error {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InconsistentKeys(_) => Self::KeyMismatch,
            other => Self::Certificate(other.to_string()),
        }
    }
}
