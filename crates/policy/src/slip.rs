//! やりとり: who may do what with a message between two offices (`tables/slips.tsv`, `tables/slip_classes.tsv`; P-142,
//! P-150). It is no line of the sharing table: a message belongs to its sender and its addressee and to nobody else, like
//! a letter. So its facts know no registration, no consent and no start of a municipality; they cannot matter.

use kiban_domain::office::OfficeClass;
use kiban_domain::slip::{SlipContent, SlipState};

use crate::decide::Disclosure;
use crate::facts::CLASSES;
use crate::office::parse_class;
use crate::rule::Rule;
use crate::table::{SharingTable, TableError, class_index};
use crate::tsv;

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlipAct {
    /// 送信: make a new one.
    Send,
    /// See it in a list: from whom, when, how many files; no content.
    Read,
    /// Have the bytes of its files.
    Files,
    /// 取得: take it in; its sender sees when.
    Fetch,
    /// 取消: take it back.
    Withdraw,
    /// 実績返信: answer it with results.
    Answer,
    /// 交付用登録 of the plan it holds (P-143).
    Register,
}

/// What the caller's office is to the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlipParty {
    /// 送信元
    Sender,
    /// 宛先
    Addressee,
    /// Anybody else; also of a number nobody has.
    Nobody,
}

/// Everything a decision about a message depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlipFacts {
    /// To do what.
    pub act: SlipAct,
    /// The caller's office and the message. Of a new one it is the sender.
    pub party: SlipParty,
    /// Where it stands; of a new one [`SlipState::Sent`].
    pub state: SlipState,
    /// What it holds; asked when it is sent.
    pub content: SlipContent,
    /// Class of the caller's office; none for a municipality, a prefecture, the operator and people.
    pub class: Option<OfficeClass>,
    /// Certificate, office, account and session are all valid.
    pub session_valid: bool,
}

/// The outcome about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlipDecision {
    /// Yes, by this rule.
    Allow(Rule),
    /// No, by this rule.
    Refuse(Rule),
}

impl SlipDecision {
    /// Whether it is a yes.
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::Allow(_))
    }

    /// The rule that settled it.
    pub fn rule(self) -> Rule {
        let (Self::Allow(rule) | Self::Refuse(rule)) = self;
        rule
    }

    /// How a refusal is answered: somebody who has nothing to do with a message never learns that there is one.
    pub fn disclosure(self) -> Disclosure {
        match self.rule() {
            Rule::NotSlipParty => Disclosure::Blind,
            _ => Disclosure::Told,
        }
    }
}

/// Decides.
pub fn decide_slip(facts: &SlipFacts, table: &SharingTable) -> SlipDecision {
    let office = facts.class.map(|class| table.slip_class(class));
    if !facts.session_valid {
        return SlipDecision::Refuse(Rule::SessionInvalid);
    }
    if facts.act == SlipAct::Send {
        let sends = office.is_some_and(|rule| match facts.content {
            SlipContent::Plan => rule.sends_plans,
            SlipContent::Actuals => rule.sends_actuals,
        });
        return if sends { SlipDecision::Allow(Rule::SlipSender) } else { SlipDecision::Refuse(Rule::NotSlipSender) };
    }
    let rule = table.slip_rule(facts.act, facts.party).filter(|_| office.is_some());
    let ground = match facts.party {
        SlipParty::Sender => Rule::SlipSender,
        SlipParty::Addressee => Rule::SlipAddressee,
        SlipParty::Nobody => return SlipDecision::Refuse(Rule::NotSlipParty),
    };
    let Some(rule) = rule else { return SlipDecision::Refuse(Rule::NotSlipParty) };
    if rule.open[facts.state as usize] {
        return SlipDecision::Allow(ground);
    }
    // What its sender took back before it was fetched was never there for its addressee.
    let is_gone = facts.party == SlipParty::Addressee && facts.state == SlipState::Withdrawn;
    SlipDecision::Refuse(if is_gone { Rule::NotSlipParty } else { Rule::SlipState })
}

/// Whether an office of this class can be sent messages.
pub fn may_receive_slips(class: OfficeClass, table: &SharingTable) -> bool {
    table.slip_class(class).receives
}

const ACTS: [SlipAct; 7] = [
    SlipAct::Send,
    SlipAct::Read,
    SlipAct::Files,
    SlipAct::Fetch,
    SlipAct::Withdraw,
    SlipAct::Answer,
    SlipAct::Register,
];
const PARTIES: [SlipParty; 3] = [SlipParty::Sender, SlipParty::Addressee, SlipParty::Nobody];
const STATES: [SlipState; 4] = SlipState::ALL;
const CONTENTS: [SlipContent; 2] = SlipContent::ALL;

