//! CP1 居宅サービス計画: 第1・2・3・6・7表 and 利用者補足情報 (P-020, ケアプラン標準仕様 Ver. 4.1), and 介護予防
//! ([`preventive`]).
//!
//! A plan is known by its person and its 計画作成（変更）日: a changed plan is a new plan and the old one stays as
//! history. A slip (第6・7表) is known by its person and its service month; resending replaces it as a whole.
//! Blank text is an empty string, because the exchange files cannot tell blank from absent.

pub mod facility;
pub mod preventive;

use crate::certification::CareLevel;
use crate::dates::ServiceMonth;
use crate::ids::{OfficeNumber, PersonKey, ServiceType};
use crate::insured::Sex;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A time of day as plans write it, `HHMM` from 0000 to 2400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClockTime(u16);

impl ClockTime {
    /// Reads `HHMM`.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 4 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number: u16 = text.parse().ok()?;
        (number % 100 < 60 && number <= 2400).then_some(Self(number))
    }

    /// Minutes since midnight.
    pub fn minutes(self) -> u16 {
        self.0 / 100 * 60 + self.0 % 100
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.0)
    }
}

impl Serialize for ClockTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClockTime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a time HHMM"))
    }
}

macro_rules! code_enum {
    ($(#[$doc:meta])* $name:ident { $($variant:ident $code:literal $ja:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $(#[doc = $ja] $variant,)+
        }

        impl $name {
            /// All values in the order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Code of the exchange files.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// Name on the form.
            pub fn name_ja(self) -> &'static str {
                match self { $(Self::$variant => $ja,)+ }
            }

            /// Inverse of `code`.
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.code() == code)
            }
        }
    };
}

code_enum!(
    /// 計画書区分 of 第1表.
    #[doc(alias = "計画書区分")]
    PlanKind {
        First "11" "初回",
        Referred "12" "紹介",
        Continued "21" "継続",
        FirstReferred "51" "初回＆紹介",
        FirstContinued "52" "初回＆継続",
        ReferredContinued "53" "紹介＆継続",
        FirstReferredContinued "54" "初回＆紹介＆継続",
    }
);

code_enum!(
    /// 認定状況区分.
    #[doc(alias = "認定状況区分")]
    CertificationState {
        Applying "1" "申請中",
        Certified "2" "認定済",
    }
);

code_enum!(
    /// 生活援助中心型の算定理由.
    #[doc(alias = "生活援助中心型の算定理由")]
    HouseworkReason {
        LivesAlone "1" "一人暮らし",
        FamilyDisabled "2" "家族等が障害、疾病等",
        Other "3" "その他",
    }
);

code_enum!(
    /// 保険対象区分 (※1 of 第2表); blank means not covered.
    #[doc(alias = "保険対象区分")]
    Coverage {
        Covered "Y" "対象",
        NotCovered "N" "対象外",
    }
);

code_enum!(
    /// 曜日, Monday first.
    #[doc(alias = "曜日")]
    Weekday {
        Monday "1" "月",
        Tuesday "2" "火",
        Wednesday "3" "水",
        Thursday "4" "木",
        Friday "5" "金",
        Saturday "6" "土",
        Sunday "7" "日",
    }
);

/// 居宅サービス計画: 第1・2・3表 made together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "居宅サービス計画")]
#[doc(alias = "ケアプラン")]
pub struct CarePlan {
    /// For whom.
    pub person: PersonKey,
    /// 居宅サービス計画作成（変更）日; with the person, the key of the plan.
    pub changed_on: Date,
    /// 第1表
    pub table1: Table1,
    /// 第2表
    pub table2: Table2,
    /// 第3表
    pub table3: Table3,
    /// 利用者補足情報 sent with the tables.
    pub supplement: Option<Supplement>,
}

