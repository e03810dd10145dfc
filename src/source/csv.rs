//! Records of a CSV file → a table.

use std::collections::{BTreeMap, HashMap, HashSet};

use csv::{ByteRecord, ReaderBuilder};
use polars::prelude::{Column, DataType, NamedFrom, Series, TimeUnit};
use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};

use serde::Serialize;

use crate::frame::build::COLUMNS;
use crate::frame::cell::{is_missing, read_bool, read_float, read_int};
use crate::frame::table::{ColumnType, Table, TableError, read_time};
use crate::source::encoding::{Encoding, RecodedCells};
use crate::source::piece::{MalformedRecords, TablePiece};

/// What some programs write at the begin of UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Of how many names of a header it is told what is odd about them.
const NOTES: usize = 20;

/// How a CSV file is read.
#[derive(Clone, Debug, Serialize)]
pub struct Csv {
    /// What separates fields.
    pub separator: u8,
    /// The names of the columns.
    pub names: Vec<String>,
    /// Cells that mean a missing value.
    pub na: Vec<String>,
    /// Columns that get this type, whatever their cells look like.
    pub types: BTreeMap<String, ColumnType>,
    /// How bytes are read as text.
    pub encoding: Encoding,
}

impl Csv {
    /// Nothing means a missing value, types are told by the cells.
    pub fn plain(separator: u8, names: Vec<String>) -> Self {
        Self {
            separator,
            names,
            na: Vec::new(),
            types: BTreeMap::new(),
            encoding: Encoding::Auto,
        }
    }
}

/// Reads the names of columns from a header. Names that stand twice get a number, empty ones that
/// of their place; the second list tells which.
///
/// # Errors
/// It is not UTF-8 or has no name at all.
pub fn header(
    bytes: &[u8],
    separator: u8,
    encoding: Encoding,
) -> Result<(Vec<String>, Vec<String>), TableError> {
    let mut record = ByteRecord::new();
    reader(bytes, separator)
        .read_byte_record(&mut record)
        .map_err(|error| TableError(error.to_string()))?;
    if record.len() > COLUMNS {
        return Err(TableError(format!(
            "the header names {} columns; at most {COLUMNS} are read",
            record.len()
        )));
    }
    if let Some(QuoteFault::Followed { column, .. }) = quoting(bytes, separator) {
        return Err(TableError(format!("line 1, column {column}: {FOLLOWED}")));
    }
    let (mut names, mut named): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut taken: HashSet<String> = HashSet::new();
    // Of a name that stands twice, the number that is tried next.
    let mut numbers: HashMap<String, usize> = HashMap::new();
    for (at, field) in record.iter().enumerate() {
        let (name, is_recoded) = encoding.read(field).ok_or_else(|| {
            TableError(format!(
                "line 1, column {}: the name is not UTF-8: set `encoding: windows-1252`",
                at + 1
            ))
        })?;
        if is_recoded {
            named.push(format!(
                "the name of column {} is not UTF-8 and read as Windows-1252: `{}`",
                at + 1,
                name.trim()
            ));
        }
        let name = if name.trim().is_empty() {
            format!("column_{}", at + 1)
        } else {
            name.trim().to_owned()
        };
        let mut unique = name.clone();
        while !taken.insert(unique.clone()) {
            let number = numbers.entry(name.clone()).or_insert(2);
            unique = format!("{name}_{number}");
            *number += 1;
        }
        if unique != name {
            named.push(format!(
                "the name `{name}` stands twice in the header: column {} is called `{unique}`",
                at + 1
            ));
        } else if field.trim_ascii().is_empty() {
            named.push(format!(
                "column {} has no name in the header: it is called `{unique}`",
                at + 1
            ));
        }
        names.push(unique);
    }
    if named.len() > NOTES {
        let more = named.len() - NOTES;
        named.truncate(NOTES);
        named.push(format!(
            "{more} more names of the header stand twice, are empty or not UTF-8"
        ));
    }
    if names.is_empty() {
        Err(TableError("the header has no names".to_owned()))
    } else {
        Ok((names, named))
    }
}

fn reader(bytes: &[u8], separator: u8) -> csv::Reader<&[u8]> {
    ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .from_reader(bytes)
}

