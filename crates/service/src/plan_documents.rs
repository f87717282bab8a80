//! Documents of a care-plan upload: the record each becomes, and what an upload changes for the people of one insurer
//! (ケアプラン標準仕様 4.1: sent again is an update, units are processed in the order of their ファイル連番, P-143).

use crate::Error;
use crate::submission::{RETENTION_YEARS, years_after};
use kiban_domain::care_plan::{PlanWithdrawal, ServiceActuals, SlipLine};
use kiban_domain::dates::{Period, ServiceMonth, yyyymmdd};
use kiban_domain::{Date, Kind, OfficeNumber, Organization, PersonKey};
use kiban_formats::Problem;
use kiban_formats::care_plan::{Origin, Received, Sent};
use kiban_store::{NewRecord, PresentPlan, ReceiptCounts};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What is to stand under a key: the content, or that it was withdrawn.
pub(crate) struct PlanDocument {
    pub(crate) record: NewRecord,
    pub(crate) origin: Origin,
    /// The item that is the key beside the person, and its value as it was typed.
    item: (&'static str, String),
}

/// What a document is about: with the person and the office that registers it, its key.
enum About {
    /// 第1–3表 of 計画作成（変更）日: a changed plan has a new one, the old plan stays as history.
    Plan(Date),
    /// 第6・7表 of a month.
    Slip(ServiceMonth),
    /// 実績 of a month, one service type of one office.
    Actuals(ServiceMonth, OfficeNumber, String),
    /// 利用者基本情報 of 相談日.
    Basic(Date),
    /// 介護予防サービス・支援計画書 of 計画作成(変更)日.
    Preventive(Date),
    /// 施設サービス計画 of 計画作成（変更）日.
    Facility(Date),
}

impl About {
    fn natural_key(&self, creator: Organization) -> String {
        match self {
            Self::Plan(changed_on) => format!("plan-{}-{creator}", yyyymmdd(*changed_on)),
            Self::Slip(month) => format!("slip-{month}-{creator}"),
            Self::Actuals(month, office, service) => format!("actuals-{month}-{office}-{service}-{creator}"),
            Self::Basic(consulted_on) => format!("basic-{}-{creator}", yyyymmdd(*consulted_on)),
            Self::Preventive(changed_on) => format!("preventive-{}-{creator}", yyyymmdd(*changed_on)),
            Self::Facility(changed_on) => format!("facility-{}-{creator}", yyyymmdd(*changed_on)),
        }
    }

    fn kind(&self) -> Kind {
        if matches!(self, Self::Facility(_)) { Kind::Cp2 } else { Kind::Cp1 }
    }

    fn item(&self) -> (&'static str, String) {
        match self {
            Self::Plan(day) | Self::Preventive(day) | Self::Facility(day) => ("changed_on", yyyymmdd(*day)),
            Self::Basic(consulted_on) => ("consulted_on", yyyymmdd(*consulted_on)),
            Self::Slip(month) | Self::Actuals(month, ..) => ("month", month.to_string()),
        }
    }

    /// Days on which it holds, and the day of its completion.
    fn days(&self) -> Result<(Period, Date), Error> {
        let (first, last) = match self {
            Self::Plan(day) | Self::Basic(day) | Self::Preventive(day) | Self::Facility(day) => (*day, None),
            Self::Slip(month) | Self::Actuals(month, ..) => (month.first_day(), Some(month.last_day())),
        };
        let valid = Period::new(first, last).map_err(|error| Error::Internal(error.to_string()))?;
        Ok((valid, last.unwrap_or(first)))
    }
}

/// Whose documents they are, and who they belong to.
struct Maker<'a> {
    creator: Organization,
    /// The records are to be written: their content is needed too.
    with_content: bool,
    /// The files carry the number printed on the card; records belong to the paying insurer (P-038).
    paying: &'a dyn Fn(PersonKey) -> PersonKey,
}

