//! 電子証明書 of organisations (P-182, S-003, S-004): asked for, vouched for by two people, issued for a key that was made at
//! the organisation or handed over once, listed, revoked.
//!
//! What is asked for stands in the store before anything is signed; a process that holds the authority's key signs what is
//! approved. A certificate counts only by its row in the store, so one that was signed and not kept opens nothing.

use crate::caller::fingerprint_bytes;
use crate::notices::Tell;
use crate::{Caller, Context, Error, ItemFault, Platform, random, random_id};
use kiban_domain::notice::NoticeKind;
use kiban_domain::office::StaffId;
use kiban_domain::{OfficeNumber, Organization, Timestamp};
use kiban_pki::{Ca, Issued, Reason, pkcs12, requested_key};
use kiban_policy::{Rule, UseCase, Way};
use kiban_store::{CertificateRequest, CertificateRow, Entry, Outcome, Tx};
use serde::Serialize;
use std::sync::Arc;

/// Days for which a certificate is good.
const DAYS: u32 = 825;
/// Days after which an application that nobody approved, or whose 受取番号 nobody used, is over.
const APPLICATION_DAYS: i64 = 30;
/// Wrong 受取番号 that end an application.
const CODE_TRIES: i32 = 5;
/// Applications from one address in a day.
const APPLICATIONS_A_DAY: i32 = 20;
/// Applications that may wait at the same time.
const APPLICATIONS_OPEN: i64 = 2_000;

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct CertificateAsk {
    /// For whom; none means the caller's own organisation.
    pub organization: Option<Organization>,
    /// 端末名, 1 to 64 characters.
    pub terminal: String,
    /// For an unattended program.
    pub connector: bool,
    /// The request made where the key is, PEM; none asks for key and certificate in one file.
    pub csr: Option<String>,
    /// 連絡先 of the office for questions.
    pub contact: String,
}

/// An application as its applicant, or an operator, sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateApplication {
    /// 申込番号
    pub application: String,
    /// For whom.
    pub organization: Organization,
    /// 端末名
    pub terminal: String,
    /// For an unattended program.
    pub connector: bool,
    /// 確認番号: the beginning of the SHA-256 of the public key, which both sides compare by telephone.
    pub key_check: Option<String>,
    /// When it was made.
    pub made_at: Timestamp,
    /// `waiting`, `checked`, `approved`, `issued`, `refused`, `locked` or `expired`.
    pub state: &'static str,
    /// The same in Japanese.
    pub state_name: &'static str,
    /// What comes next, in Japanese.
    pub next: &'static str,
    /// Who vouched for it first; only for operators.
    pub checked_by: Option<StaffId>,
    /// Serial number of what was issued.
    pub serial: Option<String>,
    /// Its end.
    pub not_after: Option<Timestamp>,
    /// The certificate and what leads to the authority, PEM; only of a key made at the organisation.
    pub certificate: Option<String>,
}

/// What an operator's approval led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateApproval {
    /// The application as it is now.
    pub application: CertificateApplication,
    /// 受取番号, told once: to be read to the organisation over its registered telephone or sent to its registered address.
    pub code: Option<String>,
}

impl Platform {
    /// Gives this process the authority's key, so that it signs what is approved. Once; a second is not taken.
    pub fn seat_authority(&self, ca: Arc<Ca>) {
        let _ = self.inner.authority.set(ca);
    }

    pub(crate) fn authority(&self) -> Option<Arc<Ca>> {
        self.inner.authority.get().cloned()
    }

    /// An application from somebody who has no certificate yet. `network` is where it comes from.
    pub async fn apply_publicly<E: From<Error>>(
        &self,
        ask: Result<CertificateAsk, E>,
        network: &str,
        context: &Context,
    ) -> Result<CertificateApplication, E> {
        Ok(self.put_public_application(ask?, network, context).await?)
    }

