//! Files of the city in the real formats: the municipal package, whole, streamed, or as what changed since.

use crate::application::{plus, valid_period};
use crate::history::history;
use crate::people::{burden_year, higher};
use crate::random::Random;
use crate::{City, CitySpec, Generator, SimPerson};
use jiff::civil::Date;
use kiban_domain::application::CertificationApplication;
use kiban_domain::certification::{ApplicationKind, CertificationProgress, CertificationResult};
use kiban_domain::consent::{ConsentAct, ConsentRecord, ConsentState, Declarant, IdentityProof};
use kiban_domain::dates::instant_in_japan;
use kiban_domain::equipment_purchase::EquipmentPurchase;
use kiban_domain::home_modification::HomeModification;
use kiban_domain::insurance_card::{CardIssue, CopaymentPeriod, CopaymentRate, CostCeiling, InsuranceCard, Tenths};
use kiban_domain::insured::Insured;
use kiban_domain::limits::limit_units;
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::survey::CertificationSurvey;
use kiban_domain::{Organization, PersonKey, Timestamp};
use kiban_formats::Problem;
use kiban_formats::municipal::{Change, Entry, MANIFEST, MunicipalPackage};

/// Files of a package or a unit: name and bytes.
pub type Files = Vec<(String, Vec<u8>)>;

/// People whose rows stand in one file of a streamed package, at least.
const PEOPLE_PER_FILE: usize = 5_000;
/// Most lots of a package: a lot is a file of each kind, and a package has at most 1,000 files.
const MOST_LOTS: usize = 50;

fn people_per_file(spec: &CitySpec) -> usize {
    (spec.people as usize).div_ceil(MOST_LOTS).max(PEOPLE_PER_FILE)
}

/// Why a package was not finished.
#[derive(Debug)]
pub enum Stopped<E> {
    /// Whoever takes the files could not.
    Sink(E),
    /// The writer refused a record: an error of the simulator.
    Unwritable(Vec<Problem>),
}

/// The whole city as one municipal package, its manifest first.
pub fn city_package(city: &City) -> Result<Files, Vec<Problem>> {
    let mut files = Vec::new();
    let sink = &mut |name: &str, bytes: &[u8]| -> Result<(), std::convert::Infallible> {
        files.push((name.to_owned(), bytes.to_vec()));
        Ok(())
    };
    match write_people(&city.spec, city.people.iter().cloned(), sink) {
        Ok(()) => {
            files.rotate_right(1);
            Ok(files)
        }
        Err(Stopped::Unwritable(problems)) => Err(problems),
        Err(Stopped::Sink(never)) => match never {},
    }
}

/// The same in JSON, one file of each kind.
pub fn city_package_json(city: &City) -> Result<Files, Vec<Problem>> {
    let rows = Rows::of(&Generator::new(&city.spec), city.people.iter().cloned());
    let package = MunicipalPackage::new(city.spec.insurer, midnight(city.spec.today)).json();
    rows.add_to(package).finish()
}

/// The same for any size in constant memory: files one by one, each whole, the manifest last.
pub fn write_package_streaming<E>(
    spec: &CitySpec,
    sink: &mut impl FnMut(&str, &[u8]) -> Result<(), E>,
) -> Result<(), Stopped<E>> {
    write_people(spec, crate::people(spec), sink)
}

/// What changed of one in `every` people by a later day, for a city of any size: a correction of everybody's address, and
/// a new level, with its card, of those who have one.
pub fn write_differences_streaming<E>(
    spec: &CitySpec,
    day: Date,
    every: u32,
    sink: &mut impl FnMut(&str, &[u8]) -> Result<(), E>,
) -> Result<(), Stopped<E>> {
    let mut changing = crate::people(spec).filter(|person| person.n % every.max(1) == 0);
    let rows = || {
        let mut rows = Rows::default();
        for person in changing.by_ref().take(people_per_file(spec)) {
            raise_level(&mut rows, &person, day);
            let mut insured = person.insured;
            insured.identity.postal_code = Some("000-0000".to_owned());
            rows.insured.push(entry(insured.key, 2, Change::Corrected, insured));
        }
        rows
    };
    write_streamed(spec, noon(day), rows, |rows| rows.insured.is_empty(), sink)
}

/// The 負担割合 of the year in which a day lies, for everybody in a city of any size.
pub fn write_burden_streaming<E>(
    spec: &CitySpec,
    day: Date,
    sink: &mut impl FnMut(&str, &[u8]) -> Result<(), E>,
) -> Result<(), Stopped<E>> {
    let mut people = crate::people(spec);
    let rows = || {
        let mut rows = Rows::default();
        for person in people.by_ref().take(people_per_file(spec)) {
            let before = person.copayment.as_ref().and_then(|rate| rate.rows.last()).map(|row| row.rate);
            let value = before.or(Tenths::new(1)).zip(burden_year(day, Date::MIN)).map(|(rate, period)| {
                CopaymentRate { issued_on: plus(period.from(), -14), rows: vec![CopaymentPeriod { rate, period }] }
            });
            rows.copayment_rates.extend(value.map(|value| entry(person.insured.key, 3, Change::New, value)));
        }
        rows
    };
    write_streamed(spec, noon(day), rows, |rows| rows.copayment_rates.is_empty(), sink)
}

