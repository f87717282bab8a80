//! 主治医意見書 at a hospital's screen: from the request of the city to the receipt, and back when it is returned.

use crate::pages::{Browser, form_token, hidden, location};
use crate::view::opinion;
use crate::world::{COLLEAGUE, PASSWORD, Person, Reply, Role, World};
use axum::http::StatusCode;
use kiban_domain::Kind;
use kiban_domain::physician_opinion::{OpinionForm, PhysicianConsent, PhysicianOpinion};
use kiban_formats::opinion_csv;
use kiban_store::OpinionDraft;
use serde_json::{Value, json};

type Fields = &'static [(&'static str, &'static str)];

/// The least an opinion needs, chapter by chapter.
const LEAST: [(&str, Fields); 6] = [
    (
        "basics",
        &[
            ("applied_on", "R8.6.1"),
            ("written_on", "令和8年6月25日"),
            ("last_examined_on", "2026-06-20"),
            ("count", "1"),
            ("physician_name", "見本 医子"),
            ("institution_name", "架空内科"),
        ],
    ),
    ("illness", &[("diagnosis1", "脳梗塞後遺症"), ("onset1", "令和6年9月"), ("stability", "1")]),
    ("care", &[("treatments", "1"), ("treatments", "9")]),
    (
        "condition",
        &[
            ("physical", "5"),
            ("dementia", "3"),
            ("memory", "2"),
            ("decision", "2"),
            ("communication", "1"),
            ("weight", "４６．５"),
        ],
    ),
    ("life", &[("eating", "1"), ("needs", "1"), ("needs", "2"), ("underlined", "2")]),
    ("remarks", &[("remarks", "一行目\r\n二行目")]),
];

/// Saves a chapter the way the page of it does.
async fn save(browser: &mut Browser<'_>, at: &str, chapter: &str, fields: &[(&str, &str)], go: &str) -> Reply {
    let path = format!("{at}/{chapter}");
    let page = browser.get(&path).await;
    let (version, writer) = (hidden(&page, "version"), hidden(&page, "writer"));
    let own = [("version", version.as_str()), ("writer", writer.as_str()), ("go", go)];
    let fields: Vec<(&str, &str)> = own.into_iter().chain(fields.iter().copied()).collect();
    browser.submit(&path, &path, &fields).await
}

async fn send(browser: &mut Browser<'_>, at: &str) -> Reply {
    let path = format!("{at}/send");
    let version = hidden(&browser.get(&path).await, "version");
    browser.submit(&path, &path, &[("version", &version), ("act", "send")]).await
}

/// The address of the work about 架空 花子, from the list.
async fn work(browser: &Browser<'_>) -> String {
    let list = browser.get("/opinions").await.text();
    let rest = list.split("href=\"/opinions/").nth(2).unwrap_or_else(|| panic!("{list}"));
    format!("/opinions/{}", rest.split('/').next().unwrap())
}

async fn inbox(world: &World) -> Vec<Value> {
    let inbox = world.log_in(Role::City).await.get("/api/v1/inbox").await.json();
    inbox["items"].as_array().unwrap().iter().filter(|item| item["kind"] == "A2").cloned().collect()
}

