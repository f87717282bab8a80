//! The facts of one access decision, gathered in one round trip (decision 0006.1, 25), with the records and the identity
//! that it may open still sealed beside them.

use crate::assignment::{Columns, request_door};
use crate::consent::act_from;
use crate::engine::Row;
use crate::gather::columns::{CODE, FLAG, NUMBER, SEALED, TEXT, WHAT};
use crate::gather::{Gathered, Wanted, what};
use crate::insurer::start_from;
use crate::office::instant;
use crate::person::{Version, Withheld, open_identity};
use crate::receipt::open_list;
use crate::record::{RecordColumns, newest_first};
use crate::seal::generation_of;
use crate::switch::{Hides, SwitchColumns};
use crate::{InsurerKeys, Keyring, Store, StoreError, StoredRecord, Unreleased};
use kiban_domain::assignment::Assignment;
use kiban_domain::consent::{ConsentAct, ConsentState};
use kiban_domain::insured::Insured;
use kiban_domain::municipality::StartState;
use kiban_domain::office::StaffId;
use kiban_domain::{InsurerNumber, Kind, OfficeNumber, Organization, PersonKey, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What the store knows that bears on a decision about one person for one caller. Rows whose MAC fails are absent.
#[derive(Debug, Clone, Default)]
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
    /// 申請日 of the application that request is for, as a number.
    pub opinion_applied_on: Option<i32>,
    /// The office switched this person off for this staff member.
    pub switched_off: bool,
    /// Kinds of which it did, when not the whole person.
    pub switched_off_kinds: BTreeSet<Kind>,
    /// Consent that follows from all acts; none at all when an act is damaged.
    pub consent: ConsentState,
    /// An act was altered outside the platform: it may have been a withdrawal, so nothing counts as consented.
    pub consent_damaged: bool,
    /// Receipts whose rows are not visible yet.
    pub unapplied: Vec<i64>,
}

/// The rows from which a person's facts were read, with the records and the identity fetched beside them. What is sealed
/// stays sealed until it is asked for, which is after the decision.
pub struct UnopenedPerson {
    person: PersonKey,
    rows: Gathered,
    with_identity: bool,
    /// What any version says about 不開示.
    withheld: bool,
    /// There when the person is known.
    opener: Option<Opener>,
}

struct Opener {
    keys: Arc<InsurerKeys>,
    /// The present version: 履歴番号 and receipt.
    version: (i64, i64),
}

/// Who asks about whom.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The caller's organisation.
    pub organization: Organization,
    /// Its number, if it is an office.
    pub office: Option<OfficeNumber>,
    /// The staff member.
    pub staff: Option<&'a StaffId>,
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
        let rows = self.gatherer.ask(person, Wanted::FACTS).await?;
        let asker = Asker { organization, office, staff };
        Ok(Reader { keys: &self.keys, person, asker }.facts(&rows)?.0)
    }

    /// The facts and, out of the same question, the records of some kinds and the identity (`with_identity`), sealed.
    pub async fn person_facts_with(
        &self,
        person: PersonKey,
        asker: Asker<'_>,
        kinds: &[Kind],
        with_identity: bool,
    ) -> Result<(PersonFacts, UnopenedPerson), StoreError> {
        let rows = self.gatherer.ask(person, Wanted { identity: with_identity, ..Wanted::records(kinds) }).await?;
        self.person_of_rows(person, rows, asker, with_identity).await
    }

    /// The same of many people, in their order; one statement takes sixteen of one insurer.
    pub async fn people_facts_with(
        &self,
        people: &[PersonKey],
        asker: Asker<'_>,
        kinds: &[Kind],
        with_identity: bool,
    ) -> Result<Vec<(PersonFacts, UnopenedPerson)>, StoreError> {
        let wanted = Wanted { identity: with_identity, ..Wanted::records(kinds) };
        let mut found = Vec::with_capacity(people.len());
        for (person, rows) in people.iter().zip(self.gatherer.ask_many(people, wanted).await?) {
            found.push(self.person_of_rows(*person, rows, asker, with_identity).await?);
        }
        Ok(found)
    }

    async fn person_of_rows(
        &self,
        person: PersonKey,
        rows: Gathered,
        asker: Asker<'_>,
        with_identity: bool,
    ) -> Result<(PersonFacts, UnopenedPerson), StoreError> {
        let (facts, present) = Reader { keys: &self.keys, person, asker }.facts(&rows)?;
        // An insurer of whom nobody is known gets no keys by being asked for.
        let opener = match present {
            Some(version) => {
                let mut newest = 0;
                rows.each(|row| {
                    newest = newest.max(row.bytes_or_null(SEALED)?.and_then(generation_of).unwrap_or(0));
                    Ok(())
                })?;
                Some(Opener { keys: self.keys.keys_up_to(person.insurer.as_str(), newest).await?, version })
            }
            None => None,
        };
        let withheld = facts.withheld;
        Ok((facts, UnopenedPerson { person, rows, with_identity, withheld, opener }))
    }
}

