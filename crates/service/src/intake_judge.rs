//! One block of rows: what it changes, by key, 履歴番号 and content, against what is there. Nothing is written here.
//!
//! Which of two rows with one key holds depends on when the city made their packages (目録の作成日時) and never on which arrives
//! first, so that packages out of order, twice, or at once end in the same state (`row_order`).

use crate::intake::{natural_key, opinion_request, record_of};
use crate::intake_usage::{UsageState, to_count};
use crate::row_order::{Holder, Row, Since, Standing, standing};
use crate::{Error, Platform, intake_kinds};
use kiban_domain::assignment::Assignment;
use kiban_domain::consent::{ConsentAct, ConsentRecord};
use kiban_domain::insured::{Insured, LossReason, NumberLink};
use kiban_domain::{Date, InsuredNumber, InsurerNumber, Kind, PersonKey, Timestamp, dates};
use kiban_formats::Problem;
use kiban_formats::municipal::{Change, EXPORTED, MunicipalKind, MunicipalRow, MunicipalValue, problem_of_row};
use kiban_store::{
    Again, FileKey, InsurerKeys, NewPerson, NewRecord, OpenRow, OpinionRequest, PersonHeader, PresentAct,
    PresentRecords, ReceiptCounts, ReviewCause, RowClaim, RowKey, StoredLink, StoredOpenRow, TokenChange,
};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// How long a row waits for the person it is about: packages out of order are days apart. A number that was mistyped must not
/// wait for somebody who gets it in years.
pub(crate) const WAITS: jiff::SignedDuration = jiff::SignedDuration::from_hours(30 * 24);

/// Unknown offices that are remembered as told; of more each row is told, or counted.
const TOLD_OFFICES: usize = 10_000;

/// Judges the rows of one package, block after block.
pub(crate) struct Judge {
    pub(crate) platform: Platform,
    pub(crate) insurer: InsurerNumber,
    pub(crate) keys: Arc<InsurerKeys>,
    /// 受付番号
    pub(crate) revision: i64,
    /// When the package arrived.
    pub(crate) now: Timestamp,
    pub(crate) today: Date,
    /// Nobody of the insurer was there before: nothing is looked up.
    pub(crate) is_initial: bool,
    /// Packages made with or after this one.
    pub(crate) since: Since,
    /// Receipts that were set aside: what they wrote is there, and nobody sees it.
    pub(crate) aside: HashSet<i64>,
    /// People this package brought.
    pub(crate) written: HashMap<InsuredNumber, Brought>,
    /// Rows about somebody who is not there wait: the original is kept.
    pub(crate) may_wait: bool,
    /// Some row of the insurer is not in.
    pub(crate) has_open: bool,
    /// Only these rows are judged, those of another receipt.
    pub(crate) again: Option<(Again, HashSet<FileKey>)>,
    /// Unknown offices that were told: a city has thousands of cards with the same one.
    pub(crate) told_offices: HashSet<String>,
    /// What E1 and E2 rows of the package used.
    pub(crate) usage: UsageState,
}

/// What a package has brought of a person so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Brought {
    /// Highest 履歴番号.
    newest: u32,
    /// Any version is 不開示.
    withheld: bool,
    /// Nobody had this number before, so that nothing else can be there of them: they are not looked up again.
    is_new: bool,
}

/// What a block changes.
#[derive(Default)]
pub(crate) struct Judged {
    pub(crate) people: Vec<NewPerson>,
    pub(crate) records: Vec<NewRecord>,
    pub(crate) consents: Vec<(String, ConsentRecord)>,
    /// Acts of a 同意欄, counted with the application that carries them.
    pub(crate) columns: Vec<(String, ConsentRecord)>,
    pub(crate) requests: Vec<OpinionRequest>,
    /// 番号異動
    pub(crate) links: Vec<StoredLink>,
    /// Registrations to be looked at again (P-111).
    pub(crate) reviews: Vec<(Assignment, ReviewCause)>,
    /// A5 records that no longer ask for an opinion.
    pub(crate) ended_requests: Vec<(PersonKey, String)>,
    /// Which rows hold their keys, where what they wrote does not tell.
    pub(crate) claims: Vec<(RowKey, RowClaim)>,
    /// Rows that are not in.
    pub(crate) open: Vec<OpenRow>,
    /// Rows of other receipts that are not in any more because of one of these.
    pub(crate) displaced: Vec<(FileKey, i64)>,
    /// Rows of this or other receipts that were not in and are.
    pub(crate) cleared: Vec<(FileKey, i64)>,
    /// Rows of other receipts to be read again because of one of these.
    pub(crate) again: Vec<(FileKey, i64)>,
    /// Rows by kind and by what becomes of them; consents are counted when they are written.
    pub(crate) counts: BTreeMap<&'static str, ReceiptCounts>,
    pub(crate) problems: Vec<Problem>,
    /// Rows judged.
    pub(crate) rows: u64,
    /// Places in `people` of those of this block.
    place_of: HashMap<InsuredNumber, usize>,
}