#[tokio::test]
async fn an_opinion_is_written_chapter_by_chapter_checked_sent_once_and_followed() {
    let world = World::new().await;
    let mut doctor = Browser::logged_in(&world, Role::Hospital).await;
    let list = doctor.get("/opinions").await.text();
    assert!(list.contains("架空 花子") && list.contains("未着手") && list.contains("令和8年7月5日"), "{list}");
    let at = work(&doctor).await;
    // Nothing typed: the check names what is missing, the empty form cannot be sent.
    let checked = location(&save(&mut doctor, &at, "illness", &[], "check").await);
    assert_eq!(checked, format!("{at}/illness?check=1"));
    let page = doctor.get(&checked).await.text();
    assert!(page.contains("2か所を直してください") && page.contains("href=\"#stability\""), "{page}");
    assert!(page.contains("<title>エラー：") && page.contains("2か所を直す"), "{page}");
    let early = send(&mut doctor, &at).await;
    assert_eq!(early.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!early.text().contains("に送る</button>"), "{}", early.text());
    assert!(inbox(&world).await.is_empty());
    for ((chapter, fields), next) in LEAST.iter().zip(["illness", "care", "condition", "life", "remarks", "send"]) {
        let next_page = location(&save(&mut doctor, &at, chapter, fields, "next").await);
        assert_eq!(next_page, format!("{at}/{next}"), "no name and no number in an address");
    }
    assert!(doctor.get("/opinions").await.text().contains("書きかけ"));
    let page = doctor.get(&format!("{at}/send")).await.text();
    assert!(page.contains("A2") && page.contains("点滴の管理、経管栄養") && page.contains("に送る</button>"), "{page}");
    let version = hidden(&doctor.get(&format!("{at}/send")).await, "version");
    let fields = [("version", version.as_str()), ("act", "send")];
    let receipt = location(&doctor.submit(&format!("{at}/illness"), &format!("{at}/send"), &fields).await);
    assert_eq!(receipt, format!("{at}/receipt"));
    let page = doctor.get(&receipt).await;
    // Pressed twice, or sent from the page behind the back button: one document, the same receipt.
    let again = [("form_token", form_token(&page)), ("version", version.clone()), ("act", "send".to_owned())];
    let again: Vec<(&str, &str)> = again.iter().map(|(name, text)| (*name, text.as_str())).collect();
    assert_eq!(location(&doctor.post(&format!("{at}/send"), &again).await), receipt);
    assert_eq!(location(&doctor.get(&format!("{at}/illness")).await), receipt);
    let items = inbox(&world).await;
    assert_eq!(items.len(), 1);
    let id = items[0]["receipt"].as_str().unwrap();
    assert!(page.text().contains(id) && page.text().contains("紙の意見書と署名は要りません"), "{}", page.text());
    let city = world.log_in(Role::City).await;
    let fetched = city.post(&format!("/api/v1/inbox/{id}/fetch"), json!({})).await.json();
    let sent: PhysicianOpinion = serde_json::from_value(fetched["content"].clone()).unwrap();
    assert_eq!((sent.person, sent.basics.applicant.name.as_str()), (Person::Hanako.key(), "架空 花子"));
    assert_eq!(sent.condition.body.weight_kg.unwrap().as_str(), "46.5");
    assert_eq!(sent.remarks.as_deref(), Some("一行目\n二行目"));
    assert_eq!(sent.illness.diagnoses[0].as_ref().unwrap().onset.as_ref().unwrap().known, (Some(2024), Some(9), None));
    assert!(sent.daily_life.medical_needs[1].is_underlined && !sent.daily_life.medical_needs[0].is_underlined);
    city.post(&format!("/api/v1/inbox/{id}/accept"), json!({})).await;
    assert!(doctor.get(&receipt).await.text().contains("受理されました"));
    assert!(doctor.get("/opinions").await.text().contains("受理"));
    let log = world.log_about(Person::Hanako.key()).await;
    for action in ["opinion.open", "opinion.draft", "submit"] {
        assert!(log.iter().any(|(done, ..)| done == action), "{action} is recorded");
    }
    world.verify().await;
}

#[tokio::test]
async fn a_returned_opinion_opens_with_the_reason_and_what_it_said_and_replaces_the_first() {
    let world = World::new().await;
    let mut doctor = Browser::logged_in(&world, Role::Hospital).await;
    let at = work(&doctor).await;
    let handle = at.trim_start_matches("/opinions/").to_owned();
    let api = world.log_in(Role::Hospital).await;
    let first = api.post(&format!("/api/v1/people/{handle}/opinions"), opinion(&world)).await.json();
    let id = first["receipt"].as_str().unwrap().to_owned();
    let city = world.log_in(Role::City).await;
    let reason = json!({ "reason": "体重を確かめてください" });
    city.post(&format!("/api/v1/inbox/{id}/return"), reason).await;
    let list = doctor.get("/opinions").await.text();
    assert!(list.contains("差戻し") && list.contains("体重を確かめてください"), "{list}");
    assert!(doctor.get(&format!("{at}/receipt")).await.text().contains("差し戻されました"));
    let page = doctor.get(&format!("{at}/condition")).await.text();
    assert!(page.contains("体重を確かめてください") && page.contains("value=\"148.5\""), "{page}");
    // One chapter is put right, the others stay as they were.
    let weight = [&[("weight", "47"), ("palsy", "yes")], LEAST[3].1.split_last().unwrap().1].concat();
    save(&mut doctor, &at, "condition", &weight, "next").await;
    assert_eq!(location(&send(&mut doctor, &at).await), format!("{at}/receipt"));
    let items = inbox(&world).await;
    assert_eq!((items.len(), &items[0]["replaces"]), (1, &json!(id)));
    let new = items[0]["receipt"].as_str().unwrap();
    let fetched = city.post(&format!("/api/v1/inbox/{new}/fetch"), json!({})).await.json();
    assert_eq!(fetched["content"]["condition"]["body"]["weight_kg"], json!("47"));
    assert_eq!(fetched["content"]["illness"], opinion(&world)["illness"]);
    world.verify().await;
}

