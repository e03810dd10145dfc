//! Gradient boosting.

use crate::model::data::HeldOutRows;
use crate::model::error::ModelError;
use crate::model::hyper::{CLASS_WEIGHT, ClassWeight, HyperparameterRange, hyper, hypers};
use crate::model::learner::{FitTask, LearnerOf};
use crate::model::tree_learner::{
    GrowthHypers, LEARNING_RATE, counts, max_depth, members, min_leaf, rules, trees,
};
use crate::trees::boost::{BoostingSettings, boost};
use crate::trees::boost_classes::boost_classes;
use crate::trees::categories::CategoryRules;
use crate::trees::class_ensemble::ClassEnsemble;
use crate::trees::ensemble::TreeEnsemble;
use crate::trees::held_out::HeldOut;
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
            "After so many trees in a row that do not lessen the loss on rows that are held out for this, no more are \
             added; 0: never. Held out are a tenth of the different rows, of the groups with `fold_by: group`, of the latest rows \
             with `fold_by: time`; none where `train` has the input `validation`.",
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
        cat_smooth: f64 = hyper(
            HyperparameterRange::Number(0.0, 1e6),
            10.0,
            "How far the mean gradients of categories of few rows are drawn to 0 when categories are put in order; those of \
             fewer rows than this are not split off.",
        );
        cat_l2: f64 = hyper(
            HyperparameterRange::Number(0.0, 1e6),
            10.0,
            "What is added to `l2` where a split parts more than four categories.",
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
    categories: true,
    monotone: true,
    weights: true,
    is_novelty: false,
    fit: gradient_boosting,
};

/// What rounding alone may seem to gain.
const GAIN: f64 = 1e-10;

/// The most categories of a set, and by how many rows sets grow at least: LightGBM's.
const CATEGORIES: usize = 32;
const GROUP: f64 = 100.0;

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
        middle_cuts: false,
        categories: CategoryRules {
            smooth: hypers.cat_smooth,
            l2: hypers.cat_l2,
            most: CATEGORIES,
            group: GROUP,
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
    let (rows, apart) = early_stopping(task, &hypers);
    let task = &FitTask {
        rows: &rows,
        ..*task
    };
    let counts = counts(task, task.data.bins(), hypers.class_weight);
    let weigh = |class: u16| counts.weight[usize::from(class)];
    let apart = apart.map(|apart| apart.weighed(weigh));
    let bins = task.data.bins();
    Ok(task.grow(|growth| boost(bins, &counts, &boosting, apart.as_ref(), growth)))
}

/// Fits trees of several classes.
pub(crate) fn fit_classes(task: &FitTask<'_>) -> Result<ClassEnsemble, ModelError> {
    let hypers = BoostingHypers::of(task.setting);
    let boosting = settings(task, &hypers);
    let (rows, apart) = early_stopping(task, &hypers);
    let task = &FitTask {
        rows: &rows,
        ..*task
    };
    let members = members(task, task.data.bins(), hypers.class_weight);
    let weigh = |class: u16| members.row_weights()[usize::from(class)];
    let apart = apart.map(|apart| apart.weighed(weigh));
    let bins = task.data.bins();
    Ok(task.grow(|growth| boost_classes(bins, &members, &boosting, apart.as_ref(), growth)))
}

/// The share of rows that is held out.
const HELD: f64 = 0.1;

/// Returns the rows that trees are grown from, and those by which boosting sees when to stop: the
/// validation rows, or whole groups, or the latest rows. None where trees hold out like rows
/// themselves, or do not stop early; also where what is left would be of one class.
fn early_stopping(task: &FitTask<'_>, hypers: &BoostingHypers) -> (Vec<u32>, Option<HeldOutRows>) {
    let (data, all) = (task.data, task.rows.to_vec());
    if hypers.patience == 0 {
        return (all, None);
    }
    if let Some(validation) = &data.validation {
        return (all, Some(validation.clone()));
    }
    if data.hold_out_last.is_empty() {
        return (all, None);
    }
    let place = |row: &u32| data.hold_out_last[*row as usize];
    let mut places: Vec<f64> = all.iter().map(place).collect();
    places.sort_by(f64::total_cmp);
    let from = places[((places.len() as f64 * (1.0 - HELD)) as usize).min(places.len() - 1)];
    let (grown, held): (Vec<u32>, Vec<u32>) = all.iter().partition(|row| place(row) < from);
    let labels = data.labels.select(&grown);
    if labels.attacks() == 0 || labels.benign() == 0 {
        return (all, None);
    }
    let held = HeldOutRows {
        x: data.select(&held),
        labels: data.labels.select(&held),
        weights: data.weights_given(&held),
    };
    (grown, Some(held))
}

impl HeldOutRows {
    /// Returns them for trees, with what a row of each class weighs.
    fn weighed(self, weight: impl Fn(u16) -> f64) -> HeldOut {
        let counts = |row: usize| self.weights.get(row).copied().unwrap_or(1.0);
        let rows = self.labels.rows().iter().enumerate();
        HeldOut {
            rows: rows
                .map(|(row, class)| (*class, weight(*class) * counts(row)))
                .collect(),
            x: self.x,
        }
    }
}
