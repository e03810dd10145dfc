//! The scores of a search drawn against each hyperparameter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use crate::model::hyper::HyperparameterValue;
use crate::render::html::escape;
use crate::tuning::leaderboard::Leaderboard;
use crate::views::leaderboard::varies;

/// The width and height of a picture, and the room around its points.
const SIZE: (f64, f64) = (320.0, 210.0);
const ROOM: (f64, f64) = (48.0, 36.0);

/// The colours of learners, in the order in which they come: those of Okabe and Ito (2008), which
/// the colour-blind tell apart.
const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#444444",
];

/// Names that are wider than this side by side, in characters, are not written below the axis.
const LEGIBLE: usize = 44;

/// The points that are drawn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepPoints {
    /// What trials are compared by.
    pub metric: String,
    /// Of every hyperparameter of which more than one value was tried, and of the learner, the
    /// trials by its value.
    pub hyperparameters: BTreeMap<String, Vec<SweepPoint>>,
}

/// A trial in a picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepPoint {
    /// The learner.
    pub learner: String,
    /// The value of the hyperparameter.
    pub value: HyperparameterValue,
    /// The score.
    pub score: f64,
}

/// Returns the points that are drawn, by hyperparameter.
pub fn points(board: &Leaderboard) -> SweepPoints {
    let mut found: BTreeMap<String, Vec<SweepPoint>> = BTreeMap::new();
    for trial in &board.trials {
        let Some(score) = trial.score else {
            continue;
        };
        let learner = &trial.learner;
        let point = |value: HyperparameterValue| SweepPoint {
            learner: learner.clone(),
            value,
            score,
        };
        let name = HyperparameterValue::Word(learner.clone());
        found
            .entry("learner".to_owned())
            .or_default()
            .push(point(name));
        for (name, value) in &trial.setting {
            if varies(board, learner, name) {
                found
                    .entry(name.clone())
                    .or_default()
                    .push(point(value.clone()));
            }
        }
    }
    found.retain(|_, points| points.iter().any(|point| point.value != points[0].value));
    SweepPoints {
        metric: board.metric.clone(),
        hyperparameters: found,
    }
}

/// Draws the score of every trial against each hyperparameter, as SVG.
pub fn plot(board: &Leaderboard) -> String {
    let points = points(board);
    let scores: Vec<f64> = board
        .trials
        .iter()
        .filter_map(|trial| trial.score)
        .collect();
    let plot = SweepPlot {
        learners: board.trials.iter().map(|trial| &*trial.learner).collect(),
        range: range(&scores),
    };
    let pictures = points.hyperparameters.len();
    let across = pictures.clamp(1, 3);
    let width = across as f64 * SIZE.0;
    let height = pictures.div_ceil(across) as f64 * SIZE.1 + 60.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"system-ui,sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"12\" y=\"20\" font-size=\"14\">{} of {} \
         trials</text>\n",
        escape(&board.metric),
        scores.len()
    );
    svg.push_str(&plot.legend());
    for (at, (name, points)) in points.hyperparameters.iter().enumerate() {
        let left = (at % across) as f64 * SIZE.0;
        let top = 50.0 + (at / across) as f64 * SIZE.1;
        svg.push_str(&plot.picture(name, points, (left, top)));
    }
    svg.push_str("</svg>\n");
    svg
}

/// The least and the greatest score, a little apart where they are the same.
fn range(scores: &[f64]) -> (f64, f64) {
    let low = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let high = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match high > low {
        true => (low, high),
        false => (low - 0.5, high + 0.5),
    }
}

/// What all pictures share.
struct SweepPlot<'a> {
    learners: BTreeSet<&'a str>,
    range: (f64, f64),
}

