//! F1 居宅サービス計画作成依頼届出, filed by the care manager on the person's behalf (P-138, docs/requirements.md §15.8).
//!
//! [`PlanRequest`] holds only what its form asks; [`PlanRequestForm`] is how it is written in JSON, by those who file it,
//! in what is stored and to the municipality.

use crate::ids::{CareManagerNumber, OfficeNumber, PersonKey, ServiceType};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// 届出区分.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum FilingKind {
    /// 新規
    New,
    /// 変更, with its reason.
    Change {
        /// 変更する場合の事由
        reason: String,
        /// 変更年月日
        changed_on: Date,
    },
    /// 終了, on the day named as [`PlanRequest::starts_on`].
    End,
}

/// Which form is filed, with what only that form asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilingForm {
    /// 居宅サービス計画作成依頼（変更）届出書
    HomeCare,
    /// 介護予防サービス計画作成・介護予防ケアマネジメント依頼（変更）届出書
    Preventive {
        /// 委託先, when a 地域包括支援センター leaves the plan to an office.
        commission: Option<Commission>,
    },
    /// （看護）小規模多機能型居宅介護
    SmallMultifunctional {
        /// 同月の居宅サービス等の利用
        other_services: OtherServices,
    },
    /// 介護予防小規模多機能型居宅介護
    PreventiveSmallMultifunctional {
        /// 同月の居宅サービス等の利用
        other_services: OtherServices,
    },
}

/// 委託先: the 居宅介護支援事業所 that makes the plan for a 地域包括支援センター.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commission {
    /// 事業所番号
    pub office: OfficeNumber,
    /// 事業所の名称
    pub office_name: String,
    /// 委託開始年月日
    pub starts_on: Date,
}

/// 利用開始月における同一月の居宅サービス等の利用, 居宅療養管理指導 and 特定施設 not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtherServices {
    /// 無
    Unused,
    /// 有, with the services; never empty.
    Used(Vec<ServiceType>),
    /// Not told: filings from before the item was asked for.
    Untold,
}

/// サービス種類 that do not count as use in the same month: 居宅療養管理指導 and 特定施設入居者生活介護 of every kind.
const NOT_COUNTED: [&str; 7] = ["27", "28", "31", "33", "34", "35", "36"];

/// 届出者: who files, with the office acting for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "who", deny_unknown_fields)]
pub enum Filer {
    /// 本人
    Person {
        /// 住所, where it is not the one the municipality knows.
        address: Option<String>,
        /// 電話番号
        telephone: Option<String>,
    },
    /// 代理人
    Representative {
        /// 氏名
        name: String,
        /// 続柄・資格, such as `長女` or `成年後見人`.
        relation: String,
        /// 住所
        address: String,
        /// 電話番号
        telephone: Option<String>,
    },
}

/// The filing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PlanRequestForm", into = "PlanRequestForm")]
pub struct PlanRequest {
    /// 被保険者
    pub person: PersonKey,
    /// 届出区分
    pub filing: FilingKind,
    /// Which form.
    pub form: FilingForm,
    /// 事業所番号
    pub office: OfficeNumber,
    /// 事業所の名称
    pub office_name: String,
    /// 事業所の所在地
    pub office_address: Option<String>,
    /// 事業所の電話番号
    pub office_telephone: Option<String>,
    /// 担当する介護支援専門員の氏名
    pub care_manager_name: String,
    /// 介護支援専門員番号
    pub care_manager: Option<CareManagerNumber>,
    /// サービス開始年月日, from which plans are made and settled; of an end, its day.
    pub starts_on: Date,
    /// 届出日
    pub filed_on: Date,
    /// 届出者; none in filings from before it was asked for.
    pub filer: Option<Filer>,
    /// 利用者の同意 to the filing and to giving certification data to the office.
    pub person_agrees: bool,
}

/// 届出区分 as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilingEntry {
    /// `new`, `change` or `end`.
    pub kind: FilingCode,
    /// 変更する場合の事由
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// 変更年月日; of a change without it, the day on which it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_on: Option<Date>,
}

/// 届出区分 alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilingCode {
    /// 新規
    New,
    /// 変更
    Change,
    /// 終了
    End,
}

/// 様式 alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FormCode {
    /// 居宅
    HomeCare,
    /// 介護予防
    Preventive,
    /// 小規模多機能
    SmallMultifunctional,
    /// 介護予防小規模多機能
    PreventiveSmallMultifunctional,
}

