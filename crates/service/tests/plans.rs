//! Care plans come in: one upload is one receipt and one transaction, whoever it is about; what is withdrawn or made
//! earlier is told; nothing is dropped without a word.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use kiban_domain::care_plan::{PlanWithdrawal, ServiceActuals, ServiceSlip};
use kiban_domain::dates::{self, ServiceMonth};
use kiban_domain::municipality::StartState;
use kiban_domain::office::JobType;
use kiban_domain::{InsurerNumber, Kind, PersonKey};
use kiban_formats::care_plan::{
    PlanFileName, Received, Sending, read_set, write_actuals, write_facility_set, write_plan_set, write_preventive_set,
    write_slip_set, write_withdrawals,
};
use kiban_service::{Caller, Context, Document, Error, IntakeResult, ReportedProblem};
use kiban_sim::plans::{care_plan, service_slip};
use kiban_sim::{City, CitySpec, Generator, Role, SimPerson, city_package};
use support::{World, addresses, asked, context, items, now};

type Files = Vec<(String, Vec<u8>)>;

/// 居宅介護支援 to 訪問介護.
fn sending(serial: u64) -> Sending {
    let name = format!("UP1KYO_9970000015_43_9970000023_11_{serial}.CSV");
    PlanFileName::parse(&name).unwrap().sending
}

/// 訪問介護 to 居宅介護支援.
fn back(serial: u64) -> Sending {
    let there = sending(serial);
    Sending {
        sender: there.receiver,
        sender_type: there.receiver_type,
        receiver: there.sender,
        receiver_type: there.sender_type,
        ..there
    }
}

const FIRST: u64 = 20_261_101_090_000;

fn at(seconds: i64) -> Context {
    Context::new(now() + jiff::SignedDuration::from_secs(seconds)).unwrap()
}

/// A care manager, people registered for the office, and their handles.
struct Desk {
    world: World,
    manager: Caller,
    people: Vec<SimPerson>,
    handles: Vec<String>,
    generator: Generator,
}

impl Desk {
    async fn new(database: Option<String>) -> Self {
        let world = World::loaded(database).await;
        world.start().await;
        let manager = world.office(Role::Planning, JobType::CareManager).await;
        let generator = Generator::new(&world.city.spec);
        let mut desk = Self { world, manager, people: Vec::new(), handles: Vec::new(), generator };
        let with_plan = desk.with_plan();
        for person in with_plan.into_iter().take(2) {
            desk.register(person).await;
        }
        desk
    }

    /// People of the city who can have a plan.
    fn with_plan(&self) -> Vec<SimPerson> {
        let people = self.world.city.people.iter();
        people.filter(|p| !p.insured.withheld && care_plan(&self.generator, p).is_some()).cloned().collect()
    }

    async fn register(&mut self, person: SimPerson) {
        let request = asked(items(&person, true));
        let registered = self.world.platform.register_office(&self.manager, request, &context()).await.unwrap();
        self.handles.push(registered.handle);
        self.people.push(person);
    }

    /// 第1–3表 of these people; the policy is what differs from time to time.
    fn plans(&self, people: &[SimPerson], serial: u64, policy: &str) -> Files {
        let plans: Vec<_> = people
            .iter()
            .map(|person| {
                let mut plan = care_plan(&self.generator, person).unwrap();
                plan.table1.policy = policy.to_owned();
                plan
            })
            .collect();
        write_plan_set(&plans, &sending(serial)).unwrap()
    }

    fn slip(&self, person: &SimPerson) -> ServiceSlip {
        service_slip(&self.generator, person, ServiceMonth::of(dates::day_in_japan(now()))).unwrap()
    }

    /// 第6・7表 of these people.
    fn slips(&self, people: &[SimPerson], serial: u64) -> Files {
        let slips: Vec<_> = people.iter().map(|person| self.slip(person)).collect();
        write_slip_set(&slips, &sending(serial)).unwrap()
    }

    /// 第1表_削除 of a person's plan.
    fn withdrawal(&self, person: &SimPerson, serial: u64) -> Files {
        let plan = care_plan(&self.generator, person).unwrap();
        let withdrawal = PlanWithdrawal::Plan { person: plan.person, changed_on: plan.changed_on };
        write_withdrawals(&[withdrawal], &sending(serial)).unwrap()
    }

    async fn upload(&self, files: Files) -> IntakeResult {
        self.upload_at(files, 0).await
    }

    async fn upload_at(&self, files: Files, seconds: i64) -> IntakeResult {
        self.world.platform.import_plans(&self.manager, files, &at(seconds)).await.unwrap()
    }

