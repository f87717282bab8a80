//! `kiban ca`: the operator's certification authority (P-182), its root and its key (docs/certificates.md).

use crate::home::{Home, now, passphrase, pin, read_passphrase};
use anyhow::{Context as _, Result, anyhow};
use clap::{Args, Subcommand};
use kiban_domain::Organization;
use kiban_pki::{Ca, Place, Purpose, Reason};
use kiban_service::{Context, RevocationAsk};
use kiban_store::CertificateRow;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub struct Options {
    /// 設置フォルダー
    #[arg(long, default_value = "kiban-home", global = true)]
    home: PathBuf,
    /// データベース（省略時は設置フォルダーの中）
    #[arg(long, global = true)]
    db: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// 認証局を作ります
    Init {
        /// 認証局の名前
        #[arg(long, default_value = "kaigo-kiban CA")]
        name: String,
        /// 中間認証局に署名するだけの、ネットワークから切り離して保管するルートを作ります
        #[arg(long)]
        root: bool,
        /// 鍵をトークン（HSM）の中に作ります: メーカーのライブラリー（PKCS #11）の絶対パス。暗証番号は環境変数 KIBAN_CA_PIN_FILE のファイルの1行目
        #[arg(long, requires = "token")]
        module: Option<PathBuf>,
        /// そのトークンの名前（ラベル）
        #[arg(long, requires = "module")]
        token: Option<String>,
    },
    /// 認証局の鍵を合言葉で暗号化し直します（いまの合言葉は環境変数 KIBAN_CA_PASSPHRASE_FILE のファイル）
    Encrypt {
        /// 新しい合言葉を1行目に書いたファイル
        new_passphrase_file: PathBuf,
    },
    /// ルートの下に置きます: request（サーバー）→ sign（ルート）→ install（サーバー）
    Intermediate {
        #[command(subcommand)]
        step: Intermediate,
    },
    /// 機関の証明書を発行し、基盤に登録します
    Issue {
        /// 事業所番号（10桁）・保険者番号（6桁）・都道府県コード（2桁）・operator
        organization: String,
        /// 端末名
        terminal: String,
        /// 有効日数
        #[arg(long, default_value_t = 825)]
        days: u32,
        /// 事業所側で作った証明書署名要求（PEM）。省略すると鍵もここで作ります
        #[arg(long)]
        csr: Option<PathBuf>,
        /// 無人の接続プログラム用にします（市区町村・医療機関。ログインには使えません）
        #[arg(long)]
        connector: bool,
        /// 証明書と鍵を書き出すフォルダー
        #[arg(long, default_value = ".")]
        out: PathBuf,
    },
    /// 証明書を失効させます（接続中でも次の要求から有効）
    Revoke {
        /// シリアル番号
        serial: String,
        /// 理由: key-compromise, superseded, cessation-of-operation, affiliation-changed, privilege-withdrawn, unspecified
        #[arg(long, default_value = "unspecified")]
        reason: String,
        /// この証明書から更新した証明書は、そのままにします（理由が superseded のときは、いつもそのまま）
        #[arg(long)]
        keep_renewed: bool,
    },
    /// 発行した証明書の一覧
    List,
    /// 失効リスト（CRL）を PEM で表示します
    Crl,
    /// 端末と接続プログラムが信頼する証明書（ルート）を PEM で表示します
    Trust,
}

#[derive(Subcommand)]
enum Intermediate {
    /// この認証局の鍵への署名の依頼を表示します（サーバーで）
    Request,
    /// 依頼に署名し、中間証明書とルートを表示します（ルートの設置フォルダーで）
    Sign {
        /// request の出力
        request: PathBuf,
    },
    /// 署名された中間証明書を据え付けます（サーバーで。発行済みの証明書はそのまま使えます）
    Install {
        /// sign の出力
        bundle: PathBuf,
    },
}

