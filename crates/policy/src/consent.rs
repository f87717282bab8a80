//! 同意の取得: who may take the comprehensive consent (P-062, P-063) and who may record its withdrawal (P-069).

use kiban_domain::office::{JobType, OfficeClass};

use crate::decide::{Step, Steps};
use crate::office::is_care_manager;
use crate::register::Writer;
use crate::rule::Rule;
use crate::table::{SharingTable, TableError};
use crate::tsv;

/// Who wants to take consent, on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentTaker {
    /// 市区町村 of this person.
    Municipality,
    /// An office.
    Office {
        /// Its class.
        class: OfficeClass,
        /// 職種 of the staff member.
        job: JobType,
        /// Registered for this person, within the 閲覧期限.
        assignment_live: bool,
    },
}

/// What about the person decides whether an office may take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsentSubject {
    /// The person has a certification in force.
    pub certified: bool,
    /// Since its 利用開始日 the municipality has handled an application (新規・更新・区分変更) of this person, hence
    /// asked for consent itself.
    pub asked_by_municipality: bool,
}

/// Whether this taker may take this person's consent, or the rule against it.
pub fn may_take_consent(taker: ConsentTaker, person: ConsentSubject, table: &SharingTable) -> Result<(), Rule> {
    may_take_consent_with(taker, person, table, Steps::default())
}

/// The same with a step disabled or inverted; only the mutation check passes anything but the default.
pub(crate) fn may_take_consent_with(
    taker: ConsentTaker,
    person: ConsentSubject,
    table: &SharingTable,
    steps: Steps,
) -> Result<(), Rule> {
    let require = |step, condition, rule| if steps.holds(step, condition) { Ok(()) } else { Err(rule) };
    let who = match taker {
        ConsentTaker::Municipality => Writer::Municipality,
        ConsentTaker::Office { class, .. } => Writer::Office(class),
    };
    let rule = table.taker(who).ok_or(Rule::ConsentNotTaker)?;
    require(Step::ConsentTaker, rule.when != When::Never, Rule::ConsentNotTaker)?;
    if let ConsentTaker::Office { job, assignment_live, .. } = taker {
        require(Step::ConsentAssigned, assignment_live, Rule::NotAssigned)?;
        let job_fits = !rule.care_manager_only || is_care_manager(job);
        require(Step::ConsentCareManager, job_fits, Rule::NotCareManager)?;
    }
    let limited = rule.when == When::UntilRenewal;
    require(Step::ConsentCertified, !limited || person.certified, Rule::ConsentByMunicipality)?;
    require(Step::ConsentBeforeRenewal, !limited || !person.asked_by_municipality, Rule::ConsentByMunicipality)
}

/// Whether a withdrawal or refusal declared by the person may be recorded here (P-069): at the municipality and at any
/// office registered for the person. Closing a door needs no more than that.
pub fn may_record_withdrawal(taker: ConsentTaker) -> Result<(), Rule> {
    match taker {
        ConsentTaker::Office { assignment_live: false, .. } => Err(Rule::NotAssigned),
        _ => Ok(()),
    }
}

/// Until when a taker may take consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    UntilRenewal,
    Never,
}

/// One line of `consent_takers.tsv`.
#[derive(Debug, Clone)]
pub(crate) struct TakerRule {
    pub(crate) who: Writer,
    pub(crate) when: When,
    pub(crate) care_manager_only: bool,
}

pub(crate) fn parse(text: &str) -> Result<Vec<TakerRule>, TableError> {
    let mut out: Vec<TakerRule> = Vec::new();
    for line in tsv::lines("consent_takers.tsv", text, &["取得者", "条件", "職種", "要件", "理由"])? {
        let who = line.read(0, Writer::parse)?;
        if out.iter().any(|known| known.who == who) {
            return Err(line.error(0));
        }
        let when = line.read(1, |text| match text {
            "常に" => Some(When::Always),
            "更新まで" => Some(When::UntilRenewal),
            "不可" => Some(When::Never),
            _ => None,
        })?;
        let care_manager_only = line.read(2, |text| match text {
            "" => Some(false),
            "care_manager" => Some(true),
            _ => None,
        })?;
        out.push(TakerRule { who, when, care_manager_only });
    }
    Ok(out)
}
