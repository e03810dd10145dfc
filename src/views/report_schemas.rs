//! The JSON Schemas of stored reports, from their types.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::base::stored::StoredDocument;

/// Returns the JSON Schema of a report. It is that of the format which is written: its number is the
/// only one that fits.
pub fn report_schema<T: JsonSchema + StoredDocument>() -> Value {
    let mut schema: Schema = SchemaGenerator::default().into_root_schema_for::<T>();
    if let Some(format) = schema.pointer_mut("/properties/format") {
        *format =
            serde_json::json!({"description": "The version of this form.", "const": T::FORMAT});
    }
    schema.into()
}
