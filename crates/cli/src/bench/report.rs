//! What a benchmark says: each figure beside its goal and its floor, as a table or as JSON.

use super::Options;
use super::load::Percentiles;
use super::server::Cpu;
use anyhow::Result;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Goals on two cores with the database and the load beside the server, decision and durable audit inside
/// (docs/performance.md): key, value of the figure, whether more is better, goal.
const GOALS: &[(&str, &str, bool, f64)] = &[
    ("read", "per_s", true, 8_000.0),
    ("read", "p99_ms", false, 10.0),
    ("lookup", "per_s", true, 6_000.0),
    ("lookup", "p99_ms", false, 20.0),
    ("write", "per_s", true, 2_000.0),
    ("write", "p99_ms", false, 50.0),
    ("import", "rows_per_s", true, 30_000.0),
    ("slips", "slips_per_s", true, 2_000.0),
    ("differences", "seconds", false, 60.0),
    ("burden", "seconds", false, 60.0),
    ("disaster", "p99_ms", false, 50.0),
    ("handshake", "per_cpu_s", true, 2_000.0),
    ("token", "cpu_us", false, 20.0),
    ("screen_today", "p50_ms", false, 20.0),
    ("screen_users", "p50_ms", false, 20.0),
    ("screen_person", "p50_ms", false, 20.0),
    ("memory", "server_rss_mb", false, 100.0),
    ("memory", "server_rss_peak_mb", false, 100.0),
    ("memory", "server_rss_peak_import_mb", false, 300.0),
];

/// Which floor stands under which figure: figure, its value, floor, its value.
const FLOORS: &[(&str, &str, &str, &str)] = &[
    ("read", "per_s", "point_read", "per_s"),
    ("write", "per_s", "durable_insert", "per_s"),
    ("import", "rows_per_s", "bulk", "rows_per_s"),
    ("handshake", "per_cpu_s", "handshake", "per_cpu_s"),
    ("login", "per_core_s", "password", "per_core_s"),
    ("plans", "rows_per_s", "decode_and_split", "rows_per_s"),
    ("plan_records", "rows_per_s", "decode_and_split", "rows_per_s"),
];

/// Goals beside a floor of the same run: the figure, and what part of its floor it should be at least.
const RATIOS: &[(&str, f64)] = &[("import", 0.4), ("plans", 0.5)];

/// Figures and floors of one run.
pub struct Report {
    run: Value,
    figures: Map<String, Value>,
    floors: Map<String, Value>,
    wanted: usize,
}

