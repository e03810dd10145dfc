//! A tree grown best leaf first, with histograms of all features at every leaf: for boosting.
//!
//! How: a leaf is a range of the entries, which are put in order as leaves are split, and has a
//! histogram: of every bin of every feature, the sums of its rows' gradients, hessians and counts.
//! The best split of a leaf is found from its histogram alone. Of the two sides of a split only the
//! smaller is counted; the larger one is the whole less the smaller (Ke et al., 2017). Leaves whose
//! histogram does not fit into the room for them are counted again when they are split.
//!
//! The invariant: the ranges of open and done leaves together are all entries, each once, and the
//! order in which sums are added depends on the entries alone, so that any number of threads grows
//! the same tree.

use rayon::prelude::*;

use crate::trees::bins::{BinCuts, BinnedRows};
use crate::trees::category_splits::scan_categories;
use crate::trees::cut_gains::CutGains;
use crate::trees::splits::{LeafBounds, NodeRows, NodeSplit, NodeSums, TreeRules, scan};
use crate::trees::tree::{DecisionTree, SplitNode};

/// With fewer additions the work is not shared out.
const SHARED: usize = 1 << 17;

/// With fewer cells of histograms a leaf is not looked at by several threads.
const SCANNED: usize = 1 << 14;

/// Features whose histograms are filled in one pass over the rows: theirs fit into the nearest
/// cache together.
const TOGETHER: usize = 4;

/// Histograms of open leaves take this many bytes at most; those of more leaves are counted again
/// when they are needed.
const ROOM: usize = 512 << 20;

/// A group of rows that a tree is grown from.
#[derive(Clone, Copy, Debug, Default)]
pub struct WeightedGroup {
    /// Their group.
    pub group: u32,
    /// How many rows.
    pub n: f32,
    /// Their negative gradients; of trees that are not boosted, the weight of class 1.
    pub g: f64,
    /// Their hessians; of trees that are not boosted, the weight of both classes.
    pub h: f64,
}

impl WeightedGroup {
    /// Returns the sums of some.
    pub fn sums(entries: &[Self]) -> NodeSums {
        let mut sums = NodeSums::default();
        for entry in entries {
            sums.add(NodeSums {
                g: entry.g,
                h: entry.h,
                n: f64::from(entry.n),
            });
        }
        sums
    }
}

/// Where the bins of the features stand in a histogram of all of them: those of present values,
/// then the missing.
pub struct HistogramLayout {
    offsets: Vec<usize>,
    cells: usize,
}

impl HistogramLayout {
    /// Lays out the bins of features.
    pub fn new(bins: &BinnedRows<u8>) -> Self {
        let mut cells = 0;
        let offset = |cuts: &BinCuts| {
            let offset = cells;
            cells += cuts.bins() + 1;
            offset
        };
        let offsets = bins.cuts.iter().map(offset).collect();
        Self { offsets, cells }
    }

    fn of(&self, bins: &BinnedRows<u8>, feature: usize) -> std::ops::Range<usize> {
        self.offsets[feature]..self.offsets[feature] + bins.cuts[feature].bins() + 1
    }
}

/// Room that is used again from tree to tree.
#[derive(Default)]
pub struct GrowingRoom {
    /// Histograms that are not needed any more.
    pool: Vec<Vec<NodeSums>>,
    spare: Vec<WeightedGroup>,
}

/// The entries of a leaf: a range of them.
#[derive(Clone, Copy)]
struct LeafRange {
    node: usize,
    from: usize,
    to: usize,
}

/// A leaf before it is known whether it can be split.
#[derive(Clone, Copy)]
struct NewLeaf {
    range: LeafRange,
    depth: usize,
    whole: NodeSums,
    bounds: LeafBounds,
}

/// A leaf that may be split.
struct OpenLeaf {
    node: usize,
    from: usize,
    to: usize,
    depth: usize,
    whole: NodeSums,
    bounds: LeafBounds,
    /// Its histogram; empty if there is no room for it.
    sums: Vec<NodeSums>,
    best: NodeSplit,
}

