//! 証: 被保険者証 (A3a), 負担割合証 (A3b), 負担限度額認定証 (A3c), after their statutory forms (docs/requirements.md §15.3).

use crate::certification::CareLevel;
use crate::dates::Period;
use crate::ids::{OfficeNumber, ServiceType};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// Whether the person holds a card (P-035: since the reform most insured have none).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardIssue {
    /// Never issued: normal before a 要介護認定申請.
    NeverIssued,
    /// 交付年月日
    Issued(Date),
    /// Issued on this day and reported lost.
    Lost(Date),
}

impl CardIssue {
    /// In Japanese: 未交付, 交付済 or 紛失.
    pub fn name_ja(self) -> &'static str {
        match self {
            Self::NeverIssued => "未交付",
            Self::Issued(_) => "交付済",
            Self::Lost(_) => "紛失",
        }
    }
}

/// 要介護認定の欄.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertifiedLevel {
    /// 要介護状態区分等
    pub level: CareLevel,
    /// 認定年月日; for 事業対象者 the day of the 基本チェックリスト.
    pub decided_on: Date,
    /// 認定の有効期間; none for 事業対象者.
    pub valid: Option<Period>,
    /// 区分支給限度基準額, units a month.
    pub limit_units: Option<u32>,
    /// Its period.
    pub limit_period: Option<Period>,
    /// 種類支給限度基準額
    pub service_limits: Vec<ServiceLimit>,
    /// 認定審査会の意見及びサービスの種類の指定
    pub board_opinion: Option<String>,
}

/// うち種類支給限度基準額.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceLimit {
    /// サービスの種類
    pub service: ServiceType,
    /// Units a month.
    pub units: u32,
}

choices! {
    /// 給付制限の種類.
    RestrictionKind {
        PaymentMethodChanged "1" "支払方法の変更（償還払い化）",
        PaymentSuspended "2" "保険給付の支払の一時差止",
        BenefitReduced "3" "給付額の減額",
        SecondCategorySuspended "4" "第2号被保険者の給付の差止",
    }
}

/// 給付制限 (P-032): content and period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenefitRestriction {
    /// 内容, in the words of the card.
    pub content: String,
    /// 期間
    pub period: Period,
    /// 給付率 in percent while it lasts, if it is changed.
    pub benefit_percent: Option<u8>,
    /// 種類, where the municipality sends it coded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<RestrictionKind>,
}

/// 居宅介護支援事業者等 with 届出年月日.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanningOffice {
    /// 事業所番号
    pub office: OfficeNumber,
    /// 名称
    pub name: String,
    /// 届出年月日
    pub filed_on: Date,
}

/// 介護保険施設等.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FacilityStay {
    /// 種類, in words.
    pub kind: String,
    /// 名称
    pub name: String,
    /// 入所・入院年月日 to 退所・退院年月日.
    pub stay: Period,
}

/// A3a 介護保険被保険者証.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsuranceCard {
    /// Whether and when it was issued.
    pub issue: CardIssue,
    /// 要介護認定の欄, if certified.
    pub certified: Option<CertifiedLevel>,
    /// 給付制限, up to three.
    pub restrictions: Vec<BenefitRestriction>,
    /// 居宅介護支援事業者等, up to three.
    pub planning_offices: Vec<PlanningOffice>,
    /// 介護保険施設等, up to two.
    pub facilities: Vec<FacilityStay>,
}

/// 負担割合: 1割, 2割 or 3割.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Tenths(u8);

impl Tenths {
    /// 1, 2 or 3.
    pub fn new(tenths: u8) -> Option<Self> {
        (1..=3).contains(&tenths).then_some(Self(tenths))
    }

    /// The number of tenths.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Tenths {
    type Error = &'static str;
    fn try_from(tenths: u8) -> Result<Self, Self::Error> {
        Self::new(tenths).ok_or("the copayment rate is 1, 2 or 3 tenths")
    }
}

impl From<Tenths> for u8 {
    fn from(tenths: Tenths) -> Self {
        tenths.0
    }
}

/// One row of the 負担割合証.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopaymentPeriod {
    /// 利用者負担の割合
    pub rate: Tenths,
    /// 適用期間 (ordinarily 8/1–7/31)
    pub period: Period,
}

/// A3b 負担割合証: one or two rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopaymentRate {
    /// 交付年月日
    pub issued_on: Date,
    /// Rows, in order of time.
    pub rows: Vec<CopaymentPeriod>,
}

/// 利用者負担段階.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncomeStage {
    /// 第1段階
    First,
    /// 第2段階
    Second,
    /// 第3段階①
    ThirdLower,
    /// 第3段階②
    ThirdUpper,
}

impl IncomeStage {
    /// All stages.
    pub const ALL: [Self; 4] = [Self::First, Self::Second, Self::ThirdLower, Self::ThirdUpper];

    /// `1`, `2`, `3-1`, `3-2`.
    pub fn code(self) -> &'static str {
        match self {
            Self::First => "1",
            Self::Second => "2",
            Self::ThirdLower => "3-1",
            Self::ThirdUpper => "3-2",
        }
    }

    /// Inverse of [`IncomeStage::code`].
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.code() == code)
    }

    /// Name on the card.
    pub fn name_ja(self) -> &'static str {
        match self {
            Self::First => "第１段階",
            Self::Second => "第２段階",
            Self::ThirdLower => "第３段階①",
            Self::ThirdUpper => "第３段階②",
        }
    }
}

/// 居住費・滞在費の負担限度額, yen a day per room type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomCeilings {
    /// ユニット型個室
    pub unit_private: u32,
    /// ユニット型個室的多床室
    pub unit_semi_private: u32,
    /// 従来型個室（特養等）
    pub private_welfare: u32,
    /// 従来型個室（老健・医療院等）
    pub private_health: u32,
    /// 多床室
    pub shared: u32,
}

/// A3c 負担限度額認定証.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostCeiling {
    /// 交付年月日
    pub issued_on: Date,
    /// 適用年月日 to 有効期限
    pub period: Period,
    /// 利用者負担段階
    pub stage: IncomeStage,
    /// 食費の負担限度額（施設）, yen a day.
    pub meals_facility: u32,
    /// 食費の負担限度額（短期入所）, yen a day.
    pub meals_short_stay: u32,
    /// 居住費・滞在費
    pub rooms: RoomCeilings,
}
