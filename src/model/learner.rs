//! The contract of a learner: what it is told, how it is fitted.

use crate::base::cancel::Cancel;
use crate::model::data::TrainingSet;
use crate::model::error::{ModelError, catch_panics};
use crate::model::hyper::{Hyperparameter, HyperparameterValue, Hyperparameters};
use crate::trees::stop::TreeGrowth;

/// What a model is fitted to.
#[derive(Clone, Copy, Debug)]
pub struct FitTask<'a> {
    /// All rows that there are.
    pub data: &'a TrainingSet,
    /// Those to be fitted to; one that is named twice counts twice.
    pub rows: &'a [u32],
    /// A value for each hyperparameter.
    pub setting: &'a [f64],
    /// What random draws begin with.
    pub seed: u64,
    /// Whether the model is not wanted any more: fitting ends soon after.
    pub cancel: &'a Cancel,
}

impl FitTask<'_> {
    /// Checks that the model is still wanted.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        match self.cancel.is_cancelled() {
            true => Err(ModelError::Cancelled),
            false => Ok(()),
        }
    }

    /// Grows trees while the model is wanted.
    pub(crate) fn grow<T>(&self, grow: impl FnOnce(&TreeGrowth<'_>) -> T) -> T {
        grow(&TreeGrowth {
            seed: self.seed,
            is_stopped: &|| self.cancel.is_cancelled(),
        })
    }
}

/// A learner that fits models of a type. One a file, or a family of the same making.
#[derive(Clone, Copy, Debug)]
pub struct LearnerOf<M> {
    /// Its name in pipeline files.
    pub name: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// Its hyperparameters.
    pub hypers: &'static [Hyperparameter],
    /// The place of the hyperparameter of which a model of a larger value holds those of all
    /// smaller ones.
    pub size: Option<usize>,
    /// Whether cells may be missing.
    pub missing: bool,
    /// Whether features may hold the numbers of categories.
    pub categories: bool,
    /// Whether it keeps to directions of features.
    pub monotone: bool,
    /// Whether rows may count differently.
    pub weights: bool,
    /// Whether it tells what is unlike the training rows, without telling attacks apart.
    pub is_novelty: bool,
    /// How it is fitted.
    pub fit: fn(&FitTask<'_>) -> Result<M, ModelError>,
}

impl<M> LearnerOf<M> {
    /// Returns the same learner, fitted so that its models are of another type.
    pub(crate) const fn fitted_by<N>(
        &self,
        fit: fn(&FitTask<'_>) -> Result<N, ModelError>,
    ) -> LearnerOf<N> {
        LearnerOf {
            name: self.name,
            doc: self.doc,
            hypers: self.hypers,
            size: self.size,
            missing: self.missing,
            categories: self.categories,
            monotone: self.monotone,
            weights: self.weights,
            is_novelty: self.is_novelty,
            fit,
        }
    }

    /// Fits a model.
    ///
    /// # Errors
    /// The rows are of one class, or too few; a cell is missing that may not; the learner failed or
    /// panicked, or was cancelled.
    pub fn fit(&self, task: &FitTask<'_>) -> Result<M, ModelError> {
        let rows = task.rows.len();
        let labels = &task.data.labels;
        let attacks = task.rows.iter();
        let attacks = attacks.filter(|row| labels.is_attack(**row as usize));
        let attacks = attacks.count();
        if rows == 0 {
            return Err(ModelError::NoRows);
        }
        if !self.is_novelty && (attacks == 0 || attacks == rows) {
            return Err(ModelError::OneClass(rows));
        }
        if !task.data.weights.is_empty() && !self.weights {
            return Err(ModelError::NoWeights(self.name));
        }
        if !task.data.categories.is_empty() && !self.categories {
            return Err(ModelError::NoCategories(self.name));
        }
        let classes = labels.classes();
        if !task.data.directions.is_empty() && !classes.are_two_sides() {
            return Err(ModelError::MonotoneClasses(classes.count()));
        }
        match &task.data.missing {
            Some((feature, row)) if !self.missing => Err(ModelError::MissingFeature {
                feature: feature.clone(),
                row: *row,
            }),
            _ => {
                let fitted = catch_panics(|| (self.fit)(task));
                task.check()?;
                fitted
            }
        }
    }

    /// Returns a setting with the names of its hyperparameters, as people write it.
    pub fn named(&self, setting: &[f64]) -> Vec<(String, HyperparameterValue)> {
        self.hypers
            .iter()
            .zip(setting)
            .map(|(hyper, value)| (hyper.name.to_owned(), hyper.tell(*value)))
            .collect()
    }

    /// Returns the setting in which every hyperparameter is as it is when it is not given.
    pub fn usual(&self) -> Hyperparameters {
        self.hypers.iter().map(|hyper| hyper.default).collect()
    }
}
