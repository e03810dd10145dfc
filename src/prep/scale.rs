//! Standard scaling: mean 0, standard deviation 1.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

/// A scaler fitted on a training table: (x − mean) / sd, with the population's standard deviation, as
/// scikit-learn's `StandardScaler` has it; a constant column is only shifted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandardScaler {
    means: Array1<f64>,
    deviations: Array1<f64>,
}

impl StandardScaler {
    /// Finds mean and standard deviation of every column; `table` has rows and no missing cell.
    pub fn fit(table: ArrayView2<'_, f64>) -> Self {
        let rows = table.nrows().max(1) as f64;
        let means: Array1<f64> = table.axis_iter(Axis(1)).map(|column| column.sum() / rows).collect();
        let deviation = |(column, mean): (ndarray::ArrayView1<'_, f64>, &f64)| {
            // Corrected two-pass variance (Chan, Golub and LeVeque, 1983): the second sum takes out what
            // rounding left in the mean.
            let (mut squares, mut rest) = (0.0, 0.0);
            for cell in column {
                squares += (cell - mean) * (cell - mean);
                rest += cell - mean;
            }
            let variance = (squares - rest * rest / rows) / rows;
            // A variance that is no more than the rounding of its own sums: the column is constant.
            let noise = rows * f64::EPSILON * variance + (rows * mean * f64::EPSILON).powi(2);
            if variance <= noise { 1.0 } else { variance.sqrt() }
        };
        let deviations = table.axis_iter(Axis(1)).zip(&means).map(deviation).collect();
        Self { means, deviations }
    }

    /// Scales a table with the columns of the training table.
    pub fn apply(&self, table: &mut Array2<f64>) {
        *table -= &self.means;
        *table /= &self.deviations;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn columns_are_centred_and_constant_ones_only_shifted() {
        let mut table = array![[1.0, 7.0], [3.0, 7.0]];
        StandardScaler::fit(table.view()).apply(&mut table);
        assert_eq!(table, array![[-1.0, 0.0], [1.0, 0.0]]);
    }
}
