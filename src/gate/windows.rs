//! How models do in each window of time, and how that changes from window to window.
//!
//! How: the test rows are cut into windows of equal length from the first row on. In each with
//! enough rows of both kinds the metric is computed at the model's threshold. The mean of each two
//! neighbours, averaged over all, is the area under time (Pendlebury and others, TESSERACT, 2019);
//! a line through the windows says by how much the metric changes from one to the next, and where
//! it would be half of what it was.

use crate::base::clock::iso;
use crate::frame::labels::Labels;
use crate::frame::moments::moments;
use crate::frame::table::{ColumnType, Table};
use crate::gate::decision::{JudgedRule, RuleOutcome};
use crate::gate::error::GateError;
use crate::gate::evaluated::EvaluatedModel;
use crate::gate::rules::WindowRule;
use crate::gate::time_decay::{TestWindow, TimeDecay};
use crate::model::intervals::{Interval, RESAMPLING, intervals, score_interval, tell_interval};
use crate::model::metrics::{Metrics, RankedRows, is_loss};
use crate::model::scores::Scores;
use crate::stats::line::FittedLine;

/// More windows are not told apart.
const MOST: usize = 1000;

/// How often the interval of a figure holds the true one.
const CONFIDENCE: f64 = 0.95;

/// Judges models window by window.
///
/// # Errors
/// The column is not there, has a cell that is no time, or there are too many windows.
pub(crate) fn time_decay(
    rule: &WindowRule,
    least: (usize, usize),
    test: &Table,
    labels: &Labels,
    challenger: &EvaluatedModel,
    champion: Option<&EvaluatedModel>,
) -> Result<TimeDecay, GateError> {
    let wrong = |why| GateError::Slice {
        rule: "by_time",
        why,
    };
    let kind = test.column_type(&rule.column).map_err(wrong)?;
    let is_number = matches!(kind, ColumnType::Int | ColumnType::Float);
    let times = moments(test, &rule.column).map_err(wrong)?;
    // Numbers are seconds, instants milliseconds.
    let length = rule.seconds * if is_number { 1.0 } else { 1000.0 };
    let first = times.iter().copied().fold(f64::INFINITY, f64::min);
    let window_of = |time: &f64| ((time - first) / length) as usize;
    let last = times.iter().map(window_of).max().unwrap_or(0);
    if last >= MOST {
        return Err(GateError::TooManyWindows {
            column: rule.column.clone(),
            window: rule.window.clone(),
            windows: last + 1,
            most: MOST,
        });
    }
    let mut rows_of: Vec<Vec<usize>> = vec![Vec::new(); last + 1];
    for (row, time) in times.iter().enumerate() {
        rows_of[window_of(time)].push(row);
    }
    let window = |(number, rows): (usize, Vec<usize>)| {
        let begin = first + number as f64 * length;
        let numbers: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
        let labels = labels.select(&numbers);
        let is_enough = labels.attacks() >= least.0 && labels.benign() >= least.1;
        let score = |model: &EvaluatedModel, scores: &Scores| {
            let metrics = Metrics::at(&labels, scores, model.metrics.threshold);
            metrics.score(&rule.metric).filter(|_| is_enough)
        };
        let scores = challenger.scores.select(&rows);
        let found = score(challenger, &scores);
        TestWindow {
            number,
            from: match is_number {
                true => begin.to_string(),
                false => iso(begin.max(0.0) as u64),
            },
            rows: rows.len(),
            attacks: labels.attacks(),
            score: found,
            interval: found.and_then(|_| {
                interval(&labels, &scores, challenger.metrics.threshold, &rule.metric)
            }),
            champion: champion.and_then(|model| score(model, &model.scores.select(&rows))),
        }
    };
    let seen = rows_of.into_iter().enumerate();
    let windows: Vec<TestWindow> = seen
        .filter(|(_, rows)| !rows.is_empty())
        .map(window)
        .collect();
    let points = |of: fn(&TestWindow) -> Option<f64>| -> Vec<(f64, f64)> {
        let scored = windows
            .iter()
            .filter_map(|window| Some((window.number as f64, of(window)?)));
        scored.collect()
    };
    let mine = points(|window| window.score);
    let line = FittedLine::of(&mine, CONFIDENCE);
    let halves = line.filter(|_| !is_loss(&rule.metric));
    Ok(TimeDecay {
        column: rule.column.clone(),
        window: rule.window.clone(),
        metric: rule.metric.clone(),
        area_under_time: area(&mine),
        champion_area: area(&points(|window| window.champion)),
        change: line.map(|line| line.slope),
        change_interval: line.and_then(|line| line.interval),
        half_life: halves.and_then(|line| half_life(line.start, line.slope)),
        half_life_interval: halves.and_then(|line| {
            let [low, high] = line.interval?;
            Some((half_life(line.start, low)?, half_life(line.start, high)))
        }),
        windows,
    })
}

/// Judges whether each window reaches the least.
pub(crate) fn judge(decay: &TimeDecay, least: f64) -> JudgedRule {
    let Some(worst) = decay.worst() else {
        return JudgedRule {
            metric: Some(decay.metric.clone()),
            needed: Some(least),
            verdict: RuleOutcome::Unclear,
            ..JudgedRule::checked("by_time.at_least", false, decay.tell())
        };
    };
    let found = worst.score.unwrap_or_default();
    let passes = found >= least;
    let word = if passes { "reaches" } else { "does not reach" };
    let told = tell_interval(worst.interval);
    let reason = format!(
        "{} {found:.4}{told} in the window of {} from {} on, the least of all, {word} the least {least}",
        decay.metric, decay.window, worst.from
    );
    JudgedRule {
        metric: Some(decay.metric.clone()),
        slice: Some((decay.column.clone(), worst.from.clone())),
        found: Some(found),
        interval: worst.interval,
        needed: Some(least),
        ..JudgedRule::checked("by_time.at_least", passes, reason)
    }
}

/// The interval of a metric on some rows, turned so that greater is better.
fn interval(labels: &Labels, scores: &Scores, threshold: f64, metric: &str) -> Option<Interval> {
    let all = intervals(&RankedRows::new(labels, scores), threshold, RESAMPLING);
    score_interval(&all, metric)
}

/// The mean of each two neighbours, averaged.
fn area(points: &[(f64, f64)]) -> Option<f64> {
    let between = points.windows(2).map(|pair| (pair[0].1 + pair[1].1) / 2.0);
    let sum: f64 = between.sum();
    (points.len() > 1).then(|| sum / (points.len() - 1) as f64)
}

/// After how many windows a line is at half of its height; none where it does not fall, or begins
/// at 0.
fn half_life(start: f64, slope: f64) -> Option<f64> {
    (start > 0.0 && slope < 0.0).then(|| start / 2.0 / -slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_and_half_lives_are_those_of_their_formulas() {
        assert_eq!(
            area(&[(0.0, 1.0), (1.0, 0.5), (2.0, 0.25)]),
            Some((0.75 + 0.375) / 2.0)
        );
        assert_eq!(area(&[(0.0, 1.0)]), None);
        assert_eq!(half_life(0.8, -0.1), Some(4.0));
        assert_eq!(half_life(0.8, 0.0), None);
    }
}
