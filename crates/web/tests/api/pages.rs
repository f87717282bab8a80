//! The WEB service as a browser sees it: cookie, forms and pages, over the same router as the API.

use crate::world::{COLLEAGUE, Client, HOST, PASSWORD, Person, ROLES, Reply, Role, World, card_with_planner, city};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use kiban_web::{Listener, PAGES, Route};
use serde_json::json;
use std::sync::OnceLock;

/// A browser with the certificate of somebody, and its one cookie.
pub struct Browser<'a> {
    client: Client<'a>,
    pub cookie: Option<String>,
    pub origin: Option<String>,
}

impl<'a> Browser<'a> {
    pub fn of(world: &'a World, role: Role) -> Self {
        Self { client: world.with_certificate(role), cookie: None, origin: Some(format!("https://{HOST}")) }
    }

    pub async fn logged_in(world: &'a World, role: Role) -> Self {
        let mut browser = Self::of(world, role);
        let reply = browser.post("/login", &[("account", role.account()), ("password", PASSWORD)]).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text());
        browser
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, Body::empty()).await
    }

    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let reply = self.send(Method::POST, path, Body::from(serde_urlencoded::to_string(fields).unwrap())).await;
        if let Some(cookie) = reply.headers.get(header::SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            self.cookie = (!pair.ends_with('=')).then(|| pair.to_owned());
        }
        reply
    }

    /// Sends the form of a page with what the page put into it.
    pub async fn submit(&mut self, page: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        let token = form_token(&self.get(page).await);
        let fields: Vec<(&str, &str)> =
            [("form_token", token.as_str())].into_iter().chain(fields.iter().copied()).collect();
        self.post(path, &fields).await
    }

    /// Sends the form of a page that takes files, with one of them.
    pub async fn upload(&self, page: &str, token: &str, (name, content): (&str, &[u8])) -> Reply {
        let head = format!(
            "--b\r\nContent-Disposition: form-data; name=\"form_token\"\r\n\r\n{token}\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
        );
        let body = [head.as_bytes(), content, b"\r\n--b--\r\n"].concat();
        self.send_as("multipart/form-data; boundary=b", Method::POST, page, Body::from(body)).await
    }

    /// Sends the form of a page that takes files, with these.
    pub async fn upload_all(&self, page: &str, token: &str, files: &[(String, Vec<u8>)]) -> Reply {
        let mut body =
            format!("--b\r\nContent-Disposition: form-data; name=\"form_token\"\r\n\r\n{token}\r\n").into_bytes();
        for (name, content) in files {
            let head = format!("--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\r\n");
            body.extend([head.as_bytes(), content, b"\r\n"].concat());
        }
        body.extend(b"--b--\r\n");
        self.send_as("multipart/form-data; boundary=b", Method::POST, page, Body::from(body)).await
    }

    /// Sends a form with all that some form of the platform asks for, and a token that is right.
    pub async fn try_form(&self, path: &str, act: &str, token: &str) -> Reply {
        let all = [
            ("form_token", token),
            ("act", act),
            ("declarant", "person"),
            ("proof", "insurance_card"),
            ("form", "同意様式 第1版"),
            ("reason", "記載もれがあります"),
            ("account", COLLEAGUE),
            ("name", "見本 新子"),
        ];
        let fields: Vec<(&str, &str)> = all.into_iter().chain(hanako()).collect();
        self.send(Method::POST, path, Body::from(serde_urlencoded::to_string(fields).unwrap())).await
    }

    async fn send(&self, method: Method, path: &str, body: Body) -> Reply {
        self.send_as("application/x-www-form-urlencoded", method, path, body).await
    }

    async fn send_as(&self, media: &str, method: Method, path: &str, body: Body) -> Reply {
        self.client.send_raw(self.request(media, method, path, body)).await
    }

    /// The request of a form, to be sent beside others.
    pub fn form_request(&self, path: &str, fields: &[(&str, &str)]) -> Request<Body> {
        let body = Body::from(serde_urlencoded::to_string(fields).unwrap());
        let mut request = self.request("application/x-www-form-urlencoded", Method::POST, path, body);
        self.client.connect(&mut request);
        request
    }

    fn request(&self, media: &str, method: Method, path: &str, body: Body) -> Request<Body> {
        let mut request = Request::builder().method(method.clone()).uri(path).header(header::HOST, HOST);
        request = request.header(header::ACCEPT, "text/html,application/xhtml+xml");
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, format!("other=1; {cookie}"));
        }
        if method == Method::POST {
            request = request.header(header::CONTENT_TYPE, media);
            if let Some(origin) = &self.origin {
                request = request.header(header::ORIGIN, origin);
            }
        }
        request.body(body).unwrap()
    }
}

pub fn form_token(page: &Reply) -> String {
    hidden(page, "form_token")
}

/// What a page put into its form.
pub fn hidden(page: &Reply, name: &str) -> String {
    let text = page.text();
    let (_, rest) = text.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("no form: {text}"));
    rest.split('"').next().unwrap().to_owned()
}

pub fn location(reply: &Reply) -> String {
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text());
    reply.headers[header::LOCATION].to_str().unwrap().to_owned()
}