    async fn put_public_application(
        &self,
        ask: CertificateAsk,
        network: &str,
        context: &Context,
    ) -> Result<CertificateApplication, Error> {
        let organization = match ask.organization {
            Some(organization @ (Organization::Office(_) | Organization::Municipality(_))) => organization,
            _ => {
                let text = "事業所番号・医療機関コード（10桁）か保険者番号（6桁）を入力してください";
                return Err(Error::item("organization", text));
            }
        };
        let request = new_request(organization, &ask, context)?;
        let subject = self.store().platform_keys().await?.digest(format!("certificate|{network}").as_bytes());
        let mut tx = self.store().begin().await?;
        let day = jiff::SignedDuration::from_hours(24).as_secs().unsigned_abs();
        let many = tx.add_mismatch(&subject, context.today()).await? > APPLICATIONS_A_DAY;
        if many || tx.open_certificate_requests(oldest(context)).await? >= APPLICATIONS_OPEN {
            return Err(Error::Quota("電子証明書の申込みが多すぎます", day));
        }
        self.enter_application(&mut tx, &request, &ask.contact, context).await?;
        let entry = Entry::new(context.now, &context.request_id, "public", "certificate.apply", Outcome::Done);
        tx.commit(Entry { source: Some(network.to_owned()), ..about(&request, entry) }).await?;
        view(&request, false)
    }

    /// An application by somebody who is logged in: an administrator for a further terminal of the own organisation, or an
    /// operator for anybody. Whoever makes it vouches for it.
    pub async fn apply_for_certificate<E: From<Error>>(
        &self,
        caller: &Caller,
        ask: Result<CertificateAsk, E>,
        context: &Context,
    ) -> Result<CertificateApplication, E> {
        self.require_certificates(caller, context).await?;
        Ok(self.put_application(caller, ask?, context).await?)
    }

    async fn put_application(
        &self,
        caller: &Caller,
        ask: CertificateAsk,
        context: &Context,
    ) -> Result<CertificateApplication, Error> {
        let organization = ask.organization.unwrap_or(caller.organization);
        if organization != caller.organization && caller.organization != Organization::Operator {
            return Err(Error::item("organization", "自らの機関の証明書だけを申し込めます"));
        }
        let mut request = new_request(organization, &ask, context)?;
        request.checked = Some((caller.staff.id.clone(), caller.peer.fingerprint.clone()));
        let answer = view(&request, false)?;
        let mut tx = self.store().begin().await?;
        self.enter_application(&mut tx, &request, &ask.contact, context).await?;
        let entry = about(&request, caller.entry(context, "certificate.apply", Outcome::Done));
        self.commit(tx, entry, &answer, context).await?;
        Ok(answer)
    }

    async fn enter_application(
        &self,
        tx: &mut Tx,
        request: &CertificateRequest,
        contact: &str,
        context: &Context,
    ) -> Result<(), Error> {
        tx.put_certificate_request(request).await?;
        let facts = serde_json::json!({
            "application": request.id,
            "organization": request.organization,
            "terminal": request.terminal,
            "connector": request.connector,
            "key_check": key_check(request),
            "contact": contact,
        });
        let (to, kind) = (Organization::Operator, NoticeKind::CertificateApplied);
        self.tell(tx, Tell { to, administrators: false, kind, about: None, facts, once: &request.id }, context).await
    }

    /// How an application stands. Whoever knows its number made it or was told.
    pub async fn certificate_application(&self, id: &str, context: &Context) -> Result<CertificateApplication, Error> {
        let request = self.store().certificate_request(id).await?.filter(|request| request.renews.is_none());
        let request = request.ok_or(Error::Unknown)?;
        let entry = Entry::new(context.now, &context.request_id, "public", "certificate.application", Outcome::Allowed);
        self.store().audit().append(about(&request, entry)).await?;
        view(&current(request, context), false)
    }

    /// Applications of the last thirty days, for operators; newest first.
    pub async fn certificate_applications(
        &self,
        caller: &Caller,
        context: &Context,
    ) -> Result<Vec<CertificateApplication>, Error> {
        self.require_certificate_operator(caller, context).await?;
        self.store().audit().append(caller.entry(context, "certificate.applications", Outcome::Allowed)).await?;
        let found = self.store().certificate_requests(oldest(context)).await?;
        let applied = found.into_iter().filter(|request| request.renews.is_none());
        applied.map(|request| view(&current(request, context), true)).collect()
    }

