//! 本人確認 and 担当事業所登録: four items from the card, all must match, and the answer never says which did not
//! (P-100…112, decision 0006.37).

use crate::notices::Tell;
use crate::{Caller, Config, Context, Error, Platform};
use kiban_domain::assignment::{Assignment, EndReason, IdentityCheck};
use kiban_domain::dates::ServiceMonth;
use kiban_domain::insured::{FourItems, Insured, Sex, normalize_kana};
use kiban_domain::notice::NoticeKind;
use kiban_domain::office::Office;
use kiban_domain::{Date, InsuredNumber, InsurerNumber, Organization, PersonKey, dates};
use kiban_policy::{Rule, UseCase, is_care_manager, makes_plans};
use kiban_store::{Entry, Outcome, Tx};
use serde::Serialize;

/// What staff type from the card (P-103).
#[derive(Debug, Clone)]
pub struct RegistrationRequest {
    /// 保険者番号 as on the card (証記載).
    pub card_insurer: InsurerNumber,
    /// 被保険者番号
    pub insured: InsuredNumber,
    /// カナ氏名, as typed.
    pub kana: String,
    /// 生年月日
    pub birth: Date,
    /// 性別
    pub sex: Sex,
    /// ※1: the caller makes this person's plan.
    pub makes_plan: bool,
}

/// How a person was confirmed.
#[derive(Clone, Copy)]
pub(crate) struct How {
    pub(crate) check: IdentityCheck,
    /// What was shown is good once: the digest it is counted under.
    pub(crate) once: Option<[u8; 32]>,
}

/// A registration as answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Registered {
    /// Handle of the person for this office.
    pub handle: String,
    /// 閲覧期限
    pub viewable_until: Date,
    /// ※1: the caller is plan maker of this person.
    pub plan_maker: bool,
}

/// What the municipality decides about a registration. To keep one is not to confirm it: only a confirmed office sees where
/// a 不開示 person is (P-037, P-111).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfficeDecision {
    /// It goes on, with a new 閲覧期限; confirmed or not as it was, and not confirmed once it was no longer live.
    Keep,
    /// It goes on, or begins, and the office is confirmed for a 不開示 person.
    Confirm,
    /// It ends at once.
    End,
}

impl OfficeDecision {
    fn action(self) -> &'static str {
        match self {
            Self::Keep => "register.keep",
            Self::Confirm => "register.confirm",
            Self::End => "register.end",
        }
    }
}

const SECONDS_UNTIL_TOMORROW: u64 = 86_400;

impl Platform {
    /// Confirms a person by the four items and registers the caller's office. What is wrong with the request is told only to
    /// somebody who may register.
    pub async fn register_office<E: From<Error>>(
        &self,
        caller: &Caller,
        request: Result<RegistrationRequest, E>,
        context: &Context,
    ) -> Result<Registered, E> {
        let office = self.may_register_office(caller, context)?;
        let how = How { check: IdentityCheck::FourItems, once: None };
        Ok(self.confirm_and_register(caller, office, request?, how, context).await?)
    }

