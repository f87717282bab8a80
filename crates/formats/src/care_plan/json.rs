//! The exchange as JSON, **a shape of this project and not Ver. 5.0**, whose list of items is not public: the documents of
//! each unit of sending as the platform keeps them. Both ways without loss: what was read from files is written as the same
//! files again, and what a reader of the JSON does not know is an error, never left out.

use super::rules::is_never_written;
use super::{
    Files, PlanFileName, Received, Sending, Sent, read_set, write_actuals, write_facility_set, write_plan_set,
    write_preventive_set, write_slip_set, write_withdrawals,
};
use crate::Problem;
use kiban_domain::care_plan::facility::FacilityPlan;
use kiban_domain::care_plan::preventive::{BasicInformation, PreventivePlan};
use kiban_domain::care_plan::{CarePlan, PlanWithdrawal, ServiceActuals, ServiceSlip};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the JSON says it is.
pub const FORMAT: &str = "kaigo-kiban care plan JSON, not 5.0";
/// The version of this shape.
const SHAPE: u32 = 1;

/// Several units of sending.
#[derive(Debug, Serialize, Deserialize)]
struct Message {
    /// [`FORMAT`]
    format: String,
    /// [`SHAPE`]
    shape: u32,
    /// In the order of their serials.
    units: Vec<Unit>,
}

/// What one office sent to another under one ファイル連番. A list without documents is left out.
#[derive(Debug, Serialize, Deserialize)]
struct Unit {
    sending: Sending,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    plans: Vec<CarePlan>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    slips: Vec<ServiceSlip>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    actuals: Vec<ServiceActuals>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    basics: Vec<BasicInformation>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    preventive_plans: Vec<PreventivePlan>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    facility_plans: Vec<FacilityPlan>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    withdrawals: Vec<PlanWithdrawal>,
}

impl Unit {
    fn of(sending: Sending) -> Self {
        Self {
            sending,
            plans: Vec::new(),
            slips: Vec::new(),
            actuals: Vec::new(),
            basics: Vec::new(),
            preventive_plans: Vec::new(),
            facility_plans: Vec::new(),
            withdrawals: Vec::new(),
        }
    }

    /// The files of the unit: those of a month and of a kind of withdrawal by themselves.
    fn files(&self) -> Result<Files, Vec<Problem>> {
        let mut files = Files::new();
        if !self.plans.is_empty() {
            files.extend(write_plan_set(&self.plans, &self.sending)?);
        }
        if !self.slips.is_empty() {
            files.extend(write_slip_set(&self.slips, &self.sending)?);
        }
        if !self.actuals.is_empty() {
            files.extend(write_actuals(&self.actuals, &self.sending)?);
        }
        if !(self.basics.is_empty() && self.preventive_plans.is_empty()) {
            files.extend(write_preventive_set(&self.basics, &self.preventive_plans, &self.sending)?);
        }
        if !self.facility_plans.is_empty() {
            files.extend(write_facility_set(&self.facility_plans, &self.sending)?);
        }
        let mut rest = &self.withdrawals[..];
        while let Some(first) = rest.first() {
            let alike = |one: &PlanWithdrawal| std::mem::discriminant(one) == std::mem::discriminant(first);
            let (now, later) = rest.split_at(rest.iter().take_while(|one| alike(one)).count());
            files.extend(write_withdrawals(now, &self.sending)?);
            rest = later;
        }
        Ok(files)
    }
}

/// Files of the exchange as JSON, with the warnings of reading them and of what would be written differently from these
/// files, though it says the same. Nothing when a file has an error.
pub fn to_json<N: AsRef<str>, B: AsRef<[u8]>>(files: &[(N, B)]) -> Result<(String, Vec<Problem>), Vec<Problem>> {
    let (received, mut problems) = read_set(files);
    if problems.iter().any(Problem::is_error) {
        return Err(problems);
    }
    let message = Message { format: FORMAT.to_owned(), shape: SHAPE, units: units_of(received) };
    let (mut written, mut unwritten) = (Files::new(), Vec::new());
    for unit in &message.units {
        match unit.files() {
            Ok(files) => written.extend(files),
            Err(found) if found.iter().all(is_never_written) => unwritten.push((&unit.sending, found)),
            Err(found) => return Err(found),
        }
    }
    for (name, bytes) in files {
        let same =
            written.iter().any(|(other, ours)| other.eq_ignore_ascii_case(name.as_ref()) && ours == bytes.as_ref());
        let sending = PlanFileName::parse(name.as_ref()).map(|name| name.sending);
        let refused = unwritten.iter().find(|(of, _)| sending.as_ref().is_ok_and(|sending| sending == *of));
        if let Some(first) = refused.and_then(|(_, found)| found.first()) {
            let text = format!("次を直すまで、JSON から CSV に戻せません: {}", first.message_ja());
            let told = Problem { rule: first.rule.clone(), ..Problem::of_file(name.as_ref(), "", text) };
            problems.push(told.warning());
        } else if !same {
            let text = "JSON から CSV に戻すと、標準の書き方に直したファイルになります（内容は同じです）";
            problems.push(Problem::of_file(name.as_ref(), "rewritten", text).warning());
        }
    }
    let json = serde_json::to_string_pretty(&message);
    json.map(|json| (json + "\n", problems)).map_err(|error| vec![fault("", &error.to_string())])
}

