//! The description of the API (OpenAPI 3.1), made from [`ROUTES`] and `openapi/schemas.json`. The committed copy is
//! `openapi/kiban-v1.json` at the top of the repository; tests hold every answer of the platform to it.

use crate::router::{Listener, ROUTES, Route};
use serde_json::{Map, Value, json};

/// What a route takes and answers.
struct Shape {
    request: Request,
    status: &'static str,
    answer: Content,
    query: &'static [(&'static str, &'static str)],
}

enum Request {
    Nothing,
    Json(&'static str),
    Files,
    OpinionFile,
}

enum Content {
    Nothing,
    Json(&'static str),
    Html,
    Css,
    Csv,
    Svg,
    Bytes,
    Tar,
}

/// The whole description.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        if let Some(shape) = shape(route.name) {
            let path = paths.entry(route.path).or_insert_with(|| json!({}));
            let method = route.method.as_str().to_ascii_lowercase();
            match path.get_mut(&method) {
                // The first page is on both listeners; one entry describes both.
                Some(known) => known["description"] = json!("事業所向けと公開の両方にあります"),
                None => path[method] = operation(route, &shape),
            }
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "介護情報基盤 API",
            "version": "1",
            "description": "介護情報基盤の Web API。事業所向けのアドレスは TLS 1.3 と端末の電子証明書が必要。エラーはすべて問題文書（RFC 9457）で返す。使い方は docs/api.md",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [
            { "url": "https://{organisations}", "description": "事業所向け（電子証明書が必要）", "variables": { "organisations": { "default": "office.localhost:8443" } } },
            { "url": "https://{line}", "description": "医療機関の閉域網（接続プログラムの電子証明書が必要。意見書だけ）", "variables": { "line": { "default": "line.localhost:10443" } } },
            { "url": "https://{public}", "description": "公開", "variables": { "public": { "default": "portal.localhost:9443" } } },
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "certificate": { "type": "mutualTLS", "description": "端末の電子証明書" },
                "token": { "type": "http", "scheme": "bearer", "description": "ログインで受け取るトークン。60分有効で、更新トークンで8時間まで続けられる。その電子証明書でだけ使える" },
            },
            "responses": problems(),
            "schemas": schemas(),
        },
    })
}

pub(crate) fn schemas() -> Value {
    // The text is part of the program; a test reads it.
    let mut schemas: Value = serde_json::from_str(include_str!("openapi/schemas.json")).unwrap_or_default();
    schemas["Problem"]["properties"]["code"]["x-extensible-enum"] = crate::codes::all().collect();
    schemas
}

