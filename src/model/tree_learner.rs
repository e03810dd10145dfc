//! What learners made of trees share: hyperparameters, weights of rows, rules of growth; and the
//! probabilities of their models.

use ndarray::{Array2, ArrayView2};

use crate::model::error::ModelError;
use crate::model::hyper::{ClassWeight, Hyperparameter, HyperparameterRange, hyper, hyper_words};
use crate::model::learner::FitTask;
use crate::trees::bin_code::BinCode;
use crate::trees::bins::BinnedRows;
use crate::trees::categories::CategoryRules;
use crate::trees::class_ensemble::ClassEnsemble;
use crate::trees::class_members::ClassMembers;
use crate::trees::ensemble::TreeEnsemble;
use crate::trees::forest::{ForestSettings, GroupCounts, fit, fit_counting};
use crate::trees::splits::{SplitCriterion, TreeRules};

pub(crate) const fn trees(default: f64, doc: &'static str) -> Hyperparameter {
    hyper(HyperparameterRange::Whole(1.0, 10_000.0), default, doc)
}

hyper_words! {
    /// What a split lessens.
    enum ImpurityMeasure {
        /// Gini's index.
        Gini = "gini",
        /// The entropy.
        Entropy = "entropy",
        /// The same by another word.
        LogLoss = "log_loss",
    }
}

hyper_words! {
    /// How many features are tried at a split.
    enum FeatureShare {
        /// All of them.
        All = "all",
        /// The square root of their number.
        Root = "sqrt",
        /// The logarithm to base 2.
        Logarithm = "log2",
        /// A third of them.
        Third = "third",
    }
}

impl FeatureShare {
    /// Returns how many of so many features that is, one at least.
    fn of(self, all: usize) -> usize {
        let count = match self {
            Self::All => all,
            Self::Root => all.isqrt(),
            Self::Logarithm => all.ilog2() as usize,
            Self::Third => all / 3,
        };
        count.max(1)
    }
}

pub(crate) const CRITERION: Hyperparameter = hyper(
    ImpurityMeasure::RANGE,
    0.0,
    "What a split lessens; `log_loss` is another word for `entropy`.",
);

pub(crate) const fn max_depth(default: f64) -> Hyperparameter {
    hyper(
        HyperparameterRange::Whole(1.0, 1000.0),
        default,
        "The most splits from the root to a leaf.",
    )
}

pub(crate) const fn min_leaf(default: f64) -> Hyperparameter {
    hyper(
        HyperparameterRange::Whole(1.0, 1e6),
        default,
        "The fewest training rows in a leaf.",
    )
}

pub(crate) const fn max_features(default: f64) -> Hyperparameter {
    hyper(
        FeatureShare::RANGE,
        default,
        "How many features are tried at a split.",
    )
}

pub(crate) const LEARNING_RATE: Hyperparameter = hyper(
    HyperparameterRange::Number(1e-6, 10.0),
    0.1,
    "How far every tree goes.",
);

pub(crate) fn counts<C: BinCode>(
    task: &FitTask<'_>,
    bins: &BinnedRows<C>,
    weight: ClassWeight,
) -> GroupCounts {
    let labels = &task.data.labels;
    let ones = task.rows.iter();
    let ones = ones.filter(|row| labels.is_attack(**row as usize)).count() as f64;
    let (all, zeros) = (task.rows.len() as f64, task.rows.len() as f64 - ones);
    let weight = match weight {
        ClassWeight::Balanced => [all / (2.0 * zeros), all / (2.0 * ones)],
        ClassWeight::Attack(weight) => [1.0, weight],
        ClassWeight::None => [1.0, 1.0],
    };
    let counting = task.data.weights_given(task.rows);
    GroupCounts::of(bins, labels.rows(), task.rows, weight).counting(
        bins,
        labels.rows(),
        task.rows,
        &counting,
    )
}

