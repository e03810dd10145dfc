//! What a Parquet file says of itself: believed as far as it can be true, and rewritten so that
//! what reads the rows believes nothing else.
//!
//! A few bytes can say that a billion rows follow (they are all alike), that a page is as long as
//! memory, that a structure is nested two thousand deep, or that a column is sorted. The footer is
//! read and held against the pages, column by column; then one is put in its place that says the
//! least with which the rows can be read: no statistics, no order of rows, no types of another
//! program's, and of each column only the annotation that its cells need.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::Cursor;
use std::ops::Range;

use polars_parquet_format::thrift::protocol::TCompactInputProtocol;
use polars_parquet_format::{
    ColumnChunk, ColumnMetaData, CompressionCodec, FieldRepetitionType, FileMetaData, PageHeader,
    PageType, RowGroup, SchemaElement, Type,
};

use crate::frame::build::{COLUMNS, NAMES};
use crate::source::parquet_bytes::{MAGIC, ParquetBytes};
use crate::source::parquet_cells::{ParquetColumn, leaf};
use crate::source::{parquet_delta, parquet_thrift, unpack};

/// For each byte of the file so many cells are believed, and some more: columns of which all cells
/// are alike take hardly any.
const CELLS_A_BYTE: u64 = 100;
const CELLS: u64 = 32 << 20;
/// For each byte of the file so many bytes unpacked are believed, and some more.
const BYTES_A_BYTE: u64 = 200;
const BYTES: u64 = 256 << 20;
/// What an entry of a dictionary takes once it is read.
const VIEW: u64 = 16;
/// For each byte of what is read so many bytes are made at most.
const MADE: usize = 64;
/// How deep structures are nested at most.
const DEPTH: usize = 32;

/// How many bytes, of which a file has so many, are believed to be made of it.
pub(crate) fn most_bytes(length: usize) -> u64 {
    (length as u64)
        .saturating_mul(BYTES_A_BYTE)
        .saturating_add(BYTES)
}

/// A page of a column.
#[derive(Clone, Debug)]
pub(crate) struct PagePlace {
    /// Where it stands, from its header on.
    pub(crate) bytes: Range<usize>,
    /// How many values it has; none of a dictionary.
    pub(crate) values: Option<usize>,
}

/// A file that can be read.
#[derive(Debug)]
pub(crate) struct CheckedFile {
    /// Its columns, in order.
    pub(crate) leaves: Vec<ParquetColumn>,
    /// The rows of each of its groups.
    pub(crate) groups: Vec<usize>,
    /// The footer that is believed.
    pub(crate) footer: FileMetaData,
    /// The pages of each column of the groups with more cells than were asked for; none of others.
    pub(crate) pages: Vec<Vec<Vec<PagePlace>>>,
}

/// Checks a file. Of groups with more cells than `many` it tells where their pages are.
///
/// # Errors
/// What cannot be, or cannot be read here.
pub(crate) fn believe(bytes: &ParquetBytes, many: usize) -> Result<CheckedFile, String> {
    let footer = footer(bytes)?.ok_or("it ends in the middle, or its footer is damaged")?;
    if !parquet_thrift::is_sound(&footer) {
        return Err(
            "its footer is damaged: it is no structure, or its lists are longer than it".to_owned(),
        );
    }
    let mut protocol =
        TCompactInputProtocol::new(Cursor::new(&footer[..]), footer.len().saturating_mul(MADE));
    let mut meta = FileMetaData::read_from_in_protocol(&mut protocol)
        .map_err(|error| format!("its footer is damaged: {error}"))?;
    let leaves = leaves(&mut meta.schema)?;
    check_rows(&meta, &leaves)?;
    // Of groups without rows nothing is read.
    meta.row_groups.retain(|group| group.num_rows > 0);
    let pages = check_groups(bytes, &meta, &leaves, many)?;
    let rows = |group: &RowGroup| usize::try_from(group.num_rows).unwrap_or_default();
    let groups = meta.row_groups.iter().map(rows).collect();
    Ok(CheckedFile {
        leaves,
        groups,
        footer: plain(meta),
        pages,
    })
}