/// 第1表 居宅サービス計画書(1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "第1表")]
pub struct Table1 {
    /// 作成年月日
    pub made_on: Date,
    /// 利用者郵便番号
    pub postal_code: String,
    /// 利用者住所１
    pub address1: String,
    /// 利用者住所２
    pub address2: String,
    /// 居宅サービス計画作成者氏名
    pub care_manager_name: String,
    /// 介護支援事業者名
    pub office_name: String,
    /// 介護支援事業者郵便番号
    pub office_postal_code: String,
    /// 介護支援事業者住所１
    pub office_address1: String,
    /// 介護支援事業者住所２
    pub office_address2: String,
    /// 介護支援事業者コード
    pub office: OfficeNumber,
    /// 初回居宅サービス計画作成日
    pub first_made_on: Date,
    /// 計画書区分
    pub kind: Option<PlanKind>,
    /// 認定状況区分
    pub certification_state: Option<CertificationState>,
    /// 認定日
    pub certified_on: Option<Date>,
    /// 認定有効期間開始日
    pub valid_from: Option<Date>,
    /// 認定有効期間終了日
    pub valid_to: Option<Date>,
    /// 要介護状態区分
    pub level: Option<CareLevel>,
    /// 利用者及び家族の生活に対する意向を踏まえた課題分析の結果
    pub analysis: String,
    /// 介護認定審査会の意見及びサービスの種類の指定
    pub board_opinion: String,
    /// 総合的な援助の方針
    pub policy: String,
    /// 生活援助中心型の算定理由
    pub housework_reason: Option<HouseworkReason>,
    /// その他理由
    pub housework_other: String,
    /// 更新業者コード
    pub updated_by: Option<OfficeNumber>,
    /// 識別子 (not used by the standard, kept as sent)
    pub marker: String,
}

/// 第2表 居宅サービス計画書(2): 課題 → 長期目標 → 短期目標 → サービス.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "第2表")]
pub struct Table2 {
    /// 居宅計画書作成年月日; none when the table has no row.
    pub made_on: Option<Date>,
    /// 生活全般の解決すべき課題（ニーズ）, in printed order.
    pub needs: Vec<Need>,
}

/// 生活全般の解決すべき課題（ニーズ）.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "課題")]
pub struct Need<S = PlannedService> {
    /// 課題ＮＯ, 1–99.
    pub number: Option<u8>,
    /// 課題
    pub text: String,
    /// 目標
    pub long_goals: Vec<LongGoal<S>>,
}

/// 長期目標.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "長期目標")]
pub struct LongGoal<S = PlannedService> {
    /// 援助目標ＮＯ, 1–99 within the need.
    pub number: Option<u8>,
    /// 長期目標
    pub text: String,
    /// 長期期間, free text.
    pub period: String,
    /// 短期目標
    pub short_goals: Vec<ShortGoal<S>>,
}

/// 短期目標.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "短期目標")]
pub struct ShortGoal<S = PlannedService> {
    /// 短期目標
    pub text: String,
    /// 短期期間, free text.
    pub period: String,
    /// 援助内容
    pub services: Vec<S>,
}

/// 援助内容: one line of 第2表.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "援助内容")]
pub struct PlannedService {
    /// 援助内容ＮＯ, 1–99 within the long goal.
    pub number: Option<u8>,
    /// サービス内容
    pub content: String,
    /// 保険対象区分 (※1)
    pub coverage: Option<Coverage>,
    /// サービス種別, free text.
    pub kind: String,
    /// サービス事業者コード
    pub office: Option<OfficeNumber>,
    /// サービス事業所名 (※2)
    pub office_name: String,
    /// 頻度
    pub frequency: String,
    /// 実施期間, free text.
    pub period: String,
    /// 更新業者コード
    pub updated_by: Option<OfficeNumber>,
    /// 識別子 (not used by the standard, kept as sent)
    pub marker: String,
}

/// 第3表 週間サービス計画表.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "第3表")]
pub struct Table3 {
    /// 週間サービス計画表作成年月日; none when the table has no row.
    pub made_on: Option<Date>,
    /// Rows as sent; each may hold a service, an activity and a service outside the week, independently.
    pub rows: Vec<WeekRow>,
}

impl Table3 {
    /// 介護サービス of the week.
    pub fn services(&self) -> impl Iterator<Item = &WeeklyService> {
        self.rows.iter().filter_map(|row| row.service.as_ref())
    }

    /// 主な日常生活上の活動.
    pub fn activities(&self) -> impl Iterator<Item = &DailyActivity> {
        self.rows.iter().filter_map(|row| row.activity.as_ref())
    }

