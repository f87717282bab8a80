//! The life of keys: when they end, what is sealed anew, how the master key changes, what a backup needs.

use crate::world::*;
use kiban_domain::consent::ConsentAct;
use kiban_domain::insured::Identity;
use kiban_domain::notice::NoticeKind;
use kiban_domain::office::{JobType, Staff, StaffId};
use kiban_domain::plan_request::SubmissionState;
use kiban_domain::{InsurerNumber, Kind, Organization};
use kiban_store::{
    Account, AuditSettings, Checked, DisasterLook, Idempotent, KeptAnswer, KeyLimits, MasterKey, NO_INSURER, NewNotice,
    NewPerson, NewSubmission, Original, Passkey, PortalRole, ReceiptCounts, ReceiptState, SEALED_COLUMNS, SearchToken,
    SearchTokens, SigningKey, Store, StoreError, UploadFile, verify_keys,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

const AT_ONCE: KeyLimits = KeyLimits { messages: 1 << 30, days: 365, grace_seconds: -1 };

/// Another process on the same database, with a clock (seconds) and limits of its own.
async fn process(world: &World, limits: KeyLimits, clock: &Arc<AtomicI64>) -> Store {
    let clock = Arc::clone(clock);
    let settings = AuditSettings {
        signing_key: SigningKey::load_or_create(&world.folder.path().join("keys/anchor.key")).unwrap(),
        anchor_dir: world.folder.path().join("anchors"),
        clock: Arc::new(move || at(clock.load(Ordering::SeqCst))),
    };
    Store::open_limited(&world.address, MasterKey::load(&master(world)).unwrap(), settings, limits).await.unwrap()
}

fn master(world: &World) -> PathBuf {
    world.folder.path().join("keys/master.key")
}

fn clock() -> Arc<AtomicI64> {
    Arc::new(AtomicI64::new(0))
}

/// How many values of a column lie under a generation.
async fn under(world: &World, table: &str, column: &str, generation: u32) -> i64 {
    let bytes =
        if world.is_postgres() { format!("'\\x{generation:08x}'::bytea") } else { format!("x'{generation:08x}'") };
    world.ask(&format!("SELECT count(*) FROM {table} WHERE substr({column}, 2, 4) = {bytes}")).await
}

async fn put(store: &Store, number: u32) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    tx.put_record(1, at(0), &record(Kind::A3a, &format!("{number:010}"), "内容")).await?;
    tx.commit(entry()).await
}

async fn keys_of(world: &World, owner: &str, purpose: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM data_key WHERE insurer_number = '{owner}' AND purpose = '{purpose}'");
    world.ask(&sql).await
}

fn app() -> kiban_store::SecondFactor {
    kiban_store::SecondFactor::App(b"geheim".to_vec().into())
}

#[tokio::test]
async fn a_key_ends_after_its_messages_and_the_next_write_seals_under_another() {
    on_each_engine(async |world| {
        let store = process(&world, KeyLimits { messages: 5, ..AT_ONCE }, &clock()).await;
        for number in 0..12 {
            put(&store, number).await.unwrap();
        }
        assert_eq!(under(&world, "record", "payload", 1).await, 5);
        assert_eq!(under(&world, "record", "payload", 2).await, 5);
        assert_eq!(under(&world, "record", "payload", 3).await, 2);
        assert_eq!(
            store.audit().release(store.records(hanako(), Kind::A3a).await.unwrap(), entry()).await.unwrap().len(),
            12
        );
        assert!(world.ask("SELECT count(*) FROM audit WHERE action = 'keys.rotate'").await >= 2);
        store.close().await.unwrap();
        let counted =
            "SELECT messages FROM data_key WHERE insurer_number = '435073' AND purpose = 'seal' AND generation = ";
        assert_eq!(world.ask(&format!("{counted}2")).await, 5);
        assert_eq!(world.ask(&format!("{counted}3")).await, 2, "counted at the end, however few");
    })
    .await;
}

#[tokio::test]
async fn a_key_ends_after_a_year() {
    on_each_engine(async |world| {
        let clock = clock();
        let store = process(&world, KeyLimits::default(), &clock).await;
        put(&store, 1).await.unwrap();
        clock.store(364 * 86_400, Ordering::SeqCst);
        put(&store, 2).await.unwrap();
        assert_eq!(under(&world, "record", "payload", 1).await, 2);
        clock.store(366 * 86_400, Ordering::SeqCst);
        put(&store, 3).await.unwrap();
        assert_eq!((under(&world, "record", "payload", 1).await, under(&world, "record", "payload", 2).await), (2, 1));
        assert_eq!(keys_of(&world, NO_INSURER, "audit").await, 2, "the log's key too");
        // What was there before lives on in a process that starts later.
        let later = process(&world, KeyLimits::default(), &clock).await;
        assert_eq!(
            later.audit().release(later.records(hanako(), Kind::A3a).await.unwrap(), entry()).await.unwrap().len(),
            3
        );
        assert!(later.audit().verify().await.unwrap().is_intact());
    })
    .await;
}

