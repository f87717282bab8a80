//! The insured of the city: person `n` follows from the seed and `n` alone, so that a million of them never have to be
//! in memory at the same time.

use crate::application::{Asked, board_opinion, close, course, plus, until, valid_period};
use crate::canary;
use crate::cast;
use crate::offices::{Role, SimOffice, offices};
use crate::random::Random;
use crate::{CitySpec, cards, consents};
use jiff::civil::Date;
use kiban_domain::certification::{ApplicationKind, CareLevel, CertificationProgress, CertificationResult, Closing};
use kiban_domain::consent::ConsentRecord;
use kiban_domain::dates::{Period, age_on};
use kiban_domain::insurance_card::{CopaymentRate, CostCeiling, InsuranceCard};
use kiban_domain::insured::{
    AcquisitionReason, DomicileFacility, FourItems, Identity, Insured, LossReason, Sex, normalize_kana,
};
use kiban_domain::office::{JobType, Staff};
use kiban_domain::{InsuredNumber, InsurerNumber, OfficeNumber, PersonKey};

/// An invented insured person with everything the municipality knows of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimPerson {
    /// Number in the city, from 1.
    pub n: u32,
    /// Row 被保険者.
    pub insured: Insured,
    /// 被保険者証
    pub card: InsuranceCard,
    /// 負担割合証
    pub copayment: Option<CopaymentRate>,
    /// 負担限度額認定証
    pub ceiling: Option<CostCeiling>,
    /// Applications, oldest first; the history number is the position from 1.
    pub applications: Vec<CertificationProgress>,
    /// Acts of consent, oldest first; the history number is the position from 1.
    pub consents: Vec<ConsentRecord>,
    /// Offices around the person.
    pub care: Care,
}

impl SimPerson {
    /// Level on the card, if certified.
    pub fn level(&self) -> Option<CareLevel> {
        self.card.certified.as_ref().map(|certified| certified.level)
    }

    /// The four items as staff type them from the card (P-103).
    pub fn four_items(&self) -> FourItems {
        let identity = &self.insured.identity;
        FourItems {
            number: PersonKey { insurer: self.insured.card_insurer, insured: self.insured.key.insured },
            kana: normalize_kana(&identity.kana),
            birth: identity.birth,
            sex: identity.sex,
        }
    }
}

/// Offices around a person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Care {
    /// Hospital of the 主治医.
    pub hospital: Option<OfficeNumber>,
    /// Office that makes the plan: 居宅介護支援, 地域包括支援センター or 小規模多機能.
    pub planner: Option<OfficeNumber>,
    /// The care manager there who makes it.
    pub care_manager: Option<Staff>,
    /// Offices whose services are in the plan.
    pub services: Vec<OfficeNumber>,
    /// Facility in which the person lives.
    pub facility: Option<OfficeNumber>,
}

/// Makes people of one city.
#[derive(Debug, Clone)]
pub struct Generator {
    spec: CitySpec,
    offices: Vec<SimOffice>,
}

impl Generator {
    /// Opens the offices of the city; people follow one by one.
    pub fn new(spec: &CitySpec) -> Self {
        Self { spec: spec.clone(), offices: offices(spec.card_insurer, spec.people) }
    }

    /// The city.
    pub fn spec(&self) -> &CitySpec {
        &self.spec
    }

    /// Its offices.
    pub fn offices(&self) -> &[SimOffice] {
        &self.offices
    }

    /// An office by its number.
    pub fn office(&self, number: OfficeNumber) -> Option<&SimOffice> {
        self.offices.iter().find(|office| office.number() == number)
    }

    /// Person `n`, from 1. The first few are the cast of the demo, the same for every seed.
    pub fn person(&self, n: u32) -> Option<SimPerson> {
        let sketch =
            cast::sketch(n, self.spec.today).unwrap_or_else(|| Sketch::draw(self.spec.seed, n, self.spec.today));
        self.finish(n, sketch)
    }

