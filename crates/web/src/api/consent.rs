//! 同意の登録・撤回 (P-060…075).

use super::{Answer, ok, once};
use crate::caller::Authenticated;
use crate::input::{Faults, Json};
use crate::{App, Problem};
use axum::extract::{Path, State};
use kiban_domain::Kind;
use kiban_domain::consent::{ConsentAct, Declarant, Evidence, IdentityProof};
use kiban_service::ConsentRequest;
use serde::Deserialize;

/// What was done.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Act {
    Given,
    Withdrawn,
    KindRefused,
    KindAllowed,
    NotObtainable,
}

/// Who declared it.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DeclaredBy {
    Person,
    Representative,
}

/// An act as declared on screen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Consent {
    act: Act,
    kind: Option<Kind>,
    declarant: DeclaredBy,
    relation: Option<String>,
    proof: IdentityProof,
    form: String,
    remark: Option<String>,
    leaflet: Option<String>,
    evidence: Option<Evidence>,
}

impl Consent {
    fn check(self) -> Result<ConsentRequest, Problem> {
        let mut faults = Faults::default();
        let act = match (self.act, self.kind) {
            (Act::KindRefused, Some(kind)) => ConsentAct::KindRefused(kind),
            (Act::KindAllowed, Some(kind)) => ConsentAct::KindAllowed(kind),
            (Act::KindRefused | Act::KindAllowed, None) => {
                faults.add("kind", "どの情報についてかを種別のコード（例: C1）で指定してください");
                return Err(faults.problem());
            }
            (_, Some(_)) => {
                faults.add("kind", "包括同意は種別を指定しません。種別ごとの操作は act を kind_refused または kind_allowed にしてください");
                return Err(faults.problem());
            }
            (Act::Given, None) => ConsentAct::Given,
            (Act::Withdrawn, None) => ConsentAct::Withdrawn,
            (Act::NotObtainable, None) => ConsentAct::NotObtainable,
        };
        let declarant = match self.declarant {
            DeclaredBy::Person => Declarant::Person,
            DeclaredBy::Representative => Declarant::Representative { relation: self.relation.unwrap_or_default() },
        };
        let Self { proof, form, remark, leaflet, evidence, .. } = self;
        Ok(ConsentRequest { act, declarant, proof, form, remark, leaflet, evidence })
    }
}

pub(crate) async fn record(
    State(app): State<App>,
    who: Authenticated,
    Path(handle): Path<String>,
    body: Json<Consent>,
) -> Answer {
    let (context, request) = (who.keyed(&body.bytes)?, body.value.and_then(Consent::check));
    let act = app.platform.record_consent(&who.caller, &handle, request, &context);
    ok(once(&app, &who, &context, act).await?)
}
