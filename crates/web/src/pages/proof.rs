//! 確かめ直し (S-013): the form of what weighs much that comes a while after the log-in is answered with the question for the password,
//! and goes on from there with all that was typed. Whoever is asked once is not asked again for the rest of the time.

use super::passkey::answer_of;
use super::visitor::{Away, Renewed, Visitor, to_pages_of};
use super::{Frame, show};
use crate::input::Form;
use crate::{App, Problem};
use askama::Template;
use axum::http::request::Parts;
use kiban_service::{FactorProof, Mailed, Stage};

/// The fields of the question, which no form of what weighs much has for anything else, and the password a form asks for itself: it is
/// typed again rather than written into a page.
const OWN_FIELDS: [&str; 5] = ["form_token", "password", "code", "send", "own_password"];

/// Fields that are asked for anew, never written into a page.
pub(crate) fn is_own(name: &str) -> bool {
    OWN_FIELDS.contains(&name) || super::passkey::FIELDS.contains(&name)
}

#[derive(Template)]
#[template(path = "proof.html")]
struct ProofPage<'a> {
    page: Frame,
    path: &'a str,
    /// The page the form stands on.
    back: &'a str,
    /// What was typed into the form before.
    fields: Vec<(&'a str, &'a str)>,
    needs_code: bool,
    by_mail: bool,
    has_passkey: bool,
    /// An app or e-mail, beside the recovery codes.
    has_code: bool,
    /// What became of the mail with the code.
    mailed: String,
    error: Option<String>,
}

/// Asks who is there, unless that was proven a short while ago or the form brings the answer: then the log-in goes on under another
/// token, whose cookie goes with whatever is answered.
pub(crate) async fn require(app: &App, parts: &Parts, visitor: &mut Visitor, form: &Form) -> Result<(), Away> {
    if app.platform.is_fresh(&visitor.caller, &visitor.context) {
        return Ok(());
    }
    let answers = form.get("send").is_empty() && form.fields().any(|(name, _)| name == "password");
    let proven = match answers {
        true => {
            let code = form.get("code").to_owned();
            let proof = answer_of(form).map(|answer| {
                let passkey = answer.map(|answer| (answer, app.settings.site.clone()));
                FactorProof { password: form.as_typed("password").to_owned(), code, address: None, passkey }
            });
            app.platform.prove_again(&visitor.caller, proof, &visitor.context).await
        }
        false => Err(match app.platform.require_fresh(&visitor.caller, &visitor.context).await {
            Ok(()) => return Ok(()),
            Err(error) => error.into(),
        }),
    };
    let session = match proven {
        Ok(session) => session,
        Err(problem) => return Err(ask(app, parts, visitor, form, problem).await.unwrap_or_else(Away::from)),
    };
    if let Some(renewed) = parts.extensions.get::<Renewed>() {
        renewed.note(&session, visitor.context.now);
    }
    let (peer, context) = (visitor.caller.peer.clone(), &visitor.context);
    let caller = app.platform.authenticate_at_screen(Stage::Fresh, peer, &session.token, context).await;
    visitor.caller = caller.map_err(Problem::from)?;
    visitor.token = session.token;
    Ok(())
}

/// The question, with what was wrong with the answer before; what is no wrong answer is told as it is.
async fn ask(app: &App, parts: &Parts, visitor: &Visitor, form: &Form, problem: Problem) -> Result<Away, Problem> {
    let error = match problem.code {
        "fresh_proof_required" => None,
        "wrong_code" | "wrong_passkey" | "locked" => Some(format!("{}。{}", problem.title, problem.detail)),
        "invalid" => problem.items().into_iter().next().map(|(_, message)| message),
        _ => return Err(problem),
    };
    let by_mail = app.platform.factor_is_mail(&visitor.caller).await?;
    let mailed = match by_mail && problem.code == "fresh_proof_required" {
        true => Mailed::of(app.platform.send_code(&visitor.caller, &visitor.context).await)?.code(),
        false => "",
    };
    let frame = visitor.frame(app, "もう一度、パスワードを入力", "P-210", "");
    let path = parts.uri.path();
    let html = ProofPage {
        page: Frame { body: "main--read", has_errors: error.is_some(), ..frame },
        path,
        back: to_pages_of(path),
        fields: form.fields().filter(|(name, _)| !is_own(name)).collect(),
        needs_code: app.platform.has_second_factor(&visitor.caller),
        by_mail,
        has_passkey: app.platform.has_passkey(&visitor.caller),
        has_code: app.platform.has_code_factor(&visitor.caller),
        mailed: mailed.to_owned(),
        error,
    };
    let mut response = show(&html)?;
    *response.status_mut() = problem.status;
    Ok(Away::Page(Box::new(response)))
}
