//! `kiban demo --sandbox`: invented people for somebody who writes software against the API. What the software calls is
//! seen and marked; everything can be put back as it was.
//!
//! A desk on a loopback address of its own, without TLS, gives the report card and puts everything back: `GET /report`,
//! `POST /reset`. It exists in the sandbox only. Back means the database as it was after the story, kept as a copy of
//! its files; certificates, accounts, handles and ports stay.

use super::Options;
use crate::home::Home;
use crate::serve::{Addresses, Running, start};
use anyhow::{Context as _, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use kiban_pki::Identity;
use kiban_web::{Seen, Watch};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// Ports of a sandbox unless others are asked for, so that addresses in instructions stay right.
pub const PORTS: (u16, u16, u16) = (8443, 9443, 8480);

/// A sandbox between two resets.
pub struct Sandbox {
    home: Home,
    identities: (Identity, Identity),
    addresses: Addresses,
    calls: Calls,
    pristine: PathBuf,
}

impl Sandbox {
    /// Of a story that has been told and whose server has stopped.
    pub fn new(options: &Options, folder: &Path, identities: (Identity, Identity)) -> Result<Self> {
        let home = Home::open(folder, None)?;
        let calls = Calls::default();
        let seen = calls.clone();
        let watch: Watch = Arc::new(move |call| seen.note(call));
        let addresses = Addresses { watch: Some(watch), ..options.addresses() };
        let pristine = folder.join("pristine");
        copy(folder, &pristine).context("初めの状態を残せません")?;
        Ok(Self { home, identities, addresses, calls, pristine })
    }

    /// Serves until `ended`, back at the beginning whenever that is asked for. `told` says where, once.
    pub async fn serve(
        self,
        options: &Options,
        told: impl FnOnce(&Running),
        ended: impl Future<Output = ()>,
    ) -> Result<()> {
        let desk = TcpListener::bind(("127.0.0.1", options.desk_port.unwrap_or(PORTS.2))).await;
        let desk = desk.context("採点の受口を開けません（--desk-port で番号を選べます）")?;
        let (ask, mut asked) = mpsc::channel(1);
        let address = desk.local_addr()?;
        let attending = tokio::spawn(attend(desk, self.calls.clone(), ask));
        let mut ended = std::pin::pin!(ended);
        let mut server = self.open().await?;
        told(&server);
        println!("採点: curl -sS http://{address}/report");
        println!("初めの状態に戻す: curl -sS -X POST http://{address}/reset");
        println!("準備ができました。");
        loop {
            tokio::select! {
                () = ended.as_mut() => break,
                Some(done) = asked.recv() => {
                    server.stop().await?;
                    self.put_back()?;
                    server = self.open().await?;
                    self.calls.forget();
                    let _ = done.send(());
                }
            }
        }
        attending.abort();
        server.stop().await
    }

    async fn open(&self) -> Result<Running> {
        start(&self.home, self.home.platform().await?, &self.identities, &self.addresses).await
    }

    fn put_back(&self) -> Result<()> {
        let folder = self.home.dir();
        std::fs::remove_dir_all(folder.join("anchors")).context("初めの状態に戻せません")?;
        for file in database_files(folder)? {
            std::fs::remove_file(file)?;
        }
        copy(&self.pristine, folder).context("初めの状態に戻せません")
    }
}

/// The files of the embedded database.
fn database_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    let is_database =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kiban.db"));
    Ok(entries.into_iter().map(|entry| entry.path()).filter(is_database).collect())
}

