//! 取込み of a municipal package (P-130, P-160, P-161): the original is kept and a receipt given at once; everything is
//! read and every problem named; sound rows are applied by key and history number, repeating is harmless; the result
//! says the same on screen, in JSON and in the result file.
//!
//! A package that does not fit its manifest, or holds a row of another insurer, is refused as a whole. Rows are applied in
//! one transaction; only an initial load into an insurer without people goes in blocks, invisible until the receipt is
//! applied (decision 0006.19).

use crate::submission::{RETENTION_YEARS, years_after};
use crate::{Caller, Context, Error, Platform, intake_kinds, random_id};
use kiban_domain::consent::{ConsentAct, ConsentRecord};
use kiban_domain::dates::{self, Period};
use kiban_domain::ids::looks_like_individual_number;
use kiban_domain::insured::Insured;
use kiban_domain::{Date, InsuredNumber, InsurerNumber, Kind, Organization, PersonKey, Timestamp};
use kiban_formats::Problem;
use kiban_formats::municipal::{self, Change, MunicipalRow, MunicipalValue};
use kiban_policy::{UseCase, Writer, may_register};
use kiban_store::{Entry, NewReceipt, NewRecord, OpinionRequest, Outcome, Receipt, ReceiptCounts, ReceiptState, Tx};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, HashSet};

/// The result of a package: what the receipt answers, whichever way it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageReport {
    /// Rows by what became of them.
    pub counts: ReceiptCounts,
    /// Problems, in the order of the files.
    pub problems: Vec<ReportedProblem>,
}

/// A problem as the sender reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedProblem {
    /// `error` or `warning`.
    pub severity: String,
    /// File.
    pub file: String,
    /// Physical line, 0 when the whole file is meant.
    pub line: u64,
    /// Column, 0 when the whole line is meant.
    pub column: u32,
    /// Item.
    pub item: String,
    /// Stable rule code.
    pub rule: String,
    /// The whole in one Japanese sentence.
    pub message: String,
}

impl ReportedProblem {
    pub(crate) fn of(problem: &Problem) -> Self {
        Self {
            severity: if problem.is_error() { "error" } else { "warning" }.to_owned(),
            file: problem.file.clone(),
            line: problem.line,
            column: problem.column,
            item: problem.item.clone(),
            rule: problem.rule.to_string(),
            message: problem.message_ja(),
        }
    }
}

/// A receipt as answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IntakeResult {
    /// 受付番号
    pub receipt: String,
    /// `received`, `refused` or `applied`.
    pub state: &'static str,
    /// When it arrived.
    pub received_at: Timestamp,
    /// True when the same bytes had been received before.
    pub repeated: bool,
    /// What became of it.
    pub report: PackageReport,
}

/// Rows applied in one go in an initial load.
const BLOCK: usize = 5_000;

