//! Proxies who dispute (T-2): until the municipality has decided, one of them or all see nothing. The person goes on seeing everything,
//! and nothing is lost: the block is lifted, or a proxy is ended.

use super::grants::PortalGrantView;
use crate::{Caller, Context, Error, ItemFault, Platform, random_id};
use kiban_domain::insured::normalize_kanji;
use kiban_domain::{Date, PersonKey};
use kiban_store::{Entry, Outcome, PortalGrant, PortalRole};
use serde::{Deserialize, Serialize};

/// Why somebody sees nothing for the time being.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyBlock {
    /// The proxy's registration; absent: every proxy, also one registered meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<String>,
    /// What happened.
    pub reason: String,
    /// 書類の種類, such as 申立書の写し.
    pub document: String,
    /// 書類の日付
    pub document_date: Date,
}

/// A block that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockMade {
    /// Of the block.
    pub id: String,
}

const BLOCKED_ALREADY: &str = "すでに止めています。一覧で確かめてください";

impl ProxyBlock {
    /// What a live block says; one that cannot be read blocks every proxy.
    pub(crate) fn of(grant: &PortalGrant) -> Option<Option<Self>> {
        let is_live = grant.role == PortalRole::Blocked && grant.ended.is_none();
        is_live.then(|| serde_json::from_slice(&grant.about).ok())
    }

    fn grant(&self, person: PersonKey, made_by: &str, context: &Context) -> Result<PortalGrant, Error> {
        Ok(PortalGrant {
            person,
            id: random_id()?,
            role: PortalRole::Blocked,
            about: serde_json::to_vec(self).map_err(|error| Error::Internal(error.to_string()))?,
            code: None,
            despite_withheld: false,
            ends_on: None,
            made_by: made_by.to_owned(),
            made_at: context.now,
            bound: None,
            ended: None,
        })
    }
}

/// Whether a proxy's registration is blocked at present, by the blocks among `all`, of this number or of another of the same person.
/// A block is one of somebody, whichever registration it names: it covers whatever else the same log-in is bound to, and whatever is
/// registered under the same name and birth. One whose registration is not there covers every proxy.
pub(crate) fn is_blocked(grant: &PortalGrant, all: &[PortalGrant]) -> bool {
    let covers = |block: Option<ProxyBlock>| match block.and_then(|block| block.registration) {
        Some(only) => all.iter().find(|one| one.id == only).is_none_or(|blocked| is_same_proxy(blocked, grant)),
        None => true,
    };
    grant.role.is_proxy() && all.iter().filter_map(ProxyBlock::of).any(covers)
}

/// Whether a proxy looks at nothing under a number with these registrations: blocked, or family that the person refuses.
pub(crate) fn is_kept_out(grant: &PortalGrant, all: &[PortalGrant]) -> bool {
    let is_refused = grant.role == PortalRole::Family && all.iter().any(PortalGrant::is_refusal);
    is_refused || is_blocked(grant, all)
}

/// What `elsewhere`, under the numbers before, holds proxies back and was never decided about `here`, as it holds here from now on: the
/// refusal of family, and a block for each live proxy that one covers. What was lifted or allowed here stays so.
fn missing_here(
    person: PersonKey,
    here: &[PortalGrant],
    elsewhere: &[PortalGrant],
    context: &Context,
) -> Result<Vec<PortalGrant>, Error> {
    let mut missing = Vec::new();
    let is_refusal_here = here.iter().any(|one| one.role == PortalRole::FamilyRefused);
    if elsewhere.iter().any(PortalGrant::is_refusal) && !is_refusal_here {
        missing.push(PortalGrant::refusal(person, random_id()?, context.now));
    }
    // Every block of here counts, a lifted one too.
    let mut decided: Vec<PortalGrant> = here.to_vec();
    for block in decided.iter_mut().filter(|one| one.role == PortalRole::Blocked) {
        block.ended = None;
    }
    for proxy in here.iter().filter(|one| one.role.is_proxy() && one.ended.is_none()) {
        if is_blocked(proxy, elsewhere) && !is_blocked(proxy, &decided) {
            // Why is between the other municipality and whom it concerns.
            let block = ProxyBlock {
                registration: Some(proxy.id.clone()),
                reason: "前の番号のもとで止められています".to_owned(),
                document: "前の番号の登録".to_owned(),
                document_date: context.today(),
            };
            let block = block.grant(person, "portal", context)?;
            decided.push(block.clone());
            missing.push(block);
        }
    }
    Ok(missing)
}

/// Whether two registrations are of one human.
pub(crate) fn is_same_proxy(one: &PortalGrant, other: &PortalGrant) -> bool {
    let subject = |grant: &PortalGrant| grant.bound.map(|(subject, _)| subject);
    let named =
        |grant: &PortalGrant| PortalGrantView::of(grant).proxy.map(|proxy| (normalize_kanji(&proxy.name), proxy.birth));
    let is_same_log_in = subject(one).is_some_and(|known| subject(other) == Some(known));
    one.id == other.id || is_same_log_in || named(one).is_some_and(|known| named(other) == Some(known))
}

impl Platform {
    /// Every registration of a present number, with what the person's numbers before hold proxies back by and nobody decided about here
    /// (P-038, T-2).
    pub(crate) async fn grants_with_carried(
        &self,
        person: PersonKey,
        context: &Context,
    ) -> Result<Vec<PortalGrant>, Error> {
        let mut all = self.store().portal_grants(person).await?;
        all.extend(missing_here(person, &all, &self.grants_before(person).await?, context)?);
        Ok(all)
    }

