//! AdaBoost.

use crate::model::error::{ModelError, wrong_arity};
use crate::model::hyper::Hyperparameter;
use crate::model::learner::{FitTask, LearnerOf};
use crate::model::tree_learner::{LEARNING_RATE, counts, max_depth, rules, trees};
use crate::trees::boost::adaboost;
use crate::trees::ensemble::TreeEnsemble;
use crate::trees::splits::TreeRules;

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

fn ada(task: &FitTask<'_>) -> Result<TreeEnsemble, ModelError> {
    let [trees, learning_rate, max_depth] = *task.setting else {
        return Err(wrong_arity());
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
