//! Figures of how well classes are told apart. A row is told to be of a class as
//! `Scores::told_classes` says: of one that raises an alarm the likeliest attack, of another the
//! likeliest of the other classes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::stored::infinite_if_null;
use crate::frame::labels::Labels;
use crate::model::scores::Scores;

/// Figures over all classes that some row is of, or is told to be of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassMetrics {
    /// The mean of the F1 of each class.
    pub macro_f1: f64,
    /// The mean of the F1 of each class, each counting as often as it has rows.
    pub weighted_f1: f64,
    /// The mean of the recall of each class that has rows.
    pub macro_recall: f64,
    /// The share of rows whose class is told rightly.
    pub class_accuracy: f64,
    /// The correlation of class and what is told (Gorodkin, 2004); 0 where it is not defined.
    pub class_mcc: f64,
    /// The mean of −ln of the probability given to the true class, clipped at 1e-15.
    #[serde(deserialize_with = "infinite_if_null")]
    #[schemars(with = "Option<f64>")]
    pub class_log_loss: f64,
}

impl ClassMetrics {
    /// The names of its figures.
    pub const NAMES: [&'static str; 6] = [
        "macro_f1",
        "weighted_f1",
        "macro_recall",
        "class_accuracy",
        "class_mcc",
        "class_log_loss",
    ];

    /// Returns a figure by its name.
    pub fn figure(&self, name: &str) -> Option<f64> {
        Some(match name {
            "macro_f1" => self.macro_f1,
            "weighted_f1" => self.weighted_f1,
            "macro_recall" => self.macro_recall,
            "class_accuracy" => self.class_accuracy,
            "class_mcc" => self.class_mcc,
            "class_log_loss" => self.class_log_loss,
            _ => return None,
        })
    }
}

/// The class of a row, and what is told of it.
#[derive(Clone, Copy, Debug)]
struct ClassRow {
    truth: u16,
    /// What it is told to be, if it raises an alarm.
    as_attack: u16,
    /// What it is told to be, if it does not.
    as_other: u16,
    /// −ln of the probability of the true class.
    loss: f64,
}

/// The classes of rows, in an order.
pub(crate) struct ClassRows {
    classes: usize,
    rows: Vec<ClassRow>,
}

impl ClassRows {
    /// Takes the rows in an order; none of a model that tells two classes apart.
    pub(crate) fn of(labels: &Labels, scores: &Scores, order: &[u32]) -> Option<Self> {
        let by_class = scores.by_class()?;
        let as_attack = scores.told_classes(f64::NEG_INFINITY);
        let as_other = scores.told_classes(f64::INFINITY);
        let row = |row: &u32| {
            let row = *row as usize;
            let truth = labels.class(row);
            let p = by_class[[row, usize::from(truth)]];
            ClassRow {
                truth,
                as_attack: as_attack[row],
                as_other: as_other[row],
                loss: -p.clamp(1e-15, 1.0).ln(),
            }
        };
        Some(Self {
            classes: by_class.ncols(),
            rows: order.iter().map(row).collect(),
        })
    }

    /// Computes the figures of rows that count as often as `weight` says of each by its place.
    pub(crate) fn metrics(
        &self,
        weight: impl Fn(usize) -> f64,
        is_alarm: impl Fn(usize) -> bool,
    ) -> ClassMetrics {
        let mut confusion = ClassConfusion::new(self.classes);
        let mut loss = 0.0;
        for (place, row) in self.rows.iter().enumerate() {
            let weight = weight(place);
            let told = match is_alarm(place) {
                true => row.as_attack,
                false => row.as_other,
            };
            confusion.add(row.truth, told, weight);
            loss += weight * row.loss;
        }
        ClassMetrics {
            class_log_loss: loss / confusion.rows().max(1.0),
            ..confusion.metrics()
        }
    }
}

/// How many rows of each class are told to be of each.
pub(crate) struct ClassConfusion {
    classes: usize,
    /// A row a class, a column what is told.
    counts: Vec<f64>,
}

impl ClassConfusion {
    pub(crate) fn new(classes: usize) -> Self {
        Self {
            classes,
            counts: vec![0.0; classes * classes],
        }
    }

    pub(crate) fn add(&mut self, truth: u16, told: u16, weight: f64) {
        self.counts[usize::from(truth) * self.classes + usize::from(told)] += weight;
    }

    /// Returns how many rows of a class are told to be of another.
    pub(crate) fn count(&self, truth: usize, told: usize) -> f64 {
        self.counts[truth * self.classes + told]
    }

    /// Returns the rows of a class, those that are told to be of it, and those of which both is so.
    pub(crate) fn of_class(&self, class: usize) -> [f64; 3] {
        let all = 0..self.classes;
        let are: f64 = all.clone().map(|told| self.count(class, told)).sum();
        let told: f64 = all.map(|truth| self.count(truth, class)).sum();
        [are, told, self.count(class, class)]
    }

    fn rows(&self) -> f64 {
        self.counts.iter().sum()
    }

    fn metrics(&self) -> ClassMetrics {
        let ratio = |part: f64, whole: f64| if whole == 0.0 { 0.0 } else { part / whole };
        let mut metrics = ClassMetrics::default();
        let (mut seen, mut with_rows) = (0.0, 0.0);
        // Sums for the correlation: of products of class and told, and of the squares of either.
        let (mut right, mut both, mut squares_are, mut squares_told) = (0.0, 0.0, 0.0, 0.0);
        for class in 0..self.classes {
            let [are, told, mine] = self.of_class(class);
            if are + told == 0.0 {
                continue;
            }
            let f1 = 2.0 * mine / (are + told);
            seen += 1.0;
            metrics.macro_f1 += f1;
            metrics.weighted_f1 += f1 * are;
            if are > 0.0 {
                with_rows += 1.0;
                metrics.macro_recall += mine / are;
            }
            right += mine;
            both += are * told;
            squares_are += are * are;
            squares_told += told * told;
        }
        let rows = self.rows();
        let spread = (rows * rows - squares_told) * (rows * rows - squares_are);
        ClassMetrics {
            macro_f1: ratio(metrics.macro_f1, seen),
            weighted_f1: ratio(metrics.weighted_f1, rows),
            macro_recall: ratio(metrics.macro_recall, with_rows),
            class_accuracy: ratio(right, rows),
            class_mcc: ratio(right * rows - both, spread.max(0.0).sqrt()),
            class_log_loss: 0.0,
        }
    }
}
