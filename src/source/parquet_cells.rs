//! What the cells of a column of Parquet are: a few physical types, and annotations that say what
//! their bytes mean.
//!
//! What the reader of rows knows is left to it. Of the rest the annotation is taken away, and what
//! the bytes mean is made of them here: times of day, half-precision numbers, UUIDs, and text, of
//! which the first that is none is told with its row.

use mongodb::bson::Uuid;
use polars::prelude::{Column, DataFrame, DataType, NamedFrom, PlSmallStr, Series};
use polars_parquet_format::{
    ConvertedType, LogicalType, MicroSeconds, MilliSeconds, SchemaElement, TimeUnit, TimestampType,
    Type,
};

use crate::frame::table::{ColumnType, TableError, error};

/// The Julian day of 1970-01-01.
const EPOCH: i64 = 2_440_588;

/// A column of cells.
#[derive(Debug)]
pub(crate) struct ParquetColumn {
    /// Its name; of a column in a structure, with the structure's before it: `a.b`.
    pub(crate) name: String,
    /// How its values are stored.
    pub(crate) physical: Type,
    /// How many bytes each cell takes at least, even a missing one.
    pub(crate) width: u64,
    /// Whether cells may be missing.
    pub(crate) is_optional: bool,
    cells: CellMeaning,
}

/// What is made of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CellMeaning {
    AsTheyAre,
    /// Text: hours, minutes, seconds and parts of them, of which there are so many a second.
    TimeOfDay {
        a_second: i64,
    },
    /// Moments, as the nanosecond of a day and the day (Julian): what Parquet had before it had
    /// moments.
    Int96,
    /// Numbers of 16 bits (IEEE 754 binary16).
    Half,
    /// Text, as RFC 9562 writes it.
    Uuid,
    /// Text.
    Utf8,
}

