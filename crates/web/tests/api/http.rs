//! HTTP itself: problem documents for everything that is not as it should be, headers on every answer, the pages.

use crate::world::{HOST, PUBLIC_HOST, Person, Reply, Role, World, package};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use kiban_web::tls::RemoteAddr;
use kiban_web::{Ready, Settings, organisations_router};
use serde_json::{Value, json};
use tower::ServiceExt;

impl World {
    /// A request to the public listener.
    pub async fn outside(&self, path: &str) -> Reply {
        self.outside_with(&Method::GET, path, None).await
    }

    /// Somebody without a certificate, from one address.
    pub async fn outside_with(&self, method: &Method, path: &str, body: Option<Value>) -> Reply {
        let request = Request::builder().method(method).uri(path).header(header::HOST, PUBLIC_HOST);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(RemoteAddr("198.51.100.7:50000".parse().unwrap()));
        let reply = Reply::of(self.outside.clone().oneshot(request).await.unwrap()).await;
        crate::description::conform(method, path, &reply);
        reply
    }
}

#[tokio::test]
async fn every_answer_has_the_security_headers_and_a_request_id() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let replies = [
        planner.get("/api/v1/people").await,
        planner.get("/nowhere").await,
        planner.get("/").await,
        world.nobody().get("/api/v1/people").await,
        world.outside("/").await,
        world.outside("/health").await,
        planner.delete("/api/v1/people").await,
    ];
    for reply in replies {
        assert_eq!(reply.headers["cache-control"], "no-store");
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
        let policy = reply.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("script-src"), "no script runs there: {policy}");
        assert!(reply.headers["strict-transport-security"].to_str().unwrap().starts_with("max-age="));
        assert_eq!(reply.headers["x-request-id"].len(), 32);
        assert!(
            !reply.headers.contains_key("set-cookie") && !reply.headers.contains_key("access-control-allow-origin")
        );
        if !reply.status.is_success() {
            assert_eq!(reply.body.len() % 64, 0);
            assert_eq!(reply.json()["request_id"], json!(reply.headers["x-request-id"].to_str().unwrap()));
        }
    }
}

#[tokio::test]
async fn what_does_not_exist_and_what_is_not_yours_are_the_same_bytes() {
    let world = World::new().await;
    let helper = world.log_in(Role::Helper).await;
    let handle = world.stolen_handle(Role::Helper, Person::Hanako.key()).await;
    let nowhere = helper.get("/api/v1/nowhere").await.comparable();
    for path in [
        format!("/api/v1/people/{handle}"),
        format!("/api/v1/people/{handle}/records/A3a"),
        format!("/api/v1/people/{handle}/look-ups"),
        "/api/v1/people/x".to_owned(),
        "/api/v1/inbox".to_owned(),
        "/api/v1/receipts/x".to_owned(),
    ] {
        assert_eq!(helper.get(&path).await.comparable(), nowhere, "{path}");
    }
}

