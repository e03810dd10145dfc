//! Table ↔ bytes (Parquet), the same bytes each time.

use std::io::Cursor;

use polars::prelude::{
    CsvWriter, ParquetCompression, ParquetReader, ParquetWriter, SerReader, SerWriter, StatisticsOptions,
};

use crate::frame::table::{Table, TableError, error};

/// Rows a group: fixed, so that the bytes do not depend on how many threads wrote them.
const GROUP: usize = 1 << 17;

/// Returns a table as Parquet. The same table gives the same bytes, for this version of the writer.
///
/// # Errors
/// A column that Parquet cannot hold.
pub fn encode(table: &Table) -> Result<Vec<u8>, TableError> {
    let mut frame = table.frame.clone();
    frame.rechunk_mut();
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes)
        .with_compression(ParquetCompression::Zstd(None))
        .with_statistics(StatisticsOptions::empty())
        .with_row_group_size(Some(GROUP))
        .set_parallel(false)
        .finish(&mut frame)
        .map_err(error)?;
    Ok(bytes)
}

/// Returns a table as CSV with a header; missing cells are empty.
///
/// # Errors
/// A column that CSV cannot hold.
pub fn csv(table: &Table) -> Result<Vec<u8>, TableError> {
    let mut bytes = Vec::new();
    CsvWriter::new(&mut bytes).finish(&mut table.as_text()?.frame).map_err(error)?;
    Ok(bytes)
}

/// Reads a table from Parquet.
///
/// # Errors
/// The bytes are not Parquet or hold something polars cannot read.
pub fn decode(bytes: Vec<u8>) -> Result<Table, TableError> {
    ParquetReader::new(Cursor::new(bytes)).finish().map(|frame| Table { frame }).map_err(error)
}