fn units_of(received: Received) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    fn put<T>(units: &mut Vec<Unit>, all: Vec<Sent<T>>, list: impl Fn(&mut Unit) -> &mut Vec<T>) {
        for Sent { value, origin } in all {
            let Ok(name) = PlanFileName::parse(&origin.file) else { continue };
            let at = units.iter().position(|unit| unit.sending == name.sending).unwrap_or(units.len());
            if at == units.len() {
                units.push(Unit::of(name.sending));
            }
            list(&mut units[at]).push(value);
        }
    }
    put(&mut units, received.plans, |unit| &mut unit.plans);
    put(&mut units, received.slips, |unit| &mut unit.slips);
    put(&mut units, received.actuals, |unit| &mut unit.actuals);
    put(&mut units, received.basics, |unit| &mut unit.basics);
    put(&mut units, received.preventive_plans, |unit| &mut unit.preventive_plans);
    put(&mut units, received.facility_plans, |unit| &mut unit.facility_plans);
    put(&mut units, received.withdrawals, |unit| &mut unit.withdrawals);
    units.sort_by(|a, b| (&a.sending.serial, &a.sending).cmp(&(&b.sending.serial, &b.sending)));
    units
}

/// The files of such a JSON, or what is wrong with it. `file` is its name in the problems.
pub fn from_json(file: &str, json: &[u8]) -> Result<Files, Vec<Problem>> {
    let located = |error: serde_json::Error| {
        let text = format!("この形の JSON として読めません（{error}）");
        vec![Problem::of_file(file, "json", text).at_line(error.line() as u64)]
    };
    let value: Value = serde_json::from_slice(json).map_err(located)?;
    let format = value.get("format").and_then(Value::as_str).unwrap_or_default();
    if format != FORMAT || value.get("shape") != Some(&Value::from(SHAPE)) {
        let text = format!(
            "format が「{FORMAT}」、shape が {SHAPE} の JSON だけを変換できます（5.0 の項目一覧は公開されていません）"
        );
        return Err(vec![Problem::of_file(file, "json", text).found(format)]);
    }
    let message: Message = serde_json::from_slice(json).map_err(located)?;
    let kept = serde_json::to_value(&message).map_err(|error| vec![fault(file, &error.to_string())])?;
    if let Some(path) = lost(&value, &kept, String::new()) {
        return Err(vec![fault(
            file,
            &format!("「{path}」は項目表にないか、CSV に書ける値ではありません。取り除くか直してください"),
        )]);
    }
    let mut files = Files::new();
    for (at, unit) in message.units.iter().enumerate() {
        let written = unit.files()?;
        if let Some(path) = unwritten(unit, &written).map_err(|error| vec![fault(file, &error.to_string())])? {
            return Err(vec![fault(
                file,
                &format!(
                    "「/units/{at}{path}」は CSV に書くと失われます（行になるサービスや明細のない項目、番号の順でない並びなど）。取り除くか、CSV の行になる形に直してください"
                ),
            )]);
        }
        files.extend(written);
    }
    Ok(files)
}

/// Where something of a unit is not in the files written for it.
fn unwritten(unit: &Unit, files: &Files) -> serde_json::Result<Option<String>> {
    let again = units_of(read_set(files).0).into_iter().find(|again| again.sending == unit.sending);
    let again = again.map_or_else(|| serde_json::to_value(Unit::of(unit.sending.clone())), serde_json::to_value)?;
    Ok(lost(&serde_json::to_value(unit)?, &again, String::new()))
}

fn fault(file: &str, text: &str) -> Problem {
    Problem::of_file(file, "json", text)
}

/// Where something of a value is not in the value that was understood; an empty value and none are the same.
fn lost(found: &Value, kept: &Value, path: String) -> Option<String> {
    let empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    match (found, kept) {
        (Value::Object(found), Value::Object(kept)) => found.iter().find_map(|(key, value)| {
            let path = format!("{path}/{key}");
            match kept.get(key) {
                Some(kept) => lost(value, kept, path),
                None => (!empty(value)).then_some(path),
            }
        }),
        (Value::Array(found), Value::Array(kept)) if found.len() == kept.len() => {
            let mut pairs = found.iter().zip(kept).enumerate();
            pairs.find_map(|(at, (found, kept))| lost(found, kept, format!("{path}/{at}")))
        }
        (found, kept) => (found != kept && !empty(found)).then_some(path),
    }
}

/// Whether a file holds such a JSON, by its first bytes.
pub fn is_json(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"{")
}
