//! The list of the learners.

use crate::model::fitted::Model;
use crate::model::learner::LearnerOf;
use crate::model::{
    adaboost, bayes, decision_tree, gradient_boosting, linear, neighbours, random_forest, svm,
};

/// A learner of any kind.
pub type Learner = LearnerOf<Model>;

/// Every learner, in the order in which they are shown.
pub const LEARNERS: [Learner; 9] = [
    linear::LOGISTIC_REGRESSION
        .fitted_by(|task| (linear::LOGISTIC_REGRESSION.fit)(task).map(Model::Linear)),
    neighbours::KNN.fitted_by(|task| (neighbours::KNN.fit)(task).map(Model::Neighbours)),
    svm::SVM.fitted_by(|task| (svm::SVM.fit)(task).map(Model::Svm)),
    bayes::NAIVE_BAYES.fitted_by(|task| (bayes::NAIVE_BAYES.fit)(task).map(Model::Bayes)),
    decision_tree::DECISION_TREE
        .fitted_by(|task| (decision_tree::DECISION_TREE.fit)(task).map(Model::Trees)),
    random_forest::RANDOM_FOREST
        .fitted_by(|task| (random_forest::RANDOM_FOREST.fit)(task).map(Model::Trees)),
    random_forest::EXTRA_TREES
        .fitted_by(|task| (random_forest::EXTRA_TREES.fit)(task).map(Model::Trees)),
    gradient_boosting::GRADIENT_BOOSTING
        .fitted_by(|task| (gradient_boosting::GRADIENT_BOOSTING.fit)(task).map(Model::Trees)),
    adaboost::ADABOOST.fitted_by(|task| (adaboost::ADABOOST.fit)(task).map(Model::Trees)),
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
