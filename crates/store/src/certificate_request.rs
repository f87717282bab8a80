//! 電子証明書の申込み, from asking to issue, and the list of revoked certificates for others (P-182).

use crate::door::Door;
use crate::engine::{Row, args};
use crate::error::readable;
use crate::office::instant;
use crate::{Keyring, Store, StoreError, Tx};
use kiban_domain::office::StaffId;
use kiban_domain::{Organization, Timestamp};

const PUT: &str = "INSERT INTO certificate_request (request_id, organization, terminal, connector, csr, key_digest, renews, made_at, checked_by, checked_over,
       approved_by, code_digest, attempts, closed_at, closed_for, fingerprint, certificate, mac)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
     ON CONFLICT (request_id) DO UPDATE SET checked_by = excluded.checked_by, checked_over = excluded.checked_over,
       approved_by = excluded.approved_by, code_digest = excluded.code_digest, attempts = excluded.attempts,
       closed_at = excluded.closed_at, closed_for = excluded.closed_for, fingerprint = excluded.fingerprint,
       certificate = excluded.certificate, mac = excluded.mac
     WHERE certificate_request.fingerprint IS NULL";
const ONE: &str = "SELECT request_id, organization, terminal, connector, csr, key_digest, renews, made_at, checked_by, checked_over, approved_by,
       code_digest, attempts, closed_at, closed_for, fingerprint, certificate, mac
     FROM certificate_request WHERE request_id = $1";
/// Holds the row until the transaction ends, on either engine.
const HOLD: &str = "UPDATE certificate_request SET attempts = attempts WHERE request_id = $1
     RETURNING request_id, organization, terminal, connector, csr, key_digest, renews, made_at, checked_by, checked_over, approved_by,
       code_digest, attempts, closed_at, closed_for, fingerprint, certificate, mac";
const SINCE: &str = "SELECT request_id, organization, terminal, connector, csr, key_digest, renews, made_at, checked_by, checked_over, approved_by,
       code_digest, attempts, closed_at, closed_for, fingerprint, certificate, mac
     FROM certificate_request WHERE made_at >= $1 ORDER BY made_at DESC, request_id";
const RENEWING: &str = "SELECT request_id, organization, terminal, connector, csr, key_digest, renews, made_at, checked_by, checked_over, approved_by,
       code_digest, attempts, closed_at, closed_for, fingerprint, certificate, mac
     FROM certificate_request WHERE renews = $1 ORDER BY made_at, request_id";
const OPEN: &str =
    "SELECT COUNT(*) FROM certificate_request WHERE made_at >= $1 AND closed_at IS NULL AND fingerprint IS NULL";
const PUT_LIST: &str = "INSERT INTO revocation_list (issuer, made_at, der) VALUES ($1, $2, $3)
     ON CONFLICT (issuer) DO UPDATE SET made_at = excluded.made_at, der = excluded.der WHERE revocation_list.made_at < excluded.made_at";
const NEWEST_LIST: &str = "SELECT issuer, made_at, der FROM revocation_list ORDER BY made_at DESC LIMIT 1";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, ONE, HOLD, SINCE, RENEWING, OPEN, PUT_LIST, NEWEST_LIST];

/// A request for a certificate and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    /// 申込番号: 128 random bits, hexadecimal.
    pub id: String,
    /// For whom.
    pub organization: Organization,
    /// 端末名
    pub terminal: String,
    /// For an unattended program.
    pub connector: bool,
    /// The request made where the key is, PEM; none when key and certificate are handed over together.
    pub csr: Option<String>,
    /// SHA-256 of its public key, hexadecimal.
    pub key_digest: Option<String>,
    /// Fingerprint of the certificate over which it was asked for: a renewal.
    pub renews: Option<String>,
    /// When it was asked for.
    pub made_at: Timestamp,
    /// The first person who vouches for it, and the certificate they came over.
    pub checked: Option<(StaffId, String)>,
    /// The second, of the operator; for a renewal whoever asked.
    pub approved_by: Option<StaffId>,
    /// Keyed digest of the 受取番号, hexadecimal.
    pub code_digest: Option<String>,
    /// Wrong 受取番号 so far.
    pub attempts: i32,
    /// Over without a certificate: when and why (`refused`, `locked`, `expired`).
    pub closed: Option<(Timestamp, String)>,
    /// What was issued: fingerprint, and PEM with what leads to the authority.
    pub issued: Option<(String, String)>,
}