/// Rows of several classes as trees are grown from them.
pub(crate) fn members<C: BinCode>(
    task: &FitTask<'_>,
    bins: &BinnedRows<C>,
    weight: ClassWeight,
) -> ClassMembers {
    let labels = &task.data.labels;
    let mut counts = vec![0.0; labels.classes().count()];
    for row in task.rows {
        counts[usize::from(labels.class(*row as usize))] += 1.0;
    }
    let present = counts.iter().filter(|count| **count > 0.0).count() as f64;
    let all = task.rows.len() as f64;
    let weigh = |(count, is_attack): (&f64, &bool)| match weight {
        ClassWeight::Balanced if *count > 0.0 => all / (present * count),
        ClassWeight::Attack(weight) if *is_attack => weight,
        _ => 1.0,
    };
    let attacks = labels.classes().attacks();
    let weights = counts.iter().zip(attacks).map(weigh).collect();
    let counting = task.data.weights_given(task.rows);
    ClassMembers::of(bins, labels.rows(), task.rows, weights).counting(
        bins,
        labels.rows(),
        task.rows,
        &counting,
    )
}

/// Grows a forest of two classes.
pub(crate) fn grow_forest(
    task: &FitTask<'_>,
    forest: &ForestSettings,
    weight: ClassWeight,
) -> TreeEnsemble {
    let bins = task.data.fine_bins();
    // Rows that are drawn as often as they count are whole rows.
    if task.data.weights.is_empty() || forest.resampled {
        let counts = counts(task, bins, weight);
        return task.grow(|growth| fit(bins, &counts, forest, growth));
    }
    let members = members(task, bins, weight);
    task.grow(|growth| fit_counting(bins, &members, forest, growth))
}

/// How trees are grown, whatever they are grown for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GrowthHypers {
    pub(crate) criterion: ImpurityMeasure,
    pub(crate) max_depth: usize,
    pub(crate) min_leaf: usize,
    pub(crate) max_features: FeatureShare,
}

impl Default for GrowthHypers {
    fn default() -> Self {
        Self {
            criterion: ImpurityMeasure::Gini,
            max_depth: usize::MAX,
            min_leaf: 1,
            max_features: FeatureShare::All,
        }
    }
}

/// Rules of trees that are not boosted.
pub(crate) fn rules(task: &FitTask<'_>, growth: GrowthHypers) -> TreeRules {
    TreeRules {
        criterion: match growth.criterion {
            ImpurityMeasure::Gini => SplitCriterion::Squares,
            ImpurityMeasure::Entropy | ImpurityMeasure::LogLoss => SplitCriterion::Entropy,
        },
        max_depth: growth.max_depth,
        max_leaves: usize::MAX,
        min_leaf: growth.min_leaf as f64,
        // A split that gains nothing by itself may lead to some that do.
        min_gain: f64::NEG_INFINITY,
        l2: 0.0,
        l1: 0.0,
        max_step: f64::INFINITY,
        least_h: 0.0,
        features: growth.max_features.of(task.data.x.ncols()),
        random_cuts: false,
        middle_cuts: true,
        directions: task.data.directions.clone(),
        categories: CategoryRules::NONE,
    }
}

impl TreeEnsemble {
    /// Returns the probability of class 1 for each row.
    ///
    /// # Errors
    /// There are fewer features than in training.
    pub fn probabilities(&self, x: ArrayView2<'_, f64>) -> Result<Vec<f64>, ModelError> {
        if x.ncols() != self.features {
            return Err(ModelError::OtherFeatures {
                found: x.ncols(),
                needed: self.features,
            });
        }
        Ok(self.of_rows(x))
    }
}

impl ClassEnsemble {
    /// Returns the probability of each class for each row.
    ///
    /// # Errors
    /// There are fewer features than in training.
    pub(crate) fn probabilities(&self, x: ArrayView2<'_, f64>) -> Result<Array2<f64>, ModelError> {
        if x.ncols() != self.features {
            return Err(ModelError::OtherFeatures {
                found: x.ncols(),
                needed: self.features,
            });
        }
        Ok(self.of_rows(x))
    }
}
