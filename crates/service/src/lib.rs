//! What people do: one use case per file, one transaction each. Every use case ends in the same three steps: facts in
//! one round trip, one pure decision, effect with its audit entry durable before the answer (ARCHITECTURE.md).

mod abuse;
mod account_life;
mod accounts;
mod announcements;
mod caller;
mod certificate_care;
mod certificates;
mod claim_values;
mod clock;
mod consent;
#[cfg(test)]
mod covered;
mod decision;
mod disaster;
mod disaster_looks;
mod disaster_query;
mod eligibility;
mod error;
mod export;
mod export_history;
mod export_others;
mod fresh;
mod handle;
mod handshakes;
mod housekeeping;
mod identification;
mod idle;
mod intake;
mod intake_blank;
mod intake_claims;
mod intake_dry;
mod intake_held;
mod intake_judge;
mod intake_kinds;
mod intake_life;
mod intake_plans;
mod intake_upload;
mod intake_usage;
mod intake_work;
mod life_trend;
mod limits;
mod look_ups;
mod mail;
mod mail_factor;
mod municipality;
mod notices;
mod numbers;
mod once;
mod operator;
mod operator_proof;
mod operator_view;
mod opinion_file;
mod opinion_work;
mod own_account;
mod paper_notices;
mod passkey;
mod passwords;
mod people;
mod permits;
mod person_access;
mod plan_documents;
mod plan_maker;
mod plan_offices;
mod portal;
mod purge;
mod quota;
mod receipts;
mod recorded;
mod refresh;
mod registration;
mod renewals;
mod request_work;
mod result_file;
mod retention;
mod row_order;
mod rules;
mod running;
mod second_factor;
mod self_check;
mod sessions;
mod slip_checks;
mod slips;
mod staff_looks;
mod standing;
mod start;
mod statistics;
mod submission;
mod switches;
mod tag;
mod totp;
mod union_members;
mod view;
mod withheld;

