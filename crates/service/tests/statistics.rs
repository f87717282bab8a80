//! A city of five people whose figures were counted by hand (docs/statistics.md), and the lists that go with them.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use jiff::civil::{Date, date};
use kiban_domain::certification::{ApplicationKind, CareLevel, CertificationProgress, CertificationResult};
use kiban_domain::consent::{ConsentAct, ConsentRecord, Declarant, IdentityProof};
use kiban_domain::dates::Period;
use kiban_domain::insurance_card::{
    BenefitRestriction, CardIssue, CertifiedLevel, CopaymentPeriod, CopaymentRate, InsuranceCard, Tenths,
};
use kiban_domain::insured::{Identity, Insured, LossReason, Sex};
use kiban_domain::office::JobType;
use kiban_domain::{InsuredNumber, Kind, Organization, PersonKey};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_service::{Caller, Error, LinesPart, RegistrationRequest, Statistics, StatisticsState, Table};
use kiban_sim::Role;
use support::{World, addresses, asked, context, now};

fn person(world: &World, number: u32, birth: Date, area: &str) -> Insured {
    let insured = InsuredNumber::parse(&format!("{number:010}")).unwrap();
    Insured {
        key: PersonKey { insurer: world.city.insurer, insured },
        card_insurer: world.city.insurer,
        identity: Identity {
            name: format!("架空 {number}子"),
            kana: format!("カクウ {}コ", ["イチ", "ニ", "サン", "ヨン", "ゴ"][number as usize - 1]),
            birth,
            sex: Sex::Female,
            postal_code: None,
            address: Some(format!("架空県見本市{area}１番２号")),
            telephone: None,
        },
        withheld: number == 5,
        acquired_on: date(2020, 4, 1),
        lost: (number == 4).then_some((date(2026, 6, 1), LossReason::Died)),
        domicile_exception: false,
        acquired_because: None,
        domicile_facility: None,
    }
}

fn entry<T>(person: &Insured, history: u32, value: T) -> Entry<T> {
    Entry { key: person.key, history, change: Change::New, value }
}

fn card(level: CareLevel, decided_on: Date, from: Date, to: Date) -> InsuranceCard {
    let valid = Period::new(from, Some(to)).unwrap();
    let certified = CertifiedLevel {
        level,
        decided_on,
        valid: Some(valid),
        limit_units: None,
        limit_period: None,
        service_limits: vec![],
        board_opinion: None,
    };
    let (restrictions, planning_offices, facilities) = (vec![], vec![], vec![]);
    InsuranceCard {
        issue: CardIssue::Issued(decided_on),
        certified: Some(certified),
        restrictions,
        planning_offices,
        facilities,
    }
}

fn rate(tenths: u8, year: i16) -> CopaymentRate {
    let period = Period::new(date(year, 8, 1), Some(date(year + 1, 7, 31))).unwrap();
    let rows = vec![CopaymentPeriod { rate: Tenths::new(tenths).unwrap(), period }];
    CopaymentRate { issued_on: date(year, 7, 15), rows }
}

fn act(person: &Insured, act: ConsentAct, day: Date) -> ConsentRecord {
    ConsentRecord {
        person: person.key,
        act,
        acted_at: kiban_domain::dates::instant_in_japan(day.at(9, 0, 0, 0)).unwrap(),
        declarant: Declarant::Person,
        proof: IdentityProof::InsuranceCard,
        taken_by: Organization::Municipality(person.key.insurer),
        staff: None,
        form: "同意様式 第1版".into(),
        remark: None,
        leaflet: None,
        evidence: None,
    }
}

