//! Learners that tell what is unlike the training rows: they are fitted without telling attacks
//! apart, and find attacks of which there never was a row.

use ndarray::{Array2, ArrayView2};

use crate::model::error::ModelError;
use crate::model::fitted::Model;
use crate::model::hyper::{Hyperparameter, HyperparameterRange, hyper, hyper_words, hypers};
use crate::model::learner::{FitTask, LearnerOf};
use crate::model::novelty_model::NoveltyModel;
use crate::novelty::detector::NoveltyDetector;
use crate::novelty::directions::{DirectionRule, WeightedDirections};
use crate::novelty::distance::NeighbourDistance;
use crate::novelty::histograms::histogram_score;
use crate::novelty::tails::{TailRule, tail_score};
use crate::trees::isolation::isolation_forest;

hyper_words! {
    /// The rows that a novelty detector is fitted to.
    enum FittedRows {
        /// Those that are no attacks.
        Benign = "benign",
        /// All, as if nobody knew which are attacks.
        All = "all",
    }
}

const FIT_ON: Hyperparameter = hyper(
    FittedRows::RANGE,
    0.0,
    "Whether the rows fitted to are the benign ones, or all, as if nobody knew which are attacks.",
);

hypers! {
    /// Hyperparameters of isolation forests.
    struct IsolationHypers {
        trees: usize = hyper(HyperparameterRange::Whole(1.0, 10_000.0), 100.0, "How many trees isolate a row.");
        sample: usize = hyper(
            HyperparameterRange::Whole(2.0, 1_000_000.0),
            256.0,
            "How many rows a tree is grown on.",
        );
        fit_on: FittedRows = FIT_ON;
    }
}

hypers! {
    /// Hyperparameters of the distance to neighbours.
    struct DistanceHypers {
        k: usize = hyper(HyperparameterRange::Whole(1.0, 1000.0), 5.0, "Which of the nearest rows is measured.");
        fit_on: FittedRows = FIT_ON;
    }
}

hypers! {
    /// Hyperparameters of what principal components leave out.
    struct LeftOutHypers {
        explained: f64 = hyper(
            HyperparameterRange::Number(0.0, 1.0),
            0.95,
            "The share of the variance that the components explain; what is left out is measured.",
        );
        fit_on: FittedRows = FIT_ON;
    }
}

hypers! {
    /// Hyperparameters of the Mahalanobis distance.
    struct MahalanobisHypers {
        shrinkage: f64 = hyper(
            HyperparameterRange::Number(0.0, 1.0),
            0.01,
            "How much of the mean variance is mixed into the covariance, as in scikit-learn's \
             `ShrunkCovariance`.",
        );
        fit_on: FittedRows = FIT_ON;
    }
}

hypers! {
    /// Hyperparameters of histograms.
    struct HistogramHypers {
        bins: usize = hyper(HyperparameterRange::Whole(2.0, 1000.0), 10.0, "Bins of each feature.");
        fit_on: FittedRows = FIT_ON;
    }
}

hypers! {
    /// Hyperparameters of the tails of distributions.
    struct TailHypers {
        fit_on: FittedRows = FIT_ON;
    }
}

