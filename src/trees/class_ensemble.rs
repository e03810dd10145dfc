//! Fitted trees that tell several classes apart.

use std::sync::OnceLock;

use ndarray::{Array2, ArrayView2, Axis, concatenate};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::stats::softmax::softmax;
use crate::trees::bin_code::BinCode;
use crate::trees::bins::BinnedRows;
use crate::trees::compact::CompactTrees;
use crate::trees::ensemble::fault_of_trees;
use crate::trees::tree::DecisionTree;

/// How many rows are asked about at a time.
const TOGETHER: usize = 512;

/// How what trees tell makes probabilities of classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ClassLink {
    /// Each round has a tree for each class that is told, whose raw score has this base:
    /// probabilities are the softmax of base and sums.
    Softmax(Vec<f64>),
    /// Of each tree the shares of all classes, leaf by leaf: the value of a leaf is its place among
    /// them. Probabilities are the mean over the trees.
    Mean(Vec<Vec<f64>>),
    /// The value of a leaf is the class that it votes for, and the votes of each tree weigh so
    /// much: probabilities are the softmax of the votes for a class, less those against it (SAMME;
    /// Zhu, Zou, Rosset and Hastie, 2009).
    Votes(Vec<f64>),
}

/// Trees that tell the probabilities of classes together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClassEnsemble {
    /// How many features they look at.
    pub features: usize,
    /// How many classes there are.
    pub classes: usize,
    /// Those that training had rows of, in order; the probability of others is 0.
    pub told: Vec<u16>,
    /// The trees.
    pub trees: Vec<DecisionTree>,
    /// How what they tell makes probabilities.
    pub link: ClassLink,
    /// The trees as they are asked, once they were.
    #[serde(skip)]
    laid_out: OnceLock<CompactTrees>,
}

/// What trees told of some rows so far: a row a row, a column a class.
type ToldSums = Array2<f64>;

impl ClassEnsemble {
    /// Puts trees together.
    pub fn new(
        features: usize,
        (classes, told): (usize, Vec<u16>),
        trees: Vec<DecisionTree>,
        link: ClassLink,
    ) -> Self {
        Self {
            features,
            classes,
            told,
            trees,
            link,
            laid_out: OnceLock::new(),
        }
    }

    /// Returns how many trees are grown together.
    fn trees_a_round(&self) -> usize {
        match &self.link {
            ClassLink::Softmax(_) => self.told.len(),
            ClassLink::Mean(_) | ClassLink::Votes(_) => 1,
        }
    }

    /// Adds what the leaf of a tree tells of a row.
    fn add(&self, sums: &mut ToldSums, row: usize, tree: usize, leaf: f64) {
        match &self.link {
            ClassLink::Softmax(_) => {
                let class = self.told[tree % self.told.len()];
                sums[[row, usize::from(class)]] += leaf;
            }
            ClassLink::Mean(shares) => {
                let from = leaf as usize * self.classes;
                let shares = &shares[tree][from..from + self.classes];
                for (sum, share) in sums.row_mut(row).iter_mut().zip(shares) {
                    *sum += share;
                }
            }
            ClassLink::Votes(weights) => sums[[row, leaf as usize]] += weights[tree],
        }
    }

    /// Returns the probabilities that the trees of so many rounds tell with these sums.
    fn told_by(&self, mut sums: ToldSums, rounds: usize) -> Array2<f64> {
        match &self.link {
            ClassLink::Softmax(bases) => {
                let bases = self.told.iter().zip(bases);
                let bases: Vec<(usize, f64)> = bases
                    .map(|(class, base)| (usize::from(*class), *base))
                    .collect();
                self.softmax(&mut sums, |row| {
                    bases.iter().for_each(|(class, base)| row[*class] += base);
                });
            }
            ClassLink::Mean(_) => sums /= rounds.max(1) as f64,
            ClassLink::Votes(weights) => {
                let whole: f64 = weights[..rounds].iter().sum();
                let others = (self.told.len().max(2) - 1) as f64;
                // For a class its votes; against it a share of those of the others.
                let decided = |votes: f64| (votes - (whole - votes) / others) / whole / others;
                self.softmax(&mut sums, |row| {
                    for votes in row {
                        *votes = if whole > 0.0 { decided(*votes) } else { 0.0 };
                    }
                });
            }
        }
        sums
    }

