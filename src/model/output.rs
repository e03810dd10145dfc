//! What models tell of rows before it is checked.

use ndarray::Array2;

use crate::frame::labels::Classes;
use crate::model::error::ModelError;
use crate::model::scores::Scores;

/// What a model tells of rows.
#[derive(Clone, Debug)]
pub(crate) enum ModelOutput {
    /// The probability of each row that it is an attack.
    Attack(Vec<f64>),
    /// The probability of each class for each row: a row a row, a column a class.
    Classes(Array2<f64>),
}

impl ModelOutput {
    /// Returns the scores of the rows, whose classes are these.
    ///
    /// # Errors
    /// A probability is not finite, or there are more or fewer classes.
    pub(crate) fn scores(self, classes: &Classes) -> Result<Scores, ModelError> {
        match self {
            Self::Attack(p) if p.iter().all(|p| p.is_finite()) => {
                let attack = p.into_iter().map(|p| p.clamp(0.0, 1.0));
                Ok(Scores::of_attack(attack.collect()))
            }
            Self::Classes(p) if p.iter().all(|p| p.is_finite()) => {
                if p.ncols() != classes.count() {
                    return Err(ModelError::OtherClasses {
                        found: p.ncols(),
                        needed: classes.count(),
                    });
                }
                Ok(Scores::of_classes(classes, p))
            }
            Self::Attack(_) | Self::Classes(_) => Err(ModelError::NoProbability),
        }
    }
}