    /// An operator vouches for an application. The second of two people, over another certificate, approves it; what has its
    /// own key is issued at once, for the other a 受取番号 is made.
    pub async fn approve_certificate(
        &self,
        caller: &Caller,
        id: &str,
        context: &Context,
    ) -> Result<CertificateApproval, Error> {
        self.require_certificate_operator(caller, context).await?;
        let mut tx = self.store().begin().await?;
        let mut request = self.open_application(&mut tx, id, context).await?;
        if let Some(number) = request.organization.office()
            && !self.has_office(number, context).await?
        {
            return Err(Error::Conflict(
                "この事業所は登録されていないか、止められています。先に事業所を登録してください",
            ));
        }
        let mut code = None;
        let action = match &request.checked {
            None => {
                request.checked = Some((caller.staff.id.clone(), caller.peer.fingerprint.clone()));
                "certificate.check"
            }
            Some((by, over)) if *by == caller.staff.id || *over == caller.peer.fingerprint => {
                return Err(Error::Conflict("確かめた人とは別の運用者が、別の端末（電子証明書）から承認してください"));
            }
            Some(_) => {
                request.approved_by = Some(caller.staff.id.clone());
                if request.csr.is_none() {
                    let made = new_code()?;
                    request.code_digest = Some(self.code_digest(&request.id, &made).await?);
                    code = Some(made);
                }
                "certificate.approve"
            }
        };
        tx.put_certificate_request(&request).await?;
        let entry = about(&request, caller.entry(context, action, Outcome::Done));
        let answer = CertificateApproval { application: view(&request, true)?, code };
        self.commit(tx, entry, &answer, context).await?;
        match self.issue_approved(id, context).await? {
            Some(request) => Ok(CertificateApproval { application: view(&request, true)?, ..answer }),
            None => Ok(answer),
        }
    }

    /// Whether an office is registered and active, also when that was done a moment ago by another process.
    async fn has_office(&self, number: OfficeNumber, context: &Context) -> Result<bool, Error> {
        if self.standing().office(number).is_none() {
            self.refresh_standing(context.now).await?;
        }
        Ok(self.standing().office(number).is_some())
    }

    /// An operator turns an application down. One suffices.
    pub async fn refuse_certificate(&self, caller: &Caller, id: &str, context: &Context) -> Result<(), Error> {
        self.require_certificate_operator(caller, context).await?;
        let mut tx = self.store().begin().await?;
        let mut request = tx.hold_certificate_request(id).await?.ok_or(Error::Unknown)?;
        if request.issued.is_some() || request.closed.is_some() {
            return Err(Error::Conflict("この申込みはもう終わっています。発行した証明書は失効させてください"));
        }
        request.closed = Some((context.now, "refused".to_owned()));
        tx.put_certificate_request(&request).await?;
        let entry = about(&request, caller.entry(context, "certificate.refuse", Outcome::Done));
        self.commit(tx, entry, &(), context).await
    }

    /// An application that still waits for somebody to vouch for it, kept until the transaction ends.
    async fn open_application(&self, tx: &mut Tx, id: &str, context: &Context) -> Result<CertificateRequest, Error> {
        let request = tx.hold_certificate_request(id).await?.filter(|request| request.renews.is_none());
        let request = current(request.ok_or(Error::Unknown)?, context);
        match (&request.approved_by, &request.closed) {
            (None, None) => Ok(request),
            (Some(_), None) => Err(Error::Conflict("この申込みは承認済みです")),
            (_, Some(_)) => Err(Error::Conflict("この申込みは終わっています。もう一度申し込んでもらってください")),
        }
    }

    /// Signs an approved request for a key made elsewhere, if this process holds the authority's key. The request as it is
    /// then; `None` when nothing could be done here.
    pub(crate) async fn issue_approved(
        &self,
        id: &str,
        context: &Context,
    ) -> Result<Option<CertificateRequest>, Error> {
        let Some(ca) = self.authority() else { return Ok(None) };
        let mut tx = self.store().begin().await?;
        let request = tx.hold_certificate_request(id).await?.ok_or(Error::Unknown)?;
        let csr = request.csr.clone().filter(|_| request.approved_by.is_some() && request.closed.is_none());
        let Some(csr) = csr.filter(|_| request.issued.is_none()) else { return Ok(Some(request)) };
        let (organization, terminal, now) = (request.organization, request.terminal.clone(), context.now);
        let days = days_left(&ca, now);
        let signed = blocking(move || ca.issue_client_csr(&csr, organization, &terminal, days, now)).await?;
        let row = row_of(&request, &signed.fingerprint, &signed.serial, signed.not_after);
        let request = self.bind_issued(&mut tx, request, &row, signed.cert_pem).await?;
        let entry = Entry::new(context.now, &context.request_id, "server", "certificate.issue", Outcome::Done);
        tx.commit(about(&request, entry)).await?;
        self.refresh_standing(context.now).await?;
        Ok(Some(request))
    }

