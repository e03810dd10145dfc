//! Probabilities that mean what they say: what a model tells, corrected by rows that it did not
//! see.

use serde::{Deserialize, Serialize};

use crate::frame::labels::Labels;
use crate::model::scores::Scores;
use crate::stats::logistic::{self, logistic};

/// Probabilities are kept this far from 0 and 1 before their odds are taken.
pub(crate) const EDGE: f64 = 1e-12;
/// The most steps of Newton's method, and how small the gradient is in the end.
const STEPS: usize = 200;
const ENOUGH: f64 = 1e-10;

/// How probabilities are corrected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Calibrator {
    /// The logistic function of a line through the logarithm of the odds.
    Platt {
        /// The slope of the line.
        slope: f64,
        /// Where it begins.
        start: f64,
    },
    /// A line that rises from point to point: told probabilities, in order, and what becomes of
    /// them.
    Isotonic {
        /// What was told.
        told: Vec<f64>,
        /// What it becomes.
        meant: Vec<f64>,
    },
}

/// Returns the logarithm of the odds of a probability, kept finite.
pub(crate) fn log_odds(p: f64) -> f64 {
    let p = p.clamp(EDGE, 1.0 - EDGE);
    (p / (1.0 - p)).ln()
}

impl Calibrator {
    /// Fits a line to the logarithm of the odds (Platt, 1999): the classes are taken for a little
    /// less certain than they are, so that the line stays finite. Rows are of both kinds.
    pub fn platt(labels: &Labels, scores: &Scores) -> Self {
        let ones = labels.attacks() as f64;
        let zeros = labels.benign() as f64;
        let (high, low) = ((ones + 1.0) / (ones + 2.0), 1.0 / (zeros + 2.0));
        let target = |row| if labels.is_attack(row) { high } else { low };
        let odds = scores.attack().iter().map(|p| log_odds(*p));
        let points: Vec<(f64, f64)> = odds.zip((0..labels.len()).map(target)).collect();
        let loss = |slope: f64, start: f64| -> f64 {
            points
                .iter()
                .map(|(x, t)| logistic::loss(slope * x + start, *t))
                .sum()
        };
        let (mut slope, mut start) = (1.0, 0.0);
        for _ in 0..STEPS {
            let (mut gradient, mut hessian) = ([0.0; 2], [0.0, 0.0, 0.0]);
            for (x, t) in &points {
                let q = logistic(slope * x + start);
                let w = q * (1.0 - q);
                gradient[0] += (q - t) * x;
                gradient[1] += q - t;
                hessian[0] += w * x * x;
                hessian[1] += w * x;
                hessian[2] += w;
            }
            let determinant = hessian[0] * hessian[2] - hessian[1] * hessian[1];
            let size = gradient[0].abs() + gradient[1].abs();
            if size < ENOUGH * points.len() as f64 || determinant <= 0.0 {
                break;
            }
            let step = [
                (hessian[2] * gradient[0] - hessian[1] * gradient[1]) / determinant,
                (hessian[0] * gradient[1] - hessian[1] * gradient[0]) / determinant,
            ];
            let (here, mut length) = (loss(slope, start), 1.0);
            while length > 1e-10 && loss(slope - length * step[0], start - length * step[1]) > here
            {
                length /= 2.0;
            }
            (slope, start) = (slope - length * step[0], start - length * step[1]);
        }
        Self::Platt { slope, start }
    }

    /// Fits the rising steps that are nearest to the classes, by pooling neighbours that fall
    /// (Ayer, Brunk, Ewing, Reid and Silverman, 1955).
    pub fn isotonic(labels: &Labels, scores: &Scores) -> Self {
        let attack = scores.attack().iter().copied();
        let mut order: Vec<(f64, f64)> = attack.zip(labels.targets()).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Blocks: the least and the greatest probability told, the rows, and the attacks among
        // them.
        let mut blocks: Vec<(f64, f64, f64, f64)> = Vec::new();
        for tied in order.chunk_by(|a, b| a.0 == b.0) {
            let (rows, hits) = (tied.len() as f64, tied.iter().map(|(_, y)| y).sum::<f64>());
            let mut block = (tied[0].0, tied[0].0, rows, hits);
            while let Some(last) = blocks
                .last()
                .filter(|last| last.3 / last.2 >= block.3 / block.2)
            {
                block = (last.0, block.1, last.2 + block.2, last.3 + block.3);
                blocks.pop();
            }
            blocks.push(block);
        }
        let (mut told, mut meant) = (Vec::new(), Vec::new());
        for (low, high, rows, hits) in blocks {
            for end in if low == high {
                vec![low]
            } else {
                vec![low, high]
            } {
                told.push(end);
                meant.push(hits / rows);
            }
        }
        Self::Isotonic { told, meant }
    }

    /// Returns what is wrong with it, if it was read from a file.
    pub fn fault(&self) -> Option<String> {
        let is_odd = match self {
            Self::Platt { slope, start } => !(slope.is_finite() && start.is_finite()),
            Self::Isotonic { told, meant } => {
                let falls = told.windows(2).any(|pair| pair[0] >= pair[1]);
                told.len() != meant.len() || falls || meant.iter().any(|p| !(0.0..=1.0).contains(p))
            }
        };
        is_odd.then(|| "a calibration that is no rising line".to_owned())
    }

    /// Returns what a told probability means.
    pub fn apply(&self, p: f64) -> f64 {
        match self {
            Self::Platt { slope, start } => logistic(slope * log_odds(p) + start),
            Self::Isotonic { told, meant } => {
                let at = told.partition_point(|known| *known < p);
                match (at.checked_sub(1), told.get(at), meant.get(at)) {
                    (_, Some(known), Some(value)) if *known == p => *value,
                    (None, _, value) => value.copied().unwrap_or(p),
                    (Some(before), Some(after), Some(value)) => {
                        let share = (p - told[before]) / (after - told[before]);
                        meant[before] + share * (value - meant[before])
                    }
                    (Some(before), ..) => meant[before],
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn falling_neighbours_are_pooled() {
        let y = Labels::of_attacks([false, true, false, true, true]);
        let p = Scores::of_attack(vec![0.1, 0.3, 0.4, 0.8, 0.9]);
        let calibrator = Calibrator::isotonic(&y, &p);
        let told = [0.0, 0.1, 0.2, 0.3, 0.35, 0.4, 0.6, 0.8, 1.0].map(|p| calibrator.apply(p));
        let meant = [0.0, 0.0, 0.25, 0.5, 0.5, 0.5, 0.75, 1.0, 1.0];
        assert!(
            told.iter()
                .zip(meant)
                .all(|(told, meant)| (told - meant).abs() < 1e-15),
            "{told:?}"
        );
    }

    #[test]
    fn certain_wrongness_stays_finite() {
        let y = Labels::of_attacks([false, false, true, true]);
        let p = Scores::of_attack(vec![0.0, 0.0, 1.0, 1.0]);
        let Calibrator::Platt { slope, start } = Calibrator::platt(&y, &p) else {
            unreachable!("it is of Platt's form")
        };
        assert!(
            slope.is_finite() && start.is_finite() && slope > 0.0,
            "{slope} {start}"
        );
    }
}
