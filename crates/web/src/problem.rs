//! Errors as the client reads them: the one function from [`kiban_service::Error`] to a status and a problem document
//! (RFC 9457, docs/decisions/0001). The document is written by `guard`, which knows the request id.
//!
//! Every document is padded with spaces to a multiple of 64 bytes, and all answers of "nothing you may know of" are the
//! same bytes apart from the request id, so that a length tells nothing (T-35).

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kiban_service::{Counts, Error, ItemFault};
use serde_json::{Value, json};

/// An error on its way to the client.
#[derive(Debug, Clone)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable code, one of [`crate::codes`]; also the end of `type`.
    pub code: &'static str,
    /// What happened, in Japanese.
    pub title: String,
    /// What to do next, in Japanese.
    pub detail: String,
    rest: Box<Rest>,
}

#[derive(Debug, Clone, Default)]
struct Rest {
    /// More members: `rule`, `requirement`, `items`, `outcome`, `result`.
    members: Vec<(&'static str, Value)>,
    headers: Vec<(header::HeaderName, HeaderValue)>,
    /// For the log only.
    log: Option<String>,
}

/// Bodies are padded to a multiple of this many bytes.
const PAD: usize = 64;

impl Problem {
    /// A problem of these words.
    pub fn new(status: StatusCode, code: &'static str, title: &str, detail: &str) -> Self {
        debug_assert!(crate::codes::is_listed(status.as_u16(), code), "{status} {code} is not in codes.rs");
        Self { status, code, title: title.to_owned(), detail: detail.to_owned(), rest: Box::default() }
    }