impl Platform {
    /// Takes a package of the caller's municipality.
    pub async fn import_package(
        &self,
        caller: &Caller,
        files: Vec<(String, Vec<u8>)>,
        context: &Context,
    ) -> Result<IntakeResult, Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::ImportPackage, table)?;
        let Some(insurer) = caller.municipality() else {
            return Err(Error::rule(kiban_policy::Rule::NotWriter, table));
        };
        let entry = caller.entry(context, "import", Outcome::Done);
        self.import_for(insurer, caller.organization, files, entry, context, &mut |_, _| {}).await
    }

    /// The same for a command on the platform's own machine. `progress` hears rows done and rows in all.
    pub async fn import_package_locally(
        &self,
        insurer: InsurerNumber,
        files: Vec<(String, Vec<u8>)>,
        context: &Context,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<IntakeResult, Error> {
        let sender = Organization::Municipality(insurer);
        let entry = Entry {
            organization: Some(sender.to_string()),
            ..Entry::new(context.now, &context.request_id, "cli", "import", Outcome::Done)
        };
        self.import_for(insurer, sender, files, entry, context, progress).await
    }

    async fn import_for(
        &self,
        insurer: InsurerNumber,
        sender: Organization,
        files: Vec<(String, Vec<u8>)>,
        entry: Entry,
        context: &Context,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<IntakeResult, Error> {
        let bytes = bundle(&files);
        let keys = self.store().keys_of(insurer).await?;
        let digest = keys.digest(&bytes);
        let entry = Entry { insurer: Some(insurer.to_string()), ..entry };
        let before = self.store().receipt_by_digest(insurer, sender, &digest).await?;
        if let Some(receipt) = before.as_ref().filter(|receipt| receipt.state != ReceiptState::Received) {
            self.store()
                .audit()
                .append(Entry { action: "import.repeated".to_owned(), outcome: Outcome::Allowed, ..entry })
                .await?;
            return answer(receipt.clone(), true);
        }
        // Pass 1: read and judge everything.
        let package = municipal::open(files);
        let mut rows = Vec::new();
        let mut problems = package.check(&mut |row| rows.push(row));
        problems.extend(foreign_package(&package, insurer));
        let keep = !problems.iter().any(Problem::forbids_keeping);
        let (number, public_id) = match before {
            Some(receipt) => (receipt.number, receipt.public_id),
            None => self.give_receipt(insurer, sender, keep.then_some(&bytes[..]), digest, &entry, context).await?,
        };
        let total = announced(&package, &problems).max(rows.len()) as u64;
        let refused = problems.iter().any(municipal::refuses_package);
        let mut counts = ReceiptCounts {
            read: total as i64,
            refused: (total - rows.len() as u64) as i64,
            ..ReceiptCounts::default()
        };
        if refused {
            counts.refused = counts.read;
            let report = report(counts, &problems);
            let tx = self.store().begin().await?;
            return close(tx, insurer, number, ReceiptState::Refused, report, public_id, entry, context).await;
        }
        let load = Load { insurer, number, now: context.now, today: context.today(), initial: false };
        let tx = self.apply(load, rows, &mut counts, &mut problems, progress, &entry).await?;
        let report = report(counts, &problems);
        close(tx, insurer, number, ReceiptState::Applied, report, public_id, entry, context).await
    }

    async fn give_receipt(
        &self,
        insurer: InsurerNumber,
        sender: Organization,
        original: Option<&[u8]>,
        digest: [u8; 32],
        entry: &Entry,
        context: &Context,
    ) -> Result<(i64, String), Error> {
        let public_id = random_id()?;
        let mut tx = self.store().begin().await?;
        let new =
            NewReceipt { insurer, public_id: public_id.clone(), sender, received_at: context.now, original, digest };
        let number = tx.put_receipt(&new).await?;
        tx.commit(Entry {
            action: "import.received".to_owned(),
            natural_key: Some(public_id.clone()),
            ..entry.clone()
        })
        .await?;
        Ok((number, public_id))
    }

    /// Pass 2: block by block, decide what changes anything, write it.
    async fn apply(
        &self,
        load: Load,
        rows: Vec<MunicipalRow>,
        counts: &mut ReceiptCounts,
        problems: &mut Vec<Problem>,
        progress: &mut (dyn FnMut(u64, u64) + Send),
        entry: &Entry,
    ) -> Result<Tx, Error> {
        let total = rows.len() as u64;
        let mut done = 0;
        let mut known: HashMap<InsuredNumber, i64> = HashMap::new();
        let mut seen = HashSet::new();
        let mut tx = self.store().begin().await?;
        tx.lock_insurer(load.insurer).await?;
        let load = Load { initial: self.store().count_people(load.insurer).await? == 0, ..load };
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let block: Vec<MunicipalRow> = rows.by_ref().take(BLOCK).collect();
            done += block.len() as u64;
            self.apply_block(&mut tx, &load, block, &mut known, &mut seen, counts, problems).await?;
            progress(done, total);
            if load.initial && rows.peek().is_some() {
                tx.commit(Entry { action: "import.block".to_owned(), ..entry.clone() }).await?;
                tx = self.store().begin().await?;
                tx.lock_insurer(load.insurer).await?;
            }
        }
        Ok(tx)
    }

    #[expect(clippy::too_many_arguments, reason = "one private step with what it adds to")]
    async fn apply_block(
        &self,
        tx: &mut Tx,
        load: &Load,
        block: Vec<MunicipalRow>,
        known: &mut HashMap<InsuredNumber, i64>,
        seen: &mut HashSet<(InsuredNumber, Kind, u32)>,
        counts: &mut ReceiptCounts,
        problems: &mut Vec<Problem>,
    ) -> Result<(), Error> {
        let mut numbers: Vec<InsuredNumber> = block.iter().map(|row| row.key.insured).collect();
        numbers.sort();
        numbers.dedup();
        let people = self.store().present_people(load.insurer, &numbers).await?;
        let present = self.store().present_records(load.insurer, &numbers).await?;
        let keys = self.store().keys_of(load.insurer).await?;
        for (number, header) in &people {
            known.entry(*number).or_insert(header.history_number);
        }
        let mut newest: HashMap<(InsuredNumber, Kind), &str> = HashMap::new();
        for (number, kind, natural_key) in present.keys() {
            let latest = newest.entry((*number, *kind)).or_default();
            *latest = (*latest).max(natural_key.as_str());
        }
        let (mut new_people, mut records) = (Vec::new(), Vec::new());
        let (mut consents, mut columns, mut requests) = (Vec::new(), Vec::new(), Vec::new());
        for row in block {
            let (key, history, change) = (row.key, i64::from(row.history), row.change);
            let place = (row.file.to_string(), row.line);
            match row.value {
                MunicipalValue::Insured(insured) => {
                    if change == Change::Deleted {
                        problems.push(at(&place, "delete_person", "被保険者そのものは削除できません。資格喪失日と喪失事由を入れた行（異動区分 2）を送ってください"));
                        counts.refused += 1;
                        continue;
                    }
                    let header = people.get(&key.insured);
                    if let Some(newer) = known.get(&key.insured).filter(|newer| **newer > history) {
                        let text = format!(
                            "履歴番号 {history} より新しい履歴番号 {newer} が登録済みです。この行は反映しません"
                        );
                        problems.push(at(&place, "older_history", &text));
                        counts.refused += 1;
                        continue;
                    }
                    let withheld = header.is_some_and(|header| header.withheld);
                    let insured = keep_withheld(*insured, withheld, &place, problems);
                    if header.is_some_and(|h| h.digest == self.digest_of(&keys, &insured)) {
                        counts.unchanged += 1;
                        continue;
                    }
                    let first_seen = known.insert(key.insured, history).is_none();
                    counts.applied += 1;
                    if first_seen {
                        new_people.push((history, insured));
                    } else if let Some(earlier) = new_people.iter_mut().find(|(_, p)| p.key == insured.key) {
                        *earlier = (history, insured);
                    } else {
                        tx.put_person(load.number, history, &insured).await?;
                    }
                }
                _ if !known.contains_key(&key.insured) => {
                    problems.push(at(&place, "unknown_person", "この被保険者番号の被保険者が登録されていません。先に（または同じパッケージで）被保険者の行を送ってください"));
                    counts.refused += 1;
                }
                MunicipalValue::Consent(record) => {
                    consents.extend(self.sound_consent(load, *record, &place, counts, problems).await?);
                }
                value => {
                    if let Some((fatal, text)) = self.unknown_offices(&value) {
                        let problem = at(&place, "unknown_office", &text);
                        if fatal {
                            problems.push(problem);
                            counts.refused += 1;
                            continue;
                        }
                        // Once per office: a city has thousands of cards with the same one.
                        if !problems.iter().any(|known| known.rule == "unknown_office" && known.expected == text) {
                            problems.push(problem.warning());
                        }
                    }
                    let request = opinion_request(key, row.history, &value);
                    let column = intake_kinds::consent_column(key, change, &value);
                    let column = match column {
                        None => None,
                        Some(act) => match self.sound_consent(load, act, &place, counts, problems).await? {
                            None => continue,
                            act => act,
                        },
                    };
                    let record = record_of(load, key, row.history, change, value)?;
                    if !seen.insert((key.insured, record.kind, row.history)) {
                        let text = format!(
                            "履歴番号 {} の行がパッケージの別のファイルにもあります。どちらか一つにしてください",
                            row.history
                        );
                        problems.push(at(&place, "duplicate_key", &text));
                        counts.refused += 1;
                        continue;
                    }
                    let digest = keys.digest(&record.payload);
                    let same = present.get(&(key.insured, record.kind, record.natural_key.clone()));
                    // P-130: an opinion that came electronically and returns is the same record, as its author wrote it.
                    if record.kind == Kind::A2 && change == Change::New && same.is_some_and(|p| !p.deleted) {
                        if same.is_some_and(|p| p.digest != digest) {
                            problems.push(at(&place, "same_opinion", intake_kinds::SAME_OPINION).warning());
                        }
                        counts.unchanged += 1;
                        continue;
                    }
                    if same.is_some_and(|p| p.digest == digest && p.deleted == record.deleted) {
                        counts.unchanged += 1;
                        continue;
                    }
                    if change == Change::Deleted && same.is_none() {
                        let text =
                            format!("履歴番号 {} の記録は登録されていないため、削除するものがありません", row.history);
                        problems.push(at(&place, "delete_unknown", &text));
                        counts.refused += 1;
                        continue;
                    }
                    let newer = newest.get(&(key.insured, record.kind)).copied().filter(|_| record.kind != Kind::A2);
                    if let Some(newer) = newer.filter(|newer| same.is_none() && *newer > record.natural_key.as_str()) {
                        let newer = newer.trim_start_matches('0');
                        let text =
                            format!("履歴番号 {newer} がすでに登録されています。この行は過去の履歴として登録しました");
                        problems.push(at(&place, "older_history", &text).warning());
                    }
                    if change == Change::New && same.is_some_and(|p| !p.deleted) {
                        problems.push(at(
                            &place,
                            "key_exists",
                            &format!(
                                "履歴番号 {} は別の内容で登録済みです。直すときは異動区分を 2（訂正）にしてください",
                                row.history
                            ),
                        ));
                        counts.refused += 1;
                        continue;
                    }
                    counts.applied += 1;
                    columns.extend(column);
                    match request {
                        Some(request) if !record.deleted => requests.push(request),
                        // Only a record that was there before can have asked for an opinion.
                        _ if record.kind == Kind::A5 && same.is_some() => {
                            tx.end_opinion_request(key, &record.natural_key).await?;
                        }
                        _ => {}
                    }
                    records.push(record);
                }
            }
        }
        tx.put_new_people(load.number, &new_people).await?;
        tx.put_records(load.number, load.now, &records).await?;
        tx.put_opinion_requests(load.number, &requests).await?;
        // Counted with the application that carries them.
        tx.put_consents(load.number, load.now, &columns).await?;
        let new = tx.put_consents(load.number, load.now, &consents).await? as i64;
        counts.applied += new;
        counts.unchanged += consents.len() as i64 - new;
        Ok(())
    }

    /// An office that is not registered on the platform: fatal where it would open a door or take part in an act.
    fn unknown_offices(&self, value: &MunicipalValue) -> Option<(bool, String)> {
        let standing = self.standing();
        let unknown = |number: &kiban_domain::OfficeNumber| standing.office(*number).is_none();
        let text = |number: &kiban_domain::OfficeNumber, item: &str| {
            format!(
                "{item}の番号 {number} は基盤に登録されていません。番号を確認し、正しければ運用者に登録を依頼してください"
            )
        };
        match value {
            MunicipalValue::Progress(progress) => progress
                .opinion_requested_from
                .as_ref()
                .filter(|n| unknown(n))
                .map(|n| (true, text(n, "意見書依頼先医療機関"))),
            MunicipalValue::InsuranceCard(card) => card
                .planning_offices
                .iter()
                .map(|p| &p.office)
                .find(|n| unknown(n))
                .map(|n| (false, text(n, "居宅介護支援事業者"))),
            MunicipalValue::Opinion(opinion) => {
                Some(&opinion.institution).filter(|n| unknown(n)).map(|n| (false, text(n, "意見書を作成した医療機関")))
            }
            _ => None,
        }
    }

    fn digest_of(&self, keys: &kiban_store::InsurerKeys, insured: &Insured) -> [u8; 32] {
        keys.digest(&serde_json::to_vec(insured).unwrap_or_default())
    }

    /// An act with its id. P-071: ordered by the time of the act; one in the future is refused.
    async fn sound_consent(
        &self,
        load: &Load,
        record: ConsentRecord,
        place: &(String, u64),
        counts: &mut ReceiptCounts,
        problems: &mut Vec<Problem>,
    ) -> Result<Option<(String, ConsentRecord)>, Error> {
        // A withdrawal without a time counts as 23:59:59 of its day; on that day it must not be turned away.
        let closes = matches!(record.act, ConsentAct::Withdrawn | ConsentAct::KindRefused(_));
        let of_today = closes && dates::day_in_japan(record.acted_at) <= load.today;
        if record.acted_at > load.now + jiff::SignedDuration::from_mins(5) && !of_today {
            problems.push(at(
                place,
                "act_in_future",
                "同意・撤回の日時が受付より後になっています。実際に行われた日時を入れてください",
            ));
            counts.refused += 1;
            return Ok(None);
        }
        if let Some(number) = record.taken_by.office().filter(|number| self.standing().office(*number).is_none()) {
            let text = format!("同意を取った事業所の番号 {number} は基盤に登録されていません。番号を確認してください");
            problems.push(at(place, "unknown_office", &text));
            counts.refused += 1;
            return Ok(None);
        }
        let text = serde_json::to_vec(&record).map_err(|error| Error::Internal(error.to_string()))?;
        let keys = self.store().keys_of(load.insurer).await?;
        // The same act again has the same id, whatever package brings it.
        let id: String =
            keys.digest(&[b"consent act", &text[..]].concat())[..16].iter().map(|b| format!("{b:02x}")).collect();
        Ok(Some((id, record)))
    }

    /// The result of a receipt, for its sender. An office's receipts lie with the insurers of its people.
    pub async fn receipt(&self, caller: &Caller, public_id: &str, context: &Context) -> Result<IntakeResult, Error> {
        let insurers: BTreeSet<InsurerNumber> = match (caller.organization, &caller.office) {
            (Organization::Municipality(insurer), _) => BTreeSet::from([insurer]),
            (_, Some((office, _))) => self
                .store()
                .people_of_office(office.number, None, 1_000)
                .await?
                .iter()
                .map(|person| person.insurer)
                .collect(),
            _ => BTreeSet::new(),
        };
        let mut found = None;
        for insurer in insurers {
            let receipt = self.store().receipt(insurer, public_id).await?;
            found = found.or(receipt.filter(|receipt| receipt.sender == caller.organization));
        }
        let outcome = if found.is_some() { Outcome::Allowed } else { Outcome::Refused };
        self.store().audit().append(caller.entry(context, "receipt", outcome)).await?;
        answer(found.ok_or(Error::Unknown)?, false)
    }
}