/// The fields of one column, one after the other.
#[derive(Default)]
pub(crate) struct ColumnFields {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl ColumnFields {
    pub(crate) fn push(&mut self, field: &[u8]) {
        self.bytes.extend_from_slice(field);
        self.ends.push(self.bytes.len());
    }
}

/// Reads whole records. What is malformed is counted and left out, its line counted from the first.
///
/// # Errors
/// A column cannot be kept; does not happen for fields of CSV.
pub fn read(bytes: &[u8], form: &Csv) -> Result<TablePiece, TableError> {
    let mut columns: Vec<ColumnFields> =
        form.names.iter().map(|_| ColumnFields::default()).collect();
    let mut lines = Vec::new();
    let mut malformed: Option<MalformedRecords> = None;
    // The library leaves a mark out that stands at the begin, and here that is the begin of a cell.
    let marked;
    let with_mark = match bytes.starts_with(BYTE_ORDER_MARK) {
        true => {
            marked = [BYTE_ORDER_MARK, bytes].concat();
            &marked
        }
        false => bytes,
    };
    let mut reader = reader(with_mark, form.separator);
    let mut record = ByteRecord::new();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Err(TableError(error.to_string())),
        }
        let at = record.position().map_or(1, csv::Position::line);
        if record.len() != form.names.len() {
            let why = format!(
                "the record has {} fields, the header {}",
                record.len(),
                form.names.len()
            );
            MalformedRecords::count(
                &mut malformed,
                at,
                record.len().min(form.names.len()) + 1,
                why,
            );
            continue;
        }
        for (fields, field) in columns.iter_mut().zip(&record) {
            fields.push(field);
        }
        lines.push(at);
    }
    match quoting(bytes, form.separator) {
        Some(QuoteFault::Open) => {
            let at = lines.last().copied().unwrap_or(1);
            MalformedRecords::count(
                &mut malformed,
                at,
                1,
                "a quote that opens in this record is never closed".to_owned(),
            );
        }
        Some(QuoteFault::Followed { line, column }) => {
            MalformedRecords::count(&mut malformed, line, column, FOLLOWED.to_owned())
        }
        None => {}
    }
    table(&columns, &lines, form, malformed)
}

/// Makes a table of the fields of each column, whose records stand in these lines.
pub(crate) fn table(
    columns: &[ColumnFields],
    lines: &[u64],
    form: &Csv,
    mut malformed: Option<MalformedRecords>,
) -> Result<TablePiece, TableError> {
    let one = |(at, fields): (usize, &ColumnFields)| {
        let mut recoded = None;
        let column = match fields.as_utf8(form.encoding, lines, &mut recoded) {
            Some(fields) => column(&fields, form.names[at].as_str(), form),
            None => column(fields, form.names[at].as_str(), form),
        };
        (column.map_err(|unfit| unfit.at(at, lines)), recoded)
    };
    let made: Vec<(Result<Column, MalformedRecords>, Option<RecodedCells>)> =
        columns.par_iter().enumerate().map(one).collect();
    let (mut whole, mut recoded): (Vec<Column>, Option<RecodedCells>) = (Vec::new(), None);
    for (column, other) in made {
        match column {
            Ok(column) => whole.push(column),
            Err(other) => MalformedRecords::add(&mut malformed, other),
        }
        if let Some(other) = other {
            RecodedCells::add(&mut recoded, &other, 1);
        }
    }
    let table = if malformed.is_none() {
        Some(Table::of_columns(whole)?)
    } else {
        None
    };
    Ok(TablePiece {
        table,
        malformed,
        conflicts: Vec::new(),
        recoded,
    })
}

impl ColumnFields {
    /// Returns the fields as UTF-8 if they are not: those that are not read as Windows-1252, and
    /// counted.
    fn as_utf8(
        &self,
        encoding: Encoding,
        lines: &[u64],
        recoded: &mut Option<RecodedCells>,
    ) -> Option<Self> {
        let is_utf8 = || std::str::from_utf8(&self.bytes).is_ok();
        if encoding == Encoding::Utf8
            || self.bytes.is_ascii()
            || encoding == Encoding::Auto && is_utf8()
        {
            return None;
        }
        let (mut fields, mut start) = (Self::default(), 0);
        for (&end, line) in self.ends.iter().zip(lines) {
            let (text, is_recoded) = encoding.read(&self.bytes[start..end])?;
            if is_recoded {
                RecodedCells::count(recoded, *line, &text);
            }
            fields.push(text.as_bytes());
            start = end;
        }
        Some(fields)
    }
}

/// What is wrong with the quotes of records.
enum QuoteFault {
    /// The last record ends inside quotes.
    Open,
    /// Text follows a quote that closes a field: its line, and the number of the field, both
    /// counted from one.
    Followed { line: u64, column: usize },
}

/// What is told of the second.
const FOLLOWED: &str =
    "text follows the quote that closes this field: write a quote within quotes twice";

/// Returns what is wrong with the quotes of whole records (RFC 4180), the first of it.
fn quoting(bytes: &[u8], separator: u8) -> Option<QuoteFault> {
    memchr::memchr(b'"', bytes)?;
    let (mut is_quoted, mut at_start, mut at) = (false, true, 0);
    let (mut line, mut column) = (1_u64, 1);
    while at < bytes.len() {
        let byte = bytes[at];
        line += u64::from(byte == b'\n');
        match (is_quoted, byte) {
            (true, b'"') if bytes.get(at + 1) == Some(&b'"') => at += 1,
            (true, b'"') => {
                is_quoted = false;
                let is_end = |byte: &u8| *byte == separator || matches!(byte, b'\n' | b'\r');
                if !bytes.get(at + 1).is_none_or(is_end) {
                    return Some(QuoteFault::Followed { line, column });
                }
            }
            (true, _) => {}
            (false, b'"') if at_start => is_quoted = true,
            (false, b'\n') => column = 1,
            (false, byte) if byte == separator => column += 1,
            (false, _) => {}
        }
        at_start = !is_quoted && (byte == separator || byte == b'\n');
        at += 1;
    }
    is_quoted.then_some(QuoteFault::Open)
}

