//! What the law lets go, goes: originals five years after what they served, and contents of returned documents that nobody
//! handed in again; nothing before its day, and each with an entry that says what is gone (P-200…203).

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use jiff::civil::date;
use kiban_domain::certification::{CareLevel, CertificationProgress, CertificationResult};
use kiban_domain::office::JobType;
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::plan_request::{PlanRequest, SubmissionState};
use kiban_domain::{Date, Kind, Organization, PersonKey, Timestamp};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_service::{Caller, Context, Decide, Error, Original, PeoplePage};
use kiban_sim::{Role, SimPerson};
use kiban_store::{Outcome, PortalSession};
use support::{World, addresses, asked, context, items, now};

/// Noon of a day in Japan.
fn on(day: Date) -> Context {
    let noon: Timestamp = format!("{day}T03:00:00Z").parse().unwrap();
    Context::new(noon).unwrap()
}

async fn doctor_of(world: &World, person: &SimPerson) -> (Caller, String) {
    let hospital = person.care.hospital.unwrap();
    let doctor = world.city.offices.iter().find(|office| office.number() == hospital).unwrap();
    let doctor = world.caller(Organization::Office(hospital), doctor.staff_of(JobType::Physician).unwrap()).await;
    let page = PeoplePage { after: None, limit: 200 };
    let list = world.platform.list_people(&doctor, asked(page), &context()).await.unwrap();
    let number = person.insured.key.insured.to_string();
    let handle = list.into_iter().find(|line| line.insured_number == number).unwrap().handle;
    (doctor, handle)
}

async fn officer_of(world: &World) -> Caller {
    world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await
}

fn original() -> Original {
    Original { media: "application/json".into(), bytes: "{\"架空\":\"原本\"}".into() }
}

fn opinion_for(person: &SimPerson, applied_on: Date) -> PhysicianOpinion {
    let mut opinion = PhysicianOpinion::example(person.insured.key, person.care.hospital.unwrap(), applied_on);
    opinion.applied_on = applied_on;
    opinion.basics.applicant = person.insured.identity.clone();
    opinion.basics.age = None;
    opinion
}

async fn file_opinion(world: &World, person: &SimPerson, applied_on: Date) -> (Caller, String, String) {
    let (doctor, handle) = doctor_of(world, person).await;
    let opinion = opinion_for(person, applied_on);
    let filed = world.platform.submit_opinion(&doctor, &handle, asked(opinion), original(), &context()).await.unwrap();
    (doctor, handle, filed.receipt)
}

async fn original_is_there(world: &World, officer: &Caller, receipt: &str) -> bool {
    match world.platform.submission_original(officer, receipt, &context()).await {
        Ok(kept) => kept == original(),
        Err(Error::Unknown) => false,
        Err(other) => panic!("{other:?}"),
    }
}

/// What the log of a person says was taken away, with the sealed detail.
async fn taken_away(world: &World, person: PersonKey, action: &str) -> Vec<String> {
    let audit = world.platform.store().audit();
    let log = audit.about_person(person.insurer.as_str(), person.insured.as_str(), 200, None).await.unwrap();
    let mut found = Vec::new();
    for entry in log.iter().filter(|entry| entry.action == action) {
        found.push(format!("{} {:?}", entry.natural_key.as_deref().unwrap(), audit.detail_of(entry).await.unwrap()));
    }
    found
}

#[tokio::test]
async fn an_original_goes_five_years_after_the_decision_it_served_and_not_while_the_case_is_open() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let person = &world.cast.applying;
        let key = person.insured.key;
        let running = person.applications[0].clone();
        let (doctor, handle, receipt) = file_opinion(&world, person, running.applied_on).await;
        let officer = officer_of(&world).await;
        world.platform.decide_submission(&officer, &receipt, asked(Decide::Accept), &context()).await.unwrap();

        // Five years are over, but the application has neither a result nor an end.
        world.platform.keep_house(&on(date(2031, 11, 21))).await.unwrap();
        assert!(original_is_there(&world, &officer, &receipt).await);
        let result = CertificationResult {
            level: CareLevel::Care1,
            decided_on: date(2026, 12, 15),
            valid: None,
            months: None,
            board_opinion: None,
            reason: None,
            notified_on: None,
            card_issued_on: None,
        };
        let decided = CertificationProgress { result: Some(result), ..running };
        let row = Entry { key, history: 1, change: Change::Corrected, value: decided };
        // Its package is made, and taken, on the day of the decision.
        let (insurer, then) = (world.city.insurer, on(date(2026, 12, 15)));
        let package = MunicipalPackage::new(insurer, then.now).progress(&[row]).finish().unwrap();
        let taken = world.platform.import_package_locally(insurer, package, &then, &mut |_, _| {}).await.unwrap();
        assert_eq!(taken.report.counts.applied, 1, "{:?}", taken.report.problems);

        // The five years begin with the decision (P-202), and their last day belongs to them.
        for day in [date(2031, 11, 22), date(2031, 12, 15)] {
            world.platform.keep_house(&on(day)).await.unwrap();
            assert!(original_is_there(&world, &officer, &receipt).await, "{day}");
        }
        assert_eq!(taken_away(&world, key, "original.removed").await, Vec::<String>::new());
        world.platform.keep_house(&on(date(2031, 12, 16))).await.unwrap();
        assert!(!original_is_there(&world, &officer, &receipt).await);
        let certificate = taken_away(&world, key, "original.removed").await;
        let digest = ring::digest::digest(&ring::digest::SHA256, &original().bytes);
        let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(certificate.len(), 1);
        assert!(certificate[0].starts_with(&receipt) && certificate[0].contains(&digest), "{certificate:?}");
        // What was read from it stays.
        let own = world.platform.view_kind(&doctor, &handle, Kind::A2, asked(None), &context()).await.unwrap();
        assert_eq!(own.documents.len(), 1);
        world.platform.store().audit().anchor_now().await.unwrap();
        assert!(world.platform.store().audit().verify().await.unwrap().is_intact());
    }
}

