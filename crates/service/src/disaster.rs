//! 災害時モード: opened by two operators, searched by exact match, read-only, everything recorded (P-120…126, S-033).

use crate::decision::{Case, Question};
use crate::disaster_looks::Counted;
use crate::{Caller, Context, Error, ItemFault, Platform, random_id};
use kiban_domain::assignment::DisasterMode;
use kiban_domain::dates::{self, Period};
use kiban_domain::insured::{Insured, Sex, normalize_kana, normalize_kanji};
use kiban_domain::office::{OfficeClass, StaffId};
use kiban_domain::{Date, InsurerNumber, Kind, OfficeNumber, Organization, PersonKey};
use kiban_policy::UseCase;
use kiban_store::{DisasterLook, Entry, Outcome, SearchTokens};
use serde::Serialize;

/// A mode as proposed by the first operator.
#[derive(Debug, Clone)]
pub struct DisasterProposal {
    /// 災害名
    pub event: String,
    /// Municipalities under 災害救助法.
    pub areas: Vec<InsurerNumber>,
    /// Kinds of office eligible inside the area; empty means every kind.
    pub classes: Vec<OfficeClass>,
    /// Offices named one by one.
    pub offices: Vec<OfficeNumber>,
    /// Municipalities that take in evacuees.
    pub hosts: Vec<InsurerNumber>,
    /// C1/CP without consent for this event.
    pub without_consent: bool,
    /// First and last day.
    pub period: Period,
}

/// What a helper knows of a person without a card: a name in kana or kanji, the municipality, birth or sex, or an
/// address (P-123).
#[derive(Debug, Clone)]
pub struct DisasterQuery {
    /// Why the person is searched for; recorded.
    pub reason: String,
    /// Municipality of the person.
    pub insurer: InsurerNumber,
    /// 氏名 in kanji.
    pub name: Option<String>,
    /// 氏名 in kana.
    pub kana: Option<String>,
    /// 生年月日
    pub birth: Option<Date>,
    /// 性別
    pub sex: Option<Sex>,
    /// 住所
    pub address: Option<String>,
}

/// A person found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundPerson {
    /// Handle of the person for the caller's organisation.
    pub handle: String,
    /// 氏名
    pub name: String,
    /// フリガナ
    pub kana: String,
    /// 生年月日
    pub birth: Date,
    /// 性別
    pub sex: Sex,
    /// 町丁目までの住所
    pub address: Option<String>,
}

/// Longest period one act may open (T-6).
const MAX_DAYS: i32 = 14;

impl Platform {
    /// The first operator proposes a mode. Nothing opens yet.
    pub async fn propose_disaster<E: From<Error>>(
        &self,
        caller: &Caller,
        proposal: Result<DisasterProposal, E>,
        context: &Context,
    ) -> Result<String, E> {
        self.require_operator(caller, context).await?;
        Ok(self.put_proposal(caller, proposal?, context).await?)
    }

