//! Several classes told apart by models of two: one for each class, that tells its rows from all
//! others.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::model::error::ModelError;
use crate::model::learner::FitTask;
use crate::model::svm::{self, SupportVectors};

/// Support vectors of each class against the rest. The probability of a class is what its model
/// tells, as a share of what all tell (as scikit-learn's `OneVsRestClassifier`).
#[derive(Debug, Serialize, Deserialize)]
pub struct OneVsRest {
    /// How many classes there are.
    pub classes: usize,
    /// Those that training had rows of, in order, each with its model; the probability of others is
    /// 0.
    pub models: Vec<(u16, SupportVectors)>,
}

/// Fits a support vector machine to each class.
pub(crate) fn fit(task: &FitTask<'_>) -> Result<OneVsRest, ModelError> {
    let labels = task.data.labels.select(task.rows);
    let one = |class: u16| -> Result<(u16, SupportVectors), ModelError> {
        let is_class = |other: &u16| f64::from(u8::from(*other == class));
        let targets: Vec<f64> = labels.rows().iter().map(is_class).collect();
        Ok((class, svm::fit_targets(task, &targets)?))
    };
    Ok(OneVsRest {
        classes: labels.classes().count(),
        models: labels
            .present()
            .into_iter()
            .map(one)
            .collect::<Result<_, _>>()?,
    })
}

impl OneVsRest {
    /// Returns how many features it asks for.
    pub fn features(&self) -> Option<usize> {
        self.models.first().map(|(_, model)| model.vectors.ncols())
    }

    /// Returns what is wrong with it, if it was read from a file.
    pub fn fault(&self) -> Option<String> {
        let features = self.features();
        let is_odd = |(class, model): &(u16, SupportVectors)| {
            usize::from(*class) >= self.classes || Some(model.vectors.ncols()) != features
        };
        if self.models.is_empty() || self.models.iter().any(is_odd) {
            return Some("support vectors of classes that are not there".to_owned());
        }
        self.models.iter().find_map(|(_, model)| model.fault())
    }

    pub(crate) fn probabilities(&self, x: ArrayView2<'_, f64>) -> Result<Array2<f64>, ModelError> {
        let mut p = Array2::zeros((x.nrows(), self.classes));
        for (class, model) in &self.models {
            let told = model.probabilities(x)?;
            p.column_mut(usize::from(*class))
                .assign(&ndarray::Array1::from(told));
        }
        for mut row in p.rows_mut() {
            let whole = row.sum();
            let even = 1.0 / self.models.len() as f64;
            match whole > 0.0 {
                true => row /= whole,
                false => self
                    .models
                    .iter()
                    .for_each(|(class, _)| row[usize::from(*class)] = even),
            }
        }
        Ok(p)
    }
}