impl SweepPlot<'_> {
    fn colour(&self, learner: &str) -> &'static str {
        let at = self.learners.iter().position(|known| *known == learner);
        COLOURS[at.unwrap_or_default() % COLOURS.len()]
    }

    fn legend(&self) -> String {
        let mut svg = String::new();
        let mut x = 12.0;
        for learner in &self.learners {
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.0}\" cy=\"38\" r=\"4\" fill=\"{}\"/><text x=\"{:.0}\" y=\"42\">{}</text>",
                self.colour(learner),
                x + 8.0,
                escape(learner)
            );
            x += 24.0 + 6.5 * learner.chars().count() as f64;
        }
        svg
    }

    /// Draws one hyperparameter, its upper left corner being there.
    fn picture(&self, name: &str, points: &[SweepPoint], (left, top): (f64, f64)) -> String {
        let axis = ValueAxis::of(points);
        let (from, to) = (left + ROOM.0, left + SIZE.0 - 16.0);
        let (upper, lower) = (top + 22.0, top + SIZE.1 - ROOM.1);
        let (low, high) = self.range;
        let y = |score: f64| lower - (score - low) / (high - low) * (lower - upper);
        let mut svg = format!(
            "<text x=\"{from:.1}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>\n<path d=\"M{from:.1} {upper:.1}V{lower:.1}H{to:.1}\" \
             fill=\"none\" stroke=\"#999\"/>\n",
            top + 14.0,
            escape(name)
        );
        for score in [low, high] {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{score:.3}</text>",
                from - 5.0,
                y(score) + 4.0
            );
        }
        for (text, share) in &axis.labels {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                from + share * (to - from),
                lower + 14.0,
                escape(text)
            );
        }
        for (point, share) in points.iter().zip(&axis.shares) {
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{}\" fill-opacity=\".6\"><title>{} {}: {}, {:.4}</title></circle>",
                from + share * (to - from),
                y(point.score),
                self.colour(&point.learner),
                escape(&point.learner),
                escape(name),
                escape(&point.value.to_string()),
                point.score
            );
        }
        svg
    }
}

/// How far to the right points stand, as shares of the width, and what is written below, where.
struct ValueAxis {
    shares: Vec<f64>,
    labels: Vec<(String, f64)>,
}

impl ValueAxis {
    /// Words stand side by side, numbers in proportion, their logarithms where they span more than
    /// a hundredfold.
    fn of(points: &[SweepPoint]) -> Self {
        let numbers: Option<Vec<f64>> = points.iter().map(|point| number(&point.value)).collect();
        match numbers {
            Some(numbers) => Self::of_numbers(&numbers),
            None => Self::of_words(points.iter().map(|point| point.value.to_string())),
        }
    }

    fn of_words(words: impl Iterator<Item = String>) -> Self {
        let words: Vec<String> = words.collect();
        let distinct: BTreeSet<&String> = words.iter().collect();
        let share = |word: &String| {
            let at = distinct.iter().position(|known| *known == word);
            inner((at.unwrap_or_default() as f64 + 0.5) / distinct.len() as f64)
        };
        let widest = distinct.iter().map(|word| word.chars().count() + 2).max();
        // Words that do not fit side by side are left to the points, which tell them.
        let are_legible = widest.unwrap_or(0) * distinct.len() <= LEGIBLE;
        let labels = match are_legible {
            true => distinct
                .iter()
                .map(|word| ((*word).clone(), share(word)))
                .collect(),
            false => Vec::new(),
        };
        Self {
            shares: words.iter().map(share).collect(),
            labels,
        }
    }

    fn of_numbers(numbers: &[f64]) -> Self {
        let low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        let high = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let is_log = low > 0.0 && high / low > 100.0;
        let scaled = |number: f64| if is_log { number.ln() } else { number };
        let span = (scaled(high) - scaled(low)).max(f64::MIN_POSITIVE);
        let share = |number: f64| inner((scaled(number) - scaled(low)) / span);
        Self {
            shares: numbers.iter().map(|number| share(*number)).collect(),
            labels: [low, high]
                .map(|end| (end.to_string(), share(end)))
                .to_vec(),
        }
    }
}

fn number(value: &HyperparameterValue) -> Option<f64> {
    match value {
        HyperparameterValue::Number(number) => Some(*number),
        HyperparameterValue::Word(_) => None,
    }
}

/// Leaves room on either side.
fn inner(share: f64) -> f64 {
    0.04 + 0.92 * share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::leaderboard::tests::board;

    #[test]
    fn what_was_varied_is_drawn() {
        let names: Vec<String> = points(&board()).hyperparameters.into_keys().collect();
        assert_eq!(
            names,
            ["trees"],
            "of criterion and of learners with a score there is one"
        );
        assert_eq!(plot(&board()).matches("<title>").count(), 2);
    }
}
