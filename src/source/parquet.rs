//! Parquet, read forward in pieces of rows.
//!
//! Groups of rows are decoded one after the other, each once: small ones together, and of one with
//! more cells than are held at once, its rows in a few slices, as the reader begins each slice at
//! the first row of a page.

use std::collections::VecDeque;
use std::io::Cursor;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use polars::prelude::{
    Column, DataFrame, DataType, ParquetReader, PolarsError, PolarsResult, SerReader, Series,
};
use polars_parquet::parquet::metadata::{FileMetadata, RowGroupMetadata};

use crate::frame::table::{Table, TableError, error};
use crate::source::parquet_cells::{self, ParquetColumn};
use crate::source::parquet_footer::{self, CheckedFile};
use crate::source::unpack::UnpackLimit;

/// What a file that is packed once more gives at most.
pub const PACKED_AGAIN: UnpackLimit = UnpackLimit {
    ratio: 50,
    anyway: 64 << 20,
};
/// How many cells are decoded at once, and into how many slices a larger group is cut at most.
const CELLS_AT_ONCE: usize = 8 << 20;
const SLICES: usize = 16;
/// The rows of a piece at most, and the bytes of their text.
const ROWS: usize = 1 << 16;
const TEXT: u64 = 64 << 20;

/// Checks a file that is in memory: its size in rows and bytes, and the checksum of every page that
/// has one.
///
/// # Errors
/// What cannot be.
pub fn check(bytes: &[u8]) -> Result<(), TableError> {
    parquet_footer::believe(&mut bytes.to_vec())
        .map(|_| ())
        .map_err(refuse)
}

/// A file that is read piece by piece.
pub struct ParquetRows {
    bytes: Vec<u8>,
    /// How many bytes of text its rows may hold.
    most: u64,
    leaves: Vec<ParquetColumn>,
    /// What is known of the file, and of each of its groups.
    meta: FileMetadata,
    groups: Vec<RowGroupMetadata>,
    /// What is not decoded yet.
    batches: VecDeque<RowBatch>,
    /// Rows that are decoded, and in no piece yet.
    rows: DataFrame,
    /// How many rows are in pieces.
    at: usize,
    /// How many rows the next piece has at most: fewer where they hold much text.
    step: usize,
    /// How many bytes of text the rows so far hold.
    text: u64,
}

/// What is decoded at once.
#[derive(Debug, PartialEq, Eq)]
struct RowBatch {
    groups: Range<usize>,
    /// The first of their rows, and how many.
    from: usize,
    rows: usize,
}

impl ParquetRows {
    /// Begins to read a file that is in memory.
    ///
    /// # Errors
    /// As `check`; it cannot be read.
    pub fn open(mut bytes: Vec<u8>) -> Result<Self, TableError> {
        let most = parquet_footer::most_bytes(bytes.len());
        let CheckedFile { leaves, groups } = parquet_footer::believe(&mut bytes).map_err(refuse)?;
        let batches = batches(&groups, leaves.len());
        let mut meta = guarded(|| {
            let mut reader = ParquetReader::new(Cursor::new(&bytes));
            reader.get_metadata().map(|meta| (**meta).clone())
        })?;
        let groups = std::mem::take(&mut meta.row_groups);
        let rows = DataFrame::empty();
        Ok(Self {
            bytes,
            most,
            leaves,
            meta,
            groups,
            batches,
            rows,
            at: 0,
            step: ROWS,
            text: 0,
        })
    }

    /// Returns the number of the row that comes next, counted from one.
    pub fn next_row(&self) -> u64 {
        self.at as u64 + 1
    }

    /// Returns the next rows; `None` at the end.
    ///
    /// # Errors
    /// They cannot be read, or hold much more text than there are bytes.
    pub fn piece(&mut self) -> Result<Option<Table>, TableError> {
        while self.rows.height() == 0 {
            let Some(batch) = self.batches.pop_front() else {
                return Ok(None);
            };
            self.rows = self.decode(&batch)?;
        }
        let mut frame = self.rows.slice(0, self.step);
        // Rows that share a long text hold it once here, and each for itself in what is made of
        // them.
        let mut text = text_bytes(frame.columns())?;
        self.step = (2 * self.step).min(ROWS);
        while text > TEXT && frame.height() > 1 {
            frame = frame.slice(0, frame.height() / 2);
            text = text_bytes(frame.columns())?;
            self.step = frame.height();
        }
        self.text = self.text.saturating_add(text);
        if self.text > self.most {
            let (rows, text) = (self.at + frame.height(), self.text);
            let bytes = self.bytes.len();
            return Err(refuse(format!(
                "its rows up to {rows} hold {text} bytes of text, in {bytes}: write it as several files"
            )));
        }
        let columns = parquet_cells::columns(&frame, &self.leaves, self.next_row())?;
        frame = DataFrame::new(frame.height(), columns).map_err(error)?;
        self.at += frame.height();
        self.rows = self.rows.slice(frame.height() as i64, usize::MAX);
        Table { frame }.canonical().map(Some)
    }

