//! Parquet, read forward in pieces of rows.
//!
//! How: groups of rows are decoded one after the other: small ones together, and of one with more
//! cells than are held at once, its rows in a few slices. What is decoded at once is made a file of
//! its own: the bytes of its groups; or, as the pages of columns end at different rows, a file a
//! column, of the pages that have some of the rows. Columns in structures are not parted.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Cursor;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use polars::prelude::{
    Column, DataFrame, DataType, ParquetReader, PolarsError, PolarsResult, SerReader, Series,
};

use crate::frame::table::{Table, TableError, error};
use crate::source::parquet_bytes::ParquetBytes;
use crate::source::parquet_cells;
use crate::source::parquet_footer::{self, CheckedFile};
use crate::source::unpack::UnpackLimit;

/// What a file that is packed once more gives at most.
pub const PACKED_AGAIN: UnpackLimit = UnpackLimit {
    ratio: 50,
    anyway: 64 << 20,
};
/// How many cells are decoded at once, and into how many slices a larger group is cut at most.
const CELLS_AT_ONCE: usize = 4 << 20;
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
    parquet_footer::believe(&ParquetBytes::Held(bytes.to_vec()), CELLS_AT_ONCE)
        .map(|_| ())
        .map_err(refuse)
}

/// A file that is read piece by piece.
pub struct ParquetRows {
    bytes: ParquetBytes,
    /// How many bytes of text its rows may hold.
    most: u64,
    /// What is known of it.
    file: CheckedFile,
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
    pub fn open(bytes: Vec<u8>) -> Result<Self, TableError> {
        Self::of(ParquetBytes::Held(bytes), CELLS_AT_ONCE)
    }

    /// Begins to read a file where it lies: of it no more is held than is decoded at once.
    ///
    /// # Errors
    /// As `check`; it cannot be read.
    pub fn open_file(file: File) -> Result<Self, TableError> {
        let bytes = ParquetBytes::on_disk(file).map_err(|error| refuse(error.to_string()))?;
        Self::of(bytes, CELLS_AT_ONCE)
    }

