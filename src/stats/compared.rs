//! The nearest of rows by comparing with every one: roughly first, for many at a time, and exactly
//! where that leaves it open.
//!
//! How: Σ (x − y)² is Σ x² + Σ y² − 2 Σ x y, for many rows a product of matrices, in single
//! precision, less what rounding may add (`cell_scale`).
//!
//! The invariant: what is told of two rows roughly is at most their squared distance, scaled, so
//! that a row which is left out is farther than those that are found.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis, s};

use crate::stats::cell_scale::{CellScale, LONGEST};
use crate::stats::nearest_found::NearestFound;

/// Bounds that are looked at together.
const ABREAST: usize = 32;

/// So many rows that are asked about are compared with at a time: their bounds stay in the cache.
const TOGETHER: usize = 2048;

/// Rows that are asked about.
#[derive(Clone, Debug)]
pub(crate) struct ComparedRows {
    rows: Array2<f64>,
    scale: CellScale,
    /// What is taken off for each unit of the squared lengths of two rows.
    slack: f64,
    /// Of each row a column: its cells, and its squared length less what is taken off.
    columns: Array2<f32>,
}

impl ComparedRows {
    /// Takes rows; cells are finite.
    pub(crate) fn new(rows: Array2<f64>) -> Self {
        let width = rows.ncols();
        let mut compared = Self {
            scale: CellScale::new(rows.view()),
            slack: CellScale::slack(width + 1),
            columns: Array2::zeros((width + 1, rows.nrows())),
            rows,
        };
        for at in 0..compared.rows.nrows() {
            let (cells, length) = compared.scaled(compared.rows.row(at));
            for (column, cell) in cells.iter().enumerate() {
                compared.columns[[column, at]] = *cell as f32;
            }
            compared.columns[[width, at]] = (length - length * compared.slack) as f32;
        }
        compared
    }

    /// The cells of a row, scaled, and their squared length.
    fn scaled(&self, row: ArrayView1<'_, f64>) -> (Vec<f64>, f64) {
        let cells = row.iter().enumerate();
        let cells: Vec<f64> = cells
            .map(|(column, cell)| self.scale.scaled(*cell, column))
            .collect();
        let length = cells.iter().map(|cell| cell * cell).sum();
        (cells, length)
    }

    /// Returns the nearest rows of each of some.
    pub(crate) fn nearest(&self, asking: ArrayView2<'_, f64>, most: usize) -> Vec<NearestFound> {
        let (width, count) = (self.rows.ncols(), self.rows.nrows());
        let mut factors = Array2::<f32>::zeros((asking.nrows(), width + 1));
        let mut lengths = vec![0.0; asking.nrows()];
        for (at, row) in asking.axis_iter(Axis(0)).enumerate() {
            let (cells, length) = self.scaled(row);
            // One that is farther than any that is asked about is told nothing.
            if length <= LONGEST {
                let cells = cells.iter().map(|cell| (-2.0 * cell) as f32).chain([1.0]);
                factors
                    .row_mut(at)
                    .iter_mut()
                    .zip(cells)
                    .for_each(|(into, cell)| *into = cell);
                lengths[at] = length;
            }
        }
        let mut found: Vec<NearestFound> = Vec::new();
        found.resize_with(asking.nrows(), || NearestFound::new(most));
        let asking: Vec<Vec<f64>> = asking.axis_iter(Axis(0)).map(|row| row.to_vec()).collect();
        for from in (0..count).step_by(TOGETHER) {
            let to = count.min(from + TOGETHER);
            let told = factors.dot(&self.columns.slice(s![.., from..to]));
            for (at, found) in found.iter_mut().enumerate() {
                let told = told.row(at);
                let told = told.as_slice().expect("it stands row by row");
                self.look(&asking[at], lengths[at], (from, told), found);
            }
        }
        found
    }

    /// Takes in those rows, from one on, that may be near enough by what is told of them.
    fn look(
        &self,
        row: &[f64],
        length: f64,
        (from, told): (usize, &[f32]),
        found: &mut NearestFound,
    ) {
        let limit_of = |square| self.scale.limit(square, length, length * self.slack);
        let mut limit = limit_of(found.limit());
        let rows = self.rows.as_slice().expect("they stand row by row");
        for (block, told) in told.chunks(ABREAST).enumerate() {
            if is_all_beyond(told, limit) {
                continue;
            }
            for (at, told) in told.iter().enumerate() {
                if *told > limit {
                    continue;
                }
                let other = from + block * ABREAST + at;
                let mut square = 0.0;
                for (a, b) in row.iter().zip(&rows[other * row.len()..]) {
                    square += (a - b) * (a - b);
                }
                if square <= found.limit() {
                    found.add(square, other);
                    limit = limit_of(found.limit());
                }
            }
        }
    }
}

/// Whether all that is told is above a limit; several are looked at side by side.
fn is_all_beyond(told: &[f32], limit: f32) -> bool {
    let (blocks, rest) = told.as_chunks::<8>();
    let mut least = [f32::INFINITY; 8];
    for block in blocks {
        for (least, told) in least.iter_mut().zip(block) {
            *least = if *told < *least { *told } else { *least };
        }
    }
    least.iter().chain(rest).all(|told| *told > limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_found_is_what_comparing_with_every_row_finds(
            cells in prop::collection::vec(prop_oneof![
                (-3_i32..4).prop_map(f64::from),
                -1.0..1.0_f64,
                (-300_i32..150).prop_map(|exponent| 10.0_f64.powi(exponent)),
                (-8_i32..9).prop_map(|cell| 1e6 + f64::from(cell)),
            ], 4..400),
            most in 1_usize..8,
        ) {
            let rows = cells.len() / 4;
            let x = Array2::from_shape_vec((rows, 4), cells[..rows * 4].to_vec()).unwrap();
            let compared = ComparedRows::new(x.clone());
            for (row, found) in x.rows().into_iter().zip(compared.nearest(x.view(), most)) {
                let mut all = NearestFound::new(most);
                for (other, cells) in x.rows().into_iter().enumerate() {
                    let mut sum = 0.0;
                    row.iter().zip(cells).for_each(|(a, b)| sum += (a - b) * (a - b));
                    all.add(sum, other);
                }
                prop_assert_eq!(found.found(), all.found());
            }
        }
    }
}
