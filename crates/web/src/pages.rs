//! The first pages: plain HTML that says what this is and what to do next. No script, no style, no form; every value is
//! escaped.

use crate::App;
use crate::api::Answer;
use crate::caller::Certified;
use axum::extract::State;
use axum::response::{Html, IntoResponse};
use kiban_domain::Organization;
use kiban_domain::dates::wareki;
use kiban_service::{InsurerStart, StartFilter};

/// Public: what this is, start dates, help when a certificate fails.
pub(crate) async fn welcome() -> Answer {
    page(
        "介護情報基盤",
        "<h1>介護情報基盤</h1>\n\
         <p>介護が必要な方の情報を、ご本人の同意のもとで、市区町村・介護事業所・医療機関が安全に共有するための仕組みです。</p>\n\
         <h2>利用開始日</h2>\n\
         <p>情報の共有は市区町村ごとに始まります。<a href=\"/insurers\">市区町村ごとの利用開始日の一覧</a>をご覧ください。</p>\n\
         <h2>事業所・医療機関・市区町村の方へ</h2>\n\
         <p>業務の画面には、端末に電子証明書を組み込んでから、事業所向けのアドレスで接続してください。</p>\n\
         <h2>電子証明書で接続できないとき</h2>\n\
         <ol>\n\
         <li>端末の日付と時刻が正しいか確かめてください。</li>\n\
         <li>この基盤の電子証明書が、使っている端末とブラウザーに組み込まれているか確かめてください。</li>\n\
         <li>電子証明書の有効期限が過ぎていないか確かめてください。期限が過ぎているときは、新しい電子証明書を運用者に申し込んでください。</li>\n\
         <li>ブラウザーをいったん終了し、開き直して、この基盤の電子証明書を選んでください。</li>\n\
         <li>パソコンを紛失した、または廃棄したときは、すぐに運用者へ失効を申し込んでください。</li>\n\
         </ol>\n",
    )
}

/// Public: start dates of all municipalities, by prefecture.
pub(crate) async fn insurers(State(app): State<App>) -> Answer {
    let starts = app.platform.starts(&StartFilter::default()).await?;
    let mut prefectures: Vec<(&str, Vec<&InsurerStart>)> = Vec::new();
    for start in &starts {
        match prefectures.last_mut() {
            Some((name, list)) if *name == start.prefecture => list.push(start),
            _ => prefectures.push((&start.prefecture, vec![start])),
        }
    }
    let mut body = String::from(
        "<h1>市区町村ごとの利用開始日</h1>\n<p><a href=\"/\">はじめのページ</a>　<a href=\"/api/v1/insurers.csv\">一覧のファイル（CSV）</a></p>\n<ul>\n",
    );
    for (i, (name, _)) in prefectures.iter().enumerate() {
        body += &format!("<li><a href=\"#p{}\">{}</a></li>\n", i + 1, escape(name));
    }
    body += "</ul>\n";
    for (i, (name, list)) in prefectures.iter().enumerate() {
        body += &format!(
            "<h2 id=\"p{}\">{}</h2>\n<table>\n<thead><tr><th scope=\"col\">市区町村</th><th scope=\"col\">保険者番号</th><th scope=\"col\">状態</th><th scope=\"col\">利用開始日</th></tr></thead>\n<tbody>\n",
            i + 1,
            escape(name)
        );
        for start in list {
            let day = start.start.date().map_or_else(|| "―".to_owned(), wareki);
            body += &format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{day}</td></tr>\n",
                escape(&start.name),
                start.insurer_number,
                start.state_name,
            );
        }
        body += "</tbody>\n</table>\n";
    }
    page("市区町村ごとの利用開始日", &body)
}

/// Organisations: whose certificate this is and how to go on.
pub(crate) async fn start(State(app): State<App>, peer: Certified) -> Answer {
    let standing = app.platform.standing();
    let who = match peer.organization {
        Organization::Office(number) => {
            let name = standing.office(number).map_or_else(String::new, |office| escape(&office.name));
            format!("事業所番号 {number} {name}")
        }
        Organization::Municipality(number) => {
            let city = kiban_domain::municipality::find(number);
            let name = city.map_or_else(String::new, |m| format!("{}{}", m.prefecture_name, m.name));
            format!("市区町村（保険者番号 {number}） {}", escape(&name))
        }
        Organization::Prefecture(code) => format!("都道府県（コード {code}）"),
        Organization::Operator => "運用者".to_owned(),
    };
    let public = escape(&app.settings.public_url);
    let own = escape(app.settings.hosts.first().map_or("localhost", String::as_str));
    page(
        "介護情報基盤",
        &format!(
            "<h1>介護情報基盤</h1>\n\
             <p>接続している端末の電子証明書: <strong>{who}</strong></p>\n\
             <p>違う名前が出ているときは操作をやめ、事業所の管理者に連絡してください。</p>\n\
             <h2>次にすること</h2>\n\
             <ol>\n\
             <li>アカウントとパスワードでログインし、トークンを受け取ります（有効 60 分）。</li>\n\
             <li>トークンを <code>Authorization: Bearer</code> に付けて操作します。</li>\n\
             </ol>\n\
             <pre>curl --cert 端末.pem --key 端末.key --cacert ca.pem \\\n  -H 'Content-Type: application/json' \\\n  -d '{{\"account\":\"アカウント\",\"password\":\"パスワード\"}}' \\\n  https://{own}/api/v1/session</pre>\n\
             <p>操作の一覧は <a href=\"/api/v1/openapi.json\">APIの説明（OpenAPI 3.1）</a>にあります。</p>\n\
             <p>利用開始日と、電子証明書で接続できないときの案内は <a href=\"{public}/\">公開のページ</a>にあります。</p>\n"
        ),
    )
}

fn page(title: &str, body: &str) -> Answer {
    let html = format!(
        "<!doctype html>\n<html lang=\"ja\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(title)
    );
    Ok(Html(html).into_response())
}

/// Text as HTML text or attribute value.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
