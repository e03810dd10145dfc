//! Can a model tell the rows of two tables apart? What single columns do not show, such as a
//! changed correlation, it sees.
//!
//! How: the model is fitted to units, distinct rows with their copies, of one half and judged by
//! those of the other, so that no copy of a row that it learned is asked about. Then the sides are
//! dealt out anew many times: of rows, if the tables were drawn row by row; of whole units, if
//! copies stay together. How often that is told apart as well is the p-value.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile::columns::{Profile, SampledCells};
use crate::profile::units::DrawnUnit;
use crate::stats::auc::auc;

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
/// So many permutations that tell as well end the count: the p-value is then large anyway (Besag
/// and Clifford, 1991).
const ENOUGH: usize = 5;
/// With fewer sampled units on a side nothing is asked.
const LEAST: usize = 50;
/// So many units of a side are asked about where whole units are dealt out.
const UNITS: usize = 1000;
/// So many rows are dealt out: of more, each unit gives its share.
const ROWS: f64 = 8000.0;

/// How well a model tells the two apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DomainClassifier {
    /// The area under the ROC curve on rows that the model was not fitted to; 0.5 if it cannot
    /// tell.
    pub auc: f64,
    /// The share of permutations of the rows that are told apart as well.
    pub p: f64,
    /// How many permutations were drawn.
    pub permutations: usize,
    /// The sampled rows, or units, of either side.
    pub rows: (usize, usize),
}

/// Distinct rows, each with how often it stands on either side.
struct SideCounts {
    /// The bin of each by column.
    columns: Vec<Vec<u8>>,
    /// The rows of each in the reference and in the other table.
    counts: Vec<[u64; 2]>,
}

/// Compares the sampled units of two profiles; from `min_auc` on the p-value is to be exact enough
/// for an alarm. `None` if there are too few, or no column that both have.
pub fn compare(
    reference: &Profile,
    current: &Profile,
    drawn: DrawnUnit,
    min_auc: f64,
    seed: u64,
) -> Option<DomainClassifier> {
    let mut sides = SideCounts::of(reference, current, drawn);
    let rows = (sides.rows(0), sides.rows(1));
    if rows.0.min(rows.1) < LEAST || sides.columns.is_empty() {
        return None;
    }
    // A column with one value tells nothing.
    sides
        .columns
        .retain(|column| column.iter().any(|bin| *bin != column[0]));
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let fold = shuffled(
        &mut random,
        (0..sides.counts.len()).map(|unit| unit % 2 == 0).collect(),
    );
    let seen = sides.area(&fold);
    let (mut as_good, mut permutations) = (0, 0);
    let most = if seen >= min_auc { PERMUTATIONS } else { FEW };
    while permutations < most && as_good < ENOUGH {
        sides.deal(&mut random, drawn);
        as_good += usize::from(sides.area(&fold) >= seen);
        permutations += 1;
    }
    let p = match as_good < ENOUGH {
        true => (as_good + 1) as f64 / (permutations + 1) as f64,
        false => as_good as f64 / permutations as f64,
    };
    Some(DomainClassifier {
        auc: seen,
        p,
        permutations,
        rows,
    })
}

/// Fisher and Yates.
fn shuffled<T>(random: &mut ChaCha8Rng, mut list: Vec<T>) -> Vec<T> {
    for at in (1..list.len()).rev() {
        let other = (u128::from(random.next_u64()) * (at as u128 + 1)) >> 64;
        list.swap(at, other as usize);
    }
    list
}

impl SideCounts {
    fn of(reference: &Profile, current: &Profile, drawn: DrawnUnit) -> Self {
        let (first, second) = (&reference.units, &current.units);
        // Of whole units each side has its own; of rows, those count that would be in both samples
        // if they were in both tables.
        let (mine, theirs) = match drawn {
            DrawnUnit::Row => (first.comparable(second), second.comparable(first)),
            DrawnUnit::DistinctRow | DrawnUnit::Group => {
                (first.len().min(UNITS), second.len().min(UNITS))
            }
        };
        let mut counts: Vec<[u64; 2]> = Vec::new();
        let mut places: BTreeMap<u64, usize> = BTreeMap::new();
        // Where each unit is shown: on which side, at which place.
        let mut shown: Vec<(usize, usize)> = Vec::new();
        for (side, units, count) in [(0, first, mine), (1, second, theirs)] {
            for at in 0..count {
                let weight = if drawn == DrawnUnit::Row {
                    units.counts[at]
                } else {
                    1
                };
                let unit = match drawn {
                    DrawnUnit::Row => *places.entry(units.keys[at]).or_insert(counts.len()),
                    DrawnUnit::DistinctRow | DrawnUnit::Group => counts.len(),
                };
                if unit == counts.len() {
                    counts.push([0; 2]);
                    shown.push((side, at));
                }
                counts[unit][side] += weight;
            }
        }
        thin(&mut counts);
        let columns = reference.columns.iter().filter_map(|column| {
            Some(binned(
                &column.sample,
                &current.column(&column.name)?.sample,
                &shown,
            ))
        });
        Self {
            columns: columns.collect(),
            counts,
        }
    }

