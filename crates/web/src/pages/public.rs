//! The first pages: plain HTML that says what this is and what to do next. No script; one stylesheet; every value is escaped.

use super::announcements::Board;
use crate::App;
use crate::api::Answer;
use crate::caller::Certified;
use crate::input::Query;
use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use kiban_domain::Organization;
use kiban_domain::dates::wareki;
use kiban_service::{InsurerStart, StartFilter};
use serde::Deserialize;

/// Public: what this is, start dates, help when a certificate fails.
pub(crate) async fn welcome() -> Answer {
    page(
        "介護情報基盤",
        "",
        "main main--read prose",
        "<h1>介護情報基盤</h1>\n\
         <p class=\"lead\">介護が必要な方の情報を、ご本人の同意のもとで、市区町村・介護事業所・医療機関が安全に共有するための仕組みです。</p>\n\
         <h2>利用開始日</h2>\n\
         <p>情報の共有は市区町村ごとに始まります。<a href=\"/start-dates\">市区町村ごとの利用開始日の一覧</a>をご覧ください。</p>\n\
         <h2>事業所・医療機関・市区町村の方へ</h2>\n\
         <p>業務の画面には、端末に電子証明書を組み込んでから、事業所向けのアドレスで接続してください。</p>\n\
         <p><a href=\"/apply\">電子証明書を申し込む</a></p>\n\
         <h2>電子証明書で接続できないとき</h2>\n\
         <ol class=\"howto\">\n\
         <li>端末の日付と時刻が正しいか確かめてください。</li>\n\
         <li>この基盤の電子証明書が、使っている端末とブラウザーに組み込まれているか確かめてください。</li>\n\
         <li>電子証明書の有効期限が過ぎていないか確かめてください。期限が過ぎているときは、<a href=\"/apply\">新しい電子証明書を申し込んで</a>ください。</li>\n\
         <li>ブラウザーをいったん終了し、開き直して、この基盤の電子証明書を選んでください。</li>\n\
         <li>パソコンを紛失した、または廃棄したときは、すぐに運用者へ失効を申し込んでください。</li>\n\
         </ol>\n",
    )
}

/// What the visitor of the list of start dates looks for; nothing shows an overview.
#[derive(Deserialize, Default)]
pub(crate) struct Wanted {
    /// 都道府県コード, two digits.
    prefecture: Option<String>,
    /// One of [`STATES`].
    state: Option<String>,
    /// Part of the name, or a 保険者番号.
    name: Option<String>,
}

/// The states of a municipality in the order they are passed through (P-150), with the style of their tag.
const STATES: [(&str, &str); 4] =
    [("開始", "tag--ok"), ("予定", "tag--new"), ("調整中", "tag--do"), ("未定", "tag--off")];

impl Wanted {
    fn is_empty(&self) -> bool {
        [&self.prefecture, &self.state, &self.name].iter().all(|given| word(given).is_empty())
    }

    fn fits(&self, one: &InsurerStart) -> bool {
        let (prefecture, state, name) = (word(&self.prefecture), word(&self.state), word(&self.name));
        (prefecture.is_empty() || one.prefecture_code == prefecture)
            && (state.is_empty() || one.state_name == state)
            && (name.is_empty()
                || one.insurer_number.as_str() == name
                || format!("{}{}", one.prefecture, one.name).contains(name))
    }
}

fn word(given: &Option<String>) -> &str {
    given.as_deref().unwrap_or("").trim()
}

