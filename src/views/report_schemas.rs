//! The JSON Schemas of stored reports, from their types.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::base::stored::StoredDocument;
use crate::drift::report::DriftReport;
use crate::gate::decision::Decision;
use crate::profile::leakage::LeakageReport;
use crate::schema::report::ValidationReport;
use crate::source::report::IngestReport;
use crate::tuning::leaderboard::Leaderboard;

/// A stored report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportForm {
    /// `ingest.report`
    Ingest,
    /// `validate.report`
    Validation,
    /// `split.leakage`
    Leakage,
    /// `drift.report`
    Drift,
    /// `train.metrics`
    Leaderboard,
    /// `evaluate.decision`
    Decision,
}

/// Returns the JSON Schema of a report.
pub fn report_schema(form: ReportForm) -> Value {
    match form {
        ReportForm::Ingest => schema_of::<IngestReport>(),
        ReportForm::Validation => schema_of::<ValidationReport>(),
        ReportForm::Leakage => schema_of::<LeakageReport>(),
        ReportForm::Drift => schema_of::<DriftReport>(),
        ReportForm::Leaderboard => schema_of::<Leaderboard>(),
        ReportForm::Decision => schema_of::<Decision>(),
    }
}

/// The schema is that of the format which is written: its number is the only one that fits.
fn schema_of<T: JsonSchema + StoredDocument>() -> Value {
    let mut schema: Schema = SchemaGenerator::default().into_root_schema_for::<T>();
    if let Some(format) = schema.pointer_mut("/properties/format") {
        *format =
            serde_json::json!({"description": "The version of this form.", "const": T::FORMAT});
    }
    schema.into()
}
