//! Which features a prediction comes from (TreeSHAP), and which a model as a whole.
//!
//! How: a Shapley value is the mean over all orders in which features become known of what one
//! adds. For a tree the sum over subsets is carried along the way to each leaf: a path keeps, of
//! every feature met so far, the share of rows that pass its splits when it is not known and when
//! it is, and a weight for each size of subset (`extend`). At a leaf each feature is taken out
//! again (`unwind`), which leaves the weight of the subsets without it, and what it adds is that
//! weight times the leaf's value times the difference of its two shares. A feature that is met
//! twice is unwound and put in again with the product of its shares.
//!
//! The invariant: base and values add up to the prediction before the link.

use ndarray::{ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

use crate::trees::class_ensemble::{ClassEnsemble, ClassLink};
use crate::trees::ensemble::{LinkFunction, TreeEnsemble};
use crate::trees::tree::{DecisionTree, SplitNode};

/// Of a row, how much every feature moves the prediction away from what is expected of any row.
#[derive(Clone, Debug, PartialEq)]
pub struct ShapValues {
    /// What is expected of any row, before the link: of forests a probability, of boosted trees the
    /// logarithm of the odds.
    pub base: f64,
    /// What every feature adds to it.
    pub values: Vec<f64>,
}

/// A feature on the way to a leaf: the shares of rows that go on when it is not known and when it
/// is, and the weight of the subsets of the others.
#[derive(Clone, Copy)]
struct PathFeature {
    feature: u32,
    zero: f64,
    one: f64,
    weight: f64,
}

impl TreeEnsemble {
    /// What the values of trees are multiplied with before the link.
    pub(crate) fn scale(&self) -> f64 {
        match &self.link {
            LinkFunction::Mean | LinkFunction::Isolation => 1.0 / self.trees.len().max(1) as f64,
            LinkFunction::Logistic(_) => 1.0,
            LinkFunction::Votes(weights) => match weights.iter().sum::<f64>() {
                whole if whole > 0.0 => 2.0 / whole,
                _ => 0.0,
            },
        }
    }

    /// Returns what the values of an explanation add up to.
    pub fn unit(&self) -> &'static str {
        match self.link {
            LinkFunction::Mean => "probability",
            LinkFunction::Logistic(_) | LinkFunction::Votes(_) => "log-odds",
            LinkFunction::Isolation => "isolation",
        }
    }

    /// Explains rows exactly (Lundberg, Erion and Lee, 2018, algorithm 2: what is not known goes
    /// the way of the training rows).
    pub fn shap(&self, x: ArrayView2<'_, f64>) -> Vec<ShapValues> {
        let scale = self.scale();
        let start = if let LinkFunction::Logistic(base) = self.link {
            base
        } else {
            0.0
        };
        let own = |node: &SplitNode| node.value;
        let each = self.trees.iter().map(|tree| expected(tree, 0, &own));
        let base = start + scale * each.sum::<f64>();
        let rows: Vec<ArrayView1<'_, f64>> = x.axis_iter(Axis(0)).collect();
        let one = |row: &ArrayView1<'_, f64>| {
            let mut values = vec![0.0; self.features];
            for tree in &self.trees {
                add_shares(tree, *row, scale, &own, &mut values);
            }
            ShapValues { base, values }
        };
        rows.par_iter().map(one).collect()
    }

    /// Returns the share of all gains that is made by splits of each feature.
    pub fn importance(&self) -> Vec<f64> {
        gain_shares(&self.trees, self.features)
    }
}

