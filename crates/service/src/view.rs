//! Viewing: one kind with its history, the whole page of a person, and "why can I, or can't I, see this" (P-139, P-024,
//! P-056). Blank cells do not appear at all; a ◎ kind without consent says 同意未取得 and how to get it.

use crate::caller::Asks;
use crate::decision::{Case, Question};
use crate::renewals::{Warning, consent_to_confirm, warnings};
use crate::{Caller, Context, Error, Platform};
use kiban_domain::allowance::Allowance;
use kiban_domain::certification::{CareLevel, CertificationProgress};
use kiban_domain::home_modification::HomeModification;
use kiban_domain::insurance_card::{CopaymentRate, CostCeiling, InsuranceCard};
use kiban_domain::insured::Insured;
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::plan_request::SubmissionState;
use kiban_domain::{Date, Kind, Organization, PersonKey, Timestamp, dates, equipment_purchase, home_modification};
use kiban_policy::{Decision, Disclosure, KindFacts, Opinion, Rule, SharingTable, Treatment, UseCase};
use kiban_store::{Entry, Names, Outcome, StoredRecord, Submission, UnopenedPerson, Unreleased};
use serde::Serialize;
use serde_json::Value;

/// One document of a kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document {
    /// 履歴番号 or natural key.
    pub key: String,
    /// Who made it; absent where it would tell where a 不開示 person is.
    pub creator: Option<Organization>,
    /// First day on which it holds.
    pub valid_from: Date,
    /// Last day, if there is one.
    pub valid_to: Option<Date>,
    /// 登録日時
    pub recorded_at: Timestamp,
    /// Content, the shape of the kind.
    pub content: Value,
}

/// One kind of a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KindView {
    /// Code of the kind.
    pub kind: Kind,
    /// Name of the kind.
    pub name: &'static str,
    /// ★, ○ or ◎ of the cell.
    pub mark: &'static str,
    /// Rule that allows it.
    pub rule: &'static str,
    /// Documents, newest first. Empty: nothing is registered.
    pub documents: Vec<Document>,
    /// E1 and E2: what is left of the limit today.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowance: Option<Allowance>,
    /// A3a without a card: the office of an accepted 届出, provisional until the city's own card comes (P-138). With a card it is
    /// in the content of the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisional_planning_office: Option<Value>,
}

/// A kind the caller is entitled to but may not see yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WhyKind {
    /// Code of the kind.
    pub kind: Kind,
    /// Name of the kind.
    pub name: &'static str,
    /// Whether it may be seen.
    pub allowed: bool,
    /// Rule that settled it.
    pub rule: &'static str,
    /// P-number.
    pub requirement: String,
    /// Why, in Japanese.
    pub reason: String,
    /// What to do next, in Japanese.
    pub next: String,
}

/// The page of a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PersonPage {
    /// Who it is: number, name, kana, birth, sex; address only where it may be known.
    pub person: Value,
    /// What may be seen.
    pub kinds: Vec<KindView>,
    /// What the caller would be entitled to, with what is missing.
    pub hidden: Vec<WhyKind>,
    /// What ends within 90 days or has ended, and 給付制限 in force, of what is shown (P-032, P-033).
    pub warnings: Vec<Warning>,
    /// Why each kind that is shown may be seen, for the page.
    #[serde(skip)]
    pub why: Vec<WhyKind>,
    /// When the municipality accepted an opinion here for the application shown, while its own row does not name the day yet.
    #[serde(skip)]
    pub opinion_accepted_on: Option<Date>,
    /// What the caller may do about the person, for the page.
    #[serde(skip)]
    pub offers: Offers,
}

/// What a caller may do about a person, beside looking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offers {
    /// Whether the person's consent may be taken here; asked only while a kind is hidden for lack of it.
    pub takes_consent: bool,
    /// Whether a registration of this office could be ended here.
    pub ends_registration: bool,
    /// ※1: who makes the person's plan; none for whoever makes nobody's.
    pub plan_maker: Option<PlanMaker>,
}

