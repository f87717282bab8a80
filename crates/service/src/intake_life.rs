//! 取込み of LIFE files from an office's software (P-141): what of them is shared becomes C1, one sheet per person, service and
//! 評価日; the rest is checked and not kept, and neither are the files.
//!
//! 利用者情報 is read first, whatever the order of the files. A row whose person is not registered for the office is named
//! and left out, so that an office need not take its other users out of the files; any other fault refuses the upload whole.
//! The same row handed in again overwrites: what it leaves empty stays.

use crate::decision::{Case, Question};
use crate::intake::{IntakeResult, PackageReport, bundle, is_safe_name, may_import};
use crate::intake_plans::{add, home_of, told, upload_entry};
use crate::submission::{RETENTION_YEARS, years_after};
use crate::{Caller, Context, Error, Platform, elsewhere, random_id};
use kiban_domain::certification::CareLevel;
use kiban_domain::dates::{Period, yyyymmdd};
use kiban_domain::life::LifeSheet;
use kiban_domain::office::Office;
use kiban_domain::{Date, InsurerNumber, Kind, OfficeNumber, Organization, PersonKey, ServiceType};
use kiban_formats::Problem;
use kiban_formats::life::table::Part;
use kiban_formats::life::{self, LifeFile, LifeRow, Stage, sheet};
use kiban_policy::{Rule, UseCase, Writer};
use kiban_store::{Entry, InsurerKeys, NewReceipt, NewRecord, Outcome, Receipt, ReceiptCounts, ReceiptState, Tx};
use std::collections::{BTreeMap, BTreeSet, HashMap, btree_map};
use std::sync::Arc;

const FOREIGN: &str = "事業所番号が、ログインしている事業所の番号と違います。この事業所のファイルだけを送ってください";
const FUTURE: &str = "評価日が今日より後です。日付を確認してください";
const NO_USER: &str = "同じ送信の利用者情報（SERVICE_USER_INFO）にこの人がいません。要介護度なしで登録します";
const NOT_SHARED: &str = "この様式の内容は基盤では共有しません。検査だけして、保存しません";
const NOTHING: &str = "取り込める様式がありません。科学的介護推進情報（FORM_0000）のファイルを、利用者情報（SERVICE_USER_INFO）といっしょに送ってください";
const SHEET_OF_ANOTHER: &str = "この外部システム管理番号の前の票は、いまは担当利用者でない人の下にあるため、この送信では移せません（この人の票は登録します）。前の票の扱いは市区町村に相談してください";
const NOBODY: &str = "担当利用者として登録されている人の行がありません。先に本人確認と担当事業所登録をしてください";

/// One row of a shared form.
struct LifeDocument {
    file: String,
    /// Its form, such as `FORM_0000_2021`.
    form: &'static str,
    /// The person under whose number records are kept (P-038).
    person: PersonKey,
    care_level: Option<CareLevel>,
    evaluated_on: Date,
    row: LifeRow,
}

/// An upload, read.
#[derive(Default)]
struct LifeUpload {
    bytes: Vec<u8>,
    documents: Vec<LifeDocument>,
    kinds: BTreeMap<String, ReceiptCounts>,
    problems: Vec<Problem>,
}

/// Those of one upload about the people of one insurer.
struct InsurerPart {
    keys: Arc<InsurerKeys>,
    digest: [u8; 32],
}

