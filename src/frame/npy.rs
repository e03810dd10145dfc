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
    matrix
        .write_npy(&mut bytes)
        .map_err(|error| TableError(error.to_string()))?;
    Ok(bytes)
}

/// Reads a matrix from a `.npy` file.
///
/// # Errors
/// The bytes are not such a file, or not of two dimensions and f64.
pub fn decode(bytes: &[u8]) -> Result<Array2<f64>, TableError> {
    // The header is believed only if the file is as long as it says: a lie would cost memory that
    // is not there.
    if !is_whole(bytes) {
        return Err(TableError(
            "not a `.npy` matrix of f64: its length is not that of its shape".to_owned(),
        ));
    }
    Array2::read_npy(Cursor::new(bytes))
        .map_err(|error| TableError(format!("not a `.npy` matrix of f64: {error}")))
}

/// Returns whether a file of format 1.0 has as many bytes after its header as its shape asks for.
fn is_whole(bytes: &[u8]) -> bool {
    let length = bytes.get(8..10).map_or(0, |length| {
        usize::from(u16::from_le_bytes([length[0], length[1]]))
    });
    let Some((header, data)) = bytes
        .get(10..)
        .and_then(|rest| rest.split_at_checked(length))
    else {
        return false;
    };
    let header = String::from_utf8_lossy(header);
    let shape = header
        .split("'shape':")
        .nth(1)
        .and_then(|rest| rest.split(['(', ')']).nth(1));
    let sides = shape
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|side| !side.is_empty());
    let cells = sides
        .map(|side| side.parse::<usize>().ok())
        .try_fold(1_usize, |cells, side| cells.checked_mul(side?));
    cells.and_then(|cells| cells.checked_mul(size_of::<f64>())) == Some(data.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_reads_back() {
        let matrix =
            Array2::from_shape_vec((2, 3), vec![1.0, 2.0, 3.0, -0.5, 0.0, f64::MAX]).unwrap();
        let bytes = encode(&matrix).unwrap();
        assert_eq!(&bytes[..6], b"\x93NUMPY");
        assert_eq!(decode(&bytes).unwrap(), matrix);
        assert!(decode(b"nonsense").is_err());
    }
}
