//! What figures on test rows mean in traffic: alerts a day, how many of them are attacks, and the
//! threshold that keeps to what analysts can look at.
//!
//! Test tables hold far more attacks than traffic does. Recall and false-positive rate do not
//! depend on that; alerts and precision follow from them and the share of attacks that is expected
//! (Axelsson, 2000: the base-rate fallacy). Their intervals take the exact ones of both rates, each
//! wide enough that they hold together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::stored::infinite_if_null;
use crate::frame::labels::Labels;
use crate::gate::rules::ExpectedTraffic;
use crate::model::intervals::Interval;
use crate::model::metrics::{ConfusionCounts, RankedRows};
use crate::model::scores::Scores;
use crate::stats::binomial::clopper_pearson;

/// Two intervals of this confidence hold together at least 95 times in 100 (Bonferroni).
const CONFIDENCE_OF_EACH: f64 = 0.975;

/// What a detector would do in the expected traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrafficOutlook {
    /// Rows a day.
    pub rows_per_day: f64,
    /// The share of them that are attacks.
    pub prevalence: f64,
    /// At the model's threshold.
    pub at_threshold: TrafficFigures,
    /// How many alerts a day can be looked at.
    pub analysts_per_day: Option<f64>,
    /// At the lowest threshold that keeps to that on the test rows, by which it is chosen, so that the
    /// true figures may be worse; none if every threshold raises more, or nothing was said of analysts.
    pub within_budget: Option<TrafficFigures>,
    /// How many benign test rows it takes to be sure of a budget of so few false alarms, if there
    /// are fewer.
    pub benign_rows_needed: Option<u64>,
}

/// Alerts in traffic from a threshold on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrafficFigures {
    /// The least probability that raises an alert.
    #[serde(deserialize_with = "infinite_if_null")]
    #[schemars(with = "Option<f64>")]
    pub threshold: f64,
    /// Of the attacks, the share that raise one.
    pub recall: f64,
    /// Of the benign rows, the share that raise one.
    pub false_positive_rate: f64,
    /// Alerts a day.
    pub alerts_per_day: f64,
    /// Between which values they lie with 95 % confidence.
    pub alerts_interval: Interval,
    /// Of the alerts, the share that are attacks; none if there is no alert.
    pub precision: Option<f64>,
    /// Between which values that lies with 95 % confidence.
    pub precision_interval: Interval,
}

impl ExpectedTraffic {
    /// Says what a model with these scores would do in it, at its threshold and within the budget.
    pub fn outlook(&self, labels: &Labels, scores: &Scores, threshold: f64) -> TrafficOutlook {
        let ranked = RankedRows::new(labels, scores);
        let counts = ranked.metrics(|_| 1.0, threshold).counts;
        let within_budget = self.analysts_per_day.and_then(|budget| {
            let points = ranked.alarms_by_threshold();
            let counted = points.map(|(threshold, attacks, benign)| {
                let at = ConfusionCounts {
                    true_positives: attacks as u64,
                    false_positives: benign as u64,
                    false_negatives: counts.attacks() - attacks as u64,
                    true_negatives: counts.benign() - benign as u64,
                };
                (threshold, at)
            });
            let alerts = |at: &ConfusionCounts| {
                let recall = share(at.true_positives, at.attacks());
                self.alerts(recall, share(at.false_positives, at.benign()))
            };
            // Intervals take long: those of the last threshold alone are asked for.
            let within = counted.take_while(|(_, at)| alerts(at) <= budget);
            let (threshold, at) = within.last()?;
            Some(self.figures(threshold, &at))
        });
        TrafficOutlook {
            rows_per_day: self.rows_per_day,
            prevalence: self.prevalence,
            at_threshold: self.figures(threshold, &counts),
            analysts_per_day: self.analysts_per_day,
            within_budget,
            benign_rows_needed: self.benign_rows_needed(counts.benign()),
        }
    }

    fn figures(&self, threshold: f64, counts: &ConfusionCounts) -> TrafficFigures {
        let found = counts.true_positives;
        let false_alarms = counts.false_positives;
        let recall = share(found, counts.attacks());
        let false_positive_rate = share(false_alarms, counts.benign());
        let [recall_low, recall_high] =
            clopper_pearson(found, counts.attacks(), CONFIDENCE_OF_EACH);
        let [fpr_low, fpr_high] =
            clopper_pearson(false_alarms, counts.benign(), CONFIDENCE_OF_EACH);
        TrafficFigures {
            threshold,
            recall,
            false_positive_rate,
            alerts_per_day: self.alerts(recall, false_positive_rate),
            alerts_interval: [
                self.alerts(recall_low, fpr_low),
                self.alerts(recall_high, fpr_high),
            ],
            precision: self.precision(recall, false_positive_rate),
            precision_interval: [
                self.precision(recall_low, fpr_high).unwrap_or(0.0),
                self.precision(recall_high, fpr_low).unwrap_or(1.0),
            ],
        }
    }

    /// Alerts a day.
    fn alerts(&self, recall: f64, false_positive_rate: f64) -> f64 {
        let attacks = self.prevalence * recall;
        let benign = (1.0 - self.prevalence) * false_positive_rate;
        self.rows_per_day * (attacks + benign)
    }

