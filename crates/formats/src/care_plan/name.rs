//! File names of the care-plan exchange (docs/requirements.md §16):
//! `PREFIX[_YYYYMM]_SENDER10_TYPE2_RECEIVER10_TYPE2_YYYYMMDDHHMMSS.CSV`, until Ver. 3.2 without the two types.

use crate::Problem;
use crate::layout::{self, FileLayout, LayoutSet};
use kiban_domain::dates::ServiceMonth;
use kiban_domain::{OfficeNumber, ServiceType};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a file of the exchange holds. A file that names a document comes before those that belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlanFileKind {
    /// UP1KYO 第1表
    Table1,
    /// UP2KYO 第2表
    Table2,
    /// UP3KYO 第3表
    Table3,
    /// UPHOSOKU 利用者補足情報
    Supplement,
    /// UPPLAN 第6表 予定
    Slip,
    /// UPSIKYU 第7表
    Table7,
    /// UPJSK 第6表 実績
    Actuals,
    /// DLT1KYO 第1表_削除
    WithdrawPlan,
    /// DLTPLAN 第6表予定_削除
    WithdrawSlip,
    /// DLTJSK 実績_削除
    WithdrawActuals,
    /// UPKIHON 利用者基本情報
    BasicInformation,
    /// UPKIHON_SUB1 その別表1 １日の生活・すごし方
    BasicDay,
    /// UPKIHON_SUB2 その別表2 現病歴・既往歴
    BasicIllness,
    /// UPKIHON_IMAGE 家族構成の画像
    FamilyPicture,
    /// UPYOBO 介護予防サービス・支援計画書
    PreventivePlan,
    /// UPYOBO_SUB その別表
    PreventiveSupport,
    /// DLTKIHON 利用者基本情報_削除
    WithdrawBasic,
    /// DLTYOBO 支援計画書_削除
    WithdrawPreventive,
    /// KGSP1 施設サービス計画 第1表 (profile of this project)
    FacilityTable1,
    /// KGSP2 施設サービス計画 第2表
    FacilityTable2,
    /// KGSP3 施設サービス計画 第3表
    FacilityTable3,
    /// KGSPD 施設サービス計画_削除
    WithdrawFacility,
}

impl PlanFileKind {
    /// All kinds.
    pub const ALL: [Self; 22] = [
        Self::Table1,
        Self::Table2,
        Self::Table3,
        Self::Supplement,
        Self::Slip,
        Self::Table7,
        Self::Actuals,
        Self::WithdrawPlan,
        Self::WithdrawSlip,
        Self::WithdrawActuals,
        Self::BasicInformation,
        Self::BasicDay,
        Self::BasicIllness,
        Self::FamilyPicture,
        Self::PreventivePlan,
        Self::PreventiveSupport,
        Self::WithdrawBasic,
        Self::WithdrawPreventive,
        Self::FacilityTable1,
        Self::FacilityTable2,
        Self::FacilityTable3,
        Self::WithdrawFacility,
    ];

    /// Prefix of the file name, which is also the name of the layout.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Table1 => "UP1KYO",
            Self::Table2 => "UP2KYO",
            Self::Table3 => "UP3KYO",
            Self::Supplement => "UPHOSOKU",
            Self::Slip => "UPPLAN",
            Self::Table7 => "UPSIKYU",
            Self::Actuals => "UPJSK",
            Self::WithdrawPlan => "DLT1KYO",
            Self::WithdrawSlip => "DLTPLAN",
            Self::WithdrawActuals => "DLTJSK",
            Self::BasicInformation => "UPKIHON",
            Self::BasicDay => "UPKIHON_SUB1",
            Self::BasicIllness => "UPKIHON_SUB2",
            Self::FamilyPicture => "UPKIHON_IMAGE",
            Self::PreventivePlan => "UPYOBO",
            Self::PreventiveSupport => "UPYOBO_SUB",
            Self::WithdrawBasic => "DLTKIHON",
            Self::WithdrawPreventive => "DLTYOBO",
            Self::FacilityTable1 => "KGSP1",
            Self::FacilityTable2 => "KGSP2",
            Self::FacilityTable3 => "KGSP3",
            Self::WithdrawFacility => "KGSPD",
        }
    }

    /// Whether the name holds a month.
    pub fn has_month(self) -> bool {
        matches!(
            self,
            Self::Supplement | Self::Slip | Self::Table7 | Self::Actuals | Self::WithdrawSlip | Self::WithdrawActuals
        )
    }

    /// Whether it is a file of rows; the other kind is a picture.
    pub fn has_rows(self) -> bool {
        self != Self::FamilyPicture
    }

    /// Whether it is a file of the facility profile of this project, not of the standard.
    pub fn is_facility(self) -> bool {
        matches!(self, Self::FacilityTable1 | Self::FacilityTable2 | Self::FacilityTable3 | Self::WithdrawFacility)
    }

    /// Kind of a file by the beginning of its name, even when the rest of the name is wrong. Of two prefixes that fit, the
    /// longer one is meant.
    pub fn of_name(name: &str) -> Option<Self> {
        let fits = |kind: &Self| {
            name.strip_prefix(kind.prefix()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', '.']))
        };
        Self::ALL.into_iter().filter(fits).max_by_key(|kind| kind.prefix().len())
    }
}

