//! A town with a platform of its own: keys, certificates, accounts, an invented city imported, the day of start set.

use super::home::{Home, now};
use super::terminal::Terminal;
use kiban_domain::municipality::StartState;
use kiban_domain::office::{JobType, Staff};
use kiban_domain::{Organization, dates};
use kiban_pki::{Ca, Identity};
use kiban_service::{Context, LogIn, NewAccount, Peer};
use kiban_sim::cast::CAST;
use kiban_sim::{Cast, City, CitySpec, Generator, Role, SimPerson, cast, city_package};
use kiban_store::CertificateRow;
use rustls::pki_types::CertificateDer;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A member of the helper's office, whose view of a person the helper switches off and on (P-014).
pub const COLLEAGUE: &str = "colleague1";

pub const PASSWORD: &str = "shiken-dake-no-aikotoba-2026";

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// 居宅介護支援専門員
    Manager,
    /// 訪問介護
    Helper,
    /// 通所介護 that nobody has chosen
    Stranger,
    /// 医療機関
    Doctor,
    /// 市
    City,
    /// 運用者
    Operator,
    /// Another one, at another terminal
    SecondOperator,
}

impl Who {
    pub const ALL: [Self; 7] =
        [Self::Manager, Self::Helper, Self::Stranger, Self::Doctor, Self::City, Self::Operator, Self::SecondOperator];

    fn role(self) -> Option<(Role, JobType)> {
        match self {
            Self::Manager => Some((Role::Planning, JobType::CareManager)),
            Self::Helper => Some((Role::HomeHelp, JobType::CareWorker)),
            Self::Stranger => Some((Role::DayCare, JobType::CareWorker)),
            Self::Doctor => Some((Role::Hospital, JobType::Physician)),
            Self::City | Self::Operator | Self::SecondOperator => None,
        }
    }
}

/// Everything that does not change from home to home.
pub struct Town {
    pub city: City,
    pub cast: Cast,
    pub generator: Generator,
    root: CertificateDer<'static>,
    members: BTreeMap<Who, Member>,
    folder: PathBuf,
}

struct Member {
    organization: Organization,
    identity: Identity,
    token: String,
}

impl Town {
    /// Builds the town and the home at `folder` on `database`, through the library; the store is closed at the end.
    pub async fn build(folder: &Path, database: Option<&str>, people: u32) -> Self {
        let home = Home::create(folder, database).unwrap();
        // A sweep may last for hours; nobody is there to type a password again.
        let limits = home.dir().join("limits.tsv");
        let others = std::fs::read_to_string(&limits).unwrap_or_default();
        std::fs::write(&limits, others + "proof_minutes 10000\n").unwrap();
        let ca = Ca::init(&home.ca_dir(), "kaigo-kiban test CA", now()).unwrap();
        let spec = CitySpec::sample(7, people, dates::day_in_japan(now())).unwrap();
        let city = City::generate(&spec);
        let platform = home.platform().await.unwrap();
        let context = || Context::new(now()).unwrap();
        let offices: Vec<_> = city.offices.iter().map(|office| office.office.clone()).collect();
        platform.put_offices(&offices, true, &context()).await.unwrap();
        platform.set_start(city.insurer, StartState::Coordinating, "cli", &context()).await.unwrap();
        let result = platform
            .import_package_locally(city.insurer, city_package(&city).unwrap(), &context(), &mut |_, _| {})
            .await
            .unwrap();
        assert_eq!((result.state, result.report.counts.refused), ("applied", 0), "{:?}", result.report.problems);
        platform.set_start(city.insurer, StartState::Started(spec.today), "cli", &context()).await.unwrap();
        let mut members = BTreeMap::new();
        for who in Who::ALL {
            let (organization, staff) = staff_of(&city, who);
            let issued = ca.issue_client(organization, &format!("terminal-{who:?}").to_lowercase(), 30, now()).unwrap();
            let row = CertificateRow {
                fingerprint: issued.fingerprint.clone(),
                organization,
                terminal: format!("terminal-{who:?}").to_lowercase(),
                serial: issued.serial.clone(),
                not_after: issued.not_after,
                revoked_at: None,
                revoked_for: None,
            };
            platform.bind_certificates(&[row], &context()).await.unwrap();
            let account = staff.id.0.rsplit('/').next().unwrap().to_owned();
            let new = NewAccount {
                organization,
                account: account.clone(),
                name: staff.name.clone(),
                job: staff.job,
                care_manager: staff.care_manager,
                administrator: staff.administrator || who == Who::Helper,
                password: PASSWORD.to_owned(),
            };
            if who == Who::Helper {
                let colleague = NewAccount { account: COLLEAGUE.to_owned(), administrator: false, ..new.clone() };
                platform.put_account(colleague, "cli", &context()).await.unwrap();
            }
            platform.put_account(new, "cli", &context()).await.unwrap();
            let peer = Peer { fingerprint: issued.fingerprint.clone(), source: "127.0.0.1".to_owned() };
            let log_in = LogIn { account, password: PASSWORD.to_owned(), software: None };
            let token = platform.log_in(&peer, log_in, &context()).await.unwrap().token;
            let identity = Identity::from_pem(&issued.cert_pem, &issued.key_pem).unwrap();
            members.insert(who, Member { organization, identity, token });
        }
        platform.store().clone().close().await.unwrap();
        let (cast, generator) = (cast(&spec).unwrap(), Generator::new(&spec));
        Self { root: ca.certificate_der().clone(), city, cast, generator, members, folder: folder.to_owned() }
    }

    /// A terminal of a member, logged in; the log-in was done when the town was built and holds in every copy.
    pub fn terminal(&self, who: Who) -> Terminal {
        let member = &self.members[&who];
        let mut terminal = Terminal::new(&self.root, Some(&member.identity));
        terminal.token = Some(member.token.clone());
        terminal
    }

    /// Account under which a member logs in.
    pub fn account(&self, who: Who) -> String {
        staff_of(&self.city, who).1.id.0.rsplit('/').next().unwrap().to_owned()
    }

    pub fn organization(&self, who: Who) -> Organization {
        self.members[&who].organization
    }

    /// Another home with the same contents, for a fresh start.
    pub fn copy_home(&self, to: &Path) {
        Self::copy_folder(&self.folder, to);
    }

    /// A folder with everything in it.
    pub fn copy_folder(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                Self::copy_folder(&entry.path(), &target);
            } else {
                std::fs::copy(entry.path(), target).unwrap();
            }
        }
    }

    /// People an office can register: certified, in the city, nothing withheld.
    pub fn ordinary_people(&self) -> Vec<&SimPerson> {
        let ordinary = |person: &&SimPerson| {
            person.n > CAST && person.insured.lost.is_none() && !person.insured.withheld && person.level().is_some()
        };
        self.city.people.iter().filter(ordinary).collect()
    }
}

fn staff_of(city: &City, who: Who) -> (Organization, Staff) {
    match who.role() {
        Some((role, job)) => {
            let office = city.office(role).unwrap();
            (Organization::Office(office.number()), office.staff_of(job).unwrap().clone())
        }
        None if who == Who::Operator => (Organization::Operator, city.operators[0].clone()),
        None if who == Who::SecondOperator => (Organization::Operator, city.operators[1].clone()),
        None => (Organization::Municipality(city.insurer), city.officers[0].clone()),
    }
}
