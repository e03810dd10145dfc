//! The learners made of trees, and their hyperparameters.

use ndarray::ArrayView2;

use crate::model::error::ModelError;
use crate::model::hyper::{Hyperparameter, HyperparameterRange};
use crate::model::learner::{FitTask, LearnerOf};
use crate::trees::boost::{BoostingSettings, adaboost, boost};
use crate::trees::ensemble::TreeEnsemble;
use crate::trees::forest::{ForestSettings, GroupCounts, fit};
use crate::trees::splits::{SplitCriterion, TreeRules};

const fn trees(default: f64, doc: &'static str) -> Hyperparameter {
    Hyperparameter {
        name: "trees",
        range: HyperparameterRange::Whole(1.0, 10_000.0),
        default,
        doc,
    }
}

const CRITERION: Hyperparameter = Hyperparameter {
    name: "criterion",
    range: HyperparameterRange::Words(&["gini", "entropy", "log_loss"]),
    default: 0.0,
    doc: "What a split lessens; `log_loss` is another word for `entropy`.",
};

const fn max_depth(default: f64) -> Hyperparameter {
    Hyperparameter {
        name: "max_depth",
        range: HyperparameterRange::Whole(1.0, 1000.0),
        default,
        doc: "The most splits from the root to a leaf.",
    }
}

const fn min_leaf(default: f64) -> Hyperparameter {
    Hyperparameter {
        name: "min_leaf",
        range: HyperparameterRange::Whole(1.0, 1e6),
        default,
        doc: "The fewest training rows in a leaf.",
    }
}

const fn max_features(default: f64) -> Hyperparameter {
    Hyperparameter {
        name: "max_features",
        range: HyperparameterRange::Words(&["all", "sqrt", "log2", "third"]),
        default,
        doc: "How many features are tried at a split.",
    }
}

const BALANCED: Hyperparameter = Hyperparameter {
    name: "class_weight",
    range: HyperparameterRange::Words(&["none", "balanced"]),
    default: 0.0,
    doc: "Whether both classes weigh the same, however many rows they have.",
};

const LEARNING_RATE: Hyperparameter = Hyperparameter {
    name: "learning_rate",
    range: HyperparameterRange::Number(1e-6, 10.0),
    default: 0.1,
    doc: "How far every tree goes.",
};

/// The learner of a single tree.
pub const DECISION_TREE: LearnerOf<TreeEnsemble> = LearnerOf {
    name: "decision_tree",
    doc: "A single decision tree.",
    hypers: &[
        CRITERION,
        max_depth(1000.0),
        min_leaf(1.0),
        max_features(0.0),
        BALANCED,
    ],
    size: None,
    missing: true,
    monotone: true,
    fit: decision_tree,
};

const FOREST: &[Hyperparameter] = &[
    trees(100.0, "How many trees vote."),
    CRITERION,
    max_depth(1000.0),
    min_leaf(1.0),
    max_features(1.0),
    BALANCED,
];

/// The learner of a random forest.
pub const RANDOM_FOREST: LearnerOf<TreeEnsemble> = LearnerOf {
    name: "random_forest",
    doc: "A random forest: trees of rows drawn with replacement, with features drawn at each split.",
    hypers: FOREST,
    size: Some(0),
    missing: true,
    monotone: true,
    fit: random_forest,
};

/// The learner of extremely randomised trees.
pub const EXTRA_TREES: LearnerOf<TreeEnsemble> = LearnerOf {
    name: "extra_trees",
    doc: "Extremely randomised trees: of every feature drawn at a split one random cut is tried.",
    hypers: FOREST,
    size: Some(0),
    missing: true,
    monotone: true,
    fit: extra_trees,
};

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

/// The learner of AdaBoost.
pub const ADABOOST: LearnerOf<TreeEnsemble> = LearnerOf {
    name: "adaboost",
    doc: "AdaBoost (SAMME) of small trees.",
    hypers: &[
        trees(50.0, "The most trees that vote."),
        Hyperparameter {
            default: 1.0,
            ..LEARNING_RATE
        },
        max_depth(1.0),
    ],
    size: Some(0),
    missing: true,
    monotone: false,
    fit: ada,
};

fn counts(task: &FitTask<'_>, balanced: bool) -> GroupCounts {
    let ones = task
        .rows
        .iter()
        .filter(|row| task.data.y[**row as usize] == 1.0)
        .count() as f64;
    let (all, zeros) = (task.rows.len() as f64, task.rows.len() as f64 - ones);
    let weight = if balanced {
        [all / (2.0 * zeros), all / (2.0 * ones)]
    } else {
        [1.0, 1.0]
    };
    GroupCounts::of(task.data.bins(), &task.data.y, task.rows, weight)
}

/// Rules of trees that are not boosted, from their hyperparameters in the order of the lists.
fn rules(
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

/// The least sum of hessians of a boosted leaf, so that no Newton step explodes (LightGBM's
/// default).
const LEAST_H: f64 = 1e-3;

/// What rounding alone may seem to gain.
const GAIN: f64 = 1e-10;

fn decision_tree(task: &FitTask<'_>) -> Result<TreeEnsemble, ModelError> {
    let [criterion, max_depth, min_leaf, max_features, balanced] = *task.setting else {
        return Err(odd());
    };
    let rules = rules(task, [criterion, max_depth, min_leaf, max_features]);
    let forest = ForestSettings {
        trees: 1,
        resampled: false,
        rules,
    };
    Ok(fit(
        task.data.bins(),
        &counts(task, balanced == 1.0),
        &forest,
        task.seed,
    ))
}

fn forest(task: &FitTask<'_>, is_random: bool) -> Result<TreeEnsemble, ModelError> {
    let [
        trees,
        criterion,
        max_depth,
        min_leaf,
        max_features,
        balanced,
    ] = *task.setting
    else {
        return Err(odd());
    };
    let rules = TreeRules {
        random_cuts: !is_random,
        ..rules(task, [criterion, max_depth, min_leaf, max_features])
    };
    let forest = ForestSettings {
        trees: trees as usize,
        resampled: is_random,
        rules,
    };
    Ok(fit(
        task.data.bins(),
        &counts(task, balanced == 1.0),
        &forest,
        task.seed,
    ))
}

fn random_forest(task: &FitTask<'_>) -> Result<TreeEnsemble, ModelError> {
    forest(task, true)
}

fn extra_trees(task: &FitTask<'_>) -> Result<TreeEnsemble, ModelError> {
    forest(task, false)
}

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
        return Err(odd());
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

fn ada(task: &FitTask<'_>) -> Result<TreeEnsemble, ModelError> {
    let [trees, learning_rate, max_depth] = *task.setting else {
        return Err(odd());
    };
    let rules = rules(task, [0.0, max_depth, 1.0, 0.0]);
    let rules = TreeRules {
        min_gain: 0.0,
        directions: Vec::new(),
        ..rules
    };
    Ok(adaboost(
        task.data.bins(),
        &counts(task, false),
        trees as usize,
        learning_rate,
        &rules,
    ))
}

fn odd() -> ModelError {
    ModelError("wrong number of hyperparameters: this is a fault in netsec".to_owned())
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
