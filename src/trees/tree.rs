//! A tree of decisions: its nodes, and the leaf that a row or a group comes to.

use ndarray::ArrayView1;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::trees::bin_code::BinCode;
use crate::trees::bins::BinnedRows;
use crate::trees::categories::CategorySet;
use crate::trees::splits::{LeftSide, NodeSplit};

/// The feature of a leaf.
const LEAF: u32 = u32::MAX;

/// No tree of ours is deeper: `max_depth` goes up to this.
pub(crate) const DEEPEST: usize = 1000;

/// What is asked of a feature: who goes left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SplitTest {
    /// Values up to a threshold.
    UpTo {
        /// The last bin; of a tree that was read from a file, 0.
        bin: u16,
        /// The greatest value.
        threshold: f64,
    },
    /// Some categories: the place of their set in the tree.
    Among(u32),
}

impl SplitTest {
    /// Values up to a threshold, where bins are not asked for.
    pub const fn up_to(threshold: f64) -> Self {
        Self::UpTo { bin: 0, threshold }
    }
}

/// A node of a tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplitNode {
    /// The feature that is asked; `u32::MAX` in a leaf.
    pub feature: u32,
    /// What is asked of it.
    pub test: SplitTest,
    /// Whether what is missing goes left.
    pub missing_left: bool,
    /// The nodes below.
    pub left: u32,
    /// The other one.
    pub right: u32,
    /// What a leaf tells.
    pub value: f64,
    /// The weight of the training rows that came here.
    pub cover: f64,
    /// What the split gained.
    pub gain: f64,
}

impl SplitNode {
    /// Returns a leaf.
    pub fn leaf(value: f64, cover: f64) -> Self {
        Self {
            feature: LEAF,
            test: SplitTest::up_to(0.0),
            missing_left: false,
            left: 0,
            right: 0,
            value,
            cover,
            gain: 0.0,
        }
    }

    /// Returns whether it is a leaf.
    pub fn is_leaf(&self) -> bool {
        self.feature == LEAF
    }
}

/// A tree: its root first, every node before those below it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredTree", into = "StoredTree")]
pub struct DecisionTree {
    /// The nodes.
    pub nodes: Vec<SplitNode>,
    /// The sets of categories that nodes ask for.
    pub sets: Vec<CategorySet>,
}

/// A tree as it is stored: a list for each property of the nodes.
#[derive(Serialize, Deserialize)]
struct StoredTree {
    feature: Vec<u32>,
    threshold: Vec<f64>,
    missing_left: Vec<bool>,
    left: Vec<u32>,
    right: Vec<u32>,
    value: Vec<f64>,
    cover: Vec<f64>,
    gain: Vec<f64>,
    /// The nodes that ask for categories, each with those that go left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    categories: Vec<(u32, CategorySet)>,
}

impl From<DecisionTree> for StoredTree {
    fn from(tree: DecisionTree) -> Self {
        let nodes = &tree.nodes;
        let threshold = |node: &SplitNode| match node.test {
            SplitTest::UpTo { threshold, .. } => threshold,
            SplitTest::Among(_) => 0.0,
        };
        let set = |(at, node): (u32, &SplitNode)| match node.test {
            SplitTest::UpTo { .. } => None,
            SplitTest::Among(set) => Some((at, tree.sets[set as usize])),
        };
        Self {
            feature: nodes.iter().map(|node| node.feature).collect(),
            threshold: nodes.iter().map(threshold).collect(),
            missing_left: nodes.iter().map(|node| node.missing_left).collect(),
            left: nodes.iter().map(|node| node.left).collect(),
            right: nodes.iter().map(|node| node.right).collect(),
            value: nodes.iter().map(|node| node.value).collect(),
            cover: nodes.iter().map(|node| node.cover).collect(),
            gain: nodes.iter().map(|node| node.gain).collect(),
            categories: (0..).zip(nodes).filter_map(set).collect(),
        }
    }
}

impl TryFrom<StoredTree> for DecisionTree {
    type Error = String;

