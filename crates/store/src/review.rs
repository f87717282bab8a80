//! 担当事業所登録の見直し (P-111): registrations that something else put in doubt. Opens no door: what the municipality does
//! about one is done to the registration itself.

use crate::engine::{Row, args};
use crate::office::instant;
use crate::{Store, StoreError, Tx};
use kiban_domain::{InsuredNumber, InsurerNumber, OfficeNumber, PersonKey, Timestamp};

const PUT: &str = "INSERT INTO registration_review (insurer_number, review_id, insured_number, office_number, cause, source, opened_at, waiting, closed_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL)";
const CLOSE: &str = "UPDATE registration_review SET waiting = $5, closed_at = $4
     WHERE insurer_number = $1 AND insured_number = $2 AND office_number = $3 AND closed_at IS NULL";
const OF_OFFICE: &str =
    "SELECT review_id, insured_number, office_number, cause, source, opened_at, closed_at FROM registration_review
     WHERE insurer_number = $1 AND insured_number = $2 AND office_number = $3";
const ONE: &str =
    "SELECT review_id, insured_number, office_number, cause, source, opened_at, closed_at FROM registration_review
     WHERE insurer_number = $1 AND review_id = $2";
const PAGE: &str =
    "SELECT review_id, insured_number, office_number, cause, source, opened_at, closed_at FROM registration_review
     WHERE insurer_number = $1 AND waiting = $2 AND (opened_at, review_id) > ($3, $4) ORDER BY opened_at, review_id LIMIT $5";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, CLOSE, OF_OFFICE, ONE, PAGE];

/// Why a registration is looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewCause {
    /// 届出: another office makes the plan from now on.
    PlanRequest,
    /// 届出: the office itself makes no plan any more.
    PlanEnd,
    /// 転出
    MovedOut,
    /// 死亡
    Died,
    /// 被保険者証: the city's own row names another 居宅介護支援事業者.
    PlanningOffice,
    /// 資格喪失 for another reason
    Lost,
    /// 施設入所
    Facility,
    /// 番号異動: the office registers the new number.
    Renumbered,
}

impl ReviewCause {
    /// Code under which it is stored.
    pub fn code(self) -> &'static str {
        match self {
            Self::PlanRequest => "plan_request",
            Self::PlanEnd => "plan_end",
            Self::PlanningOffice => "planning_office",
            Self::MovedOut => "moved_out",
            Self::Died => "died",
            Self::Lost => "lost",
            Self::Facility => "facility",
            Self::Renumbered => "renumbered",
        }
    }

    fn parse(code: &str) -> Option<Self> {
        let all = [
            Self::PlanRequest,
            Self::PlanEnd,
            Self::PlanningOffice,
            Self::MovedOut,
            Self::Died,
            Self::Lost,
            Self::Facility,
            Self::Renumbered,
        ];
        all.into_iter().find(|cause| cause.code() == code)
    }
}

/// A registration to be looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationReview {
    /// Random id.
    pub id: String,
    /// About whom.
    pub person: PersonKey,
    /// Whose registration.
    pub office: OfficeNumber,
    /// Why.
    pub cause: ReviewCause,
    /// 受付番号 of what caused it.
    pub source: String,
    /// Since when.
    pub opened_at: Timestamp,
    /// When the municipality or the office settled it.
    pub closed_at: Option<Timestamp>,
}

impl Tx {
    /// Puts a registration on the municipality's list; false when it waits there already.
    pub async fn open_review(&mut self, review: &RegistrationReview) -> Result<bool, StoreError> {
        let (insurer, insured) = (review.person.insurer.as_str(), review.person.insured.as_str());
        let waiting = self.raw.rows(OF_OFFICE, args![insurer, insured, review.office.as_str()]).await?;
        for row in &waiting {
            if row.big_or_null(6)?.is_none() {
                return Ok(false);
            }
        }
        let (cause, at) = (review.cause.code(), review.opened_at.as_microsecond());
        let office = review.office.as_str();
        self.raw.run(PUT, args![insurer, &review.id, insured, office, cause, &review.source, at, true]).await?;
        Ok(true)
    }

    /// Whether a registration waits on the municipality's list.
    pub async fn is_under_review(&mut self, person: PersonKey, office: OfficeNumber) -> Result<bool, StoreError> {
        let values = args![person.insurer.as_str(), person.insured.as_str(), office.as_str()];
        for row in &self.raw.rows(OF_OFFICE, values).await? {
            if row.big_or_null(6)?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The registration was kept or ended: it waits no longer.
    pub async fn close_reviews(
        &mut self,
        person: PersonKey,
        office: OfficeNumber,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let (insurer, insured) = (person.insurer.as_str(), person.insured.as_str());
        self.raw.run(CLOSE, args![insurer, insured, office.as_str(), at.as_microsecond(), false]).await?;
        Ok(())
    }
}

impl Store {
    /// Every review there was of one registration.
    pub async fn reviews_of_registration(
        &self,
        person: PersonKey,
        office: OfficeNumber,
    ) -> Result<Vec<RegistrationReview>, StoreError> {
        let key = args![person.insurer.as_str(), person.insured.as_str(), office.as_str()];
        let rows = self.engine.rows(OF_OFFICE, key).await?;
        rows.iter().filter_map(|row| review(person.insurer, row).transpose()).collect()
    }

    /// What waits, oldest first, after the entry with this id.
    pub async fn reviews(
        &self,
        insurer: InsurerNumber,
        after: Option<&str>,
        limit: i32,
    ) -> Result<Vec<RegistrationReview>, StoreError> {
        let last = match after {
            Some(id) => match self.engine.rows(ONE, args![insurer.as_str(), id]).await?.first() {
                Some(row) => review(insurer, row)?,
                None => return Ok(Vec::new()),
            }
            .map(|last| (last.opened_at.as_microsecond(), last.id)),
            None => None,
        };
        let (at, id) = last.unwrap_or((i64::MIN, String::new()));
        let rows = self.engine.rows(PAGE, args![insurer.as_str(), true, at, &id, limit]).await?;
        rows.iter().filter_map(|row| review(insurer, row).transpose()).collect()
    }
}

/// A row with a cause of a later version is left out.
fn review(insurer: InsurerNumber, row: &Row) -> Result<Option<RegistrationReview>, StoreError> {
    let unreadable = |_| StoreError::Unreadable("registration_review");
    let Some(cause) = ReviewCause::parse(&row.text(3)?) else { return Ok(None) };
    Ok(Some(RegistrationReview {
        id: row.text(0)?,
        person: PersonKey { insurer, insured: InsuredNumber::parse(&row.text(1)?).map_err(unreadable)? },
        office: OfficeNumber::parse(&row.text(2)?).map_err(unreadable)?,
        cause,
        source: row.text(4)?,
        opened_at: instant(row.big(5)?)?,
        closed_at: row.big_or_null(6)?.map(instant).transpose()?,
    }))
}
