//! What is about to end, and what changed with a new round: warnings at 90, 60 and 30 days (P-033), 給付制限 in force
//! (P-032), the municipality's working list of people due for renewal without consent (P-075), and the list of changed
//! burden rates.

use crate::running::Place;
use crate::statistics::{
    certifications, consent_of, covered_until, is_due, is_insured, known, live_certification, rate_on,
};
use crate::{Caller, Config, Context, Error, Platform};
use kiban_domain::certification::{ApplicationKind, CertificationProgress};
use kiban_domain::consent::ConsentState;
use kiban_domain::insurance_card::{CopaymentRate, CostCeiling, InsuranceCard};
use kiban_domain::{Date, InsuredNumber, InsurerNumber, Kind, PersonKey, Timestamp, dates};
use kiban_policy::UseCase;
use kiban_store::{BlockPerson, Entry, Outcome, Pass};
use serde::Serialize;
use tokio::sync::mpsc;

/// Something of a person that ends soon, has ended, or restricts benefits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// `certification`, `copayment`, `ceiling`, `restriction` or `consent`.
    pub what: &'static str,
    /// 認定有効期間, 負担割合, 負担限度額, 給付制限 or 同意.
    pub name: &'static str,
    /// Last day; absent for a restriction without end and for a consent, which has no expiry date (P-070).
    pub until: Option<Date>,
    /// Days from today to that day; negative when it has passed.
    pub days_left: Option<i32>,
    /// 90, 60 or 30: the warning it has reached; 0 when the day has passed. Absent for a restriction and a consent.
    pub stage: Option<i32>,
    /// The whole in one Japanese sentence.
    pub message: String,
}

/// A line of the working list: an own insured of the municipality.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RenewalDue {
    /// Handle of the person.
    pub handle: String,
    /// 被保険者番号
    pub insured_number: String,
    /// 氏名
    pub name: String,
    /// フリガナ
    pub kana: String,
    /// Name of the 要介護度.
    pub care_level: &'static str,
    /// Last day that is covered.
    pub until: Date,
    /// Days from today to that day.
    pub days_left: i32,
    /// `missing`, `withdrawn` or `not_obtainable`.
    pub consent: &'static str,
}

/// A page of the working list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RenewalsDue {
    /// The lines in the order of the numbers. There may be none on a page before the last.
    pub people: Vec<RenewalDue>,
    /// Where the next page begins; absent at the end.
    pub next: Option<String>,
}

/// People in memory at a time.
const BLOCK: i32 = 500;
/// Blocks looked through for one page.
const BLOCKS_OF_A_PAGE: usize = 10;

/// Lines of a list that is made while it is sent: each is a row of cells.
pub struct Lines {
    /// Rows and the end; an error ends them.
    pub rows: mpsc::Receiver<Result<LinesPart, Error>>,
}

/// A part of [`Lines`].
#[derive(Debug)]
pub enum LinesPart {
    /// Some rows.
    Rows(Vec<Vec<String>>),
    /// The end: nothing is missing.
    End,
}

impl Platform {
    /// The municipality's own insured who are due for renewal and have not consented (P-075). `after` is `next` of the page
    /// before; `limit` at most 200.
    pub async fn renewals_without_consent<E: From<Error>>(
        &self,
        caller: &Caller,
        after: Option<&str>,
        limit: Result<i32, E>,
        context: &Context,
    ) -> Result<RenewalsDue, E> {
        caller.require_way(UseCase::Statistics, self.table_at(context.now)?)?;
        let insurer = caller.municipality().ok_or(Error::Unknown)?;
        let limit = usize::try_from(limit?.clamp(1, 200)).unwrap_or(1);
        Ok(self.page_of_renewals(caller, insurer, after, limit, context).await?)
    }

