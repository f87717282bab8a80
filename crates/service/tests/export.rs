//! What a municipality gets back is what it gave, and taking it in again elsewhere gives the same state (P-160).

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use jiff::civil::date;
use kiban_domain::application::CertificationApplication;
use kiban_domain::certification::{ApplicationKind, CareLevel};
use kiban_domain::consent::{ConsentAct, Declarant, IdentityProof};
use kiban_domain::equipment_purchase::EquipmentPurchase;
use kiban_domain::home_modification::HomeModification;
use kiban_domain::office::JobType;
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_domain::survey::CertificationSurvey;
use kiban_domain::{Kind, OfficeNumber, Organization, PersonKey};
use kiban_formats::municipal::{Change, EXPORTED, Entry, MunicipalKind, MunicipalPackage, read_manifest};
use kiban_service::{ConsentRequest, Error, ExportContents, ExportOrder, ExportPart, ExportReport, NOT_EXPORTED};
use kiban_sim::{Role, SimPerson};
use kiban_store::StoredRecord;
use support::{World, addresses, asked, context, items, now};

async fn export(world: &World) -> (Vec<(String, Vec<u8>)>, ExportReport) {
    export_of(world, ExportContents::Present).await
}

async fn export_of(world: &World, order: impl Into<ExportOrder>) -> (Vec<(String, Vec<u8>)>, ExportReport) {
    let mut export = world.platform.export_package_locally(world.city.insurer, order, &context()).await.unwrap();
    let mut files = Vec::new();
    while let Some(part) = export.parts.recv().await {
        match part.unwrap() {
            ExportPart::File(file) => files.push(file),
            ExportPart::Other(_) => {}
            ExportPart::Done(report) => return (files, report),
        }
    }
    panic!("the export ended early");
}

/// Everything that can be known of a person, without the numbers that the platform gives itself.
async fn state(world: &World, person: PersonKey) -> serde_json::Value {
    let store = world.platform.store();
    let (header, insured) = store.person(person).await.unwrap().unwrap();
    let mut records = Vec::new();
    for exported in EXPORTED {
        let entry =
            kiban_store::Entry::new(now(), &context().request_id, "test", "test", kiban_store::Outcome::Allowed);
        let all = store.audit().release(store.records(person, exported.kind).await.unwrap(), entry).await.unwrap();
        for record in StoredRecord::as_known(all, now(), &[]) {
            let content: serde_json::Value = serde_json::from_slice(&record.payload).unwrap();
            let header = record.header;
            records.push(serde_json::json!([
                header.kind.code(),
                header.natural_key,
                header.creator.to_string(),
                header.valid.from(),
                header.valid.to(),
                content
            ]));
        }
    }
    let acts = store.consents(person).await.unwrap();
    let consent =
        kiban_domain::consent::ConsentState::of(acts.iter().map(|act| (&act.record.act, act.record.acted_at)));
    let acts: Vec<_> = acts.into_iter().map(|act| serde_json::to_value(act.record).unwrap()).collect();
    serde_json::json!({ "history": header.history_number, "insured": insured, "records": records, "acts": acts, "consent": consent })
}

#[tokio::test]
async fn an_export_taken_in_by_an_empty_platform_gives_the_same_state() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        change_something(&world).await;
        for (json, manifest) in [(false, "MANIFEST.csv"), (true, "MANIFEST.json")] {
            let order = ExportOrder { contents: ExportContents::Present, json };
            let (files, report) = export_of(&world, order).await;
            assert_eq!((report.left_out, report.rows["INSURED"]), (0, 60), "{report:?}");
            assert_eq!(files.last().unwrap().0, manifest);
            let (named, _) = read_manifest(manifest, &files.last().unwrap().1);
            assert_eq!(named.map(|named| named.base_date), Some(kiban_domain::dates::day_in_japan(now())));
            assert!(files.iter().all(|(name, _)| name.ends_with(&manifest["MANIFEST".len()..])));

            let empty = World::new(addresses().await.pop().unwrap()).await;
            let result = empty.import(files).await;
            assert_eq!((result.state, result.report.counts.refused), ("applied", 0), "{:?}", result.report.problems);
            assert_eq!(result.report.counts.read as u64, report.rows.values().sum::<u64>());
            let mut consents = 0;
            for person in &world.city.people {
                let key = person.insured.key;
                let (before, after) = (state(&world, key).await, state(&empty, key).await);
                assert_eq!(before, after);
                consents += before["acts"].as_array().unwrap().len();
            }
            assert!(consents > 5, "{consents}");
        }
    }
}

