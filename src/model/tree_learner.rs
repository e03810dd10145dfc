//! What learners made of trees share: hyperparameters, weights of rows, rules of growth; and the
//! probabilities of their models.

use ndarray::ArrayView2;

use crate::model::error::ModelError;
use crate::model::hyper::{Hyperparameter, HyperparameterRange};
use crate::model::learner::FitTask;
use crate::trees::ensemble::TreeEnsemble;
use crate::trees::forest::GroupCounts;
use crate::trees::splits::{SplitCriterion, TreeRules};

pub(crate) const fn trees(default: f64, doc: &'static str) -> Hyperparameter {
    Hyperparameter {
        name: "trees",
        range: HyperparameterRange::Whole(1.0, 10_000.0),
        default,
        doc,
    }
}

pub(crate) const CRITERION: Hyperparameter = Hyperparameter {
    name: "criterion",
    range: HyperparameterRange::Words(&["gini", "entropy", "log_loss"]),
    default: 0.0,
    doc: "What a split lessens; `log_loss` is another word for `entropy`.",
};

pub(crate) const fn max_depth(default: f64) -> Hyperparameter {
    Hyperparameter {
        name: "max_depth",
        range: HyperparameterRange::Whole(1.0, 1000.0),
        default,
        doc: "The most splits from the root to a leaf.",
    }
}

pub(crate) const fn min_leaf(default: f64) -> Hyperparameter {
    Hyperparameter {
        name: "min_leaf",
        range: HyperparameterRange::Whole(1.0, 1e6),
        default,
        doc: "The fewest training rows in a leaf.",
    }
}

pub(crate) const fn max_features(default: f64) -> Hyperparameter {
    Hyperparameter {
        name: "max_features",
        range: HyperparameterRange::Words(&["all", "sqrt", "log2", "third"]),
        default,
        doc: "How many features are tried at a split.",
    }
}

pub(crate) const BALANCED: Hyperparameter = Hyperparameter {
    name: "class_weight",
    range: HyperparameterRange::Words(&["none", "balanced"]),
    default: 0.0,
    doc: "Whether both classes weigh the same, however many rows they have.",
};

pub(crate) const LEARNING_RATE: Hyperparameter = Hyperparameter {
    name: "learning_rate",
    range: HyperparameterRange::Number(1e-6, 10.0),
    default: 0.1,
    doc: "How far every tree goes.",
};

pub(crate) fn counts(task: &FitTask<'_>, balanced: bool) -> GroupCounts {
    let labels = &task.data.labels;
    let ones = task.rows.iter();
    let ones = ones.filter(|row| labels.is_attack(**row as usize)).count() as f64;
    let (all, zeros) = (task.rows.len() as f64, task.rows.len() as f64 - ones);
    let weight = if balanced {
        [all / (2.0 * zeros), all / (2.0 * ones)]
    } else {
        [1.0, 1.0]
    };
    GroupCounts::of(task.data.bins(), labels.rows(), task.rows, weight)
}

/// Rules of trees that are not boosted, from their hyperparameters in the order of the lists.
pub(crate) fn rules(
    task: &FitTask<'_>,
    [criterion, max_depth, min_leaf, max_features]: [f64; 4],
) -> TreeRules {
    let all = task.data.x.ncols();
    let features = match max_features as usize {
        1 => all.isqrt(),
        2 => all.ilog2() as usize,
        3 => all / 3,
        _ => all,
    };
    TreeRules {
        criterion: if criterion == 0.0 {
            SplitCriterion::Squares
        } else {
            SplitCriterion::Entropy
        },
        max_depth: max_depth as usize,
        max_leaves: usize::MAX,
        min_leaf,
        // A split that gains nothing by itself may lead to some that do.
        min_gain: f64::NEG_INFINITY,
        l2: 0.0,
        least_h: 0.0,
        features: features.max(1),
        random_cuts: false,
        directions: task.data.directions.clone(),
    }
}

impl TreeEnsemble {
    /// Returns the probability of class 1 for each row.
    ///
    /// # Errors
    /// There are fewer features than in training; it was read from a file that is odd.
    pub fn probabilities(&self, x: ArrayView2<'_, f64>) -> Result<Vec<f64>, ModelError> {
        if x.ncols() != self.features {
            return Err(ModelError(format!(
                "{} features instead of {}",
                x.ncols(),
                self.features
            )));
        }
        match self.fault() {
            Some(fault) => Err(ModelError(fault)),
            None => Ok(self.of_rows(x)),
        }
    }
}