    /// Writes down under a present number what holds proxies back under the numbers before, so that the municipality and the person see
    /// it from now on, and can lift it. Not within a transaction.
    pub(crate) async fn carry_over(&self, person: PersonKey, context: &Context) -> Result<(), Error> {
        let before = self.grants_before(person).await?;
        let here = self.store().portal_grants(person).await?;
        if missing_here(person, &here, &before, context)?.is_empty() {
            return Ok(());
        }
        let mut tx = self.store().begin().await?;
        let here = tx.lock_portal_grants(person).await?;
        let missing = missing_here(person, &here, &before, context)?;
        if missing.is_empty() {
            return Ok(());
        }
        for grant in &missing {
            tx.put_portal_grant(grant).await?;
        }
        let roles: Vec<&str> = missing.iter().map(|grant| grant.role.code()).collect();
        let entry = Entry {
            insurer: Some(person.insurer.to_string()),
            insured: Some(person.insured.to_string()),
            detail: Some(serde_json::json!({ "carried": roles }).to_string()),
            ..Entry::new(context.now, &context.request_id, "portal", "proxy.carry", Outcome::Done)
        };
        Ok(tx.commit(entry).await?)
    }

    /// The registrations under the other numbers of a person; none for a number that became another itself: what is decided later is
    /// not its municipality's.
    async fn grants_before(&self, person: PersonKey) -> Result<Vec<PortalGrant>, Error> {
        let mut before = Vec::new();
        if self.is_last_number(person).await? {
            for number in self.numbers_of(person).await?.into_iter().filter(|number| *number != person) {
                before.extend(self.store().portal_grants(number).await?);
            }
        }
        Ok(before)
    }

    /// Blocks one proxy of an own insured, or all of them, from the next request on.
    pub async fn block_proxies<E: From<Error>>(
        &self,
        caller: &Caller,
        handle: &str,
        ask: Result<ProxyBlock, E>,
        context: &Context,
    ) -> Result<BlockMade, E> {
        let person = self.own_insured(caller, handle, context).await?;
        Ok(self.put_block(caller, person, ask?, context).await?)
    }

    async fn put_block(
        &self,
        caller: &Caller,
        person: PersonKey,
        ask: ProxyBlock,
        context: &Context,
    ) -> Result<BlockMade, Error> {
        let mut faults = texts(&[("reason", &ask.reason, 500), ("document", &ask.document, 100)]);
        if ask.document_date > context.today() {
            faults.push(ItemFault::new("document_date", "書類の日付が先の日です。書類を確かめてください"));
        }
        let mut tx = self.store().begin().await?;
        let all = tx.lock_portal_grants(person).await?;
        let is_live_proxy = |grant: &PortalGrant| grant.role.is_proxy() && grant.ended.is_none();
        if let Some(id) = &ask.registration
            && !all.iter().any(|grant| grant.id == *id && is_live_proxy(grant))
        {
            faults.push(ItemFault::new("registration", "止める代理の方を、いまの登録から選んでください"));
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let same = |block: Option<ProxyBlock>| block.is_some_and(|block| block.registration == ask.registration);
        if all.iter().filter_map(ProxyBlock::of).any(same) {
            return Err(Error::Conflict(BLOCKED_ALREADY));
        }
        let block = ask.grant(person, &caller.staff.id.0, context)?;
        let id = block.id.clone();
        tx.put_portal_grant(&block).await?;
        let (detail, made) = (serde_json::json!({ "registration": ask.registration }), BlockMade { id: id.clone() });
        let entry = caller.entry_about(context, person, "proxy.block", Outcome::Done);
        let entry = Entry { natural_key: Some(id), detail: Some(detail.to_string()), ..entry };
        self.commit(tx, entry, &made, context).await?;
        Ok(made)
    }

    /// Lifts a block after the municipality has decided that the proxy goes on; why stands in the log.
    pub async fn lift_block<E: From<Error>>(
        &self,
        caller: &Caller,
        handle: &str,
        id: &str,
        reason: Result<String, E>,
        context: &Context,
    ) -> Result<(), E> {
        let person = self.own_insured(caller, handle, context).await?;
        Ok(self.put_lift(caller, person, id, reason?, context).await?)
    }

    async fn put_lift(
        &self,
        caller: &Caller,
        person: PersonKey,
        id: &str,
        reason: String,
        context: &Context,
    ) -> Result<(), Error> {
        let faults = texts(&[("reason", &reason, 500)]);
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let mut tx = self.store().begin().await?;
        let all = tx.lock_portal_grants(person).await?;
        let block = all.into_iter().find(|grant| grant.id == id && grant.role == PortalRole::Blocked);
        let block = block.ok_or(Error::Unknown)?;
        tx.end_portal_grant(&block, "municipality", context.now).await?;
        let detail = serde_json::json!({ "reason": reason }).to_string();
        let entry = caller.entry_about(context, person, "proxy.unblock", Outcome::Done);
        self.commit(tx, Entry { natural_key: Some(block.id), detail: Some(detail), ..entry }, &(), context).await
    }
}

fn texts(all: &[(&'static str, &String, usize)]) -> Vec<ItemFault> {
    let is_wrong = |text: &str, most: usize| text.trim().is_empty() || text.chars().count() > most;
    let wrong = all.iter().filter(|(_, text, most)| is_wrong(text, *most));
    wrong.map(|(item, _, most)| ItemFault::new(*item, format!("1文字以上{most}文字以内で入力してください"))).collect()
}