impl ClassEnsemble {
    /// Returns what the values of an explanation add up to.
    pub fn unit(&self) -> &'static str {
        match self.link {
            ClassLink::Softmax(_) => "raw score",
            ClassLink::Mean(_) => "probability",
            ClassLink::Votes(_) => "votes",
        }
    }

    /// Explains, row by row, what is told of one class each: its raw score where the softmax makes
    /// it a probability, otherwise its probability or its share of the votes. Exact, as of trees
    /// that tell attacks from benign rows.
    pub fn shap(&self, x: ArrayView2<'_, f64>, classes: &[u16]) -> Vec<ShapValues> {
        let rows: Vec<(ArrayView1<'_, f64>, u16)> =
            x.axis_iter(Axis(0)).zip(classes.iter().copied()).collect();
        let one = |(row, class): &(ArrayView1<'_, f64>, u16)| {
            let (mut base, mut values) = (self.start(*class), vec![0.0; self.features]);
            for (at, tree) in self.trees.iter().enumerate() {
                let Some(scale) = self.scale_of(at, *class) else {
                    continue;
                };
                let told = |leaf: &SplitNode| self.told_of(at, leaf, *class);
                base += scale * expected(tree, 0, &told);
                add_shares(tree, *row, scale, &told, &mut values);
            }
            ShapValues { base, values }
        };
        rows.par_iter().map(one).collect()
    }

    /// What a class begins with.
    fn start(&self, class: u16) -> f64 {
        match &self.link {
            ClassLink::Softmax(bases) => {
                let mine = self.told.iter().position(|known| *known == class);
                mine.map_or(f64::NEG_INFINITY, |at| bases[at])
            }
            ClassLink::Mean(_) | ClassLink::Votes(_) => 0.0,
        }
    }

    /// What a tree's values of a class are multiplied with; none if it tells nothing of it.
    fn scale_of(&self, tree: usize, class: u16) -> Option<f64> {
        match &self.link {
            ClassLink::Softmax(_) => (self.told[tree % self.told.len()] == class).then_some(1.0),
            ClassLink::Mean(_) => Some(1.0 / self.trees.len().max(1) as f64),
            ClassLink::Votes(weights) => {
                let whole: f64 = weights.iter().sum();
                (whole > 0.0).then(|| weights[tree] / whole)
            }
        }
    }

    /// What a leaf tells of a class.
    fn told_of(&self, tree: usize, leaf: &SplitNode, class: u16) -> f64 {
        match &self.link {
            ClassLink::Softmax(_) => leaf.value,
            ClassLink::Mean(shares) => {
                shares[tree][leaf.value as usize * self.classes + usize::from(class)]
            }
            ClassLink::Votes(_) => f64::from(u8::from(leaf.value == f64::from(class))),
        }
    }

    /// Returns the share of all gains that is made by splits of each feature.
    pub fn importance(&self) -> Vec<f64> {
        gain_shares(&self.trees, self.features)
    }
}

/// The share of all gains of trees that is made by splits of each of so many features.
fn gain_shares(trees: &[DecisionTree], features: usize) -> Vec<f64> {
    let mut gains = vec![0.0; features];
    let nodes = trees.iter().flat_map(|tree| &tree.nodes);
    for node in nodes.filter(|node| !node.is_leaf()) {
        gains[node.feature as usize] += node.gain.max(0.0);
    }
    let whole: f64 = gains.iter().sum();
    let share = |gain: &f64| if whole > 0.0 { gain / whole } else { 0.0 };
    gains.iter().map(share).collect()
}

/// The mean of what the leaves tell of the training rows below a node.
fn expected(tree: &DecisionTree, at: usize, told: &dyn Fn(&SplitNode) -> f64) -> f64 {
    let node = &tree.nodes[at];
    if node.is_leaf() {
        return told(node);
    }
    let [left, right] = [node.left, node.right].map(|below| {
        let below = below as usize;
        (tree.nodes[below].cover, expected(tree, below, told))
    });
    (left.0 * left.1 + right.0 * right.1) / (left.0 + right.0).max(f64::MIN_POSITIVE)
}

/// Adds how much every feature moves what a tree tells of a row, times `scale`.
fn add_shares(
    tree: &DecisionTree,
    row: ArrayView1<'_, f64>,
    scale: f64,
    told: &dyn Fn(&SplitNode) -> f64,
    values: &mut [f64],
) {
    let mut add = |feature: u32, weight: f64, apart: f64, leaf: &SplitNode| {
        values[feature as usize] += scale * weight * apart * told(leaf);
    };
    explain(tree, 0, row, Vec::new(), (1.0, 1.0, u32::MAX), &mut add);
}

fn extend(path: &mut Vec<PathFeature>, (zero, one, feature): (f64, f64, u32)) {
    let depth = path.len();
    path.push(PathFeature {
        feature,
        zero,
        one,
        weight: if depth == 0 { 1.0 } else { 0.0 },
    });
    for at in (0..depth).rev() {
        path[at + 1].weight += one * path[at].weight * (at + 1) as f64 / (depth + 1) as f64;
        path[at].weight = zero * path[at].weight * (depth - at) as f64 / (depth + 1) as f64;
    }
}