    async fn page_of_renewals(
        &self,
        caller: &Caller,
        insurer: InsurerNumber,
        after: Option<&str>,
        limit: usize,
        context: &Context,
    ) -> Result<RenewalsDue, Error> {
        let mut after = match after {
            Some(handle) => Some(self.person_of(caller, handle).await?).filter(|person| person.insurer == insurer),
            None => None,
        }
        .map(|person| person.insured);
        let entry =
            Entry { insurer: Some(insurer.to_string()), ..caller.entry(context, "renewals.search", Outcome::Allowed) };
        let pass = self.store().audit().begin_pass(entry.clone()).await?;
        let unapplied = self.store().unapplied(insurer).await?;
        let (mut people, mut next) = (Vec::new(), None);
        for _ in 0..BLOCKS_OF_A_PAGE {
            let block = pass.open(self.store().block(insurer, after, BLOCK, &[Kind::A3a]).await?);
            next = block.last;
            let Some(last) = block.last else { break };
            for person in block.people.iter().filter(|person| !unapplied.contains(&person.header.revision)) {
                if let Some(line) = self.renewal_due(caller, person, &unapplied, context).await? {
                    people.push(line);
                    if people.len() == limit {
                        next = Some(person.insured.key.insured);
                        break;
                    }
                }
            }
            after = Some(last);
            if people.len() == limit {
                break;
            }
        }
        let subjects = people.iter().map(|line| line.insured_number.clone()).collect();
        let entry = Entry { action: "renewals.list".to_owned(), subjects, ..entry };
        self.store().audit().append(entry).await?;
        let next = match next {
            Some(insured) => Some(self.handle_of(caller, PersonKey { insurer, insured }).await?),
            None => None,
        };
        Ok(RenewalsDue { people, next })
    }

    async fn renewal_due(
        &self,
        caller: &Caller,
        person: &BlockPerson,
        unapplied: &[i64],
        context: &Context,
    ) -> Result<Option<RenewalDue>, Error> {
        let today = context.today();
        let cards = certifications(&known::<InsuranceCard>(person, Kind::A3a, context.now, unapplied));
        let (Some(certified), Some(until)) = (live_certification(&cards, today), covered_until(&cards)) else {
            return Ok(None);
        };
        let consent = consent_of(person, context.now, unapplied);
        let due = is_insured(&person.insured, today) && is_due(&cards, today, self.inner.config.renewal_days());
        if !due || consent.given_at.is_some() {
            return Ok(None);
        }
        let identity = &person.insured.identity;
        Ok(Some(RenewalDue {
            handle: self.handle_of(caller, person.insured.key).await?,
            insured_number: person.insured.key.insured.to_string(),
            name: identity.name.clone(),
            kana: identity.kana.clone(),
            care_level: certified.level.name_ja(),
            until,
            days_left: (until - today).get_days(),
            consent: match (consent.withdrawn_at, consent.not_obtainable) {
                (Some(_), _) => "withdrawn",
                (None, true) => "not_obtainable",
                (None, false) => "missing",
            },
        }))
    }

    /// Own insured whose burden rate on a day differs from that of the day before, as rows of 被保険者番号, old and new
    /// tenths (empty: none) and the period of the new one. Counts of the whole city are in the statistics.
    pub async fn copayment_changes<E: From<Error>>(
        &self,
        caller: &Caller,
        day: Result<Date, E>,
        context: &Context,
    ) -> Result<Lines, E> {
        caller.require_way(UseCase::Statistics, self.table_at(context.now)?)?;
        let insurer = caller.municipality().ok_or(Error::Unknown)?;
        Ok(self.begin_changes(caller, insurer, day?, context).await?)
    }

