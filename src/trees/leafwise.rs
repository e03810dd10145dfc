//! A tree grown best leaf first, with histograms of all features at every leaf: for boosting.
//!
//! How: a leaf is a range of the groups, which are put in order as leaves are split, and has a
//! histogram: of every bin of every feature, the sums of its rows' gradients, hessians and counts.
//! The best split of a leaf is found from its histogram alone. Of the two sides of a split only the
//! smaller is counted; the larger one is the whole less the smaller (Ke et al., 2017). Leaves whose
//! histogram does not fit into the room for them are counted again when they are split.
//!
//! The invariant: the ranges of open and done leaves together are all groups, each once. Sums are
//! whole numbers, so that any number of threads grows the same tree.

use rayon::prelude::*;

use crate::trees::bin_sums::{BinSums, SumScale, WeightedGroup};
use crate::trees::bins::BinnedRows;
use crate::trees::category_splits::scan_categories;
use crate::trees::cut_gains::CutGains;
use crate::trees::histograms::{HistogramLayout, HistogramShard, HistogramSource, LeafRows};
use crate::trees::splits::{LeafBounds, NodeRows, NodeSplit, NodeSums, TreeRules, scan};
use crate::trees::tree::{DecisionTree, SplitNode};

/// Of less work, in additions and bins, no thread but this one does any.
const SHARED: usize = 1 << 15;

/// Histograms of open leaves take this many bytes at most; those of more leaves are counted again
/// when they are needed.
const ROOM: usize = 512 << 20;

/// A histogram: the bins of each shard; none if there is no room for it.
type LeafHistogram = Vec<Vec<BinSums>>;

/// Room that is used again from tree to tree.
#[derive(Default)]
pub struct GrowingRoom {
    /// Histograms that are not needed any more.
    pool: Vec<LeafHistogram>,
    /// Of every group its sums.
    sums: Vec<BinSums>,
    /// The groups, in the order of the leaves.
    order: Vec<u32>,
    spare: Vec<u32>,
}

/// The groups of a leaf: a range of them.
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
    new: NewLeaf,
    sums: LeafHistogram,
    best: NodeSplit,
}

/// Grows a tree from groups of rows, and returns it with the value of each that has rows.
pub fn grow(
    bins: &BinnedRows<u8>,
    layout: &HistogramLayout,
    features: &[usize],
    groups: &[WeightedGroup],
    rules: &TreeRules,
    room: &mut GrowingRoom,
) -> (DecisionTree, Vec<f64>) {
    grow_within(ROOM, bins, layout, features, groups, rules, room)
}

fn grow_within(
    most: usize,
    bins: &BinnedRows<u8>,
    layout: &HistogramLayout,
    features: &[usize],
    groups: &[WeightedGroup],
    rules: &TreeRules,
    room: &mut GrowingRoom,
) -> (DecisionTree, Vec<f64>) {
    let scale = SumScale::of(groups);
    let mut order = std::mem::take(&mut room.order);
    order.clear();
    order.extend(
        (0..)
            .zip(groups)
            .filter(|(_, rows)| rows.n > 0)
            .map(|(group, _)| group),
    );
    (groups
        .par_iter()
        .with_min_len(SHARED / 8)
        .map(|group| scale.scaled(group)))
    .collect_into_vec(&mut room.sums);
    let mut asked = vec![false; bins.features()];
    features.iter().for_each(|feature| asked[*feature] = true);
    let mut grower = LeafwiseGrower {
        source: HistogramSource {
            bins,
            layout,
            asked: &asked,
        },
        rules,
        scale,
        most_kept: most / (layout.cells().max(1) * size_of::<BinSums>()),
        tree: DecisionTree::root(SplitNode::leaf(0.0, 0.0)),
        leaves: Vec::new(),
        done: Vec::new(),
        count: 1,
        room,
    };
    grower.plant(&order);
    while let Some(place) = best(&grower.leaves) {
        let leaf = grower.leaves.swap_remove(place);
        if grower.count >= rules.max_leaves {
            grower.close(leaf.new.range, leaf.sums);
            continue;
        }
        grower.split(leaf, &mut order);
    }
    let mut values = vec![0.0; groups.len()];
    for leaf in &grower.done {
        let value = grower.tree.nodes[leaf.node].value;
        for group in &order[leaf.from..leaf.to] {
            values[*group as usize] = value;
        }
    }
    let tree = grower.tree;
    room.order = order;
    (tree, values)
}

