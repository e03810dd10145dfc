//! Parquet, read in pieces of rows, if it may be read: its pages are those that were written, where they tell, and what it says
//! of itself can be true.
//!
//! A few bytes can say that a billion rows follow (they are all alike), that a page is as long as memory, or that every row
//! holds the same long text. Such a file is refused before more is made of it than a bounded multiple of its bytes.

use std::io::Cursor;

use polars::prelude::{Column, DataType, ParquetReader, PolarsError, SerReader, Series};
use polars_parquet_format::thrift::protocol::TCompactInputProtocol;
use polars_parquet_format::{ColumnMetaData, ConvertedType, FileMetaData, LogicalType, PageHeader, SchemaElement};

use crate::frame::table::{Table, TableError, error};
use crate::source::unpack::Limit;

const MAGIC: &[u8] = b"PAR1";
/// For each byte of the file so many cells are believed, and some more: columns of which all cells are alike take hardly any.
const CELLS_A_BYTE: u64 = 100;
const CELLS: u64 = 32 << 20;
/// For each byte of the file so many bytes unpacked, and of text, are believed, and some more.
const BYTES_A_BYTE: u64 = 200;
const BYTES: u64 = 256 << 20;
/// What a file that is packed once more gives at most.
pub const PACKED_AGAIN: Limit = Limit { ratio: 50, anyway: 64 << 20 };
/// Rows that are read at once at most, and the bytes of their text.
const ROWS: usize = 1 << 16;
const TEXT: u64 = 64 << 20;
/// For each byte of what is read so many bytes are made at most.
const MADE: usize = 64;

/// Checks a file that is in memory: its size in rows and bytes, and the checksum of every page that has one.
///
/// # Errors
/// What cannot be.
pub fn check(bytes: &[u8]) -> Result<(), TableError> {
    let refuse = |why: String| TableError(format!("it cannot be read as Parquet: {why}"));
    let footer = footer(bytes).ok_or_else(|| refuse("it ends in the middle, or its footer is damaged".to_owned()))?;
    let mut protocol = TCompactInputProtocol::new(Cursor::new(footer), footer.len().saturating_mul(MADE));
    let meta = FileMetaData::read_from_in_protocol(&mut protocol)
        .map_err(|error| refuse(format!("its footer is damaged: {error}")))?;
    let is_decimal = |element: &&SchemaElement| {
        matches!(element.converted_type, Some(ConvertedType::DECIMAL))
            || matches!(element.logical_type, Some(LogicalType::DECIMAL(_)))
    };
    if let Some(column) = meta.schema.iter().find(is_decimal) {
        return Err(refuse(format!("`{}` holds decimals: write them as floating numbers or as text", column.name)));
    }
    let length = bytes.len() as u64;
    if meta.num_rows < 0 || meta.row_groups.iter().any(|group| group.num_rows < 0) {
        return Err(refuse("it says that it has fewer rows than none".to_owned()));
    }
    let groups = meta.row_groups.iter();
    let chunks = groups.flat_map(|group| group.columns.iter().map(|chunk| (group.num_rows, chunk.meta_data.as_ref())));
    let (mut unpacked, mut cells) = (0_u64, 0_u64);
    for (rows, chunk) in chunks.filter_map(|(rows, chunk)| Some((rows, chunk?))) {
        let name = chunk.path_in_schema.join(".");
        cells = cells.saturating_add(rows.max(chunk.num_values).unsigned_abs());
        if cells > length.saturating_mul(CELLS_A_BYTE).saturating_add(CELLS) {
            return Err(refuse(format!("it says that it has more than {cells} cells, in {length} bytes")));
        }
        // A column without values has no pages.
        if chunk.num_values <= 0 {
            continue;
        }
        unpacked = unpacked.saturating_add(u64::try_from(chunk.total_uncompressed_size).unwrap_or(u64::MAX));
        if unpacked > length.saturating_mul(BYTES_A_BYTE).saturating_add(BYTES) {
            return Err(refuse(format!("it says that it unpacks to more than {unpacked} bytes, of {length}")));
        }
        let start = [chunk.dictionary_page_offset, chunk.index_page_offset].into_iter().flatten();
        let start = start.filter(|offset| *offset > 0).fold(chunk.data_page_offset, i64::min);
        let pages = usize::try_from(start)
            .ok()
            .zip(usize::try_from(chunk.total_compressed_size).ok())
            .and_then(|(start, size)| bytes.get(start..start.checked_add(size)?))
            .ok_or_else(|| refuse(format!("the pages of `{name}` lie beyond its end")))?;
        check_pages(pages, chunk).map_err(|(page, why)| refuse(format!("page {page} of `{name}` {why}")))?;
    }
    Ok(())
}

/// A file that is read piece by piece.
pub struct ParquetRows {
    bytes: Vec<u8>,
    rows: usize,
    /// How many rows were read.
    at: usize,
    /// How many are read next: fewer where they hold much text.
    step: usize,
    /// How many bytes of text the rows so far hold.
    text: u64,
}