impl OpenLeaf {
    fn range(&self) -> LeafRange {
        LeafRange {
            node: self.node,
            from: self.from,
            to: self.to,
        }
    }
}

/// Grows a tree, and returns it with the value of every group of rows that it was grown from.
pub fn grow(
    bins: &BinnedRows<u8>,
    layout: &HistogramLayout,
    features: &[usize],
    entries: &mut [WeightedGroup],
    rules: &TreeRules,
    room: &mut GrowingRoom,
) -> (DecisionTree, Vec<f64>) {
    grow_within(ROOM, bins, layout, features, entries, rules, room)
}

fn grow_within(
    most: usize,
    bins: &BinnedRows<u8>,
    layout: &HistogramLayout,
    features: &[usize],
    entries: &mut [WeightedGroup],
    rules: &TreeRules,
    room: &mut GrowingRoom,
) -> (DecisionTree, Vec<f64>) {
    let mut grower = LeafwiseGrower {
        bins,
        layout,
        features,
        rules,
        most_kept: most / (layout.cells.max(1) * size_of::<NodeSums>()),
        tree: DecisionTree::root(SplitNode::leaf(0.0, 0.0)),
        leaves: Vec::new(),
        done: Vec::new(),
        count: 1,
        room,
    };
    grower.plant(entries);
    while let Some(place) = best(&grower.leaves) {
        let leaf = grower.leaves.swap_remove(place);
        if grower.count >= rules.max_leaves {
            grower.done.push(leaf.range());
            continue;
        }
        grower.split(leaf, entries);
    }
    let mut values = vec![0.0; bins.groups];
    for leaf in grower.done {
        let value = grower.tree.nodes[leaf.node].value;
        for entry in &entries[leaf.from..leaf.to] {
            values[entry.group as usize] = value;
        }
    }
    (grower.tree, values)
}

/// The leaf whose split gains most; of equal ones the first that was made.
fn best(leaves: &[OpenLeaf]) -> Option<usize> {
    let by_gain = |a: &(usize, &OpenLeaf), b: &(usize, &OpenLeaf)| {
        a.1.best
            .gain
            .total_cmp(&b.1.best.gain)
            .then_with(|| b.1.node.cmp(&a.1.node))
    };
    leaves
        .iter()
        .enumerate()
        .max_by(by_gain)
        .map(|(place, _)| place)
}

/// The histogram of a leaf's one side, given those of the leaf and of the other.
fn less(mut whole: Vec<NodeSums>, part: &[NodeSums]) -> Vec<NodeSums> {
    for (whole, part) in whole.iter_mut().zip(part) {
        *whole = whole.less(*part);
    }
    whole
}

struct LeafwiseGrower<'a> {
    bins: &'a BinnedRows<u8>,
    layout: &'a HistogramLayout,
    features: &'a [usize],
    rules: &'a TreeRules,
    /// How many histograms of open leaves there is room for.
    most_kept: usize,
    tree: DecisionTree,
    leaves: Vec<OpenLeaf>,
    /// Leaves that stay.
    done: Vec<LeafRange>,
    /// How many leaves there are.
    count: usize,
    room: &'a mut GrowingRoom,
}