/// The filing as written: every item of every form, some of which exclude each other. A [`PlanRequest`] is made of it or a
/// list of what does not go together; what was written before an item existed is still read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRequestForm {
    /// 被保険者
    pub person: PersonKey,
    /// 届出区分
    pub filing: FilingEntry,
    /// 様式
    pub form: FormCode,
    /// 委託先; 介護予防 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commission: Option<Commission>,
    /// 同月の居宅サービス等 as サービス種類コード, empty for 無; 小規模多機能 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_services: Option<Vec<ServiceType>>,
    /// 事業所番号
    pub office: OfficeNumber,
    /// 事業所の名称
    pub office_name: String,
    /// 事業所の所在地
    pub office_address: Option<String>,
    /// 事業所の電話番号
    pub office_telephone: Option<String>,
    /// 担当する介護支援専門員の氏名
    pub care_manager_name: String,
    /// 介護支援専門員番号
    pub care_manager: Option<CareManagerNumber>,
    /// サービス開始年月日
    pub starts_on: Date,
    /// 届出日
    pub filed_on: Date,
    /// 届出者
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filer: Option<Filer>,
    /// 利用者の同意
    pub person_agrees: bool,
}

/// An item of the filing and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilingFault {
    /// Name of the item in the JSON.
    pub item: &'static str,
    /// What to do, in Japanese.
    pub text: &'static str,
}

/// Everything that does not go together in a filing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the items of the filing do not go together: {}", .0.iter().map(|fault| fault.item).collect::<Vec<_>>().join(", "))]
pub struct FilingFaults(pub Vec<FilingFault>);

impl TryFrom<PlanRequestForm> for PlanRequest {
    type Error = FilingFaults;

    fn try_from(form: PlanRequestForm) -> Result<Self, FilingFaults> {
        let mut faults = Vec::new();
        let mut excluded = |present: bool, item, text| {
            if present {
                faults.push(FilingFault { item, text });
            }
        };
        let small = matches!(form.form, FormCode::SmallMultifunctional | FormCode::PreventiveSmallMultifunctional);
        let changes = form.filing.kind == FilingCode::Change;
        excluded(
            form.commission.is_some() && form.form != FormCode::Preventive,
            "commission",
            "委託先は、介護予防の届出（preventive）にだけ書けます",
        );
        excluded(
            form.other_services.is_some() && !small,
            "other_services",
            "同月の居宅サービス等の利用は、小規模多機能の届出にだけ書けます",
        );
        let not_counted = |service: &ServiceType| NOT_COUNTED.contains(&service.as_str());
        excluded(
            form.other_services.iter().flatten().any(not_counted),
            "other_services",
            "居宅療養管理指導と特定施設は、同月の居宅サービス等に含めません",
        );
        excluded(form.filing.reason.is_some() && !changes, "filing.reason", "変更の事由は、変更の届出にだけ書けます");
        excluded(
            form.filing.changed_on.is_some() && !changes,
            "filing.changed_on",
            "変更年月日は、変更の届出にだけ書けます",
        );
        if !faults.is_empty() {
            return Err(FilingFaults(faults));
        }
        let other_services = match form.other_services {
            None => OtherServices::Untold,
            Some(services) if services.is_empty() => OtherServices::Unused,
            Some(services) => OtherServices::Used(services),
        };
        Ok(Self {
            person: form.person,
            filing: match form.filing.kind {
                FilingCode::New => FilingKind::New,
                FilingCode::Change => FilingKind::Change {
                    reason: form.filing.reason.unwrap_or_default(),
                    changed_on: form.filing.changed_on.unwrap_or(form.starts_on),
                },
                FilingCode::End => FilingKind::End,
            },
            form: match form.form {
                FormCode::HomeCare => FilingForm::HomeCare,
                FormCode::Preventive => FilingForm::Preventive { commission: form.commission },
                FormCode::SmallMultifunctional => FilingForm::SmallMultifunctional { other_services },
                FormCode::PreventiveSmallMultifunctional => {
                    FilingForm::PreventiveSmallMultifunctional { other_services }
                }
            },
            office: form.office,
            office_name: form.office_name,
            office_address: form.office_address,
            office_telephone: form.office_telephone,
            care_manager_name: form.care_manager_name,
            care_manager: form.care_manager,
            starts_on: form.starts_on,
            filed_on: form.filed_on,
            filer: form.filer,
            person_agrees: form.person_agrees,
        })
    }
}

