//! The operator's own certification authority (P-182): a folder with `ca.key`, `ca.pem` and `register.tsv`.
//!
//! `ca.key` may be encrypted under a passphrase; `ca.token` in its place says in which token the key is ([`Place`]) `ca.pem` is self-signed or, once a root that is kept offline has signed the
//! same key ([`Ca::install_intermediate`]), an intermediate; then `root.pem` is what others trust.
//!
//! Keys are ECDSA P-256: understood by every browser, operating system and TPM in use at offices. The clock is always
//! an argument. No function here logs, and nothing here prints a private key.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use kiban_domain::Organization;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationList, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData,
    RevokedCertParams, SerialNumber, SignatureAlgorithm, SigningKey,
};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;
use zeroize::{Zeroize, Zeroizing};

use crate::register::Register;
use crate::token::{Place, TokenKey};
use crate::{Entry, Error, Purpose, Reason, Revocation, csr, files, read, sealed_key};

const KEY_FILE: &str = "ca.key";
const TOKEN_FILE: &str = "ca.token";
const CERTIFICATE_FILE: &str = "ca.pem";
const REGISTER_FILE: &str = "register.tsv";
const ROOT_FILE: &str = "root.pem";
const SELF_SIGNED_FILE: &str = "self-signed.pem";
const LIST_FILE: &str = "crl.der";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// Life of the CA certificate.
const CA_DAYS: u32 = 3650;
/// Life of a root.
const ROOT_DAYS: u32 = 7300;
/// Certificates start this long before the moment of issue, for terminals whose clock is slow.
const CLOCK_ALLOWANCE: SignedDuration = SignedDuration::from_mins(5);
/// A revocation list is good for one day (S-003).
const CRL_LIFE: SignedDuration = SignedDuration::from_hours(24);

/// The certification authority, opened with its key.
pub struct Ca {
    dir: PathBuf,
    certificate_pem: String,
    certificate: CertificateDer<'static>,
    not_after: Timestamp,
    key: Key,
    register: Register,
    torn_line: Option<String>,
    /// What leads from what it issues to the root, PEM; empty when it is its own root.
    chain: String,
    /// What others trust, PEM.
    trusted: String,
}

/// A new certificate with its private key. The key exists nowhere else: hand it over and forget it.
pub struct Issued {
    /// The certificate.
    pub cert_pem: String,
    /// Its private key, PKCS #8.
    pub key_pem: String,
    /// SHA-256 of the certificate, 64 lower-case hexadecimal digits.
    pub fingerprint: String,
    /// Serial number, 32 lower-case hexadecimal digits.
    pub serial: String,
    /// The last second at which it is valid.
    pub not_after: Timestamp,
}

/// A new certificate for a key that was made elsewhere.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The certificate.
    pub cert_pem: String,
    /// SHA-256 of the certificate, 64 lower-case hexadecimal digits.
    pub fingerprint: String,
    /// Serial number, 32 lower-case hexadecimal digits.
    pub serial: String,
    /// The last second at which it is valid.
    pub not_after: Timestamp,
}

impl Ca {
    /// Makes a new CA in `dir`, which must not exist or be empty. `name` is what people see as the issuer. Either the
    /// whole folder is there afterwards or nothing.
    pub fn init(dir: &Path, name: &str, now: Timestamp) -> Result<Self, Error> {
        Self::make(dir, ca_params(name, CA_DAYS, 0, now)?, None)
    }

    /// The same with its private key encrypted under a passphrase.
    pub fn init_encrypted(dir: &Path, name: &str, passphrase: &str, now: Timestamp) -> Result<Self, Error> {
        Self::make(dir, ca_params(name, CA_DAYS, 0, now)?, Some(passphrase))
    }

    /// Makes a root, which signs other authorities and nothing else, to be kept offline. Its key is always encrypted.
    pub fn init_root(dir: &Path, name: &str, passphrase: &str, now: Timestamp) -> Result<Self, Error> {
        if passphrase.is_empty() {
            return Err(Error::RootWithoutPassphrase);
        }
        Self::make(dir, ca_params(name, ROOT_DAYS, 1, now)?, Some(passphrase))
    }

