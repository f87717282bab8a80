//! The trend of LIFE as one SVG picture: no script, no style sheet, nothing fetched, every text escaped, so that it may stand
//! alone, in a page or on paper. What the picture shows stands in its description too, and no meaning rests on colour alone.

use kiban_domain::Date;
use kiban_domain::life_trend::{Better, TrendLine, TrendPoint, text_of};
use kiban_service::LifeTrendView;
use std::fmt::Write;

const WIDTH: f64 = 1000.0;
const MARGIN: f64 = 20.0;
/// One panel of two columns.
const PANEL: (f64, f64) = (472.0, 244.0);
const GAP: f64 = 16.0;
/// The plot within a panel: left, top, right, bottom.
const PLOT: (f64, f64, f64, f64) = (52.0, 82.0, 24.0, 34.0);
/// Evaluations in a panel; what came before is told in numbers only.
const MOST: usize = 12;
/// Characters of a line of the note.
const NOTE: usize = 64;

const INK: &str = "#1b1b1b";
const MUTED: &str = "#4d4d4d";
const GRID: &str = "#d5d9de";
const LINE: &str = "#00488f";
const BAND: &str = "#dfe8f2";
const MEAN: &str = "#7a4b00";
const FONT: &str = "'Noto Sans JP','Noto Sans CJK JP','Hiragino Sans','Yu Gothic',Meiryo,sans-serif";

/// The chart of a trend.
pub(crate) fn life_trend(view: &LifeTrendView) -> String {
    let lines = &view.trend.indicators;
    let head = head_of(view);
    let notes = wrapped(&view.trend.reference.note, NOTE);
    let top = 64.0 + 22.0 * head.len() as f64;
    let rows = lines.len().div_ceil(2).max(1) as f64;
    let below = top + rows * (PANEL.1 + GAP);
    let height = below + 34.0 + 20.0 * notes.len() as f64 + MARGIN;
    let mut out = Picture(String::new());
    let _ = write!(
        out.0,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-labelledby=\"t d\" lang=\"ja\" font-family=\"{FONT}\">\n\
         <title id=\"t\">LIFE情報の推移</title>\n<desc id=\"d\">{}</desc>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
        escaped(&description(view))
    );
    out.text((MARGIN, 40.0), "LIFE情報の推移", (22, INK, "bold", "start"));
    for (at, line) in head.iter().enumerate() {
        out.text((MARGIN, 66.0 + 22.0 * at as f64), line, (14, MUTED, "normal", "start"));
    }
    if lines.is_empty() {
        out.text(
            (MARGIN, top + 40.0),
            "まだ値がありません。LIFEのファイルが取り込まれると表示します。",
            (16, INK, "normal", "start"),
        );
    }
    for (at, line) in lines.iter().enumerate() {
        let x = MARGIN + (at % 2) as f64 * (PANEL.0 + GAP);
        let y = top + (at / 2) as f64 * (PANEL.1 + GAP);
        Panel::of(line, (x, y), view.trend.reference.fictional).draw(&mut out);
    }
    legend(&mut out, below + 8.0, view);
    for (at, line) in notes.iter().enumerate() {
        out.text((MARGIN, below + 40.0 + 20.0 * at as f64), line, (13, MUTED, "normal", "start"));
    }
    out.0.push_str("</svg>\n");
    out.0
}

/// The chart of one indicator, for a place in a page of its own.
pub(crate) struct Small {
    pub(crate) name: &'static str,
    /// The latest value and what became of it, in words.
    pub(crate) said: String,
    pub(crate) svg: String,
}

/// One indicator alone.
pub(crate) fn small(line: &TrendLine, fictional: bool) -> Small {
    let latest = line.points.last().map(|point| format!("最新 {}{}。", point.text, line.unit)).unwrap_or_default();
    let change = change_of(line).map(|change| format!("{change}。")).unwrap_or_default();
    let values: Vec<String> =
        line.points.iter().map(|p| format!("{} {}{}", slashed(p.evaluated_on), p.text, line.unit)).collect();
    let mut out = Picture(String::new());
    let (width, height) = PANEL;
    let _ = writeln!(
        out.0,
        "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" lang=\"ja\" font-family=\"{FONT}\">\
         <title>{}の推移</title><desc>{}</desc>",
        escaped(line.name),
        escaped(&values.join("、"))
    );
    Panel::of(line, (0.0, 0.0), fictional).draw(&mut out);
    out.0.push_str("</svg>");
    Small { name: line.name, said: format!("{latest}{change}"), svg: out.0 }
}

