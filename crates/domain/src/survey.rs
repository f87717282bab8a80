//! A1 認定調査票: 概況調査, the 74 items of the 基本調査, 自立度 and 特記事項 (docs/requirements.md §15.9). Items and their choices
//! are data (`data/survey_items.tsv`). Who may read it is not decided here (policy).

use crate::care_plan::ClockTime;
use crate::certification::CareLevel;
use crate::ids::OfficeNumber;
use crate::insured::Identity;
use crate::physician_opinion::{DementiaIndependence, PhysicalIndependence};
use jiff::civil::Date;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A1 認定調査票.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "認定調査票")]
pub struct CertificationSurvey {
    /// 申請日 of the 要介護認定申請 it belongs to.
    pub applied_on: Date,
    /// Ⅰ 調査実施者
    pub conducted: Conducted,
    /// Ⅱ 過去の認定; `None` the first time (初回).
    pub previous: Option<EarlierCertification>,
    /// Ⅱ 調査対象者: 氏名, ふりがな, 性別, 生年月日, 現住所, 電話.
    pub subject: Identity,
    /// Ⅱ 家族等連絡先
    pub contacts: Option<Contact>,
    /// Ⅲ 現在受けているサービス, 在宅利用.
    pub services: ServicesInUse,
    /// Ⅲ 施設等利用
    pub facility: Option<SurveyFacility>,
    /// Ⅳ 置かれている環境
    pub surroundings: Surroundings,
    /// 基本調査, 74 items.
    pub answers: Answers,
    /// 7-1 障害高齢者の日常生活自立度（寝たきり度）
    pub physical: Option<PhysicalIndependence>,
    /// 7-2 認知症高齢者の日常生活自立度
    pub dementia: Option<DementiaIndependence>,
    /// 特記事項, by group.
    pub notes: Vec<GroupNote>,
    /// 特記事項, by item, where the municipality sends them so; in the order of the form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub item_notes: Vec<ItemNote>,
}

/// Ⅰ 調査実施者.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conducted {
    /// 実施日
    pub on: Date,
    /// 実施時刻, Japan.
    pub at: Option<ClockTime>,
    /// 実施場所
    pub survey_place: SurveyPlace,
    /// 記入者氏名
    pub surveyor: String,
    /// 所属機関
    pub organization: String,
    /// 所属機関 事業所番号, when an office does the survey for the city.
    pub office: Option<OfficeNumber>,
}

/// 実施場所.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SurveyPlace {
    /// 自宅内
    Home,
    /// 自宅外, with its name.
    Elsewhere(String),
}

/// 過去の認定: 2回目以降.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierCertification {
    /// 前回認定日
    pub decided_on: Option<Date>,
    /// 前回認定結果
    pub level: Option<CareLevel>,
}

/// 家族等連絡先.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// 氏名
    pub name: String,
    /// 調査対象者との関係
    pub relation: Option<String>,
    /// 住所
    pub address: Option<String>,
    /// 電話
    pub telephone: Option<String>,
}

/// 現在受けているサービス, 在宅利用.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServicesInUse {
    /// Services in use, in the order of the form.
    pub used: Vec<ServiceUse>,
    /// 住宅改修 あり・なし
    pub home_modified: Option<bool>,
    /// 市町村特別給付
    pub municipal_benefit: Option<String>,
    /// 介護保険給付外の在宅サービス
    pub other: Option<String>,
}

/// One service in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceUse {
    /// The service.
    pub service: SurveyService,
    /// How much, in [`SurveyService::unit`].
    pub amount: u16,
}

/// 施設等利用.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurveyFacility {
    /// 施設等の種類
    pub kind: SurveyFacilityKind,
    /// 施設等の名称
    pub name: Option<String>,
    /// 住所
    pub address: Option<String>,
    /// 電話
    pub telephone: Option<String>,
}

/// Ⅳ 置かれている環境, in the surveyor's words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Surroundings {
    /// 家族状況
    pub family: Option<String>,
    /// 居住環境
    pub housing: Option<String>,
    /// 日常的に使用する機器・器械の有無等
    pub equipment: Option<String>,
}

/// 特記事項 of one group; names its items in the text, such as `(1-7)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupNote {
    /// 1–6 群, 7 日常生活自立度.
    pub group: u8,
    /// The text; names of people are masked before the 審査会.
    pub text: String,
}

/// 特記事項 of one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemNote {
    /// Number of the item on the form, such as `1-7`; one of [`note_items`].
    pub item: String,
    /// The text. Several about one item stand on lines of their own.
    pub text: String,
}