    /// All people in order.
    pub fn people(self) -> impl Iterator<Item = SimPerson> {
        (1..=self.spec.people()).filter_map(move |n| self.person(n))
    }

    /// An office of a role, the same one for the same draw.
    pub(crate) fn one_of(&self, random: &mut Random, role: Role) -> Option<&SimOffice> {
        let count = self.offices.iter().filter(|office| office.role == role).count();
        let at = random.below(count as u32) as usize;
        self.offices.iter().filter(|office| office.role == role).nth(at)
    }

    fn finish(&self, n: u32, sketch: Sketch) -> Option<SimPerson> {
        let as_of = sketch.as_of(self.spec.today);
        let mut random = Random::new(sketch.seed, n, "care");
        let hospital_role = if random.chance(700) { Role::Hospital } else { Role::HospitalWithNursing };
        let hospital = match sketch.hospital_at {
            Some(at) => self.offices.get(at),
            None => self.one_of(&mut random, hospital_role),
        };
        let mut person = SimPerson {
            n,
            insured: self.insured(n, &sketch)?,
            card: cards::never_issued(),
            copayment: None,
            ceiling: None,
            applications: sketch.applications(n, as_of, hospital.map(SimOffice::number)),
            consents: Vec::new(),
            care: Care { hospital: hospital.map(SimOffice::number), ..Care::default() },
        };
        if let Some(result) = sketch.printed(&person.applications, as_of) {
            self.arrange_care(&mut random, &mut person, &sketch, &result);
            if n.is_multiple_of(5) {
                person.commission_survey();
            }
            cards::certify(self, &mut person, &sketch, &result);
        } else if sketch.has_card {
            cards::issue_blank(&mut person, sketch.seed);
        }
        if sketch.project_target && person.card.certified.is_none() {
            cards::project_target(self, &mut person, &sketch);
        }
        consents::record(self, &mut person, &sketch);
        Some(person)
    }

    fn insured(&self, n: u32, sketch: &Sketch) -> Option<Insured> {
        let insured =
            if sketch.on_public_aid { format!("H{:09}", 1_000_000 + n) } else { format!("{:010}", 1_000_000 + n) };
        let mut random = Random::new(sketch.seed, n, "identity");
        let (surname, surname_kana) = sketch.surname;
        let (given, given_kana) = sketch.given;
        let place =
            if sketch.domicile_exception { "架空県別荘市想定町" } else { "架空県見本市例示町" };
        Some(Insured {
            key: PersonKey { insurer: self.spec.insurer, insured: InsuredNumber::parse(&insured).ok()? },
            card_insurer: self.spec.card_insurer,
            identity: Identity {
                name: format!("{surname} {given}{}", canary::name(n)),
                kana: format!("{surname_kana} {given_kana}{}", canary::kana(n)),
                birth: sketch.birth,
                sex: sketch.sex,
                postal_code: Some(format!("000-{:04}", random.below(10_000))),
                address: Some(format!(
                    "{place}{}丁目{}番{}号 {}",
                    random.between(1, 9),
                    random.between(1, 30),
                    random.between(1, 20),
                    canary::word("住所", n)
                )),
                telephone: Some(canary::telephone(n)),
            },
            withheld: sketch.withheld,
            acquired_on: acquired_on(sketch.birth, sketch.as_of(self.spec.today)),
            lost: sketch.lost,
            domicile_exception: sketch.domicile_exception,
            acquired_because: Some(if age_on(sketch.birth, sketch.as_of(self.spec.today)) >= 65 {
                AcquisitionReason::Age
            } else {
                AcquisitionReason::SecondCategory
            }),
            domicile_facility: sketch.domicile_exception.then(|| DomicileFacility {
                name: Some("特別養護老人ホームべっそう".to_owned()),
                insurer: InsurerNumber::parse(NEIGHBOUR).ok(),
            }),
        })
    }

