//! 電子証明書 in use: the own list, renewal over the one in use, revocation, the list of revoked ones for others, and warnings
//! before the end (P-182, S-003, S-004).

use crate::certificates::{CertificateApplication, about, blocking, current, from_pki, reason_of, view};
use crate::notices::Tell;
use crate::{Caller, Context, Error, Platform};
use kiban_domain::notice::NoticeKind;
use kiban_domain::{Organization, Timestamp, dates};
use kiban_pki::{Ca, Reason, Revocation, requested_key};
use kiban_policy::{UseCase, Way};
use kiban_store::{CertificateRequest, CertificateRow, Entry, NewNotice, Outcome, Tx};
use serde::Serialize;
use std::collections::HashSet;
use std::sync::Arc;

/// Days before its end from which a certificate is renewed.
pub const RENEWAL_DAYS: i64 = 60;
/// Days before its end at which its organisation is warned; at the last also the operator.
const WARNINGS: [i64; 3] = [60, 30, 7];
/// Certificates renewed over one: an answer may be lost, a key may be lost.
const RENEWALS: usize = 3;
/// Hours after which the list of revoked certificates is signed anew; it is good for 24.
const LIST_HOURS: i64 = 6;

/// A certificate in the list of its organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateLine {
    /// シリアル番号, hexadecimal.
    pub serial: String,
    /// Whose it is.
    pub organization: Organization,
    /// 端末名
    pub terminal: String,
    /// Of an unattended program.
    pub connector: bool,
    /// Last second at which it is good.
    pub not_after: Timestamp,
    /// From when it can be renewed over itself.
    pub renewable_from: Timestamp,
    /// `good`, `ending` (within 60 days), `expired` or `revoked`.
    pub state: &'static str,
    /// The same in Japanese.
    pub state_name: &'static str,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Why, in the words of RFC 5280.
    pub revoked_for: Option<String>,
    /// Whether this request came over it.
    pub own: bool,
}

/// The certificates of an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateLines {
    /// Whose they are.
    pub organization: Organization,
    /// 事業所名, if it is a registered office.
    pub name: Option<String>,
    /// Newest end first.
    pub certificates: Vec<CertificateLine>,
}

/// Why a certificate is revoked, and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationAsk {
    /// In the words of RFC 5280, with `-` or `_`.
    pub reason: String,
    /// Those renewed over it too; unless said, always but for `superseded`.
    pub with_renewed: Option<bool>,
}

impl Platform {
    /// The certificates of the own organisation; an operator may ask for those of another (P-211, P-220).
    pub async fn certificates<E: From<Error>>(
        &self,
        caller: &Caller,
        wanted: Result<Option<Organization>, E>,
        context: &Context,
    ) -> Result<CertificateLines, E> {
        caller.require_way(UseCase::Certificates, self.table_at(context.now)?)?;
        let organization = wanted?.unwrap_or(caller.organization);
        Ok(self.list_certificates(caller, organization, context).await?)
    }

    async fn list_certificates(
        &self,
        caller: &Caller,
        organization: Organization,
        context: &Context,
    ) -> Result<CertificateLines, Error> {
        let allowed = organization == caller.organization || caller.organization == Organization::Operator;
        let outcome = if allowed { Outcome::Allowed } else { Outcome::Refused };
        let entry = caller.entry(context, "certificates", outcome);
        self.store().audit().append(Entry { natural_key: Some(organization.to_string()), ..entry }).await?;
        if !allowed {
            return Err(Error::Unknown);
        }
        let standing = self.standing();
        let mut certificates: Vec<_> = standing
            .certificates_of(organization)
            .map(|row| {
                let connector = standing.connector(&row.fingerprint).is_some();
                line(row, connector, row.fingerprint == caller.peer.fingerprint, context.now)
            })
            .collect();
        certificates.sort_by(|a, b| (b.not_after, &a.serial).cmp(&(a.not_after, &b.serial)));
        let name = organization.office().and_then(|number| standing.office(number)).map(|office| office.name.clone());
        Ok(CertificateLines { organization, name, certificates })
    }

    /// A new certificate over the one in use, for a new key; the old one stays good until its own end. `key_in_use` is the
    /// SHA-256 of the public key of the connection. The same request again is answered with the same certificate.
    pub async fn renew_certificate<E: From<Error>>(
        &self,
        caller: &Caller,
        csr: Result<String, E>,
        key_in_use: &str,
        context: &Context,
    ) -> Result<CertificateApplication, E> {
        caller.require_way(UseCase::RenewCertificate, self.table_at(context.now)?)?;
        let request = self.put_renewal(caller, &csr?, key_in_use, context).await?;
        let request = self.issue_approved(&request.id, context).await?.unwrap_or(request);
        Ok(view(&request, false)?)
    }

