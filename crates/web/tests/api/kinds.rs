//! A1, A4, E1 and E2 of a city's package as the API shows them: to whom the table gives them, in the described shapes
//! (every answer is held to the description).

use crate::world::{Person, Role, World, city};
use axum::http::StatusCode;
use kiban_domain::application::CertificationApplication;
use kiban_domain::certification::{ApplicationKind, CareLevel};
use kiban_domain::equipment_purchase::EquipmentPurchase;
use kiban_domain::home_modification::HomeModification;
use kiban_domain::survey::CertificationSurvey;
use kiban_formats::municipal::{Change, Entry, MunicipalPackage};

#[tokio::test]
async fn the_new_kinds_reach_whom_the_table_gives_them_in_their_shapes() {
    let world = World::new().await;
    let city_hall = world.log_in(Role::City).await;
    let identity = Person::Hanako.insured().identity;
    let day = world.today().checked_sub(jiff::Span::new().days(60)).unwrap();
    fn one<T>(value: T) -> Vec<Entry<T>> {
        vec![Entry { key: Person::Hanako.key(), history: 1, change: Change::New, value }]
    }
    let files = MunicipalPackage::new(city(), world.now())
        .records(&one(CertificationApplication::example(identity.clone(), day, ApplicationKind::Renewal)))
        .records(&one(CertificationSurvey::example(identity, day, |at, count| at % count)))
        .records(&one(HomeModification::example(day, CareLevel::Care2)))
        .records(&one(EquipmentPurchase::example(day)))
        .finish()
        .unwrap();
    let reply = city_hall.upload("/api/v1/packages", &files).await;
    assert_eq!((reply.status, reply.json()["report"]["counts"]["applied"].as_i64()), (StatusCode::OK, Some(4)));

    // The ticked 同意欄 is the consent the plan maker needs.
    let handle = world.register_plan_maker(Role::Planner, Person::Hanako).await;
    let planner = world.log_in(Role::Planner).await;
    let get = async |kind: &str| planner.get(&format!("/api/v1/people/{handle}/records/{kind}")).await;
    let survey = get("A1").await.json();
    assert_eq!(survey["documents"][0]["content"]["answers"].as_object().unwrap().len(), 74);
    let work = get("E1").await.json();
    assert_eq!(
        (&work["allowance"]["remaining"], &work["allowance"]["counted_in"]),
        (&140_000.into(), &"住宅 1".into())
    );
    assert_eq!(get("E2").await.json()["allowance"]["remaining"], 75_000);
    // The application itself is between the person and the city.
    assert_eq!(get("A4").await.refusal().0, 404);
    let own = world.find(Person::Hanako).await;
    let form = city_hall.get(&format!("/api/v1/people/{own}/records/A4")).await.json();
    assert_eq!(form["documents"][0]["content"]["consent"]["declarant"], "person");
}