/// What is there of the people of a block.
#[derive(Default)]
struct Present {
    people: HashMap<InsuredNumber, Vec<PersonHeader>>,
    records: PresentRecords,
    acts: HashMap<InsuredNumber, Vec<PresentAct>>,
    newest: HashMap<(InsuredNumber, Kind), String>,
    claims: HashMap<RowKey, RowClaim>,
    open: PresentOpen,
    /// People with a version that was set aside, and whether one says 不開示: that holds unseen, too (T-1 c).
    unseen: HashMap<InsuredNumber, bool>,
    /// Acts that were set aside.
    unseen_acts: HashSet<String>,
}

/// Rows that are not in, of whatever receipt.
#[derive(Default)]
struct PresentOpen {
    /// Receipts that brought one, by its key.
    by_key: HashMap<FileKey, Vec<i64>>,
    /// Those that still wait, by whom they wait for.
    waiting: HashMap<InsuredNumber, Vec<(FileKey, i64)>>,
}

impl PresentOpen {
    fn of(rows: Vec<StoredOpenRow>, now: Timestamp) -> Self {
        let mut open = Self::default();
        for row in rows {
            if row.waits && row.received_at + WAITS >= now {
                open.waiting.entry(row.key.0).or_default().push((row.key.clone(), row.receipt));
            }
            open.by_key.entry(row.key).or_default().push(row.receipt);
        }
        open
    }
}

impl Present {
    /// Leaves out what the package itself brought in blocks before: how many of them are written already is chance, and a
    /// key stands once in a package. Leaves out what packages that were set aside wrote, too: rows that nobody sees must not
    /// make the same rows of another package count as there.
    fn leave_out(&mut self, own: i64, aside: &HashSet<i64>) {
        let is_left_out = |revision: i64| revision == own || aside.contains(&revision);
        for (number, versions) in &mut self.people {
            for version in versions.iter().filter(|version| aside.contains(&version.revision)) {
                *self.unseen.entry(*number).or_default() |= version.withheld;
            }
            versions.retain(|version| !is_left_out(version.revision));
        }
        self.people.retain(|_, versions| !versions.is_empty());
        self.records.retain(|_, record| !is_left_out(record.revision));
        for acts in self.acts.values_mut() {
            let unseen = acts.iter().filter(|act| aside.contains(&act.revision)).map(|act| act.id.clone());
            self.unseen_acts.extend(unseen);
            acts.retain(|act| !is_left_out(act.revision));
        }
    }
}

/// What is there under the key of a row.
struct There<'a> {
    revision: i64,
    deleted: bool,
    digest: &'a [u8],
}

/// Where a row stands, and what it is.
struct Place {
    file: Arc<str>,
    line: u64,
    kind: MunicipalKind,
    key: PersonKey,
    history: u32,
    change: Change,
}

/// Key of an item in the layout, and code of the rule.
type Told = (&'static str, &'static str);

impl Place {
    /// A problem told at an item of the row, by its key in the layout.
    fn problem(&self, (item, rule): Told, text: &str) -> Problem {
        let problem = problem_of_row(self.kind, (&self.file, self.line), item, rule, text);
        match item {
            "insured" => problem.found(&self.key.insured.to_string()),
            "history" => problem.found(&self.history.to_string()),
            _ => problem,
        }
    }

    fn file_key(&self) -> FileKey {
        (self.key.insured, self.kind.code().to_owned(), i64::from(self.history))
    }

    fn open_row(&self, waits: bool) -> OpenRow {
        let (insured, kind, history) = self.file_key();
        OpenRow { insured: Some(insured), kind, history, waits }
    }
}

impl Judged {
    fn count(&mut self, place: &Place) -> &mut ReceiptCounts {
        self.counts.entry(place.kind.code()).or_default()
    }

    fn refuse(&mut self, place: &Place, told: Told, text: &str) {
        self.problems.push(place.problem(told, text));
        self.count(place).refused += 1;
        self.open.push(place.open_row(false));
    }

    /// A row about somebody who is not there yet.
    fn wait(&mut self, place: &Place) {
        let text = "この被保険者番号の被保険者が登録されていません。待っています。被保険者の行が30日以内に届けば、基盤がこの行を反映します（送り直さなくてかまいません）。番号が違うときは、正しい番号の行を送ってください";
        self.problems.push(place.problem(("insured", "unknown_person"), text));
        self.count(place).refused += 1;
        self.open.push(place.open_row(true));
    }

    fn warn(&mut self, place: &Place, told: Told, text: &str) {
        self.problems.push(place.problem(told, text).warning());
    }

