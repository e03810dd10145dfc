//! How sure figures are: 95 % intervals by resampling rows.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use crate::model::draws::below;
use crate::model::metrics::{CHOICES, Metrics, Ranked};

/// How often rows are drawn, and how many draws of a row are enough to draw less often, down to the least.
const RESAMPLES: usize = 1000;
const DRAWS: usize = 20_000_000;
const LEAST: usize = 200;

/// The least and the greatest value of a figure.
pub type Interval = [f64; 2];

/// Returns, of every metric by which models may be chosen, between which values 95 % of the figures lie when as many rows as there
/// are are drawn with replacement (Efron and Tibshirani, 1993, chapter 13). Losses are as they are, not negated.
pub fn intervals(y: &[f64], p: &[f64], threshold: f64, seed: u64) -> BTreeMap<String, Interval> {
    let ranked = Ranked::new(y, p);
    let rows = ranked.rows();
    if rows == 0 {
        return BTreeMap::new();
    }
    let count = (DRAWS / rows).clamp(LEAST, RESAMPLES);
    let one = |number: usize| -> Metrics {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(number as u64 + 1);
        let mut counts = vec![0_u32; rows];
        for _ in 0..rows {
            counts[below(&mut random, rows)] += 1;
        }
        ranked.metrics(|place| f64::from(counts[place]), threshold)
    };
    let drawn: Vec<Metrics> = (0..count).into_par_iter().map(one).collect();
    let of = |name: &str| {
        let mut values: Vec<f64> = drawn.iter().filter_map(|metrics| metrics.figure(name)).collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
        (name.to_owned(), [at(0.025), at(0.975)])
    };
    CHOICES.iter().map(|name| of(name)).collect()
}