    /// Contents of a kind of document, as somebody reads them some seconds later.
    async fn seen(&self, person: usize, what: &str, seconds: i64) -> Vec<Document> {
        let known_on = asked(Some(now() + jiff::SignedDuration::from_secs(seconds)));
        let handle = &self.handles[person];
        let view = self.world.platform.view_kind(&self.manager, handle, Kind::Cp1, known_on, &at(100)).await.unwrap();
        view.documents.into_iter().filter(|document| document.content.get(what).is_some()).collect()
    }

    async fn policies(&self, person: usize, seconds: i64) -> Vec<String> {
        let text = |document: Document| document.content["plan"]["table1"]["policy"].as_str().unwrap().to_owned();
        self.seen(person, "plan", seconds).await.into_iter().map(text).collect()
    }

    async fn receipt(&self, of: &IntakeResult) -> IntakeResult {
        self.world.platform.receipt(&self.manager, &of.receipt, &context()).await.unwrap()
    }

    async fn rows(&self, person: PersonKey) -> usize {
        let headers = self.world.platform.store().record_headers(person).await.unwrap();
        headers.iter().filter(|header| header.kind == Kind::Cp1).count()
    }
}

fn rules(result: &IntakeResult) -> Vec<&str> {
    result.report.problems.iter().map(|problem| problem.rule.as_str()).collect()
}

fn problem<'r>(result: &'r IntakeResult, rule: &str) -> &'r ReportedProblem {
    let found = result.report.problems.iter().find(|problem| problem.rule == rule);
    found.unwrap_or_else(|| panic!("{rule}: {:?}", result.report.problems))
}

fn joined(sets: impl IntoIterator<Item = Files>) -> Files {
    sets.into_iter().flatten().collect()
}

fn counts(result: &IntakeResult) -> [i64; 4] {
    let counts = result.report.counts;
    [counts.read, counts.applied, counts.unchanged, counts.refused]
}

#[tokio::test]
async fn plans_of_several_people_are_one_receipt_that_says_the_same_each_time() {
    for address in addresses().await {
        let desk = Desk::new(address).await;
        let mut files = joined([desk.plans(&desk.people, FIRST, "転ばない"), desk.slips(&desk.people, FIRST + 1)]);
        // A remark of the reader is part of the report, too.
        files[0].1.retain(|byte| *byte != b'\r');
        let first = desk.upload(files.clone()).await;
        assert_eq!((first.state, first.repeated, counts(&first)), ("applied", false, [4, 4, 0, 0]), "{first:?}");
        assert_eq!(rules(&first), ["line_end"]);
        let kinds: Vec<_> = first.report.kinds.iter().map(|(kind, counts)| (kind.as_str(), counts.applied)).collect();
        assert_eq!(kinds, [("UP1KYO", 2), ("UPPLAN", 2)]);
        let insurer = desk.world.city.insurer;
        assert_eq!(first.report.insurers[insurer.as_str()], first.report.counts);
        let receipt = desk.receipt(&first).await;
        assert_eq!((&receipt, receipt.csv()), (&first, first.csv()));
        assert!(first.csv().contains("種別 UP1KYO: 全 2 件、反映 2 件"), "{}", first.csv());

        let again = desk.upload_at(files.clone(), 30).await;
        assert_eq!(again, IntakeResult { repeated: true, ..first.clone() });
        let receipt = desk.receipt(&first).await;
        assert_eq!((&receipt, receipt.csv()), (&first, first.csv()));
        let store = desk.world.platform.store();
        for person in &desk.people {
            assert_eq!(desk.rows(person.insured.key).await, 2);
            let entries = store.audit().about_person(insurer.as_str(), person.insured.key.insured.as_str(), 9, None);
            let entries = entries.await.unwrap();
            let of_it =
                entries.iter().filter(|e| e.action == "import.plan" && e.natural_key == Some(first.receipt.clone()));
            assert_eq!(of_it.count(), 1, "each of them finds it in the log, once");
        }
        let number = store.receipt(insurer, &first.receipt).await.unwrap().unwrap().number;
        let original = store.original(insurer, number).await.unwrap().unwrap();
        assert!(original.windows(files[1].1.len()).any(|bytes| bytes == files[1].1), "the files are kept as they came");
    }
}

