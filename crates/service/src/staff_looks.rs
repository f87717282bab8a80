//! 職員の閲覧記録 (P-188, P-189, S-015): who of the own staff looked at whom, when, at what, on what ground, refused ones too. For the
//! administrators of offices, hospitals and municipalities, by days; the log is read by its index of organisations.

use crate::look_ups::{LookUp, look_up};
use crate::switches::Named;
use crate::{Caller, Context, Error, ItemFault, Platform};
use jiff::civil::Date;
use kiban_domain::{InsuredNumber, InsurerNumber, Organization, PersonKey, dates};
use kiban_policy::{Rule, UseCase};
use kiban_store::{Cursor, Entry, Outcome, Position, StoredEntry};
use serde::Serialize;
use std::collections::BTreeSet;

/// Days of one question at most.
pub const STAFF_LOOK_DAYS: i64 = 31;
/// Read at a time.
const BLOCK: u32 = 500;

/// Which looks are asked for.
#[derive(Debug, Clone)]
pub struct StaffLooksAsk {
    /// First day in Japan; absent: six days before the last.
    pub from: Option<Date>,
    /// Last day; absent: today.
    pub to: Option<Date>,
    /// Only those of this account.
    pub account: Option<String>,
    /// Where an answer said it goes on.
    pub after: Option<String>,
    /// Lines at most.
    pub limit: i32,
}

/// One look of one of the staff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StaffLook {
    /// The look, as everywhere.
    #[serde(flatten)]
    pub look: LookUp,
    /// Account; absent of what the terminal did without anybody logged in.
    pub account: Option<String>,
    /// 氏名 of the one of the staff.
    pub staff_name: Option<String>,
    /// 保険者番号 of the person.
    pub insurer_number: Option<String>,
    /// 被保険者番号 of the person, as it was typed or opened; absent of a list.
    pub insured_number: Option<String>,
    /// 氏名 of the person, where the administrator may see it.
    pub name: Option<String>,
    /// People on a list.
    pub people: i32,
    /// Why it was allowed or not, in Japanese, where that may be told.
    pub reason: Option<String>,
}

/// Looks of some days, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StaffLooks {
    /// First day.
    pub from: Date,
    /// Last day.
    pub to: Date,
    /// The looks.
    pub look_ups: Vec<StaffLook>,
    /// Where it goes on; absent at the end of the days.
    pub next: Option<String>,
}

impl Platform {
    /// The looks of the caller's own staff, newest first.
    pub async fn staff_looks<E: From<Error>>(
        &self,
        caller: &Caller,
        ask: Result<StaffLooksAsk, E>,
        context: &Context,
    ) -> Result<StaffLooks, E> {
        caller.require_way(UseCase::LookUpLog, self.table_at(context.now)?)?;
        if !matches!(caller.organization, Organization::Office(_) | Organization::Municipality(_)) {
            return Err(Error::Unknown.into());
        }
        if !caller.staff.administrator {
            let refused = caller.entry(context, "look_ups.staff", Outcome::Refused);
            return Err(self.refuse_to_staff(refused, context).await?.into());
        }
        Ok(self.looks_of_days(caller, ask?, context).await?)
    }