impl UnopenedPerson {
    /// Every revision of a kind that was asked for, newest first, contents opened. They leave only with their audit entry.
    pub fn records(&self, kind: Kind) -> Result<Unreleased<Vec<StoredRecord>>, StoreError> {
        let Some(Opener { keys, .. }) = &self.opener else { return Ok(Unreleased::new(Vec::new())) };
        let mut records = Vec::new();
        self.rows.each(|row| {
            if row.int(WHAT)? == what::RECORD && row.text_ref(TEXT + 2)? == kind.code() {
                records.push(self.record(keys, kind, row)?);
            }
            Ok(())
        })?;
        newest_first(&mut records);
        Ok(Unreleased::new(records))
    }

    fn record(&self, keys: &InsurerKeys, kind: Kind, row: &Row) -> Result<StoredRecord, StoreError> {
        let columns = RecordColumns {
            natural_key: row.text(TEXT)?,
            creator: row.text_ref(TEXT + 1)?,
            revision: row.big(NUMBER)?,
            recorded_at: row.big(NUMBER + 1)?,
            valid: (row.big(NUMBER + 2)? as i32, row.big(NUMBER + 3)? as i32),
            deleted: row.boolean(FLAG)?,
            digest: row.blob(CODE)?,
            payload: row.blob_ref(SEALED)?,
        };
        columns.open(keys, &self.person, kind)
    }

    /// The identity as the present version has it, if it was asked for and the person is known. Its 不開示 is that of all
    /// versions.
    pub fn identity(&self) -> Result<Option<Unreleased<Insured>>, StoreError> {
        let Some(Opener { keys, version }) = self.opener.as_ref().filter(|_| self.with_identity) else {
            return Ok(None);
        };
        let mut found = None;
        self.rows.each(|row| {
            if found.is_none() && row.int(WHAT)? == what::PERSON && version_of(row)? == *version {
                found = Some(open_identity(keys, &self.person, *version, row.blob_ref(SEALED)?)?);
            }
            Ok(())
        })?;
        Ok(found.map(|insured| Unreleased::new(Insured { withheld: self.withheld, ..insured })))
    }
}

/// Reads the facts of one caller out of the rows.
struct Reader<'a> {
    keys: &'a Keyring,
    person: PersonKey,
    asker: Asker<'a>,
}

