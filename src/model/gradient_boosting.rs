//! Gradient boosting.

use crate::model::error::{ModelError, wrong_arity};
use crate::model::hyper::{Hyperparameter, HyperparameterRange};
use crate::model::learner::{FitTask, LearnerOf};
use crate::model::tree_learner::{
    BALANCED, LEARNING_RATE, counts, max_depth, min_leaf, rules, trees,
};
use crate::trees::boost::{BoostingSettings, boost};
use crate::trees::ensemble::TreeEnsemble;
use crate::trees::splits::TreeRules;

/// The learner of gradient boosting.
pub const GRADIENT_BOOSTING: LearnerOf<TreeEnsemble> = LearnerOf {
    name: "gradient_boosting",
    doc: "Gradient boosting of trees grown best leaf first, for the logistic loss.",
    hypers: &[
        trees(100.0, "How many trees are added."),
        LEARNING_RATE,
        Hyperparameter {
            name: "leaves",
            range: HyperparameterRange::Whole(2.0, 1e5),
            default: 31.0,
            doc: "The most leaves of a tree.",
        },
        max_depth(1000.0),
        min_leaf(20.0),
        Hyperparameter {
            name: "subsample",
            range: HyperparameterRange::Number(0.001, 1.0),
            default: 1.0,
            doc: "The share of rows that every tree is grown from.",
        },
        Hyperparameter {
            name: "colsample",
            range: HyperparameterRange::Number(0.001, 1.0),
            default: 1.0,
            doc: "The share of features that every tree may use.",
        },
        Hyperparameter {
            name: "l2",
            range: HyperparameterRange::Number(0.0, 1e6),
            default: 0.0,
            doc: "The penalty of leaf values.",
        },
        Hyperparameter {
            name: "min_gain",
            range: HyperparameterRange::Number(0.0, 1e6),
            default: 0.0,
            doc: "What a split has to gain.",
        },
        BALANCED,
        Hyperparameter {
            name: "patience",
            range: HyperparameterRange::Whole(0.0, 1e4),
            default: 0.0,
            doc: "After so many trees in a row that do not lessen the loss on a tenth of the different rows, which is held \
                  out for this, no more are added; 0: never.",
        },
    ],
    size: Some(0),
    missing: true,
    monotone: true,
    fit: gradient_boosting,
};

/// The least sum of hessians of a boosted leaf, so that no Newton step explodes (LightGBM's
/// default).
const LEAST_H: f64 = 1e-3;

/// What rounding alone may seem to gain.
const GAIN: f64 = 1e-10;

fn gradient_boosting(task: &FitTask<'_>) -> Result<TreeEnsemble, ModelError> {
    let [
        trees,
        learning_rate,
        leaves,
        max_depth,
        min_leaf,
        subsample,
        colsample,
        l2,
        min_gain,
        balanced,
        patience,
    ] = *task.setting
    else {
        return Err(wrong_arity());
    };
    let rules = TreeRules {
        max_depth: max_depth as usize,
        max_leaves: leaves as usize,
        min_leaf,
        min_gain: min_gain.max(GAIN),
        l2,
        least_h: LEAST_H,
        ..rules(task, [0.0; 4])
    };
    let patience = patience as usize;
    let boosting = BoostingSettings {
        rounds: trees as usize,
        learning_rate,
        subsample,
        colsample,
        patience,
        rules,
    };
    let counts = counts(task, balanced == 1.0);
    Ok(boost(task.data.bins(), &counts, &boosting, task.seed))
}