pub use account_life::{AccountLine, AccountList, InitialPassword, Invitation, NewAccount, SessionLine, is_job_of};
pub use accounts::{LogIn, LoggedIn, Stage, hash_password};
pub use announcements::{AnnouncementLine, NewAnnouncement};
pub use caller::{Caller, Context, Peer};
pub use certificate_care::{CertificateLine, CertificateLines, RENEWAL_DAYS, RevocationAsk};
pub use certificates::{CertificateApplication, CertificateApproval, CertificateAsk};
pub use claim_values::{ClaimPart, ClaimValues, DayValues};
pub use consent::{ConsentDesk, ConsentRequest, ConsentTaken};
pub use disaster::{DisasterFound, DisasterProposal, FoundPerson, NotStarted, OpenDisaster};
pub use disaster_looks::SeenInDisaster;
pub use disaster_query::DisasterQuery;
pub use eligibility::Eligibility;
pub use error::{Error, ItemFault, Refusal};
pub use export::{Export, ExportContents, ExportOrder, ExportPart, ExportReport, ExportedPackage, NOT_EXPORTED};
pub use handshakes::RefusedHandshakes;
pub use identification::{CardChallenge, Identification, NoticeLine, PaperNotice, Scanned};
pub use intake::{IntakeProgress, IntakeResult, PackageReport, ReportedProblem};
pub use intake_dry::{Difference, DryRun, Missing, MissingRow, RowChanges, SampleRow};
pub use intake_upload::{Received, Upload};
pub use intake_work::Work;
pub use kiban_formats::json_holds_individual_number;
pub use kiban_formats::municipal::{LabelledItem, labelled};
pub use kiban_formats::text::{holds_individual_number, is_hidden, is_private};
pub use kiban_pki::passkey::{Site as PasskeySite, bytes_of as passkey_bytes};
pub use kiban_policy::{Rule, Way};
pub use kiban_store::{Hides, Measures, Original, PersonLog, ReceiptCounts, SlipSide};
pub use life_trend::LifeTrendView;
pub use look_ups::LookUp;
pub use mail::{MailSettings, MailTls, Mailer};
pub use mail_factor::Mailed;
pub use notices::{NoticePage, NoticeView};
pub use numbers::{NumberChange, PersonNumber, PersonNumbers};
pub use once::{Once, digest_of_files};
pub use operator_proof::{OperatorProof, OperatorProved};
pub use operator_view::{
    AuditHead, AuditHeads, DisasterCount, DisasterLine, DisasterReport, InsurerLine, InsurerLines, LastPackage,
    OfficeLine, OfficeLines,
};
pub use opinion_file::{FiledOpinion, OpinionFileReport, OpinionFormat};
pub use opinion_work::{FormerOpinion, OpinionLine, OpinionStep, OpinionWork};
pub use own_account::PasswordChange;
pub use paper_notices::{BundledNotice, NoticesOrder, NoticesPart, NoticesReport, PAPERS_OF_A_BUNDLE, PaperNotices};
pub use passkey::{LONGEST_PASSKEY_TEXT, NewPasskey, PasskeyAnswer, PasskeyLine, PasskeyOffer, PasskeyQuestion};
pub use people::{PeoplePage, PersonStatus};
pub use person_access::{FormerOffice, OfficeAccess, PersonAccess};
pub use plan_offices::Review;
pub use portal::{
    AtPortal, BlockMade, EarlierNumber, LOOK_DAYS, LogInAttempt, Looking, MyConsent, MyLook, MyOffice, PersonClaims,
    PortalChoice, PortalCode, PortalDesk, PortalGrantView, PortalNext, ProxyAsk, ProxyBlock,
};
pub use quota::Counts;
pub use receipts::ReceiptLine;
pub use recorded::Answered;
pub use registration::{OfficeDecision, Registered, RegistrationRequest};
pub use renewals::{Lines, LinesPart, RenewalDue, RenewalsDue, Warning};
pub use request_work::{RequestLine, RequestWork};
pub use result_file::cell as csv_cell;
pub use rules::{RuleCell, RuleClass, RuleRow, Rules};
pub use second_factor::{FactorPolicy, FactorProof, FactorSetup, FactorState};
pub use self_check::{CHECK_QUESTIONS, CheckAnswer, CheckMade, CheckQuestion, SELF_CHECK_EDITION};
pub use slips::{PrintedSlips, Reachable, SentSlip, SlipFile, SlipPage, SlipView, SlipWanted};
pub use staff_looks::{STAFF_LOOK_DAYS, StaffLook, StaffLooks, StaffLooksAsk};
pub use standing::Standing;
pub use start::{InsurerStart, OpenPackage, Reconciliation, StartChange, StartFilter, StartView};
pub use statistics::{Pending, Rate, Statistics, StatisticsState, Table, TableRow};
pub use submission::{Decide, Filed, InboxItem, InboxPerson, InboxState, OriginalInfo};
pub use switches::{SwitchAsk, SwitchDesk, SwitchLine};
pub use union_members::{MemberFault, MemberFinding};
pub use view::{Document, KindView, Offers, PersonPage, PlanMaker, WhyKind};
pub use withheld::LiftWithheld;

use kiban_domain::life_trend::Reference;
use kiban_domain::service_type::ServiceCodes;
use kiban_domain::{Timestamp, dates};
use kiban_policy::SharingTable;
use kiban_store::Store;
use std::sync::atomic::{AtomicI32, AtomicI64};
use std::sync::{Arc, RwLock};