fn operation(route: &Route, shape: &Shape) -> Value {
    let mut responses = Map::new();
    let mut success = json!({ "description": "成功", "headers": request_id_header() });
    match &shape.answer {
        Content::Nothing => {}
        Content::Json(name) => success["content"] = json!({ "application/json": { "schema": reference(name) } }),
        Content::Html => success["content"] = json!({ "text/html": { "schema": { "type": "string" } } }),
        Content::Css => success["content"] = json!({ "text/css": { "schema": { "type": "string" } } }),
        Content::Bytes => {
            success["content"] =
                json!({ "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } });
        }
        Content::Tar => {
            success["content"] = json!({ "application/x-tar": { "schema": { "type": "string", "contentMediaType": "application/x-tar" } } });
        }
        Content::Svg => success["content"] = json!({ "image/svg+xml": { "schema": { "type": "string" } } }),
        Content::Csv => success["content"] = json!({ "text/csv": { "schema": { "type": "string" } } }),
    }
    if route.name == "send_slips" {
        let mut repeated = success.clone();
        repeated["description"] = json!("同じ内容を送信済みです。前の送信を答えます");
        responses.insert("200".to_owned(), repeated);
    }
    if route.name == "import_package" {
        let mut accepted = success.clone();
        accepted["description"] = json!("受け付けました。処理は続きます。受付番号で状態を尋ねてください");
        responses.insert("202".to_owned(), accepted);
    }
    if has_tag(route, shape) {
        success["headers"]["ETag"] = json!({ "description": "この答えの印。If-None-Match で送ると、変わっていなければ 304", "schema": { "type": "string" } });
        let unchanged =
            json!({ "description": "変わっていない。閲覧として判断し、記録している", "headers": success["headers"] });
        responses.insert("304".to_owned(), unchanged);
    }
    responses.insert(shape.status.to_owned(), success);
    for status in refusals(route, shape) {
        responses.insert(status.to_string(), json!({ "$ref": format!("#/components/responses/Problem{status}") }));
    }
    let mut operation = json!({
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.audience.name_ja()],
        "security": security(route),
        "parameters": parameters(route, shape),
        "responses": responses,
    });
    if route.is_grave() {
        operation["description"] = json!(
            "15分以内に確かめたログインが要る。401 fresh_proof_required のときは POST /api/v1/session/proof で確かめ直す"
        );
    }
    match shape.request {
        Request::Nothing => {}
        Request::Json(name) => {
            operation["requestBody"] =
                json!({ "required": true, "content": { "application/json": { "schema": reference(name) } } });
        }
        Request::OpinionFile => {
            let csv = json!({ "type": "string", "description": "医見書 CSV 1.1（Shift_JIS か UTF-8）" });
            operation["requestBody"] = json!({ "required": true, "content": {
                "text/csv": { "schema": csv },
                "application/json": { "schema": reference("PhysicianOpinion") },
            } });
        }
        Request::Files => {
            operation["requestBody"] =
                json!({ "required": true, "content": { "multipart/form-data": { "schema": reference("Upload") } } });
        }
    }
    operation
}

fn security(route: &Route) -> Value {
    match (route.listener, route.audience.needs_log_in()) {
        (Listener::Public, _) => json!([]),
        (Listener::Organisations, false) | (Listener::ClosedLine, _) => json!([{ "certificate": [] }]),
        (Listener::Organisations, true) => json!([{ "certificate": [], "token": [] }]),
    }
}

fn parameters(route: &Route, shape: &Shape) -> Vec<Value> {
    let in_path = route.path.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| {
        let (schema, words) = match name {
            "handle" => (reference("Handle"), "利用者ハンドル"),
            "kind" => (reference("Kind"), "情報種別のコード"),
            "office" => (reference("OfficeNumber"), "事業所番号"),
            "account" => (json!({ "type": "string" }), "アカウント名"),
            "organization" => (reference("Organization"), "事業所番号・保険者番号・都道府県コード・operator"),
            "receipt" => (json!({ "type": "string" }), "受付番号"),
            "notice" => (json!({ "type": "string" }), "知らせの番号"),
            "slip" => (json!({ "type": "string" }), "送信の番号"),
            "file" => (json!({ "type": "string" }), "ファイル名"),
            "serial" => (json!({ "type": "string" }), "シリアル番号"),
            "session" => (json!({ "type": "string" }), "ログインの番号"),
            "registration" => (json!({ "type": "string" }), "登録の番号"),
            "block" => (json!({ "type": "string" }), "停止の番号"),
            "application" => (json!({ "type": "string" }), "申込番号"),
            "insurer" => (reference("InsurerNumber"), "保険者番号"),
            _ => (json!({ "type": "string" }), "番号"),
        };
        json!({ "name": name, "in": "path", "required": true, "description": words, "schema": schema })
    });
    let in_query = shape.query.iter().map(|(name, words)| {
        let schema = match *name {
            "limit" => json!({ "type": "integer", "minimum": 1, "maximum": 200 }),
            "seen" | "history" | "dry_run" | "full" | "people" | "second_factor" => json!({ "type": "boolean" }),
            _ => json!({ "type": "string" }),
        };
        json!({ "name": name, "in": "query", "required": false, "description": words, "schema": schema })
    });
    let key = takes_key(route).then(|| {
        json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "同じキー・同じ内容の要求は一度だけ行い、同じ答えを返す（24時間）。内容が違えば 422、処理中なら 409",
            "schema": { "type": "string", "maxLength": 64 },
        })
    });
    let tag = has_tag(route, shape).then(|| {
        json!({
            "name": "If-None-Match", "in": "header", "required": false,
            "description": "前の答えの ETag。変わっていなければ 304 で、本文はない",
            "schema": { "type": "string" },
        })
    });
    in_path.chain(in_query).chain(key).chain(tag).collect()
}

/// Whether its answer carries an ETag.
fn has_tag(route: &Route, shape: &Shape) -> bool {
    route.method == axum::http::Method::GET && matches!(shape.answer, Content::Json(_))
}

/// Name of the schema of the JSON body of a route.
pub(crate) fn request_schema(route: &str) -> Option<&'static str> {
    match shape(route)?.request {
        Request::Json(name) => Some(name),
        _ => None,
    }
}