/// The five, as docs/statistics.md tells about them. Today is 2026-11-20.
async fn small_city(address: Option<String>) -> World {
    use CareLevel::{Care1, Care2, Care3, Support1};
    let world = World::new(address).await;
    let one = person(&world, 1, date(1941, 5, 3), "北町");
    let two = person(&world, 2, date(1950, 1, 1), "北町");
    let three = person(&world, 3, date(1955, 3, 3), "南町");
    let four = person(&world, 4, date(1946, 1, 1), "南町");
    let five = person(&world, 5, date(1938, 2, 2), "南町");
    let mut restricted = card(Care1, date(2026, 10, 5), date(2026, 11, 1), date(2028, 10, 31));
    let period = Period::new(date(2026, 11, 1), Some(date(2027, 4, 30))).unwrap();
    restricted.restrictions =
        vec![BenefitRestriction { kind: None, content: "給付額減額".into(), period, benefit_percent: Some(70) }];
    let cards = [
        entry(&one, 1, card(Care1, date(2024, 12, 1), date(2025, 1, 1), date(2025, 12, 31))),
        entry(&one, 2, card(Care2, date(2025, 12, 10), date(2026, 1, 1), date(2026, 12, 31))),
        entry(&two, 1, card(Care3, date(2025, 10, 1), date(2025, 11, 1), date(2026, 10, 31))),
        entry(&two, 2, restricted),
        entry(&four, 1, card(Support1, date(2025, 1, 10), date(2025, 2, 1), date(2026, 1, 31))),
        entry(&four, 2, card(Support1, date(2026, 1, 20), date(2026, 2, 1), date(2027, 1, 31))),
    ];
    let rates = [
        entry(&one, 1, rate(1, 2025)),
        entry(&one, 2, rate(2, 2026)),
        entry(&two, 1, rate(1, 2025)),
        entry(&two, 2, rate(1, 2026)),
        entry(&three, 1, rate(3, 2026)),
    ];
    let result = |level, decided_on| CertificationResult {
        level,
        decided_on,
        valid: None,
        months: None,
        board_opinion: None,
        reason: None,
        notified_on: None,
        card_issued_on: None,
    };
    let apply = CertificationProgress::apply;
    let mut renewal = apply(date(2026, 9, 1), ApplicationKind::Renewal);
    renewal.survey_requested_on = Some(date(2026, 9, 2));
    renewal.survey_received_on = Some(date(2026, 9, 12));
    renewal.opinion_requested_on = Some(date(2026, 9, 2));
    renewal.opinion_received_on = Some(date(2026, 9, 20));
    renewal.result = Some(result(Care1, date(2026, 10, 5)));
    let mut waiting = apply(date(2026, 11, 10), ApplicationKind::New);
    waiting.opinion_requested_on = Some(date(2026, 11, 11));
    let mut overdue = apply(date(2026, 10, 1), ApplicationKind::New);
    overdue.opinion_requested_on = Some(date(2026, 10, 5));
    let mut quick = apply(date(2026, 1, 2), ApplicationKind::Renewal);
    quick.result = Some(result(Support1, date(2026, 1, 20)));
    let progress = [
        entry(&one, 1, apply(date(2025, 11, 10), ApplicationKind::Renewal)),
        entry(&two, 1, renewal),
        entry(&three, 1, waiting),
        entry(&four, 1, quick),
        entry(&five, 1, overdue),
    ];
    let consents = [
        entry(&two, 1, act(&two, ConsentAct::Given, date(2026, 1, 5))),
        entry(&two, 2, act(&two, ConsentAct::KindRefused(Kind::C1), date(2026, 1, 6))),
        entry(&three, 1, act(&three, ConsentAct::Given, date(2026, 1, 5))),
        entry(&three, 2, act(&three, ConsentAct::Withdrawn, date(2026, 3, 5))),
        entry(&five, 1, act(&five, ConsentAct::NotObtainable, date(2026, 3, 5))),
    ];
    let people = [&one, &two, &three, &four, &five].map(|one| entry(one, 1, one.clone()));
    let package = MunicipalPackage::new(world.city.insurer, now())
        .insured(&people)
        .cards(&cards)
        .copayment_rates(&rates)
        .progress(&progress)
        .consents(&consents);
    let result = world.import(package.finish().unwrap()).await;
    assert_eq!((result.state, result.report.counts.refused), ("applied", 0), "{:?}", result.report.problems);
    world
}

async fn officer(world: &World) -> Caller {
    world.caller(Organization::Municipality(world.city.insurer), &world.city.officers[0]).await
}

