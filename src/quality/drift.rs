//! Do two parts of a table look alike: a test a column, corrected for how many there are.

use serde::Serialize;

use crate::frame::table::{ColumnType, Table, TableError};
use crate::quality::ks::two_sample;

/// How one column compares.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnDrift {
    /// The column.
    pub column: String,
    /// The test: `ks`.
    pub test: &'static str,
    /// Its statistic.
    pub statistic: f64,
    /// Its p-value.
    pub p: f64,
    /// The p-value after Holm's correction (1979) over all columns.
    pub p_adjusted: f64,
    /// Whether the corrected p-value is below alpha.
    pub drifted: bool,
}

/// How two tables compare.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drift {
    /// The chance of a false alarm, over all columns together.
    pub alpha: f64,
    /// Rows of the reference.
    pub reference_rows: usize,
    /// Rows of the other table.
    pub current_rows: usize,
    /// How many columns drifted.
    pub drifted: usize,
    /// Each numeric column, in the order of the reference.
    pub columns: Vec<ColumnDrift>,
}

/// Compares every numeric column of two tables.
///
/// # Errors
/// A column of the reference is missing in `current`.
pub fn compare(reference: &Table, current: &Table, alpha: f64) -> Result<Drift, TableError> {
    let mut columns = Vec::new();
    for name in reference.names() {
        let numeric = |table: &Table| {
            Ok(matches!(table.column_type(&name)?, ColumnType::Int | ColumnType::Float | ColumnType::Bool))
        };
        if !numeric(reference)? || !numeric(current)? {
            continue;
        }
        let present = |table: &Table| -> Result<Vec<f64>, TableError> {
            Ok(table.numbers(&name)?.into_iter().filter(|cell| !cell.is_nan()).collect())
        };
        if let Some(ks) = two_sample(&present(reference)?, &present(current)?) {
            let (statistic, p) = (ks.statistic, ks.p);
            columns.push(ColumnDrift { column: name, test: "ks", statistic, p, p_adjusted: p, drifted: false });
        }
    }
    let adjusted = holm(&columns.iter().map(|column| column.p).collect::<Vec<f64>>());
    for (column, p) in columns.iter_mut().zip(adjusted) {
        column.p_adjusted = p;
        column.drifted = p < alpha;
    }
    let drifted = columns.iter().filter(|column| column.drifted).count();
    Ok(Drift { alpha, reference_rows: reference.height(), current_rows: current.height(), drifted, columns })
}

/// Holm's step-down correction: the i-th smallest of m p-values times m - i, never below an earlier one.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut floor: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        floor = floor.max(((p.len() - rank) as f64 * p[index]).min(1.0));
        adjusted[index] = floor;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holm_steps_down() {
        let adjusted = holm(&[0.01, 0.04, 0.03]);
        let expected = [0.03, 0.06, 0.06];
        assert!(adjusted.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{adjusted:?}");
    }
}
