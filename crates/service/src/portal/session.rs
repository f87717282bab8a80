//! Log-ins at the person's door: opened after the provider's answer was checked, over after fifteen minutes without a request, and for
//! one person's information at a time (P-001, P-002, S-013, T-31).
//!
//! What the browser keeps is the token, when it was last used, and a keyed digest of both, written anew with every answer: so no
//! request has to write to the database, and a text of yesterday opens nothing.

use super::attempt::{PersonClaims, hex};
use super::blocks::{is_blocked, is_kept_out};
use super::{Looking, entry_of_nobody};
use crate::{Context, Error, Platform, random};
use kiban_domain::{InsurerNumber, Timestamp};
use kiban_store::{Entry, Outcome, PortalGrant, PortalRole, PortalSession, Tx};
use std::sync::Arc;

/// Somebody logged in at the person's door. No `Debug`: the token opens the door.
#[derive(Clone)]
pub struct AtPortal {
    pub(crate) token: String,
    pub(crate) session: Arc<PortalSession>,
    pub(crate) network: String,
}

/// What comes after a log-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortalNext {
    /// The one person's pages.
    Own,
    /// 「どなたの情報を見ますか」
    Choose,
    /// Nobody's: the municipality's one-time code is asked for. Where the address lies in a municipality that has not started, its
    /// number (P-150).
    Code(Option<InsurerNumber>),
}

/// Somebody whose information may be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalChoice {
    /// Of the registration.
    pub id: String,
    /// 氏名 of the person.
    pub name: String,
    /// 本人, 家族, 法定代理人, 任意後見人
    pub role: &'static str,
    /// Whether it is the one who logged in.
    pub own: bool,
}

const ENDED_MEANWHILE: &str = "登録が変わりました。もう一度ログインしてください";

impl Platform {
    /// Opens a log-in for somebody the provider named. The first time the 基本4情報 are looked for; after that the registration is known.
    /// A log-in whose cookie came along, `former`, is over with it.
    pub async fn open_portal_session(
        &self,
        claims: &PersonClaims,
        former: Option<&str>,
        network: &str,
        context: &Context,
    ) -> Result<(AtPortal, PortalNext), Error> {
        let digests = self.digests_of(claims).await?;
        let mut grants = self.usable_grants(&digests.subject, context).await?;
        let (mut fresh, mut reason) = (None, None);
        if !grants.iter().any(|grant| grant.role == PortalRole::Person) {
            match self.grant_by_four_items(claims, digests.subject, context).await? {
                Ok(grant) => {
                    grants.insert(0, grant.clone());
                    fresh = Some(grant);
                }
                Err(why) => reason = Some(why),
            }
        }
        let session = PortalSession {
            subject: digests.subject,
            birth_and_sex: digests.birth_and_sex,
            name_and_birth: digests.name_and_birth,
            whose: match &grants[..] {
                [only] if only.role == PortalRole::Person => Some((only.person, only.id.clone())),
                _ => None,
            },
            opened_at: context.now,
            ends_at: context.now + jiff::SignedDuration::from_mins(self.inner.config.portal_log_in_minutes),
            ended_at: None,
        };
        let next = match (&session.whose, grants.is_empty()) {
            (Some(_), _) => PortalNext::Own,
            (None, false) => PortalNext::Choose,
            (None, true) => PortalNext::Code(self.city_not_started(claims, context).await?),
        };
        let former = self.at_portal(former, network, context).await.ok();
        let mut tx = self.store().begin().await?;
        let token = new_token()?;
        tx.put_portal_session(token.as_bytes(), &session).await?;
        if let Some(former) = &former {
            tx.end_portal_session(former.token.as_bytes(), &former.session, context.now).await?;
        }
        let entry = entry_of_nobody(network, "portal.login", Outcome::Done, context);
        let entry = match (&fresh, &grants[..]) {
            (Some(grant), _) => {
                if !self.replace_own_grants(&mut tx, grant, context).await? {
                    return Err(Error::Conflict(ENDED_MEANWHILE));
                }
                tx.put_portal_grant(grant).await?;
                about(grant, Entry { action: "portal.bind".to_owned(), ..entry })
            }
            (None, [only]) if session.whose.is_some() => about(only, entry),
            _ => Entry { rule: reason.map(str::to_owned), ..entry },
        };
        tx.commit(entry).await?;
        Ok((AtPortal { token, session: Arc::new(session), network: network.to_owned() }, next))
    }