/// The care manager registers for the second person and looks at the card once.
async fn one_look(world: &World) -> Caller {
    world.start().await;
    let manager = world.office(Role::Planning, JobType::CareManager).await;
    let request = RegistrationRequest {
        card_insurer: world.city.insurer,
        insured: InsuredNumber::parse("0000000002").unwrap(),
        kana: "カクウ ニコ".into(),
        birth: date(1950, 1, 1),
        sex: Sex::Female,
        makes_plan: true,
    };
    let handle = world.platform.register_office(&manager, asked(request), &context()).await.unwrap().handle;
    world.platform.view_kind(&manager, &handle, Kind::A3a, asked(None), &context()).await.unwrap();
    manager
}

async fn counted(world: &World, officer: &Caller, shareable: bool) -> Statistics {
    let state = world.platform.count_statistics(officer, &context()).await.unwrap();
    assert_ne!(state, StatisticsState::Missing);
    loop {
        match world.platform.statistics::<Error>(officer, Ok((None, shareable)), &context()).await.unwrap() {
            StatisticsState::Ready { statistics } => return *statistics,
            StatisticsState::Running { .. } => tokio::task::yield_now().await,
            StatisticsState::Missing => panic!("the job ended without a result"),
        }
    }
}

fn table<'a>(statistics: &'a Statistics, id: &str) -> &'a Table {
    statistics.tables.iter().find(|table| table.id == id).unwrap()
}

/// Rows with anything but zeros, without the sums.
fn rows(statistics: &Statistics, id: &str) -> Vec<(String, Vec<u64>)> {
    let rows = table(statistics, id)
        .rows
        .iter()
        .map(|row| (row.name.clone(), row.cells.iter().map(|cell| cell.unwrap_or(u64::MAX)).collect::<Vec<_>>()));
    rows.filter(|(name, cells)| name != "合計" && cells.iter().any(|cell| *cell > 0)).collect()
}

fn row(name: &str, cells: &[u64]) -> (String, Vec<u64>) {
    (name.to_owned(), cells.to_vec())
}

#[tokio::test]
async fn the_figures_are_those_counted_by_hand() {
    for address in addresses().await {
        let world = small_city(address).await;
        one_look(&world).await;
        let officer = officer(&world).await;
        let all = counted(&world, &officer, false).await;
        assert_eq!((all.people, all.damaged, all.smallest), (Some(5), 0, None));
        // 同意あり, 撤回, 取得不能, 記録なし, 合計
        assert_eq!(
            rows(&all, "consent"),
            [
                row("要支援・要介護（90日以内に期限）", &[0, 0, 0, 1, 1]),
                row("要支援・要介護（その他）", &[1, 0, 0, 0, 1]),
                row("認定なし", &[0, 1, 1, 0, 2]),
            ]
        );
        assert_eq!(rows(&all, "refusals"), [row("C1 LIFE情報", &[1])]);
        // Ages 64−, 65, 70, 75, 80, 85, 90+.
        assert_eq!(
            rows(&all, "levels"),
            [row("要介護１", &[0, 0, 0, 1, 0, 0, 0, 1]), row("要介護２", &[0, 0, 0, 0, 0, 1, 0, 1])]
        );
        assert_eq!(rows(&all, "decisions"), [row("新規", &[0, 0, 1, 1, 0, 2]), row("更新", &[1, 1, 0, 0, 0, 2])]);
        let steps = rows(&all, "steps");
        assert!(steps.contains(&row("認定", &[2, 18, 34, 1])), "{steps:?}");
        assert!(steps.contains(&row("意見書依頼", &[3, 1, 4, 3])), "{steps:?}");
        assert_eq!(rows(&all, "opinions"), [row("新規", &[0, 0, 1, 1, 2]), row("更新", &[0, 1, 0, 0, 1])]);
        assert_eq!(
            rows(&all, "offices"),
            [row("要支援・要介護", &[1, 1, 0, 0, 0, 0, 2]), row("認定なし", &[2, 0, 0, 0, 0, 0, 2])]
        );
        assert_eq!(rows(&all, "looks"), [row("A3a 介護保険被保険者証", &[1, 0, 0, 0, 1])]);
        assert_eq!(rows(&all, "change_by_age"), [row("75〜79歳", &[1, 0, 0, 1]), row("80〜84歳", &[0, 1, 1, 2])]);
        assert_eq!(
            rows(&all, "change_by_area"),
            [row("架空県見本市北町", &[1, 0, 1, 2]), row("架空県見本市南町", &[0, 1, 0, 1])]
        );
        assert_eq!(rows(&all, "change_by_service"), [row("（担当の登録なし）", &[1, 1, 1, 3])]);
        assert_eq!(table(&all, "change_of_level").rows.last().unwrap().cells.last(), Some(&Some(3)));
        assert_eq!(rows(&all, "copayment"), [row("なし", &[1, 0, 0, 1, 2]), row("1割", &[0, 1, 1, 0, 2])]);
        let rate = |id: &str| all.rates.iter().find(|rate| rate.id == id).unwrap().permille;
        assert_eq!((rate("consent"), rate("consent_due"), rate("decided_in_30_days")), (Some(250), Some(0), Some(500)));
        assert_eq!(all.pending, []);

        // Once a day: a package that comes later shows tomorrow.
        let again = world.platform.count_statistics(&officer, &context()).await.unwrap();
        assert_eq!(again, StatisticsState::Ready { statistics: Box::new(all) });
    }
}