/// Public: start dates of all municipalities, by prefecture, state or name (P-150).
pub(crate) async fn start_dates(State(app): State<App>, Query(wanted): Query<Wanted>) -> Answer {
    let starts = app.platform.starts(&StartFilter::default()).await?;
    // A query that is none shows the overview: nothing here is worth an error page.
    let wanted = wanted.unwrap_or_default();
    let mut body = String::from(
        "<h1>市区町村ごとの利用開始日</h1>\n\
         <p class=\"lead\">情報の共有は、市区町村ごとに準備ができた日から始まります。お住まいの市区町村を選んでください。</p>\n",
    );
    body += &search(&wanted, &starts);
    if wanted.is_empty() {
        body += &overview(&starts);
    } else {
        let found: Vec<&InsurerStart> = starts.iter().filter(|one| wanted.fits(one)).collect();
        body += &listing(&found);
    }
    page("市区町村ごとの利用開始日", "", "main prose", &body)
}

fn search(wanted: &Wanted, starts: &[InsurerStart]) -> String {
    let mut out = format!(
        "<form class=\"search\" method=\"get\" action=\"/start-dates\">\n\
         <div><label for=\"name\">市区町村の名前か保険者番号</label><input class=\"in\" id=\"name\" name=\"name\" value=\"{}\"></div>\n\
         <div><label for=\"prefecture\">都道府県</label><select class=\"in\" id=\"prefecture\" name=\"prefecture\"><option value=\"\">すべて</option>",
        escape(word(&wanted.name))
    );
    for (code, name, _) in prefectures(starts) {
        out += &choice(code, name, word(&wanted.prefecture));
    }
    out += "</select></div>\n<div><label for=\"state\">状態</label><select class=\"in\" id=\"state\" name=\"state\"><option value=\"\">すべて</option>";
    for (state, _) in STATES {
        out += &choice(state, state, word(&wanted.state));
    }
    out += "</select></div>\n<button class=\"btn\" type=\"submit\">市区町村を探す</button>\n</form>\n";
    out
}

fn choice(value: &str, name: &str, chosen: &str) -> String {
    let selected = if value == chosen { " selected" } else { "" };
    format!("<option value=\"{}\"{selected}>{}</option>", escape(value), escape(name))
}

/// Code, name and municipalities of each prefecture, in the order of the list.
fn prefectures(starts: &[InsurerStart]) -> Vec<(&str, &str, Vec<&InsurerStart>)> {
    let mut out: Vec<(&str, &str, Vec<&InsurerStart>)> = Vec::new();
    for start in starts {
        match out.last_mut() {
            Some((_, name, list)) if *name == start.prefecture => list.push(start),
            _ => out.push((&start.prefecture_code, &start.prefecture, vec![start])),
        }
    }
    out
}

fn overview(starts: &[InsurerStart]) -> String {
    let mut out = String::from("<h2>状態ごとの数</h2>\n<dl class=\"counts\">\n");
    for (state, _) in STATES {
        let count = starts.iter().filter(|one| one.state_name == state).count();
        out += &format!("<div><dt>{state}</dt><dd><a href=\"/start-dates?state={state}\">{count}</a></dd></div>\n");
    }
    out += "</dl>\n<h2>都道府県から選ぶ</h2>\n<ul class=\"places\">\n";
    for (code, name, list) in prefectures(starts) {
        let started = list.iter().filter(|one| one.state_name == STATES[0].0).count();
        out += &format!(
            "<li><a href=\"/start-dates?prefecture={code}\">{}</a> <span class=\"sub\">開始 {started} / {}</span></li>\n",
            escape(name),
            list.len()
        );
    }
    out += "</ul>\n<p><a href=\"/api/v1/insurers.csv\">全市区町村の一覧（CSV）</a></p>\n";
    out
}

