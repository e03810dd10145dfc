//! Named arrays → an `.npz` archive, as `numpy.load` reads it: a ZIP archive of `.npy` files, stored
//! as they are (PKWARE, APPNOTE 6.3.10), without times, so that the same arrays give the same bytes.

use ndarray::Array1;
use ndarray_npy::{WritableElement, WriteNpyExt};

use crate::base::digest::Digest;
use crate::frame::table::TableError;

/// Version 2.0 of the format is needed to read an entry.
const VERSION: u16 = 20;

/// 1 January 1980, the first day that ZIP has.
const DATE: u16 = 0x21;

/// An archive that is being written.
#[derive(Debug, Default)]
pub struct NpzWriter {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    entries: u16,
}

impl NpzWriter {
    /// Adds an array of one dimension.
    ///
    /// # Errors
    /// The archive grows beyond 4 GiB.
    pub fn add<T: WritableElement>(
        &mut self,
        name: &str,
        values: Vec<T>,
    ) -> Result<(), TableError> {
        let mut body = Vec::new();
        Array1::from(values)
            .write_npy(&mut body)
            .map_err(|error| TableError(error.to_string()))?;
        self.entry(name, &body)
    }

    /// Adds an array of texts. NumPy pads texts with zeros, so that zeros in them are written as
    /// `␀`; those that are longer than can be afforded for all are cut, and end in a digest.
    ///
    /// # Errors
    /// The archive grows beyond 4 GiB.
    pub fn add_texts(&mut self, name: &str, texts: &[String]) -> Result<(), TableError> {
        let most = (TEXT_BYTES / (4 * texts.len().max(1))).clamp(LEAST_CHARS, MOST_CHARS);
        let texts: Vec<String> = texts.iter().map(|text| shown(text, most)).collect();
        self.entry(name, &texts_as_npy(&texts))
    }

    fn entry(&mut self, name: &str, body: &[u8]) -> Result<(), TableError> {
        let too_large = |_| TableError("more than 4 GiB of labels".to_owned());
        let start = u32::try_from(self.bytes.len()).map_err(too_large)?;
        let size = u32::try_from(body.len()).map_err(too_large)?;
        let file = format!("{name}.npy");
        let length = u16::try_from(file.len()).expect("names are short");
        // What the entry's own head and its place in the directory have in common.
        let mut common = Vec::new();
        for field in [VERSION, 0, 0, 0, DATE] {
            common.extend_from_slice(&field.to_le_bytes());
        }
        for field in [crc32fast::hash(body), size, size] {
            common.extend_from_slice(&field.to_le_bytes());
        }
        common.extend_from_slice(&length.to_le_bytes());
        common.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(b"PK\x03\x04");
        self.bytes.extend_from_slice(&common);
        self.bytes.extend_from_slice(file.as_bytes());
        self.bytes.extend_from_slice(body);
        self.directory.extend_from_slice(b"PK\x01\x02");
        self.directory.extend_from_slice(&VERSION.to_le_bytes());
        self.directory.extend_from_slice(&common);
        self.directory.extend_from_slice(&[0; 10]);
        self.directory.extend_from_slice(&start.to_le_bytes());
        self.directory.extend_from_slice(file.as_bytes());
        self.entries += 1;
        Ok(())
    }

    /// Returns the archive.
    ///
    /// # Errors
    /// It is larger than 4 GiB.
    pub fn finish(mut self) -> Result<Vec<u8>, TableError> {
        let too_large = |_| TableError("more than 4 GiB of labels".to_owned());
        let start = u32::try_from(self.bytes.len()).map_err(too_large)?;
        let size = u32::try_from(self.directory.len()).map_err(too_large)?;
        self.bytes.append(&mut self.directory);
        self.bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        self.bytes.extend_from_slice(&self.entries.to_le_bytes());
        self.bytes.extend_from_slice(&self.entries.to_le_bytes());
        self.bytes.extend_from_slice(&size.to_le_bytes());
        self.bytes.extend_from_slice(&start.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 2]);
        Ok(self.bytes)
    }
}

/// How many bytes an array of texts may take, and between which lengths its texts are cut for it.
const TEXT_BYTES: usize = 64 << 20;
const LEAST_CHARS: usize = 64;
const MOST_CHARS: usize = 1024;

/// How much of a digest stands at the end of a text that was cut.
const DIGEST_CHARS: usize = 16;

/// Returns a text as it is written, of so many characters at most.
fn shown(text: &str, most: usize) -> String {
    let text = text.replace('\0', "␀");
    if text.chars().nth(most).is_none() {
        return text;
    }
    let kept: String = text.chars().take(most - DIGEST_CHARS - 1).collect();
    let digest = Digest::of(text.as_bytes()).hex();
    format!("{kept}…{}", &digest[..DIGEST_CHARS])
}

/// Returns texts as a `.npy` file: UTF-32, each as wide as the longest (NumPy's format 1.0).
fn texts_as_npy(texts: &[String]) -> Vec<u8> {
    let width = texts.iter().map(|text| text.chars().count()).max();
    let width = width.unwrap_or_default().max(1);
    let rows = texts.len();
    let head = format!("{{'descr': '<U{width}', 'fortran_order': False, 'shape': ({rows},), }}");
    // What comes before the data is a multiple of 64 bytes, and ends in a line feed.
    let length = (10 + head.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let written = u16::try_from(length).expect("a head is short");
    bytes.extend_from_slice(&written.to_le_bytes());
    bytes.extend_from_slice(format!("{head:<0$}\n", length - 1).as_bytes());
    for text in texts {
        let chars = text.chars().map(u32::from);
        for unit in chars.chain(std::iter::repeat(0)).take(width) {
            bytes.extend_from_slice(&unit.to_le_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_and_stays_apart_from_others() {
        let long = |end: &str| format!("{}{end}", "x".repeat(2_000));
        let (one, two) = (shown(&long("1"), 64), shown(&long("2"), 64));
        assert_eq!(one.chars().count(), 64);
        assert!(one != two && one.starts_with("xxx") && one.contains('…'));
        assert_eq!(shown("dos\0", 64), "dos␀");
        assert_eq!(shown(&"y".repeat(64), 64), "y".repeat(64));
    }

    #[test]
    fn what_stands_before_texts_is_aligned() {
        let bytes = texts_as_npy(&["a".to_owned(), "bcd".to_owned()]);
        let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!((10 + length) % 64, 0);
        assert_eq!(bytes.len(), 10 + length + 2 * 3 * 4);
        assert_eq!(bytes[10 + length], b'a');
    }
}