    /// Makes a new CA whose key a token makes and never gives out. A root may lie in one, too.
    pub fn init_in_token(
        dir: &Path,
        name: &str,
        is_root: bool,
        (place, pin): (&Place, &str),
        now: Timestamp,
    ) -> Result<Self, Error> {
        let (days, path_length) = if is_root { (ROOT_DAYS, 1) } else { (CA_DAYS, 0) };
        let params = ca_params(name, days, path_length, now)?;
        refuse_filled(dir)?;
        let (key, place) = TokenKey::make(place, pin)?;
        Self::lay_down(dir, &params.self_signed(&key)?.pem(), (TOKEN_FILE, &place))?;
        Self::open_with(dir, Some(pin))
    }

    /// Whether the key of the CA in `dir` lies in a token, so that it is opened with a PIN and not a passphrase.
    pub fn is_in_token(dir: &Path) -> bool {
        dir.join(TOKEN_FILE).exists()
    }

    fn make(dir: &Path, params: CertificateParams, passphrase: Option<&str>) -> Result<Self, Error> {
        refuse_filled(dir)?;
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Self::lay_down(dir, &certificate, (KEY_FILE, &key_text(&key.serialize_der(), passphrase)?))?;
        Self::open_with(dir, passphrase)
    }

    fn lay_down(dir: &Path, certificate: &str, (key_file, key): (&str, &str)) -> Result<(), Error> {
        let half_made = files::beside(dir, ".half-made");
        if half_made.exists() {
            // Left by an earlier attempt that was killed; its key never signed anything.
            fs::remove_dir_all(&half_made).map_err(files::at(&half_made))?;
        }
        files::create_private_dir(&half_made)?;
        files::write_new(&half_made.join(key_file), key, 0o600)?;
        files::write_new(&half_made.join(CERTIFICATE_FILE), certificate, 0o644)?;
        files::write_new(&half_made.join(REGISTER_FILE), "", 0o600)?;
        files::sync_dir(&half_made)?;
        fs::rename(&half_made, dir).map_err(files::at(dir))?;
        files::sync_dir(files::parent(dir))
    }

