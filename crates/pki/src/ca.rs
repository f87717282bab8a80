//! The operator's own certification authority (P-182): a folder with `ca.key`, `ca.pem` and `register.tsv`.
//!
//! Keys are ECDSA P-256: understood by every browser, operating system and TPM in use at offices. The clock is always
//! an argument. No function here logs, and nothing here prints a private key.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use kiban_domain::Organization;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, RevokedCertParams,
    SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;
use zeroize::{Zeroize, Zeroizing};

use crate::register::Register;
use crate::{Entry, Error, Purpose, Reason, Revocation, csr, files, read};

const KEY_FILE: &str = "ca.key";
const CERTIFICATE_FILE: &str = "ca.pem";
const REGISTER_FILE: &str = "register.tsv";

/// Life of the CA certificate.
const CA_DAYS: u32 = 3650;
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
    key: KeyPair,
    register: Register,
    torn_line: Option<String>,
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
        if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Error::AlreadyThere(dir.to_owned()));
        }
        let key = KeyPair::generate()?;
        let certificate = ca_params(name, now)?.self_signed(&key)?;
        let half_made = files::beside(dir, ".half-made");
        if half_made.exists() {
            // Left by an earlier attempt that was killed; its key never signed anything.
            fs::remove_dir_all(&half_made).map_err(files::at(&half_made))?;
        }
        files::create_private_dir(&half_made)?;
        files::write_new(&half_made.join(KEY_FILE), &Zeroizing::new(key.serialize_pem()), 0o600)?;
        files::write_new(&half_made.join(CERTIFICATE_FILE), &certificate.pem(), 0o644)?;
        files::write_new(&half_made.join(REGISTER_FILE), "", 0o600)?;
        files::sync_dir(&half_made)?;
        fs::rename(&half_made, dir).map_err(files::at(dir))?;
        files::sync_dir(files::parent(dir))?;
        Self::open(dir)
    }

    /// Opens the CA in `dir`. Refuses a key that others may read, one that does not fit the certificate, and a
    /// damaged register.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let certificate_pem = files::read(&dir.join(CERTIFICATE_FILE))?;
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|e| Error::Certificate(e.to_string()))?;
        let key = KeyPair::from_pem(&files::read_private(&dir.join(KEY_FILE))?)?;
        if key.subject_public_key_info() != read::parse(&certificate)?.public_key().raw {
            return Err(Error::KeyMismatch);
        }
        let register = Register::at(dir.join(REGISTER_FILE));
        Ok(Self {
            dir: dir.to_owned(),
            not_after: read::not_after(&certificate)?,
            key,
            torn_line: register.read()?.torn_line,
            certificate_pem,
            certificate,
            register,
        })
    }

    /// The private key, PKCS #8 DER, to be split into shares and nothing else.
    pub fn secret(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.key.serialize_der())
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

    /// The CA's own certificate: what servers and terminals trust.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The same in DER.
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
        let key = csr::public_key(csr_pem)?;
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
    /// on it after they expired.
    pub fn crl_pem(&self, now: Timestamp) -> Result<String, Error> {
        let mut revoked_certs = Vec::new();
        for entry in self.list()? {
            if let Some(revocation) = entry.revoked {
                revoked_certs.push(RevokedCertParams {
                    serial_number: serial_number(&entry.serial),
                    revocation_time: date_time(revocation.at)?,
                    reason_code: Some(reason_code(revocation.reason)),
                    invalidity_date: None,
                });
            }
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
        Ok(list.signed_by(&self.issuer()?)?.pem()?)
    }

    fn issuer(&self) -> Result<Issuer<'_, &KeyPair>, Error> {
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
        Ok(Signed { cert_pem: certificate.pem(), fingerprint, serial, not_after })
    }
}

impl Drop for Ca {
    fn drop(&mut self) {
        self.key.zeroize();
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

fn ca_params(name: &str, now: Timestamp) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(SerialNumber::from_slice(&random_serial()?));
    params.not_before = date_time(now.checked_sub(CLOCK_ALLOWANCE).map_err(|_| Error::Time)?)?;
    params.not_after = date_time(add_days(now, CA_DAYS)?)?;
    Ok(params)
}

fn leaf_params(purpose: &Purpose) -> Result<CertificateParams, Error> {
    let mut subject = DistinguishedName::new();
    let mut params = CertificateParams::default();
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
    }
    params.distinguished_name = subject;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// 16 random bytes; the first is made non-zero and below 0x80 so that the number is positive and always 16 bytes long.
fn random_serial() -> Result<[u8; 16], Error> {
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
