//! What the operator looks at: municipalities with their start and last package, offices, disaster modes, the newest anchor of the audit
//! log. Nothing about any person (P-182, P-220, S-016, S-033).

use crate::{Caller, Context, Error, InsurerStart, Platform, StartFilter};
use kiban_domain::assignment::DisasterMode;
use kiban_domain::municipality::StartState;
use kiban_domain::office::OfficeClass;
use kiban_domain::{Date, InsurerNumber, OfficeNumber, Organization, Timestamp, dates};
use kiban_policy::class_of;
use kiban_store::Outcome;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A municipality as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InsurerLine {
    /// Number, name, state and day; public.
    #[serde(flatten)]
    pub start: InsurerStart,
    /// The newest applied package; absent while there is none.
    pub last_package: Option<LastPackage>,
    /// 広域連合 that pays for it today; its own number when it is in none.
    pub paying_insurer: InsurerNumber,
    /// Terminals with a certificate in good standing.
    pub certificates: usize,
}

/// The newest applied package of a municipality.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastPackage {
    /// 受付番号
    pub receipt: String,
    /// When it arrived.
    pub received_at: Timestamp,
    /// 基準日; absent when it came before that was kept.
    pub base_date: Option<Date>,
    /// Rows that were refused.
    pub refused: i64,
}

/// Municipalities that fit, at most [`MOST`], and how many there are in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InsurerLines {
    /// In the order of the master.
    pub insurers: Vec<InsurerLine>,
    /// How many fit.
    pub total: usize,
    /// Of all municipalities, how many are in each state: 未定, 調整中, 予定, 開始.
    pub states: [usize; 4],
}

/// An office as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfficeLine {
    /// 事業所番号
    pub office: OfficeNumber,
    /// 名称
    pub name: String,
    /// 区分の名称
    pub class_name: String,
    /// Where it stands.
    pub municipality: InsurerNumber,
    /// Certificates in good standing.
    pub certificates: usize,
    /// Of those how many end within 60 days.
    pub ending: usize,
    /// The exchange of plans reaches it.
    pub reachable: bool,
}

/// Offices that fit, at most [`MOST`], and how many there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfficeLines {
    /// By number.
    pub offices: Vec<OfficeLine>,
    /// How many fit.
    pub total: usize,
}

/// A disaster mode, proposed, running or over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DisasterLine {
    /// Its id.
    pub id: String,
    /// 災害名
    pub event: String,
    /// Municipalities.
    pub areas: Vec<InsurerNumber>,
    /// Kinds of office inside the area; empty means every kind.
    pub classes: Vec<OfficeClass>,
    /// Offices named one by one.
    pub offices: Vec<OfficeNumber>,
    /// Municipalities that take in evacuees.
    pub hosts: Vec<InsurerNumber>,
    /// C1/CP without consent.
    pub without_consent: bool,
    /// First day.
    pub from: Date,
    /// Last day.
    pub to: Option<Date>,
    /// `proposed`, `planned`, `open`, `closed` or `over`.
    pub state: &'static str,
    /// The same in Japanese.
    pub state_name: &'static str,
    /// Account that proposed it.
    pub proposed_by: String,
    /// Account that approved it; absent until then.
    pub approved_by: Option<String>,
    /// Closed early.
    pub closed_at: Option<Timestamp>,
}

/// What happened under a disaster mode, in numbers: the closing report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DisasterReport {
    /// The mode.
    pub mode: DisasterLine,
    /// By organisation, those that found most people first.
    pub organizations: Vec<DisasterCount>,
    /// People found, each search counted.
    pub found: i64,
    /// Of those how many were opened.
    pub viewed: i64,
}

/// What an organisation did under a disaster mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DisasterCount {
    /// Which.
    pub organization: Organization,
    /// Its name.
    pub name: String,
    /// People found, each search counted.
    pub found: i64,
    /// Of those how many were opened.
    pub viewed: i64,
}

/// The newest anchor of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditHeads {
    /// Number of the anchor.
    pub number: i64,
    /// When it was signed.
    pub at: Timestamp,
    /// Hash of the anchor: what the next one points to, hexadecimal.
    pub hash: String,
    /// The signature fits the key of this platform.
    pub signed: bool,
    /// Last closed segment of each writer that goes on.
    pub heads: Vec<AuditHead>,
}

/// The last closed segment of a writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditHead {
    /// 記録者番号
    pub writer: i64,
    /// 区間番号
    pub segment: i32,
    /// Hash of its header, hexadecimal.
    pub header: String,
}