    /// Whether a row is written. One that says what is there is counted.
    fn takes(&mut self, place: &Place, settled: Standing) -> bool {
        match settled {
            Standing::First | Standing::Corrects => true,
            Standing::Displaces => {
                let text = format!(
                    "履歴番号 {} は、このパッケージと同じか後に作成されたパッケージの新規の行で登録されていました。先に作成された行（または訂正）を採り、この行を登録しました。後の内容が正しいときは、異動区分を 2（訂正）にして送ってください",
                    place.history
                );
                self.warn(place, ("history", "displaced"), &text);
                true
            }
            Standing::Same | Standing::Confirmed => {
                self.count(place).unchanged += 1;
                false
            }
            Standing::Superseded | Standing::Outlived | Standing::Taken => false,
        }
    }

    /// A row that does not hold: of a package made before the one that holds its key, or new under a key that is taken, which
    /// only a correction may change (P-023, P-025).
    fn turn_away(&mut self, place: &Place, settled: Standing) {
        let number = place.history;
        match settled {
            Standing::Superseded | Standing::Outlived => {
                let text = format!(
                    "履歴番号 {number} は、このパッケージより後（または同じ時）に作成されたパッケージで登録済みです。この行は反映しません"
                );
                self.warn(place, ("history", "superseded"), &text);
                self.count(place).unchanged += 1;
            }
            Standing::Taken => {
                let text =
                    format!("履歴番号 {number} は別の内容で登録済みです。直すときは異動区分を 2（訂正）にしてください");
                self.refuse(place, ("history", "key_exists"), &text);
            }
            _ => {}
        }
    }

    /// Of a row that does not hold only 不開示 is taken.
    fn only_withheld(&mut self, place: &Place, settled: Standing) {
        let (rule, why) = match settled {
            Standing::Superseded => ("superseded", "このパッケージより後（または同じ時）に作成されたパッケージで"),
            _ => ("key_exists", "別の内容で"),
        };
        let text = format!("履歴番号 {} は、{why}登録済みです。不開示だけを反映しました", place.history);
        self.warn(place, ("withheld", rule), &text);
    }

    /// Of two versions of somebody in one block only the last says what the search tokens are.
    fn take_person(&mut self, person: NewPerson) {
        if person.tokens != TokenChange::Keep
            && let Some(earlier) = self.place_of.insert(person.insured.key.insured, self.people.len())
            && let Some(earlier) = self.people.get_mut(earlier)
        {
            earlier.tokens = TokenChange::Keep;
        }
        self.people.push(person);
    }
}

impl Judge {
    /// Rows that were applied before a cut: who is there is known from them.
    pub(crate) fn remember(&mut self, rows: &[MunicipalRow]) {
        for row in rows {
            if let MunicipalValue::Insured(insured) = &row.value {
                // Whether anything else is there of them is not known any more.
                self.note(insured.key.insured, row.history, insured.withheld, false);
            }
            self.remember_use(row);
        }
    }

    fn note(&mut self, insured: InsuredNumber, history: u32, withheld: bool, is_new: bool) {
        let known = self.written.entry(insured).or_insert(Brought { newest: history, withheld, is_new });
        known.newest = known.newest.max(history);
        known.withheld |= withheld;
    }

    /// Judges a block: sound rows, and keys of others.
    pub(crate) async fn block(&mut self, mut rows: Vec<MunicipalRow>, faulty: Vec<OpenRow>) -> Result<Judged, Error> {
        let mut judged = Judged { rows: rows.len() as u64, ..Judged::default() };
        if let Some((_, wanted)) = &self.again {
            let key =
                |row: &MunicipalRow| (row.key.insured, row.value.kind().code().to_owned(), i64::from(row.history));
            rows.retain(|row| wanted.contains(&key(row)));
        } else {
            judged.open = faulty;
        }
        let present = self.present(&rows, &judged.open).await?;
        for row in rows {
            let (counted, records) = (to_count(&row), judged.records.len());
            let place = Place {
                file: row.file,
                line: row.line,
                kind: row.value.kind(),
                key: row.key,
                history: row.history,
                change: row.change,
            };
            let (refused, was_known) = (judged.open.len(), self.is_known(row.key.insured, &present));
            let is_person = matches!(row.value, MunicipalValue::Insured(_));
            match row.value {
                MunicipalValue::Insured(insured) => self.person(*insured, &place, &present, &mut judged).await?,
                // It goes on waiting.
                _ if !was_known && self.again.is_some() => continue,
                _ if !was_known && self.may_wait => judged.wait(&place),
                _ if !was_known => {
                    let text = "この被保険者番号の被保険者が登録されていません。先に（または同じパッケージで）被保険者の行を送ってください";
                    judged.refuse(&place, ("insured", "unknown_person"), text);
                }
                MunicipalValue::Consent(record) => {
                    let act = self.consent(*record, &place, &present, &mut judged)?;
                    judged.consents.extend(act);
                }
                MunicipalValue::Link(link) => self.link(link, &place, &present, &mut judged).await?,
                value => self.record(value, &place, &present, &mut judged).await?,
            }
            let is_in = judged.open.len() == refused;
            self.clear(&place, is_in, &present, &mut judged);
            if is_in && is_person && !was_known {
                Self::take_up(&place, &present, &mut judged);
            }
            if let Some((row, record)) = counted.zip(judged.records.get(records)) {
                let is_recorded = present.newest.contains_key(&(row.key.insured, record.kind));
                self.count_use(&row, is_recorded, &mut judged).await?;
            }
        }
        judged.open.retain(|row| !self.is_made_good(row, &present));
        Ok(judged)
    }

