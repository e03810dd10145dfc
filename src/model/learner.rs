//! The contract of a learner: hyperparameters, fit, probabilities; and the list of learners.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::base::name::in_backticks;
use crate::model::data::{Data, first_missing, lacking};
use crate::model::trees::ensemble::Ensemble;
use crate::model::trees::learners;
use crate::model::{bayes, linear, neighbours, svm};

/// Why a model could not be fitted or asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ModelError(pub String);

/// What may stand for a hyperparameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// A number within these bounds.
    Number(f64, f64),
    /// A whole number within these bounds.
    Whole(f64, f64),
    /// One of these words; in a setting it is the number of the word, from zero.
    Words(&'static [&'static str]),
}

/// A hyperparameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyper {
    /// Its name.
    pub name: &'static str,
    /// What may stand for it.
    pub range: Range,
    /// The value when it is not given.
    pub default: f64,
    /// What it does.
    pub doc: &'static str,
}

/// A value of a hyperparameter, as people write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Told {
    /// A number.
    Number(f64),
    /// A word.
    Word(String),
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Word(word) => f.write_str(word),
        }
    }
}

impl Hyper {
    /// Returns what may stand for it, in words.
    pub fn describe(&self) -> String {
        match self.range {
            Range::Number(least, most) => format!("a number from {least} to {most}"),
            Range::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Range::Words(words) => {
                format!("one of {}", in_backticks(words))
            }
        }
    }

    /// Reads a value; `None` if it may not stand there.
    pub fn read(&self, told: &Told) -> Option<f64> {
        match (self.range, told) {
            (Range::Number(least, most), Told::Number(number)) => {
                (least..=most).contains(number).then_some(*number)
            }
            (Range::Whole(least, most), Told::Number(number)) => {
                ((least..=most).contains(number) && number.fract() == 0.0).then_some(*number)
            }
            (Range::Words(words), Told::Word(word)) => words
                .iter()
                .position(|known| known == word)
                .map(|at| at as f64),
            _ => None,
        }
    }

    /// Returns a value as people write it.
    pub fn tell(&self, value: f64) -> Told {
        match self.range {
            Range::Words(words) => Told::Word(
                words
                    .get(value as usize)
                    .copied()
                    .unwrap_or_default()
                    .to_owned(),
            ),
            _ => Told::Number(value),
        }
    }
}

/// Values of hyperparameters, by position in the learner's list.
pub type Setting = Vec<f64>;

/// What a model is fitted to.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// All rows that there are.
    pub data: &'a Data,
    /// Those to be fitted to; one that is named twice counts twice.
    pub rows: &'a [u32],
    /// A value for each hyperparameter.
    pub setting: &'a [f64],
    /// What random draws begin with.
    pub seed: u64,
}