fn entry<T>(key: PersonKey, history: u32, change: Change, value: T) -> Entry<T> {
    Entry { key, history, change, value }
}

/// A correction, a deletion, a withdrawal on screen, a person who moved away.
async fn change_something(world: &World) {
    let person = &world.cast.consenting;
    let manager = world.office(Role::Planning, JobType::CareManager).await;
    let handle = world.platform.register_office(&manager, asked(items(person, true)), &context()).await.unwrap().handle;
    let withdrawal = ConsentRequest {
        act: ConsentAct::Withdrawn,
        declarant: Declarant::Representative { relation: "長女".into() },
        proof: IdentityProof::InsuranceCard,
        form: "同意様式 第1版".into(),
        remark: Some("電話で、\"あらためて\"申し出る".into()),
        leaflet: None,
        evidence: None,
    };
    world.platform.record_consent(&manager, &handle, asked(withdrawal), &context()).await.unwrap();

    let (key, insurer) = (person.insured.key, world.city.insurer);
    let mut rate = person.copayment.clone().unwrap();
    rate.rows[0].rate = kiban_domain::insurance_card::Tenths::new(3).unwrap();
    let mut insured = person.insured.clone();
    insured.lost = Some((kiban_domain::dates::day_in_japan(now()), kiban_domain::insured::LossReason::MovedOut));
    let at = |second| now() + jiff::SignedDuration::from_secs(second);
    let packages = [
        MunicipalPackage::new(insurer, at(1)).copayment_rates(&[entry(key, 7, Change::New, rate.clone())]),
        MunicipalPackage::new(insurer, at(2)).copayment_rates(&[entry(key, 8, Change::New, rate.clone())]),
        MunicipalPackage::new(insurer, at(3)).copayment_rates(&[entry(key, 8, Change::Deleted, rate)]),
        documents(MunicipalPackage::new(insurer, at(4)), person, world.cast.applying.care.hospital.unwrap()),
        MunicipalPackage::new(insurer, at(5)).insured(&[entry(key, 5, Change::Corrected, insured)]),
    ];
    for package in packages {
        let result = world.import(package.finish().unwrap()).await;
        assert_eq!(result.report.counts.refused, 0, "{:?}", result.report.problems);
    }
}

/// A1, A2, A4, E1 and E2, one of each and a second opinion.
fn documents(package: MunicipalPackage, person: &SimPerson, hospital: OfficeNumber) -> MunicipalPackage {
    let (key, identity, day) = (person.insured.key, &person.insured.identity, date(2026, 10, 2));
    let form = CertificationApplication::example(identity.clone(), day, ApplicationKind::Renewal);
    let survey = CertificationSurvey::example(identity.clone(), day, |at, _| at % 2);
    let opinion = |day| {
        let mut opinion = PhysicianOpinion::example(key, hospital, day);
        // Which software wrote it is no item of the package.
        opinion.request.software = None;
        opinion
    };
    package
        .records(&[entry(key, 90, Change::New, form)])
        .records(&[entry(key, 91, Change::New, survey)])
        .records(&[
            entry(key, 92, Change::New, opinion(date(2024, 3, 1))),
            entry(key, 93, Change::New, opinion(date(2026, 11, 2))),
        ])
        .records(&[entry(key, 94, Change::New, HomeModification::example(day, CareLevel::Care2))])
        .records(&[entry(key, 95, Change::New, EquipmentPurchase::example(day))])
}

