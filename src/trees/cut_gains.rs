//! The best cut of a feature from the sums of all of its bins, for boosting.
//!
//! How: sums of the bins up to each cut are written side by side, and then what each cut gains, so
//! that an instruction is for several cuts. It is what `splits::scan` finds, to the bit: the same
//! sums in the same order, of equal cuts the first. A bin without rows ends no cut, as what stands
//! before it gains the same and comes first.

use crate::trees::splits::{LeftSide, NodeRows, NodeSplit, NodeSums, SplitCriterion, TreeRules};

/// The most bins of a feature, what is missing apart.
const MOST: usize = 256;

/// Room for the cuts of a feature.
pub(crate) struct CutGains {
    g: [f64; MOST],
    h: [f64; MOST],
    n: [f64; MOST],
    gain: [f64; MOST],
}

impl Default for CutGains {
    fn default() -> Self {
        Self {
            g: [0.0; MOST],
            h: [0.0; MOST],
            n: [0.0; MOST],
            gain: [0.0; MOST],
        }
    }
}

impl CutGains {
    /// Returns whether cuts gain by sums alone, by these rules.
    pub(crate) fn takes(rules: &TreeRules) -> bool {
        rules.criterion == SplitCriterion::Squares
            && rules.directions.is_empty()
            && rules.l1 == 0.0
            && rules.min_leaf >= 1.0
            && !rules.random_cuts
            && !rules.middle_cuts
    }

    /// Looks for a better split among all cuts of a feature whose rows all have a value. Returns
    /// false, and has looked at nothing, where the value of a leaf would be too far from 0.
    pub(crate) fn scan(
        &mut self,
        rules: &TreeRules,
        here: &NodeRows,
        feature: usize,
        bins: &[NodeSums],
        best: &mut Option<NodeSplit>,
    ) -> bool {
        self.sum(bins);
        if self.gains(rules, here, bins.len()) {
            return false;
        }
        let mut most = best.map_or(rules.min_gain, |best| best.gain);
        let mut found = None;
        for (at, gain) in self.gain[..bins.len()].iter().enumerate() {
            if *gain > most {
                (most, found) = (*gain, Some(at));
            }
        }
        if let Some(at) = found {
            *best = Some(NodeSplit {
                gain: most,
                feature,
                side: LeftSide::UpTo(at as u16),
                missing_left: false,
                left: NodeSums {
                    g: self.g[at],
                    h: self.h[at],
                    n: self.n[at],
                },
                l2: 0.0,
            });
        }
        true
    }

    /// Sums the bins up to each cut.
    fn sum(&mut self, bins: &[NodeSums]) {
        let mut below = NodeSums::default();
        let sums = self.g.iter_mut().zip(&mut self.h).zip(&mut self.n);
        for (((g, h), n), bin) in sums.zip(bins) {
            // What differences leave of sums of no rows does not count.
            if bin.n > 0.5 {
                below.add(*bin);
            }
            (*g, *h, *n) = (below.g, below.h, below.n);
        }
    }

    /// Computes what cuts gain, −∞ where a side has too few rows; returns whether the value of a
    /// leaf would be too far from 0.
    fn gains(&mut self, rules: &TreeRules, here: &NodeRows, count: usize) -> bool {
        let whole = here.whole;
        let (g, h, n) = (&self.g[..count], &self.h[..count], &self.n[..count]);
        let mut is_far = false;
        for (at, gain) in self.gain[..count].iter_mut().enumerate() {
            let (left_g, right_g) = (g[at], whole.g - g[at]);
            let (left, right) = (h[at] + rules.l2, whole.h - h[at] + rules.l2);
            let has_rows = (n[at] >= rules.min_leaf) & (whole.n - n[at] >= rules.min_leaf);
            let has_sums = (h[at] >= rules.least_h) & (whole.h - h[at] >= rules.least_h);
            let is_cut = has_rows & has_sums;
            let of_left = if left > 0.0 {
                left_g * left_g / left
            } else {
                0.0
            };
            let of_right = if right > 0.0 {
                right_g * right_g / right
            } else {
                0.0
            };
            let left_is_far = (left > 0.0) & (left_g.abs() > rules.max_step * left);
            let right_is_far = (right > 0.0) & (right_g.abs() > rules.max_step * right);
            is_far |= is_cut & (left_is_far | right_is_far);
            *gain = if is_cut {
                of_left + of_right - here.score
            } else {
                f64::NEG_INFINITY
            };
        }
        is_far
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::categories::CategoryRules;
    use crate::trees::splits::{LeafBounds, scan};
    use proptest::prelude::*;

    fn rules(l2: f64, least_h: f64, max_step: f64) -> TreeRules {
        TreeRules {
            criterion: SplitCriterion::Squares,
            max_depth: 10,
            max_leaves: 31,
            min_leaf: 2.0,
            min_gain: 0.0,
            l2,
            least_h,
            l1: 0.0,
            max_step,
            features: 1,
            random_cuts: false,
            middle_cuts: false,
            directions: Vec::new(),
            categories: CategoryRules::NONE,
        }
    }

    fn bins() -> impl Strategy<Value = Vec<NodeSums>> {
        // Some have no rows but what differences leave of sums, some no hessian.
        let bin = (0_u32..4, -30_i32..30, 0_i32..3, -1_i32..2);
        let sums = |(n, g, h, rest): (u32, i32, i32, i32)| NodeSums {
            g: if n == 0 {
                f64::from(rest) * 1e-17
            } else {
                f64::from(g) / 7.0
            },
            h: if n == 0 { 0.0 } else { f64::from(h) / 9.0 },
            n: f64::from(n),
        };
        let bin = bin.prop_map(sums);
        // Of few bins one side can have no weight, and the other be far from 0.
        prop_oneof![
            prop::collection::vec(bin.clone(), 1..5),
            prop::collection::vec(bin, 1..256),
        ]
    }

    proptest! {
        #[test]
        fn the_best_cut_is_that_of_looking_at_each(
            first in bins(),
            second in bins(),
            l2 in prop::sample::select(vec![0.0, 1.0]),
            least_h in prop::sample::select(vec![0.0, 0.5]),
            max_step in prop::sample::select(vec![2.0, 10.0, f64::INFINITY]),
        ) {
            let rules = rules(l2, least_h, max_step);
            prop_assert!(CutGains::takes(&rules));
            let (mut best, mut by_each) = (None, None);
            let mut cuts = CutGains::default();
            for (feature, bins) in [first, second].iter().enumerate() {
                let mut whole = NodeSums::default();
                bins.iter().filter(|bin| bin.n > 0.5).for_each(|bin| whole.add(*bin));
                let bounds = LeafBounds::NONE;
                let here = NodeRows { whole, score: rules.score(whole, bounds), bounds };
                let present = || {
                    let present = bins.iter().enumerate().filter(|(_, bin)| bin.n > 0.5);
                    present.map(|(at, bin)| (at as u16, *bin))
                };
                let none = NodeSums::default();
                scan(&rules, &here, feature, present(), none, None, &mut by_each);
                if !cuts.scan(&rules, &here, feature, bins, &mut best) {
                    scan(&rules, &here, feature, present(), none, None, &mut best);
                }
            }
            let told = |split: &Option<NodeSplit>| {
                split.map(|split| (split.gain.to_bits(), split.feature, split.side, split.left))
            };
            prop_assert_eq!(told(&best), told(&by_each));
        }
    }
}
