//! A single decision tree.

use crate::model::error::ModelError;
use crate::model::hyper::{CLASS_WEIGHT, ClassWeight, hypers};
use crate::model::learner::{FitTask, LearnerOf};
use crate::model::tree_learner::{
    CRITERION, FeatureShare, GrowthHypers, ImpurityMeasure, counts, max_depth, max_features,
    min_leaf, rules,
};
use crate::trees::ensemble::TreeEnsemble;
use crate::trees::forest::{ForestSettings, fit};

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
    monotone: true,
    fit: decision_tree,
};

fn decision_tree(task: &FitTask<'_>) -> Result<TreeEnsemble, ModelError> {
    let hypers = TreeHypers::of(task.setting);
    let growth = GrowthHypers {
        criterion: hypers.criterion,
        max_depth: hypers.max_depth,
        min_leaf: hypers.min_leaf,
        max_features: hypers.max_features,
    };
    let forest = ForestSettings {
        trees: 1,
        resampled: false,
        rules: rules(task, growth),
    };
    let counts = counts(task, hypers.class_weight);
    Ok(fit(task.data.bins(), &counts, &forest, task.seed))
}