/// ※1: who makes somebody's plan, as seen by a care manager of the office.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanMaker {
    /// Nobody of this office.
    Nobody,
    /// The caller.
    Caller,
    /// Somebody else of this office.
    Colleague,
}

impl Platform {
    /// One kind with its history. `known_on`: as it was known at that instant (P-024).
    pub async fn view_kind<E: From<Error>>(
        &self,
        caller: &Caller,
        handle: &str,
        kind: Kind,
        known_on: Result<Option<Timestamp>, E>,
        context: &Context,
    ) -> Result<KindView, E> {
        let may_view = self.may_view(caller, handle, kind, context).await?;
        Ok(self.show_kind(caller, may_view, known_on?, context).await?)
    }

    async fn may_view(
        &self,
        caller: &Caller,
        handle: &str,
        kind: Kind,
        context: &Context,
    ) -> Result<(Case, UnopenedPerson, Opening), Error> {
        let person = self.person_of(caller, handle).await?;
        let (case, unopened) = self.case_with(caller, person, (&with_companions(&[kind]), false), context).await?;
        caller.require_way(UseCase::View(KindFacts::of(kind, Opinion::Accepted).row()), case.table)?;
        let Some(opening) = opening(&case, kind) else {
            return Err(self.refuse(caller, &case, Question::read(kind), "view", context).await?);
        };
        Ok((case, unopened, opening))
    }

    async fn show_kind(
        &self,
        caller: &Caller,
        (case, unopened, opening): (Case, UnopenedPerson, Opening),
        known_on: Option<Timestamp>,
        context: &Context,
    ) -> Result<KindView, Error> {
        let kind = opening.kind;
        if opening.is_by_disaster() {
            self.record_disaster_view(caller, &case, context).await?;
        }
        let former = self.former_numbers(case.person, [&opening]).await?;
        let rows = self.with_former(rows_of(&unopened, kind)?, kind, &former).await?;
        let (view, entry) = open_kind(caller, &case, (opening, "view"), rows, known_on, context);
        let view = self.store().audit().release(view, entry).await?;
        view.ok_or_else(|| case.refusal(Question::read(kind)))
    }

    /// The whole page: every kind the caller may see, one audit entry each.
    pub async fn view_person(&self, caller: &Caller, handle: &str, context: &Context) -> Result<PersonPage, Error> {
        let person = self.person_of(caller, handle).await?;
        let asked = open_this_way(caller, Kind::ALL, self.table_at(context.now)?)?;
        let (case, unopened) = self.case_with(caller, person, (&with_companions(&asked), true), context).await?;
        let opened = self.open_kinds(caller, (&case, &unopened), &asked, "view", context).await?;
        // Without a single kind that may be seen, not even the name is: the page is that of an unknown person.
        if opened.shown.is_empty() {
            return Err(self.refuse(caller, &case, Question::read(Kind::A3a), "view_page", context).await?);
        }
        let Some(identity) = unopened.identity()? else { return Err(Error::Unknown) };
        let entry = caller.entry_about(context, person, "view_identity", Outcome::Allowed);
        let audit = self.store().audit();
        let identity = audit.release(identity.map(|insured| identity_of(&case, &insured)), entry);
        let (kinds, person) = tokio::try_join!(audit.release_all(opened.shown), identity)?;
        let kinds: Vec<KindView> = kinds.into_iter().flatten().collect();
        let warnings = self.warnings_of(&kinds, context);
        let why = kinds.iter().filter_map(|view| explained(&case, view.kind)).collect();
        let opinion_accepted_on = self.opinion_accepted_on(case.person, &kinds).await?;
        let by_consent = [Rule::ConsentMissing.code(), Rule::KindRefused.code()];
        let lacks_consent = opened.hidden.iter().any(|one| by_consent.contains(&one.rule));
        let takes_consent = lacks_consent
            && self.takes_consents(caller, context)?
            && self.may_open_consent(caller, &case, context).await?;
        let offers = Offers {
            takes_consent,
            ends_registration: case.is_assigned(),
            plan_maker: self.plan_maker_of(caller, &case, context)?,
        };
        Ok(PersonPage { person, kinds, hidden: opened.hidden, warnings, why, opinion_accepted_on, offers })
    }