impl LeafwiseGrower<'_> {
    /// Makes the root.
    fn plant(&mut self, entries: &[WeightedGroup]) {
        let whole = WeightedGroup::sums(entries);
        let value = self.rules.value(whole, LeafBounds::NONE);
        self.tree.nodes[0] = SplitNode::leaf(value, whole.h);
        let root = NewLeaf {
            range: LeafRange {
                node: 0,
                from: 0,
                to: entries.len(),
            },
            depth: 0,
            whole,
            bounds: LeafBounds::NONE,
        };
        if self.rules.max_leaves > 1 && self.rules.max_depth > 0 && self.has_rows(&root) {
            let sums = self.histogram(entries, whole);
            match self.leaf(root, sums) {
                Ok(leaf) => return self.leaves.push(leaf),
                Err(sums) => self.room.pool.push(sums),
            }
        }
        self.done.push(root.range);
    }

    /// Whether a leaf has rows for two.
    fn has_rows(&self, leaf: &NewLeaf) -> bool {
        leaf.whole.n >= 2.0 * self.rules.min_leaf
    }

    fn can_split(&self, leaf: &NewLeaf) -> bool {
        leaf.depth < self.rules.max_depth
            && self.count < self.rules.max_leaves
            && self.has_rows(leaf)
    }

    /// Splits a leaf; its sides are open if they can be split in turn.
    fn split(&mut self, mut leaf: OpenLeaf, entries: &mut [WeightedGroup]) {
        let sums = std::mem::take(&mut leaf.sums);
        let mut sides = self.part(&leaf, entries);
        self.count += 1;
        for side in &sides {
            let h = side.whole.h + leaf.best.l2;
            let value = self.rules.value(NodeSums { h, ..side.whole }, side.bounds);
            let leaf = SplitNode::leaf(value, side.whole.h);
            self.tree.nodes.push(leaf);
        }
        // Leaves that cannot be split need no histogram.
        if !sides.iter().any(|side| self.can_split(side)) {
            self.done.extend(sides.map(|side| side.range));
            self.room.pool.push(sums);
            return;
        }
        // The smaller side is counted, the other one is what is left.
        let length = |side: &NewLeaf| side.range.to - side.range.from;
        if length(&sides[0]) > length(&sides[1]) {
            sides.swap(0, 1);
        }
        let [small, large] = sides;
        let of_small = self.count_side(&small, entries);
        let of_large = if sums.is_empty() {
            self.count_side(&large, entries)
        } else {
            less(sums, &of_small)
        };
        self.add(small, of_small);
        self.add(large, of_large);
    }

    /// Puts the entries of a leaf in order by its split; returns its two sides.
    fn part(&mut self, leaf: &OpenLeaf, entries: &mut [WeightedGroup]) -> [NewLeaf; 2] {
        let best = &leaf.best;
        let codes = &self.bins.codes[best.feature];
        let missing = self.bins.cuts[best.feature].missing();
        let below = self.tree.nodes.len();
        self.tree.split(leaf.node, self.bins, best, below);
        let own = &mut entries[leaf.from..leaf.to];
        let spare = &mut self.room.spare;
        let left = (self.tree).part(leaf.node, missing, own, spare, |entry| {
            u16::from(codes[entry.group as usize])
        });
        let middle = leaf.from + left;
        let (low, high) = self.rules.bounds(best, leaf.whole, leaf.bounds);
        let side = |node, from, to, whole, bounds| NewLeaf {
            range: LeafRange { node, from, to },
            depth: leaf.depth + 1,
            whole,
            bounds,
        };
        let rest = leaf.whole.less(best.left);
        [
            side(below, leaf.from, middle, best.left, low),
            side(below + 1, middle, leaf.to, rest, high),
        ]
    }

    fn count_side(&mut self, side: &NewLeaf, entries: &[WeightedGroup]) -> Vec<NodeSums> {
        self.histogram(&entries[side.range.from..side.range.to], side.whole)
    }

    /// Adds a leaf with its histogram: to those that are open if it can be split.
    fn add(&mut self, new: NewLeaf, sums: Vec<NodeSums>) {
        let leaf = match self.can_split(&new) {
            true => self.leaf(new, sums),
            false => Err(sums),
        };
        match leaf {
            Ok(mut leaf) => {
                if self.leaves.len() >= self.most_kept {
                    self.room.pool.push(std::mem::take(&mut leaf.sums));
                }
                self.leaves.push(leaf);
            }
            Err(sums) => {
                self.room.pool.push(sums);
                self.done.push(new.range);
            }
        }
    }

    /// Finds the best split of a leaf; without one its histogram comes back.
    fn leaf(&self, new: NewLeaf, sums: Vec<NodeSums>) -> Result<OpenLeaf, Vec<NodeSums>> {
        let NewLeaf {
            range: LeafRange { node, from, to },
            depth,
            whole,
            bounds,
        } = new;
        let here = NodeRows {
            whole,
            score: self.rules.score(whole, bounds),
            bounds,
        };
        let best = self.best_split(&here, &sums);
        match best {
            Some(best) => Ok(OpenLeaf {
                node,
                from,
                to,
                depth,
                whole,
                bounds,
                sums,
                best,
            }),
            None => Err(sums),
        }
    }

    /// Finds the best split; of equal ones that of the first feature.
    fn best_split(&self, here: &NodeRows, sums: &[NodeSums]) -> Option<NodeSplit> {
        let threads = rayon::current_num_threads();
        if threads == 1 || self.layout.cells < SCANNED {
            return self.best_among(self.features, here, sums);
        }
        // However they are dealt out, it is the best of all, of equal ones the first.
        let parts = self
            .features
            .par_chunks(self.features.len().div_ceil(2 * threads));
        let found = parts.map(|features| self.best_among(features, here, sums));
        let found: Vec<Option<NodeSplit>> = found.collect();
        let better = |a: NodeSplit, b: NodeSplit| if b.gain > a.gain { b } else { a };
        found.into_iter().flatten().reduce(better)
    }

    fn best_among(
        &self,
        features: &[usize],
        here: &NodeRows,
        sums: &[NodeSums],
    ) -> Option<NodeSplit> {
        let mut best = None;
        let mut cuts = CutGains::default();
        let is_by_sums = CutGains::takes(self.rules);
        for &feature in features {
            let bins = &sums[self.layout.of(self.bins, feature)];
            if self.bins.is_category(feature) {
                let filled = bins.iter().enumerate().filter(|(_, sums)| sums.n > 0.5);
                let filled = filled.map(|(bin, sums)| (bin as u16, *sums));
                let place = (feature, self.bins.cuts[feature].missing());
                scan_categories(self.rules, here, place, filled, None, &mut best);
                continue;
            }
            let (missing, present) = bins.split_last().expect("there is a last bin");
            if is_by_sums
                && missing.n <= 0.0
                && cuts.scan(self.rules, here, feature, present, &mut best)
            {
                continue;
            }
            let present = present.iter().enumerate().filter(|(_, sums)| sums.n > 0.5);
            let present = present.map(|(bin, sums)| (bin as u16, *sums));
            scan(
                self.rules, here, feature, present, *missing, None, &mut best,
            );
        }
        best
    }

    fn histogram(&mut self, entries: &[WeightedGroup], whole: NodeSums) -> Vec<NodeSums> {
        let mut sums = self.room.pool.pop().unwrap_or_default();
        sums.clear();
        sums.resize(self.layout.cells, NodeSums::default());
        let (bins, layout) = (self.bins, self.layout);
        let mut alone: Vec<bool> = vec![false; bins.features()];
        self.features
            .iter()
            .for_each(|feature| alone[*feature] = true);
        for pack in &bins.packs {
            let wanted = pack
                .features
                .iter()
                .filter(|feature| alone[**feature])
                .count();
            // It pays where the passes over the rows that it saves are more than its joint bins to
            // share out.
            let shared: usize = pack.shares.iter().map(|share| share.others.len()).sum();
            if wanted < 2 || entries.len() * (wanted - 1) < pack.joint + shared {
                continue;
            }
            let mut joint = [NodeSums::default(); 256];
            fill(&mut joint, &pack.codes, entries);
            for (feature, share) in pack.features.iter().zip(&pack.shares) {
                if std::mem::take(&mut alone[*feature]) {
                    let cells = &mut sums[layout.of(bins, *feature)];
                    let mut usual = whole;
                    for (at, bin) in &share.others {
                        let sums = joint[usize::from(*at)];
                        cells[usize::from(*bin)].add(sums);
                        usual = usual.less(sums);
                    }
                    cells[usize::from(share.usual)] = usual;
                }
            }
        }
        // The histograms of the features that are left, to be filled at once.
        let (mut rest, mut free) = (sums.as_mut_slice(), 0);
        let mut tasks: Vec<(&[u8], &mut [NodeSums])> = Vec::new();
        for feature in (0..alone.len()).filter(|feature| alone[*feature]) {
            let range = layout.of(bins, feature);
            let (mine, after) = rest
                .split_at_mut(range.start - free)
                .1
                .split_at_mut(range.len());
            tasks.push((&bins.codes[feature], mine));
            (rest, free) = (after, range.end);
        }
        let work = entries.len() * tasks.len();
        let of_block = |block: &mut [(&[u8], &mut [NodeSums])]| match block {
            [a, b, c, d] => fill_four(
                [&mut *a.1, &mut *b.1, &mut *c.1, &mut *d.1],
                [a.0, b.0, c.0, d.0],
                entries,
            ),
            _ => block
                .iter_mut()
                .for_each(|(codes, cells)| fill(cells, codes, entries)),
        };
        if work < SHARED || rayon::current_num_threads() == 1 {
            tasks.chunks_mut(TOGETHER).for_each(of_block);
        } else {
            tasks.par_chunks_mut(TOGETHER).for_each(of_block);
        }
        sums
    }
}

