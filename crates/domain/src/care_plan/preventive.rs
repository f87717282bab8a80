//! 介護予防: 利用者基本情報 (with its 別表 and the picture of the family) and 介護予防サービス・支援計画書, of CP1
//! (ケアプラン標準仕様 Ver. 4.1). Blank text is an empty string, as in the tables of the home plan.

use super::{CertificationState, PlanKind};
use crate::certification::CareLevel;
use crate::ids::PersonKey;
use crate::insured::Sex;
use crate::physician_opinion::{DementiaIndependence, PhysicalIndependence};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

choices! {
    /// 計画種類: by which law the plan is made.
    #[doc(alias = "計画種類")]
    PreventiveProgram {
        Support "1" "介護予防支援",
        CareManagement "2" "介護予防ケアマネジメント",
    }

    /// 委託の有無.
    #[doc(alias = "委託の有無")]
    Entrustment {
        Own "1" "自前",
        Entrusted "2" "委託",
    }

    /// 相談方法.
    #[doc(alias = "相談方法")]
    ConsultationMethod {
        Visit "01" "来所",
        Telephone "02" "電話",
        Other "03" "その他",
    }

    /// 相談回数.
    #[doc(alias = "相談回数")]
    ConsultationCount {
        First "01" "初回",
        Again "02" "再来",
    }

    /// 利用者の現況.
    #[doc(alias = "利用者の現況")]
    Whereabouts {
        AtHome "01" "在宅",
        Admitted "02" "入院又は入所中",
    }

    /// 基本チェックリスト記入結果.
    #[doc(alias = "基本チェックリスト記入結果")]
    ChecklistResult {
        ProjectTarget "1" "事業対象者の該当あり",
        None "2" "該当なし",
    }

    /// 居住形態.
    #[doc(alias = "居住形態")]
    Housing {
        Own "01" "自宅",
        Rented "02" "借家",
        Detached "03" "一戸建て",
        Shared "04" "集合住宅",
        OwnDetached "05" "自宅・一戸建て",
        OwnShared "06" "自宅・集合住宅",
        RentedDetached "07" "借家・一戸建て",
        RentedShared "08" "借家・集合住宅",
    }

    /// 主治医・意見作成者フラグ.
    #[doc(alias = "主治医・意見作成者フラグ")]
    TreatingPhysician {
        Treating "1" "主治医",
        Other "2" "それ以外",
    }

    /// 経過 of an illness.
    IllnessCourse {
        Treated "01" "治療中",
        Observed "02" "経過観察中",
        Other "03" "その他",
    }

    /// 要支援状態区分 of the preventive plan.
    #[doc(alias = "要支援状態区分")]
    SupportLevel {
        Support1 "1" "要支援１",
        Support2 "2" "要支援２",
        CommunityProgram "3" "地域支援事業",
    }

    /// 領域における課題の有無, 住宅改修の有無.
    Presence {
        Present "1" "有",
        Absent "2" "無",
    }

    /// 事業プログラムの要否.
    #[doc(alias = "事業プログラムの要否")]
    ProgramNeed {
        Needed "1" "要",
        NotNeeded "2" "否",
    }

    /// 該当 of an item that is ticked or not.
    Ticked {
        No "0" "非該当",
        Yes "1" "該当",
    }
}

/// 利用者基本情報: what the 地域包括支援センター learned in a talk; with the person, the day of the talk is its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "利用者基本情報")]
pub struct BasicInformation {
    /// About whom.
    pub person: PersonKey,
    /// 相談日
    pub consulted_on: Date,
    /// The items of UPKIHON.
    pub items: BasicItems,
    /// 別表1 １日の生活・すごし方
    pub day: Vec<DayRow>,
    /// 別表2 現病歴・既往歴
    pub illnesses: Vec<Illness>,
    /// 家族構成 as a picture.
    pub picture: Option<FamilyPicture>,
}