    /// The day on which an opinion was accepted for the application shown, where 進捗 is shown and does not name it itself.
    pub(crate) async fn opinion_accepted_on(
        &self,
        person: PersonKey,
        kinds: &[KindView],
    ) -> Result<Option<Date>, Error> {
        let shown = kinds.iter().find(|view| view.kind == Kind::A5).and_then(|view| view.documents.first());
        let progress: Option<CertificationProgress> =
            shown.and_then(|document| serde_json::from_value(document.content.clone()).ok());
        let Some(progress) = progress.filter(lacks_opinion) else { return Ok(None) };
        let accepted = self.store().accepted_submissions(Kind::A2, &[person]).await?;
        Ok(accepted_on(&accepted, person, progress.applied_on))
    }

    /// Who a person is and nothing else, for whoever may see the card (A3a): number, name, kana, birth, sex, and the address where
    /// it may be known.
    pub async fn view_identity(&self, caller: &Caller, handle: &str, context: &Context) -> Result<Value, Error> {
        let person = self.person_of(caller, handle).await?;
        let (case, unopened) = self.case_with(caller, person, (&[Kind::A3a], true), context).await?;
        caller.require_way(UseCase::View(KindFacts::of(Kind::A3a, Opinion::Accepted).row()), case.table)?;
        let Some(opening) = opening(&case, Kind::A3a) else {
            return Err(self.refuse(caller, &case, Question::read(Kind::A3a), "view_identity", context).await?);
        };
        if opening.is_by_disaster() {
            self.record_disaster_view(caller, &case, context).await?;
        }
        let Some(identity) = unopened.identity()? else { return Err(Error::Unknown) };
        let entry = caller.entry_about(context, person, "view_identity", Outcome::Allowed);
        self.store()
            .audit()
            .release(identity.map(|insured| identity_of(&case, &insured)), entry)
            .await
            .map_err(Error::from)
    }

    /// Decides about each of the kinds, which were asked for with the facts, and opens those that may be seen. What only a disaster
    /// mode allows is counted and recorded before.
    pub(crate) async fn open_kinds(
        &self,
        caller: &Caller,
        (case, unopened): (&Case, &UnopenedPerson),
        asked: &[Kind],
        action: &str,
        context: &Context,
    ) -> Result<OpenedKinds, Error> {
        let stored = asked.iter().copied().filter(|kind| kind.is_stored());
        let decided: Vec<(Kind, Option<Opening>)> = stored.map(|kind| (kind, opening(case, kind))).collect();
        if decided.iter().filter_map(|(_, opening)| opening.as_ref()).any(Opening::is_by_disaster) {
            self.record_disaster_view(caller, case, context).await?;
        }
        let former =
            self.former_numbers(case.person, decided.iter().filter_map(|(_, opening)| opening.as_ref())).await?;
        let (mut shown, mut hidden) = (Vec::new(), Vec::new());
        for (kind, opening) in decided {
            let opened = match opening {
                Some(opening) => {
                    let rows = self.with_former(rows_of(unopened, kind)?, kind, &former).await?;
                    Some(open_kind(caller, case, (opening, action), rows, None, context))
                }
                None => None,
            };
            match opened {
                // A kind of which there could only be own documents, and there are none: nothing is shown or recorded.
                Some((_, entry)) if entry.outcome == Outcome::Refused => hidden.extend(told(case, kind)),
                Some(opened) => shown.push(opened),
                None => hidden.extend(told(case, kind)),
            }
        }
        Ok(OpenedKinds { shown, hidden })
    }

