//! Gaussian naive Bayes.
//!
//! It is our own because smartcore's tells an AUC of .50 on the tables of the tests and panics on
//! constant features.

use ndarray::{Array1, Array2, ArrayView2, Axis};
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
    monotone: false,
    fit,
};

/// Of each class, the logarithm of its share, and mean and variance of every feature. Of two the
/// first is benign, the other the attack. A class without rows has the share 0.
#[derive(Debug, Serialize, Deserialize)]
pub struct NaiveBayes {
    /// In the order of their numbers.
    pub classes: Vec<(f64, Vec<f64>, Vec<f64>)>,
}

fn variance(x: ArrayView2<'_, f64>) -> Array1<f64> {
    x.var_axis(Axis(0), 0.0)
}

fn fit(task: &FitTask<'_>) -> Result<NaiveBayes, ModelError> {
    let (x, labels) = (
        task.data.select(task.rows),
        task.data.labels.select(task.rows),
    );
    let y = labels.rows();
    let BayesHypers { smoothing } = BayesHypers::of(task.setting);
    let added = smoothing * variance(x.view()).iter().copied().fold(0.0, f64::max);
    let class = |class: u16| {
        let rows: Vec<usize> = (0..y.len()).filter(|row| y[*row] == class).collect();
        if rows.is_empty() {
            let width = x.ncols();
            return (f64::NEG_INFINITY, vec![0.0; width], vec![1.0; width]);
        }
        let x = x.select(Axis(0), &rows);
        let means = x.mean_axis(Axis(0)).unwrap_or_default().to_vec();
        // A feature that is the same in all rows tells nothing, and does not divide by nothing.
        let variances = variance(x.view())
            .iter()
            .map(|variance| (variance + added).max(f64::MIN_POSITIVE))
            .collect();
        ((rows.len() as f64 / y.len() as f64).ln(), means, variances)
    };
    let classes = (0..labels.classes().count() as u16).map(class);
    Ok(NaiveBayes {
        classes: classes.collect(),
    })
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
        let density = |(share, means, variances): &(f64, Vec<f64>, Vec<f64>),
                       row: ndarray::ArrayView1<'_, f64>| {
            let cells = row.iter().zip(means.iter().zip(variances));
            let exponent: f64 = cells
                .map(|(cell, (mean, variance))| {
                    (cell - mean) * (cell - mean) / variance
                        + (2.0 * std::f64::consts::PI * variance).ln()
                })
                .sum();
            share - exponent / 2.0
        };
        let rows = x.rows().into_iter();
        if let [zero, one] = self.classes.as_slice() {
            let attack = rows.map(|row| logistic(density(one, row) - density(zero, row)));
            return Ok(ModelOutput::Attack(attack.collect()));
        }
        let mut p = Array2::zeros((x.nrows(), self.classes.len()));
        for (row, mut p) in rows.zip(p.rows_mut()) {
            for (p, class) in p.iter_mut().zip(&self.classes) {
                *p = density(class, row);
            }
            softmax(p.as_slice_mut().expect("it stands row by row"));
        }
        Ok(ModelOutput::Classes(p))
    }
}