    fn arrange_care(&self, random: &mut Random, person: &mut SimPerson, sketch: &Sketch, result: &CertificationResult) {
        let role = sketch.living.unwrap_or_else(|| living(random, result.level));
        let home = match sketch.planner_at {
            Some(at) => self.offices.get(at),
            None => self.one_of(random, role),
        };
        let Some(home) = home else { return };
        match role {
            Role::NursingHome | Role::HealthFacility | Role::GroupHome => person.care.facility = Some(home.number()),
            _ => person.care.planner = Some(home.number()),
        }
        let managers: Vec<&Staff> = home.staff.iter().filter(|staff| staff.job == JobType::CareManager).collect();
        person.care.care_manager = random.pick(&managers).map(|staff| (*staff).clone());
        if matches!(role, Role::Planning | Role::HiddenPlanning) {
            let wanted = [(Role::HomeHelp, 700), (Role::DayCare, 650), (Role::Equipment, 500), (Role::Nursing, 200)];
            for (role, per_mille) in wanted {
                // The cast uses the first office of each kind, however large the city is.
                let office = match sketch.planner_at {
                    Some(_) => self.offices.iter().find(|office| office.role == role),
                    None if random.chance(per_mille) => self.one_of(random, role),
                    None => None,
                };
                person.care.services.extend(office.map(SimOffice::number));
            }
        }
    }
}

/// Where somebody of a level lives and who makes the plan.
fn living(random: &mut Random, level: CareLevel) -> Role {
    let heavy = level >= CareLevel::Care3;
    if level < CareLevel::Care1 {
        return Role::Community;
    }
    let weights = if heavy { [520, 260, 110, 50, 60] } else { [860, 0, 40, 50, 50] };
    match random.weighted(&weights) {
        1 => Role::NursingHome,
        2 => Role::HealthFacility,
        3 => Role::MultiService,
        4 => Role::GroupHome,
        _ => Role::Planning,
    }
}

/// 保険者番号 of the invented municipality in which the facilities of 住所地特例 stand.
const NEIGHBOUR: &str = "990010";

/// 資格取得日: the day on which the age of 65 is completed; for the second insured, who come into the register when they
/// apply, that of 40.
fn acquired_on(birth: Date, as_of: Date) -> Date {
    let years = if age_on(birth, as_of) >= 65 { 65 } else { 40 };
    match Date::new(birth.year() + years, birth.month(), birth.day()) {
        Ok(birthday) => plus(birthday, -1),
        // Born on 29 February, and this year has none: completed at the end of the 28th.
        Err(_) => Date::new(birth.year() + years, 2, 28).unwrap_or(birth),
    }
}

/// What is decided about a person before the details are drawn; the cast fills it by hand.
#[derive(Debug, Clone)]
pub(crate) struct Sketch {
    pub seed: u64,
    pub birth: Date,
    pub sex: Sex,
    pub surname: (&'static str, &'static str),
    pub given: (&'static str, &'static str),
    pub withheld: bool,
    pub lost: Option<(Date, LossReason)>,
    pub domicile_exception: bool,
    pub on_public_aid: bool,
    pub has_card: bool,
    pub card_is_lost: bool,
    pub project_target: bool,
    pub restricted: bool,
    /// Level decided by a past application.
    pub certified: Option<CareLevel>,
    /// Application now running: its kind, 申請日, 取下げ or 却下.
    pub running: Option<(ApplicationKind, Date)>,
    pub closing: Option<bool>,
    /// Consent: given, withdrawn, a kind refused, not obtainable, none.
    pub consent: Consenting,
    /// Fixed places in the list of offices, for the cast.
    pub hospital_at: Option<usize>,
    pub planner_at: Option<usize>,
    pub living: Option<Role>,
}

/// What a person has declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consenting {
    Nothing,
    Given,
    Withdrawn,
    KindRefused,
    NotObtainable,
}