    /// Numbers that a person had with the same insurer before (P-038), where a kind with a limit is shown: what was used under
    /// them counts, too.
    pub(crate) async fn former_numbers<'a>(
        &self,
        person: PersonKey,
        shown: impl IntoIterator<Item = &'a Opening>,
    ) -> Result<Vec<PersonKey>, Error> {
        let has_limit = shown.into_iter().any(|opening| has_limit(opening.kind));
        if !has_limit || self.store().links_of(person).await?.is_empty() {
            return Ok(Vec::new());
        }
        let numbers = self.numbers_of(person).await?.into_iter();
        Ok(numbers.filter(|other| other.insurer == person.insurer && *other != person).collect())
    }

    /// The rows of a kind with those of the same kind under former numbers.
    pub(crate) async fn with_former(
        &self,
        rows: Unreleased<WithCompanions>,
        kind: Kind,
        former: &[PersonKey],
    ) -> Result<Unreleased<Rows>, Error> {
        let mut rows = rows.map(|(records, companions)| Rows { records, companions, former: Vec::new() });
        for number in former.iter().filter(|_| has_limit(kind)) {
            let records = self.store().records(*number, kind).await?;
            rows = rows.zip(records).map(|(mut rows, records)| {
                rows.former.push((*number, records));
                rows
            });
        }
        Ok(rows)
    }

    /// Warnings that follow from the newest cards on a page, as they are shown.
    pub(crate) fn warnings_of(&self, kinds: &[KindView], context: &Context) -> Vec<Warning> {
        let newest = |kind: Kind| {
            let view = kinds.iter().find(|view| view.kind == kind)?;
            view.documents.first().map(|document| document.content.clone())
        };
        let card = newest(Kind::A3a).map(|mut content| {
            // Lists that would tell where a 不開示 person is are not there.
            if let Some(items) = content.as_object_mut() {
                for list in ["restrictions", "planning_offices", "facilities"] {
                    items.entry(list).or_insert_with(|| Value::Array(Vec::new()));
                }
            }
            content
        });
        let card = card.and_then(|content| serde_json::from_value::<InsuranceCard>(content).ok());
        let rate = newest(Kind::A3b).and_then(|content| serde_json::from_value::<CopaymentRate>(content).ok());
        let ceiling = newest(Kind::A3c).and_then(|content| serde_json::from_value::<CostCeiling>(content).ok());
        let mut all = warnings(card.as_ref(), rate.as_ref(), ceiling.as_ref(), context.today(), &self.inner.config);
        let progress = newest(Kind::A5).and_then(|content| serde_json::from_value(content).ok());
        let consent = newest(Kind::G1).and_then(|content| serde_json::from_value(content).ok());
        all.extend(progress.zip(consent).and_then(|(progress, consent)| consent_to_confirm(&progress, &consent)));
        all
    }

    /// Why each kind can or cannot be seen; blank cells are left out (P-056).
    pub async fn why(&self, caller: &Caller, handle: &str, context: &Context) -> Result<Vec<WhyKind>, Error> {
        let person = self.person_of(caller, handle).await?;
        let case = self.case(caller, person, context).await?;
        if !Kind::ALL.iter().any(|kind| case.decide(Question::read(*kind)).is_allowed()) {
            return Err(self.refuse(caller, &case, Question::read(Kind::A3a), "why", context).await?);
        }
        let kinds = open_this_way(caller, Kind::ALL, case.table)?.into_iter();
        self.store().audit().append(caller.entry_about(context, person, "why", Outcome::Allowed)).await?;
        Ok(kinds.filter_map(|kind| explained(&case, kind).or_else(|| told(&case, kind))).collect())
    }
}