    /// 週単位以外のサービス.
    pub fn others(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| row.other.as_str()).filter(|text| !text.is_empty())
    }
}

/// One row of 第3表.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WeekRow {
    /// 介護サービス内容, 曜日, 時間
    pub service: Option<WeeklyService>,
    /// 主な日常生活上の活動, 時間
    pub activity: Option<DailyActivity>,
    /// 週単位以外のサービス
    pub other: String,
}

/// A service in the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeeklyService {
    /// 介護サービス内容
    pub content: String,
    /// 曜日
    pub weekday: Option<Weekday>,
    /// 開始時間
    pub from: Option<ClockTime>,
    /// 終了時間
    pub to: Option<ClockTime>,
}

/// An activity of every day; equal times mean a point in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DailyActivity {
    /// 主な日常生活上の活動
    pub content: String,
    /// 開始時間
    pub from: Option<ClockTime>,
    /// 終了時間
    pub to: Option<ClockTime>,
}

/// 利用者補足情報, sent with the plan tables (`changed_on` set) or with the slip (`month` set).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "利用者補足情報")]
pub struct Supplement {
    /// 居宅サービス計画作成（変更）日, when it accompanies 第1–3表.
    pub changed_on: Option<Date>,
    /// 対象年月, when it accompanies 第6・7表.
    pub month: Option<ServiceMonth>,
    /// 利用者氏名フリガナ
    pub kana: String,
    /// 利用者氏名
    pub name: String,
    /// 利用者性別
    pub sex: Option<Sex>,
    /// 利用者生年月日
    pub birth: Option<Date>,
    /// 利用者郵便番号
    pub postal_code: String,
    /// 利用者住所１
    pub address1: String,
    /// 利用者住所２
    pub address2: String,
    /// 利用者電話番号
    pub telephone: String,
    /// 認定日
    pub certified_on: Option<Date>,
    /// 限度額適用開始年月日
    pub limit_from: Option<Date>,
    /// 限度額適用終了年月日
    pub limit_to: Option<Date>,
    /// 認定状況区分
    pub certification_state: Option<CertificationState>,
    /// 要介護状態変更日
    pub level_changed_on: Option<Date>,
    /// 要介護状態区分
    pub level: Option<CareLevel>,
    /// 区分支給限度基準額, units a month.
    pub limit_units: Option<i32>,
    /// 種類別支給限度管理, up to nine slots in order.
    pub service_limits: Vec<ServiceTypeLimit>,
    /// 合計限度超単位数
    pub total_over_units: Option<i32>,
    /// 入所前月迄利用日数
    pub stay_days_before: Option<i32>,
    /// 入所累積利用日数
    pub stay_days_total: Option<i32>,
    /// 前回要介護状態区分
    pub previous_level: Option<CareLevel>,
    /// 同意書受付業者
    pub consent_office: Option<OfficeNumber>,
    /// 更新業者コード
    pub updated_by: Option<OfficeNumber>,
    /// 識別子 (not used by the standard, kept as sent)
    pub marker: String,
}

/// One slot of 種類別支給限度管理.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServiceTypeLimit {
    /// サービス種類コード
    pub service: Option<ServiceType>,
    /// 支給限度基準額, units.
    pub limit_units: Option<i32>,
    /// 合計単位数
    pub total_units: Option<i32>,
    /// 限度超単位数
    pub over_units: Option<i32>,
}

/// サービス利用票 and its 別表: 第6表 (予定), 第7表 of one person and month, services of all offices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "サービス利用票")]
pub struct ServiceSlip {
    /// For whom.
    pub person: PersonKey,
    /// 対象年月; with the person, the key of the slip.
    pub month: ServiceMonth,
    /// 第6表 予定, one line per day, service code and time.
    pub lines: Vec<SlipLine>,
    /// 第7表, code rows and total rows.
    pub table7: Vec<Table7Line>,
    /// 利用者補足情報 sent with the slip.
    pub supplement: Option<Supplement>,
}

/// 第6表 実績 of one person and month, as one office reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "実績")]
pub struct ServiceActuals {
    /// For whom.
    pub person: PersonKey,
    /// 対象年月
    pub month: ServiceMonth,
    /// 第6表 実績
    pub lines: Vec<SlipLine>,
}

