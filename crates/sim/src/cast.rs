//! The cast of the demo: the first people of every city, the same for every seed, so that a story can name them.

use crate::CitySpec;
use crate::application::plus;
use crate::offices::Role;
use crate::people::{Consenting, Generator, SimPerson, Sketch};
use jiff::civil::{Date, date};
use kiban_domain::certification::{ApplicationKind, CareLevel};
use kiban_domain::insured::{LossReason, Sex};

/// Number of people in the cast; they are persons 1 to 5.
pub const CAST: u32 = 5;

/// Seed of the cast, whatever the seed of the city.
const SEED: u64 = 0x6b69_6261_6e21;

/// Places in the list of offices, see `offices`.
const PLANNING: usize = 0;
const HOSPITAL: usize = 8;
const OTHER_PLANNING: usize = 10;
const HIDDEN_PLANNING: usize = 11;

/// The people of the demo. What staff type is [`SimPerson::four_items`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cast {
    /// 要介護２, consent given, plan by 居宅介護支援事業所みほん.
    pub consenting: SimPerson,
    /// 要介護３ without any consent, plan by 居宅介護支援事業所れいじ.
    pub without_consent: SimPerson,
    /// 新規 application running; the opinion was requested from 架空病院, a hospital without care service.
    pub applying: SimPerson,
    /// 不開示, consent given; only 居宅介護支援事業所かめい knows where she is.
    pub withheld: SimPerson,
    /// Moved out of the city last month.
    pub moved: SimPerson,
}

/// The cast of a city.
pub fn cast(spec: &CitySpec) -> Option<Cast> {
    let generator = Generator::new(spec);
    let [Some(consenting), Some(without_consent), Some(applying), Some(withheld), Some(moved)] =
        [1, 2, 3, 4, 5].map(|n| generator.person(n))
    else {
        return None;
    };
    Some(Cast { consenting, without_consent, applying, withheld, moved })
}

/// Sketch of a member of the cast.
pub(crate) fn sketch(n: u32, today: Date) -> Option<Sketch> {
    let mut sketch = match n {
        1 => Sketch::blank(SEED, date(1941, 5, 3), Sex::Female),
        2 => Sketch::blank(SEED, date(1938, 11, 20), Sex::Male),
        3 => Sketch::blank(SEED, date(1950, 2, 8), Sex::Male),
        4 => Sketch::blank(SEED, date(1947, 7, 15), Sex::Female),
        5 => Sketch::blank(SEED, date(1944, 1, 31), Sex::Female),
        _ => return None,
    };
    match n {
        1 => {
            sketch.certified = Some(CareLevel::Care2);
            sketch.consent = Consenting::Given;
            sketch.planner_at = Some(PLANNING);
        }
        2 => {
            sketch.surname = ("例示", "レイジ");
            sketch.certified = Some(CareLevel::Care3);
            sketch.planner_at = Some(OTHER_PLANNING);
        }
        3 => {
            sketch.surname = ("見本", "ミホン");
            sketch.given = ("次郎", "ジロウ");
            // Five days ago: the opinion is requested and cannot be there yet.
            sketch.running = Some((ApplicationKind::New, plus(today, -5)));
            sketch.consent = Consenting::Given;
        }
        4 => {
            sketch.surname = ("仮名", "カメイ");
            sketch.given = ("良子", "ヨシコ");
            sketch.withheld = true;
            sketch.certified = Some(CareLevel::Care1);
            sketch.consent = Consenting::Given;
            sketch.planner_at = Some(HIDDEN_PLANNING);
        }
        _ => {
            sketch.surname = ("想定", "ソウテイ");
            sketch.given = ("千代", "チヨ");
            sketch.certified = Some(CareLevel::Care1);
            sketch.consent = Consenting::Given;
            sketch.planner_at = Some(PLANNING);
            sketch.lost = Some((plus(today, -20), LossReason::MovedOut));
        }
    }
    sketch.hospital_at = Some(HOSPITAL);
    if n != 3 {
        sketch.living = Some(if n == 4 { Role::HiddenPlanning } else { Role::Planning });
    }
    Some(sketch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiban_domain::certification::Step;
    use kiban_domain::consent::ConsentState;

    fn cast_of(seed: u64, people: u32) -> Cast {
        cast(&CitySpec::sample(seed, people, date(2026, 11, 22)).unwrap()).unwrap()
    }

    #[test]
    fn the_cast_is_the_same_whatever_the_seed_and_size_of_the_city() {
        assert_eq!(cast_of(1, 10), cast_of(99, 50_000));
    }

    #[test]
    fn each_member_of_the_cast_stands_where_the_story_needs_them() {
        for today in [date(2026, 11, 22), date(2026, 4, 1), date(2027, 8, 2), date(2028, 2, 29)] {
            let cast = cast(&CitySpec::sample(3, 100, today).unwrap()).unwrap();
            let state = |person: &SimPerson| ConsentState::of(person.consents.iter().map(|c| (&c.act, c.acted_at)));
            assert_eq!(cast.consenting.level(), Some(CareLevel::Care2));
            assert!(state(&cast.consenting).given_at.is_some() && cast.consenting.care.care_manager.is_some());
            assert_eq!(cast.without_consent.level(), Some(CareLevel::Care3));
            assert!(cast.without_consent.consents.is_empty() && cast.without_consent.care.planner.is_some());
            let [progress] = &cast.applying.applications[..] else { panic!("one application") };
            assert_eq!(progress.step(), Step::Gathering);
            assert!(progress.opinion_requested_from.is_some() && progress.opinion_received_on.is_none());
            assert_eq!(progress.opinion_requested_from, cast.applying.care.hospital);
            assert!(cast.withheld.insured.withheld && cast.withheld.level().is_some());
            assert!(state(&cast.withheld).given_at.is_some());
            assert!(matches!(cast.moved.insured.lost, Some((day, LossReason::MovedOut)) if day < today));
        }
    }

    #[test]
    fn nobody_else_uses_the_office_that_knows_where_the_withheld_person_is() {
        let spec = CitySpec::sample(1, 3_000, date(2026, 11, 22)).unwrap();
        let hidden = cast(&spec).unwrap().withheld.care.planner;
        let users: Vec<u32> =
            crate::people(&spec).filter(|person| person.care.planner == hidden).map(|person| person.n).collect();
        assert_eq!(users, [4]);
    }

    #[test]
    fn the_four_items_are_those_of_the_card() {
        let items = cast_of(1, 10).consenting.four_items();
        assert_eq!(items.number.insurer.as_str(), "999003");
        assert_eq!(items.number.insured.as_str(), "0001000001");
        assert!(items.kana.starts_with("カクウハナコカナリア"));
    }
}
