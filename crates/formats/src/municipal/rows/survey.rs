//! A1 認定調査票.

use super::{APPLICATIONS_BEGIN, Builder, Writable, put_identity};
use crate::layout::Record;
use crate::municipal::MunicipalKind;
use kiban_domain::certification::CareLevel;
use kiban_domain::physician_opinion::{DementiaIndependence, PhysicalIndependence};
use kiban_domain::survey::{
    Answers, CertificationSurvey, Conducted, Contact, EarlierCertification, GroupNote, ItemNote, ServiceUse,
    ServicesInUse, Surroundings, SurveyFacility, SurveyFacilityKind, SurveyPlace, SurveyService, items, note_items,
};
use std::fmt::{self, Display};

/// Groups of the 特記事項, 7 being 日常生活自立度.
const NOTES: u8 = 7;

/// Key of an item of the 基本調査, by its code: `q1_1_1` of 1-1-1.
struct AnswerKey<'a>(&'a str);

impl Display for AnswerKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "q{}", self.0.replace('-', "_"))
    }
}

/// Key of the 特記事項 of an item, by its number: `n1_7` of 1-7.
struct NoteKey<'a>(&'a str);

impl Display for NoteKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0.replace('-', "_"))
    }
}

impl Builder<'_> {
    pub(super) fn survey(&mut self) -> Option<CertificationSurvey> {
        let applied_on = self.f.date("applied_on")?;
        let conducted = self.conducted()?;
        let previous = self.earlier();
        let subject = self.identity()?;
        let contacts = self.contact();
        let services = self.services();
        let facility = self.survey_facility();
        let surroundings = Surroundings {
            family: self.f.opt_text("family"),
            housing: self.f.opt_text("housing"),
            equipment: self.f.opt_text("equipment"),
        };
        let mut answers = Answers::default();
        for (at, item) in items().iter().enumerate() {
            let key = self.f.key(0, format_args!("{}", AnswerKey(item.code)));
            if let Some(answer) = self.f.number(key) {
                answers.set_at(at, answer);
            }
        }
        let physical = self.f.code("physical", PhysicalIndependence::from_code);
        let dementia = self.f.code("dementia", DementiaIndependence::from_code);
        let mut notes = Vec::new();
        for group in 1..=NOTES {
            let key = self.f.key(0, format_args!("note{group}"));
            notes.extend(self.f.opt_text(key).map(|text| GroupNote { group, text }));
        }
        let mut item_notes = Vec::new();
        for item in note_items() {
            let key = self.f.key(0, format_args!("{}", NoteKey(item)));
            item_notes.extend(self.f.opt_text(key).map(|text| ItemNote { item: item.clone(), text }));
        }
        self.since(APPLICATIONS_BEGIN, applied_on, "applied_on");
        self.order(Some(subject.birth), "birth", Some(applied_on), "applied_on");
        self.order(Some(applied_on), "applied_on", Some(conducted.on), "conducted_on");
        self.order(previous.as_ref().and_then(|p| p.decided_on), "earlier_on", Some(conducted.on), "conducted_on");
        self.order(Some(subject.birth), "birth", Some(conducted.on), "conducted_on");
        let decided_on = previous.as_ref().and_then(|previous| previous.decided_on);
        self.doubt_after(decided_on, "earlier_on", Some(applied_on), "applied_on");
        Some(CertificationSurvey {
            applied_on,
            conducted,
            previous,
            subject,
            contacts,
            services,
            facility,
            surroundings,
            answers,
            physical,
            dementia,
            notes,
            item_notes,
        })
    }

    fn conducted(&mut self) -> Option<Conducted> {
        let on = self.f.date("conducted_on")?;
        let at = self.f.time("conducted_at");
        let outside = self.f.str("place") == "2";
        let name = self.f.opt_text("place_name");
        let survey_place = match (outside, name) {
            (true, Some(name)) => SurveyPlace::Elsewhere(name),
            (true, None) => {
                self.fault("place_name", "required", "実施場所が 2（自宅外）のときは必ず入れてください");
                SurveyPlace::Home
            }
            (false, name) => {
                if name.is_some() {
                    self.fault("place_name", "conflict", "実施場所が 1（自宅内）のときは空にしてください");
                }
                SurveyPlace::Home
            }
        };
        Some(Conducted {
            on,
            at,
            survey_place,
            surveyor: self.f.text("surveyor"),
            organization: self.f.text("organization"),
            office: self.f.office("office"),
        })
    }

    fn earlier(&mut self) -> Option<EarlierCertification> {
        let is_first = self.f.str("earlier") == "1";
        let decided_on = self.f.date("earlier_on");
        let level = self.f.code("earlier_level", CareLevel::from_code);
        if is_first && (decided_on.is_some() || level.is_some()) {
            self.fault("earlier", "conflict", "1（初回）のときは、前回認定日と前回認定結果を空にしてください");
        }
        (!is_first).then_some(EarlierCertification { decided_on, level })
    }

    fn contact(&mut self) -> Option<Contact> {
        let name = self.f.opt_text("contact_name");
        let relation = self.f.opt_text("contact_relation");
        let address = self.f.opt_text("contact_address");
        let telephone = self.f.opt_text("contact_telephone");
        if name.is_none() && relation.is_none() && address.is_none() && telephone.is_none() {
            return None;
        }
        let because = [("contact_relation", &relation), ("contact_address", &address)];
        let because = because.iter().find(|(_, value)| value.is_some()).map_or("contact_telephone", |(key, _)| key);
        Some(Contact { name: self.needed(name, "contact_name", because)?, relation, address, telephone })
    }

    fn services(&mut self) -> ServicesInUse {
        let mut used = Vec::new();
        for service in SurveyService::ALL {
            let key = self.f.key(0, format_args!("use{}", service.code()));
            let amount = self.f.number(key).filter(|amount| *amount > 0);
            used.extend(amount.map(|amount| ServiceUse { service: *service, amount }));
        }
        ServicesInUse {
            used,
            home_modified: self.f.code("home_modified", |code| Some(code == "1").filter(|_| !code.is_empty())),
            municipal_benefit: self.f.opt_text("municipal_benefit"),
            other: self.f.opt_text("other_service"),
        }
    }

    fn survey_facility(&mut self) -> Option<SurveyFacility> {
        let kind = self.f.code("facility_kind", SurveyFacilityKind::from_code);
        let name = self.f.opt_text("facility_name");
        let address = self.f.opt_text("facility_address");
        let telephone = self.f.opt_text("facility_telephone");
        let because = match (&name, &address) {
            (Some(_), _) => "facility_name",
            (None, Some(_)) => "facility_address",
            (None, None) if telephone.is_some() => "facility_telephone",
            (None, None) => "facility_kind",
        };
        if kind.is_none() && because == "facility_kind" {
            return None;
        }
        Some(SurveyFacility { kind: self.needed(kind, "facility_kind", because)?, name, address, telephone })
    }
}