    /// Makes sums raw scores, and these probabilities of the classes that are told.
    fn softmax(&self, sums: &mut ToldSums, raw: impl Fn(&mut [f64])) {
        let mut is_told = vec![false; self.classes];
        for class in &self.told {
            is_told[usize::from(*class)] = true;
        }
        for mut row in sums.rows_mut() {
            let row = row.as_slice_mut().expect("it stands row by row");
            raw(row);
            for (score, is_told) in row.iter_mut().zip(&is_told) {
                *score = if *is_told { *score } else { f64::NEG_INFINITY };
            }
            softmax(row);
        }
    }

    /// Returns the probability of each class for each row of features; NaN is missing.
    pub fn of_rows(&self, x: ArrayView2<'_, f64>) -> Array2<f64> {
        let compact = self.laid_out.get_or_init(|| CompactTrees::new(&self.trees));
        let rounds = self.trees.len() / self.trees_a_round();
        let some = |rows: ArrayView2<'_, f64>| {
            let mut sums = ToldSums::zeros((rows.nrows(), self.classes));
            compact.ask(rows, |tree, row, leaf| self.add(&mut sums, row, tree, leaf));
            self.told_by(sums, rounds)
        };
        // A few rows are not worth waking a thread for.
        if x.nrows() <= TOGETHER {
            return some(x);
        }
        let parts: Vec<ArrayView2<'_, f64>> = x.axis_chunks_iter(Axis(0), TOGETHER).collect();
        let told: Vec<Array2<f64>> = parts.into_par_iter().map(some).collect();
        let views: Vec<ArrayView2<'_, f64>> = told.iter().map(|told| told.view()).collect();
        concatenate(Axis(0), &views).expect("as many classes in each")
    }

    /// Returns the probability of each class for groups of binned rows, after each of these numbers
    /// of rounds, in ascending order.
    pub fn of_groups<C: BinCode>(
        &self,
        bins: &BinnedRows<C>,
        groups: &[u32],
        counts: &[usize],
    ) -> Vec<Array2<f64>> {
        let together = self.trees_a_round();
        let mut sums = ToldSums::zeros((groups.len(), self.classes));
        let mut placed: Vec<(u32, u32)> = groups.iter().copied().zip(0..).collect();
        let mut spare = Vec::new();
        let mut done = 0;
        let mut told = Vec::new();
        for &count in counts {
            let count = count.min(self.trees.len() / together);
            for tree in done * together..count.max(done) * together {
                self.trees[tree].visit(bins, &mut placed, &mut spare, |place, leaf| {
                    self.add(&mut sums, place, tree, leaf.value);
                });
            }
            done = done.max(count);
            told.push(self.told_by(sums.clone(), count));
        }
        told
    }

    /// Returns whether its trees were grown on fine bins, as all are that are not boosted.
    pub fn is_of_fine_bins(&self) -> bool {
        !matches!(self.link, ClassLink::Softmax(_))
    }

    /// Returns what is wrong with it, if it was read from a file.
    pub fn fault(&self) -> Option<String> {
        let names = self
            .told
            .iter()
            .all(|class| usize::from(*class) < self.classes);
        let leaves = |tree: &DecisionTree, is_right: &dyn Fn(f64) -> bool| {
            let mut leaves = tree.nodes.iter().filter(|node| node.is_leaf());
            leaves.all(|leaf| is_right(leaf.value))
        };
        let is_place = |value: f64, count: usize| value >= 0.0 && value < count as f64;
        let is_right = match &self.link {
            ClassLink::Softmax(bases) => {
                bases.len() == self.told.len()
                    && bases.iter().all(|base| base.is_finite())
                    && self.trees.len().is_multiple_of(self.told.len().max(1))
            }
            ClassLink::Mean(shares) => {
                let mut trees = self.trees.iter().zip(shares);
                let fits = |(tree, shares): (&DecisionTree, &Vec<f64>)| {
                    let rows = shares.len() / self.classes.max(1);
                    rows * self.classes == shares.len()
                        && leaves(tree, &|value| is_place(value, rows))
                };
                shares.len() == self.trees.len() && trees.all(fits)
            }
            ClassLink::Votes(weights) => {
                let mut trees = self.trees.iter();
                weights.len() == self.trees.len()
                    && trees.all(|tree| leaves(tree, &|value| is_place(value, self.classes)))
            }
        };
        if self.told.is_empty() || !names || !is_right {
            return Some("trees that tell of classes that are not there".to_owned());
        }
        fault_of_trees(&self.trees, self.features)
    }
}