    /// The office that may register itself for somebody. Asked before anything is said about what was sent.
    pub(crate) fn may_register_office<'a>(&self, caller: &'a Caller, context: &Context) -> Result<&'a Office, Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::Eligibility, table)?;
        let office = caller.office.as_ref().map(|(office, _)| office);
        office.ok_or_else(|| Error::rule(Rule::NotWriter, table))
    }

    /// Whether the caller may be the maker of somebody's plan (※1): a care manager of an office that makes plans.
    pub fn may_make_plans(&self, caller: &Caller, context: &Context) -> Result<bool, Error> {
        let table = self.table_at(context.now)?;
        let office = caller.office.as_ref().map(|(office, _)| office);
        let plans = office.is_some_and(|office| office.service_types.iter().any(|service| makes_plans(service, table)));
        Ok(plans && is_care_manager(caller.staff.job))
    }

    pub(crate) async fn confirm_and_register(
        &self,
        caller: &Caller,
        office: &Office,
        request: RegistrationRequest,
        how: How,
        context: &Context,
    ) -> Result<Registered, Error> {
        let table = self.table_at(context.now)?;
        // Asked before anything is looked up: the answer must not depend on whether the four items fit.
        if request.makes_plan && !self.may_make_plans(caller, context)? {
            let text = "計画作成者になれるのは、計画を作成するサービスの事業所の介護支援専門員だけです（※1）";
            return Err(Error::item("makes_plan", text));
        }
        let person = PersonKey {
            insurer: self.standing().paying_insurer(request.card_insurer, context.today()),
            insured: request.insured,
        };
        let typed =
            FourItems { number: person, kana: normalize_kana(&request.kana), birth: request.birth, sex: request.sex };
        let stored =
            self.store().person_facts(person, caller.organization, Some(office.number), Some(&caller.staff.id)).await?;
        if !stored.start.is_started(context.today()) {
            self.store().audit().append(self.typed_entry(caller, &typed, "register", "not_started", context)).await?;
            return Err(Error::rule(Rule::NotStarted, table).with_start(stored.start, context.today()));
        }
        let known = self.store().person(person).await?;
        if known.is_none() {
            self.store().open_dummy_identity(person).await?;
        }
        let today = context.today();
        let confirmed = stored.assignment.as_ref().is_some_and(|a| a.confirmed_by_municipality && a.is_live(today));
        let fits =
            matches_all(known.as_ref().map(|(_, insured)| insured), &typed, request.card_insurer) && stored.known;
        let gone = stored.gone_on.is_some_and(|day| day <= dates::to_number(today));
        // Counting comes before the answer and in the transaction that gives it, so that guesses made at the same time
        // cannot pass the limit together; a match takes its own count back.
        let mut tx = self.store().begin().await?;
        if let Some(once) = &how.once
            && is_used(&mut tx, once, context).await?
        {
            let text = "この読み取り結果は使用済みです。もう一度カードを読み取ってください";
            let entry = self.typed_entry(caller, &typed, "register", "card_used", context);
            return Err(self.commit_refusal(tx, entry, Error::item("statement", text), context).await);
        }
        let subjects = self.subjects(caller, &typed).await?;
        let passes = fits && !gone && (confirmed || !stored.withheld);
        let counted = subjects.count(&mut tx, passes, context, &self.inner.config).await?;
        let locked = counted.locked;
        let refused = match (fits, locked) {
            (_, true) => Some("identity_locked"),
            (false, false) => Some("mismatch"),
            (true, false) if stored.withheld && !confirmed => Some("withheld"),
            (true, false) if gone => Some("gone"),
            (true, false) => None,
        };
        if let Some(rule) = refused {
            let hidden = fits && stored.withheld && !confirmed;
            self.tell_of_mismatch(&mut tx, caller, &request, person, (hidden, &subjects, &counted), context).await?;
            let entry = self.typed_entry(caller, &typed, "register", rule, context);
            let refusal = if locked { Error::TooMany(SECONDS_UNTIL_TOMORROW) } else { Error::NotMatched };
            return Err(self.commit_refusal(tx, entry, refusal, context).await);
        }
        subjects.take_back(&mut tx, context).await?;
        let before = stored.assignment.clone();
        let assignment =
            self.assignment_of(caller, &request, (person, how.check), office.number, stored.assignment, context);
        tx.change_assignment(&assignment, before.as_ref()).await?;
        let detail = serde_json::json!({ "check": how.check, "viewable_until": assignment.viewable_until, "plan_maker": assignment.plan_maker });
        let entry = caller.entry_about(context, person, "register", Outcome::Done);
        let entry = Entry { rule: Some(how.check.code().to_owned()), detail: Some(detail.to_string()), ..entry };
        let registered = Registered {
            handle: self.handle_of(caller, person).await?,
            viewable_until: assignment.viewable_until,
            plan_maker: assignment.plan_maker.as_ref() == Some(&caller.staff.id),
        };
        self.commit(tx, entry, &registered, context).await?;
        Ok(registered)
    }

    fn assignment_of(
        &self,
        caller: &Caller,
        request: &RegistrationRequest,
        (person, check): (PersonKey, IdentityCheck),
        office: kiban_domain::OfficeNumber,
        before: Option<Assignment>,
        context: &Context,
    ) -> Assignment {
        let month = ServiceMonth::of(context.today());
        let until = Assignment::viewable_until_after(month, self.inner.config.months_without_claim);
        let live = before.filter(|assignment| assignment.is_live(context.today()));
        let plan_maker = if request.makes_plan {
            Some(caller.staff.id.clone())
        } else {
            live.as_ref().and_then(|a| a.plan_maker.clone())
        };
        Assignment {
            person,
            office,
            check,
            registered_by: caller.staff.id.clone(),
            registered_at: context.now,
            viewable_until: live.as_ref().map_or(until, |a| a.viewable_until.max(until)),
            plan_maker,
            confirmed_by_municipality: live.is_some_and(|a| a.confirmed_by_municipality),
            ended: None,
        }
    }

    /// Ends the registration of the caller's office at once (P-109).
    pub async fn end_registration(&self, caller: &Caller, handle: &str, context: &Context) -> Result<(), Error> {
        caller.require_way(UseCase::Eligibility, self.table_at(context.now)?)?;
        let person = self.person_of(caller, handle).await?;
        let case = self.case(caller, person, context).await?;
        let Some(before) = case.stored.assignment.clone().filter(|_| case.is_assigned()) else {
            return Err(Error::Unknown);
        };
        let ended = Assignment { ended: Some((context.now, EndReason::Office)), ..before.clone() };
        let mut tx = self.store().begin().await?;
        tx.change_assignment(&ended, Some(&before)).await?;
        tx.close_reviews(person, before.office, context.now).await?;
        self.commit(tx, caller.entry_about(context, person, "register.end", Outcome::Done), &(), context).await
    }

    /// The municipality keeps a registration, confirms the office for a person under 不開示, or ends it (P-037, P-109, P-111).
    pub async fn decide_office<E: From<Error>>(
        &self,
        caller: &Caller,
        handle: &str,
        office: kiban_domain::OfficeNumber,
        decision: Result<OfficeDecision, E>,
        context: &Context,
    ) -> Result<(), E> {
        let person = self.own_insured(caller, handle, context).await?;
        Ok(self.put_decision(caller, person, office, decision?, context).await?)
    }

    /// A person of the caller's own municipality.
    pub(crate) async fn own_insured(
        &self,
        caller: &Caller,
        handle: &str,
        context: &Context,
    ) -> Result<PersonKey, Error> {
        caller.require_way(UseCase::Eligibility, self.table_at(context.now)?)?;
        let person = self.person_of(caller, handle).await?;
        let case = self.case(caller, person, context).await?;
        if case.is_own_municipality() {
            return Ok(person);
        }
        let rule = Some(Rule::OtherMunicipality.code().to_owned());
        let entry = caller.entry_about(context, person, "counter", Outcome::Refused);
        self.store().audit().append(Entry { rule, ..entry }).await?;
        Err(Error::Unknown)
    }

    async fn put_decision(
        &self,
        caller: &Caller,
        person: PersonKey,
        office: kiban_domain::OfficeNumber,
        decision: OfficeDecision,
        context: &Context,
    ) -> Result<(), Error> {
        let before = self.store().assignments(person).await?.into_iter().find(|a| a.office == office);
        let until =
            Assignment::viewable_until_after(ServiceMonth::of(context.today()), self.inner.config.months_without_claim);
        let assignment = match (before.clone(), decision) {
            (Some(assignment), OfficeDecision::Keep | OfficeDecision::Confirm) => Assignment {
                confirmed_by_municipality: decision == OfficeDecision::Confirm
                    || (assignment.confirmed_by_municipality && assignment.is_live(context.today())),
                ended: None,
                viewable_until: assignment.viewable_until.max(until),
                ..assignment
            },
            (Some(assignment), OfficeDecision::End) => Assignment {
                confirmed_by_municipality: false,
                ended: Some((context.now, EndReason::Municipality)),
                ..assignment
            },
            (None, OfficeDecision::Confirm) => Assignment {
                person,
                office,
                check: IdentityCheck::Municipality,
                registered_by: caller.staff.id.clone(),
                registered_at: context.now,
                viewable_until: until,
                plan_maker: None,
                confirmed_by_municipality: true,
                ended: None,
            },
            (None, OfficeDecision::Keep | OfficeDecision::End) => return Err(Error::Unknown),
        };
        let mut tx = self.store().begin().await?;
        tx.change_assignment(&assignment, before.as_ref()).await?;
        tx.close_reviews(person, office, context.now).await?;
        let entry = caller.entry_about(context, person, decision.action(), Outcome::Done);
        let entry = Entry { detail: Some(serde_json::json!({ "office": office }).to_string()), ..entry };
        self.commit(tx, entry, &(), context).await
    }

    /// What is counted at a mismatch (decision 0006.37).
    async fn subjects(&self, caller: &Caller, typed: &FourItems) -> Result<Subjects, Error> {
        let keys = self.store().platform_keys().await?;
        let identity = format!("{}|{}|{}", typed.kana, dates::yyyymmdd(typed.birth), typed.sex.code());
        let digest = |text: String| keys.digest(text.as_bytes());
        Ok(Subjects {
            identity: digest(format!("identity|{identity}")),
            own_identity: digest(format!("identity of|{}|{identity}", caller.organization)),
            office: digest(format!("office|{}|{}", caller.organization, typed.number.insurer)),
            told: digest(format!("told|{}|{identity}", caller.organization)),
        })
    }

    /// Tells the city that somebody typed the four items of a 不開示 person, and whoever must know that mismatches mount.
    /// For everybody else one more count is written instead, so that the time of the answer tells nothing (T-35).
    async fn tell_of_mismatch(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        request: &RegistrationRequest,
        person: PersonKey,
        (hidden, subjects, counted): (bool, &Subjects, &Counted),
        context: &Context,
    ) -> Result<(), Error> {
        let (office, staff) = (caller.organization.to_string(), &caller.staff.id);
        let day = dates::yyyymmdd(context.today());
        let city = Organization::Municipality(request.card_insurer);
        if hidden {
            let tell = Tell {
                to: city,
                administrators: false,
                kind: NoticeKind::WithheldTyped,
                about: Some(person),
                facts: serde_json::json!({ "office": office, "staff": staff }),
                once: &format!("{office}|{}|{day}", person.insured),
            };
            self.tell(tx, tell, context).await?;
        } else {
            tx.add_mismatch(&subjects.told, context.today()).await?;
        }
        let Some(what) = counted.reached else { return Ok(()) };
        let facts = serde_json::json!({ "office": office, "insurer": request.card_insurer, "limit": what });
        // An identity that many offices try is told to city and operator; an office that tries many, to its administrator too.
        let own = (caller.organization, true);
        for (to, administrators) in [(city, false), (Organization::Operator, false), own] {
            let (kind, facts) = (NoticeKind::ManyMismatches, facts.clone());
            let once = format!("{office}|{}|{what}|{day}", request.card_insurer);
            self.tell(tx, Tell { to, administrators, kind, about: None, facts, once: &once }, context).await?;
        }
        Ok(())
    }

    fn typed_entry(&self, caller: &Caller, typed: &FourItems, action: &str, rule: &str, context: &Context) -> Entry {
        Entry { rule: Some(rule.to_owned()), ..caller.entry_about(context, typed.number, action, Outcome::Refused) }
    }
}

