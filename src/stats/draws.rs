//! Uniform draws.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Draws a number below `count`.
pub fn below(random: &mut ChaCha8Rng, count: usize) -> usize {
    ((u128::from(random.next_u64()) * count as u128) >> 64) as usize
}

/// Draws a number from 0 on and below 1.
pub fn unit(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Places of which each is drawn as often as it counts.
#[derive(Clone, Debug)]
pub struct WeightedUrn(Vec<f64>);

impl WeightedUrn {
    /// Takes how much each place counts: not all of them nothing.
    pub fn new(counts: impl Iterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        let up_to = |count: f64| {
            sum += count;
            sum
        };
        Self(counts.map(up_to).collect())
    }

    /// Draws a place, with replacement.
    pub fn draw(&self, random: &mut ChaCha8Rng) -> usize {
        let whole = self.0.last().copied().unwrap_or(0.0);
        let at = unit(random) * whole;
        let place = self.0.partition_point(|up_to| *up_to <= at);
        place.min(self.0.len() - 1)
    }
}

/// Puts one of the entries from `place` on there: a step of the shuffle of Fisher and Yates (1938).
pub fn settle<T>(random: &mut ChaCha8Rng, entries: &mut [T], place: usize) {
    let other = place + below(random, entries.len() - place);
    entries.swap(place, other);
}

/// Draws as many rows as there are, with replacement, and returns how often each was drawn. Each
/// `number` is another drawing of the same seed.
pub fn drawn_counts(rows: usize, seed: u64, number: usize) -> Vec<u32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(number as u64 + 1);
    let mut counts = vec![0_u32; rows];
    for _ in 0..rows {
        counts[below(&mut random, rows)] += 1;
    }
    counts
}
