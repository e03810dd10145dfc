//! A tree grown node by node, with features drawn at each: for single trees and forests.
//!
//! How: of a feature that is drawn, the rows of each class are counted by bin, or of its pack by
//! joint bin: most features of a pack, the columns of one category, are constant at a node, which
//! one count tells of all of them.

use rand_chacha::ChaCha8Rng;

use crate::stats::draws::{below, settle};
use crate::trees::bin_code::BinCode;
use crate::trees::bins::BinnedRows;
use crate::trees::category_splits::scan_categories;
use crate::trees::packs::FEW;
use crate::trees::splits::{LeafBounds, NodeRows, NodeSplit, NodeSums, TreeRules, scan};
use crate::trees::tree::{DecisionTree, SplitNode};

/// So many entries add into copies of a histogram in turn, so that none waits for the one before
/// it.
const COPIES: usize = 4;

/// With so many members for each bin it is copied as well.
const MANY: usize = 2;

/// The most bins of a feature, with that of what is missing.
const BINS: usize = <u16 as BinCode>::MOST + 1;

/// How many rows of class 1 there are, and of both, in one number: added at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassCounts(u64);

impl ClassCounts {
    /// Counts rows of class 0 and of class 1.
    pub fn new([zero, one]: [u32; 2]) -> Self {
        Self(u64::from(one) | (u64::from(one) + u64::from(zero)) << 32)
    }

    fn one(self) -> u32 {
        self.0 as u32
    }

    fn all(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// A group of rows that a tree is grown from.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupMember {
    /// How many rows.
    pub cell: ClassCounts,
    /// Their group.
    pub group: u32,
}

/// The bins of one feature at one node.
struct NodeHistogram {
    cells: Box<[[ClassCounts; BINS]; COPIES]>,
    /// Which bins may have rows.
    present: [u64; BINS / 64],
}

impl NodeHistogram {
    fn new() -> Self {
        Self {
            cells: Box::new([[ClassCounts(0); BINS]; COPIES]),
            present: [0; BINS / 64],
        }
    }

    /// Counts members by the bins of a feature, of which there are so many with that of what is
    /// missing.
    fn fill(&mut self, codes: &[u16], members: &[GroupMember], bins: usize) {
        if bins <= FEW || members.len() >= MANY * bins {
            let (blocks, rest) = members.as_chunks::<COPIES>();
            for block in blocks {
                for (cells, member) in self.cells.iter_mut().zip(block) {
                    count(
                        &mut cells[usize::from(codes[member.group as usize])],
                        member,
                    );
                }
            }
            let [first, others @ ..] = &mut *self.cells;
            rest.iter().for_each(|member| {
                count(
                    &mut first[usize::from(codes[member.group as usize])],
                    member,
                )
            });
            for (bin, cell) in first[..bins].iter_mut().enumerate() {
                for other in others.iter_mut() {
                    cell.0 += std::mem::take(&mut other[bin]).0;
                }
            }
            self.present = all(bins);
        } else if members.len() >= bins {
            let cells = &mut self.cells[0];
            members.iter().for_each(|member| {
                count(
                    &mut cells[usize::from(codes[member.group as usize])],
                    member,
                )
            });
            self.present = all(bins);
        } else {
            let (cells, mut present) = (&mut self.cells[0], [0_u64; BINS / 64]);
            for member in members {
                let code = codes[member.group as usize];
                count(&mut cells[usize::from(code)], member);
                present[usize::from(code >> 6)] |= 1 << (code & 63);
            }
            self.present = present;
        }
    }

    /// Takes out the bins that have rows, in order.
    fn take(&mut self, into: &mut Vec<(u16, ClassCounts)>) {
        into.clear();
        for (word, mut bits) in self.present.into_iter().enumerate() {
            while bits != 0 {
                let bin = 64 * word + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let cell = std::mem::take(&mut self.cells[0][bin]);
                if cell.0 > 0 {
                    into.push((bin as u16, cell));
                }
            }
        }
    }
}

/// So many bins, of which any may have rows.
fn all(bins: usize) -> [u64; BINS / 64] {
    let word = |word: usize| match bins.saturating_sub(64 * word) {
        0 => 0,
        64.. => u64::MAX,
        bits => (1 << bits) - 1,
    };
    std::array::from_fn(word)
}

fn count(cell: &mut ClassCounts, member: &GroupMember) {
    cell.0 += member.cell.0;
}

/// The rows of each class in the bins that have any.
type FilledBins = Vec<(u16, ClassCounts)>;

/// Room that is used again at every node.
struct SpareBuffers<'a> {
    features: Vec<usize>,
    histogram: NodeHistogram,
    own: Vec<u16>,
    filled: FilledBins,
    packs: PackCounts<'a>,
}