#[tokio::test]
async fn what_one_process_seals_under_a_new_key_another_reads_at_once() {
    on_each_engine(async |world| {
        let other = process(&world, AT_ONCE, &clock()).await;
        world.put_person(1, &known_hanako()).await;
        put(&world.store, 1).await.unwrap();
        assert!(other.person(hanako()).await.unwrap().is_some());
        world.store.rotate_data_key(insurer().as_str()).await.unwrap();
        world.put_person(2, &known_hanako()).await;
        put(&world.store, 2).await.unwrap();
        assert_eq!(under(&world, "person", "identity", 2).await, 1);
        assert!(other.person(hanako()).await.unwrap().is_some());
        assert_eq!(other.records(hanako(), Kind::A3a).await.map(|_| ()).ok(), Some(()));
        // The platform's own: names of accounts.
        world.write(async |tx| tx.put_account(&account("架空 三郎")).await).await.unwrap();
        assert_eq!(other.accounts().await.unwrap().len(), 1);
        world.store.rotate_data_key(NO_INSURER).await.unwrap();
        world.write(async |tx| tx.put_account(&account("架空 四郎")).await).await.unwrap();
        assert_eq!(under(&world, "staff", "name", 2).await, 1);
        assert_eq!(other.accounts().await.unwrap()[0].staff.name, "架空 四郎");
        let seen = world.store.audit().of_organization("operator", 50, None).await.unwrap();
        for entry in seen {
            other.audit().detail_of(&entry).await.unwrap();
        }
    })
    .await;
}

fn account(name: &str) -> Account {
    Account {
        staff: Staff {
            id: StaffId("4370100017/s1".to_owned()),
            name: name.to_owned(),
            job: JobType::CareManager,
            care_manager: None,
            administrator: false,
        },
        organization: Organization::Office(office()),
        password_hash: "$argon2id$架空".to_owned(),
        active: true,
        initial_until: None,
        closed_at: None,
        has_factor: false,
        has_passkey: false,
    }
}

fn passkey() -> Passkey {
    let (id, name) = ("p1".to_owned(), "架空の端末".to_owned());
    Passkey { id, name, credential: vec![1; 32], key: vec![2; 77], counter: 0, made_at: at(0), used_at: None }
}

fn nobodys_answer() -> KeptAnswer {
    KeptAnswer { bytes: b"answer".to_vec(), insurer: None, insured: None }
}

fn hanakos_answer() -> KeptAnswer {
    KeptAnswer { insurer: Some(insurer()), insured: Some(hanako().insured), ..nobodys_answer() }
}