/// The items of 利用者基本情報, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BasicItems {
    /// 計画種類
    pub program: Option<PreventiveProgram>,
    /// 委託の有無
    pub entrustment: Option<Entrustment>,
    /// 作成担当者
    pub author: String,
    /// 相談方法
    pub method: Option<ConsultationMethod>,
    /// 相談方法(その他の内容)
    pub method_other: String,
    /// 相談回数
    pub consultation: Option<ConsultationCount>,
    /// 前回相談日
    pub previous_on: Option<Date>,
    /// 利用者の現況
    pub whereabouts: Option<Whereabouts>,
    /// 利用者の現況(状況補足)
    pub whereabouts_note: String,
    /// 利用者氏名ﾌﾘｶﾞﾅ
    pub kana: String,
    /// 利用者氏名
    pub name: String,
    /// 利用者性別
    pub sex: Option<Sex>,
    /// 利用者生年月日
    pub birth: Option<Date>,
    /// 利用者住所
    pub address: String,
    /// 利用者電話番号
    pub telephone: String,
    /// 利用者Fax番号
    pub fax: String,
    /// 障害高齢者の日常生活自立度
    pub physical: Option<PhysicalIndependence>,
    /// 認知症高齢者の日常生活自立度
    pub dementia: Option<DementiaIndependence>,
    /// 要介護状態区分
    pub level: Option<CareLevel>,
    /// 認定有効期限開始日
    pub valid_from: Option<Date>,
    /// 認定有効期間終了日
    pub valid_to: Option<Date>,
    /// 前回の介護度
    pub previous_level: Option<CareLevel>,
    /// 基本チェックリスト記入結果
    pub checklist: Option<ChecklistResult>,
    /// 基本チェックリスト記入日
    pub checklist_on: Option<Date>,
    /// 障害等認定(身障)
    pub disability_physical: Option<Ticked>,
    /// 障害等認定(療育)
    pub disability_intellectual: Option<Ticked>,
    /// 障害等認定(精神)
    pub disability_mental: Option<Ticked>,
    /// 障害等認定(難病)
    pub disability_intractable: Option<Ticked>,
    /// 障害等認定特記事項
    pub disability_note: String,
    /// 居住形態
    pub housing: Option<Housing>,
    /// 自室の階数
    pub floor: Option<i32>,
    /// 住宅改修の有無
    pub home_modified: Option<Presence>,
    /// 経済状況(国民年金)
    pub national_pension: Option<Ticked>,
    /// 経済状況(厚生年金)
    pub employees_pension: Option<Ticked>,
    /// 経済状況(障害年金)
    pub disability_pension: Option<Ticked>,
    /// 経済状況(生活保護)
    pub public_assistance: Option<Ticked>,
    /// 経済状況詳細
    pub income_note: String,
    /// 来所者(相談者)氏名
    pub visitor_name: String,
    /// 来所者(相談者)住所; senders may put other things here.
    pub visitor_address: String,
    /// 来所者(相談者)電話番号
    pub visitor_telephone: String,
    /// 来所者(相談者)続柄
    pub visitor_relation: String,
    /// 緊急連絡先, up to four in order.
    pub contacts: Vec<EmergencyContact>,
    /// 家族構成 画像ファイル名 as sent; empty when the picture itself is there, because the name holds the serial of the sending.
    pub picture_name: String,
    /// 家族関係等の状況
    pub family: String,
    /// 今までの生活
    pub past_life: String,
    /// １日の生活・すごし方(生活全般)
    pub daily_life: String,
    /// 趣味・楽しみ・特技
    pub hobbies: String,
    /// 友人・地域との関係
    pub friends: String,
    /// 現在利用している公的サービス
    pub public_services: String,
    /// 現在利用している非公的サービス
    pub other_services: String,
    /// 同意日
    pub agreed_on: Option<Date>,
    /// 同意者氏名
    pub agreed_by: String,
}

/// 緊急連絡先.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[doc(alias = "緊急連絡先")]
pub struct EmergencyContact {
    /// 氏名
    pub name: String,
    /// 続柄
    pub relation: String,
    /// 住所; senders may put other things here.
    pub address: String,
    /// 電話番号
    pub telephone: String,
}

/// A row of 別表1 １日の生活・すごし方.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayRow {
    /// 時間, free text.
    pub time: String,
    /// 本人の生活状況
    pub own: String,
    /// 介護者・家族の生活状況
    pub family: String,
}

/// A row of 別表2 現病歴・既往歴.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "現病歴・既往歴")]
pub struct Illness {
    /// 年月日, free text.
    pub when: String,
    /// 病名
    pub name: String,
    /// 医療機関・医師名
    pub physician: String,
    /// 主治医・意見作成者フラグ
    pub treating: Option<TreatingPhysician>,
    /// 医療機関・医師電話番号
    pub telephone: String,
    /// 経過
    pub course: Option<IllnessCourse>,
    /// 治療中の内容
    pub treatment: String,
}

/// 家族構成 as a picture (JPEG).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "家族構成")]
pub struct FamilyPicture {
    /// 4-digit branch of its file name.
    pub branch: u16,
    /// How its file name ends: `jpg` or `JPG`.
    pub extension: String,
    /// Pixels from left to right.
    pub width: u16,
    /// Pixels from top to bottom.
    pub height: u16,
    /// The JPEG file itself, base64 in JSON.
    #[serde(with = "crate::base64")]
    pub jpeg: Vec<u8>,
}