/// The card of 架空 花子 as somebody might type it.
fn hanako() -> [(&'static str, &'static str); 5] {
    static INSURER: OnceLock<String> = OnceLock::new();
    [
        ("insurer_number", INSURER.get_or_init(|| city().to_string())),
        ("insured_number", "0000000001"),
        ("kana", "カクウ　ハナコ"),
        ("birth", "昭和16年5月3日"),
        ("sex", "female"),
    ]
}

#[tokio::test]
async fn a_care_manager_registers_somebody_takes_the_consent_and_sees_the_page() {
    let world = World::new().await;
    let mut browser = Browser::logged_in(&world, Role::Planner).await;
    let list = browser.get("/users").await.text();
    assert!(list.contains("登録した利用者はまだいません。") && list.contains("事業所番号"), "{list}");
    let fields = [&hanako()[..], &[("makes_plan", "yes")]].concat();
    let next = location(&browser.submit("/users/new", "/users/new", &fields).await);
    let (page, consent) = (next.trim_end_matches("/consent").to_owned(), next.clone());
    assert!(consent.ends_with("/consent"), "the consent follows: {consent}");
    // Before the consent: the card is there, the survey says what is missing and how to get it.
    let before = browser.get(&page).await.text();
    assert!(
        before.contains("架空 花子 さん") && before.contains("要介護") && before.contains("同意未取得"),
        "{before}"
    );
    assert!(before.contains("なぜ見られるのか") && before.contains("規則 P-"), "{before}");
    // To take the consent only the name and what was declared so far are looked at.
    let looks = world.log_about(Person::Hanako.key()).await.len();
    assert!(browser.get(&consent).await.text().contains("架空 花子 さんの同意を登録する"));
    let log = world.log_about(Person::Hanako.key()).await;
    assert_eq!((log.len() - looks, log[0].0.as_str(), log[1].0.as_str()), (2, "view", "view_identity"));
    let fields = [("act", "given"), ("declarant", "person"), ("proof", "insurance_card")];
    assert_eq!(location(&browser.submit(&consent, &consent, &fields).await), page);
    let after = browser.get(&page).await.text();
    assert!(after.contains("同意しています") && !after.contains("同意未取得"), "{after}");
    let list = browser.get("/users").await.text();
    assert!(list.contains("架空 花子") && list.contains("1人のうち1人"), "{list}");
    let looks = browser.get(&format!("{page}/looks")).await.text();
    assert!(looks.contains("担当事業所として登録した") && looks.contains("同意を登録した"), "{looks}");
    // The end of the registration closes the page at once.
    let end = format!("{page}/end");
    assert_eq!(location(&browser.submit(&end, &end, &[]).await), "/users");
    let gone = browser.get(&page).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert!(gone.text().contains("ページが見つかりません。または、見ることができません。"), "{}", gone.text());
    world.verify().await;
}

