//! The person's own door from the log-in on: which insured it is, what is seen and done there, by whom, and what never is
//! (P-001, P-002, P-037, P-052, P-069, P-110, T-1, T-2, T-28, T-31, T-38).

use crate::person_log_in::world_with_provider;
use crate::provider::{Hostile, PersonBrowser};
use crate::slips;
use crate::world::{PUBLIC_HOST, Person, Reply, Role, World, city, day, other_city};
use axum::http::{Method, Request, StatusCode, header};
use kiban_domain::application::CertificationApplication;
use kiban_domain::care_plan::CarePlan;
use kiban_domain::certification::ApplicationKind;
use kiban_domain::consent::IdentityProof;
use kiban_domain::insured::{Insured, LinkReason, NumberLink};
use kiban_domain::survey::CertificationSurvey;
use kiban_domain::{InsuredNumber, PersonKey};
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};
use kiban_sim::Needle;
use kiban_store::{PersonLog, verify_person, verify_proof};
use kiban_web::PERSON_PAGES;
use serde_json::{Value, json};

const ME: &str = "__Host-kiban-me";

fn claims(person: Person, address: &str) -> Value {
    let identity = person.insured().identity;
    json!({ "name": identity.name, "address": { "formatted": address }, "birthdate": identity.birth, "gender": "female" })
}

/// As the 住民票 writes it, not as the city's system does.
const ADDRESS: &str = "見本県見本市架空町１番地１号";

pub async fn open() -> (World, Hostile) {
    let (world, hostile) = world_with_provider().await;
    hostile.change(|state| {
        state.people.insert("hanako".to_owned(), claims(Person::Hanako, ADDRESS));
        state.people.insert("moved".to_owned(), claims(Person::Hanako, "見本県見本市別の町2-2"));
        state.people.insert("hidden".to_owned(), claims(Person::Hidden, ADDRESS));
        let daughter =
            json!({ "name": "架空 長子", "address": "東京都", "birthdate": "1970-01-02", "gender": "female" });
        state.people.insert("daughter".to_owned(), daughter);
        state.people.insert("nobody".to_owned(), json!({}));
    });
    (world, hostile)
}

/// Somebody who comes back from the provider, and where they are sent.
pub async fn log_in(world: &World, hostile: &Hostile, account: &str) -> (PersonBrowser, String) {
    let mut browser = PersonBrowser::default();
    let address = browser.begin(world).await;
    let reply = browser.come_back(world, &hostile.agree(account, &address)).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text());
    (browser, location(&reply))
}

