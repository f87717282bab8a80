//! 職員ごとの閲覧の停止 (P-014): an administrator hides a person, or kinds of it, from one of the staff, in the browser and over the API, and
//! reads the list of all of it.

use crate::pages::{Browser, location};
use crate::world::{COLLEAGUE, Person, Role, World};
use axum::http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn an_administrator_hides_kinds_or_the_whole_person_from_one_of_the_staff_from_the_next_request_on() {
    let world = World::new().await;
    let handle = world.register(Role::Helper, Person::Hanako).await;
    let colleague = world.log_in_colleague(Role::Helper).await;
    let sees = async |kind: &str| {
        let reply = colleague.get(&format!("/api/v1/people/{handle}/records/{kind}")).await;
        (reply.status.as_u16(), reply.code())
    };
    let (open, off) = ((200, String::new()), (403, "switched_off".to_owned()));
    assert_eq!([sees("A3a").await, sees("A3b").await], [open.clone(), open.clone()]);
    let mut chief = Browser::logged_in(&world, Role::Helper).await;
    let page = format!("/admin/people/{COLLEAGUE}");
    assert!(chief.get(&page).await.text().contains("この人に見せる情報を選ぶ"));
    let list = chief.get(&format!("{page}/sees")).await.text();
    assert!(list.contains("見本 同僚 さんに見せる情報") && list.contains("架空 花子"), "{list}");
    let form = format!("{page}/sees/{handle}");
    let html = chief.get(&form).await.text();
    assert!(html.contains("value=\"A3b\" checked") && html.contains("value=\"A3c\" checked"), "{html}");
    // What is blank for the office is not named (P-041).
    assert!(!html.contains("主治医意見書") && !html.contains("認定調査票"), "{html}");
    // Without a tick it is hidden.
    let shown = [("person", "shown"), ("shown", "A3c")];
    assert_eq!(location(&chief.submit(&form, &form, &shown).await), format!("{page}/sees"));
    assert_eq!([sees("A3a").await, sees("A3b").await], [open.clone(), off.clone()]);
    let html = chief.get(&form).await.text();
    assert!(html.contains("value=\"A3c\" checked") && html.contains("value=\"A3b\">"), "{html}");
    let page_of_person = colleague.get(&format!("/api/v1/people/{handle}")).await.json();
    let kinds_of = |list: &str| {
        let kinds = page_of_person[list].as_array().unwrap().iter();
        kinds.map(|one| (one["kind"].clone(), one["rule"].clone())).collect::<Vec<_>>()
    };
    assert!(kinds_of("kinds").iter().all(|(kind, _)| *kind != json!("A3b")), "{page_of_person}");
    assert!(kinds_of("hidden").contains(&(json!("A3b"), json!("switched_off"))), "{page_of_person}");
    // Since when and by whom.
    let list = chief.get("/admin/switches").await.text();
    for words in ["見本 同僚", "架空 花子", "負担割合証", "令和8年11月24日 10時00分", "見本 職員"]
    {
        assert!(list.contains(words), "{words}: {list}");
    }
    assert!(chief.get(&format!("{page}/sees")).await.text().contains("負担割合証"));
    // The whole person: not even in the list of the colleague.
    assert_eq!(colleague.get("/api/v1/people").await.json()["people"].as_array().unwrap().len(), 1);
    chief.submit(&form, &form, &[("person", "hidden")]).await;
    assert_eq!(sees("A3a").await, off);
    assert_eq!(colleague.get("/api/v1/people").await.json()["people"], json!([]));
    assert!(chief.get("/admin/switches").await.text().contains("<div>すべて</div>"));
    // And all of it again.
    let html = chief.get(&form).await.text();
    let all: Vec<&str> =
        html.split("name=\"shown\" value=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let fields: Vec<(&str, &str)> =
        [("person", "shown")].into_iter().chain(all.into_iter().map(|kind| ("shown", kind))).collect();
    chief.submit(&form, &form, &fields).await;
    assert_eq!([sees("A3a").await, sees("A3b").await], [open.clone(), open]);
    assert!(chief.get("/admin/switches").await.text().contains("止めているものはありません。"));
    world.verify().await;
}

#[tokio::test]
async fn the_list_of_the_switches_is_paged_is_the_administrators_and_is_recorded() {
    let world = World::new().await;
    let handle = world.register(Role::Planner, Person::Hanako).await;
    world.assign(Role::Planner, Person::Hidden, false).await;
    let hidden = world.stolen_handle(Role::Planner, Person::Hidden.key()).await;
    let chief = world.log_in(Role::Planner).await;
    let set = async |handle: &str, body| chief.put(&format!("/api/v1/people/{handle}/staff/{COLLEAGUE}"), body).await;
    assert_eq!(set(&handle, json!({ "hidden": true, "kinds": ["C1", "E1"] })).await.status, StatusCode::NO_CONTENT);
    assert_eq!(set(&hidden, json!({ "hidden": true })).await.status, StatusCode::NO_CONTENT);
    for kinds in [json!(["A3a"]), json!(["G1"]), json!(["X9"])] {
        assert_eq!(
            set(&handle, json!({ "hidden": true, "kinds": kinds })).await.status,
            StatusCode::UNPROCESSABLE_ENTITY
        );
    }
    let first = chief.get("/api/v1/switches?limit=1").await.json();
    assert_eq!(first["switches"][0]["kinds"], json!(["C1", "E1"]));
    assert_eq!(first["switches"][0]["name"], json!("架空 花子"));
    let next = first["next"].as_str().unwrap();
    let second = chief.get(&format!("/api/v1/switches?limit=1&after={next}")).await.json();
    assert_eq!((&second["switches"][0]["kinds"], &second["switches"][0]["account"]), (&json!([]), &json!(COLLEAGUE)));
    let next = second["next"].as_str().unwrap();
    let third = chief.get(&format!("/api/v1/switches?limit=1&after={next}")).await.json();
    assert_eq!(third, json!({ "switches": [], "next": null }));
    let of_one = async |account: &str| {
        let reply = chief.get(&format!("/api/v1/switches?account={account}")).await.json();
        reply["switches"].as_array().unwrap().len()
    };
    assert_eq!((of_one(COLLEAGUE).await, of_one("staff1").await), (2, 0));
    // Others of the office are told that they may not; other offices see their own only.
    let colleague = world.log_in_colleague(Role::Planner).await;
    let refused = colleague.get("/api/v1/switches").await;
    assert_eq!(refused.refusal(), (403, "not_administrator".to_owned()));
    assert_eq!(crate::recorded::refusals(&world, &refused).await, ["not_administrator"]);
    let other = world.log_in(Role::Helper).await;
    assert_eq!(other.get("/api/v1/switches").await.json()["switches"], json!([]));
    let of_other = world.stolen_handle(Role::Helper, Person::Hanako.key()).await;
    let reply = chief.get(&format!("/api/v1/switches?after={of_other}.x")).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    let log = world.log_about(Person::Hanako.key()).await;
    assert!(log.iter().any(|(action, outcome, _)| action == "switches" && outcome == "allowed"), "{log:?}");
    world.verify().await;
}
