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
            sketch.full_plan = true;
        }
        2 => {
            sketch.surname = ("例示", "レイジ");
            sketch.certified = Some(CareLevel::Care3);
            sketch.planner_at = Some(OTHER_PLANNING);
            sketch.full_plan = true;
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