/// Name, kana, birth, sex and, where the card (A3a) may be seen and whereabouts be known, address.
pub(crate) fn identity_of(case: &Case, insured: &Insured) -> Value {
    let shows_address = match case.decide(Question::read(Kind::A3a)) {
        Decision::Allow { whereabouts_hidden, .. } => !(whereabouts_hidden && case.stored.withheld),
        Decision::Refuse { .. } => false,
    };
    let identity = &insured.identity;
    let mut value = serde_json::json!({
        "insurer_number": insured.card_insurer,
        "insured_number": insured.key.insured,
        "name": identity.name,
        "kana": identity.kana,
        "birth": identity.birth,
        "sex": identity.sex,
    });
    if shows_address {
        value["postal_code"] = serde_json::to_value(&identity.postal_code).unwrap_or_default();
        value["address"] = serde_json::to_value(&identity.address).unwrap_or_default();
        value["telephone"] = serde_json::to_value(&identity.telephone).unwrap_or_default();
        value["domicile_exception"] = Value::Bool(insured.domicile_exception);
        if let Some(facility) = &insured.domicile_facility {
            value["domicile_facility"] = serde_json::to_value(facility).unwrap_or_default();
        }
    }
    value
}

/// The kinds that are shown, unreleased, and what may be told of the others.
pub(crate) struct OpenedKinds {
    pub(crate) shown: Vec<Opened>,
    pub(crate) hidden: Vec<WhyKind>,
}

/// The kind that tells something about the records of another: an accepted 届出 stands on the card until the city's own row
/// arrives, and the level on the card tells whether the limit of 住宅改修 has begun anew.
fn companion(kind: Kind) -> Option<Kind> {
    match kind {
        Kind::A3a => Some(Kind::F1),
        Kind::E1 => Some(Kind::A3a),
        _ => None,
    }
}

/// The kinds to fetch.
pub(crate) fn with_companions(kinds: &[Kind]) -> Vec<Kind> {
    let mut wanted = kinds.to_vec();
    for companion in kinds.iter().copied().filter_map(companion) {
        if !wanted.contains(&companion) {
            wanted.push(companion);
        }
    }
    wanted
}

/// The records of a kind and those of its [`companion`].
pub(crate) type WithCompanions = (Vec<StoredRecord>, Vec<StoredRecord>);

/// The records of a kind, those of its companion, and those of the kind under each number the person had before.
pub(crate) struct Rows {
    records: Vec<StoredRecord>,
    companions: Vec<StoredRecord>,
    former: Vec<(PersonKey, Vec<StoredRecord>)>,
}

/// Whether there is a limit to what may be used, 住宅改修 and 福祉用具購入.
fn has_limit(kind: Kind) -> bool {
    matches!(kind, Kind::E1 | Kind::E2)
}

/// The same out of what [`with_companions`] fetched.
pub(crate) fn rows_of(unopened: &UnopenedPerson, kind: Kind) -> Result<Unreleased<WithCompanions>, Error> {
    let records = unopened.records(kind)?;
    Ok(match companion(kind) {
        Some(companion) => records.zip(unopened.records(companion)?),
        None => records.map(|records| (records, Vec::new())),
    })
}

/// G1 is shown as the state that follows from all acts, never the acts themselves (who declared, by whom taken).
fn consent_state(case: &Case) -> Option<Document> {
    let state = &case.stored.consent;
    let since = state.given_at.or(state.withdrawn_at)?;
    Some(Document {
        key: "state".to_owned(),
        creator: None,
        valid_from: dates::day_in_japan(since),
        valid_to: None,
        recorded_at: since,
        content: serde_json::to_value(state).ok()?,
    })
}

/// What is left of the limits of 住宅改修 (in the dwelling of the latest work, by the level of the day as far as the caller may
/// see it) and 福祉用具購入 (in the 年度 of the day).
fn allowance_of(kind: Kind, records: &[StoredRecord], level: Option<CareLevel>, on: Date) -> Option<Allowance> {
    match kind {
        Kind::E1 => {
            let works: Vec<HomeModification> = contents(records);
            let dwelling = works.iter().max_by_key(|work| work.started_on).map_or(FIRST_DWELLING, |work| work.dwelling);
            home_modification::remaining(&works, dwelling, level, on)
        }
        Kind::E2 => equipment_purchase::remaining(&contents(records), on),
        _ => None,
    }
}

