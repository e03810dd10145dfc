//! Table ↔ bytes (Parquet), the same bytes each time.

use std::io::{Cursor, Write};

use polars::io::parquet::write::BatchedWriter;
use polars::prelude::{
    CsvWriter, ParquetCompression, ParquetReader, ParquetWriter, SerReader, SerWriter,
    StatisticsOptions,
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

/// How tables are written one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableForm {
    /// As CSV, with one header.
    Csv,
    /// As Parquet.
    Parquet,
}

/// Tables with the same columns, written one after the other as one.
pub struct TableStream<W: Write> {
    form: TableForm,
    /// Until the first table tells the columns.
    output: Option<W>,
    parquet: Option<BatchedWriter<W>>,
    begun: bool,
}

impl<W: Write> TableStream<W> {
    /// Begins to write.
    pub fn new(form: TableForm, output: W) -> Self {
        Self {
            form,
            output: Some(output),
            parquet: None,
            begun: false,
        }
    }

    /// Writes one more.
    ///
    /// # Errors
    /// A column cannot be written so; the output failed.
    pub fn write(&mut self, table: &Table) -> Result<(), TableError> {
        let failed = |error: std::io::Error| TableError(format!("it cannot be written: {error}"));
        let is_first = !std::mem::replace(&mut self.begun, true);
        match (self.form, &mut self.parquet, &mut self.output) {
            (TableForm::Csv, _, Some(output)) => {
                let text = csv(table)?;
                let header = text
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .map_or(0, |at| at + 1);
                output
                    .write_all(if is_first { &text } else { &text[header..] })
                    .map_err(failed)
            }
            (TableForm::Parquet, None, output) => {
                let Some(output) = output.take() else {
                    return Ok(());
                };
                let writer = ParquetWriter::new(output)
                    .with_compression(ParquetCompression::Zstd(None))
                    .with_statistics(StatisticsOptions::empty())
                    .set_parallel(false);
                let writer = writer.batched(table.frame.schema()).map_err(error)?;
                self.parquet
                    .insert(writer)
                    .write_batch(&table.frame)
                    .map_err(error)
            }
            (_, Some(writer), _) => {
                let mut frame = table.frame.clone();
                frame.rechunk_mut();
                writer.write_batch(&frame).map_err(error)
            }
            (TableForm::Csv, None, None) => Ok(()),
        }
    }

    /// Ends what was begun.
    ///
    /// # Errors
    /// The output failed.
    pub fn finish(self) -> Result<(), TableError> {
        if let Some(writer) = self.parquet {
            writer.finish().map_err(error)?;
        }
        let flushed = self.output.map_or(Ok(()), |mut output| output.flush());
        flushed.map_err(|error| TableError(format!("it cannot be written: {error}")))
    }
}

/// Returns a table as CSV with a header; missing cells are empty.
///
/// # Errors
/// A column that CSV cannot hold.
pub fn csv(table: &Table) -> Result<Vec<u8>, TableError> {
    let mut bytes = Vec::new();
    CsvWriter::new(&mut bytes)
        .finish(&mut table.as_text()?.frame)
        .map_err(error)?;
    Ok(bytes)
}

/// Reads a table from Parquet.
///
/// # Errors
/// The bytes are not Parquet or hold something polars cannot read.
pub fn decode(bytes: Vec<u8>) -> Result<Table, TableError> {
    ParquetReader::new(Cursor::new(bytes))
        .finish()
        .map(|frame| Table { frame })
        .map_err(error)
}
