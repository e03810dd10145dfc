//! The best cut of a feature from the sums of all of its bins, for boosting.
//!
//! How: sums of the bins up to each cut are written side by side, and then what each cut gains, so
//! that an instruction is for several cuts; all on the scale of the tree, where nothing is too
//! large or too small. Both sides of a cut have enough rows and weight from some cut on and up to
//! another one, as sums only grow. It is the cut that `splits::scan` finds, up to rounding, of
//! equal cuts the first. A bin without rows ends no cut, as what stands before it gains the same
//! and comes first.

use crate::trees::bin_sums::{BinSums, SumScale};
use crate::trees::splits::{LeftSide, NodeRows, NodeSplit, NodeSums, SplitCriterion, TreeRules};

/// The most bins of a feature, what is missing apart.
const MOST: usize = 256;

/// So many cuts are compared at a time.
const ABREAST: usize = 8;

/// The cuts of a feature at a leaf.
pub(crate) struct CutGains<'a> {
    rules: &'a TreeRules,
    scale: &'a SumScale,
    here: &'a NodeRows,
    whole: BinSums,
    /// What a gain on the scale is in truth, a power of two.
    unit: f64,
    /// The sums of the rows left of each cut: gradients.
    g: [i64; MOST],
    /// Hessians and rows.
    hn: [u64; MOST],
    gain: [f64; MOST],
}

impl<'a> CutGains<'a> {
    /// Room for the cuts of a leaf's features; none if cuts do not gain by sums alone, by these
    /// rules.
    pub(crate) fn new(
        rules: &'a TreeRules,
        scale: &'a SumScale,
        here: &'a NodeRows,
    ) -> Option<Self> {
        let is_by_sums = rules.criterion == SplitCriterion::Squares
            && rules.directions.is_empty()
            && rules.l1 == 0.0
            && rules.min_leaf >= 1.0
            && !rules.random_cuts
            && !rules.middle_cuts;
        let unit = scale.h / scale.g / scale.g;
        (is_by_sums && unit.is_normal()).then(|| Self {
            rules,
            scale,
            here,
            whole: scale.back(here.whole),
            unit,
            g: [0; MOST],
            hn: [0; MOST],
            gain: [0.0; MOST],
        })
    }

    /// Looks for a better split among all cuts of a feature. Returns false, and has found nothing,
    /// where the value of a leaf would be too far from 0.
    pub(crate) fn scan(
        &mut self,
        feature: usize,
        bins: &[BinSums],
        missing: BinSums,
        best: &mut Option<NodeSplit>,
    ) -> bool {
        let before = *best;
        let has_missing = missing != BinSums::default();
        // What is missing goes left with all cuts, and then right.
        let is_done = (!has_missing || self.scan_from(missing, feature, bins, true, best))
            && self.scan_from(BinSums::default(), feature, bins, false, best);
        if !is_done {
            *best = before;
        }
        is_done
    }

    fn scan_from(
        &mut self,
        first: BinSums,
        feature: usize,
        bins: &[BinSums],
        missing_left: bool,
        best: &mut Option<NodeSplit>,
    ) -> bool {
        self.sum(first, bins);
        let (from, to) = self.cuts(bins.len());
        if from >= to {
            return true;
        }
        let cuts = (&self.g[from..to], &self.hn[from..to]);
        gains(&self.terms(), cuts, &mut self.gain[from..to]);
        let least = best.map_or(self.rules.min_gain, |best| best.gain) / self.unit;
        let Some(at) = self.first_best(from, to, least) else {
            return true;
        };
        let left = self.scale.sums(self.left(at));
        let right = self.here.whole.less(left);
        // A leaf that may not go as far as it wants to gains less than this.
        let is_near = |sums: NodeSums| {
            let whole = sums.h + self.rules.l2;
            whole > 0.0 && sums.g.abs() <= self.rules.max_step * whole
        };
        if !is_near(left) || !is_near(right) {
            return false;
        }
        *best = Some(NodeSplit {
            gain: self.gain[at] * self.unit,
            feature,
            side: LeftSide::UpTo(at as u16),
            missing_left,
            left,
            l2: 0.0,
        });
        true
    }

    /// Sums the bins up to each cut.
    fn sum(&mut self, first: BinSums, bins: &[BinSums]) {
        let BinSums { mut g, mut hn } = first;
        for ((left_g, left_hn), bin) in self.g.iter_mut().zip(&mut self.hn).zip(bins) {
            g = g.wrapping_add(bin.g);
            hn = hn.wrapping_add(bin.hn);
            (*left_g, *left_hn) = (g, hn);
        }
    }

    fn left(&self, at: usize) -> BinSums {
        BinSums {
            g: self.g[at],
            hn: self.hn[at],
        }
    }

    /// The cuts both of whose sides have enough rows and weight.
    fn cuts(&self, count: usize) -> (usize, usize) {
        let (rules, scale) = (self.rules, self.scale);
        let least_h = rules.least_h * scale.h;
        let is_enough = |hn: u64| scale.n(hn) >= rules.min_leaf && scale.h(hn) >= least_h;
        let left = &self.hn[..count];
        let from = left.partition_point(|left| !is_enough(*left));
        let to = left.partition_point(|left| is_enough(self.whole.hn.wrapping_sub(*left)));
        (from, to)
    }

