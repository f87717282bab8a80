//! Every route of all listeners on one page. The routers, the description of the API (`openapi/`) and the access tests
//! are all made from [`ROUTES`], so a route that stands here is served, described and tested, and no other is. [`PAGES`] are served the
//! same way and have a table of their own in the tests.

use self::{Audience::*, Listener::*};
use crate::api::{
    accounts, announcements, certificates, claim_values, consent, disaster, export, files, identification, insurers,
    life, notices, operator, opinions, paper_notices, people, portal, public, session, slips, staff_looks, statistics,
    submissions, view,
};
use crate::guard::guard;
use crate::{App, Problem, Ready, Settings, pages};
use axum::Router;
use axum::http::{Method, StatusCode};
use axum::routing::{MethodRouter, delete, get, post, put};
use kiban_service::{Counts, Platform, Stage};

/// One route.
pub struct Route {
    /// Listener it is served on.
    pub listener: Listener,
    /// Method.
    pub method: Method,
    /// Path; parameters in braces.
    pub path: &'static str,
    /// Name of the use case it calls, and `operationId`.
    pub name: &'static str,
    /// Whom it is made for. What each caller may do is decided by the use case, not here.
    pub audience: Audience,
    /// What it does, in Japanese.
    pub summary: &'static str,
    handler: fn() -> MethodRouter<App>,
}

/// Which door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Behind client certificates.
    Organisations,
    /// Behind client certificates, on an address of the closed line of hospitals: opinions and nothing else (P-134, P-194).
    ClosedLine,
    /// Open to everybody.
    Public,
}

/// Whom a route is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// 誰でも
    Anyone,
    /// Holders of a client certificate, not logged in yet.
    Certificate,
    /// Everybody who is logged in.
    Staff,
    /// 介護事業所・医療機関
    Offices,
    /// 市区町村
    Municipalities,
    /// 介護事業所・医療機関 and 市区町村
    Both,
    /// 運用者
    Operators,
    /// 市区町村 and 運用者
    CityOrOperator,
    /// 本人・代理の方, logged in at the outside provider.
    Person,
}

impl Audience {
    /// In Japanese.
    pub fn name_ja(self) -> &'static str {
        match self {
            Anyone => "誰でも",
            Certificate => "電子証明書を持つ端末",
            Staff => "ログインした職員",
            Offices => "介護事業所・医療機関",
            Municipalities => "市区町村",
            Both => "介護事業所・医療機関と市区町村",
            Operators => "運用者",
            CityOrOperator => "市区町村と運用者",
            Person => "ログインした本人・代理の方",
        }
    }

    /// Whether somebody must be logged in.
    pub fn needs_log_in(self) -> bool {
        !matches!(self, Anyone | Certificate)
    }
}