fn write_people<E>(
    spec: &CitySpec,
    mut people: impl Iterator<Item = SimPerson>,
    sink: &mut impl FnMut(&str, &[u8]) -> Result<(), E>,
) -> Result<(), Stopped<E>> {
    let generator = Generator::new(spec);
    let rows = || Rows::of(&generator, people.by_ref().take(people_per_file(spec)));
    write_streamed(spec, midnight(spec.today), rows, |rows| rows.insured.is_empty(), sink)
}

/// Writes rows as they come until there are none; each lot is a file of each kind.
fn write_streamed<E>(
    spec: &CitySpec,
    created_at: Timestamp,
    mut next: impl FnMut() -> Rows,
    is_end: impl Fn(&Rows) -> bool,
    sink: &mut impl FnMut(&str, &[u8]) -> Result<(), E>,
) -> Result<(), Stopped<E>> {
    let mut manifest: Vec<u8> = Vec::new();
    for number in 1.. {
        let rows = next();
        if is_end(&rows) && number > 1 {
            break;
        }
        let files = rows.write(spec, created_at).map_err(Stopped::Unwritable)?;
        for (name, bytes) in files {
            // Each piece is a package of its own whose files are numbered 001; here they get their place in the whole.
            if name == MANIFEST {
                let lines = String::from_utf8_lossy(&bytes).replace("_001.csv", &format!("_{number:03}.csv"));
                let header = if number == 1 { 0 } else { lines.find('\n').map_or(0, |end| end + 1) };
                manifest.extend_from_slice(&lines.as_bytes()[header..]);
            } else {
                let name = name.replace("_001.csv", &format!("_{number:03}.csv"));
                sink(&name, &bytes).map_err(Stopped::Sink)?;
            }
        }
    }
    sink(MANIFEST, &manifest).map_err(Stopped::Sink)
}

