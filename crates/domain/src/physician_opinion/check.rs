//! What is wrong with a 主治医意見書, item by item, in the words of the form.
//!
//! A [`Severity::Fault`] keeps the document from being sent. A [`Severity::Note`] is worth a second look, but real documents
//! may be right with it, so it never refuses anything.

use super::*;
use crate::dates::{age_on, wareki};
use unicode_normalization::UnicodeNormalization;

/// How much a problem weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Must be put right.
    Fault,
    /// Should be looked at again.
    Note,
}

/// One problem of one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemProblem {
    /// How much it weighs.
    pub severity: Severity,
    /// Name of the item on the form.
    pub item: String,
    /// What was found. May quote the document: for its sender only, never for a log.
    pub found: String,
    /// What is expected instead.
    pub expected: String,
}

impl ItemProblem {
    /// One sentence for the sender.
    pub fn message_ja(&self) -> String {
        format!("{}：{}。{}", self.item, self.found, self.expected)
    }
}

/// 特定疾病, the sixteen of the law (介護保険法施行令 第2条) with words by which a diagnosis shows one.
#[doc(alias = "特定疾病")]
pub const SPECIFIED_DISEASES: [(&str, &[&str]); 16] = [
    ("がん（回復の見込みがない状態）", &["がん", "癌", "悪性", "肉腫", "白血病"]),
    ("関節リウマチ", &["リウマチ"]),
    ("筋萎縮性側索硬化症", &["筋萎縮性側索硬化", "ALS"]),
    ("後縦靱帯骨化症", &["後縦靱帯骨化", "後縦靭帯骨化"]),
    ("骨折を伴う骨粗鬆症", &["骨粗鬆症", "骨粗しょう症"]),
    ("初老期における認知症", &["認知症", "アルツハイマー"]),
    ("進行性核上性麻痺、大脳皮質基底核変性症及びパーキンソン病", &["核上性麻痺", "皮質基底核変性", "パーキンソン"]),
    ("脊髄小脳変性症", &["脊髄小脳変性"]),
    ("脊柱管狭窄症", &["脊柱管狭窄"]),
    ("早老症", &["早老症", "ウェルナー"]),
    ("多系統萎縮症", &["多系統萎縮"]),
    ("糖尿病性神経障害、糖尿病性腎症及び糖尿病性網膜症", &["糖尿病"]),
    ("脳血管疾患", &["脳血管", "脳梗塞", "脳出血", "脳内出血", "くも膜下出血"]),
    ("閉塞性動脈硬化症", &["閉塞性動脈硬化"]),
    ("慢性閉塞性肺疾患", &["慢性閉塞性肺", "COPD", "肺気腫"]),
    ("両側の膝関節又は股関節に著しい変形を伴う変形性関節症", &["変形性膝関節", "変形性股関節", "変形性関節"]),
];

impl PhysicianOpinion {
    /// Everything the form itself shows to be wrong, in the order of the form; empty when nothing is.
    pub fn problems(&self) -> Vec<ItemProblem> {
        let mut check = Check::default();
        check.basics(self);
        check.illness(self);
        check.condition(&self.condition);
        check.body(&self.condition.body);
        check.daily_life(&self.daily_life);
        check.services(self);
        check.precautions(&self.daily_life.precautions);
        check.problems
    }
}

#[derive(Default)]
struct Check {
    problems: Vec<ItemProblem>,
}

/// Text that says something.
fn filled(text: &Option<String>) -> bool {
    text.as_deref().is_some_and(|t| !t.trim().is_empty())
}

impl Check {
    fn add(&mut self, severity: Severity, item: &str, found: impl Into<String>, expected: impl Into<String>) {
        self.problems.push(ItemProblem {
            severity,
            item: item.to_owned(),
            found: found.into(),
            expected: expected.into(),
        });
    }

    fn fault(&mut self, item: &str, found: impl Into<String>, expected: impl Into<String>) {
        self.add(Severity::Fault, item, found, expected);
    }

    fn note(&mut self, item: &str, found: impl Into<String>, expected: impl Into<String>) {
        self.add(Severity::Note, item, found, expected);
    }

    fn max(&mut self, item: &str, text: &Option<String>, max: usize) {
        let count = text.as_deref().map_or(0, |t| t.chars().filter(|c| !c.is_control()).count());
        if count > max {
            self.fault(item, format!("{count}文字あります"), format!("{max}文字以内で記入してください"));
        }
    }

    fn chosen<T>(&mut self, item: &str, answer: &Option<T>) {
        if answer.is_none() {
            self.fault(item, "選択されていません", "一次判定に使う項目です。いずれかを選択してください");
        }
    }

    fn required(&mut self, item: &str, text: &str) {
        if text.trim().is_empty() {
            self.fault(item, "記入されていません", "記入してください");
        }
    }

    /// `text` has to be there because of `reason`.
    fn text_for(&mut self, item: &str, reason: &str, applies: bool, text: &Option<String>) {
        if applies && !filled(text) {
            self.fault(item, format!("{reason}が選択されていますが、内容がありません"), "内容を記入してください");
        }
    }