#[tokio::test]
async fn a_change_is_counted_under_each_service_of_the_offices_that_were_registered_on_its_day() {
    let world = small_city(None).await;
    one_look(&world).await;
    let request = RegistrationRequest {
        card_insurer: world.city.insurer,
        insured: InsuredNumber::parse("0000000002").unwrap(),
        kana: "カクウ ニコ".into(),
        birth: date(1950, 1, 1),
        sex: Sex::Female,
        makes_plan: false,
    };
    let helper = world.office(Role::HomeHelp, JobType::CareWorker).await;
    let handle = world.platform.register_office(&helper, asked(request.clone()), &context()).await.unwrap().handle;
    let nurse = world.office(Role::Nursing, JobType::Nurse).await;
    world.platform.register_office(&nurse, asked(request), &context()).await.unwrap();
    // One that ended on the day still counts; the day before the registrations nobody served.
    world.platform.end_registration(&helper, &handle, &context()).await.unwrap();
    let two = person(&world, 2, date(1950, 1, 1), "北町");
    let cards = [
        entry(&two, 3, card(CareLevel::Care3, date(2026, 11, 19), date(2026, 12, 1), date(2027, 11, 30))),
        entry(&two, 4, card(CareLevel::Care2, date(2026, 11, 20), date(2026, 12, 1), date(2027, 11, 30))),
    ];
    let made_at = now() + jiff::SignedDuration::from_secs(1);
    let result = world.import(MunicipalPackage::new(world.city.insurer, made_at).cards(&cards).finish().unwrap()).await;
    assert_eq!(result.report.counts.applied, 2, "{:?}", result.report.problems);
    let all = counted(&world, &officer(&world).await, false).await;
    assert_eq!(
        rows(&all, "change_by_service"),
        [
            row("11 訪問介護", &[1, 0, 0, 1]),
            row("13 訪問看護", &[1, 0, 0, 1]),
            row("43 居宅介護支援", &[1, 0, 0, 1]),
            row("（担当の登録なし）", &[1, 1, 2, 4]),
        ]
    );
}

#[tokio::test]
async fn what_leaves_the_city_tells_of_nobody() {
    let world = small_city(None).await;
    let officer = officer(&world).await;
    let few = counted(&world, &officer, true).await;
    assert_eq!((few.smallest, few.people), (Some(10), None));
    for table in &few.tables {
        assert!(table.rows.iter().flat_map(|row| &row.cells).all(Option::is_none), "{table:?}");
    }
    assert!(few.rates.iter().all(|rate| rate.permille.is_none()), "{:?}", few.rates);
    // A look and a registration more are in the figures of the city, and what leaves it is the same.
    let later = small_city(None).await;
    one_look(&later).await;
    let theirs = self::officer(&later).await;
    let whole = counted(&later, &theirs, false).await;
    assert_ne!(whole.tables, counted(&world, &officer, false).await.tables);
    assert_eq!(counted(&later, &theirs, true).await, few);
}