impl Maker<'_> {
    fn document(
        &self,
        person: PersonKey,
        about: &About,
        origin: &Origin,
        (deleted, content): (bool, impl FnOnce() -> Value),
    ) -> Result<PlanDocument, Error> {
        let (valid, completed) = about.days()?;
        let record = NewRecord {
            person: (self.paying)(person),
            kind: about.kind(),
            natural_key: about.natural_key(self.creator),
            creator: self.creator,
            valid,
            deleted,
            purge_after: years_after(completed, RETENTION_YEARS),
            payload: match self.with_content {
                true => serde_json::to_vec(&content()).map_err(|error| Error::Internal(error.to_string()))?,
                false => Vec::new(),
            },
        };
        Ok(PlanDocument { record, origin: origin.clone(), item: about.item() })
    }

    /// 実績 are sent and withdrawn for each service type of an office.
    fn actuals(&self, sent: &Sent<ServiceActuals>) -> Result<Vec<PlanDocument>, Error> {
        let mut parts: BTreeMap<(String, String), (OfficeNumber, Vec<SlipLine>)> = BTreeMap::new();
        for line in &sent.lines {
            let service = line.service_code.get(..2).unwrap_or_default().to_owned();
            let part = parts.entry((line.office.to_string(), service)).or_insert_with(|| (line.office, Vec::new()));
            part.1.push(line.clone());
        }
        let part = |((_, service), (office, lines)): ((String, String), (OfficeNumber, Vec<SlipLine>))| {
            let actuals = ServiceActuals { person: sent.person, month: sent.month, lines };
            let content = (false, || json!({ "actuals": actuals }));
            self.document(sent.person, &About::Actuals(sent.month, office, service), &sent.origin, content)
        };
        parts.into_iter().map(part).collect()
    }

    fn withdrawal(&self, sent: &Sent<PlanWithdrawal>) -> Result<PlanDocument, Error> {
        let (person, about) = match &sent.value {
            PlanWithdrawal::Plan { person, changed_on } => (*person, About::Plan(*changed_on)),
            PlanWithdrawal::Slip { person, month } => (*person, About::Slip(*month)),
            PlanWithdrawal::BasicInformation { person, consulted_on } => (*person, About::Basic(*consulted_on)),
            PlanWithdrawal::FacilityPlan { person, changed_on } => (*person, About::Facility(*changed_on)),
            PlanWithdrawal::PreventivePlan { person, changed_on } => (*person, About::Preventive(*changed_on)),
            PlanWithdrawal::Actuals { person, month, office, service } => {
                (*person, About::Actuals(*month, *office, service.to_string()))
            }
        };
        let content = || json!({ "withdrawn": sent.value });
        self.document(person, &about, &sent.origin, (true, content))
    }
}

/// Everything an upload holds, in the order in which it is to be taken.
pub(crate) fn documents(
    received: &Received,
    creator: Organization,
    paying: &dyn Fn(PersonKey) -> PersonKey,
) -> Result<Vec<PlanDocument>, Error> {
    all_documents(received, Maker { creator, with_content: true, paying })
}

/// The same without their contents, for those who only ask what there is.
pub(crate) fn named_documents(
    received: &Received,
    creator: Organization,
    paying: &dyn Fn(PersonKey) -> PersonKey,
) -> Result<Vec<PlanDocument>, Error> {
    all_documents(received, Maker { creator, with_content: false, paying })
}

fn all_documents(received: &Received, maker: Maker<'_>) -> Result<Vec<PlanDocument>, Error> {
    let mut all = Vec::new();
    for plan in &received.plans {
        let content = (false, || json!({ "plan": plan.value }));
        all.push(maker.document(plan.person, &About::Plan(plan.changed_on), &plan.origin, content)?);
    }
    for slip in &received.slips {
        let content = (false, || json!({ "slip": slip.value }));
        all.push(maker.document(slip.person, &About::Slip(slip.month), &slip.origin, content)?);
    }
    for actuals in &received.actuals {
        all.extend(maker.actuals(actuals)?);
    }
    for basic in &received.basics {
        let content = (false, || json!({ "basic_information": basic.value }));
        all.push(maker.document(basic.person, &About::Basic(basic.consulted_on), &basic.origin, content)?);
    }
    for plan in &received.preventive_plans {
        let content = (false, || json!({ "preventive_plan": plan.value }));
        all.push(maker.document(plan.person, &About::Preventive(plan.changed_on), &plan.origin, content)?);
    }
    for plan in &received.facility_plans {
        let content = (false, || json!({ "facility_plan": plan.value }));
        all.push(maker.document(plan.person, &About::Facility(plan.changed_on), &plan.origin, content)?);
    }
    for withdrawal in &received.withdrawals {
        all.push(maker.withdrawal(withdrawal)?);
    }
    all.sort_by(|a, b| a.origin.serial.cmp(&b.origin.serial));
    Ok(all)
}

impl PlanDocument {
    pub(crate) fn person(&self) -> PersonKey {
        self.record.person
    }

    /// CP1, or CP2 of a facility.
    pub(crate) fn kind(&self) -> Kind {
        self.record.kind
    }

    /// The file that names it, such as `UP1KYO`: by these the report counts.
    pub(crate) fn file_kind(&self) -> &'static str {
        self.origin.kind.prefix()
    }

    /// A problem of its person, quoting the number as it was typed.
    pub(crate) fn person_problem(&self, rule: &'static str, expected: &str) -> Problem {
        self.origin.problem("insured", self.record.person.insured.as_str(), rule, expected)
    }

    /// Keeps with it the day on which the person agreed to it (交付用登録).
    pub(crate) fn agree(&mut self, on: Date) -> Result<(), Error> {
        let internal = |error: serde_json::Error| Error::Internal(error.to_string());
        let mut content: Value = serde_json::from_slice(&self.record.payload).map_err(internal)?;
        if !self.record.deleted {
            content["agreed_on"] = serde_json::json!(on);
            self.record.payload = serde_json::to_vec(&content).map_err(internal)?;
        }
        Ok(())
    }

    pub(crate) fn problem(&self, rule: &'static str, expected: &str) -> Problem {
        let (item, found) = &self.item;
        self.origin.problem(item, found, rule, expected)
    }

    /// 14 digits.
    fn serial(&self) -> i64 {
        self.origin.serial.parse().unwrap_or_default()
    }
}

