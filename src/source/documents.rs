//! BSON documents: their keys and their order, how they are cut into parts, and how they become
//! rows.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf};

use serde::Serialize;

use crate::frame::build::{TableBuilder, TypeConflict};
use crate::frame::cell::{Cell, is_missing, read_float};
use crate::frame::table::{ColumnType, TableError};
use crate::source::piece::{MalformedRecords, TablePiece};

/// A value of a document, such as its `_id`.
pub type DocumentKey = Bson;
/// A document as the server sent it.
pub type SentDocument = RawDocumentBuf;
/// A filter, a projection, or a document in the making.
pub type DocumentFields = Document;

/// Before so many documents there is no cut, and from so many on there is one.
const LEAST: usize = 4_096;
const MOST: usize = 16_384;
/// After the least, one in so many documents is the last of its part.
const ONE_IN: u64 = 2_048;
/// Documents nested deeper than this are refused.
const DEPTH: usize = 100;

/// Returns the `_id` of a document; null if it has none.
pub fn key_of(document: &RawDocument) -> Bson {
    document
        .get("_id")
        .ok()
        .flatten()
        .and_then(|key| Bson::try_from(key).ok())
        .unwrap_or(Bson::Null)
}

/// Writes a key as canonical Extended JSON.
pub fn key_text(key: &Bson) -> String {
    key.clone().into_canonical_extjson().to_string()
}

/// Reads a key.
pub fn read_key(text: &str) -> Option<Bson> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    Bson::try_from(json).ok()
}

/// The order of MongoDB's indexes: by type first, numbers by value. Types that are no sensible keys
/// compare by their text.
pub fn order(a: &Bson, b: &Bson) -> Ordering {
    let number = |bson: &Bson| match bson {
        Bson::Int32(number) => Some(f64::from(*number)),
        Bson::Int64(number) => Some(*number as f64),
        Bson::Double(number) => Some(*number),
        _ => None,
    };
    match (a, b) {
        (Bson::Int64(a), Bson::Int64(b)) => a.cmp(b),
        (Bson::String(a), Bson::String(b)) => a.cmp(b),
        (Bson::ObjectId(a), Bson::ObjectId(b)) => a.bytes().cmp(&b.bytes()),
        (Bson::DateTime(a), Bson::DateTime(b)) => a.cmp(b),
        (Bson::Boolean(a), Bson::Boolean(b)) => a.cmp(b),
        (Bson::Binary(a), Bson::Binary(b)) => {
            let rank = |binary: &mongodb::bson::Binary| {
                (
                    binary.bytes.len(),
                    u8::from(binary.subtype),
                    binary.bytes.clone(),
                )
            };
            rank(a).cmp(&rank(b))
        }
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => rank(a)
                .cmp(&rank(b))
                .then_with(|| key_text(a).cmp(&key_text(b))),
        },
    }
}

fn rank(bson: &Bson) -> u8 {
    match bson {
        Bson::MinKey => 0,
        Bson::Undefined | Bson::Null => 1,
        Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) | Bson::Decimal128(_) => 2,
        Bson::Symbol(_) | Bson::String(_) => 3,
        Bson::Document(_) => 4,
        Bson::Array(_) => 5,
        Bson::Binary(_) => 6,
        Bson::ObjectId(_) => 7,
        Bson::Boolean(_) => 8,
        Bson::DateTime(_) => 9,
        Bson::Timestamp(_) => 10,
        Bson::RegularExpression(_) => 11,
        _ => 12,
    }
}

/// Returns how many of these documents, from the first on, make a part: it ends at a document that
/// its key decides, so that what is added or changed elsewhere does not move it. `None` if the part
/// may go on.
pub fn cut(documents: &[RawDocumentBuf]) -> Option<usize> {
    let is_last = |document: &RawDocumentBuf| {
        let digest = blake3::hash(key_text(&key_of(document)).as_bytes());
        let head = u64::from_le_bytes(
            digest.as_bytes()[..8]
                .try_into()
                .expect("a digest has 32 bytes"),
        );
        head.is_multiple_of(ONE_IN)
    };
    let found = documents
        .iter()
        .enumerate()
        .skip(LEAST - 1)
        .find(|(at, document)| at + 1 >= MOST || is_last(document));
    found.map(|(at, _)| at + 1)
}

/// Writes documents one after the other, as BSON does.
pub fn join(documents: &[RawDocumentBuf]) -> Vec<u8> {
    documents
        .iter()
        .flat_map(|document| document.as_bytes().to_vec())
        .collect()
}

