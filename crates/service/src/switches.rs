//! The office's own switch (P-014): what of one person one of the staff does not see, set by an administrator of the office; and the
//! list of all of them. It only closes what the law opens.

use crate::decision::Question;
use crate::{Caller, Context, Error, ItemFault, Platform};
use kiban_domain::office::StaffId;
use kiban_domain::{Kind, PersonKey, Timestamp};
use kiban_policy::{Decision, Disclosure, Rule, UseCase};
use kiban_store::{CoveredBy, Entry, Hides, Outcome, StaffSwitch};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Kinds that may be hidden one by one. 被保険者証 goes with the person, and the consent with what it closes.
const ONE_BY_ONE: [Kind; 12] = [
    Kind::A3b,
    Kind::A3c,
    Kind::A1,
    Kind::A2,
    Kind::A4,
    Kind::A5,
    Kind::C1,
    Kind::Cp1,
    Kind::Cp2,
    Kind::E1,
    Kind::E2,
    Kind::F1,
];
/// People whose names are gathered at a time.
const TOGETHER: usize = 50;

/// What an administrator sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchAsk {
    /// Whether anything is hidden.
    pub hidden: bool,
    /// Which kinds; none: the whole person.
    pub kinds: Vec<Kind>,
}

/// A switch that hides something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SwitchLine {
    /// Account from which it is hidden.
    pub account: String,
    /// 氏名 of that member of the staff.
    pub staff_name: String,
    /// Handle of the person for this office.
    pub handle: String,
    /// 保険者番号
    pub insurer_number: String,
    /// 被保険者番号
    pub insured_number: Option<String>,
    /// 氏名, where the administrator may see it.
    pub name: Option<String>,
    /// Hidden kinds; empty: the whole person.
    pub kinds: Vec<Kind>,
    /// Since when; absent of one that was set before this was kept.
    pub since: Option<Timestamp>,
    /// 氏名 of who set it.
    pub by: Option<String>,
}

/// What an administrator must know to set a switch.
#[derive(Debug, Clone)]
pub struct SwitchDesk {
    /// Who it is, as [`Platform::view_identity`] tells it.
    pub person: serde_json::Value,
    /// 氏名 of the member of the staff.
    pub staff_name: String,
    /// What is hidden at present.
    pub hides: Hides,
    /// Kinds that there are to hide here: those that are blank for the office are not named (P-041).
    pub kinds: Vec<Kind>,
}

/// Who a list is about.
pub(crate) struct Named {
    /// 氏名 of those whose card the caller may see.
    pub(crate) names: BTreeMap<PersonKey, String>,
    /// Those whom an administrator hides from the caller: not even their numbers are told.
    pub(crate) hidden: BTreeSet<PersonKey>,
}

impl Platform {
    /// The switch of the office's administrator for one staff member and person (P-014).
    pub async fn set_switch<E: From<Error>>(
        &self,
        caller: &Caller,
        handle: &str,
        account: &str,
        ask: Result<SwitchAsk, E>,
        context: &Context,
    ) -> Result<(), E> {
        let person = self.may_switch(caller, handle, context).await?;
        Ok(self.put_switch(caller, person, account, ask?, context).await?)
    }

    /// Who it is about and what is hidden now, for the page on which it is set.
    pub async fn switch_desk(
        &self,
        caller: &Caller,
        handle: &str,
        account: &str,
        context: &Context,
    ) -> Result<SwitchDesk, Error> {
        let person = self.may_switch(caller, handle, context).await?;
        let staff = self.other_of_staff(caller, account).await.map_err(|_| Error::Unknown)?;
        let office = caller.organization.office();
        let theirs = self.store().person_facts(person, caller.organization, office, Some(&staff)).await?;
        let hides = match (theirs.switched_off, theirs.switched_off_kinds) {
            (true, _) => Hides::Everything,
            (false, kinds) if kinds.is_empty() => Hides::Nothing,
            (false, kinds) => Hides::Kinds(kinds),
        };
        let case = self.case(caller, person, context).await?;
        let is_named = |kind: &Kind| match case.decide(Question::read(*kind)) {
            Decision::Allow { .. } => true,
            Decision::Refuse { disclosure, .. } => disclosure == Disclosure::Told,
        };
        let kinds = ONE_BY_ONE.into_iter().filter(is_named).collect();
        let person = self.view_identity(caller, handle, context).await?;
        Ok(SwitchDesk { person, staff_name: self.name_of_staff(&staff.0), hides, kinds })
    }