/// 住宅の番号 of somebody who has used nothing yet.
const FIRST_DWELLING: u8 = 1;

/// The level certified for a day, by the cards.
fn level_on(cards: &[StoredRecord], on: Date) -> Option<CareLevel> {
    let cards: Vec<InsuranceCard> = contents(cards);
    let certified = cards.into_iter().filter_map(|card| card.certified);
    let in_force = certified.filter(|c| c.decided_on <= on && c.valid.is_none_or(|valid| valid.contains(on)));
    in_force.max_by_key(|certified| certified.decided_on).map(|certified| certified.level)
}

fn contents<T: serde::de::DeserializeOwned>(records: &[StoredRecord]) -> Vec<T> {
    records.iter().filter_map(|record| serde_json::from_slice(&record.payload).ok()).collect()
}

/// A kind that the decision allows for any document.
pub(crate) struct Opening {
    pub(crate) kind: Kind,
    general: Decision,
    /// What it was asked for: any document, or the caller's own.
    question: Question,
    mark: &'static str,
    rule: Rule,
}

impl Opening {
    /// Whether only a disaster mode allows it: without the registration, or without the consent.
    fn is_by_disaster(&self) -> bool {
        matches!(self.general, Decision::Allow { ground: Rule::Disaster, .. })
            || matches!(self.general, Decision::Allow { rule: Rule::DisasterWithoutConsent, .. })
    }
}

/// `None`: refused for every document.
pub(crate) fn opening(case: &Case, kind: Kind) -> Option<Opening> {
    let question = Question::read(kind);
    let general = case.decide(question);
    let question = if general.is_allowed() { question } else { question.by_creator() };
    let Decision::Allow { mark, rule, .. } = case.decide(question) else { return None };
    Some(Opening { kind, general, question, mark: mark.sign(), rule })
}

/// What the caller may see of a kind's records, still unreleased, and the entry that names what is shown.
pub(crate) fn open_kind(
    caller: &impl Asks,
    case: &Case,
    (opening, action): (Opening, &str),
    rows: Unreleased<Rows>,
    known_on: Option<Timestamp>,
    context: &Context,
) -> Opened {
    let by_disaster = opening.is_by_disaster();
    let Opening { kind, general, question, mark, rule } = opening;
    let at = known_on.unwrap_or(context.now);
    let sees_card = case.decide(Question::read(Kind::A3a)).is_allowed();
    let view = rows.map(|Rows { records, companions, former }| {
        let known = |records| StoredRecord::as_known(records, at, &case.stored.unapplied);
        let (records, companions) = (known(records), known(companions));
        let (mut used, mut names) = (records.clone(), Names::default());
        for (number, records) in former {
            names.people.push(number.insured);
            used.extend(known(records));
        }
        let day = dates::day_in_japan(at);
        let level = if sees_card { level_on(&companions, day) } else { None };
        let allowance = allowance_of(kind, &used, level, day);
        let mut provisional = match kind {
            Kind::A3a => crate::plan_offices::provisional(&records, &companions),
            _ => None,
        };
        // The latest card comes first and carries it.
        let mut documents: Vec<Document> =
            records.into_iter().filter_map(|record| document(case, caller, record, provisional.take())).collect();
        if kind == Kind::G1 {
            documents.extend(consent_state(case));
        }
        let alone = provisional.filter(|_| documents.is_empty());
        let provisional_planning_office = alone.and_then(|office| without_card(case, &general, office));
        names.documents.extend(documents.iter().map(|document| document.key.clone()));
        // Somebody who may see only their own documents learns nothing of the kind when there are none.
        let view = (general.is_allowed() || !documents.is_empty()).then_some(KindView {
            kind,
            name: kind.name_ja(),
            mark,
            rule: rule.code(),
            documents,
            allowance,
            provisional_planning_office,
        });
        (view, names)
    });
    let (view, names) = view.named();
    let nothing = names.documents.is_empty() && !general.is_allowed();
    let entry = if nothing {
        case.entry(caller, context, action, Outcome::Refused, Question::read(kind), general.rule())
    } else {
        case.entry(caller, context, action, Outcome::Allowed, question, rule)
    };
    let event = by_disaster.then(|| case.events.clone());
    let mut detail = serde_json::json!({ "documents": names.documents, "known_on": known_on, "disaster": event });
    if !names.people.is_empty() {
        detail["counted_numbers"] = serde_json::json!(names.people);
    }
    (view, Entry { detail: Some(detail.to_string()), ..entry })
}