    /// The registrations a log-in may use today.
    pub(crate) async fn usable_grants(&self, subject: &[u8; 32], context: &Context) -> Result<Vec<PortalGrant>, Error> {
        let mut usable = Vec::new();
        for grant in self.store().portal_grants_of(subject).await? {
            if self.is_usable(&grant, context).await? {
                usable.push(grant);
            }
        }
        Ok(usable)
    }

    /// Whether somebody may look by a registration: live, the person still insured here under this number, and where 不開示 is set, issued
    /// by the municipality that knew it; a proxy is suspended then (P-037, T-1 b). Family also only while the person does not refuse it,
    /// whichever was written first (P-002); no proxy while the municipality decides about it (T-2).
    pub(crate) async fn is_usable(&self, grant: &PortalGrant, context: &Context) -> Result<bool, Error> {
        if !grant.is_live(context.today()) {
            return Ok(false);
        }
        let Some((header, insured)) = self.store().person(grant.person).await? else { return Ok(false) };
        if grant.role.is_proxy() && is_kept_out(grant, &self.grants_with_carried(grant.person, context).await?) {
            return Ok(false);
        }
        let despite = grant.role == PortalRole::Person && grant.despite_withheld;
        Ok((!header.withheld || despite) && self.is_present_number(grant.person, &insured, context).await?)
    }

    /// Ends the other live registrations of the person for themselves, those of log-ins at the same moment too. False when one made by
    /// the 基本4情報 needs a code instead.
    pub(crate) async fn replace_own_grants(
        &self,
        tx: &mut Tx,
        grant: &PortalGrant,
        context: &Context,
    ) -> Result<bool, Error> {
        let all = tx.lock_portal_grants(grant.person).await?;
        if grant.code.is_none() && all.iter().any(|former| needs_code(former, grant)) {
            return Ok(false);
        }
        let is_other = |other: &&PortalGrant| {
            other.role == PortalRole::Person && other.ended.is_none() && other.bound.is_some() && other.id != grant.id
        };
        for other in all.iter().filter(is_other) {
            tx.end_portal_grant(other, "replaced", context.now).await?;
        }
        Ok(true)
    }

    /// What the browser keeps of a log-in that is being used at this moment.
    pub async fn portal_cookie(&self, at: &AtPortal, context: &Context) -> Result<String, Error> {
        let seen = format!("{:x}", context.now.as_second());
        let mac = self.seen_mac(&at.token, &seen).await?;
        Ok(format!("{}.{seen}.{mac}", at.token))
    }

    async fn seen_mac(&self, token: &str, seen: &str) -> Result<String, Error> {
        let keys = self.store().platform_keys().await?;
        Ok(hex(&keys.digest(format!("portal|seen|{token}|{seen}").as_bytes())))
    }

    /// Who is behind a cookie: the log-in is open, and was used within the last fifteen minutes.
    pub async fn at_portal(&self, cookie: Option<&str>, network: &str, context: &Context) -> Result<AtPortal, Error> {
        const NOBODY: Error = Error::Unauthenticated("person_session");
        let parts: Vec<&str> = cookie.unwrap_or_default().split('.').collect();
        let [token, seen, mac] = parts[..] else { return Err(NOBODY) };
        let last = i64::from_str_radix(seen, 16).map_err(|_| NOBODY)?;
        let idle = context.now.as_second().saturating_sub(last);
        if token.len() != 64
            || idle > self.inner.config.portal_idle_minutes * 60
            || mac != self.seen_mac(token, seen).await?
        {
            return Err(NOBODY);
        }
        let session = self.store().portal_session(token.as_bytes()).await?;
        let session = session.filter(|s| s.ended_at.is_none() && s.ends_at > context.now).ok_or(NOBODY)?;
        Ok(AtPortal { token: token.to_owned(), session: Arc::new(session), network: network.to_owned() })
    }

    /// The one whose information is being looked at; checked with every request.
    pub async fn looking(&self, at: &AtPortal, context: &Context) -> Result<Looking, Error> {
        let Some((person, id)) = &at.session.whose else { return Err(Error::Unauthenticated("person_choice")) };
        let grant = self.store().portal_grant(*person, id).await?;
        let grant = grant.filter(|grant| grant.bound.is_some_and(|(subject, _)| subject == at.session.subject));
        match grant {
            Some(grant) if self.is_usable(&grant, context).await? => Ok(at.looking(grant)),
            grant => {
                self.carry_over(*person, context).await?;
                let all = self.store().portal_grants(*person).await?;
                let is_blocked = grant.is_some_and(|grant| is_blocked(&grant, &all));
                let rule = if is_blocked { "proxy_blocked" } else { "proxy_not_live" };
                let entry = entry_of_nobody(&at.network, "portal.suspended", Outcome::Refused, context);
                let entry = Entry {
                    insurer: Some(person.insurer.to_string()),
                    insured: Some(person.insured.to_string()),
                    rule: Some(rule.to_owned()),
                    ..entry
                };
                self.store().audit().append(entry).await?;
                Err(Error::Unauthenticated("person_choice"))
            }
        }
    }

