//! Plots of lines as SVG: axes with marks, a line or a few, each with its name. Numbers in, a picture
//! out; what the lines mean is not known here.

use std::fmt::Write as _;

use crate::render::html::escape;

/// The whole picture, and the part of it within the axes, in pixels.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;

/// The style that pages with plots need.
pub const STYLE: &str = "figure{display:inline-block;margin:0 1.2em 1em 0;max-width:100%}\
figcaption{font-weight:600;margin:.2em 0}.chart{max-width:100%;height:auto;display:block}\
.chart text{font:11px system-ui,sans-serif;fill:#57606a}.chart .grid{stroke:#d8dee4}\
.chart .line{fill:none;stroke-width:2}.chart .a{stroke:#0969da}.chart .b{stroke:#bc4c00;stroke-dasharray:5 3}\
.chart .c{stroke:#8c959f;stroke-dasharray:2 3;stroke-width:1}.chart circle{stroke:#fff}\
.chart circle.a{fill:#0969da}.chart circle.b{fill:#bc4c00}";

/// How numbers lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AxisScale {
    /// Evenly, from a number to another.
    Linear(f64, f64),
    /// Each decade as long as the other, from a number above 0 to another. What is below lies at
    /// the beginning.
    Decades(f64, f64),
}

impl AxisScale {
    /// Returns how far along the axis a number lies, from 0 to 1.
    fn share(self, number: f64) -> f64 {
        let (low, high, number) = match self {
            Self::Linear(low, high) => (low, high, number),
            Self::Decades(low, high) => (low.log10(), high.log10(), number.max(low).log10()),
        };
        ((number - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// Returns the numbers that are marked.
    fn marks(self) -> Vec<f64> {
        match self {
            Self::Linear(low, high) => (0..=5)
                .map(|step| low + (high - low) * f64::from(step) / 5.0)
                .collect(),
            Self::Decades(low, high) => {
                let decades = low.log10().round() as i32..=high.log10().round() as i32;
                decades.map(|power| 10_f64.powi(power)).collect()
            }
        }
    }
}

/// An axis.
#[derive(Clone, Copy, Debug)]
pub struct ChartAxis<'a> {
    /// What it shows.
    pub title: &'a str,
    /// How numbers lie along it.
    pub scale: AxisScale,
}

/// A line of a plot.
#[derive(Clone, Debug)]
pub struct ChartLine<'a> {
    /// Its name, shown on the point of a pointer.
    pub name: &'a str,
    /// Its look: `a`, `b`, or `c` for a line to compare with.
    pub class: &'a str,
    /// Its points.
    pub points: Vec<(f64, f64)>,
    /// Points that stand out, with words for each and, where there is one, the interval of the
    /// height.
    pub dots: Vec<ChartDot>,
}

/// A point that stands out.
#[derive(Clone, Debug)]
pub struct ChartDot {
    /// Where it is.
    pub at: (f64, f64),
    /// The interval of its height.
    pub interval: Option<[f64; 2]>,
    /// What it is, shown on the point of a pointer.
    pub words: String,
}

/// Draws a plot.
pub fn chart(caption: &str, x: ChartAxis<'_>, y: ChartAxis<'_>, lines: &[ChartLine<'_>]) -> String {
    let right = |number: f64| LEFT + x.scale.share(number) * (WIDTH - LEFT - RIGHT);
    let up = |number: f64| HEIGHT - BOTTOM - y.scale.share(number) * (HEIGHT - TOP - BOTTOM);
    let caption = escape(caption);
    let mut svg = format!(
        "<figure><figcaption>{caption}</figcaption><svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" role=\"img\" aria-label=\"{caption}\">\n"
    );
    let floor = HEIGHT - BOTTOM;
    for mark in x.scale.marks() {
        let at = right(mark);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{floor}\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            floor + 15.0,
            number(mark)
        );
    }
    for mark in y.scale.marks() {
        let at = up(mark);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0,
            number(mark)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
         <text transform=\"translate(12 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 8.0,
        escape(x.title),
        (TOP + floor) / 2.0,
        escape(y.title)
    );
    for line in lines {
        let class = line.class;
        let mut path = String::new();
        for (place, (x, y)) in line.points.iter().enumerate() {
            let command = if place == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{command}{:.1} {:.1}", right(*x), up(*y));
        }
        let name = escape(line.name);
        let _ = writeln!(
            svg,
            "<path class=\"line {class}\" d=\"{path}\"><title>{name}</title></path>"
        );
        for dot in &line.dots {
            let (at_x, at_y) = (right(dot.at.0), up(dot.at.1));
            if let Some([low, high]) = dot.interval {
                let _ = writeln!(
                    svg,
                    "<line class=\"line {class}\" x1=\"{at_x:.1}\" y1=\"{:.1}\" x2=\"{at_x:.1}\" y2=\"{:.1}\"/>",
                    up(low),
                    up(high)
                );
            }
            let _ = writeln!(
                svg,
                "<circle class=\"{class}\" cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"4\"><title>{}</title></circle>",
                escape(&dot.words)
            );
        }
    }
    svg.push_str("</svg></figure>\n");
    svg
}

/// A mark's number in as few characters as it takes.
fn number(mark: f64) -> String {
    let rounded = (mark * 1e6).round() / 1e6;
    if rounded.abs() >= 1e5 {
        return format!("{rounded:e}");
    }
    rounded.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lie_where_their_scale_puts_them() {
        let decades = AxisScale::Decades(1e-4, 1.0);
        assert_eq!(decades.share(0.01), 0.5);
        assert_eq!((decades.share(0.0), decades.share(7.0)), (0.0, 1.0));
        assert_eq!(decades.marks().len(), 5);
        assert_eq!(AxisScale::Linear(0.0, 2.0).share(0.5), 0.25);
        assert_eq!(number(0.1 + 0.2), "0.3");
    }
}