impl Tx {
    /// Writes a request as it is now. What was asked for never changes, and once a certificate was issued nothing does.
    pub async fn put_certificate_request(&mut self, request: &CertificateRequest) -> Result<(), StoreError> {
        let organization = request.organization.to_string();
        let mac = door(request).mac(&self.keys);
        let (by, over) = request.checked.as_ref().map(|(by, over)| (by.0.as_str(), over.as_str())).unzip();
        let (closed_at, closed_for) =
            request.closed.as_ref().map(|(at, why)| (at.as_microsecond(), why.as_str())).unzip();
        let (fingerprint, certificate) = request.issued.as_ref().map(|(f, pem)| (f.as_str(), pem.as_str())).unzip();
        let changed = self
            .raw
            .run(
                PUT,
                args![
                    &request.id,
                    &organization,
                    &request.terminal,
                    request.connector,
                    request.csr.as_deref(),
                    request.key_digest.as_deref(),
                    request.renews.as_deref(),
                    request.made_at.as_microsecond(),
                    by,
                    over,
                    request.approved_by.as_ref().map(|by| by.0.as_str()),
                    request.code_digest.as_deref(),
                    request.attempts,
                    closed_at,
                    closed_for,
                    fingerprint,
                    certificate,
                    &mac
                ],
            )
            .await?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Conflict("the certificate was issued meanwhile")) }
    }

    /// A request, kept from everybody else until the transaction ends; `None` also when its MAC fails.
    pub async fn hold_certificate_request(&mut self, id: &str) -> Result<Option<CertificateRequest>, StoreError> {
        let rows = self.raw.rows(HOLD, args![id]).await?;
        rows.first().map(|row| request_row(&self.keys, row)).transpose().map(Option::flatten)
    }

    /// Requests made over a certificate, oldest first, as this transaction sees them.
    pub async fn renewals_of(&mut self, fingerprint: &str) -> Result<Vec<CertificateRequest>, StoreError> {
        let rows = self.raw.rows(RENEWING, args![fingerprint]).await?;
        let read = |row: &Row| readable("certificate_request", request_row(&self.keys, row)).transpose();
        rows.iter().filter_map(read).collect()
    }

    /// How many requests made since an instant still wait.
    pub async fn open_certificate_requests(&mut self, since: Timestamp) -> Result<i64, StoreError> {
        let rows = self.raw.rows(OPEN, args![since.as_microsecond()]).await?;
        rows.first().map_or(Ok(0), |row| row.big(0))
    }

    /// Keeps the newest list of revoked certificates of an authority; an older one changes nothing.
    pub async fn put_revocation_list(&mut self, issuer: &str, at: Timestamp, der: &[u8]) -> Result<(), StoreError> {
        self.raw.run(PUT_LIST, args![issuer, at.as_microsecond(), der]).await?;
        Ok(())
    }
}

impl Store {
    /// A request; `None` also when its MAC fails.
    pub async fn certificate_request(&self, id: &str) -> Result<Option<CertificateRequest>, StoreError> {
        let rows = self.engine.rows(ONE, args![id]).await?;
        rows.first().map(|row| request_row(&self.keys, row)).transpose().map(Option::flatten)
    }

    /// Requests made since an instant, newest first; rows whose MAC fails are left out.
    pub async fn certificate_requests(&self, since: Timestamp) -> Result<Vec<CertificateRequest>, StoreError> {
        let rows = self.engine.rows(SINCE, args![since.as_microsecond()]).await?;
        let read = |row: &Row| readable("certificate_request", request_row(&self.keys, row)).transpose();
        rows.iter().filter_map(read).collect()
    }

    /// The newest list of revoked certificates: SHA-256 of the authority's certificate, when it was signed, DER.
    pub async fn revocation_list(&self) -> Result<Option<(String, Timestamp, Vec<u8>)>, StoreError> {
        let rows = self.engine.rows(NEWEST_LIST, args![]).await?;
        rows.first().map(|row| Ok((row.text(0)?, instant(row.big(1)?)?, row.blob(2)?))).transpose()
    }
}

/// A row of [`ONE`]; `None` when its MAC fails.
fn request_row(keys: &Keyring, row: &Row) -> Result<Option<CertificateRequest>, StoreError> {
    const UNREADABLE: StoreError = StoreError::Unreadable("certificate_request");
    let pair = |a: Option<String>, b: Option<String>| a.zip(b);
    let closed = row.big_or_null(13)?.map(instant).transpose()?;
    let request = CertificateRequest {
        id: row.text(0)?,
        organization: Organization::parse(&row.text(1)?).map_err(|_| UNREADABLE)?,
        terminal: row.text(2)?,
        connector: row.boolean(3)?,
        csr: row.text_or_null(4)?,
        key_digest: row.text_or_null(5)?,
        renews: row.text_or_null(6)?,
        made_at: instant(row.big(7)?)?,
        checked: pair(row.text_or_null(8)?, row.text_or_null(9)?).map(|(by, over)| (StaffId(by), over)),
        approved_by: row.text_or_null(10)?.map(StaffId),
        code_digest: row.text_or_null(11)?,
        attempts: row.int(12)?,
        closed: closed.zip(row.text_or_null(14)?),
        issued: pair(row.text_or_null(15)?, row.text_or_null(16)?),
    };
    Ok(door(&request).fits(keys, &row.blob(17)?).then_some(request))
}

/// Everything is in it: who may write to the database gets no certificate by it, and no more attempts.
fn door(request: &CertificateRequest) -> Door {
    let (by, over) = request.checked.as_ref().map(|(by, over)| (by.0.as_str(), over.as_str())).unzip();
    let (closed_at, closed_for) = request.closed.as_ref().map(|(at, why)| (at.as_microsecond(), why.as_str())).unzip();
    let (fingerprint, certificate) = request.issued.as_ref().map(|(f, pem)| (f.as_str(), pem.as_str())).unzip();
    Door::new("certificate_request")
        .text(&request.id)
        .text(&request.organization.to_string())
        .text(&request.terminal)
        .flag(request.connector)
        .maybe_text(request.csr.as_deref())
        .maybe_text(request.key_digest.as_deref())
        .maybe_text(request.renews.as_deref())
        .number(request.made_at.as_microsecond())
        .maybe_text(by)
        .maybe_text(over)
        .maybe_text(request.approved_by.as_ref().map(|by| by.0.as_str()))
        .maybe_text(request.code_digest.as_deref())
        .number(request.attempts)
        .maybe_number(closed_at)
        .maybe_text(closed_for)
        .maybe_text(fingerprint)
        .maybe_text(certificate)
}
