//! A package that is only tried says what the real one then does, and leaves nothing behind but its entry (P-130).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails")]

mod support;

use kiban_domain::insurance_card::Tenths;
use kiban_domain::insured::{LinkReason, NumberLink};
use kiban_domain::office::JobType;
use kiban_domain::{InsuredNumber, Organization, PersonKey};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_service::{Difference, DryRun, Error};
use kiban_sim::{Role, city_package};
use support::{World, addresses, context, now};

type Files = Vec<(String, Vec<u8>)>;

fn entry<T>(key: PersonKey, history: u32, change: Change, value: T) -> Entry<T> {
    Entry { key, history, change, value }
}

/// Corrections, deletions, new rows, rows of strangers, an old row, consents twice, a link, and a fault of form.
fn packages(world: &World) -> Vec<Files> {
    let person = &world.cast.consenting;
    let key = person.insured.key;
    let stranger = PersonKey { insured: InsuredNumber::parse("9999999999").unwrap(), ..key };
    let rate = |tenths| {
        let mut rate = person.copayment.clone().unwrap();
        rate.rows[0].rate = Tenths::new(tenths).unwrap();
        rate
    };
    let mut moved = person.insured.clone();
    moved.identity.postal_code = Some("999-0001".to_owned());
    let before = PersonKey { insured: InsuredNumber::parse("0009999999").unwrap(), ..key };
    let link = NumberLink { before, changed_on: jiff::civil::date(2026, 4, 1), reason: LinkReason::Merged };
    let at = |second| MunicipalPackage::new(world.city.insurer, now() + jiff::SignedDuration::from_secs(second));
    let all = city_package(&world.city).unwrap();
    let mut broken = all.clone();
    broken[1].1.push(b'x');
    vec![
        all.clone(),
        at(1)
            .insured(&[entry(key, 9, Change::New, moved.clone())])
            .copayment_rates(&[entry(key, 7, Change::New, rate(3)), entry(stranger, 1, Change::New, rate(1))])
            .finish()
            .unwrap(),
        at(2)
            .insured(&[entry(key, 9, Change::Corrected, moved)])
            .copayment_rates(&[
                entry(key, 7, Change::Corrected, rate(2)),
                entry(key, 8, Change::Deleted, rate(2)),
                entry(key, 6, Change::New, rate(2)),
            ])
            .links(&[entry(key, 1, Change::New, link)])
            .finish()
            .unwrap(),
        at(3)
            .copayment_rates(&[entry(key, 7, Change::Deleted, rate(2)), entry(key, 6, Change::New, rate(1))])
            .links(&[entry(key, 1, Change::Deleted, link)])
            .finish()
            .unwrap(),
        broken,
        all,
    ]
}

/// Every row of every table but the audit log's and the key with which a first entry about an insurer is sealed.
async fn digest(world: &World) -> Vec<(String, String)> {
    let mut found = Vec::new();
    match world.address.strip_prefix("sqlite:") {
        Some(path) => {
            let pool = sqlx::SqlitePool::connect(&format!("sqlite:{path}?mode=ro")).await.unwrap();
            let tables =
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'audit%' AND name <> 'data_key'
                 ORDER BY name";
            for (table,) in sqlx::query_as::<_, (String,)>(tables).fetch_all(&pool).await.unwrap() {
                let columns =
                    format!("SELECT group_concat('quote(' || name || ')', '||') FROM pragma_table_info('{table}')");
                let (columns,): (String,) =
                    sqlx::query_as(sqlx::AssertSqlSafe(columns)).fetch_one(&pool).await.unwrap();
                let rows = format!(
                    "SELECT coalesce(group_concat(row, '|'), '') FROM (SELECT {columns} AS row FROM {table} ORDER BY 1)"
                );
                let (rows,): (String,) = sqlx::query_as(sqlx::AssertSqlSafe(rows)).fetch_one(&pool).await.unwrap();
                found.push((table, rows));
            }
            pool.close().await;
        }
        None => {
            let pool = sqlx::PgPool::connect(&world.address).await.unwrap();
            let tables =
                "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'audit%'
                 AND tablename <> 'data_key' ORDER BY 1";
            for (table,) in sqlx::query_as::<_, (String,)>(tables).fetch_all(&pool).await.unwrap() {
                let rows =
                    format!("SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {table} t");
                let (rows,): (String,) = sqlx::query_as(sqlx::AssertSqlSafe(rows)).fetch_one(&pool).await.unwrap();
                found.push((table, rows));
            }
            pool.close().await;
        }
    }
    found
}