fn unwind(path: &mut Vec<PathFeature>, index: usize) {
    let depth = path.len() - 1;
    let PathFeature { zero, one, .. } = path[index];
    let mut next = path[depth].weight;
    for at in (0..depth).rev() {
        if one != 0.0 {
            let kept = path[at].weight;
            path[at].weight = next * (depth + 1) as f64 / ((at + 1) as f64 * one);
            next = kept - path[at].weight * zero * (depth - at) as f64 / (depth + 1) as f64;
        } else {
            path[at].weight = path[at].weight * (depth + 1) as f64 / (zero * (depth - at) as f64);
        }
    }
    for at in index..depth {
        (path[at].feature, path[at].zero, path[at].one) =
            (path[at + 1].feature, path[at + 1].zero, path[at + 1].one);
    }
    path.pop();
}

/// The sum of the weights of a path without one of its features.
fn unwound(path: &[PathFeature], index: usize) -> f64 {
    let depth = path.len() - 1;
    let PathFeature { zero, one, .. } = path[index];
    let (mut next, mut total) = (path[depth].weight, 0.0);
    for at in (0..depth).rev() {
        if one != 0.0 {
            let here = next * (depth + 1) as f64 / ((at + 1) as f64 * one);
            total += here;
            next = path[at].weight - here * zero * (depth - at) as f64 / (depth + 1) as f64;
        } else {
            total += path[at].weight * (depth + 1) as f64 / (zero * (depth - at) as f64);
        }
    }
    total
}

fn explain(
    tree: &DecisionTree,
    at: usize,
    row: ArrayView1<'_, f64>,
    mut path: Vec<PathFeature>,
    passed: (f64, f64, u32),
    add: &mut dyn FnMut(u32, f64, f64, &SplitNode),
) {
    extend(&mut path, passed);
    let node = &tree.nodes[at];
    if node.is_leaf() {
        for index in 1..path.len() {
            let PathFeature {
                feature, zero, one, ..
            } = path[index];
            add(feature, unwound(&path, index), one - zero, node);
        }
        return;
    }
    let (hot, cold) = if tree.takes(node, row[node.feature as usize]) {
        (node.left, node.right)
    } else {
        (node.right, node.left)
    };
    let (mut zero, mut one) = (1.0, 1.0);
    // A feature that was passed before counts once, with both shares.
    if let Some(index) = path
        .iter()
        .skip(1)
        .position(|passed| passed.feature == node.feature)
    {
        (zero, one) = (path[index + 1].zero, path[index + 1].one);
        unwind(&mut path, index + 1);
    }
    let share = |below: u32| tree.nodes[below as usize].cover / node.cover.max(f64::MIN_POSITIVE);
    explain(
        tree,
        hot as usize,
        row,
        path.clone(),
        (zero * share(hot), one, node.feature),
        add,
    );
    explain(
        tree,
        cold as usize,
        row,
        path,
        (zero * share(cold), 0.0, node.feature),
        add,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_small_tree_are_the_means_over_all_orders() {
        // x0 <= 0 ? 1 : (x1 <= 0 ? 2 : 6), of 4, 3 and 1 rows.
        let split = |feature: u32, left: u32, cover: f64| SplitNode {
            feature,
            left,
            right: left + 1,
            ..SplitNode::leaf(0.0, cover)
        };
        let nodes = vec![
            split(0, 1, 8.0),
            SplitNode::leaf(1.0, 4.0),
            split(1, 3, 4.0),
            SplitNode::leaf(2.0, 3.0),
            SplitNode::leaf(6.0, 1.0),
        ];
        let ensemble = TreeEnsemble {
            features: 2,
            trees: vec![DecisionTree {
                nodes,
                sets: Vec::new(),
            }],
            link: LinkFunction::Mean,
            laid_out: Default::default(),
        };
        let shap = &ensemble.shap(ndarray::array![[1.0, 1.0]].view())[0];
        // Nothing known: 2; x0 known: 3; x1 known: (1 + 6) / 2 = 3.5; both: 6.
        assert!((shap.base - 2.0).abs() < 1e-15);
        assert!(
            (shap.values[0] - ((3.0 - 2.0) + (6.0 - 3.5)) / 2.0).abs() < 1e-14,
            "{shap:?}"
        );
        assert!(
            (shap.values[1] - ((3.5 - 2.0) + (6.0 - 3.0)) / 2.0).abs() < 1e-14,
            "{shap:?}"
        );
    }
}
