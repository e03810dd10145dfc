//! Text columns as a fixed number of columns, whatever stands there.

use serde::{Deserialize, Serialize};

use crate::base::digest::FramedHasher;
use crate::prep::cells::ColumnCells;
use crate::prep::columns::Columns;
use crate::prep::error::PrepError;

/// The most buckets.
pub const MOST_BUCKETS: usize = 100_000;

/// Text columns dealt out over buckets: each cell adds 1 to a bucket, or takes 1 away (Weinberger,
/// Dasgupta, Langford, Smola and Attenberg, 2009).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashEncoder {
    /// The columns.
    pub columns: Vec<String>,
    /// How many buckets there are.
    pub buckets: usize,
}

impl HashEncoder {
    /// Returns the name of the column of a bucket.
    pub fn of_bucket(at: usize) -> String {
        format!("hash={at}")
    }

    /// Replaces the columns by buckets.
    ///
    /// # Errors
    /// A column is not there, or holds numbers.
    pub fn apply(&self, columns: &mut Columns) -> Result<(), PrepError> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let mut buckets = vec![vec![0.0; columns.rows()]; self.buckets];
        for name in &self.columns {
            for (row, cell) in columns.texts(name)?.iter().enumerate() {
                let Some(cell) = cell else { continue };
                let mut framed = FramedHasher::new("netsec 2026-11 bucket 1");
                framed.text(name).text(cell);
                let digest = framed.finish();
                let head = digest.head();
                let sign = if digest.as_bytes()[8] & 1 == 0 {
                    1.0
                } else {
                    -1.0
                };
                buckets[(head % self.buckets as u64) as usize][row] += sign;
            }
            columns.take(name)?;
        }
        let mut named = buckets.into_iter().enumerate();
        named.try_for_each(|(at, cells)| {
            columns.push(|| Self::of_bucket(at), ColumnCells::Numbers(cells))
        })
    }
}
