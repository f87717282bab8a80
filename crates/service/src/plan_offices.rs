//! What an accepted 居宅サービス計画作成依頼届出 changes at once: the card view shows the new office until the city's own row
//! arrives, and the registration of the office before is put before the city for review (P-111, P-138).

use crate::notices::Tell;
use crate::{Caller, Context, Error, Platform, random_id};
use kiban_domain::assignment::Assignment;
use kiban_domain::dates::ServiceMonth;
use kiban_domain::insurance_card::InsuranceCard;
use kiban_domain::notice::NoticeKind;
use kiban_domain::office::OfficeClass;
use kiban_domain::plan_request::{FilingKind, PlanRequest};
use kiban_domain::{Date, InsurerNumber, Kind, OfficeNumber, Organization, PersonKey, Timestamp, dates};
use kiban_policy::{UseCase, class_of};
use kiban_store::{Entry, Outcome, RegistrationReview, ReviewCause, StoreError, StoredRecord, Submission, Tx};
use serde::Serialize;
use serde_json::{Value, json};

/// A registration the municipality is asked to keep or to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Review {
    /// Its id.
    pub id: String,
    /// Handle of the person for the municipality.
    pub handle: String,
    /// 被保険者番号
    pub insured_number: String,
    /// 事業所番号 of the registration.
    pub office: OfficeNumber,
    /// Its name, while it is registered on the platform.
    pub office_name: Option<String>,
    /// `plan_request`, `plan_end`, `planning_office`, `moved_out`, `died`, `lost`, `facility` or `renumbered`.
    pub cause: &'static str,
    /// Why, in Japanese.
    pub cause_name: &'static str,
    /// 受付番号 of the 届出 or of the package that caused it.
    pub source: String,
    /// Since when.
    pub opened_at: Timestamp,
    /// 閲覧期限 of the registration as it stands.
    pub viewable_until: Option<Date>,
}

/// Registrations as an accepted 届出 leaves them.
#[derive(Default)]
pub(crate) struct PlanChange {
    /// As read, and as it is to be.
    changed: Vec<(Assignment, Assignment)>,
    reviews: Vec<RegistrationReview>,
}

impl PlanChange {
    pub(crate) async fn write(&self, tx: &mut Tx) -> Result<(), StoreError> {
        for (before, after) in self.changed.iter().filter(|(before, after)| before != after) {
            tx.change_assignment(after, Some(before)).await?;
        }
        Ok(())
    }

    /// For the log: whose registration is under review.
    pub(crate) fn detail(&self) -> Option<String> {
        let offices: Vec<_> = self.reviews.iter().map(|review| review.office).collect();
        (!offices.is_empty()).then(|| json!({ "under_review": offices }).to_string())
    }
}

/// Last day on which the office before may view: it still settles the last month of its plan in the month after.
fn last_viewing_day(changes_on: Date) -> Date {
    ServiceMonth::of(changes_on).plus(1).last_day()
}

impl Platform {
    /// Registrations that an accepted document puts in doubt; none unless it is a 届出.
    pub(crate) async fn plan_change(&self, submission: &Submission, context: &Context) -> Result<PlanChange, Error> {
        let request = submission.payload.as_deref().filter(|_| submission.kind == Kind::F1);
        let Some(payload) = request else { return Ok(PlanChange::default()) };
        let request: PlanRequest =
            serde_json::from_slice(payload).map_err(|error| Error::Internal(error.to_string()))?;
        let ends = request.filing == FilingKind::End;
        let mut change = PlanChange::default();
        for before in self.store().assignments(submission.person).await? {
            let own = before.office == request.office;
            let doubtful = if ends { own } else { !own && self.plans_for(&before, context.now)? };
            if !(doubtful && before.is_live(context.today())) {
                continue;
            }
            let changes_on = request.takes_effect_on();
            let starts = changes_on <= context.today();
            let after = Assignment {
                viewable_until: before.viewable_until.min(last_viewing_day(changes_on).max(context.today())),
                plan_maker: before.plan_maker.clone().filter(|_| !starts),
                ..before.clone()
            };
            change.reviews.push(RegistrationReview {
                id: random_id()?,
                person: submission.person,
                office: before.office,
                cause: if ends { ReviewCause::PlanEnd } else { ReviewCause::PlanRequest },
                source: submission.id.clone(),
                opened_at: context.now,
                closed_at: None,
            });
            change.changed.push((before, after));
        }
        Ok(change)
    }

    /// Begins the reviews of an accepted 届出.
    pub(crate) async fn open_reviews(&self, tx: &mut Tx, plans: &PlanChange, context: &Context) -> Result<(), Error> {
        for (review, (_, after)) in plans.reviews.iter().zip(&plans.changed) {
            self.open_review(tx, review, after.viewable_until, context.now).await?;
        }
        Ok(())
    }

