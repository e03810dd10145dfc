//! Detectors that look at each feature by itself: what its cell adds is looked up, and summed.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

/// What the cells of a feature add: a value on each of some points, and one between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureSteps {
    /// The points, rising.
    pub at: Vec<f64>,
    /// What a cell on each point adds.
    pub on: Vec<f64>,
    /// What a cell below the first point adds, between each two, and above the last.
    pub between: Vec<f64>,
}

impl FeatureSteps {
    /// Returns what a cell adds.
    pub fn of(&self, cell: f64) -> f64 {
        let place = self.at.partition_point(|point| *point < cell);
        match self.at.get(place) {
            Some(point) if *point == cell => self.on[place],
            _ => self.between[place],
        }
    }
}

/// What the cells of each feature add.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepSum {
    /// Feature by feature.
    pub features: Vec<FeatureSteps>,
}

impl StepSum {
    /// Returns what each cell of each row adds.
    pub fn parts(&self, x: ArrayView2<'_, f64>) -> Array2<f64> {
        let mut parts = Array2::zeros(x.dim());
        for (feature, (steps, cells)) in self.features.iter().zip(x.columns()).enumerate() {
            let mut parts = parts.column_mut(feature);
            parts.zip_mut_with(&cells, |part, cell| *part = steps.of(*cell));
        }
        parts
    }

    /// Returns what is wrong with it, if it was read from a file.
    pub fn fault(&self) -> Option<String> {
        let is_odd = |steps: &FeatureSteps| {
            let count = steps.at.len();
            let is_counted = steps.on.len() == count && steps.between.len() == count + 1;
            let rises = steps.at.windows(2).all(|pair| pair[0] < pair[1]);
            let values = steps.on.iter().chain(&steps.between);
            !is_counted || !rises || values.chain(&steps.at).any(|value| !value.is_finite())
        };
        let is_odd = self.features.iter().any(is_odd);
        is_odd.then(|| "steps of a feature that are no steps".to_owned())
    }
}
