//! Boosted trees: gradient boosting and AdaBoost.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use crate::stats::draws::{below, settle};
use crate::stats::logistic::{self, logistic};
use crate::trees::bin_sums::WeightedGroup;
use crate::trees::bins::BinnedRows;
use crate::trees::ensemble::{LaidOutTrees, LinkFunction, TreeEnsemble};
use crate::trees::forest::GroupCounts;
use crate::trees::held_out::{HeldOut, Patience};
use crate::trees::histograms::HistogramLayout;
use crate::trees::leafwise::{GrowingRoom, grow};
use crate::trees::splits::TreeRules;
use crate::trees::stop::TreeGrowth;
use crate::trees::tree::DecisionTree;

/// What gradient boosting does.
#[derive(Clone, Debug)]
pub struct BoostingSettings {
    /// How many trees are added.
    pub rounds: usize,
    /// What the value of every leaf is multiplied with.
    pub learning_rate: f64,
    /// The share of rows that each tree is grown from.
    pub subsample: f64,
    /// The share of features that each tree may use.
    pub colsample: f64,
    /// After so many trees in a row that do not lessen the loss on a tenth of the groups, held out,
    /// it ends; 0, or where there are fewer than ten: never.
    pub patience: usize,
    /// How trees grow.
    pub rules: TreeRules,
}

/// So many groups at least are one share of a thread.
const SHARED: usize = 1 << 12;

/// Of so many groups one is held out.
pub(crate) const HELD: usize = 10;

/// Fits trees to the gradient of the logistic loss, one after the other (Friedman, 2001), each leaf
/// a Newton step. With patience, the loss is that of the rows that are `apart`, or else of a tenth
/// of the groups, which is held out.
pub fn boost(
    bins: &BinnedRows<u8>,
    counts: &GroupCounts,
    boosting: &BoostingSettings,
    apart: Option<&HeldOut>,
    growth: &TreeGrowth<'_>,
) -> TreeEnsemble {
    let weights = counts.weights();
    let [zero, one] = weights
        .iter()
        .fold([0.0, 0.0], |sum, pair| [sum[0] + pair[0], sum[1] + pair[1]]);
    let base = (one / zero).ln();
    let mut raw = vec![base; bins.groups];
    let present = counts.present();
    // Groups stand in the order of a digest: every tenth is as good as drawn.
    let holds_out = boosting.patience > 0 && apart.is_none();
    let mut held = Vec::new();
    if holds_out {
        held.extend(present.iter().skip(HELD - 1).step_by(HELD));
    }
    let mut is_held = vec![false; bins.groups];
    held.iter()
        .for_each(|group: &u32| is_held[*group as usize] = true);
    let apart = apart.filter(|_| boosting.patience > 0);
    let mut raw_apart = vec![base; apart.map_or(0, |apart| apart.rows.len())];
    let mut patience = Patience::new(boosting.patience);
    let layout = HistogramLayout::new(bins);
    let mut room = GrowingRoom::default();
    let all: Vec<usize> = (0..bins.features()).collect();
    let mut trees: Vec<DecisionTree> = Vec::with_capacity(boosting.rounds);
    let mut groups: Vec<WeightedGroup> = Vec::new();
    for round in 0..boosting.rounds {
        if growth.is_stopped() {
            break;
        }
        let mut random = ChaCha8Rng::seed_from_u64(growth.seed);
        random.set_stream(round as u64 + 1);
        let drawn =
            (boosting.subsample < 1.0).then(|| sampled(counts, boosting.subsample, &mut random));
        let features = match boosting.colsample < 1.0 {
            true => chosen(&all, boosting.colsample, &mut random),
            false => all.clone(),
        };
        // The rows of a group that the tree is grown from.
        let rows = |group: usize| match &drawn {
            _ if is_held[group] => [0, 0],
            Some(drawn) => drawn[group],
            None => counts.rows[group],
        };
        let pulled = |(group, raw): (usize, &f64)| pulled(counts, group as u32, rows(group), *raw);
        (raw.par_iter().with_min_len(SHARED).enumerate().map(pulled)).collect_into_vec(&mut groups);
        let (mut tree, values) = grow(
            bins,
            &layout,
            &features,
            &groups,
            &boosting.rules,
            &mut room,
        );
        tree.nodes
            .iter_mut()
            .for_each(|node| node.value *= boosting.learning_rate);
        raw.par_iter_mut()
            .with_min_len(SHARED)
            .enumerate()
            .for_each(|(group, raw)| {
                *raw += match groups[group].n {
                    // Nobody asks about groups without any row.
                    0 if counts.rows[group] == [0, 0] => 0.0,
                    0 => tree.of_group(bins, group),
                    _ => values[group] * boosting.learning_rate,
                };
            });
        let loss = match apart {
            Some(apart) => Some(loss_apart(apart, &tree, &mut raw_apart)),
            None => (!held.is_empty()).then(|| held_out_loss(&held, &weights, &raw)),
        };
        trees.push(tree);
        if loss.is_some_and(|loss| patience.is_over(loss)) {
            break;
        }
    }
    TreeEnsemble {
        features: bins.features(),
        trees,
        link: LinkFunction::Logistic(base),
        laid_out: LaidOutTrees::default(),
    }
}