#[tokio::test]
async fn the_last_accepted_opinion_of_the_same_hospital_is_carried_over_in_sight() {
    let world = World::new().await;
    let mut doctor = Browser::logged_in(&world, Role::Hospital).await;
    let mut last: PhysicianOpinion = serde_json::from_value(opinion(&world)).unwrap();
    last.basics.written_on = "2024-10-01".parse().unwrap();
    last.basics.physician_name = "前回 医師".to_owned();
    let record = kiban_store::NewRecord {
        person: Person::Hanako.key(),
        kind: Kind::A2,
        natural_key: last.natural_key(),
        creator: Role::Hospital.organization(),
        valid: kiban_domain::dates::Period::new("2024-10-01".parse().unwrap(), None).unwrap(),
        deleted: false,
        purge_after: "2031-10-01".parse().unwrap(),
        payload: serde_json::to_vec(&last).unwrap(),
    };
    world
        .change(async |tx| {
            let revision = tx.next_receipt_number(Person::Hanako.key().insurer).await.unwrap();
            tx.put_record(revision, world.now(), &record).await.unwrap();
        })
        .await;
    let at = work(&doctor).await;
    let page = doctor.get(&format!("{at}/basics")).await.text();
    assert!(page.contains("前回（令和6年10月1日）の内容を写してあります"), "{page}");
    assert!(page.contains("前回：前回 医師") && page.contains("value=\"前回 医師\""), "{page}");
    let written = kiban_domain::dates::wareki(world.today());
    assert!(
        page.contains(&format!(
            "name=\"written_on\" autocomplete=\"off\" aria-describedby=\"written_on-h\" value=\"{written}\""
        )),
        "{page}"
    );
    assert!(!page.contains("前回：令和6年"), "the days of the last one are not this one's: {page}");
    let send = doctor.get(&format!("{at}/send")).await.text();
    assert!(send.contains("前回のまま") && send.contains("最終診察日"), "{send}");
    // What is emptied stays empty, though it was filled the last time.
    save(&mut doctor, &at, "remarks", &[], "next").await;
    assert!(!doctor.get(&format!("{at}/remarks")).await.text().contains("見本の意見書です</textarea>"));
    world.verify().await;
}