    /// Opens the CA in `dir`. Refuses a key that others may read, one that does not fit the certificate, and a
    /// damaged register.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        Self::open_with(dir, None)
    }

    /// The same with the passphrase of its key, or the PIN of its token. A key that is not encrypted opens with any.
    pub fn open_with(dir: &Path, passphrase: Option<&str>) -> Result<Self, Error> {
        let certificate_pem = files::read(&dir.join(CERTIFICATE_FILE))?;
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|e| Error::Certificate(e.to_string()))?;
        let key = if Self::is_in_token(dir) {
            let place = files::read_private(&dir.join(TOKEN_FILE))?;
            Key::Token(TokenKey::open(&place, passphrase.ok_or(Error::PinMissing)?)?)
        } else {
            Key::File(Box::new(read_key(&files::read_private(&dir.join(KEY_FILE))?, passphrase)?))
        };
        if key.subject_public_key_info() != read::parse(&certificate)?.public_key().raw {
            return Err(Error::KeyMismatch);
        }
        let register = Register::at(dir.join(REGISTER_FILE));
        let (chain, trusted) = match is_self_signed(&certificate)? {
            true => (String::new(), certificate_pem.clone()),
            false => (certificate_pem.clone(), files::read(&dir.join(ROOT_FILE))?),
        };
        Ok(Self {
            dir: dir.to_owned(),
            not_after: read::not_after(&certificate)?,
            key,
            torn_line: register.read()?.torn_line,
            certificate_pem,
            certificate,
            register,
            chain,
            trusted,
        })
    }

    /// Encrypts the private key that lies in `dir`, or changes its passphrase. What it was stays usable until the moment the
    /// file is replaced.
    pub fn encrypt_key(dir: &Path, before: Option<&str>, passphrase: &str) -> Result<(), Error> {
        if Self::is_in_token(dir) {
            return Err(Error::InToken);
        }
        let secret = Self::open_with(dir, before)?.secret().ok_or(Error::InToken)?;
        files::replace(&dir.join(KEY_FILE), key_text(&secret, Some(passphrase))?.as_bytes(), 0o600)
    }

    /// The private key, PKCS #8 DER, to be split into shares and nothing else; `None` when a token keeps it.
    pub fn secret(&self) -> Option<Zeroizing<Vec<u8>>> {
        match &self.key {
            Key::File(key) => Some(Zeroizing::new(key.serialize_der())),
            Key::Token(_) => None,
        }
    }

    /// Writes the private key of a CA in `dir` from what [`Self::secret`] gave; refuses to replace one that is there. The
    /// certificate and the register come from a backup.
    pub fn restore_key(dir: &Path, secret: &[u8]) -> Result<(), Error> {
        let mut key = KeyPair::try_from(secret)?;
        files::create_private_dir(dir)?;
        let written = files::write_new(&dir.join(KEY_FILE), &Zeroizing::new(key.serialize_pem()), 0o600);
        key.zeroize();
        written?;
        files::sync_dir(dir)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The CA's own certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// What leads from a certificate of this CA to the root, PEM; empty when the CA is its own root.
    pub fn chain_pem(&self) -> &str {
        &self.chain
    }

    /// What terminals trust: the root, or this CA's own certificate when there is none above it. PEM.
    pub fn trusted_pem(&self) -> &str {
        &self.trusted
    }

    /// The CA's own certificate in DER: what servers trust.
    pub fn certificate_der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The last second at which the CA is valid.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The cut-off last line found in the register when it was opened, for the operator to see. The certificate it
    /// may name was never handed out.
    pub fn torn_line(&self) -> Option<&str> {
        self.torn_line.as_deref()
    }

    /// Issues a certificate for one terminal of an organisation, with a fresh key. `terminal`: 1 to 64 characters, no
    /// personal names; `days`: life from `now`.
    pub fn issue_client(
        &self,
        organization: Organization,
        terminal: &str,
        days: u32,
        now: Timestamp,
    ) -> Result<Issued, Error> {
        let key = KeyPair::generate()?;
        let signed = self.sign(client_purpose(organization, terminal)?, &key, days, now)?;
        Ok(signed.with_key(&key))
    }

    /// Issues a certificate for a key that stays in the office's terminal. Only the public key of the request is
    /// used.
    pub fn issue_client_csr(
        &self,
        csr_pem: &str,
        organization: Organization,
        terminal: &str,
        days: u32,
        now: Timestamp,
    ) -> Result<Signed, Error> {
        let key = csr::requested_key(csr_pem)?.key;
        self.sign(client_purpose(organization, terminal)?, &key, days, now)
    }

    /// Issues a server certificate for host names or addresses, with a fresh key.
    pub fn issue_server(&self, names: &[&str], days: u32, now: Timestamp) -> Result<Issued, Error> {
        let key = KeyPair::generate()?;
        let names = names.iter().map(|name| server_name(name)).collect::<Result<Vec<_>, _>>()?;
        if names.is_empty() {
            return Err(Error::ServerName(String::new()));
        }
        let signed = self.sign(Purpose::Server { names }, &key, days, now)?;
        Ok(signed.with_key(&key))
    }

    /// The request with which a root signs this CA's key: everything issued so far then leads to the root too. PEM.
    pub fn request_intermediate(&self) -> Result<String, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name_of(&self.certificate)?);
        Ok(params.serialize_request(&self.key)?.pem()?)
    }

    /// Signs another authority as its root. The name is the one it asks for, so that what it has issued fits; its life ends
    /// with the root's at the latest. Intermediate and root together, PEM.
    pub fn sign_intermediate(&self, request_pem: &str, now: Timestamp) -> Result<Signed, Error> {
        let own = read::parse(&self.certificate)?;
        let constraints = own.basic_constraints().ok().flatten().map(|found| found.value);
        if !constraints.is_some_and(|found| found.ca && found.path_len_constraint != Some(0)) {
            return Err(Error::Intermediate("this CA is no root"));
        }
        let request = csr::requested_key(request_pem)?;
        let name = request.common_name.filter(|name| !name.is_empty() && !name.chars().any(char::is_control));
        let name = name.ok_or(Error::Request("without a name"))?;
        let left = self.not_after.as_second().saturating_sub(now.as_second()).max(0) / 86_400;
        let days = CA_DAYS.min(u32::try_from(left).unwrap_or(CA_DAYS));
        let mut signed = self.sign(Purpose::Authority { name }, &request.key, days, now)?;
        signed.cert_pem.push_str(&self.certificate_pem);
        Ok(signed)
    }

    /// Puts what a root has signed into the place of the self-signed certificate of the CA in `dir`, which stays beside it.
    /// `bundle_pem`: intermediate, then root. Refuses one of another key, of another name, or not signed by that root.
    pub fn install_intermediate(&self, bundle_pem: &str, now: Timestamp) -> Result<(), Error> {
        let bundle = crate::tls::certificates(bundle_pem)?;
        let [own_der, root_der] = &bundle[..] else {
            return Err(Error::Intermediate("the file must hold the intermediate and its root"));
        };
        let (own, root, before) = (read::parse(own_der)?, read::parse(root_der)?, read::parse(&self.certificate)?);
        if own.public_key().raw != before.public_key().raw || own.subject().as_raw() != before.subject().as_raw() {
            return Err(Error::Intermediate("another key or another name"));
        }
        let is_ca = own.basic_constraints().ok().flatten().is_some_and(|found| found.value.ca);
        let signed = own.issuer() == root.subject() && own.verify_signature(Some(root.public_key())).is_ok();
        if !is_ca || !signed || !is_self_signed(root_der)? || is_self_signed(own_der)? {
            return Err(Error::Intermediate("not signed by the root beside it"));
        }
        if read::not_after(own_der)? < now {
            return Err(Error::Intermediate("it has ended"));
        }
        let pem = |der: &[u8]| pem::encode_config(&pem::Pem::new("CERTIFICATE", der), LINE_END);
        if is_self_signed(&self.certificate)? {
            files::replace(&self.dir.join(SELF_SIGNED_FILE), self.certificate_pem.as_bytes(), 0o644)?;
        }
        files::replace(&self.dir.join(ROOT_FILE), pem(root_der).as_bytes(), 0o644)?;
        // Last: from this moment the CA is an intermediate.
        files::replace(&self.dir.join(CERTIFICATE_FILE), pem(own_der).as_bytes(), 0o644)
    }

    /// Revokes a certificate; when this returns, the revocation is on the disk. Revoking twice is harmless, the first
    /// time and reason stand. Servers learn of it from their store, others from [`Self::crl_pem`].
    pub fn revoke(&self, serial: &str, reason: Reason, now: Timestamp) -> Result<(), Error> {
        self.register.append_revoked(serial, Revocation { at: whole_second(now)?, reason })
    }

    /// Every certificate ever issued, oldest first.
    pub fn list(&self) -> Result<Vec<Entry>, Error> {
        Ok(self.register.read()?.entries)
    }

    /// The signed list of revoked certificates (RFC 5280), good for 24 hours, published for others. Certificates stay
    /// on it after they expired. PEM.
    pub fn crl_pem(&self, now: Timestamp) -> Result<String, Error> {
        Ok(self.crl(&[], now)?.pem()?)
    }

    /// The same in DER, also left in `crl.der` of the folder. `also` are serial numbers whose revocation the register does not
    /// know: of certificates issued by another process with the same key.
    pub fn publish_crl(&self, also: &[(String, Revocation)], now: Timestamp) -> Result<Vec<u8>, Error> {
        let der = self.crl(also, now)?.der().to_vec();
        files::replace(&self.dir.join(LIST_FILE), &der, 0o644)?;
        Ok(der)
    }

    fn crl(&self, also: &[(String, Revocation)], now: Timestamp) -> Result<CertificateRevocationList, Error> {
        let mut revoked: BTreeMap<String, Revocation> = also.iter().cloned().collect();
        revoked.extend(self.list()?.into_iter().filter_map(|entry| Some((entry.serial, entry.revoked?))));
        let mut revoked_certs = Vec::with_capacity(revoked.len());
        for (serial, revocation) in revoked {
            revoked_certs.push(RevokedCertParams {
                serial_number: serial_number(&serial),
                revocation_time: date_time(revocation.at)?,
                reason_code: Some(reason_code(revocation.reason)),
                invalidity_date: None,
            });
        }
        let list = CertificateRevocationListParams {
            this_update: date_time(now)?,
            next_update: date_time(now.checked_add(CRL_LIFE).map_err(|_| Error::Time)?)?,
            // Increases with time, which is all RFC 5280 §5.2.3 asks.
            crl_number: SerialNumber::from(now.as_second().unsigned_abs()),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer()?)?)
    }

    fn issuer(&self) -> Result<Issuer<'_, &Key>, Error> {
        Ok(Issuer::from_ca_cert_der(&self.certificate, &self.key)?)
    }

    /// The one place where the CA's key is used on a certificate: sign, record durably, then hand out.
    fn sign(&self, purpose: Purpose, key: &impl PublicKeyData, days: u32, now: Timestamp) -> Result<Signed, Error> {
        let not_after = add_days(now, days)?;
        if not_after > self.not_after {
            return Err(Error::BeyondCa { wanted: not_after, ca_ends: self.not_after });
        }
        let serial = random_serial()?;
        let mut params = leaf_params(&purpose)?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.not_before = date_time(now.checked_sub(CLOCK_ALLOWANCE).map_err(|_| Error::Time)?)?;
        params.not_after = date_time(not_after)?;
        let certificate = params.signed_by(key, &self.issuer()?)?;
        let entry = Entry {
            serial: read::hex(&serial),
            fingerprint: read::fingerprint(certificate.der()),
            purpose,
            issued_at: whole_second(now)?,
            not_after,
            revoked: None,
        };
        self.register.append_issued(&entry)?;
        let Entry { serial, fingerprint, not_after, .. } = entry;
        Ok(Signed { cert_pem: certificate.pem() + &self.chain, fingerprint, serial, not_after })
    }
}

