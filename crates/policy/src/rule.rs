//! Rule ids and their reasons (`tables/reasons.tsv`): what a decision cites, an audit entry stores and a screen says.

use crate::table::TableError;
use crate::tsv;

macro_rules! rules {
    ($($(#[doc = $doc:literal])* $variant:ident $code:literal,)+) => {
        /// The rule that settled a decision. Its number, source and sentence are in `tables/reasons.tsv`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule { $($(#[doc = $doc])* $variant,)+ }

        impl Rule {
            /// All rules, in the order of the enum.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Id as it stands in the table, in audit entries and in problem documents.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// Inverse of [`Rule::code`].
            pub fn parse(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|rule| rule.code() == code)
            }
        }
    };
}

rules! {
    /// The person's own information (P-001).
    OwnInformation "own_information",
    /// A proxy accepted by the city (P-002).
    Proxy "proxy",
    /// The insurer of the person (P-003).
    OwnMunicipality "own_municipality",
    /// A live 担当事業所登録 (P-100).
    AssignedOffice "assigned_office",
    /// The office wrote the document itself (P-005).
    Author "author",
    /// The city asked this hospital for an opinion (P-048).
    OpinionRequest "opinion_request",
    /// A running disaster mode stands in for the assignment (P-121).
    Disaster "disaster",
    /// ◎ with 包括同意 (P-061).
    Consented "consented",
    /// ◎ of the person's own (P-051).
    OwnConsentNotNeeded "own_consent_not_needed",
    /// ◎ shown under a disaster mode opened without consent (P-125).
    DisasterWithoutConsent "disaster_without_consent",
    /// The caller may write this kind (P-005).
    Writer "writer",
    /// The caller's office sent this message, or may send such ones (P-142).
    SlipSender "slip_sender",
    /// This message was sent to the caller's office (P-142).
    SlipAddressee "slip_addressee",
    /// Certificate or log-in not valid (P-180).
    SessionInvalid "session_invalid",
    /// The municipality has not started (P-150).
    NotStarted "not_started",
    /// ※3: not stored here (P-044).
    NotStored "not_stored",
    /// Blank cell: as if nothing existed (P-041).
    BlankCell "blank_cell",
    /// A role without any column: operator, prefecture (P-009, P-010).
    NoAudience "no_audience",
    /// ※2: this office cannot be the writer of an opinion (P-043).
    NotOpinionWriter "not_opinion_writer",
    /// Only the filing office sees this filing (P-138).
    NotOwnFiling "not_own_filing",
    /// Opinion not yet accepted by the city (step 3b).
    OpinionNotAccepted "opinion_not_accepted",
    /// Opinion before 2026-04-01 whose doctor refused (step 3b).
    DoctorRefused "doctor_refused",
    /// Log-in not bound to this person (P-001).
    NotBound "not_bound",
    /// Proxy not accepted, ended, or suspended (P-002).
    ProxyNotLive "proxy_not_live",
    /// Another municipality's person (P-049).
    OtherMunicipality "other_municipality",
    /// No live assignment (P-100, P-108, P-112).
    NotAssigned "not_assigned",
    /// 同意未取得 (P-056).
    ConsentMissing "consent_missing",
    /// The person refused this kind; screens say 同意未取得 (P-069).
    KindRefused "kind_refused",
    /// Not the plan maker of this person (P-042).
    NotPlanMaker "not_plan_maker",
    /// Not a 介護支援専門員 (P-013).
    NotCareManager "not_care_manager",
    /// The office's own switch (P-014).
    SwitchedOff "switched_off",
    /// Hospital without care service (P-045).
    HospitalWithoutCare "hospital_without_care",
    /// 不開示 (P-037).
    Withheld "withheld",
    /// This role does not write this kind.
    NotWriter "not_writer",
    /// Somebody else's document cannot be changed.
    NotCreator "not_creator",
    /// This office may not take consent (P-063).
    ConsentNotTaker "consent_not_taker",
    /// The city takes the consent of this person (P-063).
    ConsentByMunicipality "consent_by_municipality",
    /// Only the office's own administrator (P-014).
    NotAdministrator "not_administrator",
    /// Not open to this way in (P-165).
    NotThisWay "not_this_way",
    /// Such an office does not send such files (P-142).
    NotSlipSender "not_slip_sender",
    /// Neither sender nor addressee: as if there were no such message (P-142).
    NotSlipParty "not_slip_party",
    /// The message stands where this is not possible (any more).
    SlipState "slip_state",
    /// A function that is not offered (P-144).
    NotOffered "not_offered",
}

/// What a rule says for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Number of the step in docs/access.md, 1–9.
    pub step: u8,
    /// P-number.
    pub requirement: String,
    /// Short name of the source, explained at the top of the table.
    pub source: String,
    /// Why, in Japanese, for the screen.
    pub reason: String,
    /// What to do next, in Japanese.
    pub next: String,
}

/// Reads `reasons.tsv`: every rule exactly once.
pub(crate) fn parse(text: &str) -> Result<Vec<Reason>, TableError> {
    let columns = ["規則", "手順", "要件", "典拠", "画面の理由", "次にすること"];
    let mut found: Vec<Option<Reason>> = vec![None; Rule::ALL.len()];
    for line in tsv::lines("reasons.tsv", text, &columns)? {
        let rule = line.read(0, Rule::parse)?;
        let slot = found.get_mut(rule as usize).filter(|slot| slot.is_none()).ok_or_else(|| line.error(0))?;
        *slot = Some(Reason {
            step: line.read(1, |text| text.parse().ok().filter(|step| (1..=9).contains(step)))?,
            requirement: line.text(2)?.to_owned(),
            source: line.text(3)?.to_owned(),
            reason: line.text(4)?.to_owned(),
            next: line.text(5)?.to_owned(),
        });
    }
    let missing = || TableError::new("reasons.tsv", 0, "a rule has no line".to_owned());
    found.into_iter().map(|reason| reason.ok_or_else(missing)).collect()
}
