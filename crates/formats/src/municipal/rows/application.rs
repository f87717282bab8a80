//! A4 要介護認定申請書.

use super::{APPLICATIONS_BEGIN, Builder, Writable, put_identity, put_period};
use crate::layout::Record;
use crate::municipal::MunicipalKind;
use kiban_domain::application::{
    CertificationApplication, ConsentColumn, FamilyPhysician, InstitutionStay, MedicalInsurance, MovedFrom,
    PreviousResult, Submitter, SubmitterKind,
};
use kiban_domain::certification::{ApplicationKind, CareLevel};
use kiban_domain::consent::Declarant;
use kiban_domain::{Date, dates};

/// Age from which somebody is 第1号被保険者.
const FIRST_CATEGORY_AGE: i16 = 65;

impl Builder<'_> {
    pub(super) fn application(&mut self) -> Option<CertificationApplication> {
        let applied_on = self.f.date("applied_on")?;
        let kind = self.f.code("kind", ApplicationKind::from_code)?;
        let applicant = self.identity()?;
        self.order(Some(applicant.birth), "birth", Some(applied_on), "applied_on");
        self.since(APPLICATIONS_BEGIN, applied_on, "applied_on");
        let medical_insurance = self.medical_insurance();
        let previous = self.previous_result();
        let moved_from = self.moved_from();
        let change_reason = self.f.opt_text("change_reason");
        if kind == ApplicationKind::Change && change_reason.is_none() {
            self.fault("change_reason", "required", "申請区分が 03（区分変更）のときは必ず入れてください");
        }
        let mut facilities = Vec::new();
        for n in 1..=2 {
            facilities.extend(self.institution_stay(n, applied_on));
        }
        let contacts = self.submitter();
        let hospital = self.family_physician();
        let specified_disease: Option<u8> = self.f.number("specified_disease");
        if specified_disease.is_none() && dates::age_on(applicant.birth, applied_on) < FIRST_CATEGORY_AGE {
            self.fault("specified_disease", "required", "65歳未満（第2号被保険者）のときは必ず入れてください");
        }
        let consent = self.consent_column(applied_on);
        let (began, visited) = (
            previous.as_ref().and_then(|previous| previous.valid).map(|valid| valid.from()),
            hospital.as_ref().and_then(|hospital| hospital.last_visited_on),
        );
        self.doubt_after(began, "previous_from", Some(applied_on), "applied_on");
        self.doubt_after(visited, "last_visited_on", Some(applied_on), "applied_on");
        Some(CertificationApplication {
            applied_on,
            kind,
            applicant,
            medical_insurance,
            previous,
            moved_from,
            change_reason,
            facilities,
            contacts,
            hospital,
            specified_disease,
            consent,
        })
    }

    fn medical_insurance(&mut self) -> Option<MedicalInsurance> {
        let insurance = MedicalInsurance {
            name: self.f.opt_text("health_name"),
            number: self.f.opt_text("health_number"),
            symbol: self.f.opt_text("health_symbol"),
            card_number: self.f.opt_text("health_card"),
            branch: self.f.opt_text("health_branch"),
        };
        let empty = MedicalInsurance { name: None, number: None, symbol: None, card_number: None, branch: None };
        (insurance != empty).then_some(insurance)
    }

    fn previous_result(&mut self) -> Option<PreviousResult> {
        let level = self.f.code("previous_level", CareLevel::from_code);
        let valid = self.period("previous_from", "previous_to");
        if level.is_none() && valid.is_none() {
            return None;
        }
        Some(PreviousResult { level: self.needed(level, "previous_level", "previous_from")?, valid })
    }

    fn moved_from(&mut self) -> Option<MovedFrom> {
        let municipality = self.f.opt_text("moved_from");
        let level = self.f.code("moved_from_level", CareLevel::from_code);
        if municipality.is_none() && level.is_none() {
            return None;
        }
        Some(MovedFrom { municipality: self.needed(municipality, "moved_from", "moved_from_level")?, level })
    }

    fn institution_stay(&mut self, n: usize, applied_on: Date) -> Option<InstitutionStay> {
        let key = |part: &str| format!("stay{n}_{part}");
        let name = self.f.opt_text(&key("name"));
        let address = self.f.opt_text(&key("address"));
        let before = self.faults.len();
        let stay = self.period(&key("from"), &key("to"));
        if name.is_none() && address.is_none() && stay.is_none() {
            return None;
        }
        let because = if stay.is_some() { key("from") } else { key("address") };
        let name = self.needed(name, &key("name"), &because);
        let stay = if stay.is_none() && self.faults.len() == before {
            self.needed(None, &key("from"), &key("name"))
        } else {
            stay
        };
        self.doubt_after(stay.map(|stay| stay.from()), &key("from"), Some(applied_on), "applied_on");
        Some(InstitutionStay { name: name?, address, stay: stay? })
    }

    fn submitter(&mut self) -> Option<Submitter> {
        let kind = self.f.code("submitter_kind", SubmitterKind::from_code);
        let name = self.f.opt_text("submitter_name");
        let office = self.f.office("submitter_office");
        let address = self.f.opt_text("submitter_address");
        let telephone = self.f.opt_text("submitter_telephone");
        if kind.is_none() && name.is_none() && office.is_none() && address.is_none() && telephone.is_none() {
            return None;
        }
        let because = match (office, &address) {
            (Some(_), _) => "submitter_office",
            (None, Some(_)) => "submitter_address",
            (None, None) => "submitter_telephone",
        };
        let kind_because = if name.is_some() { "submitter_name" } else { because };
        let name_because = if kind.is_some() { "submitter_kind" } else { because };
        let kind = self.needed(kind, "submitter_kind", kind_because);
        let name = self.needed(name, "submitter_name", name_because);
        Some(Submitter { kind: kind?, name: name?, office, address, telephone })
    }

    fn family_physician(&mut self) -> Option<FamilyPhysician> {
        let physician_name = self.f.opt_text("physician_name");
        let institution = self.f.opt_text("physician_institution");
        let address = self.f.opt_text("physician_address");
        let telephone = self.f.opt_text("physician_telephone");
        let last_visited_on = self.f.date("last_visited_on");
        let rest = address.is_some() || telephone.is_some() || last_visited_on.is_some();
        if physician_name.is_none() && institution.is_none() && !rest {
            return None;
        }
        let because = match (&address, &telephone) {
            (Some(_), _) => "physician_address",
            (None, Some(_)) => "physician_telephone",
            (None, None) => "last_visited_on",
        };
        let name_because = if institution.is_some() { "physician_institution" } else { because };
        let institution_because = if physician_name.is_some() { "physician_name" } else { because };
        let physician_name = self.needed(physician_name, "physician_name", name_because);
        let institution = self.needed(institution, "physician_institution", institution_because);
        Some(FamilyPhysician {
            physician_name: physician_name?,
            institution: institution?,
            address,
            telephone,
            last_visited_on,
        })
    }

    /// 同意欄. A consent dated before the application is refused (P-071).
    fn consent_column(&mut self, applied_on: Date) -> Option<ConsentColumn> {
        let ticked = self.f.flag("consent");
        let on = self.f.date("consent_on");
        let declarant = self.f.str("consent_declarant");
        let relation = self.f.opt_text("consent_relation");
        if !ticked {
            if on.is_some() || !declarant.is_empty() || relation.is_some() {
                let text = "同意日・同意者が入っています。同意欄を 1 にするか、それらを空にしてください";
                self.fault("consent", "conflict", text);
            }
            return None;
        }
        let on = on.unwrap_or(applied_on);
        self.order(Some(applied_on), "applied_on", Some(on), "consent_on");
        let declarant = match (declarant, relation) {
            ("1", None) => Declarant::Person,
            ("1", Some(_)) => {
                self.fault("consent_relation", "conflict", "同意者区分が 1（本人）のときは空にしてください");
                return None;
            }
            ("2", relation) => {
                Declarant::Representative { relation: self.needed(relation, "consent_relation", "consent_declarant")? }
            }
            _ => return self.needed(None, "consent_declarant", "consent"),
        };
        Some(ConsentColumn { on, declarant })
    }
}