    async fn begin_changes(
        &self,
        caller: &Caller,
        insurer: InsurerNumber,
        day: Date,
        context: &Context,
    ) -> Result<Lines, Error> {
        let busy = "この一覧は、いま作っているところです。終わってからもう一度行ってください";
        let place = self.running().take("copayment", insurer).ok_or(Error::Conflict(busy))?;
        let entry = Entry {
            insurer: Some(insurer.to_string()),
            detail: Some(serde_json::json!({ "day": day }).to_string()),
            ..caller.entry(context, "copayment_changes.started", Outcome::Allowed)
        };
        let pass = self.store().audit().begin_pass(entry.clone()).await?;
        let (sender, rows) = mpsc::channel(2);
        let (platform, at) = (self.clone(), context.now);
        tokio::spawn(async move {
            let listed = Entry { action: "copayment_changes.list".to_owned(), ..entry.clone() };
            let ended = platform.list_changes(insurer, (at, day), (&pass, &listed), (&sender, &place)).await;
            let (action, outcome) = match &ended {
                Ok(_) => ("copayment_changes.done", Outcome::Done),
                Err(_) => ("copayment_changes.failed", Outcome::Failed),
            };
            let listed = ended.as_ref().copied().unwrap_or_default();
            let detail = Some(serde_json::json!({ "day": day, "listed": listed }).to_string());
            let entry = Entry { action: action.to_owned(), outcome, detail, ..entry };
            let recorded = platform.store().audit().append(entry).await.map_err(Error::from);
            drop(place);
            let _ = sender.send(ended.and(recorded).map(|_| LinesPart::End)).await;
        });
        Ok(Lines { rows })
    }

    async fn list_changes(
        &self,
        insurer: InsurerNumber,
        (at, day): (Timestamp, Date),
        (pass, entry): (&Pass, &Entry),
        (sender, place): (&mpsc::Sender<Result<LinesPart, Error>>, &Place),
    ) -> Result<u64, Error> {
        let unapplied = self.store().unapplied(insurer).await?;
        let mut after: Option<InsuredNumber> = None;
        let mut listed = 0;
        loop {
            let block = pass.open(self.store().block(insurer, after, BLOCK, &[Kind::A3b]).await?);
            let Some(last) = block.last else { return Ok(listed) };
            after = Some(last);
            place.add(block.people.len() as u64);
            let rows: Vec<Vec<String>> =
                block.people.iter().filter_map(|person| change_of(person, (at, day), &unapplied)).collect();
            if rows.is_empty() {
                continue;
            }
            listed += rows.len() as u64;
            // Before the rows leave: each person on them finds that they were listed (decision 0006.6).
            let subjects = rows.iter().filter_map(|row| row.first().cloned()).collect();
            self.store().audit().append(Entry { subjects, ..entry.clone() }).await?;
            if sender.send(Ok(LinesPart::Rows(rows))).await.is_err() {
                return Err(Error::Unavailable("the receiver of the list went away".to_owned()));
            }
        }
    }
}

/// The row of a person whose rate changed on a day.
fn change_of(person: &BlockPerson, (at, day): (Timestamp, Date), unapplied: &[i64]) -> Option<Vec<String>> {
    let rates: Vec<(String, CopaymentRate)> = known(person, Kind::A3b, at, unapplied);
    let (old, new) = (rate_on(&rates, day.yesterday().ok()?), rate_on(&rates, day));
    if old == new || !is_insured(&person.insured, day) {
        return None;
    }
    let rows = rates.iter().flat_map(|(_, rate)| &rate.rows);
    let period = rows.filter(|row| row.period.contains(day)).map(|row| row.period).next();
    let tenths = |rate: Option<u8>| rate.map(|rate| rate.to_string()).unwrap_or_default();
    Some(vec![
        person.insured.key.insured.to_string(),
        tenths(old),
        tenths(new),
        period.map(|period| period.from().to_string()).unwrap_or_default(),
        period.and_then(|period| period.to()).map(|day| day.to_string()).unwrap_or_default(),
    ])
}