    /// Nothing there, or nothing the caller may know of: one answer for both.
    pub fn unknown() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown",
            "該当する情報はありません",
            "番号や受付番号の入力を確かめてください。利用者の情報は、本人確認と担当事業所の登録をすると見られます",
        )
    }

    /// Items that cannot be used.
    pub fn invalid(items: Vec<ItemFault>) -> Self {
        let detail = "items に挙げた項目を直して、もう一度送ってください";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "入力に誤りがあります", detail).with("items", items)
    }

    /// Not authenticated; the code says what is missing.
    pub fn unauthenticated(code: &'static str) -> Self {
        let (title, detail) = match code {
            "initial_password_expired" => {
                ("仮のパスワードの期限が切れています", "管理者の人に、もう一度出してもらってください")
            }
            "idle" => ("しばらく操作がなかったため、終わりました", "もう一度ログインしてください"),
            "second_factor_required" => {
                ("第二要素の数字が必要です", "認証アプリかメールの6けたの数字、または回復コードを送ってください")
            }
            "second_factor_setup_required" => (
                "第二要素を設定してください",
                "この基盤では、認証アプリの数字が求められています。設定すると使えるようになります",
            ),
            "password_change_required" => (
                "仮のパスワードを変えてください",
                "自分だけが知るパスワードに変えると使えるようになります。ソフトで使うときも、先に画面でログインして変えてください",
            ),
            "fresh_proof_required" => (
                "もう一度、パスワードで確かめてください",
                "大切な操作です。POST /api/v1/session/proof にパスワード（第二要素があればその数字も）を送り、新しいトークンでもう一度送ってください",
            ),
            "binding" => (
                "ログインした電子証明書と違います",
                "ログインしたときと同じ端末の電子証明書で接続するか、この端末でログインし直してください",
            ),
            "refresh_reused" => (
                "使い終わった更新トークンです",
                "安全のため、このログインを終わらせました。ログインし直してください。心当たりがないときは管理者に知らせてください",
            ),
            "certificate_required" => {
                ("電子証明書が必要です", "この事業所の端末用電子証明書を組み込んで、接続し直してください")
            }
            "certificate_unknown" => (
                "登録されていない電子証明書です",
                "この基盤が発行した電子証明書か確かめてください。続くときは運用者に問い合わせてください",
            ),
            "certificate_revoked" => ("失効した電子証明書です", "新しい電子証明書の発行を運用者に申し込んでください"),
            "certificate_expired" => {
                ("期限の切れた電子証明書です", "新しい電子証明書の発行を運用者に申し込んでください")
            }
            "connector_certificate" => (
                "接続プログラム用の電子証明書です",
                "この証明書ではログインできません。画面を使うときは、端末用の電子証明書で接続し直してください",
            ),
            "closed_line_only" => (
                "閉域網用の電子証明書です",
                "医療機関の接続プログラムは、閉域網の受口に接続してください。画面を使うときは、端末用の電子証明書で接続し直してください",
            ),
            "office_inactive" => ("この事業所は利用を止めています", "利用の登録の状態を運用者に問い合わせてください"),
            _ => ("ログインが必要です", "ログインして、発行されたトークンを Authorization: Bearer で送ってください"),
        };
        Self::new(StatusCode::UNAUTHORIZED, code, title, detail).challenge()
    }

    fn wrong_password(left: i32, minutes: i64) -> Self {
        let detail = format!("入力を確かめて、もう一度ログインしてください。{}", until_lock(left, minutes));
        let title = "アカウントまたはパスワードが違います";
        Self::new(StatusCode::UNAUTHORIZED, "wrong_password", title, &detail).challenge()
    }

    fn wrong_code(left: i32, minutes: i64) -> Self {
        let next = until_lock(left, minutes);
        let detail = format!(
            "認証アプリに次に出る数字か、最後に届いたメールの数字を入力してください。同じ数字は一度だけ使えます。{next}"
        );
        Self::new(StatusCode::UNAUTHORIZED, "wrong_code", "数字が違います", &detail).challenge()
    }

    fn wrong_passkey(left: i32, minutes: i64, rule: &'static str) -> Self {
        let next = until_lock(left, minutes);
        let why = match rule {
            "passkey_challenge" => "時間が過ぎたか、もう使った答えです。もう一度はじめてください。",
            "passkey_counter" => {
                "このパスキーは、複製されたおそれがあるため受け付けません。管理者に伝え、ほかの第二要素を使ってください。"
            }
            "passkey_not_present" | "passkey_not_verified" => {
                "端末での本人の確認（PIN・指・顔）がありません。確認のできる端末で、もう一度はじめてください。"
            }
            _ => "このアカウントに登録したパスキーを選んで、もう一度はじめてください。",
        };
        Self::new(
            StatusCode::UNAUTHORIZED,
            "wrong_passkey",
            "パスキーで確かめられませんでした",
            &format!("{why}{next}"),
        )
        .challenge()
        .with("rule", rule)
    }

    fn locked(seconds: u64) -> Self {
        let detail = format!(
            "この端末では、あと{}待ってからログインしてください。事業所のほかの端末では使えます。パスワードを忘れたときは、管理者に仮のパスワードを出してもらってください",
            if seconds > 60 { format!("{}分", seconds.div_ceil(60)) } else { format!("{seconds}秒") },
        );
        let title = "間違いが続いたため、この端末では使えません";
        Self::new(StatusCode::UNAUTHORIZED, "locked", title, &detail).challenge().retry_after(seconds)
    }

    fn challenge(self) -> Self {
        self.header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"kiban\""))
    }

    /// A person came back from the provider and is not logged in: one answer for every reason.
    pub(crate) fn person_log_in() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "person_log_in",
            "ログインできませんでした",
            "時間がたちすぎたか、ほかの画面から来たためです。この画面を閉じずに、はじめから もう一度 ログインしてください。",
        )
    }

    /// A problem of the platform; what happened goes to the log only.
    pub fn internal(log: impl Into<String>) -> Self {
        let detail = "登録や変更を送ったときは結果を確認してから、時間をおいてもう一度送ってください。続くときは request_id を添えて運用者に連絡してください";
        let mut problem =
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "基盤の内部でエラーが起きました", detail);
        problem.rest.log = Some(log.into());
        problem
    }

    /// No place at this moment; nothing of the request was read.
    pub(crate) fn busy(title: &str, seconds: u64) -> Self {
        let detail = "この要求は行っていません。前の操作が終わってから、もう一度送ってください";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", title, detail).retry_after(seconds)
    }

    /// The organisation has made as many requests as it may; nothing of this one was read.
    pub(crate) fn too_many_requests(counts: Counts, seconds: u64) -> Self {
        let title = match counts {
            Counts::Request | Counts::Slips => "この機関からの要求が多すぎます",
            Counts::DisasterSearch => "この機関からの災害時の検索が多すぎます",
            Counts::Portal | Counts::PortalLogIn | Counts::PortalReturn(_) => "同じ回線からの操作が多すぎます",
        };
        let detail = "この要求は行っていません。Retry-After の秒数を待ってから、もう一度送ってください。業務に必要なときは、上限を運用者に相談してください";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "request_quota", title, detail).retry_after(seconds)
    }

    /// Try again in a moment. A write may have been done before the fault, so the words promise nothing.
    pub fn unavailable(log: impl Into<String>) -> Self {
        let detail = "しばらく待ってから、もう一度送ってください。登録や変更を送ったときは、先に一覧や受付番号で結果を確認してください";
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "ただいま混み合っているか、停止しています",
            detail,
        )
        .retry_after(5);
        problem.rest.log = Some(log.into());
        problem
    }

    /// Whether something was done is not known (decision 0006.34).
    pub fn outcome_unknown() -> Self {
        let detail = "登録されたかどうかを確かめられませんでした。一覧や受付番号で状態を確かめてから、必要なら同じ内容をもう一度送ってください";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "outcome_unknown", "結果を確認できません", detail)
            .with("outcome", "unknown")
            .retry_after(5)
    }

    /// With one more member.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl serde::Serialize) -> Self {
        self.rest.members.push((name, serde_json::to_value(value).unwrap_or_default()));
        self
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.rest.headers.push((name, value));
        self
    }

    fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// What the log may hold of it: English words only, no values (style: never names, numbers or bodies in a log).
    pub(crate) fn for_log(&self) -> Option<String> {
        self.rest.log.as_deref().map(without_values)
    }

    /// Item and message of each item that cannot be used.
    pub(crate) fn items(&self) -> Vec<(String, String)> {
        let items = self.rest.members.iter().find(|(name, _)| *name == "items").and_then(|(_, items)| items.as_array());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        items.into_iter().flatten().map(|item| (text(&item["item"]), text(&item["message"]))).collect()
    }

    /// Every problem of files that cannot be taken.
    pub(crate) fn files(&self) -> Vec<kiban_service::ReportedProblem> {
        let found = self.rest.members.iter().find(|(name, _)| *name == "problems");
        found.and_then(|(_, problems)| serde_json::from_value(problems.clone()).ok()).unwrap_or_default()
    }

    /// The document.
    pub(crate) fn render(self, request_id: &str) -> Response {
        let mut document = json!({
            "type": format!("urn:kiban:problem:{}", self.code),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        });
        for (name, value) in self.rest.members {
            document[name] = value;
        }
        let mut body = document.to_string();
        body.extend(std::iter::repeat_n(' ', body.len().next_multiple_of(PAD) - body.len()));
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        for (name, value) in self.rest.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl Problem {
    /// `Retry-After`, for an answer in another form.
    pub(crate) fn wait(&self) -> Option<HeaderValue> {
        let mut headers = self.rest.headers.iter();
        headers.find(|(name, _)| *name == header::RETRY_AFTER).map(|(_, value)| value.clone())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(items) => Self::invalid(items),
            Error::Unknown => Self::unknown(),
            Error::NotMatched => Self::new(
                StatusCode::NOT_FOUND,
                "not_matched",
                "被保険者証の4項目と一致する人がいません",
                "被保険者証を見て、番号・氏名カナ・生年月日・性別を確かめてください。合っているときは市区町村に問い合わせてください",
            ),
            Error::Files(problems) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "refused_files",
                "ファイルに誤りがあります",
                "problems の内容を直して、もう一度送ってください。何も送っていません",
            )
            .with("problems", problems),
            Error::NotConnected(next) => {
                Self::new(StatusCode::CONFLICT, "not_connected", "宛先の事業所に送れません", next)
            }
            Error::NotOpened(next) => {
                Self::new(StatusCode::CONFLICT, "not_opened", "この保険者のデータはまだ受け取れません", next)
            }
            Error::Refused(refusal) => {
                let problem = Self::new(StatusCode::FORBIDDEN, refusal.rule.code(), &refusal.reason, &refusal.next)
                    .with("rule", refusal.rule.code())
                    .with("requirement", refusal.requirement);
                match refusal.start {
                    Some(start) => problem.with("start", start),
                    None => problem,
                }
            }
            Error::Unauthenticated("person_log_in") => Self::person_log_in(),
            Error::WrongPassword { left, minutes } => Self::wrong_password(left, minutes),
            Error::WrongCode((left, minutes)) => Self::wrong_code(left, minutes),
            Error::WrongPasskey((left, minutes), rule) => Self::wrong_passkey(left, minutes, rule),
            Error::Locked(seconds) => Self::locked(seconds),
            Error::Unauthenticated(code) => Self::unauthenticated(code),
            Error::TooMany(seconds) => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many",
                "入力の間違いが続いたため、この内容での確認を止めています",
                "明日もう一度確認してください。急ぐときは市区町村に問い合わせてください",
            )
            .retry_after(seconds),
            Error::Quota(what, seconds) => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "quota",
                what,
                "時間をおいて、もう一度操作してください。業務に必要なときは運用者に連絡してください",
            )
            .retry_after(seconds),
            // Some conflicts come from the store in English; only Japanese ones are for the reader.
            Error::Conflict(what) if what.is_ascii() => {
                let mut problem = Self::conflict("同時に変更されました");
                problem.rest.log = Some(what.to_owned());
                problem
            }
            Error::Conflict(what) => Self::conflict(what),
            Error::NotMailed => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "not_mailed",
                "メールを送れませんでした",
                "しばらく待って、もう一度送ってください。急ぐときは、回復コードを使ってください。続くときは運用者に知らせてください",
            )
            .retry_after(60),
            Error::Unavailable(log) => Self::unavailable(log),
            Error::OutcomeUnknown => Self::outcome_unknown(),
            Error::Internal(log) => Self::internal(log),
        }
    }
}

