//! Matrix ↔ `.npy` bytes (NumPy's format 1.0, little-endian f64, rows first).

use std::io::Cursor;

use ndarray::Array2;
use ndarray_npy::{ReadNpyExt, WriteNpyExt};

use crate::frame::table::TableError;

/// Returns a matrix as a `.npy` file.
///
/// # Errors
/// The header cannot be written; does not happen for matrices of numbers.
pub fn encode(matrix: &Array2<f64>) -> Result<Vec<u8>, TableError> {
    let mut bytes = Vec::new();
    matrix.write_npy(&mut bytes).map_err(|error| TableError(error.to_string()))?;
    Ok(bytes)
}

/// Reads a matrix from a `.npy` file.
///
/// # Errors
/// The bytes are not such a file, or not of two dimensions and f64.
pub fn decode(bytes: &[u8]) -> Result<Array2<f64>, TableError> {
    Array2::read_npy(Cursor::new(bytes)).map_err(|error| TableError(format!("not a `.npy` matrix of f64: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_reads_back() {
        let matrix = Array2::from_shape_vec((2, 3), vec![1.0, 2.0, 3.0, -0.5, 0.0, f64::MAX]).unwrap();
        let bytes = encode(&matrix).unwrap();
        assert_eq!(&bytes[..6], b"\x93NUMPY");
        assert_eq!(decode(&bytes).unwrap(), matrix);
        assert!(decode(b"nonsense").is_err());
    }
}