/// Something in every sealed column.
async fn fill(world: &World) {
    let number = world.open_receipt("package").await;
    world.put_person(number, &known_hanako()).await;
    world.put_person(number, &insured(taro(), "架空 太郎", "カクウ タロウ")).await;
    // Three versions of one person: an older 履歴番号 and a correction.
    let old_name = insured(taro(), "旧姓 太郎", "キュウセイ タロウ");
    world.write(async |tx| tx.put_person(number, 0, &old_name).await).await.unwrap();
    let corrected = insured(taro(), "架空 太朗", "カクウ タロウ");
    world.write(async |tx| tx.put_person(number + 1, 1, &corrected).await).await.unwrap();
    let piece = world.store.seal_piece(insurer(), "u1", (0, 0), "架空の包み".as_bytes()).await.unwrap();
    let file = UploadFile { name: "架空.csv".to_owned(), bytes: 15, sha256: "0".repeat(64), pieces: 1 };
    world
        .write(async |tx| {
            tx.begin_upload(insurer(), "u1", at(0)).await?;
            tx.put_pieces(insurer(), "u1", &[piece]).await?;
            tx.put_upload_files(insurer(), "u1", &[file]).await
        })
        .await
        .unwrap();
    let look = DisasterLook {
        id: "l1".to_owned(),
        person: hanako(),
        organization: Organization::Office(office()),
        staff: StaffId("4370100017/s1".to_owned()),
        looked_at: at(0),
        modes: vec!["m1".to_owned()],
        reason: "架空の捜索".to_owned(),
        viewed_at: None,
    };
    world.write(async |tx| tx.put_disaster_look(&look).await).await.unwrap();
    let proxy = crate::portal::grant("g1", PortalRole::Legal);
    world.write(async |tx| tx.put_portal_grant(&proxy).await).await.unwrap();
    let draft = crate::drafts::draft(1, "架空の下書き");
    world.write(async |tx| tx.save_opinion_draft(hanako(), office(), None, &draft).await).await.unwrap();
    put(&world.store, 1).await.unwrap();
    let act = consent(ConsentAct::Given, 0);
    world.write(async |tx| tx.put_consent("act", number, at(0), &act).await).await.unwrap();
    let counts = ReceiptCounts::default();
    let applied = ReceiptState::Applied;
    world.write(async |tx| tx.finish_receipt(insurer(), number, applied, counts, b"{}").await).await.unwrap();
    let submission = NewSubmission {
        id: "s1".to_owned(),
        person: hanako(),
        kind: Kind::A2,
        sender: Organization::Office(office()),
        submitted_by: StaffId("4370100017/s1".to_owned()),
        submitted_at: at(0),
        natural_key: "1".to_owned(),
        payload: "架空の意見書".as_bytes().to_vec(),
        original: Some(Original { media: "text/csv".to_owned(), bytes: "架空のファイル".as_bytes().to_vec() }),
        replaces: None,
    };
    world.write(async |tx| tx.put_submission(&submission).await).await.unwrap();
    let kept = NewSubmission { id: "s2".to_owned(), natural_key: "2".to_owned(), ..submission.clone() };
    world.write(async |tx| tx.put_submission(&kept).await).await.unwrap();
    let accepted = world.store.submission(insurer(), "s2").await.unwrap().unwrap();
    world.write(async |tx| tx.keep_original(&accepted, number, day(20320331)).await).await.unwrap();
    let notice = NewNotice {
        id: "n1".to_owned(),
        to: Organization::Municipality(insurer()),
        administrators: false,
        kind: NoticeKind::UnknownCertificate,
        raised_at: at(0),
        about: Some(hanako()),
        facts: b"{}".to_vec(),
    };
    world.write(async |tx| tx.put_notice(&notice).await).await.unwrap();
    let nobodys = NewNotice { id: "n2".to_owned(), about: None, ..notice };
    world.write(async |tx| tx.put_notice(&nobodys).await).await.unwrap();
    let stored = world.store.submission(insurer(), "s1").await.unwrap().unwrap();
    let returned = SubmissionState::Returned { reason: "架空の理由".to_owned() };
    world.write(async |tx| tx.move_submission(&stored, &returned, at(1)).await).await.unwrap();
    world.write(async |tx| tx.put_statistics(insurer(), 20261122, at(0), b"{}").await).await.unwrap();
    world.write(async |tx| tx.put_slip(&crate::slips::slip("sl1", 20_261_122_000_001)).await).await.unwrap();
    let third = account("架空 三郎");
    world
        .write(async |tx| {
            tx.put_account(&third).await?;
            tx.set_factor(&third, Some(&app()), &[]).await?;
            tx.put_passkey(&Account { has_factor: true, ..third.clone() }, &passkey()).await
        })
        .await
        .unwrap();
    let organization = Organization::Office(office());
    world
        .write(async |tx| {
            for (key, answer) in [(b"key", nobodys_answer()), (b"KEY", hanakos_answer())] {
                tx.remember(organization, key, b"request", &answer, at(0)).await?;
            }
            Ok(())
        })
        .await
        .unwrap();
}

/// Everything of [`fill`] opens.
async fn everything_opens(store: &Store) {
    assert_eq!(store.person(hanako()).await.unwrap().unwrap().1, known_hanako());
    let versions = store.person_versions(taro()).await.unwrap();
    let names: Vec<_> = versions.iter().map(|(_, insured)| insured.identity.name.as_str()).collect();
    assert_eq!(names, ["架空 太朗", "架空 太郎", "旧姓 太郎"]);
    assert_eq!(store.upload_files(insurer(), "u1").await.unwrap()[0].name, "架空.csv");
    assert_eq!(store.upload_piece(insurer(), "u1", (0, 0)).await.unwrap(), "架空の包み".as_bytes());
    assert_eq!(store.disaster_looks(insurer(), None, 10).await.unwrap()[0].reason, "架空の捜索");
    let proxy = crate::portal::grant("g1", PortalRole::Legal);
    assert_eq!(store.portal_grant(hanako(), "g1").await.unwrap(), Some(proxy));
    let draft = store.opinion_draft(hanako(), office()).await.unwrap();
    assert_eq!(draft, Some(crate::drafts::draft(1, "架空の下書き")));
    assert_eq!(
        store.audit().release(store.records(hanako(), Kind::A3a).await.unwrap(), entry()).await.unwrap().len(),
        1
    );
    assert_eq!(store.consents(hanako()).await.unwrap().len(), 1);
    let receipt = store.receipt(insurer(), "package").await.unwrap().unwrap();
    assert_eq!(receipt.result.as_deref(), Some(&b"{}"[..]));
    assert_eq!(store.original(insurer(), receipt.number).await.unwrap().unwrap(), "架空の原本".as_bytes());
    let submission = store.submission(insurer(), "s1").await.unwrap().unwrap();
    assert_eq!(submission.payload.as_deref(), Some("架空の意見書".as_bytes()));
    assert_eq!(submission.state, SubmissionState::Returned { reason: "架空の理由".to_owned() });
    assert_eq!(submission.original.unwrap().bytes, "架空のファイル".as_bytes());
    let kept = store.kept_original(insurer(), "s2").await.unwrap().unwrap();
    assert_eq!(kept.bytes, "架空のファイル".as_bytes());
    for id in ["n1", "n2"] {
        let notice = store.notice(Organization::Municipality(insurer()), id).await.unwrap().unwrap();
        assert_eq!(notice.facts, b"{}");
    }
    crate::slips::opens(store, "sl1").await;
    let third = store.accounts().await.unwrap().remove(0).staff;
    assert_eq!(third.name, "架空 三郎");
    assert!(store.second_factor(&third.id).await.unwrap() == Some(app()));
    assert_eq!(store.passkeys(Organization::Office(office()), &third.id).await.unwrap(), [passkey()]);
    assert_eq!(store.statistics(insurer(), 20261122).await.unwrap().unwrap(), b"{}");
    for (key, answer) in [(b"key", nobodys_answer()), (b"KEY", hanakos_answer())] {
        let found = store.remembered(Organization::Office(office()), key, b"request").await.unwrap();
        assert_eq!(found, Idempotent::Done(answer));
    }
}