/// A group with its rows, and how the logistic loss pulls at its raw score.
fn pulled(counts: &GroupCounts, group: u32, rows: [u32; 2], raw: f64) -> WeightedGroup {
    if rows == [0, 0] {
        return WeightedGroup::default();
    }
    let [zero, one] = counts.weigh(group, rows);
    let p = logistic(raw);
    WeightedGroup {
        n: rows[0] + rows[1],
        g: one - (zero + one) * p,
        h: (zero + one) * p * (1.0 - p),
    }
}

/// The logistic loss of groups that no tree was grown from.
fn held_out_loss(held: &[u32], weights: &[[f64; 2]], raw: &[f64]) -> f64 {
    let loss = |group: &u32| {
        let at = *group as usize;
        let [zero, one] = weights[at];
        zero * logistic::loss(raw[at], 0.0) + one * logistic::loss(raw[at], 1.0)
    };
    held.iter().map(loss).sum()
}

/// The logistic loss of rows that are apart, once one tree more is added to their raw scores.
fn loss_apart(apart: &HeldOut, tree: &DecisionTree, raw: &mut [f64]) -> f64 {
    let mut loss = 0.0;
    for ((row, class, weight), raw) in apart.each().zip(raw) {
        *raw += tree.of_row(row);
        loss += weight * logistic::loss(*raw, f64::from(class));
    }
    loss
}

/// Draws a share of the rows without replacement.
fn sampled(counts: &GroupCounts, share: f64, random: &mut ChaCha8Rng) -> Vec<[u32; 2]> {
    let whole: u64 = counts
        .rows
        .iter()
        .map(|rows| u64::from(rows[0]) + u64::from(rows[1]))
        .sum();
    let (mut left, mut wanted) = (
        whole as usize,
        ((whole as f64 * share).round() as usize).max(1),
    );
    let mut drawn = vec![[0; 2]; counts.rows.len()];
    // Each row in turn is taken with the chance that is left to it (Knuth's algorithm S).
    for (rows, drawn) in counts.rows.iter().zip(&mut drawn) {
        for class in [0, 1] {
            for _ in 0..rows[class] {
                let is_taken = below(random, left) < wanted;
                left -= 1;
                wanted -= usize::from(is_taken);
                drawn[class] += u32::from(is_taken);
            }
        }
    }
    drawn
}

/// Draws a share of the features, in order.
pub(crate) fn chosen(all: &[usize], share: f64, random: &mut ChaCha8Rng) -> Vec<usize> {
    let count = ((all.len() as f64 * share).round() as usize).clamp(1, all.len());
    let mut features = all.to_vec();
    for place in 0..count {
        settle(random, &mut features, place);
    }
    features.truncate(count);
    features.sort_unstable();
    features
}

/// Fits small trees one after the other, each to rows that weigh more the more often they were
/// wrong (SAMME; Zhu, Zou, Rosset and Hastie, 2009).
pub fn adaboost(
    bins: &BinnedRows<u8>,
    counts: &GroupCounts,
    rounds: usize,
    learning_rate: f64,
    rules: &TreeRules,
    growth: &TreeGrowth<'_>,
) -> TreeEnsemble {
    let mut weights = counts.weights();
    let layout = HistogramLayout::new(bins);
    let mut room = GrowingRoom::default();
    let all: Vec<usize> = (0..bins.features()).collect();
    let (mut trees, mut votes) = (Vec::new(), Vec::new());
    let present = counts.present();
    for _ in 0..rounds {
        if growth.is_stopped() {
            break;
        }
        let whole: f64 = weights.iter().flatten().sum();
        let group = |([zero, one], rows): (&[f64; 2], &[u32; 2])| WeightedGroup {
            n: rows[0] + rows[1],
            g: one / whole,
            h: (zero + one) / whole,
        };
        let groups: Vec<WeightedGroup> = weights.iter().zip(&counts.rows).map(group).collect();
        let (mut tree, values) = grow(bins, &layout, &all, &groups, rules, &mut room);
        let is_one = |group: u32| values[group as usize] > 0.5;
        // Of every group the class that the tree is wrong about.
        let wrong: f64 = present
            .iter()
            .map(|group| weights[*group as usize][usize::from(!is_one(*group))])
            .sum();
        let error = wrong / whole;
        if error >= 0.5 && !trees.is_empty() {
            break;
        }
        // A tree that is never wrong is the last; its vote is that of scikit-learn's.
        let vote = if error <= 0.0 {
            1.0
        } else {
            learning_rate * ((1.0 - error) / error).ln()
        };
        for node in tree.nodes.iter_mut().filter(|node| node.is_leaf()) {
            node.value = if node.value > 0.5 { vote } else { -vote };
        }
        for group in &present {
            weights[*group as usize][usize::from(!is_one(*group))] *= vote.exp();
        }
        if !weights.iter().flatten().all(|weight| weight.is_finite()) {
            // Weights that have grown beyond all numbers tell no later tree anything.
            break;
        }
        trees.push(tree);
        votes.push(vote);
        if error <= 0.0 || error >= 0.5 {
            break;
        }
        // Kept from growing without end.
        let whole: f64 = weights.iter().flatten().sum();
        weights
            .iter_mut()
            .flatten()
            .for_each(|weight| *weight /= whole);
    }
    TreeEnsemble {
        features: bins.features(),
        trees,
        link: LinkFunction::Votes(votes),
        laid_out: LaidOutTrees::default(),
    }
}
