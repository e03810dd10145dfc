//! Boosted trees of several classes: gradient boosting of the softmax loss, and AdaBoost.

use std::borrow::Cow;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use crate::stats::softmax::{self, softmax};
use crate::trees::bin_sums::WeightedGroup;
use crate::trees::bins::BinnedRows;
use crate::trees::boost::{BoostingSettings, HELD, chosen};
use crate::trees::class_ensemble::{ClassEnsemble, ClassLink};
use crate::trees::class_members::{ClassMember, ClassMembers};
use crate::trees::grow_classes::ClassGrower;
use crate::trees::held_out::{HeldOut, Patience};
use crate::trees::histograms::HistogramLayout;
use crate::trees::leafwise::{GrowingRoom, grow};
use crate::trees::splits::TreeRules;
use crate::trees::stop::TreeGrowth;
use crate::trees::tree::DecisionTree;

/// A tree that is grown for a class in a round, and what it tells of every group.
type GrownTree = (DecisionTree, Vec<f64>);

/// The raw scores of groups: those of one group side by side, a column for each class that has
/// rows.
struct RawScores<'a> {
    bins: &'a BinnedRows<u8>,
    /// The classes that have rows.
    told: &'a [u16],
    raw: Vec<f64>,
}

impl RawScores<'_> {
    fn of(&self, group: u32) -> &[f64] {
        let from = group as usize * self.told.len();
        &self.raw[from..from + self.told.len()]
    }

    fn add(&mut self, group: u32, column: usize, value: f64) {
        self.raw[group as usize * self.told.len() + column] += value;
    }

    /// All groups, each with its rows among members and how the loss pulls at its raw score of each
    /// class: a list for each class. Hessians are those of LightGBM, larger than the exact ones by
    /// K / (K − 1).
    fn pulled(&self, members: &[ClassMember]) -> Vec<Vec<WeightedGroup>> {
        let classes = self.told.len();
        let larger = classes as f64 / (classes.max(2) - 1) as f64;
        let column: Vec<usize> = columns(self.told);
        let mut pulled = vec![vec![WeightedGroup::default(); self.bins.groups]; classes];
        for same in members.chunk_by(|a, b| a.group == b.group) {
            let group = same[0].group;
            let mut p = self.of(group).to_vec();
            softmax(&mut p);
            let rows: u32 = same.iter().map(|member| member.n).sum();
            let weight: f64 = same.iter().map(|member| member.weight).sum();
            let at = group as usize;
            for (groups, p) in pulled.iter_mut().zip(p) {
                groups[at] = WeightedGroup {
                    n: rows,
                    g: -weight * p,
                    h: larger * weight * p * (1.0 - p),
                };
            }
            for member in same {
                pulled[column[usize::from(member.class)]][at].g += member.weight;
            }
        }
        pulled
    }

    /// The loss of members that no tree was grown from.
    fn loss(&self, held: &[ClassMember]) -> f64 {
        let column = columns(self.told);
        let loss = |member: &ClassMember| {
            let class = column[usize::from(member.class)];
            member.weight * softmax::loss(self.of(member.group), class)
        };
        held.iter().map(loss).sum()
    }

    /// Adds a tree's values: of groups that it was not grown from, by asking it.
    fn add_tree(
        &mut self,
        column: usize,
        (tree, values): &GrownTree,
        there: &[bool],
        groups: &[u32],
    ) {
        for &group in groups {
            let at = group as usize;
            let value = match there[at] {
                true => values[at],
                false => tree.of_group(self.bins, at),
            };
            self.add(group, column, value);
        }
    }
}

/// Of each class its place among those that have rows; of others 0, where nobody asks.
fn columns(told: &[u16]) -> Vec<usize> {
    let most = told.last().map_or(0, |class| usize::from(*class));
    let mut columns = vec![0; most + 1];
    for (column, class) in told.iter().enumerate() {
        columns[usize::from(*class)] = column;
    }
    columns
}

