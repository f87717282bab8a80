//! 利用開始 of a municipality (P-131, P-150, P-220): the public list of all of them, and the switch-over, an audited act of
//! the municipality or the operator that needs a reconciled load; undoing it is an audited act too.

use crate::{Caller, Context, Error, ItemFault, Platform, random_id};
use kiban_domain::dates::wareki;
use kiban_domain::municipality::{StartState, municipalities};
use kiban_domain::{Date, InsurerNumber, Organization};
use kiban_policy::UseCase;
use kiban_store::{AppliedPackage, Entry, Outcome};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// A municipality and when it begins to share; public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InsurerStart {
    /// 保険者番号 on the card.
    pub insurer_number: InsurerNumber,
    /// 都道府県コード, two digits.
    pub prefecture_code: String,
    /// 都道府県
    pub prefecture: String,
    /// 名称
    pub name: String,
    /// State and day.
    pub start: StartState,
    /// 未定, 調整中, 予定 or 開始.
    pub state_name: &'static str,
}

/// Which municipalities of the public list are wanted; empty means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartFilter {
    /// 都道府県: two-digit code or full name.
    pub prefecture: Option<String>,
    /// `undecided`, `coordinating`, `planned`, `started`, or the name in Japanese.
    pub state: Option<String>,
}

/// What speaks for or against a start: the newest applied package of the municipality, and the rows of all of them that are
/// not in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reconciliation {
    /// 受付番号 of the package; its result lists every difference.
    pub receipt: String,
    /// 基準日 of the package: the day as of which what is compared holds. Absent when it came before that was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_date: Option<Date>,
    /// Rows the municipality sent.
    pub read: i64,
    /// Rows of all applied packages that were refused or wait and that no later row of their key made good: in the
    /// municipality's system and not here.
    pub refused: i64,
    /// The packages with such rows, oldest first.
    pub packages: Vec<OpenPackage>,
    /// Insured people on the platform.
    pub people: i64,
}

/// A package with rows that are not in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenPackage {
    /// 受付番号; its result names every row.
    pub receipt: String,
    /// How many of its rows are not in.
    pub refused: i64,
}

/// The start of one municipality and what is needed for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StartView {
    /// 保険者番号
    pub insurer_number: InsurerNumber,
    /// State and day.
    pub start: StartState,
    /// 未定, 調整中, 予定 or 開始.
    pub state_name: &'static str,
    /// The load it would be started on; absent while nothing was applied.
    pub reconciliation: Option<Reconciliation>,
    /// What is in the way, in Japanese; absent when the start needs nothing more.
    pub needed: Option<String>,
}

/// A change of the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartChange {
    /// The new state.
    pub start: StartState,
    /// Why, in Japanese: needed to start in spite of refused rows, and to undo a start.
    pub reason: Option<String>,
}

/// Longest reason, in characters.
const LONGEST_REASON: usize = 500;

impl Platform {
    /// All 1,741 municipalities of the master with their start, as far as wanted; public, nobody is recorded.
    pub async fn starts(&self, filter: &StartFilter) -> Result<Vec<InsurerStart>, Error> {
        let recorded: HashMap<InsurerNumber, StartState> = self.store().starts().await?.into_iter().collect();
        let mut list: Vec<InsurerStart> = municipalities()
            .iter()
            .filter(|municipality| municipality.is_municipality())
            .map(|municipality| {
                let start = recorded.get(&municipality.card_number).copied().unwrap_or_default();
                InsurerStart {
                    insurer_number: municipality.card_number,
                    prefecture_code: municipality.prefecture.to_string(),
                    prefecture: municipality.prefecture_name.to_owned(),
                    name: municipality.name.to_owned(),
                    start,
                    state_name: start.name_ja(),
                }
            })
            .collect();
        let known: HashSet<_> = list.iter().map(|entry| entry.insurer_number).collect();
        // Invented municipalities of a demonstration stand at the end, outside the master.
        let mut others: Vec<_> = recorded.iter().filter(|(number, _)| !known.contains(number)).collect();
        others.sort_by_key(|(number, _)| **number);
        list.extend(others.into_iter().map(|(number, start)| InsurerStart {
            insurer_number: *number,
            prefecture_code: number.as_str()[..2].to_owned(),
            prefecture: "架空県".to_owned(),
            name: format!("保険者 {number}"),
            start: *start,
            state_name: start.name_ja(),
        }));
        filter.apply(list)
    }

