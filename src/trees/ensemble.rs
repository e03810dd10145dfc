//! Fitted trees: as they are stored, and asked.

use std::sync::OnceLock;

use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::stats::logistic::logistic;
use crate::trees::bin_code::BinCode;
use crate::trees::bins::BinnedRows;
use crate::trees::compact::CompactTrees;
use crate::trees::tree::{DEEPEST, DecisionTree, SplitNode};

/// How many rows are asked about at a time.
const TOGETHER: usize = 512;

/// How the values of trees make a probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LinkFunction {
    /// It is their mean.
    Mean,
    /// It is the logistic function of a base and their sum.
    Logistic(f64),
    /// The trees vote with these weights, their values being the weight, or minus it: the logistic
    /// function of twice the sum over the weights' (SAMME of two classes; Zhu, Zou, Rosset and
    /// Hastie, 2009).
    Votes(Vec<f64>),
    /// It is two to the power of their mean: of trees that isolate rows the share of the expected
    /// cuts, negated.
    Isolation,
}

/// Trees that tell a probability together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TreeEnsemble {
    /// How many features they look at.
    pub features: usize,
    /// The trees.
    pub trees: Vec<DecisionTree>,
    /// How their values make a probability.
    pub link: LinkFunction,
    /// The trees as they are asked, once they were.
    #[serde(skip)]
    pub laid_out: LaidOutTrees,
}

/// Trees as they are asked, made of them when that is first needed. Two are equal whether that was
/// or not: the trees themselves are compared.
#[derive(Clone, Debug, Default)]
pub struct LaidOutTrees(OnceLock<CompactTrees>);

impl PartialEq for LaidOutTrees {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Returns what is wrong with trees that were read from a file, and look at so many features.
pub(crate) fn fault_of_trees(trees: &[DecisionTree], features: usize) -> Option<String> {
    let odd = |node: &SplitNode| !node.is_leaf() && node.feature as usize >= features;
    if trees.is_empty() {
        return Some("an ensemble without trees".to_owned());
    }
    if trees.iter().flat_map(|tree| &tree.nodes).any(odd) {
        return Some("a tree that asks for a feature that is not there".to_owned());
    }
    let is_deep = |tree: &DecisionTree| tree.depth().is_none_or(|depth| depth > DEEPEST);
    let what = format!("a tree whose nodes stand below several, or more than {DEEPEST} deep");
    trees.iter().any(is_deep).then_some(what)
}

impl TreeEnsemble {
    /// Returns the probability that the first `count` trees tell with values of this sum.
    fn probability(&self, sum: f64, count: usize) -> f64 {
        match &self.link {
            LinkFunction::Mean => sum / count.max(1) as f64,
            LinkFunction::Logistic(base) => logistic(base + sum),
            LinkFunction::Isolation => (sum / count.max(1) as f64).exp2(),
            LinkFunction::Votes(weights) => {
                let whole: f64 = weights[..count].iter().sum();
                logistic(if whole > 0.0 { 2.0 * sum / whole } else { 0.0 })
            }
        }
    }

    /// Returns whether its trees were grown on fine bins, as those of forests are.
    pub fn is_of_fine_bins(&self) -> bool {
        self.link == LinkFunction::Mean
    }

    /// Returns what is wrong with it, if it was read from a file: a node may have one above it, the
    /// way to a leaf has an end.
    pub fn fault(&self) -> Option<String> {
        let of_link = match &self.link {
            LinkFunction::Votes(weights) if weights.len() != self.trees.len() => {
                Some("votes without weights".to_owned())
            }
            _ => None,
        };
        fault_of_trees(&self.trees, self.features).or(of_link)
    }

    /// Returns the probability of class 1 for each row.
    pub fn of_rows(&self, x: ArrayView2<'_, f64>) -> Vec<f64> {
        let compact = self
            .laid_out
            .0
            .get_or_init(|| CompactTrees::new(&self.trees));
        let some = |rows: ArrayView2<'_, f64>| {
            let sums = compact.sums(rows).into_iter();
            let probabilities = sums.map(|sum| self.probability(sum, self.trees.len()));
            probabilities.collect::<Vec<f64>>()
        };
        // A few rows are not worth waking a thread for.
        if x.nrows() <= TOGETHER {
            return some(x);
        }
        let parts: Vec<ArrayView2<'_, f64>> = x.axis_chunks_iter(Axis(0), TOGETHER).collect();
        parts.into_par_iter().flat_map_iter(some).collect()
    }

    /// Returns the probability of class 1 for groups of binned rows, after each of these counts of
    /// trees, in ascending order.
    pub fn of_groups<C: BinCode>(
        &self,
        bins: &BinnedRows<C>,
        groups: &[u32],
        counts: &[usize],
    ) -> Vec<Vec<f64>> {
        let mut sums = vec![0.0; groups.len()];
        let mut placed: Vec<(u32, u32)> = groups.iter().copied().zip(0..).collect();
        let mut spare = Vec::new();
        let mut done = 0;
        let mut told = Vec::new();
        for &count in counts {
            let count = count.min(self.trees.len());
            for tree in &self.trees[done.min(count)..count] {
                tree.visit(bins, &mut placed, &mut spare, |place, leaf| {
                    sums[place] += leaf.value;
                });
            }
            done = done.max(count);
            told.push(
                sums.iter()
                    .map(|sum| self.probability(*sum, count))
                    .collect(),
            );
        }
        told
    }
}
