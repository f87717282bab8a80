//! 掲示 and セキュリティ点検.

use crate::world::*;
use kiban_domain::Organization;
use kiban_domain::announcement::{Announcement, Audience};
use kiban_domain::dates::Period;
use kiban_domain::office::StaffId;
use kiban_store::SelfCheck;

fn announcement(id: &str, made: i64, from: i8, to: i8) -> Announcement {
    let day = |day| kiban_domain::Date::constant(2026, 12, day);
    Announcement {
        id: id.to_owned(),
        audience: Audience::Offices,
        title: "見本の停止".to_owned(),
        body: "1行目\n2行目".to_owned(),
        period: Period::new(day(from), Some(day(to))).unwrap(),
        made_by: StaffId("operator/staff1".to_owned()),
        made_at: at(made),
        ended_at: None,
    }
}

#[tokio::test]
async fn an_announcement_is_shown_from_its_first_to_its_last_day_until_it_is_taken_down() {
    on_each_engine(async |world| {
        let (first, second) = (announcement("a1", 1, 1, 3), announcement("a2", 2, 3, 9));
        world.write(async |tx| tx.put_announcement(&first).await).await.unwrap();
        world.write(async |tx| tx.put_announcement(&second).await).await.unwrap();
        let shown = async |day| {
            let shown = world.store.announcements_of(kiban_domain::Date::constant(2026, 12, day)).await.unwrap();
            shown.into_iter().map(|one| one.id).collect::<Vec<_>>()
        };
        assert_eq!(shown(1).await, ["a1"]);
        assert_eq!(shown(3).await, ["a2", "a1"], "newest first, and the last day counts");
        assert!(shown(10).await.is_empty());
        assert!(world.write(async |tx| tx.end_announcement("a1", at(9)).await).await.unwrap());
        assert!(!world.write(async |tx| tx.end_announcement("a1", at(10)).await).await.unwrap(), "once");
        assert!(!world.write(async |tx| tx.end_announcement("a9", at(10)).await).await.unwrap(), "none");
        assert_eq!(shown(3).await, ["a2"]);
        let ended = Announcement { ended_at: Some(at(9)), ..first };
        assert_eq!(world.store.announcement("a1").await.unwrap(), Some(ended.clone()));
        assert_eq!(world.store.announcements(10).await.unwrap(), [second, ended]);
    })
    .await;
}

#[tokio::test]
async fn who_can_write_to_the_database_alone_does_not_speak_for_the_operator() {
    on_each_engine(async |world| {
        let one = announcement("a1", 1, 1, 3);
        world.write(async |tx| tx.put_announcement(&one).await).await.unwrap();
        for (damage, repair) in [
            ("body = 'この番号に電話してください'", "body = '1行目\n2行目'"),
            ("audience = 'all'", "audience = 'offices'"),
            ("shown_to = 20271231", "shown_to = 20261203"),
        ] {
            world.by_hand(&format!("UPDATE announcement SET {damage}")).await;
            assert!(world.store.announcements(10).await.unwrap().is_empty(), "{damage}");
            world.by_hand(&format!("UPDATE announcement SET {repair}")).await;
            assert_eq!(world.store.announcements(10).await.unwrap(), std::slice::from_ref(&one));
        }
        // Nor brings it back what was taken down.
        world.write(async |tx| tx.end_announcement("a1", at(9)).await).await.unwrap();
        world.by_hand("UPDATE announcement SET ended_at = NULL").await;
        assert!(world.store.announcements(10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn each_self_check_of_an_organisation_is_kept() {
    on_each_engine(async |world| {
        let (mine, other) = (Organization::Office(office()), Organization::Municipality(insurer()));
        let check = |made: i64| SelfCheck {
            made_at: at(made),
            made_by: StaffId("staff".to_owned()),
            edition: "2026-11".to_owned(),
            answers: format!("{{\"K-01\":{made}}}"),
        };
        for made in [1, 2] {
            world.write(async |tx| tx.put_self_check(mine, &check(made)).await).await.unwrap();
        }
        assert_eq!(world.store.self_checks(mine, 1).await.unwrap(), [check(2)]);
        assert_eq!(world.store.self_checks(mine, 10).await.unwrap(), [check(2), check(1)]);
        assert!(world.store.self_checks(other, 10).await.unwrap().is_empty());
    })
    .await;
}