    /// The start of a municipality with what is needed for it, for the operator or the municipality itself.
    pub async fn view_start(
        &self,
        caller: &Caller,
        insurer: InsurerNumber,
        context: &Context,
    ) -> Result<StartView, Error> {
        self.require_start(caller, insurer, context).await?;
        let view = self.start_view(insurer).await?;
        let entry = caller.entry(context, "insurer.start.view", Outcome::Allowed);
        self.store().audit().append(Entry { insurer: Some(insurer.to_string()), ..entry }).await?;
        Ok(view)
    }

    /// Announces, starts or undoes the start of a municipality, for the operator or the municipality itself.
    pub async fn change_start<E: From<Error>>(
        &self,
        caller: &Caller,
        insurer: InsurerNumber,
        change: Result<StartChange, E>,
        context: &Context,
    ) -> Result<StartView, E> {
        self.require_start(caller, insurer, context).await?;
        Ok(self.put_start(caller, insurer, &change?, context).await?)
    }

    async fn put_start(
        &self,
        caller: &Caller,
        insurer: InsurerNumber,
        change: &StartChange,
        context: &Context,
    ) -> Result<StartView, Error> {
        let entry = caller.entry(context, "insurer.start", Outcome::Done);
        self.write_start(insurer, change, entry, context).await?;
        self.start_view(insurer).await
    }

    /// The same without a reason by the operator's command line (`by` names the way).
    pub async fn set_start(
        &self,
        insurer: InsurerNumber,
        start: StartState,
        by: &str,
        context: &Context,
    ) -> Result<(), Error> {
        self.set_start_because(insurer, &StartChange { start, reason: None }, by, context).await
    }

    /// The same with a reason.
    pub async fn set_start_because(
        &self,
        insurer: InsurerNumber,
        change: &StartChange,
        by: &str,
        context: &Context,
    ) -> Result<(), Error> {
        let entry = Entry::new(context.now, &context.request_id, by, "insurer.start", Outcome::Done);
        let entry = Entry { organization: Some("operator".to_owned()), ..entry };
        self.write_start(insurer, change, entry, context).await
    }

    /// Refuses data of an insurer that is 未定, under a record of its own: nobody has said yet that it takes part. From 調整中 on
    /// it is taken, and shared with nobody before the start. Of 広域連合 the state of the union itself counts.
    pub(crate) async fn require_opened(&self, insurer: InsurerNumber, entry: &Entry) -> Result<(), Error> {
        if self.store().start_of(insurer).await? != StartState::Undecided {
            return Ok(());
        }
        let (outcome, insurer) = (Outcome::Refused, Some(insurer.to_string()));
        self.store().audit().append(Entry { outcome, insurer, ..entry.clone() }).await?;
        Err(Error::NotOpened(NOT_OPENED))
    }

    async fn require_start(&self, caller: &Caller, insurer: InsurerNumber, context: &Context) -> Result<(), Error> {
        caller.require_way(UseCase::Start, self.table_at(context.now)?)?;
        let may = match caller.organization {
            Organization::Operator => true,
            Organization::Municipality(own) => own == insurer,
            _ => false,
        };
        if may { Ok(()) } else { Err(Error::Unknown) }
    }