    fn rows(&self, side: usize) -> usize {
        self.counts.iter().map(|counts| counts[side]).sum::<u64>() as usize
    }

    /// Deals the sides out anew: rows over units, or units as they are.
    fn deal(&mut self, random: &mut ChaCha8Rng, drawn: DrawnUnit) {
        if drawn != DrawnUnit::Row {
            self.counts = shuffled(random, std::mem::take(&mut self.counts));
            return;
        }
        let whole = |unit: usize, counts: &[u64; 2]| vec![unit; (counts[0] + counts[1]) as usize];
        let second = self.rows(1);
        let rows = self
            .counts
            .iter()
            .enumerate()
            .flat_map(|(unit, counts)| whole(unit, counts))
            .collect();
        self.counts.iter_mut().for_each(|counts| *counts = [0; 2]);
        for (place, unit) in shuffled::<usize>(random, rows).into_iter().enumerate() {
            self.counts[unit][usize::from(place < second)] += 1;
        }
    }

    /// The mean area under the ROC curve over the two halves, each judged by a model of the other.
    fn area(&self, fold: &[bool]) -> f64 {
        let half = |judged: bool| {
            let units = |wanted: bool| {
                (0..fold.len())
                    .filter(|unit| fold[*unit] == wanted)
                    .collect::<Vec<usize>>()
            };
            let scores = self.boost(&units(!judged));
            let mut sides: [Vec<(f64, u64)>; 2] = [Vec::new(), Vec::new()];
            for unit in units(judged) {
                for (side, count) in self.counts[unit]
                    .into_iter()
                    .enumerate()
                    .filter(|(_, count)| *count > 0)
                {
                    sides[side].push((scores[unit], count));
                }
            }
            let [mut first, mut second] = sides;
            first.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            second.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            auc(&first, &second).unwrap_or(0.5)
        };
        (half(false) + half(true)) / 2.0
    }

    /// Fits small boosted trees for the logistic loss to some units (Friedman, 2001) and returns
    /// the scores of all.
    fn boost(&self, units: &[usize]) -> Vec<f64> {
        let mut scores = vec![0.0; self.counts.len()];
        let mut node = vec![0_u32; self.counts.len()];
        let weight = |unit: usize| (self.counts[unit][0] + self.counts[unit][1]) as f64;
        // The bins of these units alone, one after the other.
        let bins: Vec<Vec<u8>> = self
            .columns
            .iter()
            .map(|column| units.iter().map(|unit| column[*unit]).collect())
            .collect();
        for _ in 0..ROUNDS {
            node.fill(0);
            let told = |unit: usize| 1.0 / (1.0 + f64::exp(-scores[unit]));
            let residual: Vec<f64> = units
                .iter()
                .map(|unit| self.counts[*unit][1] as f64 - weight(*unit) * told(*unit))
                .collect();
            for depth in 0..DEPTH {
                let nodes = 1_usize << depth;
                // Of every node its best split: gain, column, bin.
                let mut best: Vec<(f64, usize, u8)> = vec![(1e-9, 0, u8::MAX); nodes];
                let mine: Vec<(u32, f64, f64)> = units
                    .iter()
                    .zip(&residual)
                    .map(|(unit, residual)| (node[*unit], *residual, weight(*unit)))
                    .collect();
                for (at, bins) in bins.iter().enumerate() {
                    let mut sums = [[(0.0, 0.0); BINS]; 1 << (DEPTH - 1)];
                    for (bin, (node, residual, weight)) in bins.iter().zip(&mine) {
                        let cell = &mut sums[*node as usize][usize::from(*bin)];
                        cell.0 += residual;
                        cell.1 += weight;
                    }
                    for (sums, best) in sums[..nodes].iter().zip(&mut best) {
                        let split = best_split(sums);
                        if split.0 > best.0 {
                            *best = (split.0, at, split.1);
                        }
                    }
                }
                for (unit, node) in node.iter_mut().enumerate() {
                    let (_, column, bin) = best[*node as usize];
                    *node = 2 * *node + u32::from(self.columns[column][unit] > bin);
                }
            }
            let mut sums = [(0.0, 0.0); 1 << DEPTH];
            for (unit, residual) in units.iter().zip(&residual) {
                let p = told(*unit);
                let (sum, hessian) = &mut sums[node[*unit] as usize];
                *sum += residual;
                *hessian += weight(*unit) * p * (1.0 - p);
            }
            for (score, node) in scores.iter_mut().zip(&node) {
                let (sum, hessian) = sums[*node as usize];
                *score += STEP * sum / (hessian + 1.0);
            }
        }
        scores
    }
}

