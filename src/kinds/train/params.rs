//! Parameters of `train`.

use std::collections::BTreeMap;

use crate::model::calibrate::Calibrator;
use crate::model::hyper::HyperparameterValue;
use crate::model::learners::{Learner, NAMES, find};
use crate::model::metrics::CHOICES;
use crate::stage::declare::{ParamField, choices, params};
use crate::stage::param::{ParamType, Value};
use crate::tuning::composition::CombiningRule;
use crate::tuning::ensembles::EnsembleRequest;
use crate::tuning::selection::FitCalibrator;

params! {
    /// Parameters of `train`.
    pub(crate) struct TrainParams {
        /// What to try.
        candidates: Vec<CandidateParams> =
                "[{learner: logistic_regression, grid: {alpha: [0.1, 1, 10]}}, {learner: knn, grid: {k: [5, 15]}}, \
                 {learner: decision_tree, grid: {max_depth: [6, 12]}}, {learner: random_forest, grid: {trees: [50, 100]}}, \
                 {learner: extra_trees, grid: {trees: [50, 100]}}, {learner: gradient_boosting, grid: {trees: [50, 100]}}]";
        /// How settings are found.
        search: SearchParams = "{}";
        /// Folds of the cross-validation.
        folds: usize = "3", in ParamType::Int(2, 100);
        /// `content`: rows with equal features are in the same fold; `stratified`: so they are, and
        /// every fold has as many attacks as can be; `auto`: `stratified` where a class has fewer
        /// than 50 rows for each fold, otherwise `content`; `group`: rows with the same cell in
        /// `fold_column` are in the same fold; `time`: models are fitted to what was before the
        /// rows that they are asked about, by `fold_column`.
        fold_by: FoldBasis = "auto";
        /// The column of the input `rows` by which folds are made.
        fold_column: Option<String>;
        /// Features with which the probability of an attack may only rise, or only fall. Learners
        /// that cannot keep to this are refused; trees can, AdaBoost cannot.
        monotone: BTreeMap<String, MonotoneDirection> = "{}";
        /// Which trial is picked, judged by its calibrated probabilities and its threshold. If none
        /// fits, the stage fails and there is no model (exit code 6); the leaderboard is kept.
        select: SelectParams = "{}";
        /// How probabilities are corrected, by those that cross-validation told: by a line through
        /// the logarithm of the odds, or by steps that rise, for which a thousand rows or more are
        /// wanted and which make many rows alike.
        calibrate: CalibrationMethod = "none";
        /// The highest false-positive rate allowed: the threshold of the model is the lowest
        /// probability that keeps it in cross-validation, instead of 0.5.
        threshold_fpr: Option<f64>, in ParamType::Float(0.0, 1.0);
        /// Rows below the threshold that somebody should look at: those at or above the lowest
        /// threshold at which at most this share of the benign rows stands above it. More than
        /// `threshold_fpr`.
        review_fpr: Option<f64>, in ParamType::Float(0.0, 1.0);
        /// What mistakes cost: the threshold of the model is the one that costs least in
        /// cross-validation, at the share of attacks that traffic will have. Instead of
        /// `threshold_fpr`.
        cost: Option<CostParams>;
        /// Families of attacks that are left out of training in turn, to see what is found of one
        /// that was never seen: a column of the input `rows`, or `each_class` for the classes of
        /// `target_map`. The picked trial is carried out once more for each; in the leaderboard as
        /// `unseen_families`.
        leave_out: Option<String>;
        /// Trials of the search that are put together; each is a candidate for the pick like any
        /// trial.
        ensembles: Vec<EnsembleParams> = "[]";
        /// Shares of the training rows with which the picked trial is carried out again, to see
        /// whether more rows would help; in the leaderboard as `learning_curve`.
        learning_curve: Vec<f64> = "[]", in ParamType::List(&ParamType::Float(1e-6, 1.0));
    }
}

