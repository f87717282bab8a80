//! What the person sees: the own information as the table allows it, never 認定調査票 and 主治医意見書 (P-052), and what follows from it:
//! consent, offices, proxies. A proxy sees the same; what a proxy may do is less (T-2).

use super::Looking;
use super::blocks::{is_blocked, is_kept_out};
use super::grants::PortalGrantView;
use crate::decision::Question;
use crate::notices::Tell;
use crate::view::{Offers, PersonPage, explained, identity_of, open_kind, opening, rows_of, with_companions};
use crate::{Context, Error, Platform, random_id};
use kiban_domain::assignment::{Assignment, EndReason};
use kiban_domain::consent::{ConsentAct, ConsentRecord, ConsentState, Declarant, IdentityProof};
use kiban_domain::notice::NoticeKind;
use kiban_domain::{Date, Kind, OfficeNumber, Organization, Timestamp};
use kiban_store::{Entry, Outcome, PortalGrant, PortalRole, Tx};

/// Form and version under which an act at the person's door is recorded.
const FORM: &str = "本人の画面の同意 第1版";
/// 説明書 and version: the words on that page.
const LEAFLET: &str = "本人の画面の説明 第1版";

/// An office that is registered for the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MyOffice {
    /// 事業所番号
    pub number: OfficeNumber,
    /// 名称
    pub name: String,
    /// When it was registered.
    pub since: Timestamp,
    /// 閲覧期限
    pub until: Date,
    /// Makes the person's plan.
    pub makes_plan: bool,
}

/// The state of consent and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MyConsent {
    /// What holds now.
    pub state: ConsentState,
    /// Who took the latest act, in words.
    pub taken_by: String,
}

impl Platform {
    /// 氏名 of the one who is being looked at.
    pub(crate) async fn name_of(&self, looking: &Looking, context: &Context) -> Result<String, Error> {
        let (case, unopened) = self.case_of_portal(&looking.grant, &[], context).await?;
        let Some(identity) = unopened.identity()? else { return Err(Error::Unknown) };
        let entry = looking.entry(context, "view_identity", Outcome::Allowed);
        let identity =
            self.store().audit().release(identity.map(|insured| identity_of(&case, &insured)), entry).await?;
        Ok(identity["name"].as_str().unwrap_or_default().to_owned())
    }

    /// 氏名 of the one whose information a proxy is looking at, for the strip on each page.
    pub async fn my_name(&self, looking: &Looking, context: &Context) -> Result<String, Error> {
        self.name_of(looking, context).await
    }

    /// Everything the person may see of the own information, one entry for each kind.
    pub async fn my_page(&self, looking: &Looking, context: &Context) -> Result<PersonPage, Error> {
        let stored: Vec<Kind> = Kind::ALL.iter().copied().filter(|kind| kind.is_stored()).collect();
        let (case, unopened) = self.case_of_portal(&looking.grant, &with_companions(&stored), context).await?;
        let openings: Vec<_> = stored.into_iter().filter_map(|kind| opening(&case, kind)).collect();
        let former = self.former_numbers(case.person, &openings).await?;
        let mut shown = Vec::new();
        for opening in openings {
            let rows = self.with_former(rows_of(&unopened, opening.kind)?, opening.kind, &former).await?;
            shown.push(open_kind(looking, &case, (opening, "view"), rows, None, context));
        }
        if shown.is_empty() {
            let rule = case.decide(Question::read(Kind::A3a)).rule();
            let question = Question::read(Kind::A3a);
            let entry = case.entry(looking, context, "view_page", Outcome::Refused, question, rule);
            self.store().audit().append(entry).await?;
            return Err(case.refusal(question));
        }
        let Some(identity) = unopened.identity()? else { return Err(Error::Unknown) };
        let entry = looking.entry(context, "view_identity", Outcome::Allowed);
        let audit = self.store().audit();
        let identity = audit.release(identity.map(|insured| identity_of(&case, &insured)), entry);
        let (kinds, person) = tokio::try_join!(audit.release_all(shown), identity)?;
        let kinds: Vec<_> = kinds.into_iter().flatten().collect();
        let warnings = self.warnings_of(&kinds, context);
        let why = kinds.iter().filter_map(|view| explained(&case, view.kind)).collect();
        let opinion_accepted_on = self.opinion_accepted_on(case.person, &kinds).await?;
        let hidden = Vec::new();
        Ok(PersonPage { person, kinds, hidden, warnings, why, opinion_accepted_on, offers: Offers::default() })
    }

