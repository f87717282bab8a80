//! A2 主治医意見書, past ones and those on paper. Only what cannot be is refused here; what is merely unusual on a form was
//! the hospital's to put right.

use super::{APPLICATIONS_BEGIN, Builder, Writable, put_identity};
use crate::layout::Record;
use crate::municipal::MunicipalKind;
use kiban_domain::dates::{PartialDate, ServiceMonth, parse_yyyymmdd};
use kiban_domain::physician_opinion::*;
use kiban_domain::{InsurerNumber, OfficeNumber, PersonKey};

const SIDES: &[Side] = Side::ALL;

impl Builder<'_> {
    pub(super) fn opinion(&mut self, person: PersonKey) -> Option<PhysicianOpinion> {
        let applied_on = self.f.date("applied_on")?;
        let institution = OfficeNumber::parse(self.f.str("institution")).ok()?;
        let count = self.f.code("count", OpinionCount::from_code)?;
        let is_new = self.f.str("form") == "2026";
        let physician_consent = self.f.code("physician_consent", PhysicianConsent::from_code);
        if is_new && physician_consent.is_some() {
            self.fault("physician_consent", "conflict", "様式が 2026 のときは空にしてください");
        }
        let form = if is_new { OpinionForm::Form2026 } else { OpinionForm::Form2006 { physician_consent } };
        let request = self.opinion_request()?;
        let basics = self.opinion_basics()?;
        let (birth, written_on) = (Some(basics.applicant.birth), Some(basics.written_on));
        self.since(APPLICATIONS_BEGIN, applied_on, "applied_on");
        self.order(birth, "birth", Some(applied_on), "applied_on");
        self.order(birth, "birth", basics.last_examined_on, "last_examined_on");
        self.order(birth, "birth", written_on, "written_on");
        self.order(basics.last_examined_on, "last_examined_on", written_on, "written_on");
        self.order(written_on, "written_on", request.sent_on, "sent_on");
        // An applicant may bring an opinion that was written before; a request is not written to after it was answered.
        self.doubt(Some(applied_on), "applied_on", written_on, "written_on");
        self.doubt(Some(applied_on), "applied_on", request.requested_on, "requested_on");
        self.doubt_after(request.requested_on, "requested_on", written_on, "written_on");
        Some(PhysicianOpinion {
            person,
            institution,
            applied_on,
            count,
            form,
            request,
            basics,
            illness: self.illness(),
            special_care: SpecialCare {
                treatments: self.f.flags("treatments", MedicalTreatment::ALL),
                responses: self.f.flags("responses", SpecialResponse::ALL),
                catheter: self.f.flag("catheter"),
            },
            condition: self.condition(),
            daily_life: self.daily_life(),
            remarks: self.f.opt_text("remarks"),
        })
    }

    fn opinion_request(&mut self) -> Option<OpinionRequest> {
        Some(OpinionRequest {
            software: self.f.opt_text("software"),
            file_key: self.f.opt_text("file_key"),
            card_insurer: InsurerNumber::parse(self.f.str("card_insurer")).ok()?,
            insurer_name: self.f.opt_text("insurer_name"),
            requested_on: self.f.date("requested_on"),
            sent_on: self.f.date("sent_on"),
            request_number: self.f.opt_text("request_number"),
            physician_number: self.f.opt_text("physician_number"),
            setting: self.f.code("setting", Setting::from_code),
        })
    }

    fn opinion_basics(&mut self) -> Option<Basics> {
        Some(Basics {
            written_on: self.f.date("written_on")?,
            applicant: self.identity()?,
            age: self.f.number("age"),
            physician_name: self.f.text("physician_name"),
            institution_name: self.f.text("institution_name"),
            institution_postal_code: self.f.opt_text("institution_postal_code"),
            institution_address: self.f.opt_text("institution_address"),
            institution_telephone: self.f.opt_text("institution_telephone"),
            institution_fax: self.f.opt_text("institution_fax"),
            last_examined_on: self.f.date("last_examined_on"),
            other_departments: self.f.code("other_departments", Presence::from_code),
            departments: self.f.flags("departments", Department::ALL),
            other_department: self.f.opt_text("other_department"),
        })
    }

    fn illness(&mut self) -> Illness {
        Illness {
            diagnoses: [1, 2, 3].map(|n| self.diagnosis(n)),
            stability: self.f.code("stability", Stability::from_code),
            instability: self.f.opt_text("instability"),
            course: self.f.opt_text("course"),
        }
    }

    fn diagnosis(&mut self, n: usize) -> Option<Diagnosis> {
        let (name_key, text_key, known_key) = (format!("diagnosis{n}"), format!("onset{n}"), format!("onset{n}_on"));
        let name = self.f.opt_text(&name_key);
        let text = self.f.opt_text(&text_key);
        let digits = self.f.str(&known_key);
        let known = known(digits);
        if known.is_none() {
            let text = "西暦で YYYY、YYYYMM、YYYYMMDD のいずれかの形で入れてください";
            self.fault(&known_key, "date", text);
        }
        let known = known.unwrap_or_default();
        if text.is_none() && !digits.is_empty() {
            self.needed::<String>(None, &text_key, &known_key);
        }
        if name.is_none() && text.is_some() {
            self.needed::<String>(None, &name_key, &text_key);
        }
        Some(Diagnosis { name: name?, onset: text.map(|text| PartialDate { text, known }) })
    }

    fn condition(&mut self) -> Condition {
        Condition {
            physical: self.f.code("physical", PhysicalIndependence::from_code),
            dementia: self.f.code("dementia", DementiaIndependence::from_code),
            short_term_memory: self.f.code("short_term_memory", ShortTermMemory::from_code),
            decision_making: self.f.code("decision_making", DecisionMaking::from_code),
            communication: self.f.code("communication", Communication::from_code),
            behavioral: self.f.code("behavioral", Presence::from_code),
            behavioral_symptoms: self.f.flags("behavioral_symptoms", BehavioralSymptom::ALL),
            behavioral_other: self.f.opt_text("behavioral_other"),
            psychiatric: self.f.code("psychiatric", Presence::from_code),
            psychiatric_name: self.f.opt_text("psychiatric_name"),
            specialist: self.f.code("specialist", Presence::from_code),
            specialist_department: self.f.opt_text("specialist_department"),
            body: self.body(),
        }
    }

    fn body(&mut self) -> Body {
        Body {
            handedness: self.f.code("handedness", Side::from_code),
            height_cm: self.f.code("height_cm", Measure::parse),
            weight_kg: self.f.code("weight_kg", Measure::parse),
            weight_change: self.f.code("weight_change", WeightChange::from_code),
            limb_loss: Finding {
                is_marked: self.f.flag("limb_loss"),
                part: self.f.opt_text("limb_loss_part"),
                degree: None,
            },
            palsy: Palsy {
                is_marked: self.f.flag("palsy"),
                right_arm: self.limb("palsy_right_arm"),
                left_arm: self.limb("palsy_left_arm"),
                right_leg: self.limb("palsy_right_leg"),
                left_leg: self.limb("palsy_left_leg"),
                other: self.finding("palsy_other"),
            },
            muscle_weakness: self.finding("muscle_weakness"),
            contracture: self.finding("contracture"),
            joint_pain: self.finding("joint_pain"),
            ataxia: Ataxia {
                is_marked: self.f.flag("ataxia"),
                arms: self.f.flags("ataxia_arms", SIDES),
                legs: self.f.flags("ataxia_legs", SIDES),
                trunk: self.f.flags("ataxia_trunk", SIDES),
            },
            pressure_ulcer: self.finding("pressure_ulcer"),
            skin_disease: self.finding("skin_disease"),
        }
    }

    fn limb(&mut self, key: &str) -> LimbPalsy {
        LimbPalsy { is_marked: self.f.flag(key), degree: self.f.code(&format!("{key}_degree"), Degree::from_code) }
    }

    fn finding(&mut self, key: &str) -> Finding {
        Finding {
            is_marked: self.f.flag(key),
            part: self.f.opt_text(&format!("{key}_part")),
            degree: self.f.code(&format!("{key}_degree"), Degree::from_code),
        }
    }

    fn daily_life(&mut self) -> DailyLife {
        DailyLife {
            outdoor_walking: self.f.code("outdoor_walking", OutdoorWalking::from_code),
            wheelchair: self.f.code("wheelchair", Wheelchair::from_code),
            walking_aids: self.f.flags("walking_aids", WalkingAid::ALL),
            eating: self.f.code("eating", Eating::from_code),
            nutrition: self.f.code("nutrition", Nutrition::from_code),
            nutrition_note: self.f.opt_text("nutrition_note"),
            risks: self.f.flags("risks", Risk::ALL),
            other_risk: self.f.opt_text("other_risk"),
            risk_policy: self.f.opt_text("risk_policy"),
            outlook: self.f.code("outlook", Outlook::from_code),
            medical_needs: self.medical_needs(),
            other_medical_need: self.f.opt_text("other_medical_need"),
            precautions: Precautions {
                blood_pressure: self.precaution("precaution_blood_pressure"),
                eating: self.precaution("precaution_eating"),
                swallowing: self.precaution("precaution_swallowing"),
                mobility: self.precaution("precaution_mobility"),
                exercise: self.precaution("precaution_exercise"),
                other: self.f.opt_text("precaution_other"),
                nothing_particular: self.f.flag("precaution_nothing"),
            },
            infection: self.f.code("infection", Infection::from_code),
            infection_name: self.f.opt_text("infection_name"),
        }
    }

    fn medical_needs(&mut self) -> Vec<MedicalNeed> {
        let ticked = self.f.flags("medical_needs", MedicalService::ALL);
        let underlined = self.f.flags("medical_underlined", MedicalService::ALL);
        if underlined.iter().any(|service| !ticked.contains(service)) {
            let text = "医学的管理の必要性が x の項目に下線があります。どちらかを直してください";
            self.fault("medical_underlined", "conflict", text);
        }
        let need = |service| MedicalNeed { is_underlined: underlined.contains(&service), service };
        ticked.into_iter().map(need).collect()
    }

    fn precaution(&mut self, key: &str) -> Precaution {
        Precaution { need: self.f.code(key, PrecautionNeed::from_code), text: self.f.opt_text(&format!("{key}_text")) }
    }
}

