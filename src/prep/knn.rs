//! Missing cells from the nearest rows, as scikit-learn's `KNNImputer` defines it.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// An imputer fitted on the rows of a training table.
///
/// The distance of two rows is sqrt(D / present · Σ (xᵢ − yᵢ)²) over the coordinates present in both, D being the
/// number of columns. A missing cell becomes the mean of its column over the `neighbours` nearest rows that have
/// it; where no row with a distance has it, the column's mean. Rows at the same distance are taken in the order
/// of the table (scikit-learn's order among ties is not defined).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnnImputer {
    neighbours: usize,
    /// The training rows, NaN where missing; empty if no column needs them.
    rows: Array2<f64>,
    means: Array1<f64>,
}

impl KnnImputer {
    /// Remembers the rows of `table` (NaN where missing).
    ///
    /// # Errors
    /// The index of a column that has no value at all.
    pub fn fit(table: ArrayView2<'_, f64>, neighbours: usize) -> Result<Self, usize> {
        let mut means = Array1::zeros(table.ncols());
        for (index, column) in table.axis_iter(Axis(1)).enumerate() {
            let present: Vec<f64> = column.iter().copied().filter(|cell| !cell.is_nan()).collect();
            if present.is_empty() {
                return Err(index);
            }
            means[index] = present.iter().sum::<f64>() / present.len() as f64;
        }
        Ok(Self { neighbours, rows: table.to_owned(), means })
    }

    /// Fills the missing cells of `table`, which has the columns of the training table.
    ///
    /// # Panics
    /// The number of columns differs: the caller lines them up by name.
    pub fn fill(&self, table: &mut Array2<f64>) {
        assert_eq!(table.ncols(), self.rows.ncols(), "columns are lined up by name");
        let rows: Vec<_> = table.axis_iter_mut(Axis(0)).collect();
        rows.into_par_iter().for_each(|mut row| {
            if row.iter().any(|cell| cell.is_nan()) {
                let distances = self.distances(row.view());
                let filled: Vec<f64> = (0..row.len())
                    .map(|column| if row[column].is_nan() { self.value(column, &distances) } else { row[column] })
                    .collect();
                row.iter_mut().zip(filled).for_each(|(cell, value)| *cell = value);
            }
        });
    }

    /// Squared distances to every training row; NaN where no coordinate is present in both.
    fn distances(&self, row: ArrayView1<'_, f64>) -> Vec<f64> {
        let present: Vec<(usize, f64)> =
            row.iter().enumerate().filter(|(_, cell)| !cell.is_nan()).map(|(i, cell)| (i, *cell)).collect();
        let columns = self.rows.ncols() as f64;
        let distance = |donor: ArrayView1<'_, f64>| {
            let (mut sum, mut count) = (0.0, 0.0);
            for &(index, cell) in &present {
                let difference = cell - donor[index];
                if !difference.is_nan() {
                    sum += difference * difference;
                    count += 1.0;
                }
            }
            if count == 0.0 { f64::NAN } else { sum * columns / count }
        };
        self.rows.axis_iter(Axis(0)).map(distance).collect()
    }

    fn value(&self, column: usize, distances: &[f64]) -> f64 {
        let mut donors: Vec<(f64, usize)> = (distances.iter().enumerate())
            .filter(|(donor, distance)| !distance.is_nan() && !self.rows[[*donor, column]].is_nan())
            .map(|(donor, distance)| (*distance, donor))
            .collect();
        let by_distance = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if donors.len() > self.neighbours {
            donors.select_nth_unstable_by(self.neighbours - 1, by_distance);
            donors.truncate(self.neighbours);
        }
        if donors.is_empty() {
            return self.means[column];
        }
        // Summed in a fixed order, so that the last bit does not depend on how the nearest were found.
        donors.sort_unstable_by(by_distance);
        donors.iter().map(|(_, donor)| self.rows[[*donor, column]]).sum::<f64>() / donors.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_cell_is_the_mean_of_its_nearest_donors() {
        let train = array![[1.0, 2.0], [1.1, 4.0], [9.0, 100.0], [1.2, f64::NAN]];
        let imputer = KnnImputer::fit(train.view(), 2).unwrap();
        let mut table = array![[1.0, f64::NAN], [f64::NAN, f64::NAN]];
        imputer.fill(&mut table);
        assert_eq!(table[[0, 1]], 3.0);
        assert_eq!(table[[1, 0]], (1.0 + 1.1 + 9.0 + 1.2) / 4.0, "no coordinate in common: the column's mean");
    }

    #[test]
    fn a_large_offset_does_not_change_the_neighbours() {
        let train = array![[1e8, 1.0], [1e8 + 1.0, 5.0], [1e8 + 3.0, 9.0]];
        let mut table = array![[1e8 + 1.1, f64::NAN]];
        KnnImputer::fit(train.view(), 1).unwrap().fill(&mut table);
        assert_eq!(table[[0, 1]], 5.0);
    }

    #[test]
    fn a_column_without_a_value_is_named() {
        assert_eq!(KnnImputer::fit(array![[1.0, f64::NAN]].view(), 3), Err(1));
    }
}