    /// What was not in under the key of a row, and is settled by it.
    fn clear(&self, place: &Place, is_in: bool, present: &Present, judged: &mut Judged) {
        if present.open.by_key.is_empty() {
            return;
        }
        let key = place.file_key();
        for receipt in present.open.by_key.get(&key).into_iter().flatten() {
            let is_read_again = self.again.as_ref().is_some_and(|(again, _)| again.of == *receipt);
            if is_read_again || is_in && self.since.made(*receipt) != Ordering::Greater {
                judged.cleared.push((key.clone(), *receipt));
            }
        }
    }

    /// What waited for somebody who is there now.
    fn take_up(place: &Place, present: &Present, judged: &mut Judged) {
        judged.again.extend(present.open.waiting.get(&place.key.insured).into_iter().flatten().cloned());
    }

    /// Whether something made later is there under the key of a row that is not in.
    fn is_made_good(&self, row: &OpenRow, present: &Present) -> bool {
        let Some(insured) = row.insured else { return false };
        let is_later = |revision: i64| self.since.made(revision) == Ordering::Greater;
        let versions = present.people.get(&insured).map_or(&[][..], Vec::as_slice);
        if row.kind == MunicipalKind::Insured.code() {
            return versions.iter().any(|version| version.history_number == row.history && is_later(version.revision));
        }
        let natural = u32::try_from(row.history).map(natural_key).unwrap_or_default();
        let key = (insured, row.kind.clone(), natural.clone());
        let kind = EXPORTED.iter().find(|exported| exported.file.code() == row.kind).map(|exported| exported.kind);
        let record = kind.and_then(|kind| present.records.get(&(insured, kind, natural)));
        let held = present.claims.get(&key).map(|claim| claim.revision).or(record.map(|record| record.revision));
        held.is_some_and(is_later)
    }

    async fn present(&self, rows: &[MunicipalRow], faulty: &[OpenRow]) -> Result<Present, Error> {
        let mut numbers: Vec<InsuredNumber> = rows.iter().map(|row| row.key.insured).collect();
        numbers.extend(faulty.iter().filter_map(|row| row.insured));
        numbers.sort();
        numbers.dedup();
        let store = self.platform.store();
        let open = if self.has_open { self.open_rows(rows, &numbers).await? } else { PresentOpen::default() };
        if self.is_initial {
            return Ok(Present { open, ..Present::default() });
        }
        let in_block = EXPORTED.iter().filter(|exported| {
            let code = exported.file.code();
            rows.iter().any(|row| row.value.kind() == exported.file) || faulty.iter().any(|row| row.kind == code)
        });
        let kinds: Vec<Kind> = in_block.map(|exported| exported.kind).collect();
        numbers.retain(|number| !self.written.get(number).is_some_and(|brought| brought.is_new));
        let people = store.present_people(self.insurer, &numbers).await?;
        // Of somebody who is not there nothing is there.
        numbers.retain(|number| people.contains_key(number));
        let is_asked = |row: &&MunicipalRow| !self.aside.is_empty() || intake_kinds::has_act(&row.value);
        let consenting: HashSet<InsuredNumber> = rows.iter().filter(is_asked).map(|row| row.key.insured).collect();
        let consenting: Vec<InsuredNumber> = numbers.iter().copied().filter(|n| consenting.contains(n)).collect();
        let (records, acts, claims) = tokio::try_join!(
            store.present_records(self.insurer, &numbers, &kinds),
            store.present_acts(self.insurer, &consenting),
            store.claims(self.insurer, &numbers)
        )?;
        let mut present = Present { people, records, acts, claims, open, ..Present::default() };
        present.leave_out(self.revision, &self.aside);
        for (number, kind, natural_key) in present.records.keys() {
            let latest = present.newest.entry((*number, *kind)).or_default();
            if natural_key > latest {
                latest.clone_from(natural_key);
            }
        }
        Ok(present)
    }

    /// What is not in of the 種別 of a block, and what waits for people it may bring.
    async fn open_rows(&self, rows: &[MunicipalRow], people: &[InsuredNumber]) -> Result<PresentOpen, Error> {
        let kinds: HashSet<&str> = rows.iter().map(|row| row.value.kind().code()).collect();
        let brings = kinds.contains(MunicipalKind::Insured.code());
        let kinds: Vec<&str> = kinds.into_iter().collect();
        let open = self.platform.store().open_rows(self.insurer, people, &kinds, brings).await?;
        Ok(PresentOpen::of(open, self.now))
    }