/// A cut between two bins.
fn random_cut(first: u16, last: u16, random: &mut ChaCha8Rng) -> u16 {
    first + below(random, usize::from(last - first)) as u16
}

/// Draws a cut of a feature, if there is one, and counts what is up to it, beyond it and missing,
/// as if each were one bin: no more is asked of a random cut. Of a constant feature nothing is.
fn cut_at_random(
    codes: &[u16],
    members: &[GroupMember],
    missing: u16,
    random: &mut ChaCha8Rng,
    (own, filled): (&mut Vec<u16>, &mut FilledBins),
) -> Option<u16> {
    own.clear();
    own.extend(members.iter().map(|member| codes[member.group as usize]));
    filled.clear();
    let (mut first, mut last, mut greatest) = (missing, 0, 0);
    for &bin in own.iter() {
        first = first.min(bin);
        last = last.max(if bin == missing { 0 } else { bin });
        greatest = greatest.max(bin);
    }
    if first == greatest {
        return None;
    }
    let only = (first < last).then(|| random_cut(first, last, random));
    // Without a cut all that is present is up to the last.
    let end = only.unwrap_or(last);
    let (mut up_to, mut beyond, mut lost) = (0, 0, 0);
    for (bin, member) in own.iter().zip(members) {
        // No branch to be guessed.
        let of = |is: bool| member.cell.0 & u64::from(is).wrapping_neg();
        let is_lost = *bin == missing;
        up_to += of((*bin <= end) & !is_lost);
        beyond += of((*bin > end) & !is_lost);
        lost += of(is_lost);
    }
    let each = [(first, up_to), (last, beyond), (missing, lost)].into_iter();
    filled.extend(
        each.filter(|(_, rows)| *rows > 0)
            .map(|(bin, rows)| (bin, ClassCounts(rows))),
    );
    only
}

/// What is known of packs at a node.
struct PackCounts<'a> {
    bins: &'a BinnedRows<u16>,
    /// Of each pack its joint bins, and at which node.
    joint: Vec<(usize, FilledBins)>,
    /// Of each feature of a pack the last node where it was seen to have another bin than usual.
    unusual: Vec<usize>,
}

impl<'a> PackCounts<'a> {
    fn new(bins: &'a BinnedRows<u16>) -> Self {
        Self {
            bins,
            joint: vec![(usize::MAX, Vec::new()); bins.packs.len()],
            unusual: vec![usize::MAX; bins.features()],
        }
    }

    /// Counts a pack at a node, and returns whether a feature of it has another bin than usual there.
    fn varies(
        &mut self,
        (at, place): (usize, usize),
        (node, members): (usize, &[GroupMember]),
        histogram: &mut NodeHistogram,
    ) -> bool {
        let pack = &self.bins.packs[at];
        let (counted, joint) = &mut self.joint[at];
        if std::mem::replace(counted, node) != node {
            histogram.fill(&pack.codes, members, pack.joint);
            histogram.take(joint);
            for (at, _) in joint.iter() {
                for feature in &pack.unusual[usize::from(*at)] {
                    self.unusual[*feature] = node;
                }
            }
        }
        self.unusual[pack.features[place]] == node
    }

    /// Shares out the joint bins of a pack at the node where it was counted.
    fn share_out(&self, (at, place): (usize, usize), filled: &mut FilledBins) {
        let own = &self.bins.packs[at].bins[place];
        let (mut cells, mut last) = ([ClassCounts(0); FEW], 0);
        for (joint, cell) in &self.joint[at].1 {
            let bin = usize::from(own[usize::from(*joint)]) % FEW;
            cells[bin].0 += cell.0;
            last = last.max(bin);
        }
        filled.clear();
        let each = (0..).zip(&cells[..=last]).filter(|(_, cell)| cell.0 > 0);
        filled.extend(each.map(|(bin, cell)| (bin, *cell)));
    }
}

/// A node that is not split yet.
struct PendingNode {
    node: usize,
    from: usize,
    to: usize,
    depth: usize,
    whole: ClassCounts,
    bounds: LeafBounds,
    /// So many features, the first in the list, are known to be constant here.
    constant: usize,
}

