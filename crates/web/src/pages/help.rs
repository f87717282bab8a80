//! ヘルプ: what each role asks most, on one page of its own, with where it is done.

use super::visitor::{Away, Visitor};
use super::{Frame, show};
use crate::App;
use crate::api::Answer;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use kiban_domain::Organization;
use kiban_domain::office::OfficeClass;

/// A question, its answer, and where it is done; no address for what is done nowhere.
type Question = (&'static str, &'static str, &'static str);

#[derive(Template)]
#[template(path = "help.html")]
struct HelpPage {
    page: Frame,
    role: &'static str,
    questions: Vec<Question>,
    public_url: String,
}

const EVERYBODY: [Question; 5] = [
    ("ログインしたままで席を離れるときは", "ログアウトしてください。15分何もしないと自動で終わります。", ""),
    (
        "パスワードを忘れました",
        "事業所・機関の管理者に、仮のパスワードを出してもらってください。管理者は「利用する人」から出します。",
        "/admin",
    ),
    ("端末をなくしました", "すぐに管理者に知らせ、その端末の電子証明書を失効させてください。", "/admin/certificates"),
    (
        "だれが何を見られるかは、どう決まりますか",
        "国の表と、本人の同意と、担当の関係で決まります。利用者のページの「なぜ見られるのか」に、その人についての理由と規則の番号が出ます。",
        "/rules",
    ),
    ("見た記録は残りますか", "すべて残ります。本人と市区町村は、だれがいつ何を見たかを見られます。", ""),
];

const OFFICE: [Question; 7] = [
    (
        "意見書が届いたかを知りたい",
        "「担当利用者」の一覧に、調査票・意見書・審査会・結果の日付があります。電話は要りません。",
        "/users",
    ),
    (
        "はじめての人を登録したい",
        "被保険者証の4項目、マイナンバーカード、お知らせのQRコードのどれかで本人を確かめます。どの方法でも、見られる情報は同じです。",
        "/users/new",
    ),
    (
        "「ケアプランを作ります」の印を忘れました",
        "利用者のページの「ケアプランを作る人」で、いつでも変えられます。",
        "/users",
    ),
    (
        "「同意未取得」と出ます",
        "利用者のページか一覧の「同意をとる」から、本人に説明して登録します。「市区町村がとります」と出る人は、申請のときに市区町村がとります。",
        "/users?f=noconsent",
    ),
    (
        "書類が差し戻されました",
        "「今日の仕事」の知らせから開くと、理由と前に書いた内容が出ます。直して、もう一度送ってください。",
        "/today",
    ),
    ("担当でなくなりました", "利用者のページの「担当を終える」を押します。すぐに見られなくなります。", "/users"),
    (
        "安全対策は、何をすればよいですか",
        "「セキュリティ点検」の21の問いに、年1回答えます。規程のひな形と、事故のときの手順・連絡先を印刷できます。",
        "/admin/security",
    ),
];

const PLANNER: [Question; 2] = [
    (
        "居宅サービス計画作成依頼の届出を出したい",
        "利用者のページの「届出を書く」から出します。出した届出と状態は「届出」にあります。",
        "/requests",
    ),
    (
        "ケアプランをサービス事業所に送りたい",
        "介護ソフトから標準仕様 4.1 の CSV を出力し、「ケアプラン」の「ファイルを送る」で宛先を確かめてから送ります。",
        "/plans/send",
    ),
];

const PROVIDER: [Question; 1] = [(
    "提供票が届いているか、実績を返したい",
    "「ケアプラン」で受け取ると、ファイルを保存でき、「実績を返す」で返せます。",
    "/plans",
)];

const HOSPITAL: [Question; 3] = [
    (
        "意見書を書きたい",
        "「主治医意見書」に、市区町村からの依頼が提出の目安の近い順に出ます。書きかけは章ごとに保存されます。",
        "/opinions",
    ),
    (
        "電子カルテの意見書を使いたい",
        "医見書 CSV 1.1 か JSON のファイルから入れられます。内容を確かめてから送ります。",
        "/opinions/file",
    ),
    ("送ったあと、署名や紙は要りますか", "要りません。受付番号が出て、受理されると一覧に出ます。", "/opinions"),
];

const CITY: [Question; 7] = [
    ("届いた意見書・届出・同意を確かめたい", "「届いたもの」を開き、受理するか、理由をつけて差し戻します。", "/inbox"),
    (
        "データを取り込みたい",
        "「データの取り込み」の「パッケージを調べる」で、変わることと直すところを見てから反映します。調べるだけでは何も変わりません。",
        "/packages",
    ),
    ("同意がまだの人を知りたい", "「同意がまだの人」に、認定の更新が近い人が期限の順に出ます。", "/renewals"),
    ("被保険者の情報を見たい", "「被保険者」で、被保険者番号を入れて開きます。", "/insured"),
    (
        "だれがこの人を見られるか、見たかを知りたい",
        "被保険者を開き、「いまだれが見られるか」か「だれが見たか」を押します。",
        "/insured",
    ),
    (
        "統計がほしい",
        "「統計」で、今日の集計を始めます。外に出すときは「市区町村の外に出す」を選びます。",
        "/statistics",
    ),
    ("利用を開始したい", "「利用開始」で照合の結果を確かめ、確認のページから開始します。", "/start"),
];

const OPERATOR: [Question; 5] = [
    (
        "電子証明書の申込みを確かめたい",
        "「管理メニュー」の「電子証明書の申込み」を開きます。2人が確かめます。",
        "/admin",
    ),
    (
        "災害時モードを開きたい",
        "「運用」の「災害時モード」で提案し、別の運用者が別の端末から承認します。",
        "/operator/disasters",
    ),
    ("市区町村の利用開始を知りたい", "「運用」で市区町村を探します。", "/operator"),
    (
        "止まる日などを、機関に知らせたい",
        "「運用」の「お知らせの掲示」に書くと、対象の機関の「今日の仕事」に出ます。",
        "/operator/announcements",
    ),
    ("事業所の登録・証明書の発行・失効", "運用者のコマンド（kiban operate、kiban ca）で行います。", ""),
];

pub(crate) async fn page(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    let class = visitor.caller.office.as_ref().map(|(_, class)| *class);
    let (role, own): (&str, Vec<&[Question]>) = match (visitor.caller.organization, class) {
        (Organization::Office(_), Some(OfficeClass::Hospital)) => ("医療機関", vec![&HOSPITAL, &OFFICE[4..]]),
        (Organization::Office(_), Some(OfficeClass::HospitalWithCare)) => {
            ("医療機関", vec![&HOSPITAL, &PROVIDER, &OFFICE[4..]])
        }
        (Organization::Office(_), Some(OfficeClass::HealthFacility)) => {
            ("老健・医療院", vec![&HOSPITAL, &OFFICE, &PROVIDER])
        }
        (
            Organization::Office(_),
            Some(OfficeClass::CarePlanning | OfficeClass::CommunitySupport | OfficeClass::ResidentialService),
        ) => ("ケアプランを作る事業所", vec![&OFFICE, &PLANNER]),
        (Organization::Office(_), _) => ("介護サービス事業所", vec![&OFFICE[1..2], &OFFICE[4..], &PROVIDER]),
        (Organization::Municipality(_), _) => ("市区町村", vec![&CITY]),
        (Organization::Prefecture(_) | Organization::Operator, _) => ("運用者", vec![&OPERATOR]),
    };
    let html = HelpPage {
        page: Frame { body: "main--read", ..visitor.frame(&app, "ヘルプ", "P-221", "/help") },
        role,
        questions: own.into_iter().chain([&EVERYBODY[..]]).flatten().copied().collect(),
        public_url: app.settings.public_url.clone(),
    };
    let answer: Answer = show(&html);
    Ok(answer?)
}
