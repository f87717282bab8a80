//! The accounts of an organisation, by its administrators and the operator; and what everybody does with their own (P-012,
//! P-185, S-011).

use super::session::logged_in;
use super::{Answer, created, done, ok, once};
use crate::caller::Authenticated;
use crate::input::{Json, Query};
use crate::{App, Problem};
use axum::extract::{Path, State};
use kiban_domain::office::JobType;
use kiban_domain::{CareManagerNumber, Organization};
use kiban_service::{
    FactorProof, Invitation, ItemFault, LONGEST_PASSKEY_TEXT, NewPasskey, PasskeyAnswer, PasswordChange, passkey_bytes,
};
use serde::Deserialize;
use serde_json::json;

/// Somebody who is to have an account.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvitationBody {
    account: String,
    name: String,
    job: JobType,
    care_manager: Option<String>,
    #[serde(default)]
    administrator: bool,
}

impl InvitationBody {
    fn read(self) -> Result<Invitation, Problem> {
        Ok(Invitation {
            care_manager: care_manager(self.care_manager.as_deref().unwrap_or_default())?,
            account: self.account,
            name: self.name,
            job: self.job,
            administrator: self.administrator,
        })
    }
}

/// A 介護支援専門員番号 as typed; none when nothing was.
pub(crate) fn care_manager(typed: &str) -> Result<Option<CareManagerNumber>, Problem> {
    if typed.is_empty() {
        return Ok(None);
    }
    let number = CareManagerNumber::parse(typed);
    number.map(Some).map_err(|error| Problem::invalid(vec![ItemFault::new("care_manager", error.message_ja())]))
}

/// Whether the account may be used (S-011).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountSwitch {
    active: bool,
}

/// A change of one's own password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordBody {
    old_password: String,
    new_password: String,
}

/// What was lost beside the password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lost {
    second_factor: Option<bool>,
}

/// Taking a second factor away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FactorAway {
    password: String,
    #[serde(default)]
    code: String,
    passkey: Option<PasskeyAnswerBody>,
}

/// The answer of a passkey; bytes in base64url.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasskeyAnswerBody {
    pub(crate) credential: String,
    pub(crate) client_data: String,
    pub(crate) authenticator_data: String,
    pub(crate) signature: String,
    pub(crate) user_handle: Option<String>,
}

impl PasskeyAnswerBody {
    pub(crate) fn read(self) -> Result<PasskeyAnswer, Problem> {
        Ok(PasskeyAnswer {
            credential: bytes("credential", &self.credential)?,
            client_data: bytes("client_data", &self.client_data)?,
            authenticator_data: bytes("authenticator_data", &self.authenticator_data)?,
            signature: bytes("signature", &self.signature)?,
            user_handle: self.user_handle.map(|text| bytes("user_handle", &text)).transpose()?,
        })
    }
}

/// A passkey that was made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPasskeyBody {
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) client_data: String,
    pub(crate) attestation: String,
}

impl NewPasskeyBody {
    pub(crate) fn read(self) -> Result<NewPasskey, Problem> {
        Ok(NewPasskey {
            client_data: bytes("client_data", &self.client_data)?,
            attestation: bytes("attestation", &self.attestation)?,
            name: self.name,
            password: self.password,
        })
    }
}

/// Bytes in base64url.
fn bytes(item: &str, text: &str) -> Result<Vec<u8>, Problem> {
    let read = passkey_bytes(text).filter(|_| text.len() <= LONGEST_PASSKEY_TEXT);
    read.ok_or_else(|| {
        Problem::invalid(vec![ItemFault::new(item, "base64url（= なし）で、端末の答えのまま送ってください")])
    })
}

/// Setting one up.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FactorBody {
    password: String,
    code: String,
    address: Option<String>,
}

/// Where codes are to be mailed to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MailAddress {
    address: String,
}

fn organization_of(text: &str) -> Result<Organization, Problem> {
    Organization::parse(text).map_err(|_| Problem::unknown())
}

pub(crate) async fn list(State(app): State<App>, who: Authenticated, Path(organization): Path<String>) -> Answer {
    let organization = organization_of(&organization)?;
    ok(app.platform.accounts(&who.caller, organization, &who.context).await?)
}

pub(crate) async fn review(State(app): State<App>, who: Authenticated, Path(organization): Path<String>) -> Answer {
    let organization = organization_of(&organization)?;
    let context = who.keyed(&[])?;
    let act = app.platform.review_accounts(&who.caller, organization, &context);
    once(&app, &who, &context, act).await?;
    done()
}

pub(crate) async fn invite(
    State(app): State<App>,
    who: Authenticated,
    Path(organization): Path<String>,
    body: Json<InvitationBody>,
) -> Answer {
    let organization = organization_of(&organization)?;
    let invitation = body.value.and_then(InvitationBody::read);
    created(app.platform.invite(&who.caller, organization, invitation, &who.context).await?)
}