    async fn start_view(&self, insurer: InsurerNumber) -> Result<StartView, Error> {
        let start = self.store().start_of(insurer).await?;
        let package = self.store().newest_applied_package(insurer).await?;
        let people = self.store().count_people(insurer).await?;
        let open = self.open_packages(insurer).await?;
        let needed = match self.store().open_package(insurer).await? {
            Some(_) => Some(STILL_OPEN.to_owned()),
            None => obstacle(package.as_ref(), people, &open).map(|(_, text)| text),
        };
        Ok(StartView {
            insurer_number: insurer,
            start,
            state_name: start.name_ja(),
            reconciliation: package.map(|package| Reconciliation {
                receipt: package.receipt,
                base_date: package.base_date,
                read: package.counts.read,
                refused: open.iter().map(|package| package.refused).sum(),
                people,
                packages: open,
            }),
            needed: needed.filter(|_| !matches!(start, StartState::Started(_))),
        })
    }

    async fn open_packages(&self, insurer: InsurerNumber) -> Result<Vec<OpenPackage>, Error> {
        let rows = self.store().open_rows_by_package(insurer).await?;
        Ok(rows.into_iter().map(|(receipt, refused)| OpenPackage { receipt, refused }).collect())
    }

    async fn write_start(
        &self,
        insurer: InsurerNumber,
        change: &StartChange,
        entry: Entry,
        context: &Context,
    ) -> Result<(), Error> {
        let reason = change.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
        if reason.is_some_and(|reason| reason.chars().count() > LONGEST_REASON) {
            return Err(Error::item("reason", format!("理由は{LONGEST_REASON}文字以内で入力してください")));
        }
        let mut tx = self.store().begin().await?;
        // Nothing is being applied while the last package is judged and the start is written.
        if matches!(change.start, StartState::Started(_)) {
            let lease = tx.take_lease(insurer, &random_id()?, context.now).await?;
            tx.give_lease_back(&lease.ok_or(Error::Conflict(STILL_OPEN))?).await?;
        }
        let before = self.store().start_of(insurer).await?;
        let (action, package) = match (before, change.start) {
            (_, StartState::Started(day)) => {
                ("insurer.start", Some(self.reconciled(insurer, day, reason, context).await?))
            }
            (StartState::Started(_), _) if reason.is_none() => {
                return Err(Error::item("reason", "利用開始を取り消す理由を入力してください。取消は記録に残ります"));
            }
            (StartState::Started(_), _) => ("insurer.start.undo", None),
            _ => ("insurer.announce", None),
        };
        tx.set_start(insurer, change.start).await?;
        let package = package.map(|package| {
            serde_json::json!({ "receipt": package.0.receipt, "base_date": package.0.base_date, "read": package.0.counts.read, "refused": package.1 })
        });
        let detail = serde_json::json!({ "from": before, "to": change.start, "package": package, "reason": reason });
        let (action, insurer) = (action.to_owned(), Some(insurer.to_string()));
        let entry = Entry { action, insurer, detail: Some(detail.to_string()), ..entry };
        self.commit(tx, entry, &(), context).await
    }

    /// The package on which the municipality may be started on this day, and the packages with rows that are not in.
    async fn reconciled(
        &self,
        insurer: InsurerNumber,
        day: Date,
        reason: Option<&str>,
        context: &Context,
    ) -> Result<(AppliedPackage, Vec<OpenPackage>), Error> {
        if day > context.today() {
            let text = "先の日付では開始できません。予定として登録し、その日に開始してください";
            return Err(Error::Invalid(vec![ItemFault::new("date", text)]));
        }
        if self.store().open_package(insurer).await?.is_some() {
            return Err(Error::Conflict(STILL_OPEN));
        }
        let package = self.store().newest_applied_package(insurer).await?;
        let people = self.store().count_people(insurer).await?;
        let open = self.open_packages(insurer).await?;
        match obstacle(package.as_ref(), people, &open) {
            Some((Obstacle::NothingLoaded, _)) => return Err(Error::Conflict(NOTHING_LOADED)),
            Some((Obstacle::Differences, text)) if reason.is_none() => return Err(Error::item("reason", text)),
            _ => {}
        }
        Ok((package.ok_or(Error::Conflict(NOTHING_LOADED))?, open))
    }
}

const STILL_OPEN: &str = "取込みの終わっていないパッケージがあります。終わってから開始してください";
const NOTHING_LOADED: &str =
    "初期移行のパッケージがまだ反映されていません。被保険者などのデータを取り込んでから開始してください";

