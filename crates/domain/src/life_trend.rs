//! 推移: the indicators of [`LifeSheet`]s over time, beside a table of comparison that whoever operates the platform may
//! replace (P-141). Values are whole numbers in steps of the indicator: tenths where it has one decimal.

use crate::certification::CareLevel;
use crate::ids::ServiceType;
use crate::life::{LifeSheet, MalnutritionRisk};
use jiff::civil::Date;
use serde::Serialize;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// More points are better.
    Higher,
    /// Fewer are.
    Lower,
    /// Neither can be said, as of 体重.
    Neither,
}

/// One indicator.
#[derive(Debug, Clone, Copy)]
pub struct Indicator {
    /// Stable id.
    pub id: &'static str,
    /// Name, in Japanese.
    pub name: &'static str,
    /// Unit.
    pub unit: &'static str,
    /// Decimals of its values: 0 or 1.
    pub decimals: u8,
    /// Which way is better.
    pub better: Better,
    /// Smallest and largest value that can be; none where nothing bounds it.
    pub range: Option<(i64, i64)>,
    value: fn(&LifeSheet) -> Option<u32>,
}

/// Every indicator, in the order in which it is shown.
pub const INDICATORS: &[Indicator] = &[
    Indicator {
        id: "barthel",
        name: "ADL: Barthel Index の合計",
        unit: "点",
        decimals: 0,
        better: Better::Higher,
        range: Some((0, 100)),
        value: LifeSheet::barthel,
    },
    Indicator {
        id: "weight",
        name: "体重",
        unit: "kg",
        decimals: 1,
        better: Better::Neither,
        range: None,
        value: |sheet| sheet.nutrition.weight.as_ref().map(|weight| weight.tenths()),
    },
    Indicator {
        id: "bmi",
        name: "BMI",
        unit: "kg/㎡",
        decimals: 1,
        better: Better::Neither,
        range: None,
        value: LifeSheet::bmi_tenths,
    },
    Indicator {
        id: "malnutrition_risk",
        name: "低栄養状態のリスク",
        unit: "",
        decimals: 0,
        better: Better::Lower,
        range: Some((1, 3)),
        value: |sheet| sheet.nutrition.risk.and_then(|risk| risk.code().parse().ok()),
    },
    Indicator {
        id: "intake",
        name: "食事摂取量",
        unit: "％",
        decimals: 0,
        better: Better::Higher,
        range: Some((0, 100)),
        value: |sheet| sheet.nutrition.intake.map(u32::from),
    },
    Indicator {
        id: "oral",
        name: "口腔の問題の数",
        unit: "個",
        decimals: 0,
        better: Better::Lower,
        range: Some((0, 4)),
        value: LifeSheet::oral_troubles,
    },
    Indicator {
        id: "dbd_required",
        name: "DBD13 必須5項目の合計",
        unit: "点",
        decimals: 0,
        better: Better::Lower,
        range: Some((0, 20)),
        value: LifeSheet::dbd_required,
    },
    Indicator {
        id: "dbd13",
        name: "DBD13 13項目の合計",
        unit: "点",
        decimals: 0,
        better: Better::Lower,
        range: Some((0, 52)),
        value: LifeSheet::dbd13,
    },
    Indicator {
        id: "vitality",
        name: "意欲の指標: Vitality Index の合計",
        unit: "点",
        decimals: 0,
        better: Better::Higher,
        range: Some((0, 10)),
        value: LifeSheet::vitality,
    },
];

/// The indicators of one person over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LifeTrend {
    /// Indicators of which there is a value.
    pub indicators: Vec<TrendLine>,
    /// What the comparison is.
    pub reference: ReferenceNote,
}

/// One indicator over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrendLine {
    /// Stable id.
    pub id: &'static str,
    /// Name, in Japanese.
    pub name: &'static str,
    /// Unit.
    pub unit: &'static str,
    /// Decimals: a value of 203 with 1 is 20.3.
    pub decimals: u8,
    /// Which way is better.
    pub better: Better,
    /// Smallest value that can be.
    pub least: Option<i64>,
    /// Largest value that can be.
    pub most: Option<i64>,
    /// Values, oldest first.
    pub points: Vec<TrendPoint>,
    /// The latest less the one before it.
    pub change: Option<i64>,
    /// Values of the group of the latest one.
    pub comparison: Option<Comparison>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrendPoint {
    /// 評価日
    pub evaluated_on: Date,
    /// サービス種類
    pub service: ServiceType,
    /// The value.
    pub value: i64,
    /// The same as people read it, without the unit.
    pub text: String,
}

/// The group beside which a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Whose values, in Japanese.
    pub group: &'static str,
    /// 平均
    pub mean: i64,
    /// 25パーセンタイル
    pub quarter: i64,
    /// 中央値
    pub median: i64,
    /// 75パーセンタイル
    pub three_quarters: i64,
}

/// What the table of comparison is, for whoever reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReferenceNote {
    /// Title.
    pub title: String,
    /// What to know about it.
    pub note: String,
    /// Whether its values are invented.
    pub fictional: bool,
}

