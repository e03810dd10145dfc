//! Folds for cross-validation.

use ndarray::ArrayView1;

use crate::base::digest::Framed;
use crate::model::data::Data;

/// By what a row finds its fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By its features, so that a model is never asked about a row that equals one it was fitted to.
    Content,
    /// Dealt out in turn within each class, so that all folds have the same shares; equal rows may be apart.
    Stratified,
}

fn head(word: &str, seed: u64, row: ArrayView1<'_, f64>) -> u64 {
    let mut framed = Framed::new(word);
    framed.number(seed);
    row.iter().for_each(|cell| {
        framed.float(*cell);
    });
    u64::from_le_bytes(framed.finish().as_bytes()[..8].try_into().expect("a digest has 32 bytes"))
}

/// Returns the fold of each row, from 0 to `count` - 1. Its features and the seed decide; in stratified folds among equal rows
/// the order too.
pub fn folds(data: &Data, count: usize, by: By, seed: u64) -> Vec<usize> {
    let heads: Vec<u64> = data.x.rows().into_iter().map(|row| head("netsec 2026-11 fold 1", seed, row)).collect();
    let count = count.max(1);
    match by {
        By::Content => heads.into_iter().map(|head| (head % count as u64) as usize).collect(),
        By::Stratified => {
            let mut order: Vec<usize> = (0..heads.len()).collect();
            order.sort_by_key(|row| (data.y[*row] as u8, heads[*row], *row));
            let mut folds = vec![0; heads.len()];
            order.into_iter().enumerate().for_each(|(place, row)| folds[row] = place % count);
            folds
        }
    }
}

/// Returns whether a row belongs to a share of all rows; a larger share holds a smaller one, and equal rows go together.
pub fn in_share(data: &Data, row: u32, share: f64, seed: u64) -> bool {
    let head = head("netsec 2026-11 share 1", seed, data.x.row(row as usize));
    (head >> 11) as f64 / (1_u64 << 53) as f64 <= share
}