/// What an annotation says, whether it is one of the old or of the new kind.
enum TypeAnnotation {
    None,
    Unsigned,
    Date,
    TimeOfDay {
        a_second: i64,
    },
    Moment(TimeUnit),
    Half,
    Uuid,
    /// What cannot be read, as a word.
    Other(&'static str),
}

/// Returns the column that an element of a schema describes, and leaves of its annotation what the
/// reader needs.
///
/// # Errors
/// It cannot be read: what to do.
pub(crate) fn leaf(
    element: &mut SchemaElement,
    name: String,
    is_optional: bool,
) -> Result<ParquetColumn, String> {
    let physical = element.type_.unwrap_or(Type::BYTE_ARRAY);
    let width = width(element, &name)?;
    let (mut cells, mut converted, mut logical) = (CellMeaning::AsTheyAre, None, None);
    match (physical, annotation(element)) {
        (_, TypeAnnotation::Other(what)) => {
            return Err(format!(
                "column `{name}` holds {what}: write them as numbers or as text"
            ));
        }
        (Type::INT32, TypeAnnotation::Unsigned) => converted = Some(ConvertedType::UINT_32),
        (Type::INT64, TypeAnnotation::Unsigned) => converted = Some(ConvertedType::UINT_64),
        (Type::INT32, TypeAnnotation::Date) => converted = Some(ConvertedType::DATE),
        (Type::INT32 | Type::INT64, TypeAnnotation::TimeOfDay { a_second }) => {
            cells = CellMeaning::TimeOfDay { a_second }
        }
        (Type::INT64, TypeAnnotation::Moment(unit)) => {
            logical = Some(LogicalType::TIMESTAMP(TimestampType::new(false, unit)));
        }
        (Type::INT96, _) => {
            cells = CellMeaning::Int96;
            element.type_ = Some(Type::FIXED_LEN_BYTE_ARRAY);
            element.type_length = Some(12);
        }
        (Type::FIXED_LEN_BYTE_ARRAY, TypeAnnotation::Half) if width == 2 => {
            cells = CellMeaning::Half
        }
        (Type::FIXED_LEN_BYTE_ARRAY, TypeAnnotation::Uuid) if width == 16 => {
            cells = CellMeaning::Uuid
        }
        (Type::FIXED_LEN_BYTE_ARRAY | Type::BYTE_ARRAY, _) => cells = CellMeaning::Utf8,
        _ => {}
    }
    element.num_children = None;
    element.converted_type = converted;
    element.logical_type = logical;
    element.scale = None;
    element.precision = None;
    Ok(ParquetColumn {
        name,
        physical,
        width,
        is_optional,
        cells,
    })
}

/// Returns how many bytes a missing cell of a column takes once it is read.
fn width(element: &SchemaElement, name: &str) -> Result<u64, String> {
    if element.type_ != Some(Type::FIXED_LEN_BYTE_ARRAY) {
        return Ok(0);
    }
    let length = element
        .type_length
        .and_then(|length| u64::try_from(length).ok())
        .filter(|length| *length > 0);
    length.ok_or_else(|| format!("it says that the cells of `{name}` have no length"))
}

fn annotation(element: &SchemaElement) -> TypeAnnotation {
    let a_second = |unit: &TimeUnit| match unit {
        TimeUnit::MILLIS(_) => 1000,
        TimeUnit::MICROS(_) => 1_000_000,
        TimeUnit::NANOS(_) => 1_000_000_000,
    };
    match &element.logical_type {
        Some(LogicalType::INTEGER(number)) if !number.is_signed && number.bit_width >= 32 => {
            TypeAnnotation::Unsigned
        }
        Some(LogicalType::DATE(_)) => TypeAnnotation::Date,
        Some(LogicalType::TIME(time)) => TypeAnnotation::TimeOfDay {
            a_second: a_second(&time.unit),
        },
        Some(LogicalType::TIMESTAMP(moment)) => TypeAnnotation::Moment(moment.unit.clone()),
        Some(LogicalType::UUID(_)) => TypeAnnotation::Uuid,
        Some(LogicalType::FLOAT16(_)) => TypeAnnotation::Half,
        Some(LogicalType::DECIMAL(_)) => TypeAnnotation::Other("decimals"),
        Some(LogicalType::BSON(_)) => TypeAnnotation::Other("BSON documents"),
        Some(_) => TypeAnnotation::None,
        None => old_annotation(element.converted_type),
    }
}

fn old_annotation(converted: Option<ConvertedType>) -> TypeAnnotation {
    match converted {
        Some(ConvertedType::UINT_32 | ConvertedType::UINT_64) => TypeAnnotation::Unsigned,
        Some(ConvertedType::DATE) => TypeAnnotation::Date,
        Some(ConvertedType::TIME_MILLIS) => TypeAnnotation::TimeOfDay { a_second: 1000 },
        Some(ConvertedType::TIME_MICROS) => TypeAnnotation::TimeOfDay {
            a_second: 1_000_000,
        },
        Some(ConvertedType::TIMESTAMP_MILLIS) => {
            TypeAnnotation::Moment(TimeUnit::MILLIS(MilliSeconds {}))
        }
        Some(ConvertedType::TIMESTAMP_MICROS) => {
            TypeAnnotation::Moment(TimeUnit::MICROS(MicroSeconds {}))
        }
        Some(ConvertedType::DECIMAL) => TypeAnnotation::Other("decimals"),
        Some(ConvertedType::BSON) => TypeAnnotation::Other("BSON documents"),
        Some(ConvertedType::INTERVAL) => {
            TypeAnnotation::Other("intervals of months, days and milliseconds")
        }
        _ => TypeAnnotation::None,
    }
}

/// Returns the columns of rows that were read, those in structures each for itself; `from` is the
/// number of the first row, counted from one.
///
/// # Errors
/// A cell is not what its annotation says: its column and row.
pub(crate) fn columns(
    rows: &DataFrame,
    leaves: &[ParquetColumn],
    from: u64,
) -> Result<Vec<Column>, TableError> {
    let mut flat = Vec::new();
    for column in rows.columns() {
        flatten(column.as_materialized_series(), &mut flat)?;
    }
    if flat.len() != leaves.len() {
        return Err(TableError(format!(
            "its rows have {} columns, its schema {}",
            flat.len(),
            leaves.len()
        )));
    }
    flat.iter()
        .zip(leaves)
        .map(|(cells, leaf)| leaf.column(cells, from))
        .collect()
}

fn flatten(column: &Series, flat: &mut Vec<Series>) -> Result<(), TableError> {
    let DataType::Struct(_) = column.dtype() else {
        flat.push(column.clone());
        return Ok(());
    };
    // Of a structure that is missing, no column is there.
    let column = column.propagate_nulls().unwrap_or_else(|| column.clone());
    column
        .struct_()
        .map_err(error)?
        .fields_as_series()
        .iter()
        .try_for_each(|field| flatten(field, flat))
}

impl ParquetColumn {
    fn column(&self, cells: &Series, from: u64) -> Result<Column, TableError> {
        let name = PlSmallStr::from(self.name.as_str());
        let made = match self.cells {
            CellMeaning::AsTheyAre => cells.clone(),
            CellMeaning::TimeOfDay { a_second } => self.times(cells, a_second, from)?,
            CellMeaning::Int96 => {
                let ms = Series::new(name, of_bytes(cells, ms_of_int96)?);
                ms.cast(&ColumnType::Time.dtype()).map_err(error)?
            }
            CellMeaning::Half => Series::new(name, of_bytes(cells, half_of)?),
            CellMeaning::Uuid => Series::new(name, of_bytes(cells, uuid_of)?),
            CellMeaning::Utf8 => self.text(cells, from)?,
        };
        Ok(Column::from(made.with_name(self.name.as_str().into())))
    }