    /// Puts a registration before the city, unless it waits there already, and tells the office (P-111, P-149).
    pub(crate) async fn open_review(
        &self,
        tx: &mut Tx,
        review: &RegistrationReview,
        viewable_until: Date,
        now: Timestamp,
    ) -> Result<(), Error> {
        if !tx.open_review(review).await? {
            return Ok(());
        }
        let (cause, words) = told_cause(review.cause);
        let tell = Tell {
            to: Organization::Office(review.office),
            administrators: false,
            kind: NoticeKind::RegistrationReview,
            about: Some(review.person),
            facts: json!({ "cause": cause, "cause_name": words, "viewable_until": viewable_until }),
            once: &review.id,
        };
        self.tell_at(tx, tell, now).await
    }

    /// Live registrations that the city's own card puts in doubt: of an office that planned before the one named last was filed.
    /// What the city has settled since that filing stays settled.
    pub(crate) async fn offices_before(
        &self,
        person: PersonKey,
        card: &InsuranceCard,
        now: Timestamp,
    ) -> Result<Vec<Assignment>, Error> {
        let today = dates::day_in_japan(now);
        let Some(named) = card.planning_offices.iter().max_by_key(|named| named.filed_on) else {
            return Ok(Vec::new());
        };
        let mut before = Vec::new();
        for registration in self.store().assignments(person).await? {
            let earlier = dates::day_in_japan(registration.registered_at) <= named.filed_on;
            let other = registration.office != named.office && earlier && registration.is_live(today);
            if other && self.plans_for(&registration, now)? {
                let reviews = self.store().reviews_of_registration(person, registration.office).await?;
                let is_settled = reviews.iter().filter_map(|review| review.closed_at);
                if !is_settled.map(dates::day_in_japan).any(|day| day >= named.filed_on) {
                    before.push(registration);
                }
            }
        }
        Ok(before)
    }

    /// The office makes this person's plan, or plans are what it is for.
    fn plans_for(&self, assignment: &Assignment, now: Timestamp) -> Result<bool, Error> {
        let table = self.table_at(now)?;
        let standing = self.standing();
        let class = standing.office(assignment.office).map(|o| class_of(&o.service_types, o.is_hospital, table));
        let planning = matches!(class, Some(OfficeClass::CarePlanning | OfficeClass::CommunitySupport));
        Ok(planning || assignment.plan_maker.is_some())
    }

    /// Registrations that wait for the caller's municipality, oldest first; settled by confirming or ending them.
    pub async fn reviews<E: From<Error>>(
        &self,
        caller: &Caller,
        after: Option<&str>,
        limit: Result<i32, E>,
        context: &Context,
    ) -> Result<Vec<Review>, E> {
        caller.require_way(UseCase::Eligibility, self.table_at(context.now)?)?;
        let Some(insurer) = caller.municipality() else { return Err(Error::Unknown.into()) };
        Ok(self.reviews_of(caller, insurer, after, limit?, context).await?)
    }

    async fn reviews_of(
        &self,
        caller: &Caller,
        insurer: InsurerNumber,
        after: Option<&str>,
        limit: i32,
        context: &Context,
    ) -> Result<Vec<Review>, Error> {
        let waiting = self.store().reviews(insurer, after, limit).await?;
        let mut reviews = Vec::with_capacity(waiting.len());
        for review in waiting {
            let assignments = self.store().assignments(review.person).await?;
            let registration = assignments.into_iter().find(|a| a.office == review.office && a.ended.is_none());
            reviews.push(Review {
                handle: self.handle_of(caller, review.person).await?,
                insured_number: review.person.insured.to_string(),
                office_name: self.standing().office(review.office).map(|office| office.name.clone()),
                office: review.office,
                cause: review.cause.code(),
                cause_name: cause_ja(review.cause),
                source: review.source,
                opened_at: review.opened_at,
                viewable_until: registration.map(|registration| registration.viewable_until),
                id: review.id,
            });
        }
        let subjects = reviews.iter().map(|review| review.insured_number.clone()).collect();
        let entry = caller.entry(context, "reviews", Outcome::Allowed);
        self.store().audit().append(Entry { insurer: Some(insurer.to_string()), subjects, ..entry }).await?;
        Ok(reviews)
    }
}

fn cause_ja(cause: ReviewCause) -> &'static str {
    match cause {
        ReviewCause::PlanRequest => "別の事業所の居宅サービス計画作成依頼届出を受理しました",
        ReviewCause::PlanEnd => "この事業所の居宅サービス計画作成の終了の届出を受理しました",
        ReviewCause::PlanningOffice => "被保険者証に別の居宅介護支援事業者が載りました",
        ReviewCause::MovedOut => "転出により資格を喪失しました",
        ReviewCause::Died => "死亡により資格を喪失しました",
        ReviewCause::Lost => "資格を喪失しました",
        ReviewCause::Facility => "施設に入所しました",
        ReviewCause::Renumbered => "被保険者番号が変わりました。事業所は新しい番号で登録し直します",
    }
}

