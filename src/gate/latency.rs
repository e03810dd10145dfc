//! How long a model takes to score one row, where the decision is made.
//!
//! How: rows are scored one at a time, each several times, and the least time of each row counts, since what is
//! above it is the machine's. The figure is no part of the decision, whose bytes would not be the same twice: only
//! what it comes to is.

use std::time::{Duration, Instant};

use crate::frame::table::Table;
use crate::model::bundle::ModelBundle;
use crate::model::error::ModelError;

/// So many rows are scored, evenly spread over the table.
const ROWS: usize = 200;
/// So often each.
const REPEATS: usize = 5;

/// The time that scoring one row takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowLatency {
    /// The 99th percentile over rows, in milliseconds.
    pub p99_ms: f64,
    /// How many rows were scored.
    pub rows: usize,
}

impl RowLatency {
    /// Scores rows of a table, one at a time.
    ///
    /// # Errors
    /// A column is not there, or a cell is not what it was in training.
    pub fn measure(bundle: &ModelBundle, table: &Table) -> Result<Self, ModelError> {
        let step = table.height().div_ceil(ROWS).max(1);
        let mut times = Vec::new();
        for row in (0..table.height()).step_by(step) {
            let row = table.slice(row, 1);
            let mut least = Duration::MAX;
            for _ in 0..REPEATS {
                let started = Instant::now();
                bundle.scores(&row)?;
                least = least.min(started.elapsed());
            }
            times.push(least);
        }
        times.sort_unstable();
        let rank = (times.len() * 99).div_ceil(100).saturating_sub(1);
        let p99 = times.get(rank).copied().unwrap_or_default();
        Ok(Self {
            p99_ms: p99.as_secs_f64() * 1e3,
            rows: times.len(),
        })
    }

    /// Says what was measured.
    pub fn tell(&self) -> String {
        format!(
            "scoring one row takes {:.3} ms here (99th percentile of {} rows)",
            self.p99_ms, self.rows
        )
    }
}