fn request(world: &World, office: Organization, person: PersonKey, starts_on: Date) -> PlanRequest {
    let today = world.platform.table_at(now()).map(|_| date(2026, 11, 20)).unwrap();
    let text = serde_json::json!({
        "person": person, "filing": { "kind": "new" }, "form": "home_care", "office": office,
        "office_name": "居宅介護支援事業所みほん", "office_address": null, "office_telephone": null,
        "care_manager_name": "見本 職員", "care_manager": null, "starts_on": starts_on, "filed_on": today,
        "filer": { "who": "person", "address": null, "telephone": null }, "person_agrees": true,
    });
    serde_json::from_value(text).unwrap()
}

#[tokio::test]
async fn an_original_is_kept_to_the_last_of_its_days_and_while_another_document_waits() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let person = &world.cast.without_consent;
        let (manager, officer) = (world.office(Role::Planning, JobType::CareManager).await, officer_of(&world).await);
        let platform = &world.platform;
        let handle = platform.register_office(&manager, asked(items(person, true)), &context()).await.unwrap().handle;
        let file = async |starts_on| {
            let request = request(&world, manager.organization, person.insured.key, starts_on);
            platform.file_plan_request(&manager, &handle, asked(request), original(), &context()).await.unwrap().receipt
        };
        let accept = async |receipt: &str| {
            platform.decide_submission(&officer, receipt, asked(Decide::Accept), &context()).await
        };
        let first = file(date(2026, 12, 1)).await;
        accept(&first).await.unwrap();
        platform.keep_house(&on(date(2031, 11, 20))).await.unwrap();
        assert!(original_is_there(&world, &officer, &first).await, "the last day of the five years");
        let second = file(date(2027, 1, 1)).await;
        platform.keep_house(&on(date(2031, 11, 21))).await.unwrap();
        assert!(original_is_there(&world, &officer, &first).await, "another document of the person waits");
        accept(&second).await.unwrap();
        platform.keep_house(&on(date(2031, 11, 22))).await.unwrap();
        assert!(!original_is_there(&world, &officer, &first).await);
        assert!(!original_is_there(&world, &officer, &second).await);
        assert_eq!(taken_away(&world, person.insured.key, "original.removed").await.len(), 2);
    }
}

#[tokio::test]
async fn a_returned_document_nobody_hands_in_again_loses_its_content_and_says_so() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let person = &world.cast.applying;
        let (doctor, handle, receipt) = file_opinion(&world, person, person.applications[0].applied_on).await;
        let officer = officer_of(&world).await;
        let platform = &world.platform;
        let filed = async || platform.filed(&doctor, &handle, &context()).await.unwrap().remove(0);
        // However long it waits, what the city has not decided stays.
        platform.keep_house(&on(date(2036, 11, 20))).await.unwrap();
        assert!(original_is_there(&world, &officer, &receipt).await);
        let reason = Decide::Return("記入日がありません".into());
        platform.decide_submission(&officer, &receipt, asked(reason), &context()).await.unwrap();

        let days = |days| date(2026, 11, 20).checked_add(jiff::Span::new().days(days)).unwrap();
        platform.keep_house(&on(days(179))).await.unwrap();
        assert!(!filed().await.content_removed);
        assert!(original_is_there(&world, &officer, &receipt).await);
        platform.keep_house(&on(days(181))).await.unwrap();
        let after = filed().await;
        assert!(after.content_removed && after.state_name.contains("消えています"), "{after:?}");
        assert!(matches!(after.state, SubmissionState::Returned { reason } if reason == "記入日がありません"));
        assert!(!original_is_there(&world, &officer, &receipt).await);
        assert_eq!(taken_away(&world, person.insured.key, "returned.removed").await.len(), 1);
        // The same document may still be handed in, as a new one that names the old.
        let opinion = opinion_for(person, person.applications[0].applied_on);
        let again = platform.submit_opinion(&doctor, &handle, asked(opinion), original(), &context()).await.unwrap();
        assert_eq!(again.replaces, Some(receipt));
    }
}

#[tokio::test]
async fn log_ins_at_the_persons_own_door_and_counts_of_a_day_go_a_day_after_their_end() {
    for address in addresses().await {
        let world = World::new(address).await;
        let (store, hours) = (world.platform.store(), |hours| jiff::SignedDuration::from_hours(hours));
        let session = PortalSession {
            subject: [7; 32],
            birth_and_sex: [1; 32],
            name_and_birth: [2; 32],
            whose: None,
            opened_at: now(),
            ends_at: now() + hours(2),
            ended_at: None,
        };
        let mut tx = store.begin().await.unwrap();
        tx.put_portal_session(b"token", &session).await.unwrap();
        tx.add_mismatch(&[3; 32], context().today()).await.unwrap();
        tx.commit(kiban_store::Entry::new(now(), "test", "cli", "test", Outcome::Done)).await.unwrap();
        let kept = async |later: i64| {
            world.platform.keep_house(&Context::new(now() + hours(later)).unwrap()).await.unwrap();
            let mut tx = store.begin().await.unwrap();
            let counted = tx.mismatches(&[3; 32], context().today()).await.unwrap();
            (store.portal_session(b"token").await.unwrap().is_some(), counted)
        };
        assert_eq!(kept(25).await, (true, 1));
        assert_eq!(kept(49).await, (false, 0));
    }
}