/// Closes a receipt in the transaction that applied its last rows: a receipt is applied exactly when its rows are there.
#[expect(clippy::too_many_arguments, reason = "one private step with everything it closes")]
async fn close(
    mut tx: Tx,
    insurer: InsurerNumber,
    number: i64,
    state: ReceiptState,
    report: PackageReport,
    public_id: String,
    entry: Entry,
    context: &Context,
) -> Result<IntakeResult, Error> {
    let result = serde_json::to_vec(&report).map_err(|error| Error::Internal(error.to_string()))?;
    tx.finish_receipt(insurer, number, state, report.counts, &result).await?;
    let detail = serde_json::to_string(&report.counts).map_err(|error| Error::Internal(error.to_string()))?;
    let action = if state == ReceiptState::Applied { "import.applied" } else { "import.refused" };
    tx.commit(Entry { action: action.to_owned(), natural_key: Some(public_id.clone()), detail: Some(detail), ..entry })
        .await?;
    Ok(IntakeResult { receipt: public_id, state: state.code(), received_at: context.now, repeated: false, report })
}

struct Load {
    insurer: InsurerNumber,
    number: i64,
    now: Timestamp,
    today: Date,
    initial: bool,
}

/// Set beats clear (T-1 c): a file never clears 不開示; clearing is an act of the city on screen.
fn keep_withheld(mut insured: Insured, withheld: bool, place: &(String, u64), problems: &mut Vec<Problem>) -> Insured {
    if withheld && !insured.withheld {
        let text = "登録済みの不開示をファイルで解除することはできません。不開示のまま、ほかの項目を反映しました";
        problems.push(at(place, "withheld_kept", text).warning());
        insured.withheld = true;
    }
    insured
}