#[tokio::test]
async fn a_mistake_in_the_four_items_keeps_what_was_typed_and_never_says_which_did_not_fit() {
    let world = World::new().await;
    let mut browser = Browser::logged_in(&world, Role::Planner).await;
    let mut fields = hanako();
    fields[2].1 = "カクウ ハナヨ";
    let wrong_name = browser.submit("/users/new", "/users/new", &fields).await;
    fields = hanako();
    fields[3].1 = "昭和16年5月4日";
    let wrong_birth = browser.submit("/users/new", "/users/new", &fields).await;
    for reply in [&wrong_name, &wrong_birth] {
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        assert!(reply.text().contains("入力した内容と一致する人が見つかりません"), "{}", reply.text());
        assert!(!reply.text().contains("field--err") && reply.text().contains("value=\"0000000001\""));
    }
    let typed = |reply: &Reply, one: &str| reply.text().replace(one, "TYPED");
    let (one, other) = (typed(&wrong_name, "カクウ ハナヨ"), typed(&wrong_birth, "カクウ　ハナコ"));
    assert_eq!(one.replace("昭和16年5月3日", "DAY"), other.replace("昭和16年5月4日", "DAY"), "the same page");
    // What cannot be a number is told beside its field.
    fields = hanako();
    fields[1].1 = "123";
    fields[4].1 = "";
    let faults = browser.submit("/users/new", "/users/new", &fields).await;
    assert_eq!(faults.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = faults.text();
    assert!(text.contains("直すところが2つあります") && text.contains("性別：性別を選んでください"), "{text}");
    assert!(text.contains("<title>エラー：") && text.contains("aria-invalid"), "{text}");
    world.verify().await;
}

#[tokio::test]
async fn a_city_officer_opens_an_own_insured_by_number_and_sees_who_looked() {
    let world = World::new().await;
    world.register(Role::Helper, Person::Hanako).await;
    let mut officer = Browser::logged_in(&world, Role::City).await;
    let page = location(&officer.submit("/insured", "/insured", &[("insured_number", "0000000001")]).await);
    assert!(officer.get(&page).await.text().contains("架空 花子 さん"));
    let looks = officer.get(&format!("{page}/looks")).await.text();
    assert!(looks.contains("すべての機関の記録です。") && looks.contains("担当事業所として登録した"), "{looks}");
    let unknown = officer.submit("/insured", "/insured", &[("insured_number", "0000000099")]).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert!(unknown.text().contains("この番号の被保険者はいません。"), "{}", unknown.text());
    world.verify().await;
}

#[tokio::test]
async fn the_cookie_is_for_this_host_this_certificate_and_the_pages_only() {
    let world = World::new().await;
    let mut browser = Browser::of(&world, Role::Planner);
    let reply = browser.post("/login", &[("account", Role::Planner.account()), ("password", PASSWORD)]).await;
    let cookie = reply.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
    for part in ["__Host-kiban=", "; Path=/;", "; Secure;", "; HttpOnly;", "; SameSite=Strict"] {
        assert!(cookie.contains(part), "{part}: {cookie}");
    }
    // A cookie set before the log-in is not the one after it.
    let first = browser.cookie.clone();
    browser.post("/login", &[("account", Role::Planner.account()), ("password", PASSWORD)]).await;
    assert_ne!(browser.cookie, first);
    // Over another certificate it opens nothing, and that is recorded.
    let mut thief = Browser::of(&world, Role::Helper);
    thief.cookie = browser.cookie.clone();
    assert_eq!(location(&thief.get("/users").await), "/login");
    // The API does not know it.
    let mut request = browser.client.request(Method::GET, "/api/v1/people");
    request = request.header(header::COOKIE, browser.cookie.clone().unwrap());
    assert_eq!(browser.client.send_raw(request.body(Body::empty()).unwrap()).await.status, StatusCode::UNAUTHORIZED);
    // A program's token is no cookie.
    let token = world.fresh_token(Role::Vendor).await;
    let program = Browser { cookie: Some(format!("__Host-kiban={token}")), ..Browser::of(&world, Role::Vendor) };
    assert_eq!(location(&program.get("/users").await), "/login");
    // Log-out ends it at once.
    let kept = browser.cookie.clone();
    assert_eq!(location(&browser.submit("/users", "/logout", &[]).await), "/login");
    assert_eq!(browser.cookie, None);
    browser.cookie = kept;
    assert_eq!(location(&browser.get("/users").await), "/login");
    world.verify().await;
}

#[tokio::test]
async fn a_form_of_another_site_or_another_log_in_does_nothing() {
    let world = World::new().await;
    let mut browser = Browser::logged_in(&world, Role::Planner).await;
    let mut other = Browser::of(&world, Role::Planner);
    other.post("/login", &[("account", COLLEAGUE), ("password", PASSWORD)]).await;
    let of_other = form_token(&other.get("/users/new").await);
    let before = Browser::logged_in(&world, Role::Planner).await;
    let of_before = form_token(&before.get("/users/new").await);
    let own = form_token(&browser.get("/users/new").await);
    let with = |token: &str| {
        let mut fields: Vec<(String, String)> =
            hanako().iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        fields.push(("form_token".to_owned(), token.to_owned()));
        fields
    };
    let home = Some(format!("https://{HOST}"));
    let evil = Some("https://evil.example".to_owned());
    for (origin, token) in [(evil, &own), (None, &own), (Some("null".to_owned()), &own), (home, &of_other)] {
        browser.origin = origin.clone();
        let fields = with(token);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let reply = browser.post("/users/new", &fields).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{origin:?}");
        assert!(reply.text().contains("この画面からは送れません"), "{}", reply.text());
    }
    // One of another log-in of their own is asked about, and not done either.
    browser.origin = Some(format!("https://{HOST}"));
    let fields = with(&of_before);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let reply = browser.post("/users/new", &fields).await;
    assert!(reply.status == StatusCode::CONFLICT && reply.text().contains("まだ送っていません"), "{}", reply.text());
    assert!(browser.get("/users").await.text().contains("登録した利用者はまだいません。"));
    // Not even a log-in is taken from elsewhere.
    let mut outsider =
        Browser { origin: Some("https://evil.example".to_owned()), ..Browser::of(&world, Role::Planner) };
    let reply = outsider.post("/login", &[("account", Role::Planner.account()), ("password", PASSWORD)]).await;
    assert_eq!((reply.status, outsider.cookie.is_none()), (StatusCode::BAD_REQUEST, true));
    world.verify().await;
}

#[tokio::test]
async fn what_is_typed_never_becomes_markup() {
    let world = World::new().await;
    let mut browser = Browser::of(&world, Role::Planner);
    let nasty = "\"><script>alert(1)</script>'{{7*7}}";
    let reply = browser.post("/login", &[("account", nasty), ("password", "x")]).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert!(!reply.text().contains("<script>") && reply.text().contains("&#60;script&#62;"), "{}", reply.text());
    let mut browser = Browser::logged_in(&world, Role::Planner).await;
    let reply = browser.submit("/users/new", "/users/new", &[("kana", nasty), ("insured_number", nasty)]).await;
    assert!(!reply.text().contains("<script>"), "{}", reply.text());
    let policy = reply.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    world.verify().await;
}

/// The sweep of the pages: whoever is not logged in comes to the log-in, and each role sees its own pages only.
#[tokio::test]
async fn every_page_answers_everybody_as_they_may() {
    let world = World::new().await;
    for page in PAGES.iter().filter(|page| page.audience.needs_log_in()) {
        let path = |handle: &str| page.path.replace("{handle}", handle);
        let nobody = Browser { client: world.nobody(), ..Browser::of(&world, Role::Planner) };
        let reply = nobody.send(page.method.clone(), &path("x"), Body::empty()).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{}", page.path);
        let stranger = Browser::of(&world, Role::Planner);
        assert_eq!(location(&stranger.send(page.method.clone(), &path("x"), Body::empty()).await), "/login");
    }
    for role in
        ROLES.into_iter().filter(|role| !role.is_connector() && !matches!(role, Role::Vendor | Role::CityProgram))
    {
        world.assign(Role::Planner, Person::Hanako, true).await;
        world.assign(Role::Helper, Person::Hanako, false).await;
        let browser = Browser::logged_in(&world, role).await;
        let handle = world.stolen_handle(role, Person::Hanako.key()).await;
        for page in pages_of_staff().filter(|page| page.method == Method::GET && page.path != "/login") {
            let reply = browser.get(&path_of(page, &handle)).await;
            assert_eq!(reply.status.is_success(), is_open(page, role), "{} for {role:?}: {}", page.path, reply.status);
            if !reply.status.is_success() {
                assert!(!reply.text().contains("花子"), "{} for {role:?}", page.path);
            }
        }
    }
    world.verify().await;
}

/// The sweep of the forms: sent by a role whose form it is not, each is refused, shows nobody and changes nothing.
#[tokio::test]
async fn every_form_is_refused_to_a_role_whose_form_it_is_not() {
    let world = World::new().await;
    let mut refused = 0;
    for role in
        ROLES.into_iter().filter(|role| !role.is_connector() && !matches!(role, Role::Vendor | Role::CityProgram))
    {
        let browser = Browser::logged_in(&world, role).await;
        let token = form_token(&browser.get("/today").await);
        let handle = world.stolen_handle(role, Person::Hanako.key()).await;
        let before = world.log_about(Person::Hanako.key()).await.into_iter().filter(|entry| entry.1 == "done").count();
        for page in pages_of_staff().filter(|page| page.method == Method::POST && !may_send(page, role)) {
            for act in ["given", "accept", "approve", "end"] {
                let reply = browser.try_form(&path_of(page, &handle), act, &token).await;
                assert!(reply.status.is_client_error(), "{} {act} for {role:?}: {}", page.path, reply.status);
                assert!(!reply.text().contains("花子"), "{} {act} for {role:?}", page.path);
                refused += 1;
            }
        }
        let log = world.log_about(Person::Hanako.key()).await;
        let after = log.iter().filter(|entry| entry.1 == "done").count();
        assert_eq!(after, before, "{role:?}: {log:?}");
    }
    assert!(refused > 200, "{refused}");
    world.verify().await;
}

/// Whether a role may send a form: its own account's, or one of its work.
fn may_send(page: &Route, role: Role) -> bool {
    let is_office = role.organization().office().is_some();
    match page.name {
        "log_in_by_form"
        | "log_out_by_form"
        | "code_by_form"
        | "code_again_by_form"
        | "factor_by_form"
        | "factor_mail_by_form"
        | "factor_away_by_form"
        | "stay_by_form"
        | "passkey_question"
        | "passkey_by_form"
        | "passkey_offer_of_page"
        | "passkey_away_by_form"
        | "end_own_session_by_form"
        | "password_by_form"
        | "notice_by_form"
        | "renewal_by_form" => true,
        "certificate_asked_by_form" => is_office || matches!(role, Role::Operator | Role::SecondOperator),
        "revocation_by_form" => false,
        // Administrators, as with the pages.
        "review_by_form" | "invite_by_form" => is_office || role == Role::Operator,
        "change_colleague_by_form" => is_office,
        "application_by_form" => matches!(role, Role::Operator | Role::SecondOperator),
        "self_check_by_form" => is_office,
        "insurer_by_form" | "disasters_by_form" | "disaster_mode_by_form" | "announcements_by_form" => {
            matches!(role, Role::Operator | Role::SecondOperator)
        }
        "inbox_by_form"
        | "find_by_form"
        | "package_by_form"
        | "held_package_by_form"
        | "statistics_by_form"
        | "letters_by_form"
        | "start_by_form" => {
            matches!(role, Role::City | Role::OtherCity)
        }
        "register_by_form" | "card_by_form" | "qr_by_form" => is_office,
        "opinion_file_by_form" | "opinion_send_by_form" | "opinion_by_form" => role == Role::Hospital,
        "plan_send_by_form" | "plan_by_form" | "disaster_by_form" => false,
        "request_by_form" => role == Role::Planner,
        "plan_maker_by_form" => role == Role::Planner,
        "consent_by_form" => matches!(role, Role::Planner | Role::City),
        "end_by_form" => is_office,
        "switch_by_form" => matches!(role, Role::Planner | Role::Helper),
        "door_code_by_form" | "door_proxy_by_form" | "door_end_by_form" | "door_block_by_form"
        | "door_lift_by_form" => role == Role::City,
        other => panic!("{other} has no line"),
    }
}

/// A path with everything filled in.
pub fn path_of(page: &Route, handle: &str) -> String {
    let path = page
        .path
        .replace("{slip}", &"0".repeat(32))
        .replace("{held}", &"0".repeat(32))
        .replace("{disaster}", &"0".repeat(32))
        .replace("{insurer}", city().as_str())
        .replace("{file}", "UPPLAN.CSV")
        .replace("{handle}", handle)
        .replace("{account}", COLLEAGUE)
        .replace("{serial}", &"0".repeat(32))
        .replace("{chapter}", "basics")
        .replace("{table}", "3")
        .replace("{form}", "survey");
    path.replace("{receipt}", &"0".repeat(32)).replace("{application}", &"0".repeat(32))
}

/// The pages behind client certificates.
fn pages_of_staff() -> impl Iterator<Item = &'static Route> {
    PAGES.iter().filter(|page| page.listener == Listener::Organisations)
}