    fn times(&self, cells: &Series, a_second: i64, from: u64) -> Result<Series, TableError> {
        let cells = cells.cast(&DataType::Int64).map_err(error)?;
        let mut texts = Vec::with_capacity(cells.len());
        for (cell, row) in cells.i64().map_err(error)?.iter().zip(from..) {
            texts.push(match cell {
                None => None,
                Some(parts) => Some(time_of_day(parts, a_second).ok_or_else(|| {
                    TableError(format!(
                        "row {row} of `{}` is not a time of day: {parts} / {a_second} s",
                        self.name
                    ))
                })?),
            });
        }
        Ok(Series::new(self.name.as_str().into(), texts))
    }

    fn text(&self, cells: &Series, from: u64) -> Result<Series, TableError> {
        if let Ok(text) = cells.strict_cast(&DataType::String) {
            return Ok(text);
        }
        let is_text =
            |cell: Option<&[u8]>| cell.is_none_or(|bytes| std::str::from_utf8(bytes).is_ok());
        let first = cells
            .binary()
            .map_err(error)?
            .iter()
            .zip(from..)
            .find(|(cell, _)| !is_text(*cell));
        let row = first.map_or(from, |(_, row)| row);
        Err(TableError(format!(
            "row {row} of column `{}` holds bytes that are not UTF-8 text: write them as text, for example in hexadecimal",
            self.name
        )))
    }
}

/// Returns what is read of cells that are bytes.
fn of_bytes<T>(
    cells: &Series,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Result<Vec<Option<T>>, TableError> {
    let cells = cells.binary().map_err(error)?;
    Ok(cells.iter().map(|cell| cell.and_then(&read)).collect())
}

/// Returns the milliseconds since 1970 of a moment of 96 bits.
fn ms_of_int96(bytes: &[u8]) -> Option<i64> {
    let (nanoseconds, day) = bytes.split_first_chunk::<8>()?;
    let day = i64::from(i32::from_le_bytes(*day.first_chunk()?)) - EPOCH;
    (day * 86_400_000).checked_add(i64::from_le_bytes(*nanoseconds).div_euclid(1_000_000))
}

/// Writes a time of day with as many digits of its seconds as it has, in threes.
fn time_of_day(parts: i64, a_second: i64) -> Option<String> {
    let seconds = parts.div_euclid(a_second);
    let nanoseconds = parts.rem_euclid(a_second) * (1_000_000_000 / a_second);
    // The end of a day may stand for itself.
    if !(0..86_400).contains(&seconds) && (seconds, nanoseconds) != (86_400, 0) {
        return None;
    }
    let mut text = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    match nanoseconds {
        0 => {}
        whole if whole % 1_000_000 == 0 => text.push_str(&format!(".{:03}", whole / 1_000_000)),
        whole if whole % 1000 == 0 => text.push_str(&format!(".{:06}", whole / 1000)),
        whole => text.push_str(&format!(".{whole:09}")),
    }
    Some(text)
}

fn half_of(bytes: &[u8]) -> Option<f64> {
    Some(half::f16::from_le_bytes(bytes.try_into().ok()?).to_f64())
}

fn uuid_of(bytes: &[u8]) -> Option<String> {
    Some(Uuid::from_bytes(bytes.try_into().ok()?).to_string())
}
