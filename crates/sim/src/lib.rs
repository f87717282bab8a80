//! A synthetic municipality from a seed, written as files in the real formats. Everybody in it is invented and says so.
//!
//! No clock and no I/O: the day is an argument, files are bytes. The same seed gives the same bytes.
//!
//! | module | what it makes |
//! |---|---|
//! | [`people`] | the insured, each from the seed and a number alone |
//! | [`offices`] | offices, hospitals and the accounts of their staff |
//! | [`cast`] | the people a demo tells its story with, the same for every seed |
//! | [`files`] | municipal packages: the whole city, streamed for any size, and what changed since |
//! | [`plans`] | ケアプラン標準仕様 files of people with a 居宅介護支援事業所 |
//! | [`history`] | applications, surveys, past opinions, works and purchases of a person |
//! | [`documents`] | a 主治医意見書 and a 届出 for a story |
//! | [`faults`] | files with one fault each and the rule that must be named |
//! | [`canary`] | the unmistakable word in every free item; [`needle`] finds them in any bytes |

mod application;
pub mod canary;
mod cards;
pub mod cast;
mod consents;
pub mod documents;
pub mod faults;
pub mod files;
pub mod history;
pub mod needle;
pub mod offices;
pub mod people;
pub mod plans;
mod random;

pub use canary::canaries;
pub use cast::{Cast, cast};
pub use files::{
    city_package, city_package_json, difference_package, write_burden_streaming, write_differences_streaming,
    write_package_streaming,
};
pub use needle::{Hit, Needle, find_canary};
pub use offices::{Role, SimOffice};
pub use people::{Care, Generator, SimPerson};
pub use plans::{care_plan_files, office_plan_files};

use jiff::civil::Date;
use kiban_domain::ids::IdError;
use kiban_domain::office::Staff;
use kiban_domain::{InsurerNumber, Organization};

/// Which city to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CitySpec {
    /// Same seed, same city.
    pub seed: u64,
    /// The paying insurer.
    pub insurer: InsurerNumber,
    /// Number printed on the card; another one inside a 広域連合 (P-038).
    pub card_insurer: InsurerNumber,
    /// Name of the city.
    pub name: String,
    /// Number of insured people. At least the cast is made.
    pub people: u32,
    /// The day the city is looked at; everything in it lies on or before this day.
    pub today: Date,
}

impl CitySpec {
    /// 架空県見本市 (999003), a city that does not exist.
    pub fn sample(seed: u64, people: u32, today: Date) -> Result<Self, IdError> {
        let insurer = InsurerNumber::parse("999003")?;
        Ok(Self { seed, insurer, card_insurer: insurer, name: "架空県見本市".to_owned(), people, today })
    }

    /// People made: at least the cast, at most what one package can number its files for.
    pub fn people(&self) -> u32 {
        self.people.clamp(cast::CAST, 4_900_000)
    }
}

/// A whole city in memory; for a large one use [`people`](fn@people) instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct City {
    /// What it was made from.
    pub spec: CitySpec,
    /// The paying insurer.
    pub insurer: InsurerNumber,
    /// Name of the city.
    pub name: String,
    /// Offices and hospitals with their staff.
    pub offices: Vec<SimOffice>,
    /// Officers of the city.
    pub officers: Vec<Staff>,
    /// Two people of the operator.
    pub operators: Vec<Staff>,
    /// The insured.
    pub people: Vec<SimPerson>,
}

impl City {
    /// Makes the city.
    pub fn generate(spec: &CitySpec) -> Self {
        let generator = Generator::new(spec);
        Self {
            spec: spec.clone(),
            insurer: spec.insurer,
            name: spec.name.clone(),
            offices: generator.offices().to_vec(),
            officers: offices::officers(spec.insurer),
            operators: offices::operators(),
            people: generator.people().collect(),
        }
    }

    /// Every account with the organisation it belongs to.
    pub fn staff(&self) -> impl Iterator<Item = (Organization, &Staff)> {
        let of_offices = self
            .offices
            .iter()
            .flat_map(|office| office.staff.iter().map(|staff| (Organization::Office(office.number()), staff)));
        let of_city = self.officers.iter().map(|staff| (Organization::Municipality(self.insurer), staff));
        of_offices.chain(of_city).chain(self.operators.iter().map(|staff| (Organization::Operator, staff)))
    }

    /// An office of a role, the first one.
    pub fn office(&self, role: Role) -> Option<&SimOffice> {
        self.offices.iter().find(|office| office.role == role)
    }
}

/// The people of a city one by one, in constant memory.
pub fn people(spec: &CitySpec) -> impl Iterator<Item = SimPerson> {
    Generator::new(spec).people()
}