impl Platform {
    /// The office that may send LIFE files.
    pub(crate) fn life_office<'c>(&self, caller: &'c Caller, context: &Context) -> Result<&'c Office, Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::ImportLife, table)?;
        let office = caller.office.as_ref().filter(|(_, class)| may_import(Kind::C1, Writer::Office(*class), table));
        office.map(|(office, _)| office).ok_or_else(|| Error::rule(Rule::NotWriter, table))
    }

    /// Takes LIFE files of the caller's office.
    pub async fn import_life(
        &self,
        caller: &Caller,
        files: Vec<(String, Vec<u8>)>,
        context: &Context,
    ) -> Result<IntakeResult, Error> {
        let office = self.life_office(caller, context)?;
        let (platform, number, today) = (self.clone(), office.number, context.today());
        let mut upload = elsewhere(move || platform.read_life(number, &files, today)).await?;
        let people = upload.documents.iter().map(|document| document.person).collect::<BTreeSet<_>>().len();
        upload.problems.extend(self.too_many_people(people));
        if upload.has_errors() {
            return self.refuse_life(caller, office, &upload, context).await;
        }
        let cases = self.cases_of_life(caller, &mut upload, context).await?;
        if cases.is_empty() {
            upload.problems.push(Problem::of_file("", "not_assigned", NOBODY));
            return self.refuse_life(caller, office, &upload, context).await;
        }
        let mut parts = self.parts_of_life(&upload, &cases).await?;
        let moved = self.life_elsewhere(caller, &mut upload, (&cases, &parts), context).await?;
        // Twice: somebody else may send the same files at the same moment.
        let mut attempts = 2;
        loop {
            let before = self.life_before(caller, &mut parts).await?;
            attempts -= 1;
            let people = (&cases, &moved);
            match self.store_life(caller, office, (&upload, people, &parts), before.is_some(), context).await {
                Ok(Some(result)) => return Ok(result),
                Ok(None) => {
                    let before = before.ok_or_else(|| Error::Internal("no upload before this one".to_owned()))?;
                    return self.repeat_upload(caller, home_of(office, context), before, context).await;
                }
                Err(Error::Conflict(_)) if attempts > 0 => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn refuse_life(
        &self,
        caller: &Caller,
        office: &Office,
        upload: &LifeUpload,
        context: &Context,
    ) -> Result<IntakeResult, Error> {
        let home = home_of(office, context);
        self.refuse_upload(caller, home, "import.life", (&upload.bytes, upload.refused()), context).await
    }

    /// For an office. It keeps a processor busy.
    fn read_life(&self, office: OfficeNumber, files: &[(String, Vec<u8>)], today: Date) -> LifeUpload {
        let mut upload = LifeUpload { bytes: bundle(files), ..LifeUpload::default() };
        for (name, _) in files.iter().filter(|(name, _)| !is_safe_name(name)) {
            let text = "ファイル名を短くし、番号を含めないでください";
            upload.problems.push(Problem::of_file(name, "file_name", text));
        }
        let (read, problems) = life::read_set(files, Stage::Final);
        upload.problems.extend(problems);
        let users = users_of(&read);
        for (name, file) in read {
            self.take_file(&mut upload, office, (name, file), &users, today);
        }
        if upload.documents.is_empty() && !upload.has_errors() {
            upload.problems.push(Problem::of_file("", "empty", NOTHING));
        }
        upload
    }

    fn take_file(
        &self,
        upload: &mut LifeUpload,
        office: OfficeNumber,
        (name, file): (&str, LifeFile),
        users: &Users,
        today: Date,
    ) {
        let counts = upload.kinds.entry(file.form.data_type.to_owned()).or_default();
        counts.read += i64::try_from(file.rows.len()).unwrap_or_default();
        let at = |row: &LifeRow, rule, text| Problem::of_file(name, rule, text).at_line(row.line);
        for row in file.rows.iter().filter(|row| row.key.office != office) {
            upload.problems.push(at(row, "sender", FOREIGN));
        }
        if file.form.part == Part::Nothing {
            upload.problems.push(Problem::of_file(name, "not_shared", NOT_SHARED).warning());
        }
        if file.form.part != Part::Sheet {
            counts.unchanged = counts.read;
            return;
        }
        for row in file.rows {
            let Some(evaluated_on) = sheet::evaluated_on(&row) else { continue };
            if evaluated_on > today {
                upload.problems.push(at(&row, "future", FUTURE));
            }
            let user = users.get(&(row.key.service, row.person));
            if user.is_none() && !users.is_empty() {
                upload.problems.push(at(&row, "unknown_user", NO_USER).warning());
            }
            let paying = self.standing().paying_insurer(row.person.insurer, today);
            upload.documents.push(LifeDocument {
                file: name.to_owned(),
                form: file.form.data_type,
                person: PersonKey { insurer: paying, ..row.person },
                care_level: user.copied().flatten(),
                evaluated_on,
                row,
            });
        }
    }

    /// The people the office may register sheets for. Rows of others are named by their place, in the same words for an
    /// unknown number and for somebody else's user, and left out.
    async fn cases_of_life(&self, caller: &Caller, upload: &mut LifeUpload, context: &Context) -> Result<Cases, Error> {
        let question = Question::create(Kind::C1);
        let (mut cases, mut refused) = (BTreeMap::new(), BTreeMap::new());
        let people: BTreeSet<PersonKey> = upload.documents.iter().map(|document| document.person).collect();
        for person in people {
            let case = self.case(caller, person, context).await?;
            if case.decide(question).is_allowed() {
                cases.insert(person, case);
            } else {
                let why = self.refuse(caller, &case, question, "import.life", context).await?;
                refused.insert(person, told(&why));
            }
        }
        let (kept, left) = std::mem::take(&mut upload.documents)
            .into_iter()
            .partition::<Vec<_>, _>(|document| cases.contains_key(&document.person));
        upload.documents = kept;
        for document in left {
            upload.kinds.entry(document.form.to_owned()).or_default().refused += 1;
            if let Some((rule, text)) = refused.get(&document.person) {
                let problem = Problem::of_file(&document.file, rule, format!("{text}（この行は取り込みません）"));
                upload.problems.push(problem.at_line(document.row.line).warning());
            }
        }
        Ok(cases)
    }

    /// The insurers of an upload with its digest at each: the same files about the same registered people have the same
    /// receipt, and once one more of them is registered, another.
    async fn parts_of_life(
        &self,
        upload: &LifeUpload,
        cases: &Cases,
    ) -> Result<BTreeMap<InsurerNumber, InsurerPart>, Error> {
        let mut parts = BTreeMap::new();
        for person in cases.keys() {
            if let btree_map::Entry::Vacant(place) = parts.entry(person.insurer) {
                let keys = self.store().keys_of(person.insurer).await?;
                place.insert(InsurerPart { keys, digest: [0; 32] });
            }
        }
        let people: Vec<String> = cases.keys().map(|person| format!("{}/{}", person.insurer, person.insured)).collect();
        let label = format!("life of {}", people.join(","));
        for part in parts.values_mut() {
            part.digest = part.keys.digest(&[label.as_bytes(), &part.keys.digest(&upload.bytes)].concat());
        }
        Ok(parts)
    }

    /// Whose sheets of this office came with a number that is now about somebody else: LIFE knows a row by its number, so they
    /// move. Somebody who is no longer registered for the office is told of, not touched.
    async fn life_elsewhere(
        &self,
        caller: &Caller,
        upload: &mut LifeUpload,
        (cases, parts): (&Cases, &BTreeMap<InsurerNumber, InsurerPart>),
        context: &Context,
    ) -> Result<Moved, Error> {
        let mut moved = Moved::default();
        let mut numbers: BTreeMap<InsurerNumber, BTreeMap<String, &LifeDocument>> = BTreeMap::new();
        for document in &upload.documents {
            let insurer = document.person.insurer;
            let Some(part) = parts.get(&insurer) else { continue };
            numbers.entry(insurer).or_default().insert(mark_of(&document.row, &part.keys), document);
        }
        let mut refused = Vec::new();
        for (insurer, numbers) in numbers {
            let marks: Vec<String> = numbers.keys().cloned().collect();
            for (insured, mark) in self.store().people_of_life_marks(insurer, caller.organization, &marks).await? {
                let other = PersonKey { insurer, insured };
                let Some(document) = numbers.get(&mark).filter(|document| document.person != other) else { continue };
                if !cases.contains_key(&other) && !moved.cases.contains_key(&other) {
                    let case = self.case(caller, other, context).await?;
                    if !case.decide(Question::create(Kind::C1)).is_allowed() {
                        let problem = Problem::of_file(&document.file, "sheet_of_another", SHEET_OF_ANOTHER);
                        refused.push(problem.at_line(document.row.line).warning());
                        continue;
                    }
                    moved.cases.insert(other, case);
                }
                moved.people.entry((insurer, mark)).or_default().push(other);
            }
        }
        upload.problems.extend(refused);
        Ok(moved)
    }

    /// The last receipt of the same files about the same people. What came between may have overwritten them, and then they are
    /// laid over again: the parts get the digest for that.
    async fn life_before(
        &self,
        caller: &Caller,
        parts: &mut BTreeMap<InsurerNumber, InsurerPart>,
    ) -> Result<Option<Receipt>, Error> {
        let mut last = None;
        while let Some((insurer, part)) = parts.first_key_value() {
            let found = self.store().receipt_by_digest(*insurer, caller.organization, &part.digest).await?;
            let Some(receipt) = found else { break };
            for part in parts.values_mut() {
                part.digest = part.keys.digest(&[&part.digest[..], b" after ", receipt.public_id.as_bytes()].concat());
            }
            last = Some(receipt);
        }
        Ok(last)
    }

    /// Everything in one transaction, or nothing of what was sent before and changes nothing now. The receipts come first: each
    /// holds the others of its insurer back, so that what is laid over is what stands.
    async fn store_life(
        &self,
        caller: &Caller,
        office: &Office,
        (upload, (cases, moved), parts): (&LifeUpload, (&Cases, &Moved), &BTreeMap<InsurerNumber, InsurerPart>),
        was_sent: bool,
        context: &Context,
    ) -> Result<Option<IntakeResult>, Error> {
        let public_id = random_id()?;
        let mut tx = self.store().begin().await?;
        let mut numbers = BTreeMap::new();
        for (insurer, part) in parts {
            let new = NewReceipt {
                insurer: *insurer,
                public_id: public_id.clone(),
                sender: caller.organization,
                received_at: context.now,
                original: None,
                digest: part.digest,
            };
            numbers.insert(*insurer, tx.put_receipt(&new).await?);
        }
        let mut kinds = upload.kinds.clone();
        let mut insurers: BTreeMap<InsurerNumber, ReceiptCounts> = BTreeMap::new();
        let mut entries = Vec::new();
        let mut changes = false;
        let mut all: BTreeMap<PersonKey, Sheets> = BTreeMap::new();
        for document in &upload.documents {
            let Some(part) = parts.get(&document.person.insurer) else { continue };
            let mark = mark_of(&document.row, &part.keys);
            let mut before = None;
            if !sheets_of(&mut all, &mut tx, document.person, caller).await?.has(&mark) {
                // The insured number of the row was corrected.
                for other in moved.people.get(&(document.person.insurer, mark.clone())).into_iter().flatten() {
                    before = before.or(sheets_of(&mut all, &mut tx, *other, caller).await?.take(&mark));
                }
            }
            let changed = sheets_of(&mut all, &mut tx, document.person, caller).await?.lay(document, mark, before);
            changes |= changed;
            for counts in [
                kinds.entry(document.form.to_owned()).or_default(),
                insurers.entry(document.person.insurer).or_default(),
            ] {
                if changed { counts.applied += 1 } else { counts.unchanged += 1 }
            }
            insurers.entry(document.person.insurer).or_default().read += 1;
        }
        for (person, sheets) in all {
            let Some(number) = numbers.get(&person.insurer) else { continue };
            let records = sheets.records()?;
            tx.put_records(*number, context.now, &records).await?;
            let own = cases.get(&person);
            let from = moved.cases.get(&person).filter(|_| !records.is_empty());
            entries.extend(own.or(from).map(|case| person_entry(caller, case, &records, &public_id, context)));
        }
        if was_sent && !changes {
            return Ok(None);
        }
        let report = upload.report(&kinds, &insurers);
        let json = serde_json::to_vec(&report).map_err(|error| Error::Internal(error.to_string()))?;
        for (insurer, number) in &numbers {
            let counts = insurers.get(insurer).copied().unwrap_or_default();
            tx.finish_receipt(*insurer, *number, ReceiptState::Applied, counts, &json).await?;
        }
        entries.insert(0, upload_entry(caller, ("import.life", &public_id), report.counts, Outcome::Done, context)?);
        let result = IntakeResult {
            receipt: public_id,
            state: ReceiptState::Applied.code(),
            received_at: context.now,
            sent_by: None,
            base_date: None,
            repeated: false,
            report,
            progress: None,
            waiting: 0,
            continued_by: Vec::new(),
            missing: None,
        };
        self.commit_under(home_of(office, context), tx, entries, &result, context).await?;
        Ok(Some(result))
    }
}

impl LifeUpload {
    fn has_errors(&self) -> bool {
        self.problems.iter().any(Problem::is_error)
    }

    /// The report when nothing of it is taken.
    fn refused(&self) -> PackageReport {
        let none = |counts: &ReceiptCounts| ReceiptCounts { read: counts.read, refused: counts.read, ..*counts };
        let kinds = self.kinds.iter().map(|(form, counts)| {
            let counts = none(&ReceiptCounts { applied: 0, unchanged: 0, ..*counts });
            (form.clone(), counts)
        });
        self.report(&kinds.collect(), &BTreeMap::new())
    }

    fn report(
        &self,
        kinds: &BTreeMap<String, ReceiptCounts>,
        insurers: &BTreeMap<InsurerNumber, ReceiptCounts>,
    ) -> PackageReport {
        let mut report = PackageReport::of(ReceiptCounts::default(), &self.problems);
        kinds.values().for_each(|counts| add(&mut report.counts, *counts));
        report.kinds.clone_from(kinds);
        report.insurers = insurers.iter().map(|(insurer, counts)| (insurer.to_string(), *counts)).collect();
        report
    }
}

/// 要介護度 of 利用者情報 by service and person, as their numbers stand in the files.
type Users = HashMap<(ServiceType, PersonKey), Option<CareLevel>>;

fn users_of(files: &[(&str, LifeFile)]) -> Users {
    let rows = files.iter().filter(|(_, file)| file.form.part == Part::User).flat_map(|(_, file)| &file.rows);
    rows.map(|row| ((row.key.service, row.person), sheet::care_level(row))).collect()
}

type Cases = BTreeMap<PersonKey, Case>;

/// Who has sheets under the numbers of an upload that are about somebody else now, and their cases where they are not in it.
#[derive(Default)]
struct Moved {
    people: BTreeMap<(InsurerNumber, String), Vec<PersonKey>>,
    cases: Cases,
}

/// The sheets of a person, read when they are first asked for.
async fn sheets_of<'a>(
    all: &'a mut BTreeMap<PersonKey, Sheets>,
    tx: &mut Tx,
    person: PersonKey,
    caller: &Caller,
) -> Result<&'a mut Sheets, Error> {
    match all.entry(person) {
        btree_map::Entry::Occupied(there) => Ok(there.into_mut()),
        btree_map::Entry::Vacant(place) => Ok(place.insert(Sheets::of(tx, person, caller.organization).await?)),
    }
}