    fn try_from(stored: StoredTree) -> Result<Self, String> {
        let count = stored.feature.len();
        let lengths = [
            stored.threshold.len(),
            stored.missing_left.len(),
            stored.left.len(),
            stored.right.len(),
            stored.value.len(),
            stored.cover.len(),
            stored.gain.len(),
        ];
        if count == 0 || lengths.iter().any(|length| *length != count) {
            return Err("a tree whose lists have different lengths".to_owned());
        }
        let node = |at: usize| {
            let (left, right) = (stored.left[at], stored.right[at]);
            let is_below = |node: u32| node as usize > at && (node as usize) < count;
            if stored.feature[at] != LEAF && !(is_below(left) && is_below(right)) {
                return Err(format!(
                    "the node {at} of a tree has no nodes below it where it says"
                ));
            }
            Ok(SplitNode {
                feature: stored.feature[at],
                test: SplitTest::up_to(stored.threshold[at]),
                missing_left: stored.missing_left[at],
                left,
                right,
                value: stored.value[at],
                cover: stored.cover[at],
                gain: stored.gain[at],
            })
        };
        let mut nodes: Vec<SplitNode> = (0..count).map(node).collect::<Result<_, String>>()?;
        for (place, (at, _)) in (0..).zip(&stored.categories) {
            let node = nodes.get_mut(*at as usize).filter(|node| !node.is_leaf());
            let Some(node) = node else {
                return Err("a tree with categories of a node that asks nothing".to_owned());
            };
            node.test = SplitTest::Among(place);
        }
        let sets = stored.categories.into_iter().map(|(_, set)| set).collect();
        Ok(Self { nodes, sets })
    }
}

impl DecisionTree {
    /// Returns a tree of one node.
    pub(crate) fn root(node: SplitNode) -> Self {
        Self {
            nodes: vec![node],
            sets: Vec::new(),
        }
    }

    /// Makes a leaf the node that carries a split out; those below it are `left` and the next.
    pub(crate) fn split<C: BinCode>(
        &mut self,
        at: usize,
        bins: &BinnedRows<C>,
        split: &NodeSplit,
        left: usize,
    ) {
        let cuts = &bins.cuts[split.feature];
        let test = match split.side {
            // After the last bin of all, whatever is present goes left.
            LeftSide::UpTo(bin) if usize::from(bin) + 1 >= cuts.bins() => SplitTest::UpTo {
                bin,
                threshold: f64::INFINITY,
            },
            LeftSide::UpTo(bin) => SplitTest::UpTo {
                bin,
                threshold: cuts.threshold(bin),
            },
            LeftSide::Among(set) => {
                self.sets.push(set);
                SplitTest::Among(self.sets.len() as u32 - 1)
            }
        };
        self.nodes[at] = SplitNode {
            feature: split.feature as u32,
            test,
            missing_left: split.missing_left,
            left: left as u32,
            right: left as u32 + 1,
            value: 0.0,
            cover: self.nodes[at].cover,
            gain: split.gain,
        };
    }

    /// Returns whether a value of its feature goes left at a node; NaN is missing.
    pub(crate) fn takes(&self, node: &SplitNode, value: f64) -> bool {
        match node.test {
            _ if value.is_nan() => node.missing_left,
            SplitTest::UpTo { threshold, .. } => value <= threshold,
            SplitTest::Among(set) => self.sets[set as usize].has_value(value),
        }
    }

    /// Returns whether a bin of its feature goes left at a node, `missing` being that of what is
    /// missing.
    pub(crate) fn takes_bin(&self, node: &SplitNode, bin: u16, missing: u16) -> bool {
        let is_among = match node.test {
            SplitTest::UpTo { bin: last, .. } => bin <= last,
            SplitTest::Among(set) => self.sets[set as usize].has(bin),
        };
        // No branch to be guessed.
        (is_among && bin != missing) | (node.missing_left && bin == missing)
    }

    /// Puts the entries of a node that go left, by the bins of its feature, before those that go
    /// right, and returns how many go left.
    pub(crate) fn part<T: Copy + Send>(
        &self,
        at: usize,
        missing: u16,
        entries: &mut [T],
        spare: &mut Vec<T>,
        bin: impl Fn(&T) -> u16 + Sync,
    ) -> usize {
        let node = &self.nodes[at];
        partition(entries, spare, |entry| {
            self.takes_bin(node, bin(entry), missing)
        })
    }

    /// Returns the value of the leaf to which `goes_left` leads.
    fn value(&self, goes_left: impl Fn(&SplitNode) -> bool) -> f64 {
        let mut node = &self.nodes[0];
        while !node.is_leaf() {
            node = &self.nodes[if goes_left(node) {
                node.left
            } else {
                node.right
            } as usize];
        }
        node.value
    }