/// What is known of a day; `None` when the digits are neither a year, a month nor a day.
type Known = (Option<i16>, Option<i8>, Option<i8>);

fn known(digits: &str) -> Option<Known> {
    Some(match digits.len() {
        0 => (None, None, None),
        4 => (Some(digits.parse().ok()?), None, None),
        6 => {
            let first = ServiceMonth::parse(digits).ok()?.first_day();
            (Some(first.year()), Some(first.month()), None)
        }
        _ => {
            let day = parse_yyyymmdd(digits).ok()?;
            (Some(day.year()), Some(day.month()), Some(day.day()))
        }
    })
}

fn known_digits(known: Known) -> String {
    match known {
        (Some(year), Some(month), Some(day)) => format!("{year:04}{month:02}{day:02}"),
        (Some(year), Some(month), None) => format!("{year:04}{month:02}"),
        (Some(year), None, _) => format!("{year:04}"),
        (None, ..) => String::new(),
    }
}

fn put_finding(r: &mut Record<'_>, key: &str, finding: &Finding) {
    r.flag(key, finding.is_marked)
        .opt(&format!("{key}_part"), finding.part.as_ref())
        .opt(&format!("{key}_degree"), finding.degree.map(Degree::code));
}

impl Writable for PhysicianOpinion {
    const KIND: MunicipalKind = MunicipalKind::Opinion;

