//! The closed line: opinions from a hospital's document software, without a screen (P-134, P-194).

use crate::files::untar;
use crate::view::opinion;
use crate::world::{Client, Person, Reply, Role, World};
use axum::body::Body;
use axum::http::{Method, StatusCode};
use kiban_domain::physician_opinion::PhysicianOpinion;
use kiban_formats::municipal::{self, MunicipalRow, MunicipalValue};
use kiban_formats::{Severity, opinion_csv};
use serde_json::{Value, json};

fn document(world: &World) -> PhysicianOpinion {
    serde_json::from_value(opinion(world)).unwrap()
}

async fn send(client: &Client<'_>, csv: &[u8]) -> Reply {
    client.send(Method::POST, "/api/v1/opinions", "text/csv; charset=Shift_JIS", Body::from(csv.to_vec())).await
}

#[tokio::test]
async fn a_csv_of_the_document_software_reaches_the_city_byte_for_byte_and_its_answer_comes_back() {
    let world = World::new().await;
    let hospital = world.log_in(Role::HospitalConnector).await;
    let csv = opinion_csv::write([&document(&world)]).unwrap();
    let report = send(&hospital, &csv).await.json();
    assert_eq!((&report["state"], &report["problems"]), (&json!("filed"), &json!([])));
    let receipt = report["documents"][0]["receipt"].as_str().unwrap().to_owned();
    // Sent again after an answer that was lost, it is the same document.
    let again = send(&hospital, &csv).await.json();
    assert_eq!(again["documents"][0]["receipt"], json!(receipt));
    assert_eq!(
        (&report["documents"][0]["repeated"], &again["documents"][0]["repeated"]),
        (&json!(false), &json!(true))
    );

    let city = world.log_in(Role::CityConnector).await;
    let items = city.get("/api/v1/inbox").await.json();
    assert_eq!(items["items"].as_array().unwrap().len(), 1);
    let id = items["items"][0]["receipt"].as_str().unwrap();
    assert!(receipt.ends_with(id));
    assert_eq!(city.get(&format!("/api/v1/inbox/{id}/original")).await.body, csv);
    let back = json!({ "reason": "記入日を確かめてください" });
    assert_eq!(city.post(&format!("/api/v1/inbox/{id}/return"), back).await.status, StatusCode::OK);
    let state = hospital.get(&format!("/api/v1/opinions/{receipt}")).await.json();
    assert_eq!(state["state"], json!({ "state": "returned", "reason": "記入日を確かめてください" }));

    // Corrected it is another document, which names the one sent back.
    let mut corrected = document(&world);
    corrected.remarks = Some("記入日を確かめました".to_owned());
    let report = send(&hospital, &opinion_csv::write([&corrected]).unwrap()).await.json();
    assert_eq!(report["documents"][0]["replaces"], json!(receipt));
    world.verify().await;
}

