//! 第二要素: a secret of one's own account only, codes that are good once, and a factor nobody takes away by hand.

use crate::doors::account;
use crate::world::*;
use kiban_domain::Organization;
use kiban_store::{Account, Tx};
use zeroize::Zeroizing;

fn codes() -> Vec<Zeroizing<String>> {
    ["AAAABBBBCCCC", "DDDDEEEEFFFF"].map(|code| Zeroizing::new(code.to_owned())).into()
}

async fn set(world: &World, account: &Account, secret: Option<&[u8]>) {
    let codes = if secret.is_some() { codes() } else { vec![] };
    let put = async |tx: &mut Tx| {
        tx.put_account(account).await?;
        tx.set_totp(account, secret, &codes).await
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
        assert_eq!(known, Account { has_totp: true, ..own.clone() });
        let secret = async |of: &Account| world.store.totp_secret(&of.staff.id).await;
        assert_eq!(secret(&own).await.unwrap().unwrap().as_slice(), b"geheim geheim geheim");
        // A change of the password leaves it.
        let changed = Account { password_hash: "$argon2id$neu".to_owned(), ..known };
        world.write(async |tx| tx.put_account(&changed).await).await.unwrap();
        assert_eq!(secret(&own).await.unwrap().unwrap().as_slice(), b"geheim geheim geheim");
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