#[tokio::test]
async fn everything_is_sealed_anew_and_the_old_key_goes_when_nothing_is_under_it() {
    on_each_engine(async |world| {
        fill(&world).await;
        for owner in [insurer().as_str(), NO_INSURER] {
            world.store.rotate_data_key(owner).await.unwrap();
            let cared = world.store.reseal(owner, &mut |_| {}).await.unwrap();
            assert!(cared.done >= 2 && cared.retired == 0 && cared.kept == 1, "others may not know yet: {cared:?}");
        }
        for (table, column) in SEALED_COLUMNS {
            assert_eq!(under(&world, table, column, 1).await, 0, "{table}.{column}");
            assert!(under(&world, table, column, 2).await > 0, "{table}.{column}");
        }
        everything_opens(&world.store).await;
        let again = world.store.reseal(insurer().as_str(), &mut |_| {}).await.unwrap();
        assert_eq!(again.done, 0, "nothing is done twice");
        let later = process(&world, AT_ONCE, &clock()).await;
        for owner in [insurer().as_str(), NO_INSURER] {
            let cared = later.reseal(owner, &mut |_| {}).await.unwrap();
            assert_eq!((cared.done, cared.retired, cared.kept), (0, 1, 0));
            assert_eq!(keys_of(&world, owner, "seal").await, 1);
        }
        assert_eq!(keys_of(&world, NO_INSURER, "audit").await, 2, "the log is signed as it is");
        everything_opens(&later).await;
        everything_opens(&process(&world, AT_ONCE, &clock()).await).await;
        assert!(world.store.audit().verify().await.unwrap().is_intact());
    })
    .await;
}

#[tokio::test]
async fn a_value_that_does_not_open_keeps_its_key_and_stops_nothing() {
    on_each_engine(async |world| {
        fill(&world).await;
        world
            .by_hand("UPDATE person SET revision = 99 WHERE insured_number = '0000000002' AND history_number = 0")
            .await;
        let store = process(&world, AT_ONCE, &clock()).await;
        store.rotate_data_key(insurer().as_str()).await.unwrap();
        let cared = store.reseal(insurer().as_str(), &mut |_| {}).await.unwrap();
        assert!(cared.done > 3 && cared.retired == 0 && cared.kept == 1, "{cared:?}");
        assert_eq!(
            (under(&world, "person", "identity", 1).await, under(&world, "person", "identity", 2).await),
            (1, 3)
        );
    })
    .await;
}

#[tokio::test]
async fn sealing_anew_that_was_cut_off_goes_on_where_it_was() {
    on_each_engine(async |world| {
        let people: Vec<_> =
            (1..=130).map(|n| (1, insured(person(&format!("{n:010}")), "架空 花子", "カクウ ハナコ"))).collect();
        world.write(async |tx| tx.put_new_people(1, &people).await).await.unwrap();
        let store = process(&world, AT_ONCE, &clock()).await;
        store.rotate_data_key(insurer().as_str()).await.unwrap();
        let (owner, (cut, first_block)) = (insurer().to_string(), tokio::sync::oneshot::channel());
        let mut cut = Some(cut);
        let mut progress = |_| {
            if let Some(cut) = cut.take() {
                cut.send(()).unwrap();
            }
        };
        tokio::select! {
            biased;
            _ = first_block => {}
            _ = store.reseal(&owner, &mut progress) => panic!("not cut"),
        }
        assert_eq!(under(&world, "person", "identity", 2).await, 50);
        let mut told = Vec::new();
        let cared = store.reseal(insurer().as_str(), &mut |done| told.push(done)).await.unwrap();
        assert_eq!((cared.done, cared.retired), (80, 1));
        assert!(told.is_sorted() && told.last() == Some(&80), "{told:?}");
        assert_eq!(under(&world, "person", "identity", 2).await, 130);
    })
    .await;
}

