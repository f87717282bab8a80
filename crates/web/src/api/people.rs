//! 本人確認と担当の登録, the office's own list, and what the municipality decides about offices.

use super::{Answer, done, ok, once};
use crate::caller::Authenticated;
use crate::input::{Faults, Json, Query, lines};
use crate::{App, Problem};
use axum::extract::{Path, State};
use kiban_domain::dates::{DateError, parse_typed};
use kiban_domain::ids::IdError;
use kiban_domain::insured::Sex;
use kiban_domain::{InsuredNumber, InsurerNumber, Kind, OfficeNumber};
use kiban_service::{LiftWithheld, OfficeDecision, PeoplePage, RegistrationRequest, SwitchAsk};
use serde::Deserialize;
use serde_json::json;

/// The four items of the card (P-103).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registration {
    insurer_number: String,
    insured_number: String,
    kana: String,
    birth: String,
    sex: Sex,
    #[serde(default)]
    makes_plan: bool,
}

impl Registration {
    /// What was typed into a form: 保険者番号, 被保険者番号, カナ氏名, 生年月日, 性別.
    pub(crate) fn typed(items: [String; 5], makes_plan: bool) -> Result<RegistrationRequest, Problem> {
        let [insurer_number, insured_number, kana, birth, sex] = items;
        let known = [("female", Sex::Female), ("male", Sex::Male)].into_iter().find(|(code, _)| *code == sex);
        let sex = known.map_or(Sex::Female, |(_, sex)| sex);
        let checked = Self { insurer_number, insured_number, kana, birth, sex, makes_plan }.check();
        if known.is_some() {
            return checked;
        }
        let mut faults = Faults::default();
        for (item, message) in checked.err().map(|problem| problem.items()).unwrap_or_default() {
            faults.add(&item, &message);
        }
        faults.add("sex", "性別を選んでください");
        Err(faults.problem())
    }

    pub(crate) fn check(self) -> Result<RegistrationRequest, Problem> {
        let mut faults = Faults::default();
        let insurer = faults.take("insurer_number", InsurerNumber::parse(&self.insurer_number), IdError::message_ja);
        let insured = faults.take("insured_number", InsuredNumber::parse(&self.insured_number), IdError::message_ja);
        let birth = faults.take("birth", parse_typed(&self.birth), DateError::message_ja);
        if self.kana.trim().is_empty() || self.kana.chars().count() > 100 {
            faults.add("kana", "氏名をカナで、100文字以内で入力してください");
        } else if let (Some(card_insurer), Some(insured), Some(birth)) = (insurer, insured, birth) {
            let (kana, sex, makes_plan) = (self.kana, self.sex, self.makes_plan);
            return Ok(RegistrationRequest { card_insurer, insured, kana, birth, sex, makes_plan });
        }
        Err(faults.problem())
    }
}

pub(crate) async fn register(State(app): State<App>, who: Authenticated, body: Json<Registration>) -> Answer {
    let (context, request) = (who.keyed(&body.bytes)?, body.value.and_then(Registration::check));
    ok(once(&app, &who, &context, app.platform.register_office(&who.caller, request, &context)).await?)
}

/// A page of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    pub(crate) after: Option<String>,
    pub(crate) limit: Option<i64>,
}

pub(crate) async fn list(State(app): State<App>, who: Authenticated, Query(page): Query<Page>) -> Answer {
    let page = page.and_then(|page| Ok(PeoplePage { after: page.after, limit: lines(page.limit)? }));
    let people = app.platform.list_people(&who.caller, page, &who.context).await?;
    // Without totals: the next page is asked for after the last line, until none comes.
    let next = people.last().map(|line| line.handle.clone());
    ok(json!({ "people": people, "next": next }))
}

/// 被保険者番号 of the municipality's own insured.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Number {
    insured_number: String,
}

impl Number {
    /// What was typed into a form.
    pub(crate) fn typed(number: &str) -> Result<InsuredNumber, Problem> {
        Self { insured_number: number.to_owned() }.check()
    }

    fn check(self) -> Result<InsuredNumber, Problem> {
        let mut faults = Faults::default();
        let number = faults.take("insured_number", InsuredNumber::parse(&self.insured_number), IdError::message_ja);
        number.ok_or_else(|| faults.problem())
    }
}

pub(crate) async fn find(State(app): State<App>, who: Authenticated, body: Json<Number>) -> Answer {
    let number = body.value.and_then(Number::check);
    ok(json!({ "handle": app.platform.find_insured(&who.caller, number, &who.context).await? }))
}

pub(crate) async fn numbers(State(app): State<App>, who: Authenticated, Path(handle): Path<String>) -> Answer {
    ok(app.platform.person_numbers(&who.caller, &handle, &who.context).await?)
}

