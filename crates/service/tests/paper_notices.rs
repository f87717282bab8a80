//! The notices on paper of a whole city in one run (P-036): who gets one, in what order, what it says, and what is left of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use jiff::civil::{Date, date};
use kiban_domain::certification::CareLevel;
use kiban_domain::dates::Period;
use kiban_domain::insurance_card::{CardIssue, CertifiedLevel, CopaymentPeriod, CopaymentRate, InsuranceCard, Tenths};
use kiban_domain::insured::{Identity, Insured, LossReason, Sex};
use kiban_domain::{InsuredNumber, Organization, PersonKey, Timestamp};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_pki::paper::{NoticeKey, check_notice};
use kiban_service::{
    BundledNotice, Caller, Context, Error, Identification, NoticesOrder, NoticesPart, NoticesReport, PAPERS_OF_A_BUNDLE,
};
use support::{World, addresses, context, now};

/// Certified people who get a paper.
const PEOPLE: u32 = 205;
const FIRST_SPECIAL: u32 = 900;

fn person(world: &World, number: u32) -> Insured {
    let insured = InsuredNumber::parse(&format!("{number:010}")).unwrap();
    Insured {
        key: PersonKey { insurer: world.city.insurer, insured },
        card_insurer: world.city.insurer,
        identity: Identity {
            name: format!("架空 {number}子"),
            kana: "カクウ ハナコ".to_owned(),
            birth: date(1941, 5, 3),
            sex: Sex::Female,
            // Not in the order of the numbers.
            postal_code: Some(format!("000-{:04}", 1_000 - number % 10)),
            address: Some(format!("架空県見本市北町{number}番")),
            telephone: None,
        },
        withheld: false,
        acquired_on: date(2020, 4, 1),
        lost: None,
        domicile_exception: false,
        acquired_because: None,
        domicile_facility: None,
    }
}

fn entry<T>(person: &Insured, history: u32, value: T) -> Entry<T> {
    Entry { key: person.key, history, change: Change::New, value }
}

fn card(from: Date, to: Date) -> InsuranceCard {
    let certified = CertifiedLevel {
        level: CareLevel::Care2,
        decided_on: from,
        valid: Some(Period::new(from, Some(to)).unwrap()),
        limit_units: Some(19_705),
        limit_period: None,
        service_limits: vec![],
        board_opinion: None,
    };
    InsuranceCard {
        issue: CardIssue::Issued(from),
        certified: Some(certified),
        restrictions: vec![],
        planning_offices: vec![],
        facilities: vec![],
    }
}

fn rate(tenths: u8, year: i16) -> CopaymentRate {
    let period = Period::new(date(year, 8, 1), Some(date(year + 1, 7, 31))).unwrap();
    let rows = vec![CopaymentPeriod { rate: Tenths::new(tenths).unwrap(), period }];
    CopaymentRate { issued_on: date(year, 7, 15), rows }
}

/// 205 people who get a paper, and one of each kind who gets none.
async fn city(address: Option<String>) -> World {
    let world = World::new(address).await;
    let folder = world.folder.path();
    world.platform.seat_identification(Identification {
        notice_key: Some(NoticeKey::load_or_create(&folder.join("notice.key")).unwrap()),
        ..Identification::default()
    });
    let mut people: Vec<Insured> = (1..=PEOPLE).map(|number| person(&world, number)).collect();
    people[0].identity.address = None;
    people[0].identity.postal_code = None;
    let special = |at: u32| person(&world, FIRST_SPECIAL + at);
    let [withheld, dead, expired, never] = [0, 1, 2, 3].map(special);
    let withheld = Insured { withheld: true, ..withheld };
    let dead = Insured { lost: Some((date(2026, 6, 1), LossReason::Died)), ..dead };
    let valid = card(date(2026, 1, 1), date(2027, 12, 31));
    let mut cards: Vec<_> = people.iter().chain([&withheld, &dead]).map(|one| entry(one, 1, valid.clone())).collect();
    cards.push(entry(&expired, 1, card(date(2024, 1, 1), date(2025, 12, 31))));
    let rates: Vec<_> = people.iter().map(|one| entry(one, 1, rate(1, 2026))).collect();
    people.extend([withheld, dead, expired, never]);
    let rows: Vec<_> = people.iter().map(|one| entry(one, 1, one.clone())).collect();
    let package = MunicipalPackage::new(world.city.insurer, now()).insured(&rows).cards(&cards).copayment_rates(&rates);
    applied(&world, package, &context()).await;
    world
}

async fn applied(world: &World, package: MunicipalPackage, context: &Context) {
    let files = package.finish().unwrap();
    let insurer = world.city.insurer;
    let result = world.platform.import_package_locally(insurer, files, context, &mut |_, _| {}).await.unwrap();
    assert_eq!((result.state, result.report.counts.refused), ("applied", 0), "{:?}", result.report.problems);
}

async fn officer(world: &World) -> Caller {
    world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await
}

const TODAY: NoticesOrder = NoticesOrder { day: None, since: None };