macro_rules! routes {
    ($(#[$doc:meta])* $table:ident; $($listener:ident $verb:ident $method:ident $path:literal $name:ident $audience:ident $summary:literal $handler:path;)+) => {
        $(#[$doc])*
        pub static $table: &[Route] = &[$(Route {
            listener: $listener,
            method: Method::$method,
            path: $path,
            name: stringify!($name),
            audience: $audience,
            summary: $summary,
            handler: || $verb($handler),
        },)+];
    };
}

routes! {
    /// The API and what is open to everybody.
    ROUTES;
    Organisations post   POST   "/api/v1/session"                            log_in                Certificate    "職員のログイン（画面）"                    session::log_in;
    Organisations post   POST   "/api/v1/token"                              log_in_program        Certificate    "職員の代理で動くソフトのログイン"          session::log_in_program;
    Organisations post   POST   "/api/v1/session/factor" answer_factor Staff "ログインの第二段階（認証アプリの数字か回復コード、パスキー）" session::answer_factor;
    Organisations post   POST   "/api/v1/session/proof" prove_again Staff "大切な操作の前の確かめ直し。新しいトークンを答える" session::prove_again;
    Organisations post   POST   "/api/v1/session/factor/mail" send_code Staff "第二要素の数字をもう一度メールで送る" session::send_code;
    Organisations post   POST   "/api/v1/session/factor/passkey" ask_passkey Staff "第二要素のパスキーに答えさせる値（1回、5分）" session::ask_passkey;
    Organisations post   POST   "/api/v1/session/refresh"                    refresh_session        Certificate    "ログインの延長（更新トークン）"            session::refresh;
    Organisations delete DELETE "/api/v1/session"                            log_out               Staff          "ログアウト"                                session::log_out;
    Organisations post   POST   "/api/v1/people"                             register_office       Offices        "本人確認（4項目）と担当事業所登録"         people::register;
    Organisations post   POST   "/api/v1/people/card"                        register_by_card      Offices        "カードの読み取り結果による本人確認と登録"   identification::by_card;
    Organisations post   POST   "/api/v1/people/notice"                      register_by_notice    Offices        "お知らせのQRコードによる本人確認と登録"    identification::by_notice;
    Organisations post   POST   "/api/v1/card-challenges"                    card_challenge        Certificate    "カードに署名させる文字列（読み取りアプリ）"  identification::challenge;
    Organisations get    GET    "/api/v1/people"                             list_people           Offices        "担当利用者の一覧"                          people::list;
    Organisations post   POST   "/api/v1/people/find"                        find_insured          Municipalities "自らの被保険者を番号で開く"                people::find;
    Organisations post   POST   "/api/v1/eligibility"                        eligibility           Both           "番号で被保険者証・負担割合証・負担限度額認定証を見る" people::eligibility;
    Organisations get    GET    "/api/v1/people/{handle}/numbers"            person_numbers        Municipalities "新旧の被保険者番号（番号異動）"             people::numbers;
    Organisations get    GET    "/api/v1/people/{handle}"                    view_person           Both           "利用者のページ"                            view::page;
    Organisations get    GET    "/api/v1/people/{handle}/records/{kind}"     view_kind             Both           "1種別の情報と履歴"                         view::kind;
    Organisations get    GET    "/api/v1/people/{handle}/claim-values"       claim_values           Both           "請求に要る値（月ごと。JSON）"              claim_values::values;
    Organisations get    GET    "/api/v1/people/{handle}/claim-values.csv"   claim_values_file      Both           "請求に要る値（月ごと。CSV）"               claim_values::file;
    Organisations get    GET    "/api/v1/people/{handle}/records/C1/trend"   view_life_trend       Both           "LIFE情報の推移"                            life::trend;
    Organisations get    GET    "/api/v1/people/{handle}/records/C1/trend.svg" view_life_chart     Both           "LIFE情報の推移の図（SVG）"                 life::chart;
    Organisations get    GET    "/api/v1/people/{handle}/why"                why                   Both           "なぜ見られる・見られないか"                view::why;
    Organisations delete DELETE "/api/v1/people/{handle}/registration"       end_registration      Offices        "担当事業所登録の終了"                      people::end;
    Organisations post   POST   "/api/v1/people/{handle}/visual-check"       note_visual_check     Offices        "訪問時の本人確認（目視）の記録"            identification::visual_check;
    Organisations get    GET    "/api/v1/people/{handle}/notice-line"        notice_line           Municipalities "お知らせ（紙）のQRコードの内容"            identification::notice_line;
    Organisations post   POST   "/api/v1/people/{handle}/withheld/lift"      lift_withheld         Municipalities "不開示の解除"                              people::lift_withheld;
    Organisations put    PUT    "/api/v1/people/{handle}/offices/{office}"   decide_office         Municipalities "担当登録の継続・不開示の人の事業所の確認・終了" people::decide_office;
    Organisations put    PUT    "/api/v1/people/{handle}/plan-maker"         set_plan_maker         Offices        "この人のケアプランを作る・作るのをやめる（※1）" people::set_plan_maker;
    Organisations put    PUT    "/api/v1/people/{handle}/staff/{account}"    set_switch            Offices        "職員ごとの閲覧の停止・再開"                people::set_switch;
    Organisations get    GET    "/api/v1/look-ups"                           staff_looks           Both           "自らの職員の閲覧記録（管理者。31日まで）"  staff_looks::list;
    Organisations get    GET    "/api/v1/switches"                           switches              Offices        "職員ごとの閲覧の停止の一覧（事業所の管理者）" people::switches;
    Organisations post   POST   "/api/v1/people/{handle}/portal-codes"       issue_portal_code     Municipalities "本人の画面のための1回だけの番号"           portal::issue_code;
    Organisations post   POST   "/api/v1/people/{handle}/proxies"            register_proxy        Municipalities "代理の方の登録（家族・法定代理人・任意後見人）" portal::register_proxy;
    Organisations get    GET    "/api/v1/people/{handle}/proxies"            portal_grants         Municipalities "本人の画面を見られる方の一覧"              portal::grants;
    Organisations delete DELETE "/api/v1/people/{handle}/proxies/{registration}" end_portal_grant  Municipalities "本人・代理の方の登録を終える"              portal::end;
    Organisations post   POST   "/api/v1/people/{handle}/proxy-blocks"       block_proxies         Municipalities "代理の方の閲覧を、決まるまで止める（1人か全員）" portal::block;
    Organisations post   POST   "/api/v1/people/{handle}/proxy-blocks/{block}/lift" lift_proxy_block Municipalities "代理の方の閲覧の停止をやめる" portal::lift;
    Organisations post   POST   "/api/v1/people/{handle}/consents"           record_consent        Both           "同意の登録・撤回"                          consent::record;
    Organisations get    GET    "/api/v1/people/{handle}/access"             person_access          Municipalities "いまだれが見られるかと、その根拠"          view::access;
    Organisations get    GET    "/api/v1/people/{handle}/look-ups"           look_ups              Both           "閲覧記録"                                  view::look_ups;
    Organisations post   POST   "/api/v1/people/{handle}/opinions"           submit_opinion        Offices        "主治医意見書の提出"                        submissions::opinion;
    Organisations post   POST   "/api/v1/people/{handle}/plan-requests"      file_plan_request     Offices        "居宅サービス計画作成依頼届出の提出"        submissions::plan_request;
    Organisations get    GET    "/api/v1/people/{handle}/submissions"        filed                 Staff          "自らが提出した書類の状態"                  submissions::filed;
    Organisations get    GET    "/api/v1/inbox"                              inbox                 Municipalities "受け取る書類の一覧"                        submissions::inbox;
    Organisations get    GET    "/api/v1/inbox/{receipt}/original"           inbox_original        Municipalities "書類の原本（提出されたままのファイル）"    submissions::original;
    Organisations post   POST   "/api/v1/inbox/{receipt}/fetch"              fetch_submission      Municipalities "書類の取得"                                submissions::fetch;
    Organisations post   POST   "/api/v1/inbox/{receipt}/accept"             accept_submission     Municipalities "書類の受理"                                submissions::accept;
    Organisations post   POST   "/api/v1/inbox/{receipt}/return"             return_submission     Municipalities "書類の差戻し"                              submissions::give_back;
    Organisations get    GET    "/api/v1/registration-reviews"               reviews               Municipalities "見直しを待つ担当事業所登録の一覧"          submissions::reviews;
    Organisations post   POST   "/api/v1/packages"                           import_package        Municipalities "市区町村データの一括取込み"                files::package;
    Organisations post   POST   "/api/v1/plans"                              import_plans          Offices        "ケアプラン標準仕様4.1のファイルの取込み"   files::plans;
    Organisations get    GET    "/api/v1/offices/reachable"                  reachable_office       Offices        "送る前に、相手の事業所に届くかを確かめる"   slips::reachable;
    Organisations post   POST   "/api/v1/slips"                              send_slips             Offices        "ケアプラン・提供票・実績の送信（1組を1事業所へ）" slips::send;
    Organisations post   POST   "/api/v1/slips/print"                        print_slips            Offices        "接続していない相手に渡す提供票の印刷（ページ）" slips::print;
    Organisations get    GET    "/api/v1/slips/sent"                         sent_slips             Offices        "送信の一覧（相手が取得した日時も）"         slips::sent;
    Organisations get    GET    "/api/v1/slips/received"                     received_slips         Offices        "受信の一覧"                                slips::received;
    Organisations get    GET    "/api/v1/slips/{slip}"                       view_slip              Offices        "1件の送信・受信の状態（取得にはならない）"  slips::view;
    Organisations post   POST   "/api/v1/slips/{slip}/fetch"                 fetch_slip             Offices        "受信の取得"                                slips::fetch;
    Organisations get    GET    "/api/v1/slips/{slip}/files/{file}"          slip_file              Offices        "送られたままのファイル1つ"                 slips::file;
    Organisations post   POST   "/api/v1/slips/{slip}/withdraw"              withdraw_slip          Offices        "送信の取消（宛先が取得する前）"             slips::withdraw;
    Organisations get    GET    "/api/v1/slips/{slip}/print"                 print_slip             Offices        "送信・取得した提供票の印刷（ページ）"       slips::print_one;
    Organisations post   POST   "/api/v1/slips/{slip}/registration"          register_slip          Offices        "交付用登録（同意を得た計画を記録にする）"   slips::register;
    Organisations post   POST   "/api/v1/slips/{slip}/confirmation"          confirm_plan           Offices        "同意・確認用登録（提供していない）"         slips::confirm;
    Organisations post   POST   "/api/v1/claims"                             import_claims         Municipalities "給付実績の取込み（閲覧期限の延長だけ。内容は保存しない）" files::claims;
    Organisations post   POST   "/api/v1/life"                               import_life           Offices        "LIFEのファイルの取込み"                    files::life;
    Organisations get    GET    "/api/v1/receipts"                           receipts              Municipalities "送ったパッケージの一覧（後回しのものが先、それから新しい順に100件）" files::receipts;
    Organisations get    GET    "/api/v1/receipts/{receipt}"                 receipt               Both           "取込みの結果"                              files::receipt;
    Organisations get    GET    "/api/v1/receipts/{receipt}/result.csv"      result_file           Both           "取込みの結果ファイル（CSV）"               files::result_file;
    Organisations get    GET    "/api/v1/operator/insurers"                  operator_insurers      Operators      "市区町村の利用開始・最後のパッケージ・広域連合" operator::insurers;
    Organisations get    GET    "/api/v1/operator/offices"                   operator_offices       Operators      "事業所の検索（区分・証明書の数・接続）"    operator::offices;
    Organisations get    GET    "/api/v1/operator/audit"                     audit_heads            Operators      "監査記録のいちばん新しい署名"              operator::audit_heads;
    Organisations get    GET    "/api/v1/announcements"                      announcements         Staff          "運用者からの掲示"                          announcements::list;
    Organisations post   POST   "/api/v1/announcements"                      announce              Operators      "掲示する"                                  announcements::put;
    Organisations post   POST   "/api/v1/announcements/{announcement}/end"   end_announcement      Operators      "掲示を取りやめる"                          announcements::end;
    Organisations get    GET    "/api/v1/disasters"                          disasters              Operators      "災害時モードの一覧"                        disaster::list;
    Organisations get    GET    "/api/v1/disasters/{id}/report"              disaster_report        Operators      "災害時モードの報告（機関ごとの件数）"      disaster::report;
    Organisations post   POST   "/api/v1/disasters"                          propose_disaster      Operators      "災害時モードの提案"                        disaster::propose;
    Organisations post   POST   "/api/v1/disasters/{id}/approve"             approve_disaster      Operators      "別の運用者による承認"                      disaster::approve;
    Organisations post   POST   "/api/v1/disasters/{id}/close"               close_disaster        Operators      "災害時モードの終了"                        disaster::close;
    Organisations post   POST   "/api/v1/disasters/search"                   search_disaster       Both           "災害時の利用者検索"                        disaster::search;
    Organisations get    GET    "/api/v1/disasters/looks"                    disaster_looks        Municipalities "災害時に自らの被保険者を見た人の一覧"        disaster::looks;
    Organisations get    GET    "/api/v1/notices"                            notices               Staff          "知らせの一覧"                              notices::list;
    Organisations post   POST   "/api/v1/notices/{notice}/read"              read_notice           Staff          "知らせを確認済みにする"                    notices::read;
    Organisations post   POST   "/api/v1/statistics"                         count_statistics      Municipalities "今日の集計を始める"                        statistics::count;
    Organisations get    GET    "/api/v1/statistics"                         view_statistics       Municipalities "集計（JSON）"                              statistics::view;
    Organisations get    GET    "/api/v1/statistics.csv"                     statistics_file       Municipalities "集計（CSV）"                               statistics::file;
    Organisations get    GET    "/api/v1/renewals-without-consent"           renewals              Municipalities "更新の時期に同意のない人の一覧"            statistics::renewals;
    Organisations get    GET    "/api/v1/paper-notices"                      make_paper_notices    Municipalities "お知らせ（紙）の一括作成（tar）"            paper_notices::make;
    Organisations get    GET    "/api/v1/copayment-changes.csv"              copayment_changes     Municipalities "負担割合が変わった人の一覧（CSV）"         statistics::copayment;
    Organisations get    GET    "/api/v1/export"                             export_package        Municipalities "自らの情報の書出し（パッケージ、tar）"       export::package;
    Organisations get    GET    "/api/v1/organizations/{organization}/accounts" accounts Staff "職員アカウントの一覧と最後のログイン（その機関の管理者と運用者）" accounts::list;
    Organisations post   POST   "/api/v1/organizations/{organization}/accounts" invite_account Staff "職員アカウントの登録。仮のパスワードを一度だけ答える（その機関の管理者。運用者は管理者だけ）" accounts::invite;
    Organisations post   POST   "/api/v1/organizations/{organization}/accounts/review" review_accounts Staff "職員アカウントを見直したことの記録（その機関の管理者。年1回）" accounts::review;
    Organisations put    PUT    "/api/v1/organizations/{organization}/accounts/{account}" switch_account Staff "職員アカウントの停止・再開（その機関の管理者と運用者）" accounts::switch;
    Organisations post   POST   "/api/v1/organizations/{organization}/accounts/{account}/reset" reset_password Staff "仮のパスワードの出し直し（その機関の管理者。運用者は管理者だけ）" accounts::reset;
    Organisations get    GET    "/api/v1/organizations/{organization}/accounts/{account}/sessions" account_sessions Staff "終わっていないログインの一覧（自分のもの。管理者と運用者は職員のものも）" accounts::sessions;
    Organisations delete DELETE "/api/v1/organizations/{organization}/accounts/{account}/sessions/{session}" end_account_session Staff "ログインを1つ終わらせる（同上）" accounts::end_session;
    Organisations delete DELETE "/api/v1/organizations/{organization}/accounts/{account}" close_account Staff "辞めた人のアカウントを閉じる。元に戻せない（その機関の管理者と運用者）" accounts::leave;
    Organisations put    PUT    "/api/v1/account/password" change_password Staff "自分のパスワードの変更。新しいトークンを答える" accounts::change_password;
    Organisations get    GET    "/api/v1/account/factor" factor_state Staff "自分の第二要素の状態" accounts::factor;
    Organisations post   POST   "/api/v1/account/factor/offer" offer_factor Staff "認証アプリに入れる鍵" accounts::offer_factor;
    Organisations post   POST   "/api/v1/account/factor/mail" offer_mail Staff "第二要素の数字を受け取るメールアドレスに、確かめの数字を送る" accounts::offer_mail;
    Organisations put    PUT    "/api/v1/account/factor" set_up_factor Staff "第二要素の設定。回復コードを一度だけ答える" accounts::set_up_factor;
    Organisations post   POST   "/api/v1/account/factor/remove" remove_factor Staff "第二要素をやめる" accounts::remove_factor;
    Organisations get    GET    "/api/v1/account/passkeys" passkeys Staff "自分のパスキーの一覧" accounts::passkeys;
    Organisations post   POST   "/api/v1/account/passkeys/offer" offer_passkey Staff "パスキーを作らせる値（1回、5分）" accounts::offer_passkey;
    Organisations post   POST   "/api/v1/account/passkeys" add_passkey Staff "作ったパスキーの登録。はじめての第二要素なら、回復コードを一度だけ答える" accounts::add_passkey;
    Organisations delete DELETE "/api/v1/account/passkeys/{passkey}" remove_passkey Staff "パスキーの削除" accounts::remove_passkey;
    Organisations get    GET    "/api/v1/insurers/{insurer}/start"           view_start            CityOrOperator "利用開始の状態と、開始に必要なこと"         insurers::view_start;
    Organisations put    PUT    "/api/v1/insurers/{insurer}/start"           change_start          CityOrOperator "利用開始の予告・開始・取消"                insurers::change_start;
    Organisations get    GET    "/api/v1/certificates"                       certificates           Staff          "電子証明書の一覧（運用者は機関を指定できる）" certificates::list;
    Organisations post   POST   "/api/v1/certificates/{serial}/revoke"       revoke_certificate     Staff          "電子証明書の失効（端末の紛失など）"        certificates::revoke;
    Organisations post   POST   "/api/v1/certificate/renewal"                renew_certificate      Staff          "使っている電子証明書の更新"                certificates::renew;
    Organisations post   POST   "/api/v1/certificate-applications"           apply_for_certificate  Staff          "電子証明書の申込み"                        certificates::apply;
    Organisations get    GET    "/api/v1/certificate-applications"           certificate_applications Operators    "電子証明書の申込みの一覧"                  certificates::applications;
    Organisations post   POST   "/api/v1/certificate-applications/{id}/approve" approve_certificate Operators      "電子証明書の申込みの確認・承認（2人）"     certificates::approve;
    Organisations post   POST   "/api/v1/certificate-applications/{id}/refuse"  refuse_certificate  Operators      "電子証明書の申込みの不承認"                certificates::refuse;
    Organisations get    GET    "/api/v1/rules"                              rules                  Staff          "だれが何を見られるか（いまの共有範囲の表）" view::rules;
    Organisations get    GET    "/api/v1/openapi.json"                       description           Certificate    "このAPIの説明"                             public::description;
    Organisations get    GET    "/"                                          start                 Certificate    "はじめのページ"                            pages::public::start;
    Organisations get    GET    "/kiban.css"                                 stylesheet            Anyone         "ページの見た目"                            pages::public::stylesheet;
    ClosedLine    get    GET    "/api/v1/opinions"                           opinion_entrance      Offices        "意見書の受口の確認（無人の接続）"          opinions::entrance;
    ClosedLine    post   POST   "/api/v1/opinions"                           submit_opinion_file   Offices        "意見書ファイルの提出（無人の接続）"        opinions::hand_in;
    ClosedLine    get    GET    "/api/v1/opinions/{receipt}"                 opinion_state         Offices        "提出した意見書の状態（無人の接続）"        opinions::state;
    ClosedLine    post   POST   "/api/v1/certificate/renewal"                renew_certificate      Staff          "使っている電子証明書の更新（無人の接続）"  certificates::renew;
    Public        post   POST   "/api/v1/certificate-applications"           apply_for_certificate  Anyone         "電子証明書の申込み（証明書のない機関）"    certificates::apply_publicly;
    Public        get    GET    "/api/v1/certificate-applications/{application}" certificate_application Anyone    "申込みの状態と、発行した電子証明書"        certificates::application;
    Public        post   POST   "/api/v1/certificate-applications/{application}/pickup" pick_up_certificate Anyone "受取番号による証明書ファイル（PKCS #12）の受取り" certificates::pick_up;
    Public        get    GET    "/crl.der"                                   revocation_list        Anyone         "失効リスト（CRL、RFC 5280、DER）"          certificates::revocation_list;
    Public        get    GET    "/"                                          welcome               Anyone         "はじめのページ"                            pages::public::welcome;
    Public        get    GET    "/start-dates"                               start_dates           Anyone         "利用開始日の一覧（ページ）"                pages::public::start_dates;
    Public        get    GET    "/kiban.css"                                 public_stylesheet     Anyone         "ページの見た目"                            pages::public::stylesheet;
    Public        get    GET    "/api/v1/insurers"                           insurers              Anyone         "利用開始日の一覧"                          insurers::list;
    Public        get    GET    "/api/v1/insurers.csv"                       insurers_file         Anyone         "利用開始日の一覧（CSV）"                   insurers::file;
    Public        get    GET    "/notice-keys"                               notice_keys           Anyone         "お知らせのQRコードを確かめる公開鍵"        identification::notice_keys;
    Public        get    GET    "/health"                                    health                Anyone         "稼働の状態"                                public::health;
    Public        get    GET    "/ready"                                     ready                 Anyone         "要求を送ってよいか（負荷分散装置のため）"  public::ready;
}

routes! {
    /// The pages of the WEB service, for somebody in front of a browser.
    PAGES;
    Organisations get    GET    "/login"                                     log_in_page           Certificate    "ログイン"                                  pages::login::form;
    Organisations post   POST   "/login"                                     log_in_by_form        Certificate    "ログイン"                                  pages::login::log_in;
    Organisations post   POST   "/logout"                                    log_out_by_form       Staff          "ログアウト"                                pages::login::log_out;
    Organisations get    GET    "/login/code" code_page Staff "数字の入力" pages::login::code_form;
    Organisations post   POST   "/login/code" code_by_form Staff "数字の入力" pages::login::answer_code;
    Organisations post   POST   "/login/code/mail" code_again_by_form Staff "数字をもう一度送る" pages::login::send_code;
    Organisations get    GET    "/account/factor" factor_page Staff "第二要素" pages::account::factor_form;
    Organisations post   POST   "/account/factor" factor_by_form Staff "第二要素" pages::account::set_up_factor;
    Organisations post   POST   "/account/factor/mail" factor_mail_by_form Staff "数字をメールで送る" pages::account::factor_mail;
    Organisations post   POST   "/account/factor/remove" factor_away_by_form Staff "第二要素をやめる" pages::account::remove_factor;
    Organisations post   POST   "/login/passkey" passkey_question Staff "パスキーに答えさせる値" pages::passkey::question;
    Organisations post   POST   "/account/factor/passkey" passkey_by_form Staff "パスキーを作る" pages::passkey::make;
    Organisations post   POST   "/account/factor/passkey-offer" passkey_offer_of_page Staff "パスキーを作らせる値" pages::passkey::offer;
    Organisations post   POST   "/account/factor/passkey-away" passkey_away_by_form Staff "パスキーの削除" pages::passkey::remove;
    Organisations get    GET    "/passkey.js" passkey_script Anyone "パスキーを使う" pages::passkey::script;
    Organisations post   POST   "/account/stay" stay_by_form Staff "まだ使っている" pages::account::stay;
    Organisations get    GET    "/selftest.js" selftest_script Anyone "時計を比べる" pages::selftest::script;
    Organisations get    GET    "/idle.js" idle_script Anyone "終わる前の知らせ" pages::passkey::idle_script;
    Organisations get    GET    "/account/sessions" own_sessions_page Staff "自分のログイン" pages::account::sessions;
    Organisations post   POST   "/account/sessions" end_own_session_by_form Staff "ログインを終わらせる" pages::account::end_session;
    Organisations get    GET    "/admin" admin_page Staff "管理メニュー" pages::admin::menu;
    Organisations get    GET    "/admin/certificates" admin_certificates_page Staff "電子証明書" pages::certificates::list;
    Organisations post   POST   "/admin/certificates" certificate_asked_by_form Staff "端末の電子証明書を申し込む" pages::certificates::apply;
    Organisations get    GET    "/admin/certificates/renewal" renewal_page Staff "電子証明書の更新" pages::certificates::list;
    Organisations post   POST   "/admin/certificates/renewal" renewal_by_form Staff "電子証明書の更新" pages::certificates::renew;
    Organisations get    GET    "/admin/certificates/{serial}" certificate_page Staff "電子証明書の失効" pages::certificates::one;
    Organisations post   POST   "/admin/certificates/{serial}" revocation_by_form Staff "電子証明書の失効" pages::certificates::revoke;
    Organisations get    GET    "/admin/applications" applications_page Operators "電子証明書の申込み" pages::applications::list;
    Organisations post   POST   "/admin/applications/{application}" application_by_form Operators "電子証明書の申込みの確認・承認" pages::applications::act;
    Public        get    GET    "/apply" apply_page Anyone "電子証明書を申し込む" pages::apply::form;
    Public        post   POST   "/apply" apply_by_form Anyone "電子証明書を申し込む" pages::apply::apply;
    Public        get    GET    "/apply/{application}" application_page Anyone "申込みの状態" pages::apply::application;
    Public        post   POST   "/apply/{application}" pick_up_by_form Anyone "証明書のファイルの受取り" pages::apply::pick_up;
    Organisations get    GET    "/admin/people" people_page Staff "利用する人" pages::admin::people;
    Organisations post   POST   "/admin/people" review_by_form Staff "利用する人の見直し" pages::admin::review;
    Organisations get    GET    "/admin/people/new" invite_page Staff "人を登録" pages::admin::invite_form;
    Organisations post   POST   "/admin/people/new" invite_by_form Staff "人を登録" pages::admin::invite;
    Organisations get    GET    "/admin/people/{account}" colleague_page Staff "利用する人" pages::admin::person;
    Organisations post   POST   "/admin/people/{account}" change_colleague_by_form Staff "仮のパスワード・停止・離職" pages::admin::act;
    Organisations get    GET    "/admin/looks" staff_looks_page Both "職員の閲覧記録" pages::staff_looks::list;
    Organisations get    GET    "/admin/looks.csv" staff_looks_file Both "職員の閲覧記録（CSV）" pages::staff_looks::file;
    Organisations get    GET    "/admin/security" self_check_page Offices "セキュリティ点検" pages::self_check::form;
    Organisations post   POST   "/admin/security" self_check_by_form Offices "セキュリティ点検" pages::self_check::keep;
    Organisations get    GET    "/admin/security/rules" safety_rules_page Offices "安全管理の規程（ひな形）" pages::self_check::rules;
    Organisations get    GET    "/admin/security/incident" incident_page Offices "事故のときの手順と連絡先" pages::self_check::incident;
    Organisations get    GET    "/admin/switches" switches_page Offices "職員ごとの閲覧の停止" pages::switches::list;
    Organisations get    GET    "/admin/people/{account}/sees" sees_page Offices "この人が見られる利用者" pages::switches::sees;
    Organisations get    GET    "/admin/people/{account}/sees/{handle}" switch_page Offices "見せる情報を選ぶ" pages::switches::form;
    Organisations post   POST   "/admin/people/{account}/sees/{handle}" switch_by_form Offices "見せる情報を選ぶ" pages::switches::set;
    Organisations get    GET    "/account/password"                          password_page         Staff          "パスワードを変える"                        pages::account::password_form;
    Organisations post   POST   "/account/password"                          password_by_form      Staff          "パスワードを変える"                        pages::account::change_password;
    Organisations get    GET    "/today"                                     today_page            Staff          "今日の仕事"                                pages::today::page;
    Organisations post   POST   "/today"                                     notice_by_form        Staff          "知らせを確かめた"                          pages::today::seen;
    Organisations get    GET    "/inbox"                                     inbox_page            Municipalities "届いたもの"                                pages::inbox::list;
    Organisations get    GET    "/inbox/{receipt}"                           inbox_item_page       Municipalities "届いた書類"                                pages::inbox::item;
    Organisations post   POST   "/inbox/{receipt}"                           inbox_by_form         Municipalities "開く・受理・差戻し"                        pages::inbox::act;
    Organisations get    GET    "/users"                                     users_page            Offices        "担当利用者"                                pages::users::list;
    Organisations get    GET    "/users/new"                                 register_page         Offices        "利用者を登録"                              pages::register::form;
    Organisations post   POST   "/users/new"                                 register_by_form      Offices        "利用者を登録"                              pages::register::register;
    Organisations get    GET    "/users/new/card"                            card_page             Offices        "カードを読み取って登録"                    pages::register::card_form;
    Organisations post   POST   "/users/new/card"                            card_by_form          Offices        "カードを読み取って登録"                    pages::register::by_card;
    Organisations get    GET    "/users/new/qr"                              qr_page               Offices        "お知らせのQRコードで登録"                  pages::register::qr_form;
    Organisations post   POST   "/users/new/qr"                              qr_by_form            Offices        "お知らせのQRコードで登録"                  pages::register::by_qr;
    Organisations get    GET    "/kiban.js"                                  script                Anyone         "書いている途中の自動の保存"                pages::public::script;
    Organisations get    GET    "/opinions"                                  opinions_page         Offices        "主治医意見書の依頼"                        pages::opinion::list;
    Organisations get    GET    "/opinions/file"                             opinion_file_page     Offices        "ファイルから入れる"                        pages::opinion::file_form;
    Organisations post   POST   "/opinions/file"                             opinion_file_by_form  Offices        "ファイルから入れる"                        pages::opinion::take_file;
    Organisations get    GET    "/opinions/{handle}/send"                    opinion_send_page     Offices        "主治医意見書の確認"                        pages::opinion::confirm;
    Organisations post   POST   "/opinions/{handle}/send"                    opinion_send_by_form  Offices        "主治医意見書を送る"                        pages::opinion::send;
    Organisations get    GET    "/opinions/{handle}/receipt"                 opinion_receipt_page  Offices        "主治医意見書の受付"                        pages::opinion::receipt;
    Organisations get    GET    "/opinions/{handle}/{chapter}"               opinion_page          Offices        "主治医意見書を書く"                        pages::opinion::chapter;
    Organisations post   POST   "/opinions/{handle}/{chapter}"               opinion_by_form       Offices        "主治医意見書の下書き"                      pages::opinion::save;
    Organisations get    GET    "/selftest"                                  selftest_page          Staff          "準備の自己点検"                            pages::selftest::page;
    Organisations get    GET    "/packages"                                  packages_page          Municipalities "データの取り込み"                          pages::packages::list;
    Organisations get    GET    "/packages/new"                              package_form_page      Municipalities "パッケージを調べる"                        pages::packages::form;
    Organisations post   POST   "/packages/new"                              package_by_form        Municipalities "パッケージを調べる"                        pages::packages::send;
    Organisations get    GET    "/packages/held/{held}"                      held_package_page      Municipalities "反映すると変わること"                      pages::packages::held;
    Organisations get    GET    "/packages/held/{held}/differences.csv"      held_package_file      Municipalities "反映すると変わること（CSV）"              pages::packages::held_file;
    Organisations post   POST   "/packages/held/{held}"                      held_package_by_form   Municipalities "調べたパッケージを反映する・消す"          pages::packages::act;
    Organisations get    GET    "/packages/{receipt}"                        package_page           Municipalities "取り込みの結果"                            pages::packages::item;
    Organisations get    GET    "/packages/{receipt}/result.csv"             package_result_page    Municipalities "取り込みの結果（CSV）"                     pages::packages::file;
    Organisations get    GET    "/renewals"                                  renewals_page          Municipalities "同意がまだの人"                            pages::renewals::list;
    Organisations get    GET    "/renewals.csv"                              renewals_file_page     Municipalities "同意がまだの人（CSV）"                     pages::renewals::file;
    Organisations get    GET    "/letters"                                   letters_page           Municipalities "お知らせ（紙）をまとめて作る"              pages::letters::form;
    Organisations post   POST   "/letters"                                   letters_by_form        Municipalities "お知らせ（紙）をまとめて作る"              pages::letters::make;
    Organisations get    GET    "/statistics"                                statistics_page        Municipalities "統計"                                      pages::statistics::page;
    Organisations post   POST   "/statistics"                                statistics_by_form     Municipalities "今日の集計を始める"                        pages::statistics::count;
    Organisations get    GET    "/statistics.csv"                            statistics_file_page   Municipalities "統計（CSV）"                               pages::statistics::file;
    Organisations get    GET    "/start"                                     start_page             Municipalities "利用開始"                                  pages::start::own;
    Organisations post   POST   "/start"                                     start_by_form          Municipalities "利用開始の予告・開始・取消し"              pages::start::change_own;
    Organisations get    GET    "/operator"                                  operator_page          Operators      "運用（市区町村）"                          pages::operator::insurers;
    Organisations get    GET    "/operator/offices"                          offices_page           Operators      "事業所"                                    pages::operator::offices;
    Organisations get    GET    "/operator/disasters"                        disasters_page         Operators      "災害時モード"                              pages::operator::disasters;
    Organisations post   POST   "/operator/disasters"                        disasters_by_form      Operators      "災害時モードの提案"                        pages::operator::propose;
    Organisations get    GET    "/operator/disasters/{disaster}"             disaster_mode_page     Operators      "災害時モードの承認・終了・報告"            pages::operator::disaster;
    Organisations post   POST   "/operator/disasters/{disaster}"             disaster_mode_by_form  Operators      "災害時モードの承認・終了"                  pages::operator::act;
    Organisations get    GET    "/operator/announcements"                    announcements_page     Operators      "お知らせの掲示"                            pages::announcements::list;
    Organisations post   POST   "/operator/announcements"                    announcements_by_form  Operators      "掲示する・取りやめる"                      pages::announcements::act;
    Organisations get    GET    "/operator/audit"                            audit_page             Operators      "監査"                                      pages::operator::audit;
    Organisations get    GET    "/operator/insurers/{insurer}"               insurer_page           Operators      "市区町村の利用開始"                        pages::start::of_operator;
    Organisations post   POST   "/operator/insurers/{insurer}"               insurer_by_form        Operators      "利用開始の予告・開始・取消し"              pages::start::change_of_operator;
    Organisations get    GET    "/rules"                                     rules_page             Staff          "だれが何を見られるか"                      pages::rules::page;
    Organisations get    GET    "/p/{handle}/access"                         access_page            Municipalities "だれが見られるか"                          pages::look::access;
    Organisations get    GET    "/insured"                                   insured_page          Municipalities "被保険者"                                  pages::look::insured_form;
    Organisations post   POST   "/insured"                                   find_by_form          Municipalities "被保険者"                                  pages::look::insured;
    Organisations get    GET    "/p/{handle}"                                person_page           Both           "利用者のページ"                            pages::person::show_person;
    Organisations get    GET    "/p/{handle}/consent"                        consent_page          Both           "同意"                                      pages::consent::form;
    Organisations get    GET    "/users.csv"                                 users_file             Offices        "担当利用者の一覧（CSV）"                   pages::users::file;
    Organisations get    GET    "/p/{handle}/notice"                         notice_page            Municipalities "介護保険のお知らせ（紙）"                  pages::notice::page;
    Organisations get    GET    "/p/{handle}/consent/print"                  consent_print_page     Both           "同意書"                                    pages::consent::print;
    Organisations post   POST   "/p/{handle}/consent"                        consent_by_form       Both           "同意"                                      pages::consent::record;
    Organisations post   POST   "/p/{handle}/plan-maker"                     plan_maker_by_form     Offices        "ケアプランを作る人"                        pages::person::set_plan_maker;
    Organisations get    GET    "/requests"                                  requests_page          Offices        "届出"                                      pages::requests::list;
    Organisations get    GET    "/p/{handle}/request"                        request_page           Offices        "届出を書く"                                pages::requests::form;
    Organisations post   POST   "/p/{handle}/request"                        request_by_form        Offices        "届出を確かめる・出す"                      pages::requests::act;
    Organisations get    GET    "/p/{handle}/request/{receipt}"              request_receipt_page   Offices        "届出の受付"                                pages::requests::receipt;
    Organisations get    GET    "/plans"                                     plans_page             Offices        "ケアプランの送受信"                        pages::plans::list;
    Organisations get    GET    "/plans/send"                                plan_send_page         Offices        "ケアプランのファイルを送る"                pages::plans::send_form;
    Organisations post   POST   "/plans/send"                                plan_send_by_form      Offices        "ケアプランのファイルを送る"                pages::plans::send;
    Organisations get    GET    "/plans/{slip}"                              plan_page              Offices        "送った・受け取ったケアプラン"              pages::plans::item;
    Organisations post   POST   "/plans/{slip}"                              plan_by_form           Offices        "受け取る・取り消す・登録する"              pages::plans::act;
    Organisations get    GET    "/plans/{slip}/files/{file}"                 plan_file_page         Offices        "送られたファイル"                          pages::plans::file;
    Organisations get    GET    "/plans/{slip}/print"                        plan_print_page        Offices        "提供票の印刷"                              pages::plans::print;
    Organisations get    GET    "/disaster"                                  disaster_page          Both           "災害時の検索"                              pages::disaster::form;
    Organisations post   POST   "/disaster"                                  disaster_by_form       Both           "災害時の検索"                              pages::disaster::search;
    Organisations get    GET    "/help"                                      help_page              Staff          "ヘルプ"                                    pages::help::page;
    Organisations get    GET    "/p/{handle}/life"                           life_page              Both           "LIFEの推移"                                pages::life::show_life;
    Organisations get    GET    "/p/{handle}/plan/{table}"                   plan_table_page        Both           "ケアプランの第1〜3表・第6・7表"            pages::plan_tables::table;
    Organisations get    GET    "/p/{handle}/paper/{form}"                   paper_page             Both           "認定調査票・主治医意見書の紙の様式"        pages::paper::form;
    Organisations get    GET    "/p/{handle}/timeline"                       timeline_page          Both           "時系列"                                    pages::timeline::show_timeline;
    Organisations get    GET    "/p/{handle}/looks"                          looks_page            Both           "だれが見たか"                              pages::look::looks;
    Organisations get    GET    "/p/{handle}/door"                           door_page             Municipalities "本人の画面の番号と代理"                    pages::door::page;
    Organisations post   POST   "/p/{handle}/door/code"                      door_code_by_form     Municipalities "本人のための番号を出す"                    pages::door::issue_code;
    Organisations get    GET    "/p/{handle}/door/proxies"                   door_proxy_page       Municipalities "代理の方を登録する"                        pages::door::proxy_form;
    Organisations post   POST   "/p/{handle}/door/proxies"                   door_proxy_by_form    Municipalities "代理の方を登録する"                        pages::door::register_proxy;
    Organisations post   POST   "/p/{handle}/door/block"                     door_block_by_form    Municipalities "代理の方の閲覧を、決まるまで止める"        pages::door::block;
    Organisations post   POST   "/p/{handle}/door/lift"                      door_lift_by_form     Municipalities "代理の方の閲覧の停止をやめる"              pages::door::lift;
    Organisations post   POST   "/p/{handle}/door/end"                       door_end_by_form      Municipalities "番号・ログイン・代理の方の登録を終える"    pages::door::end;
    Organisations get    GET    "/p/{handle}/end"                            end_page              Offices        "担当を終える"                              pages::look::end_form;
    Organisations post   POST   "/p/{handle}/end"                            end_by_form           Offices        "担当を終える"                              pages::look::end;
}

routes! {
    /// The person's own pages, without a certificate.
    PERSON_PAGES;
    Public        get    GET    "/me"                                        person_entrance        Anyone         "わたしの介護情報"                          pages::me::log_in::entrance;
    Public        get    GET    "/me/size/{size}"                            person_size            Anyone         "文字の大きさ"                              pages::me::log_in::size;
    Public        get    GET    "/me/login"                                  person_log_in          Anyone         "ログインをはじめる（本人・代理）"          pages::me::log_in::begin;
    Public        get    GET    "/me/callback"                               person_callback        Anyone         "認証事業者から戻る"                        pages::me::log_in::come_back;
    Public        get    GET    "/me/now"                                    person_now             Person         "いまの状況"                                pages::me::own::now;
    Public        get    GET    "/me/earlier/{place}"                        person_earlier         Person         "前の番号のときの情報"                      pages::me::own::earlier;
    Public        get    GET    "/me/earlier/{place}/looks"                  person_earlier_looks   Person         "前の番号のときに だれが見たか"             pages::me::own::earlier_looks;
    Public        get    GET    "/me/earlier/{place}/looks.json"             person_earlier_log     Person         "前の番号の閲覧記録の写し（証明つき）"      pages::me::own::earlier_log;
    Public        get    GET    "/me/looks"                                  person_looks           Person         "だれが見たか"                              pages::me::own::looks;
    Public        get    GET    "/me/looks.json"                             person_log             Person         "閲覧記録の写し（証明つき）"                pages::me::own::log;
    Public        get    GET    "/me/consent"                                person_consent         Person         "同意"                                      pages::me::own::consent;
    Public        post   POST   "/me/consent"                                person_consent_act     Person         "同意・撤回・種別ごとの拒否"                pages::me::own::act_on_consent;
    Public        get    GET    "/me/offices"                                person_offices         Person         "事業所・家族"                              pages::me::own::offices;
    Public        post   POST   "/me/offices/end"                            person_end_office      Person         "担当を終える"                              pages::me::own::end_office;
    Public        post   POST   "/me/family"                                 person_family          Person         "家族の閲覧を断る・ゆるす"                  pages::me::own::family;
    Public        get    GET    "/me/whose"                                  person_whose           Person         "どなたの情報を見ますか"                    pages::me::own::whose;
    Public        post   POST   "/me/whose"                                  person_choose          Person         "どなたの情報を見ますか"                    pages::me::own::choose;
    Public        get    GET    "/me/code"                                   person_code            Person         "市区町村の番号"                            pages::me::own::code;
    Public        post   POST   "/me/code"                                   person_use_code        Person         "市区町村の番号"                            pages::me::own::use_code;
    Public        post   POST   "/me/logout"                                 person_log_out         Person         "ログアウト"                                pages::me::own::log_out;
}

/// What weighs much: only a log-in that has proven itself a short while ago does it (S-013).
pub static GRAVE: &[&str] = &[
    "record_consent",
    "consent_by_form",
    "export_package",
    "make_paper_notices",
    "letters_by_form",
    "announce",
    "announcements_by_form",
    "propose_disaster",
    "approve_disaster",
    "close_disaster",
    "search_disaster",
    "disaster_by_form",
    "invite_account",
    "invite_by_form",
    "switch_account",
    "reset_password",
    "close_account",
    "change_colleague_by_form",
    "apply_for_certificate",
    "renew_certificate",
    "revoke_certificate",
    "approve_certificate",
    "refuse_certificate",
    "application_by_form",
    "held_package_by_form",
    "certificate_asked_by_form",
    "renewal_by_form",
    "revocation_by_form",
    "remove_passkey",
    "passkey_away_by_form",
    "set_switch",
    "switch_by_form",
    "lift_withheld",
    "decide_office",
    "register_proxy",
    "issue_portal_code",
    "lift_proxy_block",
    "door_lift_by_form",
    "door_proxy_by_form",
    "door_code_by_form",
    "change_start",
    "start_by_form",
    "insurer_by_form",
    "disasters_by_form",
    "disaster_mode_by_form",
];

/// Every route there is.
fn all_routes() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().chain(PAGES).chain(PERSON_PAGES)
}

impl Route {
    /// Whether it takes a set of files for another office or for the printer: those have places of their own, because each of
    /// them lies in memory as a whole.
    pub(crate) fn is_set(&self) -> bool {
        matches!(self.name, "send_slips" | "print_slips" | "plan_send_by_form")
    }

    /// Whether it takes files: those have their own places, time and size.
    pub(crate) fn is_upload(&self) -> bool {
        matches!(
            self.name,
            "import_package"
                | "import_plans"
                | "import_life"
                | "import_claims"
                | "package_by_form"
                | "held_package_by_form"
        )
    }

    /// Whether it takes a municipality's package, of any size, which may take half an hour, or applies one that is held.
    pub(crate) fn is_package(&self) -> bool {
        matches!(self.name, "import_package" | "package_by_form" | "held_package_by_form")
    }

    /// What it counts as for the quota of its organisation.
    pub(crate) fn counts(&self) -> Counts {
        match self.name {
            "search_disaster" | "disaster_by_form" => Counts::DisasterSearch,
            "person_log_in" | "person_callback" | "person_use_code" => Counts::PortalLogIn,
            _ if self.path == "/me" || self.path.starts_with("/me/") => Counts::Portal,
            _ => Counts::Request,
        }
    }

    /// Whether it weighs much: asked of whoever is logged in, and of nobody where no log-in is needed.
    pub(crate) fn is_grave(&self) -> bool {
        self.audience.needs_log_in() && GRAVE.contains(&self.name)
    }

    /// Whether it is asked like what weighs much of somebody who has a second factor already: it adds another one.
    pub(crate) fn is_grave_beside_factors(&self) -> bool {
        self.name == "passkey_by_form"
    }

    /// How far a log-in must have come for it.
    pub(crate) fn stage(&self) -> Stage {
        match self.name {
            "answer_factor" | "send_code" | "ask_passkey" | "code_page" | "code_by_form" | "code_again_by_form"
            | "passkey_question" | "log_out" | "log_out_by_form" => Stage::Code,
            "change_password" | "password_page" | "password_by_form" | "stay_by_form" => Stage::Password,
            "factor_state"
            | "offer_factor"
            | "offer_mail"
            | "set_up_factor"
            | "passkeys"
            | "offer_passkey"
            | "add_passkey"
            | "factor_page"
            | "factor_by_form"
            | "passkey_by_form"
            | "passkey_offer_of_page"
            | "factor_mail_by_form" => Stage::Factor,
            _ if self.is_grave() => Stage::Fresh,
            _ => Stage::Through,
        }
    }

    /// The handle in a path of this route, if it is about a person.
    pub(crate) fn person_in<'a>(&self, path: &'a str) -> Option<&'a str> {
        let mut parts = self.path.split('/').zip(path.split('/'));
        parts.find(|(part, _)| *part == "{handle}").map(|(_, given)| given)
    }

    fn fits(&self, path: &str) -> bool {
        let mut given = path.split('/');
        self.path.split('/').all(|part| given.next().is_some_and(|given| part == given || part.starts_with('{')))
            && given.next().is_none()
    }
}

