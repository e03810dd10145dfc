//! Whether a Parquet file may be read: its pages are those that were written, where they tell, and what it says of itself can
//! be true.
//!
//! A few bytes can say that a billion rows follow (they are all alike), or that a page is as long as memory. Such a file is
//! refused before anything is made of what it says.

use std::io::Cursor;

use polars_parquet_format::thrift::protocol::TCompactInputProtocol;
use polars_parquet_format::{ConvertedType, FileMetaData, LogicalType, PageHeader, SchemaElement};

use crate::frame::table::TableError;

const MAGIC: &[u8] = b"PAR1";
/// For each byte of the file so many rows are believed, and some more.
const ROWS_A_BYTE: u64 = 1000;
/// For each byte of the file so many bytes unpacked are believed, and some more.
const BYTES_A_BYTE: u64 = 2000;
/// What is believed of any file: rows, and bytes.
const ROWS: u64 = 1 << 20;
const BYTES: u64 = 64 << 20;
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
    let rows =
        u64::try_from(meta.num_rows).map_err(|_| refuse("it says that it has fewer rows than none".to_owned()))?;
    if rows > length.saturating_mul(ROWS_A_BYTE).saturating_add(ROWS) {
        return Err(refuse(format!("it says that it has {rows} rows, in {length} bytes")));
    }
    let chunks = meta.row_groups.iter().flat_map(|group| &group.columns).filter_map(|chunk| chunk.meta_data.as_ref());
    // A column without values has no pages.
    let chunks = chunks.filter(|chunk| chunk.num_values > 0);
    let mut unpacked = 0_u64;
    for chunk in chunks {
        let name = chunk.path_in_schema.join(".");
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
        check_pages(pages, chunk.total_uncompressed_size)
            .map_err(|(page, why)| refuse(format!("page {page} of `{name}` {why}")))?;
    }
    Ok(())
}

fn footer(bytes: &[u8]) -> Option<&[u8]> {
    let (body, magic) = bytes.split_last_chunk::<4>()?;
    let (body, length) = body.split_last_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let footer = body.len().checked_sub(length).map(|start| &body[start..])?;
    (magic == MAGIC && bytes.starts_with(MAGIC)).then_some(footer)
}

/// Goes through the pages of a column; an error tells the number of the page, counted from one.
fn check_pages(pages: &[u8], unpacked: i64) -> Result<(), (usize, String)> {
    let (mut at, mut number) = (0, 0);
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
        if i64::from(header.uncompressed_page_size) > unpacked {
            return Err((number, "says that it is longer than its column".to_owned()));
        }
        if header.crc.is_some_and(|crc| crc32fast::hash(page) != crc.cast_unsigned()) {
            return Err((number, "is damaged: its checksum (CRC-32) is another".to_owned()));
        }
        at = begin + page.len();
    }
    Ok(())
}
