//! 担当利用者の一覧: an office's own people with consent, 閲覧期限, 認定期限 and 進捗 (P-140, P-168, P-213), the page that ends
//! telephone calls to city hall. Each value only where the decision allows it.

use crate::consent::{asked_since, is_certified, taker_of};
use crate::decision::{Case, Question, TOGETHER};
use crate::renewals::{Warning, consent_to_confirm, warnings};
use crate::view::{accepted_on, lacks_opinion, latest};
use crate::{Caller, Context, Error, Platform};
use kiban_domain::certification::{CertificationProgress, Step};
use kiban_domain::insurance_card::{CopaymentRate, CostCeiling, InsuranceCard};
use kiban_domain::municipality::StartState;
use kiban_domain::office::{Office, OfficeClass};
use kiban_domain::{Date, Kind, OfficeNumber, PersonKey, dates};
use kiban_policy::{ConsentSubject, UseCase, may_take_consent};
use kiban_store::{CoveredBy, Entry, Outcome, StoredRecord, UnopenedPerson};
use serde::Serialize;
use std::collections::BTreeMap;

/// Kinds from which a line is made.
const LISTED: [Kind; 4] = [Kind::A3a, Kind::A3b, Kind::A3c, Kind::A5];

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PersonStatus {
    /// Handle of the person for this office.
    pub handle: String,
    /// 被保険者番号
    pub insured_number: String,
    /// 保険者番号
    pub insurer_number: String,
    /// 氏名
    pub name: Option<String>,
    /// フリガナ
    pub kana: Option<String>,
    /// `given`, `missing`, `withdrawn`, `not_obtainable`; absent when it may no longer be known.
    pub consent: Option<&'static str>,
    /// 閲覧期限 of the registration, if there is one.
    pub viewable_until: Option<Date>,
    /// Whether the registration is live today.
    pub live: bool,
    /// 意見書依頼日 to this hospital, if the city asked it for an opinion (P-048).
    pub opinion_requested_on: Option<Date>,
    /// 要介護状態区分
    pub care_level: Option<&'static str>,
    /// 認定有効期間の終了日
    pub certified_until: Option<Date>,
    /// Days until then; negative when past (P-033 warns at 90, 60, 30).
    pub days_left: Option<i32>,
    /// Latest application: step reached.
    pub step: Option<Step>,
    /// Its name.
    pub step_name: Option<&'static str>,
    /// Start of use of the municipality (P-150).
    pub start: StartState,
    /// 未開始 with its day, in words; absent once the municipality has started.
    pub not_started: Option<String>,
    /// What ends within 90 days or has ended, and 給付制限 in force (P-032, P-033).
    pub warnings: Vec<Warning>,
    /// Dates of the latest application, for the page of the list.
    #[serde(skip)]
    pub progress: Option<CertificationProgress>,
    /// Whether the caller may take this person's consent (P-063), for the page of the list.
    #[serde(skip)]
    pub may_take_consent: bool,
}

/// Which lines of the list are asked for.
#[derive(Debug, Clone)]
pub struct PeoplePage {
    /// Handle of the last line of the page before.
    pub after: Option<String>,
    /// Most lines.
    pub limit: i32,
}

impl Platform {
    /// The office's people in key order.
    pub async fn list_people<E: From<Error>>(
        &self,
        caller: &Caller,
        page: Result<PeoplePage, E>,
        context: &Context,
    ) -> Result<Vec<PersonStatus>, E> {
        let Some((office, _)) = self.may_list(caller, context)? else { return Err(Error::Unknown.into()) };
        let PeoplePage { after, limit } = page?;
        Ok(self.page_of_people(caller, office.number, after.as_deref(), limit, context).await?)
    }

