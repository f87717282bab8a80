//! Proxies who are kept out while they act: what the municipality or the person said first holds (T-2).

#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as expected")]

mod support;

use kiban_domain::Organization;
use kiban_domain::consent::{ConsentAct, IdentityProof};
use kiban_domain::office::JobType;
use kiban_service::{AtPortal, Caller, Error, Looking, PersonClaims, ProxyAsk, ProxyBlock};
use kiban_sim::{Role, SimPerson};
use support::{World, addresses, asked, context, items};

const DAUGHTER: (&str, &str) = ("架空　長子", "1970-01-02");

fn claims() -> PersonClaims {
    PersonClaims {
        issuer: "https://mihon.example".to_owned(),
        subject: "daughter".to_owned(),
        name: Some("架空 長子".to_owned()),
        address: Some("東京都".to_owned()),
        birth: Some(DAUGHTER.1.parse().unwrap()),
        sex: Some(kiban_domain::insured::Sex::Female),
    }
}

fn ask(role: &str) -> ProxyAsk {
    ProxyAsk {
        role: role.to_owned(),
        name: DAUGHTER.0.to_owned(),
        birth: DAUGHTER.1.parse().unwrap(),
        relation: "長女".to_owned(),
        document: "登記事項証明書".to_owned(),
        document_number: None,
        document_date: "2026-11-01".parse().unwrap(),
        ends_on: "2026-12-31".parse().unwrap(),
    }
}

fn block(registration: Option<&str>) -> ProxyBlock {
    ProxyBlock {
        registration: registration.map(str::to_owned),
        reason: "長男の申立て".to_owned(),
        document: "申立書の写し".to_owned(),
        document_date: "2026-11-19".parse().unwrap(),
    }
}

struct Door<'a> {
    world: &'a World,
    officer: Caller,
    handle: String,
    person: &'a SimPerson,
}

impl<'a> Door<'a> {
    async fn of(world: &'a World, person: &'a SimPerson) -> Self {
        let city = Organization::Municipality(world.city.insurer);
        let officer = world.caller(city, &world.city.officers[0]).await;
        let handle = world.platform.handle_of(&officer, person.insured.key).await.unwrap();
        Self { world, officer, handle, person }
    }

    /// The daughter looks by a registration of her own: its id, her log-in, and as whom the platform knows her in this request.
    async fn looking(&self, role: &str) -> (String, AtPortal, Looking) {
        let platform = &self.world.platform;
        let made = platform.register_proxy(&self.officer, &self.handle, asked(ask(role)), &context()).await.unwrap();
        let (at, _) = platform.open_portal_session(&claims(), None, "", &context()).await.unwrap();
        let at = platform.use_portal_code(&at, &made.code, &context()).await.unwrap();
        let looking = platform.looking(&at, &context()).await.unwrap();
        (made.id, at, looking)
    }

    async fn block(&self, registration: Option<&str>) {
        let asked = asked(block(registration));
        self.world.platform.block_proxies(&self.officer, &self.handle, asked, &context()).await.unwrap();
    }

    async fn acts(&self) -> usize {
        self.world.platform.store().consents(self.person.insured.key).await.unwrap().len()
    }

    /// The rules by which a proxy was refused, the last one first.
    async fn refusals(&self) -> Vec<String> {
        let (audit, person) = (self.world.platform.store().audit(), self.person.insured.key);
        let log = audit.about_person(person.insurer.as_str(), person.insured.as_str(), 50, None).await.unwrap();
        log.into_iter().filter_map(|entry| entry.rule).filter(|rule| rule.starts_with("proxy_")).collect()
    }
}

fn is_kept_out<T>(done: Result<T, Error>) -> bool {
    matches!(done, Err(Error::Unauthenticated("person_choice")))
}

/// The proxy was asked who she is before the block, and acts after it: the same request, or one of the same second.
#[tokio::test]
async fn an_act_that_was_begun_before_a_block_an_end_or_a_refusal_is_not_done_after_it() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let person = &world.cast.consenting;
        let manager = world.office(Role::Planning, JobType::CareManager).await;
        world.platform.register_office(&manager, asked(items(person, true)), &context()).await.unwrap();
        let door = Door::of(&world, person).await;
        let (id, at, looking) = door.looking("legal").await;
        let office = world.city.office(Role::Planning).unwrap().number();
        let withdraw = async |looking: &Looking| {
            let proof = IdentityProof::IndividualNumberCard;
            world.platform.act_on_my_consent(looking, ConsentAct::Withdrawn, proof, &context()).await
        };
        // And one that nobody keeps out acts.
        withdraw(&looking).await.unwrap();
        let before = door.acts().await;
        door.block(Some(&id)).await;
        assert!(is_kept_out(withdraw(&looking).await));
        assert!(is_kept_out(world.platform.end_my_office(&looking, office, &context()).await));
        assert!(is_kept_out(world.platform.looking(&at, &context()).await));
        assert_eq!(door.refusals().await, ["proxy_blocked"; 3]);
        assert_eq!(door.acts().await, before, "nothing was done");
        // Ended by the municipality between the two: nothing is left to be blocked, and nothing is done either.
        world.platform.end_portal_grant(&door.officer, &door.handle, &id, &context()).await.unwrap();
        assert!(is_kept_out(withdraw(&looking).await));
        assert_eq!(door.refusals().await[..1], ["proxy_not_live"]);
        assert_eq!(door.acts().await, before);
    }
}

/// A block is one of somebody, not of a piece of paper.
#[tokio::test]
async fn a_block_covers_every_registration_of_the_same_proxy_until_the_last_is_ended() {
    for address in addresses().await {
        let world = World::loaded(address).await;
        world.start().await;
        let door = Door::of(&world, &world.cast.consenting).await;
        let platform = &world.platform;
        let (first, at, _) = door.looking("family").await;
        let (second, again, _) = door.looking("legal").await;
        // One whose code nobody has used.
        let waiting = platform.register_proxy(&door.officer, &door.handle, asked(ask("voluntary")), &context()).await;
        door.block(Some(&first)).await;
        for at in [&at, &again] {
            assert!(is_kept_out(platform.looking(at, &context()).await));
        }
        assert!(platform.portal_choices(&again, &context()).await.unwrap().is_empty());
        let used = platform.use_portal_code(&again, &waiting.unwrap().code, &context()).await;
        assert!(matches!(used, Err(Error::NotMatched)));
        // Registered after the block.
        let later = platform.register_proxy(&door.officer, &door.handle, asked(ask("voluntary")), &context()).await;
        let (fresh, _) = platform.open_portal_session(&claims(), None, "", &context()).await.unwrap();
        assert!(matches!(
            platform.use_portal_code(&fresh, &later.unwrap().code, &context()).await,
            Err(Error::NotMatched)
        ));
        let listed = platform.portal_grants(&door.officer, &door.handle, &context()).await.unwrap();
        let blocked = listed.iter().filter(|one| one.blocked).count();
        assert_eq!(blocked, 4, "{listed:?}");
        // The registration that was named is ended: the others stay blocked until they are ended too, and then the block is over.
        for id in listed.iter().filter(|one| one.blocked && one.id != second).map(|one| one.id.as_str()) {
            platform.end_portal_grant(&door.officer, &door.handle, id, &context()).await.unwrap();
            assert!(is_kept_out(platform.looking(&again, &context()).await));
        }
        platform.end_portal_grant(&door.officer, &door.handle, &second, &context()).await.unwrap();
        let listed = platform.portal_grants(&door.officer, &door.handle, &context()).await.unwrap();
        assert!(listed.iter().all(|one| one.ended_at.is_some()), "{listed:?}");
    }
}