async fn dry(world: &World, files: Files) -> DryRun {
    let officer = world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await;
    let before = digest(world).await;
    let dry = world.platform.dry_run_package(&officer, files, false, &context()).await.unwrap();
    let after = digest(world).await;
    let changed: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).map(|((table, _), _)| table).collect();
    assert_eq!(changed, Vec::<&String>::new(), "tables a trial wrote to");
    dry
}

#[tokio::test]
async fn a_trial_says_what_the_real_one_then_does_and_writes_nothing() {
    for address in addresses().await {
        let world = World::new(address).await;
        let mut seen = Vec::new();
        for files in packages(&world) {
            let dry = dry(&world, files.clone()).await;
            let real = world.import(files).await;
            let state = if real.state == "applied" { "would_apply" } else { "would_refuse" };
            assert_eq!(dry.state, state);
            // The last package is the first one again, which has its receipt already.
            if !real.repeated {
                assert_eq!(dry.report, real.report);
            }
            for (kind, changes) in &dry.changes {
                let counts = dry.report.kinds[kind];
                assert_eq!(changes.new + changes.changed + changes.deleted, counts.applied, "{kind}");
                assert_eq!((changes.unchanged, changes.refused), (counts.unchanged, counts.refused), "{kind}");
            }
            seen.push(dry);
        }
        let of = |n: usize, kind: &str| {
            let changes = seen[n].changes[kind];
            [changes.new, changes.changed, changes.deleted, changes.unchanged, changes.refused]
        };
        assert_eq!(of(0, "INSURED"), [60, 0, 0, 0, 0]);
        assert_eq!((of(1, "INSURED"), of(1, "A3B")), ([1, 0, 0, 0, 0], [1, 0, 0, 0, 1]));
        assert_eq!((of(2, "INSURED"), of(2, "A3B")), ([0, 0, 0, 1, 0], [1, 1, 1, 0, 0]));
        assert_eq!((of(3, "LINK"), of(3, "A3B")), ([0, 0, 1, 0, 0], [0, 0, 1, 0, 1]));
        assert_eq!(seen[4].state, "would_refuse");
        assert_eq!(of(5, "CONSENT")[0], 0, "every act is there");
        let log = world.platform.store().audit().of_organization(&world.city.insurer.to_string(), 200, None).await;
        assert_eq!(log.unwrap().iter().filter(|entry| entry.action == "import.dry_run").count(), 6);
    }
}

#[tokio::test]
async fn what_a_package_of_everything_lacks_is_listed_and_only_the_city_may_try() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        let officer = world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await;
        let whole = async |files| world.platform.dry_run_package(&officer, files, true, &context()).await.unwrap();
        let complete = whole(city_package(&world.city).unwrap()).await;
        assert_eq!(complete.missing.as_ref().map(|missing| missing.total), Some(0), "{:?}", complete.missing);

        // One person and one card fewer.
        let mut city = world.city.clone();
        let gone = city.people.pop().unwrap();
        let without = city.people.iter_mut().find(|person| person.copayment.is_some()).unwrap();
        without.copayment = None;
        let card = without.insured.key.insured;
        let missing = whole(city_package(&city).unwrap()).await.missing.unwrap();
        let rows: Vec<_> = missing.rows.iter().map(|row| (row.insured_number, row.kind.as_str())).collect();
        assert!(rows.contains(&(gone.insured.key.insured, "INSURED")) && rows.contains(&(card, "A3B")), "{rows:?}");
        assert_eq!(missing.total, 2, "{rows:?}");

        let manager = world.office(Role::Planning, JobType::CareManager).await;
        let tried = world.platform.dry_run_package(&manager, Vec::new(), false, &context()).await;
        assert!(matches!(tried, Err(Error::Refused(_))));
    }
}