/// The two numbers of a card.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CardNumbers {
    insurer_number: String,
    insured_number: String,
}

impl CardNumbers {
    fn check(self) -> Result<(InsurerNumber, InsuredNumber), Problem> {
        let mut faults = Faults::default();
        let insurer = faults.take("insurer_number", InsurerNumber::parse(&self.insurer_number), IdError::message_ja);
        let insured = faults.take("insured_number", InsuredNumber::parse(&self.insured_number), IdError::message_ja);
        insurer.zip(insured).ok_or_else(|| faults.problem())
    }
}

pub(crate) async fn eligibility(State(app): State<App>, who: Authenticated, body: Json<CardNumbers>) -> Answer {
    let numbers = body.value.and_then(CardNumbers::check);
    ok(app.platform.eligibility(&who.caller, numbers, &who.context).await?)
}

pub(crate) async fn end(State(app): State<App>, who: Authenticated, Path(handle): Path<String>) -> Answer {
    let context = who.keyed(b"")?;
    once(&app, &who, &context, app.platform.end_registration(&who.caller, &handle, &context)).await?;
    done()
}

/// The municipality lifts 不開示 of the person.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LiftBody {
    insured_number: String,
    reason: String,
}

impl LiftBody {
    fn check(self) -> Result<LiftWithheld, Problem> {
        let mut faults = Faults::default();
        match faults.take("insured_number", InsuredNumber::parse(&self.insured_number), IdError::message_ja) {
            Some(insured) => Ok(LiftWithheld { insured, reason: self.reason }),
            None => Err(faults.problem()),
        }
    }
}

pub(crate) async fn lift_withheld(
    State(app): State<App>,
    who: Authenticated,
    Path(handle): Path<String>,
    body: Json<LiftBody>,
) -> Answer {
    let (context, request) = (who.keyed(&body.bytes)?, body.value.and_then(LiftBody::check));
    once(&app, &who, &context, app.platform.lift_withheld(&who.caller, &handle, request, &context)).await?;
    done()
}

/// What the municipality decides about the office of the person.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionBody {
    decision: OfficeDecision,
}

pub(crate) async fn decide_office(
    State(app): State<App>,
    who: Authenticated,
    Path((handle, office)): Path<(String, String)>,
    body: Json<DecisionBody>,
) -> Answer {
    let office = OfficeNumber::parse(&office).map_err(|_| Problem::unknown())?;
    let (context, decision) = (who.keyed(&body.bytes)?, body.value.map(|body| body.decision));
    let act = app.platform.decide_office(&who.caller, &handle, office, decision, &context);
    once(&app, &who, &context, act).await?;
    done()
}

/// Whether the caller makes the person's plan (※1, P-042).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanMakerBody {
    makes_plan: bool,
}

pub(crate) async fn set_plan_maker(
    State(app): State<App>,
    who: Authenticated,
    Path(handle): Path<String>,
    body: Json<PlanMakerBody>,
) -> Answer {
    let (context, makes_plan) = (who.keyed(&body.bytes)?, body.value.map(|body| body.makes_plan));
    let act = app.platform.set_plan_maker(&who.caller, &handle, makes_plan, &context);
    once(&app, &who, &context, act).await?;
    done()
}

/// Whether the office hides the person, or kinds of it, from the staff member (P-014).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Switch {
    hidden: bool,
    #[serde(default)]
    kinds: Vec<Kind>,
}

impl Switch {
    fn read(self) -> SwitchAsk {
        SwitchAsk { hidden: self.hidden, kinds: self.kinds }
    }
}

pub(crate) async fn set_switch(
    State(app): State<App>,
    who: Authenticated,
    Path((handle, account)): Path<(String, String)>,
    body: Json<Switch>,
) -> Answer {
    let (context, ask) = (who.keyed(&body.bytes)?, body.value.map(Switch::read));
    let act = app.platform.set_switch(&who.caller, &handle, &account, ask, &context);
    once(&app, &who, &context, act).await?;
    done()
}

/// One account, and after which switch the list goes on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Switches {
    account: Option<String>,
    after: Option<String>,
    limit: Option<i64>,
}

pub(crate) async fn switches(State(app): State<App>, who: Authenticated, Query(page): Query<Switches>) -> Answer {
    let account = page.as_ref().ok().and_then(|page| page.account.clone());
    let page = page.and_then(|page| Ok((page.after, lines(page.limit)?)));
    let switches = app.platform.switches(&who.caller, account.as_deref(), page, &who.context).await?;
    let next = switches.last().map(|line| format!("{}.{}", line.handle, line.account));
    ok(json!({ "switches": switches, "next": next }))
}