pub(crate) type Opened = (Unreleased<Option<KindView>>, Entry);

/// Which of the kinds this way in is open for; none at all is a refusal of its own (P-165).
pub(crate) fn open_this_way(caller: &Caller, kinds: &[Kind], table: &SharingTable) -> Result<Vec<Kind>, Error> {
    let way = |kind: Kind| caller.require_way(UseCase::View(KindFacts::of(kind, Opinion::Accepted).row()), table);
    let open: Vec<Kind> = kinds.iter().copied().filter(|kind| way(*kind).is_ok()).collect();
    if open.is_empty() { way(Kind::A3a).map(|()| open) } else { Ok(open) }
}

/// A record as a document, if this caller may see this one (creator and state are facts of the document).
fn document(
    case: &Case,
    caller: &impl Asks,
    record: StoredRecord,
    provisional_office: Option<Value>,
) -> Option<Document> {
    let header = record.header;
    let mut content: Value = serde_json::from_slice(&record.payload).ok()?;
    if let Some(office) = provisional_office {
        content["provisional_planning_office"] = office;
    }
    let creator = caller.organization() == Some(header.creator);
    let opinion = opinion_state(header.kind, &content);
    let decision = case.decide(Question { opinion, creator, ..Question::read(header.kind) });
    let Decision::Allow { whereabouts_hidden, .. } = decision else { return None };
    let mut shown_creator = Some(header.creator);
    if whereabouts_hidden && case.stored.withheld {
        mask(case, header.kind, &mut content);
        if !matches!(header.creator, Organization::Municipality(_)) {
            shown_creator = None;
        }
    }
    Some(Document {
        key: header.natural_key,
        creator: shown_creator,
        valid_from: header.valid.from(),
        valid_to: header.valid.to(),
        recorded_at: header.recorded_at,
        content,
    })
}

/// The provisional office where no card carries it, for whom any card would be shown to, and under the same mask (P-037).
fn without_card(case: &Case, general: &Decision, office: Value) -> Option<Value> {
    const ITEM: &str = "provisional_planning_office";
    let Decision::Allow { whereabouts_hidden, .. } = general else { return None };
    let mut content = serde_json::json!({ ITEM: office });
    if *whereabouts_hidden && case.stored.withheld {
        mask(case, Kind::A3a, &mut content);
    }
    content.get_mut(ITEM).map(Value::take)
}

/// Step 3b: a stored opinion was accepted; one written before 2026-04-01 may carry the doctor's refusal.
fn opinion_state(kind: Kind, content: &Value) -> Opinion {
    if kind != Kind::A2 {
        return Opinion::Accepted;
    }
    match serde_json::from_value::<PhysicianOpinion>(content.clone()) {
        Ok(opinion) if !opinion.is_refused_by_physician() => Opinion::Accepted,
        _ => Opinion::DoctorRefused,
    }
}

/// Takes the items out that tell where a 不開示 person is (P-037). Items are data (`whereabouts.tsv`); here only their
/// places in the stored shapes.
fn mask(case: &Case, kind: Kind, content: &mut Value) {
    let row = KindFacts::of(kind, Opinion::Accepted).row();
    for item in case.table.whereabouts(row).filter(|item| item.treatment == Treatment::Mask) {
        for field in fields_of(&item.item) {
            remove(content, field);
        }
    }
}