impl Writable for CertificationSurvey {
    const KIND: MunicipalKind = MunicipalKind::Survey;

    fn fill(&self, r: &mut Record<'_>) {
        let (place, place_name) = match &self.conducted.survey_place {
            SurveyPlace::Home => ("1", None),
            SurveyPlace::Elsewhere(name) => ("2", Some(name)),
        };
        let earlier = self.previous.as_ref();
        r.date("applied_on", self.applied_on)
            .date("conducted_on", self.conducted.on)
            .opt("conducted_at", self.conducted.at)
            .put("place", place)
            .opt("place_name", place_name)
            .put("surveyor", &self.conducted.surveyor)
            .put("organization", &self.conducted.organization)
            .opt("office", self.conducted.office)
            .put("earlier", if earlier.is_some() { "2" } else { "1" })
            .date("earlier_on", earlier.and_then(|e| e.decided_on))
            .opt("earlier_level", earlier.and_then(|e| e.level).map(CareLevel::code));
        put_identity(r, &self.subject);
        let contact = self.contacts.as_ref();
        r.opt("contact_name", contact.map(|c| &c.name))
            .opt("contact_relation", contact.and_then(|c| c.relation.as_ref()))
            .opt("contact_address", contact.and_then(|c| c.address.as_ref()))
            .opt("contact_telephone", contact.and_then(|c| c.telephone.as_ref()));
        for service in SurveyService::ALL {
            let amount = self.services.used.iter().find(|used| used.service == *service).map(|used| used.amount);
            r.opt(&format!("use{}", service.code()), amount);
        }
        let facility = self.facility.as_ref();
        r.opt("home_modified", self.services.home_modified.map(|yes| if yes { "1" } else { "0" }))
            .opt("municipal_benefit", self.services.municipal_benefit.as_ref())
            .opt("other_service", self.services.other.as_ref())
            .opt("facility_kind", facility.map(|f| f.kind.code()))
            .opt("facility_name", facility.and_then(|f| f.name.as_ref()))
            .opt("facility_address", facility.and_then(|f| f.address.as_ref()))
            .opt("facility_telephone", facility.and_then(|f| f.telephone.as_ref()))
            .opt("family", self.surroundings.family.as_ref())
            .opt("housing", self.surroundings.housing.as_ref())
            .opt("equipment", self.surroundings.equipment.as_ref());
        for (item, answer) in self.answers.iter() {
            r.opt(&AnswerKey(item.code).to_string(), answer);
        }
        r.opt("physical", self.physical.map(PhysicalIndependence::code))
            .opt("dementia", self.dementia.map(DementiaIndependence::code));
        for group in 1..=NOTES {
            let note = self.notes.iter().find(|note| note.group == group);
            r.opt(&format!("note{group}"), note.map(|note| &note.text));
        }
        for item in note_items() {
            let note = self.item_notes.iter().find(|note| note.item == *item);
            r.opt(&NoteKey(item).to_string(), note.map(|note| &note.text));
        }
    }
}
