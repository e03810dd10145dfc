//! Trees laid out to be asked: a quarter of the memory of the nodes they were grown as, and several
//! walks at a time.
//!
//! How: the children of a node stand side by side, so that a step is an addition, not a branch that
//! the processor has to guess; a leaf leads to itself. A walk waits for memory at each step, so
//! eight of them go side by side: of eight rows down one tree, or of one row down eight trees. What
//! a row is told is added up in the order of the trees either way, so that it is the same bits.

use ndarray::ArrayView2;

use crate::trees::categories::CategorySet;
use crate::trees::tree::{DecisionTree, SplitTest};

/// So many walks go side by side.
const ABREAST: usize = 8;

/// Set in the feature of a node that sends what is missing left.
const MISSING_LEFT: u32 = 1 << 31;

/// Set in the feature of a node that asks for categories.
const AMONG: u32 = 1 << 30;

/// A node: where its children stand, and who goes to the first of them.
#[derive(Clone, Copy, Debug)]
struct CompactNode {
    /// The greatest value that goes to the first; of categories the place of their set, as a
    /// number.
    threshold: f64,
    /// The feature, and in its highest bits where what is missing goes and whether categories are
    /// asked for.
    feature: u32,
    /// The first child; of a leaf itself.
    first: u32,
}

impl CompactNode {
    /// Returns where a row goes from here.
    fn next(self, row: &[f64], sets: &[CategorySet]) -> u32 {
        let value = row[(self.feature & !(MISSING_LEFT | AMONG)) as usize];
        let is_among = match self.feature & AMONG == 0 {
            true => value <= self.threshold,
            false => sets[self.threshold as usize].has_value(value),
        };
        let goes_left = is_among | (value.is_nan() & (self.feature & MISSING_LEFT != 0));
        self.first + u32::from(!goes_left)
    }
}

/// Trees, all of their nodes in one list.
#[derive(Clone, Debug)]
pub(crate) struct CompactTrees {
    nodes: Vec<CompactNode>,
    /// The sets of categories of all trees.
    sets: Vec<CategorySet>,
    /// What each leaf tells.
    values: Vec<f64>,
    /// Of each tree its root, and the most steps from there to a leaf.
    roots: Vec<(u32, u32)>,
}

impl CompactTrees {
    /// Lays out trees.
    pub(crate) fn new(trees: &[DecisionTree]) -> Self {
        let count = trees.iter().map(|tree| tree.nodes.len()).sum();
        let mut compact = Self {
            nodes: Vec::with_capacity(count),
            sets: Vec::new(),
            values: Vec::with_capacity(count),
            roots: Vec::with_capacity(trees.len()),
        };
        for tree in trees {
            compact.add(tree);
        }
        compact
    }

    /// Adds a tree, level by level.
    fn add(&mut self, tree: &DecisionTree) {
        let (root, sets) = (self.nodes.len(), self.sets.len());
        self.sets.extend(&tree.sets);
        let mut level = vec![0_u32];
        let mut depth = 0;
        // The nodes of a level stand in order, those below them right after the level.
        while !level.is_empty() {
            let mut below = Vec::new();
            let begin = self.nodes.len() + level.len();
            for at in level {
                let node = &tree.nodes[at as usize];
                let compact = match node.is_leaf() {
                    true => CompactNode {
                        threshold: f64::INFINITY,
                        feature: MISSING_LEFT,
                        first: self.nodes.len() as u32,
                    },
                    false => {
                        let first = (begin + below.len()) as u32;
                        below.extend([node.left, node.right]);
                        let missing = if node.missing_left { MISSING_LEFT } else { 0 };
                        let (threshold, kind) = match node.test {
                            SplitTest::UpTo { threshold, .. } => (threshold, 0),
                            SplitTest::Among(set) => ((sets + set as usize) as f64, AMONG),
                        };
                        CompactNode {
                            threshold,
                            feature: node.feature | missing | kind,
                            first,
                        }
                    }
                };
                self.nodes.push(compact);
                self.values.push(node.value);
            }
            depth += u32::from(!below.is_empty());
            level = below;
        }
        self.roots.push((root as u32, depth));
    }

    /// Returns the sum of what the trees tell of each row of features; NaN is missing. The rows are
    /// to be few enough for a tree to stay in the cache while it is asked about all of them.
    pub(crate) fn sums(&self, x: ArrayView2<'_, f64>) -> Vec<f64> {
        let x = x.as_standard_layout();
        let width = x.ncols();
        let cells = x.as_slice().expect("it stands row by row");
        if width == 0 || x.nrows() < ABREAST {
            let rows = (0..x.nrows()).map(|row| &cells[row * width..(row + 1) * width]);
            return rows.map(|row| self.sum_of_row(row)).collect();
        }
        let mut sums = vec![0.0; x.nrows()];
        for &(root, depth) in &self.roots {
            self.ask_tree(root, depth, cells, width, |row, value| sums[row] += value);
        }
        sums
    }

