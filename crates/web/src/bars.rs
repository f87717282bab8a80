//! Bars of the statistics: one inline SVG without script or style of its own, 360 wide so that its text stays 16 px, the value written
//! at each bar, one colour, and everything it shows in its description (docs/decisions/0008-pages.md).

use std::fmt::Write;

const WIDTH: f64 = 360.0;
/// Width of the longest bar; the rest is room for its value.
const LONGEST: f64 = 250.0;
/// Height of a name and its bar.
const ROW: f64 = 50.0;
/// Characters of a name that fit.
const NAME: usize = 21;

/// A bar: its name, how long it is, and the value as it is written; no length: nothing is known.
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) length: Option<u64>,
    pub(crate) said: String,
}

/// The bars of one measure. `full` is the value of the longest possible bar, such as 1000 of permille; without it the longest one
/// there is. `mark`: a value that is marked by a broken line, and what it is.
pub(crate) fn bars(title: &str, bars: &[Bar], full: Option<u64>, mark: Option<(u64, &str)>) -> String {
    let longest = bars.iter().filter_map(|bar| bar.length).chain(mark.map(|(value, _)| value)).max().unwrap_or(0);
    let full = full.unwrap_or(longest).max(1) as f64;
    let top = if mark.is_some() { 24.0 } else { 0.0 };
    let height = top + ROW * bars.len() as f64 + 4.0;
    let said: Vec<String> = bars.iter().map(|bar| format!("{} {}", bar.name, bar.said)).collect();
    let mut out = String::new();
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" lang=\"ja\"><title>{}</title><desc>{}</desc>",
        escaped(title),
        escaped(&said.join("、"))
    );
    for (at, bar) in bars.iter().enumerate() {
        let y = top + ROW * at as f64;
        let _ = write!(out, "<text x=\"0\" y=\"{:.1}\">{}</text>", y + 18.0, escaped(&cut(&bar.name)));
        let long = LONGEST * bar.length.unwrap_or_default() as f64 / full;
        if bar.length.is_some() {
            let _ = write!(
                out,
                "<rect class=\"br\" x=\"0\" y=\"{:.1}\" width=\"{:.1}\" height=\"16\"/>",
                y + 26.0,
                long.clamp(0.0, LONGEST).max(1.0)
            );
        }
        let _ = write!(
            out,
            "<text class=\"v\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            long.clamp(0.0, LONGEST) + 8.0,
            y + 40.0,
            escaped(&bar.said)
        );
    }
    let _ = write!(out, "<line class=\"ax\" x1=\"0.5\" y1=\"{top}\" x2=\"0.5\" y2=\"{height}\"/>");
    if let Some((value, name)) = mark {
        let x = LONGEST * value as f64 / full;
        let _ = write!(
            out,
            "<line class=\"mark\" x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{height}\"/><text x=\"{x:.1}\" y=\"16\" text-anchor=\"middle\">{}</text>",
            escaped(name)
        );
    }
    out.push_str("</svg>");
    out
}

fn cut(name: &str) -> String {
    if name.chars().count() <= NAME {
        return name.to_owned();
    }
    name.chars().take(NAME - 1).chain(['…']).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, length: Option<u64>, said: &str) -> Bar {
        Bar { name: name.to_owned(), length, said: said.to_owned() }
    }

    #[test]
    fn a_bar_is_as_long_as_its_value_and_the_description_says_all_of_them() {
        let svg =
            bars("日数", &[bar("調査依頼", Some(10), "10日"), bar("認定", Some(40), "40日")], None, Some((20, "20日")));
        assert!(svg.contains("width=\"62.5\"") && svg.contains("width=\"250.0\""), "{svg}");
        assert!(svg.contains("x1=\"125.0\"") && svg.contains("<desc>調査依頼 10日、認定 40日</desc>"), "{svg}");
    }

    #[test]
    fn what_is_not_known_has_no_bar_and_no_text_is_markup() {
        let svg = bars("<b>", &[bar("\"町\"&<script>", None, "10人未満")], Some(1_000), None);
        assert!(!svg.contains("class=\"br\"") && !svg.contains("<script>") && !svg.contains("<b>"), "{svg}");
        assert!(svg.contains("&lt;script&gt;") && svg.contains("10人未満"), "{svg}");
        let long = "あ".repeat(40);
        assert!(bars("t", &[bar(&long, Some(1), "1")], None, None).contains("…</text>"));
    }
}