/// Numbers of the items that have a 特記事項, in the order of the form: the parts of 麻痺 and 拘縮 share one (`1-1`, `1-2`), and
/// both 自立度 have theirs.
pub fn note_items() -> &'static [String] {
    static NUMBERS: OnceLock<Vec<String>> = OnceLock::new();
    NUMBERS.get_or_init(|| {
        let number = |code: &str| code.split('-').take(2).collect::<Vec<_>>().join("-");
        let mut numbers: Vec<String> = items().iter().map(|item| number(item.code)).collect();
        numbers.dedup();
        numbers.extend(["7-1".to_owned(), "7-2".to_owned()]);
        numbers
    })
}

choices! {
    /// 現在受けているサービス, 在宅利用, in the order of the form.
    SurveyService {
        HomeHelp "01" "訪問介護（訪問型サービス）",
        HomeBathing "02" "（介護予防）訪問入浴介護",
        HomeNursing "03" "（介護予防）訪問看護",
        HomeRehabilitation "04" "（介護予防）訪問リハビリテーション",
        MedicalManagement "05" "（介護予防）居宅療養管理指導",
        DayService "06" "通所介護（通所型サービス）",
        DayRehabilitation "07" "（介護予防）通所リハビリテーション",
        ShortStay "08" "（介護予防）短期入所生活介護",
        ShortStayMedical "09" "（介護予防）短期入所療養介護",
        SpecifiedFacility "10" "（介護予防）特定施設入居者生活介護",
        EquipmentRental "11" "（介護予防）福祉用具貸与",
        EquipmentSale "12" "特定（介護予防）福祉用具販売",
        NightHomeHelp "13" "夜間対応型訪問介護",
        DementiaDayService "14" "（介護予防）認知症対応型通所介護",
        SmallMultifunction "15" "（介護予防）小規模多機能型居宅介護",
        GroupHome "16" "（介護予防）認知症対応型共同生活介護",
        CommunitySpecifiedFacility "17" "地域密着型特定施設入居者生活介護",
        CommunityWelfareFacility "18" "地域密着型介護老人福祉施設入所者生活介護",
        RegularAndOnCall "19" "定期巡回・随時対応型訪問介護看護",
        NursingSmallMultifunction "20" "看護小規模多機能型居宅介護",
        CommunityDayService "21" "地域密着型通所介護",
    }

    /// 施設等利用の種類.
    SurveyFacilityKind {
        WelfareFacility "1" "介護老人福祉施設",
        HealthFacility "2" "介護老人保健施設",
        IntegratedFacility "3" "介護医療院",
        GroupHome "4" "認知症対応型共同生活介護適用施設（グループホーム）",
        SpecifiedFacility "5" "特定施設入居者生活介護適用施設（ケアハウス等）",
        Hospital "6" "医療機関",
        Other "7" "その他の施設等",
    }
}

impl SurveyService {
    /// What its amount counts, over the month of the survey unless the words say otherwise.
    pub fn unit(self) -> &'static str {
        match self {
            Self::ShortStay
            | Self::ShortStayMedical
            | Self::SpecifiedFacility
            | Self::NightHomeHelp
            | Self::DementiaDayService
            | Self::SmallMultifunction
            | Self::GroupHome
            | Self::CommunitySpecifiedFacility
            | Self::CommunityWelfareFacility
            | Self::NursingSmallMultifunction => "日",
            Self::EquipmentRental => "品目（調査日）",
            Self::EquipmentSale => "品目（過去6か月）",
            _ => "回",
        }
    }
}

/// How an item is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// 能力
    Ability,
    /// 介助の方法
    Assistance,
    /// 有無
    Presence,
}

/// One item of the 基本調査.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyItem {
    /// Its code, such as `1-3`; the parts of 麻痺 and 拘縮 are `1-1-1` to `1-2-4`.
    pub code: &'static str,
    /// 群, 1–6.
    pub group: u8,
    /// 項目名
    pub name: &'static str,
    /// 評価軸
    pub axis: Axis,
    /// Codes and words of its choices, from the lightest.
    pub choices: Vec<(u8, &'static str)>,
    /// A choice that has no place in that order (行っていない, 判断不能).
    pub other: Option<u8>,
}

impl SurveyItem {
    /// Words of a choice.
    pub fn choice(&self, code: u8) -> Option<&'static str> {
        self.choices.iter().find(|(known, _)| *known == code).map(|(_, words)| *words)
    }
}

/// Number of items of the 基本調査.
pub const ITEMS: usize = 74;

/// All 74 items in the order of the form.
pub fn items() -> &'static [SurveyItem] {
    static TABLE: OnceLock<Vec<SurveyItem>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let rows = include_str!("../data/survey_items.tsv").lines().filter(|line| !line.starts_with('#')).skip(1);
        rows.filter_map(item).collect()
    })
}

