//! Bars as SVG: one row a contender, made of stacked parts, with a line for the spread. No scripts, no
//! fonts, nothing from elsewhere. It refuses a scale that does not begin at zero.

use std::fmt::Write;

use crate::figures::Spread;

const WIDTH: f64 = 720.0;
const NAME_WIDTH: f64 = 110.0;
const VALUE_WIDTH: f64 = 190.0;
const ROW: f64 = 24.0;
const BAR: f64 = 15.0;

/// One row.
pub struct Row {
    pub name: String,
    /// Lengths of the parts; their classes say their colours.
    pub parts: Vec<(f64, &'static str)>,
    pub spread: Option<Spread>,
    pub says: String,
    /// Drawn as ours.
    pub own: bool,
}

/// The bars, with a title for those who do not see them.
pub fn bars(title: &str, rows: &[Row]) -> String {
    let longest = rows.iter().map(|row| row.parts.iter().map(|(part, _)| part).sum::<f64>());
    let reach = rows.iter().filter_map(|row| row.spread.map(|spread| spread.most)).chain(longest).fold(0.0, f64::max);
    if reach <= 0.0 || !reach.is_finite() {
        return String::new();
    }
    let scale = (WIDTH - NAME_WIDTH - VALUE_WIDTH) / reach;
    let mut y = 0.0;
    let mut text = String::new();
    for row in rows {
        let middle = y + ROW / 2.0;
        let weight = if row.own { " class=\"own\"" } else { "" };
        let _ = write!(
            text,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\"{weight}>{}</text>",
            NAME_WIDTH - 8.0,
            middle + 4.0,
            escaped(&row.name)
        );
        let mut x = NAME_WIDTH;
        for (part, class) in &row.parts {
            let width = part * scale;
            let _ = write!(
                text,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{BAR}\"/>",
                middle - BAR / 2.0
            );
            x += width;
        }
        if let Some(Spread { least, most, .. }) = row.spread.filter(|spread| spread.most > spread.least) {
            let [from, to] = [least, most].map(|end| NAME_WIDTH + end * scale);
            let _ = write!(text, "<path class=\"spread\" d=\"M{from:.1} {middle:.1}H{to:.1}\"/>");
            x = x.max(to);
        }
        let _ = write!(text, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 6.0, middle + 4.0, escaped(&row.says));
        y += ROW;
    }
    format!(
        "<figure><figcaption>{0}</figcaption><svg viewBox=\"0 0 {WIDTH} {y}\" role=\"img\" aria-label=\"{0}\">{text}</svg></figure>\n",
        escaped(title)
    )
}

/// As text of HTML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_width_and_names_are_escaped() {
        let row = |name: &str, part: f64| Row {
            name: name.into(),
            parts: vec![(part, "user")],
            spread: None,
            says: String::new(),
            own: false,
        };
        let svg = bars("t", &[row("a<b", 10.0), row("c", 5.0)]);
        assert!(svg.contains("a&lt;b") && svg.contains("width=\"420.0\"") && svg.contains("width=\"210.0\""), "{svg}");
        assert_eq!(bars("t", &[row("a", 0.0)]), "", "nothing to see");
    }
}