/// Whether a repetition under an `Idempotency-Key` is answered as the first time: every write, but not log-in, refresh and
/// log-out, which are nobody's yet or no longer and whose tokens are not kept, not the three searches, which change nothing and are recorded each time, and not the two
/// of a municipality that leave the same state however often they are sent, nor a renewal, which is known again by its key, nor
/// what answers a password or tokens, which are not kept.
pub(crate) fn takes_key(route: &Route) -> bool {
    let free =
        // A package is known again by its bytes: its receipt is the answer however often it comes.
        ["log_in", "log_in_program", "refresh_session", "log_out", "find_insured", "eligibility", "search_disaster", "renew_certificate", "count_statistics", "change_start", "import_package", "print_slips", "confirm_plan", "issue_portal_code", "register_proxy", "invite_account", "reset_password", "change_password", "answer_factor", "prove_again", "send_code", "offer_mail", "offer_factor", "set_up_factor", "remove_factor", "ask_passkey", "offer_passkey", "add_passkey"];
    route.listener == Listener::Organisations && route.method != axum::http::Method::GET && !free.contains(&route.name)
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn request_id_header() -> Value {
    json!({ "X-Request-Id": { "description": "この要求の番号", "schema": { "type": "string" } } })
}

/// Reads that are refused by the state of what they are about: a message that is not fetched or was taken back, figures not
/// counted yet, a notice of a withheld person, and what is made one at a time.
const OF_A_STATE: &[&str] = &[
    "slip_file",
    "print_slip",
    "view_slip",
    "notice_line",
    "view_statistics",
    "statistics_file",
    "export_package",
    "make_paper_notices",
    "copayment_changes",
];

/// Statuses with which an operation may refuse: by what it takes, where it is and what it does. This is the one place that says
/// so; tests hold every answer of the platform to it.
fn refusals(route: &Route, shape: &Shape) -> Vec<u16> {
    let is_read = route.method == axum::http::Method::GET;
    let has_body = !matches!(shape.request, Request::Nothing);
    let has_certificate = route.listener != Listener::Public;
    // Under its key the count of figures tells how far they are, whatever the day is by then.
    let has_key = takes_key(route) || route.name == "count_statistics";
    let has_items = has_body || has_key || !shape.query.is_empty();
    let may = [
        (400, has_body),
        (401, has_certificate),
        (403, has_certificate),
        (404, true),
        (408, has_body),
        (409, !is_read || OF_A_STATE.contains(&route.name)),
        (413, has_body),
        (415, has_body),
        (421, true),
        (422, has_items),
        (429, true),
        (500, true),
        (503, true),
    ];
    may.into_iter().filter(|(_, may)| *may).map(|(status, _)| status).collect()
}

/// The problem documents by status, with their codes.
fn problems() -> Value {
    let mut statuses: Vec<u16> = crate::codes::CODES.iter().map(|code| code.status).chain([403]).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let problem = |status: u16| {
        let codes: Vec<&str> = crate::codes::of_status(status).collect();
        let words = format!("問題文書。detail が次にすることを示す。code: {}", codes.join("、"));
        let mut headers = request_id_header();
        if matches!(status, 401 | 429 | 503) {
            headers["Retry-After"] = json!({ "description": "待つ秒数", "schema": { "type": "integer" } });
        }
        let content = json!({ "application/problem+json": { "schema": reference("Problem") } });
        (format!("Problem{status}"), json!({ "description": words, "headers": headers, "content": content }))
    };
    statuses.into_iter().map(problem).collect::<Map<_, _>>().into()
}

/// What each route takes and answers, in the order of the table of routes.
fn shape(name: &str) -> Option<Shape> {
    use {Content as C, Request as R};
    let (request, status, answer) = match name {
        "log_in" => (R::Json("PersonLogIn"), "200", C::Json("Session")),
        "log_in_program" => (R::Json("ProgramLogIn"), "200", C::Json("Session")),
        "refresh_session" => (R::Json("Refresh"), "200", C::Json("Session")),
        "prove_again" => (R::Json("Proof"), "200", C::Json("Session")),
        "answer_factor" => (R::Json("FactorAnswer"), "200", C::Json("Session")),
        "log_out" => (R::Nothing, "204", C::Nothing),
        "register_office" => (R::Json("Registration"), "200", C::Json("Registered")),
        "register_by_card" => (R::Json("CardStatement"), "200", C::Json("Registered")),
        "register_by_notice" => (R::Json("ScannedNotice"), "200", C::Json("Registered")),
        "card_challenge" => (R::Nothing, "200", C::Json("CardChallenge")),
        "list_people" => (R::Nothing, "200", C::Json("People")),
        "eligibility" => (R::Json("CardNumbers"), "200", C::Json("Eligibility")),
        "find_insured" => (R::Json("FindInsured"), "200", C::Json("FoundHandle")),
        "person_numbers" => (R::Nothing, "200", C::Json("PersonNumbers")),
        "view_person" => (R::Nothing, "200", C::Json("PersonPage")),
        "view_kind" => (R::Nothing, "200", C::Json("KindView")),
        "claim_values" => (R::Nothing, "200", C::Json("ClaimValues")),
        "claim_values_file" => (R::Nothing, "200", C::Csv),
        "view_life_trend" => (R::Nothing, "200", C::Json("LifeTrend")),
        "view_life_chart" => (R::Nothing, "200", C::Svg),
        "why" => (R::Nothing, "200", C::Json("WhyList")),
        "end_registration" => (R::Nothing, "204", C::Nothing),
        "note_visual_check" => (R::Nothing, "204", C::Nothing),
        "notice_line" => (R::Nothing, "200", C::Json("NoticeLine")),
        "lift_withheld" => (R::Json("LiftWithheld"), "204", C::Nothing),
        "decide_office" => (R::Json("OfficeDecision"), "204", C::Nothing),
        "set_plan_maker" => (R::Json("PlanMaker"), "204", C::Nothing),
        "set_switch" => (R::Json("Switch"), "204", C::Nothing),
        "switches" => (R::Nothing, "200", C::Json("Switches")),
        "staff_looks" => (R::Nothing, "200", C::Json("StaffLooks")),
        "accounts" => (R::Nothing, "200", C::Json("Accounts")),
        "invite_account" => (R::Json("Invitation"), "201", C::Json("InitialPassword")),
        "switch_account" => (R::Json("AccountSwitch"), "204", C::Nothing),
        "reset_password" => (R::Nothing, "200", C::Json("InitialPassword")),
        "account_sessions" => (R::Nothing, "200", C::Json("AccountSessions")),
        "end_account_session" | "close_account" | "review_accounts" => (R::Nothing, "204", C::Nothing),
        "factor_state" => (R::Nothing, "200", C::Json("FactorState")),
        "send_code" => (R::Nothing, "204", C::Nothing),
        "offer_mail" => (R::Json("MailAddress"), "204", C::Nothing),
        "offer_factor" => (R::Nothing, "200", C::Json("FactorOffer")),
        "set_up_factor" => (R::Json("FactorSetUp"), "200", C::Json("RecoveryCodes")),
        "passkeys" => (R::Nothing, "200", C::Json("Passkeys")),
        "ask_passkey" => (R::Nothing, "200", C::Json("PasskeyQuestion")),
        "offer_passkey" => (R::Nothing, "200", C::Json("PasskeyOffer")),
        "add_passkey" => (R::Json("NewPasskey"), "200", C::Json("RecoveryCodes")),
        "remove_passkey" => (R::Nothing, "204", C::Nothing),
        "remove_factor" => (R::Json("FactorRemoval"), "204", C::Nothing),
        "change_password" => (R::Json("PasswordChange"), "200", C::Json("Session")),
        "issue_portal_code" => (R::Nothing, "201", C::Json("PortalCode")),
        "register_proxy" => (R::Json("Proxy"), "201", C::Json("PortalCode")),
        "portal_grants" => (R::Nothing, "200", C::Json("PortalGrants")),
        "end_portal_grant" => (R::Nothing, "204", C::Nothing),
        "block_proxies" => (R::Json("ProxyBlock"), "201", C::Json("BlockMade")),
        "lift_proxy_block" => (R::Json("LiftProxyBlock"), "204", C::Nothing),
        "record_consent" => (R::Json("Consent"), "200", C::Json("ConsentTaken")),
        "look_ups" => (R::Nothing, "200", C::Json("LookUps")),
        "person_access" => (R::Nothing, "200", C::Json("PersonAccess")),
        "rules" => (R::Nothing, "200", C::Json("Rules")),
        "operator_insurers" => (R::Nothing, "200", C::Json("InsurerLines")),
        "operator_offices" => (R::Nothing, "200", C::Json("OfficeLines")),
        "audit_heads" => (R::Nothing, "200", C::Json("AuditHeads")),
        "disasters" => (R::Nothing, "200", C::Json("Disasters")),
        "disaster_report" => (R::Nothing, "200", C::Json("DisasterReport")),
        "submit_opinion" => (R::Json("PhysicianOpinion"), "201", C::Json("Filed")),
        "file_plan_request" => (R::Json("PlanRequest"), "201", C::Json("Filed")),
        "filed" => (R::Nothing, "200", C::Json("FiledList")),
        "inbox" => (R::Nothing, "200", C::Json("Inbox")),
        "opinion_entrance" => (R::Nothing, "200", C::Json("OpinionEntrance")),
        "submit_opinion_file" => (R::OpinionFile, "200", C::Json("OpinionFileReport")),
        "opinion_state" => (R::Nothing, "200", C::Json("Filed")),
        "inbox_original" => (R::Nothing, "200", C::Bytes),
        "reviews" => (R::Nothing, "200", C::Json("Reviews")),
        "fetch_submission" | "accept_submission" => (R::Nothing, "200", C::Json("InboxItem")),
        "return_submission" => (R::Json("Reason"), "200", C::Json("InboxItem")),
        "import_package" | "import_plans" | "import_life" | "import_claims" => {
            (R::Files, "200", C::Json("IntakeResult"))
        }
        "reachable_office" => (R::Nothing, "200", C::Json("Reachable")),
        "send_slips" => (R::Files, "201", C::Json("SentSlip")),
        "print_slips" => (R::Files, "200", C::Html),
        "print_slip" => (R::Nothing, "200", C::Html),
        "sent_slips" | "received_slips" => (R::Nothing, "200", C::Json("Slips")),
        "view_slip" | "fetch_slip" | "withdraw_slip" => (R::Nothing, "200", C::Json("Slip")),
        "slip_file" => (R::Nothing, "200", C::Bytes),
        "register_slip" => (R::Json("Agreement"), "200", C::Json("IntakeResult")),
        "confirm_plan" => (R::Nothing, "204", C::Nothing),
        "receipts" => (R::Nothing, "200", C::Json("Receipts")),
        "receipt" => (R::Nothing, "200", C::Json("IntakeResult")),
        "result_file" => (R::Nothing, "200", C::Csv),
        "announcements" => (R::Nothing, "200", C::Json("Announcements")),
        "announce" => (R::Json("NewAnnouncement"), "201", C::Json("AnnouncementId")),
        "end_announcement" => (R::Nothing, "204", C::Nothing),
        "propose_disaster" => (R::Json("DisasterProposal"), "201", C::Json("DisasterId")),
        "approve_disaster" | "close_disaster" => (R::Nothing, "204", C::Nothing),
        "search_disaster" => (R::Json("DisasterSearch"), "200", C::Json("FoundPeople")),
        "disaster_looks" => (R::Nothing, "200", C::Json("DisasterLooks")),
        "notices" => (R::Nothing, "200", C::Json("Notices")),
        "read_notice" => (R::Nothing, "204", C::Nothing),
        "description" => (R::Nothing, "200", C::Json("Description")),
        "start" | "welcome" | "start_dates" => (R::Nothing, "200", C::Html),
        "stylesheet" | "public_stylesheet" => (R::Nothing, "200", C::Css),
        "count_statistics" | "view_statistics" => (R::Nothing, "200", C::Json("StatisticsState")),
        "statistics_file" | "copayment_changes" => (R::Nothing, "200", C::Csv),
        "renewals" => (R::Nothing, "200", C::Json("RenewalsDue")),
        "export_package" | "make_paper_notices" => (R::Nothing, "200", C::Tar),
        "view_start" => (R::Nothing, "200", C::Json("StartView")),
        "change_start" => (R::Json("StartChange"), "200", C::Json("StartView")),
        "insurers" => (R::Nothing, "200", C::Json("Insurers")),
        "insurers_file" => (R::Nothing, "200", C::Csv),
        "certificates" => (R::Nothing, "200", C::Json("Certificates")),
        "revoke_certificate" => (R::Json("CertificateRevocation"), "204", C::Nothing),
        "renew_certificate" => (R::Json("CertificateRenewal"), "200", C::Json("CertificateApplication")),
        "apply_for_certificate" => (R::Json("CertificateAsk"), "201", C::Json("CertificateApplication")),
        "certificate_application" => (R::Nothing, "200", C::Json("CertificateApplication")),
        "certificate_applications" => (R::Nothing, "200", C::Json("CertificateApplications")),
        "approve_certificate" => (R::Nothing, "200", C::Json("CertificateApproval")),
        "refuse_certificate" => (R::Nothing, "204", C::Nothing),
        "pick_up_certificate" => (R::Json("CertificateCode"), "200", C::Bytes),
        "revocation_list" => (R::Nothing, "200", C::Bytes),
        "notice_keys" => (R::Nothing, "200", C::Json("NoticeKeys")),
        "health" | "ready" => (R::Nothing, "200", C::Json("Health")),
        _ => return None,
    };
    let query: &[(&str, &str)] = match name {
        "list_people" | "disaster_looks" => &[("after", "前のページの next"), ("limit", "行数（既定 50）")],
        "staff_looks" => &[
            ("from", "初めの日（日本の日付。ないときは終わりの日の6日前）"),
            ("to", "終わりの日（ないときは今日）。31日まで"),
            ("account", "このアカウントのものだけ"),
            ("after", "前のページの next"),
            ("limit", "行数（既定 50）"),
        ],
        "switches" => {
            &[("account", "このアカウントのものだけ"), ("after", "前のページの next"), ("limit", "行数（既定 50）")]
        }
        "notices" => {
            &[("after", "前のページの next"), ("limit", "行数（既定 50）"), ("seen", "true: 確認済みのものも含める")]
        }
        "inbox" => &[
            ("state", "waiting（既定。受理・差戻し前）、submitted、fetched、accepted、returned"),
            ("after", "前のページの next"),
            ("limit", "件数（既定 50）"),
        ],
        "send_slips" => &[
            ("to", "宛先の事業所番号。必須。ファイル名の送信先と同じであること"),
            ("reply_to", "実績を返すとき、返信する受信の番号（slip）"),
        ],
        "reachable_office" => &[("office", "相手の事業所番号。必須")],
        "sent_slips" | "received_slips" => &[
            ("state", "sent、fetched、answered、withdrawn（既定はすべて。受信では withdrawn は出ない）"),
            ("after", "前のページの next"),
            ("limit", "件数（既定 50）"),
        ],
        "reset_password" => &[("second_factor", "true: 第二要素もなくした。設定を消す")],
        "reviews" => &[("after", "前のページの next"), ("limit", "件数（既定 50）")],
        "view_statistics" | "statistics_file" => &[
            ("day", "集計した日（既定は今日）"),
            ("shareable", "true: 外に出せる形（10人単位に切り捨て、10人未満は出さない）"),
        ],
        "import_package" => &[
            ("dry_run", "true: 試すだけ。何が変わるかを答え、何も反映しない（256 MiB まで）"),
            ("full", "true: dry_run のとき、全件のパッケージとみなし、基盤にあってパッケージにない記録を並べる"),
        ],
        "export_package" => &[
            ("history", "true: 訂正前・削除された内容も。古い順に取り込む複数のパッケージ（package/001/ …）になる"),
            ("format", "csv（既定）か json。パッケージの形式"),
        ],
        "make_paper_notices" => &[
            ("day", "いつの内容か（例 2027-08-01。既定は今日。前後366日まで）"),
            ("since", "この日からあとに証の内容が届いた人だけ（例 2027-07-01。既定は全員）"),
            ("desk", "紙の右上に入れる担当の課（40文字まで）"),
            ("telephone", "紙の右上に入れる電話番号（40文字まで）"),
        ],
        "renewals" => &[("after", "前のページの next"), ("limit", "行数（既定 50）")],
        "copayment_changes" => &[("day", "変わる日（例 2027-08-01）。必須")],
        "insurers" | "insurers_file" => {
            &[("prefecture", "都道府県コード2桁か都道府県名"), ("state", "undecided・coordinating・planned・started")]
        }
        "start_dates" => &[
            ("prefecture", "都道府県コード2桁"),
            ("state", "開始・予定・調整中・未定"),
            ("name", "市区町村の名前の一部か保険者番号"),
        ],
        "claim_values" => &[("month", "対象月（例 202611。既定は今月）")],
        "claim_values_file" => &[
            ("month", "対象月（例 202611。既定は今月）"),
            ("people", "true: 表計算ソフトで開く形（日本語の見出し、式と読まれるセルに '）"),
        ],
        "certificates" => &[("organization", "機関の番号（運用者だけ。既定は自らの機関）")],
        "operator_insurers" => &[("q", "市区町村の名前の一部か、保険者番号のはじめ")],
        "operator_offices" => &[("q", "事業所の名前の一部か、事業所番号のはじめ")],
        "view_kind" => &[("known_on", "この日の終わり（または時刻）に知られていた内容を見る")],
        _ => &[],
    };
    Some(Shape { request, status, answer, query })
}