/// Key of a row of a package: its 履歴番号, so that texts sort as numbers do.
fn natural_key(history: u32) -> String {
    format!("{history:010}")
}

/// The city asked a hospital for an opinion (P-048).
fn opinion_request(person: PersonKey, history: u32, value: &MunicipalValue) -> Option<OpinionRequest> {
    let MunicipalValue::Progress(progress) = value else { return None };
    Some(OpinionRequest {
        person,
        natural_key: natural_key(history),
        office: progress.opinion_requested_from?,
        requested_on: progress.opinion_requested_on?,
        applied_on: progress.applied_on,
    })
}

fn record_of(
    load: &Load,
    person: PersonKey,
    history: u32,
    change: Change,
    value: MunicipalValue,
) -> Result<NewRecord, Error> {
    let open = |from| Period::new(from, None);
    let (kind, valid, payload) = match &value {
        MunicipalValue::InsuranceCard(card) => {
            let certified = card.certified.as_ref();
            let valid = certified
                .and_then(|c| c.valid)
                .map_or_else(|| open(certified.map_or(load.today, |c| c.decided_on)), Ok);
            (Kind::A3a, valid, serde_json::to_vec(card))
        }
        MunicipalValue::CopaymentRate(rate) => {
            let from = rate.rows.first().map_or(rate.issued_on, |row| row.period.from());
            (Kind::A3b, Period::new(from, rate.rows.last().and_then(|row| row.period.to())), serde_json::to_vec(rate))
        }
        MunicipalValue::CostCeiling(ceiling) => (Kind::A3c, Ok(ceiling.period), serde_json::to_vec(ceiling)),
        MunicipalValue::Progress(progress) => (Kind::A5, open(progress.applied_on), serde_json::to_vec(progress)),
        other => {
            let Some((kind, from)) = intake_kinds::kind_and_day(other) else {
                return Err(Error::Internal("not a record".to_owned()));
            };
            (kind, open(from), serde_json::to_vec(other))
        }
    };
    let internal = |error: String| Error::Internal(error);
    let valid = valid.map_err(|error| internal(error.to_string()))?;
    // P-202: completion is the end of validity of a card, the application of a progress; open ones start with today.
    let completed = valid.to().unwrap_or(load.today).max(valid.from());
    Ok(NewRecord {
        person,
        kind,
        natural_key: intake_kinds::natural_key_of(&value).unwrap_or_else(|| natural_key(history)),
        creator: intake_kinds::author_of(&value).unwrap_or(Organization::Municipality(load.insurer)),
        valid,
        deleted: change == Change::Deleted,
        purge_after: years_after(completed, RETENTION_YEARS),
        payload: payload.map_err(|error| internal(error.to_string()))?,
    })
}