/// Figures an operator may set; each is [inferred] in docs/requirements.md and therefore data.
#[derive(Debug, Clone)]
pub struct Config {
    /// Months without a claim after which viewing ends (P-108).
    pub months_without_claim: i32,
    /// Months after a 意見書依頼 during which it lets the hospital view (P-048; the notice names no end).
    pub months_of_opinion_request: i32,
    /// Mismatches a day with the same kana, birth and sex before that typed identity is locked (P-106).
    pub mismatches_per_identity: i32,
    /// Mismatches a day of one office with one insurer before it is locked.
    pub mismatches_per_office: i32,
    /// Failed log-ins in a row before a terminal waits a minute for the account, then twice as long after each (S-009).
    pub login_failures: i32,
    /// Minutes it waits at most.
    pub login_lock_minutes: i64,
    /// Days for which one can log in with an initial password (P-185).
    pub initial_password_days: i64,
    /// Minutes without a request after which a log-in at a screen ends (S-013).
    pub idle_minutes: i64,
    /// Minutes for which a proof of password and second factor is good for what weighs much (S-013).
    pub proof_minutes: i64,
    /// Whether the terminal's word about what オンライン資格確認 read suffices, as typing the four items does (P-172).
    pub online_qualification: bool,
    /// Of whom a second factor is asked at a screen (P-184).
    pub second_factor: FactorPolicy,
    /// Codes that are mailed to one account within an hour.
    pub mail_codes: i32,
    /// Days before the end of a period at which it is warned of; the longest is also when a renewal is due (P-033).
    pub warning_days: [i32; 3],
    /// Days after its request from which a 主治医意見書 counts as late.
    pub opinion_days: i32,
    /// Days after it was last saved for which a 主治医意見書 that is being written is kept.
    pub opinion_draft_days: i64,
    /// Counts leave the municipality in full steps of so many people, and below one not at all.
    pub smallest_cell: u64,
    /// Handshakes a day with one revoked certificate before operator and organisation are told.
    pub revoked_handshakes: i32,
    /// Hours for which the reason given at a disaster search opens the views of who gave it (P-124).
    pub disaster_reason_hours: i64,
    /// People one member of staff looks at in an hour before it is told (P-189); at a screen.
    pub mass_view_people: i32,
    /// The same through a program, which goes through the whole list of its office.
    pub mass_view_people_program: i32,
    /// The same between 22:00 and 5:00.
    pub night_view_people: i32,
    /// Addresses of people who are not the organisation's, tried by one member of staff in an hour before it is told.
    pub foreign_attempts: i32,
    /// Disaster searches of one organisation in one hour (T-6).
    pub disaster_searches: i32,
    /// Disaster views of one organisation in one hour (T-6).
    pub disaster_views: i32,
    /// Requests a minute of one office; five minutes' worth at once (decision 0006.29).
    pub office_requests: i32,
    /// The same of one insurer, prefecture or the operator.
    pub insurer_requests: i32,
    /// The same for disaster searches of one organisation, which do not count as requests.
    pub disaster_requests: i32,
    /// Requests a minute of one network (IPv6: /64) at the person's door; five minutes' worth at once. Many people may share one.
    pub portal_requests: i32,
    /// The same for beginning and finishing log-ins there and for one-time codes.
    pub portal_log_ins: i32,
    /// Minutes after the last request at which a log-in at the person's door is over (S-013).
    pub portal_idle_minutes: i64,
    /// Minutes after which it is over whatever is done.
    pub portal_log_in_minutes: i64,
    /// Days for which a one-time code of the municipality can be used.
    pub portal_code_days: i64,
    /// Wrong one-time codes of one log-in and day.
    pub portal_code_tries: i32,
    /// Years for which a proxy may be registered at most (P-002: an end date and a review).
    pub proxy_years: i32,
    /// Days after its end for which a log-in of the staff is kept; the last one of each account stays.
    pub session_days: i64,
    /// Hours for which the answer to a write under an Idempotency-Key is remembered.
    pub answer_hours: i64,
    /// Days after which a notice is deleted.
    pub notice_days: i64,
    /// Days after its return for which the content of a document is kept that nobody hands in again (P-201).
    pub returned_days: i64,
    /// Sets of files one office may send to others a day; a day's worth at once.
    pub slip_sets: i32,
    /// People in one upload of plans or of LIFE.
    pub upload_people: i32,
    /// Rows of all files of an upload of plans, or of a set between offices.
    pub upload_rows: i32,
    /// Entries of the log read for one answer about the looks of the own staff; then the answer says where it goes on.
    pub staff_look_entries: i32,
    /// Days after its sending after which a message between offices is deleted, whatever became of it (P-201).
    pub slip_days: i64,
    /// 比較表 beside the trend of LIFE.
    pub life_reference: Arc<Reference>,
    /// サービスコード表 of the installation, if it has one.
    pub service_codes: Option<Arc<ServiceCodes>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            months_without_claim: kiban_domain::assignment::DEFAULT_MONTHS_WITHOUT_CLAIM,
            months_of_opinion_request: 6,
            mismatches_per_identity: 5,
            mismatches_per_office: 50,
            login_failures: 5,
            login_lock_minutes: 15,
            initial_password_days: 7,
            idle_minutes: 15,
            proof_minutes: 15,
            online_qualification: false,
            second_factor: FactorPolicy::Nobody,
            mail_codes: 10,
            warning_days: [90, 60, 30],
            opinion_days: 14,
            opinion_draft_days: 60,
            smallest_cell: 10,
            revoked_handshakes: 3,
            disaster_reason_hours: 24,
            mass_view_people: 100,
            mass_view_people_program: 1_000,
            night_view_people: 20,
            foreign_attempts: 10,
            disaster_searches: 60,
            disaster_views: 300,
            office_requests: 600,
            insurer_requests: 3_000,
            disaster_requests: 60,
            portal_requests: 300,
            portal_log_ins: 30,
            portal_idle_minutes: 15,
            portal_log_in_minutes: 120,
            portal_code_days: 30,
            portal_code_tries: 5,
            proxy_years: 3,
            session_days: 30,
            answer_hours: 24,
            notice_days: 365,
            returned_days: 180,
            slip_sets: 2_000,
            upload_people: 2_000,
            upload_rows: 200_000,
            staff_look_entries: 5_000,
            slip_days: 180,
            life_reference: Arc::new(Reference::sample()),
            service_codes: None,
        }
    }
}

