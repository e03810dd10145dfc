//! Trees that isolate rows: what stands apart is alone after few random cuts (Liu, Ting and Zhou,
//! 2008).
//!
//! Trees are grown on cells, not on bins: bins hold as many rows each, and how far apart a row
//! stands is what is asked here. A tree sees a few hundred rows, so that this costs little.

use ndarray::ArrayView2;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use crate::stats::draws::{below, settle, unit};
use crate::trees::ensemble::{LinkFunction, TreeEnsemble};
use crate::trees::stop::TreeGrowth;
use crate::trees::tree::{DecisionTree, SplitNode, SplitTest};

/// Euler's constant.
const EULER: f64 = 0.577_215_664_901_532_9;

/// Returns how many cuts isolate one of so many rows on average: those of a search without success
/// in a binary search tree (formula 1 of the paper; scikit-learn takes the same for two rows).
fn mean_cuts(rows: usize) -> f64 {
    match rows {
        0 | 1 => 0.0,
        2 => 1.0,
        rows => {
            let n = rows as f64;
            2.0 * ((n - 1.0).ln() + EULER) - 2.0 * (n - 1.0) / n
        }
    }
}

/// Grows so many trees, each on so many rows drawn without replacement, and as deep as isolates
/// that many on average. The value of a leaf is the number of cuts to it, and those that its rows
/// would still need, over what is expected, negated: of a mean of −1 half is told, of 0 all.
pub fn isolation_forest(
    x: ArrayView2<'_, f64>,
    trees: usize,
    sample: usize,
    growth: &TreeGrowth<'_>,
) -> TreeEnsemble {
    let sample = sample.clamp(1, x.nrows());
    let grow = |number: usize| {
        let mut random = ChaCha8Rng::seed_from_u64(growth.seed);
        random.set_stream(number as u64 + 1);
        let mut tree = IsolationTree {
            x,
            expected: mean_cuts(sample).max(f64::MIN_POSITIVE),
            deepest: sample.max(2).ilog2() as usize + usize::from(!sample.is_power_of_two()),
            random,
            nodes: Vec::new(),
        };
        let mut rows: Vec<u32> = (0..x.nrows() as u32).collect();
        (0..sample).for_each(|place| settle(&mut tree.random, &mut rows, place));
        // One that is not wanted any more has a tree of one leaf.
        rows.truncate(if growth.is_stopped() { 1 } else { sample });
        tree.add(&mut rows, 0);
        DecisionTree {
            nodes: tree.nodes,
            sets: Vec::new(),
        }
    };
    TreeEnsemble {
        features: x.ncols(),
        trees: (0..trees).into_par_iter().map(grow).collect(),
        link: LinkFunction::Isolation,
        laid_out: Default::default(),
    }
}

/// A tree that grows.
struct IsolationTree<'a> {
    x: ArrayView2<'a, f64>,
    expected: f64,
    deepest: usize,
    random: ChaCha8Rng,
    nodes: Vec<SplitNode>,
}

impl IsolationTree<'_> {
    /// Adds the node of some rows, and returns its place.
    fn add(&mut self, rows: &mut [u32], depth: usize) -> u32 {
        let place = self.nodes.len();
        let cover = rows.len() as f64;
        let cuts = depth as f64 + mean_cuts(rows.len());
        self.nodes
            .push(SplitNode::leaf(-cuts / self.expected, cover));
        if depth >= self.deepest || rows.len() < 2 {
            return place as u32;
        }
        let Some((feature, threshold)) = self.cut(rows) else {
            return place as u32;
        };
        let cell = |row: u32| self.x[[row as usize, feature]];
        rows.sort_unstable_by(|a, b| cell(*a).total_cmp(&cell(*b)).then(a.cmp(b)));
        let lower = rows.partition_point(|row| cell(*row) <= threshold);
        let (below, above) = rows.split_at_mut(lower);
        let (left, right) = (self.add(below, depth + 1), self.add(above, depth + 1));
        self.nodes[place] = SplitNode {
            feature: feature as u32,
            test: SplitTest::up_to(threshold),
            left,
            right,
            // A cut counts by the rows that it parts.
            gain: cover,
            ..self.nodes[place]
        };
        place as u32
    }

    /// Draws a feature that differs among the rows, and a place between its least and its greatest
    /// cell; none where the rows are equal.
    fn cut(&mut self, rows: &[u32]) -> Option<(usize, f64)> {
        let mut features: Vec<usize> = (0..self.x.ncols()).collect();
        while !features.is_empty() {
            let feature = features.swap_remove(below(&mut self.random, features.len()));
            let cells = rows.iter().map(|row| self.x[[*row as usize, feature]]);
            let (low, high) = cells
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), cell| {
                    (low.min(cell), high.max(cell))
                });
            if low < high {
                let share = unit(&mut self.random);
                // Not from the difference, which may be infinite; rounding must not reach the end.
                let threshold = low * (1.0 - share) + high * share;
                let threshold = if (low..high).contains(&threshold) {
                    threshold
                } else {
                    low
                };
                return Some((feature, threshold));
            }
        }
        None
    }
}