/// What a person's cards warn of on a day; each is given only when its kind may be seen.
pub(crate) fn warnings(
    card: Option<&InsuranceCard>,
    rate: Option<&CopaymentRate>,
    ceiling: Option<&CostCeiling>,
    today: Date,
    config: &Config,
) -> Vec<Warning> {
    let certified = card.and_then(|card| card.certified.as_ref()).and_then(|c| c.valid).and_then(|valid| valid.to());
    let rate = rate.and_then(|rate| rate.rows.last()).and_then(|row| row.period.to());
    let ceiling = ceiling.and_then(|ceiling| ceiling.period.to());
    let ends = [
        ("certification", "認定有効期間", certified, "更新の申請を確かめてください"),
        ("copayment", "負担割合", rate, "新しい負担割合証を確かめてください"),
        ("ceiling", "負担限度額", ceiling, "負担限度額の申請を確かめてください"),
    ];
    let mut all: Vec<Warning> = ends
        .into_iter()
        .filter_map(|(what, name, until, next)| ending(what, name, until?, next, today, config))
        .collect();
    let restrictions = card.map(|card| card.restrictions.as_slice()).unwrap_or_default();
    all.extend(restrictions.iter().filter(|one| one.period.contains(today)).map(|one| {
        let percent = one.benefit_percent.map(|percent| format!("（給付率 {percent}%）")).unwrap_or_default();
        Warning {
            what: "restriction",
            name: "給付制限",
            until: one.period.to(),
            days_left: one.period.to().map(|until| (until - today).get_days()),
            stage: None,
            message: format!("給付制限があります: {}{percent}", one.content),
        }
    }));
    all
}

/// P-070: a renewal runs, and the consent that is live was not given again since it was applied for.
pub(crate) fn consent_to_confirm(progress: &CertificationProgress, consent: &ConsentState) -> Option<Warning> {
    let runs = progress.kind == ApplicationKind::Renewal && progress.result.is_none() && progress.closing.is_none();
    (runs && consent.is_to_be_confirmed(progress.applied_on)).then(|| Warning {
        what: "consent",
        name: "同意",
        until: None,
        days_left: None,
        stage: None,
        message: format!(
            "更新の申請（{}）がありました。同意は続いています。市区町村が改めて確かめます",
            dates::wareki(progress.applied_on)
        ),
    })
}