#[tokio::test]
async fn what_was_accepted_leaves_with_the_city_s_data_and_comes_in_again() {
    let world = World::new().await;
    let hospital = world.log_in(Role::HospitalConnector).await;
    // What a package could not carry is refused where it can still be put right.
    let refused: [(&str, &str, Value); 4] = [
        ("/remarks", "標準の文字", json!("山\u{e000}さん")),
        ("/remarks", "標準の文字", json!("見えない\u{200b}文字")),
        ("/request/sent_on", "送付日", json!("2026-01-01")),
        ("/request/request_number", "依頼番号", json!("第１２号")),
    ];
    for (at, word, value) in refused {
        let mut wrong = opinion(&world);
        *wrong.pointer_mut(at).unwrap() = value;
        let reply = hospital.post("/api/v1/opinions", wrong).await;
        assert!(reply.status.is_client_error() && reply.text().contains(word), "{at}: {}", reply.text());
    }
    let mut tomorrow = document(&world);
    tomorrow.basics.written_on = world.today().tomorrow().unwrap();
    let reply = send(&hospital, &opinion_csv::write([&tomorrow]).unwrap()).await;
    assert!(reply.text().contains("記入日"), "{}", reply.text());

    // A telephone as people write it is none of these.
    let mut written = document(&world);
    written.basics.institution_telephone = Some("０９９−０００−０１０１（内線12）".replace('−', "－"));
    written.basics.institution_postal_code = Some("9900001".to_owned());
    let report = send(&hospital, &opinion_csv::write([&written]).unwrap()).await.json();
    assert_eq!(report["state"], json!("filed"), "{report}");
    let city = world.log_in(Role::City).await;
    let id = city.get("/api/v1/inbox").await.json()["items"][0]["receipt"].as_str().unwrap().to_owned();
    for act in ["fetch", "accept"] {
        assert_eq!(city.post(&format!("/api/v1/inbox/{id}/{act}"), json!({})).await.status, StatusCode::OK);
    }
    let files = untar(&city.get("/api/v1/export").await.body);
    let report: Value = serde_json::from_slice(&files.last().unwrap().1).unwrap();
    assert_eq!((&report["rows"]["A2"], &report["left_out"]), (&json!(1), &json!(0)), "{report}");
    let package: Vec<(String, Vec<u8>)> = files
        .into_iter()
        .filter_map(|(name, bytes)| Some((name.strip_prefix("package/")?.to_owned(), bytes)))
        .collect();
    let mut opinions = Vec::new();
    let problems = municipal::open(package).check(&mut |row: MunicipalRow| {
        if let MunicipalValue::Opinion(value) = row.value {
            opinions.push(value);
        }
    });
    assert!(problems.iter().all(|problem| problem.severity == Severity::Warning), "{problems:?}");
    assert_eq!(opinions.len(), 1);
    assert_eq!(opinions[0].basics.institution_telephone, written.basics.institution_telephone);
}

#[tokio::test]
async fn a_fault_in_the_file_comes_back_with_its_place_and_nothing_is_taken() {
    let world = World::new().await;
    let hospital = world.log_in(Role::HospitalConnector).await;
    let good = document(&world);
    let mut stranger = good.clone();
    stranger.person = Person::Hidden.key();
    let reply = send(&hospital, &opinion_csv::write([&good, &stranger]).unwrap()).await;
    assert_eq!(reply.refusal(), (422, "refused_files".to_owned()));
    let problem = &reply.json()["report"]["problems"][0];
    assert_eq!((&problem["rule"], &problem["line"]), (&json!("not_requested"), &json!(2)));
    let broken = [&b"1.1,x\r\n"[..], &opinion_csv::write([&good]).unwrap()].concat();
    let problem = send(&hospital, &broken).await.json()["report"]["problems"][0].clone();
    assert_eq!((&problem["rule"], &problem["line"]), (&json!("columns"), &json!(1)));
    let mut early = good.clone();
    early.basics.last_examined_on = Some(good.basics.written_on.tomorrow().unwrap());
    let problem = send(&hospital, &opinion_csv::write([&early]).unwrap()).await.json()["report"]["problems"][0].clone();
    assert!(problem["message"].as_str().unwrap().contains("最終診察日"), "{problem}");
    let inbox = world.log_in(Role::City).await.get("/api/v1/inbox").await.json();
    assert_eq!(inbox["items"], json!([]));
    world.verify().await;
}

#[tokio::test]
async fn the_closed_line_says_when_a_city_that_has_not_started_will_whoever_the_person_is() {
    let world = World::new().await;
    let planned = kiban_domain::municipality::StartState::Planned(crate::world::day("2027-04-01"));
    world.change(async |tx| tx.set_start(crate::world::city(), planned).await.unwrap()).await;
    let hospital = world.log_in(Role::HospitalConnector).await;
    let known = document(&world);
    let mut unknown = known.clone();
    unknown.person.insured = kiban_domain::InsuredNumber::parse("0099999999").unwrap();
    let reply = send(&hospital, &opinion_csv::write([&known, &unknown]).unwrap()).await;
    assert_eq!(reply.refusal(), (422, "refused_files".to_owned()));
    let problems = reply.json()["report"]["problems"].clone();
    assert_eq!(
        (problems[0]["rule"].clone(), problems[1]["rule"].clone()),
        (json!("not_started"), json!("not_started"))
    );
    assert!(problems[0]["message"].as_str().unwrap().contains("未開始（令和9年4月1日 開始予定）"), "{problems}");
    let words = |n: usize| problems[n]["message"].as_str().unwrap().split_once("行目").unwrap().1.to_owned();
    assert_eq!(words(0), words(1), "the answer tells of the city, not of the person");
    world.verify().await;
}