params! {
    /// A candidate.
    pub(crate) struct CandidateParams {
        /// The learner.
        learner: LearnerChoice = required;
        /// Values to try for each hyperparameter; every combination is one trial.
        /// logistic_regression: alpha. knn: k, weights. svm: c, kernel, gamma, class_weight.
        /// naive_bayes: smoothing. decision_tree: criterion, max_depth, min_leaf, max_features,
        /// class_weight. random_forest: trees, criterion, max_depth, min_leaf, max_features,
        /// class_weight. extra_trees: trees, criterion, max_depth, min_leaf, max_features,
        /// class_weight. gradient_boosting: trees, learning_rate, leaves, max_depth, min_leaf,
        /// subsample, colsample, l2, min_gain, class_weight, patience, l1,
        /// min_child_weight, cat_smooth, cat_l2, max_step. adaboost: trees,
        /// learning_rate, max_depth. Novelty detectors: isolation_forest: trees, sample, fit_on.
        /// knn_distance: k, fit_on. pca_reconstruction: explained, fit_on. mahalanobis: shrinkage,
        /// fit_on. hbos: bins, fit_on. ecod: fit_on. copod: fit_on.
        grid: BTreeMap<String, Vec<HyperparameterValue>> = "{}";
        /// Where a search draws hyperparameters from: `{choice: [a, b]}`, `{int: [1, 9]}`, `{float:
        /// [0.5, 1]}` or `{log: [0.001, 0.3]}`.
        space: BTreeMap<String, SpaceParams> = "{}";
    }
}

params! {
    /// What mistakes cost.
    pub(crate) struct CostParams {
        /// What an attack costs that raises no alarm.
        miss: f64 = required, in ParamType::Float(1e-9, 1e12);
        /// What an alarm costs that is none.
        alarm: f64 = "1", in ParamType::Float(1e-9, 1e12);
        /// The share of attacks among the rows that will be scored.
        prevalence: f64 = required, in ParamType::Float(1e-12, 0.999);
    }
}

params! {
    /// Trials that are put together.
    pub(crate) struct EnsembleParams {
        /// `voting`: the mean of their probabilities; `stacking`: logistic regression of what they
        /// tell in cross-validation; `either`: the best trial and the best novelty detector, a row
        /// being as suspicious as the more suspicious of both finds.
        rule: EnsembleRule = required;
        /// How many trials vote or are stacked: the best of each of the best learners.
        members: usize = "3", in ParamType::Int(2, 100);
        /// The share of the budget of false positives that the novelty detector of `either` has.
        novelty_share: f64 = "0.2", in ParamType::Float(0.001, 0.999);
    }
}

/// How trials are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EnsembleRule {
    Voting,
    Stacking,
    Either,
}

choices!(EnsembleRule {
    "voting" => EnsembleRule::Voting,
    "stacking" => EnsembleRule::Stacking,
    "either" => EnsembleRule::Either,
});

impl EnsembleParams {
    /// Returns what is asked for.
    pub(crate) fn request(&self) -> EnsembleRequest {
        EnsembleRequest {
            rule: match self.rule {
                EnsembleRule::Voting => CombiningRule::Voting,
                EnsembleRule::Stacking => CombiningRule::Stacking,
                EnsembleRule::Either => CombiningRule::Either(self.novelty_share),
            },
            members: self.members,
        }
    }
}

params! {
    /// What may stand for a hyperparameter in a space: one of these.
    pub(crate) struct SpaceParams {
        /// One of these.
        choice: Option<Vec<HyperparameterValue>>;
        /// A whole number from the first to the second of two.
        int: Option<Vec<Option<i64>>>;
        /// A number from the first to the second of two.
        float: Option<Vec<Option<f64>>>;
        /// The same, its logarithm being drawn.
        log: Option<Vec<Option<f64>>>, in ParamType::List(&ParamType::Float(f64::MIN_POSITIVE, f64::MAX));
    }
}

