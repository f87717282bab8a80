//! The facts of one access decision, gathered in one round trip (decision 0006.1, 25).

use crate::assignment::{Columns, request_door};
use crate::consent::act_from;
use crate::engine::{Row, args};
use crate::insurer::start_from;
use crate::office::{instant, switch_door};
use crate::person::Version;
use crate::receipt::open_list;
use crate::{Store, StoreError};
use kiban_domain::assignment::Assignment;
use kiban_domain::consent::{ConsentAct, ConsentState};
use kiban_domain::municipality::StartState;
use kiban_domain::office::StaffId;
use kiban_domain::{InsurerNumber, OfficeNumber, Organization, PersonKey};

/// One statement, seven questions. Columns: what, five texts, three numbers, a flag, the MAC.
const FACTS: &str = "
SELECT 'person' AS what, card_insurer AS t1, CAST(NULL AS TEXT) AS t2, CAST(NULL AS TEXT) AS t3, CAST(NULL AS TEXT) AS t4, CAST(NULL AS TEXT) AS t5,
       CAST(gone_on AS BIGINT) AS n1, revision AS n2, history_number AS n3, CASE WHEN withheld THEN 1 ELSE 0 END AS flag, mac
  FROM person WHERE insurer_number = $1 AND insured_number = $2
UNION ALL SELECT 'insurer', start_state, NULL, NULL, NULL, NULL, start_on, NULL, NULL, 0, mac
  FROM insurer WHERE insurer_number = $1
UNION ALL SELECT 'assignment', office_number, identity_check, registered_by, plan_maker, end_reason, registered_at, viewable_until, ended_at,
       CASE WHEN confirmed THEN 1 ELSE 0 END, mac
  FROM assignment WHERE insurer_number = $1 AND insured_number = $2 AND office_number = $3
UNION ALL SELECT 'request', office_number, natural_key, NULL, NULL, NULL, requested_on, applied_on, revision, 0, mac
  FROM opinion_request WHERE insurer_number = $1 AND insured_number = $2 AND office_number = $3
UNION ALL SELECT 'consent', act_id, act, kind, NULL, NULL, acted_at, revision, NULL, 0, mac
  FROM consent_act WHERE insurer_number = $1 AND insured_number = $2
UNION ALL SELECT 'switch', staff_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, CASE WHEN hidden THEN 1 ELSE 0 END, mac
  FROM staff_switch WHERE organization = $4 AND staff_id = $5 AND insurer_number = $1 AND insured_number = $2
UNION ALL SELECT 'receipts', open_receipts, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, mac
  FROM receipt_counter WHERE insurer_number = $1";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[FACTS];

/// What the store knows that bears on a decision about one person for one caller. Rows whose MAC fails are absent.
#[derive(Debug, Clone)]
pub struct PersonFacts {
    /// Whether the person is known here and not only from an unapplied receipt.
    pub known: bool,
    /// Receipt that wrote the person last.
    pub person_revision: i64,
    /// 証記載保険者番号: the municipality in which the person is insured, member of a union or not.
    pub card_insurer: Option<InsurerNumber>,
    /// 不開示
    pub withheld: bool,
    /// 資格喪失日, as a number; `None` while insured here.
    pub gone_on: Option<i32>,
    /// Start of use of the insurer.
    pub start: StartState,
    /// The caller office's registration, live or not.
    pub assignment: Option<Assignment>,
    /// Newest 意見書依頼日 to the caller hospital, as a number.
    pub opinion_requested_on: Option<i32>,
    /// The office switched this person off for this staff member.
    pub switched_off: bool,
    /// Consent that follows from all acts; none at all when an act is damaged.
    pub consent: ConsentState,
    /// An act was altered outside the platform: it may have been a withdrawal, so nothing counts as consented.
    pub consent_damaged: bool,
    /// Receipts whose rows are not visible yet.
    pub unapplied: Vec<i64>,
}

