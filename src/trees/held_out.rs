//! Rows that no tree is grown from, by whose loss boosting sees that more trees do not help.

use ndarray::{Array2, ArrayView1, Axis};

/// Rows that are held out: not binned, so that they may come from anywhere.
#[derive(Clone, Debug)]
pub struct HeldOut {
    /// Their features.
    pub x: Array2<f64>,
    /// Of each the number of its class, and what it weighs.
    pub rows: Vec<(u16, f64)>,
}

impl HeldOut {
    /// Returns each row with its class and what it weighs.
    pub(crate) fn each(&self) -> impl Iterator<Item = (ArrayView1<'_, f64>, u16, f64)> {
        let rows = self.x.axis_iter(Axis(0)).zip(&self.rows);
        rows.map(|(row, (class, weight))| (row, *class, *weight))
    }
}

/// Whether boosting goes on: it ends after so many rounds in a row that do not lessen the loss.
pub(crate) struct Patience {
    rounds: usize,
    least: f64,
    waited: usize,
}

impl Patience {
    pub(crate) fn new(rounds: usize) -> Self {
        Self {
            rounds,
            least: f64::INFINITY,
            waited: 0,
        }
    }

    /// Hears the loss after a round, and returns whether it was the last.
    pub(crate) fn is_over(&mut self, loss: f64) -> bool {
        self.waited = if loss < self.least {
            0
        } else {
            self.waited + 1
        };
        self.least = self.least.min(loss);
        self.waited >= self.rounds
    }
}