#[tokio::test]
async fn only_opinions_are_on_the_closed_line_and_only_there() {
    let world = World::new().await;
    let hospital = world.log_in(Role::HospitalConnector).await;
    let entrance = hospital.get("/api/v1/opinions").await.json();
    assert_eq!(entrance["organization"], json!(Role::Hospital.organization()));
    let ask = async |router: &axum::Router, path: &str| {
        let request = hospital.request(Method::GET, path).body(Body::empty()).unwrap();
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(kiban_web::tls::RemoteAddr("192.0.2.1:50000".parse().unwrap()));
        parts.extensions.insert(kiban_web::tls::PeerCertificate {
            fingerprint: Role::HospitalConnector.fingerprint(),
            organization_in_subject: None,
            not_after: world.now() + jiff::SignedDuration::from_hours(1),
            key_digest: String::new(),
        });
        let request = axum::http::Request::from_parts(parts, body);
        Reply::of(tower::ServiceExt::oneshot(router.clone(), request).await.unwrap()).await.status
    };
    assert_eq!(ask(&world.line, "/api/v1/opinions").await, StatusCode::OK);
    assert_eq!(ask(&world.inside, "/api/v1/opinions").await, StatusCode::NOT_FOUND);
    for path in ["/api/v1/people", "/api/v1/inbox", "/", "/api/v1/openapi.json"] {
        assert_eq!(ask(&world.line, path).await, StatusCode::NOT_FOUND, "{path}");
    }
    // Another office's document is as unknown as none.
    let csv = opinion_csv::write([&document(&world)]).unwrap();
    let receipt = send(&hospital, &csv).await.json()["documents"][0]["receipt"].as_str().unwrap().to_owned();
    let stranger = world.log_in(Role::Stranger).await;
    assert_eq!(stranger.get(&format!("/api/v1/opinions/{receipt}")).await.refusal(), (404, "unknown".to_owned()));
    let none: Value = stranger.get("/api/v1/opinions/990010-00000000000000000000000000000000").await.json();
    assert_eq!(none["code"], json!("unknown"));
    world.verify().await;
}

#[tokio::test]
async fn an_opinion_that_waits_from_the_screen_is_not_handed_in_a_second_time_by_the_program() {
    let world = World::new().await;
    let handle = world.stolen_handle(Role::Hospital, Person::Hanako.key()).await;
    let screen = world.log_in(Role::Hospital).await;
    let filed = screen.post(&format!("/api/v1/people/{handle}/opinions"), opinion(&world)).await;
    assert_eq!(filed.status, StatusCode::CREATED, "{}", filed.text());
    let reply = world.log_in(Role::HospitalConnector).await.post("/api/v1/opinions", opinion(&world)).await;
    assert_eq!(reply.refusal(), (422, "refused_files".to_owned()), "{}", reply.text());
    assert_eq!(reply.json()["report"]["problems"][0]["rule"], json!("waiting"));
    world.verify().await;
}

/// The number of one person over what was written about another would lie among that person's papers.
#[tokio::test]
async fn an_opinion_about_somebody_else_under_this_number_is_refused_at_every_door() {
    let world = World::new().await;
    let handle = world.stolen_handle(Role::Hospital, Person::Hanako.key()).await;
    let mut other = document(&world);
    other.basics.applicant.birth = Person::Hidden.insured().identity.birth;
    other.basics.age = None;
    let told = "意見書の生年月日か性別が、この被保険者番号の方のものと違います";
    let screen = world.log_in(Role::Hospital).await;
    let reply = screen.post(&format!("/api/v1/people/{handle}/opinions"), json!(other)).await;
    assert_eq!(reply.refusal(), (422, "invalid".to_owned()), "{}", reply.text());
    assert!(reply.text().contains(told), "{}", reply.text());
    let reply = send(&world.log_in(Role::HospitalConnector).await, &opinion_csv::write([&other]).unwrap()).await;
    assert_eq!(reply.refusal(), (422, "refused_files".to_owned()), "{}", reply.text());
    assert!(reply.text().contains(told), "{}", reply.text());
    let inbox = world.log_in(Role::City).await.get("/api/v1/inbox").await.json();
    assert_eq!(inbox["items"], json!([]));
    world.verify().await;
}
