//! K nearest neighbours.
//!
//! It is our own because smartcore's takes twenty times as long on the tables of the tests, tells
//! nothing of several k at once, and cannot be written as ONNX, since its rows cannot be had.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::model::error::ModelError;
use crate::model::hyper::{HyperparameterRange, hyper, hyper_words, hypers};
use crate::model::learner::{FitTask, LearnerOf};
use crate::model::output::ModelOutput;
use crate::prep::knn::DonorWeights;
use crate::stats::nearest::LaidOutRows;

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
    categories: false,
    monotone: false,
    weights: false,
    is_novelty: false,
    fit,
};

/// The training rows.
#[derive(Debug, Serialize, Deserialize)]
pub struct NearestNeighbours {
    /// How many neighbours vote.
    pub k: usize,
    /// Whether a vote weighs one over the distance.
    pub by_distance: bool,
    /// The features, a row a feature: those of one stand together.
    pub x: Array2<f64>,
    /// The classes: of two 1 for an attack, otherwise their numbers.
    pub y: Vec<f64>,
    /// How many classes there are. Files of two say nothing of it.
    #[serde(default = "two", skip_serializing_if = "is_two")]
    pub classes: usize,
    /// The rows as they are asked, once they were.
    #[serde(skip)]
    pub laid_out: LaidOutRows,
}

fn two() -> usize {
    2
}

fn is_two(classes: &usize) -> bool {
    *classes == 2
}

fn fit(task: &FitTask<'_>) -> Result<NearestNeighbours, ModelError> {
    let labels = task.data.labels.select(task.rows);
    let classes = labels.classes().count();
    let y: Vec<f64> = labels
        .rows()
        .iter()
        .map(|class| f64::from(*class))
        .collect();
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
        classes,
        laid_out: LaidOutRows::default(),
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
            || self.classes < 2
            || self
                .y
                .iter()
                .any(|class| !(0.0..self.classes as f64).contains(class))
            || !self.x.is_standard_layout();
        is_odd.then(|| "nearest neighbours without rows".to_owned())
    }

    pub(crate) fn told(&self, x: ArrayView2<'_, f64>) -> Result<ModelOutput, ModelError> {
        if x.ncols() != self.features() {
            return Err(ModelError::OtherFeatures {
                found: x.ncols(),
                needed: self.features(),
            });
        }
        Ok(self.staged(x, &[self.k]).remove(0))
    }

    /// Returns what is told of each row by each of these numbers of neighbours.
    pub(crate) fn staged(&self, x: ArrayView2<'_, f64>, ks: &[usize]) -> Vec<ModelOutput> {
        let most = ks.iter().copied().max().unwrap_or(1).min(self.y.len());
        let rows = self.laid_out.of(self.x.t());
        let told = rows.each(x, most, |_, nearest| -> Vec<Vec<f64>> {
            let vote = |k: &usize| self.vote(&nearest.found()[..(*k).min(most)]);
            ks.iter().map(vote).collect()
        });
        (0..ks.len())
            .map(|at| self.output(told.iter().flat_map(|row| &row[at]).copied().collect()))
            .collect()
    }

    /// Returns votes, those of a row side by side, as what is told.
    fn output(&self, votes: Vec<f64>) -> ModelOutput {
        if self.classes == 2 {
            return ModelOutput::Attack(votes);
        }
        let shape = (votes.len() / self.classes, self.classes);
        ModelOutput::Classes(Array2::from_shape_vec(shape, votes).expect("as many for each row"))
    }

    /// The share of the votes for the attack; of several classes for each.
    fn vote(&self, nearest: &[(f64, usize)]) -> Vec<f64> {
        let weights = if self.by_distance {
            DonorWeights::Distance
        } else {
            DonorWeights::Uniform
        };
        if self.classes == 2 {
            return vec![weights.mean(nearest, |row| self.y[row])];
        }
        let share = |class: usize| {
            weights.mean(nearest, |row| {
                f64::from(u8::from(self.y[row] == class as f64))
            })
        };
        (0..self.classes).map(share).collect()
    }
}
