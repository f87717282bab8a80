//! The life of an account (P-012, P-014, P-185, P-187, S-011): the operator makes the first administrator of an organisation,
//! an administrator its staff; each begins with an initial password that is shown once, is good for a few days and must be
//! changed before anything else. Stopping an account ends its log-ins and can be undone, leaving closes it for good: its row
//! stays, so that the past can be read.

use crate::accounts::staff_id;
use crate::passwords::faults_of;
use crate::{Caller, Context, Error, ItemFault, Platform, random};
use kiban_domain::office::{JobType, Staff, StaffId};
use kiban_domain::{CareManagerNumber, Organization, Timestamp};
use kiban_policy::{Rule, UseCase};
use kiban_store::{Account, Entry, Outcome, Session, SessionWay, Tx};
use serde::Serialize;
use std::collections::HashMap;
use zeroize::Zeroizing;

/// An account about to be added by the operator or the organisation's administrator.
#[derive(Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// Organisation.
    pub organization: Organization,
    /// Account name: ASCII letters, digits, `.`, `-`, `_`.
    pub account: String,
    /// 氏名
    pub name: String,
    /// 職種
    pub job: JobType,
    /// 介護支援専門員番号
    pub care_manager: Option<CareManagerNumber>,
    /// 管理者 of the organisation (P-014).
    pub administrator: bool,
    /// Password, kept only as argon2id hash.
    pub password: String,
}

/// Somebody who is to have an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Account name: ASCII letters, digits, `.`, `-`, `_`.
    pub account: String,
    /// 氏名
    pub name: String,
    /// 職種
    pub job: JobType,
    /// 介護支援専門員番号; a care manager has one.
    pub care_manager: Option<CareManagerNumber>,
    /// 管理者 of the organisation (P-014).
    pub administrator: bool,
}

/// An initial password, told this once.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct InitialPassword {
    /// Account name.
    pub account: String,
    /// Groups of four capital letters and digits.
    pub initial_password: String,
    /// Until when one can log in with it.
    pub valid_until: Timestamp,
}

/// An account in the list of its organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountLine {
    /// Account name.
    pub account: String,
    /// 氏名
    pub name: String,
    /// 職種
    pub job: JobType,
    /// The same in Japanese.
    pub job_name: &'static str,
    /// 介護支援専門員番号
    pub care_manager: Option<CareManagerNumber>,
    /// 管理者
    pub administrator: bool,
    /// `initial` (the initial password is not changed yet), `active`, `stopped` or `left`.
    pub state: &'static str,
    /// The same in Japanese.
    pub state_name: &'static str,
    /// Until when the initial password is good, if it is one.
    pub initial_until: Option<Timestamp>,
    /// Last log-in; none when there never was one.
    pub last_log_in: Option<Timestamp>,
    /// When they left.
    pub closed_at: Option<Timestamp>,
    /// Whether a second factor is set up.
    pub second_factor: bool,
    /// Whether it is the caller's own.
    pub own: bool,
}

/// The accounts of an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountList {
    /// Whose they are.
    pub organization: Organization,
    /// By account name.
    pub accounts: Vec<AccountLine>,
    /// When an administrator last went through them (P-187).
    pub reviewed_at: Option<Timestamp>,
    /// Whether that is more than a year ago, or never was.
    pub review_due: bool,
}

/// A log-in that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionLine {
    /// Its id.
    pub session: String,
    /// 端末名 of the certificate it is bound to; empty when that is not known any more.
    pub terminal: String,
    /// `interactive` (a screen) or `program`.
    pub way: &'static str,
    /// Name of the vendor's program.
    pub software: Option<String>,
    /// When it began.
    pub opened_at: Timestamp,
    /// When it ends at the latest.
    pub ends_at: Timestamp,
    /// Whether it is the one of this request.
    pub own: bool,
}

impl Invitation {
    /// All that is wrong with it.
    fn faults(&self, organization: Organization) -> Vec<ItemFault> {
        let mut faults = Vec::new();
        if staff_id(organization, &self.account).is_err() {
            faults.push(ItemFault::new("account", ACCOUNT_NAME));
        }
        if self.name.trim().is_empty() || self.name.chars().count() > 100 {
            faults.push(ItemFault::new("name", "氏名を100文字以内で入力してください"));
        }
        if !is_job_of(organization, self.job) {
            faults.push(ItemFault::new("job", "この機関にはない職種です。ほかの職種を選んでください"));
        }
        let missing = self.job == JobType::CareManager && self.care_manager.is_none();
        if missing {
            faults.push(ItemFault::new("care_manager", "介護支援専門員番号（8けた）を入力してください"));
        }
        faults
    }
}

