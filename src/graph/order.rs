//! Topological order, upstream and downstream cones.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use crate::graph::build::Graph;

/// Returns the stages so that each stands after all it needs; where there is a choice, in the order
/// of the file.
pub fn topological(graph: &Graph) -> Vec<usize> {
    let mut open: Vec<usize> = (0..graph.len())
        .map(|stage| graph.needs(stage).len())
        .collect();
    let mut ready: BinaryHeap<Reverse<usize>> = (0..graph.len())
        .filter(|&stage| open[stage] == 0)
        .map(Reverse)
        .collect();
    let mut order = Vec::with_capacity(graph.len());
    while let Some(Reverse(stage)) = ready.pop() {
        order.push(stage);
        for user in graph.users(stage) {
            open[user] -= 1;
            if open[user] == 0 {
                ready.push(Reverse(user));
            }
        }
    }
    order
}

/// Returns, for each stage, how much lies before the end of the graph if it begins: its own weight
/// and the heaviest way through what depends on it. What is largest lies on the critical path.
pub fn weight_below(graph: &Graph, weight: impl Fn(usize) -> u64) -> Vec<u64> {
    let mut below = vec![0_u64; graph.len()];
    for stage in topological(graph).into_iter().rev() {
        let after = graph
            .users(stage)
            .into_iter()
            .map(|user| below[user])
            .max()
            .unwrap_or(0);
        below[stage] = weight(stage).saturating_add(after);
    }
    below
}

/// Returns the stages from which `stages` can be reached, and these themselves.
pub fn upstream(graph: &Graph, stages: &BTreeSet<usize>) -> BTreeSet<usize> {
    reach(stages, |stage| graph.needs(stage))
}

/// Returns the stages that can be reached from `stages`, and these themselves.
pub fn downstream(graph: &Graph, stages: &BTreeSet<usize>) -> BTreeSet<usize> {
    reach(stages, |stage| graph.users(stage))
}

fn reach(from: &BTreeSet<usize>, next: impl Fn(usize) -> Vec<usize>) -> BTreeSet<usize> {
    let mut reached = from.clone();
    let mut open: Vec<usize> = from.iter().copied().collect();
    while let Some(stage) = open.pop() {
        open.extend(
            next(stage)
                .into_iter()
                .filter(|found| reached.insert(*found)),
        );
    }
    reached
}