impl ParquetRows {
    /// Begins to read a file that is in memory.
    ///
    /// # Errors
    /// As `check`; it cannot be read.
    pub fn open(bytes: Vec<u8>) -> Result<Self, TableError> {
        check(&bytes)?;
        let rows = ParquetReader::new(Cursor::new(&bytes)).num_rows().map_err(unreadable)?;
        Ok(Self { bytes, rows, at: 0, step: ROWS, text: 0 })
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
        if self.at >= self.rows {
            return Ok(None);
        }
        let slice = (self.at, self.step.min(self.rows - self.at));
        let reader = ParquetReader::new(Cursor::new(&self.bytes)).with_slice(Some(slice));
        let mut frame = reader.finish().map_err(unreadable)?;
        // Rows that share a long text hold it once here, and each for itself in what is made of them.
        let mut text = text_bytes(frame.columns())?;
        self.step = (2 * self.step).min(ROWS);
        while text > TEXT && frame.height() > 1 {
            frame = frame.slice(0, frame.height() / 2);
            text = text_bytes(frame.columns())?;
            self.step = frame.height();
        }
        self.text = self.text.saturating_add(text);
        if self.text > (self.bytes.len() as u64).saturating_mul(BYTES_A_BYTE).saturating_add(BYTES) {
            return Err(TableError(format!(
                "it cannot be read as Parquet: its rows up to {} hold {} bytes of text, in {} bytes",
                self.at + frame.height(),
                self.text,
                self.bytes.len()
            )));
        }
        self.at += frame.height().max(1);
        Table { frame }.canonical().map(Some)
    }
}

fn unreadable(library: PolarsError) -> TableError {
    let TableError(why) = error(library);
    TableError(format!("it cannot be read as Parquet: {why}"))
}

/// Returns how many bytes the text of columns takes when each cell holds its own.
fn text_bytes(columns: &[Column]) -> Result<u64, TableError> {
    columns.iter().map(|column| text_of(column.as_materialized_series())).sum()
}

fn text_of(column: &Series) -> Result<u64, TableError> {
    let bytes = match column.dtype() {
        DataType::String => lengths(column.str().map_err(error)?.downcast_iter().map(|cells| cells.total_bytes_len())),
        DataType::Binary => {
            lengths(column.binary().map_err(error)?.downcast_iter().map(|cells| cells.total_bytes_len()))
        }
        DataType::Categorical(..) => lengths(column.cat32().map_err(error)?.iter_str().flatten().map(str::len)),
        DataType::Struct(_) => {
            let fields = column.struct_().map_err(error)?.fields_as_series();
            return fields.iter().map(text_of).sum();
        }
        DataType::List(_) => {
            let name = column.name();
            return Err(TableError(format!(
                "column `{name}` holds lists: write them as text, or their items as columns"
            )));
        }
        _ => 0,
    };
    Ok(bytes)
}

fn lengths(of: impl Iterator<Item = usize>) -> u64 {
    of.map(|length| length as u64).sum()
}

fn footer(bytes: &[u8]) -> Option<&[u8]> {
    let (body, magic) = bytes.split_last_chunk::<4>()?;
    let (body, length) = body.split_last_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let footer = body.len().checked_sub(length).map(|start| &body[start..])?;
    (magic == MAGIC && bytes.starts_with(MAGIC)).then_some(footer)
}

/// Goes through the pages of a column; an error tells the number of the page, counted from one.
fn check_pages(pages: &[u8], chunk: &ColumnMetaData) -> Result<(), (usize, String)> {
    let (mut at, mut number, mut values) = (0, 0, 0);
    while at < pages.len() {
        number += 1;
        let mut cursor = Cursor::new(&pages[at..]);
        let mut protocol = TCompactInputProtocol::new(&mut cursor, (pages.len() - at).saturating_mul(MADE));
        let header = PageHeader::read_from_in_protocol(&mut protocol)
            .map_err(|error| (number, format!("cannot be read: {error}")))?;
        let begin = at + usize::try_from(cursor.position()).unwrap_or(usize::MAX);
        let page = usize::try_from(header.compressed_page_size)
            .ok()
            .and_then(|size| pages.get(begin..begin.checked_add(size)?))
            .ok_or_else(|| (number, "goes beyond the pages of its column".to_owned()))?;
        if i64::from(header.uncompressed_page_size) > chunk.total_uncompressed_size {
            return Err((number, "says that it is longer than its column".to_owned()));
        }
        values += values_of(&header);
        if values > chunk.num_values {
            return Err((number, "says that it has more values than its column".to_owned()));
        }
        if header.crc.is_some_and(|crc| crc32fast::hash(page) != crc.cast_unsigned()) {
            return Err((number, "is damaged: its checksum (CRC-32) is another".to_owned()));
        }
        at = begin + page.len();
    }
    Ok(())
}

/// Returns how many values a page says that it has, missing ones too.
fn values_of(header: &PageHeader) -> i64 {
    let first = header.data_page_header.as_ref().map(|page| page.num_values);
    let second = header.data_page_header_v2.as_ref().map(|page| page.num_values);
    first.or(second).map_or(0, i64::from)
}