/// The route a request is for; HEAD is a GET without a body.
pub(crate) fn route_of(listener: Listener, method: &Method, path: &str) -> Option<&'static Route> {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    all_routes().find(|route| route.listener == listener && route.method == *method && route.fits(path))
}

/// The router behind client certificates.
pub fn organisations_router(platform: Platform, settings: Settings, ready: Ready) -> Router {
    router(Organisations, App::new(platform, settings, ready))
}

/// The router of the closed line: opinions of hospitals, behind client certificates.
pub fn closed_line_router(platform: Platform, settings: Settings, ready: Ready) -> Router {
    router(ClosedLine, App::new(platform, settings, ready))
}

/// The router open to everybody.
pub fn public_router(platform: Platform, settings: Settings, ready: Ready) -> Router {
    router(Public, App::new(platform, settings, ready))
}

fn router(listener: Listener, app: App) -> Router {
    let mut router = Router::new();
    for route in all_routes().filter(|route| route.listener == listener) {
        router = router.route(route.path, (route.handler)());
    }
    router
        .fallback(async || Problem::unknown())
        .method_not_allowed_fallback(async || method_not_allowed())
        .layer(axum::middleware::from_fn_with_state((app.clone(), listener), guard))
        .with_state(app)
}

fn method_not_allowed() -> Problem {
    let detail = "APIの説明（/api/v1/openapi.json）で、使えるメソッドを確かめてください";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "このメソッドは使えません", detail)
}