/// The gain of the best split of a node, by the sums of residuals and rows of its bins, and the
/// last bin on the left.
fn best_split(sums: &[(f64, f64); BINS]) -> (f64, u8) {
    let (whole, count) = sums
        .iter()
        .fold((0.0, 0.0), |(s, n), (sum, rows)| (s + sum, n + rows));
    let (mut left, mut below) = (0.0, 0.0);
    let mut best = (0.0, u8::MAX);
    for (bin, (sum, rows)) in sums.iter().enumerate() {
        left += sum;
        below += rows;
        if below < LEAF || count - below < LEAF {
            continue;
        }
        let gain =
            left * left / below + (whole - left).powi(2) / (count - below) - whole * whole / count;
        if gain > best.0 {
            best = (gain, bin as u8);
        }
    }
    best
}

/// Takes fewer rows of each unit where there are too many in all, at least one.
fn thin(counts: &mut [[u64; 2]]) {
    let all: u64 = counts.iter().flatten().sum();
    if all as f64 <= ROWS {
        return;
    }
    let share = ROWS / all as f64;
    // What is left over of one is given to the next, so that the sides keep their shares.
    let mut over = [0.0; 2];
    for counts in counts {
        for (count, over) in counts.iter_mut().zip(&mut over) {
            let wanted = *count as f64 * share + *over;
            *count = wanted.floor() as u64;
            *over = wanted - wanted.floor();
        }
    }
}

/// The cells of units as bins of about as many cells; what is missing has the bin 0.
fn binned(first: &SampledCells, second: &SampledCells, shown: &[(usize, usize)]) -> Vec<u8> {
    if let (SampledCells::Numbers(first), SampledCells::Numbers(second)) = (first, second) {
        let cell = |(side, at): &(usize, usize)| if *side == 0 { first[*at] } else { second[*at] };
        let cells: Vec<f32> = shown.iter().map(cell).collect();
        let mut sorted: Vec<f32> = cells
            .iter()
            .copied()
            .filter(|cell| !cell.is_nan())
            .collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let mut edges: Vec<f32> = (1..BINS - 1)
            .filter_map(|at| sorted.get(at * sorted.len() / (BINS - 1)).copied())
            .collect();
        edges.dedup();
        let bin = |cell: &f32| {
            if cell.is_nan() {
                0
            } else {
                1 + edges.partition_point(|edge| edge < cell) as u8
            }
        };
        return cells.iter().map(bin).collect();
    }
    let cells: Vec<Option<String>> = shown
        .iter()
        .map(|(side, at)| {
            if *side == 0 {
                first.text(*at)
            } else {
                second.text(*at)
            }
        })
        .collect();
    let mut counts = BTreeMap::new();
    cells
        .iter()
        .flatten()
        .for_each(|cell| *counts.entry(cell.as_str()).or_insert(0_usize) += 1);
    let mut common: Vec<(&str, usize)> = counts.into_iter().collect();
    common.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let place = |cell: &Option<String>| match cell {
        None => 0,
        Some(cell) => {
            1 + common
                .iter()
                .take(BINS - 2)
                .position(|(text, _)| text == cell)
                .unwrap_or(BINS - 2) as u8
        }
    };
    cells.iter().map(place).collect()
}