/// Fits a model.
pub type Fit = fn(&Task<'_>) -> Result<Model, ModelError>;

/// A learner. One a file, or a family of the same making.
#[derive(Clone, Copy, Debug)]
pub struct Learner {
    /// Its name in pipeline files.
    pub name: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// Its hyperparameters.
    pub hypers: &'static [Hyper],
    /// The place of the hyperparameter of which a model of a larger value holds those of all
    /// smaller ones.
    pub size: Option<usize>,
    /// Whether cells may be missing.
    pub missing: bool,
    /// Whether it keeps to directions of features.
    pub monotone: bool,
    /// How it is fitted.
    pub fit: Fit,
}

impl Learner {
    /// Fits a model.
    ///
    /// # Errors
    /// The rows are of one class, or too few; a cell is missing that may not; the learner failed or
    /// panicked.
    pub fn fit(&self, task: &Task<'_>) -> Result<Model, ModelError> {
        let rows = task.rows.len();
        let positives = task
            .rows
            .iter()
            .filter(|row| task.data.y[**row as usize] == 1.0)
            .count();
        if rows == 0 {
            return Err(ModelError("there are no rows to learn from".to_owned()));
        }
        if positives == 0 || positives == rows {
            return Err(ModelError(format!(
                "all {rows} rows are of one class: there is nothing to learn"
            )));
        }
        match &task.data.missing {
            Some((name, row)) if !self.missing => Err(lacking(name, *row)),
            _ => shielded(|| (self.fit)(task)),
        }
    }

    /// Returns a setting with the names of its hyperparameters, as people write it.
    pub fn named(&self, setting: &[f64]) -> Vec<(String, Told)> {
        self.hypers
            .iter()
            .zip(setting)
            .map(|(hyper, value)| (hyper.name.to_owned(), hyper.tell(*value)))
            .collect()
    }

    /// Returns the setting in which every hyperparameter is as it is when it is not given.
    pub fn usual(&self) -> Setting {
        self.hypers.iter().map(|hyper| hyper.default).collect()
    }
}

/// Every learner, in the order in which they are shown.
pub const LEARNERS: [Learner; 9] = [
    linear::LOGISTIC_REGRESSION,
    neighbours::KNN,
    svm::SVM,
    bayes::NAIVE_BAYES,
    learners::DECISION_TREE,
    learners::RANDOM_FOREST,
    learners::EXTRA_TREES,
    learners::GRADIENT_BOOSTING,
    learners::ADABOOST,
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

/// A fitted model, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub enum Model {
    /// A weight a feature, and one for all.
    Linear(linear::Linear),
    /// K nearest neighbours.
    Neighbours(neighbours::Neighbours),
    /// Support vectors.
    Svm(svm::Svm),
    /// Naive Bayes.
    Bayes(bayes::Bayes),
    /// Trees.
    Trees(Ensemble),
}

impl Model {
    /// Returns how many features it asks for.
    pub fn features(&self) -> Option<usize> {
        match self {
            Self::Linear(model) => Some(model.weights.len()),
            Self::Neighbours(model) => Some(model.features()),
            Self::Svm(model) => Some(model.vectors.ncols()),
            Self::Bayes(model) => model.features(),
            Self::Trees(model) => Some(model.features),
        }
    }

    /// Returns whether cells may be missing.
    pub fn takes_missing(&self) -> bool {
        matches!(self, Self::Trees(_))
    }

    /// Returns what is wrong with it, if it was read from a file.
    pub fn fault(&self) -> Option<String> {
        match self {
            Self::Linear(_) => None,
            Self::Neighbours(model) => model.fault(),
            Self::Svm(model) => model.fault(),
            Self::Bayes(model) => model
                .features()
                .is_none()
                .then(|| "naive Bayes without two classes".to_owned()),
            Self::Trees(model) => model.fault(),
        }
    }

    /// Returns the probability of class 1 for each row.
    ///
    /// # Errors
    /// The input is empty or infinite, or a cell is missing that may not; the model failed or
    /// panicked, as it may if the number of columns differs.
    pub fn probabilities(&self, x: ArrayView2<'_, f64>) -> Result<Vec<f64>, ModelError> {
        let name = |column: usize| format!("the feature {}", column + 1);
        if let (Some((row, column)), false) = (first_missing(x, &name)?, self.takes_missing()) {
            return Err(lacking(&name(column), row + 1));
        }
        let raw = shielded(|| match self {
            Self::Linear(model) => model.probabilities(x),
            Self::Neighbours(model) => model.probabilities(x),
            Self::Svm(model) => model.probabilities(x),
            Self::Bayes(model) => model.probabilities(x),
            Self::Trees(model) => model.probabilities(x),
        })?;
        if raw.iter().any(|p| !p.is_finite()) {
            return Err(ModelError(
                "the model gave a probability that is not finite".to_owned(),
            ));
        }
        Ok(raw.into_iter().map(|p| p.clamp(0.0, 1.0)).collect())
    }

    /// Returns the probability of class 1 for some rows, as told by the models of these sizes that
    /// it holds, in ascending order; a model that holds no others tells the same for every size.
    ///
    /// # Errors
    /// As for all rows.
    pub fn staged(
        &self,
        data: &Data,
        rows: &[u32],
        sizes: &[usize],
    ) -> Result<Vec<Vec<f64>>, ModelError> {
        match self {
            Self::Trees(model) => {
                let of: Vec<u32> = rows
                    .iter()
                    .map(|row| data.bins().group[*row as usize])
                    .collect();
                // Rows of one group are asked about once.
                let mut groups = of.clone();
                groups.sort_unstable();
                groups.dedup();
                let mut place = vec![0_u32; data.bins().groups];
                groups
                    .iter()
                    .zip(0..)
                    .for_each(|(group, at)| place[*group as usize] = at);
                let told = model.of_groups(data.bins(), &groups, sizes);
                let of_rows = |p: &Vec<f64>| {
                    of.iter()
                        .map(|group| p[place[*group as usize] as usize])
                        .collect()
                };
                Ok(told.iter().map(of_rows).collect())
            }
            Self::Neighbours(model) => Ok(model.staged(data.select(rows).view(), sizes)),
            _ => Ok(vec![
                self.probabilities(data.select(rows).view())?;
                sizes.len()
            ]),
        }
    }
}

fn shielded<T>(work: impl FnOnce() -> Result<T, ModelError>) -> Result<T, ModelError> {
    let caught = catch_unwind(AssertUnwindSafe(work));
    caught.unwrap_or_else(|_| {
        Err(ModelError(
            "the learner's library failed on this input".to_owned(),
        ))
    })
}
