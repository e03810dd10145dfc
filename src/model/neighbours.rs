//! K nearest neighbours.
//!
//! It is our own because smartcore's takes twenty times as long on the tables of the tests, tells
//! nothing of several k at once, and cannot be written as ONNX, since its rows cannot be had.

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::model::error::ModelError;
use crate::model::hyper::{HyperparameterRange, hyper, hyper_words, hypers};
use crate::model::learner::{FitTask, LearnerOf};
use crate::prep::knn::{DonorWeights, NearestDonors};

hyper_words! {
    /// What the vote of a neighbour weighs.
    enum VoteWeights {
        /// As much as any other.
        Uniform = "uniform",
        /// One over its distance.
        Distance = "distance",
    }
}

hypers! {
    /// Hyperparameters of k nearest neighbours.
    struct NeighboursHypers {
        k: usize = hyper(HyperparameterRange::Whole(1.0, 1000.0), 5.0, "How many neighbours vote.");
        weights: VoteWeights = hyper(
            VoteWeights::RANGE,
            0.0,
            "Whether all votes weigh the same, or one over the distance; where some are at \
             none, those alone.",
        );
    }
}

/// The learner. The mean of the neighbours' labels is the probability.
pub const KNN: LearnerOf<NearestNeighbours> = LearnerOf {
    name: "knn",
    doc: "K nearest neighbours by Euclidean distance.",
    hypers: NeighboursHypers::LIST,
    size: Some(0),
    missing: false,
    monotone: false,
    fit,
};

/// Rows whose distances are measured at a time: their sums stay in the nearest cache.
const BLOCK: usize = 512;

/// Rows that are asked about at a time: a block is read from memory once for all of them.
const TOGETHER: usize = 16;

/// The training rows.
#[derive(Debug, Serialize, Deserialize)]
pub struct NearestNeighbours {
    /// How many neighbours vote.
    pub k: usize,
    /// Whether a vote weighs one over the distance.
    pub by_distance: bool,
    /// The features, a row a feature: those of one stand together.
    pub x: Array2<f64>,
    /// The classes.
    pub y: Vec<f64>,
}

fn fit(task: &FitTask<'_>) -> Result<NearestNeighbours, ModelError> {
    let y = task.data.labels.select(task.rows).targets();
    let x = task
        .data
        .select(task.rows)
        .reversed_axes()
        .as_standard_layout()
        .to_owned();
    let hypers = NeighboursHypers::of(task.setting);
    let k = hypers.k.min(y.len());
    Ok(NearestNeighbours {
        k,
        by_distance: hypers.weights == VoteWeights::Distance,
        x,
        y,
    })
}

impl NearestNeighbours {
    /// Returns how many features it asks for.
    pub fn features(&self) -> usize {
        self.x.nrows()
    }

    /// Returns what is wrong with it, if it was read from a file.
    pub fn fault(&self) -> Option<String> {
        let is_odd = self.y.is_empty()
            || self.x.ncols() != self.y.len()
            || self.k == 0
            || !self.x.is_standard_layout();
        is_odd.then(|| "nearest neighbours without rows".to_owned())
    }

    pub(crate) fn probabilities(&self, x: ArrayView2<'_, f64>) -> Result<Vec<f64>, ModelError> {
        if x.ncols() != self.features() {
            return Err(ModelError::OtherFeatures {
                found: x.ncols(),
                needed: self.features(),
            });
        }
        Ok(self.staged(x, &[self.k]).remove(0))
    }

    /// Returns the probability of class 1 for each row, by each of these numbers of neighbours.
    pub(crate) fn staged(&self, x: ArrayView2<'_, f64>, ks: &[usize]) -> Vec<Vec<f64>> {
        let most = ks.iter().copied().max().unwrap_or(1).min(self.y.len());
        let rows: Vec<_> = x.axis_iter(Axis(0)).collect();
        let some = |rows: &[ndarray::ArrayView1<'_, f64>]| -> Vec<Vec<f64>> {
            let mut nearest: Vec<NearestDonors> =
                rows.iter().map(|_| NearestDonors::new(most)).collect();
            let mut sums = [0.0; BLOCK];
            for from in (0..self.y.len()).step_by(BLOCK) {
                for (row, nearest) in rows.iter().zip(&mut nearest) {
                    let sums = &mut sums[..BLOCK.min(self.y.len() - from)];
                    self.measure(*row, from, sums);
                    let mut limit = nearest.limit();
                    for (at, &sum) in sums.iter().enumerate() {
                        // Also what is infinitely far, until there are enough.
                        if sum < limit || nearest.found.len() < most {
                            nearest.add(sum, from + at);
                            limit = nearest.limit();
                        }
                    }
                }
            }
            let votes = |nearest: &NearestDonors| {
                ks.iter()
                    .map(|k| self.vote(&nearest.found[..(*k).min(most)]))
                    .collect()
            };
            nearest.iter().map(votes).collect()
        };
        let told: Vec<Vec<f64>> = rows.par_chunks(TOGETHER).flat_map_iter(some).collect();
        (0..ks.len())
            .map(|at| told.iter().map(|row| row[at]).collect())
            .collect()
    }

    /// Sums the squared differences of a row to some of the training rows, feature by feature.
    fn measure(&self, row: ndarray::ArrayView1<'_, f64>, from: usize, sums: &mut [f64]) {
        sums.fill(0.0);
        for (cell, theirs) in row.iter().zip(self.x.axis_iter(Axis(0))) {
            let theirs = &theirs
                .to_slice()
                .expect("rows of a matrix in order are contiguous")[from..from + sums.len()];
            for (sum, other) in sums.iter_mut().zip(theirs) {
                *sum += (cell - other) * (cell - other);
            }
        }
    }

    fn vote(&self, nearest: &[(f64, usize)]) -> f64 {
        let weights = if self.by_distance {
            DonorWeights::Distance
        } else {
            DonorWeights::Uniform
        };
        weights.mean(nearest, |row| self.y[row])
    }
}