const ACCOUNT_NAME: &str = "アカウント名は半角英数字と . - _ の64文字以内にしてください";
/// Days after which the accounts of an organisation are due to be gone through (P-187).
const REVIEW_DAYS: i64 = 365;
const LEFT: &str = "辞めた人のアカウントです。もう一度使うときは、別のアカウント名で登録してください";

/// Whether people of an organisation may have a job.
pub fn is_job_of(organization: Organization, job: JobType) -> bool {
    match organization {
        Organization::Office(_) => !matches!(job, JobType::MunicipalOfficer | JobType::OperatorStaff),
        Organization::Municipality(_) | Organization::Prefecture(_) => job == JobType::MunicipalOfficer,
        Organization::Operator => job == JobType::OperatorStaff,
    }
}

/// A new initial password: sixteen of 32 signs that are not taken for each other, 80 random bits.
fn initial_password() -> Result<Zeroizing<String>, Error> {
    const SIGNS: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
    let bytes: [u8; 16] = random()?;
    let signs: Vec<char> = bytes.iter().map(|byte| char::from(SIGNS[usize::from(byte & 31)])).collect();
    let groups: Vec<String> = signs.chunks(4).map(|group| group.iter().collect()).collect();
    Ok(Zeroizing::new(groups.join("-")))
}

/// The entry of an act of the operator's command line.
fn from_command(organization: Organization, context: &Context) -> Entry {
    let entry = Entry::new(context.now, &context.request_id, "cli", "", Outcome::Done);
    Entry { organization: Some(organization.to_string()), ..entry }
}

impl Platform {
    /// Adds or replaces an account with a password its person chose. One that is disabled stays disabled, one whose person left is
    /// refused, and whoever is logged in with the one that was there logs in anew. `by` is who did it, for the log.
    pub async fn put_account(&self, new: NewAccount, by: &str, context: &Context) -> Result<StaffId, Error> {
        let password = Zeroizing::new(new.password);
        let id = staff_id(new.organization, &new.account).map_err(|_| Error::item("account", ACCOUNT_NAME))?;
        let staff = Staff {
            id: id.clone(),
            name: new.name,
            job: new.job,
            care_manager: new.care_manager,
            administrator: new.administrator,
        };
        let faults = faults_of("password", &password, "", &staff);
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let password_hash = self.inner.passwords.hash(password).await?;
        let mut tx = self.store().begin().await?;
        let before = tx.hold_account(&id).await?;
        if before.as_ref().is_some_and(|before| before.closed_at.is_some()) {
            return Err(Error::Conflict(LEFT));
        }
        let active = before.as_ref().is_none_or(|before| before.active);
        if before.is_some() {
            tx.end_sessions_of(new.organization, &id, context.now).await?;
        }
        let (organization, initial_until, closed_at) = (new.organization, None, None);
        let (has_factor, has_passkey) = before.map_or((false, false), |before| (before.has_factor, before.has_passkey));
        let account =
            Account { staff, organization, password_hash, active, initial_until, closed_at, has_factor, has_passkey };
        tx.put_account(&account).await?;
        let entry = Entry::new(context.now, &context.request_id, by, "account.put", Outcome::Done);
        tx.commit(Entry { organization: Some(organization.to_string()), staff: Some(id.0.clone()), ..entry }).await?;
        self.inner.sessions.forget_staff(&id);
        Ok(id)
    }

    /// Gives somebody an account, by an administrator of the organisation; the operator gives other organisations their
    /// administrators.
    pub async fn invite<E: From<Error>>(
        &self,
        caller: &Caller,
        organization: Organization,
        invitation: Result<Invitation, E>,
        context: &Context,
    ) -> Result<InitialPassword, E> {
        self.may_care(caller, organization, "account.invite", context).await?;
        let invitation = invitation?;
        if caller.organization != organization && !invitation.administrator {
            let text = "運用者が登録するのは管理者です。ほかの職員は、その機関の管理者が登録します";
            return Err(Error::item("administrator", text).into());
        }
        Ok(self.put_invited(organization, invitation, caller.entry(context, "", Outcome::Done), context).await?)
    }