impl Drop for Ca {
    fn drop(&mut self) {
        if let Key::File(key) = &mut self.key {
            key.zeroize();
        }
    }
}

/// The authority's key: from its file, or in a token.
enum Key {
    File(Box<KeyPair>),
    Token(TokenKey),
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        match self {
            Self::File(key) => key.der_bytes(),
            Self::Token(key) => key.der_bytes(),
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self {
            Self::File(key) => PublicKeyData::algorithm(&**key),
            Self::Token(key) => key.algorithm(),
        }
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match self {
            Self::File(key) => key.sign(message),
            Self::Token(key) => key.sign(message),
        }
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").field("dir", &self.dir).field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl fmt::Debug for Issued {
    /// Without the private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("serial", &self.serial)
            .field("fingerprint", &self.fingerprint)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl Signed {
    fn with_key(self, key: &KeyPair) -> Issued {
        let Self { cert_pem, fingerprint, serial, not_after } = self;
        Issued { cert_pem, key_pem: key.serialize_pem(), fingerprint, serial, not_after }
    }
}

fn refuse_filled(dir: &Path) -> Result<(), Error> {
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::AlreadyThere(dir.to_owned()));
    }
    Ok(())
}

fn client_purpose(organization: Organization, terminal: &str) -> Result<Purpose, Error> {
    // 64 is the upper bound of a common name in X.520.
    let fits = (1..=64).contains(&terminal.chars().count()) && !terminal.chars().any(char::is_control);
    if !fits {
        return Err(Error::TerminalName(terminal.escape_default().to_string()));
    }
    Ok(Purpose::Client { organization, terminal: terminal.to_owned() })
}

