//! Access and refresh tokens (P-164, RFC 8705, RFC 9700): a log-in lasts eight hours, its access token one. A refresh token
//! is good once, over the certificate of the log-in, and gives the next two tokens; the two before are good for nothing
//! then. One that comes a second time, or over another certificate, has leaked: the log-in ends, and the organisation is
//! told. A log-in keeps its way, so a program stays one (P-165).

use crate::accounts::log_in_entry;
use crate::notices::Tell;
use crate::{Context, Error, LoggedIn, Peer, Platform, random};
use kiban_domain::Organization;
use kiban_domain::notice::NoticeKind;
use kiban_domain::office::Staff;
use kiban_store::{Entry, Outcome, Session, Tokens, Tx};

/// P-164: an access token lasts 60 minutes.
pub(crate) const TOKEN_MINUTES: i64 = 60;
/// P-164: refresh tokens last until eight hours after the log-in.
pub(crate) const REFRESH_HOURS: i64 = 8;
/// Hexadecimal digits of the id of a log-in, with which a refresh token begins.
const ID_DIGITS: usize = 32;
/// Hexadecimal digits of a refresh token.
const REFRESH_DIGITS: usize = ID_DIGITS + 64;

/// Two fresh tokens of a log-in.
pub(crate) struct NewTokens {
    pub(crate) id: String,
    access: String,
    refresh: String,
}

impl NewTokens {
    /// Tokens for the log-in of this id.
    pub(crate) fn make(id: &str) -> Result<Self, Error> {
        Ok(Self { id: id.to_owned(), access: secret()?, refresh: format!("{id}{}", secret()?) })
    }

    pub(crate) fn tokens(&self) -> Tokens<'_> {
        Tokens { access: self.access.as_bytes(), refresh: self.refresh.as_bytes() }
    }

    /// What is handed out.
    pub(crate) fn logged_in(self, session: &Session, staff: Staff, organization: Organization) -> LoggedIn {
        LoggedIn {
            token: self.access,
            expires_at: session.expires_at,
            refresh_token: self.refresh,
            refresh_until: session.refresh_until,
            staff,
            organization,
            must_change_password: false,
            awaits_factor: false,
            mailed: None,
        }
    }
}

/// 256 random bits in hexadecimal.
fn secret() -> Result<String, Error> {
    let bytes: [u8; 32] = random()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The id of the log-in in a refresh token.
fn id_of(refresh_token: &str) -> Option<&str> {
    let fits = refresh_token.len() == REFRESH_DIGITS && refresh_token.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then(|| &refresh_token[..ID_DIGITS])
}

impl Platform {
    /// Takes a refresh token and gives the next two tokens. Certificate, account and office are checked as on every request.
    pub async fn refresh(&self, peer: &Peer, refresh_token: &str, context: &Context) -> Result<LoggedIn, Error> {
        let organization = self.organization_in_standing(peer, context).await?;
        let session = match id_of(refresh_token) {
            Some(id) => self.store().session_of_id(organization, id).await?,
            None => None,
        };
        let open = session.filter(|session| {
            session.ended_at.is_none() && !session.awaits_factor && session.refresh_until > context.now
        });
        let session = open.ok_or(Error::Unauthenticated("login_required"))?;
        if session.fingerprint != peer.fingerprint {
            let tx = self.store().begin().await?;
            return Err(self.end_leaked(tx, peer, (organization, &session), "binding", context).await?);
        }
        let account = self.standing().account(&session.staff).filter(|account| account.active).cloned();
        let account = account.ok_or(Error::Unauthenticated("login_required"))?;
        self.office_in_standing(organization, context)?;
        self.renew(peer, (organization, &session), refresh_token, account.staff, context).await
    }

    async fn renew(
        &self,
        peer: &Peer,
        (organization, session): (Organization, &Session),
        refresh_token: &str,
        staff: Staff,
        context: &Context,
    ) -> Result<LoggedIn, Error> {
        let new = NewTokens::make(&session.id)?;
        let hour = context.now + jiff::SignedDuration::from_mins(TOKEN_MINUTES);
        let session = Session { expires_at: hour.min(session.refresh_until), ..session.clone() };
        let mut tx = self.store().begin().await?;
        // Disabled since it was looked up: no log-in outlives the act.
        if !tx.hold_account(&session.staff).await?.is_some_and(|account| account.active) {
            return Err(Error::Unauthenticated("login_required"));
        }
        // Of two at the same moment the database lets one through; the other is a second use.
        let replaced = tx.renew_session(organization, refresh_token.as_bytes(), new.tokens(), &session).await?;
        let Some(replaced) = replaced else {
            return Err(self.end_leaked(tx, peer, (organization, &session), "refresh_reused", context).await?);
        };
        let entry = log_in_entry(peer, organization, Some(&session.staff), "session.refresh", Outcome::Done, context);
        let committed = tx.commit(entry).await;
        self.inner.sessions.forget(&(organization, replaced));
        committed?;
        let must_change_password = self.has_initial_password(&session.staff);
        Ok(LoggedIn { must_change_password, ..new.logged_in(&session, staff, organization) })
    }

    /// Ends the log-in of a refresh token that somebody else has too, tells its organisation, and gives the refusal.
    async fn end_leaked(
        &self,
        mut tx: Tx,
        peer: &Peer,
        (organization, session): (Organization, &Session),
        code: &'static str,
        context: &Context,
    ) -> Result<Error, Error> {
        let ended = tx.end_session(organization, &session.id, context.now).await?;
        if ended.is_some() {
            let facts = serde_json::json!({
                "staff": session.staff, "software": session.software, "source": peer.source, "reason": code,
            });
            let kind = NoticeKind::RefreshReused;
            let tell = Tell { to: organization, administrators: true, kind, about: None, facts, once: "" };
            self.tell(&mut tx, tell, context).await?;
        }
        let entry =
            log_in_entry(peer, organization, Some(&session.staff), "session.refresh", Outcome::Refused, context);
        let committed = tx.commit(Entry { rule: Some(code.to_owned()), ..entry }).await;
        if let Some(access) = ended {
            self.inner.sessions.forget(&(organization, access));
        }
        committed?;
        Ok(Error::Unauthenticated(code))
    }
}
