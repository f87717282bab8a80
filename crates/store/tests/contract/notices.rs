//! 知らせ: each addressee reads its own, once, and nobody without the keys reads what they tell.

use crate::world::*;
use kiban_domain::notice::NoticeKind;
use kiban_domain::office::StaffId;
use kiban_domain::{Organization, PersonKey};
use kiban_store::{NewNotice, Notice, WhichNotices};

fn notice(id: &str, second: i64, about: Option<PersonKey>) -> NewNotice {
    NewNotice {
        id: id.to_owned(),
        to: Organization::Municipality(insurer()),
        administrators: false,
        kind: NoticeKind::WithheldTyped,
        raised_at: at(second),
        about,
        facts: br#"{"office":"4370100017"}"#.to_vec(),
    }
}

async fn raise(world: &World, notice: NewNotice) -> bool {
    world.write(async |tx| tx.put_notice(&notice).await).await.unwrap()
}

async fn list(world: &World, to: Organization, which: WhichNotices) -> Vec<String> {
    let notices = world.store.notices(to, &which, 10).await.unwrap();
    notices.into_iter().map(|notice| notice.id).collect()
}

#[tokio::test]
async fn a_notice_is_told_once_to_its_addressee_and_stays_seen_by_the_first_who_saw_it() {
    on_each_engine(async |world| {
        let city = Organization::Municipality(insurer());
        assert!(raise(&world, notice("a", 1, Some(hanako()))).await);
        assert!(!raise(&world, notice("a", 9, None)).await, "told already");
        let found = world.store.notice(city, "a").await.unwrap().unwrap();
        let expected = Notice {
            id: "a".to_owned(),
            administrators: false,
            kind: NoticeKind::WithheldTyped,
            raised_at: at(1),
            about: Some(hanako()),
            facts: br#"{"office":"4370100017"}"#.to_vec(),
            read: None,
        };
        assert_eq!(found, expected);
        for other in [Organization::Operator, Organization::Municipality(other_insurer())] {
            assert_eq!(world.store.notice(other, "a").await.unwrap(), None);
            assert!(list(&world, other, WhichNotices::default()).await.is_empty());
        }
        for (second, staff) in [(20, "435073/s1"), (30, "435073/s2")] {
            let staff = StaffId(staff.to_owned());
            world.write(async |tx| tx.read_notice(city, "a", &staff, at(second)).await).await.unwrap();
        }
        let read = world.store.notice(city, "a").await.unwrap().unwrap().read;
        assert_eq!(read, Some((at(20), StaffId("435073/s1".to_owned()))));
    })
    .await;
}

#[tokio::test]
async fn notices_come_newest_first_page_by_page_and_those_of_administrators_only_to_them() {
    on_each_engine(async |world| {
        let city = Organization::Municipality(insurer());
        for (id, second) in [("a", 1), ("b", 2), ("c", 2), ("d", 3)] {
            raise(&world, notice(id, second, None)).await;
        }
        raise(&world, NewNotice { administrators: true, ..notice("e", 4, None) }).await;
        let unseen = WhichNotices::default();
        assert_eq!(list(&world, city, unseen.clone()).await, ["d", "c", "b", "a"]);
        let after = WhichNotices { after: Some((at(2), "c".to_owned())), ..unseen.clone() };
        assert_eq!(list(&world, city, after).await, ["b", "a"]);
        let administrator = WhichNotices { administrators: true, ..unseen.clone() };
        assert_eq!(list(&world, city, administrator).await.first().unwrap(), "e");
        let staff = StaffId("435073/s1".to_owned());
        world.write(async |tx| tx.read_notice(city, "c", &staff, at(9)).await).await.unwrap();
        assert_eq!(list(&world, city, unseen.clone()).await, ["d", "b", "a"]);
        let all = WhichNotices { seen: true, ..unseen };
        assert_eq!(list(&world, city, all.clone()).await, ["d", "c", "b", "a"]);
        assert_eq!(world.write(async |tx| tx.delete_notices(at(2)).await).await.unwrap(), 1);
        assert_eq!(list(&world, city, all).await, ["d", "c", "b"]);
    })
    .await;
}

#[tokio::test]
async fn a_notice_moved_to_another_addressee_or_person_by_hand_cannot_be_read() {
    on_each_engine(async |world| {
        let move_it = async |change: &str| {
            world.by_hand("DELETE FROM notice").await;
            raise(&world, notice("a", 1, Some(hanako()))).await;
            world.by_hand(&format!("UPDATE notice SET {change}")).await;
        };
        move_it("organization = 'operator'").await;
        assert!(world.store.notice(Organization::Operator, "a").await.is_err());
        move_it("insured_number = '0000000002'").await;
        assert!(world.store.notice(Organization::Municipality(insurer()), "a").await.is_err());
    })
    .await;
}
