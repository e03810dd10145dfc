//! Which rows a model was fitted to, in little room: so that it is never judged by rows that it has
//! seen.
//!
//! How: of every training row a hash of the cells that the model is asked with. All of them are
//! kept, or, of large tables, those with the smallest hashes (Broder, 1997): then only rows whose
//! hash is as small can be told, which are a fair sample of all.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::frame::hash::RowHasher;
use crate::prep::cells::ColumnCells;

/// So many hashes are kept.
const MOST: usize = 1 << 16;

/// Whether a row was seen in training; of what several models say the greatest holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowSeen {
    /// It was not.
    No,
    /// Too many rows were seen for all of them to be kept.
    Unknown,
    /// It was.
    Yes,
}

/// The rows that were seen in training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenRows {
    /// The hashes, in order.
    hashes: Vec<u64>,
    /// The greatest hash of which it is known whether it was seen.
    known_to: u64,
}

impl SeenRows {
    /// Keeps rows.
    pub fn new(hashes: impl Iterator<Item = u64>) -> Self {
        let distinct: BTreeSet<u64> = hashes.collect();
        let known_to = if distinct.len() > MOST {
            distinct.iter().nth(MOST - 1).copied()
        } else {
            None
        };
        Self {
            hashes: distinct.into_iter().take(MOST).collect(),
            known_to: known_to.unwrap_or(u64::MAX),
        }
    }

    /// Returns whether a row was seen.
    pub fn has(&self, hash: u64) -> RowSeen {
        match self.hashes.binary_search(&hash) {
            Ok(_) => RowSeen::Yes,
            Err(_) if hash <= self.known_to => RowSeen::No,
            Err(_) => RowSeen::Unknown,
        }
    }
}

/// Returns a hash of each row over columns of as many rows.
pub fn row_hashes<'a>(rows: usize, columns: impl Iterator<Item = &'a ColumnCells>) -> Vec<u64> {
    let mut hasher = RowHasher::new(rows);
    for cells in columns {
        match cells {
            ColumnCells::Numbers(cells) => hasher.numbers(cells),
            ColumnCells::Texts(cells) => hasher.texts(cells),
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_were_kept_are_known_and_others_are_too_while_all_are_kept() {
        let few = SeenRows::new([3, 1, 3].into_iter());
        assert_eq!(
            (few.has(3), few.has(2), few.has(u64::MAX)),
            (RowSeen::Yes, RowSeen::No, RowSeen::No)
        );
        let many = SeenRows::new((0..MOST as u64 + 10).map(|number| 2 * number));
        assert_eq!(
            (many.has(4), many.has(5), many.has(4 * MOST as u64)),
            (RowSeen::Yes, RowSeen::No, RowSeen::Unknown)
        );
    }
}
