//! Gradient boosting.

use crate::model::error::ModelError;
use crate::model::hyper::{CLASS_WEIGHT, ClassWeight, HyperparameterRange, hyper, hypers};
use crate::model::learner::{FitTask, LearnerOf};
use crate::model::tree_learner::{
    GrowthHypers, LEARNING_RATE, counts, max_depth, members, min_leaf, rules, trees,
};
use crate::trees::boost::{BoostingSettings, boost};
use crate::trees::boost_classes::boost_classes;
use crate::trees::class_ensemble::ClassEnsemble;
use crate::trees::ensemble::TreeEnsemble;
use crate::trees::splits::TreeRules;

hypers! {
    /// Hyperparameters of gradient boosting.
    struct BoostingHypers {
        trees: usize = trees(100.0, "How many trees are added.");
        learning_rate: f64 = LEARNING_RATE;
        leaves: usize = hyper(
            HyperparameterRange::Whole(2.0, 1e5),
            31.0,
            "The most leaves of a tree.",
        );
        max_depth: usize = max_depth(1000.0);
        min_leaf: usize = min_leaf(20.0);
        subsample: f64 = hyper(
            HyperparameterRange::Number(0.001, 1.0),
            1.0,
            "The share of rows that every tree is grown from.",
        );
        colsample: f64 = hyper(
            HyperparameterRange::Number(0.001, 1.0),
            1.0,
            "The share of features that every tree may use.",
        );
        l2: f64 = hyper(HyperparameterRange::Number(0.0, 1e6), 0.0, "The penalty of leaf values.");
        min_gain: f64 = hyper(
            HyperparameterRange::Number(0.0, 1e6),
            0.0,
            "What a split has to gain.",
        );
        class_weight: ClassWeight = CLASS_WEIGHT;
        patience: usize = hyper(
            HyperparameterRange::Whole(0.0, 1e4),
            0.0,
            "After so many trees in a row that do not lessen the loss on a tenth of the different rows, which is held \
             out for this, no more are added; 0: never.",
        );
        l1: f64 = hyper(
            HyperparameterRange::Number(0.0, 1e6),
            0.0,
            "The penalty of the sizes of leaf values.",
        );
        min_child_weight: f64 = hyper(
            HyperparameterRange::Number(0.0, 1e9),
            1e-3,
            "The least sum of hessians of a leaf's rows.",
        );
        max_step: f64 = hyper(
            HyperparameterRange::Number(0.0, 1e6),
            10.0,
            "How far from 0 the value of a leaf may be before it is multiplied with `learning_rate`; 0: as far as it comes \
             out. Where a class has a few rows, leaves would else go so far that no later tree brings them back.",
        );
    }
}

/// The learner of gradient boosting.
pub const GRADIENT_BOOSTING: LearnerOf<TreeEnsemble> = LearnerOf {
    name: "gradient_boosting",
    doc: "Gradient boosting of trees grown best leaf first, for the logistic loss; of several classes for that of the softmax.",
    hypers: BoostingHypers::LIST,
    size: Some(0),
    missing: true,
    monotone: true,
    fit: gradient_boosting,
};

/// What rounding alone may seem to gain.
const GAIN: f64 = 1e-10;

fn settings(task: &FitTask<'_>, hypers: &BoostingHypers) -> BoostingSettings {
    let rules = TreeRules {
        max_depth: hypers.max_depth,
        max_leaves: hypers.leaves,
        min_leaf: hypers.min_leaf as f64,
        min_gain: hypers.min_gain.max(GAIN),
        l2: hypers.l2,
        l1: hypers.l1,
        least_h: hypers.min_child_weight,
        max_step: match hypers.max_step > 0.0 {
            true => hypers.max_step,
            false => f64::INFINITY,
        },
        ..rules(task, GrowthHypers::default())
    };
    BoostingSettings {
        rounds: hypers.trees,
        learning_rate: hypers.learning_rate,
        subsample: hypers.subsample,
        colsample: hypers.colsample,
        patience: hypers.patience,
        rules,
    }
}

fn gradient_boosting(task: &FitTask<'_>) -> Result<TreeEnsemble, ModelError> {
    let hypers = BoostingHypers::of(task.setting);
    let boosting = settings(task, &hypers);
    let counts = counts(task, hypers.class_weight);
    Ok(boost(task.data.bins(), &counts, &boosting, task.seed))
}

/// Fits trees of several classes.
pub(crate) fn fit_classes(task: &FitTask<'_>) -> Result<ClassEnsemble, ModelError> {
    let hypers = BoostingHypers::of(task.setting);
    let boosting = settings(task, &hypers);
    let members = members(task, hypers.class_weight);
    Ok(boost_classes(
        task.data.bins(),
        &members,
        &boosting,
        task.seed,
    ))
}