impl Problem {
    fn conflict(title: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", title, "今の状態を確かめてから、必要ならもう一度操作してください")
    }
}

/// What follows from failing again.
fn until_lock(left: i32, minutes: i64) -> String {
    match (left, minutes) {
        (_, 0) => "続けて間違えると、この端末ではしばらく使えなくなります".to_owned(),
        (0, minutes) => format!("この端末では、これから{minutes}分間 使えません。ほかの端末では使えます"),
        (left, minutes) => format!("あと{left}回で、この端末では{minutes}分間 使えなくなります"),
    }
}

/// Leaves the document to `guard`.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Takes everything out of an error text that could be a value: quoted parts, numbers, anything not ASCII.
fn without_values(text: &str) -> String {
    let mut out = String::new();
    let mut quote = None;
    for c in text.chars().take(400) {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '`') => {
                quote = Some(c);
                out.push('…');
            }
            None if c.is_ascii_digit() && out.ends_with('#') => {}
            None if c.is_ascii_digit() => out.push('#'),
            None if c.is_ascii() && !c.is_ascii_control() => out.push(c),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_reaches_the_log() {
        let text = "invalid value: string \"カクウ\", number 1234567890 in `kana` at 架空";
        assert_eq!(without_values(text), "invalid value: string …, number # in … at ");
    }
}
