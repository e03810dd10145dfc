//! Random forests and extremely randomised trees: the same forest, with rows drawn or cuts drawn.

use crate::model::error::{ModelError, wrong_arity};
use crate::model::hyper::Hyperparameter;
use crate::model::learner::{FitTask, LearnerOf};
use crate::model::tree_learner::{
    BALANCED, CRITERION, counts, max_depth, max_features, min_leaf, rules, trees,
};
use crate::trees::ensemble::TreeEnsemble;
use crate::trees::forest::{ForestSettings, fit};
use crate::trees::splits::TreeRules;

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
        return Err(wrong_arity());
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