impl Reader<'_> {
    /// The facts, and which version of the person (履歴番号 and receipt) is the present one.
    fn facts(&self, rows: &Gathered) -> Result<(PersonFacts, Option<(i64, i64)>), StoreError> {
        let mut facts = PersonFacts::default();
        // With the receipt that wrote each: only at the end is it known which receipts are not applied.
        let (mut acts, mut requests, mut receipts_damaged) = (Vec::new(), Vec::new(), false);
        let mut versions = Versions::default();
        rows.each(|row| {
            match row.int(WHAT)? {
                what::PERSON => versions.read(row, &self.person, self.keys)?,
                what::INSURER => facts.start = self.start(row)?,
                what::ASSIGNMENT if self.is_of_office(row)? => facts.assignment = self.assignment(row)?,
                what::REQUEST if self.is_of_office(row)? => requests.extend(self.request(row)?),
                what::CONSENT => match self.consent(row)? {
                    Some(act) => acts.push(act),
                    None => facts.consent_damaged = true,
                },
                what::SWITCH => match self.hidden_by_switch(row)? {
                    Hides::Nothing => {}
                    Hides::Kinds(kinds) => facts.switched_off_kinds = kinds,
                    Hides::Everything => facts.switched_off = true,
                },
                what::RECEIPTS => match self.open_receipts(row)? {
                    Some(open) => facts.unapplied = open,
                    None => receipts_damaged = true,
                },
                _ => {}
            }
            Ok(())
        })?;
        // With an altered list of open receipts nothing counts as applied.
        let applied = |revision: &i64| !receipts_damaged && !facts.unapplied.contains(revision);
        let present = versions.present(applied);
        if let Some(present) = present {
            facts.known = true;
            facts.person_revision = present.revision;
            facts.card_insurer = present.card_insurer;
            facts.gone_on = present.gone_on;
        }
        facts.withheld = versions.withheld.holds();
        let newest = requests.iter().filter(|(revision, ..)| applied(revision)).map(|(_, on, for_one)| (*on, *for_one));
        if let Some((requested_on, applied_on)) = newest.max() {
            (facts.opinion_requested_on, facts.opinion_applied_on) = (Some(requested_on), Some(applied_on));
        }
        // What closes counts from the moment it is stored; what opens waits until its whole receipt is applied.
        acts.retain(|(revision, act, _)| applied(revision) || !opens(*act));
        if !facts.consent_damaged {
            facts.consent = ConsentState::of(acts.iter().map(|(_, act, at)| (act, *at)));
        }
        Ok((facts, present.map(|version| (version.history_number, version.revision))))
    }

    fn start(&self, row: &Row) -> Result<StartState, StoreError> {
        let insurer = self.person.insurer;
        Ok(start_from(self.keys, insurer.as_str(), row.text_ref(TEXT)?, day(row, NUMBER)?, row.blob_ref(CODE)?))
    }

    /// Whether a row of all offices is that of the caller's.
    fn is_of_office(&self, row: &Row) -> Result<bool, StoreError> {
        let office = self.asker.office.as_ref().map(OfficeNumber::as_str);
        Ok(office == Some(row.text_ref(TEXT)?))
    }

    fn assignment(&self, row: &Row) -> Result<Option<Assignment>, StoreError> {
        let columns = Columns {
            office: row.text(TEXT)?,
            check: row.text(TEXT + 1)?,
            registered_by: row.text(TEXT + 2)?,
            plan_maker: row.text_or_null(TEXT + 3)?,
            end_reason: row.text_or_null(TEXT + 4)?,
            registered_at: row.big(NUMBER)?,
            viewable_until: row.big(NUMBER + 1)? as i32,
            ended_at: row.big_or_null(NUMBER + 2)?,
            confirmed: row.boolean(FLAG)?,
        };
        columns.open(self.keys, &self.person, row.blob_ref(CODE)?)
    }

    /// The receipt that wrote a request, its day and the 申請日 it is for.
    fn request(&self, row: &Row) -> Result<Option<(i64, i32, i32)>, StoreError> {
        let (office, key) = (row.text_ref(TEXT)?, row.text_ref(TEXT + 1)?);
        let (requested, applied) = (row.big(NUMBER)? as i32, row.big(NUMBER + 1)? as i32);
        let revision = row.big(NUMBER + 2)?;
        let door = request_door(&self.person, key, office, requested, applied, revision);
        Ok(door.fits(self.keys, row.blob_ref(CODE)?).then_some((revision, requested, applied)))
    }

    /// The receipt that wrote an act, the act, when; `None` when it is damaged.
    fn consent(&self, row: &Row) -> Result<Option<(i64, ConsentAct, Timestamp)>, StoreError> {
        let (id, act) = (row.text_ref(TEXT)?, row.text_ref(TEXT + 1)?);
        let kind = row.text_or_null(TEXT + 2)?;
        let (at, revision) = (row.big(NUMBER)?, row.big(NUMBER + 1)?);
        let act = act_from(self.keys, &self.person, id, act, kind.as_deref(), (at, revision), row.blob_ref(CODE)?);
        act.map(|act| Ok((revision, act, instant(at)?))).transpose()
    }

    /// Receipts that are not applied yet; `None` when the list was altered.
    fn open_receipts(&self, row: &Row) -> Result<Option<Vec<i64>>, StoreError> {
        let mac = row.blob_or_null(CODE)?.unwrap_or_default();
        Ok(open_list(self.keys, self.person.insurer, row.text_ref(TEXT)?, &mac))
    }

    /// What the office hides of the person from the one who asks.
    fn hidden_by_switch(&self, row: &Row) -> Result<Hides, StoreError> {
        let staff = self.asker.staff.map(|staff| staff.0.as_str()).unwrap_or_default();
        if row.text_ref(TEXT + 1)? != staff || row.text_ref(TEXT)? != self.asker.organization.to_string() {
            return Ok(Hides::Nothing);
        }
        let (kinds, changed_by) = (row.text_or_null(TEXT + 2)?, row.text_or_null(TEXT + 3)?);
        let columns = SwitchColumns {
            staff,
            person: &self.person,
            hidden: row.boolean(FLAG)?,
            kinds: kinds.as_deref(),
            changed_at: row.big_or_null(NUMBER)?,
            changed_by: changed_by.as_deref(),
        };
        Ok(columns.read(self.keys, row.blob_ref(CODE)?).0)
    }
}

/// The versions of a person: the present one is the highest 履歴番号 of an applied receipt, of that the latest.
#[derive(Default)]
struct Versions {
    all: Vec<PresentVersion>,
    /// Any of them says 不開示, applied or not: what closes counts from the moment it is stored.
    withheld: Withheld,
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
    fn read(&mut self, row: &Row, person: &PersonKey, keys: &Keyring) -> Result<(), StoreError> {
        let (card_insurer, gone_on) = (row.text_ref(TEXT)?, day(row, NUMBER)?);
        let ((history_number, revision), withheld) = (version_of(row)?, row.boolean(FLAG)?);
        let lifts = row.big_or_null(NUMBER + 3)? == Some(1);
        let version = Version { history_number, revision, withheld, gone_on, lifts };
        self.damaged |= !version.fits(keys, person, card_insurer, row.blob_ref(CODE)?);
        self.withheld.note(&version);
        let card_insurer = InsurerNumber::parse(card_insurer).ok();
        self.all.push(PresentVersion { history_number, revision, card_insurer, gone_on });
        Ok(())
    }

    /// A person first written by a receipt that is not applied yet does not exist (packages go in blocks).
    fn present(self: &Versions, applied: impl Fn(&i64) -> bool) -> Option<&PresentVersion> {
        let versions = self.all.iter().filter(|version| applied(&version.revision) && !self.damaged);
        versions.max_by_key(|version| (version.history_number, version.revision))
    }
}

/// 履歴番号 and receipt of a person's row.
fn version_of(row: &Row) -> Result<(i64, i64), StoreError> {
    Ok((row.big(NUMBER + 2)?, row.big(NUMBER + 1)?))
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