    /// The same by the operator's command line.
    pub async fn invite_locally(
        &self,
        organization: Organization,
        invitation: Invitation,
        context: &Context,
    ) -> Result<InitialPassword, Error> {
        self.put_invited(organization, invitation, from_command(organization, context), context).await
    }

    async fn put_invited(
        &self,
        organization: Organization,
        invitation: Invitation,
        entry: Entry,
        context: &Context,
    ) -> Result<InitialPassword, Error> {
        let faults = invitation.faults(organization);
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let id = staff_id(organization, &invitation.account)?;
        let (password, account) = self.with_initial_password(context).await?;
        let Invitation { account: told, name, job, care_manager, administrator } = invitation;
        let detail = serde_json::json!({ "job": job, "administrator": administrator }).to_string();
        let staff = Staff { id: id.clone(), name: name.trim().to_owned(), job, care_manager, administrator };
        let mut tx = self.store().begin().await?;
        if tx.hold_account(&id).await?.is_some() {
            return Err(Error::Conflict("このアカウント名は使われています。別のアカウント名にしてください"));
        }
        let (password_hash, valid_until) = account;
        let account = Account {
            staff,
            organization,
            password_hash,
            active: true,
            initial_until: Some(valid_until),
            closed_at: None,
            has_factor: false,
            has_passkey: false,
        };
        tx.put_account(&account).await?;
        self.commit_care(
            tx,
            &id,
            Entry { action: "account.invite".to_owned(), detail: Some(detail), ..entry },
            context,
        )
        .await?;
        Ok(InitialPassword { account: told, initial_password: password.to_string(), valid_until })
    }

    /// A fresh initial password with its hash and end.
    async fn with_initial_password(
        &self,
        context: &Context,
    ) -> Result<(Zeroizing<String>, (String, Timestamp)), Error> {
        let password = initial_password()?;
        let hash = self.inner.passwords.hash(password.clone()).await?;
        let hours = jiff::SignedDuration::from_hours(24 * self.inner.config.initial_password_days);
        Ok((password, (hash, context.now + hours)))
    }

    /// Gives an account a new initial password in place of the one that was lost; its log-ins end. The second factor stays unless
    /// it was lost too.
    pub async fn reset_password(
        &self,
        caller: &Caller,
        organization: Organization,
        (account, factor_lost): (&str, bool),
        context: &Context,
    ) -> Result<InitialPassword, Error> {
        let action = "account.reset";
        self.may_care(caller, organization, action, context).await?;
        let id = others_account(caller, organization, account)?;
        self.only_administrators(caller, organization, &id, action, context).await?;
        self.put_reset(id, (account, factor_lost), caller.entry(context, action, Outcome::Done), context).await
    }

    /// The same by the operator's command line.
    pub async fn reset_locally(
        &self,
        organization: Organization,
        (account, factor_lost): (&str, bool),
        context: &Context,
    ) -> Result<InitialPassword, Error> {
        let id = staff_id(organization, account).map_err(|_| Error::Unknown)?;
        let entry = Entry { action: "account.reset".to_owned(), ..from_command(organization, context) };
        self.put_reset(id, (account, factor_lost), entry, context).await
    }

    async fn put_reset(
        &self,
        id: StaffId,
        (account, factor_lost): (&str, bool),
        entry: Entry,
        context: &Context,
    ) -> Result<InitialPassword, Error> {
        let (password, (password_hash, valid_until)) = self.with_initial_password(context).await?;
        let (mut tx, before) = self.begin_care(&id, &entry).await?;
        let before = before.ok_or(Error::Unknown)?;
        if before.closed_at.is_some() {
            return Err(Error::Conflict(LEFT));
        }
        let reset = Account { password_hash, initial_until: Some(valid_until), ..before.clone() };
        match factor_lost {
            true => {
                tx.drop_passkeys(&reset).await?;
                tx.set_factor(&Account { has_passkey: false, ..reset }, None, &[]).await?;
            }
            false => tx.put_account(&reset).await?,
        }
        let detail = Some(serde_json::json!({ "second_factor_removed": factor_lost }).to_string());
        tx.end_sessions_of(before.organization, &id, context.now).await?;
        tx.clear_login_failures(before.organization, &id).await?;
        self.commit_care(tx, &id, Entry { detail, ..entry }, context).await?;
        Ok(InitialPassword { account: account.to_owned(), initial_password: password.to_string(), valid_until })
    }