/// Number of this bit layout in the four highest bits; that of [`crate::Facts`] is another.
const LAYOUT: u64 = 2;

impl SlipFacts {
    /// Every value there is, each once.
    pub fn all() -> impl Iterator<Item = Self> {
        let offices = || CLASSES.map(Some).into_iter().chain([None]);
        ACTS.into_iter().flat_map(move |act| {
            PARTIES.into_iter().flat_map(move |party| {
                STATES.into_iter().flat_map(move |state| {
                    CONTENTS.into_iter().flat_map(move |content| {
                        offices().flat_map(move |class| {
                            [true, false].map(|session_valid| Self { act, party, state, content, class, session_valid })
                        })
                    })
                })
            })
        })
    }

    /// The facts as bits, for the audit entry. Layout 2, from the lowest bit: act 4, party 2, state 3, content 1, class 4
    /// (0 none), session 1.
    pub fn to_bits(&self) -> u64 {
        LAYOUT << 60
            | self.act as u64
            | (self.party as u64) << 4
            | (self.state as u64) << 6
            | (self.content as u64) << 9
            | self.class.map_or(0, |class| class_index(class) as u64 + 1) << 10
            | u64::from(self.session_valid) << 14
    }

    /// Inverse of [`SlipFacts::to_bits`]; `None` for bits no facts have.
    pub fn from_bits(bits: u64) -> Option<Self> {
        let field = |from: u32, width: u32| ((bits >> from) & ((1 << width) - 1)) as usize;
        let class = match field(10, 4) {
            0 => None,
            n => Some(*CLASSES.get(n - 1)?),
        };
        let facts = Self {
            act: *ACTS.get(field(0, 4))?,
            party: *PARTIES.get(field(4, 2))?,
            state: *STATES.get(field(6, 3))?,
            content: CONTENTS[field(9, 1)],
            class,
            session_valid: field(14, 1) == 1,
        };
        (facts.to_bits() == bits).then_some(facts)
    }
}

/// One line of `slips.tsv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlipRule {
    pub(crate) act: SlipAct,
    pub(crate) party: SlipParty,
    /// By [`SlipState`].
    pub(crate) open: [bool; 4],
}

/// One line of `slip_classes.tsv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SlipClass {
    pub(crate) sends_plans: bool,
    pub(crate) sends_actuals: bool,
    pub(crate) receives: bool,
}

impl SlipAct {
    fn parse(code: &str) -> Option<Self> {
        Some(match code {
            "read" => Self::Read,
            "files" => Self::Files,
            "fetch" => Self::Fetch,
            "withdraw" => Self::Withdraw,
            "answer" => Self::Answer,
            "register" => Self::Register,
            _ => return None,
        })
    }
}

/// Reads `slips.tsv`: every act but sending × sender and addressee, each once.
pub(crate) fn parse(text: &str) -> Result<Vec<SlipRule>, TableError> {
    const FILE: &str = "slips.tsv";
    let columns = ["操作", "相手", "送信済", "取得済", "実績返信済", "取消済", "要件"];
    let mut out: Vec<SlipRule> = Vec::new();
    for line in tsv::lines(FILE, text, &columns)? {
        let act = line.read(0, SlipAct::parse)?;
        let party = line.read(1, |name| match name {
            "送信元" => Some(SlipParty::Sender),
            "宛先" => Some(SlipParty::Addressee),
            _ => None,
        })?;
        if out.iter().any(|known| (known.act, known.party) == (act, party)) {
            return Err(line.error(0));
        }
        out.push(SlipRule { act, party, open: [line.yes(2)?, line.yes(3)?, line.yes(4)?, line.yes(5)?] });
    }
    if out.len() == (ACTS.len() - 1) * 2 {
        Ok(out)
    } else {
        Err(TableError::new(FILE, 0, "a line is missing".to_owned()))
    }
}