/// Whether something that is good once was shown before; it is counted now. It may have been shown the minute before midnight.
async fn is_used(tx: &mut Tx, once: &[u8; 32], context: &Context) -> Result<bool, Error> {
    let before = context.today().yesterday().unwrap_or(context.today());
    Ok(tx.mismatches(once, before).await? + tx.add_mismatch(once, context.today()).await? > 1)
}

/// Keyed digests of what is counted: the typed identity by anybody, the same by this office, this office for this insurer.
struct Subjects {
    identity: [u8; 32],
    own_identity: [u8; 32],
    office: [u8; 32],
    /// Counted where no notice is raised; never read.
    told: [u8; 32],
}

/// What one attempt counted to.
struct Counted {
    /// A limit was reached before it.
    locked: bool,
    /// The limit it reaches, if it is a mismatch: `identity` or `office`.
    reached: Option<&'static str>,
}

impl Subjects {
    /// Counts one attempt. An identity guessed by others slows an office only after a mismatch of its own: the lock must
    /// not hit the person (T-4). One that passes does not write the row of its office, for which all its attempts would wait
    /// in turn; it may be let through once more for each attempt under way at that moment (decision 0006.37).
    async fn count(&self, tx: &mut Tx, passes: bool, context: &Context, config: &Config) -> Result<Counted, Error> {
        let today = context.today();
        let anybody = tx.add_mismatch(&self.identity, today).await? - 1;
        let own = tx.add_mismatch(&self.own_identity, today).await? - 1;
        // Read in any case: the time of a refusal must not tell whether the four items fit.
        let mut office = tx.mismatches(&self.office, today).await?;
        let limit = config.mismatches_per_identity;
        let is_locked =
            |office: i32| own >= limit || (own > 0 && anybody >= limit) || office >= config.mismatches_per_office;
        if !passes || is_locked(office) {
            office = tx.add_mismatch(&self.office, today).await? - 1;
        }
        let reached = match (office + 1 >= config.mismatches_per_office, anybody + 1 >= limit) {
            (true, _) => Some("office"),
            (_, true) => Some("identity"),
            _ => None,
        };
        Ok(Counted { locked: is_locked(office), reached })
    }

    /// The attempt was no mismatch: its office was not counted.
    async fn take_back(&self, tx: &mut Tx, context: &Context) -> Result<(), Error> {
        for subject in [&self.identity, &self.own_identity] {
            tx.take_back_mismatch(subject, context.today()).await?;
        }
        Ok(())
    }
}

/// All of them, compared without stopping at the first difference.
fn matches_all(insured: Option<&Insured>, typed: &FourItems, card_insurer: InsurerNumber) -> bool {
    let Some(insured) = insured else { return false };
    let identity = &insured.identity;
    let ours = format!(
        "{}|{}|{}|{}",
        insured.card_insurer,
        normalize_kana(&identity.kana),
        identity.birth,
        identity.sex.code()
    );
    let theirs = format!("{card_insurer}|{}|{}|{}", typed.kana, typed.birth, typed.sex.code());
    // HMAC of both under a fresh key: equal exactly when the texts are, in constant time.
    let Ok(key) = ring::hmac::Key::generate(ring::hmac::HMAC_SHA256, &ring::rand::SystemRandom::new()) else {
        return false;
    };
    ring::hmac::verify(&key, theirs.as_bytes(), ring::hmac::sign(&key, ours.as_bytes()).as_ref()).is_ok()
}
