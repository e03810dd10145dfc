//! Tensors of the Open Inference Protocol V2: as JSON, or raw behind it (the binary extension), to the
//! columns of a model.

use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::prep::cells::{CellKind, ColumnCells};
use crate::scoring::records::{GivenCell, RecordLayout};

/// The cells of a tensor, in the order of its rows.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorCells {
    /// Truth values.
    Bools(Vec<bool>),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// Whole numbers of which one is larger than those.
    Wholes(Vec<u64>),
    /// Numbers.
    Floats(Vec<f64>),
    /// Text.
    Texts(Vec<String>),
}

/// The types of cells that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum TensorType {
    /// Truth values, a byte each.
    Bool,
    /// Whole numbers of 8 bits.
    Int8,
    /// Whole numbers of 16 bits.
    Int16,
    /// Whole numbers of 32 bits.
    Int32,
    /// Whole numbers of 64 bits.
    Int64,
    /// Whole numbers of 8 bits, none below zero.
    Uint8,
    /// Whole numbers of 16 bits, none below zero.
    Uint16,
    /// Whole numbers of 32 bits, none below zero.
    Uint32,
    /// Whole numbers of 64 bits, none below zero.
    Uint64,
    /// Numbers of 32 bits.
    Fp32,
    /// Numbers of 64 bits.
    Fp64,
    /// Text in UTF-8, its length in four bytes before it.
    Bytes,
}

impl TensorType {
    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }
}

/// How long a tensor is in a direction. 5.0 is a length, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TensorLength(pub u64);

impl<'de> Deserialize<'de> for TensorLength {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LengthVisitor;

        impl Visitor<'_> for LengthVisitor {
            type Value = TensorLength;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length")
            }

            fn visit_u64<E: Error>(self, length: u64) -> Result<TensorLength, E> {
                Ok(TensorLength(length))
            }

            fn visit_f64<E: Error>(self, length: f64) -> Result<TensorLength, E> {
                let is_whole = length.fract() == 0.0 && (0.0..9e15).contains(&length);
                match is_whole {
                    true => Ok(TensorLength(length as u64)),
                    false => Err(E::custom("a length is a whole number")),
                }
            }
        }

        deserializer.deserialize_any(LengthVisitor)
    }
}

/// A cell of a tensor in JSON, or a list of them.
#[derive(Debug, ToSchema)]
#[schema(as = TensorItem)]
#[serde(untagged)]
pub enum TensorItem {
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
    /// A truth value.
    Flag(bool),
    /// Cells, or lists of them.
    #[schema(value_type = Vec<Object>)]
    List(Vec<serde_json::Value>),
}