/// Everything that was ever known of a person, in the order in which it became known.
async fn history(world: &World, person: PersonKey) -> serde_json::Value {
    let store = world.platform.store();
    let mut versions = store.person_versions(person).await.unwrap();
    versions.sort_by_key(|(header, _)| (header.revision, header.history_number));
    let versions: Vec<_> = versions.iter().map(|(header, insured)| (header.history_number, insured)).collect();
    let mut records = Vec::new();
    for exported in EXPORTED {
        let entry =
            kiban_store::Entry::new(now(), &context().request_id, "test", "test", kiban_store::Outcome::Allowed);
        let all = store.records(person, exported.kind).await.unwrap();
        let mut all: Vec<StoredRecord> = store.audit().release(all, entry).await.unwrap();
        all.sort_by_key(|record| (record.header.natural_key.clone(), record.header.revision));
        records.extend(all.into_iter().map(|record| {
            let content: serde_json::Value = serde_json::from_slice(&record.payload).unwrap();
            serde_json::json!([exported.kind.code(), record.header.natural_key, record.header.deleted, content])
        }));
    }
    let links = store.links_of(person).await.unwrap();
    let links: Vec<_> = links.iter().map(|link| (link.history_number, link.link, link.deleted)).collect();
    serde_json::json!({ "versions": versions, "records": records, "links": links })
}

#[tokio::test]
async fn an_export_with_history_taken_in_elsewhere_gives_every_revision_again() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        change_something(&world).await;
        correct_again(&world).await;
        let (files, report) = export_of(&world, ExportContents::WithHistory).await;
        assert_eq!(report.left_out, 0, "{report:?}");
        assert!((2..6).contains(&report.packages.len()), "no more packages than it takes: {:?}", report.packages);
        let made: Vec<_> = report.packages.iter().map(|package| package.made_at).collect();
        assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");

        let empty = World::new(addresses().await.pop().unwrap()).await;
        for package in &report.packages {
            let of_package = files.iter().filter_map(|(name, bytes)| {
                let name = name.strip_prefix(&package.folder)?.strip_prefix('/')?;
                Some((name.to_owned(), bytes.clone()))
            });
            let of_package: Vec<_> = of_package.collect();
            assert_eq!(of_package.last().unwrap().0, "MANIFEST.csv");
            let result = empty.import(of_package).await;
            let counts = result.report.counts;
            assert_eq!((result.state, counts.refused), ("applied", 0), "{:?}", result.report.problems);
            assert_eq!(counts.read as u64, package.rows);
        }
        let mut revisions = 0;
        for person in &world.city.people {
            let key = person.insured.key;
            assert_eq!(state(&world, key).await, state(&empty, key).await);
            let (before, after) = (history(&world, key).await, history(&empty, key).await);
            assert_eq!(before, after);
            revisions += before["versions"].as_array().unwrap().len();
        }
        assert_eq!(revisions, world.city.people.len() + 3, "of one person there are four versions");
    }
}

/// A rate corrected twice, taken back and sent again; an address corrected under its own 履歴番号; a link taken back.
async fn correct_again(world: &World) {
    let person = &world.cast.consenting;
    let (key, insurer) = (person.insured.key, world.city.insurer);
    let rate = |tenths| {
        let mut rate = person.copayment.clone().unwrap();
        rate.rows[0].rate = kiban_domain::insurance_card::Tenths::new(tenths).unwrap();
        rate
    };
    let insured = |postal: &str| {
        let mut insured = person.insured.clone();
        insured.identity.postal_code = Some(postal.to_owned());
        insured
    };
    let link = kiban_domain::insured::NumberLink {
        before: PersonKey { insured: kiban_domain::InsuredNumber::parse("0009999999").unwrap(), ..key },
        changed_on: date(2026, 4, 1),
        reason: kiban_domain::insured::LinkReason::Merged,
    };
    let package = |second| MunicipalPackage::new(insurer, now() + jiff::SignedDuration::from_secs(second));
    let packages = [
        package(11).copayment_rates(&[entry(key, 7, Change::Corrected, rate(2))]).links(&[entry(
            key,
            1,
            Change::New,
            link,
        )]),
        package(12).copayment_rates(&[entry(key, 7, Change::Corrected, rate(1))]),
        package(13).insured(&[entry(key, 6, Change::New, insured("999-0001"))]),
        package(14).insured(&[entry(key, 6, Change::Corrected, insured("999-0002"))]),
        package(15).copayment_rates(&[entry(key, 8, Change::New, rate(2))]).links(&[entry(
            key,
            1,
            Change::Deleted,
            link,
        )]),
    ];
    for package in packages {
        let result = world.import(package.finish().unwrap()).await;
        assert_eq!(result.report.counts.refused, 0, "{:?}", result.report.problems);
    }
}