    /// Closes the account of somebody who left, for good: nobody logs in with it, and what they did stays readable (S-011).
    pub async fn close_account(
        &self,
        caller: &Caller,
        organization: Organization,
        account: &str,
        context: &Context,
    ) -> Result<(), Error> {
        self.may_care(caller, organization, "account.leave", context).await?;
        let id = others_account(caller, organization, account)?;
        self.only_administrators(caller, organization, &id, "account.leave", context).await?;
        self.put_closed(&id, caller.entry(context, "account.leave", Outcome::Done), context).await
    }

    /// The same by the operator's command line.
    pub async fn close_locally(
        &self,
        organization: Organization,
        account: &str,
        context: &Context,
    ) -> Result<(), Error> {
        let id = staff_id(organization, account).map_err(|_| Error::Unknown)?;
        let entry = Entry { action: "account.leave".to_owned(), ..from_command(organization, context) };
        self.put_closed(&id, entry, context).await
    }

    async fn put_closed(&self, id: &StaffId, entry: Entry, context: &Context) -> Result<(), Error> {
        let (mut tx, before) = self.begin_care(id, &entry).await?;
        let before = before.ok_or(Error::Unknown)?;
        if before.closed_at.is_some() {
            return Err(Error::Conflict("このアカウントは、もう閉じています"));
        }
        let organization = before.organization;
        tx.put_account(&Account { active: false, closed_at: Some(context.now), ..before }).await?;
        let ended = tx.end_sessions_of(organization, id, context.now).await?;
        let detail = serde_json::json!({ "sessions_ended": ended }).to_string();
        self.commit_care(tx, id, Entry { detail: Some(detail), ..entry }, context).await
    }

    /// Disables an account or enables it again, by the operator's command line (S-011).
    pub async fn switch_account_locally(
        &self,
        organization: Organization,
        account: &str,
        active: bool,
        context: &Context,
    ) -> Result<(), Error> {
        let id = staff_id(organization, account).map_err(|_| Error::Unknown)?;
        self.put_account_active(&id, active, from_command(organization, context), context).await
    }

    /// The same by an administrator of the organisation, or by the operator's for any other organisation: in an emergency the
    /// operator stops anybody at once, but only administrators go on by the operator's act.
    pub async fn switch_account<E: From<Error>>(
        &self,
        caller: &Caller,
        organization: Organization,
        account: &str,
        active: Result<bool, E>,
        context: &Context,
    ) -> Result<(), E> {
        self.may_care(caller, organization, "account.switch", context).await?;
        let (id, active) = (others_account(caller, organization, account)?, active?);
        if active {
            self.only_administrators(caller, organization, &id, "account.switch", context).await?;
        }
        Ok(self
            .put_account_active(&id, active, caller.entry(context, "account.switch", Outcome::Done), context)
            .await?)
    }

    /// Switches an account as it is at this moment, and ends its sessions in the same transaction: this process lets them in no
    /// more, every other within two seconds, and enabling the account brings none of them back.
    async fn put_account_active(
        &self,
        id: &StaffId,
        active: bool,
        entry: Entry,
        context: &Context,
    ) -> Result<(), Error> {
        let (mut tx, before) = self.begin_care(id, &entry).await?;
        if before.is_some_and(|before| before.closed_at.is_some()) {
            return Err(Error::Conflict(LEFT));
        }
        let account = tx.set_account_active(id, active).await?.ok_or(Error::Unknown)?;
        let ended = tx.end_sessions_of(account.organization, id, context.now).await?;
        let action = if active { "account.enable" } else { "account.disable" };
        let detail = serde_json::json!({ "sessions_ended": ended }).to_string();
        self.commit_care(tx, id, Entry { action: action.to_owned(), detail: Some(detail), ..entry }, context).await
    }