#[tokio::test]
async fn people_of_two_insurers_in_one_upload_have_one_number_and_one_report() {
    for address in addresses().await {
        let mut desk = Desk::new(address).await;
        let other = InsurerNumber::parse("294538").unwrap();
        let spec = CitySpec {
            insurer: other,
            card_insurer: other,
            name: "架空県隣市".to_owned(),
            ..desk.world.city.spec.clone()
        };
        let city = City::generate(&spec);
        let platform = desk.world.platform.clone();
        let package = city_package(&city).unwrap();
        platform.set_start(other, StartState::Coordinating, "cli", &context()).await.unwrap();
        let loaded = platform.import_package_locally(other, package, &context(), &mut |_, _| {}).await.unwrap();
        assert_eq!(loaded.state, "applied");
        let today = dates::day_in_japan(now());
        platform.set_start(other, StartState::Started(today), "cli", &context()).await.unwrap();
        let own = desk.people[1].insured.key;
        let neighbour = city.people.iter().find(|person| person.insured.key.insured == own.insured).unwrap().clone();
        desk.register(neighbour.clone()).await;

        let files = desk.plans(&[desk.people[0].clone(), neighbour.clone()], FIRST, "転ばない");
        let first = desk.upload(files.clone()).await;
        assert_eq!(counts(&first), [2, 2, 0, 0], "{first:?}");
        let insurers: Vec<_> =
            first.report.insurers.iter().map(|(number, counts)| (number.as_str(), counts.applied)).collect();
        assert_eq!(insurers, [("294538", 1), ("999003", 1)]);
        assert_eq!(desk.receipt(&first).await, first);
        assert!(first.csv().contains("保険者 294538: 全 1 件、反映 1 件"), "{}", first.csv());
        let mut originals = 0;
        for insurer in [other, desk.world.city.insurer] {
            let receipt = platform.store().receipt(insurer, &first.receipt).await.unwrap().unwrap();
            assert_eq!((receipt.counts.applied, receipt.result.is_some()), (1, true));
            originals += usize::from(platform.store().original(insurer, receipt.number).await.unwrap().is_some());
        }
        assert_eq!(originals, 1);
        assert!(desk.upload(files).await.repeated);

        // One of them cannot be taken: nothing is, with neither of the insurers.
        let files = joined([
            desk.plans(&desk.people[..1], FIRST + 5, "新しい方針"),
            desk.slips(std::slice::from_ref(&neighbour), FIRST + 7),
            write_withdrawals(
                &[PlanWithdrawal::Slip {
                    person: neighbour.insured.key,
                    month: ServiceMonth::parse("202001").unwrap(),
                }],
                &sending(FIRST + 8),
            )
            .unwrap(),
        ]);
        let refused = desk.upload(files).await;
        assert_eq!((refused.state, counts(&refused)), ("refused", [3, 0, 0, 3]), "{refused:?}");
        assert_eq!((desk.rows(desk.people[0].insured.key).await, desk.rows(neighbour.insured.key).await), (1, 1));
        assert_eq!(desk.receipt(&refused).await, refused);
    }
}

#[tokio::test]
async fn two_identical_uploads_at_once_end_as_one() {
    for address in addresses().await {
        let desk = Desk::new(address).await;
        let files = desk.plans(&desk.people, FIRST, "転ばない");
        let (one, other) = tokio::join!(desk.upload(files.clone()), desk.upload(files));
        assert_eq!(one.receipt, other.receipt);
        assert_ne!(one.repeated, other.repeated);
        assert_eq!(one.report, other.report);
        assert_eq!(desk.rows(desk.people[0].insured.key).await, 1);
    }
}

#[tokio::test]
async fn a_withdrawn_plan_is_not_shown_any_more_and_stays_as_history() {
    for address in addresses().await {
        let desk = Desk::new(address).await;
        desk.upload(desk.plans(&desk.people, FIRST, "転ばない")).await;
        assert_eq!(desk.policies(0, 1).await, ["転ばない"]);

        let done = desk.upload_at(desk.withdrawal(&desk.people[0], FIRST + 10), 10).await;
        assert_eq!((done.state, counts(&done)), ("applied", [1, 1, 0, 0]), "{done:?}");
        assert_eq!(done.report.kinds["DLT1KYO"].applied, 1);
        assert_eq!(desk.receipt(&done).await, done);
        assert_eq!(desk.policies(0, 20).await, Vec::<String>::new());
        assert_eq!(desk.policies(0, 5).await, ["転ばない"], "as it was known before");
        assert_eq!(desk.policies(1, 20).await, ["転ばない"], "the other person's stays");
        let person = desk.people[0].insured.key;
        let log = desk.world.platform.store().audit();
        let entries = log.about_person(person.insurer.as_str(), person.insured.as_str(), 50, None).await.unwrap();
        let entry = entries.iter().find(|entry| entry.natural_key.as_ref() == Some(&done.receipt)).unwrap();
        assert!(log.detail_of(entry).await.unwrap().text.unwrap().contains("\"withdrawn\":[\"plan-"));

        // Withdrawn once more it is unchanged; sent again later it is there again.
        let more = desk.upload_at(desk.withdrawal(&desk.people[0], FIRST + 11), 20).await;
        assert_eq!(counts(&more), [1, 0, 1, 0]);
        desk.upload_at(desk.plans(&desk.people[..1], FIRST + 12, "転ばない"), 25).await;
        assert_eq!(desk.policies(0, 30).await, ["転ばない"]);
    }
}

