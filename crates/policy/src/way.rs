//! 入口: what each way in may be used for (`tables/ways.tsv`, P-165, P-166). Asked before the decision, never instead.

use crate::table::{Row, SharingTable, TableError};
use crate::tsv;

/// How a request arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// A person at a screen, fully logged in.
    Interactive,
    /// A vendor's program acting for a staff member.
    VendorProgram,
    /// A program of a municipality, logged in as a member of its staff.
    CityProgram,
    /// An unattended program of a municipality or hospital, with a certificate and no log-in: packages, inbox and opinions.
    Connector,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UseCase {
    /// Identity check and 担当事業所登録.
    Eligibility,
    /// 同意の登録・撤回.
    RecordConsent,
    /// 居宅サービス計画作成依頼届出.
    FilePlanRequest,
    /// 主治医意見書の提出.
    SubmitOpinion,
    /// Disaster search and view.
    Disaster,
    /// The office's own list of users.
    ListPeople,
    /// ケアプランの送受信, 交付用登録.
    ExchangePlan,
    /// 同意・確認用登録: a draft for the person to agree to online. No way is open for it: it is not offered (P-144).
    ConfirmPlan,
    /// LIFE files of an office (P-141).
    ImportLife,
    /// 給付実績 of a municipality, for the end of viewing only (P-108, P-173).
    ImportClaims,
    /// Who looked at this person.
    LookUpLog,
    /// A file package.
    ImportPackage,
    /// 提出物の受取り・受理.
    Inbox,
    /// 知らせの確認.
    Notices,
    /// 職員アカウントの停止・再開 (S-011).
    Accounts,
    /// 利用開始の登録と取消 (P-131).
    Start,
    /// A municipality's own data back, as files (P-160).
    Export,
    /// Counts and reports for the municipality (P-075, P-239).
    Statistics,
    /// Applying for certificates, their list, their revocation (P-182).
    Certificates,
    /// A new certificate over the one in use.
    RenewCertificate,
    /// Viewing one kind.
    View(Row),
}

impl UseCase {
    fn code(self) -> String {
        let name = match self {
            Self::Eligibility => "eligibility",
            Self::RecordConsent => "record_consent",
            Self::FilePlanRequest => "file_plan_request",
            Self::SubmitOpinion => "submit_opinion",
            Self::Disaster => "disaster",
            Self::ListPeople => "list_people",
            Self::ExchangePlan => "exchange_plan",
            Self::ConfirmPlan => "confirm_plan",
            Self::ImportLife => "import_life",
            Self::ImportClaims => "import_claims",
            Self::LookUpLog => "look_up_log",
            Self::ImportPackage => "import_package",
            Self::Inbox => "inbox",
            Self::Notices => "notices",
            Self::Accounts => "accounts",
            Self::Start => "start",
            Self::Export => "export",
            Self::Statistics => "statistics",
            Self::Certificates => "certificates",
            Self::RenewCertificate => "renew_certificate",
            Self::View(row) => return format!("view:{}", row.code()),
        };
        name.to_owned()
    }
}

/// Whether this way in is open for this use case. What the table does not name is closed.
pub fn way_allows(way: Way, use_case: UseCase, table: &SharingTable) -> bool {
    // ※3: asking for claims ends in "not stored", which a person at a screen may be told.
    if matches!(use_case, UseCase::View(row) if !row.is_stored()) {
        return way == Way::Interactive;
    }
    table.way_rule(&use_case.code()).is_some_and(|rule| rule.open[way as usize])
}

/// One line of `ways.tsv`.
#[derive(Debug, Clone)]
pub(crate) struct WayRule {
    pub(crate) code: String,
    pub(crate) open: [bool; 4],
}

pub(crate) fn parse(text: &str) -> Result<Vec<WayRule>, TableError> {
    let columns = ["操作", "名称", "画面", "ソフト連携", "市のソフト", "接続プログラム", "要件"];
    let mut out: Vec<WayRule> = Vec::new();
    for line in tsv::lines("ways.tsv", text, &columns)? {
        let code = line.text(0)?.to_owned();
        if out.iter().any(|known| known.code == code) {
            return Err(line.error(0));
        }
        out.push(WayRule { code, open: [line.yes(2)?, line.yes(3)?, line.yes(4)?, line.yes(5)?] });
    }
    Ok(out)
}