    /// Who is registered today; of a 不開示 person no office is named.
    pub async fn my_offices(&self, looking: &Looking, context: &Context) -> Result<Vec<MyOffice>, Error> {
        let case = self.case_of_portal(&looking.grant, &[], context).await?.0;
        let assignments = match case.stored.withheld {
            true => Vec::new(),
            false => self.store().assignments(looking.grant.person).await?,
        };
        self.store().audit().append(looking.entry(context, "offices", Outcome::Allowed)).await?;
        let standing = self.standing();
        let live = assignments.into_iter().filter(|assignment| assignment.is_live(context.today()));
        Ok(live
            .map(|assignment| MyOffice {
                number: assignment.office,
                name: standing
                    .office(assignment.office)
                    .map_or_else(|| format!("事業所番号 {}", assignment.office), |office| office.name.clone()),
                since: assignment.registered_at,
                until: assignment.viewable_until,
                makes_plan: assignment.plan_maker.is_some(),
            })
            .collect())
    }

    /// Ends an office's registration at once; the office and the municipality are told (T-2).
    pub async fn end_my_office(&self, looking: &Looking, office: OfficeNumber, context: &Context) -> Result<(), Error> {
        self.require_acting(looking, "register.end", context).await?;
        let person = looking.grant.person;
        let before = self.store().assignments(person).await?;
        let live = |assignment: &&Assignment| assignment.office == office && assignment.is_live(context.today());
        let Some(before) = before.iter().find(live) else {
            self.store().audit().append(looking.entry(context, "register.end", Outcome::Refused)).await?;
            return Err(Error::Unknown);
        };
        let ended = Assignment { ended: Some((context.now, EndReason::Person)), ..before.clone() };
        let tx = self.store().begin().await?;
        let mut tx = self.still_acting(tx, looking, "register.end", context).await?;
        tx.change_assignment(&ended, Some(before)).await?;
        tx.close_reviews(person, office, context.now).await?;
        let to = [Organization::Office(office), Organization::Municipality(person.insurer)];
        self.tell_of_act(&mut tx, looking, &to, "register.end", context).await?;
        Ok(tx.commit(looking.entry(context, "register.end", Outcome::Done)).await?)
    }

    /// What holds of consent.
    pub async fn my_consent(&self, looking: &Looking, context: &Context) -> Result<MyConsent, Error> {
        let case = self.case_of_portal(&looking.grant, &[], context).await?.0;
        let acts = self.store().consents(looking.grant.person).await?;
        self.store().audit().append(looking.entry(context, "consent", Outcome::Allowed)).await?;
        let state = ConsentState::of(acts.iter().map(|act| (&act.record.act, act.record.acted_at)));
        let latest = acts.iter().max_by_key(|act| act.record.acted_at).map(|act| &act.record);
        let taken_by = match latest {
            Some(record) if record.form == FORM => "この画面".to_owned(),
            // Which office is in charge would tell where a 不開示 person is (P-037).
            Some(record) if case.stored.withheld && record.taken_by.office().is_some() => "担当の事業所".to_owned(),
            Some(record) => self.name_of_organization(record.taken_by),
            None => String::new(),
        };
        Ok(MyConsent { state, taken_by })
    }

