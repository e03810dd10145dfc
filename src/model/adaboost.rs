//! AdaBoost.

use crate::model::error::ModelError;
use crate::model::hyper::{ClassWeight, Hyperparameter, hypers};
use crate::model::learner::{FitTask, LearnerOf};
use crate::model::tree_learner::{
    GrowthHypers, LEARNING_RATE, counts, max_depth, members, rules, trees,
};
use crate::trees::boost::adaboost;
use crate::trees::boost_classes::adaboost_classes;
use crate::trees::class_ensemble::ClassEnsemble;
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
    categories: true,
    monotone: false,
    weights: true,
    is_novelty: false,
    fit: ada,
};

fn tree_rules(task: &FitTask<'_>, hypers: &AdaBoostHypers) -> TreeRules {
    let growth = GrowthHypers {
        max_depth: hypers.max_depth,
        ..GrowthHypers::default()
    };
    TreeRules {
        min_gain: 0.0,
        directions: Vec::new(),
        ..rules(task, growth)
    }
}

fn ada(task: &FitTask<'_>) -> Result<TreeEnsemble, ModelError> {
    let hypers = AdaBoostHypers::of(task.setting);
    let rules = TreeRules {
        middle_cuts: false,
        ..tree_rules(task, &hypers)
    };
    let counts = counts(task, task.data.bins(), ClassWeight::None);
    let (trees, rate) = (hypers.trees, hypers.learning_rate);
    Ok(task.grow(|growth| adaboost(task.data.bins(), &counts, trees, rate, &rules, growth)))
}

/// Fits trees of several classes.
pub(crate) fn fit_classes(task: &FitTask<'_>) -> Result<ClassEnsemble, ModelError> {
    let hypers = AdaBoostHypers::of(task.setting);
    let rules = tree_rules(task, &hypers);
    let members = members(task, task.data.fine_bins(), ClassWeight::None);
    let (trees, rate) = (hypers.trees, hypers.learning_rate);
    Ok(task.grow(|growth| {
        adaboost_classes(task.data.fine_bins(), &members, trees, rate, &rules, growth)
    }))
}
