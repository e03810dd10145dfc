//! A tree grown best leaf first, with histograms of all features at every leaf: for boosting.

use rayon::prelude::*;

use crate::trees::bins::{BinCuts, BinnedRows};
use crate::trees::grow::node;
use crate::trees::splits::{LeafBounds, NodeRows, NodeSplit, NodeSums, TreeRules, scan};
use crate::trees::tree::{DecisionTree, SplitNode, partition};

/// With fewer additions the work is not shared out.
const SHARED: usize = 1 << 21;

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
    pub fn new(bins: &BinnedRows) -> Self {
        let mut cells = 0;
        let offset = |cuts: &BinCuts| {
            let offset = cells;
            cells += cuts.bins() + 1;
            offset
        };
        let offsets = bins.cuts.iter().map(offset).collect();
        Self { offsets, cells }
    }

    fn of(&self, bins: &BinnedRows, feature: usize) -> std::ops::Range<usize> {
        self.offsets[feature]..self.offsets[feature] + bins.cuts[feature].bins() + 1
    }
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

/// Grows a tree, and returns it with the value of every group of rows that it was grown from.
pub fn grow(
    bins: &BinnedRows,
    layout: &HistogramLayout,
    features: &[usize],
    entries: &mut [WeightedGroup],
    rules: &TreeRules,
) -> (DecisionTree, Vec<f64>) {
    grow_within(ROOM, bins, layout, features, entries, rules)
}

fn grow_within(
    room: usize,
    bins: &BinnedRows,
    layout: &HistogramLayout,
    features: &[usize],
    entries: &mut [WeightedGroup],
    rules: &TreeRules,
) -> (DecisionTree, Vec<f64>) {
    let mut tree = LeafwiseGrower {
        bins,
        layout,
        features,
        rules,
        nodes: Vec::new(),
        pool: Vec::new(),
        spare: Vec::new(),
    };
    let whole = WeightedGroup::sums(entries);
    tree.nodes.push(SplitNode::leaf(
        rules.value(whole, LeafBounds::NONE),
        whole.h,
    ));
    let mut leaves: Vec<OpenLeaf> = Vec::new();
    let mut count = 1;
    let most_kept = room / (layout.cells.max(1) * size_of::<NodeSums>());
    let mut done: Vec<(usize, usize, usize)> = Vec::new();
    if rules.max_leaves > 1 && rules.max_depth > 0 && whole.n >= 2.0 * rules.min_leaf {
        let sums = tree.histogram(entries, whole);
        match tree.leaf(0, (0, entries.len()), 0, whole, LeafBounds::NONE, sums) {
            Ok(leaf) => leaves.push(leaf),
            Err(sums) => tree.pool.push(sums),
        }
    }
    if leaves.is_empty() {
        done.push((0, 0, entries.len()));
    }
    while let Some(place) = best(&leaves) {
        let OpenLeaf {
            node: at,
            from,
            to,
            depth,
            whole,
            bounds,
            sums,
            best,
        } = leaves.swap_remove(place);
        if count >= rules.max_leaves {
            done.push((at, from, to));
            continue;
        }
        let mine = &mut entries[from..to];
        let (codes, missing) = (&bins.codes[best.feature], bins.cuts[best.feature].missing());
        let below = tree.nodes.len();
        let asked = node(bins, &best, whole, below);
        let left = partition(mine, &mut tree.spare, |entry| {
            asked.takes_bin(codes[entry.group as usize], missing)
        });
        let middle = from + left;
        tree.nodes[at] = asked;
        let (low, high) = rules.bounds(&best, whole, bounds);
        count += 1;
        let rest = whole.less(best.left);
        let mut sides = [
            (below, (from, middle), best.left, low),
            (below + 1, (middle, to), rest, high),
        ];
        for (_, _, whole, bounds) in &sides {
            tree.nodes
                .push(SplitNode::leaf(rules.value(*whole, *bounds), whole.h));
        }
        // Leaves that cannot be split need no histogram.
        let can = |whole: &NodeSums| {
            depth + 1 < rules.max_depth
                && count < rules.max_leaves
                && whole.n >= 2.0 * rules.min_leaf
        };
        if !can(&sides[0].2) && !can(&sides[1].2) {
            done.extend(
                sides
                    .iter()
                    .map(|(node, (from, to), ..)| (*node, *from, *to)),
            );
            tree.pool.push(sums);
            continue;
        }
        // The smaller side is counted, the other one is what is left.
        let length = |side: &(usize, (usize, usize), NodeSums, LeafBounds)| side.1.1 - side.1.0;
        if length(&sides[0]) > length(&sides[1]) {
            sides.swap(0, 1);
        }
        let (start, end) = sides[0].1;
        let small = tree.histogram(&entries[start..end], sides[0].2);
        let large = if sums.is_empty() {
            let (start, end) = sides[1].1;
            tree.histogram(&entries[start..end], sides[1].2)
        } else {
            let mut large = sums;
            large
                .iter_mut()
                .zip(&small)
                .for_each(|(whole, part)| *whole = whole.less(*part));
            large
        };
        for ((node, (from, to), whole, bounds), sums) in sides.into_iter().zip([small, large]) {
            let leaf = match can(&whole) {
                true => tree.leaf(node, (from, to), depth + 1, whole, bounds, sums),
                false => Err(sums),
            };
            match leaf {
                Ok(mut leaf) => {
                    if leaves.len() >= most_kept {
                        tree.pool.push(std::mem::take(&mut leaf.sums));
                    }
                    leaves.push(leaf);
                }
                Err(sums) => {
                    tree.pool.push(sums);
                    done.push((node, from, to));
                }
            }
        }
    }
    let mut values = vec![0.0; bins.groups];
    for (node, from, to) in done {
        let value = tree.nodes[node].value;
        entries[from..to]
            .iter()
            .for_each(|entry| values[entry.group as usize] = value);
    }
    (DecisionTree { nodes: tree.nodes }, values)
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

struct LeafwiseGrower<'a> {
    bins: &'a BinnedRows,
    layout: &'a HistogramLayout,
    features: &'a [usize],
    rules: &'a TreeRules,
    nodes: Vec<SplitNode>,
    /// Histograms that are not needed any more, to be used again.
    pool: Vec<Vec<NodeSums>>,
    spare: Vec<WeightedGroup>,
}

