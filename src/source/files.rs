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
    refuse_odd(&bytes, format)?;
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
    let reader = options.into_reader_with_file_handle(Cursor::new(&bytes));
    match reader.finish() {
        Ok(frame) => Ok(Table { frame }),
        // The library's words name switches of its own; what is wrong is told in ours where it can be found.
        Err(library) => Err(odd_record(&bytes).map_or_else(|| error(library), TableError)),
    }
}

/// Refuses what is not the text it should be, in words that say what it is.
fn refuse_odd(bytes: &[u8], format: FileFormat) -> Result<(), TableError> {
    let refuse = |what: &str| Err(TableError(what.to_owned()));
    match bytes {
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => refuse("the file is compressed: unpack it first"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => refuse("the file is UTF-16: save it as UTF-8"),
        _ if format == FileFormat::Parquet => Ok(()),
        [b'[', ..] => refuse("the file is one JSON list: write one object a line instead (NDJSON)"),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) if format == FileFormat::Csv => refuse_separator(text.lines().next().unwrap_or_default()),
            Ok(_) => Ok(()),
            Err(error) => {
                let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
                Err(TableError(format!("line {line} is not UTF-8: save the file as UTF-8")))
            }
        },
    }
}

fn refuse_separator(header: &str) -> Result<(), TableError> {
    let other = [';', '\t', '|'].into_iter().find(|separator| header.contains(*separator));
    match other {
        Some(separator) if !header.contains(',') => Err(TableError(format!(
            "the columns seem to be separated by {separator:?}: only commas are read; convert the file first"
        ))),
        _ => Ok(()),
    }
}

/// Finds the first record with more fields than the header, and says where it is and how many there are.
fn odd_record(bytes: &[u8]) -> Option<String> {
    let (mut line, mut start, mut fields, mut quoted) = (1, 1, 1, false);
    let mut counts: Vec<(usize, usize)> = Vec::new();
    for byte in bytes {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => fields += 1,
            b'\n' => {
                line += 1;
                if !quoted {
                    counts.push((start, fields));
                    (start, fields) = (line, 1);
                }
            }
            _ => {}
        }
    }
    if quoted {
        return Some(format!("a quote that opens in the record of line {start} is never closed"));
    }
    counts.push((start, fields));
    let (_, columns) = *counts.first()?;
    let long: Vec<&(usize, usize)> = counts.iter().filter(|(_, fields)| *fields > columns).collect();
    let (at, fields) = **long.first()?;
    Some(format!("line {at} has {fields} fields, the header {columns}; so have {} lines in all", long.len()))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> String {
        read(bytes.to_vec(), FileFormat::detect(bytes), &[String::new()]).unwrap_err().0
    }

    #[test]
    fn malformed_files_are_told_with_their_lines() {
        let ragged = refused(b"a,b\n1,2\n\"x\ny\",3\n4,5,6\n7,8,9\n");
        assert!(ragged.contains("line 5 has 3 fields, the header 2; so have 2 lines in all"), "{ragged}");
        assert!(refused(b"a;b\n1;2\n").contains("separated by ';'"));
        assert!(refused(b"a,b\n1,\xe4\n").contains("line 2 is not UTF-8"));
        assert!(refused(b"\x1f\x8b\x08").contains("compressed"));
        assert!(refused(b"[{\"a\": 1}]").contains("one object a line"));
        assert!(refused(b" \n").contains("empty"));
        assert!(refused(b"a,b\n").contains("no rows"));
    }
}