    /// Returns the value of a row of features; NaN is missing.
    pub fn of_row(&self, row: ArrayView1<'_, f64>) -> f64 {
        self.value(|node| self.takes(node, row[node.feature as usize]))
    }

    /// Returns the value of a group of binned rows.
    pub fn of_group<C: BinCode>(&self, bins: &BinnedRows<C>, group: usize) -> f64 {
        self.value(|node| {
            let feature = node.feature as usize;
            self.takes_bin(
                node,
                bins.codes[feature][group].bin(),
                bins.cuts[feature].missing(),
            )
        })
    }

    /// Returns the most splits from the root to a leaf; none if a node stands below several.
    pub(crate) fn depth(&self) -> Option<usize> {
        let mut depths: Vec<Option<usize>> = vec![None; self.nodes.len()];
        depths[0] = Some(0);
        for (at, node) in self
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| !node.is_leaf())
        {
            let depth = depths[at]? + 1;
            for below in [node.left, node.right] {
                if depths[below as usize].replace(depth).is_some() {
                    return None;
                }
            }
        }
        depths.into_iter().max().flatten()
    }

    /// Tells of every group the leaf that it comes to, by the group's place: the groups, each with
    /// its place, are dealt out over the tree, one feature after the other.
    pub(crate) fn visit<C: BinCode>(
        &self,
        bins: &BinnedRows<C>,
        groups: &mut [(u32, u32)],
        spare: &mut Vec<(u32, u32)>,
        mut told: impl FnMut(usize, &SplitNode),
    ) {
        let mut open = vec![(0_usize, 0, groups.len())];
        while let Some((at, from, to)) = open.pop() {
            let node = &self.nodes[at];
            let mine = &mut groups[from..to];
            if node.is_leaf() {
                mine.iter()
                    .for_each(|(_, place)| told(*place as usize, node));
            } else if !mine.is_empty() {
                let feature = node.feature as usize;
                let (codes, missing) = (&bins.codes[feature], bins.cuts[feature].missing());
                let left = self.part(at, missing, mine, spare, |(group, _)| {
                    codes[*group as usize].bin()
                });
                open.push((node.left as usize, from, from + left));
                open.push((node.right as usize, from + left, to));
            }
        }
    }
}

/// Of fewer entries no thread but this one puts any in order.
const SHARED: usize = 1 << 16;

/// Puts the entries that go left before those that go right, both in the order they had, and
/// returns how many go left.
fn partition<T: Copy + Send>(
    entries: &mut [T],
    spare: &mut Vec<T>,
    goes_left: impl Fn(&T) -> bool + Sync,
) -> usize {
    let Some(first) = entries.first().copied() else {
        return 0;
    };
    if spare.len() < entries.len() {
        spare.resize(entries.len(), first);
    }
    let threads = rayon::current_num_threads();
    let part = match entries.len() < SHARED {
        true => entries.len(),
        false => entries.len().div_ceil(threads),
    };
    // Each thread parts its own; then what goes left moves together, and after it the rest.
    let lefts: Vec<usize> = match part == entries.len() {
        true => vec![part_own(entries, spare, &goes_left)],
        false => {
            let parts = entries.par_chunks_mut(part).zip(spare.par_chunks_mut(part));
            parts
                .map(|(own, spare)| part_own(own, spare, &goes_left))
                .collect()
        }
    };
    let mut end = 0;
    for (at, left) in lefts.iter().enumerate() {
        entries.copy_within(at * part..at * part + left, end);
        end += left;
    }
    let middle = end;
    for (at, left) in lefts.iter().enumerate() {
        let right = part.min(entries.len() - at * part) - left;
        entries[end..end + right].copy_from_slice(&spare[at * part..at * part + right]);
        end += right;
    }
    middle
}

/// Moves the entries that go left to the front, and writes the others to spare room; returns how
/// many go left.
fn part_own<T: Copy>(entries: &mut [T], spare: &mut [T], goes_left: impl Fn(&T) -> bool) -> usize {
    let (mut left, mut right) = (0, 0);
    for at in 0..entries.len() {
        // Written to both sides, one of which is written again: no branch to be guessed.
        let entry = entries[at];
        let is_left = goes_left(&entry);
        entries[left] = entry;
        spare[right] = entry;
        left += usize::from(is_left);
        right += usize::from(!is_left);
    }
    left
}