impl Store {
    /// Gathers the facts for a caller. `office` is empty for callers that are not an office.
    pub async fn person_facts(
        &self,
        person: PersonKey,
        organization: Organization,
        office: Option<OfficeNumber>,
        staff: Option<&StaffId>,
    ) -> Result<PersonFacts, StoreError> {
        let office = office.map(|n| n.to_string()).unwrap_or_default();
        let staff = staff.map(|s| s.0.as_str()).unwrap_or_default();
        let rows = self
            .engine
            .rows(
                FACTS,
                args![person.insurer.as_str(), person.insured.as_str(), &office, &organization.to_string(), staff],
            )
            .await?;
        let mut facts = PersonFacts {
            known: false,
            person_revision: 0,
            card_insurer: None,
            withheld: false,
            gone_on: None,
            start: StartState::Undecided,
            assignment: None,
            opinion_requested_on: None,
            switched_off: false,
            consent: ConsentState::default(),
            consent_damaged: false,
            unapplied: Vec::new(),
        };
        // With the receipt that wrote each: only at the end is it known which receipts are not applied.
        let (mut acts, mut requests, mut receipts_damaged) = (Vec::new(), Vec::new(), false);
        let mut versions = Versions::default();
        for row in &rows {
            match row.text(0)?.as_str() {
                "person" => versions.read(row, &person, self)?,
                "insurer" => {
                    facts.start =
                        start_from(&self.keys, person.insurer.as_str(), &row.text(1)?, day(row, 6)?, &row.blob(10)?)
                }
                "assignment" => {
                    facts.assignment = Columns {
                        office: row.text(1)?,
                        check: row.text(2)?,
                        registered_by: row.text(3)?,
                        plan_maker: row.text_or_null(4)?,
                        end_reason: row.text_or_null(5)?,
                        registered_at: row.big(6)?,
                        viewable_until: row.big(7)? as i32,
                        ended_at: row.big_or_null(8)?,
                        confirmed: row.int(9)? == 1,
                    }
                    .open(&self.keys, &person, &row.blob(10)?)?;
                }
                "request" => {
                    let (requested, applied, revision) = (row.big(6)? as i32, row.big(7)? as i32, row.big(8)?);
                    let door = request_door(&person, &row.text(2)?, &row.text(1)?, requested, applied, revision);
                    if door.fits(&self.keys, &row.blob(10)?) {
                        requests.push((revision, requested));
                    }
                }
                "consent" => {
                    let (id, act, kind, at) = (row.text(1)?, row.text(2)?, row.text_or_null(3)?, row.big(6)?);
                    let revision = row.big(7)?;
                    match act_from(&self.keys, &person, &id, &act, kind.as_deref(), (at, revision), &row.blob(10)?) {
                        Some(act) => acts.push((revision, act, instant(at)?)),
                        None => facts.consent_damaged = true,
                    }
                }
                "switch" => {
                    let hidden = row.int(9)? == 1;
                    // A damaged switch hides: the office wanted something hidden.
                    facts.switched_off =
                        hidden || !switch_door(staff, &person, hidden).fits(&self.keys, &row.blob(10)?);
                }
                _ => {
                    let mac = row.blob_or_null(10)?.unwrap_or_default();
                    match open_list(&self.keys, person.insurer, &row.text(1)?, &mac) {
                        Some(open) => facts.unapplied = open,
                        None => receipts_damaged = true,
                    }
                }
            }
        }
        // With an altered list of open receipts nothing counts as applied.
        let applied = |revision: &i64| !receipts_damaged && !facts.unapplied.contains(revision);
        if let Some(present) = versions.present(applied) {
            facts.known = true;
            facts.person_revision = present.revision;
            facts.card_insurer = present.card_insurer;
            facts.gone_on = present.gone_on;
        }
        facts.withheld = versions.withheld;
        facts.opinion_requested_on =
            requests.iter().filter(|(revision, _)| applied(revision)).map(|(_, day)| *day).max();
        // What closes counts from the moment it is stored; what opens waits until its whole receipt is applied.
        acts.retain(|(revision, act, _)| applied(revision) || !opens(*act));
        if !facts.consent_damaged {
            facts.consent = ConsentState::of(acts.iter().map(|(_, act, at)| (act, *at)));
        }
        Ok(facts)
    }
}

/// The versions of a person: the present one is the highest 履歴番号 of an applied receipt, of that the latest.
#[derive(Default)]
struct Versions {
    all: Vec<PresentVersion>,
    /// Any of them says 不開示, applied or not: what closes counts from the moment it is stored.
    withheld: bool,
    /// One was altered outside the platform: it may have been the one that closes.
    damaged: bool,
}

struct PresentVersion {
    history_number: i64,
    revision: i64,
    card_insurer: Option<InsurerNumber>,
    gone_on: Option<i32>,
}

impl Versions {
    fn read(&mut self, row: &Row, person: &PersonKey, store: &Store) -> Result<(), StoreError> {
        let (card_insurer, gone_on) = (row.text(1)?, day(row, 6)?);
        let (revision, history_number, withheld) = (row.big(7)?, row.big(8)?, row.int(9)? == 1);
        let version = Version { history_number, revision, withheld, gone_on };
        self.damaged |= !version.fits(&store.keys, person, &card_insurer, &row.blob(10)?);
        self.withheld |= withheld;
        let card_insurer = InsurerNumber::parse(&card_insurer).ok();
        self.all.push(PresentVersion { history_number, revision, card_insurer, gone_on });
        Ok(())
    }

    /// A person first written by a receipt that is not applied yet does not exist (packages go in blocks).
    fn present(self: &Versions, applied: impl Fn(&i64) -> bool) -> Option<&PresentVersion> {
        let versions = self.all.iter().filter(|version| applied(&version.revision) && !self.damaged);
        versions.max_by_key(|version| (version.history_number, version.revision))
    }
}

fn opens(act: ConsentAct) -> bool {
    match act {
        ConsentAct::Given | ConsentAct::KindAllowed(_) | ConsentAct::NotObtainable => true,
        ConsentAct::Withdrawn | ConsentAct::KindRefused(_) => false,
    }
}

fn day(row: &Row, column: usize) -> Result<Option<i32>, StoreError> {
    Ok(row.big_or_null(column)?.map(|day| day as i32))
}