#[tokio::test]
async fn an_export_is_recorded_with_its_counts_and_only_the_city_gets_one() {
    let world = World::loaded(None).await;
    let officer = world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await;
    let mut export =
        world.platform.export_package(&officer, asked(ExportContents::Present.into()), &context()).await.unwrap();
    // While it runs there is no second one, and a receiver that goes away ends it.
    let second = world.platform.export_package(&officer, asked(ExportContents::Present.into()), &context()).await;
    assert!(matches!(second, Err(Error::Conflict(_))));
    while export.parts.recv().await.is_some() {}
    let log = world.platform.store().audit().of_organization(&world.city.insurer.to_string(), 50, None).await.unwrap();
    let done = log.iter().find(|entry| entry.action == "export.done").unwrap();
    let detail = world.platform.store().audit().detail_of(done).await.unwrap();
    assert!(format!("{detail:?}").contains("INSURED"), "{detail:?}");
    assert!(log.iter().any(|entry| entry.action == "export.started"));

    let manager = world.office(Role::Planning, JobType::CareManager).await;
    let office = world.platform.export_package(&manager, asked(ExportContents::Present.into()), &context()).await;
    assert!(matches!(office, Err(Error::Refused(refusal)) if refusal.rule.code() == "not_writer"));
}

#[tokio::test]
async fn a_city_that_sent_nothing_gets_nothing() {
    let world = World::new(None).await;
    let not_included = NOT_EXPORTED.map(|(code, _)| code).to_vec();
    assert_eq!(export(&world).await, (Vec::new(), ExportReport { not_included, ..ExportReport::default() }));
}

/// Tables with something of a municipality, and what of it an export is: `Ok` in it, made anew out of what is in it, or of the moment;
/// `Err` not in it, under this code.
const TABLES: [(&str, Result<(), &str>); 32] = [
    ("assignment", Ok(())),
    ("consent_act", Ok(())),
    ("data_key", Ok(())),
    ("idempotency", Ok(())),
    ("import_lease", Ok(())),
    ("insurer", Ok(())),
    ("office_person", Ok(())),
    ("opinion_request", Ok(())),
    ("person", Ok(())),
    ("person_link", Ok(())),
    ("person_token", Ok(())),
    ("receipt_counter", Ok(())),
    ("record", Ok(())),
    ("record_original", Ok(())),
    ("audit", Err("audit")),
    ("audit_month", Err("audit")),
    ("audit_seen", Err("audit")),
    ("disaster_look", Err("disaster_looks")),
    ("notice", Err("notices")),
    ("open_row", Err("receipts")),
    ("opinion_draft", Err("office_work")),
    ("plan_serial", Err("receipts")),
    ("portal_grant", Err("portal_grants")),
    ("portal_session", Err("portal_grants")),
    ("receipt", Err("receipts")),
    ("receipt_again", Err("receipts")),
    ("registration_review", Err("reviews")),
    ("row_again", Err("receipts")),
    ("row_claim", Err("receipts")),
    ("staff_switch", Err("staff_switches")),
    ("statistics", Err("statistics")),
    ("submission", Err("inbox")),
];

/// The pieces of what arrives lie apart.
const UPLOADS: [&str; 3] = ["upload", "upload_file", "upload_piece"];

