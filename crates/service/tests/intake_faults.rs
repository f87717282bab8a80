//! A large package with a fault in every row, some in how it is written and some only seen when it is applied: the result
//! is exact and does not grow with the faults (docs/files.md).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails")]

mod support;

use kiban_domain::{InsuredNumber, Kind, PersonKey};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_service::{IntakeResult, ReportedProblem};
use ring::digest;
use support::{World, addresses, now};

type Files = Vec<(String, Vec<u8>)>;

/// `misspelt` rows of 被保険者 whose birthday is no day (or, put right, is one), and `unknown` burden rates of people nobody has.
fn package(world: &World, misspelt: u32, unknown: u32, is_misspelt: bool) -> Files {
    let person = &world.cast.consenting;
    let (insured, rate) = (&person.insured, person.copayment.clone().unwrap());
    let key = |n: u32| PersonKey { insured: InsuredNumber::parse(&format!("9{n:09}")).unwrap(), ..insured.key };
    let people: Vec<_> = (0..misspelt)
        .map(|n| {
            let value = kiban_domain::insured::Insured { key: key(n), ..insured.clone() };
            Entry { key: key(n), history: 1, change: Change::New, value }
        })
        .collect();
    let rates: Vec<_> =
        (0..unknown).map(|n| Entry { key: key(n), history: 1, change: Change::New, value: rate.clone() }).collect();
    let later = i64::from(misspelt + unknown) + if is_misspelt { 0 } else { 3_600 };
    let made_at = now() + jiff::SignedDuration::from_secs(later);
    let package = MunicipalPackage::new(world.city.insurer, made_at).insured(&people).copayment_rates(&rates);
    let mut files = package.finish().unwrap();
    if !is_misspelt {
        return files;
    }
    let birth = kiban_domain::dates::yyyymmdd(insured.identity.birth);
    let at = files.iter().position(|(name, _)| name.contains("INSURED")).unwrap();
    let before = sha256(&files[at].1);
    let text = String::from_utf8(files[at].1.clone()).unwrap().replace(&format!(",{birth},"), ",19401399,");
    files[at].1 = text.into_bytes();
    let after = sha256(&files[at].1);
    let manifest = files.iter_mut().find(|(name, _)| name == "MANIFEST.csv").unwrap();
    manifest.1 = String::from_utf8(manifest.1.clone()).unwrap().replace(&before, &after).into_bytes();
    files
}

fn sha256(bytes: &[u8]) -> String {
    digest::digest(&digest::SHA256, bytes).as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// How many problems an entry of the list stands for.
fn counted(problem: &ReportedProblem) -> u64 {
    if problem.rule != "more" {
        return 1;
    }
    let words = problem.message.split_once("ほか").unwrap().1;
    let digits = words.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

fn size(result: &IntakeResult) -> usize {
    serde_json::to_vec(&result.report).unwrap().len()
}

/// Everybody of a package, and what it left of them, whatever the receipts were.
async fn left_behind(world: &World, numbers: &[InsuredNumber]) -> Vec<(InsuredNumber, String, bool)> {
    let (store, insurer) = (world.platform.store(), world.city.insurer);
    let people = store.present_people(insurer, numbers).await.unwrap();
    let rates = store.present_records(insurer, numbers, &[Kind::A3b]).await.unwrap();
    let people = people.into_iter().flat_map(|(number, versions)| {
        versions.into_iter().map(move |version| (number, version.history_number.to_string(), version.withheld))
    });
    let rates = rates.into_iter().map(|((number, _, key), rate)| (number, key, rate.deleted));
    let mut all: Vec<_> = people.chain(rates).collect();
    all.sort();
    all
}

async fn not_in(world: &World) -> i64 {
    let rows = world.platform.store().open_rows_by_package(world.city.insurer).await.unwrap();
    rows.iter().map(|(_, count)| count).sum()
}

/// Every person is misspelt, so that every rate waits; the city mends its file and sends it again.
#[tokio::test]
async fn a_package_refused_in_every_row_and_put_right_ends_where_a_right_one_does() {
    const PEOPLE: u32 = 300;
    for (address, other) in addresses().await.into_iter().zip(addresses().await) {
        let (world, right) = (World::new(address).await, World::new(other).await);
        let (bad, good) = (package(&world, PEOPLE, PEOPLE, true), |n| package(&world, n, n, false));
        let refused = world.import(bad).await;
        assert_eq!((refused.report.counts.refused, refused.report.counts.applied), (2 * i64::from(PEOPLE), 0));
        assert_eq!(not_in(&world).await, 2 * i64::from(PEOPLE));

        // All but three, and then all.
        let mended = world.import(good(PEOPLE - 3)).await;
        let counts = mended.report.counts;
        assert_eq!((counts.refused, counts.applied), (0, 2 * i64::from(PEOPLE - 3)), "{:?}", mended.report.problems);
        assert_eq!(not_in(&world).await, 6, "three people and their rates are not in yet");
        world.import(good(PEOPLE)).await;
        assert_eq!(not_in(&world).await, 0);
        right.import(package(&right, PEOPLE, PEOPLE, false)).await;
        let numbers: Vec<_> = (0..PEOPLE).map(|n| InsuredNumber::parse(&format!("9{n:09}")).unwrap()).collect();
        let ends = left_behind(&world, &numbers).await;
        assert_eq!(ends.len(), 2 * PEOPLE as usize);
        assert_eq!(ends, left_behind(&right, &numbers).await);
    }
}

#[tokio::test]
async fn sixty_thousand_faults_give_exact_counts_and_a_short_list() {
    let world = World::loaded(None).await;
    let (misspelt, unknown) = (20_000, 40_000);
    let result = world.import(package(&world, misspelt, unknown, true)).await;
    let counts = result.report.counts;
    assert_eq!(result.state, "applied");
    assert_eq!((counts.read, counts.applied, counts.unchanged, counts.refused), (60_000, 0, 0, 60_000));
    assert_eq!(result.report.kinds["INSURED"].refused, 20_000);
    assert_eq!(result.report.kinds["A3B"].refused, 40_000);
    let problems = &result.report.problems;
    let of_file = |name: &str| problems.iter().filter(|p| p.file.contains(name)).map(counted).sum::<u64>();
    assert_eq!((of_file("INSURED"), of_file("A3B")), (20_000, 40_000), "every fault is told or counted");
    assert!(problems.len() < 11_100, "{}", problems.len());
    // Who reads the result file learns how many more there are.
    let csv = result.csv();
    assert!(csv.contains("全 60000 件、反映 0 件、変更なし 0 件、不採用 60000 件"));
    assert!(csv.contains("ほか 19000 件の問題があります"), "of the 20,000 misspelt rows 1,000 are told");
    let more = problems.iter().find(|p| p.rule == "more" && p.file.contains("A3B")).unwrap();
    assert!(csv.contains(&more.message) && counted(more) > 30_000, "{}", more.message);
    // A quarter of the faults gives the same list.
    let fewer = world.import(package(&world, misspelt / 4, unknown / 4, true)).await;
    assert_eq!(fewer.report.counts.refused, 15_000);
    assert_eq!(fewer.report.problems.len(), problems.len());
    assert!(size(&result) < size(&fewer) * 101 / 100, "{} and {} bytes", size(&result), size(&fewer));
}
