//! Lines of JSON objects → a table; what is nested gets a name with dots.

use std::collections::{BTreeMap, HashSet};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::frame::build::{NAMES, TableBuilder};
use crate::frame::cell::{Cell, is_missing};
use crate::frame::table::{ColumnType, TableError};
use crate::source::chunks::MOST;
use crate::source::encoding::{Encoding, RecodedCells};
use crate::source::json_list::append_list;
use crate::source::piece::{MalformedRecords, TablePiece};

/// Reads whole lines; empty ones are left out. What is malformed is counted, its line counted from
/// the first.
///
/// Objects in objects become columns named by their path, `a.b`; lists stay JSON text. A column
/// with whole numbers that take 64 bits is text; those that take more are floating.
///
/// # Errors
/// A cell is not of the type of `types` that is asked for.
pub fn read(
    bytes: &[u8],
    na: &[String],
    types: &BTreeMap<String, ColumnType>,
    encoding: Encoding,
) -> Result<TablePiece, TableError> {
    let mut builder = TableBuilder::default();
    let (mut malformed, mut recoded) = (None, None);
    for (text, at) in bytes.split(|byte| *byte == b'\n').zip(1..) {
        if text.trim_ascii().is_empty() {
            continue;
        }
        let Some((text, is_recoded)) = encoding.read(text) else {
            MalformedRecords::count(
                &mut malformed,
                at,
                1,
                "this is not UTF-8: set `encoding: windows-1252`".to_owned(),
            );
            continue;
        };
        if is_recoded {
            RecodedCells::count(&mut recoded, at, &text);
        }
        match serde_json::from_str::<JsonValue>(&text) {
            Ok(JsonValue::Object(object)) => {
                let mut row = ObjectRow::default();
                match object
                    .into_iter()
                    .try_for_each(|(name, value)| row.add(name, value, na))
                {
                    Ok(()) => builder.row(format!("line {at}"), row.cells),
                    Err(why) => MalformedRecords::count(&mut malformed, at, 1, why),
                }
                // A line that is longer than a piece pays for no other.
                if let Err(why) = builder.check(bytes.len().min(MOST)) {
                    MalformedRecords::count(&mut malformed, at, 1, why);
                    break;
                }
            }
            Ok(_) => MalformedRecords::count(
                &mut malformed,
                at,
                1,
                "this is JSON, but no object".to_owned(),
            ),
            Err(error) => {
                MalformedRecords::count(&mut malformed, at, error.column().max(1), plain(&error))
            }
        }
    }
    if malformed.is_some() {
        return Ok(TablePiece {
            table: None,
            malformed,
            conflicts: Vec::new(),
            recoded,
        });
    }
    let (table, conflicts) = builder.finish(types)?;
    Ok(TablePiece {
        table: Some(table),
        malformed,
        conflicts,
        recoded,
    })
}

/// The library's words without its count of lines, which begins anew with each.
pub fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    if error.is_data() {
        text.to_owned()
    } else {
        format!("this is not JSON: {text}")
    }
}

/// A value whose objects keep the order of their names.
enum JsonValue {
    Null,
    Bool(bool),
    Int(i64),
    Whole(u64),
    Float(f64),
    Text(String),
    /// As JSON.
    List(String),
    Object(Vec<(String, JsonValue)>),
}

impl<'de> Deserialize<'de> for JsonValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OrderedVisitor)
    }
}

struct OrderedVisitor;

impl<'de> Visitor<'de> for OrderedVisitor {
    type Value = JsonValue;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<JsonValue, E> {
        Ok(JsonValue::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<JsonValue, E> {
        Ok(JsonValue::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<JsonValue, E> {
        Ok(JsonValue::Int(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<JsonValue, E> {
        Ok(i64::try_from(number).map_or(JsonValue::Whole(number), JsonValue::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<JsonValue, E> {
        Ok(JsonValue::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<JsonValue, E> {
        Ok(JsonValue::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<JsonValue, A::Error> {
        let mut text = String::new();
        append_list(&mut text, items)?;
        Ok(JsonValue::List(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<JsonValue, A::Error> {
        let mut object = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            object.push(entry);
        }
        Ok(JsonValue::Object(object))
    }
}

/// The cells of one object, each name once.
#[derive(Default)]
struct ObjectRow {
    cells: Vec<(String, Cell)>,
    /// Of all cells, and of the objects they stand in.
    names: HashSet<String>,
    /// How many bytes those take.
    bytes: usize,
}

impl ObjectRow {
    fn add(&mut self, name: String, value: JsonValue, na: &[String]) -> Result<(), String> {
        self.bytes += name.len();
        if self.bytes > NAMES {
            return Err(format!(
                "the paths of its keys take more than {NAMES} bytes"
            ));
        }
        if !self.names.insert(name.clone()) {
            return Err(format!(
                "the key `{name}` stands twice in it, by itself or as a path"
            ));
        }
        let cell = match value {
            JsonValue::Null => Cell::Missing,
            JsonValue::Bool(flag) => Cell::Bool(flag),
            JsonValue::Int(number) => Cell::Int(number),
            JsonValue::Whole(number) => Cell::Whole(number),
            JsonValue::Float(number) => Cell::Float(number),
            JsonValue::Text(text) if is_missing(&text, na) => Cell::Missing,
            JsonValue::Text(text) => Cell::Text(text),
            JsonValue::List(text) => Cell::Text(text),
            JsonValue::Object(object) => {
                return object
                    .into_iter()
                    .try_for_each(|(inner, value)| self.add(format!("{name}.{inner}"), value, na));
            }
        };
        self.cells.push((name, cell));
        Ok(())
    }
}