fn latest(line: &TrendLine) -> &[TrendPoint] {
    line.points.get(line.points.len().saturating_sub(MOST)..).unwrap_or_default()
}

/// Period and services of the evaluations.
fn head_of(view: &LifeTrendView) -> Vec<String> {
    let days = || view.trend.indicators.iter().flat_map(|line| &line.points).map(|point| point.evaluated_on);
    let Some((first, last)) = days().min().zip(days().max()) else { return Vec::new() };
    let services: Vec<String> = view.services.iter().map(|(code, name)| format!("{name}（{code}）")).collect();
    let cut = view.trend.indicators.iter().any(|line| line.points.len() > MOST);
    let shown = if cut { format!("　図は直近{MOST}回") } else { String::new() };
    vec![format!("評価日 {} 〜 {}　サービス: {}{shown}", slashed(first), slashed(last), services.join("、"))]
}

fn slashed(day: Date) -> String {
    format!("{}/{}/{}", day.year(), day.month(), day.day())
}

/// The same in words, for whoever does not see the picture.
fn description(view: &LifeTrendView) -> String {
    let mut words = String::new();
    for line in &view.trend.indicators {
        let values: Vec<String> =
            line.points.iter().map(|p| format!("{} {}{}", slashed(p.evaluated_on), p.text, line.unit)).collect();
        let _ = write!(words, "{}: {}。", line.name, values.join("、"));
        if let Some(change) = change_of(line) {
            let _ = write!(words, "{change}。");
        }
    }
    words + &view.trend.reference.title
}

/// What became of it since the evaluation before.
fn change_of(line: &TrendLine) -> Option<String> {
    let change = line.change?;
    let word = match (line.better, change.signum()) {
        (_, 0) => return Some("前回と同じ".to_owned()),
        (Better::Neither, _) => "",
        (Better::Higher, 1) | (Better::Lower, -1) => "（改善）",
        _ => "（悪化）",
    };
    if line.id == "malnutrition_risk" {
        return Some(format!("前回から{}{word}", if change > 0 { "上がった" } else { "下がった" }));
    }
    let sign = if change > 0 { "＋" } else { "−" };
    Some(format!("前回より {sign}{}{}{word}", text_of(change.abs(), line.decimals), line.unit))
}

/// One indicator.
struct Panel<'t> {
    line: &'t TrendLine,
    /// The latest ones.
    points: &'t [TrendPoint],
    at: (f64, f64),
    /// Smallest and largest value of the scale, and the distance of its marks.
    scale: (i64, i64, i64),
    /// First day and number of days.
    days: (Date, i32),
    /// Whether the comparison is invented.
    fictional: bool,
}

impl<'t> Panel<'t> {
    fn of(line: &'t TrendLine, at: (f64, f64), fictional: bool) -> Self {
        let points = latest(line);
        let first = points.first().map_or(Date::MIN, |point| point.evaluated_on);
        let last = points.last().map_or(first, |point| point.evaluated_on);
        Self { line, points, at, scale: scale_of(line), days: (first, (last - first).get_days()), fictional }
    }

    fn left(&self) -> f64 {
        self.at.0 + PLOT.0
    }

    fn right(&self) -> f64 {
        self.at.0 + PANEL.0 - PLOT.2
    }

    fn x(&self, point: &TrendPoint) -> f64 {
        // The first and the last value keep off the edge.
        let (from, to) = (self.left() + 34.0, self.right() - 34.0);
        if self.days.1 == 0 {
            return f64::midpoint(from, to);
        }
        from + (to - from) * f64::from((point.evaluated_on - self.days.0).get_days()) / f64::from(self.days.1)
    }

    fn y(&self, value: i64) -> f64 {
        let (least, most, _) = self.scale;
        let (top, bottom) = (self.at.1 + PLOT.1, self.at.1 + PANEL.1 - PLOT.3);
        let share = (value.clamp(least, most) - least) as f64 / (most - least) as f64;
        bottom - (bottom - top) * share
    }

