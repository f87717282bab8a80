//! What the municipality does for its insured's door: one-time codes, and proxies accepted with a document and an end date (P-002, T-2),
//! and how a code is used.

use super::binding::new_code;
use super::blocks::{ProxyBlock, is_blocked, is_same_proxy};
use super::session::about;
use super::{AtPortal, entry_of_nobody};
use crate::{Caller, Context, Error, ItemFault, Platform, random_id};
use kiban_domain::{Date, PersonKey, Timestamp};
use kiban_store::{Entry, Outcome, PortalGrant, PortalRole};
use serde::{Deserialize, Serialize};

/// What the municipality accepted of a proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyAsk {
    /// 家族, 法定代理人 or 任意後見人: `family`, `legal`, `voluntary`.
    pub role: String,
    /// 氏名 as on the document the proxy was identified by.
    pub name: String,
    /// 生年月日
    pub birth: Date,
    /// 続柄・資格, such as 長女 or 成年後見人.
    pub relation: String,
    /// 書類の種類, such as 登記事項証明書.
    pub document: String,
    /// 書類の番号, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_number: Option<String>,
    /// 書類の日付
    pub document_date: Date,
    /// Last day on which the proxy may look.
    pub ends_on: Date,
}

/// A one-time code as it is handed over; it is told this once, and has no `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortalCode {
    /// Of the registration.
    pub id: String,
    /// Four groups of four letters and digits.
    pub code: String,
    /// Until when it can be used.
    pub code_until: Timestamp,
}

/// A registration, as the municipality and the person see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortalGrantView {
    /// Of the registration.
    pub id: String,
    /// `person`, `family`, `legal`, `voluntary`, `family_refused`, `blocked`.
    pub role: &'static str,
    /// The same in Japanese.
    pub role_name: &'static str,
    /// About a proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyAsk>,
    /// About a block of proxies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<ProxyBlock>,
    /// Whether a proxy sees nothing until the municipality has decided.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub blocked: bool,
    /// When it was made.
    pub made_at: Timestamp,
    /// Until when its one-time code can be used; absent once it was used, and when it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_until: Option<Timestamp>,
    /// Since when a log-in uses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_at: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Why: `person`, `municipality`, `replaced`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_for: Option<String>,
}

/// What the municipality's counter must know before it does anything for the door of an own insured.
#[derive(Debug, Clone)]
pub struct PortalDesk {
    /// Who it is, as [`Platform::view_identity`] tells it.
    pub person: serde_json::Value,
    /// 不開示: a code opens knowingly, and there is no proxy.
    pub withheld: bool,
    /// Every registration, ended ones too, in the order they were made.
    pub grants: Vec<PortalGrantView>,
    /// Years after which a proxy ends at the latest.
    pub proxy_years: i64,
}

const NO_FAMILY: &str = "ご本人が、家族には見せないと決めています。家族の登録はできません";
const PROXY_AND_WITHHELD: &str = "不開示の方には、代理の方を登録できません";

impl Platform {
    /// A one-time code for the person: hands the own door over to whoever uses it, so identity is checked before. A former code that was
    /// not used is good for nothing from then on.
    pub async fn issue_portal_code(
        &self,
        caller: &Caller,
        handle: &str,
        context: &Context,
    ) -> Result<PortalCode, Error> {
        let person = self.own_insured(caller, handle, context).await?;
        let case = self.case(caller, person, context).await?;
        let (mut grant, code) = self.new_grant(caller, person, PortalRole::Person, context).await?;
        grant.despite_withheld = case.stored.withheld;
        let mut tx = self.store().begin().await?;
        let before = tx.lock_portal_grants(person).await?;
        for old in before.iter().filter(|old| old.role == PortalRole::Person && old.bound.is_none()) {
            tx.end_portal_grant(old, "replaced", context.now).await?;
        }
        tx.put_portal_grant(&grant).await?;
        let entry = caller.entry_about(context, person, "portal.code", Outcome::Done);
        self.commit(tx, Entry { natural_key: Some(grant.id), ..entry }, &code, context).await?;
        Ok(code)
    }

    /// Accepts a proxy, and issues the one-time code with which the proxy's log-in becomes one.
    pub async fn register_proxy<E: From<Error>>(
        &self,
        caller: &Caller,
        handle: &str,
        ask: Result<ProxyAsk, E>,
        context: &Context,
    ) -> Result<PortalCode, E> {
        let person = self.own_insured(caller, handle, context).await?;
        Ok(self.put_proxy(caller, person, ask?, context).await?)
    }