/// Rows of the package: what the manifest announces, else the rows with an error (a file may be unreadable as a whole).
fn announced(package: &municipal::Package, problems: &[Problem]) -> usize {
    match package.manifest() {
        Some(manifest) => manifest.files.iter().map(|file| file.rows as usize).sum(),
        None => {
            let errors = problems.iter().filter(|problem| problem.is_error() && problem.line > 0);
            errors.map(|problem| (problem.file.as_str(), problem.line)).collect::<HashSet<_>>().len()
        }
    }
}

/// A package for another insurer than its sender (T-13): refused whole, the number not echoed.
fn foreign_package(package: &municipal::Package, insurer: InsurerNumber) -> Option<Problem> {
    let other = package.manifest().is_some_and(|manifest| manifest.insurer != insurer);
    let text = "MANIFEST.csv の保険者番号が、送信した市区町村の番号と違います。送信先・送信元を確認してください";
    other.then(|| Problem::of_file(municipal::MANIFEST, "foreign_insurer", text))
}

fn at(place: &(String, u64), rule: &'static str, text: &str) -> Problem {
    Problem::of_file(&place.0, rule, text).at_line(place.1)
}

fn report(counts: ReceiptCounts, problems: &[Problem]) -> PackageReport {
    PackageReport { counts, problems: problems.iter().map(ReportedProblem::of).collect() }
}