/// The groups of members, in order.
fn groups(members: &[ClassMember]) -> Vec<u32> {
    let each = members.chunk_by(|a, b| a.group == b.group);
    each.map(|same| same[0].group).collect()
}

/// Parts members into those that trees are grown from and a tenth of the groups, which is held out.
fn parted(members: &[ClassMember], holds_out: bool) -> (Vec<ClassMember>, Vec<ClassMember>) {
    // Groups stand in the order of a digest: every tenth is as good as drawn.
    let each = members.chunk_by(|a, b| a.group == b.group).enumerate();
    let (mut grown, mut held) = (Vec::new(), Vec::new());
    for (place, same) in each {
        match holds_out && place % HELD == HELD - 1 {
            true => held.extend(same),
            false => grown.extend(same),
        }
    }
    (grown, held)
}

/// Fits trees to the gradient of the softmax loss, one for each class in each round (Friedman,
/// 2001), each leaf a Newton step. Classes without rows have no tree. With patience, the loss is
/// that of the rows that are `apart`, or else of a tenth of the groups, which is held out.
pub fn boost_classes(
    bins: &BinnedRows<u8>,
    members: &ClassMembers,
    boosting: &BoostingSettings,
    apart: Option<&HeldOut>,
    growth: &TreeGrowth<'_>,
) -> ClassEnsemble {
    let weights = members.class_weights();
    let whole: f64 = weights.iter().sum();
    let told = members.told();
    let bases: Vec<f64> = told
        .iter()
        .map(|class| (weights[usize::from(*class)] / whole).ln())
        .collect();
    let mut scores = RawScores {
        bins,
        told: &told,
        raw: bases.repeat(bins.groups),
    };
    let (grown_from, held) = parted(&members.members, boosting.patience > 0 && apart.is_none());
    let (all_groups, held_groups) = (groups(&members.members), groups(&held));
    let layout = HistogramLayout::new(bins);
    let all: Vec<usize> = (0..bins.features()).collect();
    let mut trees: Vec<DecisionTree> = Vec::new();
    let apart = apart.filter(|_| boosting.patience > 0);
    let mut raw_apart = bases.repeat(apart.map_or(0, |apart| apart.rows.len()));
    let mut patience = Patience::new(boosting.patience);
    for round in 0..boosting.rounds {
        if growth.is_stopped() {
            break;
        }
        let mut random = ChaCha8Rng::seed_from_u64(growth.seed);
        random.set_stream(round as u64 + 1);
        let mut drawn = Cow::Borrowed(&grown_from);
        if boosting.subsample < 1.0 {
            let mut sample = members.sampled(boosting.subsample, &mut random);
            sample.retain(|member| held_groups.binary_search(&member.group).is_err());
            drawn = Cow::Owned(sample);
        }
        let mut features = vec![all.clone(); told.len()];
        if boosting.colsample < 1.0 {
            for features in &mut features {
                *features = chosen(&all, boosting.colsample, &mut random);
            }
        }
        let mut there = vec![false; bins.groups];
        for member in drawn.iter() {
            there[member.group as usize] = true;
        }
        let pulled = scores.pulled(&drawn);
        let one = |(groups, features): (Vec<WeightedGroup>, Vec<usize>)| -> GrownTree {
            let (mut tree, mut values) = grow(
                bins,
                &layout,
                &features,
                &groups,
                &boosting.rules,
                &mut GrowingRoom::default(),
            );
            let shrink = |value: &mut f64| *value *= boosting.learning_rate;
            tree.nodes
                .iter_mut()
                .for_each(|node| shrink(&mut node.value));
            values.iter_mut().for_each(shrink);
            (tree, values)
        };
        let grown: Vec<GrownTree> = pulled.into_par_iter().zip(features).map(one).collect();
        for (column, tree) in grown.iter().enumerate() {
            scores.add_tree(column, tree, &there, &all_groups);
        }
        let loss = match apart {
            Some(apart) => Some(loss_apart(apart, &grown, &told, &mut raw_apart)),
            None => (!held.is_empty()).then(|| scores.loss(&held)),
        };
        trees.extend(grown.into_iter().map(|(tree, _)| tree));
        if loss.is_some_and(|loss| patience.is_over(loss)) {
            break;
        }
    }
    let classes = (members.classes(), told.clone());
    ClassEnsemble::new(bins.features(), classes, trees, ClassLink::Softmax(bases))
}