    /// Whose information there is to choose from, the own first.
    pub async fn portal_choices(&self, at: &AtPortal, context: &Context) -> Result<Vec<PortalChoice>, Error> {
        let mut choices = Vec::new();
        for grant in self.usable_grants(&at.session.subject, context).await? {
            let looking = at.looking(grant);
            let name = self.name_of(&looking, context).await?;
            let role = looking.grant.role;
            let own = role == PortalRole::Person;
            choices.push(PortalChoice { id: looking.grant.id.clone(), name, role: role.name_ja(), own });
        }
        choices.sort_by_key(|choice| !choice.own);
        if choices.is_empty() {
            self.store()
                .audit()
                .append(entry_of_nobody(&at.network, "portal.choices", Outcome::Allowed, context))
                .await?;
        }
        Ok(choices)
    }

    /// Looks at one of them: a log-in of its own, so that a text kept from before opens nobody else's.
    pub async fn choose_portal(&self, at: &AtPortal, id: &str, context: &Context) -> Result<AtPortal, Error> {
        let grants = self.usable_grants(&at.session.subject, context).await?;
        let Some(grant) = grants.into_iter().find(|grant| grant.id == id) else {
            let entry = entry_of_nobody(&at.network, "portal.choose", Outcome::Refused, context);
            self.store().audit().append(entry).await?;
            return Err(Error::Unknown);
        };
        let entry = about(&grant, entry_of_nobody(&at.network, "portal.choose", Outcome::Done, context));
        self.look_by(at, &grant, entry, context).await
    }

    pub(crate) async fn look_by(
        &self,
        at: &AtPortal,
        grant: &PortalGrant,
        entry: Entry,
        context: &Context,
    ) -> Result<AtPortal, Error> {
        let mut tx = self.store().begin().await?;
        let next = self.renew_portal(&mut tx, at, grant, context).await?;
        tx.commit(entry).await?;
        Ok(next)
    }

    /// In a running transaction: the log-in goes on under a new token, for this registration.
    pub(crate) async fn renew_portal(
        &self,
        tx: &mut Tx,
        at: &AtPortal,
        grant: &PortalGrant,
        context: &Context,
    ) -> Result<AtPortal, Error> {
        let session = PortalSession { whose: Some((grant.person, grant.id.clone())), ..(*at.session).clone() };
        let token = new_token()?;
        tx.end_portal_session(at.token.as_bytes(), &at.session, context.now).await?;
        tx.put_portal_session(token.as_bytes(), &session).await?;
        Ok(AtPortal { token, session: Arc::new(session), network: at.network.clone() })
    }

    /// Ends a log-in.
    pub async fn close_portal(&self, at: &AtPortal, context: &Context) -> Result<(), Error> {
        let mut tx = self.store().begin().await?;
        tx.end_portal_session(at.token.as_bytes(), &at.session, context.now).await?;
        Ok(tx.commit(entry_of_nobody(&at.network, "portal.logout", Outcome::Done, context)).await?)
    }
}

impl AtPortal {
    fn looking(&self, grant: PortalGrant) -> Looking {
        Looking { network: self.network.clone(), since: self.session.opened_at, grant }
    }

    /// Stands in every form of this log-in and nowhere else.
    pub fn form_secret(&self) -> &str {
        &self.token
    }

    /// The last instant of the log-in.
    pub fn ends_at(&self) -> Timestamp {
        self.session.ends_at
    }
}

/// Whether a registration of the person that ended keeps the 基本4情報 from opening again: the municipality ended it, or another took
/// the place of this very log-in's.
pub(crate) fn needs_code(former: &PortalGrant, grant: &PortalGrant) -> bool {
    let same_log_in = former.bound.map(|(subject, _)| subject) == grant.bound.map(|(subject, _)| subject);
    former.role == PortalRole::Person
        && former.ended.as_ref().is_some_and(|(_, why)| why == "municipality" || (why == "replaced" && same_log_in))
}

fn new_token() -> Result<String, Error> {
    Ok(hex(&random::<32>()?))
}

/// The same entry about the person of a registration, by who is registered.
pub(crate) fn about(grant: &PortalGrant, entry: Entry) -> Entry {
    Entry {
        insurer: Some(grant.person.insurer.to_string()),
        insured: Some(grant.person.insured.to_string()),
        staff: Some(super::who(grant)),
        ..entry
    }
}
