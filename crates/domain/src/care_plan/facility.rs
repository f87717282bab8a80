//! CP2 施設サービス計画: 第1・2・3表 of a plan made by a facility. Known by its person and its 計画作成（変更）日, like the home
//! plan; a changed plan is a new plan and the old one stays as history.

use super::{CertificationState, Need, PlanKind, Table3};
use crate::certification::CareLevel;
use crate::ids::{OfficeNumber, PersonKey};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// 施設サービス計画.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "施設サービス計画")]
pub struct FacilityPlan {
    /// For whom.
    pub person: PersonKey,
    /// 施設サービス計画作成（変更）日
    pub changed_on: Date,
    /// 第1表
    pub table1: FacilityTable1,
    /// 第2表
    pub table2: FacilityTable2,
    /// 第3表 週間サービス計画表, the same grid as that of the home plan.
    pub table3: Table3,
}

/// 第1表 施設サービス計画書(1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FacilityTable1 {
    /// 作成年月日
    pub made_on: Date,
    /// 利用者名
    pub name: String,
    /// 利用者住所
    pub address: String,
    /// 施設サービス計画作成者氏名
    pub author: String,
    /// 同 職種
    pub author_job: String,
    /// 介護保険施設名
    pub office_name: String,
    /// 介護保険施設 所在地
    pub office_address: String,
    /// 介護保険施設 事業所番号
    pub office: OfficeNumber,
    /// 初回施設サービス計画作成日
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
    /// 説明・同意日
    pub agreed_on: Option<Date>,
}

/// 第2表 施設サービス計画書(2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FacilityTable2 {
    /// 作成年月日; none when the table has no row.
    pub made_on: Option<Date>,
    /// 生活全般の解決すべき課題（ニーズ）, in printed order.
    pub needs: Vec<Need<FacilityService>>,
}

/// 援助内容 of a facility plan: one line of its 第2表.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FacilityService {
    /// 援助内容ＮＯ, 1–99 within the long goal.
    pub number: Option<u8>,
    /// サービス内容
    pub content: String,
    /// 担当者
    pub staff: String,
    /// 頻度
    pub frequency: String,
    /// 期間, free text.
    pub period: String,
}