    async fn put_proxy(
        &self,
        caller: &Caller,
        person: PersonKey,
        ask: ProxyAsk,
        context: &Context,
    ) -> Result<PortalCode, Error> {
        let role = self.check_proxy(&ask, context)?;
        let case = self.case(caller, person, context).await?;
        if case.stored.withheld {
            return Err(Error::Conflict(PROXY_AND_WITHHELD));
        }
        // What the person refused under a number before is seen here from now on, by the person too.
        self.carry_over(person, context).await?;
        let (mut grant, code) = self.new_grant(caller, person, role, context).await?;
        grant.ends_on = Some(ask.ends_on);
        grant.about = serde_json::to_vec(&ask).map_err(|error| Error::Internal(error.to_string()))?;
        let mut tx = self.store().begin().await?;
        let before = tx.lock_portal_grants(person).await?;
        if role == PortalRole::Family && before.iter().any(PortalGrant::is_refusal) {
            return Err(Error::Conflict(NO_FAMILY));
        }
        tx.put_portal_grant(&grant).await?;
        let entry = caller.entry_about(context, person, "proxy.register", Outcome::Done);
        self.commit(tx, Entry { natural_key: Some(grant.id), ..entry }, &code, context).await?;
        // And whom a municipality before blocked goes on being blocked.
        self.carry_over(person, context).await?;
        Ok(code)
    }

    fn check_proxy(&self, ask: &ProxyAsk, context: &Context) -> Result<PortalRole, Error> {
        let mut faults = Vec::new();
        let role = PortalRole::parse(&ask.role).filter(|role| role.is_proxy());
        if role.is_none() {
            faults.push(ItemFault::new(
                "role",
                "family（家族）・legal（法定代理人）・voluntary（任意後見人）から選んでください",
            ));
        }
        for (item, text, most) in
            [("name", &ask.name, 100), ("relation", &ask.relation, 50), ("document", &ask.document, 100)]
        {
            if text.trim().is_empty() || text.chars().count() > most {
                faults.push(ItemFault::new(item, format!("1文字以上{most}文字以内で入力してください")));
            }
        }
        if ask.document_date > context.today() {
            faults.push(ItemFault::new("document_date", "書類の日付が先の日です。書類を確かめてください"));
        }
        let years = self.inner.config.proxy_years;
        let last = context.today().saturating_add(jiff::Span::new().years(years));
        if ask.ends_on <= context.today() || ask.ends_on > last {
            faults.push(ItemFault::new("ends_on", format!("終わりの日は、明日から{years}年以内の日にしてください")));
        }
        match role {
            Some(role) if faults.is_empty() => Ok(role),
            _ => Err(Error::Invalid(faults)),
        }
    }

    async fn new_grant(
        &self,
        caller: &Caller,
        person: PersonKey,
        role: PortalRole,
        context: &Context,
    ) -> Result<(PortalGrant, PortalCode), Error> {
        let (id, code) = (random_id()?, new_code()?);
        let until = context.now + jiff::SignedDuration::from_hours(24 * self.inner.config.portal_code_days);
        let grant = PortalGrant {
            person,
            id: id.clone(),
            role,
            about: Vec::new(),
            code: Some((self.portal_code_digest(&code).await?, until)),
            despite_withheld: false,
            ends_on: None,
            made_by: caller.staff.id.0.clone(),
            made_at: context.now,
            bound: None,
            ended: None,
        };
        Ok((grant, PortalCode { id, code, code_until: until }))
    }

    /// The registrations of an own insured, ended ones too.
    pub async fn portal_grants(
        &self,
        caller: &Caller,
        handle: &str,
        context: &Context,
    ) -> Result<Vec<PortalGrantView>, Error> {
        let person = self.own_insured(caller, handle, context).await?;
        self.carry_over(person, context).await?;
        let grants = self.store().portal_grants(person).await?;
        self.store().audit().append(caller.entry_about(context, person, "portal.grants", Outcome::Allowed)).await?;
        Ok(PortalGrantView::all(&grants))
    }

    /// The same with who it is, for the counter.
    pub async fn portal_desk(&self, caller: &Caller, handle: &str, context: &Context) -> Result<PortalDesk, Error> {
        let grants = self.portal_grants(caller, handle, context).await?;
        let known = self.store().person(self.person_of(caller, handle).await?).await?;
        let person = self.view_identity(caller, handle, context).await?;
        let withheld = known.is_none_or(|(header, _)| header.withheld);
        Ok(PortalDesk { person, withheld, grants, proxy_years: i64::from(self.inner.config.proxy_years) })
    }

    /// Ends a registration of an own insured at once, also one whose code was not used.
    pub async fn end_portal_grant(
        &self,
        caller: &Caller,
        handle: &str,
        id: &str,
        context: &Context,
    ) -> Result<(), Error> {
        let person = self.own_insured(caller, handle, context).await?;
        let mut tx = self.store().begin().await?;
        let grants = tx.lock_portal_grants(person).await?;
        let grant = grants.iter().find(|grant| grant.id == id);
        // What the person refuses only the person allows again, and a block is lifted with a reason.
        let is_log_in = |grant: &&PortalGrant| grant.role.is_proxy() || grant.role == PortalRole::Person;
        let grant = grant.filter(is_log_in).ok_or(Error::Unknown)?.clone();
        tx.end_portal_grant(&grant, "municipality", context.now).await?;
        // Decided: there is nothing left to be blocked, unless the same proxy goes on by another registration.
        let goes_on = |other: &PortalGrant| {
            let is_live = other.role.is_proxy() && other.ended.is_none() && other.id != grant.id;
            is_live && is_same_proxy(&grant, other)
        };
        let registrations: Vec<&str> = match grants.iter().any(goes_on) {
            true => Vec::new(),
            false => grants.iter().filter(|one| is_same_proxy(&grant, one)).map(|one| one.id.as_str()).collect(),
        };
        let of_it = |block: Option<ProxyBlock>| {
            block.and_then(|block| block.registration).is_some_and(|only| registrations.contains(&only.as_str()))
        };
        for block in grants.iter().filter(|grant| ProxyBlock::of(grant).is_some_and(of_it)) {
            tx.end_portal_grant(block, "replaced", context.now).await?;
        }
        let entry = caller.entry_about(context, person, "portal.end", Outcome::Done);
        self.commit(tx, Entry { natural_key: Some(grant.id), ..entry }, &(), context).await
    }

