//! Can a model tell the rows of two tables apart? What single columns do not show, such as a changed correlation, it sees.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use crate::quality::leakage::auc;
use crate::quality::profile::{Profile, Sample};

/// Bins of a column.
const BINS: usize = 32;
/// Boosting rounds, the depth of their trees, the least rows of a leaf, the step.
const ROUNDS: usize = 10;
const DEPTH: u32 = 2;
const LEAF: f64 = 15.0;
const STEP: f64 = 0.3;
/// The most permutations where the model tells well enough for an alarm, and where it does not.
const PERMUTATIONS: usize = 199;
const FEW: usize = 9;
/// So many permutations that tell as well end the count: the p-value is then large anyway (Besag and Clifford, 1991).
const ENOUGH: usize = 5;
/// With fewer sampled rows on a side nothing is asked.
const LEAST: usize = 50;

/// How well a model tells the two apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Domain {
    /// The area under the ROC curve on rows that the model was not fitted to; 0.5 if it cannot tell.
    pub auc: f64,
    /// The share of permutations of the rows that are told apart as well.
    pub p: f64,
    /// How many permutations were drawn.
    pub permutations: usize,
    /// The sampled rows of either side.
    pub rows: (usize, usize),
}

/// Compares the sampled rows of two profiles; from `min_auc` on the p-value is to be exact enough for an alarm. `None` if there are too few, or no column that both have.
pub fn compare(reference: &Profile, current: &Profile, min_auc: f64, seed: u64) -> Option<Domain> {
    let rows = (reference.sampled(), current.sampled());
    if rows.0.min(rows.1) < LEAST {
        return None;
    }
    let mut columns: Vec<Vec<u8>> = reference
        .columns
        .iter()
        .filter_map(|first| Some(binned(&first.sample, &current.column(&first.name)?.sample)))
        .collect();
    if columns.is_empty() {
        return None;
    }
    // A column with one value tells nothing.
    columns.retain(|column| column.iter().any(|bin| *bin != column[0]));
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut side: Vec<bool> = (0..rows.0 + rows.1).map(|row| row >= rows.0).collect();
    let fold = shuffled(&mut random, (0..side.len()).map(|row| row % 2 == 0).collect());
    let seen = area(&columns, &side, &fold);
    let (mut as_good, mut permutations) = (0, 0);
    let most = if seen >= min_auc { PERMUTATIONS } else { FEW };
    while permutations < most && as_good < ENOUGH {
        side = shuffled(&mut random, side);
        as_good += usize::from(area(&columns, &side, &fold) >= seen);
        permutations += 1;
    }
    let p = match as_good < ENOUGH {
        true => (as_good + 1) as f64 / (permutations + 1) as f64,
        false => as_good as f64 / permutations as f64,
    };
    Some(Domain { auc: seen, p, permutations, rows })
}

/// Fisher and Yates.
fn shuffled(random: &mut ChaCha8Rng, mut list: Vec<bool>) -> Vec<bool> {
    for at in (1..list.len()).rev() {
        let other = (u128::from(random.next_u64()) * (at as u128 + 1)) >> 64;
        list.swap(at, other as usize);
    }
    list
}

/// The cells of both sides as bins of about as many cells; what is missing has the bin 0.
fn binned(first: &Sample, second: &Sample) -> Vec<u8> {
    if let (Sample::Numbers(first), Sample::Numbers(second)) = (first, second) {
        let cells: Vec<f32> = first.iter().chain(second).copied().collect();
        let mut sorted: Vec<f32> = cells.iter().copied().filter(|cell| !cell.is_nan()).collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let mut edges: Vec<f32> =
            (1..BINS - 1).filter_map(|at| sorted.get(at * sorted.len() / (BINS - 1)).copied()).collect();
        edges.dedup();
        let bin = |cell: &f32| if cell.is_nan() { 0 } else { 1 + edges.partition_point(|edge| edge < cell) as u8 };
        return cells.iter().map(bin).collect();
    }
    let text = |sample: &Sample| -> Vec<Option<String>> {
        match sample {
            Sample::Texts(cells) => cells.clone(),
            Sample::Numbers(cells) => cells.iter().map(|cell| (!cell.is_nan()).then(|| cell.to_string())).collect(),
        }
    };
    let cells: Vec<Option<String>> = text(first).into_iter().chain(text(second)).collect();
    let mut counts = std::collections::BTreeMap::new();
    cells.iter().flatten().for_each(|cell| *counts.entry(cell.as_str()).or_insert(0_usize) += 1);
    let mut common: Vec<(&str, usize)> = counts.into_iter().collect();
    common.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let place = |cell: &Option<String>| match cell {
        None => 0,
        Some(cell) => 1 + common.iter().take(BINS - 2).position(|(text, _)| text == cell).unwrap_or(BINS - 2) as u8,
    };
    cells.iter().map(place).collect()
}