    fn fill(&self, r: &mut Record<'_>) {
        let (form, consent) = match self.form {
            OpinionForm::Form2006 { physician_consent } => ("2006", physician_consent),
            OpinionForm::Form2026 => ("2026", None),
        };
        r.date("applied_on", self.applied_on)
            .put("institution", self.institution)
            .put("count", self.count.code())
            .put("form", form)
            .opt("physician_consent", consent.map(PhysicianConsent::code))
            .opt("software", self.request.software.as_ref())
            .opt("file_key", self.request.file_key.as_ref())
            .put("card_insurer", self.request.card_insurer)
            .opt("insurer_name", self.request.insurer_name.as_ref())
            .date("requested_on", self.request.requested_on)
            .date("sent_on", self.request.sent_on)
            .opt("request_number", self.request.request_number.as_ref())
            .opt("physician_number", self.request.physician_number.as_ref())
            .opt("setting", self.request.setting.map(Setting::code));
        put_basics(r, &self.basics);
        put_illness(r, &self.illness);
        r.flags("treatments", MedicalTreatment::ALL, &self.special_care.treatments)
            .flags("responses", SpecialResponse::ALL, &self.special_care.responses)
            .flag("catheter", self.special_care.catheter);
        put_condition(r, &self.condition);
        put_body(r, &self.condition.body);
        put_daily_life(r, &self.daily_life);
        r.opt("remarks", self.remarks.as_ref());
    }
}

fn put_basics(r: &mut Record<'_>, basics: &Basics) {
    r.date("written_on", basics.written_on);
    put_identity(r, &basics.applicant);
    r.opt("age", basics.age)
        .put("physician_name", &basics.physician_name)
        .put("institution_name", &basics.institution_name)
        .opt("institution_postal_code", basics.institution_postal_code.as_ref())
        .opt("institution_address", basics.institution_address.as_ref())
        .opt("institution_telephone", basics.institution_telephone.as_ref())
        .opt("institution_fax", basics.institution_fax.as_ref())
        .date("last_examined_on", basics.last_examined_on)
        .opt("other_departments", basics.other_departments.map(Presence::code))
        .flags("departments", Department::ALL, &basics.departments)
        .opt("other_department", basics.other_department.as_ref());
}

fn put_illness(r: &mut Record<'_>, illness: &Illness) {
    for (n, diagnosis) in (1..).zip(&illness.diagnoses) {
        let onset = diagnosis.as_ref().and_then(|d| d.onset.as_ref());
        r.opt(&format!("diagnosis{n}"), diagnosis.as_ref().map(|d| &d.name))
            .opt(&format!("onset{n}"), onset.map(|onset| &onset.text))
            .opt(&format!("onset{n}_on"), onset.map(|onset| known_digits(onset.known)));
    }
    r.opt("stability", illness.stability.map(Stability::code))
        .opt("instability", illness.instability.as_ref())
        .opt("course", illness.course.as_ref());
}