    /// Uses a one-time code: whoever logged in becomes who it was issued for. Unknown, used, ended, of another day and made for somebody
    /// else are one answer; attempts are counted by log-in and day.
    pub async fn use_portal_code(&self, at: &AtPortal, typed: &str, context: &Context) -> Result<AtPortal, Error> {
        let subject = at.session.subject;
        let counted = [b"portal|codes|".as_slice(), &subject].concat();
        let counted = self.store().platform_keys().await?.digest(&counted);
        let found = self.store().portal_grant_of_code(&self.portal_code_digest(typed).await?).await?;
        let mut tx = self.store().begin().await?;
        let tries = tx.add_mismatch(&counted, context.today()).await?;
        let entry = entry_of_nobody(&at.network, "portal.bind", Outcome::Refused, context);
        if tries > self.inner.config.portal_code_tries {
            tx.commit(Entry { rule: Some("quota".to_owned()), ..entry }).await?;
            return Err(Error::TooMany(86_400));
        }
        let grant = match found {
            Some(grant) if self.fits_code(at, &grant, context).await? => grant,
            _ => {
                tx.commit(Entry { rule: Some("code".to_owned()), ..entry }).await?;
                return Err(Error::NotMatched);
            }
        };
        if !tx.bind_portal_grant(&grant, subject, context.now).await? {
            tx.commit(Entry { rule: Some("code".to_owned()), ..entry }).await?;
            return Err(Error::NotMatched);
        }
        tx.take_back_mismatch(&counted, context.today()).await?;
        if grant.role == PortalRole::Person {
            self.replace_own_grants(&mut tx, &grant, context).await?;
        } else {
            tx.lock_portal_grants(grant.person).await?;
        }
        let next = self.renew_portal(&mut tx, at, &grant, context).await?;
        tx.commit(about(&grant, Entry { outcome: Outcome::Done, ..entry })).await?;
        Ok(next)
    }

    /// Whether a code is good today and for this log-in: birth and sex are the insured's, or name and birth the proxy's.
    async fn fits_code(&self, at: &AtPortal, grant: &PortalGrant, context: &Context) -> Result<bool, Error> {
        let in_time = grant.code.is_some_and(|(_, until)| until >= context.now);
        if !in_time || grant.bound.is_some() || grant.ended.is_some() {
            return Ok(false);
        }
        let bound = PortalGrant { bound: Some((at.session.subject, context.now)), ..grant.clone() };
        if !self.is_usable(&bound, context).await? {
            return Ok(false);
        }
        if grant.role == PortalRole::Person {
            let Some((_, insured)) = self.store().person(grant.person).await? else { return Ok(false) };
            let known = Some((insured.identity.birth, insured.identity.sex));
            return Ok(self.birth_and_sex(known).await? == at.session.birth_and_sex);
        }
        let Some(proxy) = PortalGrantView::of(grant).proxy else { return Ok(false) };
        Ok(self.name_and_birth(Some((&proxy.name, proxy.birth))).await? == at.session.name_and_birth)
    }
}

impl PortalGrantView {
    /// All of a person, with who is blocked.
    pub(crate) fn all(grants: &[PortalGrant]) -> Vec<Self> {
        let view = |grant: &PortalGrant| {
            let blocked = grant.ended.is_none() && is_blocked(grant, grants);
            Self { blocked, ..Self::of(grant) }
        };
        grants.iter().map(view).collect()
    }

    pub(crate) fn of(grant: &PortalGrant) -> Self {
        Self {
            id: grant.id.clone(),
            role: grant.role.code(),
            role_name: grant.role.name_ja(),
            proxy: serde_json::from_slice(&grant.about).ok().filter(|_| grant.role.is_proxy()),
            block: serde_json::from_slice(&grant.about).ok().filter(|_| grant.role == PortalRole::Blocked),
            blocked: false,
            made_at: grant.made_at,
            code_until: grant.waiting_code(),
            bound_at: grant.bound.map(|(_, at)| at),
            ended_at: grant.ended.as_ref().map(|(at, _)| *at),
            ended_for: grant.ended.as_ref().map(|(_, why)| why.clone()),
        }
    }
}
