//! Acts of consent: taken by the city at the application, or by the planning office on its behalf (P-062, P-063).

use crate::application::plus;
use crate::canary;
use crate::offices::Role;
use crate::people::{Consenting, Generator, SimPerson, Sketch};
use crate::random::Random;
use jiff::civil::{Date, Time};
use kiban_domain::consent::{ConsentAct, ConsentRecord, Declarant, Evidence, EvidenceKind, IdentityProof};
use kiban_domain::dates::instant_in_japan;
use kiban_domain::{Kind, Organization};

/// Name and version of the form in use.
pub const FORM: &str = "同意様式 第1版";

/// 説明書 with which the city explains it.
pub const LEAFLET: &str = "同意の説明書 第1版";

/// Adds what the person has declared until today.
pub(crate) fn record(generator: &Generator, person: &mut SimPerson, sketch: &Sketch) {
    if sketch.consent == Consenting::Nothing {
        return;
    }
    let mut random = Random::new(sketch.seed, person.n, "consent");
    // Acts carry a time of day, so the last of them lie on the day before.
    let yesterday = plus(sketch.as_of(generator.spec().today), -1);
    let Some(applied_on) = person.applications.last().map(|progress| progress.applied_on) else { return };
    let first_act =
        if sketch.consent == Consenting::NotObtainable { ConsentAct::NotObtainable } else { ConsentAct::Given };
    let later = match sketch.consent {
        Consenting::Withdrawn => Some(ConsentAct::Withdrawn),
        Consenting::KindRefused => Some(ConsentAct::KindRefused(if random.chance(700) { Kind::C1 } else { Kind::A2 })),
        _ => None,
    };
    let acts = [
        Some((first_act, applied_on.min(yesterday))),
        later.map(|act| (act, plus(applied_on, random.between(1, 40)).min(yesterday))),
    ];
    let office = taken_at_office(generator, person, sketch, &mut random).filter(|(_, day)| *day <= yesterday);
    for (act, day) in acts.into_iter().flatten() {
        let (taken_by, day) = office.unwrap_or((Organization::Municipality(generator.spec().insurer), day));
        let record = act_of(person, &mut random, act, taken_by, day);
        person.consents.extend(record);
    }
    person.consents.sort_by_key(|record| record.acted_at);
}

/// Some consents are taken by the planning office when it files its 届出, on the city's behalf.
fn taken_at_office(
    generator: &Generator,
    person: &SimPerson,
    sketch: &Sketch,
    random: &mut Random,
) -> Option<(Organization, Date)> {
    let filed = person.card.planning_offices.first()?;
    let office = generator.office(filed.office).filter(|office| office.role == Role::Planning)?;
    let by_office = sketch.consent == Consenting::Given && sketch.planner_at.is_none() && random.chance(200);
    by_office.then(|| (Organization::Office(office.number()), filed.filed_on))
}

fn act_of(
    person: &SimPerson,
    random: &mut Random,
    act: ConsentAct,
    taken_by: Organization,
    day: Date,
) -> Option<ConsentRecord> {
    let is_representative = act == ConsentAct::NotObtainable || random.chance(180);
    let relation = ["長女", "長男", "配偶者", "成年後見人"][random.weighted(&[4, 3, 2, 1])];
    // The first act of a day in the morning, withdrawals and refusals in the afternoon.
    let hour = if matches!(act, ConsentAct::Given | ConsentAct::NotObtainable) { 9 } else { 14 };
    let time = Time::new(hour + random.below(3) as i8, random.below(60) as i8, random.below(60) as i8, 0).ok()?;
    Some(ConsentRecord {
        person: person.insured.key,
        act,
        acted_at: instant_in_japan(day.to_datetime(time))?,
        declarant: if is_representative {
            Declarant::Representative { relation: format!("{relation} {}", canary::word("続柄", person.n)) }
        } else {
            Declarant::Person
        },
        proof: if taken_by.office().is_some() { IdentityProof::InsuranceCard } else { IdentityProof::ApplicationForm },
        taken_by,
        staff: None,
        form: FORM.to_owned(),
        remark: (act == ConsentAct::NotObtainable)
            .then(|| format!("意思の確認ができないため {}", canary::word("備考", person.n))),
        leaflet: (act == ConsentAct::Given).then(|| LEAFLET.to_owned()),
        evidence: (act == ConsentAct::Given && taken_by.office().is_none()).then(|| Evidence {
            kind: EvidenceKind::SignedForm,
            reference: format!("文書番号 {}-{:06}", day.year(), person.n),
            sha256: None,
        }),
    })
}