#[tokio::test]
async fn two_windows_never_write_over_each_other_unseen() {
    let world = World::new().await;
    let mut doctor = Browser::logged_in(&world, Role::Hospital).await;
    let at = work(&doctor).await;
    let path = format!("{at}/remarks");
    let page = doctor.get(&path).await;
    let (older, writer) = (hidden(&page, "version"), hidden(&page, "writer"));
    let writer = ("writer", writer.as_str());
    location(&save(&mut doctor, &at, "remarks", &[("remarks", "先に保存")], "next").await);
    let fields = [writer, ("version", older.as_str()), ("remarks", "あとの画面")];
    let conflict = doctor.submit(&path, &path, &fields).await;
    assert_eq!(conflict.status, StatusCode::CONFLICT);
    let text = conflict.text();
    assert!(text.contains("ほかの画面で先に保存されています"), "{text}");
    assert!(text.contains("あとの画面</textarea>") && text.contains("<b>ほかの画面：</b>先に保存"), "{text}");
    assert!(doctor.get(&path).await.text().contains("先に保存</textarea>"), "nothing was written");
    // The script is told in words it can show.
    let auto = [writer, ("version", older.as_str()), ("remarks", "x"), ("go", "auto")];
    assert_eq!(doctor.submit(&path, &path, &auto).await.status, StatusCode::CONFLICT);
    let newest = hidden(&conflict, "version");
    location(&doctor.submit(&path, &path, &[writer, ("version", &newest), ("remarks", "あとの画面")]).await);
    assert!(doctor.get(&path).await.text().contains("あとの画面</textarea>"));
    let version = hidden(&doctor.get(&path).await, "version");
    let auto = [writer, ("version", &version), ("remarks", "自動"), ("go", "auto")];
    let auto = doctor.submit(&path, &path, &auto).await.json();
    assert!(auto["saved"].as_str().unwrap().contains("自動で保存しました"), "{auto}");
    assert_eq!(auto["version"], json!(hidden(&doctor.get(&path).await, "version")));
    world.verify().await;
}

#[tokio::test]
async fn what_was_saved_is_there_after_the_log_in_ended_and_goes_when_nobody_writes_on() {
    let world = World::new().await;
    let mut doctor = Browser::logged_in(&world, Role::Hospital).await;
    let at = work(&doctor).await;
    save(&mut doctor, &at, "remarks", &[("remarks", "書きかけの文")], "close").await;
    world.pass(16 * 60).await;
    assert_eq!(location(&doctor.get(&format!("{at}/remarks")).await), "/login?why=idle");
    doctor.post("/login", &[("account", Role::Hospital.account()), ("password", PASSWORD)]).await;
    assert!(doctor.get(&format!("{at}/remarks")).await.text().contains("書きかけの文</textarea>"));
    world.pass(59 * 24 * 3_600).await;
    world.platform.keep_house(&world.context()).await.unwrap();
    let draft = async || {
        let office = Role::Hospital.organization().office().unwrap();
        world.platform.store().opinion_draft(Person::Hanako.key(), office).await.unwrap()
    };
    assert!(draft().await.is_some());
    world.pass(2 * 24 * 3_600).await;
    world.platform.keep_house(&world.context()).await.unwrap();
    assert!(draft().await.is_none());
    world.verify().await;
}

#[tokio::test]
async fn a_file_of_the_document_software_becomes_a_draft_to_be_checked_and_sent() {
    let world = World::new().await;
    let mut doctor = Browser::logged_in(&world, Role::Hospital).await;
    let at = work(&doctor).await;
    let token = form_token(&doctor.get("/opinions/file").await);
    let mut document: PhysicianOpinion = serde_json::from_value(opinion(&world)).unwrap();
    document.basics.applicant.birth = Person::Hanako.insured().identity.birth;
    let csv = opinion_csv::write([&document]).unwrap();
    // Of another person, of another hospital, or no opinion at all: nothing is begun.
    let mut stranger = document.clone();
    stranger.person = Person::Hidden.key();
    let both = opinion_csv::write([&document, &stranger]).unwrap();
    // The number of one person over what was written about another.
    let mut other = document.clone();
    other.basics.applicant.birth = Person::Hidden.insured().identity.birth;
    let someone = opinion_csv::write([&other]).unwrap();
    let mut later = document.clone();
    later.remarks = Some("同じ方のもう1件".to_owned());
    let twice = opinion_csv::write([&document, &later]).unwrap();
    for (name, content, told) in [
        ("twice.csv", &twice[..], "このファイルにもう1件あります"),
        ("a.csv", &both, "2行目"),
        ("someone.csv", &someone, "生年月日か性別"),
        ("b.csv", b"1.1,x\r\n", "1行目"),
        ("c.json", b"{}", "PhysicianOpinion"),
    ] {
        let reply = doctor.upload("/opinions/file", &token, (name, content)).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        assert!(reply.text().contains(told) && reply.text().contains("まだ何も入れていません"), "{}", reply.text());
    }
    assert!(doctor.get("/opinions").await.text().contains("未着手"));
    let next = location(&doctor.upload("/opinions/file", &token, ("意見書.csv", &csv)).await);
    assert_eq!(next, format!("{at}/send"));
    assert!(inbox(&world).await.is_empty(), "nothing is sent by choosing a file");
    assert!(doctor.get(&next).await.text().contains("脳梗塞後遺症"));
    let again = doctor.upload("/opinions/file", &token, ("意見書.csv", &csv)).await;
    assert!(again.text().contains("書きかけがもうあります"), "{}", again.text());
    let discard = [("act", "discard")];
    assert_eq!(location(&doctor.submit(&next, &next, &discard).await), "/opinions");
    let json = serde_json::to_vec(&document).unwrap();
    assert_eq!(location(&doctor.upload("/opinions/file", &token, ("意見書.JSON", &json)).await), next);
    assert_eq!(location(&send(&mut doctor, &at).await), format!("{at}/receipt"));
    let id = inbox(&world).await[0]["receipt"].as_str().unwrap().to_owned();
    let city = world.log_in(Role::City).await;
    let fetched = city.post(&format!("/api/v1/inbox/{id}/fetch"), json!({})).await.json();
    assert_eq!(fetched["content"]["condition"], opinion(&world)["condition"]);
    world.verify().await;
}