fn item(row: &'static str) -> Option<SurveyItem> {
    let columns: Vec<&'static str> = row.split('\t').collect();
    let [code, group, name, axis, choices, other] = columns[..] else { return None };
    let axis = match axis {
        "能力" => Axis::Ability,
        "介助の方法" => Axis::Assistance,
        "有無" => Axis::Presence,
        _ => return None,
    };
    let choice =
        |choice: &'static str| choice.split_once('=').and_then(|(code, words)| Some((code.parse().ok()?, words)));
    let choices = choices.split(';').map(choice).collect::<Option<_>>()?;
    Some(SurveyItem { code, group: group.parse().ok()?, name, axis, choices, other: other.parse().ok() })
}

/// Answers of the 基本調査. In JSON an object of item code and choice, such as `{"1-3": 2}`; items without an answer are
/// left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers([Option<u8>; ITEMS]);

impl Default for Answers {
    fn default() -> Self {
        Self([None; ITEMS])
    }
}

impl Answers {
    /// The answer to an item.
    pub fn get(&self, code: &str) -> Option<u8> {
        self.0[items().iter().position(|item| item.code == code)?]
    }

    /// Answers an item; false when there is no such item or choice.
    pub fn set(&mut self, code: &str, answer: u8) -> bool {
        let Some(at) = items().iter().position(|item| item.code == code) else { return false };
        self.set_at(at, answer)
    }

    /// Answers the item at this place of [`items`].
    pub fn set_at(&mut self, at: usize, answer: u8) -> bool {
        let known = items().get(at).is_some_and(|item| item.choice(answer).is_some());
        if known {
            self.0[at] = Some(answer);
        }
        known
    }

    /// Every item with its answer, in the order of the form.
    pub fn iter(&self) -> impl Iterator<Item = (&'static SurveyItem, Option<u8>)> {
        items().iter().zip(self.0)
    }
}

impl Serialize for Answers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().filter_map(|(item, answer)| Some((item.code, answer?))))
    }
}

impl<'de> Deserialize<'de> for Answers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = BTreeMap::<String, u8>::deserialize(deserializer)?;
        let mut answers = Self::default();
        match given.iter().find(|(code, answer)| !answers.set(code, **answer)) {
            Some((code, answer)) => Err(D::Error::custom(format!("no choice {answer} of an item {code}"))),
            None => Ok(answers),
        }
    }
}

/// Which way an answer moved since the time before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Lighter.
    Better,
    /// Heavier.
    Worse,
    /// One of the two has no place in the order of the choices.
    Other,
}

/// An item answered otherwise than the time before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AnswerChange {
    /// Code of the item; `7-1` and `7-2` for the 自立度.
    pub item: &'static str,
    /// 項目名
    pub name: &'static str,
    /// Answer of the time before.
    pub before: u8,
    /// Answer of this time.
    pub after: u8,
    /// Which way.
    pub direction: Direction,
}

impl CertificationSurvey {
    /// Items answered both times and not alike, in the order of the form (前回との差).
    pub fn changes_since(&self, before: &Self) -> Vec<AnswerChange> {
        let mut changes: Vec<AnswerChange> = Vec::new();
        for ((item, after), (_, earlier)) in self.answers.iter().zip(before.answers.iter()) {
            if let (Some(before), Some(after)) = (earlier, after) {
                changes.extend(change(item.code, item.name, before, after, item.other));
            }
        }
        let place = |code: Option<&'static str>| code.and_then(|code| code.parse::<u8>().ok());
        let physical = [before, self].map(|survey| place(survey.physical.map(PhysicalIndependence::code)));
        let dementia = [before, self].map(|survey| place(survey.dementia.map(DementiaIndependence::code)));
        // M 専門医療 is not a step beyond Ⅳ.
        let medical = place(Some(DementiaIndependence::Medical.code()));
        for (code, name, pair, other) in [
            ("7-1", "障害高齢者の日常生活自立度（寝たきり度）", physical, None),
            ("7-2", "認知症高齢者の日常生活自立度", dementia, medical),
        ] {
            if let [Some(before), Some(after)] = pair {
                changes.extend(change(code, name, before, after, other));
            }
        }
        changes
    }

    /// 特別な医療 received within the 14 days before the survey.
    pub fn special_care(&self) -> Vec<&'static SurveyItem> {
        self.answers
            .iter()
            .filter(|(item, answer)| item.group == 6 && *answer == Some(1))
            .map(|(item, _)| item)
            .collect()
    }

    /// Items of the 基本調査 without an answer; none on a complete form.
    pub fn unanswered(&self) -> Vec<&'static SurveyItem> {
        self.answers.iter().filter(|(_, answer)| answer.is_none()).map(|(item, _)| item).collect()
    }
}