/// A version of the standard by its CSVバージョン. A file holds one only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CsvVersion {
    /// Ver. 3 to 3.2, service months 2023-01 to 2025-03: no 第3表, no preventive files, no 用具 in 第6・7表, names without
    /// service types.
    V202208,
    /// Ver. 4.1, from service month 2025-04.
    V202407,
}

impl CsvVersion {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V202208, Self::V202407];

    /// Its CSVバージョン.
    pub fn code(self) -> &'static str {
        match self {
            Self::V202208 => "202208",
            Self::V202407 => "202407",
        }
    }

    /// The version of a CSVバージョン.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.code() == code)
    }

    /// The items of a kind of file; none where the version has no such file.
    pub fn layout(self, kind: PlanFileKind) -> Option<&'static FileLayout> {
        if kind.is_facility() { layout::facility().file(kind.prefix()) } else { self.layouts().file(kind.prefix()) }
    }

    /// Its item tables.
    pub fn layouts(self) -> &'static LayoutSet {
        match self {
            Self::V202208 => layout::care_plan_202208(),
            Self::V202407 => layout::care_plan(),
        }
    }
}

/// Between whom and when: the part of the name that all files of one unit share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sending {
    /// Office that sends.
    pub sender: OfficeNumber,
    /// Its サービス種類コード; none in names of Ver. 3.2.
    pub sender_type: Option<ServiceType>,
    /// Office that receives.
    pub receiver: OfficeNumber,
    /// Its サービス種類コード; none in names of Ver. 3.2.
    pub receiver_type: Option<ServiceType>,
    /// ファイル連番, 14 digits `YYYYMMDDHHMMSS`; units are processed in its order.
    pub serial: String,
}

impl Sending {
    /// The version whose form the name has.
    pub fn version(&self) -> CsvVersion {
        match (self.sender_type, self.receiver_type) {
            (Some(_), Some(_)) => CsvVersion::V202407,
            _ => CsvVersion::V202208,
        }
    }
}

impl fmt::Display for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.sender_type, self.receiver_type) {
            (Some(from), Some(to)) => write!(f, "{}_{from}_{}_{to}_{}", self.sender, self.receiver, self.serial),
            _ => write!(f, "{}_{}_{}", self.sender, self.receiver, self.serial),
        }
    }
}

/// A file name, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanFileName {
    /// What the file holds.
    pub kind: PlanFileKind,
    /// 対象年月; none for files without month and for UPHOSOKU with the plan tables (`000000`).
    pub month: Option<ServiceMonth>,
    /// From whom to whom, and the serial.
    pub sending: Sending,
    /// 4-digit branch of a picture; none for files of rows.
    pub branch: Option<u16>,
}

impl PlanFileName {
    /// Takes a name apart or says precisely what is wrong with it.
    pub fn parse(name: &str) -> Result<Self, Box<Problem>> {
        let fault = |text: String| Box::new(Problem::of_file(name, "file_name", text));
        let Some(kind) = PlanFileKind::of_name(name) else { return Err(fault(unknown())) };
        if kind.is_facility() {
            return facility_name(kind, name).ok_or_else(|| fault(facility_form(kind)));
        }
        let extension = if kind.has_rows() { "CSV" } else { "jpg" };
        let stem = name.rsplit_once('.').filter(|(_, ext)| ext.eq_ignore_ascii_case(extension)).map(|(stem, _)| stem);
        let Some(stem) = stem.and_then(|stem| stem.get(kind.prefix().len()..)) else {
            return Err(fault(format!("ファイル名の拡張子を .{extension} にしてください")));
        };
        let mut parts: Vec<&str> = stem.split('_').skip(1).collect();
        // An official sample writes 000000 where the name has no month.
        let month = (kind.has_month() || parts.first() == Some(&"000000"))
            .then(|| (!parts.is_empty()).then(|| parts.remove(0)));
        let Ok(month) = month.map(|month| month.ok_or(())).transpose() else { return Err(fault(form(kind))) };
        let branch = match kind.has_rows() {
            true => None,
            false => Some(parts.pop().and_then(branch_of).ok_or_else(|| fault(form(kind)))?),
        };
        let month = match month {
            None => None,
            Some("000000") if kind == PlanFileKind::Supplement || !kind.has_month() => None,
            Some(month) => Some(
                ServiceMonth::parse(month)
                    .map_err(|_| fault(format!("ファイル名の年月「{}」を6桁(YYYYMM)にしてください", show(month))))?,
            ),
        };
        let sending = sending_of(kind, &parts).map_err(fault)?;
        Ok(Self { kind, month, sending, branch })
    }

