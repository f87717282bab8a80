//! The world of the demo: CA, certificates, offices, accounts, and the city's files, made but not yet imported.

use super::DEMO_PASSWORD;
use crate::ca::write_secret;
use crate::home::{Home, now};
use anyhow::{Context as _, Result, anyhow};
use indicatif::ProgressIterator as _;
use kiban_domain::municipality::StartState;
use kiban_domain::office::{JobType, Staff};
use kiban_domain::{Organization, dates};
use kiban_pki::{Ca, Identity};
use kiban_service::{Context, NewAccount, Platform};
use kiban_sim::{Cast, City, CitySpec, Role, SimOffice, cast, city_package};
use kiban_store::CertificateRow;
use rustls::pki_types::CertificateDer;
use std::collections::HashMap;
use std::path::PathBuf;

/// Everything the story needs.
pub struct World {
    /// The platform.
    pub platform: Platform,
    /// The city, its offices and people.
    pub city: City,
    /// The people the story is about.
    pub cast: Cast,
    /// The city's package.
    pub package: Vec<(String, Vec<u8>)>,
    /// Certificate of the CA.
    pub root: CertificateDer<'static>,
    /// Certificates of both listeners: organisations, public.
    pub server: (Identity, Identity),
    /// Folder with PEM files for curl.
    pub certificates: PathBuf,
    /// The CA, to issue more.
    pub ca: Ca,
    /// Second terminal of the operator: a disaster mode needs two people over two certificates.
    pub second_operator: Option<Identity>,
    identities: HashMap<Organization, Identity>,
    serials: HashMap<Organization, String>,
}

impl World {
    /// The client certificate of an organisation.
    pub fn identity(&self, organization: Organization) -> Result<&Identity> {
        self.identities.get(&organization).with_context(|| format!("no certificate for {organization}"))
    }

    /// Serial number of that certificate.
    pub fn serial(&self, organization: Organization) -> Result<&str> {
        self.serials
            .get(&organization)
            .map(String::as_str)
            .with_context(|| format!("no certificate for {organization}"))
    }

    /// An office of a role.
    pub fn office(&self, role: Role) -> Result<&SimOffice> {
        self.city.office(role).with_context(|| format!("no office for {role:?}"))
    }

    /// Account name of the care manager of the story.
    pub fn care_manager_account(&self) -> String {
        let planning = self.city.office(Role::Planning);
        planning.and_then(|office| office.staff_of(JobType::CareManager)).map(account_of).unwrap_or_default()
    }
}