/// Lines of one answer.
const MOST: usize = 100;
/// Days before their end from which certificates are told.
const SOON: i64 = 60;

impl Platform {
    /// Municipalities whose name or number holds `text`, those that have begun to prepare first.
    pub async fn insurer_lines(&self, caller: &Caller, text: &str, context: &Context) -> Result<InsurerLines, Error> {
        self.require_operator_view(caller, "insurers.view", context).await?;
        let all = self.starts(&StartFilter::default()).await?;
        let mut states = [0; 4];
        for one in &all {
            states[place(one.start)] += 1;
        }
        let text = text.trim();
        let named = |one: &InsurerStart| format!("{}{}", one.prefecture, one.name);
        let mut fitting: Vec<InsurerStart> = all
            .into_iter()
            .filter(|one| one.insurer_number.as_str().starts_with(text) || named(one).contains(text))
            .collect();
        fitting.sort_by_key(|one| place(one.start) == 0);
        let total = fitting.len();
        let (standing, today) = (self.standing(), context.today());
        let mut insurers = Vec::new();
        for start in fitting.into_iter().take(MOST) {
            let insurer = start.insurer_number;
            let paying_insurer = standing.paying_insurer(insurer, today);
            let package = match start.start {
                StartState::Undecided => None,
                _ => self.store().newest_applied_package(paying_insurer).await?,
            };
            insurers.push(InsurerLine {
                last_package: package.map(|package| LastPackage {
                    receipt: package.receipt,
                    received_at: package.received_at,
                    base_date: package.base_date,
                    refused: package.counts.refused,
                }),
                paying_insurer,
                certificates: self.good_certificates(Organization::Municipality(insurer), context).0,
                start,
            });
        }
        Ok(InsurerLines { insurers, total, states })
    }

    /// Offices whose number begins with `text` or whose name holds it.
    pub async fn office_lines(&self, caller: &Caller, text: &str, context: &Context) -> Result<OfficeLines, Error> {
        self.require_operator_view(caller, "offices.view", context).await?;
        let (standing, text, table) = (self.standing(), text.trim(), self.table_at(context.now)?);
        let fits = |number: &OfficeNumber, name: &str| number.as_str().starts_with(text) || name.contains(text);
        let mut fitting: Vec<_> = standing.offices().filter(|office| fits(&office.number, &office.name)).collect();
        fitting.sort_by_key(|office| office.number);
        let line = |office: &&kiban_domain::office::Office| {
            let (certificates, ending) = self.good_certificates(Organization::Office(office.number), context);
            let class = class_of(&office.service_types, office.is_hospital, table);
            OfficeLine {
                office: office.number,
                name: office.name.clone(),
                class_name: table.class_name(class).to_owned(),
                municipality: office.municipality,
                certificates,
                ending,
                reachable: standing.is_reachable(office.number),
            }
        };
        Ok(OfficeLines { total: fitting.len(), offices: fitting.iter().take(MOST).map(line).collect() })
    }

    /// Every disaster mode, the latest first.
    pub async fn disaster_lines(&self, caller: &Caller, context: &Context) -> Result<Vec<DisasterLine>, Error> {
        self.require_operator_view(caller, "disasters.view", context).await?;
        let mut modes = self.store().disasters().await?;
        modes.sort_by_key(|mode| std::cmp::Reverse((mode.period.from(), mode.id.clone())));
        Ok(modes.into_iter().map(|mode| line_of(mode, context.today())).collect())
    }

    /// What happened under a disaster mode. Counted by the database, nothing is opened.
    pub async fn disaster_report(&self, caller: &Caller, id: &str, context: &Context) -> Result<DisasterReport, Error> {
        self.require_operator_view(caller, "disaster.report", context).await?;
        let mode = self.store().disasters().await?.into_iter().find(|mode| mode.id == id).ok_or(Error::Unknown)?;
        let today = context.today();
        // Looks lie with the insurer that pays for the municipality.
        let insurers: BTreeSet<_> =
            mode.areas.iter().map(|area| self.standing().paying_insurer(*area, today)).collect();
        let mut counts: BTreeMap<Organization, (i64, i64)> = BTreeMap::new();
        for insurer in insurers {
            for count in self.store().disaster_counts(insurer, days_of(&mode)).await? {
                if count.modes.iter().any(|one| one == id) {
                    let sum = counts.entry(count.organization).or_default();
                    *sum = (sum.0 + count.found, sum.1 + count.viewed);
                }
            }
        }
        let mut organizations: Vec<DisasterCount> = counts
            .into_iter()
            .map(|(organization, (found, viewed))| DisasterCount {
                organization,
                name: self.name_of_organization(organization),
                found,
                viewed,
            })
            .collect();
        organizations.sort_by_key(|one| std::cmp::Reverse(one.found));
        Ok(DisasterReport {
            mode: line_of(mode, today),
            found: organizations.iter().map(|one| one.found).sum(),
            viewed: organizations.iter().map(|one| one.viewed).sum(),
            organizations,
        })
    }

