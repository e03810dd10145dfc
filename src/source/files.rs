//! CSV, Parquet, NDJSON: bytes → table.

use std::io::Cursor;
use std::num::NonZeroUsize;

use polars::prelude::{
    Column, CsvParseOptions, CsvReadOptions, DataType, JsonFormat, JsonReader, NullValues, SerReader, StringChunked,
};

use crate::frame::codec;
use crate::frame::table::{Table, TableError, error};

/// The form of a file of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// Comma-separated, with a header line.
    Csv,
    /// Parquet.
    Parquet,
    /// One JSON object a line.
    Ndjson,
}

impl FileFormat {
    /// Recognises the form by the first bytes.
    pub fn detect(bytes: &[u8]) -> Self {
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        match first {
            _ if bytes.starts_with(b"PAR1") => Self::Parquet,
            Some(b'{') => Self::Ndjson,
            _ => Self::Csv,
        }
    }

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Parquet => "Parquet",
            Self::Ndjson => "NDJSON",
        }
    }
}

/// Reads a table; cells that equal one of `na` are missing, and a column of which only numbers are left then is
/// numeric.
///
/// # Errors
/// The bytes are not of this form; there is no row or no column.
pub fn read(bytes: Vec<u8>, format: FileFormat, na: &[String]) -> Result<Table, TableError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(TableError("the file is empty".to_owned()));
    }
    let table = match format {
        FileFormat::Csv => read_csv(bytes, na),
        FileFormat::Parquet => codec::decode(bytes).and_then(|table| blank(&table, na)),
        FileFormat::Ndjson => read_ndjson(bytes).and_then(|table| blank(&table, na)),
    }
    .map_err(|TableError(why)| TableError(format!("it cannot be read as {}: {why}", format.as_str())))?;
    match table.height() {
        0 => Err(TableError("the file has a header and no rows".to_owned())),
        _ => Ok(table),
    }
}

fn read_csv(bytes: Vec<u8>, na: &[String]) -> Result<Table, TableError> {
    let nulls = NullValues::AllColumns(na.iter().map(|value| value.as_str().into()).collect());
    let parse = CsvParseOptions::default().with_null_values(Some(nulls));
    let options = CsvReadOptions::default().with_infer_schema_length(None).with_parse_options(parse);
    let frame = options.into_reader_with_file_handle(Cursor::new(bytes)).finish().map_err(error)?;
    Ok(Table { frame })
}

fn read_ndjson(bytes: Vec<u8>) -> Result<Table, TableError> {
    let every_row = NonZeroUsize::new(usize::MAX);
    let reader =
        JsonReader::new(Cursor::new(bytes)).with_json_format(JsonFormat::JsonLines).infer_schema_len(every_row);
    reader.finish().map(|frame| Table { frame }).map_err(error)
}

/// Makes cells missing that equal one of `na`, as the CSV reader does by itself.
fn blank(table: &Table, na: &[String]) -> Result<Table, TableError> {
    let mut columns = Vec::new();
    for name in table.names() {
        let column = table.column(&name)?;
        columns.push(if *column.dtype() == DataType::String { blank_text(column, na)? } else { column.clone() });
    }
    Table::of_columns(columns)
}

fn blank_text(column: &Column, na: &[String]) -> Result<Column, TableError> {
    let cells = column.str().map_err(error)?;
    let keep = |cell: Option<&str>| cell.filter(|text| !na.iter().any(|value| value == text)).map(str::to_owned);
    let mut blanked: StringChunked = cells.iter().map(keep).collect();
    blanked.rename(column.name().clone());
    let numeric = blanked.iter().flatten().all(|text| text.trim().parse::<f64>().is_ok());
    let changed = blanked.null_count() > column.null_count();
    let column = Column::from(polars::prelude::IntoSeries::into_series(blanked));
    if numeric && changed { column.cast(&DataType::Float64).map_err(error) } else { Ok(column) }
}