#[tokio::test]
async fn what_was_never_registered_by_this_office_cannot_be_withdrawn() {
    let desk = Desk::new(None).await;
    let files = joined([desk.plans(&desk.people[1..], FIRST, "転ばない"), desk.withdrawal(&desk.people[0], FIRST + 1)]);
    let refused = desk.upload(files).await;
    assert_eq!((refused.state, counts(&refused)), ("refused", [2, 0, 0, 2]));
    let told = problem(&refused, "unknown_target");
    assert_eq!((told.severity.as_str(), told.line, told.column), ("error", 1, 4));
    assert!(told.file.starts_with("DLT1KYO_") && told.item == "居宅サービス計画作成（変更）日", "{told:?}");
    let changed_on = dates::yyyymmdd(care_plan(&desk.generator, &desk.people[0]).unwrap().changed_on);
    assert!(told.message.contains(&format!("「{changed_on}」")), "{}", told.message);
    assert_eq!(desk.rows(desk.people[1].insured.key).await, 0, "nothing of the upload is registered");
    assert_eq!(desk.receipt(&refused).await, refused);
}

#[tokio::test]
async fn slips_and_actuals_are_registered_and_withdrawn_by_month_office_and_service() {
    for address in addresses().await {
        let desk = Desk::new(address).await;
        let slip = desk.slip(&desk.people[0]);
        let mut services: Vec<_> =
            slip.lines.iter().map(|line| (line.office.to_string(), line.service_code[..2].to_owned())).collect();
        services.sort();
        services.dedup();
        let actuals = ServiceActuals { person: slip.person, month: slip.month, lines: slip.lines.clone() };
        let reported = write_actuals(&[actuals], &back(FIRST + 100)).unwrap();
        let files = joined([desk.slips(&desk.people[..1], FIRST), reported]);
        let done = desk.upload(files).await;
        assert_eq!(done.state, "applied", "{done:?}");
        let kept = services.len() as i64;
        assert_eq!((done.report.kinds["UPPLAN"].applied, done.report.kinds["UPJSK"].applied), (1, kept));
        let shown = desk.seen(0, "actuals", 1).await;
        assert_eq!(shown.len(), services.len());
        let lines: usize = shown.iter().map(|d| d.content["actuals"]["lines"].as_array().unwrap().len()).sum();
        assert_eq!(lines, slip.lines.len());

        let first = &slip.lines[0];
        let (person, month) = (slip.person, slip.month);
        let service = kiban_domain::ServiceType::parse(&first.service_code[..2]).unwrap();
        let gone = PlanWithdrawal::Actuals { person, month, office: first.office, service };
        let withdrawn = desk.upload_at(write_withdrawals(&[gone], &back(FIRST + 200)).unwrap(), 10).await;
        assert_eq!((withdrawn.state, counts(&withdrawn)), ("applied", [1, 1, 0, 0]), "{withdrawn:?}");
        assert_eq!(desk.seen(0, "actuals", 20).await.len(), services.len() - 1);
        assert_eq!(desk.seen(0, "slip", 20).await.len(), 1, "the plan of the month stays");

        let slip_gone = PlanWithdrawal::Slip { person, month };
        desk.upload_at(write_withdrawals(&[slip_gone], &sending(FIRST + 300)).unwrap(), 20).await;
        assert_eq!(desk.seen(0, "slip", 30).await.len(), 0);
    }
}

#[tokio::test]
async fn plans_of_another_sender_are_refused_and_so_are_actuals_for_another_office() {
    let desk = Desk::new(None).await;
    let plan = care_plan(&desk.generator, &desk.people[0]).unwrap();
    let other = Sending { sender: back(FIRST).sender, ..sending(FIRST) };
    let foreign = desk.upload(write_plan_set(&[plan], &other).unwrap()).await;
    assert_eq!((foreign.state, rules(&foreign)[0]), ("refused", "sender"));
    let slip = desk.slip(&desk.people[0]);
    let actuals = ServiceActuals { person: slip.person, month: slip.month, lines: slip.lines };
    let elsewhere = Sending { receiver: back(FIRST).sender, ..back(FIRST) };
    let foreign = desk.upload(write_actuals(&[actuals], &elsewhere).unwrap()).await;
    assert_eq!((foreign.state, rules(&foreign)[0]), ("refused", "sender"));
}