fn put_condition(r: &mut Record<'_>, condition: &Condition) {
    r.opt("physical", condition.physical.map(PhysicalIndependence::code))
        .opt("dementia", condition.dementia.map(DementiaIndependence::code))
        .opt("short_term_memory", condition.short_term_memory.map(ShortTermMemory::code))
        .opt("decision_making", condition.decision_making.map(DecisionMaking::code))
        .opt("communication", condition.communication.map(Communication::code))
        .opt("behavioral", condition.behavioral.map(Presence::code))
        .flags("behavioral_symptoms", BehavioralSymptom::ALL, &condition.behavioral_symptoms)
        .opt("behavioral_other", condition.behavioral_other.as_ref())
        .opt("psychiatric", condition.psychiatric.map(Presence::code))
        .opt("psychiatric_name", condition.psychiatric_name.as_ref())
        .opt("specialist", condition.specialist.map(Presence::code))
        .opt("specialist_department", condition.specialist_department.as_ref());
}

fn put_body(r: &mut Record<'_>, body: &Body) {
    r.opt("handedness", body.handedness.map(Side::code))
        .opt("height_cm", body.height_cm.as_ref().map(Measure::as_str))
        .opt("weight_kg", body.weight_kg.as_ref().map(Measure::as_str))
        .opt("weight_change", body.weight_change.map(WeightChange::code))
        .flag("limb_loss", body.limb_loss.is_marked)
        .opt("limb_loss_part", body.limb_loss.part.as_ref())
        .flag("palsy", body.palsy.is_marked);
    for (key, limb) in [
        ("palsy_right_arm", body.palsy.right_arm),
        ("palsy_left_arm", body.palsy.left_arm),
        ("palsy_right_leg", body.palsy.right_leg),
        ("palsy_left_leg", body.palsy.left_leg),
    ] {
        r.flag(key, limb.is_marked).opt(&format!("{key}_degree"), limb.degree.map(Degree::code));
    }
    put_finding(r, "palsy_other", &body.palsy.other);
    put_finding(r, "muscle_weakness", &body.muscle_weakness);
    put_finding(r, "contracture", &body.contracture);
    put_finding(r, "joint_pain", &body.joint_pain);
    r.flag("ataxia", body.ataxia.is_marked)
        .flags("ataxia_arms", SIDES, &body.ataxia.arms)
        .flags("ataxia_legs", SIDES, &body.ataxia.legs)
        .flags("ataxia_trunk", SIDES, &body.ataxia.trunk);
    put_finding(r, "pressure_ulcer", &body.pressure_ulcer);
    put_finding(r, "skin_disease", &body.skin_disease);
}

fn put_daily_life(r: &mut Record<'_>, life: &DailyLife) {
    let services: Vec<MedicalService> = life.medical_needs.iter().map(|need| need.service).collect();
    let underlined: Vec<MedicalService> =
        life.medical_needs.iter().filter(|need| need.is_underlined).map(|need| need.service).collect();
    r.opt("outdoor_walking", life.outdoor_walking.map(OutdoorWalking::code))
        .opt("wheelchair", life.wheelchair.map(Wheelchair::code))
        .flags("walking_aids", WalkingAid::ALL, &life.walking_aids)
        .opt("eating", life.eating.map(Eating::code))
        .opt("nutrition", life.nutrition.map(Nutrition::code))
        .opt("nutrition_note", life.nutrition_note.as_ref())
        .flags("risks", Risk::ALL, &life.risks)
        .opt("other_risk", life.other_risk.as_ref())
        .opt("risk_policy", life.risk_policy.as_ref())
        .opt("outlook", life.outlook.map(Outlook::code))
        .flags("medical_needs", MedicalService::ALL, &services)
        .flags("medical_underlined", MedicalService::ALL, &underlined)
        .opt("other_medical_need", life.other_medical_need.as_ref());
    let precautions = &life.precautions;
    for (key, one) in [
        ("precaution_blood_pressure", &precautions.blood_pressure),
        ("precaution_eating", &precautions.eating),
        ("precaution_swallowing", &precautions.swallowing),
        ("precaution_mobility", &precautions.mobility),
        ("precaution_exercise", &precautions.exercise),
    ] {
        r.opt(key, one.need.map(PrecautionNeed::code)).opt(&format!("{key}_text"), one.text.as_ref());
    }
    r.opt("precaution_other", precautions.other.as_ref())
        .flag("precaution_nothing", precautions.nothing_particular)
        .opt("infection", life.infection.map(Infection::code))
        .opt("infection_name", life.infection_name.as_ref());
}