impl Report {
    /// An empty report of a run.
    pub fn new(options: &Options, postgres: bool) -> Self {
        let run = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "at": crate::home::now().to_string(),
            "database": if postgres { "postgresql" } else { "sqlite" },
            "people": options.people,
            "seconds": options.seconds,
            "connections": options.connections,
            "people_per_package": options.package,
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "shared": "server, database and load generator on the same cores",
        });
        Self { run, figures: Map::new(), floors: Map::new(), wanted: options.only.len() }
    }

    /// A figure of the platform.
    pub fn figure(&mut self, name: &str, value: Value) {
        eprintln!("{name}: {value}");
        self.figures.insert(name.to_owned(), value);
    }

    /// What the parts alone could do.
    pub fn floor(&mut self, name: &str, value: Value) {
        eprintln!("床 {name}: {value}");
        self.floors.insert(name.to_owned(), value);
    }

    /// Memory of the server process in megabytes.
    pub fn memory(&mut self, name: &str, megabytes: f64) {
        let memory = self.figures.entry("memory").or_insert_with(|| json!({}));
        memory[name] = json!(rounded(megabytes));
    }

    /// Operations of a closed loop, and what each cost of everybody's CPU time.
    pub fn operations(&mut self, name: &str, done: usize, time: Duration, percentiles: &Percentiles, cpu: &Cpu) {
        let mut value = latencies(percentiles);
        value["per_s"] = json!(rounded(done as f64 / time.as_secs_f64()));
        let each = |seconds: f64| json!((seconds * 1e6 / done.max(1) as f64).round());
        value["cpu_us_server"] = each(cpu.server);
        value["cpu_us_database"] = each(cpu.database);
        value["cpu_us_client"] = each(cpu.client);
        let ours = cpu.server + cpu.database + cpu.client;
        value["cores_used_by_others"] = json!(rounded((cpu.machine - ours).max(0.0) / time.as_secs_f64()));
        self.figure(name, value);
    }

    /// One more value of a figure that is there.
    pub fn add(&mut self, name: &str, key: &str, value: f64) {
        if let Some(figure) = self.figures.get_mut(name) {
            figure[key] = json!(rounded(value));
        }
    }

    /// How many of some operations one core does in a second, server and database together.
    pub fn per_core(&mut self, name: &str) {
        let cost = |key: &str| Self::number(&self.figures, name, key).unwrap_or_default();
        let each = cost("cpu_us_server") + cost("cpu_us_database");
        if each > 0.0 {
            self.add(name, "per_core_s", 1e6 / each);
        }
    }

    /// Handshakes; what counts is how many fit into one CPU second of the server.
    pub fn handshakes(&mut self, done: usize, time: Duration, percentiles: &Percentiles, cpu: f64) {
        let mut value = latencies(percentiles);
        value["per_s"] = json!(rounded(done as f64 / time.as_secs_f64()));
        value["per_cpu_s"] = json!(rounded(done as f64 / cpu.max(0.01)));
        self.figure("handshake", value);
    }

    /// Whether everything that was asked for was measured.
    pub fn is_whole(&self) -> bool {
        // Some measurements have several figures; the first of each counts.
        let is_beside = |name: &str| {
            matches!(name, "memory" | "plan_records") || (name.starts_with("screen_") && name != "screen_today")
        };
        self.figures.keys().filter(|name| !is_beside(name)).count() == self.wanted
    }

    fn number(of: &Map<String, Value>, name: &str, key: &str) -> Option<f64> {
        of.get(name)?.get(key)?.as_f64()
    }

    fn ratios(&self) -> Map<String, Value> {
        let mut ratios = Map::new();
        for (figure, value, floor, of) in FLOORS {
            let pair = Self::number(&self.figures, figure, value).zip(Self::number(&self.floors, floor, of));
            if let Some((figure_value, floor_value)) = pair.filter(|(_, floor)| *floor > 0.0) {
                ratios.insert((*figure).to_owned(), json!((figure_value / floor_value * 1000.0).round() / 1000.0));
            }
        }
        ratios
    }

    /// Figures with a goal beside their floor, the ratio, and the goal.
    fn beside_their_floors(&self) -> Vec<(&'static str, f64, f64)> {
        let ratios = self.ratios();
        let of = |figure: &str| ratios.get(figure).and_then(Value::as_f64);
        RATIOS.iter().filter_map(|(figure, goal)| Some((*figure, of(figure)?, *goal))).collect()
    }

    /// Everything, for a program.
    pub fn json(&self) -> Result<String> {
        let whole = json!({ "run": self.run, "figures": self.figures, "floors": self.floors, "ratios": self.ratios() });
        Ok(serde_json::to_string_pretty(&whole)?)
    }

    /// The table, for people.
    pub fn print(&self) {
        println!("計測条件: {}", self.run);
        println!("（サーバー・データベース・負荷発生器が同じCPUを分け合っています）\n");
        println!("| 項目 | 値 |\n|---|---|");
        for (name, value) in &self.figures {
            println!("| {name} | {} |", flat(value));
        }
        for (name, value) in &self.floors {
            println!("| 床: {name} | {} |", flat(value));
        }
        println!("\n| 目標 | 実測 | 目標値 | 床に対する比 | 判定 |\n|---|---|---|---|---|");
        let ratios = self.ratios();
        for (figure, key, more, goal) in GOALS {
            let Some(value) = Self::number(&self.figures, figure, key) else { continue };
            let good = if *more { value >= *goal } else { value <= *goal };
            let sign = if *more { "≥" } else { "≤" };
            let is_floored = FLOORS.iter().any(|(name, of, ..)| name == figure && of == key);
            let ratio = ratios.get(*figure).filter(|_| is_floored).map_or("–".to_owned(), Value::to_string);
            println!("| {figure} {key} | {value} | {sign} {goal} | {ratio} | {} |", word(good));
        }
        for (figure, ratio, goal) in self.beside_their_floors() {
            println!("| {figure} 床に対する比 | {ratio} | ≥ {goal} | {ratio} | {} |", word(ratio >= goal));
        }
    }
}

fn word(good: bool) -> &'static str {
    if good { "達成" } else { "未達" }
}

fn latencies(percentiles: &Percentiles) -> Value {
    json!({
        "p50_ms": percentiles.p50,
        "p90_ms": percentiles.p90,
        "p99_ms": percentiles.p99,
        "p999_ms": percentiles.p999,
        "max_ms": percentiles.max,
    })
}

/// Three places below 10, one above.
fn rounded(value: f64) -> f64 {
    let places = if value.abs() < 10.0 { 1000.0 } else { 10.0 };
    (value * places).round() / places
}

fn flat(value: &Value) -> String {
    let Some(object) = value.as_object() else { return value.to_string() };
    object.iter().map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_held_against_forty_percent_of_copy_in_the_same_run() {
        let map = |name: &str, rate: u32| Map::from_iter([(name.to_owned(), json!({ "rows_per_s": rate }))]);
        let report =
            Report { run: Value::Null, figures: map("import", 39_000), floors: map("bulk", 100_000), wanted: 0 };
        assert_eq!(report.beside_their_floors(), [("import", 0.39, 0.4)]);
    }
}