    /// A transaction that holds an account and that of whoever acts on it (nobody's at the command line), always in the same order:
    /// of two administrators who stop each other at the same moment, one does.
    async fn begin_care(&self, id: &StaffId, entry: &Entry) -> Result<(Tx, Option<Account>), Error> {
        let mut tx = self.store().begin().await?;
        let Some(by) = entry.staff.clone().map(StaffId) else {
            let account = tx.hold_account(id).await?;
            return Ok((tx, account));
        };
        let (first, second) = if by < *id { (&by, id) } else { (id, &by) };
        let (first, second) = (tx.hold_account(first).await?, tx.hold_account(second).await?);
        let (by, account) = if by < *id { (first, second) } else { (second, first) };
        if by.is_none_or(|by| !by.active) {
            drop(tx);
            self.store().audit().append(Entry { outcome: Outcome::Refused, ..entry.clone() }).await?;
            return Err(Error::Unauthenticated("login_required"));
        }
        Ok((tx, account))
    }

    /// Commits a change of an account; this process notices it at once.
    async fn commit_care(&self, tx: Tx, id: &StaffId, entry: Entry, context: &Context) -> Result<(), Error> {
        self.commit(tx, Entry { natural_key: Some(id.0.clone()), ..entry }, &(), context).await?;
        self.inner.sessions.forget_staff(id);
        self.refresh_standing(context.now).await
    }

    /// The accounts of an organisation with their last log-ins, for its administrators and the operator.
    pub async fn accounts(
        &self,
        caller: &Caller,
        organization: Organization,
        context: &Context,
    ) -> Result<AccountList, Error> {
        self.may_care(caller, organization, "accounts", context).await?;
        let reviewed_at = self.store().account_review(organization).await?;
        let year = context.now - jiff::SignedDuration::from_hours(24 * REVIEW_DAYS);
        let last = self.store().last_log_ins(organization).await?;
        let lines = self.store().accounts_of(organization).await?;
        let lines = lines.into_iter().map(|account| line(account, &last, &caller.staff.id)).collect();
        let entry = caller.entry(context, "accounts", Outcome::Allowed);
        self.store().audit().append(Entry { natural_key: Some(organization.to_string()), ..entry }).await?;
        let review_due = reviewed_at.is_none_or(|at| at < year);
        Ok(AccountList { organization, accounts: lines, reviewed_at, review_due })
    }

    /// Notes that the caller went through the accounts of the own organisation: who is there, and what each may do (P-187).
    pub async fn review_accounts(
        &self,
        caller: &Caller,
        organization: Organization,
        context: &Context,
    ) -> Result<(), Error> {
        self.may_care(caller, organization, "accounts.review", context).await?;
        if caller.organization != organization {
            self.store().audit().append(caller.entry(context, "accounts.review", Outcome::Refused)).await?;
            return Err(Error::Conflict("見直すのは、その機関の管理者です"));
        }
        let mut tx = self.store().begin().await?;
        tx.put_account_review(organization, &caller.staff.id, context.now).await?;
        self.commit(tx, caller.entry(context, "accounts.review", Outcome::Done), &(), context).await
    }

    /// The log-ins of an account that have not ended: one's own, or for those who may care for the account.
    pub async fn account_sessions(
        &self,
        caller: &Caller,
        organization: Organization,
        account: &str,
        context: &Context,
    ) -> Result<Vec<SessionLine>, Error> {
        let id = self.may_see_sessions(caller, organization, account, "sessions", context).await?;
        let sessions = self.store().sessions_of(organization, &id, context.now).await?;
        let entry = caller.entry(context, "sessions", Outcome::Allowed);
        self.store().audit().append(Entry { natural_key: Some(id.0), ..entry }).await?;
        Ok(sessions.into_iter().map(|session| self.session_line(session, caller)).collect())
    }

    /// Ends one of them.
    pub async fn end_account_session(
        &self,
        caller: &Caller,
        organization: Organization,
        account: &str,
        session: &str,
        context: &Context,
    ) -> Result<(), Error> {
        let id = self.may_see_sessions(caller, organization, account, "session.end", context).await?;
        let open = self.store().sessions_of(organization, &id, context.now).await?;
        let session = open.iter().find(|open| open.id == session).ok_or(Error::Unknown)?;
        let mut tx = self.store().begin().await?;
        tx.end_session(organization, &session.id, context.now).await?;
        let entry = caller.entry(context, "session.end", Outcome::Done);
        self.commit(tx, Entry { natural_key: Some(id.0.clone()), ..entry }, &(), context).await?;
        self.inner.sessions.forget_staff(&id);
        Ok(())
    }