    /// Certificate, and program's right where it is one, into the store with the request they are of.
    async fn bind_issued(
        &self,
        tx: &mut Tx,
        mut request: CertificateRequest,
        row: &CertificateRow,
        pem: String,
    ) -> Result<CertificateRequest, Error> {
        tx.put_certificate(row).await?;
        if request.connector {
            tx.put_connector(&row.fingerprint, row.organization, request.made_at).await?;
            let standing = self.standing();
            let before = request.renews.as_deref().and_then(|old| standing.connector(old));
            if before.is_some_and(|(_, connector)| connector.may_export) {
                tx.allow_export(&row.fingerprint, true).await?;
            }
        }
        request.issued = Some((row.fingerprint.clone(), pem));
        tx.put_certificate_request(&request).await?;
        Ok(request)
    }

    /// Key and certificate in one encrypted file, made at this moment, for whoever knows the 受取番号, which is also the
    /// password of the file. The number is good once, and five wrong ones end the application.
    pub async fn pick_up_certificate<E: From<Error>>(
        &self,
        id: &str,
        code: Result<String, E>,
        network: &str,
        context: &Context,
    ) -> Result<Vec<u8>, E> {
        Ok(self.hand_over(id, &code?, network, context).await?)
    }

    async fn hand_over(&self, id: &str, code: &str, network: &str, context: &Context) -> Result<Vec<u8>, Error> {
        let ca = self.authority().ok_or_else(|| Error::Unavailable("no authority in this process".to_owned()))?;
        let digest = self.code_digest(id, &plain_code(code)).await?;
        let mut tx = self.store().begin().await?;
        let request = tx.hold_certificate_request(id).await?.ok_or(Error::Unknown)?;
        let request = current(request, context);
        let Some(wanted) = request.code_digest.clone() else {
            return Err(Error::Conflict("この申込みはまだ承認されていないか、受取番号のない申込みです"));
        };
        if request.issued.is_some() || request.closed.is_some() {
            return Err(Error::Conflict(
                "受取番号はもう使えません。受け取っていないときは運用者に連絡し、もう一度申し込んでください",
            ));
        }
        let entry = |request: &CertificateRequest, outcome| {
            let entry = Entry::new(context.now, &context.request_id, "public", "certificate.pick_up", outcome);
            Entry { source: Some(network.to_owned()), ..about(request, entry) }
        };
        if digest != wanted {
            let attempts = request.attempts + 1;
            let entry = Entry { rule: Some("wrong_code".to_owned()), ..entry(&request, Outcome::Refused) };
            let closed = (attempts >= CODE_TRIES).then(|| (context.now, "locked".to_owned()));
            tx.put_certificate_request(&CertificateRequest { attempts, closed, ..request }).await?;
            tx.commit(entry).await?;
            let text = format!("受取番号が違います。あと{}回違うと、この申込みは終わります", CODE_TRIES - attempts);
            return Err(Error::item("code", text));
        }
        let (organization, terminal, now) = (request.organization, request.terminal.clone(), context.now);
        let (days, password) = (days_left(&ca, now), plain_code(code));
        let (issued, file) = blocking(move || {
            let issued: Issued = ca.issue_client(organization, &terminal, days, now)?;
            let file = pkcs12::file(&issued, &format!("{organization} {terminal}"), &password)?;
            Ok((issued, file))
        })
        .await?;
        let row = row_of(&request, &issued.fingerprint, &issued.serial, issued.not_after);
        let request = self.bind_issued(&mut tx, request, &row, issued.cert_pem.clone()).await?;
        tx.commit(entry(&request, Outcome::Done)).await?;
        self.refresh_standing(context.now).await?;
        Ok(file)
    }

    async fn code_digest(&self, id: &str, code: &str) -> Result<String, Error> {
        let text = format!("certificate_code|{id}|{}", plain_code(code));
        let digest = self.store().platform_keys().await?.digest(text.as_bytes());
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// An operator at a screen.
    pub(crate) async fn require_certificate_operator(&self, caller: &Caller, context: &Context) -> Result<(), Error> {
        if caller.organization == Organization::Operator && caller.way == Way::Interactive {
            return Ok(());
        }
        self.store().audit().append(caller.entry(context, "certificate", Outcome::Refused)).await?;
        Err(Error::Unknown)
    }

    /// Somebody at a screen who answers for the certificates of the own organisation: its administrator, or any operator.
    pub(crate) async fn require_certificates(&self, caller: &Caller, context: &Context) -> Result<(), Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::Certificates, table)?;
        if caller.organization == Organization::Operator || caller.staff.administrator {
            return Ok(());
        }
        let rule = Rule::NotAdministrator;
        let refused = caller.entry(context, "certificate", Outcome::Refused);
        self.store().audit().append(Entry { rule: Some(rule.code().to_owned()), ..refused }).await?;
        Err(Error::rule(rule, table))
    }
}