/// Returns the footer, if there is one.
fn footer(bytes: &ParquetBytes) -> Result<Option<Cow<'_, [u8]>>, String> {
    let Some(ends) = bytes.len().checked_sub(8) else {
        return Ok(None);
    };
    let (Some(first), Some(last)) = (bytes.get(0..4)?, bytes.get(ends..bytes.len())?) else {
        return Ok(None);
    };
    let (length, magic) = last.split_at(4);
    let length = length.try_into().map(u32::from_le_bytes);
    let length = length.ok().and_then(|length| usize::try_from(length).ok());
    let start = length.and_then(|length| ends.checked_sub(length));
    match start.filter(|start| *start >= MAGIC.len() && magic == MAGIC && *first == *MAGIC) {
        Some(start) => bytes.get(start..ends),
        None => Ok(None),
    }
}

/// A structure whose columns are being gone through.
struct OpenStructure {
    /// The length of the path up to its own name.
    path: usize,
    /// Whether its columns may be missing, by itself or by what it stands in.
    is_optional: bool,
    /// How many of its columns are still to come.
    rest: usize,
}

/// Goes through the schema, which is a tree in the order of its preorder; leaves of each annotation
/// only what is needed.
fn leaves(schema: &mut [SchemaElement]) -> Result<Vec<ParquetColumn>, String> {
    let (root, elements) = schema.split_first_mut().ok_or("it has no schema")?;
    let mut open = vec![OpenStructure {
        path: 0,
        is_optional: false,
        rest: children(root, elements.len())?,
    }];
    let (mut path, mut names, mut leaves) = (String::new(), 0, Vec::new());
    for element in elements {
        while open.last().is_some_and(|group| group.rest == 0) {
            open.pop();
        }
        let depth = open.len();
        let group = open
            .last_mut()
            .ok_or("its schema has more columns than it says")?;
        group.rest -= 1;
        let is_optional =
            group.is_optional || element.repetition_type == Some(FieldRepetitionType::OPTIONAL);
        path.truncate(group.path);
        if depth > 1 {
            path.push('.');
        }
        path.push_str(&element.name);
        names += path.len();
        if names > NAMES {
            return Err(format!(
                "the names of its columns take more than {NAMES} bytes"
            ));
        }
        if element.repetition_type == Some(FieldRepetitionType::REPEATED) {
            let column = path.split('.').next().unwrap_or_default();
            return Err(format!(
                "column `{column}` holds lists: write them as text, or their items as columns"
            ));
        }
        if element.type_.is_some() {
            leaves.push(leaf(element, path.clone(), is_optional)?);
            continue;
        }
        if depth > DEPTH {
            return Err(format!("its columns are nested more than {DEPTH} deep"));
        }
        let rest = children(element, usize::MAX)?;
        if rest == 0 {
            return Err(format!("column `{path}` is a structure without columns"));
        }
        element.logical_type = None;
        element.converted_type = None;
        open.push(OpenStructure {
            path: path.len(),
            is_optional,
            rest,
        });
    }
    if open.iter().any(|group| group.rest > 0) {
        return Err("its schema has fewer columns than it says".to_owned());
    }
    if leaves.len() > COLUMNS {
        return Err(format!(
            "it names {} columns; at most {COLUMNS} are read",
            leaves.len()
        ));
    }
    let mut met = HashSet::new();
    match leaves.iter().find(|leaf| !met.insert(leaf.name.as_str())) {
        Some(twice) => Err(format!("two of its columns are named `{}`", twice.name)),
        None => Ok(leaves),
    }
}

fn children(element: &SchemaElement, most: usize) -> Result<usize, String> {
    let said = element.num_children.unwrap_or_default();
    let wrong = || format!("its schema says that `{}` has {said} columns", element.name);
    usize::try_from(said)
        .ok()
        .filter(|children| *children <= most)
        .ok_or_else(wrong)
}