#[tokio::test]
async fn the_form_is_only_for_the_hospital_that_was_asked_and_only_from_its_own_pages() {
    let world = World::new().await;
    let mut doctor = Browser::logged_in(&world, Role::Hospital).await;
    let at = work(&doctor).await;
    let path = format!("{at}/remarks");
    // For an office that writes no opinions there is no such work; another's handle is worth nothing.
    for role in [Role::Planner, Role::Stranger] {
        let mut other = Browser::logged_in(&world, role).await;
        for address in ["/opinions", "/opinions/file", &path, &format!("{at}/send")] {
            let reply = other.get(address).await;
            assert_eq!(reply.status, StatusCode::NOT_FOUND, "{address} for {role:?}");
            assert!(!reply.text().contains("花子"), "{address} for {role:?}");
        }
        let own = world.stolen_handle(role, Person::Hanako.key()).await;
        for (address, fields) in [("remarks", [("remarks", "x")]), ("send", [("act", "send")])] {
            let reply = other.submit("/users", &format!("/opinions/{own}/{address}"), &fields).await;
            assert_eq!(reply.status, StatusCode::NOT_FOUND, "{address} for {role:?}");
        }
    }
    // A person nobody asked about is as unknown as none, with the right address too.
    let hidden_person = world.stolen_handle(Role::Hospital, Person::Hidden.key()).await;
    let reply = doctor.get(&format!("/opinions/{hidden_person}/basics")).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND, "{}", reply.text());
    // From elsewhere nothing is taken.
    let token = form_token(&doctor.get(&path).await);
    let csv = opinion_csv::write([&serde_json::from_value::<PhysicianOpinion>(opinion(&world)).unwrap()]).unwrap();
    assert_eq!(doctor.upload("/opinions/file", "0".repeat(32).as_str(), ("a.csv", &csv)).await.status, 400);
    doctor.origin = Some("https://evil.example".to_owned());
    assert_eq!(doctor.upload("/opinions/file", &token, ("a.csv", &csv)).await.status, 400);
    let fields = [("form_token", token.as_str()), ("version", "0"), ("remarks", "x")];
    assert_eq!(doctor.post(&path, &fields).await.status, StatusCode::BAD_REQUEST);
    let office = Role::Hospital.organization().office().unwrap();
    assert_eq!(world.platform.store().opinion_draft(Person::Hanako.key(), office).await.unwrap(), None);
    world.verify().await;
}

#[tokio::test]
async fn send_pressed_twice_at_the_same_moment_is_one_opinion_and_one_receipt() {
    let world = World::new().await;
    let mut doctor = Browser::logged_in(&world, Role::Hospital).await;
    let at = work(&doctor).await;
    for (chapter, fields) in LEAST {
        save(&mut doctor, &at, chapter, fields, "next").await;
    }
    let path = format!("{at}/send");
    let page = doctor.get(&path).await;
    let (token, version) = (form_token(&page), hidden(&page, "version"));
    let fields = [("form_token", token.as_str()), ("version", version.as_str()), ("act", "send")];
    let presses = (0..4).map(|_| doctor.form_request(&path, &fields)).collect();
    for reply in world.at_once(presses).await {
        assert_eq!(location(&reply), format!("{at}/receipt"));
    }
    assert_eq!(inbox(&world).await.len(), 1);
    world.verify().await;
}