    fn draw(&self, out: &mut Picture) {
        let ((x, y), (width, height)) = (self.at, PANEL);
        let _ = writeln!(
            out.0,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"#ffffff\" stroke=\"#9aa4af\"/>"
        );
        let unit = if self.line.unit.is_empty() { String::new() } else { format!("（{}）", self.line.unit) };
        out.text((x + 14.0, y + 26.0), &format!("{}{unit}", self.line.name), (15, INK, "bold", "start"));
        let latest = self.line.points.last().map(|point| format!("{}{}", point.text, self.line.unit));
        let change = change_of(self.line).map(|change| format!("　{change}"));
        let said = format!("最新 {}{}", latest.unwrap_or_default(), change.unwrap_or_default());
        out.text((x + 14.0, y + 48.0), &said, (13, INK, "normal", "start"));
        if let Some(comparison) = &self.line.comparison {
            let invented = if self.fictional { "（架空）" } else { "" };
            let said = format!("比較{invented} {}", comparison.group);
            out.text((self.right(), y + 26.0), &said, (12, MEAN, "normal", "end"));
        }
        self.comparison(out);
        self.marks(out);
        self.values(out);
    }

    /// The middle half of the group as a band and its mean as a broken line.
    fn comparison(&self, out: &mut Picture) {
        let Some(comparison) = &self.line.comparison else { return };
        let (left, right) = (self.left(), self.right());
        let (upper, lower) = (self.y(comparison.three_quarters), self.y(comparison.quarter));
        let _ = writeln!(
            out.0,
            "<rect x=\"{left:.1}\" y=\"{upper:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{BAND}\"/>",
            right - left,
            (lower - upper).max(2.0)
        );
        let mean = self.y(comparison.mean);
        let _ = writeln!(
            out.0,
            "<line x1=\"{left:.1}\" y1=\"{mean:.1}\" x2=\"{right:.1}\" y2=\"{mean:.1}\" stroke=\"{MEAN}\" stroke-width=\"1.5\" stroke-dasharray=\"6 4\"/>"
        );
    }

    fn marks(&self, out: &mut Picture) {
        let (least, most, step) = self.scale;
        let mut value = least.div_euclid(step) * step;
        while value <= most {
            if value >= least {
                let y = self.y(value);
                let _ = writeln!(
                    out.0,
                    "<line x1=\"{:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"{GRID}\"/>",
                    self.left(),
                    self.right()
                );
                out.text((self.left() - 8.0, y + 4.5), &self.mark(value), (12, MUTED, "normal", "end"));
            }
            value += step;
        }
    }

    fn mark(&self, value: i64) -> String {
        let of_points = self.points.iter().find(|point| point.value == value);
        match self.line.id {
            "malnutrition_risk" => ["低", "中", "高"].get(usize::try_from(value - 1).unwrap_or(9)).map_or_else(
                || of_points.map(|point| point.text.clone()).unwrap_or_default(),
                |word| (*word).to_owned(),
            ),
            // Whole numbers need no decimal.
            _ if self.line.decimals == 1 && self.scale.2 % 10 == 0 => text_of(value / 10, 0),
            _ => text_of(value, self.line.decimals),
        }
    }

    fn values(&self, out: &mut Picture) {
        let places: Vec<(f64, f64)> = self.points.iter().map(|p| (self.x(p), self.y(p.value))).collect();
        let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            out.0,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{LINE}\" stroke-width=\"2.5\"/>",
            path.join(" ")
        );
        for (x, y) in &places {
            let _ = writeln!(
                out.0,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\" fill=\"#ffffff\" stroke=\"{LINE}\" stroke-width=\"2.5\"/>"
            );
        }
        // From the latest backwards, where there is room: its value and its day are always told.
        let (mut room, mut room_for_day) = (f64::MAX, f64::MAX);
        for (point, (x, y)) in self.points.iter().zip(&places).rev() {
            if x + 13.0 <= room {
                out.halo((*x, y - 10.0), &point.text);
                room = x - 13.0;
            }
            if x + 34.0 <= room_for_day {
                let day = point.evaluated_on;
                let day = format!("{}/{}/{}", day.year() % 100, day.month(), day.day());
                out.text((*x, self.at.1 + PANEL.1 - 12.0), &day, (12, MUTED, "normal", "middle"));
                room_for_day = x - 34.0;
            }
        }
    }
}