impl TensorCells {
    /// Returns how many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Bools(cells) => cells.len(),
            Self::Ints(cells) => cells.len(),
            Self::Wholes(cells) => cells.len(),
            Self::Floats(cells) => cells.len(),
            Self::Texts(cells) => cells.len(),
        }
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns cells that came as JSON as a tensor of a type holds them.
    ///
    /// # Errors
    /// A cell is none of that type.
    pub fn of_type(self, kind: TensorType) -> Result<Self, String> {
        let word = kind.word();
        if self.is_empty() {
            return Ok(self);
        }
        let range = match kind {
            TensorType::Int8 => i64::from(i8::MIN)..=i64::from(i8::MAX),
            TensorType::Int16 => i64::from(i16::MIN)..=i64::from(i16::MAX),
            TensorType::Int32 => i64::from(i32::MIN)..=i64::from(i32::MAX),
            TensorType::Uint8 => 0..=i64::from(u8::MAX),
            TensorType::Uint16 => 0..=i64::from(u16::MAX),
            TensorType::Uint32 => 0..=i64::from(u32::MAX),
            TensorType::Uint64 => 0..=i64::MAX,
            _ => i64::MIN..=i64::MAX,
        };
        match (self, kind) {
            (cells @ Self::Bools(_), TensorType::Bool)
            | (cells @ Self::Texts(_), TensorType::Bytes)
            | (cells @ Self::Floats(_), TensorType::Fp64) => Ok(cells),
            (cells @ Self::Wholes(_), TensorType::Uint64) => Ok(cells),
            (cells @ Self::Wholes(_), TensorType::Fp64) => Ok(Self::Floats(cells.numbers())),
            (cells @ (Self::Ints(_) | Self::Wholes(_) | Self::Floats(_)), TensorType::Fp32) => {
                let rounded = |cell: f64| f64::from(cell as f32);
                let cells = cells.numbers().into_iter().map(rounded);
                Ok(Self::Floats(cells.collect()))
            }
            (Self::Ints(_), TensorType::Bool | TensorType::Bytes) => {
                Err(format!("its cells are numbers, not {word}"))
            }
            (Self::Ints(cells), _) => match cells.iter().find(|cell| !range.contains(cell)) {
                Some(cell) => Err(format!("its cell {cell} is not of the type {word}")),
                None => Ok(Self::Ints(cells)),
            },
            _ => Err(format!("its cells are not of the type {word}")),
        }
    }

    /// Reads raw cells: little-endian, one after the other; text with its length before it.
    ///
    /// # Errors
    /// The bytes are not so many cells.
    pub fn of_raw(kind: TensorType, raw: &[u8], count: usize) -> Result<Self, String> {
        fn each<const N: usize, T>(raw: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
            let (cells, _) = raw.as_chunks::<N>();
            cells.iter().map(|cell| read(*cell)).collect()
        }
        let width = match kind {
            TensorType::Bool | TensorType::Int8 | TensorType::Uint8 => 1,
            TensorType::Int16 | TensorType::Uint16 => 2,
            TensorType::Int32 | TensorType::Uint32 | TensorType::Fp32 => 4,
            TensorType::Int64 | TensorType::Uint64 | TensorType::Fp64 => 8,
            TensorType::Bytes => return raw_texts(raw, count).map(Self::Texts),
        };
        if count.checked_mul(width) != Some(raw.len()) {
            let there = raw.len();
            return Err(format!("{there} bytes are not {count} cells of {width}"));
        }
        Ok(match kind {
            TensorType::Bool => Self::Bools(raw.iter().map(|byte| *byte != 0).collect()),
            TensorType::Int8 => Self::Ints(each(raw, |c| i64::from(i8::from_le_bytes(c)))),
            TensorType::Int16 => Self::Ints(each(raw, |c| i64::from(i16::from_le_bytes(c)))),
            TensorType::Int32 => Self::Ints(each(raw, |c| i64::from(i32::from_le_bytes(c)))),
            TensorType::Int64 => Self::Ints(each(raw, i64::from_le_bytes)),
            TensorType::Uint8 => Self::Ints(raw.iter().map(|byte| i64::from(*byte)).collect()),
            TensorType::Uint16 => Self::Ints(each(raw, |c| i64::from(u16::from_le_bytes(c)))),
            TensorType::Uint32 => Self::Ints(each(raw, |c| i64::from(u32::from_le_bytes(c)))),
            TensorType::Uint64 => Self::Wholes(each(raw, u64::from_le_bytes)),
            TensorType::Fp32 => Self::Floats(each(raw, |c| f64::from(f32::from_le_bytes(c)))),
            TensorType::Fp64 => Self::Floats(each(raw, f64::from_le_bytes)),
            TensorType::Bytes => unreachable!("it was read above"),
        })
    }

    /// Returns the cell at a place, as it is read everywhere.
    fn given(&self, at: usize) -> GivenCell<'_> {
        match self {
            Self::Bools(cells) => GivenCell::Bool(cells[at]),
            Self::Ints(cells) => GivenCell::Int(cells[at]),
            Self::Wholes(cells) => GivenCell::Whole(cells[at]),
            Self::Floats(cells) => GivenCell::Float(cells[at]),
            Self::Texts(cells) => GivenCell::Text(&cells[at]),
        }
    }

    /// Returns them as the column of a model that stands at a place; what is wrong with single rows
    /// is put into `errors`.
    pub fn column(
        &self,
        layout: &RecordLayout,
        place: usize,
        errors: &mut [Option<String>],
    ) -> ColumnCells {
        let input = &layout.inputs()[place];
        let cells = (0..self.len()).map(|at| layout.cell(self.given(at)));
        match input.kind() {
            CellKind::Text => ColumnCells::Texts(cells.map(GivenCell::text).collect()),
            CellKind::Number => {
                let number = |(cell, error): (GivenCell<'_>, &mut Option<String>)| {
                    cell.number(&input.name).unwrap_or_else(|why| {
                        error.get_or_insert(why);
                        f64::NAN
                    })
                };
                ColumnCells::Numbers(cells.zip(errors).map(number).collect())
            }
        }
    }

    /// Returns them as numbers; what is none is NaN.
    pub fn numbers(&self) -> Vec<f64> {
        let cells = (0..self.len()).map(|at| self.given(at));
        cells
            .map(|cell| cell.number("").unwrap_or(f64::NAN))
            .collect()
    }

    /// Adds a whole number that is larger than others.
    fn push_whole(&mut self, number: u64) -> Result<(), &'static str> {
        if let Self::Ints(cells) = self {
            let wholes: Option<Vec<u64>> =
                cells.iter().map(|cell| u64::try_from(*cell).ok()).collect();
            if let Some(wholes) = wholes {
                *self = Self::Wholes(wholes);
            }
        }
        match self {
            Self::Wholes(cells) => cells.push(number),
            cells => return cells.push_float(number as f64),
        }
        Ok(())
    }

    fn push_float(&mut self, number: f64) -> Result<(), &'static str> {
        match self {
            Self::Floats(cells) => cells.push(number),
            Self::Ints(_) | Self::Wholes(_) => {
                let mut floats = self.numbers();
                floats.push(number);
                *self = Self::Floats(floats);
            }
            _ => return Err(MIXED),
        }
        Ok(())
    }
}

