//! What is particular to A1, A2, A4, E1 and E2 in a municipal package (P-130, P-071).

use kiban_domain::consent::ConsentRecord;
use kiban_domain::{Date, Kind, Organization, PersonKey};
use kiban_formats::municipal::{Change, MunicipalValue};

/// Told when an opinion of a package reads otherwise than the one received before.
pub(crate) const SAME_OPINION: &str = "申請日・医療機関・作成回数が同じ意見書を受け付け済みです。受け付けた内容を残しました。市区町村で直すときは異動区分を 2（訂正）にしてください";

/// Kind and first day of a record of these kinds.
pub(crate) fn kind_and_day(value: &MunicipalValue) -> Option<(Kind, Date)> {
    Some(match value {
        MunicipalValue::Survey(survey) => (Kind::A1, survey.conducted.on),
        MunicipalValue::Opinion(opinion) => (Kind::A2, opinion.basics.written_on),
        MunicipalValue::Application(application) => (Kind::A4, application.applied_on),
        MunicipalValue::HomeModification(work) => (Kind::E1, work.started_on),
        MunicipalValue::EquipmentPurchase(purchase) => (Kind::E2, purchase.purchased_on),
        _ => return None,
    })
}

/// An opinion is known by application, institution and 作成回数, whichever way it came; all else by its 履歴番号.
pub(crate) fn natural_key_of(value: &MunicipalValue) -> Option<String> {
    match value {
        MunicipalValue::Opinion(opinion) => Some(opinion.natural_key()),
        _ => None,
    }
}

/// ★ of an opinion is the institution that wrote it, on paper too; all else is the city's.
pub(crate) fn author_of(value: &MunicipalValue) -> Option<Organization> {
    match value {
        MunicipalValue::Opinion(opinion) => Some(Organization::Office(opinion.institution)),
        _ => None,
    }
}

/// Whether a row is, or carries, an act of consent.
pub(crate) fn has_act(value: &MunicipalValue) -> bool {
    match value {
        MunicipalValue::Consent(_) => true,
        MunicipalValue::Application(application) => application.consent.is_some(),
        _ => false,
    }
}

/// The municipal consent of a ticked 同意欄 (P-071). Deleting the application takes nothing back: acts are never deleted.
pub(crate) fn consent_column(person: PersonKey, change: Change, value: &MunicipalValue) -> Option<ConsentRecord> {
    match value {
        MunicipalValue::Application(application) if change != Change::Deleted => application.consent_act(person),
        _ => None,
    }
}
