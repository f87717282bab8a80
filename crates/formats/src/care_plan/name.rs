//! File names of the care-plan exchange (docs/requirements.md §16):
//! `PREFIX[_YYYYMM]_SENDER10_TYPE2_RECEIVER10_TYPE2_YYYYMMDDHHMMSS.CSV`.

use crate::Problem;
use kiban_domain::dates::ServiceMonth;
use kiban_domain::{OfficeNumber, ServiceType};
use std::fmt;

/// What a file of the exchange holds.
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
}

impl PlanFileKind {
    /// All kinds this project reads.
    pub const ALL: [Self; 10] = [
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
        }
    }

    /// Whether the name holds a month.
    pub fn has_month(self) -> bool {
        !matches!(self, Self::Table1 | Self::Table2 | Self::Table3 | Self::WithdrawPlan)
    }

    /// Kind of a file by the beginning of its name, even when the rest of the name is wrong.
    pub fn of_name(name: &str) -> Option<Self> {
        let prefix = name.split('_').next().unwrap_or_default();
        Self::ALL.into_iter().find(|kind| kind.prefix() == prefix)
    }
}

/// Between whom and when: the part of the name that all files of one unit share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sending {
    /// Office that sends.
    pub sender: OfficeNumber,
    /// Its サービス種類コード.
    pub sender_type: ServiceType,
    /// Office that receives.
    pub receiver: OfficeNumber,
    /// Its サービス種類コード.
    pub receiver_type: ServiceType,
    /// ファイル連番, 14 digits `YYYYMMDDHHMMSS`; units are processed in its order.
    pub serial: String,
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
}

impl PlanFileName {
    /// Takes a name apart or says precisely what is wrong with it.
    pub fn parse(name: &str) -> Result<Self, Box<Problem>> {
        let fault = |text: String| Box::new(Problem::of_file(name, "file_name", text));
        let Some((stem, _)) = name.rsplit_once('.').filter(|(_, ext)| ext.eq_ignore_ascii_case("csv")) else {
            return Err(fault("ファイル名の拡張子を .CSV にしてください".to_owned()));
        };
        let Some(kind) = PlanFileKind::of_name(name) else { return Err(unknown(name)) };
        let parts: Vec<&str> = stem.split('_').skip(1).collect();
        let (month, parts) = if kind.has_month() {
            let Some((month, rest)) = parts.split_first() else { return Err(fault(form(kind))) };
            (Some(*month), rest)
        } else {
            (None, &parts[..])
        };
        let [sender, sender_type, receiver, receiver_type, serial] = parts else {
            return Err(fault(wrong_parts(kind, parts)));
        };
        let month = match month {
            None => None,
            Some("000000") if kind == PlanFileKind::Supplement => None,
            Some(month) => Some(
                ServiceMonth::parse(month)
                    .map_err(|_| fault(format!("ファイル名の年月「{}」を6桁(YYYYMM)にしてください", show(month))))?,
            ),
        };
        let office = |what: &str, text: &str| {
            OfficeNumber::parse(text).map_err(|error| {
                fault(format!("ファイル名の{what}の事業所番号「{}」: {}", show(text), error.message_ja()))
            })
        };
        let service = |what: &str, text: &str| {
            ServiceType::parse(text).map_err(|error| {
                fault(format!("ファイル名の{what}のサービス種類コード「{}」: {}", show(text), error.message_ja()))
            })
        };
        if serial.len() != 14 || !serial.bytes().all(|b| b.is_ascii_digit()) {
            let text =
                format!("ファイル名のファイル連番「{}」を14桁の日時(YYYYMMDDHHMMSS)にしてください", show(serial));
            return Err(fault(text));
        }
        let sending = Sending {
            sender: office("送信元", sender)?,
            sender_type: service("送信元", sender_type)?,
            receiver: office("送信先", receiver)?,
            receiver_type: service("送信先", receiver_type)?,
            serial: (*serial).to_owned(),
        };
        Ok(Self { kind, month, sending })
    }
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
        let Sending { sender, sender_type, receiver, receiver_type, serial } = &self.sending;
        write!(f, "_{sender}_{sender_type}_{receiver}_{receiver_type}_{serial}.CSV")
    }
}

fn show(text: &str) -> String {
    crate::text::show(text, 20)
}

fn form(kind: PlanFileKind) -> String {
    let month = if kind.has_month() { "_年月6桁" } else { "" };
    let prefix = kind.prefix();
    format!(
        "ファイル名を「{prefix}{month}_送信元事業所番号10桁_サービス種類2桁_送信先事業所番号10桁_サービス種類2桁_日時14桁.CSV」の形にしてください"
    )
}

fn unknown(name: &str) -> Box<Problem> {
    let (rule, text) = if name.starts_with("UPKIHON") || name.starts_with("UPYOBO") || name.starts_with("DLT") {
        ("unsupported_file", "介護予防のファイルはこの版では受け付けていません".to_owned())
    } else {
        let known: Vec<_> = PlanFileKind::ALL.iter().map(|kind| kind.prefix()).collect();
        ("file_name", format!("ファイル名の先頭を次のいずれかにしてください: {}", known.join("、")))
    };
    Box::new(Problem::of_file(name, rule, text))
}

/// Names of Ver. 3.2 and before have no サービス種類コード; other wrong numbers of parts get the form.
fn wrong_parts(kind: PlanFileKind, parts: &[&str]) -> String {
    let is_old = matches!(parts, [a, b, c] if a.len() >= 9 && b.len() >= 9 && c.len() >= 14);
    if is_old {
        format!("旧版(Ver. 3.2以前)のファイル名です。サービス種類コードを加えてください。{}", form(kind))
    } else {
        form(kind)
    }
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
        ] {
            assert_eq!(PlanFileName::parse(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn each_way_to_get_a_name_wrong_is_told_apart() {
        let cases = [
            ("UPPLAN_202604_9970000015_9970000023_20260328153000.CSV", "旧版(Ver. 3.2以前)"),
            ("UP1KYO_997000001_43_9970000023_11_20260326101500.CSV", "送信元の事業所番号「997000001」: 10桁"),
            ("UP1KYO_9970000015_43_9970000023_11_202603261015000.CSV", "14桁の日時"),
            ("UPPLAN_202613_9970000015_43_9970000023_11_20260328153000.CSV", "年月「202613」"),
            ("UP1KYO_9970000015_43_9970000023_11_20260326101500.TXT", "拡張子"),
            ("UPYOBO_9900000051_46_9970000023_A2_20260401133000.CSV", "介護予防"),
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
                prop_assert_eq!(parsed.to_string().to_uppercase(), name.to_uppercase());
            }
        }
    }
}
