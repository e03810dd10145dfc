//! Single trees and forests of them.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use crate::stats::draws::{WeightedUrn, below};
use crate::trees::bin_code::BinCode;
use crate::trees::bins::BinnedRows;
use crate::trees::class_ensemble::{ClassEnsemble, ClassLink};
use crate::trees::class_members::ClassMembers;
use crate::trees::ensemble::{LaidOutTrees, LinkFunction, TreeEnsemble};
use crate::trees::grow::{ClassCounts, ForestGrower, GroupMember};
use crate::trees::grow_classes::{ClassGrower, ClassTree};
use crate::trees::splits::TreeRules;
use crate::trees::stop::TreeGrowth;
use crate::trees::tree::DecisionTree;

/// How many rows of each class there are in every group, and what a row of each class weighs.
#[derive(Clone, Debug)]
pub struct GroupCounts {
    /// Of class 0 and of class 1, by group.
    pub rows: Vec<[u32; 2]>,
    /// The weight of a row of each class.
    pub weight: [f64; 2],
    /// Where rows count differently, what a row of each class counts in the mean, by group; empty
    /// where all count the same.
    counting: Vec<[f64; 2]>,
}

impl GroupCounts {
    /// Counts rows by group and class; a row that is named twice counts twice.
    pub fn of<C: BinCode>(
        bins: &BinnedRows<C>,
        classes: &[u16],
        rows: &[u32],
        weight: [f64; 2],
    ) -> Self {
        let mut counts = vec![[0; 2]; bins.groups];
        for row in rows {
            let class = classes[*row as usize];
            counts[bins.group[*row as usize] as usize][usize::from(class)] += 1;
        }
        Self {
            rows: counts,
            weight,
            counting: Vec::new(),
        }
    }

    /// Lets rows count differently: as much as `counts` says, row by row; where it is empty, all count
    /// the same. Rows of one group and one class are one to a tree, and count as much as they do
    /// together.
    #[must_use]
    pub fn counting<C: BinCode>(
        mut self,
        bins: &BinnedRows<C>,
        classes: &[u16],
        rows: &[u32],
        counts: &[f64],
    ) -> Self {
        if counts.is_empty() {
            return self;
        }
        let mut sums = vec![[0.0; 2]; self.rows.len()];
        for (row, count) in rows.iter().zip(counts) {
            let class = usize::from(classes[*row as usize]);
            sums[bins.group[*row as usize] as usize][class] += count;
        }
        for (sums, rows) in sums.iter_mut().zip(&self.rows) {
            for class in [0, 1] {
                sums[class] /= f64::from(rows[class].max(1));
            }
        }
        self.counting = sums;
        self
    }

    /// Returns what the rows of each class weigh, by group.
    pub fn weights(&self) -> Vec<[f64; 2]> {
        let groups = (0..).zip(&self.rows);
        groups
            .map(|(group, rows)| self.weigh(group, *rows))
            .collect()
    }

    /// Returns what so many rows of each class in a group weigh.
    pub fn weigh(&self, group: u32, rows: [u32; 2]) -> [f64; 2] {
        let counting = self.counting.get(group as usize);
        let counting = counting.copied().unwrap_or([1.0; 2]);
        [0, 1].map(|class| f64::from(rows[class]) * self.weight[class] * counting[class])
    }

    /// Returns the groups that have rows.
    pub fn present(&self) -> Vec<u32> {
        (0..self.rows.len() as u32)
            .filter(|group| self.rows[*group as usize] != [0, 0])
            .collect()
    }

    /// Draws as many rows as there are, with replacement: each as often as it counts.
    fn resampled(&self, random: &mut ChaCha8Rng) -> Vec<[u32; 2]> {
        let mut drawn = vec![[0; 2]; self.rows.len()];
        if self.counting.is_empty() {
            let mut owners: Vec<(u32, u8)> = Vec::new();
            for (group, counts) in self.rows.iter().enumerate() {
                for class in [0, 1_u8] {
                    owners.extend((0..counts[usize::from(class)]).map(|_| (group as u32, class)));
                }
            }
            for _ in 0..owners.len() {
                let (group, class) = owners[below(random, owners.len())];
                drawn[group as usize][usize::from(class)] += 1;
            }
            return drawn;
        }
        let each = self
            .rows
            .iter()
            .zip(&self.counting)
            .flat_map(|(rows, counting)| {
                [0, 1].map(|class| f64::from(rows[class]) * counting[class])
            });
        let urn = WeightedUrn::new(each);
        let rows: u32 = self.rows.iter().flatten().sum();
        for _ in 0..rows {
            let place = urn.draw(random);
            drawn[place / 2][place % 2] += 1;
        }
        drawn
    }
}

