//! The 主治医意見書 as a form: every item of the paper once, in its order, with the place it has in the document. What is typed
//! is kept as it was typed; [`assemble`] makes the document of it and says what cannot be read.

use kiban_domain::dates::{DateError, PartialDate, parse_typed, wareki};
use kiban_domain::insured::{Identity, Sex};
use kiban_domain::physician_opinion::*;
use kiban_domain::{Date, OfficeNumber, PersonKey};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What stands in the fields of a chapter, by their names.
pub(super) type Typed = BTreeMap<String, Vec<String>>;

/// A field and what is wrong with it.
pub(super) type Fault = (&'static str, String);

/// The chapters, in the order of the paper: address, name.
pub(super) const CHAPTERS: [(&str, &str); 6] = [
    ("basics", "基本の情報"),
    ("illness", "1　傷病に関する意見"),
    ("care", "2　特別な医療"),
    ("condition", "3　心身の状態に関する意見"),
    ("life", "4　生活機能とサービスに関する意見"),
    ("remarks", "5　特記すべき事項"),
];

/// The choices of an item: code and words, and the way to and from the document.
#[derive(Clone, Copy)]
pub(super) struct Choices {
    all: fn() -> Vec<(&'static str, &'static str)>,
    value: fn(&str) -> Option<Value>,
    code: fn(&Value) -> Option<&'static str>,
}

macro_rules! choices {
    ($name:ident) => {
        Choices {
            all: || $name::ALL.iter().map(|one| (one.code(), one.name_ja())).collect(),
            value: |code| $name::from_code(code).and_then(|one| serde_json::to_value(one).ok()),
            code: |value| serde_json::from_value::<$name>(value.clone()).ok().map($name::code),
        }
    };
}

/// How an item is answered.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// One line.
    Line,
    /// Several lines.
    Text,
    /// A day.
    Day,
    /// A number with at most one decimal point.
    Measure,
    /// One of the choices, or none.
    One(Choices),
    /// Any of the choices.
    Many(Choices),
    /// A box to tick.
    Tick,
}

/// One item of the form.
pub(super) struct Field {
    /// Name of the field, and where the errors of the page lead.
    pub(super) name: &'static str,
    /// Its place in the document (JSON pointer); empty for what is put together by hand.
    at: &'static str,
    /// Its name on the paper, by which problems name it, too.
    pub(super) label: &'static str,
    pub(super) shape: Shape,
    /// Heading above it.
    pub(super) head: &'static str,
    pub(super) hint: &'static str,
    pub(super) is_required: bool,
    /// Belongs to one application: never carried over from the last opinion.
    is_of_application: bool,
}

impl Field {
    fn new(name: &'static str, at: &'static str, label: &'static str, shape: Shape) -> Self {
        Self { name, at, label, shape, head: "", hint: "", is_required: false, is_of_application: false }
    }

    fn head(self, head: &'static str) -> Self {
        Self { head, ..self }
    }

