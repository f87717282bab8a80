//! セキュリティ点検 (P-195, S-046, S-047): what an organisation answers about its own terminals and rules, kept each time; いいえ
//! needs the day until which it will be put right. The questions are data (`data/security_check.tsv`).

use crate::{Caller, Context, Error, ItemFault, Platform};
use kiban_domain::dates::day_in_japan;
use kiban_domain::{Date, Timestamp};
use kiban_policy::Way;
use kiban_store::{Entry, Outcome, SelfCheck};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Edition of the questions: kept with each answer.
pub const SELF_CHECK_EDITION: &str = "2026-11";
const TSV: &str = include_str!("../data/security_check.tsv");
/// Days within which what is missing has to be put right, and after which the check is due again.
const YEAR: i32 = 366;

/// One question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckQuestion {
    /// Its number, such as `K-01`.
    pub number: &'static str,
    /// 分け
    pub group: &'static str,
    /// 問い
    pub question: &'static str,
    /// What to do when the answer is いいえ.
    pub advice: &'static str,
    /// The sentence of the organisation's own rules.
    pub rule: &'static str,
}

/// The questions, in order.
pub static CHECK_QUESTIONS: LazyLock<Vec<CheckQuestion>> = LazyLock::new(|| {
    let lines = TSV.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .skip(1)
        .filter_map(|line| {
            let mut cells = line.split('\t');
            let mut cell = || cells.next();
            Some(CheckQuestion { number: cell()?, group: cell()?, question: cell()?, advice: cell()?, rule: cell()? })
        })
        .collect()
});

/// An answer: はい, or いいえ with the day until which it is put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckAnswer {
    /// はい
    Yes,
    /// いいえ、この日までに直す
    NotYet(Date),
}

/// The newest check of an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckMade {
    /// When.
    pub made_at: Timestamp,
    /// 氏名 of who answered, or the account when it is closed.
    pub made_by: String,
    /// Edition of the questions.
    pub edition: String,
    /// Answers by number.
    pub answers: BTreeMap<String, CheckAnswer>,
    /// A year has gone, or the questions are others.
    pub is_due: bool,
}

impl Platform {
    /// The newest セキュリティ点検 of the caller's office.
    pub async fn self_check(&self, caller: &Caller, context: &Context) -> Result<Option<CheckMade>, Error> {
        require_office(caller)?;
        let Some(check) = self.store().self_checks(caller.organization, 1).await?.pop() else { return Ok(None) };
        let answers = serde_json::from_str(&check.answers).map_err(|error| Error::Internal(error.to_string()))?;
        let made_on = day_in_japan(check.made_at);
        let by = self.standing().account(&check.made_by).map(|account| account.staff.name.clone());
        Ok(Some(CheckMade {
            made_at: check.made_at,
            made_by: by.unwrap_or_else(|| check.made_by.0.clone()),
            is_due: (context.today() - made_on).get_days() >= YEAR || check.edition != SELF_CHECK_EDITION,
            edition: check.edition,
            answers,
        }))
    }

    /// Keeps the answers. Only an administrator of the office; every question has one, and a day that is to come.
    pub async fn put_self_check<E: From<Error>>(
        &self,
        caller: &Caller,
        answers: Result<BTreeMap<String, CheckAnswer>, E>,
        context: &Context,
    ) -> Result<(), E> {
        if require_office(caller).is_err() || !caller.staff.administrator || caller.way != Way::Interactive {
            let entry = caller.entry(context, "self_check.put", Outcome::Refused);
            self.store().audit().append(entry).await.map_err(Error::from)?;
            return Err(Error::Unknown.into());
        }
        Ok(self.keep_self_check(caller, answers?, context).await?)
    }

    async fn keep_self_check(
        &self,
        caller: &Caller,
        answers: BTreeMap<String, CheckAnswer>,
        context: &Context,
    ) -> Result<(), Error> {
        let today = context.today();
        let faults: Vec<ItemFault> = CHECK_QUESTIONS
            .iter()
            .filter_map(|question| {
                let text = match answers.get(question.number) {
                    None => format!("{} に答えてください", question.number),
                    Some(CheckAnswer::NotYet(day)) if *day < today || (*day - today).get_days() > YEAR => {
                        format!("{}：直す日は、今日から1年のうちにしてください", question.number)
                    }
                    Some(_) => return None,
                };
                Some(ItemFault::new(question.number, text))
            })
            .collect();
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let known = |number: &String| CHECK_QUESTIONS.iter().any(|question| question.number == number);
        let answers: BTreeMap<String, CheckAnswer> = answers.into_iter().filter(|(number, _)| known(number)).collect();
        let text = serde_json::to_string(&answers).map_err(|error| Error::Internal(error.to_string()))?;
        let check = SelfCheck {
            made_at: context.now,
            made_by: caller.staff.id.clone(),
            edition: SELF_CHECK_EDITION.to_owned(),
            answers: text.clone(),
        };
        let mut tx = self.store().begin().await?;
        tx.put_self_check(caller.organization, &check).await?;
        let detail = serde_json::json!({ "edition": SELF_CHECK_EDITION, "answers": answers }).to_string();
        let entry = caller.entry(context, "self_check.put", Outcome::Done);
        self.commit(tx, Entry { detail: Some(detail), ..entry }, &(), context).await
    }
}

/// Municipalities and the operator have guidelines of their own.
fn require_office(caller: &Caller) -> Result<(), Error> {
    if caller.office.is_some() { Ok(()) } else { Err(Error::Unknown) }
}
