//! 第二要素: a secret of one's own account only, codes that are good once, and a factor nobody takes away by hand.

use crate::doors::account;
use crate::world::*;
use kiban_domain::Organization;
use kiban_store::{Account, SecondFactor, Tx};
use zeroize::Zeroizing;

fn codes() -> Vec<Zeroizing<String>> {
    ["AAAABBBBCCCC", "DDDDEEEEFFFF"].map(|code| Zeroizing::new(code.to_owned())).into()
}

async fn set(world: &World, account: &Account, secret: Option<&[u8]>) {
    let app = secret.map(|secret| SecondFactor::App(Zeroizing::new(secret.to_vec())));
    set_factor(world, account, app.as_ref()).await;
}

async fn set_factor(world: &World, account: &Account, factor: Option<&SecondFactor>) {
    let codes = if factor.is_some() { codes() } else { vec![] };
    let put = async |tx: &mut Tx| {
        tx.put_account(account).await?;
        tx.set_factor(account, factor, &codes).await
    };
    world.write(put).await.unwrap();
}

#[tokio::test]
async fn a_secret_is_read_back_for_its_own_account_and_not_where_it_was_copied_to() {
    on_each_engine(async |world| {
        let (own, other) = (account("own"), account("other"));
        set(&world, &own, Some(b"geheim geheim geheim")).await;
        set(&world, &other, Some(b"anders anders anders")).await;
        let known = world.store.account(&own.staff.id).await.unwrap().unwrap();
        assert_eq!(known, Account { has_factor: true, ..own.clone() });
        let secret = async |of: &Account| world.store.second_factor(&of.staff.id).await;
        let app = SecondFactor::App(Zeroizing::new(b"geheim geheim geheim".to_vec()));
        assert!(secret(&own).await.unwrap() == Some(app.clone()));
        // A change of the password leaves it.
        let changed = Account { password_hash: "$argon2id$neu".to_owned(), ..known };
        world.write(async |tx| tx.put_account(&changed).await).await.unwrap();
        assert!(secret(&own).await.unwrap() == Some(app));
        let copy = "UPDATE staff SET totp = (SELECT s.totp FROM staff s WHERE s.staff_id = '4370100017/other')
             WHERE staff_id = '4370100017/own'";
        assert_eq!(world.by_hand(copy).await, 2 - 1);
        assert!(secret(&own).await.is_err(), "sealed for another account");
        // Taken away by hand the account is not there at all, rather than open with its password.
        world.by_hand("UPDATE staff SET totp = NULL WHERE staff_id = '4370100017/other'").await;
        assert_eq!(world.store.account(&other.staff.id).await.unwrap(), None);
        set(&world, &own, None).await;
        assert_eq!(world.store.account(&own.staff.id).await.unwrap(), Some(own.clone()));
        assert!(secret(&own).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_step_and_a_recovery_code_are_good_once() {
    on_each_engine(async |world| {
        let (own, other) = (account("own"), account("other"));
        let organization = Organization::Office(office());
        set(&world, &own, Some(b"geheim geheim geheim")).await;
        set(&world, &other, Some(b"anders anders anders")).await;
        let step = async |of: &Account, step: i64| {
            world.write(async |tx| tx.use_step(organization, &of.staff.id, step).await).await.unwrap()
        };
        assert_eq!([step(&own, 7).await, step(&own, 7).await, step(&own, 6).await], [true, false, false]);
        assert_eq!([step(&own, 8).await, step(&other, 7).await], [true, true]);
        let recover = async |of: &Account, code: &str| {
            world.write(async |tx| tx.use_recovery_code(organization, &of.staff.id, code).await).await.unwrap()
        };
        let left = async || world.store.recovery_codes_left(organization, &own.staff.id).await.unwrap();
        assert_eq!((recover(&own, "XXXXBBBBCCCC").await, left().await), (false, 2));
        assert_eq!((recover(&own, "AAAABBBBCCCC").await, left().await), (true, 1));
        assert_eq!((recover(&own, "AAAABBBBCCCC").await, left().await), (false, 1));
        assert!(recover(&other, "AAAABBBBCCCC").await, "everybody has their own");
        assert_eq!(world.ask("SELECT count(*) FROM recovery_code WHERE length(digest) = 32").await, 2);
    })
    .await;
}

#[tokio::test]
async fn an_address_is_sealed_and_read_back_and_its_length_is_not_told() {
    on_each_engine(async |world| {
        let (own, other) = (account("own"), account("other"));
        let mail = |address: &str| SecondFactor::Mail(Zeroizing::new(address.to_owned()));
        set_factor(&world, &own, Some(&mail("a@example.jp"))).await;
        // As long as the secret of an app.
        set_factor(&world, &other, Some(&mail("mihon@b20.example.jp"))).await;
        for (account, address) in [(&own, "a@example.jp"), (&other, "mihon@b20.example.jp")] {
            assert!(world.store.second_factor(&account.staff.id).await.unwrap() == Some(mail(address)));
            assert!(world.store.account(&account.staff.id).await.unwrap().unwrap().has_factor);
        }
        assert_eq!(world.ask("SELECT count(DISTINCT length(totp)) FROM staff WHERE totp IS NOT NULL").await, 1);
    })
    .await;
}

#[tokio::test]
async fn an_address_sealed_like_a_secret_as_before_is_read_and_goes_under_its_own_purpose_when_set_again() {
    on_each_engine(async |world| {
        let own = account("own");
        let mail = SecondFactor::Mail(Zeroizing::new("a@example.jp".to_owned()));
        set_factor(&world, &own, Some(&mail)).await;
        let keys = world.store.platform_keys().await.unwrap();
        let mut address = b"a@example.jp".to_vec();
        address.resize(320, 0);
        let old = keys.seal(&[b"totp", own.staff.id.0.as_bytes()], &address);
        let hex: String = old.iter().map(|byte| format!("{byte:02x}")).collect();
        let value = if world.is_postgres() { format!("decode('{hex}', 'hex')") } else { format!("X'{hex}'") };
        world.by_hand(&format!("UPDATE staff SET totp = {value}")).await;
        assert!(world.store.second_factor(&own.staff.id).await.unwrap() == Some(mail.clone()));
        // What stands under the purpose of an address is never the secret of an app.
        let secret = keys.seal(&[b"mail_factor", own.staff.id.0.as_bytes()], b"geheim geheim geheim");
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let value = if world.is_postgres() { format!("decode('{hex}', 'hex')") } else { format!("X'{hex}'") };
        world.by_hand(&format!("UPDATE staff SET totp = {value}")).await;
        let read = world.store.second_factor(&own.staff.id).await;
        assert!(matches!(read, Ok(Some(SecondFactor::Mail(_))) | Err(_)));
    })
    .await;
}

#[tokio::test]
async fn a_mailed_code_is_good_once_for_a_while_and_for_some_tries_and_the_next_takes_its_place() {
    on_each_engine(async |world| {
        let (own, organization) = (account("own"), Organization::Office(office()));
        let minute = |minutes: i64| at(60 * minutes);
        let send = async |text: &str, when: i64, most: i32| {
            let hour = (minute(when - 60), most);
            let whose = (organization, &own.staff.id, "this terminal");
            let put = async |tx: &mut Tx| tx.put_mail_code(whose, text, minute(when), hour).await;
            world.write(put).await.unwrap()
        };
        let take = async |text: &str, when: i64| {
            let limits = (minute(when - 10), 2);
            let whose = (organization, &own.staff.id, "this terminal");
            world.write(async |tx| tx.use_mail_code(whose, text, limits).await).await.unwrap()
        };
        assert!(!take("one", 0).await, "none was sent");
        assert!(send("one", 0, 3).await && send("two", 1, 3).await);
        assert_eq!([take("one", 1).await, take("two", 1).await, take("two", 1).await], [false, true, false]);
        assert!(send("three", 2, 3).await);
        assert_eq!([take("x", 2).await, take("x", 2).await, take("three", 2).await], [false, false, false]);
        // Not more than three within the hour; the one before stays as it is.
        assert!(!send("four", 59, 3).await && !take("four", 59).await);
        assert!(send("five", 60, 3).await);
        assert!(!take("five", 70).await, "ten minutes later");
        assert!(send("six", 70, 3).await && take("six", 79).await);
        // Another terminal has codes and an hour of its own.
        let elsewhere = (organization, &own.staff.id, "another terminal");
        let put = async |tx: &mut Tx| tx.put_mail_code(elsewhere, "theirs", minute(80), (minute(20), 1)).await;
        assert!(send("seven", 80, 3).await && world.write(put).await.unwrap());
        let take_there = async |text: &str| {
            world.write(async |tx| tx.use_mail_code(elsewhere, text, (minute(70), 2)).await).await.unwrap()
        };
        assert!(!take_there("seven").await && !take("theirs", 80).await && take("seven", 80).await);
        assert_eq!(world.ask("SELECT count(*) FROM mail_code WHERE digest IS NULL").await, 1, "the one that was used");
    })
    .await;
}