    /// The switches of the caller's office that hide something, of one account or of all, after one of them. For its administrators.
    pub async fn switches<E: From<Error>>(
        &self,
        caller: &Caller,
        account: Option<&str>,
        page: Result<(Option<String>, i32), E>,
        context: &Context,
    ) -> Result<Vec<SwitchLine>, E> {
        caller.require_way(UseCase::Eligibility, self.table_at(context.now)?)?;
        if caller.organization.office().is_none() {
            return Err(Error::Unknown.into());
        }
        if !caller.staff.administrator {
            return Err(self
                .refuse_to_staff(caller.entry(context, "switches", Outcome::Refused), context)
                .await?
                .into());
        }
        let (after, limit) = page?;
        Ok(self.page_of_switches(caller, account, after.as_deref(), limit, context).await?)
    }

    async fn page_of_switches(
        &self,
        caller: &Caller,
        account: Option<&str>,
        after: Option<&str>,
        limit: i32,
        context: &Context,
    ) -> Result<Vec<SwitchLine>, Error> {
        let named = |account| {
            let staff = crate::accounts::staff_id(caller.organization, account);
            staff.map_err(|_| Error::item("account", "アカウント名が正しくありません"))
        };
        let only = account.map(named).transpose()?;
        let after = match after.and_then(|after| after.split_once('.')) {
            Some((handle, account)) => {
                let person = self.person_of(caller, handle).await?;
                Some((named(account)?, person))
            }
            None => None,
        };
        // A place in another account's list is none in this one.
        let is_elsewhere = |(staff, _): &(StaffId, PersonKey)| only.as_ref().is_some_and(|only| only != staff);
        if after.as_ref().is_some_and(is_elsewhere) {
            return Err(Error::item("after", "前のページの next を指定してください"));
        }
        let place = after.as_ref().map(|(staff, person)| (staff, *person));
        let found = self.store().switches_of(caller.organization, only.as_ref(), place, limit).await?;
        let people = found.iter().map(|one| one.person).collect();
        let entry = caller.entry(context, "switches", Outcome::Allowed);
        let Named { names, hidden } = self.names_of(caller, people, entry, context).await?;
        let mut lines = Vec::with_capacity(found.len());
        for StaffSwitch { staff, person, hides, changed } in found {
            let is_told = !hidden.contains(&person);
            lines.push(SwitchLine {
                account: staff.0.rsplit('/').next().unwrap_or_default().to_owned(),
                staff_name: self.name_of_staff(&staff.0),
                handle: self.handle_of(caller, person).await?,
                insurer_number: person.insurer.to_string(),
                insured_number: is_told.then(|| person.insured.to_string()),
                name: names.get(&person).cloned(),
                kinds: match hides {
                    Hides::Kinds(kinds) => kinds.into_iter().collect(),
                    _ => Vec::new(),
                },
                since: changed.as_ref().map(|(at, _)| *at),
                by: changed.map(|(_, by)| self.name_of_staff(&by)),
            });
        }
        Ok(lines)
    }

    /// Who a list is about, as far as the caller may know; recorded by an entry as one list for each insurer.
    pub(crate) async fn names_of(
        &self,
        caller: &Caller,
        people: BTreeSet<PersonKey>,
        entry: Entry,
        context: &Context,
    ) -> Result<Named, Error> {
        let people: Vec<PersonKey> = people.into_iter().collect();
        let (mut names, mut hidden) = (BTreeMap::new(), BTreeSet::new());
        let mut seen = BTreeMap::<String, Vec<String>>::new();
        // Those of one insurer at a time: their facts are gathered by one statement.
        for of_insurer in people.chunk_by(|one, next| one.insurer == next.insurer) {
            for together in of_insurer.chunks(TOGETHER) {
                for (case, unopened) in self.cases_with(caller, together, (&[], true), context).await? {
                    let person = case.person;
                    if case.stored.switched_off {
                        hidden.insert(person);
                        continue;
                    }
                    if case.stored.known {
                        seen.entry(person.insurer.to_string()).or_default().push(person.insured.to_string());
                    }
                    if case.decide(Question::read(Kind::A3a)).is_allowed()
                        && let Some(insured) = unopened.identity()?
                    {
                        names.insert(person, insured.under(CoveredBy::List).identity.name);
                    }
                }
            }
        }
        if seen.is_empty() {
            self.store().audit().append(entry.clone()).await?;
        }
        for (insurer, subjects) in seen {
            self.store().audit().append(Entry { insurer: Some(insurer), subjects, ..entry.clone() }).await?;
        }
        Ok(Named { names, hidden })
    }