/// Holds what is said of all rows against what is said of their groups.
fn check_rows(meta: &FileMetaData, leaves: &[ParquetColumn]) -> Result<(), String> {
    if meta.row_groups.iter().any(|group| group.num_rows < 0) {
        return Err("it says that it has fewer rows than none".to_owned());
    }
    let all = meta
        .row_groups
        .iter()
        .try_fold(0_i64, |sum, group| sum.checked_add(group.num_rows));
    match all == Some(meta.num_rows) && (meta.num_rows == 0 || !leaves.is_empty()) {
        true => Ok(()),
        false => Err(format!(
            "it says that it has {} rows, and its columns have others",
            meta.num_rows
        )),
    }
}

/// The pages of a column in a group of rows.
struct ColumnPages<'a> {
    /// Its place among the groups, and that of its column.
    group: usize,
    column: usize,
    leaf: &'a ParquetColumn,
    meta: &'a ColumnMetaData,
    rows: u64,
    /// Where they begin, and how many bytes they take.
    start: usize,
    size: usize,
}

/// Holds the groups of rows against the columns and the pages; returns where the pages of those
/// with many cells are.
fn check_groups(
    bytes: &ParquetBytes,
    meta: &FileMetaData,
    leaves: &[ParquetColumn],
    many: usize,
) -> Result<Vec<Vec<Vec<PagePlace>>>, String> {
    let mut chunks = find_chunks(bytes.len() as u64, meta, leaves)?;
    check_apart(&mut chunks)?;
    let most = most_bytes(bytes.len());
    let mut unpacked = 0_u64;
    let mut places = vec![Vec::new(); meta.row_groups.len()];
    for chunk in &chunks {
        let end = chunk.start.checked_add(chunk.size);
        let pages = end.map(|end| bytes.get(chunk.start..end)).transpose()?;
        let pages = pages.flatten().ok_or_else(|| beyond(chunk.leaf))?;
        let mut found = Vec::new();
        let made = check_pages(&pages, chunk.meta, chunk.leaf.is_optional, most, &mut found)
            .map_err(|(page, why)| format!("page {page} of `{}` {why}", chunk.leaf.name))?;
        if chunk.rows.saturating_mul(leaves.len() as u64) > many as u64 {
            let of_group: &mut Vec<Vec<PagePlace>> = &mut places[chunk.group];
            of_group.resize(leaves.len(), Vec::new());
            for page in &mut found {
                page.bytes = page.bytes.start + chunk.start..page.bytes.end + chunk.start;
            }
            of_group[chunk.column] = found;
        }
        unpacked = unpacked
            .saturating_add(made)
            .saturating_add(chunk.rows.saturating_mul(chunk.leaf.width));
        if unpacked > most {
            return Err(format!(
                "it says that it unpacks to more than {unpacked} bytes, of {}",
                bytes.len()
            ));
        }
    }
    Ok(places)
}

/// Finds the pages of every column in every group; checks that there can be so many cells, in a
/// file of so many bytes.
fn find_chunks<'a>(
    length: u64,
    meta: &'a FileMetaData,
    leaves: &'a [ParquetColumn],
) -> Result<Vec<ColumnPages<'a>>, String> {
    let mut cells = 0_u64;
    let mut chunks = Vec::new();
    for (place, group) in meta.row_groups.iter().enumerate() {
        let rows = group.num_rows.unsigned_abs();
        if group.columns.len() != leaves.len() {
            return Err(format!(
                "{} of its columns have rows, of {}",
                group.columns.len(),
                leaves.len()
            ));
        }
        cells = cells.saturating_add(rows.saturating_mul(leaves.len() as u64));
        if cells > length.saturating_mul(CELLS_A_BYTE).saturating_add(CELLS) {
            return Err(format!(
                "it says that it has more than {cells} cells, in {length} bytes: write it as several files"
            ));
        }
        for (column, (chunk, leaf)) in group.columns.iter().zip(leaves).enumerate() {
            let meta = chunk_of(chunk, leaf, group.num_rows)?;
            let (start, size) = pages_of(meta).ok_or_else(|| beyond(leaf))?;
            chunks.push(ColumnPages {
                group: place,
                column,
                leaf,
                meta,
                rows,
                start,
                size,
            });
        }
    }
    Ok(chunks)
}