impl From<PlanRequest> for PlanRequestForm {
    fn from(request: PlanRequest) -> Self {
        let written = |other_services| match other_services {
            OtherServices::Unused => Some(Vec::new()),
            OtherServices::Used(services) => Some(services),
            OtherServices::Untold => None,
        };
        let (form, commission, other_services) = match request.form {
            FilingForm::HomeCare => (FormCode::HomeCare, None, None),
            FilingForm::Preventive { commission } => (FormCode::Preventive, commission, None),
            FilingForm::SmallMultifunctional { other_services } => {
                (FormCode::SmallMultifunctional, None, written(other_services))
            }
            FilingForm::PreventiveSmallMultifunctional { other_services } => {
                (FormCode::PreventiveSmallMultifunctional, None, written(other_services))
            }
        };
        let (kind, reason, changed_on) = match request.filing {
            FilingKind::New => (FilingCode::New, None, None),
            FilingKind::Change { reason, changed_on } => (FilingCode::Change, Some(reason), Some(changed_on)),
            FilingKind::End => (FilingCode::End, None, None),
        };
        Self {
            person: request.person,
            filing: FilingEntry { kind, reason, changed_on },
            form,
            commission,
            other_services,
            office: request.office,
            office_name: request.office_name,
            office_address: request.office_address,
            office_telephone: request.office_telephone,
            care_manager_name: request.care_manager_name,
            care_manager: request.care_manager,
            starts_on: request.starts_on,
            filed_on: request.filed_on,
            filer: request.filer,
            person_agrees: request.person_agrees,
        }
    }
}

impl PlanRequest {
    /// The day from which another office is in charge, or none any more.
    pub fn takes_effect_on(&self) -> Date {
        match &self.filing {
            FilingKind::Change { changed_on, .. } => *changed_on,
            FilingKind::New | FilingKind::End => self.starts_on,
        }
    }

    /// What keeps it from being filed; empty when it may be.
    pub fn problems(&self) -> Vec<FilingFault> {
        let blank = |text: &str| text.trim().is_empty();
        let untold = matches!(
            self.form,
            FilingForm::SmallMultifunctional { other_services: OtherServices::Untold }
                | FilingForm::PreventiveSmallMultifunctional { other_services: OtherServices::Untold }
        );
        let (mut same_office, mut nameless) = (false, false);
        if let FilingForm::Preventive { commission: Some(commission) } = &self.form {
            (same_office, nameless) = (commission.office == self.office, blank(&commission.office_name));
        }
        let incomplete = match &self.filer {
            Some(Filer::Representative { name, relation, address, .. }) => {
                blank(name) || blank(relation) || blank(address)
            }
            _ => false,
        };
        let no_reason = matches!(&self.filing, FilingKind::Change { reason, .. } if blank(reason));
        let checks = [
            (
                !self.person_agrees,
                "person_agrees",
                "利用者の同意が「あり」になっていません。届出の内容を本人に説明し、同意を得てから提出してください",
            ),
            (no_reason, "filing.reason", "変更の届出には「変更する場合の事由」が必要です"),
            (blank(&self.office_name), "office_name", "事業所の名称がありません"),
            (blank(&self.care_manager_name), "care_manager_name", "担当する介護支援専門員の氏名がありません"),
            (nameless, "commission.office_name", "委託先の事業所の名称がありません"),
            (same_office, "commission.office", "委託先が、届け出る事業所自身になっています"),
            (untold, "other_services", "同月の居宅サービス等の利用を書いてください。利用がないときは空の一覧にします"),
            (self.filer.is_none(), "filer", "届出者（本人か代理人）を書いてください"),
            (incomplete, "filer", "代理人の氏名・続柄・住所をすべて書いてください"),
        ];
        checks.into_iter().filter(|(wrong, ..)| *wrong).map(|(_, item, text)| FilingFault { item, text }).collect()
    }
}

/// Where a document handed to the municipality stands (P-133, P-138): 提出 → 受付 → 受理 or 差戻し.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum SubmissionState {
    /// 提出済: waits for the municipality.
    Submitted,
    /// 取得済: the municipality has fetched it.
    Fetched,
    /// 受理
    Accepted,
    /// 差戻し, with the reason given.
    Returned {
        /// 差戻しの理由
        reason: String,
    },
}

impl SubmissionState {
    /// The municipality fetches it. Fetching again changes nothing.
    pub fn fetch(self) -> Self {
        if self == Self::Submitted { Self::Fetched } else { self }
    }

    /// Accept (`None`) or return with a reason. A decision once made is final: a second, different one is refused.
    pub fn decide(self, returned: Option<String>) -> Result<Self, SubmissionState> {
        let decided = match returned {
            None => Self::Accepted,
            Some(reason) => Self::Returned { reason },
        };
        match self {
            Self::Submitted | Self::Fetched => Ok(decided),
            same if same == decided => Ok(same),
            other => Err(other),
        }
    }