#[tokio::test]
async fn an_export_and_the_guide_name_exactly_what_is_not_in_it() {
    let world = World::loaded(None).await;
    let (files, report) = others(&world, ExportContents::Present).await;
    let codes: Vec<&str> = NOT_EXPORTED.iter().map(|(code, _)| *code).collect();
    assert_eq!(report.not_included, codes);
    assert_eq!(serde_json::to_value(&report).unwrap()["not_included"], serde_json::json!(codes));
    for (name, _) in &files {
        let what = name.trim_start_matches("others/").split(['_', '/', '.']).next().unwrap();
        assert!(!codes.contains(&what), "{name} is in it");
    }

    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/files.md")).unwrap();
    let table = guide.split_once("<!-- not exported -->\n").unwrap().1.split_once("<!-- end -->").unwrap().0;
    let lines: String = NOT_EXPORTED.iter().map(|(code, name)| format!("| `{code}` | {name} |\n")).collect();
    assert_eq!(table, format!("| 符号 | 中身 |\n|---|---|\n{lines}"));

    // Whoever adds a table says whether it is in an export.
    let tables = "SELECT DISTINCT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) p
         WHERE m.type = 'table' AND p.name = 'insurer_number' ORDER BY m.name";
    let pool = sqlx::SqlitePool::connect(&world.address).await.unwrap();
    let there: Vec<String> = sqlx::query_scalar(tables).fetch_all(&pool).await.unwrap();
    let mut named: Vec<&str> = TABLES.iter().map(|(table, _)| *table).chain(UPLOADS).collect();
    named.sort_unstable();
    assert_eq!(there, named, "name it in TABLES, and in NOT_EXPORTED and docs/files.md when it is in no export");
    // A lifted 不開示 is a column of the person.
    for code in codes.iter().filter(|code| **code != "withheld_lifted") {
        assert!(TABLES.iter().any(|(_, what)| *what == Err(*code)), "{code}");
    }
    assert!(TABLES.iter().all(|(_, what)| what.is_ok() || codes.contains(&what.unwrap_err())));
}

#[test]
fn every_file_of_a_package_has_its_line_in_the_export() {
    let exported = |kind: &MunicipalKind| {
        // These three are no records and have methods of their own.
        matches!(kind, MunicipalKind::Insured | MunicipalKind::Consent | MunicipalKind::Link)
            || EXPORTED.iter().any(|one| one.file == *kind)
    };
    let missing: Vec<_> = MunicipalKind::ALL.iter().filter(|kind| !exported(kind)).map(|kind| kind.code()).collect();
    assert!(missing.is_empty(), "add a line to EXPORTED for {missing:?}");
    assert!(EXPORTED.iter().all(|one| one.kind != Kind::G1));
}

/// Everything beside the package: lines by file name, and files byte for byte.
async fn others(world: &World, contents: ExportContents) -> (Vec<(String, Vec<u8>)>, ExportReport) {
    let mut export = world.platform.export_package_locally(world.city.insurer, contents, &context()).await.unwrap();
    let mut files = Vec::new();
    while let Some(part) = export.parts.recv().await {
        match part.unwrap() {
            ExportPart::Other(file) => files.push(file),
            ExportPart::File(_) => {}
            ExportPart::Done(report) => return (files, report),
        }
    }
    panic!("the export ended early");
}

