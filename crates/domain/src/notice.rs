//! 知らせ: what an organisation should know, or do something about, without having asked (P-149).

use serde::{Deserialize, Serialize};

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// To the municipality: the four items of a 不開示 person were typed by an office it has not confirmed (T-1).
    WithheldTyped,
    /// To municipality, operator and the office's administrator: many mismatches at 本人確認 in one day (T-4).
    ManyMismatches,
    /// To the organisation's administrator, the operator and the municipalities of the people: one member of staff looked at
    /// many people in an hour (P-189).
    MassViewing,
    /// The same: at people in the night.
    NightViewing,
    /// The same: tried to open people who are not the organisation's.
    ForeignAttempts,
    /// To the operator: a certificate of the own authority that is on no list was presented (T-15).
    UnknownCertificate,
    /// To the operator and its organisation's administrator: a revoked certificate is still being used.
    RevokedCertificate,
    /// To the municipality: an organisation found its insured by the disaster search (P-124).
    DisasterLooks,
    /// To the operator and the organisation's administrator: the limit of disaster searches or views was reached (T-6).
    DisasterLimit,
    /// To the organisation's administrator: a refresh token was used twice or over another certificate; the log-in has ended.
    RefreshReused,
    /// To an office: its registration for a person is looked at again by the municipality (P-111).
    RegistrationReview,
    /// To the operator: somebody applies for a certificate (P-182).
    CertificateApplied,
    /// To its organisation, near the end to the operator too: a certificate ends soon (P-182).
    CertificateEnding,
    /// To the administrators of its organisation: somebody, or its program, renewed a certificate over itself (P-182).
    CertificateRenewed,
    /// To its sender: the municipality sent a document back (P-133, P-138).
    SubmissionReturned,
    /// To an office: another office sent it a plan, slips or results (P-142).
    SlipReceived,
    /// To the organisation's administrators: the counter of a passkey did not go on, so that there may be a copy of it (P-183).
    PasskeyCopied,
    /// To the municipality and the office: the person or a proxy acted at the person's own door (T-2).
    PersonActed,
}

impl NoticeKind {
    /// All kinds.
    pub const ALL: [Self; 18] = [
        Self::MassViewing,
        Self::NightViewing,
        Self::ForeignAttempts,
        Self::WithheldTyped,
        Self::ManyMismatches,
        Self::UnknownCertificate,
        Self::RevokedCertificate,
        Self::RegistrationReview,
        Self::SubmissionReturned,
        Self::DisasterLooks,
        Self::DisasterLimit,
        Self::RefreshReused,
        Self::PasskeyCopied,
        Self::SlipReceived,
        Self::CertificateApplied,
        Self::CertificateEnding,
        Self::CertificateRenewed,
        Self::PersonActed,
    ];

