//! One opinion on the screen: what stands in the form, from where, and what is wrong with it.

use super::fields::{self, CHAPTERS, Fault, Given, Typed, applicant, assemble};
use crate::Problem;
use crate::pages::words;
use kiban_domain::physician_opinion::{PhysicianConsent, PhysicianOpinion, Severity};
use kiban_domain::{Date, InsurerNumber, dates};
use kiban_service::OpinionWork;
use serde_json::Value;
use std::collections::BTreeMap;

/// Who it is about and how far it is, above every page of the work.
pub(super) struct Heading {
    pub(super) handle: String,
    pub(super) name: String,
    pub(super) kana: String,
    pub(super) about: String,
    pub(super) number: String,
    pub(super) city: String,
    pub(super) requested: String,
    pub(super) due: String,
    pub(super) is_late: bool,
    /// 差戻しの理由
    pub(super) returned: String,
}

/// Where what is shown comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The one that was sent back.
    Returned,
    /// The last one of the same hospital, written on that day.
    Last(Date),
    /// Nothing is known yet.
    Nothing,
}

/// The form of one opinion.
pub(super) struct Sheet {
    pub(super) work: OpinionWork,
    pub(super) origin: Origin,
    /// What was there before anything was typed: the one sent back, or the last one.
    former: BTreeMap<String, Typed>,
    /// What is typed and saved.
    saved: BTreeMap<String, Typed>,
    today: Date,
}

impl Sheet {
    /// Of what the platform knows; `office_name` stands in a form nobody has filled in before.
    pub(super) fn of(work: OpinionWork, office_name: &str, today: Date) -> Result<Self, Problem> {
        let saved = match &work.draft {
            Some(draft) => serde_json::from_slice(&draft.content)
                .map_err(|_| Problem::internal("a draft of an opinion is not readable"))?,
            None => BTreeMap::new(),
        };
        let returned = work.former.as_ref().and_then(|former| former.content.as_ref());
        let (origin, mut former) = match (returned, &work.last) {
            (Some(opinion), _) => (Origin::Returned, fields::typed_of(opinion)),
            (None, Some(opinion)) => (Origin::Last(opinion.basics.written_on), fields::carried(opinion)),
            (None, None) => (Origin::Nothing, BTreeMap::new()),
        };
        if origin != Origin::Returned {
            let basics = former.entry("basics".to_owned()).or_default();
            basics.insert("written_on".to_owned(), vec![words::day(today)]);
            if let Some(day) = work.applied_on {
                basics.insert("applied_on".to_owned(), vec![words::day(day)]);
            }
            if let Origin::Last(_) = origin {
                basics.insert("count".to_owned(), vec!["2".to_owned()]);
            }
            basics.entry("institution_name".to_owned()).or_insert_with(|| vec![office_name.to_owned()]);
        }
        Ok(Self { work, origin, former, saved, today })
    }

    /// What stands in a chapter.
    pub(super) fn typed(&self, chapter: &str) -> Typed {
        self.saved.get(chapter).or_else(|| self.former.get(chapter)).cloned().unwrap_or_default()
    }

    /// What stood in a field the last time, in words; empty where it is the same form that was sent back.
    pub(super) fn last_time(&self, chapter: &str, field: &fields::Field) -> String {
        match (self.origin, self.former.get(chapter)) {
            (Origin::Last(_), Some(former)) if former.contains_key(field.name) && field.name != "written_on" => {
                field.words(former)
            }
            _ => String::new(),
        }
    }

    /// Whether somebody has looked at a chapter and saved it.
    pub(super) fn is_saved(&self, chapter: &str) -> bool {
        self.saved.contains_key(chapter)
    }

    /// The version of the draft that forms carry; 0 without one.
    pub(super) fn version(&self) -> i64 {
        self.work.draft.as_ref().map_or(0, |draft| draft.version)
    }