#[tokio::test]
async fn nothing_is_read_before_the_caller_is_known() {
    let world = World::new().await;
    let noise = || Body::from("{ not json");
    let reply = world.with_certificate(Role::Planner).send(Method::POST, "/api/v1/people", "text/plain", noise()).await;
    assert_eq!(reply.refusal(), (401, "login_required".to_owned()));
    let reply = world.nobody().send(Method::POST, "/api/v1/session", "text/plain", noise()).await;
    assert_eq!(reply.refusal(), (401, "certificate_required".to_owned()));
    assert!(reply.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
}

#[tokio::test]
async fn a_body_that_cannot_be_read_says_where() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let send = async |media: &str, body: &str| {
        planner.send(Method::POST, "/api/v1/people", media, Body::from(body.to_owned())).await
    };
    let reply = send("application/json", "{\n \"kana\": ").await;
    assert_eq!(reply.refusal(), (400, "bad_json".to_owned()));
    assert!(reply.json()["detail"].as_str().unwrap().contains("2行"), "{}", reply.text());
    assert_eq!(send("application/x-www-form-urlencoded", "kana=x").await.refusal(), (415, "media_type".to_owned()));
    assert_eq!(send("application/json; charset=utf-8", "{}").await.json()["items"][0]["item"], json!("insurer_number"));
    let reply = send("application/json", r#"{"sekai": 1}"#).await;
    let items: Vec<_> = reply.json()["items"].as_array().unwrap().iter().map(|item| item["item"].clone()).collect();
    assert_eq!(items, ["insurer_number", "insured_number", "kana", "birth", "sex", "sekai"]);
    let mut card = Person::Hanako.card();
    card["sex"] = json!("f");
    assert_eq!(planner.post("/api/v1/people", card).await.json()["items"][0]["item"], json!("sex"));
    let reply = send("application/json", &" ".repeat((1 << 20) + 1)).await;
    assert_eq!(reply.refusal(), (413, "too_large".to_owned()));
    let reply = planner.get("/api/v1/people?limit=many").await;
    assert_eq!((reply.refusal(), &reply.json()["items"][0]["item"]), ((422, "invalid".to_owned()), &json!("limit")));
}

#[tokio::test]
async fn a_method_that_is_not_there_is_named_with_those_that_are() {
    let world = World::new().await;
    let reply = world.log_in(Role::Planner).await.delete("/api/v1/people").await;
    assert_eq!(reply.refusal(), (405, "method_not_allowed".to_owned()));
    assert!(reply.headers["allow"].to_str().unwrap().contains("POST"));
}

#[tokio::test]
async fn a_request_for_another_host_is_misdirected() {
    let world = World::new().await;
    let planner = world.log_in(Role::Planner).await;
    let send = async |uri: &str, hosts: &[&str]| {
        let mut request =
            Request::get(uri).header(header::AUTHORIZATION, format!("Bearer {}", planner.token.clone().unwrap()));
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        planner.send_raw(request.body(Body::empty()).unwrap()).await.refusal()
    };
    let wrong = (421, "wrong_host".to_owned());
    assert_eq!(send("/api/v1/people", &[PUBLIC_HOST]).await, wrong);
    assert_eq!(send("/api/v1/people", &[]).await, wrong);
    assert_eq!(send("/api/v1/people", &[HOST, PUBLIC_HOST]).await, wrong);
    assert_eq!(send(&format!("https://{PUBLIC_HOST}/api/v1/people"), &[HOST]).await, wrong);
    assert_eq!(send("/api/v1/people", &[&format!("{HOST}:8443")]).await.0, 200);
    assert_eq!(send(&format!("https://{HOST}/api/v1/people"), &[]).await.0, 200);
}

#[tokio::test]
async fn cookies_and_headers_of_proxies_make_nobody_somebody_else() {
    let world = World::new().await;
    let token = world.fresh_token(Role::Planner).await;
    let certificate = world.with_certificate(Role::Planner);
    let request = certificate
        .request(Method::GET, "/api/v1/people")
        .header(header::COOKIE, format!("token={token}; session={token}"))
        .body(Body::empty())
        .unwrap();
    assert_eq!(certificate.send_raw(request).await.refusal(), (401, "login_required".to_owned()));
    let nobody = world.nobody();
    let request = nobody
        .request(Method::GET, "/api/v1/people")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header("x-client-cert", Role::Planner.fingerprint())
        .header("x-forwarded-for", "192.0.2.1")
        .body(Body::empty())
        .unwrap();
    assert_eq!(nobody.send_raw(request).await.refusal(), (401, "certificate_required".to_owned()));
}

#[tokio::test]
async fn a_full_house_says_come_back_instead_of_queueing() {
    let world = World::with(|settings| settings.in_flight = 0).await;
    let reply = world.with_certificate(Role::Planner).get("/").await;
    assert_eq!(reply.refusal(), (503, "unavailable".to_owned()));
    assert!(reply.headers.contains_key("retry-after"));
}

/// A body of which nothing comes until the other end is dropped.
struct Held(tokio::sync::mpsc::Receiver<()>);

impl axum::body::HttpBody for Held {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        self.0.poll_recv(context).map(|_| None)
    }
}