/// Declares a learner of novelty.
const fn novelty(
    name: &'static str,
    doc: &'static str,
    hypers: &'static [Hyperparameter],
    fit: fn(&FitTask<'_>) -> Result<Model, ModelError>,
) -> LearnerOf<Model> {
    LearnerOf {
        name,
        doc,
        hypers,
        size: None,
        missing: false,
        categories: false,
        monotone: false,
        weights: false,
        is_novelty: true,
        fit,
    }
}

/// The learner of isolation forests.
pub const ISOLATION_FOREST: LearnerOf<Model> = novelty(
    "isolation_forest",
    "Novelty: how few random cuts isolate a row (Liu, Ting and Zhou, 2008).",
    IsolationHypers::LIST,
    |task| {
        let hypers = IsolationHypers::of(task.setting);
        fit(task, hypers.fit_on, |x| {
            let forest =
                task.grow(|growth| isolation_forest(x, hypers.trees, hypers.sample, growth));
            Ok(NoveltyDetector::Isolation(forest))
        })
    },
);

/// The learner of the distance to neighbours.
pub const KNN_DISTANCE: LearnerOf<Model> = novelty(
    "knn_distance",
    "Novelty: how far the k-th nearest training row is.",
    DistanceHypers::LIST,
    |task| {
        let hypers = DistanceHypers::of(task.setting);
        fit(task, hypers.fit_on, |x| {
            Ok(NoveltyDetector::Distance(NeighbourDistance::fit(
                x, hypers.k,
            )))
        })
    },
);

/// The learner of what principal components leave out.
pub const PCA_RECONSTRUCTION: LearnerOf<Model> = novelty(
    "pca_reconstruction",
    "Novelty: how much of a row the principal components of training rows leave out.",
    LeftOutHypers::LIST,
    |task| {
        let hypers = LeftOutHypers::of(task.setting);
        fit(task, hypers.fit_on, |x| {
            directions(x, DirectionRule::LeftOut(hypers.explained))
        })
    },
);

/// The learner of the Mahalanobis distance.
pub const MAHALANOBIS: LearnerOf<Model> = novelty(
    "mahalanobis",
    "Novelty: how far a row is from the mean, by how training rows vary together.",
    MahalanobisHypers::LIST,
    |task| {
        let hypers = MahalanobisHypers::of(task.setting);
        fit(task, hypers.fit_on, |x| {
            directions(x, DirectionRule::Mahalanobis(hypers.shrinkage))
        })
    },
);

/// The learner of histograms.
pub const HBOS: LearnerOf<Model> = novelty(
    "hbos",
    "Novelty: how rare the cells of a row are, by a histogram of each feature.",
    HistogramHypers::LIST,
    |task| {
        let hypers = HistogramHypers::of(task.setting);
        fit(task, hypers.fit_on, |x| {
            Ok(NoveltyDetector::Steps(histogram_score(x, hypers.bins)))
        })
    },
);

/// The learner of ECOD.
pub const ECOD: LearnerOf<Model> = novelty(
    "ecod",
    "Novelty: how far in the tails of each feature's distribution a row is, the rarer of both.",
    TailHypers::LIST,
    |task| tails(task, TailRule::Ecod),
);

/// The learner of COPOD.
pub const COPOD: LearnerOf<Model> = novelty(
    "copod",
    "Novelty: how far in the tails of each feature's distribution a row is, the longer of both.",
    TailHypers::LIST,
    |task| tails(task, TailRule::Copod),
);

fn tails(task: &FitTask<'_>, rule: TailRule) -> Result<Model, ModelError> {
    let hypers = TailHypers::of(task.setting);
    fit(task, hypers.fit_on, |x| {
        Ok(NoveltyDetector::Steps(tail_score(x, rule)))
    })
}

fn directions(x: ArrayView2<'_, f64>, rule: DirectionRule) -> Result<NoveltyDetector, ModelError> {
    let found = WeightedDirections::fit(x, rule).map(NoveltyDetector::Directions);
    found.ok_or_else(|| {
        let why =
            "no directions were found: the features overflow; put a step `scale` or `clip` before";
        ModelError::NoSolution(why.to_owned())
    })
}

/// Fits a detector to the rows that it is to know.
fn fit(
    task: &FitTask<'_>,
    fit_on: FittedRows,
    detector: impl FnOnce(ArrayView2<'_, f64>) -> Result<NoveltyDetector, ModelError>,
) -> Result<Model, ModelError> {
    let labels = &task.data.labels;
    let is_known = |row: &u32| fit_on == FittedRows::All || !labels.is_attack(*row as usize);
    let rows: Vec<u32> = task.rows.iter().copied().filter(is_known).collect();
    if rows.is_empty() {
        let why = "there are no benign rows to know: set `fit_on: [all]`";
        return Err(ModelError::NoSolution(why.to_owned()));
    }
    let x: Array2<f64> = task.data.select(&rows);
    let labels = labels.select(task.rows);
    let model = NoveltyModel::new(detector(x.view())?, x.view(), &labels)?;
    Ok(Model::Novelty(model))
}