/// 介護予防サービス・支援計画書; with the person, its 計画作成(変更)日 is its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "介護予防サービス・支援計画書")]
pub struct PreventivePlan {
    /// For whom.
    pub person: PersonKey,
    /// 計画作成(変更)日
    pub changed_on: Date,
    /// The items of UPYOBO.
    pub items: PreventiveItems,
    /// 別表 支援計画: 課題 → 支援計画 → 利用サービス.
    pub issues: Vec<PreventiveIssue>,
}

/// The items of 介護予防サービス・支援計画書, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreventiveItems {
    /// 計画種類
    pub program: Option<PreventiveProgram>,
    /// 委託の有無
    pub entrustment: Option<Entrustment>,
    /// 整理番号
    pub file_number: String,
    /// 利用者名
    pub name: String,
    /// 認定年月日
    pub certified_on: Option<Date>,
    /// 認定有効期間開始日
    pub valid_from: Option<Date>,
    /// 認定有効期間終了日
    pub valid_to: Option<Date>,
    /// 計画書区分
    pub kind: Option<PlanKind>,
    /// 認定状況区分
    pub certification_state: Option<CertificationState>,
    /// 要支援状態区分
    pub level: Option<SupportLevel>,
    /// 計画作成者氏名（地域包括支援センター担当者名）
    pub center_author: String,
    /// 計画作成者氏名（担当介護支援専門員名）
    pub care_manager_name: String,
    /// 計画作成者事業者・事業所名
    pub office_name: String,
    /// 計画作成者事業者・事業所住所
    pub office_address: String,
    /// 計画作成者事業者・事業所電話番号
    pub office_telephone: String,
    /// 初回作成日
    pub first_made_on: Option<Date>,
    /// 担当地域包括支援センター
    pub center: String,
    /// 目標とする生活(1日)
    pub goal_of_day: String,
    /// 目標とする生活(1年)
    pub goal_of_year: String,
    /// 【運動・移動】
    pub movement: LifeArea,
    /// 【日常生活(家庭生活)】
    pub home_life: LifeArea,
    /// 【社会参加、対人関係・コミュニケーション】
    pub society: LifeArea,
    /// 【健康管理】
    pub health: LifeArea,
    /// 健康状態の留意点
    pub health_note: String,
    /// 妥当な支援の実施に向けた方針
    pub support_policy: String,
    /// 総合的な方針
    pub policy: String,
    /// 基本チェックリストの該当数
    pub checklist: CheckAreas<i32>,
    /// 事業プログラムの要否
    pub programs: CheckAreas<ProgramNeed>,
    /// 地域包括支援センター意見
    pub center_opinion: String,
    /// 同意日
    pub agreed_on: Option<Date>,
    /// 同意者氏名
    pub agreed_by: String,
}

/// One of the four areas of life that are assessed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifeArea {
    /// 現在の状況
    pub now: String,
    /// 本人・家族の意欲・意向
    pub wish: String,
    /// 領域における課題の有無
    pub has_issue: Option<Presence>,
    /// 領域における課題（背景・原因）
    pub issue: String,
}

/// One value for each part of the 基本チェックリスト.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "基本チェックリスト")]
pub struct CheckAreas<T> {
    /// 運動不足
    pub exercise: Option<T>,
    /// 栄養改善
    pub nutrition: Option<T>,
    /// 口腔内ケア
    pub oral: Option<T>,
    /// 閉じこもり予防
    pub seclusion: Option<T>,
    /// 物忘れ予防
    pub memory: Option<T>,
    /// うつ予防
    pub depression: Option<T>,
}

/// 課題 of a preventive plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "総合的課題")]
pub struct PreventiveIssue {
    /// 課題ＮＯ
    pub number: Option<u8>,
    /// 総合的課題
    pub text: String,
    /// 課題に対する目標と具体策の提案
    pub proposal: String,
    /// 具体策についての意向本人・家族
    pub wish: String,
    /// 目標
    pub goal: String,
    /// 支援計画
    pub supports: Vec<SupportPlan>,
}

/// 支援計画 of an issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "支援計画")]
pub struct SupportPlan {
    /// 支援計画ＮＯ
    pub number: Option<u8>,
    /// 目標についての支援のポイント
    pub points: String,
    /// 本人等のセルフケアや家族の支援、インフォーマルサービス（民間サービス）
    pub self_care: String,
    /// 介護保険サービス又は地域支援事業（総合事業のサービス）
    pub insured: String,
    /// 利用サービス
    pub services: Vec<UsedService>,
}

/// 利用サービス of a 支援計画.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "利用サービス")]
pub struct UsedService {
    /// 利用サービスＮＯ
    pub number: Option<u8>,
    /// サービス種別
    pub kind: String,
    /// 事業所(利用先)
    pub office: String,
    /// 期間
    pub period: String,
}