#[tokio::test]
async fn every_row_in_which_city_and_platform_differ_is_listed_however_many_there_are() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        let mut people: Vec<_> = world
            .city
            .people
            .iter()
            .map(|person| entry(person.insured.key, 2, Change::New, person.insured.clone()))
            .collect();
        let gone = people.pop().unwrap().key.insured;
        let moved: Vec<_> = people.iter().skip(3).map(|one| one.key.insured).collect();
        people.iter_mut().for_each(|one| one.history = 1);
        for one in people.iter_mut().skip(3) {
            one.change = Change::Corrected;
            one.value.identity.postal_code = Some("999-0009".to_owned());
        }
        let made_at = now() + jiff::SignedDuration::from_secs(40);
        let files = MunicipalPackage::new(world.city.insurer, made_at).whole().insured(&people).finish().unwrap();
        let mut told = Vec::new();
        let mut lines = String::new();
        let mut note = |row: Difference<'_>| {
            told.push((row.insured_number, row.change));
            lines.push_str(&row.line());
        };
        let tried = world.platform.dry_run_locally(world.city.insurer, files, false, &context(), &mut note).await;
        let tried = tried.unwrap();
        let of = |change| {
            let mut rows: Vec<_> = told.iter().filter(|row| row.1 == change).map(|row| row.0).collect();
            rows.sort();
            rows
        };
        assert!(moved.len() > 10 && of("changed") == moved, "{told:?}");
        assert_eq!((of("missing"), of("new").len()), (vec![gone], 0));
        // The same in the file of a city that tries from afar.
        assert_eq!(tried.csv(&lines), tried.csv_of_named());
        for number in &moved {
            assert!(
                lines.contains(&format!("変更,INSURED,,,,changed,基盤の内容と異なります: 被保険者番号 {number}\r\n"))
            );
        }
    }
}

#[tokio::test]
async fn a_package_that_says_it_is_whole_tells_in_its_result_what_it_lacks_and_removes_nothing() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        let mut people: Vec<_> = world
            .city
            .people
            .iter()
            .map(|person| entry(person.insured.key, 1, Change::New, person.insured.clone()))
            .collect();
        let gone = people.pop().unwrap().key.insured;
        let at = |second| MunicipalPackage::new(world.city.insurer, now() + jiff::SignedDuration::from_secs(second));
        let some = world.import(at(10).insured(&people).finish().unwrap()).await;
        assert_eq!((some.state, some.missing), ("applied", None), "a package of differences lacks nothing");

        for files in [at(20).whole().insured(&people), at(30).whole().json().insured(&people)] {
            let files = files.finish().unwrap();
            let officer = world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await;
            let tried = world.platform.dry_run_package(&officer, files.clone(), false, &context()).await.unwrap();
            let result = world.import(files).await;
            assert_eq!(result.state, "applied", "{:?}", result.report.problems);
            let missing = result.missing.clone().unwrap();
            assert_eq!((missing.total, missing.kinds.clone()), (1, [("INSURED".to_owned(), 1)].into()));
            assert_eq!(missing.rows.iter().map(|row| row.insured_number).collect::<Vec<_>>(), [gone]);
            assert_eq!(tried.missing.as_ref(), Some(&missing), "as the trial said");
            let again = world.platform.receipt(&officer, &result.receipt, &context()).await.unwrap();
            assert_eq!(again.missing, Some(missing), "and whenever it is asked");
            let lines = result.csv();
            assert!(
                lines.contains(&format!(
                    "不足,INSURED,,,,missing,基盤にあり、このパッケージにありません: 被保険者番号 {gone}"
                )),
                "{lines}"
            );
        }
        let still = world.platform.store().numbers_after(world.city.insurer, None, 1_000).await.unwrap();
        assert!(still.contains(&gone), "what a package lacks stays");
    }
}
