//! The city of a benchmark: certificates and accounts as the operator would make them, then the people as municipal
//! packages through the real intake, timed by stage.

use super::report::Report;
use super::{Job, Options};
use crate::home::{Home, now};
use anyhow::{Context as _, Result, anyhow, bail};
use kiban_domain::municipality::StartState;
use kiban_domain::office::{JobType, Staff};
use kiban_domain::{Organization, dates};
use kiban_formats::municipal::{self, MunicipalValue};
use kiban_pki::{Ca, Identity};
use kiban_service::{Context, NewAccount, Platform};
use kiban_sim::{City, CitySpec, Generator, Role, SimPerson, city_package};
use kiban_store::CertificateRow;
use rustls::pki_types::CertificateDer;
use std::time::{Duration, Instant};

/// Password of every account of a benchmark; it guards invented people only.
const PASSWORD: &str = "keisoku-dake-no-aikotoba-2026";
/// Account of the care manager's colleague.
pub const COLLEAGUE: &str = "bench-colleague";
/// People the requests are about, spread evenly over the city.
const SAMPLE: u32 = 2_000;
/// Packages whose stages are also measured one by one.
const STAGED: usize = 2;

/// What the measurements need of the loaded city.
pub struct World {
    /// Certificate of the CA.
    pub root: CertificateDer<'static>,
    /// People the requests are about.
    pub sample: Vec<SimPerson>,
    /// What the city was made from.
    pub spec: CitySpec,
    /// People loaded.
    pub loaded: u32,
    /// Care manager, nurse, officer and the two operators.
    pub care_manager: Login,
    /// A 訪問看護 that searches in a disaster.
    pub nurse: Login,
    /// The municipality's officer.
    pub officer: Login,
    /// Two people of the operator.
    pub operators: [Login; 2],
}

/// How somebody logs in.
pub struct Login {
    /// Client certificate.
    pub identity: Identity,
    /// The organisation.
    pub organization: Organization,
    /// Account.
    pub account: String,
    /// Password.
    pub password: &'static str,
}

/// Builds the installation and loads the city.
pub async fn build(home: &Home, options: &Options, report: &mut Report) -> Result<World> {
    let ja = |error: kiban_pki::Error| anyhow!(error.message_ja());
    let ca = Ca::init(&home.ca_dir(), "kaigo-kiban bench CA", now()).map_err(ja)?;
    let platform = home.platform().await?;
    let spec = CitySpec::sample(options.seed, options.people, dates::day_in_japan(now()))
        .map_err(|error| anyhow!(error.message_ja()))?;
    if platform.store().count_people(spec.insurer).await? > 0 {
        bail!("データベースが空ではありません。計測専用の空のデータベースを指定してください");
    }
    let generator = Generator::new(&spec);
    let offices: Vec<_> = generator.offices().iter().map(|office| office.office.clone()).collect();
    eprintln!("事業所 {}か所を登録します", offices.len());
    platform.put_offices(&offices, true, &Context::new(now())?).await?;
    let of_role = |role: Role, job: JobType| {
        let office = generator.offices().iter().find(|office| office.role == role);
        let office = office.with_context(|| format!("no office for {role:?}"))?;
        let staff = office.staff_of(job).with_context(|| format!("no staff for {role:?}"))?;
        anyhow::Ok((Organization::Office(office.number()), staff.clone()))
    };
    let city = City::generate(&CitySpec { people: 0, ..spec.clone() });
    let officer = city.officers.first().context("no officer")?.clone();
    let [first, second] = city.operators.as_slice() else { bail!("two operators wanted") };
    let desk = Desk { ca: &ca, platform: &platform };
    let mut world = World {
        root: ca.certificate_der().clone(),
        sample: sample(&generator),
        spec: spec.clone(),
        loaded: spec.people(),
        care_manager: desk.enrol(of_role(Role::Planning, JobType::CareManager)?).await?,
        nurse: desk.enrol(of_role(Role::Nursing, JobType::Nurse)?).await?,
        officer: desk.enrol((Organization::Municipality(spec.insurer), officer)).await?,
        operators: [
            desk.enrol((Organization::Operator, first.clone())).await?,
            desk.enrol((Organization::Operator, second.clone())).await?,
        ],
    };
    desk.colleague(&world.care_manager).await?;
    platform.refresh_standing(now()).await?;
    platform.set_start(spec.insurer, StartState::Coordinating, "cli", &Context::new(now())?).await?;
    load(&platform, &generator, city, options, report).await?;
    // A city starts on what was loaded (P-131).
    platform.set_start(spec.insurer, StartState::Started(spec.today), "cli", &Context::new(now())?).await?;
    world.loaded = spec.people();
    platform.store().clone().close().await?;
    Ok(world)
}

/// Issues what a terminal and a person need.
struct Desk<'a> {
    ca: &'a Ca,
    platform: &'a Platform,
}