/// Reads documents that stand one after the other.
///
/// # Errors
/// The bytes are not that.
pub fn split(mut bytes: &[u8]) -> Result<Vec<RawDocumentBuf>, TableError> {
    let mut documents = Vec::new();
    while !bytes.is_empty() {
        let length = bytes
            .first_chunk::<4>()
            .map_or(0, |length| i32::from_le_bytes(*length));
        let length = usize::try_from(length).unwrap_or_default();
        let document = bytes
            .get(..length)
            .filter(|_| length >= 5)
            .and_then(|one| RawDocumentBuf::from_bytes(one.to_vec()).ok());
        let document = document
            .ok_or_else(|| TableError(format!("document {} is not BSON", documents.len() + 1)))?;
        documents.push(document);
        bytes = &bytes[length..];
    }
    Ok(documents)
}

/// Returns a document of named cells; missing ones are null.
pub fn document(cells: Vec<(String, Cell)>) -> Document {
    let value = |cell: Cell| match cell {
        Cell::Missing => Bson::Null,
        Cell::Bool(flag) => Bson::Boolean(flag),
        Cell::Int(number) => Bson::Int64(number),
        Cell::Whole(number) => Bson::String(number.to_string()),
        Cell::Float(number) => Bson::Double(number),
        Cell::Text(text) => Bson::String(text),
        Cell::Time(ms) => Bson::DateTime(mongodb::bson::DateTime::from_millis(ms)),
    };
    cells
        .into_iter()
        .map(|(name, cell)| (name, value(cell)))
        .collect()
}

/// How documents become rows.
#[derive(Clone, Debug, Serialize)]
pub struct DocumentReading {
    /// Text that means a missing value.
    pub na: Vec<String>,
    /// Columns that get this type, whatever their cells are.
    pub types: BTreeMap<String, ColumnType>,
    /// Whether the `_id` is a column.
    pub keeps_id: bool,
}

/// Reads documents, one row each, and counts of which types the cells of every column are; what is
/// nested gets a name with dots.
///
/// | BSON | cell |
/// |---|---|
/// | int32, int64 | whole number |
/// | double, Decimal128 | number (a Decimal128 becomes the nearest double) |
/// | string, symbol | text; missing if it is one of `na` |
/// | bool | truth value |
/// | date, timestamp | moment, in milliseconds |
/// | ObjectId | text of 24 hexadecimal digits |
/// | binary | text: a UUID as such, otherwise hexadecimal |
/// | null, undefined, no such field | missing |
/// | array | JSON text |
/// | document | a column for each of its fields |
/// | regular expression, code, MinKey, MaxKey, DBPointer | JSON text |
///
/// # Errors
/// A cell is not of the type that is asked for.
pub fn rows(
    documents: &[RawDocumentBuf],
    reading: &DocumentReading,
) -> Result<(TablePiece, Vec<TypeConflict>), TableError> {
    let mut builder = TableBuilder::default();
    let (mut malformed, mut read) = (None, 0);
    for (document, at) in documents.iter().zip(1..) {
        let name = || format!("_id {}", shown(&key_of(document)));
        let mut cells = Vec::new();
        match fields("", document, reading, 0, &mut cells) {
            Ok(()) => {
                read += document.as_bytes().len();
                builder.row(name(), cells);
                if let Err(why) = builder.check(read) {
                    MalformedRecords::count(&mut malformed, at, 1, format!("{}: {why}", name()));
                    break;
                }
            }
            Err(why) => {
                MalformedRecords::count(&mut malformed, at, 1, format!("{}: {why}", name()))
            }
        }
    }
    if malformed.is_some() {
        return Ok((
            TablePiece {
                table: None,
                malformed,
                conflicts: Vec::new(),
                recoded: None,
            },
            Vec::new(),
        ));
    }
    let tallies = builder.tallies();
    let (table, conflicts) = builder.finish(&reading.types)?;
    Ok((
        TablePiece {
            table: Some(table),
            malformed,
            conflicts,
            recoded: None,
        },
        tallies,
    ))
}

/// A key as people write it.
fn shown(key: &Bson) -> String {
    match key {
        Bson::ObjectId(id) => id.to_hex(),
        Bson::String(text) => text.clone(),
        key => key.clone().into_relaxed_extjson().to_string(),
    }
}

