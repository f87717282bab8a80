//! 準備の自己点検 (P-199, P-211): what a terminal needs, checked as far as it can be from here, each with what to do. Printable, with
//! number and name of the organisation.

use super::visitor::{Away, Visitor};
use super::{Frame, show, words};
use crate::api::Answer;
use crate::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use kiban_service::{CertificateLine, FactorState};

/// Browsers by their mark in `User-Agent`, the most particular first, with the first version that can show every page.
const BROWSERS: [(&str, &str, u32); 4] = [
    ("Edg/", "Microsoft Edge", 120),
    ("Chrome/", "Google Chrome", 120),
    ("Firefox/", "Firefox", 121),
    ("Version/", "Safari", 17),
];

#[derive(Template)]
#[template(path = "selftest.html")]
struct SelfTestPage {
    page: Frame,
    good: usize,
    checks: Vec<Check>,
    at: String,
    /// Milliseconds since 1970, for the script that asks the terminal's own clock.
    now: i64,
}

/// One thing that was looked at.
struct Check {
    name: &'static str,
    /// Class and words.
    state: (&'static str, &'static str),
    text: String,
    steps: Vec<&'static str>,
    link: Option<(&'static str, &'static str)>,
    /// The script says more.
    is_clock: bool,
}

const GOOD: (&str, &str) = ("tag--ok", "問題なし");
const LOOK: (&str, &str) = ("tag--do", "確かめる");
const MEND: (&str, &str) = ("tag--ng", "直すところ");

impl Check {
    fn good(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, state: GOOD, text: text.into(), steps: Vec::new(), link: None, is_clock: false }
    }

    fn otherwise(
        state: (&'static str, &'static str),
        name: &'static str,
        text: impl Into<String>,
        steps: &[&'static str],
        link: Option<(&'static str, &'static str)>,
    ) -> Self {
        Self { name, state, text: text.into(), steps: steps.to_vec(), link, is_clock: false }
    }
}

pub(crate) async fn page(State(app): State<App>, visitor: Visitor, headers: HeaderMap) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &visitor;
    let lines = app.platform.certificates::<Problem>(caller, Ok(None), context).await?;
    let own = lines.certificates.iter().find(|line| line.own);
    let factor = app.platform.factor_state(caller, context).await.map_err(Problem::from)?;
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let clock = Check {
        is_clock: true,
        ..Check::otherwise(
            LOOK,
            "パソコンの時計",
            format!("このページを開いたとき、正しい時刻は {} でした。", words::moment(context.now)),
            &[
                "パソコンの時計と見比べます。",
                "1分より違うときは、パソコンの設定で「時刻を自動的に設定する」を入れます。",
            ],
            None,
        )
    };
    let checks = vec![
        certificate(own, context.now),
        Check::good("通信（TLS 1.3）", "TLS 1.3 でつながっています。ほかの方式では、このページは開きません。"),
        clock,
        reader(),
        second_factor(&factor),
        browser(agent),
    ];
    let html = SelfTestPage {
        page: visitor.frame(&app, "準備の自己点検", "P-199", "/admin"),
        good: checks.iter().filter(|check| check.state == GOOD).count(),
        checks,
        at: words::moment(context.now),
        now: context.now.as_millisecond(),
    };
    Ok(show(&html)?)
}

/// Compares the terminal's clock with the time of the page.
pub(crate) async fn script() -> Answer {
    let text = include_str!("../../assets/selftest.js");
    Ok(([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], text).into_response())
}

fn certificate(own: Option<&CertificateLine>, now: kiban_domain::Timestamp) -> Check {
    let Some(line) = own else {
        let text = "この端末の証明書が、機関の一覧にありません。";
        return Check::otherwise(MEND, "証明書", text, &["運用者に連絡し、証明書の番号を伝えます。"], None);
    };
    let days = line.not_after.duration_since(now).as_hours() / 24;
    let text = format!("「{}」の証明書です。期限は{}（あと{days}日）。", line.terminal, words::day_of(line.not_after));
    if line.renewable_from <= now {
        let steps =
            ["「証明書を更新する」を開きます。", "新しい証明書を、この端末に入れます。古いものは期限まで使えます。"];
        return Check::otherwise(LOOK, "証明書", text, &steps, Some(("/admin/certificates", "証明書を更新する")));
    }
    Check::good("証明書", text)
}

/// The reading app speaks with the platform itself, not with this page.
fn reader() -> Check {
    let steps = [
        "カードリーダーをつなぎ、読み取りのアプリを開きます。",
        "アプリの「接続確認」を押します。",
        "「利用者を登録」の「マイナンバーカードを読み取る」で、読み取れるか試します。",
    ];
    let text =
        "このページからは確かめられません。カードリーダーがなくても、被保険者証を見て入力する方法で登録できます。";
    Check::otherwise(LOOK, "カードリーダー", text, &steps, None)
}

fn second_factor(factor: &FactorState) -> Check {
    let mut set = Vec::new();
    if factor.totp {
        set.push("認証アプリ");
    }
    if factor.mail {
        set.push("メール");
    }
    if factor.passkeys > 0 {
        set.push("パスキー");
    }
    if !set.is_empty() {
        return Check::good(
            "第二要素（メール・認証アプリ・パスキー）",
            format!("{}を設定してあります。", set.join("・")),
        );
    }
    let name = "第二要素（メール・認証アプリ・パスキー）";
    let text = "パスワードのほかに本人と確かめる方法が、まだ設定されていません。";
    let steps = ["「第二要素を設定する」を開きます。", "認証アプリ・パスキー・メールのうち、使えるものを選びます。"];
    Check::otherwise(LOOK, name, text, &steps, Some(("/account/factor", "第二要素を設定する")))
}

fn browser(agent: &str) -> Check {
    let known = BROWSERS.iter().find_map(|(mark, name, least)| {
        let version = agent.split(mark).nth(1)?;
        let version: u32 = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
        Some((format!("{name} {version}"), version >= *least))
    });
    match known {
        Some((name, true)) => Check::good("ブラウザー", format!("{name} です。使えます。")),
        Some((name, false)) => {
            let text = format!("{name} です。古いため、正しく表示されないことがあります。");
            Check::otherwise(MEND, "ブラウザー", text, &["ブラウザーを新しい版に更新し、開き直します。"], None)
        }
        None => {
            let text = "知らないブラウザーです。表示が崩れるときは、Microsoft Edge・Google Chrome・Firefox・Safari の新しい版を使ってください。";
            Check::otherwise(LOOK, "ブラウザー", text, &[], None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_known_by_its_own_mark_and_an_old_one_is_told() {
        let chromium =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
        let edge = format!("{chromium} Edg/142.0.1");
        let safari = "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.6 Safari/605.1.15";
        for (agent, state, text) in [
            (chromium, GOOD, "Google Chrome 142"),
            (&edge, GOOD, "Microsoft Edge 142"),
            ("Mozilla/5.0 (X11; rv:115.0) Gecko/20100101 Firefox/115.0", MEND, "Firefox 115"),
            (safari, MEND, "Safari 15"),
            ("curl/8.5", LOOK, "知らない"),
            ("Chrome/x", LOOK, "知らない"),
        ] {
            let check = browser(agent);
            assert!(check.state == state && check.text.contains(text), "{agent}: {}", check.text);
        }
    }
}