impl Desk<'_> {
    /// A second account of the same office, for whom the switch is turned: nobody turns their own.
    async fn colleague(&self, of: &Login) -> Result<()> {
        let new = NewAccount {
            organization: of.organization,
            account: COLLEAGUE.to_owned(),
            name: "架空 同僚".to_owned(),
            job: JobType::CareManager,
            care_manager: None,
            administrator: false,
            password: PASSWORD.to_owned(),
        };
        self.platform.put_account(new, "cli", &Context::new(now())?).await?;
        Ok(())
    }

    async fn enrol(&self, (organization, staff): (Organization, Staff)) -> Result<Login> {
        let ja = |error: kiban_pki::Error| anyhow!(error.message_ja());
        let issued = self.ca.issue_client(organization, "bench-terminal", 2, now()).map_err(ja)?;
        let row = CertificateRow {
            fingerprint: issued.fingerprint.clone(),
            organization,
            terminal: "bench-terminal".to_owned(),
            serial: issued.serial.clone(),
            not_after: issued.not_after,
            revoked_at: None,
            revoked_for: None,
        };
        self.platform.bind_certificates(&[row], &Context::new(now())?).await?;
        let account = staff.id.0.rsplit('/').next().unwrap_or_default().to_owned();
        let new = NewAccount {
            organization,
            account: account.clone(),
            name: staff.name,
            job: staff.job,
            care_manager: staff.care_manager,
            // Turns switches (P-014).
            administrator: true,
            password: PASSWORD.to_owned(),
        };
        self.platform.put_account(new, "cli", &Context::new(now())?).await?;
        let identity = Identity::from_pem(&issued.cert_pem, &issued.key_pem).map_err(ja)?;
        Ok(Login { identity, organization, account, password: PASSWORD })
    }
}

/// People spread evenly over the numbers, none of them withheld or gone, all with a card in force.
fn sample(generator: &Generator) -> Vec<SimPerson> {
    let people = generator.spec().people();
    let step = (people / SAMPLE).max(1);
    let all = (1..=people).step_by(step as usize).filter_map(|n| generator.person(n));
    all.filter(|person| !person.insured.withheld && person.insured.lost.is_none()).take(SAMPLE as usize).collect()
}

/// Time by stage.
#[derive(Default)]
struct Stages {
    people: u64,
    rows: u64,
    bytes: u64,
    make: Duration,
    import: Duration,
    /// Of the staged packages only: rows, read + check, seal, whole import.
    staged: (u64, Duration, Duration, Duration),
}

/// Package after package, so that memory stays flat whatever the size of the city.
async fn load(
    platform: &Platform,
    generator: &Generator,
    empty: City,
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    let mut stages = Stages::default();
    let mut people = generator.clone().people();
    let mut rates = Vec::new();
    loop {
        let made = Instant::now();
        let chunk: Vec<SimPerson> = people.by_ref().take(options.package as usize).collect();
        if chunk.is_empty() {
            break;
        }
        stages.people += chunk.len() as u64;
        let files = city_package(&City { people: chunk, ..empty.clone() })
            .map_err(|problems| anyhow!("{}", problems.first().map(|p| p.message_ja()).unwrap_or_default()))?;
        stages.make += made.elapsed();
        stages.bytes += files.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
        let staged = if rates.len() < STAGED { Some(stages_of(platform, empty.insurer, &files).await?) } else { None };
        let begun = Instant::now();
        let context = Context::new(now())?;
        let result = platform.import_package_locally(empty.insurer, files, &context, &mut |_, _| {}).await?;
        let took = begun.elapsed();
        let counts = result.report.counts;
        if result.state != "applied" || counts.refused > 0 {
            let first = result.report.problems.first().map(|problem| problem.message.clone()).unwrap_or_default();
            bail!("パッケージを取り込めませんでした: {} {first}", result.state);
        }
        stages.rows += counts.applied as u64;
        stages.import += took;
        if let Some((check, seal)) = staged {
            stages.staged.0 += counts.applied as u64;
            stages.staged.1 += check;
            stages.staged.2 += seal;
            stages.staged.3 += took;
        }
        rates.push(counts.applied as f64 / took.as_secs_f64());
        eprintln!("取込み {}人 {}行: {:.0} 行/秒", stages.people, stages.rows, rates.last().unwrap_or(&0.0));
    }
    if options.only.contains(&Job::Import) {
        record(&stages, &rates, report)?;
    }
    Ok(())
}

fn record(stages: &Stages, rates: &[f64], report: &mut Report) -> Result<()> {
    let rate = stages.rows as f64 / stages.import.as_secs_f64();
    let per_row = |time: Duration| time.as_secs_f64() * 1e6 / stages.staged.0.max(1) as f64;
    let (_, check, seal, whole) = stages.staged;
    let rest = whole.saturating_sub(check).saturating_sub(seal);
    report.figure(
        "import",
        serde_json::json!({
            "rows_per_s": rate.round(),
            "first_package_rows_per_s": rates.first().map(|r| r.round()),
            "last_package_rows_per_s": rates.last().map(|r| r.round()),
            "packages": rates.len(),
            "people": stages.people,
            "rows": stages.rows,
            "megabytes": stages.bytes / 1_000_000,
            "seconds": stages.import.as_secs_f64(),
            "us_per_row": per_row(whole),
            "us_per_row_read_and_check": per_row(check),
            "us_per_row_seal": per_row(seal),
            "us_per_row_decide_and_write": per_row(rest),
            "importer_rss_peak_mb": super::server::memory_of("self")?.1,
        }),
    );
    Ok(())
}

/// Read + check and sealing alone, on the same bytes, in this process.
async fn stages_of(
    platform: &Platform,
    insurer: kiban_domain::InsurerNumber,
    files: &[(String, Vec<u8>)],
) -> Result<(Duration, Duration)> {
    let package = municipal::open(files.to_vec());
    let begun = Instant::now();
    let mut rows = Vec::new();
    package.check(&mut |row| rows.push(row));
    let check = begun.elapsed();
    let keys = platform.store().keys_of(insurer).await?;
    let begun = Instant::now();
    for row in rows {
        if let MunicipalValue::Insured(value) = &row.value {
            std::hint::black_box(kiban_store::SearchTokens::of(&keys, &value.identity));
        }
        let content = serde_json::to_vec(&row.value)?;
        std::hint::black_box((keys.digest(&content), keys.seal(&[row.key.insured.as_str().as_bytes()], &content)));
    }
    Ok((check, begun.elapsed()))
}