/// What a tree is grown by.
pub struct ForestGrower<'a> {
    /// The features.
    pub bins: &'a BinnedRows<u16>,
    /// What it may do.
    pub rules: &'a TreeRules,
    /// What a row of each class weighs.
    pub weight: [f64; 2],
}

impl ForestGrower<'_> {
    fn sums(&self, cell: ClassCounts) -> NodeSums {
        let g = f64::from(cell.one()) * self.weight[1];
        NodeSums {
            g,
            h: g + f64::from(cell.all() - cell.one()) * self.weight[0],
            n: f64::from(cell.all()),
        }
    }

    /// Grows a tree.
    pub fn grow(&self, mut members: Vec<GroupMember>, random: &mut ChaCha8Rng) -> DecisionTree {
        let (bins, rules) = (self.bins, self.rules);
        let leaf = |cell: ClassCounts, bounds: LeafBounds| {
            let sums = self.sums(cell);
            SplitNode::leaf(rules.value(sums, bounds), sums.h)
        };
        let total = |members: &[GroupMember]| {
            let mut cell = ClassCounts(0);
            members.iter().for_each(|member| count(&mut cell, member));
            cell
        };
        let whole = total(&members);
        let mut tree = DecisionTree::root(leaf(whole, LeafBounds::NONE));
        let mut open = vec![PendingNode {
            node: 0,
            from: 0,
            to: members.len(),
            depth: 0,
            whole,
            bounds: LeafBounds::NONE,
            constant: 0,
        }];
        let mut room = SpareBuffers {
            features: (0..bins.features()).collect(),
            histogram: NodeHistogram::new(),
            own: Vec::new(),
            filled: Vec::new(),
            packs: PackCounts::new(bins),
        };
        let mut spare = Vec::new();
        while let Some(PendingNode {
            node: at,
            from,
            to,
            depth,
            whole,
            bounds,
            mut constant,
        }) = open.pop()
        {
            let mine = &mut members[from..to];
            let is_pure = whole.one() == 0 || whole.one() == whole.all();
            let is_small = f64::from(whole.all()) < 2.0 * rules.min_leaf || mine.len() < 2;
            if is_pure || is_small || depth >= rules.max_depth {
                continue;
            }
            let sums = self.sums(whole);
            let here = NodeRows {
                whole: sums,
                score: rules.score(sums, bounds),
                bounds,
            };
            let Some(split) = self.best((at, mine), &here, &mut constant, &mut room, random) else {
                continue;
            };
            let (codes, missing) = (
                &bins.codes[split.feature],
                bins.cuts[split.feature].missing(),
            );
            let next = tree.nodes.len();
            tree.split(at, bins, &split, next);
            let left = tree.part(at, missing, mine, &mut spare, |member| {
                codes[member.group as usize]
            });
            let (low, high) = rules.bounds(&split, sums, bounds);
            let first = total(&mine[..left]);
            let second = ClassCounts(whole.0 - first.0);
            tree.nodes.push(leaf(first, low));
            tree.nodes.push(leaf(second, high));
            let middle = from + left;
            open.push(PendingNode {
                node: next + 1,
                from: middle,
                to,
                depth: depth + 1,
                whole: second,
                bounds: high,
                constant,
            });
            open.push(PendingNode {
                node: next,
                from,
                to: middle,
                depth: depth + 1,
                whole: first,
                bounds: low,
                constant,
            });
        }
        tree
    }

    /// Finds the best split among so many features that are drawn; those that are constant here do
    /// not count, and where none of them splits, more are drawn, as scikit-learn does.
    ///
    /// Features that are constant at a node are so below it. They stand first in the list, the
    /// first `constant` of them known when the node was made: nodes are visited depth first, and
    /// none moves those before its own, so that they are still there for the nodes beside it.
    fn best(
        &self,
        (node, members): (usize, &[GroupMember]),
        here: &NodeRows,
        constant: &mut usize,
        spare: &mut SpareBuffers<'_>,
        random: &mut ChaCha8Rng,
    ) -> Option<NodeSplit> {
        let (bins, rules) = (self.bins, self.rules);
        let (mut best, mut tried) = (None, 0);
        let SpareBuffers {
            features,
            histogram,
            own,
            filled,
            packs,
        } = spare;
        // Of packs it is known at once which features are constant.
        for at in *constant..features.len() {
            if let Some(place) = bins.places[features[at]]
                && !packs.varies(place, (node, members), histogram)
            {
                features.swap(at, *constant);
                *constant += 1;
            }
        }
        let draws = rules.features < features.len() || rules.random_cuts;
        if !draws {
            // Of equally good splits that of the first feature is taken.
            features[*constant..].sort_unstable();
        }
        for place in *constant..features.len() {
            if tried >= rules.features && best.is_some() {
                break;
            }
            if draws {
                settle(random, features, place);
            }
            let feature = features[place];
            let missing = bins.cuts[feature].missing();
            let mut only = None;
            match bins.places[feature] {
                None if rules.random_cuts && !bins.is_category(feature) => {
                    let codes = &bins.codes[feature];
                    only = cut_at_random(codes, members, missing, random, (own, filled));
                }
                None => {
                    histogram.fill(&bins.codes[feature], members, usize::from(missing) + 1);
                    histogram.take(filled);
                }
                Some(place) => packs.share_out(place, filled),
            }
            if filled.len() < 2 {
                features.swap(place, *constant);
                *constant += 1;
                continue;
            }
            tried += 1;
            if bins.is_category(feature) {
                let only = rules
                    .random_cuts
                    .then(|| 1 + below(random, filled.len() - 1));
                let sums = filled.iter().map(|(bin, cell)| (*bin, self.sums(*cell)));
                scan_categories(rules, here, (feature, missing), sums, only, &mut best);
                continue;
            }
            let lost = filled
                .pop_if(|(bin, _)| *bin == missing)
                .map_or(NodeSums::default(), |(_, cell)| self.sums(cell));
            let (first, last) = (filled[0].0, filled[filled.len() - 1].0);
            let is_drawn = rules.random_cuts && only.is_none() && first < last;
            let only = is_drawn.then(|| random_cut(first, last, random)).or(only);
            let sums = filled.iter().map(|(bin, cell)| (*bin, self.sums(*cell)));
            scan(rules, here, feature, sums, lost, only, &mut best);
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::categories::CategoryRules;
    use crate::trees::splits::SplitCriterion;
    use ndarray::Array2;
    use proptest::prelude::*;
    use rand_chacha::rand_core::SeedableRng;

    /// Twenty columns of one category or another, some of their cells missing, and three numbers.
    fn table(rows: usize, seed: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, 23), |(row, column)| {
            let drawn = (row + 1) * (seed + 3) * 2_654_435_761 % 1_000_003;
            let category = drawn % 400;
            match column {
                20.. => ((drawn / 7) % (column * 5)) as f64,
                _ if drawn.is_multiple_of(50) => f64::NAN,
                _ => f64::from(u8::from(category.isqrt() == column)),
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn packs_change_no_tree_that_looks_at_all_features(
            rows in prop::sample::select(vec![30, 200, 1_500]),
            seed in 0_usize..1000,
            min_leaf in 1_usize..4,
        ) {
            let packed = BinnedRows::<u16>::new(table(rows, seed).view(), &[]);
            prop_assert!(rows < 1_500 || packed.packs.iter().any(|pack| pack.features.len() >= 8));
            let mut apart = packed.clone();
            apart.packs.clear();
            apart.places.fill(None);
            let rules = TreeRules {
                criterion: SplitCriterion::Squares,
                max_depth: 100,
                max_leaves: usize::MAX,
                min_leaf: min_leaf as f64,
                min_gain: f64::NEG_INFINITY,
                l2: 0.0,
                l1: 0.0,
                max_step: f64::INFINITY,
                least_h: 0.0,
                features: 23,
                random_cuts: false,
                middle_cuts: true,
                directions: Vec::new(),
                categories: CategoryRules::NONE,
            };
            let grown = |bins: &BinnedRows<u16>| {
                let one = |group: u32| u32::from((group * 7 + group / 5).is_multiple_of(3));
                let member = |group: u32| GroupMember {
                    cell: ClassCounts::new([1 + group % 2, one(group)]),
                    group,
                };
                let grower = ForestGrower { bins, rules: &rules, weight: [1.0, 2.0] };
                let members = (0..bins.groups as u32).map(member).collect();
                grower.grow(members, &mut ChaCha8Rng::seed_from_u64(1))
            };
            prop_assert_eq!(grown(&packed), grown(&apart));
        }
    }
}
