//! Logs of Zeek in its own form: lines of tab-separated fields under a head of lines that begin
//! with `#`.
//!
//! How: the head names the separator, what stands for an unset field, the fields and their types.
//! Live files lack the closing line, and files that were put together have several heads: those
//! that name the same fields are passed over.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::frame::build::COLUMNS;
use crate::frame::table::{ColumnType, TableError};
use crate::source::csv::{ColumnFields, Csv, table};
use crate::source::piece::{MalformedRecords, TablePiece};

/// What a head says.
#[derive(Clone, Debug, Serialize)]
pub struct ZeekHead {
    separator: u8,
    unset: String,
    names: Vec<String>,
    types: Vec<String>,
}

/// Returns whether a file begins as a log of Zeek does.
pub fn is_zeek(start: &[u8]) -> bool {
    start.starts_with(b"#separator ") || start.starts_with(b"#fields\t")
}

impl ZeekHead {
    /// Reads the lines of a head.
    ///
    /// # Errors
    /// It names no fields, or not as many types.
    pub fn read(lines: &[Vec<u8>]) -> Result<Self, TableError> {
        let mut head = Self {
            separator: b'\t',
            unset: "-".to_owned(),
            names: Vec::new(),
            types: Vec::new(),
        };
        for line in lines {
            let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            if let Some(separator) = text.strip_prefix("#separator ") {
                head.separator = unescaped(separator.as_bytes())
                    .first()
                    .copied()
                    .unwrap_or(b'\t');
                continue;
            }
            let mut fields = text.split(char::from(head.separator)).map(str::to_owned);
            match fields.next().as_deref() {
                Some("#unset_field") => head.unset = fields.next().unwrap_or_default(),
                Some("#fields") => head.names = fields.collect(),
                Some("#types") => head.types = fields.collect(),
                _ => {}
            }
        }
        match (head.names.len(), head.types.len()) {
            (0, _) => Err(TableError(
                "the head of the Zeek log names no `#fields`".to_owned(),
            )),
            (names, types) if names != types => Err(TableError(format!(
                "the head of the Zeek log names {names} `#fields` and {types} `#types`"
            ))),
            (names, _) if names > COLUMNS => Err(TableError(format!(
                "the head of the Zeek log names {names} `#fields`; at most {COLUMNS} are read"
            ))),
            _ => Ok(head),
        }
    }

    /// Returns the types of the columns: moments, which are seconds since 1970, are numbers here.
    pub fn types(&self) -> BTreeMap<String, ColumnType> {
        let of = |word: &String| match word.as_str() {
            "bool" => ColumnType::Bool,
            "count" | "int" | "port" => ColumnType::Int,
            "double" | "interval" | "time" => ColumnType::Float,
            _ => ColumnType::Text,
        };
        self.names
            .iter()
            .cloned()
            .zip(self.types.iter().map(of))
            .collect()
    }

    /// Returns the columns that hold moments.
    pub fn moments(&self) -> impl Iterator<Item = &String> {
        self.names
            .iter()
            .zip(&self.types)
            .filter(|(_, word)| *word == "time")
            .map(|(name, _)| name)
    }

    /// Returns how the fields are read, once split and unescaped.
    pub fn form(&self, na: &[String], types: BTreeMap<String, ColumnType>) -> Csv {
        let mut na = na.to_vec();
        na.push(self.unset.clone());
        Csv {
            na,
            types,
            ..Csv::plain(self.separator, self.names.clone())
        }
    }

    /// Reads whole lines of the log. What is malformed is counted and left out.
    ///
    /// # Errors
    /// A column cannot be kept.
    pub fn table(&self, bytes: &[u8], form: &Csv) -> Result<TablePiece, TableError> {
        let mut columns: Vec<ColumnFields> =
            self.names.iter().map(|_| ColumnFields::default()).collect();
        let is_bool: Vec<bool> = self
            .names
            .iter()
            .map(|name| form.types.get(name) == Some(&ColumnType::Bool))
            .collect();
        let (mut lines, mut malformed) = (Vec::new(), None);
        for (line, at) in bytes.split(|byte| *byte == b'\n').zip(1..) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            if line.starts_with(b"#") {
                if line.starts_with(b"#fields") && !self.names_are(line) {
                    let why =
                        "the log has other `#fields` from here on: give files with the same fields"
                            .to_owned();
                    MalformedRecords::count(&mut malformed, at, 1, why);
                }
                continue;
            }
            let count = memchr::memchr_iter(self.separator, line).count() + 1;
            if count != self.names.len() {
                let why = format!(
                    "the record has {count} fields, the head names {}",
                    self.names.len()
                );
                MalformedRecords::count(&mut malformed, at, count.min(self.names.len()) + 1, why);
                continue;
            }
            for (place, field) in line.split(|byte| *byte == self.separator).enumerate() {
                let field = unescaped(field);
                columns[place].push(match (is_bool[place], field.as_slice()) {
                    (true, b"T") => b"true",
                    (true, b"F") => b"false",
                    (_, field) => field,
                });
            }
            lines.push(at);
        }
        table(&columns, &lines, form, malformed)
    }

    fn names_are(&self, line: &[u8]) -> bool {
        let text = String::from_utf8_lossy(line);
        text.split(char::from(self.separator))
            .skip(1)
            .eq(self.names.iter().map(String::as_str))
    }
}

/// Puts in the bytes that stand as `\x09`.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut at = 0;
    while at < field.len() {
        let code = field[at..]
            .strip_prefix(b"\\x")
            .and_then(|rest| std::str::from_utf8(rest.get(..2)?).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                at += 4;
            }
            None => {
                bytes.push(field[at]);
                at += 1;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_is_put_in_and_other_backslashes_stay() {
        assert_eq!(unescaped(b"a\\x09b\\\\x0\\xzz"), b"a\tb\\\\x0\\xzz");
    }
}