/// Smallest and largest value, and a round distance of the marks, at most six of them.
fn scale_of(line: &TrendLine) -> (i64, i64, i64) {
    let values = latest(line).iter().map(|point| point.value);
    let compared = line.comparison.iter().flat_map(|c| [c.mean, c.quarter, c.three_quarters]);
    let all: Vec<i64> = values.chain(compared).collect();
    let (low, high) = (all.iter().min().copied().unwrap_or(0), all.iter().max().copied().unwrap_or(0));
    let (low, high) = match (line.least, line.most) {
        (Some(least), Some(most)) => (least, most),
        // A small change must not look like a large one.
        _ => {
            let wider = (high / 5 - (high - low)).max(0) / 2;
            (low - wider, high + wider)
        }
    };
    let rounds = [1, 2, 5].into_iter().cycle().zip((0..7u32).flat_map(|power| [power; 3]));
    let step = rounds.map(|(digit, power)| digit * 10i64.pow(power)).find(|step| (high - low) / step <= 5).unwrap_or(1);
    if line.least.is_some() {
        return (low, high.max(low + 1), step);
    }
    let step = if high == low { 10 } else { step };
    let (least, most) = (low.div_euclid(step) * step, (high.div_euclid(step) + 1) * step);
    (least - if low == least { step } else { 0 }, most, step)
}

fn legend(out: &mut Picture, y: f64, view: &LifeTrendView) {
    let _ = writeln!(
        out.0,
        "<line x1=\"{MARGIN}\" y1=\"{0:.1}\" x2=\"52\" y2=\"{0:.1}\" stroke=\"{LINE}\" stroke-width=\"2.5\"/>\
         <circle cx=\"36\" cy=\"{0:.1}\" r=\"4.5\" fill=\"#ffffff\" stroke=\"{LINE}\" stroke-width=\"2.5\"/>",
        y - 4.5
    );
    out.text((60.0, y), "ご本人の値", (13, INK, "normal", "start"));
    if !view.trend.indicators.iter().any(|line| line.comparison.is_some()) {
        return;
    }
    let _ = writeln!(
        out.0,
        "<rect x=\"160\" y=\"{0:.1}\" width=\"32\" height=\"13\" fill=\"{BAND}\" stroke=\"#9aa4af\"/>\
         <line x1=\"400\" y1=\"{1:.1}\" x2=\"432\" y2=\"{1:.1}\" stroke=\"{MEAN}\" stroke-width=\"1.5\" stroke-dasharray=\"6 4\"/>",
        y - 11.0,
        y - 4.5
    );
    out.text((200.0, y), "比較値の25〜75パーセンタイル", (13, INK, "normal", "start"));
    out.text((440.0, y), "比較値の平均", (13, INK, "normal", "start"));
    let kind = if view.trend.reference.fictional { "bold" } else { "normal" };
    out.text((540.0, y), &format!("比較表: {}", view.trend.reference.title), (13, INK, kind, "start"));
}

/// A text in lines of at most so many characters.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(most).map(|line| line.iter().collect()).collect()
}

/// Size, colour, weight and anchor of a text.
type Look<'l> = (u32, &'l str, &'l str, &'l str);

struct Picture(String);

impl Picture {
    fn text(&mut self, (x, y): (f64, f64), text: &str, (size, colour, weight, anchor): Look<'_>) {
        let _ = writeln!(
            self.0,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{colour}\" font-weight=\"{weight}\" text-anchor=\"{anchor}\">{}</text>",
            escaped(text)
        );
    }

    /// A value that stays readable over lines.
    fn halo(&mut self, (x, y): (f64, f64), text: &str) {
        let _ = writeln!(
            self.0,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"13\" fill=\"{INK}\" font-weight=\"bold\" text-anchor=\"middle\" stroke=\"#ffffff\" stroke-width=\"3\" paint-order=\"stroke\">{}</text>",
            escaped(text)
        );
    }
}