    /// Whether the two サービス種類コード stand the wrong way round, as in an official sample: 実績 goes to 居宅介護支援 (43) or
    /// 介護予防支援 (46, AF), everything else comes from there. Between two of them, as when a plan is entrusted, or two other
    /// offices (care managers of 小規模多機能 act as the care side) there is no telling.
    pub fn types_look_swapped(&self) -> bool {
        let (Some(from), Some(to)) = (self.sending.sender_type, self.sending.receiver_type) else { return false };
        let [from, to] = [from, to].map(|service| matches!(service.as_str(), "43" | "46" | "AF"));
        let goes_back = matches!(self.kind, PlanFileKind::Actuals | PlanFileKind::WithdrawActuals);
        from != to && to != goes_back
    }
}

/// `KGSP1_OFFICE10_TYPE2_YYYYMMDDHHMMSS.csv` (or `.json`): the office hands its plan to the platform, so that it is the
/// receiver as well.
fn facility_name(kind: PlanFileKind, name: &str) -> Option<PlanFileName> {
    let (stem, extension) = name.rsplit_once('.')?;
    let parts: Vec<&str> = stem.split('_').skip(1).collect();
    let [office, service, serial] = parts[..] else { return None };
    let sender = OfficeNumber::parse(office).ok()?;
    let sender_type = Some(ServiceType::parse(service).ok()?);
    let sound = serial.len() == 14
        && serial.bytes().all(|b| b.is_ascii_digit())
        && ["csv", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known));
    let (receiver, receiver_type, serial) = (sender, sender_type, serial.to_owned());
    let sending = Sending { sender, sender_type, receiver, receiver_type, serial };
    sound.then_some(PlanFileName { kind, month: None, sending, branch: None })
}

fn facility_form(kind: PlanFileKind) -> String {
    let prefix = kind.prefix();
    format!(
        "ファイル名を「{prefix}_事業所番号10桁_サービス種類2桁_作成日時14桁.csv」（または .json）の形にしてください"
    )
}

/// Sender, receiver and serial, each with what is wrong with it.
fn sending_of(kind: PlanFileKind, parts: &[&str]) -> Result<Sending, String> {
    let (sender, sender_type, receiver, receiver_type, serial) = match parts {
        [sender, sender_type, receiver, receiver_type, serial] => {
            (sender, Some(sender_type), receiver, Some(receiver_type), serial)
        }
        [sender, receiver, serial] if CsvVersion::V202208.layouts().file(kind.prefix()).is_some() => {
            (sender, None, receiver, None, serial)
        }
        _ => return Err(wrong_parts(kind, parts)),
    };
    let office = |what: &str, text: &str| {
        OfficeNumber::parse(text)
            .map_err(|error| format!("ファイル名の{what}の事業所番号「{}」: {}", show(text), error.message_ja()))
    };
    let service = |what: &str, text: Option<&&str>| {
        let parse = |text: &&str| {
            ServiceType::parse(text).map_err(|error| {
                format!("ファイル名の{what}のサービス種類コード「{}」: {}", show(text), error.message_ja())
            })
        };
        text.map(parse).transpose()
    };
    if serial.len() != 14 || !serial.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("ファイル名のファイル連番「{}」を14桁の日時(YYYYMMDDHHMMSS)にしてください", show(serial)));
    }
    Ok(Sending {
        sender: office("送信元", sender)?,
        sender_type: service("送信元", sender_type)?,
        receiver: office("送信先", receiver)?,
        receiver_type: service("送信先", receiver_type)?,
        serial: (*serial).to_owned(),
    })
}

impl fmt::Display for PlanFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.prefix())?;
        if self.kind.has_month() {
            match self.month {
                Some(month) => write!(f, "_{month}")?,
                None => f.write_str("_000000")?,
            }
        }
        if self.kind.is_facility() {
            let Sending { sender, sender_type, serial, .. } = &self.sending;
            let service = sender_type.map(|service| service.to_string()).unwrap_or_default();
            return write!(f, "_{sender}_{service}_{serial}.csv");
        }
        write!(f, "_{}", self.sending)?;
        match self.branch {
            Some(branch) => write!(f, "_{branch:04}.jpg"),
            None => f.write_str(".CSV"),
        }
    }
}