/// Checks that no columns share their pages: what each of many says of the same few bytes costs as
/// if there were many.
fn check_apart(chunks: &mut [ColumnPages<'_>]) -> Result<(), String> {
    chunks.sort_by_key(|chunk| (chunk.start, chunk.size));
    match chunks
        .windows(2)
        .find(|pair| pair[0].start.saturating_add(pair[0].size) > pair[1].start)
    {
        Some(pair) => Err(format!(
            "the pages of `{}` lie within those of `{}`",
            pair[1].leaf.name, pair[0].leaf.name
        )),
        None => Ok(()),
    }
}

fn beyond(leaf: &ParquetColumn) -> String {
    format!("the pages of `{}` lie beyond its end", leaf.name)
}

/// Returns what a column of a group says of itself.
fn chunk_of<'a>(
    chunk: &'a ColumnChunk,
    leaf: &ParquetColumn,
    rows: i64,
) -> Result<&'a ColumnMetaData, String> {
    let name = &leaf.name;
    if chunk.crypto_metadata.is_some() || chunk.file_path.is_some() {
        return Err(format!(
            "column `{name}` is encrypted, or lies in another file"
        ));
    }
    let meta = chunk
        .meta_data
        .as_ref()
        .ok_or_else(|| format!("column `{name}` is encrypted"))?;
    if meta.path_in_schema.join(".") != *name || meta.type_ != leaf.physical {
        return Err(format!(
            "its rows have another column in the place of `{name}`"
        ));
    }
    if meta.num_values != rows {
        return Err(format!(
            "it says that `{name}` has {} values in {rows} rows",
            meta.num_values
        ));
    }
    Ok(meta)
}

/// Returns where the pages of a column begin, and how many bytes they take.
pub(crate) fn pages_of(chunk: &ColumnMetaData) -> Option<(usize, usize)> {
    let start = [chunk.dictionary_page_offset, chunk.index_page_offset]
        .into_iter()
        .flatten();
    let start = start
        .filter(|offset| *offset > 0)
        .fold(chunk.data_page_offset, i64::min);
    Some((
        usize::try_from(start).ok()?,
        usize::try_from(chunk.total_compressed_size).ok()?,
    ))
}

/// Goes through the pages of a column; returns how many bytes they unpack to. An error tells the
/// number of the page, counted from one.
fn check_pages(
    pages: &[u8],
    chunk: &ColumnMetaData,
    has_levels: bool,
    most: u64,
    places: &mut Vec<PagePlace>,
) -> Result<u64, (usize, String)> {
    let (mut at, mut number, mut values, mut unpacked) = (0, 0, 0_i64, 0_u64);
    while at < pages.len() {
        number += 1;
        let wrong = |why: &str| (number, why.to_owned());
        let mut cursor = Cursor::new(&pages[at..]);
        let mut protocol =
            TCompactInputProtocol::new(&mut cursor, (pages.len() - at).saturating_mul(MADE));
        let header = PageHeader::read_from_in_protocol(&mut protocol)
            .map_err(|error| (number, format!("cannot be read: {error}")))?;
        let begin = at + usize::try_from(cursor.position()).unwrap_or(usize::MAX);
        let page = usize::try_from(header.compressed_page_size)
            .ok()
            .and_then(|size| pages.get(begin..begin.checked_add(size)?))
            .ok_or_else(|| wrong("goes beyond the pages of its column"))?;
        if !is_of_one_sort(&header) {
            return Err(wrong("says that it is of two kinds"));
        }
        let size = u64::try_from(header.uncompressed_page_size)
            .map_err(|_| wrong("says that it has no size"))?;
        unpacked = unpacked.saturating_add(size);
        if unpacked > most {
            return Err(wrong("says that it is longer than can be"));
        }
        if let Some(dictionary) = &header.dictionary_page_header {
            // An entry takes a byte at least here, and more once it is read.
            let entries = u64::try_from(dictionary.num_values)
                .ok()
                .filter(|entries| *entries <= size);
            let entries =
                entries.ok_or_else(|| wrong("says that it has more entries than bytes"))?;
            unpacked = unpacked.saturating_add(entries.saturating_mul(VIEW));
        }
        let mine =
            values_of(&header).ok_or_else(|| wrong("says that it has fewer values than none"))?;
        values += mine;
        if values > chunk.num_values {
            return Err(wrong("says that it has more values than its column"));
        }
        if header
            .crc
            .is_some_and(|crc| crc32fast::hash(page) != crc.cast_unsigned())
        {
            return Err(wrong("is damaged: its checksum (CRC-32) is another"));
        }
        // What unpacks the rows does not look at the checksum that gzip has.
        let is_gzip = chunk.codec == CompressionCodec::GZIP && header.crc.is_none();
        let gzip = is_gzip
            .then(|| parquet_delta::packed(page, &header))
            .flatten();
        if gzip.is_some_and(|packed| !packed.is_empty() && !unpack::is_whole_gzip(packed, size)) {
            return Err(wrong(
                "is damaged: gzip cannot unpack it, or its checksum is another",
            ));
        }
        let shared = parquet_delta::check(page, &header, chunk.codec, has_levels).map_err(wrong)?;
        unpacked = unpacked.saturating_add(shared);
        let is_dictionary = header.dictionary_page_header.is_some();
        places.push(PagePlace {
            bytes: at..begin + page.len(),
            values: (!is_dictionary).then(|| usize::try_from(mine).unwrap_or_default()),
        });
        at = begin + page.len();
    }
    match values == chunk.num_values {
        true => Ok(unpacked),
        false => Err((
            number,
            format!(
                "is the last, and there are {values} values of {}",
                chunk.num_values
            ),
        )),
    }
}