fn server_name(name: &str) -> Result<String, Error> {
    match rustls::pki_types::ServerName::try_from(name) {
        Ok(_) => Ok(name.to_owned()),
        Err(_) => Err(Error::ServerName(name.escape_default().to_string())),
    }
}

const LINE_END: pem::EncodeConfig = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);

/// The text of the key file.
fn key_text(pkcs8: &[u8], passphrase: Option<&str>) -> Result<Zeroizing<String>, Error> {
    let pem = match passphrase {
        Some(passphrase) => {
            let sealed = sealed_key::encrypt_key(pkcs8, passphrase, sealed_key::KEY_FILE_ROUNDS)?;
            pem::Pem::new(ENCRYPTED, sealed)
        }
        None => pem::Pem::new("PRIVATE KEY", pkcs8),
    };
    Ok(Zeroizing::new(pem::encode_config(&pem, LINE_END)))
}

fn read_key(text: &str, passphrase: Option<&str>) -> Result<KeyPair, Error> {
    let damaged = |error: pem::PemError| Error::Certificate(error.to_string());
    let pem = pem::parse(text).map_err(damaged)?;
    if pem.tag() != ENCRYPTED {
        return Ok(KeyPair::from_pem(text)?);
    }
    let plain = sealed_key::decrypt_key(pem.contents(), passphrase.ok_or(Error::KeyEncrypted)?)?;
    // A wrong passphrase may leave bytes that look right and are no key.
    KeyPair::try_from(plain.as_slice()).map_err(|_| Error::Passphrase)
}

