//! Which rows may be near enough to others, told for many at a time: roughly, and never too far.
//!
//! How: over the cells that both rows have, Σ (x − y)² is Σ x² m + Σ y² n − 2 Σ x y, where m is 1
//! for the cells that the second has, n for those that the first has, and a missing cell is 0. For
//! many rows that is a product of matrices, in single precision, less what rounding may add
//! (`cell_scale`).
//!
//! The invariant: what is told of two rows is at most their squared distance, scaled.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

use crate::stats::cell_scale::{CellScale, LONGEST};

/// How the cells of rows are measured.
pub(crate) struct DistanceBounds {
    scale: CellScale,
    width: usize,
    /// What is taken off for each unit of the squared lengths of two rows.
    slack: f64,
}

/// Rows that ask.
pub(crate) struct AskingRows {
    factors: Array2<f32>,
    /// Of each its squared length times what is taken off.
    slacks: Vec<f64>,
}

impl DistanceBounds {
    /// Looks at the rows that are asked about.
    pub(crate) fn new(rows: ArrayView2<'_, f64>) -> Self {
        Self {
            scale: CellScale::new(rows),
            width: rows.ncols(),
            slack: CellScale::slack(factors(rows.ncols())),
        }
    }

    /// Prepares rows that ask. One whose cells are farther than any that are asked about is told
    /// nothing.
    pub(crate) fn asking(&self, rows: &[ArrayView1<'_, f64>]) -> AskingRows {
        let width = self.width;
        let mut asking = AskingRows {
            factors: Array2::zeros((rows.len(), factors(width))),
            slacks: Vec::new(),
        };
        for (row, mut into) in rows.iter().zip(asking.factors.axis_iter_mut(Axis(0))) {
            let mut length = 0.0;
            for (column, cell) in row.iter().enumerate().filter(|(_, cell)| !cell.is_nan()) {
                let cell = self.scale.scaled(*cell, column);
                length += cell * cell;
                into[column] = (cell * cell) as f32;
                into[width + column] = (-2.0 * cell) as f32;
                into[2 * width + column] = 1.0;
            }
            into[3 * width] = 1.0;
            if length > LONGEST {
                (length, _) = (0.0, into.fill(0.0));
            }
            asking.slacks.push(length * self.slack);
        }
        asking
    }

    /// Returns of each row that asks, row by row, bounds for some rows that are asked about.
    pub(crate) fn told(&self, asking: &AskingRows, rows: ArrayView2<'_, f64>) -> Array2<f32> {
        let width = self.width;
        let mut columns = Array2::<f32>::zeros((factors(width), rows.nrows()));
        let mut lengths = vec![0.0; rows.nrows()];
        for column in 0..width {
            for (at, cell) in rows.column(column).iter().enumerate() {
                if cell.is_nan() {
                    continue;
                }
                let cell = self.scale.scaled(*cell, column);
                lengths[at] += cell * cell;
                columns[[column, at]] = 1.0;
                columns[[width + column, at]] = cell as f32;
                columns[[2 * width + column, at]] = (cell * cell) as f32;
            }
        }
        for (at, length) in lengths.into_iter().enumerate() {
            columns[[3 * width, at]] = (-length * self.slack) as f32;
        }
        asking.factors.dot(&columns)
    }

    /// Returns the bound above which rows are farther than a squared distance from the row that asks
    /// at a place.
    pub(crate) fn limit(&self, asking: &AskingRows, at: usize, square: f64) -> f32 {
        self.scale.limit(square, 0.0, asking.slacks[at])
    }
}

/// How many factors there are for rows of so many cells.
fn factors(width: usize) -> usize {
    3 * width + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bound_is_beyond_the_distance(
            cells in prop::collection::vec(prop_oneof![
                Just(f64::NAN),
                -1.0..1.0_f64,
                (-300_i32..300).prop_map(|exponent| 10.0_f64.powi(exponent)),
                (-8_i32..9).prop_map(|cell| 1e6 + f64::from(cell)),
            ], 24..160),
        ) {
            let rows = cells.len() / 4;
            let x = Array2::from_shape_vec((rows, 4), cells[..rows * 4].to_vec()).unwrap();
            let bounds = DistanceBounds::new(x.view());
            let each: Vec<ArrayView1<'_, f64>> = x.axis_iter(Axis(0)).collect();
            let asking = bounds.asking(&each);
            let told = bounds.told(&asking, x.view());
            for (at, row) in each.iter().enumerate() {
                for (other, theirs) in each.iter().enumerate() {
                    let parts = row.iter().zip(theirs).map(|(a, b)| (a - b) * (a - b));
                    let square: f64 = parts.filter(|part| !part.is_nan()).sum();
                    let limit = bounds.limit(&asking, at, square);
                    let is_beyond = told[[at, other]] > limit;
                    prop_assert!(!is_beyond, "{row} {theirs}: {} {limit}", told[[at, other]]);
                }
            }
        }
    }
}