/// Returns whether what a page says of itself is of the sort that it says it is.
fn is_of_one_sort(header: &PageHeader) -> bool {
    let has = [
        (header.data_page_header.is_some(), PageType::DATA_PAGE),
        (header.data_page_header_v2.is_some(), PageType::DATA_PAGE_V2),
        (
            header.dictionary_page_header.is_some(),
            PageType::DICTIONARY_PAGE,
        ),
    ];
    has.into_iter()
        .all(|(is_there, sort)| is_there == (header.type_ == sort))
}

/// Returns how many values a page says that it has, missing ones too; `None` if that is no number
/// of values.
fn values_of(header: &PageHeader) -> Option<i64> {
    let first = header.data_page_header.as_ref().map(|page| page.num_values);
    let second = header
        .data_page_header_v2
        .as_ref()
        .map(|page| page.num_values);
    let values = first.or(second).unwrap_or_default();
    (values >= 0).then_some(i64::from(values))
}

/// Returns a footer that says only what the rows are read by.
fn plain(meta: FileMetaData) -> FileMetaData {
    let chunk = |mut chunk: ColumnChunk| {
        if let Some(meta) = &mut chunk.meta_data {
            let start = pages_of(meta).and_then(|(start, _)| i64::try_from(start).ok());
            // Moments of 96 bits are read as the bytes that they are.
            if meta.type_ == Type::INT96 {
                meta.type_ = Type::FIXED_LEN_BYTE_ARRAY;
            }
            meta.dictionary_page_offset = start.filter(|start| *start < meta.data_page_offset);
            meta.index_page_offset = None;
            meta.key_value_metadata = None;
            meta.statistics = None;
            meta.size_statistics = None;
            meta.encoding_stats = None;
            meta.bloom_filter_offset = None;
            meta.bloom_filter_length = None;
        }
        let meta = chunk.meta_data;
        ColumnChunk::new(
            None,
            chunk.file_offset,
            meta,
            None,
            None,
            None,
            None,
            None,
            None,
        )
    };
    let groups = meta.row_groups.into_iter().map(|group| {
        let columns = group.columns.into_iter().map(chunk).collect();
        RowGroup::new(
            columns,
            group.total_byte_size,
            group.num_rows,
            None,
            None,
            None,
            None,
        )
    });
    FileMetaData {
        row_groups: groups.collect(),
        key_value_metadata: None,
        column_orders: None,
        ..meta
    }
}