fn is_self_signed(der: &[u8]) -> Result<bool, Error> {
    let certificate = read::parse(der)?;
    Ok(certificate.issuer() == certificate.subject() && certificate.verify_signature(None).is_ok())
}

fn name_of(der: &[u8]) -> Result<String, Error> {
    let certificate = read::parse(der)?;
    let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    name.map(str::to_owned).ok_or_else(|| Error::Certificate("without a common name".to_owned()))
}

fn authority(path_length: u8) -> (IsCa, Vec<KeyUsagePurpose>) {
    let constraints = BasicConstraints::Constrained(path_length);
    (IsCa::Ca(constraints), vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign])
}

pub(crate) fn ca_params(name: &str, days: u32, path_length: u8, now: Timestamp) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.is_ca, params.key_usages) = authority(path_length);
    params.serial_number = Some(SerialNumber::from_slice(&random_serial()?));
    valid_from(&mut params, now, days)?;
    Ok(params)
}

pub(crate) fn valid_from(params: &mut CertificateParams, now: Timestamp, days: u32) -> Result<(), Error> {
    params.not_before = date_time(now.checked_sub(CLOCK_ALLOWANCE).map_err(|_| Error::Time)?)?;
    params.not_after = date_time(add_days(now, days)?)?;
    Ok(())
}

fn leaf_params(purpose: &Purpose) -> Result<CertificateParams, Error> {
    let mut subject = DistinguishedName::new();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    match purpose {
        Purpose::Client { organization, terminal } => {
            subject.push(DnType::OrganizationName, read::organization_to_subject(organization));
            subject.push(DnType::CommonName, terminal.as_str());
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
        Purpose::Server { names } => {
            subject.push(DnType::CommonName, names.first().map_or("", String::as_str));
            params.subject_alt_names = CertificateParams::new(names.clone())?.subject_alt_names;
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        }
        Purpose::Authority { name } => {
            subject.push(DnType::CommonName, name.as_str());
            (params.is_ca, params.key_usages) = authority(0);
        }
    }
    params.distinguished_name = subject;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// 16 random bytes; the first is made non-zero and below 0x80 so that the number is positive and always 16 bytes long.
pub(crate) fn random_serial() -> Result<[u8; 16], Error> {
    let mut serial = [0u8; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| Error::Random)?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

/// Back from the register's hexadecimal text.
fn serial_number(hex: &str) -> SerialNumber {
    let bytes: Vec<u8> =
        (0..hex.len() / 2).filter_map(|i| u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()).collect();
    SerialNumber::from_slice(&bytes)
}

fn reason_code(reason: Reason) -> rcgen::RevocationReason {
    match reason {
        Reason::KeyCompromise => rcgen::RevocationReason::KeyCompromise,
        Reason::Superseded => rcgen::RevocationReason::Superseded,
        Reason::CessationOfOperation => rcgen::RevocationReason::CessationOfOperation,
        Reason::AffiliationChanged => rcgen::RevocationReason::AffiliationChanged,
        Reason::PrivilegeWithdrawn => rcgen::RevocationReason::PrivilegeWithdrawn,
        Reason::Unspecified => rcgen::RevocationReason::Unspecified,
    }
}

fn add_days(now: Timestamp, days: u32) -> Result<Timestamp, Error> {
    let end = now.checked_add(SignedDuration::from_hours(i64::from(days) * 24)).map_err(|_| Error::Time)?;
    whole_second(end)
}

/// Certificates know no fractions of a second.
fn whole_second(at: Timestamp) -> Result<Timestamp, Error> {
    Timestamp::from_second(at.as_second()).map_err(|_| Error::Time)
}

fn date_time(at: Timestamp) -> Result<OffsetDateTime, Error> {
    OffsetDateTime::from_unix_timestamp(at.as_second()).map_err(|_| Error::Time)
}
