//! Outlier scores by the tails of each feature's empirical distribution: ECOD (Li, Zhao, Hu, Botta,
//! Ionescu and Chen, 2022) and COPOD (Li, Zhao, Botta, Ionescu and Hu, 2020).
//!
//! A row is told as PyOD tells it when it is asked about that row alone: the row itself counts
//! among those of training. Skewness is that of the training rows.

use ndarray::{ArrayView1, ArrayView2};

use crate::novelty::steps::{FeatureSteps, StepSum};

/// Of more values than this those in the middle are thinned out; the tails are kept as they are.
const MOST: usize = 4096;

/// Which tails count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailRule {
    /// The rarer of both, and the longer.
    Ecod,
    /// The longer, but at least the mean of both.
    Copod,
}

/// Looks up how rare cells as small, and as great, are in each feature: the logarithms, negated, of
/// the shares of rows, put together by a rule.
pub fn tail_score(x: ArrayView2<'_, f64>, rule: TailRule) -> StepSum {
    let columns = x.columns().into_iter();
    StepSum {
        features: columns.map(|cells| tails(cells, rule)).collect(),
    }
}

fn tails(cells: ArrayView1<'_, f64>, rule: TailRule) -> FeatureSteps {
    let longer = skew_sign(cells);
    let mut sorted = cells.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rows = sorted.len() as f64;
    // Of so many rows below, and so many below or equal, what a cell there adds.
    let added = |below: usize, to: usize| {
        let left = -((to as f64 + 1.0) / (rows + 1.0)).ln();
        let right = -((rows - below as f64 + 1.0) / (rows + 1.0)).ln();
        let by_skew = match longer {
            sign if sign < 0.0 => left,
            sign if sign > 0.0 => right,
            _ => left + right,
        };
        match rule {
            TailRule::Ecod => left.max(right).max(by_skew),
            TailRule::Copod => f64::midpoint(left, right).max(by_skew),
        }
    };
    let mut steps = FeatureSteps {
        at: Vec::new(),
        on: Vec::new(),
        between: vec![added(0, 0)],
    };
    let mut below = 0;
    for tied in sorted.chunk_by(|a, b| a == b) {
        let to = below + tied.len();
        steps.at.push(tied[0]);
        steps.on.push(added(below, to));
        steps.between.push(added(to, to));
        below = to;
    }
    thinned(steps)
}

/// Leaves out points in the middle where there are very many: between two that stay what is added
/// is that above the first of them.
fn thinned(steps: FeatureSteps) -> FeatureSteps {
    let count = steps.at.len();
    if count <= MOST {
        return steps;
    }
    let tail = MOST / 4;
    let step = (count - 2 * tail).div_ceil(MOST / 2);
    let stays = |at: &usize| *at < tail || *at >= count - tail || (at - tail).is_multiple_of(step);
    let kept: Vec<usize> = (0..count).filter(stays).collect();
    let above = kept.iter().map(|at| steps.between[at + 1]);
    FeatureSteps {
        at: kept.iter().map(|at| steps.at[*at]).collect(),
        on: kept.iter().map(|at| steps.on[*at]).collect(),
        between: std::iter::once(steps.between[0]).chain(above).collect(),
    }
}

/// Returns the sign of the skewness; 0 where cells are the same, or stand the same on both sides.
fn skew_sign(cells: ArrayView1<'_, f64>) -> f64 {
    let rows = cells.len() as f64;
    let size = cells
        .iter()
        .fold(0.0, |most: f64, cell| most.max(cell.abs()));
    if size == 0.0 {
        return 0.0;
    }
    // Scaled, so that no cube overflows.
    let mean = cells.iter().map(|cell| cell / size).sum::<f64>() / rows;
    let moment = |power: i32| {
        cells
            .iter()
            .map(|cell| (cell / size - mean).powi(power))
            .sum::<f64>()
            / rows
    };
    let (variance, third) = (moment(2), moment(3));
    // What is nothing but rounding has no sign.
    if variance <= (f64::EPSILON * mean).powi(2) || third == 0.0 {
        return 0.0;
    }
    third.signum()
}
