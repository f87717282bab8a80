//! 災害時に見つけた人: by whom, why, for how long it counts, and not by a row written by hand.

use crate::world::*;
use kiban_domain::Organization;
use kiban_domain::office::StaffId;
use kiban_store::DisasterLook;

fn look(id: &str, second: i64) -> DisasterLook {
    DisasterLook {
        id: id.to_owned(),
        person: hanako(),
        organization: Organization::Office(office()),
        staff: StaffId("4370100017/s1".to_owned()),
        looked_at: at(second),
        modes: vec!["m1".to_owned(), "m2".to_owned()],
        reason: "避難所での服薬確認".to_owned(),
        viewed_at: None,
    }
}

#[tokio::test]
async fn a_look_counts_for_who_looked_since_then_and_notes_the_first_view() {
    on_each_engine(async |world| {
        for look in [look("a", 10), look("b", 20)] {
            world.write(async |tx| tx.put_disaster_look(&look).await).await.unwrap();
        }
        let (own, other) = (look("b", 20), StaffId("4370100017/s2".to_owned()));
        let latest = async |organization, staff: &StaffId, since| {
            world.store.disaster_look(hanako(), organization, staff, at(since)).await.unwrap()
        };
        assert_eq!(latest(own.organization, &own.staff, 0).await, Some(own.clone()));
        assert_eq!(latest(own.organization, &own.staff, 21).await, None);
        assert_eq!(latest(own.organization, &other, 0).await, None);
        assert_eq!(latest(Organization::Office(other_office()), &own.staff, 0).await, None);
        for second in [30, 40] {
            world.write(async |tx| tx.view_disaster_look(insurer(), "b", at(second)).await).await.unwrap();
        }
        assert_eq!(latest(own.organization, &own.staff, 0).await.unwrap().viewed_at, Some(at(30)));
        let list = async |after| {
            let looks = world.store.disaster_looks(insurer(), after, 10).await.unwrap();
            looks.into_iter().map(|look| look.id).collect::<Vec<_>>()
        };
        assert_eq!(list(None).await, ["b", "a"]);
        assert_eq!(list(Some("b")).await, ["a"]);
        assert!(world.store.disaster_looks(other_insurer(), None, 10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_look_changed_by_hand_opens_nothing() {
    on_each_engine(async |world| {
        let own = look("a", 10);
        for change in
            ["staff_id = '4370100017/s2'", "looked_at = looked_at + 1", "modes = 'm9'", "organization = '4370100025'"]
        {
            world.by_hand("DELETE FROM disaster_look").await;
            world.write(async |tx| tx.put_disaster_look(&own).await).await.unwrap();
            world.by_hand(&format!("UPDATE disaster_look SET {change}")).await;
            assert!(world.store.disaster_looks(insurer(), None, 10).await.unwrap().is_empty(), "{change}");
        }
    })
    .await;
}