pub(crate) async fn reset(
    State(app): State<App>,
    who: Authenticated,
    Path((organization, account)): Path<(String, String)>,
    Query(query): Query<Lost>,
) -> Answer {
    let organization = organization_of(&organization)?;
    let factor_lost = query?.second_factor.unwrap_or_default();
    ok(app.platform.reset_password(&who.caller, organization, (&account, factor_lost), &who.context).await?)
}

pub(crate) async fn switch(
    State(app): State<App>,
    who: Authenticated,
    Path((organization, account)): Path<(String, String)>,
    body: Json<AccountSwitch>,
) -> Answer {
    let organization = organization_of(&organization)?;
    let (context, active) = (who.keyed(&body.bytes)?, body.value.map(|body| body.active));
    let act = app.platform.switch_account(&who.caller, organization, &account, active, &context);
    once(&app, &who, &context, act).await?;
    done()
}

pub(crate) async fn leave(
    State(app): State<App>,
    who: Authenticated,
    Path((organization, account)): Path<(String, String)>,
) -> Answer {
    let organization = organization_of(&organization)?;
    let context = who.keyed(&[])?;
    let act = app.platform.close_account(&who.caller, organization, &account, &context);
    once(&app, &who, &context, act).await?;
    done()
}

pub(crate) async fn sessions(
    State(app): State<App>,
    who: Authenticated,
    Path((organization, account)): Path<(String, String)>,
) -> Answer {
    let organization = organization_of(&organization)?;
    let sessions = app.platform.account_sessions(&who.caller, organization, &account, &who.context).await?;
    ok(json!({ "sessions": sessions }))
}

pub(crate) async fn end_session(
    State(app): State<App>,
    who: Authenticated,
    Path((organization, account, session)): Path<(String, String, String)>,
) -> Answer {
    let organization = organization_of(&organization)?;
    let context = who.keyed(&[])?;
    let act = app.platform.end_account_session(&who.caller, organization, &account, &session, &context);
    once(&app, &who, &context, act).await?;
    done()
}

pub(crate) async fn change_password(State(app): State<App>, who: Authenticated, body: Json<PasswordBody>) -> Answer {
    let change =
        body.value.map(|body| PasswordChange { old_password: body.old_password, new_password: body.new_password });
    logged_in(app.platform.change_password(&who.caller, change, &who.context).await?)
}

pub(crate) async fn factor(State(app): State<App>, who: Authenticated) -> Answer {
    ok(app.platform.factor_state(&who.caller, &who.context).await?)
}

pub(crate) async fn offer_factor(State(app): State<App>, who: Authenticated) -> Answer {
    ok(app.platform.offer_factor(&who.caller, &who.context).await?)
}

pub(crate) async fn set_up_factor(State(app): State<App>, who: Authenticated, body: Json<FactorBody>) -> Answer {
    let proof = body.value.map(|body| FactorProof {
        password: body.password,
        code: body.code,
        address: body.address,
        passkey: None,
    });
    let codes = app.platform.set_up_factor(&who.caller, proof, &who.context).await?;
    ok(json!({ "recovery_codes": codes }))
}

pub(crate) async fn remove_factor(State(app): State<App>, who: Authenticated, body: Json<FactorAway>) -> Answer {
    let proof = body.value.and_then(|body| {
        let passkey = with_site(&app, body.passkey)?;
        Ok(FactorProof { password: body.password, code: body.code, address: None, passkey })
    });
    app.platform.remove_factor(&who.caller, proof, &who.context).await?;
    done()
}

/// An answer of a passkey with where it was asked.
pub(crate) fn with_site(
    app: &App,
    body: Option<PasskeyAnswerBody>,
) -> Result<Option<(PasskeyAnswer, kiban_service::PasskeySite)>, Problem> {
    body.map(|body| Ok((body.read()?, app.settings.site.clone()))).transpose()
}

pub(crate) async fn passkeys(State(app): State<App>, who: Authenticated) -> Answer {
    ok(json!({ "passkeys": app.platform.passkeys(&who.caller, &who.context).await? }))
}

pub(crate) async fn offer_passkey(State(app): State<App>, who: Authenticated) -> Answer {
    ok(app.platform.offer_passkey(&who.caller, &app.settings.site, &who.context).await?)
}

pub(crate) async fn add_passkey(State(app): State<App>, who: Authenticated, body: Json<NewPasskeyBody>) -> Answer {
    let new = body.value.and_then(NewPasskeyBody::read);
    let codes = app.platform.add_passkey(&who.caller, new, &app.settings.site, &who.context).await?;
    ok(json!({ "recovery_codes": codes }))
}

pub(crate) async fn remove_passkey(State(app): State<App>, who: Authenticated, Path(passkey): Path<String>) -> Answer {
    app.platform.remove_passkey(&who.caller, &passkey, &who.context).await?;
    done()
}

pub(crate) async fn offer_mail(State(app): State<App>, who: Authenticated, body: Json<MailAddress>) -> Answer {
    app.platform.offer_mail(&who.caller, body.value.map(|body| body.address), &who.context).await?;
    done()
}