    /// The office whose list it is.
    fn may_list<'a>(&self, caller: &'a Caller, context: &Context) -> Result<Option<&'a (Office, OfficeClass)>, Error> {
        caller.require_way(UseCase::ListPeople, self.table_at(context.now)?)?;
        Ok(caller.office.as_ref())
    }

    async fn page_of_people(
        &self,
        caller: &Caller,
        office: OfficeNumber,
        after: Option<&str>,
        limit: i32,
        context: &Context,
    ) -> Result<Vec<PersonStatus>, Error> {
        let mut after = match after {
            Some(handle) => Some(self.person_of(caller, handle).await?),
            None => None,
        };
        let (mut lines, mut keys) = (Vec::new(), Vec::new());
        let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
        // Memberships that no longer count are passed over, so a page is short only at the end of the list.
        'page: loop {
            let people = self.store().people_of_office(office, after, limit).await?;
            let mut cases = Vec::with_capacity(people.len());
            for together in people.chunks(TOGETHER) {
                cases.extend(self.cases_with(caller, together, (&LISTED, true), context).await?);
            }
            for (case, unopened) in cases {
                // The membership table only lists; assignment and request alone decide (decision 0006.14).
                let registered = case.stored.assignment.as_ref().is_some_and(|a| a.ended.is_none());
                if !case.stored.known
                    || case.stored.switched_off
                    || !(registered
                        || case
                            .stored
                            .opinion_requested_on
                            .is_some_and(|day| self.is_request_live(day, context.today())))
                {
                    continue;
                }
                let person = case.person;
                seen.entry(person.insurer.to_string()).or_default().push(person.insured.to_string());
                lines.push(self.line(caller, &case, &unopened, context).await?);
                keys.push(person);
                if lines.len() == limit as usize {
                    break 'page;
                }
            }
            match people.last() {
                Some(last) => after = Some(*last),
                None => break,
            }
        }
        self.note_accepted_opinions(&keys, &mut lines).await?;
        for (insurer, subjects) in seen {
            let entry = caller.entry(context, "list_people", Outcome::Allowed);
            self.store().audit().append(Entry { insurer: Some(insurer), subjects, ..entry }).await?;
        }
        Ok(lines)
    }

    /// 意見書入手日 of the applications of which the municipality accepted an opinion here while its own row does not name the day
    /// yet. It is an item of 進捗, and stands only in lines that show it.
    async fn note_accepted_opinions(&self, keys: &[PersonKey], lines: &mut [PersonStatus]) -> Result<(), Error> {
        let lacking = |line: &PersonStatus| line.progress.as_ref().is_some_and(lacks_opinion);
        let asked: Vec<PersonKey> =
            keys.iter().zip(lines.iter()).filter(|(_, line)| lacking(line)).map(|(key, _)| *key).collect();
        let accepted = self.store().accepted_submissions(Kind::A2, &asked).await?;
        for (key, line) in keys.iter().zip(lines) {
            if let Some(progress) = line.progress.as_mut().filter(|progress| lacks_opinion(progress)) {
                progress.opinion_received_on = accepted_on(&accepted, *key, progress.applied_on);
                line.step = Some(progress.step());
                line.step_name = Some(progress.step().name_ja());
            }
        }
        Ok(())
    }

    async fn line(
        &self,
        caller: &Caller,
        case: &Case,
        unopened: &UnopenedPerson,
        context: &Context,
    ) -> Result<PersonStatus, Error> {
        let today = context.today();
        let (now, unapplied) = (context.now, &case.stored.unapplied);
        let (mut card, mut progress): (Option<InsuranceCard>, Option<CertificationProgress>) = (None, None);
        let mut asked_by_municipality = false;
        let (mut rate, mut ceiling): (Option<CopaymentRate>, Option<CostCeiling>) = (None, None);
        // Covered by the one entry of the list, made before it is answered.
        for kind in LISTED.into_iter().filter(|kind| case.decide(Question::read(*kind)).is_allowed()) {
            let records: Vec<StoredRecord> = unopened.records(kind)?.under(CoveredBy::List);
            match kind {
                Kind::A3a => card = latest(records, now, unapplied),
                Kind::A3b => rate = latest(records, now, unapplied),
                Kind::A3c => ceiling = latest(records, now, unapplied),
                _ => {
                    let records = StoredRecord::as_known(records, now, unapplied);
                    asked_by_municipality = asked_since(&records, case.stored.start.date());
                    progress = latest(records, now, unapplied);
                }
            }
        }
        let subject = ConsentSubject {
            certified: card.as_ref().is_some_and(|card| is_certified(card, today)),
            asked_by_municipality,
        };
        let is_open = caller.require_way(UseCase::RecordConsent, case.table).is_ok();
        let may_take_consent = is_open && may_take_consent(taker_of(caller, case), subject, case.table).is_ok();
        let mut warnings = warnings(card.as_ref(), rate.as_ref(), ceiling.as_ref(), today, &self.inner.config);
        if case.decide(Question::read(Kind::G1)).is_allowed() {
            warnings.extend(progress.as_ref().and_then(|one| consent_to_confirm(one, &case.stored.consent)));
        }
        let mut identity = None;
        if case.decide(Question::read(Kind::A3a)).is_allowed()
            && let Some(insured) = unopened.identity()?
        {
            identity = Some(insured.under(CoveredBy::List).identity);
        }
        let certified = card.and_then(|card| card.certified);
        let until = certified.as_ref().and_then(|c| c.valid).and_then(|valid| valid.to());
        let consent = &case.stored.consent;
        let registration = case.stored.assignment.as_ref().filter(|a| a.ended.is_none());
        let viewable_until = registration.map(|a| a.viewable_until);
        Ok(PersonStatus {
            handle: self.handle_of(caller, case.person).await?,
            insured_number: case.person.insured.to_string(),
            insurer_number: case.person.insurer.to_string(),
            name: identity.as_ref().map(|i| i.name.clone()),
            kana: identity.map(|i| i.kana),
            consent: case.decide(Question::read(Kind::G1)).is_allowed().then_some(
                match (consent.given_at, consent.withdrawn_at, consent.not_obtainable) {
                    (Some(_), _, _) => "given",
                    (None, Some(_), _) => "withdrawn",
                    (None, None, true) => "not_obtainable",
                    _ => "missing",
                },
            ),
            live: viewable_until.is_some_and(|until| today <= until),
            viewable_until,
            opinion_requested_on: case.stored.opinion_requested_on.and_then(|day| dates::from_number(day).ok()),
            care_level: certified.map(|c| c.level.name_ja()),
            certified_until: until,
            days_left: until.map(|until| (until - today).get_days()),
            step: progress.as_ref().map(CertificationProgress::step),
            step_name: progress.as_ref().map(|p| p.step().name_ja()),
            start: case.stored.start,
            not_started: crate::start::not_started(case.stored.start, today),
            warnings,
            progress,
            may_take_consent,
        })
    }
}
