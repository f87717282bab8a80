//! Files through the door: the city's package and its receipt, as JSON and as a result file.

use crate::world::{Role, World, package};
use axum::http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn the_same_package_twice_gives_the_same_receipt() {
    let world = World::new().await;
    world.pass(1).await;
    let files = package(world.now());
    let city = world.log_in(Role::City).await;
    let first = city.upload("/api/v1/packages", &files).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    assert_eq!((&first.json()["state"], &first.json()["repeated"]), (&json!("applied"), &json!(false)));
    let second = city.upload("/api/v1/packages", &files).await.json();
    assert_eq!((&second["receipt"], &second["repeated"]), (&first.json()["receipt"], &json!(true)));
    let program = world.log_in(Role::CityProgram).await;
    assert_eq!(program.upload("/api/v1/packages", &files).await.json()["repeated"], json!(true));
    world.verify().await;
}

#[tokio::test]
async fn a_cut_package_is_refused_whole_and_its_result_file_says_where() {
    let world = World::new().await;
    world.pass(1).await;
    let mut files = package(world.now());
    let last = files.last_mut().unwrap();
    last.1.truncate(last.1.len() / 2);
    let city = world.log_in(Role::City).await;
    let reply = city.upload("/api/v1/packages", &files).await;
    assert_eq!(reply.refusal(), (422, "refused_files".to_owned()));
    let result = &reply.json()["result"];
    assert_eq!(result["state"], json!("refused"));
    let receipt = result["receipt"].as_str().unwrap();
    assert_eq!(&city.get(&format!("/api/v1/receipts/{receipt}")).await.json()["report"], &result["report"]);

    let file = city.get(&format!("/api/v1/receipts/{receipt}/result.csv")).await;
    assert_eq!(file.headers["content-type"], "text/csv; charset=utf-8");
    assert!(file.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
    let text = file.text();
    assert!(text.starts_with("\u{feff}区分,ファイル,行,列,項目,規則,内容\r\n結果,"), "{text}");
    assert!(text.lines().count() >= 3 && text.contains("エラー,"), "{text}");
    let other = world.log_in(Role::OtherCity).await;
    assert_eq!(other.get(&format!("/api/v1/receipts/{receipt}")).await.refusal(), (404, "unknown".to_owned()));
    world.verify().await;
}

#[tokio::test]
async fn another_citys_package_and_an_office_are_refused() {
    let world = World::new().await;
    let files = package(world.now());
    let reply = world.log_in(Role::OtherCity).await.upload("/api/v1/packages", &files).await;
    assert_eq!(reply.refusal(), (422, "refused_files".to_owned()));
    let reply = world.log_in(Role::Planner).await.upload("/api/v1/packages", &files).await;
    assert_eq!(reply.refusal(), (403, "not_writer".to_owned()));
}

#[tokio::test]
async fn a_form_without_files_or_of_noise_says_what_to_send() {
    let world = World::new().await;
    let city = world.log_in(Role::City).await;
    assert_eq!(city.upload("/api/v1/packages", &[]).await.refusal(), (422, "invalid".to_owned()));
    assert_eq!(city.post("/api/v1/packages", json!({})).await.refusal(), (415, "media_type".to_owned()));
    let noise = axum::body::Body::from("noise");
    let media = "multipart/form-data; boundary=x";
    let reply = city.send(axum::http::Method::POST, "/api/v1/packages", media, noise).await;
    assert_eq!(reply.refusal(), (400, "bad_multipart".to_owned()));
}
