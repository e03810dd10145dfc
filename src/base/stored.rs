//! Documents that are stored as JSON and read again, each with a format number.
//!
//! A document of a newer format is refused by name; one of an older format is read, what came later
//! having a default, or refused by name if it lacks what cannot be made up.

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A document that is stored as JSON.
pub trait StoredDocument: Serialize + DeserializeOwned {
    /// What it is called, with its article, as in `a leaderboard`.
    const NAME: &'static str;
    /// The version that is written.
    const FORMAT: u32;
    /// The oldest version that is read.
    const OLDEST: u32 = 0;

    /// Returns its bytes.
    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("plain data serialises")
    }

    /// Reads it.
    ///
    /// # Errors
    /// It is something else, of a newer format, or of one that is too old.
    fn decode(bytes: &[u8]) -> Result<Self, StoredDocumentError> {
        let other = |source| StoredDocumentError::Other {
            name: Self::NAME,
            source,
        };
        let head: DocumentHead = serde_json::from_slice(bytes).map_err(other)?;
        if head.format > Self::FORMAT {
            return Err(StoredDocumentError::Newer {
                name: Self::NAME,
                found: head.format,
                known: Self::FORMAT,
            });
        }
        if head.format < Self::OLDEST {
            return Err(StoredDocumentError::Older {
                name: Self::NAME,
                found: head.format,
                oldest: Self::OLDEST,
            });
        }
        serde_json::from_slice(bytes).map_err(other)
    }
}

/// What every format begins with; what was written before formats had numbers has format 0.
#[derive(Deserialize)]
struct DocumentHead {
    #[serde(default)]
    format: u32,
}

/// Why a document cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoredDocumentError {
    /// It is something else.
    #[error("not {name}: {source}")]
    Other {
        /// What it should be.
        name: &'static str,
        /// What is odd.
        source: serde_json::Error,
    },
    /// A later version wrote it.
    #[error(
        "{name} of format {found}, which a newer netsec wrote; this one reads up to {known}: update netsec"
    )]
    Newer {
        /// What it is.
        name: &'static str,
        /// Its format.
        found: u32,
        /// The latest that is read.
        known: u32,
    },
    /// It lacks what later versions hold.
    #[error(
        "{name} of format {found}, which an older netsec wrote; this one reads from {oldest} on: run its pipeline again"
    )]
    Older {
        /// What it is.
        name: &'static str,
        /// Its format.
        found: u32,
        /// The oldest that is read.
        oldest: u32,
    },
}

/// Returns a number as JSON can hold it: none if it is not finite.
pub fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}

/// Reads a number that JSON cannot hold: what is infinite was written as `null`.
///
/// # Errors
/// It is neither a number nor `null`.
pub fn infinite_if_null<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<f64, D::Error> {
    let number = Option::<f64>::deserialize(deserializer)?;
    Ok(number.unwrap_or(f64::INFINITY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        #[serde(default)]
        format: u32,
        text: String,
        #[serde(default)]
        later: bool,
    }

    impl StoredDocument for Note {
        const NAME: &'static str = "a note";
        const FORMAT: u32 = 2;
    }

    #[test]
    fn older_formats_are_read_and_newer_ones_refused_by_name() {
        let old = Note::decode(br#"{"text": "x"}"#).expect("format 0 is read");
        assert_eq!((old.format, old.later), (0, false));
        let new = Note::decode(br#"{"format": 3, "other": 1}"#).expect_err("format 3 is not known");
        insta::assert_snapshot!(new, @"a note of format 3, which a newer netsec wrote; this one reads up to 2: update netsec");
        let other = Note::decode(br#"{"format": 1}"#).expect_err("it has no text");
        insta::assert_snapshot!(other, @"not a note: missing field `text` at line 1 column 13");
    }

    #[test]
    fn what_is_written_is_read() {
        let note = Note {
            format: 2,
            text: "x".to_owned(),
            later: true,
        };
        assert_eq!(
            Note::decode(&note.encode()).expect("it was just written"),
            note
        );
    }
}