/// One line of 第6表.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "第6表")]
pub struct SlipLine {
    /// 作成年月日
    pub made_on: Date,
    /// プラン担当業者コード
    pub planner: Option<OfficeNumber>,
    /// プラン担当者名
    pub planner_name: String,
    /// 単位数, after discount; negative for reductions.
    pub units: Option<i32>,
    /// 前月までの短期入所利用日数
    pub short_stay_days_before: Option<i32>,
    /// サービス利用日
    pub day: Date,
    /// 日割対象日: 31 characters of 0/1, empty when not prorated.
    pub prorated_days: String,
    /// サービス開始時刻; none for services without time (9999).
    pub from: Option<ClockTime>,
    /// サービス終了時刻; none for services without time (9999).
    pub to: Option<ClockTime>,
    /// サービス回数 on that day.
    pub count: i32,
    /// サービスコード, six characters.
    pub service_code: String,
    /// TAISコード
    pub tais_code: String,
    /// 福祉用具届出コード
    pub equipment_code: String,
    /// 用具名称（機種名）
    pub equipment_name: String,
    /// 明細判別コード
    pub detail_number: Option<i32>,
    /// サービス事業者コード
    pub office: OfficeNumber,
    /// サービス事業所名
    pub office_name: String,
    /// サテライト枝番
    pub satellite: String,
    /// ３０日超区分
    pub over_30_days: bool,
    /// 更新業者コード
    pub updated_by: Option<OfficeNumber>,
    /// 識別子 (not used by the standard, kept as sent)
    pub marker: String,
}

/// One line of 第7表: a service code of an office, a subtotal, or the grand total.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "第7表")]
pub struct Table7Line {
    /// 作成年月日
    pub made_on: Date,
    /// サービス事業所名
    pub office_name: String,
    /// サービス事業所コード; 9999999999 on the grand total.
    pub office: OfficeNumber,
    /// サテライト枝番
    pub satellite: String,
    /// サービスコード or the mark of a total (`TTAAAA`, `TTEEEE`, `TTZZZZ`, `999999`).
    pub service_code: String,
    /// TAISコード
    pub tais_code: String,
    /// 福祉用具届出コード
    pub equipment_code: String,
    /// 用具名称（機種名）
    pub equipment_name: String,
    /// 単位数; 0 on totals.
    pub units: i32,
    /// 割引後率, percent.
    pub discount_percent: Option<i32>,
    /// 割引後単位数
    pub discounted_units: Option<i32>,
    /// 回数／日数
    pub count: i32,
    /// サービス単位金額
    pub service_units: Option<i32>,
    /// 給付管理単位数
    pub managed_units: Option<i32>,
    /// 種類支給限度基準超単位
    pub over_type_limit: Option<i32>,
    /// 種類支給限度基準内単位
    pub within_type_limit: Option<i32>,
    /// 区分支給限度基準超単位
    pub over_limit: Option<i32>,
    /// 区分支給限度基準内単位
    pub within_limit: Option<i32>,
    /// 単位数単価, yen as written (`10.00`).
    pub unit_price: String,
    /// 費用総額保険／事業対象, yen.
    pub total_cost: Option<i32>,
    /// 給付率, percent.
    pub benefit_percent: Option<i32>,
    /// 保険／事業費請求額, yen.
    pub claimed: Option<i32>,
    /// 定額利用者負担単価金額, yen.
    pub fixed_copayment: Option<i32>,
    /// 利用者負担保険／事業対象, yen.
    pub copayment: Option<i32>,
    /// 利用者負担（全額負担）, yen.
    pub paid_in_full: Option<i32>,
    /// 前月までの利用日数
    pub days_before: Option<i32>,
    /// 当月の計画利用日数
    pub days_planned: Option<i32>,
    /// 累積利用日数
    pub days_total: Option<i32>,
    /// ３０日超区分
    pub over_30_days: bool,
    /// 事業所コード
    pub office_fixed: Option<OfficeNumber>,
    /// 入力者コード
    pub entered_by: Option<OfficeNumber>,
    /// 更新業者コード
    pub updated_by: Option<OfficeNumber>,
    /// 識別子 (not used by the standard, kept as sent)
    pub marker: String,
}

