//! Histogram-based outlier score (Goldstein and Dengel, 2012), as PyOD 3.6.7 defines it.

use ndarray::{ArrayView1, ArrayView2};

use crate::novelty::steps::{FeatureSteps, StepSum};

/// What is added to densities, so that their logarithm is finite.
const ALPHA: f64 = 0.1;

/// The share of a bin by which a cell may lie outside all bins and still count to the last.
const TOLERANCE: f64 = 0.5;

/// Makes a histogram of so many bins of the same width for each feature. A cell adds the logarithm
/// to base 2 of the density in its bin, negated.
pub fn histogram_score(x: ArrayView2<'_, f64>, bins: usize) -> StepSum {
    let columns = x.columns().into_iter();
    StepSum {
        features: columns.map(|cells| histogram(cells, bins)).collect(),
    }
}

fn histogram(cells: ArrayView1<'_, f64>, bins: usize) -> FeatureSteps {
    let (low, high) = ends(cells);
    let whole = high - low;
    let width = match whole.is_finite() {
        true => whole / bins as f64,
        false => high / bins as f64 - low / bins as f64,
    };
    let mut edges: Vec<f64> = (0..=bins).map(|at| low + at as f64 * width).collect();
    edges[bins] = high;
    edges.dedup();
    let bins = edges.len() - 1;
    let mut counts = vec![0_u64; bins];
    for cell in cells {
        // The last bin has both of its ends, the others their lower.
        let bin = edges.partition_point(|edge| *edge <= *cell);
        counts[bin.saturating_sub(1).min(bins - 1)] += 1;
    }
    let widths = edges.windows(2).map(|pair| pair[1] - pair[0]);
    let added = |(count, width): (&u64, f64)| {
        let density = *count as f64 / width / cells.len() as f64;
        -(density + ALPHA).log2()
    };
    let added: Vec<f64> = counts.iter().zip(widths).map(added).collect();
    let most = added.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (first, last) = (added[0], added[bins - 1]);
    let outer = [
        low - TOLERANCE * (edges[1] - edges[0]),
        high + TOLERANCE * (edges[bins] - edges[bins - 1]),
    ];
    // A cell on an edge counts to the bin below it; on the first and beyond the last by the share
    // of a bin, to the nearest.
    let mut steps = FeatureSteps {
        at: Vec::new(),
        on: Vec::new(),
        between: vec![most],
    };
    let inner = edges
        .iter()
        .copied()
        .zip(std::iter::once(first).chain(added.iter().copied()));
    let points = std::iter::once((outer[0], first)).chain(inner);
    let above = std::iter::once(first)
        .chain(added.iter().copied())
        .chain([last]);
    for ((point, on), above) in points.chain([(outer[1], last)]).zip(above.chain([most])) {
        // A share of a bin can be less than numbers there are apart.
        if steps.at.last() == Some(&point) {
            steps.on.pop();
            steps.between.pop();
        } else {
            steps.at.push(point);
        }
        steps.on.push(on);
        steps.between.push(above);
    }
    steps
}

/// Returns the least and the greatest cell, apart by 1 where all are the same.
fn ends(cells: ArrayView1<'_, f64>) -> (f64, f64) {
    let ends = cells
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), cell| {
            (low.min(*cell), high.max(*cell))
        });
    match ends.0 < ends.1 {
        true => ends,
        false => (ends.0 - 0.5, ends.1 + 0.5),
    }
}
