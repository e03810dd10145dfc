//! The list of the learners.

use crate::model::error::ModelError;
use crate::model::fitted::Model;
use crate::model::learner::{FitTask, LearnerOf};
use crate::model::{
    adaboost, bayes, decision_tree, gradient_boosting, linear, neighbours, novelty_learners,
    one_vs_rest, random_forest, softmax_linear, svm,
};

/// A learner of any kind.
pub type Learner = LearnerOf<Model>;

/// Fits a model that tells attacks from benign rows where these are the two classes, otherwise one
/// that tells several classes apart.
fn fitted(
    task: &FitTask<'_>,
    two: fn(&FitTask<'_>) -> Result<Model, ModelError>,
    several: fn(&FitTask<'_>) -> Result<Model, ModelError>,
) -> Result<Model, ModelError> {
    match task.data.labels.classes().are_two_sides() {
        true => two(task),
        false => several(task),
    }
}

/// Every learner, in the order in which they are shown.
pub const LEARNERS: [Learner; 16] = [
    linear::LOGISTIC_REGRESSION.fitted_by(|task| {
        fitted(
            task,
            |task| (linear::LOGISTIC_REGRESSION.fit)(task).map(Model::Linear),
            |task| softmax_linear::fit(task).map(Model::SoftmaxLinear),
        )
    }),
    neighbours::KNN.fitted_by(|task| (neighbours::KNN.fit)(task).map(Model::Neighbours)),
    svm::SVM.fitted_by(|task| {
        fitted(
            task,
            |task| (svm::SVM.fit)(task).map(Model::Svm),
            |task| one_vs_rest::fit(task).map(Model::OneVsRest),
        )
    }),
    bayes::NAIVE_BAYES.fitted_by(|task| (bayes::NAIVE_BAYES.fit)(task).map(Model::Bayes)),
    decision_tree::DECISION_TREE.fitted_by(|task| {
        fitted(
            task,
            |task| (decision_tree::DECISION_TREE.fit)(task).map(Model::Trees),
            |task| decision_tree::fit_classes(task).map(Model::ClassTrees),
        )
    }),
    random_forest::RANDOM_FOREST.fitted_by(|task| {
        fitted(
            task,
            |task| (random_forest::RANDOM_FOREST.fit)(task).map(Model::Trees),
            |task| random_forest::forest_classes(task, true).map(Model::ClassTrees),
        )
    }),
    random_forest::EXTRA_TREES.fitted_by(|task| {
        fitted(
            task,
            |task| (random_forest::EXTRA_TREES.fit)(task).map(Model::Trees),
            |task| random_forest::forest_classes(task, false).map(Model::ClassTrees),
        )
    }),
    gradient_boosting::GRADIENT_BOOSTING.fitted_by(|task| {
        fitted(
            task,
            |task| (gradient_boosting::GRADIENT_BOOSTING.fit)(task).map(Model::Trees),
            |task| gradient_boosting::fit_classes(task).map(Model::ClassTrees),
        )
    }),
    adaboost::ADABOOST.fitted_by(|task| {
        fitted(
            task,
            |task| (adaboost::ADABOOST.fit)(task).map(Model::Trees),
            |task| adaboost::fit_classes(task).map(Model::ClassTrees),
        )
    }),
    novelty_learners::ISOLATION_FOREST,
    novelty_learners::KNN_DISTANCE,
    novelty_learners::PCA_RECONSTRUCTION,
    novelty_learners::MAHALANOBIS,
    novelty_learners::HBOS,
    novelty_learners::ECOD,
    novelty_learners::COPOD,
];

/// The names of the learners, for declarations.
pub const NAMES: [&str; LEARNERS.len()] = {
    let mut names = [""; LEARNERS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = LEARNERS[at].name;
        at += 1;
    }
    names
};

/// Finds a learner by its name.
pub fn find(name: &str) -> Option<&'static Learner> {
    LEARNERS.iter().find(|learner| learner.name == name)
}