async fn run(
    world: &World,
    officer: &Caller,
    order: NoticesOrder,
    at: Timestamp,
) -> (Vec<Vec<BundledNotice>>, NoticesReport) {
    let context = Context::new(at).unwrap();
    let mut notices = world.platform.paper_notices::<Error>(officer, Ok(order), &context).await.unwrap();
    let mut bundles = Vec::new();
    loop {
        match notices.parts.recv().await.unwrap().unwrap() {
            NoticesPart::Bundle(number, notices) => {
                bundles.push(notices);
                assert_eq!(number, bundles.len() as u64);
            }
            NoticesPart::Done(report) => return (bundles, report),
        }
    }
}

fn numbers(bundles: &[Vec<BundledNotice>]) -> Vec<u32> {
    let papers = bundles.iter().flatten();
    papers.map(|one| one.notice.insured.key.insured.to_string().parse().unwrap()).collect()
}

#[tokio::test]
async fn everybody_certified_gets_one_paper_in_the_order_of_the_post() {
    for address in addresses().await {
        let world = city(address).await;
        let officer = officer(&world).await;
        let (bundles, report) = run(&world, &officer, TODAY, now()).await;
        assert_eq!(bundles.iter().map(Vec::len).collect::<Vec<_>>(), [PAPERS_OF_A_BUNDLE, 5]);
        let expected =
            NoticesReport { papers: 205, bundles: 2, without_address: 1, withheld: 1, ..NoticesReport::default() };
        assert_eq!(report, expected);
        let mut wanted: Vec<u32> = (2..=PEOPLE).collect();
        // By the text of the address within a postal code.
        wanted.sort_by_key(|number| (10 - number % 10, format!("{number}番")));
        wanted.push(1);
        assert_eq!(numbers(&bundles), wanted);
        let places: Vec<u64> = bundles.iter().flatten().map(|one| one.number).collect();
        assert_eq!(places, (1..=205).collect::<Vec<u64>>());
        // What each says is signed, and good to the first end of it.
        let keys = world.platform.notice_keys();
        for BundledNotice { notice, .. } in bundles.iter().flatten() {
            let line = notice.line.as_ref().unwrap();
            let [_, insured, kana, .., level, tenths, from, to, issued] = check_notice(&line.text, &keys).unwrap();
            assert_eq!(insured, notice.insured.key.insured.to_string());
            assert_eq!([&*kana, &*level, &*tenths], ["カクウ ハナコ", "22", "1"]);
            assert_eq!([&*from, &*to, &*issued], ["20261120", "20270731", "20261120"]);
            assert_eq!((notice.values.limit_units, line.valid_to), (Some(19_705), date(2027, 7, 31)));
        }
        // Each person who got a paper finds in the log that it was made, and nobody else does.
        let audit = world.platform.store().audit();
        for (number, made) in [(1, 1), (205, 1), (FIRST_SPECIAL, 0), (FIRST_SPECIAL + 2, 0)] {
            let insured = format!("{number:010}");
            let log = audit.about_person(world.city.insurer.as_str(), &insured, 20, None).await.unwrap();
            let found = log.iter().filter(|entry| entry.action == "paper_notices.bundle").count();
            assert_eq!(found, made, "{number}");
        }
        let log = audit.of_organization(&world.city.insurer.to_string(), 50, None).await.unwrap();
        assert!(log.iter().any(|entry| entry.action == "paper_notices.done"), "{log:?}");
    }
}

/// July: the new rates are here, and go out before they hold.
#[tokio::test]
async fn only_whom_something_changed_and_as_of_the_day_on_which_it_will_hold() {
    for address in addresses().await {
        let world = city(address).await;
        let officer = officer(&world).await;
        let later: Timestamp = "2027-07-16T01:00:00Z".parse().unwrap();
        let changed: Vec<Insured> = [7, 9].map(|number| person(&world, number)).into();
        let rates: Vec<_> = changed.iter().map(|one| entry(one, 2, rate(2, 2027))).collect();
        let package = MunicipalPackage::new(world.city.insurer, later).copayment_rates(&rates);
        applied(&world, package, &Context::new(later).unwrap()).await;
        let order = NoticesOrder { day: Some(date(2027, 8, 1)), since: Some(date(2027, 7, 16)) };
        let (bundles, report) = run(&world, &officer, order, later).await;
        assert_eq!(numbers(&bundles), [9, 7]);
        assert_eq!((report.papers, report.unchanged, report.withheld), (2, 203, 1));
        let notice = &bundles[0][0].notice;
        assert_eq!((notice.issued, notice.day), (date(2027, 7, 16), date(2027, 8, 1)));
        assert_eq!(notice.values.copayment_tenths, Some(2));
        let line = notice.line.as_ref().unwrap();
        assert_eq!((line.valid_from, line.valid_to), (date(2027, 8, 1), date(2027, 12, 31)));
        // The day after nothing came.
        let order = NoticesOrder { since: Some(date(2027, 7, 17)), ..order };
        let after = "2027-07-17T01:00:00Z".parse().unwrap();
        assert_eq!(run(&world, &officer, order, after).await.1.papers, 0);
        // Days nobody means.
        for (day, since, item) in [
            (Some(date(2062, 8, 1)), None, "day"),
            (Some(date(2020, 8, 1)), None, "day"),
            (None, Some(date(2026, 11, 21)), "since"),
        ] {
            let order = Ok::<_, Error>(NoticesOrder { day, since });
            let refused = world.platform.paper_notices(&officer, order, &context()).await.err().unwrap();
            assert!(matches!(&refused, Error::Invalid(faults) if faults[0].item == item), "{refused:?}");
        }
    }
}