    fn terms(&self) -> GainTerms {
        GainTerms {
            scale: *self.scale,
            g: self.scale.g(self.whole.g),
            h: self.scale.h(self.whole.hn),
            l2: self.rules.l2 * self.scale.h,
            score: self.here.score / self.unit,
        }
    }

    /// The first of the cuts that gain most, if that is more than the least.
    fn first_best(&self, from: usize, to: usize, least: f64) -> Option<usize> {
        let gains = &self.gain[from..to];
        let (blocks, rest) = gains.as_chunks::<ABREAST>();
        let greater = |a: f64, b: f64| if b > a { b } else { a };
        let mut most = [least; ABREAST];
        for block in blocks {
            for (most, gain) in most.iter_mut().zip(block) {
                *most = greater(*most, *gain);
            }
        }
        let most = most.iter().chain(rest).copied().fold(least, greater);
        match most > least {
            true => (gains.iter().position(|gain| *gain == most)).map(|at| from + at),
            false => None,
        }
    }
}

/// What the gains of all cuts have in common, on the scale.
struct GainTerms {
    scale: SumScale,
    g: f64,
    h: f64,
    l2: f64,
    score: f64,
}

/// Computes what cuts gain: G² / H of both sides, with one division.
fn gains(terms: &GainTerms, (g, hn): (&[i64], &[u64]), gains: &mut [f64]) {
    let GainTerms {
        scale,
        g: whole_g,
        h: whole_h,
        l2,
        score,
    } = *terms;
    for ((g, hn), gain) in g.iter().zip(hn).zip(gains) {
        let (left_g, left_h) = (scale.g(*g), scale.h(*hn));
        let (right_g, right_h) = (whole_g - left_g, whole_h - left_h + l2);
        let left_h = left_h + l2;
        let both = left_g * left_g * right_h + right_g * right_g * left_h;
        *gain = both / (left_h * right_h) - score;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::bin_sums::WeightedGroup;
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

    /// A feature's bins, the last of them that of what is missing.
    fn bins() -> impl Strategy<Value = Vec<WeightedGroup>> {
        // Some have no rows, some no hessian.
        let bin = (0_u32..4, -30_i32..30, 0_i32..3);
        let sums = |(n, g, h): (u32, i32, i32)| match n {
            0 => WeightedGroup::default(),
            _ => WeightedGroup {
                n,
                g: f64::from(g) / 7.0,
                h: f64::from(h) / 9.0,
            },
        };
        let bin = bin.prop_map(sums);
        // Of few bins one side can have no weight, and the other be far from 0.
        prop_oneof![
            prop::collection::vec(bin.clone(), 2..6),
            prop::collection::vec(bin, 2..257),
        ]
    }

    proptest! {
        #[test]
        fn the_best_cut_gains_what_that_of_looking_at_each_does(
            bins in bins(),
            none_missing in any::<bool>(),
            l2 in prop::sample::select(vec![0.0, 1.0]),
            least_h in prop::sample::select(vec![0.0, 0.5]),
            max_step in prop::sample::select(vec![2.0, 10.0, f64::INFINITY]),
            size in prop::sample::select(vec![1e-90, 1.0, 1e90]),
        ) {
            let mut bins = bins;
            if none_missing {
                *bins.last_mut().expect("there is one") = WeightedGroup::default();
            }
            let sized = |bin: &WeightedGroup| WeightedGroup { g: bin.g * size, h: bin.h * size, ..*bin };
            let bins: Vec<WeightedGroup> = bins.iter().map(sized).collect();
            let (rules, scale) = (rules(l2 * size, least_h * size, max_step), SumScale::of(&bins));
            let cells: Vec<BinSums> = bins.iter().map(|bin| scale.scaled(bin)).collect();
            let mut whole = BinSums::default();
            cells.iter().for_each(|cell| whole.add(*cell));
            let (whole, bounds) = (scale.sums(whole), LeafBounds::NONE);
            let here = NodeRows { whole, score: rules.score(whole, bounds), bounds };
            let (missing, present) = cells.split_last().expect("there is one");
            let filled = present.iter().map(|cell| scale.sums(*cell));
            let filled: Vec<(u16, NodeSums)> = (0..).zip(filled).filter(|(_, sums)| sums.n > 0.0).collect();
            let (mut best, mut by_each) = (None, None);
            scan(&rules, &here, 3, filled.into_iter(), scale.sums(*missing), None, &mut by_each);
            let mut cuts = CutGains::new(&rules, &scale, &here).expect("gains are by sums");
            let is_done = cuts.scan(3, present, *missing, &mut best);
            if !is_done {
                prop_assert!(best.is_none() && max_step.is_finite() || l2 == 0.0);
                return Ok(());
            }
            let gain = |split: &Option<NodeSplit>| split.map_or(0.0, |split| split.gain);
            let (found, expected) = (gain(&best), gain(&by_each));
            prop_assert!((found - expected).abs() <= 1e-12 * here.score.max(expected), "{best:?} {by_each:?}");
            // What it says of its sides is so.
            if let Some(split) = best {
                let LeftSide::UpTo(last) = split.side else { panic!("a cut") };
                let mut left = BinSums::default();
                present[..=usize::from(last)].iter().for_each(|cell| left.add(*cell));
                if split.missing_left {
                    left.add(*missing);
                }
                prop_assert_eq!(split.left, scale.sums(left));
            }
        }
    }
}