/// Text for XML; characters XML cannot hold are left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiban_domain::certification::CareLevel;
    use kiban_domain::life::{LifeSheet, MalnutritionRisk, OralSign};
    use kiban_domain::life_trend::{Reference, trend};
    use kiban_domain::physician_opinion::Measure;
    use kiban_domain::{InsuredNumber, InsurerNumber, PersonKey, ServiceType};

    /// Evaluations of a facility, every three months.
    fn view(evaluations: i32) -> LifeTrendView {
        let person = PersonKey {
            insurer: InsurerNumber::from_code5("99001").unwrap(),
            insured: InsuredNumber::parse("0000000001").unwrap(),
        };
        let first: Date = "2024-02-10".parse().unwrap();
        let sheet = |at: i32| {
            let day = first.checked_add(jiff::Span::new().months(3 * at)).unwrap();
            let mut sheet = LifeSheet::new(person, ServiceType::parse("51").unwrap(), day);
            let turn = |most: i32| u8::try_from(at * 7 % (most + 1)).unwrap();
            sheet.care_level = Some(CareLevel::Care4);
            sheet.adl.barthel = (1..=10).map(|item| (item, if item > turn(9) { 5 } else { 0 })).collect();
            sheet.nutrition.height = Measure::parse("148.5");
            sheet.nutrition.weight = Measure::parse(&format!("{}.{}", 41 - at % 3, at % 10));
            sheet.nutrition.risk = MalnutritionRisk::ALL.get(usize::from(turn(2))).copied();
            sheet.nutrition.intake = Some(100 - 5 * turn(5));
            sheet.oral.signs = [(OralSign::Unclean, at % 2 == 0), (OralSign::Choking, at % 3 == 0)].into();
            sheet.cognition.dbd13 = (1..=13).map(|item| (item, turn(4))).collect();
            sheet.cognition.vitality = (1..=5).map(|item| (item, turn(2))).collect();
            sheet
        };
        let trend = trend((0..evaluations).map(sheet).collect(), &Reference::sample());
        LifeTrendView { trend, services: [("51".to_owned(), "介護老人福祉施設<&\"'\u{7}".to_owned())].into() }
    }

    #[test]
    fn every_text_is_escaped_and_nothing_is_fetched_or_run() {
        let mut view = view(3);
        view.trend.reference.title = "</text><script>alert(1)</script>".to_owned();
        let svg = life_trend(&view);
        assert!(svg.contains("介護老人福祉施設&lt;&amp;&quot;&#39;（51）") && !svg.contains('\u{7}'), "{svg}");
        assert!(svg.contains("&lt;/text&gt;&lt;script&gt;"));
        for part in ["<script", "<style", "href", "url(", "<image", "onload"] {
            assert!(!svg.contains(part), "{part}");
        }
    }

    #[test]
    fn one_evaluation_or_many_stand_within_their_panels() {
        for evaluations in [0, 1, 2, 12, 80] {
            let view = view(evaluations);
            let svg = life_trend(&view);
            assert_eq!(svg.matches("<circle").count(), 9 * usize::try_from(evaluations).unwrap().min(MOST) + 1);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            for line in &view.trend.indicators {
                let panel = Panel::of(line, (0.0, 0.0), true);
                for point in panel.points {
                    let (x, y) = (panel.x(point), panel.y(point.value));
                    assert!(x > PLOT.0 && x < PANEL.0 - PLOT.2, "{} {x}", line.id);
                    assert!(y >= PLOT.1 - 0.1 && y <= PANEL.1 - PLOT.3 + 0.1, "{} {y}", line.id);
                }
            }
            if let Some(folder) = std::env::var_os("KIBAN_KEEP_CHART") {
                std::fs::write(std::path::Path::new(&folder).join(format!("{evaluations}.svg")), &svg).unwrap();
            }
        }
    }

    #[test]
    fn better_and_worse_are_words_and_a_small_change_looks_small() {
        let view = view(2);
        let line = |id: &str| view.trend.indicators.iter().find(|line| line.id == id).unwrap();
        let (least, most, _) = scale_of(line("weight"));
        assert!(most - least >= 80, "{least} {most}: at least a fifth of the weight");
        assert_eq!(change_of(line("barthel")).unwrap(), "前回より −35点（悪化）");
        assert_eq!(change_of(line("weight")).unwrap(), "前回より −0.9kg");
        assert_eq!(change_of(line("malnutrition_risk")).unwrap(), "前回から上がった（悪化）");
        assert_eq!(change_of(line("oral")).unwrap(), "前回より −2個（改善）");
    }
}
