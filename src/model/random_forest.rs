//! Random forests and extremely randomised trees: the same forest, with rows drawn or cuts drawn.

use crate::model::error::ModelError;
use crate::model::hyper::{CLASS_WEIGHT, ClassWeight, hypers};
use crate::model::learner::{FitTask, LearnerOf};
use crate::model::tree_learner::{
    CRITERION, FeatureShare, GrowthHypers, ImpurityMeasure, grow_forest, max_depth, max_features,
    members, min_leaf, rules, trees,
};
use crate::trees::class_ensemble::ClassEnsemble;
use crate::trees::ensemble::TreeEnsemble;
use crate::trees::forest::{ForestSettings, fit_classes};
use crate::trees::splits::TreeRules;

hypers! {
    /// Hyperparameters of forests.
    struct ForestHypers {
        trees: usize = trees(100.0, "How many trees vote.");
        criterion: ImpurityMeasure = CRITERION;
        max_depth: usize = max_depth(1000.0);
        min_leaf: usize = min_leaf(1.0);
        max_features: FeatureShare = max_features(1.0);
        class_weight: ClassWeight = CLASS_WEIGHT;
    }
}

/// The learner of a random forest.
pub const RANDOM_FOREST: LearnerOf<TreeEnsemble> = LearnerOf {
    name: "random_forest",
    doc: "A random forest: trees of rows drawn with replacement, with features drawn at each split.",
    hypers: ForestHypers::LIST,
    size: Some(0),
    missing: true,
    categories: true,
    monotone: true,
    weights: true,
    is_novelty: false,
    fit: random_forest,
};

/// The learner of extremely randomised trees.
pub const EXTRA_TREES: LearnerOf<TreeEnsemble> = LearnerOf {
    name: "extra_trees",
    doc: "Extremely randomised trees: of every feature drawn at a split one random cut is tried.",
    hypers: ForestHypers::LIST,
    size: Some(0),
    missing: true,
    categories: true,
    monotone: true,
    weights: true,
    is_novelty: false,
    fit: extra_trees,
};

fn settings(task: &FitTask<'_>, hypers: &ForestHypers, is_random: bool) -> ForestSettings {
    let growth = GrowthHypers {
        criterion: hypers.criterion,
        max_depth: hypers.max_depth,
        min_leaf: hypers.min_leaf,
        max_features: hypers.max_features,
    };
    let rules = TreeRules {
        random_cuts: !is_random,
        ..rules(task, growth)
    };
    ForestSettings {
        trees: hypers.trees,
        resampled: is_random,
        rules,
    }
}

fn forest(task: &FitTask<'_>, is_random: bool) -> Result<TreeEnsemble, ModelError> {
    let hypers = ForestHypers::of(task.setting);
    let forest = settings(task, &hypers, is_random);
    Ok(grow_forest(task, &forest, hypers.class_weight))
}

fn random_forest(task: &FitTask<'_>) -> Result<TreeEnsemble, ModelError> {
    forest(task, true)
}

fn extra_trees(task: &FitTask<'_>) -> Result<TreeEnsemble, ModelError> {
    forest(task, false)
}

/// Fits a forest of several classes.
pub(crate) fn forest_classes(
    task: &FitTask<'_>,
    is_random: bool,
) -> Result<ClassEnsemble, ModelError> {
    let hypers = ForestHypers::of(task.setting);
    let forest = settings(task, &hypers, is_random);
    let members = members(task, task.data.fine_bins(), hypers.class_weight);
    Ok(task.grow(|growth| fit_classes(task.data.fine_bins(), &members, &forest, growth)))
}