fn is_open(page: &Route, role: Role) -> bool {
    let is_office = role.organization().office().is_some();
    let sees_hanako = matches!(role, Role::Planner | Role::Helper | Role::City | Role::Hospital);
    match page.name {
        // Whoever has come the whole way may look at the page of the code; it does nothing for them.
        "password_page"
        | "factor_page"
        | "code_page"
        | "admin_page"
        | "admin_certificates_page"
        | "renewal_page"
        | "own_sessions_page"
        | "today_page"
        | "selftest_page"
        | "selftest_script"
        | "script"
        | "passkey_script"
        | "idle_script" => true,
        // Of the roles the offices' accounts and one of the operator's are administrators; only offices have a colleague.
        // Nobody has one of this number.
        "certificate_page" => false,
        "people_page" | "invite_page" => is_office || role == Role::Operator,
        "colleague_page" => is_office,
        "applications_page" => matches!(role, Role::Operator | Role::SecondOperator),
        "users_page" | "register_page" | "card_page" | "qr_page" => is_office,
        "inbox_item_page" => false,
        "held_package_page" | "held_package_file" | "package_page" | "package_result_page" => false,
        "rules_page" => true,
        "access_page" | "notice_page" => role == Role::City,
        "disaster_mode_page" => false,
        "insurer_page" | "operator_page" | "offices_page" | "disasters_page" | "audit_page" | "announcements_page" => {
            matches!(role, Role::Operator | Role::SecondOperator)
        }
        // Nothing was counted yet.
        "statistics_file_page" => false,
        "insured_page" | "inbox_page" | "packages_page" | "package_form_page" | "renewals_page"
        | "renewals_file_page" | "statistics_page" | "start_page" | "letters_page" => {
            matches!(role, Role::City | Role::OtherCity)
        }
        "users_file" => is_office,
        "consent_print_page" => matches!(role, Role::Planner | Role::City),
        "consent_page" => matches!(role, Role::Planner | Role::City),
        "end_page" => is_office,
        // The city asked the hospital for an opinion about her; none has been sent.
        "opinions_page" | "opinion_file_page" | "opinion_page" | "opinion_send_page" => role == Role::Hospital,
        "opinion_receipt_page" => false,
        "self_check_page" | "safety_rules_page" | "incident_page" => is_office,
        "help_page" => true,
        "plans_page" => is_office && role != Role::Hospital,
        "plan_send_page" => is_office && role != Role::Hospital,
        "plan_page" | "plan_file_page" | "plan_print_page" | "disaster_page" => false,
        // No consent was given.
        "life_page" => false,
        "timeline_page" => sees_hanako,
        "plan_table_page" => matches!(role, Role::Planner | Role::Helper),
        "paper_page" => role == Role::City,
        "requests_page" => matches!(role, Role::Planner | Role::Stranger),
        "request_page" => role == Role::Planner,
        "request_receipt_page" => false,
        "looks_page" => matches!(role, Role::Planner | Role::Helper | Role::City | Role::Hospital),
        "person_page" => sees_hanako,
        // No city's account of these is an administrator's.
        "switches_page" | "sees_page" | "staff_looks_page" | "staff_looks_file" => is_office,
        "switch_page" => matches!(role, Role::Planner | Role::Helper),
        "door_page" | "door_proxy_page" => role == Role::City,
        other => panic!("{other} has no line"),
    }
}

