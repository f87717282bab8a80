//! What the E1 and E2 rows of a package bring about with what is recorded already: more used of a limit than it allows, the
//! same 種目 again (P-237). A number the person had before counts with theirs (P-038), of the same insurer only. Told, never
//! refused.

use crate::Error;
use crate::intake_judge::{Judge, Judged};
use kiban_domain::equipment_purchase::EquipmentPurchase;
use kiban_domain::home_modification::HomeModification;
use kiban_domain::{InsuredNumber, Kind, PersonKey, Timestamp};
use kiban_formats::municipal::{MunicipalKind, MunicipalRow, Usages, Use};
use kiban_store::{Entry, Outcome, Pass, StoredRecord};
use std::collections::HashSet;

/// What one package knows of uses.
#[derive(Default)]
pub(crate) struct UsageState {
    usages: Usages,
    /// Whose records were looked up.
    looked: HashSet<(InsuredNumber, Kind)>,
    /// The rest is read when the first row asks for it, under one entry for the package.
    known: Option<Known>,
}

struct Known {
    pass: Pass,
    unapplied: Vec<i64>,
    /// Numbers that somebody got in place of another.
    renumbered: HashSet<InsuredNumber>,
}

fn kind_of(row: &MunicipalRow) -> Option<Kind> {
    match row.value.kind() {
        MunicipalKind::HomeModification => Some(Kind::E1),
        MunicipalKind::EquipmentPurchase => Some(Kind::E2),
        _ => None,
    }
}

/// A row to count once it is taken; none of other kinds.
pub(crate) fn to_count(row: &MunicipalRow) -> Option<MunicipalRow> {
    kind_of(row).map(|_| row.clone())
}

impl Judge {
    /// A row that an earlier run of the same package took.
    pub(crate) fn remember_use(&mut self, row: &MunicipalRow) {
        self.usage.usages.remember(row);
    }

    /// Counts a row that is taken. `is_recorded`: the person has records of its kind.
    pub(crate) async fn count_use(
        &mut self,
        row: &MunicipalRow,
        is_recorded: bool,
        judged: &mut Judged,
    ) -> Result<(), Error> {
        if let Some(kind) = kind_of(row).filter(|_| !self.is_initial)
            && self.usage.looked.insert((row.key.insured, kind))
        {
            self.look_up_uses(row.key, kind, is_recorded).await?;
        }
        judged.problems.extend(self.usage.usages.take(row));
        Ok(())
    }

    async fn look_up_uses(&mut self, person: PersonKey, kind: Kind, is_recorded: bool) -> Result<(), Error> {
        let known = match self.usage.known.take() {
            Some(known) => known,
            None => self.begin_looking().await?,
        };
        let mut numbers = if is_recorded { vec![person] } else { Vec::new() };
        if known.renumbered.contains(&person.insured) {
            let before = self.platform.numbers_of(person).await?;
            numbers.extend(before.into_iter().filter(|other| other.insurer == self.insurer && *other != person));
        }
        for number in numbers {
            let records = known.pass.open(self.platform.store().records(number, kind).await?);
            for record in StoredRecord::as_known(records, Timestamp::MAX, &known.unapplied) {
                let history = record.header.natural_key.parse();
                if let (Some(what), Ok(history)) = (use_of(&record), history) {
                    self.usage.usages.note(person.insured, number.insured, history, what);
                }
            }
        }
        self.usage.known = Some(known);
        Ok(())
    }

    async fn begin_looking(&self) -> Result<Known, Error> {
        let store = self.platform.store();
        let insurer = Some(self.insurer.to_string());
        let entry = Entry {
            organization: insurer.clone(),
            insurer,
            ..Entry::new(self.now, "import", "worker", "import.allowances", Outcome::Allowed)
        };
        let last = InsuredNumber::parse(LAST).map_err(|error| Error::Internal(error.to_string()))?;
        let links = store.links_between(self.insurer, None, last).await?;
        Ok(Known {
            pass: store.audit().begin_pass(entry).await?,
            unapplied: store.unapplied(self.insurer).await?,
            renumbered: links.into_iter().map(|link| link.person.insured).collect(),
        })
    }
}

/// The last 被保険者番号 there can be.
const LAST: &str = "H999999999";

fn use_of(record: &StoredRecord) -> Option<Use> {
    Some(match record.header.kind {
        Kind::E1 => Use::Work(serde_json::from_slice::<HomeModification>(&record.payload).ok()?.counted()),
        _ => Use::Purchase(serde_json::from_slice::<EquipmentPurchase>(&record.payload).ok()?.counted()),
    })
}