    fn is_known(&self, insured: InsuredNumber, present: &Present) -> bool {
        self.written.contains_key(&insured) || present.people.contains_key(&insured)
    }

    async fn person(
        &mut self,
        insured: Insured,
        place: &Place,
        present: &Present,
        judged: &mut Judged,
    ) -> Result<(), Error> {
        if self.platform.standing().paying_insurer(insured.card_insurer, self.today) != self.insurer
            && insured.card_insurer != self.insurer
        {
            let text = "証記載保険者番号が、この保険者（広域連合では構成市町村）の番号ではありません。番号を確認し、正しければ運用者に構成市町村の登録を依頼してください";
            judged.refuse(place, ("card_insurer", "card_insurer"), text);
            return Ok(());
        }
        let (number, history) = (place.key.insured, i64::from(place.history));
        let versions = present.people.get(&number).map_or(&[][..], Vec::as_slice);
        let (written, unseen) = (self.written.get(&number).copied(), present.unseen.get(&number).copied());
        let lifted = versions.iter().filter(|version| version.lifts).map(|version| version.revision).max();
        let was_withheld = versions.iter().any(|version| version.withheld && Some(version.revision) > lifted)
            || written.is_some_and(|brought| brought.withheld)
            || unseen == Some(true);
        let last = versions.iter().rfind(|version| version.history_number == history);
        let content = serde_json::to_vec(&insured).map_err(|error| Error::Internal(error.to_string()))?;
        // What was there before 不開示 was lifted says nothing new when it comes again (P-037).
        let digest = self.keys.digest(&content);
        let is_repeated = |version: &&PersonHeader| version.history_number == history && version.digest == digest;
        if versions.iter().filter(is_repeated).any(|version| Some(version.revision) < lifted) {
            judged.count(place).unchanged += 1;
            return Ok(());
        }
        let there = last.map(|last| There { revision: last.revision, deleted: false, digest: &last.digest });
        let settled = self.settle(place, &natural_key(place.history), &content, there, present, judged);
        if let (Standing::Superseded | Standing::Taken, Some(last)) = (settled, last) {
            // 不開示 that is set is never turned away (decision 0006.36).
            if insured.withheld && !was_withheld {
                return self.withhold(&insured, last, place, present, settled, judged).await;
            }
            judged.turn_away(place, settled);
            return Ok(());
        }
        if !judged.takes(place, settled) {
            return Ok(());
        }
        let newest = versions.last().map(|version| version.history_number).max(written.map(|w| i64::from(w.newest)));
        let is_present = newest.is_none_or(|newest| history >= newest);
        if let Some(newest) = newest.filter(|_| !is_present) {
            let text = format!(
                "履歴番号 {history} より新しい履歴番号 {newest} が登録済みです。この行は過去の履歴として登録しました"
            );
            judged.warn(place, ("history", "older_history"), &text);
        }
        if was_withheld && !insured.withheld && is_present {
            let text = "登録済みの不開示をファイルで解除することはできません。不開示のまま、ほかの項目を反映しました";
            judged.warn(place, ("withheld", "withheld_kept"), text);
        }
        let tokens = match (newest.is_some() || unseen.is_some(), is_present, was_withheld || insured.withheld) {
            (false, ..) => TokenChange::Add,
            (_, _, true) => TokenChange::Remove,
            (_, true, false) => TokenChange::Replace,
            (_, false, false) => TokenChange::Keep,
        };
        self.note(number, place.history, insured.withheld, versions.is_empty() && unseen.is_none());
        judged.count(place).applied += 1;
        if let Some((_, reason)) = insured.lost.filter(|_| is_present && !versions.is_empty()) {
            let cause = match reason {
                LossReason::MovedOut => ReviewCause::MovedOut,
                LossReason::Died => ReviewCause::Died,
                LossReason::Other => ReviewCause::Lost,
            };
            self.review(place.key, cause, judged).await?;
        }
        judged.take_person(NewPerson { history_number: history, insured, tokens });
        Ok(())
    }

    /// A row of somebody whose 履歴番号 another holds: that content stays, with 不開示 of either (P-037). It is kept as a further
    /// revision of that content.
    async fn withhold(
        &mut self,
        insured: &Insured,
        last: &PersonHeader,
        place: &Place,
        present: &Present,
        settled: Standing,
        judged: &mut Judged,
    ) -> Result<(), Error> {
        let versions = self.platform.store().person_versions(place.key).await?;
        let known = versions
            .into_iter()
            .find(|(header, _)| (header.history_number, header.revision) == (last.history_number, last.revision));
        // What cannot be read is not shown either; the row itself then carries the flag.
        let content = known.map_or_else(|| insured.clone(), |(_, content)| content);
        let content = Insured { withheld: true, ..content };
        if content != *insured {
            judged.only_withheld(place, settled);
        }
        judged.count(place).applied += 1;
        self.note(place.key.insured, place.history, true, false);
        // The revision is of this receipt, the content of the one before.
        let key = (place.key.insured, place.kind.code().to_owned(), natural_key(place.history));
        if !present.claims.contains_key(&key) {
            judged.claims.push((key, RowClaim { revision: last.revision, corrected: false, deletion: None }));
        }
        judged.take_person(NewPerson {
            history_number: last.history_number,
            insured: content,
            tokens: TokenChange::Remove,
        });
        Ok(())
    }

