//! LIFE files become sheets and claims keep registrations alive, on either database (P-141, P-173).

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use jiff::SignedDuration;
use jiff::civil::date;
use kiban_domain::life::LifeSheet;
use kiban_domain::office::JobType;
use kiban_domain::{Kind, Organization};
use kiban_service::{Caller, Context, Error, IntakeResult};
use kiban_sim::{Role, SimPerson};
use support::{World, addresses, asked, context, items, now};

fn at(seconds: i64) -> Context {
    Context::new(now() + SignedDuration::from_secs(seconds)).unwrap()
}

const DAY: i64 = 86_400;

/// A day-care office with two people registered for it.
struct Desk {
    world: World,
    office: Caller,
    city: Caller,
    people: Vec<(SimPerson, String)>,
}

impl Desk {
    async fn new(address: Option<String>) -> Self {
        let world = World::loaded(address).await;
        world.start().await;
        let office = world.office(Role::DayCare, JobType::CareWorker).await;
        let officer = world.city.officers.first().unwrap().clone();
        let city = world.caller(Organization::Municipality(world.city.insurer), &officer).await;
        let mut people = Vec::new();
        let ordinary =
            world.city.people.iter().filter(|person| !person.insured.withheld && person.insured.lost.is_none());
        for person in ordinary.take(2) {
            let registered = world.platform.register_office(&office, asked(items(person, false)), &context()).await;
            people.push((person.clone(), registered.unwrap().handle));
        }
        Self { world, office, city, people }
    }

    /// An evaluation of a person: number, day, points code and weight.
    fn row(&self, person: usize, number: &str, day: &str, meal: &str, weight: &str) -> String {
        let key = self.people[person].0.insured.key;
        let card = self.people[person].0.insured.card_insurer;
        let office = self.office.organization;
        format!("{office},15,{card},{},{number},2,{day},{meal},{weight}\r\n", key.insured)
    }

    async fn send(&self, rows: &[String], seconds: i64) -> Result<IntakeResult, Error> {
        let head = "FORM_0000_2021\r\ncare_facility_id,service_code,insurer_no,insured_no,external_system_management_number,facility_outpatient_category,evaluate_date,barthel_index_meal,weight\r\n";
        let files = vec![("FORM_0000_2021.csv".to_owned(), (head.to_owned() + &rows.concat()).into_bytes())];
        self.world.platform.import_life(&self.office, files, &at(seconds)).await
    }

    async fn sheets(&self, person: usize) -> Vec<LifeSheet> {
        let (handle, context) = (&self.people[person].1, at(900));
        let view = self.world.platform.view_kind::<Error>(&self.office, handle, Kind::C1, Ok(None), &context);
        let documents = view.await.unwrap().documents;
        documents.into_iter().map(|document| serde_json::from_value(document.content).unwrap()).collect()
    }
}

fn counts(result: &IntakeResult) -> [i64; 4] {
    let counts = result.report.counts;
    [counts.read, counts.applied, counts.unchanged, counts.refused]
}

#[tokio::test]
async fn sheets_are_laid_over_one_another_and_the_same_files_are_known_again() {
    for address in addresses().await {
        let desk = Desk::new(address).await;
        let rows = [desk.row(0, "A-1", "20260801", "1", "45.0"), desk.row(1, "B-1", "20261101", "2", "")];
        let first = desk.send(&rows, 0).await.unwrap();
        assert_eq!((counts(&first), first.repeated), ([2, 2, 0, 0], false), "{:?}", first.report.problems);
        let again = desk.send(&rows, 30).await.unwrap();
        assert_eq!(again, IntakeResult { repeated: true, ..first.clone() });
        // Empty keeps, a space clears, another day moves.
        let moved = [desk.row(0, "A-1", "20260802", " ", ""), desk.row(0, "A-2", "20261101", "0", "44.0")];
        assert_eq!(counts(&desk.send(&moved, 60).await.unwrap()), [2, 2, 0, 0]);
        let sheets = desk.sheets(0).await;
        let told: Vec<_> = sheets
            .iter()
            .map(|sheet| (sheet.evaluated_on, sheet.adl.barthel.get(&1).copied(), sheet.nutrition.weight.is_some()))
            .collect();
        assert_eq!(told, [(date(2026, 11, 1), Some(0), true), (date(2026, 8, 2), None, true)]);
        let store = desk.world.platform.store();
        let insurer = desk.world.city.insurer;
        let number = store.receipt(insurer, &first.receipt).await.unwrap().unwrap().number;
        assert_eq!(store.original(insurer, number).await.unwrap(), None, "the files are not kept");
    }
}

/// LIFE: the same number again overwrites, whichever file it came in before.
#[tokio::test]
async fn a_file_that_was_overwritten_and_comes_again_is_laid_over_again() {
    for address in addresses().await {
        let desk = Desk::new(address).await;
        let weight = async || {
            let sheets = desk.sheets(0).await;
            assert_eq!(sheets.len(), 1);
            sheets[0].nutrition.weight.as_ref().unwrap().as_str().to_owned()
        };
        let (one, two) = ([desk.row(0, "A-1", "20260801", "1", "45.0")], [desk.row(0, "A-1", "20260801", "1", "46.0")]);
        let first = desk.send(&one, 0).await.unwrap();
        desk.send(&two, 30).await.unwrap();
        assert_eq!(weight().await, "46.0");
        let again = desk.send(&one, 60).await.unwrap();
        assert_eq!((counts(&again), again.repeated, weight().await), ([1, 1, 0, 0], false, "45.0".to_owned()));
        assert_ne!(again.receipt, first.receipt);
        // What stands already is the answer of the last time.
        let repeated = desk.send(&one, 90).await.unwrap();
        assert_eq!(repeated, IntakeResult { repeated: true, ..again });
        assert!(!desk.send(&two, 120).await.unwrap().repeated);
        assert_eq!(weight().await, "46.0");
    }
}