/// Runs what waits for the disk, or counts for long, beside the others.
pub(crate) async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, kiban_pki::Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(act).await.map_err(|error| Error::Internal(error.to_string()))?;
    done.map_err(from_pki)
}

pub(crate) fn from_pki(error: kiban_pki::Error) -> Error {
    use kiban_pki::Error as Pki;
    match error {
        Pki::Request(_) => Error::item("csr", error.message_ja()),
        Pki::TerminalName(_) => Error::item("terminal", error.message_ja()),
        Pki::File { .. } => Error::Unavailable(error.to_string()),
        other => Error::Internal(other.to_string()),
    }
}

/// Whether something was handed in long enough ago to be over.
fn oldest(context: &Context) -> Timestamp {
    context.now - jiff::SignedDuration::from_hours(24 * APPLICATION_DAYS)
}

/// The request as it counts at this moment: one that nobody ended in time is over.
pub(crate) fn current(mut request: CertificateRequest, context: &Context) -> CertificateRequest {
    let waits_for_signature = request.approved_by.is_some() && request.csr.is_some();
    if request.issued.is_none() && request.closed.is_none() && !waits_for_signature && request.made_at < oldest(context)
    {
        request.closed = Some((oldest(context), "expired".to_owned()));
    }
    request
}

fn new_request(
    organization: Organization,
    ask: &CertificateAsk,
    context: &Context,
) -> Result<CertificateRequest, Error> {
    let mut faults = Vec::new();
    let terminal = ask.terminal.trim();
    if !(1..=64).contains(&terminal.chars().count()) || terminal.chars().any(char::is_control) {
        faults.push(ItemFault::new("terminal", "端末名は1〜64文字で入力してください（人の名前は使わないでください）"));
    }
    let contact = ask.contact.trim();
    if !(1..=200).contains(&contact.chars().count()) || contact.chars().any(char::is_control) {
        faults.push(ItemFault::new(
            "contact",
            "事業所の連絡先（電話番号かメールアドレス）を200文字以内で入力してください",
        ));
    }
    if ask.connector && !matches!(organization, Organization::Municipality(_) | Organization::Office(_)) {
        faults.push(ItemFault::new("connector", "接続プログラムの証明書は、市区町村か医療機関に発行します"));
    }
    let key = ask.csr.as_deref().map(requested_key).transpose();
    let key_digest = match key {
        Ok(key) => key.map(|key| key.digest),
        Err(error) => {
            faults.push(ItemFault::new("csr", error.message_ja()));
            None
        }
    };
    if !faults.is_empty() {
        return Err(Error::Invalid(faults));
    }
    Ok(CertificateRequest {
        id: random_id()?,
        organization,
        terminal: terminal.to_owned(),
        connector: ask.connector,
        csr: ask.csr.clone(),
        key_digest,
        renews: None,
        made_at: context.now,
        checked: None,
        approved_by: None,
        code_digest: None,
        attempts: 0,
        closed: None,
        issued: None,
    })
}

pub(crate) fn row_of(
    request: &CertificateRequest,
    fingerprint: &str,
    serial: &str,
    not_after: Timestamp,
) -> CertificateRow {
    CertificateRow {
        fingerprint: fingerprint.to_owned(),
        organization: request.organization,
        terminal: request.terminal.clone(),
        serial: serial.to_owned(),
        not_after,
        revoked_at: None,
        revoked_for: None,
    }
}

/// Not beyond the authority's own end.
fn days_left(ca: &Ca, now: Timestamp) -> u32 {
    let days = (ca.not_after().as_second() - now.as_second()) / 86_400;
    u32::try_from(days).unwrap_or(0).min(DAYS)
}