impl LeafwiseGrower<'_> {
    /// Finds the best split of a leaf; without one its histogram comes back.
    fn leaf(
        &self,
        node: usize,
        (from, to): (usize, usize),
        depth: usize,
        whole: NodeSums,
        bounds: LeafBounds,
        sums: Vec<NodeSums>,
    ) -> Result<OpenLeaf, Vec<NodeSums>> {
        let here = NodeRows {
            whole,
            score: self.rules.score(whole, bounds),
            bounds,
        };
        let mut best = None;
        for &feature in self.features {
            let (missing, present) = sums[self.layout.of(self.bins, feature)]
                .split_last()
                .expect("there is a last bin");
            let present = present.iter().enumerate().filter(|(_, sums)| sums.n > 0.5);
            let present = present.map(|(bin, sums)| (bin as u8, *sums));
            scan(
                self.rules, &here, feature, present, *missing, None, &mut best,
            );
        }
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

    fn histogram(&mut self, entries: &[WeightedGroup], whole: NodeSums) -> Vec<NodeSums> {
        let mut sums = self.pool.pop().unwrap_or_default();
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
        if work < SHARED {
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
    use crate::trees::splits::SplitCriterion;

    #[test]
    fn a_tree_is_the_same_with_room_for_few_histograms() {
        let x = ndarray::Array2::from_shape_fn((400, 3), |(row, column)| {
            ((row * (31 + 12 * column)) % 97) as f64
        });
        let bins = BinnedRows::new(x.view());
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
            features: 3,
            random_cuts: false,
            directions: Vec::new(),
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