impl Indicator {
    /// A value as people read it.
    pub fn text(&self, value: i64) -> String {
        if self.id == "malnutrition_risk" {
            let risk = MalnutritionRisk::from_code(&value.to_string());
            return risk.map_or_else(|| value.to_string(), |risk| risk.name_ja().to_owned());
        }
        text_of(value, self.decimals)
    }

    fn line(&self, sheets: &[LifeSheet], reference: &Reference) -> Option<TrendLine> {
        let filled = |sheet| Some((sheet, i64::from((self.value)(sheet)?)));
        let values: Vec<(&LifeSheet, i64)> = sheets.iter().filter_map(filled).collect();
        let (latest, now) = *values.last()?;
        let before = values.len().checked_sub(2).and_then(|at| values.get(at));
        let point = |(sheet, value): &(&LifeSheet, i64)| TrendPoint {
            evaluated_on: sheet.evaluated_on,
            service: sheet.service,
            value: *value,
            text: self.text(*value),
        };
        Some(TrendLine {
            id: self.id,
            name: self.name,
            unit: self.unit,
            decimals: self.decimals,
            better: self.better,
            least: self.range.map(|(least, _)| least),
            most: self.range.map(|(_, most)| most),
            points: values.iter().map(point).collect(),
            change: before.map(|(_, before)| now - before),
            comparison: reference.of(self, latest),
        })
    }
}

/// A number of so many decimals (0 or 1) in steps of the last one.
pub fn text_of(value: i64, decimals: u8) -> String {
    if decimals == 0 { value.to_string() } else { format!("{}.{}", value / 10, (value % 10).abs()) }
}

/// The trend of these evaluations, in whatever order they come.
pub fn trend(mut sheets: Vec<LifeSheet>, reference: &Reference) -> LifeTrend {
    sheets.sort_by_key(|sheet| (sheet.evaluated_on, sheet.service));
    let indicators = INDICATORS.iter().filter_map(|indicator| indicator.line(&sheets, reference)).collect();
    LifeTrend { indicators, reference: reference.note.clone() }
}

/// 比較表: values of groups of people, by indicator, service and level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    note: ReferenceNote,
    rows: Vec<ReferenceRow>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ReferenceRow {
    indicator: &'static str,
    service: Option<ServiceType>,
    band: Band,
    /// 平均, 25, 50 and 75 percent.
    values: [i64; 4],
}

/// Levels of care that are compared together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Band {
    Support,
    Care1To2,
    Care3To5,
    Any,
}

impl Band {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "support" => Self::Support,
            "care1_2" => Self::Care1To2,
            "care3_5" => Self::Care3To5,
            "*" => Self::Any,
            _ => return None,
        })
    }

    fn of(level: CareLevel) -> Self {
        match level {
            CareLevel::Care1 | CareLevel::Care2 => Self::Care1To2,
            CareLevel::Care3 | CareLevel::Care4 | CareLevel::Care5 => Self::Care3To5,
            _ => Self::Support,
        }
    }

    fn name_ja(self) -> &'static str {
        match self {
            Self::Support => "要支援・事業対象者",
            Self::Care1To2 => "要介護1・2",
            Self::Care3To5 => "要介護3〜5",
            Self::Any => "すべての要介護度",
        }
    }
}

impl Reference {
    /// The table that comes with the platform: invented values.
    pub fn sample() -> Self {
        // The text is part of the program; a test reads it.
        Self::parse(include_str!("../data/life_reference.tsv")).unwrap_or_else(|_| Self {
            note: ReferenceNote { title: String::new(), note: String::new(), fictional: true },
            rows: Vec::new(),
        })
    }

    /// Reads a table. The error names the line, in Japanese.
    pub fn parse(text: &str) -> Result<Self, String> {
        let said = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("# {name}:")));
            line.map(|value| value.trim().to_owned())
        };
        let title = said("title").ok_or("1行目に # title: で表の名前を書いてください")?;
        let fictional = said("fictional").ok_or("架空の値なら # fictional: yes、実際の値なら no と書いてください")?;
        let note = ReferenceNote { title, note: said("note").unwrap_or_default(), fictional: fictional != "no" };
        let mut rows = Vec::new();
        let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty());
        for (at, line) in lines.skip(1) {
            rows.push(ReferenceRow::parse(line).ok_or_else(|| {
                format!(
                    "{}行目: 指標・サービス種類・要介護度・平均・25・50・75 の7列（タブ区切り）にしてください",
                    at + 1
                )
            })?);
        }
        Ok(Self { note, rows })
    }

    /// The group of a sheet: the most exact line.
    fn of(&self, indicator: &Indicator, sheet: &LifeSheet) -> Option<Comparison> {
        let band = sheet.care_level.map(Band::of);
        let fits = |row: &&ReferenceRow| {
            row.indicator == indicator.id
                && row.service.is_none_or(|service| service == sheet.service)
                && (row.band == Band::Any || Some(row.band) == band)
        };
        let exactness = |row: &&ReferenceRow| (row.service.is_some(), row.band != Band::Any);
        let row = self.rows.iter().filter(fits).max_by_key(exactness)?;
        let [mean, quarter, median, three_quarters] = row.values;
        Some(Comparison { group: row.band.name_ja(), mean, quarter, median, three_quarters })
    }
}