#[tokio::test]
async fn slow_bodies_of_one_certificate_leave_places_for_the_others() {
    let world = World::with(|settings| {
        (settings.in_flight, settings.per_certificate) = (4, 3);
        settings.request_time = std::time::Duration::from_millis(50);
    })
    .await;
    let helper = world.with_certificate(Role::Helper);
    let mut held = Vec::new();
    for _ in 0..3 {
        let (keep, body) = tokio::sync::mpsc::channel(1);
        held.push(keep);
        let reply = helper.send(Method::POST, "/api/v1/session", "application/json", Body::new(Held(body))).await;
        assert_eq!(reply.refusal(), (503, "outcome_unknown".to_owned()));
    }
    let reply = helper.get("/").await;
    assert_eq!((reply.refusal(), &reply.headers["retry-after"]), ((429, "busy".to_owned()), &"1".parse().unwrap()));
    assert_eq!(world.with_certificate(Role::City).get("/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn slow_bodies_from_one_network_leave_the_public_listener_to_the_others() {
    let world = World::with(|settings| {
        (settings.in_flight, settings.per_certificate) = (8, 3);
        settings.request_time = std::time::Duration::from_millis(50);
    })
    .await;
    let send = async |from: &str, method: Method, path: &str, body: Body| {
        let request = Request::builder().method(method).uri(path).header(header::HOST, PUBLIC_HOST);
        let address = RemoteAddr(format!("{from}:5000").parse().unwrap());
        let request = request.header(header::CONTENT_TYPE, "application/json").extension(address);
        Reply::of(world.outside.clone().oneshot(request.body(body).unwrap()).await.unwrap()).await
    };
    let mut held = Vec::new();
    for n in 0..3 {
        let (keep, body) = tokio::sync::mpsc::channel(1);
        held.push(keep);
        // Other addresses of the same /64 are the same network.
        let from = format!("[2001:db8:1:1::{n}]");
        let path = "/api/v1/certificate-applications";
        assert_eq!(send(&from, Method::POST, path, Body::new(Held(body))).await.status.as_u16(), 503);
    }
    let own = send("[2001:db8:1:1::9]", Method::GET, "/start-dates", Body::empty()).await;
    assert_eq!(own.refusal(), (429, "busy".to_owned()));
    let other = send("[2001:db8:1:2::9]", Method::GET, "/start-dates", Body::empty()).await;
    assert_eq!(other.status, StatusCode::OK);
}

#[tokio::test]
async fn one_organisation_uploads_one_thing_at_a_time_and_others_still_can() {
    let world = World::with(|settings| settings.upload_time = std::time::Duration::from_millis(50)).await;
    let city = world.log_in(Role::City).await;
    let (_keep, body) = tokio::sync::mpsc::channel(1);
    let media = "multipart/form-data; boundary=x-x-x";
    let reply = city.send(Method::POST, "/api/v1/packages", media, Body::new(Held(body))).await;
    assert_eq!(reply.refusal(), (503, "outcome_unknown".to_owned()));
    let reply = city.upload("/api/v1/packages", &package(world.now())).await;
    assert_eq!(reply.refusal(), (429, "busy".to_owned()));
    // Who may not send one at all holds no place: nothing of the body is waited for.
    let (_keep, body) = tokio::sync::mpsc::channel(1);
    let helper = world.log_in(Role::Helper).await;
    let reply = helper.send(Method::POST, "/api/v1/packages", media, Body::new(Held(body))).await;
    assert_eq!(reply.refusal(), (403, "not_writer".to_owned()));
    let other = world.log_in(Role::OtherCity).await;
    // Another's is taken beside it. With two that take their time a third is asked to come back; an office's files are taken.
    let (_keep, body) = tokio::sync::mpsc::channel(1);
    let reply = other.send(Method::POST, "/api/v1/packages", media, Body::new(Held(body))).await;
    assert_eq!(reply.refusal(), (503, "outcome_unknown".to_owned()));
    let reply = helper.upload("/api/v1/packages", &package(world.now())).await;
    assert_eq!(reply.refusal(), (503, "unavailable".to_owned()));
    let planner = world.log_in(Role::Planner).await;
    assert_ne!(planner.upload("/api/v1/plans", &[]).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn an_individual_number_in_any_text_is_refused_named_and_not_repeated() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    let path = format!("/api/v1/people/{handle}/consents");
    let consent = json!({ "act": "given", "declarant": "representative", "proof": "insurance_card", "form": "第1版" });
    for number in ["123456789018", "番号は1234-5678-9018です", "１２３４５６７８９０１８"] {
        let mut body = consent.clone();
        (body["remark"], body["relation"]) = (json!(number), json!("長男"));
        let reply = planner.post(&path, body).await;
        assert_eq!(reply.refusal(), (422, "invalid".to_owned()));
        assert_eq!(reply.json()["items"][0]["item"], json!("remark"));
        assert!(!reply.text().contains("9018") && !reply.text().contains("９０１８"));
    }
    let reply = planner.post(&path, json!({ "123456789018": "x" })).await;
    assert_eq!(reply.json()["items"][0]["item"], json!("body"));
    assert!(!reply.text().contains("123456789018"));
    // Twelve digits without the check digit are another number; a password is kept nowhere.
    let mut body = consent;
    (body["remark"], body["relation"]) = (json!("123456789012"), json!("長男"));
    assert_eq!(planner.post(&path, body).await.status, StatusCode::OK);
    let wrong = json!({ "account": "staff1", "password": "123456789018" });
    assert_eq!(planner.post("/api/v1/session", wrong).await.refusal(), (401, "wrong_password".to_owned()));
}

#[tokio::test]
async fn a_write_that_takes_too_long_is_unknown_and_a_read_is_not_done() {
    let mut world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let clock = world.clock();
    let mut settings = Settings::new(&[HOST], "https://www.kiban.test", clock);
    settings.request_time = std::time::Duration::from_millis(50);
    world.inside = organisations_router(world.platform.clone(), settings, Ready::default());
    let planner = world.log_in(Role::Planner).await;
    // Nothing can be written while another write is open, so neither can the log.
    let open = world.platform.store().begin().await.unwrap();
    let reply = planner.get(&format!("/api/v1/people/{handle}/records/A3a")).await;
    assert_eq!(reply.refusal(), (503, "unavailable".to_owned()));
    assert!(!reply.text().contains("limit_units"));
    let reply = planner.delete(&format!("/api/v1/people/{handle}/registration")).await;
    assert_eq!((reply.refusal(), &reply.json()["outcome"]), ((503, "outcome_unknown".to_owned()), &json!("unknown")));
    drop(open);
}

#[tokio::test]
async fn the_pages_say_what_this_is_and_what_to_do_next() {
    let world = World::new().await;
    let page = world.outside("/").await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert!(page.text().contains("href=\"/start-dates\"") && page.text().contains("電子証明書で接続できないとき"));
    let page = world.outside("/start-dates").await.text();
    assert!(
        page.contains("<a href=\"/start-dates?prefecture=01\">北海道</a> <span class=\"sub\">開始 0 / 179</span>"),
        "{page}"
    );
    assert!(!page.contains("<script") && !page.contains("style=") && !page.contains("<table"));
    let style = world.outside("/kiban.css").await;
    assert_eq!(style.headers["content-type"], "text/css; charset=utf-8");
    let page = world.with_certificate(Role::Planner).get("/").await.text();
    assert!(page.contains("居宅介護支援事業所みほん") && page.contains("/api/v1/openapi.json"), "{page}");
    assert_eq!(world.nobody().get("/").await.refusal().0, 401);
}

#[tokio::test]
async fn a_visitor_finds_the_start_of_a_city_by_name_number_state_or_prefecture() {
    let world = World::new().await;
    let rows = async |query: &str| {
        let page = world.outside(&format!("/start-dates?{query}")).await.text();
        (page.matches("<th scope=\"row\">").count(), page)
    };
    assert_eq!(rows("prefecture=47&name=&state=").await.0, 41);
    let (count, page) = rows("name=%E9%82%A3%E8%A6%87%E5%B8%82").await;
    assert!(count == 1 && page.contains("まだ決まっていません"), "{page}");
    let (count, page) = rows("state=%E4%BA%88%E5%AE%9A").await;
    assert!(count == 1 && page.contains("令和9年4月1日"), "{page}");
    let (count, page) = rows("name=%3Cscript%3E").await;
    assert!(count == 0 && page.contains("この条件の市区町村はありません"));
    assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"));
}

#[tokio::test]
async fn anybody_reads_the_start_of_every_municipality() {
    let world = World::new().await;
    let list = world.outside("/api/v1/insurers").await.json();
    let list = list["insurers"].as_array().unwrap();
    assert_eq!(list.iter().filter(|insurer| insurer["prefecture"] != "架空県").count(), 1_741);
    assert!(list.iter().any(|insurer| insurer["start"] == json!({ "state": "planned", "date": "2027-04-01" })));
    assert_eq!(world.outside("/api/v1/people").await.status, StatusCode::NOT_FOUND);

    let file = world.outside("/api/v1/insurers.csv").await;
    assert_eq!(file.headers["content-type"], "text/csv; charset=utf-8");
    assert!(file.text().starts_with("\u{feff}保険者番号,都道府県コード,都道府県,市区町村,状態,日付\r\n"));
    assert_eq!(file.text().lines().count(), 1 + list.len());
    assert!(file.text().contains(",予定,2027-04-01\r\n"));
    let narrow = world.outside("/api/v1/insurers?prefecture=47&state=undecided").await.json();
    assert_eq!(narrow["insurers"].as_array().unwrap().len(), 41);
    let wrong = world.outside("/api/v1/insurers?state=open").await;
    assert_eq!((wrong.refusal(), &wrong.json()["items"][0]["item"]), ((422, "invalid".to_owned()), &json!("state")));
}

#[tokio::test]
async fn a_city_that_sent_nothing_cannot_be_started_and_the_answer_says_what_is_missing() {
    let world = World::new().await;
    let operator = world.log_in(Role::Operator).await;
    let path = format!("/api/v1/insurers/{}/start", crate::world::later_city());
    let view = operator.get(&path).await.json();
    assert_eq!((&view["state_name"], &view["reconciliation"]), (&json!("予定"), &json!(null)));
    assert!(view["needed"].as_str().unwrap().contains("初期移行"));
    let reply = operator.put(&path, json!({ "state": "started", "date": "2026-11-01" })).await;
    assert_eq!(reply.refusal(), (409, "conflict".to_owned()));
    assert!(reply.json()["title"].as_str().unwrap().contains("初期移行"));
    let reply = operator.put(&path, json!({ "state": "planned" })).await;
    assert_eq!(reply.json()["items"][0]["item"], json!("state"));
    let reply = operator.put(&path, json!({ "state": "planned", "date": "令和9年6月1日" })).await;
    assert_eq!(reply.json()["start"], json!({ "state": "planned", "date": "2027-06-01" }));
    let reply = world.log_in(Role::City).await.get(&path).await;
    assert_eq!(reply.refusal(), (404, "unknown".to_owned()));
    world.verify().await;
}