/// Noon of a day in Japan: after everything else of the day was made.
fn noon(day: Date) -> Timestamp {
    instant_in_japan(day.at(12, 0, 0, 0)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The first instant of a day in Japan: nothing in a package lies after it was made.
fn midnight(day: Date) -> Timestamp {
    instant_in_japan(day.at(0, 0, 0, 0)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Records by file.
#[derive(Debug, Default)]
struct Rows {
    insured: Vec<Entry<Insured>>,
    cards: Vec<Entry<InsuranceCard>>,
    copayment_rates: Vec<Entry<CopaymentRate>>,
    cost_ceilings: Vec<Entry<CostCeiling>>,
    progress: Vec<Entry<CertificationProgress>>,
    applications: Vec<Entry<CertificationApplication>>,
    surveys: Vec<Entry<CertificationSurvey>>,
    opinions: Vec<Entry<PhysicianOpinion>>,
    works: Vec<Entry<HomeModification>>,
    purchases: Vec<Entry<EquipmentPurchase>>,
    consents: Vec<Entry<ConsentRecord>>,
}

fn entry<T>(key: PersonKey, history: usize, change: Change, value: T) -> Entry<T> {
    Entry { key, history: history as u32, change, value }
}

/// New records, numbered from 1.
fn numbered<T>(key: PersonKey, values: Vec<T>) -> impl Iterator<Item = Entry<T>> {
    values.into_iter().zip(1..).map(move |(value, history)| entry(key, history, Change::New, value))
}

impl Rows {
    fn of(generator: &Generator, people: impl Iterator<Item = SimPerson>) -> Self {
        let mut rows = Self::default();
        for person in people {
            let key = person.insured.key;
            let kept = history(generator, &person);
            rows.applications.extend(numbered(key, kept.applications));
            rows.surveys.extend(numbered(key, kept.surveys));
            rows.opinions.extend(numbered(key, kept.opinions));
            rows.works.extend(numbered(key, kept.works));
            rows.purchases.extend(numbered(key, kept.purchases));
            rows.insured.push(entry(key, 1, Change::New, person.insured));
            rows.cards.push(entry(key, 1, Change::New, person.card));
            rows.copayment_rates.extend(person.copayment.map(|rate| entry(key, 1, Change::New, rate)));
            rows.cost_ceilings.extend(person.ceiling.map(|ceiling| entry(key, 1, Change::New, ceiling)));
            rows.progress.extend(numbered(key, person.applications));
            rows.consents.extend(numbered(key, person.consents));
        }
        rows
    }

    fn write(&self, spec: &CitySpec, created_at: Timestamp) -> Result<Files, Vec<Problem>> {
        self.add_to(MunicipalPackage::new(spec.insurer, created_at)).finish()
    }

    fn add_to(&self, package: MunicipalPackage) -> MunicipalPackage {
        package
            .insured(&self.insured)
            .cards(&self.cards)
            .copayment_rates(&self.copayment_rates)
            .cost_ceilings(&self.cost_ceilings)
            .progress(&self.progress)
            .records(&self.applications)
            .records(&self.surveys)
            .records(&self.opinions)
            .records(&self.works)
            .records(&self.purchases)
            .consents(&self.consents)
    }
}

/// What changed in the city by a later day, as a package of its own: new levels for some, a correction of an address,
/// consents withdrawn, and from 1 August (until the end of September) the burden rates of the new year.
pub fn difference_package(city: &City, day: Date) -> Result<Files, Vec<Problem>> {
    let mut rows = Rows::default();
    for person in city.people.iter().filter(|person| person.insured.lost.is_none()) {
        let mut random = Random::new(city.spec.seed, person.n, "difference");
        // The first of the cast always changes, so that a demo can show it.
        if person.n == 1 || random.chance(20) {
            raise_level(&mut rows, person, day);
        }
        if (8..=9).contains(&day.month()) {
            rows.copayment_rates.extend(new_rate(&mut random, person, day));
        }
        if random.chance(30) {
            rows.consents.extend(withdrawal(city, person, day));
        }
        if random.chance(5) {
            let mut insured = person.insured.clone();
            insured.identity.postal_code = Some("000-0000".to_owned());
            rows.insured.push(entry(insured.key, 2, Change::Corrected, insured));
        }
    }
    rows.write(&city.spec, midnight(day))
}

/// 区分変更: application a month ago, decided and sent out the day before.
fn raise_level(rows: &mut Rows, person: &SimPerson, day: Date) {
    let Some(mut certified) = person.card.certified.clone().filter(|certified| certified.valid.is_some()) else {
        return;
    };
    let (applied_on, decided_on) = (plus(day, -25), plus(day, -1));
    let level = higher(certified.level);
    let valid = valid_period(applied_on, 6);
    let mut progress = CertificationProgress::apply(applied_on, ApplicationKind::Change);
    progress.result = Some(CertificationResult {
        level,
        decided_on,
        valid,
        months: Some(6),
        board_opinion: certified.board_opinion.clone(),
        reason: None,
        notified_on: Some(decided_on),
        card_issued_on: Some(decided_on),
    });
    certified.level = level;
    certified.decided_on = decided_on;
    certified.valid = valid;
    certified.limit_units = limit_units(level, applied_on);
    certified.limit_period = valid;
    let card =
        InsuranceCard { issue: CardIssue::Issued(decided_on), certified: Some(certified), ..person.card.clone() };
    let key = person.insured.key;
    rows.cards.push(entry(key, 2, Change::New, card));
    rows.progress.push(entry(key, person.applications.len() + 1, Change::New, progress));
}

/// The 負担割合証 of the year that began on 1 August; one in twenty pays another rate than before.
fn new_rate(random: &mut Random, person: &SimPerson, day: Date) -> Option<Entry<CopaymentRate>> {
    let before = person.copayment.as_ref()?.rows.last()?.rate;
    let changed = if before.get() == 1 { Tenths::new(2)? } else { Tenths::new(1)? };
    let rate = if random.chance(50) { changed } else { before };
    let period = burden_year(day, Date::MIN)?;
    let issued_on = plus(period.from(), -14);
    let value = CopaymentRate { issued_on, rows: vec![CopaymentPeriod { rate, period }] };
    Some(entry(person.insured.key, 2, Change::New, value))
}

/// Somebody with a live consent withdraws it at the city's counter, the day before.
fn withdrawal(city: &City, person: &SimPerson, day: Date) -> Option<Entry<ConsentRecord>> {
    let acts = person.consents.iter().map(|record| (&record.act, record.acted_at));
    ConsentState::of(acts).given_at?;
    let record = ConsentRecord {
        person: person.insured.key,
        act: ConsentAct::Withdrawn,
        acted_at: instant_in_japan(plus(day, -1).at(15, 0, 0, 0))?,
        declarant: Declarant::Person,
        proof: IdentityProof::IndividualNumberCard,
        taken_by: Organization::Municipality(city.insurer),
        staff: None,
        form: crate::consents::FORM.to_owned(),
        remark: None,
        leaflet: None,
        evidence: None,
    };
    Some(entry(person.insured.key, person.consents.len() + 1, Change::New, record))
}