fn answer(receipt: Receipt, repeated: bool) -> Result<IntakeResult, Error> {
    let report = match &receipt.result {
        Some(result) => serde_json::from_slice(result).map_err(|error| Error::Internal(error.to_string()))?,
        None => PackageReport { counts: receipt.counts, problems: Vec::new() },
    };
    Ok(IntakeResult {
        receipt: receipt.public_id,
        state: receipt.state.code(),
        received_at: receipt.received_at,
        repeated,
        report,
    })
}

/// The files as one run of bytes, lengths first, so that the same files give the same digest.
pub(crate) fn bundle(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut sorted: Vec<&(String, Vec<u8>)> = files.iter().collect();
    sorted.sort();
    let mut bytes = Vec::with_capacity(files.iter().map(|(name, content)| name.len() + content.len() + 16).sum());
    for (name, content) in sorted {
        for part in [name.as_bytes(), content] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

/// A file name must not carry a 個人番号 into the log.
pub(crate) fn is_safe_name(name: &str) -> bool {
    name.len() <= 200 && !name.chars().any(char::is_control) && !looks_like_individual_number(name)
}

/// Writers of files, for `policy`.
pub(crate) fn may_import(kind: Kind, writer: Writer, table: &kiban_policy::SharingTable) -> bool {
    let row = kiban_policy::KindFacts::of(kind, kiban_policy::Opinion::Accepted).row();
    may_register(writer, row, table)
}