/// What the office itself is told: why somebody lost the insurance is the city's alone.
fn told_cause(cause: ReviewCause) -> (&'static str, &'static str) {
    let told = match cause {
        ReviewCause::MovedOut | ReviewCause::Died => ReviewCause::Lost,
        other => other,
    };
    (told.code(), cause_ja(told))
}

/// Takes out of the facts of a review what tells where a 不開示 person is or who serves them (P-037).
pub(crate) fn hide_whereabouts(facts: &mut Value) {
    let telling = [ReviewCause::PlanRequest, ReviewCause::PlanningOffice, ReviewCause::Facility];
    if telling.iter().any(|cause| facts["cause"] == cause.code()) {
        facts["cause"] = Value::Null;
        facts["cause_name"] = Value::Null;
    }
}

/// The office of the latest accepted 届出, while the city's own card does not carry it yet. Both lists are what was known
/// at one instant; cards newest first.
pub(crate) fn provisional(cards: &[StoredRecord], filings: &[StoredRecord]) -> Option<Value> {
    let accepted_at = |record: &&StoredRecord| (record.header.recorded_at, record.header.revision);
    let latest = filings.iter().max_by_key(accepted_at)?;
    let request: PlanRequest = serde_json::from_slice(&latest.payload).ok()?;
    let ends = request.filing == FilingKind::End;
    let carried = cards.iter().any(|record| {
        let card = serde_json::from_slice::<InsuranceCard>(&record.payload).ok();
        let lists = card.is_some_and(|card| {
            card.planning_offices.iter().any(|o| o.office == request.office && o.filed_on >= request.filed_on)
        });
        if ends { record.header.recorded_at > latest.header.recorded_at } else { lists }
    });
    (!carried).then(|| {
        json!({
            "office": request.office,
            "name": request.office_name,
            "filed_on": request.filed_on,
            "starts_on": request.starts_on,
            "filing": request.filing,
            "note": "届出は受理済みです。市区町村の被保険者証の行が届くまでの暫定の表示です",
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use kiban_domain::dates::Period;
    use kiban_store::RecordHeader;

    fn stored(kind: Kind, revision: i64, content: &impl Serialize) -> StoredRecord {
        let insurer = InsurerNumber::from_code5("99001").unwrap();
        let header = RecordHeader {
            kind,
            natural_key: "0000000001".to_owned(),
            revision,
            creator: Organization::Municipality(insurer),
            valid: Period::new(date(2026, 11, 1), None).unwrap(),
            recorded_at: Timestamp::from_second(1_790_000_000 + revision).unwrap(),
            deleted: false,
            digest: Vec::new(),
        };
        StoredRecord { header, payload: serde_json::to_vec(content).unwrap() }
    }

    fn card(revision: i64, office: &str, filed_on: &str) -> StoredRecord {
        let planning = json!([{ "office": office, "name": "架空居宅支援", "filed_on": filed_on }]);
        let card = json!({ "issue": { "issued": "2026-04-01" }, "certified": null, "restrictions": [],
            "planning_offices": planning, "facilities": [] });
        stored(Kind::A3a, revision, &card)
    }

    fn filing(revision: i64, office: &str) -> StoredRecord {
        let request = json!({ "person": { "insurer": "990010", "insured": "0000000001" }, "filing": { "kind": "new" },
            "form": "home_care", "office": office, "office_name": "架空居宅支援", "office_address": null,
            "office_telephone": null, "care_manager_name": "計画 一郎", "care_manager": "12345678",
            "starts_on": "2026-12-01", "filed_on": "2026-11-22",
            "filer": { "who": "person", "address": null, "telephone": null }, "person_agrees": true });
        stored(Kind::F1, revision, &request)
    }

    #[test]
    fn an_accepted_filing_is_provisional_until_the_city_names_that_office() {
        let (chosen, other) = ("9970000015", "9970000023");
        let filings = [filing(5, chosen)];
        let shown = |cards: &[StoredRecord]| provisional(cards, &filings).map(|told| told["office"].clone());
        let filed = Some(json!(chosen));
        assert_eq!(shown(&[]), filed, "no card is there yet");
        assert_eq!(shown(&[card(1, other, "2026-04-01")]), filed, "the office before");
        assert_eq!(shown(&[card(9, other, "2026-11-25")]), filed, "the city names another one since");
        assert_eq!(shown(&[card(9, chosen, "2026-11-01")]), filed, "an earlier filing of the same office");
        assert_eq!(shown(&[card(9, chosen, "2026-11-22")]), None, "the city says the same");
        assert_eq!(provisional(&[card(9, other, "2026-11-25")], &[]), None);
    }
}