impl Config {
    /// Days before its end from which a certification is due for renewal.
    pub(crate) fn renewal_days(&self) -> i32 {
        self.warning_days.into_iter().max().unwrap_or_default()
    }
}

/// The platform: the store and what every use case shares. Cheap to clone.
#[derive(Clone)]
pub struct Platform {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    config: Config,
    standing: RwLock<Arc<Standing>>,
    /// One refreshes the standing map at a time, so that what was read before never replaces what was read after it. Holds what
    /// was read as a whole and waits for the next refresh.
    reading_standing: tokio::sync::Mutex<Option<Standing>>,
    sessions: sessions::Sessions,
    /// Of the last comparison with the database's clock, microseconds.
    clock_drift: AtomicI64,
    running_keys: once::RunningKeys,
    running: running::Running,
    quotas: quota::Quotas,
    unmatched: portal::Unmatched,
    passwords: passwords::Passwords,
    last_seen: idle::LastSeen,
    permits: permits::Permits,
    /// Day (as a number) on which what is past its time was last taken away.
    retained_on: AtomicI32,
    /// The authority's key, in a process that has it.
    authority: std::sync::OnceLock<Arc<kiban_pki::Ca>>,
    identification: std::sync::OnceLock<Identification>,
    mailer: std::sync::OnceLock<Mailer>,
    watch: abuse::Watch,
}

impl Platform {
    /// The platform over a store; reads the standing map once.
    pub async fn open(store: Store, config: Config, now: Timestamp) -> Result<Self, Error> {
        let standing = Standing::read(&store, now).await?;
        let inner = Inner {
            store,
            config,
            standing: RwLock::new(Arc::new(standing)),
            reading_standing: tokio::sync::Mutex::default(),
            sessions: sessions::Sessions::default(),
            running_keys: once::RunningKeys::default(),
            clock_drift: AtomicI64::new(0),
            running: running::Running::default(),
            quotas: quota::Quotas::default(),
            unmatched: portal::Unmatched::default(),
            passwords: passwords::Passwords::new(),
            last_seen: idle::LastSeen::default(),
            permits: permits::Permits::default(),
            retained_on: AtomicI32::new(0),
            authority: std::sync::OnceLock::new(),
            identification: std::sync::OnceLock::new(),
            mailer: std::sync::OnceLock::new(),
            watch: abuse::Watch::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The store, for commands that keep house (audit verification, backup).
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The sharing table of a day (P-040): live access uses the table of now.
    pub fn table_at(&self, now: Timestamp) -> Result<&'static SharingTable, Error> {
        SharingTable::at(dates::day_in_japan(now)).map_err(|error| Error::Internal(error.to_string()))
    }

    pub(crate) fn running(&self) -> &running::Running {
        &self.inner.running
    }
}

/// Work that keeps a processor busy for a while, elsewhere than where requests are answered.
pub(crate) async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(error.to_string()))
}

/// A random id of 128 bits in lower-case hexadecimal: request ids, receipts, submissions.
pub fn random_id() -> Result<String, Error> {
    let bytes: [u8; 16] = random()?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0u8; N];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| Error::Internal("no random numbers".to_owned()))?;
    Ok(bytes)
}