/// The groups that have rows.
fn members(rows: &[[u32; 2]]) -> Vec<GroupMember> {
    let member = |(group, rows): (usize, &[u32; 2])| {
        (*rows != [0, 0]).then(|| GroupMember {
            group: group as u32,
            cell: ClassCounts::new(*rows),
        })
    };
    rows.iter().enumerate().filter_map(member).collect()
}

/// What a forest is.
#[derive(Clone, Debug)]
pub struct ForestSettings {
    /// How many trees it has.
    pub trees: usize,
    /// Whether each is grown from rows drawn with replacement.
    pub resampled: bool,
    /// How they grow.
    pub rules: TreeRules,
}

/// Grows the trees of a forest that tells several classes apart, as one of two is grown.
fn grown(
    bins: &BinnedRows<u16>,
    members: &ClassMembers,
    forest: &ForestSettings,
    growth: &TreeGrowth<'_>,
) -> Vec<ClassTree> {
    let growing = ClassGrower {
        bins,
        rules: &forest.rules,
        classes: members.classes(),
    };
    let one = |number: usize| -> ClassTree {
        let mut random = ChaCha8Rng::seed_from_u64(growth.seed);
        random.set_stream(number as u64 + 1);
        let members = match forest.resampled {
            _ if growth.is_stopped() => Vec::new(),
            true => members.resampled(&mut random),
            false => members.members.clone(),
        };
        growing.grow(members, &mut random)
    };
    (0..forest.trees).into_par_iter().map(one).collect()
}

/// Grows a forest that tells several classes apart.
pub fn fit_classes(
    bins: &BinnedRows<u16>,
    members: &ClassMembers,
    forest: &ForestSettings,
    growth: &TreeGrowth<'_>,
) -> ClassEnsemble {
    let (trees, shares) = grown(bins, members, forest, growth)
        .into_iter()
        .map(|grown| (grown.tree, grown.shares))
        .unzip();
    let classes = (members.classes(), members.told());
    ClassEnsemble::new(bins.features(), classes, trees, ClassLink::Mean(shares))
}

/// Grows a forest of two classes from rows that count differently: whole counts, by which `fit` goes,
/// do not tell them.
pub fn fit_counting(
    bins: &BinnedRows<u16>,
    members: &ClassMembers,
    forest: &ForestSettings,
    growth: &TreeGrowth<'_>,
) -> TreeEnsemble {
    let mut trees = Vec::with_capacity(forest.trees);
    for ClassTree { mut tree, shares } in grown(bins, members, forest, growth) {
        for leaf in tree.nodes.iter_mut().filter(|node| node.is_leaf()) {
            leaf.value = shares[leaf.value as usize * members.classes() + 1];
        }
        trees.push(tree);
    }
    TreeEnsemble {
        features: bins.features(),
        trees,
        link: LinkFunction::Mean,
        laid_out: LaidOutTrees::default(),
    }
}

/// Grows a forest (Breiman, 2001; with random cuts: Geurts, Ernst and Wehenkel, 2006). The first
/// trees of a larger one are those of a smaller one.
pub fn fit(
    bins: &BinnedRows<u16>,
    counts: &GroupCounts,
    forest: &ForestSettings,
    growth: &TreeGrowth<'_>,
) -> TreeEnsemble {
    let growing = ForestGrower {
        bins,
        rules: &forest.rules,
        weight: counts.weight,
    };
    let one = |number: usize| -> DecisionTree {
        let mut random = ChaCha8Rng::seed_from_u64(growth.seed);
        random.set_stream(number as u64 + 1);
        let members = match forest.resampled {
            _ if growth.is_stopped() => Vec::new(),
            true => members(&counts.resampled(&mut random)),
            false => members(&counts.rows),
        };
        growing.grow(members, &mut random)
    };
    let trees = (0..forest.trees).into_par_iter().map(one).collect();
    TreeEnsemble {
        features: bins.features(),
        trees,
        link: LinkFunction::Mean,
        laid_out: LaidOutTrees::default(),
    }
}
