//! Folds for cross-validation that equal rows do not straddle.

use ndarray::ArrayView2;

use crate::base::digest::Framed;

/// Returns the fold of each row, from 0 to `count` - 1. The features of a row and the seed alone decide, so rows
/// with equal features are in the same fold: a model is never asked about a row it was fitted on.
pub fn folds(x: ArrayView2<'_, f64>, count: usize, seed: u64) -> Vec<usize> {
    let fold = |row: ndarray::ArrayView1<'_, f64>| {
        let mut framed = Framed::new("netsec 2026-11 fold 1");
        framed.number(seed);
        row.iter().for_each(|cell| {
            framed.float(*cell);
        });
        let head = u64::from_le_bytes(framed.finish().as_bytes()[..8].try_into().expect("a digest has 32 bytes"));
        (head % count.max(1) as u64) as usize
    };
    x.rows().into_iter().map(fold).collect()
}