/// Who opens an insurer, and how.
const NOT_OPENED: &str = "この保険者は準備を始めていません（状態: 未定）。市区町村の職員が状態を調整中か予定にする（PUT /api/v1/insurers/保険者番号/start）か、運用者が kiban operate start 保険者番号 coordinating を実行してから、同じものを送ってください。何も保存していません";

enum Obstacle {
    NothingLoaded,
    Differences,
}

/// Receipts named in a text at most.
const NAMED: usize = 5;

/// What is in the way of a start: nothing loaded, or rows of any package that are not in.
fn obstacle(package: Option<&AppliedPackage>, people: i64, open: &[OpenPackage]) -> Option<(Obstacle, String)> {
    if package.is_none() || people == 0 {
        return Some((Obstacle::NothingLoaded, NOTHING_LOADED.to_owned()));
    }
    if open.is_empty() {
        return None;
    }
    let rows: i64 = open.iter().map(|package| package.refused).sum();
    let mut named: Vec<String> =
        open.iter().take(NAMED).map(|p| format!("{} の {} 件", p.receipt, p.refused)).collect();
    if open.len() > NAMED {
        named.push(format!("ほか {} パッケージ", open.len() - NAMED));
    }
    let text = format!(
        "まだ反映されていない行が {rows} 件あります（受付番号 {}）。直して送り直すか、差異を確かめたうえで、このまま開始する理由を入力してください",
        named.join("、")
    );
    Some((Obstacle::Differences, text))
}

impl StartFilter {
    fn apply(&self, mut list: Vec<InsurerStart>) -> Result<Vec<InsurerStart>, Error> {
        if let Some(prefecture) = &self.prefecture {
            if !list.iter().any(|one| one.prefecture == *prefecture || one.prefecture_code == *prefecture) {
                let text = "都道府県コード2桁（例 13）か、都道府県名（例 東京都）を指定してください";
                return Err(Error::item("prefecture", text));
            }
            list.retain(|one| one.prefecture == *prefecture || one.prefecture_code == *prefecture);
        }
        if let Some(state) = &self.state {
            if !STATES.iter().any(|(code, name)| code == state || name == state) {
                let text = "undecided（未定）・coordinating（調整中）・planned（予定）・started（開始）のどれかを指定してください";
                return Err(Error::item("state", text));
            }
            list.retain(|one| one.start.code() == state || one.state_name == state);
        }
        Ok(list)
    }
}

const STATES: [(&str, &str); 4] =
    [("undecided", "未定"), ("coordinating", "調整中"), ("planned", "予定"), ("started", "開始")];

/// 未開始 with its day, in words (P-150); `None` once the municipality has started.
pub(crate) fn not_started(start: StartState, today: Date) -> Option<String> {
    let words = match start {
        _ if start.is_started(today) => return None,
        StartState::Undecided => "時期は未定".to_owned(),
        StartState::Coordinating => "日程を調整中".to_owned(),
        StartState::Planned(day) if day < today => format!("{}の予定を過ぎ、開始を待っています", wareki(day)),
        StartState::Planned(day) => format!("{} 開始予定", wareki(day)),
        StartState::Started(day) => format!("{} 開始", wareki(day)),
    };
    Some(format!("未開始（{words}）"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn who_meets_a_person_of_a_city_that_has_not_started_reads_the_day() {
        let today = date(2026, 11, 22);
        let words = |start| not_started(start, today);
        assert_eq!(words(StartState::Undecided).unwrap(), "未開始（時期は未定）");
        assert_eq!(words(StartState::Planned(date(2027, 4, 1))).unwrap(), "未開始（令和9年4月1日 開始予定）");
        assert_eq!(
            words(StartState::Planned(date(2026, 10, 1))).unwrap(),
            "未開始（令和8年10月1日の予定を過ぎ、開始を待っています）"
        );
        assert_eq!(words(StartState::Started(today)), None);
    }
}