#[tokio::test]
async fn the_working_list_names_only_own_insured_due_without_consent() {
    for address in addresses().await {
        let world = small_city(address).await;
        let officer = officer(&world).await;
        let page =
            world.platform.renewals_without_consent(&officer, None, Ok::<_, Error>(10), &context()).await.unwrap();
        let lines: Vec<_> =
            page.people.iter().map(|line| (line.insured_number.as_str(), line.days_left, line.consent)).collect();
        assert_eq!(lines, [("0000000001", 41, "missing")]);
        let found = world.platform.view_person(&officer, &page.people[0].handle, &context()).await;
        assert!(matches!(found, Err(Error::Refused(_))), "not started yet");
        let mut after = page.next;
        while let Some(next) = after {
            let page = world
                .platform
                .renewals_without_consent(&officer, Some(&next), Ok::<_, Error>(10), &context())
                .await
                .unwrap();
            assert_eq!(page.people, []);
            after = page.next;
        }
        // The person on the list finds the look.
        let key = PersonKey { insurer: world.city.insurer, insured: InsuredNumber::parse("0000000001").unwrap() };
        let log = world.platform.store().audit().about_person(key.insurer.as_str(), key.insured.as_str(), 10, None);
        assert!(log.await.unwrap().iter().any(|entry| entry.action == "renewals.list"));
        let manager = one_look(&world).await;
        let office = world.platform.renewals_without_consent(&manager, None, Ok::<_, Error>(10), &context()).await;
        assert!(matches!(office, Err(Error::Unknown)));
        assert!(matches!(world.platform.count_statistics(&manager, &context()).await, Err(Error::Unknown)));
    }
}

#[tokio::test]
async fn the_city_reads_whose_burden_rate_changed_on_a_day() {
    for address in addresses().await {
        let world = small_city(address).await;
        let officer = officer(&world).await;
        let list = async |day| {
            let mut lines = world.platform.copayment_changes::<Error>(&officer, Ok(day), &context()).await.unwrap();
            let mut all = Vec::new();
            loop {
                match lines.rows.recv().await.unwrap().unwrap() {
                    LinesPart::Rows(rows) => all.extend(rows),
                    LinesPart::End => return all,
                }
            }
        };
        assert_eq!(
            list(date(2026, 8, 1)).await,
            [["0000000001", "1", "2", "2026-08-01", "2027-07-31"], ["0000000003", "", "3", "2026-08-01", "2027-07-31"]]
        );
        assert_eq!(list(date(2026, 8, 2)).await, Vec::<Vec<String>>::new());
        // Who is on the list finds that it was read, and nobody else does (decision 0006.6).
        for (number, listed) in [(1, 1), (2, 0), (3, 1)] {
            let (insurer, insured) = (world.city.insurer, format!("{number:010}"));
            let log = world.platform.store().audit().about_person(insurer.as_str(), &insured, 20, None).await.unwrap();
            let found = log.iter().filter(|entry| entry.action == "copayment_changes.list").count();
            assert_eq!(found, listed, "{number}");
        }
    }
}

#[tokio::test]
async fn the_office_is_warned_of_ends_and_told_of_restrictions() {
    let world = small_city(None).await;
    let manager = one_look(&world).await;
    let list = world
        .platform
        .list_people(&manager, asked(kiban_service::PeoplePage { after: None, limit: 10 }), &context())
        .await
        .unwrap();
    let found: Vec<_> = list[0].warnings.iter().map(|warning| (warning.what, warning.stage)).collect();
    assert_eq!(found, [("restriction", None)]);
    assert!(list[0].warnings[0].message.contains("給付額減額（給付率 70%）"));
    let page = world.platform.view_person(&manager, &list[0].handle, &context()).await.unwrap();
    assert_eq!(page.warnings, list[0].warnings);

    // A card that ends in 41 days warns at 60.
    let request = RegistrationRequest {
        card_insurer: world.city.insurer,
        insured: InsuredNumber::parse("0000000001").unwrap(),
        kana: "カクウ イチコ".into(),
        birth: date(1941, 5, 3),
        sex: Sex::Female,
        makes_plan: true,
    };
    let handle = world.platform.register_office(&manager, asked(request), &context()).await.unwrap().handle;
    let page = world.platform.view_person(&manager, &handle, &context()).await.unwrap();
    let found: Vec<_> = page.warnings.iter().map(|w| (w.what, w.days_left, w.stage)).collect();
    assert_eq!(found, [("certification", Some(41), Some(60))]);
}
