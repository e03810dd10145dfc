//! A tree grown node by node, with features drawn at each: for single trees and forests.

use rand_chacha::ChaCha8Rng;

use crate::stats::draws::{below, settle};
use crate::trees::bins::{BinCode, BinnedRows};
use crate::trees::category_splits::scan_categories;
use crate::trees::splits::{LeafBounds, NodeRows, NodeSplit, NodeSums, TreeRules, scan};
use crate::trees::tree::{DecisionTree, SplitNode};

/// So many entries add into copies of a histogram in turn, so that none waits for the one before
/// it.
const COPIES: usize = 4;

/// The most bins of a feature, with that of what is missing.
const BINS: usize = <u16 as BinCode>::MOST + 1;

/// With so few bins a histogram is copied.
const FEW: usize = 16;

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
        if bins <= FEW {
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
            self.present = [0; BINS / 64];
            self.present[0] = (1 << bins) - 1;
        } else if members.len() >= bins {
            let cells = &mut self.cells[0];
            members.iter().for_each(|member| {
                count(
                    &mut cells[usize::from(codes[member.group as usize])],
                    member,
                )
            });
            let word = |word: usize| match bins.saturating_sub(64 * word) {
                0 => 0,
                64.. => u64::MAX,
                bits => (1 << bits) - 1,
            };
            self.present = std::array::from_fn(word);
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

fn count(cell: &mut ClassCounts, member: &GroupMember) {
    cell.0 += member.cell.0;
}

/// Room that is used again at every node.
struct SpareBuffers {
    features: Vec<usize>,
    histogram: NodeHistogram,
    filled: Vec<(u16, ClassCounts)>,
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
            filled: Vec::new(),
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
            let Some(split) = self.best(mine, &here, &mut constant, &mut room, random) else {
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
        members: &[GroupMember],
        here: &NodeRows,
        constant: &mut usize,
        spare: &mut SpareBuffers,
        random: &mut ChaCha8Rng,
    ) -> Option<NodeSplit> {
        let (bins, rules) = (self.bins, self.rules);
        let (mut best, mut tried) = (None, 0);
        let SpareBuffers {
            features,
            histogram,
            filled,
        } = spare;
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
            histogram.fill(&bins.codes[feature], members, usize::from(missing) + 1);
            histogram.take(filled);
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
            let only = (rules.random_cuts && first < last)
                .then(|| first + below(random, usize::from(last - first)) as u16);
            let sums = filled.iter().map(|(bin, cell)| (*bin, self.sums(*cell)));
            scan(rules, here, feature, sums, lost, only, &mut best);
        }
        best
    }
}