    async fn put_renewal(
        &self,
        caller: &Caller,
        csr: &str,
        key_in_use: &str,
        context: &Context,
    ) -> Result<CertificateRequest, Error> {
        let standing = self.standing();
        let old =
            standing.certificate(&caller.peer.fingerprint).ok_or(Error::Unauthenticated("certificate_unknown"))?;
        let from = renewable_from(old.not_after);
        if context.now < from {
            let text = format!("更新できるのは期限の{RENEWAL_DAYS}日前（{}）からです", dates::day_in_japan(from));
            return Err(Error::item("certificate", text));
        }
        let key = requested_key(csr).map_err(from_pki)?;
        if key.digest == key_in_use {
            return Err(Error::item("csr", "使っている鍵では更新できません。新しい鍵を作ってください"));
        }
        let mut tx = self.store().begin().await?;
        let before = tx.renewals_of(&old.fingerprint).await?;
        if let Some(known) = before.iter().find(|request| request.key_digest.as_ref() == Some(&key.digest)) {
            return Ok(known.clone());
        }
        if before.len() >= RENEWALS {
            return Err(Error::Conflict(
                "この証明書からの更新は3回までです。新しい証明書を使うか、運用者に申し込んでください",
            ));
        }
        let request = CertificateRequest {
            // The same key over the same certificate is the same request, whichever server it reaches.
            id: self.renewal_id(&old.fingerprint, &key.digest).await?,
            organization: old.organization,
            terminal: old.terminal.clone(),
            connector: standing.connector(&old.fingerprint).is_some(),
            csr: Some(csr.to_owned()),
            key_digest: Some(key.digest),
            renews: Some(old.fingerprint.clone()),
            made_at: context.now,
            checked: Some((caller.staff.id.clone(), caller.peer.fingerprint.clone())),
            approved_by: Some(caller.staff.id.clone()),
            code_digest: None,
            attempts: 0,
            closed: None,
            issued: None,
        };
        tx.put_certificate_request(&request).await?;
        let facts = serde_json::json!({
            "application": request.id,
            "terminal": request.terminal,
            "connector": request.connector,
            "serial": old.serial,
            "staff": caller.staff.id,
        });
        let (to, kind) = (old.organization, NoticeKind::CertificateRenewed);
        let administrators = to != Organization::Operator;
        self.tell(&mut tx, Tell { to, administrators, kind, about: None, facts, once: &request.id }, context).await?;
        tx.commit(about(&request, caller.entry(context, "certificate.renew", Outcome::Done))).await?;
        Ok(request)
    }

