//! Text that is not UTF-8, read as Windows-1252, and how much of it there was.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// How bytes of text are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As UTF-8; a cell that is not is read as Windows-1252.
    Auto,
    /// As UTF-8; a cell that is not is malformed.
    Utf8,
    /// As Windows-1252, which holds Latin-1.
    Windows1252,
}

/// Cells that were not UTF-8 and were read as Windows-1252.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecodedCells {
    /// How many there are.
    pub count: u64,
    /// The line of the first.
    pub line: u64,
    /// The first, as it was read.
    pub cell: String,
}

impl RecodedCells {
    /// Counts one more.
    pub fn count(recoded: &mut Option<Self>, line: u64, cell: &str) {
        match recoded {
            Some(first) => first.count += 1,
            None => {
                *recoded = Some(Self {
                    count: 1,
                    line,
                    cell: cell.to_owned(),
                })
            }
        }
    }

    /// Adds those of a later place that begins with this line.
    pub fn add(recoded: &mut Option<Self>, other: &Self, from: u64) {
        match recoded {
            Some(first) => first.count += other.count,
            None => {
                *recoded = Some(Self {
                    line: other.line + from - 1,
                    ..other.clone()
                })
            }
        }
    }

    /// Tells it, without the file's name.
    pub fn tell(&self) -> String {
        let what = if self.count == 1 {
            "1 cell is".to_owned()
        } else {
            format!("{} cells are", self.count)
        };
        format!(
            "{what} not UTF-8 and read as Windows-1252, the first is `{}` in line {} (`encoding: utf-8` refuses such cells)",
            self.cell, self.line
        )
    }
}

/// What the bytes from 0x80 to 0x9f mean in Windows-1252 (the WHATWG Encoding Standard, index
/// windows-1252).
const HIGH: [char; 32] = [
    '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}',
    '\u{2c6}', '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}',
    '\u{90}', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}',
    '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
];

/// Reads bytes as Windows-1252; every byte means a character.
pub fn windows_1252(bytes: &[u8]) -> String {
    let char = |byte: &u8| match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        byte => char::from(*byte),
    };
    bytes.iter().map(char).collect()
}

impl Encoding {
    /// Reads bytes as text, and tells whether they were not UTF-8 where that was not said; `None`
    /// if they have to be and are not.
    pub fn read(self, bytes: &[u8]) -> Option<(Cow<'_, str>, bool)> {
        match (self, std::str::from_utf8(bytes)) {
            (Self::Windows1252, _) => Some((windows_1252(bytes).into(), false)),
            (_, Ok(text)) => Some((text.into(), false)),
            (Self::Auto, Err(_)) => Some((windows_1252(bytes).into(), true)),
            (Self::Utf8, Err(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_of_windows_is_read_and_utf_8_stays() {
        assert_eq!(
            Encoding::Auto.read(b"Web Attack \x96 XSS"),
            Some(("Web Attack \u{2013} XSS".into(), true))
        );
        assert_eq!(
            Encoding::Auto.read("größe".as_bytes()),
            Some(("größe".into(), false))
        );
        assert_eq!(Encoding::Utf8.read(b"\xe4"), None);
        assert_eq!(windows_1252(b"\xe4\x80"), "ä€");
    }
}