#[tokio::test]
async fn another_content_of_the_same_key_is_an_update_and_what_was_made_earlier_changes_nothing() {
    for address in addresses().await {
        let desk = Desk::new(address).await;
        let one = &desk.people[..1];
        desk.upload(desk.plans(one, FIRST + 20, "二番目")).await;
        let update = desk.upload_at(desk.plans(one, FIRST + 30, "三番目"), 5).await;
        assert_eq!((update.state, counts(&update), rules(&update).len()), ("applied", [1, 1, 0, 0], 0), "{update:?}");
        assert_eq!(
            (desk.policies(0, 9).await, desk.policies(0, 1).await),
            (vec!["三番目".into()], vec!["二番目".into()])
        );

        let late = desk.upload_at(desk.plans(one, FIRST + 10, "一番目"), 10).await;
        assert_eq!((late.state, late.repeated, counts(&late)), ("applied", false, [1, 0, 1, 0]));
        let told = problem(&late, "superseded");
        assert_eq!((told.severity.as_str(), told.line, told.column), ("warning", 1, 14));
        assert_eq!(desk.receipt(&late).await, late);
        let late = desk.upload_at(desk.withdrawal(&desk.people[0], FIRST + 11), 12).await;
        assert_eq!((counts(&late), rules(&late)), ([1, 0, 1, 0], vec!["superseded"]));
        assert_eq!(desk.policies(0, 20).await, ["三番目"]);

        // The same content made later is unchanged, and what lies between comes too late.
        let same = desk.upload_at(desk.plans(one, FIRST + 50, "三番目"), 15).await;
        assert_eq!((counts(&same), same.repeated), ([1, 0, 1, 0], false));
        let between = desk.upload_at(desk.plans(one, FIRST + 40, "間"), 16).await;
        assert_eq!(rules(&between), ["superseded"]);
        assert_eq!(desk.policies(0, 20).await, ["三番目"]);
    }
}

/// Sent again with fewer rows: of each document named, the rows that are gone are gone; whoever and whatever is not named
/// stays as it was until it is withdrawn (docs/files.md).
#[tokio::test]
async fn a_set_sent_again_with_fewer_rows_replaces_what_it_names_and_leaves_the_rest() {
    for address in addresses().await {
        let desk = Desk::new(address).await;
        let size = |document: &Document, what: &str, at: &str| {
            document.content[what].pointer(at).and_then(|list| list.as_array()).map_or(0, Vec::len)
        };
        // Plans of two people; then that of one, without most of its rows.
        let mut plan = care_plan(&desk.generator, &desk.people[0]).unwrap();
        let (needs, days) = (plan.table2.needs.len(), plan.table3.rows.len());
        desk.upload(desk.plans(&desk.people, FIRST, "初め")).await;
        plan.table2.needs.truncate(1);
        plan.table3.rows.truncate(1);
        let again = desk.upload_at(write_plan_set(&[plan], &sending(FIRST + 10)).unwrap(), 5).await;
        assert_eq!(counts(&again), [1, 1, 0, 0], "{again:?}");
        let rows =
            |shown: &[Document]| (size(&shown[0], "plan", "/table2/needs"), size(&shown[0], "plan", "/table3/rows"));
        let (before, now) = (desk.seen(0, "plan", 1).await, desk.seen(0, "plan", 9).await);
        assert_eq!((before.len(), rows(&before)), (1, (needs, days)), "as it was known before");
        assert_eq!((now.len(), rows(&now)), (1, (1, 1)));
        assert!(days > 1, "nothing was left out");
        assert_eq!(desk.policies(1, 9).await, ["初め"], "somebody who is not named keeps the plan");

        // A slip and the results of it; then one line of each.
        let mut slip = desk.slip(&desk.people[0]);
        let actuals = |lines: &[_]| ServiceActuals { person: slip.person, month: slip.month, lines: lines.to_vec() };
        let (all, one) = (actuals(&slip.lines), actuals(&slip.lines[..1]));
        let services: std::collections::BTreeSet<_> =
            slip.lines.iter().map(|line| (line.office, line.service_code[..2].to_owned())).collect();
        let first = (slip.lines[0].office, slip.lines[0].service_code[..2].to_owned());
        let elsewhere = slip.lines.iter().filter(|l| (l.office, l.service_code[..2].to_owned()) != first).count();
        assert!(slip.lines.len() > elsewhere + 1, "nothing would be left out");
        let both = joined([
            write_slip_set(&[slip.clone()], &sending(FIRST + 20)).unwrap(),
            write_actuals(&[all], &back(FIRST + 21)).unwrap(),
        ]);
        desk.upload_at(both, 10).await;
        slip.lines.truncate(1);
        let fewer = joined([
            write_slip_set(&[slip], &sending(FIRST + 30)).unwrap(),
            write_actuals(&[one], &back(FIRST + 31)).unwrap(),
        ]);
        desk.upload_at(fewer, 15).await;
        let slips = desk.seen(0, "slip", 20).await;
        assert_eq!((slips.len(), size(&slips[0], "slip", "/lines")), (1, 1));
        let results = desk.seen(0, "actuals", 20).await;
        let lines: usize = results.iter().map(|document| size(document, "actuals", "/lines")).sum();
        assert_eq!((results.len(), lines), (services.len(), 1 + elsewhere), "other services stay until withdrawn");
    }
}

