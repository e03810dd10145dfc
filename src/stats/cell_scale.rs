//! Cells as they are measured in single precision: from the median of their column, and scaled by a
//! power of two, so that squared lengths are small and no square overflows.
//!
//! A sum of n products of which each factor is rounded is off by less than (n + 2) u Σ |a| |b|
//! (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1), which the squared
//! lengths of both rows bound: as much is taken off what is told of their distance.

use ndarray::{ArrayView1, ArrayView2, Axis};

/// The unit roundoff of single precision.
const ROUNDOFF: f64 = 1.0 / (1 << 24) as f64;

/// What products may lose that are too small for single precision.
const UNDERFLOW: f64 = 1e-30;

/// Of rows whose squared length is more, scaled, nothing is told.
pub(crate) const LONGEST: f64 = 1e36;

/// How the cells of rows are measured.
#[derive(Clone, Debug)]
pub(crate) struct CellScale {
    medians: Vec<f64>,
    scale: f64,
}

impl CellScale {
    /// Looks at rows; NaN is missing.
    pub(crate) fn new(rows: ArrayView2<'_, f64>) -> Self {
        let medians: Vec<f64> = rows.axis_iter(Axis(1)).map(median).collect();
        let cells = rows.axis_iter(Axis(0)).flat_map(|row| {
            let apart = row.into_iter().zip(&medians);
            apart.map(|(cell, median)| (cell - median).abs())
        });
        // NaN is not above anything.
        let farthest = cells.fold(0.0, |most, cell| if cell > most { cell } else { most });
        Self {
            medians,
            // The farthest cell becomes 2³⁰ or less; where there is no such scale, all are 0.
            scale: match farthest > 0.0 && farthest.is_finite() {
                true => 2.0_f64.powi((29 - farthest.log2().ceil() as i32).min(500)),
                false => 0.0,
            },
        }
    }

    /// A cell of a column.
    pub(crate) fn scaled(&self, cell: f64, column: usize) -> f64 {
        (cell - self.medians[column]) * self.scale
    }

    /// What is taken off for each unit of the squared lengths of two rows, of whose distance so many
    /// products tell.
    pub(crate) fn slack(factors: usize) -> f64 {
        2.2 * (factors as f64 + 16.0) * ROUNDOFF
    }

    /// The bound above which rows are farther than a squared distance from one that asks, given its
    /// squared length, if that is no part of what is told, and what is taken off for it.
    pub(crate) fn limit(&self, square: f64, length: f64, slack: f64) -> f32 {
        let scaled = square * self.scale * self.scale - length;
        let slack = slack + UNDERFLOW;
        (scaled + slack + (scaled.abs() + slack) * 1e-6) as f32
    }
}

/// The median of the cells that are not missing, about.
fn median(column: ArrayView1<'_, f64>) -> f64 {
    let mut cells: Vec<f64> = column
        .iter()
        .copied()
        .filter(|cell| !cell.is_nan())
        .collect();
    if cells.is_empty() {
        return 0.0;
    }
    let middle = cells.len() / 2;
    *cells.select_nth_unstable_by(middle, f64::total_cmp).1
}