    /// Tells what each tree tells of each row, tree by tree: the tree, the row, and the value of
    /// the leaf.
    pub(crate) fn ask(&self, x: ArrayView2<'_, f64>, mut told: impl FnMut(usize, usize, f64)) {
        let x = x.as_standard_layout();
        let cells = x.as_slice().expect("it stands row by row");
        for (tree, &(root, depth)) in self.roots.iter().enumerate() {
            self.ask_tree(root, depth, cells, x.ncols(), |row, value| {
                told(tree, row, value)
            });
        }
    }

    /// Tells what one tree tells of each row; there is a feature.
    fn ask_tree(
        &self,
        root: u32,
        depth: u32,
        cells: &[f64],
        width: usize,
        mut told: impl FnMut(usize, f64),
    ) {
        let groups = cells.chunks(ABREAST * width);
        for (group, cells) in groups.enumerate() {
            let mut at = [root; ABREAST];
            let walks = &mut at[..cells.len() / width];
            for _ in 0..depth {
                let mut moved = 0;
                for (walk, row) in walks.iter_mut().zip(cells.chunks_exact(width)) {
                    let next = self.nodes[*walk as usize].next(row, &self.sets);
                    moved |= next ^ *walk;
                    *walk = next;
                }
                if moved == 0 {
                    break;
                }
            }
            for (place, walk) in walks.iter().enumerate() {
                told(group * ABREAST + place, self.values[*walk as usize]);
            }
        }
    }

    /// Returns the sum of what the trees tell of one row.
    fn sum_of_row(&self, row: &[f64]) -> f64 {
        let mut sum = 0.0;
        for roots in self.roots.chunks(ABREAST) {
            let mut at = [0; ABREAST];
            let mut deepest = 0;
            for (walk, (root, depth)) in at.iter_mut().zip(roots) {
                *walk = *root;
                deepest = deepest.max(*depth);
            }
            let walks = &mut at[..roots.len()];
            for _ in 0..deepest {
                let mut moved = 0;
                for walk in walks.iter_mut() {
                    let next = self.nodes[*walk as usize].next(row, &self.sets);
                    moved |= next ^ *walk;
                    *walk = next;
                }
                if moved == 0 {
                    break;
                }
            }
            for walk in walks {
                sum += self.values[*walk as usize];
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;
    use crate::trees::tree::SplitNode;

    /// A tree whose splits follow from a few numbers.
    fn tree(choices: &[(u8, i8, bool)]) -> DecisionTree {
        let (mut nodes, mut sets) = (vec![SplitNode::leaf(0.5, 1.0)], Vec::new());
        for (at, (feature, threshold, missing_left)) in choices.iter().enumerate() {
            let leaves: Vec<usize> = (0..nodes.len()).filter(|at| nodes[*at].is_leaf()).collect();
            let split = leaves[(at * 7 + usize::from(*feature)) % leaves.len()];
            let below = nodes.len() as u32;
            for side in 0..2 {
                nodes.push(SplitNode::leaf((at * 2 + side) as f64 / 3.0, 1.0));
            }
            // The last feature is one of categories.
            let test = match *feature % 3 {
                2 => {
                    let mut set = CategorySet::default();
                    let bits = (threshold + 4) as u16;
                    let mine = (0..4).filter(|category| bits >> category & 1 == 1);
                    mine.for_each(|category| set.insert(category));
                    sets.push(set);
                    SplitTest::Among(sets.len() as u32 - 1)
                }
                _ => SplitTest::up_to(f64::from(*threshold)),
            };
            nodes[split] = SplitNode {
                feature: u32::from(*feature % 3),
                test,
                missing_left: *missing_left,
                left: below,
                right: below + 1,
                ..nodes[split]
            };
        }
        DecisionTree { nodes, sets }
    }

    proptest! {
        #[test]
        fn they_tell_what_the_trees_tell(
            trees in prop::collection::vec(prop::collection::vec((0_u8..9, -3_i8..4, any::<bool>()), 0..12), 1..20),
            cells in prop::collection::vec(prop_oneof![Just(f64::NAN), Just(f64::INFINITY), (-4_i8..5).prop_map(f64::from)], 0..90),
        ) {
            let trees: Vec<DecisionTree> = trees.iter().map(|choices| tree(choices)).collect();
            let rows = cells.len() / 3;
            let x = Array2::from_shape_vec((rows, 3), cells[..rows * 3].to_vec()).unwrap();
            let expected: Vec<u64> = x
                .rows()
                .into_iter()
                .map(|row| trees.iter().fold(0.0, |sum, tree| sum + tree.of_row(row)).to_bits())
                .collect();
            let compact = CompactTrees::new(&trees);
            let told = |x: ArrayView2<'_, f64>| compact.sums(x).iter().map(|sum| sum.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(told(x.view()), expected.clone());
            let one_by_one: Vec<u64> = x.rows().into_iter().flat_map(|row| told(row.insert_axis(ndarray::Axis(0)))).collect();
            prop_assert_eq!(one_by_one, expected);
        }
    }
}
