//! The JSON Schema of schema files, for editors and validators.

use serde_json::{Value, json};

use crate::schema::types::{RULES, SEVERITIES, TYPES};

/// Returns the JSON Schema (draft 2020-12).
pub fn json_schema() -> Value {
    let severities: Vec<&str> = SEVERITIES.iter().map(|(word, _)| *word).collect();
    let share = json!({"anyOf": [
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "string", "pattern": "^\\s*[0-9.]+\\s*%\\s*$"},
    ]});
    let by_rule = |one: &Value| {
        let rules: serde_json::Map<String, Value> = RULES
            .iter()
            .map(|rule| ((*rule).to_owned(), one.clone()))
            .collect();
        json!({"anyOf": [one, {"type": "object", "properties": rules, "additionalProperties": false}]})
    };
    let severity = json!({"enum": severities});
    let column = column(&by_rule(&severity), &by_rule(&share));
    let table = |keys: &[(&str, Value)]| {
        let mut properties: serde_json::Map<String, Value> = keys
            .iter()
            .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
            .collect();
        properties.insert(
            "severity".to_owned(),
            json!({"enum": ["warn", "fail"], "default": "fail"}),
        );
        json!({"type": "object", "properties": properties, "additionalProperties": false})
    };
    let number = json!({"type": "number"});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What a table must look like (netsec)",
        "type": "object",
        "required": ["columns"],
        "additionalProperties": false,
        "properties": {
            "columns": {"type": "object", "additionalProperties": column, "description": "The columns and their rules."},
            "other_columns": {"enum": ["allow", "refuse"], "default": "refuse"},
            "rows": {"type": "array", "description": "Conditions between the columns of a row.", "items": {
                "type": "object",
                "required": ["check"],
                "additionalProperties": false,
                "properties": {
                    "name": {"type": "string"},
                    "check": {"type": "string", "description": "Such as `src_bytes + dst_bytes <= total`."},
                    "severity": severity,
                    "at_most": share,
                },
            }},
            "table": {"type": "object", "additionalProperties": false, "properties": {
                "rows": table(&[("min", number.clone()), ("max", number.clone())]),
                "null_share": table(&[("max", share.clone())]),
                "duplicates": table(&[("max", share.clone())]),
                "freshness": table(&[("column", json!({"type": "string"})), ("max_hours", number)]),
            }},
            "quarantine_at_most": share,
        },
    })
}

/// The rules of a column.
fn column(severity: &Value, at_most: &Value) -> Value {
    let types: Vec<&str> = TYPES.iter().map(|(word, _)| *word).collect();
    let scalar = json!({"type": ["string", "number", "boolean"]});
    let flag = |doc: &str| json!({"type": "boolean", "default": false, "description": doc});
    json!({
        "type": "object",
        "required": ["type"],
        "additionalProperties": false,
        "properties": {
            "type": {"enum": types, "description": "What the column holds."},
            "coerce": flag("Whether text that reads as the type is taken as such."),
            "nullable": flag("Whether cells may be missing."),
            "nan": flag("Whether NaN may stand there."),
            "infinite": flag("Whether the infinities may stand there."),
            "allowed": {"type": "array", "items": scalar, "description": "The only values that may stand there."},
            "min": {"type": ["number", "string"], "description": "The least number, or moment."},
            "max": {"type": ["number", "string"], "description": "The greatest number, or moment."},
            "regex": {"type": "string", "description": "What text must match from its begin to its end."},
            "min_length": {"type": "integer", "minimum": 0, "description": "The least number of characters."},
            "max_length": {"type": "integer", "minimum": 0, "description": "The greatest number of characters."},
            "unique": flag("Whether values have to be unique."),
            "severity": severity,
            "at_most": at_most,
        },
    })
}