    /// The document of it all and what is wrong, each with chapter and field where it can be put right.
    pub(super) fn check(&self) -> Checked {
        let chapters: BTreeMap<String, Typed> =
            CHAPTERS.iter().map(|(name, _)| ((*name).to_owned(), self.typed(name))).collect();
        let Some(applicant) = applicant(&self.work.identity) else {
            let text = "この方の氏名などを、いまは確かめられません。市区町村に問い合わせてください".to_owned();
            return Checked {
                opinion: None,
                faults: vec![Located { chapter: "", field: "", text }],
                notes: Vec::new(),
            };
        };
        let insurer = self.work.person.insurer;
        let card = self.work.identity["insurer_number"].as_str().and_then(|text| InsurerNumber::parse(text).ok());
        let given = Given {
            person: self.work.person,
            office: self.work.office,
            card_insurer: card.unwrap_or(insurer),
            insurer_name: words::city(insurer.as_str()),
            requested_on: self.work.requested_on,
            applicant,
            physician_consent: self.physician_consent(),
        };
        let (opinion, unread) = assemble(&chapters, given, self.today);
        let mut checked = Checked { opinion, faults: unread.into_iter().map(located).collect(), notes: Vec::new() };
        checked.notes.extend(checked.opinion.as_ref().and_then(|opinion| self.about_consent(opinion)));
        let problems = checked.opinion.as_ref().map(PhysicianOpinion::problems).unwrap_or_default();
        for problem in problems {
            let (chapter, field) = fields::place_of(&problem.item).unwrap_or_default();
            let text = format!("{}：{}。{}", problem.item, problem.found, problem.expected);
            // What cannot be read is told once.
            if checked.faults.iter().any(|known| !field.is_empty() && known.field == field) {
                continue;
            }
            match problem.severity {
                Severity::Fault => checked.faults.push(Located { chapter, field, text }),
                Severity::Note => checked.notes.push(Located { chapter, field, text }),
            }
        }
        checked
    }

    /// 医師の同意 on the one that was sent back, of a form that has it.
    fn physician_consent(&self) -> Option<PhysicianConsent> {
        self.work.former.as_ref()?.content.as_ref()?.physician_consent()
    }

    /// What becomes of a refusal of the physician that stood on the one that was sent back: the screen has no item for it.
    fn about_consent(&self, opinion: &PhysicianOpinion) -> Option<Located> {
        self.physician_consent().filter(|consent| *consent == PhysicianConsent::Refuses)?;
        let text = match opinion.is_refused_by_physician() {
            true => {
                "差し戻された意見書と同じ「医師の同意なし」（旧様式）のまま送ります。同意に変えるときは、接続プログラムか API で送ってください"
            }
            false => {
                "差し戻された意見書は「医師の同意なし」（旧様式）でした。記入日が令和8年4月1日以後の様式にはこの項目がないため、送られません"
            }
        };
        Some(Located { chapter: "basics", field: "written_on", text: text.to_owned() })
    }

    pub(super) fn heading(&self, handle: &str) -> Heading {
        let work = &self.work;
        let text = |name: &str| work.identity[name].as_str().unwrap_or_default().to_owned();
        let birth: Option<Date> = text("birth").parse().ok();
        let sex = match work.identity["sex"].as_str() {
            Some("male") => "男",
            Some("female") => "女",
            _ => "",
        };
        let age = birth.map(|birth| format!("{}歳（{}）", dates::age_on(birth, self.today), words::day(birth)));
        let name = Some(text("name")).filter(|name| !name.is_empty());
        let number = work.person.insured.to_string();
        Heading {
            handle: handle.to_owned(),
            name: name.unwrap_or_else(|| format!("被保険者番号 {number}")),
            kana: text("kana"),
            about: format!("{sex}　{}", age.unwrap_or_default()),
            number,
            city: city_name(work.person.insurer.as_str()),
            requested: work.requested_on.map(words::day).unwrap_or_default(),
            due: work.due_on.map(words::day).unwrap_or_default(),
            is_late: work.due_on.is_some_and(|due| due < self.today),
            returned: work.returned_for().unwrap_or_default().to_owned(),
        }
    }
}

/// 市区町村名, or its number.
pub(super) fn city_name(insurer: &str) -> String {
    words::city(insurer).unwrap_or_else(|| format!("保険者番号 {insurer}"))
}

/// Something wrong, and where.
pub(super) struct Located {
    pub(super) chapter: &'static str,
    pub(super) field: &'static str,
    pub(super) text: String,
}

fn located((field, text): Fault) -> Located {
    let chapter = CHAPTERS.iter().find(|(name, _)| fields::fields(name).iter().any(|one| one.name == field));
    Located { chapter: chapter.map_or("", |(name, _)| name), field, text }
}

/// What the form comes to.
pub(super) struct Checked {
    pub(super) opinion: Option<PhysicianOpinion>,
    pub(super) faults: Vec<Located>,
    pub(super) notes: Vec<Located>,
}

impl Checked {
    /// Faults of one chapter.
    pub(super) fn of<'a>(&'a self, chapter: &'a str) -> impl Iterator<Item = &'a Located> {
        self.faults.iter().filter(move |one| one.chapter == chapter)
    }
}

/// The fields of one chapter that a form sent.
pub(super) fn typed_in(chapter: &str, form: &crate::input::Form) -> Typed {
    let all = fields::fields(chapter).into_iter();
    let given = all.map(|field| (field.name.to_owned(), form.all(field.name)));
    given.filter(|(_, values)| !values.is_empty()).collect()
}

/// The same as it is kept.
pub(super) fn kept(typed: &Typed) -> Value {
    serde_json::to_value(typed).unwrap_or_default()
}