#[tokio::test]
async fn an_initial_password_leads_to_its_change_and_from_there_to_work() {
    let world = World::new().await;
    let invitation = kiban_service::Invitation {
        account: "newcomer".to_owned(),
        name: "見本 新子".to_owned(),
        job: kiban_domain::office::JobType::CareWorker,
        care_manager: None,
        administrator: false,
    };
    let office = Role::Helper.organization();
    let initial = world.platform.invite_locally(office, invitation, &world.context()).await.unwrap().initial_password;
    let mut browser = Browser::of(&world, Role::Helper);
    let fields = [("account", "newcomer"), ("password", initial.as_str())];
    assert_eq!(location(&browser.post("/login", &fields).await), "/account/password");
    assert_eq!(location(&browser.get("/users").await), "/account/password");
    let page = browser.get("/account/password").await.text();
    assert!(page.contains("管理者が出した仮のもの") && !page.contains("/users"), "{page}");
    let form = |new: &'static str, again: &'static str| {
        [("old_password", initial.clone()), ("new_password", new.to_owned()), ("again", again.to_owned())]
    };
    for (new, again, told) in [
        ("aoi-sora-to-neko-7", "aoi-sora-to-neko-8", "同じものを2回"),
        ("mijikai", "mijikai", "13文字以上"),
        ("administrator-1", "administrator-1", "多くの人が使う"),
    ] {
        let fields = form(new, again);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let reply = browser.submit("/account/password", "/account/password", &fields).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(reply.text().contains(told) && !reply.text().contains(new), "{}", reply.text());
    }
    let before = browser.cookie.clone();
    let fields = form("aoi-sora-to-neko-7", "aoi-sora-to-neko-7");
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let reply = browser.submit("/account/password", "/account/password", &fields).await;
    assert_eq!(location(&reply), "/today");
    assert_ne!(browser.cookie, before, "another log-in than before");
    assert!(browser.get("/users").await.status.is_success());
    browser.cookie = before;
    assert_eq!(location(&browser.get("/users").await), "/login");
    world.verify().await;
}