fn fill(cells: &mut [NodeSums], codes: &[u8], entries: &[WeightedGroup]) {
    for entry in entries {
        cells[usize::from(codes[entry.group as usize])].add(NodeSums {
            g: entry.g,
            h: entry.h,
            n: f64::from(entry.n),
        });
    }
}

fn fill_four(
    cells: [&mut [NodeSums]; TOGETHER],
    codes: [&[u8]; TOGETHER],
    entries: &[WeightedGroup],
) {
    let [first, second, third, fourth] = cells;
    for entry in entries {
        let (group, sums) = (
            entry.group as usize,
            NodeSums {
                g: entry.g,
                h: entry.h,
                n: f64::from(entry.n),
            },
        );
        first[usize::from(codes[0][group])].add(sums);
        second[usize::from(codes[1][group])].add(sums);
        third[usize::from(codes[2][group])].add(sums);
        fourth[usize::from(codes[3][group])].add(sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::categories::CategoryRules;
    use crate::trees::splits::SplitCriterion;

    #[test]
    fn a_tree_is_the_same_with_room_for_few_histograms() {
        let x = ndarray::Array2::from_shape_fn((400, 3), |(row, column)| {
            ((row * (31 + 12 * column)) % 97) as f64
        });
        let bins = BinnedRows::new(x.view(), &[]);
        // Whole numbers, so that sums are exact however they are made.
        let entry = |group: usize| WeightedGroup {
            group: group as u32,
            n: 1.0,
            g: ((group * 7) % 5) as f64 - 2.0,
            h: 1.0,
        };
        let entries: Vec<WeightedGroup> = (0..bins.groups).map(entry).collect();
        let rules = TreeRules {
            criterion: SplitCriterion::Squares,
            max_depth: 100,
            max_leaves: 40,
            min_leaf: 1.0,
            min_gain: 0.0,
            l2: 0.0,
            least_h: 0.0,
            l1: 0.0,
            max_step: f64::INFINITY,
            features: 3,
            random_cuts: false,
            middle_cuts: false,
            directions: Vec::new(),
            categories: CategoryRules::NONE,
        };
        let layout = HistogramLayout::new(&bins);
        let grown = |room: usize| {
            grow_within(
                room,
                &bins,
                &layout,
                &[0, 1, 2],
                &mut entries.clone(),
                &rules,
                &mut GrowingRoom::default(),
            )
        };
        let whole = grown(ROOM);
        assert_eq!(
            whole.0.nodes.iter().filter(|node| node.is_leaf()).count(),
            40
        );
        for kept in [0, 1, 3] {
            assert_eq!(
                grown(kept * layout.cells * size_of::<NodeSums>()),
                whole,
                "{kept} histograms"
            );
        }
    }
}