#[tokio::test]
async fn the_last_of_a_key_within_one_upload_holds() {
    let desk = Desk::new(None).await;
    let one = &desk.people[..1];
    let files = joined([desk.plans(one, FIRST + 2, "後"), desk.plans(one, FIRST + 1, "先")]);
    let done = desk.upload(files).await;
    assert_eq!((done.state, counts(&done)), ("applied", [2, 1, 1, 0]), "{done:?}");
    let told = problem(&done, "superseded");
    assert!(told.file.contains("20261101090001"), "{told:?}");
    assert_eq!(desk.policies(0, 1).await, ["後"]);

    let other = &desk.people[1..];
    let both = joined([desk.plans(other, FIRST + 3, "取り消す"), desk.withdrawal(&desk.people[1], FIRST + 4)]);
    assert_eq!(counts(&desk.upload(both).await), [2, 1, 1, 0]);
    assert_eq!(desk.policies(1, 1).await, Vec::<String>::new());
}

/// A care manager imports a month: the same plan went to several offices under one serial.
#[tokio::test]
async fn sets_for_several_offices_under_one_serial_are_no_later_versions_of_one_another() {
    let desk = Desk::new(None).await;
    let plan = |policy: &str| {
        let mut plan = care_plan(&desk.generator, &desk.people[0]).unwrap();
        plan.table1.policy = policy.to_owned();
        plan
    };
    let set = |to: &str, policy: &str| {
        let receiver = kiban_domain::OfficeNumber::parse(to).unwrap();
        write_plan_set(&[plan(policy)], &Sending { receiver, ..sending(FIRST) }).unwrap()
    };
    let same = desk.upload(joined([set("9970000031", "同じ"), set("9970000049", "同じ")])).await;
    assert_eq!((same.state, counts(&same), rules(&same).len()), ("applied", [2, 1, 1, 0], 0), "{same:?}");
    let other = joined([set("9970000031", "小さい番号"), set("9970000049", "大きい番号")]);
    let other = desk.upload_at(other, 5).await;
    assert_eq!(rules(&other), ["superseded"]);
    let told = problem(&other, "superseded");
    assert!(told.message.contains("同じファイル連番で内容の違うもの"), "{told:?}");
    assert_eq!(desk.policies(0, 9).await, ["大きい番号"]);
}

#[tokio::test]
async fn each_person_who_is_not_the_offices_user_is_told_with_line_and_number() {
    let desk = Desk::new(None).await;
    let strangers: Vec<_> = desk.with_plan().into_iter().skip(2).take(1).collect();
    let mut unknown = desk.people[1].clone();
    unknown.insured.key.insured = kiban_domain::InsuredNumber::parse("9999999999").unwrap();
    let people = [desk.people[0].clone(), strangers[0].clone(), unknown];
    let files = joined([desk.plans(&people, FIRST, "転ばない"), desk.withdrawal(&strangers[0], FIRST + 1)]);
    let refused = desk.upload(files).await;
    assert_eq!((refused.state, counts(&refused)), ("refused", [4, 0, 0, 4]));
    let told: Vec<_> = refused.report.problems.iter().filter(|problem| problem.rule == "not_assigned").collect();
    let places: Vec<_> =
        told.iter().map(|p| (p.file.split('_').next().unwrap(), p.line, p.column, p.item.as_str())).collect();
    // A row may have lines within its text.
    assert_eq!(
        places.iter().map(|place| (place.0, place.2, place.3)).collect::<Vec<_>>(),
        [("UP1KYO", 3, "被保険者番号"), ("UP1KYO", 3, "被保険者番号"), ("DLT1KYO", 3, "被保険者番号"),]
    );
    assert!(1 < places[0].1 && places[0].1 < places[1].1 && places[2].1 == 1, "{places:?}");
    assert!(told[0].message.contains(&format!("「{}」", strangers[0].insured.key.insured)), "{}", told[0].message);
    let words = |problem: &ReportedProblem| problem.message.split_once("となっています。").unwrap().1.to_owned();
    assert!(told[1].message.contains("「9999999999」"));
    assert_eq!(words(told[0]), words(told[1]), "an unknown number and somebody else's user are the same");
    assert!(!told.iter().any(|problem| problem.message.contains(desk.people[0].insured.key.insured.as_str())));
}