/// The sheets of one person that one office made, by their keys; none under a key that is to be taken back.
struct Sheets {
    person: PersonKey,
    creator: Organization,
    stood: BTreeMap<String, LifeSheet>,
    now: BTreeMap<String, Option<LifeSheet>>,
    /// Under which key the sheet of a mark lies at the moment.
    places: HashMap<String, String>,
}

impl Sheets {
    async fn of(tx: &mut Tx, person: PersonKey, creator: Organization) -> Result<Self, Error> {
        let records = tx.present_records(person, Kind::C1).await?;
        let own = records.into_iter().filter(|record| record.header.creator == creator);
        let sheet = |payload: &[u8]| serde_json::from_slice(payload).map_err(|e| Error::Internal(e.to_string()));
        let stood: Result<BTreeMap<String, LifeSheet>, Error> =
            own.map(|record| Ok((record.header.natural_key.clone(), sheet(&record.payload)?))).collect();
        let stood = stood?;
        // Of several the one of the first day.
        let places = stood.keys().rev().filter_map(|key| Some((mark_in(key)?.to_owned(), key.clone()))).collect();
        Ok(Self { person, creator, stood, now: BTreeMap::new(), places })
    }

    /// Lays a row over the sheet that came with the same number, here or with somebody else before, or over an empty one;
    /// whether it changes anything.
    fn lay(&mut self, document: &LifeDocument, mark: String, elsewhere: Option<LifeSheet>) -> bool {
        let row = &document.row;
        let (key_before, mut sheet) = match (self.find(&mark), elsewhere) {
            (Some((key, sheet)), _) => (Some(key), sheet),
            (None, Some(sheet)) => (None, LifeSheet { person: self.person, ..sheet }),
            (None, None) => (None, LifeSheet::new(self.person, row.key.service, document.evaluated_on)),
        };
        let as_it_was = sheet.clone();
        sheet::apply(&mut sheet, row);
        sheet.care_level = document.care_level.or(sheet.care_level);
        let key = format!("sheet-{}-{mark}", yyyymmdd(sheet.evaluated_on));
        if key_before.as_ref() == Some(&key) && sheet == as_it_was {
            return false;
        }
        // The day of the evaluation was corrected.
        if let Some(other) = key_before.filter(|before| *before != key) {
            self.now.insert(other, None);
        }
        self.places.insert(mark, key.clone());
        self.now.insert(key, Some(sheet));
        true
    }