    /// 有・無 and what follows from it.
    fn presence(&mut self, item: &str, answer: Option<Presence>, has_details: bool) {
        match answer {
            Some(Presence::Absent) if has_details => {
                self.fault(item, "「無」ですが、内訳が記入されています", "「有」にするか、内訳を消してください");
            }
            None if has_details => {
                self.fault(item, "内訳がありますが、有無が選択されていません", "「有」を選択してください");
            }
            Some(Presence::Present) if !has_details => {
                self.note(item, "「有」ですが、内訳がありません", "内訳を記入してください");
            }
            _ => {}
        }
    }

    fn basics(&mut self, opinion: &PhysicianOpinion) {
        let basics = &opinion.basics;
        self.required("申請者 氏名", &basics.applicant.name);
        self.required("申請者 ふりがな", &basics.applicant.kana);
        self.required("医師氏名", &basics.physician_name);
        self.required("医療機関名", &basics.institution_name);
        self.dates(opinion);
        self.consent(opinion);
        let has_details = !basics.departments.is_empty() || filled(&basics.other_department);
        self.presence("他科受診の有無", basics.other_departments, has_details);
        let other = basics.departments.contains(&Department::Other);
        self.text_for("他科受診 その他", "「その他」", other, &basics.other_department);
        self.max("他科受診 その他", &basics.other_department, 6);
    }

    fn dates(&mut self, opinion: &PhysicianOpinion) {
        let basics = &opinion.basics;
        let written = basics.written_on;
        if basics.applicant.birth > written {
            self.fault("生年月日", format!("記入日（{}）より後です", wareki(written)), "生年月日を確認してください");
        }
        match basics.last_examined_on {
            None => self.fault("最終診察日", "記入されていません", "記入日以前の日付を記入してください"),
            Some(seen) if seen > written => self.fault(
                "最終診察日",
                format!("{}は記入日（{}）より後です", wareki(seen), wareki(written)),
                "記入日以前の日付を記入してください",
            ),
            Some(_) => {}
        }
        // An applicant may bring an opinion written beforehand (P-135), so the order is only worth a look.
        if written < opinion.applied_on {
            self.note(
                "記入日",
                format!("申請日（{}）より前です", wareki(opinion.applied_on)),
                "申請日と記入日に誤りがないか確認してください",
            );
        }
        let age = age_on(basics.applicant.birth, written);
        if basics.age.is_some_and(|a| (i16::from(a) - age).abs() > 1) {
            self.fault("年齢", "生年月日と合いません", format!("生年月日からは{age}歳です。確認してください"));
        }
    }

    fn consent(&mut self, opinion: &PhysicianOpinion) {
        let has_answer = matches!(opinion.form, OpinionForm::Form2006 { physician_consent: Some(_) });
        if has_answer && opinion.basics.written_on >= REVISED_ON {
            self.note(
                "医師の同意",
                "令和8年4月1日以降に記入した意見書に記載があります",
                "この欄は廃止されたため、読み取りません",
            );
        }
    }

    fn illness(&mut self, opinion: &PhysicianOpinion) {
        let illness = &opinion.illness;
        for (number, diagnosis) in illness.diagnoses.iter().enumerate() {
            let has_name = diagnosis.as_ref().is_some_and(|d| !d.name.trim().is_empty());
            if !has_name && (number == 0 || diagnosis.is_some()) {
                self.fault(&format!("診断名{}", number + 1), "記入されていません", "診断名を記入してください");
            }
        }
        self.specified_disease(opinion);
        self.chosen("症状としての安定性", &illness.stability);
        let unstable = illness.stability == Some(Stability::Unstable);
        self.text_for("不安定とした場合の具体的な状況", "「不安定」", unstable, &illness.instability);
        self.max("経過及び投薬内容を含む治療内容", &illness.course, 250);
    }

    /// For 第2号 (40–64) the first diagnosis has to be a 特定疾病. Told by words only, hence a note.
    fn specified_disease(&mut self, opinion: &PhysicianOpinion) {
        let age = age_on(opinion.basics.applicant.birth, opinion.applied_on);
        let Some(diagnosis) = &opinion.illness.diagnoses[0] else { return };
        let name: String = diagnosis.name.nfkc().collect();
        let is_one = SPECIFIED_DISEASES.iter().any(|(_, words)| words.iter().any(|word| name.contains(word)));
        if age < 65 && !is_one {
            self.note(
                "診断名1",
                format!("申請日に{age}歳ですが、特定疾病と読み取れません"),
                "第2号被保険者の場合は、特定疾病の名称を診断名1に記入してください",
            );
        }
    }