impl Table7Line {
    /// Whether it sums up others.
    pub fn is_total(&self) -> bool {
        is_total(&self.service_code)
    }
}

/// Mark of the grand total of 第7表.
pub const GRAND_TOTAL: &str = "999999";

/// Whether a サービスコード of 第7表 is the mark of a total: `TTAAAA`, `TTEEEE`, `TTZZZZ` or `999999`.
pub fn is_total(code: &str) -> bool {
    code == GRAND_TOTAL || ["AAAA", "EEEE", "ZZZZ"].iter().any(|mark| code.ends_with(mark))
}

/// 給付管理単位数 of one person's 第7表: of each office, satellite and service type its subtotal (`TTAAAA`), or the sum of its code
/// rows where it has none. The grand total is not asked: it may be wrong.
#[doc(alias = "給付管理単位数")]
pub fn managed_units(lines: &[Table7Line]) -> i64 {
    let mut groups: BTreeMap<(&str, &str, &str), (Option<i64>, i64)> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.service_code != GRAND_TOTAL) {
        let service = line.service_code.get(..2).unwrap_or_default();
        let (subtotal, codes) = groups.entry((line.office.as_str(), &line.satellite, service)).or_default();
        let units = line.managed_units.map(i64::from);
        if line.service_code.ends_with("AAAA") {
            *subtotal = units.or(*subtotal);
        } else if !line.is_total() {
            *codes += units.unwrap_or_default();
        }
    }
    groups.into_values().map(|(subtotal, codes)| subtotal.unwrap_or(codes)).sum()
}

/// What a sender withdraws: the tables that belong to it go with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "withdraws")]
pub enum PlanWithdrawal {
    /// 第1表_削除: the plan of this day.
    Plan {
        /// For whom.
        person: PersonKey,
        /// 居宅サービス計画作成（変更）日
        changed_on: Date,
    },
    /// 第6表予定_削除: the slip of this month.
    Slip {
        /// For whom.
        person: PersonKey,
        /// 削除対象年月
        month: ServiceMonth,
    },
    /// 実績_削除: what an office reported for one service type.
    Actuals {
        /// For whom.
        person: PersonKey,
        /// 削除対象年月
        month: ServiceMonth,
        /// サービス事業者コード
        office: OfficeNumber,
        /// サービス種類コード
        service: ServiceType,
    },
    /// 利用者基本情報_削除: its 別表 and its picture go with it.
    BasicInformation {
        /// For whom.
        person: PersonKey,
        /// 相談日
        consulted_on: Date,
    },
    /// The facility plan of this day (profile of this project).
    FacilityPlan {
        /// For whom.
        person: PersonKey,
        /// 施設サービス計画作成（変更）日
        changed_on: Date,
    },
    /// 支援計画書_削除: its 別表 goes with it.
    PreventivePlan {
        /// For whom.
        person: PersonKey,
        /// 計画作成(変更)日
        changed_on: Date,
    },
}

impl PlanWithdrawal {
    /// For whom.
    pub fn person(&self) -> PersonKey {
        match self {
            Self::Plan { person, .. }
            | Self::Slip { person, .. }
            | Self::Actuals { person, .. }
            | Self::BasicInformation { person, .. }
            | Self::FacilityPlan { person, .. }
            | Self::PreventivePlan { person, .. } => *person,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_four_digits_of_a_day_that_may_end_at_2400() {
        assert_eq!(ClockTime::parse("0930").map(ClockTime::minutes), Some(570));
        assert_eq!(ClockTime::parse("2400").map(|time| time.to_string()).as_deref(), Some("2400"));
        for wrong in ["2401", "1260", "930", "9999", "ab00", "０９３０"] {
            assert_eq!(ClockTime::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn codes_of_the_form_come_back() {
        for kind in PlanKind::ALL {
            assert_eq!(PlanKind::from_code(kind.code()), Some(*kind));
        }
        assert_eq!(Weekday::from_code("7").map(Weekday::name_ja), Some("日"));
        assert_eq!(Coverage::from_code("y"), None);
    }
}
