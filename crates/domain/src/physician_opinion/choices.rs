//! The choices of the 主治医意見書 form: one enum per item, with the code of the file format and the words of the form.
//! `ALL` is in the order of the form, so a bit string of the file has one character per entry of `ALL`.

choices! {
    /// 種別: where the person lives.
    #[doc(alias = "種別")]
    Setting {
        Home "1" "在宅",
        Facility "2" "施設",
    }

    /// 医師の同意 to use in care plans; abolished on 2026-04-01.
    #[doc(alias = "医師の同意")]
    PhysicianConsent {
        Agrees "1" "同意する",
        Refuses "2" "同意しない",
    }

    /// 意見書作成回数.
    #[doc(alias = "作成回数")]
    OpinionCount {
        First "1" "初回",
        Repeated "2" "２回目以上",
    }

    /// 有・無.
    Presence {
        Present "1" "有",
        Absent "2" "無",
    }

    /// 他科受診 の科目.
    #[doc(alias = "他科受診")]
    Department {
        InternalMedicine "1" "内科",
        Psychiatry "2" "精神科",
        Surgery "3" "外科",
        Orthopedics "4" "整形外科",
        Neurosurgery "5" "脳神経外科",
        Dermatology "6" "皮膚科",
        Urology "7" "泌尿器科",
        Gynecology "8" "婦人科",
        Ophthalmology "9" "眼科",
        Otolaryngology "10" "耳鼻咽喉科",
        Rehabilitation "11" "リハビリテーション科",
        Dentistry "12" "歯科",
        Other "13" "その他",
    }

    /// 症状としての安定性.
    #[doc(alias = "症状としての安定性")]
    Stability {
        Stable "1" "安定",
        Unstable "2" "不安定",
        Unknown "3" "不明",
    }

    /// 特別な医療 (過去14日間以内) の処置内容.
    #[doc(alias = "特別な医療")]
    MedicalTreatment {
        Infusion "1" "点滴の管理",
        CentralVenousNutrition "2" "中心静脈栄養",
        Dialysis "3" "透析",
        StomaCare "4" "ストーマの処置",
        OxygenTherapy "5" "酸素療法",
        Respirator "6" "レスピレーター",
        TracheostomyCare "7" "気管切開の処置",
        PainNursing "8" "疼痛の看護",
        TubeFeeding "9" "経管栄養",
    }

    /// 特別な医療 (過去14日間以内) の特別な対応.
    SpecialResponse {
        Monitoring "1" "モニター測定（血圧、心拍、酸素飽和度等）",
        PressureUlcerCare "2" "褥瘡の処置",
    }

    /// 障害高齢者の日常生活自立度（寝たきり度）.
    #[doc(alias = "障害高齢者の日常生活自立度")]
    #[doc(alias = "寝たきり度")]
    PhysicalIndependence {
        Independent "1" "自立",
        J1 "2" "J1",
        J2 "3" "J2",
        A1 "4" "A1",
        A2 "5" "A2",
        B1 "6" "B1",
        B2 "7" "B2",
        C1 "8" "C1",
        C2 "9" "C2",
    }

    /// 認知症高齢者の日常生活自立度.
    #[doc(alias = "認知症高齢者の日常生活自立度")]
    DementiaIndependence {
        Independent "1" "自立",
        Level1 "2" "Ⅰ",
        Level2a "3" "Ⅱa",
        Level2b "4" "Ⅱb",
        Level3a "5" "Ⅲa",
        Level3b "6" "Ⅲb",
        Level4 "7" "Ⅳ",
        Medical "8" "M",
    }

    /// 短期記憶.
    #[doc(alias = "短期記憶")]
    ShortTermMemory {
        NoProblem "1" "問題なし",
        Problem "2" "問題あり",
    }

    /// 日常の意思決定を行うための認知能力.
    #[doc(alias = "認知能力")]
    DecisionMaking {
        Independent "1" "自立",
        SomeDifficulty "2" "いくらか困難",
        NeedsSupervision "3" "見守りが必要",
        Unable "4" "判断できない",
    }

    /// 自分の意思の伝達能力.
    #[doc(alias = "意思の伝達能力")]
    Communication {
        Able "1" "伝えられる",
        SomeDifficulty "2" "いくらか困難",
        ConcreteRequestsOnly "3" "具体的要求に限られる",
        Unable "4" "伝えられない",
    }

    /// 認知症の行動・心理症状（BPSD） の内訳.
    #[doc(alias = "BPSD")]
    #[doc(alias = "認知症の行動・心理症状")]
    BehavioralSymptom {
        Hallucination "1" "幻視・幻聴",
        Delusion "2" "妄想",
        DayNightReversal "3" "昼夜逆転",
        VerbalAbuse "4" "暴言",
        Violence "5" "暴行",
        ResistanceToCare "6" "介護への抵抗",
        Wandering "7" "徘徊",
        CarelessFire "8" "火の不始末",
        UncleanBehavior "9" "不潔行為",
        Pica "10" "異食行動",
        SexualBehavior "11" "性的問題行動",
        Other "12" "その他",
    }

    /// 右・左, of 利き腕 and 失調.
    Side {
        Right "1" "右",
        Left "2" "左",
    }

    /// 過去6か月の体重の変化.
    WeightChange {
        Increased "1" "増加",
        Unchanged "2" "維持",
        Decreased "3" "減少",
    }

    /// 程度.
    Degree {
        Mild "1" "軽",
        Moderate "2" "中",
        Severe "3" "重",
    }

    /// 屋外歩行.
    #[doc(alias = "屋外歩行")]
    OutdoorWalking {
        Independent "1" "自立",
        WithAssistance "2" "介助があればしている",
        NotDone "3" "していない",
    }

    /// 車いすの使用.
    #[doc(alias = "車いす")]
    Wheelchair {
        NotUsed "1" "用いていない",
        MainlySelf "2" "主に自分で操作している",
        MainlyOthers "3" "主に他人が操作している",
    }

    /// 歩行補助具・装具の使用.
    #[doc(alias = "歩行補助具")]
    WalkingAid {
        NotUsed "1" "用いていない",
        Outdoors "2" "屋外で使用",
        Indoors "3" "屋内で使用",
    }

    /// 食事行為.
    #[doc(alias = "食事行為")]
    Eating {
        OwnEffort "1" "自立ないし何とか自分で食べられる",
        FullAssistance "2" "全面介助",
    }

    /// 現在の栄養状態.
    #[doc(alias = "栄養状態")]
    Nutrition {
        Good "1" "良好",
        Poor "2" "不良",
    }

    /// 現在あるかまたは今後発生の可能性の高い状態.
    #[doc(alias = "発生の可能性の高い状態")]
    Risk {
        Incontinence "1" "尿失禁",
        FallOrFracture "2" "転倒・骨折",
        ReducedMobility "3" "移動能力の低下",
        PressureUlcer "4" "褥瘡",
        CardiopulmonaryDecline "5" "心肺機能の低下",
        Homebound "6" "閉じこもり",
        LossOfMotivation "7" "意欲低下",
        Wandering "8" "徘徊",
        Undernutrition "9" "低栄養",
        SwallowingDecline "10" "摂食・嚥下機能低下",
        Dehydration "11" "脱水",
        Infection "12" "易感染性",
        CancerPain "13" "がん等による疼痛",
        Other "14" "その他",
    }

    /// サービス利用による生活機能の維持・改善の見通し.
    #[doc(alias = "維持・改善の見通し")]
    Outlook {
        Expected "1" "期待できる",
        NotExpected "2" "期待できない",
        Unknown "3" "不明",
    }

    /// 医学的管理の必要性: the services named. The first ten are those of the form of 2006; codes 11–13 are this
    /// project's, for what the present form adds.
    #[doc(alias = "医学的管理の必要性")]
    MedicalService {
        HomeVisit "1" "訪問診療",
        HomeNursing "2" "訪問看護",
        HomeRehabilitation "3" "訪問リハビリテーション",
        DayRehabilitation "4" "通所リハビリテーション",
        ShortStayMedicalCare "5" "短期入所療養介護",
        HomeDentistry "6" "訪問歯科診療",
        HomeDentalHygiene "7" "訪問歯科衛生指導",
        HomePharmacy "8" "訪問薬剤管理指導",
        HomeDietary "9" "訪問栄養食事指導",
        Other "10" "その他の医療系サービス",
        HealthFacility "11" "老人保健施設",
        IntegratedFacility "12" "介護医療院",
        NothingParticular "13" "特記すべき項目なし",
    }

    /// 留意事項 の有無.
    PrecautionNeed {
        NothingParticular "1" "特になし",
        Needed "2" "あり",
    }

    /// 感染症の有無; the file counts in the order of the form, 無 first.
    #[doc(alias = "感染症")]
    Infection {
        Absent "1" "無",
        Present "2" "有",
        Unknown "3" "不明",
    }
}

impl MedicalService {
    /// Whether the form of 2006 has a box for it.
    pub fn is_on_form_2006(self) -> bool {
        !matches!(self, Self::HealthFacility | Self::IntegratedFacility | Self::NothingParticular)
    }
}