    fn has(&self, mark: &str) -> bool {
        self.find(mark).is_some()
    }

    /// Takes the sheet of a number away.
    fn take(&mut self, mark: &str) -> Option<LifeSheet> {
        let (key, sheet) = self.find(mark)?;
        self.now.insert(key, None);
        self.places.remove(mark);
        Some(sheet)
    }

    fn find(&self, mark: &str) -> Option<(String, LifeSheet)> {
        let key = self.places.get(mark)?;
        let sheet = self.now.get(key).map_or_else(|| self.stood.get(key), Option::as_ref);
        Some((key.clone(), sheet?.clone()))
    }

    /// What is to be written.
    fn records(self) -> Result<Vec<NewRecord>, Error> {
        let (person, creator, stood) = (self.person, self.creator, self.stood);
        let internal = |error: String| Error::Internal(error);
        let mut records = Vec::new();
        for (natural_key, sheet) in self.now {
            // One that came and went within the upload was never there.
            let Some(content) = sheet.as_ref().or_else(|| stood.get(&natural_key)) else { continue };
            records.push(NewRecord {
                person,
                kind: Kind::C1,
                creator,
                valid: Period::new(content.evaluated_on, None).map_err(|error| internal(error.to_string()))?,
                deleted: sheet.is_none(),
                purge_after: years_after(content.evaluated_on, RETENTION_YEARS),
                payload: serde_json::to_vec(content).map_err(|error| internal(error.to_string()))?,
                natural_key,
            });
        }
        Ok(records)
    }
}

