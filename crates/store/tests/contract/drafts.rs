//! 書きかけの主治医意見書.

use crate::world::*;
use kiban_store::OpinionDraft;

pub fn draft(version: i64, text: &str) -> OpinionDraft {
    OpinionDraft { version, saved_at: at(version), content: text.as_bytes().to_vec(), follows: Some("s1".to_owned()) }
}

#[tokio::test]
async fn a_draft_is_saved_only_over_the_version_it_was_made_from() {
    on_each_engine(async |world| {
        let save = async |before: Option<i64>, draft: OpinionDraft| {
            world.write(async |tx| tx.save_opinion_draft(hanako(), office(), before, &draft).await).await.unwrap()
        };
        assert!(!save(Some(7), draft(8, "だれの続きでもない")).await, "nothing to go on from");
        assert!(save(None, draft(1, "はじめ")).await);
        assert!(!save(None, draft(2, "ほかの画面のはじめ")).await, "one is there");
        assert!(save(Some(1), draft(3, "つづき")).await);
        assert!(!save(Some(1), draft(4, "古い画面のつづき")).await, "made from an older version");
        assert_eq!(world.store.opinion_draft(hanako(), office()).await.unwrap(), Some(draft(3, "つづき")));
        let drop = async || world.write(async |tx| tx.drop_opinion_draft(hanako(), office()).await).await.unwrap();
        assert!(drop().await && !drop().await);
        assert_eq!(world.store.opinion_draft(hanako(), office()).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_draft_nobody_wrote_on_for_a_while_goes_and_is_never_readable_in_the_database() {
    on_each_engine(async |world| {
        let old = draft(10, "架空の症状");
        world.write(async |tx| tx.save_opinion_draft(hanako(), office(), None, &old).await).await.unwrap();
        let forget = async |until| world.write(async |tx| tx.forget_opinion_drafts(until).await).await.unwrap();
        assert_eq!((forget(at(10)).await, forget(at(11)).await), (0, 1));
        assert_eq!(world.store.opinion_draft(hanako(), office()).await.unwrap(), None);
        // Sealed for one person: another person's row does not open.
        world.write(async |tx| tx.save_opinion_draft(hanako(), office(), None, &old).await).await.unwrap();
        world.by_hand("UPDATE opinion_draft SET insured_number = '0000000099'").await;
        let other = kiban_domain::PersonKey { insured: "0000000099".parse().unwrap(), ..hanako() };
        assert!(world.store.opinion_draft(other, office()).await.is_err());
    })
    .await;
}