    /// Name of an organisation, as people call it.
    pub(crate) fn name_of_organization(&self, organization: Organization) -> String {
        match organization {
            Organization::Office(number) => self
                .standing()
                .office(number)
                .map_or_else(|| format!("事業所番号 {number}"), |office| office.name.clone()),
            Organization::Municipality(number) => kiban_domain::municipality::find(number)
                .map_or_else(|| format!("保険者番号 {number}"), |city| city.name.to_string()),
            Organization::Prefecture(_) => "都道府県".to_owned(),
            Organization::Operator => "運用者".to_owned(),
        }
    }

    /// Gives, withdraws, refuses or allows; it holds from the next request on, whatever time a file gave an earlier act (P-069, P-071).
    /// Not by family: a 法定代理人 or 任意後見人 may, and every office in charge is told of it (T-2). `proof`: how the log-in was proved.
    pub async fn act_on_my_consent(
        &self,
        looking: &Looking,
        act: ConsentAct,
        proof: IdentityProof,
        context: &Context,
    ) -> Result<ConsentState, Error> {
        self.require_acting(looking, "consent.record", context).await?;
        if act == ConsentAct::NotObtainable {
            return Err(Error::item("act", "この画面では選べません"));
        }
        let person = looking.grant.person;
        let before = self.store().consents(person).await?;
        // The latest word on screen is the latest word; consent itself is dated by the clock alone.
        let latest = before.iter().map(|consent| consent.record.acted_at).max();
        let closes = matches!(act, ConsentAct::Withdrawn | ConsentAct::KindRefused(_));
        let acted_at = if closes { latest.map_or(context.now, |latest| latest.max(context.now)) } else { context.now };
        let record = ConsentRecord {
            person,
            act,
            acted_at,
            declarant: looking.declarant(),
            proof,
            taken_by: Organization::Municipality(person.insurer),
            staff: None,
            form: FORM.to_owned(),
            leaflet: Some(LEAFLET.to_owned()),
            evidence: None,
            remark: None,
        };
        let id = random_id()?;
        let mut tx = self.store().begin().await?;
        // The number first, as a package takes it: two that wait for each other would both be lost.
        let revision = tx.next_receipt_number(person.insurer).await?;
        let mut tx = self.still_acting(tx, looking, "consent.record", context).await?;
        tx.put_consent(&id, revision, context.now, &record).await?;
        let mut told = vec![Organization::Municipality(person.insurer)];
        if looking.grant.role.is_proxy() {
            let assignments = self.store().assignments(person).await?;
            let live = assignments.iter().filter(|assignment| assignment.is_live(context.today()));
            told.extend(live.map(|assignment| Organization::Office(assignment.office)));
        }
        self.tell_of_act(&mut tx, looking, &told, "consent.record", context).await?;
        let detail = serde_json::json!({ "act": record.act }).to_string();
        let entry = looking.entry(context, "consent.record", Outcome::Done);
        tx.commit(Entry { kind: Some("G1".to_owned()), natural_key: Some(id), detail: Some(detail), ..entry }).await?;
        let acts = before.iter().map(|consent| &consent.record).chain([&record]);
        Ok(ConsentState::of(acts.map(|record| (&record.act, record.acted_at))))
    }

    /// Proxies, ended ones too: nobody looks without being seen here, by the person and by every other proxy (T-2).
    pub async fn my_proxies(&self, looking: &Looking, context: &Context) -> Result<Vec<PortalGrantView>, Error> {
        self.carry_over(looking.grant.person, context).await?;
        let grants = self.store().portal_grants(looking.grant.person).await?;
        self.store().audit().append(looking.entry(context, "portal.grants", Outcome::Allowed)).await?;
        // Why somebody is blocked is between the municipality and whom it concerns; that they are is told.
        let others = PortalGrantView::all(&grants).into_iter();
        Ok(others.filter(|grant| !matches!(grant.role, "person" | "blocked")).collect())
    }