/// The mark in the key of a sheet, behind its day.
fn mark_in(key: &str) -> Option<&str> {
    key.strip_prefix("sheet-")?.split_once('-').map(|(_, mark)| mark)
}

/// Service and 外部システム管理番号 of an office as a key may show them: the number is the office's own and may be anything,
/// and who sees a sheet need not see whose it is (P-037).
fn mark_of(row: &LifeRow, keys: &InsurerKeys) -> String {
    let number = format!("life number|{}|{}|{}", row.key.office, row.key.service, row.key.number);
    let digest = keys.digest(number.as_bytes());
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{hex}", row.key.service)
}

/// The entry each person finds.
fn person_entry(caller: &Caller, case: &Case, records: &[NewRecord], receipt: &str, context: &Context) -> Entry {
    let question = Question::create(Kind::C1);
    let keys = |deleted: bool| -> Vec<&str> {
        let these = records.iter().filter(|record| record.deleted == deleted);
        these.map(|record| record.natural_key.as_str()).collect()
    };
    let detail = serde_json::json!({ "registered": keys(false), "replaced": keys(true) }).to_string();
    let rule = case.decide(question).rule();
    let entry = case.entry(caller, context, "import.life", Outcome::Done, question, rule);
    Entry { natural_key: Some(receipt.to_owned()), detail: Some(detail), ..entry }
}