/// The mean area under the ROC curve over the two halves, each judged by a model of the other.
fn area(columns: &[Vec<u8>], side: &[bool], fold: &[bool]) -> f64 {
    let half = |judged: bool| {
        let rows = |wanted: bool| (0..side.len()).filter(|row| fold[*row] == wanted).collect::<Vec<usize>>();
        let scores = boost(columns, side, &rows(!judged));
        let mut sides: [Vec<(f64, u64)>; 2] = [Vec::new(), Vec::new()];
        for row in rows(judged) {
            sides[usize::from(side[row])].push((scores[row], 1));
        }
        let [mut first, mut second] = sides;
        first.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        second.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        auc(&first, &second).unwrap_or(0.5)
    };
    (half(false) + half(true)) / 2.0
}

/// Fits small boosted trees for the logistic loss to some rows (Friedman, 2001) and returns the scores of all rows.
fn boost(columns: &[Vec<u8>], side: &[bool], rows: &[usize]) -> Vec<f64> {
    let mut scores = vec![0.0; side.len()];
    let mut node = vec![0_u32; side.len()];
    let mut residual = vec![0.0; side.len()];
    // The bins of these rows alone, one after the other.
    let bins: Vec<Vec<u8>> = columns.iter().map(|column| rows.iter().map(|row| column[*row]).collect()).collect();
    for _ in 0..ROUNDS {
        node.fill(0);
        for &row in rows {
            let p: f64 = 1.0 / (1.0 + f64::exp(-scores[row]));
            residual[row] = f64::from(u8::from(side[row])) - p;
        }
        for depth in 0..DEPTH {
            let nodes = 1_usize << depth;
            // Of every node its best split: gain, column, bin.
            let mut best: Vec<(f64, usize, u8)> = vec![(1e-9, 0, u8::MAX); nodes];
            let mine: Vec<(u32, f64)> = rows.iter().map(|row| (node[*row], residual[*row])).collect();
            for (at, bins) in bins.iter().enumerate() {
                let mut sums = [[(0.0, 0.0); BINS]; 1 << (DEPTH - 1)];
                for (bin, (node, residual)) in bins.iter().zip(&mine) {
                    let cell = &mut sums[*node as usize][usize::from(*bin)];
                    cell.0 += residual;
                    cell.1 += 1.0;
                }
                for (sums, best) in sums[..nodes].iter().zip(&mut best) {
                    let (whole, count) = sums.iter().fold((0.0, 0.0), |(s, n), (sum, rows)| (s + sum, n + rows));
                    let (mut left, mut below) = (0.0, 0.0);
                    for (bin, (sum, rows)) in sums.iter().enumerate() {
                        left += sum;
                        below += rows;
                        if below < LEAF || count - below < LEAF {
                            continue;
                        }
                        let gain =
                            left * left / below + (whole - left).powi(2) / (count - below) - whole * whole / count;
                        if gain > best.0 {
                            *best = (gain, at, bin as u8);
                        }
                    }
                }
            }
            for (row, node) in node.iter_mut().enumerate() {
                let (_, column, bin) = best[*node as usize];
                *node = 2 * *node + u32::from(columns[column][row] > bin);
            }
        }
        let mut sums = [(0.0, 0.0); 1 << DEPTH];
        for &row in rows {
            let p: f64 = 1.0 / (1.0 + f64::exp(-scores[row]));
            let (sum, weight) = &mut sums[node[row] as usize];
            *sum += residual[row];
            *weight += p * (1.0 - p);
        }
        for (score, node) in scores.iter_mut().zip(&node) {
            let (sum, weight) = sums[*node as usize];
            *score += STEP * sum / (weight + 1.0);
        }
    }
    scores
}
