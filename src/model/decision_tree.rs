//! A single decision tree.

use crate::model::error::ModelError;
use crate::model::hyper::{CLASS_WEIGHT, ClassWeight, hypers};
use crate::model::learner::{FitTask, LearnerOf};
use crate::model::tree_learner::{
    CRITERION, FeatureShare, GrowthHypers, ImpurityMeasure, grow_forest, max_depth, max_features,
    members, min_leaf, rules,
};
use crate::trees::class_ensemble::ClassEnsemble;
use crate::trees::ensemble::TreeEnsemble;
use crate::trees::forest::{ForestSettings, fit_classes as fit_forest};

hypers! {
    /// Hyperparameters of a single tree.
    struct TreeHypers {
        criterion: ImpurityMeasure = CRITERION;
        max_depth: usize = max_depth(1000.0);
        min_leaf: usize = min_leaf(1.0);
        max_features: FeatureShare = max_features(0.0);
        class_weight: ClassWeight = CLASS_WEIGHT;
    }
}

/// The learner of a single tree.
pub const DECISION_TREE: LearnerOf<TreeEnsemble> = LearnerOf {
    name: "decision_tree",
    doc: "A single decision tree.",
    hypers: TreeHypers::LIST,
    size: None,
    missing: true,
    categories: true,
    monotone: true,
    weights: true,
    is_novelty: false,
    fit: decision_tree,
};

fn settings(task: &FitTask<'_>, hypers: &TreeHypers) -> ForestSettings {
    let growth = GrowthHypers {
        criterion: hypers.criterion,
        max_depth: hypers.max_depth,
        min_leaf: hypers.min_leaf,
        max_features: hypers.max_features,
    };
    ForestSettings {
        trees: 1,
        resampled: false,
        rules: rules(task, growth),
    }
}

fn decision_tree(task: &FitTask<'_>) -> Result<TreeEnsemble, ModelError> {
    let hypers = TreeHypers::of(task.setting);
    let forest = settings(task, &hypers);
    Ok(grow_forest(task, &forest, hypers.class_weight))
}

/// Fits a tree of several classes.
pub(crate) fn fit_classes(task: &FitTask<'_>) -> Result<ClassEnsemble, ModelError> {
    let hypers = TreeHypers::of(task.setting);
    let forest = settings(task, &hypers);
    let members = members(task, task.data.fine_bins(), hypers.class_weight);
    Ok(task.grow(|growth| fit_forest(task.data.fine_bins(), &members, &forest, growth)))
}