async fn finds(store: &Store) -> [usize; 4] {
    let keys = store.keys_of(insurer()).await.unwrap();
    let Identity { name, kana, sex, .. } = known_hanako().identity;
    let asked: [SearchToken; 4] = [
        SearchTokens::kanji_birth(&keys, &name, "19400203"),
        SearchTokens::kana_birth(&keys, &kana, "19400203"),
        SearchTokens::kanji_sex(&keys, &name, sex),
        SearchTokens::kana_sex(&keys, &kana, sex),
    ];
    let mut found = [0; 4];
    for (found, token) in found.iter_mut().zip(&asked) {
        *found = store.find_by_token(insurer(), token).await.unwrap().len();
    }
    found
}

#[tokio::test]
async fn people_are_found_before_while_and_after_the_index_key_changes() {
    on_each_engine(async |world| {
        let store = process(&world, AT_ONCE, &clock()).await;
        world.put_person(1, &known_hanako()).await;
        store.rotate_index_key(insurer()).await.unwrap();
        assert_eq!(finds(&store).await, [1; 4], "by the old token");
        let mut tx = store.begin().await.unwrap();
        tx.put_person(1, 1, &insured(taro(), "架空 太郎", "カクウ タロウ")).await.unwrap();
        tx.commit(entry()).await.unwrap();
        assert_eq!(world.ask("SELECT count(*) FROM person_token WHERE generation = 1").await, 1);
        assert_eq!(world.ask("SELECT count(*) FROM person_token WHERE generation = 2").await, 1);
        let cared = store.reindex(insurer(), &mut |_| {}).await.unwrap();
        assert_eq!((cared.done, cared.retired, cared.kept), (1, 1, 0));
        assert_eq!(world.ask("SELECT count(*) FROM person_token WHERE generation = 2").await, 2);
        assert_eq!(keys_of(&world, insurer().as_str(), "index").await, 1);
        assert_eq!(finds(&store).await, [1; 4]);
        assert_eq!(finds(&process(&world, AT_ONCE, &clock()).await).await, [1; 4]);
    })
    .await;
}

#[tokio::test]
async fn tokens_of_another_version_of_the_normaliser_are_computed_anew() {
    on_each_engine(async |world| {
        world.put_person(1, &known_hanako()).await;
        let mut hidden = insured(taro(), "架空 太郎", "カクウ タロウ");
        world.put_person(1, &hidden).await;
        // As an older release would have left them: other tokens, an older version.
        let other = if world.is_postgres() { "decode(md5(random()::text), 'hex')" } else { "randomblob(16)" };
        let tokens = ["kanji_sex", "kanji_birth", "kana_sex", "kana_birth"].map(|column| format!("{column} = {other}"));
        world.by_hand(&format!("UPDATE person_token SET version = 0, {}", tokens.join(", "))).await;
        world.by_hand("UPDATE key_state SET normalizer = 0").await;
        assert!(world.store.needs_reindex().await.unwrap());
        assert_eq!(finds(&world.store).await, [0; 4]);
        // Somebody who is withheld since has no token, whatever is left of before.
        hidden.withheld = true;
        world.by_hand("CREATE TABLE kept AS SELECT * FROM person_token").await;
        world.put_person(2, &hidden).await;
        world.by_hand("DELETE FROM person_token").await;
        world.by_hand("INSERT INTO person_token SELECT * FROM kept").await;
        let cared = world.store.reindex(insurer(), &mut |_| {}).await.unwrap();
        assert_eq!(cared.done, 2);
        world.store.reindexed().await.unwrap();
        assert!(!world.store.needs_reindex().await.unwrap());
        assert_eq!(finds(&world.store).await, [1; 4]);
        assert_eq!(world.ask("SELECT count(*) FROM person_token").await, 1);
        assert_eq!(world.store.reindex(insurer(), &mut |_| {}).await.unwrap().done, 0);
    })
    .await;
}

#[tokio::test]
async fn a_change_of_the_master_key_may_be_cut_off_after_any_step() {
    on_each_engine(async |world| {
        fill(&world).await;
        let path = master(&world);
        let starts = async || everything_opens(&process(&world, AT_ONCE, &clock()).await).await;
        let before = world.store.master_key_id();
        MasterKey::make_successor(&path).unwrap();
        starts().await;
        assert!(!MasterKey::settle(&path, &before).unwrap(), "the database still belongs to the old key");
        let keys = MasterKey::load(&path).unwrap();
        // Cut off inside the transaction: nothing of it is there.
        let all = world.ask("SELECT count(*) FROM data_key").await;
        assert_eq!(world.store.rewrap_keys(&keys).await.unwrap(), Some(all as u64));
        starts().await;
        assert_eq!(world.store.rewrap_keys(&keys).await.unwrap(), None, "done before");
        let after = world.store.master_key_id();
        assert_ne!(before, after);
        std::fs::hard_link(&path, path.with_file_name(format!("master.key.old-{before}"))).unwrap();
        starts().await;
        assert!(MasterKey::settle(&path, &after).unwrap());
        starts().await;
        assert!(!MasterKey::settle(&path, &after).unwrap());
        // The old key opens nothing any more.
        let old = path.with_file_name(format!("master.key.old-{before}"));
        let refused = open_with(&world.address, world.folder.path(), &old).await;
        assert!(matches!(refused, Err(StoreError::Unreadable(_))), "{:?}", refused.err());
    })
    .await;
}