    fn condition(&mut self, condition: &Condition) {
        self.chosen("障害高齢者の日常生活自立度（寝たきり度）", &condition.physical);
        self.chosen("認知症高齢者の日常生活自立度", &condition.dementia);
        self.chosen("短期記憶", &condition.short_term_memory);
        self.chosen("日常の意思決定を行うための認知能力", &condition.decision_making);
        self.chosen("自分の意思の伝達能力", &condition.communication);
        let symptoms = &condition.behavioral_symptoms;
        let has_details = !symptoms.is_empty() || filled(&condition.behavioral_other);
        self.presence("認知症の行動・心理症状（BPSD）の有無", condition.behavioral, has_details);
        let other = symptoms.contains(&BehavioralSymptom::Other);
        self.text_for("BPSD その他", "「その他」", other, &condition.behavioral_other);
        self.max("BPSD その他", &condition.behavioral_other, 15);
        self.presence("その他の精神・神経症状", condition.psychiatric, filled(&condition.psychiatric_name));
        self.max("その他の精神・神経症状 症状名", &condition.psychiatric_name, 30);
        self.presence("専門医受診の有無", condition.specialist, filled(&condition.specialist_department));
    }

    fn body(&mut self, body: &Body) {
        let findings = [
            ("四肢欠損", &body.limb_loss),
            ("麻痺 その他", &body.palsy.other),
            ("筋力の低下", &body.muscle_weakness),
            ("関節の拘縮", &body.contracture),
            ("関節の痛み", &body.joint_pain),
            ("褥瘡", &body.pressure_ulcer),
            ("その他の皮膚疾患", &body.skin_disease),
        ];
        for (item, finding) in findings {
            if !finding.is_marked && (filled(&finding.part) || finding.degree.is_some()) {
                self.note(item, "チェックがありませんが、部位または程度があります", "チェックの有無を確認してください");
            }
            if finding.is_marked && !filled(&finding.part) {
                self.note(item, "部位がありません", "部位を記入してください");
            }
        }
        let palsy = &body.palsy;
        let limbs = [palsy.right_arm, palsy.left_arm, palsy.right_leg, palsy.left_leg];
        if !palsy.is_marked && (limbs.iter().any(|limb| limb.is_marked) || palsy.other.is_marked) {
            self.note("麻痺", "チェックがありませんが、部位が選択されています", "チェックの有無を確認してください");
        }
        let ataxia = &body.ataxia;
        let has_part = [&ataxia.arms, &ataxia.legs, &ataxia.trunk].iter().any(|sides| !sides.is_empty());
        if !ataxia.is_marked && has_part {
            self.note(
                "失調・不随意運動",
                "チェックがありませんが、部位が選択されています",
                "チェックの有無を確認してください",
            );
        }
    }

    fn daily_life(&mut self, life: &DailyLife) {
        if life.walking_aids.contains(&WalkingAid::NotUsed) && life.walking_aids.len() > 1 {
            self.fault(
                "歩行補助具・装具の使用",
                "「用いていない」と使用場所の両方が選択されています",
                "どちらかにしてください",
            );
        }
        self.chosen("食事行為", &life.eating);
        self.text_for("その他の状態名", "「その他」", life.risks.contains(&Risk::Other), &life.other_risk);
        self.max("対処方針", &life.risk_policy, 140);
        let infected = life.infection == Some(Infection::Present);
        self.text_for("感染症 具体", "「有」", infected, &life.infection_name);
    }

    fn services(&mut self, opinion: &PhysicianOpinion) {
        const ITEM: &str = "医学的管理の必要性";
        let needs = &opinion.daily_life.medical_needs;
        let other = needs.iter().any(|need| need.service == MedicalService::Other);
        self.text_for(
            "その他の医療系サービス",
            "「その他の医療系サービス」",
            other,
            &opinion.daily_life.other_medical_need,
        );
        let none = needs.iter().any(|need| need.service == MedicalService::NothingParticular);
        if none && needs.len() > 1 {
            self.fault(ITEM, "「特記すべき項目なし」とサービスの両方が選択されています", "どちらかにしてください");
        }
        for (i, need) in needs.iter().enumerate() {
            if needs[..i].iter().any(|earlier| earlier.service == need.service) {
                let found = format!("「{}」が2回選択されています", need.service.name_ja());
                self.fault(ITEM, found, "1回だけ選択してください");
            }
        }
    }

    fn precautions(&mut self, precautions: &Precautions) {
        let lines = [
            ("留意事項 血圧", &precautions.blood_pressure),
            ("留意事項 摂食", &precautions.eating),
            ("留意事項 嚥下", &precautions.swallowing),
            ("留意事項 移動", &precautions.mobility),
            ("留意事項 運動", &precautions.exercise),
        ];
        for (item, line) in lines {
            let needed = line.need == Some(PrecautionNeed::Needed);
            if line.need == Some(PrecautionNeed::NothingParticular) && filled(&line.text) {
                self.fault(
                    item,
                    "「特になし」ですが、内容が記入されています",
                    "「あり」にするか、内容を消してください",
                );
            }
            if needed && !filled(&line.text) {
                self.note(item, "「あり」ですが、内容がありません", "内容を記入してください");
            }
            if needed && precautions.nothing_particular {
                self.fault(item, "「特記すべき項目なし」と「あり」の両方が選択されています", "どちらかにしてください");
            }
            self.max(item, &line.text, 30);
        }
        self.max("留意事項 その他", &precautions.other, 50);
    }
}