fn ending(
    what: &'static str,
    name: &'static str,
    until: Date,
    next: &str,
    today: Date,
    config: &Config,
) -> Option<Warning> {
    let days_left = (until - today).get_days();
    let stage =
        if days_left < 0 { 0 } else { config.warning_days.iter().copied().filter(|days| days_left <= *days).min()? };
    let message = match days_left {
        ..0 => format!("{name}が{}に終わっています。{next}", dates::wareki(until)),
        0 => format!("{name}は今日までです。{next}"),
        days => format!("{name}はあと{days}日（{}）で終わります。{next}", dates::wareki(until)),
    };
    Some(Warning { what, name, until: Some(until), days_left: Some(days_left), stage: Some(stage), message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use kiban_domain::certification::Closing;
    use kiban_domain::consent::ConsentAct;
    use kiban_domain::dates::Period;
    use kiban_domain::insurance_card::{CopaymentPeriod, IncomeStage, RoomCeilings, Tenths};

    #[test]
    fn a_consent_is_to_be_confirmed_while_a_renewal_runs_and_until_it_is_given_again() {
        let mut renewal = CertificationProgress::apply(date(2026, 11, 2), ApplicationKind::Renewal);
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let given = ConsentState::of([(&ConsentAct::Given, at("2025-04-01T00:00:00Z"))]);
        let warning = consent_to_confirm(&renewal, &given).unwrap();
        assert!(warning.message.contains("令和8年11月2日") && warning.message.contains("同意は続いています"));
        let again =
            [(&ConsentAct::Given, at("2025-04-01T00:00:00Z")), (&ConsentAct::Given, at("2026-11-02T00:00:00Z"))];
        assert_eq!(consent_to_confirm(&renewal, &ConsentState::of(again)), None);
        assert_eq!(consent_to_confirm(&renewal, &ConsentState::default()), None, "nothing to confirm");
        let change = CertificationProgress::apply(date(2026, 11, 2), ApplicationKind::Change);
        assert_eq!(consent_to_confirm(&change, &given), None);
        renewal.closing = Some(Closing::Withdrawn(date(2026, 11, 9)));
        assert_eq!(consent_to_confirm(&renewal, &given), None);
    }

    #[test]
    fn a_period_warns_at_ninety_sixty_and_thirty_days_and_after_its_end() {
        let until = date(2027, 3, 31);
        let stage = |today: Date| {
            ending("certification", "認定有効期間", until, "", today, &Config::default())
                .and_then(|warning| warning.stage)
        };
        assert_eq!(stage(date(2026, 12, 30)), None);
        assert_eq!(stage(date(2026, 12, 31)), Some(90));
        assert_eq!(stage(date(2027, 1, 29)), Some(90));
        assert_eq!(stage(date(2027, 1, 30)), Some(60));
        assert_eq!(stage(date(2027, 3, 1)), Some(30));
        assert_eq!(stage(until), Some(30));
        assert_eq!(stage(date(2027, 4, 1)), Some(0));
    }

    /// A burden-rate card whose last line ends on a day.
    fn rate_until(until: Date) -> CopaymentRate {
        let period = |from: Date, to: Date| Period::new(from, Some(to)).unwrap();
        let before = until.checked_sub(jiff::Span::new().days(200)).unwrap();
        let line = |tenths, period| CopaymentPeriod { rate: Tenths::new(tenths).unwrap(), period };
        CopaymentRate {
            issued_on: date(2026, 7, 20),
            rows: vec![line(1, period(date(2026, 1, 1), before)), line(2, period(before.tomorrow().unwrap(), until))],
        }
    }

    fn ceiling_until(until: Date) -> CostCeiling {
        CostCeiling {
            issued_on: date(2026, 7, 20),
            period: Period::new(date(2026, 8, 1), Some(until)).unwrap(),
            stage: IncomeStage::First,
            meals_facility: 300,
            meals_short_stay: 300,
            rooms: RoomCeilings {
                unit_private: 880,
                unit_semi_private: 550,
                private_welfare: 380,
                private_health: 550,
                shared: 0,
            },
        }
    }

    #[test]
    fn the_burden_rate_and_the_ceiling_warn_at_ninety_sixty_and_thirty_days_and_after_their_end() {
        let until = date(2027, 7, 31);
        let (rate, ceiling) = (rate_until(until), ceiling_until(until));
        let table = [
            (date(2027, 5, 1), 91, None, ""),
            (date(2027, 5, 2), 90, Some(90), "はあと90日（令和9年7月31日）で終わります。"),
            (date(2027, 5, 31), 61, Some(90), "はあと61日（令和9年7月31日）で終わります。"),
            (date(2027, 6, 1), 60, Some(60), "はあと60日（令和9年7月31日）で終わります。"),
            (date(2027, 6, 30), 31, Some(60), "はあと31日（令和9年7月31日）で終わります。"),
            (date(2027, 7, 1), 30, Some(30), "はあと30日（令和9年7月31日）で終わります。"),
            (date(2027, 7, 30), 1, Some(30), "はあと1日（令和9年7月31日）で終わります。"),
            (date(2027, 7, 31), 0, Some(30), "は今日までです。"),
            (date(2027, 8, 1), -1, Some(0), "が令和9年7月31日に終わっています。"),
        ];
        let next = [
            ("copayment", "負担割合", "新しい負担割合証を確かめてください"),
            ("ceiling", "負担限度額", "負担限度額の申請を確かめてください"),
        ];
        for (today, days, stage, words) in table {
            let found = warnings(None, Some(&rate), Some(&ceiling), today, &Config::default());
            let expected: Vec<Warning> = next
                .into_iter()
                .filter(|_| stage.is_some())
                .map(|(what, name, next)| Warning {
                    what,
                    name,
                    until: Some(until),
                    days_left: Some(days),
                    stage,
                    message: format!("{name}{words}{next}"),
                })
                .collect();
            assert_eq!(found, expected, "{today}");
        }
        // Each only of what may be seen, and of the last line of the card.
        let day = date(2027, 7, 1);
        let only = |rate, ceiling| {
            let found = warnings(None, rate, ceiling, day, &Config::default());
            found.iter().map(|warning| warning.what).collect::<Vec<_>>()
        };
        assert_eq!(only(Some(&rate), None), ["copayment"]);
        assert_eq!(only(None, Some(&ceiling)), ["ceiling"]);
        assert_eq!(only(None, None), [""; 0]);
    }
}