    fn decode(&self, batch: &RowBatch) -> Result<DataFrame, TableError> {
        let row_groups = self.groups[batch.groups.clone()].to_vec();
        let num_rows = row_groups.iter().map(|group| group.num_rows()).sum();
        let meta = FileMetadata {
            row_groups,
            num_rows,
            ..self.meta.clone()
        };
        let mut reader =
            ParquetReader::new(Cursor::new(&self.bytes)).with_slice(Some((batch.from, batch.rows)));
        reader.set_metadata(Arc::new(meta));
        let rows = guarded(|| reader.finish())?;
        match rows.height() == batch.rows {
            true => Ok(rows),
            false => Err(refuse(format!(
                "its pages hold {} rows, and should {}",
                rows.height(),
                batch.rows
            ))),
        }
    }
}

/// Has the library read something: it stops where it meets what no writer makes.
fn guarded<T>(read: impl FnOnce() -> PolarsResult<T>) -> Result<T, TableError> {
    let read = catch_unwind(AssertUnwindSafe(read));
    read.map_err(|_| refuse("its pages are damaged".to_owned()))?
        .map_err(unreadable)
}

/// Returns what is decoded at once, of groups of so many rows.
fn batches(groups: &[usize], columns: usize) -> VecDeque<RowBatch> {
    let most = (CELLS_AT_ONCE / columns.max(1)).max(1);
    let mut batches: VecDeque<RowBatch> = VecDeque::new();
    for (at, rows) in groups.iter().copied().enumerate() {
        if rows > most {
            let step = most.max(rows.div_ceil(SLICES));
            let slice = |from: usize| RowBatch {
                groups: at..at + 1,
                from,
                rows: step.min(rows - from),
            };
            batches.extend((0..rows).step_by(step).map(slice));
            continue;
        }
        match batches.back_mut() {
            Some(last) if last.from == 0 && last.rows + rows <= most && last.groups.end == at => {
                last.groups.end += 1;
                last.rows += rows;
            }
            _ => batches.push_back(RowBatch {
                groups: at..at + 1,
                from: 0,
                rows,
            }),
        }
    }
    batches
}

fn refuse(why: String) -> TableError {
    TableError(format!("it cannot be read as Parquet: {why}"))
}

fn unreadable(library: PolarsError) -> TableError {
    refuse(error(library).0)
}

/// Returns how many bytes the text of columns takes when each cell holds its own. It is not known
/// yet whether it is text.
fn text_bytes(columns: &[Column]) -> Result<u64, TableError> {
    columns
        .iter()
        .map(|column| text_of(column.as_materialized_series()))
        .sum()
}

fn text_of(column: &Series) -> Result<u64, TableError> {
    match column.dtype() {
        DataType::Binary => {
            let cells = column.binary().map_err(error)?;
            Ok(cells
                .downcast_iter()
                .map(|cells| cells.total_bytes_len() as u64)
                .sum())
        }
        DataType::Struct(_) => {
            let fields = column.struct_().map_err(error)?.fields_as_series();
            fields.iter().map(text_of).sum()
        }
        _ => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_groups_are_decoded_together_and_large_ones_in_slices() {
        let found = batches(&[10, 0, 20, CELLS_AT_ONCE, 5, 40 * CELLS_AT_ONCE, 7], 1);
        let rows: Vec<usize> = found.iter().map(|batch| batch.rows).collect();
        assert_eq!(rows[..3], [30, CELLS_AT_ONCE, 5]);
        assert_eq!(rows.len(), 3 + SLICES + 1);
        assert_eq!(rows.iter().sum::<usize>(), 42 + 41 * CELLS_AT_ONCE);
        assert!(
            batches(&[3, 3], 100 * CELLS_AT_ONCE)
                .iter()
                .all(|batch| batch.rows == 1)
        );
    }
}