/// What an upload changes for the people of one insurer.
#[derive(Default)]
pub(crate) struct PlanChanges {
    pub(crate) counts: ReceiptCounts,
    pub(crate) kinds: BTreeMap<&'static str, ReceiptCounts>,
    pub(crate) records: Vec<NewRecord>,
    /// Person, key and the serial taken for it.
    pub(crate) serials: Vec<(PersonKey, String, i64)>,
    pub(crate) problems: Vec<Problem>,
}

/// What stands under the keys of some people.
pub(crate) type PresentPlans = HashMap<PersonKey, HashMap<String, PresentPlan>>;

const SUPERSEDED: &str = "より新しいファイル連番の内容が登録済みです。それより前に作られたこの内容は登録しません";
const REPLACED: &str = "同じ送信の中に、より新しいファイル連番のファイルがあります。そちらで置き換えました";
const SAME_SERIAL: &str = "同じ送信の中に、同じファイル連番で内容の違うものがあります（別の宛先の組など）。送信先の番号が大きいほうで置き換えました。どちらが正しいか確かめてください";
const UNKNOWN_TARGET: &str = "取り消す対象が登録されていません。番号と日付（年月）を確認してください。ほかの事業所が登録したものは取り消せません";

impl PlanChanges {
    /// Judges the documents of one insurer, in their order. `digest` is the keyed one of the insurer.
    pub(crate) fn judge<'d>(
        documents: impl Iterator<Item = &'d PlanDocument>,
        present: &PresentPlans,
        digest: impl Fn(&[u8]) -> [u8; 32],
    ) -> Self {
        let documents: Vec<_> = documents.collect();
        let key = |document: &'d PlanDocument| (document.record.person, document.record.natural_key.as_str());
        let last: HashMap<_, _> = documents.iter().enumerate().map(|(at, document)| (key(document), at)).collect();
        // Keys that got a content earlier in the same upload.
        let mut filled = HashSet::new();
        let mut changes = Self::default();
        for (at, document) in documents.iter().enumerate() {
            changes.count(document, |counts| counts.read += 1);
            let holds = last.get(&key(document)).and_then(|at| documents.get(*at));
            if let Some(holds) = holds.filter(|_| last.get(&key(document)) != Some(&at)) {
                // A set for each of several offices says the same of a person under one serial.
                let is_same =
                    holds.record.deleted == document.record.deleted && holds.record.payload == document.record.payload;
                let text = match holds.serial() == document.serial() {
                    true if is_same => None,
                    true => Some(("superseded", SAME_SERIAL)),
                    false => Some(("superseded", REPLACED)),
                };
                changes.leave(document, text);
                if !document.record.deleted {
                    filled.insert(key(document));
                }
                continue;
            }
            let there = present.get(&document.record.person).and_then(|keys| keys.get(&document.record.natural_key));
            changes.decide(document, there, filled.contains(&key(document)), &digest);
        }
        changes
    }

    fn decide(
        &mut self,
        document: &PlanDocument,
        present: Option<&PresentPlan>,
        filled: bool,
        digest: impl Fn(&[u8]) -> [u8; 32],
    ) {
        let record = &document.record;
        if present.and_then(|present| present.serial).is_some_and(|taken| taken > document.serial()) {
            return self.leave(document, Some(("superseded", SUPERSEDED)));
        }
        if record.deleted && present.is_none() && !filled {
            self.count(document, |counts| counts.refused += 1);
            return self.problems.push(document.problem("unknown_target", UNKNOWN_TARGET));
        }
        self.serials.push((record.person, record.natural_key.clone(), document.serial()));
        let same = |present: &PresentPlan| {
            present.deleted == record.deleted && (record.deleted || present.digest == digest(&record.payload))
        };
        if present.is_some_and(same) {
            return self.leave(document, None);
        }
        self.count(document, |counts| counts.applied += 1);
        self.records.push(record.clone());
    }

    /// Nothing of it is written; a warning says why unless it is there already.
    fn leave(&mut self, document: &PlanDocument, why: Option<(&'static str, &str)>) {
        self.count(document, |counts| counts.unchanged += 1);
        self.problems.extend(why.map(|(rule, text)| document.problem(rule, text).warning()));
    }

    fn count(&mut self, document: &PlanDocument, add: impl Fn(&mut ReceiptCounts)) {
        add(&mut self.counts);
        add(self.kinds.entry(document.file_kind()).or_default());
    }
}
