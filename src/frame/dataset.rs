//! A table in parts: what is known of them without reading any.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::frame::table::{ColumnType, TableError};

/// The name of the index among the files of a dataset.
pub const INDEX: &str = "index.json";

/// Version of the index. Another one is refused.
const FORMAT: u32 = 1;

/// The columns of a dataset and its parts, in the order of the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetIndex {
    format: u32,
    /// Every column, of the type that holds all parts. A part may lack some, and hold others in a
    /// narrower type.
    pub columns: Vec<(String, ColumnType)>,
    /// The parts.
    pub parts: Vec<DatasetPart>,
    /// The words that stood for missing values where it was read; none if they were the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub na: Option<Vec<String>>,
    /// Columns of times that were numbers since 1970 there, each with the digits of the parts of a
    /// second that they counted in: 0, 3 or 6.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub epochs: BTreeMap<String, u32>,
    /// How far the source had been read, in the source's own terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<serde_json::Value>,
}

/// One part of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetPart {
    /// The file, among those of the dataset.
    pub file: String,
    /// How many rows it has.
    pub rows: u64,
    /// The source's keys of its first and last row, where the source has keys in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<(String, String)>,
}

impl DatasetIndex {
    /// Makes an index.
    pub fn new(columns: Vec<(String, ColumnType)>, parts: Vec<DatasetPart>) -> Self {
        Self {
            format: FORMAT,
            columns,
            parts,
            na: None,
            epochs: BTreeMap::new(),
            mark: None,
        }
    }

    /// Returns the number of rows of all parts.
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// Returns the stored form (JSON).
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data serialises")
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        let index: Self = serde_json::from_slice(bytes).map_err(|error| {
            TableError(format!("`{INDEX}` is not the index of a dataset: {error}"))
        })?;
        match index.format {
            FORMAT => Ok(index),
            other => Err(TableError(format!(
                "a dataset of format {other}; this netsec reads {FORMAT}"
            ))),
        }
    }
}

/// Returns the name of the part at a place: names sort as places do.
pub fn part_name(at: usize) -> String {
    format!("part-{at:06}.parquet")
}