    /// The share of alerts that are attacks; none if there is no alert.
    fn precision(&self, recall: f64, false_positive_rate: f64) -> Option<f64> {
        let attacks = self.prevalence * recall;
        let benign = (1.0 - self.prevalence) * false_positive_rate;
        (attacks + benign > 0.0).then(|| attacks / (attacks + benign))
    }

    /// With no false alarm among n benign rows, the rate is below 1 − a^(1/n): solved for n, where
    /// that rate uses up the budget.
    fn benign_rows_needed(&self, benign: u64) -> Option<u64> {
        let budget = self.analysts_per_day?;
        let rate = budget / (self.rows_per_day * (1.0 - self.prevalence));
        if rate <= 0.0 || rate >= 1.0 {
            return None;
        }
        let tail = (1.0 - CONFIDENCE_OF_EACH) / 2.0;
        let needed = (tail.ln() / (-rate).ln_1p()).ceil();
        (needed > benign as f64).then_some(needed as u64)
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

impl TrafficOutlook {
    /// Returns the alerts a day at such rates.
    pub fn alerts(&self, recall: f64, false_positive_rate: f64) -> f64 {
        let traffic = ExpectedTraffic {
            rows_per_day: self.rows_per_day,
            prevalence: self.prevalence,
            analysts_per_day: self.analysts_per_day,
        };
        traffic.alerts(recall, false_positive_rate)
    }

    /// Says it in words.
    pub fn tell(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "in traffic of {} rows a day of which {} are attacks: {}",
            amount(self.rows_per_day),
            self.prevalence,
            self.at_threshold.tell()
        )];
        let Some(budget) = self.analysts_per_day else {
            return lines;
        };
        lines.push(match &self.within_budget {
            Some(figures) => format!(
                "within {} alerts a day from the threshold {:.4} on: recall {:.4}, {}",
                amount(budget),
                figures.threshold,
                figures.recall,
                figures.tell()
            ),
            None => format!("no threshold keeps to {} alerts a day", amount(budget)),
        });
        if let Some(needed) = self.benign_rows_needed {
            lines.push(format!(
                "to be sure of that budget takes at least {} benign test rows",
                amount(needed as f64)
            ));
        }
        lines
    }
}

impl TrafficFigures {
    fn tell(&self) -> String {
        let [low, high] = self.alerts_interval;
        let [precise_low, precise_high] = self.precision_interval;
        let alerts = format!(
            "{} alerts a day (95 % {} to {})",
            amount(self.alerts_per_day),
            amount(low),
            amount(high)
        );
        match self.precision {
            Some(precision) => format!(
                "{alerts}, {precision:.4} of them attacks (95 % {precise_low:.4} to {precise_high:.4})"
            ),
            None => format!("{alerts}, so that there is no precision to tell"),
        }
    }
}

/// A count as people read it: two digits of what is below ten, and thousands and millions by their
/// letters.
pub(crate) fn amount(count: f64) -> String {
    if count > 0.0 && count < 0.95 {
        let digits = (1.0 - count.log10().floor()) as usize;
        let text = format!("{count:.digits$}");
        return text.trim_end_matches('0').to_owned();
    }
    if count < 10.0 {
        return ((count * 10.0).round() / 10.0).to_string();
    }
    // What would round up to a thousand of a unit is told in the next.
    let scales = [(1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")];
    let scale = scales.iter().find(|(least, _, _)| count >= 0.99995 * least);
    match scale {
        Some((_, scale, unit)) => format!("{}{unit}", (count / scale * 10.0).round() / 10.0),
        None => count.round().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_and_precision_follow_from_the_base_rate() {
        let traffic = ExpectedTraffic {
            rows_per_day: 1e6,
            prevalence: 1e-3,
            analysts_per_day: Some(1000.0),
        };
        let labels = Labels::of_attacks((0..200).map(|row| row < 100));
        let scores = (0..200).map(|row| match row {
            0..90 => 0.9,
            100..102 => 0.8,
            _ => 0.1,
        });
        let scores = Scores::of_attack(scores.collect());
        let outlook = traffic.outlook(&labels, &scores, 0.5);
        let at = &outlook.at_threshold;
        assert!((at.alerts_per_day - (900.0 + 0.02 * 999_000.0)).abs() < 1e-6);
        assert!((at.precision.unwrap() - 900.0 / 20_880.0).abs() < 1e-12);
        // Without the two false alarms the attacks alone stay within the budget.
        let within = outlook.within_budget.as_ref().unwrap();
        assert_eq!((within.threshold, within.false_positive_rate), (0.9, 0.0));
        assert!(outlook.benign_rows_needed.unwrap() > 4000);
        assert_eq!(amount(14.4e6), "14.4M");
        assert_eq!(amount(20_880.0), "20.9k");
        assert_eq!(
            (amount(5e6), amount(999_960.0)),
            ("5M".to_owned(), "1M".to_owned())
        );
        assert_eq!(
            ["0", "0.5", "0.0012", "1", "2.5", "97"],
            [0.0, 0.5, 0.0012, 0.96, 2.5, 96.5]
                .map(amount)
                .each_ref()
                .map(String::as_str)
        );
    }
}
