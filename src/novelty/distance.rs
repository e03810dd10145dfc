//! The distance to the nearest training rows (Ramaswamy, Rastogi and Shim, 2000).

use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::stats::nearest::{LaidOutRows, NearestRows};
use crate::stats::nearest_found::NearestFound;

/// Training rows, and how many of them are looked at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NeighbourDistance {
    /// Which of the nearest is measured.
    pub k: usize,
    /// The training rows: a row a row, a column a feature.
    pub x: Array2<f64>,
    /// The rows as they are asked, once they were.
    #[serde(skip)]
    pub laid_out: LaidOutRows,
}

impl NeighbourDistance {
    /// Remembers rows, of which the `k`-th nearest is measured.
    pub fn fit(x: ArrayView2<'_, f64>, k: usize) -> Self {
        Self {
            k: k.min(x.nrows()),
            x: x.to_owned(),
            laid_out: LaidOutRows::default(),
        }
    }

    /// Returns the training rows as they are asked.
    fn rows(&self) -> &NearestRows {
        self.laid_out.of(self.x.view())
    }

    /// Returns the distance of each row to the `k`-th nearest training row.
    pub fn of_rows(&self, x: ArrayView2<'_, f64>) -> Vec<f64> {
        self.rows().each(x, self.k, |_, found| {
            farthest(&found).map_or(0.0, |(square, _)| square.sqrt())
        })
    }

    /// Returns the same of some of the training rows, themselves apart.
    pub fn of_fitted(&self, rows: &[usize]) -> Vec<f64> {
        let x = self.x.select(Axis(0), rows);
        let found = self.rows().each(x.view(), self.k + 1, |_, found| found);
        let apart = |(row, found): (&usize, &NearestFound)| {
            let others = found.found().iter().filter(|(_, other)| other != row);
            others
                .take(self.k)
                .last()
                .map_or(0.0, |(square, _)| square.sqrt())
        };
        rows.iter().zip(&found).map(apart).collect()
    }

    /// Returns what each feature adds to the distance of each row: its share of the squared
    /// distance, of the distance.
    pub fn parts(&self, x: ArrayView2<'_, f64>) -> Array2<f64> {
        let told = self.rows().each(x, self.k, |row, found| {
            let Some((square, other)) = farthest(&found).filter(|(square, _)| *square > 0.0) else {
                return vec![0.0; row.len()];
            };
            let part = |(cell, theirs): (&f64, &f64)| (cell - theirs).powi(2) / square.sqrt();
            row.iter().zip(self.x.row(other)).map(part).collect()
        });
        Array2::from_shape_vec(x.dim(), told.concat()).expect("a part a cell")
    }
}

fn farthest(found: &NearestFound) -> Option<(f64, usize)> {
    found.found().last().copied()
}
