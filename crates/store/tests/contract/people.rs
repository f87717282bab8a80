//! 被保険者: read back, found again in a disaster, hidden when withheld.

use crate::world::*;
use kiban_domain::insured::{LossReason, Sex};
use kiban_store::SearchTokens;

#[tokio::test]
async fn a_person_is_read_back_as_written_and_a_later_row_replaces_the_earlier_one() {
    on_each_engine(async |world| {
        assert_eq!(world.store.person(hanako()).await.unwrap(), None);
        world.put_person(1, &known_hanako()).await;
        let mut moved = known_hanako();
        moved.identity.address = Some("架空県虚構市霞町３丁目".to_owned());
        moved.lost = Some((day(20261130), LossReason::MovedOut));
        world.write(async |tx| tx.put_person(7, 2, &moved).await).await.unwrap();
        let (header, stored) = world.store.person(hanako()).await.unwrap().unwrap();
        assert_eq!(stored, moved);
        assert_eq!((header.revision, header.history_number, header.withheld), (7, 2, false));
        assert_eq!(header.digest, world.store.person_digest(&moved).await.unwrap());
        assert_ne!(header.digest, world.store.person_digest(&known_hanako()).await.unwrap());
        assert_eq!(world.store.count_people(insurer()).await.unwrap(), 1);
        assert_eq!(world.store.count_people(other_insurer()).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_person_is_found_by_name_and_birth_however_the_name_is_typed_and_not_at_another_insurer() {
    on_each_engine(async |world| {
        world.put_person(1, &known_hanako()).await;
        let keys = world.store.keys_of(insurer()).await.unwrap();
        let typed = [
            SearchTokens::kana_birth(&keys, "ｶｸｳ　ﾊﾅｺ", "19400203"),
            SearchTokens::kanji_birth(&keys, "架空花子", "19400203"),
            SearchTokens::kanji_sex(&keys, "架空　花子", Sex::Female),
            SearchTokens::kana_sex(&keys, "かくう はなこ", Sex::Female),
        ];
        for token in &typed {
            assert_eq!(world.store.find_by_token(insurer(), token).await.unwrap(), [hanako().insured]);
            assert!(world.store.find_by_token(other_insurer(), token).await.unwrap().is_empty());
        }
        let wrong_birth = SearchTokens::kana_birth(&keys, "カクウ ハナコ", "19400204");
        assert!(world.store.find_by_token(insurer(), &wrong_birth).await.unwrap().is_empty());
        let wrong_sex = SearchTokens::kana_sex(&keys, "カクウ ハナコ", Sex::Male);
        assert!(world.store.find_by_token(insurer(), &wrong_sex).await.unwrap().is_empty());
        // Another insurer's token of the same name is another token: lists cannot be joined.
        let elsewhere = world.store.keys_of(other_insurer()).await.unwrap();
        assert_ne!(typed[0], SearchTokens::kana_birth(&elsewhere, "カクウ ハナコ", "19400203"));
    })
    .await;
}

#[tokio::test]
async fn a_withheld_person_and_an_old_name_are_not_found_any_more() {
    on_each_engine(async |world| {
        world.put_person(1, &known_hanako()).await;
        let keys = world.store.keys_of(insurer()).await.unwrap();
        let old = SearchTokens::kana_birth(&keys, "カクウ ハナコ", "19400203");
        world.put_person(2, &insured(hanako(), "虚構 花子", "キヨコウ ハナコ")).await;
        assert!(world.store.find_by_token(insurer(), &old).await.unwrap().is_empty());
        let new = SearchTokens::kana_birth(&keys, "キョコウ ハナコ", "19400203");
        assert_eq!(world.store.find_by_token(insurer(), &new).await.unwrap(), [hanako().insured]);
        let mut hidden = insured(hanako(), "虚構 花子", "キヨコウ ハナコ");
        hidden.withheld = true;
        world.put_person(3, &hidden).await;
        assert!(world.store.find_by_token(insurer(), &new).await.unwrap().is_empty());
        assert!(world.store.person(hanako()).await.unwrap().unwrap().0.withheld);
    })
    .await;
}

#[tokio::test]
async fn an_unknown_number_costs_an_opening_too() {
    on_each_engine(async |world| world.store.open_dummy_identity(taro()).await.unwrap()).await;
}