/// The leaf whose split gains most; of equal ones the first that was made.
fn best(leaves: &[OpenLeaf]) -> Option<usize> {
    let by_gain = |a: &(usize, &OpenLeaf), b: &(usize, &OpenLeaf)| {
        a.1.best
            .gain
            .total_cmp(&b.1.best.gain)
            .then_with(|| b.1.new.range.node.cmp(&a.1.new.range.node))
    };
    leaves
        .iter()
        .enumerate()
        .max_by(by_gain)
        .map(|(place, _)| place)
}

/// The better of two splits; of equal ones that of the first feature.
fn better(a: Option<NodeSplit>, b: Option<NodeSplit>) -> Option<NodeSplit> {
    let (Some(first), Some(second)) = (a, b) else {
        return a.or(b);
    };
    let by_gain = first.gain.total_cmp(&second.gain);
    match by_gain.then(second.feature.cmp(&first.feature)) {
        std::cmp::Ordering::Less => b,
        _ => a,
    }
}

/// Takes one side of a leaf away from its histogram: what is left is the other side's.
fn take_away(whole: &mut [BinSums], part: &[BinSums]) {
    for (whole, part) in whole.iter_mut().zip(part) {
        *whole = whole.less(*part);
    }
}

/// A shard of the histograms of both sides of a split.
struct SideShards<'a> {
    shard: &'a HistogramShard,
    small: &'a mut [BinSums],
    /// That of the leaf that was split, if there was room for it, and then of its larger side.
    large: &'a mut [BinSums],
}

/// The best splits of both sides of a split.
type BestOfBoth = [Option<NodeSplit>; 2];