fn show(text: &str) -> String {
    crate::text::show(text, 20)
}

fn branch_of(text: &str) -> Option<u16> {
    (text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// The form of a name of Ver. 4.1.
pub(super) fn form(kind: PlanFileKind) -> String {
    let month = if kind.has_month() { "_年月6桁" } else { "" };
    let end = if kind.has_rows() { ".CSV" } else { "_枝番4桁.jpg" };
    let prefix = kind.prefix();
    format!(
        "ファイル名を「{prefix}{month}_送信元事業所番号10桁_サービス種類2桁_送信先事業所番号10桁_サービス種類2桁_日時14桁{end}」の形にしてください"
    )
}

fn unknown() -> String {
    let known: Vec<_> = PlanFileKind::ALL.iter().map(|kind| kind.prefix()).collect();
    format!("ファイル名の先頭を次のいずれかにしてください: {}", known.join("、"))
}

/// Names of Ver. 3.2 and before have no サービス種類コード; other wrong numbers of parts get the form.
fn wrong_parts(kind: PlanFileKind, parts: &[&str]) -> String {
    let is_old = matches!(parts, [a, b, c] if a.len() >= 9 && b.len() >= 9 && c.len() >= 14);
    if is_old { old_form(kind) } else { form(kind) }
}

/// What to do with a name of Ver. 3.2 on a file of Ver. 4.1.
pub(super) fn old_form(kind: PlanFileKind) -> String {
    format!("旧版(Ver. 3.2以前)のファイル名です。サービス種類コードを加えてください。{}", form(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_version_4_1_are_taken_apart_and_put_together_again() {
        for name in [
            "UPHOSOKU_000000_9970000015_43_9970000023_11_20260326101500.CSV",
            "UP1KYO_9970000015_43_9970000023_11_20260326101500.CSV",
            "UPPLAN_202604_9970000015_43_9970000023_A2_20260328153000.CSV",
            "UPPLAN_202304_9970000015_9970000023_20230328153000.CSV",
            "UPKIHON_SUB2_9900000051_46_9970000023_A2_20260401133000.CSV",
            "UPKIHON_IMAGE_9900000051_46_9970000023_A2_20260401133000_0012.jpg",
        ] {
            assert_eq!(PlanFileName::parse(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn each_way_to_get_a_name_wrong_is_told_apart() {
        let cases = [
            ("UP3KYO_9970000015_9970000023_20260328153000.CSV", "旧版(Ver. 3.2以前)"),
            ("UPYOBO_9900000051_9970000023_20260401133000.CSV", "旧版(Ver. 3.2以前)"),
            ("UPKIHON_IMAGE_9900000051_46_9970000023_A2_20260401133000_1.jpg", "枝番4桁.jpg"),
            ("UPKIHON_IMAGE_9900000051_46_9970000023_A2_20260401133000_0001.CSV", "拡張子を .jpg"),
            ("UPKIHON_SUB3_9900000051_46_9970000023_A2_20260401133000.CSV", "UPKIHON_送信元"),
            ("UP1KYO_997000001_43_9970000023_11_20260326101500.CSV", "送信元の事業所番号「997000001」: 10桁"),
            ("UP1KYO_9970000015_43_9970000023_11_202603261015000.CSV", "14桁の日時"),
            ("UPPLAN_202613_9970000015_43_9970000023_11_20260328153000.CSV", "年月「202613」"),
            ("UP1KYO_9970000015_43_9970000023_11_20260326101500.TXT", "拡張子"),
            ("UPPLAN.CSV", "年月6桁"),
            ("UPPLAN_202604_997000001_43_9970000023_11_20260328153000.CSV", "10桁"),
            ("PLAN1.CSV", "先頭を次のいずれか"),
        ];
        for (name, part) in cases {
            let problem = PlanFileName::parse(name).unwrap_err();
            assert!(problem.message_ja().contains(part), "{}", problem.message_ja());
        }
    }

    proptest! {
        #[test]
        fn no_name_makes_the_parser_panic(name in "(UPPLAN|UP1KYO|UPHOSOKU)?[_A-Z0-9.一]{0,60}(\\.CSV)?") {
            if let Ok(parsed) = PlanFileName::parse(&name) {
                prop_assert_eq!(parsed.to_string().to_uppercase(), name.to_uppercase().replace("UP1KYO_000000", "UP1KYO"));
            }
        }
    }
}