    async fn put_proposal(
        &self,
        caller: &Caller,
        proposal: DisasterProposal,
        context: &Context,
    ) -> Result<String, Error> {
        let mut faults = Vec::new();
        if proposal.event.trim().is_empty() {
            faults.push(ItemFault::new("event", "災害名を入力してください"));
        }
        if proposal.areas.is_empty() {
            faults.push(ItemFault::new("areas", "対象の市区町村を1つ以上指定してください"));
        }
        let days = proposal.period.to().map(|to| (to - proposal.period.from()).get_days() + 1);
        if days.is_none_or(|days| days > MAX_DAYS) {
            faults.push(ItemFault::new(
                "period",
                format!("期間は{MAX_DAYS}日以内にしてください。必要なら期間の終わりに開き直します"),
            ));
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let id = random_id()?;
        let mode = DisasterMode {
            id: id.clone(),
            event: proposal.event,
            areas: proposal.areas,
            classes: proposal.classes,
            offices: proposal.offices,
            hosts: proposal.hosts,
            without_consent: proposal.without_consent,
            period: proposal.period,
            opened_by: (caller.staff.id.clone(), StaffId(String::new())),
            proposed_over: caller.peer.fingerprint.clone(),
            closed_at: None,
        };
        self.write_mode(caller, &mode, "disaster.propose", &id, context).await?;
        Ok(id)
    }

    /// A second operator approves it: another account over another certificate.
    pub async fn approve_disaster(&self, caller: &Caller, id: &str, context: &Context) -> Result<(), Error> {
        self.require_operator(caller, context).await?;
        let mut mode = self.mode(id).await?;
        if !mode.opened_by.1.0.is_empty() || mode.closed_at.is_some() {
            return Err(Error::Conflict("この災害時モードは承認済みか終了済みです"));
        }
        if mode.opened_by.0 == caller.staff.id || mode.proposed_over == caller.peer.fingerprint {
            return Err(Error::Conflict("提案した人とは別の運用者が、別の端末（電子証明書）から承認してください"));
        }
        mode.opened_by.1 = caller.staff.id.clone();
        self.write_mode(caller, &mode, "disaster.approve", &(), context).await
    }

    /// One operator suffices to close.
    pub async fn close_disaster(&self, caller: &Caller, id: &str, context: &Context) -> Result<(), Error> {
        self.require_operator(caller, context).await?;
        let mut mode = self.mode(id).await?;
        mode.closed_at = Some(context.now);
        self.write_mode(caller, &mode, "disaster.close", &(), context).await
    }

    /// Finds people by exact match. Nothing found and nobody withheld look the same.
    pub async fn search_disaster<E: From<Error>>(
        &self,
        caller: &Caller,
        query: Result<DisasterQuery, E>,
        context: &Context,
    ) -> Result<Vec<FoundPerson>, E> {
        caller.require_way(UseCase::Disaster, self.table_at(context.now)?)?;
        if !self.is_covered_anywhere(caller, context) {
            let refused = caller.entry(context, "disaster.search", Outcome::Refused);
            self.store().audit().append(refused).await.map_err(Error::from)?;
            return Err(Error::Unknown.into());
        }
        Ok(self.find_by_name(caller, query?, context).await?)
    }

    async fn find_by_name(
        &self,
        caller: &Caller,
        query: DisasterQuery,
        context: &Context,
    ) -> Result<Vec<FoundPerson>, Error> {
        check(&query)?;
        let insurer = self.standing().paying_insurer(query.insurer, context.today());
        // Without a running mode nothing is looked up, whatever else the caller may see.
        let covered = self.is_covered(caller, query.insurer, context);
        let mut numbers = Vec::new();
        if covered {
            let keys = self.store().keys_of(insurer).await?;
            for token in tokens(&keys, &query) {
                numbers.extend(self.store().find_by_token(insurer, &token).await?);
            }
        }
        numbers.sort();
        numbers.dedup();
        let (mut found, mut looks) = (Vec::new(), Vec::new());
        for insured in numbers {
            let person = PersonKey { insurer, insured };
            let case = self.case_of_search(caller, person, context).await?;
            if case.stored.withheld || !case.decide(Question::read(Kind::A3a)).is_allowed() {
                continue;
            }
            let Some((_, insured)) = self.store().person(person).await? else { continue };
            if fits(&insured, &query) {
                looks.push(look_of(caller, &case, &query, context)?);
                found.push(self.found(caller, person, &insured).await?);
            }
        }
        let allowed = self.record_search(caller, insurer, &query, &looks, covered, context).await?;
        if allowed { Ok(found) } else { Err(Error::Unknown) }
    }

    /// Counts and records a search, found or not, with who was found and why; false when no mode covers it.
    async fn record_search(
        &self,
        caller: &Caller,
        insurer: InsurerNumber,
        query: &DisasterQuery,
        looks: &[DisasterLook],
        covered: bool,
        context: &Context,
    ) -> Result<bool, Error> {
        let detail = serde_json::json!({ "reason": query.reason, "found": looks.len() }).to_string();
        let outcome = if covered { Outcome::Allowed } else { Outcome::Refused };
        let entry = Entry {
            insurer: Some(insurer.to_string()),
            detail: Some(detail),
            ..caller.entry(context, "disaster.search", outcome)
        };
        let mut tx = self.store().begin().await?;
        if let Some(refusal) = self.count_in_disaster(&mut tx, caller, Counted::Search, context).await? {
            let rule = Some("quota".to_owned());
            tx.commit(Entry { outcome: Outcome::Refused, rule, ..entry }).await?;
            return Err(refusal);
        }
        for look in looks {
            tx.put_disaster_look(look).await?;
        }
        if !looks.is_empty() {
            self.tell_city_of_looks(&mut tx, caller, query.insurer, context).await?;
        }
        let subjects = looks.iter().map(|look| look.person.insured.to_string()).collect();
        tx.commit(Entry { subjects, ..entry }).await?;
        Ok(covered)
    }

    /// Whether a running mode covers the caller for people of any municipality.
    fn is_covered_anywhere(&self, caller: &Caller, context: &Context) -> bool {
        let standing = self.standing();
        let areas = standing.disasters().filter(|mode| mode.is_open(context.today())).flat_map(|mode| &mode.areas);
        areas
            .copied()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .any(|area| self.is_covered(caller, area, context))
    }

    /// Whether a running mode covers the caller for people of this insurer.
    fn is_covered(&self, caller: &Caller, insurer: InsurerNumber, context: &Context) -> bool {
        let standing = self.standing();
        let modes: Vec<_> = standing.disasters().cloned().collect();
        let disaster = match (&caller.office, caller.organization) {
            (Some((office, class)), _) => {
                kiban_policy::disaster_for_office(&modes, office, *class, &insurer, context.today())
            }
            (None, Organization::Municipality(number)) => {
                kiban_policy::disaster_for_municipality(&modes, &number, &insurer, context.today())
            }
            _ => kiban_policy::Disaster::None,
        };
        disaster != kiban_policy::Disaster::None
    }

    async fn found(&self, caller: &Caller, person: PersonKey, insured: &Insured) -> Result<FoundPerson, Error> {
        let identity = &insured.identity;
        Ok(FoundPerson {
            handle: self.handle_of(caller, person).await?,
            name: identity.name.clone(),
            kana: identity.kana.clone(),
            birth: identity.birth,
            sex: identity.sex,
            address: identity.address.as_deref().map(district),
        })
    }

    async fn require_operator(&self, caller: &Caller, context: &Context) -> Result<(), Error> {
        if caller.organization == Organization::Operator && caller.way == kiban_policy::Way::Interactive {
            return Ok(());
        }
        self.store().audit().append(caller.entry(context, "disaster", Outcome::Refused)).await?;
        Err(Error::Unknown)
    }

    async fn mode(&self, id: &str) -> Result<DisasterMode, Error> {
        self.store().disasters().await?.into_iter().find(|mode| mode.id == id).ok_or(Error::Unknown)
    }

    async fn write_mode(
        &self,
        caller: &Caller,
        mode: &DisasterMode,
        action: &str,
        answer: &impl Serialize,
        context: &Context,
    ) -> Result<(), Error> {
        let mut tx = self.store().begin().await?;
        tx.put_disaster(mode).await?;
        let detail = serde_json::to_string(mode).map_err(|error| Error::Internal(error.to_string()))?;
        let entry = Entry {
            natural_key: Some(mode.id.clone()),
            detail: Some(detail),
            ..caller.entry(context, action, Outcome::Done)
        };
        self.commit(tx, entry, answer, context).await?;
        self.refresh_standing(context.now).await
    }
}

/// What the city finds in its review list.
fn look_of(caller: &Caller, case: &Case, query: &DisasterQuery, context: &Context) -> Result<DisasterLook, Error> {
    Ok(DisasterLook {
        id: random_id()?,
        person: case.person,
        organization: caller.organization,
        staff: caller.staff.id.clone(),
        looked_at: context.now,
        modes: case.events.clone(),
        reason: query.reason.trim().to_owned(),
        viewed_at: None,
    })
}

/// P-123: a name, and birth or sex with the municipality, or an address; never a browse list.
fn check(query: &DisasterQuery) -> Result<(), Error> {
    let mut faults = Vec::new();
    if query.reason.trim().is_empty() {
        faults.push(ItemFault::new("reason", "検索の理由を入力してください（本人と市区町村に後で示されます）"));
    }
    if query.reason.chars().count() > 200 {
        faults.push(ItemFault::new("reason", "検索の理由は200文字以内にしてください"));
    }
    if query.name.is_none() && query.kana.is_none() {
        faults.push(ItemFault::new("name", "氏名を漢字またはカナで入力してください"));
    }
    if query.birth.is_none() && query.address.is_none() {
        faults.push(ItemFault::new("birth", "生年月日、または住所（町名まで）を入力してください"));
    }
    if query.address.as_deref().is_some_and(|address| district(address).trim().is_empty()) {
        faults.push(ItemFault::new("address", "住所は市区町村名と町名を入力してください（番地だけでは探せません）"));
    }
    if query.birth.is_none() && query.name.is_none() {
        faults.push(ItemFault::new("name", "住所で探すときは氏名を漢字で入力してください"));
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
}

fn tokens(keys: &kiban_store::InsurerKeys, query: &DisasterQuery) -> Vec<[u8; 16]> {
    let mut tokens = Vec::new();
    if let Some(birth) = query.birth.map(dates::yyyymmdd) {
        tokens.extend(query.name.as_ref().map(|name| SearchTokens::kanji_birth(keys, name, &birth)));
        tokens.extend(query.kana.as_ref().map(|kana| SearchTokens::kana_birth(keys, kana, &birth)));
    } else if let (Some(name), Some(address)) = (&query.name, &query.address) {
        tokens.extend(SearchTokens::kanji_place(keys, name, address));
    }
    tokens
}

/// Address up to the 町丁目: everything before the first digit.
fn district(address: &str) -> String {
    address.chars().take_while(|c| !c.is_numeric()).collect()
}

/// Everything that was typed must fit.
fn fits(insured: &Insured, query: &DisasterQuery) -> bool {
    let identity = &insured.identity;
    query.name.as_ref().is_none_or(|name| normalize_kanji(name) == normalize_kanji(&identity.name))
        && query.kana.as_ref().is_none_or(|kana| normalize_kana(kana) == normalize_kana(&identity.kana))
        && query.birth.is_none_or(|birth| birth == identity.birth)
        && query.sex.is_none_or(|sex| sex == identity.sex)
        && query.address.as_ref().is_none_or(|typed| {
            let known = identity.address.as_deref().map(district).unwrap_or_default();
            !known.is_empty() && normalize_kanji(&district(typed)) == normalize_kanji(&known)
        })
}