#[tokio::test]
async fn a_provider_that_is_not_on_the_platform_is_named_where_it_stands_and_the_slip_is_taken() {
    let desk = Desk::new(None).await;
    let mut slip = desk.slip(&desk.people[0]);
    let known = slip.lines[1].office;
    let unknown = kiban_domain::OfficeNumber::parse("9970099996").unwrap();
    slip.lines.iter_mut().skip(1).filter(|line| line.office == known).for_each(|line| line.office = unknown);
    let done = desk.upload(write_slip_set(&[slip], &sending(FIRST)).unwrap()).await;
    assert_eq!((done.state, counts(&done)), ("applied", [1, 1, 0, 0]), "{done:?}");
    let told: Vec<_> = done.report.problems.iter().filter(|problem| problem.rule == "unknown_office").collect();
    assert_eq!(told.len(), 1, "once for each office and unit");
    assert_eq!((told[0].severity.as_str(), told[0].line, told[0].column), ("warning", 2, 20));
    assert!(told[0].file.starts_with("UPPLAN_") && told[0].message.contains("「9970099996」"), "{:?}", told[0]);
    assert_eq!(desk.receipt(&done).await, done);
}

#[tokio::test]
async fn a_receipt_is_found_when_its_people_are_not_the_offices_any_more_and_by_nobody_else() {
    for address in addresses().await {
        let desk = Desk::new(address).await;
        let done = desk.upload(desk.plans(&desk.people, FIRST, "転ばない")).await;
        for handle in &desk.handles {
            desk.world.platform.end_registration(&desk.manager, handle, &context()).await.unwrap();
        }
        assert_eq!(desk.receipt(&done).await, done);
        let helper = desk.world.office(Role::HomeHelp, JobType::CareWorker).await;
        let foreign = desk.world.platform.receipt(&helper, &done.receipt, &context()).await;
        assert!(matches!(foreign, Err(Error::Unknown)));
        let officer = &desk.world.city.officers[0];
        let city = desk.world.caller(kiban_domain::Organization::Municipality(desk.world.city.insurer), officer).await;
        let foreign = desk.world.platform.receipt(&city, &done.receipt, &context()).await;
        assert!(matches!(foreign, Err(Error::Unknown)), "an office's receipt is not the city's");
    }
}

#[tokio::test]
async fn a_municipality_that_has_not_started_is_the_reason_told() {
    let desk = Desk::new(None).await;
    let mut person = desk.people[0].clone();
    person.insured.card_insurer = InsurerNumber::parse("294538").unwrap();
    let refused = desk.upload(desk.plans(&[person], FIRST, "転ばない")).await;
    assert_eq!((refused.state, rules(&refused)), ("refused", vec!["not_started"]));
    let said = &refused.report.problems[0].message;
    assert!(said.contains("まだ情報共有を始めていません。未開始（時期は未定）。"), "{said}");
}

fn example(sub: &str) -> Received {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/care-plan/valid").join(sub);
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())
    };
    let files: Files = std::fs::read_dir(folder).unwrap().map(read).collect();
    let (received, problems) = read_set(&files);
    assert!(problems.is_empty(), "{problems:?}");
    received
}

/// The preventive example, about one of the people of the desk, with this text of the plan.
fn preventive(person: PersonKey, serial: u64, policy: &str) -> Files {
    let received = example("preventive");
    let (mut basic, mut plan) = (received.basics[0].value.clone(), received.preventive_plans[0].value.clone());
    (basic.person, plan.person) = (person, person);
    plan.items.policy = policy.to_owned();
    write_preventive_set(&[basic], &[plan], &sending(serial)).unwrap()
}