#[tokio::test]
async fn what_was_saved_while_the_opinion_was_being_sent_is_no_draft_of_the_next_one() {
    let world = World::new().await;
    let mut doctor = Browser::logged_in(&world, Role::Hospital).await;
    let at = work(&doctor).await;
    let handle = at.trim_start_matches("/opinions/").to_owned();
    let api = world.log_in(Role::Hospital).await;
    let sent = api.post(&format!("/api/v1/people/{handle}/opinions"), opinion(&world)).await.json();
    // The automatic save looked before the opinion was sent and is written after it.
    let typed = json!({ "remarks": { "remarks": ["送ったあとに残った文"] } }).to_string().into_bytes();
    let late = OpinionDraft { version: 7, saved_at: world.now(), content: typed, follows: Some(String::new()) };
    let office = Role::Hospital.organization().office().unwrap();
    world
        .change(async |tx| {
            tx.save_opinion_draft(Person::Hanako.key(), office, None, &late).await.unwrap();
        })
        .await;
    let id = sent["receipt"].as_str().unwrap();
    let city = world.log_in(Role::City).await;
    city.post(&format!("/api/v1/inbox/{id}/return"), json!({ "reason": "体重を確かめてください" })).await;
    let page = doctor.get(&format!("{at}/remarks")).await.text();
    assert!(page.contains("差し戻された意見書の内容") && !page.contains("送ったあとに残った文"), "{page}");
    // It is in nobody's way, and what is saved now counts.
    save(&mut doctor, &at, "remarks", &[("remarks", "直した文")], "close").await;
    assert!(doctor.get(&format!("{at}/remarks")).await.text().contains("直した文</textarea>"));
    world.verify().await;
}

#[tokio::test]
async fn what_one_account_typed_is_not_saved_by_the_next_that_logs_in_in_the_same_browser() {
    let world = World::new().await;
    let mut doctor = Browser::logged_in(&world, Role::Hospital).await;
    let at = work(&doctor).await;
    let path = format!("{at}/remarks");
    let writer = hidden(&doctor.get(&path).await, "writer");
    let typed = [("writer", writer.as_str()), ("version", "0"), ("remarks", "先の人の文"), ("go", "auto")];
    doctor.post("/login", &[("account", COLLEAGUE), ("password", PASSWORD)]).await;
    assert_ne!(hidden(&doctor.get(&path).await, "writer"), writer);
    let reply = doctor.submit(&path, &path, &typed).await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    assert!(reply.text().contains("別の方がログインしているため、保存していません"), "{}", reply.text());
    assert!(!doctor.get(&path).await.text().contains("先の人の文"));
    // In a later log-in of the same account it goes on.
    doctor.post("/login", &[("account", Role::Hospital.account()), ("password", PASSWORD)]).await;
    assert_eq!(doctor.submit(&path, &path, &typed).await.status, StatusCode::OK);
    assert!(doctor.get(&path).await.text().contains("先の人の文</textarea>"));
    world.verify().await;
}