    /// Code under which it is stored.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Fetched => "fetched",
            Self::Accepted => "accepted",
            Self::Returned { .. } => "returned",
        }
    }

    /// Name on screens.
    pub fn name_ja(&self) -> &'static str {
        match self {
            Self::Submitted => "提出済",
            Self::Fetched => "市区町村が取得済",
            Self::Accepted => "受理",
            Self::Returned { .. } => "差戻し",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// As filed before the four forms were told apart.
    fn before() -> Value {
        json!({
            "person": { "insurer": "131219", "insured": "0000000001" }, "filing": { "kind": "new" }, "form": "home_care",
            "office": "1370000018", "office_name": "居宅介護支援みほん", "office_address": null, "office_telephone": null,
            "care_manager_name": "見本 職員", "care_manager": null, "starts_on": "2026-11-01", "filed_on": "2026-11-02",
            "person_agrees": true,
        })
    }

    fn with(changes: Value) -> Value {
        let mut form = before();
        for (item, value) in changes.as_object().unwrap() {
            form[item] = value.clone();
        }
        form
    }

    fn read(value: Value) -> Result<PlanRequest, FilingFaults> {
        serde_json::from_value::<PlanRequestForm>(value).unwrap().try_into()
    }

    fn commission() -> Value {
        json!({ "office": "1370000026", "office_name": "委託先みほん", "starts_on": "2026-11-01" })
    }

    #[test]
    fn each_form_holds_what_it_asks_and_is_written_as_it_was_read() {
        let filer = json!({ "who": "representative", "name": "架空 梅子", "relation": "長女", "address": "見本県見本市1", "telephone": null });
        for changes in [
            json!({ "filer": { "who": "person", "address": null, "telephone": null } }),
            json!({ "form": "preventive", "commission": commission(), "filer": filer }),
            json!({ "form": "small_multifunctional", "other_services": [], "filer": filer }),
            json!({ "form": "preventive_small_multifunctional", "other_services": ["62"], "filer": filer }),
            json!({ "filing": { "kind": "change", "reason": "転居のため", "changed_on": "2026-11-03" }, "filer": filer }),
        ] {
            let written = with(changes);
            let request = read(written.clone()).unwrap();
            assert_eq!(request.problems(), [], "{written}");
            assert_eq!(serde_json::to_value(&request).unwrap(), written);
        }
    }

    #[test]
    fn what_only_another_form_asks_is_refused_by_name() {
        let items = |changes: Value| read(with(changes)).unwrap_err().0.into_iter().map(|f| f.item).collect::<Vec<_>>();
        assert_eq!(items(json!({ "commission": commission() })), ["commission"]);
        assert_eq!(items(json!({ "form": "small_multifunctional", "commission": commission() })), ["commission"]);
        assert_eq!(items(json!({ "form": "preventive", "other_services": [] })), ["other_services"]);
        assert_eq!(items(json!({ "form": "small_multifunctional", "other_services": ["31"] })), ["other_services"]);
        let new = json!({ "filing": { "kind": "new", "reason": "x", "changed_on": "2026-11-03" } });
        assert_eq!(items(new), ["filing.reason", "filing.changed_on"]);
    }

    #[test]
    fn a_filing_from_before_is_read_and_one_like_it_is_not_filed_any_more() {
        let old: PlanRequest = serde_json::from_value(before()).unwrap();
        assert_eq!((&old.form, &old.filer), (&FilingForm::HomeCare, &None));
        assert_eq!(old.problems().iter().map(|p| p.item).collect::<Vec<_>>(), ["filer"]);
        let small: PlanRequest = serde_json::from_value(with(json!({ "form": "small_multifunctional" }))).unwrap();
        assert!(small.problems().iter().any(|problem| problem.item == "other_services"));
        let change = with(json!({ "filing": { "kind": "change", "reason": "転居のため" } }));
        let change: PlanRequest = serde_json::from_value(change).unwrap();
        assert_eq!(change.takes_effect_on(), change.starts_on);
    }

    #[test]
    fn a_commission_names_another_office_and_a_representative_is_whole() {
        let filer =
            json!({ "who": "representative", "name": "架空 梅子", "relation": "", "address": "x", "telephone": null });
        let mut own = commission();
        own["office"] = json!("1370000018");
        let request = read(with(json!({ "form": "preventive", "commission": own, "filer": filer }))).unwrap();
        let items: Vec<_> = request.problems().iter().map(|problem| problem.item).collect();
        assert_eq!(items, ["commission.office", "filer"]);
    }

    #[test]
    fn a_decision_of_the_municipality_is_final() {
        let accepted = SubmissionState::Submitted.fetch().decide(None).unwrap();
        assert_eq!(accepted, SubmissionState::Accepted);
        assert_eq!(accepted.clone().decide(None), Ok(SubmissionState::Accepted));
        assert_eq!(accepted.clone().fetch(), SubmissionState::Accepted);
        assert!(accepted.decide(Some("記載もれ".into())).is_err());
    }
}