pub async fn run(options: Options) -> Result<ExitCode> {
    let open = if matches!(options.command, Command::Init { .. }) { Home::create } else { Home::open };
    let home = open(&options.home, options.db.as_deref())?;
    let ja = |error: kiban_pki::Error| anyhow!(error.message_ja());
    match options.command {
        Command::Init { name, root, module: Some(module), token: Some(token) } => {
            let (dir, place) = (home.ca_dir(), Place { module, token });
            let pin = pin()?.ok_or(kiban_pki::Error::PinMissing).map_err(ja)?;
            Ca::init_in_token(&dir, &name, root, (&place, pin), now()).map_err(ja)?;
            println!("認証局を作りました: {}（鍵はトークン {} の中）", dir.display(), place.token);
        }
        Command::Init { name, root, .. } => {
            let (dir, passphrase) = (home.ca_dir(), passphrase()?);
            let made = match (root, passphrase) {
                (true, passphrase) => Ca::init_root(&dir, &name, passphrase.unwrap_or_default(), now()),
                (false, Some(passphrase)) => Ca::init_encrypted(&dir, &name, passphrase, now()),
                (false, None) => Ca::init(&dir, &name, now()),
            };
            made.map_err(ja)?;
            println!("認証局を作りました: {}", dir.display());
            if passphrase.is_none() {
                println!("注意: 認証局の鍵は暗号化していません（kiban ca encrypt で暗号化できます）");
            }
        }
        Command::Encrypt { new_passphrase_file } => {
            let new = read_passphrase(&new_passphrase_file)?;
            Ca::encrypt_key(&home.ca_dir(), passphrase()?, &new).map_err(ja)?;
            println!(
                "認証局の鍵を新しい合言葉で暗号化しました。古い合言葉と、暗号化していない鍵の写しを消してください"
            );
        }
        Command::Intermediate { step } => intermediate(step, &home)?,
        Command::Trust => print!("{}", home.ca()?.trusted_pem()),
        Command::Issue { organization, terminal, days, csr, connector, out } => {
            let organization =
                Organization::parse(&organization).map_err(|error| anyhow!("機関の番号: {}", error.message_ja()))?;
            // Before anything is signed that could not be handed over.
            std::fs::create_dir_all(&out).with_context(|| format!("フォルダー {} を作れません", out.display()))?;
            let ca = home.ca()?;
            let (cert_pem, key_pem, fingerprint, serial, not_after) = match csr {
                Some(path) => {
                    let csr =
                        std::fs::read_to_string(&path).with_context(|| format!("{} を読めません", path.display()))?;
                    let signed = ca.issue_client_csr(&csr, organization, &terminal, days, now()).map_err(ja)?;
                    (signed.cert_pem, None, signed.fingerprint, signed.serial, signed.not_after)
                }
                None => {
                    let issued = ca.issue_client(organization, &terminal, days, now()).map_err(ja)?;
                    (
                        issued.cert_pem,
                        Some(zeroize::Zeroizing::new(issued.key_pem)),
                        issued.fingerprint,
                        issued.serial,
                        issued.not_after,
                    )
                }
            };
            let platform = home.platform().await?;
            let row = CertificateRow {
                fingerprint,
                organization,
                terminal: terminal.clone(),
                serial: serial.clone(),
                not_after,
                revoked_at: None,
                revoked_for: None,
            };
            let context = Context::new(now())?;
            if connector {
                platform.bind_connector(&row, &context).await.map_err(crate::home::explain)?;
            } else {
                platform.bind_certificates(&[row], &context).await?;
            }
            platform.store().clone().close().await?;
            let base = format!("{organization}-{terminal}");
            write_secret(&out.join(format!("{base}.crt")), cert_pem.as_bytes())?;
            if let Some(key) = key_pem {
                write_secret(&out.join(format!("{base}.key")), key.as_bytes())?;
            }
            println!("発行しました: {base} シリアル番号 {serial} 有効期限 {not_after}");
        }
        Command::Revoke { serial, reason, keep_renewed } => {
            let reason =
                Reason::parse(&reason.replace('_', "-")).ok_or_else(|| anyhow!("理由 \"{reason}\" はありません"))?;
            // First what opens the door, then the register and the list for others.
            let platform = home.platform().await?;
            let why = RevocationAsk { reason: reason.as_str().to_owned(), with_renewed: keep_renewed.then_some(false) };
            let bound = platform.revoke_certificate(&serial, &why, &Context::new(now())?).await;
            platform.store().clone().close().await?;
            home.ca()?.revoke(&serial, reason, now()).map_err(ja)?;
            match bound {
                Ok(serials) => {
                    println!("失効させました: {serial}");
                    for renewed in serials.iter().filter(|one| **one != serial) {
                        home.ca()?.revoke(renewed, reason, now()).map_err(ja)?;
                        println!("失効させました: {renewed}（{serial} から更新したもの）");
                    }
                }
                Err(kiban_service::Error::Unknown) => {
                    println!("失効させました: {serial}（基盤には登録されていませんでした）")
                }
                Err(error) => return Err(error.into()),
            }
        }
        Command::List => {
            for entry in home.ca()?.list().map_err(ja)? {
                let whose = match &entry.purpose {
                    Purpose::Client { organization, terminal } => format!("{organization} {terminal}"),
                    Purpose::Server { names } => format!("サーバー {}", names.join(",")),
                    Purpose::Authority { name } => format!("中間認証局 {name}"),
                };
                let state = match &entry.revoked {
                    Some(revocation) => format!("失効 {} {}", revocation.at, revocation.reason.as_str()),
                    None if entry.is_live(now()) => "有効".to_owned(),
                    None => "期限切れ".to_owned(),
                };
                println!("{}\t{whose}\t{}\t{state}", entry.serial, entry.not_after);
            }
        }
        Command::Crl => print!("{}", home.ca()?.crl_pem(now()).map_err(ja)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn intermediate(step: Intermediate, home: &Home) -> Result<()> {
    let ja = |error: kiban_pki::Error| anyhow!(error.message_ja());
    let read = |path: &Path| std::fs::read_to_string(path).with_context(|| format!("{} を読めません", path.display()));
    let ca = home.ca()?;
    match step {
        Intermediate::Request => print!("{}", ca.request_intermediate().map_err(ja)?),
        Intermediate::Sign { request } => {
            print!("{}", ca.sign_intermediate(&read(&request)?, now()).map_err(ja)?.cert_pem);
        }
        Intermediate::Install { bundle } => {
            ca.install_intermediate(&read(&bundle)?, now()).map_err(ja)?;
            println!(
                "中間認証局になりました。サーバーを起動し直し、端末には kiban ca trust の出力（ルート）を配ってください"
            );
        }
    }
    Ok(())
}

/// Writes a file that only its owner may read: whole or not at all, whenever the process is killed.
pub fn write_secret(path: &Path, content: &[u8]) -> Result<()> {
    write_secrets(&[(path, content)])
}

/// Writes several such files, in this order. None takes its place before all of them are whole on the disk: what cannot be
/// written (a full disk, a folder without the right to it) leaves every one of them as it was.
pub fn write_secrets(files: &[(&Path, &[u8])]) -> Result<()> {
    let cannot = |path: &Path| format!("{} に書けません", path.display());
    let mut drafts = Vec::new();
    for (path, content) in files {
        drafts.push(draft_of(path, content).with_context(|| cannot(path))?);
    }
    for (draft, (path, _)) in drafts.iter().zip(files) {
        std::fs::rename(draft, path).with_context(|| cannot(path))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// The content beside its place, for the owner only, on the disk.
fn draft_of(path: &Path, content: &[u8]) -> std::io::Result<PathBuf> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.tmp"));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(draft)
}