/// What is wrong with cells of several kinds.
const MIXED: &str = "the cells of a tensor are of several kinds";

fn raw_texts(mut raw: &[u8], count: usize) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    while let Some((length, rest)) = raw.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let text = rest.get(..length).ok_or("a text ends before its length")?;
        let text = std::str::from_utf8(text).map_err(|_| "a text is not UTF-8")?;
        texts.push(text.to_owned());
        raw = &rest[length..];
    }
    if !raw.is_empty() || texts.len() != count {
        let there = texts.len();
        return Err(format!("there are {there} texts, not {count}"));
    }
    Ok(texts)
}

/// The cells of a tensor in JSON, also in lists of lists, one after the other.
impl<'de> Deserialize<'de> for TensorCells {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut cells = None;
        deserializer.deserialize_seq(FlatVisitor(&mut cells))?;
        Ok(cells.unwrap_or(Self::Floats(Vec::new())))
    }
}

/// Takes the cells of lists, and the lists in them.
struct FlatVisitor<'c>(&'c mut Option<TensorCells>);

impl<'de> serde::de::DeserializeSeed<'de> for FlatVisitor<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FlatVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers, truth values or text, in lists")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Err(E::custom(
            "null is no cell: what is missing is NaN in a raw tensor, or \"\" in one of the type BYTES",
        ))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        match self.0.get_or_insert(TensorCells::Bools(Vec::new())) {
            TensorCells::Bools(cells) => cells.push(flag),
            _ => return Err(E::custom(MIXED)),
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        match self.0.get_or_insert(TensorCells::Ints(Vec::new())) {
            TensorCells::Ints(cells) => cells.push(number),
            cells => match u64::try_from(number) {
                Ok(number) if matches!(cells, TensorCells::Wholes(_)) => {
                    cells.push_whole(number).map_err(E::custom)?;
                }
                _ => cells.push_float(number as f64).map_err(E::custom)?,
            },
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => {
                let cells = self.0.get_or_insert(TensorCells::Wholes(Vec::new()));
                cells.push_whole(number).map_err(E::custom)
            }
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        let cells = self.0.get_or_insert(TensorCells::Floats(Vec::new()));
        cells.push_float(number).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.0.get_or_insert(TensorCells::Texts(Vec::new())) {
            TensorCells::Texts(cells) => cells.push(text.to_owned()),
            _ => return Err(E::custom(MIXED)),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items
            .next_element_seed(FlatVisitor(&mut *self.0))?
            .is_some()
        {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_lists_are_flat_and_of_one_kind() {
        let read = |text: &str| serde_json::from_str::<TensorCells>(text);
        assert_eq!(
            read("[[1, 2], [3]]").unwrap(),
            TensorCells::Ints(vec![1, 2, 3])
        );
        assert_eq!(
            read("[1, 2.5]").unwrap(),
            TensorCells::Floats(vec![1.0, 2.5])
        );
        assert_eq!(read("[true]").unwrap(), TensorCells::Bools(vec![true]));
        assert!(read("[]").unwrap().is_empty());
        for odd in [
            "[1, \"a\"]",
            "[true, 1]",
            "[null]",
            "1",
            "[{}]",
            "{\"a\": 1}",
        ] {
            assert!(read(odd).is_err(), "{odd}");
        }
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(&deep).is_err(), "nesting has an end");
    }

    #[test]
    fn cells_in_json_are_what_their_type_holds() {
        let read = |text: &str, kind| {
            serde_json::from_str::<TensorCells>(text)
                .unwrap()
                .of_type(kind)
        };
        assert_eq!(
            read("[0.1, 1]", TensorType::Fp32).unwrap(),
            TensorCells::Floats(vec![f64::from(0.1_f32), 1.0])
        );
        assert_eq!(
            read("[127]", TensorType::Int8).unwrap(),
            TensorCells::Ints(vec![127])
        );
        for (text, kind) in [
            ("[128]", TensorType::Int8),
            ("[-1]", TensorType::Uint8),
            ("[1.5]", TensorType::Int64),
            ("[1]", TensorType::Bool),
            ("[\"a\"]", TensorType::Fp64),
            ("[true]", TensorType::Fp64),
        ] {
            assert!(read(text, kind).is_err(), "{text}");
        }
        let length = |text: &str| serde_json::from_str::<TensorLength>(text);
        assert_eq!(length("5.0").unwrap(), TensorLength(5));
        assert!(length("5.5").is_err() && length("-1").is_err() && length("1e300").is_err());
    }

    #[test]
    fn raw_cells_are_exactly_as_many_as_the_shape_says() {
        let raw = |kind, bytes: &[u8], count| TensorCells::of_raw(kind, bytes, count);
        let halves = [0.5_f32.to_le_bytes(), (-2.0_f32).to_le_bytes()].concat();
        let floats = raw(TensorType::Fp32, &halves, 2).unwrap();
        assert_eq!(floats, TensorCells::Floats(vec![0.5, -2.0]));
        assert!(raw(TensorType::Fp32, &halves, 3).is_err());
        assert!(raw(TensorType::Fp64, &halves, usize::MAX).is_err());
        let texts = [&2_u32.to_le_bytes()[..], b"ab", &0_u32.to_le_bytes()].concat();
        let read = raw(TensorType::Bytes, &texts, 2).unwrap();
        assert_eq!(
            read,
            TensorCells::Texts(vec!["ab".to_owned(), String::new()])
        );
        assert!(raw(TensorType::Bytes, &texts[..5], 1).is_err());
        assert!(raw(TensorType::Bytes, &u32::MAX.to_le_bytes(), 1).is_err());
    }
}