#[tokio::test]
async fn a_refusal_of_the_physician_on_a_returned_opinion_of_the_old_form_stays_when_it_is_put_right() {
    let world = World::new().await;
    let mut doctor = Browser::logged_in(&world, Role::Hospital).await;
    let at = work(&doctor).await;
    let handle = at.trim_start_matches("/opinions/").to_owned();
    let mut old: PhysicianOpinion = serde_json::from_value(opinion(&world)).unwrap();
    old.basics.written_on = "2026-03-20".parse().unwrap();
    old.basics.last_examined_on = Some("2026-03-19".parse().unwrap());
    old.form = OpinionForm::Form2006 { physician_consent: Some(PhysicianConsent::Refuses) };
    let api = world.log_in(Role::Hospital).await;
    let sent = api.post(&format!("/api/v1/people/{handle}/opinions"), serde_json::to_value(&old).unwrap()).await;
    assert_eq!(sent.status, StatusCode::CREATED, "{}", sent.text());
    let (city, id) = (world.log_in(Role::City).await, sent.json()["receipt"].as_str().unwrap().to_owned());
    city.post(&format!("/api/v1/inbox/{id}/return"), json!({ "reason": "特記を確かめてください" })).await;
    save(&mut doctor, &at, "remarks", &[("remarks", "確かめました")], "next").await;
    let page = doctor.get(&format!("{at}/send")).await.text();
    assert!(page.contains("同じ「医師の同意なし」（旧様式）のまま送ります"), "{page}");
    assert_eq!(location(&send(&mut doctor, &at).await), format!("{at}/receipt"));
    let id = inbox(&world).await[0]["receipt"].as_str().unwrap().to_owned();
    let fetched = city.post(&format!("/api/v1/inbox/{id}/fetch"), json!({})).await.json();
    let sent: PhysicianOpinion = serde_json::from_value(fetched["content"].clone()).unwrap();
    assert_eq!((sent.is_refused_by_physician(), sent.remarks.as_deref()), (true, Some("確かめました")));
    world.verify().await;
}

/// P-048, P-110: a hospital that was asked for an opinion has no registration to end, but reads its own looks.
#[tokio::test]
async fn a_hospital_that_was_asked_reads_its_own_looks_and_every_link_of_a_page_leads_somewhere() {
    let world = World::new().await;
    let doctor = Browser::logged_in(&world, Role::Hospital).await;
    let person = work(&doctor).await.replace("/opinions/", "/p/");
    let page = doctor.get(&person).await;
    assert!(page.text().contains(&format!("href=\"{person}/looks\"")), "{}", page.text());
    assert!(!page.text().contains(&format!("href=\"{person}/end\"")), "{}", page.text());
    let looks = doctor.get(&format!("{person}/looks")).await;
    assert_eq!(looks.status, StatusCode::OK);
    assert!(looks.text().contains("この事業所の記録です"), "{}", looks.text());
    // What is not there is a page whose links lead to the public address, not to more that is not there.
    let lost = doctor.get(&format!("{person}/nothing")).await;
    assert_eq!(lost.status, StatusCode::NOT_FOUND);
    assert!(
        lost.text().contains("利用開始日の一覧") && !lost.text().contains("href=\"/start-dates\""),
        "{}",
        lost.text()
    );
    world.verify().await;
}

/// T-28: scripts are files of our own. The form has one, the pages of a log-in the one that says when it ends, others none.
#[tokio::test]
async fn a_page_runs_the_scripts_it_needs_and_no_other() {
    let world = World::new().await;
    let doctor = Browser::logged_in(&world, Role::Hospital).await;
    let at = work(&doctor).await;
    for (path, scripts) in [
        (format!("{at}/basics"), &["/kiban.js", "/idle.js"][..]),
        (format!("{at}/remarks"), &["/kiban.js", "/idle.js"]),
        (format!("{at}/send"), &["/idle.js"]),
        ("/opinions".to_owned(), &["/idle.js"]),
        ("/today".to_owned(), &["/idle.js"]),
    ] {
        let page = doctor.get(&path).await;
        assert_eq!(scripts_of(&page.text()), scripts, "{path}");
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.contains("script-src 'self'; connect-src 'self'") && !policy.contains("unsafe"),
            "{path}: {policy}"
        );
    }
    let login = Browser::of(&world, Role::Hospital).get("/login").await;
    assert!(!login.text().contains("<script"), "{}", login.text());
    let policy = login.headers["content-security-policy"].to_str().unwrap();
    assert!(!policy.contains("script-src") && policy.contains("default-src 'none'"), "{policy}");
}

/// The files of the scripts of a page. Any script that is not a file fails.
fn scripts_of(page: &str) -> Vec<&str> {
    let after = page.split("<script").skip(1);
    after
        .map(|tag| tag.strip_prefix(" src=\"").and_then(|tag| tag.split_once("\" defer></script>")).expect(tag).0)
        .collect()
}
