//! What a log-in costs (T-34, T-35): one argon2id call, counted, whoever asks and whatever is wrong; and what is over of the log-ins goes.

use crate::world::{COLLEAGUE, PASSWORD, Role, World};
use serde_json::json;
use sqlx::{Connection as _, Row as _, SqliteConnection};

#[tokio::test]
async fn an_unknown_account_a_wrong_password_and_the_right_one_cost_one_computation_each_and_a_locked_terminal_none() {
    let world = World::new().await;
    let terminal = world.with_certificate(Role::Helper);
    let cost = async |account: &str, password: &str| {
        let before = world.platform.password_computations();
        let reply = terminal.post("/api/v1/session", json!({ "account": account, "password": password })).await;
        (reply.status.as_u16(), reply.code(), world.platform.password_computations() - before)
    };
    let wrong = (401, "wrong_password".to_owned(), 1);
    assert_eq!(cost("nobody", "chigau-aikotoba-9").await, wrong, "an unknown account");
    assert_eq!(cost("no such/account!", "chigau-aikotoba-9").await, wrong, "what is no account at all");
    assert_eq!(cost("staff1", "chigau-aikotoba-9").await, wrong, "a wrong password");
    assert_eq!(cost("staff1", PASSWORD).await, (200, String::new(), 1), "the right one");
    let office = Role::Helper.organization();
    world.platform.switch_account_locally(office, COLLEAGUE, false, &world.context()).await.unwrap();
    assert_eq!(cost(COLLEAGUE, PASSWORD).await, wrong, "a stopped account");
    // Who waits is told so by the count, before any password is compared: the same for an account that is none.
    for account in ["staff1", "nobody"] {
        while cost(account, "chigau-aikotoba-9").await == wrong {}
        let locked = (401, "locked".to_owned(), 0);
        assert_eq!(cost(account, "chigau-aikotoba-9").await, locked, "{account}");
        assert_eq!(cost(account, PASSWORD).await, locked, "{account}");
    }
    world.verify().await;
}

async fn sessions(world: &World) -> i64 {
    let address = format!("sqlite:{}", world.dir.path().join("kiban.db").display());
    let mut connection = SqliteConnection::connect(&address).await.unwrap();
    let row = sqlx::query("SELECT COUNT(*) AS many FROM session").fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    row.get("many")
}

#[tokio::test]
async fn log_ins_that_are_over_are_deleted_thirty_days_later_and_the_last_one_stays_in_the_list() {
    let world = World::new().await;
    let chief = world.log_in(Role::Helper).await;
    let first = world.log_in_colleague(Role::Helper).await;
    world.pass(60).await;
    let second = world.log_in_colleague(Role::Helper).await;
    assert_eq!(first.delete("/api/v1/session").await.status.as_u16(), 204);
    let last = async || {
        let path = format!("/api/v1/organizations/{}/accounts", Role::Helper.organization());
        let list = chief.get(&path).await.json();
        let line =
            list["accounts"].as_array().unwrap().iter().find(|line| line["account"] == COLLEAGUE).unwrap().clone();
        line["last_log_in"].clone()
    };
    let known = last().await;
    let keep_house = async || world.platform.keep_house(&world.context()).await.unwrap();
    let all = sessions(&world).await;
    keep_house().await;
    assert_eq!(sessions(&world).await, all, "nothing on the day");
    assert_eq!(second.get("/api/v1/people").await.status.as_u16(), 200);
    // A log-in is over eight hours after it was opened, whatever is done.
    world.pass(8 * 3_600 + 30 * 24 * 3_600 - 61).await;
    keep_house().await;
    assert_eq!(sessions(&world).await, all, "not before the thirtieth day is over");
    world.pass(2).await;
    keep_house().await;
    assert_eq!(sessions(&world).await, all - 1, "the first of the colleague");
    world.forget_log_ins();
    let chief = world.log_in(Role::Helper).await;
    let path = format!("/api/v1/organizations/{}/accounts", Role::Helper.organization());
    assert!(chief.get(&path).await.text().contains(known.as_str().unwrap()), "when the colleague was here last");
    world.verify().await;
}
