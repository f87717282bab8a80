//! Log-in, refresh and log-out (P-164): a person at a screen, or a vendor's program that names itself.

use super::accounts::{PasskeyAnswerBody, with_site};
use super::{Answer, done, ok};
use crate::caller::{Authenticated, Certified};
use crate::input::Json;
use crate::{App, Problem};
use axum::extract::State;
use kiban_service::{FactorProof, LogIn, LoggedIn};
use serde::Deserialize;
use serde_json::json;

/// What a person types.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PersonLogIn {
    account: String,
    password: String,
}

/// What lets a log-in go on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refresh {
    refresh_token: String,
}

/// What a program sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProgramLogIn {
    account: String,
    password: String,
    software: String,
}

pub(crate) async fn log_in(State(app): State<App>, peer: Certified, body: Json<PersonLogIn>) -> Answer {
    let body = body.value?;
    open(app, peer, LogIn { account: body.account, password: body.password, software: None }).await
}

pub(crate) async fn log_in_program(State(app): State<App>, peer: Certified, body: Json<ProgramLogIn>) -> Answer {
    let body = body.value?;
    let software = body.software.trim().to_owned();
    if software.is_empty() || software.chars().count() > 100 {
        let fault = kiban_service::ItemFault::new("software", "ソフトの名称と版を100文字以内で入力してください");
        return Err(Problem::invalid(vec![fault]));
    }
    open(app, peer, LogIn { account: body.account, password: body.password, software: Some(software) }).await
}

/// The second step of a log-in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FactorAnswer {
    code: Option<String>,
    passkey: Option<PasskeyAnswerBody>,
}

pub(crate) async fn answer_factor(State(app): State<App>, who: Authenticated, body: Json<FactorAnswer>) -> Answer {
    let FactorAnswer { code, passkey } = body.value?;
    logged_in(match (code, passkey) {
        (Some(code), None) => app.platform.answer_factor(&who.caller, &code, &who.context).await?,
        (None, Some(answer)) => {
            let (answer, site) = (answer.read()?, &app.settings.site);
            app.platform.answer_passkey(&who.caller, &answer, site, &who.context).await?
        }
        _ => {
            let text = "code か passkey のどちらか1つを送ってください";
            return Err(Problem::invalid(vec![kiban_service::ItemFault::new("code", text)]));
        }
    })
}

/// Who is there, once more.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proof {
    password: String,
    #[serde(default)]
    code: String,
    passkey: Option<PasskeyAnswerBody>,
}

pub(crate) async fn prove_again(State(app): State<App>, who: Authenticated, body: Json<Proof>) -> Answer {
    let proof = body.value.and_then(|body| {
        let passkey = with_site(&app, body.passkey)?;
        Ok(FactorProof { password: body.password, code: body.code, address: None, passkey })
    });
    logged_in(app.platform.prove_again(&who.caller, proof, &who.context).await?)
}

pub(crate) async fn ask_passkey(State(app): State<App>, who: Authenticated) -> Answer {
    ok(app.platform.ask_passkey(&who.caller, &app.settings.site, &who.context).await?)
}

pub(crate) async fn send_code(State(app): State<App>, who: Authenticated) -> Answer {
    app.platform.send_code(&who.caller, &who.context).await?;
    done()
}

async fn open(app: App, peer: Certified, request: LogIn) -> Answer {
    let session = app.platform.log_in(&peer.peer, request, &peer.context).await?;
    if session.awaits_factor {
        let problem = Problem::unauthenticated("second_factor_required");
        let problem = problem.with("token", session.token).with("expires_at", session.expires_at);
        return Err(match session.mailed {
            Some(mailed) => problem.with("mailed", mailed.code()),
            None => problem,
        });
    }
    logged_in(session)
}

pub(crate) async fn refresh(State(app): State<App>, peer: Certified, body: Json<Refresh>) -> Answer {
    logged_in(app.platform.refresh(&peer.peer, &body.value?.refresh_token, &peer.context).await?)
}

pub(crate) fn logged_in(session: LoggedIn) -> Answer {
    ok(json!({
        "token": session.token,
        "token_type": "Bearer",
        "expires_at": session.expires_at,
        "refresh_token": session.refresh_token,
        "refresh_until": session.refresh_until,
        "organization": session.organization,
        "password_change_required": session.must_change_password,
        "staff": {
            "id": session.staff.id,
            "name": session.staff.name,
            "job": session.staff.job,
            "job_name": session.staff.job.name_ja(),
        },
    }))
}

pub(crate) async fn log_out(State(app): State<App>, who: Authenticated) -> Answer {
    app.platform.log_out(&who.caller, &who.token, &who.context).await?;
    done()
}