    /// Which of a row and what is there under its key holds; remembers it where what is written does not tell.
    fn settle(
        &self,
        place: &Place,
        key: &str,
        content: &[u8],
        there: Option<There<'_>>,
        present: &Present,
        judged: &mut Judged,
    ) -> Standing {
        // Compared with nothing where nothing is there.
        let digest = there.as_ref().map(|_| self.keys.digest(content));
        let row = Row::new(place.change, digest.unwrap_or_default());
        let key = (place.key.insured, place.kind.code().to_owned(), key.to_owned());
        let claim = present.claims.get(&key);
        let known = there.as_ref().map(|there| {
            let plain = RowClaim {
                revision: there.revision,
                corrected: there.deleted,
                deletion: there.deleted.then_some(there.revision),
            };
            *claim.filter(|claim| !self.aside.contains(&claim.revision)).unwrap_or(&plain)
        });
        let holder = there.zip(known).map(|(there, known)| Holder {
            row: Row { corrected: known.corrected, deleted: there.deleted, digest: there.digest.to_vec() },
            made: self.since.made(known.revision),
            deleted: known.deletion.map(|deletion| self.since.made(deletion)),
        });
        let settled = standing(&row, holder.as_ref());
        if let (Standing::Displaces, Some(RowClaim { revision, corrected: false, .. })) = (settled, known) {
            judged.displaced.push((place.file_key(), revision));
        }
        if row.deleted && settled == Standing::Corrects {
            // What was made after a deletion that arrives late may hold now.
            judged.again.extend(self.since.later().map(|receipt| (place.file_key(), receipt)));
        }
        let deletion = if row.deleted { Some(self.revision) } else { known.and_then(|known| known.deletion) };
        match (settled, known) {
            (Standing::Same | Standing::Superseded | Standing::Taken, _) => {}
            (Standing::Outlived, Some(known)) => judged.claims.push((key, RowClaim { deletion, ..known })),
            _ if row.corrected || deletion.is_some() || claim.is_some() || settled == Standing::Confirmed => {
                let (revision, corrected) = (self.revision, row.corrected);
                judged.claims.push((key, RowClaim { revision, corrected, deletion }));
            }
            _ => {}
        }
        settled
    }

    /// Registrations of a person that something put in doubt: the municipality looks at them again (P-111).
    async fn review(&self, person: PersonKey, cause: ReviewCause, judged: &mut Judged) -> Result<(), Error> {
        let registrations = self.platform.store().assignments(person).await?;
        let live = registrations.into_iter().filter(|assignment| assignment.is_live(self.today));
        judged.reviews.extend(live.map(|assignment| (assignment, cause)));
        Ok(())
    }

    /// 番号異動 (P-038): what the old number was is not told, the link alone is kept.
    async fn link(&self, link: NumberLink, place: &Place, present: &Present, judged: &mut Judged) -> Result<(), Error> {
        let deleted = place.change == Change::Deleted;
        let content = |link: &NumberLink| serde_json::to_vec(link).map_err(|error| Error::Internal(error.to_string()));
        let history_number = i64::from(place.history);
        let before = self.platform.store().links_of(place.key).await?;
        let last = before.iter().rfind(|known| {
            let is_there = known.revision != self.revision && !self.aside.contains(&known.revision);
            known.history_number == history_number && is_there
        });
        let digest = last.map(|last| content(&last.link).map(|content| self.keys.digest(&content))).transpose()?;
        let there = last.zip(digest.as_ref());
        let there =
            there.map(|(last, digest)| There { revision: last.revision, deleted: last.deleted, digest: &digest[..] });
        let settled = self.settle(place, &natural_key(place.history), &content(&link)?, there, present, judged);
        if !judged.takes(place, settled) {
            judged.turn_away(place, settled);
            return Ok(());
        }
        if !deleted && link.before.insurer == self.insurer {
            self.review(link.before, ReviewCause::Renumbered, judged).await?;
        }
        judged.count(place).applied += 1;
        judged.links.push(StoredLink { person: place.key, history_number, revision: self.revision, link, deleted });
        Ok(())
    }