    async fn looks_of_days(&self, caller: &Caller, ask: StaffLooksAsk, context: &Context) -> Result<StaffLooks, Error> {
        let to = ask.to.unwrap_or_else(|| context.today());
        let from = ask.from.unwrap_or_else(|| to.saturating_sub(jiff::Span::new().days(6)));
        let days = i64::from((to - from).get_days());
        if !(0..STAFF_LOOK_DAYS).contains(&days) {
            let text = format!("期間は、初めの日から{STAFF_LOOK_DAYS}日までにしてください");
            return Err(Error::Invalid(vec![ItemFault::new("from", text)]));
        }
        let only = match &ask.account {
            Some(account) => Some(
                crate::accounts::staff_id(caller.organization, account)
                    .map_err(|_| Error::item("account", "アカウント名が正しくありません"))?,
            ),
            None => None,
        };
        let begin = |day: Date| {
            let midnight = dates::instant_in_japan(day.at(0, 0, 0, 0));
            midnight.map(|at| at.as_microsecond()).ok_or_else(|| Error::item("from", "日付を確かめてください"))
        };
        let oldest = begin(from)?;
        let end = begin(to.tomorrow().map_err(|_| Error::item("to", "日付を確かめてください"))?)?;
        let mut before = match ask.after.as_deref() {
            Some(text) => cursor(text).ok_or_else(|| Error::item("after", "前のページの next を指定してください"))?,
            None => Cursor { at: end, position: Position { writer: i64::MIN, segment: 0, n: 0 } },
        };
        // What was asked for before its time is not answered with other days.
        if before.at > end {
            return Err(Error::item("after", "前のページの next を指定してください"));
        }
        let limit = usize::try_from(ask.limit).unwrap_or_default();
        let (mut found, mut read, mut is_end) = (Vec::new(), 0, false);
        let organization = caller.organization.to_string();
        let most = u32::try_from(self.inner.config.staff_look_entries).unwrap_or_default();
        'read: while read < most {
            let size = BLOCK.min(most - read);
            let block = self.store().audit().of_organization(&organization, size, Some(before)).await?;
            for entry in &block {
                if entry.at < oldest {
                    is_end = true;
                    break 'read;
                }
                read += 1;
                before = entry.cursor();
                if is_look(entry) && only.as_ref().is_none_or(|only| entry.staff.as_deref() == Some(only.0.as_str())) {
                    found.push(entry.clone());
                    if found.len() == limit {
                        break 'read;
                    }
                }
            }
            if block.len() < size as usize {
                is_end = true;
                break;
            }
        }
        let detail = serde_json::json!({ "from": from, "to": to, "account": ask.account }).to_string();
        let entry = Entry { detail: Some(detail), ..caller.entry(context, "look_ups.staff", Outcome::Allowed) };
        let people: BTreeSet<PersonKey> = found.iter().filter_map(person_of).collect();
        let Named { names, hidden } = self.names_of(caller, people, entry, context).await?;
        let mut look_ups = Vec::with_capacity(found.len());
        for mut entry in found {
            let person = person_of(&entry);
            if person.is_some_and(|person| hidden.contains(&person)) {
                (entry.insured, entry.subjects) = (None, 1);
            }
            let name = person.and_then(|person| names.get(&person).cloned());
            look_ups.push(self.staff_look(caller, entry, name, context)?);
        }
        Ok(StaffLooks { from, to, look_ups, next: (!is_end).then(|| cursor_text(before)) })
    }

    fn staff_look(
        &self,
        caller: &Caller,
        entry: StoredEntry,
        name: Option<String>,
        context: &Context,
    ) -> Result<StaffLook, Error> {
        let table = self.table_at(context.now)?;
        let has_person = entry.insurer != kiban_store::NO_INSURER;
        let (insurer, insured, people) = (entry.insurer.clone(), entry.insured.clone(), entry.subjects);
        let look = look_up(entry)?;
        // A municipality reads everything of its insured; an office not what its answers hid (T-36).
        let is_office = matches!(caller.organization, Organization::Office(_));
        let look = if is_office { look.without_blind_rule(table) } else { look };
        let staff = look.staff.clone();
        Ok(StaffLook {
            account: staff.as_deref().and_then(|id| id.rsplit('/').next()).map(str::to_owned),
            staff_name: staff.as_deref().map(|id| self.name_of_staff(id)),
            insurer_number: has_person.then_some(insurer),
            insured_number: insured,
            name,
            people,
            reason: look.rule.as_deref().and_then(Rule::parse).map(|rule| table.reason(rule).reason.clone()),
            look,
        })
    }
}

/// Looks whose entries name nobody: at a message between offices, which no municipality learns of (decision 0006.41), and for somebody
/// whom a search in a disaster did not find (T-6).
const OF_NOBODY: [&str; 6] = ["slip.view", "slip.fetch", "slip.file", "slip.print", "slip.register", "disaster.search"];

/// What concerns a person, and is no trace of an entry that was never answered.
fn is_look(entry: &StoredEntry) -> bool {
    let concerns = entry.insured.is_some() || entry.subjects > 0 || entry.kind.is_some();
    let is_one = concerns || OF_NOBODY.contains(&entry.action.as_str());
    is_one && entry.outcome != "void" && !entry.action.starts_with("import.")
}

fn person_of(entry: &StoredEntry) -> Option<PersonKey> {
    let insured = InsuredNumber::parse(entry.insured.as_deref()?).ok()?;
    Some(PersonKey { insurer: InsurerNumber::parse(&entry.insurer).ok()?, insured })
}

/// A place in the log as a text that says nothing about anybody.
fn cursor_text(cursor: Cursor) -> String {
    let Position { writer, segment, n } = cursor.position;
    format!("{:x}.{writer:x}.{segment:x}.{n:x}", cursor.at)
}

fn cursor(text: &str) -> Option<Cursor> {
    let parts: Vec<&str> = text.split('.').collect();
    let [at, writer, segment, n] = parts[..] else { return None };
    let long = |text: &str| i64::from_str_radix(text, 16).ok().filter(|number| *number >= 0);
    let short = |text: &str| i32::from_str_radix(text, 16).ok().filter(|number| *number >= 0);
    Some(Cursor { at: long(at)?, position: Position { writer: long(writer)?, segment: short(segment)?, n: short(n)? } })
}