/// LIFE knows a row by the office's number: with another insured number it is about somebody else now.
#[tokio::test]
async fn a_row_whose_insured_number_is_corrected_moves_its_sheet() {
    for address in addresses().await {
        let desk = Desk::new(address).await;
        let days = async |person: usize| {
            let sheets = desk.sheets(person).await;
            let told = |sheet: &LifeSheet| {
                let weight = sheet.nutrition.weight.as_ref().map(|weight| weight.as_str().to_owned());
                (sheet.evaluated_on, sheet.adl.barthel.get(&1).copied(), weight)
            };
            sheets.iter().map(told).collect::<Vec<_>>()
        };
        let (first, second) = (date(2026, 8, 1), date(2026, 8, 2));
        desk.send(&[desk.row(0, "A-1", "20260801", "1", "45.0"), desk.row(0, "A-2", "20260802", "2", "44.0")], 0)
            .await
            .unwrap();
        // Corrected, with the weight left empty: that stays.
        let corrected = desk.send(&[desk.row(1, "A-1", "20260801", "2", "")], 30).await.unwrap();
        assert_eq!((counts(&corrected), corrected.report.problems.len()), ([1, 1, 0, 0], 1), "{corrected:?}");
        assert_eq!(days(0).await, [(second, Some(10), Some("44.0".to_owned()))]);
        assert_eq!(days(1).await, [(first, Some(10), Some("45.0".to_owned()))]);
        // Both change places in one file, and back again with the first one's.
        let swap = [desk.row(0, "A-1", "20260801", "0", ""), desk.row(1, "A-2", "20260802", "", "")];
        assert_eq!(counts(&desk.send(&swap, 60).await.unwrap()), [2, 2, 0, 0]);
        assert_eq!(days(0).await, [(first, Some(0), Some("45.0".to_owned()))]);
        assert_eq!(days(1).await, [(second, Some(10), Some("44.0".to_owned()))]);
        // Each of the two finds what happened.
        let log = async |person: usize| {
            let person = desk.people[person].0.insured.key;
            let (insurer, insured) = (person.insurer.to_string(), person.insured.to_string());
            let log = desk.world.platform.store().audit().about_person(&insurer, &insured, 50, None).await.unwrap();
            log.iter().filter(|entry| entry.action == "import.life").count()
        };
        assert_eq!((log(0).await, log(1).await), (3, 2));
    }
}

#[tokio::test]
async fn uploads_at_the_same_time_lose_nothing() {
    for address in addresses().await {
        let desk = Desk::new(address).await;
        let first = [desk.row(0, "A-1", "20260801", "1", "")];
        let second = [desk.row(0, "A-1", "20260801", "", "45.0")];
        let (one, two) = tokio::join!(desk.send(&first, 0), desk.send(&second, 0));
        assert_eq!((one.unwrap().state, two.unwrap().state), ("applied", "applied"));
        let sheets = desk.sheets(0).await;
        assert_eq!(sheets.len(), 1);
        assert!(sheets[0].nutrition.weight.is_some() && sheets[0].adl.barthel.len() == 1, "{sheets:?}");
    }
}

#[tokio::test]
async fn a_month_with_a_claim_extends_a_live_registration_once() {
    for address in addresses().await {
        let desk = Desk::new(address).await;
        let (insurer, office) = (desk.people[0].0.insured.card_insurer, desk.office.organization);
        let insured = desk.people[0].0.insured.key.insured;
        let file = format!(
            "1,1,0,1,711,0,0,{office},0,1,202612,0\r\n2,2,7131,01,202612,{office},00{insurer},{insured}\r\n3,3\r\n"
        );
        let send = async |days: i64| {
            let files = vec![("71126120.CSV".to_owned(), file.clone().into_bytes())];
            desk.world.platform.refresh_standing(now() + SignedDuration::from_secs(days * DAY)).await.unwrap();
            desk.world.platform.import_claims(&desk.city, files, &at(days * DAY)).await.unwrap()
        };
        let until = async |person: usize| {
            let person = desk.people[person].0.insured.key;
            let all = desk.world.platform.store().assignments(person).await.unwrap();
            all.iter().find(|a| Some(a.office) == office.office()).unwrap().viewable_until
        };
        assert_eq!((until(0).await, until(1).await), (date(2027, 2, 28), date(2027, 2, 28)));
        let first = send(45).await;
        assert_eq!(counts(&first), [1, 1, 0, 0], "{:?}", first.report.problems);
        assert_eq!((until(0).await, until(1).await), (date(2027, 3, 31), date(2027, 2, 28)));
        assert!(send(46).await.repeated);
    }
}