#[tokio::test]
async fn preventive_plans_are_registered_updated_and_withdrawn_like_the_others() {
    for address in addresses().await {
        let desk = Desk::new(address).await;
        let person = care_plan(&desk.generator, &desk.people[0]).unwrap().person;
        let first = desk.upload(preventive(person, FIRST, "畑と将棋")).await;
        assert_eq!((first.state, counts(&first)), ("applied", [2, 2, 0, 0]), "{first:?}");
        let basic = desk.seen(0, "basic_information", 1).await;
        let picture = &basic[0].content["basic_information"]["picture"];
        assert_eq!((picture["width"].as_u64(), picture["jpeg"].is_string()), (Some(240), true));

        let second = desk.upload_at(preventive(person, FIRST + 1, "畑だけ"), 10).await;
        assert_eq!(counts(&second), [2, 1, 1, 0], "{second:?}");
        let plans = desk.seen(0, "preventive_plan", 20).await;
        let policies: Vec<_> =
            plans.iter().map(|plan| plan.content["preventive_plan"]["items"]["policy"].as_str().unwrap()).collect();
        assert_eq!(policies, ["畑だけ"]);

        let day = jiff::civil::date(2026, 4, 1);
        let withdrawals = [
            PlanWithdrawal::BasicInformation { person, consulted_on: day },
            PlanWithdrawal::PreventivePlan { person, changed_on: day },
        ];
        for (at, withdrawal) in withdrawals.into_iter().enumerate() {
            let files = write_withdrawals(&[withdrawal], &sending(FIRST + 2 + at as u64)).unwrap();
            assert_eq!(counts(&desk.upload_at(files, 30 + at as i64).await), [1, 1, 0, 0]);
        }
        assert!(desk.seen(0, "basic_information", 50).await.is_empty());
        assert!(desk.seen(0, "preventive_plan", 50).await.is_empty());
        assert_eq!(desk.seen(0, "preventive_plan", 25).await.len(), 1, "what was known before is still known");
    }
}

#[tokio::test]
async fn a_facility_registers_its_own_plans_as_cp2_and_no_other_office_does() {
    for address in addresses().await {
        let desk = Desk::new(address).await;
        let platform = &desk.world.platform;
        let manager = desk.world.office(Role::NursingHome, JobType::CareManager).await;
        let person = &desk.people[0];
        let registered = platform.register_office(&manager, asked(items(person, true)), &context()).await.unwrap();
        let mut plan = example("facility").facility_plans[0].value.clone();
        plan.person = care_plan(&desk.generator, person).unwrap().person;
        let sending = |serial: u64| {
            PlanFileName::parse(&format!("KGSP1_{}_51_{serial}.csv", plan.table1.office)).unwrap().sending
        };
        let files = write_facility_set(std::slice::from_ref(&plan), &sending(FIRST)).unwrap();
        let refused = desk.upload(files.clone()).await;
        assert_eq!((refused.state, rules(&refused).contains(&"sender")), ("refused", true), "{refused:?}");

        let first = platform.import_plans(&manager, files, &at(10)).await.unwrap();
        assert_eq!((first.state, counts(&first)), ("applied", [1, 1, 0, 0]), "{first:?}");
        let seen = async |seconds: i64| {
            let known = asked(Some(now() + jiff::SignedDuration::from_secs(seconds)));
            let view = platform.view_kind(&manager, &registered.handle, Kind::Cp2, known, &at(100)).await.unwrap();
            view.documents
        };
        let documents = seen(20).await;
        assert_eq!(documents[0].content["facility_plan"]["table2"]["needs"][0]["text"], "日中を楽しく過ごしたい");
        let others =
            platform.view_kind(&desk.manager, &desk.handles[0], Kind::Cp2, asked(None), &at(100)).await.unwrap();
        assert_eq!(others.documents.len(), 1, "the sharing table shows it to the 居宅介護支援 of the person");
        let headers = platform.store().record_headers(person.insured.key).await.unwrap();
        let plans = headers.iter().map(|header| header.kind).filter(|kind| matches!(kind, Kind::Cp1 | Kind::Cp2));
        assert_eq!(plans.collect::<Vec<_>>(), [Kind::Cp2]);

        let withdrawal = PlanWithdrawal::FacilityPlan { person: plan.person, changed_on: plan.changed_on };
        let files = write_withdrawals(&[withdrawal], &sending(FIRST + 1)).unwrap();
        let withdrawn = platform.import_plans(&manager, files, &at(30)).await.unwrap();
        assert_eq!(counts(&withdrawn), [1, 1, 0, 0]);
        assert_eq!((seen(40).await.len(), seen(25).await.len()), (0, 1));
    }
}
