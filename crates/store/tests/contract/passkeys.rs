//! パスキー: sealed for one account, a flag nobody takes away by hand, questions that are good once, and keys that go on beside a spoiled
//! row.

use crate::doors::account;
use crate::world::*;
use kiban_domain::Organization;
use kiban_store::{Account, NO_INSURER, Passkey, PasskeyPurpose, Tx};

fn passkey(id: &str) -> Passkey {
    Passkey {
        id: id.to_owned(),
        name: "事務所のパソコン".to_owned(),
        credential: vec![1; 32],
        key: vec![2; 77],
        counter: 3,
        made_at: at(0),
        used_at: None,
    }
}

async fn give(world: &World, account: &Account, passkey: &Passkey) {
    let put = async |tx: &mut Tx| {
        tx.put_account(account).await?;
        tx.put_passkey(account, passkey).await
    };
    world.write(put).await.unwrap();
}

async fn ids(world: &World, of: &Account) -> Vec<String> {
    let found = world.store.passkeys(of.organization, &of.staff.id).await.unwrap();
    found.into_iter().map(|passkey| passkey.id).collect()
}

#[tokio::test]
async fn a_passkey_is_read_back_for_its_own_account_and_not_where_it_was_copied_to() {
    on_each_engine(async |world| {
        let (own, other) = (account("own"), account("other"));
        give(&world, &own, &passkey("p1")).await;
        give(&world, &other, &passkey("p2")).await;
        let held = Account { has_passkey: true, ..own.clone() };
        assert_eq!(world.store.account(&own.staff.id).await.unwrap(), Some(held.clone()));
        assert!(held.asks_factor() && !own.asks_factor());
        let used = Passkey { counter: 4, used_at: Some(at(9)), ..passkey("p1") };
        world.write(async |tx| tx.put_passkey(&held, &used).await).await.unwrap();
        assert_eq!(world.store.passkeys(own.organization, &own.staff.id).await.unwrap(), [used]);
        let copy = "UPDATE passkey SET content = (SELECT p.content FROM passkey p WHERE p.passkey_id = 'p2')
             WHERE passkey_id = 'p1'";
        assert_eq!(world.by_hand(copy).await, 1);
        assert_eq!((ids(&world, &own).await.len(), ids(&world, &other).await.len()), (0, 1));
        // Moved to another account it is good for nobody.
        world.by_hand("UPDATE passkey SET staff_id = '4370100017/own' WHERE passkey_id = 'p2'").await;
        assert_eq!(ids(&world, &own).await.len(), 0);
        // The flag taken away by hand, the account is not there at all, rather than open with its password.
        world.by_hand("UPDATE staff SET has_passkey = (1 = 0) WHERE staff_id = '4370100017/own'").await;
        assert_eq!(world.store.account(&own.staff.id).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn the_flag_goes_with_the_last_one_and_a_row_taken_away_by_hand_leaves_it() {
    on_each_engine(async |world| {
        let own = account("own");
        give(&world, &own, &passkey("p1")).await;
        let held = Account { has_passkey: true, ..own.clone() };
        world.write(async |tx| tx.put_passkey(&held, &passkey("p2")).await).await.unwrap();
        let drop = async |id: &str, is_last: bool| {
            world.write(async |tx| tx.drop_passkey(&held, id, is_last).await).await.unwrap()
        };
        let asks = async || world.store.account(&own.staff.id).await.unwrap().unwrap().asks_factor();
        assert!(drop("p1", false).await && !drop("p1", true).await && asks().await);
        assert!(drop("p2", true).await && !asks().await);
        give(&world, &own, &passkey("p3")).await;
        world.by_hand("DELETE FROM passkey").await;
        assert!(asks().await);
        world.write(async |tx| tx.drop_passkeys(&held).await).await.unwrap();
        assert!(!asks().await);
    })
    .await;
}

#[tokio::test]
async fn a_question_is_taken_once_for_its_log_in_and_purpose_while_it_is_young() {
    on_each_engine(async |world| {
        use PasskeyPurpose::{LogIn, Make, Prove};
        let organization = Organization::Office(office());
        let ask = async |session: &str, purpose: PasskeyPurpose, nonce: u8| {
            let put = async |tx: &mut Tx| tx.ask_passkey((organization, session), purpose, [nonce; 32], at(60)).await;
            world.write(put).await.unwrap()
        };
        let take = async |session: &str, purpose: PasskeyPurpose, since: i64| {
            let take = async |tx: &mut Tx| tx.take_passkey_challenge((organization, session), purpose, at(since)).await;
            world.write(take).await.unwrap()
        };
        let first = ask("a", LogIn, 1).await;
        assert_eq!((take("a", Prove, 0).await, take("b", LogIn, 0).await), (None, None));
        assert_eq!(take("a", LogIn, 59).await, Some(first));
        assert_eq!(take("a", LogIn, 59).await, None, "once");
        // The same random bytes are another challenge for everything else.
        let others = [ask("a", Make, 1).await, ask("a", Prove, 1).await, ask("b", LogIn, 1).await];
        assert!(others.iter().all(|other| *other != first));
        assert_eq!(take("a", Make, 60).await, None, "too old, and taken all the same");
        assert_eq!(take("a", Make, 0).await, None);
        let next = ask("b", LogIn, 2).await;
        assert_eq!(take("b", LogIn, 0).await, Some(next), "in place of the one before");
        let forget =
            async |before: i64| world.write(async |tx| tx.forget_passkey_challenges(at(before)).await).await.unwrap();
        assert_eq!((forget(60).await, forget(61).await), (0, 1));
    })
    .await;
}

#[tokio::test]
async fn one_spoiled_passkey_keeps_its_key_and_all_others_are_sealed_anew() {
    on_each_engine(async |world| {
        let accounts = ["a", "b", "c"].map(account);
        for (place, account) in accounts.iter().enumerate() {
            give(&world, account, &passkey(&format!("p{place}"))).await;
        }
        // Of its sealed bytes the end is cut: it says the old generation and opens under no key.
        world.by_hand("UPDATE passkey SET content = substr(content, 1, 20) WHERE passkey_id = 'p1'").await;
        world.store.rotate_data_key(NO_INSURER).await.unwrap();
        let cared = world.store.reseal(NO_INSURER, &mut |_| {}).await.unwrap();
        assert!(cared.done >= 5, "two passkeys and three names: {cared:?}");
        let under = async |generation: i64| {
            let hex = format!("{generation:08x}");
            let bytes = if world.is_postgres() { format!("decode('{hex}', 'hex')") } else { format!("X'{hex}'") };
            world.ask(&format!("SELECT count(*) FROM passkey WHERE substr(content, 2, 4) = {bytes}")).await
        };
        assert_eq!((under(1).await, under(2).await), (1, 2));
        assert_eq!(ids(&world, &accounts[0]).await, ["p0"]);
        assert_eq!(ids(&world, &accounts[1]).await, Vec::<String>::new());
        assert_eq!(ids(&world, &accounts[2]).await, ["p2"]);
        let again = world.store.reseal(NO_INSURER, &mut |_| {}).await.unwrap();
        assert_eq!((again.done, again.kept), (0, 1), "its key stays for it");
    })
    .await;
}