    /// Code under which it is stored.
    pub fn code(self) -> &'static str {
        match self {
            Self::WithheldTyped => "withheld_typed",
            Self::ManyMismatches => "many_mismatches",
            Self::MassViewing => "mass_viewing",
            Self::NightViewing => "night_viewing",
            Self::ForeignAttempts => "foreign_attempts",
            Self::UnknownCertificate => "unknown_certificate",
            Self::RevokedCertificate => "revoked_certificate",
            Self::DisasterLooks => "disaster_looks",
            Self::DisasterLimit => "disaster_limit",
            Self::RefreshReused => "refresh_reused",
            Self::PasskeyCopied => "passkey_copied",
            Self::RegistrationReview => "registration_review",
            Self::CertificateApplied => "certificate_applied",
            Self::CertificateEnding => "certificate_ending",
            Self::CertificateRenewed => "certificate_renewed",
            Self::SubmissionReturned => "submission_returned",
            Self::SlipReceived => "slip_received",
            Self::PersonActed => "person_acted",
        }
    }

    /// Inverse of [`NoticeKind::code`].
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// What happened, in Japanese.
    pub fn name_ja(self) -> &'static str {
        match self {
            Self::WithheldTyped => "不開示の人の4項目が、確認していない事業所で入力されました",
            Self::ManyMismatches => "本人確認の不一致が続いています",
            Self::MassViewing => "1人の職員が1時間に多くの人の情報を見ました",
            Self::NightViewing => "1人の職員が夜間に多くの人の情報を見ました",
            Self::ForeignAttempts => "1人の職員が、担当していない人を続けて開こうとしました",
            Self::UnknownCertificate => "登録のない電子証明書で接続しようとした端末があります",
            Self::RevokedCertificate => "失効した電子証明書で接続しようとした端末があります",
            Self::DisasterLooks => "災害時モードで被保険者が検索されました",
            Self::DisasterLimit => "災害時の検索・閲覧が回数の上限に達しました",
            Self::RefreshReused => "使い終わった更新トークンが使われたため、そのログインを終わらせました",
            Self::PasskeyCopied => "職員のパスキーが、複製されて使われたおそれがあります。その答えは受け付けていません",
            Self::RegistrationReview => "担当事業所登録を市区町村が見直しています",
            Self::CertificateApplied => "電子証明書の申込みがありました",
            Self::CertificateEnding => "電子証明書の期限が近づいています",
            Self::CertificateRenewed => "電子証明書が更新されました",
            Self::SubmissionReturned => "提出した書類が差し戻されました",
            Self::SlipReceived => "ケアプラン・提供票・実績が届きました",
            Self::PersonActed => "本人・代理の方が、本人の画面で手続きをしました",
        }
    }

    /// What to do, in Japanese.
    pub fn next_ja(self) -> &'static str {
        match self {
            Self::WithheldTyped => {
                "その事業所が本当に担当しているか、ご本人と事業所に確かめてください。担当であれば事業所を確認済みにし、そうでなければ事業所に事情を聞いてください"
            }
            Self::ManyMismatches => {
                "入力した職員に事情を確かめてください。被保険者証を見ずに番号を試していた場合は、運用者と市区町村に連絡してください"
            }
            Self::MassViewing | Self::NightViewing => {
                "閲覧記録で何を見たかを確かめ、その職員に事情を聞いてください。仕事に要らない閲覧であれば、アカウントを止め、市区町村と運用者に連絡してください"
            }
            Self::ForeignAttempts => {
                "その職員に事情を聞いてください。担当の終わった人を開いただけのこともあります。心当たりがないときは、アカウントを止め、端末を調べてください"
            }
            Self::UnknownCertificate => {
                "認証局の鍵が使われた可能性があります。番号（serial）を発行の記録と照合し、記録にないときは認証局を止めてください"
            }
            Self::RevokedCertificate => {
                "紛失・廃棄した端末が使われていないか確かめてください。心当たりのない接続元であれば運用者に連絡してください"
            }
            Self::DisasterLooks => {
                "災害時の閲覧の一覧で、だれが・何のために見たかを確かめてください。理由に心当たりがないときは運用者に連絡してください"
            }
            Self::DisasterLimit => {
                "避難者の多い事業所であれば、上限を上げるか時間をおいてください。そうでなければ、検索した職員に事情を確かめてください"
            }
            Self::RefreshReused => {
                "ソフトが同じ更新トークンを二度送っていないか、ベンダーに確かめてください。心当たりがないときはトークンが盗まれた可能性があります。端末を調べ、運用者に電子証明書の失効を相談してください"
            }
            Self::PasskeyCopied => {
                "その職員に、パスキーのある端末や鍵を人に渡したり、なくしたりしていないか確かめてください。そのパスキーを削除して作り直し、心当たりがないときはアカウントを止めて、運用者に連絡してください"
            }
            Self::RegistrationReview => {
                "閲覧期限までに前の月の精算を終え、担当が続く場合は市区町村に連絡してください。担当が終わったときは登録を終了してください"
            }
            Self::CertificateApplied => {
                "登録されている電話番号に連絡して、申込みと確認番号（key_check）が事業所のものであることを確かめてから承認してください。承認には別の運用者の承認も要ります"
            }
            Self::CertificateEnding => {
                "期限までに、その端末から更新してください（docs/certificates.md）。使っていない端末であれば失効させてください"
            }
            Self::CertificateRenewed => {
                "心当たりがないときは、元の証明書（serial）を失効させてください。そこから更新した証明書も失効します。そのうえで、端末を調べ、運用者に連絡してください"
            }
            Self::SubmissionReturned => "差戻しの理由を確かめ、直して提出し直してください",
            Self::PersonActed => {
                "同意・担当・家族の閲覧のどれが変わったかを facts で確かめてください。次の閲覧から変わっています。代理の方が行ったときは、ご本人の意向も確かめてください"
            }
            Self::SlipReceived => {
                "受信の一覧から取得して、介護ソフトに取り込んでください。一覧にないときは、送信元が取り消しています"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_again_by_its_code_and_says_what_to_do() {
        for kind in NoticeKind::ALL {
            assert_eq!(NoticeKind::parse(kind.code()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.code());
            assert!(kind.next_ja().contains("ください"));
        }
        assert_eq!(NoticeKind::parse("nothing"), None);
    }
}