/// Reads `slip_classes.tsv`: every class once.
pub(crate) fn parse_classes(text: &str) -> Result<Vec<SlipClass>, TableError> {
    const FILE: &str = "slip_classes.tsv";
    let mut found: Vec<Option<SlipClass>> = vec![None; CLASSES.len()];
    for line in tsv::lines(FILE, text, &["区分", "予定の送信", "実績の送信", "受信", "要件"])? {
        let slot = &mut found[class_index(line.read(0, parse_class)?)];
        if slot.is_some() {
            return Err(line.error(0));
        }
        *slot = Some(SlipClass { sends_plans: line.yes(1)?, sends_actuals: line.yes(2)?, receives: line.yes(3)? });
    }
    let missing = || TableError::new(FILE, 0, "a class has no line".to_owned());
    found.into_iter().map(|class| class.ok_or_else(missing)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::table;
    use SlipAct as A;
    use SlipParty as P;
    use SlipState as S;

    /// The rules of a letter, written without the tables, over every value of the facts.
    #[test]
    fn a_message_is_for_its_sender_and_its_addressee_and_for_nobody_else() {
        let mut values = 0;
        for facts in SlipFacts::all() {
            let decision = decide_slip(&facts, table());
            let allowed = decision.is_allowed();
            values += 1;
            assert!(!allowed || facts.session_valid && facts.class.is_some(), "only logged-in offices: {facts:?}");
            assert_eq!(SlipFacts::from_bits(facts.to_bits()), Some(facts));
            assert_eq!(crate::Facts::from_bits(facts.to_bits()), None, "no facts of another layout");
            if facts.act == A::Send {
                assert!(!allowed || facts.class != Some(OfficeClass::Hospital), "{facts:?}");
                continue;
            }
            assert!(!allowed || facts.party != P::Nobody, "nobody else: {facts:?}");
            assert!(facts.party != P::Nobody || decision.disclosure() == Disclosure::Blind || !facts.session_valid);
            let gone = facts.party == P::Addressee && facts.state == S::Withdrawn;
            assert!(!gone || !allowed, "what was taken back is not there: {facts:?}");
            assert!(!gone || !facts.session_valid || decision.disclosure() == Disclosure::Blind, "{facts:?}");
            let bytes_unfetched = facts.act == A::Files && facts.party == P::Addressee && facts.state == S::Sent;
            assert!(!bytes_unfetched || !allowed, "no content before the sender can see that it was fetched");
            let late = facts.act == A::Withdraw && matches!(facts.state, S::Fetched | S::Answered);
            assert!(!late || !allowed, "what was fetched cannot be taken back");
            assert!(facts.act != A::Answer || !allowed || facts.party == P::Addressee && facts.state != S::Sent);
            assert!(!matches!(facts.act, A::Withdraw | A::Register) || !allowed || facts.party == P::Sender);
        }
        assert_eq!(values, 7 * 3 * 4 * 2 * 8 * 2);
    }

    #[test]
    fn the_sender_sees_its_message_always_and_reads_it_until_it_is_taken_back() {
        let facts = |act, party, state| SlipFacts {
            act,
            party,
            state,
            content: SlipContent::Plan,
            class: Some(OfficeClass::CarePlanning),
            session_valid: true,
        };
        let asks = |act, party, state| decide_slip(&facts(act, party, state), table());
        for state in STATES {
            assert_eq!(asks(A::Read, P::Sender, state), SlipDecision::Allow(Rule::SlipSender));
            assert_eq!(asks(A::Files, P::Sender, state).is_allowed(), state != S::Withdrawn);
            assert_eq!(asks(A::Fetch, P::Addressee, state).is_allowed(), state != S::Withdrawn);
        }
        assert_eq!(asks(A::Withdraw, P::Sender, S::Fetched), SlipDecision::Refuse(Rule::SlipState));
        assert_eq!(asks(A::Withdraw, P::Addressee, S::Sent), SlipDecision::Refuse(Rule::SlipState));
    }

    #[test]
    fn plans_come_from_those_who_make_them_and_results_from_those_who_provide() {
        let sends = |class, content| {
            let facts = SlipFacts {
                act: A::Send,
                party: P::Sender,
                state: S::Sent,
                content,
                class: Some(class),
                session_valid: true,
            };
            decide_slip(&facts, table()).is_allowed()
        };
        let both = CLASSES.map(|class| (sends(class, SlipContent::Plan), sends(class, SlipContent::Actuals)));
        let (yes, no) = (true, false);
        assert_eq!(both, [(yes, yes), (yes, yes), (no, yes), (yes, yes), (no, yes), (no, yes), (no, no)]);
        assert!(!may_receive_slips(OfficeClass::Hospital, table()));
        assert!(may_receive_slips(OfficeClass::Service, table()));
    }

    #[test]
    fn a_table_that_lacks_a_line_or_has_one_twice_is_refused() {
        let text = include_str!("../tables/slips.tsv");
        let last = text.lines().last().unwrap();
        assert!(parse(&text.replace(last, "")).is_err() && parse(&format!("{text}{last}\n")).is_err());
        let text = include_str!("../tables/slip_classes.tsv");
        let last = text.lines().last().unwrap();
        assert!(parse_classes(&text.replace(last, "")).is_err() && parse_classes(&format!("{text}{last}\n")).is_err());
    }
}
