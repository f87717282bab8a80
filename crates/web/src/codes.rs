//! Every code a problem document may have, once: `docs/api.md` and the description of the API are made from it, and no
//! problem is made with a code that is not here. Codes stay what they are; new ones may come.

use kiban_service::Rule;

/// A code.
pub struct Code {
    /// HTTP status.
    pub status: u16,
    /// The code.
    pub code: &'static str,
    /// What it means and what a program does about it, in Japanese.
    pub meaning: &'static str,
}

const fn code(status: u16, code: &'static str, meaning: &'static str) -> Code {
    Code { status, code, meaning }
}

/// All of them but the rules of sharing, which are codes of 403.
pub static CODES: &[Code] = &[
    code(400, "bad_json", "本文が JSON として読めない"),
    code(400, "bad_form", "画面のフォームとして読めない"),
    code(400, "foreign_form", "ほかのサイト、または別のログインの画面のフォーム。何もしていない"),
    code(400, "person_log_in", "本人のログインを終えられない。はじめからやり直す"),
    code(400, "bad_multipart", "`multipart/form-data` として読めない"),
    code(400, "cut", "本文が途中で切れている。もう一度送る"),
    code(
        401,
        "login_required",
        "ログインしていない、またはトークンの期限が切れたか終わった。更新トークンかパスワードで新しいトークンを受け取る",
    ),
    code(401, "wrong_password", "アカウントまたはパスワードが違う"),
    code(401, "locked", "間違いが続いたため、この電子証明書の端末ではしばらくログインできない。`Retry-After`"),
    code(401, "initial_password_expired", "仮のパスワードの期限が切れている。管理者に出し直してもらう"),
    code(
        401,
        "password_change_required",
        "仮のパスワードのまま。`PUT /api/v1/account/password`（または画面）で変えるまで、ほかのことはできない",
    ),
    code(
        401,
        "second_factor_required",
        "パスワードは合った。`token`（10分）で `POST /api/v1/session/factor` に認証アプリの数字か回復コード、またはパスキーの答えを送る。この token でほかのことはできない",
    ),
    code(401, "second_factor_setup_required", "第二要素の設定が求められている。設定するまで、ほかのことはできない"),
    code(
        401,
        "fresh_proof_required",
        "大切な操作（docs/accounts.md の一覧）。パスワード（と第二要素）を確かめてから15分（`proof_minutes`）を過ぎている。`POST /api/v1/session/proof` で確かめ直し、新しいトークンでもう一度送る",
    ),
    code(401, "wrong_code", "認証アプリの数字か回復コードが違う、または使い終わっている"),
    code(
        401,
        "wrong_passkey",
        "パスキーの答えを受け付けない。`rule` が理由（`passkey_challenge` は時間切れか使い終わり、`passkey_counter` は複製のおそれ）",
    ),
    code(401, "idle", "画面だけ。しばらく操作がなかったため、ログインが終わった"),
    code(401, "person_session", "本人の画面にログインしていない、または終わった"),
    code(401, "person_choice", "本人の画面で、だれの情報を見るかが決まっていない"),
    code(401, "binding", "ログインしたときと別の電子証明書で使われた。更新トークンならそのログインは終わる"),
    code(401, "refresh_reused", "使い終わった更新トークンが使われた。そのログインは終わったので、ログインし直す"),
    code(401, "certificate_required", "電子証明書を示していない"),
    code(401, "certificate_unknown", "登録されていない電子証明書"),
    code(401, "certificate_revoked", "失効した電子証明書"),
    code(401, "certificate_expired", "期限の切れた電子証明書"),
    code(401, "connector_certificate", "接続プログラム用の電子証明書ではログインできない"),
    code(401, "closed_line_only", "閉域網用の電子証明書は閉域網の受口でだけ使える"),
    code(401, "office_inactive", "この事業所は利用を止めている"),
    code(404, "unknown", "ない、または知らせられない。二つは区別できない"),
    code(404, "not_matched", "4項目が一致しない。どれが違うか、番号があるかは答えない"),
    code(405, "method_not_allowed", "このパスでは使えないメソッド。使えるものは `Allow`"),
    code(408, "slow", "送信に時間がかかりすぎた"),
    code(409, "conflict", "今の状態ではできない。または同じ `Idempotency-Key` の要求を処理している"),
    code(409, "other_writer", "画面だけ。下書きを書いた人と、いまログインしている人が違う。保存していない"),
    code(
        409,
        "not_opened",
        "この保険者は準備を始めていない（状態 未定）。調整中か予定にしてから送る（docs/municipality.md）",
    ),
    code(409, "not_connected", "宛先の事業所がまだ接続していない。印刷した提供票を渡す（docs/exchange.md）"),
    code(
        413,
        "too_large",
        "送られた内容が大きすぎる。JSON は 1 MiB、事業所のファイル（ケアプラン・LIFE）は合わせて 32 MiB、給付実績は 256 MiB、事業所への送信は 4 MiB、市区町村のパッケージは合わせて 4 GiB まで（どちらも 1,000 ファイル・30 分まで）。閉域網の意見書は 1 MiB まで",
    ),
    code(415, "media_type", "`Content-Type` が違う"),
    code(421, "wrong_host", "宛先のホスト名が違う"),
    code(422, "invalid", "`items` に直す項目"),
    code(
        422,
        "refused_files",
        "ファイルを取り込まなかった・送らなかった。`result` に受付番号と、行・列ごとの問題（意見書は `report`、送信は `problems`）",
    ),
    code(429, "too_many", "4項目の間違いが続いた。`Retry-After`"),
    code(
        429,
        "quota",
        "この組織の1時間の上限（災害時の検索 60・閲覧 300）か、1日に送れる組の数（2,000。`slip_sets`）に達した。上限は設置フォルダーの `limits.tsv`（1行に「名前 数」。`disaster_searches 200` など）で変えられる。`Retry-After`",
    ),
    code(
        429,
        "request_quota",
        "この機関の要求が上限（事業所は1分あたり 600、市区町村などは 3,000、災害時の検索は別枠で 60。いずれも5分ぶんまで続けて送れる）に達した。要求は読まれていない。`limits.tsv` の `office_requests` `insurer_requests` `disaster_requests`。`Retry-After`",
    ),
    code(
        429,
        "busy",
        "一つの電子証明書の同時の要求（32まで）か、一つの機関の同時の取込み（1つまで）が多すぎる。要求は読まれていない。`Retry-After`",
    ),
    code(500, "internal", "基盤の誤り。内容は記録にだけ残る。`request_id` を添えて問い合わせる"),
    code(503, "not_mailed", "メールサーバーがメールを受け取らなかった。待って、もう一度送る。回復コードは使える"),
    code(
        503,
        "unavailable",
        "混み合っているか停止している。登録や変更を送ったときは結果を確かめてから送り直す。`Retry-After`",
    ),
    code(503, "restored", "控えから復元したところで、運用者が受け入れるまで使えない。`Retry-After`"),
    code(
        503,
        "outcome_unknown",
        "行われたか分からない（`\"outcome\": \"unknown\"`）。同じ `Idempotency-Key` で送り直す",
    ),
];

/// Whether a problem of this status may have this code.
pub fn is_listed(status: u16, code: &str) -> bool {
    CODES.iter().any(|one| one.status == status && one.code == code)
        || (status == 403 && refusing().any(|rule| rule.code() == code))
}

/// The rules that refuse.
pub fn refusing() -> impl Iterator<Item = Rule> {
    Rule::ALL.iter().copied().skip_while(|rule| *rule != Rule::SessionInvalid)
}

/// The codes of a status.
pub(crate) fn of_status(status: u16) -> impl Iterator<Item = &'static str> {
    let rules = refusing().map(Rule::code).filter(move |_| status == 403);
    CODES.iter().filter(move |code| code.status == status).map(|code| code.code).chain(rules)
}

/// All codes, those of the rules too.
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    CODES.iter().map(|code| code.code).chain(refusing().map(Rule::code))
}