params! {
    /// How settings are found.
    pub(crate) struct SearchParams {
        /// `grid`: every combination; `random`: draws; `tpe`: draws where good trials are dense;
        /// `halving`: many trials on few rows, the best of them on more.
        strategy: SearchMethod = "grid";
        /// How many trials `random`, `tpe` and `halving` begin.
        trials: usize = "50", in ParamType::Int(1, 1_000_000);
        /// By how much `halving` makes trials fewer and rows more.
        factor: usize = "3", in ParamType::Int(2, 100);
        /// Whether trials that are worse after a fold than half of those begun with them are given
        /// up.
        prune: bool = "false";
        /// After so many minutes no more trials are begun. What is found then depends on the
        /// machine; without it, only on inputs and seed.
        minutes: Option<f64>, in ParamType::Float(0.0, 1e6);
    }
}

params! {
    /// What a trial is picked by.
    pub(crate) struct SelectParams {
        /// What the best is best at; `log_loss`, `brier` and `class_log_loss` count negated, so
        /// that greater is better. `macro_f1` and what follows it tell more than two classes apart.
        metric: String = "f1", in ParamType::Choice(&CHOICES);
        /// What a trial has to reach.
        min_score: f64 = "0.9", in ParamType::Float(-1e9, 1.0);
        /// With fewer attacks, or fewer benign rows, among the training rows nothing is chosen: the
        /// stage fails, and says so.
        min_attacks: usize = "20", in ParamType::Int(2, 1_000_000_000);
        /// The highest false-positive rate.
        max_fpr: Option<f64>, in ParamType::Float(0.0, 1.0);
        /// The learners and ensembles of which one is picked, such as `[either]`; the others stand
        /// beside it on the leaderboard. Without names, of all.
        among: Vec<String> = "[]";
        /// By how much a trial may be better on the rows that it was fitted to.
        overfit_gap: Option<f64>, in ParamType::Float(0.0, 1e9);
    }
}

/// How probabilities are calibrated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CalibrationMethod {
    None,
    Platt,
    Isotonic,
}

choices!(CalibrationMethod {
    "none" => CalibrationMethod::None,
    "platt" => CalibrationMethod::Platt,
    "isotonic" => CalibrationMethod::Isotonic,
});

impl CalibrationMethod {
    pub(crate) fn fit(self) -> Option<FitCalibrator> {
        match self {
            Self::None => None,
            Self::Platt => Some(Calibrator::platt),
            Self::Isotonic => Some(Calibrator::isotonic),
        }
    }
}

/// How a search finds settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SearchMethod {
    Grid,
    Random,
    Tpe,
    Halving,
}

choices!(SearchMethod {
    "grid" => SearchMethod::Grid,
    "random" => SearchMethod::Random,
    "tpe" => SearchMethod::Tpe,
    "halving" => SearchMethod::Halving,
});

/// By what folds are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoldBasis {
    Auto,
    Content,
    Stratified,
    Group,
    Time,
}

choices!(FoldBasis {
    "auto" => FoldBasis::Auto,
    "content" => FoldBasis::Content,
    "stratified" => FoldBasis::Stratified,
    "group" => FoldBasis::Group,
    "time" => FoldBasis::Time,
});

/// Which way the probability of an attack may go with a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MonotoneDirection {
    Rising,
    Falling,
}

choices!(MonotoneDirection {
    "rising" => MonotoneDirection::Rising,
    "falling" => MonotoneDirection::Falling,
});

/// A learner by its name; none if there is none of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LearnerChoice(pub(crate) Option<&'static Learner>);

impl ParamField for LearnerChoice {
    const TYPE: ParamType = ParamType::Choice(&NAMES);

    fn read(value: Option<&Value>) -> Self {
        Self(find(&String::read(value)))
    }
}

impl ParamField for HyperparameterValue {
    const TYPE: ParamType = ParamType::Scalar;

    fn read(value: Option<&Value>) -> Self {
        match value {
            Some(Value::Text(word)) => Self::Word(word.clone()),
            Some(value) => match value.number() {
                Some(number) => Self::Number(number),
                None => Self::Word(value.to_string()),
            },
            None => Self::Word(String::new()),
        }
    }
}
