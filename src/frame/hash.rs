//! A quick hash of each row over columns of cells: to tell equal rows, not to withstand an attack.

use std::collections::HashMap;

/// Hashes of rows, column by column.
#[derive(Debug)]
pub struct RowHasher {
    hashes: Vec<u64>,
}

/// Spreads the bits of a number (the finisher of splitmix64: Steele, Lea and Flood, 2014).
pub fn spread(number: u64) -> u64 {
    let mut state = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// Returns the first eight bytes of the digest of a text as a number.
pub fn hash_text(text: &str) -> u64 {
    let digest = blake3::hash(text.as_bytes());
    u64::from_le_bytes(
        digest.as_bytes()[..8]
            .try_into()
            .expect("a digest has 32 bytes"),
    )
}

impl RowHasher {
    /// Begins with so many rows and no columns.
    pub fn new(rows: usize) -> Self {
        Self {
            hashes: vec![0; rows],
        }
    }

    fn add(&mut self, cells: impl Iterator<Item = u64>) {
        self.hashes
            .iter_mut()
            .zip(cells)
            .for_each(|(hash, cell)| *hash = spread(*hash ^ cell));
    }

    /// Adds a column of numbers; NaN is a missing cell, and -0.0 is 0.0.
    pub fn numbers(&mut self, cells: &[f64]) {
        self.add(cells.iter().map(|cell| {
            if cell.is_nan() {
                u64::MAX
            } else {
                (cell + 0.0).to_bits()
            }
        }));
    }

    /// Adds a column of text.
    pub fn texts(&mut self, cells: &[Option<String>]) {
        let mut known: HashMap<&str, u64> = HashMap::new();
        let mut all = Vec::with_capacity(cells.len());
        for cell in cells {
            all.push(match cell.as_deref() {
                None => u64::MAX,
                Some(text) => *known.entry(text).or_insert_with(|| hash_text(text)),
            });
        }
        self.add(all.into_iter());
    }

    /// Returns the hashes: equal rows have equal ones.
    pub fn finish(self) -> Vec<u64> {
        self.hashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_cells_give_equal_hashes() {
        let mut hasher = RowHasher::new(4);
        hasher.numbers(&[0.0, -0.0, f64::NAN, 1.0]);
        hasher.texts(&[
            Some("a".to_owned()),
            Some("a".to_owned()),
            None,
            Some("b".to_owned()),
        ]);
        let hashes = hasher.finish();
        assert_eq!(hashes[0], hashes[1]);
        assert_eq!(
            hashes
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len(),
            3
        );
    }
}