fn lines(files: &[(String, Vec<u8>)], what: &str) -> Vec<serde_json::Value> {
    let of_kind = files.iter().filter(|(name, _)| *name == format!("others/{what}_001.jsonl"));
    let text = of_kind.map(|(_, bytes)| String::from_utf8(bytes.clone()).unwrap()).collect::<String>();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A plan as its office registered it, under a receipt of its own.
async fn put_plan(world: &World, person: &SimPerson, deleted: bool) {
    put_of_kind(world, person, Kind::Cp1, deleted).await;
}

async fn put_of_kind(world: &World, person: &SimPerson, kind: Kind, deleted: bool) {
    let mut tx = world.platform.store().begin().await.unwrap();
    let revision = tx.next_receipt_number(world.city.insurer).await.unwrap();
    let plan = kiban_store::NewRecord {
        person: person.insured.key,
        kind,
        natural_key: "plan-20261101".to_owned(),
        creator: Organization::Office(person.care.planner.unwrap()),
        valid: kiban_domain::dates::Period::new(date(2026, 11, 1), None).unwrap(),
        deleted,
        purge_after: date(2031, 11, 1),
        payload: "{\"目標\":\"転ばない\"}".into(),
    };
    tx.put_record(revision, now(), &plan).await.unwrap();
    let entry = kiban_store::Entry::new(now(), &context().request_id, "test", "test", kiban_store::Outcome::Done);
    tx.commit(entry).await.unwrap();
}

#[tokio::test]
async fn what_a_package_has_no_place_for_leaves_beside_it_and_plans_only_with_consent() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let (person, other) = (&world.cast.consenting, &world.cast.without_consent);
        let manager = world.office(Role::Planning, JobType::CareManager).await;
        let platform = &world.platform;
        let handle = platform.register_office(&manager, asked(items(person, true)), &context()).await.unwrap().handle;
        put_plan(&world, person, false).await;
        put_plan(&world, other, false).await;
        for kind in [Kind::Cp2, Kind::C1] {
            put_of_kind(&world, person, kind, false).await;
            put_of_kind(&world, other, kind, false).await;
        }
        let request: kiban_domain::plan_request::PlanRequest = serde_json::from_value(serde_json::json!({
            "person": person.insured.key, "filing": { "kind": "new" }, "form": "home_care",
            "office": manager.organization, "office_name": "居宅介護支援事業所みほん", "office_address": null,
            "office_telephone": null, "care_manager_name": "見本 職員", "care_manager": null,
            "starts_on": "2026-12-01", "filed_on": "2026-11-20",
            "filer": { "who": "person", "address": null, "telephone": null }, "person_agrees": true,
        }))
        .unwrap();
        let original =
            kiban_service::Original { media: "application/json".into(), bytes: b"{ \"as\": \"typed\" }".into() };
        let filed =
            platform.file_plan_request(&manager, &handle, asked(request), original.clone(), &context()).await.unwrap();
        let officer = world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await;
        let accept = asked(kiban_service::Decide::Accept);
        platform.decide_submission(&officer, &filed.receipt, accept, &context()).await.unwrap();

        let (files, report) = others(&world, ExportContents::Present).await;
        let counts = [("C1", 1), ("CP1", 1), ("CP2", 1), ("F1", 1), ("originals", 1), ("registrations", 1)];
        assert_eq!(report.others, counts.map(|(what, count)| (what.to_owned(), count)).into());
        assert_eq!(report.left_out, 0);
        let (filing, plan) = (&lines(&files, "F1")[0], &lines(&files, "CP1")[0]);
        assert_eq!(filing["content"]["office"], serde_json::json!(manager.organization));
        assert_eq!(plan["insured_number"], serde_json::json!(person.insured.key.insured), "nobody's without consent");
        assert_eq!(plan["content"]["目標"], "転ばない");
        for kind in ["CP2", "C1"] {
            assert_eq!(lines(&files, kind)[0]["insured_number"], serde_json::json!(person.insured.key.insured));
        }
        let registration = &lines(&files, "registrations")[0];
        assert_eq!(registration["office"], serde_json::json!(manager.organization));
        assert_eq!((&registration["confirmed"], &registration["ended_at"]), (&false.into(), &serde_json::Value::Null));
        let kept = &lines(&files, "originals")[0];
        assert_eq!((&kept["receipt"], &kept["kind"]), (&serde_json::json!(filed.receipt), &serde_json::json!("F1")));
        let bytes = &files.iter().find(|(name, _)| kept["file"] == **name).unwrap().1;
        assert_eq!(*bytes, original.bytes, "byte for byte");

        // What was withdrawn is history; without consent no plan leaves at all.
        put_plan(&world, person, true).await;
        assert!(lines(&others(&world, ExportContents::Present).await.0, "CP1").is_empty());
        let plans = lines(&others(&world, ExportContents::WithHistory).await.0, "CP1");
        assert_eq!(plans.iter().map(|plan| plan["deleted"].as_bool()).collect::<Vec<_>>(), [Some(false), Some(true)]);
        let withdrawal = ConsentRequest {
            act: ConsentAct::KindRefused(Kind::Cp1),
            declarant: Declarant::Person,
            proof: IdentityProof::InsuranceCard,
            form: "同意様式 第1版".into(),
            remark: None,
            leaflet: None,
            evidence: None,
        };
        platform.record_consent(&manager, &handle, asked(withdrawal), &context()).await.unwrap();
        let (files, report) = others(&world, ExportContents::WithHistory).await;
        assert!(lines(&files, "CP1").is_empty() && !report.others.contains_key("CP1"));
        assert_eq!(lines(&files, "C1").len(), 1, "what was not refused stays");
    }
}