/// The softmax loss of rows that are apart, once a tree more of each class is added to their raw
/// scores. A class that no tree tells of has the least probability that there is.
fn loss_apart(apart: &HeldOut, grown: &[GrownTree], told: &[u16], raw: &mut [f64]) -> f64 {
    let mut loss = 0.0;
    for ((row, class, weight), raw) in apart.each().zip(raw.chunks_mut(told.len())) {
        for (raw, (tree, _)) in raw.iter_mut().zip(grown) {
            *raw += tree.of_row(row);
        }
        loss += weight
            * match told.binary_search(&class) {
                Ok(column) => softmax::loss(raw, column),
                Err(_) => -f64::MIN_POSITIVE.ln(),
            };
    }
    loss
}

/// Fits small trees one after the other, each to rows that weigh more the more often they were
/// wrong (SAMME; Zhu, Zou, Rosset and Hastie, 2009). Trees split as in a forest, with all features.
pub fn adaboost_classes(
    bins: &BinnedRows<u16>,
    members: &ClassMembers,
    rounds: usize,
    learning_rate: f64,
    rules: &TreeRules,
    growth: &TreeGrowth<'_>,
) -> ClassEnsemble {
    let classes = members.classes();
    let told = members.told();
    let present = told.len();
    // How much better than chance a tree has to be.
    let chance = 1.0 - 1.0 / present.max(2) as f64;
    let mut members = members.members.clone();
    let growing = ClassGrower {
        bins,
        rules,
        classes,
    };
    let mut random = ChaCha8Rng::seed_from_u64(growth.seed);
    let (mut trees, mut votes) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        if growth.is_stopped() {
            break;
        }
        let whole: f64 = members.iter().map(|member| member.weight).sum();
        members.iter_mut().for_each(|member| member.weight /= whole);
        let grown = growing.grow(members.clone(), &mut random);
        let mut tree = grown.tree;
        for leaf in tree.nodes.iter_mut().filter(|node| node.is_leaf()) {
            let from = leaf.value as usize * classes;
            leaf.value = largest(&grown.shares[from..from + classes]) as f64;
        }
        let is_wrong = |member: &ClassMember| {
            tree.of_group(bins, member.group as usize) != f64::from(member.class)
        };
        let wrong: Vec<bool> = members.iter().map(is_wrong).collect();
        let weighed = members.iter().zip(&wrong);
        let error: f64 = weighed
            .filter(|(_, wrong)| **wrong)
            .map(|(member, _)| member.weight)
            .sum();
        if error >= chance && !trees.is_empty() {
            break;
        }
        // A tree that is never wrong is the last; its vote is that of scikit-learn's.
        let vote = match error <= 0.0 {
            true => 1.0,
            false => {
                learning_rate * (((1.0 - error) / error).ln() + (present.max(2) as f64 - 1.0).ln())
            }
        };
        for (member, wrong) in members.iter_mut().zip(&wrong) {
            if *wrong {
                member.weight *= vote.exp();
            }
        }
        trees.push(tree);
        votes.push(vote);
        let is_finite = members.iter().all(|member| member.weight.is_finite());
        if error <= 0.0 || error >= chance || !is_finite {
            break;
        }
    }
    let classes = (classes, told);
    ClassEnsemble::new(bins.features(), classes, trees, ClassLink::Votes(votes))
}

/// The place of the largest, of equal ones the first.
fn largest(shares: &[f64]) -> usize {
    let mut best = 0;
    for (place, share) in shares.iter().enumerate() {
        if *share > shares[best] {
            best = place;
        }
    }
    best
}
