//! Splits of a feature of categories: a set of them goes one way, all others the other.
//!
//! How: of 2^(k-1) - 1 ways to part k categories, the best of squares and of entropy is among the
//! k - 1 that cut their order by the share of class 1, or by the mean gradient (Fisher, 1958;
//! Breiman et al., 1984, theorem 4.5). A set is filled from either end of that order, so that it
//! holds no more than half of them. The others, and those that no row of the node had, go right.
//! Boosting keeps from learning few rows by heart as LightGBM does: categories of few rows are in
//! no set, the mean gradients of small ones are drawn to 0, and the sides are penalised more. What
//! is missing is a category like others.

use crate::trees::categories::{CategoryRules, FilledSet, sets};
use crate::trees::splits::{LeftSide, NodeRows, NodeSplit, NodeSums, TreeRules};

/// With so few categories none is held back.
const FEW: usize = 4;

/// Looks for a better split among the sets of categories of one feature: `bins` are those with rows
/// at a node, `missing` the bin of what is missing. With `only` just the cut after so many of them,
/// in their order, is tried.
pub(crate) fn scan_categories(
    rules: &TreeRules,
    here: &NodeRows,
    (feature, missing): (usize, u16),
    bins: impl Iterator<Item = (u16, NodeSums)>,
    only: Option<usize>,
    best: &mut Option<NodeSplit>,
) {
    let mut order: Vec<(f64, u16, NodeSums)> = bins.map(|(bin, sums)| (0.0, bin, sums)).collect();
    let held = match order.len() <= FEW {
        true => CategoryRules::NONE,
        false => rules.categories,
    };
    order.retain(|(_, _, sums)| sums.n >= held.smooth);
    for (mean, _, sums) in &mut order {
        let whole = sums.h + held.smooth;
        *mean = if whole > 0.0 { sums.g / whole } else { 0.0 };
    }
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let score = |sums: NodeSums| {
        let h = sums.h + held.l2;
        rules.score(NodeSums { h, ..sums }, here.bounds)
    };
    let (mut left, mut filled, mut grown) = (NodeSums::default(), FilledSet::default(), 0.0);
    for step in sets(order.len(), held.most, only) {
        if step.begins {
            (left, filled, grown) = (NodeSums::default(), FilledSet::default(), 0.0);
        }
        let (_, bin, sums) = order[step.place];
        left.add(sums);
        grown += sums.n;
        filled.add(bin, missing);
        let right = here.whole.less(left);
        let has_rows =
            left.n >= rules.min_leaf && right.n >= rules.min_leaf.max(held.group).max(0.5);
        let has_sums = left.h >= rules.least_h && right.h >= rules.least_h;
        if !step.is_tried || !has_rows || !has_sums || grown < held.group {
            continue;
        }
        grown = 0.0;
        let gain = score(left) + score(right) - here.score;
        if gain > best.map_or(rules.min_gain, |best| best.gain) {
            *best = Some(NodeSplit {
                gain,
                feature,
                side: LeftSide::Among(filled.set),
                missing_left: filled.has_missing,
                left,
                l2: held.l2,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::splits::{LeafBounds, SplitCriterion};
    use proptest::prelude::*;

    fn rules(criterion: SplitCriterion) -> TreeRules {
        TreeRules {
            criterion,
            max_depth: 1,
            max_leaves: 2,
            min_leaf: 1.0,
            min_gain: f64::NEG_INFINITY,
            l2: 0.0,
            l1: 0.0,
            max_step: f64::INFINITY,
            least_h: 0.0,
            features: 1,
            random_cuts: false,
            middle_cuts: false,
            directions: Vec::new(),
            categories: CategoryRules::NONE,
        }
    }

    /// What the best of all ways to part categories gains.
    fn best_of_all(rules: &TreeRules, bins: &[NodeSums], here: &NodeRows) -> f64 {
        let gain = |set: u32| {
            let mut left = NodeSums::default();
            let mine = bins.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1);
            mine.for_each(|(_, sums)| left.add(*sums));
            let right = here.whole.less(left);
            rules.score(left, here.bounds) + rules.score(right, here.bounds) - here.score
        };
        let sets = 1..(1 << (bins.len() - 1));
        sets.map(gain).fold(f64::NEG_INFINITY, f64::max)
    }

    proptest! {
        #[test]
        fn no_other_way_to_part_categories_gains_more(
            counts in prop::collection::vec((0_u32..9, 0_u32..9), 2..9),
            criterion in prop::sample::select(vec![SplitCriterion::Squares, SplitCriterion::Entropy]),
        ) {
            let bins: Vec<NodeSums> = counts
                .iter()
                .map(|(ones, zeros)| (f64::from(*ones), f64::from(*zeros)))
                .filter(|(ones, zeros)| ones + zeros > 0.0)
                .map(|(ones, zeros)| NodeSums { g: ones, h: ones + zeros, n: ones + zeros })
                .collect();
            prop_assume!(bins.len() > 1);
            let rules = rules(criterion);
            let mut whole = NodeSums::default();
            bins.iter().for_each(|bin| whole.add(*bin));
            let bounds = LeafBounds::NONE;
            let here = NodeRows { whole, score: rules.score(whole, bounds), bounds };
            let mut best = None;
            // What is missing is a category like others.
            let missing = bins.len() as u16 - 1;
            let each = bins.iter().enumerate().map(|(bin, sums)| (bin as u16, *sums));
            scan_categories(&rules, &here, (0, missing), each, None, &mut best);
            let best = best.expect("there are two categories");
            let most = best_of_all(&rules, &bins, &here);
            prop_assert!((best.gain - most).abs() < 1e-9, "{} of {most}", best.gain);
            // The set is what was summed up.
            let LeftSide::Among(set) = best.side else { panic!("a set") };
            let mut left = NodeSums::default();
            let goes_left = |bin: u16| if bin == missing { best.missing_left } else { set.has(bin) };
            let mine = bins.iter().enumerate().filter(|(bin, _)| goes_left(*bin as u16));
            mine.for_each(|(_, sums)| left.add(*sums));
            prop_assert_eq!(left, best.left);
            prop_assert!(set.each().count() + usize::from(best.missing_left) <= bins.len().div_ceil(2));
        }
    }
}
