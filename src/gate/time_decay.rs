//! How a metric goes over time, as it is stored and told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::count::counted;
use crate::model::intervals::{Interval, tell_interval};

/// What comes of the test rows window by window.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TimeDecay {
    /// The column of times.
    pub column: String,
    /// How long a window is, as the pipeline says it.
    pub window: String,
    /// The metric, turned so that greater is better.
    pub metric: String,
    /// The windows that have rows, in order.
    pub windows: Vec<TestWindow>,
    /// The mean of the metric over time, each two neighbours by their mean; none of fewer than two
    /// windows with enough rows.
    pub area_under_time: Option<f64>,
    /// The champion's.
    pub champion_area: Option<f64>,
    /// By how much the metric changes from window to window, along a line through them.
    pub change: Option<f64>,
    /// Between which values that lies.
    pub change_interval: Option<Interval>,
    /// After how many windows the line is at half of its height in the first; none where it does
    /// not fall.
    pub half_life: Option<f64>,
    /// Between which values that lies; without an end where it may not fall at all.
    pub half_life_interval: Option<(f64, Option<f64>)>,
}

/// A window of time.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TestWindow {
    /// Its number, from 0.
    pub number: usize,
    /// When it begins: an instant, or a number where the column holds numbers.
    pub from: String,
    /// Its rows.
    pub rows: usize,
    /// Attacks among them.
    pub attacks: usize,
    /// The metric; none where there are too few rows of a kind.
    pub score: Option<f64>,
    /// Between which values it lies with 95 % confidence.
    pub interval: Option<Interval>,
    /// The champion's.
    pub champion: Option<f64>,
}

impl TimeDecay {
    /// Returns the window in which the metric is least.
    pub fn worst(&self) -> Option<&TestWindow> {
        let scored = self.windows.iter().filter(|window| window.score.is_some());
        scored.min_by(|a, b| {
            a.score
                .unwrap_or_default()
                .total_cmp(&b.score.unwrap_or_default())
        })
    }

    /// Says how the metric goes over time.
    pub fn tell(&self) -> String {
        let (metric, window) = (&self.metric, &self.window);
        let Some(worst) = self.worst() else {
            return format!("no window of {window} has enough rows to judge by");
        };
        let windows = self.windows.iter().filter(|window| window.score.is_some());
        let windows = counted(windows.count(), "window");
        let mut told = format!(
            "in {windows} of {window} {metric} is least from {} on: {:.4}",
            worst.from,
            worst.score.unwrap_or_default()
        );
        told += &tell_interval(worst.interval);
        if let Some(area) = self.area_under_time {
            told += &format!("; over time {area:.4}");
        }
        if let (Some(change), Some([low, high])) = (self.change, self.change_interval) {
            told += &format!(", changing by {change:+.4} a window (95 % {low:+.4} to {high:+.4})");
        }
        match (self.half_life, self.half_life_interval) {
            (Some(half), Some((low, Some(high)))) => {
                told + &format!(
                    ", which is half of it after {half:.1} windows ({low:.1} to {high:.1})"
                )
            }
            (Some(half), Some((low, None))) => {
                told + &format!(
                    ", which may be half of it after {half:.1} windows ({low:.1} or more, or never)"
                )
            }
            _ => told,
        }
    }
}
