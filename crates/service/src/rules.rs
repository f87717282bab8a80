//! だれが何を見られるか: the sharing table in force, taken from the very table by which every question is decided (P-010, P-041). It is the
//! law's and holds nothing about anybody, so whoever is logged in may read it.

use crate::{Caller, Context, Error, Platform};
use kiban_domain::office::OfficeClass;
use kiban_domain::{Date, Kind, dates};
use kiban_policy::{Audience, Mark, Row, SharingTable, service_type_rules};
use kiban_store::Outcome;
use serde::Serialize;

/// The table in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rules {
    /// Name of the version, as audit entries have it.
    pub version: String,
    /// First day on which it is in force.
    pub from: Date,
    /// 立場, in the order of the cells.
    pub audiences: Vec<&'static str>,
    /// 種別, with a cell for each 立場.
    pub kinds: Vec<RuleRow>,
    /// 事業所の区分 with the services that belong to it.
    pub classes: Vec<RuleClass>,
}

/// A 種別.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleRow {
    /// Code of the row, such as `A1` or `B1-B2`.
    pub code: &'static str,
    /// Name, in Japanese.
    pub name: String,
    /// Whether the platform keeps it at all.
    pub stored: bool,
    /// For each 立場.
    pub cells: Vec<RuleCell>,
}

/// What a 立場 may see of a 種別.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleCell {
    /// ★ ○ ◎ –
    pub sign: &'static str,
    /// The same in words.
    pub words: &'static str,
    /// Of documents only those of the own organisation.
    pub own_only: bool,
    /// P-number.
    pub requirement: String,
    /// Short names of the sources.
    pub source: String,
    /// Why, in Japanese.
    pub reason: String,
}

/// A 区分 of offices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleClass {
    /// 名称
    pub name: String,
    /// Services in force that put an office into it.
    pub services: Vec<String>,
}

impl Platform {
    /// The table by which questions are decided today.
    pub async fn rules(&self, caller: &Caller, context: &Context) -> Result<Rules, Error> {
        let table = self.table_at(context.now)?;
        self.store().audit().append(caller.entry(context, "rules", Outcome::Allowed)).await?;
        Ok(rules_of(table, context.today()))
    }
}

fn rules_of(table: &SharingTable, today: Date) -> Rules {
    let today = dates::yyyymmdd(today);
    let kinds = Row::ALL.into_iter().map(|row| RuleRow {
        code: row.code(),
        name: name_of(row),
        stored: row.is_stored(),
        cells: Audience::ALL.into_iter().map(|audience| cell(table, row, audience)).collect(),
    });
    let classes = OfficeClass::ALL.into_iter().map(|class| RuleClass {
        name: table.class_name(class).to_owned(),
        services: service_type_rules(table)
            .iter()
            .filter(|service| service.class == class && (service.to.is_empty() || service.to >= today))
            .map(|service| service.name.clone())
            .collect(),
    });
    Rules {
        version: table.version(),
        from: table.from,
        audiences: Audience::ALL.into_iter().map(Audience::name_ja).collect(),
        kinds: kinds.collect(),
        classes: classes.collect(),
    }
}

fn cell(table: &SharingTable, row: Row, audience: Audience) -> RuleCell {
    let cell = table.cell(row, audience);
    RuleCell {
        sign: cell.mark.sign(),
        words: words(cell.mark),
        own_only: cell.own_only,
        requirement: cell.requirement.clone(),
        source: cell.source.clone(),
        reason: cell.reason.clone(),
    }
}

/// Name of a row; the claims stand in two groups, as in the law's table.
fn name_of(row: Row) -> String {
    match row {
        Row::PlanningClaims => "居宅介護支援の請求・給付".to_owned(),
        Row::ServiceClaims => "介護サービスの請求・給付".to_owned(),
        _ => Kind::parse(row.code()).map_or(row.code(), Kind::name_ja).to_owned(),
    }
}

fn words(mark: Mark) -> &'static str {
    match mark {
        Mark::Creator => "作成する立場",
        Mark::Shared => "見られる",
        Mark::OnConsent => "本人の同意があれば見られる",
        Mark::Blank => "見られない",
    }
}