pub fn location(reply: &Reply) -> String {
    reply.headers.get(header::LOCATION).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

impl PersonBrowser {
    /// Sends a form of a page, with the token that stands in it.
    pub async fn submit(&mut self, world: &World, page: &str, to: &str, fields: &[(&str, &str)]) -> Reply {
        let html = self.get(world, page).await.text();
        let token = html.split("name=\"form_token\" value=\"").nth(1).unwrap_or_else(|| panic!("{html}"));
        let mut fields = fields.to_vec();
        fields.push(("form_token", token.split('"').next().unwrap()));
        self.post(world, to, &fields).await
    }
}

/// A code of the municipality for a person.
pub async fn code_for(world: &World, person: Person) -> String {
    let handle = world.find(person).await;
    let reply = world.log_in(Role::City).await.post(&format!("/api/v1/people/{handle}/portal-codes"), json!({})).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    reply.json()["code"].as_str().unwrap().to_owned()
}

pub fn daughter(role: &str, ends_on: &str) -> Value {
    json!({
        "role": role, "name": "架空　長子", "birth": "1970-01-02", "relation": "長女", "document": "戸籍全部事項証明書",
        "document_number": "12-34", "document_date": "2026-11-01", "ends_on": ends_on,
    })
}

pub async fn register_proxy(world: &World, role: &str) -> (String, String) {
    let handle = world.find(Person::Hanako).await;
    let path = format!("/api/v1/people/{handle}/proxies");
    let reply = world.log_in(Role::City).await.post(&path, daughter(role, "2026-12-31")).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    let text = |name: &str| reply.json()[name].as_str().unwrap().to_owned();
    (text("id"), text("code"))
}

/// The daughter looks, by a code.
pub async fn daughter_looking(world: &World, hostile: &Hostile, role: &str) -> PersonBrowser {
    let (_, code) = register_proxy(world, role).await;
    let (mut browser, page) = log_in(world, hostile, "daughter").await;
    assert_eq!(page, "/me/code");
    let reply = browser.submit(world, "/me/code", "/me/code", &[("code", &code)]).await;
    assert_eq!(location(&reply), "/me/now", "{}", reply.text());
    browser
}

#[tokio::test]
async fn somebody_whose_four_items_fit_one_insured_sees_their_own_and_is_known_the_next_time() {
    let (world, hostile) = open().await;
    let (mut browser, page) = log_in(&world, &hostile, "hanako").await;
    assert_eq!(page, "/me/now");
    let html = browser.get(&world, "/me/now").await.text();
    for word in ["架空 花子 さん", "要介護２", "1割", "class=\"me\""] {
        assert!(html.contains(word), "{word}: {html}");
    }
    let log = world.log_about(Person::Hanako.key()).await;
    assert!(log.iter().any(|(action, outcome, _)| action == "portal.bind" && outcome == "done"), "{log:?}");
    // The next time nothing is searched for: the address may have changed.
    hostile.change(|state| {
        state.people.insert("hanako".to_owned(), claims(Person::Hanako, "見本県見本市別の町2-2"));
    });
    assert_eq!(log_in(&world, &hostile, "hanako").await.1, "/me/now");
    world.verify().await;
}

#[tokio::test]
async fn none_and_several_are_one_answer_and_never_a_list() {
    let (world, hostile) = open().await;
    let (mut none, page) = log_in(&world, &hostile, "moved").await;
    assert_eq!(page, "/me/code");
    let of_none = none.get(&world, "/me/code").await;
    // A twin, or a namesake, at the same address.
    let twin = PersonKey { insurer: city(), insured: InsuredNumber::parse("0000000009").unwrap() };
    let insured = Insured { key: twin, ..Person::Hanako.insured() };
    let row = Entry { key: twin, history: 1, change: Change::New, value: insured };
    let files = MunicipalPackage::new(city(), world.now()).insured(&[row]).finish().unwrap();
    assert_eq!(world.log_in(Role::City).await.upload("/api/v1/packages", &files).await.status, StatusCode::OK);
    let (mut several, page) = log_in(&world, &hostile, "hanako").await;
    assert_eq!(page, "/me/code");
    let of_several = several.get(&world, "/me/code").await;
    let without_token = |reply: &Reply| {
        let text = reply.text();
        text.split("value=\"")
            .map(|part| part.split_once('"').map_or(part, |(_, rest)| rest).to_owned())
            .collect::<String>()
    };
    assert_eq!(without_token(&of_none), without_token(&of_several));
    // A 不開示 person is never found, and somebody of whom the provider says nothing neither.
    for account in ["hidden", "nobody"] {
        let (mut browser, page) = log_in(&world, &hostile, account).await;
        assert_eq!(page, "/me/code", "{account}");
        for page in ["/me/now", "/me/looks", "/me/consent", "/me/offices", "/me/looks.json"] {
            assert_eq!(location(&browser.get(&world, page).await), "/me/whose", "{account} {page}");
        }
        assert_eq!(location(&browser.get(&world, "/me/whose").await), "/me/code");
    }
    world.verify().await;
}

#[tokio::test]
async fn a_code_of_the_municipality_opens_for_whom_it_was_issued_once_and_in_time() {
    let (world, hostile) = open().await;
    let (mut browser, _) = log_in(&world, &hostile, "moved").await;
    let old = code_for(&world, Person::Hanako).await;
    let code = code_for(&world, Person::Hanako).await;
    let wrong = browser.submit(&world, "/me/code", "/me/code", &[("code", "AAAA-BBBB-CCCC-DDDD")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    // The one before is good for nothing, and one for somebody of another birth neither: the same answer.
    let of_other = code_for(&world, Person::Hidden).await;
    for code in [old.as_str(), of_other.as_str(), "", "<script>"] {
        let reply = browser.submit(&world, "/me/code", "/me/code", &[("code", code)]).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(reply.body, wrong.body, "{code}");
    }
    let reply = browser.submit(&world, "/me/code", "/me/code", &[("code", &code)]).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "five wrong ones are a day's");
    assert!(reply.text().contains("きょうは"));
    world.pass(24 * 3600).await;
    let (mut browser, _) = log_in(&world, &hostile, "moved").await;
    let typed = code.to_lowercase().replace('-', " ");
    let before = browser.cookies[ME].clone();
    let reply = browser.submit(&world, "/me/code", "/me/code", &[("code", &typed)]).await;
    assert_eq!(location(&reply), "/me/now");
    assert!(browser.get(&world, "/me/now").await.text().contains("架空 花子 さん"));
    // Another log-in than before: what was kept of that one opens nothing.
    let mut kept = PersonBrowser::default();
    kept.cookies.insert(ME.to_owned(), before);
    assert_eq!(location(&kept.get(&world, "/me/now").await), "/me");
    let (mut other, _) = log_in(&world, &hostile, "nobody").await;
    let reply = other.submit(&world, "/me/code", "/me/code", &[("code", &code)]).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "once");
    // And not after thirty days.
    world.pass(31 * 24 * 3600).await;
    let (mut hidden, _) = log_in(&world, &hostile, "hidden").await;
    let reply = hidden.submit(&world, "/me/code", "/me/code", &[("code", &of_other)]).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_withheld_person_looks_only_by_a_code_and_the_flag_ends_what_was_open() {
    let (world, hostile) = open().await;
    let (mut hidden, _) = log_in(&world, &hostile, "hidden").await;
    let code = code_for(&world, Person::Hidden).await;
    assert_eq!(location(&hidden.submit(&world, "/me/code", "/me/code", &[("code", &code)]).await), "/me/now");
    world.assign(Role::Planner, Person::Hidden, false).await;
    let now = hidden.get(&world, "/me/now").await.text();
    assert!(now.contains("要介護２") && !now.contains("架空町"), "{now}");
    // Consent was taken by an office, which looked besides.
    let handle = world.stolen_handle(Role::Planner, Person::Hidden.key()).await;
    let act = json!({ "act": "given", "declarant": "person", "proof": "insurance_card", "form": "第1版" });
    let reply = world.log_in(Role::Planner).await.post(&format!("/api/v1/people/{handle}/consents"), act).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    for page in ["/me/offices", "/me/looks", "/me/consent", "/me/looks.json"] {
        let text = hidden.get(&world, page).await.text();
        assert!(!text.contains("居宅介護支援事業所みほん") && !text.contains("9970000011"), "{page}: {text}");
    }
    // Hanako and her daughter look; then the flag is set.
    let mut daughter = daughter_looking(&world, &hostile, "legal").await;
    let (mut hanako, _) = log_in(&world, &hostile, "hanako").await;
    for browser in [&mut hanako, &mut daughter] {
        assert_eq!(browser.get(&world, "/me/now").await.status, StatusCode::OK);
    }
    let insured = Insured { withheld: true, ..Person::Hanako.insured() };
    let row = Entry { key: Person::Hanako.key(), history: 2, change: Change::New, value: insured };
    let files = MunicipalPackage::new(city(), world.now()).insured(&[row]).finish().unwrap();
    assert_eq!(world.log_in(Role::City).await.upload("/api/v1/packages", &files).await.status, StatusCode::OK);
    for browser in [&mut hanako, &mut daughter] {
        assert_eq!(location(&browser.get(&world, "/me/now").await), "/me/whose");
        assert_eq!(location(&browser.get(&world, "/me/whose").await), "/me/code");
    }
    assert_eq!(log_in(&world, &hostile, "hanako").await.1, "/me/code", "whoever has the card");
    let handle = world.find(Person::Hanako).await;
    let path = format!("/api/v1/people/{handle}/proxies");
    let reply = world.log_in(Role::City).await.post(&path, daughter_json()).await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    let code = code_for(&world, Person::Hanako).await;
    let reply = hanako.submit(&world, "/me/code", "/me/code", &[("code", &code)]).await;
    assert_eq!(location(&reply), "/me/now", "the city knows of the flag");
    world.verify().await;
}

fn daughter_json() -> Value {
    daughter("legal", "2026-12-31")
}

#[tokio::test]
async fn a_log_in_is_over_after_fifteen_minutes_without_a_request_after_two_hours_and_at_log_out() {
    let (world, hostile) = open().await;
    let (mut browser, _) = log_in(&world, &hostile, "hanako").await;
    let first = browser.cookies[ME].clone();
    for _ in 0..5 {
        world.pass(14 * 60).await;
        assert_eq!(browser.get(&world, "/me/now").await.status, StatusCode::OK);
    }
    // What was kept an hour ago opens nothing, though the log-in goes on.
    let mut kept = PersonBrowser::default();
    kept.cookies.insert(ME.to_owned(), first);
    assert_eq!(location(&kept.get(&world, "/me/now").await), "/me");
    for _ in 0..4 {
        world.pass(14 * 60).await;
        browser.get(&world, "/me/now").await;
    }
    assert_eq!(location(&browser.get(&world, "/me/now").await), "/me", "two hours");
    let (mut idle, _) = log_in(&world, &hostile, "hanako").await;
    world.pass(15 * 60 + 1).await;
    assert_eq!(location(&idle.get(&world, "/me/now").await), "/me");
    let (mut done, _) = log_in(&world, &hostile, "hanako").await;
    let before = done.clone();
    let reply = done.submit(&world, "/me/now", "/me/logout", &[]).await;
    assert_eq!(location(&reply), "/me");
    assert!(reply.headers["clear-site-data"].to_str().unwrap().contains("cache"));
    assert!(!done.cookies.contains_key(ME));
    for mut browser in [done, before] {
        assert_eq!(location(&browser.get(&world, "/me/now").await), "/me");
    }
    // A time of one's own writing, or a token that was never given.
    let (browser, _) = log_in(&world, &hostile, "hanako").await;
    let parts: Vec<&str> = browser.cookies[ME].split('.').collect();
    for made_up in [
        format!("{}.{:x}.{}", parts[0], world.now().as_second() + 60, parts[2]),
        format!("{}.{}.{}", "0".repeat(64), parts[1], parts[2]),
        parts[0].to_owned(),
    ] {
        let mut browser = PersonBrowser::default();
        browser.cookies.insert(ME.to_owned(), made_up);
        assert_eq!(location(&browser.get(&world, "/me/now").await), "/me");
    }
}

#[tokio::test]
async fn a_form_of_another_site_or_another_log_in_does_nothing_and_a_cookie_set_before_is_not_taken_over() {
    let (world, hostile) = open().await;
    let (mut browser, _) = log_in(&world, &hostile, "hanako").await;
    let (mut other, _) = log_in(&world, &hostile, "hanako").await;
    assert_ne!(browser.cookies[ME], other.cookies[ME]);
    let page = other.get(&world, "/me/consent").await.text();
    let foreign = page.split("name=\"form_token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let own = browser.get(&world, "/me/consent").await.text();
    let own = own.split("name=\"form_token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    for (origin, token) in [
        (Some(format!("https://{PUBLIC_HOST}")), ""),
        (Some(format!("https://{PUBLIC_HOST}")), foreign.as_str()),
        (Some("https://evil.example".to_owned()), own.as_str()),
        (None, own.as_str()),
    ] {
        let mut request = Request::builder().method(Method::POST).uri("/me/consent").header(header::HOST, PUBLIC_HOST);
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        let form = format!("act=given&form_token={token}");
        let reply = browser.send_raw(&world, request, Some(form)).await;
        assert_eq!(reply.refusal(), (400, "foreign_form".to_owned()));
    }
    assert!(browser.get(&world, "/me/consent").await.text().contains("同意は まだ ありません"));
    // Session fixation: whatever the browser brings, a log-in is a new one.
    let mut fixed = PersonBrowser::default();
    fixed.cookies.insert(ME.to_owned(), browser.cookies[ME].clone());
    let address = fixed.begin(&world).await;
    fixed.come_back(&world, &hostile.agree("hanako", &address)).await;
    assert_ne!(fixed.cookies[ME].split('.').next(), browser.cookies[ME].split('.').next());
}

/// 調査票 and 意見書 are there, and were looked at.
async fn with_survey(world: &World) -> String {
    let identity = Person::Hanako.insured().identity;
    let day = world.today().checked_sub(jiff::Span::new().days(20)).unwrap();
    fn one<T>(value: T) -> Vec<Entry<T>> {
        vec![Entry { key: Person::Hanako.key(), history: 1, change: Change::New, value }]
    }
    let files = MunicipalPackage::new(city(), world.now())
        .records(&one(CertificationApplication::example(identity.clone(), day, ApplicationKind::Renewal)))
        .records(&one(CertificationSurvey::example(identity, day, |at, count| at % count)))
        .finish()
        .unwrap();
    assert_eq!(world.log_in(Role::City).await.upload("/api/v1/packages", &files).await.status, StatusCode::OK);
    let handle = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    let reply = planner.get(&format!("/api/v1/people/{handle}/records/A1")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    handle
}

/// The hospital that the city asked for an opinion looks, because it was asked.
async fn look_by_request(world: &World) {
    let handle = world.stolen_handle(Role::Hospital, Person::Hanako.key()).await;
    let reply = world.log_in(Role::Hospital).await.get(&format!("/api/v1/people/{handle}/records/A3a")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}

#[tokio::test]
async fn every_look_is_told_in_words_and_of_survey_and_opinion_not_even_that_there_is_one() {
    let (world, hostile) = open().await;
    let handle = with_survey(&world).await;
    world.pass(60).await;
    let planner = world.log_in(Role::Planner).await;
    planner.get(&format!("/api/v1/people/{handle}/records/A3b")).await;
    look_by_request(&world).await;
    // Somebody who is not in charge, and is refused.
    let stranger = world.stolen_handle(Role::Stranger, Person::Hanako.key()).await;
    let refused = world.log_in(Role::Stranger).await.get(&format!("/api/v1/people/{stranger}/records/A3a")).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    let (mut browser, _) = log_in(&world, &hostile, "hanako").await;
    let mut all = String::new();
    for page in ["/me/now", "/me/looks", "/me/consent", "/me/offices"] {
        let html = browser.get(&world, page).await.text();
        for word in ["調査票", "意見書", "A1", "A2"] {
            assert!(!html.contains(word), "{page} {word}: {html}");
        }
        all += &html;
    }
    for words in [
        "<b>居宅介護支援事業所みほん</b>が、介護の認定の情報を 見ました。",
        "<b>居宅介護支援事業所みほん</b>が、支払う割合を 見ました。",
        "見られる理由：本人確認を済ませた担当事業所です",
        "<b>居宅介護支援事業所れいじ</b>が、被保険者証を 見ようとしましたが、見られませんでした。",
    ] {
        assert!(all.contains(words), "{words}: {all}");
    }
    assert!(all.contains("認定の申請書"), "the own application is the person's");
    world.verify().await;
}

#[tokio::test]
async fn the_log_that_is_taken_away_proves_itself_and_a_removed_or_altered_entry_is_found() {
    let (world, hostile) = open().await;
    let handle = with_survey(&world).await;
    world.log_in(Role::Planner).await.get(&format!("/api/v1/people/{handle}/records/A3b")).await;
    look_by_request(&world).await;
    let audit = world.platform.store().audit();
    world.pass(9 * 24 * 3600).await;
    audit.anchor_now().await.unwrap();
    assert!(audit.sign_months(world.now()).await.unwrap() > 0);
    audit.anchor_now().await.unwrap();
    let (mut browser, _) = log_in(&world, &hostile, "hanako").await;
    let reply = browser.get(&world, "/me/looks.json").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert!(!reply.text().contains("\"A1\"") && reply.text().contains("\"A3b\""), "{}", reply.text());
    assert!(!reply.text().contains("opinion"), "not even that one was asked for: {}", reply.text());
    let (log, key): (PersonLog, _) = (serde_json::from_slice(&reply.body).unwrap(), audit.public_key());
    let months = verify_person(&log, &key).unwrap();
    assert!(months[0].1 >= 3, "{months:?}");
    assert!(verify_proof(&log.months[0].signed, &key).is_ok());
    for n in 0..log.months[0].entries.len() {
        let mut shorter = log.clone();
        shorter.months[0].entries.remove(n);
        assert!(verify_person(&shorter, &key).is_err(), "{n}");
    }
    let altered = reply.text().replacen("9970000011", "9970000029", 1);
    assert_ne!(altered, reply.text());
    assert!(verify_person(&serde_json::from_str(&altered).unwrap(), &key).is_err());
    world.verify().await;
}

#[tokio::test]
async fn consent_is_given_narrowed_and_withdrawn_and_holds_from_the_next_request_on() {
    let (world, hostile) = open().await;
    let handle = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    let sees = async |kind: &str| planner.get(&format!("/api/v1/people/{handle}/records/{kind}")).await.status.as_u16();
    let (mut browser, _) = log_in(&world, &hostile, "hanako").await;
    assert_eq!(sees("E1").await, 403);
    browser.submit(&world, "/me/consent", "/me/consent", &[("act", "given")]).await;
    assert_eq!((sees("E1").await, sees("C1").await), (200, 200));
    world.pass(1).await;
    browser.submit(&world, "/me/consent", "/me/consent", &[("act", "refused"), ("kind", "E1")]).await;
    assert_eq!((sees("E1").await, sees("C1").await), (403, 200));
    assert!(browser.get(&world, "/me/consent").await.text().contains("見せないことに しています"));
    world.pass(1).await;
    browser.submit(&world, "/me/consent", "/me/consent", &[("act", "allowed"), ("kind", "E1")]).await;
    assert_eq!(sees("E1").await, 200);
    let reply = browser.submit(&world, "/me/consent", "/me/consent", &[("act", "withdrawn")]).await;
    assert_eq!(location(&reply), "/me/consent");
    assert_eq!((sees("E1").await, sees("C1").await), (403, 403));
    assert!(browser.get(&world, "/me/consent").await.text().contains("同意を <b>やめました</b>"));
    let reply = browser.submit(&world, "/me/consent", "/me/consent", &[("act", "not_obtainable")]).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    let notices = world.log_in(Role::City).await.get("/api/v1/notices").await.json();
    assert_eq!(notices["notices"][0]["kind"], json!("person_acted"));
    // The token had to say that it was by the card.
    let acts = world.platform.store().consents(Person::Hanako.key()).await.unwrap();
    assert!(acts.iter().any(|act| act.record.proof == IdentityProof::IndividualNumberCard), "{acts:?}");
    world.verify().await;
}

/// P-143: what was registered before stays as history.
#[tokio::test]
async fn earlier_plans_are_seen_by_the_office_in_charge_and_the_person_and_by_nobody_else() {
    let (world, hostile) = open().await;
    world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let helpers = world.register(Role::Helper, Person::Hanako).await;
    let (planner, helper) = (world.log_in(Role::Planner).await, world.log_in(Role::Helper).await);
    let mut registered = Vec::new();
    for (changed_on, policy) in [("2026-05-11", "転ばずに 歩く"), ("2026-11-16", "入浴を 続ける")] {
        let files = slips::plan_of(
            Role::Planner,
            Role::Helper,
            slips::serial(),
            Person::Hanako.key(),
            |plan: &mut CarePlan| {
                plan.changed_on = day(changed_on);
                plan.table1.policy = policy.to_owned();
                plan.supplement.as_mut().unwrap().changed_on = Some(day(changed_on));
            },
        );
        let sent = planner.upload(&format!("/api/v1/slips?to={}", Role::Helper.organization()), &files).await.json();
        let slip = sent["slip"]["slip"].as_str().unwrap_or_else(|| panic!("{sent}"));
        let path = format!("/api/v1/slips/{slip}/registration");
        let reply = planner.post(&path, json!({ "agreed_on": changed_on })).await;
        assert_eq!(reply.json()["state"], json!("applied"), "{}", reply.text());
        registered.push(world.now());
        world.pass(60).await;
    }
    let path = format!("/api/v1/people/{helpers}/records/CP1");
    let plans = async |path: &str| {
        let reply = helper.get(path).await.json();
        let documents = reply["documents"].as_array().unwrap_or_else(|| panic!("{reply}")).clone();
        documents.iter().map(|one| one["content"]["plan"]["changed_on"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(plans(&path).await, ["2026-11-16", "2026-05-11"], "newest first");
    assert_eq!(plans(&format!("{path}?known_on={}", registered[0])).await, ["2026-05-11"]);
    let stolen = world.stolen_handle(Role::Stranger, Person::Hanako.key()).await;
    let reply = world.log_in(Role::Stranger).await.get(&format!("/api/v1/people/{stolen}/records/CP1")).await;
    assert_eq!(reply.refusal(), (404, "unknown".to_owned()));
    let (mut browser, _) = log_in(&world, &hostile, "hanako").await;
    let html = browser.get(&world, "/me/now").await.text();
    for word in ["令和8年11月16日の計画", "入浴を 続ける", "以前の計画　令和8年5月11日", "転ばずに 歩く"]
    {
        assert!(html.contains(word), "{word}: {html}");
    }
    world.verify().await;
}

#[tokio::test]
async fn the_person_ends_an_office_at_once_and_both_are_told() {
    let (world, hostile) = open().await;
    let handle = world.register(Role::Helper, Person::Hanako).await;
    let helper = world.log_in(Role::Helper).await;
    let path = format!("/api/v1/people/{handle}/records/A3a");
    assert_eq!(helper.get(&path).await.status, StatusCode::OK);
    let (mut browser, _) = log_in(&world, &hostile, "hanako").await;
    assert!(browser.get(&world, "/me/offices").await.text().contains("ヘルパーステーションみほん"));
    let office = Role::Helper.organization().to_string();
    let reply = browser.submit(&world, "/me/offices", "/me/offices/end", &[("office", &office)]).await;
    assert_eq!(location(&reply), "/me/offices");
    assert!(!browser.get(&world, "/me/offices").await.text().contains("ヘルパーステーションみほん"));
    assert_eq!(helper.get(&path).await.refusal(), (404, "unknown".to_owned()));
    // Whom it was about the office may not be told any more.
    for (role, action) in [(Role::Helper, Value::Null), (Role::City, json!("register.end"))] {
        let notices = world.log_in(role).await.get("/api/v1/notices").await.json();
        let notice = &notices["notices"][0];
        assert_eq!((&notice["kind"], &notice["facts"]["action"]), (&json!("person_acted"), &action), "{role:?}");
    }
    // An office that is not there, and one that has ended.
    for office in [office.as_str(), "9970000045", "x"] {
        let reply = browser.submit(&world, "/me/offices", "/me/offices/end", &[("office", office)]).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{office}");
    }
    world.verify().await;
}

#[tokio::test]
async fn family_looks_while_registered_is_seen_looking_and_does_nothing_else() {
    let (world, hostile) = open().await;
    world.register(Role::Helper, Person::Hanako).await;
    let mut daughter = daughter_looking(&world, &hostile, "family").await;
    let html = daughter.get(&world, "/me/now").await.text();
    assert!(html.contains("架空 花子 さんの情報を、家族として 見ています"), "{html}");
    let office = Role::Helper.organization().to_string();
    for (to, fields) in [
        ("/me/consent", vec![("act", "given")]),
        ("/me/offices/end", vec![("office", office.as_str())]),
        ("/me/family", vec![("family", "refuse")]),
    ] {
        let reply = daughter.submit(&world, "/me/now", to, &fields).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{to}");
        assert_eq!(crate::recorded::refusals(&world, &reply).await, ["proxy_scope"]);
    }
    // The person sees who looked, and who may.
    let (mut hanako, _) = log_in(&world, &hostile, "hanako").await;
    assert!(hanako.get(&world, "/me/looks").await.text().contains("<b>代理の方</b>が、"));
    let offices = hanako.get(&world, "/me/offices").await.text();
    assert!(offices.contains("架空　長子") && offices.contains("家族・長女"), "{offices}");
    // Refused: at once, and nobody of the family is registered any more until it is allowed again.
    let reply = hanako.submit(&world, "/me/offices", "/me/family", &[("family", "refuse")]).await;
    assert_eq!(location(&reply), "/me/offices");
    assert_eq!(location(&daughter.get(&world, "/me/now").await), "/me/whose");
    let handle = world.find(Person::Hanako).await;
    let (path, city_hall) = (format!("/api/v1/people/{handle}/proxies"), world.log_in(Role::City).await);
    let reply = city_hall.post(&path, self::daughter("family", "2026-12-31")).await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    assert_eq!(city_hall.post(&path, self::daughter("legal", "2026-12-31")).await.status, StatusCode::CREATED);
    hanako.submit(&world, "/me/offices", "/me/family", &[("family", "allow")]).await;
    assert_eq!(city_hall.post(&path, self::daughter("family", "2026-12-31")).await.status, StatusCode::CREATED);
    world.verify().await;
}

#[tokio::test]
async fn a_proxy_is_bound_to_name_and_birth_ends_on_its_day_and_is_ended_by_the_city_at_once() {
    let (world, hostile) = open().await;
    let (id, code) = register_proxy(&world, "voluntary").await;
    // Somebody else who found the code.
    let (mut finder, _) = log_in(&world, &hostile, "moved").await;
    let reply = finder.submit(&world, "/me/code", "/me/code", &[("code", &code)]).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    let (mut daughter, _) = log_in(&world, &hostile, "daughter").await;
    daughter.submit(&world, "/me/code", "/me/code", &[("code", &code)]).await;
    // Next time 「どなたの情報を見ますか」 comes first.
    let (mut daughter, page) = log_in(&world, &hostile, "daughter").await;
    assert_eq!(page, "/me/whose");
    assert_eq!(location(&daughter.get(&world, "/me/now").await), "/me/whose");
    let whose = daughter.get(&world, "/me/whose").await.text();
    assert!(whose.contains("架空 花子 さん（任意後見人として）"), "{whose}");
    let wrong = daughter.submit(&world, "/me/whose", "/me/whose", &[("whose", "0")]).await;
    assert_eq!(wrong.status, StatusCode::NOT_FOUND);
    assert_eq!(location(&daughter.submit(&world, "/me/whose", "/me/whose", &[("whose", &id)]).await), "/me/now");
    // A 任意後見人 may withdraw consent; city and office are told, and the person reads it.
    let planner = world.register(Role::Planner, Person::Hanako).await;
    let reply = daughter.submit(&world, "/me/consent", "/me/consent", &[("act", "withdrawn")]).await;
    assert_eq!(location(&reply), "/me/consent");
    for role in [Role::City, Role::Planner] {
        let notices = world.log_in(role).await.get("/api/v1/notices").await.json();
        assert_eq!(notices["notices"][0]["facts"]["by"], json!("voluntary"), "{role:?} {planner}");
    }
    let handle = world.find(Person::Hanako).await;
    let city_hall = world.log_in(Role::City).await;
    let listed = city_hall.get(&format!("/api/v1/people/{handle}/proxies")).await.json();
    assert_eq!(listed["registrations"][0]["proxy"]["document_number"], json!("12-34"));
    let reply = city_hall.delete(&format!("/api/v1/people/{handle}/proxies/{id}")).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text());
    assert_eq!(location(&daughter.get(&world, "/me/now").await), "/me/whose");
    // One that nobody ended ends on its day.
    let mut daughter = daughter_looking(&world, &hostile, "family").await;
    assert_eq!(daughter.get(&world, "/me/now").await.status, StatusCode::OK);
    world.pass(38 * 24 * 3600).await;
    assert_eq!(log_in(&world, &hostile, "daughter").await.1, "/me/code");
}

/// The registrations of Hanako for herself, as the city sees them.
async fn own_registrations(world: &World) -> Vec<Value> {
    let handle = world.find(Person::Hanako).await;
    let listed = world.log_in(Role::City).await.get(&format!("/api/v1/people/{handle}/proxies")).await.json();
    listed["registrations"].as_array().unwrap().iter().filter(|one| one["role"] == json!("person")).cloned().collect()
}

#[tokio::test]
async fn what_the_city_ended_or_a_code_replaced_opens_again_only_by_a_new_code() {
    let (world, hostile) = open().await;
    let (mut former, page) = log_in(&world, &hostile, "hanako").await;
    assert_eq!(page, "/me/now");
    let handle = world.find(Person::Hanako).await;
    let id = own_registrations(&world).await[0]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/people/{handle}/proxies/{id}");
    assert_eq!(world.log_in(Role::City).await.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(location(&former.get(&world, "/me/now").await), "/me/whose");
    let (mut again, page) = log_in(&world, &hostile, "hanako").await;
    assert_eq!(page, "/me/code", "the same four items, the same log-in");
    hostile.change(|state| {
        state.people.insert("another card".to_owned(), claims(Person::Hanako, ADDRESS));
    });
    assert_eq!(log_in(&world, &hostile, "another card").await.1, "/me/code", "the same four items, another log-in");
    let code = code_for(&world, Person::Hanako).await;
    assert_eq!(location(&again.submit(&world, "/me/code", "/me/code", &[("code", &code)]).await), "/me/now");
    assert_eq!(log_in(&world, &hostile, "hanako").await.1, "/me/now", "by the code");
    world.verify().await;
    // Without the city ending anything: another log-in takes the place by a code.
    let (world, hostile) = open().await;
    assert_eq!(log_in(&world, &hostile, "hanako").await.1, "/me/now");
    let (mut moved, _) = log_in(&world, &hostile, "moved").await;
    let code = code_for(&world, Person::Hanako).await;
    assert_eq!(location(&moved.submit(&world, "/me/code", "/me/code", &[("code", &code)]).await), "/me/now");
    assert_eq!(log_in(&world, &hostile, "hanako").await.1, "/me/code", "replaced");
    assert_eq!(moved.get(&world, "/me/now").await.status, StatusCode::OK);
    world.verify().await;
}

#[tokio::test]
async fn whoever_fitted_nobody_is_not_looked_for_again_for_five_minutes() {
    let (world, hostile) = open().await;
    assert_eq!(log_in(&world, &hostile, "moved").await.1, "/me/code");
    hostile.change(|state| {
        state.people.insert("moved".to_owned(), claims(Person::Hanako, ADDRESS));
    });
    assert_eq!(log_in(&world, &hostile, "moved").await.1, "/me/code");
    world.pass(300).await;
    assert_eq!(log_in(&world, &hostile, "moved").await.1, "/me/now");
    world.verify().await;
}

#[tokio::test]
async fn the_log_to_take_away_is_made_once_at_a_time_for_a_log_in() {
    let (world, hostile) = open().await;
    let (browser, _) = log_in(&world, &hostile, "hanako").await;
    let ask = async || browser.clone().get(&world, "/me/looks.json").await.status;
    let mut turned_away = false;
    for _ in 0..50 {
        // Nothing is recorded while another writes, so the first is still being made when the second comes.
        let writing = world.platform.store().begin().await.unwrap();
        let go_on = async {
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
            drop(writing);
        };
        let (one, other, ()) = tokio::join!(ask(), ask(), go_on);
        assert!([one, other].contains(&StatusCode::OK), "{one} {other}");
        turned_away = [one, other].contains(&StatusCode::TOO_MANY_REQUESTS);
        if turned_away {
            break;
        }
    }
    assert!(turned_away, "one of two at once");
    assert_eq!(ask().await, StatusCode::OK, "and then again");
    world.verify().await;
}

#[tokio::test]
async fn a_new_log_in_ends_the_one_of_the_same_browser() {
    let (world, hostile) = open().await;
    let (mut browser, _) = log_in(&world, &hostile, "hanako").await;
    let mut kept = browser.clone();
    let address = browser.begin(&world).await;
    browser.come_back(&world, &hostile.agree("hanako", &address)).await;
    assert_eq!(browser.get(&world, "/me/now").await.status, StatusCode::OK);
    assert_eq!(location(&kept.get(&world, "/me/now").await), "/me", "nobody logs it out any more");
    world.verify().await;
}

#[tokio::test]
async fn two_first_log_ins_at_once_leave_one_registration() {
    let (world, hostile) = open().await;
    hostile.change(|state| {
        state.people.insert("another card".to_owned(), claims(Person::Hanako, ADDRESS));
    });
    tokio::join!(log_in(&world, &hostile, "hanako"), log_in(&world, &hostile, "another card"));
    let live = own_registrations(&world).await.iter().filter(|one| one["ended_at"].is_null()).count();
    assert_eq!(live, 1);
    world.verify().await;
}

/// A relative who has the card and its number is seen by the person at the next log-in (T-2).
#[tokio::test]
async fn what_was_done_as_the_person_at_another_time_is_seen_with_its_time() {
    let (world, hostile) = open().await;
    let (mut relative, _) = log_in(&world, &hostile, "hanako").await;
    relative.get(&world, "/me/now").await;
    relative.submit(&world, "/me/consent", "/me/consent", &[("act", "given")]).await;
    world.pass(3_600).await;
    let (mut hanako, _) = log_in(&world, &hostile, "hanako").await;
    hanako.get(&world, "/me/now").await;
    let html = hanako.get(&world, "/me/looks").await.text();
    let own: Vec<&str> = html.split("<li").filter(|line| line.contains("<b>あなたのログイン</b>")).collect();
    let at =
        |time: &str| own.iter().filter(|line| line.contains(time)).map(|line| (*line).to_owned()).collect::<String>();
    let (former, present) = (at("10時"), at("11時"));
    for words in ["見られるように ログインしました", "被保険者証", "同意について 登録しました"]
    {
        assert!(former.contains(words), "{words}: {html}");
    }
    assert!(present.contains("見られるように ログインしました") && !present.contains("被保険者証"), "{html}");
    assert!(!html.contains("1つの 事業所"), "no office looked: {html}");
    world.verify().await;
}

#[tokio::test]
async fn what_a_proxy_is_registered_with_is_checked_and_another_city_registers_nobody() {
    let (world, _hostile) = open().await;
    let handle = world.find(Person::Hanako).await;
    let (path, city_hall) = (format!("/api/v1/people/{handle}/proxies"), world.log_in(Role::City).await);
    for (item, value) in [
        ("role", json!("person")),
        ("name", json!(" ")),
        ("relation", json!("")),
        ("document", json!("")),
        ("document_date", json!("2026-11-25")),
        ("ends_on", json!("2026-11-24")),
        ("ends_on", json!("2029-11-25")),
    ] {
        let mut ask = daughter("family", "2026-12-31");
        ask[item] = value;
        let reply = city_hall.post(&path, ask).await;
        assert_eq!((reply.refusal().0, &reply.json()["items"][0]["item"]), (422, &json!(item)), "{}", reply.text());
    }
    for role in [Role::OtherCity, Role::Planner, Role::Operator] {
        let handle = world.stolen_handle(role, Person::Hanako.key()).await;
        let client = world.log_in(role).await;
        let ask = daughter("family", "2026-12-31");
        assert_eq!(client.post(&format!("/api/v1/people/{handle}/proxies"), ask).await.refusal().0, 404, "{role:?}");
        let reply = client.post(&format!("/api/v1/people/{handle}/portal-codes"), json!({})).await;
        assert_eq!(reply.refusal().0, 404, "{role:?}");
    }
    world.verify().await;
}

/// A registration or log-in written or changed in the database opens nothing (T-9).
#[tokio::test]
async fn a_row_changed_in_the_database_opens_nothing() {
    use sqlx::Connection as _;
    let (world, hostile) = open().await;
    let (mut browser, _) = log_in(&world, &hostile, "hanako").await;
    assert_eq!(browser.get(&world, "/me/now").await.status, StatusCode::OK);
    let address = format!("sqlite:{}", world.dir.path().join("kiban.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&address).await.unwrap();
    for sql in ["UPDATE portal_grant SET role = 'legal'", "UPDATE portal_grant SET role = 'person', ends_on = 20991231"]
    {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        assert_eq!(location(&browser.get(&world, "/me/now").await), "/me/whose", "{sql}");
    }
    sqlx::query("UPDATE portal_session SET ends_at = ends_at + 1").execute(&mut connection).await.unwrap();
    assert_eq!(location(&browser.get(&world, "/me/now").await), "/me");
    connection.close().await.unwrap();
}

/// P-038: the other city says that Hanako came from here; her new number there.
async fn moved_to_the_other_city(world: &World, name: &str) -> PersonKey {
    let key = arrived_in_the_other_city(world, name).await;
    came_from_here(world, key).await;
    key
}

/// Hanako under a number of the other city, which does not say yet where she came from.
async fn arrived_in_the_other_city(world: &World, name: &str) -> PersonKey {
    let insurer = other_city();
    let key = PersonKey { insurer, insured: InsuredNumber::parse("0000000101").unwrap() };
    let mut insured = Insured { key, card_insurer: insurer, ..Person::Hanako.insured() };
    name.clone_into(&mut insured.identity.name);
    insured.identity.address = Some("見本県別市新町2-2".to_owned());
    let row = Entry { key, history: 1, change: Change::New, value: insured };
    upload_to_the_other_city(world, MunicipalPackage::new(insurer, world.now()).insured(&[row])).await;
    key
}

async fn came_from_here(world: &World, key: PersonKey) {
    let link = NumberLink { before: Person::Hanako.key(), changed_on: world.today(), reason: LinkReason::MovedIn };
    let row = Entry { key, history: 1, change: Change::New, value: link };
    upload_to_the_other_city(world, MunicipalPackage::new(key.insurer, world.now()).links(&[row])).await;
}

async fn upload_to_the_other_city(world: &World, package: MunicipalPackage) {
    let reply = world.log_in(Role::OtherCity).await.upload("/api/v1/packages", &package.finish().unwrap()).await;
    assert_eq!(reply.json()["state"], json!("applied"), "{}", reply.text());
}

#[tokio::test]
async fn somebody_renumbered_sees_the_records_under_the_number_before_and_a_namesake_does_not() {
    let (world, hostile) = open().await;
    let after = |name: &str| json!({ "name": name, "address": { "formatted": "見本県別市新町2-2" }, "birthdate": "1941-05-03", "gender": "female" });
    hostile.change(|state| drop(state.people.insert("moved".to_owned(), after("架空 花子"))));
    let registered = world.register(Role::Planner, Person::Hanako).await;
    let card = format!("/api/v1/people/{registered}/records/A3a");
    assert_eq!(world.log_in(Role::Planner).await.get(&card).await.status, StatusCode::OK);
    let new = moved_to_the_other_city(&world, "架空 花子").await;
    let (mut hanako, page) = log_in(&world, &hostile, "moved").await;
    assert_eq!(page, "/me/now");
    let html = hanako.get(&world, "/me/now").await.text();
    let link = "<a href=\"/me/earlier/1\">";
    assert!(
        html.contains(link) && html.contains("被保険者番号 0000000001。令和8年11月24日に 番号が 変わりました"),
        "{html}"
    );
    assert!(!html.contains("要介護２"), "no card under the new number yet");
    let html = hanako.get(&world, "/me/earlier/1").await.text();
    assert!(
        html.contains("前の番号のときの 情報です。") && html.contains("要介護２") && html.contains("1割"),
        "{html}"
    );
    for word in ["調査票", "意見書"] {
        assert!(!html.contains(word), "{word}: {html}");
    }
    // Who looked while it was her number: the office that registered her then, and what she does now under the new one is not in it.
    assert!(html.contains("href=\"/me/earlier/1/looks\""), "{html}");
    let looks = hanako.get(&world, "/me/earlier/1/looks").await.text();
    assert!(looks.contains("前の番号のときの 記録です。") && looks.contains("居宅介護支援事業所みほん"), "{looks}");
    assert!(!hanako.get(&world, "/me/looks").await.text().contains("居宅介護支援事業所みほん"));
    let log = hanako.get(&world, "/me/earlier/1/looks.json").await;
    assert_eq!((log.status, log.json()["insured"].clone()), (StatusCode::OK, json!("0000000001")), "{}", log.text());
    for place in ["2", "0", "-1", "x"] {
        for page in ["", "/looks", "/looks.json"] {
            let path = format!("/me/earlier/{place}{page}");
            assert_eq!(hanako.get(&world, &path).await.status, StatusCode::NOT_FOUND, "{path}");
        }
    }
    // Each look stands in the log of the number it was at; the cities see their own number's records only.
    let of_old = world.log_about(Person::Hanako.key()).await;
    assert!(of_old.iter().any(|(action, outcome, _)| action == "view" && outcome == "allowed"), "{of_old:?}");
    let stolen = world.stolen_handle(Role::OtherCity, Person::Hanako.key()).await;
    let reply = world.log_in(Role::OtherCity).await.get(&format!("/api/v1/people/{stolen}/records/A3a")).await;
    assert_eq!(reply.refusal().0, 404);
    assert_ne!(new, Person::Hanako.key());
    // 不開示 under the number before: where somebody lived is not told any more.
    let insured = Insured { withheld: true, ..Person::Hanako.insured() };
    let row = Entry { key: Person::Hanako.key(), history: 2, change: Change::New, value: insured };
    let files = MunicipalPackage::new(city(), world.now()).insured(&[row]).finish().unwrap();
    assert_eq!(world.log_in(Role::City).await.upload("/api/v1/packages", &files).await.status, StatusCode::OK);
    assert!(!hanako.get(&world, "/me/now").await.text().contains("/me/earlier/"));
    for page in ["", "/looks", "/looks.json"] {
        let path = format!("/me/earlier/1{page}");
        assert_eq!(hanako.get(&world, &path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    world.verify().await;
    // Kana, birth and sex are the same, the name is not: nobody is shown somebody else's records.
    let (world, hostile) = open().await;
    hostile.change(|state| drop(state.people.insert("moved".to_owned(), after("架空 華子"))));
    moved_to_the_other_city(&world, "架空 華子").await;
    let (mut namesake, page) = log_in(&world, &hostile, "moved").await;
    assert_eq!(page, "/me/now");
    assert!(!namesake.get(&world, "/me/now").await.text().contains("/me/earlier/"));
    assert_eq!(namesake.get(&world, "/me/earlier/1").await.status, StatusCode::NOT_FOUND);
    assert_eq!(namesake.get(&world, "/me/earlier/1/looks").await.status, StatusCode::NOT_FOUND);
    world.verify().await;
}

#[tokio::test]
async fn family_refused_under_the_number_before_stays_refused_until_the_person_allows_it_under_the_new_one() {
    let (world, hostile) = open().await;
    let (mut hanako, _) = log_in(&world, &hostile, "hanako").await;
    hanako.submit(&world, "/me/offices", "/me/family", &[("family", "refuse")]).await;
    let after = json!({ "name": "架空 花子", "address": { "formatted": "見本県別市新町2-2" }, "birthdate": "1941-05-03", "gender": "female" });
    hostile.change(|state| drop(state.people.insert("moved".to_owned(), after)));
    let new = moved_to_the_other_city(&world, "架空 花子").await;
    let handle = world.stolen_handle(Role::OtherCity, new).await;
    let (path, city_hall) = (format!("/api/v1/people/{handle}/proxies"), world.log_in(Role::OtherCity).await);
    // The new city did not know; whoever asks it for the family's sake is told twice.
    for _ in 0..2 {
        let reply = city_hall.post(&path, daughter("family", "2026-12-31")).await;
        assert_eq!(reply.refusal(), (409, "conflict".to_owned()), "{}", reply.text());
        assert!(reply.text().contains("家族には見せないと決めています"), "{}", reply.text());
    }
    // Of the others nothing was said.
    assert_eq!(city_hall.post(&path, daughter("legal", "2026-12-31")).await.status, StatusCode::CREATED);
    let (mut hanako, page) = log_in(&world, &hostile, "moved").await;
    assert_eq!(page, "/me/now");
    hanako.submit(&world, "/me/offices", "/me/family", &[("family", "allow")]).await;
    assert_eq!(city_hall.post(&path, daughter("family", "2026-12-31")).await.status, StatusCode::CREATED);
    world.verify().await;
}

/// T-2: whoever is kept out does not look again because the person moved. The new city knows that, not why, and decides anew.
#[tokio::test]
async fn a_proxy_blocked_under_the_number_before_is_blocked_under_the_new_one_until_its_city_lifts_it() {
    for is_known_before in [true, false] {
        let (world, hostile) = open().await;
        let (old, _) = register_proxy(&world, "legal").await;
        let old_city = format!("/api/v1/people/{}", world.find(Person::Hanako).await);
        let block = json!({
            "registration": old, "reason": "長男の申立て", "document": "申立書の写し", "document_date": "2026-11-19",
        });
        let reply = world.log_in(Role::City).await.post(&format!("{old_city}/proxy-blocks"), block).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
        // The new city registers her before or after it says where Hanako came from.
        let key = arrived_in_the_other_city(&world, "架空 花子").await;
        if is_known_before {
            came_from_here(&world, key).await;
        }
        let city_hall = world.log_in(Role::OtherCity).await;
        let new_city = format!("/api/v1/people/{}", world.stolen_handle(Role::OtherCity, key).await);
        let reply = city_hall.post(&format!("{new_city}/proxies"), daughter("legal", "2026-12-31")).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
        let code = reply.json()["code"].as_str().unwrap().to_owned();
        let (mut browser, _) = log_in(&world, &hostile, "daughter").await;
        if !is_known_before {
            let reply = browser.submit(&world, "/me/code", "/me/code", &[("code", &code)]).await;
            assert_eq!(location(&reply), "/me/now", "nothing is known yet: {}", reply.text());
            came_from_here(&world, key).await;
            assert_eq!(location(&browser.get(&world, "/me/now").await), "/me/whose", "from the next request on");
        } else {
            let reply = browser.submit(&world, "/me/code", "/me/code", &[("code", &code)]).await;
            assert_ne!(location(&reply), "/me/now", "{}", reply.text());
        }
        let listed = city_hall.get(&format!("{new_city}/proxies")).await;
        let grants = listed.json()["registrations"].as_array().unwrap().clone();
        assert_eq!(grants.iter().filter(|one| one["blocked"] == json!(true)).count(), 1, "{}", listed.text());
        let carried: Vec<&Value> = grants.iter().filter(|one| one["role"] == json!("blocked")).collect();
        assert_eq!(carried.len(), 1, "{}", listed.text());
        assert!(listed.text().contains("前の番号のもとで止められています"), "{}", listed.text());
        assert!(!listed.text().contains("長男の申立て"), "why is between the old city and whom it concerns");
        // The new city decides that she goes on: it holds, though the old one's block is still there.
        let lift = format!("{new_city}/proxy-blocks/{}/lift", carried[0]["id"].as_str().unwrap());
        let reply = city_hall.post(&lift, json!({ "reason": "審判書で確かめた" })).await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text());
        let (mut browser, page) = log_in(&world, &hostile, "daughter").await;
        if is_known_before {
            let reply = browser.submit(&world, "/me/code", "/me/code", &[("code", &code)]).await;
            assert_eq!(location(&reply), "/me/now", "{}", reply.text());
        } else {
            assert_eq!(page, "/me/whose", "{page}");
        }
        let listed = city_hall.get(&format!("{new_city}/proxies")).await;
        assert!(!listed.text().contains("\"blocked\":true"), "{}", listed.text());
        world.verify().await;
    }
}

/// The sweep: every page of the person, for nobody, for somebody with nobody to look at, and for the person. A new page without a
/// line fails.
#[tokio::test]
async fn every_page_of_the_person_answers_as_it_should() {
    let (world, hostile) = open().await;
    let (mut empty, _) = log_in(&world, &hostile, "nobody").await;
    let (mut hanako, _) = log_in(&world, &hostile, "hanako").await;
    let mut nobody = PersonBrowser::default();
    let (who, key) = (Person::Hanako.insured().identity, Person::Hanako.key());
    let words = [who.name, who.kana, who.address.unwrap(), key.insured.to_string(), "花子".to_owned()];
    let own = Needle::new(&words);
    // Where nobody, somebody without anybody, and the person come to; a status where it is no redirect.
    let expected = |name: &str| -> [&str; 3] {
        match name {
            "person_entrance" => ["200", "/me/now", "/me/now"],
            "person_size" => ["404", "404", "404"],
            "person_log_in" => ["provider", "provider", "provider"],
            "person_callback" => ["400", "400", "400"],
            "person_now" | "person_looks" | "person_log" | "person_consent" | "person_offices" => {
                ["/me", "/me/whose", "200"]
            }
            "person_earlier" | "person_earlier_looks" | "person_earlier_log" => ["/me", "/me/whose", "404"],
            "person_consent_act" | "person_end_office" | "person_family" => ["/me", "/me/whose", "400"],
            "person_whose" => ["/me", "/me/code", "200"],
            "person_code" => ["/me", "200", "200"],
            "person_choose" | "person_use_code" | "person_log_out" => ["/me", "400", "400"],
            other => panic!("{other} has no line"),
        }
    };
    for page in PERSON_PAGES {
        let path = page.path.replace("{size}", "x").replace("{place}", "1");
        let browsers = [&mut nobody, &mut empty, &mut hanako];
        for (at, (who, wanted)) in browsers.into_iter().zip(expected(page.name)).enumerate() {
            let form = (page.method == Method::POST).then(String::new);
            let reply = who.send(&world, page.method.clone(), &path, form).await;
            let came = match location(&reply) {
                to if to.starts_with("https://localhost") => "provider".to_owned(),
                to if to.is_empty() => reply.status.as_u16().to_string(),
                to => to,
            };
            assert_eq!(came, wanted, "{} {}", page.name, reply.text());
            assert_eq!(reply.headers["cache-control"], "no-store", "{}", page.name);
            // Nobody but the person meets a word of the person.
            if at < 2 {
                assert_eq!(own.find(&reply.body), None, "{}", page.name);
            }
        }
    }
    world.verify().await;
}

#[tokio::test]
async fn the_type_has_three_sizes_that_the_browser_remembers() {
    let (world, _hostile) = open().await;
    let mut browser = PersonBrowser::default();
    assert!(!browser.get(&world, "/me").await.text().contains("class=\"size--"));
    browser.get(&world, "/me/size/largest").await;
    assert!(browser.get(&world, "/me").await.text().contains("class=\"size--largest\""));
    browser.get(&world, "/me/size/standard").await;
    assert!(!browser.get(&world, "/me").await.text().contains("class=\"size--"));
}
