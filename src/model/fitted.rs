//! The models that the learners fit, as one type; and the list of the learners.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::model::data::{TrainingSet, first_missing};
use crate::model::error::{ModelError, catch_panics};
use crate::model::scores::Scores;
use crate::model::{bayes, linear, neighbours, svm};
use crate::trees::ensemble::TreeEnsemble;

/// A fitted model, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub enum Model {
    /// A weight a feature, and one for all.
    Linear(linear::LinearModel),
    /// K nearest neighbours.
    Neighbours(neighbours::NearestNeighbours),
    /// Support vectors.
    Svm(svm::SupportVectors),
    /// Naive Bayes.
    Bayes(bayes::NaiveBayes),
    /// Trees.
    Trees(TreeEnsemble),
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

    /// Returns what the model makes of rows.
    ///
    /// # Errors
    /// The input is empty or infinite, or a cell is missing that may not; the model failed or
    /// panicked, as it may if the number of columns differs.
    pub fn scores(&self, x: ArrayView2<'_, f64>) -> Result<Scores, ModelError> {
        let name = |column: usize| format!("the feature {}", column + 1);
        if let (Some((row, column)), false) = (first_missing(x, &name)?, self.takes_missing()) {
            return Err(ModelError::MissingFeature {
                feature: name(column),
                row: row + 1,
            });
        }
        let raw = catch_panics(|| match self {
            Self::Linear(model) => model.probabilities(x),
            Self::Neighbours(model) => model.probabilities(x),
            Self::Svm(model) => model.probabilities(x),
            Self::Bayes(model) => model.probabilities(x),
            Self::Trees(model) => model.probabilities(x),
        })?;
        if raw.iter().any(|p| !p.is_finite()) {
            return Err(ModelError::NoProbability);
        }
        let attack = raw.into_iter().map(|p| p.clamp(0.0, 1.0));
        Ok(Scores::of_attack(attack.collect()))
    }

    /// Returns what the models of these sizes that it holds make of some rows, in ascending order; a model that holds no others tells the same for every size.
    ///
    /// # Errors
    /// As for all rows.
    pub fn staged(
        &self,
        data: &TrainingSet,
        rows: &[u32],
        sizes: &[usize],
    ) -> Result<Vec<Scores>, ModelError> {
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
                    let attack = of.iter().map(|group| p[place[*group as usize] as usize]);
                    Scores::of_attack(attack.collect())
                };
                Ok(told.iter().map(of_rows).collect())
            }
            Self::Neighbours(model) => {
                let told = model.staged(data.select(rows).view(), sizes);
                Ok(told.into_iter().map(Scores::of_attack).collect())
            }
            _ => Ok(vec![self.scores(data.select(rows).view())?; sizes.len()]),
        }
    }
}