    async fn record(
        &mut self,
        value: MunicipalValue,
        place: &Place,
        present: &Present,
        judged: &mut Judged,
    ) -> Result<(), Error> {
        let asked = opinion_request(place.key, place.history, &value).filter(|_| place.change != Change::Deleted);
        let request = self.known_request(asked, place, judged);
        if let Some((item, text)) = self.unknown_office(&value)
            && !self.told_offices.contains(&text)
        {
            if self.told_offices.len() < TOLD_OFFICES {
                self.told_offices.insert(text.clone());
            }
            judged.warn(place, (item, "unknown_office"), &text);
        }
        let is_running = matches!(&value, MunicipalValue::Progress(p) if p.result.is_none() && p.closing.is_none());
        let enters_facility = is_in_facility(&value, self.today);
        let card = match &value {
            MunicipalValue::InsuranceCard(card) if !card.planning_offices.is_empty() => Some(card.clone()),
            _ => None,
        };
        let column = match intake_kinds::consent_column(place.key, place.change, &value) {
            Some(act) => match self.consent(act, place, present, judged)? {
                Some(act) => Some(act),
                None => return Ok(()),
            },
            None => None,
        };
        let record = record_of(self.today, place.key, place.history, place.change, value)?;
        let same = present.records.get(&(place.key.insured, record.kind, record.natural_key.clone()));
        let there = same.map(|same| There { revision: same.revision, deleted: same.deleted, digest: &same.digest });
        let settled = self.settle(place, &record.natural_key, &record.payload, there, present, judged);
        if !matches!(settled, Standing::Same | Standing::Confirmed) {
            // An act is an act, whichever version of the application holds (P-071).
            judged.columns.extend(column);
        }
        if !judged.takes(place, settled) {
            if matches!(settled, Standing::Same | Standing::Confirmed)
                && let Some(request) = request.filter(|_| is_running)
                && !self.platform.store().has_opinion_request(place.key, &request.natural_key).await?
            {
                // The hospital was not registered when the row came first.
                judged.requests.push(request);
            }
            if settled == Standing::Taken && record.kind == Kind::A2 {
                // P-130: an opinion that came electronically and returns is the same record, as its author wrote it.
                judged.warn(place, ("applied_on", "same_opinion"), intake_kinds::SAME_OPINION);
                judged.count(place).unchanged += 1;
            } else {
                judged.turn_away(place, settled);
            }
            return Ok(());
        }
        if same.is_none() && place.change == Change::Deleted {
            // Kept as a deletion, so that the row itself, made earlier and arriving later, does not come back.
            let text = format!("履歴番号 {} の記録は登録されていません。削除だけを登録しました", place.history);
            judged.warn(place, ("history", "delete_unknown"), &text);
        } else if same.is_none()
            && let Some(newer) = present.newest.get(&(place.key.insured, record.kind))
            && record.kind != Kind::A2
            && *newer > record.natural_key
        {
            let newer = newer.trim_start_matches('0');
            let text = format!("履歴番号 {newer} がすでに登録されています。この行は過去の履歴として登録しました");
            judged.warn(place, ("history", "older_history"), &text);
        }
        if enters_facility && !record.deleted && present.people.contains_key(&place.key.insured) {
            self.review(place.key, ReviewCause::Facility, judged).await?;
        }
        // A row of the past names who planned then.
        let is_latest = present.newest.get(&(place.key.insured, Kind::A3a)).is_none_or(|n| *n <= record.natural_key);
        if let Some(card) = card.filter(|_| !record.deleted && is_latest)
            && present.people.contains_key(&place.key.insured)
        {
            let before = self.platform.offices_before(place.key, &card, self.now).await?;
            judged.reviews.extend(before.into_iter().map(|office| (office, ReviewCause::PlanningOffice)));
        }
        judged.count(place).applied += 1;
        match request {
            Some(request) if !record.deleted => judged.requests.push(request),
            // Only a record that was there before can have asked for an opinion.
            _ if record.kind == Kind::A5 && same.is_some() => {
                judged.ended_requests.push((place.key, natural_key(place.history)));
            }
            _ => {}
        }
        judged.records.push(record);
        Ok(())
    }