const SURNAMES: [(&str, &str); 12] = [
    ("架空", "カクウ"),
    ("例示", "レイジ"),
    ("見本", "ミホン"),
    ("仮名", "カメイ"),
    ("想定", "ソウテイ"),
    ("試行", "シコウ"),
    ("模擬", "モギ"),
    ("範例", "ハンレイ"),
    ("例題", "レイダイ"),
    ("仮想", "カソウ"),
    ("仮定", "カテイ"),
    ("創作", "ソウサク"),
];
const GIVEN_FEMALE: [(&str, &str); 8] = [
    ("花子", "ハナコ"),
    ("良子", "ヨシコ"),
    ("梅", "ウメ"),
    ("松江", "マツエ"),
    ("春美", "ハルミ"),
    ("千代", "チヨ"),
    ("和枝", "カズエ"),
    ("幸", "サチ"),
];
const GIVEN_MALE: [(&str, &str); 8] = [
    ("太郎", "タロウ"),
    ("一郎", "イチロウ"),
    ("次郎", "ジロウ"),
    ("和夫", "カズオ"),
    ("正", "タダシ"),
    ("清", "キヨシ"),
    ("茂", "シゲル"),
    ("実", "ミノル"),
];

impl SimPerson {
    /// The office that makes the plan surveys for the city.
    fn commission_survey(&mut self) {
        let asked = self.applications.iter_mut().filter(|progress| progress.survey_requested_on.is_some());
        asked.for_each(|progress| progress.survey_commissioned_to = self.care.planner);
    }
}

impl Sketch {
    /// Somebody without anything yet.
    pub(crate) fn blank(seed: u64, birth: Date, sex: Sex) -> Self {
        Self {
            seed,
            birth,
            sex,
            surname: SURNAMES[0],
            given: if sex == Sex::Female { GIVEN_FEMALE[0] } else { GIVEN_MALE[0] },
            withheld: false,
            lost: None,
            domicile_exception: false,
            on_public_aid: false,
            has_card: true,
            card_is_lost: false,
            project_target: false,
            restricted: false,
            certified: None,
            running: None,
            closing: None,
            consent: Consenting::Nothing,
            hospital_at: None,
            planner_at: None,
            living: None,
        }
    }

    fn draw(seed: u64, n: u32, today: Date) -> Self {
        let mut random = Random::new(seed, n, "person");
        let age = age(&mut random);
        let birth = plus(
            Date::new(today.year() - age, today.month(), today.day().min(28)).unwrap_or(today),
            -random.between(1, 364),
        );
        let female = random.chance(if age >= 90 {
            740
        } else if age >= 80 {
            610
        } else {
            540
        });
        let mut sketch = Self::blank(seed, birth, if female { Sex::Female } else { Sex::Male });
        sketch.surname = *random.pick(&SURNAMES).unwrap_or(&SURNAMES[0]);
        sketch.given = *random.pick(if female { &GIVEN_FEMALE } else { &GIVEN_MALE }).unwrap_or(&GIVEN_MALE[0]);
        sketch.withheld = random.chance(3);
        sketch.domicile_exception = random.chance(10);
        sketch.has_card = random.chance(960);
        sketch.card_is_lost = random.chance(8);
        sketch.restricted = random.chance(6);
        sketch.draw_certification(&mut random, age_on(birth, today), today);
        sketch.draw_consent(&mut random);
        if random.chance(20) {
            let reason = [LossReason::Died, LossReason::MovedOut, LossReason::Other];
            let days = random.between(1, 300);
            sketch.lost = Some((plus(today, -days), reason[random.weighted(&[550, 400, 50])]));
            sketch.running = sketch.running.map(|(kind, applied_on)| (kind, plus(applied_on, -days)));
        }
        sketch
    }

    /// The day until which the city kept records of the person.
    pub(crate) fn as_of(&self, today: Date) -> Date {
        self.lost.map_or(today, |(day, _)| day.min(today))
    }

