//! What was read, as it is stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::stored::StoredDocument;
use crate::frame::build::TypeConflict;
use crate::frame::table::ColumnType;

/// What `ingest` read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IngestReport {
    /// The version of this form.
    #[serde(default)]
    pub format: u32,
    /// Rows.
    pub rows: u64,
    /// Parts of the dataset.
    pub parts: usize,
    /// The columns, in their order.
    pub columns: Vec<IngestedColumn>,
    /// Columns whose cells have types of which none holds the other.
    pub conflicts: Vec<TypeConflict>,
}

impl StoredDocument for IngestReport {
    const NAME: &'static str = "an ingest report";
    const FORMAT: u32 = 1;
}

/// A column that was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IngestedColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ColumnType,
}