/// Account name of a staff member: what stands behind the organisation in the id.
pub fn account_of(staff: &Staff) -> String {
    staff.id.0.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Builds it.
pub async fn build(home: &Home, people: u32, seed: u64) -> Result<World> {
    let ja = |error: kiban_pki::Error| anyhow!(error.message_ja());
    println!("1. 認証局とサーバー証明書を作ります（TLS 1.3、P-256）");
    let ca = Ca::init(&home.ca_dir(), "kaigo-kiban demo CA", now()).map_err(ja)?;
    let server = [["office.localhost"], ["portal.localhost"]].map(|names| {
        let issued = ca.issue_server(&names, 90, now()).map_err(ja)?;
        Identity::from_pem(&issued.cert_pem, &issued.key_pem).map_err(ja)
    });
    let [organizations, public] = server;
    println!("2. データベースを作り、監査記録を始めます（{}）", home.database());
    let platform = home.platform().await?;
    println!("3. 架空の市をつくります（{people}人、乱数の種 {seed}）");
    let spec =
        CitySpec::sample(seed, people, dates::day_in_japan(now())).map_err(|error| anyhow!(error.message_ja()))?;
    let city = City::generate(&spec);
    let package = city_package(&city)
        .map_err(|problems| anyhow!("{}", problems.first().map(|p| p.message_ja()).unwrap_or_default()))?;
    let cast = cast(&spec).context("no cast")?;
    let mut world = World {
        platform,
        cast,
        package,
        root: ca.certificate_der().clone(),
        server: (organizations?, public?),
        certificates: home.dir().join("certificates"),
        ca,
        second_operator: None,
        identities: HashMap::new(),
        serials: HashMap::new(),
        city,
    };
    register(&mut world).await?;
    Ok(world)
}

/// Offices, certificates and accounts, as the operator's command line would.
async fn register(world: &mut World) -> Result<()> {
    println!("4. 事業所 {}か所、市、運用者を登録し、証明書とアカウントを発行します", world.city.offices.len());
    std::fs::create_dir_all(&world.certificates)?;
    write_secret(&world.certificates.join("ca.crt"), world.ca.certificate_pem().as_bytes())?;
    let offices: Vec<_> = world.city.offices.iter().map(|office| office.office.clone()).collect();
    world.platform.put_offices(&offices, true, &Context::new(now())?).await?;
    // The city is opened for its data; nothing is shared before it starts.
    world.platform.set_start(world.city.insurer, StartState::Coordinating, "cli", &Context::new(now())?).await?;
    // The story needs the named offices only; each certificate is a real one.
    let mut organizations: Vec<(Organization, Vec<Staff>)> = world
        .city
        .offices
        .iter()
        .take(17)
        .map(|office| (Organization::Office(office.number()), office.staff.clone()))
        .collect();
    organizations.push((Organization::Municipality(world.city.insurer), world.city.officers.clone()));
    organizations.push((Organization::Operator, world.city.operators.clone()));
    let bar = crate::import::progress_bar("証明書とアカウント");
    let mut rows = Vec::new();
    for (organization, staff) in organizations.iter().progress_with(bar) {
        let issued = world
            .ca
            .issue_client(*organization, "demo-terminal", 90, now())
            .map_err(|error| anyhow!(error.message_ja()))?;
        rows.push(CertificateRow {
            fingerprint: issued.fingerprint.clone(),
            organization: *organization,
            terminal: "demo-terminal".to_owned(),
            serial: issued.serial.clone(),
            not_after: issued.not_after,
            revoked_at: None,
            revoked_for: None,
        });
        write_files(world, *organization, &issued)?;
        world.serials.insert(*organization, issued.serial.clone());
        world.identities.insert(
            *organization,
            Identity::from_pem(&issued.cert_pem, &issued.key_pem).map_err(|error| anyhow!(error.message_ja()))?,
        );
        for member in staff {
            let account = NewAccount {
                organization: *organization,
                account: account_of(member),
                name: member.name.clone(),
                job: member.job,
                care_manager: member.care_manager,
                administrator: member.administrator,
                password: DEMO_PASSWORD.to_owned(),
            };
            world.platform.put_account(account, "cli", &Context::new(now())?).await?;
        }
    }
    let second = world
        .ca
        .issue_client(Organization::Operator, "demo-terminal-2", 90, now())
        .map_err(|error| anyhow!(error.message_ja()))?;
    rows.push(CertificateRow {
        fingerprint: second.fingerprint.clone(),
        organization: Organization::Operator,
        terminal: "demo-terminal-2".to_owned(),
        serial: second.serial.clone(),
        not_after: second.not_after,
        revoked_at: None,
        revoked_for: None,
    });
    let identity =
        Identity::from_pem(&second.cert_pem, &second.key_pem).map_err(|error| anyhow!(error.message_ja()))?;
    world.second_operator = Some(identity);
    world.platform.bind_certificates(&rows, &Context::new(now())?).await?;
    Ok(())
}

/// PEM files for curl and a PKCS#12 for a browser, under names that say whose they are.
fn write_files(world: &World, organization: Organization, issued: &kiban_pki::Issued) -> Result<()> {
    let is = |role: Role| {
        world.city.office(role).is_some_and(|office| Organization::Office(office.number()) == organization)
    };
    let name = match organization {
        Organization::Municipality(_) => "city",
        Organization::Operator => "operator",
        _ if is(Role::Planning) => "care-manager",
        _ if is(Role::HomeHelp) => "home-help",
        _ if is(Role::Hospital) => "hospital",
        _ => return Ok(()),
    };
    write_secret(&world.certificates.join(format!("{name}.crt")), issued.cert_pem.as_bytes())?;
    write_secret(&world.certificates.join(format!("{name}.key")), issued.key_pem.as_bytes())?;
    let file = kiban_pki::pkcs12::file(issued, &format!("kaigo-kiban {name}"), DEMO_PASSWORD)
        .map_err(|error| anyhow!(error.message_ja()))?;
    write_secret(&world.certificates.join(format!("{name}.p12")), &file)
}