#[tokio::test]
async fn an_administrator_registers_somebody_and_cares_for_the_account_in_the_browser() {
    let world = World::new().await;
    let mut chief = Browser::logged_in(&world, Role::Helper).await;
    let menu = chief.get("/admin").await.text();
    let number = Role::Helper.organization().to_string();
    assert!(menu.contains(&number) && menu.contains("ヘルパーステーションみほん"), "to be printed: {menu}");
    assert!(menu.contains("利用する人を見直す"), "never gone through: {menu}");
    let new = "/admin/people/new";
    let faulty = chief.submit(new, new, &[("name", "見本 新子"), ("account", "にゅう"), ("job", "care_manager")]).await;
    let text = faulty.text();
    assert_eq!(faulty.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        text.contains("半角英数字") && text.contains("介護支援専門員番号（8けた）") && text.contains("見本 新子"),
        "{text}"
    );
    let fields = [("name", "見本 新子"), ("account", "newcomer"), ("job", "care_worker")];
    let told = chief.submit(new, new, &fields).await.text();
    let initial = told.split("<dd class=\"num\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert_eq!(initial.len(), 19, "{told}");
    let list = chief.get("/admin/people").await.text();
    assert!(list.contains("見本 新子") && list.contains("仮のパスワード") && !list.contains(&initial), "{list}");
    let taken = chief.submit(new, new, &fields).await;
    assert!(taken.text().contains("使われています"), "{}", taken.text());
    // The newcomer chooses a password and works; the chief sees it, stops it, and closes it.
    let mut newcomer = Browser::of(&world, Role::Helper);
    newcomer.post("/login", &[("account", "newcomer"), ("password", &initial)]).await;
    let own = "aoi-sora-to-neko-7";
    let change = [("old_password", initial.as_str()), ("new_password", own), ("again", own)];
    assert_eq!(location(&newcomer.submit("/account/password", "/account/password", &change).await), "/today");
    let page = "/admin/people/newcomer";
    assert!(chief.get(page).await.text().contains("終わっていないログイン"));
    assert_eq!(newcomer.get("/admin/people").await.status, StatusCode::FORBIDDEN);
    assert_eq!(location(&chief.submit(page, page, &[("act", "stop")]).await), page);
    assert_eq!(location(&newcomer.get("/users").await), "/login");
    assert_eq!(location(&chief.submit(page, page, &[("act", "resume")]).await), page);
    assert!(chief.submit(page, page, &[("act", "reset")]).await.text().contains("仮のパスワード"));
    assert_eq!(location(&chief.submit(page, page, &[("act", "leave")]).await), page);
    let closed = chief.get(page).await.text();
    assert!(closed.contains("辞めた") && !closed.contains("name=\"act\""), "{closed}");
    // Gone through: no task until a year has passed.
    assert_eq!(location(&chief.submit("/admin/people", "/admin/people", &[]).await), "/admin/people");
    assert!(!chief.get("/admin").await.text().contains("利用する人を見直す"));
    world.verify().await;
}

#[tokio::test]
async fn somebody_ends_an_own_log_in_in_the_browser_and_nobody_elses() {
    let world = World::new().await;
    let mut here = Browser::logged_in(&world, Role::Planner).await;
    let there = Browser::logged_in(&world, Role::Planner).await;
    let other = Browser::logged_in(&world, Role::Helper).await;
    let page = here.get("/account/sessions").await.text();
    let id = page.split("name=\"session\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(page.matches("この画面").count(), 1, "{page}");
    let sessions = "/account/sessions";
    assert_eq!(location(&here.submit(sessions, sessions, &[("session", &id)]).await), sessions);
    assert_eq!(location(&there.get("/users").await), "/login");
    let page = other.get(sessions).await.text();
    assert!(!page.contains("name=\"session\""), "{page}");
    assert_eq!(here.submit(sessions, sessions, &[("session", "0")]).await.status, StatusCode::NOT_FOUND);
    assert!(here.get("/users").await.status.is_success());
    world.verify().await;
}

#[tokio::test]
async fn an_app_is_set_up_by_its_qr_code_and_asked_for_at_the_next_log_in() {
    let world = World::new().await;
    let mut browser = Browser::logged_in(&world, Role::Planner).await;
    let page = browser.get("/account/factor").await.text();
    assert!(page.contains("<svg class=\"qr\"") && page.contains("<path d=\"M"), "{page}");
    let secret = page.split("入れてください：<br><span class=\"num\">").nth(1).unwrap().split('<').next().unwrap();
    let secret = secret.replace(' ', "");
    let code = |world: &World| crate::second_factor::app_code(&secret, world.now().as_second());
    let now = code(&world);
    let wrong = [("code", "000000"), ("password", PASSWORD)];
    let reply = browser.submit("/account/factor", "/account/factor", &wrong).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    let reply = browser.submit("/account/factor", "/account/factor", &[("code", &now), ("password", PASSWORD)]).await;
    assert_eq!(reply.text().matches("<li class=\"num\">").count(), 10, "{}", reply.text());
    let mut next = Browser::of(&world, Role::Planner);
    let fields = [("account", Role::Planner.account()), ("password", PASSWORD)];
    assert_eq!(location(&next.post("/login", &fields).await), "/login/code");
    assert_eq!(location(&next.get("/users").await), "/login/code");
    let wrong = next.submit("/login/code", "/login/code", &[("code", "000000")]).await;
    assert!(wrong.status == StatusCode::UNAUTHORIZED && wrong.text().contains("あと4回"), "{}", wrong.text());
    world.pass(30).await;
    let now = code(&world);
    assert_eq!(location(&next.submit("/login/code", "/login/code", &[("code", &now)]).await), "/today");
    let form = form_token(&next.get("/users/new").await);
    // What was typed when a log-in had ended goes through the second factor too, and only its end offers it.
    world.pass(15 * 60 + 1).await;
    let log_in = next.post("/users/new", &[("form_token", &form), ("kana", "ケンソウ タロウ")]).await;
    let kept = hidden(&log_in, "kept").replace("&#34;", "\"");
    let asked = next.post("/login", &[fields[0], fields[1], ("kept", &kept)]).await;
    assert!(asked.status == StatusCode::OK && !asked.text().contains("入力したものを送る"), "{}", asked.text());
    let token = form_token(&asked);
    let wrong = next.post("/login/code", &[("form_token", &token), ("code", "000000"), ("kept", &kept)]).await;
    assert_eq!(hidden(&wrong, "kept").replace("&#34;", "\""), kept);
    let now = code(&world);
    let through = next.post("/login/code", &[("form_token", &token), ("code", &now), ("kept", &kept)]).await;
    assert!(through.text().contains("入力したものを送る"), "{}", through.text());
    assert_eq!(hidden(&through, "kana"), "ケンソウ タロウ");
    assert!(next.get("/users").await.status.is_success());
    world.verify().await;
}

#[tokio::test]
async fn a_page_says_before_a_log_in_ends_and_only_who_presses_the_button_stays() {
    let world = World::new().await;
    let mut browser = Browser::logged_in(&world, Role::Planner).await;
    let page = browser.get("/users").await;
    assert!(
        page.text().contains("id=\"idle\" data-minutes=\"15\"") && page.text().contains("hidden><div"),
        "{}",
        page.text()
    );
    let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    let script = browser.get("/idle.js").await;
    assert!(script.status.is_success() && script.text().contains("\"submit\""), "{}", script.text());
    let token = form_token(&page);
    for _ in 0..3 {
        world.pass(14 * 60).await;
        // The script itself asks for nothing that counts.
        browser.get("/idle.js").await;
        let reply = browser.post("/account/stay", &[("form_token", &token)]).await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text());
    }
    world.pass(14 * 60).await;
    browser.get("/idle.js").await;
    world.pass(60 + 1).await;
    assert_eq!(location(&browser.post("/account/stay", &[("form_token", &token)]).await), "/login?why=idle");
    // Before somebody is logged in nothing ends.
    assert!(!Browser::of(&world, Role::Planner).get("/login").await.text().contains("id=\"idle\""));
    world.verify().await;
}

#[tokio::test]
async fn a_log_in_at_a_screen_ends_after_a_quarter_of_an_hour_without_a_request_on_any_server() {
    let world = World::new().await;
    let mut browser = Browser::logged_in(&world, Role::Planner).await;
    for _ in 0..3 {
        world.pass(14 * 60).await;
        assert!(browser.get("/users").await.status.is_success(), "each request begins the time anew");
    }
    // Another server has not seen it, and finds in the log that somebody was there.
    let token = browser.cookie.clone().unwrap().split('=').nth(1).unwrap().to_owned();
    let elsewhere =
        kiban_service::Platform::open(world.platform.store().clone(), kiban_service::Config::default(), world.now());
    let elsewhere = elsewhere.await.unwrap();
    let peer = kiban_service::Peer { fingerprint: Role::Planner.fingerprint(), source: "192.0.2.1".to_owned() };
    let ask = async || {
        let stage = kiban_service::Stage::Through;
        elsewhere.refresh_standing(world.now()).await.unwrap();
        elsewhere.authenticate_at_screen(stage, peer.clone(), &token, &world.context()).await.map(|_| ())
    };
    world.pass(14 * 60).await;
    ask().await.unwrap();
    // A request on one server counts on the other only once it is answered, and so recorded: here it was not.
    world.pass(60 + 1).await;
    let away = browser.get("/users").await;
    assert_eq!(location(&away), "/login?why=idle");
    assert!(browser.get("/login?why=idle").await.text().contains("しばらく操作がなかったため"));
    assert_eq!(location(&browser.get("/users").await), "/login", "it has ended");
    let fields = [("account", Role::Planner.account()), ("password", PASSWORD)];
    assert_eq!(location(&browser.post("/login", &fields).await), "/today");
    world.verify().await;
}

#[tokio::test]
async fn a_problem_is_a_page_for_a_browser_and_a_document_for_a_program() {
    let world = World::new().await;
    let browser = Browser::of(&world, Role::Planner);
    let page = browser.get("/nothing-here").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"), "{:?}", page.headers);
    let document = browser.client.get("/nothing-here").await;
    assert_eq!(document.json()["code"], json!("unknown"));
}

#[tokio::test]
async fn what_was_typed_when_a_log_in_had_ended_is_offered_after_the_next_one() {
    let world = World::new().await;
    let mut planner = Browser::logged_in(&world, Role::Planner).await;
    let token = form_token(&planner.get("/users/new").await);
    let typed: Vec<_> = [("form_token", token.as_str())].into_iter().chain(hanako()).collect();
    world.pass(15 * 60 + 1).await;
    // Not carried out, not lost: the log-in holds it, and says so.
    let log_in = planner.post("/users/new", &typed).await;
    assert_eq!(log_in.status, StatusCode::UNAUTHORIZED);
    let text = log_in.text();
    assert!(text.contains("入力したものは残っています") && !text.contains(&token), "{text}");
    let kept = hidden(&log_in, "kept");
    let kept = kept.replace("&#34;", "\"").replace("&quot;", "\"");
    let fields = |password| [("account", Role::Planner.account()), ("password", password), ("kept", kept.as_str())];
    let wrong = planner.post("/login", &fields("chigau-aikotoba-2026")).await;
    assert!(wrong.status == StatusCode::UNAUTHORIZED && wrong.text().contains("name=\"kept\""), "{}", wrong.text());
    let offered = planner.post("/login", &fields(PASSWORD)).await;
    let text = offered.text();
    assert!(offered.status == StatusCode::OK && text.contains("入力したものが残っています"), "{text}");
    assert!(text.contains("action=\"/users/new\"") && text.contains("まだ送っていません"), "{text}");
    let again: Vec<_> = hanako().into_iter().map(|(name, _)| (name, hidden(&offered, name))).collect();
    let token = form_token(&offered);
    let again: Vec<_> = [("form_token", token.as_str())]
        .into_iter()
        .chain(again.iter().map(|(name, text)| (*name, text.as_str())))
        .collect();
    let reply = planner.post("/users/new", &again).await;
    assert!(reply.status == StatusCode::SEE_OTHER, "{}", reply.text());
    // Another window of the same account still holds the form of the log-in before: it is offered, not carried out.
    let stale = planner.post("/users/new", &typed).await;
    assert!(stale.status == StatusCode::CONFLICT && stale.text().contains("まだ送っていません"), "{}", stale.text());
    // What a colleague at the same terminal typed is not handed to whoever logs in.
    let colleague = planner.post("/login", &[("account", COLLEAGUE), ("password", PASSWORD), ("kept", &kept)]).await;
    assert_eq!(location(&colleague), "/today");
    assert_eq!(planner.post("/users/new", &typed).await.status, StatusCode::BAD_REQUEST);
    // A form that no page of ours made is not kept, and neither is what begins a log-in or sets a password.
    let away = Browser::of(&world, Role::Planner);
    for (path, token) in [("/users/new", "0123"), ("/account/password", token.as_str())] {
        let fields = [("form_token", token), ("kana", "ミホン"), ("password", "x")];
        assert_eq!(location(&away.client.send_raw(away.form_request(path, &fields)).await), "/login", "{path}");
    }
    let mut elsewhere = Browser::of(&world, Role::Planner);
    elsewhere.origin = Some("https://example.jp".to_owned());
    assert_eq!(location(&elsewhere.post("/users/new", &typed).await), "/login");
    // What is no form of ours is not offered.
    for kept in [
        r#"{"path":"/login","writer":"","fields":[["a","b"]]}"#,
        r#"{"path":"https://example.jp/","writer":"","fields":[["a","b"]]}"#,
        "x",
    ] {
        let mut other = Browser::of(&world, Role::Planner);
        let fields = [("account", Role::Planner.account()), ("password", PASSWORD), ("kept", kept)];
        assert_eq!(location(&other.post("/login", &fields).await), "/today", "{kept}");
    }
    world.verify().await;
}

#[tokio::test]
async fn the_cards_before_the_one_that_holds_are_there_when_asked_for() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    let planner = Browser::logged_in(&world, Role::Planner).await;
    let page = format!("/p/{handle}");
    assert!(!planner.get(&page).await.text().contains("これまでの被保険者証"));
    let city = world.log_in(Role::City).await;
    let reply = city.upload("/api/v1/packages", &card_with_planner(&world)).await;
    assert_eq!(reply.json()["report"]["counts"]["refused"], 0, "{}", reply.text());
    let text = planner.get(&page).await.text();
    let (_, earlier) = text.split_once("<details class=\"fold\"><summary>これまでの被保険者証</summary>").unwrap();
    let earlier = earlier.split("</table>").next().unwrap();
    assert!(earlier.contains("認定の有効期間") && earlier.contains("要介護"), "{earlier}");
    world.verify().await;
}