    async fn may_see_sessions(
        &self,
        caller: &Caller,
        organization: Organization,
        account: &str,
        action: &str,
        context: &Context,
    ) -> Result<StaffId, Error> {
        let id = staff_id(organization, account).map_err(|_| Error::Unknown)?;
        if id == caller.staff.id {
            caller.require_way(UseCase::Accounts, self.table_at(context.now)?)?;
            return Ok(id);
        }
        self.may_care(caller, organization, action, context).await?;
        let known = self.store().account(&id).await?.ok_or(Error::Unknown)?;
        Ok(known.staff.id)
    }

    fn session_line(&self, session: Session, caller: &Caller) -> SessionLine {
        let standing = self.standing();
        SessionLine {
            terminal: standing.certificate(&session.fingerprint).map_or_else(String::new, |row| row.terminal.clone()),
            way: match session.way {
                SessionWay::Interactive => "interactive",
                SessionWay::Program => "program",
            },
            own: session.id == caller.session,
            session: session.id,
            software: session.software,
            opened_at: session.opened_at,
            ends_at: session.refresh_until,
        }
    }

    /// The operator cares for the administrators of other organisations, and these for their staff.
    async fn only_administrators(
        &self,
        caller: &Caller,
        organization: Organization,
        id: &StaffId,
        action: &str,
        context: &Context,
    ) -> Result<(), Error> {
        let other = caller.organization != organization;
        if other && self.store().account(id).await?.is_some_and(|account| !account.staff.administrator) {
            self.store().audit().append(caller.entry(context, action, Outcome::Refused)).await?;
            return Err(Error::Conflict(
                "運用者が仮のパスワードを出し、再開し、閉じるのは管理者だけです。ほかの職員は、その機関の管理者が行います",
            ));
        }
        Ok(())
    }

    /// Whether the accounts of an organisation are the caller's to care for: an administrator's of it, or of the operator.
    async fn may_care(
        &self,
        caller: &Caller,
        organization: Organization,
        action: &str,
        context: &Context,
    ) -> Result<(), Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::Accounts, table)?;
        let own = caller.organization == organization;
        if !own && caller.organization != Organization::Operator {
            self.store().audit().append(caller.entry(context, action, Outcome::Refused)).await?;
            return Err(Error::Unknown);
        }
        if !caller.staff.administrator {
            let rule = Rule::NotAdministrator;
            let refused = caller.entry(context, action, Outcome::Refused);
            self.store().audit().append(Entry { rule: Some(rule.code().to_owned()), ..refused }).await?;
            return Err(Error::rule(rule, table));
        }
        Ok(())
    }
}

/// Id of an account that is not the caller's own: nobody locks themselves out, and one administrator always stays.
fn others_account(caller: &Caller, organization: Organization, account: &str) -> Result<StaffId, Error> {
    let id = staff_id(organization, account).map_err(|_| Error::Unknown)?;
    if id == caller.staff.id {
        return Err(Error::item("account", "自分自身のアカウントの停止などは、ほかの管理者か運用者が行ってください"));
    }
    Ok(id)
}

fn line(account: Account, last: &HashMap<StaffId, Timestamp>, own: &StaffId) -> AccountLine {
    let (state, state_name) = match &account {
        account if account.closed_at.is_some() => ("left", "辞めた"),
        account if !account.active => ("stopped", "停止中"),
        account if account.initial_until.is_some() => ("initial", "仮のパスワード"),
        _ => ("active", "利用中"),
    };
    AccountLine {
        account: account.staff.id.0.rsplit('/').next().unwrap_or_default().to_owned(),
        job: account.staff.job,
        job_name: account.staff.job.name_ja(),
        care_manager: account.staff.care_manager,
        administrator: account.staff.administrator,
        state,
        state_name,
        initial_until: account.initial_until,
        last_log_in: last.get(&account.staff.id).copied(),
        closed_at: account.closed_at,
        second_factor: account.asks_factor(),
        own: account.staff.id == *own,
        name: account.staff.name,
    }
}