fn fields(
    path: &str,
    document: &RawDocument,
    reading: &DocumentReading,
    depth: usize,
    cells: &mut Vec<(String, Cell)>,
) -> Result<(), String> {
    if depth > DEPTH {
        return Err(format!("it is nested more than {DEPTH} levels deep"));
    }
    for field in document {
        let (key, value) = field.map_err(|error| format!("it is not whole: {error}"))?;
        let name = if path.is_empty() {
            key.to_string()
        } else {
            format!("{path}.{key}")
        };
        if name == "_id" && !reading.keeps_id {
            continue;
        }
        if let mongodb::bson::RawBsonRef::Document(inner) = value {
            fields(&name, inner, reading, depth + 1, cells)?;
            continue;
        }
        let value = Bson::try_from(value)
            .map_err(|error| format!("the field `{name}` cannot be read: {error}"))?;
        // A name with a dot can meet the path of a nested one; the first stays.
        if !cells.iter().any(|(other, _)| *other == name) {
            cells.push((name, cell(value, &reading.na)));
        }
    }
    Ok(())
}

fn cell(value: Bson, na: &[String]) -> Cell {
    match value {
        Bson::Null | Bson::Undefined => Cell::Missing,
        Bson::Boolean(flag) => Cell::Bool(flag),
        Bson::Int32(number) => Cell::Int(i64::from(number)),
        Bson::Int64(number) => Cell::Int(number),
        Bson::Double(number) => Cell::Float(number),
        Bson::Decimal128(number) => {
            let text = number.to_string();
            read_float(&text).map_or(Cell::Text(text), Cell::Float)
        }
        Bson::String(text) | Bson::Symbol(text) if is_missing(&text, na) => Cell::Missing,
        Bson::String(text) | Bson::Symbol(text) => Cell::Text(text),
        Bson::DateTime(time) => Cell::Time(time.timestamp_millis()),
        Bson::Timestamp(time) => Cell::Time(i64::from(time.time) * 1000),
        Bson::ObjectId(id) => Cell::Text(id.to_hex()),
        Bson::Binary(binary) => Cell::Text(match (binary.subtype, binary.to_uuid()) {
            (BinarySubtype::Uuid, Ok(uuid)) => uuid.to_string(),
            _ => binary
                .bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        }),
        other => Cell::Text(other.into_relaxed_extjson().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::{doc, oid::ObjectId};

    fn raw(document: mongodb::bson::Document) -> RawDocumentBuf {
        RawDocumentBuf::try_from(&document).unwrap()
    }

    #[test]
    fn documents_become_rows() {
        let reading = DocumentReading {
            na: vec!["na".to_owned()],
            types: BTreeMap::new(),
            keeps_id: true,
        };
        let documents = [
            raw(
                doc! { "_id": ObjectId::from_bytes([7; 12]), "a": 1_i32, "b": { "c": 2_i64, "d": { "e": "x" } }, "f": true },
            ),
            raw(
                doc! { "_id": "two", "a": 0.5, "b": { "c": null }, "l": [1, "y"], "t": mongodb::bson::DateTime::from_millis(1000) },
            ),
            raw(doc! { "_id": 3, "f": "na" }),
        ];
        let table = rows(&documents, &reading).unwrap().0.table.unwrap();
        let kinds: Vec<String> = table
            .columns()
            .unwrap()
            .iter()
            .map(|(name, kind)| format!("{name}: {}", kind.as_str()))
            .collect();
        assert_eq!(
            kinds,
            [
                "_id: text",
                "a: float",
                "b.c: int",
                "b.d.e: text",
                "f: bool",
                "l: text",
                "t: time"
            ]
        );
        assert_eq!(table.texts("l").unwrap()[1].as_deref(), Some("[1,\"y\"]"));
        assert_eq!(split(&join(&documents)).unwrap(), documents);
        assert!(split(b"nonsense").is_err() && split(&[5, 0, 0, 0]).is_err());
    }

    #[test]
    fn keys_are_ordered_as_the_server_does() {
        let mut keys = [
            Bson::String("a".into()),
            Bson::Int32(10),
            Bson::Double(9.5),
            Bson::ObjectId(ObjectId::from_bytes([0; 12])),
            Bson::Null,
        ];
        keys.sort_by(order);
        let texts: Vec<String> = keys.iter().map(shown).collect();
        assert_eq!(
            texts,
            ["null", "9.5", "10", "a", "000000000000000000000000"]
        );
        assert!(
            keys.iter()
                .all(|key| read_key(&key_text(key)).as_ref() == Some(key))
        );
    }
}