impl Writable for CertificationApplication {
    const KIND: MunicipalKind = MunicipalKind::Application;

    fn fill(&self, r: &mut Record<'_>) {
        r.date("applied_on", self.applied_on).put("kind", self.kind.code());
        put_identity(r, &self.applicant);
        let health = self.medical_insurance.as_ref();
        r.opt("health_name", health.and_then(|h| h.name.as_ref()))
            .opt("health_number", health.and_then(|h| h.number.as_ref()))
            .opt("health_symbol", health.and_then(|h| h.symbol.as_ref()))
            .opt("health_card", health.and_then(|h| h.card_number.as_ref()))
            .opt("health_branch", health.and_then(|h| h.branch.as_ref()));
        let previous = self.previous.as_ref();
        r.opt("previous_level", previous.map(|p| p.level.code()));
        put_period(r, "previous_from", "previous_to", previous.and_then(|p| p.valid.as_ref()));
        let moved = self.moved_from.as_ref();
        r.opt("moved_from", moved.map(|m| &m.municipality))
            .opt("moved_from_level", moved.and_then(|m| m.level).map(CareLevel::code))
            .opt("change_reason", self.change_reason.as_ref());
        for n in 1..=2 {
            let key = |part: &str| format!("stay{n}_{part}");
            let one = self.facilities.get(n - 1);
            r.opt(&key("name"), one.map(|one| &one.name))
                .opt(&key("address"), one.and_then(|one| one.address.as_ref()));
            put_period(r, &key("from"), &key("to"), one.map(|one| &one.stay));
        }
        let submitter = self.contacts.as_ref();
        let doctor = self.hospital.as_ref();
        let (declarant, relation) = match self.consent.as_ref().map(|column| &column.declarant) {
            Some(Declarant::Person) => (Some("1"), None),
            Some(Declarant::Representative { relation }) => (Some("2"), Some(relation)),
            None => (None, None),
        };
        r.opt("submitter_kind", submitter.map(|s| s.kind.code()))
            .opt("submitter_name", submitter.map(|s| &s.name))
            .opt("submitter_office", submitter.and_then(|s| s.office))
            .opt("submitter_address", submitter.and_then(|s| s.address.as_ref()))
            .opt("submitter_telephone", submitter.and_then(|s| s.telephone.as_ref()))
            .opt("physician_name", doctor.map(|d| &d.physician_name))
            .opt("physician_institution", doctor.map(|d| &d.institution))
            .opt("physician_address", doctor.and_then(|d| d.address.as_ref()))
            .opt("physician_telephone", doctor.and_then(|d| d.telephone.as_ref()))
            .date("last_visited_on", doctor.and_then(|d| d.last_visited_on))
            .opt("specified_disease", self.specified_disease.map(|n| format!("{n:02}")))
            .flag("consent", self.consent.is_some())
            .date("consent_on", self.consent.as_ref().map(|column| column.on))
            .opt("consent_declarant", declarant)
            .opt("consent_relation", relation);
    }
}
