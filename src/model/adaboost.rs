//! AdaBoost.

use crate::model::error::ModelError;
use crate::model::hyper::{ClassWeight, Hyperparameter, hypers};
use crate::model::learner::{FitTask, LearnerOf};
use crate::model::tree_learner::{GrowthHypers, LEARNING_RATE, counts, max_depth, rules, trees};
use crate::trees::boost::adaboost;
use crate::trees::ensemble::TreeEnsemble;
use crate::trees::splits::TreeRules;

hypers! {
    /// Hyperparameters of AdaBoost.
    struct AdaBoostHypers {
        trees: usize = trees(50.0, "The most trees that vote.");
        learning_rate: f64 = Hyperparameter { default: 1.0, ..LEARNING_RATE };
        max_depth: usize = max_depth(1.0);
    }
}

/// The learner of AdaBoost.
pub const ADABOOST: LearnerOf<TreeEnsemble> = LearnerOf {
    name: "adaboost",
    doc: "AdaBoost (SAMME) of small trees.",
    hypers: AdaBoostHypers::LIST,
    size: Some(0),
    missing: true,
    monotone: false,
    fit: ada,
};

fn ada(task: &FitTask<'_>) -> Result<TreeEnsemble, ModelError> {
    let hypers = AdaBoostHypers::of(task.setting);
    let growth = GrowthHypers {
        max_depth: hypers.max_depth,
        ..GrowthHypers::default()
    };
    let rules = TreeRules {
        min_gain: 0.0,
        directions: Vec::new(),
        ..rules(task, growth)
    };
    Ok(adaboost(
        task.data.bins(),
        &counts(task, ClassWeight::None),
        hypers.trees,
        hypers.learning_rate,
        &rules,
    ))
}