    fn hint(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    fn required(self) -> Self {
        Self { is_required: true, ..self }
    }

    fn of_application(self) -> Self {
        Self { is_of_application: true, ..self }
    }

    /// The choices: code and words.
    pub(super) fn choices(&self) -> Vec<(&'static str, &'static str)> {
        match self.shape {
            Shape::One(choices) | Shape::Many(choices) => (choices.all)(),
            _ => Vec::new(),
        }
    }

    /// What stands in it, in words.
    pub(super) fn words(&self, typed: &Typed) -> String {
        let all = self.choices();
        let name = |code: &String| match all.iter().find(|(one, _)| one == code) {
            Some((_, name)) => (*name).to_owned(),
            None => code.clone(),
        };
        let given: Vec<String> = typed.get(self.name).into_iter().flatten().map(name).collect();
        match self.shape {
            Shape::Tick if !given.is_empty() => "あり".to_owned(),
            _ => given.join("、"),
        }
    }
}

/// The items of a chapter.
pub(super) fn fields(chapter: &str) -> Vec<Field> {
    match chapter {
        "basics" => basics(),
        "illness" => illness(),
        "care" => care(),
        "condition" => [mind(), body()].into_iter().flatten().collect(),
        "life" => [life(), services()].into_iter().flatten().collect(),
        _ => vec![
            Field::new("remarks", "/remarks", "特記すべき事項", Shape::Text)
                .hint("要介護認定やケアプランに役立つ意見。4つ目からの診断名もここに書きます。"),
        ],
    }
}

const DAY_HINT: &str = "和暦でも西暦でも入れられます。例：令和8年11月20日、R8.11.20、2026-11-20";

fn basics() -> Vec<Field> {
    use Shape::*;
    vec![
        Field::new("applied_on", "/applied_on", "申請日", Day).hint(DAY_HINT).required().of_application(),
        Field::new("written_on", "/basics/written_on", "記入日", Day).required().of_application(),
        Field::new("last_examined_on", "/basics/last_examined_on", "最終診察日", Day)
            .hint("記入日か、それより前の日です。")
            .required()
            .of_application(),
        Field::new("count", "/count", "意見書作成回数", One(choices!(OpinionCount))).required().of_application(),
        Field::new("setting", "/request/setting", "種別", One(choices!(Setting))),
        Field::new("request_number", "/request/request_number", "依頼番号", Line)
            .hint("依頼書に番号があるとき。")
            .of_application(),
        Field::new("physician_name", "/basics/physician_name", "医師氏名", Line).head("医師・医療機関").required(),
        Field::new("physician_number", "/request/physician_number", "医師番号", Line)
            .hint("市区町村から番号を受けているとき。"),
        Field::new("institution_name", "/basics/institution_name", "医療機関名", Line).required(),
        Field::new("institution_postal_code", "/basics/institution_postal_code", "医療機関 郵便番号", Line),
        Field::new("institution_address", "/basics/institution_address", "医療機関 所在地", Line),
        Field::new("institution_telephone", "/basics/institution_telephone", "医療機関 電話", Line),
        Field::new("institution_fax", "/basics/institution_fax", "医療機関 FAX", Line),
        Field::new("other_departments", "/basics/other_departments", "他科受診の有無", One(choices!(Presence)))
            .head("他科受診"),
        Field::new("departments", "/basics/departments", "受診している科", Many(choices!(Department))),
        Field::new("other_department", "/basics/other_department", "他科受診 その他", Line).hint("6文字まで"),
    ]
}

const ONSET_HINT: &str = "例：令和6年9月、平成20年頃、不詳";

fn illness() -> Vec<Field> {
    use Shape::*;
    vec![
        Field::new("diagnosis1", "", "診断名1", Line)
            .head("(1) 診断名と発症年月日")
            .hint("特定疾病、または生活機能低下の直接の原因となっている傷病名")
            .required(),
        Field::new("onset1", "", "診断名1 発症年月日", Line).hint(ONSET_HINT),
        Field::new("diagnosis2", "", "診断名2", Line),
        Field::new("onset2", "", "診断名2 発症年月日", Line),
        Field::new("diagnosis3", "", "診断名3", Line),
        Field::new("onset3", "", "診断名3 発症年月日", Line),
        Field::new("stability", "/illness/stability", "症状としての安定性", One(choices!(Stability)))
            .head("(2) 症状としての安定性")
            .required(),
        Field::new("instability", "/illness/instability", "不安定とした場合の具体的な状況", Text),
        Field::new("course", "/illness/course", "経過及び投薬内容を含む治療内容", Text)
            .head("(3) 経過と治療")
            .hint("250文字まで。最近おおむね6か月で変化のあったものや、特定疾病についてはその診断の根拠も書きます。"),
    ]
}

fn care() -> Vec<Field> {
    use Shape::*;
    vec![
        Field::new("treatments", "/special_care/treatments", "処置内容", Many(choices!(MedicalTreatment)))
            .hint("過去14日間以内に受けた医療のすべて"),
        Field::new("responses", "/special_care/responses", "特別な対応", Many(choices!(SpecialResponse))),
        Field::new("catheter", "/special_care/catheter", "カテーテル（コンドームカテーテル、留置カテーテル等）", Tick)
            .head("失禁への対応"),
    ]
}

fn mind() -> Vec<Field> {
    use Shape::*;
    vec![
        Field::new(
            "physical",
            "/condition/physical",
            "障害高齢者の日常生活自立度（寝たきり度）",
            One(choices!(PhysicalIndependence)),
        )
        .head("(1) 日常生活の自立度等")
        .required(),
        Field::new(
            "dementia",
            "/condition/dementia",
            "認知症高齢者の日常生活自立度",
            One(choices!(DementiaIndependence)),
        )
        .required(),
        Field::new("memory", "/condition/short_term_memory", "短期記憶", One(choices!(ShortTermMemory)))
            .head("(2) 認知症の中核症状")
            .required(),
        Field::new(
            "decision",
            "/condition/decision_making",
            "日常の意思決定を行うための認知能力",
            One(choices!(DecisionMaking)),
        )
        .required(),
        Field::new("communication", "/condition/communication", "自分の意思の伝達能力", One(choices!(Communication)))
            .required(),
        Field::new(
            "behavioral",
            "/condition/behavioral",
            "認知症の行動・心理症状（BPSD）の有無",
            One(choices!(Presence)),
        )
        .head("(3) 認知症の行動・心理症状（BPSD）"),
        Field::new(
            "behavioral_symptoms",
            "/condition/behavioral_symptoms",
            "有の場合の内容",
            Many(choices!(BehavioralSymptom)),
        ),
        Field::new("behavioral_other", "/condition/behavioral_other", "BPSD その他", Line).hint("15文字まで"),
        Field::new("psychiatric", "/condition/psychiatric", "その他の精神・神経症状", One(choices!(Presence)))
            .head("(4) その他の精神・神経症状"),
        Field::new("psychiatric_name", "/condition/psychiatric_name", "その他の精神・神経症状 症状名", Line)
            .hint("30文字まで"),
        Field::new("specialist", "/condition/specialist", "専門医受診の有無", One(choices!(Presence))),
        Field::new("specialist_department", "/condition/specialist_department", "専門医 科名", Line),
    ]
}

fn body() -> Vec<Field> {
    use Shape::*;
    const MEASURE: &str = "数字で。小数点を使えます。";
    let mut fields = vec![
        Field::new("handedness", "/condition/body/handedness", "利き腕", One(choices!(Side))).head("(5) 身体の状態"),
        Field::new("height", "/condition/body/height_cm", "身長（cm）", Measure).hint(MEASURE),
        Field::new("weight", "/condition/body/weight_kg", "体重（kg）", Measure).hint(MEASURE),
        Field::new(
            "weight_change",
            "/condition/body/weight_change",
            "過去6か月の体重の変化",
            One(choices!(WeightChange)),
        ),
        Field::new("limb_loss", "/condition/body/limb_loss/is_marked", "四肢欠損", Tick),
        Field::new("limb_loss_part", "/condition/body/limb_loss/part", "四肢欠損 部位", Line),
        Field::new("palsy", "/condition/body/palsy/is_marked", "麻痺", Tick),
    ];
    macro_rules! limb {
        ($name:literal, $degree:literal, $at:literal, $label:literal) => {
            fields.extend([
                Field::new($name, concat!("/condition/body/palsy/", $at, "/is_marked"), concat!("麻痺 ", $label), Tick),
                Field::new(
                    $degree,
                    concat!("/condition/body/palsy/", $at, "/degree"),
                    concat!("麻痺 ", $label, " 程度"),
                    One(choices!(Degree)),
                ),
            ])
        };
    }
    macro_rules! finding {
        ($name:literal, $part:literal, $degree:literal, $at:literal, $label:literal) => {
            fields.extend([
                Field::new($name, concat!("/condition/body/", $at, "/is_marked"), $label, Tick),
                Field::new($part, concat!("/condition/body/", $at, "/part"), concat!($label, " 部位"), Line),
                Field::new(
                    $degree,
                    concat!("/condition/body/", $at, "/degree"),
                    concat!($label, " 程度"),
                    One(choices!(Degree)),
                ),
            ])
        };
    }
    limb!("right_arm", "right_arm_degree", "right_arm", "右上肢");
    limb!("left_arm", "left_arm_degree", "left_arm", "左上肢");
    limb!("right_leg", "right_leg_degree", "right_leg", "右下肢");
    limb!("left_leg", "left_leg_degree", "left_leg", "左下肢");
    finding!("palsy_other", "palsy_other_part", "palsy_other_degree", "palsy/other", "麻痺 その他");
    finding!("weakness", "weakness_part", "weakness_degree", "muscle_weakness", "筋力の低下");
    finding!("contracture", "contracture_part", "contracture_degree", "contracture", "関節の拘縮");
    finding!("joint_pain", "joint_pain_part", "joint_pain_degree", "joint_pain", "関節の痛み");
    fields.extend([
        Field::new("ataxia", "/condition/body/ataxia/is_marked", "失調・不随意運動", Tick),
        Field::new("ataxia_arms", "/condition/body/ataxia/arms", "失調・不随意運動 上肢", Many(choices!(Side))),
        Field::new("ataxia_legs", "/condition/body/ataxia/legs", "失調・不随意運動 下肢", Many(choices!(Side))),
        Field::new("ataxia_trunk", "/condition/body/ataxia/trunk", "失調・不随意運動 体幹", Many(choices!(Side))),
    ]);
    finding!("ulcer", "ulcer_part", "ulcer_degree", "pressure_ulcer", "褥瘡");
    finding!("skin", "skin_part", "skin_degree", "skin_disease", "その他の皮膚疾患");
    fields
}

fn life() -> Vec<Field> {
    use Shape::*;
    vec![
        Field::new("walking", "/daily_life/outdoor_walking", "屋外歩行", One(choices!(OutdoorWalking)))
            .head("(1) 移動"),
        Field::new("wheelchair", "/daily_life/wheelchair", "車いすの使用", One(choices!(Wheelchair))),
        Field::new("aids", "/daily_life/walking_aids", "歩行補助具・装具の使用", Many(choices!(WalkingAid))),
        Field::new("eating", "/daily_life/eating", "食事行為", One(choices!(Eating)))
            .head("(2) 栄養・食生活")
            .required(),
        Field::new("nutrition", "/daily_life/nutrition", "現在の栄養状態", One(choices!(Nutrition))),
        Field::new("nutrition_note", "/daily_life/nutrition_note", "栄養・食生活上の留意点", Text),
        Field::new("risks", "/daily_life/risks", "現在あるかまたは今後発生の可能性の高い状態", Many(choices!(Risk)))
            .head("(3) 発生の可能性の高い状態とその対処方針"),
        Field::new("other_risk", "/daily_life/other_risk", "その他の状態名", Line),
        Field::new("risk_policy", "/daily_life/risk_policy", "対処方針", Text).hint("140文字まで"),
        Field::new(
            "outlook",
            "/daily_life/outlook",
            "サービス利用による生活機能の維持・改善の見通し",
            One(choices!(Outlook)),
        )
        .head("(4) 見通し"),
    ]
}

fn services() -> Vec<Field> {
    use Shape::*;
    let mut fields = vec![
        Field::new("needs", "", "医学的管理の必要性", Many(choices!(MedicalService))).head("(5) 医学的管理の必要性"),
        Field::new("underlined", "", "特に必要性の高いサービス（下線）", Many(choices!(MedicalService)))
            .hint("上で選んだもののうち、特に必要性の高いもの"),
        Field::new("other_need", "/daily_life/other_medical_need", "その他の医療系サービス", Line),
    ];
    macro_rules! precaution {
        ($name:literal, $text:literal, $at:literal, $label:literal) => {
            fields.extend([
                Field::new(
                    $name,
                    concat!("/daily_life/precautions/", $at, "/need"),
                    concat!("留意事項 ", $label),
                    One(choices!(PrecautionNeed)),
                ),
                Field::new(
                    $text,
                    concat!("/daily_life/precautions/", $at, "/text"),
                    concat!("留意事項 ", $label, " 内容"),
                    Line,
                )
                .hint("30文字まで"),
            ])
        };
    }
    precaution!("pressure", "pressure_text", "blood_pressure", "血圧");
    precaution!("intake", "intake_text", "eating", "摂食");
    precaution!("swallowing", "swallowing_text", "swallowing", "嚥下");
    precaution!("mobility", "mobility_text", "mobility", "移動");
    precaution!("exercise", "exercise_text", "exercise", "運動");
    if let Some(first) = fields.iter_mut().find(|field| field.name == "pressure") {
        first.head = "(6) サービス提供時における医学的観点からの留意事項";
    }
    fields.extend([
        Field::new("precaution_other", "/daily_life/precautions/other", "留意事項 その他", Line).hint("50文字まで"),
        Field::new("nothing", "/daily_life/precautions/nothing_particular", "特記すべき項目なし", Tick),
        Field::new("infection", "/daily_life/infection", "感染症の有無", One(choices!(Infection))).head("(7) 感染症"),
        Field::new("infection_name", "/daily_life/infection_name", "感染症 具体", Line),
    ]);
    fields
}

/// Chapter and field of the item a problem names.
pub(super) fn place_of(item: &str) -> Option<(&'static str, &'static str)> {
    CHAPTERS.iter().find_map(|(chapter, _)| {
        let all = fields(chapter);
        all.iter().find(|field| field.label == item).map(|field| (*chapter, field.name))
    })
}

/// A document as the form shows it, chapter by chapter.
pub(super) fn typed_of(opinion: &PhysicianOpinion) -> BTreeMap<String, Typed> {
    let document = serde_json::to_value(opinion).unwrap_or_default();
    let chapter = |name: &str| {
        let all = fields(name).into_iter();
        all.filter_map(|field| Some((field.name.to_owned(), read(&field, opinion, &document)?))).collect()
    };
    CHAPTERS.iter().map(|(name, _)| ((*name).to_owned(), chapter(name))).collect()
}

/// The same without what belongs to one application only.
pub(super) fn carried(opinion: &PhysicianOpinion) -> BTreeMap<String, Typed> {
    let mut all = typed_of(opinion);
    for (chapter, typed) in &mut all {
        for field in fields(chapter).iter().filter(|field| field.is_of_application) {
            typed.remove(field.name);
        }
    }
    all
}

/// What stands in a field, if anything does.
fn read(field: &Field, opinion: &PhysicianOpinion, document: &Value) -> Option<Vec<String>> {
    if field.at.is_empty() {
        return Some(read_by_hand(field.name, opinion)).filter(|values| !values.is_empty());
    }
    let value = document.pointer(field.at)?;
    let values: Vec<String> = match field.shape {
        Shape::Line | Shape::Text | Shape::Measure => value.as_str().map(str::to_owned).into_iter().collect(),
        Shape::Day => value.as_str().and_then(|day| day.parse().ok()).map(wareki).into_iter().collect(),
        Shape::One(choices) => (choices.code)(value).map(str::to_owned).into_iter().collect(),
        Shape::Many(choices) => value.as_array()?.iter().filter_map(choices.code).map(str::to_owned).collect(),
        Shape::Tick => value.as_bool().filter(|set| *set).map(|_| "yes".to_owned()).into_iter().collect(),
    };
    Some(values).filter(|values| values.iter().any(|value| !value.is_empty()))
}

/// Diagnoses and services, which are more than a field each.
fn read_by_hand(name: &str, opinion: &PhysicianOpinion) -> Vec<String> {
    let diagnosis = |place: usize| opinion.illness.diagnoses.get(place).and_then(Option::as_ref);
    let name_of = |place| diagnosis(place).map(|one| one.name.clone()).into_iter().collect();
    let onset = |place| {
        let onset = diagnosis(place).and_then(|one| one.onset.as_ref());
        onset.map(|onset| onset.text.clone()).into_iter().collect()
    };
    let needs = opinion.daily_life.medical_needs.iter();
    let code = |need: &MedicalNeed| need.service.code().to_owned();
    match name {
        "diagnosis1" => name_of(0),
        "diagnosis2" => name_of(1),
        "diagnosis3" => name_of(2),
        "onset1" => onset(0),
        "onset2" => onset(1),
        "onset3" => onset(2),
        "needs" => needs.map(code).collect(),
        "underlined" => needs.filter(|need| need.is_underlined).map(code).collect(),
        _ => Vec::new(),
    }
}

/// What of a document is not typed: about whom, by which hospital, asked by whom.
pub(super) struct Given {
    pub(super) person: PersonKey,
    pub(super) office: OfficeNumber,
    pub(super) card_insurer: kiban_domain::InsurerNumber,
    pub(super) insurer_name: Option<String>,
    pub(super) requested_on: Option<Date>,
    pub(super) applicant: Identity,
    /// 医師の同意 of the one that was sent back; the form of the screen has no such item.
    pub(super) physician_consent: Option<PhysicianConsent>,
}

/// The document of what is typed, and what of it cannot be read; without a document when that keeps it from being one.
pub(super) fn assemble(
    chapters: &BTreeMap<String, Typed>,
    given: Given,
    today: Date,
) -> (Option<PhysicianOpinion>, Vec<Fault>) {
    let (mut faults, physician_consent) = (Vec::new(), given.physician_consent);
    let Ok(mut document) = serde_json::to_value(blank(given, today)) else { return (None, faults) };
    let none = Typed::new();
    for (chapter, _) in CHAPTERS {
        let typed = chapters.get(chapter).unwrap_or(&none);
        for field in fields(chapter) {
            if let Err(fault) = write(&field, typed, &mut document) {
                faults.push((field.name, fault));
            }
        }
    }
    let Ok(mut opinion) = serde_json::from_value::<PhysicianOpinion>(document) else { return (None, faults) };
    let all = |name: &str| -> Vec<String> {
        chapters.values().filter_map(|typed| typed.get(name)).flatten().map(|text| text.trim().to_owned()).collect()
    };
    for (place, (name, onset)) in
        [("diagnosis1", "onset1"), ("diagnosis2", "onset2"), ("diagnosis3", "onset3")].into_iter().enumerate()
    {
        opinion.illness.diagnoses[place] = diagnosis(all(name).concat(), all(onset).concat());
    }
    let underlined = all("underlined");
    let needs = all("needs").into_iter().filter_map(|code| {
        let is_underlined = underlined.contains(&code);
        MedicalService::from_code(&code).map(|service| MedicalNeed { service, is_underlined })
    });
    opinion.daily_life.medical_needs = needs.collect();
    if underlined.iter().any(|code| !all("needs").contains(code)) {
        faults.push(("underlined", "「医学的管理の必要性」でも選んでください".to_owned()));
    }
    if opinion.basics.written_on < REVISED_ON {
        opinion.form = OpinionForm::Form2006 { physician_consent };
    }
    opinion.basics.age =
        u8::try_from(kiban_domain::dates::age_on(opinion.basics.applicant.birth, opinion.basics.written_on)).ok();
    (Some(opinion), faults)
}

fn diagnosis(name: String, onset: String) -> Option<Diagnosis> {
    let onset = (!onset.is_empty()).then(|| PartialDate::of_text(onset));
    (!name.is_empty() || onset.is_some()).then_some(Diagnosis { name, onset })
}

/// Puts what is typed into its place; what is wrong with it.
fn write(field: &Field, typed: &Typed, document: &mut Value) -> Result<(), String> {
    let Some(place) = document.pointer_mut(field.at).filter(|_| !field.at.is_empty()) else { return Ok(()) };
    let values = typed.get(field.name).map(Vec::as_slice).unwrap_or_default();
    let text = values.first().map(|text| text.trim().replace("\r\n", "\n")).unwrap_or_default();
    let must_be_there = place.is_string();
    *place = match field.shape {
        Shape::Line | Shape::Text if text.is_empty() && !must_be_there => Value::Null,
        Shape::Line | Shape::Text => Value::String(text),
        Shape::Day | Shape::One(_) if text.is_empty() && must_be_there => {
            return Err(format!("{}を入れてください", field.label));
        }
        Shape::Day | Shape::One(_) | Shape::Measure if text.is_empty() => Value::Null,
        Shape::Day => json!(parse_typed(&text).map_err(|error: DateError| error.message_ja())?),
        Shape::Measure => {
            let plain: String = text.chars().map(half_width).collect();
            let told = || format!("5文字までの数字です（小数点は1つまで）。いまは「{text}」です");
            json!(Measure::parse(&plain).ok_or_else(told)?)
        }
        Shape::One(choices) => (choices.value)(&text).ok_or_else(|| "もう一度選んでください".to_owned())?,
        Shape::Many(choices) => Value::Array(values.iter().filter_map(|code| (choices.value)(code)).collect()),
        Shape::Tick => Value::Bool(!text.is_empty()),
    };
    Ok(())
}

/// ５ as 5 and ．as a point.
fn half_width(c: char) -> char {
    match c {
        '０'..='９' => char::from_u32(u32::from(c) - u32::from('０') + u32::from('0')).unwrap_or(c),
        '．' => '.',
        other => other,
    }
}

/// A document in which nothing is answered yet.
fn blank(given: Given, today: Date) -> PhysicianOpinion {
    let Given { person, office, card_insurer, insurer_name, requested_on, applicant, .. } = given;
    PhysicianOpinion {
        person,
        institution: office,
        applied_on: today,
        count: OpinionCount::First,
        form: OpinionForm::Form2026,
        request: OpinionRequest {
            software: None,
            file_key: None,
            card_insurer,
            insurer_name,
            requested_on,
            sent_on: None,
            request_number: None,
            physician_number: None,
            setting: None,
        },
        basics: Basics {
            written_on: today,
            applicant,
            age: None,
            physician_name: String::new(),
            institution_name: String::new(),
            institution_postal_code: None,
            institution_address: None,
            institution_telephone: None,
            institution_fax: None,
            last_examined_on: None,
            other_departments: None,
            departments: Vec::new(),
            other_department: None,
        },
        illness: Illness { diagnoses: [None, None, None], stability: None, instability: None, course: None },
        special_care: SpecialCare::default(),
        condition: Condition::default(),
        daily_life: DailyLife::default(),
        remarks: None,
    }
}

/// The applicant as the platform knows them.
pub(super) fn applicant(identity: &Value) -> Option<Identity> {
    let text = |name: &str| identity[name].as_str().map(str::to_owned);
    Some(Identity {
        name: text("name")?,
        kana: text("kana")?,
        birth: text("birth")?.parse().ok()?,
        sex: serde_json::from_value::<Sex>(identity["sex"].clone()).ok()?,
        postal_code: text("postal_code"),
        address: text("address"),
        telephone: text("telephone"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn opinion() -> PhysicianOpinion {
        let person = PersonKey { insurer: "232074".parse().unwrap(), insured: "0001234567".parse().unwrap() };
        PhysicianOpinion::example(person, "2312345678".parse().unwrap(), "2026-10-08".parse().unwrap())
    }

    fn given(opinion: &PhysicianOpinion) -> Given {
        Given {
            person: opinion.person,
            office: opinion.institution,
            card_insurer: opinion.request.card_insurer,
            insurer_name: opinion.request.insurer_name.clone(),
            requested_on: opinion.request.requested_on,
            applicant: opinion.basics.applicant.clone(),
            physician_consent: opinion.physician_consent(),
        }
    }

    #[test]
    fn every_item_of_a_document_comes_back_from_the_form_as_it_was() {
        let mut whole = opinion();
        whole.request.software = None;
        let today = "2026-12-01".parse().unwrap();
        let (again, faults) = assemble(&typed_of(&whole), given(&whole), today);
        assert_eq!((again, faults), (Some(whole), Vec::new()));
    }

    #[test]
    fn every_answer_of_the_document_has_a_field_that_changes_it() {
        // What is not typed: about whom, by whom, asked by whom, and the file it came in.
        const NOT_TYPED: [&str; 7] = ["person", "institution", "form", "software", "file_key", "applicant", "age"];
        let whole = serde_json::to_value(opinion()).unwrap();
        let places: Vec<&str> = CHAPTERS.iter().flat_map(|(one, _)| fields(one)).map(|field| field.at).collect();
        let by_hand = ["/illness/diagnoses", "/daily_life/medical_needs"];
        let request = ["/request/card_insurer", "/request/insurer_name", "/request/requested_on", "/request/sent_on"];
        // 四肢欠損 has no degree on the form.
        let not_asked = "/condition/body/limb_loss/degree";
        let mut missing = Vec::new();
        leaves(&whole, String::new(), &mut missing);
        missing.retain(|at| {
            at != not_asked
                && !places.contains(&at.as_str())
                && !at.split('/').any(|part| NOT_TYPED.contains(&part))
                && !by_hand.iter().chain(&request).any(|known| at.starts_with(known))
        });
        assert_eq!(missing, Vec::<String>::new());
    }

    /// Places of the values that are no object.
    fn leaves(value: &Value, at: String, found: &mut Vec<String>) {
        match value {
            Value::Object(items) => {
                items.iter().for_each(|(name, item)| leaves(item, format!("{at}/{name}"), found));
            }
            _ => found.push(at),
        }
    }

    #[test]
    fn a_field_has_one_name_in_the_whole_form() {
        let names: Vec<&str> = CHAPTERS.iter().flat_map(|(one, _)| fields(one)).map(|field| field.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn what_cannot_be_read_is_told_at_its_field_and_the_rest_is_kept() {
        let mut typed = typed_of(&opinion());
        typed.get_mut("condition").unwrap().insert("weight".to_owned(), vec!["46キロ".to_owned()]);
        typed.get_mut("basics").unwrap().insert("written_on".to_owned(), vec!["きのう".to_owned()]);
        typed.get_mut("life").unwrap().insert("underlined".to_owned(), vec!["1".to_owned()]);
        let (again, faults) = assemble(&typed, given(&opinion()), "2026-12-01".parse().unwrap());
        let names: Vec<&str> = faults.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["written_on", "weight", "underlined"]);
        assert_eq!(again.unwrap().illness, opinion().illness);
        let (none, faults) = assemble(&BTreeMap::new(), given(&opinion()), "2026-12-01".parse().unwrap());
        let names: Vec<&str> = faults.iter().map(|(name, _)| *name).collect();
        assert_eq!((none.is_some(), names), (true, vec!["applied_on", "written_on", "count"]));
    }

    #[test]
    fn days_and_numbers_of_the_application_are_not_carried_over() {
        let typed = carried(&opinion());
        for name in ["applied_on", "written_on", "last_examined_on", "count", "request_number"] {
            assert!(!typed["basics"].contains_key(name), "{name}");
        }
        assert_eq!(typed["illness"]["diagnosis1"], ["脳梗塞後遺症"]);
    }
}