impl ReferenceRow {
    fn parse(line: &str) -> Option<Self> {
        let columns: Vec<&str> = line.split('\t').collect();
        let [id, service, band, values @ ..] = &columns[..] else { return None };
        let indicator = INDICATORS.iter().find(|indicator| indicator.id == *id)?;
        let service = if *service == "*" { None } else { Some(ServiceType::parse(service).ok()?) };
        let values: Option<Vec<i64>> = values.iter().map(|value| steps(value, indicator.decimals)).collect();
        let values: [i64; 4] = values?.try_into().ok()?;
        let is_ordered = values[1] <= values[2] && values[2] <= values[3];
        is_ordered.then_some(Self { indicator: indicator.id, service, band: Band::parse(band)?, values })
    }
}

/// A written number in steps of so many decimals; what is finer is rounded half up.
fn steps(text: &str, decimals: u8) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let tenths = whole.parse::<i64>().ok()? * 10 + i64::from(fraction.parse::<u8>().ok().filter(|digit| *digit < 10)?);
    Some(if decimals == 0 { (tenths + 5).div_euclid(10) } else { tenths })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{InsuredNumber, InsurerNumber, PersonKey};
    use crate::physician_opinion::Measure;
    use jiff::civil::date;

    fn sheet(day: Date, points: u8) -> LifeSheet {
        let person = PersonKey {
            insurer: InsurerNumber::from_code5("99001").unwrap(),
            insured: InsuredNumber::parse("0000000001").unwrap(),
        };
        let mut sheet = LifeSheet::new(person, ServiceType::parse("15").unwrap(), day);
        sheet.care_level = Some(CareLevel::Care3);
        sheet.adl.barthel = (1..=10).map(|item| (item, points)).collect();
        sheet
    }

    #[test]
    fn evaluations_stand_in_the_order_of_their_days_with_the_last_change() {
        let mut first = sheet(date(2026, 5, 1), 10);
        first.nutrition.weight = Measure::parse("45.6");
        let sheets = vec![sheet(date(2026, 11, 1), 5), first, sheet(date(2026, 8, 1), 10)];
        let trend = trend(sheets, &Reference::sample());
        let ids: Vec<_> = trend.indicators.iter().map(|line| line.id).collect();
        assert_eq!(ids, ["barthel", "weight"], "what nobody recorded is not there");
        let barthel = &trend.indicators[0];
        let values: Vec<_> = barthel.points.iter().map(|point| (point.evaluated_on.month(), point.value)).collect();
        assert_eq!((values, barthel.change), (vec![(5, 100), (8, 100), (11, 50)], Some(-50)));
        assert_eq!((trend.indicators[1].points[0].text.as_str(), trend.indicators[1].change), ("45.6", None));
    }

    #[test]
    fn the_table_that_comes_along_says_that_it_is_invented() {
        let reference = Reference::parse(include_str!("../data/life_reference.tsv")).unwrap();
        assert!(reference.note.fictional && reference.note.title.contains("架空"), "{:?}", reference.note);
        assert!(!reference.rows.is_empty());
    }

    #[test]
    fn the_most_exact_line_of_the_comparison_counts() {
        let table = "# title: 全国値\n# fictional: no\nindicator\tservice\tlevel\tmean\tp25\tp50\tp75\nbarthel\t*\t*\t50\t30\t50\t70\nbarthel\t15\tcare3_5\t40\t20\t40\t60\nbarthel\t15\t*\t45\t25\t45\t65\nbmi\t*\t*\t21.4\t19\t21.2\t23.6\n";
        let reference = Reference::parse(table).unwrap();
        assert!(!reference.note.fictional);
        let of = |sheet: &LifeSheet, id| reference.of(INDICATORS.iter().find(|i| i.id == id).unwrap(), sheet).unwrap();
        let mut sheet = sheet(date(2026, 11, 1), 5);
        assert_eq!((of(&sheet, "barthel").mean, of(&sheet, "barthel").group), (40, "要介護3〜5"));
        sheet.care_level = None;
        assert_eq!(of(&sheet, "barthel").mean, 45);
        assert_eq!(of(&sheet, "bmi").mean, 214, "in tenths");
        assert!(reference.of(&INDICATORS[1], &sheet).is_none(), "nothing to compare 体重 with");
        for bad in [
            "barthel\t*\t*\t50\t30",
            "sekai\t*\t*\t1\t1\t1\t1",
            "barthel\t*\t*\t50\t70\t50\t30",
            "bmi\t*\t9\t1\t1\t1\t1",
        ] {
            let error = Reference::parse(&format!("{table}{bad}\n")).unwrap_err();
            assert!(error.starts_with("8行目"), "{error}");
        }
    }
}
