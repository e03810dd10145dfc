//! Gaussian naive Bayes.
//!
//! It is our own because smartcore's tells an AUC of .50 on the tables of the tests and panics on
//! constant features.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::model::error::ModelError;
use crate::model::hyper::{HyperparameterRange, hyper, hypers};
use crate::model::learner::{FitTask, LearnerOf};
use crate::model::output::ModelOutput;
use crate::stats::logistic::logistic;
use crate::stats::softmax::softmax;

hypers! {
    /// Hyperparameters of naive Bayes.
    struct BayesHypers {
        smoothing: f64 = hyper(
            HyperparameterRange::Number(0.0, 1.0),
            1e-9,
            "The share of the largest variance of a feature that is added to all variances, as \
             in scikit-learn.",
        );
    }
}

/// The learner.
pub const NAIVE_BAYES: LearnerOf<NaiveBayes> = LearnerOf {
    name: "naive_bayes",
    doc: "Gaussian naive Bayes.",
    hypers: BayesHypers::LIST,
    size: None,
    missing: false,
    categories: false,
    monotone: false,
    weights: true,
    is_novelty: false,
    fit,
};

/// Of each class, the logarithm of its share, and mean and variance of every feature. Of two the
/// first is benign, the other the attack. A class without rows has the share 0.
#[derive(Debug, Serialize, Deserialize)]
pub struct NaiveBayes {
    /// In the order of their numbers.
    pub classes: Vec<(f64, Vec<f64>, Vec<f64>)>,
}

/// The rows of a class, and what they have in common.
struct ClassMoments {
    /// How much they count together.
    rows: f64,
    means: Vec<f64>,
    /// Mean squared differences to the means.
    variances: Vec<f64>,
}

impl ClassMoments {
    /// What sums are divided by: of a class without rows they stay 0.
    fn counted(&self) -> f64 {
        if self.rows > 0.0 { self.rows } else { 1.0 }
    }
}

/// Returns the moments of each class, from two passes over the rows.
fn moments(task: &FitTask<'_>) -> Vec<ClassMoments> {
    let (x, labels) = (&task.data.x, &task.data.labels);
    let none = || ClassMoments {
        rows: 0.0,
        means: vec![0.0; x.ncols()],
        variances: vec![0.0; x.ncols()],
    };
    let mut classes: Vec<ClassMoments> = labels.counts().iter().map(|_| none()).collect();
    for row in task.rows {
        let (row, weight) = (*row as usize, task.data.weight(*row));
        let class = &mut classes[usize::from(labels.class(row))];
        class.rows += weight;
        for (sum, cell) in class.means.iter_mut().zip(x.row(row)) {
            *sum += weight * cell;
        }
    }
    for class in &mut classes {
        let rows = class.counted();
        class.means.iter_mut().for_each(|sum| *sum /= rows);
    }
    for row in task.rows {
        let (row, weight) = (*row as usize, task.data.weight(*row));
        let class = &mut classes[usize::from(labels.class(row))];
        let cells = class.means.iter().zip(x.row(row));
        for (sum, (mean, cell)) in class.variances.iter_mut().zip(cells) {
            *sum += weight * (cell - mean) * (cell - mean);
        }
    }
    for class in &mut classes {
        let rows = class.counted();
        class.variances.iter_mut().for_each(|sum| *sum /= rows);
    }
    classes
}

/// Returns the largest variance of a feature over the rows of all classes.
fn largest_variance(classes: &[ClassMoments]) -> f64 {
    let rows: f64 = classes.iter().map(|class| class.rows).sum();
    let width = classes.first().map_or(0, |class| class.means.len());
    let variance = |feature: usize| {
        let part = |class: &ClassMoments| class.rows * class.means[feature];
        let mean = classes.iter().map(part).sum::<f64>() / rows;
        let part = |class: &ClassMoments| {
            let apart = class.means[feature] - mean;
            class.rows * (class.variances[feature] + apart * apart)
        };
        classes.iter().map(part).sum::<f64>() / rows
    };
    (0..width).map(variance).fold(0.0, f64::max)
}