    fn draw_certification(&mut self, random: &mut Random, age: i16, today: Date) {
        if age < 65 {
            self.on_public_aid = random.chance(60);
            self.has_card = true;
            if random.chance(900) {
                self.certified = Some(level(random, age));
            } else {
                self.running = Some((ApplicationKind::New, plus(today, -random.between(1, 34))));
            }
        } else if random.chance(share_certified(age)) {
            self.certified = Some(level(random, age));
        } else if random.chance(if age >= 75 { 14 } else { 4 }) {
            self.running = Some((ApplicationKind::New, plus(today, -random.between(1, 36))));
            self.closing = random.chance(50).then(|| random.chance(800));
        } else {
            self.project_target = age >= 72 && random.chance(12);
        }
        if self.certified.is_some() && random.chance(15) {
            self.running = Some((ApplicationKind::Change, plus(today, -random.between(1, 34))));
        }
    }

    fn draw_consent(&mut self, random: &mut Random) {
        if self.certified.is_none() && self.running.is_none() {
            return;
        }
        self.consent = match random.weighted(&[340, 590, 25, 30, 15]) {
            1 => Consenting::Given,
            2 => Consenting::Withdrawn,
            3 => Consenting::KindRefused,
            4 => Consenting::NotObtainable,
            _ => Consenting::Nothing,
        };
    }

    /// Past and running applications as known today.
    fn applications(&self, n: u32, today: Date, hospital: Option<OfficeNumber>) -> Vec<CertificationProgress> {
        let mut random = Random::new(self.seed, n, "applications");
        let mut applications = Vec::new();
        let mut valid_to = None;
        if let Some(level) = self.certified {
            let asked = past(&mut random, n, level, today, hospital);
            valid_to = valid_period(asked.valid_from, i32::from(asked.months)).and_then(|period| period.to());
            applications.push(until(course(&mut random, asked), today));
        }
        if let Some(asked) = self.current(&mut random, n, today, valid_to, hospital) {
            let progress = course(&mut random, asked);
            applications.push(self.ended(&mut random, progress, asked.applied_on, today));
        }
        applications
    }

    /// The application running now: the one drawn, or a renewal when the end of the validity is near.
    fn current(
        &self,
        random: &mut Random,
        n: u32,
        today: Date,
        valid_to: Option<Date>,
        hospital: Option<OfficeNumber>,
    ) -> Option<Asked> {
        let before = self.certified.unwrap_or(CareLevel::NotEligible);
        let first_day = valid_to.map(|end| plus(end, -59));
        let (kind, applied_on) = match (self.running, first_day) {
            (Some(running), _) => running,
            (None, Some(first)) if first < today && self.planner_at.is_none() && random.chance(750) => {
                let days = (today - first).get_days().clamp(1, 30) - 1;
                (ApplicationKind::Renewal, plus(first, random.between(0, days)))
            }
            _ => return None,
        };
        let level = match kind {
            ApplicationKind::New if random.chance(50) => CareLevel::NotEligible,
            ApplicationKind::New => level(random, age_on(self.birth, today)),
            ApplicationKind::Change => higher(before),
            _ if random.chance(250) => higher(before),
            _ => before,
        };
        let (valid_from, months) = match (kind, valid_to) {
            (ApplicationKind::Renewal, Some(end)) => (plus(end, 1), if level == before { 36 } else { 12 }),
            _ => (applied_on, 6),
        };
        Some(Asked { n, applied_on, kind, level, valid_from, months, hospital })
    }

    fn ended(
        &self,
        random: &mut Random,
        progress: CertificationProgress,
        applied: Date,
        today: Date,
    ) -> CertificationProgress {
        if let Some((day, _)) = self.lost.filter(|(day, _)| *day >= applied) {
            return close(progress, Closing::Lapsed(day));
        }
        let day = plus(applied, random.between(1, 6)).min(today);
        match self.closing {
            Some(true) => close(progress, Closing::Withdrawn(day)),
            Some(false) => close(progress, Closing::Rejected(day)),
            None => until(progress, today),
        }
    }