struct LeafwiseGrower<'a> {
    source: HistogramSource<'a>,
    rules: &'a TreeRules,
    scale: SumScale,
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
    fn plant(&mut self, order: &[u32]) {
        let sum = |mut sum: BinSums, sums: &BinSums| {
            sum.add(*sums);
            sum
        };
        let parts = self
            .room
            .sums
            .par_iter()
            .with_min_len(SHARED / 8)
            .fold(BinSums::default, sum);
        let whole = parts.reduce(BinSums::default, |a, b| sum(a, &b));
        let whole = self.scale.sums(whole);
        let value = self.rules.value(whole, LeafBounds::NONE);
        self.tree.nodes[0] = SplitNode::leaf(value, whole.h);
        let root = NewLeaf {
            range: LeafRange {
                node: 0,
                from: 0,
                to: order.len(),
            },
            depth: 0,
            whole,
            bounds: LeafBounds::NONE,
        };
        match self.can_split(&root) {
            true => {
                let (sums, best) = self.look_at_root(&root, order);
                self.add(root, sums, best);
            }
            false => self.done.push(root.range),
        }
    }

    fn can_split(&self, leaf: &NewLeaf) -> bool {
        leaf.depth < self.rules.max_depth
            && self.count < self.rules.max_leaves
            && leaf.whole.n >= 2.0 * self.rules.min_leaf
    }

    /// Splits a leaf; its sides are open if they can be split in turn.
    fn split(&mut self, mut leaf: OpenLeaf, order: &mut [u32]) {
        let sums = std::mem::take(&mut leaf.sums);
        let mut sides = self.part(&leaf, order);
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
        let [of_small, of_large] = self.look_at(&sides, sums, order);
        let [small, large] = sides;
        self.add(small, of_small.0, of_small.1);
        self.add(large, of_large.0, of_large.1);
    }

    /// Puts the groups of a leaf in order by its split; returns its two sides.
    fn part(&mut self, leaf: &OpenLeaf, order: &mut [u32]) -> [NewLeaf; 2] {
        let (new, best) = (&leaf.new, &leaf.best);
        let LeafRange { node, from, to } = new.range;
        let bins = self.source.bins;
        let codes = &bins.codes[best.feature];
        let missing = bins.cuts[best.feature].missing();
        let below = self.tree.nodes.len();
        self.tree.split(node, bins, best, below);
        let own = &mut order[from..to];
        let spare = &mut self.room.spare;
        let left = (self.tree).part(node, missing, own, spare, |group| {
            u16::from(codes[*group as usize])
        });
        let middle = from + left;
        let (low, high) = self.rules.bounds(best, new.whole, new.bounds);
        let side = |node, from, to, whole, bounds| NewLeaf {
            range: LeafRange { node, from, to },
            depth: new.depth + 1,
            whole,
            bounds,
        };
        let rest = new.whole.less(best.left);
        [
            side(below, from, middle, best.left, low),
            side(below + 1, middle, to, rest, high),
        ]
    }

    /// Room for a histogram.
    fn free(&mut self) -> LeafHistogram {
        let mut cells = self.room.pool.pop().unwrap_or_default();
        let shards = &self.source.layout.shards;
        cells.resize_with(shards.len(), Vec::new);
        for (cells, shard) in cells.iter_mut().zip(shards) {
            cells.resize(shard.cells, BinSums::default());
        }
        cells
    }

    fn rows<'r>(&'r self, leaf: &NewLeaf, order: &'r [u32]) -> LeafRows<'r> {
        LeafRows {
            groups: &order[leaf.range.from..leaf.range.to],
            sums: &self.room.sums,
            whole: self.scale.back(leaf.whole),
        }
    }

    /// Counts the root, and finds its best split.
    fn look_at_root(
        &mut self,
        root: &NewLeaf,
        order: &[u32],
    ) -> (LeafHistogram, Option<NodeSplit>) {
        let mut cells = self.free();
        let rows = self.rows(root, order);
        let shards = self.source.layout.shards.par_iter().zip(&mut cells);
        let found = shards.map(|(shard, cells)| {
            self.source.fill(shard, cells, rows);
            self.best_among(&shard.features, root, cells)
        });
        let best = found.reduce(|| None, better);
        (cells, best)
    }

    /// Counts the smaller side of a leaf, which has a histogram if there was room for it, and finds
    /// the best split of both.
    fn look_at(
        &mut self,
        [small, large]: &[NewLeaf; 2],
        whole: LeafHistogram,
        order: &[u32],
    ) -> [(LeafHistogram, Option<NodeSplit>); 2] {
        let is_kept = !whole.is_empty();
        let mut of_small = self.free();
        let mut of_large = match is_kept {
            true => whole,
            false => self.free(),
        };
        let rows = [self.rows(small, order), self.rows(large, order)];
        let layout = self.source.layout;
        let shards = layout.shards.iter().zip(&mut of_small).zip(&mut of_large);
        let mut shards: Vec<SideShards<'_>> = shards
            .map(|((shard, small), large)| SideShards {
                shard,
                small,
                large,
            })
            .collect();
        let look = |sides: &mut SideShards<'_>| {
            let shard = sides.shard;
            self.source.fill(shard, sides.small, rows[0]);
            match is_kept {
                true => take_away(sides.large, sides.small),
                false => self.source.fill(shard, sides.large, rows[1]),
            }
            [
                self.best_among(&shard.features, small, sides.small),
                self.best_among(&shard.features, large, sides.large),
            ]
        };
        let both = |a: BestOfBoth, b: BestOfBoth| [better(a[0], b[0]), better(a[1], b[1])];
        let work = rows[0].groups.len() * self.source.asked.len() + layout.cells();
        let best = match work < SHARED {
            true => shards.iter_mut().map(look).fold([None; 2], both),
            false => shards.par_iter_mut().map(look).reduce(|| [None; 2], both),
        };
        [(of_small, best[0]), (of_large, best[1])]
    }

    /// Adds a leaf with its histogram: to those that are open if it has a best split.
    fn add(&mut self, new: NewLeaf, mut sums: LeafHistogram, best: Option<NodeSplit>) {
        let Some(best) = best else {
            return self.close(new.range, sums);
        };
        if self.leaves.len() >= self.most_kept {
            self.room.pool.push(std::mem::take(&mut sums));
        }
        self.leaves.push(OpenLeaf { new, sums, best });
    }

    /// Lets a leaf stay, which needs its histogram no more.
    fn close(&mut self, leaf: LeafRange, sums: LeafHistogram) {
        self.room.pool.push(sums);
        self.done.push(leaf);
    }

    /// Finds the best split of a leaf that can be split among the features of a shard; of equal ones
    /// that of the first.
    fn best_among(
        &self,
        features: &[usize],
        leaf: &NewLeaf,
        sums: &[BinSums],
    ) -> Option<NodeSplit> {
        if !self.can_split(leaf) {
            return None;
        }
        let here = &NodeRows {
            whole: leaf.whole,
            score: self.rules.score(leaf.whole, leaf.bounds),
            bounds: leaf.bounds,
        };
        let HistogramSource {
            bins,
            layout,
            asked,
        } = self.source;
        let mut best = None;
        let mut cuts = CutGains::new(self.rules, &self.scale, here);
        let filled = |cells: &[BinSums]| -> Vec<(u16, NodeSums)> {
            let each = cells.iter().map(|sums| self.scale.sums(*sums));
            (0..).zip(each).filter(|(_, sums)| sums.n > 0.0).collect()
        };
        for &feature in features.iter().filter(|feature| asked[**feature]) {
            let cells = &sums[layout.of(bins, feature)];
            if bins.is_category(feature) {
                let place = (feature, bins.cuts[feature].missing());
                let filled = filled(cells).into_iter();
                scan_categories(self.rules, here, place, filled, None, &mut best);
                continue;
            }
            let (missing, present) = cells.split_last().expect("there is a last bin");
            let is_done = cuts
                .as_mut()
                .is_some_and(|cuts| cuts.scan(feature, present, *missing, &mut best));
            if !is_done {
                let (filled, missing) = (filled(present).into_iter(), self.scale.sums(*missing));
                scan(self.rules, here, feature, filled, missing, None, &mut best);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::categories::CategoryRules;
    use crate::trees::splits::SplitCriterion;

    fn bins() -> BinnedRows<u8> {
        let x = ndarray::Array2::from_shape_fn((400, 30), |(row, column)| {
            ((row + 1) * (column + 3) * 2_654_435_761 % 1_000_003) as f64
        });
        BinnedRows::new(x.view(), &[])
    }

    /// Grows a tree of 40 leaves with room for so many histograms.
    fn grown(
        bins: &BinnedRows<u8>,
        layout: &HistogramLayout,
        kept: usize,
    ) -> (DecisionTree, Vec<f64>) {
        let group = |group: usize| WeightedGroup {
            n: 1,
            g: ((group * 7) % 5) as f64 - 2.0,
            h: 1.0,
        };
        let groups: Vec<WeightedGroup> = (0..bins.groups).map(group).collect();
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
            features: 30,
            random_cuts: false,
            middle_cuts: false,
            directions: Vec::new(),
            categories: CategoryRules::NONE,
        };
        let features: Vec<usize> = (0..bins.features()).collect();
        grow_within(
            kept * layout.cells() * size_of::<BinSums>(),
            bins,
            layout,
            &features,
            &groups,
            &rules,
            &mut GrowingRoom::default(),
        )
    }

    #[test]
    fn a_tree_is_the_same_with_room_for_few_histograms() {
        let bins = bins();
        let layout = HistogramLayout::of_shards(&bins, 1);
        let whole = grown(&bins, &layout, 100);
        let leaves = whole.0.nodes.iter().filter(|node| node.is_leaf());
        assert_eq!(leaves.count(), 40);
        for kept in [0, 1, 3] {
            assert_eq!(grown(&bins, &layout, kept), whole, "{kept} histograms");
        }
    }

    #[test]
    fn a_tree_is_the_same_for_any_number_of_shards() {
        let bins = bins();
        let whole = grown(&bins, &HistogramLayout::of_shards(&bins, 1), 100);
        for shards in [2, 3, 4] {
            let layout = HistogramLayout::of_shards(&bins, shards);
            assert_eq!(layout.shards.len(), shards);
            assert_eq!(grown(&bins, &layout, 100), whole, "{shards} shards");
        }
    }
}