    /// The newest anchor of the audit log; none before the first was signed.
    pub async fn audit_heads(&self, caller: &Caller, context: &Context) -> Result<Option<AuditHeads>, Error> {
        self.require_operator_view(caller, "audit.heads", context).await?;
        let log = self.store().audit();
        let Some(anchor) = log.newest_anchor().await? else { return Ok(None) };
        let instant = Timestamp::from_microsecond(anchor.at).map_err(|error| Error::Internal(error.to_string()))?;
        let head = |head: &kiban_store::Head| AuditHead {
            writer: head.writer,
            segment: head.segment,
            header: crate::submission::hex(&head.header),
        };
        Ok(Some(AuditHeads {
            number: anchor.number,
            at: instant,
            hash: crate::submission::hex(&anchor.hash()),
            signed: anchor.is_signed_by(&log.public_key()),
            heads: anchor.heads.iter().map(head).collect(),
        }))
    }

    /// Only an operator at a screen; the look is recorded, allowed or not.
    async fn require_operator_view(&self, caller: &Caller, action: &str, context: &Context) -> Result<(), Error> {
        let may = caller.organization == Organization::Operator && caller.way == kiban_policy::Way::Interactive;
        let outcome = if may { Outcome::Allowed } else { Outcome::Refused };
        self.store().audit().append(caller.entry(context, action, outcome)).await?;
        if may { Ok(()) } else { Err(Error::Unknown) }
    }

    /// Certificates of an organisation in good standing, and those of them that end soon.
    fn good_certificates(&self, organization: Organization, context: &Context) -> (usize, usize) {
        let standing = self.standing();
        let good = |row: &&kiban_store::CertificateRow| row.revoked_at.is_none() && row.not_after > context.now;
        let soon = context.now + jiff::SignedDuration::from_hours(24 * SOON);
        let (mut all, mut ending) = (0, 0);
        for row in standing.certificates_of(organization).filter(good) {
            all += 1;
            ending += usize::from(row.not_after < soon);
        }
        (all, ending)
    }
}

/// 未定, 調整中, 予定, 開始
fn place(start: StartState) -> usize {
    match start {
        StartState::Undecided => 0,
        StartState::Coordinating => 1,
        StartState::Planned(_) => 2,
        StartState::Started(_) => 3,
    }
}

/// From the beginning of the first day of a mode until the end of its last, in Japan.
fn days_of(mode: &DisasterMode) -> (Timestamp, Timestamp) {
    let begins = |day: Date| dates::instant_in_japan(day.at(0, 0, 0, 0));
    let after = mode.period.to().and_then(|to| to.tomorrow().ok());
    (begins(mode.period.from()).unwrap_or(Timestamp::MIN), after.and_then(begins).unwrap_or(Timestamp::MAX))
}

fn line_of(mode: DisasterMode, today: Date) -> DisasterLine {
    let approved = !mode.opened_by.1.0.is_empty();
    let (state, state_name) = match (approved, mode.closed_at, mode.period.to()) {
        (_, Some(_), _) => ("closed", "終了"),
        (_, _, Some(to)) if to < today => ("over", "期間終了"),
        (false, ..) => ("proposed", "承認待ち"),
        _ if today < mode.period.from() => ("planned", "開始前"),
        _ => ("open", "運用中"),
    };
    let account = |id: &str| id.rsplit_once('/').map_or(id, |(_, name)| name).to_owned();
    DisasterLine {
        proposed_by: account(&mode.opened_by.0.0),
        approved_by: approved.then(|| account(&mode.opened_by.1.0)),
        id: mode.id,
        event: mode.event,
        areas: mode.areas,
        classes: mode.classes,
        offices: mode.offices,
        hosts: mode.hosts,
        without_consent: mode.without_consent,
        from: mode.period.from(),
        to: mode.period.to(),
        state,
        state_name,
        closed_at: mode.closed_at,
    }
}