fn change(item: &'static str, name: &'static str, before: u8, after: u8, other: Option<u8>) -> Option<AnswerChange> {
    let direction = match () {
        () if before == after => return None,
        () if other.is_some_and(|other| before == other || after == other) => Direction::Other,
        () if after < before => Direction::Better,
        () => Direction::Worse,
    };
    Some(AnswerChange { item, name, before, after, direction })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insured::Sex;
    use jiff::civil::date;

    fn survey(answer: u8) -> CertificationSurvey {
        let mut answers = Answers::default();
        for at in 0..ITEMS {
            let choices = &items()[at].choices;
            let code = choices[usize::from(answer).min(choices.len() - 1)].0;
            assert!(answers.set_at(at, code));
        }
        CertificationSurvey {
            applied_on: date(2026, 10, 1),
            conducted: Conducted {
                on: date(2026, 10, 9),
                at: None,
                survey_place: SurveyPlace::Home,
                surveyor: "調査 見本子".into(),
                organization: "見本市役所".into(),
                office: None,
            },
            previous: None,
            subject: Identity {
                name: "架空 花子".into(),
                kana: "カクウ ハナコ".into(),
                birth: date(1941, 5, 3),
                sex: Sex::Female,
                postal_code: None,
                address: None,
                telephone: None,
            },
            contacts: None,
            services: ServicesInUse::default(),
            facility: None,
            surroundings: Surroundings::default(),
            answers,
            physical: Some(PhysicalIndependence::A1),
            dementia: Some(DementiaIndependence::Level2a),
            notes: Vec::new(),
            item_notes: Vec::new(),
        }
    }

    #[test]
    fn the_form_has_74_items_in_its_six_groups() {
        assert_eq!(items().len(), ITEMS);
        let counts = [1, 2, 3, 4, 5, 6].map(|group| items().iter().filter(|item| item.group == group).count());
        assert_eq!(counts, [20, 12, 9, 15, 6, 12]);
        for item in items() {
            assert!(item.code.starts_with(&format!("{}-", item.group)), "{}", item.code);
            let codes: Vec<u8> = item.choices.iter().map(|(code, _)| *code).collect();
            assert!(codes.len() >= 2 && codes.is_sorted() && codes[0] <= 1, "{}", item.code);
        }
        assert_eq!(note_items().len(), 13 + 12 + 9 + 15 + 6 + 12 + 2);
        assert_eq!((note_items()[1].as_str(), note_items()[12].as_str()), ("1-2", "1-13"));
        // 介助の方法 in group 1: 洗身 and つめ切り only.
        let assisted: Vec<_> =
            items().iter().filter(|i| i.group == 1 && i.axis == Axis::Assistance).map(|i| i.name).collect();
        assert_eq!(assisted, ["洗身", "つめ切り"]);
    }

    #[test]
    fn an_answer_must_be_one_of_the_choices() {
        let mut answers = Answers::default();
        assert!(answers.set("1-5", 4) && !answers.set("1-3", 4) && !answers.set("1-1-1", 2) && !answers.set("8-1", 1));
        assert_eq!((answers.get("1-5"), answers.get("1-3")), (Some(4), None));
        assert_eq!(serde_json::to_string(&answers).unwrap(), r#"{"1-5":4}"#);
        assert!(serde_json::from_str::<Answers>(r#"{"1-5":5}"#).is_err());
    }

    #[test]
    fn the_difference_from_the_time_before_is_told_item_by_item() {
        let before = survey(0);
        let mut now = before.clone();
        now.answers.set("1-7", 2);
        now.answers.set("1-10", 4);
        now.dementia = Some(DementiaIndependence::Medical);
        now.physical = Some(PhysicalIndependence::J2);
        let changes = now.changes_since(&before);
        let told: Vec<_> = changes.iter().map(|c| (c.item, c.before, c.after, c.direction)).collect();
        assert_eq!(
            told,
            [
                ("1-7", 1, 2, Direction::Worse),
                ("1-10", 1, 4, Direction::Other),
                ("7-1", 4, 3, Direction::Better),
                ("7-2", 3, 8, Direction::Other),
            ]
        );
        assert!(before.changes_since(&before).is_empty());
    }

    #[test]
    fn special_care_and_gaps_are_found() {
        let mut survey = survey(0);
        assert!(survey.special_care().is_empty() && survey.unanswered().is_empty());
        survey.answers.set("6-3", 1);
        assert_eq!(survey.special_care()[0].name, "透析");
        assert_eq!(CertificationSurvey { answers: Answers::default(), ..survey }.unanswered().len(), ITEMS);
    }

    #[test]
    fn a_survey_survives_json() {
        let survey = survey(1);
        let text = serde_json::to_string(&survey).unwrap();
        assert_eq!(serde_json::from_str::<CertificationSurvey>(&text).unwrap(), survey);
    }
}