    /// 氏名 of somebody of the staff; of one who is not there any more, the account.
    pub(crate) fn name_of_staff(&self, id: &str) -> String {
        let account = || id.rsplit('/').next().unwrap_or_default().to_owned();
        self.standing().account(&StaffId(id.to_owned())).map_or_else(account, |known| known.staff.name.clone())
    }

    /// The person, for an administrator of an office that is registered for them.
    async fn may_switch(&self, caller: &Caller, handle: &str, context: &Context) -> Result<PersonKey, Error> {
        caller.require_way(UseCase::Eligibility, self.table_at(context.now)?)?;
        let person: PersonKey = self.person_of(caller, handle).await?;
        let case = self.case(caller, person, context).await?;
        if !case.is_assigned() || case.stored.switched_off {
            return Err(Error::Unknown);
        }
        if !caller.staff.administrator {
            let refused = caller.entry_about(context, person, "switch", Outcome::Refused);
            return Err(self.refuse_to_staff(refused, context).await?);
        }
        Ok(person)
    }

    /// Refused to whoever is no administrator; recorded.
    pub(crate) async fn refuse_to_staff(&self, refused: Entry, context: &Context) -> Result<Error, Error> {
        let rule = Rule::NotAdministrator;
        self.store().audit().append(Entry { rule: Some(rule.code().to_owned()), ..refused }).await?;
        Ok(Error::rule(rule, self.table_at(context.now)?))
    }

    /// Another account of the caller's office.
    async fn other_of_staff(&self, caller: &Caller, account: &str) -> Result<StaffId, Error> {
        let staff = crate::accounts::staff_id(caller.organization, account)
            .map_err(|_| Error::item("account", "アカウント名が正しくありません"))?;
        if staff == caller.staff.id {
            return Err(Error::item("account", "自分自身の閲覧の停止・再開は、事業所のほかの管理者が行ってください"));
        }
        if self.store().account(&staff).await?.is_none() {
            return Err(Error::item("account", "この事業所にそのアカウントはありません"));
        }
        Ok(staff)
    }

    async fn put_switch(
        &self,
        caller: &Caller,
        person: PersonKey,
        account: &str,
        ask: SwitchAsk,
        context: &Context,
    ) -> Result<(), Error> {
        let staff = self.other_of_staff(caller, account).await?;
        if let Some(other) = ask.kinds.iter().find(|kind| !ONE_BY_ONE.contains(kind)) {
            let text = format!("{}だけを見せないことはできません。すべてを見せないことにしてください", other.name_ja());
            return Err(Error::Invalid(vec![ItemFault::new("kinds", text)]));
        }
        let hides = match (ask.hidden, ask.kinds.is_empty()) {
            (false, _) => Hides::Nothing,
            (true, true) => Hides::Everything,
            (true, false) => Hides::Kinds(ask.kinds.iter().copied().collect()),
        };
        let detail = match &hides {
            Hides::Kinds(kinds) => serde_json::json!({ "staff": staff, "hidden": true, "kinds": kinds }),
            _ => serde_json::json!({ "staff": staff, "hidden": ask.hidden }),
        };
        let changed = Some((context.now, caller.staff.id.0.clone()));
        let mut tx = self.store().begin().await?;
        tx.put_switch(caller.organization, &StaffSwitch { staff, person, hides, changed }).await?;
        let entry = caller.entry_about(context, person, "switch", Outcome::Done);
        self.commit(tx, Entry { detail: Some(detail.to_string()), ..entry }, &(), context).await
    }
}