    /// Refuses the family, at once and until it is allowed again: registered family ends, and none can be registered (P-002). Only the
    /// person does this.
    pub async fn refuse_family(&self, looking: &Looking, refuse: bool, context: &Context) -> Result<(), Error> {
        const ACTION: &str = "proxy.refuse_family";
        if looking.grant.role != PortalRole::Person {
            let refused = looking.entry(context, ACTION, Outcome::Refused);
            self.store().audit().append(Entry { rule: Some("proxy_scope".to_owned()), ..refused }).await?;
            return Err(Error::Unknown);
        }
        let person = looking.grant.person;
        let mut tx = self.store().begin().await?;
        let grants = tx.lock_portal_grants(person).await?;
        let open = |role: PortalRole| {
            let open = grants.iter().filter(move |grant| grant.role == role && grant.ended.is_none());
            open.collect::<Vec<&PortalGrant>>()
        };
        let ending = if refuse { open(PortalRole::Family) } else { open(PortalRole::FamilyRefused) };
        for grant in &ending {
            tx.end_portal_grant(grant, "person", context.now).await?;
        }
        if refuse && open(PortalRole::FamilyRefused).is_empty() {
            tx.put_portal_grant(&PortalGrant::refusal(person, random_id()?, context.now)).await?;
        }
        self.tell_of_act(&mut tx, looking, &[Organization::Municipality(person.insurer)], ACTION, context).await?;
        let detail = serde_json::json!({ "refuse": refuse, "ended": ending.len() }).to_string();
        Ok(tx.commit(Entry { detail: Some(detail), ..looking.entry(context, ACTION, Outcome::Done) }).await?)
    }

    /// Family looks and does nothing else.
    async fn require_acting(&self, looking: &Looking, action: &str, context: &Context) -> Result<(), Error> {
        if looking.may_act() {
            return Ok(());
        }
        let refused = looking.entry(context, action, Outcome::Refused);
        self.store().audit().append(Entry { rule: Some("proxy_scope".to_owned()), ..refused }).await?;
        Err(Error::Unknown)
    }

    /// The same in the transaction of the act: a block, an end or a refusal that was committed since it was looked comes first, and one
    /// that has not waits (T-2).
    async fn still_acting(&self, mut tx: Tx, looking: &Looking, action: &str, context: &Context) -> Result<Tx, Error> {
        let all = tx.lock_portal_grants(looking.grant.person).await?;
        let own = all.iter().find(|grant| grant.id == looking.grant.id && grant.is_live(context.today()));
        if own.is_some_and(|own| !is_kept_out(own, &all)) {
            return Ok(tx);
        }
        drop(tx);
        let rule = if own.is_some_and(|own| is_blocked(own, &all)) { "proxy_blocked" } else { "proxy_not_live" };
        let refused = looking.entry(context, action, Outcome::Refused);
        self.store().audit().append(Entry { rule: Some(rule.to_owned()), ..refused }).await?;
        Err(Error::Unauthenticated("person_choice"))
    }

    async fn tell_of_act(
        &self,
        tx: &mut Tx,
        looking: &Looking,
        to: &[Organization],
        action: &str,
        context: &Context,
    ) -> Result<(), Error> {
        let facts = serde_json::json!({ "action": action, "by": looking.grant.role.code() });
        for to in to {
            let tell = Tell {
                to: *to,
                administrators: false,
                kind: NoticeKind::PersonActed,
                about: Some(looking.grant.person),
                facts: facts.clone(),
                once: "",
            };
            self.tell(tx, tell, context).await?;
        }
        Ok(())
    }
}

impl Looking {
    /// Whether acts are open: to the person, a 法定代理人 and a 任意後見人.
    pub fn may_act(&self) -> bool {
        self.grant.role != PortalRole::Family
    }

    fn declarant(&self) -> Declarant {
        match self.grant.role {
            PortalRole::Person => Declarant::Person,
            role => {
                let relation = PortalGrantView::of(&self.grant).proxy.map(|proxy| proxy.relation);
                Declarant::Representative { relation: relation.unwrap_or_else(|| role.name_ja().to_owned()) }
            }
        }
    }
}
