//! A single decision tree.

use crate::model::error::{ModelError, wrong_arity};
use crate::model::learner::{FitTask, LearnerOf};
use crate::model::tree_learner::{
    BALANCED, CRITERION, counts, max_depth, max_features, min_leaf, rules,
};
use crate::trees::ensemble::TreeEnsemble;
use crate::trees::forest::{ForestSettings, fit};

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

fn decision_tree(task: &FitTask<'_>) -> Result<TreeEnsemble, ModelError> {
    let [criterion, max_depth, min_leaf, max_features, balanced] = *task.setting else {
        return Err(wrong_arity());
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
