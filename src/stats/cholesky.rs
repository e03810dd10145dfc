//! The Cholesky factor of a symmetric matrix, and what it solves.

use ndarray::{Array1, Array2, s};

/// A pivot of less than this share of its diagonal is none.
const LEAST: f64 = 1e-14;

/// A lower triangle L with L Lᵀ = A.
#[derive(Clone, Debug)]
pub struct CholeskyFactor(Array2<f64>);

impl CholeskyFactor {
    /// Factors a symmetric matrix of which the lower triangle is read; `None` if it is not positive
    /// definite.
    pub fn of(mut matrix: Array2<f64>) -> Option<Self> {
        let width = matrix.nrows();
        for column in 0..width {
            let mut pivot = matrix[[column, column]];
            for k in 0..column {
                pivot -= matrix[[column, k]] * matrix[[column, k]];
            }
            if pivot.is_nan() || pivot <= matrix[[column, column]].abs() * LEAST {
                return None;
            }
            let root = pivot.sqrt();
            matrix[[column, column]] = root;
            for row in column + 1..width {
                let upper = matrix.slice(s![column, ..column]);
                let sum = upper.dot(&matrix.slice(s![row, ..column]));
                matrix[[row, column]] = (matrix[[row, column]] - sum) / root;
            }
        }
        Some(Self(matrix))
    }

    /// Returns the solution x of A x = `right`.
    pub fn solved(&self, right: &Array1<f64>) -> Array1<f64> {
        let (lower, mut x) = (&self.0, right.clone());
        for row in 0..x.len() {
            let sum = lower.slice(s![row, ..row]).dot(&x.slice(s![..row]));
            x[row] = (x[row] - sum) / lower[[row, row]];
        }
        for row in (0..x.len()).rev() {
            x[row] /= lower[[row, row]];
            let here = x[row];
            let mut before = x.slice_mut(s![..row]);
            before.scaled_add(-here, &lower.slice(s![row, ..row]));
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn it_solves_what_is_positive_definite_and_refuses_the_rest() {
        let matrix = array![[4.0, 2.0, 0.6], [2.0, 5.0, 1.0], [0.6, 1.0, 3.0]];
        let x = array![1.0, -2.0, 0.5];
        let factor = CholeskyFactor::of(matrix.clone()).unwrap();
        let found = factor.solved(&matrix.dot(&x));
        assert!(
            (&found - &x).iter().all(|cell| cell.abs() < 1e-14),
            "{found}"
        );
        assert!(CholeskyFactor::of(array![[1.0, 2.0], [2.0, 4.0]]).is_none());
        assert!(CholeskyFactor::of(array![[f64::NAN]]).is_none());
    }
}