/// Copies database and anchors from one folder to another.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to.join("anchors"))?;
    let anchors = std::fs::read_dir(from.join("anchors"))?.collect::<std::io::Result<Vec<_>>>()?;
    for anchor in anchors {
        std::fs::copy(anchor.path(), to.join("anchors").join(anchor.file_name()))?;
    }
    for file in database_files(from)? {
        std::fs::copy(&file, to.join(file.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

/// Asks the sandbox to go back; what is sent back says that it has.
type Reset = mpsc::Sender<oneshot::Sender<()>>;

async fn attend(desk: TcpListener, calls: Calls, reset: Reset) {
    while let Ok((stream, _)) = desk.accept().await {
        let (calls, reset) = (calls.clone(), reset.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let (calls, reset) = (calls.clone(), reset.clone());
                async move { Ok::<_, Infallible>(answer(&request, &calls, &reset).await) }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: &Request<Incoming>, calls: &Calls, reset: &Reset) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/report") => (StatusCode::OK, calls.report()),
        (&Method::POST, "/reset") => {
            let (done, is_done) = oneshot::channel();
            let asked = reset.send(done).await.is_ok();
            match asked && is_done.await.is_ok() {
                true => (StatusCode::OK, "初めの状態に戻しました。ログインし直してください。\n".to_owned()),
                false => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "戻せませんでした。サンドボックスを起動し直してください。\n".to_owned(),
                ),
            }
        }
        _ => (StatusCode::NOT_FOUND, "GET /report か POST /reset だけです\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let plain = hyper::header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, plain);
    response
}

/// The calls since the last reset, in their order.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<Seen>>>);

/// Calls kept at most; a report card needs no more.
const MOST: usize = 100_000;

/// Equal refusals in a row from which a program is told that it only repeats itself.
const STUBBORN: usize = 5;

/// Whether a rule was met; `None` as long as there was nothing to see.
struct Mark {
    met: Option<bool>,
    rule: &'static str,
    seen: String,
}

impl Calls {
    fn note(&self, call: Seen) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() < MOST {
            calls.push(call);
        }
    }

    fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The report card, in Japanese.
    fn report(&self) -> String {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut text = format!("介護情報基盤 サンドボックスの採点（呼出し {}件）\n\n", calls.len());
        for Mark { met, rule, seen } in marks(&calls) {
            let sign = met.map_or("－", |met| if met { "○" } else { "×" });
            text += &format!("{sign} {rule}（{seen}）\n");
        }
        text += "\n記号: ○ できている　× 直すところがある　－ まだ呼ばれていない\n\n使った操作と答え\n";
        let mut routes: BTreeMap<(&str, u16, &str), usize> = BTreeMap::new();
        for call in &calls {
            *routes
                .entry((call.route.unwrap_or("（ない経路）"), call.status, call.code.unwrap_or_default()))
                .or_default() += 1;
        }
        for ((route, status, code), times) in routes {
            text += &format!("  {route} {status} {code} ×{times}\n");
        }
        text
    }
}

fn marks(calls: &[Seen]) -> Vec<Mark> {
    let count = |fits: &dyn Fn(&Seen) -> bool| calls.iter().filter(|call| fits(call)).count();
    let done = |route: &str| count(&|call| call.route == Some(route) && call.status < 400);
    let coded = |code: &str| count(&|call| call.code == Some(code));
    let used = |rule, route: &str| {
        let times = done(route);
        Mark { met: (times > 0).then_some(true), rule, seen: format!("{times}回") }
    };
    let (as_program, as_person) = (done("log_in_program"), done("log_in"));
    let (refreshed, reused) = (done("refresh_session"), coded("refresh_reused") + coded("binding"));
    let (keyed, writes) = (count(&|call| call.takes_key && call.has_key), count(&|call| call.takes_key));
    let (asked, unchanged) = (count(&|call| call.asks_if_changed), count(&|call| call.status == 304));
    let (late, helped) = after_expiry(calls);
    let (lost, stubborn) = (count(&|call| call.route.is_none()), stubborn(calls));
    let wrong = coded("wrong_password") + coded("locked");
    vec![
        Mark {
            met: (as_program + as_person > 0).then_some(as_program > 0 && as_person == 0),
            rule: "ソフトとして名乗ってログインする（/api/v1/token）",
            seen: format!("ソフト {as_program}回、画面 {as_person}回"),
        },
        Mark {
            met: (refreshed + reused > 0).then_some(reused == 0),
            rule: "更新トークンで続け、一つを一度だけ使う",
            seen: format!("更新 {refreshed}回、使い終わったもの・別の証明書 {reused}回"),
        },
        Mark {
            met: (wrong > 0).then_some(false), rule: "間違ったパスワードを送らない", seen: format!("{wrong}回")
        },
        used("担当利用者の一覧を見る", "list_people"),
        used("1種別を見る", "view_kind"),
        used("請求に要る値を受け取る", "claim_values"),
        used("提供票・実績を送る", "send_slips"),
        used("届いたものの一覧を見る", "received_slips"),
        used("届いたものを取得する", "fetch_slip"),
        used("取得される前の送信を取り消す", "withdraw_slip"),
        Mark {
            met: (writes > 0).then_some(keyed == writes),
            rule: "変更には Idempotency-Key を付ける",
            seen: format!("{writes}回のうち {keyed}回"),
        },
        Mark {
            met: (asked > 0).then_some(true),
            rule: "同じものを読み直すときは If-None-Match を付ける",
            seen: format!("{asked}回、うち 304 が {unchanged}回"),
        },
        Mark {
            met: (late > 0).then_some(late == helped),
            rule: "トークンの期限が切れたら、更新かログインをしてから続ける",
            seen: format!("{late}回のうち {helped}回"),
        },
        Mark {
            met: (!calls.is_empty()).then_some(stubborn == 0),
            rule: "断られた同じ要求を繰り返さない",
            seen: format!("続けて{STUBBORN}回以上 {stubborn}か所"),
        },
        Mark {
            met: (!calls.is_empty()).then_some(lost == 0), rule: "ない経路を呼ばない", seen: format!("{lost}回")
        },
        used("仕事が終わったらログアウトする", "log_out"),
    ]
}

/// How often a token was no longer good, and after how many of these the next call was a refresh or a log-in.
fn after_expiry(calls: &[Seen]) -> (usize, usize) {
    let renews = |call: &Seen| matches!(call.route, Some("refresh_session" | "log_in" | "log_in_program"));
    let late = |call: &Seen| call.code == Some("login_required") && !renews(call);
    let helped = calls.windows(2).filter(|pair| late(&pair[0]) && renews(&pair[1])).count();
    // The last call of all may still be helped.
    (calls.iter().rev().skip(1).filter(|call| late(call)).count(), helped)
}

/// Places at which the same route was refused with the same code again and again.
fn stubborn(calls: &[Seen]) -> usize {
    let runs = calls.chunk_by(|a, b| a.route == b.route && a.code == b.code);
    runs.filter(|run| run.len() >= STUBBORN && run[0].code.is_some()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(route: &'static str, status: u16, code: Option<&'static str>) -> Seen {
        Seen { route: Some(route), status, code, takes_key: false, has_key: false, asks_if_changed: false }
    }

    fn met(calls: &[Seen], rule: &str) -> Option<bool> {
        marks(calls).into_iter().find(|mark| mark.rule.contains(rule)).unwrap().met
    }

    #[test]
    fn a_rule_is_met_broken_or_was_not_yet_seen() {
        let log_in = call("log_in_program", 200, None);
        let good = [
            log_in.clone(),
            call("list_people", 401, Some("login_required")),
            call("refresh_session", 200, None),
            Seen { takes_key: true, has_key: true, ..call("import_plans", 200, None) },
        ];
        for rule in ["名乗って", "一度だけ", "Idempotency-Key", "期限が切れたら", "繰り返さない"] {
            assert_eq!(met(&good, rule), Some(true), "{rule}");
            assert_eq!(met(&[], rule), None, "{rule}");
        }
        let exchange = [("send_slips", 201), ("received_slips", 200), ("fetch_slip", 200), ("withdraw_slip", 409)];
        let exchange = exchange.map(|(route, status)| call(route, status, None));
        let parts = ["実績を送る", "届いたものの一覧", "届いたものを取得", "取り消す"];
        assert_eq!(parts.map(|rule| met(&exchange, rule)), [Some(true), Some(true), Some(true), None], "refused");
        let refused = call("list_people", 401, Some("login_required"));
        let bad = [
            call("log_in", 200, None),
            call("refresh_session", 401, Some("refresh_reused")),
            Seen { takes_key: true, ..call("import_plans", 200, None) },
            refused.clone(),
            refused.clone(),
            refused.clone(),
            refused.clone(),
            refused,
        ];
        for rule in ["名乗って", "一度だけ", "Idempotency-Key", "期限が切れたら", "繰り返さない"] {
            assert_eq!(met(&bad, rule), Some(false), "{rule}");
        }
    }
}