/// The entry of an act on a request.
pub(crate) fn about(request: &CertificateRequest, entry: Entry) -> Entry {
    let detail = serde_json::json!({
        "organization": request.organization,
        "terminal": request.terminal,
        "connector": request.connector,
        "issued": request.issued.as_ref().map(|(fingerprint, _)| fingerprint),
        "renews": request.renews,
    });
    let certificate = entry.certificate.or_else(|| {
        let (fingerprint, _) = request.issued.as_ref()?;
        fingerprint_bytes(fingerprint)
    });
    Entry { natural_key: Some(request.id.clone()), detail: Some(detail.to_string()), certificate, ..entry }
}

/// 80 bits in four groups; letters and digits that nobody takes for one another.
fn new_code() -> Result<String, Error> {
    const SIGNS: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
    let bytes: [u8; 16] = random()?;
    let signs: Vec<char> = bytes.iter().map(|byte| char::from(SIGNS[usize::from(byte & 31)])).collect();
    Ok(signs.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-"))
}

/// However it was typed: groups of four capital letters and digits.
fn plain_code(typed: &str) -> String {
    let signs: Vec<char> = typed.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
    signs.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

fn key_check(request: &CertificateRequest) -> Option<String> {
    let digest = request.key_digest.as_deref()?.get(..20)?.to_ascii_uppercase();
    let groups: Vec<_> = (0..5).filter_map(|i| digest.get(4 * i..4 * i + 4)).collect();
    Some(groups.join("-"))
}

pub(crate) fn view(request: &CertificateRequest, for_operator: bool) -> Result<CertificateApplication, Error> {
    let (state, state_name, next) = state_of(request);
    let chain = request.issued.as_ref().map(|(_, pem)| kiban_pki::tls::certificates(pem)).transpose();
    let chain = chain.map_err(|error| Error::Internal(error.to_string()))?;
    let own = chain.as_ref().and_then(|chain| chain.first());
    let not_after = own.map(|der| kiban_pki::not_after(der)).transpose();
    Ok(CertificateApplication {
        application: request.id.clone(),
        organization: request.organization,
        terminal: request.terminal.clone(),
        connector: request.connector,
        key_check: key_check(request),
        made_at: request.made_at,
        state,
        state_name,
        next,
        checked_by: request.checked.as_ref().filter(|_| for_operator).map(|(by, _)| by.clone()),
        serial: own.and_then(|der| kiban_pki::serial_of(der)),
        not_after: not_after.map_err(|error| Error::Internal(error.to_string()))?,
        certificate: request.issued.as_ref().filter(|_| request.csr.is_some()).map(|(_, pem)| pem.clone()),
    })
}

fn state_of(request: &CertificateRequest) -> (&'static str, &'static str, &'static str) {
    let closed = request.closed.as_ref().map(|(_, why)| why.as_str());
    match (closed, &request.issued, &request.approved_by, &request.checked) {
        (Some("locked"), ..) => ("locked", "受取番号の誤りで終了", "運用者に連絡し、もう一度申し込んでください"),
        (Some("expired"), ..) => ("expired", "期限切れで終了", "もう一度申し込んでください"),
        (Some(_), ..) => ("refused", "不承認", "理由を運用者に確かめ、必要であればもう一度申し込んでください"),
        (None, Some(_), ..) if request.csr.is_none() => {
            ("issued", "受取り済み", "受け取ったファイルを受取番号で開き、端末に入れてください")
        }
        (None, Some(_), ..) => ("issued", "発行済み", "certificate を保存し、秘密鍵と組にして端末に入れてください"),
        (None, None, Some(_), _) if request.csr.is_none() => {
            ("approved", "承認済み・受取り待ち", "運用者から受け取った受取番号で、証明書のファイルを受け取ってください")
        }
        (None, None, Some(_), _) => ("approved", "承認済み・発行待ち", "しばらくしてから、もう一度確かめてください"),
        (None, None, None, Some(_)) => ("checked", "確認済み・承認待ち", "運用者の承認をお待ちください"),
        (None, None, None, None) => {
            ("waiting", "確認待ち", "運用者が登録の電話番号に連絡します。確認番号を手元に用意してください")
        }
    }
}

/// The word of a reason, checked.
pub(crate) fn reason_of(word: &str) -> Result<Reason, Error> {
    // Both ways of writing are in use: `key_compromise` and `key-compromise`.
    Reason::parse(&word.replace('_', "-")).ok_or_else(|| {
        let words = Reason::ALL.map(Reason::as_str).join("、");
        Error::item("reason", format!("理由は次のどれかにしてください: {words}"))
    })
}