fn fit(task: &FitTask<'_>) -> Result<NaiveBayes, ModelError> {
    let BayesHypers { smoothing } = BayesHypers::of(task.setting);
    let classes = moments(task);
    let added = smoothing * largest_variance(&classes);
    let rows: f64 = classes.iter().map(|class| class.rows).sum();
    let class = |class: ClassMoments| {
        if class.rows == 0.0 {
            let width = class.means.len();
            return (f64::NEG_INFINITY, vec![0.0; width], vec![1.0; width]);
        }
        // A feature that is the same in all rows tells nothing, and does not divide by nothing.
        let variances = class.variances.iter();
        let variances = variances.map(|variance| (variance + added).max(f64::MIN_POSITIVE));
        ((class.rows / rows).ln(), class.means, variances.collect())
    };
    Ok(NaiveBayes {
        classes: classes.into_iter().map(class).collect(),
    })
}

/// Sums that are added to side by side.
const ABREAST: usize = 4;

/// A class as it is asked: the logarithm of its density where a row is at the means, the means, and
/// what differences are multiplied with.
struct ClassDensity<'a> {
    most: f64,
    means: &'a [f64],
    over_deviations: Vec<f64>,
}

impl<'a> ClassDensity<'a> {
    fn new((share, means, variances): &'a (f64, Vec<f64>, Vec<f64>)) -> Self {
        let logarithm = |variance: &f64| (2.0 * std::f64::consts::PI * variance).ln();
        let logarithms: f64 = variances.iter().map(logarithm).sum();
        Self {
            most: share - logarithms / 2.0,
            means,
            over_deviations: variances
                .iter()
                .map(|variance| 1.0 / variance.sqrt())
                .collect(),
        }
    }

    fn of(&self, row: &[f64]) -> f64 {
        let mut sums = [0.0; ABREAST];
        let parts = row.chunks(ABREAST).zip(self.means.chunks(ABREAST));
        for ((cells, means), over) in parts.zip(self.over_deviations.chunks(ABREAST)) {
            for (sum, ((cell, mean), over)) in
                sums.iter_mut().zip(cells.iter().zip(means).zip(over))
            {
                let apart = (cell - mean) * over;
                *sum += apart * apart;
            }
        }
        self.most - sums.iter().sum::<f64>() / 2.0
    }
}

impl NaiveBayes {
    /// Returns how many features it asks for; none if it is not as it should be.
    pub fn features(&self) -> Option<usize> {
        let width = self.classes.first()?.1.len();
        let is_whole = self.classes.len() >= 2
            && self
                .classes
                .iter()
                .all(|(_, means, variances)| means.len() == width && variances.len() == width);
        is_whole.then_some(width)
    }

    pub(crate) fn told(&self, x: ArrayView2<'_, f64>) -> Result<ModelOutput, ModelError> {
        let Some(width) = self.features() else {
            let why = "naive Bayes without two classes".to_owned();
            return Err(ModelError::NotStored(why));
        };
        if width != x.ncols() {
            return Err(ModelError::OtherFeatures {
                found: x.ncols(),
                needed: width,
            });
        }
        let densities: Vec<ClassDensity<'_>> = self.classes.iter().map(ClassDensity::new).collect();
        let x = x.as_standard_layout();
        let rows = x.rows().into_iter();
        let rows = rows.map(|row| row.to_slice().expect("it stands row by row"));
        if let [zero, one] = densities.as_slice() {
            let attack = rows.map(|row| logistic(one.of(row) - zero.of(row)));
            return Ok(ModelOutput::Attack(attack.collect()));
        }
        let mut p = Array2::zeros((x.nrows(), densities.len()));
        for (row, mut p) in rows.zip(p.rows_mut()) {
            for (p, class) in p.iter_mut().zip(&densities) {
                *p = class.of(row);
            }
            softmax(p.as_slice_mut().expect("it stands row by row"));
        }
        Ok(ModelOutput::Classes(p))
    }
}