/// Names under which an item of `whereabouts.tsv` stands in the stored shapes.
fn fields_of(item: &str) -> &'static [&'static str] {
    match item {
        // With E1 the owner of the dwelling and the builder near it.
        "address" => {
            &["address", "postal_code", "telephone", "office_address", "office_telephone", "owner", "provider_name"]
        }
        "contacts" => &["contacts", "relation", "owner_relation", "declarant", "telephone"],
        "survey_place" => &["survey_place"],
        "facility" => &["facilities", "facility", "in_institution"],
        "hospital" => &["hospital", "institution", "opinion_requested_from", "physician_name"],
        "planning_office" => &["planning_offices", "provisional_planning_office"],
        "residence_exception" => &["domicile_exception"],
        "linked_insurer" => &["linked_insurer"],
        "office" => &[
            "office",
            "office_name",
            "taken_by",
            "staff",
            "provider",
            "provider_name",
            "reason_writer",
            "survey_commissioned_to",
        ],
        "free_text" => &["free_text", "remark", "delay_reason", "board_opinion", "content", "reason", "places", "need"],
        _ => &[],
    }
}

fn remove(value: &mut Value, field: &str) {
    match value {
        Value::Object(map) => {
            map.remove(field);
            map.values_mut().for_each(|inner| remove(inner, field));
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| remove(inner, field)),
        _ => {}
    }
}

/// The explanation of a kind that may be seen.
pub(crate) fn explained(case: &Case, kind: Kind) -> Option<WhyKind> {
    let question =
        [Question::read(kind), Question::read(kind).by_creator()].into_iter().find(|q| case.decide(*q).is_allowed())?;
    Some(why_kind(case, kind, question, true))
}

/// The explanation of a refusal that may be told, such as 同意未取得.
fn told(case: &Case, kind: Kind) -> Option<WhyKind> {
    let question = Question::read(kind);
    let explanation = case.why(question);
    let tellable = case.stored.known
        && !explanation.allowed
        && explanation.disclosure == Disclosure::Told
        && explanation.rule != Rule::NotStored;
    tellable.then(|| why_kind(case, kind, question, false))
}

fn why_kind(case: &Case, kind: Kind, question: Question, allowed: bool) -> WhyKind {
    let explanation = case.why(question);
    WhyKind {
        kind,
        name: kind.name_ja(),
        allowed,
        rule: explanation.rule.code(),
        requirement: explanation.requirement,
        reason: explanation.reason,
        next: explanation.next,
    }
}

/// Whether an application still waits for its opinion by the municipality's own row.
pub(crate) fn lacks_opinion(progress: &CertificationProgress) -> bool {
    progress.opinion_received_on.is_none() && progress.result.is_none() && progress.closing.is_none()
}

/// The day on which the first of these documents was accepted for an application of a day.
pub(crate) fn accepted_on(accepted: &[Submission], person: PersonKey, applied_on: Date) -> Option<Date> {
    let since = accepted.iter().filter(|one| one.person == person);
    let since = since.filter(|one| dates::day_in_japan(one.submitted_at) >= applied_on);
    since.filter_map(|one| one.decided_at).min().map(dates::day_in_japan)
}

/// The latest content of a kind, for use cases that need a fact of it.
pub(crate) fn latest<T: serde::de::DeserializeOwned>(
    records: Vec<StoredRecord>,
    now: Timestamp,
    unapplied: &[i64],
) -> Option<T> {
    StoredRecord::as_known(records, now, unapplied)
        .into_iter()
        .find_map(|record| serde_json::from_slice(&record.payload).ok())
}

/// Whether a document waits for the municipality.
pub(crate) fn waits(state: &SubmissionState) -> bool {
    matches!(state, SubmissionState::Submitted | SubmissionState::Fetched)
}