/// Cells that are not of the type that was asked for, or not text at all.
struct UnfitCells {
    row: usize,
    count: u64,
    why: String,
}

impl UnfitCells {
    fn at(self, column: usize, lines: &[u64]) -> MalformedRecords {
        let line = lines.get(self.row).copied().unwrap_or_default();
        MalformedRecords {
            count: self.count,
            line,
            column: column + 1,
            why: self.why,
        }
    }
}

fn column(fields: &ColumnFields, name: &str, form: &Csv) -> Result<Column, UnfitCells> {
    let text = std::str::from_utf8(&fields.bytes).map_err(|error| {
        let row = fields
            .ends
            .partition_point(|end| *end <= error.valid_up_to());
        UnfitCells {
            row,
            count: 1,
            why: format!("a cell of `{name}` is not UTF-8: set `encoding: windows-1252`"),
        }
    })?;
    let mut start = 0;
    let mut cells: Vec<Option<&str>> = Vec::with_capacity(fields.ends.len());
    for (row, &end) in fields.ends.iter().enumerate() {
        let Some(cell) = text.get(start..end) else {
            // Two halves of a character met across a border.
            return Err(UnfitCells {
                row,
                count: 1,
                why: format!("a cell of `{name}` is not UTF-8: set `encoding: windows-1252`"),
            });
        };
        start = end;
        cells.push((!is_missing(cell, &form.na)).then_some(cell));
    }
    let made = |series: Series| Ok(Column::from(series));
    match form.types.get(name) {
        None => made(natural(name, &cells)),
        Some(kind) => {
            let unfit = |row: usize, count: usize| UnfitCells {
                row,
                count: count as u64,
                why: format!(
                    "{:?} in `{name}` is not of the type {}",
                    cells[row].unwrap_or_default(),
                    kind.as_str()
                ),
            };
            match typed(name, &cells, *kind) {
                Ok(series) => made(series),
                Err((row, count)) => Err(unfit(row, count)),
            }
        }
    }
}

/// Whole numbers with more digits are not all numbers of 64 bits with a floating point.
const EXACT_DIGITS: usize = 15;

/// Returns whether a cell is more than the number it reads as: zeros before it, as identifiers
/// have; more digits than the number can hold.
fn is_more(cell: &str, kind: ColumnType) -> bool {
    let digits = cell.trim().trim_start_matches(['-', '+']);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let has_zeros =
        digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
    has_zeros || kind == ColumnType::Float && is_whole && digits.len() > EXACT_DIGITS
}

/// The column in the narrowest type that holds all of its cells, and all that they say.
fn natural(name: &str, cells: &[Option<&str>]) -> Series {
    if cells.iter().all(Option::is_none) {
        return Series::new_null(name.into(), cells.len());
    }
    [ColumnType::Int, ColumnType::Float, ColumnType::Bool]
        .into_iter()
        .filter(|kind| first_fits(cells, *kind))
        .find_map(|kind| {
            let is_less = cells.iter().flatten().any(|cell| is_more(cell, kind));
            if is_less {
                None
            } else {
                typed(name, cells, kind).ok()
            }
        })
        .unwrap_or_else(|| Series::new(name.into(), cells))
}

/// A quick look that spares reading most of a column as what it is not.
fn first_fits(cells: &[Option<&str>], kind: ColumnType) -> bool {
    cells
        .iter()
        .flatten()
        .next()
        .is_some_and(|cell| typed("", &[Some(cell)], kind).is_ok())
}

/// The column as this type, or the first row that is not, and how many are not.
fn typed(name: &str, cells: &[Option<&str>], kind: ColumnType) -> Result<Series, (usize, usize)> {
    fn all<T>(
        cells: &[Option<&str>],
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<Option<T>>, (usize, usize)> {
        let mut values = Vec::with_capacity(cells.len());
        for (row, cell) in cells.iter().enumerate() {
            match cell.map(&read) {
                None => values.push(None),
                Some(Some(value)) => values.push(Some(value)),
                Some(None) => {
                    let rest = cells[row..]
                        .iter()
                        .flatten()
                        .filter(|cell| read(cell).is_none())
                        .count();
                    return Err((row, rest));
                }
            }
        }
        Ok(values)
    }
    let name = name.into();
    Ok(match kind {
        ColumnType::Int => Series::new(name, all(cells, read_int)?),
        ColumnType::Float => Series::new(name, all(cells, read_float)?),
        ColumnType::Bool => Series::new(name, all(cells, read_bool)?),
        ColumnType::Time => {
            let times = Series::new(name, all(cells, |cell| read_time(cell.trim()))?);
            times
                .cast(&DataType::Datetime(TimeUnit::Milliseconds, None))
                .map_err(|_| (0, 0))?
        }
        ColumnType::Text | ColumnType::Other | ColumnType::Empty => Series::new(name, cells),
    })
}