    /// The result that is printed on the card: the latest that was sent out and gave a level.
    fn printed(&self, applications: &[CertificationProgress], today: Date) -> Option<CertificationResult> {
        let sent = |result: &&CertificationResult| {
            result.notified_on.is_some_and(|day| day <= today) && result.valid.is_some()
        };
        applications.iter().rev().filter_map(|progress| progress.result.as_ref()).find(sent).cloned()
    }
}

/// The application behind today's certification.
fn past(random: &mut Random, n: u32, level: CareLevel, today: Date, hospital: Option<OfficeNumber>) -> Asked {
    let kind = match random.weighted(&[620, 250, 100, 30]) {
        0 => ApplicationKind::Renewal,
        1 => ApplicationKind::New,
        2 => ApplicationKind::Change,
        _ => ApplicationKind::Transfer,
    };
    if kind == ApplicationKind::Renewal {
        let months = [12, 24, 36, 48][random.weighted(&[300, 250, 300, 150])];
        let elapsed = random.between(0, i32::from(months) - 1);
        let valid_from = kiban_domain::dates::ServiceMonth::of(today).plus(-elapsed).first_day();
        let applied_on = plus(valid_from, -random.between(50, 60));
        return Asked { n, applied_on, kind, level, valid_from, months, hospital };
    }
    let months = [6, 12][random.weighted(&[700, 300])];
    let applied_on = plus(today, -random.between(60, 30 * i32::from(months)));
    Asked { n, applied_on, kind, level, valid_from: applied_on, months, hospital }
}

/// Age in years: mostly 65 and over; people of 40 to 64 are in the register only when certified or applying.
fn age(random: &mut Random) -> i16 {
    const BANDS: [(i32, i32, u32); 9] = [
        (41, 55, 4),
        (56, 64, 12),
        (65, 69, 205),
        (70, 74, 238),
        (75, 79, 198),
        (80, 84, 168),
        (85, 89, 113),
        (90, 94, 51),
        (95, 104, 11),
    ];
    let weights = BANDS.map(|(_, _, weight)| weight);
    let (low, high, _) = BANDS[random.weighted(&weights)];
    random.between(low, high) as i16
}

/// Certified people per thousand of an age.
fn share_certified(age: i16) -> u32 {
    match age {
        ..70 => 28,
        70..75 => 58,
        75..80 => 122,
        80..85 => 262,
        85..90 => 485,
        90..95 => 730,
        _ => 900,
    }
}

/// A level: the older, the heavier.
fn level(random: &mut Random, age: i16) -> CareLevel {
    let weights = match age {
        ..75 => [17, 16, 19, 17, 12, 11, 8],
        75..85 => [19, 17, 21, 15, 11, 10, 7],
        85..90 => [15, 15, 22, 16, 12, 12, 8],
        _ => [8, 11, 20, 18, 16, 17, 10],
    };
    CareLevel::ALL[2 + random.weighted(&weights)]
}

/// The next level up, 要介護５ at most.
pub(crate) fn higher(level: CareLevel) -> CareLevel {
    CareLevel::ALL.into_iter().find(|next| *next > level && *next >= CareLevel::Support1).unwrap_or(CareLevel::Care5)
}

/// A result's board opinion, or the person's own word when there is none.
pub(crate) fn opinion_of(n: u32, result: &CertificationResult) -> Option<String> {
    result.board_opinion.as_ref().map(|_| board_opinion(n))
}

/// A period inside the burden year (1 August to 31 July) of a day, beginning no earlier than `from`.
pub(crate) fn burden_year(day: Date, from: Date) -> Option<Period> {
    let year = if day.month() >= 8 { day.year() } else { day.year() - 1 };
    let first = Date::new(year, 8, 1).ok()?;
    let last = Date::new(year + 1, 7, 31).ok()?;
    Period::new(first.max(from).min(last), Some(last)).ok()
}