fn listing(found: &[&InsurerStart]) -> String {
    if found.is_empty() {
        return "<div class=\"empty\"><p>この条件の市区町村はありません。</p><p>名前の一部だけで探すか、<a href=\"/start-dates\">都道府県から選んで</a>ください。</p></div>\n".to_owned();
    }
    let mut out = format!(
        "<h2>{} 件</h2>\n<p><a href=\"/start-dates\">都道府県の一覧に戻る</a></p>\n<table class=\"tbl tbl--cards\">\n\
         <thead><tr><th scope=\"col\">市区町村</th><th scope=\"col\">都道府県</th><th scope=\"col\">保険者番号</th><th scope=\"col\">状態</th><th scope=\"col\">利用開始日</th></tr></thead>\n<tbody>\n",
        found.len()
    );
    for one in found {
        let day = one.start.date().map_or_else(|| "まだ決まっていません".to_owned(), wareki);
        let tag = STATES.iter().find(|(state, _)| *state == one.state_name).map_or("", |(_, tag)| tag);
        out += &format!(
            "<tr><th scope=\"row\">{}</th><td data-l=\"都道府県\">{}</td><td data-l=\"保険者番号\" class=\"num\">{}</td><td data-l=\"状態\"><span class=\"tag {tag}\">{}</span></td><td data-l=\"利用開始日\">{day}</td></tr>\n",
            escape(&one.name),
            escape(&one.prefecture),
            one.insurer_number,
            one.state_name,
        );
    }
    out += "</tbody>\n</table>\n";
    out
}

/// The look of every page; served on each listener, so that no page needs another address.
pub(crate) async fn stylesheet() -> Answer {
    let text = include_str!("../../assets/kiban.css");
    Ok(([(header::CONTENT_TYPE, "text/css; charset=utf-8")], text).into_response())
}

/// The one script: it saves what is typed into a form that says so, nothing needs it.
pub(crate) async fn script() -> Answer {
    let text = include_str!("../../assets/kiban.js");
    Ok(([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], text).into_response())
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
    // What is told does not keep anybody from the log-in.
    let told = app.platform.announcements_to_all(&peer.context).await.unwrap_or_default();
    let told: String = told.into_iter().map(Board::of).map(announced).collect();
    page(
        "はじめに",
        &format!("<p class=\"hd__who\"><strong>{who}</strong></p>"),
        "main main--read prose",
        &format!(
            "<h1>はじめに</h1>\n{told}\
             <p class=\"lead\">接続している端末の電子証明書: <strong>{who}</strong></p>\n\
             <p>違う名前が出ているときは操作をやめ、事業所の管理者に連絡してください。</p>\n\
             <p class=\"acts\"><a class=\"btn btn--main\" href=\"/login\">ログインする</a></p>\n\
             <p>ソフトウェアから使う方は、<a href=\"/api/v1/openapi.json\">APIの説明（OpenAPI 3.1）</a>をご覧ください。</p>\n\
             <p>利用開始日と、電子証明書で接続できないときの案内は <a href=\"{public}/\">公開のページ</a>にあります。</p>\n"
        ),
    )
}

fn announced(one: Board) -> String {
    let text: String = one.paragraphs.iter().map(|text| format!("<p>{}</p>", escape(text))).collect();
    let title = escape(&one.title);
    format!(
        "<section class=\"note\" aria-label=\"運用者からのお知らせ\"><h2>{title}</h2>{text}<p class=\"sub\">{}</p></section>\n",
        one.period
    )
}

/// A page. `who` is HTML of whose page it is, in the header; `main` the classes of the body.
pub(crate) fn page(title: &str, who: &str, main: &str, body: &str) -> Answer {
    let html = format!(
        "<!doctype html>\n<html lang=\"ja\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}｜介護保険資格確認等WEBサービス</title>\n<link rel=\"stylesheet\" href=\"/kiban.css\">\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">本文へ進む</a>\n\
         <header class=\"hd\"><div class=\"hd__in\"><p class=\"hd__name\"><a href=\"/\">介護保険資格確認等<wbr>WEBサービス</a></p>{who}</div></header>\n\
         <main id=\"main\" class=\"{main}\">\n{body}</main>\n</body>\n</html>\n",
        escape(title)
    );
    Ok(Html(html).into_response())
}

/// Text as HTML text or attribute value.
pub(crate) fn escape(text: &str) -> String {
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
