//! 本人確認 and 担当事業所登録: four items from the card, all must match, and the answer never says which did not
//! (P-100…112, decision 0006.37).

use crate::{Caller, Context, Error, Platform};
use kiban_domain::assignment::{Assignment, EndReason, IdentityCheck};
use kiban_domain::dates::ServiceMonth;
use kiban_domain::insured::{FourItems, Insured, Sex, normalize_kana};
use kiban_domain::{Date, InsuredNumber, InsurerNumber, PersonKey, dates, municipality};
use kiban_policy::{UseCase, is_care_manager, makes_plans};
use kiban_store::{Entry, Outcome};
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

const SECONDS_UNTIL_TOMORROW: u64 = 86_400;

impl Platform {
    /// Confirms a person by the four items and registers the caller's office.
    pub async fn register_office(
        &self,
        caller: &Caller,
        request: RegistrationRequest,
        context: &Context,
    ) -> Result<Registered, Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::Eligibility, table)?;
        let Some((office, _)) = &caller.office else { return Err(Error::rule(kiban_policy::Rule::NotWriter, table)) };
        // Asked before anything is looked up: the answer must not depend on whether the four items fit.
        let plans = office.service_types.iter().any(|service| makes_plans(service, table));
        if request.makes_plan && !(plans && is_care_manager(caller.staff.job)) {
            let text = "計画作成者になれるのは、計画を作成するサービスの事業所の介護支援専門員だけです（※1）";
            return Err(Error::item("makes_plan", text));
        }
        let person = PersonKey {
            insurer: municipality::paying_insurer(request.card_insurer, context.today()),
            insured: request.insured,
        };
        let typed =
            FourItems { number: person, kana: normalize_kana(&request.kana), birth: request.birth, sex: request.sex };
        let counted = self.count_of_mismatches(caller, &typed, context).await?;
        if counted.is_locked {
            self.store()
                .audit()
                .append(self.typed_entry(caller, &typed, "register", "identity_locked", context))
                .await?;
            return Err(Error::TooMany(SECONDS_UNTIL_TOMORROW));
        }
        let stored =
            self.store().person_facts(person, caller.organization, Some(office.number), Some(&caller.staff.id)).await?;
        if !stored.start.is_started(context.today()) {
            self.store().audit().append(self.typed_entry(caller, &typed, "register", "not_started", context)).await?;
            return Err(Error::rule(kiban_policy::Rule::NotStarted, table));
        }
        let known = self.store().person(person).await?;
        if known.is_none() {
            self.store().open_dummy_identity(person).await?;
        }
        let today = context.today();
        let confirmed = stored.assignment.as_ref().is_some_and(|a| a.confirmed_by_municipality && a.is_live(today));
        let fits =
            matches_all(known.as_ref().map(|(_, insured)| insured), &typed, request.card_insurer) && stored.known;
        if !fits || (stored.withheld && !confirmed) {
            let rule = if fits { "withheld" } else { "mismatch" };
            return self.answer_mismatch(caller, &typed, counted, rule, context).await;
        }
        let assignment = self.assignment_of(caller, &request, person, office.number, stored.assignment, context);
        let mut tx = self.store().begin().await?;
        tx.put_assignment(&assignment).await?;
        let detail = serde_json::json!({ "check": "four_items", "viewable_until": assignment.viewable_until, "plan_maker": assignment.plan_maker });
        let entry = caller.entry_about(context, person, "register", Outcome::Done);
        tx.commit(Entry { rule: Some("four_items".to_owned()), detail: Some(detail.to_string()), ..entry }).await?;
        Ok(Registered {
            handle: self.handle_of(caller, person).await?,
            viewable_until: assignment.viewable_until,
            plan_maker: assignment.plan_maker.as_ref() == Some(&caller.staff.id),
        })
    }

    fn assignment_of(
        &self,
        caller: &Caller,
        request: &RegistrationRequest,
        person: PersonKey,
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
            check: IdentityCheck::FourItems,
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
        let Some(mut assignment) = case.stored.assignment.clone().filter(|_| case.is_assigned()) else {
            return Err(Error::Unknown);
        };
        assignment.ended = Some((context.now, EndReason::Office));
        let mut tx = self.store().begin().await?;
        tx.put_assignment(&assignment).await?;
        tx.commit(caller.entry_about(context, person, "register.end", Outcome::Done)).await?;
        Ok(())
    }

    /// The municipality confirms an office for a person under 不開示, or ends its registration (P-037, P-109).
    pub async fn confirm_office(
        &self,
        caller: &Caller,
        handle: &str,
        office: kiban_domain::OfficeNumber,
        confirmed: bool,
        context: &Context,
    ) -> Result<(), Error> {
        caller.require_way(UseCase::Eligibility, self.table_at(context.now)?)?;
        let person = self.person_of(caller, handle).await?;
        let case = self.case(caller, person, context).await?;
        if !case.is_own_municipality() {
            return Err(Error::Unknown);
        }
        let before = self.store().assignments(person).await?.into_iter().find(|a| a.office == office);
        let until =
            Assignment::viewable_until_after(ServiceMonth::of(context.today()), self.inner.config.months_without_claim);
        let assignment = match (before, confirmed) {
            (Some(assignment), true) => Assignment {
                confirmed_by_municipality: true,
                ended: None,
                viewable_until: assignment.viewable_until.max(until),
                ..assignment
            },
            (Some(assignment), false) => Assignment {
                confirmed_by_municipality: false,
                ended: Some((context.now, EndReason::Municipality)),
                ..assignment
            },
            (None, true) => Assignment {
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
            (None, false) => return Err(Error::Unknown),
        };
        let mut tx = self.store().begin().await?;
        tx.put_assignment(&assignment).await?;
        let entry = caller.entry_about(
            context,
            person,
            if confirmed { "register.confirm" } else { "register.end" },
            Outcome::Done,
        );
        tx.commit(Entry { detail: Some(serde_json::json!({ "office": office }).to_string()), ..entry }).await?;
        Ok(())
    }

    async fn count_of_mismatches(
        &self,
        caller: &Caller,
        typed: &FourItems,
        context: &Context,
    ) -> Result<Counted, Error> {
        let keys = self.store().platform_keys().await?;
        let birth = dates::yyyymmdd(typed.birth);
        let identity = keys.digest(format!("identity|{}|{birth}|{}", typed.kana, typed.sex.code()).as_bytes());
        let office = keys.digest(format!("office|{}|{}", caller.organization, typed.number.insurer).as_bytes());
        let counts = self.store().mismatches(&identity, &office, context.today()).await?;
        let config = &self.inner.config;
        let is_locked =
            counts.identity >= config.mismatches_per_identity || counts.office >= config.mismatches_per_office;
        Ok(Counted { identity, office, is_locked })
    }

    /// One answer for a wrong item, an unknown number and a 不開示 person (P-106, T-1 d).
    async fn answer_mismatch(
        &self,
        caller: &Caller,
        typed: &FourItems,
        counted: Counted,
        rule: &str,
        context: &Context,
    ) -> Result<Registered, Error> {
        let mut tx = self.store().begin().await?;
        tx.count_mismatch(&counted.identity, context.today()).await?;
        tx.count_mismatch(&counted.office, context.today()).await?;
        tx.commit(self.typed_entry(caller, typed, "register", rule, context)).await?;
        Err(Error::NotMatched)
    }

    fn typed_entry(&self, caller: &Caller, typed: &FourItems, action: &str, rule: &str, context: &Context) -> Entry {
        Entry { rule: Some(rule.to_owned()), ..caller.entry_about(context, typed.number, action, Outcome::Refused) }
    }
}

struct Counted {
    identity: [u8; 32],
    office: [u8; 32],
    is_locked: bool,
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