    fn of(bytes: ParquetBytes, at_once: usize) -> Result<Self, TableError> {
        let most = parquet_footer::most_bytes(bytes.len());
        let file = parquet_footer::believe(&bytes, at_once).map_err(refuse)?;
        let batches = batches(&file.groups, file.leaves.len(), at_once);
        let rows = DataFrame::empty();
        Ok(Self {
            bytes,
            most,
            file,
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
        let columns = parquet_cells::columns(&frame, &self.file.leaves, self.next_row())?;
        frame = DataFrame::new(frame.height(), columns).map_err(error)?;
        self.at += frame.height();
        self.rows = self.rows.slice(frame.height() as i64, usize::MAX);
        Table { frame }.canonical().map(Some)
    }

    fn decode(&self, batch: &RowBatch) -> Result<DataFrame, TableError> {
        let group = batch.groups.start;
        let is_slice = batch.groups.len() == 1 && batch.rows < self.file.groups[group];
        if is_slice && self.file.is_flat() {
            let columns = (0..self.file.leaves.len()).map(|column| self.column(batch, column));
            let columns = columns.collect::<Result<Vec<Column>, TableError>>()?;
            return DataFrame::new(batch.rows, columns).map_err(error);
        }
        let (parts, footer) = self.file.of_groups(batch.groups.clone());
        let bytes = self.bytes.file_of(&parts, &footer).map_err(refuse)?;
        rows_of(bytes, batch.from, batch.rows)
    }

    /// Returns a column of a slice of a group.
    fn column(&self, batch: &RowBatch, column: usize) -> Result<Column, TableError> {
        let rows = batch.from..batch.from + batch.rows;
        let some = self.file.of_column(batch.groups.start, column, rows);
        let bytes = self.bytes.file_of(&some.parts, &some.footer);
        let frame = rows_of(bytes.map_err(refuse)?, batch.from - some.first, batch.rows)?;
        Ok(frame.columns()[0].clone())
    }
}

/// Decodes rows of a file.
fn rows_of(bytes: Vec<u8>, from: usize, rows: usize) -> Result<DataFrame, TableError> {
    let reader = ParquetReader::new(Cursor::new(&bytes)).with_slice(Some((from, rows)));
    let frame = guarded(|| reader.finish())?;
    match frame.height() == rows {
        true => Ok(frame),
        false => Err(refuse(format!(
            "its pages hold {} rows, and should {rows}",
            frame.height()
        ))),
    }
}

/// Has the library read something: it stops where it meets what no writer makes.
fn guarded<T>(read: impl FnOnce() -> PolarsResult<T>) -> Result<T, TableError> {
    let read = catch_unwind(AssertUnwindSafe(read));
    read.map_err(|_| refuse("its pages are damaged".to_owned()))?
        .map_err(unreadable)
}

/// Returns what is decoded at once, of groups of so many rows.
fn batches(groups: &[usize], columns: usize, at_once: usize) -> VecDeque<RowBatch> {
    let most = (at_once / columns.max(1)).max(1);
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
    use std::io::Write as _;

    use polars::prelude::{IntoColumn, IntoSeries, NamedFrom, ParquetCompression, ParquetWriter};
    use proptest::prelude::*;

    #[test]
    fn small_groups_are_decoded_together_and_large_ones_in_slices() {
        let found = batches(&[10, 0, 20, 1000, 5, 40_000, 7], 1, 1000);
        let rows: Vec<usize> = found.iter().map(|batch| batch.rows).collect();
        assert_eq!(rows[..3], [30, 1000, 5]);
        assert_eq!(rows.len(), 3 + SLICES + 1);
        assert_eq!(rows.iter().sum::<usize>(), 42 + 41_000);
        assert!(
            batches(&[3, 3], 100_000, 1000)
                .iter()
                .all(|batch| batch.rows == 1)
        );
    }

    fn all(mut rows: ParquetRows) -> DataFrame {
        let mut whole = DataFrame::empty();
        while let Some(piece) = rows.piece().unwrap() {
            match whole.width() {
                0 => whole = piece.frame,
                _ => drop(whole.vstack_mut(&piece.frame).unwrap()),
            }
        }
        whole
    }

    #[test]
    fn a_damaged_page_of_gzip_is_refused_or_does_not_matter() {
        let numbers: Vec<f64> = (0..300).map(|row| f64::from(row) / 7.0).collect();
        let columns = vec![Series::new("a".into(), numbers).into_column()];
        let mut frame = DataFrame::new(300, columns).unwrap();
        let mut bytes = Vec::new();
        ParquetWriter::new(&mut bytes)
            .with_compression(ParquetCompression::Gzip(None))
            .finish(&mut frame)
            .unwrap();
        let expected = all(ParquetRows::open(bytes.clone()).unwrap());
        let mut refused = 0;
        for at in 4..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 16;
            let read = ParquetRows::open(damaged).and_then(|mut rows| rows.piece());
            match read {
                Ok(Some(piece)) if piece.frame.width() == 1 && piece.names() == ["a"] => {
                    assert!(piece.frame.equals_missing(&expected), "byte {at}");
                }
                Ok(_) => {}
                Err(_) => refused += 1,
            }
        }
        assert!(refused > bytes.len() / 2, "{refused} of {}", bytes.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn a_file_is_read_alike_whole_and_page_by_page(
            rows in 1_usize..700,
            group in 1_usize..800,
            page in 16_usize..2_000,
            at_once in 1_usize..2_000,
            is_packed in any::<bool>(),
            is_nested in any::<bool>(),
        ) {
            let number = |row: usize| (!row.is_multiple_of(7)).then_some(row as f64 / 3.0);
            let numbers: Vec<Option<f64>> = (0..rows).map(number).collect();
            let whole: Vec<i64> = (0..rows as i64).collect();
            let words: Vec<Option<String>> = (0..rows)
                .map(|row| (row % 5 > 0).then(|| format!("{:>1$}", row % 11, 1 + row % 40)))
                .collect();
            let mut columns = vec![
                Series::new("a".into(), numbers).into_column(),
                Series::new("b".into(), whole).into_column(),
                Series::new("c".into(), words).into_column(),
            ];
            if is_nested {
                let inner = DataFrame::new(rows, columns.clone()).unwrap();
                columns.insert(1, inner.into_struct("s".into()).into_series().into_column());
            }
            let mut frame = DataFrame::new(rows, columns).unwrap();
            let mut bytes = Vec::new();
            let compression = match is_packed {
                true => ParquetCompression::Snappy,
                false => ParquetCompression::Uncompressed,
            };
            ParquetWriter::new(&mut bytes)
                .with_row_group_size(Some(group))
                .with_data_page_size(Some(page))
                .with_compression(compression)
                .finish(&mut frame)
                .unwrap();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let on_disk = ParquetBytes::on_disk(file).unwrap();
            let in_parts = all(ParquetRows::of(on_disk, at_once).unwrap());
            let at_once = all(ParquetRows::open(bytes).unwrap());
            prop_assert!(in_parts.equals_missing(&at_once));
        }
    }
}