    /// An act with its id. P-071: ordered by the time of the act; one in the future is refused.
    fn consent(
        &self,
        record: ConsentRecord,
        place: &Place,
        present: &Present,
        judged: &mut Judged,
    ) -> Result<Option<(String, ConsentRecord)>, Error> {
        // An act is a row of its own, or the 同意欄 of an application.
        let act_day = if place.kind == MunicipalKind::Consent { "acted_on" } else { "consent_on" };
        // A withdrawal without a time counts as 23:59:59 of its day; on that day it must not be turned away.
        let closes = matches!(record.act, ConsentAct::Withdrawn | ConsentAct::KindRefused(_));
        let of_today = closes && dates::day_in_japan(record.acted_at) <= self.today;
        if record.acted_at > self.now + jiff::SignedDuration::from_mins(5) && !of_today {
            let text = "同意・撤回の日時が受付より後になっています。実際に行われた日時を入れてください";
            judged.refuse(place, (act_day, "act_in_future"), text);
            return Ok(None);
        }
        let standing = self.platform.standing();
        if let Some(number) = record.taken_by.office().filter(|number| standing.office(*number).is_none()) {
            let text = format!("同意を取った事業所の番号 {number} は基盤に登録されていません。番号を確認してください");
            judged.refuse(place, ("taken_by", "unknown_office"), &text);
            return Ok(None);
        }
        let text = serde_json::to_vec(&record).map_err(|error| Error::Internal(error.to_string()))?;
        // The same act again has the same id, whatever package brings it.
        let digest = self.keys.digest(&[b"consent act", &text[..]].concat());
        let mut id = act_id(&digest);
        // It lies unseen in a package that was set aside: as another act it counts at once.
        if present.unseen_acts.contains(&id) {
            id = act_id(
                &self.keys.digest(&[b"consent act again", &self.revision.to_be_bytes()[..], &text[..]].concat()),
            );
        }
        let acts = present.acts.get(&place.key.insured).map_or(&[][..], Vec::as_slice);
        let newer = acts.iter().filter(|act| act.id != id && is_after(act, &record)).max_by_key(|act| act.acted_at);
        // The city gets the difference back: what its own ledger says no longer holds.
        if let Some(newer) = newer {
            let day = dates::day_in_japan(newer.acted_at);
            let text = format!(
                "基盤には、この後の{}（{day}、取得 {}）があります。そちらが有効です。台帳を確認してください",
                act_ja(newer.act),
                newer.taken_by
            );
            judged.warn(place, (act_day, "consent_differs"), &text);
        }
        Ok(Some((id, record)))
    }

    /// The request of a row for an opinion, if the hospital is registered: one that is not could not answer it here. The rest of
    /// the row holds, the request on paper too.
    fn known_request(
        &self,
        request: Option<OpinionRequest>,
        place: &Place,
        judged: &mut Judged,
    ) -> Option<OpinionRequest> {
        let request = request?;
        if self.platform.standing().office(request.office).is_some() {
            return Some(request);
        }
        let text = format!(
            "意見書依頼先医療機関の番号 {} は基盤に登録されていません。行は反映しましたが、意見書依頼のつながりだけを除きました（この医療機関は意見書を電子で出せません）。番号を確認し、正しければ運用者に登録を依頼し、登録の後にこの行をもう一度送ってください",
            request.office
        );
        judged.warn(place, ("opinion_requested_from", "unknown_office"), &text);
        None
    }

    /// An office of a row that is not registered on the platform, with the item that names it. The row is taken.
    fn unknown_office(&self, value: &MunicipalValue) -> Option<(&'static str, String)> {
        let standing = self.platform.standing();
        let (item, name, number) = match value {
            MunicipalValue::InsuranceCard(card) => {
                let items = ["planner1_office", "planner2_office", "planner3_office"].into_iter();
                let mut offices = items.zip(card.planning_offices.iter().map(|planner| planner.office));
                let (item, number) = offices.find(|(_, number)| standing.office(*number).is_none())?;
                (item, "居宅介護支援事業者", number)
            }
            MunicipalValue::Opinion(opinion) => ("institution", "意見書を作成した医療機関", opinion.institution),
            _ => return None,
        };
        let text = format!(
            "{name}の番号 {number} は基盤に登録されていません。番号を確認し、正しければ運用者に登録を依頼してください"
        );
        standing.office(number).is_none().then_some((item, text))
    }
}

fn act_id(digest: &[u8; 32]) -> String {
    digest[..16].iter().map(|b| format!("{b:02x}")).collect()
}

/// Whether an act on the same thing, with another outcome, holds over a record: later, or at the same time and closing.
fn is_after(act: &PresentAct, record: &ConsentRecord) -> bool {
    let (one, other) = (about(act.act), about(record.act));
    let closes = matches!(act.act, ConsentAct::Withdrawn | ConsentAct::KindRefused(_));
    one == other
        && act.act != record.act
        && (act.acted_at > record.acted_at || (closes && act.acted_at == record.acted_at))
}

/// The kind an act is about; none for all of them.
fn about(act: ConsentAct) -> Option<Kind> {
    match act {
        ConsentAct::KindRefused(kind) | ConsentAct::KindAllowed(kind) => Some(kind),
        ConsentAct::Given | ConsentAct::Withdrawn | ConsentAct::NotObtainable => None,
    }
}

fn act_ja(act: ConsentAct) -> &'static str {
    match act {
        ConsentAct::Given => "同意",
        ConsentAct::Withdrawn => "撤回",
        ConsentAct::KindRefused(_) => "種別の拒否",
        ConsentAct::KindAllowed(_) => "種別の拒否の取消",
        ConsentAct::NotObtainable => "同意取得不能",
    }
}

/// 施設入所: a card with a stay that has begun and not ended.
fn is_in_facility(value: &MunicipalValue, today: Date) -> bool {
    let MunicipalValue::InsuranceCard(card) = value else { return false };
    card.facilities.iter().any(|stay| stay.stay.contains(today))
}