#[tokio::test]
async fn a_server_that_runs_while_the_master_key_changes_goes_on_or_says_why_not() {
    on_each_engine(async |world| {
        fill(&world).await;
        let (path, third) = (master(&world), InsurerNumber::parse("011007").unwrap());
        let running = process(&world, AT_ONCE, &clock()).await;
        MasterKey::make_successor(&path).unwrap();
        world.store.rewrap_keys(&MasterKey::load(&path).unwrap()).await.unwrap();
        MasterKey::settle(&path, &world.store.master_key_id()).unwrap();
        // It has no key of this insurer yet, neither to open nor to make.
        everything_opens(&running).await;
        running.keys_of(other_insurer()).await.unwrap();
        let mut tx = running.begin().await.unwrap();
        let mut elsewhere = known_hanako();
        elsewhere.key.insurer = third;
        tx.put_person(1, 1, &elsewhere).await.unwrap();
        tx.commit(entry()).await.unwrap();
        assert_eq!(running.master_key_id(), world.store.master_key_id());
        // Where the new file is not, what is open stays open and the rest is refused by name.
        let far = process(&world, AT_ONCE, &clock()).await;
        far.person(hanako()).await.unwrap();
        MasterKey::make_successor(&path).unwrap();
        world.store.rewrap_keys(&MasterKey::load(&path).unwrap()).await.unwrap();
        std::fs::remove_file(path.with_file_name("master.key.new")).unwrap();
        assert!(far.person(hanako()).await.unwrap().is_some());
        let refused = far.keys_of(third).await.unwrap_err().to_string();
        assert!(refused.contains("主鍵が変わりました"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn the_check_of_a_backup_names_the_insurer_whose_keys_or_records_do_not_open() {
    on_each_engine(async |world| {
        fill(&world).await;
        let mut elsewhere = known_hanako();
        elsewhere.key.insurer = other_insurer();
        world.write(async |tx| tx.put_person(1, 1, &elsewhere).await).await.unwrap();
        let keys = MasterKey::load(&master(&world)).unwrap();
        let check = async || {
            let all = verify_keys(&world.address, &keys).await.unwrap();
            let list = |all: &[Checked]| {
                all.iter().map(|one| format!("{} {}", one.what, one.generation)).collect::<Vec<_>>().join(",")
            };
            all.iter()
                .map(|check| format!("{}: {} | {}", check.insurer, list(&check.opened), list(&check.failed)))
                .collect::<Vec<_>>()
        };
        assert_eq!(check().await, ["000000: staff 1 | ", "294538: person 1 | ", "435073: person 1,record 1 | "]);
        world.by_hand("UPDATE record SET creator = 'operator'").await;
        assert_eq!(check().await[2], "435073: person 1 | record 1");
        world
            .by_hand("UPDATE data_key SET wrapped = (SELECT wrapped FROM data_key WHERE insurer_number = '000000' AND purpose = 'door') WHERE insurer_number = '294538' AND purpose = 'seal'")
            .await;
        assert_eq!(check().await[1], "294538:  | data_key (seal) 1", "another key in its place");
        assert_eq!(check().await[0], "000000: staff 1 | ");
        world.by_hand("DELETE FROM data_key WHERE insurer_number = '294538'").await;
        assert_eq!(check().await[1], "294538:  | person 1", "no key at all");
        // A generation that is needed and gone, with newer ones still there.
        let taro = insured(taro(), "架空 太郎", "カクウ タロウ");
        for revision in 90..92 {
            world.store.rotate_data_key(insurer().as_str()).await.unwrap();
            world.put_person(revision, &taro).await;
        }
        world.by_hand("DELETE FROM data_key WHERE insurer_number = '435073' AND purpose = 'seal' AND generation = 2").await;
        assert_eq!(check().await[2], "435073: person 1 | person 2,record 1");
        let wrong = world.folder.path().join("wrong.key");
        let all = verify_keys(&world.address, &MasterKey::load_or_create(&wrong).unwrap()).await.unwrap();
        assert!(all.iter().all(|check| check.opened.is_empty()), "{all:?}");
        assert!(all[2].failed.contains(&Checked { what: "data_key (seal)", generation: 3 }), "{all:?}");
    })
    .await;
}

#[tokio::test]
async fn a_database_from_before_opens_and_keeps_what_was_open() {
    on_each_engine(async |world| {
        let number = world.open_receipt("load").await;
        world.put_person(number, &known_hanako()).await;
        let World { store, address, folder } = world;
        store.close().await.unwrap();
        let before = World { store: open(&address, folder.path()).await.unwrap(), address, folder };
        for statement in [
            "ALTER TABLE receipt_counter DROP COLUMN open_receipts",
            "ALTER TABLE receipt_counter DROP COLUMN mac",
            "ALTER TABLE data_key DROP COLUMN messages",
            "DROP TABLE key_state",
            "DELETE FROM schema_step WHERE name IN ('20261122000020_doors', '20261122000080_key_life')",
        ] {
            before.by_hand(statement).await;
        }
        tokens_as_before(&before, false).await;
        let after = World { store: open(&before.address, before.folder.path()).await.unwrap(), ..before };
        assert!(after.store.needs_reindex().await.unwrap());
        assert_eq!(after.store.reindex(insurer(), &mut |_| {}).await.unwrap().done, 1);
        assert_eq!(finds(&after.store).await, [1; 4]);
        assert!(!after.facts().await.known);
        after.apply(number).await;
        assert!(after.facts().await.known);
    })
    .await;
}

/// The search tokens as they were before a person had one row: a row for each.
async fn tokens_as_before(world: &World, with_generation: bool) {
    let generation = if with_generation { ", generation INTEGER NOT NULL DEFAULT 1" } else { "" };
    let create = format!(
        "CREATE TABLE person_token (insurer_number TEXT NOT NULL, token {} NOT NULL, insured_number TEXT NOT NULL,
           version INTEGER NOT NULL{generation}, PRIMARY KEY (insurer_number, token, insured_number))",
        if world.is_postgres() { "BYTEA" } else { "BLOB" }
    );
    let one = if world.is_postgres() { "decode(md5(n::text), 'hex')" } else { "randomblob(16)" };
    let fill = format!(
        "INSERT INTO person_token (insurer_number, token, insured_number, version)
         SELECT insurer_number, {one}, insured_number, 1 FROM had, (SELECT 1 AS n UNION SELECT 2 UNION SELECT 3 UNION SELECT 4) AS four"
    );
    for statement in [
        "CREATE TABLE had AS SELECT insurer_number, insured_number FROM person_token",
        "DROP TABLE person_token",
        &create,
        &fill,
        "DROP TABLE had",
        "DELETE FROM schema_step WHERE name = '20261122000200_search_tokens'",
    ] {
        world.by_hand(statement).await;
    }
}

#[tokio::test]
async fn whoever_could_be_found_before_a_person_had_one_row_of_tokens_is_found_again() {
    on_each_engine(async |world| {
        world.put_person(1, &known_hanako()).await;
        let mut hidden = insured(taro(), "架空 太郎", "カクウ タロウ");
        hidden.withheld = true;
        world.put_person(1, &hidden).await;
        tokens_as_before(&world, true).await;
        assert_eq!(world.ask("SELECT count(*) FROM person_token").await, 4);
        let World { store, address, folder } = world;
        store.close().await.unwrap();
        let after = World { store: open(&address, folder.path()).await.unwrap(), address, folder };
        assert!(after.store.needs_reindex().await.unwrap(), "the next start of a server computes them");
        assert_eq!(after.ask("SELECT count(*) FROM person_token").await, 1);
        assert_eq!(after.store.reindex(insurer(), &mut |_| {}).await.unwrap().done, 1);
        after.store.reindexed().await.unwrap();
        assert_eq!(finds(&after.store).await, [1; 4]);
        assert!(!after.store.needs_reindex().await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_start_blesses_no_row_that_was_written_by_hand() {
    on_each_engine(async |world| {
        // A package that was refused, made visible by hand: without the MAC, as a row from before the MACs.
        let number = world.open_receipt("load").await;
        world.put_person(number, &known_hanako()).await;
        world.by_hand("UPDATE receipt SET state = 'applied'").await;
        world.by_hand("UPDATE receipt_counter SET open_receipts = '', mac = NULL").await;
        let again = process(&world, AT_ONCE, &clock()).await;
        assert!(again.person(hanako()).await.unwrap().is_none());
        // Whoever removes the note to which master key the database belongs does not make it a database from before.
        world.by_hand("DELETE FROM key_state").await;
        let World { store, address, folder } = world;
        let refused = open(&address, folder.path()).await.err();
        assert!(matches!(&refused, Some(StoreError::Unsafe(why)) if why.contains("key_state")), "{refused:?}");
        drop(store);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_written_under_a_key_that_was_closed_since_it_was_sealed() {
    on_each_engine(async |world| {
        let number = world.open_receipt("package").await;
        world.put_person(number, &known_hanako()).await;
        // Sealed before, as the next block of a package and the next piece of another one are.
        let sealer = world.store.sealer(insurer()).await.unwrap();
        let people = [NewPerson::first(1, insured(taro(), "架空 太郎", "カクウ タロウ"))];
        let records = [record(Kind::A3a, "1", "内容")];
        let block = sealer.seal(number, at(0), &people, &records).unwrap();
        let piece = world.store.seal_piece(insurer(), "u1", (0, 0), "架空の包み".as_bytes()).await.unwrap();
        // Another process changes both keys, and nothing is left under the old ones.
        let other = process(&world, AT_ONCE, &clock()).await;
        other.rotate_data_key(insurer().as_str()).await.unwrap();
        other.rotate_index_key(insurer()).await.unwrap();
        assert_eq!(other.reindex(insurer(), &mut |_| {}).await.unwrap().retired, 1);
        let cared = other.reseal(insurer().as_str(), &mut |_| {}).await.unwrap();
        assert_eq!((cared.retired, cared.kept), (1, 0));

        let refused = world.write(async |tx| tx.put_block(&block).await).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
        world
            .write(async |tx| {
                let sealer = tx.sealer_instead(&block).await?.unwrap();
                let again = sealer.seal(number, at(0), &people, &records)?;
                assert!(tx.sealer_instead(&again).await?.is_none());
                tx.put_block(&again).await?;
                tx.begin_upload(insurer(), "u1", at(0)).await?;
                tx.put_pieces(insurer(), "u1", &[piece]).await
            })
            .await
            .unwrap();
        world.apply(number).await;
        for (table, column) in [("person", "identity"), ("record", "payload"), ("upload_piece", "content")] {
            assert_eq!(under(&world, table, column, 1).await, 0, "{table}");
        }
        let later = process(&world, AT_ONCE, &clock()).await;
        for store in [&world.store, &other, &later] {
            assert!(store.person(hanako()).await.unwrap().is_some() && store.person(taro()).await.unwrap().is_some());
            assert_eq!(store.upload_piece(insurer(), "u1", (0, 0)).await.unwrap(), "架空の包み".as_bytes());
            let keys = store.keys_of(insurer()).await.unwrap();
            let token = SearchTokens::kana_birth(&keys, "カクウ タロウ", "19400203");
            assert_eq!(store.find_by_token(insurer(), &token).await.unwrap(), [taro().insured]);
        }
    })
    .await;
}

#[tokio::test]
async fn no_key_goes_while_somebody_works_on_a_package_of_the_insurer_or_a_write_holds_it() {
    on_each_engine(async |world| {
        put(&world.store, 1).await.unwrap();
        let other = process(&world, AT_ONCE, &clock()).await;
        other.rotate_data_key(insurer().as_str()).await.unwrap();
        let lease = world.write(async |tx| tx.take_lease(insurer(), "somebody", at(0)).await).await.unwrap().unwrap();
        let cared = other.reseal(insurer().as_str(), &mut |_| {}).await.unwrap();
        assert_eq!((cared.done, cared.retired, cared.kept), (1, 0, 1));
        world.write(async |tx| tx.give_lease_back(&lease).await).await.unwrap();
        // A process that heard of nothing yet writes with the key that is closed: it is told, and uses the new one.
        put(&world.store, 2).await.unwrap();
        assert_eq!(under(&world, "record", "payload", 1).await, 0);
        let cared = other.reseal(insurer().as_str(), &mut |_| {}).await.unwrap();
        assert_eq!((cared.done, cared.retired, cared.kept), (0, 1, 0));
        // The lease is free again.
        let lease = world.write(async |tx| tx.take_lease(insurer(), "somebody", at(0)).await).await.unwrap();
        assert!(lease.is_some());
    })
    .await;
}

#[tokio::test]
async fn a_write_under_way_keeps_its_key() {
    on_each_engine(async |world| {
        if !world.is_postgres() {
            // One writer at a time: nobody is at it.
            return;
        }
        put(&world.store, 1).await.unwrap();
        let other = process(&world, AT_ONCE, &clock()).await;
        let mut tx = world.store.begin().await.unwrap();
        tx.put_record(1, at(0), &record(Kind::A3a, "2", "内容")).await.unwrap();
        other.rotate_data_key(insurer().as_str()).await.unwrap();
        let owner = insurer();
        let mut quiet = |_| {};
        let reseal = other.reseal(owner.as_str(), &mut quiet);
        tokio::pin!(reseal);
        // It waits for the write, however often it is asked.
        let mut reseal_or_wait = async || {
            tokio::select! {
                biased;
                done = &mut reseal => Some(done.unwrap()),
                () = waits_for_a_row(&world) => None,
            }
        };
        assert_eq!(reseal_or_wait().await, None);
        tx.commit(entry()).await.unwrap();
        let cared = reseal.await.unwrap();
        assert_eq!((cared.done, cared.retired, cared.kept), (1, 0, 1), "what the write left is under the old key");
        let cared = other.reseal(insurer().as_str(), &mut |_| {}).await.unwrap();
        assert_eq!((cared.done, cared.retired, cared.kept), (1, 1, 0));
        let records = world.store.records(hanako(), Kind::A3a).await.unwrap();
        assert_eq!(world.store.audit().release(records, entry()).await.unwrap().len(), 2);
    })
    .await;
}

/// Returns once a statement of this database waits for a row that somebody else holds.
async fn waits_for_a_row(world: &World) {
    let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE NOT l.granted AND a.datname = current_database()";
    while world.ask(waiting).await == 0 {
        tokio::task::yield_now().await;
    }
}