    async fn renewal_id(&self, fingerprint: &str, key: &str) -> Result<String, Error> {
        let text = format!("certificate_renewal|{fingerprint}|{key}");
        let digest = self.store().platform_keys().await?.digest(text.as_bytes());
        Ok(digest[..16].iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Revokes a certificate of the own organisation (a lost terminal), or as an operator any. One person suffices to close a
    /// door. Felt on open connections at the next request, on every server within two seconds. What was renewed over it goes with
    /// it: whoever has the terminal may have renewed it. Not where the reason is that a newer one took its place, or where asked
    /// otherwise (`with_renewed`).
    pub async fn revoke_as<E: From<Error>>(
        &self,
        caller: &Caller,
        serial: &str,
        why: Result<RevocationAsk, E>,
        context: &Context,
    ) -> Result<(), E> {
        self.require_certificates(caller, context).await?;
        let row = self.certificate_row(serial).await?;
        let may = row.organization == caller.organization
            || (caller.organization == Organization::Operator && caller.way == Way::Interactive);
        if !may {
            let entry = caller.entry(context, "certificate.revoke", Outcome::Refused);
            self.store().audit().append(entry).await.map_err(Error::from)?;
            return Err(Error::Unknown.into());
        }
        let entry = caller.entry(context, "certificate.revoke", Outcome::Done);
        self.put_revocation(row, &why?, entry, context).await?;
        Ok(())
    }

    /// Revokes a certificate from the operator's command line; the serial numbers of all that are revoked now.
    pub async fn revoke_certificate(
        &self,
        serial: &str,
        why: &RevocationAsk,
        context: &Context,
    ) -> Result<Vec<String>, Error> {
        let row = self.certificate_row(serial).await?;
        let entry = Entry::new(context.now, &context.request_id, "cli", "certificate.revoke", Outcome::Done);
        let entry = Entry { organization: Some("operator".to_owned()), ..entry };
        self.put_revocation(row, why, entry, context).await
    }

    async fn certificate_row(&self, serial: &str) -> Result<CertificateRow, Error> {
        self.store().certificates().await?.into_iter().find(|row| row.serial == serial).ok_or(Error::Unknown)
    }

    async fn put_revocation(
        &self,
        row: CertificateRow,
        why: &RevocationAsk,
        entry: Entry,
        context: &Context,
    ) -> Result<Vec<String>, Error> {
        let reason = reason_of(&why.reason)?;
        let with_renewed = why.with_renewed.unwrap_or(reason != Reason::Superseded);
        let (serial, organization) = (row.serial.clone(), row.organization);
        let mut tx = self.store().begin().await?;
        let rows = if with_renewed { self.renewed_from(&mut tx, row, context).await? } else { vec![row] };
        let serials: Vec<String> = rows.iter().map(|row| row.serial.clone()).collect();
        for mut row in rows {
            // The first time and reason stand.
            if row.revoked_at.is_none() {
                (row.revoked_at, row.revoked_for) = (Some(context.now), Some(reason.as_str().to_owned()));
            }
            tx.put_certificate(&row).await?;
        }
        let detail = serde_json::json!({
            "serial": serial,
            "organization": organization,
            "reason": reason.as_str(),
            "renewed": &serials[1..],
        });
        self.commit(tx, Entry { detail: Some(detail.to_string()), ..entry }, &(), context).await?;
        self.refresh_standing(context.now).await?;
        // The door is shut; the list for others follows, at the latest within a minute.
        if let Err(error) = self.publish_revocations(&context.without_key()).await {
            tracing::error!(%error, "the list of revoked certificates was not signed anew");
        }
        Ok(serials)
    }

    /// A certificate and all that were renewed over it, and over those. What was asked for and not issued yet is closed.
    async fn renewed_from(
        &self,
        tx: &mut Tx,
        row: CertificateRow,
        context: &Context,
    ) -> Result<Vec<CertificateRow>, Error> {
        let known = self.store().certificates().await?;
        let (mut rows, mut at) = (vec![row], 0);
        while let Some(fingerprint) = rows.get(at).map(|row| row.fingerprint.clone()) {
            at += 1;
            for request in tx.renewals_of(&fingerprint).await? {
                let request = tx.hold_certificate_request(&request.id).await?.unwrap_or(request);
                match &request.issued {
                    Some((issued, _)) => {
                        let next = known.iter().find(|row| row.fingerprint == *issued);
                        rows.extend(
                            next.filter(|next| !rows.iter().any(|row| row.fingerprint == next.fingerprint)).cloned(),
                        );
                    }
                    None if request.closed.is_none() => {
                        let closed = Some((context.now, "refused".to_owned()));
                        tx.put_certificate_request(&CertificateRequest { closed, ..request }).await?;
                    }
                    None => {}
                }
            }
        }
        Ok(rows)
    }

    /// The newest list of revoked certificates, DER (RFC 5280).
    pub async fn revocation_list(&self) -> Result<Vec<u8>, Error> {
        self.store().revocation_list().await?.map(|(_, _, der)| der).ok_or(Error::Unknown)
    }

    /// What a process with the authority's key does each minute: signs what was approved where there was none, and the list
    /// of revoked certificates when something was revoked or the list is six hours old.
    pub async fn tend_certificates(&self, context: &Context) -> Result<(), Error> {
        if self.authority().is_none() {
            return Ok(());
        }
        let since = context.now - jiff::SignedDuration::from_hours(24 * RENEWAL_DAYS);
        for request in self.store().certificate_requests(since).await? {
            let request = current(request, context);
            let waits = request.csr.is_some() && request.approved_by.is_some();
            if waits && request.closed.is_none() && request.issued.is_none() {
                self.issue_approved(&request.id, context).await?;
            }
        }
        self.publish_revocations(context).await
    }

    async fn publish_revocations(&self, context: &Context) -> Result<(), Error> {
        let Some(ca) = self.authority() else { return Ok(()) };
        let issuer = kiban_pki::fingerprint(ca.certificate_der());
        let mut revoked = self.store().certificates().await?;
        revoked.retain(|row| row.revoked_at.is_some());
        let old = context.now - jiff::SignedDuration::from_hours(LIST_HOURS);
        if let Some((by, at, _)) = self.store().revocation_list().await?
            && by == issuer
            && at > old
            && revoked.iter().all(|row| row.revoked_at < Some(at))
        {
            return Ok(());
        }
        let now = context.now;
        let der = blocking(move || sign_list(&ca, &revoked, now)).await?;
        let mut tx = self.store().begin().await?;
        tx.put_revocation_list(&issuer, now, &der).await?;
        let entry = Entry::new(now, &context.request_id, "server", "certificate.publish_list", Outcome::Done);
        Ok(tx.commit(entry).await?)
    }

    /// Warns organisations whose certificate ends within 60, 30 and 7 days and has no successor. Called every hour.
    pub(crate) async fn warn_of_ending_certificates(&self, context: &Context) -> Result<(), Error> {
        let standing = self.standing();
        let mut tx = self.store().begin().await?;
        let mut told = Vec::new();
        for row in standing.certificates() {
            let Some(stage) = stage_of(row, context.now) else { continue };
            let later = |other: &CertificateRow| {
                other.terminal == row.terminal && other.not_after > row.not_after && other.revoked_at.is_none()
            };
            if standing.certificates_of(row.organization).any(later) {
                continue;
            }
            let operator = (stage == WARNINGS[2]).then_some(Organization::Operator);
            let addressees = [Some(row.organization), operator.filter(|operator| *operator != row.organization)];
            for to in addressees.into_iter().flatten() {
                if tx.put_notice(&self.warning(row, stage, to, context).await?).await? {
                    told.push(serde_json::json!({ "serial": row.serial, "days": stage, "to": to }));
                }
            }
        }
        if told.is_empty() {
            return Ok(());
        }
        let detail = serde_json::Value::from(told).to_string();
        let entry = Entry::new(context.now, &context.request_id, "server", "certificate.warn", Outcome::Done);
        Ok(tx.commit(Entry { detail: Some(detail), ..entry }).await?)
    }

    async fn warning(
        &self,
        row: &CertificateRow,
        stage: i64,
        to: Organization,
        context: &Context,
    ) -> Result<NewNotice, Error> {
        let text = format!("certificate_ending|{to}|{}|{stage}", row.fingerprint);
        let digest = self.store().platform_keys().await?.digest(text.as_bytes());
        let facts = serde_json::json!({
            "organization": row.organization,
            "terminal": row.terminal,
            "serial": row.serial,
            "not_after": row.not_after,
            "days": stage,
        });
        Ok(NewNotice {
            id: digest[..16].iter().map(|byte| format!("{byte:02x}")).collect(),
            to,
            administrators: to.office().is_some(),
            kind: NoticeKind::CertificateEnding,
            raised_at: context.now,
            about: None,
            facts: facts.to_string().into_bytes(),
        })
    }
}

/// What the store knows to be revoked into the authority's own register, then the list of both.
fn sign_list(ca: &Arc<Ca>, rows: &[CertificateRow], now: Timestamp) -> Result<Vec<u8>, kiban_pki::Error> {
    let live: HashSet<_> = ca.list()?.into_iter().filter(|entry| entry.revoked.is_none()).map(|e| e.serial).collect();
    let mut revoked = Vec::with_capacity(rows.len());
    for row in rows {
        let reason = row.revoked_for.as_deref().and_then(Reason::parse).unwrap_or(Reason::Unspecified);
        let at = row.revoked_at.unwrap_or(now);
        if live.contains(&row.serial) {
            ca.revoke(&row.serial, reason, at)?;
        }
        revoked.push((row.serial.clone(), Revocation { at, reason }));
    }
    ca.publish_crl(&revoked, now)
}

fn renewable_from(not_after: Timestamp) -> Timestamp {
    not_after - jiff::SignedDuration::from_hours(24 * RENEWAL_DAYS)
}

/// The warning that is due, if any: the last stage that was reached.
fn stage_of(row: &CertificateRow, now: Timestamp) -> Option<i64> {
    if row.revoked_at.is_some() || row.not_after <= now {
        return None;
    }
    let reached = |days: &i64| now >= row.not_after - jiff::SignedDuration::from_hours(24 * days);
    WARNINGS.into_iter().rev().find(reached)
}

fn line(row: &CertificateRow, connector: bool, own: bool, now: Timestamp) -> CertificateLine {
    let renewable_from = renewable_from(row.not_after);
    let (state, state_name) = match row.revoked_at {
        Some(_) => ("revoked", "失効"),
        None if row.not_after <= now => ("expired", "期限切れ"),
        None if renewable_from <= now => ("ending", "更新の時期"),
        None => ("good", "有効"),
    };
    CertificateLine {
        serial: row.serial.clone(),
        organization: row.organization,
        terminal: row.terminal.clone(),
        connector,
        not_after: row.not_after,
        renewable_from,
        state,
        state_name,
        revoked_at: row.revoked_at,
        revoked_for: row.revoked_for.clone(),
        own,
    }
}
