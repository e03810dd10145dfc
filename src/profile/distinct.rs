//! How many different values there are, in little room.

use serde::{Deserialize, Serialize};

/// An estimate of how many different values there are, within some 3 %: 1024 registers of
/// HyperLogLog (Flajolet, Fusy, Gandouet and Meunier, 2007), empty while the values are counted
/// exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistinctCounter(Vec<u8>);

const REGISTERS: usize = 1024;

impl DistinctCounter {
    /// Counts values by their hashes, whose bits are spread.
    pub fn of(hashes: impl Iterator<Item = u64>) -> Self {
        let mut registers = vec![0; REGISTERS];
        hashes.for_each(|hash| {
            let register = (hash >> 54) as usize;
            let rank = ((hash << 10) | (1 << 9)).leading_zeros() as u8 + 1;
            registers[register] = rank.max(registers[register]);
        });
        Self(registers)
    }

    /// Adds those of another part.
    pub fn merge(&mut self, other: &Self) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
        }
        self.0
            .iter_mut()
            .zip(&other.0)
            .for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
    }

    /// Returns whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many there are, about.
    pub fn estimate(&self) -> f64 {
        let m = REGISTERS as f64;
        let sum: f64 = self
            .0
            .iter()
            .map(|register| (-f64::from(*register)).exp2())
            .sum();
        let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
        let zeros = self.0.iter().filter(|register| **register == 0).count();
        if raw <= 2.5 * m && zeros > 0 {
            m * (m / zeros as f64).ln()
        } else {
            raw
        }
    }
}
